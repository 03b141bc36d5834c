"""Comparing arms on one frozen test set: the stage `compare-arms`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mammofill.comparison.break_even import break_even_table, doses_table, shares_table
from mammofill.comparison.comparison import TABLES, Comparison
from mammofill.comparison.curves import calibration_table, curves_table, hardest_table, reliability_table
from mammofill.comparison.differences import arms_table, contrasts_of, differences_table, not_compared
from mammofill.comparison.groups import Groups, sort_into_groups
from mammofill.comparison.sentences import sentences_table
from mammofill.comparison.settings import CompareArmsSettings
from mammofill.evaluation.evaluation import Evaluation
from mammofill.evaluation.intervals import Resamples
from mammofill.ground.artifact import begin, write_atomically
from mammofill.ground.progress import Progress, Task, quiet
from mammofill.ground.seeding import stream

_SCHEME = (
    "Mean over the replicates of a group. Error after Obuchowski and Rockette: variance between replicates, over all "
    "groups, and covariances from resamples of patients (each with all of its patches, the same resamples for all "
    "groups). Interval: Student's t with Hillis's degrees of freedom, on the log-odds scale for shares. Without "
    "replicates, of patients alone."
)


def compare_arms(
    evaluations: Sequence[Evaluation],
    out: str | Path,
    settings: CompareArmsSettings = CompareArmsSettings(),
    *,
    seed: int = 0,
    progress: Progress = quiet,
) -> Comparison:
    """Compare the arms of a study, over patients and training seeds.

    Args:
        evaluations: of one test set; those that differ in the replicate alone form a group.
        out: folder of the comparison.
        settings: reference, planned comparisons, measures, resamples.
        seed: decides the resamples.
        progress: told as evaluations are measured.

    Returns:
        The comparison.

    Raises:
        TooFewError: fewer than two evaluations.
        ArtifactError: test sets differ, or two evaluations stand for the same replicate.
        LeakError: a test patient shaped what is evaluated.
        SettingsError: an arm is named that is not there.
    """
    groups = sort_into_groups(evaluations, settings)
    with begin(
        out,
        kind=Comparison.kind,
        stage="compare-arms",
        settings=settings,
        seed=seed,
        inputs={"evaluations": list(evaluations)},
    ) as work:
        if work is not None:
            with progress.task("comparing arms", len(evaluations) + len(groups.members)) as task:
                tables = make_tables(groups, settings, seed, task)
            for name, table in tables.items():
                table.to_parquet(work.folder / f"{name}.parquet", index=False)
            planned = int(tables["differences"]["family"].max()) if len(tables["differences"]) else 0
            patients = len(set(groups.patients))
            facts = {
                "test_set": evaluations[0].test_set,
                "external": evaluations[0].external,
                "folds": len(evaluations[0].folds),
                "patients": patients,
                "benign_patches": int((~groups.malignant).sum()),
                "malignant_patches": int(groups.malignant.sum()),
                "reference": groups.reference,
                "primary_measure": settings.measures[0],
                "planned_comparisons": planned,
                "confidence": settings.confidence,
                "power": settings.power,
                "scheme": _SCHEME,
            }
            write_atomically(work.folder / "comparison.json", json.dumps(facts, indent=2) + "\n")
            work.finish({
                "evaluations": len(evaluations),
                "groups": len(groups.members),
                "planned_comparisons": planned,
                "patients": patients,
            })  # fmt: skip
    return Comparison.open(out)


def make_tables(groups: Groups, settings: CompareArmsSettings, seed: int, task: Task) -> dict[str, pd.DataFrame]:
    """Make all tables of a comparison; name -> columns of `TABLES`.

    Args:
        groups: the evaluations.
        settings: of the comparison.
        seed: decides the resamples.
        task: advances by one per evaluation, and by one per group.
    """
    resamples = Resamples.draw(groups.patients, settings.resamples, stream(seed, "compare-arms"))
    measured = groups.measured(settings.measures, resamples, task)
    contrasts = contrasts_of(groups, settings)
    tables = {
        "arms": arms_table(measured, settings),
        "differences": differences_table(groups, measured, contrasts, settings),
        "doses": doses_table(groups, measured, settings),
        "shares": shares_table(groups, measured, settings),
        "break_even": break_even_table(groups, measured, settings, seed),
        "scores": groups.scores(),
        "calibration": calibration_table(groups),
        "reliability": reliability_table(groups),
        "curves": curves_table(groups, resamples, settings, task),
        "hardest": hardest_table(groups, settings),
    }
    left_over = not_compared(groups, contrasts, settings)
    tables["sentences"] = sentences_table(groups, measured, tables, left_over, settings)
    assert tables.keys() == TABLES.keys()
    return tables
