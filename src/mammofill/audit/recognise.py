"""Recognises a collection: each reader is asked whether it can read a folder or a table."""

from __future__ import annotations

from pathlib import Path

from mammofill.ground.errors import SettingsError, SourceError
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.collections import collection_names, collection_reader

_LAST = "table"
"""Tried last, since a user's own table is recognised only by columns with common names."""


def recognise(source: Path) -> str:
    """Return the name of the collection in a folder, or of a table.

    Args:
        source: as for `ingest`.

    Raises:
        SourceError: the source is missing, or no reader recognises it; for a CSV table the message says what it lacks.
        SettingsError: several readers recognise it.
    """
    if not source.exists():
        raise SourceError(f"{source} does not exist. Give the folder (or table) of the collection.")
    if source.suffix.lower() == ".toml":
        raise SourceError(f"{source} looks like a study file, and no collection: mammofill run {source} --out DIR")
    names = [name for name in collection_names() if name != _LAST and _recognises(name, source)]
    if not names and _recognises(_LAST, source):
        names = [_LAST]
    if not names:
        if source.suffix.lower() == ".csv":  # a single table is a user's own: its reader's error says what it lacks
            collection_reader(_LAST).read(source, IngestSettings(collection=_LAST))
        known = ", ".join(collection_names())
        raise SourceError(
            f"{source} is not recognised as any of {known}: none of their tables was found. Name the collection with "
            "--collection to see what is missing (docs/sources.md). For images alone, write a table of your own "
            "(docs/sources/table.md)."
        )
    if len(names) > 1:
        raise SettingsError(f"{source} could be {' or '.join(names)}. Name the right one with --collection.")
    return names[0]


def _recognises(name: str, source: Path) -> bool:
    """Return whether a reader recognises a source; False for a reader of another package that cannot be loaded."""
    try:
        return collection_reader(name).recognises(source)
    except SettingsError:
        return False
