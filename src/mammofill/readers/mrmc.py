"""Multi-reader multi-case analysis of areas under the ROC curve, readers and cases both random.

Sources: Obuchowski and Rockette, Commun. Stat. Simul. Comput. 24:285, 1995; degrees of freedom: Hillis, Stat. Med.
26:596, 2007; one modality, and cases nested in modalities: Hillis, Stat. Med. 33:330, 2014; covariances of areas:
DeLong, DeLong and Clarke-Pearson, Biometrics 44:837, 1988.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mammofill.ground.errors import TooFewError


@dataclass(frozen=True)
class Estimate:
    """A mean area, or a difference, with its interval and test."""

    value: float
    low: float
    """Lower end of the 95 % interval. It, the upper end and p are NaN where nothing varies over readers or cases: if
    all readers are right on a few cases, it does not follow that readers always are."""
    high: float
    standard_error: float
    degrees: float
    """Degrees of freedom."""
    p_value: float
    """Of the null hypothesis: an area of 0.5, or no difference."""


@dataclass(frozen=True)
class Areas:
    """Areas under the curves of J readers on one set of cases, and their covariances.

    Attributes:
        areas: (J,) float64.
        covariance: (J, J) float64, over cases.
    """

    areas: NDArray[np.float64]
    covariance: NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """Two modalities compared; the names are those of the sources.

    Attributes:
        difference: mean area of the second less that of the first.
        f: the F statistic; its degrees of freedom are 1 and `difference.degrees`.
        error: mean variance of one reader's area in one modality.
        cov1: mean covariance of areas of one reader in two modalities.
        cov2: of two readers in one modality.
        cov3: of two readers in two modalities.
    """

    difference: Estimate
    f: float
    error: float
    cov1: float
    cov2: float
    cov3: float


def components(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return the structural components of the areas of J readers (DeLong).

    Args:
        positive: (J, M) ratings of the M positive cases.
        negative: (J, N) ratings of the N negative ones.

    Returns:
        (J, M), for each positive case the share of negative cases rated below it (ties count half); and (J, N), for
        each negative case the share of positive cases rated above it.
    """
    above = positive[:, :, None] - negative[:, None, :]
    wins = (above > 0) + 0.5 * (above == 0)
    return wins.mean(axis=2), wins.mean(axis=1)


def areas_of(ratings: NDArray[np.float64], positive: NDArray[np.bool_]) -> Areas:
    """Measure the areas of J readers who rated the same K cases.

    Args:
        ratings: (J, K).
        positive: (K,) bool, whether the case is positive.

    Raises:
        TooFewError: fewer than two positive or two negative cases.
    """
    count, others = int(positive.sum()), int((~positive).sum())
    if min(count, others) < 2:
        raise TooFewError(f"An area under a curve needs two cases of each class; there are {count} and {others}.")
    of_positive, of_negative = components(ratings[:, positive], ratings[:, ~positive])
    covariance = _covariance(of_positive) / count + _covariance(of_negative) / others
    return Areas(of_positive.mean(axis=1), covariance)


def _covariance(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.atleast_2d(np.asarray(np.cov(parts), np.float64))


def mean_area(found: Areas, against: float = 0.5) -> Estimate:
    """Estimate the mean area of the populations of readers and cases, and test it against `against`.

    Raises:
        TooFewError: there is only one reader.
    """
    readers = len(found.areas)
    _check_readers(readers)
    spread = float(found.areas.var(ddof=1))
    shared = max(_between_readers(found.covariance), 0.0)
    total = spread + readers * shared
    degrees = math.inf if spread == 0 else total**2 / (spread**2 / (readers - 1))
    return _estimate(float(found.areas.mean()), math.sqrt(total / readers), degrees, against)


def compare_modalities(first: Areas, second: Areas, across: NDArray[np.float64] | None = None) -> Comparison:
    """Compare the areas of the same J readers in two modalities.

    Args:
        first: areas in the first modality.
        second: areas in the second.
        across: (J, J) covariances of areas in the first (rows) with areas in the second (columns), where both have the
            same cases; None where each modality has its own cases (cases nested in modalities).

    Raises:
        TooFewError: there is only one reader.
    """
    readers = len(first.areas)
    _check_readers(readers)
    across = np.zeros((readers, readers)) if across is None else across
    table = np.stack([first.areas, second.areas])
    means = table.mean(axis=1)
    residual = table - means[:, None] - table.mean(axis=0) + table.mean()
    treatments = readers * float(((means - table.mean()) ** 2).sum())
    interaction = float((residual**2).sum()) / (readers - 1)
    cov2 = (_between_readers(first.covariance) + _between_readers(second.covariance)) / 2
    cov3 = _between_readers(across)
    total = interaction + readers * max(cov2 - cov3, 0.0)
    degrees = math.inf if interaction == 0 else total**2 / (interaction**2 / (readers - 1))
    difference = _estimate(float(means[1] - means[0]), math.sqrt(2 * total / readers), degrees, 0.0)
    error = float(np.mean([np.diag(one.covariance).mean() for one in (first, second)]))
    f = treatments / total if total else math.inf if treatments else 0.0
    return Comparison(difference, f, error, float(np.diag(across).mean()), cov2, cov3)


def covariance_across(
    first: NDArray[np.float64], second: NDArray[np.float64], positive: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the covariances of areas in two modalities with the same K cases.

    Args:
        first: (J, K) ratings in the first modality.
        second: (J, K) ratings in the second.
        positive: (K,) bool, whether the case is positive.

    Returns:
        (J, J), see `compare_modalities`.
    """
    readers = len(first)
    both = areas_of(np.concatenate([first, second]), positive)
    return both.covariance[:readers, readers:]


def _between_readers(covariance: NDArray[np.float64]) -> float:
    """Return the mean covariance of two readers."""
    readers = len(covariance)
    return float((covariance.sum() - np.trace(covariance)) / (readers * (readers - 1)))


def _check_readers(readers: int) -> None:
    if readers < 2:
        raise TooFewError("Readers can be treated as a sample of all readers only where there are two or more.")


def _estimate(value: float, error: float, degrees: float, against: float) -> Estimate:
    half = float(stats.t.ppf(0.975, degrees)) * error
    if error == 0:
        return Estimate(value, math.nan, math.nan, 0.0, degrees, math.nan)
    p = 2 * float(stats.t.sf(abs(value - against) / error, degrees))
    return Estimate(value, value - half, value + half, error, degrees, p)
