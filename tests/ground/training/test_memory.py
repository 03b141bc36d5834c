"""Memory that networks on the CPU free and ask for again."""

from __future__ import annotations

import ctypes
import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mammofill.ground.training.memory import freed_memory_kept

MEGABYTES = 256

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="a matter of glibc"
)


def resident_mb() -> float:
    """Return what of this process is in memory."""
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def use_and_free() -> None:
    np.ones(MEGABYTES * 2**20, np.uint8)


def in_a_new_process(work: Callable[[], None]) -> int | None:
    """Run it where nothing was freed before, of which new memory could be taken; return the exit code."""
    process = multiprocessing.get_context("spawn").Process(target=work)
    process.start()
    process.join()
    return process.exitcode


def keep_and_hand_back() -> None:
    before = resident_mb()
    with freed_memory_kept("cpu"):
        use_and_free()
        inside = resident_mb()
    after = resident_mb()
    assert inside - before > 0.9 * MEGABYTES
    assert after - before < 0.1 * MEGABYTES


def test_what_is_freed_is_kept_inside_the_block_and_handed_back_after_it() -> None:
    assert in_a_new_process(keep_and_hand_back) == 0


@freed_memory_kept("cpu")
def fail() -> None:
    use_and_free()
    raise ValueError("in the midst")


def test_it_is_handed_back_after_an_error_too() -> None:
    before = resident_mb()
    with pytest.raises(ValueError, match="in the midst"):
        fail()
    use_and_free()
    assert resident_mb() - before < 0.1 * MEGABYTES


def test_nothing_is_done_for_other_devices() -> None:
    before = resident_mb()
    with freed_memory_kept("cuda:0"):
        use_and_free()
        assert resident_mb() - before < 0.1 * MEGABYTES
