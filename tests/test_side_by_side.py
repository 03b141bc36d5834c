"""How the steps of a study are begun that run side by side: by which kind of process, and on which device."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mammofill.experiment import run, stage_named
from mammofill.experiment.run import _Clock, _run_alone, _side_by_side
from mammofill.experiment.steps import Step
from mammofill.experiment.study import Study, read_study
from mammofill.ground.processes import DONE, in_processes
from mammofill.ground.progress import quiet

STUDY = """
name = "cells"
device = "{device}"

[phantom]
patients = 30

[train-infiller]
preset = "copy-paste"

[[arms]]
name = "real only"

[[arms]]
name = "pasted"
synthetic = true

[grid]
real_shares = [0.5, 1]
"""


def study_on(device: str, folder: Path) -> Study:
    path = folder / "tiny.toml"
    path.write_text(STUDY.format(device=device), encoding="utf-8")
    return read_study(path)


def steps_named(name: str, study: Study) -> list[Step]:
    return [step for step in study.steps if step.stage.name == name]


@pytest.mark.parametrize(
    ("device", "stage", "method"),
    [
        ("cpu", "train-classifier", None),
        ("cuda", "train-classifier", "spawn"),
        ("cuda:1", "train-classifier", "spawn"),
        ("mps", "evaluate", "spawn"),
        ("cuda", "select-patches", None),  # runs no network
    ],
)
def test_processes_are_begun_anew_where_networks_do_not_run_on_the_cpu(
    device: str, stage: str, method: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def work_through(work: Any, jobs: Sequence[Any], *_: Any, **how: Any) -> Iterator[tuple[Any, Any]]:
        asked.append(how["method"])
        yield from ((job, DONE) for job in jobs)

    monkeypatch.setattr(run, "work_through", work_through)
    monkeypatch.setattr(run, "_seconds_of", lambda *_: 1.0)  # nothing was made
    study = study_on(device, tmp_path)
    steps = steps_named(stage, study)
    assert steps
    done = list(_side_by_side(2, "processes")(steps, study, tmp_path, quiet, _Clock(study.steps, 2)))
    assert [step for step, _ in done] == steps
    assert asked == [method]


def test_steps_take_gpus_by_turn_unless_each_takes_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(run, "_run_step", lambda step, study, out, progress: used.append(study.device))
    study = study_on("cuda", tmp_path)
    for number in range(3):
        _run_alone(study, tmp_path, (number, steps_named("train-classifier", study)[0]))
    assert used == ["cuda:0", "cuda:1", "cuda:0"]
    sharing = SimpleNamespace(
        stage=stage_named("train-infiller"), settings=SimpleNamespace(engine=SimpleNamespace(processes=2))
    )
    _run_alone(study, tmp_path, (1, sharing))  # type: ignore[arg-type]
    _run_alone(study, tmp_path, (1, steps_named("pair-patches", study)[0]))
    assert used[3:] == ["cuda", "cuda"]


def write_device(job: tuple[Study, Step, Path]) -> None:
    study, step, place = job
    place.write_text(f"{step.stage.name} on {study.device}")


def test_a_step_arrives_whole_in_a_process_that_was_begun_anew(tmp_path: Path) -> None:
    study = study_on("cuda:1", tmp_path)
    step = steps_named("train-classifier", study)[0]
    assert pickle.loads(pickle.dumps(step)) == step
    ((_, outcome),) = in_processes(write_device, [(study, step, tmp_path / "told")], 1, method="spawn")
    assert outcome
    assert (tmp_path / "told").read_text() == "train-classifier on cuda:1"
