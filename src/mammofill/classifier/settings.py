"""Settings of classifier training. The defaults are the paper's (section 5); `PRESETS` holds them by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from mammofill.ground.artifact import added, execution
from mammofill.ground.errors import SettingsError, check_choice, check_setting
from mammofill.ground.training.settings import EngineSettings

NETWORK_NAMES = ("shallow-cnn", "resnet50", "squeezenet1_1", "convnext_tiny", "discriminator")
"""Networks of our own and torchvision's; any other is timm's, see `TIMM`."""
TIMM = "timm/"
"""What stands before the name of a network of timm's."""
WeightsName = Literal["imagenet", "pretrained", "none", "imagenet-to-layer2", "infiller"]
_ONE_CHANNEL = ("shallow-cnn", "discriminator")
_WITH_BATCH_NORMALISATION = ("shallow-cnn", "resnet50", "discriminator")


@dataclass(frozen=True)
class AugmentationSettings:
    """How training patches are varied, drawn anew for each image seen. Source: the paper, section 3.2.

    Attributes:
        traditional: the paper's augmentation: flip, rotation up to 30 degrees, zoom from 0.75 to 1.25. These three
            then stay at their defaults; quarter turns may be added.
        flip: mirror left to right, with probability 1/2.
        rotation_degrees: largest angle, in degrees, [0, 180]; each is drawn uniformly between minus this and this.
        zoom: smallest and largest zoom factor; each is drawn uniformly between them. Above 1 enlarges.
        quarter_turns: also turn by 0, 90, 180 or 270 degrees, each with probability 1/4. With `flip` this gives all
            eight symmetries of a square, including mirror images up and down. Ours: a lesion has no upper side.
        strong: traditional augmentation and quarter turns, whether or not `traditional` is set; what generated patches
            have to beat. The other fields then stay at their defaults.
    """

    traditional: bool = False
    flip: bool = False
    rotation_degrees: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)
    quarter_turns: bool = False
    strong: bool = False

    def __post_init__(self) -> None:
        """Raise SettingsError unless numbers are in range and no preset is combined with its own settings."""
        check_setting(self, "rotation_degrees", 0 <= self.rotation_degrees <= 180, "in [0, 180]")
        rises = len(self.zoom) == 2 and 0 < self.zoom[0] <= self.zoom[1] <= 10
        check_setting(self, "zoom", rises, "two factors, 0 < least <= greatest <= 10")
        own = self.flip or self.rotation_degrees != 0 or tuple(self.zoom) != (1.0, 1.0)
        if self.traditional and own:
            raise SettingsError(
                "AugmentationSettings.traditional already says flip, rotation_degrees and zoom: leave these three "
                "alone, or set traditional to false and give your own."
            )
        if self.strong and (own or self.quarter_turns):
            raise SettingsError(
                "AugmentationSettings.strong already says flip, rotation_degrees, zoom and quarter_turns: leave these "
                "four alone, or set strong to false and give your own."
            )

    @property
    def active(self) -> bool:
        """Whether anything is varied at all."""
        return self.resolved() != AugmentationSettings()

    def resolved(self) -> AugmentationSettings:
        """Return the same settings with `traditional` and `strong` spelled out."""
        if self.traditional or self.strong:
            turns = self.quarter_turns or self.strong
            return AugmentationSettings(flip=True, rotation_degrees=30.0, zoom=(0.75, 1.25), quarter_turns=turns)
        return self


@dataclass(frozen=True)
class TrainClassifierSettings:
    """How a classifier is trained. Source: the paper, section 5; where it is silent, the choice is ours.

    To compare training sets of different sizes, choose what stays the same: `epochs` (as in the paper; a larger set
    then also means more steps) or `images` (the same number of steps for every set).

    Attributes:
        preset: name of the preset that these settings came from; recorded only.
        network: resnet50, squeezenet1_1 and convnext_tiny are torchvision's; shallow-cnn is the paper's baseline;
            discriminator is the backbone of an infiller's discriminator, with its maps averaged over the patch and a
            linear layer (the paper's future work). timm/NAME is any network by its name in timm, with or without the
            tag of its weights: timm/tf_efficientnet_lite0 (needs the extra `backbones`).
        weights: initial weights. imagenet: pretrained on ImageNet (torchvision's and timm's networks). pretrained: on
            other data, named by `weights_name`: the weights in `weights_file`, or those that timm publishes for the
            network. imagenet-to-layer2: resnet50 pretrained up to the end of its layer2, random after it. infiller: the
            backbone of the given infiller's discriminator. none: random; the only choice for the shallow CNN.
        weights_file: local .pth or .safetensors file with the tensor names of torchvision or timm. Without it, the
            published file is downloaded.
        weights_keys: pairs (old, new): if a tensor's name in the file begins with the old text, the new one replaces
            it; the first pair that matches is used. Tensors that match no pair are left out. Nested tables, as in a
            training checkpoint, are joined by dots: [["state_dict.module.", ""]].
        weights_name: what the file was trained on, for labels and reports: RadImageNet. Only with weights pretrained.
        input_px: side of the square input, in pixels; patches are resampled to it. The paper uses 224; 64 to 128 make
            small studies bearable on a CPU. 0: the network's own, for timm the size that its weights were trained at.
        input_mean: mean of red, green and blue, for values in [0, 1], subtracted from the gray, which is copied to
            three channels. Unset: the network's own: ImageNet's, for timm that of its weights' training. Another file
            may need another mean.
        input_sd: what the channels are then divided by. Unset: the network's own.
        standardise: remove each patch's own level and contrast before the network sees it, in training and in every
            later use: its mean and standard deviation become 0.5 and 0.15. Only structure is left. For a second judge
            of infillers, which must not be satisfied by the right brightness alone.
        epochs: passes over the training patches (paper: 50).
        images: images seen in total, instead of `epochs`.
        batch: patches per step (paper: 32).
        balanced: draw benign and malignant patches in turn, whatever their numbers; each class is shuffled separately.
            An epoch still has as many images as there are training patches.
        optimiser: adam (the paper), or adamw, whose weight decay is not scaled by Adam (Loshchilov and Hutter, ICLR
            2019).
        weight_decay: of matrices and kernels; not of biases, normalisation and other vectors.
        clip_gradient: a longer gradient is scaled down to this length (2-norm over all weights); 0 never.
        learning_rate: of the optimiser at its peak (paper: 1e-5).
        betas: of Adam (paper: 0.9, 0.999).
        eps: of Adam (paper: 1e-8).
        schedule: how the learning rate falls. steps: by `decay` after every `decay_every_epochs` (the paper). cosine:
            along half a cosine to 0 at the end (Loshchilov and Hutter, ICLR 2017, equation 5).
        warm_up: share of all images over which the learning rate first rises linearly from 0; [0, 1).
        decay: factor on the learning rate after every `decay_every_epochs` (paper: 0.9). Only with schedule steps.
        decay_every_epochs: in passes over the training patches (paper: 30).
        augmentation: how training patches are varied.
        mixup: blend each patch and its label with another one of the batch, in shares drawn from Beta(mixup, mixup)
            (Zhang et al., ICLR 2018); 0 never.
        label_smoothing: share of each label that is spread over both classes (Szegedy et al., CVPR 2016, section 7).
        ema_half_life_images: the weights that are validated and kept are an EMA over the steps with this half-life, in
            images, but at most a twentieth of the images seen so far (Karras et al., "Training generative adversarial
            networks with limited data", NeurIPS 2020, their code); 0 for none.
        unfreeze: which layers learn, and when, if all but the last layer start from trained weights. at-once: all from
            the beginning. head-first: the last one alone for `unfreeze_share`. layer-by-layer: after each such share
            one more group of layers, from the last to the first (Howard and Ruder, ACL 2018, section 3.3). never: the
            last one alone (a linear probe). Layers that do not learn also keep their statistics.
        unfreeze_share: share of all images; in (0, 1).
        real: learn from the real training patches. If false, from synthetic ones alone; validation stays real.
        dose: synthetic patches learned from for each real one of their class: the first ones of the sets, so that a
            smaller dose is a subset of a larger one. Unset takes all.
        repeats: real patches, drawn at random, that are learned from again for each real one of their class: the
            control of the same dose.
        dose_by: unit of `dose` and `repeats`. patch: so many for each real patch. lesion: so many for each real lesion;
            several patches may show parts of it.
        even_classes: use only as many synthetic patches as make both classes even: all available ones (or all that the
            dose allows) of the class with fewer patches in total, and as many of the other as reach the same number.
        synthetic_share: synthetic share of every batch, in (0, 1), spread evenly over it; real and synthetic patches
            are shuffled separately. Unset: they come in proportion to their numbers. An epoch still has as many images
            as there are training patches.
        synthetic_weight: weight of a synthetic patch in the loss, where a real one has 1; the loss is the weighted mean
            over the batch.
        synthetic_first: share of all images, in [0, 1), in a first phase of synthetic patches alone; after it real ones
            alone, or `synthetic_share` of synthetic ones.
        synthetic_if_better: learn from synthetic patches only if validation shows that they help. The classifier is
            trained without them, too, with the same seed; that with them is kept if its AUC on validation is higher in
            95 % of resamples of the validation patients, else that without. Takes twice as long, unless `--trained`
            names classifiers that were trained so before. Set `images`: with `epochs` that with synthetic patches sees
            more of them, and may be better for that alone.
        synthetic_labels: class that a synthetic patch is learned as. asked: the one requested of the infiller; flipped:
            the other one; shuffled: labels shuffled at random among them. The last two are controls.
        keep: which weights make the classifier. last: those at the end, as in the paper, which mentions no choice.
            best: those with the highest AUC on validation.
        validate_every_images: validate at the end of an epoch if so many images were seen since the last time; 0 after
            every epoch. With few patients epochs are short, and most of the time would go into validating.
        patience: stop when the AUC on validation has not risen for so many validations in a row, and keep the best,
            whatever `keep` says; unset never stops early. While the network learns from synthetic patches alone
            (`synthetic_first`) they do not count.
        test_time_flips: score each patch twice, as it is and mirrored, and average the log-odds: on validation, for the
            threshold and in every later use.
        test_time_turns: score each patch at each of the four quarter turns, and average the log-odds; with
            `test_time_flips`, over all eight symmetries of a square. Scoring takes four times as long. On real masses
            the AUC by patch of SqueezeNet 1.1 rose by 0.009 to 0.013 over flips alone.
        threshold_rule: from where a score counts as malignant. balanced-accuracy: where recall plus specificity is
            highest on the validation patches. half: 0.5.
        checkpoint_every_images: how often the state that a stopped run needs to continue is saved.
        memory_gb: patches are decoded once and kept if they need at most this many gigabytes; otherwise they are
            decoded again each time they are seen.
        engine: how the machine computes. at_once is for networks without batch normalisation (squeezenet1_1,
            convnext_tiny); with several processes, batch normalisation uses the whole batch. Randomness inside networks
            (dropout of squeezenet1_1, dropped blocks of convnext_tiny) differs with another number of processes or
            images at once.
    """

    preset: str = "paper"
    network: str = "resnet50"
    weights: WeightsName = "imagenet"
    weights_file: str | None = execution(None)  # the plan holds the file's SHA-256 among the inputs
    weights_keys: tuple[tuple[str, str], ...] = ()
    weights_name: str = ""
    input_px: int = 224
    input_mean: tuple[float, float, float] | None = None
    input_sd: tuple[float, float, float] | None = None
    standardise: bool = False
    epochs: int = 50
    images: int | None = None
    batch: int = 32
    balanced: bool = False
    optimiser: Literal["adam", "adamw"] = "adam"
    weight_decay: float = 0.0
    clip_gradient: float = 0.0
    learning_rate: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    schedule: Literal["steps", "cosine"] = "steps"
    warm_up: float = 0.0
    decay: float = 0.9
    decay_every_epochs: int = 30
    augmentation: AugmentationSettings = AugmentationSettings()
    mixup: float = 0.0
    label_smoothing: float = 0.0
    ema_half_life_images: int = 0
    unfreeze: Literal["at-once", "head-first", "layer-by-layer", "never"] = "at-once"
    unfreeze_share: float = 0.1
    real: bool = True
    dose: float | None = None
    repeats: float = 0.0
    dose_by: Literal["patch", "lesion"] = "patch"
    even_classes: bool = False
    synthetic_share: float | None = None
    synthetic_weight: float = 1.0
    synthetic_first: float = 0.0
    synthetic_if_better: bool = added(False)
    synthetic_labels: Literal["asked", "flipped", "shuffled"] = "asked"
    keep: Literal["last", "best"] = "last"
    validate_every_images: int = added(0)
    patience: int | None = None
    test_time_flips: bool = False
    test_time_turns: bool = False
    threshold_rule: Literal["balanced-accuracy", "half"] = "balanced-accuracy"
    checkpoint_every_images: int = execution(2000)
    memory_gb: float = execution(2.0)
    engine: EngineSettings = EngineSettings()  # noqa: RUF009 - frozen, in another file

    def __post_init__(self) -> None:
        """Raise SettingsError unless choices are known, numbers are in range, and all settings fit together."""
        starts = WeightsName.__args__  # type: ignore[attr-defined]
        known = self.network in NETWORK_NAMES or (len(self.network) > len(TIMM) and self.is_timms)
        check_setting(self, "network", known, f"one of {', '.join(NETWORK_NAMES)}, or {TIMM} and a name of timm's")
        check_setting(self, "weights", self.weights in starts, f"one of {', '.join(starts)}")
        self._check_start()
        self._check_input()
        check_setting(self, "epochs", self.epochs >= 1, "at least 1")
        check_setting(self, "images", self.images is None or self.images >= 1, "at least 1, or left out")
        check_setting(self, "batch", self.batch >= 2, "at least 2 (batch normalisation needs several)")
        self._check_recipe()
        check_setting(self, "dose", self.dose is None or self.dose > 0, "above 0, or left out")
        check_setting(self, "repeats", self.repeats >= 0, "at least 0")
        check_setting(self, "repeats", self.real or self.repeats == 0, "0 where no real patch is learned from")
        self._check_use_of_fills()
        check_setting(self, "keep", self.keep in ("last", "best"), "last or best")
        check_setting(self, "validate_every_images", self.validate_every_images >= 0, "at least 0")
        check_setting(self, "patience", self.patience is None or self.patience >= 1, "at least 1, or left out")
        rules = ("balanced-accuracy", "half")
        check_setting(self, "threshold_rule", self.threshold_rule in rules, f"one of {', '.join(rules)}")
        check_setting(self, "checkpoint_every_images", self.checkpoint_every_images >= 1, "at least 1")
        check_setting(self, "memory_gb", self.memory_gb >= 0, "at least 0")
        self._check_engine()

    @property
    def is_timms(self) -> bool:
        """Whether the network is one of timm's."""
        return self.network.startswith(TIMM)

    @property
    def speaks_of_fills(self) -> tuple[str, ...]:
        """The settings that say how synthetic patches are used, where they are not at their defaults."""
        return tuple(name for name in USE_OF_FILLS if getattr(self, name) != getattr(_PAPER, name))

    @property
    def without_fills(self) -> TrainClassifierSettings:
        """The same settings for real patches alone."""
        defaults = {name: getattr(_PAPER, name) for name in USE_OF_FILLS}
        return replace(self, real=True, dose=None, **defaults)

    @property
    def keeps_best(self) -> bool:
        """Whether validation chooses among the weights of the whole training."""
        return self.keep == "best" or self.patience is not None

    @property
    def chooses_on_validation(self) -> bool:
        """Whether anything is chosen on validation patients: the threshold, the weights, or whether fills help."""
        return self.threshold_rule != "half" or self.keeps_best or self.synthetic_if_better

    def _check_input(self) -> None:
        check_setting(self, "input_px", self.input_px >= 32 or self.input_px == 0, "at least 32, or 0")
        gray = self.input_mean is None and self.input_sd is None
        check_setting(self, "input_mean", gray or self.network not in _ONE_CHANNEL, f"unset: {self.network} sees gray")
        check_setting(self, "input_sd", min(self.input_sd or (1,)) > 0, "above 0, or left out")

    def _check_use_of_fills(self) -> None:
        check_choice(self, "dose_by", "patch", "lesion")
        share = self.synthetic_share
        check_setting(self, "synthetic_share", share is None or 0 < share < 1, "in (0, 1), or left out")
        check_setting(self, "synthetic_weight", self.synthetic_weight > 0, "above 0")
        check_setting(self, "synthetic_first", 0 <= self.synthetic_first < 1, "in [0, 1)")
        for name in ("synthetic_share", "synthetic_first", "synthetic_if_better", "even_classes"):
            check_setting(self, name, self.real or not getattr(self, name), "unset where no real patch is learned from")
        check_choice(self, "synthetic_labels", "asked", "flipped", "shuffled")

    def _check_recipe(self) -> None:
        check_choice(self, "optimiser", "adam", "adamw")
        check_setting(self, "weight_decay", self.weight_decay >= 0, "at least 0")
        check_setting(self, "clip_gradient", self.clip_gradient >= 0, "at least 0")
        check_setting(self, "learning_rate", 0 < self.learning_rate < 1, "in (0, 1)")
        check_setting(self, "betas", all(0 <= beta < 1 for beta in self.betas), "both in [0, 1)")
        check_setting(self, "eps", self.eps > 0, "above 0")
        check_choice(self, "schedule", "steps", "cosine")
        check_setting(self, "warm_up", 0 <= self.warm_up < 1, "in [0, 1)")
        check_setting(self, "decay", 0 < self.decay <= 1, "in (0, 1]")
        check_setting(self, "decay_every_epochs", self.decay_every_epochs >= 1, "at least 1")
        check_setting(self, "mixup", self.mixup >= 0, "at least 0")
        check_setting(self, "label_smoothing", 0 <= self.label_smoothing < 1, "in [0, 1)")
        check_setting(self, "ema_half_life_images", self.ema_half_life_images >= 0, "at least 0")
        check_choice(self, "unfreeze", "at-once", "head-first", "layer-by-layer", "never")
        trained = self.unfreeze == "at-once" or self.weights in ("imagenet", "pretrained", "infiller")
        check_setting(self, "unfreeze", trained, f"at-once with weights {self.weights}: random layers must learn")
        check_setting(self, "unfreeze_share", 0 < self.unfreeze_share < 1, "in (0, 1)")

    def _check_engine(self) -> None:
        evenly = self.batch % self.engine.processes == 0
        check_setting(self, "engine", evenly, f"of processes that share a batch of {self.batch} evenly")
        whole = self.engine.at_once is None or self.network not in _WITH_BATCH_NORMALISATION
        check_setting(self, "engine", whole, f"without at_once: batch normalisation of {self.network} needs the batch")

    def _check_start(self) -> None:
        if self.weights == "infiller" and self.network != "discriminator":
            raise SettingsError(
                f"TrainClassifierSettings.weights infiller is a start for the network discriminator only, not for "
                f"{self.network}. Use imagenet or none."
            )
        if self.network == "discriminator" and self.weights not in ("infiller", "none"):
            raise SettingsError(
                f"TrainClassifierSettings.weights is {self.weights!r}, but a discriminator starts from an infiller's: "
                "ask for weights infiller, and give the infiller; or ask for weights none."
            )
        if self.network == "shallow-cnn" and self.weights != "none":
            raise SettingsError(
                f"TrainClassifierSettings.weights is {self.weights!r}, but the shallow CNN has no pretrained weights: "
                "ask for weights none by name."
            )
        if self.network != "resnet50" and self.weights == "imagenet-to-layer2":
            raise SettingsError(
                f"TrainClassifierSettings.weights imagenet-to-layer2 is a start for resnet50 only, not for "
                f"{self.network}. Use imagenet or none."
            )
        if self.weights in ("none", "infiller") and self.weights_file is not None:
            raise SettingsError(
                f"TrainClassifierSettings.weights is {self.weights}, so weights_file would be ignored: leave it out, "
                "or set weights to what the file holds."
            )
        if self.weights == "pretrained" and self.weights_file is None and not self.is_timms:
            raise SettingsError(
                f"TrainClassifierSettings.weights is pretrained, but for {self.network} nothing but ImageNet's weights "
                "is published: give the file as weights_file, or ask for weights imagenet."
            )
        if self.weights_name and self.weights != "pretrained":
            raise SettingsError(
                f"TrainClassifierSettings.weights_name is {self.weights_name!r}, but weights is {self.weights}: set "
                "weights to pretrained."
            )
        if self.weights_keys and self.weights_file is None:
            raise SettingsError(
                "TrainClassifierSettings.weights_keys says what tensors of weights_file are called, but no file is "
                "given."
            )


USE_OF_FILLS = (
    "even_classes",
    "synthetic_share",
    "synthetic_weight",
    "synthetic_first",
    "synthetic_if_better",
    "synthetic_labels",
)
"""Settings that are of synthetic patches alone."""

_PAPER = TrainClassifierSettings()

_MODERN = TrainClassifierSettings(
    preset="modern",
    network="convnext_tiny",
    epochs=30,
    balanced=True,
    optimiser="adamw",
    weight_decay=0.05,
    clip_gradient=1.0,
    learning_rate=1e-4,
    schedule="cosine",
    warm_up=0.1,
    augmentation=AugmentationSettings(traditional=True),
    mixup=0.2,
    label_smoothing=0.1,
    ema_half_life_images=2000,
    test_time_flips=True,
)

PRESETS: dict[str, TrainClassifierSettings] = {one.preset: one for one in (_PAPER, _MODERN)}
"""Settings by name. ``paper`` follows the paper. ``modern`` is a baseline that is hard to beat: a newer network, and
what was learned since about training on few images. Any other field can be set as well, the network among them."""


def preset(name: str) -> TrainClassifierSettings:
    """Return the settings of a preset.

    Raises:
        SettingsError: there is no preset of that name.
    """
    if name not in PRESETS:
        raise SettingsError(f"There is no classifier preset {name!r}. Use one of: {', '.join(PRESETS)}.")
    return PRESETS[name]
