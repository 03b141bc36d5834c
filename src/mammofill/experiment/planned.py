"""What a study sets out to compare, kept with its hash in ``plans/`` before a test score exists.

The plan follows from the study file alone. Once test scores are there, another plan is another question put to the same
patients: it is refused, unless requested (`amend`); then the first plan's comparison and report stay as they are, and
the new ones lie beside them (``comparison-2``, ``report-2``) and say what was added.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from mammofill.comparison.design import Design, Group, Recipe
from mammofill.comparison.plan import content_of_plan, plan_files, read_plans, write_plan
from mammofill.evaluation.training import GENERATED, REPEATED, recipe_of
from mammofill.experiment.grid import ALL, Arm, Cell, Plan, cells_of, trained_here
from mammofill.experiment.steps import Step
from mammofill.experiment.study import Study
from mammofill.ground.artifact import (
    MANIFEST_NAME,
    TAKEN_OVER,
    InputRecord,
    Manifest,
    check_same_plan,
    fingerprint_file,
    read_manifest,
    settings_of_plan,
    write_atomically,
)
from mammofill.ground.counting import counted
from mammofill.ground.errors import PlanChangedError
from mammofill.ground.progress import Progress
from mammofill.infilling.settings import TrainedInfillerSettings

PLANS = Path("plans")
_MADE_FOR_EACH_PLAN = ("compare-arms", "write-report")
"""Stages whose artifacts each plan has for itself."""


def design_of(plan: Plan) -> Design:
    """Return which groups a study will have, how they are trained, and which are compared."""
    groups = dict.fromkeys(_group_of(cell) for cell in cells_of(plan))
    recipes = {arm.name: _recipe(arm) for arm in plan.arms}
    patients = {_group_of(cell): cell.share * (2 if cell.arm.more_patients else 1) for cell in cells_of(plan)}
    return Design(tuple(groups), recipes, plan.settings["compare-arms"], patients)


def _group_of(cell: Cell) -> Group:
    return Group(cell.arm.name, cell.dose, cell.share)


def content_of(study: Study) -> dict[str, Any]:
    """Return what the plan of a study says; see `comparison.plan`."""
    plan = study.plan
    replicates = {arm.name: times_trained(arm, plan) for arm in plan.arms}
    decides = [name for name in ("phantom", "ingest", "extract-patches") if name != "phantom" or plan.source is None]
    test_set: dict[str, Any] = {name: settings_of_plan(plan.settings[name]) for name in decides}
    test_set |= {"seed": plan.seed, "folds": plan.grid.folds, "split": plan.settings["evaluate"].split}
    test_set |= {"source": plan.source.name if plan.source else "phantoms"}
    if plan.test:
        test_set |= {"test_source": plan.test.source.name, "test_ingest": settings_of_plan(plan.test.settings)}
    if plan.external:
        test_set |= {"external": plan.external.name, "external_source": plan.external.source.name}
        test_set |= {"external_ingest": settings_of_plan(plan.external.settings)}
    trained = {arm.name: _settings_behind(arm, plan) for arm in plan.arms}
    made_with = {arm.name: _made_with(arm, plan) for arm in plan.arms}
    counts = _classifiers_of(plan)
    content = content_of_plan(design_of(plan), replicates, test_set, counts, trained, _recipes_of(plan), made_with)
    # Through JSON, as it will be read again: tuples become lists.
    kept: dict[str, Any] = json.loads(json.dumps(content))
    return kept


def _classifiers_of(plan: Plan) -> Counter[Group]:
    """Count the classifiers of each group; those of all folds of one repeat are one, pooled."""
    counts = Counter(_group_of(cell) for cell in cells_of(plan))
    return Counter({group: count * plan.grid.fold_repeats for group, count in counts.items()})


def _recipes_of(plan: Plan) -> dict[str, str]:
    """Return what the evaluations of each arm will say of how it was trained."""
    return {arm.name: recipe_of(settings_of_plan(arm.settings), bool(arm.discriminator)) for arm in plan.arms}


def _settings_behind(arm: Arm, plan: Plan) -> dict[str, Any]:
    """Return the settings of the classifiers of an arm, and of what paints and selects their fills."""
    weights = arm.settings.weights_file
    stages = ["pair-patches", "synthesize"] * bool(arm.infiller) + ["select-synthetic"] * (arm.select != ALL)
    settings: dict[str, Any] = {"train-classifier": settings_of_plan(arm.settings)}
    settings |= {"weights": _content_of_file(weights)} if weights else {}
    settings |= {name: settings_of_plan(plan.settings[name]) for name in stages}
    trained = [name for name in _infillers_behind(arm, plan) if name not in plan.ready]
    return settings | {f"infiller {name}": settings_of_plan(plan.infillers[name]) for name in trained}


def _infillers_behind(arm: Arm, plan: Plan) -> list[str]:
    """Return the infillers that an arm is made with, those first that lend their weights to others."""
    painters = [name for name in (arm.infiller, arm.discriminator) if name]
    return [*(plan.paints_with[name] for name in painters if name in plan.paints_with), *painters]


def _made_with(arm: Arm, plan: Plan) -> dict[str, Any]:
    """Return what else decides what an arm learns from: infillers from elsewhere, their windows, readers of fills."""
    behind = _infillers_behind(arm, plan)
    made_with: dict[str, Any] = {
        f"infiller {name}": plan.infillers[name].fingerprint for name in behind if name in plan.ready
    }
    made_with |= {
        f"start of {name}": read_manifest(plan.starts[name]).fingerprint for name in behind if name in plan.starts
    }
    if plan.windows is not None and any(isinstance(plan.infillers[name], TrainedInfillerSettings) for name in behind):
        made_with["infiller-windows"] = settings_of_plan(plan.windows)
    if arm.select != ALL:
        made_with |= {"readers": settings_of_plan(plan.readers), "painted_for_each": plan.grid.painted_for_each}
    return made_with


def times_trained(arm: Arm, plan: Plan) -> str:
    """Say how often an arm is trained at each dose and share, and what it learns from that its settings do not say."""
    grid, repeats = plan.grid, plan.grid.fold_repeats
    if trained_here(arm, plan):
        parts = [
            f"{counted(grid.infillers * repeats, 'infillers')} with {counted(grid.classifiers, 'classifiers')} each"
        ]
    else:
        parts = [f"{counted(grid.replicates * repeats, 'classifiers')}"]
        parts += ["all of one infiller"] * arm.has_infiller
    few = min(grid.shares_of(arm)) < 1
    parts += [f"on each of {counted(grid.training_sets, 'training sets')}"] * bool(grid.training_sets and few)
    parts += ["each from patients of its own"] * (grid.disjoint_shares and few)
    parts += ["with as many further patients"] * arm.more_patients
    start = plan.starts.get(arm.infiller or "")
    parts += [f"infillers started from {start.name}"] if start else []
    begin = plan.infillers[arm.infiller].begin_time if arm.infiller else 1.0
    parts += [f"real lesions repainted from time {begin:g}"] if begin < 1 else []
    parts += [f"{arm.select} fills"] if arm.select != ALL else []
    return ", ".join(parts)


def keep_plan(study: Study, out: Path, progress: Progress, amend: bool = False) -> Study:
    """Write the plan of a study, and its file, before anything of it runs.

    Args:
        study: that is about to run.
        out: its folder.
        progress: notified where something was there before.
        amend: whether another plan may follow one whose test scores are there.

    Returns:
        The study, whose comparison knows of all plans.

    Raises:
        PlanChangedError: test scores of another plan are there, and amending was not requested; or a step was finished
            with other settings, or from other inputs. Nothing is written then.
        DamagedError: a plan was changed after it was written; or what a finished step says of itself cannot be read.
    """
    content, scores = content_of(study), count_test_scores(out)
    _check_finished_steps(foresee_plan(study, out, amend), out)
    for stray in sorted({*(out / PLANS).glob("*.json")} - {*plan_files(out / PLANS)}):
        progress.say(f"{stray} is not read: plans are called 1.json, 2.json and so on.")
    files = write_plan(out / PLANS, content, scores)
    _keep_study_file(study, out, progress)
    late = sum(not one.in_time for one in read_plans(files)[1:])
    return replace(study, steps=tuple(_with_plans(step, files, late, out) for step in study.steps))


def foresee_plan(study: Study, out: Path, amend: bool = False) -> Study:
    """Return the study that `keep_plan` would return, and write nothing; see there for arguments and errors."""
    content, scores = content_of(study), count_test_scores(out)
    _check_not_changed(content, scores, out, amend)
    files = plan_files(out / PLANS)
    earlier = read_plans(files)
    added = bool(earlier and scores and not earlier[-1].says(content))
    late = sum(not one.in_time for one in earlier[1:]) + added
    return replace(study, steps=tuple(_with_plans(step, files, late, out) for step in study.steps))


def _check_not_changed(content: Mapping[str, Any], scores: int, out: Path, amend: bool) -> None:
    earlier = read_plans(plan_files(out / PLANS))
    if earlier and scores and not earlier[-1].says(content) and not amend:
        before = earlier[-1].compared
        known = {name: content.get(name) for name in before}
        changes = "".join(f"\n  {line}" for line in _changes(before, known))
        raise PlanChangedError(
            f"{out} holds {scores} test scores of another plan ({earlier[-1].sha256[:12]}):{changes}\n"
            "What is changed now is changed with results in view. Take another --out for a new study, put the old "
            "values back to go on, or add --amend: then the old comparison and report stay, and the new ones say what "
            "was added."
        )


def _check_finished_steps(study: Study, out: Path) -> None:
    """Refuse what a finished step was not made with or from, before the plan and the study file say it."""
    for step, made in finished_steps(study, out):
        planned = {"stage": step.stage.name, "settings": settings_of_plan(step.settings), "seed": step.seed}
        planned |= {"inputs": inputs_given(step, made, out)}
        check_same_plan(out / step.out, vars(made), vars(made) | planned, finished=True)


def finished_steps(study: Study, out: Path) -> Iterator[tuple[Step, Manifest]]:
    """Yield the steps whose artifacts are there, and what these say of themselves."""
    for step in study.steps:
        if (out / step.out / MANIFEST_NAME).is_file():
            yield step, read_manifest(out / step.out)


def inputs_given(step: Step, made: Manifest, out: Path) -> tuple[InputRecord, ...]:
    """Return the inputs of a finished step as a run would give them: the artifacts that are there, else as before."""
    records = list(made.inputs)
    for role, places in step.inputs.items():
        if role == TAKEN_OVER:
            continue
        before = [one for one in records if one.role == role]
        now = [_fingerprint_at(out / place) for place in places]
        known = all(now) and all(one.fingerprint and one.kind not in ("file", "folder") for one in before)
        if known and len(before) == len(now) and sorted(now) != sorted(one.fingerprint for one in before):
            paths = [Path(os.path.relpath(out / place, out / step.out)).as_posix() for place in places]
            records = [one for one in records if one.role != role]
            records += [InputRecord(role, before[0].kind, *one) for one in zip(paths, now, strict=True)]
    return tuple(records)


def _fingerprint_at(folder: Path) -> str:
    """Return the fingerprint of a finished artifact; empty where there is none."""
    path = folder / MANIFEST_NAME
    return _fingerprint(folder, path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else ""


@lru_cache(maxsize=4096)
def _fingerprint(folder: Path, *stamp: int) -> str:
    return read_manifest(folder).fingerprint


def count_test_scores(out: Path) -> int:
    """Count the finished evaluations of a study, those within folds among them."""
    return sum(1 for _ in _evaluations(out))


def _evaluations(out: Path) -> Iterator[Path]:
    for place in ("evaluations", "evaluations-external", "folds/*/evaluations"):
        yield from out.glob(f"{place}/*/{MANIFEST_NAME}")


def _keep_study_file(study: Study, out: Path, progress: Progress) -> None:
    """Write the study file into the study's folder; what stood there with other content is kept beside the plans."""
    place, content = out / "study.toml", study.path.read_bytes()
    if place.is_file() and place.read_bytes() == content:
        return
    if place.is_file():
        number = len(list((out / PLANS).glob("study-*.toml"))) + 1
        kept = out / PLANS / f"study-{number}.toml"
        write_atomically(kept, place.read_bytes())
        progress.say(f"{place} is another one than before, which is kept as {kept}")
    write_atomically(place, content)


def _with_plans(step: Step, files: list[Path], late: int, out: Path) -> Step:
    """Give a comparison the plans, and what follows a late plan places of its own."""
    name = step.stage.name
    if name not in _MADE_FOR_EACH_PLAN:
        return step
    inputs = dict(step.inputs)
    if name == "compare-arms":
        inputs["plans"] = tuple(path.relative_to(out) for path in files)
    elif late and "comparisons" in inputs:
        inputs["comparisons"] = tuple(_of_plan(place, late) for place in inputs["comparisons"])
    return replace(step, inputs=inputs, out=_of_plan(step.out, late))


def _of_plan(place: Path, late: int) -> Path:
    return place.with_name(f"{place.name}-{late + 1}") if late else place


def _content_of_file(path: str) -> str:
    """Return the SHA-256 of a file of weights, which arms share, read once."""
    about = Path(path).stat()
    return _sha256(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=16)
def _sha256(path: str, *stamp: int) -> str:
    return fingerprint_file(Path(path))


def _recipe(arm: Arm) -> Recipe:
    added = [GENERATED] * bool(arm.infiller) + [REPEATED] * arm.repeated
    # Which file of weights it starts from is in no setting of the plan; its content is what counts.
    weights = arm.settings.weights_file
    start = f" {_content_of_file(weights)}" if weights else ""
    otherwise = recipe_of(settings_of_plan(arm.settings), bool(arm.discriminator)) + start
    return Recipe(" and ".join(added), otherwise, frozenset([arm.discriminator] if arm.discriminator else []))


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Say in what two plans differ, one line each."""
    for name in dict.fromkeys([*old, *new]):
        before, now = old.get(name), new.get(name)
        if isinstance(before, list) and isinstance(now, list):
            for word, some in (("no longer", [one for one in before if one not in now]),
                               ("added", [one for one in now if one not in before])):  # fmt: skip
                yield from (f"{name}: {word}: {one}" for one in some)
        elif isinstance(before, dict) and isinstance(now, dict):
            yield from (f"{name}.{line}" for line in _changes(before, now))
        elif before != now:
            yield f"{name}: was {before!r}, now {now!r}"
