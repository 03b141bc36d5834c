"""Checks whether masks fit their pictures: a lesion is brighter than its surroundings, most so within its own outline.

For one picture neither is conclusive; for a collection it is: where most lesions are dark, pictures are inverted, and
where most masks fit better upside down, mirrored, rotated by 180 degrees or transposed, they were stored in that way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc

from mammofill.ground.imaging import Mask, StoredImage
from mammofill.mammograms.sources.annotations import Decision

_SIDE_PX = 128
"""Length, in pixels, to which pictures are reduced: finer detail does not help to locate the lesion."""

_RIM_PX = 3
"""Width of the rims inside and outside of an outline that are compared."""

_ALIKE = 0.5
"""A mask whose overlap with its flipped or transposed copy is at least this share fits nearly as well in both ways."""

_DARK = -1.0
"""Contrast, in standard deviations of the picture, at which a lesion is far darker than its surroundings. Of 844 masses
of CBIS-DDSM in crops none is; of their inverses 65 % are."""

_FEWEST = 8
"""Fewest lesions for a decision on the whole collection: fewer may be exceptional by chance."""

_MOST = 0.6
"""If more than this share of lesions is dark, or fits better in another way, the whole collection counts as such. Of
CBIS-DDSM's masks of crops 0.04 are dark, and at most 0.10 fit better in another way; of CDD-CESM's 0.02, of mini-MIAS's
circles 0.21. Of the same masks upside down 1.00, 0.99 and 0.81 fit better as they were."""

_BY_CHANCE = 0.005
"""Largest probability of a decision by chance, for masks that fit no way better than another."""

_WAYS = MappingProxyType({
    "upside down": ("masks-flipped", "flip the files, or count the rows of places from the top"),
    "mirrored": ("masks-flipped", "mirror the files, or count the columns of places from the left of the picture"),
    "turned by half": ("masks-flipped", "turn the files, or count rows and columns of places from the top left"),
    "with rows and columns exchanged": ("masks-transposed", "transpose the files, or exchange the coordinates"),
})  # fmt: skip
"""Ways in which masks may be stored wrongly, with the rule and the correction."""


@dataclass(frozen=True)
class MaskFit:
    """How one mask fits its picture."""

    mammogram_id: str
    contrast: float | None
    """Mean brightness of the lesion less that of the rest, in standard deviations of the picture; None if no crop."""
    gains: Mapping[str, float]
    """Increase of the step at the rim if the mask is flipped or transposed, for each way that changes the mask."""
    laterality: str | None = None
    """Side of the breast, if known: where only pictures of right breasts were mirrored, their masks may not be."""


def shrink(picture: StoredImage) -> NDArray[np.float32]:
    """Reduce a picture (H, W) to the size at which fits are measured: (h, w) float32, at most `_SIDE_PX` long."""
    scale = min(1.0, _SIDE_PX / max(picture.shape))
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def fit_of(
    mammogram_id: str, small: NDArray[np.float32], mask: Mask, in_crop: bool, laterality: str | None = None
) -> MaskFit:
    """Compare what lies inside and outside of a mask.

    Args:
        mammogram_id: of the picture.
        small: (h, w), the picture after `shrink`.
        mask: (H, W) bool, of the picture's size, not empty.
        in_crop: whether the picture is a crop; the film of a whole one is darker than any lesion.
        laterality: of the breast, where it is known.
    """
    size = (small.shape[1], small.shape[0])
    marked = np.asarray(cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0, np.bool_)
    spread = float(small.std())
    if spread == 0 or marked.all() or not marked.any():
        return MaskFit(mammogram_id, None, {}, laterality)
    contrast = float(small[marked].mean() - small[~marked].mean()) / spread if in_crop else None
    step = _step_at_rim(small, marked)
    gains = {
        way: (_step_at_rim(small, other) - step) / spread
        for way, other in _other_ways(marked).items()
        if other.any() and np.count_nonzero(marked & other) < _ALIKE * np.count_nonzero(marked | other)
    }
    return MaskFit(mammogram_id, contrast, gains, laterality)


def _other_ways(mask: Mask) -> dict[str, Mask]:
    """Return a mask changed in each of `_WAYS`; a transposed mask is cut off at the picture's border."""
    transposed = np.zeros_like(mask)
    inside = mask.T[: mask.shape[0], : mask.shape[1]]
    transposed[: inside.shape[0], : inside.shape[1]] = inside
    return dict(zip(_WAYS, (mask[::-1], mask[:, ::-1], mask[::-1, ::-1], transposed), strict=True))


def _step_at_rim(picture: NDArray[np.float32], mask: Mask) -> float:
    """Return the mean brightness of the rim inside an outline less that of the rim outside."""
    wide = np.ones((2 * _RIM_PX + 1, 2 * _RIM_PX + 1), np.uint8)
    plain = mask.astype(np.uint8)
    inside, outside = mask & (cv2.erode(plain, wide) == 0), (cv2.dilate(plain, wide) > 0) & ~mask
    return float(picture[inside].mean() - picture[outside].mean()) if inside.any() and outside.any() else 0.0


def why_inverted_crop(fit: MaskFit, file: str, patient_id: str) -> Decision | None:
    """Return a decision about a crop whose lesion is far darker than its surroundings (``polarity-doubtful``)."""
    if fit.contrast is None or fit.contrast > _DARK:
        return None
    found = f"The lesion in {file} is darker than what is around it by {-fit.contrast:.1f} standard deviations."
    done = "Kept as it is: look whether bright is dense. If it is not, invert the file."
    return Decision(fit.mammogram_id, patient_id, "polarity-doubtful", found, done)


def find_misfits(fits: Sequence[MaskFit]) -> list[Decision]:
    """Return decisions about a collection whose lesions are mostly dark, or whose masks fit better in another way."""
    found = []
    dark = [fit.contrast < 0 for fit in fits if fit.contrast is not None]
    if len(dark) >= _FEWEST and np.mean(dark) > _MOST:
        message = (
            f"Of {len(dark)} lesions in crops {sum(dark)} are darker than what is around them, as if all are inverted."
        )
        done = "Kept as they are: look whether bright is dense. If it is not, invert the files."
        found.append(Decision("collection", None, "polarity-doubtful", message, done))
    return found + _turned_over(fits)


def _turned_over(fits: Sequence[MaskFit]) -> list[Decision]:
    """Return decisions about the way in which masks fit better: those of all breasts, or else of left or right ones."""
    if decision := _better_way(fits, "masks"):
        return [decision]
    by_side = (
        _better_way([fit for fit in fits if fit.laterality == side], f"masks of {side} breasts")
        for side in ("left", "right")
    )
    return [decision for decision in by_side if decision]


def _better_way(fits: Sequence[MaskFit], what: str) -> Decision | None:
    """Return a decision about the way in which most of these masks fit better than as they are; None if in no way."""
    better = {way: [fit.gains[way] > 0 for fit in fits if way in fit.gains] for way in _WAYS}
    shares = {way: np.mean(each) for way, each in better.items() if _are_most(sum(each), len(each))}
    if not shares:
        return None
    way = max(shares, key=lambda way: shares[way])
    rule, mend = _WAYS[way]
    found = f"Of {len(better[way])} {what} {sum(better[way])} fit what is seen better {way}."
    done = f"Kept as they are: lay some over their mammograms. If they were stored so, {mend}."
    return Decision("collection", None, rule, found, done)


def _are_most(better: int, count: int) -> bool:
    """Return whether more masks fit better than is plausible by chance for masks that fit equally well in both ways."""
    return count >= _FEWEST and better > _MOST * count and bool(bdtrc(better - 1, count, 0.5) <= _BY_CHANCE)
