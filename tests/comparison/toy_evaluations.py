"""Evaluations made of given scores, for tests of what compares them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from mammofill.evaluation import Evaluation
from mammofill.ground.artifact import LearnedFrom, begin, write_atomically

TEST_SET = "a" * 64


@dataclass(frozen=True)
class Toy:
    name: str = "toy"


@dataclass(frozen=True)
class World:
    """Patients with three patches each, the first half of them malignant."""

    patients: int = 40
    noise: float = 0.5

    @property
    def owner(self) -> np.ndarray:
        return np.repeat(np.arange(self.patients), 3)

    @property
    def malignant(self) -> np.ndarray:
        return self.owner < self.patients / 2

    def scores(self, separation: float, seed: int) -> np.ndarray:
        """What all classifiers see of a patch, and what this one made of it; the classes `separation` apart."""
        shared, own = np.random.default_rng(0), np.random.default_rng(seed + 1)
        common = shared.normal(0, 0.5, self.patients)[self.owner] + shared.normal(0, 0.5, len(self.owner))
        return separation * (self.malignant - 0.5) + common + self.noise * own.normal(0, 1, len(self.owner))


def make_evaluation(
    folder: Path,
    arm: str,
    separation: float,
    *,
    seed: int = 0,
    dose: float | None = None,
    real_share: float = 1.0,
    world: World = World(),
    learned: Sequence[LearnedFrom] = (),
    **facts: Any,
) -> Evaluation:
    """Make the evaluation of a classifier whose scores of the two classes lie `separation` apart."""
    logits = world.scores(separation, _number(folder))
    scores = pd.DataFrame({
        "patch_id": [f"patch-{k}" for k in range(len(logits))],
        "patient_id": [f"patient-{k}" for k in world.owner],
        "pathology": np.where(world.malignant, "malignant", "benign"),
        "lesion_ids": [f"lesion-{k}" for k in world.owner],
        "logit": logits,
        "score": expit(logits),
    })  # fmt: skip
    told = {
        "arm": arm, "replicate": seed, "dose": dose, "real_share": real_share, "real_patches": round(400 * real_share),
        "label": "toy", "threshold": 0.5, "threshold_logit": 0.0, "temperature": 2.0, "test_set": TEST_SET,
        "confidence": 0.95,
    } | facts  # fmt: skip
    with begin(folder, kind="evaluation", stage="evaluate", settings=Toy(), seed=0, inputs={}) as work:
        assert work is not None
        scores.to_parquet(work.folder / "scores.parquet", index=False)
        write_atomically(work.folder / "evaluation.json", json.dumps(told))
        work.finish({"patients": world.patients}, learned)
    return Evaluation.open(folder)


def _number(folder: Path) -> int:
    return sum(ord(letter) * (place + 1) for place, letter in enumerate(folder.name))
