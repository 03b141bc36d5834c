"""Do the headers of images know patients by other names than the tables? Then one person may have two."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from mammofill.mammograms.sources.annotations import Decision
from mammofill.mammograms.sources.patients import patient_key

_SHOWN = 5
"""Patients that are named in a decision."""


def hidden_name(patient_id: str | None) -> str | None:
    """Return what stands for a patient's name in a header, so that names can be compared and none is kept."""
    key = patient_key(patient_id or "")
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16] if key else None


def one_person_in_headers(
    names: Mapping[str, str | None], patients: Mapping[str, str], splits: Mapping[str, str]
) -> list[Decision]:
    """Return a decision for each name that the headers of images of several patients share.

    A name that all images have is nobody's: whoever made them anonymous wrote it.

    Args:
        names: `hidden_name` of each mammogram, by its identifier.
        patients: the patient of each mammogram, by the tables.
        splits: the split of each patient; those without one are not told.
    """
    of_name: dict[str, dict[str, str]] = {}
    for mammogram, name in names.items():
        if name is not None:
            of_name.setdefault(name, {}).setdefault(patients[mammogram], mammogram)
    if len(of_name) < 2 and None not in names.values():
        return []
    found = []
    for shared in of_name.values():
        if len(shared) < 2:
            continue
        told = [f"{patient} ({splits[patient]})" if patient in splits else patient for patient in shared]
        more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
        story = f"The headers (PatientID) give one name to the patients {', '.join(told[:_SHOWN])}{more}."
        done = "Kept by the tables. If they are one person, nothing keeps her in one split: give her one name."
        patient, mammogram = next(iter(shared.items()))
        found.append(Decision(mammogram, patient, "header-names-one-patient", story, done))
    return found
