"""The conclusions that the tables of a comparison support, in plain words; never more.

Each comparison of the family ends in one way: shown better, shown worse, no difference shown, or not a finding, where
an arm was trained once. "No difference shown" always gives the smallest difference that would have been shown, so that
too few patients are not mistaken for no difference. What is not tested is described.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mammofill.comparison.cautions import cautions
from mammofill.comparison.comparison import BETTER, CANNOT_TELL, NO_FINDING, SAME, SENTENCE_COLUMNS, WORSE
from mammofill.comparison.design import Group, Trained, patients_and
from mammofill.comparison.differences import Measured
from mammofill.comparison.groups import Groups
from mammofill.comparison.plan import (
    ADDED,
    NOT_WRITTEN,
    PLANNED,
    WrittenPlan,
    departures,
    fewer_than_planned,
    looks,
    not_made,
    plan_in_force,
)
from mammofill.comparison.settings import CompareArmsSettings
from mammofill.comparison.words import group_of, in_words, name_of, records_of
from mammofill.evaluation.intervals import scale_of
from mammofill.evaluation.metrics import LOWER_IS_BETTER
from mammofill.evaluation.units import unit_of
from mammofill.ground.counting import counted

_AS_MANY = 0.05
"""Of a dose: one fill more or less for each class still counts as the dose."""


def sentences_table(
    groups: Groups,
    measured: Measured,
    tables: Mapping[str, pd.DataFrame],
    settings: CompareArmsSettings,
    plans: Sequence[WrittenPlan] = (),
) -> pd.DataFrame:
    """Write the sentences of a comparison.

    Args:
        groups: the evaluations.
        measured: what they measure.
        tables: arms, differences, break_even.
        settings: of the comparison; sentences are about the first measure.
        plans: that were written down.

    Returns:
        Columns of `SENTENCE_COLUMNS`, the tested comparisons first.
    """
    name = settings.measures[0]
    differences = tables["differences"]
    primary = differences[differences["measure"] == name]
    tested = primary[primary["tested"]]
    asked_for = np.array([_was_asked_for(groups, row) for row in records_of(primary)], dtype=bool)
    added = primary[(primary["plan"] == ADDED) & asked_for]
    fewer, otherwise = fewer_than_planned(groups.made, plans), departures(groups.made, plans)
    rows = [
        (
            "comparison",
            name_of(row),
            name_of(row, "against"),
            name,
            row["verdict"],
            f"{_comparison(row, groups, settings)}{_planned(row, fewer)}",
        )
        for row in records_of(tested)
    ]
    rows += [
        ("added", name_of(row), name_of(row, "against"), name, "", f"{_head(row, settings)}{_added(row, otherwise)}")
        for row in records_of(added)
    ]  # fmt: skip
    rows += [("plan", "", "", name, "", text) for text in _plan(groups, plans, len(tested), len(added))]
    rows += [("fills", arm, "", name, "", text) for arm, text in _fills(groups)]
    rows += [("dose", arm, "", name, "", text) for arm, text in _doses(groups, measured, name, settings)]
    rows += [("break-even", arm, "", name, "", text) for arm, text in _break_even(tables["break_even"], name)]
    rows += [("not-compared", "", "", name, "", text) for text in groups.design.not_compared()]
    rows += [("caution", "", "", name, "", text) for text in cautions(groups, measured, tested, name, settings)]
    return pd.DataFrame(rows, columns=list(SENTENCE_COLUMNS)).astype(SENTENCE_COLUMNS)


def no_finding(trained: Trained, against: Trained) -> str:
    """Say why a comparison is not a finding: variation between trainings is not in its interval."""
    if trained.replicates == against.replicates == trained.classifiers == against.classifiers == 1:
        return "One training each: not a finding"
    for one in (trained, against):
        if one.infillers == 1 and one.classifiers > 1:
            return "One infiller, so variation between infillers is not in the interval: not a finding"
    return "One arm was trained once: not a finding"


def _comparison(row: Mapping[str, Any], groups: Groups, settings: CompareArmsSettings) -> str:
    family, verdict = row["family"], row["verdict"]
    head = _head(row, settings)
    if verdict == NO_FINDING:
        return f"{head} {no_finding(_trained(row), _trained(row, 'against_'))}."
    if verdict == SAME:
        return f"{head} The same classifiers: their scores are bit-identical, so there is nothing to test."
    if verdict == CANNOT_TELL:
        return (
            f"{head} It cannot be judged: no standard error of the difference can be computed from these patients, "
            "because only one is of a class, or because all their resamples give the same difference."
        )
    level = 1 - settings.confidence
    corrected = (
        f", {p_as_equation(row['p_holm'], level)} after Holm's correction for {family} comparisons"
        if family > 1
        else ""
    )
    sentences = f"{head} {verdict.capitalize()} ({p_as_equation(row['p'], level)}{corrected})."
    if verdict not in (BETTER, WORSE):
        sentences += f"{_nearly(row)} {_could_have_shown(row, groups, settings)}"
    return sentences + _margin(row, level / 2)


def _planned(row: Mapping[str, Any], fewer: Mapping[Group, tuple[int, int]]) -> str:
    """Say that a comparison was planned, and of which of its groups not all planned classifiers are there."""
    if row["plan"] != PLANNED:
        return ""
    short = [(group, fewer[group]) for group in (group_of(row, "arm"), group_of(row, "against")) if group in fewer]
    counts = ", ".join(f"{there} of {planned} of {group.name}" for group, (there, planned) in short)
    return f" Planned, but with more classifiers than there are: {counts}." if short else " Planned."


def _added(row: Mapping[str, Any], otherwise: Mapping[Group, str]) -> str:
    """Say that a comparison was added, and which of its groups were trained more often, or otherwise, than planned."""
    sides = (group_of(row, "arm"), group_of(row, "against"))
    why = "; ".join(otherwise[group] for group in sides if group in otherwise)
    return f" Added after results were seen{f' ({why})' if why else ''}: described, not tested."


def _head(row: Mapping[str, Any], settings: CompareArmsSettings) -> str:
    """Return the difference with its interval, and what that covers."""
    same = row["verdict"] == SAME
    difference = _signed(row["difference"]) if same else _interval(row["difference"], row["low"], row["high"])
    head = (
        f"{name_of(row)} against {name_of(row, 'against')}: {in_words(str(row['measure']))} {_plain(row['value'])} "
        f"against {_plain(row['against_value'])}, difference {difference}"
    )
    if math.isnan(row["low"]):
        return head + "."
    return f"{head} ({100 * settings.confidence:g} % CI over {_covered(row)})."


def _covered(row: Mapping[str, Any]) -> str:
    """Say what the interval of a difference covers, and what variation it leaves out."""
    sides = _trained(row), _trained(row, "against_")
    held = max((one.in_interval for one in sides), key=len)
    left_out = [one.not_in_interval for one in sides if one.not_in_interval]
    return patients_and(held) + (f"; variation between {left_out[0]} is not in it" if left_out else "")


def _margin(row: Mapping[str, Any], level: float) -> str:
    """Say what was shown against the margin of the plan, one-sided at a level; nothing without a margin."""
    if math.isnan(row["margin"]):
        return ""
    unit, margin = in_words(str(row["measure"])).partition(" by ")[0], f"{row['margin']:g}"
    less, not_worse = (p_as_equation(row[f"p_{mark}"], level) for mark in ("worth_less", "not_worse"))
    sentences = f" That it gains less than {margin} {unit}: {row['worth_less']} ({less}, one-sided at {level:.3g})."
    sentences += f" That it loses less than {margin}: {row['not_worse']} ({not_worse})."
    return sentences + (" Both: equivalent within that margin." if row["equivalent"] == "shown" else "")


def _nearly(row: Mapping[str, Any]) -> str:
    if row["low"] > 0 or row["high"] < 0:
        return " The interval leaves out zero, but it is that of one comparison, and this is one of several."
    return ""


def _could_have_shown(row: Mapping[str, Any], groups: Groups, settings: CompareArmsSettings) -> str:
    smallest = row["smallest_shown_in_family"]
    patients = len(set(groups.patients))
    trained = " against ".join(_times_trained(_trained(row, side)) for side in ("", "against_"))
    if smallest >= 1:  # of what lies in [0, 1], no difference is as large
        return (
            f"With these {counted(patients, 'patients')} and {trained} no true difference, however large, would "
            f"have been shown in "
            f"{100 * settings.power:g} % of such studies: this one is too small to show anything."
        )
    if row["paired"]:
        trained += f", in pairs on {row['training_sets']} training sets with no patient in common,"
    if row["shared_classifiers"]:
        trained += f" ({100 * row['shared_classifiers']:.0f} % of the classifiers are the very same in both)"
    sentence = (
        f"With these {counted(patients, 'patients')} and {trained} a true difference of {_plain(smallest)} would "
        f"have been shown "
        f"in {100 * settings.power:g} % of such studies: a smaller one may well be there, in either direction."
    )
    return sentence + _room(row, smallest)


def _room(row: Mapping[str, Any], smallest: float) -> str:
    """Say where no gain could have been shown: an AUC of 0.8 gains 0.2 at most."""
    name, against = unit_of(str(row["measure"]))[0], float(row["against_value"])
    if scale_of(name) != "share" or not 0 <= against <= 1:
        return ""
    lower = name in LOWER_IS_BETTER
    room = against if lower else 1 - against
    if smallest <= room:
        return ""
    falls = "fall" if lower else "rise"
    return (
        f" From {_plain(against)} it can {falls} by {_plain(room)} at most: no gain, however large, would have been "
        "shown so often."
    )


def _times_trained(trained: Trained) -> str:
    if trained.infillers:
        return f"{counted(trained.infillers, 'infillers')} with {counted(trained.classifiers, 'classifiers')}"
    return counted(trained.classifiers, "classifiers")


def _trained(row: Mapping[str, Any], side: str = "") -> Trained:
    infillers, classifiers, sets = (int(row[f"{side}{of}"]) for of in ("infillers", "classifiers", "training_sets"))
    return Trained(infillers, classifiers, sets)


def _was_asked_for(groups: Groups, row: Mapping[str, Any]) -> bool:
    """Whether settings ask to test a row, had it been planned."""
    return any(
        one.tested and (one.group.name, one.against.name) == (name_of(row), name_of(row, "against"))
        for one in groups.design.contrasts()
    )


def _plan(groups: Groups, plans: Sequence[WrittenPlan], tested: int, added: int) -> Iterator[str]:
    """Say what was planned, when, what of it is not here, and how often this test set was looked at."""
    if not plans:
        yield f"{NOT_WRITTEN.capitalize()} before results were seen: it is unknown which comparisons were planned."
        return
    plan, missing = plan_in_force(plans), not_made(groups.design.contrasts(), groups.question, plans, groups.made)
    first = plan or plans[0]
    when = "before any test score existed" if first.in_time else f"when {first.test_scores_before} test scores existed"
    times = "once" if looks(plans) == 1 else f"{looks(plans)} times, each under another plan"
    count = tested + len(missing)
    what = f"{count} {'comparison was' if count == 1 else 'comparisons were'} planned"
    if missing:
        verb, counts = ("is", "counts") if len(missing) == 1 else ("are", "count")
        what += f", of which {len(missing)} {verb} not here as planned ({'; '.join(missing)}) and {counts} in Holm's "
        what += "correction all the same"
    more = f", {added} added after results were seen" if added else ""
    other = ""
    if plan and not plan.asks(groups.question):
        other = (
            " It asks another question than this comparison: another measure, margin, confidence or source of patients."
        )
    yield f"Plan {first.sha256[:12]}, written {when}: {what}{more}.{other} This test set was looked at {times}."


def _fills(groups: Groups) -> Iterator[tuple[str, str]]:
    """Say of which arms the fills that were learned from were on trial, or another number than the dose says."""
    for arm in groups.arms:
        members = {group: several for group, several in groups.members.items() if group.arm == arm}
        tried = {group: np.array([one.fills_on_trial for one in several if one.fills_on_trial])
                 for group, several in members.items()}  # fmt: skip
        on_trial = {group: tuple(counts.sum(axis=0)) for group, counts in tried.items() if len(counts)}
        if on_trial:
            yield arm, _on_trial(on_trial)
        learned = {group: groups.fills(group) or (0.0, 0.0) for group in members if group not in on_trial}
        other = {group: counts for group, counts in learned.items() if _is_another_dose(group, *counts)}
        if other:
            yield arm, _another_dose(other)


def _is_another_dose(group: Group, fills: float, real: float) -> bool:
    if not group.dose or not fills or not real:
        return False
    return abs(fills / real - group.dose) > _AS_MANY * group.dose


def _another_dose(learned: Mapping[Group, tuple[float, float]]) -> str:
    """Say from how many fills the groups of an arm learned, in one sentence."""
    shares = {group: fills / real for group, (fills, real) in learned.items()}
    of_each = _for_each({
        group: f"{shares[group]:.2f} fills for each real patch ({fills:.0f} beside {real:.0f})"
        for group, (fills, real) in learned.items()
    })  # fmt: skip
    fewer = any(share < (group.dose or 0) for group, share in shares.items())
    why = ": no more passed a gate, balanced the classes, or made up a dose by lesion" if fewer else ""
    return f"{next(iter(learned)).arm} learned from {of_each}{why}."


def _on_trial(counts: Mapping[Group, tuple[int, int]]) -> str:
    """Say how often validation allowed the fills that an arm had on trial, in one sentence."""
    of_each = _for_each({group: f"{allowed} of {trained} trainings" for group, (allowed, trained) in counts.items()})
    allowed, trained = (sum(numbers) for numbers in zip(*counts.values(), strict=True))
    why = "a gain with them" if allowed == trained else "no gain with them"
    others = "in the others " if 0 < allowed < trained else ""
    return f"{next(iter(counts)).arm} learned from fills in {of_each}: {others}validation showed {why}."


def _for_each(words: Mapping[Group, str]) -> str:
    """List what holds for each of an arm's groups."""
    return "; ".join(f"{text} at {group.dose_and_share}" for group, text in words.items())


def _doses(groups: Groups, measured: Measured, name: str, settings: CompareArmsSettings) -> Iterator[tuple[str, str]]:
    for arm in groups.arms:
        dosed = [group for group in groups.members if group.arm == arm and group.dose is not None]
        whole = max((group.real_share for group in dosed), default=0.0)
        rising = sorted((group for group in dosed if group.real_share == whole), key=lambda group: group.dose or 0.0)
        if len(rising) < 2:
            continue
        values = ", ".join(f"{_plain(measured[one][name].value)} at {one.dose:g}" for one in rising)
        start = groups.beside(rising[0])
        zero = f"{_plain(measured[start][name].value)} without ({start.arm}), " if start else ""
        yield (
            arm,
            f"{arm}, {in_words(name)} against the dose: {zero}{values}. {_trend(rising, measured, name, settings)}",
        )


def _trend(rising: list[Group], measured: Measured, name: str, settings: CompareArmsSettings) -> str:
    """Describe a trend; it is not tested, since the doses that are named are chosen after seeing the values."""
    first, last = rising[0], rising[-1]
    found = measured[last][name].minus(measured[first][name])
    changes = _interval(found.value, *found.interval(settings.confidence))
    return f"From dose {first.dose:g} to {last.dose:g} it changes by {changes}; described, not tested."


def _break_even(table: pd.DataFrame, name: str) -> Iterator[tuple[str, str]]:
    if not len(table):
        yield "", "How many real patches the generated ones were worth cannot be said: no evaluation states a dose."
    for reason, rows in table[table["reason"] != ""].groupby("reason", sort=False):
        # Groups by the dozen are named by their arms; the table says each.
        whole = len(rows) == len(table) > 4
        who = "any arm, dose or share" if whole else "; ".join(name_of(row) for row in records_of(rows))
        yield "", f"How many real patches the added ones were worth cannot be said for {who}: {reason}."
    for row in records_of(table[table["reason"] == ""]):
        share = f"{100 * row['worth_share']:.0f} %"
        ends = f"[{_percent(row['worth_share_low'])}, {_percent(row['worth_share_high'])}]"
        yield (
            str(row["arm"]),
            (
                f"{name_of(row)}: {in_words(name)} {_plain(row['value'])} is what the arm without added patches "
                f"reaches with {share} {ends} of the real patients{_in_patches(row)}."
            ),
        )


def _in_patches(row: Mapping[str, Any]) -> str:
    if math.isnan(row["added_patches"]) or math.isnan(row["worth_patches"]):
        return ""
    low, high = _count(row["worth_patches_low"]), _count(row["worth_patches_high"])
    worth = _count(row["worth_patches"])
    return f": {row['added_patches']:.0f} added patches were worth {worth} real ones [{low}, {high}]"


def _interval(value: float, low: float, high: float) -> str:
    if math.isnan(low):
        return f"{_signed(value)} [no interval]"
    return f"{_signed(value)} [{_signed(low)}, {_signed(high)}]"


def _plain(value: float) -> str:
    return f"{value:.3f}"


def _signed(value: float) -> str:
    return "0.000" if value == 0 else f"{value:+.3f}".replace("-", "−")


def p_as_equation(value: float, level: float) -> str:
    """Return a p as sentences have it: ``p = 0.029``, ``p < 0.001``; see `p_in_words`."""
    words = p_in_words(value, level)
    return f"p {words}" if words.startswith("<") else f"p = {words}"


def p_in_words(value: float, level: float) -> str:
    """Return a p with three decimals, or with as many as say on which side of a level it lies."""
    if value < min(0.001, level):
        return "< 0.001"
    decimals = 3
    while decimals < 6 and (float(f"{value:.{decimals}f}") < level) != (value < level):
        decimals += 1
    return f"{value:.{decimals}f}"


def _percent(share: float) -> str:
    if math.isinf(share):
        return "more than all" if share > 0 else "fewer than were tried"
    return f"{100 * share:.0f} %"


def _count(patches: float) -> str:
    if math.isinf(patches):
        return "more than there were" if patches > 0 else "fewer than were tried"
    return f"{patches:.0f}".replace("-", "−")
