"""Collections of digital mammograms all the way through ingest: pictures, masks, and what is kept out."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from published_layouts import SHAPE, breast, write_cesm, write_cmmd, write_inbreast, write_vindr

from mammofill.ground.errors import TooFewError
from mammofill.mammograms import IngestSettings, MammogramSet, ingest


def taken(source: Path, collection: str) -> MammogramSet:
    settings = IngestSettings(collection=collection, abnormality="all", height_px=None)
    return ingest(source, source.parent / f"{collection}-set", settings)


def box(top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def test_inbreast(tmp_path: Path) -> None:
    rois = [
        ("Mass", [(5, 10), (15, 10), (15, 22), (5, 22)]),
        ("Calcification", [(20, 30)]),
        ("Calcification", [(22, 33)]),
    ]
    source = write_inbreast(tmp_path / "in", ["L;CC;1;2;5", "R;CC;2;1;1"], {"1": "abc", "2": "abd"}, {"1": rois})
    found = taken(source, "inbreast")
    assert np.array_equal(found.mask("1_1"), box(10, 5, 12, 10))
    assert np.array_equal(found.mask("1_2"), box(30, 20, 1, 1) | box(33, 22, 1, 1))
    assert np.array_equal(found.image("2"), np.rint(breast() * (65535 / 4095)))
    assert found.mammograms["all_lesions_located"].tolist() == [True, True]
    assert found.mammograms["spacing_mm"].tolist() == [0.07, 0.07]


def test_vindr_mammo(tmp_path: Path) -> None:
    rows = [
        f"s1,e,i1,L,CC,{size},BI-RADS 4,DENSITY C,['Mass'],BI-RADS 4,{box},training"
        for size, box in (("60,40", "-3.5,9.5,12.5,20.5"), ("60,40", "50,70,60,80"))
    ]
    rows.append("s2,e,i2,L,CC,3518,2800,BI-RADS 1,DENSITY C,['No Finding'],,,,,,test")
    found = taken(write_vindr(tmp_path / "in", rows, [("s1", "i1"), ("s2", "i2")]), "vindr-mammo")
    assert np.array_equal(found.mask("i1_1"), box(10, 0, 11, 13))
    assert dict(zip(found.exclusions["what"], found.exclusions["rule"], strict=True)) == {
        "i1_2": "mask-outside", "i2": "unreadable",
    }  # fmt: skip
    assert "has 60x40 pixels, but the collection's have 3518x2800" in found.exclusions["found"].str.cat()


def test_cdd_cesm(tmp_path: Path) -> None:
    circle = {"name": "circle", "cx": 10, "cy": 20, "r": 5}
    rows = [("P1_L_DM_CC", "Mass", "Malignant"), ("P2_L_DM_CC", "Mass", "Benign")]
    drawn = write_cesm(tmp_path / "drawn", rows[:1], [("P1_L_DM_CC.jpg", circle)], ["P1_L_DM_CC.jpg"])
    masked = write_cesm(tmp_path / "masked", rows[1:], None, ["P2_L_DM_CC.jpg"], ["P2_L_DM_CC.jpg"])
    disc = taken(drawn, "cdd-cesm").mask("P1_L_DM_CC_1")
    assert (disc.sum(), disc[20, 10], disc[20, 15], disc[20, 16]) == (81, True, True, False)
    settings = IngestSettings(collection="cdd-cesm", height_px=None)
    copy = ingest(masked, tmp_path / "copy", settings)
    assert np.array_equal(copy.mask("P2_L_DM_CC_1"), box(10, 5, 10, 10))


def test_cmmd_keeps_mammograms_and_no_lesion(tmp_path: Path) -> None:
    source = write_cmmd(tmp_path / "in", ["D1-0001,R,44,2,mass,Benign,"], [("D1-0001", "1-1.dcm", "R", "CC")])
    found = taken(source, "cmmd")
    assert (len(found.mammograms), len(found.lesions)) == (1, 0)
    assert found.mammograms["all_lesions_located"].tolist() == [False]
    assert found.exclusions["rule"].tolist() == ["lesion-without-place"]


@pytest.mark.parametrize("collection", ["inbreast", "vindr-mammo", "cdd-cesm"])
def test_a_second_copy_of_all_files_does_no_harm_and_another_picture_of_the_name_does(
    tmp_path: Path, collection: str
) -> None:
    source = tmp_path / "in"
    rois = [("Mass", [(5, 10), (15, 10), (15, 22), (5, 22)])]
    circle = {"name": "circle", "cx": 10, "cy": 20, "r": 5}
    finding = "s1,e,i1,L,CC,60,40,BI-RADS 4,DENSITY C,['Mass'],BI-RADS 4,3,9,12,20,training"
    names = ("P1_L_DM_CC", "P1_L_DM_CC.jpg")
    write = {
        "inbreast": lambda: write_inbreast(source, ["L;CC;1;2;5"], {"1": "abc"}, {"1": rois}),
        "vindr-mammo": lambda: write_vindr(source, [finding], [("s1", "i1")]),
        "cdd-cesm": lambda: write_cesm(source, [(names[0], "Mass", "Malignant")], [(names[1], circle)], names[1:]),
    }
    write[collection]()
    (first,) = (path for path in source.rglob("*") if path.suffix in (".dcm", ".dicom", ".jpg"))
    copy = source / "backup" / ("s1" if collection == "vindr-mammo" else "") / first.name
    copy.parent.mkdir(parents=True)
    shutil.copy(first, copy)
    found = taken(source, collection)
    assert (len(found.mammograms), len(found.lesions), len(found.exclusions)) == (1, 1, 0)
    (told,) = (one for one in found.decisions.to_dict("records") if one["rule"] == "file-twice")
    assert "has 2 files, 1 of them copies: " in told["found"]
    assert told["done"] == "One of each was read."
    copy.write_bytes(first.read_bytes() + b"\0")
    shutil.rmtree(tmp_path / f"{collection}-set")
    with pytest.raises(TooFewError, match="has several files: .* Remove all but one."):
        taken(source, collection)
