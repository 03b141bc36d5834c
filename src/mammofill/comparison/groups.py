"""Groups: the evaluations of a study sorted by arm, dose and share, and measured on the same resamples of patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from mammofill.comparison.comparison import GROUP_COLUMNS, SCORE_COLUMNS
from mammofill.comparison.design import Contrast, Design, Group, Recipe, Trained, infillers_of, training_sets
from mammofill.comparison.plan import Question, Trainings
from mammofill.comparison.settings import CompareArmsSettings
from mammofill.evaluation.evaluation import Evaluation, check_same_test_set
from mammofill.evaluation.folds import check_pool
from mammofill.evaluation.intervals import Replicates, Resamples, Spread, by_chain
from mammofill.evaluation.units import PATCH, Units, unit_of
from mammofill.ground.artifact import taught_by
from mammofill.ground.errors import ArtifactError, LeakError, SettingsError, TooFewError
from mammofill.ground.progress import Task

_START = ", infiller "
"""In the label of a classifier, before the fingerprint of the infiller whose discriminator it started from."""


@dataclass(frozen=True)
class Groups:
    """All groups of a study, on one test set.

    Attributes:
        truth: patch_id, patient_id, pathology, lesion_ids, in the order in which patches stand everywhere here.
        members: group -> its evaluations, by replicate; groups in the order in which they were given.
        design: which of them are compared.
    """

    truth: pd.DataFrame
    members: Mapping[Group, tuple[Evaluation, ...]]
    design: Design
    _logits: dict[Path, NDArray[np.float64]] = field(default_factory=dict, repr=False)

    @cached_property
    def malignant(self) -> NDArray[np.bool_]:
        """(n,) the truth."""
        return (self.truth["pathology"] == "malignant").to_numpy(dtype=bool)

    @cached_property
    def patients(self) -> NDArray[np.object_]:
        """(n,) whose patch each is."""
        return self.truth["patient_id"].to_numpy(dtype=object)

    @cached_property
    def units(self) -> Units:
        """The test set by patch, by lesion and by patient."""
        return Units(self.truth)

    @property
    def arms(self) -> list[str]:
        """Names of the arms, in the order in which they were given."""
        return list(dict.fromkeys(group.arm for group in self.members))

    def images_seen(self, group: Group) -> float | None:
        """Return how many images a classifier of a group saw in training, on average; None where one does not say."""
        counts = [one.images_seen for one in self.members[group]]
        known = [count for count in counts if count is not None]
        return float(np.mean(known)) if len(known) == len(counts) else None

    def fills(self, group: Group) -> tuple[float, float] | None:
        """Return how many fills and real patches were learned from, on average; None where one does not say."""
        counts = [(one.synthetic_patches, one.real_patches) for one in self.members[group]]
        known = [(fills, real) for fills, real in counts if fills is not None and real is not None]
        if len(known) < len(counts):
            return None
        fills, real = np.mean(known, axis=0)
        return float(fills), float(real)

    def recipes_of(self, arm: str) -> set[str]:
        """Return the ways in which classifiers of an arm were trained, as texts; unknown for old evaluations."""
        return {
            recipe
            for group, evaluations in self.members.items()
            if group.arm == arm
            for one in evaluations
            if (recipe := _recipe_of(one))
        }

    def drawn_once(self, group: Group) -> bool:
        """Whether all of several classifiers learned from the same part of the patients."""
        several = self.members[group]
        if group.real_share == 1 or len(several) < 2:
            return False
        learned = [taught_by(one.folds[0].learned_from if one.folds else one.manifest.patients_learned_from)
                   for one in several]  # fmt: skip
        return bool(learned[0]) and all(one == learned[0] for one in learned)

    @cached_property
    def made(self) -> dict[Group, Trainings]:
        """How the classifiers of each group were trained, as it is compared with a plan."""
        return {
            group: Trainings(len(several), frozenset(one.recipe for one in several) - {""})
            for group, several in self.members.items()
        }

    @property
    def pooled(self) -> bool:
        """Whether the evaluations are of pooled folds."""
        return any(one.folds for evaluations in self.members.values() for one in evaluations)

    @property
    def question(self) -> Question:
        """The question that each comparison answers."""
        settings, first = self.design.settings, next(iter(self.members.values()))[0]
        return Question(settings.measures[0], settings.margin, settings.confidence, first.external)

    def logits(self, group: Group) -> NDArray[np.float64]:
        """Return the scores of a group in log-odds, (replicates, n)."""
        return np.stack([self._logits_of(one) for one in self.members[group]])

    def margins(self, group: Group) -> NDArray[np.float64]:
        """Return how far above its own frozen threshold each replicate's score lies, mean over replicates, (n,)."""
        thresholds = np.array([one.threshold_logit for one in self.members[group]])
        margins: NDArray[np.float64] = (self.logits(group) - thresholds[:, None]).mean(axis=0)
        return margins

    def trained(self, group: Group) -> Trained:
        """Count how often the classifiers of a group were trained."""
        return Trained.of(self.members[group])

    @property
    def reference(self) -> str:
        """Name of the arm that tables and figures show the others beside."""
        return self.design.reference

    def beside(self, group: Group) -> Group | None:
        """Return the group that the gain of this one is measured against: its counterpart, or the reference arm's."""
        return self.design.counterpart_of(group) or self.design.reference_of(group)

    def measured(self, names: Sequence[str], resamples: Resamples, task: Task) -> dict[Group, dict[str, Replicates]]:
        """Measure every evaluation on the test set and on each resample of patients.

        Args:
            names: of measures.
            resamples: of the patients, the same ones for all.
            task: advances by one per evaluation.

        Returns:
            Group -> measure -> values and draws.
        """
        found: dict[Group, dict[str, Replicates]] = {}
        for group, evaluations in self.members.items():
            measured = []
            for one in evaluations:
                measured.append(
                    self.units.measured(
                        names, self._logits_of(one), one.threshold_logit, resamples, one.folds_of(self.patients)
                    )
                )
                task.advance(note=group.name)
            infillers, sets = infillers_of(evaluations), training_sets(evaluations)
            found[group] = {
                name: by_chain(
                    [one[name][0] for one in measured],
                    [one[name][1] for one in measured],
                    infillers,
                    self.units.limiting_patients(name),
                    sets,
                )
                for name in names
            }
        return found

    def difference(self, measured: Mapping[Group, Mapping[str, Replicates]], one: Contrast, name: str) -> Spread:
        """Return how much greater a measure is in one group than in another.

        Between identical classifiers it is 0 for any patients, so there is no error and nothing to test.

        Args:
            measured: see `measured`.
            one: the two groups.
            name: of the measure.
        """
        spread = measured[one.group][name].minus(measured[one.against][name], self.shared_classifiers(one))
        return spread.without_error if self.same_classifiers(one) else spread

    def same_classifiers(self, one: Contrast) -> bool:
        """Whether two groups were scored by identical weights, as where the trial allowed no fills.

        Their scores are then identical, replicate by replicate.
        """
        group, against = self.members[one.group], self.members[one.against]
        pairs = zip(group, against, strict=False)
        return len(group) == len(against) and all(first.scores_like(second) for first, second in pairs)

    def shared_classifiers(self, one: Contrast) -> float:
        """Return which share of the classifiers are the very same ones in both groups, seed by seed.

        This is so where validation allowed fills to only some classifiers of an arm, or, with pooled folds, only in
        some folds.
        """
        group, against = self.members[one.group], self.members[one.against]
        if [first.replicate for first in group] != [second.replicate for second in against]:
            return 0.0
        return float(np.mean([first.shared_with(second) for first, second in zip(group, against, strict=True)]))

    def check_units(self, names: Sequence[str]) -> None:
        """Refuse to measure by lesion or by patient where it is not recorded which patches show one lesion.

        Raises:
            ArtifactError: a measure is by lesion or by patient, and this is not recorded.
        """
        others = [name for name in names if unit_of(name)[1] != PATCH]
        if others and not self.units.lesions_are_named:
            folder = next(iter(self.members.values()))[0].folder
            raise ArtifactError(
                f"{folder} does not say which lesions its patches hold, so nothing can be measured as {others[0]}. "
                "Evaluate the classifiers again, on patches that name their lesions (lesion_ids), or give measures by "
                "patch alone, as in --measures '[\"auc\"]'."
            )

    def scores(self) -> pd.DataFrame:
        """Return each evaluation's score of each patch, columns of `comparison.SCORE_COLUMNS`."""
        tables = []
        for group, evaluations in self.members.items():
            for one in evaluations:
                logits = self._logits_of(one)
                scored = self.truth.assign(
                    replicate=one.replicate, infiller=one.infiller, logit=logits, score=expit(logits)
                )
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
                "each its own arm (or replicate, dose, real_share) in evaluate, or leave one out."
            )
        places[place] = one
        _check_no_leak(one)
    members: dict[Group, list[tuple[int, Evaluation]]] = {}
    for (group, replicate), one in places.items():
        members.setdefault(group, []).append((replicate, one))
    arms = list(dict.fromkeys(group.arm for group in members))
    named = [settings.reference] if settings.reference else []
    for arm in (*named, *(arm for pair in (*settings.pairs, *settings.counterparts) for arm in pair)):
        if arm not in arms:
            raise SettingsError(f"compare-arms: there is no arm {arm!r} among the evaluations; there are {arms}.")
    by_replicate = {
        group: tuple(one for _, one in sorted(found, key=lambda numbered: numbered[0]))
        for group, found in members.items()
    }
    truth = evaluations[0].scores[["patch_id", "patient_id", "pathology", "lesion_ids"]].reset_index(drop=True)
    recipes: dict[str, Recipe] = {}
    for one in evaluations:
        known = recipes.setdefault(one.arm, Recipe(one.added, _recipe_of(one)))
        recipes[one.arm] = replace(known, starts_from=known.starts_from | _starts_from(one))
    patients = {group: _patients_of(several) for group, several in by_replicate.items()}
    return Groups(truth, by_replicate, Design(tuple(by_replicate), recipes, settings, patients))


def _patients_of(evaluations: Sequence[Evaluation]) -> float:
    """Return from the real patches of how many patients a classifier learned, on average; 0 where unknown."""
    return float(np.mean([one.training_patients_each for one in evaluations]))


def _recipe_of(one: Evaluation) -> str:
    """Return how a classifier was trained, as one text; empty where unknown.

    Settings do not say which file of weights it started from; its label does. Infillers differ between replicates.
    """
    return f"{one.recipe} {one.label.partition(_START)[0]}" if one.recipe else ""


def _starts_from(one: Evaluation) -> set[str]:
    """Return the infiller whose discriminator a classifier started from, by its fingerprint; nothing where none was."""
    return set(one.label.partition(_START)[2].split(",")[:1]) - {""}


def _check_no_leak(one: Evaluation) -> None:
    if one.folds:
        check_pool(one)
        return
    ways = one.manifest.learned_patients()
    leaking = sorted(set(one.scores["patient_id"]) & set(ways))
    if leaking:
        raise LeakError(
            f"{one.folder}: its classifier learned from {len(leaking)} of the patients that it is evaluated on, first "
            f"{leaking[0]}, through {', '.join(ways[leaking[0]])}. Such scores are not compared."
        )
