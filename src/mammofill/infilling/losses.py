"""The losses, as pure functions on pictures (N, 1, H, W). Each is a mean, so it does not grow with the picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mammofill.ground.errors import TrainingError
from mammofill.ground.imaging import Image, Mask

_TRUNCATE = 4.0
"""The Gaussian is cut off at this many standard deviations, as scipy's is."""


def boundary_weights(mask: Mask, sigma_px: float, boundary: Literal["contour", "blurred-mask"] = "contour") -> Image:
    """Return the weights w of the boundary loss.

    Args:
        mask: (H, W) bool, with at least one True.
        sigma_px: standard deviation of the blur, in pixels.
        boundary: ``contour``: the mask's inner contour, blurred and scaled to peak 1 (the method's authors' code, where
            the weight is large along the edge and fades to both sides). ``blurred-mask``: the mask, blurred (the paper,
            section 4.2).

    Returns:
        (H, W) float32 in [0, 1].

    Raises:
        TrainingError: the mask is empty; there is no boundary then, and scaling to peak 1 would divide by zero.
    """
    if not mask.any():
        raise TrainingError(
            "The mask is empty, so it has no boundary. Each patch needs a mask with at least one pixel."
        )
    area = mask.astype(np.float32)
    if boundary == "contour":
        # Beyond the patch's edge there is no lesion: a mask that reaches the edge has its contour there.
        inner = cv2.erode(
            mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
        )
        area = area - inner.astype(np.float32)
    reach = int(_TRUNCATE * sigma_px + 0.5)
    kernel = cv2.getGaussianKernel(2 * reach + 1, sigma_px, cv2.CV_32F)
    blurred = cv2.sepFilter2D(area, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
    if boundary == "contour":
        blurred = blurred / blurred.max()
    return np.clip(blurred, 0.0, 1.0).astype(np.float32)


def perceptual_loss(
    features: Callable[[Tensor], Sequence[Tensor]],
    real: Tensor,
    painted: Tensor,
    regions: Sequence[Tensor],
    context: Tensor | None = None,
    context_weight: float = 1.0,
) -> Tensor:
    """Compare the features of two pictures. Source: the paper, section 4.2, first equation (L1 over layers).

    Each region is compared by itself, with all that lies outside of it black, as in the method's authors' code.

    Args:
        features: gives the feature maps of pictures (N, 1, H, W), one tensor per layer.
        real: (N, 1, H, W), the truth.
        painted: (N, 1, H, W).
        regions: weights (N, 1, H, W) that pictures are multiplied by, such as the mask and its boundary; an empty
            sequence compares the whole pictures.
        context: (N, 1, H, W), 1 where the pixels themselves are compared, too; None for nowhere.
        context_weight: weight of that term.

    Returns:
        Scalar: over the layers, the sum of the mean absolute differences, summed over regions; plus the context's.
    """
    count = max(len(regions), 1)
    with torch.no_grad():
        wanted = features(_cut_out(real, regions))
    found = features(_cut_out(painted, regions))
    loss = count * torch.stack([F.l1_loss(a, b) for a, b in zip(found, wanted, strict=True)]).sum()
    if context is not None:
        loss = loss + context_weight * (context * (real - painted)).abs().mean()
    return loss


def _cut_out(pictures: Tensor, regions: Sequence[Tensor]) -> Tensor:
    # All regions in one pass: (regions * N, 1, H, W).
    return torch.cat([region * pictures for region in regions]) if regions else pictures


def boundary_loss(real: Tensor, painted: Tensor, weights: Tensor) -> Tensor:
    """Compare pixels near the mask's edge. Source: the paper, section 4.2, second equation (L1).

    Args:
        real: (N, 1, H, W), the truth.
        painted: (N, 1, H, W).
        weights: (N, 1, H, W), from `boundary_weights`.

    Returns:
        Scalar, mean over all pixels.
    """
    return (weights * (real - painted)).abs().mean()


def discriminator_loss(real_logits: Tensor, painted_logits: Tensor) -> Tensor:
    """Return how badly real and painted pictures are told apart. Source: the paper, section 4.2, last equation.

    Args:
        real_logits: (N,), above 0 = taken for real.
        painted_logits: (N,).

    Returns:
        Scalar: the mean of the two cross-entropies, so that a coin's loss is log 2 = 0.69. Computed from logits, where
        the logarithms of the equation cannot become infinite.
    """
    return 0.5 * (F.softplus(-real_logits).mean() + F.softplus(painted_logits).mean())


def adversarial_loss(painted_logits: Tensor) -> Tensor:
    """Return how badly the generator fools the discriminator.

    The non-saturating form -log D(S) in place of the equation's log(1 - D(S)): the same fixed point, and a gradient
    where the discriminator is sure. Source: Goodfellow et al., 2014, section 3.

    Args:
        painted_logits: (N,), above 0 = taken for real.

    Returns:
        Scalar.
    """
    return F.softplus(-painted_logits).mean()


def class_loss(class_logits: Tensor, classes: Tensor) -> Tensor:
    """Return the cross-entropy of the class head. Source: Odena et al., 2017 (the paper's reference 7).

    Args:
        class_logits: (N, C).
        classes: (N, C), one-hot.

    Returns:
        Scalar.
    """
    return F.cross_entropy(class_logits, classes)
