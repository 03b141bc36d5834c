"""Criterion "class": whether a classifier that saw real lesions only finds in fills the class that was asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mammofill.evaluation.metrics import Weights, weighted_auc
from mammofill.judging.cases import Lesions
from mammofill.judging.verdict import Bench, Estimate, Finding, Wanted, judged, told

CRITERION = "class"
_ROUNDING = 1e-4
"""Of log-odds in float32: the same picture in another batch scores so much more or less."""
_SEES_MOST = 0.9
"""A classifier with a smaller AUC on real lesions misses much of what tells classes apart, and so may its verdict: on
practice mammograms one of 0.74 found the class asked for where one of 0.996 found the opposite. Ours."""


def class_of_real(bench: Bench, real: Lesions, logits: NDArray[np.float64]) -> list[Finding]:
    """Measure how well the classifier tells real lesions apart: what it can be trusted with."""
    auc = bench.auc(real.malignant, logits, real.people[:, 0])
    return [told(CRITERION, "AUC", auc, "What the classifier makes of real lesions of the same split.")]


def class_of_fills(
    bench: Bench,
    real: Lesions,
    real_logits: NDArray[np.float64],
    contexts: Lesions,
    benign_logits: NDArray[np.float64],
    malignant_logits: NDArray[np.float64],
    logits_in_place: NDArray[np.float64],
) -> list[Finding]:
    """Measure whether the class asked for is painted.

    The outline was lent by a real lesion, and tells its class by itself. So it is measured three times: with the
    donor's class asked for, as in synthesis; over both fills of each pair, where outlines cannot help; pair by pair.

    Args:
        bench: intervals.
        real: real lesions.
        real_logits: (M,) the classifier's log-odds on them.
        contexts: what was filled; its class is the donor's.
        benign_logits: (N,) on the benign fills.
        malignant_logits: (N,) on the malignant fills of the same contexts, masks and seeds.
        logits_in_place: (M,) on the real lesions, each painted again in its own class where it is.
    """
    settings, donors = bench.settings, contexts.people[:, 1]
    logits = np.where(contexts.malignant, malignant_logits, benign_logits)
    own = bench.auc(real.malignant, real_logits, real.people[:, 0])
    asked = np.repeat([False, True], len(contexts))
    both = np.concatenate([benign_logits, malignant_logits])
    difference = malignant_logits - benign_logits
    higher = np.where(np.abs(difference) < _ROUNDING, 0.5, difference > 0)
    tissue = contexts.people[:, 0]
    counts = [int(some.sum()) for one in (real, contexts) for some in (one.malignant, ~one.malignant)]
    return [
        judged(
            CRITERION,
            "share of the real AUC",
            _share(bench, real, real_logits, contexts, logits),
            Wanted(least=settings.wanted.class_share),
            "AUC on fills of the donor's own class, divided by the AUC on real lesions.",
            _hindrance(bench, own, min(len(set(donors)), own.patients), *counts),
            _doubt(own),
        ),
        # The outline and the class come from the donor, so it is donors that are drawn.
        told(CRITERION, "AUC", bench.auc(contexts.malignant, logits, donors), "On fills of the donor's own class."),
        told(
            CRITERION,
            "AUC, in place",
            bench.auc(real.malignant, logits_in_place, real.people[:, 0]),
            "On real lesions painted again in their own class: their surroundings tell, too.",
        ),
        told(
            CRITERION,
            "AUC, outline without say",
            bench.auc(asked, both, np.tile(donors, 2)),
            "Every outline filled once benign and once malignant: the class asked for is all that differs.",
        ),
        judged(
            CRITERION,
            "malignant above benign",
            bench.mean(higher, tissue),
            Wanted(least=settings.wanted.counterfactuals),
            "Share of pairs whose malignant fill scores higher than the benign one: same tissue, mask and seed. Equal "
            "scores count half.",
            _hindrance(bench, own, len(set(tissue)), len(contexts)),
            _doubt(own),
        ),
        told(
            CRITERION,
            "difference in log-odds",
            bench.mean(difference, tissue),
            "Of the malignant fill and the benign one.",
        ),
    ]


def _share(
    bench: Bench,
    real: Lesions,
    real_logits: NDArray[np.float64],
    contexts: Lesions,
    logits: NDArray[np.float64],
) -> Estimate:
    """Return the AUC on fills over that on real lesions; a patient is drawn with its lesions and what they lent."""
    count = len(real)
    patients = np.concatenate([real.people[:, 0], contexts.people[:, 1]])

    def statistic(weights: Weights) -> NDArray[np.float64]:
        on_real = weighted_auc(real.malignant, real_logits, weights[:, :count])
        with np.errstate(invalid="ignore", divide="ignore"):
            share: NDArray[np.float64] = weighted_auc(contexts.malignant, logits, weights[:, count:]) / on_real
        return share

    return bench.estimate(statistic, patients, len(contexts))


def _hindrance(bench: Bench, own: Estimate, patients: int, *counts: int) -> str:
    """Say why the classifier's opinion is no verdict; empty where it is one.

    Args:
        bench: what is too few.
        own: the classifier's AUC on real lesions.
        patients: number of them.
        counts: numbers of fills or lesions.
    """
    least, weak = bench.settings.least_classifier_auc, ""
    if own.value < least:
        weak = (
            f"the classifier's own AUC on real lesions is {own.value:.2f}, and below {least:g} (least_classifier_auc) "
            "its opinion of fills says little"
        )
    elif not own.low > 0.5:
        weak = "the classifier's own AUC on real lesions cannot be told from guessing"
    return "; ".join(filter(None, (weak, bench.too_few(patients, *counts))))


def _doubt(own: Estimate) -> str:
    """Say so where the classifier, by its AUC on real lesions, misses much that another may see."""
    if own.value >= _SEES_MOST:
        return ""
    return (
        f"the classifier's own AUC on real lesions is {own.value:.2f}: one that sees more may judge otherwise, so "
        "judge with the best one there is"
    )
