"""Settings of the methods that train nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mammofill.ground.errors import check_choice
from mammofill.infilling.settings import InfillerSettings
from mammofill.pairing.hole import GROWN, HoleSettings


@dataclass(frozen=True)
class CopyPasteSettings(InfillerSettings):
    """A real lesion of the requested class with a fitting outline, blended into the hole with its surroundings."""

    preset: str = "copy-paste"
    method: Literal["copy-paste"] = "copy-paste"
    hole: HoleSettings = GROWN

    def __post_init__(self) -> None:
        """Raise SettingsError unless the method is copy-paste; see also the base class."""
        super().__post_init__()
        check_choice(self, "method", "copy-paste")


@dataclass(frozen=True)
class TextureSettings(InfillerSettings):
    """Tissue synthesised from the patch's own, without a lesion: a sham that shows the effect of filling alone."""

    preset: str = "texture"
    method: Literal["texture"] = "texture"
    hole: HoleSettings = GROWN

    def __post_init__(self) -> None:
        """Raise SettingsError unless the method is texture; see also the base class."""
        super().__post_init__()
        check_choice(self, "method", "texture")


COPY_PASTE_PRESETS = {"copy-paste": CopyPasteSettings()}
TEXTURE_PRESETS = {"texture": TextureSettings()}
