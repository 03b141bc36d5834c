"""What is measured of fills, and of the real patches beside them: once, and a few patches at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.classifier import Classifier
from mammofill.ground.counting import counted
from mammofill.ground.errors import TooFewError
from mammofill.ground.imaging import to_unit, touches_border
from mammofill.ground.progress import Task
from mammofill.infilling.settings import CLASSES
from mammofill.judging.cases import Lesions, training_lesions
from mammofill.judging.detection import moments
from mammofill.judging.features import features
from mammofill.judging.place import changes
from mammofill.judging.seam import rings_of
from mammofill.judging.similarity import crops
from mammofill.judging.spectrum import spectra
from mammofill.judging.variety import TrainingLesions, read_training_lesions
from mammofill.patches import PatchSet
from mammofill.selection.checks import people_of
from mammofill.selection.holes import Holes

_CHUNK = 128
"""Patches that are decoded at once."""
_MOST_HOLE = 0.9
"""Of the patch; a larger hole leaves no rings around it. As where infillers are judged."""
_EIGHT_BITS = 257
"""A store of 8 bits keeps multiples of this."""


@dataclass(frozen=True)
class Surface:
    """What forests look at: nothing that a classifier learned."""

    rings: NDArray[np.float32]
    """(N, K) the rings around each hole."""
    inside: NDArray[np.float32]
    """(N, L) spectrum of the box around each hole, and brightness in it."""

    @classmethod
    def of(cls, images: NDArray[np.uint16], holes: NDArray[np.bool_]) -> Surface:
        """Measure images (N, H, W) with holes (N, H, W)."""
        return cls(rings_of(images, holes), np.hstack([spectra(images, holes), moments(images, holes)]))

    @classmethod
    def joined(cls, parts: Sequence[Surface]) -> Surface:
        """Put several behind each other."""
        return cls(np.concatenate([one.rings for one in parts]), np.concatenate([one.inside for one in parts]))


@dataclass(frozen=True)
class Reading:
    """What one classifier makes of patches; NaN where it may not read."""

    odds: NDArray[np.float64]
    """(N,) log-odds of malignancy."""
    features: NDArray[np.float32]
    """(N, L) what enters its last layer."""


@dataclass(frozen=True)
class Measures:
    """All that is measured of some patches."""

    malignant: NDArray[np.bool_]
    """(N,) of fills: the requested class."""
    people: NDArray[np.object_]
    """(N, 2) whose tissue, whose outline."""
    kept: NDArray[np.bool_]
    """(N,) whether a part of the patient's own lesion is in it, by intention; of a real lesion all is."""
    surface: Surface
    crops: NDArray[np.float32]
    """(N, CROP_PX, CROP_PX) the lesion alone, as copies are looked for."""
    readings: tuple[Reading, ...]
    """One for each classifier."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.malignant)


@dataclass(frozen=True)
class Beside:
    """What fills are compared with."""

    real: Measures
    """Real lesions of the validation split, which set the thresholds."""
    surface: Surface
    """What else forests learn as unpainted: training lesions, and the fills' tissue before it was painted."""
    people: NDArray[np.object_]
    """(M, 2) of it."""
    training: TrainingLesions


def validation_lesions(patches: PatchSet, changed: Holes, least: int) -> tuple[Lesions, NDArray[np.bool_]]:
    """Read the real lesions of the validation split that lie in their patch as fills do.

    Args:
        patches: the patches.
        changed: which hole, with its soft edge, each is given, as if it had been painted.
        least: different ones of each class.

    Returns:
        The lesions and their holes (N, H, W).

    Raises:
        TooFewError: there are fewer of a class.
    """
    rows = patches.rows(split="validation", origin="real", pathology=CLASSES)
    images, masks = patches.pixels(rows)
    inside = np.array([bool(mask.any()) and not touches_border(mask) for mask in masks], np.bool_)
    holes = changed.of(masks[inside])
    some = np.flatnonzero(inside)[holes.mean(axis=(1, 2)) < _MOST_HOLE]
    table = patches.table.iloc[rows[some]]
    for name in CLASSES:
        own = table[table["pathology"] == name]
        count = _count_lesions(own)
        if count < least:
            raise TooFewError(
                f"The validation split of {patches.folder} has {counted(count, f'whole {name} lesions')} (in "
                f"{counted(len(own), 'patches')}), but thresholds are quantiles of at least {least} (least_real). Keep "
                "more patients for validation (ingest --validation_share), or set least_real lower and accept coarse "
                "thresholds."
            )
    people = table[["patient_id", "patient_id"]].to_numpy(dtype=object)
    malignant = (table["pathology"] == "malignant").to_numpy(dtype=np.bool_)
    return Lesions(images[some], masks[some], malignant, people, table), changed.of(masks[some])


def _count_lesions(table: pd.DataFrame) -> int:
    """Count lesions, not patches: a fine stride cuts many from each. One that is not named counts by itself."""
    names = table["lesion_ids"].fillna("").where(lambda ids: ids != "", table["patch_id"])
    return len(set(zip(table["patient_id"], names, strict=True)))


def measure_real(
    real: Lesions, holes: NDArray[np.bool_], classifiers: Sequence[Classifier], device: str, batch: int, task: Task
) -> Measures:
    """Measure real lesions, each classifier reading all of them."""
    may = np.ones((len(real), len(classifiers)), np.bool_)
    readings = _read(classifiers, may, lambda rows: real.images[rows], device, batch)
    surface = Surface.joined([Surface.of(real.images[some], holes[some]) for some in _chunks(len(real))])
    task.advance(len(real), "real validation lesions")
    kept = np.ones(len(real), np.bool_)
    return Measures(real.malignant, real.people, kept, surface, crops(real.images, real.masks), readings)


def measure_fills(
    synthetic: PatchSet,
    patches: PatchSet,
    classifiers: Sequence[Classifier],
    may: NDArray[np.bool_],
    device: str,
    batch: int,
    task: Task,
) -> tuple[Measures, Surface, NDArray[np.int64]]:
    """Measure fills, and the patches that they were painted into.

    Args:
        synthetic: N fills.
        patches: where their contexts are.
        classifiers: C of them.
        may: (N, C) which reads which.
        device: where networks run.
        batch: patches in a network at once.
        task: advances by each fill.

    Returns:
        The fills; the surface of their contexts with the same holes; and how many pixels differ outside each hole.
    """
    places = {name: row for row, name in enumerate(patches.table["patch_id"])}
    context_rows = np.array([places[name] for name in synthetic.table["context_patch_id"]], np.int64)
    surfaces, before, lesions, changed = [], [], [], []
    for some in _chunks(len(synthetic.table)):
        (images, masks), holes = synthetic.pixels(some), synthetic.holes(some)
        contexts, _ = patches.pixels(context_rows[some])
        surfaces.append(Surface.of(images, holes))
        before.append(Surface.of(contexts, holes))
        lesions.append(crops(images, masks))
        changed.append(changes(_as_stored(contexts, images), images, holes)["changed_outside"].to_numpy(np.int64))
        task.advance(len(some), "fills")
    readings = _read(classifiers, may, lambda rows: synthetic.pixels(rows)[0], device, batch)
    measures = Measures(
        (synthetic.table["pathology"] == "malignant").to_numpy(dtype=np.bool_),
        people_of(synthetic.table),
        (synthetic.table["begin_time"] < 1).to_numpy(dtype=np.bool_),
        Surface.joined(surfaces),
        np.concatenate(lesions),
        readings,
    )
    return measures, Surface.joined(before), np.concatenate(changed)


def measure_training(
    patches: PatchSet, changed: Holes, seed: int, task: Task
) -> tuple[TrainingLesions, Surface, NDArray[np.object_]]:
    """Measure the training lesions: as copies are looked for, and what forests learn from, with their patients (M, 2).

    Raises:
        TooFewError: there are none.
    """
    lesions, surfaces, people = [], [], []
    for images, masks, patients in training_lesions(patches):
        holes = changed.of(masks)
        seen = holes.mean(axis=(1, 2)) < _MOST_HOLE
        lesions.append(crops(images, masks))
        surfaces.append(Surface.of(images[seen], holes[seen]))
        people.append((patients, patients[seen]))
        task.advance(len(images), "training lesions")
    if not lesions:
        raise TooFewError(f"The train split of {patches.folder} has no lesion that a fill could be a copy of.")
    own = np.concatenate([one for _, one in people])
    training = read_training_lesions(np.concatenate(lesions), np.concatenate([one for one, _ in people]), seed)
    return training, Surface.joined(surfaces), np.stack([own, own], axis=1)


def _read(
    classifiers: Sequence[Classifier],
    may: NDArray[np.bool_],
    images: Callable[[NDArray[np.int64]], NDArray[np.uint16]],
    device: str,
    batch: int,
) -> tuple[Reading, ...]:
    return tuple(_read_by(one, may[:, number], images, device, batch) for number, one in enumerate(classifiers))


def _read_by(
    classifier: Classifier,
    may: NDArray[np.bool_],
    images: Callable[[NDArray[np.int64]], NDArray[np.uint16]],
    device: str,
    batch: int,
) -> Reading:
    odds, seen = np.full(len(may), np.nan), []
    rows = np.flatnonzero(may)
    for some in _chunks(len(rows)):
        found = images(rows[some])
        odds[rows[some]] = classifier.logits(to_unit(found), device=device, batch_size=batch)
        seen.append(features(classifier, found, device, batch))
    entering = np.concatenate(seen) if seen else np.empty((0, 0), np.float32)
    whole = np.full((len(may), entering.shape[1]), np.nan, np.float32)
    whole[rows] = entering
    return Reading(odds, whole)


def _chunks(count: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, count, _CHUNK):
        yield np.arange(start, min(start + _CHUNK, count), dtype=np.int64)


def _as_stored(contexts: NDArray[np.uint16], fills: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Round contexts as fills were, where these were kept with 8 bits."""
    if (fills % _EIGHT_BITS).any():
        return contexts
    return (np.rint(contexts / _EIGHT_BITS) * _EIGHT_BITS).astype(np.uint16)
