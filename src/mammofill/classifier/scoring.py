"""From network outputs to scores and to a threshold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mammofill.classifier.batches import Colours, network_input


def log_odds(
    network: nn.Module,
    images: NDArray[np.uint16],
    colours: Colours,
    device: torch.device,
    batch_size: int = 64,
    flips: bool = False,
    turns: bool = False,
    standardise: bool = False,
) -> NDArray[np.float64]:
    """Score patches that have the network's input size already.

    Args:
        network: on `device`; it is switched to evaluation.
        images: (N, S, S) uint16 over 0..65535.
        colours: how gray values are given to the network.
        device: where it runs.
        batch_size: patches at a time.
        flips: score each patch mirrored left and right as well, and take the mean.
        turns: score it at each of the four quarter turns, and take the mean; with `flips`, of all eight ways.
        standardise: see `network_input`.

    Returns:
        (N,) float64 log-odds of malignancy: the output for malignant minus that for benign, which is the logit of the
        softmax probability. Subtracted in float64, since float32 probabilities saturate and tie.
    """
    if flips or turns:
        ways = [
            log_odds(network, np.ascontiguousarray(some), colours, device, batch_size, standardise=standardise)
            for some in _ways(images, flips, turns)
        ]
        return np.asarray(np.mean(ways, axis=0), np.float64)
    network.eval()
    odds = np.empty(len(images), np.float64)
    # Scores that are no numbers are refused where they are used.
    with torch.inference_mode(), _exact(), np.errstate(invalid="ignore"):
        for start in range(0, len(images), batch_size):
            inputs = network_input(images[start : start + batch_size], colours, device, standardise)
            outputs = network(inputs).flatten(1).cpu().double().numpy()  # (n, 2)
            odds[start : start + batch_size] = outputs[:, 1] - outputs[:, 0]
    return odds


def _ways(images: NDArray[np.uint16], flips: bool, turns: bool) -> Iterator[NDArray[np.uint16]]:
    """Yield patches in each way in which they are looked at."""
    for mirrored in (images, images[:, :, ::-1])[: 2 if flips else 1]:
        yield from (np.rot90(mirrored, number, (1, 2)) for number in range(4 if turns else 1))


@contextmanager
def _exact() -> Iterator[None]:
    """Compute in float32 proper, however the network was trained: a threshold must hold wherever scores are made."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def probability(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn log-odds into probabilities, without overflow at either end."""
    return np.exp(-np.logaddexp(0.0, -odds))


def balanced_accuracy_threshold(odds: NDArray[np.float64], malignant: NDArray[np.bool_]) -> tuple[float, float]:
    """Find the threshold where (recall + specificity) / 2 is greatest (the point of Youden's index).

    Only thresholds halfway between two neighbouring scores are tried; among equally good ones the one nearest to even
    odds is taken, the lower of two.

    Args:
        odds: (N,) float64 log-odds.
        malignant: (N,) bool truth, with both classes.

    Returns:
        The threshold in log-odds (at or above it counts as malignant) and the balanced accuracy there.
    """
    values = np.unique(odds)
    tried = (values[:-1] + values[1:]) / 2 if len(values) > 1 else values
    # Scores at or above each threshold, counted in each class at once.
    recall = 1 - np.searchsorted(np.sort(odds[malignant]), tried) / malignant.sum()
    specificity = np.searchsorted(np.sort(odds[~malignant]), tried) / (~malignant).sum()
    balanced = (recall + specificity) / 2
    best = np.flatnonzero(balanced >= balanced.max() - 1e-12)
    chosen = best[np.argmin(np.abs(tried[best]))]
    return float(tried[chosen]), float(balanced[chosen])
