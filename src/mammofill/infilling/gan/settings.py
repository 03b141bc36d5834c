"""Settings of the GAN: its networks, losses and schedule. The defaults are the paper's.

Where the paper is silent, the field's text names the choice. Sizes in pixels are those of the patch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from mammofill.ground.artifact import execution
from mammofill.ground.errors import SettingsError, check_choice, check_setting
from mammofill.ground.training.settings import ValidationSettings
from mammofill.infilling.settings import TrainedInfillerSettings

AUGMENTATIONS = ("turn", "translation", "brightness", "contrast")
"""What can be done to the discriminator's pictures."""

COARSEST_PX = 4
"""Side of the coarsest scale of the generator. Source: the paper, section 3.3."""


def _all_positive(numbers: tuple[int, ...]) -> bool:
    return len(numbers) > 0 and all(number >= 1 for number in numbers)


@dataclass(frozen=True)
class GeneratorSettings:
    """The cascaded refinement network that paints. Source: the paper, section 3.3; Chen and Koltun, ICCV 2017.

    Attributes:
        widths: channels at each scale from the coarsest (4x4) to the finest; the default reaches 256x256. Smaller
            patches leave out the finest scales: 64x64 patches use the first five widths.
        convolutions: 3x3 convolutions at each scale.
        stack: what each scale sees besides the coarser one's features. clean: context and mask, averaged over areas,
            and the condition planes. accumulating: as in the method's authors' code, each halving (nearest neighbour)
            appends the planes again, so that at 256 px 4x4 has them six times and the finest scale not at all. filled:
            the hole filled smoothly from its surroundings at every scale, mask, noise of the same strength at every
            scale, planes.
        norm: what follows each convolution: none (the paper); pixel (each pixel's channels scaled to a root mean
            square of 1; Karras et al., ICLR 2018, section 4.2), which keeps brightness; or instance, which does not.
        latent: random numbers drawn for each fill; with the conditions they scale and shift every channel after its
            norm (Perez et al., "FiLM", AAAI 2018); 0 for none.
        upsampling: how a coarser scale is doubled: nearest (the paper) or bilinear.
        activation: what follows each convolution: leaky_relu (slope 0.2, as Chen and Koltun) or relu.
        head: what bounds the picture after the last 1x1 convolution: sigmoid; relu; linear for no bound (values outside
            [0, 1] are then clipped when the fill is laid over the patch); or residual, which adds it to the smoothly
            filled context (only with stack filled).
    """

    widths: tuple[int, ...] = (128, 128, 64, 64, 32, 32, 32)
    convolutions: int = 2
    stack: Literal["clean", "accumulating", "filled"] = "clean"
    norm: Literal["none", "pixel", "instance"] = "none"
    latent: int = 0
    upsampling: Literal["nearest", "bilinear"] = "nearest"
    activation: Literal["leaky_relu", "relu"] = "leaky_relu"
    head: Literal["sigmoid", "relu", "linear", "residual"] = "sigmoid"

    def __post_init__(self) -> None:
        """Raise SettingsError unless choices are known, numbers are in range, and head and stack fit together."""
        check_setting(self, "widths", _all_positive(self.widths), "one or more channel numbers, each at least 1")
        check_setting(self, "convolutions", self.convolutions >= 1, "at least 1")
        check_choice(self, "stack", "clean", "accumulating", "filled")
        check_choice(self, "norm", "none", "pixel", "instance")
        check_setting(self, "latent", self.latent >= 0, "at least 0")
        check_choice(self, "upsampling", "nearest", "bilinear")
        check_choice(self, "activation", "leaky_relu", "relu")
        check_choice(self, "head", "sigmoid", "relu", "linear", "residual")
        knows_surroundings = self.head != "residual" or self.stack == "filled"
        check_setting(self, "head", knows_surroundings, "residual only with stack filled")

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
        widths: channels of the first 3x3 convolution, and of each further one, which is followed by halving (the
            method's authors': 32, then 64 to 512).
        class_head: train a second head that separates benign from malignant, on a backbone that does not see the class;
            its verdict on fills also guides the generator.
        conditioning: how the verdict depends on the conditions: projection (Miyato and Koyama, ICLR 2018), on a
            backbone that sees only the picture; or planes joined to every layer's input (the method's authors), which
            leaves no backbone for a class head.
        sees: what it sees of a fill: raw, the generator's whole picture (the paper, figure 1), or composite, the fill
            laid over the patch with a soft edge, as it will be used.
        sees_mask: show it the lesion's mask, too.
        judge: flat weighs all pixels of the last layer (the paper); patches gives a verdict at each of them and
            averages those near the mask (Isola et al., CVPR 2017, section 3.2.2).
        spectral_norm: limit each layer's amplification to 1 (Miyato et al., ICLR 2018).
        augment: augmentation of all pictures that it sees, real and painted, so that it cannot memorise patches: some
            of turn, translation, brightness, contrast (Zhao et al., "Differentiable augmentation", NeurIPS 2020).
    """

    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    class_head: bool = True
    conditioning: Literal["projection", "planes"] = "projection"
    sees: Literal["raw", "composite"] = "raw"
    sees_mask: bool = False
    judge: Literal["flat", "patches"] = "flat"
    spectral_norm: bool = False
    augment: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise SettingsError unless choices are known, widths positive, and class head and conditioning compatible."""
        check_setting(self, "widths", _all_positive(self.widths), "one or more channel numbers, each at least 1")
        check_choice(self, "conditioning", "projection", "planes")
        sees_class = self.class_head and self.conditioning == "planes"
        check_setting(
            self, "class_head", not sees_class, "false with conditioning by planes: its backbone sees the class"
        )
        check_choice(self, "sees", "raw", "composite")
        check_choice(self, "judge", "flat", "patches")
        known = set(self.augment) <= set(AUGMENTATIONS)
        check_setting(self, "augment", known, f"some of {', '.join(AUGMENTATIONS)}")

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


_LAYERS = {
    "vgg19": ("input", "pool1", "pool2", "pool3", "pool4", "pool5"),
    "squeezenet1_1": ("input", "pool1", "pool2", "pool3"),
    "resnet50": ("input", "stem", "layer1", "layer2", "layer3", "layer4"),
}
"""Feature maps that each network can give."""


@dataclass(frozen=True)
class PerceptualSettings:
    """What the perceptual loss compares. Source: the paper, section 4.2; Johnson et al., ECCV 2016.

    Attributes:
        features: vgg19 (the paper), squeezenet1_1 or resnet50, trained on ImageNet; laplacian, the levels of a
            Laplacian pyramid, without weights (Bojanowski et al., ICML 2018); or none, the pixels alone.
        weights: local file (.pth or .safetensors, torchvision's names) with the network's weights; unset, torchvision
            downloads and checks them. For resnet50 it may be the weights.safetensors of a classifier that mammofill
            trained. Not for laplacian and none.
        layers: what is compared: input; of vgg19 and squeezenet1_1 pool1, pool2, ... (the method's authors': up to
            pool3); of resnet50 stem (its first convolution), layer1, ... layer4.
        pooling: of vgg19 and squeezenet1_1: max, as they were trained, or average (the method's authors).
        levels: number of levels of the Laplacian pyramid.
        levels_left_out: number of its finest levels that are not compared. Grain cannot be predicted, so the loss is
            lowest without grain; if these levels are left out, only the discriminator asks for grain.
        pixels: range of pixels, from black to white, that a network sees: unit, 0 to 1; or centred255, -127.5 to 127.5
            (the method's authors), for weights trained on such pixels, unlike torchvision's.
        normalise: bring pixels to ImageNet's mean and spread before the network sees them, as torchvision's weights
            expect.
        region: masked compares the lesion and its boundary separately, each with everything else black, and the context
            by its pixels; whole compares the whole picture at once.
    """

    features: Literal["vgg19", "squeezenet1_1", "resnet50", "laplacian", "none"] = "vgg19"
    weights: str | None = execution(None)  # the plan holds the file's SHA-256 among the inputs
    layers: tuple[str, ...] = ("input", "pool1", "pool2", "pool3")
    pooling: Literal["max", "average"] = "max"
    levels: int = 4
    levels_left_out: int = 0
    pixels: Literal["unit", "centred255"] = "unit"
    normalise: bool = False
    region: Literal["masked", "whole"] = "masked"

    def __post_init__(self) -> None:
        """Raise SettingsError unless choices are known, levels are in range, and all settings fit the features."""
        check_choice(self, "features", *_LAYERS, "laplacian", "none")
        layers = _LAYERS.get(self.features)
        if layers is None:
            check_setting(self, "weights", self.weights is None, f"unset, as {self.features} features have no weights")
        else:
            known_layers = bool(self.layers) and set(self.layers) <= set(layers)
            check_setting(self, "layers", known_layers, f"some of {', '.join(layers)} for {self.features}")
        check_choice(self, "pooling", "max", "average")
        pools = self.pooling == "max" or self.features in ("vgg19", "squeezenet1_1")
        check_setting(self, "pooling", pools, f"max for {self.features}")
        check_setting(self, "levels", self.levels >= 1, "at least 1")
        check_setting(self, "levels_left_out", 0 <= self.levels_left_out < self.levels, "at least 0, below levels")
        check_choice(self, "pixels", "unit", "centred255")
        once = self.pixels == "unit" or not self.normalise
        check_setting(self, "pixels", once, "unit where pixels are brought to ImageNet's mean and spread (normalise)")
        check_choice(self, "region", "masked", "whole")


@dataclass(frozen=True)
class LossSettings:
    """The losses and how they are combined. Source: the paper, section 4.2; the method's authors for the weights.

    Attributes:
        combine: stepped takes a step for each loss in turn, each with its own Adam (the method's authors); summed adds
            the losses up, with one Adam.
        perceptual_weight: weight of the perceptual loss.
        context_weight: weight of the pixels outside the mask within the perceptual loss.
        boundary_weight: weight of the boundary loss (the method's authors: 1000). With stepped losses Adam cancels most
            of a weight's effect.
        boundary: where the boundary loss applies: contour, the mask's inner contour, blurred and scaled to peak 1 (the
            method's authors' code), or blurred-mask, the whole mask blurred (the paper's sentence).
        boundary_sigma_px: standard deviation of that blur, in pixels (paper: 10).
        adversarial: non-saturating (cross-entropies; the paper) or hinge (Lim and Ye, 2017).
        adversarial_weight: weight of the discriminator's whole verdict on a fill, against the generator's other losses.
        class_weight: weight of the class head's loss against the adversarial loss, for both networks.
        feature_matching_weight: weight of the difference between the discriminator's features of a fill and of the real
            patch, near the mask (Salimans et al., NIPS 2016, section 3.1); 0 for none.
        variety_weight: weight of a penalty if two fills of one context differ, inside the mask, by less than
            `variety_target`; 0 for none. After Mao et al., "Mode seeking GANs", CVPR 2019, but bounded.
        variety_target: desired root mean square difference between them, as a share of the real pixels' spread there.
        gradient_penalty_weight: weight of R1, half the squared gradient of the verdict at real pictures (Mescheder et
            al., ICML 2018, equation 9); 0 for none.
        gradient_penalty_every: R1 is computed every this many steps of the discriminator, its weight multiplied by as
            many.
    """

    combine: Literal["stepped", "summed"] = "stepped"
    perceptual_weight: float = 1.0
    context_weight: float = 1.0
    boundary_weight: float = 1000.0
    boundary: Literal["contour", "blurred-mask"] = "contour"
    boundary_sigma_px: float = 10.0
    adversarial: Literal["non-saturating", "hinge"] = "non-saturating"
    adversarial_weight: float = 1.0
    class_weight: float = 1.0
    feature_matching_weight: float = 0.0
    variety_weight: float = 0.0
    variety_target: float = 0.5
    gradient_penalty_weight: float = 0.0
    gradient_penalty_every: int = 8

    def __post_init__(self) -> None:
        """Raise SettingsError unless choices are known, weights are in range, and losses fit how they are combined."""
        check_choice(self, "combine", "stepped", "summed")
        check_choice(self, "boundary", "contour", "blurred-mask")
        check_choice(self, "adversarial", "non-saturating", "hinge")
        check_setting(self, "boundary_sigma_px", self.boundary_sigma_px > 0, "above 0")
        names = ("perceptual", "context", "boundary", "adversarial", "class", "feature_matching", "variety")
        for name in (*names, "gradient_penalty"):
            weight = getattr(self, f"{name}_weight")
            check_setting(self, f"{name}_weight", math.isfinite(weight) and weight >= 0, "a number, at least 0")
        check_setting(self, "variety_target", self.variety_target > 0, "above 0")
        check_setting(self, "gradient_penalty_every", self.gradient_penalty_every >= 1, "at least 1")
        for name in ("feature_matching", "variety"):
            fits = self.combine == "summed" or getattr(self, f"{name}_weight") == 0
            check_setting(self, f"{name}_weight", fits, "0 unless losses are summed (combine)")


@dataclass(frozen=True)
class ScheduleSettings:
    """Training schedule. An epoch is one pass over the lesion patches; every step counts the images of its batch.

    Attributes:
        pretrain_epochs: epochs on the perceptual loss alone, with summed losses also on the boundary loss (paper: 300).
            Unset if pretrain_images gives the length.
        adversarial_epochs: epochs of alternation between discriminator and generator after that (paper: 2000). Unset if
            adversarial_images gives the length.
        pretrain_images: images of pre-training, for any number of patches, instead of pretrain_epochs (the method's
            authors: 1,000 steps of 8).
        adversarial_images: images of the alternation, instead of adversarial_epochs (the method's authors: 250,000
            steps of 8).
        threshold: a turn of the discriminator or the generator ends when its adversarial loss falls below this (paper:
            0.3).
        discriminator_burst: steps of the discriminator after which their mean loss is compared with the threshold (the
            method's authors: 5).
        most_steps_per_turn: a turn ends at the latest after this many steps (of the discriminator: bursts), so that
            none lasts for ever (ours; the method's authors: 5,000). With 1 the two simply alternate.
        reconstruction_steps: with stepped losses, steps on the perceptual loss, and as many on the boundary loss, after
            each turn of the generator (the method's authors: 10).
        batch: images per step (the method's authors: 8).
        learning_rate: Adam's learning rate at the start (the method's authors: 1e-4).
        discriminator_learning_rate: the same for the discriminator; unset takes the generator's.
        beta1: Adam's first decay rate.
        beta2: Adam's second decay rate.
        decay: factor by which the learning rates fall ... (the method's authors: 0.99)
        decay_every_images: ... over this many images, smoothly (the method's authors: 500 steps of 8).
        ema_half_life_images: the generator that is kept is an EMA over the steps: a step's weight halves after this
            many images (Karras et al., ICLR 2018, section A.1); 0 keeps the last one.
    """

    pretrain_epochs: float | None = 300
    adversarial_epochs: float | None = 2000
    pretrain_images: int | None = None
    adversarial_images: int | None = None
    threshold: float = 0.3
    discriminator_burst: int = 1
    most_steps_per_turn: int = 25
    reconstruction_steps: int = 10
    batch: int = 8
    learning_rate: float = 1e-4
    discriminator_learning_rate: float | None = None
    beta1: float = 0.9
    beta2: float = 0.999
    decay: float = 0.99
    decay_every_images: int = 4000
    ema_half_life_images: int = 0

    def __post_init__(self) -> None:
        """Raise SettingsError unless each phase has epochs or images, not both, and numbers are in range."""
        for name in ("pretrain", "adversarial"):
            epochs, images = getattr(self, f"{name}_epochs"), getattr(self, f"{name}_images")
            once = (epochs is None) != (images is None)
            check_setting(self, f"{name}_images", once, f"set where {name}_epochs is unset, and unset where it is set")
            check_setting(self, f"{name}_epochs", epochs is None or epochs >= 0, "at least 0")
            check_setting(self, f"{name}_images", images is None or images >= 0, "at least 0")
        some = sum(self.images_for(1)) > 0
        check_setting(self, "pretrain_epochs", some, "above 0 when adversarial_epochs is 0")
        check_setting(self, "threshold", self.threshold > 0, "above 0")
        check_setting(self, "discriminator_burst", self.discriminator_burst >= 1, "at least 1")
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
        check_setting(self, "ema_half_life_images", self.ema_half_life_images >= 0, "at least 0")

    def images_for(self, patches: int) -> tuple[float, float]:
        """Return the images of the pre-training, and of the alternation after it, for this many lesion patches."""
        pretraining = self.pretrain_images if self.pretrain_epochs is None else self.pretrain_epochs * patches
        alternation = self.adversarial_images if self.adversarial_epochs is None else self.adversarial_epochs * patches
        return pretraining or 0, alternation or 0

    def rate_at(self, images_seen: int) -> float:
        """Return the learning rates after this many images, as a share of the starting ones."""
        return float(self.decay ** (images_seen / self.decay_every_images))


@dataclass(frozen=True)
class GanSettings(TrainedInfillerSettings):
    """How a GAN is built and trained. The defaults are the preset `paper`.

    Attributes:
        generator: the network that paints.
        discriminator: the network that judges.
        perceptual: what the perceptual loss compares.
        losses: the losses and how they are combined.
        schedule: training schedule.
        validation: how fills are measured during training.
    """

    preset: str = "paper"
    method: Literal["gan"] = "gan"
    generator: GeneratorSettings = GeneratorSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    perceptual: PerceptualSettings = PerceptualSettings()
    losses: LossSettings = LossSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    validation: ValidationSettings = ValidationSettings()  # noqa: RUF009 - frozen, in another file

    def check_size(self, size_px: int) -> None:
        """Refuse patches that the discriminator cannot halve so often."""
        self.discriminator.check_size(size_px)

    def __post_init__(self) -> None:
        """Raise SettingsError unless the method is gan and processes share a batch evenly; see also the base class."""
        super().__post_init__()
        check_choice(self, "method", "gan")
        batch, processes = self.schedule.batch, self.engine.processes
        check_setting(self, "engine", batch % processes == 0, f"of processes that share a batch of {batch} evenly")
