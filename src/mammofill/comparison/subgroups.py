"""How arms do on parts of the test set: by density, view, abnormality and size of the lesion. Described, never tested.

A part of a test set holds few patients, and of many parts one differs by chance. So each value has its interval, and
none has a p. The arms are shown beside scores by lesion size alone, without the image: an arm that is no better may
have learned sizes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from mammofill.comparison.design import infillers_of, training_sets
from mammofill.evaluation.evaluation import Evaluation
from mammofill.evaluation.intervals import Resamples, by_chain
from mammofill.evaluation.settings import EvaluateSettings
from mammofill.evaluation.units import Units
from mammofill.ground.errors import SettingsError
from mammofill.ground.seeding import stream
from mammofill.mammograms import MammogramSet

PROPERTIES = ("density", "view", "abnormality", "size")

ALL_LESIONS = "all lesions"
"""The first row: no subgroup, but the reference for the others."""
SIZE_ALONE = "size alone"
"""Shown beside the arms: scores by lesion size alone, where larger means more suspicious."""

SUBGROUP_COLUMNS = {
    "property": "string",  # of `PROPERTIES`; all, of the first row
    "subgroup": "string",  # in words
    "arm": "string",  # or `SIZE_ALONE`
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
_NOTHING = (math.nan, math.nan, math.nan)
_SIZES_MM = (10, 20)
"""Where the tumour stages T1b, T1c and T2 part (AJCC Cancer Staging Manual, 8th edition: breast)."""


def lesion_properties(mammograms: Sequence[MammogramSet], size_attribute: str = "") -> pd.DataFrame:
    """Say of each lesion to which subgroups it belongs.

    Args:
        mammograms: sets whose lesions are described.
        size_attribute: attribute of the lesions that is their true size, where pictures are crops that were scaled to
            their lesions; without one, it is measured on the outline.

    Returns:
        patient_id, lesion_id, and each of `PROPERTIES` in words, missing where nothing is known; and `extent`
        (float64), the size as a number, in one unit within a set. The size is that attribute; or the longer side of
        the lesion's box in millimetres; or, where a set states no spacing, the area outlined in pixels. Lesions are
        large or small by the limits between tumour stages where the size is in millimetres, else by the median of the
        set.

    Raises:
        SettingsError: no lesion has that attribute, or it is no number.
    """
    tables = []
    for one in mammograms:
        known = one.mammograms[["mammogram_id", "view", "density", "spacing_mm"]]
        lesions = one.lesions.merge(known, on="mammogram_id", how="left")
        lesions["view"] = lesions["view"].str.upper()
        lesions["density"] = "density " + lesions["density"]
        lesions["extent"], lesions["size"] = _sizes(lesions, size_attribute, one)
        tables.append(lesions[["patient_id", "lesion_id", *PROPERTIES, "extent"]])
    columns = dict.fromkeys(["patient_id", "lesion_id", *PROPERTIES], "string") | {"extent": "float64"}
    known = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(columns))
    return known.astype(columns).drop_duplicates(
        ["patient_id", "lesion_id"], ignore_index=True
    )  # sets of several folds


def _sizes(lesions: pd.DataFrame, attribute: str, mammograms: MammogramSet) -> tuple[pd.Series[float], pd.Series[str]]:
    """Return the size of each lesion as a number, and in words."""
    if attribute:
        extent = _numbers(lesions, attribute, mammograms)
        return extent, _halves(extent, attribute)
    extent = lesions[["height", "width"]].max(axis=1) * lesions["spacing_mm"]
    if extent.notna().any():
        small, large = _SIZES_MM
        words = (f"up to {small} mm", f"over {small}, up to {large} mm", f"over {large} mm")
        return extent, pd.cut(extent, [0, small, large, math.inf], labels=words).astype("string")
    extent = lesions["area_px"].astype("float64")
    return extent, _halves(extent, "pixels outlined")


def _numbers(lesions: pd.DataFrame, attribute: str, mammograms: MammogramSet) -> pd.Series[float]:
    recorded = [json.loads(one) if isinstance(one, str) else {} for one in lesions["attributes"]]
    names = [f"{row['lesion_id']} of patient {row['patient_id']}" for row in lesions.to_dict("records")]
    return recorded_sizes(attribute, recorded, names, str(mammograms.folder)).set_axis(lesions.index)


def recorded_sizes(
    attribute: str, recorded: Sequence[Mapping[str, str]], names: Sequence[str], where: str
) -> pd.Series[float]:
    """Return the size of each lesion as recorded in an attribute, missing where it is not recorded.

    Args:
        attribute: its name.
        recorded: the attributes of each lesion.
        names: the lesions in the same order, for messages.
        where: where they are from, for messages.

    Raises:
        SettingsError: no lesion has that attribute, or it is no number.
    """
    values = pd.Series([one.get(attribute) for one in recorded], dtype="string")
    if values.isna().all():
        known = ", ".join(sorted(set().union(*recorded))) or "none"
        raise SettingsError(
            f"size_attribute is {attribute!r}, but no lesion in {where} has such an attribute; there are: {known}. "
            "Name one of these, or leave it out."
        )
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    wrong = values[values.notna() & numbers.isna()]
    if len(wrong):
        number = int(wrong.index[0])
        raise SettingsError(
            f"size_attribute is {attribute!r}, but of lesion {names[number]} in {where} it is {wrong.iloc[0]!r}, "
            "which is no number. Name an attribute of numbers."
        )
    return numbers


def _halves(extent: pd.Series[float], unit: str) -> pd.Series[str]:
    middle = extent.median()
    words = (extent <= middle).map({True: f"up to {middle:.0f} {unit}", False: f"over {middle:.0f} {unit}"})
    return words.where(extent.notna())


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
        Columns of `SUBGROUP_COLUMNS`; all lesions first, then subgroups in the order of `PROPERTIES`, then of their
        words. A property that all lesions share, or of which nothing is known, makes no subgroups. `SIZE_ALONE` stands
        after the arms, unless the size of a test lesion is not known.
    """
    first = next(iter(arms.values()))[0]
    rows: list[tuple[object, ...]] = []
    extents = _extents(first.scores, properties)
    for name, words, truth in _subgroups(first.scores, properties):
        units = Units(truth)
        lesions, patients = units.lesions, truth["patient_id"].to_numpy(dtype=object)
        of_class = {side: len(set(lesions.patients[lesions.malignant == side])) for side in (False, True)}
        counts = (len(set(patients)), int((~lesions.malignant).sum()), int(lesions.malignant.sum()))
        resamples = Resamples.draw(patients, settings.resamples, stream(seed, "compare-arms"))
        enough = min(of_class.values()) >= FEWEST_PATIENTS
        for arm, several in arms.items():
            estimate = _measured(several, units, resamples, settings.confidence) if enough else _NOTHING
            rows.append((name, words, arm, *counts, *estimate))
        if extents is not None:
            estimate = _size_alone(extents, units, resamples, settings.confidence) if enough else _NOTHING
            rows.append((name, words, SIZE_ALONE, *counts, *estimate))
    return pd.DataFrame(rows, columns=list(SUBGROUP_COLUMNS)).astype(SUBGROUP_COLUMNS)


def _subgroups(scores: pd.DataFrame, properties: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield property, subgroup, and its patches, each with those of its lesions alone that belong to the subgroup."""
    truth = _lesions_of(scores, properties)
    if len(truth):
        yield "all", ALL_LESIONS, _patches_of(truth)
    for name in PROPERTIES:
        subgroups = sorted(truth[name].dropna().unique(), key=lambda words: (not words.startswith("up to"), words))
        for words in subgroups if len(subgroups) > 1 else ():
            yield name, str(words), _patches_of(truth[truth[name] == words])


def _lesions_of(scores: pd.DataFrame, properties: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each lesion of each patch, with what is known of the lesion."""
    truth = scores[["patch_id", "patient_id", "pathology", "lesion_ids"]].copy()
    truth["lesion_id"] = truth["lesion_ids"].fillna("").str.split(" ")
    return truth.explode("lesion_id").merge(properties, on=["patient_id", "lesion_id"], how="inner")


def _patches_of(lesions: pd.DataFrame) -> pd.DataFrame:
    return lesions.groupby("patch_id", sort=False).agg(
        patient_id=("patient_id", "first"), pathology=("pathology", "first"), lesion_ids=("lesion_id", " ".join)
    ).reset_index()  # fmt: skip


def _extents(scores: pd.DataFrame, properties: pd.DataFrame) -> pd.Series[float] | None:
    """Return the size of the largest lesion in each patch; None where one is not known."""
    lesions = _lesions_of(scores, properties)
    if lesions["extent"].isna().any() or not len(lesions):
        return None
    return lesions.groupby("patch_id")["extent"].max()


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
    infillers = infillers_of(several)
    limit = units.limiting_patients(_MEASURE)
    spread = by_chain(values, draws, infillers, limit, training_sets(several)).spread()
    return (spread.value, *spread.interval(confidence))


def _size_alone(
    extents: pd.Series[float], units: Units, resamples: Resamples, confidence: float
) -> tuple[float, float, float]:
    """Return the same for scores that are the size of the largest lesion in each patch."""
    sizes = np.asarray(extents.loc[units.table["patch_id"]], np.float64)
    value, draws = units.measured([_MEASURE], sizes, 0.0, resamples)[_MEASURE]
    spread = by_chain([value], [draws], [""], units.limiting_patients(_MEASURE)).spread()
    return (spread.value, *spread.interval(confidence))
