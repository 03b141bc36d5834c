"""Pairs: which patch is to be filled, and which lesion patch lends the mask.

On disk::

    pairs.parquet      one row per pair, columns of `PAIR_COLUMNS`
    unpaired.parquet   counts of what could not be paired: reason, count
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import cv2
import numpy as np
import pandas as pd

from mammofill.ground.artifact import Artifact
from mammofill.ground.imaging import Mask

NORMAL_TISSUE, RE_INFILL = "normal-tissue", "re-infill"
"""Kinds of pairs, by what is filled."""

PAIR_COLUMNS = {
    "pair_id": "string",
    "kind": "string",  # what is filled: normal-tissue, or a patch whose own lesion is painted over: re-infill
    "context_patch_id": "string",  # the patch that is to be filled
    "context_patient_id": "string",
    "context_pathology": "string",  # normal, or that of the lesion painted over
    "mask_donor_patch_id": "string",  # the lesion patch that lends its mask
    "mask_donor_patient_id": "string",
    "zoom": "float64",  # of the mask, about its own centroid
    "shift_rows_px": "int64",  # of the mask after the zoom
    "shift_columns_px": "int64",
    "requested_pathology": "string",  # the donor's own: the outline itself tells the class
}


class Pairs(Artifact):
    """Pairs of a patch to fill and a patch that lends the mask. See the module for the folder."""

    kind: ClassVar[str] = "pairs"

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per pair, columns of `PAIR_COLUMNS`, index 0..N-1."""
        table = pd.read_parquet(self.folder / "pairs.parquet")
        if "kind" not in table:  # made by a version that filled normal patches only
            table = table.assign(kind=NORMAL_TISSUE, context_pathology="normal")
        return table[list(PAIR_COLUMNS)].astype(PAIR_COLUMNS)

    @cached_property
    def unpaired(self) -> pd.DataFrame:
        """Counts of what could not be paired: reason, count."""
        return pd.read_parquet(self.folder / "unpaired.parquet")


def borrowed_mask(mask: Mask, zoom: float, shift_px: tuple[int, int]) -> Mask:
    """Zoom a lesion's mask about its centroid and shift it: the mask as the patch to be filled receives it.

    Args:
        mask: (H, W) bool, with at least one True.
        zoom: factor; above 1 the lesion grows.
        shift_px: rows and columns by which it moves afterwards.

    Returns:
        (H, W) bool. What leaves the patch is cut off; `pair_patches` refuses such pairs.
    """
    rows, columns = np.nonzero(mask)
    row, column = rows.mean(), columns.mean()
    matrix = np.array(
        [[zoom, 0, (1 - zoom) * column + shift_px[1]], [0, zoom, (1 - zoom) * row + shift_px[0]]], np.float64
    )
    share = cv2.warpAffine(mask.astype(np.float32), matrix, mask.shape[::-1], flags=cv2.INTER_LINEAR)
    return np.asarray(share >= 0.5, dtype=np.bool_)
