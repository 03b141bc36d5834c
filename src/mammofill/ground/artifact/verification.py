"""Whether the files of an artifact are those that were finished."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from mammofill.ground.artifact.fingerprint import fingerprint_file, fingerprint_folder, fingerprint_from
from mammofill.ground.artifact.finished import Artifact
from mammofill.ground.artifact.layout import MANIFEST_NAME
from mammofill.ground.artifact.manifest import Manifest, check_files
from mammofill.ground.errors import DamagedError

NO_VERIFY = "MAMMOFILL_NO_VERIFY"
"""Environment variable that leaves the check of inputs out, here and in all processes that work for this one."""


def verify(artifact: Artifact, files: Collection[str] | None = None) -> None:
    """Check that the files of an artifact are those that were finished, before a stage reads them.

    Every file is read and its SHA-256 compared, once: that it was right is remembered in the user's cache (a mark per
    artifact, under ``$XDG_CACHE_HOME/mammofill``), together with size, times and number of each file, so that the next
    stage on this machine only looks at those. With ``MAMMOFILL_NO_VERIFY`` in the environment, as ``--no-verify`` sets
    it, nothing is checked.

    Args:
        artifact: what is read.
        files: paths, in its folder, of those that are read; None for all. Of what lies behind an input a table is
            often all that is read, and thousands of pictures are not.

    Raises:
        DamagedError: names the file that was changed, or is missing.
    """
    if not verifies():
        return
    manifest = artifact.manifest
    names = sorted(manifest.files if files is None else manifest.files.keys() & set(files))
    older = bool(manifest.files) and not manifest.hashes  # then one fingerprint of all files is all there is
    if not older and not _agrees_with_itself(manifest):
        raise DamagedError(
            f"{artifact.folder / MANIFEST_NAME} was changed after it was finished: the files, hashes and fingerprint "
            f"in it contradict each other. Make {artifact.folder} again."
        )
    mark = mark_of(artifact.folder, manifest, names)
    if mark is not None and os.path.isfile(mark):  # which is False, too, where nobody may look
        return
    check_files(artifact.folder, manifest, names)
    if older:
        check_content(artifact)
        names = []
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


def mark_of(folder: Path, manifest: Manifest, names: Sequence[str]) -> Path | None:
    """Return the marker whose existence means that some files of a payload, unchanged since, were right.

    None where a file is missing, or where this user has no folder for the marker.
    """
    facts = []
    for name in names:
        try:
            about = (folder / name).stat()
        except OSError:
            return None
        facts.append([name, about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino, about.st_dev])
    facts_of_files = json.dumps([manifest.fingerprint, sorted(manifest.hashes.items()), facts])
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(cache, "mammofill", "verified", hashlib.sha256(facts_of_files.encode()).hexdigest())


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
