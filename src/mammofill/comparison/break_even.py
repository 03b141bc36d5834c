"""Value against dose and against the share of real patients, and how many real patches generated ones were worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.comparison.comparison import BREAK_EVEN_COLUMNS, DOSE_COLUMNS, GROUP_COLUMNS, SHARE_COLUMNS
from mammofill.comparison.design import Contrast, Group
from mammofill.comparison.differences import Measured
from mammofill.comparison.groups import Groups
from mammofill.comparison.settings import CompareArmsSettings
from mammofill.evaluation.intervals import scale_of
from mammofill.evaluation.metrics import LOWER_IS_BETTER
from mammofill.evaluation.units import unit_of
from mammofill.ground.seeding import stream


def doses_table(groups: Groups, measured: Measured, settings: CompareArmsSettings) -> pd.DataFrame:
    """Return each measure at each dose of arms that have doses, the reference as dose 0; columns of `DOSE_COLUMNS`."""
    dosed = [group for group in groups.members if group.dose is not None]
    shares = {group.real_share for group in dosed}
    beside = {groups.beside(group) for group in dosed}
    start = [one for one in groups.members if one in beside and one.dose is None]
    rows = [
        (group.arm, group.dose or 0.0, group.real_share, *_value_and_gain(groups, measured, group, name, settings))
        for name in settings.measures
        for group in sorted([*(one for one in start if one.real_share in shares), *dosed], key=_order(groups))
    ]
    return pd.DataFrame(rows, columns=list(DOSE_COLUMNS)).astype(DOSE_COLUMNS)


def shares_table(groups: Groups, measured: Measured, settings: CompareArmsSettings) -> pd.DataFrame:
    """Return each measure at each share of arms that have several shares; columns of `SHARE_COLUMNS`."""
    shares: dict[tuple[str, float | None], set[float]] = {}
    for group in groups.members:
        shares.setdefault((group.arm, group.dose), set()).add(group.real_share)
    rows = [
        (*group.row, *_value_and_gain(groups, measured, group, name, settings))
        for name in settings.measures
        for group in sorted(groups.members, key=_order(groups))
        if len(shares[group.arm, group.dose]) > 1
    ]
    return pd.DataFrame(rows, columns=list(SHARE_COLUMNS)).astype(SHARE_COLUMNS)


@dataclass(frozen=True)
class LearningCurve:
    """Value of the arm without added patches against the share of real patients that it learned from.

    Attributes:
        shares: (k,) rising, in (0, 1].
        values: (k,) the measure, greater is better.
        draws: (k, r) the same for other patients and seeds.
        real_patches: (k,) learned from at each share; NaN where the evaluations do not say.
    """

    shares: NDArray[np.float64]
    values: NDArray[np.float64]
    draws: NDArray[np.float64]
    real_patches: NDArray[np.float64]

    @property
    def hindrance(self) -> str:
        """Why no share can be read off it for a given value; empty where one can."""
        if len(self.shares) < 2:
            return (
                "the arm without added patches was trained at one share of the real patients only: there is no curve "
                "to read"
            )
        falls = np.flatnonzero(np.diff(self.values) <= 0)
        if len(falls):
            one, two = self.shares[falls[0]], self.shares[falls[0] + 1]
            return (
                f"the arm without added patches gains nothing from {one * 100:g} % to {two * 100:g} % of the real "
                "patients"
            )
        return ""

    def share_at(self, value: float) -> float:
        """Return the share at which the curve reaches a value: linear in the logarithm of the share between points.

        -inf below the curve and inf above it.
        """
        return float(_share_reaching(self.shares, self.values, value))

    def shares_at(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the same for each draw: values (r,) -> shares (r,); a falling curve is made non-decreasing."""
        levelled = np.maximum.accumulate(self.draws, axis=0)
        return np.array([_share_reaching(self.shares, levelled[:, k], one) for k, one in enumerate(values)])

    def patches_at(self, share: float) -> float:
        """Return how many real patches a share was, inf or -inf beyond the curve, NaN where that is not known."""
        if not math.isfinite(share):
            return share
        return float(np.interp(share, self.shares, self.real_patches))


def break_even_table(groups: Groups, measured: Measured, settings: CompareArmsSettings, seed: int) -> pd.DataFrame:
    """Return for each group with a dose how many real patches its added ones were worth, in the primary measure.

    A group that learned from some of the real patients and added patches performs as well as its comparator does with a
    larger share of the real patients. That share is read off the comparator's learning curve, which ends at the largest
    share: beyond it there is nothing to compare with.

    Returns:
        Columns of `BREAK_EVEN_COLUMNS`, with a number or a reason in each row.
    """
    name = settings.measures[0]
    plain = {group: _without(groups, group) for group in groups.members if group.dose is not None}
    curves = {arm: learning_curve(groups, measured, name, seed, arm) for arm in dict.fromkeys(plain.values())}
    rows = [
        _break_even(groups, measured, group, plain[group], curves[plain[group]], settings, seed)
        for group in sorted(groups.members, key=_order(groups))
        if group.dose is not None and group.arm != plain[group]
    ]
    return pd.DataFrame(rows, columns=list(BREAK_EVEN_COLUMNS)).astype(BREAK_EVEN_COLUMNS)


def learning_curve(groups: Groups, measured: Measured, name: str, seed: int, arm: str) -> LearningCurve:
    """Return an arm's value against the share of real patients, in a measure."""
    on_curve = sorted(
        (group for group in groups.members if group.arm == arm and group.dose is None),
        key=lambda group: group.real_share,
    )
    sign = -1.0 if unit_of(name)[0] in LOWER_IS_BETTER else 1.0
    draws = [sign * _simulated(measured, group, name, seed) for group in on_curve]
    return LearningCurve(
        np.array([group.real_share for group in on_curve]),
        np.array([sign * measured[group][name].value for group in on_curve]),
        np.stack(draws) if draws else np.empty((0, 0)),
        np.array([_real_patches(groups, group) for group in on_curve], dtype=np.float64),
    )


def _without(groups: Groups, group: Group) -> str:
    """Return the arm whose learning curve a group is compared with."""
    beside = groups.beside(group)
    return beside.arm if beside else groups.reference


def _break_even(
    groups: Groups,
    measured: Measured,
    group: Group,
    plain: str,
    curve: LearningCurve,
    settings: CompareArmsSettings,
    seed: int,
) -> dict[str, object]:
    """Return a row of the table: a number, or why there is none."""
    name = settings.measures[0]
    sign = -1.0 if unit_of(name)[0] in LOWER_IS_BETTER else 1.0
    value = measured[group][name].value
    against = Group(plain, None, group.real_share)
    row: dict[str, object] = dict.fromkeys(BREAK_EVEN_COLUMNS, math.nan)
    row |= zip(GROUP_COLUMNS, group.row, strict=True)
    added = _added_patches(groups, group, against if against in groups.members else group)
    row |= {"measure": name, "value": value, "added_patches": added, "reason": ""}
    if against not in measured:
        return row | {"reason": f"{plain} was not evaluated at this share of the real patients"}
    row["reference_value"] = measured[against][name].value
    if curve.hindrance:
        return row | {"reason": curve.hindrance}
    gain = groups.difference(measured, Contrast(group, against, tested=False), name)
    if not min(sign * end for end in gain.interval(settings.confidence)) > 0:
        return row | {"reason": "the interval of its gain at this share includes zero, so no number is given"}
    share = curve.share_at(sign * value)
    if not math.isfinite(share):
        reason = (
            "it performs better than the arm without added patches does with all real patients, where the curve ends"
        )
        return row | {"reason": reason}
    draws = curve.shares_at(sign * _simulated(measured, group, name, seed))
    draws = draws[~np.isnan(draws)]
    if len(draws) < settings.resamples / 2:
        return row | {"reason": "too few resamples of patients have a value"}
    tails = [(1 - settings.confidence) / 2, (1 + settings.confidence) / 2]
    low, high = map(float, np.quantile(draws, tails, method="nearest"))
    own = curve.patches_at(group.real_share)
    for end, one in {"": share, "_low": low, "_high": high}.items():
        row |= {f"worth_share{end}": one, f"worth_patches{end}": curve.patches_at(one) - own}
    return row


def _share_reaching(shares: NDArray[np.float64], values: NDArray[np.float64], value: float) -> float:
    if math.isnan(value) or np.isnan(values).any():
        return math.nan
    if value > values[-1]:
        return math.inf
    if value < values[0]:
        return -math.inf
    return float(np.exp(np.interp(value, values, np.log(shares))))


def _simulated(measured: Measured, group: Group, name: str, seed: int) -> NDArray[np.float64]:
    return measured[group][name].simulated(stream(seed, "break-even", group.name))


def _added_patches(groups: Groups, group: Group, against: Group) -> float:
    """Return how many patches a group learned from besides real ones, each counted once; NaN where unknown.

    Fills may be fewer than the dose requires, so they are counted. Repeated patches are listed among the real ones;
    their number follows from the dose.
    """
    fills = groups.fills(group)
    if fills and fills[0]:
        return fills[0]
    return (group.dose or math.nan) * _real_patches(groups, against)


def _real_patches(groups: Groups, group: Group) -> float:
    counts = [one.real_patches for one in groups.members[group]]
    known = [count for count in counts if count is not None]
    return float(np.mean(known)) if len(known) == len(counts) else math.nan


def _value_and_gain(
    groups: Groups, measured: Measured, group: Group, name: str, settings: CompareArmsSettings
) -> tuple[object, ...]:
    own, none = measured[group][name], math.nan
    spread = own.spread(scale_of(unit_of(name)[0]))
    values = (name, spread.value, *spread.interval(settings.confidence), groups.trained(group).replicates)
    against = groups.beside(group)
    if against is None:
        return (*values, none, none, none)
    gain = groups.difference(measured, Contrast(group, against, tested=False), name)
    return (*values, gain.value, *gain.interval(settings.confidence))


def _order(groups: Groups) -> Callable[[Group], tuple[int, float, float]]:
    """Order groups by arm as given, share, dose."""
    arms: Sequence[str] = groups.arms
    return lambda group: (arms.index(group.arm), group.real_share, group.dose or 0.0)
