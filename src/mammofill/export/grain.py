"""Film grain: as much of it in the hole as around it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from mammofill.export.source import Source
from mammofill.ground.imaging import Image, Mask, distance_from

_RING_SHARE, _RING_LEAST = 0.5, 8.0
"""Width of the ring around the hole whose grain is measured: a share of the hole's radius, and pixels at least."""

_MAD = 1.4826
"""Standard deviation of a normal distribution whose median absolute deviation is 1: edges hardly move it."""


@dataclass(frozen=True)
class Grain:
    """Standard deviations of what is finer than the working resolution's pixels, in levels of 65535."""

    around: float
    """In the film around the hole."""
    pasted: float
    """In the hole, with the fill alone."""
    matched: float
    """In the hole, at the end."""


def with_grain_of_film(
    source: Source,
    difference: Image,
    hole: Mask,
    box: tuple[slice, slice],
    step: tuple[float, float],
    breast: Mask,
    match: bool,
) -> tuple[Image, Grain]:
    """Add a difference to what a source shows, and grain of the film beside it where the result has too little.

    Missing grain is taken from the film itself, at a place of the same form beside the hole, and scaled so that the
    variances add up to that around the hole. A fill that has more grain is left as it is.

    Args:
        source: the file.
        difference: (h, w) float32 of `box`, 0 outside of the hole.
        hole: (h, w) bool.
        box: where in the source.
        step: source pixels per pixel of the patch.
        breast: (rows, columns) bool, small: where breast is in the whole source.
        match: whether grain is added.

    Returns:
        (h, w) float32 over 0..65535, what is to be shown in the box; and how much grain there is.
    """
    sigma = max(1.0, float(max(step)))
    radius = math.sqrt(int(hole.sum()) / math.pi)
    width = max(_RING_LEAST, _RING_SHARE * radius)
    outer, inner = _widened(box, round(width + 3 * sigma), source.values.shape)
    film = source.shown(outer).astype(np.float32)
    around = np.zeros(film.shape, np.bool_)
    around[inner] = hole
    ring = (distance_from(around) <= width) & ~around & _breast_at(breast, outer, source.values.shape)
    changed = film.copy()
    changed[inner] += difference
    of_film = _spread(_grain(film, sigma)[ring]) if ring.any() else 0.0
    pasted = _spread(_grain(changed, sigma)[inner][hole])
    matched = pasted
    if match and pasted < of_film:
        level = float(np.median(film[ring]))
        lent = _lent(source, hole, box, breast, sigma, level)
        strength = math.sqrt(of_film**2 - pasted**2)
        spread = _spread(lent[hole]) if lent is not None else 0.0
        if lent is not None and spread > 0:
            changed[inner] += np.where(hole, lent * np.float32(strength / spread), np.float32(0))
            matched = _spread(_grain(changed, sigma)[inner][hole])
    return changed[inner], Grain(of_film, pasted, matched)


def _lent(
    source: Source, hole: Mask, box: tuple[slice, slice], breast: Mask, sigma: float, level: float
) -> Image | None:
    """Return the grain of a place beside the hole, that on breast whose gray is most like a level; None if none is."""
    height, width = hole.shape
    shape = source.values.shape
    best: tuple[float, Image] | None = None
    for down, across in ((0, width), (0, -width), (height, 0), (-height, 0)):
        rows = slice(box[0].start + down, box[0].stop + down)
        columns = slice(box[1].start + across, box[1].stop + across)
        if min(rows.start, columns.start) < 0 or rows.stop > shape[0] or columns.stop > shape[1]:
            continue
        if not _breast_at(breast, (rows, columns), shape)[hole].all():
            continue
        outer, inner = _widened((rows, columns), round(3 * sigma), shape)
        film = source.shown(outer).astype(np.float32)
        far = abs(float(np.median(film[inner][hole])) - level)
        if best is None or far < best[0]:
            best = far, _grain(film, sigma)[inner]
    return best[1] if best else None


def _grain(film: Image, sigma: float) -> Image:
    return np.asarray(film - cv2.GaussianBlur(film, (0, 0), sigma), np.float32)


def _spread(grain: Image) -> float:
    """Return the standard deviation, estimated from the median absolute deviation."""
    return _MAD * float(np.median(np.abs(grain - np.median(grain))))


def _widened(
    box: tuple[slice, slice], margin: int, shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return a box with a margin, as far as the image goes, and the box inside of that."""
    outer = tuple(
        slice(max(0, side.start - margin), min(end, side.stop + margin)) for side, end in zip(box, shape, strict=False)
    )
    inner = tuple(slice(side.start - big.start, side.stop - big.start) for side, big in zip(box, outer, strict=True))
    return (outer[0], outer[1]), (inner[0], inner[1])


def _breast_at(breast: Mask, place: tuple[slice, slice], shape: tuple[int, ...]) -> Mask:
    rows = np.arange(place[0].start, place[0].stop) * breast.shape[0] // shape[0]
    columns = np.arange(place[1].start, place[1].stop) * breast.shape[1] // shape[1]
    return np.asarray(breast[rows][:, columns], np.bool_)
