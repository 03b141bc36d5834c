"""From lesion windows to tensors, for the flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mammofill.ground.imaging import Image, distance_from, to_unit
from mammofill.ground.seeding import stream
from mammofill.ground.training.data_order import positions_at
from mammofill.ground.training.device import sent
from mammofill.infilling.conditions import encode
from mammofill.infilling.flow.context import Context, context_of, residual_of, shape_of
from mammofill.infilling.flow.settings import SHAPES, FlowSettings
from mammofill.infilling.lesions import Lesions
from mammofill.pairing.hole import equivalent_radius, hole_of

_NEAR = 0.3
"""A pixel within this share of the lesion's equivalent radius, plus one pixel, of the mask is near the lesion. Ours."""
_RIM_PX = 3
"""Width of the hole's rim, inside its border. Ours."""
_MOST_BYTES = 4 * 2**30
"""Of prepared windows that are kept whole. Of the others only the membrane is kept, which takes four fifths of the time
to prepare one and a fifteenth of its memory: 5 MB for the four hole sizes of a window of 256 px. Ours."""


@dataclass(frozen=True)
class Batch:
    """What one step sees; pictures are (N, 1, H, W) float32."""

    residual: Tensor
    around: Tensor
    base: Tensor
    depth: Tensor
    shape: Tensor
    weight: Tensor
    """Weight of each pixel in the loss; 0 outside the hole."""
    noise: Tensor
    """Standard normal in the hole, 0 outside."""
    times: Tensor
    """(N,) in [0, 1]."""
    conditions: Tensor
    """(N, K) planes."""
    kinds: Tensor
    """(N, 3) one-hot: which of `SHAPES` is given."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.residual)

    def parts(self, at_once: int | None) -> list[Batch]:
        """Cut the batch into parts of at most so many pictures."""
        if at_once is None or at_once >= len(self):
            return [self]
        cut = [getattr(self, one.name).split(at_once) for one in fields(self)]
        return [Batch(*parts) for parts in zip(*cut, strict=True)]

    def to(self, device: torch.device, form: torch.memory_format) -> Batch:
        """Move it to a device, pictures in a memory format."""

        def moved(tensor: Tensor) -> Tensor:
            return sent(tensor, device, form) if tensor.ndim == 4 else sent(tensor, device)

        return Batch(*(moved(getattr(self, one.name)) for one in fields(self)))


@dataclass(frozen=True)
class _Window:
    """A window with a hole of one size: what is the same in every step; (H, W) float32 each."""

    residual: Image
    context: Context
    weight: Image

    @property
    def nbytes(self) -> int:
        context = self.context
        pictures = (self.residual, context.base, context.around, context.depth, self.weight)
        return sum(picture.nbytes for picture in pictures)


class Windows:
    """Lesion windows with holes of several sizes, prepared when they are first seen and kept while there is room.

    Args:
        lesions: the windows.
        settings: of the stage.
        seed: of the stage.
    """

    def __init__(self, lesions: Lesions, settings: FlowSettings, seed: int) -> None:
        self.lesions, self.settings, self.seed = lesions, settings, seed
        self._left = _MOST_BYTES
        self._whole: dict[tuple[int, float], _Window] = {}
        self._spanned: dict[tuple[int, float], NDArray[np.float32]] = {}
        self._shapes: dict[tuple[int, str], Image] = {}

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.lesions)

    def batch_at(self, images_seen: int, share: tuple[int, int] = (0, 1)) -> Batch:
        """Return the batch of the step that begins after so many images were seen, on the CPU.

        It depends on nothing but the arguments: all that is drawn for an image comes from its own place in the run.

        Args:
            images_seen: before this step.
            share: (k, n): the k-th of n equal parts of the batch.
        """
        size, (part, parts) = self.settings.schedule.batch, share
        own = slice(part * size // parts, (part + 1) * size // parts)
        positions = positions_at(images_seen, size, len(self), self.seed, "order")[own]
        numbers = range(images_seen, images_seen + size)[own]
        return _stacked([self._drawn(int(one), number) for one, number in zip(positions, numbers, strict=True)])

    def fixed_batches(self, count: int, log_odds: Sequence[float]) -> list[Batch]:
        """Return batches for validation: the first windows, at fixed times, noise and hole, with the class given.

        Args:
            count: windows, at most.
            log_odds: of the times, in turn.
        """
        size = self.settings.schedule.batch
        numbers = range(min(count, len(self)))
        ones = [self._fixed(number, log_odds[number % len(log_odds)]) for number in numbers]
        return [_stacked(ones[start : start + size]) for start in range(0, len(ones), size)]

    def _drawn(self, position: int, number: int) -> Batch:
        settings, target = self.settings, self.settings.target
        random = stream(self.seed, "flow", number)
        share = target.hole_shares[int(random.integers(len(target.hole_shares)))]
        kind = int(random.choice(len(SHAPES), p=target.shape_shares))
        uniform = random.random() < settings.schedule.uniform_times
        log_odds = settings.schedule.log_odds_mean + settings.schedule.log_odds_spread * random.standard_normal()
        time = random.random() if uniform else 1 / (1 + np.exp(-log_odds))
        hidden = random.random() < target.class_hidden_share
        way = int(random.integers(8)) if settings.augment else 0
        one = self._one(position, share, kind, float(time), random)
        given: dict[str, list[str | None]] = {} if hidden else self._given(position, number)
        conditions = torch.from_numpy(encode(settings.conditions, given, 1))
        return replace(_turned(one, way), conditions=conditions)

    def _fixed(self, position: int, log_odds: float) -> Batch:
        random = stream(self.seed, "flow validation", position)
        time = float(1 / (1 + np.exp(-log_odds)))
        return self._one(position, self.settings.hole.share, SHAPES.index(self.settings.sampling.shape), time, random)

    def _one(self, position: int, share: float, kind: int, time: float, random: np.random.Generator) -> Batch:
        """Return a batch of one window, not rotated or mirrored, with its class given."""
        window = self._prepare(position, share)
        noise = random.standard_normal(window.residual.shape, np.float32) * window.context.hole
        kinds = torch.zeros(1, len(SHAPES))
        kinds[0, kind] = 1
        around, base, depth = map(_tensor, window.context.planes())
        return Batch(
            residual=_tensor(window.residual),
            around=around,
            base=base,
            depth=depth,
            shape=_tensor(self._shape(position, SHAPES[kind])),
            weight=_tensor(window.weight),
            noise=_tensor(noise),
            times=torch.tensor([time], dtype=torch.float32),
            conditions=torch.from_numpy(encode(self.settings.conditions, self._words(position), 1)),
            kinds=kinds,
        )

    def _words(self, position: int) -> dict[str, list[str | None]]:
        facts = {fact: [words[position]] for fact, words in self.lesions.facts.items()}
        return {"pathology": [self.lesions.pathologies[position]], **facts}

    def _given(self, position: int, number: int) -> dict[str, list[str | None]]:
        """Return the facts of a window; each one beyond pathology is hidden in a share of the images."""
        words, hidden_share = self._words(position), self.settings.hidden_share
        for fact in self.settings.conditions[1:]:
            if stream(self.seed, "hidden", fact, number).random() < hidden_share:
                words[fact] = [None]
        return words

    def _prepare(self, position: int, share: float) -> _Window:
        place = position, share
        if place in self._whole:
            return self._whole[place]
        window = self._window(position, share)
        if self._has_room(window.nbytes):
            self._whole[place] = window
        elif place not in self._spanned:
            self._spanned[place] = window.context.spanned
        return window

    def _shape(self, position: int, kind: str) -> Image:
        if (position, kind) in self._shapes:
            return self._shapes[position, kind]
        shape = shape_of(self.lesions.masks[position], kind)
        if self._has_room(shape.nbytes):
            self._shapes[position, kind] = shape
        return shape

    def _has_room(self, size: int) -> bool:
        """Take so many bytes of what is left, if they are."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def _window(self, position: int, share: float) -> _Window:
        settings, mask = self.settings, self.lesions.masks[position]
        image = to_unit(self.lesions.images[position])
        grows = settings.hole.rule != "mask"
        hole = hole_of(mask, replace(settings.hole, share=share) if grows else settings.hole)
        context = context_of(image, hole, settings.target, self._spanned.get((position, share)))
        near = distance_from(mask) <= _NEAR * equivalent_radius(mask) + 1
        rim = hole & (distance_from(~hole) <= _RIM_PX)
        weight = np.where(near, settings.target.lesion_weight, 1) + settings.target.rim_weight * rim
        weight = (weight * context.hole).astype(np.float32)
        return _Window(residual_of(image, context, settings.target.scale), context, weight)


def _tensor(picture: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture))[None, None]


def _turned(one: Batch, way: int) -> Batch:
    """Apply one of the eight symmetries of a square to all pictures: four quarter turns, each also mirrored."""

    def turned(tensor: Tensor) -> Tensor:
        if tensor.ndim != 4:
            return tensor
        mirrored = tensor.flip(-1) if way >= 4 else tensor
        return torch.rot90(mirrored, way % 4, (-2, -1))

    return Batch(*(turned(getattr(one, part.name)) for part in fields(one)))


def _stacked(ones: Sequence[Batch]) -> Batch:
    return Batch(*(torch.cat([getattr(one, part.name) for one in ones]) for part in fields(Batch)))
