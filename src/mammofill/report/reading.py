"""The conclusions that evaluations support by themselves, where they were not compared; never more."""

from __future__ import annotations

from collections.abc import Sequence

from mammofill.evaluation import MEASURES, Evaluation
from mammofill.report.tables import estimates, in_words, measure_in_words


def read_results(evaluations: Sequence[Evaluation]) -> list[str]:
    """Put into words what was measured: each classifier against chance, and none against another.

    Args:
        evaluations: the classifiers, in order.

    Returns:
        Paragraphs.
    """
    paragraphs = [" ".join(_against_chance(one) for one in evaluations)]
    if len(evaluations) > 1:
        paragraphs.insert(
            0,
            "Nothing is compared here. Whether one arm is better than another is tested by compare-arms, from "
            "several trainings of each; give its folder as --comparisons.",
        )
    return paragraphs


def cautions(evaluations: Sequence[Evaluation]) -> list[str]:
    """Return what the intervals do not cover.

    Args:
        evaluations: the classifiers.
    """
    counts = evaluations[0].manifest.counts
    return [
        f"The intervals cover the uncertainty that comes from testing on these {counts['patients']} patients and not "
        "others. Variation between trainings is not in them, and can be as large as a difference between arms.",
    ]


def _against_chance(evaluation: Evaluation) -> str:
    found = estimates(evaluation)
    measure = next((name for name in MEASURES if found[name].value == found[name].value), MEASURES[0])
    auc = found[measure]
    if not auc.has_interval:
        verdict = "no interval can be computed: the test set has too few patients"
    elif not auc.excludes(0.5):
        verdict = "not distinguishable from chance: the interval includes 0.5"
    elif auc.low > 0.5:
        verdict = "above chance: the interval lies above 0.5"
    else:
        verdict = "the interval lies below 0.5: it ranks benign lesions above malignant ones, to be looked into"
    return f"{evaluation.arm}: {measure_in_words(measure)} {in_words(auc)}; {verdict}."
