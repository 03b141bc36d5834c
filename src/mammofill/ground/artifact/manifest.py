"""The manifest, ``artifact.json``: the description of a finished folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any

import mammofill
from mammofill.ground.artifact.layout import MANIFEST_NAME, PARTIAL, partial_of
from mammofill.ground.artifact.lock import holder_of
from mammofill.ground.errors import ArtifactError, DamagedError, NewerFormatError
from mammofill.ground.file_names import as_url, inside, meant_path, refuse_url

FORMAT_VERSION = 2
"""Version of the folder format: raised when an older mammofill could no longer read a newer folder."""


@dataclass(frozen=True)
class InputRecord:
    """One thing that an artifact was made from."""

    role: str
    """What it was to the stage, for example ``patches`` or ``weights``."""
    kind: str
    """Kind of artifact, or ``file`` or ``folder``."""
    path: str
    """Where it was, relative to the artifact's folder where that is possible; or its URL."""
    fingerprint: str

    def place(self, folder: Path) -> str:
        """Return where it was, seen from the artifact's folder: a path without ``..``, or its URL."""
        return as_url(self.path) or os.path.normpath(folder / self.path)


@dataclass(frozen=True)
class LearnedFrom:
    """Patients whose pixels or labels shaped something, and where that happened."""

    through: str
    """Where that happened, for example ``train-infiller`` or ``train-classifier (mask donor of a synthetic patch)``."""
    patients: tuple[str, ...]


CHOSEN = "(validation:"
"""Part of `through` for patients by whom weights, a threshold or fills were chosen, but nothing was learned from."""


def taught_by(records: Iterable[LearnedFrom]) -> set[str]:
    """Return the patients from whom something was learned; not those by whom something was only chosen."""
    return {patient for record in records if CHOSEN not in record.through for patient in record.patients}


@dataclass(frozen=True)
class Manifest:
    """Content of ``artifact.json``."""

    kind: str
    stage: str
    format_version: int
    package_version: str
    settings: dict[str, Any]
    execution: dict[str, Any]
    """How the work was done, which does not change the result: the number of workers; which GPU; and whether the same
    command gives the same bits there (``same_bits_again``)."""
    seed: int
    device: str | None
    """Kind of device on which networks ran; which one of several it was, `execution` says."""
    inputs: tuple[InputRecord, ...]
    fingerprint: str
    """SHA-256 over the payload's files: the same content has the same fingerprint, whenever and wherever made."""
    files: dict[str, int]
    """Size in bytes of each payload file, by its path inside the folder."""
    counts: dict[str, int]
    patients_learned_from: tuple[LearnedFrom, ...]
    wall_seconds: float
    hashes: dict[str, str] = dataclass_field(default_factory=dict)
    """SHA-256 of each payload file, by its path; empty in folders that an older mammofill made."""

    def learned_patients(self) -> dict[str, list[str]]:
        """Return, for each patient that shaped any weights upstream, where that happened: patient -> `through`."""
        ways: dict[str, list[str]] = {}
        for record in self.patients_learned_from:
            for patient in record.patients:
                ways.setdefault(patient, []).append(record.through)
        return ways


_MOST_NAMED = 6
"""Artifacts below a folder that a message names."""


def read_manifest(folder: Path) -> Manifest:
    """Read ``artifact.json`` of a finished folder, of whatever kind.

    Raises:
        ArtifactError: the folder is missing, unfinished, or its manifest cannot be read.
        NewerFormatError: a newer mammofill wrote it.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        refuse_url(folder, "Stages read folders on this machine")
        partial = partial_of(folder)
        if partial.is_dir() or folder.name.endswith(PARTIAL):
            if writer := holder_of(folder if folder.name.endswith(PARTIAL) else partial):
                raise ArtifactError(f"{folder} is not finished: it is being written by {writer}. Wait for it.")
            raise ArtifactError(
                f"{folder} is not finished. Run the command that was making it again: it goes on where it stopped."
            )
        raise ArtifactError(f"{folder} is not an artifact: {_what_lies_at(folder)} Check the path.")
    return manifest_of(path.read_bytes(), folder.as_posix())


def _what_lies_at(place: Path) -> str:
    """Say what lies where an artifact was looked for, and which artifact lies around it, or in it."""
    if not place.exists():
        return f"found nothing there.{meant_path(place)}"
    found = (
        "found a folder without artifact.json there." if place.is_dir() else "it is a file, and artifacts are folders."
    )
    around = next((one for one in place.parents if (one / MANIFEST_NAME).is_file()), None)
    if around is not None:
        return f"{found} It lies in the artifact {around}: give that."
    inside = sorted(str(one.parent) for one in place.glob(f"*/{MANIFEST_NAME}"))[:_MOST_NAMED] if place.is_dir() else []
    return f"{found} It contains {', '.join(inside)}: give the one that is meant." if inside else found


def manifest_of(text: bytes, folder: str) -> Manifest:
    """Read what ``artifact.json`` of a folder says, wherever that lies.

    Raises:
        DamagedError: it lacks entries of a manifest, or names a file outside the folder.
        NewerFormatError: a newer mammofill wrote it.
    """
    path = f"{folder}/{MANIFEST_NAME}"
    try:
        content = json.loads(text)
        version = int(content["format_version"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DamagedError(f"{path} cannot be read ({error!r}). Make the artifact again.") from error
    if version > FORMAT_VERSION:
        raise NewerFormatError(
            f"{folder} has format version {version}, written by mammofill {content.get('package_version')}; this is "
            f"mammofill {mammofill.__version__}, which reads up to version {FORMAT_VERSION}. Update mammofill."
        )
    try:
        for name in (*content["files"], *content.get("hashes", {})):
            inside(Path(folder), name)
        content["inputs"] = tuple(InputRecord(**record) for record in content["inputs"])
        content["patients_learned_from"] = tuple(
            LearnedFrom(record["through"], tuple(record["patients"])) for record in content["patients_learned_from"]
        )
        manifest = Manifest(**content)
        _check_types(manifest)
        return manifest
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(f"{path} lacks entries that a manifest needs ({error}). Make the artifact again.") from error


def _check_types(manifest: Manifest) -> None:
    """Check that the entries of a manifest have the right types.

    Raises:
        TypeError, UnicodeError: it does not; names the first such entry.
    """
    for name, kinds in _KINDS.items():
        if not isinstance(getattr(manifest, name), kinds) or isinstance(getattr(manifest, name), bool):
            raise TypeError(f"{name} is {getattr(manifest, name)!r}")
    (manifest.kind + manifest.stage).encode()  # refuses halves of characters, which cannot be written anywhere
    tables: tuple[tuple[dict[str, Any], type], ...] = (
        (manifest.files, int),
        (manifest.counts, int),
        (manifest.hashes, str),
    )
    for table, kind in tables:
        for name, value in table.items():
            if not isinstance(value, kind) or isinstance(value, bool):
                raise TypeError(f"{name} has {value!r}")
    for record in manifest.inputs:
        if wrong := [value for value in vars(record).values() if not isinstance(value, str)]:
            raise TypeError(f"an input says {wrong[0]!r}")
    for way in manifest.patients_learned_from:
        if wrong := [value for value in (way.through, *way.patients) if not isinstance(value, str)]:
            raise TypeError(f"patients_learned_from says {wrong[0]!r}")


_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("kind", "stage", "package_version", "fingerprint"), (str,)),
    **dict.fromkeys(("settings", "execution", "files", "hashes", "counts"), (dict,)),
    **dict.fromkeys(("seed", "format_version"), (int,)),
    "device": (str, type(None)),
    "wall_seconds": (int, float),
}
"""What the entries of a manifest must be."""


def check_files(folder: Path, manifest: Manifest, names: Iterable[str] | None = None) -> None:
    """Check that all payload files are there, or those named, by their size alone.

    Raises:
        DamagedError: names the file that is missing or has another size than when it was finished.
    """
    for name in manifest.files if names is None else names:
        path, size = folder / name, manifest.files[name]
        found = path.stat().st_size if os.path.isfile(path) else None  # False for names that none can be
        if found != size:
            state = "is missing" if found is None else f"has {found} bytes"
            raise DamagedError(f"{path} {state}, but had {size} bytes when it was finished. Make {folder} again.")
