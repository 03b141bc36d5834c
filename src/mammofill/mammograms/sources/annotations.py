"""What every reader of a collection hands over: entries that say where the pixels are, and what was left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True)
class Circle:
    """A lesion that the source marks by a circle, in pixels of the source image."""

    row: float
    column: float
    radius: float


@dataclass(frozen=True)
class Outline:
    """A lesion that the source marks by contours, in pixels of the source image.

    Each contour is a closed polygon of (row, column) points; a contour of one or two points marks single pixels or the
    pixels of a line, as for calcifications. The lesion is the union of all contours.
    """

    contours: tuple[tuple[tuple[float, float], ...], ...]


@dataclass(frozen=True)
class Box:
    """A lesion that the source marks by an upright box, in pixels of the source image."""

    top: float
    left: float
    height: float
    width: float


Files = tuple[Path, ...]
"""The files among which a lesion's mask is; ingest finds it by content."""

Place = Circle | Outline | Box | Files


@dataclass(frozen=True)
class LesionEntry:
    """One lesion of a mammogram."""

    lesion_id: str
    pathology: str
    abnormality: str
    place: Place
    source: str
    """Table row or file that it comes from, for messages."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    drawn_on: str | None = None
    """Name of another file of the same view that the place was drawn on; that it fits this file has to be proved."""


@dataclass(frozen=True)
class MammogramEntry:
    """One mammogram of a collection."""

    mammogram_id: str
    patient_id: str
    laterality: str | None
    view: str | None
    image: Files
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
    usual_shapes: tuple[tuple[int, int], ...] = ()
    """(rows, columns) that files of the collection have, where nobody says which this one must have."""
    named_in_header: str | None = None
    """PatientID that the header of its file should have, where that is not the patient's own identifier."""
    empty_masks: Files = ()
    """Masks of an image that is called normal, as where every image has a mask: they must mark nothing."""
    versions: tuple[str, ...] = ()
    """What a store says of each of its files, where they lie in one: another content is another entry."""

    @property
    def files(self) -> Files:
        """All files that are read for it: its own, those among which the masks of its lesions are, and empty masks."""
        masks = (path for one in self.lesions if isinstance(one.place, tuple) for path in one.place)
        return (*self.image, *masks, *self.empty_masks)


def with_files(entry: MammogramEntry, place: Callable[[Path], Path]) -> MammogramEntry:
    """Return a mammogram whose files, and those of its lesions, lie elsewhere."""
    lesions = (
        replace(one, place=tuple(map(place, one.place))) if isinstance(one.place, tuple) else one
        for one in entry.lesions
    )
    empty = tuple(map(place, entry.empty_masks))
    return replace(entry, image=tuple(map(place, entry.image)), lesions=tuple(lesions), empty_masks=empty)


@dataclass(frozen=True)
class Exclusion:
    """Something that was left out, and why."""

    what: str
    patient_id: str | None
    rule: str
    """Short name, for counts: for example ``file-missing``."""
    found: str
    """What was found, in full, for people."""


@dataclass(frozen=True)
class Decision:
    """Something that was not as it should be, and was kept all the same."""

    what: str
    patient_id: str | None
    rule: str
    """Short name, for counts: for example ``mask-resampled``."""
    found: str
    """What was found, for people."""
    done: str
    """What was done about it, for people."""


@dataclass(frozen=True)
class Listed:
    """One lesion (or one mammogram without lesions) as the tables list it, whether or not its files are there.

    None where the tables say nothing, or nothing that is known.
    """

    row: str
    """Where it stands, for messages: "own.csv row 2"."""
    patient_id: str
    mammogram_id: str
    lesion_id: str | None
    laterality: str | None
    view: str | None
    pathology: str | None
    """normal, benign or malignant."""
    abnormality: str | None
    """mass, calcification or other."""
    density: str | None
    official_split: str | None
    """train, validation or test."""
    missing: tuple[str, ...] = ()
    """Names of the columns that this row should fill and leaves empty."""
    mask_number: int | None = None
    """Which of the lesion's files, counted from 1 in the order of their names, the tables call its mask."""
    mask_apart: bool = False
    """Whether the tables name mask and cropped picture in two series."""


@dataclass(frozen=True)
class Collection:
    """A collection as its tables describe it."""

    mammograms: tuple[MammogramEntry, ...]
    """Those whose files are there."""
    exclusions: tuple[Exclusion, ...]
    decisions: tuple[Decision, ...] = ()
    listed: tuple[Listed, ...] = ()
    """Every row of the tables that were read."""
