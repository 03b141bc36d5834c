"""Fetching what others put into a store: its objects listed, and some of them copied into a folder.

Both are meant to run in a `Child`, so that the threads which a store's library starts are confined to it, and no
process is forked beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from mammofill.ground.file_names import inside
from mammofill.ground.stores.push import AT_ONCE
from mammofill.ground.stores.remote import Remote, StoredObject

_remote = cache(Remote)


def objects_below(url: str) -> dict[str, StoredObject]:
    """Return all objects below a URL, at any depth, by name; where it is itself an object, that alone, as "".

    Raises:
        StoreError: the store is not there, or refuses.
        SettingsError: the library for it is not installed.
    """
    return _remote(url).objects()


def fetch(url: str, objects: Mapping[str, StoredObject], folder: Path) -> None:
    """Copy objects into a folder, where they have the names that they have below a URL; several at a time.

    Args:
        url: below which they lie.
        objects: those that are wanted, by name, and how they were listed.
        folder: it and those in it are made.

    Raises:
        StoreError: one is not there any more, was changed since it was listed, or did not arrive whole.
    """
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda name: _fetch_one(url, name, objects[name], folder), objects))


def _fetch_one(url: str, name: str, listed: StoredObject, folder: Path) -> None:
    path = inside(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remote(url).fetch(name, listed, path)
