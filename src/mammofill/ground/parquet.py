"""Tables in Parquet files are read without threads.

Where memory does not suffice to begin a thread, Arrow waits for it without end (seen with Arrow 26 under a limit of
address space); without threads it raises an error. The tables are small, so threads gain nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

WITHOUT_THREADS: dict[str, Any] = {"use_threads": False, "pre_buffer": False}
"""Arguments of `pyarrow.parquet.read_table` and what calls it."""


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table.

    Args:
        path: the Parquet file.
        columns: those that are read; all if None.

    Raises:
        MemoryError: memory does not suffice; where libraries begin a thread all the same, their own exception.
        OSError: the file cannot be read.
    """
    return pd.read_parquet(path, columns=None if columns is None else list(columns), **WITHOUT_THREADS)
