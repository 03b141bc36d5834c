"""PNG, TIFF, PGM and JPEG files to pixels: the sibling of `dicom`, and like it the only one that knows its library.

This is where it is decided what the values of a picture mean; docs/sources.md lists the rules. Only these formats are
opened: Pillow knows dozens, and starts other programs for some of them (Ghostscript for EPS, whatever the file is
called).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from mammofill.ground.errors import ImageFileError
from mammofill.ground.foreign_files import (
    ReadImage,
    Remark,
    bits_in_use,
    check_size,
    looks_like,
    open_regular,
    sampled,
)
from mammofill.ground.imaging import FULL_RANGE

FORMATS = ("PNG", "TIFF", "PPM", "JPEG")
"""The formats that are opened, by Pillow's names; PPM is PGM's family."""

_BITS_OF_MODE = {"1": 1, "L": 8, "I;16": 16, "I;16B": 16, "I;16L": 16, "I": 16}
_TYPE_OF_MODE = {"1": np.bool_, "L": np.uint8, "I;16": np.uint16, "I": np.int32}
_COLOURS = {"RGB", "RGBA", "LA", "P"}

# Source: TIFF, revision 6.0, section 8.
_COLUMNS, _ROWS, _BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION, _WHITE_IS_ZERO = 256, 257, 258, 262, 274, 0
_COMPRESSION, _PREDICTOR, _SAMPLE_FORMAT, _UNSIGNED, _SIGNED = 259, 317, 339, 1, 2
_PLANAR, _IN_PLANES, _FILL_ORDER = 284, 2, 266
_STRIP_OFFSETS, _STRIP_ROWS, _STRIP_BYTES, _FILLS_UP, _UNCOMPRESSED, _AS_THEY_LIE = 273, 278, 279, 3, 1, {1, 32773}
"""Up to three bytes fill up a strip. The last are the compressions that Pillow undoes itself,
where the order of bytes is still that of the file."""

_TILE_COLUMNS, _TILE_ROWS, _TILE_OFFSETS, _TILE_BYTES = 322, 323, 324, 325
"""Source: TIFF, revision 6.0, section 15."""

_WITH_PREDICTOR = {5, 8, 32946, 34925, 50000}
"""Compressions whose decoders undo a predictor: LZW, Deflate (two numbers), LZMA, Zstandard. Others leave differences
between neighbours, without a word. Source: TIFF 6.0, section 14, and libtiff."""

_UPRIGHT = {
    2: lambda values: values[:, ::-1],
    3: lambda values: values[::-1, ::-1],
    4: lambda values: values[::-1],
    5: lambda values: values.T,
    6: lambda values: np.rot90(values, -1),
    7: lambda values: values[::-1, ::-1].T,
    8: lambda values: np.rot90(values),
}
"""How values are turned upright, by the tag Orientation, which EXIF shares with TIFF."""


_BLANK_BYTES = 8
"""Fewer bytes behind the pixels of a PGM may be ends of lines."""

_NOISE_PX = 64
"""No row of so many pixels or more equals noise by chance."""


def read(path: Path, bits: int | None = None) -> ReadImage:
    """Read a gray picture.

    Args:
        path: the file.
        bits: bits that the values use, where that is less than the file's own number.

    Returns:
        Its values stretched over 0..65535 without losing a level.

    Raises:
        ImageFileError: the file is missing, truncated, of another format, in colour, of fractions, or has several
            frames; or its values need more than `bits`, or are below 0.
    """
    picture = _read(path, stated_bits=bits)
    values, bits, most = picture.values, picture.bits, 2**picture.bits - 1
    _check_range(path, values, bits)
    some = sampled(values)
    used_bits, filled_bits = bits_in_use(most - some if picture.white_is_zero else some)
    if bits == 16:
        pixels = values.astype(np.uint16, copy=False)
    else:
        stretched = np.rint(np.arange(most + 1) * (FULL_RANGE / most)).astype(np.uint16)
        pixels = np.asarray(stretched[values])  # looked up: there are far fewer values than pixels
    return ReadImage(pixels, bits, used_bits, picture.signed, remarks=picture.remarks, filled_bits=filled_bits)


def _check_range(path: Path, values: NDArray[np.integer[Any]], bits: int) -> None:
    """Refuse intensities below 0, and more than their bits hold."""
    highest, lowest = int(values.max()), int(values.min())
    if lowest < 0:
        raise ImageFileError(f"{path} holds values down to {lowest}; intensities start at 0. Shift them first.")
    if highest > 2**bits - 1:
        raise ImageFileError(f"{path} holds values up to {highest}, more than the {bits} bits that it should use.")


def read_size(path: Path) -> tuple[int, int]:
    """Return the (rows, columns) of a picture as `read` would, without reading pixels.

    Raises:
        ImageFileError: the file is missing, or its header cannot be read.
    """
    with _picture(path) as picture:
        tags: Any = getattr(picture, "tag_v2", {})  # of a TIFF Pillow turns the size as well, but not always at once
        size = (int(tags.get(_ROWS, picture.height)), int(tags.get(_COLUMNS, picture.width)))
        return size[::-1] if _orientation(picture) >= 5 else size


def read_values(path: Path, as_mask: bool = False) -> tuple[NDArray[np.integer[Any]], int, tuple[Remark, ...]]:
    """Read the values of a picture as they are meant to be shown: turned upright, bright where the file says white.

    Args:
        path: the file.
        as_mask: take pictures in colour whose colours are all gray, as programs for drawing write masks.

    Returns:
        (H, W) of the type in which they are stored, the bits of that type, and what was remarkable.

    Raises:
        ImageFileError: as `read`.
    """
    picture = _read(path, as_mask)
    return picture.values, picture.bits, picture.remarks


@dataclass(frozen=True)
class _Read:
    """A picture, turned upright, and bright where it says white."""

    values: NDArray[np.integer[Any]]
    bits: int
    signed: bool
    white_is_zero: bool
    remarks: tuple[Remark, ...]


def _read(path: Path, as_mask: bool = False, stated_bits: int | None = None) -> _Read:
    with _picture(path) as picture:
        if picture.mode not in _BITS_OF_MODE and not (as_mask and picture.mode in _COLOURS):
            kind = "a picture of fractions" if picture.mode == "F" else "a colour picture"
            raise ImageFileError(
                f"{path} is {kind} (mode {picture.mode}); mammograms and masks are gray, of whole numbers. "
                "Convert it, so that you know how."
            )
        if picture.mode in _COLOURS and ";16" in str(getattr(picture, "tile", "")):
            raise ImageFileError(
                f"{path} is a colour picture of 16 bits, of which only 8 would be read. Save it as a gray picture."
            )
        noise = _fill_last_row(picture)  # first of all: asked for its orientation, a PNG is decoded
        is_tiff = picture.format == "TIFF"
        own_bits = _bits(picture)
        orientation, inverted = _orientation(picture), _is_inverted(picture)
        bits = min(stated_bits or own_bits, own_bits)
        _check_tiff(path, picture)
        _check_pgm(path, picture)
        greatest = _greatest_of_pgm(picture) if bits < own_bits else None
        signed, white_is_zero = _is_signed(picture), _says_white_is_zero(picture)
        picture.load()  # which turns a TIFF upright by itself: its size holds only afterwards
        gray, remarks = _gray(path, picture)
    if greatest is not None:
        full = FULL_RANGE if greatest > 255 else 255
        gray = np.rint(gray * (greatest / full)).astype(gray.dtype)  # its own values, which need the bits of the table
    if noise is not None and np.array_equal(gray[-1:], noise):
        raise ImageFileError(
            f"{path} says {gray.shape[0]}x{gray.shape[1]} pixels, but its data ends before the last row. Fetch it "
            "again."
        )
    values = gray.astype(np.uint8) if gray.dtype == np.bool_ else gray
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if signed is not None and values.dtype.kind in "iu" and values.dtype.itemsize in (1, 4):
        values = values.view(f"{'i' if signed else 'u'}{values.dtype.itemsize}")  # Pillow has one kind of each
    if inverted:
        _check_range(path, values, bits)
        values = (2**bits - 1 - values.astype(np.int64)).astype(values.dtype)
    if stated_bits is not None and stated_bits > own_bits:
        found = f"{path} has {own_bits} bits, where the table says {stated_bits}: it cannot hold them."
        remarks.append(Remark("bits-contradict-header", found, "The file counts. If it lost bits, take the original."))
    if white_is_zero:
        remarks.append(Remark("white-is-zero", f"{path} says that 0 is white.", "Inverted, so that bright is dense."))
    if orientation != 1:
        values = values if is_tiff else _UPRIGHT[orientation](values)
        found = f"{path} is stored turned or mirrored (orientation {orientation})."
        remarks.append(Remark("orientation-applied", found, "Turned upright, as viewers show it."))
    return _Read(np.ascontiguousarray(values), bits, bool(signed), white_is_zero, tuple(remarks))


def _fill_last_row(picture: PillowImage.Image) -> NDArray[Any] | None:
    """Fill the last row of a PNG with noise before it is decoded, and return the noise; None for other pictures.

    Pillow leaves rows black, as film is, that its data do not reach; the noise stays there.
    """
    loaded: Any = picture
    is_plain = picture.format == "PNG" and picture.mode in _TYPE_OF_MODE and not picture.info.get("interlace")
    if not is_plain or picture.width < _NOISE_PX or not loaded.tile:
        return None
    noise = np.random.default_rng(0).integers(0, 2 if picture.mode == "1" else 256, (1, picture.width))
    row = PillowImage.fromarray(noise.astype(_TYPE_OF_MODE[picture.mode]))
    loaded.load_prepare()
    loaded.im.paste(row.im, (0, picture.height - 1, picture.width, picture.height))
    return noise


def _is_signed(picture: PillowImage.Image) -> bool | None:
    """Say whether values of a TIFF are signed, unsigned where it does not say it; None of other formats."""
    tags: Any = getattr(picture, "tag_v2", None)
    return {_UNSIGNED: False, _SIGNED: True}.get(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0]) if tags else None


def _check_tiff(path: Path, picture: PillowImage.Image) -> None:
    """Refuse TIFFs that Pillow reads as something else without a word."""
    tags: Any = getattr(picture, "tag_v2", None)
    if not tags:
        return
    compression = tags.get(_COMPRESSION, _UNCOMPRESSED)
    if _PHOTOMETRIC not in tags:
        raise ImageFileError(
            f"{path} does not say whether 0 is black or white (PhotometricInterpretation, which every TIFF must have). "
            "Save it again."
        )
    if tags.get(_PREDICTOR, 1) != 1 and compression not in _WITH_PREDICTOR:
        raise ImageFileError(
            f"{path} stores differences between neighbours (Predictor {tags[_PREDICTOR]}) in a compression that has "
            f"none ({compression}). Save it again, as LZW or without compression."
        )
    if _is_signed(picture) and tags.prefix == b"MM" and compression not in _AS_THEY_LIE and picture.mode == "I":
        raise ImageFileError(
            f"{path} holds signed values, the high byte first, and compressed ({compression}): they would be read with "
            "their bytes exchanged. Save it without compression."
        )
    turned = (_says_white_is_zero(picture) and not _is_inverted(picture)) or tags.get(_FILL_ORDER, 1) != 1
    if tags.get(_PLANAR, 1) == _IN_PLANES and turned and compression in _AS_THEY_LIE:
        raise ImageFileError(
            f"{path} keeps its colours in planes (PlanarConfiguration 2), and 0 as white or its bits backwards "
            "(FillOrder): together these would be read as if the last were not so. Save it again."
        )
    _check_strips(path, picture, compression)


def _check_strips(path: Path, picture: PillowImage.Image, compression: int) -> None:
    """Refuse a TIFF whose strips or tiles hold other than its pixels: of what is missing Pillow shows anything.

    Of compressed ones the decoder sees it, but for what Pillow unpacks itself.
    """
    tags: Any = getattr(picture, "tag_v2", {})
    if compression not in _AS_THEY_LIE:
        return
    is_tiled = _TILE_OFFSETS in tags
    rows, columns = int(tags[_ROWS]), int(tags[_COLUMNS])
    high = int(tags[_TILE_ROWS]) if is_tiled else max(1, min(int(tags.get(_STRIP_ROWS, rows)), rows))
    wide = int(tags[_TILE_COLUMNS]) if is_tiled else columns
    count = -(-rows // high) * -(-columns // wide)
    in_row = -(-wide * sum(tags.get(_BITS_PER_SAMPLE, (1,))) // 8)
    most = high * in_row
    offsets = tags.get(_TILE_OFFSETS if is_tiled else _STRIP_OFFSETS, ())
    held = tags.get(_TILE_BYTES if is_tiled else _STRIP_BYTES, (most,) * count)
    kind = "tile" if is_tiled else "strip"
    if compression == _UNCOMPRESSED and (max(held) > most + _FILLS_UP or len(held) > count):
        raise ImageFileError(
            f"{path} says {rows}x{columns} pixels, of which a {kind} takes {most} bytes, but holds {len(held)} of up "
            f"to {max(held)}: its width or height is wrong. Save it again."
        )
    needed = [most if compression == _UNCOMPRESSED else 1] * count
    if compression == _UNCOMPRESSED and not is_tiled:
        needed[-1] = (rows - (count - 1) * high) * in_row
    whole = sum(at > 0 and there >= least for at, there, least in zip(offsets, held, needed, strict=False))
    if whole < count:
        raise ImageFileError(
            f"{path} says {rows}x{columns} pixels in {count} {kind}s, but of these only {whole} are there and whole: "
            "the others would be read as black, or as bytes of something else. Save it again."
        )


def _check_pgm(path: Path, picture: PillowImage.Image) -> None:
    """Refuse a PGM whose values are larger than the greatest that it names, and one of several or of more pixels.

    Pillow cuts off the first and leaves out the others. Source: netpbm's description of PGM; the values are as they
    stand only in the binary form.
    """
    tiles: Any = getattr(picture, "tile", None)
    if picture.format != "PPM" or not tiles:
        return
    if tiles[0][0] == "ppm_plain" and picture.mode in ("L", "I"):
        _check_plain_pgm(path, picture, tiles[0][2])
    if picture.mode not in ("L", "I") or tiles[0][0] not in ("ppm", "raw"):
        return
    is_cut = tiles[0][0] == "ppm"
    most = tiles[0][3][1] if is_cut else 255 if picture.mode == "L" else FULL_RANGE
    kind = np.dtype(">u2" if most > 255 else "u1")
    with open_regular(path) as file:
        file.seek(tiles[0][2] - 1)
        line_end = file.read(1)
        content = file.read(picture.width * picture.height * kind.itemsize)
        more = file.read(64)
        behind = more.strip()
        surplus = file.seek(0, os.SEEK_END) - tiles[0][2] - len(content)
    values = np.frombuffer(content[: len(content) // kind.itemsize * kind.itemsize], kind)
    if is_cut and values.size and int(values.max()) > most:
        raise ImageFileError(f"{path} says that its values go up to {most}, but holds {values.max()}.")
    if line_end == b"\r" and content[:1] == b"\n" and more:
        raise ImageFileError(
            f"{path} ends the lines of its header as Windows does: the second mark would be read as the first pixel, "
            "and all others beside their place. Save it again."
        )
    between = content[:surplus]  # one byte may be a pixel as dark as a blank, and does no harm
    if (
        behind
        and max(surplus, kind.itemsize) > 1
        and (between.isspace() or (between.startswith(b"#") and between.endswith(b"\n")))
    ):
        raise ImageFileError(
            f"{path} has {surplus} blanks or letters between its header and its pixels, which would be read as pixels, "
            "and all others beside their place. Save it again."
        )
    if behind[:1] == b"P" and behind[1:2].isdigit():
        raise ImageFileError(f"{path} holds several pictures, one behind the other; one is needed.")
    if surplus >= max(picture.width * kind.itemsize, _BLANK_BYTES):
        raise ImageFileError(
            f"{path} says {picture.height}x{picture.width} pixels, which take {len(content)} bytes, but holds "
            f"{len(content) + surplus}: its width or height is wrong."
        )


def _greatest_of_pgm(picture: PillowImage.Image) -> int | None:
    """Return the greatest value that a PGM names, over which Pillow stretches its values; None where it does not."""
    tiles: Any = getattr(picture, "tile", None)
    is_stretched = picture.format == "PPM" and tiles and tiles[0][0] in ("ppm", "ppm_plain")
    return int(tiles[0][3][1]) if is_stretched and picture.mode in ("L", "I") else None


def _check_plain_pgm(path: Path, picture: PillowImage.Image, start: int) -> None:
    """Refuse a PGM written as text that holds a row of numbers more than its size says; Pillow leaves them out."""
    with open_regular(path) as file:
        file.seek(start)
        content = file.read()
    if b"#" in content:
        return  # a comment, whose words would be counted
    is_blank = np.frombuffer(content, np.uint8) <= ord(" ")
    numbers = int(np.count_nonzero(is_blank[:-1] & ~is_blank[1:])) + int(not is_blank[:1].all())
    needed = picture.width * picture.height
    if numbers >= needed + picture.width:
        raise ImageFileError(
            f"{path} says {picture.height}x{picture.width} pixels, which are {needed} numbers, but holds {numbers}: "
            "its width or height is wrong."
        )


def kind_of(path: Path) -> str:
    """Return the format of a picture by Pillow's name, for example JPEG."""
    with _picture(path) as picture:
        return str(picture.format)


def _gray(path: Path, picture: PillowImage.Image) -> tuple[NDArray[Any], list[Remark]]:
    if picture.mode in _BITS_OF_MODE:
        return np.asarray(picture), []
    colours = np.asarray(picture.convert("RGBA"))
    if (colours[..., 3] != colours[0, 0, 3]).any():
        raise ImageFileError(f"{path} is partly transparent; save the mask as a gray picture without transparency.")
    if (colours[..., :1] != colours[..., 1:3]).any():
        raise ImageFileError(f"{path} is a colour picture (mode {picture.mode}); a mask is black and white.")
    found = f"{path} is saved as a colour picture (mode {picture.mode}), and all its colours are gray."
    return colours[..., 0], [Remark("mask-in-colours", found, "Read as gray.")]


def _orientation(picture: PillowImage.Image) -> int:
    number = picture.getexif().get(_ORIENTATION, 1)
    return number if number in _UPRIGHT else 1


def _bits(picture: PillowImage.Image) -> int:
    """Return the bits of the values: of a TIFF its own number, which may lie between those of Pillow's types."""
    of_mode = _BITS_OF_MODE.get(picture.mode, 8)
    stated = getattr(picture, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    return int(stated[0]) if of_mode == 16 and len(stated) == 1 and 9 <= int(stated[0]) <= 15 else of_mode


def _says_white_is_zero(picture: PillowImage.Image) -> bool:
    return bool(getattr(picture, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO)


def _is_inverted(picture: PillowImage.Image) -> bool:
    """Say whether 0 is white and Pillow has not seen to it: it inverts 1 and 8 bits, and no more than that."""
    return _says_white_is_zero(picture) and _BITS_OF_MODE.get(picture.mode) == 16


@contextmanager
def _picture(path: Path) -> Iterator[PillowImage.Image]:
    """Open a picture of one frame; whatever goes wrong while it is open becomes our error."""
    try:
        with (
            warnings.catch_warnings(),
            open_regular(path) as file,
        ):
            warnings.simplefilter("ignore")  # about details of the header
            with PillowImage.open(file, formats=FORMATS) as picture:
                check_size(path, picture.height, picture.width)
                frames = getattr(picture, "n_frames", 1)
                if frames != 1:
                    raise ImageFileError(f"{path} has {frames} frames; one is needed.")
                yield picture
    except ImageFileError:
        raise
    except UnidentifiedImageError as error:
        raise ImageFileError(f"{path} {_why_not_known(path)}") from error
    except PillowImage.DecompressionBombError as error:
        raise ImageFileError(f"{path} is far larger than any mammogram: {error}.") from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can raise nearly anything inside the library
        message = str(error) or type(error).__name__
        raise ImageFileError(f"{path} cannot be read: {message}. It may be truncated.") from error


def _why_not_known(path: Path) -> str:
    looks = looks_like(path)
    for kind in ("PNG", "TIFF", "JPEG"):
        if looks == f"it looks like a {kind} image":
            return f"is damaged, or a {kind} of a kind that is not read. Save it as an uncompressed TIFF or as a PNG."
    return f"is no DICOM, PNG, TIFF, PGM or JPEG image{f': {looks}' if looks else ''}."
