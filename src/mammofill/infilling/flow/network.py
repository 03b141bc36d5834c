"""The network of the flow: from a noisy picture in the hole, and what is known around it, to the velocity there."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mammofill.infilling.conditions import count_planes
from mammofill.infilling.flow.settings import SHAPES, TargetSettings, VelocityNetworkSettings

CONDITIONS_WEIGHT = "conditions.weight"
"""Name of the weights for the requested properties: (embedding, K), a column for each plane of `conditions.encode`."""
_SEEN = 4
"""Channels that the network is shown: noisy residual (the true one around the hole), base, hole, shape."""
_FREQUENCIES = 32
_LOWEST, _HIGHEST = 0.15, 4.0
"""Frequencies of the sines and cosines that encode the log-odds of the time, in radians per unit. Ours."""
_LEAST_TIME = 1e-4
_GROUPS = 8
_RIM_PX = 3.0
"""Over this many pixels inside the hole's border the input marks that the border is near. Ours."""


class VelocityNetwork(nn.Module):
    """A U-Net whose blocks receive time, conditions and kind of shape by FiLM (Perez et al., AAAI 2018).

    Args:
        size_px: side of the patches.
        settings: of the network.
        facts: names out of `conditions.FACTS`.
        target: how residuals are split into what is known of their velocity, and what is learned.
    """

    def __init__(
        self, size_px: int, settings: VelocityNetworkSettings, facts: tuple[str, ...], target: TargetSettings
    ) -> None:
        super().__init__()
        settings.check_size(size_px)
        self.facts, self.target = facts, target
        widths, embedding = settings.widths, settings.embedding
        self.time = nn.Sequential(nn.Linear(2 * _FREQUENCIES, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.conditions = nn.Linear(count_planes(facts), embedding, bias=False)
        self.shape = nn.Linear(len(SHAPES), embedding, bias=False)
        for layer in (self.conditions, self.shape):
            nn.init.normal_(layer.weight, std=0.5)
        self.enter = nn.Conv2d(_SEEN, widths[0], 3, padding=1)
        sides = [size_px >> number for number in range(len(widths))]

        def scale(number: int, inputs: int) -> Scale:
            heads = settings.heads if sides[number] <= settings.attention_px else 0
            norm = number > 0 or settings.full_size_norm
            return Scale(inputs, widths[number], embedding, settings.blocks[number], heads, norm=norm)

        last = len(widths) - 1
        self.down = nn.ModuleList(scale(number, widths[number]) for number in range(last))
        self.halve = nn.ModuleList(nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairwise(widths))
        self.middle = scale(last, widths[last])
        self.narrow = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(scale(number, 2 * widths[number]) for number in range(last))
        # The finest scale has no norm of its own, so its input from the coarser scale is normalised.
        self.level = nn.Sequential(_Norm(_GROUPS, widths[1]), nn.SiLU())
        self.leave = nn.Conv2d(widths[0], 1, 3, padding=1)
        _start_at_zero(self.leave)

    def forward(
        self,
        noisy: Tensor,
        around: Tensor,
        base: Tensor,
        depth: Tensor,
        shape: Tensor,
        times: Tensor,
        conditions: Tensor,
        kinds: Tensor,
    ) -> Tensor:
        """Predict the velocity.

        Args:
            noisy: (N, 1, H, W) the residual in the hole at these times; 0 around it.
            around: (N, 1, H, W) the true residual around the hole; 0 in it.
            base: (N, 1, H, W) smooth surroundings, and the membrane between them, about standard normal.
            depth: (N, 1, H, W) pixels inside the hole; 0 outside it.
            shape: (N, 1, H, W) in [0, 1], where the lesion is, as far as that is given.
            times: (N,) in [0, 1], 1 is noise.
            conditions: (N, K) planes from `conditions.encode`; all 0 where the class is hidden.
            kinds: (N, 3) one-hot, which of `SHAPES` is given.

        Returns:
            (N, 1, H, W) float32, noise less residual.
        """
        embedded = F.silu(self.time(_waves(times)) + self.conditions(conditions) + self.shape(kinds))
        state = self.enter(torch.cat([noisy + around, base, _shown(depth), shape], dim=1))
        seen = []
        for scale, halve in zip(self.down, self.halve, strict=True):
            state = scale(state, embedded)
            seen.append(state)
            state = halve(state)
        state = self.middle(state, embedded)
        for scale, narrow, finer in zip(reversed(self.up), reversed(self.narrow), reversed(seen), strict=True):
            state = self.level(state) if finer is seen[0] else state
            state = scale(torch.cat([F.interpolate(narrow(state), scale_factor=2.0), finer], dim=1), embedded)
        learned = self.leave(F.silu(state)).float()
        return torch.as_tensor(learned + known_velocity(noisy, depth, times, self.target))


class Scale(nn.Module):
    """Residual blocks of one scale, each followed by attention where there are heads."""

    def __init__(self, inputs: int, width: int, embedding: int, blocks: int, heads: int, *, norm: bool) -> None:
        super().__init__()
        sizes = [inputs, *[width] * (blocks - 1)]
        self.blocks = nn.ModuleList(Block(size, width, embedding, norm=norm) for size in sizes)
        self.attention = nn.ModuleList(Attention(width, heads) if heads else nn.Identity() for _ in sizes)

    def forward(self, state: Tensor, embedded: Tensor) -> Tensor:
        """Take (N, inputs, h, w) to (N, width, h, w)."""
        for block, attention in zip(self.blocks, self.attention, strict=True):
            state = attention(block(state, embedded))
        return state


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; FiLM between them. The second begins at 0, so that the block does."""

    def __init__(self, inputs: int, width: int, embedding: int, *, norm: bool) -> None:
        super().__init__()
        self.first_norm = _Norm(_GROUPS, inputs) if norm else nn.Identity()
        self.second_norm = _Norm(_GROUPS, width) if norm else nn.Identity()
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        _start_at_zero(self.second)
        self.film = nn.Linear(embedding, 2 * width)
        self.shortcut = nn.Conv2d(inputs, width, 1) if inputs != width else nn.Identity()

    def forward(self, state: Tensor, embedded: Tensor) -> Tensor:
        """Take (N, inputs, h, w) to (N, width, h, w)."""
        found = self.first(F.silu(self.first_norm(state)))
        scale, shift = self.film(embedded)[:, :, None, None].to(found.dtype).chunk(2, dim=1)
        found = self.second(F.silu(torch.addcmul(shift, self.second_norm(found), 1 + scale)))
        return torch.as_tensor(self.shortcut(state) + found)


class Attention(nn.Module):
    """Self-attention over positions (Vaswani et al., NeurIPS 2017), beside a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.norm = heads, _Norm(_GROUPS, width)
        self.look = nn.Conv2d(width, 3 * width, 1)
        self.gather = nn.Conv2d(width, width, 1)
        _start_at_zero(self.gather)

    def forward(self, state: Tensor) -> Tensor:
        """Take (N, width, h, w) to the same."""
        # On a CPU the compiled gradient of softmax was NaN.
        return self._look_uncompiled(state) if state.device.type == "cpu" else self._look(state)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _look_uncompiled(self, state: Tensor) -> Tensor:
        return self._look(state)

    def _look(self, state: Tensor) -> Tensor:
        count, width, height, across = state.shape
        looked = self.look(self.norm(state)).reshape(count, 3, self.heads, width // self.heads, height * across)
        queries, keys, values = looked.unbind(1)  # (N, heads, width / heads, places)
        weights = (queries.transpose(-1, -2) @ keys * (width // self.heads) ** -0.5).softmax(-1).to(values.dtype)
        return torch.as_tensor(state + self.gather((values @ weights.transpose(-1, -2)).reshape(state.shape)))


class _Norm(nn.GroupNorm):
    """Group norm in float32: in bfloat16, with channels last, it takes three times as long on a CPU."""

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, enabled=False):
            return super().forward(inputs.float()).to(inputs.dtype)


def _start_at_zero(layer: nn.Conv2d) -> None:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _waves(times: Tensor) -> Tensor:
    """Return (N, 2 * _FREQUENCIES) sines and cosines of the log-odds of times (N,)."""
    inside = times.clamp(_LEAST_TIME, 1 - _LEAST_TIME)
    exponents = torch.linspace(math.log(_LOWEST), math.log(_HIGHEST), _FREQUENCIES, device=times.device)
    angles = torch.logit(inside)[:, None] * torch.exp(exponents)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def known_velocity(noisy: Tensor, depth: Tensor, times: Tensor, target: TargetSettings) -> Tensor:
    """Return the velocity of residuals whose coarse and fine parts were normal, of known spreads.

    Args:
        noisy: (N, 1, H, W), 0 outside the hole.
        depth: (N, 1, H, W) pixels inside the hole; 0 outside it.
        times: (N,).
        target: where parts are split, and their spreads.

    Returns:
        (N, 1, H, W) float32.
    """
    with torch.autocast(noisy.device.type, enabled=False):
        coarse = blur_in_hole(noisy.float(), (depth > 0).float(), target.split_px)
        first, growth = target.coarse_spread
        spread = (first + growth * depth).clamp(max=target.most_coarse_spread)
        known = _gain(times, spread) * coarse
        return torch.as_tensor(known + _gain(times, torch.tensor(target.fine_spread)) * (noisy.float() - coarse))


def blur_in_hole(picture: Tensor, hole: Tensor, sigma_px: float) -> Tensor:
    """Blur over the hole alone (normalised convolution; Knutsson and Westin, CVPR 1993), 0 outside it.

    Args:
        picture: (N, 1, H, W), 0 outside the hole.
        hole: (N, 1, H, W), 0 or 1.
        sigma_px: standard deviation.
    """
    reach = int(3 * sigma_px + 1)
    places = torch.arange(-reach, reach + 1, device=picture.device, dtype=picture.dtype)
    kernel = torch.exp(-0.5 * (places / sigma_px) ** 2)
    kernel = kernel / kernel.sum()

    def smooth(one: Tensor) -> Tensor:
        down = F.conv2d(one, kernel[None, None, :, None], padding=(reach, 0))
        return F.conv2d(down, kernel[None, None, None, :], padding=(0, reach))

    return torch.as_tensor(smooth(picture) / smooth(hole).clamp(min=1e-3) * hole)


def _gain(times: Tensor, spread: Tensor) -> Tensor:
    """Return the velocity, as a multiple of the noisy value, of normal values of this spread (N or 1, 1, H or 1, ...).

    With x0 of variance f^2 and noise of variance 1, the conditional mean of noise - x0 from x_t = (1 - t) x0 + t noise
    is x_t (t - (1 - t) f^2) / ((1 - t)^2 f^2 + t^2).
    """
    variance, at = spread**2, times[:, None, None, None]
    return torch.as_tensor((at - (1 - at) * variance) / ((1 - at) ** 2 * variance + at**2))


def _shown(depth: Tensor) -> Tensor:
    """Return how the hole is shown: 2 at its border, falling to 1 within some pixels, 0 outside."""
    return (1 + torch.exp(-depth / _RIM_PX)) * (depth > 0)
