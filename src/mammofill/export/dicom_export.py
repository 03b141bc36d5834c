"""DicomExport: synthetic lesions in their mammograms, as DICOM objects and as a collection that `ingest` reads.

On disk::

    images/00001.dcm           one mammogram per synthetic patch, with that one lesion in it
    segmentations/00001.dcm    DICOM SEG of the painted lesion
    mammograms.csv             the collection as `ingest table` reads it
    lineage.parquet            one row per image, columns of `LINEAGE_COLUMNS`; it names the patients of the sources, so
                               it is not to be passed on where those names are confidential (nor is artifact.json's list
                               of whom the infiller learned from)
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import pandas as pd

from mammofill.ground.artifact import Artifact
from mammofill.ground.parquet import read_parquet

LINEAGE_COLUMNS = {
    "patch_id": "string",
    "image": "string",  # file in the folder
    "patient": "string",  # as the DICOM files call it
    "patient_id": "string",  # of the tissue, as the mammograms' set calls it
    "mask_donor_patient_id": "string",
    "mammogram_id": "string",
    "source_file": "string",
    "source_sha256": "string",
    "pathology": "string",
    "seed": "int64",
    "infiller": "string",
    "split": "string",
    "sop_instance_uid": "string",
    "top": "int64",  # box of the hole, in pixels of the source
    "left": "int64",
    "height": "int64",
    "width": "int64",
    "pixels_changed": "int64",
    "pixels_changed_outside": "int64",  # outside the hole (and the watermark, where one was requested): always 0
    "grain_around": "float64",  # levels of 65535: see `grain.Grain`
    "grain_pasted": "float64",
    "grain_matched": "float64",
}


class DicomExport(Artifact):
    """Synthetic lesions as DICOM images; ``lineage`` says from what each was made. See the module for the files.

    The folder is a collection that ``ingest table`` reads.
    """

    kind: ClassVar[str] = "dicom-export"

    @cached_property
    def lineage(self) -> pd.DataFrame:
        """One row per image, columns of `LINEAGE_COLUMNS`."""
        return read_parquet(self.folder / "lineage.parquet")
