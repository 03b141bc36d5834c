"""Whether the statistics of `compare-arms` keep their word: simulated studies whose truth is known.

    python benchmarks/coverage_of_intervals.py [--studies 500] [--resamples 200] [--jobs 2] [--only KIND] [--json FILE]

A study has patients with one lesion or more, each cut into several patches. A patch's score is what its patient, its
lesion and the patch are like (all classifiers see that), what this infiller makes of patients and lesions like these,
and what this very training made of them. Infillers are better and worse, and so are classifiers of one infiller. How
often does an interval hold the true value, and how often is a difference "shown" where there is none?

Beside the analysis in use stand others: one infiller for each arm with its classifiers taken for replicates (as if they
were the whole chain), and other ways to join what replicates and patients say (`other_reaches`).
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm, poisson
from scipy.stats import t as student

from mammofill.comparison.paired_tests import clustered_covariance, holm, p_of_difference
from mammofill.evaluation.intervals import Part, Replicates, Resamples, Spread, by_chain, crossed_spread
from mammofill.evaluation.metrics import Weights, weighted_auc
from mammofill.evaluation.units import Units
from mammofill.ground.seeding import stream

CONFIDENCE = 0.95


@dataclass(frozen=True)
class World:
    """How studies come about. Scores are in units of log-odds."""

    name: str
    patients: int = 150
    malignant_share: float = 0.5
    mixed_share: float = 0.05
    """Of patients with lesions of both classes."""
    more_lesions: float = 0.4
    """Mean number of lesions of a patient beyond the first (Poisson)."""
    more_patches: float = 1.0
    """Mean number of patches of a lesion beyond the first (Poisson)."""
    areas: tuple[float, ...] = (0.8, 0.8)
    """True AUC by lesion of each arm, mean over all training that there could be; the first has no infiller."""
    infillers: int = 3
    classifiers: int = 2
    """For each infiller; the first arm has as many as there are chains."""
    of_infiller: float = 0.3
    """Standard deviation of the separation over infillers; 0.3 moves an AUC of 0.8 by 0.05."""
    of_classifier: float = 0.15
    """The same over classifiers."""
    folds: int = 0
    """With folds, each of so many classifiers scores a part of the patients, on a level of its own."""
    of_level: float = 0.7
    """Standard deviation of the levels of folds."""
    training_sets: int = 0
    """With no patient in common: each infiller paints for each, and each arm has a classifier for each of these."""
    of_set: float = 0.4
    """Standard deviation of the separation over training sets, the same for all arms."""
    of_set_and_arm: float = 0.15
    """The same of what training sets do to one arm alone."""
    allowed: float = 1.0
    """In what share of trainings an arm learns from its fills; else its classifier is that of the first arm."""

    def area(self, separation: float, arm: int) -> float:
        """Return the true AUC by lesion of an arm, mean over all training."""
        luck = self.of_classifier**2 + (self.of_infiller**2 if arm else 0.0)
        luck += (self.of_set**2 + self.of_set_and_arm**2) * bool(self.training_sets)
        counts = np.arange(1, 30)
        share = poisson.pmf(counts - 1, self.more_patches)
        own = _SHARED + _PATIENT_SET**2 * bool(self.training_sets) + (_PATCH**2 + _PATCH_CLASSIFIER**2) / counts
        found = norm.cdf(separation / np.sqrt(own[:, None] + own[None, :] + luck))
        return float((share[:, None] * share[None, :] * found).sum() / share.sum() ** 2)

    def separation(self, arm: int) -> float:
        """Return how far the classes lie apart on average in an arm."""
        return float(brentq(lambda one: self.area(one, arm) - self.areas[arm], -1.0, 12.0))


_PATIENT, _LESION, _PATCH = 0.6, 0.6, 0.5
_PATIENT_INFILLER, _LESION_INFILLER = 0.3, 0.3
_PATIENT_CLASSIFIER, _LESION_CLASSIFIER, _PATCH_CLASSIFIER = 0.3, 0.3, 0.4
_PATIENT_SET = 0.3
_SHARED = sum(
    part**2
    for part in (_PATIENT, _LESION, _PATIENT_INFILLER, _LESION_INFILLER, _PATIENT_CLASSIFIER, _LESION_CLASSIFIER)
)
"""Variance of a lesion's score but for that of its patches; the same in all arms."""

GRID = tuple(
    World(f"AUC {area:g}, {patients} patients, {share:.0%} malignant", patients, share, areas=(area, area))
    for area in (0.6, 0.8, 0.97)
    for patients in (40, 150, 600)
    for share in (0.15, 0.5)
)
OTHERS = (
    World("infillers differ not at all", of_infiller=0.0),
    World("infillers differ twice as much", of_infiller=0.6),
    World("five infillers, one classifier each", infillers=5, classifiers=1),
    World("AUC 0.8 against 0.87", areas=(0.8, 0.87)),
)
FOLDS = (
    World("5 folds, 80 patients, 2 repeats", 80, folds=5, infillers=2, classifiers=1),
    World("5 folds, 80 patients, 4 repeats", 80, folds=5, infillers=4, classifiers=1),
    World("5 folds, 200 patients, 4 repeats", 200, folds=5, infillers=4, classifiers=1),
)
TRAINING_SETS = (
    World("12 training sets, 3 infillers", training_sets=12),
    World("12 training sets, 3 infillers that differ twice as much", training_sets=12, of_infiller=0.6),
    World("5 training sets, 3 infillers", training_sets=5),
    World("12 training sets, AUC 0.94, 330 patients", 330, areas=(0.94, 0.94), training_sets=12),
)
TRIALS = (
    World("fills on trial, allowed in 1 of 10, 4 infillers", infillers=4, classifiers=1, allowed=0.1),
    World("fills on trial, allowed in 1 of 3, 4 infillers", infillers=4, classifiers=1, allowed=1 / 3),
    World("fills on trial, allowed in 2 of 3, 4 infillers", infillers=4, classifiers=1, allowed=2 / 3),
    World(
        "fills on trial, allowed in 1 of 3, AUC 0.8 against 0.87",
        areas=(0.8, 0.87),
        infillers=4,
        classifiers=1,
        allowed=1 / 3,
    ),
    World("fills on trial, allowed in 1 of 10, 4 folds, 4 repeats", folds=4, infillers=4, classifiers=1, allowed=0.1),
    World("fills on trial, allowed in 1 of 3, 4 folds, 4 repeats", folds=4, infillers=4, classifiers=1, allowed=1 / 3),
)
FAMILIES = (
    World("3 generated arms, infillers differ as much as classifiers", areas=(0.8,) * 4, of_infiller=0.15),
    World("3 generated arms, infillers differ twice as much", areas=(0.8,) * 4),
    World("3 generated arms, infillers differ four times as much", areas=(0.8,) * 4, of_infiller=0.6),
    World("6 generated arms, 40 patients", 40, areas=(0.8,) * 7),
)


@dataclass(frozen=True)
class Study:
    """One simulated study.

    Attributes:
        units: the test set.
        arms: for each arm the scores (infillers, classifiers, n); the first arm's have as many chains, one each.
        folds: for each chain by which fold each patch was scored, (chains, n); None without folds.
    """

    units: Units
    arms: tuple[NDArray[np.float64], ...]
    folds: NDArray[np.int64] | None


def simulate(world: World, random: np.random.Generator) -> Study:
    """Draw a study; drawn again where a class has fewer than two patients."""
    while True:
        of_lesion = np.repeat(np.arange(world.patients), 1 + random.poisson(world.more_lesions, world.patients))
        malignant = (random.random(world.patients) < world.malignant_share)[of_lesion]
        mixed = (random.random(world.patients) < world.mixed_share)[of_lesion]
        malignant = np.where(mixed, random.random(len(of_lesion)) < world.malignant_share, malignant)
        if min(len(set(of_lesion[malignant])), len(set(of_lesion[~malignant]))) > 1:
            break
    lesion = np.repeat(np.arange(len(of_lesion)), 1 + random.poisson(world.more_patches, len(of_lesion)))
    patient, truth = of_lesion[lesion], malignant[lesion]

    def noise(of_patient: float, of_lesion_: float, of_patch: float) -> NDArray[np.float64]:
        found: NDArray[np.float64] = of_patient * random.standard_normal(world.patients)[patient]
        found = found + of_lesion_ * random.standard_normal(len(of_lesion))[lesion]
        return found + of_patch * random.standard_normal(len(lesion))

    chains = world.infillers * world.classifiers
    dealt = np.zeros((chains, world.patients), np.int64)
    for chain in range(chains if world.folds else 0):
        dealt[chain] = random.permutation(np.arange(world.patients) % world.folds)
    scored_by = dealt[:, patient]

    def of_luck(spread: float, chain: int) -> NDArray[np.float64]:
        """Draw what training adds to the separation, for each fold anew."""
        return spread * random.standard_normal(max(world.folds, 1))[scored_by[chain]]

    shared = noise(_PATIENT, _LESION, _PATCH)
    if world.training_sets:
        return Study(Units(_table(lesion, patient, truth)), _trained_on_sets(world, random, truth, shared, noise), None)
    arms = []
    for arm in range(len(world.areas)):
        mean = world.separation(arm)
        rows = np.empty((world.infillers, world.classifiers, len(lesion)))
        for infiller in range(world.infillers):
            seen, luck = noise(_PATIENT_INFILLER, _LESION_INFILLER, 0), of_luck(world.of_infiller, infiller)
            for classifier in range(world.classifiers):
                chain = infiller * world.classifiers + classifier
                if arm == 0:
                    seen, luck = noise(_PATIENT_INFILLER, _LESION_INFILLER, 0), np.zeros(len(lesion))
                own = noise(_PATIENT_CLASSIFIER, _LESION_CLASSIFIER, _PATCH_CLASSIFIER)
                separation = mean + luck + of_luck(world.of_classifier, chain)
                rows[infiller, classifier] = separation * truth + shared + seen + own
                if world.folds:
                    rows[infiller, classifier] += of_luck(world.of_level, chain)
        arms.append(rows if arm else rows.reshape(chains, 1, -1))
    if world.allowed < 1:
        arms[1:] = [_on_trial(world, random, arms[0], arm, scored_by) for arm in arms[1:]]
    return Study(Units(_table(lesion, patient, truth)), tuple(arms), scored_by if world.folds else None)


def _on_trial(
    world: World,
    random: np.random.Generator,
    without: NDArray[np.float64],
    fills: NDArray[np.float64],
    scored_by: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return an arm whose classifiers are those without fills, but where these are allowed; of folds, one by one.

    By chance alone: what validation sees is left out, so that the true value of the arm is known.
    """
    allowed = random.random((world.infillers * world.classifiers, max(world.folds, 1))) < world.allowed
    taken = np.take_along_axis(allowed, scored_by, axis=1).reshape(fills.shape)
    return np.where(taken, fills, without.reshape(fills.shape))


def _trained_on_sets(
    world: World,
    random: np.random.Generator,
    truth: NDArray[np.bool_],
    shared: NDArray[np.float64],
    noise: Callable[[float, float, float], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], ...]:
    """Draw the scores of each arm, (infillers, training sets, n): a classifier for each pair of both."""
    sets = [noise(_PATIENT_SET, 0, 0) for _ in range(world.training_sets)]
    of_set = world.of_set * random.standard_normal(world.training_sets)
    arms = []
    for arm in range(len(world.areas)):
        separation, of_both = world.separation(arm), world.of_set_and_arm * random.standard_normal(world.training_sets)
        rows = np.empty((world.infillers, world.training_sets, len(truth)))
        for infiller in range(world.infillers):
            seen, luck = noise(_PATIENT_INFILLER, _LESION_INFILLER, 0), world.of_infiller * random.standard_normal()
            for number, of_patients in enumerate(sets):
                if arm == 0:
                    seen, luck = noise(_PATIENT_INFILLER, _LESION_INFILLER, 0), 0.0
                own = noise(_PATIENT_CLASSIFIER, _LESION_CLASSIFIER, _PATCH_CLASSIFIER)
                found = separation + luck + of_set[number] + of_both[number]
                found += world.of_classifier * random.standard_normal()
                rows[infiller, number] = found * truth + shared + of_patients + seen + own
        arms.append(rows)
    return tuple(arms)


def _table(lesion: NDArray[np.int64], patient: NDArray[np.int64], truth: NDArray[np.bool_]) -> pd.DataFrame:
    return pd.DataFrame({
        "patch_id": np.arange(len(lesion)).astype(str),
        "patient_id": patient.astype(str),
        "pathology": np.where(truth, "malignant", "benign"),
        "lesion_ids": lesion.astype(str),
    })  # fmt: skip


def measured(study: Study, resamples: Resamples, name: str = "auc_by_lesion") -> list[list[Replicates]]:
    """Measure every arm as `compare_arms` does: for each, its infillers, with one replicate per classifier."""
    limit = study.units.limiting_patients(name)
    found = []
    for rows in study.arms:
        of_arm = []
        for infiller, of_infiller in enumerate(rows):
            values, draws = [], []
            for classifier, logits in enumerate(of_infiller):
                chain = infiller * len(of_infiller) + classifier
                folds = None if study.folds is None else study.folds[chain]
                value, drawn = study.units.measured((name,), logits, 0.0, resamples, folds)[name]
                values.append(value)
                draws.append(drawn)
            of_arm.append(Replicates(np.array(values), np.stack(draws), limit))
        found.append(of_arm)
    return found


def chains(of_arm: Sequence[Replicates]) -> Replicates:
    """Average the classifiers of each infiller: a replicate is the whole chain."""
    values = np.array([one.value for one in of_arm])
    return Replicates(values, np.stack([one.draws.mean(axis=0) for one in of_arm]), of_arm[0].patients)


def patients_of(study: Study) -> NDArray[np.object_]:
    return study.units.table["patient_id"].to_numpy(dtype=object)


# ---- what is counted -----------------------------------------------------------------------------------------------


def holds(spread: Spread, truth: float) -> bool:
    low, high = spread.interval(CONFIDENCE)
    return low <= truth <= high


def other_reaches(first: Replicates, second: Replicates, tail: float) -> dict[str, float]:
    """Return how far from zero a difference must lie to be "shown" by analyses that were tried and are not in use.

    Args:
        first: one arm.
        second: the other.
        tail: share of studies that may lie farther off to one side.

    Returns:
        By one Student's t with the degrees of freedom of Satterthwaite and Hillis, and with what the patches do taken
        off what is seen between replicates.
    """
    found = first.minus(second)
    patients = found.over_patients
    rest = Part(max(patients.variance - found.in_both, 0.0), patients.degrees)
    parts = (*found.over_training, rest)
    total = sum(part.variance for part in parts)
    degrees = total**2 / sum(part.variance**2 / part.degrees for part in parts)
    beyond = patients.variance * float(student.isf(tail, patients.degrees)) ** 2
    for group in (first, second):
        seen, of_patches = group.over_training()
        beyond += max(seen.variance - of_patches, 0.0) * float(student.isf(tail, seen.degrees)) ** 2
    return {
        "Satterthwaite's degrees": math.sqrt(total) * float(student.isf(tail, degrees)),
        "less what patches do": math.sqrt(beyond),
    }


def study_of_two(world: World, resamples: int, number: int) -> dict[str, float]:
    """Simulate one study of an arm without and one with an infiller, and say what held."""
    random = stream(number, "coverage", world.name)
    study = simulate(world, random)
    drawn = Resamples.draw(patients_of(study), resamples, random)
    by_arm = measured(study, drawn)
    first, second = map(chains, by_arm)
    difference = world.areas[1] - world.areas[0]
    spread = second.minus(first)
    found: dict[str, float] = {
        "arm without infiller": holds(first.spread(), world.areas[0]),
        "arm with infillers": holds(second.spread(), world.areas[1]),
        "difference": holds(spread, difference),
        "shown": spread.p_of_zero() < 1 - CONFIDENCE,
        "smallest shown": spread.smallest_shown(1 - CONFIDENCE, 0.8),
    }
    if world.classifiers > 1:
        found["difference, one infiller taken for the arm"] = holds(by_arm[1][0].minus(first), difference)
    scores = np.stack([arm.mean(axis=(0, 1)) for arm in study.arms])
    cases = study.units.lesions
    of_lesions = np.stack([cases.scores(one) for one in scores])
    if not world.folds:
        p = p_of_difference(*clustered_covariance(cases.malignant, of_lesions, cases.patients))
        found["shown by Obuchowski's test"] = p < 1 - CONFIDENCE
    return {name: float(value) for name, value in found.items()}


def study_of_training_sets(world: World, resamples: int, number: int) -> dict[str, float]:
    """Simulate one study on training sets with no patient in common, and say what held.

    Beside the analysis in use stand two that leave something out: that both arms have the same training sets, so that
    a difference has the luck of both arms' as if they were others; and that infillers differ.
    """
    random = stream(number, "training sets", world.name)
    study = simulate(world, random)
    by_arm = measured(study, Resamples.draw(patients_of(study), resamples, random))
    first, second = (_on_sets(of_arm, infillers) for of_arm, infillers in zip(by_arm, (False, True), strict=True))
    no_infillers = _on_sets(by_arm[1], False)
    difference, spread = world.areas[1] - world.areas[0], second.minus(first)
    apart = replace(first, training_sets=tuple(f"other {name}" for name in first.training_sets))
    widths = [high - low for low, high in (one.interval(CONFIDENCE) for one in (spread, second.minus(apart)))]
    found = {
        "arm without infiller": holds(first.spread(), world.areas[0]),
        "arm with infillers": holds(second.spread(), world.areas[1]),
        "difference": holds(spread, difference),
        "shown": spread.p_of_zero() < 1 - CONFIDENCE,
        "smallest shown": spread.smallest_shown(1 - CONFIDENCE, 0.8),
        "difference, infillers taken for one": holds(no_infillers.minus(first), difference),
        "width, of that without pairs": widths[0] / widths[1],
    }
    return {name: float(value) for name, value in found.items()}


def study_of_trial(world: World, resamples: int, number: int) -> dict[str, float]:
    """Simulate one study of an arm without and one with fills on trial, and say what held.

    Beside the analysis in use stand two others: differences between classifiers of one seed alone, of which most may be
    0; and both arms as if they had no classifier in common.
    """
    random = stream(number, "trial", world.name)
    while True:  # where no fills were allowed at all, nothing is compared
        study = simulate(world, random)
        if not np.array_equal(study.arms[0].ravel(), study.arms[1].ravel()):
            break
    by_arm = measured(study, Resamples.draw(patients_of(study), resamples, random))
    first, second = (
        by_chain(
            [value for group in of_arm for value in group.values],
            [drawn for group in of_arm for drawn in group.draws],
            [f"infiller {one}" if number else "" for one, group in enumerate(of_arm) for _ in group.values],
            of_arm[0].patients,
        )
        for number, of_arm in enumerate(by_arm)
    )
    alike = [np.array_equal(*(arm[chain][..., scored] for arm in study.arms))
             for chain in range(len(study.arms[0])) for scored in _parts(study, chain)]  # fmt: skip
    spread, apart = second.minus(first, shared=float(np.mean(alike))), second.minus(first)
    values, drawn = (second.values - first.values, second.draws - first.draws)
    by_seed = Replicates(values, drawn, first.patients).spread("difference")
    truth = world.allowed * (world.areas[1] - world.areas[0])
    widths = [high - low for low, high in (one.interval(CONFIDENCE) for one in (spread, apart))]
    found = {
        "difference": holds(spread, truth),
        "shown": spread.p_of_zero() < 1 - CONFIDENCE,
        "smallest shown": spread.smallest_shown(1 - CONFIDENCE, 0.8),
        "difference, by seed": holds(by_seed, truth),
        "difference, as if apart": holds(apart, truth),
        "width, of that as if apart": widths[0] / widths[1],
    }
    return {name: float(value) for name, value in found.items()}


def _parts(study: Study, chain: int) -> list[NDArray[np.bool_]]:
    """Return which patches each fold's classifier of a chain scored; all at once without folds."""
    if study.folds is None:
        return [np.ones(len(study.units.table), bool)]
    return [study.folds[chain] == fold for fold in np.unique(study.folds[chain])]


def _on_sets(of_arm: Sequence[Replicates], infillers: bool) -> Replicates:
    """Make replicates of an arm, each of which knows its training set, and its infiller if there are any."""
    names = [(f"infiller {one}" if infillers else "", f"set {k}")
             for one, group in enumerate(of_arm) for k in range(len(group.values))]  # fmt: skip
    return by_chain(
        [value for group in of_arm for value in group.values],
        [drawn for group in of_arm for drawn in group.draws],
        [infiller for infiller, _ in names],
        of_arm[0].patients,
        [one for _, one in names],
    )


def study_of_family(world: World, resamples: int, number: int) -> dict[str, float]:
    """Simulate one study of several arms that do not differ from the first, and say whether any is "shown" to."""
    random = stream(number, "family", world.name)
    study = simulate(world, random)
    by_arm = measured(study, Resamples.draw(patients_of(study), resamples, random))
    reference, *others = map(chains, by_arm)
    p_values = [one.minus(reference).p_of_zero() for one in others]
    of_one_infiller = [of_arm[0].minus(reference).p_of_zero() for of_arm in by_arm[1:]]
    found = {
        "any, Holm": float(min(holm(p_values)) < 0.05),
        "any, uncorrected": float(min(p_values) < 0.05),
        "any, Holm, one infiller taken for the arm": float(min(holm(of_one_infiller)) < 0.05),
    }
    for one in others:  # Holm asks of the smallest p that it is below an equal share
        for name, reach in other_reaches(one, reference, 0.05 / len(others) / 2).items():
            shown = abs(one.value - reference.value) > reach
            found[f"any, Holm, {name}"] = max(found.get(f"any, Holm, {name}", 0.0), float(shown))
    return found


def study_of_judge(tissues: int, donors: int, resamples: int, number: int) -> dict[str, float]:
    """Simulate fills, each of a tissue patient and an outline donor, and an AUC of fills against real ones."""
    random = stream(number, "judge", tissues, donors)
    cases = 4 * tissues
    tissue, donor = np.repeat(np.arange(tissues), 4), random.integers(0, donors, cases)
    asked = donor % 2 == 0  # the class of the lesion whose outline it is
    score = asked + 0.6 * random.standard_normal(tissues)[tissue] + 0.6 * random.standard_normal(donors)[donor]
    score += 0.6 * random.standard_normal(cases)
    truth = float(norm.cdf(1 / math.sqrt(2 * 3 * 0.6**2)))

    def area(weights: Weights) -> dict[str, NDArray[np.float64]]:
        return {"auc": weighted_auc(asked, score, weights)}

    whose, outline = (one.astype(str).astype(object) for one in (tissue, donor))
    alone = Resamples.draw(whose, resamples, random).draws(area)["auc"]
    value = area(np.ones((1, cases)))["auc"]
    return {
        "tissue patients alone": float(holds(Replicates(value, alone[None, :], tissues).spread(), truth)),
        "both patients": float(holds(crossed_spread(area, whose, outline, resamples, random)["auc"], truth)),
    }


def mean_of(results: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each figure over studies."""
    listed = list(results)
    return {name: float(np.mean([one[name] for one in listed])) for name in listed[0]}


def main() -> None:
    """Run all simulations and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", choices=("coverage", "training sets", "trial", "family", "judge"))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {}
    parts: list[tuple[str, str, Callable[[int], Mapping[str, float]]]] = []
    for world in (*GRID, *OTHERS, *FOLDS):
        parts.append(("coverage", world.name, partial(study_of_two, world, arguments.resamples)))
    for world in TRAINING_SETS:
        parts.append(("training sets", world.name, partial(study_of_training_sets, world, arguments.resamples)))
    for world in TRIALS:
        parts.append(("trial", world.name, partial(study_of_trial, world, arguments.resamples)))
    for world in FAMILIES:
        parts.append(("family", world.name, partial(study_of_family, world, arguments.resamples)))
    for tissues, donors in ((100, 20), (40, 40)):
        name = f"{tissues} tissue patients, {donors} outline donors"
        parts.append(("judge", name, partial(study_of_judge, tissues, donors, arguments.resamples)))
    print(f"{arguments.studies} studies each; in brackets the Monte Carlo standard error of a share, in thousandths")
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for kind, name, one in [part for part in parts if arguments.only in (None, part[0])]:
            figures[name] = mean_of(pool.map(one, range(arguments.studies), chunksize=10))
            told = ", ".join(f"{what} {_with_error(value, arguments.studies)}" for what, value in figures[name].items())
            print(f"{kind}: {name}: {told}", flush=True)
    if arguments.json:
        flat = {f"{world}: {name}": value for world, found in figures.items() for name, value in found.items()}
        arguments.json.write_text(json.dumps(flat, indent=2) + "\n", encoding="utf-8")


def _with_error(share: float, studies: int) -> str:
    return f"{share:.3f} ({1000 * math.sqrt(share * (1 - share) / studies):.0f})"


if __name__ == "__main__":
    main()
