"""Inverted crops, and masks that were turned over, told by how masks fit what is seen."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from collections_on_disk import ellipse, film

from mammofill.audit import AuditSettings, audit
from mammofill.ground.progress import LineProgress
from mammofill.ground.seeding import stream
from mammofill.mammograms import IngestSettings, MammogramSet, ingest
from mammofill.mammograms.mask_fits import MaskFit, find_misfits, fit_of, shrink, why_inverted_crop

SIDE = 96
MASK = ellipse((30, 14, 34, 70), (SIDE, SIDE))
SMALL = ellipse((40, 40, 16, 16), (SIDE, SIDE))


def crop_of(mask: np.ndarray, seed: int = 0) -> np.ndarray:
    """Draw tissue, in which what a mask marks is brighter."""
    grain = cv2.GaussianBlur(stream(seed, "grain").normal(0, 1, (SIDE, SIDE)), (0, 0), 3) * 12000
    return np.clip(22000 + grain + 14000 * mask, 0, 65535).astype(np.uint16)


def test_an_inverted_crop_is_told_and_one_that_is_right_is_not() -> None:
    right, wrong = (fit_of("a", shrink(one), MASK, True) for one in (crop_of(MASK), 65535 - crop_of(MASK)))
    assert right.contrast is not None
    assert wrong.contrast == pytest.approx(-right.contrast, abs=1e-3)
    assert why_inverted_crop(right, "a.png", "p") is None
    told = why_inverted_crop(wrong, "a.png", "p")
    assert told is not None
    assert (told.what, told.rule) == ("a", "polarity-doubtful")
    assert told.found.startswith("The lesion in a.png is darker than what is around it by ")


def upside_down(mask: np.ndarray) -> np.ndarray:
    return mask[::-1]


def mirrored(mask: np.ndarray) -> np.ndarray:
    return mask[:, ::-1]


def turned_by_half(mask: np.ndarray) -> np.ndarray:
    return mask[::-1, ::-1]


def transposed(mask: np.ndarray) -> np.ndarray:
    return mask.T


WAYS = {
    "upside down": upside_down,
    "mirrored": mirrored,
    "turned by half": turned_by_half,
    "with rows and columns exchanged": transposed,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_mask_that_was_turned_over_fits_better_turned_back(way: str) -> None:
    mask = ellipse((50, 20, 20, 30), (SIDE, SIDE))
    right = fit_of("a", shrink(crop_of(mask)), mask, False)
    wrong = fit_of("a", shrink(crop_of(mask)), WAYS[way](mask), False)
    assert right.gains[way] < 0 < wrong.gains[way]
    assert right.contrast is None


def test_places_whose_coordinates_were_exchanged_are_told_in_pictures_that_are_not_square() -> None:
    mask = ellipse((50, 20, 20, 30), (SIDE, SIDE - 10))
    given = np.zeros_like(mask)
    given[: SIDE - 10] = mask.T[:, : SIDE - 10]
    way = "with rows and columns exchanged"
    assert fit_of("a", shrink(crop_of(MASK)[:, :-10] * 0 + 9 + 9 * mask), given, False).gains[way] > 0


def test_what_cannot_be_said_is_not_said() -> None:
    assert fit_of("a", shrink(crop_of(SMALL)), SMALL, False).gains == {}  # the same turned over
    assert fit_of("a", np.full((SIDE, SIDE), 7, np.float32), MASK, True) == MaskFit("a", None, {})


@pytest.mark.parametrize(
    ("count", "wrong", "told"), [(8, 5, 1), (8, 8, 2), (8, 4, 0), (7, 7, 0), (16, 14, 2), (100, 11, 0)]
)
def test_most_of_a_collection_has_to_be_odd(count: int, wrong: int, told: int) -> None:
    """Of 8 dark lesions 5 are told as before; of masks more, so that chance tells none."""
    way = "mirrored"
    fits = [
        MaskFit(str(one), -0.2 if one < wrong else 0.5, {way: 0.1 if one < wrong else -0.1}) for one in range(count)
    ]
    assert len(find_misfits(fits)) == told


def test_masks_of_right_breasts_alone_may_be_mirrored() -> None:
    fits = [
        MaskFit(str(one), None, {"mirrored": 0.1 if one % 2 else -0.1}, ("left", "right")[one % 2]) for one in range(16)
    ]
    (told,) = find_misfits(fits)
    assert (told.what, told.rule) == ("collection", "masks-flipped")
    assert told.found == "Of 8 masks of right breasts 8 fit what is seen better mirrored."
    assert told.done.startswith(
        "Kept as they are: lay some over their mammograms. If they were stored so, mirror the files"
    )


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


def test_a_collection_of_inverted_crops_is_told(tmp_path: Path) -> None:
    right, wrong = made(tmp_path / "a", False, False), made(tmp_path / "b", True, False)
    assert not right.decisions["rule"].isin(["polarity-doubtful", "masks-transposed", "masks-flipped"]).any()
    told = wrong.decisions.set_index("what").loc["collection"]
    assert "Of 8 lesions in crops 8 are darker than what is around them, as if all are inverted." in set(told["found"])


def test_a_collection_of_transposed_masks_is_told(tmp_path: Path) -> None:
    turned = made(tmp_path / "c", False, True)
    found = turned.decisions.loc[turned.decisions["rule"] == "masks-transposed", "found"]
    assert found.tolist() == ["Of 8 masks 8 fit what is seen better with rows and columns exchanged."]


def test_a_collection_of_mammograms_with_masks_upside_down_is_told_by_ingest_and_audit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["image,mask,patient,laterality,pathology"]
    for number in range(8):
        picture, mask = film(number), ellipse((60 + 5 * number, 40, 40, 30))
        bright = np.clip(picture + 15000.0 * cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2), 0, 65535)
        cv2.imwrite(str(tmp_path / f"{number}.png"), bright.astype(np.uint16))
        cv2.imwrite(str(tmp_path / f"m{number}.png"), mask[::-1].astype(np.uint8) * 255)
        rows.append(f"{number}.png,m{number}.png,p{number},left,{('benign', 'malignant')[number % 2]}")
    (tmp_path / "own.csv").write_text("\n".join(rows))
    ingest(tmp_path, tmp_path / "out", IngestSettings(collection="table"), progress=LineProgress())
    story = "Of 8 masks 8 fit what is seen better upside down. Kept as they are: lay some over their mammograms."
    assert next(line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")).startswith(
        f"warning: {story}"
    )
    findings = audit(tmp_path, AuditSettings(collection="table")).found
    (finding,) = [one for one in findings if one.finding == "masks-flipped"]
    assert finding.severity == "serious"
    assert finding.cases[0].words.startswith(story)
