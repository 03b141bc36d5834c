"""Settings of evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from mammofill.ground.artifact import execution
from mammofill.ground.errors import check_setting


@dataclass(frozen=True)
class EvaluateSettings:
    """How a classifier is judged.

    Attributes:
        arm: name of this classifier in tables and figures; empty takes the classifier's own label.
        split: whose patches it is judged on.
        resamples: bootstrap resamples of patients behind each interval.
        confidence: share of resamples that an interval holds, in (0, 1).
        batch: patches scored at once. Does not change the scores beyond rounding.
    """

    arm: str = ""
    split: str = "test"
    resamples: int = 2000
    confidence: float = 0.95
    batch: int = execution(32)

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        check_setting(self, "split", self.split in ("train", "validation", "test"), "train, validation or test")
        check_setting(self, "resamples", self.resamples >= 100, "at least 100")
        check_setting(self, "confidence", 0 < self.confidence < 1, "in (0, 1)")
        check_setting(self, "batch", self.batch >= 1, "at least 1")
