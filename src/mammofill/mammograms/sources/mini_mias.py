"""mini-MIAS: 322 films of 161 women, 1024x1024 at 0.2 mm, lesions marked by circles (Suckling et al., 1994).

Checked on the pictures: the y of a circle counts from the bottom, and ``mdb(2k-1)`` and ``mdb(2k)`` are the left and
the right breast of one woman: the letters on the films say so (they lie mirrored), though ``Info.txt`` has it the other
way round. All views are mediolateral oblique.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mammofill.ground.counting import counted
from mammofill.ground.errors import SourceError
from mammofill.ground.foreign_files import is_regular_file
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.annotations import (
    Circle,
    Collection,
    Decision,
    Exclusion,
    LesionEntry,
    Listed,
    MammogramEntry,
)
from mammofill.mammograms.sources.csv_table import files_under
from mammofill.mammograms.sources.numbers import read_number

_SIZE_PX = 1024
_SPACING_MM = 0.2
_ABNORMALITIES = {
    "CALC": "calcification",
    "CIRC": "mass",
    "SPIC": "mass",
    "MISC": "mass",  # "other, ill-defined masses"
    "ARCH": "other",
    "ASYM": "other",
}
_PATHOLOGIES = {"B": "benign", "M": "malignant"}
_ROW = re.compile(r"\s*(mdb\d{3})\s+([FGD])\s+([A-Z]{4})\b(.*)", re.IGNORECASE)
_NAMES_IMAGE = re.compile(r"\s*(mdb\d{3})\b", re.IGNORECASE)
_TABLE = "Info.txt"

_MOST_BEHIND = 4
"""Severity, x, y and radius: a line with more behind the kind of lesion is two lines, or something else."""

_DEPTH_TO_RECOGNISE = 2
"""Folders below the source into which one looks to recognise the collection."""


def read_mini_mias(source: Path, settings: IngestSettings) -> Collection:
    """Read ``Info.txt`` and find the images that it speaks of.

    Lesions of another abnormality than the one asked for are handed on as well: they keep normal patches away.

    Args:
        source: folder that holds ``Info.txt`` and the images (``mdb001.pgm`` or ``.png``), at any depth; or
            ``Info.txt`` alone, which is then listed, with all its images missing.
        settings: not used; the collection has one table.

    Returns:
        One entry per image that is there, and every row in `listed`.

    Raises:
        SourceError: there is no ``Info.txt``, or several that differ, or it has no rows of the kind expected.
    """
    table = source if source.is_file() else _find_table(source)
    rows = _read_rows(table)
    if not rows:
        raise SourceError(
            f'{table} has no row like "mdb001 G CIRC B 535 425 197". Is it the file that was distributed?'
        )
    of_image: dict[str, list[_Row]] = {}
    for row in rows:
        of_image.setdefault(row.name, []).append(row)
    images, masks = _pictures(source)

    exclusions: list[Exclusion] = []
    mammograms = []
    for name in sorted(of_image):
        if name not in images:
            found = f"{table.name} lists {name}, but no {name}.pgm or {name}.png is there."
            exclusions.append(Exclusion(name, _patient(name), "file-missing", found))
            continue
        mammograms.append(_mammogram(name, of_image[name], images[name], exclusions))
    decisions = (*_about_files_of_no_row(images, of_image), *_about_masks(masks, of_image))
    return Collection(tuple(mammograms), tuple(exclusions), decisions, tuple(_listed(row) for row in rows))


def recognises(source: Path) -> bool:
    """Say whether a folder holds, or a file is, the table of mini-MIAS."""
    if source.is_file():
        return source.name.lower() == _TABLE.lower() and bool(_read_rows(source))
    return any(_read_rows(path) for path in _tables(source, _DEPTH_TO_RECOGNISE))


@dataclass(frozen=True)
class _Row:
    """A line of the table that describes a lesion, or an image without."""

    where: str
    name: str
    density: str
    kind: str
    rest: tuple[str, ...]
    """Severity, x, y and radius, as far as they are given."""
    number: int
    """Which lesion of its image; 0 for none."""

    @property
    def lesion_id(self) -> str | None:
        return f"{self.name}_{self.number}" if self.number else None

    @property
    def pathology(self) -> str | None:
        return _PATHOLOGIES.get(self.rest[0]) if self.rest else None

    @property
    def has_numbers(self) -> bool:
        return any(read_number(value) is not None for value in self.rest)

    @property
    def circle(self) -> Circle | None:
        numbers = [number for value in self.rest[1:4] if (number := read_number(value)) is not None]
        if len(numbers) < 3 or min(numbers) < 0 or numbers[2] == 0:
            return None
        x, y, radius = numbers
        return Circle(row=_SIZE_PX - 1 - y, column=x, radius=radius)

    @property
    def abnormality(self) -> str:
        return _ABNORMALITIES.get(self.kind, "other")


def _tables(source: Path, depth: int | None = None) -> Iterator[Path]:
    return (path for path in files_under(source, (".txt",), depth) if path.name.lower() == _TABLE.lower())


def _find_table(source: Path) -> Path:
    tables = list(_tables(source))
    if not tables:
        raise SourceError(f"{source} lacks {_TABLE}, which comes with mini-MIAS and says where the lesions are.")
    contents = [(path, [(row.name, row.density, row.kind, row.rest) for row in _read_rows(path)]) for path in tables]
    first, *others = [(path, rows) for path, rows in contents if rows] or contents
    for path, rows in others:
        if rows != first[1]:
            raise SourceError(f"{first[0]} and {path} could both be {_TABLE}, and differ. Remove one.")
    return first[0]


def _pictures(source: Path) -> tuple[dict[str, list[Path]], list[Path]]:
    """Return the pictures by name, of those that are there in both formats the PGM files; and the files of masks."""
    found: dict[tuple[str, str], list[Path]] = {}
    masks = []
    for path in files_under(source, (".pgm", ".png")):
        if any(part.lower().startswith("mask") for part in path.relative_to(source).parts[:-1]):
            masks.append(path)
        else:
            found.setdefault((path.stem.lower(), path.suffix.lower()), []).append(path)
    images: dict[str, list[Path]] = {}
    for (name, _), paths in sorted(found.items()):  # .pgm before .png
        images.setdefault(name, paths)
    return images, masks


def _read_rows(table: Path) -> list[_Row]:
    rows: list[_Row] = []
    counts: Counter[str] = Counter()
    if not is_regular_file(table):
        return []
    for number, line in enumerate(_text(table).splitlines(), start=1):
        where = f"{table.name} line {number}"
        found = _ROW.match(line)
        if found and len(found[4].split()) <= _MOST_BEHIND:
            name, density, kind = found[1].lower(), found[2].upper(), found[3].upper()
            is_lesion = kind != "NORM"
            counts[name] += is_lesion
            rest = tuple(found[4].upper().split())
            rows.append(_Row(where, name, density, kind, rest, counts[name] if is_lesion else 0))
        elif unread := _NAMES_IMAGE.match(line):  # a lesion of which nothing is known keeps normal patches away
            name = unread[1].lower()
            counts[name] += 1
            rows.append(_Row(where, name, "", "", (), counts[name]))
    return rows if any(row.kind for row in rows) else []


def _text(table: Path) -> str:
    """Return the text of the table, which editors save with a mark before it, or in UTF-16."""
    content = table.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    return content.removeprefix(b"\xef\xbb\xbf").decode("latin-1")


def _patient(name: str) -> str:
    """Both films of a woman get the same patient: mdb001 and mdb002 are ``mias-001``."""
    return f"mias-{(int(name[3:]) + 1) // 2:03d}"


def _laterality(name: str) -> str:
    return "left" if int(name[3:]) % 2 else "right"


def _mammogram(name: str, rows: Sequence[_Row], images: Sequence[Path], exclusions: list[Exclusion]) -> MammogramEntry:
    distinct = {(row.kind, row.rest): row for row in reversed(rows) if row.number}
    named = [row for row in rows if row in distinct.values()]
    for row in rows:
        if row.number and row not in named:
            first = distinct[row.kind, row.rest]
            found = f"{row.where} repeats {first.where}: {name}."
            exclusions.append(Exclusion(row.where, _patient(name), "row-repeated", found))
    lesions = [lesion for row in named if (lesion := _lesion(row, exclusions)) is not None]
    contradicted = [row for row in rows if not row.number and (named or row.has_numbers)]
    for row in contradicted:
        found = (
            f"{row.where} calls {name} normal, but {named[0].where if named else 'the same line'} speaks of a lesion."
        )
        exclusions.append(Exclusion(row.where, _patient(name), "rows-disagree", found))
    return MammogramEntry(
        mammogram_id=name,
        patient_id=_patient(name),
        laterality=_laterality(name),
        view="mlo",
        image=tuple(images),
        lesions=tuple(lesions),
        all_lesions_located=len(lesions) == len(named) and not contradicted,
        density=rows[0].density,
        spacing_mm=_SPACING_MM,
        source_shape=(_SIZE_PX, _SIZE_PX),
    )


def _lesion(row: _Row, exclusions: list[Exclusion]) -> LesionEntry | None:
    lesion_id, patient = str(row.lesion_id), _patient(row.name)
    if row.pathology is None:
        found = f"{row.where} gives no severity (B or M) for {lesion_id}."
        exclusions.append(Exclusion(lesion_id, patient, "lesion-without-pathology", found))
        return None
    if row.circle is None:
        found = f"{row.where} gives no circle for {lesion_id}: {' '.join(row.rest)}."
        exclusions.append(Exclusion(lesion_id, patient, "lesion-without-place", found))
        return None
    return LesionEntry(
        lesion_id=lesion_id,
        pathology=row.pathology,
        abnormality=row.abnormality,
        place=row.circle,
        source=row.where,
        attributes={"class": row.kind},
    )


def _about_files_of_no_row(images: Mapping[str, Sequence[Path]], known: Container[str]) -> tuple[Decision, ...]:
    lost = sorted(name for name in images if _NAMES_IMAGE.fullmatch(name) and name not in known)
    if not lost:
        return ()
    found = f"{counted(len(lost), 'images have')} no row in the table, the first {images[lost[0]][0]}."
    return (Decision(lost[0], None, "files-of-no-row", found, "They were not read."),)


def _about_masks(masks: Sequence[Path], known: Container[str]) -> tuple[Decision, ...]:
    """Say that masks are not read, which the collection as published does not have."""
    of_rows = [path for path in masks if path.stem.lower() in known]
    if not of_rows:
        return ()
    found = f"{counted(len(of_rows), 'files in folders of masks have')} the names of images, the first {of_rows[0]}."
    return (Decision(of_rows[0].name, None, "masks-not-read", found, "Not read: a lesion is the circle of its row."),)


def _listed(row: _Row) -> Listed:
    missing: tuple[str, ...] = ()
    if row.number:
        missing += () if row.pathology else ("severity",)
        missing += () if row.circle else ("x", "y", "radius")
    return Listed(
        row=row.where,
        patient_id=_patient(row.name),
        mammogram_id=row.name,
        lesion_id=row.lesion_id,
        laterality=_laterality(row.name),
        view="mlo",
        pathology=row.pathology if row.number else "normal",
        abnormality=row.abnormality if row.number else None,
        density=row.density,
        official_split=None,
        missing=missing,
    )
