"""From stored patches to network tensors: the only place where the one becomes the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mammofill.classifier.augmentation import apply_augmentation, draw_augmentation
from mammofill.classifier.examples import LesionImages
from mammofill.classifier.settings import TrainClassifierSettings
from mammofill.ground.imaging import to_unit
from mammofill.ground.seeding import stream
from mammofill.ground.training.data_order import positions_at

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue over ImageNet, for values in [0, 1]. Source: torchvision, of its weights."""
IMAGENET_SD = (0.229, 0.224, 0.225)
"""Their standard deviations."""


STANDARD_MEAN, STANDARD_SD = 0.5, 0.15
"""Of every patch that was standardised: mid-gray, and as much contrast as a patch with a lesion has. Ours."""
_LEAST_SD = 1e-4
"""Of values in [0, 1]; a patch with less is as good as empty, and its noise is not blown up further."""


def network_input(images: NDArray[np.uint16], channels: int, device: torch.device, standardise: bool = False) -> Tensor:
    """Make network input of stored patches.

    Args:
        images: (N, S, S) uint16 over 0..65535.
        channels: 1: values in [0, 1] as they are. 3: the gray copied to three channels (the paper, section 5), then
            shifted and scaled as ImageNet's colours.
        device: where it is wanted; the gray values travel once, and are copied there.
        standardise: bring each patch's mean and standard deviation to `STANDARD_MEAN` and `STANDARD_SD` first.

    Returns:
        (N, channels, S, S) float32, on `device`.
    """
    gray = torch.from_numpy(to_unit(images)).unsqueeze(1).to(device)  # (N, 1, S, S)
    if standardise:
        level, contrast = gray.mean(dim=(2, 3), keepdim=True), gray.std(dim=(2, 3), keepdim=True)
        gray = STANDARD_MEAN + STANDARD_SD * (gray - level) / contrast.clamp_min(_LEAST_SD)
    if channels == 1:
        return gray
    mean = torch.tensor(IMAGENET_MEAN, device=device).view(1, 3, 1, 1)
    return (gray - mean) / torch.tensor(IMAGENET_SD, device=device).view(1, 3, 1, 1)  # (N, 3, S, S)


def training_batch(
    examples: LesionImages,
    images_seen: int,
    settings: TrainClassifierSettings,
    seed: int,
    share: tuple[int, int] = (0, 1),
) -> tuple[NDArray[np.uint16], Tensor]:
    """Return the batch that follows `images_seen` images: nothing but the arguments decides it.

    Args:
        examples: what is learned from.
        images_seen: before this batch.
        settings: batch, balanced, augmentation, mixup.
        seed: of the stage.
        share: (k, n): the k-th of n equal parts of the batch.

    Returns:
        images (n, S, S) uint16, augmented and mixed, and on the CPU what they are: classes (n,) int64, 1 = malignant;
        with mixup shares (n, 2) float32 of benign and malignant.
    """
    positions = _positions(examples, images_seen, settings, seed)
    part, parts = share
    own = np.arange(settings.batch)[part * settings.batch // parts : (part + 1) * settings.batch // parts]
    if settings.mixup == 0:
        images = _augmented(examples, positions, own, images_seen, settings, seed)
        return images, torch.from_numpy(examples.malignant[positions[own]].astype(np.int64))
    random = stream(seed, "classifier", "mixup", images_seen)
    partners = random.permutation(settings.batch)[own]
    kept = random.beta(settings.mixup, settings.mixup, settings.batch)[own].astype(np.float32)
    needed, places = np.unique(np.concatenate([own, partners]), return_inverse=True)
    images = _augmented(examples, positions, needed, images_seen, settings, seed)
    first, second = np.split(places, 2)
    mixed = _blend(images[first], images[second], kept[:, None, None])
    malignant = examples.malignant[positions[needed]]
    share_malignant = _blend(malignant[first], malignant[second], kept)
    shares = np.stack([1 - share_malignant, share_malignant], axis=1)
    return np.rint(mixed).astype(np.uint16), torch.from_numpy(shares)


def _blend(first: NDArray[Any], second: NDArray[Any], kept: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `kept` of the first and the rest of the second."""
    return kept * first.astype(np.float32) + (1 - kept) * second.astype(np.float32)


def _positions(
    examples: LesionImages, images_seen: int, settings: TrainClassifierSettings, seed: int
) -> NDArray[np.int64]:
    """Return which examples make the batch: each pass shuffled by itself; balanced, benign and malignant in turn."""
    if not settings.balanced:
        return positions_at(images_seen, settings.batch, len(examples), seed, "classifier", "order")
    positions = np.empty(settings.batch, np.int64)
    numbers = np.arange(images_seen, images_seen + settings.batch)
    for malignant, name in enumerate(("benign", "malignant")):
        members = np.flatnonzero(examples.malignant == bool(malignant))
        turns = numbers % 2 == malignant
        first = (images_seen + 1 - malignant) // 2  # of this class, drawn before
        positions[turns] = members[
            positions_at(first, int(turns.sum()), len(members), seed, "classifier", "order", name)
        ]
    return positions


def _augmented(
    examples: LesionImages,
    positions: NDArray[np.int64],
    places: NDArray[np.int64],
    images_seen: int,
    settings: TrainClassifierSettings,
    seed: int,
) -> NDArray[np.uint16]:
    """Return the images of some places of the batch, each varied by the dice of its own place in the run."""
    images = examples.images(positions[places])
    if not settings.augmentation.active:
        return images
    dice = [stream(seed, "classifier", "augment", images_seen + int(place)) for place in places]
    drawn = [draw_augmentation(settings.augmentation, random) for random in dice]
    return np.stack([apply_augmentation(image, one) for image, one in zip(images, drawn, strict=True)])
