"""Index of the artifacts in the studio's folder, by ids that the server makes: the page never sends a path."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

from mammofill.experiment.listing import Entry, entry_of, places
from mammofill.ground.artifact import MANIFEST_NAME, Artifact, InputRecord, Manifest, read_manifest
from mammofill.ground.errors import MammofillError, SourceError
from mammofill.ground.file_names import as_url

Kind = TypeVar("Kind", bound=Artifact)


class FolderIndex:
    """The artifacts below a folder. The id of each is a hash of its relative path."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SourceError(f"{folder} is no folder. Give the folder of a study, or of one artifact.")
        self.folder = folder
        self.lock = RLock()
        """Held while pixels are read: an open Parquet file must not be read by several threads."""
        self._places: dict[str, Path] = {}
        self._known: dict[tuple[str, int], tuple[Entry, Manifest | None]] = {}
        """Entry and manifest of each artifact, by its id and the time its manifest was written."""
        self._open: dict[tuple[str, str], Artifact] = {}

    def entries(self) -> list[dict[str, Any]]:
        """Scan the folder again; return what the page shows of each artifact, the oldest first."""
        found = {self._id(place): place for place in places(self.folder)}
        with self.lock:
            self._places = found
        ids = {str(place.resolve()): name for name, place in found.items()}
        return [self._shown(name, place, ids) for name, place in found.items()]

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
        """Open an artifact of a kind; it stays open. See `Artifact.open` for the errors."""
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
        """Return the path of a file that the manifest of an artifact lists.

        Raises:
            SourceError: the manifest does not list it.
        """
        if file not in self.manifest(name).files:
            raise SourceError("The artifact holds no such file.")
        return self.place(name) / file

    def _id(self, place: Path) -> str:
        return hashlib.sha256(place.relative_to(self.folder).as_posix().encode()).hexdigest()[:16]

    def _shown(self, name: str, place: Path, ids: Mapping[str, str]) -> dict[str, Any]:
        entry, manifest = self._read(name, place)
        shown: dict[str, Any] = {
            "id": name,
            "place": "." if place == self.folder else place.relative_to(self.folder).as_posix(),
            "kind": entry.kind,
            "state": words_of(entry.state, self.folder),
            "headline": words_of(entry.headline, self.folder),
            "usable": manifest is not None,
            "inputs": [],
            "pages": [],
        }
        if manifest is not None:
            shown["stage"], shown["seed"] = manifest.stage, manifest.seed
            shown["inputs"] = [self._input(place, one, ids) for one in manifest.inputs]
            shown["pages"] = [file for file in manifest.files if file.endswith(".html")]
            shown["pictures"] = _pictures(manifest)
            shown["tables"] = [file for file in manifest.files if file.endswith(".txt") and "/" not in file]
        return shown

    def _read(self, name: str, place: Path) -> tuple[Entry, Manifest | None]:
        """Return an artifact's entry, and its manifest if it is finished; read again only if the manifest changed."""
        manifest = place / MANIFEST_NAME
        if not manifest.is_file():
            return entry_of(place), None
        key = (name, manifest.stat().st_mtime_ns)
        if key not in self._known:
            entry = entry_of(place)
            self._known[key] = entry, read_manifest(place) if entry.state.startswith("finished") else None
        return self._known[key]

    def _input(self, place: Path, record: InputRecord, ids: Mapping[str, str]) -> dict[str, Any]:
        shown: dict[str, Any] = {"role": record.role, "path": record.path, "id": None, "note": ""}
        if as_url(record.path):
            return shown
        there, folder = os.path.realpath(record.place(place)), os.path.realpath(self.folder)
        if there in ids:
            _, manifest = self._read(ids[there], self._places[ids[there]])
            # No fingerprint is recorded of a collection's folder, even if it is an artifact, such as practice images.
            same = not record.fingerprint or (manifest is not None and manifest.fingerprint == record.fingerprint)
            return shown | {"id": ids[there], "note": "" if same else "another one by now"}
        if os.path.commonpath((there, folder)) == folder:
            return shown | {
                "path": os.path.relpath(there, folder),
                "note": "" if os.path.exists(there) else "no longer there",
            }
        return shown | {"note": "not in this folder"}


def _pictures(manifest: Manifest) -> list[str]:
    """Return the last pictures of an artifact; none of mammograms and patches, whose PNG files are their pixels."""
    if manifest.kind in ("mammograms", "patches"):
        return []
    return [file for file in manifest.files if file.endswith(".png") and file.count("/") <= 1][-8:]


def inputs_of(entry: dict[str, Any], role: str) -> list[str]:
    """Return the ids of an entry's inputs of a role, of those in the folder."""
    return [one["id"] for one in entry["inputs"] if one["role"] == role and one["id"]]


def words_of(error: MammofillError | str, folder: Path) -> str:
    """Return the text of an error or a state without the path of the studio's folder, which the page must not show.

    The name of a folder of one part, such as `run`, may also be a word: it is removed only where a path follows.
    """
    words = re.sub(rf"(?<![\w/.-]){re.escape(str(folder))}/", "", str(error))
    return words.replace(str(folder), ".") if len(folder.parts) > 1 else words
