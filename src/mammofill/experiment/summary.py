"""What a study found, in words and numbers for the end of a command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mammofill.evaluation import Evaluation
from mammofill.experiment.run import StudyRun
from mammofill.report import format_table
from mammofill.report.tables import differences, in_words


def summary_of_run(run: StudyRun) -> str:
    """Return the wall time of each stage, the table of results, and where the report is."""
    evaluations = [one for one in run.artifacts.values() if isinstance(one, Evaluation)]
    first = evaluations[0]
    counts = first.manifest.counts
    return "\n".join(
        [
            *_times(run),
            "",
            format_table(evaluations),
            "",
            f"Test set {first.test_set[:12]}: {counts['benign_patches']} benign and {counts['malignant_patches']} "
            f"malignant patches of {counts['patients']} patients.",
            f"In brackets: {first.facts['confidence']:.0%} intervals that resample patients. All but the AUC at the "
            "threshold frozen on validation.",
            *_gains(evaluations, run.study.seed),
            "",
            f"report: {run.report.folder / 'index.html'}",
        ]
    )


def _times(run: StudyRun) -> Iterator[str]:
    width = max(len(str(place)) for place in run.seconds)
    for place, seconds in run.seconds.items():
        yield f"{place!s:<{width}}  " + ("done before" if seconds is None else f"{seconds:.0f} s")
    yield f"{'in all':<{width}}  {sum(seconds or 0 for seconds in run.seconds.values()):.0f} s"


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
