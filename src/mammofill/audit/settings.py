"""Settings of the audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mammofill.ground.errors import check_setting
from mammofill.mammograms.settings import check_collection


@dataclass(frozen=True)
class AuditSettings:
    """How a collection is looked at.

    Attributes:
        collection: which collection the source is; unset recognises it by its content.
        abnormality: which lesions are looked at: mass, calcification, or all. All is the default, because what is wrong
            between masses and calcifications shows only when both are looked at.
        tables_only: look at the tables alone; no image is read, and none needs to be there.
        workers: how many images are read side by side; 0 reads them in this process, where a decoder that crashes over
            a damaged file takes the audit with it.
    """

    collection: str | None = None
    abnormality: Literal["mass", "calcification", "all"] = "all"
    tables_only: bool = False
    workers: int = 1

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        if self.collection is not None:
            check_collection(self)
        kinds = ("mass", "calcification", "all")
        check_setting(self, "abnormality", self.abnormality in kinds, f"one of {', '.join(kinds)}")
        check_setting(self, "workers", self.workers >= 0, "at least 0")
