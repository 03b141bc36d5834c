"""With a Dask cluster at an address, of which a worker is killed: the artifacts of one process."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mammofill.cli import main
from mammofill.experiment import StudyRun, run_study
from mammofill.ground.artifact import read_manifest
from mammofill.phantom import PhantomSettings, write_phantoms

# What Dask leaves open when a worker of it was killed is Dask's to close.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        yield cluster


def kill_a_worker_at_work(cluster: Any) -> None:
    """Wait until a worker has a job, and kill it; its nanny begins another."""
    while True:
        for worker in list(cluster.scheduler.workers.values()):
            if worker.processing:
                pid = cluster.workers[worker.name].pid
                os.kill(pid, signal.SIGKILL)
                return
        time.sleep(0.01)


def test_an_ingest_of_which_a_worker_is_killed_ends_with_the_same_set(cluster: Any, tmp_path: Path) -> None:
    films = write_phantoms(tmp_path / "films", PhantomSettings(patients=4, height_px=400, width_px=240), seed=4).folder
    here = ("ingest", "cbis-ddsm", str(films), "--height-px", "256", "--quiet", "--out", str(tmp_path / "here"))
    assert main(list(here)) == 0
    there = (*here[:-1], str(tmp_path / "there"), "--workers", "2", "--engine", f"dask:{cluster.scheduler_address}")
    beside = threading.Thread(target=kill_a_worker_at_work, args=(cluster,), daemon=True)
    beside.start()
    assert main(list(there)) == 0
    beside.join()
    assert read_manifest(tmp_path / "there").fingerprint == read_manifest(tmp_path / "here").fingerprint


def test_a_study_whose_cells_dask_runs_ends_with_the_same_comparison(
    cluster: Any, corridor: StudyRun, tmp_path: Path
) -> None:
    anew = ("classifiers", "evaluations", "comparison", "report")
    for place in corridor.artifacts:
        if place.parts[0] not in anew:
            shutil.copytree(corridor.out / place, tmp_path / "study" / place)
    engine = f"dask:{cluster.scheduler_address}"
    beside = threading.Thread(target=kill_a_worker_at_work, args=(cluster,), daemon=True)
    beside.start()
    run = run_study(corridor.study.path, tmp_path / "study", workers=2, engine=engine)
    beside.join()
    assert run.seconds[Path("classifiers/real-only")] is not None
    for place in ("classifiers/real-only", "comparison", "report"):
        assert run.artifacts[Path(place)].fingerprint == corridor.artifacts[Path(place)].fingerprint
