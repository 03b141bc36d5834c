"""Frozen feature extractors for the perceptual loss.

``vgg19``, ``squeezenet1_1`` and ``resnet50`` are torchvision's networks, with ImageNet's weights or, for the last,
those of a classifier that mammofill trained. ``laplacian`` is a Laplacian pyramid: an L1 over its levels is a
multi-scale loss without any weights (Lap1 of Bojanowski et al., "Optimizing the latent space of generative networks",
ICML 2018, section 3; pyramid of Burt and Adelson, 1983). ``none`` compares pixels.
"""

from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from mammofill.ground.artifact import MANIFEST_NAME, Artifact, read_manifest
from mammofill.ground.errors import WeightsError
from mammofill.ground.file_names import why_no_file
from mammofill.infilling.gan.settings import PerceptualSettings

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SPREAD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's red, green and blue in [0, 1]. Source: torchvision."""

_PLACES = {
    "vgg19": {"pool1": 4, "pool2": 9, "pool3": 18, "pool4": 27, "pool5": 36},
    "squeezenet1_1": {"pool1": 2, "pool2": 5, "pool3": 8},
    "resnet50": {"stem": 2, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7},
}
"""Place of each layer that can be given out: in torchvision's ``features``, and among ResNet's children."""


@dataclass(frozen=True)
class FeaturesRecord:
    """Which features were used, for the artifact."""

    features: str
    weights: str
    """Where the weights came from: torchvision's name for them, a file's name, or "none"."""
    sha256: str
    """SHA-256 of the tensors that are used, in the network's order; empty without weights."""


class NetworkFeatures(nn.Module):
    """Feature maps of a network at some of its layers."""

    gain: Tensor
    offset: Tensor

    def __init__(
        self, layers: nn.Sequential, places: Mapping[int, str], with_input: bool, gain: Tensor, offset: Tensor
    ) -> None:
        """Take the first layers of a network.

        Args:
            layers: the layers, one after the other.
            places: after which of them a feature map is given out, and its name.
            with_input: give out the pictures themselves, too, before all others.
            gain: (3,) what each colour's pixels in [0, 1] are multiplied by, before the network sees them ...
            offset: (3,) ... and what is then added.
        """
        super().__init__()
        self.layers, self.places, self.with_input = layers, dict(places), with_input
        self.register_buffer("gain", gain.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("offset", offset.view(1, 3, 1, 1), persistent=False)

    def prepare(self, images: Tensor) -> Tensor:
        """Return what the network sees of gray images (N, 1, H, W) in [0, 1]: (N, 3, H, W)."""
        colours = images * self.gain + self.offset
        # On a CPU pooling is many times faster with the channels of a pixel beside each other.
        return colours if colours.is_cuda else colours.contiguous(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the feature maps of images (N, 1, H, W) in [0, 1], one (N, C, h, w) per layer."""
        found = [images] if self.with_input else []
        state = self.prepare(images)
        for place, layer in enumerate(self.layers):
            state = layer(state)
            if place in self.places:
                found.append(state)
        return found


class LaplacianFeatures(nn.Module):
    """Levels of a Laplacian pyramid: what each halving of the resolution loses, and the coarse rest."""

    kernel: Tensor

    def __init__(self, levels: int, left_out: int = 0) -> None:
        """Prepare a pyramid of so many levels (fewer where a picture gets too small), the finest left out."""
        super().__init__()
        self.levels, self.left_out = levels, left_out
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
        return [*found[self.left_out :], state]


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
        return LaplacianFeatures(settings.levels, settings.levels_left_out), FeaturesRecord("laplacian", "none", "")
    if settings.features == "none":
        return PixelFeatures(), FeaturesRecord("none", "none", "")
    import torchvision.models

    places = {place: name for name, place in _PLACES[settings.features].items() if name in settings.layers}
    with torch.device("meta"):  # built without memory: only the layers that are used get weights
        network: Any = getattr(torchvision.models, settings.features)(weights=None)
    # A ResNet has its layers side by side under names of their own, the others have them in `features`.
    resnet = settings.features == "resnet50"
    every = nn.Sequential(OrderedDict(network.named_children())) if resnet else network.features
    layers = every[: max(places, default=-1) + 1]
    source, tensors = _weights(settings)
    _load_layers(layers, tensors, source, "" if resnet else "features.")
    if settings.pooling == "average":
        _average_where_maximum(layers)
    extractor = NetworkFeatures(layers, places, "input" in settings.layers, *_gain_and_offset(settings))
    extractor.requires_grad_(False).eval()
    return extractor, FeaturesRecord(settings.features, source, _sha256(list(layers.state_dict().values())))


def find_weights(settings: PerceptualSettings) -> Artifact | Path | None:
    """Find the file that the weights come from, as an input of a stage.

    Returns:
        The artifact that the file belongs to, so that what it was made from is known; a file that belongs to none; None
        where no file is named.

    Raises:
        WeightsError: it does not exist.
    """
    if settings.weights is None:
        return None
    path = Path(settings.weights)
    if not path.is_file():
        raise WeightsError(f"{path} {why_no_file(path)}, but perceptual.weights names it. Check the path.")
    if (path.parent / MANIFEST_NAME).is_file():
        return Artifact(path.parent, read_manifest(path.parent))
    return path


def _gain_and_offset(settings: PerceptualSettings) -> tuple[Tensor, Tensor]:
    if settings.normalise:
        spread = torch.tensor(IMAGENET_SPREAD)
        return 1 / spread, -torch.tensor(IMAGENET_MEAN) / spread
    if settings.pixels == "centred255":
        return torch.full((3,), 255.0), torch.full((3,), -127.5)
    return torch.ones(3), torch.zeros(3)


def _average_where_maximum(layers: nn.Sequential) -> None:
    for place, layer in enumerate(layers):
        if isinstance(layer, nn.MaxPool2d):
            layers[place] = nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode)


def _weights(settings: PerceptualSettings) -> tuple[str, dict[str, Tensor]]:
    """Return where weights come from, in words, and the weights."""
    found = find_weights(settings)
    if found is None or settings.weights is None:
        return _downloaded(settings.features)
    path = Path(settings.weights)
    words = path.name
    if isinstance(found, Artifact):
        words = f"{path.name} of the {found.manifest.kind} {found.folder.name} ({found.fingerprint[:12]})"
    try:
        if path.suffix == ".safetensors":
            return words, load_file(path)
        return words, torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, KeyError) as error:  # torch advises to run the file's code
        raise WeightsError(
            f"{path} cannot be read as weights: it does not hold tensors alone. Give a .safetensors or .pth file."
        ) from error
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


def _load_layers(layers: nn.Sequential, tensors: Mapping[str, Tensor], source: str, prefix: str) -> None:
    # Counters of steps are not used; older files do not have them.
    state = {name: tensor for name, tensor in layers.state_dict().items() if not name.endswith("num_batches_tracked")}
    for name, tensor in state.items():
        found = tuple(tensors[prefix + name].shape) if prefix + name in tensors else None
        if found != tuple(tensor.shape):
            raise WeightsError(
                f"{source} holds the weights of another network: {prefix + name!r} should be {tuple(tensor.shape)}, "
                f"found {found}. {_advice(name, tensors)}"
            )
    counters = {name: torch.zeros((), dtype=torch.int64) for name in layers.state_dict() if name not in state}
    layers.load_state_dict({name: tensors[prefix + name] for name in state} | counters, assign=True)


def _advice(name: str, tensors: Mapping[str, Tensor]) -> str:
    block = name.partition(".")[0]
    there = {name.partition(".")[0] for name in tensors}
    if block.startswith("layer") and block not in there and "layer1" in there:
        return f"It ends before {block}: leave {block} and what follows out of perceptual.layers."
    return "Use torchvision's names."


def _sha256(tensors: Sequence[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
