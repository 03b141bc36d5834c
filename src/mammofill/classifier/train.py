"""The stage that trains a classifier: checks of its patches, then the loop (in `fit`), then the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations, product
from pathlib import Path

import pandas as pd

from mammofill.classifier.classifier import Classifier
from mammofill.classifier.examples import Examples, lesion_table
from mammofill.classifier.settings import TrainClassifierSettings
from mammofill.classifier.training_set import compose
from mammofill.ground.artifact import CHOSEN, Artifact, LearnedFrom, begin
from mammofill.ground.errors import ArtifactError, LeakError, SettingsError, TooFewError
from mammofill.ground.progress import Progress, quiet
from mammofill.mammograms.across_sets import learned_patients, one_person_in_both
from mammofill.mammograms.vocabulary import Origin, Pathology, Split
from mammofill.patches.patch_set import PatchSet

_THROUGH = "train-classifier"
THRESHOLD_ALONE = f"{_THROUGH} {CHOSEN} threshold)"
"""How a manifest lists patients on whom the threshold was chosen and nothing else: scores do not depend on them."""
_MADE, _START = "what made these patches", "what the network starts from"
_CLASSES = (Pathology.BENIGN, Pathology.MALIGNANT)


def train_classifier(
    patches: Sequence[PatchSet],
    out: str | Path,
    settings: TrainClassifierSettings = TrainClassifierSettings(),
    *,
    infiller: Artifact | None = None,
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
        settings: how; `preset` returns some by name.
        infiller: whose discriminator the network is, for the network `discriminator`; of whatever collection. Whom it
            learned from, the classifier has learned from.
        seed: decides the random weights, the order and the augmentation.
        progress: notified of each step.
        device: ``cpu``, ``cuda`` or ``cuda:<number>``. Results agree to the bit on the same device only.

    Raises:
        LeakError: a patient of validation or test would be learned from, by whatever way; or one is in two splits.
        TooFewError: a class is missing in train or validation.
        ArtifactError: no set, the same set twice, or sets with patches of different sizes; an infiller without a
            discriminator of use.
        SettingsError: an infiller is missing, or given to a network that has no use for it; a network of timm's is not
            there, or does not do what settings ask of it.
        WeightsError: pretrained weights are missing or are not what the settings say.
        DeviceError: the device, or enough of them, or the precision on it is not there.
        TrainingError: the loss is not finite any more.
    """
    check_sets(patches)
    check_infiller(infiller, settings)
    check_leaks(patches, [] if infiller is None else [infiller])
    lesions = lesion_table(patches)
    learnable = lesions[lesions["split"] == Split.TRAIN]
    train = compose(learnable, settings, seed)
    validation = lesions[(lesions["split"] == Split.VALIDATION) & (lesions["origin"] == Origin.REAL)]
    check_classes(train, validation, settings)

    from mammofill.classifier.fit import FitData, fit
    from mammofill.classifier.networks import check_network, input_px_of
    from mammofill.classifier.start import find_weights, owner_of, read_start
    from mammofill.classifier.trial import WITH, WITHOUT, better_on_validation
    from mammofill.ground.training.distributed import check_processes

    check_network(settings)
    check_processes(device, settings.engine.processes, settings.engine.precision)
    weights = find_weights(settings)
    teacher = owner_of(weights)
    if teacher is not None:
        check_leaks(patches, [teacher])
    start = read_start(settings, weights, infiller)
    inputs: dict[str, Artifact | Path | Sequence[Artifact]] = {"patches": list(patches)}
    if weights is not None:
        inputs["weights"] = teacher or weights
    if infiller is not None:
        inputs["infiller"] = infiller

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
            input_px = input_px_of(settings)
            watching = Examples(patches, validation, input_px, settings.memory_gb)

            def learn(rows: pd.DataFrame, how: TrainClassifierSettings, folder: Path) -> int:
                learning = Examples(patches, rows, input_px, settings.memory_gb)
                return fit(FitData(folder, learning, watching, start, how, seed), device, progress)

            if settings.synthetic_if_better and (train["origin"] == Origin.SYNTHETIC).any():
                alone = compose(learnable[learnable["origin"] == Origin.REAL], settings.without_fills, seed)
                ways = {WITHOUT: (alone, settings.without_fills), WITH: (train, settings)}
                trainings = {name: partial(learn, rows, how) for name, (rows, how) in ways.items()}
                kept, images_seen = better_on_validation(work, trainings, watching, settings, seed, device, progress)
                train = ways[kept][0]
            else:
                images_seen = learn(train, settings, work.folder)
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
    for pathology in _CLASSES:
        if not (train["pathology"] == pathology).any():
            raise TooFewError(
                f"There is no {pathology} patch in the train split: found {_in_words(train)}. A classifier needs both "
                "classes."
            )
    for pathology in _CLASSES:
        if settings.chooses_on_validation and not (validation["pathology"] == pathology).any():
            raise TooFewError(
                f"There is no real {pathology} patch in the validation split: found {_in_words(validation)}. The "
                "threshold, the weights or the use of fills are chosen there. Give ingest a larger share of validation "
                "patients; or set threshold_rule to half, keep to last, no patience and no synthetic_if_better, which "
                "choose nothing."
            )


def learned_from(train: pd.DataFrame, validation: pd.DataFrame, settings: TrainClassifierSettings) -> list[LearnedFrom]:
    """Return whose patches shaped the classifier, and by which way. What the infiller learned from comes by itself."""
    real, synthetic = (train[train["origin"] == origin] for origin in (Origin.REAL, Origin.SYNTHETIC))
    chooses_weights = settings.keeps_best or settings.synthetic_if_better
    chosen = "threshold, choice of weights" if chooses_weights else "threshold"
    ways = {
        _THROUGH: real["patient_id"],
        f"{_THROUGH} {CHOSEN} {chosen})": validation["patient_id"],
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
