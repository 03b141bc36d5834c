"""Judgements of infillers, put into plain values for the page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mammofill.ground.counting import counted
from mammofill.judging import Judgement
from mammofill.report.comparisons import records
from mammofill.report.sheet import Figure, rows_in_words
from mammofill.report.tables import Estimate, interval, number

_CRITERIA = {
    "class": "The requested class",
    "cues": "The class by one number alone",
    "spread": "How much fills differ",
    "training": "Trained on fills, tested on real lesions",
    "place": "Outside the hole",
    "seam": "The seam at the hole",
    "detection": "Telling real lesions from the same lesions repainted",
    "spectrum": "Frequencies, grain and brightness",
    "distribution": "Distribution in the classifier's features",
    "variety": "Variety and copies",
}
NOT_REACHED = "not reached"
_VERDICTS = ("reached", NOT_REACHED, "open", "cannot be judged")


@dataclass(frozen=True)
class Measured:
    """One measure, of all infillers and of what they are compared with."""

    measure: str
    wanted: str
    words: str
    cells: tuple[tuple[str, str, str], ...]
    """For each column: number, interval, verdict; each may be empty."""


@dataclass(frozen=True)
class Judged:
    """One judgement as shown."""

    name: str
    """Folder, after the one it is in: folds each have one of the same name."""
    reading: tuple[str, ...]
    """What was reached and what was not, a sentence for each infiller."""
    basis: str
    """What it rests on."""
    columns: tuple[str, ...]
    criteria: tuple[tuple[str, tuple[Measured, ...]], ...]
    remarks: tuple[str, ...]
    """What prevents a verdict, or puts it in doubt."""
    figures: tuple[Figure, ...]
    """Contact sheet and spectra."""


def read_judgement(judgement: Judgement) -> Judged:
    """Put a judgement into plain values.

    Args:
        judgement: whose tables and pictures are read; no network is loaded.
    """
    table, facts, counts = judgement.measures, judgement.facts, judgement.manifest.counts
    columns = (*judgement.infillers, *judgement.references)
    return Judged(
        name="/".join(judgement.folder.resolve().parts[-2:]),
        reading=tuple(_summary(one["name"], one["method"], [table]) for one in facts["infillers"]),
        basis=(
            f"{counted(counts['pairs'], 'pairs')} of the {facts['split']} split, each filled benign and "
            f"malignant, beside "
            f"{counted(counts['real_lesions'], 'real lesions')}; {counted(counts['patients'], 'patients')}, none "
            f"of whom an infiller or the "
            f"classifier ({facts['classifier']['label']}) learned from. In brackets: {100 * facts['confidence']:g} % "
            "CI over patients."
        ),
        columns=columns,
        criteria=tuple(
            (words, _measured(table[table["criterion"] == one], columns, judgement.infillers))
            for one, words in _CRITERIA.items()
        ),
        remarks=tuple(_remarks(table)),
        figures=(_contact_sheet(judgement), _spectra(judgement)),
    )


def read_infillers(judgements: Sequence[Judgement]) -> tuple[str, ...]:
    """Say of each infiller what was reached and what was not, of all judgements together: folds judge one of each name.

    Args:
        judgements: whose tables are read.

    Returns:
        A sentence or two for each name and method.
    """
    tables: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for judgement in judgements:
        for one in judgement.facts["infillers"]:
            tables.setdefault((one["name"], one["method"]), []).append(judgement.measures)
    return tuple(_summary(name, method, several) for (name, method), several in tables.items())


def _summary(name: str, method: str, tables: Sequence[pd.DataFrame]) -> str:
    """Count what was reached, and name what was not; the tables say the rest."""
    own = [table[table["subject"] == name] for table in tables]
    counts = {verdict: [int((one["verdict"] == verdict).sum()) for one in own] for verdict in _VERDICTS}
    found = ", ".join(f"{_span(numbers)} {verdict}" for verdict, numbers in counts.items() if any(numbers))
    missed = Counter(
        f"{row.criterion} ({row.measure})" for one in own for row in records(one[one["verdict"] == NOT_REACHED])
    )
    several = len(own) > 1
    named = ", ".join(f"{words} in {count}" if several else words for words, count in missed.most_common())
    who = (name if name == method else f"{name} ({method})") + (f", judged {len(own)} times" if several else "")
    summary = f"{who}, of {_span([int((one['verdict'] != '').sum()) for one in own])} criteria for its fills: {found}."
    return f"{summary} Not reached: {named}." if named else summary


def _span(numbers: Sequence[int]) -> str:
    """Return numbers as one, or as the least and the greatest of them."""
    least, most = min(numbers), max(numbers)
    return f"{least}" if least == most else f"{least} to {most}"


def _contact_sheet(judgement: Judgement) -> Figure:
    note = (
        "One case per column: the context, the mask, the real lesion that lent it (its class in its corner; another "
        "patient's tissue, brought to the context's brightness), then each infiller's benign and malignant fill with "
        "the same seed."
    )
    alt = (
        f"Contact sheet: cases in columns; in rows the context, the mask, the real lesion, then a benign and a "
        f"malignant fill of each of {counted(len(judgement.infillers), 'infillers')}: {', '.join(judgement.infillers)}."
    )
    return Figure("The same cases, filled", note, alt, judgement.contact_sheet.read_bytes(), "png")


def _spectra(judgement: Judgement) -> Figure:
    note = (
        "In the box around the mask. Left: mean of the logarithm of the power, with one standard deviation of real "
        "lesions. Right: power as a share of real lesions'; fills with too little grain fall below 1 on the right."
    )
    table = judgement.measures
    table = table[(table["criterion"] == "spectrum") & table["value"].notna()]
    rows = [(f"{row.subject}, {row.measure}", number(row.value)) for row in records(table)]
    alt = f"Radial power spectra of real lesions and of fills. {rows_in_words(rows) if rows else 'No numbers.'}"
    return Figure("Power spectra", note, alt, judgement.spectra_picture.read_bytes(), "png")


def _measured(table: pd.DataFrame, columns: tuple[str, ...], infillers: Sequence[str]) -> tuple[Measured, ...]:
    found = []
    for measure in dict.fromkeys(table[table["subject"].isin(infillers)]["measure"]):
        rows = {str(row.subject): row for row in table[table["measure"] == measure].itertuples()}
        first: Any = next(rows[name] for name in columns if name in rows)
        cells = tuple(_cell(rows.get(name)) for name in columns)
        wanted = str(first.wanted).replace(">= ", "≥\u00a0").replace("<= ", "≤\u00a0")  # a sign stays at its number
        found.append(Measured(str(measure), wanted, str(first.words), cells))
    return tuple(found)


def _cell(row: Any) -> tuple[str, str, str]:
    if row is None:
        return "", "", ""
    # What rounds to zero is shown without a sign.
    estimate = Estimate(*(0.0 if abs(one) < 0.0005 else one for one in (row.value, row.low, row.high)))
    counted = str(row.measure).startswith(("copies", "changed"))
    shown = "none" if math.isnan(row.value) else f"{row.value:.0f}" if counted else number(estimate.value)
    return shown, interval(estimate) if estimate.has_interval else "", str(row.verdict)


def _remarks(table: pd.DataFrame) -> list[str]:
    """Return each remark once, with the measures that it is about."""
    about: dict[str, list[str]] = {}
    for row in table[table["remark"] != ""].itertuples():
        about.setdefault(str(row.remark), []).append(f"{row.subject}, {row.criterion} ({row.measure})")
    return [f"{remark[0].upper()}{remark[1:]}: {'; '.join(places)}." for remark, places in about.items()]
