"""A step of training: a batch forwards and backwards, the optimiser, the EMA."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mammofill.classifier.batches import network_input
from mammofill.classifier.networks import build_network, colours_of, input_px_of
from mammofill.classifier.recipe import (
    build_optimiser,
    groups_of,
    groups_that_learn,
    learning_rate_at,
    set_learning,
)
from mammofill.classifier.settings import TrainClassifierSettings
from mammofill.classifier.start import Start
from mammofill.ground.training.data_order import seeded_layers
from mammofill.ground.training.device import sent
from mammofill.ground.training.distributed import mean_over_processes, share_normalisation
from mammofill.ground.training.ema import update_ema

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LOSS = "cross-entropy"
"""What the loss is called in messages."""
_AVERAGE_AT_MOST = 20
"""The EMA reaches back by a half-life of at most one in so many images seen. Source: Karras et al., NeurIPS
2020, their code (``ema_rampup``)."""


class TrainingStep:
    """The network that is trained, the one that is kept, and the optimiser between them.

    Args:
        fabric: this process.
        start: what the network starts from.
        settings: of the stage.
        seed: of the stage.
    """

    def __init__(self, fabric: Fabric, start: Start, settings: TrainClassifierSettings, seed: int) -> None:
        self.fabric, self.settings, self.seed = fabric, settings, seed
        self.network = build_network(settings.network, input_px_of(settings), seed, start.widths)
        self.colours = colours_of(settings.network, settings.input_mean, settings.input_sd)
        start.put_into(self.network)
        self.form = torch.channels_last if settings.engine.channels_last else torch.contiguous_format
        self.network.to(fabric.device, memory_format=self.form)  # type: ignore[call-overload]
        self.kept = copy.deepcopy(self.network) if settings.ema_half_life_images else self.network
        """The network that becomes the classifier: an EMA, or the one that is trained."""
        if fabric.world_size > 1:
            share_normalisation(self.network)
        self.groups = groups_of(self.network, settings.network)
        self.optimiser = build_optimiser(self.network, settings)
        self.score: Any = torch.compile(self.network) if settings.engine.compile else self.network

    def step(
        self,
        images: NDArray[np.uint16],
        targets: Tensor,
        images_seen: int,
        wanted: int,
        pass_length: int,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Learn from this process's share of a batch; return the cross-entropy of the whole batch before it.

        It is left on the device, (1,): who looks at it waits, see `history.UnseenLosses`, and has to look now and then,
        since a loss that is not finite any more is not noticed here.

        Args:
            images: (n, S, S) uint16.
            targets: (n,) classes or (n, 2) shares.
            images_seen: before this batch.
            wanted: images in all.
            pass_length: training patches.
            weights: (n,) of each patch in the loss, see `batches.loss_weights`; None where all weigh the same.
        """
        settings = self.settings
        learning = groups_that_learn(images_seen, wanted, len(self.groups), settings)
        set_learning(self.network, self.groups, learning)
        parameters = [one for one in self.network.parameters() if one.requires_grad]
        self.optimiser.zero_grad(set_to_none=True)
        at_once = settings.engine.at_once or len(images)
        first = images_seen + self.fabric.global_rank * len(images)
        losses = [
            self._learn(
                images[part], targets[part], None if weights is None else weights[part], first + part.start, len(images)
            )
            for part in (slice(begin, begin + at_once) for begin in range(0, len(images), at_once))
        ]
        cross_entropy = mean_over_processes(self.fabric, parameters, torch.stack(losses).sum()[None])
        if settings.clip_gradient:
            nn.utils.clip_grad_norm_(parameters, settings.clip_gradient)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate_at(images_seen, wanted, pass_length, settings)
        self.optimiser.step()
        if self.kept is not self.network:
            # Never slower than training itself has been so far, or the random beginning would stay in it.
            half_life = min(settings.ema_half_life_images, (images_seen + settings.batch) / _AVERAGE_AT_MOST)
            update_ema(self.kept, self.network, settings.batch, half_life)
        return cross_entropy

    def _learn(
        self, images: NDArray[np.uint16], targets: Tensor, weights: Tensor | None, first: int, count: int
    ) -> Tensor:
        """Add the gradient of some of `count` images; return their part of the loss."""
        inputs = network_input(images, self.colours, self.fabric.device, self.settings.standardise)
        # Dropout knows the global generator only.
        with seeded_layers(self.seed, "classifier", "dropout", first), self.fabric.autocast():
            outputs = self.score(inputs.to(memory_format=self.form)).flatten(1)
        loss = self._cross_entropy(outputs.float(), sent(targets, self.fabric.device), weights)
        part = loss * (len(images) / count)
        part.backward()  # type: ignore[no-untyped-call]
        return part.detach()

    def _cross_entropy(self, outputs: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
        smoothing = self.settings.label_smoothing
        if weights is None:
            return F.cross_entropy(outputs, targets, label_smoothing=smoothing)
        each = F.cross_entropy(outputs, targets, label_smoothing=smoothing, reduction="none")
        return (sent(weights, each.device) * each).mean()

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on."""
        return {
            "network": self.network.state_dict(),
            "kept": self.kept.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.network.load_state_dict(state["network"])
        self.kept.load_state_dict(state["kept"])
        self.optimiser.load_state_dict(state["optimiser"])
