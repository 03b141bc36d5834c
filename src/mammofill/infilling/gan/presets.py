"""The GAN's presets: settings by name."""

from __future__ import annotations

from mammofill.infilling.gan.settings import (
    DiscriminatorSettings,
    GanSettings,
    GeneratorSettings,
    LossSettings,
    PerceptualSettings,
    ScheduleSettings,
)
from mammofill.pairing.hole import GROWN

_PAPER = GanSettings()

_DEMO = GanSettings(
    preset="demo",
    hole=GROWN,
    generator=GeneratorSettings(widths=(64, 64, 48, 32, 16, 16, 16)),
    discriminator=DiscriminatorSettings(widths=(16, 32, 64, 64), sees="composite"),
    perceptual=PerceptualSettings(features="laplacian"),
    losses=LossSettings(combine="summed", boundary_weight=1.0, boundary_sigma_px=2.5, adversarial_weight=0.006),
    schedule=ScheduleSettings(
        pretrain_epochs=20,
        adversarial_epochs=20,
        most_steps_per_turn=1,
        learning_rate=1e-3,
        discriminator_learning_rate=2e-3,
        decay=0.9,
        decay_every_images=1000,
    ),
    feather_px=2,
    augment=True,
    preview_every_images=2000,
    history_every_images=200,
    checkpoint_every_images=2000,
)

_AUTHORS = GanSettings(
    preset="authors",
    generator=GeneratorSettings(stack="accumulating", activation="relu", head="relu"),
    discriminator=DiscriminatorSettings(conditioning="planes", class_head=False),
    perceptual=PerceptualSettings(pooling="average"),
    schedule=ScheduleSettings(
        pretrain_epochs=None,
        adversarial_epochs=None,
        pretrain_images=8000,
        adversarial_images=2_000_000,
        discriminator_burst=5,
        most_steps_per_turn=5000,
    ),
)

_MODERN = GanSettings(
    preset="modern",
    hole=GROWN,
    generator=GeneratorSettings(
        widths=(128, 128, 96, 64, 48, 32, 32),
        stack="filled",
        norm="pixel",
        latent=16,
        upsampling="bilinear",
        head="residual",
    ),
    discriminator=DiscriminatorSettings(
        widths=(32, 64, 96, 128, 128),
        sees="composite",
        sees_mask=True,
        judge="patches",
        spectral_norm=True,
        augment=("turn", "translation", "brightness", "contrast"),
    ),
    perceptual=PerceptualSettings(features="laplacian", levels_left_out=1),
    losses=LossSettings(
        combine="summed",
        perceptual_weight=0.5,
        boundary_weight=0.5,
        boundary_sigma_px=4.0,
        adversarial="hinge",
        adversarial_weight=0.05,
        class_weight=1.0,
        feature_matching_weight=0.1,
        variety_weight=0.05,
    ),
    schedule=ScheduleSettings(
        pretrain_epochs=10,
        adversarial_epochs=190,
        most_steps_per_turn=1,
        reconstruction_steps=0,
        batch=16,
        learning_rate=5e-4,
        discriminator_learning_rate=1e-3,
        beta1=0.0,
        beta2=0.99,
        decay=0.99,
        decay_every_images=8000,
        ema_half_life_images=2000,
    ),
    augment=True,
    preview_every_images=20_000,
    history_every_images=2000,
)

PRESETS = {one.preset: one for one in (_PAPER, _AUTHORS, _MODERN, _DEMO)}
"""``paper`` follows the paper, ``authors`` the code of the method's authors where that differs from it: both repaint
the mask alone. ``modern`` uses later findings about GANs, ``demo`` is small and needs no weights; both repaint
the grown hole."""
