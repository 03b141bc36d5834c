"""Criterion "class": whether a classifier that saw real lesions only recognises the requested class in fills.

Two classifiers are used: one sees the patch as it is, the other sees it without level and contrast, both in training
and here. The second is not content with fills of the right brightness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mammofill.evaluation.metrics import Weights, weighted_auc
from mammofill.judging.cases import Lesions
from mammofill.judging.verdict import (
    NONE,
    Estimate,
    Finding,
    Statistics,
    Wanted,
    divided,
    judged,
    reported,
)

CRITERION = "class"
_ROUNDING = 1e-4
"""Of log-odds in float32: the score of a picture changes by so much with its batch."""
_SEES_MOST = 0.9
"""A classifier with a smaller AUC on real lesions misses much of what distinguishes the classes.

Its verdict may then be wrong: on practice mammograms one with 0.74 found the requested class where one with 0.996 found
the opposite. Ours.
"""
_NO_STANDARDISED = (
    "no standardised classifier was given: train one with --standardise true, and give it as --standardised"
)


def class_of_real(
    statistics: Statistics,
    real: Lesions,
    logits: NDArray[np.float64],
    standardised: NDArray[np.float64] | None,
) -> list[Finding]:
    """Measure how well the classifiers classify real lesions, which limits what their verdicts are worth."""
    words = "What the classifier makes of real lesions of the same split."
    found = [reported(CRITERION, "AUC", statistics.auc(real.malignant, logits, real.people), words)]
    if standardised is not None:
        auc = statistics.auc(real.malignant, standardised, real.people)
        gap = statistics.estimate(
            lambda weights: _gap(real.malignant, standardised, weights), real.people, len(standardised)
        )
        found += [
            reported(CRITERION, "standardised: AUC", auc, "What the standardised classifier makes of them."),
            reported(CRITERION, "standardised: gap in log-odds", gap, _GAP),
        ]
    return found


@dataclass(frozen=True)
class LogOdds:
    """What a classifier makes of M real lesions and of the fills of N contexts: log-odds of malignancy."""

    real: NDArray[np.float64]
    """(M,) on the real lesions."""
    benign: NDArray[np.float64]
    """(N,) on the benign fills."""
    malignant: NDArray[np.float64]
    """(N,) on the malignant fills of the same contexts, masks and seeds."""
    in_place: NDArray[np.float64]
    """(M,) on the real lesions, each painted again in its own class where it is."""
    as_donor: NDArray[np.float64] | None = None
    """(N,) on fills in the donor's class, where these are not among the above, since its appearance was requested as
    well."""

    def of_own_class(self, contexts: Lesions) -> NDArray[np.float64]:
        """Return those on the fills in the donor's class, (N,)."""
        if self.as_donor is not None:
            return self.as_donor
        return np.where(contexts.malignant, self.malignant, self.benign)


def class_of_fills(statistics: Statistics, real: Lesions, contexts: Lesions, odds: LogOdds) -> list[Finding]:
    """Measure whether the requested class is painted.

    The outline was lent by a real lesion and reveals its class by itself; so do the surroundings of a lesion that was
    painted over. So the class is measured three times: with the donor's class requested, as in synthesis; over both
    fills of each pair, where neither can help; pair by pair. How much outline and surroundings reveal alone is
    reported, too: where they would pass without any fill, passing proves nothing.

    Args:
        statistics: intervals.
        real: real lesions.
        contexts: what was filled; its class is the donor's.
        odds: what the classifier makes of them.
    """
    wanted, people = statistics.settings.wanted, contexts.people
    own = statistics.auc(real.malignant, odds.real, real.people)
    share = _share_of_real(weighted_auc, statistics, real, odds.real, contexts, odds.of_own_class(contexts))
    alone = statistics.auc(contexts.malignant, (odds.benign + odds.malignant) / 2, people)
    cannot = _cannot(
        statistics, own, min(contexts.outline_patients, own.patients), *real.per_class, *contexts.per_class
    )
    least = wanted.class_share[0]
    if not cannot and min(share.value, alone.value / own.value) >= least:
        cannot = (
            f"what is around the fills, and their outlines, pass too (AUC {alone.value:.2f} of the mean score of both "
            "fills of a pair): they reveal the class whatever is painted"
        )
    difference = odds.malignant - odds.benign
    higher = np.where(np.abs(difference) < _ROUNDING, 0.5, difference > 0)
    return [
        judged(
            CRITERION,
            "share of the real AUC",
            share,
            Wanted(*wanted.class_share, least_low=wanted.class_share_bound, most_high=np.inf),
            "AUC on fills of the donor's own class, divided by the AUC on real lesions.",
            cannot,
            _doubt(own),
            key="class_share_of_real_auc",
        ),
        judged(
            CRITERION,
            "malignant above benign",
            statistics.mean(higher, people),
            Wanted(least=wanted.malignant_above_benign, least_low=wanted.malignant_above_benign_bound),
            "Share of pairs whose malignant fill scores higher than the benign one: same tissue, mask and seed. Equal "
            "scores count half. A tiny shift of brightness is enough: necessary, and no proof.",
            _cannot(statistics, own, contexts.tissue_patients, len(contexts)),
            _doubt(own),
            key="malignant_above_benign",
        ),
        *_numbers_of_fills(statistics, real, contexts, odds, alone),
    ]


def _numbers_of_fills(
    statistics: Statistics, real: Lesions, contexts: Lesions, odds: LogOdds, alone: Estimate
) -> list[Finding]:
    """Report what helps to understand the verdicts; `alone` is what surroundings and outlines reveal."""
    people = contexts.people
    requested, both = np.repeat([False, True], len(contexts)), np.concatenate([odds.benign, odds.malignant])
    own = statistics.auc(contexts.malignant, odds.of_own_class(contexts), people)
    return [
        reported(CRITERION, "AUC", own, "On fills of the donor's own class."),
        reported(
            CRITERION,
            "AUC, in place",
            statistics.auc(real.malignant, odds.in_place, real.people),
            "On real lesions painted again in their own class: their surroundings reveal it, too.",
        ),
        reported(
            CRITERION,
            "AUC, outline without say",
            statistics.auc(requested, both, np.tile(people, (2, 1))),
            "Every outline filled once benign and once malignant: the requested class is all that differs.",
        ),
        reported(
            CRITERION,
            "AUC, whatever is painted",
            alone,
            "The donor's class, by the mean score of both fills of a pair: what the surroundings and the outline "
            "reveal.",
        ),
        reported(
            CRITERION,
            "difference in log-odds",
            statistics.mean(odds.malignant - odds.benign, people),
            "Of the malignant fill and the benign one.",
        ),
    ]


def standardised_class_of_fills(
    statistics: Statistics,
    real: Lesions,
    real_logits: NDArray[np.float64] | None,
    fills: Lesions,
    logits: NDArray[np.float64] | None,
) -> list[Finding]:
    """Measure whether a classifier that sees neither level nor contrast recognises the requested class.

    Args:
        statistics: intervals.
        real: real lesions.
        real_logits: (M,) the standardised classifier's log-odds on them; None without one.
        fills: fills of the donor's own class.
        logits: (N,) on these.
    """
    share = gap = auc = None
    cannot = _NO_STANDARDISED
    if real_logits is not None and logits is not None:
        own = statistics.auc(real.malignant, real_logits, real.people)
        share = _share_of_real(weighted_auc, statistics, real, real_logits, fills, logits)
        gap = _share_of_real(_gap, statistics, real, real_logits, fills, logits)
        auc = statistics.auc(fills.malignant, logits, fills.people)
        cannot = _cannot(statistics, own, min(fills.outline_patients, own.patients), *real.per_class, *fills.per_class)
    wanted = statistics.settings.wanted
    return [
        judged(
            CRITERION,
            "standardised: share of the real AUC",
            share or NONE,
            Wanted(least=wanted.standardised_share),
            "AUC on fills of the donor's own class of a classifier that learned, and looks, without level and "
            "contrast; divided by its AUC on real lesions.",
            cannot,
            key="standardised_share_of_real_auc",
        ),
        judged(
            CRITERION,
            "standardised: share of the real gap",
            gap or NONE,
            Wanted(least=wanted.standardised_gap),
            f"{_GAP} Divided by that of real lesions.",
            cannot,
            key="standardised_class_gap",
        ),
        *([reported(CRITERION, "standardised: AUC", auc, "On fills of the donor's own class.")] if auc else []),
    ]


_GAP = "Median log-odds of the malignant ones less that of the benign ones, by the standardised classifier."


def _share_of_real(
    measure: Callable[[NDArray[np.bool_], NDArray[np.float64], Weights], NDArray[np.float64]],
    statistics: Statistics,
    real: Lesions,
    real_logits: NDArray[np.float64],
    fills: Lesions,
    logits: NDArray[np.float64],
) -> Estimate:
    """Return a measure on fills over the same on real lesions, on the same resamples of patients."""
    count = len(real)

    def share(weights: Weights) -> NDArray[np.float64]:
        on_real = measure(real.malignant, real_logits, weights[:, :count])
        return divided(measure(fills.malignant, logits, weights[:, count:]), on_real)

    return statistics.estimate(share, np.concatenate([real.people, fills.people]), len(fills))


def _gap(malignant: NDArray[np.bool_], logits: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    return _weighted_median(weights[:, malignant], logits[malignant]) - _weighted_median(
        weights[:, ~malignant], logits[~malignant]
    )


def _weighted_median(weights: Weights, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of values (n,) under weights (r, n), (r,); NaN where nothing weighs.

    Halfway between the values at which the cumulative weight reaches, and exceeds, half of the whole: without weights
    the ordinary median.
    """
    if not len(values):
        return np.full(len(weights), np.nan)
    order = np.argsort(values)
    reached = np.cumsum(weights[:, order], axis=1)
    half = reached[:, -1:] / 2
    low, high = np.argmax(reached >= half, axis=1), np.argmax(reached > half, axis=1)
    median = (values[order][low] + values[order][high]) / 2
    return np.where(reached[:, -1] > 0, median, np.nan)


def _cannot(statistics: Statistics, own: Estimate, patients: int, *counts: int) -> str:
    """Say why the classifier's opinion is no verdict; empty where it is one.

    Args:
        statistics: what is too few.
        own: the classifier's AUC on real lesions.
        patients: number of them.
        counts: numbers of fills or lesions.
    """
    least, weak = statistics.settings.least_classifier_auc, ""
    if own.value < least:
        weak = (
            f"the classifier's own AUC on real lesions is {own.value:.2f}, and below {least:g} (least_classifier_auc) "
            "its opinion of fills says little"
        )
    elif not own.low > 0.5:
        weak = "the classifier's own AUC on real lesions is not distinguishable from chance"
    return "; ".join(filter(None, (weak, statistics.too_few(patients, *counts))))


def _doubt(own: Estimate) -> str:
    """Say so where the classifier, by its AUC on real lesions, misses much that another may see."""
    if own.value >= _SEES_MOST:
        return ""
    return (
        f"the classifier's own AUC on real lesions is {own.value:.2f}: one that sees more may judge otherwise, so "
        "judge with the best one there is"
    )
