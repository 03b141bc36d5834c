"""The files of CBIS-DDSM in whatever way they were downloaded: which image or lesion each belongs to.

Five ways are known. They differ in where a file says whose it is:

- the tables' paths: ``Mass-Training_P_00001_LEFT_CC/<study>/<series>/000000.dcm``;
- The Cancer Imaging Archive's present download: ``Mass-Training_P_00001_LEFT_CC/07-20-2016-DDSM-NA-74994/1.000000-full
  mammogram images-24515/1-1.dcm``;
- its older one: ``<PatientID>/<study>/<series>/<instance>.dcm``, in which PatientID is the folder name above;
- a folder per series, or one folder for all: known by the series, which the tables name, or by the file's header;
- the JPEG copy that goes round: ``jpeg/<series>/1-263.jpg``, with ``csv/dicom_info.csv``.

So the name of a folder is believed first, then the identifiers in its path, then the file's own name, and only where
all of these are silent is the header read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mammofill import dicom
from mammofill.ground.artifact import fingerprint_file
from mammofill.ground.counting import counted
from mammofill.ground.errors import ImageFileError
from mammofill.ground.foreign_files import check_is_here, open_regular
from mammofill.mammograms.sources.annotations import Decision
from mammofill.mammograms.sources.csv_table import read_csv_table, walk_files
from mammofill.mammograms.sources.headers import read_header

NAME = re.compile(r"(Mass|Calc)-(Training|Test)_P_\d+_(LEFT|RIGHT)_(CC|MLO)(_\d+)?")
"""The name of an image, or with a number that of a lesion: the one thing that all layouts and the tables share."""

_DICOM = (".dcm", ".dicom")
_PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".pgm")
_NO_IMAGES = (".csv", ".txt", ".md", ".xml", ".json", ".html", ".pdf", ".tcia", ".xls", ".xlsx", ".zip", ".gz", ".py")


@dataclass
class Walked:
    """What lies under a folder: tables, and files that may be images, by folder."""

    tables: list[Path] = field(default_factory=list)
    images: dict[str, list[str]] = field(default_factory=dict)
    """Names of files, by their folder."""


def walk(source: Path) -> Walked:
    """Walk a folder once, following links; nothing is opened, and only folders are looked up."""
    found = Walked()
    for folder, _, names in walk_files(source):
        images = []
        for name in names:
            ending = os.path.splitext(name)[1].lower()
            if ending == ".csv":
                found.tables.append(folder / name)
            elif ending not in _NO_IMAGES:
                images.append(name)
        if images:
            found.images[str(folder)] = images
    return found


def find_files(
    walked: Walked, name_of_uid: Mapping[str, str], series_of: Mapping[str, str]
) -> tuple[dict[str, tuple[Path, ...]], tuple[Decision, ...]]:
    """Find the files of every image and lesion.

    Args:
        walked: from `walk`.
        name_of_uid: names of images and lesions by the study and series identifiers in the tables' paths.
        series_of: the series identifier of an image, by its name.

    Returns:
        Files by the name of the image or lesion; and what was decided where a file was there more than once.
    """
    found: dict[str, list[Path]] = {}
    pictures: dict[str, list[Path]] = {}
    decisions: list[Decision] = []
    owners = _Owners(walked, name_of_uid)
    for folder, names in walked.images.items():
        of_folder = owners.of_folder(folder)
        for name in names:
            path = Path(folder, name)
            ending = path.suffix.lower()
            kept = pictures if ending in _PICTURES else found
            if kept is found and ending not in _DICOM and not _is_dicom(path):
                continue
            owner = of_folder or owners.of_file(path, is_dicom=kept is found)
            if owner is not None:
                kept.setdefault(owner, []).append(path)
    both = sorted(set(found) & set(pictures))
    if both:
        first = f"{found[both[0]][0]} and {pictures[both[0]][0]}"
        message = f"Images or lesions that are there as DICOM and as pictures: {len(both):,}, the first as {first}."
        decisions.append(Decision(both[0], None, "dicom-and-picture", message, "The DICOM files were read."))
    alone = {name: paths for name, paths in pictures.items() if name not in found}
    decisions.extend(_about_pictures(alone))
    files = {name: tuple(_without_copies(name, paths, series_of, decisions)) for name, paths in (found | alone).items()}
    if owners.unknown:
        strangers = counted(len(owners.unknown), "image files belong")
        message = f"{strangers} to no row of the tables, the first {owners.unknown[0]}."
        decisions.append(Decision(owners.unknown[0].name, None, "files-of-no-row", message, "They were not read."))
    return files, tuple(decisions)


class _Owners:
    """Says which image or lesion a file belongs to."""

    def __init__(self, walked: Walked, name_of_uid: Mapping[str, str]) -> None:
        self.unknown: list[Path] = []
        self._name_of_uid = name_of_uid
        self._of_folder: dict[str, tuple[str | None, str | None]] = {}
        self._tables = [path for path in walked.tables if path.name.lower() == "dicom_info.csv"]
        self._of_picture: dict[str, str] | None = None

    def of_folder(self, folder: str) -> str | None:
        """Return what the path of a folder says: its name, or else the identifiers in it; the innermost counts."""
        named, identified = self._look(folder)
        return named or identified

    def _look(self, folder: str) -> tuple[str | None, str | None]:
        if folder not in self._of_folder:
            above, own = os.path.split(folder)
            named, identified = self._look(above) if own else (None, None)
            named = own if NAME.fullmatch(own) else named
            self._of_folder[folder] = named, self._name_of_uid.get(own, identified)
        return self._of_folder[folder]

    def of_file(self, path: Path, is_dicom: bool) -> str | None:
        """Return what a file itself says: its name, else its header, or for a picture the table that came with it."""
        if NAME.fullmatch(path.stem):
            return path.stem
        owner = self._of_header(path) if is_dicom else self._in_table(path)
        if owner is None:
            self.unknown.append(path)
        return owner

    def _of_header(self, path: Path) -> str | None:
        try:
            header = read_header(path)
        except ImageFileError:
            return None
        patient = header.patient_id or ""
        return patient if NAME.fullmatch(patient) else self._name_of_uid.get(header.series_uid or "")

    def _in_table(self, path: Path) -> str | None:
        """Look a picture up in dicom_info.csv: by the last two parts of its path, for where it lies is not known."""
        if self._of_picture is None:
            self._of_picture = {}
            for table in self._tables:
                rows = read_csv_table(table, ("image_path", "PatientID"))
                for image, patient in zip(rows["image_path"], rows["PatientID"], strict=True):
                    if NAME.fullmatch(patient):
                        self._of_picture["/".join(image.split("/")[-2:])] = patient
        return self._of_picture.get("/".join(path.parts[-2:]))


def _is_dicom(path: Path) -> bool:
    check_is_here(path)
    try:
        with open_regular(path) as file:
            return file.read(132)[128:] == b"DICM"
    except (OSError, ImageFileError):
        return False


def _about_pictures(pictures: Mapping[str, list[Path]]) -> Iterator[Decision]:
    jpegs = [paths[0] for _, paths in sorted(pictures.items()) if paths[0].suffix.lower() in (".jpg", ".jpeg")]
    if jpegs:
        found = (
            f"Images or lesions that are there as JPEG only: {len(jpegs):,}, the first as {jpegs[0]}. That is 8 of the "
            "film's 16 bits, and lossy."
        )
        yield Decision(jpegs[0].name, None, "jpeg-copy", found, "Read as they are; masks are cut at half of the range.")


def _without_copies(
    name: str, paths: list[Path], series_of: Mapping[str, str], decisions: list[Decision]
) -> list[Path]:
    """Keep one of the files that are the same instance; of an image's files the one of the series in the tables."""
    expected = 1 if name in series_of else 2
    if len(paths) <= expected:
        return paths
    headers: dict[Path, dicom.DicomHeader] = {}
    kept: dict[str, Path] = {}
    for path in paths:
        try:
            headers[path] = read_header(path)
            instance = headers[path].sop_instance_uid
        except ImageFileError:
            instance = None
        kept.setdefault(instance or fingerprint_file(path), path)
    left = list(kept.values())
    if len(left) < len(paths):
        found = f"{name} has {len(paths)} files, {len(paths) - len(left)} of them copies: {', '.join(map(str, paths))}."
        decisions.append(Decision(name, None, "file-twice", found, "One of each was read."))
    if expected == 1 and len(left) > 1:
        of_series = [path for path in left if path in headers and headers[path].series_uid == series_of[name]]
        if len(of_series) == 1:
            others = ", ".join(str(path) for path in left if path not in of_series)
            found = f"{name} should have one file, but beside {of_series[0]} there is {others}."
            done = "The one of the series that the tables name was read."
            decisions.append(Decision(name, None, "file-of-another-series", found, done))
            return of_series
    return left
