"""Finding and reading CSV tables as text, the same way for every collection that comes with one."""

from __future__ import annotations

import csv
import io
import os
import re
import stat
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mammofill.ground.counting import counted
from mammofill.ground.errors import SourceError
from mammofill.ground.file_names import why_no_file
from mammofill.ground.foreign_files import is_regular_file
from mammofill.mammograms.sources.annotations import Exclusion
from mammofill.mammograms.sources.numbers import same_cell

Row = Mapping[str, str]
"""A row of a table: its cells by column, and under `row` where it stands, for messages ("own.csv row 2")."""

_SPREADSHEETS = (".xls", ".xlsx")

_NO_TEXT = "it holds bytes that are no text, as pictures do. Give the table that names the pictures."

_SAYS_SEPARATOR = re.compile(r"\s*\"?sep=.\"?\s*$", re.IGNORECASE)
"""What Excel writes and reads in the first line."""

_COMMENT = re.compile(r"\s*\"?#[^,;\t|]*$")
"""A line above the header that has no cells."""

_ENDING = re.compile(r"\.[A-Za-z]\w{1,4}$")
"""Of the name of a file."""
_DEPTH_TO_RECOGNISE = 2
"""Folders below the source into which one looks to recognise a collection."""


def read_csv_table(path: Path, needed: Sequence[str], known: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table whose cells are all text, without spaces and line ends around them.

    Args:
        path: the file, UTF-8 (or UTF-16 with its mark), with a header, the first line that is not empty; columns are
            separated by commas, semicolons, tabs or bars, whichever the header has most of. A line like ``sep=;``
            before it, and a comment (``#``) without separators, are passed by. Columns without a name must be empty, or
            number the rows, and are left out.
        needed: columns that must be there.
        known: columns that are found in any spelling (`plain_name`); where some are given, the names of all others are
            brought to lower case.

    Returns:
        The rows, with a further column `row` that says where each stands, for messages ("own.csv row 2" is the first
        below the header; empty rows are counted and left out). A column of the file called `row` becomes `row_in_file`.
        Empty cells are "", and nothing else is taken for a missing value.

    Raises:
        SourceError: the file is no such table, has a row with more cells than the header, has a cell into which a
            quotation mark took other rows, or lacks columns; names them and those that it has.
    """
    _refuse_spreadsheet(path)
    (_, names), *records = _records(path)
    header, numbered = _without_unnamed_columns(path, names, records)
    width = len(header)
    for number, row in numbered:
        if any(cell.strip() for cell in row[width:]):
            raise SourceError(
                f"{path.name} row {number} has {len(row)} cells, but the header names {counted(width, 'columns')} "
                f"({', '.join(header)[:60]}): its cells are shifted, or one of them holds a separator without quotes "
                f"around it. Put {path} right."
            )
    cells = [[cell.strip() for cell in (row + [""] * width)[:width]] for _, row in numbered]
    spelt = {plain_name(one): one for one in known}
    names = [_spelt_as_known(column.strip(), spelt) for column in header]
    names = ["row_in_file" if name == "row" else name for name in names]
    # Objects in one array: pandas would store each column of strings alone, and a wide table take minutes.
    rows = pd.DataFrame(np.array(cells, object).reshape(len(cells), width), columns=names, dtype=object)
    twice = sorted({str(name) for name in rows.columns[rows.columns.duplicated()]})
    if twice:
        raise SourceError(f"{path} has more than one column called {', '.join(twice)}. Rename or remove the others.")
    missing = [column for column in needed if column not in rows]
    if missing:
        raise SourceError(
            f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(rows.columns)}. "
            f"Needed are {', '.join(needed)}. Rename columns that mean the same, or add them."
        )
    rows["row"] = [f"{path.name} row {number}" for number, _ in numbered]
    return rows


def plain_name(column: str) -> str:
    """Return a column's name such that case, spaces, hyphens, underscores and what is not seen make no difference."""
    seen = "".join(one for one in unicodedata.normalize("NFKC", column) if unicodedata.category(one) != "Cf")
    return re.sub(r"[\s_-]+", "", seen.casefold())


def _spelt_as_known(column: str, spelt: Mapping[str, str]) -> str:
    """Return the name of a column as it is known, by its plain name; in lower case where others are known."""
    return spelt.get(plain_name(column), column.lower()) if spelt else column


Numbered = tuple[int, list[str]]
"""The cells of a row, and which row of the file it is."""


def _records(path: Path) -> list[Numbered]:
    """Return the header and the rows that are not empty, each with its number; the header is number 1."""
    lines = _text(path)
    header = _header_of(lines)
    csv.field_size_limit(max(csv.field_size_limit(), len(lines)))  # the corners of an outline make a long cell
    reader = csv.reader(
        io.StringIO(lines, newline=""), delimiter=_separator(header), skipinitialspace=True, strict=True
    )
    rows: list[Numbered] = []
    number, begins = 1, 1
    try:
        for number, row in enumerate(reader, start=1):
            skipped = number == 1 and _SAYS_SEPARATOR.match(lines.split("\n", 1)[0])
            skipped = skipped or (not rows and len(row) == 1 and _COMMENT.match(row[0]))
            if not skipped and any(cell.strip() for cell in row):
                rows.append((number, row))
                _refuse_swallowed_rows(path, row, begins, len(rows[0][1]) - 1, header)
            begins = reader.line_num + 1
    except csv.Error as error:
        raise SourceError(
            f"{path} cannot be read as a CSV table: {error}, in the row after row {number}. Perhaps a quote is never "
            "closed, and takes the rows below it for one cell."
        ) from error
    if not rows:
        raise SourceError(f"{path} cannot be read as a CSV table: it is empty.")
    return rows


def _refuse_swallowed_rows(path: Path, row: list[str], begins: int, between: int, header: str) -> None:
    """Refuse a row of which a cell holds other rows: a quotation mark was opened in one and closed in another.

    A line within a cell is a row if it has as many separators as the header (`between`). Where only two rows are in the
    cell, its first line has the separators behind the cell's column, and its last line those before it. In text a space
    follows a comma, so such commas do not count, unless the header has them as well. With fewer than three separators a
    line of text looks like a row too easily. Where the row names files, a line without one is none: a list of numbers.
    """
    separator = _separator(header)
    separates = re.compile(re.escape(separator) + ("" if f"{separator} " in header else r"(?! )"))
    endings = {found[0] for one in row if "\n" not in one and (found := _ENDING.search(one.strip()))}
    for place, cell in enumerate(row):
        counts = [len(separates.findall(line)) for line in cell.split("\n")]
        if endings and not any(part.strip().endswith(tuple(endings)) for part in separates.split(cell)):
            continue
        looks_so = between in counts[1:-1] or (counts[0], counts[-1]) == (between - place, place)
        if between >= 3 and len(counts) > 1 and looks_so:
            raise SourceError(
                f"{path} cannot be read as a CSV table: a quotation mark in the row that begins in line {begins} takes "
                f"lines below it for one cell, {cell.strip()[:60]!r}. They look like rows. Remove the mark, or close "
                "it in its own row."
            )


def _without_unnamed_columns(path: Path, header: list[str], rows: list[Numbered]) -> tuple[list[str], list[Numbered]]:
    """Leave out columns that have neither a name nor a cell, as spreadsheets write them, and a count of the rows."""
    named = [place for place, name in enumerate(header) if name.strip()]
    if len(named) == len(header):
        return header, rows
    known = {*named, 0} if _number_rows([row[0] for _, row in rows]) else set(named)
    for number, row in rows:
        if lost := [cell for place, cell in enumerate(row[: len(header)]) if cell.strip() and place not in known]:
            raise SourceError(
                f"{path.name} row {number} has {lost[0]!r} in a column without a name. Name it in {path}."
            )
    kept = [
        (number, [*(row[place] for place in named if place < len(row)), *row[len(header) :]]) for number, row in rows
    ]
    return [header[place] for place in named], kept


def _number_rows(cells: Sequence[str]) -> bool:
    """Say whether the cells of a first column number the rows, as pandas and R do without a name for it."""
    return len(set(cells)) == len(cells) and all(cell.strip().isdecimal() for cell in cells)


def _text(path: Path) -> str:
    """Return the text of a table, whatever ends its lines."""
    if not is_regular_file(path):
        raise SourceError(f"{path} cannot be read as a CSV table: it {why_no_file(path)}.")
    try:
        content = path.read_bytes()
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\0" in content:
            raise SourceError(f"{path} cannot be read as a CSV table: {_NO_TEXT}") from error
        raise SourceError(
            f"{path} cannot be read as a CSV table: it is no UTF-8 ({error.reason} at byte {error.start})"
            f"{_of_windows(path)}. Save it as CSV (UTF-8): Excel calls it so; or run iconv -f WINDOWS-1252 -t UTF-8."
        ) from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read as a CSV table: {error}.") from error
    if "\0" in text:
        raise SourceError(f"{path} cannot be read as a CSV table: {_why_zeros(content)}")
    return text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _why_zeros(content: bytes) -> str:
    """Say why a text has bytes that are 0."""
    head = content[4:64]
    if any(head) and not (any(head[::2]) and any(head[1::2])):
        return "every other byte of it is 0, as in UTF-16 without its mark. Save it as CSV (UTF-8)."
    return _NO_TEXT


def _of_windows(path: Path) -> str:
    """Say how a table begins to differ when read as what Excel writes on Windows, so that its owner knows it again."""
    lines = path.read_bytes().decode("windows-1252", errors="replace").splitlines()
    line = next(line for line in lines if not line.isascii())
    return f"; read as Latin-1 (Windows-1252), a line of it is {line[:60]!r}"


def read_rows(path: Path, needed: Sequence[str]) -> list[Row]:
    """Read a table as `read_csv_table` does, row by row."""
    return rows_of(read_csv_table(path, needed))


def rows_of(table: pd.DataFrame) -> list[Row]:
    """Return the rows of a table of text, one by one; unlike those of pandas also of a wide table in no time."""
    columns = [str(column) for column in table.columns]
    return [dict(zip(columns, cells, strict=True)) for cells in table.to_numpy(dtype=object).tolist()]


def one_row_each(rows: Iterable[Row], key: str) -> tuple[list[Row], list[Exclusion]]:
    """Keep one row for each value of a column that should name every thing once.

    Returns:
        The first row of each, without those whose rows contradict each other; and an exclusion for each row that
        repeats another (row-repeated), and for each thing whose rows disagree (rows-disagree).
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row)
    kept: list[Row] = []
    exclusions: list[Exclusion] = []
    for name, group in groups.items():
        first = group[0]
        differing = sorted(
            {column for row in group for column in row if same_cell(row[column]) != same_cell(first[column])} - {"row"}
        )
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
        zipped = next(files_under(source, (".zip", ".gz", ".tar", ".7z")), None)
        hint = f" Unpack {zipped} and the like first." if zipped else ""
        raise SourceError(
            f"{source} lacks {name}: no .csv file below it has the columns {', '.join(columns)}. "
            f"Put it anywhere under this folder.{hint}"
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
    for folder, folders, names in walk_files(source):
        if {"images", "tissue"}.issubset(folders) and not {"artifact.json", "plan.json"}.isdisjoint(names):
            folders.clear()  # a set of ours, made inside the collection: its pictures have the names of the sources
            continue
        if depth is not None and len(folder.relative_to(source).parts) >= depth:
            folders.clear()
        for name in names:
            if os.path.splitext(name)[1].lower() in endings:
                yield folder / name


def walk_files(source: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Walk a folder once, in order, following links; only folders and regular files are listed.

    Pipes, devices and sockets are passed by: whoever opens one may wait for ever. So are files of a Mac's own notes.

    Yields:
        A folder, the names of those in it (those that are removed from the list are not walked), and those of files.
    """
    walked: set[tuple[int, int]] = set()
    waiting = [source]
    while waiting:
        folder = waiting.pop()
        try:
            about = folder.stat()
            if not stat.S_ISDIR(about.st_mode) or (about.st_dev, about.st_ino) in walked:
                continue  # a file; or a link that leads in a circle
            walked.add((about.st_dev, about.st_ino))
            with os.scandir(folder) as entries:
                kinds = [(entry.name, _is(entry, "dir"), _is(entry, "file")) for entry in entries]
        except OSError:
            continue  # gone, or not to be looked into
        folders = sorted(name for name, is_folder, _ in kinds if is_folder)
        yield folder, folders, sorted(name for name, _, is_file in kinds if is_file and not is_note_of_mac(name))
        waiting.extend(folder / name for name in reversed(folders))


def is_note_of_mac(name: str) -> bool:
    """Say whether a file holds what macOS notes about another (AppleDouble): ``._a.png`` is about ``a.png``."""
    return name.startswith("._")


def _is(entry: os.DirEntry[str], kind: str) -> bool:
    try:
        return entry.is_dir() if kind == "dir" else entry.is_file()
    except OSError:
        return False


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
    if not is_regular_file(path):
        return ""
    try:
        with path.open("rb") as file:
            head = file.read(2**16)
    except OSError:
        return ""
    text = head.decode("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", errors="replace")
    return _header_of(text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))


def _header_of(text: str) -> str:
    above = (_SAYS_SEPARATOR, _COMMENT)
    return next((line for line in text.split("\n") if line.strip() and not any(one.match(line) for one in above)), "")


def _separator(header: str) -> str:
    """Return what separates the cells: the most frequent in the header; of equals, the comma."""
    return max((",", ";", "\t", "|"), key=header.count)
