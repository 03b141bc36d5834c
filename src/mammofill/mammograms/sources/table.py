"""Your own collection: a CSV table over DICOM, PNG, TIFF, PGM or JPEG files.

One row per lesion; rows with the same image are lesions of the same mammogram. A mammogram without lesions has one row
with an empty mask and the pathology ``normal``.

========== ======== ===================================================================================
column     needed   meaning
========== ======== ===================================================================================
image      yes      file of the mammogram, relative to the table's folder (or absolute)
patient    yes      who; all images of one person must have the same value
pathology  yes      benign, malignant, or normal; `pathology_words` explains other words
mask       yes      file of the lesion's mask, same size as the image; for normal empty, or a mask that marks nothing
laterality no       left or right
view       no       cc or mlo
split      no       train, validation or test; the same for all rows of a patient
abnormality no      mass (what an empty cell means), calcification, other
density    no       breast density: 1 to 4 or A to D; other text is kept as it stands
spacing_mm no       distance between pixels
bits       no       bits that the image's values use, where a 16-bit file holds, say, 12
========== ======== ===================================================================================

Case, spaces, hyphens and underscores make no difference to the names of these. All further columns are kept as
attributes of the lesion, as they stand.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from mammofill.ground.counting import counted
from mammofill.ground.errors import SourceError
from mammofill.ground.file_names import file_name, why_no_file
from mammofill.ground.foreign_files import is_regular_file
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.annotations import (
    Collection,
    Decision,
    Exclusion,
    LesionEntry,
    Listed,
    MammogramEntry,
)
from mammofill.mammograms.sources.csv_table import Row, is_note_of_mac, plain_name, read_csv_table, rows_of
from mammofill.mammograms.sources.density_words import density_class, understand_densities
from mammofill.mammograms.sources.names_in_paths import names_that_contradict, persons_in_folders
from mammofill.mammograms.sources.numbers import read_number, read_whole_number, same_cell
from mammofill.mammograms.sources.pathology_words import (
    PATHOLOGIES,
    plain_word,
    says_nothing,
    understand,
    why_unknown,
)
from mammofill.mammograms.sources.patients import patient_key
from mammofill.mammograms.sources.sides_and_views import SIDES, VIEWS, read_side, read_view

_NEEDED = ("image", "mask", "patient", "pathology")
_OPTIONAL = ("laterality", "view", "split", "abnormality", "density", "spacing_mm", "bits")
_KNOWN = (*_NEEDED, *_OPTIONAL)
_SIDES = {**SIDES, "": None}
_VIEWS = {**VIEWS, "": None}
_ABNORMALITIES = {"": "mass", "mass": "mass", "calcification": "calcification", "other": "other"}
_SPLITS = {"train": "train", "training": "train", "validation": "validation", "test": "test", "": None}
_WORDS_OF_SPLITS = {
    "train": "train", "training": "train", "development": "train", "val": "validation", "valid": "validation",
    "validation": "validation", "dev": "validation", "test": "test", "testing": "test", "holdout": "test",
    "eval": "test", "evaluation": "test",
}  # fmt: skip
"""What a word in a column of another name than split may say of it."""
_BESIDE_SPLITS = frozenset({"set", "data", "split", "public", "private"})
"""Words that may stand beside them."""
_NAMES_SPLIT = re.compile(r"(?:cv|k)?folds?(?:id|no|nr|number)?|(?:is|in)(?:train|test|val|validation)(?:ing|set)?|"
                          r"(?:train|test|validation)set|holdout|partition")  # fmt: skip
"""Plain names of columns that hold a split in whatever words or numbers, of which there are few."""
_MOST_FOLDS = 20
_WORDS_OF = {
    "abnormality": (
        frozenset({"mass", "masses", "calc", "calcs", "calcification", "calcifications", "microcalcification",
                   "microcalcifications", "asymmetry", "distortion", "architectural distortion", "other"}),
        "all lesions count as masses",
    ),
    "laterality": (frozenset(SIDES), "no breast is known as left or right"),
    "view": (frozenset(VIEWS), "no view is known"),
}  # fmt: skip
"""Columns that need not be there: the words by which they are known under another name, and what happens without."""
_ABNORMALITY_TYPE = "abnormality type"
"""What the tables of CBIS-DDSM call abnormality."""
_NAMES_PERSON = re.compile(
    r".*(?:patient(?:en)?|subject|participant)(?:id|no|nr|num|number|nummer|code|key|uid|identifier)\.?"
    r"|.*mrn|medicalrecordnumber|subject|participant|pid"
)
"""Plain names of further columns that say who a person is. A column of names is none: two women may have one."""
_NAMES_DENSITY = re.compile(
    r"(?:breast|acr|birads)+density.*|density(?:acr|birads|class|category)|acr|breastcomposition"
)
"""Plain names of further columns that hold the density of the breast, if all their words are its classes."""
_NAMES_FURTHER_MASK = re.compile(r"(?:second|third|other)mask|mask(?:file|path|image)?[.#]?(?:[1-9]|0[1-9])")
"""Plain names of further columns that hold masks of further lesions."""
_NUMBER_FOR_MISSING = re.compile(r"0+|99+")
_MOST_EXAMS = 10
"""What joins more patients is no person of whom each exam has a name. Ours."""
_TOTALS = frozenset({"total", "totals", "sum", "summe", "gesamt", "suma"})
"""Words of which a row below a table begins that adds it up."""
_WINDOWS_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_ENDINGS = (".png", ".dcm", ".tif", ".tiff", ".pgm", ".jpg", ".jpeg", ".PNG", ".DCM", ".TIF", ".JPG")
_MOST_SPACING_MM = 10.0
"""More than any picture of a breast has; larger numbers are micrometres."""


def read_table(source: Path, settings: IngestSettings) -> Collection:
    """Read a table of your own. See the module for its columns.

    Args:
        source: the CSV file, or a folder that holds just one.
        settings: what the words for pathology mean; lesions of every abnormality are handed on.

    Raises:
        SourceError: there is no table, it lacks a column, or has values that no column knows.
    """
    path = _find_table(source)
    table, notes = _without_notes(read_csv_table(path, _NEEDED, known=_KNOWN))
    for column in _OPTIONAL:
        if column not in table:
            table[column] = ""
    for column in ("mask", *_OPTIONAL):
        table[column] = ["" if says_nothing(cell) else cell for cell in table[column]]
    _refuse_joined_patients(table, path)
    called_otherwise = (
        *_kind_called_otherwise(table, path.name),
        *_words_called_otherwise(table, path.name),
        *_density_called_otherwise(table, path.name),
        *_split_called_otherwise(table, path.name, settings),
    )
    words = understand(zip(table["pathology"], table["mask"] != "", strict=True), settings.pathology_words, path.name)
    table["pathology"] = [words.meaning.get(plain_word(word), word) for word in table["pathology"]]
    density_of, densities = understand_densities(table["density"], path.name)
    table["density"] = [density_of.get(word, word) for word in table["density"]]
    twice = tuple(_pathology_twice(table, path.name))
    rows = rows_of(table)
    of_image: dict[str, list[Row]] = {}
    for row in rows:
        of_image.setdefault(row["image"], []).append(row)
    exclusions: list[Exclusion] = []
    names = _names(sorted(of_image), path)
    mammograms = [
        entry
        for image in sorted(of_image)
        if (entry := _mammogram(names[image], image, of_image[image], path, exclusions)) is not None
    ]
    further_masks, with_more = _further_masks(table, path.name)
    unsure = {names[image] for image in with_more}
    mammograms = [
        replace(entry, all_lesions_located=False) if entry.mammogram_id in unsure else entry for entry in mammograms
    ]
    listed = tuple(_listed(rows, names))
    contradicted: list[Decision] = []
    if not settings.crops:  # beside a lesion that fills its own picture, a crop of the same breast may be healthy
        mammograms, contradicted = _without_contradicted_breasts(mammograms, listed)
    about_paths = (*names_that_contradict(rows, names), *persons_in_folders(rows))
    of_cells = (*words.decisions, *densities, *called_otherwise, *twice, *further_masks)
    decisions = (*notes, *of_cells, *about_paths, *contradicted)
    return Collection(tuple(mammograms), tuple(exclusions), decisions, listed)


def recognises(source: Path) -> bool:
    """Say whether a file is, or a folder holds just one, table with the columns needed."""
    try:
        read_csv_table(_find_table(source), _NEEDED, known=_KNOWN)
    except SourceError:
        return False
    return True


def _find_table(source: Path) -> Path:
    if source.is_file():
        return source
    if not source.is_dir():
        raise SourceError(f"{source} {why_no_file(source, 'a folder or a file')}.")
    tables = sorted(path for path in source.glob("*.csv") if not is_note_of_mac(path.name))
    if len(tables) != 1:
        names = ", ".join(path.name for path in tables) or "none"
        raise SourceError(f"{source} must hold just one .csv table, but holds {names}. Name the table itself.")
    return tables[0]


def _without_notes(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Decision]]:
    """Leave out rows of no image: comments, and totals below a table."""
    first = str(table.columns[0])
    nameless = [column for column in ("patient", "pathology") if column != first]
    kept, decisions = [], []
    for row in rows_of(table):
        image = row["image"]
        says_more = any(row[column] for column in nameless) or (image and not image.startswith("#"))
        is_comment = row[first].startswith("#") and not says_more
        is_total = plain_word(image).rstrip(" :") in _TOTALS and not (row["patient"] and row["pathology"])
        kept.append(not (is_comment or is_total))
        if is_comment or is_total:
            what = "a comment" if is_comment else "a row of totals"
            found = f"{row['row']} is {what} and names no image: {row[first]!r}."
            decisions.append(Decision(row["row"], None, "name-unknown", found, "Not read."))
    return table[np.array(kept, bool)].reset_index(drop=True), decisions


def _further(table: pd.DataFrame) -> list[str]:
    return [str(column) for column in table.columns if column not in ("row", *_KNOWN)]


def _refuse_joined_patients(table: pd.DataFrame, path: Path) -> None:
    """Refuse a table in which a further column gives several patients one identifier: they would leak.

    A patient whose name ends in that identifier has it with more before it, such as a site in which alone it is unique.
    Words, numbers for missing values and what joins more patients than anyone has exams are no identifiers.
    """
    for column in _further(table):
        if not _NAMES_PERSON.fullmatch(plain_name(column)) or table[column].nunique() == 1:
            continue
        first: dict[str, Row] = {}
        joined = table.groupby(table[column].map(patient_key))["patient"].nunique()
        for row in rows_of(table):
            person, patient = patient_key(row[column]), patient_key(row["patient"])
            if not patient or not _is_identifier(row[column]) or joined[person] > _MOST_EXAMS:
                continue
            if patient.endswith(f"-{person}") or row["patient"].endswith(row[column]):
                continue
            other = first.setdefault(person, row)
            if patient_key(other["patient"]) != patient:
                raise SourceError(
                    f"{path}: the columns patient and {column} disagree about who is one person: {other['row']} and "
                    f"{row['row']} have {other['patient']!r} and {row['patient']!r} as patient, and {row[column]!r} as "
                    f"{column}. Without one name for a person, nothing keeps her in one split: put it into patient, or "
                    f"rename {column} if it names no person."
                )


def _is_identifier(cell: str) -> bool:
    """Say whether a cell may name a person: it has a number, but none for a missing value (0, 99, 9999)."""
    return any(one.isdigit() for one in cell) and not _NUMBER_FOR_MISSING.fullmatch(cell) and bool(patient_key(cell))


def _kind_called_otherwise(table: pd.DataFrame, name: str) -> Iterator[Decision]:
    """Read a column `abnormality type` as abnormality where that is empty and all words are known, with a decision."""
    for column in _further(table):
        if plain_name(column) != plain_name(_ABNORMALITY_TYPE) or any(table["abnormality"]) or not any(table[column]):
            continue
        strange = next((word for word in table[column] if word.lower() not in _ABNORMALITIES), None)
        found = f"{name} has nothing in a column abnormality, but a column {column!r}."
        done = "Read as abnormality."
        if strange is None:
            table["abnormality"] = table[column]
        else:
            found = f"{found} It says {strange!r}, which is neither mass, calcification nor other."
            done = "Kept as an attribute, and all lesions count as masses. Call it abnormality, with known words."
        yield Decision(column, None, "column-called-otherwise", found, done)


def _words_called_otherwise(table: pd.DataFrame, name: str) -> Iterator[Decision]:
    """Yield a decision for each further column whose words are those of a column that is empty."""
    for target, (words, else_) in _WORDS_OF.items():
        for column in () if any(table[target]) else _further(table):
            counts = Counter(cell for cell in table[column] if not says_nothing(cell))
            stated = {plain_word(cell) for cell in counts}
            if len(stated) > 1 and words.issuperset(stated) and plain_name(column) != plain_name(_ABNORMALITY_TYPE):
                values = ", ".join(f"{value} ({count}x)" for value, count in counts.most_common())
                found = (
                    f"{name} has nothing in a column {target}, but its column {column!r} says {values}. Did you mean "
                    f"{target}?"
                )
                done = f"Kept as an attribute, and {else_}. Rename the column to {target} to have it read."
                yield Decision(column, None, "column-called-otherwise", found, done)


def _density_called_otherwise(table: pd.DataFrame, name: str) -> Iterator[Decision]:
    """Yield a decision for each further column that is called density, and says it, where a column density does not."""
    for column in () if any(table["density"]) else _further(table):
        counts = Counter(cell for cell in table[column] if not says_nothing(cell))
        if counts and _NAMES_DENSITY.fullmatch(plain_name(column)) and all(map(density_class, counts)):
            values = ", ".join(f"{value} ({count}x)" for value, count in counts.most_common())
            found = (
                f"{name} has nothing in a column density, but its column {column!r} says {values}. Did you mean "
                "density?"
            )
            done = "Kept as an attribute, and no density is known. Rename the column to density to have it read."
            yield Decision(column, None, "column-called-otherwise", found, done)


def _pathology_twice(table: pd.DataFrame, name: str) -> Iterator[Decision]:
    """Yield a decision for each further column whose pathologies are not the rows', as of a patient beside a lesion."""
    meaning = {"cancer": "malignant", "benign without callback": "benign", **{one: one for one in PATHOLOGIES}}
    for column in _further(table):
        meanings = [meaning.get(plain_word(cell)) for cell in table[column]]
        if any(one is None and not says_nothing(cell) for one, cell in zip(meanings, table[column], strict=True)):
            continue
        rows = zip(table["row"], meanings, table["pathology"].str.lower(), strict=True)
        differing = [(row, other, own) for row, other, own in rows if other and own in PATHOLOGIES and other != own]
        if differing:
            row, other, own = differing[0]
            found = (
                f"{name} has another pathology in {column!r} than in pathology in {counted(len(differing), 'rows')}, "
                f"the first {row} ({other}, {own})."
            )
            done = f"The column pathology counts, {column!r} is an attribute. See which of them is of the lesion."
            yield Decision(column, None, "pathology-twice", found, done)


def _split_called_otherwise(table: pd.DataFrame, name: str, settings: IngestSettings) -> Iterator[Decision]:
    """Yield a decision for each further column that holds a split, unless the settings or a column split give one."""
    if settings.split != "auto" or any(table["split"]):
        return
    for column in _further(table):
        counts = Counter(value for value in table[column] if value)
        splits = {_meant_split(value) for value in counts}
        is_named = _NAMES_SPLIT.fullmatch(plain_name(column)) and 1 < table[column].nunique() <= _MOST_FOLDS
        if is_named or (len(splits) > 1 and None not in splits):
            values = ", ".join(f"{value} ({count}x)" for value, count in counts.most_common())
            found = (
                f"{name} has nothing in a column split, but its column {column!r} says {values}. Did you mean split?"
            )
            done = (
                "Kept as an attribute, and a new split is drawn. Rename the column to split, with the words train, "
                "validation and test, to have it followed, or say --split patients."
            )
            yield Decision(column, None, "column-called-otherwise", found, done)


def _meant_split(value: str) -> str | None:
    """Return the split that a cell means, as "train" for ``Training set``; None if it says none, or several."""
    words = set(re.findall(r"[^\W\d_]+", value.lower())) - _BESIDE_SPLITS
    splits = {_WORDS_OF_SPLITS.get(word) for word in words}
    return splits.pop() if len(splits) == 1 else None


def _further_masks(table: pd.DataFrame, name: str) -> tuple[list[Decision], set[str]]:
    """Return decisions about further columns with masks, for a row is one lesion; and the images of rows with more."""
    decisions: list[Decision] = []
    images: set[str] = set()
    for column in _further(table):
        if not _NAMES_FURTHER_MASK.fullmatch(plain_name(column)):
            continue
        filled = table[[not says_nothing(cell) for cell in table[column]]]
        if len(filled):
            found = f"{name} has a further column {column!r} with something in {counted(len(filled), 'rows')}."
            done = (
                "Kept as an attribute, and no lesion is read from it: a row is one lesion. The images of these rows "
                "give no normal patches. Give each lesion a row of its own, with its mask in the column mask."
            )
            decisions.append(Decision(column, None, "column-called-otherwise", found, done))
            images.update(filled["image"])
    return decisions, images


def _names(images: Sequence[str], table: Path) -> dict[str, str]:
    """Name each mammogram by its file, without the suffix and the folders that all of them share.

    A last part that is a number is no suffix but belongs to the name, as in files called by their UID.
    """
    parents = [PurePosixPath("/", image).parent for image in images if image]
    shared = os.path.commonpath(parents) if parents else "/"
    stems = {image: _stem(PurePosixPath("/", image).relative_to(shared)) for image in images if image}
    spelt: dict[str, str] = {}
    for image in stems:
        other = spelt.setdefault(os.path.normpath(table.parent / image), image)
        if other != image:
            raise SourceError(f"{table}: the images {other} and {image} are the same file. Write it in one way.")
    image_of: dict[str, str] = {}
    for image, stem in stems.items():
        other = image_of.setdefault(stem, image)
        if other != image:
            raise SourceError(f"{table}: the images {other} and {image} would both be called {stem}. Rename one.")
    counts = Counter(map(_name, image_of))
    # Of names in other letters, or with other signs, little may be left, the same of several: then a hash is added.
    names = {image: _name(stem) if counts[_name(stem)] == 1 else file_name(stem) for image, stem in stems.items()}
    return names | {"": ""}


def _stem(path: PurePosixPath) -> str:
    return str(path) if path.suffix[1:].isdecimal() else str(path).removesuffix(path.suffix)


def _name(stem: str) -> str:
    return file_name(re.sub(r"[^A-Za-z0-9_.-]+", "-", stem))


def _mammogram(
    name: str, image: str, rows: Sequence[Row], table: Path, exclusions: list[Exclusion]
) -> MammogramEntry | None:
    first = rows[0]
    where, patient = first["row"], first["patient"]
    for column in ("patient", "laterality", "view", "split", "density", "spacing_mm", "bits"):
        same = patient_key if column == "patient" else same_cell
        values = sorted({same(row[column]): row[column] for row in rows}.values())
        if len(values) > 1:
            raise SourceError(f"{table}: the rows of {image} disagree about {column}: {', '.join(values)}.")
    if not patient:
        raise SourceError(
            f"{where} names no patient. Without one, nothing keeps a person in one split. Write into "
            "each row who it is, also where a spreadsheet merged cells."
        )
    path = _file(table.parent, image)
    if not is_regular_file(path):
        found = f"{where} names the image {image}, but {_why_missing(table.parent / image, image)}"
        exclusions.extend(Exclusion(row["row"], patient, "file-missing", found) for row in rows)
        return None
    named = [row for row in rows if row["pathology"].lower() != "normal"]
    contradicted = bool(named) and len(named) < len(rows)
    if contradicted:
        normal = next(row["row"] for row in rows if row not in named)
        found = f"{normal} calls {image} normal, but {named[0]['row']} speaks of a lesion in it. The lesion is kept."
        exclusions.append(Exclusion(normal, patient, "rows-disagree", found))
    empty_masks = {row["mask"]: _file(table.parent, row["mask"]) for row in rows if row not in named and row["mask"]}
    lost = {mask: file for mask, file in empty_masks.items() if not is_regular_file(file)}
    for mask, file in lost.items():
        found = f"{where} is normal and names the mask {mask}, but {_why_missing(file, mask)}"
        exclusions.append(Exclusion(name, patient, "file-missing", found))
    rows_by_lesion = _without_repeats(
        {f"{name}_{number}": row for number, row in enumerate(named, start=1)}, exclusions
    )
    lesions = [
        lesion
        for lesion_id, row in rows_by_lesion.items()
        if row is not None and (lesion := _lesion(lesion_id, row, table, exclusions)) is not None
    ]
    return MammogramEntry(
        mammogram_id=name,
        patient_id=patient,
        laterality=_one_of(_SIDES, first["laterality"], "laterality", where),
        view=_one_of(_VIEWS, first["view"], "view", where),
        image=(path,),
        lesions=tuple(lesions),
        all_lesions_located=len(lesions) == len(rows_by_lesion) and not contradicted and not lost,
        density=first["density"] or None,
        spacing_mm=_spacing(first["spacing_mm"], where),
        bits=_bits(first["bits"], where),
        official_split=_one_of(_SPLITS, first["split"], "split", where),
        empty_masks=tuple(file for mask, file in empty_masks.items() if mask not in lost),
    )


def _without_contradicted_breasts(
    mammograms: Sequence[MammogramEntry], listed: Sequence[Listed]
) -> tuple[list[MammogramEntry], list[Decision]]:
    """Take nothing for normal in a breast of which another row speaks of a lesion.

    Where one view is there as two pictures, people draw on one of them; and what is drawn in one view is often to be
    seen in the other.
    """
    row_of = {row.mammogram_id: row for row in listed}
    lesions: dict[tuple[str, str | None], list[Listed]] = {}
    for row in listed:
        if row.lesion_id and (row.pathology or "mask" not in row.missing):
            lesions.setdefault((patient_key(row.patient_id), row.laterality), []).append(row)
    kept: list[MammogramEntry] = []
    decisions: list[Decision] = []
    for entry in mammograms:
        others = lesions.get((patient_key(entry.patient_id), entry.laterality), []) if entry.laterality else []
        if entry.lesions or not entry.all_lesions_located or not others:
            kept.append(entry)
            continue
        other = next((row for row in others if row.view and row.view == entry.view), others[0])
        same = other.view is not None and other.view == entry.view
        what = "the same view" if same else "the same breast"
        found = (
            f"{row_of[entry.mammogram_id].row} calls {entry.mammogram_id} normal, but {other.row} speaks of a lesion "
            f"in {other.mammogram_id}, of {what} ({entry.patient_id}, {entry.laterality}"
            f"{f', {str(entry.view).upper()}' if same else ''}), or of an earlier or later exam of it."
        )
        rule, why = "rows-disagree", ""
        if not same:
            rule, why = "lesion-in-other-view", ": it may be seen in one view only, but nobody says that it is"
        done = f"Kept, and gives no normal patches{why}. If the pictures are crops, say --crops true."
        decisions.append(Decision(entry.mammogram_id, entry.patient_id, rule, found, done))
        kept.append(replace(entry, all_lesions_located=False))
    return kept, decisions


def _without_repeats(rows: dict[str, Row], exclusions: list[Exclusion]) -> dict[str, Row | None]:
    """Return the row of each lesion by its name, without rows that repeat another.

    Rows that give the same mask different pathologies leave None: nobody can say which is right.
    """
    same_mask: dict[str, list[str]] = {}
    for lesion_id, row in rows.items():
        same_mask.setdefault(os.path.normpath(row["mask"]) if row["mask"] else f"{lesion_id} without", []).append(
            lesion_id
        )
    kept: dict[str, Row | None] = {}
    for lesion_ids in same_mask.values():
        first = rows[lesion_ids[0]]
        if len({rows[lesion_id]["pathology"].lower() for lesion_id in lesion_ids}) > 1:
            where = ", ".join(rows[lesion_id]["row"] for lesion_id in lesion_ids)
            found = f"{where} all name the mask {first['mask']}, and disagree about pathology."
            exclusions.append(Exclusion(lesion_ids[0], first["patient"], "rows-disagree", found))
            kept[lesion_ids[0]] = None
            continue
        for lesion_id in lesion_ids:
            row = rows[lesion_id]
            matters = [column for column in row if column in _KNOWN]
            same = all(same_cell(row[column]).lower() == same_cell(first[column]).lower() or column == "mask"
                       for column in matters)  # fmt: skip
            if row is not first and same:
                details = [column for column in row if column not in ("row", *_KNOWN) and row[column] != first[column]]
                but = f", but for {' and '.join(details)}, of which the first row's is kept" if details else ""
                found = f"{row['row']} repeats {first['row']}: the mask {row['mask']}{but}."
                exclusions.append(Exclusion(row["row"], row["patient"], "row-repeated", found))
            else:
                kept[lesion_id] = row
    return kept


def _lesion(lesion_id: str, row: Row, table: Path, exclusions: list[Exclusion]) -> LesionEntry | None:
    where = row["row"]
    pathology = row["pathology"].lower()
    if pathology not in PATHOLOGIES:
        found = f"{where} gives the pathology {row['pathology']!r} for {lesion_id}, {why_unknown(row['pathology'])}."
        exclusions.append(Exclusion(lesion_id, row["patient"], "lesion-without-pathology", found))
        return None
    if not row["mask"]:
        found = f"{where} gives no mask for the lesion {lesion_id}."
        exclusions.append(Exclusion(lesion_id, row["patient"], "lesion-without-place", found))
        return None
    mask = _file(table.parent, row["mask"])
    if not is_regular_file(mask):
        found = f"{where} names the mask {row['mask']}, but {_why_missing(mask, row['mask'])}"
        exclusions.append(Exclusion(lesion_id, row["patient"], "file-missing", found))
        return None
    abnormality = _one_of(_ABNORMALITIES, row["abnormality"], "abnormality", where)
    attributes = {column: value for column, value in row.items() if column not in ("row", *_KNOWN) and value}
    return LesionEntry(lesion_id, pathology, str(abnormality), (mask,), where, attributes)


def _file(folder: Path, name: str) -> Path:
    """Return the path of a file of which the accents may be stored in one piece or in two, as systems differ."""
    spellings = (folder / name, *(folder / unicodedata.normalize(form, name) for form in ("NFC", "NFD")))
    return next((path for path in spellings if is_regular_file(path)), spellings[0])


def _why_missing(path: Path, name: str) -> str:
    """Say why there is no file, and how paths are written where its name looks like another's."""
    if _WINDOWS_DRIVE.match(name) and os.name != "nt":
        return (
            "that is a path of Windows, and this machine is none. Write where the file lies as seen from the table's "
            "folder, with /, as in pictures/a.png."
        )
    return f"{path} {why_no_file(path)}.{_how_to_write(name)}{_meant(path)}"


def _meant(path: Path) -> str:
    """Name the file that is there under the same name with another ending, or in small or large letters."""
    name, stem = path.name, path.stem
    if not name:  # the root of all files
        return ""
    spellings = (name.lower(), name.upper(), *(f"{part}{end}" for part in (name, stem) for end in _ENDINGS))
    there = next((one for one in spellings if one != name and is_regular_file(path.with_name(one))), "")
    return f" {there} lies there: is it meant?" if there else ""


def _how_to_write(name: str) -> str:
    """Say how paths are written where a name looks like one of Windows, or of a shell, or like a URL."""
    if "://" in name:
        return " URLs in tables are not understood: put the table beside the files there, and ingest it by its own URL."
    if name.startswith("~"):
        return " Write the folder out: ~ is not understood in tables."
    return " Write paths in tables with /, as in pictures/a.png." if "\\" in name else ""


def _listed(rows: Sequence[Row], names: dict[str, str]) -> Iterator[Listed]:
    """Hand out every row as it stands, with None for words that are not known."""
    counts: Counter[str] = Counter()
    for row in rows:
        name, pathology = names[row["image"]], row["pathology"].lower()
        is_lesion = pathology != "normal"
        counts[name] += is_lesion
        needed = _NEEDED if is_lesion else tuple(column for column in _NEEDED if column != "mask")
        yield Listed(
            row=row["row"],
            patient_id=row["patient"],
            mammogram_id=name,
            lesion_id=f"{name}_{counts[name]}" if is_lesion else None,
            laterality=read_side(row["laterality"]),
            view=read_view(row["view"]),
            pathology=pathology if pathology in PATHOLOGIES else None,
            abnormality=_ABNORMALITIES.get(row["abnormality"].lower()) if is_lesion else None,
            density=row["density"] or None,
            official_split=_SPLITS.get(row["split"].lower()),
            missing=tuple(column for column in needed if not row[column]),
        )


def _one_of(known: dict[str, Any], value: str, column: str, where: str) -> Any:
    if value.lower() not in known:
        names = ", ".join(name for name in known if name)
        raise SourceError(f"{where} has {value!r} as {column}; known are {names}.")
    return known[value.lower()]


def _bits(value: str, where: str) -> int | None:
    if not value:
        return None
    bits = read_whole_number(value)
    if bits is None or not 1 <= bits <= 16:
        raise SourceError(f"{where} has {value!r} as bits, which must be a whole number from 1 to 16.")
    return bits


def _spacing(value: str, where: str) -> float | None:
    if not value:
        return None
    number = read_number(value)
    if number is None or not 0 < number <= _MOST_SPACING_MM:
        raise SourceError(
            f"{where} has {value!r} as spacing_mm, which must be a number of mm, above 0 and at most "
            f"{_MOST_SPACING_MM:g}, with a decimal point (200 micrometres are 0.2)."
        )
    return number
