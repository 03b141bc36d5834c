"""The findings as lines of text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from mammofill.audit.audit import Audit
from mammofill.audit.findings import SEVERITIES, Case, Finding
from mammofill.audit.overview import Overview, Sheet
from mammofill.ground.counting import counted

_WIDTH = 110
_CASES = {"serious": 5, "moderate": 3, "note": 3}
"""Number of cases that are named here; audit.json has all of them. Patients in several splits are all named."""


def summarise(audit: Audit) -> str:
    """Return a readable summary: the collection in numbers, then the findings, serious ones first."""
    lines = [_heading(audit), "", *_totals(audit.overview)]
    for severity in SEVERITIES:
        of_kind = [finding for finding in audit.found if finding.severity == severity]
        if of_kind:
            lines += ["", severity.upper()]
        for finding in of_kind:
            lines += _finding(finding)
    if not audit.found:
        lines += ["", "Nothing was found."]
    if audit.not_found:
        names = ", ".join(finding.finding for finding in audit.not_found)
        lines += ["", *_wrapped(f"Looked for and not found: {names}.", "")]
    if audit.settings.tables_only:
        lines += ["", "No image was examined. Without --tables-only, files, masks and pictures are examined too."]
    return "\n".join(lines)


def headline(audit: Audit) -> str:
    """Say in one phrase which collection and which lesions were examined."""
    how = "recognised by its content" if audit.recognised else "as named"
    lesions = {"all": "all lesions", "mass": "masses only", "calcification": "calcifications only"}
    return f"{audit.collection} ({how}), {lesions[audit.settings.abnormality]}"


def files_there(overview: Overview) -> str:
    """Say how many of the mammograms that the tables list have a file."""
    if overview.mammograms_with_file == 0:
        return "no image is there: only the tables were examined"
    have = "has" if overview.mammograms_with_file == 1 else "have"
    if overview.mammograms_with_file > overview.mammograms:  # the tables list breasts, or do not list all
        return f"{counted(overview.mammograms_with_file, 'mammograms')} {have} a file"
    return f"{overview.mammograms_with_file:,} of {counted(overview.mammograms, 'mammograms')} {have} a file"


def what_is_listed(overview: Overview) -> str:
    """Say how many lesions, mammograms and patients the tables list."""
    on = f"{counted(overview.mammograms, 'mammograms')} of {counted(overview.patients, 'patients')}"
    if overview.lesions == 0 and overview.with_unlisted:
        return f"Lesions, which the tables do not list one by one, on {overview.with_unlisted:,} of {on}"
    return f"{counted(overview.lesions, 'lesions')} on {on}"


def _heading(audit: Audit) -> str:
    listed, there = what_is_listed(audit.overview), files_there(audit.overview)
    return f"{audit.source}: {headline(audit)}\n{listed}; {there}."


def _totals(overview: Overview) -> Iterator[str]:
    for sheet in overview.sheets[:2]:
        yield from _sheet(sheet)
        yield ""


def _sheet(sheet: Sheet) -> Iterator[str]:
    rows = [sheet.columns, *sheet.rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(sheet.columns))]
    words = sum(not is_count(name) for name in sheet.columns)
    for row in rows:
        cells = (
            cell.ljust(width) if place < words else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield f"  {'  '.join(cells)}".rstrip()


def is_count(column: str) -> bool:
    """Return whether a column of an overview has counts, not words."""
    return column in ("train", "validation", "test", "no split", "all")


def _finding(finding: Finding) -> Iterator[str]:
    yield f"- {finding.title}: {finding.count:,}"
    for line in finding.summary:
        yield f"    {line}"
    if finding.finding == "patients-in-several-splits":
        named = finding.cases
        yield from _by_words(named)
    else:
        named = finding.cases[: _CASES[finding.severity]]
        for case in named:
            yield from _wrapped(
                case.words if case.words.startswith(case.what) else f"{case.what}: {case.words}", "    "
            )
    if len(named) < len(finding.cases):
        yield f"    and {len(finding.cases) - len(named):,} more"
    yield from _wrapped(f"Consequence: {finding.consequence}", "    ")
    yield from _wrapped(f"What ingest does: {finding.ingest}", "    ")


def _by_words(cases: Sequence[Case]) -> Iterator[str]:
    """Name many short cases in few lines: those with the same description together."""
    groups: dict[str, list[str]] = {}
    for case in cases:
        groups.setdefault(case.words, []).append(case.what)
    for words, names in groups.items():
        yield from _wrapped(f"{words}: {', '.join(names)}", "    ")


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
