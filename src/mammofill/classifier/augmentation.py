"""Traditional augmentation: flip, turns and zoom in one warp. Drawing random parameters and applying them are separate.

Source of the kinds and ranges: the paper, section 3.2. The paper says nothing about what fills the corners that a
rotation or a zoom below 1 leaves empty; here it is the patch mirrored at its border, which invents no edges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.classifier.settings import AugmentationSettings
from mammofill.ground.imaging import StoredImage


@dataclass(frozen=True)
class Augmentation:
    """What was drawn for one image."""

    flip: bool = False
    rotation_degrees: float = 0.0
    """Counter-clockwise, as one looks at the image."""
    zoom: float = 1.0
    """Above 1 enlarges."""
    quarter_turns: int = 0
    """How often it is also turned by 90 degrees, counter-clockwise."""


def draw_augmentation(settings: AugmentationSettings, random: np.random.Generator) -> Augmentation:
    """Draw one augmentation.

    Four numbers are drawn whatever the settings, so that switching one kind off leaves the others as they were.

    Args:
        settings: what may happen.
        random: the generator of this very image.
    """
    allowed = settings.resolved()
    coin, turn, size, quarters = random.random(4)
    least, greatest = allowed.zoom
    return Augmentation(
        flip=allowed.flip and coin < 0.5,
        rotation_degrees=(2 * turn - 1) * allowed.rotation_degrees,
        zoom=least + size * (greatest - least),
        quarter_turns=int(4 * quarters) if allowed.quarter_turns else 0,
    )


def warp_matrix(augmentation: Augmentation, size_px: int) -> NDArray[np.float64]:
    """Return the affine map of an augmentation about the centre of a square image: flip, then rotation, then zoom.

    Args:
        augmentation: what was drawn.
        size_px: side of the image.

    Returns:
        (2, 3) float64 matrix that takes a source point (column, row, 1) to its place in the result. Pixel centres have
        whole coordinates, so the centre is at (size_px - 1) / 2. Rows point down: a positive rotation takes (1, 0) to
        (cos, -sin).
    """
    angle = math.radians(augmentation.rotation_degrees + 90 * augmentation.quarter_turns)
    rotation = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    mirror = np.diag([-1.0 if augmentation.flip else 1.0, 1.0])
    linear = augmentation.zoom * rotation @ mirror
    centre = np.full(2, (size_px - 1) / 2)
    return np.column_stack([linear, centre - linear @ centre])


def apply_augmentation(image: StoredImage, augmentation: Augmentation) -> StoredImage:
    """Warp one image once: bilinear, empty corners filled by reflection.

    Args:
        image: (S, S) uint16.
        augmentation: what was drawn. Nothing drawn returns the image itself.

    Returns:
        (S, S) uint16.
    """
    if augmentation == Augmentation():
        return image
    size_px = image.shape[0]
    warped = cv2.warpAffine(
        image.astype(np.float32),  # in float, since OpenCV's integer warps round positions to 1/32 pixel weights
        warp_matrix(augmentation, size_px),
        (size_px, size_px),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.rint(warped).astype(np.uint16)
