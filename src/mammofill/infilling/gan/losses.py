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

AdversarialForm = Literal["non-saturating", "hinge"]

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


def discriminator_loss(real_logits: Tensor, painted_logits: Tensor, form: AdversarialForm = "non-saturating") -> Tensor:
    """Return the discriminator's adversarial loss. Source: the paper, section 4.2, last equation.

    Args:
        real_logits: (N,), above 0 = taken for real.
        painted_logits: (N,).
        form: ``non-saturating``: cross-entropy, computed from logits, where the logarithms of the equation cannot
            become infinite. ``hinge``: how far each logit falls short of 1 on its own side (Lim and Ye, "Geometric
            GAN", 2017).

    Returns:
        Scalar: the mean of the two halves, so that guessing at random has a cross-entropy of log 2 = 0.69, and logits
        of 0 a hinge loss of 1.
    """
    if form == "hinge":
        return 0.5 * (F.relu(1 - real_logits).mean() + F.relu(1 + painted_logits).mean())
    return 0.5 * (F.softplus(-real_logits).mean() + F.softplus(painted_logits).mean())


def adversarial_loss(painted_logits: Tensor, form: AdversarialForm = "non-saturating") -> Tensor:
    """Return the generator's adversarial loss.

    The non-saturating form -log D(S) in place of the equation's log(1 - D(S)): the same fixed point, and a gradient
    also where the discriminator is certain. Source: Goodfellow et al., 2014, section 3. With ``hinge``, minus the
    logit.

    Args:
        painted_logits: (N,), above 0 = taken for real.
        form: that of the discriminator's loss.

    Returns:
        Scalar.
    """
    return -painted_logits.mean() if form == "hinge" else F.softplus(-painted_logits).mean()


def gradient_penalty(logits: Tensor, pictures: Tensor) -> Tensor:
    """Return half the squared gradient of the verdict at real pictures: R1.

    Source: Mescheder et al., 2018, equation 9.

    Args:
        logits: (N,), computed from `pictures`.
        pictures: (N, 1, H, W), which require a gradient.

    Returns:
        Scalar: the mean over pictures of the squared length of their gradient, halved.
    """
    (slope,) = torch.autograd.grad(logits.sum(), pictures, create_graph=True)
    return 0.5 * slope.square().sum(dim=(1, 2, 3)).mean()


def feature_matching_loss(
    real: Sequence[Tensor], painted: Sequence[Tensor], weights: Callable[[int], Tensor]
) -> Tensor:
    """Compare what the discriminator's layers see, on average near the mask. Source: Salimans et al., 2016, equation 3.

    Means over places leave a fill free to put its texture elsewhere than the real lesion does.

    Args:
        real: feature maps of the real pictures, (N, C, side, side) each; no gradient flows into them.
        painted: the same of the fills.
        weights: gives (N, 1, side, side) weights, each picture's sum 1, for a side.

    Returns:
        Scalar: mean over layers of the mean absolute difference.
    """
    gaps = []
    for wanted, found in zip(real, painted, strict=True):
        near = weights(found.shape[-1])
        gaps.append(((found - wanted.detach()) * near).sum(dim=(2, 3)).abs().mean())
    return torch.stack(gaps).mean()


def variety_loss(painted: Tensor, other: Tensor, real: Tensor, mask: Tensor, target: float) -> Tensor:
    """Return how far two fills of one context fall short of a target difference. After Mao et al., 2019, with a bound.

    Args:
        painted: (N, 1, H, W), fills.
        other: (N, 1, H, W), fills of the same contexts from other noise.
        real: (N, 1, H, W), whose spread inside the mask is the measure.
        mask: (N, 1, H, W).
        target: root mean square difference wanted inside the mask, as a share of the real pixels' standard deviation.

    Returns:
        Scalar in [0, 1]: the mean over pictures of the share of the target that is lacking.
    """
    area = mask.sum(dim=(1, 2, 3)).clamp(min=1)
    mean = (real * mask).sum(dim=(1, 2, 3)) / area
    spread = (((real - mean[:, None, None, None]) * mask).square().sum(dim=(1, 2, 3)) / area).sqrt()
    # The root has no finite gradient at 0, where both fills are the same.
    difference = ((((painted - other) * mask).square().sum(dim=(1, 2, 3)) / area) + 1e-10).sqrt()
    return F.relu(1 - difference / (target * spread).clamp(min=1e-3)).mean()


def class_loss(class_logits: Tensor, classes: Tensor) -> Tensor:
    """Return the cross-entropy of the class head. Source: Odena et al., 2017 (the paper's reference 7).

    Args:
        class_logits: (N, C).
        classes: (N, C), one-hot.

    Returns:
        Scalar.
    """
    return F.cross_entropy(class_logits, classes)
