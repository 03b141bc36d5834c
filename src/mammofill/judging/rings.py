"""Rings: where pixels lie, counted from the outline of a mask or hole."""

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
