"""The networks: what they are called, what they see, how they are built. What they start from is in `start`.

Each gives two numbers for an input, for benign and for malignant; the softmax over them is the paper's last layer, and
their difference is the log-odds of malignancy. torchvision's and timm's networks keep the tensor names that they have
there. A network is known by its name in the settings: ours and torchvision's stand here, timm's in `timm_networks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torchvision
from torch import Tensor, nn

from mammofill.classifier import timm_networks
from mammofill.classifier.batches import GRAY, IMAGENET, Colours
from mammofill.classifier.settings import TIMM, TrainClassifierSettings
from mammofill.ground.backbone import Backbone
from mammofill.ground.training.data_order import seeded_layers

NETWORK_WORDS = {
    "shallow-cnn": "Shallow CNN",
    "resnet50": "ResNet-50",
    "squeezenet1_1": "SqueezeNet 1.1",
    "convnext_tiny": "ConvNeXt-Tiny",
    "discriminator": "Discriminator",
}

_COLOURS = {"shallow-cnn": GRAY, "discriminator": GRAY}
_INPUT_PX = 224
"""Side of the pictures that torchvision's weights were trained on, and the paper's."""
DISCRIMINATOR_WIDTHS = (32, 64, 128, 256, 512)
"""Of the network `discriminator` where no infiller gives others: the paper's preset of the infiller."""


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


def words_of(network: str) -> str:
    """Return what a network is called in labels and messages."""
    return timm_networks.words(network) if network.startswith(TIMM) else NETWORK_WORDS[network]


def colours_of(network: str, mean: tuple[float, ...] | None = None, sd: tuple[float, ...] | None = None) -> Colours:
    """Return how gray values are given to a network.

    Args:
        network: its name in the settings.
        mean: in place of the network's own.
        sd: in place of the network's own.
    """
    if mean and sd:
        return Colours(tuple(mean), tuple(sd))
    own = timm_networks.colours(network) if network.startswith(TIMM) else _COLOURS.get(network, IMAGENET)
    return Colours(tuple(mean or own.mean), tuple(sd or own.sd))


def input_px_of(settings: TrainClassifierSettings) -> int:
    """Return the side of the network's input: as settings say, or the network's own."""
    if settings.input_px:
        return settings.input_px
    return timm_networks.own_input_px(settings.network) if settings.is_timms else _INPUT_PX


def check_network(settings: TrainClassifierSettings) -> None:
    """Refuse a network that is not there, or does not do what settings ask of it. Ours and torchvision's always do.

    Raises:
        SettingsError: timm is not installed, or has no such network; it takes pictures of another size only, or needs
            whole batches.
    """
    if settings.is_timms:
        timm_networks.check(settings.network, input_px_of(settings), whole=settings.engine.at_once is None)


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
        if network.startswith(TIMM):
            named: nn.Module = timm_networks.build(network)
            return named
        squeezenet: nn.Module = torchvision.models.squeezenet1_1(weights=None, num_classes=2)
        # torchvision ends in a ReLU: with two classes both outputs could fall to 0 and never learn again.
        squeezenet.classifier = nn.Sequential(nn.Dropout(0.5), _last_layer(512), nn.AdaptiveAvgPool2d(1))
        return squeezenet


def _last_layer(features: int) -> nn.Conv2d:
    layer = nn.Conv2d(features, 2, 1)
    nn.init.normal_(layer.weight, std=0.01)  # as torchvision starts SqueezeNet's last layer
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def deciding_layer(network: nn.Module) -> nn.Module:
    """Return the layer that decides: the last one with weights, which takes features to the two numbers."""
    timms: Any = network
    if hasattr(network, "get_classifier"):  # timm's, which are not always built in the order of use
        layer: nn.Module = timms.get_classifier()
        return layer
    return [one for one in network.modules() if isinstance(one, nn.Linear | nn.Conv2d)][-1]
