"""What else is known of lesions, from a table beside the collection: shape, margins, assessment, subtlety, scale, ...

One row per picture. The column ``image``, ``file`` or ``mask`` names the picture or the mask, by its path, its name or
its name without the suffix; all other columns are kept as they stand, as attributes of the lesions. Where there
is a row for the picture and one for the mask, that of the picture counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mammofill.ground.errors import SourceError
from mammofill.mammograms.sources.annotations import Collection, Decision, LesionEntry, MammogramEntry
from mammofill.mammograms.sources.csv_table import plain_name, read_csv_table, rows_of
from mammofill.mammograms.sources.numbers import same_cell
from mammofill.mammograms.sources.pathology_words import plain_word, understand
from mammofill.mammograms.sources.patients import patient_key

_KEYS = ("image", "file", "mask")
"""Columns that may name the picture; the first that is there does."""
_PATIENT = ("patient", "patientid")
_WITHOUT = "lesion-without-attributes"


def with_attributes(collection: Collection, table: Path) -> Collection:
    """Return a collection whose lesions have the attributes that a table gives, besides those that they had.

    Args:
        collection: of any kind, as its reader found it.
        table: the CSV file.

    Raises:
        SourceError: the table names no pictures, one picture twice (unless its rows agree), or none of this collection.
    """
    rows = _rows_by_name(table)
    decisions: list[Decision] = []
    _check_one_picture_each(collection, rows, table)
    pathologies = (value for row in rows.values() for column, value in row.items() if plain_name(column) == "pathology")
    meaning = understand(((word, True) for word in pathologies), "", table.name).meaning
    entries = tuple(_joined(entry, rows, table, meaning, decisions) for entry in collection.mammograms)
    lesions = sum(len(entry.lesions) for entry in entries)
    without = [one for one in decisions if one.rule == _WITHOUT]
    if lesions and len(without) == lesions:
        raise SourceError(
            f"{table} names none of the {lesions} lesions' pictures; its first is {next(iter(rows), 'nothing')!r}, "
            f"that of {without[0].what} is {collection.mammograms[0].image[0].name}. Name pictures as their files are "
            "called."
        )
    return replace(collection, mammograms=entries, decisions=(*collection.decisions, *decisions))


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
    for row in rows_of(table):
        if row[key] in rows:
            raise SourceError(f"{row['row']} names {row[key]} again. Give each picture one row in {path}.")
        rows[row[key]] = {column: value for column, value in row.items() if value and column not in (key, "row")}
    return rows


def _check_one_picture_each(collection: Collection, rows: Mapping[str, Mapping[str, str]], table: Path) -> None:
    picture_of: dict[str, Path] = {}
    for entry in collection.mammograms:
        files = {file for lesion in entry.lesions for file in _files(entry, lesion)}
        for name in {name for file in files for name in _names(file) if name in rows}:
            other = picture_of.setdefault(name, entry.image[0])
            if other != entry.image[0]:
                raise SourceError(f"{table}: {name} may be {other} or {entry.image[0]}. Name them with their folders.")


def _joined(
    entry: MammogramEntry,
    rows: Mapping[str, Mapping[str, str]],
    table: Path,
    meaning: Mapping[str, str],
    decisions: list[Decision],
) -> MammogramEntry:
    lesions = []
    for lesion in entry.lesions:
        what = lesion.lesion_id
        own = [
            values
            for file in _files(entry, lesion)
            if (values := _attribute_values(file, rows, table, what)) is not None
        ]
        values = own[0] if own else {}
        replaced = _other_values(lesion.attributes, values)
        notes: list[Note] = []
        if not own:
            notes.append((_WITHOUT, f"{table.name} has no row for {what}.", "Kept, without attributes from there."))
        notes.extend(_rows_that_differ(own, table.name, what))
        notes.extend(_contradictions(entry, lesion, values, table.name, meaning))
        for old, new in replaced.items():
            had = lesion.attributes[old]
            found = f"{table.name} has {values[new]!r} as {new} of {what}, and the collection {had!r}."
            notes.append(("attribute-replaced", found, f"What {table.name} has is kept."))
        decisions.extend(Decision(what, entry.patient_id, *note) for note in notes)
        kept = {column: value for column, value in lesion.attributes.items() if column not in replaced}
        lesions.append(replace(lesion, attributes={**kept, **values}))
    return replace(entry, lesions=tuple(lesions))


Note = tuple[str, str, str]
"""Rule of a decision, what was found, what was done."""


def _attribute_values(
    file: Path, rows: Mapping[str, Mapping[str, str]], table: Path, what: str
) -> Mapping[str, str] | None:
    """Return the values in the rows that name a file, in whatever way; None where there are none.

    Raises:
        SourceError: two of them say different things.
    """
    naming = [name for name in dict.fromkeys(_names(file)) if name in rows]
    values: dict[str, str] = {}
    for name in naming:
        for column, value in rows[name].items():
            if not _same(values.setdefault(column, value), value):
                raise SourceError(
                    f"{table}: {naming[0]} and {name} both name a file of {what}, and disagree about {column}: "
                    f"{values[column]} and {value}. Give each picture one row."
                )
    return values if naming else None


def _same(one: str, other: str) -> bool:
    return same_cell(one).lower() == same_cell(other).lower()


def _rows_that_differ(own: Sequence[Mapping[str, str]], table: str, what: str) -> Iterator[Note]:
    """Yield a note where the row of the picture, which counts, and that of the mask disagree."""
    for other in own[1:]:
        for column, value in other.items():
            if not _same(own[0].get(column, value), value):
                found = (
                    f"{table} has {own[0][column]!r} as {column} of the picture of {what}, and {value!r} of its mask."
                )
                yield "attributes-contradict", found, "What the row of the picture says is kept."


def _contradictions(
    entry: MammogramEntry, lesion: LesionEntry, values: Mapping[str, str], table: str, meaning: Mapping[str, str]
) -> Iterator[Note]:
    """Yield a note where a row names another patient or pathology than the collection: it may be another lesion's."""
    for column, value in values.items():
        if plain_name(column) in _PATIENT:
            has, differs = entry.patient_id, patient_key(value) not in ("", patient_key(entry.patient_id))
        elif plain_name(column) == "pathology":
            has, differs = lesion.pathology, meaning.get(plain_word(value), lesion.pathology) != lesion.pathology
        else:
            continue
        if differs:
            found = f"{table} has {value!r} as {column} of {lesion.lesion_id}, and the collection {has!r}."
            done = "The collection's counts, the other is an attribute. See whether rows are mixed up."
            yield "attributes-contradict", found, done


def _other_values(had: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes of a lesion for which a row has another value: their columns by what the row calls them."""
    called = {plain_name(column): column for column in values}
    alike = {column: called[plain_name(column)] for column in had if plain_name(column) in called}
    return {old: new for old, new in alike.items() if not _same(had[old], values[new])}


def _files(entry: MammogramEntry, lesion: LesionEntry) -> Sequence[Path]:
    """Return the files by which a row may call a lesion: its picture, then its mask."""
    return (*entry.image, *(lesion.place if isinstance(lesion.place, tuple) else ()))


def _names(file: Path) -> Sequence[str]:
    """Return how a row may call a file: as path, name or name without suffix."""
    return (*_endings(file), file.stem)


def _endings(file: Path) -> list[str]:
    """Return a path and what remains of it when folders are left out from the front."""
    parts = file.parts
    return [str(file), *("/".join(parts[first:]) for first in range(1, len(parts)))]
