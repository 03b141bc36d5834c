"""The stage that trains an infiller. The loop itself is in `loop`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.artifact import Artifact, LearnedFrom, begin, plain, write_atomically
from mammofill.ground.errors import ArtifactError, SettingsError, TooFewError, WeightsError
from mammofill.ground.progress import Progress, quiet
from mammofill.infilling.infiller import NETWORK_NAME, Infiller
from mammofill.infilling.paired import check_same_patches
from mammofill.infilling.settings import CLASSES, TrainInfillerSettings
from mammofill.pairing import Pairs
from mammofill.patches import PatchSet


def train_infiller(
    patches: PatchSet,
    pairs: Pairs,
    out: str | Path,
    settings: TrainInfillerSettings = TrainInfillerSettings(),
    *,
    seed: int = 0,
    progress: Progress = quiet,
    device: str = "cpu",
) -> Infiller:
    """Train an infiller on the lesion patches of the train split: each is masked by its own lesion and painted back.

    Args:
        patches: where the lesion patches come from.
        pairs: pairs made from these patches; their normal patches are filled in the previews.
        out: folder of the infiller.
        settings: see `TrainInfillerSettings`; `preset` returns some by name.
        seed: decides first weights, data order, noise.
        progress: told of each step.
        device: cpu, cuda or cuda:<number>.

    Returns:
        The infiller.

    Raises:
        TooFewError: no lesion patches to learn from, fewer than a batch, or of one class only.
        SettingsError: networks that do not fit the patches' size.
        ArtifactError: the pairs were made from other patches, or a lesion patch has an empty mask.
        WeightsError: the weights of the perceptual features are missing.
        DeviceError: the device is not there.
        TrainingError: a loss is not finite any more.
    """
    check_same_patches(pairs, patches)
    rows = patches.rows(split="train", origin="real", pathology=CLASSES)
    learned = _count_classes(patches, rows)
    _check_enough(patches, learned, settings)
    if patches.size_px < 16:
        raise SettingsError(
            f"An infiller needs patches of 16 px or more, but {patches.folder} has {patches.size_px} px."
        )
    settings.generator.widths_for(patches.size_px)
    settings.discriminator.check_size(patches.size_px)

    from mammofill.ground.training import find_device

    find_device(device)
    weights = settings.perceptual.weights
    inputs: dict[str, Artifact | Path | Sequence[Artifact]] = {"patches": patches, "pairs": pairs}
    if weights is not None:
        _check_weights_exist(Path(weights))
        inputs["perceptual weights"] = Path(weights)
    with begin(
        out, kind=Infiller.kind, stage="train-infiller", settings=settings, seed=seed, inputs=inputs, device=device
    ) as work:
        if work is not None:
            from mammofill.infilling.batches import Lesions
            from mammofill.infilling.features import build_features
            from mammofill.infilling.loop import run_training
            from mammofill.infilling.previews import choose_previews

            features, record = build_features(settings.perceptual)
            images, masks = patches.pixels(rows)
            _check_masks(patches, rows, masks)
            _say_what(progress, learned, settings)
            lesions = Lesions(images, masks, tuple(patches.table["pathology"].iloc[rows]))
            previews = choose_previews(patches, rows, pairs, settings.previews, seed)
            seen = run_training(work.folder, lesions, previews, features, settings, seed, device, progress)

            size_px = patches.size_px
            network = {
                "size_px": size_px,
                "generator": plain(replace(settings.generator, widths=settings.generator.widths_for(size_px))),
                "discriminator": plain(settings.discriminator),
                "feather_px": settings.feather_px,
                "classes_learned": learned,
                "perceptual": asdict(record),
            }
            write_atomically(work.folder / NETWORK_NAME, json.dumps(network, indent=2) + "\n")
            patients = tuple(sorted(set(patches.table["patient_id"].iloc[rows])))
            work.finish(
                counts={"lesion_patches": len(rows), **learned, "patients": len(patients), "images_seen": seen},
                learned_from=[LearnedFrom("train-infiller", patients)],
            )
    return Infiller.open(out)


def _count_classes(patches: PatchSet, rows: NDArray[np.int64]) -> dict[str, int]:
    found = patches.table["pathology"].iloc[rows].value_counts()
    return {name: int(found.get(name, 0)) for name in CLASSES}


def _check_enough(patches: PatchSet, learned: dict[str, int], settings: TrainInfillerSettings) -> None:
    count = sum(learned.values())
    if not count:
        raise TooFewError(
            f"{patches.folder} has no real lesion patch (benign or malignant) in the train split, so there is nothing "
            "for the infiller to learn from. Check the splits and the abnormality that extract-patches was asked for."
        )
    absent = [name for name, number in learned.items() if not number]
    if absent and not settings.allow_one_class:
        raise TooFewError(
            f"{patches.folder} has {count} lesion patches in the train split, none of them {absent[0]}, so the "
            "infiller cannot learn the difference. Add such lesions, or set allow_one_class to train on one class."
        )
    if count < settings.schedule.batch:
        raise TooFewError(
            f"{patches.folder} has {count} lesion patches in the train split, fewer than a batch of "
            f"{settings.schedule.batch}. Add patches, or lower schedule.batch."
        )


def _check_weights_exist(path: Path) -> None:
    if not path.is_file():
        raise WeightsError(f"{path} does not exist, but perceptual.weights names it. Check the path.")


def _check_masks(patches: PatchSet, rows: NDArray[np.int64], masks: NDArray[np.bool_]) -> None:
    empty = [str(patches.table["patch_id"].iloc[row]) for row, mask in zip(rows, masks, strict=True) if not mask.any()]
    if empty:
        raise ArtifactError(
            f"{patches.folder}: {len(empty)} lesion patches have an empty mask, first {empty[0]!r}. A lesion patch "
            "needs a mask with at least one pixel; extract the patches again."
        )


def _say_what(progress: Progress, learned: dict[str, int], settings: TrainInfillerSettings) -> None:
    absent = [name for name, number in learned.items() if not number]
    if absent:
        progress.say(
            f"WARNING: no {absent[0]} lesion among {sum(learned.values())} lesion patches (allow_one_class is set): "
            f"this infiller will not know what {absent[0]} looks like."
        )
    progress.say(
        f"Training the infiller (preset {settings.preset}) on {learned['benign']} benign and {learned['malignant']} "
        f"malignant patches with {settings.perceptual.features} features."
    )
