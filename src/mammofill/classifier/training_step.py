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
from mammofill.classifier.networks import Start, build_network, channels
from mammofill.classifier.recipe import (
    build_optimiser,
    groups_of,
    groups_that_learn,
    learning_rate_at,
    set_learning,
)
from mammofill.classifier.settings import TrainClassifierSettings
from mammofill.ground.training.data_order import seeded_layers
from mammofill.ground.training.distributed import mean_over_processes, share_normalisation
from mammofill.ground.training.ema import update_ema
from mammofill.ground.training.history import check_finite

if TYPE_CHECKING:
    from lightning_fabric import Fabric

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
        self.network = build_network(settings.network, settings.input_px, seed, start.widths)
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
        self, images: NDArray[np.uint16], targets: Tensor, images_seen: int, wanted: int, pass_length: int
    ) -> float:
        """Learn from this process's share of a batch; return the cross-entropy of the whole batch before it.

        Args:
            images: (n, S, S) uint16.
            targets: (n,) classes or (n, 2) shares.
            images_seen: before this batch.
            wanted: images in all.
            pass_length: training patches.

        Raises:
            TrainingError: the loss is not finite any more.
        """
        settings = self.settings
        learning = groups_that_learn(images_seen, wanted, len(self.groups), settings)
        set_learning(self.network, self.groups, learning)
        parameters = [one for one in self.network.parameters() if one.requires_grad]
        self.optimiser.zero_grad(set_to_none=True)
        at_once = settings.engine.at_once or len(images)
        first = images_seen + self.fabric.global_rank * len(images)
        losses = [
            self._learn(images[begin : begin + at_once], targets[begin : begin + at_once], first + begin, len(images))
            for begin in range(0, len(images), at_once)
        ]
        (cross_entropy,) = mean_over_processes(self.fabric, parameters, torch.stack(losses).sum()[None])
        check_finite({"cross-entropy": cross_entropy}, images_seen)
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

    def _learn(self, images: NDArray[np.uint16], targets: Tensor, first: int, count: int) -> Tensor:
        """Add the gradient of some of `count` images; return their part of the loss."""
        inputs = network_input(images, channels(self.settings.network), self.fabric.device, self.settings.standardise)
        # Dropout knows the global generator only.
        with seeded_layers(self.seed, "classifier", "dropout", first), self.fabric.autocast():
            outputs = self.score(inputs.to(memory_format=self.form)).flatten(1)
        loss = F.cross_entropy(
            outputs.float(), targets.to(self.fabric.device), label_smoothing=self.settings.label_smoothing
        )
        part = loss * (len(images) / count)
        part.backward()  # type: ignore[no-untyped-call]
        return part.detach()

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
