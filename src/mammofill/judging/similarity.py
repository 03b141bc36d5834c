"""Similarity of lesions: cut out by their outline, brought to one size, and compared."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.imaging import Mask, to_unit

CROP_PX = 32
_FINE, _COARSE = 0.7, 3.0
"""Standard deviations, in pixels of the crop: finer than the first is grain, coarser than the second is what all blobs
share, and what a soft edge changes. Ours: of those tried, these distinguish pasted copies best from other lesions."""
_RIM_PX = 3.0
_FIRST_AT_ONCE, _SECOND_AT_ONCE = 512, 16_384
"""What is compared at once: 34 MB of correlations, however many there are."""


def crops(images: NDArray[np.uint16], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Cut lesions out.

    The crop is centred on the mask's centroid and as wide as a disc of the mask's area: a copy of a lesion, shifted or
    zoomed, gives the same crop.

    Args:
        images: (N, H, W).
        masks: (N, H, W), none empty.

    Returns:
        (N, CROP_PX, CROP_PX) float32 in [0, 1].
    """
    found = [_crop(to_unit(image), mask) for image, mask in zip(images, masks, strict=True)]
    return np.array(found, np.float32).reshape(-1, CROP_PX, CROP_PX)


def descriptors(cut: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what is compared: (N, CROP_PX²) of length 1, so that a product of two is their correlation over the disc.

    Args:
        cut: (N, CROP_PX, CROP_PX) from `crops`.
    """
    banded = [cv2.GaussianBlur(one, (0, 0), _FINE) - cv2.GaussianBlur(one, (0, 0), _COARSE) for one in cut]
    flat = np.array(banded, np.float32).reshape(len(cut), CROP_PX**2)  # also where there are none
    weight = _disc().ravel()
    flat -= (flat @ weight / weight.sum())[:, None]
    flat *= np.sqrt(weight)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    return flat


def greatest_correlation(
    first: NDArray[np.float32], first_names: NDArray[np.object_], second: NDArray[np.float32],
    second_names: NDArray[np.object_],
) -> NDArray[np.float64]:  # fmt: skip
    """Return for each of the first its greatest correlation with any of the second that has another name.

    All are compared: time grows with N M (20,000 with 20,000 take a minute of a core), memory does not.

    Args:
        first: (N, P) from `descriptors`.
        first_names: (N,) such as patients.
        second: (M, P).
        second_names: (M,).

    Returns:
        (N,) float64; -1 where there is no other.
    """
    # Names as numbers: to compare so many words would take longer than the correlations.
    _, number_of = np.unique(np.concatenate([first_names, second_names]).astype(str), return_inverse=True)
    numbers, other_numbers = np.split(number_of, [len(first)])
    found = np.full(len(first), -1.0)
    for start in range(0, len(first), _FIRST_AT_ONCE):
        some = slice(start, start + _FIRST_AT_ONCE)
        for beside in range(0, len(second), _SECOND_AT_ONCE):
            others = slice(beside, beside + _SECOND_AT_ONCE)
            alike = first[some] @ second[others].T
            alike[numbers[some, None] == other_numbers[None, others]] = -1.0
            found[some] = np.maximum(found[some], alike.max(axis=1))
    return found


def copy_threshold(real: NDArray[np.float32], patients: NDArray[np.object_]) -> float:
    """Return the correlation from which two lesions count as one.

    The two most alike real lesions of different patients are no copies. Halfway from their correlation to 1 leaves room
    for pairs a little more alike, which as many fills would hold by chance.

    Args:
        real: (N, P) from `descriptors`.
        patients: (N,).
    """
    return (1 + max(0.0, float(greatest_correlation(real, patients, real, patients).max(initial=0.0)))) / 2


def _disc() -> NDArray[np.float32]:
    """Return weights (CROP_PX, CROP_PX): 1 inside the disc, 0 in the corners, which are not the lesion's."""
    rows, columns = np.mgrid[:CROP_PX, :CROP_PX] - (CROP_PX - 1) / 2
    return np.asarray(np.clip((CROP_PX / 2 - np.hypot(rows, columns)) / _RIM_PX, 0, 1), np.float32)


def _crop(image: NDArray[np.float32], mask: Mask) -> NDArray[np.float32]:
    rows, columns = np.nonzero(mask)
    zoom = 2 * np.sqrt(len(rows) / np.pi) / CROP_PX
    middle = (CROP_PX - 1) / 2
    # From pixels of the crop to those of the patch, in OpenCV's order (column, row).
    matrix = np.array([[zoom, 0, columns.mean() - zoom * middle], [0, zoom, rows.mean() - zoom * middle]], np.float64)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    smooth = cv2.GaussianBlur(image, (0, 0), zoom / 2) if zoom > 1 else image
    cut = cv2.warpAffine(smooth, matrix, (CROP_PX, CROP_PX), flags=how, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(cut, np.float32)
