"""The stage: which patches are the test set, who is refused and in which words, what is measured and written."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pandas as pd
import pytest

from mammofill.classifier import Classifier
from mammofill.evaluation import EvaluateSettings, Evaluation, evaluate, paired_difference
from mammofill.evaluation.training import what_was_learned
from mammofill.ground.artifact import Artifact, LearnedFrom, begin, read_manifest, write_atomically
from mammofill.ground.errors import ArtifactError, DeviceError, LeakError, SettingsError, TooFewError
from mammofill.patches import PatchSet, write_shard

SIZE_PX = 16
FEW = EvaluateSettings(resamples=200, attention=False)


@dataclass(frozen=True)
class Toy:
    name: str = "toy"


class Brightness(Artifact):
    """Stands in for a classifier: the brighter a patch, the more malignant."""

    kind = "classifier"
    label = "mean brightness"
    threshold = 0.6
    facts: ClassVar[dict[str, Any]] = {}
    slope = 10.0

    def logits(self, images: np.ndarray, *, device: str = "cpu", batch_size: int = 64) -> np.ndarray:
        assert images.dtype == np.float32
        assert images.max() <= 1
        return self.slope * (images.mean(axis=(1, 2)).astype(np.float64) - 0.5)


def classifier(folder: Path, learned: Sequence[LearnedFrom] = ()) -> Classifier:
    with begin(folder, kind="classifier", stage="toy", settings=Toy(), seed=0, inputs={}) as work:
        assert work is not None
        (work.folder / "weights.txt").write_text(folder.name)
        work.finish({"patches": 1}, learned)
    return cast(Classifier, Brightness.open(folder))


def row(patient: str, pathology: str, bright: float, number: int = 0, **more: Any) -> dict[str, Any]:
    named = {"patch_id": f"{patient}-{pathology}-{number}", "patient_id": patient, "mammogram_id": patient}
    box = {"top": 0, "left": 0, "height": SIZE_PX, "width": SIZE_PX, "breast_share": 1.0}
    kind = {
        "pathology": pathology,
        "lesion_ids": "" if pathology == "normal" else f"{patient}-{pathology}",
        "split": "test",
        "origin": "real",
    }
    return named | box | kind | {"bright": bright} | more


def patches(folder: Path, rows: Sequence[dict[str, Any]]) -> PatchSet:
    images = [np.full((SIZE_PX, SIZE_PX), round(one["bright"] * 65535), np.uint16) for one in rows]
    masks = [np.zeros((SIZE_PX, SIZE_PX), bool)] * len(rows)
    with begin(folder, kind="patches", stage="toy", settings=Toy(), seed=0, inputs={}) as work:
        assert work is not None
        write_shard(work.folder / "patches-00000.parquet", rows, images, masks, masks)
        pd.DataFrame({"reason": [], "split": [], "count": []}).to_parquet(work.folder / "dropped.parquet")
        work.finish({"patches": len(rows)})
    return PatchSet.open(folder)


ROWS = [
    row("T1", "benign", 0.3),
    row("T1", "benign", 0.52, 1),
    row("T2", "benign", 0.4),
    row("T3", "malignant", 0.52),
    row("T4", "malignant", 0.7),
    row("T4", "normal", 0.9),
    row("L1", "malignant", 0.1, split="train"),
    row("V1", "benign", 0.9, split="validation"),
]
"""Scores at a slope of 10: 0.12, 0.55 (tied with T3), 0.27 benign; 0.55, 0.88 malignant; the threshold is 0.6."""


@pytest.fixture
def judged(tmp_path: Path) -> Evaluation:
    learned = [("train-classifier", ("L1",)), ("train-classifier (validation: threshold)", ("V1",))]
    found = classifier(tmp_path / "classifier", [LearnedFrom(*way) for way in learned])
    return evaluate(found, patches(tmp_path / "patches", ROWS), tmp_path / "evaluation", FEW)


def test_the_test_set_is_the_real_lesion_patches_of_the_split(judged: Evaluation) -> None:
    assert list(judged.scores["patch_id"]) == [one["patch_id"] for one in ROWS[:5]]
    assert list(judged.scores["patient_id"]) == ["T1", "T1", "T2", "T3", "T4"]
    assert judged.manifest.counts == {"benign_patches": 3, "malignant_patches": 2, "patients": 4}
    np.testing.assert_allclose(judged.scores["logit"], [-2.0, 0.2, -1.0, 0.2, 2.0], atol=1e-3)
    np.testing.assert_allclose(judged.scores["score"], 1 / (1 + np.exp(-judged.scores["logit"])))


@pytest.mark.parametrize(
    ("measure", "rule", "value"),
    [
        ("accuracy", "frozen", 4 / 5),
        ("recall", "frozen", 1 / 2),
        ("specificity", "frozen", 1.0),
        ("balanced_accuracy", "frozen", 3 / 4),
        ("accuracy", "half", 4 / 5),
        ("recall", "half", 1.0),
        ("specificity", "half", 2 / 3),
        ("balanced_accuracy", "half", 5 / 6),
        ("auc", "none", 5.5 / 6),
        ("auc_by_lesion", "none", 1.0),  # the tied patch of T1 is one of two of its lesion, which scores -0.9
        ("auc_by_patient", "none", 1.0),
    ],
)
def test_both_thresholds_are_measured(judged: Evaluation, measure: str, rule: str, value: float) -> None:
    table = judged.metrics.set_index(["measure", "threshold_rule"])
    assert table.loc[(measure, rule), "value"] == pytest.approx(value)


def test_intervals_hold_their_value(judged: Evaluation) -> None:
    table = judged.metrics[judged.metrics["measure"] != "ece"]
    known = table.dropna(subset="low")
    assert len(known) >= len(table) - 1, "scores that separate these few have no slope"
    assert (known["low"] <= known["value"]).all()
    assert (known["value"] <= known["high"]).all()


def test_the_expected_calibration_error_has_no_interval(judged: Evaluation) -> None:
    """Few patches alone make it large: its interval left out what is true."""
    row = judged.metrics.set_index("measure").loc["ece"]
    assert row["value"] > 0
    assert row[["low", "high"]].isna().all()


def test_without_names_of_lesions_patches_are_measured_alone(tmp_path: Path) -> None:
    nameless = patches(tmp_path / "p", [one | {"lesion_ids": ""} for one in ROWS])
    found = evaluate(classifier(tmp_path / "c"), nameless, tmp_path / "e", FEW)
    assert "auc" in set(found.metrics["measure"])
    assert not found.metrics["measure"].str.contains("_by_").any()


def test_calls_are_made_in_log_odds(tmp_path: Path) -> None:
    """Probabilities of 1 - 1e-17 are all 1; their log-odds still differ, and the threshold between them holds."""
    sure = cast(Any, classifier(tmp_path / "c"))
    sure.slope, sure.threshold, sure.facts = 200.0, 1.0, {"threshold_logit": 50.0}
    rows = [row("A", "benign", 0.7), row("B", "malignant", 0.8), row("C", "benign", 0.72), row("D", "malignant", 0.81)]
    found = evaluate(sure, patches(tmp_path / "p", rows), tmp_path / "e", FEW)
    assert (found.scores["score"] == 1).sum() == 4
    assert list(found.called()) == [False, True, False, True]
    assert found.metrics.set_index(["measure", "threshold_rule"]).loc[("accuracy", "frozen"), "value"] == 1


def test_measures_that_need_no_threshold_are_there_once(judged: Evaluation) -> None:
    table = judged.metrics
    assert not table.duplicated(["measure", "threshold_rule"]).any()
    without = table.loc[table["threshold_rule"] == "none", "measure"]
    assert set(without) == {
        "auc", "pr_auc", "recall_at_specificity_0.8", "recall_at_specificity_0.9", "specificity_at_recall_0.8",
        "specificity_at_recall_0.9", "brier", "ece", "nll", "auc_by_lesion", "auc_by_patient", "calibration_slope",
        "calibration_intercept",
    }  # fmt: skip


def test_resamples_without_a_class_are_counted(judged: Evaluation) -> None:
    """Of 4 patients 2 have malignant patches: a resample misses them with a chance of (2 / 4) ** 4 = 1 / 16."""
    left_out = judged.metrics.set_index(["measure", "threshold_rule"])["left_out"]
    assert 2 <= left_out[("recall", "frozen")] <= 30  # 12.5 of 200 expected, standard deviation 3.4
    assert left_out[("auc", "none")] >= left_out[("recall", "frozen")]
    assert left_out[("accuracy", "frozen")] == 0


def test_the_place_in_a_study_is_kept(tmp_path: Path) -> None:
    settings = EvaluateSettings(arm="generated", replicate=2, dose=0.5, real_share=0.25, resamples=200, attention=False)
    found = evaluate(classifier(tmp_path / "c"), patches(tmp_path / "p", ROWS), tmp_path / "e", settings)
    assert (found.arm, found.replicate, found.dose, found.real_share) == ("generated", 2, 0.5, 0.25)
    assert found.real_patches is None, "this classifier does not say"


# ---- validation and temperature -------------------------------------------------------------------------------------

WATCHED = [
    *ROWS,
    row("V2", "malignant", 0.95, split="validation"),
    row("V2", "normal", 0.5, split="validation"),
    row("V3", "malignant", 0.6, split="validation"),
    row("V4", "benign", 0.1, split="validation"),
]


def test_validation_patches_are_scored_and_measured_apart(tmp_path: Path) -> None:
    found = evaluate(classifier(tmp_path / "c"), patches(tmp_path / "p", WATCHED), tmp_path / "e", FEW)
    assert list(found.validation_scores["patient_id"]) == ["V1", "V2", "V3", "V4"]
    assert set(found.scores["patient_id"]) == {"T1", "T2", "T3", "T4"}
    assert found.temperature is not None
    assert found.facts["temperature_fitted_on"] == "4 validation patches of 4 patients"
    calibrated = found.metrics.set_index("measure")["value"]
    pulled = 1 / (1 + np.exp(-found.scores["logit"] / found.temperature))
    truth = (found.scores["pathology"] == "malignant").to_numpy(dtype=bool)
    assert calibrated["calibrated_brier"] == pytest.approx(((pulled - truth) ** 2).mean())
    assert set(found.reliability["after_temperature"]) == {False, True}
    assert found.reliability.groupby("after_temperature")["patches"].sum().tolist() == [5, 5]


def test_no_temperature_where_validation_lacks_a_class(judged: Evaluation) -> None:
    assert judged.temperature is None
    assert judged.facts["temperature_fitted_on"] == "1 validation patch holds 0 malignant ones: a class is missing"
    assert not judged.metrics["measure"].str.startswith("calibrated").any()


def test_no_temperature_is_fitted_on_patients_whom_the_classifier_learned_from(tmp_path: Path) -> None:
    more = [row("V5", "malignant", 0.8, split="validation"), row("V6", "benign", 0.2, split="validation")]
    chose = LearnedFrom("train-classifier (validation: threshold)", ("V1", "V2", "V3", "V5", "V6"))
    judge = classifier(tmp_path / "c", [LearnedFrom("train-classifier", ("V3", "V4")), chose])
    found = evaluate(judge, patches(tmp_path / "p", [*WATCHED, *more]), tmp_path / "e", FEW)
    assert list(found.validation_scores["patient_id"]) == ["V1", "V2", "V5", "V6"]
    assert found.facts["temperature_fitted_on"] == (
        "4 validation patches of 4 patients; not on 2 patients whom the classifier learned from, first V3 (through "
        "train-classifier)"
    )


def test_an_evaluation_without_validation_scores_says_what_to_do(judged: Evaluation) -> None:
    (judged.folder / "validation_scores.parquet").unlink()
    with pytest.raises(ArtifactError, match="has no validation_scores.parquet: .* Evaluate the classifier again"):
        _ = judged.validation_scores


def test_an_arm_without_a_name_takes_that_of_its_folder(judged: Evaluation) -> None:
    assert judged.arm == judged.folder.name
    assert judged.facts["label"] == "mean brightness"


def test_one_test_patient_gives_numbers_without_intervals(tmp_path: Path) -> None:
    alone = patches(tmp_path / "p", [row("T1", "benign", 0.3), row("T1", "malignant", 0.7)])
    table = evaluate(classifier(tmp_path / "c"), alone, tmp_path / "e", FEW).metrics
    # Of one patient there is nobody to tell apart by patient, and two patches that are told apart have no slope.
    none = table["measure"].str.contains("calibration_|by_patient")
    assert table.loc[~none, "value"].notna().all()
    assert table[["low", "high"]].isna().all(axis=None)


# ---- leaks ----------------------------------------------------------------------------------------------------------


def test_a_test_patient_that_was_learned_from_is_refused_with_every_way_in(tmp_path: Path) -> None:
    learned = [LearnedFrom("train-classifier", ("T3", "L1")), LearnedFrom("train-infiller", ("T1", "T3"))]
    with pytest.raises(LeakError) as caught:
        evaluate(classifier(tmp_path / "c", learned), patches(tmp_path / "p", ROWS), tmp_path / "e", FEW)
    words = str(caught.value)
    assert "learned from 2 patients of the test split" in words
    assert "T1: through train-infiller\n" in words
    assert "T3: through train-classifier, train-infiller\n" in words
    assert "L1" not in words
    assert "Train the classifier and its infiller on patches of the same ingest" in words
    assert not list(tmp_path.glob("e*"))


def test_a_device_that_is_not_there_is_refused_before_anything_is_begun(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="'cuda:63' was requested"):
        evaluate(classifier(tmp_path / "c", []), patches(tmp_path / "p", ROWS), tmp_path / "e", FEW, device="cuda:63")
    assert not list(tmp_path.glob("e*"))


def test_many_leaking_patients_are_counted_and_ten_are_named(tmp_path: Path) -> None:
    names = tuple(f"P{number:02d}" for number in range(13))
    rows = [row(name, ("benign", "malignant")[k % 2], 0.5) for k, name in enumerate(names)]
    found = classifier(tmp_path / "c", [LearnedFrom("train-infiller", names)])
    with pytest.raises(LeakError, match=r"P09: through train-infiller\n  \.\.\. and 3 more\n") as caught:
        evaluate(found, patches(tmp_path / "p", rows), tmp_path / "e", FEW)
    assert "P10" not in str(caught.value)


def test_a_patient_in_two_splits_is_refused(tmp_path: Path) -> None:
    rows = [*ROWS, row("T4", "benign", 0.5, 7, split="train")]
    with pytest.raises(LeakError, match="1 patient is in more than one split, first T4"):
        evaluate(classifier(tmp_path / "c"), patches(tmp_path / "p", rows), tmp_path / "e", FEW)


def test_a_generated_patch_in_the_test_split_is_refused(tmp_path: Path) -> None:
    rows = [*ROWS, row("T9", "benign", 0.5, origin="synthetic")]
    with pytest.raises(LeakError, match="has 1 generated patch in the test split, first T9-benign-0"):
        evaluate(classifier(tmp_path / "c"), patches(tmp_path / "p", rows), tmp_path / "e", FEW)


@pytest.mark.parametrize("absent", ["benign", "malignant"])
def test_a_missing_class_is_refused(absent: str, tmp_path: Path) -> None:
    rows = [one for one in ROWS if one["split"] != "test" or one["pathology"] != absent]
    with pytest.raises(TooFewError, match=f"has no {absent} patch in the test split"):
        evaluate(classifier(tmp_path / "c"), patches(tmp_path / "p", rows), tmp_path / "e", FEW)


# ---- comparing ------------------------------------------------------------------------------------------------------


def test_one_test_set_has_one_name_whoever_is_judged_on_it(judged: Evaluation, tmp_path: Path) -> None:
    same = evaluate(classifier(tmp_path / "other"), PatchSet.open(tmp_path / "patches"), tmp_path / "e2", FEW)
    assert same.test_set == judged.test_set
    changed = [row("T1", "benign", 0.31), *ROWS[1:]]  # one pixel value differs
    other = evaluate(classifier(tmp_path / "c3"), patches(tmp_path / "p3", changed), tmp_path / "e3", FEW)
    assert other.test_set != judged.test_set
    with pytest.raises(ArtifactError, match="measured on different test sets"):
        paired_difference(judged, other, "auc")


def test_a_classifier_does_not_differ_from_itself(judged: Evaluation) -> None:
    assert paired_difference(judged, judged, "auc", resamples=200) == (0.0, 0.0, 0.0)


def test_a_difference_is_that_of_the_two_values_and_turns_its_sign(judged: Evaluation, tmp_path: Path) -> None:
    reversed_scores = cast(Any, classifier(tmp_path / "reversed"))
    reversed_scores.slope = -10.0
    worse = evaluate(reversed_scores, PatchSet.open(tmp_path / "patches"), tmp_path / "worse", FEW)
    value, low, high = paired_difference(judged, worse, "auc", resamples=200)
    assert value == pytest.approx(0.5 / 6 - 5.5 / 6)
    assert low <= value <= high
    turned = paired_difference(worse, judged, "auc", resamples=200)
    np.testing.assert_allclose(turned, (-value, -high, -low), atol=1e-12)


def test_an_unknown_measure_is_refused(judged: Evaluation) -> None:
    with pytest.raises(SettingsError, match="no measure 'f1'; known are auc_by_lesion, auc"):
        paired_difference(judged, judged, "f1")


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("replicate", -1, "at least 0"),
        ("infiller", -1, "at least 0, or left out"),
        ("dose", 0.0, "above 0, or left out"),
        ("real_share", 0.0, r"in \(0, 1\]"),
        ("specificities", (1.0,), r"numbers in \(0, 1\)"),
        ("split", "holdout", "train, validation or test"),
        ("resamples", 99, "at least 100"),
        ("confidence", 1.0, r"in \(0, 1\)"),
        ("batch", 0, "at least 1"),
    ],
)
def test_settings_without_sense_are_refused(field: str, value: Any, rule: str) -> None:
    with pytest.raises(SettingsError, match=f"EvaluateSettings.{field} must be {rule}, but is"):
        EvaluateSettings(**{field: value})


def toy(folder: Path, kind: str, counts: dict[str, int] | None = None, **inputs: Any) -> Artifact:
    """Make an artifact that holds nothing but what it was made from."""
    with begin(folder, kind=kind, stage=f"make-{kind}", settings=Toy(folder.name), seed=0, inputs=inputs) as work:
        assert work is not None
        write_atomically(work.folder / "name.txt", folder.name)
        work.finish(counts or {})
    return Artifact(folder, read_manifest(folder))


@pytest.mark.parametrize(
    ("gone", "names"), [("nothing", {"painter"}), ("infiller", {"painter"}), ("synthetic", {"unknown"})]
)
def test_one_infiller_is_one_when_its_folder_is_gone(gone: str, names: set[str], tmp_path: Path) -> None:
    """Each of its synthetic sets counted as an infiller, and what was no finding became one."""
    painter, real = toy(tmp_path / "infiller", "infiller"), toy(tmp_path / "real", "patches")
    counts = {"train_real_benign": 4, "train_synthetic_benign": 4}
    classifiers = []
    for seed in range(2):
        fills = toy(tmp_path / f"synthetic_{seed}", "patches", infiller=painter, patches=real)
        classifiers.append(toy(tmp_path / f"classifier_{seed}", "classifier", counts, patches=[real, fills]))
    for folder in tmp_path.glob(f"{gone}*"):
        shutil.rmtree(folder)
    told = [what_was_learned(cast("Classifier", one))["infillers"] for one in classifiers]
    known = {painter.fingerprint: "painter"}
    assert told[0] == told[1]
    assert {known.get(one, one) for one in told[0]} == names


def test_sets_that_no_infiller_painted_are_told_apart_by_themselves(tmp_path: Path) -> None:
    real, fills = toy(tmp_path / "real", "patches"), toy(tmp_path / "fills", "patches")
    counts = {"train_synthetic_benign": 4}
    classifier = toy(tmp_path / "classifier", "classifier", counts, patches=[real, fills])
    told = what_was_learned(cast("Classifier", classifier))["infillers"]
    assert told == sorted([real.fingerprint, fills.fingerprint])
