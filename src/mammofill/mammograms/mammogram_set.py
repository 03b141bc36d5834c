"""MammogramSet: mammograms in 16 bits, one mask per lesion, and what was left out and why.

On disk::

    mammograms.parquet   one row per mammogram
    lesions.parquet      one row per lesion
    exclusions.parquet   one row per file or table row that was left out: what, rule, found
    images/<mammogram_id>.png    16-bit gray, 0..65535, bright = dense, at the working resolution
    masks/<lesion_id>.png        8-bit gray, 255 = lesion, same size as its mammogram
"""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

import numpy as np
import pandas as pd

from mammofill.ground.artifact import Artifact
from mammofill.ground.imaging import Mask, StoredImage, decode_png

MAMMOGRAM_COLUMNS = {
    "mammogram_id": "string",
    "patient_id": "string",
    "laterality": "string",  # left / right, or missing
    "view": "string",  # cc / mlo, or missing
    "spacing_mm": "float64",  # at the working resolution; missing where the source does not say reliably
    "scale": "float64",  # working resolution / resolution of the source file
    "rows": "int64",  # at the working resolution
    "columns": "int64",
    "bits_stored": "int64",  # of the source file
    "density": "string",  # breast density as the source gives it, or missing
    "split": "string",
    "all_lesions_located": "bool",  # if not, no tissue of it can be called normal
    "source_file": "string",  # relative to the collection's folder
    "source_sha256": "string",
}

LESION_COLUMNS = {
    "lesion_id": "string",
    "mammogram_id": "string",
    "patient_id": "string",
    "pathology": "string",  # benign / malignant
    "abnormality": "string",  # mass / calcification / other
    "attributes": "string",  # JSON of what else the source says (shape, margins, assessment, subtlety, ...)
    "area_px": "int64",  # at the working resolution
    "source_file": "string",  # the mask's file, or the table that gives its circle
}

EXCLUSION_COLUMNS = {
    "what": "string",  # file, table row, or lesion
    "patient_id": "string",
    "rule": "string",  # short machine-readable name, for example "mask-empty"
    "found": "string",  # the whole story, for people
}


class MammogramSet(Artifact):
    """Mammograms, their lesions, and what was left out. See the module for the folder."""

    kind: ClassVar[str] = "mammograms"

    @cached_property
    def mammograms(self) -> pd.DataFrame:
        """One row per mammogram, columns of `MAMMOGRAM_COLUMNS`, sorted by mammogram_id."""
        return pd.read_parquet(self.folder / "mammograms.parquet")

    @cached_property
    def lesions(self) -> pd.DataFrame:
        """One row per lesion, columns of `LESION_COLUMNS`, sorted by lesion_id."""
        return pd.read_parquet(self.folder / "lesions.parquet")

    @cached_property
    def exclusions(self) -> pd.DataFrame:
        """One row per thing left out, columns of `EXCLUSION_COLUMNS`."""
        return pd.read_parquet(self.folder / "exclusions.parquet")

    def image(self, mammogram_id: str) -> StoredImage:
        """Return one mammogram's pixels, (rows, columns) uint16."""
        pixels = decode_png((self.folder / "images" / f"{mammogram_id}.png").read_bytes())
        return pixels.astype(np.uint16, copy=False)

    def mask(self, lesion_id: str) -> Mask:
        """Return one lesion's mask, bool, of its mammogram's size."""
        return decode_png((self.folder / "masks" / f"{lesion_id}.png").read_bytes()) > 0

    def lesions_of(self, mammogram_id: str) -> pd.DataFrame:
        """Return the rows of `lesions` that lie on one mammogram."""
        return self.lesions[self.lesions["mammogram_id"] == mammogram_id]
