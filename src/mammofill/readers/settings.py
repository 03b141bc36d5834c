"""Settings of reader studies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mammofill.ground.errors import check_setting


@dataclass(frozen=True)
class ReaderStudySettings:
    """Which cases are read, and by how many readers.

    Attributes:
        kind: ``ratings``: each case is rated separately; ``pairs``: a real and a synthetic case of the same class and
            similar size are shown side by side, and the reader chooses the real one.
        cases: cases of each class and origin; four times as many are read, or twice as many pairs.
        readers: number of readers; each gets a code and an individual order of the cases. Six or more allow an analysis
            with random readers (ours; with few, its intervals are wide).
        split: split whose real patches are read; unset takes all splits, since readers are not trained on any.
    """

    kind: Literal["ratings", "pairs"] = "ratings"
    cases: int = 25
    readers: int = 4
    split: str | None = None

    def __post_init__(self) -> None:
        """Raise SettingsError unless kind and split are known and numbers are at least 1."""
        check_setting(self, "kind", self.kind in ("ratings", "pairs"), "ratings or pairs")
        check_setting(self, "cases", self.cases >= 1, "at least 1")
        check_setting(self, "readers", self.readers >= 1, "at least 1")
        splits = (None, "train", "validation", "test")
        check_setting(self, "split", self.split in splits, "train, validation or test, or unset")
