"""Pairs as pixels: the patch that is filled, and the mask that it borrows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.errors import ArtifactError
from mammofill.pairing import Pairs, borrowed_mask
from mammofill.pairing.hole import HoleSettings, hole_of
from mammofill.patches import PatchSet


def paired_rows(patches: PatchSet, pairs: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows, in the patches' table, of the contexts and of the mask donors of some pairs: (N,) each.

    Raises:
        ArtifactError: a pair names a patch that is not there.
    """
    index = pd.Index(patches.table["patch_id"])
    found = []
    for role in ("context", "mask_donor"):
        names = pairs[f"{role}_patch_id"]
        rows = np.asarray(index.get_indexer(pd.Index(names)), np.int64)
        if (rows < 0).any():
            name = names.iloc[int(np.argmin(rows))]
            raise ArtifactError(f"A pair names the patch {name!r}, which is not in {patches.folder}.")
        found.append(rows)
    return found[0], found[1]


def paired_pixels(
    patches: PatchSet,
    pairs: pd.DataFrame,
    rows: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> tuple[NDArray[np.uint16], NDArray[np.bool_], pd.DataFrame, pd.DataFrame]:
    """Decode the pixels of some pairs.

    Args:
        patches: the patches that the pairs were made from.
        pairs: rows of `Pairs.table`.
        rows: the result of `paired_rows` for them, where it is known already.

    Returns:
        contexts (N, H, W) uint16; masks (N, H, W) bool as the contexts receive them, zoomed and shifted; and the rows
        of the patches' table of the contexts and of the mask donors.
    """
    context_rows, donor_rows = rows or paired_rows(patches, pairs)
    contexts, _ = patches.pixels(context_rows)
    masks = patches.masks(donor_rows)
    shifts = zip(pairs["shift_rows_px"], pairs["shift_columns_px"], strict=True)
    for number, (zoom, (down, right)) in enumerate(zip(pairs["zoom"], shifts, strict=True)):
        masks[number] = borrowed_mask(masks[number], float(zoom), (int(down), int(right)))
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


def check_own_lesions_hidden(
    pairs: Pairs,
    patches: PatchSet,
    contexts: pd.DataFrame,
    masks: NDArray[np.bool_],
    hole: HoleSettings,
    infiller: Path,
) -> None:
    """Refuse to paint over lesions of which something would be left around the fill.

    `pair_patches` hides each in the hole that it is given. A smaller one, of an infiller that repaints less, leaves a
    ring of the real lesion, which reveals the class whatever is painted.

    Args:
        pairs: their settings say how much around a lesion must be hidden.
        patches: the patches that the pairs were made from.
        contexts: N rows of their table; those of normal tissue have nothing to hide.
        masks: (N, H, W) bool, as the contexts receive them.
        hole: what is repainted for them.
        infiller: its folder, for the message.

    Raises:
        ArtifactError: it says how many, one of them, and which hole would do.
    """
    over = np.flatnonzero((contexts["pathology"] != "normal").to_numpy())
    made = pairs.manifest.settings
    margin_px, rim_px = float(made.get("own_margin_px", 0.0)), int(made.get("hole", {}).get("rim_px", 0))
    hidden = HoleSettings("dilation", 0.0, margin_px, rim_px)
    owns = patches.masks(contexts.index.to_numpy()[over])
    shown = [
        str(contexts["patch_id"].iloc[number])
        for number, own in zip(over, owns, strict=True)
        if own.any() and (hole_of(own, hidden) & ~hole_of(masks[number], hole)).any()
    ]
    if shown:
        raise ArtifactError(
            f"{pairs.folder}: {len(shown)} of {len(over)} lesions that are to be painted over would show around the "
            f"fill, such as that of the patch {shown[0]!r}. The infiller in {infiller} repaints {hole}, which must "
            f"hold the lesion and {margin_px:g} px around it. Make the pairs for this hole (pair-patches "
            f"{hole.options}), or use an infiller that repaints as much as the pairs were made for."
        )
