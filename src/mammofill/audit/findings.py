"""What an audit hands over: findings, each with its cases, what it does to a study, and what ingest does about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["serious", "moderate", "note"]
"""serious: a study that does not know of it can report a wrong number. moderate: data is lost, changed or unsure.
note: good to know."""

SEVERITIES: tuple[Severity, ...] = ("serious", "moderate", "note")


@dataclass(frozen=True)
class Case:
    """One thing that a finding is about."""

    what: str
    """Patient, mammogram, lesion, row or file."""
    patient_id: str | None
    words: str
    """What was found, for people."""
    mammogram_ids: tuple[str, ...] = ()
    """Mammograms that show it: two for a pair, none where there is nothing to show."""
    lesion_id: str | None = None
    """The lesion that it is about, if it is about one."""
    mirrored: bool = False
    """Whether the second mammogram is the mirror image of the first."""
    stands_for: int = 1
    """How many things it is about: ingest tells of some in one line."""


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was looked for. Without cases it was not there."""

    finding: str
    """Short name, the same from run to run: for example ``patients-in-several-splits``."""
    title: str
    severity: Severity
    consequence: str
    """What it does to a study."""
    ingest: str
    """What ingest does about it."""
    look_up: str
    """How to look at it oneself."""
    cases: tuple[Case, ...] = ()
    summary: tuple[str, ...] = ()
    """The cases counted, in lines of words."""

    @property
    def count(self) -> int:
        """How many things it is about."""
        return sum(case.stands_for for case in self.cases)
