"""What ``pushed.json`` says: which file of an artifact is which object. It comes from outside and is not trusted.

Every name is checked to lie inside the folder, every size limits what is fetched, and all together must give the
fingerprint in the artifact's own manifest.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mammofill.ground.artifact import (
    MANIFEST_NAME,
    Manifest,
    fingerprint_from,
    is_payload,
    manifest_of,
)
from mammofill.ground.errors import DamagedError, NewerFormatError, StoreError
from mammofill.ground.file_names import inside
from mammofill.ground.stores.remote import Remote

PUSHED_NAME = "pushed.json"
OBJECTS = "objects"
STORE_VERSION = 1
"""Version of what is stored: raised when an older mammofill could no longer read a newer one."""

MOST_BYTES = 2**28
"""Largest size of ``pushed.json`` and of ``artifact.json``: enough for more than two million files."""

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Object:
    """The content of a file."""

    sha256: str
    bytes: int

    @property
    def name(self) -> str:
        """Where it lies below the URL."""
        return f"{OBJECTS}/{self.sha256}"


@dataclass(frozen=True)
class Pushed:
    """An artifact as it lies in a store."""

    kind: str
    fingerprint: str
    manifest: Object
    """The artifact's own ``artifact.json``."""
    files: dict[str, Object]
    """Each payload file, by its path inside the folder."""

    def objects(self) -> dict[str, Object]:
        """Return all contents by their SHA-256, each once."""
        return {one.sha256: one for one in (self.manifest, *self.files.values())}

    def as_json(self) -> bytes:
        """Return the content of ``pushed.json``: the same for the same artifact, whoever pushes it."""
        content = {
            "format_version": STORE_VERSION,
            "kind": self.kind,
            "fingerprint": self.fingerprint,
            "manifest": vars(self.manifest),
            "files": {name: vars(one) for name, one in sorted(self.files.items())},
        }
        return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def pushed_at(remote: Remote) -> Pushed | None:
    """Read what was pushed to a URL; None where nothing was, or not to its end.

    Raises:
        StoreError: the store is not there, or refuses.
        DamagedError: ``pushed.json`` cannot be read, or names a file that is not inside the artifact.
        NewerFormatError: a newer mammofill wrote it.
    """
    content = remote.read_if_there(PUSHED_NAME, MOST_BYTES + 1)
    if content is None:
        return None
    where = f"{remote.shown}/{PUSHED_NAME}"
    if len(content) > MOST_BYTES:
        raise DamagedError(f"{where} is larger than {MOST_BYTES:,} bytes, which no pushed artifact needs.")
    try:
        described = json.loads(content)
        version = int(described["format_version"])
        if version > STORE_VERSION:
            raise NewerFormatError(
                f"{where} has format version {version}; this mammofill reads up to {STORE_VERSION}. Update mammofill."
            )
        files = {_checked_name(name): _object(one) for name, one in described["files"].items()}
        _check_no_file_is_a_folder(files)
        return Pushed(str(described["kind"]), str(described["fingerprint"]), _object(described["manifest"]), files)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DamagedError(
            f"{where} does not describe a pushed artifact ({error}). Delete it there and push the artifact again."
        ) from error


def manifest_at(remote: Remote, pushed: Pushed) -> tuple[Manifest, bytes]:
    """Fetch the artifact's own manifest, and check that it lists exactly these files.

    Returns:
        What it says, and its bytes.

    Raises:
        DamagedError: it is not what was pushed, or lists other files.
    """
    one = pushed.manifest
    if one.bytes > MOST_BYTES:
        raise DamagedError(f"{remote.shown}/{one.name} would have {one.bytes:,} bytes, which no {MANIFEST_NAME} has.")
    content = remote.read(one.name, 0, one.bytes + 1)
    check_arrived(remote, one, len(content), _sha256(content))
    manifest = manifest_of(content, remote.shown)
    # The order in which files make a fingerprint is that of the parts of their paths.
    hashes = {name: pushed.files[name].sha256 for name in sorted(pushed.files, key=PurePosixPath)}
    sizes = {name: pushed.files[name].bytes for name in pushed.files}
    same = fingerprint_from(hashes) == manifest.fingerprint == pushed.fingerprint
    if not same or sizes != manifest.files or (manifest.hashes and manifest.hashes != hashes):
        raise DamagedError(
            f"{remote.shown}/{PUSHED_NAME} and the {MANIFEST_NAME} that it names list different files. Delete it there "
            "and push the artifact again."
        )
    return manifest, content


def check_arrived(remote: Remote, one: Object, size: int, sha256: str) -> None:
    """Refuse what is not the object that was pushed.

    Raises:
        DamagedError: names the object.
    """
    if (size, sha256) != (one.bytes, one.sha256):
        found = f"the SHA-256 {sha256[:12]}" if size == one.bytes else f"{size:,} bytes"
        raise _damaged(remote, one, f"has {found}")


def check_all_are_there(remote: Remote, pushed: Pushed) -> None:
    """Refuse a pushed artifact of which an object is not there, or has another size, before any is fetched.

    Raises:
        DamagedError: names the object.
    """
    there = remote.sizes(OBJECTS)
    for one in pushed.objects().values():
        if there.get(one.sha256) != one.bytes:
            size = there.get(one.sha256)
            raise _damaged(remote, one, "is not there" if size is None else f"has {size:,} bytes")


def _damaged(remote: Remote, one: Object, found: str) -> DamagedError:
    return DamagedError(
        f"{remote.shown}/{one.name} is damaged: it should have {one.bytes:,} bytes and the SHA-256 {one.sha256[:12]}, "
        f"but {found}. Delete it there, push the artifact again, and pull again."
    )


def not_pushed(remote: Remote) -> StoreError:
    """Return the error for a URL at which there is no artifact."""
    return StoreError(
        f"{remote.shown} holds no pushed artifact: there is no {PUSHED_NAME}, which is written last. Check the URL, or "
        "give the command that was pushing it again."
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _checked_name(name: str) -> str:
    inside(Path("artifact"), name)
    name.encode()  # refuses halves of characters, which no name of a file can hold
    path = PurePosixPath(name)
    # What ends with .tmp is left over from writing, and is removed before a folder is finished.
    ours = all(is_payload(Path(part)) and not part.endswith(".tmp") for part in path.parts)
    if path.as_posix() != name or not ours:
        raise ValueError(f"{name!r} is no file of an artifact")
    return name


def _check_no_file_is_a_folder(files: dict[str, Object]) -> None:
    for name in files:
        for above in PurePosixPath(name).parents:
            if above.as_posix() in files:
                raise ValueError(f"{above.as_posix()!r} cannot be a file and a folder")


def _object(entry: Any) -> Object:
    sha256, size = entry["sha256"], entry["bytes"]
    if not (isinstance(sha256, str) and _HASH.fullmatch(sha256)):
        raise ValueError(f"{sha256!r} is no SHA-256")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"{size!r} is no number of bytes")
    return Object(sha256, size)
