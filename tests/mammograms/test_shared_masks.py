"""One mask for two mammograms: refused where it cannot be right, told where it may be."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from collections_on_disk import film

from mammofill.audit import AuditSettings, audit
from mammofill.mammograms import IngestSettings, MammogramSet, ingest

TABLE = IngestSettings(collection="table")


def write(folder: Path, *rows: str) -> Path:
    """Write a table, a picture of its own for each image, and one and the same mask for all but n.png."""
    folder.mkdir(parents=True)
    mask = np.zeros((60, 40), np.uint8)
    mask[20:30, 10:20] = 255
    for number, row in enumerate(rows):
        image, mask_name = row.split(",")[:2]
        picture = (film(number, rows=60, columns=40) >> 8).astype(np.uint8)
        cv2.imwrite(str(folder / image), picture)
        if mask_name:
            cv2.imwrite(str(folder / mask_name), np.roll(mask, 6, axis=0) if mask_name == "n.png" else mask)
    (folder / "own.csv").write_text("\n".join(["image,mask,patient,pathology,laterality,view", *rows]) + "\n")
    return folder


def made(tmp_path: Path, *rows: str) -> MammogramSet:
    return ingest(write(tmp_path / "own", *rows), tmp_path / "out", TABLE)


@pytest.mark.parametrize("other", ["b.png,./m.png,P2,benign,left,cc", "b.png,m.png,P1,benign,left,mlo"])
def test_a_mask_named_for_two_mammograms_is_nobodys(tmp_path: Path, other: str) -> None:
    found = made(tmp_path, "a.png,m.png,P1,malignant,left,cc", other, "c.png,n.png,P3,benign,,")
    assert found.lesions["lesion_id"].tolist() == ["c_1"]
    assert found.exclusions[["what", "rule"]].to_numpy().tolist() == [
        ["a_1", "mask-of-two-mammograms"],
        ["b_1", "mask-of-two-mammograms"],
    ]
    assert (
        "m.png is named for different mammograms: a (own.csv row 2), b (own.csv row 3)" in found.exclusions["found"][0]
    )
    assert found.mammograms["all_lesions_located"].tolist() == [False, False, True]


def test_other_lesions_of_such_a_mammogram_stay(tmp_path: Path) -> None:
    rows = ("a.png,m.png,P1,benign,,", "a.png,n.png,P1,malignant,,", "b.png,m.png,P2,benign,,")
    found = made(tmp_path, *rows)
    assert found.lesions["lesion_id"].tolist() == ["a_2"]
    assert not found.mammograms["all_lesions_located"].any()


def test_two_pictures_of_one_exposure_may_share_a_mask(tmp_path: Path) -> None:
    found = made(tmp_path, "a.png,m.png,P1,benign,left,cc", "b.png,m.png,P1,benign,left,", "c.png,,P2,normal,,")
    assert found.lesions["lesion_id"].tolist() == ["a_1", "b_1"]
    told = found.decisions[found.decisions["rule"] == "mask-named-twice"]
    assert told["what"].tolist() == ["a_1", "b_1"]
    assert "right only where they are pictures of one exposure" in told["done"].iloc[0]
    assert "masks-identical" not in found.decisions["rule"].tolist()


def test_one_mask_for_all_is_told_in_few_words(tmp_path: Path) -> None:
    rows = [f"{number}.png,m.png,P{number},benign,," for number in range(9)]
    found = made(tmp_path, *rows, "n1.png,n.png,Q,benign,,")
    told = found.exclusions["found"]
    assert len(told) == 9
    assert told.str.contains(r"3 \(own.csv row 5\) and 5 more. It can be right for one of them at most.").all()


def test_copies_of_a_mask_for_two_mammograms_are_told(tmp_path: Path) -> None:
    rows = ("a.png,m.png,P1,benign,,", "b.png,copy.png,P2,benign,,", "c.png,n.png,P3,benign,,")
    found = made(tmp_path, *rows)
    assert found.lesions["lesion_id"].tolist() == ["a_1", "b_1", "c_1"]
    told = found.decisions[found.decisions["rule"] == "masks-identical"]
    assert told["what"].tolist() == ["b_1"]
    assert "a_1 (m.png) and b_1 (copy.png) mark the same pixels" in told["found"].iloc[0]


def test_the_audit_tells_of_both(tmp_path: Path) -> None:
    rows = ("a.png,m.png,P1,benign,,", "b.png,m.png,P2,benign,,", "c.png,x.png,P3,benign,,", "d.png,y.png,P4,benign,,")
    found = audit(write(tmp_path / "own", *rows), AuditSettings(collection="table"))
    cases = {one.finding: [case.what for case in one.cases] for one in found.found}
    assert cases["mask-of-two-mammograms"] == ["a_1", "b_1"]
    assert cases["masks-identical"] == ["d_1"]
