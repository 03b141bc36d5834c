"""A mask is looked at before anything is cut by it: mended where that is certain, refused where not, and parted."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from collections_on_disk import ellipse, film

from mammofill.mammograms import IngestSettings, MammogramSet, ingest
from mammofill.mammograms.mask_checks import MaskProblem, check_mask
from mammofill.mammograms.tissue import map_tissue
from mammofill.patches import ExtractPatchesSettings, extract_patches

FILM = film()
TISSUE = map_tissue(FILM, "cc", "left")
LESION = ellipse((120, 40, 50, 30))


def outline(mask: np.ndarray, width: int = 1) -> np.ndarray:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    drawn = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(drawn, contours, -1, 1, width)
    return drawn > 0


def whole(part: tuple[np.ndarray, tuple[int, int]]) -> np.ndarray:
    """Return a part of a mask at its place; sees that its box is tight."""
    inside, (top, left) = part
    assert all(line.any() for line in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
    mask = np.zeros(FILM.shape, bool)
    mask[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return mask


def refused(mask: np.ndarray, is_calcification: bool = False) -> str:
    with pytest.raises(MaskProblem) as caught:
        check_mask(mask, TISSUE, "lesion_1", is_calcification)
    return caught.value.rule


def test_an_ordinary_mask_stays_as_it_is() -> None:
    checked = check_mask(LESION, TISSUE, "lesion_1")
    assert not checked.remarks
    assert [np.array_equal(whole(part), LESION) for part in checked.parts] == [True]


def test_an_inverted_mask_is_turned_over() -> None:
    checked = check_mask(~LESION, TISSUE, "lesion_1")
    assert [remark.rule for remark in checked.remarks] == ["mask-inverted"]
    assert np.array_equal(whole(checked.parts[0]), LESION)


@pytest.mark.parametrize("width", [1, 3])
def test_an_outline_is_filled(width: int) -> None:
    checked = check_mask(outline(LESION, width), TISSUE, "lesion_1")
    assert [remark.rule for remark in checked.remarks] == ["mask-outline-filled"]
    assert (whole(checked.parts[0]) & LESION).sum() == LESION.sum()


def test_an_outline_with_gaps_and_a_broad_one_are_filled() -> None:
    contour = cv2.findContours(LESION.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0][:, 0]
    dotted = np.zeros(LESION.shape, bool)
    for number, (column, row) in enumerate(contour):
        dotted[row, column] = number % 4 < 2
    broad = LESION & ~ellipse((128, 47, 34, 16))
    for drawn in (dotted, broad):
        checked = check_mask(drawn, TISSUE, "lesion_1")
        assert [remark.rule for remark in checked.remarks] == ["mask-outline-filled"]
        assert len(checked.parts) == 1
        assert (whole(checked.parts[0]) ^ LESION).sum() < 0.03 * LESION.sum()


def test_gaps_of_a_long_outline_are_closed_without_discs_as_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a disc of hundreds of pixels OpenCV takes minutes."""
    dilate = cv2.dilate

    def only_small(picture: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        assert max(kernel.shape) < 100, "the disc is too large"
        return np.asarray(dilate(picture, kernel))

    monkeypatch.setattr(cv2, "dilate", only_small)
    drawn = np.zeros((2000, 1600), np.uint8)
    cv2.ellipse(drawn, (700, 1000), (350, 700), 0, 10, 355, 1)
    checked = check_mask(drawn > 0, TISSUE, "lesion_1")
    assert [remark.rule for remark in checked.remarks] == ["mask-outline-filled"]
    assert int(checked.parts[0][0].sum()) == pytest.approx(np.pi * 350 * 700, rel=0.01)
    line = np.zeros((20_000, 9), bool)
    line[100:-100, 3:5] = True
    assert refused(line) == "mask-thin"  # at once: for its width no disc is needed


def test_hundreds_of_parts_do_not_take_a_whole_mask_each() -> None:
    scattered = np.zeros((1200, 1000), bool)
    scattered[100:1100:40, 100:900:40] = True
    tracemalloc.start()
    checked = check_mask(scattered, TISSUE, "lesion_1", is_calcification=True)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(checked.parts) == 500
    assert {corner for _, corner in checked.parts} == {tuple(place) for place in np.argwhere(scattered)}
    assert most < 100 * scattered.size


def test_lines_that_cross_and_lines_beside_each_other_are_refused() -> None:
    cross, dashes = np.zeros(FILM.shape, bool), np.zeros(FILM.shape, bool)
    cross[120, 30:70] = cross[100:140, 50] = True
    dashes[100:140:4, 30:38] = True
    assert refused(cross) == refused(dashes) == "mask-thin"


def test_what_is_no_lesions_mask_is_refused() -> None:
    empty = np.zeros(FILM.shape, bool)
    band, half, line, frame, noise = (empty.copy() for _ in range(5))
    band[100:120] = True
    half[10:290, 5:175] = True
    line[100, 20:80] = True
    frame[:] = True
    frame[3:-3, 3:-3] = False
    noise[1::3, 1::3] = True
    assert refused(~empty) == "mask-constant"
    assert refused(band) == "mask-across"
    assert refused(half) == "mask-too-large"
    assert refused(frame) == "mask-across"
    assert refused(line) == "mask-thin"
    assert refused(noise & ellipse((20, 5, 250, 120))) == "mask-scattered"
    assert len(check_mask(line, TISSUE, "lesion_1", is_calcification=True).parts) == 1


def test_an_outline_beside_an_area_is_filled() -> None:
    small = ellipse((40, 20, 12, 12))
    checked = check_mask(LESION | outline(small), TISSUE, "lesion_1")
    assert len(checked.parts) == 2
    assert np.array_equal(whole(checked.parts[0]), small)
    assert np.array_equal(whole(checked.parts[1]), LESION)
    assert [remark.rule for remark in checked.remarks] == ["mask-outline-filled", "mask-parted"]
    assert "The mask of lesion_1 has an outline among its" in checked.remarks[0].found


def test_a_hole_that_is_small_for_its_area_stays() -> None:
    with_hole = LESION & ~ellipse((140, 50, 10, 8))
    checked = check_mask(with_hole | ellipse((40, 20, 12, 12)), TISSUE, "lesion_1")
    assert np.array_equal(whole(checked.parts[1]), with_hole)
    assert [remark.rule for remark in checked.remarks] == ["mask-parted"]


def test_parts_that_lie_apart_are_lesions_and_those_together_are_one() -> None:
    far = ellipse((60, 20, 20, 20)) | ellipse((200, 60, 24, 24))
    checked = check_mask(far, TISSUE, "lesion_1")
    assert [remark.rule for remark in checked.remarks] == ["mask-parted"]
    assert [int(whole(part).sum()) for part in checked.parts] == [
        int(ellipse((60, 20, 20, 20)).sum()), int(ellipse((200, 60, 24, 24)).sum())
    ]  # fmt: skip
    near = ellipse((60, 20, 20, 20)) | ellipse((60, 50, 20, 20))
    assert len(check_mask(near, TISSUE, "lesion_1").parts) == 1
    chain = far.copy()
    for row in range(60, 220, 30):
        chain |= ellipse((row, 40, 20, 20))
    assert len(check_mask(chain, TISSUE, "lesion_1").parts) == 1


def test_slips_of_the_pen_are_left_out() -> None:
    slipped = LESION.copy()
    slipped[250, 20:22] = True
    checked = check_mask(slipped, TISSUE, "lesion_1")
    assert [remark.rule for remark in checked.remarks] == ["mask-crumbs"]
    assert np.array_equal(whole(checked.parts[0]), LESION)


@pytest.mark.parametrize(
    ("crumb", "in_crop", "told"),
    [((280, 60, 3, 3), False, True), ((280, 60, 3, 3), True, False), ((280, 60, 2, 2), False, False),
     ((122, 42, 3, 3), False, False)],
)  # fmt: skip
def test_a_crumb_that_may_be_a_lesion_keeps_normal_patches_away(
    crumb: tuple[int, int, int, int], in_crop: bool, told: bool
) -> None:
    mask = ellipse((120, 40, 60, 50))
    top, left, height, width = crumb
    mask[top : top + height, left : left + width] = True
    checked = check_mask(mask, TISSUE, "lesion_1", in_crop=in_crop)
    assert [remark.rule for remark in checked.remarks] == ["mask-crumbs"]
    assert len(checked.parts) == 1
    assert [(problem.rule, problem.found) for problem in checked.left_out] == [
        ("mask-part-small", "The mask of lesion_1 has a part of 9 pixels that is small beside its largest, and lies "
         "apart. Nobody can say whether it is a lesion.")
    ][: int(told)]  # fmt: skip


def taken(folder: Path, mask: np.ndarray) -> MammogramSet:
    cv2.imwrite(str(folder / "a.png"), FILM)
    cv2.imwrite(str(folder / "b.png"), film(1))
    cv2.imwrite(str(folder / "mask.png"), mask.astype(np.uint8) * 255)
    cv2.imwrite(str(folder / "other.png"), LESION.astype(np.uint8) * 255)
    rows = [["a.png", "mask.png", "one", "malignant", "cc"], ["b.png", "other.png", "two", "benign", "cc"]]
    columns = ["image", "mask", "patient", "pathology", "view"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "own.csv", index=False)
    return ingest(folder, folder / "out", IngestSettings(collection="table", height_px=None))


def test_two_lesions_in_one_mask_are_two_lesions_each_with_its_patches(tmp_path: Path) -> None:
    found = taken(tmp_path, ellipse((60, 20, 20, 20)) | ellipse((200, 60, 24, 24)))
    assert found.lesions["lesion_id"].tolist() == ["a_1-1", "a_1-2", "b_1"]
    assert "mask-parted" in set(found.decisions["rule"])
    assert found.lesions["pathology"].tolist() == ["malignant", "malignant", "benign"]
    assert [one["lesion_id"] for one in found.facts_of_lesions("a")] == found.lesions_of("a")["lesion_id"].tolist()
    assert found.facts_of_lesions("nobody") == []
    patches = extract_patches(found, tmp_path / "patches", ExtractPatchesSettings(size_px=64, stride_px=16))
    of_lesions = patches.table[patches.table["mammogram_id"] == "a"]["lesion_ids"]
    assert {"a_1-1", "a_1-2"} <= set(of_lesions)


def test_a_mask_beside_the_breast_is_left_out_and_keeps_normal_patches_away(tmp_path: Path) -> None:
    found = taken(tmp_path, ellipse((10, 150, 20, 20)))
    assert found.exclusions[["what", "rule"]].to_numpy().tolist() == [["a_1", "mask-outside-breast"]]
    assert found.mammograms.set_index("mammogram_id")["all_lesions_located"].to_dict() == {"a": False, "b": True}


def test_a_line_beside_an_area_is_left_out_alone_and_keeps_normal_patches_away(tmp_path: Path) -> None:
    line = np.zeros(FILM.shape, bool)
    line[60, 20:80] = True
    found = taken(tmp_path, LESION | line)
    assert found.lesions["lesion_id"].tolist() == ["a_1", "b_1"]
    assert found.lesions["area_px"].tolist()[0] == LESION.sum()
    assert found.exclusions[["what", "rule", "found"]].to_numpy().tolist() == [
        ["a_1", "mask-thin", "The mask of a part of a_1 is a line, 60 pixels long, and no area."]
    ]
    assert found.mammograms.set_index("mammogram_id")["all_lesions_located"].to_dict() == {"a": False, "b": True}


def test_a_constant_mask_is_left_out_and_keeps_normal_patches_away(tmp_path: Path) -> None:
    found = taken(tmp_path, np.ones(FILM.shape, bool))
    assert found.exclusions[["what", "rule"]].to_numpy().tolist() == [["a_1", "mask-constant"]]
    assert found.mammograms.set_index("mammogram_id")["all_lesions_located"].to_dict() == {"a": False, "b": True}


def test_normal_patches_keep_away_from_a_small_part_that_was_left_out(tmp_path: Path) -> None:
    mask = ellipse((100, 40, 70, 60))
    mask[270:275, 60:65] = True
    found = taken(tmp_path, mask)
    assert found.exclusions[["what", "rule"]].to_numpy().tolist() == [["a_1", "mask-part-small"]]
    assert dict(found.mammograms[["mammogram_id", "all_lesions_located"]].to_numpy().tolist()) == {
        "a": False,
        "b": True,
    }
    assert "a_1" in set(found.lesions["lesion_id"])
