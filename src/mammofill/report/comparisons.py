"""Comparisons of arms, put into plain values and figures for the page, and into files for other pages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammofill.comparison import Comparison
from mammofill.comparison.comparison import BETTER, CANNOT_TELL, NO_FINDING, NOT_SHOWN, WORSE
from mammofill.comparison.design import Trained
from mammofill.comparison.plan import ADDED
from mammofill.comparison.sentences import in_words as measure_in_a_sentence
from mammofill.comparison.sentences import no_finding
from mammofill.evaluation import Evaluation
from mammofill.ground.artifact import write_atomically
from mammofill.ground.csv_export import to_csv
from mammofill.patches import PatchSet
from mammofill.report.figures import MOST_BANDS, draw_bands, draw_curves, draw_forest, draw_lines, draw_reliability
from mammofill.report.hardest import HardCase, hard_cases
from mammofill.report.tables import Estimate, interval, measure_in_words, number

_WRITTEN = ("arms", "differences", "doses", "shares", "break_even", "sentences", "calibration", "hardest")
_SHOWN = ("shown_arms", "shown_comparisons", "shown_calibration", "shown_hardest")
"""Files of the tables that the page folds, in their order: rounded, with intervals in brackets, ready to be set."""
_KINDS = {
    "comparison": "Comparisons that were tested",
    "added": "Added after results were seen",
    "plan": "Plan",
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
        files=tuple(f"{name}.{ending}" for name in (*_WRITTEN, *_SHOWN) for ending in ("csv", "tex")),
    )


def lines_of_groups(comparison: Comparison) -> Iterator[str]:
    """Yield the primary measure of each arm, dose and share as lines of plain text."""
    measure, arms = _primary(comparison), comparison.table("arms")
    arms = arms[arms["measure"] == measure]
    rows = [(_group(row), _shown(row.value, row.low, row.high).replace("\u00a0", " ")) for row in _records(arms)]
    width = max((len(name) for name, _ in rows), default=0)
    yield f"{measure_in_words(measure)}, means, with intervals over {_over(arms)}:"
    yield from (f"  {name:<{width}}  {value}" for name, value in rows)


def lines_of_findings(comparison: Comparison) -> Iterator[str]:
    """Yield what the comparison allows to say, as the page does: the answer in short, each comparison, the plan."""
    yield in_short(comparison)
    sentences = comparison.table("sentences")
    for kind in ("comparison", "added", "not-compared", "plan"):
        yield from sentences.loc[sentences["kind"] == kind, "text"]


def in_short(comparison: Comparison) -> str:
    """Give the one answer: the verdict of each tested comparison by the primary measure, and what was not tested."""
    differences = comparison.table("differences")
    tested = differences[differences["tested"]]
    if not len(tested):
        return "Nothing was tested: no arm was planned to be compared with another."
    words = measure_in_a_sentence(_primary(comparison))
    told = []
    for verdict in (BETTER, WORSE, NOT_SHOWN, CANNOT_TELL):
        rows = list(_records(tested[tested["verdict"] == verdict]))
        told += [f"{verdict.capitalize()}: {'; '.join(_with_difference(row) for row in rows)}."] if rows else []
    for row in _records(tested[tested["verdict"] == NO_FINDING]):
        why = no_finding(
            Trained(row.infillers, row.classifiers), Trained(row.against_infillers, row.against_classifiers)
        )
        told.append(f"{_with_difference(row)}. {why}.")
    smallest = tested["smallest_shown_in_family"].dropna()
    if (tested["verdict"] == NOT_SHOWN).any() and len(smallest):
        power = float(comparison.manifest.settings["power"])
        least, most = number(smallest.min()), number(smallest.max())
        span = least if least == most else f"{least} to {most}, depending on the comparison,"
        told.append(
            f"{'A true difference' if least == most else 'True differences'} of {span} would have been shown in "
            f"{power:.0%} of such studies; smaller ones may well be there."
        )
    return f"{words[0].upper()}{words[1:]}. {' '.join(told)}"


def _with_difference(row: Any) -> str:
    difference = _shown(row.difference, row.low, row.high, signed=True).replace("\u00a0", " ")
    return f"{_group(row)} against {row.against} {difference}"


def _primary(comparison: Comparison) -> str:
    return str(comparison.manifest.settings["measures"][0])


def _over(arms: pd.DataFrame) -> str:
    """Say what the intervals of some rows of the table of arms are over."""
    lucks = list(dict.fromkeys(arms["training"]))
    if lucks == [""]:
        return "patients, of one training each"
    longest = max(lucks, key=len)
    return f"patients and {longest}" + (" (patients alone where an arm was trained once)" if "" in lucks else "")


def write_tables(comparison: Comparison, folder: Path) -> None:
    """Write the tables of a comparison as CSV and LaTeX into a folder, and those of the page as they are shown."""
    folder.mkdir(exist_ok=True)
    for name in _WRITTEN:
        write_table(comparison.table(name), folder / name)
    for name, (_, columns, rows) in zip(_SHOWN, _sheets(comparison), strict=True):
        write_table(pd.DataFrame(rows, columns=list(columns)), folder / name)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as ``PATH.csv`` and ``PATH.tex``."""
    write_atomically(path.with_suffix(".csv"), to_csv(table))
    latex = table.to_latex(index=False, float_format="%.3f", escape=True, longtable=len(table) > 40)
    # The true minus sign is no letter that LaTeX knows by itself.
    write_atomically(path.with_suffix(".tex"), latex.replace("−", "$-$").replace("\u00a0", "~"))


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
    reference = str(comparison.facts["reference"])
    primary, arms = _primary(comparison), comparison.table("arms")
    name_of_measure = measure_in_words(primary)
    several_seeds = bool((arms["training"] != "").any())
    over = f"over {_over(arms)}"
    means = "Means over seeds" if several_seeds else "Of one training each"
    differences = comparison.table("differences")
    told = differences[(differences["measure"] == primary) & (differences["tested"] | (differences["plan"] == ADDED))]
    if len(told):
        rows = [(f"{_group(row)} against {row.against}", row.difference, row.low, row.high,
                 row.smallest_shown_in_family, row.p_holm, row.verdict in (BETTER, WORSE))
                for row in _records(told)]  # fmt: skip
        tested = told["p"].notna().any()
        note = f"{name_of_measure}, each arm minus the one that it is compared with, {over}."
        if tested:
            note += (
                " p after Holm's correction; blue where a difference was shown. Beyond the gray ticks lies what this "
                "test set could have shown, at the level that the whole family of comparisons leaves."
            )
        yield f"Differences in {name_of_measure}", note, draw_forest(rows, f"difference in {name_of_measure}")
    for name, axis, heading, words in (
        ("doses", "dose", f"{name_of_measure}, against the dose", "generated or repeated patches for each real one"),
        (
            "shares",
            "real_share",
            f"{name_of_measure}, against the share of the patients that was learned from",
            "share of the patients",
        ),
    ):
        table = comparison.table(name)
        lines = dict(_lines(table[table["measure"] == primary], axis))
        behind = _behind(comparison, axis)
        lines.pop(reference, None)  # it stands behind each of the others
        if lines and len(behind):  # arms with two doses or shares at least
            note = f"Bars, and the gray band of {reference}: intervals {over}."
            yield heading, note, draw_lines(lines, axis, words, name_of_measure, (reference, behind))
    curves = _plain(comparison.table("curves"))
    if len(curves):
        which = "Each arm at all patients and the dose nearest 1."
        malignant, benign = comparison.facts["malignant_patches"], comparison.facts["benign_patches"]
        share = malignant / (malignant + benign)
        few = curves["arm"].nunique() <= MOST_BANDS
        bands = "; bands over patients" if few else ""
        yield "ROC and precision-recall curves", f"{means}{bands}. {which}", draw_curves(curves, share)
        for kind, words in () if few else (("roc", "ROC curve"), ("pr", "Precision-recall curve")):
            note = f"Beside that of {reference}. {means}, bands over patients. {which}"
            yield f"{words} of each arm", note, draw_bands(curves, kind, reference, share)
    reliability = _plain(comparison.table("reliability"))
    if len(reliability):
        note = (
            "What came true of the scores, before and after the temperature that was fitted on validation patches. The "
            "larger a dot, the more patches are behind it."
        )
        yield "Reliability", note, draw_reliability(reliability)


def _behind(comparison: Comparison, axis: str) -> pd.DataFrame:
    """Return what arms are shown beside: the reference arm as a dose of nothing, or at each share.

    A reference that has doses itself stands at the dose nearest 1 for all shares, and for a dose of nothing is none.
    """
    reference = str(comparison.facts["reference"])
    rows = comparison.table("arms")
    rows = rows[(rows["arm"] == reference) & (rows["measure"] == _primary(comparison))]
    if axis == "dose":
        rows = rows[rows["dose"].isna() & (rows["real_share"] == 1)]
        return rows.assign(dose=0.0)
    return rows[_at_plain_dose(rows)]


def _lines(table: pd.DataFrame, axis: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each arm's line: by dose at all patients, by share at the dose nearest 1."""
    table = table[table["real_share"] == table["real_share"].max() if axis == "dose" else _at_plain_dose(table)]
    for arm, part in table.groupby("arm", sort=False):
        if part[axis].nunique() > 1:
            yield str(arm), part.sort_values(axis)


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Keep of a table each arm's group at all patients and the dose nearest 1."""
    table = table[table["real_share"] == 1.0]
    return table[_at_plain_dose(table)]


def _at_plain_dose(table: pd.DataFrame) -> pd.Series[bool]:
    """Tell which rows are at their arm's dose nearest 1, of two that are as near the smaller one."""
    dose = table["dose"].fillna(1.0)
    distance = (dose - 1).abs()
    nearest = distance == distance.groupby(table["arm"]).transform("min")
    return nearest & (dose == dose.where(nearest).groupby(table["arm"]).transform("min"))


def _sheets(comparison: Comparison) -> Iterator[tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]]]:
    arms = comparison.table("arms")
    names = list(dict.fromkeys(arms["measure"]))
    rows = []
    for _, part in arms.groupby(["arm", "dose", "real_share"], sort=False, dropna=False):
        found = {str(row.measure): row for row in _records(part)}
        first: Any = part.iloc[0]
        shown = [
            _shown(found[name].value, found[name].low, found[name].high) if name in found else "" for name in names
        ]
        rows.append(
            (
                str(first["arm"]),
                _dose(first["dose"]),
                f"{first['real_share']:g}",
                str(first["infillers"] or ""),
                str(first["classifiers"]),
                *shown,
            )
        )
    columns = ("arm", "dose", "share of patients", "infillers", "classifiers", *map(measure_in_words, names))
    yield "Every arm, dose and share, means over seeds", columns, tuple(rows)

    differences = comparison.table("differences")
    primary = differences[differences["measure"] == _primary(comparison)]
    told = primary[primary["tested"] | (primary["plan"] == ADDED)]
    pairs = {(row.arm, _dose(row.dose), row.against, row.real_share) for row in _records(told)}
    columns = ("arm", "against", "measure", "difference", "plan", "p", "p (Holm)", "verdict",
               "smallest that could be shown", "effect size")  # fmt: skip
    yield (
        "Comparisons, every measure (tested in the first one alone)",
        columns,
        tuple(
            (
                _group(row),
                str(row.against),
                measure_in_words(str(row.measure)),
                _shown(row.difference, row.low, row.high, signed=True),
                str(row.plan),
                _p(row.p),
                _p(row.p_holm),
                str(row.verdict),
                number(row.smallest_shown_in_family) if math.isfinite(row.smallest_shown_in_family) else "",
                f"{row.effect_size:+.2f} ({row.effect_kind})".replace("-", "−") if row.effect_kind else "",
            )
            for row in _records(differences)
            if (row.arm, _dose(row.dose), row.against, row.real_share) in pairs
        ),
    )
    calibration = comparison.table("calibration")
    means = calibration.groupby(["arm", "dose", "real_share", "after_temperature"], sort=False, dropna=False)[
        ["brier", "ece", "nll", "calibration_slope", "calibration_intercept"]
    ].mean()
    yield (
        "Calibration, means over seeds",
        (
            "arm",
            "dose",
            "share of patients",
            "scores",
            "Brier score",
            "ECE",
            "negative log-likelihood",
            "slope",
            "intercept",
        ),
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
    # A line breaks before an interval, not within.
    ends = " " + interval(estimate, signed).replace(" ", "\u00a0") if estimate.has_interval else ""
    return number(value, signed) + ends


def _p(value: float) -> str:
    if not math.isfinite(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
