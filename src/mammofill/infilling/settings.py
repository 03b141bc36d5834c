"""Settings of the infiller and its training. The defaults are the paper's; `PRESETS` holds them and others by name.

Where the paper is silent, the choice is named in the field's text. Sizes in pixels are those of the patch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mammofill.ground.artifact import execution
from mammofill.ground.errors import SettingsError, check_setting

CLASSES = ("benign", "malignant")
"""The classes that a lesion can be asked for, in the order of the class planes: [1, 0] benign, [0, 1] malignant."""

COARSEST_PX = 4
"""Side of the coarsest scale of the generator. Source: the paper, section 3.3."""


def _all_positive(numbers: tuple[int, ...]) -> bool:
    return len(numbers) > 0 and all(number >= 1 for number in numbers)


@dataclass(frozen=True)
class GeneratorSettings:
    """The cascaded refinement network that paints. Source: the paper, section 3.3; Chen and Koltun, ICCV 2017.

    Attributes:
        widths: channels at each scale from the coarsest (4x4) to the finest; the default reaches 256x256. For smaller
            patches the finest scales are left off: 64x64 patches use the first five widths.
        convolutions: 3x3 convolutions at each scale.
        activation: what follows each convolution: leaky_relu (slope 0.2, as Chen and Koltun) or relu.
        head: what bounds the picture after the last 1x1 convolution: sigmoid, relu, or linear for no bound (values
            outside [0, 1] are then cut off when the fill is laid over the patch).
    """

    widths: tuple[int, ...] = (128, 128, 64, 64, 32, 32, 32)
    convolutions: int = 2
    activation: Literal["leaky_relu", "relu"] = "leaky_relu"
    head: Literal["sigmoid", "relu", "linear"] = "sigmoid"

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        check_setting(self, "widths", _all_positive(self.widths), "one or more channel numbers, each at least 1")
        check_setting(self, "convolutions", self.convolutions >= 1, "at least 1")
        check_setting(self, "activation", self.activation in ("leaky_relu", "relu"), "leaky_relu or relu")
        check_setting(self, "head", self.head in ("sigmoid", "relu", "linear"), "sigmoid, relu or linear")

    def widths_for(self, size_px: int) -> tuple[int, ...]:
        """Return the widths of the scales that a patch of this size has: 4, 8, ... up to `size_px`.

        Raises:
            SettingsError: no scale has that size, or `widths` does not reach it.
        """
        doublings = math.log2(size_px / COARSEST_PX) if size_px >= COARSEST_PX else -1.0
        if doublings < 0 or not doublings.is_integer():
            raise SettingsError(
                f"The infiller doubles its picture from {COARSEST_PX} px up, so patches must be 16, 32, 64, 128, 256, "
                f"... px wide, but these are {size_px} px. Extract patches of another size_px."
            )
        needed = int(doublings) + 1
        if needed > len(self.widths):
            reach = COARSEST_PX * 2 ** (len(self.widths) - 1)
            longer = self.widths + self.widths[-1:] * (needed - len(self.widths))
            raise SettingsError(
                f"GeneratorSettings.widths has {len(self.widths)} scales, which reach {reach} px, but the patches are "
                f"{size_px} px. Give {needed} widths, for example {longer}."
            )
        return self.widths[:needed]


@dataclass(frozen=True)
class DiscriminatorSettings:
    """The network that judges fills. Source: the paper, section 3.3 ("similar, but inverse structure").

    Attributes:
        widths: channels of the first 3x3 convolution and of each following one, after which the picture is halved
            (the method's authors': 32, then 64 to 512).
        class_head: train a second head that tells benign from malignant, on a trunk that does not see the class; its
            verdict on fills also guides the generator.
        sees: what it is shown of a fill: raw, the generator's whole picture (the paper, figure 1), or composite, the
            fill laid over the patch with a soft edge, as it will be used.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    class_head: bool = True
    sees: Literal["raw", "composite"] = "raw"

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        check_setting(self, "widths", _all_positive(self.widths), "one or more channel numbers, each at least 1")
        check_setting(self, "sees", self.sees in ("raw", "composite"), "raw or composite")

    def check_size(self, size_px: int) -> None:
        """Refuse patches that cannot be halved so often.

        Raises:
            SettingsError: naming both numbers.
        """
        halvings = len(self.widths) - 1
        if size_px % 2**halvings:
            most = (size_px & -size_px).bit_length()
            raise SettingsError(
                f"DiscriminatorSettings.widths halves the patch {halvings} times, but {size_px} px cannot be halved so "
                f"often. Give at most {most} widths, for example {self.widths[:most]}."
            )


@dataclass(frozen=True)
class PerceptualSettings:
    """What the perceptual loss compares. Source: the paper, section 4.2; Johnson et al., ECCV 2016.

    Attributes:
        features: vgg19 (the paper) or squeezenet1_1, trained on ImageNet; laplacian, the levels of a Laplacian pyramid,
            which need no weights (Bojanowski et al., ICML 2018); none, the pixels alone.
        weights: local file (.pth or .safetensors, torchvision's names) with the network's weights; unset, torchvision
            downloads and checks them. Not for laplacian and none.
        layers: what is compared, of input, pool1, pool2, ... of the network (the method's authors': up to pool3).
        levels: number of levels of the Laplacian pyramid.
        normalise: bring pixels to the mean and spread of ImageNet before the network sees them.
        region: masked compares the lesion and its boundary each by itself, with everything else black, and the context
            by its pixels; whole compares the whole picture at once.
    """

    features: Literal["vgg19", "squeezenet1_1", "laplacian", "none"] = "vgg19"
    weights: str | None = None
    layers: tuple[str, ...] = ("input", "pool1", "pool2", "pool3")
    levels: int = 4
    normalise: bool = False
    region: Literal["masked", "whole"] = "masked"

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        known = ("vgg19", "squeezenet1_1", "laplacian", "none")
        check_setting(self, "features", self.features in known, "one of " + ", ".join(known))
        pools = {"vgg19": 5, "squeezenet1_1": 3}.get(self.features)
        if pools is None:
            check_setting(self, "weights", self.weights is None, f"unset, as {self.features} features have no weights")
        else:
            layers = ("input", *(f"pool{number}" for number in range(1, pools + 1)))
            known_layers = bool(self.layers) and set(self.layers) <= set(layers)
            check_setting(self, "layers", known_layers, f"some of {', '.join(layers)} for {self.features}")
        check_setting(self, "levels", self.levels >= 1, "at least 1")
        check_setting(self, "region", self.region in ("masked", "whole"), "masked or whole")


@dataclass(frozen=True)
class LossSettings:
    """The losses and how they are put together. Source: the paper, section 4.2; the method's authors for the weights.

    Attributes:
        combine: stepped takes a step for each loss in turn, with an Adam of its own (the method's authors); summed adds
            them up, with one Adam.
        perceptual_weight: weight of the perceptual loss.
        context_weight: inside the perceptual loss, weight of the pixels outside the mask.
        boundary_weight: weight of the boundary loss (the method's authors: 1000). With stepped losses Adam undoes
            most of what a weight does.
        boundary: where the boundary loss looks: contour, the mask's inner contour, blurred and scaled to peak 1 (the
            method's authors' code), or blurred-mask, the whole mask blurred (the paper's sentence).
        boundary_sigma_px: standard deviation of that blur, in pixels (paper: 10).
        adversarial_weight: weight of all that the discriminator says of a fill, against the generator's other losses.
        class_weight: weight of the class head's loss against the adversarial loss, for both networks.
    """

    combine: Literal["stepped", "summed"] = "stepped"
    perceptual_weight: float = 1.0
    context_weight: float = 1.0
    boundary_weight: float = 1000.0
    boundary: Literal["contour", "blurred-mask"] = "contour"
    boundary_sigma_px: float = 10.0
    adversarial_weight: float = 1.0
    class_weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        check_setting(self, "combine", self.combine in ("stepped", "summed"), "stepped or summed")
        check_setting(self, "boundary", self.boundary in ("contour", "blurred-mask"), "contour or blurred-mask")
        check_setting(self, "boundary_sigma_px", self.boundary_sigma_px > 0, "above 0")
        for name in ("perceptual", "context", "boundary", "adversarial", "class"):
            weight = getattr(self, f"{name}_weight")
            check_setting(self, f"{name}_weight", math.isfinite(weight) and weight >= 0, "a number, at least 0")


@dataclass(frozen=True)
class ScheduleSettings:
    """How long and how fast. An epoch is one pass over the lesion patches; every step counts the images of its batch.

    Attributes:
        pretrain_epochs: epochs on the perceptual loss alone (with summed losses: and the boundary loss) (paper: 300).
        adversarial_epochs: epochs of alternation between discriminator and generator after that (paper: 2000).
        threshold: a turn of the discriminator or the generator ends when its adversarial loss is below (paper: 0.3).
        most_steps_per_turn: a turn ends after so many steps in any case, so that none lasts for ever (ours). With 1
            the two simply alternate.
        reconstruction_steps: with stepped losses, steps on the perceptual loss and as many on the boundary loss after
            each turn of the generator (the method's authors: 10).
        batch: images in a step (the method's authors: 8).
        learning_rate: Adam's learning rate at the start (the method's authors: 1e-4).
        discriminator_learning_rate: the same for the discriminator; unset, the generator's.
        beta1: Adam's first decay rate.
        beta2: Adam's second decay rate.
        decay: the learning rates are multiplied by this ... (the method's authors: 0.99)
        decay_every_images: ... every so many images, smoothly (the method's authors: 500 steps of 8).
    """

    pretrain_epochs: float = 300
    adversarial_epochs: float = 2000
    threshold: float = 0.3
    most_steps_per_turn: int = 25
    reconstruction_steps: int = 10
    batch: int = 8
    learning_rate: float = 1e-4
    discriminator_learning_rate: float | None = None
    beta1: float = 0.9
    beta2: float = 0.999
    decay: float = 0.99
    decay_every_images: int = 4000

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        check_setting(self, "pretrain_epochs", self.pretrain_epochs >= 0, "at least 0")
        check_setting(self, "adversarial_epochs", self.adversarial_epochs >= 0, "at least 0")
        some = self.pretrain_epochs + self.adversarial_epochs > 0
        check_setting(self, "pretrain_epochs", some, "above 0 when adversarial_epochs is 0")
        check_setting(self, "threshold", self.threshold > 0, "above 0")
        check_setting(self, "most_steps_per_turn", self.most_steps_per_turn >= 1, "at least 1")
        check_setting(self, "reconstruction_steps", self.reconstruction_steps >= 0, "at least 0")
        check_setting(self, "batch", self.batch >= 1, "at least 1")
        check_setting(self, "learning_rate", 0 < self.learning_rate < 1, "between 0 and 1")
        rate = self.discriminator_learning_rate
        check_setting(self, "discriminator_learning_rate", rate is None or 0 < rate < 1, "between 0 and 1, or unset")
        check_setting(self, "beta1", 0 <= self.beta1 < 1, "in [0, 1)")
        check_setting(self, "beta2", 0 <= self.beta2 < 1, "in [0, 1)")
        check_setting(self, "decay", 0 < self.decay <= 1, "in (0, 1]")
        check_setting(self, "decay_every_images", self.decay_every_images >= 1, "at least 1")

    def rate_at(self, images_seen: int) -> float:
        """Return the share of the starting learning rates that holds after so many images."""
        return float(self.decay ** (images_seen / self.decay_every_images))


@dataclass(frozen=True)
class TrainInfillerSettings:
    """How the infiller is built and trained. The defaults are the preset `paper`.

    Attributes:
        preset: name of the preset that these settings came from; recorded only.
        generator: the network that paints.
        discriminator: the network that judges.
        perceptual: what the perceptual loss compares.
        losses: the losses and how they are put together.
        schedule: how long and how fast.
        feather_px: a fill fades out over so many pixels outside its mask; farther away the patch stays as it was, bit
            for bit.
        augment: turn and mirror training patches at random (the eight ways a square can lie). The paper does not.
        allow_one_class: train although the lesions are all benign or all malignant. Such an infiller paints one class.
        previews: rows in each preview picture: one half lesion patches with their own mask, one half pairs.
        preview_every_images: a preview is painted each time so many images were seen.
        history_every_images: a row of mean losses is kept each time so many images were seen.
        checkpoint_every_images: a stopped training goes on from the last multiple of this. Does not change the result.
    """

    preset: str = "paper"
    generator: GeneratorSettings = GeneratorSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    perceptual: PerceptualSettings = PerceptualSettings()
    losses: LossSettings = LossSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    feather_px: int = 4
    augment: bool = False
    allow_one_class: bool = False
    previews: int = 6
    preview_every_images: int = 100_000
    history_every_images: int = 4000
    checkpoint_every_images: int = execution(8000)

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        check_setting(self, "feather_px", self.feather_px >= 0, "at least 0")
        check_setting(self, "previews", self.previews >= 0, "at least 0")
        for name in ("preview_every_images", "history_every_images", "checkpoint_every_images"):
            check_setting(self, name, getattr(self, name) >= 1, "at least 1")


_PAPER = TrainInfillerSettings()

_DEMO = TrainInfillerSettings(
    preset="demo",
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

PRESETS: dict[str, TrainInfillerSettings] = {"paper": _PAPER, "demo": _DEMO}
"""Settings by name. ``paper`` follows the paper. ``demo`` is small and needs no weights: on some 160 lesion patches of
64 px it trains in about a minute on two CPU cores, on more in proportion (lower its epochs then)."""


def preset(name: str) -> TrainInfillerSettings:
    """Return the settings of a preset.

    Raises:
        SettingsError: there is no preset of that name.
    """
    if name not in PRESETS:
        raise SettingsError(f"There is no infiller preset {name!r}. Use one of: {', '.join(PRESETS)}.")
    return PRESETS[name]
