"""Evaluation: the scores of one classifier on a frozen test set, and what they measure.

On disk::

    scores.parquet     one row per test patch: patch_id, patient_id, pathology, logit, score
    metrics.parquet    measure, threshold_rule (frozen, half; none for the AUC), value, low, high
    evaluation.json    arm, label, threshold, fingerprint of the test set, confidence
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.evaluation.intervals import bootstrap_interval
from mammofill.evaluation.metrics import MEASURES, Weights, measure_all
from mammofill.ground.artifact import Artifact
from mammofill.ground.errors import ArtifactError, SettingsError
from mammofill.ground.seeding import stream

SCORE_COLUMNS = {
    "patch_id": "string",
    "patient_id": "string",
    "pathology": "string",
    "logit": "float64",  # log-odds of malignancy
    "score": "float64",  # probability of malignancy
}


class Evaluation(Artifact):
    """Scores and measures of one classifier. See the module for the folder."""

    kind: ClassVar[str] = "evaluation"

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row per test patch, columns of `SCORE_COLUMNS`."""
        return pd.read_parquet(self.folder / "scores.parquet").astype(SCORE_COLUMNS)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row per measure and threshold rule: measure, threshold_rule, value, low, high."""
        return pd.read_parquet(self.folder / "metrics.parquet")

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What ``evaluation.json`` says."""
        facts: dict[str, Any] = json.loads((self.folder / "evaluation.json").read_text(encoding="utf-8"))
        return facts

    @property
    def arm(self) -> str:
        """Name of the classifier in tables and figures."""
        return str(self.facts["arm"])

    @property
    def label(self) -> str:
        """What the classifier is, in words: network and what it started from."""
        return str(self.facts["label"])

    @property
    def threshold(self) -> float:
        """The score from which a patch was called malignant, frozen on validation."""
        return float(self.facts["threshold"])

    @property
    def test_set(self) -> str:
        """Fingerprint of the test set: two evaluations may be compared only where it is the same."""
        return str(self.facts["test_set"])

    def called(self) -> NDArray[np.bool_]:
        """Return which patches were called malignant at the frozen threshold, (n,)."""
        return self.scores["score"].to_numpy() >= self.threshold


def fingerprint_test_set(patches: str, table: pd.DataFrame) -> str:
    """Name a test set by the patch set that it comes from and the patches and truths in it.

    Args:
        patches: fingerprint of the patch set, which covers every pixel.
        table: patch_id and pathology of the test patches.
    """
    rows = sorted(zip(table["patch_id"], table["pathology"], strict=True))
    return hashlib.sha256("\n".join([patches, *(f"{patch} {truth}" for patch, truth in rows)]).encode()).hexdigest()


def paired_difference(
    first: Evaluation, second: Evaluation, measure: str, resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """Return how much greater a measure is in the second evaluation than in the first, with its interval.

    Both are measured on the same resamples of patients, so what is common to both cancels out.

    Args:
        first: one evaluation.
        second: another one, on the same test set.
        measure: one of `MEASURES`, at each classifier's own frozen threshold.
        resamples: bootstrap resamples of patients.
        confidence: of the interval.
        seed: decides the resamples.

    Returns:
        The difference, and the low and high ends of its interval.

    Raises:
        ArtifactError: the test sets differ.
        SettingsError: the measure is not known.
    """
    if first.test_set != second.test_set:
        raise ArtifactError(
            f"{first.folder} and {second.folder} were measured on different test sets ({first.test_set[:12]} and "
            f"{second.test_set[:12]}): a difference between them would mean nothing. Evaluate both on the same patches."
        )
    if measure not in MEASURES:
        raise SettingsError(f"There is no measure {measure!r}; known are {', '.join(MEASURES)}.")
    other = second.scores.set_index("patch_id").loc[first.scores["patch_id"]]
    malignant = (first.scores["pathology"] == "malignant").to_numpy(dtype=bool)
    called = dict(zip(second.scores["patch_id"], second.called(), strict=True))
    second_called = np.array([called[patch] for patch in first.scores["patch_id"]], dtype=bool)

    def difference(weights: Weights) -> dict[str, NDArray[np.float64]]:
        one = measure_all(malignant, first.scores["logit"].to_numpy(), first.called(), weights)[measure]
        two = measure_all(malignant, other["logit"].to_numpy(), second_called, weights)[measure]
        return {measure: two - one}

    patients = first.scores["patient_id"].to_numpy(dtype=object)
    value = float(difference(np.ones((1, len(malignant))))[measure][0])
    random = stream(seed, "paired-difference")
    low, high = bootstrap_interval(difference, patients, resamples, confidence, random)[measure]
    return value, low, high
