"""Every engine does all jobs, survives a worker that dies, and hands on our errors in their own words."""

from __future__ import annotations

import errno
import os
import socket
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest.mock import ANY, Mock

import pytest

from mammofill.ground.engines import check_engine, work_through
from mammofill.ground.errors import ImageFileError, SettingsError
from mammofill.ground.processes import DONE, Limits

NEEDS = {"processes": "concurrent.futures", "submitit-local": "submitit", "dask": "distributed"}
each_engine = pytest.mark.parametrize("engine", NEEDS)
# What those libraries leave open when a worker of theirs was killed is theirs to close.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _jobs_can_be_imported_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


def mark(folder: Path, name: str) -> None:
    """Mark a job as done, once; the poison kills its process each time, the frail one the first time only."""
    if (folder / name).exists():
        return
    with (folder / f"{name}.tries").open("a") as file:
        file.write("x")
    if name == "poison" or (name == "frail" and (folder / "frail.tries").stat().st_size == 1):
        os._exit(1)
    if name == "refused":
        raise ImageFileError("refused.dcm is truncated. Fetch it again.")
    (folder / name).touch()


@each_engine
def test_a_worker_that_dies_takes_no_other_job_with_it(tmp_path: Path, engine: str) -> None:
    pytest.importorskip(NEEDS[engine])
    jobs = ["a", "b", "frail", "c", "poison", "d", "e"]
    over = dict(work_through(partial(mark, tmp_path), jobs, 2, engine, logs=tmp_path / "logs"))
    assert {name: bool(done) for name, done in over.items()} == {name: name != "poison" for name in jobs}
    assert {name for name in jobs if (tmp_path / name).exists()} == set(jobs) - {"poison"}


@each_engine
def test_our_errors_arrive_as_they_are(tmp_path: Path, engine: str) -> None:
    pytest.importorskip(NEEDS[engine])
    with pytest.raises(ImageFileError, match=r"refused.dcm is truncated. Fetch it again."):
        list(work_through(partial(mark, tmp_path), ["a", "refused"], 1, engine, logs=tmp_path / "logs"))


def test_without_workers_the_jobs_are_done_here_in_their_order(tmp_path: Path) -> None:
    over = list(work_through(partial(mark, tmp_path), ["b", "a"], logs=tmp_path))
    assert over == [("b", DONE), ("a", DONE)]


def test_a_second_scheduler_on_this_machine_is_not_warned_about(tmp_path: Path) -> None:
    pytest.importorskip(NEEDS["dask"])
    with socket.socket() as taken:
        with suppress(OSError):  # by another one already
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Port 8787")
            assert dict(work_through(partial(mark, tmp_path), ["a"], 1, "dask", logs=tmp_path / "logs")) == {"a": DONE}


def hang_or_eat(job: str) -> None:
    """Do what bad files make decoders do."""
    if job == "hang":
        time.sleep(3600)
    if job == "eat":
        len(bytearray(10**10))
    if job == "abort":
        os.abort()


@each_engine
def test_jobs_over_foreign_files_are_kept_to_time_and_memory_with_every_engine(tmp_path: Path, engine: str) -> None:
    pytest.importorskip(NEEDS[engine])
    limits = Limits(seconds=8, memory_gb=1, silent=True)
    jobs = ["a", "hang", "eat", "abort", "b"]
    over = dict(work_through(hang_or_eat, jobs, 1, engine, logs=tmp_path / "logs", limits=limits))
    assert {job: outcome.why_lost for job, outcome in over.items()} == {
        "a": "", "b": "", "hang": "took longer than 8 s", "eat": ANY, "abort": ANY,
    }  # fmt: skip
    assert "needs more than 1 GB of memory" in over["eat"].why_lost
    assert "was ended by SIGABRT" in over["abort"].why_lost


@dataclass
class Settings:
    engine: str
    workers: int


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings("spark", 1), r"Settings.engine must be one of processes, slurm, submitit-local, dask, .* is 'spark'"),
        (Settings("processes", -1), r"Settings.workers must be at least 0, but is -1"),
        (Settings("slurm:timeout_min=5", 0), r"Settings.workers must be at least 1 with the engine slurm, but is 0"),
    ],
)
def test_an_engine_that_makes_no_sense_is_refused(settings: Settings, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        check_engine(settings)


def test_an_option_without_a_value_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    with pytest.raises(SettingsError, match=r"engine has the option 'fast'; options are name=value"):
        list(work_through(partial(mark, tmp_path), ["a"], 1, "submitit-local:fast", logs=tmp_path))


def test_jobs_that_have_begun_are_cancelled_if_another_cannot_be_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: each job on this machine begins at once, before the next one is written there."""
    submitit = pytest.importorskip("submitit")
    begun: list[Mock] = []

    def map_array(_: object, hands: list[list[str]]) -> list[Mock]:
        if begun:
            raise OSError(errno.ENOSPC, "No space left on device")
        begun.extend(Mock() for _ in hands)
        return begun

    monkeypatch.setattr(submitit, "AutoExecutor", lambda **_: Mock(map_array=map_array))
    with pytest.raises(OSError, match="No space left on device"):
        list(work_through(partial(mark, tmp_path), ["a", "b"], 2, "submitit-local", logs=tmp_path))
    (first,) = begun
    first.cancel.assert_called_once_with(check=False)
