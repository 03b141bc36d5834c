"""Windows at places chosen by hand, labelled as the stage `extract-patches` labels its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mammofill.ground.artifact import begin
from mammofill.ground.errors import MammofillError, SettingsError, TooFewError
from mammofill.ground.imaging import Mask, StoredImage, decode_png
from mammofill.mammograms import MammogramSet, Tissue, enlarge_tissue
from mammofill.patches.cut import lesion_outlines, patch_row, window_mask
from mammofill.patches.patch_set import PatchSet
from mammofill.patches.settings import ExtractPatchesSettings
from mammofill.patches.shards import encode_patch, widen, write_dropped, write_index, write_shard
from mammofill.patches.windows import label_windows

CUT_STAGE = "cut-patches"
"""The stage that made a set of such windows, for its manifest."""

_REFUSED = {
    "too-little-breast": "breast covers too little of this window. Choose a place that lies farther inside.",
    "both-pathologies": "benign and malignant lesions reach into this window, so it is of no class.",
    "other-abnormality": "a lesion of another kind than the windows are cut for reaches into this window.",
    "lesion-partly-inside": "this window cuts a lesion. Choose a place around all of it, or away from it.",
    "lesion-nearby": "a lesion lies so near that the tissue of this window is not known to be normal. Choose a place "
    "farther away, or around the lesion.",
    "lesion-place-unknown": "this mammogram has a lesion whose place is unknown, so that nothing of it can be called "
    "normal. Choose another mammogram.",
    "pectoral-muscle": "this window shows too much of the pectoral muscle.",
}


@dataclass(frozen=True)
class Place:
    """Where a window lies: its upper left corner in a mammogram, in pixels of the working resolution."""

    mammogram_id: str
    top: int
    left: int


@dataclass(frozen=True)
class Patch:
    """One patch: its row of `PATCH_COLUMNS`, and its pictures.

    Attributes:
        facts: the row.
        image: (H, W) uint16 over 0..65535, bright = dense.
        mask: (H, W) bool, the lesions that belong to it; empty for normal tissue.
        breast: (H, W) bool, where breast is.
    """

    facts: dict[str, Any]
    image: StoredImage
    mask: Mask
    breast: Mask


def cut_patch(mammograms: MammogramSet, place: Place, settings: ExtractPatchesSettings) -> Patch:
    """Cut one window at a chosen place, and label it as `extract_patches` would.

    Args:
        mammograms: what is cut from.
        place: of the window.
        settings: sizes and thresholds; the stride, and how many normal patches are kept, play no part.

    Raises:
        SettingsError: there is no such mammogram, or the window does not lie inside of it.
        MammofillError: `extract_patches` would drop the window; the message says why.
    """
    facts, image = _chosen_mammogram(mammograms, place, settings.size_px)
    size = settings.size_px
    box = np.s_[place.top : place.top + size, place.left : place.left + size]
    tissue = enlarge_tissue(mammograms.tissue(place.mammogram_id), (image.shape[0], image.shape[1]))[box]
    lesions = [
        replace(lesion, top=lesion.top - place.top, left=lesion.left - place.left)
        for lesion in lesion_outlines(mammograms, place.mammogram_id, image.shape)
    ]
    windows, reasons = label_windows(
        tissue != Tissue.FILM,
        lesions,
        replace(settings, stride_px=size),
        bool(facts["all_lesions_located"]),
        tissue == Tissue.PECTORAL if settings.max_pectoral_share < 1 else None,
    )
    if not windows:
        raise MammofillError(f"{place.mammogram_id}, row {place.top}, column {place.left}: {_REFUSED[min(reasons)]}")
    (window,) = windows
    return Patch(
        patch_row(replace(window, top=place.top, left=place.left), lesions, facts, size),
        widen(decode_png(encode_patch(np.ascontiguousarray(image[box]), settings.bits))),
        window_mask(window, lesions, size),
        np.asarray(tissue != Tissue.FILM, np.bool_),
    )


def _chosen_mammogram(mammograms: MammogramSet, place: Place, size: int) -> tuple[dict[str, Any], StoredImage]:
    if not (mammograms.mammograms["mammogram_id"] == place.mammogram_id).any():
        raise SettingsError(f"{mammograms.folder} has no mammogram {place.mammogram_id!r}.")
    if place.mammogram_id in mammograms.crops:
        raise MammofillError(
            f"{place.mammogram_id} is a crop around its lesion, of which no window is cut. Paint over the lesion of a "
            "patch that was taken whole."
        )
    facts, image = mammograms.facts(place.mammogram_id), mammograms.image(place.mammogram_id)
    most_top, most_left = image.shape[0] - size, image.shape[1] - size
    if not (0 <= place.top <= most_top and 0 <= place.left <= most_left):
        raise SettingsError(
            f"{place.mammogram_id}: a window of {size} px at row {place.top}, column {place.left} does not lie inside "
            f"the mammogram, which has {image.shape[0]} x {image.shape[1]} px."
        )
    return facts, image


@dataclass(frozen=True)
class CutPatchesSettings:
    """How windows were cut by hand, for their manifest.

    Attributes:
        extraction: sizes and thresholds.
        places: of the windows, each its mammogram, top and left.
    """

    extraction: ExtractPatchesSettings
    places: tuple[Place, ...] = ()


def cut_patches(
    mammograms: MammogramSet, places: Sequence[Place], out: str | Path, settings: ExtractPatchesSettings
) -> PatchSet:
    """Cut windows at chosen places and keep them as a patch set, as `extract_patches` keeps its own.

    Args:
        mammograms: what is cut from.
        places: at least one; one that is named twice is cut once.
        out: folder of the new patch set.
        settings: see `cut_patch`, also for the errors.

    Raises:
        TooFewError: there are no places.
    """
    if not places:
        raise TooFewError(f"{out}: there is no place to cut a window at. Choose one.")
    once = tuple(dict.fromkeys(places))
    recorded = CutPatchesSettings(settings, once)
    inputs = {"mammograms": mammograms}
    with begin(out, kind=PatchSet.kind, stage=CUT_STAGE, settings=recorded, seed=0, inputs=inputs) as work:
        if work is not None:
            cut = [cut_patch(mammograms, place, settings) for place in once]
            write_shard(
                work.folder / "patches-00000.parquet",
                [one.facts for one in cut],
                [one.image for one in cut],
                [one.mask for one in cut],
                [one.breast for one in cut],
                bits=settings.bits,
            )
            write_index(work.folder)
            write_dropped(work.folder, {})
            classes = Counter(str(one.facts["pathology"]) for one in cut)
            work.finish({"patches": len(cut), **{name: classes[name] for name in ("normal", "benign", "malignant")}})
    return PatchSet.open(out)
