"""Pulling: a pushed artifact becomes a folder again; each file is checked as it arrives, the folder appears whole."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mammofill.ground.artifact import (
    MANIFEST_NAME,
    SCRATCH_NAME,
    Artifact,
    Manifest,
    check_place,
    differences,
    discard,
    fingerprint_file,
    forget_lock,
    held,
    move_into_place,
    note_plan,
    open_any,
    read_manifest,
    verify,
    write_atomically,
)
from mammofill.ground.errors import ArtifactError
from mammofill.ground.file_names import inside, refuse_url
from mammofill.ground.progress import Progress, quiet
from mammofill.ground.stores.push import AT_ONCE
from mammofill.ground.stores.pushed import (
    Object,
    Pushed,
    check_all_are_there,
    check_arrived,
    manifest_at,
    not_pushed,
    pushed_at,
)
from mammofill.ground.stores.remote import Remote

_AT_A_TIME = 2**23
"""Bytes that are asked for at a time, and kept in memory for each file on its way."""


@dataclass(frozen=True)
class Pulled:
    """What a pull did."""

    artifact: Artifact
    files: int
    """Fetched by this pull; the others were there already."""
    bytes: int


def pull(url: str, out: str | Path, *, progress: Progress = quiet) -> Pulled:
    """Pull an artifact that was pushed.

    While files arrive, the folder is called ``<out>.partial``; stopped or killed, the same call goes on with what is
    missing, also within a file, and also from another URL at which the same artifact lies.

    Args:
        url: where it was pushed to.
        out: folder of the artifact here.
        progress: notified of each file.

    Raises:
        StoreError: nothing was pushed there; or the store is not there, or refuses.
        DamagedError: what lies there is not what was pushed; names the object.
        ArtifactError: something else exists at `out`, or no folder can be made there.
        PlanChangedError: ``<out>.partial`` was begun by another pull or by a stage.
        BusyError: another process works there.
        SettingsError: no library for the URL is installed.
    """
    out = Path(out)
    refuse_url(out, "What is pulled becomes a folder on this machine", pushed=True)
    check_place(out)
    remote = Remote(url)
    pushed = pushed_at(remote)
    if pushed is None:
        raise not_pushed(remote)
    manifest, text = manifest_at(remote, pushed)
    if (found := _finished(out, manifest)) is not None:
        return Pulled(found, 0, 0)
    check_all_are_there(remote, pushed)
    with held(out) as partial:
        if (found := _finished(out, manifest)) is not None:  # by another process, since we looked
            discard(partial)
            return Pulled(found, 0, 0)
        if (partial / MANIFEST_NAME).is_file():  # left by a pull that was killed just before the rename
            _check_is_the_same(partial, manifest)
        note_plan(partial, _plan(manifest, pushed))
        fetched = _fetch(remote, pushed, partial, progress)
        for leftover in partial.rglob("*.tmp"):  # left by a pull that was killed while writing plan or manifest
            leftover.unlink()
        write_atomically(partial / MANIFEST_NAME, text)
        move_into_place(partial, out)
    return Pulled(open_any(out), len(fetched), sum(one.bytes for one in fetched))


def _finished(out: Path, manifest: Manifest) -> Artifact | None:
    """Return the artifact that stands at its place, if it is there already."""
    if not (out / MANIFEST_NAME).is_file():
        return None
    _check_is_the_same(out, manifest)
    artifact = open_any(out)
    verify(artifact)
    forget_lock(out)
    return artifact


def _check_is_the_same(folder: Path, manifest: Manifest) -> None:
    found = differences(read_manifest(folder), manifest)
    if found:
        lines = "\n".join(f"  {name}: here {here!r}, there {there!r}" for name, here, there in found)
        raise ArtifactError(f"{folder} is another artifact than the one that was pushed:\n{lines}\nTake another --out.")


def _plan(manifest: Manifest, pushed: Pushed) -> dict[str, Any]:
    """Return what the folder is to become, as `begin` writes it down for stages: the same from any URL."""
    return {
        "kind": manifest.kind,
        "stage": "pull",
        "format_version": manifest.format_version,
        "settings": {"fingerprint": pushed.fingerprint, MANIFEST_NAME: pushed.manifest.sha256},
        "execution": {},
        "seed": 0,
        "device": None,
        "inputs": [],
    }


def _fetch(remote: Remote, pushed: Pushed, partial: Path, progress: Progress) -> list[Object]:
    """Fetch what is missing, several files at a time; return what was."""
    scratch = partial / SCRATCH_NAME
    scratch.mkdir(exist_ok=True)
    stopped = threading.Event()

    def bring(numbered: tuple[int, tuple[str, Object]]) -> Object | None:
        number, (name, one) = numbered
        place = inside(partial, name)
        if place.is_file() and place.stat().st_size == one.bytes and fingerprint_file(place) == one.sha256:
            return None
        beside = scratch / str(number)
        _download(remote, one, beside, stopped.is_set)
        place.parent.mkdir(parents=True, exist_ok=True)
        beside.replace(place)
        return one

    fetched = []
    with progress.task("pull", len(pushed.files)) as task, ThreadPoolExecutor(AT_ONCE) as threads:
        try:
            for one in threads.map(bring, enumerate(pushed.files.items())):
                fetched += [] if one is None else [one]
                task.advance()
        except BaseException:
            stopped.set()  # else Ctrl-C would wait for whole files
            raise
    return fetched


def _download(remote: Remote, one: Object, place: Path, stopped: Callable[[], bool]) -> None:
    """Fetch one object, or the rest of one that an earlier pull began, and see that it is the one that was pushed."""
    begun = place.is_file()
    size, sha256 = _append(remote, one, place, stopped)
    if begun and (size, sha256) != (one.bytes, one.sha256):
        place.unlink()  # a machine that crashed may leave anything there, which is no damage in the store
        size, sha256 = _append(remote, one, place, stopped)
    check_arrived(remote, one, size, sha256)


def _append(remote: Remote, one: Object, place: Path, stopped: Callable[[], bool]) -> tuple[int, str]:
    """Fetch what a file lacks, at most a byte more than it should have; return its size and SHA-256."""
    sha256 = hashlib.sha256()
    with place.open("a+b") as file:
        file.seek(0)
        while part := file.read(_AT_A_TIME):
            sha256.update(part)
        size = file.tell()
        while size < one.bytes:
            if stopped():
                raise CancelledError
            part = remote.read(one.name, size, min(size + _AT_A_TIME, one.bytes + 1))
            if not part:
                break
            file.write(part)
            sha256.update(part)
            size += len(part)
        file.flush()
        os.fsync(file.fileno())
    return size, sha256.hexdigest()
