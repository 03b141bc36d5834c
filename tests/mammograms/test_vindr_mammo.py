"""VinDr-Mammo: entries, number by number, from a small collection in the published layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from published_layouts import write_vindr

from mammofill.ground.errors import SourceError
from mammofill.ground.imaging import decode_png
from mammofill.mammograms import IngestSettings, prepare
from mammofill.mammograms.sources.annotations import Box
from mammofill.mammograms.sources.vindr_mammo import read_vindr_mammo, recognises

SETTINGS = IngestSettings(collection="vindr-mammo")


def row(study: str, image: str, categories: str, birads: str, box: str, breast: str = "4", place: str = "L,CC") -> str:
    return f"{study},series,{image},{place},60,40,BI-RADS {breast},DENSITY C,{categories},{birads},{box},training"


def test_findings_are_boxes_with_a_class_of_their_own(tmp_path: Path) -> None:
    rows = [
        row("s1", "i1", "['Mass']", "BI-RADS 4", "23.5,17.25,24.75,18.5"),
        row("s1", "i1", "\"['Suspicious Calcification', 'Focal Asymmetry']\"", "BI-RADS 3", "-6.25,5,18,19"),
        row("s1", "i2", "\"['Nipple Retraction', 'Mass']\"", "BI-RADS 5", "1,2,3,5", place="R,MLO"),
        row("s3", "i3", "['No Finding']", "", ",,,", breast="1"),
        row("s4", "i4", "['No Finding']", "", ",,,", breast="2"),
        row("s2", "i5", "['Asymmetry']", "BI-RADS 3", "1,2,3,5").replace("training", "test"),
    ]
    images = [("s1", "i1"), ("s1", "i2"), ("s3", "i3"), ("s4", "i4"), ("s2", "i5")]
    found = read_vindr_mammo(write_vindr(tmp_path, rows, images), SETTINGS)
    first, second, normal, benign, test = found.mammograms
    assert (first.mammogram_id, first.patient_id, first.laterality, first.view) == ("i1", "s1", "left", "cc")
    assert (first.density, first.official_split, first.source_shape, first.spacing_mm) == ("C", "train", (60, 40), None)
    assert first.image == (tmp_path / "images" / "s1" / "i1.dicom",)
    assert [
        (lesion.lesion_id, lesion.pathology, lesion.abnormality, lesion.place) for lesion in first.lesions
    ] == [
        ("i1_1", "malignant", "mass", Box(top=17.25, left=23.5, height=1.25, width=1.25)),
        ("i1_2", "benign", "calcification", Box(top=5, left=-6.25, height=14, width=24.25)),
    ]  # fmt: skip
    assert first.lesions[1].attributes == {
        "categories": "Suspicious Calcification, Focal Asymmetry", "birads": "BI-RADS 3", "breast birads": "BI-RADS 4",
    }  # fmt: skip
    assert (second.lesions[0].abnormality, second.laterality, second.view) == ("mass", "right", "mlo")
    assert (test.lesions[0].abnormality, test.official_split) == ("other", "test")
    # Only BI-RADS 1 is known to be normal: benign findings are not marked.
    assert (normal.lesions, normal.all_lesions_located) == ((), True)
    assert (benign.lesions, benign.all_lesions_located) == ((), False)
    assert [(exclusion.what, exclusion.rule) for exclusion in found.exclusions] == [("i4", "lesion-without-place")]
    assert "the breast has BI-RADS 2, but no finding is marked" in found.exclusions[0].found
    assert [(one.lesion_id, one.pathology, one.abnormality, one.official_split) for one in found.listed] == [
        ("i1_1", "malignant", "mass", "train"),
        ("i1_2", "benign", "calcification", "train"),
        ("i2_1", "malignant", "mass", "train"),
        (None, "normal", None, "train"),
        (None, None, None, "train"),
        ("i5_1", "benign", "other", "test"),
    ]
    assert {one.missing for one in found.listed} == {()}


def test_every_fault_is_a_row(tmp_path: Path) -> None:
    rows = [
        row("s1", "i1", "['Skin Thickening']", "", "1,2,3,5"),
        row("s1", "i1", "['Mass']", "BI-RADS 4", "1,2,far,5"),
        row("s1", "i1", "['Mass']", "BI-RADS 4", "9,2,3,5"),
        row("s1", "i2", "['Mass']", "BI-RADS 4", "1,2,3,5"),
        row("s1", "i2", "['Mass']", "BI-RADS 4", "1,2,3,5"),
        row("s1", "i3", "Mass", "BI-RADS 4", "1,2,3,5"),
        row("s1", "i4", "['Mass']", "BI-RADS 4", "1,2,3,5"),
        row("s1", "i4", "['Mass']", "BI-RADS 4", "1,2,3,6", place="R,CC"),
        row("s1", "i5", "['Mass']", "BI-RADS 4", "1,2,3,5").replace(",60,40,", ",,,"),
    ]
    source = write_vindr(tmp_path, rows, [("s1", "i1"), ("s1", "i2"), ("s1", "i4"), ("s1", "i5")])
    found = read_vindr_mammo(source, SETTINGS)
    table = "finding_annotations.csv row"
    assert [(exclusion.what, exclusion.rule) for exclusion in found.exclusions] == [
        ("i1_1", "lesion-without-pathology"), ("i1_2", "lesion-without-place"), ("i1_3", "lesion-without-place"),
        (f"{table} 6", "row-repeated"), (f"{table} 7", "file-missing"), ("i4", "rows-disagree"),
        ("i5", "number-unreadable"),
    ]  # fmt: skip
    stories = " ".join(exclusion.found for exclusion in found.exclusions)
    for words in (
        "gives '' as finding_birads of i1_1 (Skin Thickening); known are BI-RADS 3",
        "gives no box for i1_2: xmin '1', ymin '2', xmax 'far', ymax '5'",
        "row 6 repeats finding_annotations.csv row 5",
        "names the image i3, but no i3.dicom is there",
        "all describe the image i4, and disagree about laterality",
    ):
        assert words in stories
    assert [(entry.mammogram_id, len(entry.lesions), entry.all_lesions_located) for entry in found.mammograms] == [
        ("i1", 0, False), ("i2", 1, True),
    ]  # fmt: skip
    assert found.mammograms[-1].source_shape == (60, 40)
    assert found.listed[0].missing == ("finding_birads",)
    assert found.listed[-1].missing == ("height", "width")
    assert found.listed[5].abnormality == "mass"


def test_a_split_may_be_spelt_as_in_other_tables(tmp_path: Path) -> None:
    words = ("training", "Train", "validation", "TEST")
    rows = [row(f"s{one}", f"i{one}", "['Mass']", "BI-RADS 4", "1,2,3,5")[: -len("training")] + one for one in words]
    found = read_vindr_mammo(write_vindr(tmp_path, rows, [(f"s{one}", f"i{one}") for one in words]), SETTINGS)
    assert {entry.mammogram_id: entry.official_split for entry in found.mammograms} == {
        "itraining": "train", "iTrain": "train", "ivalidation": "validation", "iTEST": "test",
    }  # fmt: skip


@pytest.mark.parametrize("words", [("train_set", "test_set"), ("0", "1"), ("", "")])
def test_a_split_in_unknown_words_is_not_lost_without_a_word(tmp_path: Path, words: tuple[str, str]) -> None:
    rows = [
        row(f"s{number}", f"i{number}", "['Mass']", "BI-RADS 4", "1,2,3,5")[: -len("training")] + word
        for number, word in enumerate(words)
    ]
    source = write_vindr(tmp_path, rows, [("s0", "i0"), ("s1", "i1")])
    told = {one.rule: one for one in read_vindr_mammo(source, SETTINGS).decisions}["split-unknown"]
    assert f"says {', '.join(sorted({repr(word) for word in words}))} as split, of which nothing is known" in told.found
    assert told.done == "The official split is not known. Put the words right, or a new one is drawn."


def test_dicom_comes_before_pictures_of_it(tmp_path: Path) -> None:
    source = write_vindr(tmp_path, [row("s1", "i1", "['Mass']", "BI-RADS 4", "1,2,3,5")], [("s1", "i1")])
    (source / "images" / "s1" / "i1.png").write_bytes(b"")
    assert [path.suffix for path in read_vindr_mammo(source, SETTINGS).mammograms[0].image] == [".dicom"]


def test_the_table_alone_is_listed_and_its_absence_told(tmp_path: Path) -> None:
    source = write_vindr(tmp_path, [row("s1", "i1", "['Mass']", "BI-RADS 4", "1,2,3,5")], [("s1", "i1")])
    table = source / "finding_annotations.csv"
    found = read_vindr_mammo(table, SETTINGS)
    assert (found.mammograms, len(found.listed), found.exclusions[0].rule) == ((), 1, "file-missing")
    assert recognises(table)
    table.unlink()
    with pytest.raises(SourceError, match="lacks finding_annotations.csv: no .csv file below it has the columns"):
        read_vindr_mammo(source, SETTINGS)


def test_boxes_within_each_other_are_not_all_compared_pixel_by_pixel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of some hundreds on one image, each by each took the time limit."""
    unpacked: list[int] = []

    def counting(content: bytes) -> np.ndarray:
        unpacked.append(len(content))
        return decode_png(content)

    monkeypatch.setattr(prepare, "decode_png", counting)
    rows = [row("s", "a", "['Mass']", "BI-RADS 4", f"2,2,{12 + number},{20 + number}") for number in range(16)]
    source = write_vindr(tmp_path / "vindr", rows, [("s", "a")])
    (entry,) = read_vindr_mammo(source, SETTINGS).mammograms
    (tmp_path / "alone").mkdir()
    made = prepare.prepare_alone(source, entry, SETTINGS, tmp_path / "alone")
    assert len(made.lesions) == 16
    assert len(unpacked) <= 3 * 16
