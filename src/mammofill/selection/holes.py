"""Which pixels were repainted in fills, so that real lesions beside them can be looked at in the same place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.errors import ArtifactError
from mammofill.ground.imaging import feather
from mammofill.pairing.hole import HoleSettings, hole_of
from mammofill.patches import PatchSet

_LOOKED_AT = 32
"""Fills whose holes show the width of the soft edge, which all fills of an infiller share."""
_WIDEST_EDGE = 32
"""Pixels."""


@dataclass(frozen=True)
class Holes:
    """What a painter may change for a mask: its hole, and the soft edge around it."""

    rule: HoleSettings
    edge_px: int

    def of(self, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return it for masks, (N, H, W)."""
        found = [feather(hole_of(mask, self.rule), self.edge_px) > 0 for mask in masks]
        return np.array(found, np.bool_).reshape(masks.shape)


def holes_in(synthetic: PatchSet) -> Holes:
    """Return what was changed for the masks of a set of synthetic patches.

    The table says the rule of the hole. The soft edge is that of which the pictures of the holes differ least from the
    rule's: masks of fills may be ellipses, whose holes are those of the outlines but for some pixels.

    Raises:
        ArtifactError: the set does not say the rule, or has several.
    """
    rule, some = _rule(synthetic), range(min(_LOOKED_AT, len(synthetic.table)))
    masks, holes = synthetic.masks(some), synthetic.holes(some)
    differ = []
    for edge_px in range(_WIDEST_EDGE + 1):
        differ.append(int((Holes(rule, edge_px).of(masks) ^ holes).sum()))
        if differ[-1] > min(differ):  # wider ones differ more
            break
    return Holes(rule, int(np.argmin(differ)))


def _rule(synthetic: PatchSet) -> HoleSettings:
    words = synthetic.table["hole_rule"].dropna().unique().tolist()
    try:
        (only,) = words
        return HoleSettings.from_words(str(only))
    except ValueError:
        found = ", ".join(map(repr, words)) or "nothing"
        raise ArtifactError(
            f"The table of {synthetic.folder} must say in one way what was repainted (hole_rule), but says {found}. "
            "The rings around holes are compared with those around real lesions: select the fills of one infiller, as "
            "synthesize keeps them."
        ) from None
