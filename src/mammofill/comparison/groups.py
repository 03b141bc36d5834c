"""Groups: the evaluations of a study sorted by arm, dose and share, and measured on the same resamples of patients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from mammofill.comparison.comparison import GROUP_COLUMNS, SCORE_COLUMNS
from mammofill.comparison.settings import CompareArmsSettings
from mammofill.evaluation.evaluation import Evaluation, check_same_test_set
from mammofill.evaluation.folds import check_pool
from mammofill.evaluation.intervals import Replicates, Resamples, limiting_patients, with_seeds
from mammofill.evaluation.metrics import Weights, measure
from mammofill.ground.errors import ArtifactError, LeakError, SettingsError, TooFewError
from mammofill.ground.progress import Task


@dataclass(frozen=True)
class Group:
    """An arm at a dose and a share of the real patients."""

    arm: str
    dose: float | None
    real_share: float

    @property
    def name(self) -> str:
        """In words, for example ``generated, dose 1, 50 % of the real patients``."""
        parts = [self.arm]
        parts += [f"dose {self.dose:g}"] if self.dose is not None else []
        parts += [f"{self.real_share * 100:g} % of the real patients"] if self.real_share < 1 else []
        return ", ".join(parts)

    @property
    def row(self) -> tuple[str, float, float]:
        """As in the columns `comparison.GROUP_COLUMNS`."""
        return self.arm, math.nan if self.dose is None else self.dose, self.real_share


@dataclass(frozen=True)
class Groups:
    """All groups of a study, on one test set.

    Attributes:
        truth: patch_id, patient_id, pathology, in the order in which patches stand everywhere here.
        members: group -> its evaluations, by replicate; groups in the order in which they were given.
        reference: name of the arm that the others are compared with.
    """

    truth: pd.DataFrame
    members: Mapping[Group, tuple[Evaluation, ...]]
    reference: str
    _logits: dict[Path, NDArray[np.float64]] = field(default_factory=dict, repr=False)

    @cached_property
    def malignant(self) -> NDArray[np.bool_]:
        """(n,) the truth."""
        return (self.truth["pathology"] == "malignant").to_numpy(dtype=bool)

    @cached_property
    def patients(self) -> NDArray[np.object_]:
        """(n,) whose patch each is."""
        return self.truth["patient_id"].to_numpy(dtype=object)

    @property
    def arms(self) -> list[str]:
        """Names of the arms, in the order in which they were given."""
        return list(dict.fromkeys(group.arm for group in self.members))

    def logits(self, group: Group) -> NDArray[np.float64]:
        """Return the scores of a group in log-odds, (replicates, n)."""
        return np.stack([self._logits_of(one) for one in self.members[group]])

    def margins(self, group: Group) -> NDArray[np.float64]:
        """Return how far above its own frozen threshold each replicate's score lies, mean over replicates, (n,)."""
        thresholds = np.array([one.threshold_logit for one in self.members[group]])
        margins: NDArray[np.float64] = (self.logits(group) - thresholds[:, None]).mean(axis=0)
        return margins

    def reference_of(self, group: Group) -> Group | None:
        """Return the group of the reference arm that a group is compared with: same share, and same dose if it has any.

        None where there is none, and for the groups of the reference arm themselves.
        """
        if group.arm == self.reference:
            return None
        return self.partner(group, self.reference)

    def partner(self, group: Group, arm: str) -> Group | None:
        """Return the group of another arm with the same share and dose, or the same share and no dose."""
        for dose in (group.dose, None):
            other = Group(arm, dose, group.real_share)
            if other in self.members:
                return other
        return None

    def measured(self, names: Sequence[str], resamples: Resamples, task: Task) -> dict[Group, dict[str, Replicates]]:
        """Measure every evaluation on the test set and on each resample of patients.

        Args:
            names: of measures.
            resamples: of the patients, the same ones for all.
            task: advances by one per evaluation.

        Returns:
            Group -> measure -> values and draws.
        """
        resting_on = {name: limiting_patients(name, self.malignant, self.patients) for name in names}
        found: dict[Group, dict[str, Replicates]] = {}
        for group, evaluations in self.members.items():
            values, draws = [], []
            for one in evaluations:

                def statistics(weights: Weights, one: Evaluation = one) -> dict[str, NDArray[np.float64]]:
                    return measure(names, self.malignant, self._logits_of(one), one.threshold_logit, weights)

                values.append(statistics(np.ones((1, len(self.truth)))))
                draws.append(resamples.draws(statistics))
                task.advance(note=group.name)
            found[group] = {
                name: Replicates(
                    np.concatenate([one[name] for one in values]),
                    np.stack([one[name] for one in draws]),
                    resting_on[name],
                )
                for name in names
            }
        for name in names:
            for of_group, told in zip(
                found.values(), with_seeds([of_group[name] for of_group in found.values()]), strict=True
            ):
                of_group[name] = told
        return found

    def scores(self) -> pd.DataFrame:
        """Return each evaluation's score of each patch, columns of `comparison.SCORE_COLUMNS`."""
        tables = []
        for group, evaluations in self.members.items():
            for one in evaluations:
                logits = self._logits_of(one)
                scored = self.truth.assign(replicate=one.replicate, logit=logits, score=expit(logits))
                scored["called"] = logits >= one.threshold_logit
                scored[list(GROUP_COLUMNS)] = group.row
                tables.append(scored)
        return pd.concat(tables, ignore_index=True)[list(SCORE_COLUMNS)].astype(SCORE_COLUMNS)

    def _logits_of(self, one: Evaluation) -> NDArray[np.float64]:
        if one.folder not in self._logits:
            by_patch = one.scores.set_index("patch_id")["logit"]
            self._logits[one.folder] = by_patch.loc[self.truth["patch_id"]].to_numpy(dtype=np.float64)
        return self._logits[one.folder]


def sort_into_groups(evaluations: Sequence[Evaluation], settings: CompareArmsSettings) -> Groups:
    """Check evaluations and sort them.

    Args:
        evaluations: of one test set, each arm, dose, share and replicate once.
        settings: names the reference and pairs of arms.

    Raises:
        TooFewError: fewer than two evaluations.
        ArtifactError: test sets differ, or one evaluation stands for the same replicate as another.
        LeakError: a test patient shaped what is evaluated.
        SettingsError: an arm is named that is not there.
    """
    if len(evaluations) < 2:
        raise TooFewError(f"compare-arms needs two evaluations or more, but was given {len(evaluations)}.")
    check_same_test_set(evaluations)
    places: dict[tuple[Group, int], Evaluation] = {}
    for one in evaluations:
        place = Group(one.arm, one.dose, one.real_share), one.replicate
        if place in places:
            raise ArtifactError(
                f"{places[place].folder} and {one.folder} both stand for {place[0].name}, replicate {place[1]}. Give "
                "each its own replicate, dose, real_share or arm in evaluate, or leave one out."
            )
        places[place] = one
        _check_no_leak(one)
    members: dict[Group, list[tuple[int, Evaluation]]] = {}
    for (group, replicate), one in places.items():
        members.setdefault(group, []).append((replicate, one))
    arms = list(dict.fromkeys(group.arm for group in members))
    named = [settings.reference] if settings.reference else []
    for arm in (*named, *(arm for pair in settings.pairs for arm in pair)):
        if arm not in arms:
            raise SettingsError(f"compare-arms: there is no arm {arm!r} among the evaluations; there are {arms}.")
    by_replicate = {
        group: tuple(one for _, one in sorted(found, key=lambda numbered: numbered[0]))
        for group, found in members.items()
    }
    truth = evaluations[0].scores[["patch_id", "patient_id", "pathology"]].reset_index(drop=True)
    return Groups(truth, by_replicate, settings.reference or arms[0])


def _check_no_leak(one: Evaluation) -> None:
    if one.folds:
        check_pool(one)
        return
    ways = one.manifest.learned_patients()
    leaking = sorted(set(one.scores["patient_id"]) & set(ways))
    if leaking:
        raise LeakError(
            f"{one.folder}: its classifier learned from {len(leaking)} of the patients that it is evaluated on, first "
            f"{leaking[0]}, through {', '.join(ways[leaking[0]])}. Such scores are compared with nothing."
        )
