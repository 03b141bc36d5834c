"""Finding and reading CSV tables as text, the same way for every collection that comes with one."""

from __future__ import annotations

import csv
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from mammofill.ground.errors import SourceError
from mammofill.mammograms.sources.annotations import Exclusion

Row = Mapping[str, str]
"""A row of a table: its cells by column, and under `row` where it stands, for messages ("own.csv row 2")."""

_SPREADSHEETS = (".xls", ".xlsx")

_DEPTH_TO_RECOGNISE = 2
"""Folders below the source into which one looks to recognise a collection."""


def read_csv_table(path: Path, needed: Sequence[str], any_case: bool = False) -> pd.DataFrame:
    """Read a table whose cells are all text, without spaces and line ends around them.

    Args:
        path: the file, UTF-8, with a header line; columns are separated by commas or, where the header has more of
            them, by semicolons.
        needed: columns that must be there.
        any_case: whether to bring the names of all columns to lower case.

    Returns:
        The rows, with a further column `row` that says where each stands, for messages ("own.csv row 2" is the first
        below the header). Empty cells are "", and nothing else is taken for a missing value.

    Raises:
        SourceError: the file is no such table, or lacks columns; names them and those that it has.
    """
    _refuse_spreadsheet(path)
    try:
        table = pd.read_csv(
            path,
            sep=_separator(_first_line(path)),
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
            index_col=False,
            encoding="utf-8-sig",
        )
    except (OSError, ValueError) as error:  # pandas' own errors of parsing and decoding are ValueErrors
        raise SourceError(f"{path} cannot be read as a CSV table: {str(error).strip()}.") from error
    table.columns = [str(column).strip().lower() if any_case else str(column).strip() for column in table.columns]
    twice = sorted({str(name) for name in table.columns[table.columns.duplicated()]})
    if twice:
        raise SourceError(f"{path} has more than one column called {', '.join(twice)}. Rename or remove the others.")
    missing = [column for column in needed if column not in table]
    if missing:
        raise SourceError(
            f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(table.columns)}. "
            f"Needed are {', '.join(needed)}."
        )
    rows: pd.DataFrame = table.fillna("").apply(lambda column: column.str.strip())
    rows["row"] = [f"{path.name} row {number}" for number in range(2, len(rows) + 2)]
    return rows


def read_rows(path: Path, needed: Sequence[str]) -> list[Row]:
    """Read a table as `read_csv_table` does, row by row."""
    records = read_csv_table(path, needed).to_dict("records")
    return [{str(column): str(value) for column, value in record.items()} for record in records]


def one_row_each(rows: Iterable[Row], key: str) -> tuple[list[Row], list[Exclusion]]:
    """Keep one row for each value of a column that should name every thing once.

    Returns:
        The first row of each, without those whose rows contradict each other; and an exclusion for each row that says
        again what another said (row-repeated), and for each thing whose rows disagree (rows-disagree).
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row)
    kept: list[Row] = []
    exclusions: list[Exclusion] = []
    for name, group in groups.items():
        differing = sorted({column for row in group for column in row if row[column] != group[0][column]} - {"row"})
        if differing:
            where = ", ".join(row["row"] for row in group)
            found = f"{where} all describe {name}, and disagree about {', '.join(differing)}."
            exclusions.append(Exclusion(name, None, "rows-disagree", found))
            continue
        kept.append(group[0])
        for row in group[1:]:
            found = f"{row['row']} repeats {group[0]['row']}: {name}."
            exclusions.append(Exclusion(row["row"], None, "row-repeated", found))
    return kept, exclusions


def find_table(source: Path, columns: Sequence[str], name: str) -> Path:
    """Find the one table with certain columns.

    Args:
        source: a folder that holds it at any depth, or the table itself.
        columns: columns by which it is known, whatever it is called.
        name: what it is called by its publisher, for messages.

    Raises:
        SourceError: there is none, or several that differ; or there is a spreadsheet that has to be exported first.
    """
    if source.is_file():
        _refuse_spreadsheet(source)
        return source
    found = [path for path in files_under(source, (".csv",)) if has_columns(path, columns)]
    if not found:
        for path in files_under(source, _SPREADSHEETS):
            if _is_spreadsheet(path, name):
                _refuse_spreadsheet(path)
        raise SourceError(
            f"{source} lacks {name}: no .csv file below it has the columns {', '.join(columns)}. "
            "Put it anywhere under this folder."
        )
    different = [path for path in found[1:] if path.read_bytes() != found[0].read_bytes()]
    if different:
        raise SourceError(f"{found[0]} and {different[0]} could both be {name}, and differ. Remove one.")
    return found[0]


def has_columns(path: Path, columns: Sequence[str]) -> bool:
    """Say whether the first line of a CSV file names certain columns; False for what cannot be read."""
    line = _first_line(path)
    names = next(csv.reader([line], delimiter=_separator(line), skipinitialspace=True), [])
    return {name.strip() for name in names}.issuperset(columns)


def recognises_table(source: Path, columns: Sequence[str], name: str) -> bool:
    """Say whether a file is a certain table, or whether a folder, or one of those in it, holds it.

    Args:
        source: the file or folder; of tables only the first line is read.
        columns: columns by which the table is known.
        name: what it is called by its publisher: a spreadsheet of this name counts as well, for it can be exported.
    """
    endings = (".csv", *_SPREADSHEETS)
    paths = [source] if source.is_file() else files_under(source, endings, _DEPTH_TO_RECOGNISE)
    return any(
        has_columns(path, columns) if path.suffix.lower() == ".csv" else _is_spreadsheet(path, name) for path in paths
    )


def files_under(source: Path, endings: Collection[str], depth: int | None = None) -> Iterator[Path]:
    """Walk a folder once, in order, following links, and hand out the files with certain endings.

    Args:
        source: the folder; of a file nothing is handed out.
        endings: in lower case, with the dot.
        depth: how many folders below `source` are looked into; None for all.
    """
    walked: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(source, followlinks=True):
        about = os.stat(folder)
        if (about.st_dev, about.st_ino) in walked:  # a link that leads in a circle
            folders.clear()
            continue
        walked.add((about.st_dev, about.st_ino))
        if {"images", "tissue"}.issubset(folders) and not {"artifact.json", "plan.json"}.isdisjoint(names):
            folders.clear()  # a set of ours, made inside the collection: its pictures have the names of the sources
            continue
        folders.sort()
        if depth is not None and len(Path(folder).relative_to(source).parts) >= depth:
            folders.clear()
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in endings:
                yield Path(folder, name)


def _is_spreadsheet(path: Path, name: str) -> bool:
    """Say whether a file is the spreadsheet of a table's name, in which copies have - and _ mixed up."""
    stems = {stem.lower().replace("_", "-") for stem in (path.stem, Path(name).stem)}
    return path.suffix.lower() in _SPREADSHEETS and len(stems) == 1


def _refuse_spreadsheet(path: Path) -> None:
    if path.suffix.lower() in _SPREADSHEETS:
        raise SourceError(
            f"{path} is a spreadsheet. Open it, save its first sheet as CSV (UTF-8) beside it, and run again."
        )


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as lines:
            return lines.readline()
    except OSError:
        return ""


def _separator(header: str) -> str:
    return ";" if header.count(";") > header.count(",") else ","
