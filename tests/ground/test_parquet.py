"""Tables are read as pandas reads them, and a process with too little memory does not wait for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from mammofill.ground.parquet import read_parquet

LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from mammofill.ground.parquet import read_parquet

born_with = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
most = born_with + int(sys.argv[2]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
read_parquet(Path(sys.argv[1]))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "table.parquet"
    pd.DataFrame({"name": ["a", "b", None], "number": [1.0, 2.0, 3.0]}).to_parquet(path, index=False)
    return path


def test_a_table_is_read_whole_or_by_columns(path: Path) -> None:
    pd.testing.assert_frame_equal(read_parquet(path), pd.read_parquet(path))
    assert list(read_parquet(path, columns=["number"])) == ["number"]


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="limits of address space are set on Linux alone")
@pytest.mark.parametrize("megabytes", [6, 8, 10, 14, 20])
def test_too_little_memory_for_a_thread_is_not_waited_for(path: Path, megabytes: int) -> None:
    """It may end well or with an error; with threads it never ends, which the long time limit is there to tell."""
    command = [sys.executable, "-c", LITTLE_MEMORY, str(path), str(megabytes)]
    subprocess.run(command, check=False, capture_output=True, timeout=300)
