"""Evaluating a classifier on a frozen test set: the stage `evaluate`, with its leak guard."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from mammofill.classifier import Classifier
from mammofill.evaluation.attention import attention_table, summarise_attention
from mammofill.evaluation.calibration import fit_temperature, is_at_bound, reliability
from mammofill.evaluation.evaluation import METRIC_COLUMNS, SCORE_COLUMNS, Evaluation, fingerprint_test_set
from mammofill.evaluation.external import check_external
from mammofill.evaluation.heat_maps import hardest_patches, heat_map_sheet, random_patches
from mammofill.evaluation.intervals import Replicates, Resamples, scale_of
from mammofill.evaluation.metrics import AT_THRESHOLD, BIASED, LOWER_IS_BETTER, OF_CALIBRATION
from mammofill.evaluation.settings import EvaluateSettings, PoolFoldsSettings
from mammofill.evaluation.training import what_was_learned
from mammofill.evaluation.units import Units, unit_of
from mammofill.ground.artifact import CHOSEN, begin, write_atomically
from mammofill.ground.counting import counted
from mammofill.ground.errors import LeakError, TooFewError
from mammofill.ground.imaging import to_unit
from mammofill.ground.progress import Progress, Task, quiet
from mammofill.ground.seeding import stream
from mammofill.ground.training.memory import freed_memory_kept
from mammofill.mammograms.across_sets import learned_patients
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
    in it may have shaped any weights, of the classifier or of an infiller before it. The validation split's patches are
    scored, too: a temperature is fitted on them, and calibration is reported with and without it. Validation patients
    whom the classifier learned from in another source are left out of that, and named in ``temperature_fitted_on``. No
    patch of an external source is used for that: its scores are reported as they are.

    Args:
        classifier: that is evaluated.
        patches: where the test patches are.
        out: folder of the evaluation.
        settings: split, resamples, confidence.
        seed: decides the resamples, the same ones for every classifier.
        progress: notified as patches are scored.
        device: where the network runs.

    Returns:
        The evaluation.

    Raises:
        LeakError: a test patient shaped the classifier or its infiller, is in two splits, a generated patch is in the
            test split, or an external source is not external.
        TooFewError: a class is missing in the split.
        DeviceError: the device is not there.
    """
    rows = _test_rows(patches, settings.split)
    table = patches.table.iloc[rows]
    check_no_leak(classifier, patches, table, settings.split, settings.external)
    source = check_external(classifier, patches, settings.external) if settings.external else {"external": ""}

    from mammofill.ground.training.device import find_device  # torch, which the settings and the help do not need

    find_device(device)
    given = _Given(classifier, patches, rows, settings, seed, device)
    with (
        freed_memory_kept(device),
        begin(
            out,
            kind=Evaluation.kind,
            stage="evaluate",
            settings=settings,
            seed=seed,
            inputs={"classifier": classifier, "patches": patches},
            device=device,
        ) as work,
    ):
        if work is not None:
            watched, left_out = _validation_rows(classifier, patches, settings)
            if left_out:
                progress.say(f"{patches.folder}: no temperature is fitted on {left_out}")
            with progress.task("scoring patches", len(rows) + len(watched)) as task:
                scores, validation = (_score(given, some, task) for some in (rows, watched))
            threshold = float(classifier.facts.get("threshold_logit", logit(classifier.threshold)))
            temperature, fitted_on = _temperature(validation, left_out, settings.external)
            tables = {
                "scores": scores,
                "validation_scores": validation,
                "metrics": measure_scores(scores, threshold, settings, seed, temperature),
                "reliability": reliability(*_truth_and_logits(scores), temperature),
            }
            for name, one in tables.items():
                one.to_parquet(work.folder / f"{name}.parquet", index=False)
            facts = _facts(given, Path(out).name, threshold, temperature, fitted_on) | source
            if settings.attention:
                facts |= _attention_facts(work.folder, given, scores, progress)
            write_atomically(work.folder / "evaluation.json", json.dumps(facts, indent=2) + "\n")
            counts = {f"{kind}_patches": int((table["pathology"] == kind).sum()) for kind in ("benign", "malignant")}
            work.finish({**counts, "patients": table["patient_id"].nunique()})
    return Evaluation.open(out)


@dataclass(frozen=True)
class _Given:
    """What is evaluated, on what."""

    classifier: Classifier
    patches: PatchSet
    rows: NDArray[np.int64]
    """Of the test patches."""
    settings: EvaluateSettings
    seed: int
    device: str


def check_no_leak(
    classifier: Classifier, patches: PatchSet, test: pd.DataFrame, split: str, external: str = ""
) -> None:
    """Refuse a classifier that learned from a test patient, by whatever way and under whatever name.

    Args:
        classifier: its manifest says whom any weights upstream have learned from, and through what.
        patches: the set of the test patches.
        test: the rows of its table that test.
        split: name of the split, for the message.
        external: name of the source, if it is another one, for the message.

    Raises:
        LeakError: naming the patients and the ways in.
    """
    ways = learned_patients(classifier, patches)
    leaking = sorted(set(test["patient_id"]) & set(ways))
    if leaking:
        shown = "".join(f"\n  {patient}: through {', '.join(ways[patient])}" for patient in leaking[:10])
        where = f"the external source {external!r}" if external else f"the {split} split"
        advice = (
            "If these are different patients with the same identifiers, rename those of one source before ingest."
            if external
            else "Train the classifier and its infiller on patches of the same ingest, whose split keeps every patient "
            "on one side."
        )
        more = f"\n  ... and {len(leaking) - 10} more" if len(leaking) > 10 else ""
        raise LeakError(
            f"The classifier in {classifier.folder} learned from {counted(len(leaking), 'patients')} of {where}:{shown}"
            f"{more}\nIts scores on them would say nothing. {advice}"
        )


def measure_scores(
    scores: pd.DataFrame,
    threshold: float,
    settings: EvaluateSettings | PoolFoldsSettings,
    seed: int,
    temperature: float | None = None,
    folds: NDArray[np.int64] | None = None,
) -> pd.DataFrame:
    """Measure scores at the frozen threshold and at one half, and as probabilities.

    Args:
        scores: columns of `SCORE_COLUMNS`; without the names of lesions nothing is measured by lesion or by patient.
        threshold: the log-odds from which a patch is called malignant.
        settings: at which specificities and recalls, resamples and confidence.
        seed: decides the resamples.
        temperature: from validation; without it calibrated probabilities are not measured.
        folds: (n,) by which fold's classifier each patch was scored; None where there is one classifier.

    Returns:
        Columns of `METRIC_COLUMNS`.
    """
    logits, units = scores["logit"].to_numpy(dtype=np.float64), Units(scores)
    patients = scores["patient_id"].to_numpy(dtype=object)
    # Those of a comparison, so that one classifier has one interval wherever it is reported.
    resamples = Resamples.draw(patients, settings.resamples, stream(seed, "compare-arms"))
    rows = []
    for prefix, names, rule, logits_at, limit in _what_to_measure(logits, threshold, settings, temperature):
        if rule == "half" and folds is not None:  # the scores of folds are no probabilities
            continue
        names = names if units.lesions_are_named else tuple(name for name in names if unit_of(name)[0] == name)
        for name, (value, draws) in units.measured(names, logits_at, limit, resamples, folds).items():
            found = Replicates(np.array([value]), draws[None, :], units.limiting_patients(name))
            spread = found.spread(scale_of(name))
            interval = (math.nan, math.nan) if name in BIASED else spread.interval(settings.confidence)
            rows.append((prefix + name, rule, spread.value, *interval, spread.left_out))
    return pd.DataFrame(rows, columns=list(METRIC_COLUMNS)).astype(METRIC_COLUMNS)


def temperature_of(validation: pd.DataFrame) -> tuple[float | None, str]:
    """Fit the temperature on validation scores.

    Args:
        validation: columns of `SCORE_COLUMNS`.

    Returns:
        The temperature, and on what it was fitted; or None, and why it could not be.
    """
    malignant, logits = _truth_and_logits(validation)
    if not malignant.any() or malignant.all():
        patches = counted(len(malignant), "validation patches hold")
        return None, f"{patches} {malignant.sum()} malignant ones: a class is missing"
    temperature = fit_temperature(malignant, logits)
    words = (
        f"{counted(len(malignant), 'validation patches')} of {counted(validation['patient_id'].nunique(), 'patients')}"
    )
    return temperature, words + (", at the end of the range that is tried" if is_at_bound(temperature) else "")


def _what_to_measure(
    logits: NDArray[np.float64],
    threshold: float,
    settings: EvaluateSettings | PoolFoldsSettings,
    temperature: float | None,
) -> Iterator[tuple[str, tuple[str, ...], str, NDArray[np.float64], float]]:
    """Yield prefix, measures, threshold rule, logits and threshold (in log-odds) of each kind of measure."""
    fixed = [f"recall_at_specificity_{level:g}" for level in settings.specificities]
    fixed += [f"specificity_at_recall_{level:g}" for level in settings.recalls]
    yield "", AT_THRESHOLD, "frozen", logits, threshold
    yield "", AT_THRESHOLD, "half", logits, 0.0
    as_probabilities = (*LOWER_IS_BETTER, *OF_CALIBRATION)
    ranked = ("auc_by_lesion", "auc", "auc_by_patient", "pr_auc")
    yield "", (*ranked, *fixed, *as_probabilities), "none", logits, 0.0
    if temperature is not None:
        yield "calibrated_", as_probabilities, "none", logits / temperature, 0.0


def _temperature(validation: pd.DataFrame, left_out: str, external: str) -> tuple[float | None, str]:
    """Return what `temperature_of` does, and say who was left out; of an external source nothing is learned."""
    if external:
        return None, "nothing: no patch of an external source is learned from"
    temperature, fitted_on = temperature_of(validation)
    return temperature, f"{fitted_on}; not on {left_out}" if left_out else fitted_on


def _truth_and_logits(scores: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    return (scores["pathology"] == "malignant").to_numpy(dtype=bool), scores["logit"].to_numpy(dtype=np.float64)


def _facts(given: _Given, name: str, threshold: float, temperature: float | None, fitted_on: str) -> dict[str, Any]:
    """Return what ``evaluation.json`` says of the classifier, its place in a study and the test set."""
    classifier, patches, settings = given.classifier, given.patches, given.settings
    return {
        "arm": settings.arm or name,
        "replicate": settings.replicate,
        "infiller": settings.infiller,
        "training_set": settings.training_set,
        **what_was_learned(classifier),
        "dose": settings.dose,
        "real_share": settings.real_share,
        "label": classifier.label,
        "threshold": classifier.threshold,
        "threshold_logit": threshold,
        "temperature": temperature,
        "temperature_fitted_on": fitted_on,
        "test_set": fingerprint_test_set(patches.fingerprint, patches.table.iloc[given.rows]),
        "confidence": settings.confidence,
    }


def _attention_facts(folder: Path, given: _Given, scores: pd.DataFrame, progress: Progress) -> dict[str, Any]:
    """Measure and draw where the classifier looks; return what ``evaluation.json`` says of it."""
    cells, settings = given.classifier.attention_cells, given.settings
    if cells <= 1:  # one cell looks everywhere alike
        return {"attention_cells": cells}
    with progress.task("measuring attention", len(given.rows)) as task:
        table = attention_table(given.classifier, given.patches, given.rows, settings.batch, task, given.device)
    table.to_parquet(folder / "attention.parquet", index=False)
    summarise_attention(table, settings, given.seed).to_parquet(folder / "attention_summary.parquet", index=False)
    return {"attention_cells": cells, "heat_maps": _draw_heat_maps(folder, given, scores)}


def _draw_heat_maps(folder: Path, given: _Given, scores: pd.DataFrame) -> dict[str, list[str]]:
    """Draw where the classifier looks, on the hardest patches and on random ones; return picture -> patch ids."""
    count = given.settings.heat_maps
    drawn = {"hardest": hardest_patches(scores, count), "random": random_patches(scores, count, given.seed)}
    for name, places in drawn.items():
        if len(places):
            images, masks = given.patches.pixels(given.rows[places])
            # On the CPU whatever the device: pictures of one classifier are then the same everywhere.
            maps = given.classifier.attention(to_unit(images), batch_size=given.settings.batch)
            sheet = heat_map_sheet(scores.iloc[places], images, masks, maps)
            write_atomically(folder / f"attention_{name}.png", sheet)
    return {name: [str(one) for one in scores["patch_id"].iloc[places]] for name, places in drawn.items()}


def _validation_rows(
    classifier: Classifier, patches: PatchSet, settings: EvaluateSettings
) -> tuple[NDArray[np.int64], str]:
    """Return the rows on which the temperature is fitted, and in words the patients who were learned from and left out.

    Scores of patients that the classifier learned from are more extreme than those of others. Such patients occur where
    the test set is a source of its own, whose validation patients were learned from in another source.
    """
    if settings.external:
        return np.empty(0, np.int64), ""
    rows = patches.rows(split="validation", origin="real", pathology=("benign", "malignant"))
    names = patches.table["patient_id"].iloc[rows]
    # Patients on whom only a threshold or weights were chosen are validated on here as well.
    every_way = learned_patients(classifier, patches)
    taught = {name: [way for way in every_way.get(name, ()) if CHOSEN not in way] for name in sorted(set(names))}
    known = [name for name, ways in taught.items() if ways]
    if not known:
        return rows, ""
    first = f"{known[0]} (through {', '.join(taught[known[0]])})"
    whom = f"{counted(len(known), 'patients')} whom the classifier learned from, first {first}"
    return rows[~names.isin(known).to_numpy()], whom


def _test_rows(patches: PatchSet, split: str) -> NDArray[np.int64]:
    of_split = {} if split == "all" else {"split": split}
    generated = patches.rows(**of_split, origin="synthetic")
    if len(generated):
        first = patches.table["patch_id"].iloc[int(generated[0])]
        raise LeakError(
            f"{patches.folder} has {counted(len(generated), 'generated patches')} in the {split} split, first {first}. "
            "A classifier is judged on real patches only."
        )
    splits = patches.table.groupby("patient_id")["split"].nunique()
    both = sorted(str(patient) for patient in splits.index[splits > 1])
    if both:
        raise LeakError(
            f"{patches.folder}: {counted(len(both), 'patients are')} in more than one split, first {both[0]}."
        )
    rows = patches.rows(**of_split, origin="real", pathology=("benign", "malignant"))
    found = patches.table["pathology"].iloc[rows]
    for pathology in ("benign", "malignant"):
        if not (found == pathology).any():
            raise TooFewError(
                f"{patches.folder} has no {pathology} patch in the {split} split, so nothing can be measured there "
                f"({counted(len(rows), 'lesion patches')} in all). Use another split or seed in ingest, or more data."
            )
    return rows


def _score(given: _Given, rows: NDArray[np.int64], task: Task) -> pd.DataFrame:
    """Score some patches; return columns of `SCORE_COLUMNS`."""
    patches, batch = given.patches, given.settings.batch
    logits = np.empty(len(rows), np.float64)
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        images, _ = patches.pixels(some)
        scored = given.classifier.logits(to_unit(images), device=given.device, batch_size=batch)
        logits[start : start + batch] = scored
        task.advance(len(some))
    table = patches.table.iloc[rows]
    named = {column: table[column].to_numpy() for column in ("patch_id", "patient_id", "pathology", "lesion_ids")}
    return pd.DataFrame({**named, "logit": logits, "score": expit(logits)}).astype(SCORE_COLUMNS)
