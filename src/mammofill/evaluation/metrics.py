"""Measures of a binary classifier: malignant (True) against benign (False), from scores with one weight per patch.

The weights are what makes the bootstrap fast: a resample of patients is a weight per patch (how often its patient was
drawn), so no patch is ever copied. With all weights 1 the measures are the ordinary ones. What is
measured, patches, lesions or patients, is for `units` to say.

=============================  ========================================================================================
accuracy                       share of patches called right
recall                         share of malignant patches called malignant (sensitivity)
specificity                    share of benign patches called benign
balanced_accuracy              mean of recall and specificity, which is what the paper's column "AUC" holds
auc                            area under the ROC curve of the scores
pr_auc                         average precision: precision at each threshold, weighted by the recall gained there
recall_at_specificity_X        greatest recall of any threshold whose specificity is at least X; nothing interpolated.
                               That threshold is chosen on the very cases that it is measured on: an operating point
                               of the curve, a little better than one that was frozen before
specificity_at_recall_X        greatest specificity of any threshold whose recall is at least X; the same holds
ppv_at_prevalence_X            share of those called malignant who are, were malignant ones a share X of all (Bayes; at
                               the threshold): a test set that was collected by lesion has not the share of the clinic
npv_at_prevalence_X            share of those called benign who are, likewise
brier                          mean squared distance of the probability from the truth (Brier, 1950); lower is better
ece                            expected calibration error over `CALIBRATION_BINS` bins of equal width; lower is better
nll                            mean negative log-likelihood of the truth, in nats; lower is better
calibration_slope              of the truth against the log-odds, see `logistic`; 1 is right
calibration_intercept          the same with the slope held at 1; 0 is right
=============================  ========================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from mammofill.evaluation.logistic import calibration_intercept, calibration_slope

MEASURES = ("auc_by_lesion", "auc", "auc_by_patient", "accuracy", "recall", "specificity", "balanced_accuracy")
"""Those that every table of results shows, with their unit (`units`); see the module for all."""

AT_THRESHOLD = ("accuracy", "recall", "specificity", "balanced_accuracy")
"""Those that need a threshold; the others are of the scores alone."""

LOWER_IS_BETTER = ("brier", "ece", "nll")

OF_CALIBRATION = ("calibration_slope", "calibration_intercept")
"""Those for which neither lower nor higher is better."""

BIASED = ("ece",)
"""Those without an interval: it is biased upwards in small samples, so that an interval would miss the true value."""

CALIBRATION_BINS = 10
"""Bins of equal width over [0, 1], as Guo et al., "On calibration of modern neural networks", ICML 2017, draw them
(they take 15 for test sets of 10,000; ours are a twentieth of that)."""

Weights = NDArray[np.float64]
Values = NDArray[np.float64]

_PLAIN = ("auc", "pr_auc", *AT_THRESHOLD, *LOWER_IS_BETTER, *OF_CALIBRATION)
_AT_LEVEL = re.compile(r"(recall_at_specificity|specificity_at_recall)_(0\.\d+)")


_AT_PREVALENCE = re.compile(r"(ppv|npv)_at_prevalence_(0\.\d+)")


def is_measure(name: str) -> bool:
    """Say whether there is a measure of this name."""
    at = _AT_LEVEL.fullmatch(name) or _AT_PREVALENCE.fullmatch(name)
    return name in _PLAIN or bool(at and float(at[2]) > 0)


def measure(
    names: Iterable[str],
    malignant: NDArray[np.bool_],
    logits: NDArray[np.float64],
    threshold: float,
    weights: Weights,
    folds: NDArray[np.int64] | None = None,
) -> dict[str, Values]:
    """Compute measures for one or many sets of weights.

    Args:
        names: of measures, as in the table of this module.
        malignant: (n,) the truth.
        logits: (n,) float64 log-odds of malignancy.
        threshold: in log-odds; from it on a patch is called malignant. Probabilities would tie near 0 and 1.
        weights: (r, n), one row per set of weights, each at least 0.
        folds: (n,) by which fold's classifier each case was scored; the AUC then ranks within folds only.

    Returns:
        measure -> (r,) float64; NaN where a class that it needs has no weight.
    """
    measured = _Measured(malignant, logits, threshold, weights, folds)
    return {name: measured.value(name) for name in names}


def weighted_auc(malignant: NDArray[np.bool_], logits: NDArray[np.float64], weights: Weights) -> Values:
    """Compute the area under the ROC curve from ranks, ties counting half.

    It is the weighted share of pairs (malignant, benign) in which the malignant patch has the higher score: the
    Mann-Whitney statistic (Hanley and McNeil, Radiology, 1982).

    Args:
        malignant: (n,) the truth.
        logits: (n,) float64. Probabilities in float32 would saturate and tie.
        weights: (r, n).

    Returns:
        (r,) float64; NaN where a class has no weight.
    """
    return WeightedCurve(malignant, logits, weights).auc()


def auc_within_folds(
    malignant: NDArray[np.bool_], logits: NDArray[np.float64], weights: Weights, folds: NDArray[np.int64]
) -> Values:
    """Compute the share of pairs (malignant, benign) ranked rightly, of pairs that one classifier ranked.

    Scores of the classifiers of two folds lie on two scales. Ranked against each other they show how well the scales
    were aligned, which lowers the AUC of any arm (Forman and Scholz, SIGKDD Explorations 12, 2010). So each pair is of
    one fold: the mean of the folds' AUCs, weighted by their pairs.

    Args:
        malignant: (n,) the truth.
        logits: (n,) float64.
        weights: (r, n).
        folds: (n,) which fold scored each case.

    Returns:
        (r,) float64; NaN where no fold has both classes.
    """
    won, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for fold in np.unique(folds):
        inside = folds == fold
        curve = WeightedCurve(malignant[inside], logits[inside], weights[:, inside])
        of_fold = np.nan_to_num(curve.positive * curve.negative)
        pairs += of_fold
        won += np.nan_to_num(curve.auc()) * of_fold
    return _share(won, pairs)


def roc_curve(
    malignant: NDArray[np.bool_], logits: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ROC curve: 1 - specificity and recall as the threshold falls, from (0, 0) to (1, 1)."""
    from sklearn.metrics import roc_curve as curve

    false_positive, true_positive, _ = curve(malignant, logits, drop_intermediate=True)
    return false_positive, true_positive


class WeightedCurve:
    """What is called malignant as the threshold falls from the highest score to the lowest, for each set of weights.

    Attributes:
        true: (r, t) weight of malignant patches called malignant at each of t thresholds (equal scores share one).
        false: (r, t) weight of benign patches called malignant.
        positive, negative: (r,) weight of each class; NaN instead of 0.
    """

    def __init__(self, malignant: NDArray[np.bool_], logits: NDArray[np.float64], weights: Weights) -> None:
        order = np.argsort(-logits, kind="stable")
        falling, truth = logits[order], malignant[order]
        ordered = weights[:, order]
        last_of_ties = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
        no_ties = len(last_of_ties) == len(falling)
        self.true, self.false = (np.cumsum(ordered * of_class, axis=1) for of_class in (truth, ~truth))
        if not no_ties:
            self.true, self.false = self.true[:, last_of_ties], self.false[:, last_of_ties]
        self.positive, self.negative = (
            np.where(called[:, -1] > 0, called[:, -1], np.nan) for called in (self.true, self.false)
        )

    def auc(self) -> Values:
        """Return the area under the ROC curve, (r,)."""
        # Trapezoids: the benign patches of a threshold lie below all malignant ones before it and tie with its own.
        gained = np.diff(self.false, axis=1, prepend=0.0)
        before = self.true - np.diff(self.true, axis=1, prepend=0.0) / 2
        area: Values = np.einsum("rt,rt->r", gained, before) / (self.positive * self.negative)
        return area

    def average_precision(self) -> Values:
        """Return the area under the precision-recall curve in steps, (r,)."""
        called = self.true + self.false
        precision = np.divide(self.true, called, out=np.zeros_like(called), where=called > 0)
        area: Values = np.einsum("rt,rt->r", np.diff(self.true, axis=1, prepend=0.0), precision) / self.positive
        return np.where(np.isnan(self.negative), np.nan, area)

    def recall_at(self, specificity: float) -> Values:
        """Return the greatest recall of any threshold with at least this specificity, (r,)."""
        # What is called only grows as the threshold falls: the last threshold that is allowed calls the most.
        allowed = (self.false <= (1 - specificity) * self.negative[:, None] + 1e-9).sum(axis=1)
        best = np.where(allowed > 0, self.true[np.arange(len(allowed)), allowed - 1], 0.0)
        return np.where(np.isnan(self.negative), np.nan, best / self.positive)

    def specificity_at(self, recall: float) -> Values:
        """Return the greatest specificity of any threshold with at least this recall, (r,)."""
        first_enough = (self.true < recall * self.positive[:, None] - 1e-9).sum(axis=1)
        least = self.false[np.arange(len(first_enough)), first_enough]
        found: Values = np.where(np.isnan(self.positive), np.nan, 1 - least / self.negative)
        return found


class _Measured:
    """One classifier's scores under some weights; what several measures need is computed once."""

    def __init__(
        self,
        malignant: NDArray[np.bool_],
        logits: NDArray[np.float64],
        threshold: float,
        weights: Weights,
        folds: NDArray[np.int64] | None = None,
    ) -> None:
        self.malignant, self.logits, self.threshold, self.weights = malignant, logits, threshold, weights
        self.folds = folds

    def value(self, name: str) -> Values:
        if at := _AT_LEVEL.fullmatch(name):
            level = float(at[2])
            of_recall = at[1] == "recall_at_specificity"
            return self.curve.recall_at(level) if of_recall else self.curve.specificity_at(level)
        if at := _AT_PREVALENCE.fullmatch(name):
            return self.predictive_value(float(at[2]), of_positives=at[1] == "ppv")
        match name:
            case "auc" if self.folds is not None:
                return auc_within_folds(self.malignant, self.logits, self.weights, self.folds)
            case "auc":
                return self.curve.auc()
            case "pr_auc":
                return self.curve.average_precision()
            case "accuracy":
                return self.mean(self.malignant == self.called)
            case "recall":
                return self.recall
            case "specificity":
                return self.specificity
            case "balanced_accuracy":
                return (self.recall + self.specificity) / 2
            case "brier":
                return self.mean((expit(self.logits) - self.malignant) ** 2)
            case "nll":
                return self.mean(np.logaddexp(0.0, np.where(self.malignant, -self.logits, self.logits)))
            case "ece":
                return self.calibration_error()
            case "calibration_slope":
                return calibration_slope(self.malignant, self.logits, self.weights)
            case "calibration_intercept":
                return calibration_intercept(self.malignant, self.logits, self.weights)
        raise ValueError(name)

    @cached_property
    def curve(self) -> WeightedCurve:
        return WeightedCurve(self.malignant, self.logits, self.weights)

    @cached_property
    def called(self) -> NDArray[np.bool_]:
        return self.logits >= self.threshold

    @cached_property
    def recall(self) -> Values:
        return _share(self.weights @ (self.malignant & self.called), self.weights @ self.malignant)

    @cached_property
    def specificity(self) -> Values:
        return _share(self.weights @ (~self.malignant & ~self.called), self.weights @ ~self.malignant)

    def predictive_value(self, prevalence: float, of_positives: bool) -> Values:
        """Return the share of calls of one kind that are right where malignant cases are so frequent; NaN for none."""
        right = (self.recall * prevalence, self.specificity * (1 - prevalence))
        wrong = ((1 - self.specificity) * (1 - prevalence), (1 - self.recall) * prevalence)
        side = 0 if of_positives else 1
        return _share(right[side], right[side] + wrong[side])

    def mean(self, values: NDArray[np.bool_] | NDArray[np.float64]) -> Values:
        return _share(self.weights @ values, self.weights.sum(axis=1))

    def calibration_error(self) -> Values:
        probability = expit(self.logits)
        surplus = (probability - self.malignant)[:, None] * (bin_of(probability)[:, None] == range(CALIBRATION_BINS))
        return _share(np.abs(self.weights @ surplus).sum(axis=1), self.weights.sum(axis=1))


def bin_of(probability: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return which of `CALIBRATION_BINS` bins each probability falls into, (n,) int64 from 0."""
    return np.minimum((probability * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)


def _share(part: Values, whole: Values) -> Values:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
