"""The result of an audit: findings, each with its cases, its consequence for a study, and what ingest does about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["serious", "moderate", "note"]
"""serious: a study that ignores it can report a wrong number. moderate: data is lost, changed or uncertain. note: good
to know."""

SEVERITIES: tuple[Severity, ...] = ("serious", "moderate", "note")


@dataclass(frozen=True)
class Case:
    """One case of a finding."""

    what: str
    """Patient, mammogram, lesion, row or file."""
    patient_id: str | None
    words: str
    """Description of what was found."""
    mammogram_ids: tuple[str, ...] = ()
    """Mammograms that show it: two for a pair, none where no picture shows it."""
    lesion_id: str | None = None
    """The lesion concerned, if there is one."""
    mirrored: bool = False
    """Whether the second mammogram is the mirror image of the first."""
    stands_for: int = 1
    """Number of items that the case counts for: ingest reports some kinds together in one row."""


@dataclass(frozen=True)
class Finding:
    """One kind of fault that was looked for; without cases where it was not found."""

    finding: str
    """Short name, the same from run to run: for example ``patients-in-several-splits``."""
    title: str
    severity: Severity
    consequence: str
    """Its consequence for a study."""
    ingest: str
    """What ingest does about it."""
    look_up: str
    """How to examine it oneself."""
    cases: tuple[Case, ...] = ()
    summary: tuple[str, ...] = ()
    """Counts of the cases, as lines of text."""

    @property
    def count(self) -> int:
        """Number of items over all cases."""
        return sum(case.stands_for for case in self.cases)
