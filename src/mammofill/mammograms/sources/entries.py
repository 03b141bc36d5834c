"""What every reader of a collection hands over: entries that say where the pixels are, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Circle:
    """A lesion that the source marks by a circle, in pixels of the source image."""

    row: float
    column: float
    radius: float


@dataclass(frozen=True)
class LesionEntry:
    """One lesion of a mammogram."""

    lesion_id: str
    pathology: str
    abnormality: str
    place: Circle | tuple[Path, ...]
    """A circle, or the files among which the mask is; ingest finds it by content."""
    source: str
    """Table row or file that it comes from, for messages."""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MammogramEntry:
    """One mammogram of a collection."""

    mammogram_id: str
    patient_id: str
    laterality: str | None
    view: str | None
    image: tuple[Path, ...]
    """The files among which the mammogram is: nearly always one."""
    lesions: tuple[LesionEntry, ...]
    all_lesions_located: bool = True
    """Whether every lesion that the source names is in `lesions`; if not, no tissue of it can be called normal."""
    density: str | None = None
    spacing_mm: float | None = None
    bits: int | None = None
    """Bits that the image's values use, where the file holds more; None takes what the file says."""
    official_split: str | None = None
    source_shape: tuple[int, int] | None = None
    """(rows, columns) that the file must have, where the places of lesions hold for that size only."""


@dataclass(frozen=True)
class Exclusion:
    """Something that was left out, and why."""

    what: str
    patient_id: str | None
    rule: str
    """Short name, for counts: for example ``file-missing``."""
    found: str
    """The whole story, for people."""


@dataclass(frozen=True)
class Collection:
    """A collection as its tables describe it."""

    mammograms: tuple[MammogramEntry, ...]
    exclusions: tuple[Exclusion, ...]
