"""A folder for the studio: practice patches, an infiller that pastes, and a server in this process or in another."""

from __future__ import annotations

import base64
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from starlette.testclient import TestClient

from mammofill.comparison import CompareArmsSettings, Comparison, compare_arms
from mammofill.ground.artifact import begin
from mammofill.ground.imaging import to_uint16
from mammofill.ground.seeding import stream
from mammofill.infilling import Infiller, preset, train_infiller
from mammofill.judging import Judgement
from mammofill.pairing import PairPatchesSettings, pair_patches
from mammofill.pairing.hole import HoleSettings
from mammofill.patches import PatchSet, write_index, write_shard
from mammofill.web.access import Access
from mammofill.web.app import create_app
from mammofill.web.studio import Studio

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))  # where evaluations of given scores are made

SIZE_PX = 32
HOLE = HoleSettings("ellipse", share=0.2, plus_px=1.0)
HOST = "127.0.0.1:8765"
CLASSES = ("normal", "benign", "malignant")


def a_patch(name: str, pathology: str) -> tuple[np.ndarray, np.ndarray]:
    random = stream(11, name)
    tissue = 0.4 + 0.8 * cv2.GaussianBlur(random.standard_normal((SIZE_PX, SIZE_PX)).astype(np.float32), (0, 0), 2.0)
    rows, columns = np.mgrid[:SIZE_PX, :SIZE_PX]
    distance = np.hypot(rows - random.uniform(13, 19), columns - random.uniform(13, 19))
    mask = distance <= random.uniform(4, 6) if pathology != "normal" else np.zeros((SIZE_PX, SIZE_PX), bool)
    return to_uint16(tissue + mask * (0.35 if pathology == "malignant" else 0.15)), mask


def make_patches(out: Path, count: int = 8) -> PatchSet:
    rows, images, masks = [], [], []
    for split in ("train", "validation", "test"):
        for pathology in CLASSES:
            for number in range(count):
                name = f"{split}-{pathology}-{number}"
                image, mask = a_patch(name, pathology)
                images.append(image)
                masks.append(mask)
                rows.append(
                    {
                        "patch_id": name,
                        "patient_id": f"patient-{split}-{pathology}-{number}",
                        "mammogram_id": f"mammogram-{name}",
                        "top": 0,
                        "left": 0,
                        "height": SIZE_PX,
                        "width": SIZE_PX,
                        "pathology": pathology,
                        "abnormality": None if pathology == "normal" else "mass",
                        "lesion_ids": "" if pathology == "normal" else f"lesion-{name}",
                        "breast_share": 1.0,
                        "split": split,
                        "origin": "real",
                    }
                )
    breast = np.ones((SIZE_PX, SIZE_PX), bool)
    breast[:, :2] = False
    with begin(out, kind="patches", stage="toy", settings=HOLE, seed=0, inputs={}) as work:
        assert work is not None
        write_shard(work.folder / "patches-00000.parquet", rows, images, masks, [breast] * len(rows))
        write_index(work.folder)
        dropped = {"reason": ["film"], "split": ["train"], "count": [3]}
        pd.DataFrame(dropped).to_parquet(work.folder / "dropped.parquet")
        work.finish({"patches": len(rows)})
    return PatchSet.open(out)


def make_folder(folder: Path) -> Path:
    patches = make_patches(folder / "patches")
    pairs = pair_patches(patches, folder / "pairs", PairPatchesSettings(hole=HOLE))
    settings = replace(preset("copy-paste"), hole=HOLE)
    train_infiller(patches, pairs, folder / "infillers" / "pasted", settings)
    return folder


def client_of(studio: Studio, access: Access | None = None) -> tuple[TestClient, Access]:
    access = access or Access(frozenset({HOST}), studio.knows_reader)
    client = TestClient(create_app(studio, access), base_url=f"http://{HOST}", headers={"origin": f"http://{HOST}"})
    return client, access


def infiller_of(folder: Path) -> Infiller:
    return Infiller.open(folder / "infillers" / "pasted")


def packed(mask: np.ndarray) -> str:
    return base64.b64encode(np.packbits(mask).tobytes()).decode()


def a_disc(row: float = 16, column: float = 16, radius: float = 5) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE_PX, :SIZE_PX]
    return np.hypot(rows - row, columns - column) <= radius


def make_comparison(folder: Path) -> Comparison:
    """Three arms of three classifiers each, of which one comparison is tested."""
    from toy_study import make_evaluation

    evaluations = [
        make_evaluation(folder / f"{arm}-{seed}", arm, skill + seed / 4, {}, noise=f"{arm} {seed}", replicate=seed)
        for arm, skill in (("plain", 0.0), ("with fills", 2.0), ("with pasted", 1.0))
        for seed in range(3)
    ]
    settings = CompareArmsSettings(
        reference="plain",
        counterparts=(("with fills", "plain"),),
        planned_arms=("with fills",),
        margin=0.02,
        resamples=200,
        curve_resamples=100,
    )
    return compare_arms(evaluations, folder / "comparison", settings)


def make_judgement(folder: Path, name: str) -> Judgement:
    """See `toy_study.make_judgement`."""
    import toy_study

    return toy_study.make_judgement(folder, name)
