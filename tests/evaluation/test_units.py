"""What is counted once: patches, lesions and patients by hand; pairs within folds; slope and intercept."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mammofill.evaluation.intervals import Resamples
from mammofill.evaluation.logistic import calibration_intercept, calibration_slope
from mammofill.evaluation.metrics import auc_within_folds, measure
from mammofill.evaluation.units import Units, unit_of

TABLE = pd.DataFrame(
    [
        ("1", "A", "benign", "a1"),
        ("2", "A", "benign", "a1 a2"),
        ("3", "A", "malignant", "a3"),
        ("4", "B", "benign", "a1"),
        ("5", "C", "malignant", "c1"),
        ("6", "C", "malignant", "c1"),
    ],
    columns=["patch_id", "patient_id", "pathology", "lesion_ids"],
)
LOGITS = np.array([1.0, 3.0, 2.0, 5.0, 0.0, 6.0])


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("auc", ("auc", "patch")),
        ("auc_by_lesion", ("auc", "lesion")),
        ("recall_at_specificity_0.9_by_patient", ("recall_at_specificity_0.9", "patient")),
    ],
)
def test_a_measure_says_its_unit(name: str, parts: tuple[str, str]) -> None:
    assert unit_of(name) == parts


def test_a_lesion_has_the_mean_of_its_patches() -> None:
    """Two patients call a lesion a1: these are two lesions. A patch with two lesions counts for both."""
    lesions = Units(TABLE)["lesion"]
    assert list(zip(lesions.patients, lesions.malignant.tolist(), lesions.scores(LOGITS).tolist(), strict=True)) == [
        ("A", False, 2.0), ("A", False, 3.0), ("A", True, 2.0), ("B", False, 5.0), ("C", True, 3.0)
    ]  # fmt: skip
    assert lesions.first(np.array([0, 0, 0, 1, 2, 2])).tolist() == [0, 0, 0, 1, 2]


def test_a_patient_has_the_score_of_the_most_suspicious_lesion() -> None:
    patients = Units(TABLE)["patient"]
    assert list(zip(patients.patients, patients.malignant.tolist(), patients.scores(LOGITS).tolist(), strict=True)) == [
        ("A", True, 3.0), ("B", False, 5.0), ("C", True, 3.0)
    ]  # fmt: skip
    assert patients.first(np.array([7, 7, 7, 8, 9, 9])).tolist() == [7, 8, 9]


def test_lesions_of_many_patches_weigh_no_more_than_others() -> None:
    """One malignant lesion in nine patches that are all ranked wrongly, one in one patch that is not."""
    rows = [(str(k), "A", "malignant", "a") for k in range(9)] + [
        ("x", "B", "malignant", "b"),
        ("y", "C", "benign", "c"),
    ]
    table = pd.DataFrame(rows, columns=TABLE.columns)
    logits = np.array([-1.0] * 9 + [1.0, 0.0])
    resamples = Resamples.draw(table["patient_id"].to_numpy(dtype=object), 10, np.random.default_rng(0))
    found = Units(table).measured(("auc", "auc_by_lesion"), logits, 0.0, resamples)
    assert found["auc"][0] == pytest.approx(0.1)
    assert found["auc_by_lesion"][0] == pytest.approx(0.5)


def test_all_units_are_measured_on_the_same_patients() -> None:
    patients = TABLE["patient_id"].to_numpy(dtype=object)
    resamples = Resamples.draw(patients, 50, np.random.default_rng(1))
    units = Units(TABLE)
    for unit in ("patch", "lesion", "patient"):
        of_cases = resamples.of_cases(units[unit].patients)
        weights = np.concatenate(list(of_cases.weights()))
        for case, patient in enumerate(units[unit].patients):
            np.testing.assert_array_equal(weights[:, case], resamples.drawn[:, "ABC".index(patient)])


def test_pairs_are_ranked_within_folds_only() -> None:
    random = np.random.default_rng(2)
    folds, malignant = np.repeat([0, 1, 2], 40), random.random(120) < 0.4
    logits = malignant + random.normal(0, 1, 120)
    areas = [roc_auc_score(malignant[folds == one], logits[folds == one]) for one in range(3)]
    pairs = [malignant[folds == one].sum() * (~malignant[folds == one]).sum() for one in range(3)]
    on_levels = logits + np.array([-5.0, 0.0, 5.0])[folds]
    ones = np.ones((1, 120))
    found = auc_within_folds(malignant, on_levels, ones, folds)[0]
    assert found == pytest.approx(np.average(areas, weights=pairs))
    assert measure(("auc",), malignant, on_levels, 0.0, ones, folds)["auc"][0] == found
    assert roc_auc_score(malignant, on_levels) < found - 0.05, "as all scores together are ranked"


def test_folds_without_a_class_have_no_pairs() -> None:
    malignant, folds = np.array([True, False, True]), np.array([0, 0, 1])
    assert auc_within_folds(malignant, np.array([1.0, 0.0, -9.0]), np.ones((1, 3)), folds)[0] == 1
    assert np.isnan(auc_within_folds(malignant, np.zeros(3), np.array([[1.0, 0.0, 1.0]]), folds)[0])


def test_predictive_values_at_a_stated_prevalence_by_hand() -> None:
    """Recall 0.8 and specificity 0.9 at 1 in 100: 0.008 of 0.107 that are called malignant, 0.891 of 0.893 others."""
    malignant, called = np.repeat([True, False], 10), np.repeat([1.0, -1.0, 1.0, -1.0], [8, 2, 1, 9])
    names = ("ppv_at_prevalence_0.01", "npv_at_prevalence_0.01", "ppv_at_prevalence_0.5")
    found = measure(names, malignant, called, 0.0, np.ones((1, 20)))
    assert found[names[0]][0] == pytest.approx(0.008 / 0.107)
    assert found[names[1]][0] == pytest.approx(0.891 / 0.893)
    assert found[names[2]][0] == pytest.approx(8 / 9)
    assert np.isnan(measure(names[:1], malignant, called - 9, 0.0, np.ones((1, 20)))[names[0]][0]), "nobody is called"


def test_slope_and_intercept_are_those_of_a_logistic_regression() -> None:
    random = np.random.default_rng(3)
    logits = random.normal(0, 2, 600)
    truth = random.random(600) < expit(0.4 + 0.6 * logits)
    weights = np.stack([np.ones(600), random.multinomial(600, np.full(600, 1 / 600))])
    for number, slope in enumerate(calibration_slope(truth, logits, weights)):
        model = LogisticRegression(C=1e10, tol=1e-10).fit(logits[:, None], truth, weights[number])
        assert slope == pytest.approx(model.coef_[0, 0], rel=1e-4)
    intercept = calibration_intercept(truth, logits, weights)
    for at, weight in zip(intercept, weights, strict=True):
        assert weight @ expit(at + logits) == pytest.approx(weight @ truth), "as many as the scores say, then"


def test_what_has_no_slope_has_none() -> None:
    logits = np.array([-1.0, -0.5, 0.5, 1.0])
    ones = np.ones((1, 4))
    assert np.isnan(calibration_slope(logits > 0, logits, ones)[0])
    assert np.isnan(calibration_slope(np.ones(4, bool), logits, ones)[0])
    assert np.isnan(calibration_intercept(np.ones(4, bool), logits, ones)[0])


def test_resamples_are_kept_in_a_byte_a_patient_and_are_those_of_one_draw() -> None:
    patients = np.array([f"p{number:03d}" for number in range(300)], object)
    resamples = Resamples.draw(patients, 600, np.random.default_rng(3))
    at_once = np.random.default_rng(3).multinomial(300, np.full(300, 1 / 300), size=600)
    np.testing.assert_array_equal(resamples.drawn, at_once)
    assert resamples.drawn.dtype == np.uint8


def test_many_cases_are_weighed_in_smaller_parts_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    patients = np.array([f"p{number % 40}" for number in range(200)], object)
    resamples = Resamples.draw(patients, 300, np.random.default_rng(4))
    whole = np.concatenate(list(resamples.weights()))
    monkeypatch.setattr("mammofill.evaluation.intervals._WEIGHTS_AT_ONCE", 1500)
    parts = list(resamples.weights())
    assert max(len(part) for part in parts) == 7
    np.testing.assert_array_equal(np.concatenate(parts), whole)
