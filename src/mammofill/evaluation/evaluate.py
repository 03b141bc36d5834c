"""Judging a classifier on a frozen test set: the stage `evaluate`, with its leak guard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from mammofill.classifier import Classifier
from mammofill.evaluation.evaluation import SCORE_COLUMNS, Evaluation, fingerprint_test_set
from mammofill.evaluation.intervals import bootstrap_interval
from mammofill.evaluation.metrics import Weights, measure_all
from mammofill.evaluation.settings import EvaluateSettings
from mammofill.ground.artifact import begin, write_atomically
from mammofill.ground.errors import LeakError, TooFewError
from mammofill.ground.imaging import to_unit
from mammofill.ground.progress import Progress, quiet
from mammofill.ground.seeding import stream
from mammofill.patches import PatchSet


def evaluate(
    classifier: Classifier,
    patches: PatchSet,
    out: str | Path,
    settings: EvaluateSettings = EvaluateSettings(),
    *,
    seed: int = 0,
    progress: Progress = quiet,
    device: str = "cpu",
) -> Evaluation:
    """Score the test patches and measure, with intervals that resample patients.

    The test set is every real benign or malignant patch of the split. Nothing generated is ever in it, and no patient
    in it may have shaped any weights, of the classifier or of an infiller before it.

    Args:
        classifier: who is judged.
        patches: where the test patches are.
        out: folder of the evaluation.
        settings: split, resamples, confidence.
        seed: decides the resamples, the same ones for every classifier.
        progress: told as patches are scored.
        device: where the network runs.

    Returns:
        The evaluation.

    Raises:
        LeakError: a test patient shaped the classifier or its infiller, is in two splits, or a generated patch is in
            the test split.
        TooFewError: a class is missing in the split.
        DeviceError: the device is not there.
    """
    rows = _test_rows(patches, settings.split)
    table = patches.table.iloc[rows]
    check_no_leak(classifier, table, settings.split)

    from mammofill.ground.training import find_device  # torch, which the settings and the help do not need

    find_device(device)
    with begin(
        out,
        kind=Evaluation.kind,
        stage="evaluate",
        settings=settings,
        seed=seed,
        inputs={"classifier": classifier, "patches": patches},
        device=device,
    ) as work:
        if work is not None:
            logits = _score(classifier, patches, rows, settings.batch, progress, device)
            scores = pd.DataFrame({
                "patch_id": table["patch_id"].to_numpy(),
                "patient_id": table["patient_id"].to_numpy(),
                "pathology": table["pathology"].to_numpy(),
                "logit": logits,
                "score": expit(logits),
            }).astype(SCORE_COLUMNS)  # fmt: skip
            scores.to_parquet(work.folder / "scores.parquet", index=False)
            metrics = measure_scores(scores, classifier.threshold, settings, seed)
            metrics.to_parquet(work.folder / "metrics.parquet", index=False)
            facts = {
                "arm": settings.arm or classifier.label,
                "label": classifier.label,
                "threshold": classifier.threshold,
                "test_set": fingerprint_test_set(patches.fingerprint, table),
                "confidence": settings.confidence,
            }
            write_atomically(work.folder / "evaluation.json", json.dumps(facts, indent=2) + "\n")
            counts = {f"{kind}_patches": int((table["pathology"] == kind).sum()) for kind in ("benign", "malignant")}
            work.finish({**counts, "patients": table["patient_id"].nunique()})
    return Evaluation.open(out)


def check_no_leak(classifier: Classifier, test: pd.DataFrame, split: str) -> None:
    """Refuse a classifier that learned from a test patient, by whatever way.

    Args:
        classifier: its manifest says whom any weights upstream have learned from, and through what.
        test: the table of the test patches.
        split: name of the split, for the message.

    Raises:
        LeakError: naming the patients and the ways in.
    """
    ways = classifier.manifest.learned_patients()
    leaking = sorted(set(test["patient_id"]) & set(ways))
    if leaking:
        shown = "".join(f"\n  {patient}: through {', '.join(ways[patient])}" for patient in leaking[:10])
        more = f"\n  ... and {len(leaking) - 10} more" if len(leaking) > 10 else ""
        raise LeakError(
            f"The classifier in {classifier.folder} learned from {len(leaking)} patients of the {split} split:{shown}"
            f"{more}\nIts scores on them would say nothing. Train the classifier and its infiller on patches of the "
            "same ingest, whose split keeps every patient on one side."
        )


def measure_scores(scores: pd.DataFrame, threshold: float, settings: EvaluateSettings, seed: int) -> pd.DataFrame:
    """Measure scores at the frozen threshold and at one half.

    Args:
        scores: columns of `SCORE_COLUMNS`.
        threshold: the score from which a patch is called malignant.
        settings: resamples and confidence.
        seed: decides the resamples.

    Returns:
        measure, threshold_rule, value, low, high; the AUC, which needs no threshold, once with the rule ``none``.
    """
    malignant = (scores["pathology"] == "malignant").to_numpy(dtype=bool)
    logits = scores["logit"].to_numpy()
    patients = scores["patient_id"].to_numpy(dtype=object)
    rows = []
    for rule, limit in (("frozen", threshold), ("half", 0.5)):
        called = scores["score"].to_numpy() >= limit

        def statistics(weights: Weights, called: NDArray[np.bool_] = called) -> dict[str, NDArray[np.float64]]:
            return measure_all(malignant, logits, called, weights)

        values = statistics(np.ones((1, len(scores))))
        random = stream(seed, "intervals")
        intervals = bootstrap_interval(statistics, patients, settings.resamples, settings.confidence, random)
        for measure, value in values.items():
            if measure == "auc" and rule == "half":
                continue
            low, high = intervals[measure]
            rows.append((measure, "none" if measure == "auc" else rule, float(value[0]), low, high))
    return pd.DataFrame(rows, columns=["measure", "threshold_rule", "value", "low", "high"])


def _test_rows(patches: PatchSet, split: str) -> NDArray[np.int64]:
    generated = patches.rows(split=split, origin="synthetic")
    if len(generated):
        first = patches.table["patch_id"].iloc[int(generated[0])]
        raise LeakError(
            f"{patches.folder} has {len(generated)} generated patches in the {split} split, first {first}. "
            "A classifier is judged on real patches only."
        )
    splits = patches.table.groupby("patient_id")["split"].nunique()
    both = sorted(str(patient) for patient in splits.index[splits > 1])
    if both:
        raise LeakError(f"{patches.folder}: {len(both)} patients are in more than one split, first {both[0]}.")
    rows = patches.rows(split=split, origin="real", pathology=("benign", "malignant"))
    found = patches.table["pathology"].iloc[rows]
    for pathology in ("benign", "malignant"):
        if not (found == pathology).any():
            raise TooFewError(
                f"{patches.folder} has no {pathology} patch in the {split} split, so nothing can be measured there "
                f"({len(rows)} lesion patches in all). Use another split or seed in ingest, or more data."
            )
    return rows


def _score(
    classifier: Classifier, patches: PatchSet, rows: NDArray[np.int64], batch: int, progress: Progress, device: str
) -> NDArray[np.float64]:
    logits = np.empty(len(rows), np.float64)
    with progress.task("scoring test patches", len(rows)) as task:
        for start in range(0, len(rows), batch):
            some = rows[start : start + batch]
            images, _ = patches.pixels(some)
            logits[start : start + batch] = classifier.logits(to_unit(images), device=device, batch_size=batch)
            task.advance(len(some))
    return logits
