"""A folder in an object store, as fsspec shows it: what is written there is there whole or not at all.

Credentials and the store's address are found by its own library, from the environment and its own files:
``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL`` and ``~/.aws`` for s3fs. Nothing of that is read or kept here.
"""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mammofill.ground.errors import MammofillError, SettingsError, StoreError
from mammofill.ground.file_names import why_no_file

_WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}
"""Stores in which an object appears in one move. Elsewhere a file is written beside its place and then renamed."""

_BY_PARTS: dict[str, Any] = {"chunksize": 2**24, "max_concurrency": 1}
"""How s3fs sends a file: by default it would hold half a gigabyte of each one in memory. Several files are sent at
once."""

_NO_BUCKET = "bucket does not exist"
_BESIDE = re.compile(r"\.[0-9a-f]{32}\.partial$")
_EXTRA = {"s3": "object-stores", "s3a": "object-stores"}
_VERSIONS = ("ETag", "generation", "etag", "LastModified", "mtime")
"""Names that stores use for a value that changes with an object's content; the first one given counts."""


@dataclass(frozen=True)
class StoredObject:
    """An object as a store lists it."""

    bytes: int
    version: str
    """Changes with the content under its name: what the store calls ETag, or generation."""


def without_password(url: str) -> str:
    """Return a URL as messages say it, and as it may be kept."""
    return re.sub(r"//([^/:]*):[^/]*@", r"//\1:***@", url.rstrip("/"))


class Remote:
    """A folder in a store. Names are relative to it, with ``/``.

    Every method raises `StoreError`, which names the URL, where the store is not there or refuses.
    """

    def __init__(self, url: str) -> None:
        """Find the store; no request is sent yet.

        Args:
            url: for example ``s3://bucket/folder``, or ``file:///mnt/folder``.

        Raises:
            SettingsError: it is no URL of a store, or the library for it is not installed.
            StoreError: the library cannot begin.
        """
        self.shown = without_password(url)
        """The URL as messages say it."""
        self._files, self._root = _found(url, self.shown)
        kinds = self._files.protocol
        kinds = {kinds} if isinstance(kinds, str) else set(kinds)
        self._whole = not _WHOLE.isdisjoint(kinds)
        self._by_parts = _BY_PARTS if "s3" in kinds else {}
        self._on_disk = "file" in kinds

    def read(self, name: str, first: int, last: int) -> bytes:
        """Return the bytes of an object from `first` up to but not including `last`, or to its end."""
        with self._store_errors(name):
            if self._on_disk and Path(self._at(name)).is_fifo():  # whoever opens a pipe may wait for ever
                raise OSError(why_no_file(Path(self._at(name))))
            content: bytes = self._files.cat_file(self._at(name), start=first, end=last)
            return content

    def read_if_there(self, name: str, most: int) -> bytes | None:
        """Return a small object, or None where there is none; one of more than `most` bytes is truncated to these."""
        try:
            return self.read(name, 0, most)
        except StoreError as error:
            # A store reports a missing bucket by the same error as a missing object.
            if isinstance(error.__cause__, FileNotFoundError) and _NO_BUCKET not in str(error.__cause__):
                return None
            raise

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the size in bytes of each object right below a folder, by its last name; none where it is not there.

        One request returns up to a thousand of them.
        """
        with self._store_errors(folder):
            self._files.invalidate_cache()
            found = self._files.find(self._at(folder), detail=True)
            return {PurePosixPath(path).name: int(about["size"]) for path, about in found.items()}

    def objects(self) -> dict[str, StoredObject]:
        """Return all objects below the URL, at any depth, by name; where it is itself an object, that alone, as ""."""
        with self._store_errors(""):
            self._files.invalidate_cache()
            found = self._files.find(self._root, detail=True)
            return {path[len(self._root) + 1 :]: _listed(about) for path, about in found.items()}

    def fetch(self, name: str, listed: StoredObject, path: Path) -> None:
        """Copy an object to a file.

        Args:
            name: of the object.
            listed: its entry in the listing, which it must still match.
            path: the file; its folder is there.

        Raises:
            StoreError: it was changed since, or did not arrive whole.
        """
        with self._store_errors(name):
            self._files.get_file(self._at(name), os.fspath(path))
            self._files.invalidate_cache()
            now, arrived = _listed(self._files.info(self._at(name))), path.stat().st_size
        if now != listed or arrived != listed.bytes:
            raise StoreError(
                f"{self.shown}/{name} was changed while the collection was read, or did not arrive whole: it was "
                f"listed with {listed.bytes:,} bytes as {listed.version}, is there with {now.bytes:,} as "
                f"{now.version}, and {arrived:,} arrived. Run the same command again to go on."
            )

    def send(self, path: Path, name: str) -> None:
        """Put a file there."""
        with self._store_errors(name), self._place_for(name) as place:
            self._files.put_file(os.fspath(path), place, **self._by_parts)

    def write(self, name: str, content: bytes) -> None:
        """Put bytes there."""
        with self._store_errors(name), self._place_for(name) as place:
            self._files.pipe_file(place, content)

    def clear(self) -> None:
        """Remove what killed pushes left beside their places. Only when everything is at its place."""
        if self._whole:
            return
        with self._store_errors(""):
            for path in self._files.find(self._root, maxdepth=2):
                if _BESIDE.search(path):
                    with suppress(FileNotFoundError):  # removed by another push, or renamed by its own
                        self._files.rm_file(path)

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _place_for(self, name: str) -> Iterator[str]:
        """Yield where to write an object so that it appears whole."""
        place = self._at(name)
        if self._whole:
            yield place
            return
        self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        beside = f"{place}.{uuid.uuid4().hex}.partial"
        yield beside
        try:
            self._files.mv(beside, place)
        except FileNotFoundError:  # another push of the same artifact was done, and cleared away
            if not self._files.exists(place):
                raise

    @contextmanager
    def _store_errors(self, name: str) -> Iterator[None]:
        """Turn errors of a store, of whichever library, into a message."""
        where = f"{self.shown}/{name}"
        try:
            yield
        except MammofillError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StoreError(f"{where}: {_in_words(error)}") from error


def _listed(about: dict[str, Any]) -> StoredObject:
    version = next((about[name] for name in _VERSIONS if about.get(name)), "")
    return StoredObject(int(about["size"]), str(version).strip('"'))


def _found(url: str, shown: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the folder in it."""
    scheme, colon, _ = url.partition("://")
    if not colon or "::" in url:
        raise SettingsError(f"{shown} is no URL of a folder in a store. Give one such as s3://bucket/patches.")
    try:
        from fsspec.core import url_to_fs

        files, root = url_to_fs(url)
    except ImportError as error:
        extra = f'pip install "mammofill[{_EXTRA[scheme]}]"' if scheme in _EXTRA else str(error)
        raise SettingsError(f"{shown}: {scheme}:// needs a library that is not installed: {extra}.") from error
    except (ValueError, TypeError, AttributeError) as error:  # also of what takes more than a URL
        raise SettingsError(f"{shown}: {error}. Give a URL such as s3://bucket/patches.") from error
    except Exception as error:
        raise StoreError(f"{shown}: {_in_words(error)}") from error
    return files, root.rstrip("/")


def _in_words(error: Exception) -> str:
    """Return what went wrong and what to do; libraries that may not be installed are known by the names they use."""
    kind, text = type(error).__name__, " ".join(str(error).split()) or type(error).__name__
    if "Credentials" in kind or "DefaultCredentials" in text:
        return (
            f"no credentials were found ({text}). Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), or "
            "what else the store's library reads."
        )
    if "Endpoint" in kind or isinstance(error, ConnectionError):
        return (
            f"the store does not answer ({text}). Check its address (AWS_ENDPOINT_URL where it is not Amazon's own) "
            "and the network, then run the same command again to go on."
        )
    if isinstance(error, PermissionError):
        return f"the store refuses ({text}). Check the credentials and what they allow."
    if isinstance(error, FileNotFoundError):
        return f"it is not there ({text}). Check the URL; a bucket is not made by mammofill."
    return f"the store cannot be used ({kind}: {text}). Run the same command again to go on."
