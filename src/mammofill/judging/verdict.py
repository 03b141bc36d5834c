"""Numbers with intervals, what is wanted of them, and what to say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mammofill.evaluation.intervals import bootstrap_interval
from mammofill.evaluation.metrics import Weights, weighted_auc
from mammofill.ground.seeding import stream
from mammofill.judging.settings import JudgeInfillerSettings

VERDICTS = REACHED, NOT_REACHED, CANNOT_BE_JUDGED = "reached", "not reached", "cannot be judged"


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
    """A range that a number has to lie in."""

    least: float = -math.inf
    most: float = math.inf

    def holds(self, value: float) -> bool:
        """Whether a number lies in it."""
        return self.least <= value <= self.most

    def __str__(self) -> str:
        if self.least == self.most:
            return f"= {self.least:g}"
        if math.isfinite(self.least) and math.isfinite(self.most):
            return f"{self.least:g} to {self.most:g}"
        return f">= {self.least:.2f}" if math.isfinite(self.least) else f"<= {self.most:.2f}"


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
    """What holds this very verdict up, or puts it in doubt."""


@dataclass(frozen=True)
class Bench:
    """What all measures share: how intervals are drawn, and what is too few."""

    settings: JudgeInfillerSettings
    seed: int

    def estimate(
        self, statistic: Callable[[Weights], NDArray[np.float64]], patients: NDArray[np.object_], cases: int
    ) -> Estimate:
        """Compute a statistic and its interval over resamples of patients.

        Args:
            statistic: from weights (r, n) to (r,) values.
            patients: (n,) whose each is.
            cases: that it rests on, for the table.
        """
        value = float(statistic(np.ones((1, len(patients))))[0])
        low, high = bootstrap_interval(
            lambda weights: {"value": statistic(weights)},
            patients,
            self.settings.resamples,
            self.settings.confidence,
            stream(self.seed, "intervals"),
        )["value"]
        return Estimate(value, low, high, cases, len(set(patients)))

    def mean(self, values: NDArray[np.float64], patients: NDArray[np.object_]) -> Estimate:
        """Return the mean of values (n,), and its interval; what is not finite is left out."""
        known = np.isfinite(values)
        if not known.any():
            return Estimate(math.nan, math.nan, math.nan, 0, 0)
        return self.estimate(lambda weights: _mean(weights, values[known]), patients[known], int(known.sum()))

    def ratio(self, above: NDArray[np.float64], below: NDArray[np.float64], patients: NDArray[np.object_]) -> Estimate:
        """Return the mean of some values (n,) over the mean of others (n,), and its interval."""
        known = np.isfinite(above) & np.isfinite(below)
        if not known.any():
            return Estimate(math.nan, math.nan, math.nan, 0, 0)

        def statistic(weights: Weights) -> NDArray[np.float64]:
            with np.errstate(invalid="ignore", divide="ignore"):
                share: NDArray[np.float64] = _mean(weights, above[known]) / _mean(weights, below[known])
            return share

        return self.estimate(statistic, patients[known], int(known.sum()))

    def auc(self, positive: NDArray[np.bool_], scores: NDArray[np.float64], patients: NDArray[np.object_]) -> Estimate:
        """Return the area under the ROC curve, and its interval."""
        return self.estimate(lambda weights: weighted_auc(positive, scores, weights), patients, len(scores))

    def too_few(self, patients: int, *counts: int) -> str:
        """Say what is too few for a verdict; empty where there is enough."""
        if min(counts) < self.settings.least_per_class:
            return f"only {min(counts)} of a kind, at least {self.settings.least_per_class} are needed"
        if patients < self.settings.least_patients:
            return f"only {patients} patients, at least {self.settings.least_patients} are needed"
        return ""


def told(criterion: str, measure: str, estimate: Estimate, words: str = "") -> Finding:
    """Make a finding of which nothing is wanted."""
    return Finding(criterion, measure, estimate, words=words)


def judged(
    criterion: str,
    measure: str,
    estimate: Estimate,
    wanted: Wanted,
    words: str,
    hindrance: str = "",
    remark: str = "",
) -> Finding:
    """Make a finding with its verdict.

    Args:
        criterion: which.
        measure: which.
        estimate: the number.
        wanted: where it has to lie.
        words: what the measure is.
        hindrance: why it cannot be judged; empty where it can.
        remark: what else is to be said of this one.

    Returns:
        The finding. The number decides; where its interval crosses the limit, the remark says so.
    """
    if not hindrance and not math.isfinite(estimate.value):
        hindrance = "it has no value here"
    if hindrance:
        return Finding(criterion, measure, estimate, wanted, CANNOT_BE_JUDGED, words, hindrance)
    holds = wanted.holds(estimate.value)
    ends = [end for end in (estimate.low, estimate.high) if math.isfinite(end)]
    if any(wanted.holds(end) != holds for end in ends):
        crossing = "the interval crosses the limit: with other patients it might come out the other way"
        remark = "; ".join(filter(None, (crossing, remark)))
    return Finding(criterion, measure, estimate, wanted, REACHED if holds else NOT_REACHED, words, remark)


def certain(value: float, cases: int, patients: int) -> Estimate:
    """Make an estimate of something that was counted, and has no interval."""
    return Estimate(float(value), math.nan, math.nan, cases, patients)


def _mean(weights: Weights, values: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: NDArray[np.float64] = (weights @ values) / weights.sum(axis=1)
    return mean
