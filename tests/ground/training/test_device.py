"""Devices: what is accepted, where steps go that run side by side, and that libraries keep silent about the machine."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from mammofill.ground.errors import DeviceError
from mammofill.ground.training import device as devices
from mammofill.ground.training.device import device_of_step, find_device, lacking_operators, repeatable
from mammofill.ground.training.distributed import check_processes, has_bf16


@pytest.mark.parametrize("name", ["meta", "cpu:1", "cuda:x", "mps:0", "xla", ""])
def test_no_other_device_is_known(name: str) -> None:
    with pytest.raises(DeviceError, match=f"There is no device called '{name}'. Use auto, cpu, cuda"):
        find_device(name)


def test_a_device_that_lacks_operators_is_refused_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU plays an Apple GPU on which one operator is missing and the gradient of another is no number."""

    def not_there(images: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("not implemented for the MPS device")

    operators = {
        "softmax of products": not_there,
        "batch norm": lambda images: images * float("nan"),
        "convolution": lambda images: images.square(),
    }
    monkeypatch.setattr(devices, "_OPERATORS", operators)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch, "device", lambda _: FakeGpu())
    monkeypatch.setattr(devices, "lacking_operators", lambda _: lacking_operators.__wrapped__("cpu"))
    with pytest.raises(
        DeviceError, match="it cannot do all that networks do here: softmax of products, batch norm. Use"
    ):
        find_device("mps")
    del operators["softmax of products"], operators["batch norm"]
    assert find_device("mps").type == "mps"


class FakeGpu:
    type, index = "mps", None


def test_a_cpu_has_all_operators_and_mps_is_refused_where_it_is_not() -> None:
    assert lacking_operators(torch.device("cpu")) == ()
    if not torch.backends.mps.is_available():
        with pytest.raises(DeviceError, match="torch finds no GPU of Apple's here. Use --device cpu"):
            find_device("mps")


def test_an_apple_gpu_is_neither_shared_nor_asked_for_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mammofill.ground.training.distributed.find_device", lambda _: FakeGpu())
    with pytest.raises(DeviceError, match="2 processes cannot share the one GPU of 'mps'"):
        check_processes("mps", 2, "float32")
    assert not has_bf16(FakeGpu())  # type: ignore[arg-type]


def test_steps_take_gpus_by_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [device_of_step("cuda", number) for number in range(4)] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert [device_of_step(name, 1) for name in ("cuda:0", "cpu", "mps")] == ["cuda:0", "cpu", "mps"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device_of_step("cuda", 1) == "cuda"


def test_a_gpu_is_told_to_repeat_itself_and_afterwards_not() -> None:
    def told() -> tuple[Any, ...]:
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
        )

    before = told()
    with repeatable("cuda:0"):
        assert told() == (True, True, False)
    assert told() == before
    with repeatable("cpu"):
        assert told() == before


def test_what_cannot_repeat_itself_says_nothing_to_the_user() -> None:
    """A warning as torch speaks it on a GPU, where warnings are errors, as in these tests."""
    with repeatable("cuda"):
        warnings.warn("adaptive_avg_pool2d_backward_cuda does not have a deterministic implementation", stacklevel=1)


ON_A_CLUSTER = """
import sys, warnings
from mammofill.ground.training.distributed import training_processes

def lend_a_hand(fabric):
    fabric.barrier()

if __name__ == "__main__":
    warnings.simplefilter("error")
    with training_processes("cpu", int(sys.argv[1]), "float32", lend_a_hand) as fabric:
        if fabric.world_size > 1:
            fabric.barrier()
        print(fabric.world_size, fabric.global_rank)
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_on_a_login_node_and_in_a_job_of_slurm_nothing_is_said_of_srun(tmp_path: Path, processes: int) -> None:
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\nexit 1\n")
    srun.chmod(0o755)
    script = tmp_path / "script.py"
    script.write_text(ON_A_CLUSTER)
    on_slurm = {"PATH": f"{srun.parent}:{os.environ['PATH']}"}
    in_job = {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "7", "SLURM_PROCID": "0"}
    for more in (on_slurm, on_slurm | in_job):
        done = subprocess.run(
            [sys.executable, script, str(processes)],
            env={**os.environ, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, f"{processes} 0\n"), done.stderr
        assert "srun" not in done.stderr


def test_a_process_that_dies_before_it_can_train_is_told(tmp_path: Path) -> None:
    unguarded = ON_A_CLUSTER.replace('if __name__ == "__main__":', "if True:")
    # More than a pipe holds: what is given to a process when it is started must not wait for a dead one either.
    unguarded = unguarded.replace("lend_a_hand) as", "lend_a_hand, bytes(10**6)) as")
    (tmp_path / "script.py").write_text(unguarded)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", "2"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "that was to train with this one (engine.processes) ended with code 1 before it could begin" in last
    assert 'under if __name__ == "__main__":' in last
