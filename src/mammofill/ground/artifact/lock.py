"""The lock of a folder in which an artifact is made, so that no two processes write there."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from mammofill.ground.artifact.layout import LOCK_NAME, MANIFEST_NAME, partial_of
from mammofill.ground.errors import ArtifactError, BusyError

_LOOK_SECONDS = 0.2
"""How long a stage waits for a lock: a process that only asks who holds it (`holder_of`) has it for a moment."""


@contextmanager
def held(out: Path) -> Iterator[Path]:
    """Hold the folder in which an artifact is made or arrives, so that no other process does the same.

    Yields:
        ``<out>.partial``, with what an earlier, stopped run left there.

    Raises:
        BusyError: another process holds it.
        ArtifactError: something that is no artifact exists at `out`.
    """
    if out.exists() and not (out / MANIFEST_NAME).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise ArtifactError(f"{out} exists and is not a mammofill artifact. Choose another --out, or move it away.")
    partial = partial_of(out)
    lock = _acquired(partial)
    if type(lock) is FileLock:  # it turns into another kind on disks without locks, which writes the same by itself
        with suppress(OSError):  # of a full disk: then nobody can be named
            (partial / LOCK_NAME).write_text(f"{os.getpid()}\n{socket.gethostname()}\n", encoding="utf-8")
    try:
        yield partial
    finally:
        lock.release()


def _acquired(partial: Path) -> BaseFileLock:
    """Make a folder and lock it.

    Another process that has finished the artifact may give the folder its final name between these two, or just after
    them: then it is made once more.
    """
    for is_last in (False, False, True):
        partial.mkdir(parents=True, exist_ok=True)
        lock = FileLock(partial / LOCK_NAME)
        try:
            lock.acquire(timeout=_LOOK_SECONDS)
        except Timeout:
            who = _named_in(lock)
            named = f": {who}" if who else ""
            raise BusyError(f"{partial} is being written by another process. Wait for it, or stop it{named}.") from None
        except FileNotFoundError:
            if is_last:
                raise
            continue
        if is_last or (partial / LOCK_NAME).is_file():
            break
        lock.release()
    return lock


def holder_of(partial: Path) -> str | None:
    """Return the process that is writing in a folder now, as ``process 123``; None where there is none."""
    if not (partial / LOCK_NAME).is_file():
        return None
    lock = FileLock(partial / LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return _named_in(lock) or "another process"
    except OSError:  # another user's, who alone may open it
        return None
    lock.release()
    return None


def _named_in(lock: BaseFileLock) -> str:
    """Return the process that wrote its number into a lock, and its machine where that is another; "" if none did."""
    try:
        number, machine = Path(lock.lock_file).read_text(encoding="utf-8").split("\n")[:2]
    except (OSError, ValueError):
        return ""
    if not number.isdecimal():
        return ""
    return f"process {number}" + ("" if machine in ("", socket.gethostname()) else f" on {machine}")


def forget_lock(out: Path) -> None:
    """Remove the lock that a process killed just after the rename left in a finished folder."""
    with suppress(OSError):
        (out / LOCK_NAME).unlink()
