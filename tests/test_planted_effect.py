"""An effect that is there is found, and one that is not is not: from practice lesions to the comparison's sentences.

The "generated" patches are true lesions of other training patients, so that they must help where real ones are few.
With their classes dealt out at random the very same patches hold nothing to learn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mammofill.classifier import TrainClassifierSettings, train_classifier
from mammofill.comparison import CompareArmsSettings, Comparison, compare_arms
from mammofill.evaluation import EvaluateSettings, evaluate
from mammofill.ground.artifact import Artifact, begin
from mammofill.ground.imaging import to_uint16
from mammofill.patches import PatchSet, write_shard
from mammofill.phantom import PhantomSettings
from mammofill.phantom.draw import draw_mammogram

SEEDS = 3
SIZE_PX = 48
BREAST = PhantomSettings(height_px=384, width_px=256, difference=1.0, labels_and_edges=False)
FEW, OTHERS, VALIDATION, TEST = range(4), range(4, 124), range(124, 132), range(132, 232)
"""Which practice patients are what: the real ones to learn from, those whose lesions are said to be painted, ..."""

PLAIN = TrainClassifierSettings(
    network="shallow-cnn", weights="none", input_px=32, images=3200, learning_rate=5e-4, threshold_rule="half"
)
SHUFFLED = replace(PLAIN, synthetic_labels="shuffled")


@dataclass(frozen=True)
class Toy:
    name: str = "practice lesions"


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Few patients alone; with true lesions of many others; with the same lesions, their classes shuffled."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("planted")
    splits = {"train": FEW, "validation": VALIDATION, "test": TEST}
    real = write_patches(folder / "real", [one for split, some in splits.items() for one in lesions(some, split)])
    source = write_patches(folder / "others", list(lesions(OTHERS, "train")))
    painted = write_patches(folder / "painted", list(map(as_if_painted, lesions(OTHERS, "train"))), source)
    evaluations = []
    for arm, sets, settings in (
        ("few", [real], PLAIN),
        ("true", [real, painted], PLAIN),
        ("shuffled", [real, painted], SHUFFLED),
    ):
        for seed in range(SEEDS):
            classifier = train_classifier(sets, folder / f"{arm}-{seed}", settings, seed=seed)
            # The lesions are the same each time, and no infiller painted them.
            infiller = seed if arm != "few" else None
            how = EvaluateSettings(arm=arm, replicate=seed, infiller=infiller, resamples=100, attention=False)
            evaluations.append(evaluate(classifier, real, folder / f"{arm}-{seed}-evaluated", how))
    how_compared = CompareArmsSettings(resamples=500, curve_resamples=100, measures=("auc_by_lesion",))
    return compare_arms(evaluations, folder / "comparison", how_compared)


Lesion = tuple[dict[str, Any], np.ndarray, np.ndarray]


def lesions(patients: range, split: str) -> Iterator[Lesion]:
    """Draw three windows about one lesion of each patient: row, image, mask."""
    for patient in patients:
        drawn = draw_mammogram(patient, "mlo", BREAST, seed=1)
        middle = np.argwhere(drawn.lesions[0]).mean(axis=0) - SIZE_PX / 2
        for number, moved in enumerate(np.random.default_rng(patient).integers(-5, 6, (3, 2))):
            top, left = np.clip((middle + moved).astype(int), 0, np.array(drawn.image.shape) - SIZE_PX)
            window = slice(top, top + SIZE_PX), slice(left, left + SIZE_PX)
            row = {
                "patch_id": f"patient-{patient}-{number}", "patient_id": f"patient-{patient}",
                "mammogram_id": f"patient-{patient}", "top": top, "left": left, "height": SIZE_PX, "width": SIZE_PX,
                "pathology": "malignant" if drawn.malignant else "benign", "lesion_ids": f"patient-{patient}",
                "breast_share": 1.0, "split": split, "origin": "real",
            }  # fmt: skip
            yield row, to_uint16(drawn.image[window]), drawn.lesions[0][window]


def as_if_painted(real: Lesion) -> Lesion:
    """Say of a real lesion that it was painted, into a patch of its own patient and with its own mask."""
    row, image, mask = real
    told = {"origin": "synthetic", "patch_id": f"painted-{row['patch_id']}", "seed": 0, "infiller": "none"}
    whose = {"context_patch_id": row["patch_id"], "mask_donor_patch_id": row["patch_id"]}
    return row | told | whose | {"mask_donor_patient_id": row["patient_id"]}, image, mask


def write_patches(out: Path, some: list[Lesion], *made_from: Artifact) -> PatchSet:
    rows, images, masks = zip(*some, strict=True)
    inputs = {"patches": list(made_from)}
    with begin(out, kind=PatchSet.kind, stage="toy", settings=Toy(), seed=0, inputs=inputs) as work:
        assert work is not None
        write_shard(work.folder / "patches-00000.parquet", rows, images, masks, [np.ones_like(masks[0])] * len(rows))
        pd.DataFrame({"reason": [], "split": [], "count": []}).to_parquet(work.folder / "dropped.parquet")
        work.finish({"patches": len(rows)})
    return PatchSet.open(out)


def test_true_lesions_are_shown_to_help(comparison: Comparison) -> None:
    found = sentence(comparison, "true")
    assert "Shown better (p " in found, found


def test_lesions_of_shuffled_class_are_not(comparison: Comparison) -> None:
    found = sentence(comparison, "shuffled")
    assert "No difference shown (p = " in found or "Shown worse (p " in found, found


def test_the_lineage_of_what_was_planted_is_kept(comparison: Comparison) -> None:
    ways = {way.through: set(way.patients) for way in comparison.manifest.patients_learned_from}
    assert ways["train-classifier (mask donor of a synthetic patch)"] == {f"patient-{one}" for one in OTHERS}
    assert set(comparison.scores["patient_id"]) == {f"patient-{one}" for one in TEST}


def sentence(comparison: Comparison, arm: str) -> str:
    table = comparison.sentences.query("kind == 'comparison'").set_index("arm")
    return str(table.loc[arm, "text"])
