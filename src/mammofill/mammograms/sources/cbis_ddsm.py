"""CBIS-DDSM: DICOM files and four tables (Lee et al., Scientific Data, 2017, doi:10.1038/sdata.2017.177).

What trips everyone, and what is done here:

- the tables' paths end in a newline inside the quotes, and name ``000000.dcm`` where today's downloads hold ``1-1.dcm``
  in folders named after dates and series. `cbis_files` finds the files in every known layout;
- mask and cropped picture are swapped in many rows, and of 104 lesions they lie in two series. All files of a lesion
  are handed on, and `find_lesion_mask` distinguishes them by content;
- one mammogram can have several lesions, a row each, of both pathologies;
- 71 views are there twice, once in the mass and once in the calcification part, as separate files with only the lesions
  of that kind marked: twins. Read alone, a mass mammogram gets its twin's calcifications too, so that they are not
  taken for normal tissue.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mammofill.ground.counting import counted
from mammofill.ground.errors import LeakError, SourceError
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
from mammofill.mammograms.sources.cbis_files import NAME, Walked, find_files, walk
from mammofill.mammograms.sources.csv_table import read_csv_table, rows_of, walk_files
from mammofill.mammograms.sources.numbers import same_cell
from mammofill.mammograms.sources.patients import patient_key
from mammofill.mammograms.sources.sides_and_views import CONTRADICTS, DONE, contradicted, read_side, read_view

Row = Mapping[str, str]
"""A row of a table, with its mammogram, lesion, kind and split beside the table's own columns."""

_TABLES = {"mass": "mass", "calcification": "calc"}
_ABNORMALITIES = {"mass": "mass", "calc": "calcification"}
_SPLITS_IN_NAMES = {"Training": "train", "Test": "test"}
_TABLE_NAME = re.compile(r"(mass|calc)_case_description_(train|test)_set")
_PATHS = ("image file path", "cropped image file path", "ROI mask file path")
_COLUMNS = (
    "patient_id",
    "left or right breast",
    "image view",
    "abnormality id",
    "abnormality type",
    "pathology",
    *_PATHS,
)
_ATTRIBUTES = ("mass shape", "mass margins", "calc type", "calc distribution", "assessment", "subtlety", "pathology")
_TO_FILL = ("breast density", *_ATTRIBUTES, *_COLUMNS)
_PATHOLOGIES = {"MALIGNANT": "malignant", "BENIGN": "benign", "BENIGN_WITHOUT_CALLBACK": "benign"}
_MATTERS = (*_PATHS, "abnormality id", "abnormality type", "pathology")
"""Columns in which a row that repeats another must be the same."""
_DETAILS = tuple(column for column in ("breast density", *_ATTRIBUTES) if column not in _MATTERS)
"""Columns in which it may differ; its exclusion names them."""
_EMPTY = ("", "N/A", "nan")

_DEPTH_TO_RECOGNISE = 3
"""Folders below the source in which a collection is recognised: deep enough for every layout."""


def read_cbis_ddsm(source: Path, settings: IngestSettings) -> Collection:
    """Read the tables of CBIS-DDSM and find the files that they speak of.

    Args:
        source: folder that holds the tables and the images, at any depth and in any layout of `cbis_files`; or one
            table, which is then listed, with all its images missing.
        settings: which abnormalities, and whether the official split is asked for as it is.

    Returns:
        One entry per mammogram that has a file, and every row in `listed`, even if there is no image at all.

    Raises:
        SourceError: tables or columns are missing.
        LeakError: the official split was asked for as it is, and has a mammogram on two sides.
    """
    walked = walk(source) if source.is_dir() else Walked([source])
    tables = _tables(walked.tables)
    asked = _asked(source, tables, settings.abnormality)
    rows = {kind_split: read_rows(path, *kind_split) for kind_split, path in tables.items()}
    every_row = [row for part in rows.values() for row in part]
    files, decisions = find_files(
        walked,
        _names_of_uids(every_row),
        {row["mammogram"]: _uids(row["image file path"])[-1] for row in every_row if _uids(row["image file path"])},
    )
    reader = _Reader(files, _by_view(rows, asked), {kind for kind, _ in asked})
    chosen = [row for kind_split in asked for row in rows[kind_split]]
    if settings.split == "official":
        _refuse_two_splits(chosen)
    mammograms = reader.mammograms(chosen)
    for kind_split in asked:
        reader.decisions.extend(_about_table(tables[kind_split], kind_split, rows[kind_split]))
    if {kind for kind, _ in tables} != set(_ABNORMALITIES):
        reader.decisions.append(_about_unknown_twins(asked))
    return Collection(
        mammograms, tuple(reader.exclusions), (*decisions, *reader.decisions), tuple(_listed(row) for row in chosen)
    )


def recognises(source: Path) -> bool:
    """Say whether a folder, or a table, is CBIS-DDSM: by the tables, or by the names of its folders.

    Looks at names down to three folders deep and at the first lines of tables, never at an image.
    """
    if source.is_file():
        return source.suffix.lower() == ".csv" and _kind_of_table(source) is not None
    base = len(source.parts)
    for folder, folders, names in walk_files(source):
        if any(NAME.fullmatch(name) for name in folders):
            return True
        if any(name.lower().endswith(".csv") and _kind_of_table(Path(folder, name)) for name in names):
            return True
        if len(Path(folder).parts) - base >= _DEPTH_TO_RECOGNISE:
            folders.clear()
    return False


def read_rows(path: Path, kind: str, split: str) -> list[Row]:
    """Read one table.

    Args:
        path: the file.
        kind: mass or calc.
        split: train or test.

    Returns:
        Its rows, with the keys row (where it stands), mammogram, lesion, kind (that of the mammogram's name, if it has
        one) and split (that of the table) added.

    Raises:
        SourceError: it is no table, or lacks columns.
    """
    table = read_csv_table(path, _COLUMNS).rename(columns={"breast_density": "breast density"})
    rows: list[Row] = []
    for cells in rows_of(table):
        row = dict(cells)
        use = {"train": "Training", "test": "Test"}[split]
        from_columns = "_".join(
            (f"{kind.capitalize()}-{use}", row["patient_id"], row["left or right breast"], row["image view"])
        )
        row["mammogram"] = _name_in(row["image file path"]) or from_columns
        row["lesion"] = _lesion_name(row)
        named = NAME.fullmatch(row["mammogram"])
        row |= {"kind": named[1].lower() if named else kind, "split": split}
        rows.append(row)
    return rows


def _lesion_name(row: Row) -> str:
    """Return the name of a lesion: of its mask's folder, where that is one of its mammogram; else by its number.

    Two rows with the same number and masks in two folders are two lesions, of which one has a wrong number.
    """
    name = _name_in(row[_PATHS[2]]) or ""
    if re.fullmatch(re.escape(row["mammogram"]) + r"_\d+", name):
        return name
    return f"{row['mammogram']}_{row['abnormality id']}"


def _tables(paths: Iterable[Path]) -> dict[tuple[str, str], Path]:
    """Return the tables by (kind, split): their first row says so, or where it says nothing, their name."""
    tables: dict[tuple[str, str], Path] = {}
    for path in paths:
        kind_split = _kind_of_table(path)
        if kind_split is None:
            continue
        other = tables.setdefault(kind_split, path)
        if other != path and other.read_bytes() != path.read_bytes():
            raise SourceError(
                f"{other} and {path} are both the table of {' '.join(kind_split)}, and differ. Remove one."
            )
    return dict(sorted(tables.items()))


def _kind_of_table(path: Path) -> tuple[str, str] | None:
    """Return the kind and the split of a table: of its first row, which no renaming changes, else of its name."""
    return _kind_in_first_row(path) or _kind_in_name(path)


def _kind_in_name(path: Path) -> tuple[str, str] | None:
    named = _TABLE_NAME.match(path.name.lower())
    return (named[1], named[2]) if named else None


def _kind_in_first_row(path: Path) -> tuple[str, str] | None:
    if not is_regular_file(path):
        return None
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            if _PATHS[-1] not in lines.readline(2**16):
                return None  # some other table, such as a download's list of files
            first = NAME.search(lines.readline(2**16))
    except OSError:
        return None
    return (first[1].lower(), _SPLITS_IN_NAMES[first[2]]) if first else None


def _asked(source: Path, tables: Mapping[tuple[str, str], Path], abnormality: str) -> list[tuple[str, str]]:
    if source.is_file() and tables:
        return list(tables)
    kinds = _TABLES.values() if abnormality == "all" else [_TABLES[abnormality]]
    asked = [(kind, split) for kind in kinds for split in ("train", "test")]
    missing = [f"{kind}_case_description_{split}_set.csv" for kind, split in asked if (kind, split) not in tables]
    if missing:
        raise SourceError(
            f"{source} lacks {', '.join(missing)}. The four tables come with CBIS-DDSM's page at TCIA; "
            "put them anywhere under this folder."
        )
    return asked


def _name_in(path: str) -> str | None:
    return next((part for part in re.split(r"[/\\]", path) if NAME.fullmatch(part)), None)


def _uids(path: str) -> list[str]:
    """Return the study and the series identifier of a path of the tables."""
    return [part for part in re.split(r"[/\\]", path)[:-1] if part[:1].isdigit()]


def _names_of_uids(rows: Iterable[Row]) -> dict[str, str]:
    """Return the image or lesion that each identifier belongs to, without those that are given for several."""
    names: dict[str, set[str]] = {}
    for row in rows:
        for column in _PATHS:
            name = row["mammogram"] if column == _PATHS[0] else row["lesion"]
            for uid in _uids(row[column]):
                names.setdefault(uid, set()).add(name)
    return {uid: min(found) for uid, found in names.items() if len(found) == 1}


View = tuple[str, str | None, str | None]
"""(patient, side, view)."""


def _view(row: Row) -> View:
    return patient_key(row["patient_id"]), *_side_and_view(row)


def _side_and_view(row: Row) -> tuple[str | None, str | None]:
    """Return what the columns of a row say, or where they say nothing, the name of its mammogram."""
    named = NAME.fullmatch(row["mammogram"])
    side, view = (named[3], named[4]) if named else (None, None)
    return read_side(row["left or right breast"]) or read_side(side), read_view(row["image view"]) or read_view(view)


def _by_view(rows: Mapping[tuple[str, str], Sequence[Row]], asked: Sequence[tuple[str, str]]) -> dict[View, list[Row]]:
    """Return the rows of both kinds by view, for the views that both kinds have."""
    kinds: dict[View, set[str]] = {}
    views: dict[View, list[Row]] = {}
    for part in rows.values():
        for row in part:
            kinds.setdefault(_view(row), set()).add(row["kind"])
            views.setdefault(_view(row), []).append(row)
    return {view: found for view, found in views.items() if len(kinds[view]) > 1}


@dataclass
class _Reader:
    """Makes entries of rows, and notes what was left out and what was decided on the way."""

    files: Mapping[str, tuple[Path, ...]]
    twins: Mapping[View, Sequence[Row]]
    """All rows of the views that are in both parts."""
    kinds: set[str]
    """Kinds that were asked for."""
    exclusions: list[Exclusion] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    def mammograms(self, rows: Sequence[Row]) -> tuple[MammogramEntry, ...]:
        by_mammogram = _grouped(rows, "mammogram")
        entries = (self._mammogram(name, by_mammogram[name]) for name in sorted(by_mammogram))
        return tuple(entry for entry in entries if entry is not None)

    def _mammogram(self, name: str, rows: Sequence[Row]) -> MammogramEntry | None:
        first = rows[0]
        patient = first["patient_id"]
        if differing := _differing_patients(name, rows):
            where = ", ".join(row["row"] for row in rows)
            found = f"{where} and the name {name} disagree about the patient: {' and '.join(differing)}."
            self.exclusions.append(Exclusion(name, None, "rows-disagree", found))
            return None
        if name not in self.files:
            for row in rows:
                found = f"{row['row']} names the mammogram {name}, but no file of it is there."
                self.exclusions.append(Exclusion(row["row"], patient, "file-missing", found))
            return None
        lesions, located = self._lesions(rows)
        of_twin, twin_located = self._lesions_of_twin(name, first)
        density = first.get("breast density", "")
        side, view = _side_and_view(first)
        self.decisions.extend(_about_name(name, rows))
        self.decisions.extend(_about_splits(name, rows))
        return MammogramEntry(
            mammogram_id=name,
            patient_id=patient,
            laterality=side,
            view=view,
            image=self.files[name],
            lesions=(*lesions, *of_twin),
            all_lesions_located=located and twin_located,
            density=None if density in _EMPTY else density,
            official_split=_split(rows),
            named_in_header=name,
        )

    def _lesions(self, rows: Sequence[Row]) -> tuple[list[LesionEntry], bool]:
        """Return the lesions of a mammogram that have a place, and whether these are all."""
        lesions = []
        by_lesion = _grouped(rows, "lesion")
        sure = True
        for lesion_id in sorted(by_lesion):
            row, only = self._only_row(lesion_id, by_lesion[lesion_id])
            sure &= only
            lesion = self._lesion(row) if row is not None else None
            if lesion is not None:
                lesions.append(lesion)
        return lesions, sure and len(lesions) == len(by_lesion)

    def _only_row(self, lesion_id: str, rows: Sequence[Row]) -> tuple[Row | None, bool]:
        """Return the row of a lesion, and whether the others say nothing else.

        Of rows that repeat all that matters, and of rows that differ in it, the first is taken; where they disagree
        about the pathology, none.
        """
        first = rows[0]
        pathologies = sorted({_pathology_word(row) for row in rows})
        if len(pathologies) > 1:
            where = ", ".join(row["row"] for row in rows)
            found = f"{where} all describe {lesion_id}, as {' and as '.join(pathologies)}."
            self.exclusions.append(Exclusion(lesion_id, first["patient_id"], "rows-disagree", found))
            return None, False
        sure = True
        for row in rows[1:]:
            differing = [column for column in _MATTERS if same_cell(row[column]) != same_cell(first[column])]
            if differing:
                sure = False
                found = (
                    f"{row['row']} and {first['row']} both describe {lesion_id}, and differ in {', '.join(differing)}: "
                    "perhaps there is another lesion."
                )
                self.exclusions.append(Exclusion(row["row"], row["patient_id"], "rows-differ", found))
                continue
            details = [
                column for column in _DETAILS if same_cell(row.get(column, "")) != same_cell(first.get(column, ""))
            ]
            but = f", but for {' and '.join(details)}, of which the first row's is kept" if details else ""
            found = f"{row['row']} repeats {first['row']}: {lesion_id}{but}."
            self.exclusions.append(Exclusion(row["row"], row["patient_id"], "row-repeated", found))
        return first, sure

    def _lesion(self, row: Row) -> LesionEntry | None:
        lesion_id, patient = row["lesion"], row["patient_id"]
        if _pathology(row) is None:
            known = ", ".join(_PATHOLOGIES)
            found = f"{row['row']} gives the pathology {row['pathology']!r} for {lesion_id}; known are {known}."
            self.exclusions.append(Exclusion(lesion_id, patient, "lesion-without-pathology", found))
            return None
        if lesion_id not in self.files:
            found = f"{row['row']} names the lesion {lesion_id}, but no file of it is there."
            self.exclusions.append(Exclusion(lesion_id, patient, "file-missing", found))
            return None
        return _entry(row, lesion_id, self.files[lesion_id])

    def _lesions_of_twin(self, name: str, first: Row) -> tuple[list[LesionEntry], bool]:
        """Return the lesions that the other part marks on this view, and whether their places are all known.

        Where both parts are read, each file keeps its own lesions, or they would count twice; then tissue of neither
        can be called normal.
        """
        rows = [row for row in self.twins.get(_view(first), ()) if row["kind"] != first["kind"]]
        if not rows:
            return [], True
        twin, patient = rows[0]["mammogram"], first["patient_id"]
        found = f"{name} and {twin} show the same view, each with only its own kind of lesions marked."
        if rows[0]["kind"] in self.kinds:
            done = "Each keeps its own lesions, and neither gives normal patches."
            self.decisions.append(Decision(name, patient, "twin-views", found, done))
            return [], False
        lesions = []
        by_lesion = {row["lesion"]: row for row in reversed(rows)}
        for lesion_id, row in sorted(by_lesion.items()):
            if lesion_id in self.files and _pathology(row) is not None:
                own_id = f"{name}_{row['kind']}_{row['abnormality id']}"
                lesions.append(_entry(row, own_id, self.files[lesion_id], drawn_on=twin))
        done = f"{len(lesions)} of the {len(by_lesion)} lesions of {twin} are added, each if its mask proves to fit."
        self.decisions.append(Decision(name, patient, "twin-lesions-added", found, done))
        return lesions, len(lesions) == len(by_lesion)


def _differing_patients(name: str, rows: Sequence[Row]) -> list[str]:
    """Return the patients that the rows of a mammogram and its name give, if they are not one."""
    in_name = re.search(r"P_\d+", name)
    patients = [*(row["patient_id"] for row in rows), *([in_name[0]] if in_name else [])]
    return sorted(set(patients)) if len({patient_key(one) for one in patients}) > 1 else []


def _stated_splits(rows: Sequence[Row]) -> set[str]:
    """Return the splits that the tables of a mammogram's rows and its name state."""
    named = NAME.fullmatch(rows[0]["mammogram"])
    return {row["split"] for row in rows} | ({_SPLITS_IN_NAMES[named[2]]} if named else set())


def _split(rows: Sequence[Row]) -> str:
    """Return test if a table or the name of a mammogram says so: it must not be learned from."""
    return "test" if "test" in _stated_splits(rows) else "train"


def _about_splits(name: str, rows: Sequence[Row]) -> Iterator[Decision]:
    """Yield a decision about a mammogram that tables of both splits name, or whose name says another than its table."""
    if len(_stated_splits(rows)) > 1:
        where = " and ".join(f"{row['row']} ({row['split']})" for row in rows)
        found = f"{where} all describe {name}, which cannot be in both splits."
        if len({row["split"] for row in rows}) == 1:
            found = f"{where} describes {name}, whose name is of the other split."
        yield Decision(name, rows[0]["patient_id"], "mammogram-in-two-splits", found, "Its official split is test.")


def _about_table(path: Path, kind_split: tuple[str, str], rows: Sequence[Row]) -> Iterator[Decision]:
    """Yield a decision about a table whose name says what its rows do not, and about its rows of another kind."""
    kind, split = kind_split
    if (named := _kind_in_name(path)) and named != kind_split:
        found = f"{path.name} is called the table of {' '.join(named)}, but its first row is of {kind} {split}."
        done = f"Read as the table of {kind} {split}, for the mammograms are called so."
        yield Decision(path.name, None, "table-called-otherwise", found, done)
    others = [row for row in rows if row["kind"] != kind]
    if others:
        found = (
            f"{path.name} is the table of {kind} {split}, but has {counted(len(others), 'rows')} of mammograms of "
            f"another kind, the first {others[0]['row']} ({others[0]['mammogram']})."
        )
        done = "Read, each as the kind that its name says."
        yield Decision(path.name, None, "table-called-otherwise", found, done)


def _refuse_two_splits(rows: Iterable[Row]) -> None:
    """Refuse tables of which those of both splits name one mammogram.

    Raises:
        LeakError: names the mammograms.
    """
    found = [
        one.found for name, group in sorted(_grouped(rows, "mammogram").items()) for one in _about_splits(name, group)
    ]
    if found:
        raise LeakError(
            f"{counted(len(found), 'mammograms are')} in more than one split of the collection: {found[0]} A "
            "classifier tested on them would have seen them. Put the tables right, or use --split "
            "official-patient-safe, which keeps their patients for test, or --split patients."
        )


def _about_name(name: str, rows: Sequence[Row]) -> Iterator[Decision]:
    """Yield a decision for each row whose columns say another side or view than the name of its mammogram."""
    named = NAME.fullmatch(name)
    if named is None:
        return
    for row in rows:
        side, view = read_side(row["left or right breast"]), read_view(row["image view"])
        if contradiction := contradicted(side, view, read_side(named[3]), read_view(named[4])):
            found = f"The name {name}, of {row['row']}, says {contradiction}."
            yield Decision(name, row["patient_id"], CONTRADICTS, found, DONE)


def _entry(row: Row, lesion_id: str, files: tuple[Path, ...], drawn_on: str | None = None) -> LesionEntry:
    return LesionEntry(
        lesion_id=lesion_id,
        pathology=_PATHOLOGIES[_pathology_word(row)],
        abnormality=_ABNORMALITIES[row["kind"]],
        place=files,
        source=row["row"],
        attributes={name: row[name] for name in _ATTRIBUTES if row.get(name, "") not in _EMPTY},
        drawn_on=drawn_on,
    )


def _listed(row: Row) -> Listed:
    density = row.get("breast density", "")
    side, view = _side_and_view(row)
    crop, mask = row[_PATHS[1]], row[_PATHS[2]]
    named = crop not in _EMPTY and mask not in _EMPTY
    apart = named and _uids(crop) != _uids(mask)
    return Listed(
        row=row["row"],
        patient_id=row["patient_id"],
        mammogram_id=row["mammogram"],
        lesion_id=row["lesion"],
        laterality=side,
        view=view,
        pathology=_pathology(row),
        abnormality=_ABNORMALITIES[row["kind"]],
        density=None if density in _EMPTY else density,
        official_split=_split([row]),
        missing=tuple(column for column in _TO_FILL if column in row and row[column] in _EMPTY),
        mask_number=1 + (mask > crop) if named and not apart and mask != crop else None,
        mask_apart=apart,
    )


def _about_unknown_twins(asked: Sequence[tuple[str, str]]) -> Decision:
    read, other = ("masses", "calcifications") if asked[0][0] == "mass" else ("calcifications", "masses")
    found = (
        f"The tables of {other} are not there. In the real collection 71 views are in both parts, and {other} lie on "
        f"mammograms of {read} without being marked."
    )
    return Decision("tables", None, "twins-unknown", found, "Kept. Put the other tables beside these to know them.")


def _grouped(rows: Iterable[Row], key: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row)
    return groups


def _pathology(row: Row) -> str | None:
    return _PATHOLOGIES.get(_pathology_word(row))


def _pathology_word(row: Row) -> str:
    return re.sub(r"[\s-]+", "_", row["pathology"].upper())
