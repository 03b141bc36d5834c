"""Comparisons of arms, put into plain values and figures for the page, and into files for other pages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammofill.evaluation import Comparison, Evaluation
from mammofill.evaluation.comparison import BETTER, CANNOT_TELL, NOT_SHOWN, WORSE
from mammofill.ground.artifact import write_atomically
from mammofill.patches import PatchSet
from mammofill.report.figures import draw_bands, draw_forest, draw_lines, draw_reliability
from mammofill.report.hardest import HardCase, hard_cases
from mammofill.report.tables import MEASURE_WORDS, Estimate, interval, number

_WRITTEN = ("arms", "differences", "doses", "shares", "break_even", "sentences", "calibration", "hardest")
_KINDS = {
    "comparison": "Planned comparisons",
    "dose": "Doses",
    "break-even": "What generated patches were worth",
    "not-compared": "Not compared",
    "caution": "Cautions",
}


@dataclass(frozen=True)
class Compared:
    """One comparison as shown."""

    name: str
    external: str
    """Name of the other source whose patches it was measured on; empty for the test split."""
    in_short: str
    said: tuple[tuple[str, tuple[str, ...]], ...]
    """Heading and sentences; many of one kind are folded."""
    figures: tuple[tuple[str, str, bytes], ...]
    """Heading, note, SVG."""
    hardest: tuple[HardCase, ...]
    sheets: tuple[tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]], ...]
    """Caption, columns, rows; folded on the page."""
    files: tuple[str, ...]
    """Names of the tables beside the page."""


def read_comparison(comparison: Comparison, sources: Sequence[PatchSet]) -> Compared:
    """Put a comparison into plain values.

    Args:
        comparison: of arms.
        sources: patch sets in which its hardest patches may be found.
    """
    sentences = comparison.table("sentences")
    said = [(words, tuple(sentences[sentences["kind"] == kind]["text"])) for kind, words in _KINDS.items()]
    return Compared(
        name=comparison.folder.name,
        external=comparison.external,
        in_short=in_short(comparison),
        said=tuple((words, texts) for words, texts in said if texts),
        figures=tuple(_figures(comparison)),
        hardest=hard_cases(_plain(comparison.table("hardest")), sources),
        sheets=tuple(_sheets(comparison)),
        files=tuple(f"{name}.{ending}" for name in _WRITTEN for ending in ("csv", "tex")),
    )


def lines_of_groups(comparison: Comparison) -> Iterator[str]:
    """Yield the primary measure of each arm, dose and share as lines of plain text."""
    measure = str(comparison.manifest.settings["measures"][0])
    rows = [(_group(row), _shown(row.value, row.low, row.high))
            for row in _records(comparison.table("arms").query("measure == @measure"))]  # fmt: skip
    width = max((len(name) for name, _ in rows), default=0)
    yield f"{MEASURE_WORDS.get(measure, measure)}, means over seeds, with intervals over patients and seeds:"
    yield from (f"  {name:<{width}}  {value}" for name, value in rows)


def in_short(comparison: Comparison) -> str:
    """Count the verdicts of the planned comparisons by the primary measure, and say what could have been shown."""
    differences = comparison.table("differences")
    planned = differences[differences["planned"]]
    measure = str(comparison.manifest.settings["measures"][0])
    planned = planned[planned["measure"] == measure]
    if not len(planned):
        return ""
    words = MEASURE_WORDS.get(measure, measure)
    told = [f"{len(planned)} planned comparisons of {words}."]
    for verdict in (BETTER, WORSE):
        named = [f"{_group(row)} against {row.against}" for row in _records(planned[planned["verdict"] == verdict])]
        told.append(f"{verdict.capitalize()}: {'; '.join(named) or 'none'}.")
    for verdict in (NOT_SHOWN, CANNOT_TELL):
        if count := int((planned["verdict"] == verdict).sum()):
            told.append(f"{verdict.capitalize()}: {count}.")
    smallest = planned["smallest_shown_in_family"].dropna()
    if len(smallest):
        power = float(comparison.manifest.settings["power"])
        told.append(
            f"True differences of {number(smallest.min())} to {number(smallest.max())}, depending on the comparison, "
            f"would have been shown in {power:.0%} of such studies; smaller ones may well be there."
        )
    return " ".join(told)


def write_tables(comparison: Comparison, folder: Path) -> None:
    """Write the tables of a comparison as CSV and LaTeX into a folder."""
    folder.mkdir(exist_ok=True)
    for name in _WRITTEN:
        write_table(comparison.table(name), folder / name)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as ``PATH.csv`` and ``PATH.tex``."""
    write_atomically(path.with_suffix(".csv"), table.to_csv(index=False, lineterminator="\n"))
    latex = table.to_latex(index=False, float_format="%.3f", escape=True, longtable=len(table) > 40)
    write_atomically(path.with_suffix(".tex"), latex)


def plain_replicates(evaluations: Sequence[Evaluation]) -> dict[str, list[Evaluation]]:
    """Return the replicates of each arm at all patients and the dose nearest 1, the first seed first."""
    arms: dict[str, list[Evaluation]] = {}
    for one in evaluations:
        arms.setdefault(one.arm, []).append(one)
    found = {}
    for arm, several in arms.items():
        plainest = min(map(_plainness, several))
        found[arm] = sorted((one for one in several if _plainness(one) == plainest), key=lambda one: one.replicate)
    return found


def _plainness(one: Evaluation) -> tuple[float, float, float]:
    dose = one.dose if one.dose is not None else 1.0
    return 1 - one.real_share, abs(dose - 1), dose


def measures_over_seeds(comparison: Comparison) -> list[tuple[str, dict[str, Estimate]]]:
    """Return the measures of table 1 of each arm, at all patients and the dose nearest 1, means over seeds.

    Returns:
        Arm, measure -> estimate; measures that were not compared are missing.
    """
    table = _plain(comparison.table("arms"))
    return [
        (str(arm), {str(row.measure): Estimate(row.value, row.low, row.high) for row in _records(part)})
        for arm, part in table.groupby("arm", sort=False)
    ]


def _figures(comparison: Comparison) -> Iterator[tuple[str, str, bytes]]:
    differences = comparison.table("differences")
    planned = differences[differences["planned"] & (differences["measure"] == "auc")]
    if len(planned):
        rows = [(_group(row), row.difference, row.low, row.high, row.smallest_shown_in_family, row.p_holm)
                for row in _records(planned)]  # fmt: skip
        against = planned["against"].unique()
        note = (
            f"AUC minus that of {' or '.join(against)}, over patients and seeds. Beyond the gray ticks lies what this "
            "test set could have shown, at the level that the whole family of comparisons leaves."
        )
        yield "Differences in AUC", note, draw_forest(rows)
    for name, axis, heading in (
        ("doses", "dose", "AUC by dose: generated or repeated patches for each real one"),
        ("shares", "real_share", "AUC by the share of the patients that was learned from"),
    ):
        table = comparison.table(name)
        table = table[table["measure"] == "auc"]
        lines = {arm: part.sort_values(axis) for arm, part in _lines(table, axis)}
        if lines:  # arms with two doses or shares at least
            words = "generated or repeated patches for each real one" if axis == "dose" else "share of the patients"
            level = _without(comparison) if axis == "dose" else None
            yield heading, "Bars: intervals over patients and seeds.", draw_lines(lines, axis, words, "AUC", level)
    curves = _plain(comparison.table("curves"))
    if len(curves):
        yield (
            "ROC and precision-recall curves",
            "Means over seeds; bands over patients. Each arm at all patients and the dose nearest 1.",
            draw_bands(curves),
        )
    reliability = _plain(comparison.table("reliability"))
    if len(reliability):
        yield (
            "Reliability",
            "What came true of the scores, before and after the temperature.",
            draw_reliability(reliability),
        )


def _without(comparison: Comparison) -> tuple[str, float] | None:
    """Return the reference arm and its AUC at all patients: what a dose of nothing gives."""
    reference = str(comparison.facts["reference"])
    rows = _plain(comparison.table("arms"))
    rows = rows[(rows["arm"] == reference) & (rows["measure"] == "auc")]
    return (reference, float(rows["value"].iloc[0])) if len(rows) else None


def _lines(table: pd.DataFrame, axis: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each arm's line: by dose at all patients, by share at the dose nearest 1."""
    if axis == "dose":
        table = table[table["real_share"] == table["real_share"].max()]
    else:
        dose = table["dose"].fillna(1.0).replace(0.0, 1.0)
        nearest = (dose - 1).abs().groupby(table["arm"]).transform("min")
        table = table[(dose - 1).abs() == nearest]
    for arm, part in table.groupby("arm", sort=False):
        if part[axis].nunique() > 1:
            yield str(arm), part


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Keep of a table each arm's group at all patients and the dose nearest 1."""
    table = table[table["real_share"] == 1.0]
    dose = (table["dose"].fillna(1.0) - 1).abs()
    return table[dose == dose.groupby(table["arm"]).transform("min")]


def _sheets(comparison: Comparison) -> Iterator[tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]]]:
    arms = comparison.table("arms")
    names = [name for name in MEASURE_WORDS if (arms["measure"] == name).any()]
    rows = []
    for _, part in arms.groupby(["arm", "dose", "real_share"], sort=False, dropna=False):
        found = {str(row.measure): row for row in _records(part)}
        first: Any = part.iloc[0]
        shown = [
            _shown(found[name].value, found[name].low, found[name].high) if name in found else "" for name in names
        ]
        rows.append(
            (str(first["arm"]), _dose(first["dose"]), f"{first['real_share']:g}", str(first["replicates"]), *shown)
        )
    columns = ("arm", "dose", "share of patients", "seeds", *(MEASURE_WORDS[name] for name in names))
    yield "Every arm, dose and share, means over seeds", columns, tuple(rows)

    differences = comparison.table("differences")
    planned = differences[differences["planned"]]
    columns = ("arm", "against", "measure", "difference", "p", "p (Holm)", "verdict", "smallest that could be shown",
               "effect size", "p (McNemar)")  # fmt: skip
    yield (
        "Planned comparisons, every measure",
        columns,
        tuple(
            (
                _group(row),
                str(row.against),
                MEASURE_WORDS.get(str(row.measure), str(row.measure)),
                _shown(row.difference, row.low, row.high, signed=True),
                _p(row.p),
                _p(row.p_holm),
                str(row.verdict),
                number(row.smallest_shown_in_family) if math.isfinite(row.smallest_shown_in_family) else "",
                f"{row.effect_size:.2f} ({row.effect_kind})" if math.isfinite(row.effect_size) else "",
                _p(row.p_mcnemar),
            )
            for row in _records(planned)
        ),
    )
    calibration = comparison.table("calibration")
    means = calibration.groupby(["arm", "dose", "real_share", "after_temperature"], sort=False, dropna=False)[
        ["brier", "ece", "nll"]
    ].mean()
    yield (
        "Calibration, means over seeds",
        ("arm", "dose", "share of patients", "", "Brier", "ECE", "log-likelihood"),
        tuple(
            (str(arm), _dose(dose), f"{share:g}", "after temperature" if after else "as it is", *map(number, values))
            for (arm, dose, share, after), values in zip(means.index, means.to_numpy(), strict=True)
        ),
    )
    hardest = comparison.table("hardest")
    columns = ("patch", "patient", "truth", "mean loss", "scores by arm")
    yield (
        "The hardest patches",
        columns,
        tuple(
            (
                str(part["patch_id"].iloc[0]),
                str(part["patient_id"].iloc[0]),
                str(part["pathology"].iloc[0]),
                f"{part['mean_loss'].iloc[0]:.2f}",
                ", ".join(f"{row.arm} {row.score:.2f}" for row in _records(_plain(part))),
            )
            for _, part in hardest.groupby("rank")
        ),
    )


def _records(table: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows, whose values pandas' stubs know nothing of."""
    yield from table.itertuples()


def _group(row: Any) -> str:
    dose = f", dose {row.dose:g}" if math.isfinite(row.dose) and row.dose > 0 else ""
    share = f", {row.real_share:.0%} of patients" if row.real_share < 1 else ""
    return f"{row.arm}{dose}{share}"


def _dose(dose: float) -> str:
    return "" if not math.isfinite(dose) else f"{dose:g}"


def _shown(value: float, low: float, high: float, signed: bool = False) -> str:
    if not np.isfinite(value):
        return ""
    estimate = Estimate(value, low, high)
    ends = f" {interval(estimate, signed)}" if estimate.has_interval else ""
    return number(value, signed) + ends


def _p(value: float) -> str:
    if not math.isfinite(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
