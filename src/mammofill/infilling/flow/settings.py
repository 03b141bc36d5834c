"""Settings of the flow: its network, what it learns, its schedule, and how it paints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mammofill.ground.errors import SettingsError, check_choice, check_setting
from mammofill.infilling.settings import TrainedInfillerSettings
from mammofill.pairing.hole import GROWN, HoleSettings

SHAPES = ("untold", "ellipse", "outline")
"""What the network may be given of the lesion's shape: nothing, the ellipse of its mask, or the mask itself."""


@dataclass(frozen=True)
class VelocityNetworkSettings:
    """The U-Net that predicts velocities. Source: Ho et al., NeurIPS 2020, appendix B.

    Attributes:
        widths: channels at each scale, from full resolution down; each scale has half the side of the one before. The
            first has few channels and sees every pixel: it generates grain and the seam.
        blocks: residual blocks at each scale, on the way down and on the way up.
        full_size_norm: apply group norm at full resolution, too. It costs as much as everything else there, and removes
            levels that are known.
        attention_px: scales of at most this side use self-attention.
        heads: number of attention heads.
        embedding: width of the embedding through which each block receives the time, the class and the kind of shape.
    """

    widths: tuple[int, ...] = (16, 48, 64, 96)
    blocks: tuple[int, ...] = (1, 2, 2, 3)
    full_size_norm: bool = False
    attention_px: int = 8
    heads: int = 4
    embedding: int = 192

    def __post_init__(self) -> None:
        """Raise SettingsError unless widths, blocks and heads fit together and numbers are at least 1."""
        eights = len(self.widths) >= 2 and all(width >= 8 and width % 8 == 0 for width in self.widths)
        check_setting(self, "widths", eights, "two or more channel numbers, each a multiple of 8")
        each = len(self.blocks) == len(self.widths) and min(self.blocks) >= 1
        check_setting(
            self, "blocks", each, f"as many numbers as there are widths ({len(self.widths)}), each at least 1"
        )
        for field in ("attention_px", "heads", "embedding"):
            check_setting(self, field, getattr(self, field) >= 1, "at least 1")
        check_setting(
            self, "heads", self.widths[-1] % self.heads == 0, f"a divisor of the last width {self.widths[-1]}"
        )

    def check_size(self, size_px: int) -> None:
        """Refuse patches that cannot be halved so often.

        Raises:
            SettingsError: naming both numbers.
        """
        halvings = len(self.widths) - 1
        if size_px % 2**halvings:
            raise SettingsError(
                f"VelocityNetworkSettings.widths halves the patch {halvings} times, but {size_px} px cannot be halved "
                f"so often. Give at most {(size_px & -size_px).bit_length()} widths."
            )


@dataclass(frozen=True)
class TargetSettings:
    """What is learned: the patch minus a smooth base, inside the hole.

    Attributes:
        base_sigma_px: the base is a membrane between the hole's surroundings, first blurred with this standard
            deviation to remove grain; 0 does not blur. The network must restore what the base loses beside the border,
            and a judge finds the seam: AUC 0.92 with 1.5 px, 0.81 with 0.5, and 0.74 with 0 and `rim_weight` 3, on
            practice mammograms; then 0.65 after 83,000 images, and 0.58 after 50,000 more with `rim_weight` 5.
        scale: what is learned is divided by this, so that its spread is about that of the noise (ours: lesions and
            tissue differ from the base by a tenth of the full range).
        split_px: standard deviation of the Gaussian that splits residuals into a coarse and a fine part. If both were
            normal, with the spreads below, their velocity would be known in closed form; the network learns the
            remainder.
        coarse_spread: spread of the coarse part, relative to white noise: at the hole's border, and its growth per
            pixel inwards. Near the border the surroundings fix the picture.
        most_coarse_spread: limit of that growth (both measured on practice mammograms: 1.1 at 1 px, 2.9 at 5, 8.5 at
            15).
        fine_spread: spread of the fine part, mainly grain.
        lesion_weight: weight of the loss near the lesion (within 0.3 of its equivalent radius and 1 px), against 1
            elsewhere in the hole.
        rim_weight: weight added within 3 px of the hole's border, where a judge looks for the seam.
        hole_shares: in training each hole is grown by one of these shares of the lesion's radius, so that its size does
            not reveal the lesion's; painting uses `hole`.
        shape_shares: shares of the training images in which the network is given nothing of the shape, the ellipse, or
            the outline. The outline alone reveals the class, so the network must often do without it.
        class_hidden_share: share of the training images whose class and other conditions are hidden, for
            classifier-free guidance (Ho and Salimans, 2022).
    """

    base_sigma_px: float = 0.0
    scale: float = 0.1
    split_px: float = 1.5
    coarse_spread: tuple[float, float] = (0.6, 0.45)
    most_coarse_spread: float = 10.0
    fine_spread: float = 0.19
    lesion_weight: float = 3.0
    rim_weight: float = 5.0
    hole_shares: tuple[float, ...] = (0.3, 0.45, 0.6, 0.8)
    shape_shares: tuple[float, float, float] = (0.15, 0.6, 0.25)
    class_hidden_share: float = 0.1

    def __post_init__(self) -> None:
        """Raise SettingsError unless scales, weights and shares are in range."""
        check_setting(self, "base_sigma_px", self.base_sigma_px >= 0, "at least 0")
        for field in ("scale", "split_px", "most_coarse_spread", "fine_spread", "lesion_weight"):
            value = getattr(self, field)
            check_setting(self, field, math.isfinite(value) and value > 0, "a number above 0")
        starts = self.coarse_spread[0] > 0 and self.coarse_spread[1] >= 0
        check_setting(self, "coarse_spread", starts, "two numbers, the first above 0, the second at least 0")
        rim = math.isfinite(self.rim_weight) and self.rim_weight >= 0
        check_setting(self, "rim_weight", rim, "a number, at least 0")
        grown = len(self.hole_shares) > 0 and all(share >= 0 for share in self.hole_shares)
        check_setting(self, "hole_shares", grown, "one or more shares, each at least 0")
        shares = len(self.shape_shares) == len(SHAPES) and min(self.shape_shares) >= 0
        whole = shares and math.isclose(sum(self.shape_shares), 1)
        check_setting(self, "shape_shares", whole, "three shares (untold, ellipse, outline) that add up to 1")
        check_setting(self, "class_hidden_share", 0 <= self.class_hidden_share < 1, "in [0, 1)")


@dataclass(frozen=True)
class FlowScheduleSettings:
    """Training schedule.

    Attributes:
        images: windows seen in all. On practice mammograms of 64 px, 7,000 teach brightness only, 45,000 the class,
            83,000 jagged outlines; 50,000 more make these clearer and the seam fainter. With 0 and another flow to
            start from, its weights stay as they are: to paint with other `sampling`.
        batch: windows per step.
        learning_rate: Adam's learning rate after the warm-up; falls to 0 along a half cosine.
        warmup_images: images over which the learning rate rises from 0.
        beta1: Adam's first decay rate.
        beta2: Adam's second decay rate.
        clip_gradient: gradients are clipped to this norm.
        ema_half_life_images: the network that is kept is an EMA: a step's weight halves after this many images, or a
            twentieth of those seen so far if that is less.
        log_odds_mean: mean log-odds of the training times, which are logit-normal (Esser et al., ICML 2024, section
            3.1).
        log_odds_spread: standard deviation of these log-odds.
        uniform_times: share of the training images whose time is drawn uniformly instead.
    """

    images: int = 130_000
    batch: int = 8
    learning_rate: float = 1e-3
    warmup_images: int = 800
    beta1: float = 0.9
    beta2: float = 0.99
    clip_gradient: float = 1.0
    ema_half_life_images: int = 4000
    log_odds_mean: float = 0.7
    log_odds_spread: float = 1.8
    uniform_times: float = 0.05

    def __post_init__(self) -> None:
        """Raise SettingsError unless numbers are in range."""
        check_setting(self, "images", self.images >= 0, "at least 0")
        for field in ("batch", "warmup_images", "ema_half_life_images"):
            check_setting(self, field, getattr(self, field) >= 1, "at least 1")
        check_setting(self, "learning_rate", 0 < self.learning_rate < 1, "between 0 and 1")
        for field in ("beta1", "beta2"):
            check_setting(self, field, 0 <= getattr(self, field) < 1, "in [0, 1)")
        check_setting(self, "clip_gradient", self.clip_gradient > 0, "above 0")
        check_setting(self, "log_odds_spread", self.log_odds_spread > 0, "above 0")
        check_setting(self, "uniform_times", 0 <= self.uniform_times <= 1, "in [0, 1]")

    def rate_at(self, images_seen: int) -> float:
        """Return the learning rate of the step that begins after this many images."""
        rising = min(1.0, (images_seen + self.batch) / self.warmup_images)
        return (
            self.learning_rate * rising * (0.5 + 0.5 * math.cos(math.pi * min(1.0, images_seen / max(self.images, 1))))
        )


@dataclass(frozen=True)
class FlowValidationSettings:
    """How the flow is validated during training: by its loss on the validation split, at fixed times and noise.

    Attributes:
        every_images: training images between two measurements; without validation patients there are none.
        windows: lesion windows measured, at most.
        keep: the network that is kept: last, or best by that loss.
        patience: stop after this many measurements in a row without improvement; unset never stops early.
    """

    every_images: int = 8000
    windows: int = 96
    keep: Literal["last", "best"] = "last"
    patience: int | None = None

    @property
    def chooses(self) -> bool:
        """Whether validation patients choose the weights, or when to stop."""
        return self.keep == "best" or self.patience is not None

    def __post_init__(self) -> None:
        """Raise SettingsError unless the choice is known and numbers are at least 1."""
        check_choice(self, "keep", "last", "best")
        check_setting(self, "every_images", self.every_images >= 1, "at least 1")
        check_setting(self, "windows", self.windows >= 1, "at least 1")
        check_setting(self, "patience", self.patience is None or self.patience >= 1, "at least 1, or unset")


@dataclass(frozen=True)
class SamplingSettings:
    """How a fill is painted: from noise to a picture along the flow.

    Attributes:
        solver: multistep (DPM-Solver++; Lu et al., 2022), one network evaluation per step, or heun, two.
        steps: steps from noise to picture; fewer if a fill begins later, since the steps keep their length.
        begin_time: time, in (0, 1], from which a fill is painted: 1 is pure noise. Below 1 a fill begins with a mixture
            of noise and what is in the hole, as in training, so that a part of the patch's own lesion is kept: all of
            its coarse structure at 0.3, about half of it at 0.5 (SDEdit; Meng et al., ICLR 2022, section 3). Such an
            infiller paints only over a lesion that lends its own outline.
        first_log_odds: log-odds of the time of the first step after pure noise.
        last_log_odds: log-odds of the time before the last step. Between the two, log-odds are evenly spaced: coarse
            structure is decided early and grain late, and each gets its steps; with only one step for coarse structure,
            the spread of fills is a third of the real one.
        guidance: how much the effect of the requested class is amplified: 1 not at all (Ho and Salimans, 2022).
        guidance_times: guidance applies between these times only (Kynkaanniemi et al., NeurIPS 2024).
        coarse_guidance: share kept of the guidance's coarse part, mainly brightness, so that shape is exaggerated and
            level is not.
        coarse_sigma_px: standard deviation of the blur that defines the coarse part.
        parallel_guidance: share kept of the guidance's component parallel to the picture, which only makes the whole
            picture stronger (Sadat et al., "Eliminating oversaturation and artifacts of high guidance scales", ICLR
            2025, section 4): without it energy and contrast reveal the class less.
        shape: what the network is given of the lesion's shape; with the ellipse, the outline, which reveals the class,
            depends on the requested class.
    """

    solver: Literal["multistep", "heun"] = "multistep"
    steps: int = 13
    begin_time: float = 1.0
    first_log_odds: float = 4.0
    last_log_odds: float = -3.5
    guidance: float = 2.0
    guidance_times: tuple[float, float] = (0.0, 1.0)
    coarse_guidance: float = 0.0
    coarse_sigma_px: float = 4.0
    parallel_guidance: float = 0.0
    shape: Literal["untold", "ellipse", "outline"] = "ellipse"

    def __post_init__(self) -> None:
        """Raise SettingsError unless choices are known and steps, times and guidance are in range."""
        check_choice(self, "solver", "multistep", "heun")
        check_setting(self, "steps", self.steps >= 3, "at least 3")
        check_setting(self, "begin_time", 0 < self.begin_time <= 1, "in (0, 1]")
        falls = math.isfinite(self.first_log_odds) and self.first_log_odds > self.last_log_odds > -math.inf
        check_setting(self, "first_log_odds", falls, "above last_log_odds")
        check_setting(self, "guidance", math.isfinite(self.guidance) and self.guidance >= 0, "a number, at least 0")
        low, high = self.guidance_times
        check_setting(self, "guidance_times", 0 <= low <= high <= 1, "two times, 0 <= least <= most <= 1")
        check_setting(self, "coarse_guidance", 0 <= self.coarse_guidance <= 1, "in [0, 1]")
        check_setting(self, "coarse_sigma_px", self.coarse_sigma_px > 0, "above 0")
        check_setting(self, "parallel_guidance", 0 <= self.parallel_guidance <= 1, "in [0, 1]")
        check_choice(self, "shape", *SHAPES)


@dataclass(frozen=True)
class FlowSettings(TrainedInfillerSettings):
    """How a flow is built and trained, and how it paints. Source: Liu et al., "Flow straight and fast", ICLR 2023.

    Attributes:
        network: the network that predicts velocities.
        target: what is learned.
        schedule: training schedule.
        validation: how it is validated during training.
        sampling: how a fill is painted.
    """

    preset: str = "flow"
    method: Literal["flow"] = "flow"
    hole: HoleSettings = GROWN
    feather_px: int = 0
    augment: bool = True
    network: VelocityNetworkSettings = VelocityNetworkSettings()
    target: TargetSettings = TargetSettings()
    schedule: FlowScheduleSettings = FlowScheduleSettings()
    validation: FlowValidationSettings = FlowValidationSettings()
    sampling: SamplingSettings = SamplingSettings()

    @property
    def begin_time(self) -> float:
        """Of `sampling`."""
        return self.sampling.begin_time

    def check_size(self, size_px: int) -> None:
        """Refuse patches that the network cannot halve so often."""
        self.network.check_size(size_px)

    def __post_init__(self) -> None:
        """Raise SettingsError unless the method is flow and processes share a batch evenly; see also the base class."""
        super().__post_init__()
        check_choice(self, "method", "flow")
        batch, processes = self.schedule.batch, self.engine.processes
        check_setting(self, "engine", batch % processes == 0, f"of processes that share a batch of {batch} evenly")
