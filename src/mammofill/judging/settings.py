"""Settings of judging infillers."""

from __future__ import annotations

from dataclasses import dataclass

from mammofill.ground.artifact import execution
from mammofill.ground.errors import check_setting


@dataclass(frozen=True)
class WantedSettings:
    """What an infiller has to reach. Those named "ours" were chosen by us; nobody published a value.

    Attributes:
        class_share: least AUC of the classifier on fills, for the class asked for, as a share of its AUC on real
            lesions.
        counterfactuals: least share of pairs in which the malignant fill scores higher than the benign one of the same
            patch, mask and seed.
        outline: how strong a fill's outline may be, least and most, as a share of real lesions' (ours).
        seam_auc: greatest AUC with which a learned judge tells the rings around fills from those around real lesions.
        variety: least distance between fills of one context that differ in the seed alone, as a share of the distance
            between real lesions of one class (ours: below it, fills of one context are the same picture to the eye).
        detection_auc: greatest AUC with which a learned judge tells fills from real lesions (ours).
    """

    class_share: float = 0.9
    counterfactuals: float = 0.9
    outline: tuple[float, float] = (0.5, 2.0)
    seam_auc: float = 0.6
    variety: float = 0.1
    detection_auc: float = 0.7

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        for field in ("class_share", "counterfactuals", "variety"):
            check_setting(self, field, 0 <= getattr(self, field) <= 1, "in [0, 1]")
        for field in ("seam_auc", "detection_auc"):
            check_setting(self, field, 0.5 <= getattr(self, field) <= 1, "in [0.5, 1]")
        rises = len(self.outline) == 2 and 0 <= self.outline[0] <= self.outline[1]
        check_setting(self, "outline", rises, "two shares, 0 <= least <= most")


@dataclass(frozen=True)
class JudgeInfillerSettings:
    """How infillers are judged.

    Attributes:
        cases: pairs that are filled, each once benign and once malignant; half of them with a benign donor, half with
            a malignant one, as far as there are so many. As many real lesions are looked at beside them.
        variety_cases: of these, pairs that are filled with several seeds.
        seeds_per_case: seeds for each of them.
        folds: parts into which patients are divided where a judge learns to tell fills from real lesions. It is tried
            on patients of up to two of them, and learns from the others.
        trees: of the forest that this judge is.
        resamples: bootstrap resamples of patients behind each interval.
        confidence: share of resamples that an interval holds, in (0, 1).
        least_per_class: fewer fills or real lesions of a class give numbers but no verdict.
        least_patients: fewer patients give numbers but no verdict.
        least_classifier_auc: a classifier that does not reach this on real lesions cannot judge fills: guessing alone
            would come near a share of so little (0.5 is 0.9 of 0.56). Ours.
        sheet_cases: cases on the contact sheet.
        wanted: what has to be reached.
        batch: patches in the classifier at once. Does not change the scores beyond rounding.
    """

    cases: int = 500
    variety_cases: int = 24
    seeds_per_case: int = 4
    folds: int = 5
    trees: int = 200
    resamples: int = 2000
    confidence: float = 0.95
    least_per_class: int = 20
    least_patients: int = 10
    least_classifier_auc: float = 0.7
    sheet_cases: int = 8
    wanted: WantedSettings = WantedSettings()
    batch: int = execution(64)

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        check_setting(self, "cases", self.cases >= 4, "at least 4")
        check_setting(self, "variety_cases", self.variety_cases >= 2, "at least 2")
        check_setting(self, "seeds_per_case", self.seeds_per_case >= 2, "at least 2")
        check_setting(self, "folds", self.folds >= 3, "at least 3")
        check_setting(self, "trees", self.trees >= 1, "at least 1")
        check_setting(self, "resamples", self.resamples >= 100, "at least 100")
        check_setting(self, "confidence", 0 < self.confidence < 1, "in (0, 1)")
        check_setting(self, "least_per_class", self.least_per_class >= 2, "at least 2")
        check_setting(self, "least_patients", self.least_patients >= 2, "at least 2")
        check_setting(self, "least_classifier_auc", 0.5 <= self.least_classifier_auc <= 1, "in [0.5, 1]")
        check_setting(self, "sheet_cases", 2 <= self.sheet_cases <= 24, "in 2..24")
        check_setting(self, "batch", self.batch >= 1, "at least 1")
