"""The location of a collection for ingest: on this machine, or in an object store.

For a store, `InStore` lists the objects below the URL; makes a folder with the same names, in which tables are complete
and every other file is a placeholder, so that the collection's reader can list it as usual; and then fetches the files
of as many mammograms at a time as `fetched_gb` allows, the next ones while these are read. Credentials are found by the
store's library; none are stored.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Collection as Names
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, Self

from mammofill.ground.artifact import InputRecord, fingerprint_file
from mammofill.ground.errors import MammofillError, SettingsError, SourceError, StoreError
from mammofill.ground.file_names import inside, url_of_source
from mammofill.ground.foreign_files import AWAY
from mammofill.ground.processes import Child, ChildDiedError, Limits
from mammofill.ground.stores.fetch import fetch, objects_below
from mammofill.ground.stores.remote import StoredObject, without_password
from mammofill.mammograms.mammogram_set import base_folder
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.annotations import Collection, MammogramEntry, with_files
from mammofill.mammograms.sources.collections import COLLECTIONS, collection_reader, read_collection


class Whereabouts(Protocol):
    """A location from which a collection is read; a context, exited when its files are no longer needed."""

    shown: str
    """Its name in messages."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def collection(self, settings: IngestSettings, attributes: Path | None) -> Collection:
        """Read the tables; see `read_collection`."""

    def record(self) -> Path | InputRecord:
        """Return the record of the source for the finished set's manifest."""

    def base(self, scratch: Path) -> Path:
        """Return the folder that contains the files when they are read."""

    def parts(self, entries: Sequence[MammogramEntry], scratch: Path) -> Iterator[Sequence[MammogramEntry]]:
        """Yield all mammograms in parts, each while its files are under `base`."""


def whereabouts(source: str | Path, settings: IngestSettings) -> Whereabouts:
    """Return the location of a collection.

    Args:
        source: folder (or table) of the collection, or the URL of either.
        settings: of ingest.

    Raises:
        SourceError: it does not exist; or it is a URL that is not understood, or of a collection whose reader needs all
            files on this machine.
        SettingsError: the settings need the files after ingest, which a store does not allow.
    """
    url = url_of_source(source)
    if url is not None:
        return InStore(url, settings)
    if not os.path.exists(source):  # also False for an invalid path
        shown = str(source) if len(str(source)) <= 300 else f"{str(source)[:300]}..."
        raise SourceError(f"{shown} does not exist. Give the folder (or table) of the collection.")
    return OnDisk(Path(source))


class OnDisk:
    """A collection on this machine, with all its files."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.shown = str(source)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def collection(self, settings: IngestSettings, attributes: Path | None) -> Collection:
        """Read the tables; see `read_collection`."""
        return read_collection(self.source, settings, attributes)

    def record(self) -> Path:
        """Return the folder or table."""
        return self.source

    def base(self, scratch: Path) -> Path:
        """Return the collection's folder."""
        return base_folder(self.source)

    def parts(self, entries: Sequence[MammogramEntry], scratch: Path) -> Iterator[Sequence[MammogramEntry]]:
        """Yield all of them at once."""
        yield entries


class InStore:
    """A collection in an object store: its tables are fetched first, its other files part by part.

    A separate process does all communication with the store.
    """

    def __init__(self, url: str, settings: IngestSettings) -> None:
        """Check that the collection can be read from a store; the store is not accessed yet."""
        self.shown = without_password(url)
        self._opened = _opened_of(settings.collection, self.shown)
        if not settings.keep_images:
            raise SettingsError(
                f"keep_images is false, but {self.shown} is in a store, where images are not read again. Leave it true."
            )
        self._most_bytes = int(settings.fetched_gb * 1e9)
        self._url, self._table = url.rstrip("/"), ""
        self._objects: dict[str, StoredObject] = {}
        self._record = InputRecord("source", "folder", self.shown, "")
        self._child = Child(Limits(), "spawn")
        self._fetched: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        if self._fetched is not None:
            shutil.rmtree(self._fetched, ignore_errors=True)

    def collection(self, settings: IngestSettings, attributes: Path | None) -> Collection:
        """List the objects, fetch the tables and read them; see `read_collection`.

        Returns:
            The collection, with files given only by their names in the store (see `parts`).

        Raises:
            SourceError: as `read_collection`; or there are no objects, or a file must be opened to find its patient.
            StoreError: the store is not available, or refuses access.
        """
        self._list()
        with tempfile.TemporaryDirectory(prefix="mammofill-") as temporary:
            folder = Path(temporary).resolve()
            for name in self._objects:
                self._stand_in(folder, name)
            tables = {name for name in self._objects if name == self._table or name.lower().endswith(self._opened)}
            self._fetch(tables, folder)
            self._awaited()
            if self._table:
                fingerprint = fingerprint_file(folder / self._table)
                self._record = InputRecord("source", "file", self.shown, fingerprint)
            with self._in_its_words(folder):
                return self._by_name(read_collection(folder / self._table, settings, attributes), folder)

    def record(self) -> InputRecord:
        """Return the URL, and for a table its SHA-256."""
        return self._record

    def base(self, scratch: Path) -> Path:
        """Return the folder into which files are fetched."""
        folder = scratch / "fetched"
        folder.mkdir(exist_ok=True)
        return folder

    def parts(self, entries: Sequence[MammogramEntry], scratch: Path) -> Iterator[Sequence[MammogramEntry]]:
        """Yield the mammograms in parts, each while its files are under `base`; the next are fetched meanwhile.

        Raises:
            StoreError: a file no longer exists, was changed since it was listed, or was not fetched completely.
        """
        self._fetched = folder = self.base(scratch)
        shutil.rmtree(folder)  # remove the remains of a killed run
        parts = list(self._in_parts(entries))
        wanted = [{path.as_posix() for entry in part for path in entry.files} for part in parts]
        self._fetch(wanted[0] if wanted else set(), folder)
        for part, names, following in zip(parts, wanted, [*wanted[1:], set()], strict=False):
            self._awaited()
            self._fetch(following - names, folder)
            yield [with_files(entry, lambda path: folder / path) for entry in part]
            for name in names - following:
                (folder / name).unlink()
        self._awaited()

    def _in_parts(self, entries: Sequence[MammogramEntry]) -> Iterator[list[MammogramEntry]]:
        """Yield mammograms, as many at a time as may be stored on this machine, but at least one."""
        part: list[MammogramEntry] = []
        names: set[str] = set()
        held = 0
        for entry in entries:
            own = {path.as_posix() for path in entry.files}
            added = self._bytes_of(own - names)
            if part and held + added > self._most_bytes:
                yield part
                part, names, held, added = [], set(), 0, self._bytes_of(own)
            part.append(entry)
            names |= own
            held += added
        if part:
            yield part

    def _bytes_of(self, names: Names[str]) -> int:
        return sum(self._objects[name].bytes for name in names)

    def _list(self) -> None:
        objects = self._ask(objects_below, self._url)
        if "" in objects:  # the URL is that of a table, and its files are in the same folder
            self._url, _, self._table = self._url.rpartition("/")
            objects = self._ask(objects_below, self._url)
        self._objects = {name: one for name, one in objects.items() if name and not name.endswith("/")}
        if not self._objects:
            raise SourceError(f"{self.shown}: there is no object there or below. Check the URL.")

    def _stand_in(self, folder: Path, name: str) -> None:
        """Make a placeholder file with the name of an object."""
        try:
            path = inside(folder, name)
            if path.relative_to(folder).as_posix() != name:
                raise ValueError("it has a part without a name")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(AWAY)
        except (ValueError, OSError) as error:
            raise SourceError(
                f"{self.shown}: the object {name!r} cannot be a file on this machine ({error}). Rename it, or give the "
                "URL of a folder without it."
            ) from error

    def _by_name(self, collection: Collection, folder: Path) -> Collection:
        """Return a collection without the path of the folder in which it was listed."""

        def without_folder(row: Any) -> Any:
            return replace(row, found=row.found.replace(f"{folder}{os.sep}", ""))

        return replace(
            collection,
            mammograms=tuple(self._entry_by_name(entry, folder) for entry in collection.mammograms),
            exclusions=tuple(map(without_folder, collection.exclusions)),
            decisions=tuple(map(without_folder, collection.decisions)),
        )

    def _entry_by_name(self, entry: MammogramEntry, folder: Path) -> MammogramEntry:
        def name(path: Path) -> Path:
            place = Path(os.path.normpath(path))
            if not place.is_relative_to(folder):
                raise SourceError(
                    f"{self.shown} names the file {path} of {entry.mammogram_id}, which does not lie below it. Put it "
                    "there, and name it relative to the table."
                )
            return place.relative_to(folder)

        named = with_files(entry, name)
        objects = ((path.as_posix(), self._objects[path.as_posix()]) for path in named.files)
        return replace(named, versions=tuple(f"{name} {one.bytes} {one.version}" for name, one in objects))

    # ---- requests to the separate process ----

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self._child.begin(function, *arguments)
        return self._awaited()

    def _fetch(self, names: Names[str], folder: Path) -> None:
        """Start to fetch objects; `_awaited` waits for them."""
        self._child.begin(fetch, self._url, {name: self._objects[name] for name in sorted(names)}, folder)

    def _awaited(self) -> Any:
        try:
            return self._child.answer_awaited()
        except ChildDiedError as death:
            raise StoreError(
                f"{self.shown}: the process that fetches from there {death.why}. Run the same command again to go on."
            ) from death

    @contextmanager
    def _in_its_words(self, folder: Path) -> Iterator[None]:
        """Replace the folder in which the collection is listed by the URL in error messages."""
        try:
            yield
        except MammofillError as error:
            message = str(error).replace(f"{folder}", without_password(self._url))
            raise type(error)(message) from error


def _opened_of(collection: str, shown: str) -> tuple[str, ...]:
    opened = collection_reader(collection).opened
    if not opened:
        able = ", ".join(name for name, reader in COLLECTIONS.items() if reader.opened)
        raise SourceError(
            f"{shown} is a URL, and the reader of {collection} opens images to say whose they are, which is not done "
            "in a store. Copy the collection to a disk first (aws s3 sync, gcloud storage rsync). These are read from "
            f"stores: {able}."
        )
    return opened
