"""CDD-CESM: contrast-enhanced mammograms, JPEG, abnormal regions drawn (Khaled et al., Scientific Data, 2022).

What has to be known:

- each view is there twice: as the low-energy image (``DM``), which looks like a mammogram and is read; and as the
  subtracted one (``CM``), another kind of picture, which is not;
- names carry stray spaces, in the table, in the drawings and on disk ("P1_L_DM_CC .jpg");
- normal, benign or malignant is stated for the image, and not for each region: all regions of an image get the same
  class. What they are is known only where all findings of the image are of one kind;
- regions come as polygons, ellipses, circles, lines and points, in pixels of the JPEG files as distributed: they do not
  hold on resized copies. Copies with a folder of masks, named as the images, are read too, if the table is there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mammofill.ground.counting import counted
from mammofill.ground.errors import SourceError
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.annotations import (
    Box,
    Circle,
    Collection,
    Decision,
    Exclusion,
    LesionEntry,
    Listed,
    MammogramEntry,
    Outline,
    Place,
)
from mammofill.mammograms.sources.csv_table import (
    Row,
    files_under,
    find_table,
    has_columns,
    one_row_each,
    read_rows,
    recognises_table,
)
from mammofill.mammograms.sources.names_in_paths import slipped
from mammofill.mammograms.sources.patients import patient_key
from mammofill.mammograms.sources.sides_and_views import contradicted, read_side, read_view

_TABLE = "Radiology-manual-annotations.csv"
_PATHOLOGY = "Pathology Classification/ Follow up"
_DENSITY = "Breast density (ACR)"
_COLUMNS = ("Image_name", _PATHOLOGY)
_TO_FILL = (*_COLUMNS, _DENSITY, "BIRADS", "Findings")
_DRAWINGS = "Radiology_hand_drawn_segmentations_v2.csv"
_DRAWING_COLUMNS = ("#filename", "region_shape_attributes")
_NAME = re.compile(r"P(\d+)_([LR])_(DM|CM)_(CC|MLO)\d*", re.IGNORECASE)
_PICTURES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
_PATHOLOGIES = {"normal": "normal", "benign": "benign", "malignant": "malignant"}
_EMPTY = ("", "_", "-")

_ELLIPSE_POINTS = 64
"""Corners of the polygon that stands for an ellipse: it is then nowhere off by more than 0.13 % of the radius."""


def read_cdd_cesm(source: Path, settings: IngestSettings) -> Collection:
    """Read the low-energy images: their table, and the regions drawn on them.

    Args:
        source: folder that holds the table (as CSV), the drawings (``Radiology_hand_drawn_segmentations_v2.csv``) or a
            folder ``masks``, and the images, at any depth; or the table alone, which is then listed, with all its
            images missing.
        settings: not used; lesions of every abnormality are handed on, since they keep normal patches away.

    Returns:
        One entry per low-energy image that is there.

    Raises:
        SourceError: the table is missing, a spreadsheet, or lacks columns.
    """
    pictures = _Pictures.under(source)
    rows = read_rows(_find_table(source, pictures), _COLUMNS)
    named = [{**row, "Image_name": _clean(row["Image_name"])} for row in rows]
    low_energy = [row for row in named if _is_low_energy(row["Image_name"])]
    distinct, exclusions = one_row_each(low_energy, "Image_name")
    drawings = _drawings(source)
    reader = _Reader(pictures, drawings, _subtracted_with_lesion(named), exclusions)
    mammograms = [reader.mammogram(row) for row in sorted(distinct, key=lambda row: row["Image_name"])]
    decisions = (*slipped(reader.contradicted, len(mammograms)), *reader.contradicted, *reader.decisions)
    return Collection(
        tuple(entry for entry in mammograms if entry is not None),
        tuple(exclusions),
        (*decisions, *_about_other_rows(named), *_about_drawings(drawings, named), *_about_images(pictures, named)),
        tuple(_listed(row) for row in low_energy),
    )


def recognises(source: Path) -> bool:
    """Say whether a folder holds, or a table is, that of CDD-CESM; looks at the first lines of tables only."""
    return recognises_table(source, _COLUMNS, _TABLE) or recognises_table(source, _DRAWING_COLUMNS, _DRAWINGS)


@dataclass(frozen=True)
class _Pictures:
    """Low-energy images and their masks, by name."""

    images: dict[str, list[Path]] = field(default_factory=dict)
    masks: dict[str, list[Path]] = field(default_factory=dict)

    @staticmethod
    def under(source: Path) -> _Pictures:
        found = _Pictures()
        for path in files_under(source, _PICTURES):
            if _is_low_energy(name := _clean(path.name)):
                folders = path.relative_to(source).parts[:-1]
                is_mask = any(folder.lower().startswith("mask") for folder in folders)
                (found.masks if is_mask else found.images).setdefault(name, []).append(path)
        return found


def _find_table(source: Path, pictures: _Pictures) -> Path:
    try:
        return find_table(source, _COLUMNS, _TABLE)
    except SourceError as error:
        if not pictures.masks:
            raise
        raise SourceError(
            f"{error} The masks beside the images say where lesions are, but nothing says whether they are benign or "
            "malignant. If you know it, write it into a table for the collection `table`, as "
            "examples/cdd_cesm_table.py does."
        ) from error


def _clean(name: str) -> str:
    """Return the name of an image without folder, ending and stray spaces, in the case in which they are published."""
    last = re.split(r"[/\\]", name)[-1].strip()
    name = re.sub(r"\s*\.(jpe?g|png|tiff?)$", "", last, flags=re.IGNORECASE).strip()
    return name.upper() if _NAME.fullmatch(name) else name


def _is_low_energy(name: str) -> bool:
    found = _NAME.fullmatch(name)
    return found is not None and found[3].upper() == "DM"


def _drawings(source: Path) -> dict[str, list[Row]]:
    """Return the rows of the drawings by image; none where there is no such table."""
    tables = [path for path in files_under(source, (".csv",)) if has_columns(path, _DRAWING_COLUMNS)]
    if not tables:
        return {}
    table = find_table(source, _DRAWING_COLUMNS, _DRAWINGS)
    drawings: dict[str, list[Row]] = {}
    for row in read_rows(table, _DRAWING_COLUMNS):
        if row["region_shape_attributes"] not in ("", "{}"):  # the annotator lists images without regions as well
            drawings.setdefault(_clean(row["#filename"]), []).append(row)
    return drawings


@dataclass
class _Reader:
    """Makes entries of rows, and notes what was left out."""

    pictures: _Pictures
    drawings: Mapping[str, Sequence[Row]]
    subtracted: Mapping[str, Row]
    """Rows of subtracted images that are called benign or malignant, by the low-energy image of the same view."""
    exclusions: list[Exclusion]
    decisions: list[Decision] = field(default_factory=list)
    contradicted: list[Decision] = field(default_factory=list)
    """About rows whose columns contradict the name of their image."""

    def mammogram(self, row: Row) -> MammogramEntry | None:
        name, patient = row["Image_name"], _patient(row["Image_name"])
        side, view = _side_and_view(name)
        if name not in self.pictures.images:
            found = f"{row['row']} names the image {name}, but no {name}.jpg is there."
            self.exclusions.append(Exclusion(row["row"], patient, "file-missing", found))
            return None
        lesions, located = self._lesions(row, name, patient)
        if contradiction := _columns_against_name(row):
            found = f"The name {name}, of {row['row']}, says {contradiction}."
            done = "The name is followed, and the image gives no normal patches: the class may be another image's."
            self.contradicted.append(Decision(name, patient, "rows-disagree", found, done))
            located = False
        return MammogramEntry(
            mammogram_id=name,
            patient_id=patient,
            laterality=side,
            view=view,
            image=tuple(self.pictures.images[name]),
            lesions=lesions,
            all_lesions_located=located,
            density=_density(row),
        )

    def _lesions(self, row: Row, name: str, patient: str) -> tuple[tuple[LesionEntry, ...], bool]:
        """Return the lesions of an image, and whether these are all."""
        pathology = _pathology(row)
        places, complete = self._places(name, patient)
        if pathology == "normal" and not places:
            return (), complete and not self._is_contradicted(row, name, patient)
        if pathology in (None, "normal"):
            known = f"known are {', '.join(_PATHOLOGIES)}"
            problem = f"yet {len(places)} regions are drawn on it" if pathology else known
            found = f"{row['row']} calls {name} {row[_PATHOLOGY]!r}; {problem}."
            self.exclusions.append(Exclusion(name, patient, "lesion-without-pathology", found))
            return (), False
        if not places and complete:
            found = f"{row['row']} calls {name} {pathology}, but no region is drawn on it."
            self.exclusions.append(Exclusion(name, patient, "lesion-without-place", found))
            return (), False
        attributes = {"findings": row.get("Findings", ""), "birads": row.get("BIRADS", "")}
        lesions = tuple(
            LesionEntry(f"{name}_{count}", str(pathology), _abnormality(row), place, where, attributes)
            for count, (place, where) in enumerate(places, start=1)
        )
        return lesions, complete

    def _is_contradicted(self, row: Row, name: str, patient: str) -> bool:
        """Say whether the subtracted image of the same view shows a lesion; note it."""
        other = self.subtracted.get(name)
        if other is None:
            return False
        found = (
            f"{row['row']} calls {name} normal, but {other['row']} calls {other['Image_name']}, the subtracted image "
            f"of the same view, {_pathology(other)}."
        )
        done = "Kept, and gives no normal patches."
        self.decisions.append(Decision(name, patient, "rows-disagree", found, done))
        return True

    def _places(self, name: str, patient: str) -> tuple[list[tuple[Place, str]], bool]:
        """Return the places of an image's lesions, each with where it comes from, and whether all could be read."""
        if not self.drawings and name in self.pictures.masks:
            return [(tuple(self.pictures.masks[name]), str(self.pictures.masks[name][0]))], True
        places: dict[str, tuple[Place, str]] = {}
        complete = True
        for row in self.drawings.get(name, ()):
            shape, where = row["region_shape_attributes"], row["row"]
            if shape in places:
                found = f"{where} repeats {places[shape][1]}: a region of {name}."
                self.exclusions.append(Exclusion(where, patient, "row-repeated", found))
                continue
            place = _place(shape)
            if place is None:
                found = f"{where} gives a region of {name} that cannot be drawn: {shape}."
                self.exclusions.append(Exclusion(where, patient, "lesion-without-place", found))
                complete = False
                continue
            places[shape] = (place, where)
        return list(places.values()), complete


def _place(text: str) -> Circle | Outline | Box | None:
    """Return the place that a region of the VGG Image Annotator marks; None for one that is not understood."""
    try:
        shape = json.loads(text)
        return _SHAPES[shape["name"]](shape)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


def _numbers(shape: Mapping[str, Any], *names: str) -> tuple[float, ...]:
    if any(isinstance(shape[name], bool) for name in names):
        raise TypeError(f"{names} are not all numbers")
    numbers = tuple(float(shape[name]) for name in names)
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"{names} are not all finite")
    return numbers


def _polygon(shape: Mapping[str, Any]) -> Outline:
    corners = zip(shape["all_points_y"], shape["all_points_x"], strict=True)
    contour = tuple((float(row), float(column)) for row, column in corners)
    if not contour or not np.isfinite(contour).all():
        raise ValueError("a polygon needs points")
    return Outline((contour,))


def _circle(shape: Mapping[str, Any]) -> Circle:
    column, row, radius = _numbers(shape, "cx", "cy", "r")
    return Circle(row, column, radius)


def _point(shape: Mapping[str, Any]) -> Outline:
    column, row = _numbers(shape, "cx", "cy")
    return Outline((((row, column),),))


def _rectangle(shape: Mapping[str, Any]) -> Box:
    left, top, width, height = _numbers(shape, "x", "y", "width", "height")
    return Box(top, left, height, width)


def _ellipse(shape: Mapping[str, Any]) -> Outline:
    column, row, along, across = _numbers(shape, "cx", "cy", "rx", "ry")
    if min(along, across) <= 0:
        raise ValueError("an ellipse needs two radii")
    (turn,) = _numbers({"theta": 0.0, **shape}, "theta")  # clockwise on the screen, in radians, as a canvas turns
    angles = np.linspace(0, 2 * np.pi, _ELLIPSE_POINTS, endpoint=False)
    x, y = along * np.cos(angles), across * np.sin(angles)
    rows = row + x * math.sin(turn) + y * math.cos(turn)
    columns = column + x * math.cos(turn) - y * math.sin(turn)
    return Outline((tuple(zip(rows.tolist(), columns.tolist(), strict=True)),))


_SHAPES: dict[str, Callable[[Mapping[str, Any]], Circle | Outline | Box]] = {
    "polygon": _polygon,
    "polyline": _polygon,
    "circle": _circle,
    "ellipse": _ellipse,
    "rect": _rectangle,
    "point": _point,
}


def _patient(name: str) -> str:
    found = _NAME.fullmatch(name)
    return f"P{found[1]}" if found else ""


def _side_and_view(name: str) -> tuple[str | None, str | None]:
    found = _NAME.fullmatch(name)
    return (read_side(found[2]), read_view(found[4])) if found else (None, None)


def _columns_against_name(row: Row) -> str:
    """Say how the columns for patient, side and view contradict the name of the image; "" where they do not."""
    side, view = _side_and_view(row["Image_name"])
    contradiction = contradicted(read_side(row.get("Side")), read_view(row.get("View")), side, view)
    patient, stated_patient = _patient(row["Image_name"]), row.get("Patient_ID", "")
    if patient_key(stated_patient) in ("", patient_key(patient)):
        return contradiction
    return " and ".join(filter(None, (f"{patient}, where the table says {stated_patient}", contradiction)))


def _words(cell: str) -> set[str]:
    """Return the values of a cell, in lower case; several findings are separated by $."""
    return {word.strip().lower() for word in cell.split("$")} - set(_EMPTY)


def _pathology(row: Row) -> str | None:
    words = _words(row[_PATHOLOGY])
    return _PATHOLOGIES.get(min(words)) if len(words) == 1 else None


def _abnormality(row: Row) -> str:
    """Return the kind of an image's lesions where all findings are of one kind, else other."""
    kinds = {_kind(word) for word in _words(row.get("Findings", ""))}
    return kinds.pop() if len(kinds) == 1 else "other"


def _kind(finding: str) -> str:
    if "calcification" in finding:
        return "calcification"
    return "mass" if re.match(r"mass\b", finding) else "other"  # not "non-mass enhancement"


def _density(row: Row) -> str | None:
    density = row.get(_DENSITY, "")
    return None if density in _EMPTY else density


def _subtracted_with_lesion(rows: Iterable[Row]) -> dict[str, Row]:
    """Return rows of subtracted images with a lesion, by the name of the low-energy image of the same view."""
    return {
        row["Image_name"].replace("_CM_", "_DM_"): row
        for row in rows
        if "_CM_" in row["Image_name"] and _pathology(row) in ("benign", "malignant")
    }


def _about_other_rows(rows: Iterable[Row]) -> list[Decision]:
    """Say which rows were not read, by reason."""
    unknown = [row for row in rows if not _NAME.fullmatch(row["Image_name"])]
    subtracted = [row for row in rows if _NAME.fullmatch(row["Image_name"]) and not _is_low_energy(row["Image_name"])]
    about = [
        ("subtracted", subtracted, "rows are of subtracted images, which are no mammograms"),
        ("name-unknown", unknown, "rows do not name an image like P1_L_DM_CC"),
    ]
    return [
        Decision(group[0]["row"], None, rule, f"{counted(len(group), what)}, the first {group[0]['row']}.", "Not read.")
        for rule, group, what in about
        if group
    ]


def _about_drawings(drawings: Mapping[str, Sequence[Row]], named: Iterable[Row]) -> list[Decision]:
    """Say which regions are drawn on images that the table does not know."""
    known = {row["Image_name"] for row in named}
    lost = [row for name, rows in drawings.items() for row in rows if name not in known]
    if not lost:
        return []
    found = f"{len(lost)} regions are drawn on images of no row, the first {lost[0]['row']} on {lost[0]['#filename']}."
    done = "Not read. If a row names the image in another way, its lesions are missing there: give both one name."
    return [Decision(lost[0]["row"], None, "drawings-of-no-row", found, done)]


def _about_images(pictures: _Pictures, named: Iterable[Row]) -> list[Decision]:
    """Return a decision about low-energy images that have no row in the table, which may be incomplete."""
    lost = sorted(set(pictures.images) - {row["Image_name"] for row in named})
    if not lost:
        return []
    found = f"{counted(len(lost), 'images have')} no row in the table, the first {pictures.images[lost[0]][0]}."
    return [Decision(lost[0], None, "files-of-no-row", found, "They were not read.")]


def _listed(row: Row) -> Listed:
    side, view = _side_and_view(row["Image_name"])
    pathology = _pathology(row)
    return Listed(
        row=row["row"],
        patient_id=_patient(row["Image_name"]),
        mammogram_id=row["Image_name"],
        lesion_id=None,
        laterality=side,
        view=view,
        pathology=pathology,
        abnormality=None if pathology in (None, "normal") else _abnormality(row),
        density=_density(row),
        official_split=None,
        missing=tuple(column for column in _TO_FILL if column in row and row[column] in _EMPTY),
    )
