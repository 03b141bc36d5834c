"""The mask of a lesion: told from its picture by content, brought to its place only where that is proved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from collections_on_disk import FILM_COLUMNS, FILM_ROWS, cut, ellipse, film
from pydicom.filereader import read_partial
from real_data import real_data

from mammofill import dicom
from mammofill.ground.imaging import StoredImage, mask_box, resample, resample_mask
from mammofill.mammograms.find_crop import find_crop
from mammofill.mammograms.lesion_masks import find_lesion_mask
from mammofill.mammograms.mask_checks import MaskProblem
from mammofill.mammograms.reading import read_image, read_mask
from mammofill.mammograms.sources.annotations import LesionEntry

BOX = (120, 40, 50, 30)
FILM, MASK = film(), ellipse(BOX)


def lesion(folder: Path, *files: tuple[np.ndarray, str]) -> LesionEntry:
    """Write masks (bool) and pictures with their descriptions; return the entry that names them in this order."""
    paths = []
    for number, (pixels, description) in enumerate(files):
        path = folder / f"1-{number + 1}.dcm"
        is_mask = pixels.dtype == np.bool_
        stored = pixels.astype(np.uint8) * 255 if is_mask else pixels
        names = (str(number),)
        dicom.write_image(
            path, stored, patient_id="x", uid_names=names, bits=8 if is_mask else 16, series_description=description
        )
        paths.append(path)
    return LesionEntry("lesion_1", "benign", "mass", tuple(paths), "own.csv row 2")


def problem(entry: LesionEntry, image: StoredImage = FILM) -> tuple[str, str]:
    with pytest.raises(MaskProblem) as caught:
        find_lesion_mask(entry, "P_1", image)
    assert str(caught.value) == caught.value.found
    return caught.value.rule, caught.value.found


@pytest.mark.parametrize(
    "words", [("ROI mask images", "cropped images"), ("", ""), ("cropped images", "ROI mask images")]
)
@pytest.mark.parametrize("turned", [False, True])
def test_masks_are_told_by_content_whatever_they_are_called(
    tmp_path: Path, words: tuple[str, str], turned: bool
) -> None:
    files = [(MASK, words[0]), (cut(FILM, BOX), words[1])]
    found = find_lesion_mask(lesion(tmp_path, *(files[::-1] if turned else files)), "P_1", FILM)
    assert np.array_equal(found.mask, MASK)
    assert (found.file, found.decisions) == (tmp_path / f"1-{1 + turned}.dcm", ())


def test_the_picture_of_an_ordinary_lesion_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = lesion(tmp_path, (cut(FILM, BOX), "cropped images"), (MASK, "ROI mask images"))
    decoded: list[Path] = []
    read_values = dicom.read_values
    monkeypatch.setattr(dicom, "read_values", lambda file: decoded.append(file.path) or read_values(file))
    monkeypatch.setattr(dicom, "read", lambda path: decoded.append(path))
    assert np.array_equal(find_lesion_mask(entry, "P_1", FILM).mask, MASK)
    assert decoded == [tmp_path / "1-2.dcm"]


def test_the_header_of_each_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = lesion(tmp_path, (cut(FILM, BOX), "cropped images"), (MASK, "ROI mask images"))
    parsed: list[str] = []
    monkeypatch.setattr(
        "mammofill.dicom.header.read_partial", lambda file, stop: parsed.append(file.name) or read_partial(file, stop)
    )
    assert np.array_equal(find_lesion_mask(entry, "P_1", FILM).mask, MASK)
    assert sorted(parsed) == [str(tmp_path / "1-1.dcm"), str(tmp_path / "1-2.dcm")]


@pytest.mark.parametrize("factor", [0.6, 50 / 43.5, 1.7])
@pytest.mark.parametrize("with_crop", ["no", "of the film", "of the scan"])
def test_a_mask_of_the_same_proportions_is_resampled(tmp_path: Path, factor: float, with_crop: str) -> None:
    size = (int(FILM_ROWS * factor), int(FILM_COLUMNS * factor))
    other = resample_mask(MASK, size)
    files = [(other, "")]
    if with_crop == "of the film":
        files.append((cut(FILM, BOX, 4), ""))
    elif with_crop == "of the scan":
        files.append((cut(resample(FILM, size), mask_box(other), 4), ""))
    found = find_lesion_mask(lesion(tmp_path, *files), "P_1", FILM)
    assert [decision.rule for decision in found.decisions] == ["mask-resampled"]
    decision = found.decisions[0]
    assert f"is {size[0]}x{size[1]}, its mammogram 300x180" in decision.found
    expected = "there is no cropped picture" if with_crop == "no" else ""
    assert expected in decision.done
    assert np.abs(np.subtract(mask_box(found.mask), BOX)).max() <= 1
    assert np.count_nonzero(found.mask & MASK) / np.count_nonzero(found.mask | MASK) > 0.9


def test_a_resampled_mask_that_the_picture_contradicts_is_refused(tmp_path: Path) -> None:
    elsewhere = ellipse((20, 60, 50, 30))
    entry = lesion(tmp_path, (resample_mask(elsewhere, (330, 198)), ""), (cut(FILM, BOX, 4), ""))
    rule, found = problem(entry)
    assert rule == "mask-size"
    assert "is 330x198, its mammogram 300x180" in found
    assert "would not lie where the cropped picture was found, at row 116, column 36" in found


@pytest.mark.parametrize("margin", [0, 7])
def test_a_mask_of_another_film_size_is_placed_by_the_picture(tmp_path: Path, margin: int) -> None:
    padded = np.pad(MASK, ((40, 3), (0, 0)))  # 40 rows more at the top
    entry = lesion(tmp_path, (padded, ""), (cut(FILM, BOX, margin), ""))
    found = find_lesion_mask(entry, "P_1", FILM)
    assert np.array_equal(found.mask, MASK)
    assert [decision.rule for decision in found.decisions] == ["mask-placed-by-crop"]
    assert f"{margin} pixels around it: at row 120, column 40" in found.decisions[0].done


@pytest.mark.parametrize("size", [(50, 30), (60, 36)])  # the second has the proportions of the film
def test_a_mask_that_was_cut_with_the_picture_goes_where_that_is_found(tmp_path: Path, size: tuple[int, int]) -> None:
    box = (BOX[0], BOX[1], *size)
    entry = lesion(tmp_path, (cut(MASK, box), "cropped images"), (cut(FILM, box), "ROI mask images"))
    found = find_lesion_mask(entry, "P_1", FILM)
    assert np.array_equal(found.mask, MASK)
    assert "which has the mask's size, was found: at row 120, column 40" in found.decisions[0].done


def test_masks_whose_place_is_not_certain_are_refused(tmp_path: Path) -> None:
    padded, crop = np.pad(MASK, ((40, 3), (0, 0))), cut(FILM, BOX)
    rule, found = problem(lesion(tmp_path, (padded, "")))
    assert (rule, "is 343x180, its mammogram 300x180" in found) == ("mask-size", True)
    assert "and there is no cropped picture to tell its place" in found
    assert "fits no single place" in problem(lesion(tmp_path, (padded, ""), (film(1)[:50, :30], "")))[1]
    twice = FILM.copy()
    twice[10:60, 70:100] = crop
    assert "fits no single place" in problem(lesion(tmp_path, (padded, ""), (crop, "")), twice)[1]
    uneven = FILM[BOX[0] - 3 : BOX[0] + 52, BOX[1] - 9 : BOX[1] + 40]
    rule, found = problem(lesion(tmp_path, (padded, ""), (uneven, "")))
    assert (rule, "(55x49) is not the lesion's box (50x30), alone or with the same margin" in found) == (
        "mask-size",
        True,
    )
    nearly_square = (120, 40, 40, 30)
    entry = lesion(tmp_path, (np.pad(ellipse(nearly_square), ((40, 3), (0, 0))), ""), (cut(FILM, nearly_square, 7), ""))
    assert "and too nearly square to tell" in problem(entry)[1]
    rule, found = problem(lesion(tmp_path, (cut(MASK, BOX), ""), (film(1)[:50, :30], "")))
    assert (rule, "It has the size of the cropped picture, but" in found) == ("mask-size", True)
    mirrored = np.ascontiguousarray(crop[:, ::-1])
    assert problem(lesion(tmp_path, (padded, ""), (mirrored, "")))[0] == "mask-size"


def test_what_is_no_mask_is_said(tmp_path: Path) -> None:
    crop = (cut(FILM, BOX), "cropped images")
    rule, found = problem(lesion(tmp_path, crop))
    assert (rule, "own.csv row 2: lesion_1 has no mask, only a picture" in found) == ("mask-missing", True)
    assert problem(lesion(tmp_path, crop, crop))[0] == "mask-missing"
    rule, found = problem(lesion(tmp_path, crop, (np.zeros_like(MASK), "ROI mask images")))
    assert (rule, "the mask of lesion_1 marks no pixel" in found) == ("mask-empty", True)
    entry = lesion(tmp_path, crop, (MASK, "ROI mask images"))
    whole = (tmp_path / "1-2.dcm").read_bytes()
    for kept in (300, len(whole) // 2):
        (tmp_path / "1-2.dcm").write_bytes(whole[:kept])
        rule, found = problem(entry)
        assert (rule, "1-2.dcm" in found) == ("mask-unreadable", True)
    (tmp_path / "1-2.dcm").unlink()
    assert "does not exist" in problem(entry)[1]


def test_two_masks_are_one_only_if_they_agree(tmp_path: Path) -> None:
    cut_out = (cut(MASK, BOX), "")
    assert np.array_equal(find_lesion_mask(lesion(tmp_path, cut_out, (MASK, "")), "P_1", FILM).mask, MASK)
    for second in (MASK, np.zeros_like(MASK)):
        assert np.array_equal(find_lesion_mask(lesion(tmp_path, (second, ""), (MASK, "")), "P_1", FILM).mask, MASK)
    rule, found = problem(lesion(tmp_path, (MASK, ""), (ellipse((20, 60, 50, 30)), "")))
    assert (rule, "are both masks of lesion_1 (300x180 and 300x180), and differ" in found) == ("mask-ambiguous", True)


def test_a_mask_drawn_on_a_twin_has_to_show_the_same_film(tmp_path: Path) -> None:
    entry = lesion(tmp_path, (MASK, ""), (cut(FILM, BOX, 5), ""))
    of_twin = replace(entry, drawn_on="Calc-Training_P_00001_LEFT_CC")
    assert np.array_equal(find_lesion_mask(of_twin, "P_1", FILM).mask, MASK)
    for other in (film(1), np.ascontiguousarray(FILM[:, ::-1]), np.roll(FILM, 9, axis=0)):
        assert find_lesion_mask(entry, "P_1", other).decisions == ()
        rule, found = problem(of_twin, other)
        assert rule == "mask-not-of-this-film"
        assert "was drawn on Calc-Training_P_00001_LEFT_CC, another file of this view, and" in found
    alone = replace(lesion(tmp_path, (MASK, "")), drawn_on="its twin")
    assert "there is no cropped picture to tell its place" in problem(alone)[1]


def test_masks_as_pictures(tmp_path: Path) -> None:
    for name, crop in (("mask.jpg", cut(FILM, BOX)), ("mask.png", cut(FILM, BOX))):
        cv2.imwrite(str(tmp_path / name), MASK.astype(np.uint8) * 255, [cv2.IMWRITE_JPEG_QUALITY, 75])
        picture = tmp_path / f"crop of {name}"
        cv2.imwrite(str(picture), (crop // 257).astype(np.uint8))
        entry = LesionEntry("lesion_1", "benign", "mass", (picture, tmp_path / name), "row 2")
        assert np.array_equal(find_lesion_mask(entry, "P_1", FILM).mask, MASK)
        assert problem(replace(entry, place=(picture,)))[0] == "mask-missing"
    values_0_and_2 = MASK.astype(np.uint8) * 2
    cv2.imwrite(str(tmp_path / "low.png"), values_0_and_2)
    assert np.array_equal(read_mask(tmp_path / "low.png").mask, MASK)


def test_a_picture_is_found_only_where_it_was_cut() -> None:
    large = film(3, 1500, 900)
    for top, left, height, width in [(600, 0, 40, 30), (700, 300, 300, 200), (1200, 300, 40, 50), (333, 111, 17, 90)]:
        picture = large[top : top + height, left : left + width]
        assert find_crop(picture, large) == (top, left)
        assert find_crop(picture // 2, large) == (top, left)  # another contrast
        assert find_crop(picture, np.ascontiguousarray(large[:, ::-1])) is None
    assert find_crop(np.full((30, 30), 500, np.uint16), large) is None  # the even background
    assert find_crop(large[:10, :10], large) is None  # too small
    assert find_crop(large, large[:, :800]) is None  # too large


@pytest.mark.real_data
@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_real_masks_are_repaired_to_the_pixel_or_nearly(tmp_path: Path, view: str) -> None:
    name = f"Mass-Training_P_00001_LEFT_{view}"
    image = read_image(real_data("cbis_ddsm_p00001", f"{name}_FULL.png"), None, "none").pixels
    mask = read_mask(real_data("cbis_ddsm_p00001", f"{name}_MASK.png")).mask
    crop = cut(image, mask_box(mask))
    for wrong, rule in [
        (np.pad(mask, ((25, 0), (0, 7))), "mask-placed-by-crop"),
        (cut(mask, mask_box(mask)), "mask-placed-by-crop"),
        (resample_mask(mask, (588, 588)), "mask-resampled"),
    ]:
        found = find_lesion_mask(lesion(tmp_path, (wrong, ""), (crop, "")), "P_00001", image)
        assert [decision.rule for decision in found.decisions] == [rule]
        assert np.abs(np.subtract(mask_box(found.mask), mask_box(mask))).max() <= 1
        mirrored = np.ascontiguousarray(image[:, ::-1])
        if rule == "mask-placed-by-crop":
            assert problem(lesion(tmp_path, (wrong, ""), (crop, "")), mirrored)[0] == "mask-size"
