from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from mammofill.classifier.scoring import balanced_accuracy_threshold, probability


@pytest.mark.parametrize(
    ("benign", "malignant", "threshold", "balanced"),
    [
        ([-2, -1], [1, 2], 0.0, 1.0),
        ([-5, -4], [-3, -2], -3.5, 1.0),  # a perfect split away from even odds
        ([-2, 2], [1, 3], 1.5 - 2, 0.75),  # -0.5: all malignant, half of the benign; nearest to even odds
        ([0, 0], [0, 0], 0.0, 0.5),  # nothing to choose from
        ([2], [1], 1.5, 0.0),  # the only threshold between two scores, however bad
    ],
)
def test_threshold_table(benign: list[float], malignant: list[float], threshold: float, balanced: float) -> None:
    odds = np.array([*benign, *malignant], np.float64)
    truth = np.array([False] * len(benign) + [True] * len(malignant))
    assert balanced_accuracy_threshold(odds, truth) == (threshold, balanced)


@given(
    scores=some.lists(some.integers(-20, 20), min_size=2, max_size=30),
    coins=some.lists(some.booleans(), min_size=30, max_size=30),
)
def test_threshold_is_the_best_of_all_cuts(scores: list[int], coins: list[bool]) -> None:
    odds = np.array(scores, np.float64)
    truth = np.array([True, False, *coins])[: len(odds)]

    def balanced_at(cut: float) -> float:
        called = odds >= cut
        return float((called[truth].mean() + (~called)[~truth].mean()) / 2)

    threshold, balanced = balanced_accuracy_threshold(odds, truth)
    assert balanced == pytest.approx(balanced_at(threshold))
    between = (np.unique(odds)[:-1] + np.unique(odds)[1:]) / 2
    assert all(balanced >= balanced_at(cut) - 1e-9 for cut in between)


def test_probability_neither_overflows_nor_loses_its_order() -> None:
    values = probability(np.array([-800.0, -1.0, 0.0, 1.0, 800.0]))
    assert values == pytest.approx([0.0, 0.26894142, 0.5, 0.73105858, 1.0])
