"""Settings of evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from mammofill.evaluation.metrics import is_measure
from mammofill.ground.artifact import execution
from mammofill.ground.errors import check_setting


@dataclass(frozen=True)
class EvaluateSettings:
    """How a classifier is judged, and where it stands among the others of a study.

    Attributes:
        arm: name of this classifier in tables and figures; empty takes the classifier's own label.
        replicate: number of the training seed, from 0; classifiers of one arm that differ in nothing else are
            replicates of each other.
        dose: synthetic or repeated patches for each real one that the classifier learned from; left out where there
            are none, or where nobody counted.
        real_share: share of the train split's patients that the classifier learned from, in (0, 1].
        split: whose patches it is judged on; all takes every patient of an external test set.
        external: name of the source that the test patches are from, where it is not the one that the classifier's own
            patches are from; empty for the test split of its own collection.
        specificities: at which recall is measured, each in (0, 1).
        recalls: at which specificity is measured, each in (0, 1).
        resamples: bootstrap resamples of patients behind each interval.
        confidence: of an interval, in (0, 1).
        attention: whether to look where the classifier looks, as well; takes about as long again as scoring.
        heat_maps: of how many of the hardest patches, and of how many drawn by chance, pictures are made.
        batch: patches scored at once. Does not change the scores beyond rounding.
    """

    arm: str = ""
    replicate: int = 0
    dose: float | None = None
    real_share: float = 1.0
    split: str = "test"
    external: str = ""
    specificities: tuple[float, ...] = (0.8, 0.9)
    recalls: tuple[float, ...] = (0.8, 0.9)
    resamples: int = 2000
    confidence: float = 0.95
    attention: bool = True
    heat_maps: int = 6
    batch: int = execution(32)

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        check_setting(self, "replicate", self.replicate >= 0, "at least 0")
        check_setting(self, "dose", self.dose is None or self.dose > 0, "above 0, or left out")
        check_setting(self, "real_share", 0 < self.real_share <= 1, "in (0, 1]")
        splits = ("train", "validation", "test")
        check_setting(self, "split", self.split in (*splits, "all"), "train, validation or test")
        whole = self.split != "all" or bool(self.external)
        check_setting(self, "split", whole, "train, validation or test unless external names another source")
        _check_measuring(self)
        check_setting(self, "heat_maps", self.heat_maps >= 0, "at least 0")
        check_setting(self, "batch", self.batch >= 1, "at least 1")


@dataclass(frozen=True)
class PoolFoldsSettings:
    """How the pooled scores of a cross-validation are measured.

    Attributes:
        specificities: at which recall is measured, each in (0, 1).
        recalls: at which specificity is measured, each in (0, 1).
        resamples: bootstrap resamples of patients behind each interval.
        confidence: of an interval, in (0, 1).
    """

    specificities: tuple[float, ...] = (0.8, 0.9)
    recalls: tuple[float, ...] = (0.8, 0.9)
    resamples: int = 2000
    confidence: float = 0.95

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        _check_measuring(self)


@dataclass(frozen=True)
class CompareArmsSettings:
    """How the arms of a study are compared.

    Attributes:
        reference: name of the arm that the others are compared with; empty takes that of the first evaluation.
        pairs: further planned comparisons, each two names of arms: the first against the second, at the same dose.
        planned_doses: doses at which comparisons are planned; without any, all. What is not planned is computed and
            shown, but belongs to no family and gets no verdict.
        measures: what is compared. The first is the primary one, about which sentences are written. A recall at a
            fixed specificity is written ``recall_at_specificity_0.9``, a specificity ``specificity_at_recall_0.9``.
        resamples: bootstrap resamples of patients, the same ones for all arms.
        confidence: of intervals, in (0, 1); one minus it is the error that a family of comparisons may make.
        power: with which the smallest difference that could have been shown is stated, in (0.5, 1).
        curve_resamples: of the resamples, how many are behind the bands of curves.
        hardest: patches in the table of the hardest ones.
    """

    reference: str = ""
    pairs: tuple[tuple[str, str], ...] = ()
    planned_doses: tuple[float, ...] = ()
    measures: tuple[str, ...] = (
        "auc",
        "pr_auc",
        "balanced_accuracy",
        "accuracy",
        "recall",
        "specificity",
        "recall_at_specificity_0.9",
        "specificity_at_recall_0.9",
        "brier",
    )
    resamples: int = 2000
    confidence: float = 0.95
    power: float = 0.8
    curve_resamples: int = 500
    hardest: int = 24

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        fits = all(one != other for one, other in self.pairs) and len(set(self.pairs)) == len(self.pairs)
        check_setting(self, "pairs", fits, "different pairs of two different arms")
        check_setting(self, "planned_doses", all(dose > 0 for dose in self.planned_doses), "numbers above 0")
        known = bool(self.measures) and len(set(self.measures)) == len(self.measures)
        known = known and all(is_measure(name) for name in self.measures)
        words = "auc, pr_auc, accuracy, balanced_accuracy, recall, specificity, recall_at_specificity_X, "
        words += "specificity_at_recall_X, brier, ece or nll, each once and at least one"
        check_setting(self, "measures", known, words)
        check_setting(self, "resamples", self.resamples >= 100, "at least 100")
        check_setting(self, "confidence", 0 < self.confidence < 1, "in (0, 1)")
        check_setting(self, "power", 0.5 < self.power < 1, "in (0.5, 1)")
        fits = 100 <= self.curve_resamples <= self.resamples
        check_setting(self, "curve_resamples", fits, f"from 100 to resamples ({self.resamples})")
        check_setting(self, "hardest", self.hardest >= 0, "at least 0")


def _check_measuring(settings: EvaluateSettings | PoolFoldsSettings) -> None:
    for field in ("specificities", "recalls"):
        check_setting(settings, field, all(0 < level < 1 for level in getattr(settings, field)), "numbers in (0, 1)")
    check_setting(settings, "resamples", settings.resamples >= 100, "at least 100")
    check_setting(settings, "confidence", 0 < settings.confidence < 1, "in (0, 1)")
