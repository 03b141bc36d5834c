"""What a study found, in words and numbers for the end of a command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mammofill.comparison import Comparison
from mammofill.evaluation import Evaluation
from mammofill.experiment.run import StudyRun
from mammofill.experiment.steps import FOLDS
from mammofill.report import format_table
from mammofill.report.comparisons import in_short, lines_of_groups
from mammofill.report.tables import differences, in_words

_MOST_LINES = 30
"""More steps than this are told stage by stage."""


def summary_of_run(run: StudyRun) -> str:
    """Return wall times, results, and where the report is."""
    evaluations = [
        one for place, one in run.artifacts.items() if isinstance(one, Evaluation) and FOLDS not in place.parents
    ]
    compared = [one for one in run.artifacts.values() if isinstance(one, Comparison) and not one.external]
    first = evaluations[0]
    counts = first.manifest.counts
    is_grid = compared and len(evaluations) > len({one.arm for one in evaluations})
    return "\n".join(
        [
            *_times(run),
            "",
            *(_of_grid(compared[0]) if is_grid else _of_arms(evaluations, run.study.seed)),
            "",
            f"Test set {first.test_set[:12]}: {counts['benign_patches']} benign and {counts['malignant_patches']} "
            f"malignant patches of {counts['patients']} patients.",
            f"report: {run.report.folder / 'index.html'}",
        ]
    )


def _times(run: StudyRun) -> Iterator[str]:
    told = {str(place): seconds for place, seconds in run.seconds.items()}
    if len(told) > _MOST_LINES:
        told = {}
        for step in run.study.steps:
            seconds = run.seconds[step.out]
            if seconds is not None:
                told[step.stage.name] = (told.get(step.stage.name) or 0.0) + seconds
    width = max(map(len, told), default=0)
    for name, seconds in told.items():
        yield f"{name:<{width}}  " + ("done before" if seconds is None else f"{seconds:.0f} s")
    yield f"{'in all':<{width}}  {sum(seconds or 0 for seconds in run.seconds.values()):.0f} s, summed over steps"


def _of_grid(comparison: Comparison) -> Iterator[str]:
    yield from lines_of_groups(comparison)
    yield ""
    yield in_short(comparison)


def _of_arms(evaluations: Sequence[Evaluation], seed: int) -> Iterator[str]:
    yield format_table(evaluations)
    yield ""
    yield (
        f"In brackets: {evaluations[0].facts['confidence']:.0%} intervals that resample patients. All but the AUC at "
        "the threshold frozen on validation."
    )
    yield from _gains(evaluations, seed)


def _gains(evaluations: Sequence[Evaluation], seed: int) -> Iterator[str]:
    """Yield what each arm gains over the one before it, with the interval of that difference."""
    found = differences(evaluations, seed)
    if found:
        yield "AUC of each arm minus that of the arm before it, on the same resamples:"
    width = max((len(one.after) for one in found), default=0)
    for one in found:
        gain = one.estimates["auc"]
        verdict = "" if gain.excludes(0) else "  no difference shown"
        yield f"  {one.after:<{width}}  {in_words(gain, signed=True)}{verdict}"
