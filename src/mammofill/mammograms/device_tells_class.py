"""Checks whether files reveal the class: if each class comes from its own device, a classifier learns the device.

The facts that are compared, by patient, are the format and size of the files, the size of their pixels, and their
darkest value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammofill.mammograms.sources.annotations import Decision

RULE = "class-told-by-device"

_FEWEST = 8
"""Fewest patients of each class: with fewer, one of several facts may separate the classes by chance."""

_LEAST_AUC = 0.97
"""From this AUC on a fact nearly determines the class. With 8 patients of each class and a fact without meaning, one
set in about 3,000 reaches it."""


@dataclass(frozen=True)
class FileFacts:
    """Facts about one mammogram with a lesion that may reveal the device."""

    patient_id: str
    pathology: str
    """benign or malignant: that of its worst lesion."""
    format: str
    """Extension of the file's name."""
    rows: int
    """At the file's resolution, as are columns and spacing."""
    columns: int
    spacing_mm: float | None
    darkest: int
    """The lowest value, over 0..65535."""


def file_facts(
    mammograms: Iterable[Mapping[str, Any]], lesions: Iterable[Mapping[str, Any]], darkest: Mapping[str, int]
) -> list[FileFacts]:
    """Return the facts of all mammograms that have a lesion.

    Args:
        mammograms: rows of a set of mammograms.
        lesions: rows of its lesions.
        darkest: the lowest value of each mammogram, by its identifier.
    """
    worst: dict[str, str] = {}
    for row in lesions:
        worst[row["mammogram_id"]] = max(row["pathology"], worst.get(row["mammogram_id"], "benign"))  # by alphabet
    return [
        FileFacts(
            row["patient_id"],
            worst[row["mammogram_id"]],
            PurePosixPath(row["source_file"]).suffix.lower(),
            round(row["rows"] / row["scale"]),
            round(row["columns"] / row["scale"]),
            round(row["spacing_mm"] * row["scale"], 6) if row["spacing_mm"] else None,
            darkest.get(row["mammogram_id"], 0),
        )
        for row in mammograms
        if row["mammogram_id"] in worst
    ]


def class_told(facts: Sequence[FileFacts]) -> Decision | None:
    """Return a decision where the files nearly determine the class of patients (``class-told-by-device``)."""
    patients = _of_worst_class(facts)
    malignant = np.array([own[0].pathology == "malignant" for own in patients], np.bool_)
    counts = int(np.count_nonzero(~malignant)), int(np.count_nonzero(malignant))
    if min(counts) < _FEWEST:
        return None
    revealing = [(name, auc) for name, values in _numbers(patients) if (auc := _auc(values, malignant)) >= _LEAST_AUC]
    if not revealing:
        return None
    which = ", ".join(f"{name} (AUC {auc:.2f})" for name, auc in revealing)
    found = f"Files tell {counts[0]} patients with benign lesions from {counts[1]} with malignant ones by {which}."
    done = (
        "Kept as they are: a classifier may learn the device, not the lesion. Take both classes from each device. "
        "(Crops that are cut to the size of lesions tell it by their size, too.)"
    )
    return Decision("collection", None, RULE, found, done)


def _of_worst_class(facts: Sequence[FileFacts]) -> list[list[FileFacts]]:
    """Return, for each patient, the mammograms of the worst class."""
    by_patient: dict[str, list[FileFacts]] = {}
    for one in facts:
        by_patient.setdefault(one.patient_id, []).append(one)
    return [
        [one for one in own if one.pathology == max(other.pathology for other in own)] for own in by_patient.values()
    ]


def _numbers(patients: Sequence[Sequence[FileFacts]]) -> Iterator[tuple[str, list[float]]]:
    """Yield each fact that all patients have, as one number for each patient: the median over the mammograms."""
    for form in sorted({one.format for own in patients for one in own}):
        yield f"their format {form}", [float(np.median([one.format == form for one in own])) for own in patients]
    yield "their height in pixels", [float(np.median([one.rows for one in own])) for own in patients]
    yield "their width in pixels", [float(np.median([one.columns for one in own])) for own in patients]
    yield "their darkest value", [float(np.median([one.darkest for one in own])) for own in patients]
    spacings = [[one.spacing_mm for one in own if one.spacing_mm] for own in patients]
    if all(spacings):
        yield "their size of pixels", [float(np.median(own)) for own in spacings]


def _auc(values: Sequence[float], malignant: NDArray[np.bool_]) -> float:
    """Return the AUC of numbers for malignant against benign, in the better direction: 0.5 to 1."""
    numbers = np.asarray(values)
    ones, others = numbers[malignant][:, None], numbers[~malignant]
    auc = float(np.mean(ones > others) + np.mean(ones == others) / 2)
    return max(auc, 1 - auc)
