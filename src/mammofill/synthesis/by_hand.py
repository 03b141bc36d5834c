"""Lesions painted where a person drew them: which masks may be filled, the fills, and their patch set.

What is painted into is a patch of a set, or a window that somebody chose in a mammogram.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.artifact import Artifact, begin, upstream
from mammofill.ground.errors import LeakError, MammofillError, SettingsError, TooFewError
from mammofill.ground.imaging import Mask, StoredImage, touches_border
from mammofill.infilling import Infiller
from mammofill.mammograms import MammogramSet
from mammofill.pairing.hole import HoleSettings, hole_of
from mammofill.pairing.pair import check_placement
from mammofill.pairing.settings import PairPatchesSettings
from mammofill.patches import (
    ExtractPatchesSettings,
    Patch,
    PatchSet,
    Place,
    cut_patch,
    cut_patches,
    write_shard,
)
from mammofill.synthesis.judged import check_class_painted, chosen_by
from mammofill.synthesis.rows import synthetic_row, write_tables

STAGE = "paint-by-hand"
"""What made the set, as its manifest says."""

_REASONS = {
    "mask-too-small": "the mask has {found} px, and a lesion needs at least {least}. Draw a larger one.",
    "hole-at-the-border": "the hole that would be repainted touches the border of the patch, so that the lesion would "
    "be cut off. Draw farther inside, or smaller.",
    "hole-off-the-breast": "the hole that would be repainted leaves the breast tissue. Draw where there is tissue.",
    "own-lesion-shows": "the patch has a lesion of its own, which must lie in the hole with {margin:g} px around it, "
    "or both would show; the infiller repaints {hole}. Draw over all of it.",
}

TISSUE = "-tissue"
"""What the name of the set of windows ends with that fills of a mammogram were painted into."""


@dataclass(frozen=True)
class HandFill:
    """One lesion as it was requested.

    Attributes:
        context_patch_id: the patch that is painted into.
        mask: (H, W) bool, where the lesion is wanted.
        pathology: benign or malignant.
        seed: of this very fill.
        mask_donor_patch_id: the patch whose lesion lent its outline; None for a mask that was drawn, which stands in
            the table as lent by the patch that it was drawn on, since it shows no other patient's lesion.
        facts: what else is requested, of the infiller's conditions.
    """

    context_patch_id: str
    mask: Mask
    pathology: str
    seed: int
    mask_donor_patch_id: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PaintByHandSettings:
    """How a set of fills was requested, for its manifest.

    Attributes:
        guidance: how far the requested class is exaggerated, where the infiller can; unset leaves its own.
        fills: of each fill, the context patch, the class, the seed, and the SHA-256 of its mask's bits.
    """

    guidance: float | None = None
    fills: tuple[Mapping[str, Any], ...] = ()


def refusal(mask: Mask, patch: Patch, infiller: Infiller) -> str | None:
    """Say in words why a mask may not be filled, by the rules of `pair_patches`; None if it may.

    Args:
        mask: (H, W) bool, where the lesion is wanted.
        patch: what is painted into. A lesion of its own must be painted over as a whole.
        infiller: whose hole is repainted.
    """
    settings = PairPatchesSettings(hole=infiller.hole)
    if not mask.any():
        return "the mask is empty: there is nothing to paint. Draw one."
    if patch.mask.any() and touches_border(patch.mask):
        return "the patch has a lesion of its own that its border cuts, so that it cannot be painted over."
    reason = check_placement(mask, patch.breast, settings, _hidden(patch.mask, settings))
    if reason is None:
        return None
    return _REASONS[reason].format(
        found=int(mask.sum()), least=settings.min_mask_px, margin=settings.own_margin_px, hole=settings.hole
    )


def over_own(own: Mask, infiller: Infiller) -> tuple[Mask, float]:
    """Return the least mask that paints over a patch's own lesion.

    That is the lesion's outline, where an infiller's hole reaches beyond it. Where the hole is the mask, as in the
    paper, the lesion's margin would stay as a ring around every fill, and reveal what was there: so the mask is the
    lesion with its margin.

    Args:
        own: the lesion of a patch (H, W) bool.
        infiller: who is to paint over it.

    Returns:
        The mask (H, W) bool, and by how many pixels it is the outline grown; 0 for the outline itself.
    """
    settings = PairPatchesSettings(hole=infiller.hole)
    hidden = _hidden(own, settings)
    if hidden is None or not (hidden & ~hole_of(own, infiller.hole)).any():
        return np.asarray(own, np.bool_), 0.0
    return hidden, settings.own_margin_px


def _hidden(own: Mask, settings: PairPatchesSettings) -> Mask | None:
    """Return what must lie in the hole: the patch's own lesion and its margin; None in normal tissue."""
    if not own.any():
        return None
    return hole_of(own, HoleSettings("dilation", 0.0, settings.own_margin_px, settings.hole.rim_px))


def patch_of(patches: PatchSet, row: int) -> Patch:
    """Return one patch of a set, by its row in the table."""
    images, masks = patches.pixels([row])
    facts = {str(name): value for name, value in patches.table.iloc[row].to_dict().items()}
    return Patch(facts, images[0], masks[0], patches.breasts([row])[0])


def windows_for(infiller: Infiller) -> ExtractPatchesSettings:
    """Return how windows that an infiller paints into are cut: as the patches that it was trained with.

    Where those are no longer at their place, windows of its size are cut by the defaults.
    """
    made = [one.manifest for one in upstream(infiller).get("patches", []) if one.manifest.stage == "extract-patches"]
    known = next((one.settings for one in made if one.settings.get("size_px") == infiller.size_px), {})
    names = {one.name for one in fields(ExtractPatchesSettings)} & set(known)
    return ExtractPatchesSettings(**({"size_px": infiller.size_px} | {name: known[name] for name in names}))


def paint_by_hand(
    infiller: Infiller,
    patches: PatchSet,
    fill: HandFill,
    *,
    device: str = "cpu",
) -> StoredImage:
    """Paint one lesion where it was drawn; see `paint_patch`.

    Raises:
        SettingsError: the patch is not in the set.
    """
    patch = patch_of(patches, _row_of(patches, fill.context_patch_id))
    return np.asarray(paint_patch(infiller, patch, [fill], device=device)[0], np.uint16)


def paint_patch(
    infiller: Infiller,
    patch: Patch,
    fills: Sequence[HandFill],
    *,
    device: str = "cpu",
) -> NDArray[np.uint16]:
    """Paint lesions into one patch, each for itself.

    Args:
        infiller: who paints, with its own guidance or another (`Infiller.with_guidance`).
        patch: what is painted into.
        fills: what is requested, N of them, all of this patch.
        device: where networks run.

    Returns:
        (N, H, W) uint16. Outside of the hole and its soft edge each is the patch, bit for bit.

    Raises:
        MammofillError: a mask may not be filled (see `refusal`), or the infiller cannot paint what is requested.
    """
    for fill in fills:
        reason = refusal(fill.mask, patch, infiller)
        if reason:
            raise MammofillError(f"Patch {patch.facts['patch_id']}: {reason}")
    facts = {name: [fill.facts.get(name) for fill in fills] for name in infiller.conditions[1:]}
    return infiller.infill(
        np.repeat(patch.image[None], len(fills), axis=0),
        np.array([fill.mask for fill in fills], np.bool_),
        [fill.pathology for fill in fills],
        [fill.seed for fill in fills],
        facts=facts,
        device=device,
    )


def keep_painted(
    infiller: Infiller,
    patches: PatchSet,
    fills: Sequence[HandFill],
    out: str | Path,
    *,
    outlines: PatchSet | None = None,
    guidance: float | None = None,
    judgement: Artifact | None = None,
    device: str = "cpu",
) -> PatchSet:
    """Keep lesions that were painted by hand as a patch set, which every later stage takes as one of `synthesize`.

    They are painted again from their seeds, so that what is kept is what the manifest says.

    Args:
        infiller: who paints.
        patches: the set that the patches are in.
        fills: what is requested, at least one.
        out: folder of the new set.
        outlines: the set whose lesions lent their outlines, where it is another one.
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
    rows = [_table_row(infiller, patches, outlines or patches, fill, number) for number, fill in enumerate(fills)]
    settings = PaintByHandSettings(guidance, tuple(map(_said, fills)))
    inputs: dict[str, Artifact] = {"infiller": infiller, "patches": patches}
    inputs |= {"outlines": outlines} if outlines else {}
    inputs |= {"judgement": judgement} if judgement else {}
    with begin(out, kind=PatchSet.kind, stage=STAGE, settings=settings, seed=0, inputs=inputs, device=device) as work:
        if work is not None:
            painter = infiller if guidance is None else infiller.with_guidance(guidance)
            images = _painted(painter, patches, fills, device)
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
            write_tables(work.folder)
            made = pd.Series([fill.pathology for fill in fills]).value_counts()
            counts = {"patches": len(fills)} | {str(name): int(count) for name, count in made.items()}
            work.finish(counts=counts, learned_from=[chosen_by(judgement)] if judgement else [])
    return PatchSet.open(out)


def keep_painted_windows(
    infiller: Infiller,
    mammograms: MammogramSet,
    places: Sequence[Place],
    fills: Sequence[HandFill],
    out: str | Path,
    *,
    outlines: PatchSet | None = None,
    guidance: float | None = None,
    device: str = "cpu",
) -> PatchSet:
    """Keep lesions that were painted into windows of mammograms: the windows as one patch set, the fills as another.

    The windows are kept beside the fills, as `<out>-tissue`, so that fills have a tissue like any others.

    Args:
        infiller: who paints; windows are cut for it (`windows_for`).
        mammograms: where the windows lie.
        places: N of them, one for each fill.
        fills: N, what is requested; their context is the window's patch_id.
        out: folder of the new set.
        outlines: the set whose lesions lent their outlines.
        guidance: see `PaintByHandSettings`.
        device: where networks run.

    Raises:
        LeakError: a mammogram is not of the train split; see also `keep_painted`.
        MammofillError: see `cut_patch` and `paint_patch`.
    """
    out, settings = Path(out), windows_for(infiller)
    for place, fill in zip(places, fills, strict=True):  # before anything is written
        window = cut_patch(mammograms, place, settings)
        _check_learnable(window.facts, "painted into")
        reason = refusal(fill.mask, window, infiller)
        if reason:
            raise MammofillError(f"Patch {window.facts['patch_id']}: {reason}")
    tissue = cut_patches(mammograms, places, out.with_name(out.name + TISSUE), settings)
    return keep_painted(infiller, tissue, fills, out, outlines=outlines, guidance=guidance, device=device)


def hole_for(mask: Mask, infiller: Infiller) -> NDArray[np.bool_]:
    """Return which pixels an infiller repaints for a mask (H, W) bool; none for an empty one."""
    return hole_of(mask, infiller.hole) if mask.any() else np.zeros_like(mask)


def _row_of(patches: PatchSet, patch_id: str) -> int:
    found = patches.rows(patch_id=patch_id)
    if len(found) != 1:
        raise SettingsError(f"{patches.folder}: there are {len(found)} patches {patch_id!r}; one is needed.")
    return int(found[0])


def _painted(infiller: Infiller, patches: PatchSet, fills: Sequence[HandFill], device: str) -> list[StoredImage]:
    """Paint the fills of each patch together; each is what it would be alone, to the bit."""
    images: dict[int, StoredImage] = {}
    for context in dict.fromkeys(fill.context_patch_id for fill in fills):
        numbers = [number for number, fill in enumerate(fills) if fill.context_patch_id == context]
        patch = patch_of(patches, _row_of(patches, context))
        made = paint_patch(infiller, patch, [fills[number] for number in numbers], device=device)
        images.update(zip(numbers, made, strict=True))
    return [images[number] for number in range(len(fills))]


def _said(fill: HandFill) -> dict[str, Any]:
    return {
        "context_patch_id": fill.context_patch_id,
        "mask_donor_patch_id": fill.mask_donor_patch_id,
        "pathology": fill.pathology,
        "seed": fill.seed,
        "facts": dict(fill.facts),
        "mask_sha256": hashlib.sha256(np.packbits(fill.mask).tobytes()).hexdigest(),
    }


def _check_learnable(facts: Mapping[Any, Any], what: str) -> None:
    if facts["split"] != "train" or facts["origin"] != "real":
        raise LeakError(
            f"Patch {facts['patch_id']} ({what}) is {facts['origin']} and of the {facts['split']} split. What is kept "
            "may be learned from, so it must come from real patches of the train split."
        )


def _table_row(
    infiller: Infiller, patches: PatchSet, outlines: PatchSet, fill: HandFill, number: int
) -> dict[str, Any]:
    context = patches.table.iloc[_row_of(patches, fill.context_patch_id)].to_dict()
    lent = fill.mask_donor_patch_id
    donor = context if lent is None else outlines.table.iloc[_row_of(outlines, lent)].to_dict()
    _check_learnable(context, "painted into")
    _check_learnable(donor, "lends its outline")
    return synthetic_row(context, donor, infiller) | {
        "patch_id": f"{fill.context_patch_id}-by-hand-{number}-{fill.pathology}-{fill.seed}",
        "pathology": fill.pathology,
        "abnormality": fill.facts.get("abnormality", donor["abnormality"]),
        "seed": fill.seed,
    }
