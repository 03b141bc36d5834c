"""Pure functions on images and masks. Order is always (row, column); boxes are (top, left, height, width)."""

from __future__ import annotations

import io
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import TiffImagePlugin  # noqa: F401  (registers TIFF; else Pillow loads all of its formats to find that one)
from scipy.ndimage import distance_transform_edt

try:
    from zlib_ng import zlib_ng as zlib
except ImportError:
    import zlib  # type: ignore[no-redef]

Image = NDArray[np.float32]
"""(H, W) float32 in [0, 1], bright = dense."""
StoredImage = NDArray[np.uint16]
"""(H, W) uint16 over the full range 0..65535, the form in which pixels are kept on disk."""
Mask = NDArray[np.bool_]
"""(H, W) bool, True = lesion, or to be filled."""

FULL_RANGE = 65535

_ROUNDING = 1e-6
_HALF = 0.5 - _ROUNDING
"""Half of a pixel's area, whatever rounding does to it."""


def to_unit(pixels: StoredImage) -> Image:
    """Bring stored pixels (any shape, uint16) to float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(FULL_RANGE)


def to_uint16(image: Image) -> StoredImage:
    """Bring an image (any shape, float in [0, 1], clipped) to uint16; the inverse of `to_unit`, exactly."""
    return np.rint(np.clip(image, 0.0, 1.0).astype(np.float64) * FULL_RANGE).astype(np.uint16)


def resample(pixels: NDArray[np.uint16], size: tuple[int, int]) -> NDArray[np.uint16]:
    """Resample stored pixels to a size (rows, columns), without aliasing where they shrink.

    Shrinking averages areas, computed in float32 and rounded once; enlarging is bilinear.
    """
    if pixels.shape == size:
        return pixels
    shrinks = size[0] <= pixels.shape[0] and size[1] <= pixels.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (size[1], size[0]), interpolation=method), np.uint16)


def resample_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """Resample a mask to a size (rows, columns): a pixel belongs to it where at least half of its area does.

    A mask with any lesion keeps at least one pixel, so that a tiny lesion does not vanish.
    """
    if mask.shape == size:
        return mask
    shrinks = size[0] <= mask.shape[0] and size[1] <= mask.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    share = cv2.resize(mask.astype(np.float32), (size[1], size[0]), interpolation=method)
    resized = share >= _HALF
    if mask.any() and not resized.any():
        resized = share >= share.max() - _ROUNDING
    return np.asarray(resized, dtype=np.bool_)


def resample_mask_to_box(mask: Mask, size: tuple[int, int]) -> tuple[Mask, tuple[int, int, int, int]]:
    """Resample a mask as `resample_mask` does, and return only the box that holds it.

    A lesion covers a small part of a mammogram; where the mask shrinks, only that part is looked at, which takes a
    tenth of the time.

    Args:
        mask: (H, W) bool, with at least one pixel True.
        size: (rows, columns) of the mammogram that the box lies in.

    Returns:
        The mask inside its box, and the box (top, left, height, width) in the frame of `size`.
    """
    top, left, height, width = mask_box(mask)
    inside = mask[top : top + height, left : left + width]
    return resample_box_to_box(inside, (top, left), mask.shape, size)


def resample_box_to_box(
    inside: Mask, corner: tuple[int, int], shape: tuple[int, ...], size: tuple[int, int]
) -> tuple[Mask, tuple[int, int, int, int]]:
    """Do what `resample_mask_to_box` does where the box of the mask is known: to find it takes most of the time.

    Args:
        inside: (h, w) bool, the mask inside its box; each side of it has a pixel that is True.
        corner: (row, column) at which the box begins.
        shape: (H, W) of the whole mask.
        size: (rows, columns) of the mammogram that the box lies in.

    Returns:
        As `resample_mask_to_box`.
    """
    height, width = inside.shape
    if shape == size:
        return inside, (*corner, height, width)
    if size[0] > shape[0] or size[1] > shape[1]:
        whole = np.zeros(shape, np.bool_)
        whole[corner[0] : corner[0] + height, corner[1] : corner[1] + width] = inside
        return resample_mask_to_box(resample_mask(whole, size), size)
    first_row, shares = _area_means(inside.astype(np.float64), shape[0], size[0], corner[0])
    first_column, shares = _area_means(shares.T, shape[1], size[1], corner[1])
    resized = min(_HALF, float(shares.max()) - _ROUNDING) <= shares.T
    inner = mask_box(resized)
    box = (first_row + inner[0], first_column + inner[1], inner[2], inner[3])
    return resized[inner[0] : inner[0] + inner[2], inner[1] : inner[1] + inner[3]], box


def resample_small(mask: Mask, size: tuple[int, int]) -> Mask:
    """Return what `resample_mask` does, for a mask of which most is False: only the box that holds it is looked at."""
    resized = np.zeros(size, np.bool_)
    if mask.any():
        inside, (top, left, height, width) = resample_mask_to_box(mask, size)
        resized[top : top + height, left : left + width] = inside
    return resized


def _area_means(values: NDArray[np.float64], length: int, target: int, start: int) -> tuple[int, NDArray[np.float64]]:
    """Shrink the first axis of an array that is a part of a longer one, 0 elsewhere, by averaging areas.

    Args:
        values: (count, ...), the pixels `start` to `start + count` of `length`.
        length: pixels of the whole axis.
        target: pixels that the whole axis is brought to, at most `length`.
        start: see above.

    Returns:
        The first target pixel that the part touches, and the means of all that it touches.
    """
    step, count = length / target, len(values)
    first, last = int(start / step), min(target, int(np.ceil((start + count) / step)))
    edges = np.clip(np.arange(first, last + 1) * step - start, 0, count)
    whole = np.floor(edges).astype(np.int64)
    sums = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
    beyond = sums[np.minimum(whole + 1, count)] - sums[whole]
    at_edges = sums[whole] + (edges - whole)[:, None] * beyond
    return first, np.diff(at_edges, axis=0) / step


def crop(array: NDArray[np.generic], box: tuple[int, int, int, int], fill: float = 0) -> NDArray[np.generic]:
    """Cut a box (top, left, height, width) out of an array (H, W, ...); what lies outside of it becomes `fill`."""
    top, left, height, width = box
    out = np.full((height, width, *array.shape[2:]), fill, dtype=array.dtype)
    row0, row1 = max(top, 0), min(top + height, array.shape[0])
    col0, col1 = max(left, 0), min(left + width, array.shape[1])
    if row0 < row1 and col0 < col1:
        out[row0 - top : row1 - top, col0 - left : col1 - left] = array[row0:row1, col0:col1]
    return out


def mask_box(mask: Mask) -> tuple[int, int, int, int]:
    """Return the smallest box (top, left, height, width) that holds a mask; (0, 0, 0, 0) for an empty one."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return 0, 0, 0, 0
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    return top, int(columns[0]), bottom - top, int(columns[-1]) - int(columns[0]) + 1


def touches_border(mask: Mask) -> bool:
    """Say whether a mask (H, W) reaches the border of its patch."""
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def distance_from(mask: Mask) -> Image:
    """Return each pixel's distance, in pixels, from the nearest True one: (H, W) float32.

    It is 0 on the mask, and infinite everywhere if nothing is True. The same mask gives the same bits, which OpenCV's
    precise transform does not promise: its last ones depend on where in memory the picture lies, and a distance of 2
    that is a little more than 2 adds a pixel to a hole.
    """
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    return np.asarray(distance_transform_edt(~mask), np.float32)


def feather(mask: Mask, width_px: int) -> Image:
    """Return the opacity (H, W), in [0, 1], with which a fill covers the original: 1 on the mask, 0 far from it.

    Outside the mask it falls linearly with the distance and reaches exactly 0 at `width_px` + 1 pixels, so pixels
    farther away are the original's, bit for bit. With a width of 0 it is the mask itself.
    """
    if width_px == 0 or not mask.any():
        return mask.astype(np.float32)
    opacity: Image = np.clip(1.0 - distance_from(mask) / np.float32(width_px + 1), 0.0, 1.0).astype(np.float32)
    return opacity


def composite(original: StoredImage, fill: Image, opacity: Image) -> StoredImage:
    """Lay a fill over an original: exactly the original's stored pixels wherever the opacity is 0.

    Args:
        original: (H, W) uint16.
        fill: (H, W) float32 in [0, 1].
        opacity: (H, W) float32 in [0, 1], from `feather`.

    Returns:
        (H, W) uint16.
    """
    blended = to_uint16(opacity * fill + (np.float32(1) - opacity) * to_unit(original))
    return np.where(opacity > 0, blended, original).astype(np.uint16)


def corrupt(image: Image, mask: Mask, random: np.random.Generator) -> Image:
    """Replace the masked area by noise, uniform over [0, 1]. Source: the paper, section 3.3.

    Args:
        image: (H, W) float32 in [0, 1].
        mask: (H, W) bool.
        random: where the noise comes from. A full (H, W) field is drawn, so that it does not depend on the mask.

    Returns:
        (H, W) float32: the context, as the generator sees it.
    """
    noise = random.random(image.shape, dtype=np.float32)
    return np.where(mask, noise, image)


def encode_png(array: NDArray[np.uint16] | NDArray[np.uint8] | Mask) -> bytes:
    """Encode an image (uint16, uint8) or a mask (bool; True becomes 255) as a gray PNG.

    Differences from the left, and then run lengths: film is noise, in which longer repeats are looked for in vain. The
    same pixels give the same bytes, whether zlib-ng (twice as fast) is installed or not.

    Args:
        array: (H, W), not empty.

    Raises:
        ValueError: it is no such array.
    """
    if array.dtype != np.bool_:
        return _encode_gray(array)
    if array.size and (array.all() or not array.any()):
        return _encode_even(array.shape, bool(array.flat[0]))  # as the masks of normal patches are
    return _encode_gray(array.astype(np.uint8) * np.uint8(255))


@lru_cache(maxsize=64)
def _encode_even(shape: tuple[int, ...], value: bool) -> bytes:
    return _encode_gray(np.full(shape, 255 * value, np.uint8))


def _encode_gray(pixels: NDArray[Any]) -> bytes:
    if pixels.ndim != 2 or not pixels.size or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"An array of {pixels.dtype} {pixels.shape} cannot be a gray PNG of 8 or 16 bits.")
    height, width = pixels.shape
    depth = pixels.dtype.itemsize
    stored = np.ascontiguousarray(pixels, f">u{depth}").view(np.uint8).reshape(height, width * depth)
    lines = np.empty((height, 1 + width * depth), np.uint8)
    lines[:, 0] = _DIFFERENCES
    lines[:, 1 : 1 + depth] = stored[:, :depth]
    np.subtract(stored[:, depth:], stored[:, :-depth], out=lines[:, 1 + depth :])
    deflate = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, height, 8 * depth, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", deflate.compress(lines.data) + deflate.flush()), (b"IEND", b""))
    return _PNG_MARK + b"".join(_png_chunk(name, content) for name, content in parts)


def _png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(name)))


# Source: PNG (W3C, third edition), sections 5 and 9: the mark of the file, and the filter of a line named Sub.
_PNG_MARK, _DIFFERENCES = b"\x89PNG\r\n\x1a\n", 1


def encode_tiff(pixels: NDArray[np.uint16]) -> bytes:
    """Encode an image, (H, W) uint16, as an uncompressed gray TIFF whose pixels lie in one piece."""
    encoded = io.BytesIO()
    PillowImage.fromarray(pixels).save(encoded, "TIFF", strip_size=pixels.nbytes)
    return encoded.getvalue()


def read_tiff(path: Path) -> NDArray[np.uint16]:
    """Read a gray TIFF of 16 bits, (H, W) uint16; one as `encode_tiff` makes it is only mapped into memory.

    Raises:
        ValueError: if the file is no such TIFF.
        OSError: if it cannot be read.
    """
    with PillowImage.open(path, formats=("TIFF",)) as picture:
        tags: Any = getattr(picture, "tag_v2", {})
        offsets, compression, size = tags.get(_STRIP_OFFSETS, ()), tags.get(_COMPRESSION), picture.size
        if picture.format != "TIFF" or picture.mode != "I;16":
            raise ValueError(f"{path} is not a 16-bit gray TIFF image")
        if len(offsets) != 1 or compression != _UNCOMPRESSED:
            return np.asarray(picture, np.uint16)
    return np.memmap(path, "<u2", "r", offsets[0], (size[1], size[0]))


# Source: TIFF, revision 6.0, sections 4 and 8.
_COMPRESSION, _STRIP_OFFSETS, _UNCOMPRESSED = 259, 273, 1


def decode_png(encoded: bytes | memoryview) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode a gray PNG, (H, W), in the depth it was written with.

    Raises:
        ValueError: if the bytes are no PNG.
    """
    is_png = bytes(encoded[:8]) == _PNG_MARK  # OpenCV would take other formats as well
    array: NDArray[Any] | None = (
        cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED) if is_png else None
    )
    if array is None:
        raise ValueError("the bytes are not a PNG image")
    return array
