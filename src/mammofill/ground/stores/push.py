"""Pushing: a finished artifact goes to a store, each content once; content that is already there is not sent again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mammofill.ground.artifact import (
    MANIFEST_NAME,
    Artifact,
    check_content,
    differences,
    fingerprint_file,
    fingerprint_of,
    open_any,
    verify,
)
from mammofill.ground.errors import ArtifactError
from mammofill.ground.progress import Progress, quiet
from mammofill.ground.stores.pushed import (
    OBJECTS,
    PUSHED_NAME,
    Object,
    Pushed,
    check_all_are_there,
    manifest_at,
    pushed_at,
)
from mammofill.ground.stores.remote import Remote

AT_ONCE = 8
"""Files on their way at a time: a store answers each after tens of milliseconds, and many at once."""


@dataclass(frozen=True)
class Sent:
    """What a push did."""

    url: str
    pushed: Pushed
    objects: int
    """Sent by this push; the others were there already."""
    bytes: int


def push(folder: str | Path, url: str, *, progress: Progress = quiet) -> Sent:
    """Push a finished artifact to a URL of its own.

    Stopped or killed, the same call goes on: an object that is there with its size is not sent again. Several may push
    the same artifact at once.

    Args:
        folder: the artifact's folder, of whatever kind.
        url: where it is to lie, for example ``s3://bucket/study/patches``; the bucket must be there.
        progress: notified of each object.

    Raises:
        ArtifactError: the folder is no finished artifact, or another one was pushed to the URL.
        DamagedError: a file is not what was finished.
        StoreError: the store is not there, or refuses.
        SettingsError: no library for the URL is installed.
    """
    artifact = open_any(folder)
    verify(artifact)
    remote = Remote(url)
    there = pushed_at(remote)
    pushed = _to_be_pushed(artifact)
    if there is not None and there != pushed:
        _check_is_the_same(artifact, remote, there)
        pushed = there
    missing = _missing(artifact, remote, pushed)
    with progress.task("push", len(missing)) as task, ThreadPoolExecutor(AT_ONCE) as threads:
        for _ in threads.map(lambda one: remote.send(one[0], one[1].name), missing):
            task.advance()
    check_all_are_there(remote, pushed)
    if there is None:
        _check_it_is_ours(artifact, remote, pushed)
        remote.write(PUSHED_NAME, pushed.as_json())
        _check_it_is_ours(artifact, remote, pushed)
    remote.clear()
    return Sent(remote.shown, pushed, len(missing), sum(one.bytes for _, one in missing))


def _to_be_pushed(artifact: Artifact) -> Pushed:
    manifest, path = artifact.manifest, artifact.folder / MANIFEST_NAME
    hashes = manifest.hashes
    if not hashes:  # of an older mammofill
        check_content(artifact)
        hashes = fingerprint_of(artifact.folder, list(manifest.files))[2]
    files = {name: Object(hashes[name], size) for name, size in manifest.files.items()}
    return Pushed(manifest.kind, manifest.fingerprint, Object(fingerprint_file(path), path.stat().st_size), files)


def _missing(artifact: Artifact, remote: Remote, pushed: Pushed) -> list[tuple[Path, Object]]:
    """Return what is not there yet: each content once, and a file that has it."""
    places = {one.sha256: artifact.folder / name for name, one in pushed.files.items()}
    places[pushed.manifest.sha256] = artifact.folder / MANIFEST_NAME
    there = remote.sizes(OBJECTS)
    return [(places[sha256], one) for sha256, one in pushed.objects().items() if there.get(sha256) != one.bytes]


def _check_it_is_ours(artifact: Artifact, remote: Remote, pushed: Pushed) -> None:
    """Check that no other artifact was pushed to the same URL meanwhile."""
    there = pushed_at(remote)
    if there is not None and there != pushed:
        _check_is_the_same(artifact, remote, there)


def _check_is_the_same(artifact: Artifact, remote: Remote, there: Pushed) -> None:
    """Refuse a URL that holds another artifact; one made elsewhere by the same plan to the same bytes is the same."""
    if there.fingerprint == artifact.fingerprint:
        found = differences(manifest_at(remote, there)[0], artifact.manifest)
    else:
        found = [("fingerprint", there.fingerprint[:12], artifact.fingerprint[:12])]
    if found:
        lines = "\n".join(f"  {name}: there {before!r}, here {now!r}" for name, before, now in found)
        raise ArtifactError(
            f"{remote.shown} holds another artifact than {artifact.folder}:\n{lines}\nWhat was pushed never changes: "
            "give another URL, or delete what lies there."
        )
