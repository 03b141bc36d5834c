"""Settings that all infiller methods share. Each method extends them in settings of its own, beside its code."""

from __future__ import annotations

from dataclasses import dataclass

from mammofill.ground.artifact import execution
from mammofill.ground.errors import check_setting
from mammofill.ground.training.settings import EngineSettings
from mammofill.infilling.conditions import FACTS
from mammofill.pairing.hole import HoleSettings

CLASSES = FACTS["pathology"]
"""The classes that a lesion can be asked for, in the order of the class planes: [1, 0] benign, [0, 1] malignant."""


@dataclass(frozen=True)
class InfillerSettings:
    """Settings of every infiller.

    Attributes:
        preset: name of the preset that these settings came from; recorded only.
        method: the painting method; follows from the preset.
        conditions: what can be requested of a lesion, apart from its place: pathology, then any other facts that the
            patches record (`conditions.FACTS`).
        hole: which pixels are repainted for a lesion's mask.
        feather_px: a fill fades out over this many pixels outside the hole; beyond them the patch is unchanged, bit for
            bit.
        allow_one_class: allow lesions that are all benign or all malignant. The infiller then paints one class.
        previews: rows in each preview picture: half are lesion patches with their own mask, half pairs.
    """

    preset: str = ""
    method: str = ""
    conditions: tuple[str, ...] = ("pathology",)
    hole: HoleSettings = HoleSettings()  # noqa: RUF009 - frozen, in another file
    feather_px: int = 4
    allow_one_class: bool = False
    previews: int = 6

    @property
    def begin_time(self) -> float:
        """Time from which a fill is painted, in (0, 1]; below 1 a part of what is in the hole is kept."""
        return 1.0

    def check_size(self, size_px: int) -> None:
        """Refuse patches of a side that the method cannot paint.

        Raises:
            SettingsError: naming the setting and the side.
        """

    def __post_init__(self) -> None:
        """Raise SettingsError unless conditions are known and the feather is narrower than the hole's rim."""
        known = self.conditions[:1] == ("pathology",) and set(self.conditions) <= set(FACTS)
        once = len(set(self.conditions)) == len(self.conditions)
        check_setting(self, "conditions", known and once, f"pathology first, then any of {', '.join(FACTS)}, each once")
        check_setting(self, "feather_px", self.feather_px >= 0, "at least 0")
        rim = self.hole.rim_px
        check_setting(
            self,
            "feather_px",
            not rim or self.feather_px < rim,
            f"less than the rim of the hole, {rim} px, which stays",
        )
        check_setting(self, "previews", self.previews >= 0, "at least 0")


@dataclass(frozen=True)
class TrainedInfillerSettings(InfillerSettings):
    """Further settings of every infiller that is a trained network.

    Attributes:
        hidden_share: each fact beyond pathology is hidden from the networks in this share of the training images, so
            that they can paint without it.
        augment: rotate and mirror training patches at random (the eight symmetries of a square). The paper does not.
        engine: how the machine computes.
        preview_every_images: training images between two previews.
        history_every_images: training images between two rows of mean losses in the history.
        checkpoint_every_images: training images between two checkpoints; a stopped training continues from the last.
            Does not change the result.
        tensorboard: separate folder for losses and previews in TensorBoard's format; needs the extra `tensorboard`.
            Does not change the result.
    """

    hidden_share: float = 0.1
    augment: bool = False
    engine: EngineSettings = EngineSettings()  # noqa: RUF009 - frozen, in another file
    preview_every_images: int = 100_000
    history_every_images: int = 4000
    checkpoint_every_images: int = execution(8000)
    tensorboard: str | None = execution(None)

    def __post_init__(self) -> None:
        """Raise SettingsError unless numbers are in range; see also the base class."""
        super().__post_init__()
        check_setting(self, "hidden_share", 0 <= self.hidden_share < 1, "in [0, 1)")
        for name in ("preview_every_images", "history_every_images", "checkpoint_every_images"):
            check_setting(self, name, getattr(self, name) >= 1, "at least 1")
