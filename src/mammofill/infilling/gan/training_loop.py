"""The GAN's training steps: pre-training on the perceptual loss, then turns of discriminator and generator.

The loop is shared by all infillers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mammofill.ground.backbone import DISCRIMINATOR_NAME
from mammofill.ground.counting import counted
from mammofill.ground.errors import TrainingError
from mammofill.ground.progress import Progress, quiet
from mammofill.ground.training.checkpoint import WEIGHTS_NAME, save_weights
from mammofill.ground.training.data_order import whole_batches
from mammofill.ground.training.distributed import mean_over_processes, training_processes
from mammofill.ground.training.early_stopping import EarlyStopping
from mammofill.infilling.gan.batches import Batch, batch_at
from mammofill.infilling.gan.networks import Networks
from mammofill.infilling.gan.painter import GeneratorPainter
from mammofill.infilling.gan.settings import GanSettings
from mammofill.infilling.gan.validation import Validation
from mammofill.infilling.lesions import Lesions
from mammofill.infilling.previews import PreviewCases
from mammofill.infilling.training_loop import InfillerTraining

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Turn:
    """Several steps on one loss: which network is trained, by which optimiser, and when the next turn begins."""

    name: str
    network: nn.Module
    optimiser: torch.optim.Adam
    terms: Callable[[Batch, int], dict[str, Tensor]]
    """Named losses of a batch, unweighted, given how many steps of this turn were taken before."""
    weights: Mapping[str, float]
    most_bursts: float
    burst: int = 1
    """Number of steps after which their mean loss is compared with `threshold`."""
    watched: str | None = None
    """The loss that ends the turn when it is below `threshold`."""
    threshold: float = -math.inf

    def step(self, fabric: Fabric, parts: Sequence[Batch], taken: int, rate: float) -> dict[str, Tensor]:
        """Take one step at this share of the starting learning rate; return the losses before it, on the device.

        Args:
            fabric: this process.
            parts: this process's share of the batch, in parts that fit at once.
            taken: steps of this turn before this one, all rounds together.
            rate: share of the starting learning rate.
        """
        parameters = [one for one in self.network.parameters() if one.requires_grad]
        self.optimiser.zero_grad(set_to_none=True)
        count = sum(map(len, parts))
        sums: dict[str, Tensor] = {}
        for part in parts:
            with fabric.autocast():
                terms = self.terms(part, taken)
                total = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
            # Only this turn's network gets gradients: the other one is left out of the backward pass where it can be.
            (total * (len(part) / count)).backward(inputs=parameters)  # type: ignore[no-untyped-call]
            for name, term in terms.items():
                sums[name] = sums.get(name, 0) + term.detach().float() * (len(part) / count)
        losses = mean_over_processes(fabric, parameters, torch.stack(list(sums.values())))
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * rate
        self.optimiser.step()
        return {f"{self.name}.{name}": loss for name, loss in zip(sums, losses, strict=True)}

    def is_over(self, steps: int, recent: Sequence[Mapping[str, Tensor | float]]) -> bool:
        """Say whether the next turn comes after this many steps, given the losses of the last burst's steps.

        The losses are read from the device only where they decide: at the end of a burst of a turn that may continue.
        """
        if steps >= self.most_bursts * self.burst:
            return True
        looked_at = self.watched is not None and steps % self.burst == 0
        return looked_at and fmean(float(one[f"{self.name}.{self.watched}"]) for one in recent) < self.threshold


@dataclass(frozen=True)
class GanData:
    """What the networks learn from, and how; the same in every process."""

    folder: Path
    """The partial artifact; the training goes on from the checkpoint there, if one is."""
    lesions: Lesions
    validated: Lesions | None
    """Lesions of the validation split for `settings.validation`; None where nothing is measured."""
    features: nn.Module
    """Frozen extractor for the perceptual loss."""
    settings: GanSettings
    seed: int


def run_training(data: GanData, previews: PreviewCases, device: str, progress: Progress) -> int:
    """Train until the schedule is done, and write weights, history and previews into a folder.

    Args:
        data: what is learned from.
        previews: what is painted for people to look at.
        device: where the networks run.
        progress: notified after each step.

    Returns:
        The number of images seen.

    Raises:
        TrainingError: a loss is not finite any more, or the networks have collapsed.
        DeviceError: the device, or enough of them, or the precision on it is not there.
    """
    engine = data.settings.engine
    # The other processes do the same on other shares of each batch; they paint no previews and write nothing.
    with training_processes(device, engine.processes, engine.precision, _train, data) as fabric:
        return _train(fabric, data, previews, progress)


def _train(fabric: Fabric, data: GanData, previews: PreviewCases | None = None, progress: Progress = quiet) -> int:
    return Training(fabric, data).run(previews, progress)


class Training(InfillerTraining[Batch]):
    """All that changes while the networks learn, and their step.

    Args:
        fabric: this process.
        data: what is learned from.
    """

    def __init__(self, fabric: Fabric, data: GanData) -> None:
        settings = data.settings
        stopping = EarlyStopping(settings.validation.keep, settings.validation.patience)
        super().__init__(fabric, data.folder, settings, settings.schedule.batch, stopping)
        self.data, self.settings = data, settings
        self.networks = Networks(data.lesions.images.shape[1], data.features, settings, data.seed)
        self.networks.to(fabric.device)
        self.first_turns, self.later_turns = _turns(self.networks, settings)
        self.optimisers = {turn.name: turn.optimiser for turn in [*self.first_turns, *self.later_turns]}
        pretraining, alternation = settings.schedule.images_for(len(data.lesions))
        self.pretraining_ends = whole_batches(pretraining, settings.schedule.batch)
        self.ends = self.pretraining_ends + whole_batches(alternation, settings.schedule.batch)
        watched = data.validated
        self.validation = Validation(watched, data.features, settings, data.seed) if watched is not None else None
        self.turn_number, self.steps_in_turn = 0, 0
        self.steps_taken: dict[str, int] = {}
        """Steps of each turn so far, all rounds together, by its name."""
        self.recent: list[Mapping[str, Tensor | float]] = []
        """Losses of the last steps of this turn, as many as a burst has."""
        self.sums: dict[str, list[float]] = {}
        """Sum and number of each loss since the last row of the history, of the steps already checked."""

    def batch_at(self, images_seen: int, share: tuple[int, int]) -> Batch:
        """Make a share of a batch; see `InfillerTraining`, also for the other methods with short docstrings."""
        return batch_at(self.data.lesions, images_seen, self.settings, self.data.seed, share)

    def to_device(self, batch: Batch) -> Batch:
        """Bring a batch to where the networks are."""
        return batch.to(self.fabric.device, channels_last=self.settings.engine.channels_last)

    def step(self, batch: Batch) -> None:
        """Learn from a batch, and determine the next turn.

        Raises:
            TrainingError: a weight, or a loss of this step or of one of the last ones, is not finite any more.
        """
        turns = self.first_turns if self.images_seen < self.pretraining_ends else self.later_turns
        turn = turns[self.turn_number]
        parts = batch.parts(self.settings.engine.at_once)
        rate, taken = self.settings.schedule.rate_at(self.images_seen), self.steps_taken.get(turn.name, 0)
        losses = turn.step(self.fabric, parts, taken, rate)
        self.steps_taken[turn.name] = taken + 1
        self.unseen.add(self.images_seen, list(losses), torch.stack(list(losses.values())))
        self.images_seen += self.settings.schedule.batch
        self.steps_in_turn += 1
        self.recent = [*self.recent, losses][-turn.burst :]
        if turn.network is self.networks.generator:
            self.networks.update_ema(self.settings.schedule.batch)
        if turn.is_over(self.steps_in_turn, self.recent):
            self.turn_number, self.steps_in_turn, self.recent = (self.turn_number + 1) % len(turns), 0, []
        if self.images_seen == self.pretraining_ends:
            self.turn_number, self.steps_in_turn, self.recent = 0, 0, []
        settings = self.settings
        kept = (settings.validation.every_images, settings.history_every_images, settings.checkpoint_every_images)
        keeps = self.is_over() or any(map(self.passed, kept))
        if keeps or self.unseen.due:
            self.look()
        if keeps:
            self.networks.check_finite(self.images_seen)

    def look(self) -> None:
        """Check the losses of the last steps.

        Raises:
            TrainingError: one is not finite any more.
        """
        for losses in self.unseen.look():
            for name, loss in losses.items():
                total = self.sums.setdefault(name, [0.0, 0.0])
                total[0], total[1] = total[0] + loss, total[1] + 1
            self.note = " ".join(f"{name} {loss:.3f}" for name, loss in losses.items())

    def validate(self) -> dict[str, float]:
        """Measure fills of the validation split when that is due; return the measure by its name."""
        due = self.is_over() or self.passed(self.settings.validation.every_images)
        if self.validation is None or self.images_seen <= self.pretraining_ends or not due:
            return {}
        value = self.validation.measure(self.networks.paint_kept, self.fabric.device)
        self.stopping.update(value, self.images_seen, self.networks.kept)
        return {f"validation.{self.settings.validation.measure}": value}

    def means(self, batch: Batch) -> dict[str, float]:
        """Return the mean losses since the last row of the history, and measures of fills of the last batch."""
        means = {name: total / count for name, (total, count) in sorted(self.sums.items())}
        self.sums = {}
        fills = self.networks.measure_fills(batch)
        values = mean_over_processes(self.fabric, [], torch.tensor(list(fills.values()), device=self.fabric.device))
        return means | dict(zip(fills, values.tolist(), strict=True))

    def record(self, batch: Batch, row: Mapping[str, float]) -> dict[str, float]:
        """Add a row to the history; return what it says besides `row`.

        Raises:
            TrainingError: the networks have collapsed.
        """
        means = super().record(batch, row)
        check_not_collapsed(self.history.rows, self.pretraining_ends)
        return means

    def painter(self) -> GeneratorPainter:
        """Return a painter with the present EMA."""
        return GeneratorPainter(self.networks.kept)

    def state(self) -> dict[str, Any]:
        """Return the current turn, the losses, the networks and their optimisers."""
        return {
            "turn_number": self.turn_number,
            "steps_in_turn": self.steps_in_turn,
            "steps_taken": self.steps_taken,
            "recent": [{name: float(loss) for name, loss in one.items()} for one in self.recent],
            "sums": self.sums,
            "networks": self.networks.state(),
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore these."""
        self.turn_number, self.steps_in_turn = state["turn_number"], state["steps_in_turn"]
        self.steps_taken = state.get("steps_taken", {})  # checkpoints of earlier versions have none
        self.recent, self.sums = state["recent"], state["sums"]
        self.networks.load_state(state["networks"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])

    def finish(self, progress: Progress) -> None:
        """Write the weights that are kept, and the history."""
        folder, stopping = self.folder, self.stopping
        if stopping.weights is not None:
            self.networks.kept.load_state_dict(stopping.weights)
            measure = self.settings.validation.measure
            progress.say(f"Kept the generator after {counted(stopping.images_seen, 'images')}, the best by {measure}.")
        save_weights(folder / WEIGHTS_NAME, self.networks.kept)
        save_weights(folder / DISCRIMINATOR_NAME, self.networks.discriminator)
        self.history.write(folder)


_STRETCHES = 4
"""Rows of the history in which a collapse must be seen."""


def check_not_collapsed(rows: Sequence[Mapping[str, Any]], pretraining_ends: int) -> None:
    """Stop a training that cannot recover any more, with what to try.

    Args:
        rows: the history's.
        pretraining_ends: the images seen at that point; before it, flat fills are the beginning and no collapse.

    Raises:
        TrainingError: in several rows in a row, fills were flat, or the discriminator made no mistake.
    """
    last = [row for row in rows if row["images_seen"] > pretraining_ends][-_STRETCHES:]
    if len(last) < _STRETCHES:
        return
    seen = f"from {last[0]['images_seen']} to {last[-1]['images_seen']} images"
    if all(row["fills.contrast"] < 0.02 for row in last):
        raise TrainingError(
            f"The fills became flat: {seen} the pixels inside their masks varied by less than a fiftieth of what real "
            "lesions do. The last checkpoint is kept. A smaller learning rate, a larger losses.perceptual_weight or a "
            "smaller losses.adversarial_weight usually helps, or the preset modern."
        )
    if all(row.get("discriminator.adversarial", math.inf) < 1e-3 for row in last):
        raise TrainingError(
            f"The discriminator made no mistake {seen}, so the generator learns nothing from it any more. The last "
            "checkpoint is kept. A smaller schedule.discriminator_learning_rate, discriminator.augment, or "
            "losses.gradient_penalty_weight usually helps, or the preset modern."
        )


def _turns(networks: Networks, settings: GanSettings) -> tuple[list[Turn], list[Turn]]:
    """Return the turns of pre-training, and those of the alternation that follows."""
    schedule, weigh = settings.schedule, settings.losses
    generator, discriminator = networks.generator, networks.discriminator
    weights = {
        "perceptual": weigh.perceptual_weight,
        "boundary": weigh.boundary_weight,
        "adversarial": weigh.adversarial_weight,
        # For the generator the class head is a part of the discriminator's verdict.
        "class": weigh.adversarial_weight * weigh.class_weight,
        "features": weigh.feature_matching_weight,
        "variety": weigh.variety_weight,
    }
    judge = Turn(
        "discriminator",
        discriminator,
        _adam(discriminator, schedule.discriminator_learning_rate or schedule.learning_rate, settings),
        networks.judging,
        {"adversarial": 1.0, "class": weigh.class_weight, "slope": weigh.gradient_penalty_weight},
        schedule.most_steps_per_turn,
        schedule.discriminator_burst,
        "adversarial",
        schedule.threshold,
    )

    def of_generator(
        name: str, terms: Callable[[Batch, int], dict[str, Tensor]], most_steps: float, **more: Any
    ) -> Turn:
        return Turn(
            name, generator, _adam(generator, schedule.learning_rate, settings), terms, weights, most_steps, **more
        )

    until = {"watched": "adversarial", "threshold": schedule.threshold}
    if weigh.combine == "summed":
        paint = of_generator("generator", networks.everything, schedule.most_steps_per_turn, **until)
        learn = Turn("pretraining", generator, paint.optimiser, networks.reconstruction, weights, math.inf)
        return [learn], [judge, paint]
    fool = of_generator("generator", networks.fooling, schedule.most_steps_per_turn, **until)
    resemble = of_generator("perceptual", networks.perceptual, schedule.reconstruction_steps)
    blend = of_generator("boundary", networks.boundary, schedule.reconstruction_steps)
    learn = Turn("pretraining", generator, resemble.optimiser, networks.perceptual, weights, math.inf)
    return [learn], [judge, fool, *([resemble, blend] if schedule.reconstruction_steps else [])]


def _adam(network: nn.Module, rate: float, settings: GanSettings) -> torch.optim.Adam:
    betas = (settings.schedule.beta1, settings.schedule.beta2)
    return torch.optim.Adam([{"params": network.parameters(), "lr": rate, "initial_lr": rate}], betas=betas)
