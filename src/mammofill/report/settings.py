"""Settings of the report."""

from __future__ import annotations

from dataclasses import dataclass

from mammofill.ground.errors import check_setting


@dataclass(frozen=True)
class WriteReportSettings:
    """What the report is called and how much it shows.

    Attributes:
        title: heading of the page; empty takes a plain one.
        examples_per_kind: example patches of each kind (normal, benign, malignant; real and synthetic).
        previews: preview pictures of each infiller, the last ones of its training.
        size_attribute: lesion attribute that gives the true size, such as lesion_area_source_px, if pictures are crops
            scaled to their lesions; for subgroups by size, and for what the size alone reveals. Empty uses the
            outlines.
    """

    title: str = ""
    examples_per_kind: int = 6
    previews: int = 2
    size_attribute: str = ""

    def __post_init__(self) -> None:
        """Raise SettingsError unless examples_per_kind and previews are in range."""
        check_setting(self, "examples_per_kind", 0 <= self.examples_per_kind <= 100, "in 0..100")
        check_setting(self, "previews", 0 <= self.previews <= 20, "in 0..20")
