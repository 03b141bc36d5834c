"""The training loop: pre-training on the perceptual loss, then turns of discriminator and generator.

Everything that is random, and the data order, follows from the seed and the images seen, so that a run that was stopped
and continued makes the same weights, to the bit, as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mammofill.ground.artifact import write_atomically
from mammofill.ground.progress import Progress
from mammofill.ground.training import (
    WEIGHTS_NAME,
    History,
    check_finite,
    find_device,
    load_checkpoint,
    remove_checkpoint,
    save_checkpoint,
    save_weights,
    seeded_layers,
)
from mammofill.infilling.batches import Batch, Lesions, batch_at
from mammofill.infilling.discriminator import Discriminator
from mammofill.infilling.generator import Generator
from mammofill.infilling.losses import (
    adversarial_loss,
    boundary_loss,
    class_loss,
    discriminator_loss,
    perceptual_loss,
)
from mammofill.infilling.previews import PreviewCases, preview_picture
from mammofill.infilling.settings import TrainInfillerSettings


@dataclass(frozen=True)
class Turn:
    """Some steps on one loss: whose weights move, by which optimiser, and when the next one's turn comes."""

    name: str
    network: nn.Module
    optimiser: torch.optim.Adam
    terms: Callable[[Batch], dict[str, Tensor]]
    """Named losses of a batch, unweighted."""
    weights: Mapping[str, float]
    most_steps: float
    watched: str | None = None
    """The loss that ends the turn when it is below `threshold`."""
    threshold: float = -math.inf

    def step(self, batch: Batch, rate: float) -> dict[str, float]:
        """Take one step at this share of the starting learning rate; return the losses before it."""
        terms = self.terms(batch)
        total = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        # Only this turn's network gets gradients: the other one is left out of the backward pass where it can be.
        total.backward(inputs=list(self.network.parameters()))  # type: ignore[no-untyped-call]
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * rate
        self.optimiser.step()
        return {f"{self.name}.{name}": float(term.detach()) for name, term in terms.items()}

    def is_over(self, steps: int, losses: Mapping[str, float]) -> bool:
        """Say whether the next turn comes after this many steps, the last with these losses."""
        below = self.watched is not None and losses[f"{self.name}.{self.watched}"] < self.threshold
        return below or steps >= self.most_steps


class Networks:
    """Generator, discriminator, features, and the terms of the losses over them."""

    def __init__(self, size_px: int, features: nn.Module, settings: TrainInfillerSettings, seed: int) -> None:
        self.settings = settings
        with seeded_layers(seed, "generator"):
            self.generator = Generator(size_px, settings.generator)
        with seeded_layers(seed, "discriminator"):
            self.discriminator = Discriminator(size_px, settings.discriminator)
        self.features = features

    def to(self, device: torch.device) -> None:
        """Move all networks to a device."""
        for network in (self.generator, self.discriminator, self.features):
            network.to(device)

    def paint(self, batch: Batch) -> Tensor:
        """Return the generator's pictures, (N, 1, H, W)."""
        painted: Tensor = self.generator(batch.context, batch.mask, batch.classes)
        return painted

    def perceptual(self, batch: Batch) -> dict[str, Tensor]:
        """Perceptual loss alone."""
        return {"perceptual": self._perceptual(batch, self.paint(batch))}

    def boundary(self, batch: Batch) -> dict[str, Tensor]:
        """Boundary loss alone."""
        return {"boundary": boundary_loss(batch.real, self.paint(batch), batch.boundary)}

    def reconstruction(self, batch: Batch) -> dict[str, Tensor]:
        """Both losses that compare with the real picture."""
        painted = self.paint(batch)
        return {
            "perceptual": self._perceptual(batch, painted),
            "boundary": boundary_loss(batch.real, painted, batch.boundary),
        }

    def fooling(self, batch: Batch) -> dict[str, Tensor]:
        """What the discriminator says of the fills: real? and of the class asked for?"""
        return self._fooling(batch, self.paint(batch))

    def everything(self, batch: Batch) -> dict[str, Tensor]:
        """All losses of the generator, from one picture."""
        painted = self.paint(batch)
        return {
            "perceptual": self._perceptual(batch, painted),
            "boundary": boundary_loss(batch.real, painted, batch.boundary),
            **self._fooling(batch, painted),
        }

    def judging(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of the discriminator: real or painted; and the class, learned from real pictures alone."""
        with torch.no_grad():
            shown = self._shown(batch, self.paint(batch))
        real_logits, class_logits = self.discriminator(batch.real, batch.classes)
        painted_logits, _ = self.discriminator(shown, batch.classes)
        terms = {"adversarial": discriminator_loss(real_logits, painted_logits)}
        return terms if class_logits is None else terms | {"class": class_loss(class_logits, batch.classes)}

    def _perceptual(self, batch: Batch, painted: Tensor) -> Tensor:
        if self.settings.perceptual.region == "whole":
            return perceptual_loss(self.features, batch.real, painted, regions=())
        return perceptual_loss(
            self.features,
            batch.real,
            painted,
            regions=(batch.mask, batch.boundary),
            context=1 - batch.mask,
            context_weight=self.settings.losses.context_weight,
        )

    def _fooling(self, batch: Batch, painted: Tensor) -> dict[str, Tensor]:
        logits, class_logits = self.discriminator(self._shown(batch, painted), batch.classes)
        terms = {"adversarial": adversarial_loss(logits)}
        return terms if class_logits is None else terms | {"class": class_loss(class_logits, batch.classes)}

    def _shown(self, batch: Batch, painted: Tensor) -> Tensor:
        if self.settings.discriminator.sees == "raw":
            return painted
        return batch.opacity * painted + (1 - batch.opacity) * batch.real


def run_training(
    folder: Path,
    lesions: Lesions,
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
        previews: what is painted for people to look at.
        features: frozen extractor for the perceptual loss.
        settings: the stage's settings.
        seed: the stage's seed.
        device: where the networks run.
        progress: told after each step.

    Returns:
        The number of images seen.

    Raises:
        TrainingError: a loss is not finite any more.
    """
    place = find_device(device)
    networks = Networks(lesions.images.shape[1], features, settings, seed)
    networks.to(place)
    first_turns, later_turns = _turns(networks, settings)
    optimisers = {turn.name: turn.optimiser for turn in [*first_turns, *later_turns]}
    batch_size = settings.schedule.batch
    pretraining_ends = _whole_batches(settings.schedule.pretrain_epochs * len(lesions), batch_size)
    all_ends = pretraining_ends + _whole_batches(settings.schedule.adversarial_epochs * len(lesions), batch_size)

    images_seen, turn_number, steps_in_turn = 0, 0, 0
    sums: dict[str, list[float]] = {}
    history = History()
    state = load_checkpoint(folder)
    if state is not None:
        images_seen, turn_number, steps_in_turn = state["images_seen"], state["turn_number"], state["steps_in_turn"]
        sums, history = state["sums"], History.from_state(state["history"])
        networks.generator.load_state_dict(state["generator"])
        networks.discriminator.load_state_dict(state["discriminator"])
        for name, optimiser in optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])

    with progress.task("training the infiller", all_ends) as task:
        task.advance(images_seen)
        while images_seen < all_ends:
            turns = first_turns if images_seen < pretraining_ends else later_turns
            turn = turns[turn_number]
            batch = batch_at(lesions, images_seen, settings, seed, place)
            losses = turn.step(batch, settings.schedule.rate_at(images_seen))
            check_finite(losses, images_seen)
            images_seen += batch_size
            steps_in_turn += 1
            if turn.is_over(steps_in_turn, losses):
                turn_number, steps_in_turn = (turn_number + 1) % len(turns), 0
            if images_seen == pretraining_ends:
                turn_number, steps_in_turn = 0, 0

            for name, loss in losses.items():
                total = sums.setdefault(name, [0.0, 0.0])
                total[0], total[1] = total[0] + loss, total[1] + 1
            finished = images_seen >= all_ends
            if finished or _passed(images_seen, batch_size, settings.history_every_images):
                history.add(images_seen, **{name: total / count for name, (total, count) in sorted(sums.items())})
                sums = {}
            if len(previews.images) and (finished or _passed(images_seen, batch_size, settings.preview_every_images)):
                _write_preview(folder, images_seen, networks.generator, previews, settings.feather_px)
            if finished or _passed(images_seen, batch_size, settings.checkpoint_every_images):
                save_checkpoint(folder, {
                    "images_seen": images_seen,
                    "turn_number": turn_number,
                    "steps_in_turn": steps_in_turn,
                    "sums": sums,
                    "history": history.state(),
                    "generator": networks.generator.state_dict(),
                    "discriminator": networks.discriminator.state_dict(),
                    "optimisers": {name: optimiser.state_dict() for name, optimiser in optimisers.items()},
                })  # fmt: skip
            task.advance(batch_size, " ".join(f"{name} {loss:.3f}" for name, loss in losses.items()))

    save_weights(folder / WEIGHTS_NAME, networks.generator)
    save_weights(folder / "discriminator.safetensors", networks.discriminator)
    history.write(folder)
    remove_checkpoint(folder)
    return images_seen


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
    }
    judge = Turn(
        "discriminator",
        discriminator,
        _adam(discriminator, schedule.discriminator_learning_rate or schedule.learning_rate, settings),
        networks.judging,
        {"adversarial": 1.0, "class": weigh.class_weight},
        schedule.most_steps_per_turn,
        "adversarial",
        schedule.threshold,
    )

    def of_generator(name: str, terms: Callable[[Batch], dict[str, Tensor]], most_steps: float, **more: Any) -> Turn:
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


def _write_preview(folder: Path, images_seen: int, generator: Generator, cases: PreviewCases, feather_px: int) -> None:
    place = folder / "previews"
    place.mkdir(exist_ok=True)
    write_atomically(place / f"{images_seen:08d}.png", preview_picture(generator, cases, feather_px))
