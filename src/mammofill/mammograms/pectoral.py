"""Finds the pectoral muscle, the bright triangle in the upper corner at the chest wall of an oblique view.

A straight line is fitted first: of all lines in a plausible range of tilts, the one across which brightness falls most
evenly from the corner into the breast. This is a Hough transform of the gradient, as Karssemeijer proposed (Physics in
Medicine and Biology 43, 1998, 365-378). The muscle's edge may be convex or concave, so the line is then refined: as in
Kwok, Chandrasekhar, Attikiouzel and Rickard (IEEE Transactions on Medical Imaging 23, 2004, 1129-1140), the edge is
searched for along the normals of the line, here by dynamic programming, which finds the best smooth path.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.imaging import Image, Mask, mask_box

_TILTS_DEG = np.arange(6.0, 58.0, 3.0)
"""Angles between the muscle's edge and the chest wall that are tried."""

_STEEP_DEG = 14.0
"""Edges at smaller angles to the chest wall are rare, and other structures there are common: they must be clearer."""

_LARGEST = 0.45
"""Share of the breast above which a triangle is not muscle: its edge is then the outline of dense tissue."""

_REACH = 0.07
"""Largest distance of the refined edge from the straight line, as a share of the breast's height."""

_LEAST_SPREAD = 0.12
"""Smallest standard deviation of a breast's gray values, as a share of their mean; smaller ones are replaced by it."""

_LEAST_SUPPORT = 0.65
"""Smallest share of a line with an edge: the outline of dense tissue follows a line only in parts."""

_LEAST_CONTRAST = 0.08
"""Smallest median contrast across the upper half of a muscle's edge, in standard deviations of the breast's gray."""

_FADED = 0.3
"""Contrast across the edge, in standard deviations of the breast's gray, below which the muscle ends."""

_LEAST_SCORE = {True: 3.2, False: 4.6}
"""Smallest score of a convincing edge, if the view is known to be oblique, and if it is unknown. Chosen on the oblique
views of mini-MIAS, and so that few craniocaudal views of CDD-CESM have a muscle when their view is unknown."""


class Edge(NamedTuple):
    """A straight line x cos(tilt) + y sin(tilt) = offset, in pixels from the corner, and its score as an edge."""

    tilt: float
    offset: float
    score: float


class _Slopes(NamedTuple):
    """A breast at half size with its thin rim brightened, and its gradient without slow changes of gray."""

    gray: Image
    """(h, w) float32."""
    spread: float
    """Standard deviation of the breast's gray values."""
    across: Image
    """(h, w) float32: gradient to the right, in standard deviations of the breast's gray per height of the breast."""
    down: Image
    """The same downwards."""
    inside: Mask
    """The breast."""
    inner: Mask
    """The breast without the part near the skin."""


def find_pectoral(picture: Image, breast: Mask, oblique: bool) -> Mask:
    """Find the pectoral muscle.

    Args:
        picture: (h, w) float32 in [0, 1], with the chest wall on the left; 256 rows are sufficient.
        breast: (h, w) bool, with at least one pixel True.
        oblique: the view is known to be mediolateral oblique. Otherwise the edge must be clearer.

    Returns:
        (h, w) bool, inside of the breast; all False if there is no convincing edge.
    """
    muscle = np.zeros(breast.shape, np.bool_)
    top, left, height, width = mask_box(breast)
    box = (slice(top, top + height), slice(left, left + width))
    if min(height, width) < 16:
        return muscle
    slopes = _slopes(picture[box], breast[box])
    edge = _straight_edge(slopes)
    if edge is None or edge.score < _LEAST_SCORE[oblique]:
        return muscle
    path = _bend(edge, slopes)
    if path is not None:
        muscle[box] = _corner_before(path * 2 + np.float32(0.5), breast[box])
    return muscle


def _slopes(picture: Image, breast: Mask) -> _Slopes:
    half = (picture.shape[1] // 2, picture.shape[0] // 2)
    small = cv2.resize(picture, half, interpolation=cv2.INTER_AREA)
    inside = cv2.resize(breast.astype(np.uint8), half, interpolation=cv2.INTER_NEAREST) > 0
    rows = small.shape[0]
    # At the picture's borders and at the chest wall there is no skin.
    padded = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    smooth = cv2.GaussianBlur(small, (0, 0), 0.012 * rows, borderType=cv2.BORDER_REPLICATE)
    gray = _brighten_rim(np.asarray(smooth, np.float32), inside, np.asarray(depth, np.float32), 0.2 * rows)
    weight = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 0.08 * rows)
    slow = cv2.GaussianBlur(np.where(inside, gray, np.float32(0)), (0, 0), 0.08 * rows)
    fine = np.where(inside, gray - slow / np.maximum(weight, np.float32(1e-3)), np.float32(0))
    values = gray[inside]
    spread = max(float(values.std()), _LEAST_SPREAD * float(values.mean()), 1e-6)
    across, down = (cv2.Sobel(fine, cv2.CV_32F, *order) * np.float32(rows / (8 * spread)) for order in ((1, 0), (0, 1)))
    return _Slopes(gray, spread, across, down, np.asarray(inside, np.bool_), np.asarray(depth > 0.05 * rows, np.bool_))


def _brighten_rim(picture: Image, breast: Mask, depth: Image, until: float) -> Image:
    """Brighten the rim of the breast, where it is thinner, to the mean brightness at a given depth (in pixels)."""
    place = np.minimum(depth[breast], until).astype(np.intp)
    profile = np.bincount(place, picture[breast]) / np.maximum(np.bincount(place), 1)
    missing = np.maximum(profile[-1] - np.maximum.accumulate(profile), 0).astype(np.float32)
    out = picture.copy()
    out[breast] += missing[place]
    return out


def _straight_edge(slopes: _Slopes) -> Edge | None:
    """Return the line across which brightness falls most evenly from the corner into the breast."""
    rows = slopes.inside.shape[0]
    neck = np.flatnonzero(slopes.inside[: max(1, rows // 20)].any(axis=0))
    if not len(neck):
        return None
    y, x = np.nonzero(slopes.inside[: int(0.8 * rows)])
    within = slopes.inner[y, x].astype(np.float32)
    gray, across, down = slopes.gray[y, x], slopes.across[y, x] * within, slopes.down[y, x] * within
    best: Edge | None = None
    for tilt in np.deg2rad(_TILTS_DEG):
        cos, sin = np.cos(tilt), np.sin(tilt)
        place = np.rint(x * cos + y * sin).astype(np.intp)
        fall = -(across * np.float32(cos) + down * np.float32(sin))
        length, count = np.bincount(place), np.maximum(np.bincount(place, within), 1)
        mean = np.bincount(place, np.clip(fall, -3, 6)) / count
        support = np.bincount(place, fall > 0.8) / count  # the share of the line at which there is an edge
        contrast = _contrast(length, np.bincount(place, gray), np.bincount(place, gray * gray), round(0.07 * rows))
        score = mean * support + 0.5 * np.minimum(contrast, 4) - 10 * max(0.0, np.deg2rad(_STEEP_DEG) - tilt)
        at_top, at_wall = np.arange(len(length)) / cos, np.arange(len(length)) / sin
        fits = (at_top > 0.06 * rows) & (at_top <= 1.2 * neck[-1]) & (at_wall > 0.2 * rows) & (at_wall < 1.2 * rows)
        fits &= (count > 0.15 * rows) & (count > 0.7 * length) & (support > _LEAST_SUPPORT)
        fits &= np.cumsum(length) < _LARGEST * np.count_nonzero(slopes.inside)
        offset = int(np.where(fits, score, -np.inf).argmax())
        if fits[offset] and (best is None or score[offset] > best.score):
            best = Edge(float(tilt), float(offset), float(score[offset]))
    return best


def _contrast(count: NDArray[np.intp], total: NDArray[Any], squares: NDArray[Any], band: int) -> NDArray[np.float64]:
    """Return, for each line, the contrast between the pixels before it and a band beyond it, in standard deviations.

    Args:
        count: number of pixels on each of a set of parallel lines, counted from the corner.
        total: sum of their gray values, per line.
        squares: sum of their squared gray values, per line.
        band: width of the band, in lines.
    """
    sums = np.cumsum([count, total, squares], axis=1)
    beyond = np.concatenate([sums[:, band:], np.repeat(sums[:, -1:], min(band, sums.shape[1]), axis=1)], axis=1) - sums
    means, variances = [], []
    for number, gray, square in (sums, beyond):
        number = np.maximum(number, 1)
        means.append(gray / number)
        variances.append(square / number - (gray / number) ** 2)
    return np.asarray((means[0] - means[1]) / np.sqrt(np.maximum((variances[0] + variances[1]) / 2, 1e-6)))


def _bend(edge: Edge, slopes: _Slopes) -> NDArray[np.float32] | None:
    """Refine the muscle's edge near a line.

    Returns:
        (n, 2) float32, points (x, y) of the edge from the top border to the chest wall or the lower border; None if it
        is not the edge of a muscle.
    """
    rows = slopes.inside.shape[0]
    cos, sin = np.cos(edge.tilt), np.sin(edge.tilt)
    reach = max(1, round(_REACH * rows))
    sides = np.arange(-reach, reach + 1)
    length = int(min(rows / cos, edge.offset / cos / sin)) + 1
    # The normals start one pixel apart, from the top border on.
    feet_x, feet_y = edge.offset / cos - np.arange(length) * sin, np.arange(length) * cos
    x = (feet_x[:, None] + sides * cos).astype(np.float32)
    y = (feet_y[:, None] + sides * sin).astype(np.float32)
    fall = -(slopes.across * np.float32(cos) + slopes.down * np.float32(sin))
    # Clipped, so that a vessel does not outweigh the rest of the edge.
    fall = np.where(slopes.inner, np.clip(fall, 0, 6), np.float32(0))
    gain = cv2.remap(fall, x, y, cv2.INTER_LINEAR) - (0.6 / reach * np.abs(sides)).astype(np.float32)
    found = sides[_best_path(gain)].astype(np.float32)
    shift = cv2.GaussianBlur(found[:, None], (0, 0), 0.02 * rows, borderType=cv2.BORDER_REPLICATE)[:, 0]
    path = np.stack([feet_x + shift * cos, feet_y + shift * sin], axis=1).astype(np.float32)
    return _without_faded_end(path, slopes, cos, sin)


def _without_faded_end(
    path: NDArray[np.float32], slopes: _Slopes, cos: float, sin: float
) -> NDArray[np.float32] | None:
    """End the muscle, with a diagonal to the chest wall, where the inner side of its edge is no longer brighter.

    Returns:
        The path; None if its upper half is not an edge between bright and dark.
    """
    band = np.arange(1, round(0.07 * slopes.inside.shape[0]) + 1)
    before, beyond = (
        cv2.remap(
            slopes.gray,
            (path[:, :1] + sign * band * cos).astype(np.float32),
            (path[:, 1:] + sign * band * sin).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ).mean(axis=1)
        for sign in (-1, 1)
    )
    contrast = (before - beyond) / slopes.spread
    if np.median(contrast[: len(path) // 2]) < _LEAST_CONTRAST:
        return None
    typical = cv2.blur(contrast[:, None], (1, 2 * len(band) + 1), borderType=cv2.BORDER_REPLICATE)[:, 0]
    faded = np.flatnonzero(typical[len(path) // 2 :] < _FADED)
    end = len(path) // 2 + int(faded[0]) if len(faded) else len(path)
    if end == len(path):
        return path
    x, y = path[end - 1]
    return np.concatenate([path[:end], np.array([(0, y + x)], np.float32)])


def _best_path(gain: Image) -> NDArray[np.intp]:
    """Return one column per row, with the largest sum of gains; columns change by at most one per row."""
    length, width = gain.shape
    came = np.zeros((length, width), np.intp)
    columns = np.arange(width)
    total = np.full(width + 2, -np.inf, np.float32)
    total[1:-1] = gain[0]
    for row in range(1, length):
        options = np.stack([total[:-2] - np.float32(0.3), total[1:-1], total[2:] - np.float32(0.3)])
        came[row] = options.argmax(axis=0)
        total[1:-1] = options[came[row], columns] + gain[row]
    path = np.empty(length, np.intp)
    path[-1] = int(total[1:-1].argmax())
    for row in range(length - 1, 0, -1):
        path[row - 1] = path[row] + came[row, path[row]] - 1
    return path


def _corner_before(path: NDArray[np.float32], breast: Mask) -> Mask:
    """Return the part of the breast between an edge and the upper corner at the chest wall."""
    start, end = path[0], path[-1]
    outline = [(-9.0, -9.0), (float(start[0]), -9.0), *path.tolist(), (-9.0, float(end[1]))]
    filled = cv2.fillPoly(np.zeros(breast.shape, np.uint8), [np.rint(outline).astype(np.int32)], 1)
    return np.asarray((filled > 0) & breast, np.bool_)
