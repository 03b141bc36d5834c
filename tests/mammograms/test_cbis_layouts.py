"""CBIS-DDSM in every way it is downloaded: whose each file is, what is listed, and what stands in two parts."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from collections_on_disk import LAYOUTS, Case, Layout, breast_picture, lesion_mask, write_cbis
from real_data import real_data

from mammofill import dicom
from mammofill.ground.errors import SourceError
from mammofill.mammograms.lesion_masks import find_lesion_mask
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources import cbis_files
from mammofill.mammograms.sources.annotations import Collection
from mammofill.mammograms.sources.cbis_ddsm import read_cbis_ddsm, recognises

MASS = IngestSettings()
CASES = [
    Case(),
    Case(number=2, pathology="BENIGN_WITHOUT_CALLBACK", swapped=True),
    Case(view="MLO", separate=True),
    Case("P_00002", side="RIGHT", split="test", described=False),
]


def files_of(found: Collection) -> dict[str, list[str]]:
    files = {entry.mammogram_id: list(entry.image) for entry in found.mammograms}
    files |= {lesion.lesion_id: list(lesion.place) for entry in found.mammograms for lesion in entry.lesions}
    return {name: sorted(path.name for path in paths) for name, paths in files.items()}


def rules(found: Collection) -> list[str]:
    return sorted(decision.rule for decision in found.decisions if decision.rule != "twins-unknown")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_every_image_and_lesion_its_files(tmp_path: Path, layout: Layout) -> None:
    source = write_cbis(tmp_path / "cbis", CASES, layout)
    found = read_cbis_ddsm(source, MASS)
    assert {name: len(paths) for name, paths in files_of(found).items()} == {
        "Mass-Training_P_00001_LEFT_CC": 1, "Mass-Training_P_00001_LEFT_CC_1": 2, "Mass-Training_P_00001_LEFT_CC_2": 2,
        "Mass-Training_P_00001_LEFT_MLO": 1, "Mass-Training_P_00001_LEFT_MLO_1": 2,
        "Mass-Test_P_00002_RIGHT_CC": 1, "Mass-Test_P_00002_RIGHT_CC_1": 2,
    }  # fmt: skip
    assert found.exclusions == ()
    assert rules(found) == (["jpeg-copy"] if layout == "jpeg" else [])
    for case, entry in [(CASES[1], found.mammograms[1]), (CASES[2], found.mammograms[2])]:
        mask = find_lesion_mask(entry.lesions[-1], "x", breast_picture())
        assert np.array_equal(mask.mask, lesion_mask(case))


def test_headers_are_read_only_where_paths_are_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    header = cbis_files.read_header
    monkeypatch.setattr(cbis_files, "read_header", lambda path: read.append(path) or header(path))
    for layout in LAYOUTS:
        read.clear()
        read_cbis_ddsm(write_cbis(tmp_path / layout, CASES, layout), MASS)
        assert len(read) == (11 if layout == "one folder" else 0)


def test_jpegs_in_other_folders_are_found_by_the_table_that_came_with_them(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case(), Case("P_00002", split="test")], "jpeg")
    for table in source.glob("csv/*_set.csv"):
        table.write_text(table.read_text().replace("1.3.6.1.4.1", "2.25"))  # identifiers of another release
    assert len(files_of(read_cbis_ddsm(source, MASS))) == 4
    (source / "csv" / "dicom_info.csv").unlink()
    lost = read_cbis_ddsm(source, MASS)
    assert [exclusion.rule for exclusion in lost.exclusions] == ["file-missing"] * 2
    assert rules(lost) == ["files-of-no-row"]
    assert "6 image files belong to no row of the tables" in lost.decisions[0].found


def test_dicom_wins_over_jpeg_and_copies_count_once(tmp_path: Path) -> None:
    cases = [Case(), Case("P_00002", split="test")]
    source = write_cbis(tmp_path / "cbis", cases)
    write_cbis(source, cases, "jpeg")
    (source / "mass_case_description_train_set.csv").rename(source / "train.csv")  # the same table twice does no harm
    found = read_cbis_ddsm(source, MASS)
    assert all(name.endswith(".dcm") for names in files_of(found).values() for name in names)
    assert rules(found) == ["dicom-and-picture"]
    assert "Images or lesions that are there as DICOM and as pictures: 4, the first as" in found.decisions[0].found
    write_cbis(source, cases, "tcia")
    twice = read_cbis_ddsm(source, MASS)
    assert {name: len(names) for name, names in files_of(twice).items()} == {
        "Mass-Training_P_00001_LEFT_CC": 1, "Mass-Training_P_00001_LEFT_CC_1": 2,
        "Mass-Test_P_00002_LEFT_CC": 1, "Mass-Test_P_00002_LEFT_CC_1": 2,
    }  # fmt: skip
    assert Counter(rules(twice)) == {"dicom-and-picture": 1, "file-twice": 4}


def test_a_second_file_in_an_images_folder_is_told_by_its_series(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case(), Case("P_00002", split="test")], "tcia")
    stray = source / "CBIS-DDSM" / Case().name / "08-01-2016-DDSM-NA-1" / "1-1.dcm"
    stray.parent.mkdir()
    dicom.write_image(stray, breast_picture(5), patient_id="x", uid_names=("stray",), series_uid="1.2.3")
    found = read_cbis_ddsm(source, MASS)
    assert [len(entry.image) for entry in found.mammograms] == [1, 1]
    assert stray not in found.mammograms[1].image
    assert rules(found) == ["file-of-another-series"]


def test_tables_alone_list_every_row(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", CASES)
    for folder in source.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    table = source / "mass_case_description_train_set.csv"
    table.write_text(table.read_text().replace("OVAL", "N/A").replace(",3,LEFT,MLO", ",,LEFT,MLO"))
    found = read_cbis_ddsm(source, MASS)
    assert found.mammograms == ()
    assert [decision.rule for decision in found.decisions] == ["twins-unknown"]  # calcifications are not there
    assert [exclusion.rule for exclusion in found.exclusions] == ["file-missing"] * 4
    assert [
        (one.lesion_id, one.pathology, one.abnormality, one.official_split, one.density, one.missing)
        for one in found.listed[1:]
    ] == [
        ("Mass-Training_P_00001_LEFT_CC_2", "benign", "mass", "train", "3", ("mass shape",)),
        ("Mass-Training_P_00001_LEFT_MLO_1", "malignant", "mass", "train", None, ("breast density", "mass shape")),
        ("Mass-Test_P_00002_RIGHT_CC_1", "malignant", "mass", "test", "3", ()),
    ]
    assert (found.listed[0].row, found.listed[0].laterality, found.listed[0].view) == (
        f"{table.name} row 2",
        "left",
        "cc",
    )
    alone = read_cbis_ddsm(table, MASS)
    assert alone.listed == found.listed[:3]
    assert [exclusion.rule for exclusion in alone.exclusions] == ["file-missing"] * 3


def test_the_rows_say_which_file_is_called_the_mask(tmp_path: Path) -> None:
    cases = [Case(), Case(number=2, swapped=True), Case(number=3, separate=True), Case(number=4)]
    source = write_cbis(tmp_path / "cbis", cases)
    table = source / "mass_case_description_train_set.csv"
    lines = table.read_text().replace('\n"', '"').splitlines()
    table.write_text("\n".join([*lines[:-1], lines[-1].rsplit(",", 1)[0] + ","]))  # the last names no mask
    listed = read_cbis_ddsm(source, MASS).listed
    assert [(one.mask_number, one.mask_apart) for one in listed] == [
        (2, False),
        (2, False),
        (None, True),
        (None, False),
    ]


def test_the_collection_is_recognised_by_tables_or_folders(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case()])
    table = source / "mass_case_description_train_set.csv"
    assert recognises(source)
    assert recognises(table)
    assert recognises(tmp_path)
    table.rename(source / "renamed.csv")
    assert recognises(source / "renamed.csv")
    for path in source.glob("*.csv"):
        path.unlink()
    assert recognises(source)  # by its folders; reading it then says what is missing
    with pytest.raises(SourceError, match="lacks mass_case_description_train_set.csv, mass_case_description_test_set"):
        read_cbis_ddsm(source, MASS)
    other = tmp_path / "other" / "own.csv"
    other.parent.mkdir()
    other.write_text("image,mask\na.png,\n")
    cv2.imwrite(str(other.parent / "a.png"), breast_picture())
    assert not recognises(other)
    assert not recognises(other.parent)


TWINS = [
    Case(),
    Case(kind="calc", number=1, pathology="BENIGN"),
    Case(kind="calc", number=3, without="mask"),
    Case(kind="calc", view="MLO"),
    Case("P_00002", split="test"),
    Case("P_00002", kind="calc", split="test", view="MLO"),
]


def test_a_view_that_is_in_both_parts_gets_the_lesions_of_both(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", TWINS, kinds=("mass", "calc"))
    found = read_cbis_ddsm(source, MASS)
    twin = found.mammograms[1]
    assert [(lesion.lesion_id, lesion.abnormality, lesion.drawn_on) for lesion in twin.lesions] == [
        ("Mass-Training_P_00001_LEFT_CC_1", "mass", None),
        ("Mass-Training_P_00001_LEFT_CC_calc_1", "calcification", "Calc-Training_P_00001_LEFT_CC"),
    ]
    assert not twin.all_lesions_located  # the third has no file
    assert [entry.all_lesions_located for entry in found.mammograms] == [True, False]
    assert rules(found) == ["twin-lesions-added"]
    assert "1 of the 2 lesions of Calc-Training_P_00001_LEFT_CC are added" in found.decisions[0].done
    assert found.exclusions == ()
    assert {one.abnormality for one in found.listed} == {"mass"}


@pytest.mark.parametrize(("told", "spelt"), [(",LEFT,CC,", ",L,cc,"), (",LEFT,CC,", ",,,")])
def test_a_view_is_in_both_parts_however_its_side_is_spelt(tmp_path: Path, told: str, spelt: str) -> None:
    source = write_cbis(tmp_path / "cbis", TWINS, kinds=("mass", "calc"))
    table = source / "mass_case_description_train_set.csv"
    table.write_text(table.read_text().replace(told, spelt))
    found = read_cbis_ddsm(source, MASS)
    assert rules(found) == ["twin-lesions-added"]
    assert {(entry.laterality, entry.view) for entry in found.mammograms} == {("left", "cc")}


def test_a_row_that_repeats_a_lesion_but_for_its_shape_says_so(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case(), Case(), Case("P_00002", split="test")])
    table = source / "mass_case_description_train_set.csv"
    first, _, last = table.read_text().rpartition("OVAL")
    table.write_text(f"{first}ROUND{last}".replace("MALIGNANT", "Benign without callback"))
    (repeated,) = read_cbis_ddsm(source, MASS).exclusions
    assert repeated.rule == "row-repeated"
    assert repeated.found.endswith("_LEFT_CC_1, but for mass shape, of which the first row's is kept.")


def test_where_both_parts_are_read_each_view_keeps_its_own_lesions(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", TWINS, kinds=("mass", "calc"))
    found = read_cbis_ddsm(source, replace(MASS, abnormality="all"))
    ids = [lesion.lesion_id for entry in found.mammograms for lesion in entry.lesions]
    assert len(ids) == len(set(ids)) == 5
    located = {entry.mammogram_id: entry.all_lesions_located for entry in found.mammograms}
    assert located == {
        "Calc-Test_P_00002_LEFT_MLO": True, "Calc-Training_P_00001_LEFT_CC": False,
        "Calc-Training_P_00001_LEFT_MLO": True, "Mass-Test_P_00002_LEFT_CC": True,
        "Mass-Training_P_00001_LEFT_CC": False,
    }  # fmt: skip
    assert rules(found) == ["twin-views", "twin-views"]


def test_without_the_other_tables_twins_are_said_to_be_unknown(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case(), Case("P_00002", split="test")])
    found = read_cbis_ddsm(source, MASS)
    assert [decision.rule for decision in found.decisions] == ["twins-unknown"]
    assert "The tables of calcifications are not there" in found.decisions[0].found


@pytest.mark.real_data
def test_the_real_tables_of_cbis_ddsm() -> None:
    folder = real_data("cbis_ddsm_csv")
    assert recognises(folder)
    found = read_cbis_ddsm(folder, replace(MASS, abnormality="all"))
    assert found.mammograms == ()
    rows = found.listed
    assert Counter((one.abnormality, one.official_split) for one in rows) == {
        ("mass", "train"): 1318, ("mass", "test"): 378,
        ("calcification", "train"): 1546, ("calcification", "test"): 326,
    }  # fmt: skip
    assert {
        key: len({one.patient_id for one in rows if (one.abnormality, one.official_split) == key})
        for key in {(one.abnormality, one.official_split) for one in rows}
    } == {
        ("mass", "train"): 691, ("mass", "test"): 201, ("calcification", "train"): 602, ("calcification", "test"): 151,
    }  # fmt: skip
    splits: dict[str, set[str | None]] = {}
    views: dict[tuple[str, str | None, str | None], set[str | None]] = {}
    for one in rows:
        splits.setdefault(one.patient_id, set()).add(one.official_split)
        views.setdefault((one.patient_id, one.laterality, one.view), set()).add(one.abnormality)
    assert (len(splits), sum(len(found) > 1 for found in splits.values())) == (1566, 31)
    assert sum(len(found) > 1 for found in views.values()) == 71
    assert len({one.mammogram_id for one in rows}) == 3103
    assert Counter(name for one in rows for name in one.missing) == {
        "calc distribution": 439, "mass margins": 60, "calc type": 24, "mass shape": 4,
    }  # fmt: skip
    assert {exclusion.rule for exclusion in found.exclusions} == {"file-missing"}
