"""Image files of whatever kind to pixels and masks, told apart by content and not by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill import dicom, pictures
from mammofill.ground.counting import counted
from mammofill.ground.errors import ImageFileError
from mammofill.ground.foreign_files import ReadImage, Remark, open_regular
from mammofill.ground.imaging import Mask, StoredImage

_MOST_BETWEEN = 0.1
"""Largest share of a mask's values that may lie between an eighth and seven eighths of the greatest. Blurred edges of a
mask make up a few per cent; of the picture of a lesion it is nearly all, of a whole mammogram about a third."""

_SOFT_PX, _SOFT_PX_OF_JPEG = 3, 8
"""How far from where it is cut a mask's soft edge reaches at most, on both sides; of a JPEG a block of 8
pixels is blurred as one."""

_FAINT_PX = 24
"""So far from an edge faint values may be what is left of it: soft edges fade, and a JPEG that was saved as another
format keeps its noise in blocks of up to 16 pixels."""

_SPECKS = 0.05
"""Faint specks apart from the lesion that JPEG and resizing leave, as a share of the lesion. In 36 of the 249 masks of
the 8-bit copy of CDD-CESM there are some, of at most 0.2 %."""

_LEAST_LABEL, _LEAST_LABEL_AT_EDGE = 0.02, 0.1
"""Areas of a faint value of less than this share of the lesion are no labels, away from its edges and at them. Of the
249 masks of CDD-CESM, in JPEG, as PNG, and enlarged, noise at edges makes up areas of 0.02 at most. Ours."""


@dataclass(frozen=True)
class ReadMask:
    """A mask as it was read."""

    mask: Mask
    remarks: tuple[Remark, ...] = ()


def read_image(path: Path, bits: int | None, window: dicom.Window, half_if_rows: int | None = None) -> ReadImage:
    """Read a mammogram from DICOM, PNG, TIFF, PGM or JPEG.

    Args:
        path: the file.
        bits: bits that the values use, where the file's own number is not meant; of DICOM, which says it itself, only
            compared.
        window: see `mammofill.dicom.read`.
        half_if_rows: likewise.

    Returns:
        (H, W) uint16, the file's values stretched over 0..65535 without losing a level, and what was remarkable.

    Raises:
        ImageFileError: the file is missing, truncated, of an unknown kind, in colour, or has several frames; or its
            values need more than `bits`.
    """
    if not _is_dicom(path):
        return pictures.read(path, bits)
    read = dicom.read(path, window, half_if_rows)
    if bits in (None, read.bits):
        return read
    found = f"{path} has {read.bits} bits by its header (BitsStored, (0028,0101)), where the table says {bits}."
    contradicted = Remark("bits-contradict-header", found, "The header counts. If the table is right, correct it.")
    return replace(read, remarks=(*read.remarks, contradicted))


@dataclass(frozen=True)
class SeenFile:
    """An image file of which nothing but the header was read."""

    path: Path
    size: tuple[int, int]
    """(rows, columns)."""
    description: str
    """SeriesDescription in lower case; "" where the header leaves it out, and for other files than DICOM."""
    _parsed: dicom.ParsedFile | None
    """What was read of DICOM, so that it need not be read again."""


def see(path: Path) -> SeenFile:
    """Read the header of an image file.

    Raises:
        ImageFileError: the file is missing, or its header cannot be read.
    """
    if not _is_dicom(path):
        return SeenFile(path, pictures.read_size(path), "", None)
    parsed = dicom.parse(path)
    header = parsed.header
    return SeenFile(path, (header.rows, header.columns), (header.series_description or "").lower(), parsed)


def read_size(path: Path) -> tuple[int, int]:
    """Return the (rows, columns) of an image file; raises what `see` does."""
    return see(path).size


def read_mask(path: Path) -> ReadMask:
    """Read a mask: the brighter of two values is lesion, and zero never is.

    A mask that was resampled or went through JPEG has soft edges: its values are cut at half of the greatest, and that
    is a remark. It counts as a mask only if nearly all values are near to the least or the greatest, and all others lie
    beside the lesion, as edges do; in a picture of tissue, and in one with a gray value for each of several lesions,
    they do not. Values near to the least may lie anywhere, but not as an area of one value, which is a lesion's label,
    even where it touches another.

    Raises:
        ImageFileError: as `read_image`; or the file holds a picture and not a mask.
    """
    return read_seen_mask(see(path))


def read_seen_mask(file: SeenFile) -> ReadMask:
    """Read a mask as `read_mask` does, of a file whose header was read already."""
    if file._parsed is not None:
        ordered, remarks = dicom.read_values(file._parsed)
        return _as_mask(file.path, ordered, remarks, is_jpeg=False)
    values, _, remarks = pictures.read_values(file.path, as_mask=True)
    return _as_mask(file.path, values, remarks, is_jpeg=pictures.kind_of(file.path) == "JPEG")


def _as_mask(path: Path, values: NDArray[np.integer[Any]], remarks: tuple[Remark, ...], is_jpeg: bool) -> ReadMask:
    # Counted, not sorted, and in few passes: the mask of a whole mammogram has 17 million pixels.
    highest = int(values.max())
    if values.dtype.kind == "i" and int(values.min()) < 0:
        raise ImageFileError(
            f"{path} holds values down to {values.min()}; those of a mask start at 0, and the greatest is the lesion. "
            "Save it as an unsigned picture."
        )
    if highest <= 0:
        return ReadMask(np.zeros(values.shape, np.bool_), remarks)
    mask = np.asarray(values == highest, np.bool_)
    marked = int(np.count_nonzero(mask))
    if marked == np.count_nonzero(values):  # as all are that were written as masks: the others are 0
        return ReadMask(mask, remarks)
    lowest = int(values.min())
    extreme = marked + int(np.count_nonzero(values == lowest))
    if lowest == highest or extreme == values.size:
        return ReadMask(mask, remarks)
    if why := _why_no_soft_mask(values, extreme, is_jpeg) or _why_several_labels(values, is_jpeg):
        raise ImageFileError(
            f"{path} is not a mask: a mask has two values, this image has {len(np.unique(values))}, and {why}. "
            "It may be the cropped picture of the lesion; check which file is which."
        )
    soft = Remark("mask-soft", f"{path} has soft edges.", "Cut at half of its greatest value.")
    return ReadMask(np.asarray(values > highest / 2, np.bool_), (*remarks, soft))


def _why_no_soft_mask(values: NDArray[np.integer[Any]], extreme: int, is_jpeg: bool) -> str:
    """Say why values that are more than two are no mask with soft edges; "" if they are one."""
    highest = int(values.max())
    between = np.asarray((values > highest // 8) & (values < highest - highest // 8), np.bool_)
    share = float(between.mean())
    if share > _MOST_BETWEEN:
        return f"{share:.0%} of its values lie well between the extremes"
    if not is_jpeg and extreme < (1 - _MOST_BETWEEN) * values.size:
        return f"{1 - extreme / values.size:.0%} of its values are neither the least nor the greatest"
    core = np.asarray(values >= highest - highest // 8, np.uint8)
    apart = int(np.count_nonzero(between & ~_edge(values, core, _SOFT_PX_OF_JPEG if is_jpeg else _SOFT_PX)))
    if is_jpeg and apart <= _SPECKS * np.count_nonzero(core):
        return ""
    return f"{counted(apart, 'values between the extremes do')} not lie at the edge of a lesion" if apart else ""


def _why_several_labels(values: NDArray[np.integer[Any]], is_jpeg: bool) -> str:
    """Say why low values are no edges that fade: areas of one of them are a label, at an edge only large ones."""
    highest = int(values.max())
    low = np.asarray(values[values <= highest // 8])
    if not low.size:
        return ""
    # What JPEG makes of black is not always 0.
    background = int(np.bincount(low).argmax()) if is_jpeg else int(values.min())
    cut = np.asarray(values > highest / 2, np.uint8)
    near = cv2.dilate(cut, np.ones((2 * _FAINT_PX + 1, 2 * _FAINT_PX + 1), np.uint8)) > 0
    faint = (values > background) & (values <= highest // 8)
    if not faint.any():
        return ""
    exact, around = values.astype(np.float32), np.ones((3, 3), np.uint8)
    flat = np.asarray(faint & (cv2.erode(exact, around) == cv2.dilate(exact, around)), np.bool_)
    # Smaller areas are noise of a JPEG, perhaps enlarged and saved in another format, or a slip of the pen.
    for areas, least, where in (
        (flat & ~near, _LEAST_LABEL, "away from all edges"),
        (flat, _LEAST_LABEL_AT_EDGE, "at an edge"),
    ):
        _, _, facts, _ = cv2.connectedComponentsWithStats(areas.astype(np.uint8), connectivity=8)
        if int(facts[1:, cv2.CC_STAT_AREA].max(initial=0)) > least * np.count_nonzero(cut):
            label = int(np.median(values[areas]))
            return f"an area of the value {label}, as a label has, lies {where} of what has the value {highest}"
    return ""


def _edge(values: NDArray[np.integer[Any]], core: NDArray[np.uint8], reach: int) -> Mask:
    """Return where a soft edge may lie: near to where a mask is cut, and to values that are the lesion's for sure."""
    near = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    cut = np.asarray(values > int(values.max()) / 2, np.uint8)
    around_cut = (cv2.dilate(cut, near) > 0) & (cv2.erode(cut, near) == 0)
    around_core = cv2.dilate(core, np.ones((4 * reach + 1, 4 * reach + 1), np.uint8)) > 0
    return np.asarray(around_cut & around_core, np.bool_)


class HalvedImage:
    """A mammogram of which only the half resolution was decoded: its size, and its pixels for who asks for them.

    NumPy takes it for the array (H, W) uint16 that it stands for. The place of most lesions needs no pixel of it.
    """

    def __init__(self, path: Path, shape: tuple[int, int], window: dicom.Window) -> None:
        self.path = path
        self.shape = shape
        self._window = window

    @cached_property
    def _pixels(self) -> StoredImage:
        return dicom.read(self.path, self._window).pixels

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self._pixels, dtype, copy=copy)


def _is_dicom(path: Path) -> bool:
    with open_regular(path) as file:
        head = file.read(132)
    return head[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".dicom")
