"""The stage that trains a classifier: checks of its patches, then the loop (in `fit`), then the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mammofill.classifier.classifier import Classifier
from mammofill.classifier.examples import Examples, lesion_table
from mammofill.classifier.settings import TrainClassifierSettings
from mammofill.classifier.training_set import compose
from mammofill.ground.artifact import LearnedFrom, begin
from mammofill.ground.errors import ArtifactError, LeakError, TooFewError
from mammofill.ground.progress import Progress, quiet
from mammofill.mammograms.vocabulary import Origin, Pathology, Split
from mammofill.patches.patch_set import PatchSet

_THROUGH = "train-classifier"
_CLASSES = (Pathology.BENIGN, Pathology.MALIGNANT)


def train_classifier(
    patches: Sequence[PatchSet],
    out: str | Path,
    settings: TrainClassifierSettings = TrainClassifierSettings(),
    *,
    seed: int = 0,
    progress: Progress = quiet,
    device: str = "cpu",
) -> Classifier:
    """Train a classifier of benign and malignant lesion patches. Source: the paper, section 5.

    It learns from the train rows of all sets, real and synthetic; the real validation rows are scored after each epoch
    and give the threshold. Test rows are never touched.

    Args:
        patches: patch sets, real ones and, to augment them, synthetic ones. All patches have the same size.
        out: folder of the classifier.
        settings: how.
        seed: decides the random weights, the order and the augmentation.
        progress: who is told.
        device: ``cpu``, ``cuda`` or ``cuda:<number>``. Results agree to the bit on the same device only.

    Raises:
        LeakError: a patient of validation or test would be learned from, by whatever way; or one is in two splits.
        TooFewError: a class is missing in train or validation.
        ArtifactError: no set, the same set twice, or sets with patches of different sizes.
        WeightsError: pretrained weights are missing or are not what the settings say.
        DeviceError: the device is not there.
        TrainingError: the loss is not finite any more.
    """
    check_sets(patches)
    check_leaks(patches)
    lesions = lesion_table(patches)
    train = compose(lesions[lesions["split"] == Split.TRAIN], settings, seed)
    validation = lesions[(lesions["split"] == Split.VALIDATION) & (lesions["origin"] == Origin.REAL)]
    check_classes(train, validation, settings)

    from mammofill.classifier.fit import fit
    from mammofill.classifier.networks import find_weights, read_start
    from mammofill.ground.training import find_device

    found_device = find_device(device)
    weights = find_weights(settings)
    start = read_start(settings, weights)
    inputs: dict[str, Path | Sequence[PatchSet]] = {"patches": list(patches)}
    if weights is not None:
        inputs["weights"] = weights

    with begin(
        out,
        kind=Classifier.kind,
        stage=_THROUGH,
        settings=settings,
        seed=seed,
        inputs=inputs,
        device=device,
    ) as work:
        if work is not None:
            learning = Examples(patches, train, settings.input_px, settings.memory_gb)
            watching = Examples(patches, validation, settings.input_px, settings.memory_gb)
            images_seen = fit(work.folder, learning, watching, start, settings, seed, progress, found_device)
            work.finish(
                counts=_counts(train, Split.TRAIN, (Origin.REAL, Origin.SYNTHETIC))
                | _counts(validation, Split.VALIDATION, (Origin.REAL,))
                | {"images_seen": images_seen},
                learned_from=learned_from(train, validation, settings),
            )
    return Classifier.open(out)


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


def check_leaks(patches: Sequence[PatchSet]) -> None:
    """Refuse whatever would let the classifier learn from a patient whom it is judged on.

    Raises:
        LeakError: naming the patient, the patch and the way in.
    """
    joined = pd.concat([one.table.assign(folder=str(one.folder)) for one in patches], ignore_index=True)
    real = joined[joined["origin"] == Origin.REAL]
    synthetic = joined[joined["origin"] == Origin.SYNTHETIC]
    _check_one_split_each(real)
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
    for one in patches:
        for patient, ways in one.manifest.learned_patients().items():
            if patient in split_of:
                raise LeakError(
                    f"{one.folder}: what made these patches learned from patient {patient} (through "
                    f"{', '.join(ways)}), who is in the {split_of[patient]} split. Train the infiller on train "
                    "patients only."
                )


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
            "(mask_donor_patient_id is missing), so nobody can tell whether that patient is in the test split."
        )


def check_classes(train: pd.DataFrame, validation: pd.DataFrame, settings: TrainClassifierSettings) -> None:
    """Refuse to train without both classes, or to choose without both classes on validation.

    Raises:
        TooFewError: naming the class and the split.
    """
    for pathology in _CLASSES:
        if not (train["pathology"] == pathology).any():
            raise TooFewError(
                f"There is no {pathology} patch in the train split: found {_in_words(train)}. A classifier needs both "
                "classes."
            )
    chooses = settings.threshold_rule != "half" or settings.keep == "best"
    for pathology in _CLASSES:
        if chooses and not (validation["pathology"] == pathology).any():
            raise TooFewError(
                f"There is no real {pathology} patch in the validation split: found {_in_words(validation)}. The "
                "threshold is chosen there. Give ingest a larger share of validation patients; or set threshold_rule "
                "to half and keep to last, which choose nothing."
            )


def learned_from(train: pd.DataFrame, validation: pd.DataFrame, settings: TrainClassifierSettings) -> list[LearnedFrom]:
    """Return whose patches shaped the classifier, and by which way. What the infiller learned from comes by itself."""
    real, synthetic = (train[train["origin"] == origin] for origin in (Origin.REAL, Origin.SYNTHETIC))
    chosen = "threshold, choice of weights" if settings.keep == "best" else "threshold"
    ways = {
        _THROUGH: real["patient_id"],
        f"{_THROUGH} (validation: {chosen})": validation["patient_id"],
        f"{_THROUGH} (context of a synthetic patch)": synthetic["patient_id"],
        f"{_THROUGH} (mask donor of a synthetic patch)": synthetic["mask_donor_patient_id"],
    }
    return [LearnedFrom(way, tuple(sorted(set(patients)))) for way, patients in ways.items() if len(patients)]


def _in_words(table: pd.DataFrame) -> str:
    counts = table["pathology"].value_counts()
    return ", ".join(f"{int(counts.get(pathology, 0))} {pathology}" for pathology in _CLASSES)


def _counts(table: pd.DataFrame, split: Split, origins: Sequence[Origin]) -> dict[str, int]:
    """Return numbers of patches by split, origin and class."""
    return {
        f"{split}_{origin}_{pathology}": int(((table["origin"] == origin) & (table["pathology"] == pathology)).sum())
        for origin in origins
        for pathology in _CLASSES
    }
