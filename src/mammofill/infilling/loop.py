"""The training loop: pre-training on the perceptual loss, then turns of discriminator and generator.

Everything that is random, and the data order, follows from the seed and the images seen, so that a run that was stopped
and continued makes the same weights, to the bit, as one that was not. Several processes each take their share of every
batch and average their gradients, so that they make what one makes, up to the order of additions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mammofill.ground.artifact import write_atomically
from mammofill.ground.crew import crew, mean_over_crew
from mammofill.ground.errors import DamagedError, TrainingError
from mammofill.ground.progress import Progress, quiet
from mammofill.ground.training import (
    WEIGHTS_NAME,
    History,
    check_finite,
    load_checkpoint,
    remove_checkpoint,
    save_checkpoint,
    save_weights,
)
from mammofill.ground.trunk import DISCRIMINATOR_NAME
from mammofill.infilling.batches import Batch, Lesions, batch_at
from mammofill.infilling.networks import Networks
from mammofill.infilling.previews import PreviewCases, preview_picture
from mammofill.infilling.settings import TrainInfillerSettings, WatchSettings
from mammofill.infilling.watching import Watch

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Turn:
    """Some steps on one loss: whose weights move, by which optimiser, and when the next one's turn comes."""

    name: str
    network: nn.Module
    optimiser: torch.optim.Adam
    terms: Callable[[Batch, int], dict[str, Tensor]]
    """Named losses of a batch, unweighted, given the images seen before it."""
    weights: Mapping[str, float]
    most_bursts: float
    burst: int = 1
    """Only after so many steps each is the loss looked at, on average over them."""
    watched: str | None = None
    """The loss that ends the turn when it is below `threshold`."""
    threshold: float = -math.inf

    def step(self, fabric: Fabric, parts: Sequence[Batch], images_seen: int, rate: float) -> dict[str, float]:
        """Take one step at this share of the starting learning rate; return the losses before it.

        Args:
            fabric: this process of the crew.
            parts: this process's share of the batch, in parts that fit at once.
            images_seen: before this step.
            rate: share of the starting learning rate.
        """
        parameters = [one for one in self.network.parameters() if one.requires_grad]
        self.optimiser.zero_grad(set_to_none=True)
        count = sum(map(len, parts))
        sums: dict[str, Tensor] = {}
        for part in parts:
            with fabric.autocast():
                terms = self.terms(part, images_seen)
                total = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
            # Only this turn's network gets gradients: the other one is left out of the backward pass where it can be.
            (total * (len(part) / count)).backward(inputs=parameters)  # type: ignore[no-untyped-call]
            for name, term in terms.items():
                sums[name] = sums.get(name, 0) + term.detach().float() * (len(part) / count)
        losses = mean_over_crew(fabric, parameters, torch.stack(list(sums.values())))
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * rate
        self.optimiser.step()
        return {f"{self.name}.{name}": loss for name, loss in zip(sums, losses, strict=True)}

    def is_over(self, steps: int, recent: Sequence[Mapping[str, float]]) -> bool:
        """Say whether the next turn comes after this many steps, given the losses of the last burst's steps."""
        looked_at = self.watched is not None and steps % self.burst == 0
        below = looked_at and fmean(one[f"{self.name}.{self.watched}"] for one in recent) < self.threshold
        return below or steps >= self.most_bursts * self.burst


def run_training(
    folder: Path,
    lesions: Lesions,
    watched: Lesions | None,
    previews: PreviewCases,
    features: nn.Module,
    settings: TrainInfillerSettings,
    seed: int,
    device: str,
    progress: Progress,
) -> int:
    """Train until the schedule is done, and write weights, history and previews into a folder.

    Args:
        folder: the partial artifact; goes on from the checkpoint there, if one is.
        lesions: what is learned from.
        watched: lesions of the validation split for `settings.watch`; None where nothing is measured.
        previews: what is painted for people to look at.
        features: frozen extractor for the perceptual loss.
        settings: the stage's settings.
        seed: the stage's seed.
        device: where the networks run.
        progress: told after each step.

    Returns:
        The number of images seen.

    Raises:
        TrainingError: a loss is not finite any more, or the networks have collapsed.
        DeviceError: the device, or enough of them, or the precision on it is not there.
    """
    engine = settings.engine
    shared = (folder, lesions, watched, features, settings, seed)
    # The others of the crew do the same on other shares of each batch; they paint no previews and write nothing.
    with crew(device, engine.processes, engine.precision, _train, *shared) as fabric:
        return _train(fabric, *shared, previews, progress)


def _train(
    fabric: Fabric,
    folder: Path,
    lesions: Lesions,
    watched: Lesions | None,
    features: nn.Module,
    settings: TrainInfillerSettings,
    seed: int,
    previews: PreviewCases | None = None,
    progress: Progress = quiet,
) -> int:
    networks = Networks(lesions.images.shape[1], features, settings, seed)
    networks.to(fabric.device)
    first_turns, later_turns = _turns(networks, settings)
    optimisers = {turn.name: turn.optimiser for turn in [*first_turns, *later_turns]}
    batch_size = settings.schedule.batch
    pretraining, alternation = settings.schedule.images_for(len(lesions))
    pretraining_ends = _whole_batches(pretraining, batch_size)
    all_ends = pretraining_ends + _whole_batches(alternation, batch_size)
    watch = Watch(watched, features, settings, seed) if watched is not None else None
    best = Best(settings.watch)

    images_seen, turn_number, steps_in_turn = 0, 0, 0
    recent: list[dict[str, float]] = []
    sums: dict[str, list[float]] = {}
    history = History()
    state = load_checkpoint(folder)
    if state is not None:
        try:
            images_seen, turn_number, steps_in_turn = state["images_seen"], state["turn_number"], state["steps_in_turn"]
            recent, sums, history = state["recent"], state["sums"], History.from_state(state["history"])
            networks.load_state(state["networks"])
            best.load_state(state["best"])
            for name, optimiser in optimisers.items():
                optimiser.load_state_dict(state["optimisers"][name])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise DamagedError(
                f"The checkpoint in {folder} is of other networks or of another version of mammofill ({error}). Delete "
                "the folder to start anew, or go on with the version that began it."
            ) from error

    writes = fabric.global_rank == 0
    board = _Board(settings.tensorboard if writes else None, images_seen)
    share = (fabric.global_rank, fabric.world_size)
    with ThreadPoolExecutor(1) as beside, progress.task("training the infiller", all_ends) as task:
        task.advance(images_seen)
        # The next batch is made while the networks learn from this one.
        upcoming = beside.submit(batch_at, lesions, images_seen, settings, seed, share)
        while images_seen < all_ends and not best.is_over():
            turns = first_turns if images_seen < pretraining_ends else later_turns
            turn = turns[turn_number]
            batch = upcoming.result().to(fabric.device, channels_last=settings.engine.channels_last)
            upcoming = beside.submit(batch_at, lesions, images_seen + batch_size, settings, seed, share)
            parts = batch.parts(settings.engine.at_once)
            losses = turn.step(fabric, parts, images_seen, settings.schedule.rate_at(images_seen))
            check_finite(losses, images_seen)
            images_seen += batch_size
            steps_in_turn += 1
            recent = [*recent, losses][-turn.burst :]
            if turn.network is networks.generator:
                networks.average(batch_size)
            if turn.is_over(steps_in_turn, recent):
                turn_number, steps_in_turn, recent = (turn_number + 1) % len(turns), 0, []
            if images_seen == pretraining_ends:
                turn_number, steps_in_turn, recent = 0, 0, []

            for name, loss in losses.items():
                total = sums.setdefault(name, [0.0, 0.0])
                total[0], total[1] = total[0] + loss, total[1] + 1
            finished = images_seen >= all_ends
            kept = (best.every, settings.history_every_images, settings.checkpoint_every_images)
            if finished or any(_passed(images_seen, batch_size, every) for every in kept):
                networks.check_finite(images_seen)
            adversarial = images_seen > pretraining_ends
            row: dict[str, float] = {}
            if watch is not None and adversarial and (finished or _passed(images_seen, batch_size, best.every)):
                value = watch.take(networks.paint_kept, fabric.device)
                row[f"validation.{settings.watch.measure}"] = value
                best.see(value, images_seen, networks.kept)
            finished = finished or best.is_over()
            if finished or row or _passed(images_seen, batch_size, settings.history_every_images):
                row |= {name: total / count for name, (total, count) in sorted(sums.items())}
                fills = networks.measure_fills(batch)
                means = mean_over_crew(fabric, [], torch.tensor(list(fills.values()), device=fabric.device))
                row |= dict(zip(fills, means, strict=True))
                history.add(images_seen, **row)
                sums = {}
                check_not_collapsed(history.rows, pretraining_ends)
                if writes:
                    history.write(folder)
                board.add_numbers(row, images_seen)
            shown = finished or _passed(images_seen, batch_size, settings.preview_every_images)
            if previews is not None and len(previews.images) and shown:
                picture = preview_picture(networks.kept, previews, settings.feather_px)
                _write_preview(folder, images_seen, picture)
                board.add_picture(picture, images_seen)
            if writes and (finished or _passed(images_seen, batch_size, settings.checkpoint_every_images)):
                save_checkpoint(folder, {
                    "images_seen": images_seen,
                    "turn_number": turn_number,
                    "steps_in_turn": steps_in_turn,
                    "recent": recent,
                    "sums": sums,
                    "history": history.state(),
                    "networks": networks.state(),
                    "best": best.state(),
                    "optimisers": {name: optimiser.state_dict() for name, optimiser in optimisers.items()},
                })  # fmt: skip
            task.advance(batch_size, " ".join(f"{name} {loss:.3f}" for name, loss in losses.items()))

    if writes:
        if best.weights is not None:
            networks.kept.load_state_dict(best.weights)
            progress.say(f"Kept the generator after {best.images_seen} images, the best by {settings.watch.measure}.")
        save_weights(folder / WEIGHTS_NAME, networks.kept)
        save_weights(folder / DISCRIMINATOR_NAME, networks.discriminator)
        history.write(folder)
        remove_checkpoint(folder)
    board.close()
    return images_seen


class Best:
    """The best generator so far by the watched measure, and whether it is time to stop."""

    def __init__(self, settings: WatchSettings) -> None:
        self.settings, self.every = settings, settings.every_images
        self.value, self.images_seen, self.worse = math.inf, 0, 0
        self.weights: dict[str, Tensor] | None = None

    def see(self, value: float, images_seen: int, generator: nn.Module) -> None:
        """Take notice of a measurement."""
        if value >= self.value:
            self.worse += 1
            return
        self.value, self.images_seen, self.worse = value, images_seen, 0
        if self.settings.keep == "best":
            self.weights = {name: one.detach().cpu().clone() for name, one in generator.state_dict().items()}

    def is_over(self) -> bool:
        """Say whether patience has run out."""
        return self.settings.patience is not None and self.worse >= self.settings.patience

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on."""
        return {name: getattr(self, name) for name in ("value", "images_seen", "worse", "weights")}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        for name, value in state.items():
            setattr(self, name, value)


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


def _turns(networks: Networks, settings: TrainInfillerSettings) -> tuple[list[Turn], list[Turn]]:
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


def _adam(network: nn.Module, rate: float, settings: TrainInfillerSettings) -> torch.optim.Adam:
    betas = (settings.schedule.beta1, settings.schedule.beta2)
    return torch.optim.Adam([{"params": network.parameters(), "lr": rate, "initial_lr": rate}], betas=betas)


def _whole_batches(images: float, batch: int) -> int:
    return math.ceil(images / batch) * batch


def _passed(images_seen: int, batch: int, every: int) -> bool:
    return images_seen // every != (images_seen - batch) // every


def _write_preview(folder: Path, images_seen: int, picture: bytes) -> None:
    place = folder / "previews"
    place.mkdir(exist_ok=True)
    write_atomically(place / f"{images_seen:08d}.png", picture)


class _Board:
    """TensorBoard's folder, if one is wanted."""

    def __init__(self, folder: str | None, images_seen: int) -> None:
        self.writer: Any = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            # What a stopped run showed after its last checkpoint will be shown again.
            self.writer = SummaryWriter(folder, purge_step=images_seen + 1 if images_seen else None)

    def add_numbers(self, row: Mapping[str, float], images_seen: int) -> None:
        """Add a row of the history; ``a.b`` becomes ``a/b``, which TensorBoard groups."""
        if self.writer is not None:
            for name, value in row.items():
                self.writer.add_scalar(name.replace(".", "/"), value, images_seen)

    def add_picture(self, picture: bytes, images_seen: int) -> None:
        """Add a preview, an encoded PNG."""
        if self.writer is not None:
            from mammofill.ground.imaging import decode_png

            self.writer.add_image("fills", decode_png(picture), images_seen, dataformats="HW")
            self.writer.flush()

    def close(self) -> None:
        """Write what is left."""
        if self.writer is not None:
            self.writer.close()
