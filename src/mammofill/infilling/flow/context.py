"""What the network receives of a patch: its base, the residual around the hole, the shape of the lesion."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.imaging import Image, Mask, distance_from
from mammofill.infilling.baselines.poisson import membrane
from mammofill.infilling.flow.settings import SHAPES, TargetSettings
from mammofill.pairing.hole import distance_from_ellipse

_LEVEL, _SPREAD = 0.45, 0.2
"""Usual brightness of tissue and its spread, which bring the base to about standard normal. Ours."""


@dataclass(frozen=True)
class Context:
    """What is known before anything is painted; (H, W) float32 each."""

    base: Image
    """In [0, 1]: the surroundings without their grain, and a membrane between them over the hole."""
    around: Image
    """The residual, (image - base) / scale, around the hole; 0 in it."""
    depth: Image
    """Pixels inside the hole: 1 beside its border; 0 outside it."""

    @property
    def hole(self) -> Image:
        """0 or 1."""
        return (self.depth > 0).astype(np.float32)

    @property
    def spanned(self) -> NDArray[np.float32]:
        """The base in the hole, (n,)."""
        return self.base[self.depth > 0]

    def planes(self) -> list[Image]:
        """Return what the network is shown of it: around, base about standard normal, depth."""
        return [self.around, (self.base - np.float32(_LEVEL)) / np.float32(_SPREAD), self.depth]


def context_of(
    image: Image, hole: Mask, settings: TargetSettings, spanned: NDArray[np.float32] | None = None
) -> Context:
    """Prepare a patch.

    Args:
        image: (H, W) float32 in [0, 1]; the content of the hole is ignored.
        hole: (H, W) bool, of n pixels.
        settings: how smooth the base is, and the scale of residuals.
        spanned: (n,) the base in the hole, as it was prepared before (`Context.spanned`); the membrane takes most of
            the time.
    """
    surroundings = _smooth_surroundings(image, hole, settings.base_sigma_px)
    if spanned is None:
        base = membrane(surroundings, hole).astype(np.float32)
    else:
        base = surroundings.copy()
        base[hole] = spanned
    around = np.where(hole, np.float32(0), (image - base) / np.float32(settings.scale))
    depth = distance_from(~hole)
    return Context(base, around.astype(np.float32), np.where(np.isfinite(depth), depth, len(hole)).astype(np.float32))


def residual_of(image: Image, context: Context, scale: float) -> Image:
    """Return what is learned: (image - base) / scale in the hole, 0 around it; (H, W) float32."""
    return np.asarray((image - context.base) / np.float32(scale) * context.hole, np.float32)


def shape_of(mask: Mask, kind: str) -> Image:
    """Return a lesion's shape as the network receives it, (H, W) float32 in [0, 1].

    Args:
        mask: (H, W) bool.
        kind: one of `SHAPES`. The ellipse has a soft edge, a logistic curve one pixel wide.

    Raises:
        ValueError: it is none of these.
    """
    if kind == "untold":
        return np.zeros(mask.shape, np.float32)
    if kind == "outline":
        return mask.astype(np.float32)
    if kind != "ellipse":
        raise ValueError(f"{kind!r} is none of {', '.join(SHAPES)}.")
    return np.asarray(1 / (1 + np.exp(np.clip(distance_from_ellipse(mask), -30, 30))), np.float32)


def _smooth_surroundings(image: Image, hole: Mask, sigma_px: float) -> Image:
    """Blur over what is outside the hole alone (normalised convolution; Knutsson and Westin, CVPR 1993)."""
    if sigma_px == 0:
        return image
    known = (~hole).astype(np.float32)
    total = cv2.GaussianBlur(image * known, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT_101)
    count = cv2.GaussianBlur(known, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(total / np.maximum(count, np.float32(1e-6)), np.float32)
