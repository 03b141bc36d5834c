"""The stage that trains a classifier: checks of its patches, then the loop (in `fit`), then the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from mammofill.classifier.checks import check_classes, check_infiller, check_leaks, check_sets, check_trained
from mammofill.classifier.classifier import Classifier
from mammofill.classifier.examples import Examples, lesion_table
from mammofill.classifier.settings import TrainClassifierSettings
from mammofill.classifier.training_set import CLASSES, compose
from mammofill.ground.artifact import CHOSEN, TAKEN_OVER, Artifact, LearnedFrom, begin
from mammofill.ground.progress import Progress, quiet
from mammofill.mammograms.vocabulary import Origin, Split
from mammofill.patches.patch_set import PatchSet

_THROUGH = "train-classifier"
THRESHOLD_ALONE = f"{_THROUGH} {CHOSEN} threshold)"
"""How a manifest lists patients on whom the threshold was chosen and nothing else: scores do not depend on them."""


def train_classifier(
    patches: Sequence[PatchSet],
    out: str | Path,
    settings: TrainClassifierSettings = TrainClassifierSettings(),
    *,
    infiller: Artifact | None = None,
    trained: Sequence[Classifier] = (),
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
        trained: with `synthetic_if_better`, classifiers that were trained before in the one or the other of the two
            ways, with the same seed on the same patches: such a training is not repeated.
        seed: decides the random weights, the order and the augmentation.
        progress: notified of each step.
        device: ``cpu``, ``cuda`` or ``cuda:<number>``. Results agree to the bit on the same device only.

    Raises:
        LeakError: a patient of validation or test would be learned from, by whatever way; or one is in two splits.
        TooFewError: a class is missing in train or validation.
        ArtifactError: no set, the same set twice, or sets with patches of different sizes; an infiller without a
            discriminator of use; a classifier of `trained` that is none of the two trainings of this trial.
        SettingsError: an infiller is missing, or given to a network that has no use for it; a network of timm's is not
            there, or does not do what settings ask of it; `trained` is given where nothing is on trial.
        WeightsError: pretrained weights are missing or are not what the settings say.
        DeviceError: the device, or enough of them, or the precision on it is not there.
        TrainingError: the loss is not finite any more.
    """
    check_sets(patches)
    check_infiller(infiller, settings)
    check_trained(trained, settings)
    check_leaks(patches, [] if infiller is None else [infiller])
    lesions = lesion_table(patches)
    learnable = lesions[lesions["split"] == Split.TRAIN]
    train = compose(learnable, settings, seed)
    validation = lesions[(lesions["split"] == Split.VALIDATION) & (lesions["origin"] == Origin.REAL)]
    check_classes(train, validation, settings)

    from mammofill.classifier.fit import FitData, fit
    from mammofill.classifier.networks import check_network, input_px_of
    from mammofill.classifier.start import find_weights, owner_of, read_start
    from mammofill.classifier.trial import WITH, WITHOUT, better_on_validation, taken_over, ways_of_trial
    from mammofill.ground.training.distributed import check_processes

    check_network(settings)
    check_processes(device, settings.engine.processes, settings.engine.precision)
    weights = find_weights(settings)
    teacher = owner_of(weights)
    if teacher is not None:
        check_leaks(patches, [teacher])
    start = read_start(settings, weights, infiller)
    inputs: dict[str, Artifact | Path | Sequence[Artifact]] = {"patches": list(patches)}
    given = (("weights", teacher or weights), ("infiller", infiller), (TAKEN_OVER, list(trained) or None))
    inputs |= {name: one for name, one in given if one is not None}
    ways = ways_of_trial(patches, settings, seed, start, device)
    done_before = taken_over(trained, ways)
    with begin(
        out, kind=Classifier.kind, stage=_THROUGH, settings=settings, seed=seed, inputs=inputs, device=device
    ) as work:
        if work is not None:
            input_px = input_px_of(settings)
            watching = Examples(patches, validation, input_px, settings.memory_gb)

            def learn(rows: pd.DataFrame, how: TrainClassifierSettings, folder: Path) -> int:
                learning = Examples(patches, rows, input_px, settings.memory_gb)
                return fit(FitData(folder, learning, watching, start, how, seed), device, progress)

            if settings.synthetic_if_better and (train["origin"] == Origin.SYNTHETIC).any():
                alone = compose(learnable[learnable["origin"] == Origin.REAL], settings.without_fills, seed)
                rows = {WITHOUT: alone, WITH: train}
                trainings = {name: partial(learn, rows[name], way.settings) for name, way in ways.items()} | done_before
                kept, images_seen = better_on_validation(work, trainings, watching, settings, seed, device, progress)
                train = rows[kept]
            else:
                images_seen = done_before.get(WITHOUT, partial(learn, train, settings))(work.folder)
            work.finish(
                counts=_counts(train, Split.TRAIN, (Origin.REAL, Origin.SYNTHETIC))
                | _counts(validation, Split.VALIDATION, (Origin.REAL,))
                | {"images_seen": images_seen},
                learned_from=learned_from(train, validation, settings),
            )
    return Classifier.open(out)


def learned_from(train: pd.DataFrame, validation: pd.DataFrame, settings: TrainClassifierSettings) -> list[LearnedFrom]:
    """Return whose patches shaped the classifier, and by which way. What the infiller learned from comes by itself."""
    real, synthetic = (train[train["origin"] == origin] for origin in (Origin.REAL, Origin.SYNTHETIC))
    chosen = ["threshold"] if settings.threshold_rule != "half" else []
    chosen += ["choice of weights"] if settings.keeps_best or settings.synthetic_if_better else []
    judges = validation if chosen else validation.iloc[:0]
    ways = {
        _THROUGH: real["patient_id"],
        f"{_THROUGH} {CHOSEN} {', '.join(chosen)})": judges["patient_id"],
        f"{_THROUGH} (context of a synthetic patch)": synthetic["patient_id"],
        f"{_THROUGH} (mask donor of a synthetic patch)": synthetic["mask_donor_patient_id"],
    }
    return [LearnedFrom(way, tuple(sorted(set(patients)))) for way, patients in ways.items() if len(patients)]


def _counts(table: pd.DataFrame, split: Split, origins: Sequence[Origin]) -> dict[str, int]:
    """Return numbers of patches by split, origin and class."""
    return {
        f"{split}_{origin}_{pathology}": int(((table["origin"] == origin) & (table["pathology"] == pathology)).sum())
        for origin in origins
        for pathology in CLASSES
    }
