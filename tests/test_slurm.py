"""With a real Slurm: the artifacts of one process, also when its jobs are killed, and no word of its inner life."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from private_slurm import MAY_INSTALL, PROGRAMS, asked, config, private_slurm, wait_until, why_not

from mammofill.cli import main
from mammofill.experiment import StudyRun, run_study
from mammofill.ground import slurm_queue
from mammofill.ground.artifact import read_manifest
from mammofill.ground.engines import work_through
from mammofill.ground.processes import DONE
from mammofill.phantom import PhantomSettings, write_phantoms

INGEST = ("--height-px", "256", "--quiet")
EXTRACT = ("--size-px", "64", "--stride-px", "64", "--mammograms-per-shard", "2", "--quiet")
ON_SLURM = ("--workers", "2", "--engine", "slurm:timeout_min=30")


@pytest.fixture(scope="module")
def slurm() -> Iterator[Path]:
    pytest.importorskip("submitit")
    if reason := why_not():
        pytest.skip(f"no Slurm here: {reason}")
    with private_slurm() as conf:
        yield conf


@pytest.fixture(autouse=True)
def _at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_queue, "SECONDS_BETWEEN_LOOKS", 0.5)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = PhantomSettings(patients=4, height_px=400, width_px=240)
    return write_phantoms(tmp_path_factory.mktemp("films") / "films", settings, seed=4).folder


@pytest.fixture(scope="module")
def mammograms(films: Path) -> Path:
    return ingested(films, films.parent / "mammograms")


def ingested(films: Path, out: Path, *flags: str) -> Path:
    assert main(["ingest", "cbis-ddsm", str(films), "--out", str(out), *INGEST, *flags]) == 0
    return out


def extracted(mammograms: Path, out: Path, *flags: str) -> Path:
    assert main(["extract-patches", str(mammograms), "--out", str(out), *EXTRACT, *flags]) == 0
    return out


def fingerprint(folder: Path) -> str:
    return read_manifest(folder).fingerprint


@pytest.mark.usefixtures("slurm")
def test_slurm_makes_the_same_artifacts_and_nothing_is_said_of_it(
    films: Path, mammograms: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    again = ingested(films, tmp_path / "mammograms", *ON_SLURM)
    cut = extracted(again, tmp_path / "patches", *ON_SLURM)
    said = capfd.readouterr()
    assert said.err == ""  # of sacct and srun, above all
    assert said.out.count("\n") == 2
    assert fingerprint(again) == fingerprint(mammograms)
    assert fingerprint(cut) == fingerprint(extracted(mammograms, tmp_path / "here"))
    assert not list(tmp_path.rglob("*submitit*"))


@pytest.mark.usefixtures("slurm")
def test_an_ingest_whose_jobs_are_killed_ends_with_the_same_set(films: Path, mammograms: Path, tmp_path: Path) -> None:
    out, killed = tmp_path / "mammograms", []

    def kill() -> None:
        wait_until(lambda: any(tmp_path.glob("mammograms.partial/images/*")), "the first mammogram")
        for process in alive_with(f"{tmp_path}/"):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
                killed.append(process)

    beside = threading.Thread(target=kill)
    beside.start()
    ingested(films, out, *ON_SLURM)
    beside.join()
    assert killed
    assert fingerprint(out) == fingerprint(mammograms)


def alive_with(folder: str) -> list[int]:
    """Return the processes in which Slurm's jobs for a folder are done."""
    told = asked("ps", "-eww", "-o", "pid=,args=").splitlines()
    jobs = [line.split() for line in told if "submitit.core._submit" in line and folder in line]
    return [int(pid) for pid, program, *_ in jobs if Path(program).name.startswith("python")]


def wait_for_the_end(folder: Path, name: str) -> None:
    """Do a job: one is never done at its first try, another at none."""
    tries = folder / f"{name}.tries"
    with tries.open("a") as file:
        file.write("x")
    while name == "never" or (name == "late" and tries.stat().st_size == 1):
        threading.Event().wait(60)
    (folder / name).touch()


@pytest.mark.usefixtures("slurm")
def test_a_cancelled_job_is_tried_once_more_and_takes_no_other_with_it(tmp_path: Path) -> None:
    def cancel_when_begun(name: str, tries: int) -> None:
        begun = tmp_path / f"{name}.tries"
        wait_until(lambda: begun.is_file() and begun.stat().st_size == tries, f"{name} to begin")
        asked("scancel", *asked("squeue", "--noheader", "--array", "--states=RUNNING", "--format=%i").split())

    def cancel() -> None:
        for name, tries in (("late", 1), ("never", 1), ("never", 2)):
            cancel_when_begun(name, tries)

    beside = threading.Thread(target=cancel)
    beside.start()
    work = partial(wait_for_the_end, tmp_path)
    over = dict(work_through(work, ["late", "a", "b"], 2, "slurm", logs=tmp_path / "logs"))
    assert over == dict.fromkeys(("late", "a", "b"), DONE)
    over = dict(work_through(work, ["never"], 1, "slurm", logs=tmp_path / "logs"))
    beside.join()
    assert {job: outcome.why_lost for job, outcome in over.items()} == {"never": "died twice"}


@pytest.mark.usefixtures("slurm")
def test_a_study_whose_cells_slurm_runs_ends_with_the_same_comparison(corridor: StudyRun, tmp_path: Path) -> None:
    anew = ("classifiers", "evaluations", "comparison", "report")
    for place in corridor.artifacts:
        if place.parts[0] not in anew:
            shutil.copytree(corridor.out / place, tmp_path / "study" / place)
    run = run_study(corridor.study.path, tmp_path / "study", workers=2, engine="slurm")
    assert run.seconds[Path("classifiers/real-only")] is not None
    for place in ("classifiers/real-only", "comparison", "report"):
        assert run.artifacts[Path(place)].fingerprint == corridor.artifacts[Path(place)].fingerprint


# ---- what is tested without a Slurm --------------------------------------------------------------------------------


def test_the_configuration_keeps_to_its_folder_and_needs_no_cgroup(tmp_path: Path) -> None:
    told = dict(line.split("=", 1) for line in config(tmp_path, "me", "here", (7001, 7002)).splitlines())
    assert (told["SlurmUser"], told["SlurmdUser"]) == ("me", "me")
    assert (told["SlurmctldPort"], told["SlurmdPort"]) == ("7001", "7002")
    places = [value.removeprefix("socket=") for value in told.values() if "/" in value.removeprefix("socket=")[:1]]
    assert len(places) == 5
    assert all(Path(place).parent == tmp_path for place in places)
    assert "cgroup" not in "".join(told.values())


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MAY_INSTALL, raising=False)
    monkeypatch.setattr("private_slurm.place_of", lambda name: None)
    assert f"not installed: {', '.join(PROGRAMS)} (apt-get install munge" in why_not()


def test_a_job_is_over_when_two_looks_in_a_row_miss_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(slurm_queue, "SECONDS_BETWEEN_LOOKS", 0.0)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    squeue = tmp_path / "squeue"
    queue = slurm_queue.SlurmQueue()

    def told(script: str) -> list[bool]:
        squeue.write_text(f"#!/bin/sh\n{script}\n")
        squeue.chmod(0o755)
        return [queue.is_done("4_1"), queue.is_done("4_0")]

    assert told("echo 4_0; echo 4_1") == [False, False]
    assert told("exit 1") == [False, False], "a controller that does not answer tells nothing"
    assert told("echo 4_0") == [False, False]  # the second question looks again
    assert told("echo 4_0") == [True, False]
    assert told("echo 4_0; echo 4_1") == [False, False], "one that was put back into the queue"
