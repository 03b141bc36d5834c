"""MammogramSet: mammograms in 16 bits, one mask per lesion, and what was left out and why.

On disk::

    mammograms.parquet   one row per mammogram
    lesions.parquet      one row per lesion
    exclusions.parquet   one row per file or table row that was left out: what, rule, found
    decisions.parquet    one row per irregularity of something that was kept: what, rule, found, done
    images/<mammogram_id>.tiff   (not for each, where keep_images is off: the others are read from the collection again)
                                 16-bit gray, 0..65535, bright = dense, at the working resolution, uncompressed:
                                 film noise fills the lower bits, so PNG saves a fifth and takes twenty times as long
    masks/<lesion_id>.png        8-bit gray, 255 = lesion, only the lesion's box (its place is in the table)
    tissue/<mammogram_id>.png    8-bit gray, small: 0 = film, 127 = breast, 254 = pectoral muscle
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill import dicom
from mammofill.ground.artifact import Artifact, fingerprint_file
from mammofill.ground.errors import DamagedError, ImageFileError
from mammofill.ground.file_names import inside
from mammofill.ground.imaging import Mask, StoredImage, decode_png, encode_png, read_tiff, resample
from mammofill.ground.parquet import read_parquet
from mammofill.mammograms.tissue import TissueMap

MAMMOGRAM_COLUMNS = {
    "mammogram_id": "string",
    "patient_id": "string",
    "laterality": "string",  # left / right, or missing
    "view": "string",  # cc / mlo, or missing
    "spacing_mm": "float64",  # at the working resolution; missing where the source has no reliable value
    "scale": "float64",  # working resolution / resolution of the source file
    "rows": "int64",  # at the working resolution
    "columns": "int64",
    "bits_stored": "int64",  # of the source file
    "density": "string",  # breast density as the source gives it, or missing
    "split": "string",
    "official_split": "string",  # the collection's own split, or missing
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
    "attributes": "string",  # JSON of other facts from the source (shape, margins, assessment, subtlety, ...)
    "top": "int64",  # its box in the mammogram, at the working resolution
    "left": "int64",
    "height": "int64",
    "width": "int64",
    "area_px": "int64",  # at the working resolution
    "source_file": "string",  # the mask's file, or the table that gives its circle
}

EXCLUSION_COLUMNS = {
    "what": "string",  # file, table row, or lesion
    "patient_id": "string",
    "rule": "string",  # short machine-readable name, for example "mask-empty"
    "found": "string",  # full description
}

DECISION_COLUMNS = {
    "what": "string",  # mammogram, lesion, patient or file
    "patient_id": "string",
    "rule": "string",  # short machine-readable name, for example "mask-resampled"
    "found": "string",  # description of the irregularity
    "done": "string",  # what was done about it
}

CROP_RULE = "picture-is-crop"
"""Rule of the decision about a picture that is a crop, cut around its lesion."""

_TISSUE_STEP = 127
"""Gray levels between the kinds of tissue in a picture, so that they are visible."""


class MammogramSet(Artifact):
    """A collection as one consistent set: mammograms at one working resolution, one mask per lesion, split by patient.

    ``mammograms``, ``lesions``, ``exclusions`` (what was left out, and why) and ``decisions`` (what was repaired or
    noted) are tables; ``image(mammogram_id)`` is (rows, columns) uint16, bright = dense, and ``mask(lesion_id)`` a bool
    array of the same size. See the module for the columns and the files.
    """

    kind: ClassVar[str] = "mammograms"

    def strip(self) -> list[NDArray[Any]]:
        """Return the first four mammograms, (rows, columns) uint16, small."""
        names = self.mammograms["mammogram_id"][:4]
        return [image[:: max(1, image.shape[0] // 192), :: max(1, image.shape[0] // 192)]
                for image in map(self.image, names)]  # fmt: skip

    @cached_property
    def mammograms(self) -> pd.DataFrame:
        """One row per mammogram, columns of `MAMMOGRAM_COLUMNS`, sorted by mammogram_id."""
        return read_parquet(self.folder / "mammograms.parquet")

    @cached_property
    def lesions(self) -> pd.DataFrame:
        """One row per lesion, columns of `LESION_COLUMNS`, sorted by lesion_id."""
        return read_parquet(self.folder / "lesions.parquet")

    @cached_property
    def exclusions(self) -> pd.DataFrame:
        """One row per exclusion, columns of `EXCLUSION_COLUMNS`."""
        return read_parquet(self.folder / "exclusions.parquet")

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """One row per decision (something repaired or noted), columns of `DECISION_COLUMNS`."""
        return read_parquet(self.folder / "decisions.parquet")

    @cached_property
    def crops(self) -> frozenset[str]:
        """Identifiers of the pictures that are crops, cut around one lesion, as ingest decided."""
        decisions = self.decisions
        return frozenset(decisions["what"][decisions["rule"] == CROP_RULE].astype(str))

    @cached_property
    def _facts(self) -> dict[str, dict[str, Any]]:
        return {row["mammogram_id"]: row for row in _records(self.mammograms)}

    def facts(self, mammogram_id: str) -> dict[str, Any]:
        """Return the row of `mammograms` of one mammogram; None for values that are missing."""
        return self._facts[mammogram_id]

    @cached_property
    def _facts_of_lesions(self) -> dict[str, list[dict[str, Any]]]:
        facts: dict[str, list[dict[str, Any]]] = {}
        for row in _records(self.lesions):
            facts.setdefault(row["mammogram_id"], []).append(row)
        return facts

    def facts_of_lesions(self, mammogram_id: str) -> list[dict[str, Any]]:
        """Return the rows of `lesions` of one mammogram, in the form of `facts`."""
        return self._facts_of_lesions.get(mammogram_id, [])

    def _file(self, folder: str, name: str) -> Path:
        """Return a file of this set; a table that names one outside of it is refused."""
        try:
            return inside(self.folder / folder, name)
        except ValueError as error:
            message = f"{self.folder}: {error}. Its tables were changed; ingest the collection again."
            raise DamagedError(message) from error

    def image(self, mammogram_id: str) -> StoredImage:
        """Return one mammogram's pixels, (rows, columns) uint16; they are read from disk when they are accessed.

        Raises:
            DamagedError: the file was changed; or it was not kept, and the collection's file is missing or was changed.
        """
        if not self.manifest.settings.get("keep_images", True) and not self.keeps_image(mammogram_id):
            return self._from_collection(mammogram_id)
        path = self._file("images", f"{mammogram_id}.tiff")
        try:
            return read_tiff(path)
        except (OSError, ValueError) as error:
            raise DamagedError(f"{path} cannot be read: {error}. Ingest the collection again.") from error

    def keeps_image(self, mammogram_id: str) -> bool:
        """Return whether a mammogram's working image is in this set; if not, `image` reads the collection again."""
        return f"images/{mammogram_id}.tiff" in self.manifest.files

    def _from_collection(self, mammogram_id: str) -> StoredImage:
        facts = self.facts(mammogram_id)
        source = next(record.path for record in self.manifest.inputs if record.role == "source")
        path = base_folder(Path(os.path.normpath(self.folder / source))) / facts["source_file"]
        asked = "Bring the collection back to its place, or ingest it with keep_images."
        if not path.is_file():
            raise DamagedError(f"{self.folder} was ingested without keep_images, and {path} is gone. {asked}")
        if fingerprint_file(path) != facts["source_sha256"]:
            raise DamagedError(
                f"{self.folder} was ingested without keep_images, and {path} is another file than then. {asked}"
            )
        try:
            read = dicom.read(path, self.manifest.settings["window"])
        except ImageFileError as error:
            raise DamagedError(f"{self.folder} was ingested without keep_images, and {error} {asked}") from error
        return resample(read.pixels, (int(facts["rows"]), int(facts["columns"])))

    def tissue(self, mammogram_id: str) -> TissueMap:
        """Return the small map of film, breast and muscle; `enlarge_tissue` resamples it to the mammogram's size."""
        return decode_png(self._file("tissue", f"{mammogram_id}.png").read_bytes()) // np.uint8(_TISSUE_STEP)

    def mask_in_box(self, lesion_id: str) -> Mask:
        """Return one lesion's mask inside its box (top, left, height, width in `lesions`): (height, width) bool."""
        return decode_png(self._file("masks", f"{lesion_id}.png").read_bytes()) > 0

    def mask(self, lesion_id: str) -> Mask:
        """Return one lesion's mask, bool, of its mammogram's size."""
        lesion = self.lesions[self.lesions["lesion_id"] == lesion_id].to_dict("records")[0]
        facts = self.facts(lesion["mammogram_id"])
        mask = np.zeros((facts["rows"], facts["columns"]), np.bool_)
        top, left, height, width = (lesion[name] for name in ("top", "left", "height", "width"))
        mask[top : top + height, left : left + width] = self.mask_in_box(lesion_id)
        return mask

    def lesion_mask(self, mammogram_id: str) -> Mask:
        """Return the union of the masks of all lesions of one mammogram, bool, of its size; empty without lesions."""
        facts = self.facts(mammogram_id)
        union = np.zeros((facts["rows"], facts["columns"]), np.bool_)
        for lesion_id in self.lesions_of(mammogram_id)["lesion_id"]:
            union |= self.mask(lesion_id)
        return union

    @cached_property
    def _lesion_rows(self) -> dict[str, NDArray[np.int64]]:
        rows = self.lesions.groupby("mammogram_id").indices
        return {str(mammogram_id): np.asarray(numbers, np.int64) for mammogram_id, numbers in rows.items()}

    def lesions_of(self, mammogram_id: str) -> pd.DataFrame:
        """Return the rows of `lesions` of one mammogram."""
        none = np.empty(0, np.int64)
        rows: pd.DataFrame = self.lesions.iloc[self._lesion_rows.get(mammogram_id, none)]
        return rows


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as mappings, with None for missing values."""
    records = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in records]


def base_folder(source: Path) -> Path:
    """Return the folder of a collection, also where the source is its table."""
    return source if source.is_dir() else source.parent


def encode_tissue(tissue: TissueMap) -> bytes:
    """Encode a map of tissue in the format of the set's files: see the module."""
    return encode_png(tissue * np.uint8(_TISSUE_STEP))
