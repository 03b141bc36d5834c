"""CBIS-DDSM: DICOM files and four tables (Lee et al., Scientific Data, 2017, doi:10.1038/sdata.2017.177).

What trips everyone, and what is done here:

- the tables' paths end in a newline inside the quotes, and name ``000000.dcm`` where today's downloads hold ``1-1.dcm``
  in folders named after dates and series. Only the first folder of a path (``Mass-Training_P_00001_LEFT_CC``) is the
  same everywhere, so files are found by it;
- mask and cropped picture are swapped in many rows, so all files of a lesion's folder are handed on, and ingest tells
  them apart by content;
- one mammogram can have several lesions, a row each, of both pathologies;
- 71 views of the real collection are there twice, once in the mass and once in the calcification part, as separate
  files with only the lesions of that kind marked.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from mammofill.ground.errors import SourceError
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.csv_table import read_csv_table
from mammofill.mammograms.sources.entries import Collection, Exclusion, LesionEntry, MammogramEntry

_TABLES = {"mass": "mass", "calcification": "calc"}
_COLUMNS = (
    "patient_id",
    "left or right breast",
    "image view",
    "abnormality id",
    "abnormality type",
    "pathology",
    "image file path",
    "cropped image file path",
    "ROI mask file path",
)
_ATTRIBUTES = ("mass shape", "mass margins", "calc type", "calc distribution", "assessment", "subtlety", "pathology")
_FOLDER = re.compile(r"(Mass|Calc)-(Training|Test)_P_\d+_(LEFT|RIGHT)_(CC|MLO)(_\d+)?")
_PATHOLOGIES = {"MALIGNANT": "malignant", "BENIGN": "benign", "BENIGN_WITHOUT_CALLBACK": "benign"}


def read_cbis_ddsm(source: Path, settings: IngestSettings) -> Collection:
    """Read the tables of CBIS-DDSM and find the files that they speak of.

    Args:
        source: folder that holds the tables and the DICOM files, at any depth.
        settings: which abnormalities.

    Returns:
        One entry per mammogram that has a file.

    Raises:
        SourceError: tables or columns are missing.
    """
    tables, files = _find(source)
    rows = _read_tables(source, tables, settings.abnormality)
    exclusions: list[Exclusion] = []
    mammograms = []
    for name, group in rows.groupby("mammogram_id", sort=True):
        entry = _mammogram(str(name), group, files, exclusions)
        if entry is not None:
            mammograms.append(entry)
    return Collection(tuple(mammograms), tuple(exclusions))


def _find(source: Path) -> tuple[dict[tuple[str, str], Path], dict[str, list[Path]]]:
    """Walk the source once: tables by (kind, split), and DICOM files by the folder name that all layouts share."""
    tables: dict[tuple[str, str], Path] = {}
    files: dict[str, list[Path]] = {}
    walked: set[str] = set()
    for folder, folders, names in os.walk(source, followlinks=True):
        if (real := os.path.realpath(folder)) in walked:  # a link that leads in a circle
            folders.clear()
            continue
        walked.add(real)
        folders.sort()
        owner = next((part for part in reversed(Path(folder).parts) if _FOLDER.fullmatch(part)), None)
        for name in sorted(names):
            path = Path(folder) / name
            if name.lower().endswith(".csv"):
                _note_table(path, tables)
            elif owner is not None and name.lower().endswith((".dcm", ".dicom")):
                files.setdefault(owner, []).append(path)
    return tables, files


def _note_table(path: Path, tables: dict[tuple[str, str], Path]) -> None:
    """Note a table by what it is for: its name says so, or where it was renamed, its first row."""
    kind_split = _kind_of_table(path)
    if kind_split is None:
        return
    other = tables.setdefault(kind_split, path)
    if other != path and other.read_bytes() != path.read_bytes():
        raise SourceError(f"{other} and {path} are both the table of {' '.join(kind_split)}, and differ. Remove one.")


def _kind_of_table(path: Path) -> tuple[str, str] | None:
    named = re.match(r"(mass|calc)_case_description_(train|test)_set", path.name.lower())
    if named:
        return named[1], named[2]
    with path.open(encoding="utf-8", errors="replace") as lines:
        if _COLUMNS[-1] not in lines.readline():
            return None  # some other table, such as a download's list of files
        first = re.search(r"\b(Mass|Calc)-(Training|Test)_P_", lines.readline())
    return (first[1].lower(), {"Training": "train", "Test": "test"}[first[2]]) if first else None


def _read_tables(source: Path, tables: dict[tuple[str, str], Path], abnormality: str) -> pd.DataFrame:
    kinds = _TABLES.values() if abnormality == "all" else [_TABLES[abnormality]]
    needed = [(kind, split) for kind in kinds for split in ("train", "test")]
    missing = [f"{kind}_case_description_{split}_set.csv" for kind, split in needed if (kind, split) not in tables]
    if missing:
        raise SourceError(
            f"{source} lacks {', '.join(missing)}. The four tables come with CBIS-DDSM's page at TCIA; "
            "put them anywhere under this folder."
        )
    parts = []
    for kind, split in needed:
        path = tables[kind, split]
        table = read_csv_table(path, _COLUMNS).rename(columns={"breast_density": "breast density"})
        table["split"] = split
        table["mammogram_id"] = table["image file path"].str.split("/").str[0]
        table["lesion_id"] = table["mammogram_id"] + "_" + table["abnormality id"]
        table["lesion_folder"] = table["ROI mask file path"].str.split("/").str[0]
        parts.append(table)
    rows: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return rows


def _mammogram(
    name: str, rows: pd.DataFrame, files: dict[str, list[Path]], exclusions: list[Exclusion]
) -> MammogramEntry | None:
    first = rows.iloc[0]
    patient = str(first["patient_id"])
    if name not in files:
        exclusions.extend(
            Exclusion(
                str(row), patient, "file-missing", f"{row} names the mammogram {name}, but no such folder holds a file."
            )
            for row in rows["row"]
        )
        return None
    lesions = []
    for lesion_id, same in rows.groupby("lesion_id", sort=True):
        row = _only_row(str(lesion_id), same, exclusions)
        lesion = _lesion(row, files, exclusions) if row is not None else None
        if lesion is not None:
            lesions.append(lesion)
    density = str(first.get("breast density", ""))
    return MammogramEntry(
        mammogram_id=name,
        patient_id=patient,
        laterality=str(first["left or right breast"]).lower(),
        view=str(first["image view"]).lower(),
        image=tuple(files[name]),
        lesions=tuple(lesions),
        all_lesions_located=len(lesions) == rows["lesion_id"].nunique(),
        density=density or None,
        official_split=str(first["split"]),
    )


def _only_row(lesion_id: str, rows: pd.DataFrame, exclusions: list[Exclusion]) -> dict[str, str] | None:
    """Return the row of a lesion; of repeated rows the first, or none where they disagree about the pathology."""
    records = [{str(key): str(value) for key, value in row.items()} for row in rows.to_dict("records")]
    pathologies = sorted({row["pathology"] for row in records})
    if len(pathologies) > 1:
        found = (
            f"{', '.join(row['row'] for row in records)} all describe {lesion_id}, as {' and as '.join(pathologies)}."
        )
        exclusions.append(Exclusion(lesion_id, records[0]["patient_id"], "rows-disagree", found))
        return None
    exclusions.extend(
        Exclusion(
            row["row"], row["patient_id"], "row-repeated", f"{row['row']} repeats {records[0]['row']}: {lesion_id}."
        )
        for row in records[1:]
    )
    return records[0]


def _lesion(row: dict[str, str], files: dict[str, list[Path]], exclusions: list[Exclusion]) -> LesionEntry | None:
    lesion_id = row["lesion_id"]
    pathology = _PATHOLOGIES.get(row["pathology"].upper())
    if pathology is None:
        known = ", ".join(_PATHOLOGIES)
        found = f"{row['row']} gives the pathology {row['pathology']!r} for {lesion_id}; known are {known}."
        exclusions.append(Exclusion(lesion_id, row["patient_id"], "lesion-without-pathology", found))
        return None
    place = files.get(row["lesion_folder"], [])
    if not place:
        found = f"{row['row']} names {row['lesion_folder']}, but no such folder holds a file."
        exclusions.append(Exclusion(lesion_id, row["patient_id"], "file-missing", found))
        return None
    return LesionEntry(
        lesion_id=lesion_id,
        pathology=pathology,
        abnormality="mass" if row["abnormality type"].lower() == "mass" else "calcification",
        place=tuple(place),
        source=row["row"],
        attributes={name: row[name] for name in _ATTRIBUTES if row.get(name) and row[name] != "nan"},
    )
