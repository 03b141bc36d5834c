"""From stored values to display values.

docs/sources.md lists each attribute, the rule, and its source in the standard.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.multival import MultiValue

from mammofill.dicom.elements import (
    Notes,
    first_item,
    is_signed,
    number_or,
    optional,
    spacing_of,
)
from mammofill.ground.errors import ImageFileError
from mammofill.ground.foreign_files import bits_in_use, sampled
from mammofill.ground.imaging import FULL_RANGE, StoredImage

SYNTHETIC_RULE = "image-synthetic"
"""Rule of the remark about a file marked as synthetic. Source: DICOM PS3.3 C.12.1 (SOP Common)."""

_SQUARE = 0.01
"""Sides of a pixel that differ by no more than this share count as equal."""

Window = Literal["none", "first"]


def without_unused_bits(stored: NDArray[np.integer[Any]], dataset: Dataset, notes: Notes) -> NDArray[np.integer[Any]]:
    """Check that values fit BitsStored; extend the sign of signed values whose upper bits do not.

    Bits above those stored are 0, or repeat the sign (DICOM PS3.5 section 8.1.1). Older files have overlays there
    (PS3.3-2004 C.9.2), declared in the header: these are cleared.

    Raises:
        ImageFileError: other bits are set there, so that BitsStored and the range of the values are wrong.
    """
    bits, allocated = int(dataset.BitsStored), stored.dtype.itemsize * 8
    signed = is_signed(dataset)
    sign = 1 << (bits - 1)
    low, high = (-sign, sign - 1) if signed else (0, (1 << bits) - 1)
    if bits >= allocated or (low <= int(stored.min()) and int(stored.max()) <= high):
        return stored
    raw = stored.view(f"u{stored.dtype.itemsize}")
    unused, ones = raw >> bits, (1 << (allocated - bits)) - 1
    wrong = unused != 0
    if signed:
        wrong &= ~((unused == ones) & (raw & sign > 0))
    if wrong.any():
        groups = range(0x6000, 0x601F, 2)  # of an overlay in the pixels, the bit position, (60xx,0102), is above 0
        overlaid = any(int(dataset[group, 0x0102].value or 0) for group in groups if (group, 0x0102) in dataset)
        if not overlaid:
            raise ImageFileError(
                f"{notes.path} says {bits} bits, but holds values that need {int(raw.max()).bit_length()}. Its header "
                "is wrong (BitsStored, (0028,0101)), and so is the range of its values."
            )
        notes.add("overlay-removed", "an overlay lies in the upper bits of the pixels.", "Cleared.")
    cleared = raw & ((1 << bits) - 1)
    if not signed:
        return cleared
    return np.asarray((cleared.astype(np.int32) ^ sign) - sign, stored.dtype)


def look_up(stored: NDArray[np.integer[Any]], low: int, shown: NDArray[np.uint16]) -> StoredImage:
    """Convert stored values to display values, over 0..65535.

    All steps act on single values, so they are done once for each value that the bits can hold, in float64, and the
    pixels are looked up. Where nothing changes (16 bits without any transformation, as in scanned film) the stored
    values are returned.
    """
    if stored.dtype == np.uint16 and np.array_equal(shown, np.arange(low, low + len(shown))):
        return np.asarray(stored, np.uint16)
    if stored.dtype == np.uint8 and len(shown) == 256:
        return np.asarray(cv2.LUT(np.asarray(stored), shown))  # as below, in a tenth of the time
    places = stored if low == 0 else stored.astype(np.int32) - low
    return np.asarray(shown[places])


def what_values_show(
    stored: NDArray[np.integer[Any]], dataset: Dataset, window: Window, notes: Notes
) -> tuple[int, NDArray[np.uint16]]:
    """Return the lowest value that the bits can hold, and the display value of each value from that one on."""
    bits = int(dataset.BitsStored)
    signed = is_signed(dataset)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    fills_its_type = bits == 8 * stored.dtype.itemsize and signed == (stored.dtype.kind == "i")
    if not fills_its_type and (int(stored.min()) < low or int(stored.max()) > high):
        raise ImageFileError(
            f"{notes.path} says {bits} {'signed' if signed else 'unsigned'} bits, so values from {low} to {high}, but "
            f"holds {stored.min()} to {stored.max()}. Its header is wrong."
        )
    used = slice(int(stored.min()) - low, int(stored.max()) - low + 1)
    unit = _to_unit(np.arange(low, high + 1), used, dataset, window, notes)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        unit = 1.0 - unit
    _darken_padding(unit, stored, low, dataset, notes)
    return low, np.rint(unit * FULL_RANGE).astype(np.uint16)


def _to_unit(
    possible: NDArray[np.int64], used: slice, dataset: Dataset, window: Window, notes: Notes
) -> NDArray[np.float64]:
    """Scale all values that can be stored, in ascending order, to [0, 1] over the range that they can reach.

    Those that the image holds lie in `used`: a transformation that makes them all equal would lose the image. A window
    or VOI LUT that does so is not applied.

    Raises:
        ImageFileError: the modality transformation makes all of them equal, or a look-up table cannot be read.
    """
    with np.errstate(all="ignore"):  # such as a slope of 1e308: the result is checked below
        values, low, high = _modality(possible, dataset, notes)
    if not 0 < high - low < np.inf or _loses(values, used):
        raise ImageFileError(
            f"{notes.path}: its modality LUT or rescale (slope {dataset.get('RescaleSlope', 1)}, intercept "
            f"{dataset.get('RescaleIntercept', 0)}) makes all pixels the same. Its header is wrong."
        )
    unit = (values - low) / (high - low)
    shown = unit
    if window == "first":
        lut = first_item(dataset, "VOILUTSequence", notes)
        if lut is not None:
            entries, first, bits = _look_up_table(lut, dataset, notes.path, "VOI LUT", int(np.floor(values.min())))
            places = np.clip(np.rint(values).astype(np.int64) - first, 0, len(entries) - 1)
            shown = entries[places] / (2**bits - 1)
        elif (windowed := _windowed(values, dataset, notes)) is not None:
            shown = windowed
        if _loses(np.clip(shown, 0.0, 1.0), used):
            found = "its VOI LUT or window makes all its pixels the same."
            notes.add("window-unusable", found, "It was not applied: the whole range is kept.")
            shown = unit
        notes.windowed = shown is not unit
    return np.clip(shown, 0.0, 1.0)


def modality_range(dataset: Dataset, low: int, notes: Notes) -> tuple[float, float]:
    """Return the lowest and the highest value that the modality transformation can give, of stored ones from `low`."""
    _, least, most = _modality(np.arange(low, low + 2 ** int(dataset.BitsStored)), dataset, notes)
    return least, most


def _loses(values: NDArray[np.float64], used: slice) -> bool:
    """Return whether different values have become equal."""
    part = values[used]
    return len(part) > 1 and not np.ptp(part) > 0


def _modality(possible: NDArray[np.int64], dataset: Dataset, notes: Notes) -> tuple[NDArray[np.float64], float, float]:
    """Apply the modality LUT, or slope and intercept; return the values and the range that they can reach."""
    lut = first_item(dataset, "ModalityLUTSequence", notes)
    if lut is not None:
        entries, first, bits = _look_up_table(lut, dataset, notes.path, "modality LUT", int(possible[0]))
        places = np.clip(possible - first, 0, len(entries) - 1)
        _note_rescale_beside_lut(dataset, notes)
        return entries[places].astype(np.float64), 0.0, float(2**bits - 1)
    slope = number_or(dataset, "RescaleSlope", notes, 1.0)
    intercept = number_or(dataset, "RescaleIntercept", notes, 0.0)
    if slope == 0:
        raise ImageFileError(f"{notes.path} has RescaleSlope 0, which makes all pixels the same. Its header is wrong.")
    values = np.asarray(possible * slope + intercept, np.float64)
    return values, float(min(values[0], values[-1])), float(max(values[0], values[-1]))


def _note_rescale_beside_lut(dataset: Dataset, notes: Notes) -> None:
    """Add a remark on a rescale beside a modality LUT, if it changes values: a file has only one of the two."""
    slope = number_or(dataset, "RescaleSlope", notes, 1.0)
    intercept = number_or(dataset, "RescaleIntercept", notes, 0.0)
    if (slope, intercept) != (1, 0):
        found = f"it has a modality LUT and a rescale (slope {slope:g}, intercept {intercept:g}): one of them is wrong."
        notes.add("rescale-ignored", found, "The LUT was applied alone: look whether bright is dense.")


def _look_up_table(
    item: Dataset, dataset: Dataset, path: Path, what: str, lowest: int
) -> tuple[NDArray[np.int64], int, int]:
    """Return the entries of a look-up table, the input value of the first entry, and the bits of an entry.

    Source: DICOM PS3.3 C.11.1.1 and C.11.2.1.1. A table of 8 bits is packed, two entries in a word; many writers use a
    word for each entry, which shows in the length of the data. The first input value is signed if inputs can be below 0
    (`lowest`), as with signed pixels, or unsigned ones with a negative intercept.
    """
    try:
        count, first, bits = (int(number) for number in item.LUTDescriptor)
        count = count % 2**16 or 2**16
        first = (first + 2**15) % 2**16 - 2**15 if lowest < 0 else first % 2**16
        entries = _entries(item.LUTData, count, bits, bool(dataset.file_meta.TransferSyntaxUID.is_little_endian))
    except (AttributeError, TypeError, ValueError) as error:
        raise ImageFileError(f"{path}: its {what} cannot be read ({error}). The header is damaged.") from error
    if not 1 <= bits <= 16 or int(entries.max()) >= 2**bits:
        raise ImageFileError(f"{path}: its {what} says {bits} bits, but holds values up to {entries.max()}.")
    return entries, first, bits


def _entries(data: Any, count: int, bits: int, little_endian: bool) -> NDArray[np.int64]:
    if isinstance(data, bytes):
        if len(data) >= 2 * count:
            return np.frombuffer(data, "<u2" if little_endian else ">u2", count).astype(np.int64)
        if bits <= 8 and len(data) >= count:
            words = np.frombuffer(data[: len(data) // 2 * 2], "<u2" if little_endian else ">u2")
            return np.append(_unpacked(words), data[-1] if len(data) % 2 else [])[:count].astype(np.int64)
        raise ValueError(f"{count} entries of {bits} bits, but {len(data)} bytes")
    words = np.atleast_1d(np.array(data if isinstance(data, MultiValue | list | tuple) else [data], np.int64)) % 2**16
    if len(words) >= count:
        return words[:count]
    if bits <= 8 and 2 * len(words) >= count:
        return _unpacked(words)[:count]
    raise ValueError(f"{count} entries of {bits} bits, but {len(words)} words")


def _unpacked(words: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return the two bytes of each word, the lower first."""
    return np.stack([words & 0xFF, words >> 8], axis=1).ravel().astype(np.int64)


def _windowed(values: NDArray[np.float64], dataset: Dataset, notes: Notes) -> NDArray[np.float64] | None:
    """Apply the first window; None where there is no valid one. Source: DICOM PS3.3 C.11.2.1.2, C.11.2.1.3."""
    if "WindowWidth" not in dataset and "WindowCenter" not in dataset:
        return None
    centre = number_or(dataset, "WindowCenter", notes, np.nan)
    width = number_or(dataset, "WindowWidth", notes, np.nan)
    kind = str(optional(dataset, "VOILUTFunction", notes) or "LINEAR").upper()
    least = 1.0 if kind == "LINEAR" else 0.0
    if not np.isfinite(centre) or not (width >= least and width > 0) or not np.isfinite(width):
        found = f"its window (centre {centre:g}, width {width:g}) makes no sense."
        notes.add("window-unusable", found, "No window was applied: the whole range is kept.")
        return None
    if kind not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        found = f"its window has the function {kind}, which the standard does not know."
        notes.add("window-unusable", found, "No window was applied: the whole range is kept.")
        return None
    if kind == "SIGMOID":
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700, 700))))
    if kind == "LINEAR_EXACT":
        return np.asarray((values - centre) / width + 0.5)
    if width == 1:
        return np.asarray(values > centre - 0.5, np.float64)
    return np.asarray((values - (centre - 0.5)) / (width - 1) + 0.5)


def _darken_padding(
    unit: NDArray[np.float64], stored: NDArray[np.integer[Any]], low: int, dataset: Dataset, notes: Notes
) -> None:
    """Make padding, which fills the area that was not imaged, black. Source: DICOM PS3.3 C.7.5.1.1.2.

    Args:
        unit: the display value, in [0, 1], of each possible value, from the lowest on; changed in place.
        stored: the pixels.
        low: lowest possible value.
        dataset: of the file.
        notes: receives the remarks.
    """
    padding = _padding_range(dataset, low, len(unit), notes)
    if padding is None:
        return
    first, last = padding
    if not (unit[first - low : last - low + 1] > 0).any():
        return
    padded = np.asarray((stored >= first) & (stored <= last))
    share = float(padded.mean())
    if share == 0:
        return
    values = f"{first}" if first == last else f"{first} to {last}"
    if share == 1:
        notes.add("padding-ignored", f"its padding ({values}) is every pixel.", "Taken for no padding.")
        return
    unit[first - low : last - low + 1] = 0.0
    found = f"{share:.1%} of its pixels are padding ({values}), and would be bright."
    notes.add("padding-darkened", found, "Made dark.")


def has_padding(stored: NDArray[np.integer[Any]], dataset: Dataset, low: int, notes: Notes) -> bool:
    """Return whether any pixel has a value of padding; `low` is the lowest that can be stored."""
    padding = _padding_range(dataset, low, 2 ** int(dataset.BitsStored), notes)
    return padding is not None and bool(((stored >= padding[0]) & (stored <= padding[1])).any())


def _padding_range(dataset: Dataset, low: int, count: int, notes: Notes) -> tuple[int, int] | None:
    """Return the lowest and the highest value of padding; None if there is none."""
    value = _padding(dataset, "PixelPaddingValue", low, count, notes)
    if value is None:
        if "PixelPaddingValue" not in dataset and "PixelPaddingRangeLimit" in dataset:
            found = "it has a PixelPaddingRangeLimit without a PixelPaddingValue."
            notes.add("header-unreadable", found, "No pixel is taken for padding.")
        return None
    limit = _padding(dataset, "PixelPaddingRangeLimit", low, count, notes)
    return (value, value) if limit is None else (min(value, limit), max(value, limit))


def _padding(dataset: Dataset, name: str, low: int, count: int, notes: Notes) -> int | None:
    """Return a value of padding in the range of the pixels; None if there is none, or it is outside that range."""
    value = optional(dataset, name, notes)
    if isinstance(value, bytes):
        value = int.from_bytes(value[:2], "little")
    if value is None or value == "":
        return None
    if not isinstance(value, int | float):
        found = f"{name} is {value!r}, which is not one number."
        notes.add("header-unreadable", found, "Taken for unknown: what it names may be bright.")
        return None
    number = int(value)
    if low < 0 and number > low + count - 1:
        number -= 2 ** int(dataset.BitsAllocated)  # written as unsigned, though pixels are signed
    elif low == 0 and number < 0:
        number += 2 ** int(dataset.BitsAllocated)
    return number if low <= number < low + count else None


def count_bits_in_use(
    stored: NDArray[np.integer[Any]], low: int, shown: NDArray[np.uint16], dataset: Dataset, notes: Notes
) -> tuple[int, int]:
    """Return the bits that the values use, and those that they fill.

    The bits used are the fewer of those of the stored values and those of the display values, since a look-up table may
    reduce them.
    """
    some = sampled(stored)
    if padding := _padding_range(dataset, low, len(shown), notes):
        imaged = (some < padding[0]) | (some > padding[1])
        some = some[imaged] if imaged.any() else some
    signed = is_signed(dataset)
    used, filled = bits_in_use(np.maximum(some, -1 - some) if signed else some)
    levels = shown[some - low].astype(np.int64)
    levels = FULL_RANGE - levels if dataset.PhotometricInterpretation == "MONOCHROME1" else levels
    used_as_shown, _ = bits_in_use(levels >> (16 - int(dataset.BitsStored)))
    return min(used + signed, used_as_shown), filled


def note_unused_sign(stored: NDArray[np.integer[Any]], dataset: Dataset, notes: Notes) -> None:
    """Add a remark where values are declared signed but none is below 0."""
    if is_signed(dataset) and int(stored.min()) >= 0:
        found = "it says that its values are signed, but none is below 0: half of their range is unused."
        done = "Kept. If they are meant as unsigned, set PixelRepresentation, (0028,0103), to 0."
        notes.add("sign-unused", found, done)


def note_doubts(dataset: Dataset, notes: Notes) -> None:
    """Add remarks on synthetic images, on doubts about which values are bright, and on pixels that are not square."""
    if str(optional(dataset, "SyntheticData", notes) or "").strip().upper() == "YES":
        notes.add(SYNTHETIC_RULE, "it says that it is synthetic (SyntheticData, (0008,001C)).", "Read as any other.")
    photometric = str(dataset.PhotometricInterpretation)
    inverted = photometric == "MONOCHROME1"
    shape = str(optional(dataset, "PresentationLUTShape", notes) or "").upper()
    if shape in ("IDENTITY", "INVERSE") and (shape == "INVERSE") != inverted:
        found = f"it is {photometric}, but its PresentationLUTShape is {shape}."
        notes.add("polarity-doubtful", found, f"Read as {photometric}: look whether bright is dense.")
    if not notes.windowed and _has_falling_voi_lut(dataset, notes):
        found = f"it is {photometric}, but its VOI LUT, which is not applied, shows low values bright."
        notes.add("polarity-doubtful", found, f"Read as {photometric}: look whether bright is dense.")
    sign = optional(dataset, "PixelIntensityRelationshipSign", notes)
    # -1: more X-rays, lower values, so that high values are dense. Source: DICOM PS3.3 C.8.11.3.1.2.
    if sign in (1, -1) and (sign == 1) != inverted:
        found = f"it is {photometric}, but by its PixelIntensityRelationshipSign ({sign}) that shows dense tissue dark."
        notes.add("polarity-doubtful", found, f"Read as {photometric}: look whether bright is dense.")
    spacing = spacing_of(dataset, "PixelSpacing", notes) or spacing_of(dataset, "ImagerPixelSpacing", notes)
    if spacing and abs(spacing[0] / spacing[1] - 1) > _SQUARE:
        notes.add("pixels-not-square", f"its pixels are {spacing[0]:g} by {spacing[1]:g} mm.", "Kept as they are.")
    sides = spacing_of(dataset, "PixelAspectRatio", notes)
    if sides and abs(sides[0] / sides[1] - 1) > _SQUARE:
        found = f"its PixelAspectRatio is {sides[0]:g} to {sides[1]:g}."
        notes.add("pixels-not-square", found, "Kept as they are.")


def _has_falling_voi_lut(dataset: Dataset, notes: Notes) -> bool:
    lut = first_item(dataset, "VOILUTSequence", notes)
    if lut is None:
        return False
    with suppress(ImageFileError):  # a damaged one is no fault, since it is not applied
        entries, _, _ = _look_up_table(lut, dataset, notes.path, "VOI LUT", 0)
        return bool(entries[-1] < entries[0])
    return False
