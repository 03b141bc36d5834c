"""Numbers over a training run, and the refusal of losses that are NaN or infinite."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mammofill.ground.artifact import write_atomically
from mammofill.ground.errors import TrainingError

if TYPE_CHECKING:
    from torch import Tensor

HISTORY_NAME = "history.csv"

LOOK_EVERY_STEPS = 16
"""Losses are checked at the latest after this many steps."""


def check_finite(losses: Mapping[str, float], images_seen: int) -> None:
    """Stop a training run with a NaN or infinite loss.

    Raises:
        TrainingError: naming the loss and the number of images seen.
    """
    for name, loss in losses.items():
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss {name!r} became {loss} after {images_seen} images. The last checkpoint is kept. "
                "A smaller learning rate usually helps; check the patches for pixels outside [0, 1] as well."
            )


class UnseenLosses:
    """Losses of steps, left on the device until they are checked.

    Reading a number makes the host wait for the device, which then idles until the host has prepared the next step. So
    losses are not read at each step, but every `LOOK_EVERY_STEPS`, and before anything is saved.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[int, tuple[str, ...], Tensor]] = []

    def add(self, images_seen: int, names: Sequence[str], losses: Tensor) -> None:
        """Add a step: the images seen before it, and its losses, (K,)."""
        self._steps.append((images_seen, tuple(names), losses.detach()))

    @property
    def due(self) -> bool:
        """Whether the losses should be checked now."""
        return len(self._steps) >= LOOK_EVERY_STEPS

    def look(self) -> list[dict[str, float]]:
        """Return the losses of each step since the last check, by their names.

        Raises:
            TrainingError: the first that is not finite, see `check_finite`.
        """
        if not self._steps:
            return []
        import torch

        steps, self._steps = self._steps, []
        values = iter(torch.cat([losses for _, _, losses in steps]).tolist())
        found = []
        for images_seen, names, _ in steps:
            found.append({name: next(values) for name in names})
            check_finite(found[-1], images_seen)
        return found


class History:
    """Rows of numbers over a training run, one line of CSV each; columns that a row does not have are empty.

    The rows belong to the checkpoint: `state` goes into it, so that a continued run holds each row once.
    """

    def __init__(self, rows: list[dict[str, float | int | str]] | None = None) -> None:
        self.rows = rows or []

    def add(self, images_seen: int, **values: float | int | str) -> None:
        """Add a row."""
        self.rows.append({"images_seen": images_seen, **values})

    def state(self) -> str:
        """Return all rows as JSON."""
        return json.dumps(self.rows)

    @classmethod
    def from_state(cls, state: str) -> History:
        """Return the history that `state` described."""
        return cls(json.loads(state))

    def write(self, folder: Path) -> None:
        """Write all rows to ``history.csv`` in a folder, in place of what was there."""
        columns = list(dict.fromkeys(["images_seen", *(name for row in self.rows for name in row)]))
        write_atomically(folder / HISTORY_NAME, pd.DataFrame(self.rows, columns=columns).to_csv(index=False))
