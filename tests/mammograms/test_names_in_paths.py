"""Names of files that contradict the rows of a table, and those that only seem to."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from mammofill.mammograms.sources.names_in_paths import names_that_contradict, persons_in_folders


def told(*rows: str) -> list[tuple[str, str, str]]:
    """Rows like "image,mask,patient,laterality,view,pathology" -> what, rule and what was found."""
    columns = ("image", "mask", "patient", "laterality", "view", "pathology")
    read = [
        dict(zip(columns, row.split(","), strict=True)) | {"row": f"own.csv row {number}"}
        for number, row in enumerate(rows, start=2)
    ]
    names = {row["image"]: str(PurePosixPath(row["image"]).with_suffix("")) for row in read}
    return [(one.what, one.rule, one.found) for one in names_that_contradict(read, names)]


OTHERS = ("benign/P8_L_CC.png,,P8,left,cc,benign", "malignant/P9_RMLO.png,,P9,right,mlo,malignant")


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("a/P1_R_CC.png,,P1,left,cc,benign", "the name of a/P1_R_CC.png says right, where the table says left."),
        ("a/P1_lmlo.png,,P1,L,cc,benign", "the name of a/P1_lmlo.png says mlo, where the table says cc."),
        ("R/P1.png,,P1,left,,benign", "the name of R/P1.png says right, where the table says left."),
        ("malignant/P1.png,,P1,,,benign",
         "the name of malignant/P1.png says malignant, where the table has only benign lesions of the patient."),
        ("a/P9-left.png,,P1,left,,benign", "the name of a/P9-left.png says P9, where the table says P1."),
    ],
)  # fmt: skip
def test_a_name_that_says_something_else_than_its_row_is_told(row: str, found: str) -> None:
    what = row.split(".", 1)[0]
    assert told(*OTHERS, row) == [(what, "file-contradicts-table", f"own.csv row 4: {found}")]


@pytest.mark.parametrize(
    "row",
    [
        "a/P1_Left.png,,P1,L,CC,benign",
        "a/P1_right_crop.png,,P1,,cc,benign",  # the table says nothing of the side
        "a/rl_roll.png,,P1,left,cc,benign",  # no whole words
        "a/R_L.png,,P1,left,cc,benign",  # says both
        "malignant/P1_r.png,,P1,right,cc,normal",  # the other breast of a patient with cancer
        "P9/P1.png,,P1,left,cc,benign",  # names its own patient as well
        "a/9.png,,P1,left,cc,benign",  # a number may count anything
    ],
)
def test_a_name_that_only_seems_to_contradict_is_not_told(row: str) -> None:
    assert told(*OTHERS, row) == []


def test_a_name_of_words_without_end_is_not_taken_apart() -> None:
    assert told(*OTHERS, f"{'a_' * 10**5}P9.png,,P1,left,cc,benign") == []


def test_what_all_names_say_alike_tells_nothing() -> None:
    """As ``_r`` does where it means "reduced"."""
    rows = ("P1_r.png,,P1,left,cc,benign", "P2_r.png,,P2,right,cc,malignant")
    assert told(*(f"normal/{row}" for row in rows)) == []


def test_a_mask_called_after_another_image_is_told() -> None:
    rows = ("i/P2_L_CC.png,m/P10_L_CC_mask.png,P2,left,cc,benign", "i/P10_L_CC.png,m/P10_L_CC_2.png,P10,left,cc,benign")
    assert told(*rows) == [
        ("i/P2_L_CC", "mask-names-other-image",
         "own.csv row 2: the mask m/P10_L_CC_mask.png of i/P2_L_CC.png has the name of another image, "
         "i/P10_L_CC.png."),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [
        "P1/2.png,P1/lesion_1.png,P1,left,cc,benign",  # numbers alone
        "P1_L_CC.png,P1_L_CC_2.png,P1,left,cc,benign",  # its second lesion, though P1_L_CC_2.png is an image
        "P1_L_CC_raw.png,P1_L_CC_2_mask.png,P1,left,mlo,benign",  # another picture of the same view
    ],
)
def test_a_mask_that_only_seems_to_be_of_another_image_is_not_told(row: str) -> None:
    assert told("P1_L_CC_2.png,,P1,left,mlo,benign", "P3/1.png,,P3,right,cc,malignant", row) == []


def test_many_such_rows_are_told_first_as_one() -> None:
    right = [f"P{number}_{'LR'[number % 2]}_CC.png,,P{number}" for number in range(1, 7)]
    slipped = [f"P{number},{('left', 'right')[number % 2]},cc,benign" for number in (3, 4, 5, 6, 1, 2)]
    rows = [f"{image.rsplit(',', 1)[0]},{rest}" for image, rest in zip(right, slipped, strict=True)]
    first, *each = told(*rows)
    assert first == (
        "collection",
        "names-contradict-rows",
        "The names of the files of 6 of 6 images contradict their rows. The first: own.csv row 2: the name of "
        "P1_R_CC.png says P1, where the table says P3.",
    )
    assert len(each) == 6
    assert told(*(f"{image},left,cc,benign" for image in right[:2])) != []
    assert "collection" not in {what for what, _, _ in told(*(f"{image},left,cc,benign" for image in right[:2]))}


def in_folders(*rows: str) -> list[tuple[str, str]]:
    read = [{"image": row.split(",")[0], "patient": row.split(",")[1], "row": ""} for row in rows]
    return [(one.rule, one.found) for one in persons_in_folders(read)]


def test_a_folder_called_like_a_person_that_holds_several_patients_is_told() -> None:
    rows = ("x/P001/e1/l.png,7001", "x/P001/e2/l.png,9103", "x/P001/e2/r.png,9103", "x/P002/l.png,7038")
    assert in_folders(*rows) == [
        ("folder-of-several-patients", "The folder P001 holds images of the patients 7001 and 9103.")
    ]


@pytest.mark.parametrize(
    "rows",
    [
        ("P001/l.png,1", "P001/r.png,P1", "P002/l.png,2"),  # one patient, spelled in two ways
        ("2019/l.png,7001", "2019/r.png,9103"),  # a number may be a year or a part
        ("batch1/l.png,7001", "batch1/r.png,9103"),
        ("benign/l.png,7001", "benign/r.png,9103"),
        ("p1/l.png,7001", "p1/r.png,9103", "p2/l.png,7001"),  # parts: a patient is in two
        ("P001/l.png,7001", "P001/r.png,9103", "other/l.png,5"),
        ("p1/l.png,7001", "p1/r.png,9103"),  # the one folder of all
        ("p2/l.png,1", *(f"p1/{number}.png,{number + 7000}" for number in range(11))),
    ],
)
def test_other_folders_of_several_patients_are_not_told(rows: tuple[str, ...]) -> None:
    assert in_folders(*rows) == []
