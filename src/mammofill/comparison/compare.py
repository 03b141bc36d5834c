"""Comparing arms on one frozen test set: the stage `compare-arms`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mammofill.comparison.break_even import break_even_table, doses_table, shares_table
from mammofill.comparison.comparison import TABLES, Comparison
from mammofill.comparison.curves import calibration_table, curves_table, hardest_table, reliability_table
from mammofill.comparison.differences import arms_table, differences_table
from mammofill.comparison.groups import Groups, sort_into_groups
from mammofill.comparison.plan import WrittenPlan, read_plans
from mammofill.comparison.sentences import sentences_table
from mammofill.comparison.settings import CompareArmsSettings
from mammofill.evaluation.evaluation import Evaluation
from mammofill.evaluation.intervals import Resamples
from mammofill.ground.artifact import begin, write_atomically
from mammofill.ground.progress import Progress, Task, quiet
from mammofill.ground.seeding import stream

_SCHEME = (
    "Mean over the replicates of a group; a replicate is a chain of training from the infiller on, classifiers of one "
    "infiller averaged. Error after Obuchowski and Rockette: variance between the replicates of each group, and "
    "covariances from resamples of patients (each with all lesions and patches, the same resamples for all groups). "
    "Interval: Student's t for each part, combined as the root of the sum of squares; on the log-odds scale for "
    "shares. Where a group was trained once, the interval is over patients alone, and nothing is tested."
)


def compare_arms(
    evaluations: Sequence[Evaluation],
    out: str | Path,
    settings: CompareArmsSettings = CompareArmsSettings(),
    *,
    plans: Sequence[Path] = (),
    seed: int = 0,
    progress: Progress = quiet,
) -> Comparison:
    """Compare the arms of a study, over patients and training.

    Args:
        evaluations: of one test set; those that differ in the replicate alone form a group.
        out: folder of the comparison.
        settings: counterparts, further pairs, measures, margin, resamples.
        plans: files of plans that were written before the evaluations were made, as a study keeps them; see `plan`.
        seed: decides the resamples.
        progress: notified as evaluations are measured.

    Returns:
        The comparison.

    Raises:
        TooFewError: fewer than two evaluations.
        ArtifactError: test sets differ, or two evaluations stand for the same replicate.
        LeakError: a test patient shaped what is evaluated.
        SettingsError: an arm is named that is not there.
        DamagedError: a plan was changed after it was written.
    """
    written = read_plans(plans)
    groups = sort_into_groups(evaluations, settings)
    groups.check_units(settings.measures)
    inputs: dict[str, Any] = {"evaluations": list(evaluations)}
    if plans:
        inputs["plans"] = list(plans)
    with begin(
        out,
        kind=Comparison.kind,
        stage="compare-arms",
        settings=settings,
        seed=seed,
        inputs=inputs,
    ) as work:
        if work is not None:
            with progress.task("comparing arms", len(evaluations) + len(groups.members)) as task:
                tables = make_tables(groups, settings, seed, task, written)
            for name, table in tables.items():
                table.to_parquet(work.folder / f"{name}.parquet", index=False)
            # Of what belongs to the family, arms that were trained once have no p: nothing is tested there.
            tested = int(tables["differences"]["p"].notna().sum())
            facts = _facts(groups, evaluations[0], settings, tested, written)
            write_atomically(work.folder / "comparison.json", json.dumps(facts, indent=2) + "\n")
            work.finish({
                "evaluations": len(evaluations),
                "groups": len(groups.members),
                "tested_comparisons": facts["tested_comparisons"],
                "patients": facts["patients"],
            })  # fmt: skip
    return Comparison.open(out)


def _facts(
    groups: Groups, first: Evaluation, settings: CompareArmsSettings, tested: int, plans: Sequence[WrittenPlan]
) -> dict[str, Any]:
    """Return what ``comparison.json`` says; what all evaluations have in common is taken from the first."""
    return {
        "test_set": first.test_set,
        "external": first.external,
        "folds": len(first.folds),
        "curves_within_folds": groups.pooled,
        "patients": len(set(groups.patients)),
        "benign_patches": int((~groups.malignant).sum()),
        "malignant_patches": int(groups.malignant.sum()),
        "reference": groups.reference,
        "primary_measure": settings.measures[0],
        "lesions": len(groups.units.lesions.malignant) if groups.units.lesions_are_named else None,
        "tested_comparisons": tested,
        "margin": settings.margin,
        "plans": [
            {"number": one.number, "sha256": one.sha256, "test_scores_before": one.test_scores_before} for one in plans
        ],
        "confidence": settings.confidence,
        "power": settings.power,
        "scheme": _SCHEME,
    }


def make_tables(
    groups: Groups, settings: CompareArmsSettings, seed: int, task: Task, plans: Sequence[WrittenPlan] = ()
) -> dict[str, pd.DataFrame]:
    """Make all tables of a comparison; name -> columns of `TABLES`.

    Args:
        groups: the evaluations.
        settings: of the comparison.
        seed: decides the resamples.
        task: advances by one per evaluation, and by one per group.
        plans: that were written down.
    """
    resamples = Resamples.draw(groups.patients, settings.resamples, stream(seed, "compare-arms"))
    measured = groups.measured(settings.measures, resamples, task)
    tables = {
        "arms": arms_table(groups, measured, settings),
        "differences": differences_table(groups, measured, settings, plans),
        "doses": doses_table(groups, measured, settings),
        "shares": shares_table(groups, measured, settings),
        "break_even": break_even_table(groups, measured, settings, seed),
        "scores": groups.scores(),
        "calibration": calibration_table(groups),
        "reliability": reliability_table(groups),
        "curves": curves_table(groups, resamples, settings, task),
        "hardest": hardest_table(groups, settings),
    }
    tables["sentences"] = sentences_table(groups, measured, tables, settings, plans)
    assert tables.keys() == TABLES.keys()
    return tables
