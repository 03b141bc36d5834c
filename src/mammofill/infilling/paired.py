"""Pairs as pixels: the patch that is filled, and the mask that it borrows."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.errors import ArtifactError
from mammofill.pairing import Pairs, borrowed_mask
from mammofill.patches import PatchSet


def paired_pixels(
    patches: PatchSet, pairs: pd.DataFrame
) -> tuple[NDArray[np.uint16], NDArray[np.bool_], pd.DataFrame, pd.DataFrame]:
    """Decode what some pairs are about.

    Args:
        patches: the patches that the pairs were made from.
        pairs: rows of `Pairs.table`.

    Returns:
        contexts (N, H, W) uint16; masks (N, H, W) bool as the contexts receive them, zoomed and shifted; and the rows
        of the patches' table of the contexts and of the mask donors.
    """
    row_of = {patch_id: row for row, patch_id in enumerate(patches.table["patch_id"])}
    context_rows = np.array([row_of[name] for name in pairs["context_patch_id"]], np.int64)
    donor_rows = np.array([row_of[name] for name in pairs["mask_donor_patch_id"]], np.int64)
    contexts, _ = patches.pixels(context_rows)
    _, masks = patches.pixels(donor_rows)
    shifts = zip(pairs["shift_rows_px"], pairs["shift_columns_px"], strict=True)
    for number, (zoom, (rows, columns)) in enumerate(zip(pairs["zoom"], shifts, strict=True)):
        masks[number] = borrowed_mask(masks[number], float(zoom), (int(rows), int(columns)))
    return contexts, masks, patches.table.iloc[context_rows], patches.table.iloc[donor_rows]


def check_same_patches(pairs: Pairs, patches: PatchSet) -> None:
    """Refuse pairs that were made from other patches.

    Raises:
        ArtifactError: naming both folders.
    """
    made_from = {record.fingerprint for record in pairs.manifest.inputs if record.role == "patches"}
    if patches.fingerprint not in made_from:
        named = ", ".join(sorted(one[:12] for one in made_from)) or "none"
        raise ArtifactError(
            f"The pairs in {pairs.folder} were not made from the patches in {patches.folder}: these have the "
            f"fingerprint {patches.fingerprint[:12]}, the pairs name {named}. Give the patches that the pairs were "
            "made from, or run pair-patches on these."
        )
