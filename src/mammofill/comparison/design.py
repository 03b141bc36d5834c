"""The design of a comparison: which groups there are, which are compared, and what is tested.

It is found from the arms alone, how each was trained and what it learned from, so that it is the same before anything
has run (for the plan that is written down) and when all scores are there.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mammofill.comparison.settings import CompareArmsSettings
from mammofill.evaluation.evaluation import Evaluation
from mammofill.evaluation.training import UNKNOWN

_AS_MANY_PATIENTS = 1.5
"""Parts of one share differ by a patient or two, and by no more; an arm with further patients has twice as many."""


@dataclass(frozen=True)
class Group:
    """An arm at a dose and a share of the real patients."""

    arm: str
    dose: float | None
    real_share: float

    @property
    def name(self) -> str:
        """In words, for example ``generated, dose 1, 50 % of the real patients``."""
        return ", ".join(filter(None, [self.arm, self.dose_and_share]))

    @property
    def dose_and_share(self) -> str:
        """Its name without the arm; empty for a group without a dose that learned from all patients."""
        parts = [f"dose {self.dose:g}"] if self.dose is not None else []
        parts += [f"{self.real_share * 100:g} % of the real patients"] if self.real_share < 1 else []
        return ", ".join(parts)

    @property
    def row(self) -> tuple[str, float, float]:
        """As in the columns `comparison.GROUP_COLUMNS`."""
        return self.arm, math.nan if self.dose is None else self.dose, self.real_share


@dataclass(frozen=True)
class Trained:
    """How often the classifiers of a group were trained from the beginning.

    Attributes:
        infillers: whose fills they learned from; 0 where they learned from none.
        classifiers: how many there are.
        training_sets: number of training sets with no patient in common; 1 where sets overlap.
    """

    infillers: int
    classifiers: int
    training_sets: int = 1

    @classmethod
    def of(cls, evaluations: Sequence[Evaluation]) -> Trained:
        """Count the infillers, classifiers and training sets behind the evaluations of one group."""
        infillers = len(set(infillers_of(evaluations)) - {""})
        return cls(infillers, len(evaluations), len(set(training_sets(evaluations))) or 1)

    @property
    def replicates(self) -> int:
        """How many chains of training there are, from the infiller on: classifiers of one infiller share theirs."""
        return self.infillers or self.classifiers

    @property
    def in_interval(self) -> str:
        """Seeds whose variation the interval includes besides that of patients, in words; empty for none."""
        parts = ["training sets"] * (self.training_sets > 1) + ["infiller"] * (self.infillers > 1)
        parts += ["classifier"] * (self.classifiers > 1)
        return f"{_listed(parts)} seeds" if parts else ""

    @property
    def not_in_interval(self) -> str:
        """What varies and is not covered by the interval, in words; empty where all is covered."""
        if self.replicates > 1:
            return ""
        return "infillers" if self.infillers and self.classifiers > 1 else "trainings"


def infillers_of(evaluations: Sequence[Evaluation]) -> list[str]:
    """Return a name of the infiller behind each classifier of a group; empty for none.

    Where that of one is unknown, it may be any of the others': all that have one count as one infiller.
    """
    names = [one.infiller for one in evaluations]
    unknown = any(UNKNOWN in name.split() for name in names)  # of pooled folds, that of one of them
    return [name and UNKNOWN for name in names] if unknown else names


def training_sets(evaluations: Sequence[Evaluation]) -> list[str]:
    """Return a name of the training set of each classifier, where there are several that have no patient in common.

    Sets are named by their numbers where a study recorded these; else by the patients from whose real patches each
    classifier learned. Sets that partly overlap, such as those of pooled folds, are not independent draws and have no
    names.
    """
    numbers = [one.training_set for one in evaluations]
    if None not in numbers:
        return [f"number {one}" for one in numbers] if len(set(numbers)) > 1 else []
    learned = [one.training_patients for one in evaluations]
    sets = set(learned)
    apart = all(sets) and sum(map(len, sets)) == len(frozenset().union(*sets))
    return [_digest(one) for one in learned] if len(sets) > 1 and apart else []


def _digest(patients: frozenset[str]) -> str:
    return hashlib.sha256(json.dumps(sorted(patients)).encode()).hexdigest()


@dataclass(frozen=True)
class Recipe:
    """How the classifiers of an arm are trained.

    Attributes:
        added: what they learn from beside real patches, each once (see `evaluation.training.ADDED`); empty for nothing.
        otherwise: all else, as one text: the same for arms that differ in nothing but added patches; empty where
            unknown.
        starts_from: the infillers whose discriminators they start from, by a name of each; empty for none. Each seed
            of an infiller has another fingerprint: arms start alike where they have one in common.
    """

    added: str
    otherwise: str
    starts_from: frozenset[str] = frozenset()

    def differs_in_added_alone(self, other: Recipe) -> bool:
        """Whether another arm is trained in the same way, but for added patches."""
        start = bool(self.starts_from & other.starts_from) or self.starts_from == other.starts_from
        return self.otherwise == other.otherwise and start


@dataclass(frozen=True)
class Contrast:
    """Two groups that are compared."""

    group: Group
    against: Group
    tested: bool
    """Whether it belongs to the family that is tested; what does not is described, with an interval."""

    @property
    def name(self) -> str:
        """In words, the same before and after anything has run."""
        return f"{self.group.name} against {self.against.name}"


@dataclass(frozen=True)
class Design:
    """Groups and recipes of a study, and the settings of its comparison.

    Attributes:
        groups: in the order in which they were given.
        recipes: of each arm.
        settings: which name a reference, counterparts, pairs, and what is tested.
        patients: from how many each group learned, or from which part of all; without groups for which this is unknown.
    """

    groups: tuple[Group, ...]
    recipes: Mapping[str, Recipe]
    settings: CompareArmsSettings
    patients: Mapping[Group, float] = field(default_factory=dict)

    @cached_property
    def arms(self) -> list[str]:
        """Names of the arms, in the order in which they were given."""
        return list(dict.fromkeys(group.arm for group in self.groups))

    @cached_property
    def reference(self) -> str:
        """The arm that tables and figures show the others beside: the one named, or that most are compared with."""
        if self.settings.reference:
            return self.settings.reference
        others = [other for group in self.groups if (other := self._arm_without(group))]
        return max(dict.fromkeys(others), key=others.count) if others else self.arms[0]

    def counterpart_of(self, group: Group) -> Group | None:
        """Return the group that differs from this one in nothing but added patches; None where there is none.

        The arm that settings name, or else the one that is trained by the same recipe on real patches, each once; of
        several such arms at this share the reference if it is named, or else the first. Where the recipes are unknown
        it is the reference. Same share of patients, and same dose if the other arm has any. An arm that also learned
        from further patients is not taken, unless settings name it.
        """
        arm = self._compared_with(group)
        return self.partner(group, arm) if arm else None

    def reference_of(self, group: Group) -> Group | None:
        """Return the group of the reference arm that a group is shown beside; None for the reference arm's own."""
        return None if group.arm == self.reference else self.partner(group, self.reference)

    def partner(self, group: Group, arm: str) -> Group | None:
        """Return the group of another arm with the same share and dose, or the same share and no dose."""
        for dose in (group.dose, None):
            other = Group(arm, dose, group.real_share)
            if other in self.groups:
                return other
        return None

    def adds(self, arm: str) -> bool:
        """Whether an arm learns from more than real patches, each once."""
        return bool(self.recipes[arm].added) or any(one.dose is not None for one in self.groups if one.arm == arm)

    def contrasts(self) -> list[Contrast]:
        """List the comparisons.

        Tested are each arm with added patches against its counterpart, and the named pairs, at the planned shares of
        the real patients (the largest, where none is planned), doses and arms. An arm without added patches is shown
        beside the reference and is not tested, unless there is nothing else, or settings name the reference.
        """
        found: dict[tuple[Group, Group], Contrast] = {}
        for group in self.groups:
            if other := self.counterpart_of(group):
                found[group, other] = self._contrast(group, other)
        for arm, against in self.settings.pairs:
            for group, other in self._pairs(arm, against):
                if (other, group) not in found:
                    found[group, other] = self._contrast(group, other)
        tested = not found or bool(self.settings.reference)
        paired = {group for pair in found for group in pair}
        for group in self.groups:
            beside = self.reference_of(group)
            alone = self.counterpart_of(group) is None and (group not in paired or not self.adds(group.arm))
            if beside and alone and (group, beside) not in found and (beside, group) not in found:
                found[group, beside] = self._contrast(group, beside, tested and not self.adds(group.arm))
        return list(found.values())

    def not_compared(self) -> Iterator[str]:
        """Say what has no counterpart, so that nothing is left out in silence."""
        contrasts = self.contrasts()
        compared = {group for one in contrasts for group in (one.group, one.against)}
        for group in self.groups:
            other = self._compared_with(group)
            if self.adds(group.arm) and not other and not any(one.group == group and one.tested for one in contrasts):
                yield (
                    f"{group.name}: no arm differs from it in nothing but the added patches. Name one in counterparts "
                    "of compare-arms, or add an arm with the same settings and real patches alone."
                )
            elif group not in compared and group.arm != self.reference:
                yield (
                    f"{group.name} is compared with nothing: {other or self.reference} was not evaluated at that share "
                    "of the real patients."
                )
        for arm, other in self.settings.pairs:
            if not any({one.group.arm, one.against.arm} == {arm, other} for one in contrasts):
                yield f"{arm} and {other} are a planned pair, but have no dose and share in common."

    def _compared_with(self, group: Group) -> str:
        """Return the arm that a group with added patches is compared with; empty for none."""
        named = dict(self.settings.counterparts).get(group.arm)
        if named or not self.adds(group.arm):
            return named or ""
        if self._knows(group.arm):
            return self._arm_without(group)
        return self.reference if self.reference != group.arm else ""

    def _arm_without(self, group: Group) -> str:
        """Return the arm of the same recipe without added patches; empty where there is none or this is unknown."""
        if not (self.adds(group.arm) and self._knows(group.arm)):
            return ""
        recipe, plain = self.recipes[group.arm], [one for one in self.arms if not self.adds(one)]
        alike = [one for one in plain if recipe.differs_in_added_alone(self.recipes[one])]
        alike = [one for one in alike if not self._has_further_patients(one, group)]
        # An arm may be trained at some shares only: one that stands beside this very group comes first.
        alike.sort(key=lambda one: (self.partner(group, one) is None, one != self.settings.reference))
        return next(iter(alike), "")

    def _has_further_patients(self, arm: str, group: Group) -> bool:
        """Whether an arm learned from more patients than a group, at the share of that group."""
        other = self.partner(group, arm)
        own, others = self.patients.get(group), self.patients.get(other) if other else None
        return bool(own and others and others > _AS_MANY_PATIENTS * own)

    def _knows(self, arm: str) -> bool:
        return bool(self.recipes[arm].otherwise)

    def _contrast(self, group: Group, against: Group, tested: bool = True) -> Contrast:
        planned = self.settings
        shares = planned.planned_shares or (max(one.real_share for one in self.groups),)
        doses = {one.dose for one in (group, against)} - {None}
        fits = group.real_share in shares
        fits = fits and (not planned.planned_doses or doses <= set(planned.planned_doses))
        fits = fits and (not planned.planned_arms or group.arm in planned.planned_arms)
        return Contrast(group, against, tested and fits)

    def _pairs(self, arm: str, other: str) -> Iterator[tuple[Group, Group]]:
        """Yield groups of two arms that differ in the arm alone; an arm without doses stands for each dose."""
        for one in self.groups:
            for two in self.groups:
                fits = one.real_share == two.real_share and (one.dose == two.dose or None in (one.dose, two.dose))
                if (one.arm, two.arm) == (arm, other) and fits:
                    yield one, two


def patients_and(seeds: str) -> str:
    """Say what an interval is over: the patients, and what `Trained.in_interval` says."""
    return f"patients{',' if ' and ' in seeds else ' and'} {seeds}" if seeds else "patients"


def _listed(words: Sequence[str]) -> str:
    """Join words with commas, the last one with "and"."""
    return " and ".join([", ".join(words[:-1])] * (len(words) > 1) + list(words[-1:]))
