"""Logistic calibration: slope and intercept of the truth against a classifier's own log-odds, with weights.

Cox, "Two further applications of a model for binary regression" (Biometrika 45, 1958); Van Calster et al.,
"Calibration: the Achilles heel of predictive analytics" (BMC Medicine 17, 2019), whose names these are. A slope below 1
says that scores are too extreme, above 1 that they are too timid. The intercept is of the same model with the slope
held at 1: above 0, malignant cases are more frequent than the scores say.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

_STEPS = 30
_CLOSE = 1e-8
_FAR = 50.0
"""Beyond it a slope or an intercept is taken for one without end: scores that separate the classes."""


def calibration_slope(
    malignant: NDArray[np.bool_], logits: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fit malignant ~ a + b * logits for each set of weights and return b.

    Args:
        malignant: (n,) the truth.
        logits: (n,) log-odds.
        weights: (r, n), each at least 0.

    Returns:
        (r,) float64; NaN where there is none: one class, separated classes, equal scores.
    """
    at, slope = np.zeros(len(weights)), np.ones(len(weights))
    for _ in range(_STEPS):
        expected = expit(at[:, None] + slope[:, None] * logits)
        surplus = weights * (malignant - expected)
        steep = weights * expected * (1 - expected)
        by_at, by_slope = surplus.sum(axis=1), surplus @ logits
        one, both, two = steep.sum(axis=1), steep @ logits, steep @ logits**2
        size = one * two - both**2
        with np.errstate(divide="ignore", invalid="ignore"):
            moves = (two * by_at - both * by_slope) / size, (one * by_slope - both * by_at) / size
        # A step of Newton's may overshoot where scores are extreme.
        moved = [np.clip(move, -2, 2) for move in moves]
        at, slope = at + moved[0], slope + moved[1]
        if not (np.abs(moved) > _CLOSE).any():
            break
    return np.where((np.abs(moved).max(axis=0) <= 1e-4) & (np.abs(slope) < _FAR), slope, np.nan)


def calibration_intercept(
    malignant: NDArray[np.bool_], logits: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fit malignant ~ a + logits for each set of weights and return a; arguments as in `calibration_slope`."""
    at = np.zeros(len(weights))
    move = np.full(len(weights), np.inf)
    for _ in range(_STEPS):
        expected = expit(at[:, None] + logits)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = (weights * (malignant - expected)).sum(axis=1) / (weights * expected * (1 - expected)).sum(axis=1)
        move = np.clip(step, -2, 2)
        at = at + move
        if not (np.abs(move) > _CLOSE).any():
            break
    return np.where((np.abs(move) <= 1e-4) & (np.abs(at) < _FAR), at, np.nan)
