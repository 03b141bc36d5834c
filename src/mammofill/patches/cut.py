"""The patches of one mammogram: windows of it, or a crop taken whole, each with its row of the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mammofill.ground.errors import DamagedError
from mammofill.ground.imaging import Mask, StoredImage, crop, encode_png, resample, resample_mask
from mammofill.ground.seeding import stream
from mammofill.mammograms import MammogramSet, Tissue, enlarge_tissue
from mammofill.patches.settings import ExtractPatchesSettings
from mammofill.patches.shards import encode_patch
from mammofill.patches.windows import LesionOutline, Window, choose_normals, label_windows


def cut_mammogram(
    mammograms: MammogramSet, mammogram_id: str, settings: ExtractPatchesSettings, seed: int
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Return the patches of one mammogram, and why the other windows were dropped.

    Args:
        mammograms: the set that it is in.
        mammogram_id: which one.
        settings: sizes and thresholds; `whole` is set.
        seed: decides which normal patches are kept, where there are more than the settings allow.

    Returns:
        One mapping per patch: its row of `PATCH_COLUMNS`, and the PNGs ``image``, ``mask`` and ``breast``; and the
        number of windows dropped by reason.

    Raises:
        DamagedError: a lesion's mask is empty, or does not lie inside the mammogram.
    """
    image = mammograms.image(mammogram_id)
    if settings.whole:
        return _take_whole(mammograms, mammogram_id, image, settings)
    return _cut_windows(mammograms, mammogram_id, image, settings, seed)


def _cut_windows(
    mammograms: MammogramSet, mammogram_id: str, image: StoredImage, settings: ExtractPatchesSettings, seed: int
) -> tuple[list[dict[str, Any]], Counter[str]]:
    facts, size = mammograms.facts(mammogram_id), settings.size_px
    tissue = enlarge_tissue(mammograms.tissue(mammogram_id), (image.shape[0], image.shape[1]))
    breast = tissue != Tissue.FILM
    muscle = tissue == Tissue.PECTORAL if settings.max_pectoral_share < 1 else None
    lesions = lesion_outlines(mammograms, mammogram_id, image.shape)
    windows, reasons = label_windows(breast, lesions, settings, bool(facts["all_lesions_located"]), muscle)
    if settings.normals_per_mammogram is not None:
        most, random = settings.normals_per_mammogram, stream(seed, "normals", mammogram_id)
        windows, left_out = choose_normals(windows, most, size, random)
        reasons.update({"more-normals-than-asked-for": left_out} if left_out else {})
    patches = []
    for window in windows:
        box = np.s_[window.top : window.top + size, window.left : window.left + size]
        pictures = {
            "image": encode_patch(image[box], settings.bits),
            "mask": encode_png(window_mask(window, lesions, size)),
            "breast": encode_png(breast[box]),
        }
        patches.append(patch_row(window, lesions, facts, size) | pictures)
    return patches, reasons


def _take_whole(
    mammograms: MammogramSet, mammogram_id: str, image: StoredImage, settings: ExtractPatchesSettings
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Return a crop as the one patch that it is, labelled as a window of its size would be; or why it is dropped."""
    facts, side, size = mammograms.facts(mammogram_id), image.shape[0], (settings.size_px, settings.size_px)
    if image.shape[1] != side:
        return [], Counter({"picture-not-square": 1})
    if side < settings.size_px:
        return [], Counter({"picture-smaller-than-patch": 1})
    lesions = lesion_outlines(mammograms, mammogram_id, image.shape)
    as_window = replace(settings, size_px=side, stride_px=side, normal_margin_px=0)
    all_breast = np.ones(image.shape, np.bool_)
    windows, reasons = label_windows(all_breast, lesions, as_window, bool(facts["all_lesions_located"]))
    patches = [
        patch_row(window, lesions, facts, side)
        | {
            "image": encode_patch(resample(image, size), settings.bits),
            "mask": encode_png(resample_mask(window_mask(window, lesions, side), size)),
            "breast": encode_png(np.ones(size, np.bool_)),
        }
        for window in windows
    ]
    return patches, reasons


def lesion_outlines(mammograms: MammogramSet, mammogram_id: str, shape: tuple[int, ...]) -> list[LesionOutline]:
    """Return all lesions of a mammogram.

    Args:
        mammograms: the set that it is in.
        mammogram_id: which one.
        shape: of its image, (H, W).

    Raises:
        DamagedError: a mask is empty, or does not lie inside the mammogram.
    """
    outlines = []
    for row in mammograms.facts_of_lesions(mammogram_id):
        mask = mammograms.mask_in_box(row["lesion_id"])
        top, left, height, width = (int(row[name]) for name in ("top", "left", "height", "width"))
        inside = 0 <= top <= shape[0] - height and 0 <= left <= shape[1] - width
        if mask.shape != (height, width) or not inside or not mask.any():
            found = "is empty" if not mask.any() else f"is {mask.shape[0]} x {mask.shape[1]} px"
            raise DamagedError(
                f"{mammograms.folder}: the mask of lesion {row['lesion_id']} {found}; it must mark some of the "
                f"{height} x {width} px at row {top}, column {left} of its mammogram {mammogram_id} ({shape[0]} x "
                f"{shape[1]} px). Ingest the collection again."
            )
        outlines.append(
            LesionOutline(row["lesion_id"], row["pathology"], row["abnormality"], mask, top, left, row["attributes"])
        )
    return outlines


def window_mask(window: Window, lesions: Sequence[LesionOutline], size: int) -> Mask:
    """Return all lesion pixels of a lesion window; no lesion of the other pathology reaches into it.

    Args:
        window: what `label_windows` kept.
        lesions: all lesions of the mammogram, in the same frame as the window.
        size: side of the window, in pixels.

    Returns:
        (size, size) bool; empty for normal tissue.
    """
    mask = np.zeros((size, size), np.bool_)
    if window.lesion_ids:
        for lesion in lesions:
            mask |= crop(lesion.mask, (window.top - lesion.top, window.left - lesion.left, size, size)).astype(bool)
    return mask


def patch_row(window: Window, lesions: Sequence[LesionOutline], facts: Any, size: int) -> dict[str, Any]:
    """Return the row of `PATCH_COLUMNS` of a window.

    Args:
        window: what `label_windows` kept, at its place in the mammogram.
        lesions: all lesions of the mammogram.
        facts: the mammogram's row.
        size: side of the window, in pixels of the mammogram.
    """
    inside = [lesion.attributes for lesion in lesions if lesion.lesion_id in window.lesion_ids]
    return {
        "patch_id": f"{facts['mammogram_id']}_r{window.top:05d}_c{window.left:05d}",
        "patient_id": facts["patient_id"],
        "mammogram_id": facts["mammogram_id"],
        "top": window.top,
        "left": window.left,
        "height": size,
        "width": size,
        "pathology": window.pathology,
        "abnormality": window.abnormality,
        "lesion_ids": " ".join(window.lesion_ids),
        "breast_share": window.breast_share,
        "density": facts["density"],
        "attributes": inside[0] if len(inside) == 1 else None,
        "split": facts["split"],
        "origin": "real",
    }
