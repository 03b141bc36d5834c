"""A process that dies takes its own job with it and no other."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from mammofill.ground.processes import in_processes


def mark(folder: Path, name: str) -> None:
    """Mark a job as done; the poison kills its process each time, the frail one the first time only."""
    tries = folder / f"{name}.tries"
    with tries.open("a") as file:
        file.write("x")
    if name == "poison" or (name == "frail" and tries.stat().st_size == 1):
        os._exit(1)
    if name == "wrong":
        raise ValueError("wrong job")
    (folder / name).touch()


@pytest.mark.parametrize("workers", [1, 3])
def test_only_the_job_that_kills_twice_is_given_up(tmp_path: Path, workers: int) -> None:
    jobs = ["a", "b", "poison", "c", "frail", "d", "e"]
    over = dict(in_processes(partial(mark, tmp_path), jobs, workers))
    assert over == {name: name != "poison" for name in jobs}
    assert {name for name in jobs if (tmp_path / name).exists()} == set(jobs) - {"poison"}


def test_errors_of_a_job_are_raised(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wrong job"):
        list(in_processes(partial(mark, tmp_path), ["a", "wrong"], 2))


AFTER_THREADS = """
import cv2, numpy as np
from mammofill.ground.processes import in_processes

def shrink(number):
    cv2.resize(np.zeros((900, 900), np.float32), (300, 300), interpolation=cv2.INTER_AREA)

if __name__ == "__main__":
    cv2.setNumThreads(2)
    for _ in range(20):
        cv2.GaussianBlur(np.ones((1500, 1500), np.float32), (0, 0), 5)
    print(sorted(in_processes(shrink, [1, 2, 3], 2)), cv2.getNumThreads())
"""


def test_workers_work_though_opencv_had_threads_here(tmp_path: Path) -> None:
    script = tmp_path / "after_threads.py"
    script.write_text(AFTER_THREADS)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[(1, True), (2, True), (3, True)] 2"
