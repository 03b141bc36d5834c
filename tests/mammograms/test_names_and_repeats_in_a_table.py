"""What a table of one's own may name, and how: names of files, spellings, rows that are there twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from collections_on_disk import film

from mammofill.ground.errors import SourceError, TooFewError
from mammofill.ground.progress import LineProgress
from mammofill.mammograms import IngestSettings, MammogramSet, ingest
from mammofill.mammograms.sources.annotations import Collection
from mammofill.mammograms.sources.collections import read_collection
from mammofill.mammograms.sources.csv_table import files_under, read_csv_table, rows_of
from mammofill.mammograms.sources.table import read_table

HEADER = "image,mask,patient,pathology"
TABLE = IngestSettings(collection="table")


def write(folder: Path, *rows: str, header: str = HEADER, same: bool = False) -> Path:
    """Write a table, and a picture for each image and each mask in it that names a file; n.png is another mask.

    Pictures differ by their names, unless all are to be the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((60, 40), np.uint8)
    mask[20:30, 10:20] = 255
    for row in rows:
        image, mask_name = row.split(",")[:2]
        picture = (film(0 if same else len(image) + ord(image[0]), rows=60, columns=40) >> 8).astype(np.uint8)
        for name, pixels in ((image, picture), (mask_name, mask)):
            if name.strip("./"):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                drawn = np.roll(pixels, 6, axis=0) if path.name == "n.png" else pixels
                path.write_bytes(cv2.imencode(".png", drawn)[1].tobytes())
    (folder / "own.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def made(tmp_path: Path, *rows: str, header: str = HEADER) -> MammogramSet:
    return ingest(write(tmp_path / "own", *rows, header=header), tmp_path / "out", TABLE)


def read(folder: Path, *rows: str, header: str, settings: IngestSettings = TABLE) -> Collection:
    return read_collection(write(folder, *rows, header=header), settings)


@pytest.mark.parametrize("column", ["patient_id", "Subject", "MRN", "hospital patient no."])
def test_a_further_column_that_joins_patients_is_refused(tmp_path: Path, column: str) -> None:
    rows = ("a.png,m.png,E1,benign,W1", "b.png,,E2,normal,W2", "c.png,,E3,normal,w-1")
    told = rf"patient and {column.lower()} disagree .*own.csv row 2 and own.csv row 4 have 'E1' and 'E3' .*'w-1' as"
    with pytest.raises(SourceError, match=told):
        read(tmp_path, *rows, header=f"{HEADER},{column}")


@pytest.mark.parametrize(
    ("column", "patients", "cells"),
    [("patient_id", "P_001 P_001 P_002", "1 1 2"), ("patient_id", "W1 W1 W2", "E1 E2 E3"),
     ("patient_id", "A-1 B-1 B-2", "1 1 2"), ("mrn", "E1 E2 E3", "0 000 5"), ("mrn", "E1 E2 E3", "NaN nan 5"),
     ("patient_id", "E1 E2 E3", "anything anything anything"), ("patient_age", "E1 E2 E3", "50 60 50"),
     ("patient_name", "E1 E2 E3", "Doe Roe Doe")],
)  # fmt: skip
def test_a_further_column_that_joins_nobody_does_no_harm(
    tmp_path: Path, column: str, patients: str, cells: str
) -> None:
    triples = zip("abc", patients.split(), cells.split(), strict=True)
    rows = [f"{name}.png,,{patient},normal,{cell}" for name, patient, cell in triples]
    assert len(read(tmp_path, *rows, header=f"{HEADER},{column}").mammograms) == 3


def test_a_table_of_many_columns_is_one_array_and_not_a_thousand(tmp_path: Path) -> None:
    columns = [f"feature {number}" for number in range(1000)]
    rows = [f"{name}.png,{mask}.png,P{name},benign{',0.5' * 1000}" for name, mask in ("am", "bn")]
    source = write(tmp_path, *rows, header=",".join([HEADER, *columns]))
    table = read_csv_table(source / "own.csv", ("image",))
    assert set(table.dtypes.iloc[:-1]) == {np.dtype(object)}  # text of pandas' own kind takes minutes to read by rows
    assert [row["feature 999"] for row in rows_of(table)] == ["0.5", "0.5"]
    lesions = [lesion for entry in read_collection(source, TABLE).mammograms for lesion in entry.lesions]
    assert [len(lesion.attributes) for lesion in lesions] == [1000, 1000]


OF_SPLIT = ("a.png,m.png,P1,benign,Test", "b.png,,P2,normal,", "c.png,,P3,normal,train")


@pytest.mark.parametrize("column", ["splits", "subset", "official_split", "Data Split"])
def test_a_split_in_a_column_of_another_name_is_told_and_not_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str
) -> None:
    source = write(tmp_path / "own", *OF_SPLIT, header=f"{HEADER},{column}")
    found = ingest(source, tmp_path / "out", TABLE, progress=LineProgress())
    said = f"own.csv has nothing in a column split, but its column {column.lower()!r} says Test (1x), train (1x). Did"
    assert said in capsys.readouterr().err
    assert "column-called-otherwise" in set(found.decisions["rule"])
    assert found.mammograms["official_split"].isna().all()


@pytest.mark.parametrize(
    ("column", "cells"),
    [("fold", ("0", "1", "2")), ("cv_fold", ("a", "b", "b")), ("Is test", ("1", "", "0")),
     ("is_train", ("yes", "no", "no")), ("holdout", ("", "x", "")), ("Usage", ("Training", "Public test", "Test")),
     ("partition", ("1", "2", "3")), ("set", ("training set", "test set", "test_set")),
     ("phase", ("train", "eval", "train")), ("cohort", ("development", "holdout", "Validation"))],
)  # fmt: skip
def test_a_split_in_other_words_or_numbers_is_told(tmp_path: Path, column: str, cells: tuple[str, ...]) -> None:
    rows = [f"{name}.png,,P{name},normal,{cell}" for name, cell in zip("abc", cells, strict=True)]
    decisions = read(tmp_path, *rows, header=f"{HEADER},{column}").decisions
    assert [(one.what, one.rule) for one in decisions] == [(column.lower(), "column-called-otherwise")]
    assert f"its column {column.lower()!r} says" in decisions[0].found
    assert "Rename the column to split, with the words train, validation and test" in decisions[0].done


@pytest.mark.parametrize(
    ("column", "cells"),
    [("fold", ("1", "1", "1")), ("site", ("0", "1", "0")), ("set", ("A", "B", "A")), ("test", ("pos", "neg", "pos")),
     ("data", ("public", "private", "public")), ("note", ("train and test", "test", "train"))],
)  # fmt: skip
def test_columns_that_hold_no_split_are_not_told(tmp_path: Path, column: str, cells: tuple[str, ...]) -> None:
    rows = [f"{name}.png,,P{name},normal,{cell}" for name, cell in zip("abc", cells, strict=True)]
    assert not read(tmp_path, *rows, header=f"{HEADER},{column}").decisions


@pytest.mark.parametrize(
    ("header", "split", "cells"),
    [("set", "patients", ("test", "train", "train")), ("set", "auto", ("train", "train", "train")),
     ("set", "auto", ("train", "test", "third")), ("Split", "auto", ("train", "test", "train"))],
)  # fmt: skip
def test_no_split_is_missed_where_there_is_one_or_none(
    tmp_path: Path, header: str, split: str, cells: tuple[str, ...]
) -> None:
    rows = [f"{name}.png,,P{name},normal,{cell}" for name, cell in zip("abc", cells, strict=True)]
    found = read(tmp_path, *rows, header=f"{HEADER},{header}", settings=replace(TABLE, split=split))  # type: ignore[arg-type]
    assert not found.decisions


@pytest.mark.parametrize("column", ["mask2", "Mask_2", "mask 1", "mask.1", "second mask", "mask_path_2"])
def test_masks_of_further_lesions_in_a_row_are_told(tmp_path: Path, column: str) -> None:
    rows = ("a.png,m.png,P1,benign,m2.png", "b.png,m3.png,P2,benign,", "c.png,,P3,normal,")
    found = read(tmp_path, *rows, header=f"{HEADER},{column}")
    assert [entry.all_lesions_located for entry in found.mammograms] == [False, True, True]
    assert [(one.rule, one.found) for one in found.decisions] == [
        ("column-called-otherwise", f"own.csv has a further column {column.lower()!r} with something in 1 row.")
    ]
    assert "Give each lesion a row of its own" in found.decisions[0].done


@pytest.mark.parametrize("column", ["breast_mask", "mask_area", "pectoral mask", "mask_source", "mask_0_share"])
def test_columns_that_speak_of_a_mask_hold_no_further_lesions(tmp_path: Path, column: str) -> None:
    found = read(tmp_path, "a.png,m.png,P1,benign,7", header=f"{HEADER},{column}")
    assert found.mammograms[0].all_lesions_located
    assert not found.decisions


@pytest.mark.parametrize(
    ("column", "cells", "target"),
    [("lesion_type", ("Calcification", "mass", ""), "abnormality"), ("kind", ("calc", "masses", "mass"), "abnormality"),
     ("side", ("L", "R", "L"), "laterality"), ("breast", ("left", "Right", ""), "laterality"),
     ("projection", ("CC", "mlo", "CC"), "view")],
)  # fmt: skip
def test_kinds_sides_and_views_in_a_column_of_another_name_are_told(
    tmp_path: Path, column: str, cells: tuple[str, ...], target: str
) -> None:
    rows = [f"{name}.png,m{name}.png,P{name},benign,{cell}" for name, cell in zip("abc", cells, strict=True)]
    (told,) = read(tmp_path / "own", *rows, header=f"{HEADER},{column}").decisions
    assert told.rule == "column-called-otherwise"
    assert f"has nothing in a column {target}, but its column {column!r} says" in told.found
    assert f"Rename the column to {target} to have it read." in told.done
    filled = [f"{row},{'left' if target == 'laterality' else 'cc' if target == 'view' else 'mass'}" for row in rows]
    assert not read(tmp_path / "filled", *filled, header=f"{HEADER},{column},{target}").decisions


def test_another_pathology_in_a_further_column_is_told(tmp_path: Path) -> None:
    rows = ("a.png,m.png,P1,benign,Malignant", "b.png,n.png,P2,malignant,MALIGNANT", "c.png,,P3,normal,")
    (told,) = read(tmp_path / "own", *rows, header=f"{HEADER},patient_pathology").decisions
    assert (told.rule, told.found) == (
        "pathology-twice",
        "own.csv has another pathology in 'patient_pathology' than in pathology in 1 row, the first own.csv row 2 "
        "(malignant, benign).",
    )
    rows = (rows[1], "a.png,m.png,P1,benign,fibroadenoma")
    assert not read(tmp_path / "other", *rows, header=f"{HEADER},diagnosis").decisions


def test_names_of_columns_may_have_spaces_hyphens_and_capitals(tmp_path: Path) -> None:
    row = "a.png,m.png,P1,benign,0.07,calcification"
    entry = read(tmp_path, row, header="Image,MASK,patient_,Pathology,Spacing-MM,Abnormality").mammograms[0]
    assert (entry.spacing_mm, entry.lesions[0].abnormality, entry.lesions[0].attributes) == (0.07, "calcification", {})
    with pytest.raises(SourceError, match="more than one column called spacing_mm"):
        read(tmp_path, f"{row},0.08", header=f"{HEADER},spacing mm,abnormality,spacing_mm")


@pytest.mark.parametrize("column", ["row", "Row"])
def test_a_column_called_row_is_kept(tmp_path: Path, column: str) -> None:
    found = read(tmp_path, "a.png,m.png,P1,benign,17", header=f"{HEADER},{column}")
    lesion = found.mammograms[0].lesions[0]
    assert (lesion.attributes, lesion.source) == ({"row_in_file": "17"}, "own.csv row 2")


def test_the_abnormality_type_of_cbis_is_read_where_its_words_are_known(tmp_path: Path) -> None:
    rows = ("a.png,m.png,P1,benign,Calcification", "b.png,n.png,P2,benign,")
    found = read(tmp_path / "a", *rows, header=f"{HEADER},abnormality type")
    assert [entry.lesions[0].abnormality for entry in found.mammograms] == ["calcification", "mass"]
    assert found.decisions[0].done == "Read as abnormality."
    rows = (*rows, "c.png,m2.png,P3,benign,asymmetry")
    found = read(tmp_path / "b", *rows, header=f"{HEADER},abnormality_type")
    assert {entry.lesions[0].abnormality for entry in found.mammograms} == {"mass"}
    assert "It says 'asymmetry', which is neither mass" in found.decisions[0].found


def test_files_called_by_their_uid_keep_its_last_number(tmp_path: Path) -> None:
    found = made(tmp_path, "1.2.840.1,m.png,P1,benign", "1.2.840.2,,P2,normal")
    assert found.mammograms["mammogram_id"].tolist() == ["1.2.840.1", "1.2.840.2"]
    assert found.lesions["lesion_id"].tolist() == ["1.2.840.1_1"]


@pytest.mark.parametrize(
    "images",
    [
        ("\u043b\u0435\u0432\u0430\u044f.png", "\u043f\u0440\u0430\u0432\u0430\u044f.png"),
        ("M\u00fcller1.png", "M\u00f6ller1.png"),
        ("x (1).png", "x [1].png"),
        ("a-x.png", "a/x.png"),
    ],
)
def test_names_of_which_the_same_is_left_do_not_stop_a_table(tmp_path: Path, images: tuple[str, str]) -> None:
    found = made(tmp_path, f"{images[0]},m.png,P1,benign", f"{images[1]},n.png,P2,malignant", "c.png,,P3,normal")
    names = found.mammograms.set_index("source_file")["mammogram_id"]
    assert sorted(names.index) == sorted([*images, "c.png"])
    assert names["c.png"] == "c"
    assert names.is_unique
    assert {path.stem for path in (tmp_path / "out" / "images").iterdir()} == set(names)


def test_a_long_path_becomes_a_name_that_a_disk_takes(tmp_path: Path) -> None:
    long = "/".join(["a" * 100] * 3)
    found = made(tmp_path, f"{long}/x.png,m.png,P1,benign", f"{long}y/x.png,,P2,normal", "z.png,,P3,normal")
    names = found.mammograms["mammogram_id"].tolist()
    assert len(set(names)) == 3
    assert max(map(len, names)) < 180
    assert all(found.image(name).shape == (60, 40) for name in names)


@pytest.mark.parametrize("image", [".", "/"])
def test_an_image_that_names_no_file_is_a_row(tmp_path: Path, image: str) -> None:
    found = made(tmp_path, f"{image},,P1,normal", "b.png,,P2,normal")
    assert found.exclusions["rule"].tolist() == ["file-missing"]


def test_one_file_under_two_patients_is_not_two_mammograms(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"d/\.\./d/a.png and d/a.png are the same file"):
        made(tmp_path, "d/a.png,,P1,normal", "d/../d/a.png,,P2,normal")


def test_a_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="more than one column called image"):
        made(tmp_path, "a.png,m.png,P1,benign,a.png", header=f"{HEADER},Image")


def test_a_spacing_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="'inf' as spacing_mm"):
        made(tmp_path, "a.png,,P1,normal,inf", header=f"{HEADER},spacing_mm")


def test_a_row_that_is_there_twice_is_one_lesion(tmp_path: Path) -> None:
    found = made(tmp_path, "a.png,m.png,P1,benign", "a.png,m.png,P1,benign", "a.png,n.png,P1,malignant")
    assert found.lesions["lesion_id"].tolist() == ["a_1", "a_3"]
    assert found.exclusions[["what", "rule"]].to_numpy().tolist() == [["own.csv row 3", "row-repeated"]]
    assert found.mammograms["all_lesions_located"].tolist() == [True]


def test_a_row_that_repeats_a_lesion_but_for_what_else_is_known_says_so(tmp_path: Path) -> None:
    rows = ("a.png,m.png,P1,benign,oval,1", "a.png,m.png,P1,benign,round,1", "b.png,n.png,P2,malignant,oval,1")
    found = read(tmp_path, *rows, header=f"{HEADER},shape,site")
    (repeated,) = found.exclusions
    assert (repeated.what, repeated.rule) == ("own.csv row 3", "row-repeated")
    assert repeated.found.endswith(
        "repeats own.csv row 2: the mask m.png, but for shape, of which the first row's is kept."
    )


def test_a_lesion_that_rows_call_benign_and_malignant_is_neither(tmp_path: Path) -> None:
    twice = ("a.png,m.png,P1,benign", "a.png,./m.png,P1,malignant")
    with pytest.raises(TooFewError, match="no lesion is left. Excluded: rows-disagree 1"):
        made(tmp_path, *twice)
    found = made(tmp_path, *twice, "b.png,m.png,P2,benign")
    assert found.lesions["lesion_id"].tolist() == ["b_1"]
    assert found.exclusions[["what", "rule"]].to_numpy().tolist() == [["a_1", "rows-disagree"]]
    assert "own.csv row 2, own.csv row 3 all name the mask m.png" in found.exclusions["found"][0]
    assert found.mammograms["all_lesions_located"].tolist() == [False, True]


def test_a_copy_of_a_mask_is_one_lesion_and_with_two_pathologies_none(tmp_path: Path) -> None:
    same = made(tmp_path / "s", "a.png,m.png,P1,benign", "a.png,copy.png,P1,benign", "b.png,,P2,normal")
    assert same.lesions["lesion_id"].tolist() == ["a_1"]
    assert same.exclusions[["what", "rule"]].to_numpy().tolist() == [["a_2", "row-repeated"]]
    assert same.mammograms["all_lesions_located"].all()
    two = made(tmp_path / "t", "a.png,m.png,P1,benign", "a.png,copy.png,P1,malignant", "b.png,m2.png,P2,benign")
    assert two.lesions["lesion_id"].tolist() == ["b_1"]
    assert two.exclusions["found"].tolist() == ["a_1 and a_2 have the same mask, and are called benign and malignant."]
    assert two.mammograms["all_lesions_located"].tolist() == [False, True]


def test_an_image_that_is_called_normal_and_a_lesions_gives_no_normal_patches(tmp_path: Path) -> None:
    found = made(tmp_path, "a.png,m.png,P1,benign", "a.png,,P1,normal", "b.png,,P2,normal")
    assert found.exclusions[["what", "rule"]].to_numpy().tolist() == [["own.csv row 3", "rows-disagree"]]
    assert found.mammograms["all_lesions_located"].tolist() == [False, True]
    assert found.lesions["lesion_id"].tolist() == ["a_1"]


def test_the_first_of_each_rule_is_named_and_not_only_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ("a.png,m.png,P1,benign", "a.png,copy.png,P1,benign", "b.png,,P2,normal")
    ingest(write(tmp_path / "own", *rows), tmp_path / "out", TABLE, progress=LineProgress())
    said = capsys.readouterr().err
    assert "excluded: row-repeated 1; decided: nothing" in said
    assert "  exclusions.parquet, row-repeated: " in said
    assert "a_2" in said
    assert "decisions.parquet" not in said


def test_one_file_under_two_patients_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ("a.png,m.png,P1,benign", "b.png,,P2,normal")
    found = ingest(write(tmp_path / "own", *rows, same=True), tmp_path / "out", TABLE, progress=LineProgress())
    said = capsys.readouterr().err
    assert "patients that may be one person: 1, all in decisions.parquet. The first: a.png of P1 (" in said
    assert "nothing keeps her in one split: give her one name." in said
    told = found.decisions[found.decisions["rule"] == "image-of-two-patients"]["found"].tolist()
    assert len(told) == 1
    assert told[0].startswith("a.png of P1 (")
    assert told[0].endswith("are the same file.")


def test_accents_in_names_of_files_may_be_stored_in_two_ways(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", "u\u0308.png,m\u0308.png,P1,benign", "b.png,,P2,normal")
    table = (folder / "own.csv").read_text()
    (folder / "own.csv").write_text(table.replace("u\u0308", "\u00fc"))
    found = ingest(folder, tmp_path / "out", TABLE)
    assert not len(found.exclusions)
    assert len(found.lesions) == 1


@pytest.mark.parametrize(("shift", "pathology", "kept"), [(1, "benign", ["a_1"]), (1, "malignant", []),
                                                          (4, "malignant", ["a_1", "a_2"])])  # fmt: skip
def test_masks_of_two_readers_are_one_lesion(tmp_path: Path, shift: int, pathology: str, kept: list[str]) -> None:
    source = write(tmp_path / "own", "a.png,m.png,P1,benign", f"a.png,o.png,P1,{pathology}", "b.png,m2.png,P2,benign")
    mask = cv2.imread(str(source / "m.png"), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(source / "o.png"), np.roll(mask, shift, axis=0))
    found = ingest(source, tmp_path / "out", TABLE)
    assert found.lesions["lesion_id"].tolist() == [*kept, "b_1"]
    assert found.mammograms["all_lesions_located"].tolist() == [bool(kept), True]
    if kept == ["a_1"]:
        told = found.decisions.set_index("rule").loc["masks-of-one-lesion"]
        assert told["found"] == "a_1 and a_2 have masks that share 82% of their area: they are outlines of one lesion."
        assert told["done"] == "It counts once, with the mask of a_1."
    if not kept:
        assert found.exclusions["found"].tolist() == [
            "a_1 and a_2 have masks that share 82% of their area, and are called benign and malignant."
        ]


def test_nearly_the_same_masks_of_two_kinds_of_lesions_are_two(tmp_path: Path) -> None:
    rows = "a.png,m.png,P1,benign,mass", "a.png,o.png,P1,malignant,calcification"
    source = write(tmp_path / "own", *rows, header=f"{HEADER},abnormality")
    mask = cv2.imread(str(source / "m.png"), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(source / "o.png"), np.roll(mask, 1, axis=0))
    assert ingest(source, tmp_path / "out", TABLE).lesions["lesion_id"].tolist() == ["a_1", "a_2"]


@pytest.mark.parametrize("apart", [1, 2, 3])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_quotation_mark_that_takes_rows_for_one_cell_is_refused(tmp_path: Path, apart: int, separator: str) -> None:
    rows = [f"{name}.png,,P{name},normal," for name in "abcdef"]
    rows[1] += '"see film'
    rows[1 + apart] += '3 x 4"'
    (tmp_path / "own.csv").write_text("\n".join([f"{HEADER},note", *rows]).replace(",", separator))
    with pytest.raises(SourceError, match="a quotation mark in the row that begins in line 3 takes lines .*'see film"):
        read_table(tmp_path, TABLE)


def test_a_quotation_mark_that_opens_in_the_middle_of_a_row_is_refused(tmp_path: Path) -> None:
    rows = ('a.png,"m.png,P1,benign,', 'b.png,n.png",P2,benign,', "c.png,,P3,normal,")
    (tmp_path / "own.csv").write_text("\n".join([f"{HEADER},note", *rows]))
    with pytest.raises(SourceError, match="the row that begins in line 2 takes lines below it for one cell"):
        read_table(tmp_path, TABLE)


@pytest.mark.parametrize(
    "note",
    ["m.png\n", "\n\n", "round, dense\nlarge, spiculated, with calcifications, seen in CC, not in MLO\n1,5 x 2,5 cm",
     "a, b, c, d, e\na, b, c, d, e", "first\nsecond\nthird"],
)  # fmt: skip
def test_notes_of_several_lines_are_read(tmp_path: Path, note: str) -> None:
    (tmp_path / "own.csv").write_text(f'{HEADER},note\na.png,,P1,normal,"{note}"\nb.png,"\n",P2,normal,\n')
    assert len(read_table(tmp_path, TABLE).listed) == 2


def test_a_list_of_numbers_in_a_note_is_no_row(tmp_path: Path) -> None:
    source = write(tmp_path / "own", 'a.png,m.png,P1,benign,"box:\n10,20,30,40,50\nend"', header=f"{HEADER},notes")
    assert len(ingest(source, tmp_path / "out", TABLE).lesions) == 1


SIDED = "image,mask,patient,laterality,view,pathology"


@pytest.mark.parametrize(
    ("normal", "rule", "told"),
    [
        (
            "b.png,,p-1,L,cc,normal",
            "rows-disagree",
            "a, of the same view (p-1, left, CC), or of an earlier or later exam of it.",
        ),
        (
            "b.png,,P1,left,mlo,normal",
            "lesion-in-other-view",
            "a, of the same breast (P1, left), or of an earlier or later exam of it.",
        ),
        (
            "b.png,,P1,left,,normal",
            "lesion-in-other-view",
            "a, of the same breast (P1, left), or of an earlier or later exam of it.",
        ),
    ],
)
def test_an_image_of_a_breast_with_a_lesion_gives_no_normal_patches(
    tmp_path: Path, normal: str, rule: str, told: str
) -> None:
    found = read_table(write(tmp_path, "a.png,m.png,P1,left,cc,benign", normal, header=SIDED), TABLE)
    assert [(entry.mammogram_id, entry.all_lesions_located) for entry in found.mammograms] == [
        ("a", True),
        ("b", False),
    ]
    (decision,) = found.decisions
    assert (decision.what, decision.rule) == ("b", rule)
    assert decision.found == f"own.csv row 3 calls b normal, but own.csv row 2 speaks of a lesion in {told}"
    assert decision.done.startswith("Kept, and gives no normal patches")
    assert decision.done.endswith("If the pictures are crops, say --crops true.")


@pytest.mark.parametrize(
    "normal", ["b.png,,P1,right,cc,normal", "b.png,,P2,left,cc,normal", "b.png,,P1,,cc,normal"]
)  # fmt: skip
def test_an_image_of_another_or_an_unknown_breast_stays_normal(tmp_path: Path, normal: str) -> None:
    found = read_table(write(tmp_path, "a.png,m.png,P1,left,cc,benign", normal, header=SIDED), TABLE)
    assert all(entry.all_lesions_located for entry in found.mammograms)
    assert found.decisions == ()


def test_a_crop_beside_a_lesion_of_the_same_view_may_be_healthy(tmp_path: Path) -> None:
    rows = ("a.png,m.png,P1,left,cc,benign", "b.png,,P1,left,cc,normal")
    found = read_table(write(tmp_path, *rows, header=SIDED), replace(TABLE, crops=True))
    assert all(entry.all_lesions_located for entry in found.mammograms)


def test_notes_of_a_mac_beside_files_are_passed_by(tmp_path: Path) -> None:
    folder = write(tmp_path, "a.png,m.png,P1,benign")
    for path in list(folder.iterdir()):
        path.with_name(f"._{path.name}").write_bytes(bytes.fromhex("0005160700020000") + b"Mac OS X")
    assert [entry.mammogram_id for entry in read_table(folder, TABLE).mammograms] == ["a"]
    assert sorted(path.name for path in files_under(folder, (".csv", ".png"))) == ["a.png", "m.png", "own.csv"]


def test_the_mask_of_a_normal_image_must_mark_nothing(tmp_path: Path) -> None:
    rows = ("a.png,m.png,P1,benign", "b.png,empty.png,P2,normal", "c.png,k.png,P3,normal", "d.png,d.png,P4,normal")
    folder = write(tmp_path / "own", *rows, "e.png,,P5,normal")
    (folder / "empty.png").write_bytes(cv2.imencode(".png", np.zeros((60, 40), np.uint8))[1].tobytes())
    (folder / "d.png").write_bytes((folder / "e.png").read_bytes())
    (folder / "own.csv").write_text("\n".join([HEADER, *rows, "e.png,gone.png,P5,normal"]) + "\n")
    found = ingest(folder, tmp_path / "out", TABLE)
    located = dict(zip(found.mammograms["mammogram_id"], found.mammograms["all_lesions_located"], strict=True))
    assert located == {"a": True, "b": True, "c": False, "d": False, "e": False}
    told = found.exclusions.set_index("what")[["rule", "found"]].T.to_dict("list")
    assert told["c"] == [
        "normal-with-mask",
        "c is called normal, and its mask k.png marks 100 pixels. Call the lesion benign or malignant, or leave the "
        "cell of the mask empty.",
    ]
    assert told["d"][0] == "mask-unreadable"
    assert told["e"][0] == "file-missing"
    assert told["e"][1].startswith("own.csv row 6 is normal and names the mask gone.png, but ")
    (decision,) = (one for one in found.decisions.to_dict("records") if one["rule"] == "normal-with-empty-mask")
    assert decision["found"] == "b is called normal, and its mask empty.png marks no pixels."
    assert decision["done"] == "Taken for normal, as without a mask."


def densities(folder: Path, *cells: str, column: str = "density") -> Collection:
    rows = [f"{number}.png,,P{number},normal,{cell}" for number, cell in enumerate(cells)]
    return read(folder, *rows, header=f"{HEADER},{column}")


@pytest.mark.parametrize(
    ("word", "meant"),
    [("2.0", "2"), ("b", "B"), ("BI-RADS 2", "2"), ("birads B", "B"), ("ii", "2"), ("IV", "4"), ("ACR c", "C"),
     ("ACR3", "3"), ("Density A", "A"), ("Category_4", "4")],
)  # fmt: skip
def test_densities_in_other_spellings_are_understood_and_told(tmp_path: Path, word: str, meant: str) -> None:
    found = densities(tmp_path, "3", "D", word, word, "")
    assert [entry.density for entry in found.mammograms] == ["3", "D", meant, meant, None]
    (decision,) = found.decisions
    assert (decision.rule, decision.done) == ("density-word", f"Read as {meant}.")
    assert decision.found == f"own.csv says {word!r} for density (2x)."


def test_densities_that_are_no_class_are_kept_and_told(tmp_path: Path) -> None:
    assert not densities(tmp_path / "plain", "1", "2", "C", "D").decisions
    found = densities(tmp_path / "words", "dense", "fatty", "dense", "2", "BI-RADS 5", "acr")
    assert [entry.density for entry in found.mammograms] == ["dense", "fatty", "dense", "2", "BI-RADS 5", "acr"]
    (decision,) = found.decisions
    assert decision.found == (
        "own.csv says 'BI-RADS 5' (1x), 'acr' (1x), 'dense' (2x), 'fatty' (1x) for density, which is no class of "
        "BI-RADS (1 to 4, or A to D)."
    )
    assert decision.done == "Kept as it stands: subgroups have this name, and no infiller can be asked for it."
    shares = densities(tmp_path / "shares", "0", "1", "2.0", "12.5", "7", "8", "9")
    assert [entry.density for entry in shares.mammograms] == ["0", "1", "2.0", "12.5", "7", "8", "9"]
    (decision,) = shares.decisions
    assert decision.found.startswith("own.csv says '0' (1x), '12.5' (1x), '7' (1x), '8' (1x), '9' (1x) for density, ")
    assert decision.done.endswith("classes counted from 0, then 1 to 4 in this column are no classes.")


@pytest.mark.parametrize("column", ["breast_density", "ACR", "BI-RADS density"])
def test_a_density_in_a_column_of_another_name_is_told(tmp_path: Path, column: str) -> None:
    found = densities(tmp_path / "told", "2", "b", "", column=column)
    assert [entry.density for entry in found.mammograms] == [None, None, None]
    (decision,) = found.decisions
    assert (decision.what, decision.rule) == (column.lower(), "column-called-otherwise")
    assert decision.found == (
        f"own.csv has nothing in a column density, but its column {column.lower()!r} says 2 (1x), b (1x). Did you mean "
        "density?"
    )
    assert not densities(tmp_path / "other", "2", "high", column=column).decisions
    assert not densities(tmp_path / "lesion", "2", "3", column="mass density").decisions


@pytest.mark.parametrize("word", ["nan", "None", "N/A", "<NA>", "unknown"])
def test_words_for_missing_values_are_empty_cells(tmp_path: Path, word: str) -> None:
    header = "image,mask,patient,pathology,laterality,view,split,abnormality,density,spacing_mm,bits"
    told = ",".join(7 * [word])
    source = write(tmp_path, "a.png,m.png,P1,benign,,,,,,,", header=header)
    write(tmp_path, f"b.png,,P2,normal,{told}", header=header)
    (source / "own.csv").write_text(
        "\n".join([header, f"a.png,m.png,P1,benign,{told}", f"b.png,{word},P2,normal,{told}"]) + "\n"
    )
    found = read_table(source, TABLE)
    assert (found.exclusions, found.decisions) == ((), ())
    a, b = found.mammograms
    assert [lesion.abnormality for lesion in a.lesions] == ["mass"]
    for entry in (a, b):
        assert (entry.laterality, entry.view, entry.official_split, entry.density) == (None, None, None, None)
        assert (entry.spacing_mm, entry.bits, entry.all_lesions_located) == (None, None, True)
    assert b.empty_masks == ()


@pytest.mark.parametrize(
    ("note", "what"),
    [
        ("# exported 2024-01-01", "a comment"),
        ("# exported, by hand", "a comment"),
        ("Total,,,8", "a row of totals"),
        ("Total:,,,8", "a row of totals"),
        ("total,,8,", "a row of totals"),
    ],
)
def test_comments_and_totals_are_not_read(tmp_path: Path, note: str, what: str) -> None:
    source = write(tmp_path, "a.png,m.png,P1,benign")
    (source / "own.csv").write_text(f"{HEADER}\n{note}\na.png,m.png,P1,benign\n")
    found = read_table(source, TABLE)
    assert (len(found.mammograms), found.exclusions) == (1, ())
    (decision,) = found.decisions
    assert (decision.what, decision.rule, decision.done) == ("own.csv row 2", "name-unknown", "Not read.")
    assert decision.found == f"own.csv row 2 is {what} and names no image: {note.split(',')[0]!r}."


def test_a_patient_with_a_hash_in_the_first_column_is_no_comment(tmp_path: Path) -> None:
    source = write(tmp_path, "a.png,m.png,P1,benign")
    (source / "own.csv").write_text("patient,image,mask,pathology\n#1,a.png,m.png,\n")
    found = read_table(source, TABLE)
    assert [row.rule for row in (*found.exclusions, *found.decisions)] == ["lesion-without-pathology"]


@pytest.mark.parametrize("row", ["#1.png,,,benign", "total_1.png,,,benign"])
def test_a_row_of_a_lesion_that_names_no_patient_is_no_note(tmp_path: Path, row: str) -> None:
    with pytest.raises(SourceError, match="own.csv row 2 names no patient. .* also where a spreadsheet merged cells."):
        read_table(write(tmp_path, row), TABLE)
