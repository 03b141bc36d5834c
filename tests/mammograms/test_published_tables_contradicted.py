"""Tables of published collections that contradict themselves, their files, or what a picture can hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from collections_on_disk import Case, write_cbis, write_mini_mias
from published_layouts import write_cesm, write_cmmd, write_inbreast, write_vindr
from pydicom import dcmread

from mammofill.ground.errors import LeakError, SourceError
from mammofill.mammograms import IngestSettings, ingest
from mammofill.mammograms.draw_masks import share_in_picture, why_not_drawn
from mammofill.mammograms.sources.annotations import Box, Circle, Collection, Outline
from mammofill.mammograms.sources.cbis_ddsm import read_cbis_ddsm
from mammofill.mammograms.sources.cdd_cesm import read_cdd_cesm
from mammofill.mammograms.sources.cmmd import read_cmmd
from mammofill.mammograms.sources.inbreast import read_inbreast
from mammofill.mammograms.sources.mini_mias import read_mini_mias
from mammofill.mammograms.sources.pathology_words import birads_category
from mammofill.mammograms.sources.vindr_mammo import read_vindr_mammo

SETTINGS = IngestSettings(collection="table")
NAME = "P1_L_DM_MLO"
TRIANGLE = [("Mass", [(5, 5), (20, 5), (20, 20)])]


def rules(found: Collection) -> list[str]:
    return [one.rule for one in (*found.exclusions, *found.decisions)]


def vindr(folder: Path, finding: str, study: str = "s1", breast: str = "BI-RADS 1") -> Collection:
    rows = [
        f"{study},series,i1,LEFT,CC,60,40,{breast},DENSITY C,{finding},training",
        "s1,series,i2,R,mlo,60,40,BI-RADS 1,DENSITY C,['No Finding'],,,,,,training",
    ]
    return read_vindr_mammo(write_vindr(folder, rows, [("s1", "i1"), ("s1", "i2")]), SETTINGS)


# ---- VinDr-Mammo ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("finding", ["['No Finding'],,3,2,13,15", "['no finding'],BI-RADS 5,,,,"])
def test_no_finding_that_has_a_box_or_a_category_is_not_normal(tmp_path: Path, finding: str) -> None:
    found = vindr(tmp_path, finding)
    assert [entry.all_lesions_located for entry in found.mammograms] == [False, True]
    assert rules(found) == ["rows-disagree"]
    assert "row 2 says that there is no finding, and gives one a box or a category" in found.exclusions[0].found


def test_vindr_tells_images_of_no_row_as_where_the_table_was_cut_off(tmp_path: Path) -> None:
    source = write_vindr(tmp_path, ["s1,series,i1,R,CC,60,40,BI-RADS 1,DENSITY C,['No Finding'],,,,,,training"],
                         [("s1", "i1"), ("s1", "i2"), ("s2", "i3")])  # fmt: skip
    found = read_vindr_mammo(source, SETTINGS)
    assert [(one.what, one.rule) for one in found.decisions] == [("i2", "files-of-no-row")]
    first = source / "images" / "s1" / "i2.dicom"
    assert found.decisions[0].found == f"2 images have no row in the table, the first {first}."


def test_a_breast_with_two_categories_gives_no_normal_patches(tmp_path: Path) -> None:
    rows = [
        f"s{study},series,i{study}{view},L,{view},60,40,BI-RADS {birads},DENSITY C,{finding},training"
        for study, view, birads, finding in (
            (1, "CC", 3, "['Mass'],BI-RADS 3,3,2,13,15"), (1, "MLO", 1, "['No Finding'],,,,,"),
            (2, "CC", 1, "['No Finding'],,,,,"), (2, "MLO", 1, "['No Finding'],,,,,"),
        )
    ]  # fmt: skip
    images = [(f"s{study}", f"i{study}{view}") for study in (1, 2) for view in ("CC", "MLO")]
    found = read_vindr_mammo(write_vindr(tmp_path, rows, images), SETTINGS)
    assert [entry.all_lesions_located for entry in found.mammograms] == [False, False, True, True]
    assert [(one.what, one.rule) for one in found.decisions] == [("i1CC", "rows-disagree"), ("i1MLO", "rows-disagree")]
    assert found.decisions[1].found == (
        "finding_annotations.csv row 2 (BI-RADS 3) and finding_annotations.csv row 3 (BI-RADS 1) disagree about the "
        "left breast of s1, which i1MLO shows."
    )


def test_words_are_read_however_they_are_written(tmp_path: Path) -> None:
    found = vindr(tmp_path, "['Mass'],bi-rads  4A,3,2,13,15", breast="bi-rads 4")
    first, second = found.mammograms
    assert (first.laterality, first.view, first.lesions[0].pathology) == ("left", "cc", "malignant")
    assert (second.laterality, second.view, second.all_lesions_located) == ("right", "mlo", True)
    assert rules(found) == []


@pytest.mark.parametrize(
    ("cell", "kind", "categories"),
    [("['Skin Thickening' 'Mass']", "mass", "Skin Thickening, Mass"), ("('Mass',)", "mass", "Mass"),
     ("[mass]", "mass", "mass"), ("Skin Thickening; Mass", "mass", "Skin Thickening, Mass"),
     ("['Suspicious calcification']", "calcification", "Suspicious calcification"), ("{[1]: 2}", "other", "1]: 2")],
)  # fmt: skip
def test_a_list_of_categories_is_read_as_programs_and_people_write_it(
    tmp_path: Path, cell: str, kind: str, categories: str
) -> None:
    found = vindr(tmp_path, f'"{cell}",BI-RADS 4,3,2,13,15')
    (lesion,) = found.mammograms[0].lesions
    assert (lesion.abnormality, lesion.attributes["categories"]) == (kind, categories)
    assert rules(found) == []


def test_an_image_in_the_folder_of_another_study_is_nobodys(tmp_path: Path) -> None:
    found = vindr(tmp_path, "['Mass'],BI-RADS 4,3,2,13,15", study="s2")
    assert [entry.mammogram_id for entry in found.mammograms] == ["i2"]
    assert rules(found) == ["patient-contradicted"]
    assert "says that i1 is of s2, but" in found.exclusions[0].found
    assert "lies in the folder of another" in found.exclusions[0].found


@pytest.mark.parametrize(
    ("word", "category"),
    [("BI-RADS 4", "4"), ("birads 4 A", "4a"), ("5.0", "5"), (" 4c", "4c"), ("0", "0"), ("7", None), ("4-5", None),
     ("", None), ("50", None)],
)  # fmt: skip
def test_categories_of_birads(word: str, category: str | None) -> None:
    assert birads_category(word) == category


# ---- INbreast -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("birads", ["5.0", "BI-RADS 5", "4 a"])
def test_inbreast_reads_a_category_that_a_spreadsheet_changed(tmp_path: Path, birads: str) -> None:
    found = read_inbreast(
        write_inbreast(tmp_path, [f"L;CC;111;4;{birads}"], {"111": "ab"}, {"111": TRIANGLE}), SETTINGS
    )
    assert [lesion.pathology for lesion in found.mammograms[0].lesions] == ["malignant"]
    assert rules(found) == []


def test_inbreast_tells_a_name_that_says_another_side_or_view(tmp_path: Path) -> None:
    source = write_inbreast(tmp_path, ["L;MLO;111;4;5", "L;MLO;222;4;5"], {"111": "ab", "222": "cd"}, {"111": TRIANGLE})
    path = next(source.rglob("111_*.dcm"))
    path.rename(path.with_name("111_ab_MG_R_CC_ANON.dcm"))
    found = read_inbreast(source, SETTINGS)
    (told,) = found.decisions
    assert (told.what, told.rule) == ("111", "file-contradicts-table")
    assert told.found.endswith("says right, where the table says left and cc, where the table says mlo.")


@pytest.mark.parametrize(
    ("old", "new", "story"),
    [
        (b"<key>NumberOfROIs</key>\n\t\t\t<integer>1<", b"<key>NumberOfROIs</key>\n\t\t\t<integer>3<",
         "of 3 outlines only 1 are there in 111.xml"),
        (b"<key>NumberOfPoints</key>\n\t\t\t\t\t<integer>3<", b"<key>NumberOfPoints</key>\n\t\t\t\t\t<integer>9<",
         "outline 1 (Mass) has 3 of the 9 points that it should have in 111.xml"),
    ],
)  # fmt: skip
def test_inbreast_misses_outlines_and_points_that_are_counted(
    tmp_path: Path, old: bytes, new: bytes, story: str
) -> None:
    source = write_inbreast(tmp_path, ["L;CC;111;4;5"], {"111": "ab"}, {"111": TRIANGLE})
    path = next(source.rglob("111.xml"))
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    found = read_inbreast(source, SETTINGS)
    assert story in found.exclusions[0].found
    assert not found.mammograms[0].all_lesions_located


# ---- CBIS-DDSM ------------------------------------------------------------------------------------------------------


def test_cbis_takes_a_mammogram_that_tables_of_both_splits_name_for_test(tmp_path: Path) -> None:
    cases = [Case(), Case(number=2), Case(view="MLO"), Case("P_00002"), Case("P_00003", split="test")]
    source = write_cbis(tmp_path / "cbis", cases)
    train, test = (source / f"mass_case_description_{split}_set.csv" for split in ("train", "test"))
    lines = train.read_bytes().split(b"\r\n")
    train.write_bytes(b"\r\n".join([*lines[:2], *lines[3:]]))
    test.write_bytes(test.read_bytes() + lines[2] + b"\r\n")
    found = ingest(source, tmp_path / "out", IngestSettings())
    patient = found.mammograms[found.mammograms["patient_id"] == "P_00001"]
    assert patient[["split", "official_split"]].to_numpy().tolist() == [["test", "test"], ["test", "train"]]
    told = found.decisions.set_index("rule")["found"]
    assert told["mammogram-in-two-splits"] == (
        "mass_case_description_train_set.csv row 2 (train) and mass_case_description_test_set.csv row 3 (test) all "
        "describe Mass-Training_P_00001_LEFT_CC, which cannot be in both splits."
    )
    assert told["patient-kept-for-test"] == "The collection has P_00001 in test and in train."
    with pytest.raises(LeakError, match="1 mammogram is in more than one split of the collection: mass_case.*row 3"):
        ingest(source, tmp_path / "again", IngestSettings(split="official"))


def test_cbis_tables_with_exchanged_names_are_read_by_their_rows(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case(), Case("P_00002"), Case("P_00003", split="test")])
    train, test = (source / f"mass_case_description_{split}_set.csv" for split in ("train", "test"))
    train.rename(source / "x.csv")
    test.rename(train)
    (source / "x.csv").rename(test)
    found = read_cbis_ddsm(source, IngestSettings())
    splits = {entry.patient_id: entry.official_split for entry in found.mammograms}
    assert splits == {"P_00001": "train", "P_00002": "train", "P_00003": "test"}
    told = [(one.found, one.done) for one in found.decisions if one.rule == "table-called-otherwise"]
    assert told[0] == (
        "mass_case_description_test_set.csv is called the table of mass test, but its first row is of mass train.",
        "Read as the table of mass train, for the mammograms are called so.",
    )
    assert len(told) == 2


def test_cbis_rows_of_the_test_set_in_a_training_table_are_not_learned_from(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case(), Case("P_00003", split="test")])
    train, test = (source / f"mass_case_description_{split}_set.csv" for split in ("train", "test"))
    header, *rows = test.read_bytes().split(b"\r\n")
    train.write_bytes(train.read_bytes() + b"\r\n".join(rows))
    test.write_bytes(header + b"\r\n")
    found = read_cbis_ddsm(source, IngestSettings())
    assert {entry.patient_id: entry.official_split for entry in found.mammograms}["P_00003"] == "test"
    assert {row.patient_id: row.official_split for row in found.listed}["P_00003"] == "test"
    told = {one.rule: one.found for one in found.decisions}
    assert told["mammogram-in-two-splits"] == (
        "mass_case_description_train_set.csv row 3 (train) describes Mass-Test_P_00003_LEFT_CC, whose name is of the "
        "other split."
    )
    with pytest.raises(LeakError, match="1 mammogram is in more than one split of the collection: mass_case.*row 3"):
        read_cbis_ddsm(source, IngestSettings(split="official"))


def test_cbis_calcifications_in_a_table_of_masses_are_calcifications(tmp_path: Path) -> None:
    cases = [Case(), Case("P_00002", split="test"), Case("P_00004", kind="calc"), Case("P_00005", kind="calc")]
    source = write_cbis(tmp_path / "cbis", cases, kinds=("mass", "calc"))
    masses, calcifications = (source / f"{kind}_case_description_train_set.csv" for kind in ("mass", "calc"))
    masses.write_bytes(masses.read_bytes() + calcifications.read_bytes().split(b"\r\n", 1)[1])
    found = read_cbis_ddsm(source, IngestSettings(abnormality="all"))
    kinds = {entry.patient_id: [lesion.abnormality for lesion in entry.lesions] for entry in found.mammograms}
    assert (kinds["P_00001"], kinds["P_00004"]) == (["mass"], ["calcification"])
    assert "twin-views" not in {one.rule for one in found.decisions}
    told = [one.found for one in found.decisions if one.rule == "table-called-otherwise"]
    assert told == [
        "mass_case_description_train_set.csv is the table of mass train, but has 2 rows of mammograms of another kind, "
        "the first mass_case_description_train_set.csv row 3 (Calc-Training_P_00004_LEFT_CC)."
    ]


def test_cbis_tells_columns_that_contradict_the_name_of_the_mammogram(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case(), Case(number=2), Case("P_00003", split="test")])
    table = source / "mass_case_description_train_set.csv"
    table.write_bytes(table.read_bytes().replace(b"P_00001,3,LEFT,CC,2", b"P_00001,3,RIGHT,MLO,2"))
    told = [one for one in read_cbis_ddsm(source, IngestSettings()).decisions if one.rule == "file-contradicts-table"]
    assert [one.what for one in told] == ["Mass-Training_P_00001_LEFT_CC"]
    assert told[0].found == (
        "The name Mass-Training_P_00001_LEFT_CC, of mass_case_description_train_set.csv row 3, says left, where the "
        "table says right and cc, where the table says mlo."
    )


# ---- CMMD -----------------------------------------------------------------------------------------------------------


def test_cmmd_leaves_out_a_file_whose_header_names_another_patient(tmp_path: Path) -> None:
    rows = ["D1-0001,Right,44,2,mass,Benign,", "D1-0002,R,44,2,mass,Malignant,"]
    files = [("D1-0001", "1-1.dcm", "R", "CC"), ("D1-0001", "1-2.dcm", "R", "MLO")]
    source = write_cmmd(tmp_path, rows, files)
    path = next(source.rglob("1-1.dcm"))
    dataset = dcmread(path)
    dataset.PatientID = "d1-2"
    dataset.save_as(path)
    found = read_cmmd(source, SETTINGS)
    assert [(entry.mammogram_id, entry.laterality) for entry in found.mammograms] == [("D1-0001_1-2", "right")]
    assert [(one.what, one.rule) for one in found.exclusions if one.rule == "patient-contradicted"] == [
        ("1-1.dcm", "patient-contradicted")
    ]
    assert "lies in the folder of D1-0001, but its header says that it is of D1-0002" in found.exclusions[0].found


# ---- CDD-CESM -------------------------------------------------------------------------------------------------------


def test_cesm_finds_regions_and_images_in_another_case_and_tells_those_of_no_row(tmp_path: Path) -> None:
    circle = {"name": "circle", "cx": 12, "cy": 20, "r": 5}
    regions = [("p1_l_dm_mlo.JPG", circle), ("P1_R_DM_MLO.jpg", circle)]
    source = write_cesm(tmp_path, [("P1_L_DM_MLO", "mass", "Malignant")], regions, ["p1_L_dm_MLO.jpg"])
    found = read_cdd_cesm(source, SETTINGS)
    assert [(entry.mammogram_id, len(entry.lesions)) for entry in found.mammograms] == [("P1_L_DM_MLO", 1)]
    (told,) = found.decisions
    assert told.rule == "drawings-of-no-row"
    assert told.found.endswith("row 3 on P1_R_DM_MLO.jpg.")


def test_cesm_tells_images_of_no_row(tmp_path: Path) -> None:
    rows = [("P1_R_DM_MLO", "", "Normal"), ("P1_R_CM_MLO", "", "Normal")]
    source = write_cesm(tmp_path, rows, [], ["P1_R_DM_MLO.jpg", "P1_R_CM_MLO.jpg", "P2_R_DM_MLO.jpg"])
    found = read_cdd_cesm(source, SETTINGS)
    told = [one.found for one in found.decisions if one.rule == "files-of-no-row"]
    first = source / "Low energy images of CDD-CESM" / "P2_R_DM_MLO.jpg"
    assert told == [f"1 image has no row in the table, the first {first}."]


def test_cesm_gives_no_normal_patches_where_the_subtracted_image_shows_a_lesion(tmp_path: Path) -> None:
    other = NAME.replace("P1", "P2")
    rows = [(NAME, "", "Normal"), (NAME.replace("DM", "CM"), "Mass", "Malignant"), (other, "", "Normal"),
            (other.replace("DM", "CM"), "", "Normal")]  # fmt: skip
    found = read_cdd_cesm(write_cesm(tmp_path, rows, [], [f"{NAME}.jpg", f"{other}.jpg"]), SETTINGS)
    assert [(one.mammogram_id, one.all_lesions_located) for one in found.mammograms] == [(NAME, False), (other, True)]
    assert [(one.rule, one.found) for one in found.decisions if one.rule != "subtracted"] == [
        ("rows-disagree", "Radiology-manual-annotations.csv row 2 calls P1_L_DM_MLO normal, but "
         "Radiology-manual-annotations.csv row 3 calls P1_L_CM_MLO, the subtracted image of the same view, malignant.")
    ]  # fmt: skip


def cesm_with_columns(tmp_path: Path, *rows: str) -> Collection:
    """Write rows like "1,L,MLO,Normal,P1_L_DM_MLO", with their images, and read them."""
    header = "Patient_ID,Side,View,Pathology Classification/ Follow up,Image_name"
    (tmp_path / "annotations.csv").write_text("\n".join([header, *rows]) + "\n")
    for row in rows:
        (tmp_path / f"{row.rsplit(',', 1)[1]}.jpg").write_bytes(b"no picture")
    return read_cdd_cesm(tmp_path, SETTINGS)


def test_cesm_takes_nothing_for_normal_whose_columns_contradict_its_name(tmp_path: Path) -> None:
    rows = ("1,L,MLO,Normal,P1_L_DM_MLO", "P2,R,CC,Normal,P2_R_DM_CC2", "3.0,L,CC,Normal,P3_L_DM_CC",
            "5,R,CC,Normal,P4_L_DM_CC", ",,,Normal,P5_L_DM_CC")  # fmt: skip
    found = cesm_with_columns(tmp_path, *rows)
    assert [one.mammogram_id for one in found.mammograms if not one.all_lesions_located] == ["P4_L_DM_CC"]
    (told,) = found.decisions
    assert (told.rule, told.found) == (
        "rows-disagree",
        "The name P4_L_DM_CC, of annotations.csv row 5, says P4, where the table says 5 and left, where the table says "
        "right.",
    )


def test_cesm_says_that_a_column_of_the_table_has_slipped(tmp_path: Path) -> None:
    rows = ("1,L,MLO,Normal,P2_R_DM_CC", "2,R,CC,Normal,P3_L_DM_CC", "3,L,CC,Normal,P1_L_DM_MLO")
    found = cesm_with_columns(tmp_path, *rows)
    assert [one.rule for one in found.decisions] == ["names-contradict-rows", *3 * ["rows-disagree"]]
    assert found.decisions[0].found.startswith("The names of the files of 3 of 3 images contradict their rows.")


def test_cesm_takes_nothing_below_a_folder_of_masks_for_a_mammogram(tmp_path: Path) -> None:
    source = write_cesm(tmp_path, [(NAME, "", "Normal")], None, masks=[f"png/{NAME}.png"])
    found = read_cdd_cesm(source, SETTINGS)
    assert found.mammograms == ()
    assert rules(found) == ["file-missing"]


@pytest.mark.parametrize(
    "shape",
    [
        '{"name": "circle", "cx": 5, "cy": 5, "r": 1%s}' % ("0" * 400),
        {"name": "circle", "cx": True, "cy": 5, "r": 3},
        {"name": "ellipse", "cx": 15, "cy": 25, "rx": -5, "ry": 3},
        '{"name": "ellipse", "cx": 15, "cy": 25, "rx": 5, "ry": 3, "theta": NaN}',
    ],
)
def test_one_region_that_cannot_be_drawn_is_a_row(tmp_path: Path, shape: object) -> None:
    file = "P1_L_DM_MLO.jpg"
    found = read_cdd_cesm(write_cesm(tmp_path, [(file[:-4], "mass", "Benign")], [(file, shape)], [file]), SETTINGS)
    assert rules(found) == ["lesion-without-place"]
    assert "row 2 gives a region of P1_L_DM_MLO that cannot be drawn" in found.exclusions[0].found


# ---- mini-MIAS ------------------------------------------------------------------------------------------------------


def mias(folder: Path, content: bytes, *images: str) -> Collection:
    (folder / "Info.txt").write_bytes(content)
    for name in images:
        (folder / f"{name}.pgm").write_bytes(b"P5 1 1 255\n\0")
    return read_mini_mias(folder, SETTINGS)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_mias_does_not_lose_the_first_line_to_a_mark_before_it(tmp_path: Path, encoding: str) -> None:
    content = "mdb001 G CIRC B 535 425 197\nmdb001 G CIRC M 100 425 20\n".encode(encoding)
    assert len(mias(tmp_path, content, "mdb001").mammograms[0].lesions) == 2


@pytest.mark.parametrize("lines", ["mdb001 G NORM\nmdb001 G CIRC B 535 425 197", "mdb001 G NORM B 535 425 197"])
def test_mias_takes_nothing_for_normal_that_has_a_lesion_too(tmp_path: Path, lines: str) -> None:
    found = mias(tmp_path, lines.encode(), "mdb001")
    assert not found.mammograms[0].all_lesions_located
    assert rules(found) == ["rows-disagree"]
    assert found.exclusions[0].found.startswith("Info.txt line 1 calls mdb001 normal, but ")


def test_mias_tells_images_of_no_row_and_does_not_swallow_a_second_line(tmp_path: Path) -> None:
    lines = b"mdb003 G NORM\nmdb001 G CIRC B 535 425 197 mdb002 G CIRC M 535 425 197\n"
    found = mias(tmp_path, lines, "mdb001", "mdb002", "mdb003")
    assert [(one.mammogram_id, one.all_lesions_located) for one in found.mammograms] == [
        ("mdb001", False), ("mdb003", True)
    ]  # fmt: skip
    assert [(one.rule, one.what) for one in found.decisions] == [("files-of-no-row", "mdb002")]


def test_mias_takes_no_mask_for_a_mammogram_and_no_picture_of_two_that_differ(tmp_path: Path) -> None:
    for folder, name, content in (
        ("images", "mdb001.png", b"1"), ("images", "mdb001.pgm", b"2"), ("Masks/png", "mdb001.pgm", b"3"),
        ("images", "mdb003.pgm", b"4"), ("again", "mdb003.pgm", b"4"),
        ("images", "mdb005.pgm", b"5"), ("again", "mdb005.pgm", b"6"),
    ):  # fmt: skip
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / name).write_bytes(content)
    found = mias(tmp_path, b"mdb001 G NORM\nmdb003 G NORM\nmdb005 G NORM\n")
    files = {
        entry.mammogram_id: [str(path.relative_to(tmp_path)) for path in entry.image] for entry in found.mammograms
    }
    assert files == {
        "mdb001": ["images/mdb001.pgm"], "mdb003": ["again/mdb003.pgm", "images/mdb003.pgm"],
        "mdb005": ["again/mdb005.pgm", "images/mdb005.pgm"],
    }  # fmt: skip
    (told,) = found.decisions
    assert told.rule == "masks-not-read"
    assert told.found == (
        f"1 file in folders of masks has the names of images, the first {tmp_path / 'Masks' / 'png' / 'mdb001.pgm'}."
    )


def test_pictures_of_one_name_in_two_folders_are_named(tmp_path: Path) -> None:
    write_mini_mias(tmp_path, ["mdb001 G NORM", "mdb003 G NORM"], ["mdb001", "mdb003"])
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "mdb003.pgm").write_bytes((tmp_path / "mdb001.pgm").read_bytes())
    found = ingest(tmp_path, tmp_path / "out", IngestSettings(collection="mini-mias", split="patients"))
    assert found.mammograms["mammogram_id"].tolist() == ["mdb001"]
    assert found.exclusions[["rule", "found"]].to_numpy().tolist() == [
        ["unreadable", "The mammogram mdb003 has several files: mdb003.pgm, again/mdb003.pgm. Remove all but one."]
    ]


def test_mias_refuses_two_tables_that_differ(tmp_path: Path) -> None:
    lines = b"mdb001 G NORM\r\n"
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "Info.txt").write_bytes(lines.replace(b"\r", b""))
    assert len(mias(tmp_path, lines, "mdb001").mammograms) == 1
    with pytest.raises(
        SourceError, match="Info.txt and .*copy/Info.txt could both be Info.txt, and differ. Remove one."
    ):
        mias(tmp_path, b"mdb001 G CIRC B 535 425 197\n", "mdb001")


# ---- places ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (Circle(5, 5, 0), "has the radius 0"),
        (Circle(5, 5, -3), "has the radius -3"),
        (Circle(np.nan, 5, 3), "has numbers that are not finite"),
        (Circle(1e300, 5, 1e300), "has numbers up to 2e+300, farther than any picture reaches"),
        (Outline((((1.0, 2.0), (3e9, 4.0), (5.0, 9.0)),)), "has numbers up to 3e+09, farther than any picture reaches"),
        (Box(5, 5, -4, 3), "is -4 high and 3 wide"),
        (Box(0.1, 0.2, 0.3, 0.4), "they are shares of the picture, where pixels are needed"),
        (Outline((((0.1, 0.2), (0.3, 0.4), (0.2, 0.9)),)), "they are shares of the picture, where pixels are needed"),
        (Outline((((0.0, 1.0),),)), ""),
        (Box(-6, 5, 24, 14), ""),
        (Circle(0.5, 0.5, 3), ""),
    ],
)
def test_places_that_cannot_be(place: Circle | Box | Outline, why: str) -> None:
    assert why_not_drawn(place) == why or (why and why in why_not_drawn(place))


def test_how_much_of_a_place_lies_in_the_picture() -> None:
    assert share_in_picture(Box(-0.5, -0.5, 10, 10), (60, 40)) == 1.0
    assert share_in_picture(Box(5, 35, 10, 18), (60, 40)) == pytest.approx(4.5 / 18)
    assert share_in_picture(Circle(-0.5, -0.5, 5), (60, 40)) == pytest.approx(0.25)
    assert share_in_picture(Outline((((5.0, 5.0),),)), (60, 40)) == 1.0


@pytest.mark.parametrize(
    ("points", "finding", "expected"),
    [
        ([(5, 5), (15, 20)], "mass", True),
        ([(5, 5), (10, 10), (20, 20), (5, 5)], "mass", True),
        ([(5, 5), (15, 20)], "calcifications", False),
        ([(5, 5), (20, 20), (20, 5), (5, 20)], "mass", False),
    ],
)
def test_an_outline_that_is_a_line_is_told(
    tmp_path: Path, points: list[tuple[int, int]], finding: str, expected: bool
) -> None:
    x, y = ([point[axis] for point in points] for axis in (0, 1))
    region = {"name": "polygon", "all_points_x": x, "all_points_y": y}
    source = write_cesm(tmp_path / "in", [(NAME, finding, "Benign")], [(f"{NAME}.jpg", region)], [f"{NAME}.jpg"])
    settings = IngestSettings(collection="cdd-cesm", abnormality="all", height_px=None, split="patients")
    found = ingest(source, tmp_path / "out", settings)
    told = found.decisions.set_index("rule")["found"]
    assert ("outline-without-area" in told.index) == expected
    if expected:
        assert f"the outline of {NAME}_1 encloses nothing: its points lie on a line" in told["outline-without-area"]


def test_a_region_drawn_twice_is_one_lesion_and_one_mostly_outside_is_told(tmp_path: Path) -> None:
    box, again = (
        '{"name":"rect","x":5,"y":5,"width":10,"height":10}',
        '{"name": "rect", "x": 5, "y": 5, "width": 10, "height": 10.0}',
    )
    regions = [(f"{NAME}.jpg", box), (f"{NAME}.jpg", again), (f"{NAME}.jpg", '{"name":"circle","cx":12,"cy":62,"r":6}')]
    source = write_cesm(tmp_path / "in", [(NAME, "mass", "Benign")], regions, [f"{NAME}.jpg"])
    settings = IngestSettings(collection="cdd-cesm", height_px=None, split="patients")
    found = ingest(source, tmp_path / "out", settings)
    assert found.lesions["lesion_id"].tolist() == [f"{NAME}_1", f"{NAME}_3"]
    assert found.exclusions[["what", "rule"]].to_numpy().tolist() == [[f"{NAME}_2", "row-repeated"]]
    told = found.decisions.set_index("rule")["found"]
    assert "of the circle of P1_L_DM_MLO_3 only 29% lies in the picture" in told["place-cut-off"]
