"""Pure functions on images and masks. Order is always (row, column); boxes are (top, left, height, width)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
"""(H, W) float32 in [0, 1], bright = dense."""
StoredImage = NDArray[np.uint16]
"""(H, W) uint16 over the full range 0..65535, the form in which pixels are kept on disk."""
Mask = NDArray[np.bool_]
"""(H, W) bool, True = lesion, or to be filled."""

FULL_RANGE = 65535


def to_unit(pixels: StoredImage) -> Image:
    """Bring stored pixels (any shape, uint16) to float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(FULL_RANGE)


def to_uint16(image: Image) -> StoredImage:
    """Bring an image (any shape, float in [0, 1], clipped) to uint16; the inverse of `to_unit`, exactly."""
    return np.rint(np.clip(image, 0.0, 1.0).astype(np.float64) * FULL_RANGE).astype(np.uint16)


def resample(pixels: NDArray[np.uint16], size: tuple[int, int]) -> NDArray[np.uint16]:
    """Resample stored pixels to a size (rows, columns), without aliasing where they shrink.

    Shrinking averages areas; enlarging is bilinear. Computed in float32, rounded once.
    """
    if pixels.shape == size:
        return pixels
    shrinks = size[0] <= pixels.shape[0] and size[1] <= pixels.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(pixels.astype(np.float32), (size[1], size[0]), interpolation=method)
    return np.clip(np.rint(resized), 0, FULL_RANGE).astype(np.uint16)


def resample_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """Resample a mask to a size (rows, columns): a pixel belongs to it where at least half of its area does.

    A mask with any lesion keeps at least one pixel, so that a tiny lesion does not vanish.
    """
    if mask.shape == size:
        return mask
    shrinks = size[0] <= mask.shape[0] and size[1] <= mask.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    share = cv2.resize(mask.astype(np.float32), (size[1], size[0]), interpolation=method)
    resized = share >= 0.5
    if mask.any() and not resized.any():
        resized = share >= share.max()
    return np.asarray(resized, dtype=np.bool_)


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
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    top, left = int(rows[0]), int(columns[0])
    return top, left, int(rows[-1]) - top + 1, int(columns[-1]) - left + 1


def feather(mask: Mask, width_px: int) -> Image:
    """Return the opacity (H, W), in [0, 1], with which a fill covers the original: 1 on the mask, 0 far from it.

    Outside the mask it falls linearly with the distance and reaches exactly 0 at `width_px` + 1 pixels, so pixels
    farther away are the original's, bit for bit. With a width of 0 it is the mask itself.
    """
    if width_px == 0 or not mask.any():
        return mask.astype(np.float32)
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    opacity: Image = np.clip(1.0 - distance / np.float32(width_px + 1), 0.0, 1.0).astype(np.float32)
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

    Compression level 1: a few per cent larger than the densest level, and several times faster.
    """
    pixels: NDArray[Any] = array.astype(np.uint8) * 255 if array.dtype == np.bool_ else array
    done, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError(f"OpenCV could not encode an array of {array.dtype} {array.shape} as PNG.")
    return encoded.tobytes()


def decode_png(encoded: bytes) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode a gray PNG, (H, W), in the depth it was written with.

    Raises:
        ValueError: if the bytes are no PNG.
    """
    array: NDArray[Any] | None = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise ValueError("the bytes are not a PNG image")
    return array
