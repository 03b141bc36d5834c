"""Is a picture a mammogram, or a crop that somebody cut around one lesion?

Many collections are handed on as crops only. In a crop the lesion may fill the picture, and whatever is dark is breast
all the same, so neither the size of a mask nor the film around the breast says what it says of a mammogram.
"""

from __future__ import annotations

from mammofill.ground.errors import ImageFileError
from mammofill.ground.imaging import Mask, StoredImage, mask_box, resample_small
from mammofill.mammograms.lesion_masks import find_lesion_mask
from mammofill.mammograms.mammogram_set import CROP_RULE
from mammofill.mammograms.mask_checks import LARGEST_SHARE_OF_BREAST, breast_is_known
from mammofill.mammograms.reading import HalvedImage, read_image, read_mask, read_size
from mammofill.mammograms.sources.annotations import Decision, MammogramEntry
from mammofill.mammograms.tissue import Tissue, TissueMap

LEAST_REACH = 0.75
"""A crop's lesion reaches across so much of it, in its longer direction. Those of CBIS-DDSM with a tenth of margin
reach across nine tenths; on a mammogram few lesions do."""
LARGEST_BLACK_SHARE = 0.25
"""More of a crop is not black, of one value: that is what was blacked out, or padded, around a breast. Of the crops of
CBIS-DDSM 0.2 % is so at most, of CDD-CESM's mammograms, padded to squares, 31 % at least, and in 65 of 249 a mask
reaches far enough for a crop."""
_BLACK = 0.05 * 65535
"""A lowest value above this, a twentieth of the range, is no black."""


def is_cut_around_its_lesion(entry: MammogramEntry) -> bool:
    """Say whether a picture is square, has no black around, and its one lesion's mask file reaches across it.

    For a look before `ingest`, which looks closer (`crop_decision`).

    Raises:
        ImageFileError: a file cannot be read.
    """
    rows, columns = read_size(entry.image[0])
    if rows != columns or len(entry.lesions) != 1 or not isinstance(entry.lesions[0].place, tuple):
        return False
    mask = read_mask(entry.lesions[0].place[0]).mask
    if not mask.any() or _reach(mask) < LEAST_REACH:
        return False
    return _black_share(read_image(entry.image[0], entry.bits, "none").pixels) <= LARGEST_BLACK_SHARE


def crop_decision(
    entry: MammogramEntry,
    pixels: StoredImage | HalvedImage,
    working: StoredImage,
    tissue: TissueMap,
    told: bool | None = None,
) -> Decision | None:
    """Say whether a picture is a crop.

    It is, unless somebody tells, if it is square and shows one lesion, whose mask reaches across `LEAST_REACH` of it,
    and at most `LARGEST_BLACK_SHARE` is black, of one value. A mask of nearly all that looks like breast is no
    lesion's, whatever the picture.

    Args:
        entry: the picture's.
        pixels: (H, W) uint16, at source resolution.
        working: the same at working resolution.
        tissue: the small map of it, as of a mammogram.
        told: whether it is one, where somebody knows.

    Returns:
        The decision to take it for a crop; None for a mammogram.
    """
    if told is None:
        found = _lesion_that_fills(entry, pixels, tissue)
        # Looked at last: few pictures come so far, and all of their pixels are read.
        found = found if found and _black_share(working) <= LARGEST_BLACK_SHARE else None
    else:
        found = "The setting crops says that the pictures are crops." if told else None
    done = "All of it is taken for breast, and its mask may fill it."
    return Decision(entry.mammogram_id, entry.patient_id, CROP_RULE, found, done) if found else None


def _lesion_that_fills(entry: MammogramEntry, pixels: StoredImage | HalvedImage, tissue: TissueMap) -> str | None:
    square = pixels.shape[0] == pixels.shape[1]
    if not square or len(entry.lesions) != 1 or not isinstance(entry.lesions[0].place, tuple):
        return None
    lesion = entry.lesions[0]
    try:
        mask = find_lesion_mask(lesion, entry.patient_id, pixels).mask
    except ImageFileError:
        return None  # what is wrong with it is told where lesions are read
    reach = _reach(mask)
    corners = mask[0, 0] or mask[0, -1] or mask[-1, 0] or mask[-1, -1]
    if reach < LEAST_REACH or corners or _covers_the_breast(mask, tissue):
        return None
    return f"The mask of {lesion.lesion_id} reaches across {reach:.0%} of its square picture."


def _reach(mask: Mask) -> float:
    """Return across how much of a square picture a mask reaches, in its longer direction."""
    return max(mask_box(mask)[2:]) / len(mask)


def _black_share(pixels: StoredImage) -> float:
    """Return the share of the pixels that have the lowest value, where that is black; else 0."""
    lowest = pixels.min()
    return float((pixels == lowest).mean()) if lowest <= _BLACK else 0.0


def _covers_the_breast(mask: Mask, tissue: TissueMap) -> bool:
    breast = tissue != Tissue.FILM
    if not breast_is_known(tissue):
        return False
    small = resample_small(mask, (tissue.shape[0], tissue.shape[1]))
    return float((small & breast).sum() / breast.sum()) > LARGEST_SHARE_OF_BREAST
