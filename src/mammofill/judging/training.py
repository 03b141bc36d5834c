"""Criterion "training": whether a classifier that learned from fills does as well on real lesions.

The patients of the split are divided at random into two parts. The recipe of the classifier that judges is repeated on
fills whose tissue and outlines are of one part, and tested on the real lesions of the other; and the other way round.
Then the same with as many real lesions of each class. Nothing is chosen, and each training sees the same number of
images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.classifier import Classifier
from mammofill.classifier.refit import read_start_of, recipe_of, scores_after_training
from mammofill.evaluation.metrics import Weights, weighted_auc
from mammofill.ground.errors import SettingsError, WeightsError
from mammofill.ground.seeding import derive_seed, stream
from mammofill.infilling.settings import CLASSES
from mammofill.judging.cases import Lesions, read_cases
from mammofill.judging.painting import keep
from mammofill.judging.settings import JudgeInfillerSettings
from mammofill.judging.verdict import NONE, Finding, Statistics, Wanted, divided, judged, reported
from mammofill.pairing import Pairs
from mammofill.patches import PatchSet

CRITERION = "training"
_WORDS = "AUC on real lesions of other patients, mean over both parts."

Fill = Callable[[Lesions, NDArray[np.int64], int], NDArray[np.uint16]]
"""From cases in their donors' classes, seeds and the number of the part to fills."""


@dataclass(frozen=True)
class Part:
    """One half of the patients: what is learned from, and what is tested on."""

    real: Lesions
    contexts: Lesions
    """Pairs whose tissue and outline are of this half; of each class as many as `real` has."""
    seeds: NDArray[np.int64]
    tested: NDArray[np.bool_]
    """(M,) which of the real lesions are of the other half."""


class TrainingOnFills:
    """Repeats a classifier's recipe on real lesions and on fills of the same patients.

    Args:
        classifier: whose recipe.
        real: real lesions of the split.
        pairs: all pairs of the split.
        patches: the patches.
        settings: how many.
        seed: deals the patients, chooses, trains.
        device: where networks run.

    Attributes:
        cannot: why it cannot be done; empty where it can.
        parts: the halves.
    """

    def __init__(
        self,
        classifier: Classifier,
        real: Lesions,
        pairs: Pairs,
        patches: PatchSet,
        settings: JudgeInfillerSettings,
        seed: int,
        device: str,
    ) -> None:
        self.real, self.seed, self.device, self.parts = real, seed, device, list[Part]()
        self.cannot = "train_on_fills.images is 0" if not settings.train_on_fills.images else ""
        self._real_logits: NDArray[np.float64] | None = None
        if self.cannot:
            return
        try:
            self._recipe = recipe_of(classifier, settings.train_on_fills.images)
            self._start = read_start_of(self._recipe)
        except (SettingsError, WeightsError) as error:
            self.cannot = str(error)
            return
        self.parts = _deal(real, pairs, patches, settings, seed)
        fewest = min(count for one in self.parts for count in one.real.per_class)
        if fewest < settings.least_per_class // 2:
            self.cannot = (
                f"in one half of the patients only {fewest} real lesions of a class match with pairs, at least "
                f"{settings.least_per_class // 2} are needed"
            )

    def on_real(self, kept: Path) -> NDArray[np.float64]:
        """Return the log-odds of the real lesions by classifiers trained on real ones of the other half, (M,)."""
        if self._real_logits is None:
            self._real_logits = self._logits(kept, lambda part, _: part.real.images)
        return self._real_logits

    def on_fills(self, kept: Path, fill: Fill) -> NDArray[np.float64]:
        """Return the log-odds of the real lesions by classifiers trained on fills of the other half, (M,)."""
        return self._logits(kept, lambda part, number: fill(part.contexts, part.seeds, number))

    def _logits(self, kept: Path, pictures: Callable[[Part, int], NDArray[np.uint16]]) -> NDArray[np.float64]:
        found = np.full(len(self.real), np.nan)
        for number, part in enumerate(self.parts):
            file = kept.with_name(f"{kept.name}-trained-{number}.npy")
            if not file.is_file():
                learned = (pictures(part, number), part.real.malignant)
                tested, seed = self.real.images[part.tested], derive_seed(self.seed, "train on fills", number)
                keep(file, scores_after_training(self._recipe, self._start, learned, tested, seed, self.device))
            found[part.tested] = np.load(file)
        return found

    def auc(self, logits: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
        """Return the mean AUC of both halves; their scores are of two networks, and are not compared."""
        malignant = self.real.malignant
        each = [weighted_auc(malignant[p.tested], logits[p.tested], weights[:, p.tested]) for p in self.parts]
        return np.asarray(np.mean(each, axis=0), np.float64)


def training_of_reference(
    statistics: Statistics, training: TrainingOnFills, logits: NDArray[np.float64] | None
) -> list[Finding]:
    """Measure how well classifiers trained on real lesions classify others."""
    if logits is None:
        return []
    real = training.real
    estimate = statistics.estimate(lambda weights: training.auc(logits, weights), real.people, len(real))
    return [reported(CRITERION, "AUC", estimate, _WORDS)]


def training_of_fills(
    statistics: Statistics,
    training: TrainingOnFills,
    real_logits: NDArray[np.float64] | None,
    logits: NDArray[np.float64] | None,
) -> list[Finding]:
    """Measure how well classifiers trained on fills classify real lesions.

    Args:
        statistics: intervals; over the patients who are tested, not over trainings.
        training: what was done.
        real_logits: from `TrainingOnFills.on_real`; None where it cannot be done.
        logits: from `TrainingOnFills.on_fills`.
    """
    real, share, found = training.real, NONE, list[Finding]()
    learned = sum(len(part.real) for part in training.parts)
    if real_logits is not None and logits is not None:
        share = statistics.estimate(
            lambda weights: divided(training.auc(logits, weights), training.auc(real_logits, weights)),
            real.people,
            learned,
        )
        estimate = statistics.estimate(lambda weights: training.auc(logits, weights), real.people, len(real))
        found = [reported(CRITERION, "AUC", estimate, _WORDS)]
    return [
        judged(
            CRITERION,
            "share of training on real",
            share,
            Wanted(least=statistics.settings.wanted.train_on_fills),
            "AUC on real lesions of other patients after training on fills, divided by that after training on as many "
            "real lesions. The interval is over patients, not over trainings.",
            training.cannot or statistics.too_few(real.tissue_patients, *real.per_class),
            key="train_on_fills_share",
        ),
        *found,
    ]


def _deal(real: Lesions, pairs: Pairs, patches: PatchSet, settings: JudgeInfillerSettings, seed: int) -> list[Part]:
    """Deal the patients into two halves, and choose as many real lesions as pairs of each class in each."""
    names = sorted({*real.people.ravel().tolist(), *pairs.table["context_patient_id"]})
    dealt = stream(seed, "halves that train").permutation(len(names))
    first = {names[number] for number in dealt[: len(names) // 2]}
    return [_part(real, pairs.table, patches, half, settings, seed) for half in (first, set(names) - first)]


def _part(
    real: Lesions, pairs: pd.DataFrame, patches: PatchSet, half: set[str], settings: JudgeInfillerSettings, seed: int
) -> Part:
    own = np.isin(real.people[:, 0], list(half))
    within = pairs["context_patient_id"].isin(half) & pairs["mask_donor_patient_id"].isin(half)
    lesions, rows = [], []
    for malignant, name in enumerate(CLASSES):
        of_class = np.flatnonzero(own & (real.malignant == bool(malignant)))
        paired = np.flatnonzero(within & (pairs["requested_pathology"] == name))
        count = min(len(of_class), len(paired), settings.train_on_fills.lesions // 2)
        lesions.append(of_class[:count])  # which were drawn at random already
        rows.append(stream(seed, "pairs that train", name).permutation(paired)[:count])
    cases = read_cases(pairs.iloc[np.concatenate(rows)], patches, derive_seed(seed, "train on fills"))
    return Part(real[np.concatenate(lesions)], cases.contexts, cases.seeds, ~own)
