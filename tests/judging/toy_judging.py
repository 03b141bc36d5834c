"""A toy world with known truth: lesions that a function draws, an infiller that draws the same, and one that lies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from torch import nn

from mammofill.classifier import Classifier
from mammofill.ground.artifact import LearnedFrom, begin
from mammofill.ground.imaging import to_uint16, to_unit
from mammofill.ground.seeding import stream
from mammofill.infilling import Infiller
from mammofill.pairing import Pairs
from mammofill.pairing.pair import laid_over
from mammofill.patches import PatchSet, write_shard

SIZE_PX = 32
PATIENTS = 24


@dataclass(frozen=True)
class Toy:
    lesion: str = "a bright blob with texture; malignant ones are brighter"


def tissue(name: str, size_px: int = SIZE_PX) -> np.ndarray:
    random = stream(5, name)
    cloud = cv2.GaussianBlur(random.standard_normal((size_px, size_px)).astype(np.float32), (0, 0), 3.0)
    return 0.4 + 0.3 * cloud + 0.01 * random.standard_normal((size_px, size_px)).astype(np.float32)


def a_mask(name: str, size_px: int = SIZE_PX) -> np.ndarray:
    random = stream(6, name)
    rows, columns = np.mgrid[:size_px, :size_px]
    row, column = random.uniform(0.4 * size_px, 0.6 * size_px, 2)
    angle = np.arctan2(rows - row, columns - column)
    radius = random.uniform(0.2, 0.26) * size_px * (1 + 0.1 * np.cos(3 * angle + random.uniform(0, 6)))
    return np.hypot(rows - row, columns - column) <= radius


def with_lesion(image: np.ndarray, mask: np.ndarray, pathology: str, seed: int) -> np.ndarray:
    """Draw a lesion inside a mask; what real lesions are here, and what a perfect infiller does."""
    random = stream(seed, "lesion")
    texture = cv2.GaussianBlur(random.standard_normal(image.shape).astype(np.float32), (0, 0), 1.5)
    height = random.uniform(0.10, 0.22) if pathology == "benign" else random.uniform(0.2, 0.32)
    return np.where(mask, image + height + 0.4 * height * texture, image).astype(np.float32)


def patch_row(name: str, patient: int, pathology: str, split: str, size_px: int = SIZE_PX) -> dict[str, Any]:
    return {
        "patch_id": name,
        "patient_id": f"{split}-patient-{patient}",
        "mammogram_id": f"{split}-mammogram-{patient}",
        "top": 0,
        "left": 0,
        "height": size_px,
        "width": size_px,
        "pathology": pathology,
        "abnormality": None if pathology == "normal" else "mass",
        "lesion_ids": "" if pathology == "normal" else name,
        "breast_share": 1.0,
        "split": split,
        "origin": "real",
    }


def all_rows(
    kinds: Sequence[str] = ("normal", "benign", "malignant"), patients: int = PATIENTS
) -> list[dict[str, Any]]:
    return [
        patch_row(f"{split}-{kind}-{patient}", patient, kind, split)
        for split in ("train", "test")
        for patient in range(patients)
        for kind in kinds
    ]


def obvious_lesion(image: np.ndarray, mask: np.ndarray, pathology: str, seed: int) -> np.ndarray:
    """Draw what any network learns in a few steps: dark discs are benign, bright ones malignant."""
    return np.where(mask, 0.05 if pathology == "benign" else 0.95, image).astype(np.float32)


def make_patches(
    out: Path,
    rows: Sequence[Mapping[str, Any]],
    size_px: int = SIZE_PX,
    lesion: Callable[[np.ndarray, np.ndarray, str, int], np.ndarray] = with_lesion,
) -> PatchSet:
    images, masks = [], []
    for number, row in enumerate(rows):
        name, pathology = row["patch_id"], row["pathology"]
        image, mask = tissue(name, size_px), a_mask(name, size_px)
        if pathology == "normal":
            mask = np.zeros_like(mask)
        else:
            image = lesion(image, mask, pathology, number)
        images.append(to_uint16(image))
        masks.append(mask)
    with begin(out, kind="patches", stage="toy", settings=Toy(), seed=0, inputs={}) as work:
        assert work is not None
        everywhere = [np.ones_like(mask) for mask in masks]
        write_shard(work.folder / "patches-00000.parquet", rows, images, masks, everywhere)
        pd.DataFrame({"reason": [], "split": [], "count": []}).to_parquet(work.folder / "dropped.parquet")
        work.finish({"patches": len(rows)})
    return PatchSet.open(out)


def make_pairs(
    out: Path,
    patches: PatchSet,
    splits: Sequence[str] = ("test",),
    kinds: str = "benign malignant",
    shifts: Sequence[int] = (5,),
    contexts: str = "normal",
) -> Pairs:
    rows = []
    for split in splits:
        table = patches.table[patches.table["split"] == split]
        filled = table[table["pathology"] == contexts]
        for kind in kinds.split():
            donors = table[table["pathology"] == kind]
            cases = [(shift, *one) for shift in shifts for one in enumerate(filled.to_dict("records"))]
            for shift, number, context in cases:
                donor = donors.iloc[(number + shift) % len(donors)]
                zoom, (down, right) = 1.0, (0, 0)
                if contexts != "normal":
                    zoom, (down, right) = laid_over(a_mask(donor["patch_id"]), a_mask(context["patch_id"]), 1.0, (0, 0))
                rows.append({
                    "pair_id": f"{split}-{kind}-{number}" + (f"-{shift}" if len(shifts) > 1 else ""),
                    "context_patch_id": context["patch_id"],
                    "context_patient_id": context["patient_id"],
                    "mask_donor_patch_id": donor["patch_id"],
                    "mask_donor_patient_id": donor["patient_id"],
                    "zoom": zoom,
                    "shift_rows_px": down,
                    "shift_columns_px": right,
                    "requested_pathology": donor["pathology"],
                })  # fmt: skip
    with begin(out, kind="pairs", stage="toy", settings=Toy(), seed=0, inputs={"patches": patches}) as work:
        assert work is not None
        pd.DataFrame(rows).to_parquet(work.folder / "pairs.parquet")
        pd.DataFrame({"reason": [], "count": []}).to_parquet(work.folder / "unpaired.parquet")
        work.finish({"pairs": len(rows)})
    return Pairs.open(out)


@cache
def bare_tissues() -> dict[bytes, np.ndarray]:
    """Each patch as it would be without its lesion, by its uppermost row, where no lesion is."""
    bare = [tissue(row["patch_id"]) for row in all_rows()]
    return {to_uint16(one)[0].tobytes(): one for one in bare}


class HonestInfiller(Infiller):
    """Draws what real lesions are drawn by, into the tissue as it would be without one."""

    def infill(self, images: Any, masks: Any, pathologies: Any, seeds: Any, **how: Any) -> np.ndarray:
        bare = bare_tissues()
        return np.stack([
            to_uint16(with_lesion(bare.get(image[0].tobytes(), to_unit(image)), mask, pathology, seed))
            for image, mask, pathology, seed in zip(images, masks, pathologies, seeds, strict=True)
        ])  # fmt: skip


class LyingInfiller(Infiller):
    """Stamps one and the same blob whatever is asked for, and touches a pixel far away."""

    def infill(self, images: Any, masks: Any, pathologies: Any, seeds: Any, **how: Any) -> np.ndarray:
        fills = []
        for image, mask in zip(images, masks, strict=True):
            rows, columns = np.nonzero(mask)
            middle = (round(columns.mean()), round(rows.mean()))
            stamp = cv2.circle(np.zeros(image.shape, np.float32), middle, 4, 0.5, -1)
            fill = np.where(mask, 0.4 + stamp, to_unit(image))
            fill[0, 0] = 1 - fill[0, 0]
            fills.append(to_uint16(fill))
        return np.stack(fills)


class BrightestSpot(Classifier):
    """Scores a patch by its brightest spot."""

    @cached_property
    def network(self) -> nn.Module:
        last = nn.Linear(1, 2)
        last.weight.data[:] = last.weight.new_tensor([[-10.0], [10.0]])
        last.bias.data[:] = last.bias.new_tensor([6.0, -6.0])
        return nn.Sequential(nn.AvgPool2d(7, 1), nn.AdaptiveMaxPool2d(1), nn.Flatten(), last).eval()


def make_infiller(
    out: Path,
    kind: type[Infiller] = HonestInfiller,
    learned: Mapping[str, int] | None = None,
    patients: Iterable[str] = ("train-patient-0",),
    size_px: int = SIZE_PX,
    hole: Mapping[str, Any] | None = None,
) -> Infiller:
    network = {
        "method": "texture",
        "size_px": size_px,
        "feather_px": 1,
        "classes_learned": learned or {"benign": 9, "malignant": 9},
        "hole": hole or {"rule": "mask"},
    }
    with begin(out, kind="infiller", stage="train-infiller", settings=Toy(kind.__name__), seed=0, inputs={}) as work:
        assert work is not None
        (work.folder / "network.json").write_text(json.dumps(network))
        (work.folder / "who.txt").write_text(kind.__name__)
        work.finish({"patients": 1}, [LearnedFrom("train-infiller", tuple(patients))])
    return kind.open(out)


def make_classifier(
    out: Path,
    patients: Iterable[str] = ("train-patient-1",),
    through: str = "train-classifier",
    standardise: bool = False,
    label: str = "Brightest spot",
) -> Classifier:
    facts = {"network": "shallow-cnn", "label": label, "threshold": 0.5, "input_px": SIZE_PX}
    facts |= {"standardise": True} if standardise else {}
    with begin(
        out, kind="classifier", stage="train-classifier", settings=Toy(f"{standardise}"), seed=0, inputs={}
    ) as work:
        assert work is not None
        (work.folder / "network.json").write_text(json.dumps(facts))
        work.finish({"patients": 1}, [LearnedFrom(through, tuple(patients))])
    return BrightestSpot.open(out)
