"""Names of files that others wrote: what lies there, and that none made from an identifier can leave its folder."""

from __future__ import annotations

import errno
import hashlib
import re
import stat
from pathlib import Path, PurePosixPath

from mammofill.ground.errors import ArtifactError, SourceError, did_you_mean

LONGEST_NAME, _SHORTENED = 200, 160
"""Most characters of a name, and those kept of a longer one, before a hash; what is added to a mammogram's name for its
lesions still fits. File systems end at 255 bytes with all endings."""

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_.-]+")
STORES_OF_SOURCES = ("s3", "s3a", "gs", "gcs")
"""Schemes of the URLs from which `ingest` reads collections."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})
"""Names that Windows keeps for devices, whatever their ending."""


def meant_path(path: Path) -> str:
    """Return `` Did you mean ...?`` where something with a name that is close lies where a path leads to nothing."""
    folder = path.parent
    if not folder.is_dir():
        return meant_path(folder) if folder != folder.parent else ""
    return did_you_mean(path.name, [one.name for one in folder.iterdir()])


_KINDS = (
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def why_no_file(path: Path, needed: str = "a regular file") -> str:
    """Say what lies where a file is needed and none is: ``does not exist``, or what it is instead.

    Args:
        path: where.
        needed: what is needed there.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return f"is a link to {path.readlink()}, which does not exist" if path.is_symlink() else "does not exist"
    except ValueError:  # a zero byte in the name
        return "does not exist"
    except OSError as error:
        in_a_circle = error.errno == errno.ELOOP
        return "is a link that leads in a circle" if in_a_circle else f"cannot be opened: {error.strerror}"
    kind = next((words for is_kind, words in _KINDS if is_kind(mode)), "something else")
    return f"is not {needed} but {kind}"


def refuse_no_utf8(path: str | Path) -> None:
    """Refuse a path that is not valid UTF-8: no manifest can name it, and no table in it can be read.

    Raises:
        ArtifactError: says so.
    """
    if not is_utf8(path):
        raise ArtifactError(
            f"{str(path)!a} is a name that is not valid UTF-8, which manifests and tables cannot hold. Rename it."
        )


def is_utf8(path: str | Path) -> bool:
    """Say whether a path is valid UTF-8; Python stands a surrogate for each byte that is not."""
    return not any(0xD800 <= ord(one) < 0xE000 for one in str(path))


def as_url(path: str | Path) -> str | None:
    """Return the URL that was given where a path on this machine is wanted, or None: ``s3://bucket/patches``.

    What is there under such a name is a path all the same, and a drive of Windows has one letter alone. `Path` makes
    one slash of two; they are given back.
    """
    found = _URL.match(str(path))
    if found is None or Path(path).exists():
        return None
    slashes = "///" if found[1] == "file" else "//"
    return f"{found[1]}:{slashes}{found[2]}"


def refuse_url(path: str | Path, rule: str, pushed: bool = False) -> None:
    """Refuse a URL where a folder is wanted, and say what to do instead.

    Args:
        path: what was given.
        rule: the sentence that says what is taken here.
        pushed: whether something is to be made there.

    Raises:
        ArtifactError: it is a URL.
    """
    url = as_url(path)
    if url is not None:
        pull, push = f"Pull it first: mammofill pull {url} --out DIR", f"Give a folder, then: mammofill push DIR {url}"
        raise ArtifactError(f"{url} is a URL. {rule}. {push if pushed else pull}")


def refuse_source_url(path: str | Path) -> None:
    """Refuse a URL where files are wanted that others made, or that a user wrote.

    Raises:
        SourceError: it is a URL.
    """
    url = as_url(path)
    if url is not None:
        raise SourceError(
            f"{url} is a URL, and collections, tables and settings are read where this machine sees them as files. "
            "Copy it to a disk first (aws s3 sync, gcloud storage rsync), or mount it, and give its path there. Only "
            "ingest reads a collection where it lies, and only from s3:// and gs:// (docs/sources.md)."
        )


def url_of_source(path: str | Path) -> str | None:
    """Return the URL of a collection in a store from which `ingest` reads, or None for a path.

    Raises:
        SourceError: it is a URL, of a store from which it does not read.
    """
    url = as_url(path)
    if url is not None and url.partition(":")[0] not in STORES_OF_SOURCES:
        refuse_source_url(path)
    return url


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
    digest = hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name[:_SHORTENED].strip('-.') or 'unnamed'}-{digest}"


def inside(folder: Path, name: str) -> Path:
    """Return a path inside a folder, where a name from a table or a manifest says which.

    Args:
        folder: the folder.
        name: relative path with ``/``, as manifests write it.

    Raises:
        ValueError: the name is empty or absolute, contains ``..``, or names a drive.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith(("/", "\\")) or ".." in parts or "\\" in name or ":" in name or "\0" in name:
        raise ValueError(f"{name!r} is not a file inside {folder}")
    return folder.joinpath(*parts)
