"""EMA: the exponential moving average of a network over its training."""

from __future__ import annotations

import torch
from torch import nn


def update_ema(kept: nn.Module, trained: nn.Module, images: int, half_life: float) -> None:
    """Update a running average of a network's weights, after a training step of this many images.

    Source: Karras et al., "Progressive growing of GANs", ICLR 2018, section A.1.

    Args:
        kept: the average; its weights, and what it has counted (the statistics of batch normalisation), are moved.
        trained: of the same kind.
        images: of the step.
        half_life: images after which a step counts half.
    """
    share = 1 - 0.5 ** (images / half_life)
    with torch.no_grad():
        for mean, one in zip(kept.state_dict().values(), trained.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(one, share)
            else:
                mean.copy_(one)
