"""One person in two sets of mammograms, under other names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from mammofill.ground.artifact import Artifact, LearnedFrom, begin, open_any
from mammofill.ground.errors import DamagedError
from mammofill.mammograms.across_sets import learned_patients, one_person_in_both


@dataclass(frozen=True)
class Toy:
    collection: str = ""


def mammograms(folder: Path, collection: str, files: dict[str, str], picture: bytes = b"") -> Artifact:
    """Make a set with one image file for each patient (patient -> SHA-256), and a working image of the first."""
    with begin(folder, kind="mammograms", stage="ingest", settings=Toy(collection), seed=0, inputs={}) as work:
        assert work is not None
        names = [f"m{number}" for number in range(len(files))]
        table = pd.DataFrame({"mammogram_id": names, "patient_id": list(files), "source_sha256": list(files.values())})
        table.to_parquet(work.folder / "mammograms.parquet")
        if picture:
            (work.folder / "images").mkdir()
            (work.folder / "images" / "m0.tiff").write_bytes(picture)
        work.finish({})
    return open_any(folder)


def made_from(folder: Path, *inputs: Artifact, learned: tuple[str, ...] = ()) -> Artifact:
    with begin(folder, kind="toy", stage="toy", settings=Toy(), seed=0, inputs={"from": list(inputs)}) as work:
        assert work is not None
        (work.folder / "name.txt").write_text(folder.name)
        work.finish({}, [LearnedFrom("train-toy", learned)] if learned else ())
    return open_any(folder)


def found(own: Artifact, other: Artifact) -> list[tuple[str, str, str]]:
    return [(same.own, same.other, same.why) for same in one_person_in_both(own, other)]


def test_other_spellings_of_one_collection_are_one_person(tmp_path: Path) -> None:
    own = mammograms(tmp_path / "own", "table", {"P001": "a", "P002": "b", "same": "c"})
    other = mammograms(tmp_path / "other", "table", {"p 1": "d", "3": "e", "same": "f"})
    assert found(own, other) == [("P001", "p 1", "both spell one identifier")]
    assert found(made_from(tmp_path / "far", made_from(tmp_path / "near", own)), made_from(tmp_path / "x", other))


def test_two_public_collections_may_both_number_their_patients(tmp_path: Path) -> None:
    own = mammograms(tmp_path / "own", "cbis-ddsm", {"P_00001": "a"})
    other = mammograms(tmp_path / "other", "cdd-cesm", {"P1": "b"})
    assert found(own, other) == []


@pytest.mark.parametrize("collection", ["table", "cbis-ddsm"])
def test_one_image_file_is_of_one_person(tmp_path: Path, collection: str) -> None:
    own = mammograms(tmp_path / "own", "table", {"Anna": "a", "Berta": ""})
    other = mammograms(tmp_path / "other", collection, {"exam 7": "a", "exam 8": ""})
    assert found(own, other) == [("Anna", "exam 7", "they have an image file in common")]


@pytest.mark.parametrize(
    ("one", "two", "why"),
    [
        ("12_L", "12_R", "they are the same but for a side, view, kind of picture, visit or list beside it"),
        ("P1_pre", "P1_post", "they are the same but for a side, view, kind of picture, visit or list beside it"),
        ("Müller, Anna", "Anna Mueller", ""),
        ("Müller Anna", "Mueller Anna", "they are the same but for accents or letters of another alphabet"),
        ("Anna Meier", "Meier, Anna", "they are the same words in another order"),
        ("P10", "P1O", "they are the same but for letters that look like digits"),
        ("P1_2019", "P1_2020", "they are the same but for a year or date behind it"),
        ("12_20190305", "12-20200405", "they are the same but for a year or date behind it"),
        ("12", "A12", ""),
        ("P1", "SITE2-P1", ""),
        ("12345", "12-345", ""),
    ],
)
def test_who_would_be_doubted_in_one_table_is_found_in_two(tmp_path: Path, one: str, two: str, why: str) -> None:
    own = mammograms(tmp_path / "own", "table", {one: "a"})
    other = mammograms(tmp_path / "other", "table", {two: "b"})
    assert found(own, other) == ([(one, two, why)] if why else [])
    assert found(own, mammograms(tmp_path / "public", "cbis-ddsm", {two: "b"})) == []


@pytest.mark.parametrize("collection", ["table", "inbreast"])
def test_one_hash_is_of_one_person_in_all_collections(tmp_path: Path, collection: str) -> None:
    own = mammograms(tmp_path / "own", "table", {"20586908_6C613A14B80A8591": "a", "6c613a14b80a8590": "b"})
    other = mammograms(tmp_path / "other", collection, {"6c613a14b80a8591": "c"})
    assert found(own, other) == [
        ("20586908_6C613A14B80A8591", "6c613a14b80a8591", "they are alike in a hash that both have")
    ]


def test_years_that_are_serial_numbers_are_no_exams(tmp_path: Path) -> None:
    own = mammograms(tmp_path / "own", "table", {"P1-2019": "a", "P1-0007": "b"})
    other = mammograms(tmp_path / "other", "table", {"P1-2020": "c"})
    assert found(own, other) == []


def test_one_picture_in_two_files_is_of_one_person(tmp_path: Path) -> None:
    own = mammograms(tmp_path / "own", "cbis-ddsm", {"P_00001": "a"}, b"pixels")
    other = mammograms(tmp_path / "other", "table", {"crop 7": "b", "crop 8": "c"}, b"pixels")
    assert found(own, other) == [("P_00001", "crop 7", "they have a picture with the same pixels in common")]
    assert found(own, mammograms(tmp_path / "third", "table", {"x": "b"}, b"other pixels")) == []


def test_one_set_has_one_name_for_each(tmp_path: Path) -> None:
    own = mammograms(tmp_path / "own", "table", {"P1": "a", "1 P": "a"})
    assert found(own, made_from(tmp_path / "made", own)) == []
    gone = made_from(tmp_path / "gone", mammograms(tmp_path / "away", "table", {"p1": "a"}))
    (tmp_path / "away").rename(tmp_path / "elsewhere")
    assert found(own, gone) == []


def test_a_set_without_mammograms_has_nobody(tmp_path: Path) -> None:
    own, empty = mammograms(tmp_path / "own", "table", {"P1": "a"}), mammograms(tmp_path / "empty", "table", {})
    assert found(own, empty) == found(empty, own) == []


def test_who_was_learned_from_is_found_by_the_names_of_another_set(tmp_path: Path) -> None:
    own = mammograms(tmp_path / "own", "table", {"P001": "a", "P002": "b"})
    other = mammograms(tmp_path / "other", "table", {"p 1": "a", "p 2": "c"})
    assert learned_patients(made_from(tmp_path / "made", own, learned=("P001",)), other) == {
        "P001": ["train-toy"],
        "p 1": ["train-toy, as 'P001': they have an image file in common"],
    }


def test_a_changed_table_far_upstream_is_damage(tmp_path: Path) -> None:
    own = mammograms(tmp_path / "own", "table", {"Anna": "a"})
    other = mammograms(tmp_path / "other", "table", {"exam 7": "a"})
    far = made_from(tmp_path / "far", own)
    table = pd.DataFrame({"mammogram_id": ["m0"], "patient_id": ["Anna"], "source_sha256": ["b"]})
    table.to_parquet(tmp_path / "own" / "mammograms.parquet")
    with pytest.raises(DamagedError, match=r"own/mammograms.parquet was changed after it was finished"):
        found(far, other)
