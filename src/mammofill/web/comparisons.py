"""Content of the page of a comparison: the sentences of report and terminal, and tables of the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mammofill.comparison import Comparison
from mammofill.comparison.design import Group
from mammofill.comparison.plan import DESCRIBED
from mammofill.comparison.sentences import p_as_equation
from mammofill.evaluation import Evaluation
from mammofill.report.comparisons import (
    confidence_of,
    heading_of_planned,
    in_short,
    name_of,
    p_in_words,
    primary_of,
    records,
    sentences_by_heading,
    shown,
)
from mammofill.report.sheet import Sheet
from mammofill.report.tables import measure_in_words, number


def shown_of(comparison: Comparison, evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Return the content of the page of a comparison, without what all artifacts' pages have.

    Args:
        comparison: of arms.
        evaluations: id -> evaluation, of those in the studio's folder.
    """
    sentences = comparison.table("sentences")
    not_compared = tuple(sentences.loc[sentences["kind"] == "not-compared", "text"])
    by_heading = [*sentences_by_heading(comparison), *([("Not compared", not_compared)] if not_compared else [])]
    return {
        "in_short": in_short(comparison),
        "said": [{"heading": heading, "sentences": texts} for heading, texts in by_heading],
        "planned": _as_json(_planned(comparison)),
        "described": _as_json(_described(comparison, by_primary=True)),
        "by_other_measures": _as_json(_described(comparison, by_primary=False)),
        "measure": measure_in_words(primary_of(comparison)),
        "arms": _arms(comparison, evaluations),
    }


def _as_json(sheet: Sheet) -> dict[str, Any]:
    numeric = [place > 0 and name not in sheet.words for place, name in enumerate(sheet.columns)]
    return {"caption": sheet.caption, "columns": sheet.columns, "rows": sheet.rows, "numeric": numeric}


def _planned(comparison: Comparison) -> Sheet:
    """Return the tested differences with their verdicts."""
    table = comparison.table("differences")
    table = table[table["tested"]]
    margin = comparison.facts.get("margin")
    less = f"less than {margin:g}" if margin is not None else ""
    words = ("against", "verdict", f"gains {less}", f"loses {less}", "equivalent")
    columns = ("arm", "against", measure_in_words(primary_of(comparison)), _difference_with(comparison), "p",
               "p (Holm)", *words[1:])  # fmt: skip
    rows = tuple(
        (
            *_named(row),
            shown(row.difference, row.low, row.high, signed=True),
            p_in_words(row.p, comparison),
            p_in_words(row.p_holm, comparison) if row.family > 1 else "",
            str(row.verdict),
            _against_margin(row.worth_less, row.p_worth_less, comparison),
            _against_margin(row.not_worse, row.p_not_worse, comparison),
            str(row.equivalent),
        )
        for row in records(table)
    )
    return Sheet(heading_of_planned(comparison.table("sentences")), columns, rows, words).trimmed


def _described(comparison: Comparison, by_primary: bool) -> Sheet:
    """Return the differences that are not tested: in the primary measure, or in all others."""
    table, primary = comparison.table("differences"), primary_of(comparison)
    table = table[~table["tested"] & ((table["measure"] == primary) == by_primary)]
    rows = tuple(
        (
            *_named(row)[:2],
            "" if by_primary else measure_in_words(str(row.measure)),
            _named(row)[2],
            shown(row.difference, row.low, row.high, signed=True),
            "" if row.plan == DESCRIBED else str(row.plan),
        )
        for row in records(table)
    )
    values = measure_in_words(primary) if by_primary else "values"
    columns = ("arm", "against", "measure", values, _difference_with(comparison), "plan")
    caption = "Described, not tested" if by_primary else "By other measures, described"
    return Sheet(caption, columns, rows, words=("against", "measure", "plan")).trimmed


def _difference_with(comparison: Comparison) -> str:
    return f"difference ({confidence_of(comparison)} CI)"


def _named(row: Any) -> tuple[str, str, str]:
    values = f"{number(row.value)} against {number(row.against_value)}"
    return name_of(row, "arm", "dose"), name_of(row, "against", "against_dose"), values


def _against_margin(verdict: str, p: float, comparison: Comparison) -> str:
    """Return the verdict of a one-sided test with its p, which is compared with half of the level."""
    if not math.isfinite(p):
        return verdict
    return f"{verdict} ({p_as_equation(p, (1 - float(comparison.facts['confidence'])) / 2)})"


def _arms(comparison: Comparison, evaluations: Mapping[str, Evaluation]) -> list[dict[str, Any]]:
    """Return for each arm, dose and share its primary measure and the ids of its evaluations."""
    table = comparison.table("arms")
    return [
        {
            "name": name_of(row, "arm", "dose"),
            "value": shown(row.value, row.low, row.high),
            "infillers": int(row.infillers),
            "classifiers": int(row.classifiers),
            "evaluations": _of_group(name_of(row, "arm", "dose"), evaluations),
        }
        for row in records(table[table["measure"] == primary_of(comparison)])
    ]


def _of_group(name: str, evaluations: Mapping[str, Evaluation]) -> Sequence[str]:
    return [key for key, one in evaluations.items() if Group(one.arm, one.dose, one.real_share).name == name]
