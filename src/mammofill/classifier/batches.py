"""From stored patches to network tensors: the only place where the one becomes the other."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mammofill.classifier.augmentation import apply_augmentation, draw_augmentation
from mammofill.classifier.examples import Examples
from mammofill.classifier.settings import TrainClassifierSettings
from mammofill.ground.imaging import to_unit
from mammofill.ground.seeding import stream
from mammofill.ground.training import positions_at

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue over ImageNet, for values in [0, 1]. Source: torchvision, of its weights."""
IMAGENET_SD = (0.229, 0.224, 0.225)
"""Their standard deviations."""


def network_input(images: NDArray[np.uint16], channels: int, device: torch.device) -> Tensor:
    """Make network input of stored patches.

    Args:
        images: (N, S, S) uint16 over 0..65535.
        channels: 1: values in [0, 1] as they are. 3: the gray copied to three channels (the paper, section 5), then
            shifted and scaled as ImageNet's colours.
        device: where it is wanted; the gray values travel once, and are copied there.

    Returns:
        (N, channels, S, S) float32, on `device`.
    """
    gray = torch.from_numpy(to_unit(images)).unsqueeze(1).to(device)  # (N, 1, S, S)
    if channels == 1:
        return gray
    mean = torch.tensor(IMAGENET_MEAN, device=device).view(1, 3, 1, 1)
    return (gray - mean) / torch.tensor(IMAGENET_SD, device=device).view(1, 3, 1, 1)  # (N, 3, S, S)


def training_batch(
    examples: Examples, images_seen: int, settings: TrainClassifierSettings, seed: int
) -> tuple[NDArray[np.uint16], Tensor]:
    """Return the batch that follows `images_seen` images: nothing but the arguments decides it.

    Returns:
        images (batch, S, S) uint16, augmented, and classes (batch,) int64 on the CPU, 1 = malignant.
    """
    positions = positions_at(images_seen, settings.batch, len(examples), seed, "classifier", "order")
    images = examples.images(positions)
    if settings.augmentation.active:
        images = np.stack(
            [
                apply_augmentation(
                    image, draw_augmentation(settings.augmentation, stream(seed, "classifier", "augment", number))
                )
                for number, image in enumerate(images, start=images_seen)
            ]
        )
    classes = torch.from_numpy(examples.malignant[positions].astype(np.int64))
    return images, classes
