"""Compares the patients in the headers of images with those in the tables.

If they differ, one person may have two names; or, where a header has the name of another patient, files are exchanged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from mammofill.mammograms.sources.annotations import Decision, Exclusion, MammogramEntry
from mammofill.mammograms.sources.patients import patient_key

_SHOWN = 5
"""Largest number of patients that are named in a decision."""

_MOST_CONTRADICTED = 1 / 3
"""If a larger share of the headers names another patient, the headers number patients in another way. Ours."""


def hidden_name(patient_id: str | None) -> str | None:
    """Return a pseudonym of the patient in a header, so that names can be compared but are not stored."""
    key = patient_key(patient_id or "")
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16] if key else None


def one_person_in_headers(
    names: Mapping[str, str | None], patients: Mapping[str, str], splits: Mapping[str, str]
) -> list[Decision]:
    """Return a decision for each name that the image headers of several patients share.

    A name that all images have is not a patient's: it was written by anonymisation.

    Args:
        names: `hidden_name` of each mammogram, by its identifier.
        patients: the patient of each mammogram, by the tables.
        splits: the split of each patient, shown in the decision; patients without one are shown without.
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
        with_split = [f"{patient} ({splits[patient]})" if patient in splits else patient for patient in shared]
        more = f" and {len(with_split) - _SHOWN} more" if len(with_split) > _SHOWN else ""
        message = f"The headers (PatientID) give one name to the patients {', '.join(with_split[:_SHOWN])}{more}."
        done = "Kept by the tables. If they are one person, nothing keeps her in one split: give her one name."
        patient, mammogram = next(iter(shared.items()))
        found.append(Decision(mammogram, patient, "header-names-one-patient", message, done))
    return found


def patients_contradicted(
    names: Mapping[str, str | None], entries: Sequence[MammogramEntry]
) -> tuple[list[Exclusion], list[Decision]]:
    """Return an exclusion for each mammogram whose header has the name of another patient of the tables.

    Names that are not in the tables, and a name that all headers share, are ignored. Files were exchanged where other
    headers support this: another mammogram of the patient has the patient's own name, or one of the other patient has
    this patient's name. Where none does, or many headers have another patient's name, the headers may number patients
    in another way than the tables, and one decision says so.

    Args:
        names: `hidden_name` of each mammogram, by its identifier.
        entries: the mammograms, as the tables describe them.

    Returns:
        Exclusions (``patient-contradicted``) and decisions (``headers-number-otherwise``).
    """
    patient_of = {hidden_name(entry.named_in_header or entry.patient_id): entry.patient_id for entry in entries}
    named = [(entry, names[entry.mammogram_id]) for entry in entries if names.get(entry.mammogram_id)]
    known = [(entry, patient_of[name]) for entry, name in named if name in patient_of]
    others = [(entry, patient) for entry, patient in known if patient != entry.patient_id]
    if not others or len({name for _, name in named}) < 2:
        return [], []
    has = {(entry.patient_id, patient) for entry, patient in known}
    doubtful = [
        (entry, patient)
        for entry, patient in others
        if (entry.patient_id, entry.patient_id) not in has and (patient, entry.patient_id) not in has
    ]
    decisions = []
    if len(others) > _MOST_CONTRADICTED * len(known):
        doubtful = others
    if doubtful:
        first, patient = doubtful[0]
        found = (
            f"Of {len(known)} headers (PatientID) with a name that the tables have, {len(doubtful)} have that of "
            f"another patient; the first is {first.image[0]} of {first.patient_id}, which has the name of {patient}."
        )
        done = "Kept by the tables. If the headers do not number patients in another way, files are exchanged."
        decisions.append(Decision("collection", None, "headers-number-otherwise", found, done))
    return [
        Exclusion(
            entry.mammogram_id,
            entry.patient_id,
            "patient-contradicted",
            f"{entry.image[0]} is of {entry.patient_id} by the tables, but its header says that it is of {patient}.",
        )
        for entry, patient in others
        if (entry, patient) not in doubtful
    ], decisions
