"""Settings of ingest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mammofill.ground.artifact import execution
from mammofill.ground.errors import check_setting

CollectionName = Literal["cbis-ddsm", "mini-mias", "table"]


@dataclass(frozen=True)
class IngestSettings:
    """How a collection becomes a set of mammograms.

    Attributes:
        collection: which collection the source is: cbis-ddsm (DICOM and its four tables), mini-mias (images and
            Info.txt), or table (your own CSV; see docs/sources.md).
        abnormality: which lesions are taken: mass (the paper), calcification, or all. CBIS-DDSM keeps its masses and
            its calcifications in tables of their own, and only the tables asked for are read.
        split: official takes the collection's own; patients draws one by patient, stratified by the worst finding;
            auto takes the official one where there is one.
        validation_share: share of the patients for validation; with an official split without validation, of its
            training patients.
        test_share: share of the patients for test; without meaning with an official split.
        height_px: mammograms are brought to this number of rows, keeping their proportions, and never enlarged; unset
            keeps them as they are. The method's authors work at about 2750.
        window: for DICOM: none keeps the stored intensities whole; first applies the file's first window or LUT.
        workers: processes that work side by side; 0 works in this process. Does not change the result.
    """

    collection: CollectionName = "cbis-ddsm"
    abnormality: Literal["mass", "calcification", "all"] = "mass"
    split: Literal["auto", "official", "patients"] = "auto"
    validation_share: float = 0.15
    test_share: float = 0.2
    height_px: int | None = 2750
    window: Literal["none", "first"] = "none"
    workers: int = execution(0)

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        collections = ("cbis-ddsm", "mini-mias", "table")
        check_setting(self, "collection", self.collection in collections, f"one of {', '.join(collections)}")
        kinds = ("mass", "calcification", "all")
        check_setting(self, "abnormality", self.abnormality in kinds, f"one of {', '.join(kinds)}")
        check_setting(self, "split", self.split in ("auto", "official", "patients"), "auto, official or patients")
        check_setting(self, "validation_share", 0 <= self.validation_share < 1, "in [0, 1)")
        check_setting(self, "test_share", 0 <= self.test_share < 1, "in [0, 1)")
        room = self.validation_share + self.test_share < 1
        check_setting(self, "test_share", room, "less than 1 together with validation_share")
        check_setting(self, "height_px", self.height_px is None or self.height_px >= 16, "at least 16, or unset")
        check_setting(self, "window", self.window in ("none", "first"), "none or first")
        check_setting(self, "workers", self.workers >= 0, "at least 0")
