"""The generator: a cascaded refinement network, from 4x4 pixels to the patch's size.

Source: the paper, section 3.3; Chen and Koltun, "Photographic image synthesis with cascaded refinement networks", 2017.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mammofill.ground.backbone import LEAK, start_layers
from mammofill.infilling.conditions import count_planes
from mammofill.infilling.gan.settings import COARSEST_PX, GeneratorSettings

_NOISE_SPREAD = math.sqrt(1 / 12)
"""Standard deviation of the uniform noise over [0, 1] that the hole holds."""


class Generator(nn.Module):
    """Paints a patch from its context, a mask and the requested properties.

    At every scale the inputs (`GeneratorSettings.stack`) are joined to the features of the coarser scale and refined by
    3x3 convolutions; the result is upsampled for the next scale.
    """

    def __init__(self, size_px: int, settings: GeneratorSettings, facts: tuple[str, ...] = ("pathology",)) -> None:
        """Build the scales that patches of `size_px` need; see `GeneratorSettings.widths_for` for the errors."""
        super().__init__()
        self.size_px, self.settings, self.facts = size_px, settings, facts
        widths = settings.widths_for(size_px)
        self.sides = [COARSEST_PX * 2**number for number in range(len(widths))]
        planes = count_planes(facts)
        film = planes + settings.latent if settings.latent else 0
        self.scales = nn.ModuleList()
        before = 0
        for number, width in enumerate(widths):
            seen = _channels_seen(settings, planes, halvings=len(widths) - 1 - number)
            self.scales.append(Refinement(before + seen, width, film, settings))
            before = width
        self.to_image = nn.Conv2d(before, 1, kernel_size=1)
        start_layers(self)
        if settings.head == "residual":  # begins as the smooth filling alone
            nn.init.zeros_(self.to_image.weight)
        self.bound = {"sigmoid": nn.Sigmoid(), "relu": nn.ReLU()}.get(settings.head, nn.Identity())

    def forward(self, context: Tensor, mask: Tensor, conditions: Tensor, latent: Tensor | None = None) -> Tensor:
        """Paint.

        Args:
            context: (N, 1, H, W) in [0, 1], uniform noise where the mask is.
            mask: (N, 1, H, W), 1 = to be filled, 0 elsewhere.
            conditions: (N, K), the requested properties, from `conditions.encode`.
            latent: (N, Z) standard normal numbers; needed where `GeneratorSettings.latent` is Z.

        Returns:
            (N, 1, H, W): the whole patch, painted anew.
        """
        seen = self._pyramid(context, mask, conditions)
        film = None if latent is None or not self.settings.latent else torch.cat([conditions, latent], dim=1)
        features: Tensor | None = None
        for scale, pictures in zip(self.scales, seen, strict=True):
            joined = [pictures] if features is None else [self._double(features), pictures]
            features = scale(torch.cat(joined, dim=1), film)  # (N, width, side, side)
        painted: Tensor = self.bound(self.to_image(features))
        if self.settings.head == "residual":
            painted = painted + seen[-1][:, :1]
        return painted

    def _pyramid(self, context: Tensor, mask: Tensor, conditions: Tensor) -> list[Tensor]:
        """Return what each scale is shown, coarsest first: (N, channels, side, side)."""
        if self.settings.stack == "accumulating":
            return _accumulating(torch.cat([context, mask], dim=1), conditions, self.sides)
        if self.settings.stack == "filled":
            noise = (context - 0.5) / _NOISE_SPREAD * mask
            # Noise that is averaged over areas of n pixels loses a factor sqrt(n) of its spread, and gets it back.
            noises = [F.adaptive_avg_pool2d(noise, side) * (self.size_px / side) for side in self.sides]
            filled = fill_smoothly(context, mask, self.sides)
            masks = [F.adaptive_avg_pool2d(mask, side) for side in self.sides]
            parts = [torch.cat(three, dim=1) for three in zip(filled, masks, noises, strict=True)]
        else:
            # Averaging over areas keeps a small lesion visible at the coarse scales.
            both = torch.cat([context, mask], dim=1)
            parts = [both if side == self.size_px else F.adaptive_avg_pool2d(both, side) for side in self.sides]
        return [torch.cat([part, _as_planes(conditions, part.shape[-1])], dim=1) for part in parts]

    def _double(self, features: Tensor) -> Tensor:
        if self.settings.upsampling == "nearest":
            return F.interpolate(features, scale_factor=2, mode="nearest")
        return F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)


class Refinement(nn.Module):
    """The convolutions of one scale, each followed by its norm, FiLM, and its activation."""

    def __init__(self, channels: int, width: int, film: int, settings: GeneratorSettings) -> None:
        """Build it for inputs of so many channels; `film` numbers scale and shift its channels (FiLM), 0 for none."""
        super().__init__()
        self.settings = settings
        before = [channels] + [width] * (settings.convolutions - 1)
        self.convolutions = nn.ModuleList(nn.Conv2d(count, width, kernel_size=3, padding=1) for count in before)
        self.telling = nn.ModuleList(nn.Linear(film, 2 * width) for _ in before) if film else None

    def forward(self, features: Tensor, film: Tensor | None) -> Tensor:
        """Refine (N, channels, side, side) to (N, width, side, side)."""
        for number, convolution in enumerate(self.convolutions):
            features = self._normalise(convolution(features))
            if self.telling is not None and film is not None:
                scale, shift = self.telling[number](film)[:, :, None, None].chunk(2, dim=1)  # (N, width, 1, 1) each
                features = features * (1 + scale) + shift
            features = F.leaky_relu(features, LEAK) if self.settings.activation == "leaky_relu" else F.relu(features)
        return features

    def _normalise(self, features: Tensor) -> Tensor:
        if self.settings.norm == "pixel":
            return features * torch.rsqrt(features.square().mean(dim=1, keepdim=True) + 1e-8)
        # One pixel a channel has no spread, so the norm of a picture begins at 2x2; here sides are 4 or more.
        return F.instance_norm(features) if self.settings.norm == "instance" else features


def _channels_seen(settings: GeneratorSettings, planes: int, halvings: int) -> int:
    if settings.stack == "accumulating":
        return 2 + planes * halvings
    return (3 if settings.stack == "filled" else 2) + planes


def _as_planes(conditions: Tensor, side: int) -> Tensor:
    return conditions[:, :, None, None].expand(-1, -1, side, side)  # (N, K, side, side)


def _accumulating(pictures: Tensor, conditions: Tensor, sides: list[int]) -> list[Tensor]:
    seen = [pictures]
    for side in reversed(sides[:-1]):
        # Every second pixel, as TensorFlow's nearest neighbour takes them.
        seen.append(torch.cat([seen[-1][:, :, ::2, ::2], _as_planes(conditions, side)], dim=1))
    return seen[::-1]


def fill_smoothly(context: Tensor, mask: Tensor, sides: list[int]) -> list[Tensor]:
    """Fill the hole from its surroundings, without texture, at every scale.

    Known pixels are averaged over areas until every area holds some; going back up, unknown pixels take the bilinearly
    doubled coarser value. Source: the pull and push of Gortler et al., "The lumigraph", SIGGRAPH 1996, section 3.6.

    Args:
        context: (N, 1, H, W).
        mask: (N, 1, H, W), 1 = unknown.
        sides: sides of the scales, each half of the next; the last is H = W.

    Returns:
        One (N, 1, side, side) a scale. The last is the context where the mask is 0.
    """
    known = 1 - mask
    sums, counts = [context * known], [known]
    while sums[-1].shape[-1] > 1:
        sums.append(F.avg_pool2d(sums[-1], 2))
        counts.append(F.avg_pool2d(counts[-1], 2))
    # Where not even the whole patch holds a known pixel, middle gray.
    filled = [torch.where(counts[-1] > 0, sums[-1] / counts[-1].clamp(min=1e-6), torch.full_like(sums[-1], 0.5))]
    for total, count in zip(reversed(sums[:-1]), reversed(counts[:-1]), strict=True):
        coarse = F.interpolate(filled[-1], scale_factor=2, mode="bilinear", align_corners=False)
        filled.append(total + (1 - count) * coarse)
    return filled[-len(sides) :]
