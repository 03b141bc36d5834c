"""What lies in the studio's folder, under names that the server made: no path ever comes from the page."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

from mammofill.experiment.listing import Entry, entry_of, places
from mammofill.ground.artifact import MANIFEST_NAME, Artifact, Manifest, read_manifest
from mammofill.ground.errors import MammofillError, SourceError

Kind = TypeVar("Kind", bound=Artifact)


class FolderIndex:
    """The artifacts below a folder. Each is known by an id, a hash of its place."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SourceError(f"{folder} is no folder. Give the folder of a study, or of one artifact.")
        self.folder = folder
        self.lock = RLock()
        """Held while pixels are read: open Parquet files are not for several threads."""
        self._places: dict[str, Path] = {}
        self._known: dict[tuple[str, str], Entry] = {}
        self._open: dict[tuple[str, str], Artifact] = {}

    def entries(self) -> list[dict[str, Any]]:
        """Look through the folder again; return what the page shows of each artifact, the oldest first."""
        found = {self._id(place): place for place in places(self.folder)}
        with self.lock:
            self._places = found
        return [self._shown(name, place) for name, place in found.items()]

    def place(self, name: str) -> Path:
        """Return the folder of an artifact.

        Raises:
            SourceError: there is none of this id.
        """
        if name not in self._places:
            self.entries()
        if name not in self._places:
            raise SourceError("There is no such artifact here (any more). Load the page again.")
        return self._places[name]

    def open(self, name: str, kind: type[Kind]) -> Kind:
        """Open an artifact of a kind, once; see `Artifact.open` for the errors."""
        place = self.place(name)
        manifest = read_manifest(place)
        with self.lock:
            found = self._open.get((name, manifest.fingerprint))
            if not isinstance(found, kind):
                found = kind.open(place)
                self._open[name, manifest.fingerprint] = found
            return found

    def manifest(self, name: str) -> Manifest:
        """Return the manifest of an artifact."""
        return read_manifest(self.place(name))

    def payload(self, name: str, file: str) -> Path:
        """Return a file of an artifact, which must be one that its manifest lists.

        Raises:
            SourceError: it is not.
        """
        if file not in self.manifest(name).files:
            raise SourceError("The artifact holds no such file.")
        return self.place(name) / file

    def _id(self, place: Path) -> str:
        return hashlib.sha256(place.relative_to(self.folder).as_posix().encode()).hexdigest()[:16]

    def _shown(self, name: str, place: Path) -> dict[str, Any]:
        entry = self._entry(name, place)
        shown: dict[str, Any] = {
            "id": name,
            "place": "." if place == self.folder else place.relative_to(self.folder).as_posix(),
            "kind": entry.kind,
            "state": entry.state,
            "headline": entry.headline,
            "usable": entry.state.startswith("finished"),
            "inputs": [],
            "pages": [],
        }
        if shown["usable"]:
            manifest = read_manifest(place)
            shown["stage"], shown["seed"] = manifest.stage, manifest.seed
            shown["inputs"] = [self._input(place, one.role, one.path) for one in manifest.inputs]
            shown["pages"] = [file for file in manifest.files if file.endswith(".html")]
            shown["pictures"] = [
                file for file in manifest.files if file.endswith(".png") and file.count("/") <= 1
            ][-8:] if manifest.kind not in ("mammograms", "patches") else []  # fmt: skip
        return shown

    def _entry(self, name: str, place: Path) -> Entry:
        manifest = place / MANIFEST_NAME
        if not manifest.is_file():
            return entry_of(place)
        key = (name, str(manifest.stat().st_mtime_ns))
        if key not in self._known:
            self._known[key] = entry_of(place)
        return self._known[key]

    def _input(self, place: Path, role: str, path: str) -> dict[str, Any]:
        there = Path(os.path.normpath(place / path))
        here = next((name for name, one in self._places.items() if one.resolve() == there.resolve()), None)
        return {"role": role, "path": path, "id": here}


def inputs_of(entry: dict[str, Any], role: str) -> list[str]:
    """Return the ids of what an entry was made from in a role, of those that lie here."""
    return [one["id"] for one in entry["inputs"] if one["role"] == role and one["id"]]


def words_of(error: MammofillError, folder: Path) -> str:
    """Return an error's words without the studio's folder, which is nobody's business on the page."""
    return str(error).replace(f"{folder}/", "").replace(str(folder), ".")
