"""Settings of pairing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mammofill.ground.errors import check_choice, check_setting
from mammofill.pairing.hole import GROWN, HoleSettings


@dataclass(frozen=True)
class PairPatchesSettings:
    """How patches to be filled are paired with lesion patches that lend their masks. Source: the paper, section 4.1.

    Attributes:
        split: split whose patches are paired; synthetic patches are made for training only.
        contexts: which patches are filled: normal ones (the paper); lesion, for collections without normal tissue:
            another lesion is painted over the patch's own (re-infill); or both.
        outline: whose outline is lent to lesion contexts: other, that of another patient's lesion; or own, that of the
            lesion painted over, in its place, for infillers that keep a part of it (`sampling.begin_time` of a flow).
            Context and donor are then one patch, so each gives one pair, neither zoomed nor shifted.
        own_class: for lesion contexts, the lesion that lends its mask has the class of the one painted over, since the
            tissue that stays may reveal it; false takes lesions of either class.
        own_margin_px: for lesion contexts, the patch's own lesion and this many pixels around it must lie in the hole,
            except at its rim. Spicules that reach farther stay (ours).
        zoom: the lesion's mask is zoomed by a factor drawn uniformly from this range ("a small factor"; ours). In
            lesion contexts it is first scaled to the area of the patch's own lesion, and centred on its centroid.
        max_shift_share: the mask is shifted by at most this share of the patch in each direction; 0, as in the paper,
            keeps the lesion's own place.
        tries: lesion patches tried for one context before it counts as unpaired.
        pairs_per_patch: pairs made for each context, each with a different lesion patch.
        min_mask_px: smallest area of the zoomed mask, in pixels.
        hole: which pixels will be repainted: all of them must lie on breast tissue and inside the patch. The default
            suits all presets; if only the paper's fill the pairs, the rule mask gives more of them.
    """

    split: str = "train"
    contexts: Literal["normal", "lesion", "both"] = "normal"
    outline: Literal["other", "own"] = "other"
    own_class: bool = True
    own_margin_px: float = 2.0
    zoom: tuple[float, float] = (0.8, 1.2)
    max_shift_share: float = 0.0
    tries: int = 50
    pairs_per_patch: int = 1
    min_mask_px: int = 16
    hole: HoleSettings = GROWN

    def __post_init__(self) -> None:
        """Raise SettingsError unless choices are known, numbers are in range, and the outline fits the contexts."""
        check_setting(self, "split", self.split in ("train", "validation", "test"), "train, validation or test")
        check_choice(self, "contexts", "normal", "lesion", "both")
        check_choice(self, "outline", "other", "own")
        own = self.outline == "own"
        check_setting(self, "outline", not own or self.contexts == "lesion", "other, where contexts is not lesion")
        words = "1 where the outline is a patch's own (fills_per_pair of synthesize paints it several times)"
        check_setting(self, "pairs_per_patch", not own or self.pairs_per_patch == 1, words)
        check_setting(self, "own_margin_px", self.own_margin_px >= 0, "at least 0")
        check_setting(self, "zoom", 0 < self.zoom[0] <= self.zoom[1], "two factors, 0 < least <= most")
        check_setting(self, "max_shift_share", 0 <= self.max_shift_share <= 1, "in [0, 1]")
        check_setting(self, "tries", self.tries >= 1, "at least 1")
        check_setting(self, "pairs_per_patch", self.pairs_per_patch >= 1, "at least 1")
        check_setting(self, "min_mask_px", self.min_mask_px >= 1, "at least 1")
