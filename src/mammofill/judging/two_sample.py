"""Whether a trained forest can distinguish numbers measured on fills from the same numbers of real lesions.

A classifier two-sample test (Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", ICLR 2017), with the AUC in
place of the accuracy, on patients that were not learned from.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.seeding import derive_seed, stream
from mammofill.judging.verdict import NONE, Estimate, People, Statistics

_LEAF = 5
"""Least cases in a leaf of a tree. Ours."""


def two_sample_auc(
    statistics: Statistics,
    real: NDArray[np.floating],
    real_people: People,
    other: NDArray[np.floating],
    other_people: People,
) -> Estimate:
    """Train a random forest to distinguish two groups, and measure it on patients that it did not learn from.

    Args:
        statistics: folds and intervals.
        real: (M, K) numbers taken from real lesions, finite.
        real_people: (M, 2).
        other: (N, K) the same numbers taken from fills.
        other_people: (N, 2).

    Returns:
        The AUC: 0.5 where they cannot be distinguished, 1 where they always can. Below 0.5: no difference, by chance.
        NaN where the patients are too few for a forest to learn from others.
    """
    people = np.concatenate([real_people, other_people])
    painted = np.repeat([False, True], [len(real), len(other)])
    folds, trees = statistics.settings.folds, statistics.settings.trees
    scores = crossed_scores(np.concatenate([real, other]), painted, people, folds, trees, statistics.seed)
    if not np.isfinite(scores).all():
        return replace(NONE, cases=len(painted), patients=len(set(people.ravel().tolist())))
    return statistics.auc(painted, scores, people)


def crossed_scores(
    numbers: NDArray[np.floating], painted: NDArray[np.bool_], people: People, folds: int, trees: int, seed: int
) -> NDArray[np.float64]:
    """Score each case by a random forest that learned from none of its patients.

    Source of the forest: Breiman, Machine Learning, 2001. Each patient is in one of some parts. A case is
    scored by a forest that learned from those cases none of whose patients, of tissue or of outline, is in a part of
    one of the case's own. Where some cases are of two parts, all forests do without two, so that none knows more.

    Args:
        numbers: (N, K) taken from real lesions and fills, finite.
        painted: (N,) which are fills.
        people: (N, 2).
        folds: number of parts, at least 3.
        trees: of each forest.
        seed: deals the patients into parts, and grows the forests.

    Returns:
        (N,) share of the trees that take the case for a fill; NaN where the patients are too few to learn from others.
    """
    from sklearn.ensemble import RandomForestClassifier

    part = _parts(people, folds, seed)
    unseen = _unseen(part, folds)
    scores = np.full(len(numbers), np.nan)
    for number, parts in enumerate(np.unique(unseen, axis=0)):
        tried, learned = (unseen == parts).all(axis=1), ~np.isin(part, parts).any(axis=1)
        if len(set(painted[learned])) < 2:
            break
        forest = RandomForestClassifier(
            trees,
            min_samples_leaf=_LEAF,
            class_weight="balanced",
            random_state=derive_seed(seed, "forest", number) % 2**32,
        )
        scores[tried] = forest.fit(numbers[learned], painted[learned]).predict_proba(numbers[tried])[:, 1]
    return scores


def _parts(people: People, folds: int, seed: int) -> NDArray[np.int64]:
    """Deal patients into parts; return those of each case's two patients, (N, 2)."""
    names, patient_of = np.unique(people.astype(str), return_inverse=True)
    dealt = np.empty(len(names), np.int64)
    dealt[stream(seed, "folds").permutation(len(names))] = np.arange(len(names)) % folds
    return dealt[patient_of.reshape(people.shape)]


def _unseen(part: NDArray[np.int64], folds: int) -> NDArray[np.int64]:
    """Return the two parts that the forest of each case must not have learned from, (N, 2), the lower one first."""
    first, second = part.T
    if (first != second).any():
        another = (first + 1 + np.arange(len(part)) % (folds - 1)) % folds
        second = np.where(first == second, another, second)
    return np.sort(np.stack([first, second], axis=1), axis=1)
