"""What may make the statements of a comparison wrong, or weaker than they look, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import pandas as pd

from mammofill.comparison.comparison import NOT_SHOWN
from mammofill.comparison.design import Group, infillers_of, training_sets
from mammofill.comparison.differences import Measured
from mammofill.comparison.groups import Groups
from mammofill.comparison.settings import CompareArmsSettings
from mammofill.comparison.words import group_of, in_words, name_of, records_of
from mammofill.evaluation.evaluation import Evaluation
from mammofill.evaluation.training import UNKNOWN
from mammofill.ground.counting import counted

_AS_LONG = 0.01
"""Trainings whose lengths differ by less count as equally long: one batch more or less does not matter."""

_MOST_NAMED = 10
"""Training sets that a caution names one by one."""

_FEW_PATIENTS = 20
"""Of a class; below it the intervals of the simulated studies of docs/statistics.md were the least reliable."""


def cautions(
    groups: Groups, measured: Measured, tested: pd.DataFrame, name: str, settings: CompareArmsSettings
) -> Iterator[str]:
    """Yield the cautions of a comparison, each as one text.

    Args:
        groups: the evaluations.
        measured: what they measure.
        tested: rows of the differences that were tested.
        name: of the primary measure.
        settings: of the comparison.
    """
    yield from _trained_once(groups)
    yield from _counted_twice(groups)
    yield from _longer(groups, tested)
    yield from _trained_otherwise(groups)
    yield from _drawn_once(groups)
    yield from _not_in_pairs(groups)
    few = min(found[name].patients for found in measured.values())
    if few < _FEW_PATIENTS:
        yield (
            f"Only {counted(few, 'patients have')} patches of the class that limits the {in_words(name)}: intervals "
            f"were not validated on fewer than {_FEW_PATIENTS}, and may be too narrow."
        )
    left_out = int(tested["left_out"].max()) if len(tested) else 0
    if left_out:
        yield (
            f"In up to {left_out} of {settings.resamples} resamples of patients a class was missing; they were left "
            "out, which makes the intervals a little too narrow."
        )
    yield from _pooled(groups)
    if (tested["verdict"] == NOT_SHOWN).any():
        yield "That no difference was shown does not mean that there is none."


def _trained_once(groups: Groups) -> Iterator[str]:
    """Say of which groups variation between trainings, or between infillers, is in no interval."""
    trained = {group.name: groups.trained(group) for group in groups.members}
    alone = [which for which, one in trained.items() if one.classifiers == 1]
    if len(alone) == len(trained):
        yield (
            "Every arm was trained once. Random variation from initial weights and data order is in no interval, and "
            "can be as large as a difference between arms: the statements hold for these trained networks only."
        )
    elif alone:
        yield f"Trained once, so that variation between trainings is not in the interval: {'; '.join(alone)}."
    unknown = [group.name for group, several in groups.members.items() if UNKNOWN in infillers_of(several)]
    if unknown:
        yield (
            f"Which infillers painted the fills is no longer known, so that all count as one infiller: "
            f"{'; '.join(unknown)}. Put the synthetic patches back to their place and evaluate again, or number the "
            "infillers with infiller in evaluate."
        )
    single = [which for which, one in trained.items() if one.infillers == 1 and one.classifiers > 1]
    single = [which for which in single if which not in unknown]
    if single:
        yield (
            f"One infiller, so that variation between infillers is not in the interval: {'; '.join(single)}. Another "
            "seed of the same GAN may move an AUC by as much as a seed of the classifier does; three infillers or "
            "more would show it."
        )


def _counted_twice(groups: Groups) -> Iterator[str]:
    """Say which evaluations of a group have the same scores, as where one classifier was evaluated twice."""
    twice = [
        f"replicates {one.replicate} and {other.replicate} of {group.name}"
        for group, several in groups.members.items()
        for one, other in combinations(several, 2)
        if one.shared_with(other) == 1
    ]
    if twice:
        more = f" and {len(twice) - _MOST_NAMED} more" if len(twice) > _MOST_NAMED else ""
        yield (
            f"Scores that are bit-identical, as of one classifier that counts as two trainings: "
            f"{'; '.join(twice[:_MOST_NAMED])}{more}. Variation between trainings is then underestimated, and "
            "intervals are too narrow. Give each classifier once, and train each replicate with a seed of its own."
        )


def _longer(groups: Groups, tested: pd.DataFrame) -> Iterator[str]:
    """Say which arms saw more images in training than those that they are compared with."""
    longer = []
    for row in records_of(tested):
        own, other = (groups.images_seen(group_of(row, role)) for role in ("arm", "against"))
        if own and other and abs(own - other) > _AS_LONG * other:
            longer.append(f"{name_of(row)} saw {own:.0f} images, {name_of(row, 'against')} {other:.0f}")
    if longer:
        yield (
            f"Not trained equally long: {'; '.join(longer)}. A difference between them may be one of the length of "
            "training, not of what was added. With images in train-classifier, in place of epochs, all see as many; an "
            "arm with repeated real patches sees as many as one with generated ones."
        )


def _trained_otherwise(groups: Groups) -> Iterator[str]:
    """Say of which arms not all classifiers were trained in the same way."""
    mixed = [arm for arm in groups.arms if len(groups.recipes_of(arm)) > 1]
    if mixed:
        yield (
            f"Not all classifiers of one arm were trained in the same way: {', '.join(mixed)}. Settings, weights or "
            "versions of mammofill differ between them, so that replicates differ by more than random variation "
            "between trainings, and an arm is not one method."
        )


def _drawn_once(groups: Groups) -> Iterator[str]:
    """Say of which groups all classifiers learned from the same part of the patients."""
    shares = sorted({group.real_share for group in groups.members if groups.drawn_once(group)})
    if shares:
        percentages = ", ".join(f"{100 * share:g} %" for share in shares)
        yield (
            f"At {percentages} of the real patients all classifiers of an arm learned from the same ones: variation "
            "between draws of patients is in no interval, and may be larger than that between seeds. training_sets or "
            "disjoint_shares in [grid] draw others for each."
        )


def _not_in_pairs(groups: Groups) -> Iterator[str]:
    """Say which training sets one side of a comparison lacks, so that it is not made within each."""
    lacking: list[str] = []
    for one in groups.design.contrasts():
        own, other = (_on_training_sets(groups.members[group]) for group in (one.group, one.against))
        if own.keys() & other.keys():
            lacking += [*_lacking(one.group, own, other), *_lacking(one.against, other, own)]
    if lacking:
        yield (
            "Not compared within each training set, because one arm lacks some of them: "
            f"{'; '.join(dict.fromkeys(lacking))}. The difference then includes variation between training sets, and "
            "intervals are wider. Train and evaluate what is missing."
        )


def _on_training_sets(evaluations: Sequence[Evaluation]) -> dict[str, str]:
    """Return what each training set is called, with an evaluation on it, by its name in `training_sets`."""
    of_sets = dict(zip(training_sets(evaluations), evaluations, strict=False))
    return {
        name: f"the training set of {one.folder.name}{'' if one.training_set is None else f' ({name})'}"
        for name, one in of_sets.items()
    }


def _lacking(group: Group, own: Mapping[str, str], other: Mapping[str, str]) -> Iterator[str]:
    missing = [words for name, words in other.items() if name not in own]
    if missing:
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        yield f"{group.name} lacks {', '.join(missing[:_MOST_NAMED])}{more}"


def _pooled(groups: Groups) -> Iterator[str]:
    """Say what pooled folds leave open."""
    counts = {len(one.folds) for evaluations in groups.members.values() for one in evaluations}
    if counts == {0}:
        return
    yield (
        f"Each patient was scored by one of {max(counts)} classifiers, of different folds whose training patients "
        "overlap. The intervals treat these patients and classifiers as independent, which they are not entirely: "
        "there is no unbiased estimator of the variance of a cross-validation (Bengio and Grandvalet, 2004), and the "
        "intervals may be too narrow. An AUC counts pairs within folds only, each ranked by one classifier; "
        "precision-recall curves and operating points are of all folds together, each score from its own fold's "
        "threshold."
    )
