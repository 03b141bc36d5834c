"""What only a GPU can show, for every stage that runs networks. Skipped, with the reason, where there is none."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mammofill.experiment import STAGES, Stage, StudyRun, run_study
from mammofill.experiment.run import open_inputs
from mammofill.experiment.steps import Step
from mammofill.ground.artifact import Artifact
from mammofill.ground.progress import Progress, Task

GPUS = torch.cuda.device_count()

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not GPUS, reason="no CUDA device: torch.cuda.device_count() is 0"),
]
several = pytest.mark.skipif(GPUS < 2, reason=f"needs 2 CUDA devices, found {GPUS}")
each_stage = pytest.mark.parametrize("stage", [one for one in STAGES if one.device], ids=lambda stage: stage.name)


def on_gpu(run: StudyRun, stage: Stage, out: Path, **how: Any) -> Artifact:
    step = step_of(run, stage)
    return stage(open_inputs(step, run.out), out, step.settings, **{"seed": step.seed, "device": "cuda"} | how)


def step_of(run: StudyRun, stage: Stage) -> Step:
    return next(step for step in run.study.steps if step.stage.name == stage.name)


class StoppedHereError(Exception):
    pass


class StopsAfter(Progress, Task):
    def __init__(self, steps: int) -> None:
        self.left = steps

    def _begin(self, name: str, total: float) -> Task:
        return self

    def _end(self, task: Task) -> None:
        pass

    def advance(self, steps: float = 1, note: str = "") -> None:
        self.left -= steps > 0
        if self.left == 0:
            raise StoppedHereError


@each_stage
def test_it_makes_on_a_gpu_what_it_makes_on_a_cpu_but_for_digits(
    corridor: StudyRun, stage: Stage, tmp_path: Path
) -> None:
    made, on_cpu = on_gpu(corridor, stage, tmp_path / "made"), corridor.artifacts[step_of(corridor, stage).out]
    assert made.manifest.counts == on_cpu.manifest.counts
    assert made.manifest.device == "cuda"
    assert made.manifest.execution["same_bits_again"] is False


@each_stage
def test_it_goes_on_upon_another_gpu_or_the_same_by_its_number(
    corridor: StudyRun, stage: Stage, tmp_path: Path
) -> None:
    with pytest.raises(StoppedHereError):
        on_gpu(corridor, stage, tmp_path / "made", progress=StopsAfter(1))
    again = on_gpu(corridor, stage, tmp_path / "made", device=f"cuda:{GPUS - 1}")
    assert again.manifest.device == "cuda"


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16", "auto"])
def test_an_infiller_trains_in_each_precision(corridor: StudyRun, precision: Any, tmp_path: Path) -> None:
    stage = next(one for one in STAGES if one.name == "train-infiller")
    step = step_of(corridor, stage)
    settings = replace(step.settings, engine=replace(step.settings.engine, precision=precision, channels_last=True))
    made = stage(open_inputs(step, corridor.out), tmp_path / "made", settings, seed=1, device="cuda")
    assert made.manifest.counts["patients"] > 0


def test_logits_agree_with_those_of_a_cpu(corridor: StudyRun) -> None:
    classifier: Any = corridor.artifacts[step_of(corridor, next(s for s in STAGES if s.name == "train-classifier")).out]
    patches: Any = corridor.artifacts[Path("patches")]
    images = patches.pixels(np.arange(8))[0] / np.float32(65535)
    both = [classifier.logits(images, device=device, batch_size=4) for device in ("cpu", "cuda")]
    assert np.abs(both[0] - both[1]).max() < 1e-4


@pytest.mark.parametrize("workers", [2])
def test_cells_train_side_by_side_in_processes_that_are_begun_anew(
    corridor: StudyRun, workers: int, tmp_path: Path
) -> None:
    whole = corridor.study.path.read_text(encoding="utf-8")
    path = tmp_path / "tiny.toml"
    path.write_text(whole.replace("seed = 3\n", 'seed = 3\ndevice = "cuda"\n', 1), encoding="utf-8")
    run = run_study(path, tmp_path / "out", workers=workers)
    used = {one.manifest.execution["device"] for one in run.artifacts.values() if one.manifest.device}
    assert used <= {"cuda", *(f"cuda:{number}" for number in range(GPUS))}
    assert GPUS < 2 or {"cuda:0", "cuda:1"} <= used


@several
def test_two_gpus_share_each_batch(corridor: StudyRun, tmp_path: Path) -> None:
    step = step_of(corridor, next(one for one in STAGES if one.name == "train-infiller"))
    given = [str(corridor.out / place) for places in step.inputs.values() for place in places]
    command = [sys.executable, "-m", "mammofill", "train-infiller", *given, "--out", str(tmp_path / "made")]
    command += ["--preset", "demo", "--hole.share", "0.05", "--hole.plus_px", "1", "--engine.processes", "2"]
    done = subprocess.run([*command, "--device", "cuda"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
