"""What the intervals allow to say, in plain words; never more."""

from __future__ import annotations

from collections.abc import Sequence

from mammofill.evaluation import Evaluation
from mammofill.report.tables import Difference, Estimate, estimates, in_words, interval, number


def read_results(evaluations: Sequence[Evaluation], found: Sequence[Difference]) -> list[str]:
    """Put into sentences what was measured: each arm against guessing, each arm against the one before.

    Args:
        evaluations: the arms, in order.
        found: their differences, from `tables.differences`.
    """
    sentences = [_against_guessing(one) for one in evaluations]
    for one in found:
        sentences.append(_against_the_one_before(one))
    return sentences


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


def _against_guessing(evaluation: Evaluation) -> str:
    auc = estimates(evaluation)["auc"]
    if not auc.has_interval:
        verdict = "an interval cannot be had: the test set has too few patients"
    elif not auc.excludes(0.5):
        verdict = "the interval holds 0.5, so on these patients it cannot be told from guessing"
    elif auc.low > 0.5:
        verdict = "the interval lies above 0.5: it ranks malignant above benign patches more often than guessing does"
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
    return f"{words} At the frozen thresholds, {' and '.join(others)} differ from zero." if others else words


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
