"""The ideal observer: what the way in which masses are drawn allows, and no more."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from mammofill.phantom import ideal_auc
from mammofill.phantom.ideal import likelihood_ratio
from mammofill.phantom.lesion import FEATURES, draw_shape


def test_nothing_tells_two_classes_of_one_distribution_apart() -> None:
    assert ideal_auc(0, masses=500) == 0.5


@pytest.mark.parametrize("difference", [0.1, 0.3])
def test_four_independent_features_of_equal_spread_add_up(difference: float) -> None:
    """Without cutting and rounding, four features each d apart give an AUC of Phi(2 d / sqrt(2)), d = difference / 0.3.

    Cutting off and rounding lose a little of that.
    """
    expected = norm.cdf(2 * (difference / 0.3) / np.sqrt(2))
    assert expected - 0.03 < ideal_auc(difference, masses=3000) < expected + 0.01


def test_it_does_better_than_any_one_feature() -> None:
    random = np.random.default_rng(0)
    classes = np.repeat([False, True], 1500)
    shapes = [draw_shape(bool(malignant), 0.3, random) for malignant in classes]
    ideal = roc_auc_score(classes, [likelihood_ratio(shape, 0.3) for shape in shapes])
    for name in FEATURES:
        assert ideal > roc_auc_score(classes, [getattr(shape, name) for shape in shapes]) + 0.05


def test_a_likelihood_ratio_is_one_on_average_over_benign_masses() -> None:
    """Of a true likelihood ratio, the mean over the class in the denominator is 1."""
    random = np.random.default_rng(1)
    ratios = np.exp([likelihood_ratio(draw_shape(False, 0.1, random), 0.1) for _ in range(20_000)])
    assert np.mean(ratios) == pytest.approx(1, abs=5 * np.std(ratios) / np.sqrt(len(ratios)))
    assert np.std(ratios) < 2
