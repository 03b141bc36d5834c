"""What the comparisons say: differences with intervals, and tests of the primary measure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mammofill.comparison.comparison import (
    ARM_COLUMNS,
    BETTER,
    CANNOT_TELL,
    DIFFERENCE_COLUMNS,
    NO_FINDING,
    NOT_SHOWN,
    SAME,
    SHOWN,
    WORSE,
)
from mammofill.comparison.design import Contrast, Group
from mammofill.comparison.groups import Groups
from mammofill.comparison.paired_tests import (
    clustered_covariance,
    delong_covariance,
    effect_size,
    holm,
    mcnemar,
    p_of_difference,
)
from mammofill.comparison.plan import NOT_WRITTEN, PLANNED, WrittenPlan, not_made, status_of
from mammofill.comparison.settings import CompareArmsSettings
from mammofill.evaluation.intervals import Replicates, Spread, scale_of
from mammofill.evaluation.metrics import BIASED, LOWER_IS_BETTER
from mammofill.evaluation.units import unit_of

Measured = Mapping[Group, Mapping[str, Replicates]]


def arms_table(groups: Groups, measured: Measured, settings: CompareArmsSettings) -> pd.DataFrame:
    """Return the value of each measure in each group; columns of `ARM_COLUMNS`."""
    rows = []
    for group, of_group in measured.items():
        trained = groups.trained(group)
        for name in settings.measures:
            replicates = of_group[name]
            spread = replicates.spread(scale_of(unit_of(name)[0]))
            over_seeds = float(replicates.values.std(ddof=1)) if len(replicates.values) > 1 else math.nan
            interval = (math.nan, math.nan) if name in BIASED else spread.interval(settings.confidence)
            rows.append((
                *group.row, name, spread.value, *interval, spread.error, trained.replicates,
                trained.infillers, trained.classifiers, trained.training_sets, over_seeds, trained.in_interval,
                spread.left_out,
            ))  # fmt: skip
    return pd.DataFrame(rows, columns=list(ARM_COLUMNS)).astype(ARM_COLUMNS)


def differences_table(
    groups: Groups, measured: Measured, settings: CompareArmsSettings, plans: Sequence[WrittenPlan] = ()
) -> pd.DataFrame:
    """Compare each pair of groups in each measure, and test the primary one; columns of `DIFFERENCE_COLUMNS`.

    Args:
        groups: the evaluations.
        measured: what they measure.
        settings: of the comparison.
        plans: that were written down; what they hold is tested, and all else is described.
    """
    primary, contrasts, question = settings.measures[0], groups.design.contrasts(), groups.question
    rows = []
    for name in settings.measures:
        for one in contrasts:
            status = status_of(one, name, question, plans, groups.made)
            tested = name == primary and (status == PLANNED or (status == NOT_WRITTEN and one.tested))
            rows.append(_difference(groups, measured, one, name, settings, tested) | {"plan": status})
    table = pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS))
    spreads = [groups.difference(measured, one, name) for name in settings.measures for one in contrasts]
    _test(table, spreads, settings, len(not_made(contrasts, question, plans, groups.made)))
    return table.astype(DIFFERENCE_COLUMNS)


def verdict(name: str, difference: float, p: float, error_rate: float) -> str:
    """Return one of `comparison.VERDICTS`.

    Args:
        name: of the measure; for some lower is better.
        difference: of the arm over the one that it is compared with.
        p: adjusted for its family; NaN where it cannot be computed.
        error_rate: of the family.
    """
    if math.isnan(p):
        return CANNOT_TELL
    if p >= error_rate:
        return NOT_SHOWN
    return BETTER if (difference > 0) != (unit_of(name)[0] in LOWER_IS_BETTER) else WORSE


def _test(table: pd.DataFrame, spreads: Sequence[Spread], settings: CompareArmsSettings, missing: int) -> None:
    """Test the family: the rows of the primary measure that are tested; fills in their columns.

    `missing` comparisons were planned and not made. They count in the family all the same, so that leaving one out
    makes no other one more significant.
    """
    family = [int(place) for place in np.flatnonzero(table["tested"].astype(bool))]
    error_rate = 1 - settings.confidence
    finding = [place for place in family if table.at[place, "verdict"] not in (NO_FINDING, SAME)]
    p = {place: spreads[place].p_of_zero() for place in finding}
    left_out, size = [math.nan] * missing, len(family) + missing
    adjusted = dict(zip(family, holm([*(p.get(place, math.nan) for place in family), *left_out]), strict=False))
    sides = _against_margin(family, finding, spreads, settings, left_out)
    less, not_worse = (dict(zip(family, side, strict=False)) for side in sides)
    for place in family:
        table.at[place, "family"] = size
    for place in finding:
        name, difference = settings.measures[0], spreads[place].value
        values: dict[str, Any] = {
            "p": p[place],
            "p_holm": adjusted[place],
            "verdict": verdict(name, difference, adjusted[place], error_rate),
            "smallest_shown": spreads[place].smallest_shown(error_rate, settings.power),
            "smallest_shown_in_family": spreads[place].smallest_shown(error_rate / size, settings.power),
        }
        if settings.margin is not None:
            # Half the error rate, as on each side of a two-sided interval: shown where that interval excludes the
            # margin.
            marks = {"worth_less": less[place], "not_worse": not_worse[place]}
            values |= {f"p_{mark}": value for mark, value in marks.items()}
            values |= {mark: SHOWN[bool(value < error_rate / 2)] for mark, value in marks.items()}
            values["equivalent"] = SHOWN[bool(max(marks.values()) < error_rate / 2)]
        for column, value in values.items():
            table.at[place, column] = value


def _against_margin(
    family: Sequence[int],
    finding: Sequence[int],
    spreads: Sequence[Spread],
    settings: CompareArmsSettings,
    left_out: list[float],
) -> tuple[list[float], list[float]]:
    """Return one-sided p of a gain of at least the margin, and of a loss of at least it, each adjusted by Holm.

    Two one-sided tests (Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987): together they are the
    test of equivalence, the second alone is that of non-inferiority.
    """
    none = [math.nan] * len(family)
    if settings.margin is None:
        return none, none
    below, above = [], []
    for place in family:
        spread = spreads[place]
        sides = spread.p_at_least(settings.margin), spread.p_at_most(-settings.margin)
        if unit_of(settings.measures[0])[0] in LOWER_IS_BETTER:  # a gain is then a difference below 0
            sides = sides[1], sides[0]
        tested = place in finding
        below.append(sides[0] if tested else math.nan)
        above.append(sides[1] if tested else math.nan)
    return holm([*below, *left_out]), holm([*above, *left_out])


def _difference(
    groups: Groups, measured: Measured, one: Contrast, name: str, settings: CompareArmsSettings, tested: bool
) -> dict[str, object]:
    """Return a row of the table without what follows from tests."""
    first, second = measured[one.group][name], measured[one.against][name]
    spread = groups.difference(measured, one, name)
    trained, other = groups.trained(one.group), groups.trained(one.against)
    same = groups.same_classifiers(one)
    finding = min(trained.replicates, other.replicates) > 1 and not same
    untested = SAME if same else NO_FINDING
    delong, mcnemar_found = (math.nan, math.nan), (math.nan, -1, -1)
    if finding and name == "auc" and not groups.pooled:  # which rank all patches together, as no AUC of folds does
        delong = _delong(groups, one)
    if finding and name == "accuracy":
        mcnemar_found = _mcnemar(groups, one)
    effect = effect_size(unit_of(name)[0], first.value, second.value)
    low, high = (math.nan, math.nan) if name in BIASED else spread.interval(settings.confidence)
    if scale_of(unit_of(name)[0]) == "share":  # of few trainings: two shares differ by 1 at most
        low, high = float(np.clip(low, -1, 1)), float(np.clip(high, -1, 1))
    nothing = ("p", "p_holm", "smallest_shown", "smallest_shown_in_family", "p_worth_less", "p_not_worse")
    return {
        **dict.fromkeys(nothing, math.nan),
        **dict.fromkeys(("worth_less", "not_worse", "equivalent"), ""),
        "arm": one.group.arm,
        "dose": one.group.row[1],
        "against": one.against.arm,
        "against_dose": one.against.row[1],
        "real_share": one.group.real_share,
        "measure": name,
        "tested": tested,
        "value": first.value,
        "against_value": second.value,
        "difference": spread.value,
        "low": low,
        "high": high,
        "standard_error": spread.error,
        "family": 0,
        "verdict": "" if finding or not tested else untested,
        "margin": math.nan if settings.margin is None or name != settings.measures[0] else settings.margin,
        "effect_size": effect[0],
        "effect_kind": effect[1],
        "p_delong": delong[0],
        "p_delong_clustered": delong[1],
        "p_mcnemar": mcnemar_found[0],
        "only_arm_right": mcnemar_found[1],
        "only_against_right": mcnemar_found[2],
        "infillers": trained.infillers,
        "classifiers": trained.classifiers,
        "against_infillers": other.infillers,
        "against_classifiers": other.classifiers,
        "training_sets": trained.training_sets,
        "against_training_sets": other.training_sets,
        "paired": first.is_paired_with(second),
        "shared_classifiers": groups.shared_classifiers(one),
        "left_out": spread.left_out,
    }


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
