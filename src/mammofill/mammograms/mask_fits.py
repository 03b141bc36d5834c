"""Do masks fit what is seen? A lesion is brighter than what lies around it, and brightest within its own outline.

Of one picture neither says much; of a collection it does: where most lesions are dark, pictures are inverted, and where
most masks fit better with rows and columns exchanged, they were stored so. No other check sees either in crops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.imaging import Mask, StoredImage
from mammofill.mammograms.sources.annotations import Decision

_SIDE_PX = 128
"""Pictures are looked at in this size: finer detail says nothing about which is the lesion."""

_RIM_PX = 3
"""Width of the rims inside and outside of an outline that are compared."""

_ALIKE = 0.8
"""A mask that shares so much of its area with itself transposed fits in both ways."""

_DARK = -1.0
"""A lesion darker than what is around it by so many standard deviations of its picture. Of 844 masses of CBIS-DDSM in
crops none is; of their inverses 65 % are."""

_FEWEST = 8
"""So many lesions at least are asked about all: fewer may be odd by chance."""

_MOST = 0.6
"""Where more than this share of lesions is dark, or fits better transposed, all are. Of those of CBIS-DDSM it is 0.04
and 0.09, of the 249 masks of CDD-CESM the latter is 0.02."""


@dataclass(frozen=True)
class MaskFit:
    """How one mask fits its picture."""

    mammogram_id: str
    contrast: float | None
    """By how much the lesion is brighter than all else, in standard deviations of the picture; None if not a crop."""
    gain_transposed: float | None
    """By how much more the rims differ where the mask is transposed; None where that makes no difference."""


def fit_of(mammogram_id: str, picture: StoredImage, mask: Mask, in_crop: bool) -> MaskFit:
    """Compare what lies inside and outside of a mask.

    Args:
        mammogram_id: of the picture.
        picture: (H, W) uint16.
        mask: (H, W) bool, not empty.
        in_crop: whether the picture is a crop; the film of a whole one is darker than any lesion.
    """
    scale = min(1.0, _SIDE_PX / max(picture.shape))
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    small = np.asarray(cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)
    marked = np.asarray(cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0, np.bool_)
    spread = float(small.std())
    if spread == 0 or marked.all() or not marked.any():
        return MaskFit(mammogram_id, None, None)
    contrast = float(small[marked].mean() - small[~marked].mean()) / spread if in_crop else None
    shared = np.count_nonzero(marked & marked.T) / np.count_nonzero(marked | marked.T) if size[0] == size[1] else 1.0
    gain = (_step_at_rim(small, marked.T) - _step_at_rim(small, marked)) / spread if shared < _ALIKE else None
    return MaskFit(mammogram_id, contrast, gain)


def _step_at_rim(picture: NDArray[np.float32], mask: Mask) -> float:
    """Return by how much the rim inside an outline is brighter than the one outside of it."""
    wide = np.ones((2 * _RIM_PX + 1, 2 * _RIM_PX + 1), np.uint8)
    plain = mask.astype(np.uint8)
    inside, outside = mask & (cv2.erode(plain, wide) == 0), (cv2.dilate(plain, wide) > 0) & ~mask
    return float(picture[inside].mean() - picture[outside].mean()) if inside.any() and outside.any() else 0.0


def why_inverted_crop(fit: MaskFit, file: str, patient_id: str) -> Decision | None:
    """Return a decision about a crop whose lesion is far darker than what is around it (``polarity-doubtful``)."""
    if fit.contrast is None or fit.contrast > _DARK:
        return None
    found = f"The lesion in {file} is darker than what is around it by {-fit.contrast:.1f} standard deviations."
    done = "Kept as it is: look whether bright is dense. If it is not, invert the file."
    return Decision(fit.mammogram_id, patient_id, "polarity-doubtful", found, done)


def find_misfits(fits: Sequence[MaskFit]) -> list[Decision]:
    """Return decisions about collections most of whose lesions are dark, or whose masks fit better transposed."""
    found = []
    dark = [fit.contrast < 0 for fit in fits if fit.contrast is not None]
    if len(dark) >= _FEWEST and np.mean(dark) > _MOST:
        story = (
            f"Of {len(dark)} lesions in crops {sum(dark)} are darker than what is around them, as if all are inverted."
        )
        done = "Kept as they are: look whether bright is dense. If it is not, invert the files."
        found.append(Decision("collection", None, "polarity-doubtful", story, done))
    better = [fit.gain_transposed > 0 for fit in fits if fit.gain_transposed is not None]
    if len(better) >= _FEWEST and np.mean(better) > _MOST:
        story = (
            f"Of {len(better)} masks of square pictures {sum(better)} fit what is seen better with rows and columns "
            "exchanged."
        )
        done = "Kept as they are: look at them. If they were stored transposed, transpose the files."
        found.append(Decision("collection", None, "masks-transposed", story, done))
    return found
