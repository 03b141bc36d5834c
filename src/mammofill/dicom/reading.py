"""Reading a file: its header, its image, its mask, its stored values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from mammofill.dicom.decode import half_resolution, stored_values
from mammofill.dicom.elements import Notes, is_signed
from mammofill.dicom.header import DicomHeader, FileStart, header_of, header_of_whole, read_start
from mammofill.dicom.refusals import refusals
from mammofill.dicom.unusual import note_unusual
from mammofill.dicom.values import (
    Window,
    count_bits_in_use,
    has_padding,
    look_up,
    modality_range,
    note_doubts,
    note_unused_sign,
    what_values_show,
    without_unused_bits,
)
from mammofill.ground.foreign_files import ReadImage, Remark
from mammofill.ground.imaging import FULL_RANGE, StoredImage


def read_header(path: str | Path) -> DicomHeader:
    """Read the header fields of a file's image without reading its pixels.

    Args:
        path: the file.

    Raises:
        ImageFileError: the file is missing, not DICOM, or holds no image.
    """
    return parse(path).header


@dataclass(frozen=True)
class ParsedFile:
    """A file of which the header was read, but not the pixels; see `parse`."""

    path: Path
    header: DicomHeader
    _start: FileStart


def parse(path: str | Path) -> ParsedFile:
    """Read a file's header; its pixels can be read later by `read_values`, without reading the header again.

    Args:
        path: the file, which must not change in between.

    Raises:
        ImageFileError: as `read_header`.
    """
    path = Path(path)
    with refusals(path):
        start = read_start(path)
        return ParsedFile(path, header_of(path, start.dataset), start)


def read_image(path: str | Path, window: Window = "none") -> StoredImage:
    """Read the pixels of a gray single-frame image; `read` also returns the remarks on them."""
    return read(path, window).pixels


def read(path: str | Path, window: Window = "none", half_if_rows: int | None = None) -> ReadImage:
    """Read a gray single-frame image.

    The order of the steps is that of DICOM PS3.4 N.2: decoding, modality transformation (PS3.3 C.11.1), VOI
    transformation (C.11.2) if requested, and last the inversion of MONOCHROME1 (C.7.6.3.1.2). Between the last two the
    range that the transformations can reach is stretched linearly over 0..65535, so that two images of one device stay
    comparable and no level is lost: an image of 12 bits keeps its 4096 levels. Padding (C.7.5.1.1.2) becomes 0.

    Args:
        path: the file.
        window: none keeps the whole range of stored intensities (the default: windows of scanned film were chosen for
            one screen, and clipping at them loses information that a network may use). first applies the file's first
            VOI LUT, or its first window, where it has one.
        half_if_rows: decode JPEG 2000 at half its resolution, four times as fast, where this leaves at least this many
            rows. The result is the low-pass band of the wavelet transform, not a mean of areas: it rings slightly at
            edges, and is shifted up and left by half a pixel of the file.

    Returns:
        (rows, columns) uint16 over 0..65535, bright = dense, and the remarks.

    Raises:
        ImageFileError: the file is missing, truncated, not DICOM, holds no image, a colour image or several frames,
            cannot be decoded here, or its values do not fit its own header.
    """
    path = Path(path)
    with refusals(path):
        start = read_start(path)
        half = half_resolution(path, start, half_if_rows) if half_if_rows is not None else None
        stored, dataset, notes = half or _stored_and_noted(path, start)
        low, shown = what_values_show(stored, dataset, window, notes)
        note_doubts(dataset, notes)
        note_unused_sign(stored, dataset, notes)
        note_unusual(dataset, notes)
        used_bits, filled_bits = count_bits_in_use(stored, low, shown, dataset, notes)
        header = header_of_whole(path, dataset)
        return ReadImage(
            look_up(stored, low, shown),
            header.bits_stored,
            used_bits,
            is_signed(dataset),
            header.intent,
            tuple(notes.remarks),
            header.patient_id,
            is_compressed=dataset.file_meta.TransferSyntaxUID.is_encapsulated,
            halved_from=(header.rows, header.columns) if half else None,
            modality=header.modality,
            laterality=header.laterality,
            view=header.view,
            filled_bits=filled_bits,
            windowed=notes.windowed,
            spacing_mm=header.spacing_mm[0] if header.spacing_mm else None,
        )


def read_values(file: ParsedFile) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], tuple[Remark, ...]]:
    """Read an image of which only the order of values matters, such as a mask.

    Args:
        file: from `parse`.

    Returns:
        The pixels as from `read`, except that an image of 8 bits that `read` would only stretch stays uint8 over
        0..255; and the remarks.

    Raises:
        ImageFileError: as `read`.
    """
    with refusals(file.path):
        stored, dataset, notes = _stored_and_noted(file.path, file._start)
        low, shown = what_values_show(stored, dataset, "none", notes)
        note_doubts(dataset, notes)
        as_it_is = stored.dtype == np.uint8 and np.array_equal(shown, _STRETCHED_BYTES)
        values = np.asarray(stored, np.uint8) if as_it_is else look_up(stored, low, shown)
        return values, tuple(notes.remarks)


_STRETCHED_BYTES = np.arange(256) * (FULL_RANGE // 255)


@dataclass(frozen=True)
class StoredValues:
    """An image as it is stored, and the meaning of its values, so that it can be written again with changed pixels."""

    values: NDArray[np.integer[Any]]
    """(rows, columns) as stored; read only: it may be the file itself, mapped into memory."""
    bits: int
    low: int
    """The lowest value that the bits can hold."""
    shown: NDArray[np.uint16]
    """The display value, over 0..65535, of each value that the bits can hold, from the lowest on: see `read`."""
    reach: tuple[float, float]
    """The lowest and the highest value that the modality transformation can give, in which windows are given."""
    is_padded: bool
    """Whether any pixel is padding, by the header's PixelPaddingValue."""
    header: Any
    """The dataset of pydicom."""


def read_stored(path: str | Path, window: Window = "none") -> StoredValues:
    """Read a gray single-frame image as it is stored.

    Args:
        path: the file.
        window: as for `read`: decides only what values are shown as.

    Raises:
        ImageFileError: as `read`.
    """
    path = Path(path)
    with refusals(path):
        start = read_start(path)
        notes = Notes(path, [])
        stored, dataset = stored_values(path, start, notes)
        stored = without_unused_bits(stored, dataset, notes)
        low, shown = what_values_show(stored, dataset, window, notes)
        reach = modality_range(dataset, low, notes)
        is_padded = has_padding(stored, dataset, low, notes)
        return StoredValues(stored, int(dataset.BitsStored), low, shown, reach, is_padded, dataset)


def _stored_and_noted(path: Path, start: FileStart) -> tuple[NDArray[np.integer[Any]], Dataset, Notes]:
    notes = Notes(path, [])
    stored, dataset = stored_values(path, start, notes)
    notes.remarks.extend(header_of_whole(path, dataset).remarks)
    return without_unused_bits(stored, dataset, notes), dataset, notes
