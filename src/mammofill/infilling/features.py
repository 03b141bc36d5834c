"""Frozen feature extractors for the perceptual loss.

``vgg19`` and ``squeezenet1_1`` are torchvision's networks with ImageNet weights. ``laplacian`` is a Laplacian pyramid:
an L1 over its levels is a multi-scale loss without any weights (Lap1 of Bojanowski et al., "Optimizing the latent space
of generative networks", ICML 2018, section 3; pyramid of Burt and Adelson, 1983). ``none`` compares pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from mammofill.ground.errors import WeightsError
from mammofill.infilling.settings import PerceptualSettings

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SPREAD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's red, green and blue in [0, 1]. Source: torchvision."""

_POOLS = {
    "vgg19": {"pool1": 4, "pool2": 9, "pool3": 18, "pool4": 27, "pool5": 36},
    "squeezenet1_1": {"pool1": 2, "pool2": 5, "pool3": 8},
}
"""Place of each pooling layer in torchvision's ``features``."""


@dataclass(frozen=True)
class FeaturesRecord:
    """Which features were used, for the artifact."""

    features: str
    weights: str
    """Where the weights came from: torchvision's name for them, a file's name, or "none"."""
    sha256: str
    """Of the tensors that are used, in the network's order; empty without weights."""


class NetworkFeatures(nn.Module):
    """Feature maps of an ImageNet network at some of its layers."""

    mean: Tensor
    spread: Tensor

    def __init__(self, layers: nn.Sequential, places: dict[int, str], with_input: bool, normalise: bool) -> None:
        """Take the first layers of a network; `places` says after which of them a feature map is given out."""
        super().__init__()
        self.layers, self.places, self.with_input, self.normalise = layers, places, with_input, normalise
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(IMAGENET_SPREAD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps of images (N, 1, H, W) in [0, 1], one (N, C, h, w) per layer."""
        found = [images] if self.with_input else []
        state = images.expand(-1, 3, -1, -1)  # gray copied to three channels
        if self.normalise:
            state = (state - self.mean) / self.spread
        for place, layer in enumerate(self.layers):
            state = layer(state)
            if place in self.places:
                found.append(state)
        return found


class LaplacianFeatures(nn.Module):
    """Levels of a Laplacian pyramid: what each halving of the resolution loses, and the coarse rest."""

    kernel: Tensor

    def __init__(self, levels: int) -> None:
        """Prepare a pyramid of so many levels (fewer where a picture gets too small)."""
        super().__init__()
        self.levels = levels
        row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16  # Burt and Adelson's generating kernel, a = 0.375
        self.register_buffer("kernel", (row[:, None] * row[None, :]).view(1, 1, 5, 5), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the levels of images (N, 1, H, W), finest first.

        The mean over each level weighs it as 2^(2j) times the sum does, which is Lap1's weight for level j.
        """
        found, state = [], images
        for _ in range(self.levels - 1):
            if min(state.shape[-2:]) < 4:
                break
            small = F.avg_pool2d(F.conv2d(F.pad(state, (2, 2, 2, 2), mode="reflect"), self.kernel), 2)
            found.append(state - F.interpolate(small, scale_factor=2, mode="bilinear"))
            state = small
        return [*found, state]


class PixelFeatures(nn.Module):
    """The pixels themselves."""

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the images (N, 1, H, W) as their only feature map."""
        return [images]


def build_features(settings: PerceptualSettings) -> tuple[nn.Module, FeaturesRecord]:
    """Build a feature extractor, frozen and in evaluation mode.

    Args:
        settings: which features, and the file of their weights.

    Returns:
        The extractor, images (N, 1, H, W) -> list of feature maps; and the record of what it is.

    Raises:
        WeightsError: the weights are missing, cannot be downloaded, or belong to another network.
    """
    if settings.features == "laplacian":
        return LaplacianFeatures(settings.levels), FeaturesRecord("laplacian", "none", "")
    if settings.features == "none":
        return PixelFeatures(), FeaturesRecord("none", "none", "")
    import torchvision.models

    pools = {name: place for name, place in _POOLS[settings.features].items() if name in settings.layers}
    with torch.device("meta"):  # without memory for first weights: only the layers that are used get any
        network: Any = getattr(torchvision.models, settings.features)(weights=None)
    layers = network.features[: max(pools.values(), default=-1) + 1]
    source, tensors = _weights(settings)
    _load_layers(layers, tensors, source)
    extractor = NetworkFeatures(
        layers, {place: name for name, place in pools.items()}, "input" in settings.layers, settings.normalise
    )
    extractor.requires_grad_(False).eval()
    return extractor, FeaturesRecord(settings.features, source, _sha256(list(layers.state_dict().values())))


def _weights(settings: PerceptualSettings) -> tuple[str, dict[str, Tensor]]:
    if settings.weights is None:
        return _downloaded(settings.features)
    path = Path(settings.weights)
    if not path.is_file():
        raise WeightsError(f"{path} does not exist, but PerceptualSettings.weights names it. Check the path.")
    try:
        if path.suffix == ".safetensors":
            return path.name, load_file(path)
        return path.name, torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors and torch raise many kinds here
        raise WeightsError(f"{path} cannot be read as weights ({error}). Give a .safetensors or .pth file.") from error


def _downloaded(features: str) -> tuple[str, dict[str, Tensor]]:
    from torchvision.models import get_model_weights

    entry: Any = get_model_weights(features).IMAGENET1K_V1
    try:
        return f"torchvision {entry}", entry.get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        name = entry.url.rsplit("/", 1)[-1]
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise WeightsError(
            f"The weights of {features} ({name}) could not be downloaded ({error}). On a machine with internet fetch "
            f"{name} with torchvision, and put it into {folder}, or name it with --perceptual.weights. "
            "The features laplacian and none need no weights."
        ) from error


def _load_layers(layers: nn.Sequential, tensors: dict[str, Tensor], source: str) -> None:
    wanted = {f"features.{name}": tensor for name, tensor in layers.state_dict().items()}
    for name, tensor in wanted.items():
        found = tuple(tensors[name].shape) if name in tensors else None
        if found != tuple(tensor.shape):
            raise WeightsError(
                f"{source} holds the weights of another network: {name!r} should be {tuple(tensor.shape)}, "
                f"found {found}. Use torchvision's names."
            )
    layers.load_state_dict({name.removeprefix("features."): tensors[name] for name in wanted}, assign=True)


def _sha256(tensors: Sequence[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
