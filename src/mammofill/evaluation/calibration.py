"""Calibration: whether scores agree with observed frequencies, and temperature scaling, which recalibrates them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit

from mammofill.evaluation.metrics import CALIBRATION_BINS, bin_of

RELIABILITY_COLUMNS = {
    "after_temperature": "bool",  # False: the scores as they are; True: of logits divided by the temperature
    "bin_low": "float64",  # of the probabilities in this bin
    "bin_high": "float64",
    "patches": "int64",
    "mean_score": "float64",  # NaN in an empty bin
    "malignant_share": "float64",
}

_LEAST, _GREATEST = 0.01, 100.0


def fit_temperature(malignant: NDArray[np.bool_], logits: NDArray[np.float64]) -> float:
    """Find the temperature T for which sigmoid(logits / T) is most likely (Guo et al., ICML 2017, section 4.2).

    Args:
        malignant: (n,) the truth, with both classes.
        logits: (n,) log-odds, of patches that are not those to be measured.

    Returns:
        T in [0.01, 100]. It lies at 0.01 where the scores separate the classes, and at 100 where they do not separate
        the classes or rank them the wrong way round: then no temperature is best.
    """

    # The likelihood is convex in 1 / T, so that there is one minimum.
    def loss(cold: float) -> float:
        return float(np.logaddexp(0.0, np.where(malignant, -logits, logits) * cold).mean())

    found = minimize_scalar(loss, bounds=(1 / _GREATEST, 1 / _LEAST), method="bounded", options={"xatol": 1e-8})
    candidates = (float(found.x), 1 / _GREATEST, 1 / _LEAST)
    return 1 / min(candidates, key=loss)


def is_at_bound(temperature: float) -> bool:
    """Whether no temperature was best, only the last one that is tried."""
    return math.isclose(temperature, _LEAST, rel_tol=1e-3) or math.isclose(temperature, _GREATEST, rel_tol=1e-3)


def reliability(malignant: NDArray[np.bool_], logits: NDArray[np.float64], temperature: float | None) -> pd.DataFrame:
    """Compare scores with observed frequencies, bin by bin, before and after the temperature.

    Args:
        malignant: (n,) the truth.
        logits: (n,) log-odds.
        temperature: from other patches; None leaves out the second half.

    Returns:
        Columns of `RELIABILITY_COLUMNS`, one row per bin.
    """
    rows = []
    for after, by in ((False, 1.0), (True, temperature)):
        if by is None:
            continue
        probability = expit(logits / by)
        within = bin_of(probability)
        for number in range(CALIBRATION_BINS):
            inside = within == number
            count = int(inside.sum())
            means = (probability[inside].mean(), malignant[inside].mean()) if count else (math.nan, math.nan)
            rows.append((after, number / CALIBRATION_BINS, (number + 1) / CALIBRATION_BINS, count, *means))
    return pd.DataFrame(rows, columns=list(RELIABILITY_COLUMNS)).astype(RELIABILITY_COLUMNS)
