"""Inverted crops and transposed masks, told by how masks fit what is seen."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from collections_on_disk import ellipse

from mammofill.ground.seeding import stream
from mammofill.mammograms import IngestSettings, MammogramSet, ingest
from mammofill.mammograms.mask_fits import MaskFit, find_misfits, fit_of, why_inverted_crop

SIDE = 96
MASK = ellipse((30, 14, 34, 70), (SIDE, SIDE))
SMALL = ellipse((40, 40, 16, 16), (SIDE, SIDE))


def crop_of(mask: np.ndarray, seed: int = 0) -> np.ndarray:
    """Draw tissue, in which what a mask marks is brighter."""
    grain = cv2.GaussianBlur(stream(seed, "grain").normal(0, 1, (SIDE, SIDE)), (0, 0), 3) * 12000
    return np.clip(22000 + grain + 14000 * mask, 0, 65535).astype(np.uint16)


def test_an_inverted_crop_is_told_and_one_that_is_right_is_not() -> None:
    right, wrong = fit_of("a", crop_of(MASK), MASK, True), fit_of("a", 65535 - crop_of(MASK), MASK, True)
    assert right.contrast is not None
    assert wrong.contrast == pytest.approx(-right.contrast, abs=1e-3)
    assert why_inverted_crop(right, "a.png", "p") is None
    told = why_inverted_crop(wrong, "a.png", "p")
    assert told is not None
    assert (told.what, told.rule) == ("a", "polarity-doubtful")
    assert told.found.startswith("The lesion in a.png is darker than what is around it by ")


def test_a_transposed_mask_fits_worse_than_its_transpose() -> None:
    right, wrong = fit_of("a", crop_of(MASK), MASK, False), fit_of("a", crop_of(MASK), MASK.T, False)
    assert right.gain_transposed is not None
    assert wrong.gain_transposed is not None
    assert right.gain_transposed < 0 < wrong.gain_transposed
    assert right.contrast is None


def test_what_cannot_be_said_is_not_said() -> None:
    assert fit_of("a", crop_of(SMALL), SMALL, False).gain_transposed is None  # the same transposed
    assert fit_of("a", crop_of(MASK)[:80], MASK[:80], False).gain_transposed is None  # not square
    assert fit_of("a", np.full((SIDE, SIDE), 7, np.uint16), MASK, True) == MaskFit("a", None, None)


@pytest.mark.parametrize(("count", "wrong", "told"), [(8, 5, 2), (8, 4, 0), (7, 7, 0), (100, 11, 0)])
def test_most_of_a_collection_has_to_be_odd(count: int, wrong: int, told: int) -> None:
    fits = [MaskFit(str(one), -0.2 if one < wrong else 0.5, 0.1 if one < wrong else -0.1) for one in range(count)]
    assert len(find_misfits(fits)) == told


def made(folder: Path, inverted: bool, transposed: bool) -> MammogramSet:
    folder.mkdir()
    rows = ["image,mask,patient,pathology"]
    for number in range(8):
        picture = crop_of(MASK, number)
        cv2.imwrite(str(folder / f"{number}.png"), 65535 - picture if inverted else picture)
        cv2.imwrite(str(folder / f"m{number}.png"), (MASK.T if transposed else MASK).astype(np.uint8) * 255)
        rows.append(f"{number}.png,m{number}.png,p{number},{('benign', 'malignant')[number % 2]}")
    (folder / "own.csv").write_text("\n".join(rows))
    return ingest(folder, folder / "out", IngestSettings(collection="table", height_px=None, crops=True))


def test_a_collection_of_inverted_crops_or_transposed_masks_is_told(tmp_path: Path) -> None:
    right, wrong = made(tmp_path / "a", False, False), made(tmp_path / "b", True, False)
    turned = made(tmp_path / "c", False, True)
    assert not right.decisions["rule"].isin(["polarity-doubtful", "masks-transposed"]).any()
    told = wrong.decisions.set_index("what").loc["collection"]
    assert "Of 8 lesions in crops 8 are darker than what is around them, as if all are inverted." in set(told["found"])
    found = turned.decisions.loc[turned.decisions["rule"] == "masks-transposed", "found"]
    assert found.tolist() == [
        "Of 8 masks of square pictures 8 fit what is seen better with rows and columns exchanged."
    ]
