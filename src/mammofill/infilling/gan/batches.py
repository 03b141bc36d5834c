"""From patches to tensors: the only place where arrays become network input, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from mammofill.ground.imaging import Image, Mask, corrupt, feather, to_unit
from mammofill.ground.seeding import stream
from mammofill.ground.training.data_order import positions_at
from mammofill.ground.training.device import sent
from mammofill.infilling.conditions import encode
from mammofill.infilling.gan.diffaugment import draw_augmentation
from mammofill.infilling.gan.losses import boundary_weights
from mammofill.infilling.gan.perceptual import filled_lines
from mammofill.infilling.gan.settings import GanSettings
from mammofill.infilling.lesions import Lesions


@dataclass(frozen=True)
class Batch:
    """What one step sees; pictures are (N, 1, H, W) float32."""

    real: Tensor
    context: Tensor
    """The real picture with noise in the mask."""
    other_context: Tensor
    """The same with other noise."""
    mask: Tensor
    opacity: Tensor
    """How far a fill covers the picture: the mask with a soft edge."""
    boundary: Tensor
    """Weights of the boundary loss."""
    filled: Tensor
    """(N, 2, H + W) bool, of mask and boundary, `perceptual.filled_lines`; always on the CPU, where it is needed."""
    classes: Tensor
    """(N, C) one-hot"""
    conditions: Tensor
    """(N, K) the requested properties"""
    latent: Tensor
    """(N, Z) standard normal"""
    other_latent: Tensor
    augmentations: Tensor
    """(N, 5) how the discriminator is shown each picture, from `diffaugment.draw_augmentation`."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.real)

    def parts(self, at_once: int | None) -> list[Batch]:
        """Cut the batch into parts of at most so many pictures."""
        if at_once is None or at_once >= len(self):
            return [self]
        cut = [getattr(self, one.name).split(at_once) for one in fields(self)]
        return [Batch(*parts) for parts in zip(*cut, strict=True)]

    def to(self, device: torch.device, *, channels_last: bool = False) -> Batch:
        """Move it to a device."""
        form = torch.channels_last if channels_last else torch.contiguous_format

        def moved(tensor: Tensor) -> Tensor:
            return sent(tensor, device, form) if tensor.ndim == 4 else sent(tensor, device)

        tensors = {one.name: getattr(self, one.name) for one in fields(self)}
        return Batch(**{name: one if name == "filled" else moved(one) for name, one in tensors.items()})


def batch_at(
    lesions: Lesions, images_seen: int, settings: GanSettings, seed: int, share: tuple[int, int] = (0, 1)
) -> Batch:
    """Return the batch of the step that begins after so many images were seen, on the CPU.

    It depends on nothing but the arguments: each image's noise and rotation are derived from its position in the run.

    Args:
        lesions: what is learned from.
        images_seen: before this step.
        settings: the stage's settings.
        seed: the stage's seed.
        share: (k, n): the k-th of n equal parts of the batch.
    """
    size, (part, parts) = settings.schedule.batch, share
    positions = positions_at(images_seen, size, len(lesions), seed, "order")
    own = slice(part * size // parts, (part + 1) * size // parts)
    positions, numbers = positions[own], range(images_seen, images_seen + size)[own]
    images, masks, contexts, others = [], [], [], []
    for number, position in zip(numbers, positions, strict=True):
        image, mask = to_unit(lesions.images[position]), lesions.masks[position]
        if settings.augment:
            image, mask = _turned(image, mask, int(stream(seed, "turn", number).integers(8)))
        images.append(image)
        masks.append(mask)
        contexts.append(corrupt(image, mask, stream(seed, "noise", number)))
        if settings.losses.variety_weight:
            others.append(corrupt(image, mask, stream(seed, "other noise", number)))
    losses = settings.losses
    boundary = pictures([boundary_weights(mask, losses.boundary_sigma_px, losses.boundary) for mask in masks])
    lesion = pictures(masks)
    given: dict[str, list[str | None]] = {"pathology": [lesions.pathologies[position] for position in positions]}
    for fact in settings.conditions[1:]:
        given[fact] = [
            None if stream(seed, "hidden", fact, number).random() < settings.hidden_share else lesions.facts[fact][one]
            for number, one in zip(numbers, positions, strict=True)
        ]
    context, width = pictures(contexts), settings.generator.latent
    return Batch(
        real=pictures(images),
        context=context,
        other_context=pictures(others) if others else context,
        mask=lesion,
        opacity=pictures([feather(mask, settings.feather_px) for mask in masks]),
        boundary=boundary,
        filled=torch.stack([filled_lines(lesion), filled_lines(boundary)], dim=1),
        classes=torch.from_numpy(encode(("pathology",), {"pathology": given["pathology"]}, len(images))),
        conditions=torch.from_numpy(encode(settings.conditions, given, len(images))),
        latent=latents([stream(seed, "latent", number) for number in numbers], width),
        other_latent=latents([stream(seed, "other latent", number) for number in numbers], width),
        augmentations=torch.stack(
            [draw_augmentation(settings.discriminator.augment, stream(seed, "diffaugment", one)) for one in numbers]
        ),
    )


def latents(streams: Sequence[np.random.Generator], width: int) -> Tensor:
    """Draw (N, width) float32 standard normal numbers, a row from each stream."""
    rows = [random.standard_normal(width, np.float32) for random in streams]
    return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, width)


def pictures(arrays: Sequence[Image] | Sequence[Mask], device: torch.device | str = "cpu") -> Tensor:
    """Stack images or masks (H, W) into a tensor (N, 1, H, W) of float32."""
    return torch.from_numpy(np.stack(arrays).astype(np.float32))[:, None].to(device)


def _turned(image: Image, mask: Mask, way: int) -> tuple[Image, Mask]:
    # The eight symmetries of a square: four quarter turns, each also mirrored.
    if way >= 4:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return np.ascontiguousarray(np.rot90(image, way % 4)), np.ascontiguousarray(np.rot90(mask, way % 4))
