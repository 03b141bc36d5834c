"""What all readers promise: every row is listed, and each collection is recognised by its own reader only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from collections_on_disk import write_mini_mias
from published_layouts import write_cesm, write_cmmd, write_inbreast, write_vindr
from real_data import real_data

from mammofill.ground.errors import SourceError
from mammofill.mammograms import IngestSettings
from mammofill.mammograms.sources import cdd_cesm, cmmd, inbreast, mini_mias, table, vindr_mammo
from mammofill.mammograms.sources.csv_table import files_under, find_table, read_csv_table
from mammofill.mammograms.sources.mini_mias import read_mini_mias
from mammofill.mammograms.sources.table import read_table

MIAS = IngestSettings(collection="mini-mias")
TABLE = IngestSettings(collection="table")


def test_mini_mias_lists_every_row(tmp_path: Path) -> None:
    lines = ["mdb001 G CIRC B 100 900 20", "mdb001 G CALC M 5 6 7", "mdb003 D NORM", "mdb004 F MISC B",
             "mdb005 F CALC B *NOTE 3*", "mdb006 G SPIC M 10 10 5", "mdb008 G ARCH"]  # fmt: skip
    source = write_mini_mias(tmp_path, lines, ["mdb001"])
    found = read_mini_mias(source, MIAS)
    assert [entry.mammogram_id for entry in found.mammograms] == ["mdb001"]
    assert [
        (row.row, row.lesion_id, row.patient_id, row.laterality, row.pathology, row.abnormality, row.density)
        for row in found.listed
    ] == [
        ("Info.txt line 3", "mdb001_1", "mias-001", "left", "benign", "mass", "G"),
        ("Info.txt line 4", "mdb001_2", "mias-001", "left", "malignant", "calcification", "G"),
        ("Info.txt line 5", None, "mias-002", "left", "normal", None, "D"),
        ("Info.txt line 6", "mdb004_1", "mias-002", "right", "benign", "mass", "F"),
        ("Info.txt line 7", "mdb005_1", "mias-003", "left", "benign", "calcification", "F"),
        ("Info.txt line 8", "mdb006_1", "mias-003", "right", "malignant", "mass", "G"),
        ("Info.txt line 9", "mdb008_1", "mias-004", "right", None, "other", "G"),
    ]
    assert [row.missing for row in found.listed] == [
        (), (), (), ("x", "y", "radius"), ("x", "y", "radius"), (), ("severity", "x", "y", "radius"),
    ]  # fmt: skip
    assert read_mini_mias(source / "Info.txt", MIAS).listed == found.listed
    assert read_mini_mias(source / "Info.txt", MIAS).mammograms == ()


@pytest.mark.real_data
def test_the_real_mini_mias_is_listed_whole() -> None:
    found = read_mini_mias(real_data("mini_mias"), MIAS)
    assert len(found.listed) == 330  # 322 images, of which 7 have several rows
    assert len({row.mammogram_id for row in found.listed}) == 322
    assert sum("x" in row.missing for row in found.listed) == 4
    assert mini_mias.recognises(real_data("mini_mias"))


def test_a_table_of_your_own_lists_every_row(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(
        "image;mask;patient;pathology;split;view;density\n"
        "a/x.png;m.png;1;Benign;training;MLO;b\n"
        "a/x.png;m.png;1;malignant;training;MLO;b\n"
        "b/y.png;;2;normal;test;;\n"
        "b/z.png;;2;maybe;test;;\n"
    )
    found = read_table(tmp_path, TABLE)
    assert found.mammograms == ()
    assert [
        (row.row, row.mammogram_id, row.lesion_id, row.patient_id, row.pathology, row.abnormality, row.official_split)
        for row in found.listed
    ] == [
        ("own.csv row 2", "a-x", "a-x_1", "1", "benign", "mass", "train"),
        ("own.csv row 3", "a-x", "a-x_2", "1", "malignant", "mass", "train"),
        ("own.csv row 4", "b-y", None, "2", "normal", None, "test"),
        ("own.csv row 5", "b-z", "b-z_1", "2", None, "mass", "test"),
    ]
    assert [row.missing for row in found.listed] == [(), (), (), ("mask",)]
    assert [(row.view, row.density) for row in found.listed[1:3]] == [("mlo", "B"), (None, None)]


WRITERS: dict[str, Callable[[Path], Path]] = {
    "inbreast": lambda folder: write_inbreast(folder, ["L;CC;1;2;5"], {}, {}),
    "cdd-cesm": lambda folder: write_cesm(folder, [("P1_L_DM_MLO", "", "Benign")]),
    "vindr-mammo": lambda folder: write_vindr(folder, [], []),
    "cmmd": lambda folder: write_cmmd(folder, [], []),
    "mini-mias": lambda folder: write_mini_mias(folder, ["mdb003 D NORM"], []),
    "table": lambda folder: _own(folder),
}
READERS = {
    "inbreast": inbreast.recognises,
    "cdd-cesm": cdd_cesm.recognises,
    "vindr-mammo": vindr_mammo.recognises,
    "cmmd": cmmd.recognises,
    "mini-mias": mini_mias.recognises,
    "table": table.recognises,
}


def _own(folder: Path) -> Path:
    (folder / "own.csv").write_text("Image,Mask,Patient,Pathology\n")
    return folder


@pytest.mark.parametrize("name", list(WRITERS))
def test_each_collection_is_recognised_by_its_reader_only(tmp_path: Path, name: str) -> None:
    source = WRITERS[name](tmp_path)
    assert {reader for reader, recognises in READERS.items() if recognises(source)} == {name}
    endings = (".csv", ".txt")
    by_file = {
        reader for path in files_under(source, endings) for reader, recognises in READERS.items() if recognises(path)
    }
    assert by_file == {name}


def test_nothing_is_recognised_in_other_files(tmp_path: Path) -> None:
    (tmp_path / "Info.txt").write_text("about something else\n")
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "bytes.csv").write_bytes(bytes(range(256)))
    (tmp_path / "book.xlsx").write_bytes(b"PK")
    sources = [tmp_path, *tmp_path.iterdir()]
    assert not [(name, source) for name, recognises in READERS.items() for source in sources if recognises(source)]


def test_tables_deep_down_are_found_but_not_looked_for_to_recognise(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    write_cmmd(deep, [], [])
    assert not cmmd.recognises(tmp_path)
    assert find_table(tmp_path, ("ID1",), "t.csv") == deep / "CMMD_clinicaldata_revision.csv"
    (tmp_path / "copy.csv").write_bytes((deep / "CMMD_clinicaldata_revision.csv").read_bytes())
    assert find_table(tmp_path, ("ID1",), "t.csv") in (tmp_path / "copy.csv", deep / "CMMD_clinicaldata_revision.csv")
    (tmp_path / "copy.csv").write_text("ID1\nother\n")
    with pytest.raises(SourceError, match="could both be t.csv, and differ. Remove one"):
        find_table(tmp_path, ("ID1",), "t.csv")


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "a" / "one.csv").write_text("x\n")
    assert [path.name for path in files_under(tmp_path, (".csv",))] == ["one.csv"]


def test_cells_may_hold_commas_where_semicolons_separate(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfa; b ;c\r\n1,5;NA; x \r\n;;\r\n")
    rows = read_csv_table(path, ("a", "b"))
    assert rows.to_dict("records") == [{"a": "1,5", "b": "NA", "c": "x", "row": "t.csv row 2"}]
