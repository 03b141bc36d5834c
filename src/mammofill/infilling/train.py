"""The stage that makes an infiller, by whatever method: what all methods share. `paint` has the table of methods."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.artifact import Artifact, LearnedFrom, begin, write_atomically
from mammofill.ground.errors import ArtifactError, SettingsError, TooFewError
from mammofill.ground.progress import Progress, quiet
from mammofill.infilling.conditions import FACTS, words_in
from mammofill.infilling.infiller import NETWORK_NAME, Infiller
from mammofill.infilling.paint import Lesson, find_method
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
    """Make an infiller from the lesion patches of the train split.

    With the method `gan`, networks are trained: each lesion patch is masked by its own lesion and painted back. The
    others train nothing (`TrainInfillerSettings.method`).

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
        TooFewError: no lesion patches to learn from, fewer than a batch, of one class only, or (copy-paste) of a class
            without a lesion that lies wholly inside a patch.
        SettingsError: networks that do not fit the patches' size, or a condition that the patches do not tell.
        ArtifactError: the pairs were made from other patches, or a lesion patch has an empty mask.
        WeightsError: the weights of the perceptual features are missing.
        DeviceError: the device, or enough of them, or the precision on it is not there.
        TrainingError: a loss is not finite any more, or the networks have collapsed.
    """
    check_same_patches(pairs, patches)
    rows = patches.rows(split="train", origin="real", pathology=CLASSES)
    learned = _count_classes(patches, rows)
    _check_classes(patches, learned, settings)
    _check_conditions(patches, rows, settings)

    from mammofill.ground.crew import check_crew

    method = find_method(settings.method)
    files = method.check(patches, rows, settings)
    check_crew(device, settings.engine.processes, settings.engine.precision)
    inputs: dict[str, Artifact | Path | Sequence[Artifact]] = {"patches": patches, "pairs": pairs, **files}
    with begin(
        out,
        kind=Infiller.kind,
        stage="train-infiller",
        settings=settings,
        seed=seed,
        inputs=inputs,
        device=device,
    ) as work:
        if work is not None:
            _check_masks(patches, rows)
            _say_what(progress, learned, settings)
            outcome = method.learn(Lesson(work.folder, patches, rows, pairs, settings, seed, device, progress))
            network = {
                "method": settings.method,
                "size_px": patches.size_px,
                "feather_px": settings.feather_px,
                "conditions": settings.conditions,
                "classes_learned": learned,
                **outcome.network,
            }
            write_atomically(work.folder / NETWORK_NAME, json.dumps(network, indent=2) + "\n")
            patients = tuple(sorted(set(patches.table["patient_id"].iloc[outcome.rows])))
            work.finish(
                counts={"lesion_patches": len(rows), **learned, "patients": len(patients), **outcome.counts},
                learned_from=[LearnedFrom("train-infiller", patients)] if patients else [],
            )
    return Infiller.open(out)


def _count_classes(patches: PatchSet, rows: NDArray[np.int64]) -> dict[str, int]:
    found = patches.table["pathology"].iloc[rows].value_counts()
    return {name: int(found.get(name, 0)) for name in CLASSES}


def _check_classes(patches: PatchSet, learned: dict[str, int], settings: TrainInfillerSettings) -> None:
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


def _check_conditions(patches: PatchSet, rows: NDArray[np.int64], settings: TrainInfillerSettings) -> None:
    for fact in settings.conditions:
        if not any(words_in(patches.table.iloc[rows], fact)):
            raise SettingsError(
                f"conditions names {fact!r}, but none of the {len(rows)} lesion patches of the train split in "
                f"{patches.folder} says it in words that are known ({', '.join(FACTS[fact])}). Leave it out."
            )


def _check_masks(patches: PatchSet, rows: NDArray[np.int64]) -> None:
    some = (rows[start : start + 1024] for start in range(0, len(rows), 1024))
    empty = [str(patches.table["patch_id"].iloc[row]) for part in some for row in part[~_any(patches.masks(part))]]
    if empty:
        raise ArtifactError(
            f"{patches.folder}: {len(empty)} lesion patches have an empty mask, first {empty[0]!r}. A lesion patch "
            "needs a mask with at least one pixel; extract the patches again."
        )


def _any(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(masks.any(axis=(1, 2)), np.bool_)


def _say_what(progress: Progress, learned: dict[str, int], settings: TrainInfillerSettings) -> None:
    absent = [name for name, number in learned.items() if not number]
    if absent:
        progress.say(
            f"WARNING: no {absent[0]} lesion among {sum(learned.values())} lesion patches (allow_one_class is set): "
            f"this infiller will not know what {absent[0]} looks like."
        )
    how = f" with {settings.perceptual.features} features" if settings.method == "gan" else ""
    progress.say(
        f"Making the infiller by {settings.method} (preset {settings.preset}) from {learned['benign']} benign and "
        f"{learned['malignant']} malignant patches{how}."
    )
