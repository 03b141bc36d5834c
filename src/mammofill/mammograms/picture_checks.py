"""Can a picture be that of a mammogram?

One of a single value, or of a few rows, shows nothing; one whose size, or whose bytes, are written the wrong way round
is garbled; one of two values is a mask; a mostly white one may be inverted.
"""

from __future__ import annotations

import numpy as np

from mammofill.ground.imaging import FULL_RANGE, StoredImage
from mammofill.mammograms.sources.annotations import Decision, Exclusion, MammogramEntry

_END = 0.1
"""What counts as nearly black or nearly white: a tenth of the range that the picture uses."""

_MOST_WHITE, _LEAST_BLACK = 0.3, 0.1
"""A picture with a larger share of nearly white and a smaller one of nearly black may be inverted: film is black. Of
491 mammograms of mini-MIAS and CDD-CESM none has more white than 0.20 or less black than 0.20; of their inverses 480
are reported. Crops show no film and are not looked at."""

_STEP_PX = 256
"""So many rows are looked at, or a few more."""

_FEWEST_PX = 8
"""In fewer rows or columns nothing can be seen; no patch is as small."""

_CALMER = 2.0
"""A picture in which neighbours of a column differ so many times less, if its rows and columns are exchanged, was
written the other way round. Of 1,337 mammograms and crops of mini-MIAS, CDD-CESM and CBIS-DDSM the right way round is
calmer than the other by 2.7 times and more."""

_SMOOTHER = 2.5
"""A picture whose neighbours differ so many times less, for how much all of its values do, with the bytes of each value
exchanged was written so. As read, real pictures of 10 to 16 bits are never smoother by more than 1.0 times, those of
8 bits in the upper or lower byte; with their bytes exchanged, real mammograms of full size are by 48 times."""

_OF_TWO_VALUES, _MOST_GRAY = 0.9, 0.02
"""A picture of which two values make up this share, and grays well between the extremes no more than that, is a mask,
also one that was resampled and went through JPEG, as 249 of CDD-CESM did: all are reported. Of 1,335 mammograms and
crops of mini-MIAS, CDD-CESM and CBIS-DDSM none is, and none has fewer grays than 7 %."""

_LEVELS_OF_JPEG = 256
"""A JPEG has no more values; a breast that is dark beside a bright label has more."""


def why_blank(picture: StoredImage, file: str, entry: MammogramEntry) -> Exclusion | None:
    """Return why a picture is left out that shows nothing (``picture-blank``); None where it shows something.

    Args:
        picture: (H, W) uint16, at any resolution.
        file: that it was read from.
        entry: the mammogram.
    """
    if picture.min() != picture.max():
        return None
    found = f"{file} has one value in all of its pixels: there is nothing to be seen."
    return Exclusion(entry.mammogram_id, entry.patient_id, "picture-blank", found)


def why_no_picture(picture: StoredImage, file: str, entry: MammogramEntry) -> Exclusion | None:
    """Return why a file is left out that holds no picture of a breast, or garbled it; None where it may hold one.

    The rules are ``picture-tiny`` and ``rows-for-columns``, see `why_of_no_shape`; ``bytes-exchanged``, where the two
    bytes of each value were written in the wrong order; and ``picture-is-mask``.

    Args:
        picture: (H, W) uint16, at the resolution of the file.
        file: that it was read from.
        entry: the mammogram.
    """
    if shapeless := why_of_no_shape(picture, file, entry):
        return shapeless
    some = picture[:: max(1, picture.shape[0] // _STEP_PX)]
    if _roughness(some) > _SMOOTHER * _roughness(some.byteswap()):
        found = (
            f"{file} is noise as it stands, and a picture with the two bytes of each value exchanged: its byte "
            "order is wrong. Write it again: PGM and PNG have the high byte first."
        )
        return Exclusion(entry.mammogram_id, entry.patient_id, "bytes-exchanged", found)
    if _is_black_and_white(some[:, :: max(1, picture.shape[1] // _STEP_PX)]) and _is_black_and_white(picture):
        found = f"{file} is black and white, with no grays between, as a mask is: it is no mammogram."
        return Exclusion(entry.mammogram_id, entry.patient_id, "picture-is-mask", found)
    return None


def _roughness(picture: StoredImage) -> float:
    """Return by how much neighbours of a row differ, for how much all values do; 0 where they do not."""
    spread = float(picture.std())
    return _unrest(picture.T) / spread if spread else 0.0


def _is_black_and_white(picture: StoredImage) -> bool:
    """Say whether a picture has two values, one of them black, but for what resampling and JPEG make of their edges."""
    counts = np.bincount(picture.ravel())
    levels = np.flatnonzero(counts)
    if not 2 <= len(levels) <= _LEVELS_OF_JPEG or levels[0] > _END * FULL_RANGE:
        return False
    eighth = (levels[-1] - levels[0]) // 8
    gray = int(counts[levels[0] + eighth + 1 : levels[-1] - eighth].sum())
    return int(np.sort(counts)[-2:].sum()) >= _OF_TWO_VALUES * picture.size and gray <= _MOST_GRAY * picture.size


def why_of_no_shape(picture: StoredImage, file: str, entry: MammogramEntry) -> Exclusion | None:
    """Return why a picture is left out that has hardly a row (``picture-tiny``) or rows for columns; None otherwise.

    Where a file says rows for columns (``rows-for-columns``), its pixels lie one behind the other as they should, but
    each row begins elsewhere, and what is neighbours in the breast is not in the picture.

    Args:
        picture: (H, W) uint16, at the resolution of the file.
        file: that it was read from.
        entry: the mammogram.
    """
    rows, columns = picture.shape
    if min(rows, columns) < _FEWEST_PX:
        found = f"{file} has {rows}x{columns} pixels: in fewer than {_FEWEST_PX} rows or columns nothing can be seen."
        return Exclusion(entry.mammogram_id, entry.patient_id, "picture-tiny", found)
    if rows == columns or _unrest(picture) <= _CALMER * _unrest(picture.reshape(columns, rows)):
        return None
    found = (
        f"{file} says {rows}x{columns} pixels, but its rows fit each other only if it has {columns}x{rows}: rows and "
        "columns are exchanged in its header."
    )
    return Exclusion(entry.mammogram_id, entry.patient_id, "rows-for-columns", found)


def _unrest(picture: StoredImage) -> float:
    """Return by how much pixels differ on average from those below them."""
    step = max(1, picture.shape[0] // _STEP_PX)
    upper, lower = picture[:-1:step].astype(np.float32), picture[1::step].astype(np.float32)
    return float(np.abs(lower - upper).mean())


def why_resized(shape: tuple[int, ...], file: str, entry: MammogramEntry) -> Decision | None:
    """Return a decision about a mammogram with lesions that has no size of its collection (``size-unusual``).

    Args:
        shape: (rows, columns) of the file.
        file: its name.
        entry: the mammogram.
    """
    if not entry.lesions or not entry.usual_shapes or shape in entry.usual_shapes:
        return None
    usual = " or ".join(f"{rows}x{columns}" for rows, columns in entry.usual_shapes)
    found = f"{file} has {shape[0]}x{shape[1]} pixels, but the collection's have {usual}."
    done = "Kept: if it is a resized, cropped or padded copy, its outlines lie at the wrong place. Take the original."
    return Decision(entry.mammogram_id, entry.patient_id, "size-unusual", found, done)


def why_inverted(picture: StoredImage, file: str, entry: MammogramEntry) -> Decision | None:
    """Return a decision about a whole mammogram that may have black for white (``polarity-doubtful``).

    Args:
        picture: (H, W) uint16, at any resolution; no crop.
        file: that it was read from.
        entry: the mammogram.
    """
    step = max(1, picture.shape[0] // _STEP_PX)
    some = picture[::step, ::step].astype(np.float32)
    low, high = float(some.min()), float(some.max())
    white = float(np.mean(some > high - _END * (high - low)))
    black = float(np.mean(some < low + _END * (high - low)))
    if white <= _MOST_WHITE or black >= _LEAST_BLACK:
        return None
    found = f"{file} is nearly white in {white:.0%} of its pixels and nearly black in {black:.0%}, as if inverted."
    done = "Kept as it is: look whether bright is dense. If it is not, invert the file."
    return Decision(entry.mammogram_id, entry.patient_id, "polarity-doubtful", found, done)
