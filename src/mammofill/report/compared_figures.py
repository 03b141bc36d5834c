"""The figures of a comparison, each with what it shows in words: forest plot, curves, doses and shares, calibration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from mammofill.comparison import Comparison
from mammofill.comparison.comparison import BETTER, WORSE
from mammofill.evaluation import Evaluation, roc_curve
from mammofill.evaluation.units import PATCH, Units, unit_of
from mammofill.report.comparisons import (
    at_plain_dose,
    confidence_of,
    covered_by,
    group_in_words,
    has_plain_dose,
    p_in_words,
    primary_of,
    records,
    reported_differences,
    shown,
)
from mammofill.report.figures import (
    MOST_BANDS,
    Curve,
    ForestRow,
    draw_curves,
    draw_forest,
    draw_lines,
    draw_reliability,
)
from mammofill.report.sheet import Figure, rows_in_words
from mammofill.report.tables import Estimate, in_words, measure_in_words, number

_AXES = {
    "doses": ("dose", "dose", "generated or repeated patches for each real one"),
    "shares": ("real_share", "share of the patients that was learned from", "share of the patients"),
}
"""Table of a comparison -> its column, against what a figure shows the measure, and what lies along its axis."""


def forest_plot(comparison: Comparison) -> Figure | None:
    """Draw the planned and the added comparisons; None where there is none."""
    reported = reported_differences(comparison)
    if not len(reported):
        return None
    measure = measure_in_words(primary_of(comparison))
    rows = [
        ForestRow(
            name=f"{group_in_words(row)} against {row.against}",
            numbers=shown(row.difference, row.low, row.high, signed=True).replace("\u00a0", " ")
            + _p(row.p_holm, comparison),
            difference=row.difference,
            low=row.low,
            high=row.high,
            smallest=row.smallest_shown_in_family,
            shown=row.verdict in (BETTER, WORSE),
        )
        for row in records(reported)
    ]
    note = _how_to_read_the_forest(comparison, measure, tested=bool(reported["p"].notna().any()))
    alt = f"Forest plot of differences in {measure}. " + rows_in_words([(row.name, row.numbers) for row in rows])
    return Figure(f"Differences in {measure}", note, alt, draw_forest(rows, f"difference in {measure}"))


def _how_to_read_the_forest(comparison: Comparison, measure: str, tested: bool) -> str:
    over = covered_by(comparison.table("arms"))
    note = (
        f"Dot: the {measure} of an arm minus that of the arm it is compared with; right of 0 the arm has the higher "
        f"one. Line: {confidence_of(comparison)} confidence interval (CI) over {over}."
    )
    if not tested:
        return note
    level, power = 1 - float(comparison.facts["confidence"]), float(comparison.facts["power"])
    return note + (
        f" Blue: a difference is shown (p below {level:.3g} after Holm's correction). Dark gray: none is shown. The "
        f"two short light ticks: true differences that {100 * power:g} % of such studies would show."
    )


def _p(p: float, comparison: Comparison) -> str:
    words = p_in_words(p, comparison)
    return f"\np {words if words.startswith('<') else '= ' + words}" if words else ""


def roc_figure(
    evaluations: Sequence[Evaluation],
    measured: Sequence[tuple[str, Mapping[str, Estimate]]],
    comparison: Comparison | None,
) -> Figure:
    """Draw the one ROC figure: means over seeds where arms were compared, else of the classifiers themselves.

    Args:
        evaluations: one of each arm.
        measured: arm and measures of table 1, of each of them.
        comparison: on the same test set; its curves are in the unit of its primary measure.
    """
    unit = unit_of(primary_of(comparison))[1] if comparison else PATCH
    drawn = at_plain_dose(comparison.table("curves")) if comparison else None
    curves = []
    for one, (_, found) in zip(evaluations, measured, strict=True):
        if drawn is not None:
            points = drawn[(drawn["arm"] == one.arm) & (drawn["curve"] == "roc")]
        else:
            malignant = (one.scores["pathology"] == "malignant").to_numpy(dtype=bool)
            x, y = roc_curve(malignant, one.scores["logit"].to_numpy())
            points = pd.DataFrame({"x": x, "y": y})
        auc, recall, specificity = (found.get(by_unit(name, unit)) for name in ("auc", "recall", "specificity"))
        dot = (1 - specificity.value, recall.value) if recall and specificity else None
        curves.append(Curve(one.arm, f"AUC {in_words(auc)}" if auc else "", points, dot))
    dots = " The dot is the threshold that was frozen on validation patches." if any(one.dot for one in curves) else ""
    bands = _bands(curves, comparison)
    alt = f"ROC curves by {unit}. " + rows_in_words([(one.arm, f"{one.words}{_dot_in_words(one)}") for one in curves])
    note = f"By {unit}.{dots}{bands}{_of_folds(evaluations, comparison)}"
    return Figure("ROC curves", note, alt, draw_curves(curves, "1 − specificity", "recall", (0, 1)))


def _bands(curves: Sequence[Curve], comparison: Comparison | None) -> str:
    """Say what the bands around curves are, where they are drawn."""
    if comparison is None or len(curves) > MOST_BANDS or not any("low" in one.points for one in curves):
        return ""
    trained = (comparison.arms["training"] != "").any()
    alone = " alone; intervals of areas also include variation between trainings" if trained else ""
    band = f"its {confidence_of(comparison)} CI at each point, over patients{alone}"
    return f" The pale band of a curve's colour is {band}."


def _of_folds(evaluations: Sequence[Evaluation], comparison: Comparison | None) -> str:
    """Say how the curves of folds became one; nothing without folds."""
    if not any(one.folds for one in evaluations):
        return ""
    if comparison is None or not comparison.facts.get("curves_within_folds"):  # as comparisons once drew them
        return (
            " Scores of all folds together, each from the threshold of its own fold; the AUC counts pairs within folds "
            "only, so that it is not quite the area below the curve."
        )
    return " Mean of the curves of all folds, each with the weight of its pairs, as the AUC is."


def by_unit(name: str, unit: str) -> str:
    """Return a measure's name by a unit: ``auc_by_lesion``; nothing is added by patch."""
    return name if unit == PATCH else f"{name}_by_{unit}"


def _dot_in_words(curve: Curve) -> str:
    if curve.dot is None:
        return ""
    return f", at its threshold recall {curve.dot[1]:.2f} and specificity {1 - curve.dot[0]:.2f}"


def precision_recall_figure(comparison: Comparison, tested: pd.DataFrame) -> Figure | None:
    """Draw the precision-recall curves, means over seeds; None where there are none.

    Args:
        comparison: of arms; its curves are in the unit of its primary measure.
        tested: the scores of one classifier, which give the share of malignant cases.
    """
    table = at_plain_dose(comparison.table("curves"))
    table = table[table["curve"] == "pr"]
    if not len(table):
        return None
    unit = unit_of(primary_of(comparison))[1]
    arms = at_plain_dose(comparison.table("arms"))
    of_area = arms[arms["measure"] == by_unit("pr_auc", unit)]
    areas = {str(row.arm): f"area {shown(row.value, row.low, row.high)}" for row in records(of_area)}
    curves = [Curve(str(arm), areas.get(str(arm), ""), part) for arm, part in table.groupby("arm", sort=False)]
    share = float(Units(tested)[unit].malignant.mean())
    note = f"By {unit}. Chance has the precision {share:.2f}, the share that is malignant."
    note += _bands(curves, comparison)
    if comparison.facts.get("folds"):
        note += " Scores of all folds together, each from the threshold of its own fold."
    rows = [(one.arm, one.words or _middle(one.points)) for one in curves]
    alt = f"Precision-recall curves by {unit}; chance gives {share:.2f}. {rows_in_words(rows)}"
    return Figure("Precision-recall curves", note, alt, draw_curves(curves, "recall", "precision", (share, share)))


def _middle(points: pd.DataFrame) -> str:
    """Say how high a curve is in its middle."""
    middle = points.iloc[(points["x"] - 0.5).abs().argmin()]
    return f"precision {middle['y']:.2f} at recall {middle['x']:.2f}"


def figures_over_doses(comparison: Comparison) -> Iterator[Figure]:
    """Yield the primary measure against the dose and against the share of patients, where an arm has several.

    Each arm stands before the one that it is compared with: a figure for each of these.
    """
    primary = primary_of(comparison)
    measure, over = measure_in_words(primary), covered_by(comparison.table("arms"))
    for name, (axis, against, words) in _AXES.items():
        table = comparison.table(name)
        beside = _beside(comparison, dict(_lines(table[table["measure"] == primary], axis)))
        for other, lines in beside.items():
            behind = _behind(comparison, axis, other)
            if not len(behind):  # arms with two doses or shares at least
                continue
            note = (
                f"Blue: the arm, with bars. Gray and dotted: {other}, which it is compared with, with a pale gray "
                f"band. Bars and band are the {confidence_of(comparison)} CI over {over}."
            )
            rows = [(other, _points(behind, axis)), *((arm, _points(part, axis)) for arm, part in lines.items())]
            alt = f"{measure} against the {against}. {rows_in_words(rows)}"
            drawn = draw_lines(lines, axis, words, measure, (other, behind))
            which = f", beside {other}" if len(beside) > 1 else ""
            yield Figure(f"{measure}, against the {against}{which}", note, alt, drawn)


def _beside(comparison: Comparison, lines: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, pd.DataFrame]]:
    """Sort the lines of arms by the arm that each is compared with; the reference's own stands behind the others."""
    differences, reference = comparison.table("differences"), str(comparison.facts["reference"])
    first = differences.drop_duplicates("arm")
    compared_with = dict(zip(first["arm"], first["against"], strict=True))
    found: dict[str, dict[str, pd.DataFrame]] = {}
    for arm, line in lines.items():
        if arm != reference:
            found.setdefault(str(compared_with.get(arm, reference)), {})[arm] = line
    return found


def _points(table: pd.DataFrame, axis: str) -> str:
    return ", ".join(f"{shown(row.value, row.low, row.high)} at {getattr(row, axis):g}" for row in records(table))


def reliability_figure(comparison: Comparison) -> Figure | None:
    """Draw the reliability diagrams; None where there is no table of bins."""
    table = at_plain_dose(comparison.table("reliability"))
    if not len(table):
        return None
    errors = at_plain_dose(comparison.table("calibration")).groupby(["arm", "after_temperature"], sort=False)["ece"]
    means = errors.mean().to_dict()
    rows = [
        (str(arm), ", ".join(f"ECE {number(means[arm, after])} {'after' if after else 'before'}"
                             for after in (False, True) if (arm, after) in means))
        for arm in dict.fromkeys(table["arm"])
    ]  # fmt: skip
    scores = (
        "Scores of folds are counted from the threshold of each fold, which is placed at 0.5: they are not the "
        "probabilities that its classifier gave, and no temperature is fitted."
        if comparison.facts.get("folds")
        else "Before and after the temperature that was fitted on validation patches."
    )
    note = (
        f"Dots on the diagonal: scores agree with observed frequencies. {scores} The larger a dot, the more patches "
        "are behind it."
    )
    alt = "Share of malignant patches against the score, by bins of the score. " + rows_in_words(rows)
    return Figure("Calibration", note, alt, draw_reliability(table))


def _behind(comparison: Comparison, axis: str, other: str) -> pd.DataFrame:
    """Return what arms are compared with in figures: another arm as dose 0, or at each share.

    If that arm has doses itself, it is shown at the dose nearest 1 for all shares, and there is no dose 0.
    """
    rows = comparison.table("arms")
    rows = rows[(rows["arm"] == other) & (rows["measure"] == primary_of(comparison))]
    if axis == "dose":
        rows = rows[rows["dose"].isna() & (rows["real_share"] == 1)]
        return rows.assign(dose=0.0)
    return rows[has_plain_dose(rows)]


def _lines(table: pd.DataFrame, axis: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each arm's line: by dose at all patients, by share at the dose nearest 1."""
    table = table[table["real_share"] == table["real_share"].max() if axis == "dose" else has_plain_dose(table)]
    for arm, part in table.groupby("arm", sort=False):
        if part[axis].nunique() > 1:
            yield str(arm), part.sort_values(axis)
