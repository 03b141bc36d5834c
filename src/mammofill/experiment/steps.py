"""From arms and a grid to steps: which stage runs on what, each distinct one once.

What arms share (patches, pairs, infillers, synthetic patches) is made once for each share of the patients. Where an arm
learns from generated patches, a *replicate* is the whole chain, infiller seed, synthesis seed, classifier seed: each
infiller is trained with several seeds, each has a synthetic set of its own, and each of these its own classifiers. A
*cell* is one classifier: an arm, a dose, a share, an infiller, a classifier seed. All cells are judged on the same test
patches, those of the whole patch set, and on all patches of an external source where there is one.

With folds, all of that happens once within each fold of each repeat, infillers and synthetic patches included, in a
folder of its own (``folds/r0-f3``), and nothing crosses from one to another but the pixels of the mammograms. Then the
folds of each cell are pooled into one evaluation, and the repeats of a cell are further replicates of it, with
infillers of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from mammofill.experiment.stages import Stage, stage_named
from mammofill.ground.errors import check_setting
from mammofill.ground.seeding import derive_seed
from mammofill.infilling.settings import TrainedInfillerSettings
from mammofill.patches.settings import parts_of

_TEST_PAIRS = Path("test-pairs")
_MAMMOGRAMS = Path("mammograms")
_CLASSIFIERS = Path("classifiers")
_EXTERNAL = Path("external")
_TEST = Path("test")
_WINDOWS = Path("infiller-windows")
_JUDGEMENT = Path("judgement")
_PHANTOMS = Path("phantoms")
FOLDS = Path("folds")
"""Below it lies what is made within single folds."""
SELECTIONS = ALL, GATED, RANDOM = "all", "gated", "random"
"""Which fills an arm learns from: those that were painted, in their order; those that `select_synthetic` keeps; or, as
the control of these, as many of each class drawn at random."""
_PARTS = 3
"""Of the patients: each trains one of the classifiers that read fills. A fill is of two patients, so of two parts at
most, and there is always a classifier that saw neither."""


_MOST_TRAININGS = 10_000
"""More trainings of one arm are a slip of the keyboard: at a minute each they take a week, and their steps alone fill
the memory."""


@dataclass(frozen=True)
class Grid:
    """In how many ways each arm is trained.

    Attributes:
        infillers: how often each infiller is trained, with its fills, from a seed of its own; the first from the
            study's own. Three show, if roughly, how far infillers of one kind differ, and put it into the intervals.
        classifiers: how many classifiers learn from the fills of each infiller. Arms without generated patches are
            trained as often as the others in all, ``infillers`` times ``classifiers``.
        doses: synthetic or repeated patches for each real one, for arms that have them. Without, all synthetic patches
            that `synthesize` makes are learned from.
        real_shares: shares of the train split's patients; infillers and synthetic patches are made from the same
            patients.
        disjoint_shares: at shares below 1 each infiller, and the classifier beside it, learn from a part of the
            patients that has nobody in common with the others' parts, so that the luck of the draw is in the intervals,
            too. Otherwise all learn from the same patients. Not with several classifiers for each infiller: those of
            arms without one would pass for as many draws of the patients.
        every_dose_at_every_share: all combinations; otherwise shares below the largest are tried at the dose nearest 1,
            of two as near the smaller one.
        folds: everything is made anew within each of so many folds, which test in turn, so that every patient is tested
            by a classifier that never saw that patient; 0 tests on the one test split of ingest.
        fold_repeats: how often the patients are dealt out to folds; each time is one more replicate.
        painted_for_each: fills that are painted for each one of the largest dose, where an arm selects among them: a
            gate that refuses half leaves the dose all the same. An arm that selects learns from fewer where fewer pass.
    """

    infillers: int = 1
    classifiers: int = 1
    doses: tuple[float, ...] = ()
    real_shares: tuple[float, ...] = (1.0,)
    disjoint_shares: bool = False
    every_dose_at_every_share: bool = False
    folds: int = 0
    fold_repeats: int = 1
    painted_for_each: float = 2.0

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        check_setting(self, "infillers", self.infillers >= 1, "at least 1")
        check_setting(self, "classifiers", self.classifiers >= 1, "at least 1")
        positive = all(0 < dose < float("inf") for dose in self.doses) and len(set(self.doses)) == len(self.doses)
        check_setting(self, "doses", positive, "different numbers above 0 (a dose of 0 is the reference arm)")
        shares = self.real_shares
        fits = all(0 < share <= 1 for share in shares) and len(set(shares)) == len(shares) and 1.0 in shares
        check_setting(self, "real_shares", fits, "different numbers in (0, 1], 1 among them")
        most = min((parts_of(share) for share in shares if share < 1), default=self.infillers)
        enough = not self.disjoint_shares or self.infillers <= most
        check_setting(self, "infillers", enough, f"at most {most}, the parts of the largest share below 1")
        alone = self.classifiers == 1 or not self.disjoint_shares
        check_setting(
            self, "classifiers", alone, "1 with disjoint_shares: two of one part are no two draws of patients"
        )
        check_setting(self, "folds", self.folds == 0 or self.folds >= 2, "at least 2, or 0 for none")
        check_setting(self, "fold_repeats", self.fold_repeats >= 1, "at least 1")
        check_setting(self, "painted_for_each", self.painted_for_each >= 1, "at least 1")
        check_setting(self, "fold_repeats", self.fold_repeats == 1 or self.folds > 0, "1 where there are no folds")
        cells = max(1, len(self.doses)) * len(shares)
        trained = self.replicates * max(1, self.folds) * self.fold_repeats * cells
        few = f"such that each arm is trained at most {_MOST_TRAININGS:,} times in all (it would be {trained:,} times)"
        check_setting(self, "infillers", trained <= _MOST_TRAININGS, few)

    @property
    def replicates(self) -> int:
        """How many classifiers of each arm, dose and share there are."""
        return self.infillers * self.classifiers

    def shares_of(self, arm: Arm) -> list[float]:
        """Return the shares at which an arm is trained, the largest first; further patients must be there to be had."""
        wanted = arm.shares or self.real_shares
        return sorted((one for one in wanted if not arm.more_patients or one <= 0.5), reverse=True)

    def cells_of(self, arm: Arm) -> Iterator[tuple[float, float | None]]:
        """Yield (share, dose) of each cell of an arm, without replicates."""
        has_dose = bool(arm.infiller) or arm.repeated
        doses: tuple[float | None, ...] = self.doses if has_dose and self.doses else (None,)
        usual = min(doses, key=lambda dose: (abs((dose or 1) - 1), dose or 1))
        for share in self.shares_of(arm):
            all_doses = share == 1 or self.every_dose_at_every_share
            yield from ((share, dose) for dose in doses if all_doses or dose == usual)


@dataclass(frozen=True)
class Arm:
    """One kind of classifier of a study."""

    name: str
    infiller: str | None
    """Whose synthetic patches it learns from as well."""
    repeated: bool
    """Whether it learns from real patches again, as often as others do from synthetic ones."""
    settings: Any
    discriminator: str | None = None
    """From whose discriminator it starts."""
    more_patients: bool = False
    """Whether it learns from as many further patients as well: what twice as many real lesions are worth."""
    shares: tuple[float, ...] = ()
    """At which of the grid's shares it is trained; at all where none is named."""
    select: str = ALL
    """Which of the synthetic patches it learns from, of `SELECTIONS`."""

    @property
    def slug(self) -> str:
        """The name as a folder's name."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    @property
    def has_infiller(self) -> bool:
        """Whether an infiller stands behind it, as painter of patches or as the network that it starts from."""
        return bool(self.infiller or self.discriminator)


@dataclass(frozen=True)
class External:
    """A second source, from which nothing is learned."""

    name: str
    source: Path
    settings: Any
    """Of its ingest."""
    attributes: Path | None = None
    """The table of what else is known of its lesions, if there is one."""


@dataclass(frozen=True)
class Plan:
    """What a study file asks for."""

    source: Path | None
    """Folder of the collection; None for practice mammograms."""
    settings: Mapping[str, Any]
    """Of the stages that stand in a table of their own."""
    infillers: Mapping[str, Any]
    arms: tuple[Arm, ...]
    grid: Grid
    judging: tuple[Arm, ...]
    """The arms whose classifiers judge the infillers, if they are judged: one, and perhaps a standardised one."""
    seed: int
    external: External | None = None
    readers: Any | None = None
    """Settings of the classifiers that read fills, where an arm selects among them."""
    windows: Any | None = None
    """Settings of extract-patches for the windows that trained infillers learn from; None where they have none."""
    starts: Mapping[str, Path] = field(default_factory=dict)
    """Of infillers that start from the weights of another one: where that lies."""
    ready: Mapping[str, Path] = field(default_factory=dict)
    """Of infillers that were trained elsewhere and are used as they are: where they lie."""
    paints_with: Mapping[str, str] = field(default_factory=dict)
    """Of infillers that paint with the weights of another one of the study: its name."""
    attributes: Path | None = None
    """The table of what else is known of the lesions, if there is one."""
    test: External | None = None
    """Where the test patients come from, if they stand in a source of their own."""


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


@dataclass(frozen=True)
class Fold:
    """One fold of one repeat of a cross-validation."""

    repeat: int
    number: int

    @property
    def place(self) -> Path:
        """Where everything lies that is made within it."""
        return FOLDS / f"r{self.repeat}-f{self.number}"

    def first_replicate(self, plan: Plan) -> int:
        """Return the number of the first of this repeat's classifiers among those of all repeats."""
        return self.repeat * plan.grid.replicates

    def first_infiller(self, plan: Plan) -> int:
        """Return the number of the first of this repeat's infillers among those of all repeats."""
        return self.repeat * plan.grid.infillers


@dataclass(frozen=True)
class Patients:
    """Who is learned from."""

    share: float = 1.0
    """Of the train split's patients."""
    parts: tuple[int, ...] = ()
    """Which of the parts of that share, where they have nobody in common; none where there is one draw only."""

    @property
    def place(self) -> Path:
        """Where what is made from them lies."""
        if self.share == 1:
            return Path()
        share = Path(f"shares/{self.share:g}")
        return share / f"part-{'-'.join(map(str, self.parts))}" if self.parts else share


@dataclass(frozen=True)
class Cell:
    """One classifier of a study."""

    arm: Arm
    patients: Patients
    dose: float | None
    infiller: int
    """Number of the infiller behind it, from 0; of no meaning where there is none."""
    replicate: int
    """Number among the classifiers of its arm, dose and share, from 0."""
    slug: str

    @property
    def share(self) -> float:
        """Of the train split's patients; further ones do not count."""
        return self.patients.share


def steps_of(plan: Plan) -> Iterator[Step]:
    """Yield the steps of a study in an order in which they can run: stage after stage."""
    if plan.source is None:
        yield _step("phantom", {}, _PHANTOMS, plan.settings["phantom"], plan.seed)
    yield from _until_evaluated_in_folds(plan) if plan.grid.folds else _until_evaluated(plan)
    yield from _told(plan)


def _until_evaluated(plan: Plan) -> Iterator[Step]:
    """Yield what leads from mammograms to the evaluation of each cell, on one split of the patients."""
    yield from _ingested(plan)
    yield from _cut(plan)
    yield from _kept(plan)
    yield from _paired(plan)
    yield from _infillers_trained(plan)
    yield from _filled(plan)
    yield from _selected(plan)
    yield from _classifiers_trained(plan)
    yield from _evaluated(plan)
    if plan.judging:
        yield _judged(plan)


def _ingested(plan: Plan) -> Iterator[Step]:
    inputs = {"source": (plan.source or _PHANTOMS,)} | _attributes(plan.attributes)
    yield _step("ingest", inputs, _MAMMOGRAMS, plan.settings["ingest"], plan.seed)
    for place, other in ((_EXTERNAL, plan.external), (_TEST, plan.test)):
        if other:
            inputs = {"source": (other.source,)} | _attributes(other.attributes)
            yield _step("ingest", inputs, place / _MAMMOGRAMS, other.settings, plan.seed)


def _cut(plan: Plan) -> Iterator[Step]:
    settings = plan.settings["extract-patches"]
    mammograms = {"mammograms": (_MAMMOGRAMS,)}
    yield _step("extract-patches", mammograms, patches_at(), settings, plan.seed)
    if any(_own_windows(name, plan) for _, name, _ in _trained(plan)):
        yield _step("extract-patches", mammograms, _WINDOWS, plan.windows, plan.seed)
    for place, other in ((_TEST, plan.test), (_EXTERNAL, plan.external)):
        if other:
            given = {"mammograms": (place / _MAMMOGRAMS,)}
            yield _step("extract-patches", given, place / "patches", settings, plan.seed)


def _kept(plan: Plan) -> Iterator[Step]:
    """Yield the patches of parts of the patients: those who are learned from, and those of the readers of fills."""
    make = stage_named("select-patches").settings_class()
    for who in dict.fromkeys(cell.patients for cell in cells_of(plan)):
        if who.share < 1:
            kept = make(who.share, who.parts or (0,))
            yield _step("select-patches", {"patches": (patches_at(),)}, patches_at(who), kept, plan.seed)
    for who in _selecting(plan):
        for part in range(_PARTS):
            given, place = {"patches": (patches_at(who),)}, _part(who, part) / "patches"
            yield _step("select-patches", given, place, make(1 / _PARTS, (part,)), plan.seed)


def _paired(plan: Plan) -> Iterator[Step]:
    settings = plan.settings["pair-patches"]
    own = replace(settings, contexts="lesion", outline="own", pairs_per_patch=1)
    for who, over_own in dict.fromkeys((who, _paints_over_own(name, plan)) for who, name, _ in _used(plan)):
        how, place = (own, _own_pairs(who)) if over_own else (settings, _pairs(who))
        yield _step("pair-patches", {"patches": (patches_at(who),)}, place, how, plan.seed)
    if plan.judging:
        of_test = replace(settings, split="test")
        yield _step("pair-patches", {"patches": (tested_patches(plan),)}, _TEST_PAIRS, of_test, plan.seed)


def _infillers_trained(plan: Plan) -> Iterator[Step]:
    for who, name, number in _trained(plan):
        made_from = {"patches": (patches_at(who),), "pairs": (_pairs_for(who, name, plan),)} | _own_windows(name, plan)
        made_from |= _start(who, name, number, plan)
        seed = infiller_seed(plan.seed, number)
        yield _step("train-infiller", made_from, _infiller(who, name, number, plan), plan.infillers[name], seed)


def _filled(plan: Plan) -> Iterator[Step]:
    for who, name, number in _painted(plan):
        made_from = {"infiller": (_infiller(who, name, number, plan),), "pairs": (_pairs_for(who, name, plan),)}
        made_from["patches"] = (patches_at(who),)
        settings, seed = _filling_of(who, name, plan), infiller_seed(plan.seed, number)
        step = _step("synthesize", made_from, _synthetic(who, name, number, plan), settings, seed)
        yield replace(step, says={"if_unjudged": _if_unjudged(name, plan)})


def _if_unjudged(name: str, plan: Plan) -> str:
    """Say what to write into a study file about an infiller that is never judged; "" where the study judges it."""
    if plan.judging and plan.paints_with.get(name, name) in _judged_infillers(plan):
        return ""
    judge = "" if plan.judging else "With a table [judge-infiller] in the study file it is judged after this; "
    return f"{judge}unjudged = true under [synthesize] of the study file says that this is meant."


def _filling_of(who: Patients, name: str, plan: Plan) -> Any:
    """Return how many fills are painted: enough for the largest dose, and for a gate that refuses some of them."""
    settings = plan.settings["synthesize"]
    if _paints_over_own(name, plan):  # as many fills of each context as where it is paired with several others
        more_of_each = settings.fills_per_pair * plan.settings["pair-patches"].pairs_per_patch
        settings = replace(settings, fills_per_pair=more_of_each)
    cells = [cell for cell in cells_of(plan) if (cell.patients, cell.arm.infiller) == (who, name)]
    doses = [cell.dose for cell in cells if cell.dose]
    if not doses:
        return settings
    # Classes in the proportion of the real ones, so that a dose changes how much is learned from and no more.
    more = plan.grid.painted_for_each if any(cell.arm.select != ALL for cell in cells) else 1
    return replace(settings, ratio=max(doses) * more, balance=False)


def _selected(plan: Plan) -> Iterator[Step]:
    """Yield the classifiers that read fills, and the fills that are kept of those that were painted."""
    for who in _selecting(plan):
        for part in range(_PARTS):
            place = _part(who, part)
            inputs = {"patches": (place / "patches",)}
            yield _step("train-classifier", inputs, place / "classifier", plan.readers, plan.seed)
    for place, cell in {_fills_of(cell, plan): cell for cell in cells_of(plan) if cell.arm.select != ALL}.items():
        fills = _synthetic(cell.patients, str(cell.arm.infiller), cell.infiller, plan)
        readers = tuple(_part(cell.patients, part) / "classifier" for part in range(_PARTS))
        given: dict[str, tuple[Path, ...]] = {"synthetic": (fills,), "patches": (patches_at(cell.patients),)}
        given["classifiers"] = readers
        settings = replace(plan.settings["select-synthetic"], random=cell.arm.select == RANDOM)
        settings = settings if cell.dose is None else replace(settings, ratio=cell.dose)
        yield _step("select-synthetic", given, place, settings, infiller_seed(plan.seed, cell.infiller))


def _classifiers_trained(plan: Plan) -> Iterator[Step]:
    for cell in cells_of(plan):
        learned_from = [patches_at(cell.patients)]
        if cell.arm.infiller:
            learned_from.append(_fills_of(cell, plan))
        given = {"patches": tuple(learned_from)}
        if cell.arm.discriminator:
            given["infiller"] = (_infiller(cell.patients, cell.arm.discriminator, cell.infiller, plan),)
        yield _step("train-classifier", given, _CLASSIFIERS / cell.slug, _settings_of(cell), plan.seed + cell.replicate)


def _evaluated(plan: Plan) -> Iterator[Step]:
    for cell in cells_of(plan):
        inputs = {"classifier": (_CLASSIFIERS / cell.slug,), "patches": (tested_patches(plan),)}
        yield _step("evaluate", inputs, Path("evaluations") / cell.slug, _evaluation_of(cell, plan), plan.seed)
    for cell in cells_of(plan) if plan.external else ():
        inputs = {"classifier": (_CLASSIFIERS / cell.slug,), "patches": (_EXTERNAL / "patches",)}
        yield _step("evaluate", inputs, Path("evaluations-external") / cell.slug, _external_of(cell, plan), plan.seed)


def _attributes(table: Path | None) -> dict[str, tuple[Path, ...]]:
    return {"attributes": (table,)} if table else {}


def _until_evaluated_in_folds(plan: Plan) -> Iterator[Step]:
    """Yield the same within each fold of each repeat, and what pools the folds; stage after stage over all folds."""
    # All folds have the same steps, so that the n-th stretch of one stage in each is the same work.
    within = [
        (number, _moved(step, fold, plan))
        for fold in folds_of(plan)
        for number, (_, stretch) in enumerate(
            groupby(_until_evaluated(_plan_within(fold, plan)), key=lambda step: step.stage.name)
        )
        for step in stretch
    ]
    yield from (step for _, step in sorted(within, key=lambda one: one[0]))
    pooling = stage_named("pool-folds").settings_class()
    settings = pooling(**{field.name: getattr(plan.settings["evaluate"], field.name) for field in fields(pooling)})
    for cell in cells_of(plan):
        for repeat in range(plan.grid.fold_repeats):
            of_repeat = [fold for fold in folds_of(plan) if fold.repeat == repeat]
            parts = tuple(fold.place / "evaluations" / cell.slug for fold in of_repeat)
            yield _step("pool-folds", {"evaluations": parts}, _evaluation(cell, repeat, plan), settings, plan.seed)


def _judged(plan: Plan) -> Step:
    """Return what measures the infillers, with the eyes of classifiers that learned from real patches only.

    Of an infiller that is trained several times it is the first one. Practice mammograms can be drawn without their
    lesions, which tells what a perfect infiller would score.
    """
    eyes = [next(cell for cell in cells_of(plan) if cell.arm == arm and cell.share == 1) for arm in plan.judging]
    infillers = tuple(_infiller(Patients(), name, 0, plan) for name in _judged_infillers(plan))
    seen = {"infillers": infillers, "patches": (tested_patches(plan),)}
    roles = ("classifier", "standardised")
    seen |= {role: (_CLASSIFIERS / cell.slug,) for role, cell in zip(roles, eyes, strict=False)}
    seen |= {"pairs": (_TEST_PAIRS,)} | ({"phantoms": (_PHANTOMS,)} if _can_be_drawn_again(plan) else {})
    return _step("judge-infiller", seen, _JUDGEMENT, plan.settings["judge-infiller"], plan.seed)


def _can_be_drawn_again(plan: Plan) -> bool:
    """Say whether patches show practice mammograms at their own resolution, with masses alone."""
    if plan.source is not None or plan.settings["phantom"].calcifications:
        return False
    height = plan.settings["ingest"].height_px
    return height is None or height >= plan.settings["phantom"].height_px


def _told(plan: Plan) -> Iterator[Step]:
    """Yield what compares the evaluations and writes the report."""
    repeats = range(plan.grid.fold_repeats)
    evaluations = tuple(_evaluation(cell, repeat, plan) for cell in cells_of(plan) for repeat in repeats)
    places = [fold.place for fold in folds_of(plan)] or [Path()]
    shown = {"evaluations": evaluations}
    shown |= {"judgements": tuple(place / _JUDGEMENT for place in places)} if plan.judging else {}
    if len(plan.arms) > 1:
        compared = {Path("comparison"): evaluations}
        if plan.external:
            elsewhere = tuple(Path("evaluations-external") / cell.slug for cell in cells_of(plan))
            compared[Path("comparison-external")] = elsewhere
        shown["comparisons"] = tuple(compared)
        for out, several in compared.items():
            yield _step("compare-arms", {"evaluations": several}, out, plan.settings["compare-arms"], plan.seed)
    yield _step("write-report", shown, Path("report"), plan.settings["write-report"], plan.seed)


def folds_of(plan: Plan) -> list[Fold]:
    """Return all folds of all repeats; none where the study has one split."""
    return [Fold(repeat, number) for repeat in range(plan.grid.fold_repeats) for number in range(plan.grid.folds)]


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
        role: tuple(place if place == _PHANTOMS else fold.place / place for place in places)
        for role, places in step.inputs.items()
    }
    if step.stage.name == "extract-patches":
        # The seed chooses among normal patches; all repeats must be of the same patches.
        return replace(step, inputs=inputs, out=out, seed=plan.seed)
    if step.stage.name == "evaluate":
        replicate, infiller = step.settings.replicate + fold.first_replicate(plan), step.settings.infiller
        infiller = None if infiller is None else infiller + fold.first_infiller(plan)
        told = replace(step.settings, replicate=replicate, infiller=infiller)
        return replace(step, inputs=inputs, out=out, settings=told)
    return replace(step, inputs=inputs, out=out)


def _step(name: str, inputs: Mapping[str, tuple[Path, ...]], out: Path, settings: Any, seed: int) -> Step:
    return Step(stage_named(name), inputs, out, settings, seed)


def infiller_seed(seed: int, number: int) -> int:
    """Return the seed of an infiller and of its fills: the study's own for the first, else one derived from it."""
    return derive_seed(seed, "infiller", number) if number else seed


def _painted(plan: Plan) -> list[tuple[Patients, str, int]]:
    """Return whose synthetic patches some arm learns from: patients, infiller, number."""
    cells = cells_of(plan)
    found = [(cell.patients, cell.arm.infiller, cell.infiller) for cell in cells if cell.arm.infiller is not None]
    return list(dict.fromkeys(found))


def _used(plan: Plan) -> list[tuple[Patients, str, int]]:
    """Return all infillers that something is made with: patients, infiller, number."""
    seen_through = [
        (cell.patients, cell.arm.discriminator, cell.infiller) for cell in cells_of(plan) if cell.arm.discriminator
    ]
    judged = [(Patients(), name, 0) for name in _judged_infillers(plan) if plan.judging]
    used = [*_painted(plan), *seen_through, *judged]
    lending = [(who, plan.paints_with[name], number) for who, name, number in used if name in plan.paints_with]
    return list(dict.fromkeys([*lending, *used]))


def _trained(plan: Plan) -> list[tuple[Patients, str, int]]:
    """Return those of them that the study trains."""
    return [(who, name, number) for who, name, number in _used(plan) if name not in plan.ready]


def _selecting(plan: Plan) -> list[Patients]:
    """Return from whose fills some arm selects."""
    return list(dict.fromkeys(cell.patients for cell in cells_of(plan) if cell.arm.select != ALL))


def _judged_infillers(plan: Plan) -> list[str]:
    """Return the infillers that are measured, if any are: those that arms use, or all.

    Of one that keeps a part of real lesions it is the one that lends its weights: a judge would see what is real.
    """
    names = [name for who, name, _ in _painted(plan) if who.share == 1] or list(plan.infillers)
    painters = dict.fromkeys(plan.paints_with.get(name, name) for name in names)
    return [name for name in painters if not _paints_over_own(name, plan)]


def _drawn(share: float, number: int, arm: Arm, grid: Grid) -> Patients:
    """Return who the classifiers beside an infiller, and that infiller, learn from."""
    if share == 1 or not (grid.disjoint_shares or arm.more_patients):
        return Patients(share)
    own = number if grid.disjoint_shares else 0
    return Patients(share, (own, (own + 1) % parts_of(share)) if arm.more_patients else (own,))


def cells_of(plan: Plan) -> Iterator[Cell]:
    """Yield the cells of a study, arm after arm."""
    for arm in plan.arms:
        for share, dose in plan.grid.cells_of(arm):
            for replicate in range(plan.grid.replicates):
                infiller = replicate // plan.grid.classifiers
                parts = [arm.slug]
                parts += [f"dose-{dose:g}"] if dose is not None else []
                parts += [f"share-{share:g}"] if share < 1 else []
                parts += [f"infiller-{infiller}"] if arm.has_infiller and plan.grid.infillers > 1 else []
                parts += [f"seed-{replicate}"] if plan.grid.replicates > 1 else []
                who = _drawn(share, infiller, arm, plan.grid)
                yield Cell(arm, who, dose, infiller, replicate, "_".join(parts))


def _settings_of(cell: Cell) -> Any:
    if cell.dose is None or cell.arm.select != ALL:  # of what was selected all is learned from
        return cell.arm.settings
    return replace(cell.arm.settings, **{"repeats" if cell.arm.repeated else "dose": cell.dose})


def _evaluation_of(cell: Cell, plan: Plan) -> Any:
    facts = {"arm": cell.arm.name, "replicate": cell.replicate, "dose": cell.dose, "real_share": cell.share}
    # An infiller from elsewhere is one, however often it is used: there its fingerprint tells, and no number.
    number = cell.infiller if trained_here(cell.arm, plan) else None
    return replace(plan.settings["evaluate"], **facts, infiller=number)


def trained_here(arm: Arm, plan: Plan) -> bool:
    """Say whether an infiller stands behind an arm that the study trains itself, as often as the grid says."""
    return any(name and name not in plan.ready for name in (arm.infiller, arm.discriminator))


def _external_of(cell: Cell, plan: Plan) -> Any:
    """Nobody has learned from any of these patients, so all of them test."""
    return replace(_evaluation_of(cell, plan), external=plan.external.name if plan.external else "", split="all")


def _evaluation(cell: Cell, repeat: int, plan: Plan) -> Path:
    """Return where the evaluation of a cell lies that is compared; with folds, that of one repeat, over all folds."""
    return Path("evaluations") / (f"{cell.slug}_repeat-{repeat}" if plan.grid.fold_repeats > 1 else cell.slug)


def tested_patches(plan: Plan) -> Path:
    """Return where the patches lie whose test split is tested on, where there are no folds."""
    return _TEST / "patches" if plan.test else patches_at()


def patches_at(who: Patients = Patients()) -> Path:
    """Return where the patches of some of the patients lie, or of all."""
    return who.place / "patches"


def _own_windows(name: str, plan: Plan) -> dict[str, tuple[Path, ...]]:
    """Return the windows that an infiller learns from besides the patches, as input; nothing where it has none.

    They are the same at each share of the patients: only those of the share's patches are learned from.
    """
    trained = isinstance(plan.infillers[name], TrainedInfillerSettings)
    return {"windows": (_WINDOWS,)} if trained and plan.windows is not None else {}


def _pairs(who: Patients) -> Path:
    return who.place / "pairs"


def _own_pairs(who: Patients) -> Path:
    return who.place / "own-pairs"


def _pairs_for(who: Patients, name: str, plan: Plan) -> Path:
    """Return where the pairs lie that an infiller fills."""
    return _own_pairs(who) if _paints_over_own(name, plan) else _pairs(who)


def _paints_over_own(name: str, plan: Plan) -> bool:
    """Say whether an infiller keeps a part of real lesions, and so paints over these in their own outlines."""
    return bool(plan.infillers[name].begin_time < 1)


def _start(who: Patients, name: str, number: int, plan: Plan) -> dict[str, tuple[Path, ...]]:
    """Return the infiller from whose weights one starts, as input; nothing where it has none to start from."""
    if name in plan.paints_with:
        return {"start": (_infiller(who, plan.paints_with[name], number, plan),)}
    return {"start": (plan.starts[name],)} if name in plan.starts else {}


def _infiller(who: Patients, name: str, number: int, plan: Plan) -> Path:
    if name in plan.ready:
        return plan.ready[name]
    return who.place / _numbered("infiller" if len(plan.infillers) == 1 else f"infillers/{name}", number, plan)


def _synthetic(who: Patients, name: str, number: int, plan: Plan) -> Path:
    return who.place / _numbered("synthetic" if len(plan.infillers) == 1 else f"synthetic/{name}", number, plan)


def _fills_of(cell: Cell, plan: Plan) -> Path:
    """Return where the synthetic patches lie that a cell learns from."""
    painted = _synthetic(cell.patients, str(cell.arm.infiller), cell.infiller, plan)
    if cell.arm.select == ALL:
        return painted
    dose, where = "" if cell.dose is None else f"_dose-{cell.dose:g}", cell.patients.place
    return where / cell.arm.select / f"{painted.relative_to(where).as_posix()}{dose}"


def _part(who: Patients, part: int) -> Path:
    """Return where what belongs to a third of the patients lies: patches, and the classifier that reads fills."""
    return who.place / f"readers/part-{part}"


def _numbered(place: str, number: int, plan: Plan) -> str:
    return f"{place}_{number}" if plan.grid.infillers > 1 else place
