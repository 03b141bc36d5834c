"""What the tables of a comparison allow to say, in plain words; never more.

Each planned comparison ends in one of three ways: shown better, shown worse, no difference shown. The third always
tells the smallest difference that would have been shown, so that nobody takes too few patients for no difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from mammofill.comparison.comparison import BETTER, CANNOT_TELL, NOT_SHOWN, SENTENCE_COLUMNS, WORSE
from mammofill.comparison.differences import Measured
from mammofill.comparison.groups import Group, Groups
from mammofill.comparison.settings import CompareArmsSettings
from mammofill.evaluation.metrics import LOWER_IS_BETTER

_WORDS = {"auc": "AUC", "pr_auc": "area under the precision-recall curve", "brier": "Brier score", "ece": "ECE"}

_FEW_PATIENTS = 20
"""Of a class; below it the simulated studies of docs/statistics.md were not tried."""


def sentences_table(
    groups: Groups,
    measured: Measured,
    tables: Mapping[str, pd.DataFrame],
    left_over: Iterator[str],
    settings: CompareArmsSettings,
) -> pd.DataFrame:
    """Write the sentences of a comparison.

    Args:
        groups: the evaluations.
        measured: what they measure.
        tables: arms, differences, break_even.
        left_over: what was compared with nothing.
        settings: of the comparison; sentences are about the first measure.

    Returns:
        Columns of `SENTENCE_COLUMNS`, the planned comparisons first.
    """
    name = settings.measures[0]
    differences = tables["differences"]
    planned = differences[(differences["measure"] == name) & differences["planned"]]
    rows = [
        ("comparison", _name(row), _name(row, "against"), name, row["verdict"], _comparison(row, groups, settings))
        for row in _records(planned)
    ]
    rows += [("dose", arm, "", name, "", text) for arm, text in _doses(groups, measured, name, settings)]
    rows += [("break-even", arm, "", name, "", text) for arm, text in _break_even(tables["break_even"], name)]
    rows += [("not-compared", "", "", name, "", text) for text in left_over]
    rows += [("caution", "", "", name, "", text) for text in _cautions(groups, measured, planned, name, settings)]
    return pd.DataFrame(rows, columns=list(SENTENCE_COLUMNS)).astype(SENTENCE_COLUMNS)


def in_words(name: str) -> str:
    """Return a measure's name as a sentence has it."""
    return _WORDS.get(name, name.replace("_", " "))


def _comparison(row: Mapping[str, Any], groups: Groups, settings: CompareArmsSettings) -> str:
    family, verdict = row["family"], row["verdict"]
    head = (
        f"{_name(row)} against {_name(row, 'against')}: {in_words(str(row['measure']))} {_plain(row['value'])} "
        f"against {_plain(row['against_value'])}, difference "
        f"{_interval(row['difference'], row['low'], row['high'])}"
    )
    if verdict == CANNOT_TELL:
        return f"{head}. It cannot be judged: an error of the difference cannot be had from these patients."
    seeds = " and training seeds" if row["seeds_in_interval"] else ", of one training seed each"
    head += f" ({100 * settings.confidence:g} % interval over patients{seeds})."
    adjusted = f", {_p(row['p_holm'])} after Holm's correction for {family} comparisons" if family > 1 else ""
    told = f"{verdict.capitalize()} ({_p(row['p'])}{adjusted})."
    if verdict in (BETTER, WORSE):
        return f"{head} {told}"
    return f"{head} {told}{_nearly(row)} {_could_have_shown(row, groups, settings)}"


def _nearly(row: Mapping[str, Any]) -> str:
    if row["low"] > 0 or row["high"] < 0:
        return " The interval leaves out zero, but it is that of one comparison, and this is one of several."
    return ""


def _could_have_shown(row: Mapping[str, Any], groups: Groups, settings: CompareArmsSettings) -> str:
    smallest = row["smallest_shown_in_family"]
    patients = len(set(groups.patients))
    seeds = ", the luck of training left aside,"
    if row["seeds_in_interval"]:
        seeds = f" and {row['replicates']} against {row['against_replicates']} training seeds"
    return (
        f"With these {patients} patients{seeds} a true difference of {_plain(smallest)} would have been shown in "
        f"{100 * settings.power:g} % of such studies: a smaller one may well be there, in either direction."
    )


def _doses(groups: Groups, measured: Measured, name: str, settings: CompareArmsSettings) -> Iterator[tuple[str, str]]:
    for arm in groups.arms:
        dosed = [group for group in groups.members if group.arm == arm and group.dose is not None]
        whole = max((group.real_share for group in dosed), default=0.0)
        rising = sorted((group for group in dosed if group.real_share == whole), key=lambda group: group.dose or 0.0)
        if len(rising) < 2:
            continue
        values = ", ".join(f"{_plain(float(measured[one][name].values.mean()))} at {one.dose:g}" for one in rising)
        start = groups.reference_of(rising[0])
        zero = f"{_plain(float(measured[start][name].values.mean()))} without ({start.arm}), " if start else ""
        yield (
            arm,
            f"{arm}, {in_words(name)} against the dose: {zero}{values}. {_trend(rising, measured, name, settings)}",
        )


def _trend(rising: list[Group], measured: Measured, name: str, settings: CompareArmsSettings) -> str:
    first, last = rising[0], rising[-1]
    found = measured[last][name].minus(measured[first][name])
    low, high = found.interval(settings.confidence)
    words = f"From dose {first.dose:g} to {last.dose:g} it changes by {_interval(found.value, low, high)}: "
    if math.isnan(low):
        return words + "an interval cannot be had."
    if low <= 0 <= high:
        smallest = found.smallest_shown(1 - settings.confidence, settings.power)
        return (
            words
            + f"no trend shown; one of {_plain(smallest)} would have been, in {100 * settings.power:g} % of studies."
        )
    improves = (found.value > 0) != (name in LOWER_IS_BETTER)
    return words + f"{'better' if improves else 'worse'} with the dose. This comparison was not among the planned ones."


def _break_even(table: pd.DataFrame, name: str) -> Iterator[tuple[str, str]]:
    if not len(table):
        yield "", "How many real patches the generated ones were worth cannot be said: no evaluation states a dose."
    for reason, rows in table[table["reason"] != ""].groupby("reason", sort=False):
        # Groups by the dozen are named by their arms; the table says each.
        whole = len(rows) == len(table) > 4
        who = "any arm, dose or share" if whole else "; ".join(_name(row) for row in _records(rows))
        yield "", f"How many real patches the added ones were worth cannot be said for {who}: {reason}."
    for row in _records(table[table["reason"] == ""]):
        share = f"{100 * row['worth_share']:.0f} %"
        ends = f"[{_percent(row['worth_share_low'])}, {_percent(row['worth_share_high'])}]"
        yield (
            str(row["arm"]),
            (
                f"{_name(row)}: {in_words(name)} {_plain(row['value'])} is what the reference arm reaches with {share} "
                f"{ends} of the real patients{_in_patches(row)}."
            ),
        )


def _in_patches(row: Mapping[str, Any]) -> str:
    if math.isnan(row["added_patches"]) or math.isnan(row["worth_patches"]):
        return ""
    low, high = _count(row["worth_patches_low"]), _count(row["worth_patches_high"])
    worth = _count(row["worth_patches"])
    return f": {row['added_patches']:.0f} added patches were worth {worth} real ones [{low}, {high}]"


def _cautions(
    groups: Groups, measured: Measured, planned: pd.DataFrame, name: str, settings: CompareArmsSettings
) -> Iterator[str]:
    alone = [group.name for group, found in measured.items() if len(found[name].values) == 1]
    if len(alone) == len(measured):
        yield (
            "Every arm was trained once. The luck of its first weights and of its data order is in no interval, and "
            "can be as large as a difference between arms: what is said holds for these very networks."
        )
    elif alone:
        yield (
            f"Trained once: {'; '.join(alone)}. How far training seeds move them is taken from the other arms, as if "
            "they moved all alike."
        )
    few = min(found[name].patients for found in measured.values())
    if few < _FEW_PATIENTS:
        yield (
            f"Only {few} patients have patches of the class that limits the {in_words(name)}: intervals were not tried "
            f"on fewer than {_FEW_PATIENTS}, and may be too narrow."
        )
    left_out = int(planned["left_out"].max()) if len(planned) else 0
    if left_out:
        yield (
            f"In up to {left_out} of {settings.resamples} resamples of patients a class was missing; they were left "
            "out, which makes the intervals a little too narrow."
        )
    yield from _pooled(groups)
    if (planned["verdict"] == NOT_SHOWN).any():
        yield "That no difference was shown does not mean that there is none."


def _pooled(groups: Groups) -> Iterator[str]:
    """Say what pooled folds leave open, and how the folds' own AUCs stand beside that of all scores together."""
    means = {
        group.name: [one.mean_fold_auc for one in evaluations if one.mean_fold_auc is not None]
        for group, evaluations in groups.members.items()
    }
    counts = {len(one.folds) for evaluations in groups.members.values() for one in evaluations}
    if counts == {0}:
        return
    yield (
        f"Each patient was scored by one of {max(counts)} classifiers, of different folds whose training patients "
        "overlap. The intervals take these patients and classifiers for independent, which they are not quite: there "
        "is no unbiased estimate of the error of a cross-validation (Bengio and Grandvalet, 2004), and the intervals "
        "may be too narrow."
    )
    told = "; ".join(f"{name} {_plain(sum(values) / len(values))}" for name, values in means.items() if values)
    yield (
        "The AUC here is of the scores of all folds together, each from its own fold's threshold. The mean of the "
        f"folds' own AUCs, which no threshold touches: {told}. Where an order of arms differs between the two, trust "
        "neither."
    )


def _name(row: Mapping[str, Any], role: str = "arm") -> str:
    dose = float(row["dose" if role == "arm" else "against_dose"])
    return Group(str(row[role]), None if math.isnan(dose) else dose, float(row["real_share"])).name


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(column): value for column, value in row.items()} for row in table.to_dict("records")]


def _interval(value: float, low: float, high: float) -> str:
    if math.isnan(low):
        return f"{_signed(value)} [no interval]"
    return f"{_signed(value)} [{_signed(low)}, {_signed(high)}]"


def _plain(value: float) -> str:
    return f"{value:.3f}"


def _signed(value: float) -> str:
    return "0.000" if value == 0 else f"{value:+.3f}".replace("-", "−")


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _percent(share: float) -> str:
    if math.isinf(share):
        return "more than all" if share > 0 else "fewer than were tried"
    return f"{100 * share:.0f} %"


def _count(patches: float) -> str:
    if math.isinf(patches):
        return "more than there were" if patches > 0 else "fewer than were tried"
    return f"{patches:.0f}".replace("-", "−")
