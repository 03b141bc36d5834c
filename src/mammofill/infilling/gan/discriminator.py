"""The discriminator: is a picture real, given the requested properties, and, from the same backbone, of which class?

Source: the paper, section 3.3 and figure 1. The backbone does not see the class, since its class head would otherwise
only repeat its input. The real/fake logit is conditioned by projection (Miyato and Koyama, "cGANs with projection
discriminator", 2018, equation 3): an unconditional logit plus one for each requested plane.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from mammofill.ground.backbone import Backbone
from mammofill.infilling.conditions import count_planes
from mammofill.infilling.gan.settings import DiscriminatorSettings
from mammofill.infilling.settings import CLASSES


class Verdict(NamedTuple):
    """The discriminator's verdict on N pictures."""

    real: Tensor
    """(N,) logits given the requested properties; above 0 = real."""
    classes: Tensor | None
    """(N, C) class logits that do not depend on the requested properties; None without a class head."""
    layers: list[Tensor]
    """What each layer sees, (N, width, side, side), finest first."""


class Discriminator(nn.Module):
    """Judges pictures; the mirror of the generator: each convolution is followed by halving."""

    def __init__(self, size_px: int, settings: DiscriminatorSettings, facts: tuple[str, ...] = ("pathology",)) -> None:
        """Build it for patches of `size_px`; see `DiscriminatorSettings.check_size` for the errors."""
        super().__init__()
        settings.check_size(size_px)
        self.settings = settings
        widths = settings.widths
        planes = count_planes(facts)
        joined = planes if settings.conditioning == "planes" else 0
        normed: Callable[[nn.Module], nn.Module] = spectral_norm if settings.spectral_norm else nn.Identity()
        self.backbone = Backbone(1 + settings.sees_mask, widths, joined, settings.spectral_norm)
        last_side = size_px // 2 ** (len(widths) - 1)
        weighed = widths[-1] * last_side**2 if settings.judge == "flat" else widths[-1]
        verdicts = 1 if settings.conditioning == "planes" else 1 + planes
        self.judge = normed(nn.Linear(weighed, verdicts))
        # No spectral norm for the class head: it does not compete with the generator.
        self.class_head = nn.Linear(widths[-1], len(CLASSES)) if settings.class_head else None

    def forward(self, images: Tensor, mask: Tensor, conditions: Tensor) -> Verdict:
        """Judge.

        Args:
            images: (N, 1, H, W).
            mask: (N, 1, H, W), 1 = the lesion, or what was filled.
            conditions: (N, K), from `conditions.encode`.
        """
        seen = torch.cat([images, mask], dim=1) if self.settings.sees_mask else images
        layers = self.backbone(seen, conditions if self.settings.conditioning == "planes" else None)
        state = layers[-1]
        near = weights_near(mask, state.shape[-1])
        logits = self._verdicts(state, near)
        real = logits[:, 0]
        if self.settings.conditioning == "projection":
            real = real + (logits[:, 1:] * conditions).sum(dim=1)
        if self.class_head is None:
            return Verdict(real, None, layers)
        pooled = (state * near).sum(dim=(2, 3)) if self.settings.judge == "patches" else state.mean(dim=(2, 3))
        return Verdict(real, self.class_head(pooled), layers)

    def _verdicts(self, state: Tensor, near: Tensor) -> Tensor:
        if self.settings.judge == "flat":
            flat: Tensor = self.judge(state.flatten(1))
            return flat
        everywhere = self.judge(state.movedim(1, -1))  # (N, side, side, verdicts)
        weighed: Tensor = (everywhere * near[:, 0, :, :, None]).sum(dim=(1, 2))
        return weighed


def weights_near(mask: Tensor, side: int) -> Tensor:
    """Return weights of places that see the mask: (N, 1, side, side), each picture's sum 1.

    A place counts by the share of its area, and of its neighbours' areas, that the mask covers.
    """
    share = F.adaptive_avg_pool2d(mask, side)
    near = F.avg_pool2d(share, kernel_size=3, stride=1, padding=1) if side > 2 else share
    return near / near.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
