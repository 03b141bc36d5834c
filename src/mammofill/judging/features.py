"""What a classifier sees: the features from which it draws its score."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mammofill.classifier import Classifier
from mammofill.classifier.examples import at_input_size
from mammofill.classifier.networks import deciding_layer
from mammofill.classifier.scoring import log_odds
from mammofill.ground.training.device import find_device


def features(classifier: Classifier, images: NDArray[np.uint16], device: str, batch: int) -> NDArray[np.float32]:
    """Return what enters the last layer of a classifier, averaged over the picture.

    Args:
        classifier: any of ours; the last layer with weights is the one that decides in all of them.
        images: (N, H, W) uint16, at least one.
        device: where the network runs.
        batch: patches at a time.

    Returns:
        (N, K) float32.
    """
    found = find_device(device)
    network = classifier.network.to(found)
    with _inputs_of_last_layer(network) as collected:
        for start in range(0, len(images), batch):
            some = at_input_size(images[start : start + batch], classifier.input_px)
            log_odds(network, some, classifier.colours, found, batch, standardise=classifier.standardise)
    return np.concatenate(collected)


@contextmanager
def _inputs_of_last_layer(network: nn.Module) -> Iterator[list[NDArray[np.float32]]]:
    """Collect what enters the network's last layer with weights, (n, K) for each batch."""
    last = deciding_layer(network)
    collected: list[NDArray[np.float32]] = []

    def collect(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        (entering,) = inputs
        pooled = entering.flatten(2).mean(dim=2) if entering.ndim == 4 else entering
        collected.append(pooled.detach().to(dtype=torch.float32).cpu().numpy())

    handle = last.register_forward_pre_hook(collect)
    try:
        yield collected
    finally:
        handle.remove()
