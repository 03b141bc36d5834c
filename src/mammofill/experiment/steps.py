"""From arms and a grid to steps: which stage runs on what, each distinct one once.

What arms share (patches, pairs, infillers, synthetic patches) is made once for each share of the patients. A *cell* is
one classifier: an arm, a dose, a share, a replicate. All cells are judged on the same test patches, those of the whole
patch set, and on all patches of an external source where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mammofill.experiment.stages import Stage, stage_named
from mammofill.ground.errors import check_setting

_TEST_PAIRS = Path("test-pairs")
_EXTERNAL = Path("external")


@dataclass(frozen=True)
class Grid:
    """In how many ways each arm is trained.

    Attributes:
        replicates: seeds of the classifier; the first is the study's own, the others follow it.
        doses: synthetic or repeated patches for each real one, for arms that have them. Without, all synthetic patches
            that `synthesize` makes are learned from.
        real_shares: shares of the train split's patients; infillers and synthetic patches are made from the same
            patients.
        every_dose_at_every_share: all combinations; otherwise shares below the largest are tried at the dose nearest 1.
    """

    replicates: int = 1
    doses: tuple[float, ...] = ()
    real_shares: tuple[float, ...] = (1.0,)
    every_dose_at_every_share: bool = False

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        check_setting(self, "replicates", self.replicates >= 1, "at least 1")
        positive = all(dose > 0 for dose in self.doses) and len(set(self.doses)) == len(self.doses)
        check_setting(self, "doses", positive, "different numbers above 0")
        shares = self.real_shares
        fits = all(0 < share <= 1 for share in shares) and len(set(shares)) == len(shares) and 1.0 in shares
        check_setting(self, "real_shares", fits, "different numbers in (0, 1], 1 among them")

    def cells_of(self, has_dose: bool) -> Iterator[tuple[float, float | None]]:
        """Yield (share, dose) of each cell of an arm, without replicates."""
        doses: tuple[float | None, ...] = self.doses if has_dose and self.doses else (None,)
        usual = min(doses, key=lambda dose: abs((dose or 1) - 1))
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

    @property
    def slug(self) -> str:
        """The name as a folder's name."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


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
    judging: Arm | None
    """The arm whose classifier judges the infillers, if they are judged."""
    seed: int
    external: External | None = None


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
class Cell:
    """One classifier of a study."""

    arm: Arm
    share: float
    dose: float | None
    replicate: int
    slug: str


def steps_of(plan: Plan) -> Iterator[Step]:
    """Yield the steps of a study in an order in which they can run: stage after stage."""
    cells = list(cells_of(plan))
    shares = list(dict.fromkeys(cell.share for cell in cells))
    painted = list(dict.fromkeys((cell.share, cell.arm.infiller) for cell in cells if cell.arm.infiller))
    judged = list(dict.fromkeys(name for share, name in painted if share == 1)) or list(plan.infillers)
    trained = list(dict.fromkeys([*painted, *((1.0, name) for name in judged if plan.judging)]))

    def step(
        name: str, inputs: Mapping[str, tuple[Path, ...]], out: Path, settings: Any, seed: int = plan.seed
    ) -> Step:
        return Step(stage_named(name), inputs, out, settings, seed)

    if plan.source is None:
        yield step("phantom", {}, Path("phantoms"), plan.settings["phantom"])
    yield step("ingest", {"source": (plan.source or Path("phantoms"),)}, Path("mammograms"), plan.settings["ingest"])
    if plan.external:
        inputs = {"source": (plan.external.source,)}
        yield step("ingest", inputs, _EXTERNAL / "mammograms", plan.external.settings)
    patches = patches_at(1.0)
    yield step("extract-patches", {"mammograms": (Path("mammograms"),)}, patches, plan.settings["extract-patches"])
    if plan.external:
        inputs = {"mammograms": (_EXTERNAL / "mammograms",)}
        yield step("extract-patches", inputs, _EXTERNAL / "patches", plan.settings["extract-patches"])
    for share in shares:
        if share < 1:
            settings = stage_named("select-patches").settings_class()(patients_share=share)
            yield step("select-patches", {"patches": (patches,)}, patches_at(share), settings)
    for share in dict.fromkeys(share for share, _ in trained):
        yield step("pair-patches", {"patches": (patches_at(share),)}, _pairs(share), plan.settings["pair-patches"])
    if plan.judging:
        of_test = replace(plan.settings["pair-patches"], split="test")
        yield step("pair-patches", {"patches": (patches,)}, _TEST_PAIRS, of_test)
    for share, name in trained:
        made_from = {"patches": (patches_at(share),), "pairs": (_pairs(share),)}
        yield step("train-infiller", made_from, _infiller(share, name, plan), plan.infillers[name])
    for share, name in painted:
        made_from = {"infiller": (_infiller(share, name, plan),), "pairs": (_pairs(share),)}
        made_from["patches"] = (patches_at(share),)
        doses = [cell.dose for cell in cells if (cell.share, cell.arm.infiller) == (share, name) and cell.dose]
        settings = plan.settings["synthesize"]
        if doses:
            # Classes in the proportion of the real ones, so that a dose changes how much is learned from and no more.
            settings = replace(settings, ratio=max(doses), balance=False)
        yield step("synthesize", made_from, _synthetic(share, name, plan), settings)
    for cell in cells:
        learned_from = [patches_at(cell.share)]
        learned_from += [_synthetic(cell.share, cell.arm.infiller, plan)] if cell.arm.infiller else []
        yield step("train-classifier", {"patches": tuple(learned_from)}, Path("classifiers") / cell.slug,
                   _settings_of(cell), plan.seed + cell.replicate)  # fmt: skip
    for cell in cells:
        inputs = {"classifier": (Path("classifiers") / cell.slug,), "patches": (patches,)}
        yield step("evaluate", inputs, Path("evaluations") / cell.slug, _evaluation_of(cell, plan))
    for cell in cells if plan.external else ():
        inputs = {"classifier": (Path("classifiers") / cell.slug,), "patches": (_EXTERNAL / "patches",)}
        yield step("evaluate", inputs, Path("evaluations-external") / cell.slug, _external_of(cell, plan))
    shown = {"evaluations": tuple(Path("evaluations") / cell.slug for cell in cells)}
    if plan.judging:
        eyes = next(cell for cell in cells if cell.arm == plan.judging and cell.share == 1)
        seen = {"infillers": tuple(_infiller(1.0, name, plan) for name in judged), "patches": (patches,)}
        seen |= {"classifier": (Path("classifiers") / eyes.slug,), "pairs": (_TEST_PAIRS,)}
        shown["judgements"] = (Path("judgement"),)
        yield step("judge-infiller", seen, Path("judgement"), plan.settings["judge-infiller"])
    if len(plan.arms) > 1:
        compared = {Path("comparison"): shown["evaluations"]}
        if plan.external:
            elsewhere = tuple(Path("evaluations-external") / cell.slug for cell in cells)
            compared[Path("comparison-external")] = elsewhere
        shown["comparisons"] = tuple(compared)
        for out, evaluations in compared.items():
            yield step("compare-arms", {"evaluations": evaluations}, out, plan.settings["compare-arms"])
    yield step("write-report", shown, Path("report"), plan.settings["write-report"])


def cells_of(plan: Plan) -> Iterator[Cell]:
    """Yield the cells of a study, arm after arm."""
    for arm in plan.arms:
        for share, dose in plan.grid.cells_of(bool(arm.infiller) or arm.repeated):
            for replicate in range(plan.grid.replicates):
                parts = [arm.slug]
                parts += [f"dose-{dose:g}"] if dose is not None else []
                parts += [f"share-{share:g}"] if share < 1 else []
                parts += [f"seed-{replicate}"] if plan.grid.replicates > 1 else []
                yield Cell(arm, share, dose, replicate, "_".join(parts))


def _settings_of(cell: Cell) -> Any:
    if cell.dose is None:
        return cell.arm.settings
    return replace(cell.arm.settings, **{"repeats" if cell.arm.repeated else "dose": cell.dose})


def _evaluation_of(cell: Cell, plan: Plan) -> Any:
    facts = {"arm": cell.arm.name, "replicate": cell.replicate, "dose": cell.dose, "real_share": cell.share}
    return replace(plan.settings["evaluate"], **facts)


def _external_of(cell: Cell, plan: Plan) -> Any:
    """Nobody has learned from any of these patients, so all of them test."""
    return replace(_evaluation_of(cell, plan), external=plan.external.name if plan.external else "", split="all")


def patches_at(share: float) -> Path:
    """Return where the patches of a share of the patients lie."""
    return _at(share) / "patches"


def _pairs(share: float) -> Path:
    return _at(share) / "pairs"


def _infiller(share: float, name: str, plan: Plan) -> Path:
    return _at(share) / ("infiller" if len(plan.infillers) == 1 else f"infillers/{name}")


def _synthetic(share: float, name: str, plan: Plan) -> Path:
    return _at(share) / ("synthetic" if len(plan.infillers) == 1 else f"synthetic/{name}")


def _at(share: float) -> Path:
    return Path() if share == 1 else Path(f"shares/{share:g}")
