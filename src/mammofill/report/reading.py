"""What evaluations allow to say by themselves, where nobody compared them; never more."""

from __future__ import annotations

from collections.abc import Sequence

from mammofill.evaluation import MEASURES, Evaluation
from mammofill.report.tables import estimates, in_words, measure_in_words


def read_results(evaluations: Sequence[Evaluation]) -> list[str]:
    """Put into words what was measured: each classifier against guessing, and none against another.

    Args:
        evaluations: the classifiers, in order.

    Returns:
        Paragraphs.
    """
    told = [" ".join(_against_guessing(one) for one in evaluations)]
    if len(evaluations) > 1:
        told.insert(
            0,
            "Nothing is compared here: whether one arm is better than another is for compare-arms to say, from several "
            "trainings of each; give its folder as --comparisons.",
        )
    return told


def cautions(evaluations: Sequence[Evaluation]) -> list[str]:
    """Return what the intervals do not cover.

    Args:
        evaluations: the classifiers.
    """
    counts = evaluations[0].manifest.counts
    return [
        f"The intervals say how far a number could be off because the test set holds these {counts['patients']} "
        "patients and not others. The luck of training is not in them, and can be as large as a difference between "
        "arms.",
    ]


def _against_guessing(evaluation: Evaluation) -> str:
    found = estimates(evaluation)
    measure = next((name for name in MEASURES if found[name].value == found[name].value), MEASURES[0])
    auc = found[measure]
    if not auc.has_interval:
        verdict = "an interval cannot be had: the test set has too few patients"
    elif not auc.excludes(0.5):
        verdict = "cannot be told from guessing: the interval holds 0.5"
    elif auc.low > 0.5:
        verdict = "above guessing: the interval lies above 0.5"
    else:
        verdict = "the interval lies below 0.5: it ranks benign lesions above malignant ones, which asks for a look"
    return f"{evaluation.arm}: {measure_in_words(measure)} {in_words(auc)}; {verdict}."
