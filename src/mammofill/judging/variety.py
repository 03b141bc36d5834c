"""Criterion "variety": whether the seed changes the fill, and whether fills are copies, of each other or of lesions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.seeding import stream
from mammofill.judging.cases import Lesions
from mammofill.judging.similarity import copy_threshold, descriptors, greatest_correlation
from mammofill.judging.verdict import Finding, People, Statistics, Wanted, counted, judged, reported

CRITERION = "variety"
_REAL_PAIRS = 2000
_CALIBRATION = 2000


@dataclass(frozen=True)
class TrainingLesions:
    """The lesions of the train split, as they are compared."""

    descriptors: NDArray[np.float32]
    patients: NDArray[np.object_]
    threshold: float
    """From which correlation two lesions are copies of one."""


def read_training_lesions(cut: NDArray[np.float32], patients: NDArray[np.object_], seed: int) -> TrainingLesions:
    """Prepare the training lesions, and calibrate what a copy is on those of different patients.

    Args:
        cut: (N, CROP_PX, CROP_PX) from `similarity.crops`.
        patients: (N,).
        seed: decides which some serve for calibration, where there are very many.
    """
    found = descriptors(cut)
    some = stream(seed, "calibration").permutation(len(found))[:_CALIBRATION]
    return TrainingLesions(found, patients, copy_threshold(found[some], patients[some]))


def distance_of_real(real: Lesions, cut: NDArray[np.float32], seed: int) -> float:
    """Measure how different real lesions of one class and different patients are, on some pairs drawn at random.

    Args:
        real: real lesions.
        cut: (M, CROP_PX, CROP_PX) of them, from `similarity.crops`.
        seed: decides the pairs.

    Returns:
        Their mean distance; NaN where they are of one patient.
    """
    first, second = stream(seed, "pairs of real lesions").integers(len(real), size=(2, _REAL_PAIRS))
    differ = (real.people[first, 0] != real.people[second, 0]) & (real.malignant[first] == real.malignant[second])
    first, second = first[differ], second[differ]
    return float(np.mean(_distance(cut[first], cut[second]))) if len(first) else float("nan")


def copies_in_reference(
    statistics: Statistics, training: TrainingLesions, real: Lesions, cut: NDArray[np.float32]
) -> list[Finding]:
    """Count real lesions of the split that pass for copies of training lesions: a check of the threshold."""
    similar = _nearest_training(descriptors(cut), real.people[:, 0], training)
    count = counted(int((similar >= training.threshold).sum()), len(real), real.tissue_patients)
    return [
        reported(CRITERION, "copies of training lesions", count, _threshold_words(training)),
        reported(CRITERION, _NEAREST, statistics.mean(similar, real.people), _NEAREST_WORDS),
    ]


def variety_over_seeds(
    statistics: Statistics, real_distance: float, people: People, cut_by_seed: Sequence[NDArray[np.float32]]
) -> list[Finding]:
    """Measure how much fills of one context differ from seed to seed.

    Args:
        statistics: intervals.
        real_distance: from `distance_of_real`.
        people: (N, 2) of the contexts.
        cut_by_seed: for each seed (N, CROP_PX, CROP_PX).
    """
    distances = np.mean([_distance(one, other) for one, other in combinations(cut_by_seed, 2)], axis=0)
    cannot = statistics.too_few(len(set(people[:, 0])), len(people))
    if not np.isfinite(real_distance):
        cannot = "the real lesions are of one patient"
    return [
        judged(
            CRITERION,
            "from seed to seed",
            statistics.mean(distances / real_distance, people),
            Wanted(least=statistics.settings.wanted.seed_distance),
            "Distance between fills that differ in the seed alone, as a share of that between real lesions of one "
            "class.",
            cannot,
            key="distance_between_seeds",
        )
    ]


def copies_among_fills(
    statistics: Statistics,
    training: TrainingLesions,
    contexts: NDArray[np.object_],
    people: People,
    found: NDArray[np.float32],
) -> list[Finding]:
    """Count fills that pass for copies of each other, or of training lesions.

    Args:
        statistics: what is too few.
        training: training lesions, and from which correlation on.
        contexts: (N,) which patch each fill was painted into: only fills of different ones are compared.
        people: (N, 2).
        found: (N, P) from `similarity.descriptors`.
    """
    among = greatest_correlation(found, contexts, found, contexts)
    no_name = np.repeat(np.array([""], object), len(found))
    nearest = _nearest_training(found, no_name, training)
    patients = len(set(people[:, 0]))
    lacking = "" if len(training.descriptors) else "the patches hold no training lesion"
    few = lacking or statistics.too_few(patients, len(found))
    return [
        judged(
            CRITERION,
            "copies of training lesions",
            counted(int((nearest >= training.threshold).sum()), len(found), patients),
            Wanted(0.0, 0.0),
            f"Fills that repeat one of {len(training.descriptors)} training lesions. {_threshold_words(training)}",
            few,
            key="copies_of_training",
        ),
        judged(
            CRITERION,
            "copies of each other",
            counted(int((among >= training.threshold).sum()), len(found), patients),
            Wanted(0.0, 0.0),
            f"Fills with a double in another context. {_threshold_words(training)}",
            few,
            key="copies_of_each_other",
        ),
        reported(CRITERION, _NEAREST, statistics.mean(nearest, people), _NEAREST_WORDS),
    ]


_NEAREST = "correlation with the nearest training lesion"
_NEAREST_WORDS = "Mean over all; real lesions of other patients stand beside."


def _nearest_training(
    found: NDArray[np.float32], names: NDArray[np.object_], training: TrainingLesions
) -> NDArray[np.float64]:
    """Return each one's greatest correlation with a training lesion; NaN where there are none."""
    if not len(training.descriptors):
        return np.full(len(found), np.nan)
    return greatest_correlation(found, names, training.descriptors, training.patients)


def _threshold_words(training: TrainingLesions) -> str:
    if not len(training.descriptors):
        return "There are no training lesions to define what a copy is."
    return (
        f"A correlation of {training.threshold:.3f} counts: halfway to 1 from the two most alike training lesions of "
        "different patients."
    )


def _distance(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the root mean square difference of crops (N, S, S), (N,), each without its mean."""
    difference = (first - first.mean(axis=(1, 2), keepdims=True)) - (second - second.mean(axis=(1, 2), keepdims=True))
    return np.asarray(np.sqrt(np.square(difference).mean(axis=(1, 2), dtype=np.float64)), np.float64)
