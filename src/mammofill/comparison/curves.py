"""Curves with bands, calibration, and the patches with the largest mean error over all arms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from mammofill.comparison.comparison import (
    CALIBRATION_COLUMNS,
    CURVE_COLUMNS,
    GROUP_RELIABILITY_COLUMNS,
    HARDEST_COLUMNS,
)
from mammofill.comparison.groups import Groups
from mammofill.comparison.settings import CompareArmsSettings
from mammofill.evaluation.calibration import reliability
from mammofill.evaluation.intervals import Resamples
from mammofill.evaluation.metrics import LOWER_IS_BETTER, OF_CALIBRATION, WeightedCurve, measure
from mammofill.evaluation.units import unit_of
from mammofill.ground.progress import Task

GRID = np.linspace(0, 1, 101)
"""Where curves are sampled: 1 - specificity of an ROC curve, recall of a precision-recall curve."""


def curves_table(groups: Groups, resamples: Resamples, settings: CompareArmsSettings, task: Task) -> pd.DataFrame:
    """Return the ROC and the precision-recall curve of each group on `GRID`; columns of `CURVE_COLUMNS`.

    They are in the unit of the primary measure: by lesion, unless settings say otherwise.

    Curves of replicates are averaged vertically (Fawcett, "An introduction to ROC analysis", 2006, algorithm 3), and so
    are the ROC curves of folds, each with the weight of its pairs: the area under them is the AUC within folds.
    """
    tables = []
    quantiles = [(1 - settings.confidence) / 2, (1 + settings.confidence) / 2]
    cases = groups.units[unit_of(settings.measures[0])[1]]
    of_cases = resamples.of_cases(cases.patients)
    for group in groups.members:
        logits = [cases.scores(one) for one in groups.logits(group)]
        folds = [one.folds_of(groups.patients) for one in groups.members[group]]
        scored = list(zip(logits, [None if one is None else cases.first(one) for one in folds], strict=True))
        whole = _mean_curves(cases.malignant, scored, np.ones((1, len(cases.malignant))))
        drawn = [
            _mean_curves(cases.malignant, scored, weights) for weights in of_cases.weights(settings.curve_resamples)
        ]
        for name in ("roc", "pr"):
            draws = np.concatenate([one[name] for one in drawn])
            kept = draws[np.isfinite(draws).all(axis=1)]
            enough = len(kept) >= len(draws) / 2 and len(set(groups.patients)) > 1
            low, high = np.quantile(kept, quantiles, axis=0) if enough else np.full((2, len(GRID)), math.nan)
            columns = (*group.row, name, GRID, whole[name][0], low, high)
            tables.append(pd.DataFrame(dict(zip(CURVE_COLUMNS, columns, strict=True))))
        task.advance(note=group.name)
    return pd.concat(tables, ignore_index=True).astype(CURVE_COLUMNS)


def calibration_table(groups: Groups) -> pd.DataFrame:
    """Return the calibration of each evaluation, as is and temperature-scaled; columns of `CALIBRATION_COLUMNS`."""
    rows = []
    ones = np.ones((1, len(groups.truth)))
    names = (*LOWER_IS_BETTER, *OF_CALIBRATION)
    for group, evaluations in groups.members.items():
        for one, logits in zip(evaluations, groups.logits(group), strict=True):
            for after, by in ((False, 1.0), (True, one.temperature)):
                if by is not None:
                    found = measure(names, groups.malignant, logits / by, 0.0, ones)
                    values = (float(found[name][0]) for name in names)
                    temperature = math.nan if one.temperature is None else one.temperature
                    rows.append((*group.row, one.replicate, temperature, after, *values))
    return pd.DataFrame(rows, columns=list(CALIBRATION_COLUMNS)).astype(CALIBRATION_COLUMNS)


def reliability_table(groups: Groups) -> pd.DataFrame:
    """Return the malignant share by bin of scores, over all replicates; columns of `GROUP_RELIABILITY_COLUMNS`.

    Each replicate's logits are divided by its own temperature; where one has none, the group has no rows after
    temperature scaling.
    """
    tables = []
    for group, evaluations in groups.members.items():
        logits = groups.logits(group)
        truth = np.tile(groups.malignant, len(logits))
        temperatures = [one.temperature for one in evaluations]
        parts = [reliability(truth, logits.ravel(), None)]
        if None not in temperatures:
            warmed = (logits / np.array(temperatures, dtype=np.float64)[:, None]).ravel()
            parts.append(reliability(truth, warmed, None).assign(after_temperature=True))
        arm, dose, share = group.row
        tables += [part.assign(arm=arm, dose=dose, real_share=share) for part in parts]
    columns = list(GROUP_RELIABILITY_COLUMNS)
    return pd.concat(tables, ignore_index=True)[columns].astype(GROUP_RELIABILITY_COLUMNS)


def hardest_table(groups: Groups, settings: CompareArmsSettings) -> pd.DataFrame:
    """List the patches with the greatest mean loss, each with the scores of all groups; columns of `HARDEST_COLUMNS`.

    Among equal losses the patch that stands first in the test set is taken.
    """
    losses = {
        group: np.logaddexp(0.0, np.where(groups.malignant, -1.0, 1.0) * groups.logits(group)).mean(axis=0)
        for group in groups.members
    }
    mean = np.mean(list(losses.values()), axis=0)
    worst = np.argsort(-mean, kind="stable")[: settings.hardest]
    logits = {group: groups.logits(group).mean(axis=0)[worst] for group in groups.members}
    rows = [
        (
            rank + 1,
            *groups.truth[["patch_id", "patient_id", "pathology"]].iloc[place],
            mean[place],
            *group.row,
            one[rank],
            expit(one[rank]),
        )
        for rank, place in enumerate(worst)
        for group, one in logits.items()
    ]
    return pd.DataFrame(rows, columns=list(HARDEST_COLUMNS)).astype(HARDEST_COLUMNS)


_Scored = Sequence[tuple[NDArray[np.float64], NDArray[np.int64] | None]]
"""Of each replicate: scores of the cases, and by which fold's classifier; None where nothing was pooled."""


def _mean_curves(
    malignant: NDArray[np.bool_], scored: _Scored, weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return the curves on `GRID` for each set of weights, mean over replicates: name -> (r, grid)."""
    roc = [_roc_within_folds(malignant, logits, weights, folds) for logits, folds in scored]
    pr = [_pr(WeightedCurve(malignant, logits, weights)) for logits, _ in scored]
    return {"roc": np.mean(roc, axis=0), "pr": np.mean(pr, axis=0)}


def _roc_within_folds(
    malignant: NDArray[np.bool_],
    logits: NDArray[np.float64],
    weights: NDArray[np.float64],
    folds: NDArray[np.int64] | None,
) -> NDArray[np.float64]:
    """Return the mean of the folds' ROC curves, by their pairs, as `metrics.auc_within_folds` takes that of areas."""
    if folds is None:
        return _roc(WeightedCurve(malignant, logits, weights))
    total, pairs = np.zeros((len(weights), len(GRID))), np.zeros((len(weights), 1))
    for fold in np.unique(folds):
        inside = folds == fold
        curve = WeightedCurve(malignant[inside], logits[inside], weights[:, inside])
        of_fold = np.nan_to_num(curve.positive * curve.negative)[:, None]
        total, pairs = total + np.nan_to_num(_roc(curve)) * of_fold, pairs + of_fold
    return np.divide(total, pairs, out=np.full_like(total, math.nan), where=pairs > 0)


def _roc(curve: WeightedCurve) -> NDArray[np.float64]:
    found = np.full((len(curve.positive), len(GRID)), math.nan)
    for row in _with_both_classes(curve):
        recall, alarm = curve.true[row] / curve.positive[row], curve.false[row] / curve.negative[row]
        # Where several points share an x, np.interp takes the last one: the upper end of a vertical step.
        found[row] = np.interp(GRID, np.r_[0.0, alarm], np.r_[0.0, recall])
    return found


def _pr(curve: WeightedCurve) -> NDArray[np.float64]:
    found = np.full((len(curve.positive), len(GRID)), math.nan)
    for row in _with_both_classes(curve):
        recall, called = curve.true[row] / curve.positive[row], curve.true[row] + curve.false[row]
        precision = np.divide(curve.true[row], called, out=np.ones_like(called), where=called > 0)
        # At a recall of 0 stands the precision of the first malignant patch found: with none called there is none.
        reached = np.minimum(np.searchsorted(recall, np.maximum(GRID - 1e-12, 1e-12)), len(recall) - 1)
        found[row] = precision[reached]
    return found


def _with_both_classes(curve: WeightedCurve) -> NDArray[np.int64]:
    return np.flatnonzero(np.isfinite(curve.positive) & np.isfinite(curve.negative))
