"""The flow's training loop.

Source: Liu et al., "Flow straight and fast", ICLR 2023, equation 1: on the straight line from picture to noise,
x_t = (1 - t) x_0 + t noise, the network learns the velocity noise - x_0.

Everything that is random, and the data order, follows from the seed and the images seen, so that a run that was stopped
and continued makes the same weights, to the bit, as one that was not. Several processes each take their share of every
batch and average their gradients, so that they make what one makes, up to the order of additions.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mammofill.ground.errors import DamagedError
from mammofill.ground.progress import Progress, quiet
from mammofill.ground.stopping import stop_requests
from mammofill.ground.training.checkpoint import WEIGHTS_NAME, load_checkpoint, save_checkpoint, save_weights
from mammofill.ground.training.data_order import passed, seeded_layers, whole_batches
from mammofill.ground.training.distributed import has_bf16, mean_over_processes, precision_on, training_processes
from mammofill.ground.training.early_stopping import EarlyStopping
from mammofill.ground.training.ema import update_ema
from mammofill.ground.training.history import History, UnseenLosses
from mammofill.ground.training.tensorboard import TensorBoard
from mammofill.infilling.flow.batches import Batch, Windows
from mammofill.infilling.flow.network import VelocityNetwork
from mammofill.infilling.flow.painter import FlowPainter
from mammofill.infilling.flow.settings import FlowSettings
from mammofill.infilling.lesions import Lesions
from mammofill.infilling.previews import PreviewCases, preview_picture, write_preview

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_EMA_AT_MOST = 20
"""The EMA reaches back by a half-life of at most one in so many images seen. Source: Karras et al., NeurIPS 2020, their
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
        progress: told after each step.

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
    training = Training(fabric, data)
    training.resume()
    settings, writes = data.settings, fabric.global_rank == 0
    board = TensorBoard(settings.tensorboard if writes else None, training.images_seen)
    with progress.task("training the infiller", training.ends) as task, stop_requests() as stop:
        task.advance(training.images_seen)
        for batch in training.batches():
            training.step(batch)
            row = training.validate()
            finished = training.is_over()
            if finished or row or training.passed(settings.history_every_images):
                row |= training.record(row)
                board.add_numbers(row, training.images_seen)
            if previews is not None and len(previews) and (finished or training.passed(settings.preview_every_images)):
                picture = preview_picture(training.painter(), previews)
                write_preview(data.folder, training.images_seen, picture)
                board.add_picture(picture, training.images_seen)
            if writes and (finished or stop or training.passed(settings.checkpoint_every_images)):
                training.save()
            stop.leave()
            task.advance(settings.schedule.batch, training.note)
    if writes:
        training.finish(progress)
    board.close()
    return training.images_seen


class Training:
    """All that changes while the network learns, and the steps that change it.

    Args:
        fabric: this process.
        data: what is learned from.
    """

    def __init__(self, fabric: Fabric, data: FlowData) -> None:
        settings = data.settings
        self.fabric, self.data, self.settings = fabric, data, settings
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
        self.stopping = EarlyStopping(settings.validation.keep, settings.validation.patience)
        self.history, self.images_seen = History(), 0
        self.losses: list[float] = []
        """Since the last row of the history, as far as they were looked at."""
        self.unseen, self.note = UnseenLosses(), ""

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one.

        Raises:
            DamagedError: it is of another network or of another version.
        """
        state = load_checkpoint(self.data.folder)
        if state is None:
            return
        try:
            self.images_seen, self.losses = state["images_seen"], state["losses"]
            self.history = History.from_state(state["history"])
            self.network.load_state_dict(state["network"])
            self.kept.load_state_dict(state["kept"])
            self.stopping.load_state(state["stopping"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise DamagedError(
                f"The checkpoint in {self.data.folder} is of another network or of another version of mammofill "
                f"({error}). Delete the folder to start anew, or go on with the version that began it."
            ) from error

    def batches(self) -> Iterator[Batch]:
        """Yield this process's share of each batch until the training is over; the next is made meanwhile."""
        share = (self.fabric.global_rank, self.fabric.world_size)
        with ThreadPoolExecutor(1) as beside:
            upcoming = beside.submit(self.windows.batch_at, self.images_seen, share)
            while not self.is_over():
                batch = upcoming.result().to(self.fabric.device, self.form)
                upcoming = beside.submit(self.windows.batch_at, self.images_seen + self.settings.schedule.batch, share)
                yield batch

    def is_over(self) -> bool:
        """Say whether the schedule is done, or patience has run out."""
        return self.images_seen >= self.ends or self.stopping.is_over()

    def passed(self, every: int) -> bool:
        """Say whether the last step passed a multiple of so many images."""
        return passed(self.images_seen, self.settings.schedule.batch, every)

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
        """Look at the losses of the last steps.

        Raises:
            TrainingError: one is not finite any more.
        """
        for losses in self.unseen.look():
            self.losses.append(losses["flow"])
            self.note = f"loss {losses['flow']:.3f}"

    def validate(self) -> dict[str, float]:
        """Measure the EMA on the validation split where it is time to; return the loss by its name."""
        due = self.is_over() or self.passed(self.settings.validation.every_images)
        if not self.validation or not due:
            return {}
        with torch.no_grad(), self.fabric.autocast():
            weight = torch.stack([one.weight.sum() for one in self.validation]).sum().to(self.fabric.device)
            value = sum(float(flow_loss(self.kept, one.to(self.fabric.device, self.form), weight))
                        for one in self.validation)  # fmt: skip
        self.stopping.update(value, self.images_seen, self.kept)
        return {"validation.loss": value}

    def record(self, row: Mapping[str, float]) -> dict[str, float]:
        """Add a row to the history; return what it says besides `row`."""
        means = {"loss": sum(self.losses) / len(self.losses)} if self.losses else {}
        self.history.add(self.images_seen, **row, **means)
        self.losses = []
        if self.fabric.global_rank == 0:
            self.history.write(self.data.folder)
        return means

    def painter(self) -> FlowPainter:
        """Return a painter with the EMA as it is, which begins with noise: previews show what was learned."""
        sampling = replace(self.settings.sampling, begin_time=1.0)
        return FlowPainter(self.kept, self.settings.target, sampling, bf16=self.bf16)

    def save(self) -> None:
        """Write a checkpoint, unless a loss is not finite any more."""
        self.look()
        save_checkpoint(self.data.folder, {
            "images_seen": self.images_seen,
            "losses": self.losses,
            "history": self.history.state(),
            "network": self.network.state_dict(),
            "kept": self.kept.state_dict(),
            "stopping": self.stopping.state(),
            "optimiser": self.optimiser.state_dict(),
        })  # fmt: skip

    def finish(self, progress: Progress) -> None:
        """Write the weights that are kept, and the history."""
        if self.stopping.weights is not None:
            self.kept.load_state_dict(self.stopping.weights)
            progress.say(f"Kept the flow after {self.stopping.images_seen} images, the best by validation loss.")
        save_weights(self.data.folder / WEIGHTS_NAME, self.kept)
        self.history.write(self.data.folder)

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
