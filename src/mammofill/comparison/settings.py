"""Settings of the comparison of arms."""

from __future__ import annotations

from dataclasses import dataclass

from mammofill.evaluation.metrics import is_measure
from mammofill.evaluation.units import unit_of
from mammofill.ground.errors import check_setting


@dataclass(frozen=True)
class CompareArmsSettings:
    """How the arms of a study are compared.

    Attributes:
        reference: arm beside which tables and figures show the others, and against which arms without added patches are
            tested. Empty takes the arm that most others are compared with, and tests arms without added patches only if
            there is nothing else.
        counterparts: pairs of names: an arm, and the one that it is compared with. An arm that is not named is compared
            with the one trained in the same way on real patches alone, which is found automatically.
        pairs: further comparisons to test, each two names of arms: the first against the second, at the same dose.
        planned_doses: doses at which comparisons are tested; empty takes all. Untested comparisons are computed and
            shown, but belong to no family and get no verdict.
        planned_shares: shares of the real patients at which comparisons are tested; empty takes the largest.
        planned_arms: arms whose comparisons are tested; empty takes all.
        measures: what is compared. Only the first, the primary measure, is tested; the others are described, with
            intervals. ``_by_lesion`` and ``_by_patient`` give the unit; names without either are by patch. A recall at
            a fixed specificity is written ``recall_at_specificity_0.9``, a specificity ``specificity_at_recall_0.9``,
            predictive values at the prevalence of a clinic ``ppv_at_prevalence_0.006``, ``npv_at_prevalence_0.006``.
        margin: difference in the primary measure, in its own unit (0.02 of AUC), below which a gain does not matter;
            tested in addition to whether there is any difference. Left out, it is not tested.
        resamples: bootstrap resamples of patients, the same ones for all arms.
        confidence: of intervals, in (0, 1); one minus it is the error allowed to a family of comparisons.
        power: power for which the smallest difference that could have been shown is stated, in (0.5, 1).
        curve_resamples: how many of the resamples are behind the bands of curves.
        hardest: patches in the table of the hardest ones.
    """

    reference: str = ""
    counterparts: tuple[tuple[str, str], ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    planned_doses: tuple[float, ...] = ()
    planned_shares: tuple[float, ...] = ()
    planned_arms: tuple[str, ...] = ()
    measures: tuple[str, ...] = (
        "auc_by_lesion",
        "auc",
        "auc_by_patient",
        "pr_auc",
        "balanced_accuracy",
        "accuracy",
        "recall",
        "specificity",
        "recall_at_specificity_0.9",
        "specificity_at_recall_0.9",
        "brier",
    )
    margin: float | None = None
    resamples: int = 2000
    confidence: float = 0.95
    power: float = 0.8
    curve_resamples: int = 500
    hardest: int = 24

    def __post_init__(self) -> None:
        """Raise SettingsError unless arms are paired once, measures are known, and numbers are in range."""
        fits = all(one != other for one, other in self.pairs) and len(set(self.pairs)) == len(self.pairs)
        check_setting(self, "pairs", fits, "different pairs of two different arms")
        fits = all(one != other for one, other in self.counterparts)
        fits = fits and len({one for one, _ in self.counterparts}) == len(self.counterparts)
        check_setting(self, "counterparts", fits, "pairs of two different arms, each first one once")
        check_setting(self, "planned_doses", all(dose > 0 for dose in self.planned_doses), "numbers above 0")
        check_setting(self, "planned_shares", all(0 < one <= 1 for one in self.planned_shares), "numbers in (0, 1]")
        known = bool(self.measures) and len(set(self.measures)) == len(self.measures)
        known = known and all(is_measure(unit_of(name)[0]) for name in self.measures)
        words = (
            "auc, pr_auc, accuracy, balanced_accuracy, recall, specificity, recall_at_specificity_X, "
            "specificity_at_recall_X, ppv_at_prevalence_X, npv_at_prevalence_X, brier, ece, nll, calibration_slope or "
            "calibration_intercept, with _by_lesion or _by_patient or by patch, each once and at least one"
        )
        check_setting(self, "measures", known, words)
        check_setting(self, "margin", self.margin is None or self.margin > 0, "above 0, or left out")
        check_setting(self, "resamples", self.resamples >= 100, "at least 100")
        check_setting(self, "confidence", 0 < self.confidence < 1, "in (0, 1)")
        check_setting(self, "power", 0.5 < self.power < 1, "in (0.5, 1)")
        fits = 100 <= self.curve_resamples <= self.resamples
        check_setting(self, "curve_resamples", fits, f"from 100 to resamples ({self.resamples})")
        check_setting(self, "hardest", self.hardest >= 0, "at least 0")
