"""Measures against scikit-learn and by hand; intervals that resample patients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    recall_score,
    roc_auc_score,
)
from sklearn.metrics import roc_curve as sklearn_roc_curve

from mammofill.evaluation.intervals import Replicates, Resamples
from mammofill.evaluation.metrics import AT_THRESHOLD, is_measure, measure, roc_curve, weighted_auc

ONES = np.ones((1, 1))


@pytest.mark.parametrize(
    ("benign", "malignant", "area"),
    [
        ([0.0], [1.0], 1.0),
        ([1.0], [0.0], 0.0),
        ([0.5], [0.5], 0.5),
        ([0.0, 1.0], [1.0], 0.75),
        ([0.0, 1.0, 2.0], [1.0, 3.0], (1.5 + 3) / 6),
        ([-40.0, -39.0], [-38.5], 1.0),
    ],
    ids=["apart", "the wrong way round", "tied", "half tied", "mixed", "so small that float32 would tie"],
)
def test_auc_by_hand(benign: list[float], malignant: list[float], area: float) -> None:
    truth = np.array([False] * len(benign) + [True] * len(malignant))
    logits = np.array(benign + malignant)
    assert weighted_auc(truth, logits, np.ones((1, len(truth))))[0] == pytest.approx(area)


scored = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=30).filter(
    lambda rows: len({truth for truth, _ in rows}) == 2
)


CALLED = ("auc", *AT_THRESHOLD)


@given(scored)
def test_measures_equal_those_of_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    truth = np.array([row[0] for row in rows])
    logits = np.array([row[1] for row in rows], float)
    called = logits >= 1
    found = {name: value[0] for name, value in measure(CALLED, truth, logits, 1.0, np.ones((1, len(rows)))).items()}
    assert found["auc"] == pytest.approx(roc_auc_score(truth, logits))
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, called))
    assert found["recall"] == pytest.approx(recall_score(truth, called))
    assert found["specificity"] == pytest.approx(recall_score(~truth, ~called))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, called))


ALL = ("auc", "pr_auc", "accuracy", "balanced_accuracy", "recall", "specificity", "recall_at_specificity_0.8",
       "specificity_at_recall_0.9", "brier", "ece", "nll")  # fmt: skip


@given(scored)
def test_measures_of_scores_equal_those_of_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    truth = np.array([row[0] for row in rows])
    logits = np.array([row[1] for row in rows], float)
    found = {name: value[0] for name, value in measure(ALL, truth, logits, 1.0, np.ones((1, len(rows)))).items()}
    probability = 1 / (1 + np.exp(-logits))
    assert found["pr_auc"] == pytest.approx(average_precision_score(truth, logits))
    assert found["brier"] == pytest.approx(brier_score_loss(truth, probability))
    assert found["nll"] == pytest.approx(log_loss(truth, probability))
    alarm, recall, _ = sklearn_roc_curve(truth, logits, drop_intermediate=False)
    assert found["recall_at_specificity_0.8"] == pytest.approx(recall[alarm <= 0.2 + 1e-9].max())
    assert found["specificity_at_recall_0.9"] == pytest.approx(1 - alarm[recall >= 0.9 - 1e-9].min())
    assert found["recall"] == pytest.approx(recall_score(truth, logits >= 1))


@given(scored)
def test_calibration_error_by_brute_force(rows: list[tuple[bool, int]]) -> None:
    truth = np.array([row[0] for row in rows])
    logits = np.array([row[1] for row in rows], float)
    probability = 1 / (1 + np.exp(-logits))
    error = 0.0
    for low in np.arange(10) / 10:
        inside = (probability >= low) & (probability < low + 0.1)
        if inside.any():
            error += inside.mean() * abs(probability[inside].mean() - truth[inside].mean())
    found = measure(("ece",), truth, logits, 0.0, np.ones((1, len(rows))))
    assert found["ece"][0] == pytest.approx(error)


@given(scored, st.integers(0, 1000))
def test_a_weight_is_the_same_as_copies_in_every_measure(rows: list[tuple[bool, int]], seed: int) -> None:
    truth = np.array([row[0] for row in rows])
    logits = np.array([row[1] for row in rows], float)
    copies = np.random.default_rng(seed).integers(1, 4, len(rows))
    weighted = measure(ALL, truth, logits, 0.5, copies[None, :].astype(float))
    copied = measure(ALL, truth.repeat(copies), logits.repeat(copies), 0.5, np.ones((1, int(copies.sum()))))
    for name, value in weighted.items():
        assert value[0] == pytest.approx(copied[name][0]), name


def test_a_patch_of_no_weight_is_as_good_as_absent() -> None:
    truth, logits = np.array([True, False, True, False, True]), np.array([0.3, 0.1, -2.0, 2.0, 1.0])
    weighted = measure(ALL, truth, logits, 0.2, np.array([[1.0, 1.0, 0.0, 1.0, 1.0]]))
    absent = measure(ALL, np.delete(truth, 2), np.delete(logits, 2), 0.2, np.ones((1, 4)))
    for name, value in weighted.items():
        assert value[0] == pytest.approx(absent[name][0]), name


@pytest.mark.parametrize("name", ALL)
def test_a_measure_without_the_class_that_it_needs_has_no_value(name: str) -> None:
    truth, logits = np.array([True, False, True]), np.array([1.0, 0.0, 0.5])
    benign_only, malignant_only = measure((name,), truth, logits, 0.2, np.array([[0.0, 1, 0], [1, 0, 1]]))[name]
    assert np.isnan(benign_only) == (name not in ("accuracy", "specificity", "brier", "ece", "nll"))
    assert np.isnan(malignant_only) == (name not in ("accuracy", "recall", "brier", "ece", "nll"))


@pytest.mark.parametrize(
    ("name", "known"),
    [("auc", True), ("recall_at_specificity_0.95", True), ("recall_at_specificity_0.0", False),
     ("recall_at_specificity_1", False), ("f1", False), ("recall_at_recall_0.9", False)],
)  # fmt: skip
def test_names_of_measures(name: str, known: bool) -> None:
    assert is_measure(name) == known


@given(scored, st.integers(0, 1000))
def test_a_weight_is_the_same_as_copies(rows: list[tuple[bool, int]], seed: int) -> None:
    truth = np.array([row[0] for row in rows])
    logits = np.array([row[1] for row in rows], float)
    copies = np.random.default_rng(seed).integers(1, 4, len(rows))
    weighted = measure(CALLED, truth, logits, 1.0, copies[None, :].astype(float))
    copied = measure(CALLED, truth.repeat(copies), logits.repeat(copies), 1.0, np.ones((1, int(copies.sum()))))
    for name, value in weighted.items():
        assert value[0] == pytest.approx(copied[name][0])


def test_a_class_without_weight_has_no_value() -> None:
    truth, logits = np.array([True, False]), np.array([1.0, 0.0])
    found = measure(CALLED, truth, logits, 0.5, np.array([[1.0, 0.0]]))
    assert np.isnan(found["auc"][0])
    assert np.isnan(found["specificity"][0])
    assert found["recall"][0] == 1


def test_the_papers_rows_follow_from_their_counts() -> None:
    """160 of 260 malignant and 555 of 679 benign give the paper's last row; its "AUC" is the balanced accuracy."""
    truth = np.array([True] * 260 + [False] * 679)
    called = np.array([True] * 160 + [False] * 100 + [False] * 555 + [True] * 124)
    found = measure(CALLED, truth, called.astype(float), 0.5, np.ones((1, 939)))
    assert found["accuracy"][0] == pytest.approx(0.76145, abs=5e-6)
    assert found["recall"][0] == pytest.approx(0.61538, abs=5e-6)
    assert found["balanced_accuracy"][0] == pytest.approx(0.71638, abs=5e-6)


def test_patches_of_one_patient_are_drawn_together() -> None:
    patients = np.array(["a", "a", "b", "c", "c", "c"], object)
    weights = np.concatenate(list(Resamples.draw(patients, 600, np.random.default_rng(0)).weights()))
    assert weights.shape == (600, 6)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3:] == weights[:, 3:4]).all()
    assert (weights[:, 0] + weights[:, 2] + weights[:, 3] == 3).all()


def interval_of_accuracy(patients: list[str], right: list[bool], resamples: int = 2000) -> tuple[float, float]:
    correct, drawn = (
        np.array(right, float),
        Resamples.draw(np.array(patients, object), resamples, np.random.default_rng(0)),
    )
    draws = drawn.draws(lambda weights: {"accuracy": weights @ correct / weights.sum(axis=1)})["accuracy"]
    return Replicates(np.array([correct.mean()]), draws[None, :], len(set(patients))).spread().interval(0.95)


def test_intervals_are_wider_where_patches_share_a_patient() -> None:
    right = [k % 2 == 0 for k in range(40)]
    alone = interval_of_accuracy([f"p{k}" for k in range(40)], right)
    twins = interval_of_accuracy([f"p{k // 10 * 2 + k % 2}" for k in range(40)], right)
    assert twins[1] - twins[0] > 1.5 * (alone[1] - alone[0])


def test_the_interval_of_a_share_is_near_the_binomial_one() -> None:
    low, high = interval_of_accuracy([str(k) for k in range(400)], [k % 4 != 0 for k in range(400)])
    half = 1.96 * (0.75 * 0.25 / 400) ** 0.5
    assert low == pytest.approx(0.75 - half, abs=0.01)
    assert high == pytest.approx(0.75 + half, abs=0.01)


def test_one_patient_has_no_interval() -> None:
    assert np.isnan(interval_of_accuracy(["a"] * 9, [True] * 4 + [False] * 5)).all()


def test_the_curve_begins_and_ends_in_its_corners() -> None:
    false_positive, true_positive = roc_curve(np.array([False, True, False, True]), np.array([0.0, 1.0, 2.0, 3.0]))
    assert (false_positive[0], true_positive[0], false_positive[-1], true_positive[-1]) == (0, 0, 1, 1)
