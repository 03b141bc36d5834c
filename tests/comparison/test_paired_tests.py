"""DeLong's, Obuchowski's, McNemar's and Holm's against published examples, brute force and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mammofill.comparison.paired_tests import (
    clustered_covariance,
    delong_covariance,
    effect_size,
    holm,
    mcnemar,
    p_of_difference,
)

_OVARIAN = """
    3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1
    3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0
    2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
    3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0
    3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1
    3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1"""
OVARIAN = np.array(_OVARIAN.split(), float).reshape(-1, 4)
"""Albumin, total protein, K-G score, outcome: the worked example of DeLong, DeLong and Clarke-Pearson (Biometrics,
1988), as the manual of SAS/STAT prints it (PROC LOGISTIC, "Comparing Receiver Operating Characteristic Curves")."""


def test_the_published_example_of_delong() -> None:
    """Areas, errors and p of these data; MLstatkit 0.1.91 gives the same areas and p, to all digits."""
    albumin, protein, score, outcome = OVARIAN.T
    auc, covariance = delong_covariance(outcome == 1, np.stack([10 - score, albumin, protein]))
    np.testing.assert_allclose(auc, [0.7258, 0.7366, 0.6478], atol=5e-5)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), [0.1028, 0.0927, 0.1000], atol=5e-5)
    for other, difference, error, p in ((1, 0.0108, 0.0953, 0.9102), (2, -0.0780, 0.1046, 0.4561)):
        pair = np.ix_([0, other], [0, other])
        assert auc[other] - auc[0] == pytest.approx(difference, abs=5e-5)
        found = covariance[0, 0] + covariance[other, other] - 2 * covariance[0, other]
        assert math.sqrt(found) == pytest.approx(error, abs=5e-5)
        assert p_of_difference(auc[[0, other]], covariance[pair]) == pytest.approx(p, abs=5e-5)
    contrast = np.array([[-1, 1, 0], [-1, 0, 1]])
    both = contrast @ auc
    assert both @ np.linalg.solve(contrast @ covariance @ contrast.T, both) == pytest.approx(2.5340, abs=5e-5)


def kernel(malignant: float, benign: float) -> float:
    return float(malignant > benign) + 0.5 * (malignant == benign)


def test_the_covariance_is_that_of_the_u_statistic() -> None:
    """Pair by pair, from the definition: sums over malignant patches, over benign ones, each against all others."""
    random = np.random.default_rng(3)
    truth = random.random(24) < 0.4
    logits = random.integers(-3, 4, (2, 24)) + truth
    positive, negative = np.flatnonzero(truth), np.flatnonzero(~truth)
    auc, expected = [], np.zeros((2, 2))
    deviations = []
    for one in logits:
        wins = np.array([[kernel(one[i], one[j]) for j in negative] for i in positive])
        auc.append(wins.mean())
        deviations.append((wins.mean(axis=1) - wins.mean(), wins.mean(axis=0) - wins.mean()))
    for a in range(2):
        for b in range(2):
            for side, count in ((0, len(positive)), (1, len(negative))):
                expected[a, b] += (deviations[a][side] * deviations[b][side]).sum() / (count - 1) / count
    found_auc, found = delong_covariance(truth, logits.astype(float))
    np.testing.assert_allclose(found_auc, auc)
    np.testing.assert_allclose(found, expected)


def test_patients_with_several_patches_by_brute_force() -> None:
    """The formulas of Obuchowski (1997), section 2, written out patient by patient."""
    random = np.random.default_rng(4)
    patients = random.integers(0, 9, 40)
    truth = random.random(40) < 0.5
    logits = random.normal(0, 1, (2, 40)) + truth + random.normal(0, 1, 9)[patients]
    count = [int(truth.sum()), int((~truth).sum())]
    sums, areas = [], []
    for one in logits:
        wins = np.array([[kernel(i, j) for j in one[~truth]] for i in one[truth]])
        areas.append(wins.mean())
        shares = np.empty(40)
        shares[truth], shares[~truth] = wins.mean(axis=1), wins.mean(axis=0)
        sums.append([[sum(shares[(patients == p) & of]) for p in range(9)] for of in (truth, ~truth)])
    sizes = [[int(((patients == p) & of).sum()) for p in range(9)] for of in (truth, ~truth)]
    with_class = [sum(size > 0 for size in of) for of in sizes]

    def s(a: int, b: int, side: int, other: int, degrees: float) -> float:
        return degrees * sum(
            (sums[a][side][p] - sizes[side][p] * areas[a]) * (sums[b][other][p] - sizes[other][p] * areas[b])
            for p in range(9)
        )

    expected = np.empty((2, 2))
    for a in range(2):
        for b in range(2):
            s10, s01 = (s(a, b, side, side, with_class[side] / (with_class[side] - 1) / count[side]) for side in (0, 1))
            s11 = s(a, b, 0, 1, 9 / 8) + s(a, b, 1, 0, 9 / 8)
            expected[a, b] = s10 / count[0] + s01 / count[1] + s11 / (count[0] * count[1])
    auc, covariance = clustered_covariance(truth, logits, patients)
    np.testing.assert_allclose(auc, areas)
    np.testing.assert_allclose(covariance, expected)


def test_copies_of_patches_in_one_patient_add_no_certainty() -> None:
    random = np.random.default_rng(5)
    truth = np.arange(30) % 2 == 0
    logits = random.normal(0, 1, (2, 30)) + truth
    _, once = delong_covariance(truth, logits)
    _, copied = clustered_covariance(truth.repeat(4), logits.repeat(4, axis=1), np.arange(30).repeat(4))
    np.testing.assert_allclose(copied, once)
    _, deceived = delong_covariance(truth.repeat(4), logits.repeat(4, axis=1))
    assert (np.diag(deceived) < np.diag(once) / 3).all()


def test_tests_without_anything_to_test() -> None:
    truth, logits = np.array([True, False, True, False]), np.array([1.0, 0.0, 0.5, 0.7])
    assert p_of_difference(*delong_covariance(truth, np.stack([logits, logits * 2]))) == 1
    _, none = clustered_covariance(truth, np.stack([logits, -logits]), np.array(["a", "b", "a", "c"]))
    assert np.isnan(none).all(), "all malignant patches are of one patient"
    assert math.isnan(p_of_difference(np.array([0.5, 0.6]), none))
    assert mcnemar(np.array([True, False]), np.array([True, False])) == (1.0, 0, 0)


@pytest.mark.parametrize(("only_first", "only_second"), [(5, 15), (0, 6), (8, 8), (1, 0)])
def test_mcnemar_is_the_exact_sign_test(only_first: int, only_second: int) -> None:
    first = np.array([True] * only_first + [False] * only_second + [True] * 7)
    second = np.array([False] * only_first + [True] * only_second + [True] * 7)
    tail = stats.binom.cdf(min(only_first, only_second), only_first + only_second, 0.5)
    assert mcnemar(first, second) == (pytest.approx(min(1.0, 2 * tail)), only_first, only_second)


def test_mcnemar_by_hand() -> None:
    """1 against 9: 2 * (1 + 10) / 2 ** 10."""
    right = np.array([True] + [False] * 9)
    assert mcnemar(right, ~right)[0] == pytest.approx(22 / 1024)


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.2], [0.2]),
        ([0.5, 0.6, 0.7], [1.0, 1.0, 1.0]),
        ([0.01, 0.01], [0.02, 0.02]),
        ([0.04, math.nan], [0.08, math.nan]),
        ([], []),
    ],
)
def test_holm_by_hand(p_values: list[float], adjusted: list[float]) -> None:
    np.testing.assert_allclose(holm(p_values), adjusted)


@pytest.mark.parametrize(
    ("measure", "value", "other", "size", "kind"),
    [
        ("auc", 0.76024993890652, 0.5, 1.0, "d"),  # sqrt(2) * quantile(0.760) = 1
        ("recall", 1.0, 0.5, math.pi / 2, "h"),
        ("accuracy", 0.5, 0.5, 0.0, "h"),
        ("auc", 1.0, 0.5, math.nan, ""),
        ("brier", 0.2, 0.3, math.nan, ""),
    ],
)
def test_effect_sizes(measure: str, value: float, other: float, size: float, kind: str) -> None:
    found, of_kind = effect_size(measure, value, other)
    assert of_kind == kind
    np.testing.assert_allclose(found, size, atol=1e-9)
