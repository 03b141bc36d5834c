"""The backbone of a discriminator: what a GAN has learned to see. An infiller trains it; a classifier may use it.

Source: the paper, section 3.3 ("similar, but inverse structure"), and its future work: features of the discriminator,
used again for classification.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import remove_parametrizations

from mammofill.ground.errors import ArtifactError, DamagedError

DISCRIMINATOR_NAME = "discriminator.safetensors"
"""File of an infiller that holds the discriminator."""
LEAK = 0.2
"""Slope of the leaky ReLU below zero. Source: Chen and Koltun, ICCV 2017, section 4."""


class Backbone(nn.ModuleList):
    """3x3 convolutions and leaky ReLUs; after each but the first the picture is halved (maximum)."""

    def __init__(self, channels: int, widths: Sequence[int], joined: int = 0, bounded: bool = False) -> None:
        """Build it with random weights.

        Args:
            channels: of the picture.
            widths: channels after each convolution.
            joined: planes that are joined to what all convolutions but the first see.
            bounded: keep each layer from amplifying more than 1 (spectral norm; Miyato et al., ICLR 2018).
        """
        first = nn.Conv2d(channels, widths[0], kernel_size=3, padding=1)
        others = [nn.Conv2d(before + joined, width, kernel_size=3, padding=1) for before, width in pairwise(widths)]
        super().__init__([first, *others])
        start_layers(self)
        if bounded:
            for number, layer in enumerate(self):
                self[number] = spectral_norm(layer)

    def forward(self, pictures: Tensor, planes: Tensor | None = None) -> list[Tensor]:
        """Compute the features of pictures.

        Args:
            pictures: (N, channels, H, W), the first channel in [0, 1], bright = dense.
            planes: (N, joined) numbers, the same at every place; where the backbone was built for them.

        Returns:
            What each layer sees, (N, width, side, side), finest first.
        """
        state, layers = pictures, []
        for number, convolution in enumerate(self):
            if number and planes is not None:
                state = torch.cat([state, planes[:, :, None, None].expand(-1, -1, *state.shape[-2:])], dim=1)
            state = convolution(state)
            state = F.leaky_relu(F.max_pool2d(state, 2) if number else state, LEAK)
            layers.append(state)
        return layers


def start_layers(network: nn.Module) -> None:
    """Draw first weights that keep the spread of signals from layer to layer where there is no normalisation.

    Source: He et al., "Delving deep into rectifiers", 2015, equation 15 with the slope of our leaky ReLU. Layers that
    scale and shift channels begin at 0.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, a=LEAK)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.1)
            nn.init.zeros_(layer.bias)


@dataclass(frozen=True)
class BackboneWeights:
    """A trained backbone whose only input is a gray picture."""

    widths: tuple[int, ...]
    tensors: dict[str, Tensor]
    """Under the names of ``Backbone(1, widths)``."""


def read_backbone(infiller: Path) -> BackboneWeights:
    """Read the backbone of an infiller's discriminator.

    Spectral norm is carried out once and for all. Where the discriminator is also shown the mask, that channel is left
    out, which is the same as an empty mask: a classifier is not given the lesion's place.

    Args:
        infiller: folder of a finished infiller.

    Raises:
        ArtifactError: it was made by a method without a discriminator, or its backbone takes the class as an input.
        DamagedError: its files cannot be read, or do not belong together.
    """
    try:
        facts: dict[str, Any] = json.loads((infiller / "network.json").read_text(encoding="utf-8"))
        method = facts.get("method", "gan")
        if method != "gan":
            raise ArtifactError(
                f"The infiller in {infiller} was made by {method}, which trains no discriminator. Give one whose "
                "method is gan."
            )
        settings = facts["discriminator"]
        if settings["conditioning"] == "planes":
            raise ArtifactError(
                f"The discriminator in {infiller} takes the class as an input of every layer (conditioning planes, "
                "preset authors), so it cannot be used where the class is unknown. Give an infiller whose "
                "discriminator.conditioning is projection, as in the presets paper and modern."
            )
        widths = tuple(settings["widths"])
        backbone = Backbone(1 + settings["sees_mask"], widths, bounded=settings["spectral_norm"])
        found = load_file(infiller / DISCRIMINATOR_NAME)
        prefix = "backbone."
        tensors = {name.removeprefix(prefix): one for name, one in found.items() if name.startswith(prefix)}
        backbone.load_state_dict(tensors)
    except ArtifactError:
        raise
    except Exception as error:  # json, safetensors and torch raise many kinds
        raise DamagedError(
            f"The discriminator in {infiller} cannot be read ({error}). Train the infiller again, or use the version "
            "of mammofill that made it."
        ) from error
    return BackboneWeights(widths, _plain(backbone))


def _plain(backbone: Backbone) -> dict[str, Tensor]:
    backbone.eval()  # or spectral norm would take another step
    for layer in backbone:
        if hasattr(layer, "parametrizations"):
            remove_parametrizations(layer, "weight")
    tensors = {name: one.detach().clone() for name, one in backbone.state_dict().items()}
    tensors["0.weight"] = tensors["0.weight"][:, :1].contiguous()
    return tensors
