"""A toy world with fills of known worth: as real lesions are drawn, of the wrong class, copies, and stamps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from toy_judging import SIZE_PX, Toy, a_mask, make_classifier, make_patches, patch_row, tissue, with_lesion

from mammofill.classifier import Classifier
from mammofill.ground.artifact import LearnedFrom, begin
from mammofill.ground.imaging import feather, to_uint16
from mammofill.patches import PatchSet, write_shard
from mammofill.selection import SelectSyntheticSettings, select_synthetic

PATIENTS = 30
KINDS = ("good", "wrong class", "copy", "stamp")
SOME = SelectSyntheticSettings(least_real=10, trees=20, shown=3)


@dataclass(frozen=True)
class World:
    folder: Path
    patches: PatchSet
    fills: PatchSet
    readers: tuple[Classifier, ...]
    """Each learned from a third of the patients."""

    def select(self, out: Path, settings: SelectSyntheticSettings = SOME, **changes: Any) -> PatchSet:
        given = {"synthetic": self.fills, "patches": self.patches, "classifiers": self.readers} | changes
        how = {"seed": given.pop("seed", 1)}
        return select_synthetic(*given.values(), out, settings, **how)

    @cached_property
    def good(self) -> PatchSet:
        return make_fills(self.folder / "good", fill_rows(["good"]), self.patches)

    @cached_property
    def selected(self) -> PatchSet:
        return self.select(self.folder / "selected")


def train_patient(number: int) -> str:
    return f"train-patient-{number}"


def make_world(folder: Path) -> World:
    rows = [
        patch_row(f"{split}-{kind}-{patient}", patient, kind, split)
        for split in ("train", "validation")
        for patient in range(PATIENTS)
        for kind in ("normal", "benign", "malignant")
    ]
    patches = make_patches(folder / "patches", rows)
    thirds = [[train_patient(number) for number in range(part, PATIENTS, 3)] for part in range(3)]
    readers = tuple(
        make_classifier(folder / f"reader-{part}", people, label=f"Reader {part}") for part, people in enumerate(thirds)
    )
    return World(folder, patches, make_fills(folder / "fills", fill_rows(KINDS), patches), readers)


def fill_rows(kinds: Sequence[str], **changes: Any) -> list[dict[str, Any]]:
    """Order a fill of each kind and class for each patient, with the outline of the next patient."""
    return [
        patch_row(f"{kind}-{pathology}-{patient}", patient, pathology, "train")
        | {
            "origin": "synthetic",
            "context_patch_id": f"train-normal-{patient}",
            "mask_donor_patch_id": f"train-{pathology}-{(patient + 1) % PATIENTS}",
            "mask_donor_patient_id": train_patient((patient + 1) % PATIENTS),
            "seed": number,
            "infiller": "toy",
            "mask_is": "lent",
            "hole_rule": "the mask",
        }
        | changes
        for kind in kinds
        for number, (patient, pathology) in enumerate(
            (patient, pathology) for patient in range(PATIENTS) for pathology in ("benign", "malignant")
        )
    ]


def painted(row: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Paint one fill of the kind that its name says."""
    kind, asked = row["patch_id"].split("-")[0], row["pathology"]
    mask, bare = a_mask(row["mask_donor_patch_id"]), tissue(row["context_patch_id"])
    if kind == "stamp":
        stamp = cv2.circle(np.full_like(bare, 0.4), (SIZE_PX // 2, SIZE_PX // 2), 4, 0.9, -1)
        image = np.where(mask, stamp, bare)
        image[0, 0] = 1 - image[0, 0]
        return image, mask
    if kind == "copy":  # `make_patches` numbers its rows, three to a patient
        patient = int(row["mask_donor_patient_id"].rsplit("-", 1)[1])
        number = 3 * patient + (1 if asked == "benign" else 2)
        lesion = with_lesion(tissue(row["mask_donor_patch_id"]), mask, asked, number)
        return np.where(mask, lesion, bare), mask
    other = {"benign": "malignant", "malignant": "benign"}
    return with_lesion(bare, mask, other[asked] if kind == "wrong class" else asked, 1000 + row["seed"]), mask


def make_fills(
    out: Path,
    rows: Sequence[dict[str, Any]],
    patches: PatchSet,
    painter: Sequence[str] = (),
    bits: int = 16,
    edge_px: int = 0,
) -> PatchSet:
    pixels = [painted(row) for row in rows]
    images = [to_uint16(image) for image, _ in pixels]
    masks = [mask for _, mask in pixels]
    holes = [feather(mask, edge_px) > 0 for mask in masks]
    with begin(out, kind="patches", stage="toy", settings=Toy(), seed=0, inputs={"patches": patches}) as work:
        assert work is not None
        for number, some in enumerate((slice(0, 50), slice(50, None))):
            shard = work.folder / f"patches-{number:05d}.parquet"
            everywhere = [np.ones_like(mask) for mask in masks[some]]
            write_shard(shard, rows[some], images[some], masks[some], everywhere, bits, holes=holes[some])
        pd.DataFrame({"reason": [], "split": [], "count": []}).to_parquet(work.folder / "dropped.parquet")
        work.finish({"patches": len(rows)}, [LearnedFrom("train-infiller", tuple(painter))] if painter else [])
    return PatchSet.open(out)
