"""Small mammogram sets and patch sets, written as the stages write them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mammofill.ground.artifact import begin
from mammofill.ground.imaging import encode_png, encode_tiff
from mammofill.mammograms import MammogramSet, Tissue
from mammofill.mammograms.mammogram_set import (
    DECISION_COLUMNS,
    EXCLUSION_COLUMNS,
    LESION_COLUMNS,
    MAMMOGRAM_COLUMNS,
    encode_tissue,
)


@dataclass(frozen=True)
class Shot:
    """One small mammogram: breast on the left, one square lesion."""

    name: str
    patient: str
    split: str = "train"
    pathology: str | None = "benign"
    located: bool = True


SHOTS = [
    Shot("a", "p1"),
    Shot("b", "p2", pathology="malignant"),
    Shot("c", "p3", pathology=None),
    Shot("d", "p4", "validation"),
    Shot("e", "p5", "test", "malignant"),
    Shot("f", "p1"),
    Shot("g", "p6", located=False),
]


def picture(name: str) -> np.ndarray:
    random = np.random.default_rng(sum(name.encode()))
    image = random.integers(0, 600, (96, 80)).astype(np.uint16)
    image[:, :64] = random.integers(30000, 50000, (96, 64))
    return image


def tissue() -> np.ndarray:
    """Breast where the picture is bright, and muscle in its upper corner."""
    found = np.full((96, 80), Tissue.FILM, np.uint8)
    found[:, :64] = Tissue.BREAST
    found[:40, :16] = Tissue.PECTORAL
    return found


def make_mammograms(out: Path, shots: list[Shot] = SHOTS) -> MammogramSet:
    with begin(out, kind="mammograms", stage="toy", settings=shots[0], seed=0, inputs={}) as work:
        assert work is not None
        for folder in ("images", "masks", "tissue"):
            (work.folder / folder).mkdir()
        mammograms, lesions = [], []
        for shot in shots:
            (work.folder / "images" / f"{shot.name}.tiff").write_bytes(encode_tiff(picture(shot.name)))
            (work.folder / "tissue" / f"{shot.name}.png").write_bytes(encode_tissue(tissue()))
            facts = {"laterality": "left", "view": "cc", "scale": 1.0, "rows": 96, "columns": 80, "bits_stored": 16}
            mammograms.append({
                "mammogram_id": shot.name, "patient_id": shot.patient, "split": shot.split,
                "all_lesions_located": shot.located, **facts,
            })  # fmt: skip
            if shot.pathology:
                mask = np.ones((10, 10), bool)
                (work.folder / "masks" / f"{shot.name}_1.png").write_bytes(encode_png(mask))
                lesions.append({
                    "lesion_id": f"{shot.name}_1", "mammogram_id": shot.name, "patient_id": shot.patient,
                    "pathology": shot.pathology, "abnormality": "mass", "area_px": 100,
                    "top": 20, "left": 20, "height": 10, "width": 10,
                })  # fmt: skip
        for name, rows, columns in (
            ("mammograms", mammograms, MAMMOGRAM_COLUMNS),
            ("lesions", lesions, LESION_COLUMNS),
            ("exclusions", [], EXCLUSION_COLUMNS),
            ("decisions", [], DECISION_COLUMNS),
        ):
            table = pd.DataFrame(rows, columns=list(columns)).astype(columns)
            table.to_parquet(work.folder / f"{name}.parquet", index=False)
        work.finish({"mammograms": len(mammograms)})
    return MammogramSet.open(out)
