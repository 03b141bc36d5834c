"""What the intervals allow to say, in plain words; never more."""

from __future__ import annotations

from collections.abc import Sequence

from mammofill.evaluation import Evaluation
from mammofill.report.tables import Difference, Estimate, estimates, in_words, interval, number


def read_results(evaluations: Sequence[Evaluation], found: Sequence[Difference]) -> list[str]:
    """Put into words what was measured: each arm against the one before, and each against guessing.

    Args:
        evaluations: the arms, in order.
        found: their differences, from `tables.differences`.

    Returns:
        Paragraphs, the shortest answer first.
    """
    paragraphs = [_against_the_one_before(one) for one in found]
    if found:
        paragraphs.insert(0, _in_short(found))
    return [*paragraphs, " ".join(_against_guessing(one) for one in evaluations)]


def cautions(evaluations: Sequence[Evaluation], found: Sequence[Difference]) -> list[str]:
    """Return what the intervals do not cover.

    Args:
        evaluations: the arms.
        found: their differences.
    """
    percent = f"{evaluations[0].facts['confidence']:.0%}"
    counts = evaluations[0].manifest.counts
    texts = [
        f"The intervals say how far a number could be off because the test set holds these {counts['patients']} "
        "patients and not others. Each arm was trained once: the luck of its first weights and of its data order is "
        "not in them, and can be as large as a difference between arms. Several seeds would show it.",
    ]
    if len(found) > 1:
        texts.append(
            f"{len(found)} comparisons are made, and nothing was corrected for that: even if no arm differed from any "
            f"other, some {percent} interval would miss zero more often than a single one does."
        )
    texts.append(
        "That a difference was not shown does not mean that there is none: the interval says how large it may be, in "
        "either direction."
    )
    return texts


def _in_short(found: Sequence[Difference]) -> str:
    shown = [one for one in found if one.estimates["auc"].excludes(0)]
    which = "; ".join(f"{one.after} against {one.before}" for one in shown)
    if not shown:
        answer = "none shows a difference in AUC. Whether any of these arms differ, these patients cannot tell."
    elif len(shown) == len(found):
        answer = f"every one shows a difference in AUC: {which}."
    else:
        answer = f"{len(shown)} shows a difference in AUC: {which}. For the others, these patients cannot tell."
    comparisons = "comparison" if len(found) == 1 else "comparisons"
    return f"In short: of {len(found)} {comparisons} of an arm with the one before it, {answer}"


def _against_guessing(evaluation: Evaluation) -> str:
    auc = estimates(evaluation)["auc"]
    if not auc.has_interval:
        verdict = "an interval cannot be had: the test set has too few patients"
    elif not auc.excludes(0.5):
        verdict = "cannot be told from guessing: the interval holds 0.5"
    elif auc.low > 0.5:
        verdict = "above guessing: the interval lies above 0.5"
    else:
        verdict = "the interval lies below 0.5: it ranks benign patches above malignant ones, which asks for a look"
    return f"{evaluation.arm}: AUC {in_words(auc)}; {verdict}."


def _against_the_one_before(difference: Difference) -> str:
    auc = difference.estimates["auc"]
    words = f"{difference.after} against {difference.before}: AUC {in_words(auc, signed=True)}; {_verdict(auc)}."
    others = [
        f"{name} {in_words(difference.estimates[measure], signed=True)}"
        for measure, name in (("balanced_accuracy", "balanced accuracy"), ("accuracy", "accuracy"))
        if difference.estimates[measure].excludes(0)
    ]
    if not others:
        return words
    return f"{words} At the frozen thresholds, intervals that leave out zero: {' and '.join(others)}."


def _verdict(auc: Estimate) -> str:
    if not auc.has_interval:
        return "an interval cannot be had, so nothing can be said"
    if not auc.excludes(0):
        return (
            f"cannot tell: the interval holds zero, so no difference was shown; anything between "
            f"{number(auc.low, True)} and {number(auc.high, True)} fits these patients"
        )
    side = "higher" if auc.low > 0 else "lower"
    return f"the interval {interval(auc, True)} lies on one side of zero: on this test set the AUC was {side}"
