"""The split into train, validation and test: decided once, by patient, and used by all later stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.counting import counted
from mammofill.ground.errors import LeakError, SettingsError, TooFewError
from mammofill.ground.seeding import stream
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.annotations import Decision, MammogramEntry

_WORST_FIRST = ("malignant", "benign", "normal")

Stratum = tuple[str, str, str]
"""Worst pathology, abnormality and breast density of a patient; a drawn split is stratified by these."""


@dataclass(frozen=True)
class PatientSplit:
    """The split of each patient."""

    split_of: dict[str, str]
    """patient -> train, validation or test."""
    kind: str
    """How it was made: official, official-patient-safe, patients or kfold."""
    decisions: tuple[Decision, ...] = ()
    """Patients for whom the collection's own split could not be followed."""


def split_patients(entries: Sequence[MammogramEntry], settings: IngestSettings, seed: int) -> PatientSplit:
    """Give each patient a split.

    Args:
        entries: all mammograms of the collection.
        settings: `split`, `validation_share`, `test_share`, `folds`, `fold`.
        seed: decides what the collection does not.

    Raises:
        LeakError: the official split was requested without changes, and has a patient in two splits.
        SettingsError: an official split was requested, but the collection has none; or only some mammograms have one.
        TooFewError: there are fewer patients than folds.
    """
    kind = settings.split
    if kind == "auto":
        # One entry with a split is enough: entries without one then raise an error, instead of a new split being drawn.
        kind = "official-patient-safe" if any(entry.official_split for entry in entries) else "patients"
    if kind in ("official", "official-patient-safe"):
        return _official(entries, settings, seed, kind)
    strata = strata_of(entries)
    if kind == "kfold":
        return PatientSplit(_fold(strata, settings, seed), kind)
    shares = {"test": settings.test_share, "validation": settings.validation_share}
    return PatientSplit(draw_split(strata, shares, seed), kind)


def strata_of(entries: Iterable[MammogramEntry]) -> dict[str, Stratum]:
    """Return the stratum of each patient for drawing a split.

    It has the worst pathology over all mammograms (malignant before benign before normal), the kinds of abnormality,
    and the density of most mammograms.
    """
    worst: dict[str, str] = {}
    kinds: dict[str, set[str]] = {}
    densities: dict[str, Counter[str]] = {}
    for entry in entries:
        found = [worst.get(entry.patient_id, "normal"), *(lesion.pathology for lesion in entry.lesions)]
        worst[entry.patient_id] = min(found, key=_WORST_FIRST.index)
        kinds.setdefault(entry.patient_id, set()).update(lesion.abnormality for lesion in entry.lesions)
        densities.setdefault(entry.patient_id, Counter())[entry.density or ""] += 1
    return {
        patient: (worst[patient], " ".join(sorted(kinds[patient])), min(seen, key=lambda one: (-seen[one], one)))
        for patient, seen in densities.items()
    }


def draw_split(strata: Mapping[str, Stratum], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Draw a split by patient, stratified by pathology, abnormality and density.

    Within each pathology the patients are sorted by abnormality and density, in random order within those, and drawn at
    even spacing from a random start (systematic sampling). So the shares are exact to the nearest patient for each
    pathology, and nearly so for each smaller group.

    Args:
        strata: patient -> stratum.
        shares: split -> share of the patients; all others are in train.
        seed: decides the draw, for any order of the patients.

    Returns:
        patient -> split. Where a share is not 0, a pathology of at least three patients gives it at least one.
    """
    split_of: dict[str, str] = {}
    for pathology in _WORST_FIRST:
        order = _in_order(strata, pathology, seed)
        total = len(order)
        for split, share in shares.items():
            least = 1 if share > 0 and total >= 3 else 0
            taken = _spread(len(order), max(least, round(share * total)), stream(seed, "split", pathology, split))
            split_of.update((order[place], split) for place in taken)
            gone = set(taken)
            order = [patient for place, patient in enumerate(order) if place not in gone]
        split_of.update(dict.fromkeys(order, "train"))
    return split_of


def draw_folds(strata: Mapping[str, Stratum], folds: int, seed: int) -> dict[str, int]:
    """Divide the patients into folds, stratified by pathology, abnormality and density.

    Args:
        strata: patient -> stratum.
        folds: number of folds.
        seed: decides the draw, for any order of the patients.

    Returns:
        patient -> fold, 0..folds-1; any two folds differ by at most one patient in total and for each pathology.
    """
    order = [patient for pathology in _WORST_FIRST for patient in _in_order(strata, pathology, seed)]
    return {patient: place % folds for place, patient in enumerate(order)}


def _in_order(strata: Mapping[str, Stratum], pathology: str, seed: int) -> list[str]:
    patients = sorted(patient for patient, stratum in strata.items() if stratum[0] == pathology)
    drawn = [patients[k] for k in stream(seed, "split", pathology).permutation(len(patients))]
    return sorted(drawn, key=lambda patient: strata[patient])


def _spread(places: int, count: int, random: np.random.Generator) -> list[int]:
    """Return `count` of the numbers 0..places-1, evenly spaced from a random start."""
    count = min(count, places)
    start = random.random()
    spread: NDArray[np.int64] = np.floor((np.arange(count) + start) * places / max(count, 1)).astype(np.int64)
    return [int(place) for place in spread]


def _fold(strata: Mapping[str, Stratum], settings: IngestSettings, seed: int) -> dict[str, str]:
    if len(strata) < settings.folds:
        raise TooFewError(
            f"IngestSettings.folds is {settings.folds}, but the collection has {counted(len(strata), 'patients')}. "
            "Take fewer folds."
        )
    fold_of = draw_folds(strata, settings.folds, seed)
    rest = {patient: strata[patient] for patient in strata if fold_of[patient] != settings.fold}
    split_of = draw_split(rest, {"validation": settings.validation_share}, seed)
    return {patient: split_of.get(patient, "test") for patient in strata}


def _official(entries: Sequence[MammogramEntry], settings: IngestSettings, seed: int, kind: str) -> PatientSplit:
    splits: dict[str, set[str]] = {}
    for entry in entries:
        if entry.official_split is None:
            raise SettingsError(
                f"IngestSettings.split is {settings.split}, but the collection gives no split for "
                f"{entry.mammogram_id}. Give every mammogram one, or use patients to draw it."
            )
        splits.setdefault(entry.patient_id, set()).add(entry.official_split)
    leaking = sorted(patient for patient, found in splits.items() if len(found) > 1)
    if leaking and kind == "official":
        shown = ", ".join(leaking[:10]) + (", ..." if len(leaking) > 10 else "")
        raise LeakError(
            f"{counted(len(leaking), 'patients are')} in more than one split of the collection: {shown}. A classifier "
            "tested on them would have seen them. Use --split official-patient-safe, which keeps them for the "
            "strictest of their splits, --split patients, or take masses or calcifications alone."
        )
    split_of = {patient: strictest(found) for patient, found in splits.items()}
    decisions = tuple(
        Decision(
            patient,
            patient,
            f"patient-kept-for-{split_of[patient]}",
            f"The collection has {patient} in {' and in '.join(sorted(splits[patient]))}.",
            f"All mammograms of {patient} are used for {split_of[patient]} alone.",
        )
        for patient in leaking
    )
    if "validation" not in split_of.values():
        training = strata_of(entry for entry in entries if split_of[entry.patient_id] == "train")
        split_of |= draw_split(training, {"validation": settings.validation_share}, seed)
    return PatientSplit(split_of, kind, decisions)


def strictest(found: Collection[str]) -> str:
    """Return test before validation before train, so that no patient of the test split is used for training."""
    return next(split for split in ("test", "validation", "train") if split in found)
