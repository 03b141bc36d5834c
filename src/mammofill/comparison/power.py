"""The smallest difference that a design can show, computed before anything runs.

What a comparison will estimate from its results must be assumed here: how good the classifiers are, how strongly the
errors of two arms, and of two seeds, correlate over the same patients, and how much infillers and classifiers of one
kind vary. The rest is the test of the comparison itself (`evaluation.intervals.Spread`), at the level that Holm leaves
to the smallest p of the family.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from mammofill.evaluation.intervals import Part, Spread
from mammofill.ground.counting import counted
from mammofill.ground.errors import check_setting


@dataclass(frozen=True)
class Assumed:
    """What has to be assumed.

    Attributes:
        auc: by lesion, of both arms.
        correlation: of the errors over the same patients of two classifiers, one of each arm, in [0, 1); errors of arms
            that learned from different patches correlate less than those of two seeds of one arm.
        seed_correlation: the same of two classifiers of one arm, in [correlation, 1]; those of two seeds of one arm on
            practice mammograms had 0.5 to 0.8.
        infiller_sd: standard deviation of the AUC over seeds of one infiller; two seeds of one GAN gave 0.576 and
            0.614, which is 0.027.
        classifier_sd: the same over seeds of the classifier, on the fills of one infiller.
        training_set_sd: standard deviation of the difference of two arms over training sets with no patient in
            common; over sets of ten practice patients each it was 0.02 (five sets) and 0.03 (twelve).
    """

    auc: float = 0.75
    correlation: float = 0.5
    seed_correlation: float = 0.65
    infiller_sd: float = 0.02
    classifier_sd: float = 0.015
    training_set_sd: float = 0.02

    def __post_init__(self) -> None:
        """Raise SettingsError unless AUC, correlations and standard deviations are in range."""
        check_setting(self, "auc", 0.5 <= self.auc < 1, "in [0.5, 1)")
        check_setting(self, "correlation", 0 <= self.correlation < 1, "in [0, 1)")
        alike = self.correlation <= self.seed_correlation <= 1
        check_setting(self, "seed_correlation", alike, f"in [correlation, 1], here [{self.correlation:g}, 1]")
        check_setting(self, "infiller_sd", self.infiller_sd >= 0, "at least 0")
        check_setting(self, "classifier_sd", self.classifier_sd >= 0, "at least 0")
        check_setting(self, "training_set_sd", self.training_set_sd >= 0, "at least 0")


@dataclass(frozen=True)
class Size:
    """How large a study is.

    Attributes:
        benign, malignant: patients with a lesion of each class in the test set.
        infillers: of each generated arm.
        classifiers: for each infiller.
        comparisons: that are tested together.
        confidence, power: as in compare-arms.
        training_sets: with no patient in common, on each of which all arms are trained with each infiller; 0 where all
            learn from the same patients.
    """

    benign: int
    malignant: int
    infillers: int
    classifiers: int
    comparisons: int
    confidence: float = 0.95
    power: float = 0.8
    training_sets: int = 0


def smallest_difference(size: Size, assumed: Assumed) -> float:
    """Return the smallest true difference in AUC by lesion that is shown in a share `power` of such studies.

    Patients count with one lesion each: with more, lesions of one patient being alike, a little less may be shown.

    Args:
        size: of the study.
        assumed: of its classifiers.

    Returns:
        A difference in AUC; NaN where a class has fewer than two patients, or an arm one infiller: no finding then.
    """
    fewer = min(size.benign, size.malignant)
    if fewer < 2 or size.infillers < 2:
        return math.nan
    sets = size.training_sets
    chains = size.infillers * size.classifiers * max(sets, 1)
    of_auc = variance_of_auc(assumed.auc, size.malignant, size.benign)
    # Error variance of each arm's mean: the part that differs between its seeds, and the part that they share.
    of_seeds = of_auc * (1 - assumed.seed_correlation) / chains
    of_arm = of_auc * (assumed.seed_correlation - assumed.correlation)
    of_classifiers = assumed.classifier_sd**2 / chains
    alone = of_classifiers + of_seeds
    infillers = Part(assumed.infiller_sd**2 / size.infillers + alone, size.infillers - 1)
    # On disjoint training sets the arms are paired: what remains is variation of sets and of both arms' classifiers.
    paired = Part(assumed.training_set_sd**2 / max(sets, 1) + 2 * alone, sets - 1)
    training = (infillers, paired if sets else Part(alone, chains - 1))
    over_patients = Part(2 * (of_arm + of_seeds), fewer - 1)
    spread = Spread(0.0, training, over_patients, 0, "difference", in_both=(3 if sets else 2) * of_seeds)
    return spread.smallest_shown((1 - size.confidence) / max(size.comparisons, 1), size.power)


def variance_of_auc(auc: float, malignant: int, benign: int) -> float:
    """Return the variance of an AUC over cases (Hanley and McNeil, Radiology 143, 1982).

    Args:
        auc: the true one.
        malignant: cases.
        benign: cases.
    """
    two_malignant, two_benign = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    parts = auc * (1 - auc) + (malignant - 1) * (two_malignant - auc**2) + (benign - 1) * (two_benign - auc**2)
    return parts / (malignant * benign)


def what_more_would_buy(size: Size, assumed: Assumed) -> Iterator[tuple[str, float]]:
    """Yield what could be enlarged, in words, and the smallest difference that could then be shown."""
    yield "as planned", smallest_difference(size, assumed)
    larger = {
        "twice as many test patients": replace(size, benign=2 * size.benign, malignant=2 * size.malignant),
        f"{size.infillers + 2} infillers in place of {size.infillers}": replace(size, infillers=size.infillers + 2),
        f"{counted(2 * size.infillers + 4, 'infillers')}": replace(size, infillers=2 * size.infillers + 4),
        f"{size.classifiers + 2} classifiers for each infiller in place of {size.classifiers}": replace(
            size, classifiers=size.classifiers + 2
        ),
        "one comparison only": replace(size, comparisons=1),
    }
    if size.training_sets:
        larger[f"{counted(2 * size.training_sets, 'training sets')}"] = replace(
            size, training_sets=2 * size.training_sets
        )
    for words, one in larger.items():
        yield words, smallest_difference(one, assumed)
