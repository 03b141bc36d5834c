"""Intervals that resample patients: patches of one patient are alike, so it is patients that are drawn, not patches.

The bootstrap over clusters (Field and Welsh, "Bootstrapping clustered data", JRSS B, 2007): as many patients as there
are, drawn with replacement, each with all of its patches. It says how far the value of one classifier moves with the
patients. How far it moves with the training seed is seen from replicates, and joined to it (`Replicates`).

From the standard error an interval is made with Student's t, on the log-odds scale for a measure that lies in [0, 1]:
quantiles of the resamples themselves (the percentile interval) are too narrow where patients are few. Simulated studies
compare both: docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit, logit

from mammofill.evaluation.metrics import Weights

_AT_ONCE = 250
"""Resamples whose weights are held in memory at once."""

Scale = Literal["share", "positive", "difference"]
"""What values are: shares in [0, 1], numbers of at least 0, or differences."""


@dataclass(frozen=True)
class Resamples:
    """Resamples of patients, the same ones for whatever is measured on these patches.

    Attributes:
        drawn: (r, patients) how often each patient was drawn.
        patient_of: (n,) which patient each patch is of.
    """

    drawn: NDArray[np.int64]
    patient_of: NDArray[np.int64]

    @classmethod
    def draw(cls, patients: NDArray[np.object_], resamples: int, random: np.random.Generator) -> Resamples:
        """Draw as many patients as there are, with replacement, again and again.

        Args:
            patients: (n,) whose patch each is.
            resamples: how often.
            random: where chance comes from.
        """
        names, patient_of = np.unique(patients.astype(str), return_inverse=True)
        drawn = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
        return cls(drawn, patient_of)

    def weights(self, first: int | None = None) -> Iterator[Weights]:
        """Yield weights of patches, (some resamples, n) float64, of the first resamples or of all."""
        drawn = self.drawn[:first]
        for start in range(0, len(drawn), _AT_ONCE):
            yield drawn[start : start + _AT_ONCE, self.patient_of].astype(np.float64)

    def draws(
        self, statistics: Callable[[Weights], Mapping[str, NDArray[np.float64]]]
    ) -> dict[str, NDArray[np.float64]]:
        """Compute statistics on each resample: name -> (r,); NaN where a statistic has no value."""
        parts = [statistics(weights) for weights in self.weights()]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def patient_weights(patients: NDArray[np.object_], resamples: int, random: np.random.Generator) -> Iterator[Weights]:
    """Draw resamples of patients and yield them as weights of patches, some at a time.

    Args:
        patients: (n,) whose patch each is.
        resamples: how many in all.
        random: where chance comes from.

    Yields:
        (r, n) float64: how often each patch's patient was drawn.
    """
    yield from Resamples.draw(patients, resamples, random).weights()


def bootstrap_interval(
    statistics: Callable[[Weights], dict[str, NDArray[np.float64]]],
    patients: NDArray[np.object_],
    resamples: int,
    confidence: float,
    random: np.random.Generator,
) -> dict[str, tuple[float, float]]:
    """Return the percentile interval of each statistic over resamples of patients.

    For statistics of any kind. Measures of classifiers have `Spread`, whose intervals hold with fewer patients.

    A resample in which a statistic has no value (no patient of one class was drawn) is left out for that statistic.
    With one patient, or when fewer than half of the resamples have a value, there is no interval: (NaN, NaN).

    Args:
        statistics: from weights (r, n) to name -> (r,) values.
        patients: (n,) whose patch each is.
        resamples: how many.
        confidence: share of the resamples inside the interval.
        random: where chance comes from.

    Returns:
        name -> (low, high).
    """
    one_patient = len(set(patients)) < 2
    intervals = {}
    for name, found in Resamples.draw(patients, resamples, random).draws(statistics).items():
        finite = found[np.isfinite(found)]
        if one_patient or len(finite) < resamples / 2:
            intervals[name] = (math.nan, math.nan)
            continue
        low, high = np.quantile(finite, [(1 - confidence) / 2, (1 + confidence) / 2])
        intervals[name] = (float(low), float(high))
    return intervals


@dataclass(frozen=True)
class Spread:
    """A value and how far it could be off: over patients, and over training seeds where there are replicates.

    Attributes:
        value: mean over the replicates.
        from_seeds: variance seen between replicates, carried over to this value; 0 where nobody can know it.
        from_patients: variance over resamples of patients, less the part that replicates show already.
        patients: whose number limits what the resamples can say: of the class that has fewer, for most measures.
        seeds_degrees: of freedom behind `from_seeds`; 0 where there are no replicates.
        left_out: resamples in which it had no value.
        scale: what kind of value it is.
    """

    value: float
    from_seeds: float
    from_patients: float
    patients: int
    seeds_degrees: int
    left_out: int
    scale: Scale

    @property
    def error(self) -> float:
        """Standard error; NaN where it cannot be had."""
        return math.sqrt(self.from_seeds + self.from_patients)

    @property
    def degrees(self) -> float:
        """Degrees of freedom of the error (Hillis, Statistics in Medicine 26, 2007; patients not taken for many)."""
        parts = ((self.from_seeds, self.seeds_degrees), (self.from_patients, self.patients - 1))
        noise = sum(part**2 / degrees for part, degrees in parts if degrees > 0)
        return self.error**4 / noise if noise > 0 else float(self.patients - 1)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the interval; (NaN, NaN) where it cannot be had."""
        if not math.isfinite(self.error):
            return math.nan, math.nan
        if self.error == 0 and self.scale == "share" and self.value in (0.0, 1.0):
            return self._interval_at_the_end(confidence)
        reach = float(stats.t.ppf((1 + confidence) / 2, self.degrees)) * self.error
        if self.scale == "difference" or self.error == 0:
            return self.value - reach, self.value + reach
        if self.scale == "positive":
            return self.value * math.exp(-reach / self.value), self.value * math.exp(reach / self.value)
        inside = min(max(self.value, 1e-6), 1 - 1e-6)
        odds, reach = float(logit(inside)), reach / (inside * (1 - inside))
        return float(expit(odds - reach)), float(expit(odds + reach))

    def p_of_zero(self) -> float:
        """Return the two-sided p of a difference this far from zero, were there none; NaN without an error."""
        if not math.isfinite(self.error):
            return math.nan
        if self.error == 0:
            return 1.0 if self.value == 0 else 0.0
        return float(2 * stats.t.sf(abs(self.value) / self.error, self.degrees))

    def smallest_shown(self, error_rate: float, power: float) -> float:
        """Return the smallest true difference that would be shown in a share `power` of such studies.

        (t[1 - error_rate / 2] + t[power]) * error, the formula of sample size turned round (Chow et al., "Sample size
        calculations in clinical research", section 3.2); with many patients and seeds t is the normal quantile.

        Args:
            error_rate: two-sided, of the test.
            power: share of studies.
        """
        quantiles = stats.t.ppf([1 - error_rate / 2, power], self.degrees)
        return float(quantiles.sum() * self.error)

    def _interval_at_the_end(self, confidence: float) -> tuple[float, float]:
        """All patients gave 0 (or 1): what the share could be (Clopper and Pearson, 1934), one case per patient."""
        reach = 1 - ((1 - confidence) / 2) ** (1 / self.patients)
        return (0.0, reach) if self.value == 0 else (1 - reach, 1.0)


@dataclass(frozen=True)
class Seeds:
    """How replicates differ on one test set, taken together over all groups that have several.

    Replicates differ for two reasons: their seeds made better and worse classifiers, and each errs on other patches,
    which a larger test set would even out. The second is known from the resamples of patients, too (variance of a
    replicate less covariance of two of them), and must not count twice.

    Attributes:
        variance: between replicates of a group.
        of_patches: the part of it that comes from the patches being these.
        degrees: of freedom, replicates less groups.
    """

    variance: float
    of_patches: float
    degrees: int


@dataclass(frozen=True)
class Replicates:
    """One measure of one group: classifiers that differ in the training seed alone.

    The error follows Obuchowski and Rockette (Communications in Statistics, Simulation and Computation 24, 1995), who
    compare tests read by several readers, each of one test only: a training seed is a reader. Their covariances are
    taken here from resamples of patients. To resample seeds as well would count three times what patches and seeds do
    together (Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007).

    Attributes:
        values: (k,) on the test set as it is, one per replicate.
        draws: (k, r) the same on each resample of patients.
        patients: see `Spread`.
        seeds: how replicates differ; None where no group has several, and intervals are of patients alone.
    """

    values: NDArray[np.float64]
    draws: NDArray[np.float64]
    patients: int
    seeds: Seeds | None = None

    def spread(self, scale: Scale = "share") -> Spread:
        """Return the mean over replicates, with its error over patients and seeds."""
        return self._spread(float(self.values.mean()), self.draws.mean(axis=0), 1 / len(self.values), scale)

    def minus(self, other: Replicates) -> Spread:
        """Return how much greater this group is than another, on the same resamples of patients."""
        difference = self.draws.mean(axis=0) - other.draws.mean(axis=0)
        share = 1 / len(self.values) + 1 / len(other.values)
        return self._spread(float(self.values.mean() - other.values.mean()), difference, share, "difference")

    def simulated(self, random: np.random.Generator) -> NDArray[np.float64]:
        """Return values as other patients and other seeds would give them, (r,): resampled patients, drawn seeds."""
        mean: NDArray[np.float64] = self.draws.mean(axis=0)
        if self.seeds is None:
            return mean
        excess = max(self.seeds.variance - self.seeds.of_patches, 0.0)
        return mean + random.standard_normal(len(mean)) * math.sqrt(excess / len(self.values))

    def own_seeds(self) -> tuple[float, float]:
        """Return the variance between these replicates, two or more, and the part of it that comes from patches."""
        count = len(self.values)
        covariance = np.cov(self.draws[:, np.isfinite(self.draws).all(axis=0)])
        own = float(np.trace(covariance)) / count
        shared = (float(covariance.sum()) - own * count) / (count * (count - 1))
        return float(self.values.var(ddof=1)), (own - shared) * self._correction

    @property
    def _correction(self) -> float:
        """A variance over resamples of m patients is (m - 1) / m of what it should be."""
        return self.patients / (self.patients - 1) if self.patients > 1 else math.nan

    def _spread(self, value: float, draws: NDArray[np.float64], share: float, scale: Scale) -> Spread:
        """Make a spread; `share` is the part of the variance between replicates that goes into the value."""
        finite = draws[np.isfinite(draws)]
        enough = self.patients > 1 and len(finite) >= len(draws) / 2 and math.isfinite(value)
        over_patients = float(finite.var(ddof=1)) * self._correction if enough else math.nan
        seeds = self.seeds or Seeds(0.0, 0.0, 0)
        return Spread(
            value=value,
            from_seeds=share * seeds.variance,
            from_patients=max(over_patients - share * seeds.of_patches, 0.0) if enough else math.nan,
            patients=self.patients,
            seeds_degrees=seeds.degrees,
            left_out=len(draws) - len(finite),
            scale=scale,
        )


def with_seeds(groups: Sequence[Replicates]) -> list[Replicates]:
    """Tell groups of replicates, all in one measure, how replicates differ: taken together over those with several."""
    several = [(len(one.values) - 1, *one.own_seeds()) for one in groups if len(one.values) > 1]
    several = [one for one in several if math.isfinite(one[1]) and math.isfinite(one[2])]
    if not several:
        return list(groups)
    degrees = sum(count for count, _, _ in several)
    variance, of_patches = (sum(one[0] * one[part] for one in several) / degrees for part in (1, 2))
    return [replace(one, seeds=Seeds(variance, max(of_patches, 0.0), degrees)) for one in groups]


def limiting_patients(name: str, malignant: NDArray[np.bool_], patients: NDArray[np.object_]) -> int:
    """Count the patients on whom a measure rests: those with the class that it needs, or with the rarer class."""
    of_class = {side: len(set(patients[malignant == side])) for side in (True, False)}
    if name in ("recall", "specificity"):
        return of_class[name == "recall"]
    if name in ("accuracy", "brier", "ece", "nll"):
        return len(set(patients))
    return min(of_class.values())


def scale_of(name: str) -> Scale:
    """Return the scale on which the interval of a measure is made."""
    return "positive" if name == "nll" else "share"
