"""From stored patches to network tensors: the only place where the one becomes the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mammofill.classifier.augmentation import apply_augmentation, draw_augmentation
from mammofill.classifier.examples import LesionImages
from mammofill.classifier.settings import TrainClassifierSettings
from mammofill.ground.imaging import FULL_RANGE
from mammofill.ground.seeding import stream
from mammofill.ground.training.data_order import positions_at, whole_batches
from mammofill.ground.training.device import sent

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue over ImageNet, for values in [0, 1]. Source: torchvision, of its weights."""
IMAGENET_SD = (0.229, 0.224, 0.225)
"""Their standard deviations."""


@dataclass(frozen=True)
class Colours:
    """How gray in [0, 1] is given to a network: as many channels as there are means, each shifted and scaled.

    Attributes:
        mean: of each channel, taken off.
        sd: of each channel, by which the rest is divided.
    """

    mean: tuple[float, ...]
    sd: tuple[float, ...]

    @property
    def channels(self) -> int:
        """1, or 3 for networks that were made for colour photographs."""
        return len(self.mean)

    @property
    def words(self) -> str:
        """In words, for the facts of a classifier."""
        if self == GRAY:
            return "gray in [0, 1]"
        if self == IMAGENET:
            return "gray in [0, 1] copied to three channels, less ImageNet's mean, divided by its standard deviation"
        mean, sd = (" ".join(f"{value:g}" for value in values) for values in (self.mean, self.sd))
        return f"gray in [0, 1] copied to three channels, less {mean}, divided by {sd}"


GRAY = Colours((0.0,), (1.0,))
IMAGENET = Colours(IMAGENET_MEAN, IMAGENET_SD)


STANDARD_MEAN, STANDARD_SD = 0.5, 0.15
"""Of every patch that was standardised: mid-gray, and as much contrast as a patch with a lesion has. Ours."""
_LEAST_SD = 1e-4
"""Of values in [0, 1]; a patch with less is as good as empty, and its noise is not blown up further."""


def network_input(
    images: NDArray[np.uint16], colours: Colours, device: torch.device, standardise: bool = False
) -> Tensor:
    """Make network input of stored patches.

    Args:
        images: (N, S, S) uint16 over 0..65535.
        colours: the gray is copied to its channels (the paper, section 5), then shifted and scaled.
        device: where it is wanted; the stored values travel, half as many bytes as float32, and become gray values and
            colours there.
        standardise: bring each patch's mean and standard deviation to `STANDARD_MEAN` and `STANDARD_SD` first.

    Returns:
        (N, channels, S, S) float32, on `device`.
    """
    # By a tensor and not by a number, which a GPU would replace with a product that rounds otherwise.
    gray = sent(torch.from_numpy(np.array(images)), device).to(torch.float32) / torch.full(
        (), FULL_RANGE, device=device
    )
    gray = gray.unsqueeze(1)  # (N, 1, S, S)
    if standardise:
        level, contrast = gray.mean(dim=(2, 3), keepdim=True), gray.std(dim=(2, 3), keepdim=True)
        gray = STANDARD_MEAN + STANDARD_SD * (gray - level) / contrast.clamp_min(_LEAST_SD)
    if colours == GRAY:
        return gray
    mean, sd = (sent(torch.tensor(values), device).view(1, -1, 1, 1) for values in (colours.mean, colours.sd))
    return (gray - mean) / sd  # (N, channels, S, S)


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
        settings: batch, balanced, augmentation, mixup, synthetic_share, synthetic_first.
        seed: of the stage.
        share: (k, n): the k-th of n equal parts of the batch.

    Returns:
        images (n, S, S) uint16, augmented and mixed, and on the CPU what they are: classes (n,) int64, 1 = malignant;
        with mixup shares (n, 2) float32 of benign and malignant.
    """
    positions = _positions(examples, images_seen, settings, seed)
    own = _part(settings.batch, share)
    if settings.mixup == 0:
        images = _augmented(examples, positions, own, images_seen, settings, seed)
        return images, torch.from_numpy(examples.malignant[positions[own]].astype(np.int64))
    partners, kept = (drawn[own] for drawn in _mixing(images_seen, settings, seed))
    needed, places = np.unique(np.concatenate([own, partners]), return_inverse=True)
    images = _augmented(examples, positions, needed, images_seen, settings, seed)
    first, second = np.split(places, 2)
    mixed = _blend(images[first], images[second], kept[:, None, None])
    malignant = examples.malignant[positions[needed]]
    share_malignant = _blend(malignant[first], malignant[second], kept)
    shares = np.stack([1 - share_malignant, share_malignant], axis=1)
    return np.rint(mixed).astype(np.uint16), torch.from_numpy(shares)


def _part(batch: int, share: tuple[int, int]) -> NDArray[np.int64]:
    """Return the places of the k-th of n equal parts of a batch."""
    part, parts = share
    return np.arange(batch)[part * batch // parts : (part + 1) * batch // parts]


def _mixing(images_seen: int, settings: TrainClassifierSettings, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return with which place of the batch each is blended, and how much of itself is kept."""
    random = stream(seed, "classifier", "mixup", images_seen)
    partners = random.permutation(settings.batch)
    return partners, random.beta(settings.mixup, settings.mixup, settings.batch).astype(np.float32)


def _blend(first: NDArray[Any], second: NDArray[Any], kept: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `kept` of the first and the rest of the second."""
    return kept * first.astype(np.float32) + (1 - kept) * second.astype(np.float32)


def loss_weights(
    examples: LesionImages,
    images_seen: int,
    settings: TrainClassifierSettings,
    seed: int,
    share: tuple[int, int] = (0, 1),
) -> Tensor | None:
    """Return what each patch of `training_batch` weighs in the loss; None where all weigh the same.

    A blend of two patches weighs what they weigh, blended. The weights of the whole batch have the mean 1, so that a
    batch of synthetic patches alone teaches as much as any other.

    Args:
        examples: what is learned from.
        images_seen: before this batch.
        settings: as for `training_batch`, and synthetic_weight.
        seed: of the stage.
        share: (k, n): the k-th of n equal parts of the batch.

    Returns:
        (n,) float32.
    """
    if settings.synthetic_weight == 1:
        return None
    synthetic = examples.synthetic[_positions(examples, images_seen, settings, seed)]
    weights = np.where(synthetic, settings.synthetic_weight, 1.0).astype(np.float32)
    if settings.mixup:
        partners, kept = _mixing(images_seen, settings, seed)
        weights = _blend(weights, weights[partners], kept)
    weights /= weights.mean(dtype=np.float64)
    return torch.from_numpy(weights[_part(settings.batch, share)])


def images_wanted(settings: TrainClassifierSettings, patches: int) -> int:
    """Return how many images are seen in all, of so many training patches."""
    return settings.images or settings.epochs * patches


def _positions(
    examples: LesionImages, images_seen: int, settings: TrainClassifierSettings, seed: int
) -> NDArray[np.int64]:
    """Return which examples make the batch: each pass shuffled by itself.

    With a share of synthetic ones each origin is drawn by itself; balanced, benign and malignant in turn.
    """
    numbers = np.arange(images_seen, images_seen + settings.batch)
    everyone = np.arange(len(examples))
    if settings.synthetic_share is None and not settings.synthetic_first:
        return _drawn(examples, everyone, numbers, settings.balanced, seed)
    before = _synthetic_before(np.append(numbers, numbers[-1] + 1), settings, len(examples))
    synthetic = np.diff(before) > 0
    positions = np.empty(settings.batch, np.int64)
    for origin, chosen, turns in (
        ("synthetic", synthetic, before[:-1]),
        ("real", ~synthetic, numbers - before[:-1]),
    ):
        members = everyone[examples.synthetic == (origin == "synthetic")]
        positions[chosen] = _drawn(examples, members, turns[chosen], settings.balanced, seed, origin)
    return positions


def images_of_first_phase(settings: TrainClassifierSettings, patches: int) -> int:
    """Return over how many images of the run synthetic patches alone are learned from, of so many training patches."""
    return whole_batches(settings.synthetic_first * images_wanted(settings, patches), settings.batch)


def _synthetic_before(numbers: NDArray[np.int64], settings: TrainClassifierSettings, patches: int) -> NDArray[np.int64]:
    """Return how many synthetic patches are seen before each image of the run: evenly spread, after a first phase."""
    first = images_of_first_phase(settings, patches)
    mixed = np.floor(np.maximum(numbers - first, 0) * (settings.synthetic_share or 0.0)).astype(np.int64)
    return np.minimum(numbers, first) + mixed


def _drawn(
    examples: LesionImages, members: NDArray[np.int64], turns: NDArray[np.int64], balanced: bool, seed: int, *names: str
) -> NDArray[np.int64]:
    """Return which of some examples are drawn at these turns, which follow each other; balanced, classes in turn."""
    if not len(turns):
        return turns
    positions = np.empty(len(turns), np.int64)
    if not balanced:
        positions[:] = members[
            positions_at(int(turns[0]), len(turns), len(members), seed, "classifier", "order", *names)
        ]
        return positions
    for malignant, name in enumerate(("benign", "malignant")):
        of_class = members[examples.malignant[members] == bool(malignant)]
        chosen = turns % 2 == malignant
        first = (int(turns[0]) + 1 - malignant) // 2  # of this class, drawn before
        count = int(chosen.sum())
        places = positions_at(first, count, len(of_class), seed, "classifier", "order", *names, name)
        positions[chosen] = of_class[places]
    return positions


def _augmented(
    examples: LesionImages,
    positions: NDArray[np.int64],
    places: NDArray[np.int64],
    images_seen: int,
    settings: TrainClassifierSettings,
    seed: int,
) -> NDArray[np.uint16]:
    """Return the images of some places of the batch, each varied by the random numbers of its own place in the run."""
    images = examples.images(positions[places])
    if not settings.augmentation.active:
        return images
    dice = [stream(seed, "classifier", "augment", images_seen + int(place)) for place in places]
    drawn = [draw_augmentation(settings.augmentation, random) for random in dice]
    return np.stack([apply_augmentation(image, one) for image, one in zip(images, drawn, strict=True)])
