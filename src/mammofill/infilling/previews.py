"""Preview pictures: the same few patches, filled again and again while the generator learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.artifact import write_atomically
from mammofill.ground.imaging import corrupt, encode_png, to_uint16, to_unit
from mammofill.ground.seeding import derive_seed, stream
from mammofill.infilling.generator import Generator
from mammofill.infilling.generator_painter import GeneratorPainter
from mammofill.infilling.paint import Lesson, Painter, paint
from mammofill.infilling.paired import paired_pixels
from mammofill.infilling.settings import CLASSES
from mammofill.pairing import Pairs
from mammofill.patches import PatchSet

_GAP_PX = 2


@dataclass(frozen=True)
class PreviewCases:
    """Patches that are shown: N of H x W pixels, with the mask to be filled and a seed each."""

    images: NDArray[np.uint16]
    masks: NDArray[np.bool_]
    seeds: tuple[int, ...]


def choose_previews(
    patches: PatchSet, lesion_rows: NDArray[np.int64], pairs: Pairs, count: int, seed: int
) -> PreviewCases:
    """Choose the cases: half lesion patches with their own mask, half paired patches with the mask they borrow.

    Args:
        patches: the patches.
        lesion_rows: rows of the lesion patches that are learned from.
        pairs: pairs made from the patches.
        count: number of cases; fewer are chosen where there are not so many.
        seed: the stage's seed.
    """
    random = stream(seed, "previews")
    own = random.permutation(lesion_rows)[: (count + 1) // 2]
    images, masks = patches.pixels(own)
    lent = pairs.table.iloc[random.permutation(len(pairs.table))[: count // 2]]
    contexts, borrowed, _, _ = paired_pixels(patches, lent)
    images = np.concatenate([images, contexts])
    masks = np.concatenate([masks, borrowed])
    return PreviewCases(images, masks, tuple(derive_seed(seed, "preview", number) for number in range(len(images))))


def preview_picture(
    painter: Painter | Generator, cases: PreviewCases, feather_px: int, classes: Sequence[str] = CLASSES
) -> bytes:
    """Fill the cases and lay them out: a row per case; columns real, mask, context, filled benign, filled malignant.

    Args:
        painter: a generator, or who else paints.
        cases: what is filled.
        feather_px: width of the fills' soft edge.
        classes: what the cases are filled as, a column each.

    Returns:
        An 8-bit gray PNG.
    """
    if isinstance(painter, Generator):
        painter = GeneratorPainter(painter)
    contexts = [
        to_uint16(corrupt(to_unit(image), mask, stream(seed, "noise")))
        for image, mask, seed in zip(cases.images, cases.masks, cases.seeds, strict=True)
    ]
    columns: list[NDArray[np.uint16]] = [cases.images, cases.masks.astype(np.uint16) * 65535, np.array(contexts)]
    for pathology in classes:
        asked = {"pathology": [pathology] * len(cases.images)}
        columns.append(paint(painter, cases.images, cases.masks, asked, cases.seeds, feather_px))
    tiles = [[(column[row] >> 8).astype(np.uint8) for column in columns] for row in range(len(cases.images))]
    framed = [
        np.concatenate([cv2.copyMakeBorder(tile, _GAP_PX, 0, _GAP_PX, 0, cv2.BORDER_CONSTANT) for tile in row], axis=1)
        for row in tiles
    ]
    return encode_png(np.concatenate(framed, axis=0))


def show_at_work(lesson: Lesson, painter: Painter) -> None:
    """Write one preview picture of a painter that was not trained, as the classes that there were to learn from."""
    settings = lesson.settings
    cases = choose_previews(lesson.patches, lesson.rows, lesson.pairs, settings.previews, lesson.seed)
    if len(cases.images):
        place = lesson.folder / "previews"
        place.mkdir(exist_ok=True)
        learned = set(lesson.patches.table["pathology"].iloc[lesson.rows])
        classes = [name for name in CLASSES if name in learned]
        write_atomically(place / f"{0:08d}.png", preview_picture(painter, cases, settings.feather_px, classes))
