"""Numbers over a training run, and the refusal of losses that are NaN or infinite."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mammofill.ground.artifact import write_atomically
from mammofill.ground.errors import TrainingError

HISTORY_NAME = "history.csv"


def check_finite(losses: Mapping[str, float], images_seen: int) -> None:
    """Stop a training run whose losses are not numbers any more.

    Raises:
        TrainingError: naming the loss and the place.
    """
    for name, loss in losses.items():
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss {name!r} became {loss} after {images_seen} images. The last checkpoint is kept. "
                "A smaller learning rate usually helps; check the patches for pixels outside [0, 1] as well."
            )


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
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        write_atomically(folder / HISTORY_NAME, pd.DataFrame(self.rows, columns=columns).to_csv(index=False))
