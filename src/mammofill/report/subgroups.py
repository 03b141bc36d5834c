"""The subgroups of the test lesions, as a table for the page."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from mammofill.comparison import Comparison
from mammofill.comparison.subgroups import SIZE_ALONE
from mammofill.report.comparisons import records, reported_differences, shown
from mammofill.report.sheet import Sheet

_MOST_ARMS = 6
"""Columns that a page holds; of more arms those that are compared are shown, and all are in the file beside it."""


def subgroup_sheet(table: pd.DataFrame, comparison: Comparison | None) -> Sheet | None:
    """Return a row for each subgroup, a column for each arm and one for the size alone; None where nothing is known.

    Args:
        table: columns of `comparison.subgroups.SUBGROUP_COLUMNS`.
        comparison: of the same arms, if any.
    """
    if not len(table):
        return None
    arms = _arms(table, comparison)
    rows = []
    for (_, words), part in table.groupby(["property", "subgroup"], sort=False):
        of_arm: dict[str, Any] = {str(row.arm): row for row in records(part)}
        first = of_arm[arms[0]]
        counts = (str(first.patients), str(first.benign_lesions), str(first.malignant_lesions))
        rows.append((str(words), *counts, *(_auc(of_arm[arm]) for arm in arms)))
    columns = ("subgroup", "patients", "benign lesions", "malignant lesions", *arms)
    return Sheet("AUC by lesion in subgroups of the test set", columns, tuple(rows))


def _arms(table: pd.DataFrame, comparison: Comparison | None) -> list[str]:
    columns = list(dict.fromkeys(table["arm"].astype(str)))
    arms, size = [arm for arm in columns if arm != SIZE_ALONE], [arm for arm in columns if arm == SIZE_ALONE]
    if len(arms) > _MOST_ARMS and comparison is not None:
        reported = reported_differences(comparison)
        compared = {*reported["arm"], *reported["against"]}
        arms = [arm for arm in arms if arm in compared] or arms
    return [*arms[:_MOST_ARMS], *size]


def _auc(row: Any) -> str:
    return "too few" if math.isnan(row.value) else shown(row.value, row.low, row.high)
