"""What the sentences of a comparison call measures and groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from mammofill.comparison.design import Group
from mammofill.evaluation.units import unit_of

_WORDS = {
    "auc": "AUC",
    "pr_auc": "area under the precision-recall curve",
    "brier": "Brier score",
    "ece": "ECE",
    "nll": "negative log-likelihood",
}


def in_words(name: str) -> str:
    """Return a measure's name as a sentence has it, with its unit: ``AUC by lesion``."""
    plain, unit = unit_of(name)
    return f"{_WORDS.get(plain, plain.replace('_', ' '))} by {unit}"


def name_of(row: Mapping[str, Any], role: str = "arm") -> str:
    """Return what a sentence calls the group in one role, ``arm`` or ``against``, of a row."""
    return group_of(row, role).name


def group_of(row: Mapping[str, Any], role: str) -> Group:
    """Return the group in one role, ``arm`` or ``against``, of a row of the differences."""
    dose = float(row["dose" if role == "arm" else "against_dose"])
    return Group(str(row[role]), None if math.isnan(dose) else dose, float(row["real_share"]))


def records_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as mappings."""
    return [{str(column): value for column, value in row.items()} for row in table.to_dict("records")]
