"""The report's tables: results with intervals, calls at the frozen thresholds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mammofill.evaluation import MEASURES, Evaluation
from mammofill.evaluation.units import PATCH, unit_of
from mammofill.report.paper import PAPER_TABLE

MEASURE_WORDS = {
    "auc_by_lesion": "AUC by lesion",
    "auc": "AUC by patch",
    "auc_by_patient": "AUC by patient",
    "accuracy": "accuracy",
    "recall": "recall",
    "specificity": "specificity",
    "balanced_accuracy": "balanced accuracy",
}
"""The measures in the words of tables, in the order of their columns; by patch where no unit is named."""

_MORE_WORDS = {"auc": "AUC", "pr_auc": "PR-AUC", "brier": "Brier score", "ece": "ECE", "nll": "negative log-likelihood"}


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; NaN ends where no interval can be computed."""

    value: float
    low: float
    high: float

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def excludes(self, value: float) -> bool:
        """Whether the interval lies wholly on one side of a value; without an interval it never does."""
        return self.has_interval and (self.low > value or self.high < value)


def estimates(evaluation: Evaluation) -> dict[str, Estimate]:
    """Return the measures of an evaluation, calls by the frozen threshold: measure -> number with interval."""
    table = evaluation.metrics
    rows = table[table["threshold_rule"].isin(["frozen", "none"])]
    found = {row["measure"]: Estimate(row["value"], row["low"], row["high"]) for row in rows.to_dict("records")}
    # An evaluation on patches that do not name their lesions has nothing by lesion.
    return {measure: found.get(measure, Estimate(math.nan, math.nan, math.nan)) for measure in MEASURES}


def results_table(
    evaluations: Sequence[Evaluation], over_seeds: Sequence[tuple[str, Mapping[str, Estimate]]] = ()
) -> pd.DataFrame:
    """Return table 1 in long form: what was measured here, then the paper's rows, which have no intervals.

    Args:
        evaluations: one of each arm.
        over_seeds: arm, measure -> mean over seeds; without any, what the evaluations themselves measure.

    Returns:
        source (this study / paper), arm, measure, threshold_rule, value, low, high.
    """
    tables = [one.metrics.assign(source="this study", arm=one.arm) for one in evaluations]
    if over_seeds:
        means = [
            ("this study", arm, measure, _rule_of(measure), one.value, one.low, one.high)
            for arm, found in over_seeds
            for measure, one in found.items()
        ]
        names = ["source", "arm", "measure", "threshold_rule", "value", "low", "high"]
        tables = [pd.DataFrame(means, columns=names)]
    printed = [
        ("paper", row.name, measure, "unknown", value, math.nan, math.nan)
        for row in PAPER_TABLE
        for measure, value in (
            ("accuracy", row.accuracy),
            ("recall", row.recall),
            ("specificity", row.specificity),
            ("balanced_accuracy", row.printed_auc),
        )
    ]
    columns = ["source", "arm", "measure", "threshold_rule", "value", "low", "high"]
    return pd.concat([*(one[columns] for one in tables), pd.DataFrame(printed, columns=columns)], ignore_index=True)


def _rule_of(measure: str) -> str:
    needs_threshold = ("accuracy", "balanced_accuracy", "recall", "specificity")
    return "frozen" if measure in needs_threshold else "none"


def confusion_table(arms: Mapping[str, Sequence[Evaluation]]) -> pd.DataFrame:
    """Count right and wrong calls at the frozen thresholds, means over replicates.

    Args:
        arms: name -> replicates on one test set.

    Returns:
        One row per arm: arm, replicates, malignant_called_malignant, malignant_called_benign, benign_called_benign,
        benign_called_malignant.
    """
    rows = []
    for arm, several in arms.items():
        counts = []
        for one in several:
            malignant = (one.scores["pathology"] == "malignant").to_numpy(dtype=bool)
            called = one.called()
            counts.append(
                [(malignant & called).sum(), (malignant & ~called).sum(), (~malignant & ~called).sum(),
                 (~malignant & called).sum()]
            )  # fmt: skip
        rows.append((arm, len(several), *np.mean(counts, axis=0)))
    columns = ["arm", "replicates", "malignant_called_malignant", "malignant_called_benign", "benign_called_benign",
               "benign_called_malignant"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def format_table(evaluations: Sequence[Evaluation]) -> str:
    """Return the arms with their measures and intervals as plain text, columns aligned.

    Args:
        evaluations: one row each.
    """
    rows = [["", *MEASURE_WORDS.values()]]
    for one in evaluations:
        found = estimates(one)
        rows.append([one.arm, *(in_words(found[measure]) for measure in MEASURE_WORDS)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def measure_in_words(name: str) -> str:
    """Return what a measure is called in tables, for example ``recall at specificity 0.9``."""
    plain, unit = unit_of(name)
    words = MEASURE_WORDS.get(name) or _MORE_WORDS.get(plain) or plain.replace("_", " ")
    words += " (threshold from the test set)" if "_at_specificity_" in plain or "_at_recall_" in plain else ""
    return words if name in MEASURE_WORDS or unit == PATCH else f"{words} by {unit}"


def in_words(estimate: Estimate, signed: bool = False) -> str:
    """Return an estimate in words, for example ``0.731 [0.672, 0.790]``.

    Args:
        estimate: the number.
        signed: whether a plus sign is written, for differences.
    """
    return f"{number(estimate.value, signed)} {interval(estimate, signed)}"


def number(value: float, signed: bool = False) -> str:
    """Return a number with three decimals and a true minus sign; what is exactly zero has no sign."""
    if math.isnan(value):
        return "not measured"
    if value == 0:
        return "0.000"
    return f"{value:{'+' if signed else ''}.3f}".replace("-", "−")


def interval(estimate: Estimate, signed: bool = False) -> str:
    """Return the interval in brackets, or say that there is none."""
    if not estimate.has_interval:
        return "[no interval]"
    return f"[{number(estimate.low, signed)}, {number(estimate.high, signed)}]"
