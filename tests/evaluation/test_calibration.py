"""The temperature against a grid and what is known; the table of reliability."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from mammofill.evaluation.calibration import fit_temperature, is_at_bound, reliability


def likelihood(truth: np.ndarray, logits: np.ndarray) -> float:
    return float(np.logaddexp(0, np.where(truth, -logits, logits)).mean())


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_of_overconfident_scores_is_found(temperature: float) -> None:
    random = np.random.default_rng(1)
    odds = random.normal(0, 1.5, 40_000)
    truth = random.random(len(odds)) < expit(odds)
    assert fit_temperature(truth, odds * temperature) == pytest.approx(temperature, rel=0.03)


def test_no_temperature_on_a_grid_is_more_likely() -> None:
    random = np.random.default_rng(2)
    logits, truth = random.normal(0, 4, 60), random.random(60) < 0.5
    logits += truth * 2
    found = likelihood(truth, logits / fit_temperature(truth, logits))
    assert all(found <= likelihood(truth, logits / tried) + 1e-12 for tried in np.geomspace(0.01, 100, 2001))


@pytest.mark.parametrize(("sign", "bound"), [(1, 0.01), (-1, 100.0)], ids=["separated", "the wrong way round"])
def test_scores_that_no_temperature_fits_end_at_a_bound(sign: int, bound: float) -> None:
    truth = np.array([True, True, False, False])
    found = fit_temperature(truth, sign * np.array([2.0, 3.0, -1.0, -2.0]))
    assert found == pytest.approx(bound)
    assert is_at_bound(found)
    assert not is_at_bound(1.0)


def test_reliability_by_hand() -> None:
    truth = np.array([True, False, True, True])
    probability = np.array([0.05, 0.05, 0.95, 1.0])
    table = reliability(truth, np.array([*np.log(probability[:3] / (1 - probability[:3])), 40.0]), None)
    assert len(table) == 10
    filled = table[table["patches"] > 0]
    assert filled["patches"].tolist() == [2, 2]
    np.testing.assert_allclose(filled["bin_low"], [0.0, 0.9])
    np.testing.assert_allclose(filled["mean_score"], [0.05, 0.975])
    np.testing.assert_allclose(filled["malignant_share"], [0.5, 1.0])
    assert table.loc[table["patches"] == 0, "mean_score"].isna().all()
