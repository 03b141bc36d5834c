"""The networks, and what they start from.

Each gives two numbers for an input, for benign and for malignant; the softmax over them is the paper's last layer, and
their difference is the log-odds of malignancy. torchvision's networks keep torchvision's tensor names.
"""

from __future__ import annotations

import urllib.error
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from mammofill.classifier.settings import TrainClassifierSettings
from mammofill.ground.artifact import MANIFEST_NAME, Artifact, fingerprint_file, read_manifest
from mammofill.ground.backbone import Backbone, read_backbone
from mammofill.ground.errors import WeightsError
from mammofill.ground.training.data_order import seeded_layers

NETWORK_WORDS = {
    "shallow-cnn": "Shallow CNN",
    "resnet50": "ResNet-50",
    "squeezenet1_1": "SqueezeNet 1.1",
    "convnext_tiny": "ConvNeXt-Tiny",
    "discriminator": "Discriminator",
}

_CHANNELS = {"shallow-cnn": 1, "resnet50": 3, "squeezenet1_1": 3, "convnext_tiny": 3, "discriminator": 1}
_HEADS = {"resnet50": "fc.", "squeezenet1_1": "classifier.", "convnext_tiny": "classifier.2."}
DISCRIMINATOR_WIDTHS = (32, 64, 128, 256, 512)
"""Of the network `discriminator` where no infiller gives others: the paper's preset of the infiller."""
_UP_TO_LAYER2 = ("conv1.", "bn1.", "layer1.", "layer2.")
_TORCHVISION = {
    # The older of torchvision's two ResNet-50 files: the one that existed when the paper was written.
    "resnet50": torchvision.models.ResNet50_Weights.IMAGENET1K_V1,
    "squeezenet1_1": torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1,
    "convnext_tiny": torchvision.models.ConvNeXt_Tiny_Weights.IMAGENET1K_V1,
}


class ShallowCNN(nn.Module):
    """The paper's baseline (section 5): three blocks of 3x3 convolution, batch normalisation, ReLU and max pooling.

    Three dense layers follow. The paper gives no widths; these (32, 32, 64 channels; 128, 64, 2 units) are ours.

    Args:
        input_px: side of the input.
    """

    def __init__(self, input_px: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*_block(1, 32), *_block(32, 32), *_block(32, 64))
        side = input_px // 8
        self.dense = nn.Sequential(
            nn.Linear(64 * side * side, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 2)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Take inputs (N, 1, input_px, input_px) to (N, 2) numbers for benign and malignant."""
        features: Tensor = self.blocks(inputs)  # (N, 64, input_px / 8, input_px / 8)
        numbers: Tensor = self.dense(features.flatten(1))
        return numbers


def _block(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),  # the normalisation has a bias of its own
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]


class DiscriminatorClassifier(nn.Module):
    """A discriminator's backbone, its last maps averaged over the patch, and a linear layer (the paper's future work).

    The averages pass a batch normalisation: what a GAN's backbone hands on may be of any size, and under spectral norm
    is small (He et al., "Masked autoencoders", CVPR 2022, section A.1, for linear probes).

    Args:
        widths: of the backbone.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.backbone = Backbone(1, widths)
        self.maps = nn.Identity()
        self.norm = nn.BatchNorm2d(widths[-1])
        self.head = nn.Linear(widths[-1], 2)

    def forward(self, inputs: Tensor) -> Tensor:
        """Take inputs (N, 1, S, S) to (N, 2) numbers for benign and malignant."""
        maps = self.maps(self.backbone(inputs)[-1])  # (N, width, side, side)
        numbers: Tensor = self.head(self.norm(maps.mean(dim=(2, 3), keepdim=True)).flatten(1))
        return numbers


def channels(network: str) -> int:
    """Return how many channels a network's input has: 1, or 3 for those that were made for colour photographs."""
    return _CHANNELS[network]


def build_network(network: str, input_px: int, seed: int, widths: Sequence[int] = DISCRIMINATOR_WIDTHS) -> nn.Module:
    """Build a network with random weights that the seed decides.

    Args:
        network: its name in the settings.
        input_px: side of the square input.
        seed: decides the weights; the same for every later start, so that all of them share the random part.
        widths: of the backbone of a discriminator.
    """
    with seeded_layers(seed, "classifier", network):
        if network == "shallow-cnn":
            return ShallowCNN(input_px)
        if network == "resnet50":
            resnet: nn.Module = torchvision.models.resnet50(weights=None, num_classes=2)
            return resnet
        if network == "convnext_tiny":
            convnext: nn.Module = torchvision.models.convnext_tiny(weights=None, num_classes=2)
            return convnext
        if network == "discriminator":
            return DiscriminatorClassifier(widths)
        squeezenet: nn.Module = torchvision.models.squeezenet1_1(weights=None, num_classes=2)
        # torchvision ends in a ReLU: with two classes both outputs could fall to 0 and never learn again.
        squeezenet.classifier = nn.Sequential(nn.Dropout(0.5), _last_layer(512), nn.AdaptiveAvgPool2d(1))
        return squeezenet


def _last_layer(features: int) -> nn.Conv2d:
    layer = nn.Conv2d(features, 2, 1)
    nn.init.normal_(layer.weight, std=0.01)  # as torchvision starts SqueezeNet's last layer
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


@dataclass(frozen=True)
class Start:
    """What a network started from."""

    words: str
    """In words, for labels: ``random start``, ``ImageNet (torchvision)``, ``ImageNet (local file bfd831db)``,
    ``infiller 0c4f2e11``, ``classifier 5f0c77aa``."""
    sha256: str | None
    """Of the file; of an infiller its fingerprint."""
    tensors: dict[str, Tensor]
    """What replaces the random weights; empty for a random start."""
    widths: tuple[int, ...] = DISCRIMINATOR_WIDTHS
    """Of the backbone of a discriminator."""

    def put_into(self, network: nn.Module) -> None:
        """Replace the network's random weights by those of the start; the rest keeps its random ones."""
        network.load_state_dict(self.tensors, strict=False)


def find_weights(settings: TrainClassifierSettings) -> Path | None:
    """Find the file that a network starts from, downloading torchvision's where none is given.

    Returns:
        The file, or None for a random start.

    Raises:
        WeightsError: it does not exist, or cannot be downloaded.
    """
    if settings.weights in ("none", "infiller"):
        return None
    if settings.weights_file is not None:
        path = Path(settings.weights_file)
        if not path.is_file():
            raise WeightsError(f"weights_file {path} does not exist. Check the path.")
        return path
    url: str = _TORCHVISION[settings.network].url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        _download(url, path, settings.network)
    elif not fingerprint_file(path).startswith(_digits(settings.network)):
        raise WeightsError(f"{path} is not the file that torchvision published: its hash differs. Delete it.")
    return path


def owner_of(path: Path | None) -> Artifact | None:
    """Return the artifact that a file of weights belongs to, so that it is known whom they have learned from."""
    if path is None or not (path.parent / MANIFEST_NAME).is_file():
        return None
    return Artifact(path.parent, read_manifest(path.parent))


def _download(url: str, path: Path, network: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=_digits(network), progress=False)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"The ImageNet weights of {NETWORK_WORDS[network]} could not be downloaded ({error}). Fetch {url} on a "
            "machine with internet access and give the file as weights_file; or ask for weights none by name."
        ) from error


def _digits(network: str) -> str:
    """Return the first 8 digits of the SHA-256 of torchvision's file: its name ends in them."""
    stem = str(_TORCHVISION[network].url).rpartition("/")[2].removesuffix(".pth")
    return stem.rpartition("-")[2]


def read_start(settings: TrainClassifierSettings, path: Path | None, infiller: Artifact | None = None) -> Start:
    """Read and check what a network starts from.

    Args:
        settings: which network and which weights.
        path: what `find_weights` found.
        infiller: whose discriminator it is, if it is one. With weights none only the widths are taken from it, so
            that the same network can be trained from a random start.

    Raises:
        WeightsError: the file is not what the settings say: unreadable, of another network, incomplete or untrained.
        ArtifactError: the infiller has no discriminator of use (`backbone.read_backbone`).
        DamagedError: the discriminator cannot be read.
    """
    if infiller is not None:
        backbone = read_backbone(infiller.folder)
        if settings.weights == "none":
            return Start("random start", None, {}, backbone.widths)
        tensors = {f"backbone.{name}": one for name, one in backbone.tensors.items()}
        return Start(f"infiller {infiller.fingerprint[:8]}", infiller.fingerprint, tensors, backbone.widths)
    if path is None:
        return Start("random start", None, {})
    sha256 = fingerprint_file(path)
    needed = _needed(settings)
    found = _read_tensors(path)
    for name, shape in needed.items():
        if name not in found or tuple(found[name].shape) != shape:
            _refuse(settings, path, name, shape, found)
    tensors = {name: found[name] for name in needed} | {
        # Counters of steps, which older files do not have and nothing uses.
        name: found[name]
        for name in found
        if name.endswith("num_batches_tracked") and name.removesuffix("num_batches_tracked") + "running_mean" in needed
    }
    _check_trained(path, tensors)
    owner = owner_of(path)
    if owner is not None:
        return Start(f"{owner.manifest.kind} {owner.fingerprint[:8]}", sha256, tensors)
    # torchvision's own file is known by its hash, wherever it lies.
    where = "torchvision" if sha256.startswith(_digits(settings.network)) else f"local file {sha256[:8]}"
    part = "ImageNet up to layer2, rest random" if settings.weights == "imagenet-to-layer2" else "ImageNet"
    return Start(f"{part} ({where})", sha256, tensors)


def _needed(settings: TrainClassifierSettings) -> dict[str, tuple[int, ...]]:
    """Return names and shapes that the file must hold: all but the head, which has other classes."""
    with torch.device("meta"):
        bare: nn.Module = getattr(torchvision.models, settings.network)(weights=None)
    wanted = {name: tuple(tensor.shape) for name, tensor in bare.state_dict().items()}
    head = _HEADS[settings.network]
    return {
        name: shape
        for name, shape in wanted.items()
        if not name.startswith(head)
        and not name.endswith("num_batches_tracked")
        and (settings.weights == "imagenet" or name.startswith(_UP_TO_LAYER2))
    }


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # both libraries raise many kinds
        raise WeightsError(
            f"{path} cannot be read as weights ({type(error).__name__}: {error}). A .safetensors file, or a .pth file "
            "with a dictionary of tensors as torchvision publishes it, is needed."
        ) from error


def _refuse(
    settings: TrainClassifierSettings, path: Path, name: str, shape: tuple[int, ...], found: dict[str, Tensor]
) -> None:
    there = f"shape {tuple(found[name].shape)}" if name in found else "not there"
    hint = "Give the file of this network, with torchvision's tensor names."
    partial = settings.network == "resnet50" and not name.startswith(_UP_TO_LAYER2)
    if partial and "layer2.3.bn3.weight" in found:
        hint = "It ends after layer2: if that start is meant, ask for weights imagenet-to-layer2 by name."
    raise WeightsError(
        f"{path} does not hold the weights of {NETWORK_WORDS[settings.network]}: tensor {name!r} must have shape "
        f"{shape}, found: {there}. {hint}"
    )


def _check_trained(path: Path, tensors: dict[str, Tensor]) -> None:
    """Refuse a file of weights that no training has touched: such files exist, and bear hopeful names."""
    means = [tensor for name, tensor in tensors.items() if name.endswith("running_mean")]
    traces = means or [tensor for name, tensor in tensors.items() if name.endswith("bias")]
    if not any(bool(tensor.any()) for tensor in traces):
        raise WeightsError(
            f"{path} holds a network that was never trained: all its {'running means' if means else 'biases'} are 0. "
            "It is not ImageNet's. Give another file, or ask for weights none by name."
        )
