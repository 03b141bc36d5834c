"""Each normal patch with a lesion patch whose mask it borrows: the stage `pair-patches`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.artifact import begin
from mammofill.ground.errors import TooFewError
from mammofill.ground.imaging import Mask, touches_border
from mammofill.ground.progress import Progress, quiet
from mammofill.ground.seeding import stream
from mammofill.pairing.hole import hole_of
from mammofill.pairing.pairs import PAIR_COLUMNS, Pairs, borrowed_mask
from mammofill.pairing.settings import PairPatchesSettings
from mammofill.patches import PatchSet

_AT_ONCE = 1024
"""Normal patches whose tissue is decoded at once."""


def pair_patches(
    patches: PatchSet,
    out: str | Path,
    settings: PairPatchesSettings = PairPatchesSettings(),
    *,
    seed: int = 0,
    progress: Progress = quiet,
) -> Pairs:
    """Draw a lesion patch for each normal patch until its mask fits. Source: the paper, section 4.1.

    A mask that its own window cuts off does not lend itself: zoomed out, it would lie in the tissue with a straight
    edge. For a normal patch, one of the other lesion patches of the same split is drawn, and a zoom (and shift) for its
    mask. The pair is kept if the whole hole that belongs to the mask (`settings.hole`; the mask itself, in the paper)
    lies on breast tissue and inside the patch, without touching the border; otherwise the next one is drawn, at most
    `tries` times; a lesion patch lends its mask to a normal patch only once. Every patch has its own stream of chance,
    so a pair does not depend on which other normal patches there are. Context and donor may be the same patient's: both
    are in the same split.

    Args:
        patches: real patches.
        out: folder of the pairs.
        settings: zoom, shift and tries.
        seed: decides all draws.
        progress: told as patches are done.

    Returns:
        The pairs; their `unpaired` counts the patches that stayed alone, and the tries that failed, by reason.

    Raises:
        TooFewError: the split has no normal patch, no lesion patch, or not one pair could be made.
    """
    normals = patches.rows(split=settings.split, origin="real", pathology="normal")
    donors = patches.rows(split=settings.split, origin="real", pathology=("benign", "malignant"))
    for rows, kind in ((normals, "normal"), (donors, "lesion")):
        if not len(rows):
            raise TooFewError(
                f"{patches.folder} has no {kind} patch in the {settings.split} split, so nothing can be paired. "
                f"Its patches: {_counts(patches)}."
            )

    with begin(
        out, kind=Pairs.kind, stage="pair-patches", settings=settings, seed=seed, inputs={"patches": patches}
    ) as work:
        if work is not None:
            masks = patches.masks(donors)
            whole = ~np.array([touches_border(mask) for mask in masks])
            unpaired: Counter[str] = Counter({"donor-mask-cut": int((~whole).sum())} if not whole.all() else {})
            if not whole.any():
                raise TooFewError(
                    f"All {len(donors)} lesion patches of {patches.folder} in the {settings.split} split hold only a "
                    "part of their lesion, so none can lend its mask. Use larger patches or a smaller stride."
                )
            donors, masks = donors[whole], masks[whole]
            found = list(_pairs(patches, normals, donors, masks, settings, seed, unpaired, progress))
            if not found:
                reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(unpaired.items()))
                raise TooFewError(
                    f"None of the {len(normals)} normal patches of {patches.folder} could be paired: {reasons}. "
                    "Allow more tries, a smaller zoom, or use larger patches."
                )
            table = pd.DataFrame(found, columns=list(PAIR_COLUMNS)).astype(PAIR_COLUMNS)
            table.to_parquet(work.folder / "pairs.parquet", index=False)
            counts = pd.DataFrame(sorted(unpaired.items()), columns=["reason", "count"])
            counts.astype({"reason": "string", "count": "int64"}).to_parquet(
                work.folder / "unpaired.parquet", index=False
            )
            alone = unpaired["patch-unpaired"]
            progress.say(f"{len(table)} pairs; {alone} places in normal patches stayed without a mask that fits")
            work.finish({"pairs": len(table), "unpaired": alone})
    return Pairs.open(out)


def _counts(patches: PatchSet) -> str:
    counts = Counter(zip(patches.table["split"], patches.table["pathology"], strict=True))
    return ", ".join(f"{split} {pathology} {count}" for (split, pathology), count in sorted(counts.items())) or "none"


def _pairs(
    patches: PatchSet,
    normals: NDArray[np.int64],
    donors: NDArray[np.int64],
    masks: NDArray[np.bool_],
    settings: PairPatchesSettings,
    seed: int,
    unpaired: Counter[str],
    progress: Progress,
) -> Iterator[dict[str, Any]]:
    names = patches.table["patch_id"].to_numpy()
    patients = patches.table["patient_id"].to_numpy()
    pathologies = patches.table["pathology"].to_numpy()
    with progress.task("pairing patches", len(normals)) as task:
        for start in range(0, len(normals), _AT_ONCE):
            chunk = normals[start : start + _AT_ONCE]
            for row, breast in zip(chunk, patches.breasts(chunk), strict=True):
                lent: set[int] = set()
                for number in range(settings.pairs_per_patch):
                    random = stream(seed, "pairing", str(names[row]), number)
                    found = _draw_donor(breast, masks, lent, settings, random, unpaired)
                    if found is None:
                        unpaired["patch-unpaired"] += 1
                        continue
                    donor, zoom, shift = found
                    lent.add(donor)
                    lender = donors[donor]
                    yield {
                        "pair_id": f"{names[row]}_p{number}",
                        "context_patch_id": names[row],
                        "context_patient_id": patients[row],
                        "mask_donor_patch_id": names[lender],
                        "mask_donor_patient_id": patients[lender],
                        "zoom": zoom,
                        "shift_rows_px": shift[0],
                        "shift_columns_px": shift[1],
                        "requested_pathology": pathologies[lender],
                    }
            task.advance(len(chunk))


def _draw_donor(
    breast: Mask,
    masks: NDArray[np.bool_],
    lent: set[int],
    settings: PairPatchesSettings,
    random: np.random.Generator,
    unpaired: Counter[str],
) -> tuple[int, float, tuple[int, int]] | None:
    most_shift = round(settings.max_shift_share * breast.shape[0])
    for _ in range(settings.tries):
        donor = int(random.integers(len(masks)))
        zoom = float(random.uniform(*settings.zoom))
        shift = (int(random.integers(-most_shift, most_shift + 1)), int(random.integers(-most_shift, most_shift + 1)))
        if donor in lent:
            unpaired["try-donor-lent-already"] += 1
            continue
        reason = check_placement(borrowed_mask(masks[donor], zoom, shift), breast, settings)
        if reason is None:
            return donor, zoom, shift
        unpaired[f"try-{reason}"] += 1
    return None


def check_placement(mask: Mask, breast: Mask, settings: PairPatchesSettings) -> str | None:
    """Say why a lesion may not be painted into a patch; None if it may.

    Args:
        mask: (H, W) bool, where the lesion would go.
        breast: (H, W) bool, where breast is in the patch.
        settings: least area of the mask, and the hole.

    Returns:
        ``mask-too-small``, ``hole-at-the-border``, ``hole-off-the-breast``, or None.
    """
    if int(mask.sum()) < settings.min_mask_px:
        return "mask-too-small"
    hole = hole_of(mask, settings.hole)
    if touches_border(hole):
        return "hole-at-the-border"
    if not breast[hole].all():
        return "hole-off-the-breast"
    return None
