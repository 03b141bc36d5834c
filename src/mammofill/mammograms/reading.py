"""Reads pixels and masks from image files of all kinds, which are recognised by content, not by name."""

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
"""Largest share of a mask's values between an eighth and seven eighths of the greatest. Blurred edges of a mask are a
few per cent of it; of a lesion's picture nearly all values are in this range, of a whole mammogram about a third."""

_SOFT_PX, _SOFT_PX_OF_JPEG = 3, 8
"""Largest width of a mask's soft edge on either side of the threshold, in pixels; in a JPEG, blocks of 8 pixels are
blurred as one."""

_FAINT_PX = 24
"""Distance from an edge, in pixels, within which faint values may belong to it: soft edges fade, and a JPEG that was
saved in another format has noise in blocks of up to 16 pixels."""

_SPECKS = 0.05
"""Largest area of faint specks apart from the lesion that JPEG and resizing leave, as a share of the lesion. 36 of the
249 masks of the 8-bit copy of CDD-CESM have some, of at most 0.2 %."""

_LEAST_GRAY, _LEAST_GRAY_PX = 1e-4, 128
"""Smallest area of grays, apart from the brightest, that is a lesion in another gray and no speck: a share of
the picture, some 2 mm across, and two blocks of a JPEG. In the 249 masks of CDD-CESM, also reduced, enlarged and
compressed again, 83 of them to a quality of 10, the largest speck is one block. Ours."""

_LEAST_LABEL, _LEAST_LABEL_AT_EDGE = 0.02, 0.1
"""Smallest area of a faint value that counts as a label, as a share of the lesion, away from its edges and at them. In
the 249 masks of CDD-CESM, in JPEG, as PNG, and enlarged, areas of noise at edges are at most 0.02, and away from edges,
of whatever faint values, at most 0.017. Ours."""


@dataclass(frozen=True)
class ReadMask:
    """A mask, and the remarks on its file."""

    mask: Mask
    remarks: tuple[Remark, ...] = ()


def read_image(path: Path, bits: int | None, window: dicom.Window, half_if_rows: int | None = None) -> ReadImage:
    """Read a mammogram from DICOM, PNG, TIFF, PGM or JPEG.

    Args:
        path: the file.
        bits: bits that the values use, where they are fewer than the file's own number; for DICOM, whose header gives
            them, only compared.
        window: see `mammofill.dicom.read`.
        half_if_rows: likewise.

    Returns:
        (H, W) uint16, the file's values stretched over 0..65535 without losing a level, and the remarks.

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
    """An image file of which only the header was read."""

    path: Path
    size: tuple[int, int]
    """(rows, columns)."""
    description: str
    """SeriesDescription in lower case; "" where the header lacks it, and for other files than DICOM."""
    _parsed: dicom.ParsedFile | None
    """The parsed DICOM header, so that it need not be read again."""


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
    """Return the (rows, columns) of an image file; raises the same errors as `see`."""
    return see(path).size


def read_mask(path: Path) -> ReadMask:
    """Read a mask: the brighter of two values is lesion, and zero never is.

    A mask that was resampled or stored as JPEG has soft edges: it is thresholded at half of its greatest value, and a
    remark is added. It counts as a mask only if nearly all values are near the least or the greatest, and all others
    are beside the lesion, as edges are; in a picture of tissue, and in one with a gray value for each of several
    lesions, they are not. Values near the least may be anywhere, except as an area of one value, which is a lesion's
    label, also where it touches another lesion.

    Raises:
        ImageFileError: as `read_image`; or the file is a picture, not a mask.
    """
    return read_seen_mask(see(path))


def read_seen_mask(file: SeenFile) -> ReadMask:
    """Read a mask as `read_mask`, from a file whose header was read already."""
    if file._parsed is not None:
        ordered, remarks = dicom.read_values(file._parsed)
        return _as_mask(file.path, ordered, remarks, is_jpeg=False)
    values, _, remarks = pictures.read_values(file.path, as_mask=True)
    return _as_mask(file.path, values, remarks, is_jpeg=pictures.kind_of(file.path) == "JPEG")


def _as_mask(path: Path, values: NDArray[np.integer[Any]], remarks: tuple[Remark, ...], is_jpeg: bool) -> ReadMask:
    # Values are counted, not sorted, in few passes: the mask of a whole mammogram has 17 million pixels.
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
    if marked == np.count_nonzero(values):  # the usual case: all other values are 0
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
    """Return why more than two values are not a mask with soft edges; "" if they are one."""
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
        area = _largest_gray_area(values, core > 0)
        is_lesion = area >= max(_LEAST_GRAY * values.size, _LEAST_GRAY_PX)
        return f"an area of {area} darker ones lies apart from the brightest" if is_lesion else ""
    return f"{counted(apart, 'values between the extremes do')} not lie at the edge of a lesion" if apart else ""


def _largest_gray_area(values: NDArray[np.integer[Any]], core: Mask) -> int:
    """Return the pixels of the largest area of grays, none of the core, of which half would be lost at the cut."""
    highest = int(values.max())
    marked = (values > highest // 8).astype(np.uint8)
    _, labels, facts, _ = cv2.connectedComponentsWithStats(marked, connectivity=8)
    areas = np.asarray(facts[:, cv2.CC_STAT_AREA])
    areas[0] = 0
    areas[np.unique(labels[core])] = 0
    kept = np.bincount(labels[values > highest / 2], minlength=len(areas))
    return int(areas[2 * kept < areas].max(initial=0))


def _why_several_labels(values: NDArray[np.integer[Any]], is_jpeg: bool) -> str:
    """Return why low values are labels (areas of one value, at an edge large ones only) or another lesion; else ""."""
    highest = int(values.max())
    low = np.asarray(values[values <= highest // 8])
    if not low.size:
        return ""
    # Black is not always 0 after JPEG compression.
    background = int(np.bincount(low).argmax()) if is_jpeg else int(values.min())
    cut = np.asarray(values > highest / 2, np.uint8)
    near = cv2.dilate(cut, np.ones((2 * _FAINT_PX + 1, 2 * _FAINT_PX + 1), np.uint8)) > 0
    faint = (values > background) & (values <= highest // 8)
    if not faint.any():
        return ""
    exact, around = values.astype(np.float32), np.ones((3, 3), np.uint8)
    flat = np.asarray(faint & (cv2.erode(exact, around) == cv2.dilate(exact, around)), np.bool_)
    # Smaller areas are noise of a JPEG, perhaps enlarged and saved in another format, or a drawing error.
    for areas, least, where in (
        (flat & ~near, _LEAST_LABEL, "away from all edges"),
        (flat, _LEAST_LABEL_AT_EDGE, "at an edge"),
    ):
        _, _, facts, _ = cv2.connectedComponentsWithStats(areas.astype(np.uint8), connectivity=8)
        if int(facts[1:, cv2.CC_STAT_AREA].max(initial=0)) > least * np.count_nonzero(cut):
            label = int(np.median(values[areas]))
            return f"an area of the value {label}, as a label has, lies {where} of what has the value {highest}"
    _, _, facts, _ = cv2.connectedComponentsWithStats((faint & ~near).astype(np.uint8), connectivity=8)
    area = int(facts[1:, cv2.CC_STAT_AREA].max(initial=0))
    if area > _LEAST_LABEL * np.count_nonzero(cut) and area >= max(_LEAST_GRAY * values.size, _LEAST_GRAY_PX):
        return f"an area of {area} faint values lies away from all edges of what has the value {highest}"
    return ""


def _edge(values: NDArray[np.integer[Any]], core: NDArray[np.uint8], reach: int) -> Mask:
    """Return where a soft edge may be: near the threshold's contour, and near values that are certainly lesion."""
    near = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    cut = np.asarray(values > int(values.max()) / 2, np.uint8)
    around_cut = (cv2.dilate(cut, near) > 0) & (cv2.erode(cut, near) == 0)
    around_core = cv2.dilate(core, np.ones((4 * reach + 1, 4 * reach + 1), np.uint8)) > 0
    return np.asarray(around_cut & around_core, np.bool_)


class HalvedImage:
    """A mammogram that was decoded at half its resolution: its full size, and its full pixels when they are needed.

    NumPy converts it to the array (H, W) uint16 of the full image. For most lesions its pixels are not needed.
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
