"""Settings of ingest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mammofill.ground.artifact import execution
from mammofill.ground.engines import check_engine
from mammofill.ground.errors import SettingsError, check_setting, did_you_mean

SplitKind = Literal["auto", "official", "official-patient-safe", "patients", "kfold"]


@dataclass(frozen=True)
class IngestSettings:
    """How a collection becomes a set of mammograms.

    Attributes:
        collection: which collection the source is: a public one listed in docs/sources.md, table (your own CSV), or one
            that another package adds.
        pathology_words: with table, what its words for pathology mean, unless they are benign, malignant and normal or
            certain by themselves: ``gutartig=benign, 0=normal``.
        abnormality: which lesions are used: mass (the paper), calcification, or all. CBIS-DDSM has separate tables for
            masses and calcifications, and only the requested tables are read.
        split: official takes the collection's own, and refuses it if a patient is in two splits; official-patient-safe
            puts such a patient into the strictest of its splits (test before validation before train); patients draws a
            split by patient, and kfold divides the patients into folds, one of which is the test set, both stratified
            by pathology, abnormality and density; auto takes official-patient-safe if the collection has a split, else
            patients.
        validation_share: share of the patients for validation; with an official split without validation, and with
            kfold, of those not in the test set.
        test_share: share of the patients for test, with split patients.
        folds: number of folds, with kfold.
        fold: which fold is the test set, from 0, with kfold.
        height_px: mammograms are reduced to this number of rows, keeping their proportions, and never enlarged; unset
            keeps them as they are. The method's authors work at about 2750.
        crops: whether the pictures are crops, each cut around a lesion: all of a crop is breast, and the mask may fill
            it. Unset decides for each picture: a crop is square, at most a quarter of it is black, and it has
            one lesion, whose mask reaches across three quarters of it.
        synthetic_tests: let images marked as synthetic (SyntheticData in DICOM) into the test split. Otherwise they are
            left out there: results on them say nothing about patients.
        window: for DICOM: none keeps all stored intensities; first applies the file's first window or LUT.
        half_jpeg2000: decode JPEG 2000 at half its resolution if that has at least `height_px` rows, four times as
            fast. The result is the low-pass band of the wavelet transform, not the mean of areas, so the pixels differ;
            a decision for each such mammogram says so, and one more if a set holds both kinds (decoding-mixed).
        keep_images: keep each mammogram at the working resolution, 9 MB at 2750 rows. Otherwise those of uncompressed
            DICOM are read from the collection again, and checked for changes, whenever they are needed
            (extract-patches, the studio, export-dicom): the collection must stay where it is. Others are kept in any
            case.
        read_seconds: time limit for one mammogram and its masks; a damaged file can make a decoder hang. One that takes
            longer is left out, and tried again by the next run.
        read_memory_gb: memory limit for the same, in GB; a file of kilobytes can unpack to more than there is.
        fetched_gb: how much of a collection in an object store is fetched at a time, in GB; the next part is fetched
            while one is read, so the scratch folder may hold twice as much. Does not change the result.
        workers: number of parallel workers; 0 and 1 both mean one. Files are read in separate processes in any case.
            Does not change the result.
        engine: where the workers are: processes on this machine, or slurm, submitit-local or dask, with options after
            a colon (docs/scaling.md). Does not change the result.
    """

    collection: str = "cbis-ddsm"
    pathology_words: str = ""
    abnormality: Literal["mass", "calcification", "all"] = "mass"
    split: SplitKind = "auto"
    validation_share: float = 0.15
    test_share: float = 0.2
    folds: int = 5
    fold: int = 0
    height_px: int | None = 2750
    crops: bool | None = None
    synthetic_tests: bool = False
    window: Literal["none", "first"] = "none"
    half_jpeg2000: bool = False
    keep_images: bool = True
    read_seconds: float = execution(300.0)
    read_memory_gb: float = execution(4.0)
    fetched_gb: float = execution(4.0)
    workers: int = execution(0)
    engine: str = execution("processes")

    def __post_init__(self) -> None:
        """Raise SettingsError unless choices are known, numbers are in range, and settings fit together."""
        check_collection(self)
        self._check_words()
        kinds = ("mass", "calcification", "all")
        check_setting(self, "abnormality", self.abnormality in kinds, f"one of {', '.join(kinds)}")
        splits = get_args(SplitKind)
        check_setting(self, "split", self.split in splits, f"one of {', '.join(splits)}")
        check_setting(self, "validation_share", 0 <= self.validation_share < 1, "in [0, 1)")
        check_setting(self, "test_share", 0 <= self.test_share < 1, "in [0, 1)")
        room = self.validation_share + self.test_share < 1
        check_setting(self, "test_share", room, "less than 1 together with validation_share")
        check_setting(self, "height_px", self.height_px is None or self.height_px >= 16, "at least 16, or unset")
        known = not self.half_jpeg2000 or self.height_px is not None
        check_setting(
            self, "half_jpeg2000", known, "false where height_px is unset: all of the resolution is asked for"
        )
        check_setting(self, "window", self.window in ("none", "first"), "none or first")
        check_setting(self, "read_seconds", self.read_seconds > 0, "above 0")
        check_setting(self, "read_memory_gb", self.read_memory_gb > 0, "above 0")
        check_setting(self, "fetched_gb", self.fetched_gb > 0, "above 0")
        check_setting(self, "folds", self.folds >= 2, "at least 2")
        check_setting(self, "fold", 0 <= self.fold < self.folds, "at least 0 and less than folds")
        check_engine(self)

    def _check_words(self) -> None:
        from mammofill.mammograms.sources.pathology_words import explained_words  # the readers take settings

        explained_words(self.pathology_words)
        asked = not self.pathology_words or self.collection == "table"
        check_setting(self, "pathology_words", asked, "left out: only a table of your own has words of its own")


def check_collection(settings: object) -> None:
    """Refuse a `collection` for which there is no reader, naming those that there are.

    Raises:
        SettingsError: names the field, the rule and the value.
    """
    from mammofill.mammograms.sources.collections import collection_names  # the readers take settings

    names = collection_names()
    asked = str(getattr(settings, "collection"))  # noqa: B009
    meant = did_you_mean(asked, names) if asked not in names else ""
    if meant:
        raise SettingsError(f"There is no collection {asked!r}.{meant} There are: {', '.join(names)}.")
    check_setting(settings, "collection", asked in names, f"one of {', '.join(names)}")
