"""Do the names of files say another patient, side, view or pathology than the rows of a table that name them?

Then columns may have slipped by some rows, one of them was sorted alone, or images and masks were paired in two orders.
Only whole words between separators count, and what all paths say alike is ignored.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from mammofill.mammograms.sources.annotations import Decision
from mammofill.mammograms.sources.pathology_words import PATHOLOGIES
from mammofill.mammograms.sources.patients import patient_key
from mammofill.mammograms.sources.sides_and_views import CONTRADICTS, SIDES, VIEWS, contradicted, read_side, read_view

SLIPPED = "names-contradict-rows"
"""Rule of the decision about a table of which many rows contradict the names of their files."""

PERSONS = "folder-of-several-patients"
"""Rule of the decision about a folder that is called like a person and holds several patients."""

_MOST_EXAMS = 10
"""A folder of more patients is no person's, of whom each exam has a name. Ours."""

_LONGEST_NAME = 255
"""Letters: no file has a longer one, and of endless ones there would be too many parts."""

_BOTH = {f"{side[0]}{view}": (side, view) for side in ("left", "right") for view in VIEWS.values()}
_SIDE_OF = SIDES | {word: side for word, (side, _) in _BOTH.items()}
_VIEW_OF = VIEWS | {word: view for word, (_, view) in _BOTH.items()}
_PATHOLOGY_OF = {word: word for word in PATHOLOGIES}

_MANY, _MOST_BY_CHANCE = 1 / 3, 2
"""Where a larger share of the images, and more than this number, are contradicted, the table as a whole is. Ours."""

Row = Mapping[str, str]
Words = tuple[str, ...]


def names_that_contradict(rows: Sequence[Row], names: Mapping[str, str]) -> list[Decision]:
    """Return a decision for each image and mask whose name contradicts its row.

    Args:
        rows: the table's, with its columns image, mask, patient, laterality, view and pathology, and `row`.
        names: the mammogram's name of each image.

    Returns:
        ``file-contradicts-table`` for an image whose path says another side, view or pathology, or names another
        patient of the table; ``mask-names-other-image`` for a mask that is called after another image of the table;
        and before them ``names-contradict-rows``, where that is so in many rows.
    """
    of_image: dict[str, list[Row]] = {}
    for row in rows:
        if row["image"]:
            of_image.setdefault(row["image"], []).append(row)
    decisions = [*_about_images(of_image, names), *_about_masks(of_image, names)]
    return [*slipped(decisions, len(of_image)), *decisions]


def slipped(decisions: Sequence[Decision], images: int) -> list[Decision]:
    """Return one decision about a table of which many rows contradict names; none where few do.

    Args:
        decisions: those about single images.
        images: how many images the table names.
    """
    lost = {one.what for one in decisions}
    if len(lost) <= max(_MOST_BY_CHANCE, _MANY * images):
        return []
    found = (
        f"The names of the files of {len(lost)} of {images} images contradict their rows. The first: "
        f"{decisions[0].found}"
    )
    done = (
        "Kept. Columns may have slipped by some rows, or one was sorted alone: then lesions and classes are those of "
        "other images. Make the table anew, each row from one file's name."
    )
    return [Decision("collection", None, SLIPPED, found, done)]


def persons_in_folders(rows: Sequence[Row]) -> list[Decision]:
    """Return a decision for each folder that is called like a person and holds images of several patients.

    Then the patients may be exams. A folder is called like a person by a word for a patient and a number (``P001``,
    ``case_7``), and only where all images lie in several such folders, each patient in one of them, and none holds more
    patients than anyone has exams.

    Args:
        rows: the table's, with its columns image and patient, and `row`.
    """
    of_folder: dict[str, dict[str, str]] = {}
    folders_of: dict[str, set[str]] = {}
    for row in rows:
        folder = next((part for part in reversed(PurePosixPath(row["image"]).parts[:-1]) if _is_person(part)), "")
        patient = patient_key(row["patient"])
        of_folder.setdefault(folder, {}).setdefault(patient, row["patient"])
        folders_of.setdefault(patient, set()).add(folder)
    most = max((len(patients) for patients in of_folder.values()), default=0)
    if (
        "" in of_folder
        or len(of_folder) < 2
        or not 1 < most <= _MOST_EXAMS
        or any(len(folders) > 1 for folders in folders_of.values())
    ):
        return []
    done = (
        "Kept by the table. If the folder is one person, nothing keeps her in one split: write the folder's name into "
        "patient."
    )
    return [
        Decision(
            first, first, PERSONS, f"The folder {folder} holds images of the patients {' and '.join(names)}.", done
        )
        for folder, patients in of_folder.items()
        if len(names := tuple(patients.values())) > 1 and (first := names[0])
    ]


def _is_person(folder: str) -> bool:
    return folder[:1].isalpha() and patient_key(folder).isdigit()


def _about_images(of_image: Mapping[str, list[Row]], names: Mapping[str, str]) -> Iterator[Decision]:
    paths = _paths(tuple(of_image))
    sides, views, classes = (
        _if_they_differ({image: _innermost_meaning(path, meaning) for image, path in paths.items()})
        for meaning in (_SIDE_OF, _VIEW_OF, _PATHOLOGY_OF)
    )
    patients = {_words(row["patient"]): row["patient"] for rows in of_image.values() for row in rows}
    patient_of = {words: patient for words, patient in patients.items() if _is_numbered_name(words)}
    known = _pathologies_of_patients(of_image)
    for image, (first, *_) in of_image.items():
        side, view = read_side(first["laterality"]), read_view(first["view"])
        contradictions = [contradicted(side, view, sides.get(image), views.get(image))]
        own = known[patient_key(first["patient"])]
        if (word := classes.get(image)) and own and "normal" not in own and word not in own:
            contradictions.append(
                f"{word}, where the table has only {' and '.join(sorted(own))} lesions of the patient"
            )
        if other := _other_patient(first["patient"], paths[image], patient_of):
            contradictions.append(f"{other}, where the table says {first['patient']}")
        if stated := "; ".join(filter(None, contradictions)):
            found = f"{first['row']}: the name of {image} says {stated}."
            done = "Kept as the table has it. If rows are mixed up, lesions and classes are of other images."
            yield Decision(names[image], first["patient"], CONTRADICTS, found, done)


def _about_masks(of_image: Mapping[str, list[Row]], names: Mapping[str, str]) -> Iterator[Decision]:
    """Yield a decision for each mask whose name holds the whole name of another image, and not that of its own.

    Two pictures of one view may share a mask.
    """
    images_called: dict[Words, list[str]] = {}
    for image in of_image:
        images_called.setdefault(_stem(image), []).append(image)
    unlike = {words: images[0] for words, images in images_called.items()
              if len(images) == 1 and _is_numbered_name(words)}  # fmt: skip
    for image, rows in of_image.items():
        for row in rows:
            mask = _stem(row["mask"])
            other = next((unlike[part] for part in _parts(mask) if part in unlike), None)
            if other is None or _stem(image) in _parts(mask) or _view(of_image[other][0]) == _view(row):
                continue
            found = f"{row['row']}: the mask {row['mask']} of {image} has the name of another image, {other}."
            done = "Kept as the table has it. If masks are mixed up, the lesion lies on another image."
            yield Decision(names[image], row["patient"], "mask-names-other-image", found, done)


def _view(row: Row) -> tuple[str, str | None, str | None]:
    return patient_key(row["patient"]), read_side(row["laterality"]), read_view(row["view"])


def _pathologies_of_patients(of_image: Mapping[str, list[Row]]) -> dict[str, set[str]]:
    """Return the pathologies in the rows of each patient: folders of a class often hold all images of a patient."""
    found: dict[str, set[str]] = {}
    for rows in of_image.values():
        for row in rows:
            found.setdefault(patient_key(row["patient"]), set()).add(row["pathology"].lower())
    return {patient: words & set(PATHOLOGIES) for patient, words in found.items()}


def _other_patient(own: str, path: Sequence[Words], patient_of: Mapping[Words, str]) -> str | None:
    """Return the patient of the table whom a path names; None where it names the row's own as well."""
    named = {patient_of[part] for words in path for part in _parts(words) if part in patient_of}
    if any(patient_key(patient) == patient_key(own) for patient in named):
        return None
    return max(sorted(named), key=len, default=None)


def _if_they_differ(meanings: Mapping[str, str | None]) -> Mapping[str, str | None]:
    """Return the meanings of paths, or nothing where all are the same."""
    return meanings if len({one for one in meanings.values() if one}) > 1 else {}


def _innermost_meaning(path: Sequence[Words], meaning: Mapping[str, str]) -> str | None:
    """Return the meaning of the innermost part of a path that has one; None where that part has two."""
    of_parts = ({meaning[word] for word in words if word in meaning} for words in path)
    innermost = next((found for found in of_parts if found), set())
    return innermost.pop() if len(innermost) == 1 else None


def _paths(images: Sequence[str]) -> dict[str, list[Words]]:
    """Return the words of each path, of the file first, without folders that all images share."""
    paths = {image: PurePosixPath("/", image) for image in images}
    shared = len(PurePosixPath(os.path.commonpath([path.parent for path in paths.values()])).parts) if paths else 0
    return {image: [_stem(image), *map(_words, reversed(path.parts[shared:-1]))] for image, path in paths.items()}


def _stem(name: str) -> Words:
    return _words(PurePosixPath(name).stem)


def _words(text: str) -> Words:
    return tuple(filter(None, re.split(r"[\W_]+", text[:_LONGEST_NAME].casefold())))


def _parts(words: Words) -> set[Words]:
    """Return all words and rows of words within these."""
    return {words[first:last] for first in range(len(words)) for last in range(first + 1, len(words) + 1)}


def _is_numbered_name(words: Words) -> bool:
    """Say whether words may name one thing alone: they have letters beside a number, which may count anything."""
    text = "".join(words)
    return any(map(str.isdigit, text)) and any(map(str.isalpha, text))
