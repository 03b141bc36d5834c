"""Image files of whatever kind to pixels, told apart by content and not by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from mammofill import dicom
from mammofill.ground.errors import ImageFileError
from mammofill.ground.imaging import FULL_RANGE, Mask, StoredImage
from mammofill.mammograms.sources.entries import Circle

_BITS_OF_MODE = {"1": 1, "L": 8, "I;16": 16, "I;16B": 16, "I;16L": 16, "I": 16}


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
    stretched = np.rint(values.astype(np.float64) * (FULL_RANGE / highest))
    return stretched.astype(np.uint16), bits


def read_mask(path: Path) -> Mask:
    """Read a mask: the brighter of two values is lesion. A JPEG's values are cut at half of the greatest.

    Raises:
        ImageFileError: as `read_image`; or the picture has more than two values and is no JPEG.
    """
    if _is_dicom(path):
        return dicom.read_mask(path)
    values, _, kind = _read_picture(path)
    found = np.unique(values)
    if len(found) > 2 and kind != "JPEG":
        raise ImageFileError(f"{path} is not a mask: a mask has two values, this picture has {len(found)}.")
    return np.asarray(values > found[-1] / 2, np.bool_) if found[-1] > 0 else np.zeros(values.shape, np.bool_)


def find_mask(paths: Sequence[Path], shape: tuple[int, int]) -> tuple[Mask, Path]:
    """Find the mask among the files of a lesion, by content.

    In CBIS-DDSM a lesion comes with its mask and with its cropped picture, in either order. The mask says so in its
    SeriesDescription, or has only two values.

    Args:
        paths: the candidates.
        shape: (rows, columns) of the mammogram.

    Returns:
        The mask, and its file. It may still be of another size: ingest decides what to do then.

    Raises:
        ImageFileError: none of the files is a mask; says what was wrong with each.
    """
    if len(paths) == 1:
        return read_mask(paths[0]), paths[0]
    candidates: list[tuple[bool, Mask, Path]] = []
    reasons = []
    for path in paths:
        try:
            described = (dicom.read_header(path).series_description or "").lower()
            if "crop" in described:
                reasons.append(f"{path.name} is the cropped picture")
                continue
            candidates.append(("mask" in described, read_mask(path), path))
        except ImageFileError as error:
            reasons.append(str(error))
    if not candidates:
        raise ImageFileError(f"None of the files in {paths[0].parent} is a mask: {'; '.join(reasons)}")
    # Described as a mask first, then of the mammogram's size, then the larger one.
    _, mask, path = max(candidates, key=lambda one: (one[0], one[1].shape == shape, one[1].size))
    return mask, path


def draw_circle(circle: Circle, shape: tuple[int, int], scale: tuple[float, float]) -> Mask:
    """Draw a circle as a mask at the working resolution; what lies outside the image is cut off.

    Args:
        circle: in pixels of the source image.
        shape: (rows, columns) of the working image.
        scale: working pixels per source pixel, for rows and columns.

    Returns:
        (rows, columns) bool; a pixel belongs to it if its centre lies within the radius.
    """
    rows = (np.arange(shape[0]) + 0.5) / scale[0] - 0.5 - circle.row
    columns = (np.arange(shape[1]) + 0.5) / scale[1] - 0.5 - circle.column
    return np.asarray(rows[:, None] ** 2 + columns[None, :] ** 2 <= circle.radius**2, np.bool_)


def _is_dicom(path: Path) -> bool:
    if not path.is_file():
        raise ImageFileError(f"{path} does not exist, or is not a file.")
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError as error:
        raise ImageFileError(f"{path} cannot be read: {error}.") from error
    return head[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".dicom")


def _read_picture(path: Path) -> tuple[NDArray[np.integer], int, str]:
    """Return the values (H, W), their bits, and the kind of file, for example PNG."""
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
            return np.asarray(picture).astype(np.int64), _BITS_OF_MODE[picture.mode], str(picture.format)
    except UnidentifiedImageError as error:
        raise ImageFileError(f"{path} is no DICOM, PNG, TIFF, PGM or JPEG image.") from error
    except PillowImage.DecompressionBombError as error:
        raise ImageFileError(f"{path} is far larger than any mammogram: {error}.") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageFileError(f"{path} cannot be read: {error}. It may be truncated.") from error
