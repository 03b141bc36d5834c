"""Settings of the practice mammograms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mammofill.ground.errors import check_setting


@dataclass(frozen=True)
class PhantomSettings:
    """What the practice mammograms are like.

    Attributes:
        patients: number of patients; each has one breast in two views (CC and MLO) with one or two lesions.
        malignant_share: share of patients whose lesion is malignant, in [0, 1].
        test_share: share of patients in the official test tables, in [0, 1).
        height_px: rows of each mammogram; CBIS-DDSM has about 5300.
        width_px: columns of each mammogram; CBIS-DDSM has about 3130.
        difference: how different benign and malignant lesions look, in [0, 1]. At 0 both are drawn from the same
            distribution, so no classifier can tell them apart; at 1 benign ones are smooth and faint, malignant ones
            irregular, spiculated and dense.
        calcifications: a third of the patients have a cluster of calcifications instead of the mass.
        labels_and_edges: draw film labels and bright film edges.
        monochrome1_share: share of the files written with low values bright (MONOCHROME1), in [0, 1].
        bits: bits per pixel, 8 to 16.
        layout: tables names the files as the tables do; tcia as today's downloads do.
    """

    patients: int = 40
    malignant_share: float = 0.5
    test_share: float = 0.25
    height_px: int = 1024
    width_px: int = 640
    difference: float = 0.8
    calcifications: bool = False
    labels_and_edges: bool = True
    monochrome1_share: float = 0.2
    bits: int = 16
    layout: Literal["tables", "tcia"] = "tables"

    def __post_init__(self) -> None:
        """Raise SettingsError unless the layout is known and numbers are in range."""
        check_setting(self, "patients", self.patients >= 1, "at least 1")
        check_setting(self, "malignant_share", 0 <= self.malignant_share <= 1, "in [0, 1]")
        check_setting(self, "test_share", 0 <= self.test_share < 1, "in [0, 1)")
        check_setting(self, "height_px", self.height_px >= 128, "at least 128")
        check_setting(self, "width_px", self.width_px >= 96, "at least 96")
        check_setting(self, "difference", 0 <= self.difference <= 1, "in [0, 1]")
        check_setting(self, "monochrome1_share", 0 <= self.monochrome1_share <= 1, "in [0, 1]")
        check_setting(self, "bits", 8 <= self.bits <= 16, "8 to 16")
        check_setting(self, "layout", self.layout in ("tables", "tcia"), "tables or tcia")
