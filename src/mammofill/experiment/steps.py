"""From arms and a grid to steps: which stage runs on what, each distinct one once.

What arms share (patches, pairs, infillers, synthetic patches) is made once for each share of the patients. All cells
are judged on the same test patches, those of the whole patch set, and on all patches of an external source where there
is one.

With folds, all of that happens once within each fold of each repeat, infillers and synthetic patches included, in a
folder of its own (``folds/r0-f3``), and nothing crosses from one to another but the pixels of the mammograms. Then the
folds of each cell are pooled into one evaluation, and the repeats of a cell are further replicates of it, with
infillers of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mammofill.experiment.grid import (
    ALL,
    RANDOM,
    Cell,
    Fold,
    Patients,
    Plan,
    cells_of,
    folds_of,
    infiller_seed,
    is_judged,
    judged_infillers,
    painted_with,
    paints_over_own,
    pastes_own,
    patients_selected_from,
    trained_here,
    trained_infillers,
    training_set_of,
    used_infillers,
)
from mammofill.experiment.places import (
    CLASSIFIERS,
    EVALUATIONS,
    EXTERNAL,
    EXTERNAL_EVALUATIONS,
    JUDGEMENT,
    MAMMOGRAMS,
    PHANTOMS,
    TEST,
    TEST_PAIRS,
    WINDOWS,
    evaluation_at,
    fills_at,
    infiller_at,
    own_pairs_at,
    pairs_at,
    pairs_for,
    patches_at,
    reader_at,
    synthetic_at,
    tested_patches,
)
from mammofill.experiment.stages import Stage, stage_named
from mammofill.ground.artifact import TAKEN_OVER
from mammofill.infilling.settings import TrainedInfillerSettings

_READERS = 3
"""Parts of the patients, each of which trains one of the classifiers that read fills. A fill is of two patients, so of
two parts at most, and there is always a classifier that saw neither."""


@dataclass(frozen=True)
class Step:
    """One stage of a study, with everything that it needs."""

    stage: Stage
    inputs: Mapping[str, tuple[Path, ...]]
    """Role -> where; a relative path lies in the study's output folder."""
    out: Path
    """Where the artifact comes to lie, relative to the study's output folder."""
    settings: Any
    seed: int
    says: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the stage's function that change what it says, and nothing of what it makes."""


def stretches(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """Yield the steps, in stretches of one stage of which no step needs another: they may run side by side."""
    stretch: list[Step] = []
    made: set[Path] = set()
    for step in steps:
        needed = {place for places in step.inputs.values() for place in places}
        if stretch and (step.stage != stretch[0].stage or needed & made):
            yield stretch
            stretch, made = [], set()
        stretch.append(step)
        made.add(step.out)
    if stretch:
        yield stretch


def steps_of(plan: Plan) -> Iterator[Step]:
    """Yield the steps of a study in an order in which they can run: stage after stage."""
    if plan.source is None:
        yield _step("phantom", {}, PHANTOMS, plan.settings["phantom"], plan.seed)
    yield from _steps_in_folds(plan) if plan.grid.folds else _steps_of_split(plan)
    yield from _report_steps(plan)


def _steps_of_split(plan: Plan) -> Iterator[Step]:
    """Yield what leads from mammograms to the evaluation of each cell, on one split of the patients."""
    yield from _ingest_steps(plan)
    yield from _extract_steps(plan)
    yield from _share_steps(plan)
    yield from _pair_steps(plan)
    yield from _infiller_steps(plan)
    yield from _synthesis_steps(plan)
    yield from _selection_steps(plan)
    yield from _classifier_steps(plan)
    yield from _evaluation_steps(plan)
    if plan.judging:
        yield _judging_step(plan)


def _ingest_steps(plan: Plan) -> Iterator[Step]:
    inputs = {"source": (plan.source or PHANTOMS,)} | _attributes(plan.attributes)
    yield _step("ingest", inputs, MAMMOGRAMS, plan.settings["ingest"], plan.seed)
    for place, other in ((EXTERNAL, plan.external), (TEST, plan.test)):
        if other:
            inputs = {"source": (other.source,)} | _attributes(other.attributes)
            yield _step("ingest", inputs, place / MAMMOGRAMS, other.settings, plan.seed)


def _extract_steps(plan: Plan) -> Iterator[Step]:
    settings = plan.settings["extract-patches"]
    mammograms = {"mammograms": (MAMMOGRAMS,)}
    yield _step("extract-patches", mammograms, patches_at(), settings, plan.seed)
    if any(_own_windows(name, plan) for _, name, _ in trained_infillers(plan)):
        yield _step("extract-patches", mammograms, WINDOWS, plan.windows, plan.seed)
    for place, other in ((TEST, plan.test), (EXTERNAL, plan.external)):
        if other:
            given = {"mammograms": (place / MAMMOGRAMS,)}
            yield _step("extract-patches", given, place / "patches", settings, plan.seed)


def _share_steps(plan: Plan) -> Iterator[Step]:
    """Yield the patches of parts of the patients: those who are learned from, and those of the readers of fills."""
    make = stage_named("select-patches").settings_class()
    learned_from = [cell.patients for cell in cells_of(plan)] + [who for who, _, _ in used_infillers(plan)]
    for who in dict.fromkeys(learned_from):
        if who.share < 1:
            kept = make(who.share, who.parts or (0,), who.others)
            yield _step("select-patches", {"patches": (patches_at(),)}, patches_at(who), kept, plan.seed)
    for who in patients_selected_from(plan):
        for part in range(_READERS):
            given, place = {"patches": (patches_at(who),)}, reader_at(who, part) / "patches"
            yield _step("select-patches", given, place, make(1 / _READERS, (part,)), plan.seed)


def _pair_steps(plan: Plan) -> Iterator[Step]:
    settings = plan.settings["pair-patches"]
    own = replace(settings, contexts="lesion", outline="own", pairs_per_patch=1)
    paired = [*used_infillers(plan), *painted_with(plan)]
    for who, over_own in dict.fromkeys((who, paints_over_own(name, plan)) for who, name, _ in paired):
        how, place = (own, own_pairs_at(who)) if over_own else (settings, pairs_at(who))
        yield _step("pair-patches", {"patches": (patches_at(who),)}, place, how, plan.seed)
    if plan.judging:
        of_test = replace(settings, split="test")
        yield _step("pair-patches", {"patches": (tested_patches(plan),)}, TEST_PAIRS, of_test, plan.seed)


def _infiller_steps(plan: Plan) -> Iterator[Step]:
    for who, name, number in trained_infillers(plan):
        made_from = {"patches": (patches_at(who),), "pairs": (pairs_for(who, name, plan),)} | _own_windows(name, plan)
        made_from |= _start(who, name, number, plan)
        seed = infiller_seed(plan.seed, number)
        yield _step("train-infiller", made_from, infiller_at(who, name, number, plan), plan.infillers[name], seed)


def _synthesis_steps(plan: Plan) -> Iterator[Step]:
    for who, name, number in painted_with(plan):
        made_from = {"infiller": (infiller_at(who, name, number, plan),), "pairs": (pairs_for(who, name, plan),)}
        made_from["patches"] = (patches_at(who),)
        settings, seed = _filling_of(who, name, plan), infiller_seed(plan.seed, number)
        says, place = {"judged_later": is_judged(name, plan)}, synthetic_at(who, name, number, plan)
        yield replace(_step("synthesize", made_from, place, settings, seed), says=says)


def _filling_of(who: Patients, name: str, plan: Plan) -> Any:
    """Return how many fills are painted: enough for the largest dose, and for a gate that refuses some of them."""
    settings = plan.settings["synthesize"]
    if paints_over_own(name, plan):  # as many fills of each context as where it is paired with several others
        more_of_each = settings.fills_per_pair * plan.settings["pair-patches"].pairs_per_patch
        settings = replace(settings, fills_per_pair=more_of_each)
    cells = [cell for cell in cells_of(plan) if (cell.patients, cell.arm.infiller) == (who, name)]
    doses = [cell.dose for cell in cells if cell.dose]
    if not doses:
        return settings
    # Classes in the proportion of the real ones, so that a dose changes how much is learned from and no more.
    more = plan.grid.painted_for_each if any(cell.arm.select != ALL for cell in cells) else 1
    return replace(settings, ratio=max(doses) * more, balance=False)


def _selection_steps(plan: Plan) -> Iterator[Step]:
    """Yield the classifiers that read fills, and the fills that are kept of those that were painted."""
    for who in patients_selected_from(plan):
        for part in range(_READERS):
            place = reader_at(who, part)
            inputs = {"patches": (place / "patches",)}
            yield _step("train-classifier", inputs, place / "classifier", plan.readers, plan.seed)
    for place, cell in {fills_at(cell, plan): cell for cell in cells_of(plan) if cell.arm.select != ALL}.items():
        fills = synthetic_at(cell.patients, str(cell.arm.infiller), cell.infiller, plan)
        readers = tuple(reader_at(cell.patients, part) / "classifier" for part in range(_READERS))
        given: dict[str, tuple[Path, ...]] = {"synthetic": (fills,), "patches": (patches_at(cell.patients),)}
        given["classifiers"] = readers
        settings = replace(plan.settings["select-synthetic"], random=cell.arm.select == RANDOM)
        settings = settings if cell.dose is None else replace(settings, ratio=cell.dose)
        yield _step("select-synthetic", given, place, settings, infiller_seed(plan.seed, cell.infiller))


def _classifier_steps(plan: Plan) -> Iterator[Step]:
    """Yield the trainings of all cells; trials last, since they take over what other arms have trained."""
    cells = sorted(cells_of(plan), key=_is_on_trial)
    steps = {cell.slug: _training_step(cell, plan) for cell in cells}
    by_seed: dict[int, list[Step]] = {}
    for step in steps.values():
        by_seed.setdefault(step.seed, []).append(step)
    for cell in cells:
        step = steps[cell.slug]
        before = _trained_before(step, by_seed[step.seed]) if _is_on_trial(cell) else ()
        yield replace(step, inputs={**step.inputs, TAKEN_OVER: before}) if before else step


def _training_step(cell: Cell, plan: Plan) -> Step:
    learned_from = [patches_at(cell.patients)]
    if cell.arm.infiller:
        learned_from.append(fills_at(cell, plan))
    given: dict[str, tuple[Path, ...]] = {"patches": tuple(learned_from)}
    if cell.arm.discriminator:
        given["infiller"] = (infiller_at(cell.patients, cell.arm.discriminator, cell.infiller, plan),)
    return _step("train-classifier", given, CLASSIFIERS / cell.slug, _settings_of(cell), plan.seed + cell.replicate)


def _is_on_trial(cell: Cell) -> bool:
    return bool(cell.arm.settings.synthetic_if_better)


def _trained_before(trial: Step, others: Sequence[Step]) -> tuple[Path, ...]:
    """Return where other cells train what a trial needs: without its synthetic patches, and with them."""
    with_them = (trial.inputs, replace(trial.settings, synthetic_if_better=False))
    without = ({**trial.inputs, "patches": trial.inputs["patches"][:1]}, trial.settings.without_fills)
    found = [[one.out for one in others if (one.inputs, one.settings) == way][:1] for way in (without, with_them)]
    return tuple(place for places in found for place in places)


def _evaluation_steps(plan: Plan) -> Iterator[Step]:
    for cell in cells_of(plan):
        inputs = {"classifier": (CLASSIFIERS / cell.slug,), "patches": (tested_patches(plan),)}
        yield _step("evaluate", inputs, EVALUATIONS / cell.slug, _evaluation_of(cell, plan), plan.seed)
    for cell in cells_of(plan) if plan.external else ():
        inputs = {"classifier": (CLASSIFIERS / cell.slug,), "patches": (EXTERNAL / "patches",)}
        yield _step("evaluate", inputs, EXTERNAL_EVALUATIONS / cell.slug, _external_of(cell, plan), plan.seed)


def _attributes(table: Path | None) -> dict[str, tuple[Path, ...]]:
    return {"attributes": (table,)} if table else {}


def _steps_in_folds(plan: Plan) -> Iterator[Step]:
    """Yield the same within each fold of each repeat, and what pools the folds; stage after stage over all folds."""
    # All folds have the same steps, so that the n-th stretch in each is the same work.
    within = [
        (number, _moved(step, fold, plan))
        for fold in folds_of(plan)
        for number, stretch in enumerate(stretches(_steps_of_split(_plan_within(fold, plan))))
        for step in stretch
    ]
    yield from (step for _, step in sorted(within, key=lambda one: one[0]))
    pooling = stage_named("pool-folds").settings_class()
    settings = pooling(**{field.name: getattr(plan.settings["evaluate"], field.name) for field in fields(pooling)})
    for cell in cells_of(plan):
        for repeat in range(plan.grid.fold_repeats):
            of_repeat = [fold for fold in folds_of(plan) if fold.repeat == repeat]
            parts = tuple(fold.place / "evaluations" / cell.slug for fold in of_repeat)
            yield _step("pool-folds", {"evaluations": parts}, evaluation_at(cell, repeat, plan), settings, plan.seed)


def _judging_step(plan: Plan) -> Step:
    """Return what measures the infillers, by classifiers that learned from real patches only.

    Of an infiller that is trained several times it is the first one. Practice mammograms can be drawn without their
    lesions, which shows what a perfect infiller would score.
    """
    eyes = [next(cell for cell in cells_of(plan) if cell.arm == arm and cell.share == 1) for arm in plan.judging]
    infillers = tuple(infiller_at(Patients(), name, 0, plan) for name in judged_infillers(plan))
    seen = {"infillers": infillers, "patches": (tested_patches(plan),)}
    roles = ("classifier", "standardised")
    seen |= {role: (CLASSIFIERS / cell.slug,) for role, cell in zip(roles, eyes, strict=False)}
    seen |= {"pairs": (TEST_PAIRS,)} | ({"phantoms": (PHANTOMS,)} if _can_be_drawn_again(plan) else {})
    return _step("judge-infiller", seen, JUDGEMENT, plan.settings["judge-infiller"], plan.seed)


def _can_be_drawn_again(plan: Plan) -> bool:
    """Say whether patches show practice mammograms at their own resolution, with masses alone."""
    if plan.source is not None or plan.settings["phantom"].calcifications:
        return False
    height = plan.settings["ingest"].height_px
    return height is None or height >= plan.settings["phantom"].height_px


def _report_steps(plan: Plan) -> Iterator[Step]:
    """Yield what compares the evaluations and writes the report."""
    repeats = range(plan.grid.fold_repeats)
    evaluations = tuple(evaluation_at(cell, repeat, plan) for cell in cells_of(plan) for repeat in repeats)
    places = [fold.place for fold in folds_of(plan)] or [Path()]
    shown = {"evaluations": evaluations}
    shown |= {"judgements": tuple(place / JUDGEMENT for place in places)} if plan.judging else {}
    if len(plan.arms) > 1:
        compared = {Path("comparison"): evaluations}
        if plan.external:
            elsewhere = tuple(EXTERNAL_EVALUATIONS / cell.slug for cell in cells_of(plan))
            compared[Path("comparison-external")] = elsewhere
        shown["comparisons"] = tuple(compared)
        for out, several in compared.items():
            yield _step("compare-arms", {"evaluations": several}, out, plan.settings["compare-arms"], plan.seed)
    yield _step("write-report", shown, Path("report"), plan.settings["write-report"], plan.seed)


def _plan_within(fold: Fold, plan: Plan) -> Plan:
    """Return the plan of one fold: other patients test, and each repeat has seeds of its own."""
    dealt = replace(plan.settings["ingest"], split="kfold", folds=plan.grid.folds, fold=fold.number)
    seed = plan.seed + fold.first_replicate(plan)
    return replace(plan, settings={**plan.settings, "ingest": dealt}, seed=seed)


def _moved(step: Step, fold: Fold, plan: Plan) -> Step:
    """Return a step of the plan of one fold as a step of the whole study."""
    out = fold.place / step.out
    if step.stage.name == "ingest":
        return replace(step, out=out)
    inputs = {
        role: tuple(place if place == PHANTOMS else fold.place / place for place in places)
        for role, places in step.inputs.items()
    }
    if step.stage.name == "extract-patches":
        # The seed chooses among normal patches; all repeats must be of the same patches.
        return replace(step, inputs=inputs, out=out, seed=plan.seed)
    if step.stage.name == "evaluate":
        replicate, infiller = step.settings.replicate + fold.first_replicate(plan), step.settings.infiller
        infiller = None if infiller is None else infiller + fold.first_infiller(plan)
        settings = replace(step.settings, replicate=replicate, infiller=infiller)
        return replace(step, inputs=inputs, out=out, settings=settings)
    return replace(step, inputs=inputs, out=out)


def _step(name: str, inputs: Mapping[str, tuple[Path, ...]], out: Path, settings: Any, seed: int) -> Step:
    return Step(stage_named(name), inputs, out, settings, seed)


def _settings_of(cell: Cell) -> Any:
    if cell.dose is None or cell.arm.select != ALL:  # of what was selected all is learned from
        return cell.arm.settings
    return replace(cell.arm.settings, **{"repeats" if cell.arm.repeated else "dose": cell.dose})


def _evaluation_of(cell: Cell, plan: Plan) -> Any:
    facts = {"arm": cell.arm.name, "replicate": cell.replicate, "dose": cell.dose, "real_share": cell.share}
    # An infiller from elsewhere is one, however often it is used: there its fingerprint identifies it, not a number.
    number = cell.infiller if trained_here(cell.arm, plan) else None
    if number is not None and pastes_own(cell, plan):  # of one training set all are one, whatever the seed
        number = cell.patients.parts[0]
    return replace(plan.settings["evaluate"], **facts, infiller=number, training_set=training_set_of(cell, plan))


def _external_of(cell: Cell, plan: Plan) -> Any:
    """No model has learned from any of these patients, so all of them are test patients."""
    return replace(_evaluation_of(cell, plan), external=plan.external.name if plan.external else "", split="all")


def _own_windows(name: str, plan: Plan) -> dict[str, tuple[Path, ...]]:
    """Return the windows that an infiller learns from besides the patches, as input; nothing where it has none.

    They are the same at each share of the patients: only those of the share's patches are learned from.
    """
    trained = isinstance(plan.infillers[name], TrainedInfillerSettings)
    return {"windows": (WINDOWS,)} if trained and plan.windows is not None else {}


def _start(who: Patients, name: str, number: int, plan: Plan) -> dict[str, tuple[Path, ...]]:
    """Return the infiller from whose weights one starts, as input; nothing where it has none to start from."""
    if name in plan.paints_with:
        return {"start": (infiller_at(who, plan.paints_with[name], number, plan),)}
    return {"start": (plan.starts[name],)} if name in plan.starts else {}
