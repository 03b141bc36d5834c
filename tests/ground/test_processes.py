"""A process that dies takes its own job with it and no other."""

from __future__ import annotations

import os
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
