"""Whether the files of an artifact are those that were finished."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from mammofill.ground.artifact.fingerprint import fingerprint_file, fingerprint_folder, fingerprint_from
from mammofill.ground.artifact.finished import Artifact
from mammofill.ground.artifact.layout import MANIFEST_NAME
from mammofill.ground.artifact.manifest import Manifest
from mammofill.ground.errors import DamagedError

NO_VERIFY = "MAMMOFILL_NO_VERIFY"
"""Environment variable that leaves the check of inputs out, here and in all processes that work for this one."""


def verify(artifact: Artifact) -> None:
    """Check that the files of an artifact are those that were finished, before a stage reads them.

    Every file is read and its SHA-256 compared, once: that it was right is remembered in the user's cache (a mark per
    artifact, under ``$XDG_CACHE_HOME/mammofill``), together with size, times and number of each file, so that the next
    stage on this machine only looks at those. With ``MAMMOFILL_NO_VERIFY`` in the environment, as ``--no-verify`` sets
    it, nothing is checked.

    Raises:
        DamagedError: names the file that was changed.
    """
    if not verifies():
        return
    manifest = artifact.manifest
    names = sorted(manifest.hashes)
    if names and not _agrees_with_itself(manifest):
        raise DamagedError(
            f"{artifact.folder / MANIFEST_NAME} was changed after it was finished: the files, hashes and fingerprint "
            f"in it contradict each other. Make {artifact.folder} again."
        )
    mark = mark_of(artifact.folder, manifest)
    if mark is not None and mark.is_file():
        return
    if not names and manifest.files:
        check_content(artifact)
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(fingerprint_file, (artifact.folder / name for name in names))
        for name, content in zip(names, found, strict=True):
            if content != manifest.hashes[name]:
                raise DamagedError(
                    f"{artifact.folder / name} was changed after it was finished: its SHA-256 was "
                    f"{manifest.hashes[name][:12]}, and is {content[:12]}. Make {artifact.folder} again."
                )
    leave_mark(mark)


def _agrees_with_itself(manifest: Manifest) -> bool:
    in_order = sorted(manifest.hashes, key=lambda name: Path(name).parts)
    return manifest.hashes.keys() == manifest.files.keys() and manifest.fingerprint == fingerprint_from(
        {name: manifest.hashes[name] for name in in_order}
    )


def verifies() -> bool:
    """Say whether stages check what they read."""
    return not os.environ.get(NO_VERIFY)


def mark_of(folder: Path, manifest: Manifest) -> Path | None:
    """Return the file whose being there says that the payload, as it lies there now, was right."""
    facts = []
    for name in sorted(manifest.files):
        try:
            about = (folder / name).stat()
        except OSError:
            return None
        facts.append([name, about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino, about.st_dev])
    told = json.dumps([manifest.fingerprint, sorted(manifest.hashes.items()), facts])
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "mammofill", "verified", hashlib.sha256(told.encode()).hexdigest())


def leave_mark(mark: Path | None) -> None:
    """Remember on this machine that a payload was right, where there is room to."""
    if mark is not None:
        with suppress(OSError):  # no home, or no room there: then the next stage reads the files once more
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()


def check_content(artifact: Artifact) -> None:
    """Read all payload files again and compare with the fingerprint.

    Raises:
        DamagedError: the content is not what was finished.
    """
    found, _, _ = fingerprint_folder(artifact.folder)
    if found != artifact.fingerprint:
        raise DamagedError(
            f"{artifact.folder} was changed after it was finished: its fingerprint was {artifact.fingerprint[:12]}, "
            f"its content now gives {found[:12]}. Make it again."
        )
