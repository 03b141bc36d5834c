"""Measures of a binary classifier: malignant (True) against benign (False), from scores with one weight per patch.

The weights are what makes the bootstrap fast: a resample of patients is a weight per patch (how often its patient was
drawn), so no patch is ever copied. With all weights 1 the measures are the ordinary ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MEASURES = ("accuracy", "recall", "specificity", "auc", "balanced_accuracy")
"""accuracy: share of patches called right. recall: share of malignant patches called malignant (sensitivity).
specificity: share of benign patches called benign. auc: area under the ROC curve of the scores. balanced_accuracy: mean
of recall and specificity, which is what the paper's column "AUC" holds."""

Weights = NDArray[np.float64]


def measure_all(
    malignant: NDArray[np.bool_], logits: NDArray[np.float64], called: NDArray[np.bool_], weights: Weights
) -> dict[str, NDArray[np.float64]]:
    """Compute all measures for one or many sets of weights.

    Args:
        malignant: (n,) the truth.
        logits: (n,) float64 log-odds; only their order counts.
        called: (n,) whether each patch is called malignant.
        weights: (r, n), one row per set of weights, each at least 0.

    Returns:
        measure -> (r,) float64; NaN where a class has no weight.
    """
    positive, negative = weights @ malignant, weights @ ~malignant
    true_positive, true_negative = weights @ (malignant & called), weights @ (~malignant & ~called)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, specificity = true_positive / positive, true_negative / negative
        accuracy = (true_positive + true_negative) / (positive + negative)
    return {
        "accuracy": accuracy,
        "recall": recall,
        "specificity": specificity,
        "auc": weighted_auc(malignant, logits, weights),
        "balanced_accuracy": (recall + specificity) / 2,
    }


def weighted_auc(malignant: NDArray[np.bool_], logits: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    """Compute the area under the ROC curve from ranks, ties counting half.

    It is the weighted share of pairs (malignant, benign) in which the malignant patch has the higher score: the
    Mann-Whitney statistic (Hanley and McNeil, Radiology, 1982).

    Args:
        malignant: (n,) the truth.
        logits: (n,) float64. Probabilities in float32 would saturate and tie.
        weights: (r, n).

    Returns:
        (r,) float64; NaN where a class has no weight.
    """
    order = np.argsort(logits, kind="stable")
    _, starts = np.unique(logits[order], return_index=True)  # groups of equal scores
    positive = np.add.reduceat((weights * malignant)[:, order], starts, axis=1)  # (r, groups)
    negative = np.add.reduceat((weights * ~malignant)[:, order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    wins = (positive * (below + negative / 2)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        area: NDArray[np.float64] = wins / (positive.sum(axis=1) * negative.sum(axis=1))
    return area


def roc_curve(
    malignant: NDArray[np.bool_], logits: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ROC curve: 1 - specificity and recall as the threshold falls, from (0, 0) to (1, 1)."""
    from sklearn.metrics import roc_curve as curve

    false_positive, true_positive, _ = curve(malignant, logits, drop_intermediate=True)
    return false_positive, true_positive
