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
from dataclasses import dataclass, fields, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from mammofill.experiment.stages import Stage, stage_named
from mammofill.ground.errors import check_setting
from mammofill.ground.seeding import derive_seed
from mammofill.infilling.settings import TrainedInfillerSettings

_TEST_PAIRS = Path("test-pairs")
_EXTERNAL = Path("external")
_WINDOWS = Path("infiller-windows")
FOLDS = Path("folds")
"""Below it lies what is made within single folds."""
SELECTIONS = ALL, GATED, RANDOM = "all", "gated", "random"
"""Which fills an arm learns from: those that were painted, in their order; those that `select_synthetic` keeps; or, as
the control of these, as many of each class drawn at random."""
_PARTS = 3
"""Of the patients: each trains one of the classifiers that read fills. A fill is of two patients, so of two parts at
most, and there is always a classifier that saw neither."""


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
    every_dose_at_every_share: bool = False
    folds: int = 0
    fold_repeats: int = 1
    painted_for_each: float = 2.0

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        check_setting(self, "infillers", self.infillers >= 1, "at least 1")
        check_setting(self, "classifiers", self.classifiers >= 1, "at least 1")
        positive = all(dose > 0 for dose in self.doses) and len(set(self.doses)) == len(self.doses)
        check_setting(self, "doses", positive, "different numbers above 0 (a dose of 0 is the reference arm)")
        shares = self.real_shares
        fits = all(0 < share <= 1 for share in shares) and len(set(shares)) == len(shares) and 1.0 in shares
        check_setting(self, "real_shares", fits, "different numbers in (0, 1], 1 among them")
        check_setting(self, "folds", self.folds == 0 or self.folds >= 2, "at least 2, or 0 for none")
        check_setting(self, "fold_repeats", self.fold_repeats >= 1, "at least 1")
        check_setting(self, "painted_for_each", self.painted_for_each >= 1, "at least 1")
        check_setting(self, "fold_repeats", self.fold_repeats == 1 or self.folds > 0, "1 where there are no folds")

    @property
    def replicates(self) -> int:
        """How many classifiers of each arm, dose and share there are."""
        return self.infillers * self.classifiers

    def cells_of(self, has_dose: bool) -> Iterator[tuple[float, float | None]]:
        """Yield (share, dose) of each cell of an arm, without replicates."""
        doses: tuple[float | None, ...] = self.doses if has_dose and self.doses else (None,)
        usual = min(doses, key=lambda dose: (abs((dose or 1) - 1), dose or 1))
        for share in sorted(self.real_shares, reverse=True):
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
class Cell:
    """One classifier of a study."""

    arm: Arm
    share: float
    dose: float | None
    infiller: int
    """Number of the infiller behind it, from 0; of no meaning where there is none."""
    replicate: int
    """Number among the classifiers of its arm, dose and share, from 0."""
    slug: str


def steps_of(plan: Plan) -> Iterator[Step]:
    """Yield the steps of a study in an order in which they can run: stage after stage."""
    if plan.source is None:
        yield _step("phantom", {}, Path("phantoms"), plan.settings["phantom"], plan.seed)
    yield from _until_evaluated_in_folds(plan) if plan.grid.folds else _until_evaluated(plan)
    if plan.judging:
        yield from _judged(plan)
    yield from _told(plan)


def _until_evaluated(plan: Plan) -> Iterator[Step]:
    """Yield what leads from mammograms to the evaluation of each cell, on one split of the patients."""
    cells = list(cells_of(plan))
    shares = list(dict.fromkeys(cell.share for cell in cells))
    painted = _painted(plan)
    seen_through = [(cell.share, cell.arm.discriminator, cell.infiller) for cell in cells if cell.arm.discriminator]
    judged = [(1.0, name, 0) for name in _judged_infillers(plan) if plan.judging]
    trained = list(dict.fromkeys([*painted, *seen_through, *judged]))

    def step(
        name: str, inputs: Mapping[str, tuple[Path, ...]], out: Path, settings: Any, seed: int = plan.seed
    ) -> Step:
        return _step(name, inputs, out, settings, seed)

    yield step("ingest", {"source": (plan.source or Path("phantoms"),)}, Path("mammograms"), plan.settings["ingest"])
    if plan.external:
        inputs = {"source": (plan.external.source,)}
        yield step("ingest", inputs, _EXTERNAL / "mammograms", plan.external.settings)
    patches = patches_at(1.0)
    yield step("extract-patches", {"mammograms": (Path("mammograms"),)}, patches, plan.settings["extract-patches"])
    if any(_own_windows(name, plan) for _, name, *_ in trained):
        yield step("extract-patches", {"mammograms": (Path("mammograms"),)}, _WINDOWS, plan.windows)
    if plan.external:
        inputs = {"mammograms": (_EXTERNAL / "mammograms",)}
        yield step("extract-patches", inputs, _EXTERNAL / "patches", plan.settings["extract-patches"])
    for share in shares:
        if share < 1:
            settings = stage_named("select-patches").settings_class()(patients_share=share)
            yield step("select-patches", {"patches": (patches,)}, patches_at(share), settings)
    selecting = list(dict.fromkeys(cell.share for cell in cells if cell.arm.select != ALL))
    for share in selecting:
        for part in range(_PARTS):
            settings = stage_named("select-patches").settings_class()(parts=_PARTS, part=part)
            yield step("select-patches", {"patches": (patches_at(share),)}, _part(share, part) / "patches", settings)
    for share in dict.fromkeys(share for share, _, _ in trained):
        yield step("pair-patches", {"patches": (patches_at(share),)}, _pairs(share), plan.settings["pair-patches"])
    if plan.judging:
        of_test = replace(plan.settings["pair-patches"], split="test")
        yield step("pair-patches", {"patches": (patches,)}, _TEST_PAIRS, of_test)
    for share, name, number in trained:
        made_from = {"patches": (patches_at(share),), "pairs": (_pairs(share),)} | _own_windows(name, plan)
        seed = infiller_seed(plan.seed, number)
        yield step("train-infiller", made_from, _infiller(share, name, number, plan), plan.infillers[name], seed)
    for share, name, number in painted:
        made_from = {"infiller": (_infiller(share, name, number, plan),), "pairs": (_pairs(share),)}
        made_from["patches"] = (patches_at(share),)
        doses = [cell.dose for cell in cells if (cell.share, cell.arm.infiller) == (share, name) and cell.dose]
        settings = plan.settings["synthesize"]
        if doses:
            # Classes in the proportion of the real ones, so that a dose changes how much is learned from and no more.
            some = any(cell.arm.select != ALL and cell.arm.infiller == name for cell in cells)
            settings = replace(settings, ratio=max(doses) * (plan.grid.painted_for_each if some else 1), balance=False)
        seed = infiller_seed(plan.seed, number)
        yield step("synthesize", made_from, _synthetic(share, name, number, plan), settings, seed)
    for share in selecting:
        for part in range(_PARTS):
            place = _part(share, part)
            yield step("train-classifier", {"patches": (place / "patches",)}, place / "classifier", plan.readers)
    for place, cell in {_fills_of(cell, plan): cell for cell in cells if cell.arm.select != ALL}.items():
        painted_for = _synthetic(cell.share, str(cell.arm.infiller), cell.infiller, plan)
        readers = tuple(_part(cell.share, part) / "classifier" for part in range(_PARTS))
        given = {"synthetic": (painted_for,), "patches": (patches_at(cell.share),), "classifiers": readers}
        settings = replace(plan.settings["select-synthetic"], random=cell.arm.select == RANDOM)
        settings = settings if cell.dose is None else replace(settings, ratio=cell.dose)
        yield step("select-synthetic", given, place, settings, infiller_seed(plan.seed, cell.infiller))
    for cell in cells:
        learned_from = [patches_at(cell.share)]
        if cell.arm.infiller:
            learned_from.append(_fills_of(cell, plan))
        given = {"patches": tuple(learned_from)}
        if cell.arm.discriminator:
            given["infiller"] = (_infiller(cell.share, cell.arm.discriminator, cell.infiller, plan),)
        out = Path("classifiers") / cell.slug
        yield step("train-classifier", given, out, _settings_of(cell), plan.seed + cell.replicate)
    for cell in cells:
        inputs = {"classifier": (Path("classifiers") / cell.slug,), "patches": (patches,)}
        yield step("evaluate", inputs, Path("evaluations") / cell.slug, _evaluation_of(cell, plan))
    for cell in cells if plan.external else ():
        inputs = {"classifier": (Path("classifiers") / cell.slug,), "patches": (_EXTERNAL / "patches",)}
        yield step("evaluate", inputs, Path("evaluations-external") / cell.slug, _external_of(cell, plan))


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


def _judged(plan: Plan) -> Iterator[Step]:
    """Yield what measures the infillers, with the eyes of classifiers that learned from real patches only.

    Of an infiller that is trained several times it is the first one. Practice mammograms can be drawn without their
    lesions, which tells what a perfect infiller would score.
    """
    eyes = [next(cell for cell in cells_of(plan) if cell.arm == arm and cell.share == 1) for arm in plan.judging]
    infillers = tuple(_infiller(1.0, name, 0, plan) for name in _judged_infillers(plan))
    seen = {"infillers": infillers, "patches": (patches_at(1.0),)}
    roles = ("classifier", "standardised")
    seen |= {role: (Path("classifiers") / cell.slug,) for role, cell in zip(roles, eyes, strict=False)}
    seen |= {"pairs": (_TEST_PAIRS,)} | ({"phantoms": (Path("phantoms"),)} if _can_be_drawn_again(plan) else {})
    yield _step("judge-infiller", seen, Path("judgement"), plan.settings["judge-infiller"], plan.seed)


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
    shown = {"evaluations": evaluations} | ({"judgements": (Path("judgement"),)} if plan.judging else {})
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
    inputs = {role: tuple(fold.place / place for place in places) for role, places in step.inputs.items()}
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


def _painted(plan: Plan) -> list[tuple[float, str, int]]:
    """Return whose synthetic patches some arm learns from: share, infiller, number."""
    found = [(cell.share, cell.arm.infiller, cell.infiller) for cell in cells_of(plan) if cell.arm.infiller is not None]
    return list(dict.fromkeys(found))


def _judged_infillers(plan: Plan) -> list[str]:
    """Return the infillers that are measured, if any are: those that arms use, or all."""
    return list(dict.fromkeys(name for share, name, _ in _painted(plan) if share == 1)) or list(plan.infillers)


def cells_of(plan: Plan) -> Iterator[Cell]:
    """Yield the cells of a study, arm after arm."""
    for arm in plan.arms:
        for share, dose in plan.grid.cells_of(bool(arm.infiller) or arm.repeated):
            for replicate in range(plan.grid.replicates):
                infiller = replicate // plan.grid.classifiers
                parts = [arm.slug]
                parts += [f"dose-{dose:g}"] if dose is not None else []
                parts += [f"share-{share:g}"] if share < 1 else []
                parts += [f"infiller-{infiller}"] if arm.has_infiller and plan.grid.infillers > 1 else []
                parts += [f"seed-{replicate}"] if plan.grid.replicates > 1 else []
                yield Cell(arm, share, dose, infiller, replicate, "_".join(parts))


def _settings_of(cell: Cell) -> Any:
    if cell.dose is None or cell.arm.select != ALL:  # of what was selected all is learned from
        return cell.arm.settings
    return replace(cell.arm.settings, **{"repeats" if cell.arm.repeated else "dose": cell.dose})


def _evaluation_of(cell: Cell, plan: Plan) -> Any:
    facts = {"arm": cell.arm.name, "replicate": cell.replicate, "dose": cell.dose, "real_share": cell.share}
    return replace(plan.settings["evaluate"], **facts, infiller=cell.infiller if cell.arm.has_infiller else None)


def _external_of(cell: Cell, plan: Plan) -> Any:
    """Nobody has learned from any of these patients, so all of them test."""
    return replace(_evaluation_of(cell, plan), external=plan.external.name if plan.external else "", split="all")


def _evaluation(cell: Cell, repeat: int, plan: Plan) -> Path:
    """Return where the evaluation of a cell lies that is compared; with folds, that of one repeat, over all folds."""
    return Path("evaluations") / (f"{cell.slug}_repeat-{repeat}" if plan.grid.fold_repeats > 1 else cell.slug)


def patches_at(share: float) -> Path:
    """Return where the patches of a share of the patients lie."""
    return _at(share) / "patches"


def _own_windows(name: str, plan: Plan) -> dict[str, tuple[Path, ...]]:
    """Return the windows that an infiller learns from besides the patches, as input; nothing where it has none.

    They are the same at each share of the patients: only those of the share's patches are learned from.
    """
    trained = isinstance(plan.infillers[name], TrainedInfillerSettings)
    return {"windows": (_WINDOWS,)} if trained and plan.windows is not None else {}


def _pairs(share: float) -> Path:
    return _at(share) / "pairs"


def _infiller(share: float, name: str, number: int, plan: Plan) -> Path:
    return _at(share) / _numbered("infiller" if len(plan.infillers) == 1 else f"infillers/{name}", number, plan)


def _synthetic(share: float, name: str, number: int, plan: Plan) -> Path:
    return _at(share) / _numbered("synthetic" if len(plan.infillers) == 1 else f"synthetic/{name}", number, plan)


def _fills_of(cell: Cell, plan: Plan) -> Path:
    """Return where the synthetic patches lie that a cell learns from."""
    painted = _synthetic(cell.share, str(cell.arm.infiller), cell.infiller, plan)
    if cell.arm.select == ALL:
        return painted
    dose = "" if cell.dose is None else f"_dose-{cell.dose:g}"
    return _at(cell.share) / cell.arm.select / f"{painted.relative_to(_at(cell.share)).as_posix()}{dose}"


def _part(share: float, part: int) -> Path:
    """Return where what belongs to a part of the patients lies: patches, and the classifier that reads fills."""
    return _at(share) / f"readers/part-{part}"


def _numbered(place: str, number: int, plan: Plan) -> str:
    return f"{place}_{number}" if plan.grid.infillers > 1 else place


def _at(share: float) -> Path:
    return Path() if share == 1 else Path(f"shares/{share:g}")
