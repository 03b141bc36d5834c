"""Settings of patch extraction, with the defaults of the paper where it states them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mammofill.ground.artifact import execution
from mammofill.ground.engines import check_engine
from mammofill.ground.errors import check_setting


@dataclass(frozen=True)
class ExtractPatchesSettings:
    """How windows are cut and labelled. Source: the paper, section 4.1; where it is silent, the choice is ours.

    Attributes:
        size_px: side of the square window, in pixels of the working resolution (paper: 256).
        whole: take each picture as one patch, resampled to `size_px`, if pictures are crops around their lesions; there
            is then no sliding window, and all of a crop is breast. Unset does so if all pictures are square and most of
            them are crops, as ingest found.
        stride_px: step of the sliding window, in both directions (paper: 128).
        min_breast_share: breast must cover at least this share of a window ("the majority of the breast"), in [0, 1].
        min_lesion_inside: a window is a lesion patch if at least this share of a lesion's area is inside, in (0, 1].
        min_window_share: or if lesion covers at least this share of the window, in (0, 1].
        normal_margin_px: a window is a normal patch only if no lesion pixel lies inside it or within this margin.
        max_pectoral_share: largest share of a normal patch that pectoral muscle may cover, in [0, 1]; 1 keeps all
            patches, 0 only those without muscle.
        normals_per_mammogram: normal patches kept of one mammogram, drawn at random, windows that do not overlap first;
            unset keeps all, as the paper's loop does (over a hundred of a full-size mammogram).
        abnormality: which lesions make lesion patches; the others only keep normal patches away.
        bits: bits per pixel in the store; 16 keeps all, 8 takes a quarter of the space.
        mammograms_per_shard: mammograms whose patches share one file; also the unit that is redone after a stop.
        workers: number of parallel workers; 0 works in this process. Does not change the result.
        engine: where the workers are: processes on this machine, or slurm, submitit-local or dask, with options after
            a colon (docs/scaling.md). Does not change the result.
    """

    size_px: int = 256
    whole: bool | None = None
    stride_px: int = 128
    min_breast_share: float = 0.5
    min_lesion_inside: float = 0.6
    min_window_share: float = 0.25
    normal_margin_px: int = 16
    max_pectoral_share: float = 1.0
    normals_per_mammogram: int | None = 8
    abnormality: Literal["mass", "calcification", "all"] = "mass"
    bits: Literal[8, 16] = 16
    mammograms_per_shard: int = 32
    workers: int = execution(0)
    engine: str = execution("processes")

    def __post_init__(self) -> None:
        """Raise SettingsError unless the engine is known and numbers are in range."""
        check_setting(self, "size_px", self.size_px >= 16, "at least 16")
        check_setting(self, "stride_px", self.stride_px >= 1, "at least 1")
        check_setting(self, "min_breast_share", 0 <= self.min_breast_share <= 1, "in [0, 1]")
        check_setting(self, "min_lesion_inside", 0 < self.min_lesion_inside <= 1, "in (0, 1]")
        check_setting(self, "min_window_share", 0 < self.min_window_share <= 1, "in (0, 1]")
        check_setting(self, "normal_margin_px", self.normal_margin_px >= 0, "at least 0")
        check_setting(self, "bits", self.bits in (8, 16), "8 or 16")
        check_setting(self, "mammograms_per_shard", self.mammograms_per_shard >= 1, "at least 1")
        share = 0 <= self.max_pectoral_share <= 1
        check_setting(self, "max_pectoral_share", share, "in [0, 1]")
        most = self.normals_per_mammogram
        check_setting(self, "normals_per_mammogram", most is None or most >= 0, "at least 0, or unset")
        check_engine(self)


@dataclass(frozen=True)
class SelectPatchesSettings:
    """How much of a patch set's train split is kept, as if there had been fewer patients to learn from.

    Attributes:
        patients_share: share of the train split's patients that are kept, in (0, 1]. Stratified by their worst
            pathology; with the same seed the first part of a smaller share is a subset of that of a larger
            one.
        parts: the train split's patients can be divided into 1 / `patients_share` disjoint parts of that share; these
            parts are kept, counted from 0. Studies of few patients draw their replicates in this way.
        others: keep the other patients instead. With the same share and seed, a set with and a set without it have no
            patient of the train split in common, so that an infiller can come from patients outside a study.
    """

    patients_share: float = 1.0
    parts: tuple[int, ...] = (0,)
    others: bool = False

    def __post_init__(self) -> None:
        """Raise SettingsError unless share and parts fit together, and other patients are left if they are kept."""
        check_setting(self, "patients_share", 0 < self.patients_share <= 1, "in (0, 1]")
        there, wanted = parts_of(self.patients_share), self.parts
        fits = bool(wanted) and len(set(wanted)) == len(wanted) and all(0 <= part < there for part in wanted)
        check_setting(
            self,
            "parts",
            fits,
            f"different numbers from 0 to {there - 1}, as patients_share is {self.patients_share:g}",
        )
        some = self.patients_share * len(self.parts) < 1 or not self.others
        check_setting(self, "others", some, "false where all patients are kept: there are no others")


def parts_of(share: float) -> int:
    """Return into how many parts of a share of the patients all of them can be cut."""
    return int(1 / share + 1e-9)  # 1 / 0.1 may come out a little below 10
