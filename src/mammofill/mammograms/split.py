"""Who trains, who validates, who tests: decided once, by patient, and inherited by all that comes later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mammofill.ground.errors import LeakError, SettingsError
from mammofill.ground.seeding import stream
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.entries import MammogramEntry

_WORST_FIRST = ("malignant", "benign", "normal")


def split_patients(
    entries: Sequence[MammogramEntry], settings: IngestSettings, seed: int
) -> tuple[dict[str, str], str]:
    """Give each patient a split.

    Args:
        entries: all mammograms of the collection.
        settings: `split`, `validation_share`, `test_share`.
        seed: decides what the collection does not.

    Returns:
        patient -> train, validation or test; and which kind of split was taken, official or patients.

    Raises:
        LeakError: the official split has a patient on two sides.
        SettingsError: an official split was asked for, but the collection has none; or only some mammograms have one.
    """
    kind = settings.split
    if kind == "auto":
        # One entry with a split is enough: the others are then named as lacking theirs, not drawn over its head.
        kind = "official" if any(entry.official_split for entry in entries) else "patients"
    if kind == "official":
        return _official(entries, settings, seed), kind
    findings = worst_findings(entries)
    shares = {"test": settings.test_share, "validation": settings.validation_share}
    return draw_split(findings, shares, seed), kind


def worst_findings(entries: Iterable[MammogramEntry]) -> dict[str, str]:
    """Return the worst pathology of each patient: malignant before benign before normal."""
    worst: dict[str, str] = {}
    for entry in entries:
        found = [worst.get(entry.patient_id, "normal"), *(lesion.pathology for lesion in entry.lesions)]
        worst[entry.patient_id] = min(found, key=_WORST_FIRST.index)
    return worst


def draw_split(findings: Mapping[str, str], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Draw a split by patient, stratified by finding.

    Args:
        findings: patient -> worst pathology.
        shares: split -> share of the patients; all others train.
        seed: decides the draw, whatever the order of the patients.

    Returns:
        patient -> split. Within each finding the shares are kept to the nearest patient; where a share is not 0, a
        finding of at least three patients gives it at least one.
    """
    split_of: dict[str, str] = {}
    for finding in _WORST_FIRST:
        patients = sorted(patient for patient, found in findings.items() if found == finding)
        order = [patients[k] for k in stream(seed, "split", finding).permutation(len(patients))]
        for split, share in shares.items():
            least = 1 if share > 0 and len(patients) >= 3 else 0
            count = max(least, round(share * len(patients)))
            split_of.update(dict.fromkeys(order[:count], split))
            order = order[count:]
        split_of.update(dict.fromkeys(order, "train"))
    return split_of


def _official(entries: Sequence[MammogramEntry], settings: IngestSettings, seed: int) -> dict[str, str]:
    splits: dict[str, set[str]] = {}
    for entry in entries:
        if entry.official_split is None:
            raise SettingsError(
                f"IngestSettings.split is {settings.split}, but the collection gives no split for "
                f"{entry.mammogram_id}. Give every mammogram one, or use patients to draw it."
            )
        splits.setdefault(entry.patient_id, set()).add(entry.official_split)
    leaking = sorted(patient for patient, found in splits.items() if len(found) > 1)
    if leaking:
        shown = ", ".join(leaking[:10]) + (", ..." if len(leaking) > 10 else "")
        raise LeakError(
            f"{len(leaking)} patients are in more than one split of the collection: {shown}. A classifier tested on "
            "them would have seen them. Use --split patients, or take masses or calcifications alone."
        )
    split_of = {patient: next(iter(found)) for patient, found in splits.items()}
    if "validation" in split_of.values():
        return split_of
    training = {entry.patient_id for entry in entries if split_of[entry.patient_id] == "train"}
    findings = worst_findings(entry for entry in entries if entry.patient_id in training)
    return split_of | draw_split(findings, {"validation": settings.validation_share}, seed)
