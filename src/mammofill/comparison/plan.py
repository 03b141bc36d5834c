"""The plan of a comparison: written down, with its hash, before a test score exists; and what was added afterwards.

A study writes ``plans/1.json`` before it trains anything::

    {"number": 1, "sha256": "...", "test_scores_before": 0, "plan": {...}}

``plan`` holds the arms, how often, by which recipe and with which settings they are trained, the primary measure, the
comparisons that will be tested, the margin, and how the test set comes about; the hash is of it. A study that is run
again with another plan writes the next file, which says how many test scores were there by then. The last plan that was
written before any is in force: what it holds is tested, all of it together, whatever is requested later; what it does
not hold was added after results were seen.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mammofill.comparison.design import Contrast, Design, Group
from mammofill.ground.artifact import write_atomically
from mammofill.ground.counting import counted
from mammofill.ground.errors import DamagedError
from mammofill.ground.file_names import why_no_file

_FOLLOWS = ("recipes",)
"""What follows from all else in a plan; another version of mammofill may write it otherwise."""
_NUMBER = re.compile(r"[0-9]{1,9}")

STATUSES = PLANNED, DESCRIBED, ADDED, NOT_WRITTEN = (
    "planned",
    "described, not tested",
    "added after results were seen",
    "no plan was written down",
)


@dataclass(frozen=True)
class Question:
    """The question that each comparison answers; with another measure, margin or source it is another question.

    Attributes:
        primary: the measure that is tested.
        margin: that it is tested against; None for none.
        confidence: one minus the error that the family may make.
        external: name of the other source that tests; empty for the test split.
    """

    primary: str
    margin: float | None
    confidence: float
    external: str = ""


@dataclass(frozen=True)
class Trainings:
    """How the classifiers of a group were trained.

    Attributes:
        classifiers: how many there are.
        recipes: by which they were trained, as their evaluations say; none where these do not.
    """

    classifiers: int
    recipes: frozenset[str]


@dataclass(frozen=True)
class WrittenPlan:
    """One file of a plan.

    Attributes:
        number: from 1.
        sha256: of `content`.
        test_scores_before: evaluations that were there when it was written.
        content: what is planned, see `content_of_plan`.
    """

    number: int
    sha256: str
    test_scores_before: int
    content: Mapping[str, Any]

    @property
    def in_time(self) -> bool:
        """Whether it was written before any test score existed."""
        return self.test_scores_before == 0

    def asks(self, question: Question) -> bool:
        """Whether its comparisons answer this question."""
        own = self.content
        same = (own["primary_measure"], own["margin"]) == (question.primary, question.margin)
        same = same and own.get("confidence", question.confidence) == question.confidence
        return bool(same and question.external in ("", own["test_set"].get("external")))

    def trains_alike(self, other: WrittenPlan, contrast: Contrast) -> bool:
        """Whether another plan has the arms of a comparison trained as often as this one, and in the same way."""
        recorded = [name for name in ("arms", "trained", "made_with") if name in self.content and name in other.content]
        arms = (contrast.group.arm, contrast.against.arm)
        return all(self.content[name].get(arm) == other.content[name].get(arm) for name in recorded for arm in arms)

    def says(self, content: Mapping[str, Any]) -> bool:
        """Whether it says what another plan says; what plans of its version did not hold yet is not compared."""
        return all(value == content.get(name) for name, value in self.compared.items())

    @property
    def compared(self) -> dict[str, Any]:
        """What of its content is compared with that of another plan."""
        return {name: value for name, value in self.content.items() if name not in _FOLLOWS}

    def departs(self, group: Group, made: Trainings) -> str:
        """Say how a group was trained more often, or otherwise, than it plans; empty where it was not."""
        planned, recipe = self.classifiers_of(group), self.content.get("recipes", {}).get(group.arm)
        if planned and made.classifiers > planned:
            return f"{counted(made.classifiers, 'classifiers')} of {group.name}, where {planned} were planned"
        if recipe and not made.recipes <= {recipe}:
            return f"{group.name} was trained with other settings than planned"
        return ""

    def classifiers_of(self, group: Group) -> int | None:
        """Return how many classifiers it plans for a group; None where it does not say."""
        count: int | None = self.content.get("classifiers", {}).get(group.name)
        return count


def content_of_plan(
    design: Design,
    replicates: Mapping[str, str],
    test_set: Mapping[str, Any],
    classifiers: Mapping[Group, int],
    trained: Mapping[str, Any],
    recipes: Mapping[str, str],
    made_with: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what a plan says.

    Args:
        design: groups, recipes and settings.
        replicates: arm -> how often it is trained, in words.
        test_set: what decides which patches are tested: settings and seeds of ingest and of what cuts patches.
        classifiers: how many each group has.
        trained: arm -> settings of all that is trained or painted for it.
        recipes: arm -> what its evaluations will say of how it was trained, see `evaluation.training.recipe_of`.
        made_with: arm -> what else decides what it learns from, and is no setting of these stages: fingerprints of
            infillers that were trained elsewhere, windows that infillers learn from, readers of fills.
    """
    settings = design.settings
    return {
        "primary_measure": settings.measures[0],
        "comparisons": [one.name for one in design.contrasts() if one.tested],
        "margin": settings.margin,
        "confidence": settings.confidence,
        "arms": dict(replicates),
        "groups": [group.name for group in design.groups],
        "classifiers": {group.name: count for group, count in classifiers.items()},
        "trained": dict(trained),
        "recipes": dict(recipes),
        "made_with": dict(made_with),
        "test_set": dict(test_set),
    }


def write_plan(folder: Path, content: Mapping[str, Any], test_scores: int) -> list[Path]:
    """Write a plan as the next file of a folder, unless the last one says the same.

    Args:
        folder: of the plans; made if it is not there.
        content: see `content_of_plan`.
        test_scores: evaluations that are there already.

    Returns:
        All files, the first plan first.
    """
    plans = read_plans(plan_files(folder))
    if not plans or not plans[-1].says(content):
        folder.mkdir(parents=True, exist_ok=True)
        number = len(plans) + 1
        record = {"number": number, "sha256": hash_of(content), "test_scores_before": test_scores, "plan": content}
        write_atomically(folder / f"{number}.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return plan_files(folder)


def plan_files(folder: Path) -> list[Path]:
    """Return the files of a folder of plans, the first plan first: ``1.json``, ``2.json`` and so on."""
    return sorted((path for path in folder.glob("*.json") if _NUMBER.fullmatch(path.stem)), key=lambda p: int(p.stem))


def read_plans(paths: Sequence[Path]) -> list[WrittenPlan]:
    """Read plans.

    Raises:
        DamagedError: a file is not a plan, or its content no longer has the hash that it was written with.
    """
    plans = []
    for path in paths:
        try:
            if not path.is_file():  # whoever opens a pipe may wait for ever
                raise OSError(f"it {why_no_file(path)}")
            record = json.loads(path.read_text(encoding="utf-8"))
            one = WrittenPlan(record["number"], record["sha256"], record["test_scores_before"], record["plan"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DamagedError(
                f"{path} is not a plan as a study writes it ({error}). Give the files of plans/."
            ) from error
        if hash_of(one.content) != one.sha256:
            raise DamagedError(
                f"{path} was changed after it was written: its plan has the hash {hash_of(one.content)[:12]}, but it "
                f"says {one.sha256[:12]}. A plan that was changed is none; put the file back as it was."
            )
        plans.append(one)
    return sorted(plans, key=lambda one: one.number)


def hash_of(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a plan's content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def plan_in_force(plans: Sequence[WrittenPlan]) -> WrittenPlan | None:
    """Return the last plan that was written before any test score existed; None where there is none."""
    return next((one for one in reversed(plans) if one.in_time), None)


def looks(plans: Sequence[WrittenPlan]) -> int:
    """Count how often test scores were looked at: plans that were changed before there were any are one."""
    return sum(not one.in_time for one in plans) + any(one.in_time for one in plans)


def status_of(
    contrast: Contrast,
    measure: str,
    question: Question,
    plans: Sequence[WrittenPlan],
    made: Mapping[Group, Trainings],
) -> str:
    """Return one of `STATUSES`: whether a comparison was planned before any test score existed.

    It was not if its arms are now trained more often, or otherwise, than planned: adding trainings until a difference
    is shown would inflate the error rate.

    Args:
        contrast: the comparison.
        measure: in which it is reported.
        question: the one that all comparisons answer.
        plans: that were written down, the last one being that under which all was made.
        made: how the classifiers of each group were trained.
    """
    if not plans:
        return NOT_WRITTEN
    plan = plan_in_force(plans)
    sides = (contrast.group, contrast.against)
    if plan is None or not plan.trains_alike(plans[-1], contrast) or any(plan.departs(one, made[one]) for one in sides):
        return ADDED
    if measure == question.primary and contrast.name in plan.content["comparisons"]:
        return PLANNED if plan.asks(question) else ADDED
    known = {contrast.group.name, contrast.against.name} <= set(plan.content["groups"])
    return DESCRIBED if known and not (measure == question.primary and contrast.tested) else ADDED


def departures(made: Mapping[Group, Trainings], plans: Sequence[WrittenPlan]) -> dict[Group, str]:
    """Return how groups were trained more often, or otherwise, than the plan in force says, in words."""
    plan = plan_in_force(plans)
    found = {group: plan.departs(group, one) for group, one in made.items()} if plan else {}
    return {group: words for group, words in found.items() if words}


def fewer_than_planned(made: Mapping[Group, Trainings], plans: Sequence[WrittenPlan]) -> dict[Group, tuple[int, int]]:
    """Return the groups with fewer classifiers than the plan in force gives them: those there are, those planned.

    Leaving some out once their scores are known would be a selection among results, and readers could not see whether
    it happened.
    """
    plan = plan_in_force(plans)
    planned = {group: plan.classifiers_of(group) for group in made} if plan else {}
    return {
        group: (made[group].classifiers, count)
        for group, count in planned.items()
        if count and made[group].classifiers < count
    }


def not_made(
    contrasts: Iterable[Contrast], question: Question, plans: Sequence[WrittenPlan], made: Mapping[Group, Trainings]
) -> list[str]:
    """Return the comparisons that the plan in force holds and that were not made, so that none is left out unseen."""
    plan = plan_in_force(plans)
    if plan is None or not plan.asks(question):
        return []
    there = {one.name for one in contrasts if status_of(one, question.primary, question, plans, made) == PLANNED}
    return [name for name in plan.content["comparisons"] if name not in there]
