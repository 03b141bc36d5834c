"""The stage `compare-arms`: what it refuses, what its tables hold, and what its sentences say."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from remade_manifest import remake_manifest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from toy_evaluations import World, make_evaluation

from mammofill.comparison import CompareArmsSettings, Comparison, compare_arms
from mammofill.comparison.comparison import TABLES, VERDICTS
from mammofill.comparison.groups import sort_into_groups
from mammofill.comparison.plan import content_of_plan, write_plan
from mammofill.comparison.sentences import p_in_words
from mammofill.evaluation import Evaluation
from mammofill.ground.artifact import NO_VERIFY, LearnedFrom
from mammofill.ground.errors import ArtifactError, LeakError, SettingsError, TooFewError
from mammofill.report.compared_figures import forest_plot
from mammofill.report.comparisons import in_short
from mammofill.report.first_screen import fewer_fills

FEW = CompareArmsSettings(resamples=300, curve_resamples=100, measures=("auc", "accuracy", "brier"), hardest=5)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Evaluation], Comparison]:
    """Real only, one arm that is much better, one that is no better; three seeds each."""
    folder = tmp_path_factory.mktemp("study")
    evaluations = [
        make_evaluation(folder / f"{arm}-{seed}", arm, separation, seed=seed, dose=dose)
        for arm, separation, dose in (("real", 1.0, None), ("better", 4.0, 1.0), ("same", 1.0, 1.0))
        for seed in range(3)
    ]
    return evaluations, compare_arms(evaluations, folder / "comparison", FEW)


def one_row(table: pd.DataFrame, **wanted: Any) -> dict[str, Any]:
    for column, value in wanted.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return dict(table.iloc[0])


# ---- tables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLES)
def test_tables_have_the_columns_that_are_documented(name: str, study: tuple[list[Evaluation], Comparison]) -> None:
    table = study[1].table(name)
    assert list(table.columns) == list(TABLES[name])
    assert {column: str(kind) for column, kind in table.dtypes.items()} == TABLES[name]
    read = pd.read_parquet(study[1].folder / f"{name}.parquet")
    pd.testing.assert_frame_equal(read.astype(TABLES[name]), table)


def test_values_are_means_over_seeds(study: tuple[list[Evaluation], Comparison]) -> None:
    evaluations, comparison = study
    truth = evaluations[0].scores["pathology"] == "malignant"
    areas = [roc_auc_score(truth, one.scores["logit"]) for one in evaluations[:3]]
    row = one_row(comparison.arms, arm="real", measure="auc")
    assert row["value"] == pytest.approx(np.mean(areas))
    assert row["over_seeds"] == pytest.approx(np.std(areas, ddof=1))
    assert row["low"] < row["value"] < row["high"]
    assert row["replicates"] == 3
    assert row["training"] == "classifier seeds"


def test_a_difference_is_that_of_the_values(study: tuple[list[Evaluation], Comparison]) -> None:
    for row in study[1].differences.to_dict("records"):
        assert row["difference"] == pytest.approx(row["value"] - row["against_value"])
        assert row["low"] <= row["difference"] <= row["high"]
        if row["tested"]:
            assert row["smallest_shown_in_family"] > row["smallest_shown"] > (row["high"] - row["low"]) / 2
            assert (row["p"] < 0.05) == (row["low"] > 0 or row["high"] < 0), "the test is that of the interval"


def test_no_difference_of_shares_is_said_to_be_larger_than_one(
    study: tuple[list[Evaluation], Comparison], tmp_path: Path
) -> None:
    """From two trainings it was: -0.036 [-1.937, +1.866]."""
    found = compare_arms(study[0], tmp_path / "out", replace(FEW, confidence=1 - 1e-9)).differences
    rows = found[found["measure"].isin(["auc", "accuracy"])]
    assert (rows["low"] == -1).all()
    assert (rows["high"] == 1).all()


def test_every_verdict_is_one_of_those_there_are(study: tuple[list[Evaluation], Comparison]) -> None:
    table = study[1].differences
    assert set(table.loc[table["tested"], "verdict"]) <= set(VERDICTS)
    assert one_row(table, arm="better", measure="auc")["verdict"] == "shown better"
    assert one_row(table, arm="same", measure="auc")["verdict"] == "no difference shown"
    tested = table[table["tested"]]
    assert (tested["p_holm"] >= tested["p"]).all()
    assert (tested["family"] == 2).all()


def test_only_the_primary_measure_is_tested(study: tuple[list[Evaluation], Comparison]) -> None:
    """Four measures with a verdict each showed some difference in 8 to 11 of 100 studies without any."""
    table = study[1].differences
    others = table[table["measure"] != "auc"]
    assert set(table.loc[table["tested"], "measure"]) == {"auc"}
    assert others[["p", "p_holm", "smallest_shown"]].isna().all(axis=None)
    assert (others["verdict"] == "").all()
    assert others[["low", "high"]].notna().all(axis=None), "they are described"


def test_lower_is_better_where_it_is(study: tuple[list[Evaluation], Comparison], tmp_path: Path) -> None:
    settings = replace(FEW, measures=("brier",), margin=0.01)
    row = one_row(compare_arms(study[0], tmp_path / "out", settings).differences, arm="better")
    assert row["difference"] < 0
    assert row["verdict"] == "shown better"
    assert (row["worth_less"], row["not_worse"]) == ("not shown", "shown")


def test_tests_by_name_stand_where_they_apply(study: tuple[list[Evaluation], Comparison]) -> None:
    table = study[1].differences
    assert table.loc[table["measure"] == "auc", ["p_delong", "p_delong_clustered"]].notna().all(axis=None)
    assert table.loc[table["measure"] != "auc", ["p_delong", "p_delong_clustered"]].isna().all(axis=None)
    assert (table["p_mcnemar"].notna() == (table["measure"] == "accuracy")).all()
    assert ((table["only_arm_right"] >= 0) == (table["measure"] == "accuracy")).all()


def test_curves_are_those_of_scikit_learn(study: tuple[list[Evaluation], Comparison]) -> None:
    evaluations, comparison = study
    curves = comparison.curves
    roc = curves[(curves["arm"] == "real") & (curves["curve"] == "roc")]
    assert len(roc) == 101
    expected = []
    for one in evaluations[:3]:
        alarm, recall, _ = roc_curve(one.scores["pathology"] == "malignant", one.scores["logit"])
        # The upper end of each vertical step, as the curve goes on from there.
        expected.append([np.interp(x, alarm, recall) if x not in alarm else recall[alarm == x].max() for x in roc["x"]])
    np.testing.assert_allclose(roc["y"], np.mean(expected, axis=0), atol=1e-12)
    pr = curves[(curves["arm"] == "real") & (curves["curve"] == "pr")]
    area = np.mean([
        average_precision_score(one.scores["pathology"] == "malignant", one.scores["logit"]) for one in evaluations[:3]
    ])  # fmt: skip
    assert pr["y"].mean() == pytest.approx(area, abs=0.02)
    assert (curves["low"] <= curves["y"] + 0.05).all()
    assert (curves["high"] >= curves["y"] - 0.05).all()


def test_the_hardest_patches_come_first_with_all_scores(study: tuple[list[Evaluation], Comparison]) -> None:
    table = study[1].hardest
    assert table["rank"].value_counts().to_dict() == dict.fromkeys(range(1, 6), 3)
    assert table["mean_loss"].is_monotonic_decreasing
    losses = study[1].scores.assign(
        loss=lambda one: np.logaddexp(0, np.where(one["pathology"] == "malignant", -1, 1) * one["logit"])
    )
    worst = losses.groupby("patch_id")["loss"].mean().sort_values(ascending=False)
    assert list(table["patch_id"].unique()) == list(worst.index[:5])


def test_scores_are_kept_with_patch_patient_arm_and_seed(study: tuple[list[Evaluation], Comparison]) -> None:
    evaluations, comparison = study
    assert len(comparison.scores) == 9 * 120
    one = comparison.scores.query("arm == 'same' and replicate == 2")
    np.testing.assert_array_equal(one["logit"], evaluations[-1].scores["logit"])
    assert list(one["called"]) == list(evaluations[-1].called())


def test_calibration_is_told_before_and_after(study: tuple[list[Evaluation], Comparison]) -> None:
    assert len(study[1].calibration) == 18
    assert set(study[1].calibration["temperature"]) == {2.0}
    assert len(study[1].reliability) == 3 * 2 * 10


def test_what_was_done_is_written_beside(study: tuple[list[Evaluation], Comparison]) -> None:
    facts = study[1].facts
    assert facts["reference"] == "real"
    assert facts["tested_comparisons"] == 2
    assert (facts["patients"], facts["lesions"]) == (40, 40)
    assert study[1].test_set == "a" * 64
    assert study[1].manifest.counts == {"evaluations": 9, "groups": 3, "tested_comparisons": 2, "patients": 40}


# ---- sentences ------------------------------------------------------------------------------------------------------


def sentences(comparison: Comparison, kind: str) -> list[str]:
    table = comparison.sentences
    return list(table.loc[table["kind"] == kind, "text"])


def test_each_planned_comparison_has_one_sentence(study: tuple[list[Evaluation], Comparison]) -> None:
    better, same = sentences(study[1], "comparison")
    assert better.startswith("better, dose 1 against real: AUC by patch ")
    p, adjusted = (one_row(study[1].differences, arm="better", measure="auc")[column] for column in ("p", "p_holm"))
    assert 0.001 < p < adjusted < 0.05
    assert f"Shown better (p = {p:.3f}, p = {adjusted:.3f} after Holm's correction for 2 comparisons)." in better
    assert "95 % CI over patients and classifier seeds" in better
    assert "would have been shown" not in better
    assert "No difference shown (p = " in same
    smallest = one_row(study[1].differences, arm="same", measure="auc")["smallest_shown_in_family"]
    assert f"40 patients and 3 classifiers against 3 classifiers a true difference of {smallest:.3f}" in same
    assert same.endswith("in 80 % of such studies: a smaller one may well be there, in either direction.")
    assert "That no difference was shown does not mean that there is none." in sentences(study[1], "caution")


def on_training_sets(
    folder: Path, arm: str, separation: float, whose: tuple[str, ...], **facts: Any
) -> list[Evaluation]:
    """Make evaluations of an arm, each of whose classifiers learned from other patients."""
    return [
        make_evaluation(
            folder / f"{arm}-{number}",
            arm,
            separation,
            seed=number,
            real_share=0.1,
            learned=[LearnedFrom("train-classifier", tuple(names.split()))],
            **facts,
        )
        for number, names in enumerate(whose)
    ]


def test_arms_on_the_same_training_sets_are_compared_in_pairs(tmp_path: Path) -> None:
    whose = ("a b", "c d", "e f", "a b", "c d", "e f")
    plain = on_training_sets(tmp_path, "plain", 1.0, whose)
    filled = on_training_sets(tmp_path, "filled", 4.0, whose, dose=1.0, infillers=["f" * 64])
    found = compare_arms([*plain, *filled], tmp_path / "comparison", FEW)
    row = one_row(found.differences, measure="auc")
    assert (row["paired"], row["training_sets"], row["infillers"], row["classifiers"]) == (True, 3, 1, 6)
    assert one_row(found.arms, arm="plain", measure="auc")["training_sets"] == 3
    assert one_row(found.arms, arm="plain", measure="auc")["training"] == "training sets and classifier seeds"
    others = on_training_sets(tmp_path, "others", 4.0, ("g", "h", "i", "j"), dose=1.0)
    row = one_row(compare_arms([*plain, *others], tmp_path / "apart", FEW).differences, measure="auc")
    assert not row["paired"], "who learned from other patients is no pair"
    assert (row["training_sets"], row["against_training_sets"]) == (4, 3)
    numbered, painted = (
        [
            make_evaluation(tmp_path / f"{arm}-{k}", arm, 1.0, seed=k, real_share=0.1, training_set=k % 3, dose=dose)
            for k in range(6)
        ]
        for arm, dose in (("numbered", None), ("painted", 1.0))
    )
    row = one_row(compare_arms([*numbered, *painted], tmp_path / "numbered-sets", FEW).differences, measure="auc")
    assert row["paired"], "a study numbers its training sets: who learns from fills alone has no patients of its own"
    overlapping = on_training_sets(tmp_path, "overlapping", 4.0, ("a b", "b c", "c d"), dose=1.0)
    found = compare_arms([*plain, *overlapping], tmp_path / "overlapping-sets", FEW)
    assert one_row(found.arms, arm="overlapping", measure="auc")["training_sets"] == 1, "no draws of their own"


def test_a_training_set_that_one_arm_lacks_is_told(tmp_path: Path) -> None:
    """One missing cell of twelve ended the pairing, and nothing said so."""
    both = [
        make_evaluation(tmp_path / f"{arm}-{k}", arm, 1.0, seed=k, real_share=0.1, training_set=k, dose=dose)
        for arm, dose in (("real", None), ("filled", 1.0))
        for k in range(4)
    ]
    whole = compare_arms(both, tmp_path / "whole", FEW)
    assert one_row(whole.differences, measure="auc")["paired"]
    assert "within each training set" not in " ".join(sentences(whole, "caution"))
    short = compare_arms(both[:-1], tmp_path / "short", FEW)
    assert not one_row(short.differences, measure="auc")["paired"]
    (said,) = (text for text in sentences(short, "caution") if text.startswith("Not compared within each training set"))
    assert (
        "filled, dose 1, 10 % of the real patients lacks the training set of real-3 (number 3). The difference then"
        in said
    )


def test_a_sentence_tells_of_training_sets(tmp_path: Path) -> None:
    whose = ("a b", "c d", "e f")
    arms = [
        on_training_sets(tmp_path, "plain", 1.0, whose),
        on_training_sets(tmp_path, "filled", 1.0, whose, dose=1.0),
    ]
    (told,) = sentences(compare_arms([one for arm in arms for one in arm], tmp_path / "comparison", FEW), "comparison")
    assert "95 % CI over patients, training sets and classifier seeds" in told
    assert "3 classifiers against 3 classifiers, in pairs on 3 training sets with no patient in common, a true" in told


def test_a_comparison_of_before_training_sets_were_counted_is_still_read(tmp_path: Path) -> None:
    two = [make_evaluation(tmp_path / arm, arm, separation) for arm, separation in (("a", 1.0), ("b", 4.0))]
    found = compare_arms(two, tmp_path / "out", FEW)
    path = found.folder / "arms.parquet"
    pd.read_parquet(path).drop(columns="training_sets").to_parquet(path, index=False)
    assert set(Comparison(found.folder, found.manifest).table("arms")["training_sets"]) == {1}


def test_one_training_each_is_no_finding(tmp_path: Path) -> None:
    """From one seed an arm 0.113 of 400 studies without a difference were "shown" to have one."""
    two = [make_evaluation(tmp_path / arm, arm, separation) for arm, separation in (("a", 1.0), ("b", 4.0))]
    found = compare_arms(two, tmp_path / "out", replace(FEW, margin=0.02))
    row = one_row(found.differences, arm="b", measure="auc")
    assert row["low"] > 0, "however large the difference is"
    assert row["verdict"] == "not a finding"
    assert np.isnan([row["p"], row["p_holm"], row["p_delong"], row["p_worth_less"]]).all()
    (text,) = sentences(found, "comparison")
    assert "95 % CI over patients; variation between trainings is not in it" in text
    assert text.endswith("One training each: not a finding.")
    everything = " ".join(found.sentences["text"])
    assert "shown" not in everything.lower()
    assert not re.search(r"\bp\b", everything)
    assert any(text.startswith("Every arm was trained once.") for text in sentences(found, "caution"))
    assert found.manifest.counts["tested_comparisons"] == 0
    assert (found.arms["training"] == "").all()
    assert found.arms["over_seeds"].isna().all()


def test_one_arm_of_one_training_is_enough_for_no_finding(tmp_path: Path) -> None:
    three = [make_evaluation(tmp_path / f"a{seed}", "a", 1.0, seed=seed) for seed in range(2)]
    three.append(make_evaluation(tmp_path / "b", "b", 4.0))
    found = compare_arms(three, tmp_path / "out", FEW)
    assert "One arm was trained once: not a finding." in sentences(found, "comparison")[0]
    assert any(
        text.startswith("Trained once, so that variation between trainings") for text in sentences(found, "caution")
    )
    assert set(found.arms["training"]) == {"classifier seeds", ""}


def test_one_classifier_that_counts_as_two_trainings_is_told(tmp_path: Path) -> None:
    folders = [tmp_path / name / "same" for name in ("once", "again")]
    several = [make_evaluation(folder, "a", 1.0, seed=seed) for seed, folder in enumerate(folders)]
    several += [make_evaluation(tmp_path / f"b{seed}", "b", 4.0, seed=seed) for seed in range(2)]
    (text,) = [one for one in sentences(compare_arms(several, tmp_path / "out", FEW), "caution") if "identical" in one]
    assert text.startswith(
        "Scores that are bit-identical, as of one classifier that counts as two trainings: replicates 0 and 1 of a. "
        "Variation between trainings is then underestimated"
    )


def test_worse_is_said_to_be_worse(tmp_path: Path) -> None:
    arms = [("a", 4.0), ("b", 0.2)]
    several = [make_evaluation(tmp_path / f"{arm}{k}", arm, much, seed=k) for arm, much in arms for k in range(3)]
    found = compare_arms(several, tmp_path / "out", FEW)
    assert "Shown worse (p < 0.001)." in sentences(found, "comparison")[0]


# ---- a replicate is the whole chain ---------------------------------------------------------------------------------


def chains(folder: Path, shifts: tuple[float, ...], classifiers: int = 2) -> list[Evaluation]:
    """Make an arm without infiller, and one whose infillers are better and worse by `shifts`."""
    count = len(shifts) * classifiers
    made = [make_evaluation(folder / f"real-{k}", "real", 1.0, seed=k) for k in range(count)]
    for number, more in enumerate(shifts):
        for k in range(number * classifiers, (number + 1) * classifiers):
            told = {"added": "generated", "infiller": number}
            made.append(make_evaluation(folder / f"gan-{k}", "GAN", 1.0 + more, seed=k, dose=1.0, **told))
    return made


def test_classifiers_of_one_infiller_are_one_replicate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NO_VERIFY, "1")  # what is written into them below is not what was finished
    made = chains(tmp_path, (0.0, 0.8, 1.6))
    found = compare_arms(made, tmp_path / "out", FEW)
    row = one_row(found.arms, arm="GAN", measure="auc")
    assert (row["replicates"], row["infillers"], row["classifiers"]) == (3, 3, 6)
    truth = made[0].scores["pathology"] == "malignant"
    areas = np.array([roc_auc_score(truth, one.scores["logit"]) for one in made[6:]]).reshape(3, 2)
    assert row["over_seeds"] == pytest.approx(areas.mean(axis=1).std(ddof=1)), "between infillers"
    assert row["training"] == "infiller and classifier seeds"
    other = one_row(found.arms, arm="real", measure="auc")
    assert (other["replicates"], other["infillers"], other["classifiers"]) == (6, 0, 6)
    unnested = [make_evaluation(tmp_path / f"flat-{k}", "GAN", 1.0, seed=k, dose=1.0) for k in range(6)]
    for one, flat in zip(made[6:], unnested, strict=True):
        one.scores.to_parquet(flat.folder / "scores.parquet", index=False)
    flat = compare_arms([*made[:6], *map(reopened, unnested)], tmp_path / "flat", FEW)
    narrow = one_row(flat.arms, arm="GAN", measure="auc")
    assert narrow["value"] == pytest.approx(row["value"])
    assert row["high"] - row["low"] > 1.3 * (narrow["high"] - narrow["low"]), "three chains, not six"


def reopened(one: Evaluation) -> Evaluation:
    """Let an evaluation whose scores were changed be opened again."""
    remake_manifest(one.folder)
    return Evaluation.open(one.folder)


def test_one_infiller_is_no_finding_however_many_classifiers_it_has(tmp_path: Path) -> None:
    """One GAN with several classifiers: type I 0.10 to 0.24, since variation between GANs is in no interval."""
    found = compare_arms(chains(tmp_path, (3.0,), classifiers=4), tmp_path / "out", FEW)
    (text,) = sentences(found, "comparison")
    assert "over patients and classifier seeds; variation between infillers is not in it" in text
    assert "One infiller, so variation between infillers is not in the interval: not a finding." in text
    assert any(
        text.startswith("One infiller, so that variation between infillers") for text in sentences(found, "caution")
    )


# ---- units ----------------------------------------------------------------------------------------------------------


def test_infillers_of_which_nothing_is_known_count_as_one(tmp_path: Path) -> None:
    plain = [make_evaluation(tmp_path / f"plain{k}", "plain", 1.0, seed=k) for k in range(3)]
    fills = [make_evaluation(tmp_path / f"filled{k}", "filled", 4.0, seed=k, dose=1.0, infillers=[name])
             for k, name in enumerate(("a" * 64, "b" * 64, "unknown"))]  # fmt: skip
    found = compare_arms([*plain, *fills], tmp_path / "out", FEW)
    row = one_row(found.differences, arm="filled", measure="auc")
    assert (row["infillers"], row["verdict"]) == (1, "not a finding")
    (said,) = (text for text in sentences(found, "caution") if text.startswith("Which infillers painted"))
    assert said.startswith("Which infillers painted the fills is no longer known, so that all count as one infiller: "
                           "filled, dose 1. Put the synthetic patches back")  # fmt: skip


def test_by_lesion_by_patch_and_by_patient_are_measured_and_named(tmp_path: Path) -> None:
    several = [make_evaluation(tmp_path / f"{arm}{k}", arm, 1.0, seed=k) for arm in ("a", "b") for k in range(2)]
    found = compare_arms(several, tmp_path / "out", CompareArmsSettings(resamples=100, curve_resamples=100))
    assert set(found.differences.loc[found.differences["tested"], "measure"]) == {"auc_by_lesion"}
    values = found.arms[found.arms["arm"] == "a"].set_index("measure")["value"]
    scores = [one.scores for one in several[:2]]
    by_patch = [roc_auc_score(one["pathology"] == "malignant", one["logit"]) for one in scores]
    assert values["auc"] == pytest.approx(np.mean(by_patch))
    lesions = [one.groupby("lesion_ids").agg({"logit": "mean", "pathology": "first"}) for one in scores]
    by_lesion = [roc_auc_score(one["pathology"] == "malignant", one["logit"]) for one in lesions]
    assert values["auc_by_lesion"] == pytest.approx(np.mean(by_lesion))
    assert "AUC by lesion" in sentences(found, "comparison")[0]


def test_lesions_that_nobody_names_are_not_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NO_VERIFY, "1")  # what is written into them below is not what was finished
    two = [make_evaluation(tmp_path / arm, arm, 1.0) for arm in ("a", "b")]
    for one in two:
        one.scores.drop(columns="lesion_ids").to_parquet(one.folder / "scores.parquet", index=False)
    old = [reopened(one) for one in two]
    with pytest.raises(ArtifactError, match="a does not say which lesions its patches hold.* as auc_by_lesion"):
        compare_arms(old, tmp_path / "out")
    assert len(compare_arms(old, tmp_path / "out", FEW).arms)


# ---- what was planned -----------------------------------------------------------------------------------------------


def test_what_was_added_after_results_were_seen_is_described_and_not_tested(tmp_path: Path) -> None:
    arms = ("real", "early", "late")
    made = {
        arm: [make_evaluation(tmp_path / f"{arm}{k}", arm, 1.0, seed=k, dose=None if arm == "real" else 1.0)
              for k in range(2)]
        for arm in arms
    }  # fmt: skip
    for number, known in enumerate((arms[:2], arms)):
        design = sort_into_groups([one for arm in known for one in made[arm]], FEW).design
        content = content_of_plan(design, dict.fromkeys(known, "2 classifiers"), {}, {}, {}, {}, {})
        plans = write_plan(tmp_path / "plans", content, test_scores=4 * number)
    everything = [one for arm in arms for one in made[arm]]
    found = compare_arms(everything, tmp_path / "out", FEW, plans=plans)
    rows = found.differences.query("measure == 'auc'").set_index("arm")
    assert rows["plan"].to_dict() == {"early": "planned", "late": "added after results were seen"}
    assert rows["tested"].to_dict() == {"early": True, "late": False}
    assert rows.loc["early", "family"] == 1, "what was added costs what was planned nothing"
    assert np.isnan(rows.loc["late", "p"])
    assert sentences(found, "comparison")[0].endswith(" Planned.")
    assert sentences(found, "added")[0].endswith("Added after results were seen: described, not tested.")
    (said,) = sentences(found, "plan")
    assert said.endswith("1 comparison was planned, 1 added after results were seen. This test set was looked at 2 "
                         "times, each under another plan.")  # fmt: skip
    assert [one["test_scores_before"] for one in found.facts["plans"]] == [0, 4]


def planned_study(folder: Path) -> list[Evaluation]:
    """Three arms beside real only, three seeds each; the first is a little better, by chance or not."""
    arms = (("real", 1.0), ("x", 2.2), ("y", 1.0), ("z", 1.0))
    return [
        make_evaluation(folder / f"{arm}{k}", arm, much, seed=k, dose=None if arm == "real" else 1.0)
        for arm, much in arms
        for k in range(3)
    ]


def planned(
    folder: Path, made: list[Evaluation], settings: CompareArmsSettings, scores: int, times: str = "3 classifiers"
) -> list[Path]:
    design = sort_into_groups(made, settings).design
    content = content_of_plan(
        design,
        dict.fromkeys(design.arms, times),
        {},
        dict.fromkeys(design.groups, 3),
        {},
        dict.fromkeys(design.arms, "as planned"),
        {},
    )
    return write_plan(folder / "plans", content, test_scores=scores)


def test_what_was_planned_is_tested_together_whatever_is_asked_for_later(tmp_path: Path) -> None:
    """One of three comparisons asked for once their values were known was "shown", and called planned."""
    made = planned_study(tmp_path)
    plans = planned(tmp_path, made, FEW, 0)
    first = compare_arms(made, tmp_path / "first", FEW, plans=plans)
    x = one_row(first.differences, arm="x", measure="auc")
    assert x["p"] < 0.05 < x["p_holm"], "shown alone, not shown among three"
    narrowed = replace(FEW, planned_arms=("x",))
    amended = compare_arms(made, tmp_path / "out", narrowed, plans=planned(tmp_path, made, narrowed, 12))
    rows = amended.differences.query("measure == 'auc'")
    assert rows["tested"].all()
    assert (rows["family"] == 3).all()
    assert one_row(rows, arm="x")["p_holm"] == x["p_holm"]
    assert one_row(rows, arm="x")["smallest_shown_in_family"] == x["smallest_shown_in_family"]


def test_fewer_classifiers_than_planned_are_told(tmp_path: Path) -> None:
    """Leaving one out once scores are known is a choice among results; it was called planned without a word."""
    made = planned_study(tmp_path)
    plans = planned(tmp_path, made, FEW, 0)
    whole = compare_arms(made, tmp_path / "whole", FEW, plans=plans)
    assert all(said.endswith(" Planned.") for said in sentences(whole, "comparison"))
    short = compare_arms([one for one in made if one.folder.name != "x2"], tmp_path / "out", FEW, plans=plans)
    of_x, *others = sentences(short, "comparison")
    assert of_x.endswith(" Planned, but with more classifiers than there are: 2 of 3 of x, dose 1.")
    assert all(said.endswith(" Planned.") for said in others)


def test_more_classifiers_than_planned_are_no_plan(tmp_path: Path) -> None:
    """Who trains on until something shows will see it show; twice as many trainings were called planned."""
    made = planned_study(tmp_path)
    plans = planned(tmp_path, made, FEW, 0)
    more = [make_evaluation(tmp_path / f"x{k}", "x", 2.2, seed=k, dose=1.0) for k in range(3, 6)]
    found = compare_arms([*made, *more], tmp_path / "out", FEW, plans=plans)
    rows = found.differences.query("measure == 'auc'").set_index("arm")
    assert rows["plan"].to_dict() == {"x": "added after results were seen", "y": "planned", "z": "planned"}
    assert not rows.loc["x", "tested"]
    (told,) = sentences(found, "added")
    assert told.endswith("Added after results were seen (6 classifiers of x, dose 1, where 3 were planned): described, "
                         "not tested.")  # fmt: skip
    (said,) = sentences(found, "plan")
    assert "of which 1 is not here as planned (x, dose 1 against real) and counts in Holm's correction" in said


def test_arms_that_were_trained_otherwise_than_planned_are_no_plan(tmp_path: Path) -> None:
    """Plans were compared with plans, and never with what was evaluated."""
    arms = (("real", None, "as planned"), ("x", 1.0, "as planned"), ("y", 1.0, "slower"), ("z", 1.0, ""))
    made = [make_evaluation(tmp_path / f"{arm}{k}", arm, 1.0, seed=k, dose=dose, recipe=recipe)
            for arm, dose, recipe in arms for k in range(3)]  # fmt: skip
    settings = replace(FEW, counterparts=(("y", "real"),))
    found = compare_arms(made, tmp_path / "out", settings, plans=planned(tmp_path, made, settings, 0))
    rows = found.differences.query("measure == 'auc'").set_index("arm")
    told = rows["plan"].to_dict()
    assert told == {"x": "planned", "y": "added after results were seen", "z": "planned"}, "of z nobody knows"
    (said,) = sentences(found, "added")
    assert "Added after results were seen (y, dose 1 was trained with other settings than planned): described" in said


def test_a_planned_comparison_that_is_left_out_counts_all_the_same(tmp_path: Path) -> None:
    made = planned_study(tmp_path)
    plans = planned(tmp_path, made, FEW, 0)
    whole = compare_arms(made, tmp_path / "whole", FEW, plans=plans)
    found = compare_arms([one for one in made if one.arm in ("real", "x")], tmp_path / "out", FEW, plans=plans)
    row = one_row(found.differences, arm="x", measure="auc")
    assert (row["family"], row["p_holm"]) == (3, one_row(whole.differences, arm="x", measure="auc")["p_holm"])
    (said,) = sentences(found, "plan")
    assert "3 comparisons were planned, of which 2 are not here as planned (y, dose 1 against real; z, dose 1" in said


@pytest.mark.parametrize("change", ["confidence", "seeds", "source"])
def test_another_question_than_the_planned_one_is_not_tested(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = planned_study(tmp_path)
    planned(tmp_path, made, FEW, 0)
    settings = replace(FEW, confidence=0.8) if change == "confidence" else FEW
    plans = planned(tmp_path, made, settings, 12, "5 classifiers" if change == "seeds" else "3 classifiers")
    if change == "source":  # a second source that the plan does not name
        monkeypatch.setattr(Evaluation, "external", "elsewhere")
    found = compare_arms(made, tmp_path / "out", settings, plans=plans)
    rows = found.differences.query("measure == 'auc'")
    assert set(rows["plan"]) == {"added after results were seen"}
    assert not rows["tested"].any()


def test_a_plan_that_was_changed_before_there_were_scores_is_the_plan(tmp_path: Path) -> None:
    made, fewer = planned_study(tmp_path), replace(FEW, planned_arms=("x",))
    planned(tmp_path, made, FEW, 0)
    found = compare_arms(made, tmp_path / "out", fewer, plans=planned(tmp_path, made, fewer, 0))
    told = found.differences.query("measure == 'auc'").set_index("arm")["plan"].to_dict()
    assert told == {"x": "planned", "y": "described, not tested", "z": "described, not tested"}
    (said,) = sentences(found, "plan")
    assert said.endswith("1 comparison was planned. This test set was looked at once.")


def test_no_measure_but_the_primary_one_is_called_planned(tmp_path: Path) -> None:
    """Plans do not name the others, so that any could be asked for once results were seen."""
    made = planned_study(tmp_path)
    found = compare_arms(made, tmp_path / "out", FEW, plans=planned(tmp_path, made, FEW, 0))
    told = found.differences.groupby("measure")["plan"].unique()
    assert told.map(list).to_dict() == {
        "auc": ["planned"], "accuracy": ["described, not tested"], "brier": ["described, not tested"]
    }  # fmt: skip


# ---- a margin -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("separation", "margin", "said"),
    [
        (1.0, 0.5, ("shown", "shown", "shown")),
        (1.0, 0.001, ("not shown", "not shown", "not shown")),
        (4.0, 0.02, ("not shown", "shown", "not shown")),
        (-3.0, 0.02, ("shown", "not shown", "not shown")),
    ],
    ids=["alike", "too few to tell", "better", "worse"],
)
def test_against_a_margin(separation: float, margin: float, said: tuple[str, ...], tmp_path: Path) -> None:
    arms = [("a", 1.0), ("b", separation)]
    several = [make_evaluation(tmp_path / f"{arm}{k}", arm, much, seed=k) for arm, much in arms for k in range(3)]
    found = compare_arms(several, tmp_path / "out", replace(FEW, margin=margin))
    row = one_row(found.differences, arm="b", measure="auc")
    assert (row["worth_less"], row["not_worse"], row["equivalent"]) == said
    # Two one-sided tests at 2.5 % are the interval of 95 %.
    assert (row["worth_less"] == "shown") == (row["high"] < margin)
    assert (row["not_worse"] == "shown") == (row["low"] > -margin)
    (text,) = sentences(found, "comparison")
    assert f"That it gains less than {margin:g} AUC: {said[0]} (p " in text
    assert ("equivalent within that margin" in text) == (said[2] == "shown")


@pytest.mark.parametrize(
    ("p", "level", "words"),
    [(0.04996, 0.05, "0.04996"), (0.0499, 0.05, "0.0499"), (0.05003, 0.05, "0.050"), (0.033, 0.025, "0.033"),
     (0.02496, 0.025, "0.02496"), (0.0004, 0.05, "< 0.001"), (0.9996, 0.05, "1.000")],
)  # fmt: skip
def test_a_p_is_never_rounded_over_its_level(p: float, level: float, words: str) -> None:
    """Shown with "p = 0.050", at a level of 0.05, made no sense."""
    assert p_in_words(p, level) == words


def test_trainings_of_other_length_are_told(tmp_path: Path) -> None:
    """With epochs an arm trains the longer the more is added: what is compared then differs in more than that."""
    made = [
        make_evaluation(tmp_path / f"{arm}{k}", arm, 1.0, seed=k, dose=dose, images_seen=seen)
        for arm, dose, seen in (("real", None, 12_000), ("twice", 1.0, 24_000), ("as long", 1.0, 12_032))
        for k in range(2)
    ]
    found = compare_arms(made, tmp_path / "out", FEW)
    (said,) = [text for text in sentences(found, "caution") if text.startswith("Not trained equally long")]
    assert "twice, dose 1 saw 24000 images, real 12000. A difference" in said
    assert "as long" not in said


def test_a_dose_that_was_not_reached_is_told(tmp_path: Path) -> None:
    """Behind a gate "dose 1" was 57 to 84 fills for 564 real patches, and nothing said so."""
    made = [
        make_evaluation(tmp_path / f"{arm}{k}", arm, 1.0, seed=k, dose=dose, added=added, synthetic_patches=fills[k])
        for arm, dose, added, fills in (("real", None, "", (0, 0)), ("gated", 1.0, "generated", (30, 50)),
                                        ("whole", 1.0, "generated", (398, 402)), ("again", 1.0, "repeated", (0, 0)))
        for k in range(2)
    ]  # fmt: skip
    found = compare_arms(made, tmp_path / "out", FEW)
    (said,) = sentences(found, "fills")
    assert said.startswith(
        "gated learned from 0.10 fills for each real patch (40 beside 400) at dose 1: no more passed"
    )
    assert fewer_fills(found) == (said,)
    assert found.break_even.set_index("arm")["added_patches"].to_dict() == {"gated": 40, "whole": 400, "again": 400}


@pytest.mark.parametrize(
    ("fills", "words"),
    [
        ((0, 0), "tried learned from fills in 0 of 2 trainings at dose 1: validation showed no gain with them."),
        ((0, 400), "tried learned from fills in 1 of 2 trainings at dose 1: in the others validation showed no gain"),
        ((400, 400), "tried learned from fills in 2 of 2 trainings at dose 1: validation showed a gain with them."),
    ],
)
def test_how_often_fills_on_trial_were_allowed_is_told(fills: tuple[int, int], words: str, tmp_path: Path) -> None:
    made = [make_evaluation(tmp_path / f"real{k}", "real", 1.0, seed=k) for k in range(2)]
    made += [
        make_evaluation(
            tmp_path / f"tried{k}", "tried", 1.1, seed=5 + k, dose=1.0, added="generated",
            synthetic_patches=fills[k], fills_on_trial=[int(bool(fills[k])), 1],
        )
        for k in range(2)
    ]  # fmt: skip
    (said,) = sentences(compare_arms(made, tmp_path / "out", FEW), "fills")
    assert said.startswith(words)


def test_fills_of_an_arm_at_several_shares_are_one_sentence(tmp_path: Path) -> None:
    made = [
        make_evaluation(tmp_path / f"{arm}{share}{k}", arm, 1.0, seed=k, real_share=share, **fills)
        for share, kept, allowed in ((1.0, 40, 1), (0.25, 20, 0))
        for arm, fills in (
            ("real", {}),
            ("gated", {"dose": 1.0, "added": "generated", "synthetic_patches": kept}),
            ("tried", {"dose": 1.0, "added": "generated", "synthetic_patches": 0, "fills_on_trial": [allowed, 1]}),
        )
        for k in range(2)
    ]
    found = compare_arms(made, tmp_path / "out", FEW)
    gated, tried = sentences(found, "fills")
    assert gated.startswith(
        "gated learned from 0.10 fills for each real patch (40 beside 400) at dose 1; "
        "0.20 fills for each real patch (20 beside 100) at dose 1, 25 % of the real patients: no more passed a gate"
    )
    assert tried == (
        "tried learned from fills in 2 of 2 trainings at dose 1; 0 of 2 trainings at dose 1, 25 % of the real "
        "patients: in the others validation showed no gain with them."
    )
    assert fewer_fills(found) == (gated, tried)


def test_one_draw_of_the_patients_is_told(tmp_path: Path) -> None:
    def who(patients: str) -> list[LearnedFrom]:
        return [LearnedFrom("train-classifier", tuple(patients))]

    made = [
        make_evaluation(tmp_path / f"{arm}{share}{k}", arm, 1.0, seed=k, real_share=share, learned=who(patients[k]))
        for arm, share, patients in (("a", 1.0, ("xyz", "xyz")), ("b", 1.0, ("xyz", "xyz")), ("a", 0.5, ("x", "x")),
                                     ("b", 0.5, ("x", "x")), ("a", 0.25, ("y", "z")), ("b", 0.25, ("y", "z")))
        for k in range(2)
    ]  # fmt: skip
    found = compare_arms(made, tmp_path / "out", FEW)
    (said,) = [text for text in sentences(found, "caution") if "learned from the same ones" in text]
    assert said.startswith("At 50 % of the real patients all classifiers")


def test_classifiers_of_one_arm_that_were_trained_in_two_ways_are_told(tmp_path: Path) -> None:
    made = [make_evaluation(tmp_path / f"{arm}{k}", arm, 1.0, seed=k, recipe="slow" if (arm, k) == ("b", 1) else "fast")
            for arm in "ab" for k in range(2)]  # fmt: skip
    cautions = sentences(compare_arms(made, tmp_path / "out", FEW), "caution")
    assert any(text.startswith("Not all classifiers of one arm were trained in the same way: b.") for text in cautions)


def test_arms_that_start_from_other_weights_are_no_counterparts(tmp_path: Path) -> None:
    """The file of weights is in no setting of the plan, so that two such arms had one recipe."""
    cells = (("one", "", "local file 1111"), ("other", "", "local file 2222"), ("more", "generated", "local file 2222"))
    made = [make_evaluation(tmp_path / arm, arm, 1.0, dose=1.0 if added else None, added=added, recipe="same",
                            label=f"SqueezeNet 1.1, pretrained ({file})") for arm, added, file in cells]  # fmt: skip
    design = sort_into_groups(made, FEW).design
    assert [one.name for one in design.contrasts() if one.tested] == ["more, dose 1 against other"]


def test_arms_that_start_from_the_discriminators_of_other_infillers_are_no_counterparts(tmp_path: Path) -> None:
    arms = (("from a", "a0 a1", ""), ("from b", "b0 b1", ""), ("filled", "b0 b1", "generated"))
    made = [make_evaluation(tmp_path / f"{arm}{seed}", arm, 1.0, seed=seed, recipe="same", added=added,
                            label=f"discriminator, infiller {start}, standardised")
            for arm, starts, added in arms for seed, start in enumerate(starts.split())]  # fmt: skip
    design = sort_into_groups(made, FEW).design
    assert [one.name for one in design.contrasts() if one.tested] == ["filled against from b"]


def test_an_arm_that_learned_from_further_patients_is_no_counterpart(tmp_path: Path) -> None:
    arms = (("twice", "a b c d", ""), ("real", "a b", ""), ("filled", "a b", "generated"))
    made = [make_evaluation(tmp_path / arm, arm, 1.0, real_share=0.5, recipe="same", added=added,
                            learned=[LearnedFrom("train-classifier", tuple(whose.split()))])
            for arm, whose, added in arms]  # fmt: skip
    at = "50 % of the real patients"
    tested = [one.name for one in sort_into_groups(made, FEW).design.contrasts() if one.tested]
    assert tested == [f"filled, {at} against real, {at}"]
    alone = sort_into_groups([made[0], made[2]], FEW).design
    (said,) = alone.not_compared()
    assert said.startswith(f"filled, {at}: no arm differs from it in nothing but the added patches. Name one in")


def test_where_no_gain_could_have_been_shown_is_said(tmp_path: Path) -> None:
    """From 0.815 "a true difference of 0.791 would have been shown": there is none as large."""
    made = [make_evaluation(tmp_path / f"{arm}{k}", arm, 3.0 + 3 * k * (arm == "b"), seed=k)
            for arm in "ab" for k in range(2)]  # fmt: skip
    found = compare_arms(made, tmp_path / "out", FEW)
    row = one_row(found.differences, arm="b", measure="auc")
    assert 1 - row["against_value"] < row["smallest_shown_in_family"] < 1
    (text,) = sentences(found, "comparison")
    room = f"From {row['against_value']:.3f} it can rise by {1 - row['against_value']:.3f} at most: no gain, however"
    assert room in text


def test_too_few_patients_are_told(tmp_path: Path) -> None:
    world = World(patients=6)
    two = [make_evaluation(tmp_path / arm, arm, 1.0, world=world) for arm in ("a", "b")]
    found = compare_arms(two, tmp_path / "out", FEW)
    cautions = sentences(found, "caution")
    assert any("Only 3 patients have patches of the class that limits the AUC by patch" in text for text in cautions)
    left_out = int(found.differences["left_out"].max())
    assert left_out > 0
    assert any(f"In up to {left_out} of 300 resamples of patients a class was missing" in text for text in cautions)


def test_one_patient_of_a_class_cannot_be_judged(tmp_path: Path) -> None:
    world = World(patients=2)
    arms = [(arm, k) for arm in "ab" for k in range(2)]
    several = [make_evaluation(tmp_path / f"{arm}{k}", arm, 1.0, seed=k, world=world) for arm, k in arms]
    found = compare_arms(several, tmp_path / "out", FEW)
    assert set(found.differences.query("measure == 'auc'")["verdict"]) == {"cannot be judged"}
    assert "It cannot be judged" in sentences(found, "comparison")[0]


# ---- which are compared ---------------------------------------------------------------------------------------------


def test_two_arms_that_make_no_mistake_are_not_shown_to_be_equivalent(tmp_path: Path) -> None:
    """An error of 0 over twelve patients was taken for certainty: equivalent within 0.02, p < 0.001."""
    world = World(patients=12)
    made = [make_evaluation(tmp_path / f"{arm}{k}", arm, 20.0 + k, seed=k, world=world)
            for arm in "ab" for k in range(3)]  # fmt: skip
    found = compare_arms(made, tmp_path / "out", replace(FEW, margin=0.02))
    row = one_row(found.differences, arm="b", measure="auc")
    assert (row["value"], row["against_value"], row["difference"]) == (1.0, 1.0, 0.0)
    assert (row["verdict"], row["equivalent"]) == ("cannot be judged", "not shown")
    assert all(math.isnan(row[name]) for name in ("low", "high", "p", "p_worth_less", "smallest_shown"))
    (text,) = sentences(found, "comparison")
    assert "or because all their resamples give the same difference." in text
    assert "It cannot be judged: no standard error of the difference can be computed from these patients" in text


def test_arms_of_the_very_same_classifiers_have_no_difference_and_no_test(tmp_path: Path) -> None:
    """Of an arm whose fills validation never allowed, "a true difference of 0.035 would have been shown"."""
    plain = [make_evaluation(tmp_path / f"plain/{k}", "plain", 2.0, seed=k) for k in range(3)]
    tried = [make_evaluation(tmp_path / f"tried/{k}", "tried", 2.0, seed=k, dose=1.0, fills_on_trial=[0, 1])
             for k in range(3)]  # fmt: skip
    found = compare_arms([*plain, *tried], tmp_path / "out", replace(FEW, margin=0.02))
    row = one_row(found.differences, arm="tried", measure="auc")
    assert (row["verdict"], row["difference"], row["equivalent"]) == ("the same classifiers", 0.0, "")
    assert 0.5 < row["value"] < 1
    assert all(math.isnan(row[name]) for name in ("low", "high", "p", "p_worth_less", "smallest_shown"))
    gain = one_row(found.doses, arm="tried", measure="auc")
    assert gain["gain"] == 0
    assert math.isnan(gain["gain_low"])
    (text,) = sentences(found, "comparison")
    same = "difference 0.000. The same classifiers: their scores are bit-identical, so there is nothing to test"
    assert same in text
    value = f"{row['value']:.3f}"
    assert in_short(found) == f"The same classifiers (bit-identical scores): tried, dose 1, as plain ({value})."
    figure = forest_plot(found)
    assert figure is not None
    assert "nan" not in figure.alt.lower()


def areas_of(evaluations: list[Evaluation]) -> list[float]:
    return [float(roc_auc_score(one.scores["pathology"] == "malignant", one.scores["logit"])) for one in evaluations]


def half_width(row: pd.Series) -> float:
    return float(row["high"] - row["low"]) / 2


def test_what_classifiers_vary_by_cancels_where_both_arms_have_the_very_same(tmp_path: Path) -> None:
    """As where validation allowed fills to one of four."""
    plain = [make_evaluation(tmp_path / f"plain/{k}", "plain", 2.0 + k / 5, seed=k) for k in range(4)]
    tried = [make_evaluation(tmp_path / f"tried/{k}", "tried", 2.0 + k / 5 + 0.2 * (k == 2), seed=k, dose=1.0,
                             infiller=k, fills_on_trial=[int(k == 2), 1]) for k in range(4)]  # fmt: skip
    found = compare_arms([*plain, *tried], tmp_path / "out", replace(FEW, margin=0.02))
    row = one_row(found.differences, arm="tried", measure="auc")
    assert row["shared_classifiers"] == 0.75
    assert row["difference"] == pytest.approx(row["value"] - row["against_value"])
    areas = {arm: areas_of(made) for arm, made in (("plain", plain), ("tried", tried))}
    moved = np.subtract(areas["tried"], areas["plain"])
    assert (moved != 0).tolist() == [False, False, True, False]
    assert row["difference"] == pytest.approx(moved.mean())
    (text,) = sentences(found, "comparison")
    assert "4 classifiers (75 % of the classifiers are the very same in both) a true difference of" in text

    other = [make_evaluation(tmp_path / f"other/1{k}", "tried", 2.0 + k / 5, seed=k, dose=1.0, infiller=k)
             for k in range(4)]  # fmt: skip
    apart = one_row(compare_arms([*plain, *other], tmp_path / "apart", FEW).differences, arm="tried", measure="auc")
    assert apart["shared_classifiers"] == 0
    three = 0.999 * stats.t.isf(0.025, 3) / 2  # Student's t for four trainings, of the mean of four
    assert three * math.hypot(*(np.std(one, ddof=1) for one in (areas["plain"], areas_of(other)))) <= half_width(apart)
    own = three * math.hypot(*(np.std(one, ddof=1) for one in areas.values()))
    assert own / 2 <= half_width(row) < 0.9 * own, (
        "one classifier of four varies in each arm: a quarter of the variance"
    )
    assert three * moved.std(ddof=1) <= half_width(row), "nor less than the differences show"

    shifted = [make_evaluation(tmp_path / f"shifted/{k}", "tried", 2.0 + k / 5 + 0.2 * (k == 2), seed=k + 1, dose=1.0,
                               infiller=k) for k in range(4)]  # fmt: skip
    assert not compare_arms([*plain, *shifted], tmp_path / "no", FEW).differences["shared_classifiers"].any()


def grid(folder: Path) -> list[Evaluation]:
    """Real only and generated at two shares, generated and repeated at two doses."""
    cells: list[tuple[str, float | None, float]] = [("real", None, 1.0), ("real", None, 0.5)]
    cells += [(arm, dose, 1.0) for arm in ("generated", "repeated") for dose in (1.0, 2.0)]
    cells += [("generated", 1.0, 0.5), ("generated", 1.0, 0.25)]
    return [
        make_evaluation(folder / f"{number}", arm, 1.0, dose=dose, real_share=share)
        for number, (arm, dose, share) in enumerate(cells)
    ]


def compared(comparison: Comparison, planned: bool) -> set[tuple[str, float, str, float]]:
    table = comparison.differences.query("measure == 'auc'")
    rows = table[table["tested"] == planned].to_dict("records")
    return {(row["arm"], row["dose"], row["against"], row["real_share"]) for row in rows}


def test_planned_are_all_doses_at_the_whole_share(tmp_path: Path) -> None:
    found = compare_arms(grid(tmp_path), tmp_path / "out", FEW)
    arms = [(arm, dose, "real", 1.0) for arm in ("generated", "repeated") for dose in (1.0, 2.0)]
    assert compared(found, True) == set(arms)
    assert compared(found, False) == {("generated", 1.0, "real", 0.5)}
    unplanned = found.differences[~found.differences["tested"]]
    assert unplanned["p_holm"].isna().all()
    assert (unplanned["verdict"] == "").all()
    assert sentences(found, "not-compared") == [
        "generated, dose 1, 25 % of the real patients is compared with nothing: real was not evaluated at that share "
        "of the real patients."
    ]


def test_named_pairs_and_doses_are_planned(tmp_path: Path) -> None:
    settings = CompareArmsSettings(
        resamples=100, curve_resamples=100, measures=("auc",), planned_doses=(1.0,), pairs=(("generated", "repeated"),)
    )
    found = compare_arms(grid(tmp_path), tmp_path / "out", settings)
    assert compared(found, True) == {
        ("generated", 1.0, "real", 1.0), ("repeated", 1.0, "real", 1.0), ("generated", 1.0, "repeated", 1.0)
    }  # fmt: skip
    assert ("generated", 2.0, "repeated", 1.0) in compared(found, False)
    row = one_row(found.differences, arm="generated", against="repeated", dose=2.0)
    assert row["against_dose"] == 2.0, "at the same dose"


def test_the_reference_can_be_named(tmp_path: Path) -> None:
    two = [make_evaluation(tmp_path / arm, arm, 1.0) for arm in ("a", "b")]
    found = compare_arms(two, tmp_path / "out", CompareArmsSettings(reference="b", resamples=100, curve_resamples=100))
    assert set(found.differences["arm"]) == {"a"}


def test_doses_and_shares_are_told(tmp_path: Path) -> None:
    found = compare_arms(grid(tmp_path), tmp_path / "out", FEW)
    doses = found.doses.query("measure == 'auc' and real_share == 1")
    assert list(zip(doses["arm"], doses["dose"], strict=True)) == [
        ("real", 0.0), ("generated", 1.0), ("generated", 2.0), ("repeated", 1.0), ("repeated", 2.0)
    ]  # fmt: skip
    assert doses["gain"].isna().tolist() == [True, False, False, False, False]
    shares = found.shares.query("measure == 'auc'")
    assert list(zip(shares["arm"], shares["real_share"], strict=True)) == [
        ("real", 0.5), ("real", 1.0), ("generated", 0.25), ("generated", 0.5), ("generated", 1.0)
    ]  # fmt: skip
    generated, repeated = sentences(found, "dose")
    assert generated.startswith("generated, AUC by patch against the dose: ")
    assert " without (real), " in generated
    assert "From dose 1 to 2 it changes by " in repeated


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_one_evaluation_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(TooFewError, match="needs two evaluations or more, but was given 1"):
        compare_arms([make_evaluation(tmp_path / "a", "a", 1.0)], tmp_path / "out", FEW)


def test_other_test_sets_are_refused_by_fingerprint(tmp_path: Path) -> None:
    one = make_evaluation(tmp_path / "a", "a", 1.0)
    other = make_evaluation(tmp_path / "b", "b", 1.0, test_set="b" * 64)
    with pytest.raises(ArtifactError, match=f"different test sets \\({'a' * 12} and {'b' * 12}\\): .* Evaluate both"):
        compare_arms([one, other], tmp_path / "out", FEW)
    assert not list(tmp_path.glob("out*"))


def test_the_same_place_twice_is_refused(tmp_path: Path) -> None:
    two = [make_evaluation(tmp_path / name, "a", 1.0, dose=2.0, seed=1) for name in ("x", "y")]
    with pytest.raises(ArtifactError, match="x and .*y both stand for a, dose 2, replicate 1. Give each its own"):
        compare_arms(two, tmp_path / "out", FEW)


def test_a_leak_is_refused(tmp_path: Path) -> None:
    learned = [LearnedFrom("train-infiller", ("patient-3", "patient-x"))]
    two = [make_evaluation(tmp_path / "a", "a", 1.0), make_evaluation(tmp_path / "b", "b", 1.0, learned=learned)]
    with pytest.raises(LeakError, match="learned from 1 of the patients .* first patient-3, through train-infiller"):
        compare_arms(two, tmp_path / "out", FEW)


@pytest.mark.parametrize("wrong", [{"reference": "c"}, {"pairs": (("a", "c"),)}])
def test_an_arm_that_is_not_there_is_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    two = [make_evaluation(tmp_path / arm, arm, 1.0) for arm in ("a", "b")]
    with pytest.raises(SettingsError, match="there is no arm 'c' among the evaluations; there are \\['a', 'b'\\]"):
        compare_arms(two, tmp_path / "out", CompareArmsSettings(**wrong))


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("pairs", (("a", "a"),), "different pairs of two different arms"),
        ("planned_doses", (0.0,), "numbers above 0"),
        ("measures", ("f1",), "auc, pr_auc, accuracy"),
        ("measures", (), "auc, pr_auc, accuracy"),
        ("resamples", 99, "at least 100"),
        ("confidence", 1.0, r"in \(0, 1\)"),
        ("power", 0.5, r"in \(0.5, 1\)"),
        ("curve_resamples", 3000, r"from 100 to resamples \(2000\)"),
        ("hardest", -1, "at least 0"),
    ],
)
def test_comparisons_without_sense_are_refused(field: str, value: Any, rule: str) -> None:
    with pytest.raises(SettingsError, match=f"CompareArmsSettings.{field} must be {rule}"):
        CompareArmsSettings(**{field: value})


def test_evaluations_from_before_there_were_replicates_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NO_VERIFY, "1")  # what is written into them below is not what was finished
    one = make_evaluation(tmp_path / "a", "a", 1.0)
    old = {"arm": "b", "label": "toy", "threshold": 0.5, "test_set": "a" * 64, "confidence": 0.95}
    other = make_evaluation(tmp_path / "b", "b", 1.0)
    (other.folder / "evaluation.json").write_text(json.dumps(old))
    found = compare_arms([one, reopened(other)], tmp_path / "out", FEW)
    row = one_row(found.arms, arm="b", measure="auc")
    assert math.isnan(row["dose"])
    assert row["real_share"] == 1
    assert len(found.calibration.query("arm == 'b'")) == 1, "nothing after a temperature that nobody fitted"
