"""Settings of the comparison of arms."""

from __future__ import annotations

from dataclasses import dataclass

from mammofill.evaluation.metrics import is_measure
from mammofill.ground.errors import check_setting


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
