"""Headers of DICOM files, read in a process that may die over one: kilobytes can unpack to gigabytes."""

from __future__ import annotations

import os
from pathlib import Path

from mammofill import dicom
from mammofill.ground.errors import ImageFileError
from mammofill.ground.foreign_files import check_is_here
from mammofill.ground.processes import Child, ChildDiedError, Limits

_LIMITS = Limits(seconds=120, memory_gb=2, silent=True)

_children: dict[int, Child] = {}
"""The child of this process; a copy of it that a fork made is nobody's."""


def read_header(path: Path) -> dicom.DicomHeader:
    """Read the facts about a file's image, as `mammofill.dicom.read_header` does, in a process beside this one.

    Raises:
        ImageFileError: the file is missing, not DICOM, or holds no image; or the process died over it.
        SourceError: it is in a store, and was not fetched.
    """
    check_is_here(path)
    child = _children.setdefault(os.getpid(), Child(_LIMITS))
    try:
        header: dicom.DicomHeader = child.ask(dicom.read_header, path)
        return header
    except ChildDiedError as death:
        raise ImageFileError(f"{path}: the process that read its header {death.why}.") from death
