"""Where a network looks: Grad-CAM maps of the evidence for malignancy.

Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via gradient-based localization", ICCV 2017.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mammofill.classifier import timm_networks
from mammofill.classifier.settings import TIMM

LAST_MAPS = {
    "shallow-cnn": "blocks.10",
    "resnet50": "layer4",
    "squeezenet1_1": "features",
    "convnext_tiny": "features",
    "discriminator": "maps",
}
"""Network -> its layer whose output is the last stack of feature maps, before these are pooled or flattened."""


def maps_layer(network: nn.Module, name: str, input_px: int) -> str:
    """Return the layer whose output are a network's last feature maps; empty for what timm calls its features.

    Args:
        network: on the CPU.
        name: its name in the settings.
        input_px: side of its input.
    """
    return timm_networks.maps_layer(network, input_px) if name.startswith(TIMM) else LAST_MAPS[name]


def grad_cam(network: nn.Module, layer: str, inputs: Tensor) -> NDArray[np.float32]:
    """Weight the last feature maps by how much they contribute to malignancy.

    alpha[k] = mean over places of dy / dA[k] (equation 1), map = ReLU(sum over k of alpha[k] A[k]) (equation 2). For y
    the log-odds of malignancy are taken, the output for malignant less that for benign before the softmax: the score
    depends on nothing else, while either output alone may rise and fall together with the other.

    Args:
        network: in evaluation mode, on the device of the inputs.
        layer: from `maps_layer`.
        inputs: (N, channels, S, S).

    Returns:
        (N, h, w) float32, at least 0, at the resolution of the feature maps; all 0 where there is no evidence for
        malignancy.
    """
    features, outputs = _cut_at(network, layer, inputs) if layer else _cut_at_features(network, inputs)
    odds = (outputs[:, 1] - outputs[:, 0]).sum()  # no patch has a part in another one's
    (slopes,) = torch.autograd.grad(odds, features)
    slopes, features = (timm_networks.channels_first(network, one) for one in (slopes, features.detach()))
    weights = slopes.mean(dim=(2, 3), keepdim=True)  # of (N, K, h, w)
    maps: NDArray[np.float32] = (weights * features).sum(dim=1).relu().float().cpu().numpy()
    return maps


def _cut_at(network: nn.Module, layer: str, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return what a layer gives, where gradients begin, and the outputs (N, 2) that come of it."""
    kept: list[Tensor] = []
    hook = network.get_submodule(layer).register_forward_hook(partial(_begin_here, kept))
    try:
        with torch.no_grad():
            outputs: Tensor = network(inputs).flatten(1)
    finally:
        hook.remove()
    return kept[0], outputs


def _cut_at_features(network: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same where timm cuts its networks: between features and head."""
    parts: Any = network
    with torch.no_grad():
        features: Tensor = parts.forward_features(inputs)
    features.requires_grad_()
    outputs: Tensor = parts.forward_head(features)
    return features, outputs.flatten(1)


def _begin_here(kept: list[Tensor], layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Let gradients begin at a layer's output: nothing before it is remembered, which saves most of the memory."""
    torch.set_grad_enabled(True)  # until the end of the block that switched it off
    maps = output.detach().requires_grad_()
    kept.append(maps)
    return maps


def at_patch_size(maps: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Bring maps (N, h, w) to patches of a size (rows, columns), each with its peak at 1; bilinear.

    Returns:
        (N, rows, columns) float32 in [0, 1]; a map of zeros stays one.
    """
    found = np.empty((len(maps), *size), np.float32)
    for number, one in enumerate(maps):
        large = cv2.resize(one, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
        peak = float(large.max())
        found[number] = large / peak if peak > 0 else 0.0
    return found
