"""Settings of evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from mammofill.ground.artifact import execution
from mammofill.ground.errors import check_setting


@dataclass(frozen=True)
class EvaluateSettings:
    """How a classifier is evaluated, and its place among the others of a study.

    Attributes:
        arm: name of this classifier in tables and figures; empty takes the name of the output folder.
        replicate: number of the classifier, from 0, among those of the same arm, dose and share.
        infiller: number, from 0, of the infiller whose fills it learned from; classifiers of one infiller are one
            replicate of the chain from infiller to classifier. Left out, infillers are identified by their
            fingerprints.
        training_set: number of the training set, from 0, if all arms are trained on several that have no patient in
            common; arms are compared within each. Left out, it follows from the patients that each classifier learned
            from.
        dose: synthetic or repeated patches for each real one that the classifier learned from; left out if there are
            none, or if they were not counted.
        real_share: share of the train split's patients that the classifier learned from, in (0, 1].
        split: split whose patches are scored; all takes every patient of an external test set.
        external: name of the source of the test patches, if the classifier's own patches come from another one; empty
            for the test split of its own collection.
        specificities: specificities at which recall is measured, each in (0, 1).
        recalls: recalls at which specificity is measured, each in (0, 1).
        resamples: bootstrap resamples of patients behind each interval.
        confidence: of an interval, in (0, 1).
        attention: also measure where the classifier looks; takes about as long again as scoring.
        heat_maps: pictures of so many of the hardest patches, and of as many drawn at random.
        batch: patches scored at once. Does not change the scores beyond rounding.
    """

    arm: str = ""
    replicate: int = 0
    infiller: int | None = None
    training_set: int | None = None
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
        """Raise SettingsError unless numbers are in range and the split fits the source of patients."""
        check_setting(self, "replicate", self.replicate >= 0, "at least 0")
        check_setting(self, "infiller", self.infiller is None or self.infiller >= 0, "at least 0, or left out")
        numbered = self.training_set is None or self.training_set >= 0
        check_setting(self, "training_set", numbered, "at least 0, or left out")
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
        specificities: specificities at which recall is measured, each in (0, 1).
        recalls: recalls at which specificity is measured, each in (0, 1).
        resamples: bootstrap resamples of patients behind each interval.
        confidence: of an interval, in (0, 1).
    """

    specificities: tuple[float, ...] = (0.8, 0.9)
    recalls: tuple[float, ...] = (0.8, 0.9)
    resamples: int = 2000
    confidence: float = 0.95

    def __post_init__(self) -> None:
        """Raise SettingsError unless levels, resamples and confidence are in range."""
        _check_measuring(self)


def _check_measuring(settings: EvaluateSettings | PoolFoldsSettings) -> None:
    for field in ("specificities", "recalls"):
        check_setting(settings, field, all(0 < level < 1 for level in getattr(settings, field)), "numbers in (0, 1)")
    check_setting(settings, "resamples", settings.resamples >= 100, "at least 100")
    check_setting(settings, "confidence", 0 < settings.confidence < 1, "in (0, 1)")
