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
    look_up,
    note_doubts,
    note_unused_sign,
    what_values_show,
    without_unused_bits,
)
from mammofill.ground.foreign_files import ReadImage, Remark
from mammofill.ground.imaging import FULL_RANGE, StoredImage


def read_header(path: str | Path) -> DicomHeader:
    """Read the facts about a file's image without reading its pixels.

    Args:
        path: the file.

    Raises:
        ImageFileError: the file is missing, not DICOM, or holds no image.
    """
    return parse(path).header


@dataclass(frozen=True)
class ParsedFile:
    """A file whose header was read, and its pixels were not: see `parse`."""

    path: Path
    header: DicomHeader
    _start: FileStart


def parse(path: str | Path) -> ParsedFile:
    """Read a file's header, once for those who ask for its facts first, and for its pixels (`read_values`) later.

    Args:
        path: the file; nobody may change it in between.

    Raises:
        ImageFileError: as `read_header`.
    """
    path = Path(path)
    with refusals(path):
        start = read_start(path)
        return ParsedFile(path, header_of(path, start.dataset), start)


def read_image(path: str | Path, window: Window = "none") -> StoredImage:
    """Read the pixels of a gray single-frame image: those of `read`, which says what was remarkable about them too."""
    return read(path, window).pixels


def read(path: str | Path, window: Window = "none", half_if_rows: int | None = None) -> ReadImage:
    """Read a gray single-frame image.

    The order of the steps is that of DICOM PS3.4 N.2: decoding, modality transformation (PS3.3 C.11.1), values of
    interest (C.11.2) if asked for, and last the inversion of MONOCHROME1 (C.7.6.3.1.2). Between the last two the range
    that the transformations can reach is stretched linearly over 0..65535, so that two images of one device stay
    comparable and no level is lost: an image of 12 bits keeps its 4096 levels. Padding (C.7.5.1.1.2) becomes 0.

    Args:
        path: the file.
        window: none keeps the stored intensities whole (the default: scanned film carries windows that were chosen for
            one screen, and clipping at them loses what a network may use). first applies the file's first VOI LUT, or
            its first window, where it has one.
        half_if_rows: decode JPEG 2000 at half its resolution, four times as fast, where this leaves at least so many
            rows. That is the low band of the wavelet and no mean of areas: it rings a little at edges, and lies half a
            pixel of the file up and to the left.

    Returns:
        (rows, columns) uint16 over 0..65535, bright = dense, and what was remarkable.

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
    """Read an image of which only the order of values counts, as of a mask.

    Args:
        file: from `parse`.

    Returns:
        What `read` does; but an image of 8 bits that `read` would only stretch is left over 0..255, of type uint8. And
        what was remarkable.

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
    """An image as it is stored, and what its values mean: for those who write it again, changed in one place."""

    values: NDArray[np.integer[Any]]
    """(rows, columns) as stored; not to be written to: it may be the file itself, mapped."""
    bits: int
    low: int
    """The lowest value that the bits can hold."""
    shown: NDArray[np.uint16]
    """What each value that the bits can hold is shown as, from the lowest on, over 0..65535: see `read`."""
    header: Any
    """The library's dataset."""


def read_stored(path: str | Path) -> StoredValues:
    """Read a gray single-frame image as it is stored, without a window.

    Args:
        path: the file.

    Raises:
        ImageFileError: as `read`.
    """
    path = Path(path)
    with refusals(path):
        start = read_start(path)
        notes = Notes(path, [])
        stored, dataset = stored_values(path, start, notes)
        stored = without_unused_bits(stored, dataset, notes)
        low, shown = what_values_show(stored, dataset, "none", notes)
        return StoredValues(stored, int(dataset.BitsStored), low, shown, dataset)


def _stored_and_noted(path: Path, start: FileStart) -> tuple[NDArray[np.integer[Any]], Dataset, Notes]:
    notes = Notes(path, [])
    stored, dataset = stored_values(path, start, notes)
    notes.remarks.extend(header_of_whole(path, dataset).remarks)
    return without_unused_bits(stored, dataset, notes), dataset, notes
