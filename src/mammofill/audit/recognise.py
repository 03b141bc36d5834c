"""Which collection is this? Each reader says whether a folder or a table is its own."""

from __future__ import annotations

from pathlib import Path

from mammofill.ground.errors import SettingsError, SourceError
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.collections import collection_names, collection_reader

_LAST = "table"
"""Asked last: a table of one's own has no more than columns of common names."""


def recognise(source: Path) -> str:
    """Return the name of the collection that a folder, or a table, holds.

    Args:
        source: as for `ingest`.

    Raises:
        SourceError: the source is missing, or no reader knows it; of a CSV table the message says what it lacks.
        SettingsError: several readers know it.
    """
    if not source.exists():
        raise SourceError(f"{source} does not exist. Give the folder (or table) of the collection.")
    if source.suffix.lower() == ".toml":
        raise SourceError(f"{source} looks like a study file, and no collection: mammofill run {source} --out DIR")
    names = [name for name in collection_names() if name != _LAST and _recognises(name, source)]
    if not names and _recognises(_LAST, source):
        names = [_LAST]
    if not names:
        if source.suffix.lower() == ".csv":  # a table by itself is one's own: its reader says what it lacks
            collection_reader(_LAST).read(source, IngestSettings(collection=_LAST))
        known = ", ".join(collection_names())
        raise SourceError(
            f"{source} is not recognised as any of {known}: no table of theirs was found. Say which one it is with "
            "--collection, to be told what is missing (docs/sources.md). For images alone, write a table of your own "
            "(docs/sources/table.md)."
        )
    if len(names) > 1:
        raise SettingsError(f"{source} could be {' or '.join(names)}. Say which one is meant with --collection.")
    return names[0]


def _recognises(name: str, source: Path) -> bool:
    """Ask a reader; one of another package that cannot be loaded recognises nothing."""
    try:
        return collection_reader(name).recognises(source)
    except SettingsError:
        return False
