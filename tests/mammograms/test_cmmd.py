"""CMMD: entries from a small collection in the published layout; no lesion has a place."""

from __future__ import annotations

from pathlib import Path

import pytest
from published_layouts import CMMD_HEADER, write_cmmd
from pydicom import Dataset, dcmread

from mammofill.ground.errors import SourceError
from mammofill.mammograms import IngestSettings
from mammofill.mammograms.sources.cmmd import read_cmmd, recognises

SETTINGS = IngestSettings(collection="cmmd")
ROWS = [
    "D1-0001,R,44,2,calcification,Benign,",
    "D1-0087,L,59,2,both,Malignant,",
    "D1-0087,L,59,2,mass,Benign,",
    "D1-0087,L,59,2,mass,Benign,",
    "D2-0565,R,75,2,mass,,Luminal A",
    "D2-0700,L,75,2,mass,Malignant,Luminal A",
]
FILES = [
    ("D1-0001", "1-1.dcm", "R", "CC"), ("D1-0001", "1-2.dcm", "R", "MLO"), ("D1-0001", "1-3.dcm", "L", "CC"),
    ("D1-0087", "1-1.dcm", "L", "MLO"), ("D2-0565", "1-1.dcm", "R", ""), ("D2-0999", "1-1.dcm", "R", "CC"),
]  # fmt: skip


def test_mammograms_are_kept_and_their_lesions_left_out(tmp_path: Path) -> None:
    found = read_cmmd(write_cmmd(tmp_path, ROWS, FILES), SETTINGS)
    assert [
        (entry.mammogram_id, entry.patient_id, entry.laterality, entry.view) for entry in found.mammograms
    ] == [
        ("D1-0001_1-1", "D1-0001", "right", "cc"), ("D1-0001_1-2", "D1-0001", "right", "mlo"),
        ("D1-0001_1-3", "D1-0001", "left", "cc"), ("D1-0087_1-1", "D1-0087", "left", "mlo"),
        ("D2-0565_1-1", "D2-0565", "right", None),
    ]  # fmt: skip
    assert {(entry.lesions, entry.all_lesions_located) for entry in found.mammograms} == {((), False)}
    assert [(exclusion.what, exclusion.rule) for exclusion in found.exclusions] == [
        ("D1-0001_R_1", "lesion-without-place"),
        ("D1-0087_L_1", "lesion-without-place"),
        ("D1-0087_L_2", "lesion-without-place"),
        ("CMMD_clinicaldata_revision.csv row 5", "row-repeated"),
        ("D2-0565_R_1", "lesion-without-place"),
        ("CMMD_clinicaldata_revision.csv row 7", "file-missing"),
    ]
    assert found.exclusions[0].found == (
        "CMMD_clinicaldata_revision.csv row 2 calls a lesion (calcification) of the right breast of D1-0001 Benign, "
        "but CMMD does not say where it is."
    )
    assert [(decision.rule, decision.what) for decision in found.decisions] == [
        ("breast-of-no-row", "D1-0001_1-3"), ("files-of-no-row", "1-1.dcm"),
    ]  # fmt: skip
    assert [(one.lesion_id, one.pathology, one.abnormality, one.missing) for one in found.listed] == [
        ("D1-0001_R_1", "benign", "calcification", ()),
        ("D1-0087_L_1", "malignant", "mass", ()),
        ("D1-0087_L_2", "benign", "mass", ()),
        ("D1-0087_L_3", "benign", "mass", ()),
        ("D2-0565_R_1", None, "mass", ("classification",)),
        ("D2-0700_L_1", "malignant", "mass", ()),
    ]


def test_rows_that_differ_in_the_subtype_are_two_lesions(tmp_path: Path) -> None:
    rows = [f"D1-0001,R,44,{number},mass,Malignant,{kind}" for number, kind in (("2", "A"), ("2", "B"), ("2.0", "B"))]
    found = read_cmmd(write_cmmd(tmp_path, rows, FILES[:1]), SETTINGS)
    assert [(exclusion.what, exclusion.rule) for exclusion in found.exclusions] == [
        ("D1-0001_R_1", "lesion-without-place"),
        ("D1-0001_R_2", "lesion-without-place"),
        ("CMMD_clinicaldata_revision.csv row 4", "row-repeated"),
    ]


def test_files_without_the_folder_of_a_patient_are_known_by_their_header(tmp_path: Path) -> None:
    source = write_cmmd(tmp_path, ROWS[:1], FILES[:2])
    (source / "CMMD" / "D1-0001").rename(source / "CMMD" / "1.3.6.1.4.1.14519")
    (source / "CMMD" / "1.3.6.1.4.1.14519" / "broken.dcm").write_bytes(b"no dicom")
    found = read_cmmd(source, SETTINGS)
    assert [entry.patient_id for entry in found.mammograms] == ["D1-0001", "D1-0001"]
    assert [exclusion.rule for exclusion in found.exclusions] == ["unreadable", "lesion-without-place"]


@pytest.mark.parametrize(
    ("code", "view"),
    [("399162004", "cc"), ("R-10242", "cc"), ("399368009", "mlo"), ("R-10226", "mlo"), ("399192002", None)],
)
def test_the_view_may_be_a_code(tmp_path: Path, code: str, view: str | None) -> None:
    source = write_cmmd(tmp_path, ROWS[:1], [("D1-0001", "1-1.dcm", "R", "")])
    (path,) = source.rglob("*.dcm")
    dataset = dcmread(path)
    item = Dataset()
    item.CodeValue = code
    dataset.ViewCodeSequence = [item]
    dataset.save_as(path)
    assert [entry.view for entry in read_cmmd(source, SETTINGS).mammograms] == [view]


def test_two_studies_of_a_patient_keep_apart(tmp_path: Path) -> None:
    source = write_cmmd(tmp_path, ROWS[:1], FILES[:1])
    first = source / "CMMD" / "D1-0001" / "07-18-2010-NA-NA-79377"
    second = source / "CMMD" / "D1-0001" / "08-18-2011-NA-NA-79378"
    second.mkdir()
    (second / "1-1.dcm").write_bytes((first / "1.000000-NA-70244" / "1-1.dcm").read_bytes())
    assert [entry.mammogram_id for entry in read_cmmd(source, SETTINGS).mammograms] == ["D1-0001_1-1", "D1-0001_1-1-2"]


def test_a_table_with_semicolons_alone_is_listed(tmp_path: Path) -> None:
    table = tmp_path / "CMMD_clinicaldata_revision_CSV.csv"
    table.write_bytes("\r\n".join(line.replace(",", ";") for line in [CMMD_HEADER, *ROWS]).encode("utf-8-sig"))
    found = read_cmmd(table, SETTINGS)
    assert (found.mammograms, len(found.listed)) == ((), 6)
    assert found.listed[1].laterality == "left"
    assert recognises(table)
    assert recognises(tmp_path)


def test_the_spreadsheet_is_to_be_exported(tmp_path: Path) -> None:
    spreadsheet = tmp_path / "CMMD_clinicaldata_revision.xlsx"
    spreadsheet.write_bytes(b"PK")
    assert recognises(tmp_path)
    assert recognises(spreadsheet)
    for source in (tmp_path, spreadsheet):
        with pytest.raises(SourceError, match="revision.xlsx is a spreadsheet. Open it, save its first sheet as CSV"):
            read_cmmd(source, SETTINGS)
