"""Evaluation: the scores of one classifier on a frozen test set, and what they measure.

On disk::

    scores.parquet             one row per test patch: columns of `SCORE_COLUMNS`
    validation_scores.parquet  the same of the validation split's lesion patches; no measure is of them
    metrics.parquet            columns of `METRIC_COLUMNS`
    reliability.parquet        malignant share by bin of scores: columns of `calibration.RELIABILITY_COLUMNS`
    attention.parquet          where it looks, patch by patch: columns of `attention.ATTENTION_COLUMNS`
    attention_summary.parquet  the same on average: columns of `attention.ATTENTION_SUMMARY_COLUMNS`
    attention_hardest.png      maps over the patches with the largest errors
    attention_random.png       maps over patches drawn at random, the same ones for every classifier
    evaluation.json            arm, replicate, infiller, dose, real_share, real_patches and synthetic_patches
                               learned from, images_seen in training, added, recipe and infillers (see `training`),
                               label, threshold (as probability and as logit), temperature and what it was fitted on,
                               fingerprint of the test set, confidence, external (see `external`), attention_cells,
                               heat_maps (which patches the pictures show)
    folds.json                 of a pooled evaluation alone (`pool`): what each fold was, see `FoldRecord`

A pooled evaluation is of all patients, each scored by the one classifier of a cross-validation that never saw that
patient. Its logits are from the threshold of their own fold, so that the threshold is 0; it has no temperature and no
validation scores, and ``evaluation.json`` also holds folds (how many) and mean_fold_auc.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit

from mammofill.evaluation.intervals import Replicates, Resamples
from mammofill.evaluation.metrics import MEASURES, is_measure
from mammofill.evaluation.units import Units, unit_of
from mammofill.ground.artifact import Artifact, LearnedFrom
from mammofill.ground.errors import ArtifactError, SettingsError
from mammofill.ground.parquet import read_parquet
from mammofill.ground.seeding import stream

_CLASSIFIER = "train-classifier"
"""The stage through which a classifier itself learned from the real patches of patients."""

SCORE_COLUMNS = {
    "patch_id": "string",
    "patient_id": "string",
    "pathology": "string",
    "lesion_ids": "string",  # lesions that it holds, separated by spaces; empty where the patch set does not say
    "logit": "float64",  # log-odds of malignancy
    "score": "float64",  # probability of malignancy
}

METRIC_COLUMNS = {
    "measure": "string",  # see `metrics` and `units`; those that begin with calibrated_ are after the temperature
    "threshold_rule": "string",  # frozen (on validation), half (a probability of 0.5), none (the measure needs none)
    "value": "float64",
    "low": "float64",  # of its interval over patients; NaN where there is none
    "high": "float64",
    "left_out": "int64",  # resamples of patients in which it had no value, because a class was missing
}


@dataclass(frozen=True)
class FoldRecord:
    """What a pooled evaluation keeps of one of its folds."""

    fold: int
    """Its number, from 0."""
    evaluation: str
    """Fingerprint of the evaluation of this fold."""
    threshold_logit: float
    """Frozen on its validation patients; what pooled logits are taken from."""
    auc: float
    """Of this fold alone."""
    patients: tuple[str, ...]
    """Whom its classifier scored."""
    learned_from: tuple[LearnedFrom, ...]
    """Whom its classifier, and whatever is upstream of it, learned from."""


class Evaluation(Artifact):
    """What one classifier scored on a frozen test set: ``scores`` (of patches) and ``metrics`` (with intervals).

    ``arm`` is its name in tables and figures. Only evaluations of one ``test_set`` may be compared. See the module for
    the columns and the files.
    """

    kind: ClassVar[str] = "evaluation"

    def headline(self) -> str:
        """Say the arm, its AUC by lesion (or by patch, where lesions have no names) and of how many patients."""
        rows = {str(row["measure"]): row for row in self.metrics.to_dict("records")}
        name = "auc_by_lesion" if "auc_by_lesion" in rows else "auc"
        value, low, high = (float(rows[name][part]) for part in ("value", "low", "high"))
        words = name.replace("auc", "AUC").replace("_", " ")
        return f"{self.arm}: {words} {value:.3f} [{low:.3f}, {high:.3f}], {super().headline()}"

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row per test patch, columns of `SCORE_COLUMNS`."""
        return _scores(read_parquet(self.folder / "scores.parquet"))

    @cached_property
    def validation_scores(self) -> pd.DataFrame:
        """One row per lesion patch of the validation split, columns of `SCORE_COLUMNS`.

        Raises:
            ArtifactError: the evaluation was made before these were kept.
        """
        return _scores(self._read("validation_scores.parquet"))

    @cached_property
    def reliability(self) -> pd.DataFrame:
        """Observed share of malignant patches by bin of scores; columns of `calibration.RELIABILITY_COLUMNS`.

        Raises:
            ArtifactError: the evaluation was made before these were kept.
        """
        return self._read("reliability.parquet")

    @property
    def has_attention(self) -> bool:
        """Whether attention was measured: it was requested, and the maps have more than one cell."""
        return (self.folder / "attention.parquet").is_file()

    @cached_property
    def attention(self) -> pd.DataFrame:
        """Where the classifier looks, one row per test patch; columns of `attention.ATTENTION_COLUMNS`.

        Raises:
            ArtifactError: attention was not measured, see `has_attention`.
        """
        return self._read("attention.parquet")

    @cached_property
    def attention_summary(self) -> pd.DataFrame:
        """The same on average, with intervals; columns of `attention.ATTENTION_SUMMARY_COLUMNS`.

        Raises:
            ArtifactError: attention was not measured, see `has_attention`.
        """
        return self._read("attention_summary.parquet")

    @property
    def heat_maps(self) -> dict[str, tuple[Path, list[str]]]:
        """Pictures of where it looks: ``hardest`` and ``random`` -> PNG and the patches on it, from left to right."""
        drawn = {name: self.folder / f"attention_{name}.png" for name in self.facts.get("heat_maps", {})}
        return {name: (path, self.facts["heat_maps"][name]) for name, path in drawn.items() if path.is_file()}

    @property
    def external(self) -> str:
        """Name of the source of the test patches where it is another one than the classifier's own; else empty."""
        return str(self.facts.get("external", ""))

    @cached_property
    def folds(self) -> tuple[FoldRecord, ...]:
        """The folds of a pooled evaluation; empty for the evaluation of one classifier."""
        path = self.folder / "folds.json"
        records = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        return tuple(_fold_record(record) for record in records)

    def folds_of(self, patients: NDArray[np.object_]) -> NDArray[np.int64] | None:
        """Return by which fold's classifier each of these patients was scored, (n,); None where nothing was pooled."""
        if not self.folds:
            return None
        of_patient = {patient: one.fold for one in self.folds for patient in one.patients}
        return np.array([of_patient[patient] for patient in patients], dtype=np.int64)

    @property
    def mean_fold_auc(self) -> float | None:
        """Mean of the folds' own AUCs, each of one classifier; None where nothing was pooled."""
        value = self.facts.get("mean_fold_auc")
        return None if value is None else float(value)

    def _read(self, name: str) -> pd.DataFrame:
        path = self.folder / name
        if not path.is_file():
            raise ArtifactError(
                f"{self.folder} has no {name}: it was made by mammofill {self.manifest.package_version} before that "
                "was kept, or with settings without it. Evaluate the classifier again, into another folder."
            )
        return read_parquet(path)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row per measure and threshold rule, columns of `METRIC_COLUMNS`."""
        return read_parquet(self.folder / "metrics.parquet")

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
    def replicate(self) -> int:
        """Number of the classifier among those of its arm, dose and share, from 0."""
        return int(self.facts.get("replicate", 0))

    @property
    def added(self) -> str:
        """What the classifier learned from besides real patches, each once: see `training.ADDED`; empty for nothing."""
        return str(self.facts.get("added", ""))

    @property
    def recipe(self) -> str:
        """How it was trained, all but the added patches: the same text for arms that differ in nothing else.

        Empty where the evaluation was made before that was kept.
        """
        return str(self.facts.get("recipe", ""))

    @property
    def infiller(self) -> str:
        """Which infiller its generated patches are of, by which classifiers of one arm are distinguished.

        The number that the study gave it, or else the fingerprints of all infillers upstream; empty where none is.
        """
        number = self.facts.get("infiller")
        return " ".join(self.facts.get("infillers", ())) if number is None else f"number {number}"

    @property
    def dose(self) -> float | None:
        """Synthetic or repeated patches for each real one that was learned from; None where there is no such number."""
        dose = self.facts.get("dose")
        return None if dose is None else float(dose)

    @property
    def real_share(self) -> float:
        """Share of the train split's patients that was learned from, in (0, 1]."""
        return float(self.facts.get("real_share", 1.0))

    @property
    def real_patches(self) -> int | None:
        """Real patches of the train split that were learned from; None where this was not recorded."""
        count = self.facts.get("real_patches")
        return None if count is None else int(count)

    @property
    def synthetic_patches(self) -> int | None:
        """Generated patches that were learned from; None where this was not recorded."""
        count = self.facts.get("synthetic_patches")
        return None if count is None else int(count)

    @property
    def fills_on_trial(self) -> tuple[int, int] | None:
        """In how many of how many trainings validation allowed generated patches; None where they were not on trial."""
        recorded = self.facts.get("fills_on_trial")
        return None if recorded is None else (int(recorded[0]), int(recorded[1]))

    @property
    def training_set(self) -> int | None:
        """Number of its training set among those of a study, with no patient in common; None where not recorded."""
        number = self.facts.get("training_set")
        return None if number is None else int(number)

    @cached_property
    def training_patients(self) -> frozenset[str]:
        """The patients from whose real patches the classifier itself learned; of pooled folds, those of all of them."""
        return frozenset(patient for patients in self._taught for patient in patients)

    @property
    def training_patients_each(self) -> float:
        """How many these are; of pooled folds, of each classifier on average."""
        return sum(map(len, self._taught)) / max(len(self.folds), 1)

    @property
    def _taught(self) -> list[tuple[str, ...]]:
        ways = [way for one in self.folds for way in one.learned_from] or self.manifest.patients_learned_from
        return [way.patients for way in ways if way.through == _CLASSIFIER]

    @property
    def images_seen(self) -> int | None:
        """Images that were seen in training, patches as often as they came; None where this was not recorded."""
        count = self.facts.get("images_seen")
        return None if count is None else int(count)

    @property
    def label(self) -> str:
        """What the classifier is, in words: network and what it started from."""
        return str(self.facts["label"])

    @property
    def threshold(self) -> float:
        """The score from which a patch was called malignant, frozen on validation."""
        return float(self.facts["threshold"])

    @property
    def threshold_logit(self) -> float:
        """The same in log-odds, as which it is applied: probabilities tie near 0 and 1."""
        return float(self.facts.get("threshold_logit", logit(self.threshold)))

    @property
    def temperature(self) -> float | None:
        """What logits are divided by to become calibrated; None where validation could not determine it."""
        temperature = self.facts.get("temperature")
        return None if temperature is None else float(temperature)

    @property
    def test_set(self) -> str:
        """Fingerprint of the test set: two evaluations may be compared only where it is the same."""
        return str(self.facts["test_set"])

    def scores_like(self, other: Evaluation) -> bool:
        """Whether another one gave each test patch identical scores and calls, as the same weights do."""
        alike = self.scores[["patch_id", "logit"]].equals(other.scores[["patch_id", "logit"]])
        return alike and self.threshold_logit == other.threshold_logit

    def shared_with(self, other: Evaluation) -> float:
        """Return in which share of its folds another one was scored by the very same weights; 0 or 1 without folds.

        Scores of one value alone are no sign of that: from its own threshold, any classifier that collapsed has these.
        """
        folds = self.folds_of(self.scores["patient_id"].to_numpy(dtype=object))
        if folds is None:
            return float(self.scores_like(other))
        theirs = other.scores.set_index("patch_id")["logit"].loc[self.scores["patch_id"]].to_numpy()
        alike = (self.scores["logit"] == theirs).groupby(folds).all()
        return float((alike & (self.scores["logit"].groupby(folds).nunique() > 1)).mean())

    def called(self) -> NDArray[np.bool_]:
        """Return which patches were called malignant at the frozen threshold, (n,) in the order of the scores."""
        return self.scores["logit"].to_numpy() >= self.threshold_logit


def _scores(table: pd.DataFrame) -> pd.DataFrame:
    """Return scores with all of `SCORE_COLUMNS`; older evaluations name no lesions."""
    return table.assign(**{name: "" for name in SCORE_COLUMNS if name not in table}).astype(SCORE_COLUMNS)[
        list(SCORE_COLUMNS)
    ]


def _fold_record(record: dict[str, Any]) -> FoldRecord:
    learned_from = tuple(LearnedFrom(way["through"], tuple(way["patients"])) for way in record["learned_from"])
    return FoldRecord(**record | {"patients": tuple(record["patients"]), "learned_from": learned_from})


def fingerprint_test_set(patches: str, table: pd.DataFrame) -> str:
    """Name a test set by the patch set that it comes from and the patches and truths in it.

    Args:
        patches: fingerprint of the patch set, which covers every pixel.
        table: patch_id and pathology of the test patches.
    """
    rows = sorted(zip(table["patch_id"], table["pathology"], strict=True))
    return hashlib.sha256("\n".join([patches, *(f"{patch} {truth}" for patch, truth in rows)]).encode()).hexdigest()


def check_same_test_set(evaluations: Sequence[Evaluation]) -> None:
    """Refuse evaluations of different test sets.

    Raises:
        ArtifactError: naming the first two that differ.
    """
    first = evaluations[0]
    for other in evaluations[1:]:
        if other.test_set != first.test_set:
            raise ArtifactError(
                f"{first.folder} and {other.folder} were measured on different test sets ({first.test_set[:12]} and "
                f"{other.test_set[:12]}): a difference between them would mean nothing. Evaluate both on the same "
                "patches."
            )


def paired_difference(
    first: Evaluation, second: Evaluation, name: str, resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """Return how much greater a measure is in the second evaluation than in the first, with its interval.

    Both are measured on the same resamples of patients, so what is common to both cancels out. Variation between
    trainings is not in the interval: `compare_arms` adds it, from replicates.

    Args:
        first: one evaluation.
        second: another one, on the same test set.
        name: a measure, as in `metrics` and `units`, at each classifier's own frozen threshold.
        resamples: bootstrap resamples of patients.
        confidence: of the interval.
        seed: decides the resamples.

    Returns:
        The difference, and the low and high ends of its interval: 0 for two with bit-identical scores, NaN where no
        standard error can be computed.

    Raises:
        ArtifactError: the test sets differ.
        SettingsError: the measure is not known.
    """
    check_same_test_set((first, second))
    if not is_measure(unit_of(name)[0]):
        raise SettingsError(f"There is no measure {name!r}; known are {', '.join(MEASURES)}.")
    units = Units(first.scores)
    patients = first.scores["patient_id"].to_numpy(dtype=object)
    drawn = Resamples.draw(patients, resamples, stream(seed, "paired-difference"))
    resting_on = units.limiting_patients(name)

    def replicates(one: Evaluation) -> Replicates:
        logits = one.scores.set_index("patch_id")["logit"].loc[first.scores["patch_id"]].to_numpy()
        measured = units.measured((name,), logits, one.threshold_logit, drawn, one.folds_of(patients))
        return Replicates(np.array([measured[name][0]]), measured[name][1][None, :], resting_on)

    if first.scores_like(second):
        return 0.0, 0.0, 0.0
    found = replicates(second).minus(replicates(first))
    return (found.value, *found.interval(confidence))
