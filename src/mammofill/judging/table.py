"""Findings as tables: all of them, and the verdicts side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from mammofill.infilling import Infiller
from mammofill.judging.judgement import MEASURE_COLUMNS
from mammofill.judging.verdict import Finding

REFERENCES = REAL, NOTHING = "real lesions", "nothing painted"
"""What fills should be like, and what they are like if nothing is done."""


def names_of(infillers: Sequence[Infiller]) -> list[str]:
    """Name infillers by their folders, and by their fingerprints too where two folders have the same name."""
    names = [one.folder.resolve().name for one in infillers]
    return [
        f"{name} {one.fingerprint[:8]}" if [*names, *REFERENCES].count(name) > 1 else name
        for name, one in zip(names, infillers, strict=True)
    ]


def method_of(infiller: Infiller) -> str:
    """Return how an infiller paints; one that does not say is a GAN."""
    return str(getattr(infiller, "method", "gan"))


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
        }
        for subject, method, one in findings
    ]
    return pd.DataFrame(rows, columns=list(MEASURE_COLUMNS)).astype(MEASURE_COLUMNS)


def verdicts_of(measures: pd.DataFrame, name: str) -> dict[str, str]:
    """Return the verdicts on one infiller: criterion and measure -> verdict."""
    own = measures[(measures["subject"] == name) & (measures["verdict"] != "")]
    return {f"{row.criterion}: {row.measure}": str(row.verdict) for row in own.itertuples()}


def verdicts_side_by_side(measures: pd.DataFrame, names: Sequence[str], confidence: float) -> str:
    """Return one line per measure and one column per infiller, between what is wanted and the references.

    Args:
        measures: columns of `MEASURE_COLUMNS`.
        names: of the infillers, in order.
        confidence: of the intervals.
    """
    wanted = measures.drop_duplicates(["criterion", "measure"]).set_index(["criterion", "measure"])["wanted"].to_dict()
    wanted |= {(row.criterion, row.measure): row.wanted for row in measures.itertuples() if row.wanted}
    rows = {(str(row.subject), row.criterion, row.measure): row for row in measures.itertuples()}
    of_infillers = [one for one in measures.itertuples() if one.subject not in REFERENCES]
    order = list(dict.fromkeys((one.criterion, one.measure) for one in of_infillers))
    lines = [["", "wanted", *names, *REFERENCES]]
    for criterion, measure in order:
        cells = [cell(rows.get((subject, criterion, measure))) for subject in (*names, *REFERENCES)]
        lines.append([f"{criterion}: {measure}", str(wanted[criterion, measure]), *cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("".join(one.ljust(width + 2) for one, width in zip(line, widths, strict=True)) for line in lines)
    table = "\n".join(line.rstrip() for line in padded)
    return f"{table}\n\nIn brackets: {confidence:.0%} intervals that resample patients.\n"


def cell(row: object) -> str:
    """Return a measure in few words: number, interval, verdict; a dash where there is none."""
    if row is None:
        return "-"
    value, low, high = (float(getattr(row, name)) for name in ("value", "low", "high"))
    number = f"{value:.0f}" if str(getattr(row, "measure", "")).startswith("copies") else _decimals(value)
    interval = "" if math.isnan(low) else f" [{_decimals(low)}, {_decimals(high)}]"
    verdict = str(getattr(row, "verdict", ""))
    return f"{number}{interval}{' ' + verdict if verdict else ''}"


def _decimals(value: float) -> str:
    if math.isnan(value):
        return "none"
    return "0.000" if abs(value) < 0.0005 else f"{value:.3f}"
