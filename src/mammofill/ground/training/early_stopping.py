"""The best network so far on validation, and whether it is time to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class EarlyStopping:
    """Keeps the network of the smallest value, if wanted, and stops after too many values without improvement.

    Args:
        keep: ``best`` keeps the weights of the smallest value, ``last`` none.
        patience: stop when so many values in a row were no better; None never stops early.
    """

    def __init__(self, keep: str, patience: int | None) -> None:
        self.keep, self.patience = keep, patience
        self.value, self.images_seen, self.worse = math.inf, 0, 0
        self.weights: dict[str, Tensor] | None = None

    def update(self, value: float, images_seen: int, network: nn.Module) -> None:
        """Record a validation value; smaller is better."""
        if value >= self.value:
            self.worse += 1
            return
        self.value, self.images_seen, self.worse = value, images_seen, 0
        if self.keep == "best":
            self.weights = {name: one.detach().cpu().clone() for name, one in network.state_dict().items()}

    def is_over(self) -> bool:
        """Return whether training should stop."""
        return self.patience is not None and self.worse >= self.patience

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on."""
        return {name: getattr(self, name) for name in ("value", "images_seen", "worse", "weights")}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        for name, value in state.items():
            setattr(self, name, value)
