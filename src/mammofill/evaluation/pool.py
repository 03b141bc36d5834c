"""Pooling the folds of a cross-validation into one evaluation of all patients: the stage `pool-folds`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from mammofill.evaluation.attention import summarise_attention
from mammofill.evaluation.calibration import reliability
from mammofill.evaluation.evaluate import measure_scores
from mammofill.evaluation.evaluation import SCORE_COLUMNS, Evaluation
from mammofill.evaluation.folds import Fold, find_folds, test_set_of
from mammofill.evaluation.metrics import weighted_auc
from mammofill.evaluation.settings import EvaluateSettings, PoolFoldsSettings
from mammofill.ground.artifact import begin, write_atomically
from mammofill.ground.progress import Progress, quiet

_NO_TEMPERATURE = "nothing: whoever validates in one fold is tested in another"


def pool_folds(
    evaluations: Sequence[Evaluation],
    out: str | Path,
    settings: PoolFoldsSettings = PoolFoldsSettings(),
    *,
    seed: int = 0,
    progress: Progress = quiet,
) -> Evaluation:
    """Pool the evaluations of all folds: every patient scored once, by the classifier that never saw that patient.

    Classifiers of different folds are different classifiers, and what one calls 0.6 another may call 0.4. So each score
    is taken in log-odds from its own fold's threshold, which was frozen on validation patients of that fold: 0 is the
    threshold everywhere. Thresholds align scores only roughly, and what they could not make alike would lower the AUC,
    so that it counts pairs of benign and malignant cases within folds alone: each pair is ranked by one classifier
    (Forman and Scholz, "Apples-to-apples in cross-validation studies", SIGKDD Explorations 12, 2010).

    Args:
        evaluations: one per fold of one cross-validation, of one arm, dose, share and replicate; in any order.
        out: folder of the pooled evaluation.
        settings: resamples, confidence.
        seed: decides the resamples.
        progress: notified as folds are read and measured.

    Returns:
        An evaluation like any other, whose logits are log-odds from the threshold and whose `folds` hold the rest.

    Raises:
        TooFewError: fewer than two evaluations.
        ArtifactError: they are not all folds of one cross-validation, each once; see `folds.find_folds`.
        LeakError: a classifier learned from a patient whom it scores, or two folds test one patient.
    """
    folds = find_folds(evaluations)
    with begin(
        out,
        kind=Evaluation.kind,
        stage="pool-folds",
        settings=settings,
        seed=seed,
        inputs={"evaluations": list(evaluations)},
    ) as work:
        if work is not None:
            with progress.task("pooling folds", len(folds) + 1) as task:
                parts = []
                for fold in folds:
                    parts.append(from_threshold(fold.evaluation))
                    task.advance()
                scores = pd.concat(parts, ignore_index=True).sort_values("patch_id", ignore_index=True)
                scores.to_parquet(work.folder / "scores.parquet", index=False)
                scores.iloc[:0].to_parquet(work.folder / "validation_scores.parquet", index=False)
                scored_by = _folds_of(folds, scores)
                metrics = measure_scores(scores, 0.0, settings, seed, folds=scored_by)
                metrics.to_parquet(work.folder / "metrics.parquet", index=False)
                bins = reliability(_malignant(scores), scores["logit"].to_numpy(), None)
                bins.to_parquet(work.folder / "reliability.parquet", index=False)
                _pool_attention(folds, work.folder, settings, seed)
                task.advance()
            records = [fold.record(_auc(fold.evaluation.scores)) for fold in folds]
            text = json.dumps([asdict(record) for record in records], indent=2)
            write_atomically(work.folder / "folds.json", text + "\n")
            facts = _facts(folds, scores, [record.auc for record in records], settings)
            write_atomically(work.folder / "evaluation.json", json.dumps(facts, indent=2) + "\n")
            counts = {f"{kind}_patches": int((scores["pathology"] == kind).sum()) for kind in ("benign", "malignant")}
            work.finish({**counts, "patients": scores["patient_id"].nunique(), "folds": len(folds)})
    return Evaluation.open(out)


def from_threshold(one: Evaluation) -> pd.DataFrame:
    """Return the scores of an evaluation with log-odds taken from its own threshold; columns of `SCORE_COLUMNS`."""
    logits = one.scores["logit"] - one.threshold_logit
    return one.scores.assign(logit=logits, score=expit(logits))[list(SCORE_COLUMNS)].astype(SCORE_COLUMNS)


def _facts(
    folds: Sequence[Fold], scores: pd.DataFrame, areas: Sequence[float], settings: PoolFoldsSettings
) -> dict[str, Any]:
    first = folds[0].evaluation
    facts = {
        "arm": first.arm,
        "replicate": first.replicate,
        "infiller": first.facts.get("infiller"),
        "added": first.added,
        "recipe": first.recipe,
        "infillers": sorted({one for fold in folds for one in fold.evaluation.facts.get("infillers", ())}),
        "dose": first.dose,
        "real_share": first.real_share,
        **{name: _mean_count(folds, name) for name in ("real_patches", "synthetic_patches", "images_seen")},
        "label": first.label,
        "threshold": 0.5,
        "threshold_logit": 0.0,
        "temperature": None,
        "temperature_fitted_on": _NO_TEMPERATURE,
        "test_set": test_set_of(folds, scores),
        "confidence": settings.confidence,
        "external": "",
        "folds": len(folds),
        "mean_fold_auc": float(np.mean(areas)),
    }
    trials = [fold.evaluation.fills_on_trial for fold in folds]
    known = [trial for trial in trials if trial is not None]
    facts |= {"fills_on_trial": np.sum(known, axis=0).tolist()} if known else {}
    return facts | ({"attention_cells": cells} if (cells := first.facts.get("attention_cells")) else {})


def _folds_of(folds: Sequence[Fold], scores: pd.DataFrame) -> NDArray[np.int64]:
    """Return which fold's classifier scored each patch, (n,)."""
    of_patient = {patient: fold.number for fold in folds for patient in fold.evaluation.scores["patient_id"]}
    return scores["patient_id"].map(of_patient).to_numpy(dtype=np.int64)


def _mean_count(folds: Sequence[Fold], name: str) -> int | None:
    """Return how many patches or images the classifiers learned from on average; None where one does not say."""
    counts = [fold.evaluation.facts.get(name) for fold in folds]
    known = [count for count in counts if count is not None]
    return round(sum(known) / len(known)) if len(known) == len(counts) else None


def _pool_attention(folds: Sequence[Fold], folder: Path, settings: PoolFoldsSettings, seed: int) -> None:
    if not all(fold.evaluation.has_attention for fold in folds):
        return
    looked = pd.concat([fold.evaluation.attention for fold in folds], ignore_index=True)
    looked = looked.sort_values("patch_id", ignore_index=True)
    looked.to_parquet(folder / "attention.parquet", index=False)
    how = EvaluateSettings(resamples=settings.resamples, confidence=settings.confidence)
    summarise_attention(looked, how, seed).to_parquet(folder / "attention_summary.parquet", index=False)


def _auc(scores: pd.DataFrame) -> float:
    malignant = _malignant(scores)
    if not malignant.any() or malignant.all():
        return math.nan
    return float(weighted_auc(malignant, scores["logit"].to_numpy(), np.ones((1, len(scores))))[0])


def _malignant(scores: pd.DataFrame) -> Any:
    return (scores["pathology"] == "malignant").to_numpy(dtype=bool)
