"""Memory of networks on the CPU: memory that one layer frees is reused by the next.

The C library of Linux (glibc) hands each large block that is freed to the system at once, and the system fills it with
zeros, page by page, when it is asked for again. A network frees and asks for gigabytes in each step: a third of the
time of a training step of ResNet-50 went there (docs/benchmarks.md).
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
"""Numbers of glibc's options. Source: its malloc.h; what they do: mallopt(3)."""

_USUAL = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 32 * 2**20, _TRIM_THRESHOLD: 64 * 2**20}
"""The value that glibc itself reaches in a process that has freed large blocks. Source: mallopt(3), "dynamic"
threshold."""
_KEPT = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1}  # every block from the heap, and nothing of it handed back


@contextmanager
def freed_memory_kept(device: str) -> Iterator[None]:
    """Keep memory that is freed inside the block for the next allocation; return it to the system at the end.

    It changes how long the work takes, never what comes out of it. The process's peak of memory grows by what does not
    fit into the gaps, a fifth for ResNet-50.

    Args:
        device: where the networks run. Nothing is done for others than ``cpu``, whose memory torch keeps itself, and
            nothing with another C library than glibc.
    """
    libc = ctypes.CDLL(None) if device == "cpu" and sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "gnu_get_libc_version"):
        yield
        return
    for option, value in _KEPT.items():
        libc.mallopt(option, value)
    try:
        yield
    finally:
        for option, value in _USUAL.items():
            libc.mallopt(option, value)
        libc.malloc_trim(0)
