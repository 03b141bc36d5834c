"""One comparison as the page shows it, but for its figures: conclusions, sheets, and its tables as files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mammofill.comparison import Comparison
from mammofill.ground.artifact import write_atomically
from mammofill.ground.csv_export import to_csv
from mammofill.patches import PatchSet
from mammofill.report.comparisons import (
    at_plain_dose,
    group_in_words,
    in_short,
    p_in_words,
    records,
    reported_differences,
    sentences_by_heading,
    shown,
)
from mammofill.report.hardest import HardCase, hard_cases
from mammofill.report.sheet import Sheet
from mammofill.report.tables import MEASURE_WORDS, measure_in_words, number

_WRITTEN = ("arms", "differences", "doses", "shares", "break_even", "sentences", "calibration", "hardest")
_SHOWN = ("shown_arms", "shown_comparisons", "shown_calibration", "shown_hardest")
"""Files of the tables that the page folds, in their order: rounded, with intervals in brackets, ready to be set."""
_MOST_COLUMNS = 9
"""Of a table that a sheet of paper can hold."""


@dataclass(frozen=True)
class Compared:
    """One comparison as shown, but for its figures."""

    name: str
    external: str
    """Name of the other source whose patches it was measured on; empty for the test split."""
    folds: bool
    """Whether its scores are those of pooled folds."""
    in_short: str
    said: tuple[tuple[str, tuple[str, ...]], ...]
    """Heading and sentences; many of one kind are folded."""
    hardest: tuple[HardCase, ...]
    sheets: tuple[Sheet, ...]
    """Folded on the page."""
    calibration: Sheet
    files: tuple[str, ...]
    """Names of the tables beside the page."""


def read_comparison(comparison: Comparison, sources: Sequence[PatchSet]) -> Compared:
    """Put a comparison into plain values.

    Args:
        comparison: of arms.
        sources: patch sets in which its hardest patches may be found.
    """
    return Compared(
        name=comparison.folder.name,
        external=comparison.external,
        folds=bool(comparison.facts.get("folds")),
        in_short=in_short(comparison),
        said=sentences_by_heading(comparison),
        hardest=hard_cases(at_plain_dose(comparison.table("hardest")), sources),
        sheets=(*_further_measures(comparison), _sheet_of_comparisons(comparison).trimmed),
        calibration=_sheet_of_calibration(comparison).trimmed,
        files=tuple(f"{name}.{ending}" for name in (*_WRITTEN, *_SHOWN) for ending in ("csv", "tex")),
    )


def write_tables(comparison: Comparison, folder: Path) -> None:
    """Write the tables of a comparison as CSV and LaTeX into a folder, and those of the page as they are shown."""
    folder.mkdir(exist_ok=True)
    for name in _WRITTEN:
        write_table(comparison.table(name), folder / name)
    for name, sheet in zip(_SHOWN, _sheets(comparison), strict=True):
        write_table(sheet.table, folder / name)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as ``PATH.csv`` and ``PATH.tex``."""
    write_atomically(path.with_suffix(".csv"), to_csv(table))
    latex = table.to_latex(index=False, float_format="%.3f", escape=True, longtable=len(table) > 40)
    # The true minus sign is no letter that LaTeX knows by itself.
    write_atomically(path.with_suffix(".tex"), latex.replace("−", "$-$").replace("\u00a0", "~"))


def _further_measures(comparison: Comparison) -> tuple[Sheet, ...]:
    """Return what table 1 does not show: measures that it has no column for, and every dose and share."""
    sheet = _sheet_of_arms(comparison)
    caption = sheet.caption
    if len(sheet.rows) == comparison.table("arms")["arm"].nunique() and not comparison.external:
        sheet, caption = sheet.without(MEASURE_WORDS.values()), "Further measures of each arm, means over seeds"
    sheet = replace(sheet, caption=caption).trimmed
    if len(sheet.columns) <= _MOST_COLUMNS:
        return (sheet,)
    if len(sheet.rows) < _MOST_COLUMNS:
        return (sheet.turned,)
    measures = {measure_in_words(name) for name in comparison.table("arms")["measure"].unique()}
    return sheet.parted(sum(name not in measures for name in sheet.columns), _MOST_COLUMNS)


def _sheets(comparison: Comparison) -> Iterator[Sheet]:
    """Yield the tables of `_SHOWN`."""
    yield _sheet_of_arms(comparison)
    yield _sheet_of_comparisons(comparison)
    yield _sheet_of_calibration(comparison)
    yield _sheet_of_hardest(comparison)


def _sheet_of_arms(comparison: Comparison) -> Sheet:
    arms = comparison.table("arms")
    names = list(dict.fromkeys(arms["measure"]))
    rows = []
    for _, part in arms.groupby(["arm", "dose", "real_share"], sort=False, dropna=False):
        found = {str(row.measure): row for row in records(part)}
        first: Any = part.iloc[0]
        values = [
            shown(found[name].value, found[name].low, found[name].high) if name in found else "" for name in names
        ]
        trained = (str(first["infillers"] or ""), str(first["classifiers"]))
        rows.append((str(first["arm"]), _dose(first["dose"]), f"{first['real_share']:g}", *trained, *values))
    columns = ("arm", "dose", "share of patients", "infillers", "classifiers", *map(measure_in_words, names))
    return Sheet("Every arm, dose and share, means over seeds", columns, tuple(rows))


def _sheet_of_comparisons(comparison: Comparison) -> Sheet:
    differences = comparison.table("differences")
    reported = reported_differences(comparison)
    pairs = {(row.arm, _dose(row.dose), row.against, row.real_share) for row in records(reported)}
    columns = ("arm", "against", "measure", "difference", "plan", "p", "p (Holm)", "verdict",
               "smallest that could be shown", "effect size")  # fmt: skip
    rows = tuple(
        (
            group_in_words(row),
            str(row.against),
            measure_in_words(str(row.measure)),
            shown(row.difference, row.low, row.high, signed=True),
            str(row.plan),
            p_in_words(row.p, comparison),
            p_in_words(row.p_holm, comparison),
            str(row.verdict),
            number(row.smallest_shown_in_family) if math.isfinite(row.smallest_shown_in_family) else "",
            f"{row.effect_size:+.2f} ({row.effect_kind})".replace("-", "−") if row.effect_kind else "",
        )
        for row in records(differences)
        if (row.arm, _dose(row.dose), row.against, row.real_share) in pairs
    )
    words = ("against", "measure", "plan", "verdict")
    return Sheet("Comparisons by every measure; only the first one is ever tested", columns, rows, words)


def _sheet_of_calibration(comparison: Comparison) -> Sheet:
    calibration = comparison.table("calibration")
    names = ["brier", "ece", "nll", "calibration_slope", "calibration_intercept"]
    means = calibration.groupby(["arm", "dose", "real_share", "after_temperature"], sort=False, dropna=False)[
        names
    ].mean()
    columns = ("arm", "dose", "share of patients", "scores", "Brier score", "ECE", "negative log-likelihood", "slope",
               "intercept")  # fmt: skip
    plain = "from the threshold of each fold" if comparison.facts.get("folds") else "as it is"
    rows = tuple(
        (str(arm), _dose(dose), f"{share:g}", "after temperature" if after else plain, *map(number, values))
        for (arm, dose, share, after), values in zip(means.index, means.to_numpy(), strict=True)
    )
    return Sheet("Calibration, means over seeds", columns, rows, words=("scores",))


def _sheet_of_hardest(comparison: Comparison) -> Sheet:
    rows = tuple(
        (
            str(part["patch_id"].iloc[0]),
            str(part["patient_id"].iloc[0]),
            str(part["pathology"].iloc[0]),
            f"{part['mean_loss'].iloc[0]:.2f}",
            ", ".join(f"{row.arm} {row.score:.2f}" for row in records(at_plain_dose(part))),
        )
        for _, part in comparison.table("hardest").groupby("rank")
    )
    return Sheet("All hardest patches", ("patch", "patient", "truth", "mean loss", "scores by arm"), rows)


def _dose(dose: float) -> str:
    return "" if not math.isfinite(dose) else f"{dose:g}"
