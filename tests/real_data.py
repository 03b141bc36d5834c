"""Where real mammograms are, for the tests that are marked `real_data`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def real_data(*parts: str) -> Path:
    """Return a path below the folder of real data, or skip, saying what is missing."""
    folder = Path(os.environ.get("MAMMOFILL_REAL_DATA") or Path(__file__).parents[2] / "shared" / "data")
    path = folder.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is not there; set MAMMOFILL_REAL_DATA to a folder that holds {'/'.join(parts)}")
    return path
