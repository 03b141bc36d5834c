"""A small study whose stages are run again and again under bad conditions, each time in a process of its own.

Each `Job` is one stage, or the whole study. `attempt` does it in a process that is forked off and in which something
may be arranged beforehand: a signal or an error at its n-th file operation, a limit. Then `check_whole` looks at what
is there.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import torch

from mammofill.cli.failures import explained
from mammofill.experiment.run import open_inputs, run_study
from mammofill.experiment.study import Study, read_study
from mammofill.ground.artifact import MANIFEST_NAME, Artifact, check_content, read_manifest
from mammofill.ground.progress import quiet
from mammofill.ground.stopping import sigterm_interrupts

SECONDS = 900.0
"""A process that takes longer hangs; the slowest job takes some seconds on a machine with nothing else to do."""

STUDY = """
name = "campaign"
seed = 3

[phantom]
patients = 30
height_px = 256
width_px = 160

[ingest]
height_px = 192

[extract-patches]
size_px = 32
stride_px = 16
mammograms_per_shard = 12

[train-infiller]
preset = "copy-paste"
hole = { rule = "mask", share = 0.0, plus_px = 0.0 }

[synthesize]
ratio = 0.5
patches_per_shard = 16

[train-classifier]
network = "shallow-cnn"
weights = "none"
input_px = 32
epochs = 2
learning_rate = 1e-3
checkpoint_every_images = 16

[[arms]]
name = "real only"

[[arms]]
name = "pasted"
synthetic = true

[grid]
real_shares = [0.5, 1]

[evaluate]
resamples = 100
heat_maps = 0

[compare-arms]
resamples = 100
curve_resamples = 100

[judge-infiller]
resamples = 100
cases = 8
seed_cases = 2
seeds_per_case = 2
train_on_fills.images = 16
folds = 3
trees = 5
sheet_cases = 2
"""


@dataclass(frozen=True)
class Job:
    """Something that makes one artifact, or with `whole` a folder of them."""

    name: str
    make: Callable[[Path], object]
    whole: bool = False
    cluster: bool = False
    """Its workers are no children of its process, but of Dask or submitit."""


@dataclass(frozen=True)
class Ended:
    """How an attempt ended."""

    code: int
    """Exit code; of a signal, minus its number."""
    said: str
    """The message that the command line would print."""
    operations: int
    """File operations of the process; 0 if it was killed."""


Arrange = Callable[[Path], object]
"""Prepares the process for an attempt, given the place where its job writes."""


def nothing(_: Path) -> None:
    """Leave everything as it is."""


# ---- jobs -----------------------------------------------------------------------------------------------------------


def make_jobs(folder: Path) -> list[Job]:
    """Run the small study once, in a process of its own, and return its stages and itself as jobs."""
    torch.set_num_threads(1)  # and none of this process's own, so that it can be forked
    cv2.setNumThreads(1)
    path, made = folder / "study.toml", folder / "sound"
    path.write_text(STUDY, encoding="utf-8")
    ended = attempt(Job("run", lambda out: run_study(path, out), whole=True), made)
    assert ended.code == 0, ended.said
    study = read_study(path)
    first = {step.stage.name: step for step in reversed(study.steps)}
    jobs = [Job(name, _stage(study, made, name)) for name in first if name != "phantom"]
    jobs += [Job(f"train-infiller ({name})", _infiller(made, name)) for name in ("demo", "flow-small")]
    jobs.append(Job("ingest, 2 workers", _stage(study, made, "ingest", workers=2)))
    for engine in ("dask", "submitit-local"):
        jobs.append(Job(f"ingest, {engine}", _stage(study, made, "ingest", workers=2, engine=engine), cluster=True))
    jobs.append(Job("run", lambda out: run_study(path, out), whole=True))
    jobs.append(Job("run, 2 workers", lambda out: run_study(path, out, workers=2), whole=True))
    return jobs


def _stage(study: Study, made: Path, name: str, **changes: Any) -> Callable[[Path], Artifact]:
    from dataclasses import replace

    step = next(step for step in study.steps if step.stage.name == name)

    def make(out: Path) -> Artifact:
        settings = replace(step.settings, **changes)
        return step.stage(open_inputs(step, made), out, settings, seed=step.seed, progress=quiet, device="cpu")

    return make


def _infiller(made: Path, name: str) -> Callable[[Path], Artifact]:
    from dataclasses import replace

    from mammofill.infilling import preset, train_infiller
    from mammofill.infilling.flow.settings import FlowScheduleSettings, FlowSettings, VelocityNetworkSettings
    from mammofill.infilling.gan.settings import DiscriminatorSettings, GanSettings, GeneratorSettings
    from mammofill.pairing import Pairs
    from mammofill.patches import PatchSet

    settings = preset(name)
    often = {"checkpoint_every_images": 16, "history_every_images": 16, "preview_every_images": 32, "previews": 2}
    hole = replace(settings.hole, rule="mask", share=0.0, plus_px=0.0)
    if isinstance(settings, FlowSettings):
        network = VelocityNetworkSettings(widths=(8, 8), blocks=(1, 1), heads=2, embedding=16)
        schedule = FlowScheduleSettings(images=48, batch=8, warmup_images=8, ema_half_life_images=8)
        engine = replace(settings.engine, precision="float32")
        sampling = replace(settings.sampling, steps=4)
        small: Any = replace(
            settings, network=network, schedule=schedule, engine=engine, sampling=sampling, hole=hole, **often
        )
    else:
        assert isinstance(settings, GanSettings)
        schedule_of_gan = replace(settings.schedule, pretrain_epochs=1, adversarial_epochs=1, batch=8)
        small = replace(
            settings,
            generator=GeneratorSettings(widths=(8, 8, 8, 8)),
            discriminator=DiscriminatorSettings(widths=(4, 8)),
            schedule=schedule_of_gan,
            hole=hole,
            **often,
        )

    def make(out: Path) -> Artifact:
        return train_infiller(PatchSet.open(made / "patches"), Pairs.open(made / "pairs"), out, small, seed=1)

    return make


# ---- attempts -------------------------------------------------------------------------------------------------------


def attempt(job: Job, out: Path, arrange: Arrange = nothing) -> Ended:
    """Do a job in a forked process, and wait for it and for all that it has begun."""
    (process,) = begin([job], out, [arrange])
    return process()


def begin(jobs: Sequence[Job], out: Path, arranged: Sequence[Arrange]) -> list[Callable[[], Ended]]:
    """Begin jobs in forked processes; return what waits for each."""
    return [_begin(job, out, arrange, number) for number, (job, arrange) in enumerate(zip(jobs, arranged, strict=True))]


def _begin(job: Job, out: Path, arrange: Arrange, number: int) -> Callable[[], Ended]:
    told = Path(tempfile.gettempdir(), f"mammofill-told-{os.getpid()}-{number}")  # not on a disk that is full
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if not process:
        _work(job, out, arrange, told)  # never returns
    return lambda: _ended(process, told)


def _work(job: Job, out: Path, arrange: Arrange, told: Path) -> None:
    os.setpgid(0, 0)
    code, said = 1, ""
    counter = Operations(out)
    try:
        with sigterm_interrupts(), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            arrange(out)
            job.make(out)
        code = 0
    except BaseException as error:  # noqa: BLE001  (what the command line would make of it)
        said, code = explained(error)
    finally:
        counter.over = True
        Operations.hooks.clear()
        with contextlib.suppress(OSError):
            told.write_text(json.dumps([code, said, counter.count]))
        os._exit(code)


def _ended(process: int, told: Path) -> Ended:
    until = time.monotonic() + SECONDS
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            break
        if time.monotonic() > until:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise AssertionError(f"it hung for {SECONDS:g} s")
        time.sleep(0.01)
    _wait_for_the_rest(process)
    code = os.waitstatus_to_exitcode(status)
    if told.is_file():
        _, said, operations = json.loads(told.read_text())
        told.unlink()
        return Ended(code, said, operations)
    return Ended(code, "", 0)


def _wait_for_the_rest(group: int) -> None:
    """Wait for the workers of a process that is gone."""
    until = time.monotonic() + 60
    while _alive(group):
        if time.monotonic() > until:
            os.killpg(group, signal.SIGKILL)
            raise AssertionError("its workers outlived it")
        time.sleep(0.02)


def _alive(group: int) -> bool:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError, IndexError):
                state, _, leader = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(leader) == group and state not in "ZX":
                    return True
    return False


class Operations:
    """Counts what a process does to files in a folder, and lets something happen at one of these operations.

    Python tells of each before it is done: `sys.addaudithook`. What libraries written in C open by themselves it does
    not see.
    """

    hooks: ClassVar[list[Callable[[int], None]]] = []
    """Called with the number of each operation, from 1."""

    def __init__(self, out: Path) -> None:
        self.count, self.over, self._places = 0, False, (str(out), str(out.with_name(out.name + ".partial")))
        sys.addaudithook(self._hook)

    def _hook(self, event: str, given: tuple[Any, ...]) -> None:
        if self.over or event not in _CHANGES or not given:
            return
        if not str(given[0]).startswith(self._places) or (event == "open" and not _writes(given)):
            return
        self.count += 1
        for hook in self.hooks:
            hook(self.count)


_CHANGES = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree"}


def _writes(given: tuple[Any, ...]) -> bool:
    mode, flags = given[1], given[2]
    return bool(mode and set(str(mode)) & set("wax+")) or bool(flags & (os.O_WRONLY | os.O_RDWR))


def at_operation(number: int, happens: Callable[[], None]) -> Arrange:
    """Return what makes something happen at the n-th file operation of a process (or of one of its workers)."""

    def arrange(_: Path) -> None:
        Operations.hooks.append(lambda count: happens() if count == number else None)

    return arrange


# ---- what must be there ---------------------------------------------------------------------------------------------


def fingerprints(out: Path) -> dict[str, str]:
    """Return the fingerprint of each artifact at or under a place, and see that its content is what it says."""
    found = {}
    for path in [out, *sorted(out.rglob("*"))]:
        if (path / MANIFEST_NAME).is_file():
            manifest = read_manifest(path)
            check_content(Artifact(path, manifest))
            found[path.relative_to(out).as_posix()] = manifest.fingerprint
    return found


def leftovers(out: Path, job: Job) -> list[str]:
    """Return what lies at and beside an artifact and does not belong there."""
    beside = [path.name for path in out.parent.iterdir() if path.name.startswith(out.name) and path != out]
    inside = [
        path.relative_to(out).as_posix()
        for path in out.rglob("*")
        if path.name in (".lock", "plan.json", "checkpoint.pt", ".scratch")
        or path.suffix == ".tmp"
        or path.name.endswith(".partial")
    ]
    if not job.whole:
        known = {*read_manifest(out).files, MANIFEST_NAME}
        files = (path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
        inside += [name for name in files if name not in known]
    return beside + inside


def check_whole(job: Job, out: Path, sound: dict[str, str]) -> None:
    """Refuse anything but what an undisturbed run makes."""
    found = fingerprints(out)
    assert found == sound, f"other fingerprints: {sorted(set(found.items()) ^ set(sound.items()))}"
    left = leftovers(out, job)
    assert not left, f"left behind: {left}"
