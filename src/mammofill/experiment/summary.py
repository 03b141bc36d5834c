"""What a study found, in words and numbers for the end of a command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from mammofill.evaluation import MEASURES, Evaluation, paired_difference
from mammofill.experiment.run import StudyRun


def summary_of_run(run: StudyRun) -> str:
    """Return the wall time of each stage, the table of results, and where the report is."""
    evaluations = [one for one in run.artifacts.values() if isinstance(one, Evaluation)]
    first = evaluations[0]
    counts = first.manifest.counts
    percent = f"{first.facts['confidence']:.0%}"
    return "\n".join(
        [
            *_aligned([("stage", "wall time"), *_times(run)]),
            "",
            *_aligned([("", *(name.replace("_", " ") for name in MEASURES)), *map(_row, evaluations)]),
            f"Test set {first.test_set[:12]}: {counts['benign_patches']} benign and {counts['malignant_patches']} "
            f"malignant patches of {counts['patients']} patients. In brackets: {percent} intervals that resample",
            "patients. All but the AUC at the threshold frozen on validation.",
            *_gains(evaluations),
            "",
            f"report: {run.report.folder / 'index.html'}",
        ]
    )


def _times(run: StudyRun) -> Iterator[tuple[str, str]]:
    for place, seconds in run.seconds.items():
        yield str(place), "done before" if seconds is None else f"{seconds:.0f} s"
    yield "in all", f"{sum(seconds or 0 for seconds in run.seconds.values()):.0f} s"


def _row(evaluation: Evaluation) -> tuple[str, ...]:
    table = evaluation.metrics
    table = table[table["threshold_rule"] != "half"].set_index("measure")
    cells = (table.loc[measure, ["value", "low", "high"]] for measure in MEASURES)
    return (evaluation.arm, *(f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in cells))


def _gains(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    """Yield what each arm gains over the one before it; the interval of a difference, not two intervals beside it."""
    if len(evaluations) > 1:
        yield "AUC of each arm minus that of the arm before it, on the same resamples of patients:"
    width = max(len(one.arm) for one in evaluations)
    for first, second in pairwise(evaluations):
        value, low, high = paired_difference(first, second, "auc")
        verdict = "" if low > 0 or high < 0 else "  (no difference shown)"
        yield f"  {second.arm:<{width}}  {value:+.3f} [{low:+.3f}, {high:+.3f}]{verdict}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
