"""The stage that makes an infiller, by whatever method: what all methods share. `methods` has their table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.artifact import CHOSEN, Artifact, LearnedFrom, begin, plain, write_atomically
from mammofill.ground.counting import counted
from mammofill.ground.errors import ArtifactError, LeakError, SettingsError, TooFewError
from mammofill.ground.progress import Progress, quiet
from mammofill.infilling.conditions import FACTS, words_in
from mammofill.infilling.infiller import NETWORK_NAME, Infiller
from mammofill.infilling.methods import TrainingJob, find_method, methods
from mammofill.infilling.presets import PRESETS
from mammofill.infilling.settings import CLASSES, InfillerSettings, TrainedInfillerSettings
from mammofill.pairing import Pairs
from mammofill.pairing.pixels import check_same_patches
from mammofill.patches import PatchSet

_STAGE = "train-infiller"
_CHOICE = f"{_STAGE} {CHOSEN} choice of weights)"
"""How the manifest lists patients by whom the weights were chosen, as in classifiers."""


def train_infiller(
    patches: PatchSet,
    pairs: Pairs,
    out: str | Path,
    settings: InfillerSettings = PRESETS["paper"],
    *,
    seed: int = 0,
    progress: Progress = quiet,
    device: str = "cpu",
    windows: PatchSet | None = None,
    start: Infiller | None = None,
) -> Infiller:
    """Make an infiller from the lesion patches of the train split.

    Trained methods learn to paint back what was in the hole of each lesion patch; the baselines train nothing.

    Args:
        patches: where the lesion patches come from.
        pairs: pairs made from these patches; their normal patches are filled in the previews.
        out: folder of the infiller.
        settings: of the method; `preset` returns some by name.
        seed: decides first weights, data order, noise.
        progress: notified of each step.
        device: cpu, cuda, cuda:<number> or mps.
        windows: patches of the infiller's own, to learn from in place of `patches`: of the same size, cut more densely,
            so that each lesion is seen in many places. Only patients of the train split of `patches` are learned from.
        start: an infiller of the same method and networks, from whose weights the training begins; it may have fewer
            conditions. Its training patients count as learned from here, too.

    Returns:
        The infiller.

    Raises:
        TooFewError: no lesion patches to learn from, fewer than a batch, of one class only, or (copy-paste, flow) of a
            class without a lesion that lies wholly inside a patch; no validation patches, by which weights are to be
            chosen.
        SettingsError: networks that do not fit the patches' size, or a condition that the patches do not record.
        ArtifactError: the pairs were made from other patches, or a lesion patch has an empty mask; windows of another
            size or of other mammograms; an infiller to start from that does not fit.
        LeakError: a patient to learn from is in another split of the other patches.
        WeightsError: the weights of the perceptual features are missing.
        DeviceError: the device, or enough of them, or the precision on it is not there.
        TrainingError: a loss is not finite any more, or the networks have collapsed.
    """
    check_same_patches(pairs, patches)
    own = patches if windows is None else windows
    rows = lesion_rows(own, patches)
    learned = _count_classes(own, rows)
    _check_classes(own, learned, settings)
    _check_conditions(own, rows, settings)
    method = find_method(settings.method)
    if start is not None:
        _check_start(start, own, settings)
    files = method.check(own, rows, settings)
    _check_machine(device, settings)
    inputs: dict[str, Artifact | Path | Sequence[Artifact]] = {"patches": patches, "pairs": pairs, **files}
    inputs |= {name: one for name, one in (("windows", windows), ("start", start)) if one is not None}
    with begin(
        out,
        kind=Infiller.kind,
        stage=_STAGE,
        settings=settings,
        seed=seed,
        inputs=inputs,
        device=device,
    ) as work:
        if work is not None:
            _check_masks(own, rows)
            _say_what(progress, learned, settings)
            job = TrainingJob(work.folder, patches, own, rows, pairs, settings, seed, device, progress, start)
            outcome = method.train(job)
            network = _network_facts(settings, patches.size_px, learned)
            write_atomically(work.folder / NETWORK_NAME, json.dumps({**network, **outcome.network}, indent=2) + "\n")
            patients, judges = (_patients(own, some) for some in (outcome.rows, outcome.chosen_on))
            work.finish(
                counts={"lesion_patches": len(rows), **learned, "patients": len(patients), **outcome.counts},
                learned_from=[LearnedFrom(way, who) for way, who in ((_STAGE, patients), (_CHOICE, judges)) if who],
            )
    return Infiller.open(out)


def _patients(patches: PatchSet, rows: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(sorted(set(patches.table["patient_id"].iloc[rows])))


def _network_facts(settings: InfillerSettings, size_px: int, learned: dict[str, int]) -> dict[str, Any]:
    """Return the entries of the network's file that all methods share; the method adds its own."""
    return {
        "method": settings.method,
        "size_px": size_px,
        "hole": plain(settings.hole),
        # A method that repaints more than the mask draws an outline of its own.
        "mask_is": "lent" if settings.hole.rule == "mask" else "ellipse",
        "feather_px": settings.feather_px,
        "conditions": settings.conditions,
        "classes_learned": learned,
    }


def lesion_rows(windows: PatchSet, patches: PatchSet) -> NDArray[np.int64]:
    """Return the rows, in `windows`, of the real lesion patches of the patients that `patches` has for training.

    Raises:
        ArtifactError: the windows are of another size or of other mammograms than the patches.
        LeakError: a patient of the train split of the windows is in another split of the patches.
    """
    rows = windows.rows(split="train", origin="real", pathology=CLASSES)
    if windows is patches:
        return rows
    if windows.size_px != patches.size_px:
        raise ArtifactError(
            f"The windows in {windows.folder} are {windows.size_px} px wide, but the patches in {patches.folder} "
            f"{patches.size_px} px. Extract both with the same size_px."
        )
    split_of = dict(zip(patches.table["patient_id"], patches.table["split"], strict=True))
    names = windows.table["patient_id"].iloc[rows]
    for name in names.unique():
        if split_of.get(name, "train") != "train":
            raise LeakError(
                f"Patient {name!r} is in the train split of {windows.folder}, but in the {split_of[name]} split of "
                f"{patches.folder}. Extract both from the same mammogram set."
            )
    kept = names.isin([name for name, split in split_of.items() if split == "train"]).to_numpy()
    if not kept.any():
        raise ArtifactError(
            f"No lesion patch in {windows.folder} is of a patient of the train split of {patches.folder}. Extract both "
            "from the same mammogram set."
        )
    return rows[kept]


def _check_start(start: Infiller, windows: PatchSet, settings: InfillerSettings) -> None:
    if not methods()[settings.method].starts:
        raise ArtifactError(f"The method {settings.method} cannot start from another infiller ({start.folder}).")
    for name, own, other in (
        ("method", settings.method, start.method),
        ("patch size", windows.size_px, start.size_px),
    ):
        if own != other:
            raise ArtifactError(
                f"The infiller in {start.folder}, from which to start, has the {name} {other!r}, but {own!r} is "
                f"required. Start from an infiller with the same {name}."
            )
    missing = [fact for fact in start.conditions if fact not in settings.conditions]
    if missing:
        raise ArtifactError(
            f"The infiller in {start.folder}, from which to start, is conditioned on {', '.join(start.conditions)}, "
            f"but conditions is {', '.join(settings.conditions)}. Add {', '.join(missing)}; further conditions may be "
            "added."
        )


def _check_machine(device: str, settings: InfillerSettings) -> None:
    from mammofill.ground.training.distributed import check_processes

    if isinstance(settings, TrainedInfillerSettings):
        check_processes(device, settings.engine.processes, settings.engine.precision)
    else:
        check_processes(device, 1, "float32")


def _count_classes(patches: PatchSet, rows: NDArray[np.int64]) -> dict[str, int]:
    found = patches.table["pathology"].iloc[rows].value_counts()
    return {name: int(found.get(name, 0)) for name in CLASSES}


def _check_classes(patches: PatchSet, learned: dict[str, int], settings: InfillerSettings) -> None:
    count = sum(learned.values())
    if not count:
        raise TooFewError(
            f"{patches.folder} has no real lesion patch (benign or malignant) in the train split, so there is nothing "
            "for the infiller to learn from. Check the splits, and the setting abnormality of extract-patches."
        )
    absent = [name for name, number in learned.items() if not number]
    if absent and not settings.allow_one_class:
        raise TooFewError(
            f"{patches.folder} has {counted(count, 'lesion patches')} in the train split, none of them {absent[0]}, so "
            "the infiller cannot learn the difference. Add such lesions, or set allow_one_class to train on one class."
        )


def _check_conditions(patches: PatchSet, rows: NDArray[np.int64], settings: InfillerSettings) -> None:
    for fact in settings.conditions:
        if not any(words_in(patches.table.iloc[rows], fact)):
            raise SettingsError(
                f"conditions names {fact!r}, but none of the {len(rows)} lesion patches of the train split in "
                f"{patches.folder} records it in a known word ({', '.join(FACTS[fact])}). Leave it out."
            )


def _check_masks(patches: PatchSet, rows: NDArray[np.int64]) -> None:
    some = (rows[start : start + 1024] for start in range(0, len(rows), 1024))
    empty = [str(patches.table["patch_id"].iloc[row]) for part in some for row in part[~_any(patches.masks(part))]]
    if empty:
        raise ArtifactError(
            f"{patches.folder}: {counted(len(empty), 'lesion patches have')} an empty mask, first {empty[0]!r}. A "
            "lesion patch needs a mask with at least one pixel; extract the patches again."
        )


def _any(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(masks.any(axis=(1, 2)), np.bool_)


def _say_what(progress: Progress, learned: dict[str, int], settings: InfillerSettings) -> None:
    absent = [name for name, number in learned.items() if not number]
    if absent:
        progress.say(
            f"WARNING: no {absent[0]} lesion among {sum(learned.values())} lesion patches (allow_one_class is set): "
            f"this infiller cannot learn how {absent[0]} lesions look."
        )
    progress.say(
        f"Making the infiller by {settings.method} (preset {settings.preset}) from {learned['benign']} benign and "
        f"{learned['malignant']} malignant patches."
    )
