"""CBIS-DDSM: DICOM files and four tables (Lee et al., Scientific Data, 2017, doi:10.1038/sdata.2017.177).

What trips everyone, and what is done here:

- the tables' paths end in a newline inside the quotes, and name ``000000.dcm`` where today's downloads hold ``1-1.dcm``
  in folders named after dates and series. Only the first folder of a path (``Mass-Training_P_00001_LEFT_CC``) is the
  same everywhere, so files are found by it;
- mask and cropped picture are swapped in many rows, so all files of a lesion's folder are handed on, and ingest tells
  them apart by content;
- one mammogram can have several lesions, a row each, of both pathologies.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from mammofill.ground.errors import SourceError
from mammofill.mammograms.settings import IngestSettings
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
    """Walk the source once: the tables by (kind, split), and the DICOM files by the folder name that all layouts share."""
    tables: dict[tuple[str, str], Path] = {}
    files: dict[str, list[Path]] = {}
    for folder, folders, names in os.walk(source):
        folders.sort()
        owner = next((part for part in reversed(Path(folder).parts) if _FOLDER.fullmatch(part)), None)
        for name in sorted(names):
            if name.lower().endswith(".csv"):
                found = re.match(r"(mass|calc)_case_description_(train|test)_set", name.lower())
                if found:
                    tables[found[1], found[2]] = Path(folder) / name
            elif owner is not None and name.lower().endswith((".dcm", ".dicom")):
                files.setdefault(owner, []).append(Path(folder) / name)
    return tables, files


def _read_tables(source: Path, tables: dict[tuple[str, str], Path], abnormality: str) -> pd.DataFrame:
    kinds = _TABLES.values() if abnormality == "all" else [_TABLES[abnormality]]
    needed = [(kind, split) for kind in kinds for split in ("train", "test")]
    missing = [f"{kind}_case_description_{split}_set.csv" for kind, split in needed if (kind, split) not in tables]
    if missing:
        raise SourceError(
            f"{source} lacks {', '.join(missing)}. The four tables come with CBIS-DDSM's page at TCIA; put them anywhere "
            "under this folder."
        )
    parts = []
    for kind, split in needed:
        path = tables[kind, split]
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        table.columns = [column.strip() for column in table.columns]
        table = table.rename(columns={"breast_density": "breast density"})
        lacking = [column for column in _COLUMNS if column not in table]
        if lacking:
            raise SourceError(f"{path} lacks the columns {', '.join(lacking)}; it has {', '.join(table.columns)}.")
        table = table.apply(lambda column: column.str.strip())
        table["row"] = [f"{path.name} row {number}" for number in range(2, len(table) + 2)]
        table["split"] = split
        table["mammogram_id"] = table["image file path"].str.split("/").str[0]
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
    for row in rows.to_dict("records"):
        lesion = _lesion(name, {str(key): str(value) for key, value in row.items()}, files, exclusions)
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
        all_lesions_located=len(lesions) == len(rows),
        density=density or None,
        official_split=str(first["split"]),
    )


def _lesion(
    mammogram: str, row: dict[str, str], files: dict[str, list[Path]], exclusions: list[Exclusion]
) -> LesionEntry | None:
    lesion_id = f"{mammogram}_{row['abnormality id']}"
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
