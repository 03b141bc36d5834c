"""What a study can show, in words, before anything of it runs: the command `plan`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from mammofill.comparison.power import Assumed, Size, what_more_would_buy
from mammofill.experiment.grid import Plan, cells_of, pastes_own, trained_here
from mammofill.experiment.places import tested_patches
from mammofill.experiment.planned import content_of, design_of
from mammofill.experiment.study import Study
from mammofill.ground.counting import counted
from mammofill.ground.errors import SettingsError
from mammofill.patches import PatchSet


def plan_in_words(study: Study, assumed: Assumed, counts: tuple[int, int] | None, out: Path | None) -> str:
    """Say what a study will compare, and the smallest difference that it can show.

    Args:
        study: that was read.
        assumed: what has to be assumed of its classifiers.
        counts: benign and malignant patients in the test set, where given.
        out: folder of the study, in which patches may have been cut already.

    Raises:
        SettingsError: the number of test patients is not known.
    """
    return "\n".join(_lines(study, assumed, counts, out))


def _lines(study: Study, assumed: Assumed, counts: tuple[int, int] | None, out: Path | None) -> Iterator[str]:
    content, settings = content_of(study), study.plan.settings["compare-arms"]
    (benign, malignant), source = _patients(study, counts, out)
    yield f"study      {study.name} ({study.path})"
    yield f"test set   {counted(benign, 'patients')} with benign and {malignant} with malignant lesions ({source})"
    yield f"primary    {content['primary_measure']}, {settings.confidence:.0%} confidence, {settings.power:.0%} power"
    yield f"margin     {'none stated' if settings.margin is None else f'{settings.margin:g}'}"
    yield "arms"
    yield from (f"  {arm}: {times}" for arm, times in content["arms"].items())
    yield "tested"
    yield from (f"  {one}" for one in content["comparisons"] or ["nothing"])
    yield from (f"  not compared: {one}" for one in design_of(study.plan).not_compared())
    yield ""
    size = _size(study.plan, benign, malignant, len(content["comparisons"]))
    smallest = dict(what_more_would_buy(size, assumed))
    yield _what_is_assumed(size, assumed)
    for words, one in smallest.items():
        yield f"  {words:<52} {'nothing is a finding' if math.isnan(one) else f'{one:.3f}'}"
    yield from _not_of_all_arms(study.plan, size)
    yield from _hardly(size, assumed, smallest["as planned"])


def _size(plan: Plan, benign: int, malignant: int, comparisons: int) -> Size:
    """Return the size of a study by which the differences that it can show are computed."""
    grid, settings = plan.grid, plan.settings["compare-arms"]
    tested = [one.group.real_share for one in design_of(plan).contrasts() if one.tested]
    return Size(
        benign,
        malignant,
        grid.infillers * grid.fold_repeats,
        grid.classifiers,
        comparisons,
        settings.confidence,
        settings.power,
        training_sets=grid.training_sets if max(tested, default=1.0) < 1 else 0,
    )


def _what_is_assumed(size: Size, assumed: Assumed) -> str:
    return (
        f"Smallest true difference in AUC by lesion that would be shown, if both arms have {assumed.auc:g}, their "
        f"errors over patients correlate by {assumed.correlation:g} ({assumed.seed_correlation:g} between seeds of one "
        "arm), and an AUC varies between seeds by a standard deviation of "
        f"{assumed.infiller_sd:g} (infiller) and {assumed.classifier_sd:g} (classifier)"
        + (f", a difference between training sets by {assumed.training_set_sd:g}" if size.training_sets else "")
        + ":"
    )


def _not_of_all_arms(plan: Plan, size: Size) -> Iterator[str]:
    """Say of which arms these smallest differences are not, and why."""
    elsewhere = [arm.name for arm in plan.arms if arm.has_infiller and not trained_here(arm, plan)]
    if elsewhere and size.infillers >= 2:
        yield (
            f"Not of {', '.join(elsewhere)}: one infiller from elsewhere counts as one, however often it is used, so "
            "that no difference of such an arm is a finding."
        )
    pasting = dict.fromkeys(cell.arm.name for cell in cells_of(plan) if pastes_own(cell, plan))
    if pasting:
        yield (
            f"Not of {', '.join(pasting)}: on each training set it pastes that set's own lesions, so variation between "
            "infillers is not in it, and more infillers would only add classifiers."
        )
    tried = [arm.name for arm in plan.arms if arm.has_infiller and arm.settings.synthetic_if_better]
    if tried:
        yield (
            f"At most this of {', '.join(tried)}: where validation refuses the fills, the classifier is the one "
            "without fills, and its random variation cancels. The fewer fills are allowed, the smaller the differences "
            "that can be shown, and those to be expected."
        )


def _hardly(size: Size, assumed: Assumed, smallest: float) -> Iterator[str]:
    """Say why a study will show little or nothing, and what to change."""
    if smallest > 1 - assumed.auc:
        yield (
            f"From {assumed.auc:g} an AUC can rise by {1 - assumed.auc:g} at most: as planned, this study will hardly "
            "show a gain, however large."
        )
    if min(size.benign, size.malignant) < 2:
        yield "With fewer than two test patients of a class nothing can be shown: more patients, or folds in [grid]."
    if size.infillers < 2:
        yield (
            "With one infiller of each kind, variation between infillers is in no interval: set infillers in [grid] to "
            "3 or more."
        )


def _patients(study: Study, counts: tuple[int, int] | None, out: Path | None) -> tuple[tuple[int, int], str]:
    """Return how many test patients have a benign and a malignant lesion, and from where that is known."""
    if counts:
        return counts, "as given"
    patches = out / tested_patches(study.plan) if out else None
    if patches and (patches / "artifact.json").is_file():
        table = PatchSet.open(patches).table
        test = table[(table["split"] == "test") & (table["origin"] == "real")]
        found = tuple(
            int(test.loc[test["pathology"] == one, "patient_id"].nunique()) for one in ("benign", "malignant")
        )
        return (found[0], found[1]), f"as cut in {patches}"
    if study.plan.source is None:
        phantom = study.plan.settings["phantom"]
        tested = phantom.patients if study.plan.grid.folds else round(phantom.patients * phantom.test_share)
        return (tested // 2, tested - tested // 2), "practice mammograms, half of each class"
    raise SettingsError(
        f"{study.path}: the number of test patients is not known before ingest. Give it with --benign N and "
        "--malignant N (patients with such a lesion in the test set), or give the folder of a study that has cut its "
        "patches already as --out."
    )
