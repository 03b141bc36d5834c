"""Comparisons of arms in words, for the page and the terminal, and which of their rows are reported."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mammofill.comparison import Comparison
from mammofill.comparison.comparison import BETTER, CANNOT_TELL, NO_FINDING, NOT_SHOWN, SAME, SHOWN, VERDICTS, WORSE
from mammofill.comparison.design import Group, Trained, patients_and
from mammofill.comparison.plan import NOT_WRITTEN
from mammofill.comparison.sentences import no_finding
from mammofill.comparison.sentences import p_in_words as p_near
from mammofill.evaluation import Evaluation
from mammofill.report.tables import Estimate, interval, measure_in_words, number

_KINDS = {
    "comparison": "",  # a heading of its own, which says whether anything was tested
    "added": "Added after results were seen: described, not tested",
    "plan": "Plan",
    "fills": "How many fills were learned from",
    "dose": "Doses",
    "break-even": "What generated patches were worth",
    "caution": "Cautions",
}
"""Kind of sentence -> heading. What was not compared stands on the first screen."""

_MOST_NAMED = 3
"""Comparisons without a difference that the answer names one by one; the forest plot below it names all."""


def sentences_by_heading(comparison: Comparison) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the conclusions of the comparison, but for what was not compared: heading, sentences."""
    sentences = comparison.table("sentences")
    headings = _KINDS | {"comparison": heading_of_planned(sentences)}
    by_heading = [(words, tuple(sentences[sentences["kind"] == kind]["text"])) for kind, words in headings.items()]
    return tuple((words, texts) for words, texts in by_heading if texts)


def heading_of_planned(sentences: pd.DataFrame) -> str:
    """Say of the comparisons whether they were planned, and tested: with one training each none is."""
    verdicts = sentences.loc[sentences["kind"] == "comparison", "verdict"]
    untested = verdicts.isin([NO_FINDING, CANNOT_TELL, SAME])
    if untested.all():
        return f"{_planned(sentences)}, none of them tested"
    return f"{_planned(sentences)}, some of them tested" if untested.any() else "Tested comparisons"


def _planned(sentences: pd.DataFrame) -> str:
    """Call comparisons planned only where a plan was written: the page says below where none was."""
    of_plan = sentences.loc[sentences["kind"] == "plan", "text"]
    return "Comparisons" if of_plan.str.startswith(NOT_WRITTEN.capitalize()).any() else "Planned comparisons"


def lines_of_groups(comparison: Comparison) -> Iterator[str]:
    """Yield the primary measure of each arm, dose and share as lines of plain text."""
    measure, arms = primary_of(comparison), comparison.table("arms")
    arms = arms[arms["measure"] == measure]
    rows = [(group_in_words(row), shown(row.value, row.low, row.high).replace("\u00a0", " ")) for row in records(arms)]
    width = max((len(name) for name, _ in rows), default=0)
    yield f"{measure_in_words(measure)}, means, with {confidence_of(comparison)} CI over {covered_by(arms)}:"
    yield from (f"  {name:<{width}}  {value}" for name, value in rows)


def lines_of_findings(comparison: Comparison) -> Iterator[str]:
    """Yield the conclusions of the comparison, as the page does: the answer in short, each comparison, the plan."""
    yield in_short(comparison)
    sentences = comparison.table("sentences")
    for kind in ("comparison", "added", "fills", "not-compared", "plan"):
        yield from sentences.loc[sentences["kind"] == kind, "text"]


def in_short(comparison: Comparison) -> str:
    """Give the one answer: the verdict of each planned comparison by the primary measure."""
    differences = comparison.table("differences")
    planned = differences[differences["tested"]]
    if not len(planned):
        return "Nothing was tested: no arm was planned to be compared with another."
    measure = f"difference in {measure_in_words(primary_of(comparison))} ({confidence_of(comparison)} CI)"
    sentences: list[str] = []
    for verdict in VERDICTS:
        rows = list(records(planned[planned["verdict"] == verdict]))
        for why in dict.fromkeys(map(_verdict_in_words, rows)):
            of_these = [row for row in rows if _verdict_in_words(row) == why]
            numbers = _differences_in_words(of_these, verdict)
            sentences.append(f"{why}: {numbers}." if sentences or verdict == SAME else f"{why}: {measure} {numbers}.")
    return " ".join([*sentences, *_against_margin(planned), *_could_have_shown(comparison, planned)])


def _against_margin(planned: pd.DataFrame) -> Iterator[str]:
    """Say of which arms it was shown that they gain, or lose, less than the plan's margin; nothing without a margin."""
    judged = planned[planned["worth_less"].isin(SHOWN.values())]
    if not len(judged):
        return
    margin = f"{judged['margin'].iloc[0]:g}"
    for words, column in (("gains", "worth_less"), ("loses", "not_worse")):
        of_each = {finding: [group_in_words(row) for row in records(judged[judged[column] == finding])]
                   for finding in SHOWN.values()}  # fmt: skip
        shown_of, not_shown = of_each[SHOWN[True]], of_each[SHOWN[False]]
        if len(judged) == 1 or not shown_of or not not_shown:
            yield f"That it {words} less than {margin}: {SHOWN[bool(shown_of)]}."
        else:
            yield f"That it {words} less than {margin}: shown of {'; '.join(shown_of)}; not shown of the others."


def _verdict_in_words(row: Any) -> str:
    if row.verdict == SAME:
        return "The same classifiers (bit-identical scores)"
    if row.verdict != NO_FINDING:
        return str(row.verdict).capitalize()
    trained = Trained(row.infillers, row.classifiers), Trained(row.against_infillers, row.against_classifiers)
    why, _, finding = no_finding(*trained).rpartition(": ")
    return f"{finding.capitalize()} ({why[0].lower()}{why[1:]})"


def _differences_in_words(rows: Sequence[Any], verdict: str) -> str:
    if verdict == SAME:
        return "; ".join(f"{group_in_words(row)}, as {row.against} ({number(row.value)})" for row in rows)
    if len(rows) > _MOST_NAMED and verdict not in (BETTER, WORSE):
        least, most = (number(end, signed=True) for end in (min(_of(rows)), max(_of(rows))))
        return f"from {least} to {most} in {len(rows)} comparisons"
    return "; ".join(
        f"{shown(row.difference, row.low, row.high, signed=True)}, {group_in_words(row)} ({number(row.value)}) against "
        f"{row.against} ({number(row.against_value)})".replace("\u00a0", " ")
        for row in rows
    )


def _of(rows: Sequence[Any]) -> list[float]:
    return [float(row.difference) for row in rows]


def _could_have_shown(comparison: Comparison, planned: pd.DataFrame) -> Iterator[str]:
    """Say what the study could have shown, where it showed nothing."""
    smallest = planned["smallest_shown_in_family"].dropna()
    room = 1 - planned.loc[smallest.index, "against_value"]
    if (planned["verdict"] != NOT_SHOWN).all() or not len(smallest):
        return
    power = float(comparison.manifest.settings["power"])
    if smallest.min() >= 1:  # of what lies in [0, 1], no difference is as large
        yield f"No true difference, however large, would have been shown in {100 * power:g} % of such studies."
        return
    least, most = number(smallest.min()), number(smallest.max())
    span = least if least == most else f"{least} to {most}"
    if smallest.max() >= 1:
        span = f"{least}, in the best of them,"
    yield (
        f"Only true differences of at least {span} would have been shown in {100 * power:g} % of such studies: smaller "
        "ones may well be there."
    )
    if primary_of(comparison).startswith("auc") and (smallest > room).all():
        yield f"No AUC here can rise by as much: from {number(1 - room.max())} it gains {number(room.max())} at most."


def reported_differences(comparison: Comparison) -> pd.DataFrame:
    """Return the rows of the forest plot: what was planned, and what was added after results were seen."""
    table, sentences = comparison.table("differences"), comparison.table("sentences")
    added = sentences[sentences["kind"] == "added"]
    asked_for = set(zip(added["arm"], added["against"], strict=True))
    primary = table[table["measure"] == primary_of(comparison)]
    reported = [row.tested or (name_of(row, "arm", "dose"), name_of(row, "against", "against_dose")) in asked_for
                for row in records(primary)]  # fmt: skip
    return primary[np.array(reported, dtype=bool)]


def name_of(row: Any, arm: str, dose: str) -> str:
    """Return what a sentence calls one side of a difference."""
    at = float(getattr(row, dose))
    return Group(str(getattr(row, arm)), at if math.isfinite(at) else None, float(row.real_share)).name


def primary_of(comparison: Comparison) -> str:
    """Return the name of the primary measure."""
    return str(comparison.manifest.settings["measures"][0])


def confidence_of(comparison: Comparison) -> str:
    """Return the confidence of the intervals in words: ``95 %``."""
    return f"{100 * float(comparison.facts['confidence']):g} %"


def covered_by(arms: pd.DataFrame) -> str:
    """Say what the intervals of some rows of the table of arms are over."""
    trainings = list(dict.fromkeys(arms["training"]))
    if trainings == [""]:
        return "patients, of one training each"
    longest = max(trainings, key=len)
    return patients_and(longest) + (" (patients alone where an arm was trained once)" if "" in trainings else "")


def plain_replicates(evaluations: Sequence[Evaluation]) -> dict[str, list[Evaluation]]:
    """Return the replicates of each arm at its largest share of the patients and dose nearest 1, first seed first."""
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
    """Return the measures of table 1 of each arm, as `at_plain_dose` has them, means over seeds.

    Returns:
        Arm, measure -> estimate; measures that were not compared are missing.
    """
    table = at_plain_dose(comparison.table("arms"))
    return [
        (str(arm), {str(row.measure): Estimate(row.value, row.low, row.high) for row in records(part)})
        for arm, part in table.groupby("arm", sort=False)
    ]


def at_plain_dose(table: pd.DataFrame) -> pd.DataFrame:
    """Keep of a table each arm's group at the largest share of the patients, of all arms, and the dose nearest 1."""
    table = table[table["real_share"] == table["real_share"].max()]
    return table[has_plain_dose(table)]


def has_plain_dose(table: pd.DataFrame) -> pd.Series[bool]:
    """Mark the rows at their arm's dose nearest 1, of two that are as near the smaller one."""
    dose = table["dose"].fillna(1.0)
    distance = (dose - 1).abs()
    nearest = distance == distance.groupby(table["arm"]).transform("min")
    return nearest & (dose == dose.where(nearest).groupby(table["arm"]).transform("min"))


def records(table: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows, whose values pandas' stubs know nothing of."""
    yield from table.itertuples()


def group_in_words(row: Any) -> str:
    """Return what a row's group is called: ``arm, dose 0.5, 50 % of patients``."""
    dose = f", dose {row.dose:g}" if math.isfinite(row.dose) and row.dose > 0 else ""
    share = f", {100 * row.real_share:.3g} % of patients" if row.real_share < 1 else ""
    return f"{row.arm}{dose}{share}"


def shown(value: float, low: float, high: float, signed: bool = False) -> str:
    """Return a number with its interval, which breaks in no line; empty without a number."""
    if not np.isfinite(value):
        return ""
    estimate = Estimate(value, low, high)
    # A line breaks before an interval, not within.
    ends = " " + interval(estimate, signed).replace(" ", "\u00a0") if estimate.has_interval else ""
    return number(value, signed) + ends


def p_in_words(value: float, comparison: Comparison) -> str:
    """Return a p with as many decimals as say on which side of the level it lies; empty where nothing was tested."""
    return p_near(value, 1 - float(comparison.facts["confidence"])) if math.isfinite(value) else ""
