"""What lies in the folder of an artifact, and under which names."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mammofill.ground.errors import ArtifactError

MANIFEST_NAME = "artifact.json"


PARTIAL = ".partial"
"""What the name of a folder ends with while a stage works in it."""


PLAN_NAME = "plan.json"


LOCK_NAME = ".lock"
"""The lock of the process that writes in a partial folder; holds its number and the name of its machine."""


SCRATCH_NAME = ".scratch"
"""Folder in a partial one for what is needed only until the artifact is finished."""


CHECKPOINT_NAME = "checkpoint.pt"
"""What a training needs to go on; see `mammofill.ground.training.checkpoint`."""


def partial_of(out: Path) -> Path:
    """Return where a stage works until the artifact at `out` is finished.

    Raises:
        ArtifactError: `out` is the root of the file system.
    """
    out = out if out.name else out.absolute()  # the folder one is in has a name, too
    if not out.name:
        raise ArtifactError(f"{out} is the root of this machine's files, and no place for an artifact.")
    return out.with_name(out.name + PARTIAL)


def is_payload(path: Path) -> bool:
    """Say whether a file, by its path within the folder, is what was made, and not what it was made with."""
    not_payload = {MANIFEST_NAME, CHECKPOINT_NAME, PLAN_NAME, LOCK_NAME}
    return path.parts[0] != SCRATCH_NAME and path.name not in not_payload


_PIECE_BYTES = 2**18
"""So much is written at a time: 9 MB in one call took 2 to 20 ms of a core (Linux 6.18, ext4, a virtual machine), and
always 2 ms in calls of this size. Why is not known; elsewhere it may make no difference."""


def write_atomically(path: Path, content: bytes | str | memoryview, durable: bool = True) -> None:
    """Write a file beside its place and move it there, so that a reader never sees half of it.

    Args:
        path: the file; its folder must exist.
        content: all of it.
        durable: wait until it is on the disk, so that it survives a power cut too. Without, it survives whatever
            happens to the process; an artifact's files are all brought to the disk before it is finished.
    """
    # A name of its own for each process, in case that one which should be dead is still writing the same file.
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    whole = memoryview(content.encode() if isinstance(content, str) else content).cast("B")
    with beside.open("wb") as file:
        for start in range(0, len(whole), _PIECE_BYTES):
            file.write(whole[start : start + _PIECE_BYTES])
        if durable:
            file.flush()
            os.fsync(file.fileno())
    beside.replace(path)


def as_json(content: Mapping[str, Any]) -> str:
    """Return the text of ``artifact.json`` or ``plan.json``."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
