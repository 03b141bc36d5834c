"""Pictures that are crops around one lesion: known as such, kept whole, and with what a table says of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from collections_on_disk import film

from mammofill.ground.errors import SourceError
from mammofill.mammograms import IngestSettings, MammogramSet, Tissue, ingest

TABLE = IngestSettings(collection="table", split="kfold", folds=3)
SIDE = 60


def disc(radius: float) -> np.ndarray:
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    return (rows - SIDE / 2) ** 2 + (columns - SIDE / 2) ** 2 <= radius**2


def square(margin: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[margin : SIDE - margin, margin : SIDE - margin] = True
    return mask


def write_crops(
    folder: Path,
    masks: list[np.ndarray],
    columns: str = "",
    cells: str = "",
    split: str = "",
    shown: np.ndarray | None = None,
) -> Path:
    """Write crops with dark borders, one for each mask, half of them malignant, and their table."""
    folder.mkdir(parents=True)
    header = "image,mask,patient,pathology" + (f",{columns}" if columns else "") + (",split" if split else "")
    rows = [header]
    random = np.random.default_rng(0)
    for number, mask in enumerate(masks):
        bright = np.where(disc(26), 150, 0) if shown is None else shown
        picture = bright + random.integers(0, 20, mask.shape)
        for name, pixels in ((f"c{number}.png", picture.astype(np.uint8)), (f"m{number}.png", mask.astype(np.uint8))):
            (folder / name).write_bytes(cv2.imencode(".png", pixels * (255 if name[0] == "m" else 1))[1].tobytes())
        row = f"c{number}.png,m{number}.png,P{number},{('benign', 'malignant')[number % 2]}"
        rows.append(row + (f",{cells}" if cells else "") + (f",{split}" if split else ""))
    (folder / "own.csv").write_text("\n".join(rows) + "\n")
    return folder


def decisions(mammograms: MammogramSet, rule: str) -> list[str]:
    return mammograms.decisions["what"][mammograms.decisions["rule"] == rule].tolist()


def test_a_lesion_may_fill_a_crop_all_of_which_is_breast(tmp_path: Path) -> None:
    source = write_crops(tmp_path / "own", [disc(25), square(6), disc(23), square(7), disc(24), square(5)])
    made = ingest(source, tmp_path / "m", TABLE)
    assert len(made.lesions) == 6, "square(6) marks 64 % of its picture, and is kept"
    assert made.exclusions.empty
    assert made.crops == {f"c{number}" for number in range(6)}
    assert all((made.tissue(name) == Tissue.BREAST).all() for name in made.crops)


def test_who_knows_better_says_so(tmp_path: Path) -> None:
    masks = [square(6), disc(25), disc(8), disc(8)]
    source = write_crops(tmp_path / "own", masks)
    found = ingest(source, tmp_path / "found", TABLE)
    assert found.crops == {"c0", "c1"}, "a lesion of a quarter of the picture fills no crop"
    none = ingest(source, tmp_path / "none", replace(TABLE, crops=False))
    assert none.crops == frozenset()
    assert none.exclusions["rule"].tolist() == ["mask-too-large"]
    every = ingest(source, tmp_path / "every", replace(TABLE, crops=True))
    assert len(every.crops) == len(every.lesions) == 4


def test_a_mask_of_the_breast_or_an_inverted_one_makes_no_crop(tmp_path: Path) -> None:
    breast = film(rows=SIDE, columns=SIDE) >> 8
    source = write_crops(tmp_path / "own", [cv2.dilate(breast, np.ones((7, 7))) > 20, ~disc(5), disc(8)], shown=breast)
    made = ingest(source, tmp_path / "m", TABLE)
    assert made.crops == frozenset()
    assert made.exclusions["what"].tolist() == ["c0_1"]
    assert decisions(made, "mask-inverted") == ["c1_1"]


def test_a_padded_mammogram_with_a_large_lesion_is_no_crop(tmp_path: Path) -> None:
    """What was padded was taken for breast, and gave black patches of healthy tissue."""
    breast = film(rows=SIDE, columns=SIDE) >> 8
    padded = np.where(np.arange(SIDE) < SIDE * 2 // 3, breast, 0)
    long = np.zeros((SIDE, SIDE), bool)
    long[7:53, 8:14] = True
    source = write_crops(tmp_path / "own", [long, disc(8), disc(7)], shown=padded)
    for name in ("c0.png", "c1.png", "c2.png"):  # what is padded has one value
        picture = cv2.imread(str(source / name), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(source / name), np.where(np.arange(SIDE) < SIDE * 2 // 3, picture, 0).astype(np.uint8))
    made = ingest(source, tmp_path / "m", TABLE)
    assert made.crops == frozenset()
    assert made.exclusions.empty
    assert (made.tissue("c0")[:, SIDE * 3 // 4 :] == Tissue.FILM).all()
    told = ingest(source, tmp_path / "told", replace(TABLE, crops=True))
    assert told.crops == {"c0", "c1", "c2"}


def test_further_columns_of_a_table_are_kept_as_attributes(tmp_path: Path) -> None:
    source = write_crops(tmp_path / "own", [disc(24)] * 4, "Mass_Shape,subtlety", "OVAL,4")
    made = ingest(source, tmp_path / "m", TABLE)
    assert json.loads(made.lesions["attributes"][0]) == {"mass_shape": "OVAL", "subtlety": "4"}


@pytest.mark.parametrize(("key", "name"), [("file", "c{}"), ("image", "c{}.png"), ("mask", "own/m{}.png")])
def test_a_table_of_attributes_is_joined_by_the_pictures_names(tmp_path: Path, key: str, name: str) -> None:
    source = write_crops(tmp_path / "own", [disc(24)] * 4, "shape", "round")
    rows = [f"{name.format(number)},{number},SPICULATED" for number in (2, 0, 1)]
    table = tmp_path / "attributes.csv"
    table.write_text("\n".join([f"{key},number,mass_margins", *rows, "elsewhere,9,"]) + "\n")
    made = ingest(source, tmp_path / "m", TABLE, attributes=table)
    attributes = [json.loads(one) for one in made.lesions["attributes"]]
    assert attributes[1] == {"shape": "round", "number": "1", "mass_margins": "SPICULATED"}
    assert [one.get("number") for one in attributes] == ["0", "1", "2", None]
    assert decisions(made, "lesion-without-attributes") == ["c3_1"]
    assert [record.role for record in made.manifest.inputs] == ["source", "attributes"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("who,shape\nc0,x", "must name the picture of each row in a column called image or file or mask.*who, shape"),
        ("file,shape\nc0,x\nc0,y", "row 3 names c0 again"),
        ("file,shape\nc0,x\nc0.png,y", "c0.png and c0 both name a file of c0_1, and disagree about shape: y and x"),
        ("file,shape\nq,x", "names none of the 4 lesions' pictures; its first is 'q', that of c0_1 is c0.png"),
    ],
)
def test_a_table_of_attributes_that_fits_nothing_is_refused(tmp_path: Path, lines: str, words: str) -> None:
    source = write_crops(tmp_path / "own", [disc(24)] * 4)
    table = tmp_path / "attributes.csv"
    table.write_text(lines + "\n")
    with pytest.raises(SourceError, match=words):
        ingest(source, tmp_path / "m", TABLE, attributes=table)


def test_rows_that_name_a_lesion_twice_and_agree_are_one(tmp_path: Path) -> None:
    source = write_crops(tmp_path / "own", [disc(24)] * 4)
    table = tmp_path / "attributes.csv"
    table.write_text("file,shape,margin,kind\nc0,Oval,,4\nc0.png,oval,obscured,4.0\nm0.png,oval,,mask\n")
    made = ingest(source, tmp_path / "m", TABLE, attributes=table)
    assert json.loads(made.lesions["attributes"][0]) == {"shape": "oval", "margin": "obscured", "kind": "4.0"}
    told = made.decisions[made.decisions["rule"] == "attributes-contradict"]
    assert told["found"].tolist() == [
        "attributes.csv has '4.0' as kind of the picture of c0_1, and 'mask' of its mask."
    ]


def test_attributes_that_contradict_the_collection_are_told(tmp_path: Path) -> None:
    source = write_crops(tmp_path / "own", [disc(24)] * 4, "Mass Shape,subtlety", "OVAL,4")
    own = pd.read_csv(source / "own.csv", dtype=str)
    patient, pathology = own["patient"], own["pathology"].str.upper()
    table = tmp_path / "attributes.csv"
    table.write_text(
        "file,Patient ID,pathology,mass_shape,subtlety\n"
        f"c0,{patient[0]},{pathology[0]},oval,4.0\n"
        f"c1,elsewhere,{pathology[1]},round,4\n"
        f"c2,,{pathology[3]},oval,\n"
    )
    made = ingest(source, tmp_path / "m", TABLE, attributes=table)
    assert decisions(made, "attributes-contradict") == ["c1_1", "c2_1"]
    found = "\n".join(made.decisions["found"])
    assert f"attributes.csv has 'elsewhere' as Patient ID of c1_1, and the collection {patient[1]!r}." in found
    assert f"attributes.csv has {pathology[3]!r} as pathology of c2_1, and the collection" in found
    assert decisions(made, "attribute-replaced") == ["c1_1"]
    assert "attributes.csv has 'round' as mass_shape of c1_1, and the collection 'OVAL'." in found
    assert "mass shape" not in json.loads(made.lesions["attributes"][1])
    assert made.lesions["pathology"].tolist() == own["pathology"].tolist()


def test_a_name_that_two_pictures_share_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "own"
    for folder in ("a", "b"):
        write_crops(source / folder, [disc(24)] * 2)
    rows = [f"{folder}/c{n}.png,{folder}/m{n}.png,{folder}{n}0,benign" for folder in ("a", "b") for n in (0, 1)]
    (source / "own.csv").write_text("\n".join(["image,mask,patient,pathology", *rows]) + "\n")
    table = tmp_path / "attributes.csv"
    for key, fits in (("c0", False), ("a/c0.png", True)):
        table.write_text(f"file,shape\n{key},oval\n")
        if fits:
            made = ingest(source / "own.csv", tmp_path / "m", replace(TABLE, split="patients"), attributes=table)
            assert made.lesions["attributes"].str.contains("oval").sum() == 1
        else:
            with pytest.raises(SourceError, match="c0 may be .*a/c0.png or .*b/c0.png. Name them with their folders"):
                ingest(source / "own.csv", tmp_path / "m", replace(TABLE, split="patients"), attributes=table)


def test_a_table_of_test_patients_alone_has_a_test_split(tmp_path: Path) -> None:
    source = write_crops(tmp_path / "own", [disc(24)] * 4, split="test")
    made = ingest(source, tmp_path / "m", IngestSettings(collection="table"))
    assert set(made.mammograms["split"]) == {"test"}
