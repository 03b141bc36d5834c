"""Paintings that wait their turn: a short queue, one painter, and a way to stop."""

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
"""Of one painting."""
_KEPT = 24
"""Paintings whose fills can still be asked for."""


@dataclass(frozen=True)
class FillRequest:
    """Fills that are painted together: what the page says of each, and what paints them, (N, H, W)."""

    said: Sequence[dict[str, object]]
    paint: Callable[[], NDArray[np.uint16]]


@dataclass
class Painting:
    """Some fills, painted one request after another."""

    requests: Sequence[FillRequest]
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    state: str = "waits"
    """waits, paints, done, cancelled, or failed."""
    words: str = ""
    fills: list[NDArray[np.uint16]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)


class PaintQueue:
    """Paints, one painting at a time; refuses when too many wait."""

    def __init__(self) -> None:
        self._waiting: deque[Painting] = deque()
        self._known: OrderedDict[str, Painting] = OrderedDict()
        self._change = threading.Condition()
        self._painter: threading.Thread | None = None

    def add(self, requests: Sequence[FillRequest]) -> Painting:
        """Let a painting wait for its turn.

        Raises:
            BusyError: too many wait already.
            SettingsError: it has no fills, or too many.
        """
        asked = sum(len(request.said) for request in requests)
        if not 1 <= asked <= MOST_FILLS:
            raise SettingsError(f"{asked} fills are asked for; from 1 to {MOST_FILLS} may be, at once.")
        with self._change:
            if len(self._waiting) >= MOST_WAITING:
                raise BusyError(f"{MOST_WAITING} paintings wait already. Wait until one is done, or cancel one.")
            painting = Painting(requests)
            self._waiting.append(painting)
            self._known[painting.name] = painting
            if len(self._known) > _KEPT:
                self._forget_one()
            if self._painter is None:
                self._painter = threading.Thread(target=self._work, name="painter", daemon=True)
                self._painter.start()
            self._change.notify_all()
        return painting

    def painting(self, name: str) -> Painting:
        """Return one of the last paintings.

        Raises:
            SettingsError: there is none of this name.
        """
        found = self._known.get(name)
        if found is None:
            raise SettingsError("There is no such painting (any more). Paint it again.")
        return found

    def cancel(self, name: str) -> Painting:
        """Stop a painting: one that waits never begins, one at work ends after the fills that it is at."""
        painting = self.painting(name)
        with self._change:
            painting.stopped.set()
            if painting in self._waiting:
                self._waiting.remove(painting)
                painting.state = "cancelled"
        return painting

    def _forget_one(self) -> None:
        over = next((one for one in self._known.values() if one.state not in ("waits", "paints")), None)
        if over is None:
            return
        del self._known[over.name]

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
        except Exception as error:  # noqa: BLE001  (the painter must live on, and the page must hear of it)
            painting.words, painting.state = f"{type(error).__name__}: {error}. This should not happen.", "failed"
