"""Numbers with intervals, what is wanted of them, and the verdict.

Intervals resample patients. A fill has two: whose tissue it is, and who lent the outline. Both are drawn: a fill counts
as often as the product of how often its two patients were (the pigeonhole bootstrap of Owen, "The pigeonhole
bootstrap", Annals of Applied Statistics 1, 2007). Patients are one pool, so that one who lends outlines and tissue is
drawn in both roles at once, as with the vertices of a graph (Snijders and Borgatti, "Non-parametric standard errors and
tests for network statistics", Connections 22, 1999); where both are one patient, that one counts once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammofill.evaluation.metrics import Weights, weighted_auc
from mammofill.ground.seeding import stream
from mammofill.judging.settings import JudgeInfillerSettings

VERDICTS = REACHED, NOT_REACHED, OPEN, CANNOT_BE_JUDGED = "reached", "not reached", "open", "cannot be judged"

People = NDArray[np.object_]
"""(N, 2) patients: whose tissue it is, and whose outline; the same one twice for a real lesion. Or (N,) one each."""

Statistic = Callable[[Weights], NDArray[np.float64]]
"""From weights (r, n) of cases to (r,) values."""

_AT_ONCE = 250
"""Resamples whose weights are held in memory at once."""


@dataclass(frozen=True)
class Estimate:
    """A number, its interval (NaN where there is none), and what it rests on."""

    value: float
    low: float
    high: float
    cases: int
    patients: int


@dataclass(frozen=True)
class Wanted:
    """A range that a number has to lie in, and one that its interval has to lie in."""

    least: float = -math.inf
    most: float = math.inf
    least_low: float | None = None
    """Least lower end of the interval, where it is not `least`."""
    most_high: float | None = None
    """Greatest upper end of the interval, where it is not `most`."""

    def verdict(self, estimate: Estimate) -> str:
        """Judge a number with its interval; without an interval the number decides."""
        low = estimate.low if math.isfinite(estimate.low) else estimate.value
        high = estimate.high if math.isfinite(estimate.high) else estimate.value
        least_low = self.least if self.least_low is None else self.least_low
        most_high = self.most if self.most_high is None else self.most_high
        if self.least <= estimate.value <= self.most and least_low <= low and high <= most_high:
            return REACHED
        return NOT_REACHED if high < self.least or low > self.most else OPEN

    def __str__(self) -> str:
        """Return it in words, as tables say it."""
        if self.least == self.most:
            return f"= {self.least:g}"
        if math.isfinite(self.least) and math.isfinite(self.most):
            words = f"{self.least:g} to {self.most:g}"
        else:
            words = f">= {self.least:.2f}" if math.isfinite(self.least) else f"<= {self.most:.2f}"
        return words if self.least_low is None else f"{words}, interval >= {self.least_low:.2f}"


@dataclass(frozen=True)
class Finding:
    """One measure of one infiller, with its verdict."""

    criterion: str
    measure: str
    estimate: Estimate
    wanted: Wanted | None = None
    verdict: str = ""
    words: str = ""
    """What the measure is."""
    remark: str = ""
    """What prevents this verdict, or puts it in doubt."""
    key: str = ""
    """Its name in ``judgement.json``; empty for numbers that stand in the tables only."""

    def without_verdict(self) -> Finding:
        """Return the number alone, for what others are compared with."""
        return replace(self, wanted=None, verdict="", remark="")


@dataclass(frozen=True)
class Statistics:
    """What all measures share: how intervals are drawn, and what is too few."""

    settings: JudgeInfillerSettings
    seed: int

    def estimate(self, statistic: Statistic, people: People, cases: int) -> Estimate:
        """Compute a statistic and its interval (percentiles) over resamples of patients.

        A resample in which it has no value is left out. With one patient, or where fewer than half of the resamples
        have a value, there is no interval.

        Args:
            statistic: from weights (r, n) to (r,) values.
            people: (n,) or (n, 2) whose each is.
            cases: that it rests on, for the table.
        """
        value = float(statistic(np.ones((1, len(people))))[0])
        patients = len(set(people.ravel().tolist()))
        found = np.concatenate([statistic(weights) for weights in self._weights(people)])
        finite = found[np.isfinite(found)]
        if patients < 2 or len(finite) < len(found) / 2:
            return Estimate(value, math.nan, math.nan, cases, patients)
        confidence = self.settings.confidence
        low, high = np.quantile(finite, [(1 - confidence) / 2, (1 + confidence) / 2])
        return Estimate(value, float(low), float(high), cases, patients)

    def mean(self, values: NDArray[np.float64], people: People) -> Estimate:
        """Return the mean of values (n,), and its interval; what is not finite is left out."""
        known = np.isfinite(values)
        if not known.any():
            return NONE
        return self.estimate(lambda weights: weighted_mean(weights, values[known]), people[known], int(known.sum()))

    def ratio(self, above: NDArray[np.float64], below: NDArray[np.float64], people: People) -> Estimate:
        """Return the mean of some values (n,) over the mean of others (n,), and its interval."""
        known = np.isfinite(above) & np.isfinite(below)
        if not known.any():
            return NONE
        return self.estimate(
            lambda weights: divided(weighted_mean(weights, above[known]), weighted_mean(weights, below[known])),
            people[known],
            int(known.sum()),
        )

    def auc(self, positive: NDArray[np.bool_], scores: NDArray[np.float64], people: People) -> Estimate:
        """Return the area under the ROC curve, and its interval."""
        return self.estimate(lambda weights: weighted_auc(positive, scores, weights), people, len(scores))

    def too_few(self, patients: int, *counts: int) -> str:
        """Say what is too few for a verdict; empty where there is enough."""
        if min(counts) < self.settings.least_per_class:
            return f"only {min(counts)} of a kind, at least {self.settings.least_per_class} are needed"
        if patients < self.settings.least_patients:
            return f"only {patients} patients, at least {self.settings.least_patients} are needed"
        return ""

    def _weights(self, people: People) -> Iterator[Weights]:
        """Draw resamples of patients; yield how often each case counts, (r, n) at a time."""
        names, numbers = np.unique(people.astype(str), return_inverse=True)
        roles = numbers.reshape(len(people), -1)
        random = stream(self.seed, "intervals")
        for start in range(0, self.settings.resamples, _AT_ONCE):
            count = min(_AT_ONCE, self.settings.resamples - start)
            drawn = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=count).astype(np.float64)
            first, last = roles[:, 0], roles[:, -1]
            yield drawn[:, first] * np.where(first == last, 1.0, drawn[:, last])


NONE = Estimate(math.nan, math.nan, math.nan, 0, 0)
"""A number that has no value."""


def reported(criterion: str, measure: str, estimate: Estimate, words: str = "", remark: str = "") -> Finding:
    """Make a finding of which nothing is wanted; the remark says why there is no number, if there is none."""
    return Finding(criterion, measure, estimate, words=words, remark=remark)


def judged(
    criterion: str,
    measure: str,
    estimate: Estimate,
    wanted: Wanted,
    words: str,
    cannot: str = "",
    remark: str = "",
    key: str = "",
) -> Finding:
    """Make a finding with its verdict.

    Args:
        criterion: which.
        measure: which.
        estimate: the number.
        wanted: where it has to lie.
        words: what the measure is.
        cannot: why it cannot be judged; empty where it can.
        remark: what else is to be noted of this one.
        key: its name in ``judgement.json``.

    Returns:
        The finding: reached where number and interval hold the limit, not reached where the whole interval misses it,
        open between: other patients might turn it.
    """
    if not cannot and not math.isfinite(estimate.value):
        cannot = "it has no value here"
    verdict = CANNOT_BE_JUDGED if cannot else wanted.verdict(estimate)
    return Finding(criterion, measure, estimate, wanted, verdict, words, cannot or remark, key)


def counted(value: float, cases: int, patients: int) -> Estimate:
    """Make an estimate of something that was counted, and has no interval."""
    return Estimate(float(value), math.nan, math.nan, cases, patients)


def weighted_mean(weights: Weights, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of values (n,) or (n, K) under weights (r, n): (r,) or (r, K); NaN where nothing weighs."""
    total = weights.sum(axis=1)
    return divided(weights @ values, total if values.ndim == 1 else total[:, None])


def divided(above: NDArray[np.float64], below: Any) -> NDArray[np.float64]:
    """Divide; NaN or infinity where there is nothing to divide by."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(above / below, np.float64)
