"""Any network of timm's by its name there (Wightman, "PyTorch image models", 2019), with timm's own facts about it.

timm is imported only for such a network: nothing else needs it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mammofill.classifier.batches import Colours
from mammofill.classifier.settings import TIMM
from mammofill.ground.errors import SettingsError, WeightsError, did_you_mean

_IMAGENETS = ("in1k", "in12k", "in21k", "in22k")
"""What timm calls ImageNet and its larger versions in the tags of weights."""
_FILES = ("model.safetensors", "pytorch_model.bin")
"""Under which names timm publishes weights."""


def words(network: str) -> str:
    """Return what a network is called, for example ``tf_efficientnet_lite0 (timm)``."""
    return f"{network.removeprefix(TIMM)} (timm)"


@cache
def check(network: str, input_px: int, whole: bool) -> None:
    """Refuse what cannot be trained, before anything is begun.

    Args:
        network: its name in the settings.
        input_px: side of the pictures that it shall see.
        whole: whether it sees batches whole.

    Raises:
        SettingsError: timm is not there or has no such network; it takes pictures of its own size only; it normalises
            over batches, but sees parts of them; it ends in several layers, or has no maps to look at.
    """
    own = own_input_px(network)
    if _config(network).fixed_input_size and input_px != own:
        raise SettingsError(f"{words(network)} takes pictures of {own} px only: set input_px to {own}, or to 0.")
    with torch.random.fork_rng(devices=[]):
        built = build(network)
    if not whole and any(isinstance(one, nn.modules.batchnorm._BatchNorm) for one in built.modules()):
        raise SettingsError(
            f"TrainClassifierSettings.engine must be without at_once: batch normalisation of {words(network)} needs "
            "the batch."
        )
    maps_layer(built, input_px)


def build(network: str) -> Any:
    """Build a network for two classes with random weights, from torch's global generator.

    The last layer begins small, as torchvision's SqueezeNet does, so that a trained start is not shaken: timm's
    EfficientNets draw it the wider the fewer classes there are, for two up to 0.7.

    Raises:
        SettingsError: timm is not there, or has no such network; or the network ends in several layers.
    """
    _config(network)
    built = _timm().create_model(_name(network), pretrained=False, num_classes=2)
    last = built.get_classifier()
    if not isinstance(last, nn.Linear | nn.Conv2d):
        raise SettingsError(f"{words(network)} does not end in a single layer. Name another network.")
    nn.init.normal_(last.weight, std=0.01)
    if last.bias is not None:
        nn.init.zeros_(last.bias)
    return built


def shapes(network: str) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the tensors of a network; those of its head are for two classes."""
    with torch.random.fork_rng(devices=[]):
        tensors: dict[str, Tensor] = build(network).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def head(network: str) -> str:
    """Return what the names of the last layer's tensors begin with."""
    return f"{_config(network).classifier}."


def colours(network: str) -> Colours:
    """Return mean and standard deviation that the network's weights were trained with."""
    config = _config(network)
    return Colours(tuple(config.mean), tuple(config.std))


def own_input_px(network: str) -> int:
    """Return the side of the pictures that the network's weights were trained on."""
    return int(_config(network).input_size[-1])


def tag(network: str) -> str:
    """Return what timm calls the weights of a network: its own choice where the name says none."""
    return str(_config(network).tag or "default")


def published_file(network: str, imagenet: bool) -> Path:
    """Return timm's file of weights, from the cache of huggingface_hub or downloaded to it.

    Args:
        network: its name in the settings.
        imagenet: refuse weights that were not trained on ImageNet.

    Raises:
        WeightsError: timm publishes none, they are not ImageNet's, or they cannot be downloaded.
    """
    config, tag_ = _config(network), tag(network)
    if imagenet and not any(name in tag_ for name in _IMAGENETS):
        raise WeightsError(
            f"timm's weights of {words(network)} ({tag_}) were not trained on ImageNet: ask for weights pretrained, or "
            "name the network with another tag."
        )
    if not config.hf_hub_id:
        raise WeightsError(f"timm publishes no weights of {words(network)} ({tag_}). Give a file as weights_file.")
    return _downloaded(network, str(config.hf_hub_id))


def _downloaded(network: str, repository: str) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    try:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, _FILES[0]))
        except EntryNotFoundError:
            return Path(huggingface_hub.hf_hub_download(repository, _FILES[1]))
    except Exception as error:  # of the hub, of HTTP, of sockets and of files
        raise WeightsError(
            f"The weights of {words(network)} could not be downloaded ({type(error).__name__}: {error}). Fetch "
            f"{_FILES[0]} of https://huggingface.co/{repository} on a machine with internet access and give the file "
            "as weights_file; or ask for weights none by name."
        ) from error


def groups(network: Any) -> list[list[nn.Module]]:
    """Return a network's groups of layers, from the last to the first, as timm cuts it into blocks.

    What belongs to no layer (places and tokens of transformers) is with the first.
    """
    from timm.models import group_modules

    last = network.get_classifier()
    named = group_modules(network, network.group_matcher(coarse=True))
    blocks = [[network.get_submodule(name) for name in named[number]] for number in sorted(named, reverse=True)]
    found = [[last], *([layer for layer in block if layer is not last] for block in blocks)]
    if network._parameters:
        found[-1].append(nn.ParameterList(network._parameters.values()))
    return [group for group in found if group]


def maps_layer(network: Any, input_px: int) -> str:
    """Return the layer whose output is the last stack of feature maps; empty where it is what timm calls features.

    A transformer decides by a token of its own, which has seen all others for the last time in its last block; so the
    maps are what enters that block's attention.

    Raises:
        SettingsError: there are neither maps nor blocks.
    """
    with torch.no_grad():
        features = network.eval().forward_features(torch.zeros(1, 3, input_px, input_px))
    if features.ndim == 4:
        return ""
    if features.ndim == 3 and hasattr(network, "blocks") and hasattr(network.blocks[-1], "norm1"):
        return f"blocks.{len(network.blocks) - 1}.norm1"
    raise SettingsError(
        f"{type(network).__name__} of timm has no feature maps from which to see where it looks. Name another network."
    )


def channels_first(network: nn.Module, features: Tensor) -> Tensor:
    """Bring features of a network, as maps or tokens, to maps (N, K, h, w); other networks' are so already."""
    if features.ndim == 3:  # (N, tokens, K), those that stand for no place first
        places = features[:, int(getattr(network, "num_prefix_tokens", 0)) :]
        side = round(places.shape[1] ** 0.5)
        return places.transpose(1, 2).reshape(len(places), -1, side, side)
    return features.permute(0, 3, 1, 2) if str(getattr(network, "output_fmt", "")) == "NHWC" else features


def _name(network: str) -> str:
    return network.removeprefix(TIMM)


def _config(network: str) -> Any:
    """Return what timm knows of a network and its weights."""
    timm = _timm()
    name = _name(network)
    if not timm.is_model(name):
        meant = did_you_mean(name, timm.list_models()) or " timm.list_models() names all."
        raise SettingsError(f"timm {timm.__version__} has no network called {name!r}.{meant}")
    try:
        return timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:
        raise SettingsError(f"{network}: {error}. See timm.list_pretrained({name.partition('.')[0]!r}).") from error


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise SettingsError(
            'Networks of timm need their package: pip install "mammofill[backbones]". Or name a network of torchvision.'
        ) from error
    return timm
