"""Heat maps: where a classifier looks, drawn over some test patches."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.imaging import Mask, StoredImage
from mammofill.ground.seeding import stream

_CELL_PX, _GAP_PX, _MARGIN_PX, _HEAD_PX = 160, 4, 84, 36
_LETTER = cv2.FONT_HERSHEY_SIMPLEX
_OUTLINE = (255, 200, 0)
"""Light blue, in OpenCV's order (blue, green, red): not a colour of the heat."""
_OPACITY = 0.6

Picture = NDArray[np.uint8]
"""(H, W, 3), blue, green, red."""


def hardest_patches(scores: pd.DataFrame, count: int) -> NDArray[np.int64]:
    """Return the positions of the patches with the largest errors (greatest negative log-likelihood)."""
    malignant = (scores["pathology"] == "malignant").to_numpy(dtype=bool)
    against = np.where(malignant, -scores["logit"], scores["logit"])
    return np.argsort(-against, kind="stable")[:count].astype(np.int64)


def random_patches(scores: pd.DataFrame, count: int, seed: int) -> NDArray[np.int64]:
    """Return positions drawn at random, the same ones for every classifier on this test set."""
    return stream(seed, "heat-maps").permutation(len(scores))[:count].astype(np.int64)


def heat_map_sheet(
    scores: pd.DataFrame, images: NDArray[np.uint16], masks: NDArray[np.bool_], maps: NDArray[np.float32]
) -> bytes:
    """Draw patches side by side.

    Args:
        scores: pathology and score of each, as many as there are images.
        images: (N, H, W) over 0..65535; each is stretched between its 0.5th and 99.5th percentiles.
        masks: (N, H, W).
        maps: (N, H, W) in [0, 1].

    Returns:
        PNG in colour: a column for each patch with its truth and score, the patch, the map over it, the lesion's
        outline over it.

    Raises:
        ValueError: OpenCV cannot encode the picture.
    """
    grays = [_gray(image) for image in images]
    outlined = [_with_outline(gray, mask) for gray, mask in zip(grays, masks, strict=True)]
    heated = [_with_outline(_with_heat(gray, one), mask) for gray, one, mask in zip(grays, maps, masks, strict=True)]
    rows = [_row("patch", grays), _row("looks at", heated), _row("lesion", outlined)]
    done, encoded = cv2.imencode(".png", np.vstack([_heads(scores, rows[0].shape[1]), *rows]))
    if not done:
        raise ValueError("OpenCV could not encode the heat maps as PNG.")
    return encoded.tobytes()


def _gray(image: StoredImage) -> Picture:
    low, high = np.percentile(image, [0.5, 99.5])
    values = np.clip((image - low) / max(high - low, 1.0), 0, 1) * 255
    return _enlarged(np.repeat(np.rint(values).astype(np.uint8)[:, :, None], 3, axis=2))


def _with_heat(gray: Picture, one: NDArray[np.float32]) -> Picture:
    heat = cv2.resize(one, (_CELL_PX, _CELL_PX), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    cover = _OPACITY * heat[:, :, None]
    return np.asarray(np.rint(gray * (1 - cover) + colours * cover), np.uint8)


def _with_outline(picture: Picture, mask: Mask) -> Picture:
    large = cv2.resize(mask.astype(np.uint8), (_CELL_PX, _CELL_PX), interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(picture.copy(), outlines, -1, _OUTLINE, 1, cv2.LINE_AA), np.uint8)


def _enlarged(picture: Picture) -> Picture:
    how = cv2.INTER_AREA if len(picture) > _CELL_PX else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (_CELL_PX, _CELL_PX), interpolation=how), np.uint8)


def _row(label: str, cells: list[Picture]) -> Picture:
    row = np.full((_CELL_PX + _GAP_PX, _MARGIN_PX + len(cells) * (_CELL_PX + _GAP_PX), 3), 255, np.uint8)
    cv2.putText(row, label, (6, _CELL_PX // 2), _LETTER, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    for number, one in enumerate(cells):
        left = _MARGIN_PX + number * (_CELL_PX + _GAP_PX)
        row[:_CELL_PX, left : left + _CELL_PX] = one
    return row


def _heads(scores: pd.DataFrame, width: int) -> Picture:
    head = np.full((_HEAD_PX, width, 3), 255, np.uint8)
    for number, (pathology, score) in enumerate(zip(scores["pathology"], scores["score"], strict=True)):
        left = _MARGIN_PX + number * (_CELL_PX + _GAP_PX)
        cv2.putText(head, str(pathology), (left, 14), _LETTER, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        cv2.putText(head, f"score {score:.3f}", (left, 30), _LETTER, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return head
