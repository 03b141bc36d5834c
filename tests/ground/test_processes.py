"""A process that dies takes its own job with it and no other."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from mammofill.ground.processes import Child, ChildDiedError, Limits, in_processes


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
    assert {name: bool(done) for name, done in over.items()} == {name: name != "poison" for name in jobs}
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
    print(sorted((job, bool(done)) for job, done in in_processes(shrink, [1, 2, 3], 2)), cv2.getNumThreads())
"""


def test_workers_work_though_opencv_had_threads_here(tmp_path: Path) -> None:
    script = tmp_path / "after_threads.py"
    script.write_text(AFTER_THREADS)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[(1, True), (2, True), (3, True)] 2"


def remember(number: int, seen: list[int] = []) -> tuple[int, int]:  # noqa: B006  (that it lasts is the point)
    seen.append(number)
    return os.getpid(), len(seen)


def test_a_child_is_the_same_process_until_it_dies() -> None:
    with Child(Limits(silent=True)) as child:
        first, again = child.ask(remember, 1), child.ask(remember, 2)
        assert first[0] == again[0] != os.getpid()
        assert (first[1], again[1]) == (1, 2)
        with pytest.raises(ChildDiedError, match="was ended by SIGABRT"):
            child.ask(os.abort)
        other = child.ask(remember, 3)
        assert other[0] != first[0]
        assert other[1] == 1


class Panic(BaseException):
    """As a library written in Rust panics."""


def panic() -> None:
    raise Panic("index out of bounds")


def eat() -> int:
    return len(bytearray(10**10))


def test_what_is_no_exception_arrives_as_one() -> None:
    with Child() as child:
        with pytest.raises(RuntimeError, match="Panic: index out of bounds"):
            child.ask(panic)
        assert child.ask(remember, 1)


def test_memory_and_time_are_kept_to() -> None:
    with Child(Limits(seconds=8, memory_gb=1)) as child:
        with pytest.raises(ChildDiedError, match="needs more than 1 GB of memory"):
            child.ask(eat)
        with pytest.raises(ChildDiedError, match="took longer than 8 s"):
            child.ask(time.sleep, 600)
        assert child.ask(remember, 1)


def ask_a_child(job: str) -> None:
    with Child() as child:
        child.ask(remember, 1)


def test_a_child_may_have_children() -> None:
    assert all(done for _, done in in_processes(ask_a_child, ["a", "b"], 2))


LEFT_BEHIND = """
import os
from mammofill.ground.processes import Child

if __name__ == "__main__":
    child = Child()
    print(child.ask(os.getpid) > 0)
"""


def test_a_program_that_leaves_its_child_behind_ends(tmp_path: Path) -> None:
    script = tmp_path / "leaves.py"
    script.write_text(LEFT_BEHIND)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout.strip(), done.stderr) == ("True", "")


UNGUARDED = """
import multiprocessing, sys
from pathlib import Path
from mammofill.mammograms import IngestSettings
from mammofill.mammograms.sources.collections import read_collection

if multiprocessing.get_start_method(allow_none=True) is None:
    multiprocessing.set_start_method("spawn")
read_collection(Path("own.csv"), IngestSettings(collection="table"))
"""


def test_a_script_that_each_process_runs_again_is_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(UNGUARDED)
    (tmp_path / "own.csv").write_text("image,mask,patient,pathology\n")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "The process that was to read own.csv ended with code 1 before it could begin. If a script called it" in last
    assert 'put what the script does under if __name__ == "__main__":' in last
    assert "damaged" not in last
