"""Running a study: stage after stage, each finished one returned at once, each stopped one continued.

Steps of one stage that need nothing of each other may run side by side: the cells of a grid, above all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import mammofill
from mammofill.experiment.planned import keep_plan
from mammofill.experiment.preflight import check_pairs, ready_study
from mammofill.experiment.steps import Step, stretches
from mammofill.experiment.study import Study
from mammofill.ground.artifact import MANIFEST_NAME, TAKEN_OVER, Artifact, read_manifest
from mammofill.ground.counting import counted
from mammofill.ground.engines import work_through
from mammofill.ground.errors import TrainingError
from mammofill.ground.progress import KeptProgress, Progress, in_words, quiet

LOG_NAME = "log.txt"
"""What a run reported, and when, in the study's folder; each further run adds to it."""


@dataclass(frozen=True)
class StudyRun:
    """A study that ran to its end, or to the requested artifact."""

    study: Study
    out: Path
    artifacts: Mapping[Path, Artifact]
    """Where (relative to `out`) -> what was made there, in the order in which it was made."""
    seconds: Mapping[Path, float | None]
    """Where -> wall time of this run, in seconds; None for what an earlier run had finished."""

    @property
    def last(self) -> Artifact:
        """What was made last: the report of a whole study."""
        return self.artifacts[self.study.steps[-1].out]


def run_study(
    path: str | Path,
    out: str | Path,
    progress: Progress = quiet,
    *,
    workers: int = 0,
    engine: str = "processes",
    amend: bool = False,
    quick: bool = False,
    only: str | None = None,
) -> StudyRun:
    """Run a study file to its report, or to one of its artifacts.

    Args:
        path: the study file, see `mammofill.experiment.study`.
        out: folder that receives one folder per artifact.
        progress: how to speak.
        workers: steps of one stage that run side by side; 0 runs one after the other, with all cores each.
        engine: where they run, see `mammofill.ground.engines`.
        amend: whether another plan may follow one whose test scores are there, see `planned`.
        quick: whether it is the smaller study that the file's table ``[quick]`` makes of it.
        only: the place in `out` of the only artifact that is wanted, for example infillers/flow: it is made, and what
            it is made from. The plan is that of the whole study, which a later run without it goes on with.

    Returns:
        What was made, and how long it took.

    Raises:
        MammofillError: the only fault of the study file or of what it needs here; nothing has run then.
        SettingsError: the same, where there are several: all of them.
        PlanChangedError: test scores of another plan are there, and amending was not requested; nothing has run then.
        MammofillError: a stage refused its inputs; what was finished before stays.
    """
    study, out = ready_study(path, out, quick, only), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    progress = KeptProgress(progress, out / LOG_NAME)
    progress.keep(f"mammofill {mammofill.__version__} runs {study.path}")
    with _kept_failure(progress):
        return _run_to_the_end(_on_device(study, progress), out, progress, workers, engine, amend)


@contextmanager
def _kept_failure(progress: KeptProgress) -> Iterator[None]:
    """Keep in the log why a run ended before its end."""
    try:
        yield
    except BaseException as error:
        progress.keep(f"ended by {type(error).__name__}: {error}")
        raise


def _run_to_the_end(study: Study, out: Path, progress: Progress, workers: int, engine: str, amend: bool) -> StudyRun:
    study = keep_plan(study, out, progress, amend)
    seconds: dict[Path, float | None] = {}
    clock = _Clock(study.steps, max(workers, 1))
    for steps in stretches(study.steps):
        if steps[0].stage.name == "train-infiller":
            check_pairs(study, out)
        done = [step for step in steps if (out / step.out / MANIFEST_NAME).is_file()]
        # What is done already is run, too: it says if it was made with other settings.
        for step, _ in _one_by_one(done, study, out, progress, clock):
            seconds[step.out] = None
        rest = [step for step in steps if step.out not in seconds]
        run = _side_by_side(workers, engine) if workers > 1 and len(rest) > 1 else _one_by_one
        for step, took in run(rest, study, out, progress, clock):
            seconds[step.out] = took
    artifacts = {step.out: step.stage.open_output(out / step.out) for step in study.steps}
    return StudyRun(study, out, artifacts, {step.out: seconds[step.out] for step in study.steps})


def _on_device(study: Study, progress: Progress) -> Study:
    """Return the study with the device that `auto` stands for here, and say which one that is."""
    if study.device != "auto":
        return study
    from mammofill.ground.training.device import chosen_device  # torch, which takes seconds

    device = chosen_device(study.device)
    progress.say(f"device: {device}")
    return replace(study, device=device)


class _Clock:
    """Counts steps, and estimates the time left from what steps of the same stage took."""

    def __init__(self, steps: Sequence[Step], workers: int) -> None:
        self.left, self.total, self.workers = list(steps), len(steps), workers
        self.took: dict[tuple[str, bool], list[float]] = {}

    def begin(self, step: Step, out: Path, was_done: bool) -> str:
        """Return what to say when a step begins."""
        number = self.total - len(self.left) + 1
        rest = self.rest()
        ending = f"; {rest}" if rest else ""
        return f"[{number}/{self.total}] {step.stage.name} -> {out / step.out}" + " (done)" * was_done + ending

    def end(self, step: Step, seconds: float | None) -> None:
        """Take notice of the end of a step; None if it was done before."""
        self.left.remove(step)
        if seconds is not None:
            self.took.setdefault(_kind_of(step), []).append(seconds)

    def rest(self) -> str:
        """Say how much time is left for stages of which a step has run; nothing where there is no such step."""
        means = {kind: sum(took) / len(took) for kind, took in self.took.items()}
        known = [means[_kind_of(step)] for step in self.left if _kind_of(step) in means]
        if not known:
            return ""
        unknown = len(self.left) - len(known)
        more = f", not counting {unknown} of stages that have not run yet" if unknown else ""
        return f"whole study: about {in_words(sum(known) / self.workers)} for {counted(len(known), 'steps')}{more}"


def _kind_of(step: Step) -> tuple[str, bool]:
    """Return what takes about as long: the stage, and whether a part of the work is taken over from other steps."""
    return step.stage.name, TAKEN_OVER in step.inputs


def _one_by_one(
    steps: Sequence[Step], study: Study, out: Path, progress: Progress, clock: _Clock
) -> Iterator[tuple[Step, float]]:
    for step in steps:
        was_done = (out / step.out / MANIFEST_NAME).is_file()
        progress.say(clock.begin(step, out, was_done))
        began = time.monotonic()
        _run_step(step, study, out, progress)
        took = time.monotonic() - began
        clock.end(step, None if was_done else took)
        yield step, took


def _side_by_side(workers: int, engine: str) -> Any:
    def run(
        steps: Sequence[Step], study: Study, out: Path, progress: Progress, clock: _Clock
    ) -> Iterator[tuple[Step, float]]:
        logs = out / "logs"
        logs.mkdir(exist_ok=True)
        name = steps[0].stage.name
        progress.say(f"{name}: {counted(len(steps), 'steps')}, {workers} at a time")
        with progress.task(name, len(steps)) as task:
            run_one, jobs = partial(_run_alone, study, out), list(enumerate(steps))
            # A process that was forked cannot use a GPU that the one before has used.
            method = "spawn" if study.device != "cpu" and steps[0].stage.device else None
            over = work_through(run_one, jobs, workers, engine, logs=logs, method=method)
            for (_, step), fine in over:
                if not fine:
                    raise TrainingError(
                        f"The process of {name} -> {out / step.out} died twice: perhaps the memory was not enough "
                        "(then use fewer workers). What was finished stays; run the same command again."
                    )
                took = _seconds_of(step, out)
                clock.end(step, took)
                task.advance(1, clock.rest() or f"{counted(len(clock.left), 'steps')} of later stages left")
                yield step, took

    return run


def _seconds_of(step: Step, out: Path) -> float:
    """Return the wall time of a step that has just ended in another process, which has written it down."""
    return read_manifest(out / step.out).wall_seconds


def _run_alone(study: Study, out: Path, job: tuple[int, Step]) -> None:
    """Run a step in a process of its own, on one core and one GPU: the others are for the steps beside it."""
    number, step = job
    if step.stage.device:
        import torch

        from mammofill.ground.training.device import device_of_step

        # Also because a process that was forked cannot use the threads that torch had in the one before.
        torch.set_num_threads(1)
        engine = getattr(step.settings, "engine", None)
        if getattr(engine, "processes", 1) == 1:  # several share the GPUs among them
            study = replace(study, device=device_of_step(study.device, number))
    _run_step(step, study, out, quiet)


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
        opened = [one.open(out / place) for place in step.inputs.get(one.role, ())]
        if opened or not one.optional:
            inputs[one.role] = opened if one.several else opened[0]
    return inputs


def _run_step(step: Step, study: Study, out: Path, progress: Progress) -> Artifact:
    how = {"seed": step.seed, "progress": progress, "device": study.device, **step.says}
    return step.stage(open_inputs(step, out), out / step.out, step.settings, **how)
