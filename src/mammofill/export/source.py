"""The file that a mammogram was read from: its stored values, and the gray value as which each is shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammofill import dicom, pictures
from mammofill.ground.artifact import fingerprint_file
from mammofill.ground.errors import ImageFileError, SourceError
from mammofill.ground.file_names import as_url
from mammofill.ground.foreign_files import is_regular_file, open_regular
from mammofill.ground.imaging import FULL_RANGE, StoredImage
from mammofill.mammograms import MammogramSet


@dataclass(frozen=True)
class Source:
    """A mammogram at the resolution and depth of its file."""

    path: Path
    sha256: str
    values: NDArray[np.integer[Any]]
    """(rows, columns) as stored; not to be written to."""
    bits: int
    low: int
    """Lowest value that can be stored."""
    meaning: NDArray[np.uint16]
    """What each value is shown as, from `low` on, over 0..65535, bright = dense."""
    header: Any = None
    """The DICOM dataset; None for other files."""
    reach: tuple[float, float] = (0.0, 0.0)
    """Of a DICOM file, the lowest and highest value after its modality transformation."""
    is_padded: bool = False
    """Whether any pixel of a DICOM file is padding."""
    is_jpeg: bool = False

    def shown(self, place: tuple[slice, slice]) -> StoredImage:
        """Return what is shown at a place, (h, w) uint16."""
        return self.meaning[self.values[place].astype(np.int64) - self.low]

    def stored(self, shown: StoredImage) -> NDArray[np.integer[Any]]:
        """Return the values that are shown as this, or as near to it as the file's depth allows."""
        order = np.argsort(self.meaning, kind="stable")
        ascending = self.meaning[order].astype(np.int64)
        wanted = shown.astype(np.int64)
        above = np.clip(np.searchsorted(ascending, wanted), 0, len(ascending) - 1)
        below = np.clip(above - 1, 0, None)
        nearest = np.where(wanted - ascending[below] < ascending[above] - wanted, below, above)
        return (order[nearest] + self.low).astype(self.values.dtype)


def collection_of(mammograms: MammogramSet, given: Path | None) -> Path:
    """Return the folder that the paths of source files are relative to.

    Args:
        mammograms: the set.
        given: folder (or table) of the collection; None takes where it lay when it was ingested.

    Raises:
        SourceError: it is not there.
    """
    records = [record for record in mammograms.manifest.inputs if record.role == "source"]
    was = records[0].place(mammograms.folder) if records else mammograms.folder
    found = given if given is not None else Path(was)
    if given is None and as_url(was):
        raise SourceError(
            f"{mammograms.folder} was read from {was}, which the export does not fetch. Copy the collection to a disk, "
            "and say where with --collection."
        )
    if not found.exists():
        raise SourceError(
            f"{mammograms.folder} was read from {found}, which does not exist. Say where its collection lies now, with "
            "--collection."
        )
    return found if found.is_dir() else found.parent


def read_source(mammograms: MammogramSet, mammogram_id: str, collection: Path) -> Source:
    """Read the file of a mammogram again, at its full resolution and depth.

    Args:
        mammograms: the set.
        mammogram_id: which mammogram of it.
        collection: folder of the collection, of `collection_of`.

    Raises:
        SourceError: the file is not there, or is not the one that was ingested.
        ImageFileError: it cannot be read.
    """
    facts = mammograms.facts(mammogram_id)
    path = collection / facts["source_file"]
    if not is_regular_file(path):
        raise SourceError(
            f"{path}, the file of the mammogram {mammogram_id}, does not exist. Say where the collection lies now, "
            "with --collection."
        )
    sha256 = fingerprint_file(path)
    if sha256 != facts["source_sha256"]:
        raise SourceError(
            f"{path} was changed since {mammograms.folder} was ingested: its SHA-256 was "
            f"{facts['source_sha256'][:12]}, and is {sha256[:12]}. Ingest the collection again."
        )
    if _is_dicom(path):
        # What was painted is a change of what the set shows, which may be a window of the file's values.
        stored = dicom.read_stored(path, mammograms.manifest.settings.get("window", "none"))
        return Source(
            path, sha256, stored.values, stored.bits, stored.low, stored.shown, stored.header,
            reach=stored.reach, is_padded=stored.is_padded,
        )  # fmt: skip
    read = pictures.read(path, int(facts["bits_stored"]))
    most = 2**read.bits - 1
    meaning = np.rint(np.arange(most + 1) * (FULL_RANGE / most)).astype(np.uint16)
    kind = np.uint8 if read.bits <= 8 else np.uint16
    values = np.rint(read.pixels * (most / FULL_RANGE)).astype(kind)
    if not np.array_equal(meaning[values], read.pixels):
        raise ImageFileError(
            f"{path}: its {read.bits} bits cannot be recovered from what is shown. This is an error of mammofill."
        )
    return Source(path, sha256, values, read.bits, 0, meaning, is_jpeg=pictures.kind_of(path) == "JPEG")


def _is_dicom(path: Path) -> bool:
    with open_regular(path) as file:
        return file.read(132)[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".dicom")
