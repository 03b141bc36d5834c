"""Lesions painted where a person drew them: which masks may be filled, the fills, and their patch set."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.artifact import Artifact, begin
from mammofill.ground.errors import LeakError, MammofillError, SettingsError, TooFewError
from mammofill.ground.imaging import Mask, StoredImage
from mammofill.infilling import Infiller
from mammofill.pairing.hole import hole_of
from mammofill.pairing.pair import check_placement
from mammofill.pairing.settings import PairPatchesSettings
from mammofill.patches import PatchSet, write_index, write_shard
from mammofill.synthesis.judged import check_class_painted, chosen_by
from mammofill.synthesis.rows import synthetic_row

STAGE = "paint-by-hand"
"""What made the set, as its manifest says."""

_REASONS = {
    "mask-too-small": "the mask has {found} px, and a lesion needs at least {least}. Draw a larger one.",
    "hole-at-the-border": "the hole that would be repainted touches the border of the patch, so that the lesion would "
    "be cut off. Draw farther inside, or smaller.",
    "hole-off-the-breast": "the hole that would be repainted leaves the breast tissue. Draw where there is tissue.",
}


@dataclass(frozen=True)
class HandFill:
    """One lesion as it was asked for.

    Attributes:
        context_patch_id: the patch that is painted into.
        mask: (H, W) bool, where the lesion is wanted.
        pathology: benign or malignant.
        seed: of this very fill.
        mask_donor_patch_id: the patch whose lesion lent its outline; None for a mask that was drawn, which stands in
            the table as lent by the patch that it was drawn on, since it shows nobody else's lesion.
        facts: what else is asked for, of the infiller's conditions.
    """

    context_patch_id: str
    mask: Mask
    pathology: str
    seed: int
    mask_donor_patch_id: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PaintByHandSettings:
    """What a set of fills was asked to be, for its manifest.

    Attributes:
        guidance: how far the class asked for is exaggerated, where the infiller can; unset leaves its own.
        fills: of each fill, the context patch, the class, the seed, and the SHA-256 of its mask's bits.
    """

    guidance: float | None = None
    fills: tuple[Mapping[str, Any], ...] = ()


def refusal(mask: Mask, breast: Mask, infiller: Infiller) -> str | None:
    """Say in words why a mask may not be filled, by the rules of `pair_patches`; None if it may.

    Args:
        mask: (H, W) bool, where the lesion is wanted.
        breast: (H, W) bool, where breast is.
        infiller: whose hole is repainted.
    """
    settings = PairPatchesSettings(hole=infiller.hole)
    if not mask.any():
        return "the mask is empty: there is nothing to paint. Draw one."
    reason = check_placement(mask, breast, settings)
    if reason is None:
        return None
    return _REASONS[reason].format(found=int(mask.sum()), least=settings.min_mask_px)


def paint_by_hand(
    infiller: Infiller,
    patches: PatchSet,
    fill: HandFill,
    *,
    device: str = "cpu",
) -> StoredImage:
    """Paint one lesion where it was drawn.

    Args:
        infiller: who paints, with its own guidance or another (`Infiller.with_guidance`).
        patches: the set that the patch is in.
        fill: what is asked for.
        device: where networks run.

    Returns:
        (H, W) uint16. Outside of the hole and its soft edge it is the patch, bit for bit.

    Raises:
        MammofillError: the mask may not be filled (see `refusal`), or the infiller cannot paint what is asked for.
        SettingsError: the patch is not in the set.
    """
    row = _row_of(patches, fill.context_patch_id)
    reason = refusal(fill.mask, patches.breasts([row])[0], infiller)
    if reason:
        raise MammofillError(f"Patch {fill.context_patch_id}: {reason}")
    images, _ = patches.pixels([row])
    facts = {name: [fill.facts.get(name)] for name in infiller.conditions[1:]}
    filled = infiller.infill(images, fill.mask[None], [fill.pathology], [fill.seed], facts=facts, device=device)
    return np.asarray(filled[0], np.uint16)


def keep_painted(
    infiller: Infiller,
    patches: PatchSet,
    fills: Sequence[HandFill],
    out: str | Path,
    *,
    guidance: float | None = None,
    judgement: Artifact | None = None,
    device: str = "cpu",
) -> PatchSet:
    """Keep lesions that were painted by hand as a patch set, which every later stage takes as one of `synthesize`.

    They are painted again from their seeds, so that what is kept is what the manifest says.

    Args:
        infiller: who paints.
        patches: the set that the patches are in.
        fills: what is asked for, at least one.
        out: folder of the new set.
        guidance: see `PaintByHandSettings`.
        judgement: of the infiller; one that does not paint its class is refused, as `synthesize` does.
        device: where networks run.

    Raises:
        TooFewError: there are no fills.
        LeakError: a patch, or the lesion that lends its outline, is not of the train split.
        MammofillError: see `paint_by_hand`.
    """
    if not fills:
        raise TooFewError(f"{out}: there is no fill to keep. Paint one first.")
    if judgement is not None:
        check_class_painted(infiller, judgement)
    rows = [_table_row(infiller, patches, fill, number) for number, fill in enumerate(fills)]
    settings = PaintByHandSettings(guidance, tuple(map(_said, fills)))
    inputs: dict[str, Artifact] = {"infiller": infiller, "patches": patches}
    inputs |= {"judgement": judgement} if judgement else {}
    with begin(out, kind=PatchSet.kind, stage=STAGE, settings=settings, seed=0, inputs=inputs, device=device) as work:
        if work is not None:
            painter = infiller if guidance is None else infiller.with_guidance(guidance)
            images = [paint_by_hand(painter, patches, fill, device=device) for fill in fills]
            drawn = np.array([fill.mask for fill in fills], np.bool_)
            breasts = patches.breasts([_row_of(patches, fill.context_patch_id) for fill in fills])
            write_shard(
                work.folder / "patches-00000.parquet",
                rows,
                images,
                list(infiller.masks_of_fills(drawn)),
                list(breasts),
                holes=list(infiller.may_change(drawn)),
            )
            write_index(work.folder)
            nothing = {"reason": pd.Series([], dtype="string"), "split": pd.Series([], dtype="string")}
            pd.DataFrame(nothing | {"count": pd.Series([], dtype="int64")}).to_parquet(work.folder / "dropped.parquet")
            made = pd.Series([fill.pathology for fill in fills]).value_counts()
            counts = {"patches": len(fills)} | {str(name): int(count) for name, count in made.items()}
            work.finish(counts=counts, learned_from=[chosen_by(judgement)] if judgement else [])
    return PatchSet.open(out)


def hole_for(mask: Mask, infiller: Infiller) -> NDArray[np.bool_]:
    """Return which pixels an infiller repaints for a mask (H, W) bool; none for an empty one."""
    return hole_of(mask, infiller.hole) if mask.any() else np.zeros_like(mask)


def _row_of(patches: PatchSet, patch_id: str) -> int:
    found = patches.rows(patch_id=patch_id)
    if len(found) != 1:
        raise SettingsError(f"{patches.folder}: there are {len(found)} patches {patch_id!r}; one is needed.")
    return int(found[0])


def _said(fill: HandFill) -> dict[str, Any]:
    return {
        "context_patch_id": fill.context_patch_id,
        "mask_donor_patch_id": fill.mask_donor_patch_id,
        "pathology": fill.pathology,
        "seed": fill.seed,
        "facts": dict(fill.facts),
        "mask_sha256": hashlib.sha256(np.packbits(fill.mask).tobytes()).hexdigest(),
    }


def _table_row(infiller: Infiller, patches: PatchSet, fill: HandFill, number: int) -> dict[str, Any]:
    context = patches.table.iloc[_row_of(patches, fill.context_patch_id)]
    donor = context if fill.mask_donor_patch_id is None else patches.table.iloc[
        _row_of(patches, fill.mask_donor_patch_id)
    ]  # fmt: skip
    for one, what in ((context, "painted into"), (donor, "lends its outline")):
        if one["split"] != "train" or one["origin"] != "real":
            raise LeakError(
                f"Patch {one['patch_id']} ({what}) is {one['origin']} and of the {one['split']} split. What is kept "
                "may be learned from, so it must come from real patches of the train split."
            )
    return synthetic_row(context.to_dict(), donor.to_dict(), infiller) | {
        "patch_id": f"{fill.context_patch_id}-by-hand-{number}-{fill.pathology}-{fill.seed}",
        "pathology": fill.pathology,
        "abnormality": fill.facts.get("abnormality", donor["abnormality"]),
        "seed": fill.seed,
    }
