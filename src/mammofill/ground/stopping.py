"""Requests to stop, by Ctrl-C or SIGTERM, during work that would otherwise be lost.

Most stages keep what they have made file by file and may be stopped anywhere. A training may not: what it has learned
since its last checkpoint would be gone. Inside `stop_requests` the first signal is therefore only noted, and the loop
leaves at the end of its step, when it has kept a checkpoint. A second Ctrl-C leaves at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_ASKS = (signal.SIGINT, signal.SIGTERM)


class StoppedError(KeyboardInterrupt):
    """Stopped by a signal. Like every interruption from the keyboard, it is no `Exception` that a loop would catch.

    Attributes:
        exit_code: as shells report it, 128 and the number of the signal: 130 for Ctrl-C, 143 for SIGTERM.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class StopRequests:
    """Whether a signal came; true once one did. Comes from `stop_requests`."""

    def __init__(self) -> None:
        self._number: int | None = None

    def __bool__(self) -> bool:
        return self._number is not None

    def leave(self) -> None:
        """Leave, if a signal came; to be called where everything is kept.

        Raises:
            StoppedError: one came.
        """
        if self._number is not None:
            raise StoppedError(self._number)

    def note(self, number: int, _: FrameType | None = None) -> None:
        """Record a signal.

        Raises:
            StoppedError: it is Ctrl-C, and not the first signal. SIGTERM may well come twice, from a cluster and from
                the process that began this one.
        """
        if self._number is not None and number == signal.SIGINT:
            raise StoppedError(number)
        if number == signal.SIGINT:
            # Not by print, which may be at work already where the signal arrives.
            os.write(2, b"\nStopping after this step, to keep a checkpoint. Ctrl-C again leaves at once.\n")
        self._number = self._number or number


@contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """Note Ctrl-C and SIGTERM inside the block, where otherwise they would end the process.

    Signals that are ignored stay ignored, as in the further processes of a training. Outside the main thread, to which
    alone Python gives signals, nothing changes.
    """
    requests = StopRequests()
    before = _handle(requests.note)
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Make SIGTERM an interruption like Ctrl-C inside the block, so that everything that is open gets closed."""

    def stop(number: int, _: FrameType | None) -> None:
        raise StoppedError(number)

    before = _handle(stop, signal.SIGTERM)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _handle(handler: Any, *numbers: signal.Signals) -> dict[signal.Signals, Any]:
    """Set a handler for signals that are not ignored; return those from before."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    changed = {number: signal.getsignal(number) for number in numbers or _ASKS}
    changed = {number: before for number, before in changed.items() if before not in (signal.SIG_IGN, None)}
    for number in changed:
        signal.signal(number, handler)
    return changed
