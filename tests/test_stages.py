"""What every stage promises, checked on every row of the table of stages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from mammofill.experiment import PHANTOM, STAGES, Stage, StudyRun
from mammofill.experiment.run import open_inputs
from mammofill.experiment.settings import flat
from mammofill.experiment.stages import SOURCE, find
from mammofill.experiment.study import Step
from mammofill.ground.artifact import Artifact, check_content
from mammofill.ground.errors import ArtifactError, PlanChangedError, WrongKindError
from mammofill.ground.progress import Progress, Task

ALL = (PHANTOM, *STAGES)
CHANGED: dict[str, dict[str, Any]] = {
    "phantom": {"patients": 2},
    "ingest": {"height_px": 100},
    "extract-patches": {"stride_px": 24},
    "select-patches": {"patients_share": 0.9},
    "pair-patches": {"tries": 3},
    "train-infiller": {"feather_px": 3},
    "synthesize": {"ratio": 0.75},
    "select-synthetic": {"by": "seam"},
    "train-classifier": {"batch": 5},
    "evaluate": {"resamples": 150},
    "pool-folds": {"resamples": 150},
    "compare-arms": {"power": 0.9},
    "judge-infiller": {"resamples": 150},
    "write-report": {"examples_per_kind": 2},
}
"""One setting of each stage, and another value for it."""

each_stage = pytest.mark.parametrize("stage", ALL, ids=lambda stage: stage.name)


class Killed(BaseException):
    """What a stage cannot catch."""


class KilledAfter(Progress):
    """Counts steps, and kills the stage after some of them."""

    def __init__(self, most: float = float("inf")) -> None:
        self.most, self.steps = most, 0

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[Task]:
        yield self

    def advance(self, steps: float = 1, note: str = "") -> None:
        self.steps += 1
        if self.steps >= self.most:
            raise Killed


def step_of(run: StudyRun, stage: Stage) -> Step:
    """Return the last step of a stage: the arm with synthetic patches, where there are arms."""
    return [step for step in run.study.steps if step.stage.name == stage.name][-1]


def run_again(run: StudyRun, step: Step, out: Path, progress: Progress | None = None, **changes: Any) -> Artifact:
    settings = replace(step.settings, **changes.pop("settings", {}))
    how = {"seed": run.study.seed, "progress": progress or Progress(), "device": "cpu", **changes}
    return step.stage(open_inputs(step, run.out), out, settings, **how)


def leftovers(folder: Path) -> list[str]:
    return [
        path.name for path in folder.rglob("*") if path.suffix in (".tmp", ".pt") or path.name in (".lock", "plan.json")
    ]


@each_stage
def test_the_same_seed_gives_the_same_bytes(ran: StudyRun, stage: Stage, tmp_path: Path) -> None:
    step = step_of(ran, stage)
    again = run_again(ran, step, tmp_path / "again")
    assert again.fingerprint == ran.artifacts[step.out].fingerprint
    assert again.folder != ran.artifacts[step.out].folder


@each_stage
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["at-once", "half-way", "at-the-end"])
def test_a_killed_stage_goes_on_to_the_same_bytes(ran: StudyRun, stage: Stage, share: float, tmp_path: Path) -> None:
    step, out = step_of(ran, stage), tmp_path / "out"
    counted = KilledAfter()
    run_again(ran, step, tmp_path / "counted", counted)
    assert counted.steps > 0, "a stage reports its progress"

    with pytest.raises(Killed):
        run_again(ran, step, out, KilledAfter(max(1, round(share * counted.steps))))
    assert not out.exists()
    with pytest.raises(ArtifactError, match="is not finished"):
        find(stage.output).open(out)

    assert run_again(ran, step, out).fingerprint == ran.artifacts[step.out].fingerprint
    assert not out.with_name("out.partial").exists()
    assert leftovers(out) == []


@each_stage
def test_a_finished_artifact_is_returned_at_once_and_unchanged(ran: StudyRun, stage: Stage) -> None:
    step = step_of(ran, stage)
    out = ran.out / step.out
    before = {path: os.stat(path).st_mtime_ns for path in out.rglob("*")}
    counted = KilledAfter()
    artifact = run_again(ran, step, out, counted)
    assert artifact.fingerprint == ran.artifacts[step.out].fingerprint
    assert counted.steps == 0
    assert {path: os.stat(path).st_mtime_ns for path in out.rglob("*")} == before


@each_stage
def test_changed_settings_are_refused_by_name(ran: StudyRun, stage: Stage) -> None:
    step = step_of(ran, stage)
    (name, value), *_ = CHANGED[stage.name].items()
    before = getattr(step.settings, name)
    with pytest.raises(PlanChangedError, match=rf"settings.{name}: was {before!r}, now {value!r}"):
        run_again(ran, step, ran.out / step.out, settings={name: value})


@each_stage
def test_another_seed_is_refused_by_name(ran: StudyRun, stage: Stage) -> None:
    step = step_of(ran, stage)
    with pytest.raises(PlanChangedError, match=r"seed: was 3, now 4"):
        run_again(ran, step, ran.out / step.out, seed=4)


@each_stage
def test_the_wrong_kind_of_input_is_refused_by_name(ran: StudyRun, stage: Stage) -> None:
    for one in stage.inputs:
        if one.kind != SOURCE:
            wanted = find(one.kind).kind
            wrong = next(made for made in ran.artifacts.values() if made.manifest.kind != wanted)
            words = rf"holds an? '{wrong.manifest.kind}' .* but an? '{wanted}' artifact"
            with pytest.raises(WrongKindError, match=words):
                one.open(wrong.folder)


@each_stage
def test_the_result_opens_again_and_holds_what_was_finished(ran: StudyRun, stage: Stage) -> None:
    step = step_of(ran, stage)
    made = ran.artifacts[step.out]
    opened = find(stage.output).open(made.folder)
    assert type(opened) is type(made)
    assert opened.manifest == made.manifest
    assert opened.manifest.stage == stage.name
    assert opened.manifest.counts
    check_content(opened)
    assert leftovers(made.folder) == []


def dotted(settings: dict[str, Any], within: str = "") -> Iterator[str]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from dotted(value, f"{within}{name}.")
        else:
            yield within + name


@each_stage
def test_all_settings_are_recorded(ran: StudyRun, stage: Stage) -> None:
    step = step_of(ran, stage)
    manifest = ran.artifacts[step.out].manifest
    recorded = [*dotted(manifest.settings), *manifest.execution]
    of_device = ["device", "same_bits_again"] if stage.device else []
    # At their default they are what artifacts without them were made with.
    as_before = {one.name for one in fields(step.settings)
                 if one.metadata.get("added") and getattr(step.settings, one.name) == one.default}  # fmt: skip
    named = [name for name, _ in flat(step.settings) if name not in as_before]
    assert sorted(recorded) == sorted([*named, *of_device])
