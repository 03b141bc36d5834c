"""DiffAugment: the discriminator sees rotated, shifted pictures of changed brightness, so it cannot memorise them.

Real and painted pictures are augmented in the same way, and gradients pass through. Source: Zhao et al.,
"Differentiable augmentation for data-efficient GAN training", NeurIPS 2020. Its strengths were found on photographs; in
mammograms gray values have a meaning, so they are changed less here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_MOST_SHIFT = 1 / 8
"""Of the patch's side. Source: Zhao et al., appendix A."""
_MOST_BRIGHTNESS = 0.1
_MOST_CONTRAST = 0.25
"""Ours: brightness is added, contrast is a factor between 1 minus and 1 plus this."""


def draw_augmentation(augment: Sequence[str], random: np.random.Generator) -> Tensor:
    """Draw how one picture is augmented.

    Args:
        augment: some of `settings.AUGMENTATIONS`.
        random: drawn from in the same way whatever `augment` says.

    Returns:
        (5,) float32: symmetry of the square (0..7), shift down and right as shares of the side, brightness, contrast.
    """
    turn = float(random.integers(8)) * ("turn" in augment)
    down, right = random.uniform(-_MOST_SHIFT, _MOST_SHIFT, 2) * ("translation" in augment)
    brightness = random.uniform(-_MOST_BRIGHTNESS, _MOST_BRIGHTNESS) * ("brightness" in augment)
    contrast = 1 + random.uniform(-_MOST_CONTRAST, _MOST_CONTRAST) * ("contrast" in augment)
    return torch.tensor([turn, down, right, brightness, contrast], dtype=torch.float32)


def diffaugment(images: Tensor, masks: Tensor, drawn: Tensor, augment: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Augment pictures and masks.

    Args:
        images: (N, 1, H, W).
        masks: (N, 1, H, W); moved with their pictures.
        drawn: (N, 5), from `draw_augmentation`.
        augment: some of `settings.AUGMENTATIONS`; with none, everything is returned as it came.

    Returns:
        Images and masks, (N, 1, H, W). What a shift uncovers mirrors the picture.
    """
    if "turn" in augment or "translation" in augment:
        both = torch.cat([images, masks], dim=1)
        grid = F.affine_grid(_placements(drawn, images.shape[-1]), list(both.shape), align_corners=False)
        both = F.grid_sample(both, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        images, masks = both[:, :1], both[:, 1:]
    if "brightness" in augment or "contrast" in augment:
        brightness, contrast = drawn[:, 3, None, None, None], drawn[:, 4, None, None, None]
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = (images - mean) * contrast + mean + brightness
    return images, masks


def _placements(drawn: Tensor, side: int) -> Tensor:
    """Return (N, 2, 3) matrices: the eight symmetries of a square, and a shift by whole pixels."""
    way = drawn[:, 0].long()
    angle = (way % 4) * (torch.pi / 2)
    mirror = 1 - 2 * (way // 4)
    cos, sin = torch.cos(angle).round(), torch.sin(angle).round()
    # Coordinates run from -1 to 1, so a pixel is 2 / side wide.
    down, right = ((drawn[:, 1:3] * side).round() * (2 / side)).unbind(1)
    rows = [torch.stack([cos * mirror, -sin, right], dim=1), torch.stack([sin * mirror, cos, down], dim=1)]
    return torch.stack(rows, dim=1).to(drawn.dtype)
