"""Reading a CSV table as text, the same way for every collection that comes with one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mammofill.ground.errors import SourceError


def read_csv_table(path: Path, needed: Sequence[str], any_case: bool = False) -> pd.DataFrame:
    """Read a table whose cells are all text, without spaces and line ends around them.

    Args:
        path: the file, UTF-8, with a header line.
        needed: columns that must be there.
        any_case: whether to bring the names of all columns to lower case.

    Returns:
        The rows, with a further column `row` that says where each stands, for messages ("own.csv row 2" is the first
        below the header). Empty cells are "", and nothing else is taken for a missing value.

    Raises:
        SourceError: the file is no such table, or lacks columns; names them and those that it has.
    """
    try:
        table = pd.read_csv(
            path, dtype=str, keep_default_na=False, skipinitialspace=True, index_col=False, encoding="utf-8-sig"
        )
    except (OSError, ValueError) as error:  # pandas' own errors of parsing and decoding are ValueErrors
        raise SourceError(f"{path} cannot be read as a CSV table: {str(error).strip()}.") from error
    table.columns = [str(column).strip().lower() if any_case else str(column).strip() for column in table.columns]
    missing = [column for column in needed if column not in table]
    if missing:
        raise SourceError(
            f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(table.columns)}. "
            f"Needed are {', '.join(needed)}."
        )
    rows: pd.DataFrame = table.fillna("").apply(lambda column: column.str.strip())
    rows["row"] = [f"{path.name} row {number}" for number in range(2, len(rows) + 2)]
    return rows
