"""Before anything runs: would a patient be tested whom a model has learned from?

The stages refuse that, but only after hours. Much of it is known before, from the tables of the collections and from
what infillers that were trained elsewhere say of themselves. Image files are compared by the stages alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mammofill.experiment.grid import External, Plan
from mammofill.experiment.infillers import ONLY_INFILLER
from mammofill.experiment.places import EXTERNAL, EXTERNAL_EVALUATIONS, MAMMOGRAMS, TEST
from mammofill.experiment.steps import Step
from mammofill.experiment.study import Study
from mammofill.ground.artifact import CHOSEN, Artifact, open_any, taught_by, upstream
from mammofill.ground.counting import counted
from mammofill.ground.errors import LeakError, MammofillError
from mammofill.mammograms.sources.annotations import Collection
from mammofill.mammograms.sources.patients import in_both, with_one_hash
from mammofill.mammograms.split import PatientSplit

_OWN_TABLES = "table"
"""The one name of a collection that stands for many."""
_MOST_NAMED = 10
_OTHERS = "If these are different patients with the same identifiers, rename those of one source before ingest."


@dataclass(frozen=True)
class Sides:
    """A collection that was read, and on which side each of its patients is."""

    step: Step
    """Which ingests it."""
    collection: Collection
    split: PatientSplit
    abnormality: str
    """Which lesions patches are cut around: mass, calcification or all."""

    @property
    def source(self) -> Path:
        """Where the collection is."""
        return self.step.inputs["source"][0]

    @property
    def is_external(self) -> bool:
        """Whether all of its patients test."""
        return self.step.out == EXTERNAL / MAMMOGRAMS

    @property
    def is_test(self) -> bool:
        """Whether it is there for its test patients alone."""
        return self.step.out == TEST / MAMMOGRAMS

    @property
    def is_own(self) -> bool:
        """Whether it is learned from."""
        return not (self.is_external or self.is_test)

    def with_lesions(self, *splits: str, of: str = "") -> set[str]:
        """Return the patients of some splits who have a lesion, of this pathology, that patches are cut around."""
        return {
            entry.patient_id
            for entry in self.collection.mammograms
            if self.split.split_of[entry.patient_id] in splits
            and any(
                self.abnormality in ("all", lesion.abnormality) and of in ("", lesion.pathology)
                for lesion in entry.lesions
            )
        }

    @property
    def tested(self) -> set[str]:
        """Return the patients on whom classifiers are tested."""
        return self.with_lesions(*(("train", "validation", "test") if self.is_external else ("test",)))


def leaks_of(study: Study, sides: Sequence[Sides], chooses: bool) -> Iterator[MammofillError]:
    """Yield a fault for each way in which a model would be tested on patients it learned from.

    Args:
        study: that is about to run.
        sides: the collections that were read, those of all folds.
        chooses: whether some classifier chooses its threshold or weights on validation patients.
    """
    yield from _of_sources(study, sides, ("train", "validation") if chooses else ("train",))
    yield from _of_infillers(study, sides)


def _of_sources(study: Study, sides: Sequence[Sides], learned: tuple[str, ...]) -> Iterator[MammofillError]:
    """Yield a fault where test patients of another source are learned from in the study's own."""
    plan, same = study.plan, ""
    if plan.external and any(step.out.parent == EXTERNAL_EVALUATIONS for step in study.steps):
        same = _what_is_shared(plan, plan.external)
    if plan.external and same:
        yield LeakError(
            f"{study.path} [external]: the test set {plan.external.name!r} ({plan.external.source}) is not external: "
            f"{same}. Take mammograms of another source, or leave [external] out."
        )
    for own in (one for one in sides if one.is_own):
        for other in (one for one in sides if one.is_test or (one.is_external and not same)):
            alike = own.step.settings.collection == other.step.settings.collection
            known = _in_both(own.with_lesions(*learned), other.tested, alike)
            if known:
                yield LeakError(
                    f"{other.source}: {len(known)} of its patients would be tested and, in {own.source}, learned from: "
                    f"{_listed(known)}. Scores on them would say nothing. Take them out of one of the two. {_OTHERS}"
                )


def _what_is_shared(plan: Plan, external: External) -> str:
    """Say why an external source is none, as `check_external` does; empty where nothing is known against it."""
    if external.source == plan.source:
        return f"both are read from {plan.source}"
    collection = external.settings.collection
    return f"both are {collection}" if collection == plan.settings["ingest"].collection != _OWN_TABLES else ""


def _of_infillers(study: Study, sides: Sequence[Sides]) -> Iterator[MammofillError]:
    """Yield a fault for each infiller from elsewhere that learned from test, validation or training-set patients."""
    plan = study.plan
    used = {place for step in study.steps for places in step.inputs.values() for place in places}
    for name, place in {**plan.starts, **plan.ready}.items():
        if place not in used:
            continue
        table = "train-infiller" if name == ONLY_INFILLER else f"infillers.{name}"
        where = f"{study.path} [{table}]: the infiller in {place}"
        try:
            infiller = open_any(place)
        except MammofillError as fault:
            yield fault
            continue
        tested = list(_known_to(infiller, where, sides, "test"))
        yield from tested
        # One that is only judged paints for no classifier, whose validation patients it could have learned from.
        if name in _painting(plan):
            yield from [] if tested else _known_to(infiller, where, sides, "validation")
            yield from _in_training_sets(infiller, where, sides, plan)


def _painting(plan: Plan) -> set[str]:
    """Return the infillers behind the arms, and those with whose weights these paint."""
    named = {name for arm in plan.arms for name in (arm.infiller, arm.discriminator) if name}
    return named | {plan.paints_with[name] for name in named if name in plan.paints_with}


def _known_to(infiller: Artifact, where: str, sides: Sequence[Sides], split: str) -> Iterator[MammofillError]:
    """Yield a fault for each source of which an infiller learned from patients of a split; all folds of one are one."""
    known: dict[Path, dict[str, str]] = {}
    ways = infiller.manifest.learned_patients()
    for one in sides:
        judged = one.tested if split == "test" else one.with_lesions(split) if one.is_own else set()
        # Choices may have been made on validation patients before, as they are here; nothing has learned from them.
        learned = [name for name, every in ways.items() if split == "test" or not all(CHOSEN in way for way in every)]
        known.setdefault(one.source, {}).update(_in_both(learned, judged, _has_read(infiller, one)))
    for source, patients in known.items():
        if patients:
            through = ", ".join(ways[next(iter(patients.values()))])
            yield LeakError(
                f"{where} learned from {counted(len(patients), 'patients')} of the {split} split of {source}: "
                f"{_listed(patients)} (through {through}). Scores on them would say nothing. Take an infiller that "
                f"learned from none of them. {_OTHERS}"
            )


def _in_training_sets(infiller: Artifact, where: str, sides: Sequence[Sides], plan: Plan) -> Iterator[MammofillError]:
    """Yield a fault where an infiller learned from more of the train patients than are in no training set.

    Who will be in one is drawn among the patients whose patches are kept, so that no patient can be named yet.
    """
    share = max((one for arm in plan.arms for one in plan.grid.shares_of(arm) if one < 1), default=0.0)
    taught = taught_by(infiller.manifest.patients_learned_from)
    for own in (one for one in sides if one.is_own and plan.grid.training_sets and share):
        train = own.with_lesions("train")
        known = _in_both(taught, train, _has_read(infiller, own))
        # Benign and malignant patients are dealt out apart, each to the nearest whole number.
        others = len(train) * (1 - plan.grid.training_sets * share) + 1
        if len(known) > others:
            yield LeakError(
                f"{where} learned from {len(known)} of the {len(train)} train patients of {own.source}: "
                f"{_listed(known)}. With training_sets = {plan.grid.training_sets} in [grid], infillers must have "
                f"learned from no patient of a training set, and about {int(others)} patients are in none. Take an "
                "infiller of other patients, or let the study train it."
            )


def _has_read(infiller: Artifact, one: Sides) -> bool:
    """Say whether an infiller learned from mammograms of the same collection, whose identifiers mean the same."""
    sets = upstream(infiller).get("mammograms", [])
    return any(each.manifest.settings.get("collection") == one.step.settings.collection for each in sets)


def _in_both(own: Iterable[str], other: Iterable[str], alike: bool) -> dict[str, str]:
    """Return who is in both: the name in the other -> the own one.

    Names are the same, or mean one person, mostly if the sources are alike; see `one_person_in_both`.
    """
    ours, theirs = set(own), sorted(set(other))
    found = {name: name for name in theirs if name in ours}
    for one, name, _ in (in_both if alike else with_one_hash)(sorted(ours), theirs):
        found.setdefault(name, one)
    return dict(sorted(found.items()))


def _listed(known: Mapping[str, str]) -> str:
    """Name the first few who are in both."""
    named = [other if other == own else f"{other} (there {own})" for other, own in known.items()]
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return ", ".join(named[:_MOST_NAMED]) + more
