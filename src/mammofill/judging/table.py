"""Findings as tables: all of them, the verdicts side by side, and the flat numbers of ``judgement.json``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from mammofill.infilling import Infiller
from mammofill.judging.judgement import MEASURE_COLUMNS
from mammofill.judging.verdict import CANNOT_BE_JUDGED, NOT_REACHED, OPEN, REACHED, Finding

REFERENCES = REAL, NOTHING = "real lesions", "nothing painted"
"""What fills should be like, and what they are like if nothing is done."""

CLASS_KEYS = ("class_share_of_real_auc", "malignant_above_benign", "standardised_share_of_real_auc")
"""Where one of these is not reached, the requested class is not painted."""


def names_of(infillers: Sequence[Infiller], taken: Sequence[str] = REFERENCES) -> list[str]:
    """Name infillers by their folders, and by their fingerprints too where a folder's name is another's or taken."""
    names = [one.folder.resolve().name for one in infillers]
    return [
        f"{name} {one.fingerprint[:8]}" if [*names, *taken].count(name) > 1 else name
        for name, one in zip(names, infillers, strict=True)
    ]


def measures_table(findings: Sequence[tuple[str, str, Finding]]) -> pd.DataFrame:
    """Return findings, each with its subject and that one's method, as a table with columns `MEASURE_COLUMNS`."""
    rows = [
        {
            "subject": subject,
            "method": method,
            "criterion": one.criterion,
            "measure": one.measure,
            "value": one.estimate.value,
            "low": one.estimate.low,
            "high": one.estimate.high,
            "wanted": "" if one.wanted is None else str(one.wanted),
            "verdict": one.verdict,
            "words": one.words,
            "remark": one.remark,
            "cases": one.estimate.cases,
            "patients": one.estimate.patients,
            "key": one.key,
        }
        for subject, method, one in findings
    ]
    return pd.DataFrame(rows, columns=list(MEASURE_COLUMNS)).astype(MEASURE_COLUMNS)


def flat_measures(measures: pd.DataFrame, name: str) -> dict[str, dict[str, Any]]:
    """Return the measures of one subject: key -> value, low, high (None where there is none) and verdict."""
    own = measures[(measures["subject"] == name) & (measures["key"] != "")]
    return {
        str(row.key): {
            **{field: _or_none(getattr(row, field)) for field in ("value", "low", "high")},
            "verdict": str(row.verdict),
        }
        for row in own.itertuples()
    }


def class_verdict(measures: pd.DataFrame, name: str) -> str:
    """Say in one word whether an infiller paints the requested class: the worst of `CLASS_KEYS`.

    What cannot be judged counts only where nothing can; but where the share of the real AUC cannot, the others leave it
    open at best: that the two fills of a pair differ is no proof.
    """
    own = measures[(measures["subject"] == name) & measures["key"].isin(CLASS_KEYS)]
    found = dict(zip(own["key"], own["verdict"], strict=True))
    worst = next((one for one in (NOT_REACHED, OPEN, REACHED) if one in found.values()), CANNOT_BE_JUDGED)
    return OPEN if worst == REACHED and found.get(CLASS_KEYS[0]) == CANNOT_BE_JUDGED else worst


def verdicts_of(measures: pd.DataFrame, name: str) -> dict[str, str]:
    """Return the verdicts on one infiller: criterion and measure -> verdict."""
    own = measures[(measures["subject"] == name) & (measures["verdict"] != "")]
    return {f"{row.criterion}: {row.measure}": str(row.verdict) for row in own.itertuples()}


def verdicts_side_by_side(
    measures: pd.DataFrame, names: Sequence[str], references: Sequence[str], confidence: float
) -> str:
    """Return one line per measure and one column per infiller, between what is wanted and the references.

    Below stands why some cannot be judged, if any.

    Args:
        measures: columns of `MEASURE_COLUMNS`.
        names: of the infillers, in order.
        references: what they are compared with.
        confidence: of the intervals.
    """
    wanted = measures.drop_duplicates(["criterion", "measure"]).set_index(["criterion", "measure"])["wanted"].to_dict()
    wanted |= {(row.criterion, row.measure): row.wanted for row in measures.itertuples() if row.wanted}
    rows = {(str(row.subject), row.criterion, row.measure): row for row in measures.itertuples()}
    of_infillers = [one for one in measures.itertuples() if one.subject in names]
    judged_first = sorted(of_infillers, key=lambda one: one.verdict == "")  # whose order is kept otherwise
    order = list(dict.fromkeys((one.criterion, one.measure) for one in judged_first))
    lines = [["", "wanted", *names, *references]]
    for criterion, measure in order:
        cells = [cell(rows.get((subject, criterion, measure))) for subject in (*names, *references)]
        lines.append([f"{criterion}: {measure}", str(wanted[criterion, measure]), *cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("".join(one.ljust(width + 2) for one, width in zip(line, widths, strict=True)) for line in lines)
    table = "\n".join(line.rstrip() for line in padded)
    notes = [
        f"In brackets: {confidence:.0%} intervals that resample patients. Reached, not reached: by the whole interval. "
        "Open: it crosses the limit.",
        *why_not_judged(measures, names),
    ]
    return f"{table}\n\n" + "\n".join(notes) + "\n"


def why_not_judged(measures: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Return a line for each reason why something cannot be judged or has no number, with what it is about."""
    about: dict[str, dict[str, None]] = {}
    missing = (measures["verdict"] == CANNOT_BE_JUDGED) | (measures["value"].isna() & (measures["remark"] != ""))
    for row in measures[measures["subject"].isin(names) & missing].itertuples():
        about.setdefault(str(row.remark), {})[f"{row.criterion}: {row.measure}"] = None
    return [f"Cannot be judged, because {reason}: {', '.join(places)}." for reason, places in about.items()]


def cell(row: object) -> str:
    """Return a measure in few words: number, interval, verdict; a dash where there is none."""
    if row is None:
        return "-"
    value, low, high = (float(getattr(row, name)) for name in ("value", "low", "high"))
    whole = str(getattr(row, "measure", "")).startswith(("copies", "changed"))
    number = f"{value:.0f}" if whole and math.isfinite(value) else _decimals(value)
    interval = "" if math.isnan(low) else f" [{_decimals(low)}, {_decimals(high)}]"
    verdict = str(getattr(row, "verdict", ""))
    return f"{number}{interval}{' ' + verdict if verdict else ''}"


def _decimals(value: float) -> str:
    if math.isnan(value):
        return "none"
    return "0.000" if abs(value) < 0.0005 else f"{value:.3f}"


def _or_none(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
