"""The method `copy-paste`: a real lesion of the requested class, the one with the best-fitting outline, in the hole.

On disk, in the infiller's folder::

    bank/patches-00000.parquet, ...     the lesions that can be pasted, as a patch set keeps them

A trained infiller has to do better than this: every lesion is a real one, but there are no more of them than in the
train split. Source of the idea: Dwibedi, Misra, Hebert, "Cut, paste and learn", ICCV 2017; of the blending: `poisson`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.counting import counted
from mammofill.ground.errors import TooFewError
from mammofill.ground.imaging import Image, Mask, to_unit, touches_border
from mammofill.ground.seeding import stream
from mammofill.infilling.baselines.poisson import blend
from mammofill.infilling.baselines.surroundings import find_black, grow
from mammofill.infilling.conditions import words_in
from mammofill.infilling.methods import FillCases, Fills, TrainingJob, TrainingResult
from mammofill.infilling.previews import preview_baseline
from mammofill.infilling.settings import InfillerSettings
from mammofill.pairing.hole import hole_of
from mammofill.patches import PatchSet, write_shard

_OUTLINE_PX = 48
"""Side of the pictures in which outlines are compared; a disc of the lesion's area has a quarter of it as radius."""
_PER_OCTAVE = 0.1
"""Fit that a lesion loses for each doubling or halving of its size: enlarged ones are blurred. Ours."""
_TOLERANCE = 0.02
"""The seed chooses among all lesions whose fit is within this of the best. Ours."""
_PER_SHARD = 512


class Bank(PatchSet):
    """Lesions to paste: a patch set inside an infiller, covered by the infiller's manifest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder


class CopyPastePainter:
    """Lays lesions of a bank into holes."""

    def __init__(self, bank: Bank, feather_px: int, facts: Sequence[str]) -> None:
        self.bank = bank
        self.feather_px = feather_px
        self._words = {fact: np.array(words_in(bank.table, fact), object) for fact in facts}

    def fills(self, cases: FillCases) -> Fills:
        """Paint; see `Painter`.

        Raises:
            TooFewError: the bank has no lesion with the requested properties.
        """
        for number, (image, mask, hole, seed) in enumerate(
            zip(cases.images, cases.masks, cases.holes, cases.seeds, strict=True)
        ):
            donor = self.choose(mask, {fact: words[number] for fact, words in cases.requested.items()}, seed)
            lent, outlines = self.bank.pixels([donor])
            yield paste(to_unit(lent[0]), outlines[0], to_unit(image), mask, hole, self.feather_px)

    def choose(self, mask: Mask, requested: Mapping[str, str | None], seed: int) -> int:
        """Choose a lesion of the bank.

        Outlines are centred and brought to one size, and compared by intersection over union; a lesion that would have
        to be enlarged or shrunk ranks lower.

        Args:
            mask: (H, W) bool, where a lesion is wanted.
            requested: a word for some facts; lesions of another word, or of none, are left out.
            seed: chooses among those that fit about as well as the best.

        Returns:
            A row of the bank.

        Raises:
            TooFewError: no lesion is left.
        """
        able = np.ones(len(self.bank.table), np.bool_)
        for fact, word in requested.items():
            if word is not None:
                able &= self._words[fact] == word
        if not able.any():
            wanted = ", ".join(f"{fact} {word}" for fact, word in requested.items() if word is not None)
            raise TooFewError(
                f"{self.bank.folder} holds {counted(len(able), 'lesions')}, none of them of {wanted}. Request another, "
                "or train the infiller on patches that hold such lesions."
            )
        outlines, areas = self._outlines
        outline = outline_of(mask).ravel()
        shared = outlines @ outline
        unions = outlines.sum(axis=1) + outline.sum() - shared
        octaves = np.abs(np.log2(mask.sum() / areas)) / 2
        fits = np.where(able, shared / unions - _PER_OCTAVE * octaves, -np.inf)
        return int(stream(seed, "donor").choice(np.flatnonzero(fits >= fits.max() - _TOLERANCE)))

    @cached_property
    def _outlines(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """(N, 48 * 48) outlines of the bank's lesions, and their (N,) areas in pixels."""
        outlines = np.empty((len(self.bank.table), _OUTLINE_PX**2), np.float32)
        areas = np.empty(len(outlines), np.int64)
        for start in range(0, len(outlines), _PER_SHARD):
            for row, mask in enumerate(self.bank.masks(range(start, min(start + _PER_SHARD, len(outlines)))), start):
                outlines[row], areas[row] = outline_of(mask).ravel(), mask.sum()
        return outlines, areas


def outline_of(mask: Mask) -> Image:
    """Bring a mask's outline to the middle and to one area.

    Args:
        mask: (H, W) bool, not empty.

    Returns:
        (48, 48) float32, 0 or 1. A lesion that is very long, or in several parts, may leave the picture.
    """
    zoom = _OUTLINE_PX / 4 / np.sqrt(mask.sum() / np.pi)
    middle = (_OUTLINE_PX - 1) / 2
    moved = cv2.warpAffine(
        mask.astype(np.float32), _placement(_centre(mask), (middle, middle), zoom), (_OUTLINE_PX,) * 2
    )
    return np.asarray(moved >= 0.5, np.float32)


def paste(lent: Image, outline: Mask, image: Image, mask: Mask, hole: Mask, feather_px: int) -> Image:
    """Shift and zoom a lesion onto a mask, and lay it into the patch without a seam.

    Args:
        lent: (H, W) in [0, 1], the patch that holds the lesion.
        outline: (H, W) bool, where it is there.
        image: (H, W) in [0, 1], the patch that receives it.
        mask: (H, W) bool, where.
        hole: (H, W) bool, what is repainted; the patch's own pixels in it are ignored.
        feather_px: the lesion's surroundings are included this far beyond the hole, so that its own margin, soft or
            sharp, is kept.

    Returns:
        (H, W) float32 in [0, 1]: the patch, with the lesion.
    """
    zoom = float(np.sqrt(mask.sum() / outline.sum()))
    matrix = _placement(_centre(outline), _centre(mask), zoom)
    # Cubic: linear interpolation would smooth the film's grain.
    size = image.shape[::-1]
    moved = cv2.warpAffine(lent, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    black = find_black(image, hole)
    laid = grow(hole, feather_px) & ~black
    return blend(np.asarray(moved, np.float32), image, laid, ~black).clip(0, 1).astype(np.float32)


def _centre(mask: Mask) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return float(rows.mean()), float(columns.mean())


def _placement(centre: tuple[float, float], to: tuple[float, float], zoom: float) -> NDArray[np.float64]:
    """Return the matrix, (2, 3) in OpenCV's order (column, row), that zooms about a centre and moves it."""
    return np.array([[zoom, 0, to[1] - zoom * centre[1]], [0, zoom, to[0] - zoom * centre[0]]])


def check(patches: PatchSet, rows: NDArray[np.int64], settings: InfillerSettings) -> Mapping[str, Path]:
    """Accept any patches with lesions; see `Method`."""
    return {}


def train(job: TrainingJob) -> TrainingResult:
    """Keep the lesions; see `Method`. Those that their window cuts off, or that reach beyond the breast, are left out.

    Raises:
        TooFewError: no lesion of a class can be pasted.
    """
    patches, settings = job.windows, job.settings
    found = _fit_to_paste(patches, job.rows, settings)
    _check_classes(job, found)
    bank = job.folder / "bank"
    bank.mkdir(exist_ok=True)
    for number, start in enumerate(range(0, len(found), _PER_SHARD)):
        rows = found[start : start + _PER_SHARD]
        table: list[Any] = patches.table.iloc[rows].to_dict("records")
        write_shard(bank / f"patches-{number:05d}.parquet", table, *patches.pixels(rows), patches.breasts(rows))
    preview_baseline(job, CopyPastePainter(Bank(bank), settings.feather_px, settings.conditions))
    lesions = len(set(_lesion_names(patches, job.rows)))
    left_out = lesions - len(found)
    job.progress.say(
        f"The bank holds {counted(len(found), 'lesions')}; left out, cut off or beyond the breast: {left_out:,}."
    )
    return TrainingResult({"mask_is": "lent"}, found, {"lesions_in_bank": len(found), "lesions_left_out": left_out})


def _lesion_names(patches: PatchSet, rows: NDArray[np.int64]) -> list[tuple[str, str]]:
    """Return the key of a lesion: the patient, and the lesions' names, or the patch's where it names none."""
    table = patches.table.iloc[rows]
    names = table["lesion_ids"].fillna("").where(lambda ids: ids != "", table["patch_id"])
    return list(zip(table["patient_id"], names, strict=True))


def _fit_to_paste(patches: PatchSet, rows: NDArray[np.int64], settings: InfillerSettings) -> NDArray[np.int64]:
    """Choose one patch for each lesion: of those that hold it whole, that in which it is farthest from the border."""
    best: dict[tuple[str, str], tuple[float, int]] = {}
    for start in range(0, len(rows), _PER_SHARD):
        some = rows[start : start + _PER_SHARD]
        pictures = zip(patches.masks(some), patches.breasts(some), strict=True)
        for row, lesion, (mask, breast) in zip(some.tolist(), _lesion_names(patches, some), pictures, strict=True):
            lent = grow(hole_of(mask, settings.hole), settings.feather_px)
            if touches_border(mask) or not breast[lent].all():
                continue
            off_centre = float(np.hypot(*(np.array(_centre(mask)) - len(mask) / 2)))
            best[lesion] = min(best.get(lesion, (np.inf, row)), (off_centre, row))
    return np.array(sorted(row for _, row in best.values()), np.int64)


def _check_classes(job: TrainingJob, rows: NDArray[np.int64]) -> None:
    pathologies = job.windows.table["pathology"]
    held = set(pathologies.iloc[rows])
    for pathology in sorted(set(pathologies.iloc[job.rows])):
        if pathology not in held:
            raise TooFewError(
                f"No {pathology} lesion of {job.windows.folder}, in the train split, lies wholly inside a patch and "
                "on the breast, so none can be pasted. Use larger patches or a smaller stride."
            )


def open_painter(folder: Path, network: Mapping[str, Any], device: str) -> CopyPastePainter:
    """Open the bank; see `Method`."""
    return CopyPastePainter(Bank(folder / "bank"), int(network["feather_px"]), tuple(network["conditions"]))
