"""Whether a classifier looks at the lesion: its maps of attention beside the lesion masks.

For each test patch three questions are put to the map (`classifier.attention`): does its peak lie at the lesion (the
pointing game: Zhang et al., "Top-down neural attention by excitation backprop", ECCV 2016), how much of it lies inside
the mask, and how much in a ring along the mask's edge, where a fill would have its seam.

Two levels of chance are given with each answer. *Area*: what a uniform map would give. *Habit*: what the other maps
give on this patch, on average over all maps. Lesions lie near the middle of patches, and so do maps of networks that
look at nothing in particular: only what exceeds habit was found in the patch itself.

Even that is no proof of learning. A network with random weights exceeds habit a little, since lesions are brighter
than what is around them (compare Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018), and a map is no
finer than the cells of the last feature maps (7 x 7 of ResNet-50 at 224 px), so that mask and ring run into each other.
The numbers are for comparing classifiers of one network and input size: whether an arm looks elsewhere than another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.classifier import Classifier
from mammofill.evaluation.intervals import Replicates, Resamples, Scale
from mammofill.evaluation.metrics import Weights
from mammofill.evaluation.settings import EvaluateSettings
from mammofill.ground.imaging import Mask, distance_from, to_unit
from mammofill.ground.progress import Task
from mammofill.ground.seeding import stream
from mammofill.patches import PatchSet

ATTENTION_COLUMNS = {
    "patch_id": "string",
    "patient_id": "string",
    "pathology": "string",
    "peak_inside": "float64",  # 1: the cell around the map's peak touches the mask; 0: it does not
    "peak_area": "float64",  # share of the patch where a peak would count
    "peak_habit": "float64",  # share of all maps' peaks that would count here
    "energy_inside": "float64",  # share of the map's sum that lies inside the mask
    "mask_share": "float64",  # share of the patch that the mask covers
    "energy_habit": "float64",  # share of the mean map's sum that lies inside this mask
    "energy_ring": "float64",  # share of the map's sum along the mask's edge, inside and outside of it
    "ring_share": "float64",  # share of the patch that this ring covers
    "ring_habit": "float64",  # share of the mean map's sum along this edge
}
"""One row per test patch; all but the areas NaN where a map is 0 everywhere, all NaN where a patch has no mask."""

ATTENTION_SUMMARY_COLUMNS = {
    "measure": "string",  # peak_inside, energy_inside, energy_ring, or silent: share of maps that are 0 everywhere
    "pathology": "string",  # of which patches: benign, malignant or both
    "patches": "int64",  # that have a mask and a map; for silent, that have a mask
    "value": "float64",  # mean over them
    "low": "float64",  # of the interval over patients
    "high": "float64",
    "area": "float64",  # by chance: what a map gives that is the same everywhere; NaN for silent
    "habit": "float64",  # what all maps together give on these patches; NaN for silent
    "gain": "float64",  # value less habit
    "gain_low": "float64",
    "gain_high": "float64",
}

ANSWERS = {
    "peak_inside": ("peak_area", "peak_habit"),
    "energy_inside": ("mask_share", "energy_habit"),
    "energy_ring": ("ring_share", "ring_habit"),
}
_RING_OF_SIDE = 1 / 32
"""Reach of the ring to either side of the edge: 8 of 256 pixels, in which a fill passes over into the original."""


def attention_table(
    classifier: Classifier, patches: PatchSet, rows: NDArray[np.int64], batch: int, task: Task, device: str
) -> pd.DataFrame:
    """Compare where a classifier looks with where the lesion is.

    Args:
        classifier: whose maps are taken.
        patches: where the patches are.
        rows: of the test patches.
        batch: patches at a time.
        task: advances by one per patch.
        device: where the network runs.

    Returns:
        Columns of `ATTENTION_COLUMNS`, in the order of the rows.

    Raises:
        DeviceError: the device is not there.
    """
    half_cell = patches.size_px / classifier.attention_cells / 2
    values, areas, habits = (np.full((len(rows), len(ANSWERS)), np.nan) for _ in range(3))
    seen, total = 0, np.zeros((len(ANSWERS), patches.size_px, patches.size_px))
    for start in range(0, len(rows), batch):
        images, masks = patches.pixels(rows[start : start + batch])
        maps = classifier.attention(to_unit(images), device=device, batch_size=batch)
        for number, (one, mask) in enumerate(zip(maps, masks, strict=True), start):
            if one.any():
                fields = _fields(one)
                seen, total = seen + 1, total + fields
            if mask.any():
                where = _where(mask, half_cell)
                areas[number] = where.mean(axis=(1, 2))
                values[number] = (fields * where).sum(axis=(1, 2)) if one.any() else np.nan
        task.advance(len(images))
    for number, mask in _masks(patches, rows, batch):
        if not np.isnan(values[number]).any():
            habits[number] = (total * _where(mask, half_cell)).sum(axis=(1, 2)) / seen
    table = patches.table.iloc[rows]
    found = {column: table[column].to_numpy() for column in ("patch_id", "patient_id", "pathology")}
    for number, (name, (area, habit)) in enumerate(ANSWERS.items()):
        found |= {name: values[:, number], area: areas[:, number], habit: habits[:, number]}
    return pd.DataFrame(found)[list(ATTENTION_COLUMNS)].astype(ATTENTION_COLUMNS)


def summarise_attention(table: pd.DataFrame, settings: EvaluateSettings, seed: int) -> pd.DataFrame:
    """Average over patches, with intervals that resample patients.

    Args:
        table: columns of `ATTENTION_COLUMNS`.
        settings: resamples and confidence.
        seed: decides the resamples.

    Returns:
        Columns of `ATTENTION_SUMMARY_COLUMNS`.
    """
    rows: list[tuple[object, ...]] = []
    with_mask = table[table["mask_share"].notna()]
    for pathology in ("both", "benign", "malignant"):
        chosen = with_mask if pathology == "both" else with_mask[with_mask["pathology"] == pathology]
        seen = chosen[chosen["energy_inside"].notna()]
        for name, (area, habit) in ANSWERS.items():
            value = mean_of_patches(seen, seen[name], settings, seed, "share")
            gain = mean_of_patches(seen, seen[name] - seen[habit], settings, seed, "difference")
            rows.append((name, pathology, len(seen), *value, seen[area].mean(), seen[habit].mean(), *gain))
        silent = mean_of_patches(chosen, chosen["energy_inside"].isna().astype(float), settings, seed, "share")
        rows.append(("silent", pathology, len(chosen), *silent, *[math.nan] * 5))
    return pd.DataFrame(rows, columns=list(ATTENTION_SUMMARY_COLUMNS)).astype(ATTENTION_SUMMARY_COLUMNS)


def mean_of_patches(
    table: pd.DataFrame, values: pd.Series[float], settings: EvaluateSettings, seed: int, scale: Scale
) -> tuple[float, float, float]:
    """Return a mean over patches and the ends of its interval."""
    if not len(table):
        return math.nan, math.nan, math.nan
    numbers, patients = values.to_numpy(dtype=np.float64), table["patient_id"].to_numpy(dtype=object)

    def mean(weights: Weights) -> dict[str, NDArray[np.float64]]:
        return {"mean": weights @ numbers / weights.sum(axis=1)}

    draws = Resamples.draw(patients, settings.resamples, stream(seed, "attention")).draws(mean)["mean"]
    spread = Replicates(np.array([numbers.mean()]), draws[None, :], len(set(patients))).spread(scale)
    return (spread.value, *spread.interval(settings.confidence))


def _fields(one: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what is summed for each answer, (3, H, W): the peak alone, and the map twice; each sums to 1."""
    peak = np.zeros(one.shape)
    peak[np.unravel_index(int(one.argmax()), one.shape)] = 1
    energy = one / one.sum(dtype=np.float64)
    return np.stack([peak, energy, energy])


def _where(mask: Mask, half_cell: float) -> NDArray[np.bool_]:
    """Return where each answer looks, (3, H, W): near the mask, in it, along its edge.

    The peak of a map is known no better than to a cell of the feature maps, so it counts where that cell touches.
    """
    reach = math.floor(half_cell)
    near = cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    away = np.maximum(distance_from(mask), distance_from(~mask))  # one of the two is 0 everywhere
    ring = away <= max(1.0, len(mask) * _RING_OF_SIDE)
    return np.stack([near, mask, ring & (not mask.all())])


def _masks(patches: PatchSet, rows: NDArray[np.int64], batch: int) -> Iterator[tuple[int, Mask]]:
    for start in range(0, len(rows), batch):
        yield from enumerate(patches.masks(rows[start : start + batch]), start)
