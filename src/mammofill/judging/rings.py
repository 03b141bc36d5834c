"""Rings: where pixels lie, counted from the outline of a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.imaging import Image, Mask, distance_from


def distance_outwards(mask: Mask) -> Image:
    """Return the distance to the mask's outline: above 0 outside, below 0 inside.

    Args:
        mask: (H, W) bool, neither empty nor full.

    Returns:
        (H, W) float32, in pixels; the nearest pixel outside has 0.5, the nearest inside -0.5.
    """
    return np.where(mask, 0.5 - distance_from(~mask), distance_from(mask) - 0.5).astype(np.float32)


def ring_mean(values: NDArray[np.floating], distance: Image, least: float, most: float) -> float:
    """Return the mean of values where the distance is in [least, most); NaN where that is nowhere."""
    ring = (distance >= least) & (distance < most)
    return float(values[ring].mean()) if ring.any() else float("nan")


def outline_step(image: Image, mask: Mask, reach_px: int) -> float:
    """Return how much brighter it is just inside an outline than just outside: the mean gradient across it.

    Args:
        image: (H, W) in [0, 1].
        mask: (H, W) bool.
        reach_px: how far inside and outside, so that the soft edge of a fill lies between.

    Returns:
        The difference of the means over the two lines along the outline, in units of the full range; a lesion that is
        nowhere so deep gives its deepest pixels.
    """
    distance = distance_outwards(mask)
    depth = max(-float(reach_px), float(distance.min()) + 0.5)
    inside = ring_mean(image, distance, depth - 0.75, depth + 0.75)
    return inside - ring_mean(image, distance, reach_px - 0.75, reach_px + 0.75)


def alone(images: NDArray[np.uint16], masks: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Show lesions without what is around them: all else becomes the mean of a ring around the outline.

    Fills lie in other patches than real lesions do. Who looks at whole patches could tell these apart.

    Args:
        images: (N, H, W).
        masks: (N, H, W).
    """
    found = np.empty_like(images)
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        around = ring_mean(image.astype(np.float64), distance_outwards(mask), 0.0, max(3.0, len(image) / 16))
        found[number] = np.where(mask, image, np.uint16(np.nan_to_num(around)))
    return found
