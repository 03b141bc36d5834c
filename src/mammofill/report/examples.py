"""Example patches as pictures: real ones of every pathology, generated ones beside the tissue they lie in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.imaging import Mask, StoredImage
from mammofill.ground.seeding import stream
from mammofill.patches import PatchSet

_OUTLINE = (255, 200, 0)  # amber, seen on dark and on bright tissue


@dataclass(frozen=True)
class Example:
    """One patch as shown: pictures side by side, and words below."""

    pictures: tuple[bytes, ...]
    words: str


@dataclass(frozen=True)
class Row:
    """Examples of one kind."""

    heading: str
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class SideBySide:
    """Real lesions of one class beside fills of the same, as the first screen shows them.

    Each is there twice, as it is and with its outline: the one is for comparing, the other says where to look.
    """

    pathology: str
    real: tuple[Example, ...]
    fills: tuple[Example, ...]


LEAD = 3
"""Lesions of each class, and fills, on the first screen."""


def lead_examples(sources: Sequence[PatchSet], seed: int) -> tuple[SideBySide, ...]:
    """Show real lesions, from the first set that has any, beside fills of the same class, from the last one.

    Args:
        sources: patch sets, in the order of the corridor: fills that were selected come after all that were painted.
        seed: decides which.
    """
    found = []
    for pathology in ("benign", "malignant"):
        real = _first_of(sources, pathology, "real", seed)
        fills = _first_of(sources[::-1], pathology, "synthetic", seed)
        found.append(SideBySide(pathology, real, fills))
    return tuple(one for one in found if one.real or one.fills)


def _first_of(sources: Sequence[PatchSet], pathology: str, origin: str, seed: int) -> tuple[Example, ...]:
    for patches in sources:
        rows = _choose(patches, LEAD, seed, pathology, origin)
        if len(rows):
            images, masks = patches.pixels(rows)
            patients = patches.table.iloc[rows]["patient_id"]
            words = "tissue of " if origin == "synthetic" else ""
            return tuple(
                Example(
                    (
                        picture_of(image, np.zeros_like(mask), window_of(image)),
                        picture_of(image, mask, window_of(image)),
                    ),
                    f"{words}{patient}",
                )
                for image, mask, patient in zip(images, masks, patients, strict=True)
            )
    return ()


def real_examples(patches: PatchSet, count: int, seed: int, skip: int = 0) -> list[Row]:
    """Show some real patches of each pathology that there is, lesions with their outline.

    Args:
        patches: the set.
        count: examples of each pathology; of different patients as far as there are so many.
        seed: decides which.
        skip: lesions that are shown elsewhere.
    """
    found = []
    for pathology in ("normal", "benign", "malignant"):
        rows = _choose(patches, count, seed, pathology, "real", skip if pathology != "normal" else 0)
        images, masks = patches.pixels(rows)
        named = patches.table.iloc[rows]
        found.append(
            Row(
                f"Real, {pathology}",
                tuple(
                    Example((picture_of(image, mask, window_of(image)),), f"{patient}, {split}")
                    for image, mask, patient, split in zip(
                        images, masks, named["patient_id"], named["split"], strict=True
                    )
                ),
            )
        )
    return [one for one in found if one.examples]


def synthetic_examples(
    patches: PatchSet, sources: Sequence[PatchSet], count: int, seed: int, skip: int = 0
) -> list[Row]:
    """Show some generated patches, each beside its context: the same tissue before it was painted into.

    Args:
        patches: the set with generated patches.
        sources: sets in which their contexts may be found.
        count: examples of each pathology.
        seed: decides which.
        skip: fills that are shown elsewhere.
    """
    found = []
    for pathology in ("benign", "malignant"):
        rows = _choose(patches, count, seed, pathology, "synthetic", skip)
        images, masks = patches.pixels(rows)
        examples = []
        for row, image, mask in zip(rows, images, masks, strict=True):
            named = patches.table.iloc[row]
            words = f"tissue of {named['patient_id']}, outline from {named['mask_donor_patient_id']}"
            context = _find(str(named["context_patch_id"]), sources)
            if context is None:
                examples.append(Example((picture_of(image, mask, window_of(image)),), words + "; context not found"))
                continue
            # One window for both, or the fill would look brighter than it is.
            window = window_of(context)
            pictures = (
                picture_of(context, np.zeros_like(mask), window),
                picture_of(image, np.zeros_like(mask), window),
                picture_of(image, mask, window),
            )
            examples.append(Example(pictures, words))
        found.append(Row(f"Generated, {pathology}", tuple(examples)))
    return [one for one in found if one.examples]


def _choose(patches: PatchSet, count: int, seed: int, pathology: str, origin: str, skip: int = 0) -> NDArray[np.int64]:
    """Choose rows at random, training patches before others and new patients before known ones."""
    rows = patches.rows(pathology=pathology, origin=origin)
    rows = stream(seed, "examples", origin, pathology).permutation(rows)
    some = patches.table.iloc[rows]
    again = some["patient_id"].duplicated().to_numpy()
    elsewhere = (some["split"] != "train").to_numpy()
    order = np.lexsort((np.arange(len(rows)), again, elsewhere))
    return np.asarray(rows[order[skip : skip + count]], dtype=np.int64)


def _find(patch_id: str, sources: Sequence[PatchSet]) -> StoredImage | None:
    for one in sources:
        rows = one.rows(patch_id=patch_id)
        if len(rows):
            images, _ = one.pixels(rows[:1])
            return np.asarray(images[0])
    return None


def window_of(image: StoredImage) -> tuple[float, float]:
    """Return the stored values that become black and white: the 0.5th and 99.5th percentiles."""
    low, high = np.percentile(image, [0.5, 99.5])
    return float(low), float(max(high, low + 1))


def picture_of(image: StoredImage, mask: Mask, window: tuple[float, float]) -> bytes:
    """Return a PNG: gray between the ends of the window, with the mask's outline where there is a mask."""
    low, high = window
    gray = np.rint(np.clip((image.astype(np.float64) - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    shown: NDArray[Any] = gray
    if mask.any():
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        colour = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
        shown = cv2.drawContours(colour, contours, -1, _OUTLINE[::-1], 1)
    encoded = cv2.imencode(".png", shown)[1]
    return encoded.tobytes()
