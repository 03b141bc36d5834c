"""Fingerprints: SHA-256 of files, and of all that a folder holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from mammofill.ground.artifact.layout import is_payload


def fingerprint_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_folder(
    folder: Path, known: Mapping[str, str] | None = None
) -> tuple[str, dict[str, int], dict[str, str]]:
    """Return the fingerprint of a folder's payload, and the size and the SHA-256 of each file by relative path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and is_payload(path.relative_to(folder)))
    return fingerprint_of(folder, [path.relative_to(folder).as_posix() for path in paths], known)


def fingerprint_of(
    folder: Path, names: Sequence[str], known: Mapping[str, str] | None = None
) -> tuple[str, dict[str, int], dict[str, str]]:
    """Return the fingerprint that some files of a folder make, and the size and the SHA-256 of each.

    Args:
        folder: where they are.
        names: their paths in it, in the order of their parts.
        known: SHA-256 of files whose content need not be read.
    """
    known = known or {}
    paths = [folder / name for name in names]
    hashes = {name: known.get(name) or fingerprint_file(path) for name, path in zip(names, paths, strict=True)}
    sizes = {name: path.stat().st_size for name, path in zip(names, paths, strict=True)}
    return fingerprint_from(hashes), sizes, hashes


def fingerprint_from(hashes: Mapping[str, str]) -> str:
    """Return the fingerprint that files make, by the SHA-256 of each, in the order of the parts of their paths."""
    return hashlib.sha256("\n".join(f"{name} {content}" for name, content in hashes.items()).encode()).hexdigest()
