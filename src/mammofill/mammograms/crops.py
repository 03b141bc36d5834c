"""Distinguishes mammograms from crops, pictures that were cut around one lesion.

Many collections are distributed as crops only. In a crop the lesion may fill the picture, and dark areas are breast, so
that rules for mammograms about the size of a mask and the film around the breast do not apply.
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
"""Smallest share of a crop's side that its lesion spans, in the lesion's longer direction. Lesions in crops of
CBIS-DDSM, with a margin of a tenth, span nine tenths; on a mammogram few lesions do."""
LARGEST_BLACK_SHARE = 0.25
"""Largest share of a crop that is black, of one value; a larger area was blacked out, or padded, around a breast. In
crops of CBIS-DDSM at most 0.2 % is black, in CDD-CESM's mammograms, padded to squares, at least 31 %; in 65 of 249 of
the latter a mask spans enough for a crop."""
_BLACK = 0.05 * 65535
"""A lowest value above this, a twentieth of the range, does not count as black."""


def is_cut_around_its_lesion(entry: MammogramEntry) -> bool:
    """Return whether a picture is square, has no black surroundings, and the mask of its only lesion spans it.

    This is a first check before `ingest`, which checks more (`crop_decision`).

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
    stated: bool | None = None,
) -> Decision | None:
    """Decide whether a picture is a crop.

    Unless `stated` is given, a picture is a crop if it is square and has one lesion, whose mask spans `LEAST_REACH` of
    it, and at most `LARGEST_BLACK_SHARE` of it is black, of one value. A mask that covers nearly all of what looks like
    breast is not a lesion's in any picture.

    Args:
        entry: the table's entry for the picture.
        pixels: (H, W) uint16, at source resolution.
        working: the same at working resolution.
        tissue: its small map of tissue, made as for a mammogram.
        stated: whether it is a crop, where the settings state it.

    Returns:
        The decision to treat it as a crop; None for a mammogram.
    """
    if stated is None:
        found = _lesion_that_fills(entry, pixels, tissue)
        # Checked last: it reads all pixels, and few pictures need it.
        found = found if found and _black_share(working) <= LARGEST_BLACK_SHARE else None
    else:
        found = "The setting crops says that the pictures are crops." if stated else None
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
        return None  # its fault is reported where lesions are read
    reach = _reach(mask)
    corners = mask[0, 0] or mask[0, -1] or mask[-1, 0] or mask[-1, -1]
    if reach < LEAST_REACH or corners or _covers_the_breast(mask, tissue):
        return None
    return f"The mask of {lesion.lesion_id} reaches across {reach:.0%} of its square picture."


def _reach(mask: Mask) -> float:
    """Return the share of a square picture's side that a mask spans, in its longer direction."""
    return max(mask_box(mask)[2:]) / len(mask)


def _black_share(pixels: StoredImage) -> float:
    """Return the share of the pixels that have the lowest value, if that value is black; otherwise 0."""
    lowest = pixels.min()
    return float((pixels == lowest).mean()) if lowest <= _BLACK else 0.0


def _covers_the_breast(mask: Mask, tissue: TissueMap) -> bool:
    breast = tissue != Tissue.FILM
    if not breast_is_known(tissue):
        return False
    small = resample_small(mask, (tissue.shape[0], tissue.shape[1]))
    return float((small & breast).sum() / breast.sum()) > LARGEST_SHARE_OF_BREAST
