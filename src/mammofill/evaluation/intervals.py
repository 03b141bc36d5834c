"""Intervals that resample patients: patches of one patient are correlated, so patients are drawn, not patches.

The bootstrap over clusters (Field and Welsh, "Bootstrapping clustered data", JRSS B, 2007): as many patients as there
are, drawn with replacement, each with all of its patches. It shows how much the value of one classifier varies with the
patients. How much it varies with training is estimated from replicates, and added (`Replicates`). Where each case
belongs to two patients, as a fill does to one whose tissue and one whose outline it has, both are drawn
(`crossed_spread`).

From the standard error an interval is made with Student's t: quantiles of the resamples themselves (the percentile
interval) are too narrow where patients are few. Simulated studies compare both: docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit, logit

from mammofill.evaluation.metrics import Weights

_AT_ONCE = 250
"""Resamples whose weights are held in memory at once, at most."""
_WEIGHTS_AT_ONCE = 2**22
"""Of all cases together, in these resamples: 32 MB, and about six times that while a measure is taken."""

_NO_ERROR = 1e-9
"""A standard error below it is zero but for rounding."""

Scale = Literal["share", "positive", "difference"]
"""What values are: shares in [0, 1], numbers of at least 0, or differences (and whatever else is unbounded)."""

Statistics = Callable[[Weights], Mapping[str, NDArray[np.float64]]]
"""From weights (r, n) to name -> (r,) values; NaN where a statistic has no value."""


@dataclass(frozen=True)
class Resamples:
    """Resamples of patients, the same ones for whatever is measured on them.

    Attributes:
        names: (p,) the patients, sorted.
        drawn: (r, p) how often each was drawn; of the smallest type that holds it, a byte nearly always.
        patient_of: (n,) which patient each case (patch, lesion) is of.
    """

    names: NDArray[np.str_]
    drawn: NDArray[np.unsignedinteger[Any]]
    patient_of: NDArray[np.int64]

    @classmethod
    def draw(cls, patients: NDArray[np.object_], resamples: int, random: np.random.Generator) -> Resamples:
        """Draw as many patients as there are, with replacement, again and again.

        Args:
            patients: (n,) whose case each is.
            resamples: how often.
            random: where chance comes from.
        """
        names, patient_of = np.unique(patients.astype(str), return_inverse=True)
        shares = np.full(len(names), 1 / len(names))
        parts = []
        for start in range(0, resamples, _AT_ONCE):  # in parts, since they are drawn in eight bytes each
            counts = random.multinomial(len(names), shares, size=min(_AT_ONCE, resamples - start))
            parts.append(counts.astype(np.min_scalar_type(counts.max(initial=0))))
        return cls(names, np.concatenate(parts), patient_of)

    def of_cases(self, patients: NDArray[np.object_]) -> Resamples:
        """Return the same resamples for other cases of the same patients.

        Args:
            patients: (m,) whose case each is.
        """
        return Resamples(self.names, self.drawn, np.searchsorted(self.names, patients.astype(str)))

    def weights(self, first: int | None = None) -> Iterator[Weights]:
        """Yield weights of cases, (some resamples, n) float64, of the first resamples or of all."""
        drawn = self.drawn[:first]
        at_once = min(_AT_ONCE, max(1, _WEIGHTS_AT_ONCE // max(len(self.patient_of), 1)))
        for start in range(0, len(drawn), at_once):
            yield drawn[start : start + at_once, self.patient_of].astype(np.float64)

    def draws(self, statistics: Statistics) -> dict[str, NDArray[np.float64]]:
        """Compute statistics on each resample: name -> (r,); NaN where a statistic has no value."""
        parts = [statistics(weights) for weights in self.weights()]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def crossed_spread(
    statistics: Statistics,
    tissue: NDArray[np.object_],
    outline: NDArray[np.object_],
    resamples: int,
    random: np.random.Generator,
    scale: Scale = "share",
) -> dict[str, Spread]:
    """Return each statistic with its error where every case belongs to two patients at once.

    A fill has the tissue of one patient and the outline of another. Fills of one tissue are correlated, and so are
    fills of one outline: resampling tissue patients alone leaves out the variation between outlines. The variance is
    that over tissue patients plus that over outline donors, less that over pairs of both, which each of the two already
    includes (Cameron, Gelbach and Miller, "Robust inference with multiway clustering", Journal of Business and Economic
    Statistics 29, 2011; Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007, on why drawing both at
    once counts these pairs three times), and never less than either of the first two.

    Args:
        statistics: from weights (r, n) to name -> (r,) values.
        tissue: (n,) patient of the tissue of each case.
        outline: (n,) patient of its outline.
        resamples: how many, of each kind.
        random: where chance comes from.
        scale: what the values are.

    Returns:
        name -> value on the cases as they are, with its error; `Spread.interval` makes an interval of it. There is no
        error (NaN) where a kind has one patient, or where fewer than half of the resamples have a value.
    """
    both = np.array([f"{one}\x1f{other}" for one, other in zip(tissue, outline, strict=True)], dtype=object)
    drawn = [Resamples.draw(one, resamples, random).draws(statistics) for one in (tissue, outline, both)]
    counts = [len(set(one)) for one in (tissue, outline, both)]
    found = {}
    for name, value in statistics(np.ones((1, len(both)))).items():
        alone = [
            Replicates(value, one[name][None, :], count).spread(scale) for one, count in zip(drawn, counts, strict=True)
        ]
        of_tissue, of_outline, of_pairs = (one.over_patients.variance for one in alone)
        variance = np.maximum(of_tissue + of_outline - of_pairs, np.maximum(of_tissue, of_outline))
        left_out = max(one.left_out for one in alone)
        found[name] = Spread(alone[0].value, (), Part(float(variance), min(counts) - 1), left_out, scale)
    return found


@dataclass(frozen=True)
class Part:
    """A part of the variance of a value, and how well it is known.

    Attributes:
        variance: that it adds.
        degrees: of freedom of that figure: replicates or patients, less one.
    """

    variance: float
    degrees: int


@dataclass(frozen=True)
class Spread:
    """A value and its uncertainty: over patients, and over training where there are replicates.

    Replicates differ for two reasons: training made better and worse classifiers, and each errs on other patches. Their
    observed variance is taken as it is, with its own degrees of freedom. The part of it that is due to patches is also
    in the resamples of patients, and is counted once (`in_both`), as by Obuchowski and Rockette (see `Replicates`) and
    Hillis ("A comparison of denominator degrees of freedom methods for multiple observer ROC analysis", Statistics in
    Medicine 26, 2007). Subtracting that part from the variance between replicates leaves nothing for training where
    three of them happen to agree, and differences that do not exist are "shown" too often.

    The half-width of the interval is the root of the sum of squares of those that Student's t gives for each part
    alone: limits of a sum from the limits of its parts (Howe, "Approximate confidence limits on the mean of X + Y where
    X and Y are two tabled independent random variables", JASA 69, 1974; Zou and Donner, "Construction of confidence
    limits about effect measures: a general approach", Statistics in Medicine 27, 2008). With training alone, or
    patients alone, that is Student's interval. One t with Satterthwaite's degrees of freedom for the whole, as Hillis
    uses for readers who are all alike, is too narrow where infillers differ much more than what they are compared with:
    the fewer degrees of freedom a part has, the more often it is underestimated. No interval is narrower than that over
    patients alone. For simulations of all these methods see docs/statistics.md.

    Attributes:
        value: mean over the replicates.
        over_training: of each group that the value is made of and that has several replicates: the variance of their
            mean, from how much they differ.
        over_patients: variance over resamples of patients; NaN where it cannot be computed.
        left_out: resamples in which it had no value.
        scale: what kind of value it is.
        in_both: variance that is in `over_training` and in `over_patients`: the choice of test patches makes replicates
            differ, too.
    """

    value: float
    over_training: tuple[Part, ...]
    over_patients: Part
    left_out: int
    scale: Scale
    in_both: float = 0.0

    @property
    def error(self) -> float:
        """Standard error, never less than that over patients alone; NaN where it cannot be computed."""
        return math.sqrt(max(sum(part.variance for part in self._parts), self.over_patients.variance))

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the interval; (NaN, NaN) where it cannot be computed."""
        if not math.isfinite(self.error):
            return math.nan, math.nan
        if self.error == 0 and self.scale == "share" and self.value in (0.0, 1.0):
            return self._interval_at_the_end(confidence)
        reach = self.reach((1 - confidence) / 2)
        if self.scale == "difference" or self.error == 0:
            return self.value - reach, self.value + reach
        if self.scale == "positive":
            return self.value * math.exp(-reach / self.value), self.value * math.exp(reach / self.value)
        inside = min(max(self.value, 1e-6), 1 - 1e-6)
        odds, reach = float(logit(inside)), reach / (inside * (1 - inside))
        return float(expit(odds - reach)), float(expit(odds + reach))

    def reach(self, tail: float) -> float:
        """Return how far beyond the true value this one lies by chance in a share `tail` of studies, at most 0.5."""
        squares = [part.variance * float(stats.t.isf(tail, part.degrees)) ** 2 for part in self._parts]
        over_patients = self.over_patients
        of_patients = over_patients.variance * float(stats.t.isf(tail, over_patients.degrees)) ** 2
        return math.sqrt(max(sum(squares), of_patients))

    def p_of_zero(self) -> float:
        """Return the two-sided p of a difference this far from zero, were there none; NaN without an error."""
        return 2 * self._tail(abs(self.value))

    def p_at_most(self, bound: float) -> float:
        """Return the one-sided p of a value this far above a bound, were the true one at most that; NaN without error.

        With minus the margin of a plan as the bound it is the test of non-inferiority.
        """
        return self._one_sided(self.value - bound)

    def p_at_least(self, bound: float) -> float:
        """Return the one-sided p of a value this far below a bound, were the true one at least that."""
        return self._one_sided(bound - self.value)

    def smallest_shown(self, error_rate: float, power: float) -> float:
        """Return the smallest true difference that would be shown in a share `power` of such studies.

        The reach of the test plus that of the power, which is the sample-size formula solved for the difference (Chow
        et al., "Sample size calculations in clinical research", section 3.2), (t[1 - error_rate / 2] + t[power]) *
        error.

        Args:
            error_rate: two-sided, of the test.
            power: share of studies, at least 0.5.
        """
        return self.reach(error_rate / 2) + self.reach(1 - power)

    def of_training(self, share: float) -> Spread:
        """Return the same value with a share of its variance over training: all else of that cancels."""
        parts = tuple(Part(share * part.variance, part.degrees) for part in self.over_training)
        return replace(self, over_training=parts, in_both=share * self.in_both)

    @property
    def without_error(self) -> Spread:
        """The same value without a standard error: it gets no interval and no test."""
        return replace(self, over_patients=Part(math.nan, self.over_patients.degrees))

    @property
    def _parts(self) -> tuple[Part, ...]:
        """The parts that are added up, no variance twice."""
        of_patients = self.over_patients.variance
        # Both are estimates. Where the part is found larger than the whole, nothing is left of it.
        rest = max(of_patients - self.in_both, 0.0) if math.isfinite(of_patients) else math.nan
        return (*self.over_training, Part(rest, self.over_patients.degrees))

    def _one_sided(self, distance: float) -> float:
        tail = self._tail(abs(distance))
        return tail if distance >= 0 else 1 - tail

    def _tail(self, distance: float) -> float:
        """Return the share of studies in which a value lies at least this far beyond the true one, at most 0.5."""
        if not math.isfinite(self.error):
            return math.nan
        if self.error == 0 or distance == 0:
            return 0.0 if distance else 0.5
        least = 1e-12
        if self.reach(least) <= distance:
            return least
        return float(brentq(lambda tail: self.reach(tail) - distance, least, 0.5, xtol=1e-14))

    def _interval_at_the_end(self, confidence: float) -> tuple[float, float]:
        """All patients gave 0 (or 1): what the share could be (Clopper and Pearson, 1934), one case per patient."""
        reach = 1 - ((1 - confidence) / 2) ** (1 / (self.over_patients.degrees + 1))
        return (0.0, reach) if self.value == 0 else (1 - reach, 1.0)


@dataclass(frozen=True)
class Replicates:
    """One measure of one group, for each of its replicates.

    A replicate is a whole chain of training: infiller, fills, classifier. Classifiers of one infiller are averaged
    first: the variance between the means of infillers includes that of infillers and that of classifiers within them,
    each with its right weight, as in the analysis of variance of nested factors (Searle, Casella and McCulloch,
    "Variance components", 1992, section 5.5). Where there is no infiller, each classifier is a replicate.

    The error follows Obuchowski and Rockette (Communications in Statistics, Simulation and Computation 24, 1995), who
    compare tests read by several readers, each of one test only: a replicate is a reader. Their covariances are taken
    here from resamples of patients. To resample replicates as well would count three times what patches and training do
    together (Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007). Each group has the variance that
    its own replicates show: seeds of a GAN may vary where pasting does not.

    Where classifiers learned from several training sets that have no patient in common, who is in these varies at
    random, too, and in the same way for both groups of a comparison: a difference is taken within each training set
    first, and its variance is that between training sets, as in a design that is paired (Cochran and Cox, "Experimental
    designs", 1957, chapter 4). Infillers that painted for each of these training sets are crossed with them: the
    variance between their means over all training sets is added. What training sets and infillers do together is in
    both, which is on the safe side.

    Some classifiers of two groups may be the very same ones, as where validation allowed no fills to one of them. What
    they vary by cancels, and is not counted: the variance over training is that of the classifiers that both groups do
    not share, in proportion to their number, and at least that between differences of classifiers of the same seed.
    These differences alone would do if there were many; a few of which most are 0 show too little of how the others
    vary (docs/statistics.md has the simulation).

    Attributes:
        values: (k,) on the test set as it is, one per replicate.
        draws: (k, r) the same on each resample of patients.
        patients: whose number limits what the resamples can say: of the class that has fewer, for most measures.
        training_sets: (k,) names of what each learned from; none where all learned from the same patients.
        infillers: (k,) names of those behind each; given where training sets are.
        classifiers: the same of each classifier, before those of one infiller are averaged; None where not given.
    """

    values: NDArray[np.float64]
    draws: NDArray[np.float64]
    patients: int
    training_sets: tuple[str, ...] = ()
    infillers: tuple[str, ...] = ()
    classifiers: Replicates | None = None

    @property
    def value(self) -> float:
        """Mean over the replicates, of each training set first."""
        return float(self._factors[0].values.mean())

    def spread(self, scale: Scale = "share") -> Spread:
        """Return the mean over replicates, with its error over patients and training."""
        return self._spread(self.value, self._mean_draws, self._factors, scale)

    def minus(self, other: Replicates, shared: float = 0.0) -> Spread:
        """Return how much greater this group is than another, on the same resamples of patients.

        Where all resamples and replicates give one and the same difference, as of two groups that make no mistake,
        there is no error: that no resample of a few patients changes it does not mean that other patients would not.

        Args:
            other: group.
            shared: share of the classifiers that are the very same ones in both groups, which then have as many, in
                the same order.
        """
        draws = self._mean_draws - other._mean_draws
        factors = (*self._factors, *other._factors)
        if self.is_paired_with(other):
            own, others = (one._means(one.training_sets) for one in (self, other))
            within = Replicates(own.values - others.values, own.draws - others.draws, self.patients)
            factors = (within, *self._crossed, *other._crossed)
        spread = self._spread(self.value - other.value, draws, factors, "difference")
        if shared:
            by_seed = self._spread(spread.value, draws, self._of_same_seeds(other)._factors, "difference")
            spread = max(by_seed, spread.of_training(1 - shared), key=lambda one: one.error)
        return spread.without_error if spread.error < _NO_ERROR else spread

    def is_paired_with(self, other: Replicates) -> bool:
        """Whether both groups learned from the same training sets, of which there are several."""
        return bool(self.training_sets) and set(self.training_sets) == set(other.training_sets)

    def simulated(self, random: np.random.Generator) -> NDArray[np.float64]:
        """Return values as other patients and other training would give them, (r,)."""
        mean = self._mean_draws
        for factor in self._factors:
            if len(factor.values) > 1:
                seen, of_patches = factor.over_training()
                # These draws include the effect of patches. Where replicates differ by less than that, nothing is
                # added.
                extra_sd = math.sqrt(max(seen.variance - of_patches, 0.0))
                mean = mean + random.standard_normal(len(mean)) * extra_sd
        return mean

    def over_training(self) -> tuple[Part, float]:
        """Return the variance of the mean, from the variance of replicates, and the part of it that is due to patches.

        Replicates differ for two reasons: training made better and worse classifiers, and each errs on other patches,
        which a larger test set would even out. The second is also known from the resamples of patients: the variance of
        a replicate less the covariance of two.
        """
        count = len(self.values)
        covariance = np.cov(self.draws[:, np.isfinite(self.draws).all(axis=0)])
        own = float(np.trace(covariance)) / count
        shared = (float(covariance.sum()) - own * count) / (count * (count - 1))
        of_patches = max((own - shared) * self._correction, 0.0)
        return Part(float(self.values.var(ddof=1)) / count, count - 1), of_patches / count

    @property
    def _mean_draws(self) -> NDArray[np.float64]:
        """(r,) the value on each resample of patients."""
        means: NDArray[np.float64] = self._factors[0].draws.mean(axis=0)
        return means

    @property
    def _factors(self) -> tuple[Replicates, ...]:
        """What varies, each level averaged over all else: replicates, or training sets and infillers across them."""
        return (self._means(self.training_sets), *self._crossed) if self.training_sets else (self,)

    @property
    def _crossed(self) -> tuple[Replicates, ...]:
        """The means of infillers over the training sets for which each painted; none where each knows one of them."""
        names = set(self.infillers)
        pairs = set(zip(self.training_sets, self.infillers, strict=True)) if self.training_sets else set()
        return (self._means(self.infillers),) if len(names) > 1 and len(pairs) > len(names) else ()

    def _of_same_seeds(self, other: Replicates) -> Replicates:
        """Return the differences between classifiers of the same seed, as replicates of whichever has infillers."""
        own, others = self.classifiers, other.classifiers
        assert own is not None
        assert others is not None
        return by_chain(
            own.values - others.values,
            own.draws - others.draws,
            own.infillers if any(own.infillers) else others.infillers,
            self.patients,
            own.training_sets if set(own.training_sets) == set(others.training_sets) else (),
        )

    def _means(self, names: Sequence[str]) -> Replicates:
        """Average the replicates of one name, in the order of the names."""
        places = [[place for place, one in enumerate(names) if one == name] for name in sorted(set(names))]
        values = np.array([self.values[some].mean() for some in places])
        return Replicates(values, np.stack([self.draws[some].mean(axis=0) for some in places]), self.patients)

    @property
    def _correction(self) -> float:
        """A variance over resamples of m patients is (m - 1) / m of what it should be."""
        return self.patients / (self.patients - 1) if self.patients > 1 else math.nan

    def _spread(self, value: float, draws: NDArray[np.float64], groups: Sequence[Replicates], scale: Scale) -> Spread:
        finite = draws[np.isfinite(draws)]
        enough = self.patients > 1 and len(finite) >= len(draws) / 2 and math.isfinite(value)
        over_patients = float(finite.var(ddof=1)) * self._correction if enough else math.nan
        seen = [group.over_training() for group in groups if enough and len(group.values) > 1]
        return Spread(
            value=value,
            over_training=tuple(part for part, _ in seen),
            over_patients=Part(over_patients, self.patients - 1),
            left_out=len(draws) - len(finite),
            scale=scale,
            in_both=sum(of_patches for _, of_patches in seen),
        )


def by_chain(
    values: Sequence[float] | NDArray[np.float64],
    draws: Sequence[NDArray[np.float64]] | NDArray[np.float64],
    infillers: Sequence[str],
    patients: int,
    training_sets: Sequence[str] = (),
) -> Replicates:
    """Make replicates of the classifiers of a group: those of one infiller, and one training set, are averaged.

    A group of one infiller has its classifiers as replicates, which then show only the variation between classifiers;
    the caller must say that variation between infillers is left out.

    Args:
        values: on the test set as it is, one per classifier.
        draws: (r,) the same on each resample of patients.
        infillers: which infiller stands behind each classifier; empty for none.
        patients: see `Replicates`.
        training_sets: the training set of each, where there are several with no patient in common.
    """
    apart = len(set(training_sets)) > 1
    several = apart or len(set(infillers) - {""}) > 1
    sets = tuple(training_sets) if apart else ("",) * len(values)
    places: dict[tuple[str, object], list[int]] = {}
    for place, (known, infiller) in enumerate(zip(sets, infillers, strict=True)):
        places.setdefault((known, (infiller or (0 if apart else place)) if several else place), []).append(place)
    first = [some[0] for some in places.values()]
    return Replicates(
        np.array([np.mean([values[place] for place in some]) for some in places.values()]),
        np.stack([np.mean([draws[place] for place in some], axis=0) for some in places.values()]),
        patients,
        tuple(sets[place] for place in first) if apart else (),
        tuple(infillers[place] for place in first) if apart else (),
        Replicates(np.array(values), np.array(draws), patients, tuple(training_sets), tuple(infillers)),
    )


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
    if name.startswith("calibration_"):
        return "difference"
    return "positive" if name == "nll" else "share"
