"""What a table of one's own may name, and how: names of files, spellings, rows that are there twice."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from collections_on_disk import film

from mammofill.ground.errors import SourceError, TooFewError
from mammofill.mammograms import IngestSettings, MammogramSet, ingest

HEADER = "image,mask,patient,pathology"
TABLE = IngestSettings(collection="table")


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    """Write a table, and a picture for each image and each mask in it that names a file."""
    folder.mkdir(exist_ok=True)
    mask = np.zeros((60, 40), np.uint8)
    mask[20:30, 10:20] = 255
    picture = (film(rows=60, columns=40) >> 8).astype(np.uint8)
    for row in rows:
        image, mask_name = row.split(",")[:2]
        for name, pixels in ((image, picture), (mask_name, mask)):
            if name.strip("./"):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    (folder / "own.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def made(tmp_path: Path, *rows: str, header: str = HEADER) -> MammogramSet:
    return ingest(write(tmp_path / "own", *rows, header=header), tmp_path / "out", TABLE)


def test_files_called_by_their_uid_keep_its_last_number(tmp_path: Path) -> None:
    found = made(tmp_path, "1.2.840.1,m.png,P1,benign", "1.2.840.2,,P2,normal")
    assert found.mammograms["mammogram_id"].tolist() == ["1.2.840.1", "1.2.840.2"]
    assert found.lesions["lesion_id"].tolist() == ["1.2.840.1_1"]


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


def test_a_lesion_that_rows_call_benign_and_malignant_is_neither(tmp_path: Path) -> None:
    twice = ("a.png,m.png,P1,benign", "a.png,./m.png,P1,malignant")
    with pytest.raises(TooFewError, match="no lesion is left. Excluded: rows-disagree 1"):
        made(tmp_path, *twice)
    found = made(tmp_path, *twice, "b.png,m.png,P2,benign")
    assert found.lesions["lesion_id"].tolist() == ["b_1"]
    assert found.exclusions[["what", "rule"]].to_numpy().tolist() == [["a_1", "rows-disagree"]]
    assert "own.csv row 2, own.csv row 3 all name the mask m.png" in found.exclusions["found"][0]
    assert found.mammograms["all_lesions_located"].tolist() == [False, True]
