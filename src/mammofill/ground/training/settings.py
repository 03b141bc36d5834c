"""How the machine computes during training: settings that all training stages share. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mammofill.ground.artifact import execution
from mammofill.ground.errors import check_choice, check_setting


@dataclass(frozen=True)
class EngineSettings:
    """How the machine computes. The first three change the last digits of a result, or more, so they are part of it.

    Attributes:
        precision: float32; tf32, which rounds the inputs of products on CUDA to 10 bits; bf16, mixed precision (on a
            CPU only if it has instructions for it); or auto, bf16 if the device has instructions for it, else float32:
            the choice is printed and recorded.
        channels_last: store the channels of a pixel next to each other, which suits tensor cores and, on a CPU, some
            networks: SqueezeNet, EfficientNet-Lite0 and the shallow CNN train 1.4 to 1.5 times as fast in float32,
            ResNet-50 and ConvNeXt-Tiny no faster and no slower (docs/benchmarks.md).
        compile: compile the networks (torch.compile); the first steps then take minutes.
        processes: processes that share each batch, one per GPU (cuda), or on the cores of this machine (cpu). Results
            are the same up to the order of additions.
        at_once: images of a batch that one process handles at a time; fewer save memory. Unset takes all. Results are
            the same up to the order of additions (with spectral_norm also up to the number of its iterations).
    """

    precision: Literal["float32", "tf32", "bf16", "auto"] = "float32"
    channels_last: bool = False
    compile: bool = False
    processes: int = execution(1)
    at_once: int | None = execution(None)

    def __post_init__(self) -> None:
        """Raise SettingsError unless precision is known and counts are positive."""
        check_choice(self, "precision", "float32", "tf32", "bf16", "auto")
        check_setting(self, "processes", self.processes >= 1, "at least 1")
        check_setting(self, "at_once", self.at_once is None or self.at_once >= 1, "at least 1, or unset")


@dataclass(frozen=True)
class ValidationSettings:
    """How fills of the validation split's lesions are measured during training; these lesions are not learned from.

    Attributes:
        measure: none; perceptual, the perceptual loss of fills against the original lesions (which favours blur); or
            kernel-distance, the distance between the distributions of fills and of real lesions, inside their masks, in
            the features of the perceptual loss (Binkowski et al., "Demystifying MMD GANs", ICLR 2018).
        every_images: training images between two measurements, after the pre-training.
        patches: lesion patches filled for it, at most.
        keep: the generator that is kept: last, or best by the measure.
        patience: stop after this many measurements in a row without improvement; unset never stops early.
    """

    measure: Literal["none", "perceptual", "kernel-distance"] = "none"
    every_images: int = 20_000
    patches: int = 256
    keep: Literal["last", "best"] = "last"
    patience: int | None = None

    @property
    def chooses(self) -> bool:
        """Whether validation patients choose the weights, or when to stop."""
        return self.keep == "best" or self.patience is not None

    def __post_init__(self) -> None:
        """Raise SettingsError unless choices are known, numbers are in range, and a best is measured if used."""
        check_choice(self, "measure", "none", "perceptual", "kernel-distance")
        check_choice(self, "keep", "last", "best")
        check_setting(self, "every_images", self.every_images >= 1, "at least 1")
        check_setting(self, "patches", self.patches >= 8, "at least 8")
        check_setting(self, "patience", self.patience is None or self.patience >= 1, "at least 1, or unset")
        watched = self.measure != "none"
        check_setting(self, "keep", watched or self.keep == "last", "last when nothing is measured")
        check_setting(self, "patience", watched or self.patience is None, "unset when nothing is measured")
