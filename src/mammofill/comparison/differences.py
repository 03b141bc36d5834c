"""Which groups are compared with which, and what the comparisons say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mammofill.comparison.comparison import (
    ARM_COLUMNS,
    BETTER,
    CANNOT_TELL,
    DIFFERENCE_COLUMNS,
    NOT_SHOWN,
    WORSE,
)
from mammofill.comparison.groups import Group, Groups
from mammofill.comparison.paired_tests import (
    clustered_covariance,
    delong_covariance,
    effect_size,
    holm,
    mcnemar,
    p_of_difference,
)
from mammofill.comparison.settings import CompareArmsSettings
from mammofill.evaluation.intervals import Replicates, Spread, scale_of
from mammofill.evaluation.metrics import LOWER_IS_BETTER

Measured = Mapping[Group, Mapping[str, Replicates]]


@dataclass(frozen=True)
class Contrast:
    """Two groups that are compared."""

    group: Group
    against: Group
    planned: bool
    """Whether the comparison belongs to the family that is corrected for."""


def arms_table(measured: Measured, settings: CompareArmsSettings) -> pd.DataFrame:
    """Tell the value of each measure in each group; columns of `ARM_COLUMNS`."""
    rows = []
    for group, of_group in measured.items():
        for name in settings.measures:
            replicates = of_group[name]
            count, spread = len(replicates.values), replicates.spread(scale_of(name))
            over_seeds = float(replicates.values.std(ddof=1)) if count > 1 else math.nan
            interval = spread.interval(settings.confidence)
            rows.append((
                *group.row, name, spread.value, *interval, spread.error, spread.degrees, count, over_seeds,
                spread.seeds_degrees > 0, spread.left_out,
            ))  # fmt: skip
    return pd.DataFrame(rows, columns=list(ARM_COLUMNS)).astype(ARM_COLUMNS)


def contrasts_of(groups: Groups, settings: CompareArmsSettings) -> list[Contrast]:
    """List the comparisons: every group against the reference, and the named pairs.

    Planned are those at the largest share of real patients, at the planned doses.
    """
    whole = max(group.real_share for group in groups.members)

    def contrast(group: Group, against: Group) -> Contrast:
        doses = {one.dose for one in (group, against)} - {None}
        at_planned_dose = not settings.planned_doses or doses <= set(settings.planned_doses)
        return Contrast(group, against, group.real_share == whole and at_planned_dose)

    found = {}
    for group in groups.members:
        if against := groups.reference_of(group):
            found[group, against] = contrast(group, against)
    for arm, other in settings.pairs:
        for one, two in _pairs(groups, arm, other):
            if (two, one) not in found:
                found[one, two] = contrast(one, two)
    return list(found.values())


def not_compared(groups: Groups, contrasts: Sequence[Contrast], settings: CompareArmsSettings) -> Iterator[str]:
    """Say what has no counterpart, so that nothing is left out in silence."""
    compared = {group for one in contrasts for group in (one.group, one.against)}
    for group in groups.members:
        if group not in compared and group.arm != groups.reference:
            yield (
                f"{group.name} is compared with nothing: {groups.reference} was not evaluated at that share of the "
                "real patients."
            )
    for arm, other in settings.pairs:
        if not any({one.group.arm, one.against.arm} == {arm, other} for one in contrasts):
            yield f"{arm} and {other} are a planned pair, but have no dose and share in common."


def differences_table(
    groups: Groups, measured: Measured, contrasts: Sequence[Contrast], settings: CompareArmsSettings
) -> pd.DataFrame:
    """Compare each pair of groups in each measure; columns of `DIFFERENCE_COLUMNS`."""
    rows = [_difference(groups, measured, one, name, settings) for name in settings.measures for one in contrasts]
    table = pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS))
    for name in settings.measures:
        family = table.index[(table["measure"] == name) & table["planned"].astype(bool)]
        table.loc[family, "family"] = len(family)
        table.loc[family, "p_holm"] = holm(table.loc[family, "p"].astype(float).tolist())
    error_rate = 1 - settings.confidence
    for place in table.index[table["planned"].astype(bool)]:
        row = table.loc[place]
        spread = _spread(measured, contrasts[place % len(contrasts)], row["measure"])
        smallest = spread.smallest_shown(error_rate / row["family"], settings.power)
        table.loc[place, "smallest_shown_in_family"] = smallest
        table.loc[place, "verdict"] = verdict(row["measure"], row["difference"], row["p_holm"], error_rate)
    return table.astype(DIFFERENCE_COLUMNS)


def verdict(name: str, difference: float, p: float, error_rate: float) -> str:
    """Return one of `comparison.VERDICTS`.

    Args:
        name: of the measure; for some lower is better.
        difference: of the arm over the one that it is compared with.
        p: adjusted for its family; NaN where it cannot be had.
        error_rate: of the family.
    """
    if math.isnan(p):
        return CANNOT_TELL
    if p >= error_rate:
        return NOT_SHOWN
    return BETTER if (difference > 0) != (name in LOWER_IS_BETTER) else WORSE


def _pairs(groups: Groups, arm: str, other: str) -> Iterator[tuple[Group, Group]]:
    """Yield groups of two arms that differ in the arm alone; an arm without doses stands for each dose."""
    for one in groups.members:
        for two in groups.members:
            fits = one.real_share == two.real_share and (one.dose == two.dose or None in (one.dose, two.dose))
            if (one.arm, two.arm) == (arm, other) and fits:
                yield one, two


def _difference(
    groups: Groups, measured: Measured, one: Contrast, name: str, settings: CompareArmsSettings
) -> tuple[object, ...]:
    first, second = measured[one.group][name], measured[one.against][name]
    spread = _spread(measured, one, name)
    value, other = float(first.values.mean()), float(second.values.mean())
    delong = _delong(groups, one) if name == "auc" else (math.nan, math.nan)
    p_mcnemar, only_first, only_second = _mcnemar(groups, one) if name == "accuracy" else (math.nan, -1, -1)
    share, count, others = one.group.real_share, len(first.values), len(second.values)
    return (
        *one.group.row[:2], *one.against.row[:2], share, name, one.planned, value, other,
        spread.value, *spread.interval(settings.confidence), spread.error, spread.degrees, spread.p_of_zero(),
        math.nan, 0, "", spread.smallest_shown(1 - settings.confidence, settings.power), math.nan,
        *effect_size(name, value, other), *delong, p_mcnemar, only_first, only_second,
        count, others, spread.seeds_degrees > 0, spread.left_out,
    )  # fmt: skip


def _spread(measured: Measured, one: Contrast, name: str) -> Spread:
    return measured[one.group][name].minus(measured[one.against][name])


def _delong(groups: Groups, one: Contrast) -> tuple[float, float]:
    """Return p of DeLong's test, and of its form for patients with several patches, on scores averaged over seeds."""
    scores = np.stack([groups.logits(group).mean(axis=0) for group in (one.against, one.group)])
    counts = groups.malignant.sum(), (~groups.malignant).sum()
    plain = p_of_difference(*delong_covariance(groups.malignant, scores)) if min(counts) > 1 else math.nan
    return plain, p_of_difference(*clustered_covariance(groups.malignant, scores, groups.patients))


def _mcnemar(groups: Groups, one: Contrast) -> tuple[float, int, int]:
    """Return McNemar's test of calls at the frozen thresholds, scores averaged over seeds."""
    right = [(groups.margins(group) >= 0) == groups.malignant for group in (one.group, one.against)]
    return mcnemar(right[0], right[1])
