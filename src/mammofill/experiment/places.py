"""Where the artifacts of a study lie in its output folder."""

from __future__ import annotations

from pathlib import Path

from mammofill.experiment.grid import ALL, Cell, Patients, Plan, learns_from, paints_over_own

PHANTOMS = Path("phantoms")
MAMMOGRAMS = Path("mammograms")
WINDOWS = Path("infiller-windows")
TEST = Path("test")
TEST_PAIRS = Path("test-pairs")
CLASSIFIERS = Path("classifiers")
EVALUATIONS = Path("evaluations")
JUDGEMENT = Path("judgement")
EXTERNAL = Path("external")
EXTERNAL_EVALUATIONS = Path("evaluations-external")


def patches_at(who: Patients = Patients()) -> Path:
    """Return where the patches of some of the patients lie, or of all."""
    return who.place / "patches"


def tested_patches(plan: Plan) -> Path:
    """Return where the patches lie whose test split is tested on, where there are no folds."""
    return TEST / "patches" if plan.test else patches_at()


def pairs_at(who: Patients) -> Path:
    """Return where the pairs of some of the patients lie, or of all, with outlines of other patients' lesions."""
    return who.place / "pairs"


def own_pairs_at(who: Patients) -> Path:
    """Return where the pairs lie in which each lesion keeps its own outline."""
    return who.place / "own-pairs"


def pairs_for(who: Patients, name: str, plan: Plan) -> Path:
    """Return where the pairs lie that an infiller fills."""
    return own_pairs_at(who) if paints_over_own(name, plan) else pairs_at(who)


def infiller_at(who: Patients, name: str, number: int, plan: Plan) -> Path:
    """Return where an infiller lies: the one with this number that paints for these patients, or a given one."""
    if name in plan.ready:
        return plan.ready[name]
    who = learns_from(who, name, plan)
    return who.place / _numbered("infiller" if len(plan.infillers) == 1 else f"infillers/{name}", number, plan)


def synthetic_at(who: Patients, name: str, number: int, plan: Plan) -> Path:
    """Return where all synthetic patches lie that an infiller paints."""
    return who.place / _numbered("synthetic" if len(plan.infillers) == 1 else f"synthetic/{name}", number, plan)


def fills_at(cell: Cell, plan: Plan) -> Path:
    """Return where the synthetic patches lie that a cell learns from."""
    painted = synthetic_at(cell.patients, str(cell.arm.infiller), cell.infiller, plan)
    if cell.arm.select == ALL:
        return painted
    dose, where = "" if cell.dose is None else f"_dose-{cell.dose:g}", cell.patients.place
    return where / cell.arm.select / f"{painted.relative_to(where).as_posix()}{dose}"


def reader_at(who: Patients, part: int) -> Path:
    """Return where what belongs to a third of the patients lies: patches, and the classifier that reads fills."""
    return who.place / f"readers/part-{part}"


def evaluation_at(cell: Cell, repeat: int, plan: Plan) -> Path:
    """Return where the evaluation of a cell lies that is compared; with folds, that of one repeat, over all folds."""
    return EVALUATIONS / (f"{cell.slug}_repeat-{repeat}" if plan.grid.fold_repeats > 1 else cell.slug)


def _numbered(place: str, number: int, plan: Plan) -> str:
    return f"{place}_{number}" if plan.grid.infillers > 1 else place
