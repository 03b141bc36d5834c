"""Images for the page: sheets of thumbnails of patches, and tiles of mammograms with the outlines of their lesions."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.mammograms import MammogramSet
from mammofill.patches import PatchSet

THUMB_PX, SHEET_COLUMNS = 96, 10
TILE_PX = 256
_LEVELS_KEPT = 12
"""Number of cached levels of mammograms; the largest has some 16 MB in 8 bits."""
_OUTLINE = {"benign": (60, 190, 60), "malignant": (60, 60, 235)}  # blue, green, red


def to_8bit(image: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Scale an image (H, W) uint16 to 8 bits between its 1st and 99th percentile."""
    low, high = np.percentile(image, (1, 99))
    scaled = (image.astype(np.float32) - low) * (255 / max(float(high - low), 1.0))
    return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)


def sheet(patches: PatchSet, rows: NDArray[np.int64]) -> bytes:
    """Return thumbnails of patches with the outlines of their lesions, `SHEET_COLUMNS` in a row, as a PNG."""
    images, masks = patches.pixels(rows)
    lines = math.ceil(len(rows) / SHEET_COLUMNS)
    canvas = np.zeros((max(lines, 1) * THUMB_PX, SHEET_COLUMNS * THUMB_PX, 3), np.uint8)
    pathologies = patches.table["pathology"].iloc[rows]
    for number, (image, mask, pathology) in enumerate(zip(images, masks, pathologies, strict=True)):
        thumb = cv2.cvtColor(
            cv2.resize(to_8bit(image), (THUMB_PX, THUMB_PX), interpolation=_smooth(image)), cv2.COLOR_GRAY2BGR
        )
        if mask.any():
            large = cv2.resize(mask.astype(np.uint8), (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_LINEAR)
            outlines, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(thumb, outlines, -1, _OUTLINE.get(pathology, (0, 200, 200)), 1)
        top, left = (place * THUMB_PX for place in divmod(number, SHEET_COLUMNS))
        canvas[top : top + THUMB_PX, left : left + THUMB_PX] = thumb
    return cv2.imencode(".png", canvas)[1].tobytes()


def _smooth(image: NDArray[Any]) -> int:
    return cv2.INTER_AREA if image.shape[0] > THUMB_PX else cv2.INTER_LINEAR


class Tiles:
    """Renders tiles of mammograms and caches the last `_LEVELS_KEPT` levels."""

    def __init__(self) -> None:
        self._levels: OrderedDict[tuple[str, str, int, bool], NDArray[np.uint8]] = OrderedDict()

    def tile(
        self, mammograms: MammogramSet, mammogram_id: str, level: int, column: int, row: int, outlines: bool
    ) -> bytes | None:
        """Return one tile as PNG, or None outside of the mammogram.

        Levels are numbered as by OpenSeadragon: `top_level` is the full resolution, each lower one has half the size.
        """
        facts = mammograms.facts(mammogram_id)
        if not 0 <= level <= top_level(facts["rows"], facts["columns"]):
            return None
        key = (mammograms.fingerprint, mammogram_id, level, outlines)
        if key not in self._levels:
            self._levels[key] = _level(mammograms, mammogram_id, level, outlines)
            while len(self._levels) > _LEVELS_KEPT:
                self._levels.popitem(last=False)
        self._levels.move_to_end(key)
        whole = self._levels[key]
        part = whole[row * TILE_PX : (row + 1) * TILE_PX, column * TILE_PX : (column + 1) * TILE_PX]
        if row < 0 or column < 0 or not part.size:
            return None
        return cv2.imencode(".png", part)[1].tobytes()


def top_level(rows: int, columns: int) -> int:
    """Return the number of the level of full resolution."""
    return math.ceil(math.log2(max(rows, columns)))


def white_of(image: NDArray[np.uint16]) -> int:
    """Return the gray value that the tiles of a mammogram show as white."""
    return max(int(np.percentile(image[::4, ::4], 99.9)), 1)


def _level(mammograms: MammogramSet, mammogram_id: str, level: int, outlines: bool) -> NDArray[np.uint8]:
    image = np.asarray(mammograms.image(mammogram_id))
    share = 2.0 ** (level - top_level(*image.shape))
    size = (max(1, math.ceil(image.shape[1] * share)), max(1, math.ceil(image.shape[0] * share)))
    most = white_of(image)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if share < 1 else image
    gray = np.asarray(np.clip(small.astype(np.float32) * (255 / most), 0, 255), np.uint8)
    if not outlines:
        return gray
    drawn = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
    for lesion in mammograms.lesions_of(mammogram_id).to_dict("records"):
        mask = np.pad(mammograms.mask_in_box(lesion["lesion_id"]).astype(np.uint8), 1)
        found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        shift = np.array([lesion["left"] - 1, lesion["top"] - 1])
        lines = [np.rint((one + shift) * share).astype(np.int32) for one in found]
        cv2.polylines(drawn, lines, True, _OUTLINE.get(lesion["pathology"], (0, 200, 200)), 1)
    return np.asarray(drawn, np.uint8)
