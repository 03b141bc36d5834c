"""Cross-validation: nobody is scored by who has seen them, folds make a whole, and pooled scores can be compared."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from remade_manifest import remake_manifest
from sklearn.metrics import roc_auc_score
from toy_evaluations import make_evaluation

from mammofill.comparison import CompareArmsSettings, Comparison, compare_arms
from mammofill.comparison.curves import GRID, _mean_curves
from mammofill.evaluation import Evaluation, pool_folds
from mammofill.evaluation.metrics import auc_within_folds
from mammofill.evaluation.pool import from_threshold
from mammofill.experiment import StudyRun
from mammofill.ground.artifact import NO_VERIFY
from mammofill.ground.errors import ArtifactError, DamagedError, LeakError, TooFewError
from mammofill.patches import PatchSet

FEW = CompareArmsSettings(resamples=100, curve_resamples=100, measures=("auc",))


def fold(out: Path, repeat: int, number: int, arm: str = "pasted") -> Evaluation:
    return Evaluation.open(out / f"folds/r{repeat}-f{number}/evaluations/{arm}")


def change_json(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def copied(folded: StudyRun, tmp_path: Path) -> Path:
    """A copy of the cross-validated study, to be spoiled."""
    for name in ("folds", "evaluations"):
        shutil.copytree(folded.out / name, tmp_path / name)
    return tmp_path


def test_classifiers_that_two_arms_share_are_found_fold_by_fold(copied: Path) -> None:
    real, pasted = (Evaluation.open(copied / f"evaluations/{arm}_repeat-0") for arm in ("real-only", "pasted"))
    assert (real.shared_with(pasted), real.shared_with(real)) == (0, 1)
    first = set(pasted.folds[0].patients)
    logits = real.scores.set_index("patch_id")["logit"].loc[pasted.scores["patch_id"]].to_numpy()
    mixed = pasted.scores.assign(logit=pasted.scores["logit"].where(~pasted.scores["patient_id"].isin(first), logits))
    mixed.to_parquet(pasted.folder / "scores.parquet", index=False)
    remake_manifest(pasted.folder)
    part = Evaluation.open(pasted.folder)
    assert (real.shared_with(part), part.shared_with(real), pasted.shared_with(part)) == (0.5, 0.5, 0.5)
    mixed.assign(logit=0.0).to_parquet(pasted.folder / "scores.parquet", index=False)
    remake_manifest(pasted.folder)
    collapsed = Evaluation.open(pasted.folder)
    assert collapsed.shared_with(collapsed) == 0, "two classifiers that give one score to all are not the same"


# ---- what comes out -------------------------------------------------------------------------------------------------


def test_every_patient_is_scored_once_by_a_classifier_that_never_saw_them(folded: StudyRun) -> None:
    patches = PatchSet.open(folded.out / "folds/r0-f0/patches")
    lesions = patches.table.iloc[patches.rows(pathology=("benign", "malignant"))]
    for repeat in range(2):
        for arm in ("real-only", "pasted"):
            pooled = Evaluation.open(folded.out / f"evaluations/{arm}_repeat-{repeat}")
            assert list(pooled.scores["patch_id"]) == sorted(lesions["patch_id"])
            assert [one.fold for one in pooled.folds] == [0, 1]
            for one in pooled.folds:
                learned = {patient for way in one.learned_from for patient in way.patients}
                assert learned
                assert not learned & set(one.patients)
            ways = {way.through for way in pooled.folds[0].learned_from}
            assert ("train-infiller" in ways) == (arm == "pasted"), "patients do not cross through the infiller either"


def test_scores_are_told_from_their_own_folds_threshold(folded: StudyRun) -> None:
    pooled = Evaluation.open(folded.out / "evaluations/pasted_repeat-1")
    parts = [fold(folded.out, 1, number) for number in range(2)]
    logits = pd.concat([one.scores.set_index("patch_id")["logit"] - one.threshold_logit for one in parts])
    np.testing.assert_allclose(pooled.scores["logit"], logits.loc[pooled.scores["patch_id"]])
    called = pd.concat([pd.Series(one.called(), index=one.scores["patch_id"]) for one in parts])
    np.testing.assert_array_equal(pooled.called(), called.loc[pooled.scores["patch_id"]])
    areas = [roc_auc_score(one.scores["pathology"] == "malignant", one.scores["logit"]) for one in parts]
    assert [one.auc for one in pooled.folds] == pytest.approx(areas)
    assert pooled.mean_fold_auc == pytest.approx(np.mean(areas))
    auc = pooled.metrics.set_index("measure").loc["auc"]
    truth = [one.scores["pathology"] == "malignant" for one in parts]
    pairs = [one.sum() * (~one).sum() for one in truth]
    assert auc["value"] == pytest.approx(np.average(areas, weights=pairs)), "pairs of one fold each"
    assert auc["low"] < auc["value"] < auc["high"]


def test_nothing_is_fitted_on_those_who_are_tested(folded: StudyRun) -> None:
    pooled = Evaluation.open(folded.out / "evaluations/pasted_repeat-0")
    assert pooled.temperature is None
    assert len(pooled.validation_scores) == 0
    assert not pooled.metrics["measure"].str.startswith("calibrated").any()
    assert set(pooled.metrics["threshold_rule"]) == {"frozen", "none"}, (
        "from a threshold, none is a probability of half"
    )
    assert pooled.facts["temperature_fitted_on"].startswith("nothing: whoever validates in one fold is tested in")


def test_where_classifiers_look_is_pooled_patch_by_patch(folded: StudyRun) -> None:
    pooled = Evaluation.open(folded.out / "evaluations/pasted_repeat-0")
    assert list(pooled.attention["patch_id"]) == list(pooled.scores["patch_id"])
    assert set(pooled.attention_summary["measure"]) == {"peak_inside", "energy_inside", "energy_ring", "silent"}


def test_repeats_are_replicates_on_the_same_patches(folded: StudyRun) -> None:
    several = [Evaluation.open(folded.out / f"evaluations/real-only_repeat-{repeat}") for repeat in range(2)]
    assert [one.replicate for one in several] == [0, 1]
    of_folds = [fold(folded.out, 0, number, "real-only").images_seen for number in range(2)]
    assert several[0].images_seen == pytest.approx(np.mean([one or np.nan for one in of_folds]), abs=1)
    assert several[0].test_set == several[1].test_set
    dealt = [[set(one.patients) for one in pooled.folds] for pooled in several]
    assert dealt[0] != dealt[1], "the patients are dealt out anew"
    comparison = folded.artifacts[Path("comparison")]
    assert isinstance(comparison, Comparison)
    assert comparison.facts["folds"] == 2
    assert set(comparison.arms["replicates"]) == {2}
    cautions = " ".join(comparison.sentences.query("kind == 'caution'")["text"])
    assert "Each patient was scored by one of 2 classifiers, of different folds" in cautions
    assert "no unbiased estimator of the variance of a cross-validation" in cautions
    assert "An AUC counts pairs within folds only, each ranked by one classifier" in cautions
    auc = comparison.arms.set_index(["arm", "measure"]).loc[("real only", "auc"), "value"]
    values = [one.metrics.set_index("measure").loc["auc", "value"] for one in several]
    assert auc == pytest.approx(np.mean(values)), "the comparison ranks within folds as well"
    by_name = comparison.differences.query("measure == 'auc'")[["p_delong", "p_delong_clustered"]]
    assert by_name.isna().all(axis=None), "tests that rank all patches together are of another AUC"


def test_the_curve_of_folds_has_the_area_that_is_told(tmp_path: Path) -> None:
    """It was drawn through the scores of all folds together, beside an AUC that counts pairs within folds."""
    one = make_evaluation(tmp_path / "one", "a", 2.0)
    malignant, logits = (one.scores["pathology"] == "malignant").to_numpy(), one.scores["logit"].to_numpy()
    folds = np.unique(one.scores["patient_id"], return_inverse=True)[1] % 2
    apart, ones = logits + 3.0 * folds, np.ones((1, len(logits)))
    drawn, together = (
        np.trapezoid(_mean_curves(malignant, [(apart, by)], ones)["roc"][0], GRID) for by in (folds, None)
    )
    assert drawn == pytest.approx(auc_within_folds(malignant, apart, ones, folds)[0], abs=0.01)
    assert together < drawn - 0.05
    empty = ones * (folds == 0)  # resamples may leave a fold out
    alone = _mean_curves(malignant, [(apart, folds)], empty)["roc"]
    np.testing.assert_allclose(alone, _mean_curves(malignant, [(apart, None)], empty)["roc"])


def test_classifiers_that_score_on_different_levels_can_be_pooled(tmp_path: Path) -> None:
    truth, raw, told = [], [], []
    for number, level in enumerate((-5.0, 5.0)):
        one = make_evaluation(tmp_path / f"{number}", "a", 3.0, threshold_logit=level)
        one.scores["logit"] += level
        truth.append(one.scores["pathology"] == "malignant")
        raw.append(one.scores["logit"])
        told.append(from_threshold(one)["logit"])
    alone = [roc_auc_score(malignant, logits) for malignant, logits in zip(truth, raw, strict=True)]
    assert roc_auc_score(pd.concat(truth), pd.concat(told)) == pytest.approx(np.mean(alone), abs=0.02)
    assert roc_auc_score(pd.concat(truth), pd.concat(raw)) < np.mean(alone) - 0.2


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ([(0, 0, "pasted")], TooFewError, "pool-folds needs the evaluations of two folds or more, but was given 1"),
        ([(0, 0, "pasted"), (0, 0, "pasted")], ArtifactError, r"each of the 2 folds once, .* twice 0 and without 1"),
        ([(0, 0, "pasted"), (1, 1, "pasted")], ArtifactError, r"not folds of one .*: ingest.seed is 3 and 4"),
        ([(0, 0, "pasted"), (0, 1, "real-only")], ArtifactError, r"evaluate.arm is 'pasted' and 'real only'"),
    ],
)  # fmt: skip
def test_what_is_no_whole_cross_validation_is_refused(
    folded: StudyRun, tmp_path: Path, given: list[tuple[int, int, str]], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        pool_folds([fold(folded.out, *one) for one in given], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folds_cut_in_different_ways_are_refused_by_name(copied: Path) -> None:
    change_json(copied / "folds/r0-f1/patches/artifact.json", lambda one: one["settings"].update(stride_px=8))
    with pytest.raises(
        ArtifactError, match=r"extract-patches.stride_px is 32 and 8. Pool folds that differ in nothing"
    ):
        pool_folds([fold(copied, 0, 0), fold(copied, 0, 1)], copied / "out")


def test_a_changed_table_of_mammograms_is_damage(copied: Path) -> None:
    table = copied / "folds/r0-f1/mammograms/mammograms.parquet"
    table.write_bytes(bytes(table.stat().st_size))
    with pytest.raises(DamagedError, match=r"r0-f1/mammograms/mammograms.parquet was changed after it was finished"):
        pool_folds([fold(copied, 0, 0), fold(copied, 0, 1)], copied / "out")


def test_another_source_is_refused(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NO_VERIFY, "1")
    table = copied / "folds/r0-f1/mammograms/mammograms.parquet"
    pd.read_parquet(table).assign(source_sha256="0" * 64).to_parquet(table, index=False)
    with pytest.raises(ArtifactError, match="are not folds of one cross-validation: images is"):
        pool_folds([fold(copied, 0, 0), fold(copied, 0, 1)], copied / "out")


def test_one_split_of_the_patients_is_no_fold(copied: Path) -> None:
    change_json(copied / "folds/r0-f1/mammograms/artifact.json", lambda one: one["settings"].update(split="patients"))
    with pytest.raises(ArtifactError, match=r"is not of one fold of a cross-validation: .* split by 'patients'"):
        pool_folds([fold(copied, 0, 0), fold(copied, 0, 1)], copied / "out")


def test_folds_whose_mammograms_are_gone_are_refused(copied: Path) -> None:
    shutil.rmtree(copied / "folds/r0-f1/mammograms")
    with pytest.raises(ArtifactError, match="the mammograms behind it are not found at their place"):
        pool_folds([fold(copied, 0, 0), fold(copied, 0, 1)], copied / "out")


@pytest.mark.parametrize(
    ("split", "words"), [("test", "whom another fold tests as well"), ("train", "folds leave out")]
)
def test_patients_in_two_folds_or_none_are_refused(
    copied: Path, monkeypatch: pytest.MonkeyPatch, split: str, words: str
) -> None:
    """One who is tested by fold 0 also tests in fold 1; or one without a lesion is tested by nobody."""
    monkeypatch.setenv(NO_VERIFY, "1")
    place = copied / f"folds/r0-f{'1' if split == 'test' else '0'}/mammograms"
    table = pd.read_parquet(place / "mammograms.parquet")
    first = fold(copied, 0, 0)
    if split == "train":  # nobody scored may leave the test split, or that is what is refused
        scores = first.scores[first.scores["patient_id"] != first.scores["patient_id"].iloc[0]]
        left_out = first.scores["patient_id"].iloc[0]
        scores.to_parquet(first.folder / "scores.parquet", index=False)
        change_json(first.folder / "artifact.json", lambda one: one.update(files={}))
    else:
        left_out = first.scores["patient_id"].iloc[0]
    table.loc[table["patient_id"] == left_out, "split"] = split
    table.to_parquet(place / "mammograms.parquet", index=False)
    with pytest.raises((LeakError, ArtifactError), match=words):
        pool_folds([fold(copied, 0, 0), fold(copied, 0, 1)], copied / "out")


def test_a_fold_that_learned_from_whom_it_tests_is_refused(copied: Path) -> None:
    patient = fold(copied, 0, 1).scores["patient_id"].iloc[0]
    leak = {"through": "train-infiller", "patients": [patient]}
    path = fold(copied, 0, 1).folder / "artifact.json"
    change_json(path, lambda one: one["patients_learned_from"].append(leak))
    with pytest.raises(LeakError, match=f"fold 1 learned from 1 .* first {patient}, through train-infiller. Train it"):
        pool_folds([fold(copied, 0, 0), fold(copied, 0, 1)], copied / "out")


# ---- the way through the leak check of compare-arms ----------------------------------------------------------------


def compare(out: Path) -> Comparison:
    two = [Evaluation.open(out / f"evaluations/{arm}_repeat-0") for arm in ("real-only", "pasted")]
    return compare_arms(two, out / "comparison", FEW)


def test_a_pooled_evaluation_is_compared_although_all_folds_learned_from_all(copied: Path) -> None:
    pooled = Evaluation.open(copied / "evaluations/pasted_repeat-0")
    assert set(pooled.scores["patient_id"]) <= set(pooled.manifest.learned_patients())
    assert compare(copied).facts["folds"] == 2


def spoil(copied: Path, change: Callable[[Any], None], manifest: Callable[[Any], None] = lambda _: None) -> None:
    """Change folds.json, and the manifest so that the folder still opens."""
    folder = copied / "evaluations/pasted_repeat-0"
    change_json(folder / "folds.json", change)
    size = (folder / "folds.json").stat().st_size

    def told(one: Any) -> None:
        one["files"]["folds.json"] = size
        manifest(one)

    change_json(folder / "artifact.json", told)


def test_a_pool_in_which_a_fold_saw_its_patients_is_not_compared(copied: Path) -> None:
    patient = Evaluation.open(copied / "evaluations/pasted_repeat-0").folds[0].patients[0]
    leak = {"through": "train-infiller", "patients": [patient]}
    spoil(
        copied,
        lambda folds: folds[0]["learned_from"].append(leak),
        lambda one: one["patients_learned_from"].append(leak),
    )
    with pytest.raises(LeakError, match=f"fold 0 learned from 1 of the patients that it scores, first {patient}"):
        compare(copied)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folds: folds[0]["learned_from"].clear(), "patients learned from"),
        (lambda folds: folds[0]["patients"].pop(), "patients that were scored"),
        (lambda folds: folds[0]["patients"].append(folds[1]["patients"][0]), "patients that were scored"),
        (lambda folds: folds[0].update(evaluation="0" * 64), "evaluations"),
        (lambda folds: folds[0].update(learned_from=folds[1]["learned_from"]), "patients learned from|learned from"),
    ],
)
def test_a_pool_that_hides_something_is_not_compared(copied: Path, change: Callable[[Any], None], words: str) -> None:
    spoil(copied, change)
    with pytest.raises((ArtifactError, LeakError), match=words):
        compare(copied)


def test_a_pool_is_not_compared_with_one_test_split(copied: Path, tmp_path: Path) -> None:
    pooled = Evaluation.open(copied / "evaluations/pasted_repeat-0")
    with pytest.raises(ArtifactError, match="different test sets"):
        compare_arms([pooled, fold(copied, 0, 0)], tmp_path / "comparison", FEW)
