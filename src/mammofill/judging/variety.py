"""Criterion "variety": whether the seed changes the fill, and whether fills are copies, of each other or of lesions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.seeding import stream
from mammofill.judging.cases import Lesions
from mammofill.judging.likeness import copy_threshold, greatest, prints
from mammofill.judging.verdict import Bench, Finding, Wanted, certain, judged, told

CRITERION = "variety"
_REAL_PAIRS = 2000
_CALIBRATION = 2000


@dataclass(frozen=True)
class Learned:
    """The lesions of the train split, as they are compared."""

    prints: NDArray[np.float32]
    patients: NDArray[np.object_]
    threshold: float
    """From which correlation two lesions are copies of one."""


def learn_lesions(cut: NDArray[np.float32], patients: NDArray[np.object_], seed: int) -> Learned:
    """Prepare the training lesions, and calibrate what a copy is on those of different patients.

    Args:
        cut: (N, CROP_PX, CROP_PX) from `likeness.crops`.
        patients: (N,).
        seed: decides which some serve for calibration, where there are very many.
    """
    found = prints(cut)
    some = stream(seed, "calibration").permutation(len(found))[:_CALIBRATION]
    return Learned(found, patients, copy_threshold(found[some], patients[some]))


@dataclass(frozen=True)
class Spread:
    """Distances between real lesions of one class and different patients: what the distances of fills are shares of."""

    pixels: float
    features: float


def spread_of_real(real: Lesions, cut: NDArray[np.float32], features: NDArray[np.float32], seed: int) -> Spread:
    """Measure how different real lesions are, on some pairs drawn at random.

    Args:
        real: real lesions.
        cut: (M, CROP_PX, CROP_PX) of them, from `likeness.crops`.
        features: (M, K) of them, from a classifier.
        seed: decides the pairs.
    """
    first, second = stream(seed, "pairs of real lesions").integers(len(real), size=(2, _REAL_PAIRS))
    differ = (real.people[first, 0] != real.people[second, 0]) & (real.malignant[first] == real.malignant[second])
    first, second = first[differ], second[differ]
    if not len(first):
        return Spread(float("nan"), float("nan"))
    return Spread(
        float(np.mean(_pixel_distance(cut[first], cut[second]))),
        float(np.mean(np.linalg.norm(features[first] - features[second], axis=1))),
    )


def copies_in_reference(learned: Learned, real: Lesions, cut: NDArray[np.float32]) -> list[Finding]:
    """Count real lesions of the split that pass for copies of training lesions: a check of the threshold."""
    alike = greatest(prints(cut), real.people[:, 0], learned.prints, learned.patients)
    count = certain(int((alike >= learned.threshold).sum()), len(real), len(set(real.people[:, 0])))
    return [told(CRITERION, "copies of training lesions", count, _threshold_words(learned))]


def variety_of_fills(
    bench: Bench,
    spread: Spread,
    patients: NDArray[np.object_],
    cut_by_seed: Sequence[NDArray[np.float32]],
    features_by_seed: Sequence[NDArray[np.float32]],
) -> list[Finding]:
    """Measure how much fills of one context differ from seed to seed.

    Args:
        bench: intervals.
        spread: of real lesions.
        patients: (N,) of the contexts.
        cut_by_seed: for each seed (N, CROP_PX, CROP_PX).
        features_by_seed: for each seed (N, K).
    """
    pixels = np.mean([_pixel_distance(one, other) for one, other in combinations(cut_by_seed, 2)], axis=0)
    features = np.mean(
        [np.linalg.norm(one - other, axis=1) for one, other in combinations(features_by_seed, 2)], axis=0
    )
    few = bench.too_few(len(set(patients)), len(patients))
    if not np.isfinite(spread.pixels):
        few = "the real lesions are of one patient"
    return [
        judged(
            CRITERION,
            "from seed to seed",
            bench.mean(pixels / spread.pixels, patients),
            Wanted(least=bench.settings.wanted.variety),
            "Distance between fills that differ in the seed alone, as a share of that between real lesions of one "
            "class.",
            few,
        ),
        told(
            CRITERION,
            "from seed to seed, features",
            bench.mean(features / spread.features, patients),
            "The same in what the classifier's last layer sees.",
        ),
    ]


def copies_among_fills(
    bench: Bench, learned: Learned, contexts: NDArray[np.object_], patients: int, fill_prints: NDArray[np.float32]
) -> list[Finding]:
    """Count fills that pass for copies of each other, or of training lesions.

    Args:
        bench: what is too few.
        learned: training lesions, and from which correlation on.
        contexts: (N,) which patch each fill was painted into: only fills of different ones are compared.
        patients: number of patients.
        fill_prints: (N, P) from `likeness.prints`.
    """
    among = greatest(fill_prints, contexts, fill_prints, contexts)
    nobody = np.repeat(np.array([""], object), len(fill_prints))
    training = greatest(fill_prints, nobody, learned.prints, learned.patients)
    few = bench.too_few(patients, len(fill_prints))
    return [
        judged(
            CRITERION,
            "copies of each other",
            certain(int((among >= learned.threshold).sum()), len(fill_prints), patients),
            Wanted(0.0, 0.0),
            f"Fills with a double in another context. {_threshold_words(learned)}",
            few,
        ),
        judged(
            CRITERION,
            "copies of training lesions",
            certain(int((training >= learned.threshold).sum()), len(fill_prints), patients),
            Wanted(0.0, 0.0),
            f"Fills that repeat one of {len(learned.prints)} training lesions. {_threshold_words(learned)}",
            few if len(learned.prints) else "the patches hold no training lesion",
        ),
    ]


def _threshold_words(learned: Learned) -> str:
    return (
        f"A correlation of {learned.threshold:.3f} counts: halfway to 1 from the two most alike training lesions of "
        "different patients."
    )


def _pixel_distance(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the root mean square difference of crops (N, S, S), (N,), each without its mean."""
    difference = (first - first.mean(axis=(1, 2), keepdims=True)) - (second - second.mean(axis=(1, 2), keepdims=True))
    return np.asarray(np.sqrt(np.square(difference).mean(axis=(1, 2), dtype=np.float64)), np.float64)
