"""Intervals that resample patients: patches of one patient are alike, so it is patients that are drawn, not patches.

The percentile bootstrap over clusters (Field and Welsh, "Bootstrapping clustered data", JRSS B, 2007): as many
patients as there are, drawn with replacement, each with all of its patches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from mammofill.evaluation.metrics import Weights

_AT_ONCE = 250
"""Resamples whose weights are held in memory at once."""


def patient_weights(patients: NDArray[np.object_], resamples: int, random: np.random.Generator) -> Iterator[Weights]:
    """Draw resamples of patients and yield them as weights of patches, some at a time.

    Args:
        patients: (n,) whose patch each is.
        resamples: how many in all.
        random: where chance comes from.

    Yields:
        (r, n) float64: how often each patch's patient was drawn.
    """
    names, patient_of = np.unique(patients.astype(str), return_inverse=True)
    shares = np.full(len(names), 1 / len(names))
    for start in range(0, resamples, _AT_ONCE):
        drawn = random.multinomial(len(names), shares, size=min(_AT_ONCE, resamples - start))
        yield drawn[:, patient_of].astype(np.float64)


def bootstrap_interval(
    statistics: Callable[[Weights], dict[str, NDArray[np.float64]]],
    patients: NDArray[np.object_],
    resamples: int,
    confidence: float,
    random: np.random.Generator,
) -> dict[str, tuple[float, float]]:
    """Return the interval of each statistic over resamples of patients.

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
    values: dict[str, list[NDArray[np.float64]]] = {}
    for weights in patient_weights(patients, resamples, random):
        for name, found in statistics(weights).items():
            values.setdefault(name, []).append(found)
    one_patient = len(set(patients)) < 2
    intervals = {}
    for name, parts in values.items():
        joined = np.concatenate(parts)
        finite = joined[np.isfinite(joined)]
        if one_patient or len(finite) < resamples / 2:
            intervals[name] = (float("nan"), float("nan"))
            continue
        low, high = np.quantile(finite, [(1 - confidence) / 2, (1 + confidence) / 2])
        intervals[name] = (float(low), float(high))
    return intervals
