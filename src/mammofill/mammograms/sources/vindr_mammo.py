"""VinDr-Mammo: 5,000 screening exams of four views, DICOM, findings in boxes (Nguyen et al., Scientific Data, 2023).

What has to be known:

- ``finding_annotations.csv`` has a row for each finding, and one with ``['No Finding']`` for each image without. It
  repeats what ``breast-level_annotations.csv`` says, which is not read;
- a finding has a BI-RADS category of 3, 4 or 5, a radiologist's judgement and no biopsy; some (skin thickening,
  retractions, lymph nodes) have none. Classes by `PATHOLOGY_OF_BIRADS`;
- benign findings (BI-RADS 2) are not marked. So of the images without a box only those of breasts with BI-RADS 1 are
  known to be normal all over;
- boxes are generous, reach beyond the border here and there, and hold for images of the listed size only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mammofill.ground.counting import counted
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.annotations import (
    Box,
    Collection,
    Decision,
    Exclusion,
    LesionEntry,
    Listed,
    MammogramEntry,
)
from mammofill.mammograms.sources.csv_table import Row, files_under, find_table, read_rows, recognises_table
from mammofill.mammograms.sources.numbers import read_number, read_whole_number, same_cell
from mammofill.mammograms.sources.pathology_words import birads_category
from mammofill.mammograms.sources.sides_and_views import read_side, read_view

PATHOLOGY_OF_BIRADS = {
    "BI-RADS 3": "benign",  # "probably benign": at most 2 % turn out malignant
    "BI-RADS 4": "malignant",  # "suspicious": 2 to 95 % turn out malignant
    "BI-RADS 5": "malignant",
}
"""The class of a finding by its BI-RADS category; one without has none. Source: as in `inbreast`."""

_TABLE = "finding_annotations.csv"
_NORMAL = "1"
_NO_FINDING = "no finding"
_BOX = ("xmin", "ymin", "xmax", "ymax")
_IMAGE_COLUMNS = (
    "study_id",
    "image_id",
    "laterality",
    "view_position",
    "height",
    "width",
    "breast_birads",
    "breast_density",
    "split",
)
_COLUMNS = (*_IMAGE_COLUMNS, "finding_categories", "finding_birads", *_BOX)
_SPLITS = {"training": "train", "train": "train", "validation": "validation", "test": "test"}
_MOST_SPLITS = 5
"""Words that a message names."""
_ABNORMALITIES = {"mass": "mass", "suspicious calcification": "calcification"}
"""By category, in lower case; the first that is among those of a finding counts. All else is other."""

_DICOM = (".dicom", ".dcm")
_ENDINGS = (*_DICOM, ".png", ".tif", ".tiff")


def read_vindr_mammo(source: Path, settings: IngestSettings) -> Collection:
    """Read ``finding_annotations.csv`` and find the images.

    Args:
        source: folder that holds the table and the images (``<study>/<image>.dicom``), at any depth; or the table
            alone, which is then listed, with all its images missing.
        settings: not used; lesions of every abnormality are handed on, since they keep normal patches away.

    Returns:
        One entry per image that is there. An exam is a patient: the collection has one of each woman.

    Raises:
        SourceError: the table is missing, or lacks columns.
    """
    rows = read_rows(find_table(source, _COLUMNS, _TABLE), _COLUMNS)
    by_image: dict[str, list[Row]] = {}
    for row in rows:
        by_image.setdefault(row["image_id"], []).append(row)
    images: dict[str, list[Path]] = {}
    strangers: list[Path] = []
    for path in files_under(source, _ENDINGS):
        if path.stem in by_image:
            images.setdefault(path.stem, []).append(path)
        elif path.suffix.lower() in _DICOM:
            strangers.append(path)
    studies = {row["study_id"] for row in rows}
    exclusions: list[Exclusion] = []
    mammograms = [
        entry
        for image_id in sorted(by_image)
        if (entry := _mammogram(by_image[image_id], images.get(image_id), studies, exclusions)) is not None
    ]
    mammograms, decisions = _without_contradicted_breasts(mammograms, rows)
    listed = [_listed(row, count) for group in by_image.values() for count, row in enumerate(group, start=1)]
    decisions += [*_about_files_of_no_row(strangers), *_about_splits(rows)]
    return Collection(tuple(mammograms), tuple(exclusions), tuple(decisions), tuple(listed))


def recognises(source: Path) -> bool:
    """Say whether a folder holds, or a table is, that of VinDr-Mammo; looks at the first lines of tables only."""
    return recognises_table(source, _COLUMNS, _TABLE)


def _about_files_of_no_row(files: Sequence[Path]) -> list[Decision]:
    """Return a decision about images that have no row in the table, which may be incomplete."""
    if not files:
        return []
    found = f"{counted(len(files), 'images have')} no row in the table, the first {files[0]}."
    return [Decision(files[0].stem, None, "files-of-no-row", found, "They were not read.")]


def _about_splits(rows: Sequence[Row]) -> list[Decision]:
    """Say that the official split is lost, where no row says one that is known."""
    if not rows or any(row["split"].lower() in _SPLITS for row in rows):
        return []
    words = ", ".join(sorted({repr(row["split"]) for row in rows})[:_MOST_SPLITS])
    found = f"{_TABLE} says {words} as split, of which nothing is known; known are {', '.join(_SPLITS)}."
    done = "The official split is not known. Put the words right, or a new one is drawn."
    return [Decision("split", None, "split-unknown", found, done)]


def _mammogram(
    rows: Sequence[Row], images: Sequence[Path] | None, studies: set[str], exclusions: list[Exclusion]
) -> MammogramEntry | None:
    first = rows[0]
    image_id, patient = first["image_id"], first["study_id"]
    if images is None:
        for row in rows:
            found = f"{row['row']} names the image {image_id}, but no {image_id}.dicom is there."
            exclusions.append(Exclusion(row["row"], patient, "file-missing", found))
        return None
    elsewhere = [path for path in images if path.parent.name in studies - {patient}]
    if elsewhere:
        found = (
            f"{first['row']} says that {image_id} is of {patient}, but {elsewhere[0]} lies in the folder of another."
        )
        exclusions.append(Exclusion(image_id, patient, "patient-contradicted", found))
        return None
    differing = [column for column in _IMAGE_COLUMNS if len({same_cell(row[column]) for row in rows}) > 1]
    if differing:
        where = ", ".join(row["row"] for row in rows)
        found = f"{where} all describe the image {image_id}, and disagree about {', '.join(differing)}."
        exclusions.append(Exclusion(image_id, patient, "rows-disagree", found))
        return None
    shape = _shape(first)
    if shape is None:
        found = (
            f"{first['row']} gives the size {first['height']!r} by {first['width']!r} of {image_id}, which are no "
            "whole numbers: nobody can say whether the boxes hold for the file that is there."
        )
        exclusions.append(Exclusion(image_id, patient, "number-unreadable", found))
        return None
    lesions, located = _lesions(rows, exclusions)
    dicoms = tuple(path for path in images if path.suffix.lower() in _DICOM)
    return MammogramEntry(
        mammogram_id=image_id,
        patient_id=patient,
        laterality=read_side(first["laterality"]),
        view=read_view(first["view_position"]),
        image=dicoms or tuple(images),
        lesions=lesions,
        all_lesions_located=located,
        density=_density(first),
        official_split=_SPLITS.get(first["split"].lower()),
        source_shape=shape,
    )


def _without_contradicted_breasts(
    mammograms: Sequence[MammogramEntry], rows: Sequence[Row]
) -> tuple[list[MammogramEntry], list[Decision]]:
    """Take nothing for normal in a breast to which the rows of its images give different categories of BI-RADS."""
    breasts: dict[tuple[str, str | None], dict[str, Row]] = {}
    for row in rows:
        if category := birads_category(row["breast_birads"]):
            breasts.setdefault((row["study_id"], read_side(row["laterality"])), {}).setdefault(category, row)
    kept: list[MammogramEntry] = []
    decisions: list[Decision] = []
    for entry in mammograms:
        by_category = breasts.get((entry.patient_id, entry.laterality), {}) if entry.laterality else {}
        if len(by_category) < 2 or not entry.all_lesions_located:
            kept.append(entry)
            continue
        where = " and ".join(f"{row['row']} ({row['breast_birads']})" for row in by_category.values())
        breast = f"the {entry.laterality} breast of {entry.patient_id}"
        found = f"{where} disagree about {breast}, which {entry.mammogram_id} shows."
        done = "Kept, and gives no normal patches."
        decisions.append(Decision(entry.mammogram_id, entry.patient_id, "rows-disagree", found, done))
        kept.append(replace(entry, all_lesions_located=False))
    return kept, decisions


def _lesions(rows: Sequence[Row], exclusions: list[Exclusion]) -> tuple[tuple[LesionEntry, ...], bool]:
    """Return the lesions of an image, and whether these are all."""
    first = rows[0]
    findings = [(count, row) for count, row in enumerate(rows, start=1) if _is_finding(row)]
    doubtful = [row for row in rows if not _is_finding(row) and (_has_box(row) or _pathology(row))]
    for row in doubtful:
        found = (
            f"{row['row']} says that there is no finding, and gives one a box or a category of BI-RADS all the same."
        )
        exclusions.append(Exclusion(row["row"], row["study_id"], "rows-disagree", found))
    if not findings:
        if doubtful:
            return (), False
        if birads_category(first["breast_birads"]) == _NORMAL:
            return (), True
        found = (
            f"{first['row']}: the breast has {first['breast_birads'] or 'no BI-RADS'}, but no finding is marked on the "
            f"image {first['image_id']}."
        )
        exclusions.append(Exclusion(first["image_id"], first["study_id"], "lesion-without-place", found))
        return (), False
    lesions = []
    seen: dict[tuple[str, ...], Row] = {}
    repeated = 0
    for count, row in findings:
        facts = tuple(same_cell(row[column]) for column in _COLUMNS)
        earlier = seen.setdefault(facts, row)
        if earlier is not row:
            repeated += 1
            found = f"{row['row']} repeats {earlier['row']}."
            exclusions.append(Exclusion(row["row"], row["study_id"], "row-repeated", found))
        elif (lesion := _lesion(row, count, exclusions)) is not None:
            lesions.append(lesion)
    return tuple(lesions), len(lesions) == len(findings) - repeated and not doubtful


def _lesion(row: Row, count: int, exclusions: list[Exclusion]) -> LesionEntry | None:
    lesion_id = f"{row['image_id']}_{count}"
    categories = _categories(row)
    pathology, box = _pathology(row), _box(row)
    if pathology is None:
        found = (
            f"{row['row']} gives {row['finding_birads']!r} as finding_birads of {lesion_id} ({', '.join(categories)}); "
            f"known are {', '.join(PATHOLOGY_OF_BIRADS)}."
        )
        exclusions.append(Exclusion(lesion_id, row["study_id"], "lesion-without-pathology", found))
        return None
    if box is None:
        numbers = ", ".join(f"{side} {row[side]!r}" for side in _BOX)
        found = f"{row['row']} gives no box for {lesion_id}: {numbers}."
        exclusions.append(Exclusion(lesion_id, row["study_id"], "lesion-without-place", found))
        return None
    return LesionEntry(
        lesion_id=lesion_id,
        pathology=pathology,
        abnormality=_abnormality(categories),
        place=box,
        source=row["row"],
        attributes={
            "categories": ", ".join(categories),
            "birads": row["finding_birads"],
            "breast birads": row["breast_birads"],
        },
    )


def _is_finding(row: Row) -> bool:
    return [word.casefold() for word in _categories(row)] != [_NO_FINDING]


def _has_box(row: Row) -> bool:
    return any(read_number(row[side]) is not None for side in _BOX)


def _pathology(row: Row) -> str | None:
    """Return the class of a finding by its category, of which a letter behind it (4A) says no more here."""
    category = birads_category(row["finding_birads"])
    return PATHOLOGY_OF_BIRADS.get(f"BI-RADS {category[0]}") if category else None


def _categories(row: Row) -> list[str]:
    """Return the words of a cell like "['Mass', 'Skin Thickening']", as lists are also written by NumPy and by people.

    NumPy sets no comma between them, for which Python's own reader of lists would take two words for one.
    """
    text = row["finding_categories"]
    words = re.findall(r"['\"]([^'\"]+)['\"]", text) or re.split("[,;]", text.strip("[](){}"))
    return [word.strip() for word in words if word.strip()]


def _abnormality(categories: Sequence[str]) -> str:
    found = {category.casefold() for category in categories}
    return next((kind for category, kind in _ABNORMALITIES.items() if category in found), "other")


def _box(row: Row) -> Box | None:
    numbers = [number for side in _BOX if (number := read_number(row[side])) is not None]
    if len(numbers) < len(_BOX):
        return None
    left, top, right, bottom = numbers
    if right <= left or bottom <= top:
        return None
    return Box(top=top, left=left, height=bottom - top, width=right - left)


def _shape(row: Row) -> tuple[int, int] | None:
    height, width = read_whole_number(row["height"]), read_whole_number(row["width"])
    return (height, width) if height and width and height > 0 and width > 0 else None


def _density(row: Row) -> str | None:
    return row["breast_density"].upper().removeprefix("DENSITY").strip() or None


def _listed(row: Row, count: int) -> Listed:
    categories = _categories(row)
    is_finding = _is_finding(row)
    if is_finding:
        pathology = _pathology(row)
    else:
        pathology = "normal" if birads_category(row["breast_birads"]) == _NORMAL else None
    to_fill = _COLUMNS if is_finding else (*_IMAGE_COLUMNS, "finding_categories")
    return Listed(
        row=row["row"],
        patient_id=row["study_id"],
        mammogram_id=row["image_id"],
        lesion_id=f"{row['image_id']}_{count}" if is_finding else None,
        laterality=read_side(row["laterality"]),
        view=read_view(row["view_position"]),
        pathology=pathology,
        abnormality=_abnormality(categories) if is_finding else None,
        density=_density(row),
        official_split=_SPLITS.get(row["split"].lower()),
        missing=tuple(column for column in to_fill if not row[column]),
    )
