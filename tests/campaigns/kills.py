"""Kills at random file operations of every stage, of a whole study and of its workers: nothing may be lost or left.

    python tests/campaigns/kills.py --seed 0 --count 1000 --minutes 120

Each round takes one job of a small study, ends its process by SIGKILL or SIGTERM at one of its file operations (a third
of the rounds at one of the last, where the artifact is finished and gets its name), does so again now and then, and
gives the same command without a kill in the end. It must make the artifact of an undisturbed run, leave nothing behind,
and want nobody to remove a lock. SIGTERM must end with 143 and the words that say how to go on.

Ends with 1 and says which seed and number it was if one of them did anything else.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np
from at_work import Job, at_operation, attempt, check_whole, fingerprints, make_jobs
from command import run_campaign

_AT_THE_END = 8
"""File operations between the last byte of the payload and the artifact's name, roughly."""


def campaign(seed: int, count: int, minutes: float, wanted: str = "") -> tuple[Counter[str], list[str]]:
    """Kill `count` times; return how often each job was killed by what, and what must not have happened."""
    became: Counter[str] = Counter()
    faults: list[str] = []
    until = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory(prefix="mammofill-kills-") as place:
        jobs = [job for job in make_jobs(Path(place)) if wanted in job.name]
        sound: dict[str, tuple[dict[str, str], int]] = {}
        number = 0
        while became.total() < count and time.monotonic() < until and len(faults) < 10:
            random = np.random.default_rng([seed, number])
            job = jobs[int(random.choice(len(jobs), p=_chances(jobs)))]
            if job.name not in sound:
                sound[job.name] = undisturbed(job, Path(place))
            try:
                for what in kill(job, Path(place, "out"), *sound[job.name], random):
                    became[f"{job.name}: {what}"] += 1
            except Exception:  # noqa: BLE001  (that there is one is what is looked for)
                faults.append(f"seed {seed}, number {number}, {job.name}\n{traceback.format_exc()}")
                print(faults[-1], file=sys.stderr)
                _clear(Path(place))
            number += 1
            print(f"{became.total():,} of {count:,}, {len(faults)} faults", file=sys.stderr, flush=True)
    return became, faults


def _chances(jobs: list[Job]) -> np.ndarray:
    """Return how often each job is taken: a whole study costs as all stages together, a cluster more."""
    weights = np.array([0.5 if job.whole else 0.25 if job.cluster else 1.0 for job in jobs])
    return weights / weights.sum()


def undisturbed(job: Job, place: Path) -> tuple[dict[str, str], int]:
    """Return the fingerprints that a job makes, and the number of its file operations."""
    out = place / "undisturbed"
    ended = attempt(job, out)
    assert ended.code == 0, f"{job.name}: {ended.said}"
    found = fingerprints(out)
    check_whole(job, out, found)
    shutil.rmtree(out)
    return found, ended.operations


def kill(job: Job, out: Path, sound: dict[str, str], operations: int, random: np.random.Generator) -> list[str]:
    """Kill a job once or more, let it end, and look at what is there; return by what it was killed."""
    by = []
    while True:
        number = signal.SIGKILL if random.uniform() < 0.6 else signal.SIGTERM
        late = random.uniform() < 1 / 3
        at = int(random.integers(max(1, operations - _AT_THE_END) if late else 1, operations + 1))
        ended = attempt(job, out, at_operation(at, lambda number=number: os.kill(os.getpid(), number)))
        if ended.code == 0:
            break  # what it had to do was done before that operation, or a worker died and was replaced
        if number == signal.SIGTERM:
            assert (ended.code, ended.said) == (143, "stopped; run the same command again to go on"), ended
        elif "died twice" not in ended.said:  # a worker and the one that was to replace it, at the same operation
            assert ended.code == -signal.SIGKILL, ended
        by.append(f"{number.name}{', at the end' if late else ''}")
        if random.uniform() < 0.7:
            break
    ended = attempt(job, out)
    assert ended.code == 0, f"killed by {by}, the same command again says: {ended.said}"
    check_whole(job, out, sound)
    shutil.rmtree(out)
    return by or ["a worker, or nothing"]


def _clear(place: Path) -> None:
    for path in place.glob("out*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    sys.exit(run_campaign(campaign, __doc__.splitlines()[0], 1000, 120.0, "job"))
