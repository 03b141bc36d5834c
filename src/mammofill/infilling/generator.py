"""The generator: a cascaded refinement network, from 4x4 pixels to the patch's size.

Source: the paper, section 3.3; Chen and Koltun, "Photographic image synthesis with cascaded refinement networks", 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mammofill.infilling.settings import CLASSES, COARSEST_PX, GeneratorSettings

LEAK = 0.2
"""Slope of the leaky ReLU below zero. Source: Chen and Koltun, section 4."""


class Generator(nn.Module):
    """Paints a patch from its context, a mask and a class.

    At every scale the input stack (context, mask, class planes) is resized to that scale and joined to what came from
    the coarser one, two 3x3 convolutions refine it, and nearest-neighbour doubling hands it on.
    """

    def __init__(self, size_px: int, settings: GeneratorSettings) -> None:
        """Build the scales that patches of `size_px` need; see `GeneratorSettings.widths_for` for the errors."""
        super().__init__()
        self.size_px = size_px
        stack = 2 + len(CLASSES)
        self.scales = nn.ModuleList()
        before = 0
        for width in settings.widths_for(size_px):
            self.scales.append(_refinement(before + stack, width, settings))
            before = width
        self.to_image = nn.Conv2d(before, 1, kernel_size=1)
        start_layers(self)
        self.bound = {"sigmoid": nn.Sigmoid(), "relu": nn.ReLU(), "linear": nn.Identity()}[settings.head]

    def forward(self, context: Tensor, mask: Tensor, classes: Tensor) -> Tensor:
        """Paint.

        Args:
            context: (N, 1, H, W) in [0, 1], noise where the mask is.
            mask: (N, 1, H, W), 1 = to be filled, 0 elsewhere.
            classes: (N, C), one-hot in the order of `CLASSES`.

        Returns:
            (N, 1, H, W): the whole patch, painted anew.
        """
        pictures = torch.cat([context, mask], dim=1)  # (N, 2, H, W)
        features: Tensor | None = None
        side = COARSEST_PX
        for scale in self.scales:
            # Averaging over areas keeps a small lesion visible at the coarse scales.
            small = pictures if side == self.size_px else F.adaptive_avg_pool2d(pictures, side)
            planes = classes[:, :, None, None].expand(-1, -1, side, side)  # (N, C, side, side)
            joined = [small, planes]
            if features is not None:
                joined.insert(0, F.interpolate(features, scale_factor=2, mode="nearest"))
            features = scale(torch.cat(joined, dim=1))  # (N, width, side, side)
            side *= 2
        painted: Tensor = self.bound(self.to_image(features))
        return painted


def _refinement(channels: int, width: int, settings: GeneratorSettings) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(settings.convolutions):
        layers.append(nn.Conv2d(channels if number == 0 else width, width, kernel_size=3, padding=1))
        layers.append(nn.LeakyReLU(LEAK) if settings.activation == "leaky_relu" else nn.ReLU())
    return nn.Sequential(*layers)


def start_layers(network: nn.Module) -> None:
    """Draw first weights that keep the spread of signals from layer to layer, there being no normalisation.

    Source: He et al., "Delving deep into rectifiers", 2015, equation 15 with the slope of our leaky ReLU.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, a=LEAK)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
