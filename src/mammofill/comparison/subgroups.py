"""How arms do on parts of the test set: by density, view, abnormality and size of the lesion. Described, never tested.

A part of a test set holds few patients, and of many parts one differs by chance. So each value has its interval, and
none has a p.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from mammofill.evaluation.evaluation import Evaluation
from mammofill.evaluation.intervals import Resamples, by_chain
from mammofill.evaluation.settings import EvaluateSettings
from mammofill.evaluation.units import Units
from mammofill.ground.seeding import stream
from mammofill.mammograms import MammogramSet

PROPERTIES = ("density", "view", "abnormality", "size")

SUBGROUP_COLUMNS = {
    "property": "string",  # of `PROPERTIES`
    "subgroup": "string",  # in words
    "arm": "string",
    "patients": "int64",  # with a lesion of the subgroup in the test set
    "benign_lesions": "int64",
    "malignant_lesions": "int64",
    "value": "float64",  # AUC by lesion, mean over replicates; NaN with too few patients
    "low": "float64",  # of the interval over patients, and over training where an arm was trained several times
    "high": "float64",
}

FEWEST_PATIENTS = 5
"""Of each class; with fewer, an AUC and its interval say nothing."""

_MEASURE = "auc_by_lesion"
_SIZES_MM = (10, 20)
"""Where the tumour stages T1b, T1c and T2 part (AJCC Cancer Staging Manual, 8th edition: breast)."""


def lesion_properties(mammograms: Sequence[MammogramSet]) -> pd.DataFrame:
    """Say of each lesion to which subgroups it belongs.

    Args:
        mammograms: sets whose lesions are described.

    Returns:
        patient_id, lesion_id, and each of `PROPERTIES` in words, missing where nothing is known. The size is the longer
        side of the lesion's box in millimetres; where a set states no spacing, whether its outline is in the smaller or
        the larger half of the set.
    """
    tables = []
    for one in mammograms:
        known = one.mammograms[["mammogram_id", "view", "density", "spacing_mm"]]
        lesions = one.lesions.merge(known, on="mammogram_id", how="left")
        lesions["view"] = lesions["view"].str.upper()
        lesions["density"] = "density " + lesions["density"]
        lesions["size"] = _sizes(lesions)
        tables.append(lesions[["patient_id", "lesion_id", *PROPERTIES]])
    if not tables:
        return pd.DataFrame(columns=["patient_id", "lesion_id", *PROPERTIES], dtype="string")
    return pd.concat(tables, ignore_index=True).astype("string")


def _sizes(lesions: pd.DataFrame) -> pd.Series[str]:
    """Return the size of each lesion in words."""
    extent = lesions[["height", "width"]].max(axis=1) * lesions["spacing_mm"]
    if extent.notna().any():
        small, large = _SIZES_MM
        words = (f"up to {small} mm", f"over {small}, up to {large} mm", f"over {large} mm")
        return pd.cut(extent, [0, small, large, math.inf], labels=words).astype("string")
    middle = lesions["area_px"].median()
    smaller = lesions["area_px"] <= middle
    return smaller.map({True: f"up to {middle:.0f} pixels outlined", False: f"over {middle:.0f} pixels outlined"})


def subgroups_of_arms(
    arms: Mapping[str, Sequence[Evaluation]], properties: pd.DataFrame, settings: EvaluateSettings, seed: int
) -> pd.DataFrame:
    """Measure the AUC by lesion of each arm in each subgroup of the test lesions.

    Args:
        arms: name -> replicates on one test set.
        properties: see `lesion_properties`.
        settings: resamples and confidence.
        seed: decides the resamples, the same ones for all arms.

    Returns:
        Columns of `SUBGROUP_COLUMNS`; subgroups in the order of `PROPERTIES`, then of their words. A property that all
        lesions share, or of which nothing is known, makes no subgroups.
    """
    first = next(iter(arms.values()))[0]
    rows: list[tuple[object, ...]] = []
    for name, words, truth in _subgroups(first.scores, properties):
        units = Units(truth)
        lesions, patients = units.lesions, truth["patient_id"].to_numpy(dtype=object)
        of_class = {side: len(set(lesions.patients[lesions.malignant == side])) for side in (False, True)}
        counts = (len(set(patients)), int((~lesions.malignant).sum()), int(lesions.malignant.sum()))
        resamples = Resamples.draw(patients, settings.resamples, stream(seed, "subgroups", name, words))
        for arm, several in arms.items():
            estimate = (math.nan,) * 3
            if min(of_class.values()) >= FEWEST_PATIENTS:
                estimate = _measured(several, units, resamples, settings.confidence)
            rows.append((name, words, arm, *counts, *estimate))
    return pd.DataFrame(rows, columns=list(SUBGROUP_COLUMNS)).astype(SUBGROUP_COLUMNS)


def _subgroups(scores: pd.DataFrame, properties: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield property, subgroup, and its patches, each with those of its lesions alone that belong to the subgroup."""
    truth = scores[["patch_id", "patient_id", "pathology", "lesion_ids"]].copy()
    truth["lesion_id"] = truth["lesion_ids"].fillna("").str.split(" ")
    truth = truth.explode("lesion_id").merge(properties, on=["patient_id", "lesion_id"], how="inner")
    for name in PROPERTIES:
        subgroups = sorted(truth[name].dropna().unique(), key=lambda words: (not words.startswith("up to"), words))
        for words in subgroups if len(subgroups) > 1 else ():
            part = truth[truth[name] == words]
            patches = part.groupby("patch_id", sort=False).agg(
                patient_id=("patient_id", "first"), pathology=("pathology", "first"), lesion_ids=("lesion_id", " ".join)
            )
            yield name, str(words), patches.reset_index()


def _measured(
    several: Sequence[Evaluation], units: Units, resamples: Resamples, confidence: float
) -> tuple[float, float, float]:
    """Return the mean over the replicates of an arm, with its interval."""
    patches, patients = units.table["patch_id"], units.table["patient_id"].to_numpy(dtype=object)
    values, draws = [], []
    for one in several:
        logits = one.scores.set_index("patch_id")["logit"].loc[patches].to_numpy(dtype=np.float64)
        found = units.measured([_MEASURE], logits, one.threshold_logit, resamples, one.folds_of(patients))
        value, drawn = found[_MEASURE]
        values.append(value)
        draws.append(drawn)
    infillers = [one.infiller for one in several]
    spread = by_chain(values, draws, infillers, units.limiting_patients(_MEASURE)).spread()
    return (spread.value, *spread.interval(confidence))
