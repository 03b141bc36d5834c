"""A machine that refuses: disk full, output that cannot be written, two processes at once, few files, little memory.

    python tests/campaigns/disk_full.py --seed 0 --count 200 --minutes 60

Each round takes one job of a small study and one trouble. The job must end well, or be refused with a message and the
exit code that stands for it; then the trouble is over, the same command is given again, and must make the artifact of
an undisturbed run and leave nothing behind.

Disks are filled in two ways: an error at a random file operation, and, where this process may mount one, a small disk
in memory (tmpfs), which also fills up in the midst of a file that a library in C writes.

Ends with 1 and says which seed and number it was if one of them did anything else.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from at_work import Ended, Job, at_operation, attempt, begin, check_whole, make_jobs, nothing
from command import run_campaign
from kills import undisturbed

Random = np.random.Generator
Sound = tuple[dict[str, str], int]

REFUSED, BUSY = 8, 4


def refuse(number: int) -> Callable[[], None]:
    def happens() -> None:
        raise OSError(number, os.strerror(number))

    return happens


# ---- troubles -------------------------------------------------------------------------------------------------------


def disk_full(job: Job, out: Path, sound: Sound, random: Random) -> str:
    """Fail a file operation as a full disk does."""
    ended = attempt(job, out, at_operation(_some(sound, random), refuse(errno.ENOSPC)))
    return _refused(ended, "the disk is full")


def read_only(job: Job, out: Path, sound: Sound, random: Random) -> str:
    """Fail each file operation, from the first on, as in a place where nothing may be written."""
    number = [errno.EROFS, errno.EACCES][int(random.integers(2))]

    def arrange(place: Path) -> None:
        for operation in range(1, 400):
            at_operation(operation, refuse(number))(place)

    return _refused(attempt(job, out, arrange), f"the system refused ({os.strerror(number)}")


def two_at_once(job: Job, out: Path, sound: Sound, random: Random) -> str:
    """Begin the same command twice; who comes second waits for nobody, and breaks nothing."""
    ended = [wait() for wait in begin([job, job], out, [nothing, nothing])]
    codes = sorted(one.code for one in ended)
    assert codes in ([0, 0], [0, BUSY]), ended
    if BUSY in codes:
        busy = next(one for one in ended if one.code == BUSY)
        assert "is being written by another process. Wait for it, or stop it" in busy.said, busy
    return "both ended well" if codes == [0, 0] else "one was told of the other"


def few_files(job: Job, out: Path, sound: Sound, random: Random) -> str:
    """Let the process open a few files only."""
    most = len(os.listdir("/proc/self/fd")) + int(random.integers(2, 12))
    ended = attempt(job, out, lambda _: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)))
    return _refused(ended, "Too many open files")


def little_memory(job: Job, out: Path, sound: Sound, random: Random) -> str:
    """Let the process take little more address space than it was born with."""

    def arrange(_: Path) -> None:
        born_with = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        most = born_with + int(random.integers(1, 120)) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    ended = attempt(job, out, arrange)
    # Too little to begin a thread or to load a library: what is said then is the library's.
    return "ended well" if ended.code == 0 else f"refused with {ended.code}"


def small_disk(job: Job, out: Path, sound: Sound, random: Random) -> str:
    """Work on a disk in memory that is too small; then it is made larger."""
    kilobytes = int(random.integers(8, 600))
    out.parent.mkdir(exist_ok=True)
    _mount(out.parent, kilobytes)
    said = _refused(attempt(job, out), "the disk is full")
    subprocess.run(["mount", "-o", "remount,size=512m", out.parent], check=True)
    return said


def _mount(place: Path, kilobytes: int) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", place], check=True)


def may_mount(place: Path) -> bool:
    """Say whether this process may mount a disk."""
    place.mkdir()
    try:
        _mount(place, 64)
        subprocess.run(["umount", place], check=True)
    except (subprocess.CalledProcessError, OSError):
        return False
    return True


def _some(sound: Sound, random: Random) -> int:
    return int(random.integers(1, sound[1] + 1))


def _refused(ended: Ended, words: str) -> str:
    if ended.code == 0:
        return "ended well"
    assert ended.code == REFUSED, ended
    assert words in ended.said, ended
    return f"refused: {words}"


# ---- the campaign ---------------------------------------------------------------------------------------------------

TROUBLES = {one.__name__: one for one in (disk_full, small_disk, read_only, two_at_once, few_files, little_memory)}


def campaign(seed: int, count: int, minutes: float, wanted: str = "") -> tuple[Counter[str], list[str]]:
    """Make trouble `count` times; return what became of it, and what must not have happened."""
    became: Counter[str] = Counter()
    faults: list[str] = []
    until = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory(prefix="mammofill-refused-") as folder:
        place = Path(folder)
        jobs = [job for job in make_jobs(place) if not job.whole or job.name == "run"]
        troubles = {name: one for name, one in TROUBLES.items() if wanted in name}
        if "small_disk" in troubles and not may_mount(place / "disk"):
            print("this process may not mount a disk: small_disk is left out", file=sys.stderr)
            del troubles["small_disk"]
        sound: dict[str, Sound] = {}
        number = 0
        while number < count and time.monotonic() < until and len(faults) < 10:
            random = np.random.default_rng([seed, number])
            name = sorted(troubles)[number % len(troubles)]
            # Two processes on one study's folder stop at different stages: that is tried stage by stage.
            fit = [job for job in jobs if not (job.whole and name == "two_at_once")]
            job = fit[int(random.integers(len(fit)))]
            if job.name not in sound:
                sound[job.name] = undisturbed(job, place)
            out = place / "disk" / "out" if name == "small_disk" else place / "out"
            try:
                became[f"{name}: {troubles[name](job, out, sound[job.name], random)}"] += 1
                ended = attempt(job, out)
                assert ended.code == 0, f"after {name} the same command again says: {ended.said}"
                check_whole(job, out, sound[job.name][0])
            except Exception:  # noqa: BLE001  (that there is one is what is looked for)
                faults.append(f"seed {seed}, number {number}, {name}, {job.name}\n{traceback.format_exc()}")
                print(faults[-1], file=sys.stderr)
            _clear(out)
            number += 1
            print(f"{number:,} of {count:,}, {len(faults)} faults", file=sys.stderr, flush=True)
    return became, faults


def _clear(out: Path) -> None:
    if out.parent.is_mount():
        subprocess.run(["umount", out.parent], check=True)
    for path in out.parent.glob("out*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    sys.exit(run_campaign(campaign, __doc__.splitlines()[0], 200, 60.0, "trouble"))
