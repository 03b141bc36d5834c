"""Names of files made from identifiers that others wrote: none can leave its folder."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath

from mammofill.ground.errors import did_you_mean

LONGEST_NAME, _SHORTENED = 200, 160
"""Letters of a name; of a longer one so many are kept and a hash takes the rest, so that what is added to a mammogram's
name for its lesions still fits. File systems end at 255 bytes with all endings."""

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_.-]+")
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})
"""Names that Windows keeps for devices, whatever their ending."""


def meant_path(path: Path) -> str:
    """Return `` Did you mean ...?`` where something with a name that is close lies where a path leads to nothing."""
    folder = path.parent
    if not folder.is_dir():
        return meant_path(folder) if folder != folder.parent else ""
    return did_you_mean(path.name, [one.name for one in folder.iterdir()])


def file_name(identifier: str) -> str:
    """Return the name under which what an identifier stands for is kept as a file.

    It is the identifier itself where that is made of ASCII letters, digits, ``_``, ``-`` and ``.``, does not begin with
    a dot and is not too long, as those of all published collections are. Elsewhere runs of other characters become
    ``-`` and a hash of the identifier is added, so that two identifiers never share a name by this.

    Returns:
        One part of a path: never empty, ``.`` or ``..``, and without a separator.
    """
    name = _NOT_PLAIN.sub("-", identifier).lstrip(".")
    is_device = name.partition(".")[0].lower() in _DEVICES
    if name == identifier and name and len(name) <= LONGEST_NAME and not is_device:
        return name
    told = hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name[:_SHORTENED].strip('-.') or 'unnamed'}-{told}"


def inside(folder: Path, name: str) -> Path:
    """Return a path inside a folder, where a name from a table or a manifest says which.

    Args:
        folder: the folder.
        name: relative path with ``/``, as manifests write it.

    Raises:
        ValueError: the name is empty or absolute, climbs with ``..``, or means a drive.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith(("/", "\\")) or ".." in parts or "\\" in name or ":" in name or "\0" in name:
        raise ValueError(f"{name!r} is not a file inside {folder}")
    return folder.joinpath(*parts)
