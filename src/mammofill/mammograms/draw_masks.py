"""Converts circles, outlines and boxes from the tables to masks at the working resolution.

In the source frame, centres of pixels have whole numbers: pixel (3, 5) extends from 2.5 to 3.5 and from 4.5 to 5.5.
Working pixels are placed as by `resample`: the centre of (r, c) is ((r + 0.5) / s - 0.5, (c + 0.5) / t - 0.5) in the
source frame, with the scales s of rows and t of columns.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.imaging import Mask
from mammofill.mammograms.sources.annotations import Box, Circle, Outline

_FARTHEST_PX = 1e6
"""Larger than any picture."""


def draw_mask(place: Circle | Outline | Box, shape: tuple[int, int], scale: tuple[float, float]) -> Mask:
    """Draw the place of a lesion: a pixel belongs to it if the pixel's centre is inside.

    - Circle: points on the line count as inside.
    - Box: the top and left sides count as inside, the bottom and right sides do not: a box of 3 by 4 pixels has 12.
    - Outline: inside is where the winding number is not zero (an outline that overlaps its own beginning has no hole
      there); of points on the line, those on the upper and left side count as inside, as for a box.

    A place in the image that contains no centre is not lost: a circle or a box becomes the pixel nearest to its middle,
    and a contour the pixels along its line; so does a contour of one or two points.

    Args:
        place: in pixels of the source image.
        shape: (H, W) of the mask.
        scale: working pixels per source pixel, by rows and by columns; both above 0.

    Returns:
        (H, W) bool, cut off at the border; empty for a place outside of the image.
    """
    rows = (np.arange(shape[0]) + 0.5) / scale[0] - 0.5
    columns = (np.arange(shape[1]) + 0.5) / scale[1] - 0.5
    if isinstance(place, Outline):
        return _outline(place, shape, scale)
    if isinstance(place, Circle):
        inside = (rows[:, None] - place.row) ** 2 + (columns - place.column) ** 2 <= place.radius**2
        middle = (place.row, place.column)
    else:
        inside = _within(rows, place.top, place.height)[:, None] & _within(columns, place.left, place.width)
        middle = (place.top + (place.height - 1) / 2, place.left + (place.width - 1) / 2)
    return inside if inside.any() else _line(_to_working(np.array([middle]), scale), shape)


def why_not_drawn(place: Circle | Outline | Box) -> str:
    """Return why a place is invalid, for messages; "" if it can be drawn."""
    numbers = np.array(_points(place), np.float64)
    if not np.isfinite(numbers).all():
        return "has numbers that are not finite"
    if np.abs(numbers).max() > _FARTHEST_PX:
        return f"has numbers up to {np.abs(numbers).max():g}, farther than any picture reaches"
    if isinstance(place, Circle) and not 0 < place.radius < np.inf:
        return f"has the radius {place.radius:g}"
    if isinstance(place, Box) and not (place.height > 0 and place.width > 0):
        return f"is {place.height:g} high and {place.width:g} wide"
    if len(numbers) > 1 and numbers.min() >= 0 and numbers.max() <= 1:
        return "has numbers between 0 and 1 alone: they are shares of the picture, where pixels are needed"
    return ""


def encloses_nothing(outline: Outline) -> bool:
    """Return whether an outline encloses no area: the points of each contour are on one line."""
    contours = (np.array(contour, np.float64).reshape(-1, 2) for contour in outline.contours)
    return all(np.linalg.matrix_rank(points - points[0]) < 2 for points in contours)


def share_in_picture(place: Circle | Outline | Box, shape: tuple[int, int]) -> float:
    """Return the share of the bounding box of a place that is inside a picture of (rows, columns) pixels."""
    numbers = np.array(_points(place), np.float64)
    low, high = numbers.min(axis=0), numbers.max(axis=0)
    inside = np.clip(np.minimum(high, np.array(shape) - 0.5) - np.maximum(low, -0.5), 0, None)
    sides = high - low
    return float(np.prod(np.where(sides > 0, inside / np.where(sides > 0, sides, 1), 1.0)))


def _points(place: Circle | Outline | Box) -> list[tuple[float, float]]:
    """Return points (row, column) whose bounding box is that of a place."""
    if isinstance(place, Outline):
        return [point for contour in place.contours for point in contour]
    if isinstance(place, Box):
        return [(place.top, place.left), (place.top + place.height, place.left + place.width)]
    reach = place.radius
    return [(place.row - reach, place.column - reach), (place.row + reach, place.column + reach)]


def _within(centres: NDArray[np.floating], start: float, length: float) -> Mask:
    return np.asarray((centres >= start) & (centres < start + length), np.bool_)


def _to_working(points: NDArray[np.float64], scale: tuple[float, float]) -> NDArray[np.float64]:
    """Convert points (n, 2) from the source frame to that of the working pixels, whose centres are whole numbers."""
    return np.asarray((points + 0.5) * np.array(scale) - 0.5, np.float64)


def _outline(place: Outline, shape: tuple[int, int], scale: tuple[float, float]) -> Mask:
    mask = np.zeros(shape, np.bool_)
    for contour in place.contours:
        points = _to_working(np.array(contour, np.float64).reshape(-1, 2), scale)
        # Only the contour's bounding box is drawn: an image can have hundreds of calcifications of a few pixels.
        low = np.clip(np.floor(points.min(axis=0)), 0, shape).astype(np.intp)
        high = np.clip(np.ceil(points.max(axis=0)) + 1, 0, shape).astype(np.intp)
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        if min(size) > 0:
            inside = _inside(points - low, size)
            mask[low[0] : high[0], low[1] : high[1]] |= inside if inside.any() else _line(points - low, size)
    return mask


def _inside(points: NDArray[np.float64], shape: tuple[int, int]) -> Mask:
    """Fill a closed polygon (n, 2) in working pixels.

    A ray from the left to a pixel crosses the polygon's sides downwards or upwards; the difference is the winding
    number (Foley et al., Computer Graphics, 1990, section 19.5). Each side's crossing with each row of centres is
    counted at the first centre behind it; cumulative sums along the rows are the winding numbers.
    """
    crossings = np.zeros((shape[0], shape[1] + 1), np.int32)
    for (row, column), (next_row, next_column) in zip(points, np.roll(points, -1, axis=0), strict=True):
        upper, lower = sorted((row, next_row))
        rows = np.arange(max(0, int(np.ceil(upper))), min(shape[0], int(np.ceil(lower))))
        if not len(rows):
            continue
        at = column + (rows - row) * (next_column - column) / (next_row - row)
        first = np.clip(np.ceil(at), 0, shape[1]).astype(np.intp)
        crossings[rows, first] += 1 if next_row > row else -1
    return np.asarray(crossings.cumsum(axis=1)[:, :-1] != 0, np.bool_)


def _line(points: NDArray[np.float64], shape: tuple[int, int]) -> Mask:
    """Mark the pixels along the closed line through points (n, 2) in working pixels; nothing beyond the border."""
    canvas = np.zeros(shape, np.uint8)
    corners = np.rint(points[:, ::-1]).astype(np.int32)
    cv2.polylines(canvas, [corners.reshape(-1, 1, 2)], isClosed=True, color=1)
    return canvas.astype(np.bool_)
