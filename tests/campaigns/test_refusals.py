"""A small part of the campaigns of kills and of machines that refuse; the whole is run by hand (see `kills`,
`disk_full`). They fork, so they are given a process in which nobody else has begun a thread."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="looks for processes under /proc")


@pytest.mark.parametrize(("script", "count"), [("kills.py", 4), ("disk_full.py", 6)])
def test_nothing_is_lost_or_left(script: str, count: int) -> None:
    command = [sys.executable, Path(__file__).with_name(script), "--seed", "1", "--count", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "; 0 faults" in done.stdout
