"""A toy world for the tests of infilling and synthesis: tissue, lesions, pairs, and a small infiller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from mammofill.ground.artifact import begin
from mammofill.ground.imaging import to_uint16
from mammofill.ground.seeding import stream
from mammofill.infilling import GanSettings, Infiller, preset, train_infiller
from mammofill.infilling.gan.settings import DiscriminatorSettings, GeneratorSettings, ScheduleSettings
from mammofill.pairing import Pairs
from mammofill.pairing.hole import HoleSettings
from mammofill.patches import PatchSet, write_shard

SIZE_PX = 32
HOLE = HoleSettings("ellipse", share=0.1, plus_px=1.0)
"""Of the toy's infillers: other than the mask, and small enough that it fits into patches of 32 px."""


@dataclass(frozen=True)
class _Toy:
    tissue: str = "smooth noise; malignant lesions are bright and rough, benign ones round and faint"


def toy_patch(patch_id: str, pathology: str, size_px: int = SIZE_PX) -> tuple[np.ndarray, np.ndarray]:
    random = stream(3, patch_id)
    tissue = 0.4 + 0.8 * cv2.GaussianBlur(random.standard_normal((size_px, size_px)).astype(np.float32), (0, 0), 2.0)
    rows, columns = np.mgrid[:size_px, :size_px]
    row, column = random.uniform(0.4 * size_px, 0.6 * size_px, 2)
    distance = np.hypot(rows - row, columns - column)
    mask = np.zeros((size_px, size_px), bool)
    if pathology != "normal":
        angle = np.arctan2(rows - row, columns - column)
        rough = 0.05 * size_px * np.cos(7 * angle) if pathology == "malignant" else 0.0
        mask = distance <= random.uniform(0.15, 0.22) * size_px + rough
        tissue = tissue + mask * (0.35 if pathology == "malignant" else 0.15)
    return to_uint16(tissue), mask


def patch_row(number: int, pathology: str, split: str = "train", **more: Any) -> dict[str, Any]:
    return {
        "patch_id": f"{split}-{pathology}-{number}",
        "patient_id": f"{split}-patient-{pathology}-{number}",
        "mammogram_id": f"{split}-mammogram-{number}",
        "top": 5,
        "left": 7,
        "height": SIZE_PX,
        "width": SIZE_PX,
        "pathology": pathology,
        "abnormality": None if pathology == "normal" else "mass",
        "lesion_ids": "" if pathology == "normal" else f"lesion-{number}",
        "breast_share": 1.0,
        "split": split,
        "origin": "real",
    } | more


def rows_of(benign: int = 10, malignant: int = 6, normal: int = 12) -> list[dict[str, Any]]:
    train = [("benign", benign), ("malignant", malignant), ("normal", normal)]
    rows = [patch_row(number, pathology) for pathology, count in train for number in range(count)]
    return [*rows, patch_row(0, "benign", "test"), patch_row(0, "normal", "test")]


def make_patches(
    out: Path, rows: Sequence[Mapping[str, Any]], masks: Mapping[str, np.ndarray] | None = None, size_px: int = SIZE_PX
) -> PatchSet:
    pixels = [toy_patch(row["patch_id"], row["pathology"], size_px) for row in rows]
    chosen = [(masks or {}).get(row["patch_id"], mask) for row, (_, mask) in zip(rows, pixels, strict=True)]
    with begin(out, kind="patches", stage="toy", settings=_Toy(), seed=0, inputs={}) as work:
        assert work is not None
        write_shard(
            work.folder / "patches-00000.parquet",
            rows,
            [image for image, _ in pixels],
            chosen,
            [np.ones_like(mask) for mask in chosen],
        )
        pd.DataFrame({"reason": [], "split": [], "count": []}).to_parquet(work.folder / "dropped.parquet")
        work.finish({"patches": len(rows)})
    return PatchSet.open(out)


def make_pairs(out: Path, patches: PatchSet, split: str = "train") -> Pairs:
    normals = patches.table[(patches.table["pathology"] == "normal") & (patches.table["split"] == split)]
    lesions = patches.table[(patches.table["pathology"] != "normal") & (patches.table["split"] == split)]
    rows = []
    for number, context in enumerate(normals.to_dict("records")):
        donor = lesions.iloc[(number * 5) % len(lesions)]
        rows.append(
            {
                "pair_id": f"pair-{number}",
                "context_patch_id": context["patch_id"],
                "context_patient_id": context["patient_id"],
                "mask_donor_patch_id": donor["patch_id"],
                "mask_donor_patient_id": donor["patient_id"],
                "zoom": 1.1,
                "shift_rows_px": 1,
                "shift_columns_px": -1,
                "requested_pathology": donor["pathology"],
            }
        )
    with begin(out, kind="pairs", stage="toy", settings=_Toy(), seed=0, inputs={"patches": patches}) as work:
        assert work is not None
        pd.DataFrame(rows).to_parquet(work.folder / "pairs.parquet")
        pd.DataFrame({"reason": [], "count": []}).to_parquet(work.folder / "unpaired.parquet")
        work.finish({"pairs": len(rows)})
    return Pairs.open(out)


def tiny(**changes: Any) -> GanSettings:
    """Settings whose networks are as small as they can be, for a handful of steps."""
    demo = preset("demo")
    settings = replace(
        demo,
        preset="tiny",
        hole=HOLE,
        generator=GeneratorSettings(widths=(8, 8, 8, 8)),
        discriminator=DiscriminatorSettings(widths=(4, 8, 8), sees="composite"),
        schedule=replace(demo.schedule, pretrain_epochs=1, adversarial_epochs=2, batch=4),
        previews=4,
        preview_every_images=16,
        history_every_images=8,
        checkpoint_every_images=8,
    )
    return replace(settings, **changes)


def tiny_schedule(**changes: Any) -> ScheduleSettings:
    return replace(tiny().schedule, **changes)


@dataclass(frozen=True)
class World:
    patches: PatchSet
    pairs: Pairs
    infiller: Infiller


def make_world(folder: Path) -> World:
    """A patch set, its pairs, and a (badly) trained infiller."""
    patches = make_patches(folder / "patches", rows_of())
    pairs = make_pairs(folder / "pairs", patches)
    return World(patches, pairs, train_infiller(patches, pairs, folder / "infiller", tiny(), seed=1))
