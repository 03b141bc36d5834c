"""Settings that all ways to make an infiller share. Each method has its own beside its code, made from these."""

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
    """What every infiller has to know.

    Attributes:
        preset: name of the preset that these settings came from; recorded only.
        method: how it paints; it follows from the preset.
        conditions: what can be asked of a lesion, apart from its place: pathology, then any of the other facts that the
            patches tell (`conditions.FACTS`).
        hole: which pixels are repainted for a lesion's mask.
        feather_px: a fill fades out over so many pixels outside the hole; farther away the patch stays as it was, bit
            for bit.
        allow_one_class: make one although the lesions are all benign or all malignant. It paints one class.
        previews: rows in each preview picture: one half lesion patches with their own mask, one half pairs.
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
        """From which time on a fill is painted, in (0, 1]; below 1 a part of what is in the hole is kept."""
        return 1.0

    def __post_init__(self) -> None:
        """Refuse nonsense."""
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
    """What every infiller that is a trained network has to know as well.

    Attributes:
        hidden_share: each fact beyond pathology is hidden from the networks in this share of the training images, so
            that they can paint without knowing it.
        augment: turn and mirror training patches at random (the eight ways a square can lie). The paper does not.
        engine: how the machine computes.
        preview_every_images: a preview is painted each time so many images were seen.
        history_every_images: a row of mean losses is kept each time so many images were seen.
        checkpoint_every_images: a stopped training goes on from the last multiple of this. Does not change the result.
        tensorboard: folder for losses and previews as TensorBoard reads them, beside the artifact; needs the extra
            `tensorboard`. Does not change the result.
    """

    hidden_share: float = 0.1
    augment: bool = False
    engine: EngineSettings = EngineSettings()  # noqa: RUF009 - frozen, in another file
    preview_every_images: int = 100_000
    history_every_images: int = 4000
    checkpoint_every_images: int = execution(8000)
    tensorboard: str | None = execution(None)

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        super().__post_init__()
        check_setting(self, "hidden_share", 0 <= self.hidden_share < 1, "in [0, 1)")
        for name in ("preview_every_images", "history_every_images", "checkpoint_every_images"):
            check_setting(self, name, getattr(self, name) >= 1, "at least 1")
