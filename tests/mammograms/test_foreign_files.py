"""One bad file never stops the rest, nothing hangs, and nothing gets out of its folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import cv2
import numpy as np
import pandas as pd
import pytest
from collections_on_disk import Case, write_cbis
from hypothesis import given
from hypothesis import strategies as st
from published_layouts import write_cmmd, write_vindr

from mammofill import dicom, pictures
from mammofill.audit import AuditSettings, audit
from mammofill.ground.errors import ArtifactError, SourceError
from mammofill.ground.file_names import file_name, inside
from mammofill.ground.progress import LineProgress
from mammofill.mammograms import IngestSettings, MammogramSet, ingest
from mammofill.mammograms.sources import collections
from mammofill.mammograms.sources.annotations import Circle, Collection, LesionEntry, MammogramEntry
from mammofill.mammograms.sources.csv_table import has_columns, read_csv_table
from mammofill.mammograms.sources.identifiers import with_names_of_files
from mammofill.mammograms.sources.numbers import read_number, read_whole_number, same_cell

CBIS = IngestSettings(height_px=None)
TABLE = IngestSettings(collection="table", height_px=None)


def write_pictures(folder: Path, names: str = "abcd") -> Path:
    for number, name in enumerate(names):
        picture = np.random.default_rng(number).integers(60, 200, (48, 32)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{name}.png"), picture)
    rows = [[f"{name}.png", "", f"patient {name}", "normal"] for name in names]
    pd.DataFrame(rows, columns=["image", "mask", "patient", "pathology"]).to_csv(folder / "own.csv", index=False)
    return folder


def excluded(found: MammogramSet) -> dict[str, tuple[str, str]]:
    rows = found.exclusions[["what", "rule", "found"]].itertuples(index=False)
    return {str(what): (str(rule), str(words)) for what, rule, words in rows}


# ---- files over which a decoder dies --------------------------------------------------------------------------------


class Panic(BaseException):
    """As pyo3 hands on a panic of Rust: no Exception."""


def _abort(*_: Any) -> None:
    os.abort()


def _panic(*_: Any) -> None:
    raise Panic("index out of bounds: the len is 0 but the index is 0")


def _type_error(*_: Any) -> None:
    raise TypeError("'NoneType' object is not subscriptable")


def _bomb(*_: Any) -> None:
    len(bytearray(10**11))


def _hang(*_: Any) -> None:
    while True:
        pass


def fail_over_b(monkeypatch: pytest.MonkeyPatch, fault: Any) -> None:
    real = pictures.read
    monkeypatch.setattr(pictures, "read", lambda path, bits: fault() if path.stem == "b" else real(path, bits))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("fault", "rule", "words"),
    [
        (_abort, "reader-died", "was ended by SIGABRT twice"),
        (_panic, "unreadable", "Panic: index out of bounds"),
        (_type_error, "unreadable", "TypeError: 'NoneType' object is not subscriptable"),
        (_bomb, "reader-died", "needs more than 4 GB of memory"),
    ],
)
def test_what_kills_a_reader_costs_its_own_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, fault: Any, rule: str, words: str
) -> None:
    write_pictures(tmp_path)
    fail_over_b(monkeypatch, fault)
    settings = IngestSettings(collection="table", height_px=None, workers=workers)
    found = ingest(tmp_path, tmp_path / "out", settings)
    assert found.mammograms["mammogram_id"].tolist() == ["a", "c", "d"]
    told_rule, told = excluded(found)["b"]
    assert told_rule == rule
    assert words in told
    assert "b.png" in told


def test_a_reader_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path, "ab")
    fail_over_b(monkeypatch, _hang)
    settings = IngestSettings(collection="table", height_px=None, read_seconds=30)  # far more than a needs
    assert excluded(ingest(tmp_path, tmp_path / "out", settings)) == {"b": ("reader-died", ANY)}


def test_the_audit_goes_on_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path)
    fail_over_b(monkeypatch, _abort)
    result = audit(tmp_path, AuditSettings(collection="table", workers=0))
    died = next(one for one in result.findings if one.finding == "reader-died")
    assert [case.what for case in died.cases] == ["b"]
    assert "was ended by SIGABRT twice" in died.cases[0].words


CASES = Path(__file__).parents[3] / "shared" / "cases" / "20-dies-or-stops"


@pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is not there: files found by an attack")
def test_files_that_once_stopped_everything(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    names = ["rle_panic.dcm", "jpegls_abort.dcm", "dicom2-structured-843-c2.bin", "tiff_truncated_TypeError.tif",
             "pics1-truncation-153-c1001_8.pgm", "eps_named_tif.tif", "pics1-flips-374-c1001_13.png"]  # fmt: skip
    table = (tmp_path / "own.csv").read_text()
    (tmp_path / "own.csv").write_text(table + "".join(f"{CASES / name},,p{name},normal\n" for name in names))
    found = ingest(tmp_path / "own.csv", tmp_path / "out", TABLE)
    assert len(found.mammograms) + len(found.exclusions) == 4 + len(names)
    assert len(found.mammograms) >= 4
    assert set(found.exclusions["rule"]) <= {"unreadable", "reader-died"}
    assert not any("eps" in name for name in found.mammograms["mammogram_id"])


# ---- what is no file ------------------------------------------------------------------------------------------------


def test_pipes_devices_and_names_that_cannot_be_are_passed_by(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case(), Case("P_00002", split="test")])
    os.mkfifo(source / "notes.csv")
    os.mkfifo(source / "no-ending")
    (source / "zero.dcm").symlink_to("/dev/zero")
    (source / "lost.csv").symlink_to(source / "nowhere")
    assert not excluded(ingest(source, tmp_path / "out", CBIS))
    write_pictures(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    lines = [f"{image},,p{number},normal" for number, image in enumerate(["pipe.png", "zero.png", "x" * 5000, "a\0b"])]
    with (tmp_path / "own.csv").open("a") as table:
        table.write("\n".join(lines[:3]) + "\n")
    found = ingest(tmp_path / "own.csv", tmp_path / "out table", TABLE)
    assert len(found.mammograms) == 4
    assert [rule for rule, _ in excluded(found).values()] == ["file-missing"] * 3
    told = "\n".join(found.exclusions["found"])
    assert "pipe.png is not a regular file but a named pipe." in told
    assert "zero.png is not a regular file but a device." in told


# ---- names of files -------------------------------------------------------------------------------------------------


@given(st.text(max_size=400))
def test_a_name_made_from_any_text_stays_in_its_folder(text: str) -> None:
    name = file_name(text)
    assert inside(Path("/folder"), name) == Path("/folder") / name
    assert 0 < len(name) <= 200
    assert len(Path(name).parts) == 1
    assert name.isascii()
    assert not name.startswith(".")


def test_plain_identifiers_are_their_own_names() -> None:
    for name in ("Mass-Training_P_00001_LEFT_CC_1", "mdb001", "1.2.840.113619", "P1_L_DM_CC"):
        assert file_name(name) == name
    assert file_name("a b") != file_name("a-b")
    assert file_name("con.txt") != "con.txt"


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "", "C:\\x", "..\\x", "a\0b"])
def test_paths_that_leave_a_folder_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a file inside"):
        inside(Path("folder"), name)


NASTY = "../../../../PWNED"


def nasty_cmmd(folder: Path) -> tuple[Path, IngestSettings]:
    (folder / "t.csv").write_text(f"ID1,LeftRight,abnormality,classification\n{NASTY},L,mass,Benign\n")
    picture = np.random.default_rng(0).integers(0, 4096, (40, 30)).astype(np.uint16)
    dicom.write_image(
        folder / "1-0.dcm", picture, patient_id=NASTY, uid_names=("x",), bits=12, laterality="L", view="CC"
    )
    return folder, IngestSettings(collection="cmmd", height_px=None)


def nasty_cbis(folder: Path) -> tuple[Path, IngestSettings]:
    source = write_cbis(folder, [Case(), Case("P_00002", split="test")])
    table = source / "mass_case_description_train_set.csv"
    table.write_bytes(table.read_bytes().replace(b"LEFT,CC,1,", f"LEFT,CC,{NASTY},".encode()))
    return source, CBIS


def nasty_table(folder: Path) -> tuple[Path, IngestSettings]:
    write_pictures(folder)
    with (folder / "own.csv").open("a") as table:
        table.write(f"{NASTY}/a.png,,{NASTY},normal\n")
    return folder, TABLE


def test_identifiers_that_are_no_names_or_are_there_twice_become_names() -> None:
    lesions = tuple(LesionEntry("m/1_1", "benign", "mass", Circle(9, 9, 3), f"row {row}") for row in (1, 2))
    entries = [MammogramEntry(name, "P1", None, None, (Path("x"),), lesions) for name in ("m/1", "M-1", "m-1", "m/1")]
    found = with_names_of_files(Collection(tuple(entries), ()))
    names = [entry.mammogram_id for entry in found.mammograms]
    names += [lesion.lesion_id for entry in found.mammograms for lesion in entry.lesions]
    assert len(names) == len({name.casefold() for name in names}) == 3 + 3 * 2
    assert all(file_name(name) == name for name in names)
    assert [(one.what, one.rule) for one in found.exclusions] == [
        (found.mammograms[0].mammogram_id, "identifier-twice")
    ]


@pytest.mark.parametrize("make", [nasty_cmmd, nasty_cbis, nasty_table])
def test_no_identifier_of_any_source_writes_outside_the_output(tmp_path: Path, make: Any) -> None:
    deep = tmp_path / "a" / "b" / "c" / "d" / "e"
    (deep / "source").mkdir(parents=True)
    source, settings = make(deep / "source")
    before = set(tmp_path.rglob("*"))
    found = ingest(source, deep / "out", settings)
    written = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(deep / "out") for path in written)
    for mammogram_id in found.mammograms["mammogram_id"]:
        assert found.image(mammogram_id).size


# ---- rows and numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [("1024", 1024), ("1024.0", 1024), (" 1e3 ", 1000), ("-3.5", -3.5), (".5", 0.5), ("\uff11\uff12", 12),
     ("1,024", None), ("1_000", None), ("nan", None), ("inf", None), ("1e999", None), ("", None), ("0x10", None),
     ("\u0661\u0660\u0662\u0664", 1024), ("10\u00b2", None), ("\u2460", None), ("1024,0", None), ("1 024", None),
     ("1\u00a0024", None), ("1024px", None)],
)  # fmt: skip
def test_numbers_are_read_in_one_way(text: str, number: float | None) -> None:
    assert read_number(text) == number
    assert read_whole_number(text) == (number if number is not None and number == int(number) else None)


def test_cells_that_say_the_same_are_the_same() -> None:
    assert same_cell("1024.0") == same_cell(" 1024 ")
    assert same_cell("1,024") == "1,024"


@pytest.mark.parametrize(
    ("size", "rule"), [("64.0,48.0", "unreadable"), ("sixty,48", "number-unreadable"), (",", "number-unreadable")]
)
def test_a_size_is_checked_however_it_is_spelled(tmp_path: Path, size: str, rule: str) -> None:
    row = f"s1,e,i1,L,CC,{size},BI-RADS 4,DENSITY C,['Mass'],BI-RADS 4,5,5,20,20,training"
    good = "s2,e,i2" + row.removeprefix("s1,e,i1").replace(f",{size},", ",60,40,", 1)
    source = write_vindr(tmp_path / "v", [row, good], [("s1", "i1"), ("s2", "i2")])
    settings = IngestSettings(collection="vindr-mammo", abnormality="all", height_px=None, split="patients")
    found = ingest(source, tmp_path / "out", settings)
    assert {what: told[0] for what, told in excluded(found).items()} == {"i1": rule}


def test_a_number_that_is_repeated_with_another_mask_is_another_lesion(tmp_path: Path) -> None:
    cases = [Case(), Case(number=2, pathology="BENIGN"), Case("P_00002", split="test")]
    source = write_cbis(tmp_path / "cbis", cases)
    table = source / "mass_case_description_train_set.csv"
    table.write_bytes(table.read_bytes().replace(b"LEFT,CC,2,", b"LEFT,CC,1,"))
    found = ingest(source, tmp_path / "out", CBIS)
    assert not excluded(found)
    assert [name for name in found.lesions["lesion_id"] if "P_00001" in name] == [
        "Mass-Training_P_00001_LEFT_CC_1", "Mass-Training_P_00001_LEFT_CC_2"
    ]  # fmt: skip
    assert found.mammograms["all_lesions_located"].all()


def test_a_row_with_another_path_to_the_same_lesion_keeps_normal_patches_away(tmp_path: Path) -> None:
    source = write_cbis(tmp_path / "cbis", [Case(), Case(), Case("P_00002", split="test")])
    table = source / "mass_case_description_train_set.csv"
    lines = table.read_bytes().split(b"\r\n")
    lines[2] = lines[2].replace(b"1.3.6.1.4.1.9590", b"1.3.6.1.4.1.9999")
    table.write_bytes(b"\r\n".join(lines))
    found = ingest(source, tmp_path / "out", CBIS)
    assert [rule for rule, _ in excluded(found).values()] == ["rows-differ"]
    located = found.mammograms.set_index("patient_id")["all_lesions_located"].to_dict()
    assert located == {"P_00001": False, "P_00002": True}


def test_tables_in_other_clothes_are_read_and_shifted_rows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for content in ("a\tb\n1\t2\n".encode("utf-16"), b"a;b\r1;2\r", b"a,b,\n1,2,,\n", "\ufeffa,b\n1,2\n".encode()):
        path.write_bytes(content)
        assert read_csv_table(path, ("a", "b"))[["a", "b"]].to_numpy().tolist() == [["1", "2"]]
    path.write_text("a,b\n\n1,2\n,\n3,4\n")
    assert read_csv_table(path, ("a",))["row"].tolist() == ["t.csv row 3", "t.csv row 5"]
    for content in ("sep=;\na;b\n1;2\n", "\n\na,b\n1,2\n", "a|b\n1|2\n", "a,b,,\n1,2,,\n", "# mine\n\na,b\n1,2\n"):
        path.write_text(content)
        assert has_columns(path, ("a", "b"))
        assert read_csv_table(path, ("a", "b"))[["a", "b"]].to_numpy().tolist() == [["1", "2"]]
    for content in ("a,b,\n1,2,3\n", ",a,b\nx,1,2\n", ",a,b\n3,1,2\n3,1,2\n"):
        path.write_text(content)
        with pytest.raises(SourceError, match="t.csv row 2 has '[3x]' in a column without a name"):
            read_csv_table(path, ("a",))
    path.write_text('a,b\n1,2\n"1,2\n3,4\n')
    with pytest.raises(SourceError, match="in the row after row 2. Perhaps a quote is never closed"):
        read_csv_table(path, ("a",))
    path.write_text("a,b\n1,2\n1,2,3\n")
    with pytest.raises(SourceError, match="t.csv row 3 has 3 cells, but the header names 2 columns"):
        read_csv_table(path, ("a",))
    path.write_bytes(b"a,b\n\xff\xfe,2\n")
    with pytest.raises(SourceError, match="it is no UTF-8 .*Save it as CSV"):
        read_csv_table(path, ("a",))


def test_what_programs_write_into_tables_does_not_stop_them(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    numbered = (",a,b\n0,1,2\n1,3,4\n", '"",a,b\n"7",1,2\n"2",3,4\n')  # as pandas does, and R after sorting
    for content in (*numbered, "\ufeff\ufeffa,b\n1,2\n3,4\n", "a\u200b,\uff22\n1,2\n3,4\n"):
        path.write_text(content, encoding="utf-8")
        assert read_csv_table(path, ("a", "b"), known=("a", "b"))[["a", "b"]].to_numpy().tolist() == [
            ["1", "2"],
            ["3", "4"],
        ]
    corners = "1," * 200_000
    path.write_text(f'a,b\n1,"{corners}"\n')
    assert read_csv_table(path, ("a", "b"))["b"].tolist() == [corners]
    for encoding in ("utf-16-le", "utf-32"):
        path.write_text("a,b\n" + "1,2\n" * 20, encoding=encoding)
        with pytest.raises(SourceError, match="every other byte of it is 0, as in UTF-16 without its mark. Save it as"):
            read_csv_table(path, ("a",))


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="these systems have no such names")
def test_a_name_that_is_no_utf8_costs_its_own_file_only(tmp_path: Path) -> None:
    rows = ["D1-0001,L,50,2,mass,Malignant,", "D1-0002,R,51,2,mass,Benign,"]
    files = [("D1-0001", "1-1.dcm", "L", "CC"), ("D1-0002", "1-1.dcm", "R", "CC"), ("X1", "1-1.dcm", "L", "CC")]
    source = write_cmmd(tmp_path / "cmmd", rows, files)
    for patient in ("D1-0002", "X1"):  # one of the table, and a stranger of whom a decision tells
        (source / "CMMD" / patient).rename(source / "CMMD" / os.fsdecode(patient.encode() + b"_M\xe4rz"))
    found = ingest(source, tmp_path / "out", IngestSettings(collection="cmmd"))
    assert list(found.mammograms["patient_id"]) == ["D1-0001"]
    rule, told = excluded(found)["D1-0002_1-1"]
    assert rule == "unreadable"
    assert "CMMD/D1-0002_M\\udce4rz/" in told
    assert "is a name that is not valid UTF-8, which tables cannot hold. Rename the file, or the folder above" in told
    assert "X1_M\\udce4rz" in " ".join(found.decisions["found"])
    assert audit(source, AuditSettings(collection="cmmd")).findings
    with pytest.raises(ArtifactError, match="is a name that is not valid UTF-8"):
        audit(source / "CMMD" / os.fsdecode(b"X1_M\xe4rz"), AuditSettings(collection="cmmd"))


def test_a_cell_without_end_does_not_flood_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pictures(tmp_path)
    with (tmp_path / "own.csv").open("a") as table:
        table.write(f"{'x' * 10**6},,p9,normal\n")
    found = ingest(tmp_path / "own.csv", tmp_path / "out", TABLE, progress=LineProgress())
    assert len(found.exclusions["found"].iloc[0]) > 10**6
    said = capsys.readouterr().err
    assert " letters left out] " in said
    assert len(said) < 30_000


def test_whatever_a_reader_of_tables_raises_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(source: Path, settings: IngestSettings) -> Any:
        return [][1]

    monkeypatch.setitem(collections.COLLECTIONS, "table", collections.CollectionReader(stumble))
    with pytest.raises(SourceError, match=r"cannot be read as table \(IndexError: list index out of range\)"):
        collections.read_collection(tmp_path, IngestSettings(collection="table"))


@pytest.mark.parametrize("source", ["nowhere", "a\0b", "x" * 5000])
def test_a_source_that_is_not_there_or_cannot_be_is_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(SourceError, match=r"does not exist. Give the folder \(or table\) of the collection."):
        ingest(source, tmp_path / "out", IngestSettings(collection="table"))
