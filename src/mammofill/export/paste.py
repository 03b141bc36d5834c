"""A fill goes back into the file that its tissue came from: only the difference, at the file's resolution and depth.

The fill was painted at the working resolution. What it changed (fill minus tissue, inside its hole) is brought to the
source's pixels and added to what the source shows there. So the film's own grain, which is finer than the working
resolution, stays where it was, and no pixel outside the hole is touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.export.grain import Grain, with_grain_of_film
from mammofill.export.source import Source
from mammofill.ground.imaging import FULL_RANGE, Image, Mask, StoredImage, mask_box

_CORRECTIONS = 4
"""Number of corrections: each adds the error of the resampled difference, measured at the working resolution, and
leaves less than half of it."""


@dataclass(frozen=True)
class Place:
    """Where a patch lies in its source: how many source pixels one of its pixels is long, and where it begins."""

    top: float
    left: float
    """Edge of the patch, in source pixels."""
    step: tuple[float, float]
    """Source pixels per pixel of the patch, down and across."""
    size_px: int

    @classmethod
    def of(
        cls, box: tuple[int, int, int, int], working: tuple[int, int], source: tuple[int, int], size_px: int
    ) -> Place:
        """Find the place of a patch.

        Args:
            box: of the patch (top, left, height, width) in its mammogram at the working resolution.
            working: (rows, columns) of the mammogram at the working resolution.
            source: (rows, columns) of the source.
            size_px: side of the patch, which may be less than that of its box, for crops that were taken whole.
        """
        down, across = source[0] / working[0], source[1] / working[1]
        return cls(box[0] * down, box[1] * across, (down * box[2] / size_px, across * box[3] / size_px), size_px)

    def rows(self, first: int, last: int) -> NDArray[np.float64]:
        """Return where the centres of source rows lie in the patch, in its pixels, the first centre at 0."""
        return np.asarray((np.arange(first, last) + 0.5 - self.top) / self.step[0] - 0.5, np.float64)

    def columns(self, first: int, last: int) -> NDArray[np.float64]:
        """Return the same for columns."""
        return np.asarray((np.arange(first, last) + 0.5 - self.left) / self.step[1] - 0.5, np.float64)

    def box_in_source(self, mask: Mask, shape: tuple[int, int]) -> tuple[slice, slice]:
        """Return the smallest place in the source that holds what a mask of the patch covers."""
        top, left, height, width = mask_box(mask)
        edges = (
            (self.top + top * self.step[0], self.top + (top + height) * self.step[0], shape[0]),
            (self.left + left * self.step[1], self.left + (left + width) * self.step[1], shape[1]),
        )
        first, second = (slice(max(0, int(np.floor(low))), min(end, int(np.ceil(high)))) for low, high, end in edges)
        return first, second

    def enlarged(self, mask: Mask, place: tuple[slice, slice]) -> Mask:
        """Return which source pixels of a place lie, by their centres, in a mask (size_px, size_px) of the patch."""
        down, across = self.labels(place)
        inside = (down >= 0) & (down < self.size_px)
        beside = (across >= 0) & (across < self.size_px)
        found = mask[np.clip(down, 0, self.size_px - 1)][:, np.clip(across, 0, self.size_px - 1)]
        return np.asarray(found & inside[:, None] & beside[None, :], np.bool_)

    def labels(self, place: tuple[slice, slice]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the row and the column of the patch that each source row and column of a place belongs to."""
        down = np.floor(self.rows(place[0].start, place[0].stop) + 0.5).astype(np.int64)
        across = np.floor(self.columns(place[1].start, place[1].stop) + 0.5).astype(np.int64)
        return down, across


@dataclass(frozen=True)
class Pasted:
    """A source with one fill in it."""

    values: NDArray[np.integer[Any]]
    """(rows, columns), of the source's type; the source's outside of `hole`."""
    place: tuple[slice, slice]
    """The box of the hole in the source."""
    hole: Mask
    """(h, w) of that box: what may have been changed."""
    grain: Grain


def paste(
    source: Source,
    tissue: StoredImage,
    fill: StoredImage,
    hole: Mask,
    place: Place,
    breast: Mask,
    match_grain: bool,
) -> Pasted:
    """Paste a fill into its source.

    Args:
        source: the file that the tissue came from.
        tissue: (size_px, size_px) uint16, what the fill was painted into.
        fill: the same, painted.
        hole: (size_px, size_px) bool, what the painter may have changed; not empty.
        place: of the patch in the source.
        breast: (rows, columns) bool, small: where breast is in the whole source.
        match_grain: add grain of the film beside the hole, where the hole has less than the film around it.
    """
    shape = (source.values.shape[0], source.values.shape[1])
    box = place.box_in_source(hole, shape)
    holed = place.enlarged(hole, box)
    change = np.where(hole, fill.astype(np.float32) - tissue.astype(np.float32), np.float32(0))
    difference = _enlarged(change, hole, holed, place, box)
    pixels, grain = with_grain_of_film(source, difference, holed, box, place.step, breast, match_grain)
    before = source.shown(box)
    after = np.rint(np.clip(pixels, 0, FULL_RANGE)).astype(np.uint16)
    changed = holed & (after != before)
    values = np.array(source.values)  # a copy: the source may be its file, mapped
    values[box] = np.where(changed, source.stored(after), values[box])
    return Pasted(values, box, holed, grain)


def _enlarged(change: Image, hole: Mask, holed: Mask, place: Place, box: tuple[slice, slice]) -> Image:
    """Bring a change to source pixels: smooth, 0 at the rim of the hole, and in each inner pixel with the mean it had.

    Within half a pixel of the patch from its rim the change fades out, since the rim would otherwise show the patch's
    pixels as steps. Where source and patch have the same pixels, nothing is changed by it.

    Args:
        change: (size_px, size_px) float32, 0 outside of `hole`.
        hole: the same size.
        holed: the same at the source's pixels, (h, w) of `box`.
        place: of the patch.
        box: where in the source.

    Returns:
        (h, w) float32.
    """
    down, across = place.rows(box[0].start, box[0].stop), place.columns(box[1].start, box[1].stop)
    rows = np.repeat(down.astype(np.float32)[:, None], len(across), axis=1)
    columns = np.repeat(across.astype(np.float32)[None, :], len(down), axis=0)

    def enlarged(values: Image) -> Image:
        return np.asarray(
            cv2.remap(values, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.float32
        )

    opacity = np.where(holed, np.clip(2 * enlarged(hole.astype(np.float32)) - 1, 0, 1), 0).astype(np.float32)
    inner = cv2.erode(hole.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    found = opacity * enlarged(change)
    for _ in range(_CORRECTIONS):
        lacking = np.where(inner, change - _means(found, holed, place, box), np.float32(0)).astype(np.float32)
        found += opacity * enlarged(lacking)
    return found


def _means(values: Image, holed: Mask, place: Place, box: tuple[slice, slice]) -> Image:
    """Return the mean of source pixels over each pixel of the patch; 0 where there are none."""
    down, across = place.labels(box)
    numbers = (down[:, None] * place.size_px + across[None, :])[holed]
    cells = place.size_px**2
    sums = np.bincount(numbers, values[holed].astype(np.float64), cells)
    counts = np.bincount(numbers, minlength=cells)
    return (sums / np.maximum(counts, 1)).reshape(place.size_px, place.size_px).astype(np.float32)
