"""What else is known of lesions, from a table beside the collection: shape, margins, assessment, subtlety, scale, ...

One row per picture. The column ``image``, ``file`` or ``mask`` names the picture or the mask, by its path, its name or
its name without the suffix; all other columns are kept as they stand, as attributes of the lesions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mammofill.ground.errors import SourceError
from mammofill.mammograms.sources.annotations import Collection, Decision, LesionEntry, MammogramEntry
from mammofill.mammograms.sources.csv_table import read_csv_table

_KEYS = ("image", "file", "mask")
"""Columns that may name the picture; the first that is there does."""


def with_attributes(collection: Collection, table: Path) -> Collection:
    """Return a collection whose lesions have the attributes that a table tells, besides those that they had.

    Args:
        collection: of any kind, as its reader found it.
        table: the CSV file.

    Raises:
        SourceError: the table names no pictures, one picture twice, or none of this collection.
    """
    rows = _rows_by_name(table)
    without: list[Decision] = []
    _check_one_picture_each(collection, rows, table)
    entries = tuple(_joined(entry, rows, table, without) for entry in collection.mammograms)
    lesions = sum(len(entry.lesions) for entry in entries)
    if lesions and len(without) == lesions:
        raise SourceError(
            f"{table} names none of the {lesions} lesions' pictures; its first is {next(iter(rows), 'nothing')!r}, "
            f"that of {without[0].what} is {collection.mammograms[0].image[0].name}. Name pictures as their files are "
            "called."
        )
    return replace(collection, mammograms=entries, decisions=(*collection.decisions, *without))


def _rows_by_name(path: Path) -> dict[str, Mapping[str, str]]:
    table = read_csv_table(path, ())
    columns = [str(column) for column in table.columns if column != "row"]
    key = next((column for name in _KEYS for column in columns if column.lower() == name), None)
    if key is None:
        raise SourceError(
            f"{path} must name the picture of each row in a column called {' or '.join(_KEYS)}, but has the columns "
            f"{', '.join(columns)}."
        )
    rows: dict[str, Mapping[str, str]] = {}
    for record in table.to_dict("records"):
        row = {str(column): str(value) for column, value in record.items()}
        if row[key] in rows:
            raise SourceError(f"{row['row']} names {row[key]} again. Give each picture one row in {path}.")
        rows[row[key]] = {column: value for column, value in row.items() if value and column not in (key, "row")}
    return rows


def _check_one_picture_each(collection: Collection, rows: Mapping[str, Mapping[str, str]], table: Path) -> None:
    picture_of: dict[str, Path] = {}
    for entry in collection.mammograms:
        for name in {name for lesion in entry.lesions for name in _names(entry, lesion) if name in rows}:
            other = picture_of.setdefault(name, entry.image[0])
            if other != entry.image[0]:
                raise SourceError(f"{table}: {name} may be {other} or {entry.image[0]}. Name them with their folders.")


def _joined(
    entry: MammogramEntry, rows: Mapping[str, Mapping[str, str]], table: Path, without: list[Decision]
) -> MammogramEntry:
    lesions = []
    for lesion in entry.lesions:
        told = next((rows[name] for name in _names(entry, lesion) if name in rows), None)
        if told is None:
            found = f"{table.name} has no row for {lesion.lesion_id}."
            done = "Kept, without attributes from there."
            without.append(Decision(lesion.lesion_id, entry.patient_id, "lesion-without-attributes", found, done))
        lesions.append(replace(lesion, attributes={**lesion.attributes, **(told or {})}))
    return replace(entry, lesions=tuple(lesions))


def _names(entry: MammogramEntry, lesion: LesionEntry) -> Sequence[str]:
    """Return how a row may call a lesion: by its picture, or its mask, as path, name or name without suffix."""
    files = (*entry.image, *(lesion.place if isinstance(lesion.place, tuple) else ()))
    return [name for file in files for name in (*_endings(file), file.stem)]


def _endings(file: Path) -> list[str]:
    """Return a path and what remains of it when folders are left out from the front."""
    parts = file.parts
    return [str(file), *("/".join(parts[first:]) for first in range(1, len(parts)))]
