"""What networks start from: a file of weights, an infiller's discriminator, or random weights that the seed decides."""

from __future__ import annotations

import pickle
import urllib.error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from mammofill.classifier import timm_networks
from mammofill.classifier.networks import DISCRIMINATOR_WIDTHS, words_of
from mammofill.classifier.settings import TrainClassifierSettings
from mammofill.ground.artifact import MANIFEST_NAME, Artifact, fingerprint_file, read_manifest
from mammofill.ground.backbone import read_backbone
from mammofill.ground.errors import WeightsError
from mammofill.ground.file_names import why_no_file

_HEADS = {"resnet50": "fc.", "squeezenet1_1": "classifier.", "convnext_tiny": "classifier.2."}
_UP_TO_LAYER2 = ("conv1.", "bn1.", "layer1.", "layer2.")
_TORCHVISION = {
    # The older of torchvision's two ResNet-50 files: the one that existed when the paper was written.
    "resnet50": torchvision.models.ResNet50_Weights.IMAGENET1K_V1,
    "squeezenet1_1": torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1,
    "convnext_tiny": torchvision.models.ConvNeXt_Tiny_Weights.IMAGENET1K_V1,
}


@dataclass(frozen=True)
class Start:
    """What a network started from."""

    words: str
    """In words, for labels: ``random start``, ``ImageNet (torchvision)``, ``ImageNet (local file bfd831db)``,
    ``ImageNet (timm in1k)``, ``RadImageNet (local file 5f3c1a0e)``, ``infiller 0c4f2e11``, ``classifier 5f0c77aa``."""
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
    """Find the file that a network starts from, downloading torchvision's or timm's where none is given.

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
            raise WeightsError(f"weights_file {path} {why_no_file(path)}. Check the path.")
        return path
    if settings.is_timms:
        return timm_networks.published_file(settings.network, imagenet=settings.weights == "imagenet")
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
            f"The ImageNet weights of {words_of(network)} could not be downloaded ({error}). Fetch {url} on a "
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
    found = _renamed(_read_tensors(path), settings.weights_keys, path)
    wanted = _wanted(settings)
    needed = _needed(settings, wanted)
    for name, shape in needed.items():
        if name not in found or tuple(found[name].shape) != shape:
            _refuse(settings, path, name, shape, found)
    _check_no_other_network(settings, path, wanted, found)
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
    return Start(_words(settings, sha256), sha256, tensors)


def _words(settings: TrainClassifierSettings, sha256: str) -> str:
    where = f"local file {sha256[:8]}"
    if settings.is_timms and settings.weights_file is None:
        where = f"timm {timm_networks.tag(settings.network)}"
    elif settings.network in _TORCHVISION and sha256.startswith(_digits(settings.network)):
        where = "torchvision"  # its own file is known by its hash, wherever it lies
    if settings.weights == "pretrained":
        return f"{settings.weights_name or 'pretrained'} ({where})"
    part = "ImageNet up to layer2, rest random" if settings.weights == "imagenet-to-layer2" else "ImageNet"
    return f"{part} ({where})"


def _renamed(tensors: Mapping[str, Tensor], keys: Sequence[tuple[str, str]], path: Path) -> dict[str, Tensor]:
    """Return the tensors under the names that the network gives them, see the setting weights_keys."""
    if not keys:
        return dict(tensors)
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        fitting = next(((old, new) for old, new in keys if name.startswith(old)), None)
        if fitting is not None:
            found[fitting[1] + name.removeprefix(fitting[0])] = tensor
    if not found:
        raise WeightsError(
            f"No tensor of {path} has a name that begins as weights_keys says ({', '.join(old for old, _ in keys)}). "
            f"It holds {', '.join(list(tensors)[:3])}, ..."
        )
    return found


def _wanted(settings: TrainClassifierSettings) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of all tensors of the network as it was published."""
    if settings.is_timms:
        return timm_networks.shapes(settings.network)
    with torch.device("meta"):
        bare: nn.Module = getattr(torchvision.models, settings.network)(weights=None)
    return {name: tuple(tensor.shape) for name, tensor in bare.state_dict().items()}


def _needed(settings: TrainClassifierSettings, wanted: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return what of it the file must hold: all but the head, which has other classes."""
    head = _head(settings)
    return {
        name: shape
        for name, shape in wanted.items()
        if not name.startswith(head)
        and not name.endswith("num_batches_tracked")
        and (settings.weights != "imagenet-to-layer2" or name.startswith(_UP_TO_LAYER2))
    }


def _head(settings: TrainClassifierSettings) -> str:
    return timm_networks.head(settings.network) if settings.is_timms else _HEADS[settings.network]


def _check_no_other_network(
    settings: TrainClassifierSettings, path: Path, wanted: Mapping[str, Any], found: Mapping[str, Tensor]
) -> None:
    """Refuse a file with layers that the network has not: a deeper one may hold every tensor of a shallower one."""
    own = (_head(settings), "fc.", "classifier.", "head.")
    strange = [name for name in found if name not in wanted and not name.startswith(own)]
    if strange:
        raise WeightsError(
            f"{path} holds {len(strange)} tensors that {words_of(settings.network)} has not, first {strange[0]!r}: it "
            "belongs to another network. Give that network's name; or say with weights_keys which tensors are meant, "
            "and what they are called here."
        )


_READABLE = (
    "A .safetensors file, or a .pth file with nothing but a dictionary of tensors as torchvision publishes it, is "
    "needed."
)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        return _flat(torch.load(path, map_location="cpu", weights_only=True))
    except (pickle.UnpicklingError, EOFError, KeyError) as error:  # torch's words advise to run what is in the file
        raise WeightsError(f"{path} cannot be read as weights: it is no file of tensors alone. {_READABLE}") from error
    except Exception as error:  # both libraries raise many kinds
        raise WeightsError(
            f"{path} cannot be read as weights ({type(error).__name__}: {error}). {_READABLE}"
        ) from error


def _flat(content: Mapping[Any, Any], within: str = "") -> dict[str, Tensor]:
    """Return all tensors of a checkpoint, those of tables within tables under dotted names."""
    found: dict[str, Tensor] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{within}{name}.")
        elif isinstance(value, Tensor):
            found[f"{within}{name}"] = value
    return found


def _refuse(
    settings: TrainClassifierSettings, path: Path, name: str, shape: tuple[int, ...], found: dict[str, Tensor]
) -> None:
    there = f"shape {tuple(found[name].shape)}" if name in found else "not there"
    owner = "timm" if settings.is_timms else "torchvision"
    hint = f"Give the file of this network, with {owner}'s tensor names; or say with weights_keys what they are there."
    partial = settings.network == "resnet50" and not name.startswith(_UP_TO_LAYER2)
    if partial and "layer2.3.bn3.weight" in found:
        hint = "It ends after layer2: if that start is meant, ask for weights imagenet-to-layer2 by name."
    raise WeightsError(
        f"{path} does not hold the weights of {words_of(settings.network)}: tensor {name!r} must have shape "
        f"{shape}, found: {there}. {hint}"
    )


def _check_trained(path: Path, tensors: dict[str, Tensor]) -> None:
    """Refuse weights that were never trained, or whose training diverged, whatever the name of the file says."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise WeightsError(
                f"{path} holds values in {name!r} that are no numbers: its training diverged. Give another file."
            )
    means = [tensor for name, tensor in tensors.items() if name.endswith("running_mean")]
    traces = means or [tensor for name, tensor in tensors.items() if name.endswith("bias")]
    if not any(bool(tensor.any()) for tensor in traces):
        raise WeightsError(
            f"{path} holds a network that was never trained: all its {'running means' if means else 'biases'} are 0. "
            "Give another file, or ask for weights none by name."
        )
