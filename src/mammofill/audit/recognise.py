"""Which collection is this? Each reader says whether a folder or a table is its own."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from mammofill.ground.errors import SettingsError, SourceError
from mammofill.mammograms.sources.collections import COLLECTIONS

_LAST = "table"
"""Asked last: a table of one's own has no more than columns of common names."""


def recognise(source: Path) -> str:
    """Return the name of the collection that a folder, or a table, holds.

    Args:
        source: as for `ingest`.

    Raises:
        SourceError: the source is missing, or no reader knows it.
        SettingsError: several readers know it.
    """
    if not source.exists():
        raise SourceError(f"{source} does not exist. Give the folder (or table) of the collection.")
    names = [name for name in COLLECTIONS if name != _LAST and _recognises(name, source)]
    if not names and _recognises(_LAST, source):
        names = [_LAST]
    if not names:
        known = ", ".join(COLLECTIONS)
        raise SourceError(
            f"{source} is not recognised as any of {known}: no table of theirs was found. Say which one it is with "
            "--collection, to be told what is missing (docs/sources.md). For images alone, write a table of your own "
            "(docs/sources/table.md)."
        )
    if len(names) > 1:
        raise SettingsError(f"{source} could be {' or '.join(names)}. Say which one is meant with --collection.")
    return names[0]


def _recognises(name: str, source: Path) -> bool:
    reader = import_module(f"mammofill.mammograms.sources.{name.replace('-', '_')}")
    return bool(reader.recognises(source))
