"""How far the training of a classifier has come, and when validation is due or training stops early."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from mammofill.classifier.settings import TrainClassifierSettings
from mammofill.classifier.training_step import LOSS
from mammofill.ground.training.history import History, UnseenLosses, check_finite


class TrainingState:
    """How far a training has come: what a checkpoint holds beside the networks and their optimiser.

    Attributes:
        history: a row for each validation.
        images_seen: so far.
        steps: since the last row of the history.
        best: validation AUC, images seen and weights of the best validation, and how many that count for patience came
            since; used only where the best weights are kept.
    """

    def __init__(self) -> None:
        self.history, self.images_seen, self.steps = History(), 0, 0
        self.best: dict[str, Any] = {"auc": -1.0, "validations_since": 0}
        self._loss_sum, self._unseen = 0.0, UnseenLosses()

    def validation_is_due(self, epoch: int, settings: TrainClassifierSettings) -> bool:
        """Whether an epoch has ended since the last validation, and enough images were seen."""
        last = self.history.rows[-1] if self.history.rows else {"epoch": 0, "images_seen": 0}
        seen = self.images_seen - int(last["images_seen"])
        return epoch > int(last["epoch"]) and seen >= settings.validate_every_images

    def patience_is_over(self, settings: TrainClassifierSettings) -> bool:
        """Whether so many validations in a row were no better that training stops early."""
        return bool(self.best["validations_since"] >= (settings.patience or np.inf))

    def record(self, epoch: int, watched: Mapping[str, float]) -> None:
        """Add a row to the history: the mean loss of the steps since the last one, and what validation gave.

        Raises:
            TrainingError: the validation loss is not finite any more.
        """
        check_finite(watched, self.images_seen)
        self.history.add(self.images_seen, epoch=epoch, loss=self._loss_sum / self.steps, **watched)
        self._loss_sum, self.steps = 0.0, 0

    def keep_if_better(self, network: nn.Module, counts: bool) -> None:
        """Copy the weights if the last validation was the best so far; if not, it may count for patience."""
        auc = self.history.rows[-1]["validation_auc"]
        if auc > self.best["auc"]:
            weights = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
            self.best = {"auc": auc, "images_seen": self.images_seen, "weights": weights, "validations_since": 0}
        else:
            self.best["validations_since"] += counts

    def add_step(self, cross_entropy: Tensor, batch: int) -> None:
        """Count a step on so many images; its loss stays on the device until it has to be looked at.

        Raises:
            TrainingError: the loss of one of the last steps is not finite any more.
        """
        self._unseen.add(self.images_seen, [LOSS], cross_entropy)
        self.images_seen, self.steps = self.images_seen + batch, self.steps + 1
        if self._unseen.due:
            self.look()

    def look(self) -> None:
        """Look at the last losses and add them, one after the other, so that a stop between them changes no bit.

        Raises:
            TrainingError: one is not finite any more.
        """
        for one in self._unseen.look():
            self._loss_sum += one[LOSS]

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to go on.

        Raises:
            TrainingError: the loss of one of the last steps is not finite any more.
        """
        self.look()
        return {
            "history": self.history.state(),
            "images_seen": self.images_seen,
            "loss_sum": self._loss_sum,
            "steps": self.steps,
            "best": self.best,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.history, self.best = History.from_state(state["history"]), state["best"]
        self.images_seen, self._loss_sum, self.steps = state["images_seen"], state["loss_sum"], state["steps"]
