"""Tables for people as CSV: a spreadsheet that opens one must not take a cell for a formula."""

from __future__ import annotations

from typing import Any

import pandas as pd

_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The last four are the first four in full width, which spreadsheets fold. Source: OWASP, CSV Injection."""


def to_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV, without its index.

    Text that a spreadsheet would take for a formula gets an apostrophe before it, which spreadsheets show as text
    (OWASP, CSV Injection). Numbers, also negative ones, stay as they are.
    """
    safe = table.apply(lambda column: column.map(_as_text)).rename(columns=_as_text)
    return str(safe.to_csv(index=False, lineterminator="\n"))


def _as_text(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\r\n", "\n").replace("\r", "\n")  # which the library puts in quotes, and the others not
    if not cell.startswith(_BEGINS_FORMULA):
        return text
    try:
        float(cell)
    except ValueError:
        return f"'{text}"
    return cell
