"""Small patch sets with a task that can be learned in seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammofill.ground.artifact import Artifact, LearnedFrom, begin, open_any
from mammofill.ground.imaging import to_uint16
from mammofill.ground.seeding import stream
from mammofill.patches.patch_set import PatchSet
from mammofill.patches.shards import write_shard

SIZE_PX = 48


@dataclass(frozen=True)
class _Toy:
    bumps: str = "malignant patches carry a bright blob, benign ones a dark one"


def toy_image(patch_id: str, pathology: str) -> np.ndarray:
    random = stream(7, patch_id)
    rows, columns = np.mgrid[:SIZE_PX, :SIZE_PX]
    row, column = random.uniform(16, 32, 2)
    blob = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * 5.0**2))
    sign = {"malignant": 1, "benign": -1, "normal": 0}[pathology]
    return to_uint16(0.5 + 0.05 * random.standard_normal((SIZE_PX, SIZE_PX)) + 0.35 * sign * blob)


def patch_row(number: int, pathology: str, split: str, **more: Any) -> dict[str, Any]:
    return {
        "patch_id": f"patch-{split}-{pathology}-{number}",
        "patient_id": f"{split}-{number}",
        "mammogram_id": f"mammogram-{split}-{number}",
        "top": 0,
        "left": 0,
        "height": SIZE_PX,
        "width": SIZE_PX,
        "pathology": pathology,
        "abnormality": "mass",
        "lesion_ids": "lesion",
        "breast_share": 1.0,
        "split": split,
        "origin": "real",
    } | more


def synthetic_row(number: int, pathology: str, **more: Any) -> dict[str, Any]:
    return (
        patch_row(number, pathology, "train")
        | {
            "patch_id": f"fill-{pathology}-{number}",
            "origin": "synthetic",
            "context_patch_id": "patch-train-normal-0",
            "mask_donor_patch_id": f"patch-train-{pathology}-{number}",
            "mask_donor_patient_id": f"train-{number}",
            "seed": number,
            "infiller": "0" * 64,
        }
        | more
    )


def make_mammograms(out: Path, patients: Iterable[str]) -> Artifact:
    """Make a set that knows its patients, each with an image file of its own, and nothing else."""
    with begin(out, kind="mammograms", stage="toy", settings=_Toy(), seed=0, inputs={}) as work:
        assert work is not None
        table = pd.DataFrame({"patient_id": list(patients)})
        table["mammogram_id"] = [f"mammogram of {patient}" for patient in table["patient_id"]]
        files = [f"{out.name} {patient}" for patient in table["patient_id"]]
        table.assign(source_sha256=files).to_parquet(work.folder / "mammograms.parquet")
        work.finish({})
    return open_any(out)


def make_set(
    out: Path,
    rows: Iterable[Mapping[str, Any]],
    learned_from: Iterable[LearnedFrom] = (),
    mammograms: Artifact | None = None,
) -> PatchSet:
    rows = list(rows)
    inputs = {"mammograms": mammograms} if mammograms else {}
    images = [toy_image(row["patch_id"], row["pathology"]) for row in rows]
    masks = [np.zeros((SIZE_PX, SIZE_PX), bool)] * len(rows)
    with begin(out, kind="patches", stage="toy", settings=_Toy(), seed=0, inputs=inputs) as work:
        assert work is not None
        write_shard(work.folder / "patches-00000.parquet", rows, images, masks, [~mask for mask in masks])
        pd.DataFrame({"reason": [], "split": [], "count": []}).to_parquet(work.folder / "dropped.parquet")
        work.finish({"patches": len(rows)}, learned_from)
    return PatchSet.open(out)


def real_rows(train: int = 12, validation: int = 6, test: int = 6) -> list[dict[str, Any]]:
    counts = {"train": train, "validation": validation, "test": test}
    return [
        patch_row(number, ("benign", "malignant", "normal")[number % 3], split)
        for split, count in counts.items()
        for number in range(count * 3 // 2)
    ]
