"""From patches to tensors: the only place where arrays become network input, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mammofill.ground.imaging import Image, Mask, corrupt, feather, to_unit
from mammofill.ground.seeding import stream
from mammofill.ground.training import positions_at
from mammofill.infilling.losses import boundary_weights
from mammofill.infilling.settings import CLASSES, TrainInfillerSettings


@dataclass(frozen=True)
class Lesions:
    """The lesion patches that are learned from, decoded once: N patches of H x W pixels."""

    images: NDArray[np.uint16]
    """(N, H, W)"""
    masks: NDArray[np.bool_]
    """(N, H, W), none of them empty"""
    pathologies: tuple[str, ...]
    """N words out of `CLASSES`"""

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)


@dataclass(frozen=True)
class Batch:
    """What one step sees; pictures are (N, 1, H, W) float32."""

    real: Tensor
    context: Tensor
    """The real picture with noise in the mask."""
    mask: Tensor
    opacity: Tensor
    """How far a fill covers the picture: the mask with a soft edge."""
    boundary: Tensor
    """Weights of the boundary loss."""
    classes: Tensor
    """(N, C) one-hot"""


def batch_at(
    lesions: Lesions, images_seen: int, settings: TrainInfillerSettings, seed: int, device: torch.device
) -> Batch:
    """Return the batch of the step that begins after so many images were seen.

    It depends on nothing but the arguments: each image's noise and turning come from its own place in the run.
    """
    size = settings.schedule.batch
    positions = positions_at(images_seen, size, len(lesions), seed, "order")
    images, masks, contexts = [], [], []
    for number, position in enumerate(positions, start=images_seen):
        image, mask = to_unit(lesions.images[position]), lesions.masks[position]
        if settings.augment:
            image, mask = _turned(image, mask, int(stream(seed, "turn", number).integers(8)))
        images.append(image)
        masks.append(mask)
        contexts.append(corrupt(image, mask, stream(seed, "noise", number)))
    losses = settings.losses
    boundaries = [boundary_weights(mask, losses.boundary_sigma_px, losses.boundary) for mask in masks]
    return Batch(
        real=pictures(images, device),
        context=pictures(contexts, device),
        mask=pictures(masks, device),
        opacity=pictures([feather(mask, settings.feather_px) for mask in masks], device),
        boundary=pictures(boundaries, device),
        classes=one_hot([lesions.pathologies[position] for position in positions], device),
    )


def pictures(arrays: list[Image] | list[Mask], device: torch.device) -> Tensor:
    """Stack images or masks (H, W) into a tensor (N, 1, H, W) of float32."""
    return torch.from_numpy(np.stack(arrays).astype(np.float32))[:, None].to(device)


def one_hot(pathologies: list[str], device: torch.device) -> Tensor:
    """Turn N words out of `CLASSES` into (N, C) float32."""
    rows = torch.zeros(len(pathologies), len(CLASSES))
    for row, pathology in zip(rows, pathologies, strict=True):
        row[CLASSES.index(pathology)] = 1
    return rows.to(device)


def _turned(image: Image, mask: Mask, way: int) -> tuple[Image, Mask]:
    # The eight ways a square can lie: four quarter turns, each also mirrored.
    if way >= 4:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return np.ascontiguousarray(np.rot90(image, way % 4)), np.ascontiguousarray(np.rot90(mask, way % 4))
