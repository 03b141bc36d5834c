"""Finds where in a mammogram a small picture was cropped, if there is exactly one such place."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.imaging import StoredImage

LEAST_CORRELATION = 0.9
"""Smallest correlation at which a picture that is not found pixel by pixel counts as found. Tested on 21 mammograms of
three collections: crops that were compressed as JPEG again reach it in four of ten cases, and of 1,680 searched for in
a mammogram that they were not cut from, none did with the lead below."""

LEAST_LEAD = 0.3
"""The correlation of the best place must exceed that of any other by this, otherwise the place is not certain."""

_COARSE_SIDE = 1024
"""The longer side of the reduced mammogram in which places are searched for first."""

_LEAST_COARSE_SIDE = 16
"""The picture's sides are not reduced below this number of pixels, so that enough detail is left to distinguish places.
"""

_COARSE_DETAIL, _DETAIL = 9, 5
"""Side, in pixels, of the square from whose mean detail is the difference. Broad shades, such as the outline of the
breast, are similar in many places; detail, above all grain, is not. In the reduced copy the square must be larger,
because the pixels of picture and mammogram are not aligned there."""

_LEAST_SIDE = 16
"""A smaller picture has too few pixels to distinguish places."""

_CANDIDATES = 6
"""Number of places of the reduced mammogram that are compared at full resolution."""


def find_crop(picture: StoredImage, image: StoredImage) -> tuple[int, int] | None:
    """Find the only place of an image from which a picture was cut, at the same scale.

    Places are compared by the normalised cross-correlation of their detail (Lewis, Fast Normalized Cross-Correlation,
    Vision Interface, 1995), which does not depend on brightness and contrast: first in a reduced copy, then the best of
    them at full resolution, to the pixel. A place that equals the picture pixel by pixel needs no further proof.

    Args:
        picture: (h, w) uint16.
        image: (H, W) uint16.

    Returns:
        (top, left) of the picture in the image. None if several places equal the picture pixel by pixel; if none does
        and no correlation reaches `LEAST_CORRELATION`, or that of a second place, more than half the picture's size
        away, is within `LEAST_LEAD` of the best; and if the picture is constant, tiny, or larger than the image.
    """
    height, width = picture.shape
    if height > image.shape[0] or width > image.shape[1] or min(height, width) < _LEAST_SIDE:
        return None
    scale = min(1.0, max(_COARSE_SIDE / max(image.shape), _LEAST_COARSE_SIDE / min(height, width)))
    places = _coarse_places(_reduced(picture, scale), _reduced(image, scale))
    reach = int(np.ceil(1 / scale)) + 1
    refined = [_refine(picture, image, round(row / scale), round(column / scale), reach) for row, column in places]
    refined.sort(reverse=True)
    same = {
        (top, left)
        for _, top, left in refined
        if np.array_equal(image[top : top + height, left : left + width], picture)
    }
    if same:
        return min(same) if len(same) == 1 else None
    if not refined or refined[0][0] < LEAST_CORRELATION:
        return None
    best, top, left = refined[0]
    for correlation, other_top, other_left in refined[1:]:
        elsewhere = abs(other_top - top) > height // 2 or abs(other_left - left) > width // 2
        if elsewhere and correlation > best - LEAST_LEAD:
            return None
    return top, left


def _reduced(image: StoredImage, scale: float) -> NDArray[np.float32]:
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    resized = image if scale == 1.0 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.float32)


def _coarse_places(picture: NDArray[np.float32], image: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Return the best places (top, left), each farther than half the picture's size from all better ones."""
    if picture.shape[0] > image.shape[0] or picture.shape[1] > image.shape[1]:
        return []  # by rounding
    correlations = _correlations(picture, image, _COARSE_DETAIL)
    places = []
    for _ in range(_CANDIDATES):
        row, column = np.unravel_index(int(correlations.argmax()), correlations.shape)
        if correlations[row, column] <= 0:
            break
        places.append((int(row), int(column)))
        rows, columns = picture.shape[0] // 2, picture.shape[1] // 2
        correlations[max(0, row - rows) : row + rows + 1, max(0, column - columns) : column + columns + 1] = -1
    return places


def _refine(picture: StoredImage, image: StoredImage, top: int, left: int, reach: int) -> tuple[float, int, int]:
    """Return the best (correlation, top, left) within `reach` pixels of a place."""
    top = min(max(0, top), image.shape[0] - picture.shape[0])
    left = min(max(0, left), image.shape[1] - picture.shape[1])
    row0, col0 = max(0, top - reach), max(0, left - reach)
    part = image[row0 : top + picture.shape[0] + reach, col0 : left + picture.shape[1] + reach]
    correlations = _correlations(picture.astype(np.float32), part.astype(np.float32), _DETAIL)
    row, column = np.unravel_index(int(correlations.argmax()), correlations.shape)
    return float(correlations[row, column]), row0 + int(row), col0 + int(column)


def _correlations(picture: NDArray[np.float32], image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return the correlation of the detail at each place (top, left); 0 where either has none, as in constant areas."""
    picture, image = _detail(picture, side), _detail(image, side)
    found = np.asarray(cv2.matchTemplate(image, picture, cv2.TM_CCOEFF_NORMED), np.float32)
    size = (picture.shape[1], picture.shape[0])
    mean = cv2.boxFilter(image, cv2.CV_64F, size, anchor=(0, 0))
    square = cv2.sqrBoxFilter(image, cv2.CV_64F, size, anchor=(0, 0))
    variance = (square - mean**2)[: found.shape[0], : found.shape[1]]
    # Rounding errors dominate in a constant area; a hundredth of the picture's contrast is far above them.
    found[variance < max(1e-4 * float(picture.var()), 1.0)] = 0
    return found


def _detail(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return the difference from the local mean, without the rim where the square would extend beyond the image."""
    rim = side // 2
    detail = image - cv2.blur(image, (side, side))
    return np.ascontiguousarray(detail[rim : image.shape[0] - rim, rim : image.shape[1] - rim])
