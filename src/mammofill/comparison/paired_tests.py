"""Standard paired tests of two classifiers on the same patches, in addition to those of `intervals`.

DeLong's test and McNemar's treat every patch as an independent case and ignore variation between training seeds: with
several patches per patient their p is too small. They are reported because papers report them; no verdict rests on
them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def delong_covariance(
    malignant: NDArray[np.bool_], logits: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return AUCs and their covariance matrix (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988, equation 5).

    Args:
        malignant: (n,) the truth, at least two patches of each class.
        logits: (k, n) scores of k classifiers on the same patches.

    Returns:
        AUCs (k,) and covariance (k, k).
    """
    return clustered_covariance(malignant, logits, np.arange(len(malignant)))


def clustered_covariance(
    malignant: NDArray[np.bool_], logits: NDArray[np.float64], patients: NDArray[np.generic]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return AUCs and their covariance where patches of one patient are alike.

    Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics 53, 1997: the components of DeLong are
    summed within patients first, and a patient with both classes ties them together. With one patch per patient it is
    DeLong's covariance.

    Args:
        malignant: (n,) the truth; at least two patients with each class.
        logits: (k, n) scores of k classifiers on the same patches.
        patients: (n,) whose patch each is.

    Returns:
        AUCs (k,) and covariance (k, k); NaN where a class has fewer than two patients.
    """
    names, patient_of = np.unique(patients, return_inverse=True)
    components = [_components(malignant, one) for one in logits]
    auc = np.array([of_malignant.mean() for of_malignant, _ in components])
    with_class, deviations = [], []
    for side, chosen in ((0, malignant), (1, ~malignant)):
        owner = patient_of[chosen]
        summed = np.stack([
            np.bincount(owner, one[side] - area, len(names)) for one, area in zip(components, auc, strict=True)
        ])  # fmt: skip
        deviations.append(summed / chosen.sum())
        with_class.append(len(np.unique(owner)))
    if min(with_class) < 2:
        return auc, np.full((len(auc), len(auc)), np.nan)
    own = sum(count / (count - 1) * one @ one.T for count, one in zip(with_class, deviations, strict=True))
    between = len(names) / (len(names) - 1) * deviations[0] @ deviations[1].T
    return auc, own + between + between.T


def p_of_difference(auc: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    """Return the two-sided p that two AUCs differ by chance, from the normal distribution.

    Args:
        auc: (2,).
        covariance: (2, 2), from `delong_covariance` or `clustered_covariance`.

    Returns:
        p; 1 where both rank all patches alike; NaN where there is no covariance.
    """
    difference = float(auc[1] - auc[0])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if math.isnan(variance):
        return math.nan
    if variance <= 1e-15:
        return 1.0 if abs(difference) < 1e-12 else 0.0
    return float(2 * stats.norm.sf(abs(difference) / math.sqrt(variance)))


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> tuple[float, int, int]:
    """Return McNemar's exact p that two classifiers are right equally often (Psychometrika 12, 1947; binomial form).

    Args:
        first_right: (n,) where the first is right.
        second_right: (n,) where the second is.

    Returns:
        The two-sided p, the number of patches that only the first got right, and that only the second did.
    """
    first, second = int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
    p = float(stats.binomtest(first, first + second).pvalue) if first + second else 1.0
    return p, first, second


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values of one family so that the chance of any false finding stays below the level (Holm, 1979).

    Args:
        p_values: of all planned comparisons; NaN stays NaN and still counts, since it was planned.
    """
    order = sorted(range(len(p_values)), key=lambda place: (math.isnan(p_values[place]), p_values[place]))
    adjusted, greatest = [math.nan] * len(p_values), 0.0
    for rank, place in enumerate(order):
        if not math.isnan(p_values[place]):
            greatest = max(greatest, min(1.0, (len(p_values) - rank) * p_values[place]))
            adjusted[place] = greatest
    return adjusted


def effect_size(measure: str, value: float, other: float) -> tuple[float, str]:
    """Put a difference on a scale that does not depend on where it lies.

    Args:
        measure: of which both values are.
        value: of one arm.
        other: of the arm that it is compared with.

    Returns:
        For AUCs, the difference of d = sqrt(2) * quantile(AUC): how many standard deviations further apart the classes
        lie (Rice and Harris, Law and Human Behavior 29, 2005). For shares of patches Cohen's h, 2 asin sqrt(value) - 2
        asin sqrt(other) (Cohen, 1988, chapter 6). NaN and no name for other measures, and where d has no end.
    """
    if measure == "auc":
        ends = [float(stats.norm.ppf(one)) for one in (value, other)]
        return (math.sqrt(2) * (ends[0] - ends[1]), "d") if all(map(math.isfinite, ends)) else (math.nan, "")
    if measure.startswith(("recall", "specificity", "accuracy", "balanced")):
        return 2 * math.asin(math.sqrt(value)) - 2 * math.asin(math.sqrt(other)), "h"
    return math.nan, ""


def _components(
    malignant: NDArray[np.bool_], logits: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how each patch does against all of the other class, ties counting half.

    The share of benign ones below each malignant patch, and of malignant ones above each benign patch, from ranks (Sun
    and Xu, "Fast implementation of DeLong's algorithm", IEEE Signal Processing Letters 21, 2014).
    """
    positive, negative = logits[malignant], logits[~malignant]
    count_positive, count_negative = len(positive), len(negative)
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    below = (ranks[:count_positive] - stats.rankdata(positive)) / count_negative
    above = 1 - (ranks[count_positive:] - stats.rankdata(negative)) / count_positive
    return below, above
