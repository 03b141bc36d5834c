"""CMMD, the Chinese Mammography Database: digital mammograms, DICOM, proven by biopsy, without any place of a lesion.

Source: Cui et al., The Cancer Imaging Archive, 2021, doi:10.7937/tcia.eqde-4b16.

What has to be known:

- ``CMMD_clinicaldata_revision`` has a row for each breast: benign or malignant; a mass, calcifications or both. Where
  on the mammogram that is, nothing says. So no patch can be called lesion or normal: every row becomes an exclusion
  (``lesion-without-place``), and its mammograms are kept for uses that need no places;
- the table comes as a spreadsheet and has to be saved as CSV;
- side and view stand in the headers of the files only. Some women have views of both breasts and a row for one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from mammofill import dicom
from mammofill.ground.counting import counted
from mammofill.ground.errors import ImageFileError
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.annotations import Collection, Decision, Exclusion, Listed, MammogramEntry
from mammofill.mammograms.sources.csv_table import Row, files_under, find_table, read_rows, recognises_table
from mammofill.mammograms.sources.headers import read_header
from mammofill.mammograms.sources.numbers import same_cell
from mammofill.mammograms.sources.patients import patient_key
from mammofill.mammograms.sources.sides_and_views import read_side, read_view

_TABLE = "CMMD_clinicaldata_revision.csv"
_COLUMNS = ("ID1", "LeftRight", "abnormality", "classification")
_PATIENT = re.compile(r"D[12]-\d{4}", re.IGNORECASE)
_PATHOLOGIES = {"benign": "benign", "malignant": "malignant"}
_ABNORMALITIES = {"mass": "mass", "calcification": "calcification", "both": "mass"}

Breast = tuple[str, str | None]
"""(patient, side)."""


def read_cmmd(source: Path, settings: IngestSettings) -> Collection:
    """Read the clinical table, and the headers of the DICOM files for side and view.

    Args:
        source: folder that holds the table, as CSV, and the folders of the patients (``D1-0001/...``), at any depth; or
            the table alone, which is then listed, with all its images missing, and no header is read.
        settings: not used; the collection has one table.

    Returns:
        One entry per file of a patient in the table, without lesions, and `all_lesions_located` false.

    Raises:
        SourceError: the table is missing, still a spreadsheet, or lacks columns.
    """
    rows = _numbered(read_rows(find_table(source, _COLUMNS, _TABLE), _COLUMNS))
    patients = {patient_key(row["ID1"]): row["ID1"] for row in rows}
    exclusions: list[Exclusion] = []
    mammograms: list[MammogramEntry] = []
    strangers: list[Path] = []
    names: set[str] = set()
    for path in files_under(source, (".dcm", ".dicom")):
        try:
            header = read_header(path)
        except ImageFileError as error:
            exclusions.append(Exclusion(path.name, _patient_in(path), "unreadable", str(error)))
            continue
        patient = patients.get(patient_key(_patient_in(path) or header.patient_id or ""))
        if not patient:
            strangers.append(path)
            continue
        in_header = patients.get(patient_key(header.patient_id or ""), patient)
        if in_header != patient:
            found = f"{path} lies in the folder of {patient}, but its header says that it is of {in_header}."
            exclusions.append(Exclusion(path.name, patient, "patient-contradicted", found))
            continue
        name = next(name for name in _possible_names(f"{patient}_{path.stem}") if name not in names)
        names.add(name)
        mammograms.append(_mammogram(name, path, patient, header))
    exclusions += _about_rows(rows, mammograms)
    return Collection(
        tuple(mammograms),
        tuple(exclusions),
        (*_about_breasts_of_no_row(rows, mammograms), *_about_strangers(strangers)),
        tuple(_listed(row) for row in rows),
    )


def recognises(source: Path) -> bool:
    """Say whether a folder holds, or a table is, that of CMMD; looks at the first lines of tables only."""
    return recognises_table(source, _COLUMNS, _TABLE)


def _numbered(rows: list[Row]) -> list[Row]:
    """Name the lesion of each row, under `lesion`; a patient has the same spelling in all rows."""
    counts: Counter[str] = Counter()
    numbered: list[Row] = []
    spelling: dict[str, str] = {}
    for cells in rows:
        row = {**cells, "ID1": spelling.setdefault(patient_key(cells["ID1"]), cells["ID1"])}
        breast = f"{row['ID1']}_{row['LeftRight']}"
        counts[breast] += 1
        numbered.append({**row, "lesion": f"{breast}_{counts[breast]}"})
    return numbered


def _breast(row: Row) -> Breast:
    return row["ID1"], read_side(row["LeftRight"])


def _patient_in(path: Path) -> str | None:
    return next((part for part in reversed(path.parts) if _PATIENT.fullmatch(part)), None)


def _possible_names(name: str) -> Iterator[str]:
    """Hand out a name for a file, then others for further files that are called the same."""
    yield name
    yield from (f"{name}-{number}" for number in count(2))


def _mammogram(name: str, path: Path, patient: str, header: dicom.DicomHeader) -> MammogramEntry:
    return MammogramEntry(
        mammogram_id=name,
        patient_id=patient,
        laterality=read_side(header.laterality),
        view=read_view(header.view),
        image=(path,),
        lesions=(),
        all_lesions_located=False,
        spacing_mm=header.spacing_mm[0] if header.spacing_mm else None,
    )


def _about_rows(rows: list[Row], mammograms: list[MammogramEntry]) -> list[Exclusion]:
    """Return why the lesion of each row is left out: there is no file of its breast, or no place in it."""
    there = {(entry.patient_id, entry.laterality) for entry in mammograms}
    seen: dict[tuple[str, ...], Row] = {}
    exclusions = []
    for row in rows:
        breast = f"the {_breast(row)[1] or 'unknown'} breast of {row['ID1']}"
        facts = tuple(same_cell(row[column]) for column in sorted(set(row) - {"row", "lesion"}))
        earlier = seen.setdefault(facts, row)
        if earlier is not row:
            found = f"{row['row']} repeats {earlier['row']}: {breast}."
            exclusions.append(Exclusion(row["row"], row["ID1"], "row-repeated", found))
        elif _breast(row) not in there:
            sideless = sum(entry.patient_id == row["ID1"] and entry.laterality is None for entry in mammograms)
            but = (
                f"{counted(sideless, 'files of this patient do')} not say their side"
                if sideless
                else "no file of it is there"
            )
            found = f"{row['row']} lists {breast}, but {but}."
            exclusions.append(Exclusion(row["row"], row["ID1"], "file-missing", found))
        else:
            kind, pathology = row["abnormality"] or "unknown kind", row["classification"] or "of unknown pathology"
            found = f"{row['row']} calls a lesion ({kind}) of {breast} {pathology}, but CMMD does not say where it is."
            exclusions.append(Exclusion(row["lesion"], row["ID1"], "lesion-without-place", found))
    return exclusions


def _about_breasts_of_no_row(rows: list[Row], mammograms: list[MammogramEntry]) -> list[Decision]:
    known = {_breast(row) for row in rows}
    return [
        Decision(
            entry.mammogram_id,
            entry.patient_id,
            "breast-of-no-row",
            f"{entry.mammogram_id} shows the {entry.laterality or 'unknown'} breast, of which the table says nothing.",
            "Kept, and not taken for normal.",
        )
        for entry in mammograms
        if (entry.patient_id, entry.laterality) not in known
    ]


def _about_strangers(paths: list[Path]) -> list[Decision]:
    if not paths:
        return []
    found = f"{counted(len(paths), 'images belong')} to no patient of the table, the first {paths[0]}."
    return [Decision(paths[0].name, None, "files-of-no-row", found, "They were not read.")]


def _listed(row: Row) -> Listed:
    return Listed(
        row=row["row"],
        patient_id=row["ID1"],
        mammogram_id=f"{row['ID1']}_{row['LeftRight']}",
        lesion_id=row["lesion"],
        laterality=_breast(row)[1],
        view=None,
        pathology=_PATHOLOGIES.get(row["classification"].lower()),
        abnormality=_ABNORMALITIES.get(row["abnormality"].lower()),
        density=None,
        official_split=None,
        missing=tuple(column for column in _COLUMNS if not row[column]),
    )
