"""Running a study: stage after stage, each finished one returned at once, each stopped one continued."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mammofill.experiment.study import Step, Study, read_study
from mammofill.ground.artifact import MANIFEST_NAME, Artifact, write_atomically
from mammofill.ground.progress import Progress, quiet


@dataclass(frozen=True)
class StudyRun:
    """A study that ran to its end."""

    study: Study
    out: Path
    artifacts: Mapping[Path, Artifact]
    """Where (relative to `out`) -> what was made there, in the order in which it was made."""
    seconds: Mapping[Path, float | None]
    """Where -> wall time of this run, in seconds; None for what an earlier run had finished."""

    @property
    def report(self) -> Artifact:
        """The report."""
        return self.artifacts[Path("report")]


def run_study(path: str | Path, out: str | Path, progress: Progress = quiet) -> StudyRun:
    """Run a study file to its report.

    Args:
        path: the study file, see `mammofill.experiment.study`.
        out: folder that receives one folder per artifact.
        progress: how to speak.

    Returns:
        What was made, and how long it took.

    Raises:
        SettingsError: the study file makes no sense; nothing has run then.
        MammofillError: a stage refused its inputs; what was finished before stays.
    """
    study, out = read_study(path), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "study.toml", study.path.read_bytes())
    artifacts: dict[Path, Artifact] = {}
    seconds: dict[Path, float | None] = {}
    for number, step in enumerate(study.steps, start=1):
        was_done = (out / step.out / MANIFEST_NAME).is_file()
        progress.say(f"[{number}/{len(study.steps)}] {step.stage.name} -> {out / step.out}" + " (done)" * was_done)
        began = time.monotonic()
        artifacts[step.out] = _run_step(step, study, out, progress)
        seconds[step.out] = None if was_done else time.monotonic() - began
    return StudyRun(study, out, artifacts, seconds)


def open_inputs(step: Step, out: Path) -> dict[str, Any]:
    """Open what a step is made from.

    Args:
        step: of a study.
        out: the study's output folder.

    Returns:
        Role -> artifact, list of artifacts, or path; as `Stage` takes them.

    Raises:
        ArtifactError: an input is not there, or of another kind.
    """
    inputs: dict[str, Any] = {}
    for one in step.stage.inputs:
        opened = [one.open(out / place) for place in step.inputs[one.role]]
        inputs[one.role] = opened if one.several else opened[0]
    return inputs


def _run_step(step: Step, study: Study, out: Path, progress: Progress) -> Artifact:
    how = {"seed": study.seed, "progress": progress, "device": study.device}
    return step.stage(open_inputs(step, out), out / step.out, step.settings, **how)
