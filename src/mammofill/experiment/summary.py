"""What a study found, in words and numbers for the end of a command."""

from __future__ import annotations

from mammofill.experiment.run import StudyRun


def summary_of_run(run: StudyRun) -> str:
    """Return the table of results, the wall time of each stage, and where the report is."""
    return "\n".join([*_times(run), "", f"report: {run.report.folder / 'index.html'}"])


def _times(run: StudyRun) -> list[str]:
    width = max(len(str(place)) for place in run.seconds)
    return [
        f"{place!s:<{width}}  " + ("done before" if seconds is None else f"{seconds:.0f} s")
        for place, seconds in run.seconds.items()
    ]
