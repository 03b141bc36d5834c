"""What a classifier may be trained on: sets that go together, both classes, and no patient on whom it is evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import pandas as pd

from mammofill.classifier.settings import TrainClassifierSettings
from mammofill.classifier.training_set import CLASSES
from mammofill.ground.artifact import CHOSEN, Artifact
from mammofill.ground.errors import ArtifactError, LeakError, SettingsError, TooFewError
from mammofill.mammograms.across_sets import learned_patients, one_person_in_both
from mammofill.mammograms.vocabulary import Origin, Split
from mammofill.patches.patch_set import PatchSet

_MADE, _START = "what made these patches", "what the network starts from"


def check_sets(patches: Sequence[PatchSet]) -> None:
    """Refuse sets that cannot be trained on together.

    Raises:
        ArtifactError: there is none, one is given twice, or their patches differ in size.
    """
    if not patches:
        raise ArtifactError("train-classifier needs at least one patch set, but none was given.")
    by_fingerprint: dict[str, PatchSet] = {}
    for one in patches:
        if one.fingerprint in by_fingerprint:
            raise ArtifactError(
                f"{one.folder} and {by_fingerprint[one.fingerprint].folder} hold the same patches: each set may be "
                "given once, or its patches would count twice."
            )
        by_fingerprint[one.fingerprint] = one
    sizes = {one.size_px: one for one in patches if len(one.table)}
    if len(sizes) > 1:
        found = ", ".join(f"{one.folder}: {size}x{size}" for size, one in sorted(sizes.items()))
        raise ArtifactError(f"All patches must have the same size in pixels, but found {found}.")


def check_infiller(infiller: Artifact | None, settings: TrainClassifierSettings) -> None:
    """Refuse an infiller that is not used, and one that is missing.

    Raises:
        SettingsError: naming the setting that asks for it, or does not.
    """
    if infiller is None and settings.weights == "infiller":
        raise SettingsError(
            "TrainClassifierSettings.weights is infiller, but no infiller is given. Give one (--infiller FOLDER), or "
            "ask for weights none by name."
        )
    if infiller is not None and settings.network != "discriminator":
        raise SettingsError(
            f"The infiller {infiller.folder} is given, but the network {settings.network} has no use for it. Leave it "
            "out, or ask for the network discriminator with weights infiller."
        )


def check_trained(trained: Sequence[Artifact], settings: TrainClassifierSettings) -> None:
    """Refuse classifiers that are not used, since nothing is on trial.

    Raises:
        SettingsError: naming the setting.
    """
    if trained and not settings.synthetic_if_better:
        raise SettingsError(
            f"The classifier {trained[0].folder} is given as trained already, but TrainClassifierSettings."
            "synthetic_if_better is false, and nothing is on trial. Leave it out, or set synthetic_if_better to true."
        )


def check_leaks(patches: Sequence[PatchSet], teachers: Sequence[Artifact] = ()) -> None:
    """Refuse whatever would let the classifier learn from a patient on whom it is evaluated.

    Args:
        patches: all sets.
        teachers: whose weights the classifier starts from.

    Raises:
        LeakError: naming the patient, the patch and the way in.
    """
    joined = pd.concat([one.table.assign(folder=str(one.folder)) for one in patches], ignore_index=True)
    real = joined[joined["origin"] == Origin.REAL]
    synthetic = joined[joined["origin"] == Origin.SYNTHETIC]
    _check_one_split_each(real)
    _check_one_person_each(patches)
    _check_synthetic(synthetic)

    judged = real[real["split"] != Split.TRAIN]
    split_of = dict(zip(judged["patient_id"], judged["split"], strict=True))
    for column, role in (
        ("patient_id", "was filled into tissue"),
        ("mask_donor_patient_id", "borrows the mask of a lesion"),
    ):
        for row in synthetic[synthetic[column].isin(list(split_of))].itertuples():
            patient = getattr(row, column)
            raise LeakError(
                f"{row.folder}: synthetic patch {row.patch_id} {role} of patient {patient}, who is in the "
                f"{split_of[patient]} split. Synthetic patches may come from train patients only: make them again "
                "with pairs of the train split."
            )
    makers: list[tuple[Artifact, str]] = [(one, _MADE) for one in patches]
    makers += [(one, _START) for one in teachers]
    for judged_in in patches:
        if judged_in.table["patient_id"].isin(list(split_of)).any():
            for one, maker in makers:
                _check_maker(one, maker, judged_in, split_of)


def _check_maker(one: Artifact, maker: str, judged_in: PatchSet, split_of: Mapping[str, str]) -> None:
    """Refuse what learned from a patient of validation or test, also where that patient has another name there."""
    for patient, every_way in learned_patients(one, judged_in).items():
        split = split_of.get(patient)
        # Choices may have been made on validation patients before, as they are here; nothing has learned from them.
        ways = [way for way in every_way if split == Split.TEST or CHOSEN not in way]
        if split is not None and ways:
            again = one.manifest.kind if maker is _START else "infiller"
            raise LeakError(
                f"{one.folder}: {maker} learned from patient {patient} (through {', '.join(ways)}), who is in the "
                f"{split} split. Train the {again} on train patients only."
            )


def _check_one_person_each(patches: Sequence[PatchSet]) -> None:
    """Refuse sets of which one has in another split who has another name there."""
    for one, other in combinations(patches, 2):
        for same in one_person_in_both(one, other):
            for split, there in product(_splits_of(one, same.own), _splits_of(other, same.other)):
                if split != there:
                    raise LeakError(
                        f"{one.folder} has patient {same.own!r} in the {split} split, {other.folder} has patient "
                        f"{same.other!r} in the {there} split, and {same.why}: they may be one person. Give sets that "
                        "come from the same ingest; if they are two persons, give those of one source other names "
                        "before ingest."
                    )


def _splits_of(patches: PatchSet, patient: str) -> list[str]:
    """Return the splits for which a set has anything of a patient, tissue or outline."""
    table = patches.table
    own = (table["patient_id"] == patient) | (table["mask_donor_patient_id"] == patient)
    return sorted(set(table["split"][own]))


def _check_one_split_each(real: pd.DataFrame) -> None:
    splits = real.groupby("patient_id")["split"].nunique()
    for patient in splits.index[splits > 1]:
        rows = real[real["patient_id"] == patient]
        places = ", ".join(
            sorted({f"{split} in {folder}" for split, folder in zip(rows.split, rows.folder, strict=True)})
        )
        raise LeakError(
            f"Patient {patient} is in two splits: {places}. A patient belongs to one: give sets that come from the "
            "same ingest, or mend the split there."
        )


def _check_synthetic(synthetic: pd.DataFrame) -> None:
    for row in synthetic[synthetic["split"] != Split.TRAIN].itertuples():
        raise LeakError(
            f"{row.folder}: synthetic patch {row.patch_id} has the split {row.split!r}, but synthetic patches are for "
            "training only: they must have the split 'train'."
        )
    for row in synthetic[synthetic["mask_donor_patient_id"].isna()].itertuples():
        raise LeakError(
            f"{row.folder}: synthetic patch {row.patch_id} does not say whose mask it borrows "
            "(mask_donor_patient_id is missing), so it is unknown whether that patient is in the test split."
        )


def check_classes(train: pd.DataFrame, validation: pd.DataFrame, settings: TrainClassifierSettings) -> None:
    """Refuse to train without both classes, or to choose without both classes on validation.

    Raises:
        TooFewError: naming the class and the split.
    """
    if len(train) and (train["origin"] == Origin.SYNTHETIC).all() and not len(validation):
        raise TooFewError(
            "All the patches given are synthetic. Give the real ones as well, they hold the validation split: "
            "mammofill train-classifier patches synthetic --out DIR."
        )
    for pathology in CLASSES:
        if not (train["pathology"] == pathology).any():
            raise TooFewError(
                f"There is no {pathology} patch in the train split: found {_in_words(train)}. A classifier needs both "
                "classes."
            )
    for pathology in CLASSES:
        if settings.chooses_on_validation and not (validation["pathology"] == pathology).any():
            raise TooFewError(
                f"There is no real {pathology} patch in the validation split: found {_in_words(validation)}. The "
                "threshold, the weights or the use of fills are chosen there. Give ingest a larger share of validation "
                "patients; or set threshold_rule to half, keep to last, no patience and no synthetic_if_better, which "
                "choose nothing."
            )


def _in_words(table: pd.DataFrame) -> str:
    counts = table["pathology"].value_counts()
    return ", ".join(f"{int(counts.get(pathology, 0))} {pathology}" for pathology in CLASSES)
