"""Pairs: which patch is to be filled, and which lesion patch lends the mask.

On disk::

    pairs.parquet      one row per pair, columns of `PAIR_COLUMNS`
    unpaired.parquet   counts of what could not be paired: reason, count
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np
import pandas as pd

from mammofill.ground.artifact import Artifact
from mammofill.ground.errors import TooFewError
from mammofill.ground.imaging import Mask
from mammofill.ground.parquet import read_parquet
from mammofill.patches import PatchSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NORMAL_TISSUE, RE_INFILL, OWN_LESION = "normal-tissue", "re-infill", "own-lesion"
"""Kinds of pairs, by what is filled."""

PAIR_COLUMNS = {
    "pair_id": "string",
    "kind": "string",  # what is filled: normal-tissue; a patch whose own lesion is painted over, with the outline of
    # another one: re-infill, or with its own: own-lesion
    "context_patch_id": "string",  # the patch that is to be filled
    "context_patient_id": "string",
    "context_pathology": "string",  # normal, or that of the lesion painted over
    "mask_donor_patch_id": "string",  # the lesion patch that lends its mask
    "mask_donor_patient_id": "string",
    "zoom": "float64",  # of the mask, about its own centroid
    "shift_rows_px": "int64",  # of the mask after the zoom
    "shift_columns_px": "int64",
    "requested_pathology": "string",  # the donor's own: the outline itself reveals the class
}


class Pairs(Artifact):
    """Pairs of a patch that is to be filled and a lesion patch that lends its mask, zoomed and shifted.

    ``table`` has a row for each pair (`PAIR_COLUMNS`); patches are named by their ``patch_id`` in the set that the
    pairs were made from, which ``show`` needs to draw them. See the module for the files.
    """

    kind: ClassVar[str] = "pairs"

    def show(self, patches: PatchSet, rows: Sequence[int] | None = None) -> Figure:
        """Draw some pairs, as a matplotlib figure: the lesion that lends its mask, and where it goes.

        Args:
            patches: the set that the pairs were made from.
            rows: row numbers in `table`; the first four where None.

        Raises:
            TooFewError: there are none, or a patch is not in `patches`.
        """
        from mammofill.patches.show import draw_rows

        table = self.table.iloc[list(range(min(4, len(self.table))) if rows is None else rows)]
        place_of = {name: place for place, name in enumerate(patches.table["patch_id"])}
        lost = [
            name for role in ("context", "mask_donor") for name in table[f"{role}_patch_id"] if name not in place_of
        ]
        if lost or not len(table):
            found = f"the patch {lost[0]!r} is not in {patches.folder}" if lost else "there are no pairs"
            raise TooFewError(f"{self.folder}: {found}. Give the patches from which these pairs were made.")
        contexts, _ = patches.pixels([place_of[name] for name in table["context_patch_id"]])
        donors, masks = patches.pixels([place_of[name] for name in table["mask_donor_patch_id"]])
        moves = zip(masks, table["zoom"], table["shift_rows_px"], table["shift_columns_px"], strict=True)
        borrowed = [borrowed_mask(mask, zoom, (int(down), int(right))) for mask, zoom, down, right in moves]
        cases = list(zip(donors, contexts, borrowed, strict=True))
        heads = ("lends its mask", "is to be filled", "the mask there")
        return draw_rows(cases, borrowed, list(table["requested_pathology"]), heads)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per pair, columns of `PAIR_COLUMNS`, index 0..N-1."""
        table = read_parquet(self.folder / "pairs.parquet")
        if "kind" not in table:  # made by a version that only filled normal patches
            table = table.assign(kind=NORMAL_TISSUE, context_pathology="normal")
        return table[list(PAIR_COLUMNS)].astype(PAIR_COLUMNS)

    @cached_property
    def unpaired(self) -> pd.DataFrame:
        """Counts of what could not be paired: reason, count."""
        return read_parquet(self.folder / "unpaired.parquet")


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
