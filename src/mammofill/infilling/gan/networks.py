"""Generator, discriminator and features together, and the terms of the losses over them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mammofill.ground.errors import TrainingError
from mammofill.ground.training.data_order import seeded_layers
from mammofill.ground.training.ema import update_ema
from mammofill.infilling.gan.batches import Batch
from mammofill.infilling.gan.diffaugment import diffaugment
from mammofill.infilling.gan.discriminator import Discriminator, Verdict, weights_near
from mammofill.infilling.gan.generator import Generator
from mammofill.infilling.gan.losses import (
    adversarial_loss,
    boundary_loss,
    class_loss,
    discriminator_loss,
    feature_matching_loss,
    gradient_penalty,
    variety_loss,
)
from mammofill.infilling.gan.perceptual import perceptual_loss
from mammofill.infilling.gan.settings import GanSettings


class Networks:
    """The networks in training.

    Methods that return loss terms take a batch and the number of steps taken before on the same terms
    (`training_loop.Turn`), which only `judging` looks at.
    """

    def __init__(self, size_px: int, features: nn.Module, settings: GanSettings, seed: int) -> None:
        self.settings = settings
        with seeded_layers(seed, "generator"):
            self.generator = Generator(size_px, settings.generator, settings.conditions)
        with seeded_layers(seed, "discriminator"):
            self.discriminator = Discriminator(size_px, settings.discriminator, settings.conditions)
        self.features = features
        self.kept = copy.deepcopy(self.generator) if settings.schedule.ema_half_life_images else self.generator
        """The generator that becomes the infiller: the EMA, or the one that is trained."""
        self._generate: Any = self.generator
        self._judge: Any = self.discriminator
        if settings.engine.compile:
            self._generate, self._judge = torch.compile(self.generator), torch.compile(self.discriminator)

    def to(self, device: torch.device) -> None:
        """Move all networks to a device."""
        form = torch.channels_last if self.settings.engine.channels_last else torch.contiguous_format
        for network in (self.generator, self.discriminator, self.features, self.kept):
            network.to(device, memory_format=form)  # type: ignore[call-overload]

    def update_ema(self, images: int) -> None:
        """Update the kept generator after a step of this many images."""
        if self.kept is self.generator:
            return
        update_ema(self.kept, self.generator, images, self.settings.schedule.ema_half_life_images)

    def check_finite(self, images_seen: int) -> None:
        """Refuse NaN or infinite weights before they are saved.

        Raises:
            TrainingError: naming the tensor and the number of images seen.
        """
        for network in (self.generator, self.discriminator, self.kept):
            names, tensors = zip(*network.named_parameters(), strict=True)
            finite = torch.stack([torch.isfinite(tensor).all() for tensor in tensors]).tolist()
            for name in (name for name, is_finite in zip(names, finite, strict=True) if not is_finite):
                raise TrainingError(
                    f"The weights {name!r} of the {type(network).__name__.lower()} became NaN or infinite after "
                    f"{images_seen} images. The last checkpoint is kept. A smaller learning rate usually helps."
                )

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on."""
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "kept": self.kept.state_dict(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.kept.load_state_dict(state["kept"])

    def paint(self, batch: Batch) -> Tensor:
        """Return the generator's pictures, (N, 1, H, W)."""
        painted: Tensor = self._generate(batch.context, batch.mask, batch.conditions, batch.latent)
        return painted

    def paint_kept(self, batch: Batch) -> Tensor:
        """Return the kept generator's pictures, (N, 1, H, W)."""
        painted: Tensor = self.kept(batch.context, batch.mask, batch.conditions, batch.latent)
        return painted

    def perceptual(self, batch: Batch, taken: int) -> dict[str, Tensor]:
        """Perceptual loss alone."""
        return {"perceptual": self._perceptual(batch, self.paint(batch))}

    def boundary(self, batch: Batch, taken: int) -> dict[str, Tensor]:
        """Boundary loss alone."""
        return {"boundary": boundary_loss(batch.real, self.paint(batch), batch.boundary)}

    def reconstruction(self, batch: Batch, taken: int) -> dict[str, Tensor]:
        """Both losses that compare with the real picture."""
        painted = self.paint(batch)
        return {
            "perceptual": self._perceptual(batch, painted),
            "boundary": boundary_loss(batch.real, painted, batch.boundary),
        }

    def fooling(self, batch: Batch, taken: int) -> dict[str, Tensor]:
        """Return the losses from the discriminator's verdicts on fills: real, and of the requested class."""
        return self._of_verdict(batch, self._verdict(batch, self.paint(batch)))

    def everything(self, batch: Batch, taken: int) -> dict[str, Tensor]:
        """All losses of the generator, from one picture."""
        painted = self.paint(batch)
        verdict = self._verdict(batch, painted)
        terms = {
            "perceptual": self._perceptual(batch, painted),
            "boundary": boundary_loss(batch.real, painted, batch.boundary),
            **self._of_verdict(batch, verdict),
        }
        losses = self.settings.losses
        if losses.feature_matching_weight:
            with torch.no_grad():
                wanted = self._verdict(batch, batch.real).layers
            terms["features"] = feature_matching_loss(
                wanted, verdict.layers, lambda side: weights_near(batch.mask, side)
            )
        if losses.variety_weight:
            other = self._generate(batch.other_context, batch.mask, batch.conditions, batch.other_latent)
            terms["variety"] = variety_loss(painted, other, batch.real, batch.mask, losses.variety_target)
        return terms

    def judging(self, batch: Batch, taken: int) -> dict[str, Tensor]:
        """Losses of the discriminator: real or painted; and the class, learned from real pictures alone.

        Args:
            batch: what is judged.
            taken: steps of the discriminator before this one; they decide when the gradient penalty is computed.
        """
        with torch.no_grad():
            painted = self.paint(batch)
        losses = self.settings.losses
        every = losses.gradient_penalty_every
        slope_too = losses.gradient_penalty_weight > 0 and taken % every == 0
        real, mask = diffaugment(batch.real, batch.mask, batch.augmentations, self.settings.discriminator.augment)
        if slope_too:
            real = real.detach().requires_grad_()
        verdict = self._judge(real, mask, batch.conditions)
        of_painted = self._verdict(batch, painted)
        terms = {"adversarial": discriminator_loss(verdict.real, of_painted.real, losses.adversarial)}
        if verdict.classes is not None:
            terms["class"] = class_loss(verdict.classes, batch.classes)
        if slope_too:
            terms["slope"] = every * gradient_penalty(verdict.real, real)
        return terms

    def measure_fills(self, batch: Batch) -> dict[str, float]:
        """Return how the kept generator's fills vary inside their masks, as shares of how the real pixels do there.

        Returns:
            ``fills.contrast``: their standard deviation. ``fills.variety``: the root mean square difference of two
            fills of the same context.
        """
        with torch.no_grad():
            one = self.paint_kept(batch)
            other = self.kept(batch.other_context, batch.mask, batch.conditions, batch.other_latent)
        real = _spread(batch.real, batch.mask).clamp(min=1e-6)
        contrast = (_spread(one, batch.mask) / real).mean()
        area = batch.mask.sum(dim=(1, 2, 3)).clamp(min=1)
        apart = (((one - other) * batch.mask).square().sum(dim=(1, 2, 3)) / area).sqrt()
        found = {"fills.contrast": float(contrast)}
        return found | ({"fills.variety": float((apart / real).mean())} if self.settings.losses.variety_weight else {})

    def _of_verdict(self, batch: Batch, verdict: Verdict) -> dict[str, Tensor]:
        terms = {"adversarial": adversarial_loss(verdict.real, self.settings.losses.adversarial)}
        if verdict.classes is not None:
            terms["class"] = class_loss(verdict.classes, batch.classes)
        return terms

    def _verdict(self, batch: Batch, painted: Tensor) -> Verdict:
        if self.settings.discriminator.sees == "composite":
            painted = batch.opacity * painted + (1 - batch.opacity) * batch.real
        shown, mask = diffaugment(painted, batch.mask, batch.augmentations, self.settings.discriminator.augment)
        verdict: Verdict = self._judge(shown, mask, batch.conditions)
        return verdict

    def _perceptual(self, batch: Batch, painted: Tensor) -> Tensor:
        losses = self.settings.losses
        if self.settings.perceptual.region == "whole":
            return perceptual_loss(self.features, batch.real, painted, [])
        return perceptual_loss(
            self.features,
            batch.real,
            painted,
            [batch.mask, batch.boundary],
            1 - batch.mask,
            losses.context_weight,
            batch.filled.unbind(1),
        )


def _spread(images: Tensor, mask: Tensor) -> Tensor:
    """Return (N,) standard deviations inside the masks."""
    area = mask.sum(dim=(1, 2, 3), keepdim=True).clamp(min=1)
    mean = (images * mask).sum(dim=(1, 2, 3), keepdim=True) / area
    return (((images - mean) * mask).square().sum(dim=(1, 2, 3), keepdim=True) / area).sqrt().flatten()
