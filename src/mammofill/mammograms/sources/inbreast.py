"""INbreast: full-field digital mammograms, DICOM, every finding outlined (Moreira et al., Academic Radiology, 2012).

What has to be known:

- the table has one row per image, and "removed" where the patient should be: the patient is the hash in the name of the
  DICOM file;
- BI-RADS, a radiologist's judgement and no biopsy, is stated for the image, and not for each outline: all outlines of
  an image get the same class, by `PATHOLOGY_OF_BIRADS`;
- the outlines lie in ``AllXML``, as property lists that OsiriX wrote. Their names vary ("Espiculated Region",
  "Assymetry", "Point 1", none at all);
- nearly 7,000 calcifications are outlined one by one, most by a single point. A lesion of one pixel teaches nothing, so
  calcifications within `GROUP_MM` of each other are one lesion, and those inside an outlined cluster belong to it.
"""

from __future__ import annotations

import plistlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from mammofill.ground.counting import counted
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.annotations import (
    Collection,
    Decision,
    Exclusion,
    LesionEntry,
    Listed,
    MammogramEntry,
    Outline,
)
from mammofill.mammograms.sources.csv_table import (
    Row,
    files_under,
    find_table,
    one_row_each,
    read_rows,
    recognises_table,
)
from mammofill.mammograms.sources.numbers import read_number, read_whole_number, same_cell
from mammofill.mammograms.sources.pathology_words import birads_category
from mammofill.mammograms.sources.sides_and_views import CONTRADICTS, DONE, contradicted, read_side, read_view

PATHOLOGY_OF_BIRADS = {
    "1": "normal",
    "2": "benign",
    "3": "benign",  # "probably benign": at most 2 % turn out malignant
    "4": "malignant",
    "4a": "malignant",  # 2 to 10 % turn out malignant: the most debatable line of this table
    "4b": "malignant",
    "4c": "malignant",
    "5": "malignant",
    "6": "malignant",
}
"""The class of an image by its BI-RADS category; one that is not here, such as 0 ("incomplete"), has none. Sets 1 to 3
against 4 to 6, as most published work on INbreast does. The shares are those of the BI-RADS atlas (ACR, 2013)."""

GROUP_MM = 5.0
"""Calcifications nearer to each other than this are one lesion. Calcifications count as grouped if there are five of
them within one centimetre (BI-RADS atlas, 2013): then each is within 5 mm of another, or nearly so."""

_SPACING_MM = 0.07

_SHAPES = ((4084, 3328), (3328, 2560))
"""(rows, columns) of the images, by the compression plate. Source: Moreira et al., 2012."""

_TABLE = "INbreast.csv"
_COLUMNS = ("File Name", "Laterality", "View", "ACR", "Bi-Rads")
_FILE = re.compile(r"(\d+)_([0-9a-f]+)_MG_([LR])_([A-Z]+)_ANON", re.IGNORECASE)
_VIEWS_IN_NAMES = {"ML": "MLO"}  # one image of the collection has the view FB

_ABNORMALITIES = {
    "mass": "mass",
    "spiculated region": "mass",
    "espiculated region": "mass",
    "cluster": "calcification",
    "calcification": "calcification",
    "calcifications": "calcification",
}
"""By name in lower case. All else is other: asymmetries, distortions, outlines without a name that says anything."""


def read_inbreast(source: Path, settings: IngestSettings) -> Collection:
    """Read ``INbreast.csv``, the outlines in ``AllXML``, and find the DICOM files.

    Args:
        source: folder that holds all three, at any depth; or the table alone, which is then listed, with all its
            images missing.
        settings: not used; lesions of every abnormality are handed on, since they keep normal patches away.

    Returns:
        One entry per image that is there.

    Raises:
        SourceError: the table is missing, a spreadsheet, or lacks columns.
    """
    raw_rows = read_rows(find_table(source, _COLUMNS, _TABLE), _COLUMNS)
    rows: list[Row] = [{**row, "File Name": same_cell(row["File Name"])} for row in raw_rows]  # not "20586908.0"
    images: dict[str, list[Path]] = {}
    for path in files_under(source, (".dcm", ".dicom")):
        if named := _FILE.fullmatch(path.stem):
            images.setdefault(named[1], []).append(path)
    outlines: dict[str, list[Path]] = {}
    for path in files_under(source, (".xml",)):
        outlines.setdefault(path.stem, []).append(path)
    distinct, exclusions = one_row_each(rows, "File Name")
    mammograms = []
    for row in sorted(distinct, key=lambda row: row["File Name"]):
        name = row["File Name"]
        if name not in images:
            found = f"{row['row']} names the image {name}, but no {name}_..._ANON.dcm is there."
            exclusions.append(Exclusion(row["row"], None, "file-missing", found))
            continue
        if len(patients := {_patient([path]).lower(): path for path in images[name]}) > 1:
            files = " and ".join(map(str, patients.values()))
            found = f"{row['row']}: the names of {files} say that the image {name} is of different patients."
            exclusions.append(Exclusion(name, None, "patient-contradicted", found))
            continue
        mammograms.append(_mammogram(row, images[name], outlines.get(name, []), exclusions))
    return Collection(
        tuple(mammograms),
        tuple(exclusions),
        (*_about_files_of_no_row(images, {row["File Name"] for row in rows}), *_about_names(mammograms)),
        tuple(_listed(row, images) for row in rows),
    )


def recognises(source: Path) -> bool:
    """Say whether a folder holds, or a table is, the table of INbreast; looks at the first lines of tables only."""
    return recognises_table(source, _COLUMNS, _TABLE)


@dataclass(frozen=True)
class _Roi:
    """One outline, as OsiriX wrote it."""

    name: str
    points: tuple[tuple[float, float], ...]
    """(row, column)."""

    @property
    def is_calcification(self) -> bool:
        return self.name.lower() in ("calcification", "calcifications")


def _patient(images: Sequence[Path]) -> str:
    named = _FILE.fullmatch(images[0].stem)
    return named[2] if named else ""


def _mammogram(row: Row, images: list[Path], outlines: Sequence[Path], exclusions: list[Exclusion]) -> MammogramEntry:
    name, patient = row["File Name"], _patient(images)
    lesions, located = _lesions(row, patient, outlines, exclusions)
    return MammogramEntry(
        mammogram_id=name,
        patient_id=patient,
        laterality=read_side(row["Laterality"]),
        view=read_view(row["View"]),
        image=tuple(images),
        lesions=lesions,
        all_lesions_located=located,
        density=row["ACR"] or None,
        spacing_mm=_SPACING_MM,
        usual_shapes=_SHAPES,
    )


def _lesions(
    row: Row, patient: str, outlines: Sequence[Path], exclusions: list[Exclusion]
) -> tuple[tuple[LesionEntry, ...], bool]:
    """Return the lesions of an image, and whether these are all."""

    def leave_out(what: str, rule: str, found: str) -> None:
        exclusions.append(Exclusion(what, patient, rule, f"{row['row']}: {found}"))

    name, birads = row["File Name"], row["Bi-Rads"]
    pathology = PATHOLOGY_OF_BIRADS.get(birads_category(birads) or "")
    try:
        if len({path.read_bytes() for path in outlines}) > 1:
            leave_out(name, "outlines-differ", f"{' and '.join(map(str, outlines))} differ. Remove all but one.")
            return (), False
        rois, broken = _read_rois(outlines[0]) if outlines else ([], [])
        groups = _grouped(rois)  # here, for points without end, and some ten thousands of them, are beyond it
    except Exception as error:  # noqa: BLE001  (over a damaged list of properties the library raises nearly anything)
        leave_out(name, "outline-unreadable", f"{outlines[0]} cannot be read as OsiriX' outlines: {error!r}.")
        return (), False
    for fault in broken:
        leave_out(name, "lesion-without-place", f"{fault} in {name}.xml.")
    if pathology is None:
        known = ", ".join(PATHOLOGY_OF_BIRADS)
        leave_out(name, "lesion-without-pathology", f"the image {name} has Bi-Rads {birads!r}; known are {known}.")
        return (), False
    if pathology == "normal":
        if rois:
            found = f"the image {name} has Bi-Rads {birads}, nothing to see, yet {counted(len(rois), 'outlines')}."
            leave_out(name, "lesion-without-pathology", found)
        return (), not rois and not broken
    if not rois:
        leave_out(name, "lesion-without-place", f"the image {name} has Bi-Rads {birads}, but no outline in {name}.xml.")
        return (), False
    lesions = tuple(
        LesionEntry(
            lesion_id=f"{name}_{count}",
            pathology=pathology,
            abnormality=_ABNORMALITIES.get(group[0].name.lower(), "other"),
            place=Outline(tuple(roi.points for roi in group)),
            source=f"{name}.xml",
            attributes={"name": group[0].name, "outlines": str(len(group)), "birads": birads},
        )
        for count, group in enumerate(groups, start=1)
    )
    return lesions, not broken


def _read_rois(path: Path) -> tuple[list[_Roi], list[str]]:
    """Return the outlines of a file, and a fault for each that lacks points, or has points that are no numbers."""
    images = plistlib.loads(path.read_bytes())["Images"]
    rois, broken = [], []
    for image in images:
        if len(image["ROIs"]) < _stated_count(image, "NumberOfROIs"):
            broken.append(f"of {image['NumberOfROIs']} outlines only {len(image['ROIs'])} are there")
    for number, roi in enumerate((roi for image in images for roi in image["ROIs"]), start=1):
        name = str(roi.get("Name") or "").strip()
        texts = [str(text) for text in roi.get("Point_px", ())]
        points = [_point(text) for text in texts]
        usable = tuple(point for point in points if point is not None)
        if not texts or len(usable) < len(texts):
            what = f"the point {texts[points.index(None)]!r}" if texts else "no points"
            broken.append(f"outline {number} ({name or 'without a name'}) has {what}")
            continue
        if len(texts) < _stated_count(roi, "NumberOfPoints"):
            what = f"{len(texts)} of the {roi['NumberOfPoints']} points that it should have"
            broken.append(f"outline {number} ({name or 'without a name'}) has {what}")
            continue
        rois.append(_Roi(name, usable))
    return rois, broken


def _stated_count(about: Mapping[str, object], name: str) -> int:
    """Return how many there should be; 0 where it is not stated."""
    return read_whole_number(str(about.get(name, ""))) or 0


def _point(text: str) -> tuple[float, float] | None:
    """Return (row, column) of "(x, y)"."""
    numbers = [read_number(number) for number in text.strip(" ()").split(",")]
    if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
        return None
    return numbers[1], numbers[0]


def _grouped(rois: Sequence[_Roi]) -> list[list[_Roi]]:
    """Return the outlines that make up each lesion: first those that stand alone, then groups of calcifications."""
    groups = [[roi] for roi in rois if not roi.is_calcification]
    clusters = [group for group in groups if group[0].name.lower() == "cluster" and len(group[0].points) > 2]
    loose: list[_Roi] = []
    for roi in rois:
        if not roi.is_calcification:
            continue
        cluster = next((group for group in clusters if _is_inside(roi, group[0])), None)
        (loose if cluster is None else cluster).append(roi)
    return groups + _near_each_other(loose)


def _is_inside(roi: _Roi, cluster: _Roi) -> bool:
    return cv2.pointPolygonTest(np.array(cluster.points, np.float32), _middle(roi), measureDist=False) >= 0


def _near_each_other(rois: list[_Roi]) -> list[list[_Roi]]:
    if len(rois) < 2:
        return [rois] if rois else []
    tree = linkage(np.array([_middle(roi) for roi in rois]), method="single")
    groups: dict[int, list[_Roi]] = {}
    for roi, group in zip(rois, fcluster(tree, GROUP_MM / _SPACING_MM, criterion="distance"), strict=True):
        groups.setdefault(int(group), []).append(roi)
    return list(groups.values())


def _middle(roi: _Roi) -> tuple[float, float]:
    row, column = np.mean(roi.points, axis=0)
    return float(row), float(column)


def _about_files_of_no_row(images: dict[str, list[Path]], known: set[str]) -> tuple[Decision, ...]:
    unknown = sorted(set(images) - known)
    if not unknown:
        return ()
    first = images[unknown[0]][0]
    found = f"{counted(len(unknown), 'images have')} no row in the table, the first {first}."
    return (Decision(unknown[0], None, "files-of-no-row", found, "They were not read."),)


def _about_names(mammograms: Sequence[MammogramEntry]) -> Iterator[Decision]:
    """Yield a decision for each file whose name says another side or view than the table."""
    for entry in mammograms:
        named = _FILE.fullmatch(entry.image[0].stem)
        if named is None:
            continue
        view = read_view(_VIEWS_IN_NAMES.get(named[4].upper(), named[4]))
        if contradiction := contradicted(entry.laterality, entry.view, read_side(named[3]), view):
            found = f"The name of {entry.image[0]} says {contradiction}."
            yield Decision(entry.mammogram_id, entry.patient_id, CONTRADICTS, found, DONE)


def _listed(row: Row, images: dict[str, list[Path]]) -> Listed:
    name = row["File Name"]
    patient = _patient(images[name]) if name in images else ""
    missing = tuple(column for column in _COLUMNS if not row[column])
    return Listed(
        row=row["row"],
        patient_id=patient,
        mammogram_id=name,
        lesion_id=None,
        laterality=read_side(row["Laterality"]),
        view=read_view(row["View"]),
        pathology=PATHOLOGY_OF_BIRADS.get(birads_category(row["Bi-Rads"]) or ""),
        abnormality=None,
        density=row["ACR"] or None,
        official_split=None,
        missing=missing if patient else ("Patient ID", *missing),
    )
