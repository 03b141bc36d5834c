"""The perceptual loss: how different two pictures look to a network, computed only where they can look different."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mammofill.ground.training.cpu_threads import each_on_one_thread
from mammofill.infilling.gan.features import NetworkFeatures

_CUDA_GRAIN_PX = 32
"""On CUDA boxes are widened to multiples of this, so that many have one shape and go through the network together."""


def perceptual_loss(
    features: Callable[[Tensor], Sequence[Tensor]],
    real: Tensor,
    painted: Tensor,
    regions: Sequence[Tensor],
    context: Tensor | None = None,
    context_weight: float = 1.0,
    filled: Sequence[Tensor] | None = None,
) -> Tensor:
    """Compare the features of two pictures. Source: the paper, section 4.2, first equation (L1 over layers).

    Each region is compared separately, with everything outside it black, as in the method's authors' code.

    With features of vgg19 only a box around each region goes through the network (`Chain`): it holds every place whose
    features differ from a black picture's. Loss and gradient are those of whole pictures, up to rounding; there is no
    second derivative. All other features, and the comparison without regions, take whole pictures.

    Args:
        features: gives the feature maps of pictures (N, 1, H, W), one tensor per layer.
        real: (N, 1, H, W), the truth.
        painted: (N, 1, H, W).
        regions: weights (N, 1, H, W) that pictures are multiplied by, such as the mask and its boundary; an empty
            sequence compares the whole pictures.
        context: (N, 1, H, W), 1 where the pixels themselves are compared, too; None for nowhere.
        context_weight: weight of that term.
        filled: for each region, the result of `filled_lines`, on the CPU; otherwise it is computed on the GPU and the
            host waits for it.

    Returns:
        Scalar: over the layers, the sum of the mean absolute differences, summed over regions; plus the context's.
    """
    chain = find_chain(features) if regions else None
    if chain is None:
        loss = compare_whole(features, real, painted, regions)
    else:
        slope_too = torch.is_grad_enabled() and painted.requires_grad
        lines = filled or [filled_lines(region).cpu() for region in regions]
        loss = _InBoxes.apply(painted, real, regions, lines, chain, slope_too)
    if context is not None:
        loss = loss + context_weight * (context * (real - painted)).abs().mean()
    return loss


def compare_whole(
    features: Callable[[Tensor], Sequence[Tensor]], real: Tensor, painted: Tensor, regions: Sequence[Tensor]
) -> Tensor:
    """Return the loss without its context, from whole pictures; see `perceptual_loss`."""
    with torch.no_grad():
        wanted = features(_cut_out(real, regions))
    found = features(_cut_out(painted, regions))
    # All regions go through in one pass, so that the means are over them, too.
    return max(len(regions), 1) * torch.stack([F.l1_loss(a, b) for a, b in zip(found, wanted, strict=True)]).sum()


def _cut_out(pictures: Tensor, regions: Sequence[Tensor]) -> Tensor:
    return torch.cat([region * pictures for region in regions]) if regions else pictures


# ---- boxes --------------------------------------------------------------------------------------------------------

Span = tuple[int, int]
"""The first row or column, and the one after the last."""


@dataclass(frozen=True)
class Link:
    """A 3x3 convolution that keeps the size, its ReLU, and the halving behind it, if any."""

    convolution: nn.Conv2d
    halve: nn.Module | None
    given_out: bool
    """Whether what comes out is one of the feature maps."""

    def behind(self, convolved: Tensor) -> Tensor:
        """Apply what follows the convolution, whose result is overwritten."""
        state = F.relu_(convolved)
        return state if self.halve is None else self.halve(state)


@dataclass(frozen=True)
class Box:
    """A part of one picture, and how it widens on its way through a chain."""

    number: int
    """Of the picture."""
    pixels: tuple[slice, slice]
    """Rows and columns of the picture."""
    rims: tuple[tuple[int, int, int, int], ...]
    """For each link, by how much its convolution reaches further: left, right, up, down."""
    reached: tuple[tuple[slice, slice], ...]
    """For each link, rows and columns of what its convolution gives."""

    @property
    def form(self) -> tuple[Any, ...]:
        """Boxes of one form can go through the chain together."""
        rows, columns = self.pixels
        return rows.stop - rows.start, columns.stop - columns.start, self.rims


class Chain:
    """A network of 3x3 convolutions, run on boxes of pictures that are black elsewhere.

    Only the differences between the features and those of a black picture are computed. Outside of a box these are 0. A
    convolution is linear, so it maps differences, padded with zeros, to differences, which extend one pixel further on
    each side; only the ReLU and the pool need the black picture's own values. So nothing is neglected, and each layer
    computes only the places that can differ.
    """

    def __init__(self, features: NetworkFeatures, links: Sequence[Link]) -> None:
        self.features, self.links = features, links
        self._black: dict[tuple[Any, ...], list[tuple[Tensor, Tensor]]] = {}

    def box(self, number: int, rows: Span, columns: Span, size: Sequence[int]) -> Box:
        """Follow a box through the chain.

        Args:
            number: of the picture.
            rows: in which it is not black.
            columns: in which it is not black.
            size: (H, W) of the picture.
        """
        rims, reached = [], []
        spans: tuple[Span, ...] = (rows, columns)
        sizes = tuple(size)
        for link in self.links:
            halved = 1 if link.halve is None else 2
            wider = [_widen(span, most, halved) for span, most in zip(spans, sizes, strict=True)]
            (up, down), (left, right) = ((a[0] - b[0], b[1] - a[1]) for a, b in zip(spans, wider, strict=True))
            rims.append((left, right, up, down))
            reached.append((slice(*wider[0]), slice(*wider[1])))
            spans = tuple((start // halved, stop // halved) for start, stop in wider)
            sizes = tuple(most // halved for most in sizes)
        return Box(number, (slice(*rows), slice(*columns)), tuple(rims), tuple(reached))

    def beside(self, boxes: Sequence[Box], like: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return what black pictures give where boxes reach, for each link: before its ReLU, and behind all of it.

        Args:
            boxes: N boxes of one form.
            like: (N, 1, H, W), pictures as those that the boxes are of.
        """
        found = []
        for number, (link, maps) in enumerate(zip(self.links, self._black_maps(like), strict=True)):
            halved = 1 if link.halve is None else 2
            places = [box.reached[number] for box in boxes]
            behind = [tuple(slice(one.start // halved, one.stop // halved) for one in place) for place in places]
            found.append((_stack(maps[0], places), _stack(maps[1], behind)))
        return found

    def climb(self, pixels: Tensor, boxes: Sequence[Box], black: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """Return by how much feature maps differ from a black picture's, for each layer that is given out.

        Args:
            pixels: (N, 1, h, w), what stands in N boxes of one form.
            boxes: the boxes.
            black: what `beside` returned for them.
        """
        state, found = pixels, [pixels] if self.features.with_input else []
        for number, (link, rim, (before, behind)) in enumerate(zip(self.links, boxes[0].rims, black, strict=True)):
            weight = link.convolution.weight if number else self._gray_weight()
            convolved = F.conv2d(F.pad(state, rim), weight, padding=1)
            state = link.behind(convolved.add_(before)) - behind
            if link.given_out:
                found.append(state)
        return found

    def sizes(self, like: Tensor) -> list[int]:
        """Return the number of elements that each whole feature map of such pictures (N, 1, H, W) has."""
        maps = zip(self.links, self._black_maps(like), strict=True)
        given_out = [len(like) * behind.numel() for link, (_, behind) in maps if link.given_out]
        return [like.numel(), *given_out] if self.features.with_input else given_out

    def _gray_weight(self) -> Tensor:
        # Three equal channels, each with its own gain: as good as one.
        weight = (self.links[0].convolution.weight * self.features.gain).sum(dim=1, keepdim=True)
        # With one channel both memory formats are equal, but the layers that follow adopt the one that is named here.
        return weight if weight.is_cuda else weight.clone(memory_format=torch.channels_last)

    def _black_maps(self, like: Tensor) -> list[tuple[Tensor, Tensor]]:
        key = (*like.shape[-2:], like.dtype, like.device)
        if key not in self._black:
            self._black[key] = []
            with torch.no_grad(), torch.autocast(like.device.type, enabled=False):
                state = self.features.prepare(torch.zeros_like(like[:1]))
                for link in self.links:
                    convolved = link.convolution(state)
                    state = link.behind(convolved.clone())
                    self._black[key].append((convolved, state))
        return self._black[key]


def _widen(span: Span, most: int, multiple: int) -> Span:
    start, stop = max(span[0] - 1, 0), min(span[1] + 1, most)
    return start // multiple * multiple, min(-(-stop // multiple) * multiple, most)


def _stack(maps: Tensor, places: Sequence[tuple[slice, ...]], numbers: Sequence[int] | None = None) -> Tensor:
    """Cut parts out of maps (N, C, H, W), the same number of each or of the numbers given."""
    parts = [
        maps[number : number + 1, :, rows, columns]
        for number, (rows, columns) in zip(numbers or [0] * len(places), places, strict=True)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


class _InBoxes(torch.autograd.Function):
    """The loss in boxes. The slope is taken at once, so that few boxes' features are held at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        painted: Tensor,
        real: Tensor,
        regions: Sequence[Tensor],
        filled: Sequence[Tensor],
        chain: Chain,
        slope_too: bool,
    ) -> Tensor:
        """Return the loss; see `perceptual_loss`."""
        sizes = chain.sizes(real)
        kind = real.device.type
        mixed = partial(torch.autocast, kind, torch.get_autocast_dtype(kind), enabled=torch.is_autocast_enabled(kind))

        def compare(job: tuple[Tensor, list[Box]]) -> tuple[Tensor, Tensor | None]:
            region, boxes = job
            places, numbers = [box.pixels for box in boxes], [box.number for box in boxes]
            with mixed(), torch.no_grad():
                weights, real_pixels, painted_pixels = (_stack(one, places, numbers) for one in (region, real, painted))
                black = chain.beside(boxes, real)
                wanted = chain.climb(weights * real_pixels, boxes, black)
            with mixed(), torch.set_grad_enabled(slope_too):
                pixels = (weights * painted_pixels).requires_grad_(slope_too)
                found = chain.climb(pixels, boxes, black)
                terms = [(a - b).abs().sum() / size for a, b, size in zip(found, wanted, sizes, strict=True)]
                part = torch.stack(terms).sum()
            slope = weights * torch.autograd.grad(part, pixels)[0] if slope_too else None
            return part.detach(), slope

        jobs = [
            (region, boxes)
            for region, lines in zip(regions, filled, strict=True)
            for boxes in _boxes(region, lines, chain)
        ]
        loss = torch.zeros((), dtype=real.dtype, device=real.device)
        ctx.slope = torch.zeros_like(painted)
        for (_, boxes), (part, slope) in zip(jobs, each_on_one_thread(compare, jobs, real.device), strict=True):
            loss += part
            for one, box in zip(slope if slope is not None else [], boxes, strict=slope_too):
                ctx.slope[box.number, :, *box.pixels] += one
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        """Return the slope with respect to the painted pictures."""
        return outer * ctx.slope, None, None, None, None, None


def filled_lines(region: Tensor) -> Tensor:
    """Return in which rows and columns a region, (N, 1, H, W), is not 0 everywhere: (N, H + W) bool."""
    there = region[:, 0] != 0
    return torch.cat([there.any(dim=2), there.any(dim=1)], dim=1)


def _boxes(region: Tensor, lines: Tensor, chain: Chain) -> list[list[Box]]:
    """Find the box around what is not 0 in each picture of a region (N, 1, H, W); return groups of one form.

    On a CPU one box at a time is as fast as many, and takes less memory; on CUDA many are faster.
    """
    size = region.shape[-2:]
    spans = [_spans(some.numpy(), region.is_cuda) for some in (lines[:, : size[0]], lines[:, size[0] :])]
    boxes = [
        chain.box(number, rows, columns, size)
        for number, (rows, columns) in enumerate(zip(*spans, strict=True))
        if rows is not None and columns is not None
    ]
    if not region.is_cuda:
        return [[box] for box in boxes]
    groups: dict[tuple[Any, ...], list[Box]] = {}
    for box in boxes:
        groups.setdefault(box.form, []).append(box)
    return list(groups.values())


def _spans(filled: NDArray[np.bool_], widened: bool) -> list[Span | None]:
    """Return the first and last filled place of each row of (N, side); None where there is none."""
    found: list[Span | None] = []
    for one in filled:
        (places,) = np.nonzero(one)
        if not len(places):
            found.append(None)
            continue
        start, stop = int(places[0]), int(places[-1]) + 1
        grain = _CUDA_GRAIN_PX if widened else 1
        found.append((start // grain * grain, min(-(-stop // grain) * grain, len(one))))
    return found


# ---- which networks are chains ------------------------------------------------------------------------------------

_chains: WeakKeyDictionary[NetworkFeatures, Chain | None] = WeakKeyDictionary()


def find_chain(features: object) -> Chain | None:
    """Return a network as a chain of 3x3 convolutions, always the same one; None if it is not such a chain."""
    if not isinstance(features, NetworkFeatures):
        return None
    if features not in _chains:
        _chains[features] = _as_chain(features)
    return _chains[features]


def _as_chain(features: NetworkFeatures) -> Chain | None:
    layers, links = list(features.layers), []
    place = 0
    while place < len(layers):
        convolution, *rest = layers[place : place + 3]
        if not (isinstance(convolution, nn.Conv2d) and _keeps_size(convolution)):
            return None
        if not (rest and isinstance(rest[0], nn.ReLU)):
            return None
        halve = rest[1] if len(rest) > 1 and _halves(rest[1]) else None
        last = place + (1 if halve is None else 2)
        inner = set(range(place, last)) & set(features.places)
        if inner:  # a map from between is given out
            return None
        links.append(Link(convolution, halve, last in features.places))
        place = last + 1
    return Chain(features, links)


def _keeps_size(layer: nn.Conv2d) -> bool:
    form = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.groups, layer.padding_mode)
    return form == ((3, 3), (1, 1), (1, 1), (1, 1), 1, "zeros")


def _halves(layer: nn.Module) -> bool:
    if not isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
        return False
    form = (layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode, getattr(layer, "dilation", 1))
    return form == (2, 2, 0, False, 1)
