"""Image files written by other programs: what was read, which irregularities were found, and whether it is a file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.errors import ImageFileError, SourceError
from mammofill.ground.file_names import why_no_file
from mammofill.ground.imaging import StoredImage

MOST_PIXELS = 2**27
"""No mammogram is larger: 11,585 pixels squared, three times the largest scans of film."""


AWAY = b"mammofill: in place of a file that lies in a store and was not fetched\n"
"""Content of the placeholder for such a file while a collection is listed."""


@dataclass(frozen=True)
class Remark:
    """An irregularity of a file, and what was done about it; becomes a row of `decisions`."""

    rule: str
    """Short name, for counts: for example ``padding-darkened``."""
    found: str
    """What was found, for people."""
    done: str
    """What was done about it, for people."""


@dataclass(frozen=True)
class ReadImage:
    """An image as it was read."""

    pixels: StoredImage
    """(H, W) uint16 over 0..65535, bright = dense; not to be written to: it may be the file itself, mapped."""
    bits: int
    """Bits of the values that are stored."""
    used_bits: int
    """Bits that all but the greatest hundredth of the values need: labels are seldom a larger share."""
    signed: bool = False
    """Whether values below 0 can be stored."""
    intent: str | None = None
    """FOR PRESENTATION or FOR PROCESSING, where a header says it (DICOM PS3.3 C.8.11.7)."""
    remarks: tuple[Remark, ...] = ()
    patient_id: str | None = None
    """The patient's identifier in the header; for comparison only, never to be shown."""
    is_compressed: bool = True
    """Whether reading it again takes a decoder."""
    halved_from: tuple[int, int] | None = None
    """(rows, columns) of the file, where only its half resolution was decoded."""
    modality: str | None = None
    """Modality in the header, for example MG."""
    laterality: str | None = None
    """Side in the header, for example L."""
    view: str | None = None
    """View in the header, for example CC."""
    filled_bits: int = 0
    """Bits of which the greatest value nearly fills the range; 0 where it ends in its midst."""
    windowed: bool = False
    """Whether it is shown through a window or VOI LUT of its header."""
    spacing_mm: float | None = None
    """Distance between rows, where a header says it."""


_SAMPLED_PX = 256
"""Number of rows and of columns that are sampled to see which bits an image uses."""

_FILLED = 0.8
"""A value above this share of the range of its bits nearly fills it."""


def sampled(values: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return some of the values of a picture: rows and columns at equal distances."""
    step = max(1, min(values.shape) // _SAMPLED_PX)
    return values[::step, ::step].astype(np.int64)


def bits_in_use(values: NDArray[np.int64]) -> tuple[int, int]:
    """Return `used_bits` and `filled_bits` (see `ReadImage`) of values of 0 and more."""
    if not values.size:
        return 0, 0
    greatest = int(values.max())
    filled = greatest.bit_length() if greatest >= _FILLED * 2 ** greatest.bit_length() else 0
    return int(np.percentile(values, 99, method="higher")).bit_length(), filled


def is_regular_file(path: Path) -> bool:
    """Say whether a path is a file with content: no folder, device, pipe or socket, and a name that can be one."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def check_is_here(path: Path) -> None:
    """Refuse to look into a file, while a collection is listed, where only its name is known.

    Raises:
        SourceError: it is the placeholder for a file in a store that was not fetched.
    """
    if is_regular_file(path) and path.stat().st_size == len(AWAY) and path.read_bytes() == AWAY:
        raise SourceError(
            f"{_shown(path)} would have to be opened to find its patient: neither its folder nor its name "
            "gives the patient. Before a collection in a store is fetched, only its tables are read. Copy it to a disk "
            "first."
        )


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading; anything else is refused without waiting for it, as for a pipe one would.

    Raises:
        ImageFileError: it does not exist, is not a regular file, or cannot be opened.
    """
    try:
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115  (closed below; errors of reading are others)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise ImageFileError(f"{_shown(path)} does not exist, or is not a file.") from None
    except OSError as error:
        raise ImageFileError(f"{_shown(path)} cannot be opened: {error.strerror}.") from error
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ImageFileError(f"{_shown(path)} {why_no_file(path)}.")
        yield file


def check_size(path: Path, rows: int, columns: int) -> None:
    """Refuse an image that cannot be a mammogram, before memory for its pixels is allocated.

    Raises:
        ImageFileError: it has no pixel, or more than `MOST_PIXELS`.
    """
    if rows < 1 or columns < 1:
        raise ImageFileError(f"{path} has {rows}x{columns} pixels: it is empty.")
    if rows * columns > MOST_PIXELS:
        raise ImageFileError(f"{path} has {rows}x{columns} pixels, far more than any mammogram.")


_LOOKS_LIKE = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"II*\0": "a TIFF image",
    b"MM\0*": "a TIFF image",
    b"P5": "a PGM image",
    b"GIF8": "a GIF image",
    b"BM": "a BMP image",
    b"RIFF": "a WebP image",
    b"\0\0\0\x0cjP": "a JPEG 2000 image",
    b"\xff\x4f\xff\x51": "a JPEG 2000 image",
    b"%PDF": "a PDF document",
    b"PK": "a ZIP archive",
    b"\x1f\x8b": "a file packed with gzip",
    b"7z": "a 7z archive",
    b"\x93NUMPY": "an array of NumPy",
    b"\x5c\x01\0\0": "a NIfTI volume",
    b"version https://git-lfs": "a pointer of Git LFS, in place of a file that was never fetched",
    b"<": "a web page or XML",
    b"{": "JSON",
}
"""First bytes of files that get the name of an image."""


def looks_like(path: Path) -> str:
    """Say, by its first bytes, what an unexpected file is; "" where that is not known."""
    with open_regular(path) as file:
        head = file.read(128 + 4)
    if not head:
        return "it is empty"
    if head[128:] == b"DICM":
        return "it looks like a DICOM file"
    return next((f"it looks like {name}" for start, name in _LOOKS_LIKE.items() if head.startswith(start)), "")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _shown(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 300 else f"{text[:150]}...{text[-100:]}"
