"""Preview pictures: the same few patches, filled again and again while an infiller learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.artifact import write_atomically
from mammofill.ground.imaging import corrupt, encode_png, to_uint16, to_unit
from mammofill.ground.seeding import derive_seed, stream
from mammofill.infilling.methods import FillCases, Painter, TrainingJob, paint
from mammofill.infilling.settings import CLASSES
from mammofill.pairing.hole import holes_of
from mammofill.pairing.pixels import paired_pixels

_GAP_PX = 2


@dataclass(frozen=True)
class PreviewCases:
    """Patches that are shown: N of H x W pixels, each with a mask, a hole to be filled, and a seed."""

    images: NDArray[np.uint16]
    masks: NDArray[np.bool_]
    holes: NDArray[np.bool_]
    seeds: tuple[int, ...]
    feather_px: int
    classes: tuple[str, ...]
    """The requested classes, one column each: those that there were to learn from."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)


def choose_previews(job: TrainingJob) -> PreviewCases:
    """Choose the cases: half lesion patches with their own mask, half paired patches with the mask they borrow.

    Fewer than `settings.previews` are chosen where fewer exist.
    """
    settings, windows = job.settings, job.windows
    random = stream(job.seed, "previews")
    images, masks = windows.pixels(random.permutation(job.rows)[: (settings.previews + 1) // 2])
    lent = job.pairs.table.iloc[random.permutation(len(job.pairs.table))[: settings.previews // 2]]
    contexts, borrowed, _, _ = paired_pixels(job.patches, lent)
    images, masks = np.concatenate([images, contexts]), np.concatenate([masks, borrowed])
    learned = set(windows.table["pathology"].iloc[job.rows])
    return PreviewCases(
        images,
        masks,
        holes_of(masks, settings.hole),
        tuple(derive_seed(job.seed, "preview", number) for number in range(len(images))),
        settings.feather_px,
        tuple(name for name in CLASSES if name in learned),
    )


def preview_picture(painter: Painter, cases: PreviewCases) -> bytes:
    """Fill the cases and lay them out: a row per case; columns real, hole, context, then a fill of each class.

    Args:
        painter: what paints.
        cases: what is filled.

    Returns:
        An 8-bit gray PNG.
    """
    contexts = [
        to_uint16(corrupt(to_unit(image), hole, stream(seed, "noise")))
        for image, hole, seed in zip(cases.images, cases.holes, cases.seeds, strict=True)
    ]
    columns: list[NDArray[np.uint16]] = [cases.images, cases.holes.astype(np.uint16) * 65535, np.array(contexts)]
    for pathology in cases.classes:
        requested = {"pathology": [pathology] * len(cases)}
        some = FillCases(cases.images, cases.masks, cases.holes, requested, cases.seeds)
        columns.append(paint(painter, some, cases.feather_px))
    rows = [_framed([(column[row] >> 8).astype(np.uint8) for column in columns]) for row in range(len(cases))]
    return encode_png(np.concatenate(rows, axis=0))


def write_preview(folder: Path, images_seen: int, picture: bytes) -> None:
    """Write a preview into an infiller's folder."""
    place = folder / "previews"
    place.mkdir(exist_ok=True)
    write_atomically(place / f"{images_seen:08d}.png", picture)


def preview_baseline(job: TrainingJob, painter: Painter) -> None:
    """Write one preview picture of a painter that was not trained."""
    cases = choose_previews(job)
    if len(cases):
        write_preview(job.folder, 0, preview_picture(painter, cases))


def _framed(tiles: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    bordered = [cv2.copyMakeBorder(tile, _GAP_PX, 0, _GAP_PX, 0, cv2.BORDER_CONSTANT) for tile in tiles]
    return np.concatenate(bordered, axis=1)
