"""Settings of the audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mammofill.ground.errors import check_setting
from mammofill.ground.processes import Limits
from mammofill.mammograms.settings import check_collection


@dataclass(frozen=True)
class AuditSettings:
    """How a collection is examined.

    Attributes:
        collection: which collection the source is; unset recognises it by its content.
        abnormality: which lesions are examined: mass, calcification, or all. All is the default, because errors between
            masses and calcifications show only when both are examined.
        tables_only: examine only the tables; no image is read or needs to be there.
        read_seconds: time limit for one mammogram and its masks.
        read_memory_gb: memory limit for the same, in GB.
        workers: how many images are read in parallel, in separate processes; 0 and 1 both mean one.
    """

    collection: str | None = None
    abnormality: Literal["mass", "calcification", "all"] = "all"
    tables_only: bool = False
    read_seconds: float = 300.0
    read_memory_gb: float = 4.0
    workers: int = 1

    def __post_init__(self) -> None:
        """Raise SettingsError unless choices are known and numbers are in range."""
        if self.collection is not None:
            check_collection(self)
        kinds = ("mass", "calcification", "all")
        check_setting(self, "abnormality", self.abnormality in kinds, f"one of {', '.join(kinds)}")
        check_setting(self, "read_seconds", self.read_seconds > 0, "above 0")
        check_setting(self, "read_memory_gb", self.read_memory_gb > 0, "above 0")
        check_setting(self, "workers", self.workers >= 0, "at least 0")


def reading_limits(settings: AuditSettings) -> Limits:
    """Return the limits of time and memory for a process that reads a mammogram."""
    return Limits(settings.read_seconds, settings.read_memory_gb, silent=True)
