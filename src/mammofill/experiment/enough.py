"""Before anything runs: has a study the patients that it needs in each split and class, and tissue to paint into?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from mammofill.experiment.first_study import typical_size
from mammofill.experiment.leaks import Sides
from mammofill.experiment.steps import Step
from mammofill.experiment.study import Study
from mammofill.ground.errors import MammofillError, SettingsError, TooFewError
from mammofill.phantom.draw import is_malignant


def too_few_patients(study: Study, one: Sides) -> Iterator[MammofillError]:
    """Yield a fault for each split that is needed of a source and in which a class has no patient."""
    instead = "Take another split, share or seed in [ingest], or another abnormality."
    if one.split.kind.startswith("official"):
        instead = (
            "The split is the collection's own (of a table: its column split). Mend it, draw another one with "
            'split = "patients" in [ingest], or take another abnormality.'
        )
    where = f" of {one.step.out.parent}" if study.plan.grid.folds else ""
    needed: dict[str, tuple[str, ...]] = {f"the {name} split{where}": (name,) for name in _splits_of(study, one)}
    if one.is_external:
        needed = {"the external source, all of which tests,": ("train", "validation", "test")}
        instead = "Take another source for [external], or another abnormality."
    for words, splits in needed.items():
        empty = [pathology for pathology in ("benign", "malignant") if not one.with_lesions(*splits, of=pathology)]
        if not empty:
            continue
        kind = "" if one.abnormality == "all" else f" {one.abnormality}"
        first = one.collection.exclusions[0].found if one.collection.exclusions else ""
        left_out = f" The first thing left out: {first}" if first else ""
        yield TooFewError(
            f"{one.source}: no patient in {words} has a {' or '.join(empty)}{kind} lesion. {instead}{left_out}"
        )


def too_few_phantoms(study: Study, waiting: list[Step]) -> Iterator[MammofillError]:
    """Yield a fault for each group of practice patients that is needed and will be empty, before one is drawn."""
    plan = study.plan
    if plan.source is not None or not {"ingest", "evaluate"} <= {step.stage.name for step in waiting}:
        return
    drawn, folds = plan.settings["phantom"], plan.grid.folds
    malignant = sum(is_malignant(number, drawn) for number in range(drawn.patients))
    fewest = min(malignant, drawn.patients - malignant)
    if fewest < max(folds, 1):
        yield TooFewError(
            f"{study.path}: [phantom] draws {malignant} malignant and {drawn.patients - malignant} benign patients, "
            f"but each of {folds or 1} test sets needs both. Draw more patients, or take fewer folds in [grid]."
        )
    if plan.settings["extract-patches"].abnormality == "calcification" and not drawn.calcifications:
        yield TooFewError(
            f"{study.path}: abnormality in [extract-patches] is calcification, but [phantom] draws none. Set "
            "calcifications = true there, or take masses."
        )
    if plan.settings["ingest"].validation_share == 0 and chooses_on_validation(study):
        yield TooFewError(
            f"{study.path}: validation_share is 0 in [ingest], but classifiers choose on validation patients. Take a "
            "larger share, or choose nothing: threshold_rule half, keep last, no patience and no synthetic_if_better."
        )


def empty_shares(waiting: list[Step], sides: list[Sides]) -> Iterator[MammofillError]:
    """Yield a fault where a share of the train patients of a class has no patient, see `choose_patients`."""
    shares = {step.settings.patients_share for step in waiting if step.stage.name == "select-patches"}
    for one in (side for side in sides if side.is_own):
        malignant = one.with_lesions("train", of="malignant")
        classes = {"malignant": malignant, "benign": one.with_lesions("train", of="benign") - malignant}
        for share, (pathology, patients) in product(sorted(shares), classes.items()):
            # Patients whose patches are all dropped are not counted there, which leaves even fewer.
            if patients and not round(share * len(patients)):
                yield TooFewError(
                    f"{one.source}: a share of {share:g} of the {len(patients)} {pathology} patients of the train "
                    "split has no patient. Take larger shares in [grid], or more patients."
                )


def no_normal_patches(study: Study, waiting: list[Step], sides: list[Sides]) -> Iterator[MammofillError]:
    """Yield a fault where normal patches are to be filled, and none are cut."""
    paired = [step.settings.contexts for step in waiting if step.stage.name == "pair-patches"]
    settings = study.plan.settings["extract-patches"]
    if "normal" not in paired or settings.normals_per_mammogram != 0 or settings.whole:
        return
    # Of crops no windows are cut, and a normal one is a patch all the same. Practice mammograms are none.
    sizes = [typical_size(one.collection) for one in sides if one.is_own]
    if settings.whole is False or study.plan.source is None or any(size and size[0] != size[1] for size in sizes):
        yield SettingsError(
            f"{study.path}: normals_per_mammogram = 0 in [extract-patches] cuts no normal patch, but contexts is "
            'normal in [pair-patches]: there is nothing to paint into. Set it to 1 or more, or contexts to "lesion".'
        )


def _splits_of(study: Study, one: Sides) -> tuple[str, ...]:
    """Return which splits of a source the study learns from, chooses on or tests on."""
    made = {step.stage.name for step in study.steps}
    tested_on = ("test",) if "evaluate" in made else ()
    if one.is_test:
        return tested_on
    learned_from = ("train",) if made & {"train-classifier", "train-infiller", "select-patches"} else ()
    chosen_on = ("validation",) if chooses_on_validation(study) else ()
    return (*learned_from, *chosen_on, *(() if study.plan.test else tested_on))


def chooses_on_validation(study: Study) -> bool:
    """Say whether some classifier chooses its threshold or weights on validation patients."""
    trained = [step.settings for step in study.steps if step.stage.name == "train-classifier"]
    return any(one.chooses_on_validation for one in trained)
