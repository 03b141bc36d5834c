"""A queue of paintings with one worker thread; paintings can be cancelled."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.errors import BusyError, MammofillError, SettingsError

MOST_WAITING = 8
MOST_FILLS = 32
"""Maximum number of fills of one painting."""
_KEPT = 24
"""Number of paintings whose fills are kept in memory."""


@dataclass(frozen=True)
class FillRequest:
    """Fills that are painted together.

    Attributes:
        descriptions: what is sent to the page about each fill.
        paint: returns the fills, (N, H, W) uint16.
    """

    descriptions: Sequence[dict[str, object]]
    paint: Callable[[], NDArray[np.uint16]]


@dataclass
class Painting:
    """A job of the queue: its requests are painted one after another."""

    requests: Sequence[FillRequest]
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    state: str = "waits"
    """waits, paints, done, cancelled, or failed."""
    words: str = ""
    fills: list[NDArray[np.uint16]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)


class PaintQueue:
    """Paints one painting at a time; refuses more than `MOST_WAITING` waiting ones."""

    def __init__(self) -> None:
        self._waiting: deque[Painting] = deque()
        self._known: OrderedDict[str, Painting] = OrderedDict()
        self._change = threading.Condition()
        self._worker: threading.Thread | None = None

    def add(self, requests: Sequence[FillRequest]) -> Painting:
        """Append a painting to the queue.

        Raises:
            BusyError: too many wait already.
            SettingsError: it has no fills, or too many.
        """
        fills = sum(len(request.descriptions) for request in requests)
        if not 1 <= fills <= MOST_FILLS:
            raise SettingsError(f"{fills} fills are asked for; from 1 to {MOST_FILLS} may be, at once.")
        with self._change:
            if len(self._waiting) >= MOST_WAITING:
                raise BusyError(f"{MOST_WAITING} paintings wait already. Wait until one is done, or cancel one.")
            painting = Painting(requests)
            self._waiting.append(painting)
            self._known[painting.name] = painting
            if len(self._known) > _KEPT:
                self._drop_oldest()
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="painter", daemon=True)
                self._worker.start()
            self._change.notify_all()
        return painting

    def painting(self, name: str) -> Painting:
        """Return a painting by its name.

        Raises:
            SettingsError: there is none of this name, or no longer.
        """
        found = self._known.get(name)
        if found is None:
            raise SettingsError("There is no such painting (any more). Paint it again.")
        return found

    def cancel(self, name: str) -> Painting:
        """Cancel a painting: a waiting one is not started, a running one stops after its current request."""
        painting = self.painting(name)
        with self._change:
            painting.stopped.set()
            if painting in self._waiting:
                self._waiting.remove(painting)
                painting.state = "cancelled"
        return painting

    def _drop_oldest(self) -> None:
        oldest = next((one for one in self._known.values() if one.state not in ("waits", "paints")), None)
        if oldest is None:
            return
        del self._known[oldest.name]

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: bool(self._waiting))
                painting = self._waiting.popleft()
                painting.state = "paints"
            self._paint(painting)

    def _paint(self, painting: Painting) -> None:
        try:
            for request in painting.requests:
                if painting.stopped.is_set():
                    painting.state = "cancelled"
                    return
                painting.fills.extend(request.paint())
            painting.state = "done"
        except MammofillError as error:
            painting.words, painting.state = str(error), "failed"
        except Exception as error:  # noqa: BLE001  (the worker must survive, and the page must show the error)
            painting.words, painting.state = f"{type(error).__name__}: {error}. This should not happen.", "failed"
