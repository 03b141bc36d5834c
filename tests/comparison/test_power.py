"""The smallest difference that a design can show, before anything runs."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from mammofill.comparison.power import Assumed, Size, smallest_difference, variance_of_auc, what_more_would_buy
from mammofill.ground.errors import SettingsError

SIZE = Size(benign=60, malignant=40, infillers=3, classifiers=2, comparisons=4)


def test_the_variance_of_an_auc_is_that_of_simulated_ones() -> None:
    random = np.random.default_rng(0)
    truth = np.arange(100) < 40
    shift = math.sqrt(2) * stats.norm.ppf(0.75)
    areas = [roc_auc_score(truth, random.normal(size=100) + shift * truth) for _ in range(2000)]
    assert variance_of_auc(0.75, 40, 60) == pytest.approx(np.var(areas), rel=0.15)


def test_without_variation_and_with_many_patients_it_is_the_textbook_formula() -> None:
    size = Size(10_000, 10_000, 3, 1, 1)
    found = smallest_difference(size, Assumed(infiller_sd=0, classifier_sd=0, correlation=0, seed_correlation=1))
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert found == pytest.approx(z * math.sqrt(2 * variance_of_auc(0.75, 10_000, 10_000)), rel=1e-3)


def test_more_of_anything_shows_smaller_differences() -> None:
    told = dict(what_more_would_buy(SIZE, Assumed()))
    planned = told.pop("as planned")
    assert len(told) == 5
    assert all(one < planned for one in told.values())


def test_one_infiller_shows_nothing() -> None:
    assert math.isnan(smallest_difference(replace(SIZE, infillers=1), Assumed()))
    assert math.isnan(smallest_difference(replace(SIZE, malignant=1), Assumed()))


def test_what_cannot_be_assumed_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"Assumed.correlation must be in \[0, 1\), but is 1"):
        Assumed(correlation=1.0)
    with pytest.raises(SettingsError, match=r"Assumed.seed_correlation must be in \[correlation, 1\], here \[0.7, 1\]"):
        Assumed(correlation=0.7)


def test_what_seeds_err_alone_evens_out_over_patients_and_is_known_from_few() -> None:
    """Of the same errors between arms: those of single seeds average out, but are seen between three infillers only."""
    alone = Assumed(infiller_sd=0, classifier_sd=0, correlation=0.5, seed_correlation=0.5)
    of_auc = variance_of_auc(0.75, 40, 60)
    reach = {tail: math.hypot(*(stats.t.isf(tail, of) for of in (2, 5))) for tail in (0.05 / 4 / 2, 0.2)}
    expected = math.sqrt(0.5 * of_auc / 6) * sum(reach.values())
    assert smallest_difference(SIZE, alone) == pytest.approx(expected)
    alike = replace(alone, seed_correlation=1.0)
    tails = stats.t.isf(0.05 / 4 / 2, 39) + stats.t.isf(0.2, 39)
    assert smallest_difference(SIZE, alike) == pytest.approx(math.sqrt(2 * 0.5 * of_auc) * tails)
