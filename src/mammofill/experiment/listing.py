"""What lies in a folder: artifacts, their state and headline figures, and what each was made from; command `list`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mammofill.experiment.stages import all_stages, find
from mammofill.ground.artifact import (
    MANIFEST_NAME,
    PARTIAL,
    Artifact,
    InputRecord,
    Manifest,
    holder_of,
    read_manifest,
    read_plan,
)
from mammofill.ground.counting import counted
from mammofill.ground.errors import MammofillError, SourceError
from mammofill.ground.file_names import as_url
from mammofill.ground.progress import in_words

_DEPTH = 6
"""Folders below the one that is listed; a study's own lie at most at 5."""


@dataclass(frozen=True)
class Entry:
    """One artifact, finished or not, or what should be one and cannot be read."""

    place: Path
    kind: str
    state: str
    headline: str
    made_from: str


def listing(folder: str | Path) -> str:
    """Say what lies in a folder, an artifact a paragraph, in the order in which they were made.

    Raises:
        SourceError: the folder is not there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SourceError(f"{folder} is no folder. Give the folder of a study, or of one artifact.")
    entries = [entry_of(place) for place in places(folder)]
    if not entries:
        return f"{folder}: no artifact of mammofill lies here, nor in the folders below."
    finished = sum(entry.state.startswith("finished") for entry in entries)
    lines = [f"{folder}: {counted(len(entries), 'artifacts')}, {finished} of them finished"]
    for entry in entries:
        place = "." if entry.place == folder else entry.place.relative_to(folder)
        lines += ["", f"{place}  {entry.kind}, {entry.state}"]
        lines += [f"  {words}" for words in (entry.headline, entry.made_from) if words]
    return "\n".join(lines)


def places(folder: Path) -> list[Path]:
    """Return the artifacts below a folder, the oldest first; nothing inside of one is looked at."""
    found = []
    for here, folders, names in os.walk(folder):
        place = Path(here)
        deep = len(place.relative_to(folder).parts)
        if MANIFEST_NAME in names or place.name.endswith(PARTIAL):
            found.append(place)
            folders.clear()
        elif deep >= _DEPTH:
            folders.clear()
    return sorted(found, key=lambda place: (_age(place), place))


def _age(place: Path) -> float:
    manifest = place / MANIFEST_NAME
    return manifest.stat().st_mtime if manifest.is_file() else float("inf")


def entry_of(place: Path) -> Entry:
    """Describe one artifact; what is wrong with it is its state."""
    if place.name.endswith(PARTIAL):
        return _unfinished(place)
    try:
        manifest = read_manifest(place)
        artifact = _class_of(manifest).open(place)
        state = f"finished in {in_words(manifest.wall_seconds)}"
        return Entry(place, manifest.kind, state, artifact.headline(), _made_from(place, manifest))
    except Exception as error:  # noqa: BLE001  (whatever is wrong with one, the others are listed)
        message = str(error) if isinstance(error, MammofillError) else f"{type(error).__name__}: {error}"
        return Entry(place, "artifact", "cannot be used", message, "")


def _unfinished(place: Path) -> Entry:
    writer = holder_of(place)
    try:
        plan = read_plan(place)
    except (MammofillError, OSError) as error:
        if writer:  # who has only begun
            return Entry(place, "artifact", f"being written by {writer}", "", "")
        return Entry(place, "artifact", "begun", str(error), "")
    state = f"begun by {plan.get('stage')}: "
    state += f"being written by {writer}" if writer else "run the same command again to go on"
    return Entry(place, str(plan.get("kind")), state, "", "")


def _class_of(manifest: Manifest) -> type[Artifact]:
    """Return the class of an artifact's kind; the plain one where no installed stage makes it."""
    kinds = (find(stage.output) for stage in all_stages().values())
    return next((kind for kind in kinds if kind.kind == manifest.kind), _anything(manifest.kind))


def _anything(name: str) -> type[Artifact]:
    class Anything(Artifact):
        kind = name

    return Anything


def _made_from(place: Path, manifest: Manifest) -> str:
    return "from " + ", ".join(_inputs(place, manifest)) if manifest.inputs else ""


def _inputs(place: Path, manifest: Manifest) -> Iterator[str]:
    for record in manifest.inputs:
        there = Path(record.place(place))
        words = f"{record.role} {record.path}"
        if as_url(record.path):
            yield words  # whether it is still there, its store is not asked
        elif not there.exists():
            yield f"{words} (no longer there)"
        elif _is_another(there, record):
            yield f"{words} (another one by now)"
        else:
            yield words


def _is_another(there: Path, record: InputRecord) -> bool:
    """Say whether another artifact lies there by now; of a collection's folder no fingerprint is recorded."""
    if not record.fingerprint or not (there / MANIFEST_NAME).is_file():
        return False
    return read_manifest(there).fingerprint != record.fingerprint
