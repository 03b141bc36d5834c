"""Killed at any moment and started again, ingest and extraction end with the artifact of the uninterrupted run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mammofill.experiment.listing import listing
from mammofill.ground.artifact import read_manifest
from mammofill.ground.errors import BusyError
from mammofill.mammograms import IngestSettings, MammogramSet, ingest
from mammofill.patches import ExtractPatchesSettings, PatchSet, extract_patches
from mammofill.phantom import PhantomSettings, write_phantoms

KILLS = 6
INGEST = IngestSettings(height_px=512)
EXTRACT = ExtractPatchesSettings(size_px=64, stride_px=32, mammograms_per_shard=3)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = PhantomSettings(patients=14, height_px=800, width_px=480)
    return write_phantoms(tmp_path_factory.mktemp("films") / "films", settings, seed=4).folder


@pytest.fixture(scope="module")
def mammograms(films: Path) -> MammogramSet:
    return ingest(films, films.parent / "mammograms", INGEST)


@pytest.fixture(scope="module")
def patches(mammograms: MammogramSet) -> PatchSet:
    return extract_patches(mammograms, mammograms.folder.parent / "patches", EXTRACT)


def begin(*command: str | Path) -> subprocess.Popen[bytes]:
    started = [sys.executable, "-m", "mammofill", *map(str, command), "--quiet"]
    return subprocess.Popen(started, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def kill_again_and_again(out: Path, whole: Path, seed: int, *command: str | Path) -> int:
    """Start a command again and again, kill it at random moments of its work, and let it finish in the end.

    Moments are told by the files that it has made, of which the finished artifact `whole` says how many there are: by
    the clock, a fast machine would be done before it is killed. Half of the times only the process itself is killed,
    as the system does that is out of memory, and not its workers.
    """
    random = np.random.default_rng(seed)
    partial = out.with_name(f"{out.name}.partial")
    most_between = count_files(whole) // KILLS
    killed = 0
    for number in range(KILLS):
        awaited = count_files(partial) + random.integers(0, most_between)
        process = begin(*command)
        while process.poll() is None and not (partial.is_dir() and count_files(partial) >= awaited):
            time.sleep(0.002)
        time.sleep(random.uniform(0.0, 0.02))
        if process.poll() is None:
            if number % 2:
                os.kill(process.pid, signal.SIGKILL)
            else:
                os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.communicate()
        if out.is_dir():
            break
    process = begin(*command)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said.decode()
    return killed


def count_files(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_ingest_goes_on_to_the_same_set(
    films: Path, mammograms: MammogramSet, seed: int, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    flags = ("--height-px", "512", "--workers", "2")
    killed = kill_again_and_again(out, mammograms.folder, seed, "ingest", "cbis-ddsm", films, "--out", out, *flags)
    assert killed
    assert read_manifest(out).fingerprint == mammograms.fingerprint


@pytest.mark.parametrize("seed", [3, 4])
def test_a_killed_extraction_goes_on_to_the_same_patches(
    mammograms: MammogramSet, patches: PatchSet, seed: int, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    flags = ("--size-px", "64", "--stride-px", "32", "--mammograms-per-shard", "3", "--workers", "2")
    killed = kill_again_and_again(out, patches.folder, seed, "extract-patches", mammograms.folder, "--out", out, *flags)
    assert killed
    assert read_manifest(out).fingerprint == patches.fingerprint


def test_a_second_process_on_the_same_folder_is_told(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = begin("ingest", "cbis-ddsm", films, "--out", out, "--height-px", "512")
    try:
        while not (tmp_path / "out.partial" / "plan.json").is_file():
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGSTOP)  # in the middle of its work, for as long as this takes
        told = f"out.partial is being written by another process. Wait for it, or stop it: process {process.pid}."
        with pytest.raises(BusyError, match=re.escape(told)):
            ingest(films, out, INGEST)
        assert f"begun by ingest: being written by process {process.pid}" in listing(tmp_path)
    finally:
        os.kill(process.pid, signal.SIGCONT)
        said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 0, said
    assert MammogramSet.open(out).manifest.counts["mammograms"] == 28


@pytest.mark.parametrize(("engine", "library"), [("submitit-local", "submitit"), ("dask", "distributed")])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_other_engines_make_the_same_artifacts(
    films: Path, mammograms: MammogramSet, patches: PatchSet, engine: str, library: str, tmp_path: Path
) -> None:
    pytest.importorskip(library)
    flags = ("--workers", "2", "--engine", engine)
    sets = tmp_path / "mammograms"
    process = begin("ingest", "cbis-ddsm", films, "--out", sets, "--height-px", "512", *flags)
    said = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 0, said
    assert read_manifest(sets).fingerprint == mammograms.fingerprint
    cut = tmp_path / "patches"
    sizes = ("--size-px", "64", "--stride-px", "32", "--mammograms-per-shard", "3")
    process = begin("extract-patches", sets, "--out", cut, *sizes, *flags)
    said = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 0, said
    assert read_manifest(cut).fingerprint == patches.fingerprint
    assert not list(tmp_path.rglob("*submitit*"))
