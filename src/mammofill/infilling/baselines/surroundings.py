"""What lies around a hole: how far a fill reaches into it, and which of it is tissue."""

from __future__ import annotations

import cv2
import numpy as np

from mammofill.ground.imaging import Image, Mask, distance_from

_REACH = 1 / 8
"""Share of the patch's side: pixels within this distance of the hole give the usual brightness of tissue. Ours."""
_SMOOTHING = 1 / 64
"""Share of the patch's side: standard deviation of the blur before brightnesses are compared. Ours."""
_BLACK = 0.01
"""Share of the full range below which a pixel is black. Ours."""
_TISSUE = (0.5, 2.0)
"""Range of tissue, as multiples of the usual brightness near the hole. Ours."""


def grow(mask: Mask, width_px: float) -> Mask:
    """Add all pixels within this distance of a mask (H, W)."""
    return np.asarray(distance_from(mask) <= width_px, np.bool_)


def find_black(image: Image, hole: Mask) -> Mask:
    """Find what is black, as beyond the edge of a film: a fill need not match it, however near it is.

    Air beside the skin is not: there brightness falls slowly, and a fill has to follow.

    Args:
        image: (H, W) in [0, 1].
        hole: (H, W) bool; pixels in it are ignored, and False in the result.

    Returns:
        (H, W) bool.
    """
    return np.asarray(~hole & (image < _BLACK), np.bool_)


def find_tissue(image: Image, hole: Mask) -> Mask:
    """Find tissue: apart from texture half to twice as bright as usual near the hole, unlike air, labels or film edges.

    Args:
        image: (H, W) in [0, 1].
        hole: (H, W) bool; pixels in it are ignored, and False in the result.

    Returns:
        (H, W) bool.
    """
    sigma = _SMOOTHING * len(image)
    known = (~hole).astype(np.float32)
    # Blurred over known pixels only, so that what was in the hole does not count.
    share = cv2.GaussianBlur(known, (0, 0), sigma)
    level = cv2.GaussianBlur(image * known, (0, 0), sigma) / np.maximum(share, np.float32(1e-6))
    least, most = (times * _usual(image, hole) for times in _TISSUE)
    return np.asarray(~hole & (level >= least) & (level <= most), np.bool_)


def _usual(image: Image, hole: Mask) -> float:
    near = ~hole & (distance_from(hole) <= _REACH * len(image))
    # Not the median: next to air, that could be air's.
    return float(np.percentile(image[near], 75)) if near.any() else 0.0
