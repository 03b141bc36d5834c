"""One training step of the flow; the loop is shared by all infillers.

Source: Liu et al., "Flow straight and fast", ICLR 2023, equation 1: on the straight line from picture to noise,
x_t = (1 - t) x_0 + t noise, the network learns the velocity noise - x_0.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mammofill.ground.counting import counted
from mammofill.ground.progress import Progress, quiet
from mammofill.ground.training.checkpoint import WEIGHTS_NAME, save_weights
from mammofill.ground.training.data_order import seeded_layers, whole_batches
from mammofill.ground.training.distributed import has_bf16, mean_over_processes, precision_on, training_processes
from mammofill.ground.training.early_stopping import EarlyStopping
from mammofill.ground.training.ema import update_ema
from mammofill.infilling.flow.batches import Batch, Windows
from mammofill.infilling.flow.network import VelocityNetwork
from mammofill.infilling.flow.painter import FlowPainter
from mammofill.infilling.flow.settings import FlowSettings
from mammofill.infilling.lesions import Lesions
from mammofill.infilling.previews import PreviewCases
from mammofill.infilling.training_loop import InfillerTraining

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_EMA_AT_MOST = 20
"""The EMA's half-life is at most the number of images seen divided by this. Source: Karras et al., NeurIPS 2020, their
code (``ema_rampup``)."""
_VALIDATION_LOG_ODDS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)


@dataclass(frozen=True)
class FlowData:
    """What the network learns from, and how; the same in every process."""

    folder: Path
    """The partial artifact; the training goes on from the checkpoint there, if one is."""
    lesions: Lesions
    validated: Lesions | None
    """Lesions of the validation split; None where there are none."""
    settings: FlowSettings
    seed: int
    start: Mapping[str, Tensor] | None = None
    """Weights to begin from."""


def run_training(data: FlowData, previews: PreviewCases, device: str, progress: Progress) -> int:
    """Train until the schedule is done, and write weights, history and previews into a folder.

    Args:
        data: what is learned from.
        previews: what is painted for people to look at.
        device: where the network runs.
        progress: notified after each step.

    Returns:
        The number of images seen.

    Raises:
        TrainingError: the loss is not finite any more.
        DeviceError: the device, or enough of them, or the precision on it is not there.
    """
    engine = data.settings.engine
    progress.say(f"Training in {precision_on(device, engine.precision)}.")
    # The other processes do the same on other shares of each batch; they paint no previews and write nothing.
    with training_processes(device, engine.processes, engine.precision, _train, data) as fabric:
        return _train(fabric, data, previews, progress)


def _train(fabric: Fabric, data: FlowData, previews: PreviewCases | None = None, progress: Progress = quiet) -> int:
    return Training(fabric, data).run(previews, progress)


class Training(InfillerTraining[Batch]):
    """All that changes while the flow learns, and its step.

    Args:
        fabric: this process.
        data: what is learned from.
    """

    def __init__(self, fabric: Fabric, data: FlowData) -> None:
        settings = data.settings
        stopping = EarlyStopping(settings.validation.keep, settings.validation.patience)
        super().__init__(fabric, data.folder, settings, settings.schedule.batch, stopping)
        self.data, self.settings = data, settings
        with seeded_layers(data.seed, "flow"):
            network = VelocityNetwork(
                data.lesions.images.shape[1], settings.network, settings.conditions, settings.target
            )
        if data.start is not None:
            network.load_state_dict(dict(data.start))
        # On a CPU bf16 convolutions are made for channels that lie beside each other.
        self.bf16 = settings.engine.precision in ("bf16", "auto") and has_bf16(fabric.device)
        last = settings.engine.channels_last or (fabric.device.type == "cpu" and self.bf16)
        self.form = torch.channels_last if last else torch.contiguous_format
        self.network = network.to(fabric.device, memory_format=self.form)  # type: ignore[call-overload]
        self.kept = copy.deepcopy(self.network).requires_grad_(False)
        """The EMA, which becomes the infiller."""
        self.predict = torch.compile(self.network) if settings.engine.compile else self.network
        schedule = settings.schedule
        self.optimiser = torch.optim.Adam(self.network.parameters(), betas=(schedule.beta1, schedule.beta2), fused=True)
        self.ends = whole_batches(schedule.images, schedule.batch)
        self.windows = Windows(data.lesions, settings, data.seed)
        self.validation = self._validation_batches()
        self.losses: list[float] = []
        """Losses since the last row of the history, of the steps already checked."""

    def batch_at(self, images_seen: int, share: tuple[int, int]) -> Batch:
        """Make a share of a batch; see `InfillerTraining`, also for the other methods with short docstrings."""
        return self.windows.batch_at(images_seen, share)

    def to_device(self, batch: Batch) -> Batch:
        """Bring a batch to where the network is."""
        return batch.to(self.fabric.device, self.form)

    def step(self, batch: Batch) -> None:
        """Learn from a batch.

        Raises:
            TrainingError: the loss of this step, or of one of the last ones, is not finite any more.
        """
        schedule = self.settings.schedule
        parameters = list(self.network.parameters())
        self.optimiser.zero_grad(set_to_none=True)
        # The weight of the whole batch, over all processes, so that shares and parts of it add up to one step.
        weight = torch.as_tensor(self.fabric.all_reduce(batch.weight.sum(), reduce_op="mean"))
        losses = torch.zeros((), device=self.fabric.device)
        for part in batch.parts(self.settings.engine.at_once):
            with self.fabric.autocast():
                loss = flow_loss(self.predict, part, weight)
            loss.backward()  # type: ignore[no-untyped-call]
            losses += loss.detach()
        self.unseen.add(self.images_seen, ["flow"], mean_over_processes(self.fabric, parameters, losses[None]))
        nn.utils.clip_grad_norm_(parameters, schedule.clip_gradient)
        for group in self.optimiser.param_groups:
            group["lr"] = schedule.rate_at(self.images_seen)
        self.optimiser.step()
        self.images_seen += schedule.batch
        half_life = min(schedule.ema_half_life_images, self.images_seen / _EMA_AT_MOST)
        update_ema(self.kept, self.network, schedule.batch, half_life)
        kept = (
            self.settings.validation.every_images,
            self.settings.history_every_images,
            self.settings.preview_every_images,
            self.settings.checkpoint_every_images,
        )
        if self.unseen.due or self.is_over() or any(map(self.passed, kept)):
            self.look()

    def look(self) -> None:
        """Check the losses of the last steps.

        Raises:
            TrainingError: one is not finite any more.
        """
        for losses in self.unseen.look():
            self.losses.append(losses["flow"])
            self.note = f"loss {losses['flow']:.3f}"

    def validate(self) -> dict[str, float]:
        """Measure the EMA on the validation split when that is due; return the loss by its name."""
        due = self.is_over() or self.passed(self.settings.validation.every_images)
        if not self.validation or not due:
            return {}
        with torch.no_grad(), self.fabric.autocast():
            weight = torch.stack([one.weight.sum() for one in self.validation]).sum().to(self.fabric.device)
            value = sum(float(flow_loss(self.kept, one.to(self.fabric.device, self.form), weight))
                        for one in self.validation)  # fmt: skip
        self.stopping.update(value, self.images_seen, self.kept)
        return {"validation.loss": value}

    def means(self, batch: Batch) -> dict[str, float]:
        """Return the mean loss since the last row of the history."""
        losses, self.losses = self.losses, []
        return {"loss": sum(losses) / len(losses)} if losses else {}

    def painter(self) -> FlowPainter:
        """Return a painter with the present EMA that begins with noise, so that previews show what was learned."""
        sampling = replace(self.settings.sampling, begin_time=1.0)
        return FlowPainter(self.kept, self.settings.target, sampling, bf16=self.bf16)

    def state(self) -> dict[str, Any]:
        """Return the losses, both networks and the optimiser."""
        return {
            "losses": self.losses,
            "network": self.network.state_dict(),
            "kept": self.kept.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore these."""
        self.losses = state["losses"]
        self.network.load_state_dict(state["network"])
        self.kept.load_state_dict(state["kept"])
        self.optimiser.load_state_dict(state["optimiser"])

    def finish(self, progress: Progress) -> None:
        """Write the weights that are kept, and the history."""
        if self.stopping.weights is not None:
            self.kept.load_state_dict(self.stopping.weights)
            progress.say(
                f"Kept the flow after {counted(self.stopping.images_seen, 'images')}, the best by validation loss."
            )
        save_weights(self.folder / WEIGHTS_NAME, self.kept)
        self.history.write(self.folder)

    def _validation_batches(self) -> list[Batch]:
        if self.data.validated is None:
            return []
        windows = Windows(self.data.validated, self.settings, self.data.seed)
        return windows.fixed_batches(self.settings.validation.windows, _VALIDATION_LOG_ODDS)


def flow_loss(network: Callable[..., Any], batch: Batch, weight: Tensor) -> Tensor:
    """Return a batch's part of the weighted mean square error of the velocity in the hole.

    Args:
        network: a `VelocityNetwork`.
        batch: N windows.
        weight: the sum of the weights of all that the mean is over.
    """
    times = batch.times[:, None, None, None]
    noisy = (1 - times) * batch.residual + times * batch.noise
    predicted = network(
        noisy, batch.around, batch.base, batch.depth, batch.shape, batch.times, batch.conditions, batch.kinds
    )
    error = (predicted - (batch.noise - batch.residual)).square() * batch.weight
    return torch.as_tensor(error.sum() / weight)
