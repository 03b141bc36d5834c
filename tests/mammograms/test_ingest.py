"""Collections of every kind, with the faults that they come with, through ingest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from collections_on_disk import COLUMNS, ROWS, Case, breast_picture, lesion_mask, write_cbis, write_mini_mias
from PIL import Image
from real_data import real_data

from mammofill.ground.errors import ImageFileError, LeakError, SettingsError, SourceError, TooFewError
from mammofill.ground.progress import Progress
from mammofill.mammograms import IngestSettings, MammogramSet, ingest
from mammofill.mammograms.reading import read_image, read_mask
from mammofill.mammograms.sources.mini_mias import read_mini_mias

CBIS = IngestSettings(height_px=None)
MIAS = IngestSettings(collection="mini-mias", abnormality="all", height_px=None)
TABLE = IngestSettings(collection="table", height_px=None)


def excluded(found: MammogramSet) -> dict[str, str]:
    return dict(zip(found.exclusions["what"], found.exclusions["rule"], strict=True))


@pytest.mark.parametrize("layout", ["tables", "tcia"])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("described", [False, True])
def test_cbis_masks_are_told_apart_by_content(tmp_path: Path, layout: str, swapped: bool, described: bool) -> None:
    case = Case(swapped=swapped, described=described)
    source = write_cbis(tmp_path / "cbis", [case, replace(case, view="MLO")], layout)
    found = ingest(source, tmp_path / "out", CBIS)
    assert excluded(found) == {}
    assert np.array_equal(found.mask("Mass-Training_P_00001_LEFT_CC_1"), lesion_mask(case))
    assert np.array_equal(found.image("Mass-Training_P_00001_LEFT_CC"), breast_picture())
    first = found.mammograms.iloc[0]
    assert (first["patient_id"], first["laterality"], first["view"]) == ("P_00001", "left", "cc")
    assert (first["bits_stored"], first["density"], first["all_lesions_located"]) == (16, "3", True)
    lesion = found.lesions.iloc[0]
    assert (lesion["pathology"], lesion["abnormality"], lesion["area_px"]) == ("malignant", "mass", 96)
    assert json.loads(lesion["attributes"])["mass margins"] == "CIRCUMSCRIBED"


def test_every_fault_is_a_row_and_the_rest_goes_on(tmp_path: Path) -> None:
    cases = [
        Case("P_00001"),
        Case("P_00001", number=2, pathology="BENIGN_WITHOUT_CALLBACK"),
        Case("P_00002", mask_shape=(ROWS + 6, COLUMNS)),
        Case("P_00003", empty_mask=True),
        Case("P_00004", pathology=""),
        Case("P_00005", without="image"),
        Case("P_00006", without="mask"),
        Case("P_00007", truncated=True),
        Case("P_00008", pathology="BENIGN", split="test"),
        Case("P_00009", without="mask alone"),
        Case("P_00010", truncated_mask=True),
    ]
    found = ingest(write_cbis(tmp_path / "cbis", cases), tmp_path / "out", CBIS)
    rules = excluded(found)
    assert rules == {
        "Mass-Training_P_00002_LEFT_CC_1": "mask-size",
        "Mass-Training_P_00003_LEFT_CC_1": "mask-empty",
        "Mass-Training_P_00004_LEFT_CC_1": "lesion-without-pathology",
        "mass_case_description_train_set.csv row 7": "file-missing",
        "Mass-Training_P_00006_LEFT_CC_1": "file-missing",
        "Mass-Training_P_00007_LEFT_CC": "unreadable",
        "Mass-Training_P_00009_LEFT_CC_1": "mask-missing",
        "Mass-Training_P_00010_LEFT_CC_1": "mask-unreadable",
    }
    stories = dict(zip(found.exclusions["rule"], found.exclusions["found"], strict=True))
    assert "is 66x40, its mammogram 60x40" in stories["mask-size"]
    assert "marks no pixel" in stories["mask-empty"]
    assert "is truncated: 60x40 pixels" in stories["unreadable"]
    assert "gives the pathology ''" in stories["lesion-without-pathology"]
    located = dict(zip(found.mammograms["patient_id"], found.mammograms["all_lesions_located"], strict=True))
    assert located == {
        "P_00001": True, "P_00002": False, "P_00003": False, "P_00004": False, "P_00006": False, "P_00008": True,
        "P_00009": False, "P_00010": False,
    }  # fmt: skip
    assert found.lesions["pathology"].tolist() == ["benign", "malignant", "benign"]
    told = dict(found.decisions["rule"].value_counts())
    assert told == {"twins-unknown": 1, "masks-identical": 1, "range-unused": 1}
    assert found.manifest.counts == {"mammograms": 8, "lesions": 3, "exclusions": 8, "decisions": 3}


def test_a_collection_of_faults_alone_is_refused(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case(truncated=True), Case("P_00002", without="image")])
    with pytest.raises(TooFewError, match="no mammogram is left. Excluded: file-missing 1, unreadable 1"):
        ingest(source, tmp_path / "out", CBIS)


def test_tables_and_columns_that_are_missing_are_named(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case()])
    with pytest.raises(SourceError, match="lacks calc_case_description_train_set.csv, calc_case_description_test_set"):
        ingest(source, tmp_path / "out", replace(CBIS, abnormality="all"))
    table = source / "mass_case_description_train_set.csv"
    table.write_text(table.read_text().replace("pathology", "diagnosis"))
    with pytest.raises(SourceError, match="lacks the columns pathology; it has patient_id"):
        ingest(source, tmp_path / "out", CBIS)
    with pytest.raises(SourceError, match="nowhere does not exist"):
        ingest(tmp_path / "nowhere", tmp_path / "out", CBIS)
    assert not list(tmp_path.glob("out*"))


def test_a_patient_in_both_official_splits_stops_before_any_pixel(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case(), Case(split="test", view="MLO")])
    with pytest.raises(LeakError, match="1 patient is in more than one split of the collection: P_00001"):
        ingest(source, tmp_path / "out", replace(CBIS, split="official"))
    assert not list(tmp_path.glob("out*"))


class Stop(Progress):
    """Stops the work after some mammograms, as a kill would."""

    def __init__(self, after: int) -> None:
        self.left = after

    def _begin(self, name: str, total: float) -> Stop:
        return self

    def _end(self, task: object) -> None:
        pass

    def advance(self, steps: float = 1, note: str = "") -> None:
        if steps:
            self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def test_stopped_and_continued_in_several_processes_equals_uninterrupted(tmp_path: Path) -> None:
    cases = [Case(f"P_{k:05d}", empty_mask=k == 3) for k in range(6)] + [Case("P_00009", split="test")]
    source = write_cbis(tmp_path / "cbis", cases)
    whole = ingest(source, tmp_path / "whole", CBIS)
    with pytest.raises(KeyboardInterrupt):
        ingest(source, tmp_path / "stopped", CBIS, progress=Stop(after=3))
    assert (tmp_path / "stopped.partial").is_dir()
    continued = ingest(source, tmp_path / "stopped", replace(CBIS, workers=2))
    assert continued.fingerprint == whole.fingerprint
    assert sorted(path.name for path in continued.folder.iterdir()) == [
        "artifact.json", "decisions.parquet", "exclusions.parquet", "images", "lesions.parquet", "mammograms.parquet",
        "masks", "tissue",
    ]  # fmt: skip


def test_the_working_resolution_keeps_proportions_and_never_enlarges(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case()])
    small = ingest(source, tmp_path / "small", IngestSettings(height_px=30))
    assert small.image("Mass-Training_P_00001_LEFT_CC").shape == (30, 20)
    assert small.mask("Mass-Training_P_00001_LEFT_CC_1").sum() == 4 * 7  # columns 5 to 16: half pixels belong to it
    assert small.mammograms["scale"].tolist() == [0.5]
    large = ingest(source, tmp_path / "large", IngestSettings(height_px=2750))
    assert large.image("Mass-Training_P_00001_LEFT_CC").shape == (ROWS, COLUMNS)


def test_mini_mias_circles_count_from_the_bottom(tmp_path: Path) -> None:
    lines = ["mdb001 G CIRC B 100 900 20", "mdb002 G CALC M 50 1000 60", "mdb003 D NORM", "mdb004 F MISC B",
             "mdb005 F CALC B *NOTE 3*", "mdb006 G SPIC M 10 10 5"]  # fmt: skip
    source = write_mini_mias(tmp_path, lines, [f"mdb00{k}" for k in range(1, 6)])
    found = ingest(source, tmp_path / "out", MIAS)
    assert excluded(found) == {
        "mdb004_1": "lesion-without-place", "mdb005_1": "lesion-without-place", "mdb006": "file-missing",
    }  # fmt: skip
    rows, columns = np.nonzero(found.mask("mdb001_1"))
    assert (rows.mean(), columns.mean()) == (1023 - 900, 100)
    assert (rows.min(), rows.max()) == (1023 - 920, 1023 - 880)
    clipped = found.mask("mdb002_1")  # its circle runs past the corner
    assert clipped[0, 0]
    assert clipped.sum() < np.pi * 60**2 * 0.75
    table = found.mammograms.set_index("mammogram_id")
    assert table["patient_id"].tolist() == ["mias-001", "mias-001", "mias-002", "mias-002", "mias-003"]
    assert table["all_lesions_located"].tolist() == [True, True, True, False, False]
    assert table["spacing_mm"].tolist() == [0.2] * 5
    assert dict(zip(found.lesions["lesion_id"], found.lesions["abnormality"], strict=True)) == {
        "mdb001_1": "mass", "mdb002_1": "calcification",
    }  # fmt: skip


def test_renamed_tables_are_known_by_their_content(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case(), Case("P_00002", split="test")])
    (source / "csv").mkdir()
    for split in ("train", "test"):
        (source / f"mass_case_description_{split}_set.csv").rename(source / "csv" / f"my {split}.csv")
    (source / "metadata.csv").write_text("Series UID,Collection\n1.2,CBIS-DDSM\n")
    found = ingest(source, tmp_path / "out", CBIS)
    assert found.mammograms["split"].tolist() == ["test", "train"]
    copy = (source / "csv" / "my train.csv").read_bytes()
    (source / "csv" / "other.csv").write_bytes(copy)  # the same once more does no harm
    ingest(source, tmp_path / "again", CBIS)
    (source / "csv" / "other.csv").write_bytes(copy.replace(b"MALIGNANT", b"BENIGN"))
    with pytest.raises(SourceError, match="are both the table of mass train, and differ"):
        ingest(source, tmp_path / "third", CBIS)


def test_repeated_rows_count_once_and_contradictions_not_at_all(tmp_path: Path) -> None:
    cases = [Case(), Case(), Case("P_00002"), Case("P_00002", pathology="BENIGN"), Case("P_00003", split="test")]
    found = ingest(write_cbis(tmp_path / "cbis", cases), tmp_path / "out", CBIS)
    assert excluded(found) == {
        "mass_case_description_train_set.csv row 3": "row-repeated",
        "Mass-Training_P_00002_LEFT_CC_1": "rows-disagree",
    }
    assert found.mammograms["all_lesions_located"].tolist() == [True, True, False]
    assert found.lesions["lesion_id"].tolist() == ["Mass-Test_P_00003_LEFT_CC_1", "Mass-Training_P_00001_LEFT_CC_1"]


def test_linked_folders_are_followed_and_circles_of_links_end(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case(), Case("P_00002", split="test")])
    elsewhere = tmp_path / "disk"
    (source / "Mass-Test_P_00002_LEFT_CC").rename(elsewhere)
    (source / "Mass-Test_P_00002_LEFT_CC").symlink_to(elsewhere)
    (source / "again").symlink_to(source)
    assert excluded(ingest(source, tmp_path / "out", CBIS)) == {}


def test_the_set_is_the_same_wherever_the_collection_lies(tmp_path: Path) -> None:
    cases = [Case(), Case("P_00002", truncated=True), Case("P_00003", mask_shape=(ROWS + 6, COLUMNS)), Case("P_00004")]
    sets = [ingest(write_cbis(tmp_path / name, cases), tmp_path / f"out {name}", CBIS) for name in ("here", "there")]
    assert sets[0].fingerprint == sets[1].fingerprint
    assert not sets[0].exclusions["found"].str.contains(str(tmp_path), regex=False).any()
    assert len(sets[0].exclusions) == 2


def test_a_repaired_file_is_read_when_a_stopped_ingest_goes_on(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case(truncated=True), Case("P_00002", truncated=True)])
    with pytest.raises(TooFewError, match="Excluded: unreadable 2"):
        ingest(source, tmp_path / "out", CBIS)
    write_cbis(source, [Case(), Case("P_00002")])
    found = ingest(source, tmp_path / "out", CBIS)
    assert excluded(found) == {}
    assert found.fingerprint == ingest(source, tmp_path / "fresh", CBIS).fingerprint


def test_a_changed_copy_of_mini_mias_is_not_given_circles(tmp_path: Path) -> None:
    source = write_mini_mias(tmp_path, ["mdb001 G CIRC B 100 900 20", "mdb002 D NORM"], ["mdb001", "mdb002"])
    cv2.imwrite(str(source / "mdb001.pgm"), np.zeros((512, 512), np.uint8))
    with pytest.raises(TooFewError, match="no lesion is left. Excluded: unreadable 1. .* 512x512 pixels, but the coll"):
        ingest(source, tmp_path / "out", MIAS)


def test_mini_mias_without_its_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="lacks Info.txt"):
        ingest(tmp_path, tmp_path / "out", MIAS)
    (tmp_path / "Info.txt").write_text("nothing here")
    with pytest.raises(SourceError, match="has no row like"):
        ingest(tmp_path, tmp_path / "out", MIAS)


def write_table(folder: Path, rows: list[dict[str, object]]) -> Path:
    path = folder / "own.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("kind", ["png", "tif", "pgm"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_table_over_common_files_keeps_every_level(tmp_path: Path, kind: str, bits: int) -> None:
    levels = np.arange(2**bits).reshape(2 ** (bits // 2), -1).astype(np.uint8 if bits == 8 else np.uint16)
    cv2.imwrite(str(tmp_path / f"a.{kind}"), levels)
    mask = np.zeros(levels.shape, np.uint8)
    side = len(levels)
    mask[side * 3 // 4 : -1, side // 4 : side // 2] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    row = {"image": f"a.{kind}", "mask": "mask.png", "patient": "x", "pathology": "benign", "bits": bits}
    found = ingest(write_table(tmp_path, [row]), tmp_path / "out", TABLE)
    values = found.image("a").ravel().astype(int)
    assert (values[0], values[-1]) == (0, 65535)
    assert (np.diff(values) > 0).all()
    assert found.mask("a_1").sum() == (side // 4 - 1) * (side // 4)
    assert found.mammograms["bits_stored"].tolist() == [bits]


def lesion_row(folder: Path, name: str, pathology: str, **more: object) -> dict[str, object]:
    """Write a mammogram and a mask, and return the row of their lesion."""
    cv2.imwrite(str(folder / f"{name}.png"), breast_picture(ord(name[0])))
    cv2.imwrite(str(folder / f"{name}-mask.png"), lesion_mask(Case()).astype(np.uint8) * 255)
    return {
        "image": f"{name}.png", "mask": f"{name}-mask.png", "patient": name, "pathology": pathology, **more
    }  # fmt: skip


class Heard(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize(
    ("words", "explained", "meant"),
    [
        (("B", "M"), "", ["benign", "malignant"]),
        (("BENIGN_WITHOUT_CALLBACK", "Cancer"), "", ["benign", "malignant"]),
        (("BI-RADS 2", "birads6"), "", ["benign", "malignant"]),
        (("0", "1"), "", ["benign", "malignant"]),
        (("gutartig", "bösartig"), "Gutartig=benign, bösartig = malignant", ["benign", "malignant"]),
        (("BI-RADS 3", "M"), "bi-rads 3=benign", ["benign", "malignant"]),
        (("1", "2"), "1=benign,2=malignant", ["benign", "malignant"]),
    ],
)
def test_words_for_pathology_are_understood_and_said(
    tmp_path: Path, words: tuple[str, str], explained: str, meant: list[str]
) -> None:
    rows = [lesion_row(tmp_path, name, word) for name, word in zip("ab", words, strict=True)]
    heard = Heard()
    settings = replace(TABLE, pathology_words=explained)
    found = ingest(write_table(tmp_path, rows), tmp_path / "out", settings, progress=heard)
    assert found.lesions["pathology"].tolist() == meant
    assert f"own.csv says {words[0]!r} for pathology (1x). Read as benign." in heard.lines
    of_these_pictures = {"masks-identical", "range-unused"}
    assert set(found.decisions["rule"]) == {"pathology-word", *of_these_pictures}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("gutartig", "unsure"), r"'gutartig' for a_1, which is not known.*--pathology_words gutartig=CLASS"),
        (("BI-RADS 4b", "BI-RADS 5"), r"'BI-RADS 4b' .* a suspicion and no diagnosis.*--pathology_words 'BI-RADS 4b'="),
    ],
)
def test_a_table_without_a_lesion_that_is_understood_is_refused(
    tmp_path: Path, words: tuple[str, str], told: str
) -> None:
    rows = [lesion_row(tmp_path, name, word) for name, word in zip("ab", words, strict=True)]
    with pytest.raises(
        TooFewError, match=f"no lesion is left. Excluded: lesion-without-pathology 2. The first: .*{told}"
    ):
        ingest(write_table(tmp_path, rows), tmp_path / "out", TABLE)
    assert not list(tmp_path.glob("out*"))  # nothing was begun: the same --out is free for the mended command


def test_a_0_without_a_mask_may_be_a_normal_breast(tmp_path: Path) -> None:
    rows = [lesion_row(tmp_path, "a", "0"), lesion_row(tmp_path, "b", "1"), lesion_row(tmp_path, "c", "0", mask="")]
    with pytest.raises(TooFewError, match="'0' for a_1, whose meaning is certain only where .* every 0 has a mask"):
        ingest(write_table(tmp_path, rows), tmp_path / "out", TABLE)


def test_other_numbers_than_0_and_1_are_not_guessed(tmp_path: Path) -> None:
    rows = [lesion_row(tmp_path, "a", "1"), lesion_row(tmp_path, "b", "2")]
    with pytest.raises(TooFewError, match="'1' for a_1, whose meaning is certain only where numbers are 0 and 1"):
        ingest(write_table(tmp_path, rows), tmp_path / "out", TABLE)


def test_splits_and_classes_without_patients_are_warned_of(tmp_path: Path) -> None:
    rows = [lesion_row(tmp_path, name, "benign", split="train") for name in "abcdef"]
    rows += [lesion_row(tmp_path, "m", "malignant", split="test"), lesion_row(tmp_path, "v", "?", split="validation")]
    heard = Heard()
    ingest(write_table(tmp_path, rows), tmp_path / "out", TABLE, progress=heard)
    warned = [line for line in heard.lines if line.startswith("warning")]
    assert warned[:-1] == [
        "warning: no patient of the train split has a malignant lesion: nothing can be learned of the class.",
        "warning: no patient of the validation split has a benign lesion: no threshold can be chosen there.",
        "warning: no patient of the validation split has a malignant lesion: no threshold can be chosen there.",
        "warning: no patient of the test split has a benign lesion: nothing can be measured there.",
        "warning: the test split has few patients with a malignant lesion (1): what is measured on so few says little.",
    ]
    assert "lesions left out because their pathology is not known: 1. The first: " in warned[-1]


@pytest.mark.parametrize("text", ["gutartig", "gutartig=good", "=benign"])
def test_explained_words_must_be_pairs(text: str) -> None:
    with pytest.raises(SettingsError, match="pathology_words must be like 'B=benign, M=malignant'"):
        replace(TABLE, pathology_words=text)
    with pytest.raises(SettingsError, match="pathology_words must be left out: only a table of your own"):
        replace(CBIS, pathology_words="B=benign")


def test_a_word_with_two_meanings_is_refused() -> None:
    with pytest.raises(SettingsError, match="gives 'X' two meanings, benign and malignant: case, spaces"):
        replace(TABLE, pathology_words="x=benign, X=malignant")
    assert replace(TABLE, pathology_words="x=benign, X=Benign")


def test_a_table_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8), np.uint8))
    good: dict[str, object] = {"image": "a.png", "mask": "", "patient": "x", "pathology": "normal", "view": "CC"}
    for rows, words in [
        ([{"image": "a.png", "person": "x"}], "lacks the columns mask, patient, pathology; it has image, person"),
        ([good, good | {"patient": "y"}], "the rows of a.png disagree about patient: x, y"),
        ([good | {"patient": ""}], "own.csv row 2 names no patient"),
        ([good | {"view": "AP"}], "has 'AP' as view; known are cc, mlo"),
        ([good | {"bits": "17"}], "has '17' as bits, which must be a whole number from 1 to 16"),
        ([good, good | {"image": "a.tif"}], "the images a.png and a.tif would both be called a"),
        ([good | {"spacing_mm": "-1"}], "has '-1' as spacing_mm, which must be a number of mm, above 0"),
        ([good | {"spacing_mm": "200"}], "has '200' as spacing_mm.*200 micrometres are 0.2"),
    ]:
        with pytest.raises(SourceError, match=words):
            ingest(write_table(tmp_path, rows), tmp_path / "out", TABLE)
    with pytest.raises(TooFewError, match="does not exist. Write the folder out: ~ is not understood in tables"):
        ingest(write_table(tmp_path, [good | {"image": "~/a.png"}]), tmp_path / "out", TABLE)
    half = [good | {"split": "test"}, good | {"image": "b.png", "patient": "y", "split": ""}]
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((8, 8), np.uint8))
    with pytest.raises(SettingsError, match="split is auto, but the collection gives no split for b"):
        ingest(write_table(tmp_path, half), tmp_path / "out", TABLE)
    (tmp_path / "own.csv").write_bytes(b"image,mask\n\xff\xfe,\n")
    with pytest.raises(SourceError, match="own.csv cannot be read as a CSV table"):
        ingest(tmp_path, tmp_path / "out", TABLE)
    (tmp_path / "own.csv").write_text("")
    with pytest.raises(SourceError, match="own.csv cannot be read as a CSV table: it is empty"):
        ingest(tmp_path, tmp_path / "out", TABLE)
    (tmp_path / "second.csv").touch()
    with pytest.raises(SourceError, match="must hold just one .csv table, but holds own.csv, second.csv"):
        ingest(tmp_path, tmp_path / "out", TABLE)


def test_mammograms_of_a_table_are_named_without_the_folders_they_share(tmp_path: Path) -> None:
    for folder in ("pictures/one", "pictures/two"):
        (tmp_path / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / folder / "l cc.png"), np.arange(64, dtype=np.uint8).reshape(8, 8))
    rows: list[dict[str, object]] = [
        {"Image": f"pictures/{name}/l cc.png", "Mask": "", "Patient": name, "Pathology": "normal"}
        for name in ("one", "two")
    ]
    found = ingest(write_table(tmp_path, rows), tmp_path / "out", TABLE)
    assert found.mammograms["mammogram_id"].tolist() == ["one-l-cc", "two-l-cc"]
    assert found.mammograms["source_file"].tolist() == ["pictures/one/l cc.png", "pictures/two/l cc.png"]


def test_jpeg_masks_are_cut_at_half(tmp_path: Path) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 20:44] = 255
    cv2.imwrite(str(tmp_path / "mask.jpg"), mask, [cv2.IMWRITE_JPEG_QUALITY, 60])
    (tmp_path / "mask.jpg").rename(tmp_path / "mask")  # told by content, not by name
    assert np.array_equal(read_mask(tmp_path / "mask").mask, mask > 0)


def test_faults_of_a_table_are_rows(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.arange(64, dtype=np.uint8).reshape(8, 8))
    whole = (tmp_path / "d.png").read_bytes()
    (tmp_path / "d.png").write_bytes(whole[: len(whole) // 2])
    rows: list[dict[str, object]] = [
        lesion_row(tmp_path, "z", "malignant"),
        {"image": "a.png", "mask": "", "patient": "1", "pathology": "malignant"},
        {"image": "b.png", "mask": "nowhere.png", "patient": "2", "pathology": "malignant"},
        {"image": "c.png", "mask": "a.png", "patient": "3", "pathology": "unsure"},
        {"image": "d.png", "mask": "", "patient": "4", "pathology": "normal"},
        {"image": "e.png", "mask": "", "patient": "5", "pathology": "normal"},
    ]
    found = ingest(write_table(tmp_path, rows), tmp_path / "out", TABLE)
    assert excluded(found) == {
        "a_1": "lesion-without-place", "b_1": "file-missing", "c_1": "lesion-without-pathology", "d": "unreadable",
        "own.csv row 7": "file-missing",
    }  # fmt: skip


def test_files_that_are_no_gray_single_picture_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "colour.png")
    pages = [Image.new("L", (8, 8)) for _ in range(2)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / "fractions.tif")
    Image.fromarray(np.full((8, 8), -5, np.int32)).save(tmp_path / "signed.tif")
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((8, 8), 5000, np.uint16))
    cv2.imwrite(str(tmp_path / "many.png"), np.arange(64, dtype=np.uint8).reshape(8, 8))
    for name, words in [
        ("colour.png", "is a colour picture .mode RGB."),
        ("pages.tif", "has 2 frames; one is needed"),
        ("text.png", "is no DICOM, PNG, TIFF, PGM or JPEG image"),
        ("nowhere.png", "does not exist"),
        ("fractions.tif", "is a picture of fractions .mode F."),
        ("signed.tif", "holds values down to -5; intensities start at 0"),
        ("deep.png", "holds values up to 5000, more than the 12 bits"),
    ]:
        with pytest.raises(ImageFileError, match=words):
            read_image(tmp_path / name, 12 if name == "deep.png" else None, "none")
    with pytest.raises(ImageFileError, match="is not a mask: a mask has two values, this image has 64"):
        read_mask(tmp_path / "many.png")


@pytest.mark.real_data
def test_the_real_mini_mias() -> None:
    found = read_mini_mias(real_data("mini_mias"), MIAS)
    lesions = [lesion for entry in found.mammograms for lesion in entry.lesions]
    assert len(found.mammograms) == 242
    assert len({entry.patient_id for entry in found.mammograms}) == 121
    counts = pd.Series([lesion.pathology for lesion in lesions]).value_counts().to_dict()
    assert sum(exclusion.rule == "file-missing" for exclusion in found.exclusions) == 80
    assert counts == {"benign": 49, "malignant": 38}


@pytest.mark.real_data
def test_real_masks_through_a_table(tmp_path: Path) -> None:
    cbis, cesm = real_data("cbis_ddsm_p00001"), real_data("cddcesm_dm")
    rows: list[dict[str, object]] = [
        {"image": cbis / f"{name}_FULL.png", "mask": cbis / f"{name}_MASK.png", "patient": "P_00001", "view": view}
        for view in ("CC", "MLO")
        for name in [f"Mass-Training_P_00001_LEFT_{view}"]
    ] + [
        {"image": path, "mask": cesm / "masks" / path.name, "patient": path.stem[:4], "view": ""}
        for path in sorted((cesm / "images").iterdir())[:4]
    ]
    table = write_table(tmp_path, [row | {"pathology": "malignant"} for row in rows])
    found = ingest(table, tmp_path / "out", TABLE)
    assert excluded(found) == {}
    areas = found.lesions.set_index("mammogram_id")["area_px"]
    for mammogram_id in found.mammograms["mammogram_id"]:
        image, mask = found.image(mammogram_id), found.mask(f"{mammogram_id}_1")
        assert 50 < areas[mammogram_id] < 0.3 * image.size  # a JPEG mask of two values leaves no specks behind
        assert image[mask].mean() > image[~mask].mean()  # lesions lie in the breast, and are dense
