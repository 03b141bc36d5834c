"""The hole: what will be repainted for a lesion's mask. The mask says where the lesion is; the hole, what may change.

Spicules and soft margins lie outside a reader's outline, so repainting only inside the outline cuts them off; and the
outline alone reveals the class. The ellipse of the mask's moments, grown, hides the outline and leaves room for
margins.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.errors import check_choice, check_setting
from mammofill.ground.imaging import Image, Mask, distance_from


@dataclass(frozen=True)
class HoleSettings:
    """Which pixels are repainted for a lesion's mask.

    Attributes:
        rule: mask, the mask itself (the paper); dilation, the mask grown on all sides; or ellipse, the grown ellipse of
            the mask's first and second moments, together with the mask grown by `plus_px`: this hides the outline,
            which reveals the class.
        share: growth as a share of the mask's equivalent radius, sqrt(area / pi). On practice mammograms spicules reach
            about 0.6 radii beyond the outline (ours). Not for the rule mask.
        plus_px: additional growth in pixels. Not for the rule mask.
        rim_px: growth stops this many pixels before the patch's border, so that some surroundings are left where
            lesions fill their patches, as in crops; the mask itself is never cut. 0 lets it reach the border. Not for
            the rule mask.
    """

    rule: Literal["mask", "dilation", "ellipse"] = "mask"
    share: float = 0.0
    plus_px: float = 0.0
    rim_px: int = 0

    def __post_init__(self) -> None:
        """Raise SettingsError unless the rule is known and its sizes are numbers that it uses, at least 0."""
        check_choice(self, "rule", "mask", "dilation", "ellipse")
        for field in ("share", "plus_px", "rim_px"):
            value = getattr(self, field)
            check_setting(self, field, math.isfinite(value) and value >= 0, "a number, at least 0")
            check_setting(self, field, self.rule != "mask" or value == 0, "0 for the rule mask, which grows nothing")

    def __str__(self) -> str:
        """Return the rule in words, as messages and tables say it."""
        if self.rule == "mask":
            return "the mask"
        grown = f"grown by {self.share:g} radii and {self.plus_px:g} px"
        what = f"the mask {grown}" if self.rule == "dilation" else f"the ellipse of the mask {grown}"
        return what + (f", but for a rim of {self.rim_px} px" if self.rim_px else "")

    @property
    def options(self) -> str:
        """The rule as `pair-patches` is given it, for messages."""
        sizes = f"--hole.share {self.share:g} --hole.plus_px {self.plus_px:g} --hole.rim_px {self.rim_px}"
        return f"--hole.rule {self.rule} {sizes}"

    @classmethod
    def from_words(cls, words: str) -> HoleSettings:
        """Read the rule from its words, as tables of synthetic patches keep them.

        Raises:
            ValueError: they are not the words of a rule.
        """
        if words == str(cls()):
            return cls()
        number = r"(\d[\d.e+-]*)"
        rim = r"(?:, but for a rim of (\d+) px)?"
        found = re.fullmatch(rf"the (ellipse of the )?mask grown by {number} radii and {number} px{rim}", words)
        if found is None:
            raise ValueError(f"{words!r} is not a rule for holes")
        return cls("ellipse" if found[1] else "dilation", float(found[2]), float(found[3]), int(found[4] or 0))


GROWN = HoleSettings("ellipse", 0.6, 2.0)
"""The hole of all methods but those that follow the paper: room for spicules and margins, and no outline."""


def hole_of(mask: Mask, settings: HoleSettings) -> Mask:
    """Return what is repainted for a mask. It contains the mask, and ends at the patch's border or rim.

    Args:
        mask: (H, W) bool, not empty.
        settings: the rule.

    Returns:
        (H, W) bool.
    """
    if settings.rule == "mask":
        return mask.copy()
    growth = settings.share * equivalent_radius(mask) + settings.plus_px
    if settings.rule == "dilation":
        grown = distance_from(mask) <= growth
    else:
        grown = (distance_from_ellipse(mask) <= growth) | (distance_from(mask) <= settings.plus_px)
    return np.asarray((grown & _inside_rim(mask.shape, settings.rim_px)) | mask, np.bool_)


def _inside_rim(shape: tuple[int, ...], rim_px: int) -> Mask:
    inside = np.zeros(shape, np.bool_)
    inside[rim_px : shape[0] - rim_px, rim_px : shape[1] - rim_px] = True
    return inside


def holes_of(masks: NDArray[np.bool_], settings: HoleSettings) -> NDArray[np.bool_]:
    """Return the holes of masks (N, H, W)."""
    return np.array([hole_of(mask, settings) for mask in masks], np.bool_).reshape(masks.shape)


def widest(holes: Iterable[HoleSettings]) -> HoleSettings:
    """Return the rule whose holes nearly contain those of the others: the one that grows most, the mask last of all."""
    return max(holes, key=lambda one: (one.rule != "mask", one.share, one.plus_px, -one.rim_px, one.rule == "ellipse"))


def equivalent_radius(mask: Mask) -> float:
    """Return the radius, in pixels, of the disc that has the mask's area."""
    return math.sqrt(int(mask.sum()) / math.pi)


def distance_from_ellipse(mask: Mask) -> Image:
    """Measure how far each pixel lies outside the ellipse of a mask's moments.

    The border of a uniform ellipse is where the Mahalanobis distance from its centre is 2, since its variance along an
    axis is a quarter of the squared half-axis. Distances are Mahalanobis distances brought to pixels by the equivalent
    radius: right on average over directions, larger along the long axis.

    Args:
        mask: (H, W) bool, not empty.

    Returns:
        (H, W) float32, pixels; below 0 inside.
    """
    rows, columns = np.nonzero(mask)
    places = np.stack([rows, columns]).astype(np.float64)
    centre = places.mean(axis=1)
    spread = np.cov(places, bias=True) + np.eye(2) / 12  # each pixel is a square, whose variance is 1/12 along a side
    offsets = np.moveaxis(np.indices(mask.shape), 0, -1) - centre
    mahalanobis = np.sqrt(np.einsum("hwi,ij,hwj->hw", offsets, np.linalg.inv(spread), offsets))
    return np.asarray((mahalanobis / 2 - 1) * equivalent_radius(mask), np.float32)
