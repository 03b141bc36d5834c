"""What a study found, in words and numbers for the end of a command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mammofill.comparison import Comparison
from mammofill.evaluation import Evaluation
from mammofill.experiment.grid import FOLDS
from mammofill.experiment.run import StudyRun
from mammofill.ground.counting import counted
from mammofill.report import Report, format_table
from mammofill.report.comparisons import lines_of_findings, lines_of_groups

_MOST_LINES = 30
"""More steps than this are summarised stage by stage."""


def summary_of_run(run: StudyRun) -> str:
    """Return wall times, results, and where the report is; or where the artifact is that alone was asked for."""
    evaluations = [
        one for place, one in run.artifacts.items() if isinstance(one, Evaluation) and FOLDS not in place.parents
    ]
    if run.last.kind != Report.kind:
        return "\n".join([*_times(run), "", f"{run.last.folder}: {run.last.kind} ({run.last.headline()})"])
    compared = [one for one in run.artifacts.values() if isinstance(one, Comparison) and not one.external]
    first = evaluations[0]
    counts = first.manifest.counts
    return "\n".join(
        [
            *_times(run),
            "",
            *(_of_arms(compared[0]) if compared else _of_one_arm(evaluations)),
            "",
            f"Test set {first.test_set[:12]}: {counts['benign_patches']} benign and {counts['malignant_patches']} "
            f"malignant patches of {counted(counts['patients'], 'patients')}.",
            f"report: {run.last.folder / 'index.html'}",
        ]
    )


def _times(run: StudyRun) -> Iterator[str]:
    seconds_by_step = {str(place): seconds for place, seconds in run.seconds.items()}
    if len(seconds_by_step) > _MOST_LINES:
        seconds_by_step = {}
        for step in run.study.steps:
            seconds = run.seconds[step.out]
            if seconds is not None:
                seconds_by_step[step.stage.name] = (seconds_by_step.get(step.stage.name) or 0.0) + seconds
    width = max(map(len, seconds_by_step), default=0)
    for name, seconds in seconds_by_step.items():
        yield f"{name:<{width}}  " + ("done before" if seconds is None else f"{seconds:.0f} s")
    yield f"{'in all':<{width}}  {sum(seconds or 0 for seconds in run.seconds.values()):.0f} s, summed over steps"


def _of_arms(comparison: Comparison) -> Iterator[str]:
    """Yield the arms, and the very sentences of the report."""
    yield from lines_of_groups(comparison)
    yield ""
    yield from lines_of_findings(comparison)


def _of_one_arm(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    yield format_table(evaluations)
    yield ""
    yield (
        f"In brackets: {evaluations[0].facts['confidence']:.0%} intervals that resample patients. All but the AUCs by "
        "patch, at the threshold frozen on validation."
    )
