"""Image files of whatever kind to pixels, told apart by content and not by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from mammofill import dicom
from mammofill.ground.errors import ImageFileError
from mammofill.ground.imaging import FULL_RANGE, Mask, StoredImage

_BITS_OF_MODE = {"1": 1, "L": 8, "I;16": 16, "I;16B": 16, "I;16L": 16, "I": 16}

_MOST_BETWEEN = 0.1
"""Largest share of a JPEG mask's values that may lie between an eighth and seven eighths of the greatest. Blurred edges
of a mask make up a few per cent; of the picture of a lesion it is nearly all, of a whole mammogram about a third."""


def read_image(path: Path, bits: int | None, window: dicom.Window) -> tuple[StoredImage, int]:
    """Read a mammogram from DICOM, PNG, TIFF, PGM or JPEG.

    Args:
        path: the file.
        bits: bits that the values use, where the file's own number is not meant; not for DICOM, which says it itself.
        window: see `mammofill.dicom.read_image`.

    Returns:
        (H, W) uint16, the file's values stretched over 0..65535 without losing a level, and the bits of its values.

    Raises:
        ImageFileError: the file is missing, truncated, of an unknown kind, in colour, or has several frames; or its
            values need more than `bits`.
    """
    if _is_dicom(path):
        return dicom.read_image(path, window), dicom.read_header(path).bits_stored
    values, file_bits, _ = _read_picture(path)
    bits = bits or file_bits
    highest = 2**bits - 1
    if int(values.min(initial=0)) < 0:
        raise ImageFileError(f"{path} holds values down to {values.min()}; intensities start at 0. Shift them first.")
    if int(values.max(initial=0)) > highest:
        raise ImageFileError(f"{path} holds values up to {values.max()}, more than the {bits} bits that it should use.")
    if bits == 16:
        return values.astype(np.uint16, copy=False), bits
    stretched = np.rint(np.arange(highest + 1) * (FULL_RANGE / highest)).astype(np.uint16)
    return np.asarray(stretched[values]), bits  # looked up: there are far fewer values than pixels


def read_size(path: Path) -> tuple[tuple[int, int], str]:
    """Return the (rows, columns) of an image file, and its SeriesDescription in lower case, without reading pixels.

    Only DICOM has a description; for other files, and where the header leaves it out, it is "".

    Raises:
        ImageFileError: the file is missing, or its header cannot be read.
    """
    if _is_dicom(path):
        header = dicom.read_header(path)
        return (header.rows, header.columns), (header.series_description or "").lower()
    with _picture(path) as picture:
        return (picture.height, picture.width), ""


def read_mask(path: Path) -> Mask:
    """Read a mask: the brighter of two values is lesion, and zero never is.

    A JPEG blurs the edges of a mask: its values are cut at half of the greatest. It is a mask if nearly all of them
    are near to zero or to the greatest; in a picture of tissue most lie between.

    Returns:
        (H, W) bool.

    Raises:
        ImageFileError: as `read_image`; or the file holds a picture and not a mask.
    """
    if _is_dicom(path):
        return dicom.read_mask(path)
    values, _, kind = _read_picture(path)
    highest = int(values.max(initial=0))
    if highest == 0:
        return np.zeros(values.shape, np.bool_)
    if kind == "JPEG":
        between = np.count_nonzero((values > highest // 8) & (values < highest - highest // 8))
        if between > _MOST_BETWEEN * values.size:
            share = f"{100 * between / values.size:.0f} %"
            raise ImageFileError(
                f"{path} is not a mask: a mask has two values, but {share} of this JPEG lie well between its extremes."
            )
        return np.asarray(values > highest / 2, np.bool_)
    mask = np.asarray(values == highest, np.bool_)
    # Counted, not sorted: the mask of a whole mammogram has 17 million pixels.
    if np.count_nonzero(mask) + np.count_nonzero(values == values.min()) < values.size and not mask.all():
        raise ImageFileError(f"{path} is not a mask: a mask has two values, this picture has {len(np.unique(values))}.")
    return mask


def _is_dicom(path: Path) -> bool:
    if not path.is_file():
        raise ImageFileError(f"{path} does not exist, or is not a file.")
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError as error:
        raise ImageFileError(f"{path} cannot be read: {error}.") from error
    return head[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".dicom")


@contextmanager
def _picture(path: Path) -> Iterator[PillowImage.Image]:
    """Open a picture of one gray frame; whatever goes wrong while it is open becomes our error."""
    try:
        with PillowImage.open(path) as picture:
            frames = getattr(picture, "n_frames", 1)
            if frames != 1:
                raise ImageFileError(f"{path} has {frames} frames; one is needed.")
            if picture.mode not in _BITS_OF_MODE:
                kind = "a picture of fractions" if picture.mode == "F" else "a colour picture"
                raise ImageFileError(
                    f"{path} is {kind} (mode {picture.mode}); mammograms and masks are gray, of whole numbers."
                )
            yield picture
    except UnidentifiedImageError as error:
        raise ImageFileError(f"{path} is no DICOM, PNG, TIFF, PGM or JPEG image.") from error
    except PillowImage.DecompressionBombError as error:
        raise ImageFileError(f"{path} is far larger than any mammogram: {error}.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageFileError(f"{path} cannot be read: {error}. It may be truncated.") from error


def _read_picture(path: Path) -> tuple[NDArray[np.integer], int, str]:
    """Return the values (H, W), in the type in which they are stored, their bits, and the kind of file, say PNG."""
    with _picture(path) as picture:
        values = np.asarray(picture)
        if values.dtype == np.bool_:
            values = values.astype(np.uint8)
        native = values.astype(values.dtype.newbyteorder("="), copy=False)
        return native, _BITS_OF_MODE[picture.mode], str(picture.format)
