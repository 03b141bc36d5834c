"""Ingest without working images: they are read from the collection again, the same, or it is told why not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from collections_on_disk import Case, write_cbis
from pydicom import dcmread
from pydicom.uid import RLELossless

from mammofill.ground.errors import DamagedError
from mammofill.mammograms import IngestSettings, MammogramSet, ingest
from mammofill.patches import ExtractPatchesSettings, extract_patches

CASES = [
    Case(f"P_{number:05d}", view=view, pathology=("BENIGN", "MALIGNANT")[number % 2], split=split)
    for number, split in enumerate(("train", "train", "train", "test", "test"), start=1)
    for view in ("CC", "MLO")
]


@pytest.fixture
def both(tmp_path: Path) -> tuple[MammogramSet, MammogramSet]:
    """The same collection, with images and without."""
    source = tmp_path / "collection"
    write_cbis(source, CASES)
    kept, left = (
        ingest(source, tmp_path / name, IngestSettings(height_px=48, keep_images=name == "kept"))
        for name in ("kept", "left")
    )
    return kept, left


def test_images_are_the_same_and_take_no_room(both: tuple[MammogramSet, MammogramSet]) -> None:
    kept, left = both
    assert len(kept.mammograms) == len(CASES)
    assert kept.mammograms.equals(left.mammograms)
    assert not list((left.folder / "images").glob("*"))
    for name in kept.mammograms["mammogram_id"]:
        assert (kept.keeps_image(name), left.keeps_image(name)) == (True, False)
        assert np.array_equal(kept.image(name), left.image(name))
        assert left.image(name).shape[0] == 48
        assert np.array_equal(kept.tissue(name), left.tissue(name))


def test_patches_are_the_same(both: tuple[MammogramSet, MammogramSet], tmp_path: Path) -> None:
    settings = ExtractPatchesSettings(size_px=16, stride_px=8, normal_margin_px=2, min_breast_share=0)
    one, other = (extract_patches(found, tmp_path / f"patches-{number}", settings) for number, found in enumerate(both))
    assert len(one.table) > 20
    assert one.fingerprint == other.fingerprint


def test_compressed_films_are_kept_all_the_same(tmp_path: Path) -> None:
    source = tmp_path / "collection"
    write_cbis(source, CASES)
    film = next(path for path in sorted(source.rglob("*.dcm")) if dcmread(path).BitsStored == 16)
    dataset = dcmread(film)
    dataset.compress(RLELossless)
    dataset.save_as(film)
    found = ingest(source, tmp_path / "out", IngestSettings(height_px=48, keep_images=False))
    kept = [name for name in found.mammograms["mammogram_id"] if found.keeps_image(name)]
    assert len(kept) == 1
    assert source / found.facts(kept[0])["source_file"] == film
    assert found.image(kept[0]).shape[0] == 48


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda path: path.unlink(), "is gone"),
        (lambda path: path.write_bytes(path.read_bytes()[:-2] + b"ab"), "is another file than then"),
    ],
)
def test_a_collection_that_is_not_what_it_was_is_refused(
    both: tuple[MammogramSet, MammogramSet], harm: Callable[[Path], None], words: str
) -> None:
    kept, left = both
    name = left.mammograms["mammogram_id"][0]
    path = left.folder.parent / "collection" / left.facts(name)["source_file"]
    harm(path)
    kept.image(name)
    with pytest.raises(DamagedError, match=words) as caught:
        left.image(name)
    assert str(path) in str(caught.value)
    assert "Bring the collection back to its place, or ingest it with keep_images." in str(caught.value)


def test_both_may_be_moved_together(both: tuple[MammogramSet, MammogramSet], tmp_path: Path) -> None:
    _, left = both
    name = left.mammograms["mammogram_id"][0]
    before = np.array(left.image(name))
    (tmp_path / "elsewhere").mkdir()
    for folder in ("collection", "left"):
        shutil.move(tmp_path / folder, tmp_path / "elsewhere" / folder)
    assert np.array_equal(MammogramSet.open(tmp_path / "elsewhere" / "left").image(name), before)


def test_an_image_that_was_kept_and_is_lost_is_damage(both: tuple[MammogramSet, MammogramSet]) -> None:
    kept, _ = both
    name = kept.mammograms["mammogram_id"][0]
    (kept.folder / "images" / f"{name}.tiff").unlink()
    with pytest.raises(DamagedError, match="cannot be read"):
        kept.image(name)
