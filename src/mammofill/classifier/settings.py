"""Settings of classifier training, with the defaults of the paper (section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mammofill.ground.artifact import execution
from mammofill.ground.errors import SettingsError, check_choice, check_setting

NetworkName = Literal["shallow-cnn", "resnet50", "squeezenet1_1"]
WeightsName = Literal["imagenet", "none", "imagenet-to-layer2"]


@dataclass(frozen=True)
class AugmentationSettings:
    """How training patches are varied; new chance for each image seen. Source: the paper, section 3.2.

    Attributes:
        traditional: the paper's augmentation: flip, rotation up to 30 degrees, zoom from 0.75 to 1.25. The other
            fields then stay at their defaults.
        flip: mirror left and right, with probability 1/2.
        rotation_degrees: largest angle; each is drawn uniformly between minus this and this, in degrees, [0, 180].
        zoom: least and greatest zoom factor; each is drawn uniformly between them. Above 1 enlarges.
    """

    traditional: bool = False
    flip: bool = False
    rotation_degrees: float = 0.0
    zoom: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        check_setting(self, "rotation_degrees", 0 <= self.rotation_degrees <= 180, "in [0, 180]")
        rises = len(self.zoom) == 2 and 0 < self.zoom[0] <= self.zoom[1] <= 10
        check_setting(self, "zoom", rises, "two factors, 0 < least <= greatest <= 10")
        own = self.flip or self.rotation_degrees != 0 or tuple(self.zoom) != (1.0, 1.0)
        if self.traditional and own:
            raise SettingsError(
                "AugmentationSettings.traditional already says flip, rotation_degrees and zoom: leave these three "
                "alone, or set traditional to false and give your own."
            )

    @property
    def active(self) -> bool:
        """Whether anything is varied at all."""
        return self.resolved() != AugmentationSettings()

    def resolved(self) -> AugmentationSettings:
        """Return the same settings with `traditional` spelled out."""
        if self.traditional:
            return AugmentationSettings(flip=True, rotation_degrees=30.0, zoom=(0.75, 1.25))
        return self


@dataclass(frozen=True)
class TrainClassifierSettings:
    """How a classifier is trained. Source: the paper, section 5; where it is silent, the choice is ours.

    To compare training sets of different sizes, choose what stays the same: `epochs` (as the paper; a larger set then
    also means more steps) or `images` (the same number of steps whatever the set).

    Attributes:
        network: resnet50 and squeezenet1_1 are torchvision's; shallow-cnn is the paper's baseline.
        weights: what the network starts from. imagenet: pretrained (resnet50 and squeezenet1_1 only).
            imagenet-to-layer2: resnet50 pretrained up to the end of its layer2, random from there on. none: random;
            the shallow CNN knows no other.
        weights_file: local .pth or .safetensors file with torchvision's tensor names. Without it torchvision downloads
            its own file and checks it.
        input_px: side of the square input, in pixels; patches are resampled to it. 224 is the paper's; 64 to 128
            make small studies bearable on a CPU.
        epochs: passes over the training patches (paper: 50).
        images: images seen in all, instead of `epochs`.
        batch: patches per step (paper: 32).
        learning_rate: of Adam (paper: 1e-5).
        betas: of Adam (paper: 0.9, 0.999).
        eps: of Adam (paper: 1e-8).
        decay: factor on the learning rate after every `decay_every_epochs` (paper: 0.9).
        decay_every_epochs: in passes over the training patches (paper: 30).
        augmentation: how training patches are varied.
        real: learn from the real train patches. Without, from synthetic ones alone; validation stays real.
        dose: synthetic patches learned from for each real one of their class, the first ones of the sets, so that a
            smaller dose is a part of a larger one. Unset takes all.
        repeats: real patches that are learned from again for each real one of their class, drawn at random: the control
            of the same dose.
        synthetic_labels: what class a synthetic patch is learned as. asked: what the infiller was asked for; flipped:
            the other one; shuffled: dealt out at random among them. The last two are controls.
        keep: which weights make the classifier. last: those at the end, as the paper, which speaks of no choice.
            best: those of the epoch with the greatest AUC on validation.
        threshold_rule: where a score counts as malignant. balanced-accuracy: where recall plus specificity is greatest
            on the validation patches. half: 0.5.
        checkpoint_every_images: how often all is saved that a stopped run needs to go on.
        memory_gb: patches are decoded once and kept if they need no more than this many gigabytes; more are decoded
            again each time they are seen.
    """

    network: NetworkName = "resnet50"
    weights: WeightsName = "imagenet"
    weights_file: str | None = execution(None)  # the plan holds the file's SHA-256 among the inputs
    input_px: int = 224
    epochs: int = 50
    images: int | None = None
    batch: int = 32
    learning_rate: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    decay: float = 0.9
    decay_every_epochs: int = 30
    augmentation: AugmentationSettings = AugmentationSettings()
    real: bool = True
    dose: float | None = None
    repeats: float = 0.0
    synthetic_labels: Literal["asked", "flipped", "shuffled"] = "asked"
    keep: Literal["last", "best"] = "last"
    threshold_rule: Literal["balanced-accuracy", "half"] = "balanced-accuracy"
    checkpoint_every_images: int = execution(2000)
    memory_gb: float = execution(2.0)

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        names = NetworkName.__args__, WeightsName.__args__  # type: ignore[attr-defined]
        check_setting(self, "network", self.network in names[0], f"one of {', '.join(names[0])}")
        check_setting(self, "weights", self.weights in names[1], f"one of {', '.join(names[1])}")
        self._check_start()
        check_setting(self, "input_px", self.input_px >= 32, "at least 32")
        check_setting(self, "epochs", self.epochs >= 1, "at least 1")
        check_setting(self, "images", self.images is None or self.images >= 1, "at least 1, or left out")
        check_setting(self, "batch", self.batch >= 2, "at least 2 (batch normalisation needs company)")
        check_setting(self, "learning_rate", 0 < self.learning_rate < 1, "in (0, 1)")
        check_setting(self, "betas", all(0 <= beta < 1 for beta in self.betas), "both in [0, 1)")
        check_setting(self, "eps", self.eps > 0, "above 0")
        check_setting(self, "decay", 0 < self.decay <= 1, "in (0, 1]")
        check_setting(self, "decay_every_epochs", self.decay_every_epochs >= 1, "at least 1")
        check_setting(self, "dose", self.dose is None or self.dose > 0, "above 0, or left out")
        check_setting(self, "repeats", self.repeats >= 0, "at least 0")
        check_setting(self, "repeats", self.real or self.repeats == 0, "0 where no real patch is learned from")
        check_choice(self, "synthetic_labels", "asked", "flipped", "shuffled")
        check_setting(self, "keep", self.keep in ("last", "best"), "last or best")
        rules = ("balanced-accuracy", "half")
        check_setting(self, "threshold_rule", self.threshold_rule in rules, f"one of {', '.join(rules)}")
        check_setting(self, "checkpoint_every_images", self.checkpoint_every_images >= 1, "at least 1")
        check_setting(self, "memory_gb", self.memory_gb >= 0, "at least 0")

    def _check_start(self) -> None:
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
        if self.weights == "none" and self.weights_file is not None:
            raise SettingsError(
                "TrainClassifierSettings.weights is none, so weights_file would be ignored: leave it out, or set "
                "weights to what the file holds."
            )
