"""Settings of judging infillers."""

from __future__ import annotations

from dataclasses import dataclass

from mammofill.ground.artifact import execution
from mammofill.ground.errors import check_setting


@dataclass(frozen=True)
class WantedSettings:
    """What an infiller has to reach. All limits are ours; none have been published.

    A criterion is reached if its value and its interval are both within the limit; the two shares with a `_bound` have
    a lower limit for the interval's lower end.

    Attributes:
        class_share: minimum and maximum AUC of the classifier on fills of the donor's class, as a share of its AUC on
            real lesions. Above 1, fills exaggerate the class.
        class_share_bound: minimum of its interval's lower end.
        malignant_above_benign: minimum share of pairs in which the malignant fill scores higher than the benign one of
            the same patch, mask and seed.
        malignant_above_benign_bound: minimum of its interval's lower end.
        standardised_share: minimum AUC of the standardised classifier on fills, as a share of its AUC on real lesions.
        standardised_gap: minimum distance between its median log-odds on malignant and benign fills, as a share of that
            on real ones.
        cue_excess: by how much the AUC of any simple cue (brightness, contrast, ...) on fills may exceed its AUC on
            real lesions.
        spread: minimum and maximum standard deviation of level, contrast and coarse structure over fills, as a share of
            that over real lesions.
        train_on_fills: minimum AUC on real lesions after training on fills, as a share of that after training on as
            many real ones.
        seam_over_oracle: by how much the AUC for telling the rings around the hole after painting from those before may
            exceed the oracle's, on practice mammograms.
        seam_auc: maximum of this AUC if there is no oracle.
        detection_auc: maximum AUC for telling real lesions from the same lesions painted again in place.
        band_dex: maximum difference in mean log10 power between fills and real lesions in any frequency band.
        seed_distance: minimum distance between fills of one context that differ only in the seed, as a share of the
            distance between real lesions of one class (below it they look like the same picture).
    """

    class_share: tuple[float, float] = (0.95, 1.05)
    class_share_bound: float = 0.9
    malignant_above_benign: float = 0.95
    malignant_above_benign_bound: float = 0.9
    standardised_share: float = 0.95
    standardised_gap: float = 0.75
    cue_excess: float = 0.1
    spread: tuple[float, float] = (0.8, 1.25)
    train_on_fills: float = 0.98
    seam_over_oracle: float = 0.05
    seam_auc: float = 0.7
    detection_auc: float = 0.7
    band_dex: float = 0.1
    seed_distance: float = 0.1

    def __post_init__(self) -> None:
        """Raise SettingsError unless all bounds and limits are in range."""
        for field in ("class_share_bound", "malignant_above_benign", "malignant_above_benign_bound", "cue_excess",
                      "seam_over_oracle", "seed_distance"):  # fmt: skip
            check_setting(self, field, 0 <= getattr(self, field) <= 1, "in [0, 1]")
        for field in ("standardised_share", "standardised_gap", "train_on_fills", "band_dex"):
            check_setting(self, field, getattr(self, field) >= 0, "at least 0")
        for field in ("seam_auc", "detection_auc"):
            check_setting(self, field, 0.5 <= getattr(self, field) <= 1, "in [0.5, 1]")
        for field in ("class_share", "spread"):
            limits = getattr(self, field)
            check_setting(self, field, len(limits) == 2 and 0 <= limits[0] <= limits[1], "two shares, least <= most")


@dataclass(frozen=True)
class TrainOnFillsSettings:
    """How to test whether a classifier learns as much from fills as from real lesions.

    The patients of the split are divided at random into two parts. The judging classifier's recipe is trained on fills
    whose tissue and outlines come from one part and tested on the real lesions of the other, and vice versa; then the
    same with as many real lesions of each class.

    Attributes:
        images: images that each training sees; 0 leaves the criterion out.
        lesions: most lesions that each learns from.
    """

    images: int = 3000
    lesions: int = 400

    def __post_init__(self) -> None:
        """Raise SettingsError unless images is at least 0 and lesions at least 2."""
        check_setting(self, "images", self.images >= 0, "at least 0")
        check_setting(self, "lesions", self.lesions >= 2, "at least 2")


@dataclass(frozen=True)
class JudgeInfillerSettings:
    """How infillers are judged.

    Attributes:
        cases: pairs that are filled, each once benign and once malignant; half with a benign donor and half with a
            malignant one, as far as there are enough. As many real lesions are measured beside them, and painted again
            in place.
        seed_cases: how many of these pairs are filled with several seeds.
        seeds_per_case: seeds for each of them.
        folds: parts into which patients are divided when a random forest learns to tell fills from real lesions. It is
            tested on patients of up to two of them, and learns from the others.
        trees: trees of that forest.
        train_on_fills: how to test whether a classifier learns from fills.
        resamples: bootstrap resamples of patients behind each interval.
        confidence: share of resamples inside an interval, in (0, 1).
        least_per_class: with fewer fills or real lesions of a class, numbers get no verdict.
        least_patients: with fewer patients, numbers get no verdict.
        least_classifier_auc: a classifier with a lower AUC on real lesions cannot judge fills: chance alone would come
            near the wanted share of so low an AUC (0.5 is 0.9 of 0.56). Ours.
        sheet_cases: cases on the contact sheet.
        wanted: what has to be reached.
        batch: patches in the classifier at once. Does not change the scores beyond rounding.
    """

    cases: int = 500
    seed_cases: int = 24
    seeds_per_case: int = 4
    folds: int = 5
    trees: int = 100
    train_on_fills: TrainOnFillsSettings = TrainOnFillsSettings()
    resamples: int = 2000
    confidence: float = 0.95
    least_per_class: int = 20
    least_patients: int = 10
    least_classifier_auc: float = 0.7
    sheet_cases: int = 8
    wanted: WantedSettings = WantedSettings()
    batch: int = execution(64)

    def __post_init__(self) -> None:
        """Raise SettingsError unless numbers and shares are in range."""
        check_setting(self, "cases", self.cases >= 4, "at least 4")
        check_setting(self, "seed_cases", self.seed_cases >= 2, "at least 2")
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
