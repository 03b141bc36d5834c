"""Where is breast? Film labels, tape and the bright edges of a scan are not."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from mammofill.ground.imaging import Mask, StoredImage, resample, resample_mask

_WORKING_ROWS = 256
"""The breast is looked for in a small copy of this height: its outline needs no more, and noise averages out."""

_FLOOR_SHARE = 0.35
"""The threshold lies this far from the film's background towards Otsu's threshold: dim skin lies below Otsu's."""


def find_breast(image: StoredImage) -> Mask:
    """Find the breast: the largest connected region that is brighter than the film around it, holes filled.

    The threshold lies between the background's most frequent value and Otsu's threshold (Otsu, IEEE Transactions on
    Systems, Man, and Cybernetics, 1979). An opening cuts labels and tape off the outline before the largest region is
    taken. The pectoral muscle of an MLO view counts as breast here.

    Args:
        image: (H, W) uint16, bright = dense.

    Returns:
        (H, W) bool; all False if nothing stands out from the background.
    """
    scale = min(1.0, _WORKING_ROWS / image.shape[0])
    size = (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
    small = cv2.GaussianBlur(resample(image, size).astype(np.float32), (0, 0), 1.0)
    small8 = np.rint(small / 257).astype(np.uint8)
    if small8.max() == small8.min():
        return np.zeros(image.shape, np.bool_)
    otsu, _ = cv2.threshold(small8, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    counts = np.bincount(small8.ravel(), minlength=256)
    background = int(counts[: max(1, int(otsu))].argmax())
    bright = small8 > background + max(2.0, _FLOOR_SHARE * (otsu - background))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    # Padding with the border's own values keeps the opening from rounding off the side at the chest wall.
    padded = np.pad(bright.astype(np.uint8), 9, mode="edge")
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, disc)[9:-9, 9:-9] > 0
    labels, found = ndimage.label(opened)
    if not found:
        return np.zeros(image.shape, np.bool_)
    areas = np.bincount(labels.ravel())[1:]
    breast = ndimage.binary_fill_holes(labels == int(areas.argmax()) + 1)
    return resample_mask(np.asarray(breast, np.bool_), (image.shape[0], image.shape[1]))
