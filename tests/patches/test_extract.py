"""From mammograms to patches, on disk."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from collections_of_patches import SHOTS, Shot, make_mammograms, picture, tissue
from PIL import Image
from remade_manifest import remake_manifest

from mammofill.ground.errors import DamagedError, LeakError, TooFewError
from mammofill.ground.imaging import encode_png
from mammofill.ground.progress import Progress
from mammofill.mammograms import MammogramSet, Tissue
from mammofill.patches import ExtractPatchesSettings, PatchSet, extract_patches, write_shard

SETTINGS = ExtractPatchesSettings(
    size_px=32, stride_px=16, normal_margin_px=2, normals_per_mammogram=None, mammograms_per_shard=2
)


class Lines(Progress):
    def __init__(self, stop_after: int | None = None) -> None:
        self.lines: list[str] = []
        self.left = stop_after

    def say(self, text: str) -> None:
        self.lines.append(text)

    def _begin(self, name: str, total: float) -> Lines:
        return self

    def _end(self, task: object) -> None:
        pass

    def advance(self, steps: float = 1, note: str = "") -> None:
        if self.left is not None and steps:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt


def test_patches_are_cut_where_the_table_says(tmp_path: Path) -> None:
    lines = Lines()
    patches = extract_patches(make_mammograms(tmp_path / "m"), tmp_path / "p", SETTINGS, progress=lines)
    table = patches.table
    assert len(patches.shards) == 4
    images, masks = patches.pixels(range(len(table)))
    breasts = patches.breasts(range(len(table)))
    for row, image, mask, breast in zip(table.to_dict("records"), images, masks, breasts, strict=True):
        place = np.s_[row["top"] : row["top"] + 32, row["left"] : row["left"] + 32]
        assert np.array_equal(image, picture(row["mammogram_id"])[place])
        assert mask.any() == (row["pathology"] != "normal")
        assert breast.mean() == pytest.approx(row["breast_share"])
        assert np.array_equal(breast, (tissue() != Tissue.FILM)[place])
        assert row["origin"] == "real"
    first = table[(table["mammogram_id"] == "a") & (table["pathology"] == "benign")].iloc[0]
    assert (first["top"], first["left"], first["lesion_ids"]) == (0, 0, "a_1")
    assert masks[first.name][20:30, 20:30].all()
    assert masks[first.name].sum() == 100
    assert set(table.loc[table["mammogram_id"] == "g", "pathology"]) == {"benign"}
    assert set(patches.dropped["reason"]) == {"lesion-place-unknown"}
    assert any(line.startswith("train: ") and "malignant" in line for line in lines.lines)
    order = np.random.default_rng(0).permutation(len(table))
    assert np.array_equal(patches.pixels(order)[0], images[order])
    assert np.array_equal(patches.masks(order), masks[order])
    assert np.array_equal(patches.breasts(order), breasts[order])


def test_8_bits_keep_the_upper_half(tmp_path: Path) -> None:
    mammograms = make_mammograms(tmp_path / "m", SHOTS[:2])
    full = extract_patches(mammograms, tmp_path / "p16", SETTINGS).pixels([0, 1])[0].astype(int)
    half = extract_patches(mammograms, tmp_path / "p8", replace(SETTINGS, bits=8)).pixels([0, 1])[0].astype(int)
    assert np.abs(full - half).max() <= 129
    assert len(np.unique(half)) <= 256


def test_other_programs_read_the_shards(tmp_path: Path) -> None:
    patches = extract_patches(make_mammograms(tmp_path / "m"), tmp_path / "p", SETTINGS)
    table = pd.read_parquet(patches.shards[0])
    opened = np.asarray(Image.open(io.BytesIO(table["image"][0]["bytes"])))
    assert np.array_equal(opened, patches.pixels([0])[0][0])


def test_stopped_and_continued_in_several_processes_equals_uninterrupted(tmp_path: Path) -> None:
    mammograms = make_mammograms(tmp_path / "m")
    whole = extract_patches(mammograms, tmp_path / "whole", SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        extract_patches(mammograms, tmp_path / "p", SETTINGS, progress=Lines(stop_after=2))
    made = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "p.partial").glob("patches-*")}
    assert 0 < len(made) < 4
    continued = extract_patches(mammograms, tmp_path / "p", replace(SETTINGS, workers=2))
    assert continued.fingerprint == whole.fingerprint
    assert all((tmp_path / "p" / name).stat().st_mtime_ns == when for name, when in made.items())


def test_nothing_kept_says_why(tmp_path: Path) -> None:
    mammograms = make_mammograms(tmp_path / "m")
    with pytest.raises(TooFewError, match="Not one window .* Dropped by reason: mammogram-smaller-than-window 7"):
        extract_patches(mammograms, tmp_path / "p", replace(SETTINGS, size_px=256))
    assert not (tmp_path / "p.partial").exists()
    assert extract_patches(mammograms, tmp_path / "p", SETTINGS).manifest.counts["patches"], (
        "the mended command is not refused"
    )


def test_a_patient_in_two_splits_is_refused(tmp_path: Path) -> None:
    mammograms = make_mammograms(tmp_path / "m", [*SHOTS, Shot("h", "p1", "test")])
    with pytest.raises(LeakError, match="1 patient is in more than one split, first p1"):
        extract_patches(mammograms, tmp_path / "p", SETTINGS)
    assert not list(tmp_path.glob("p*"))


@pytest.mark.parametrize(
    ("mask", "found"), [(np.ones((12, 10), bool), "is 12 x 10 px"), (np.zeros((10, 10), bool), "is empty")]
)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_mask_that_does_not_fit_its_mammogram_is_named(
    mask: np.ndarray, found: str, workers: int, tmp_path: Path
) -> None:
    mammograms = make_mammograms(tmp_path / "m")
    (mammograms.folder / "masks" / "b_1.png").write_bytes(encode_png(mask))
    remake_manifest(mammograms.folder)
    with pytest.raises(DamagedError, match=rf"mask of lesion b_1 {found}.* 10 x 10 px .* its mammogram b \(96 x 80 px"):
        extract_patches(MammogramSet.open(mammograms.folder), tmp_path / "p", replace(SETTINGS, workers=workers))
    assert not (tmp_path / "p").exists()


def test_a_patch_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    patches = extract_patches(make_mammograms(tmp_path / "m", SHOTS[:1]), tmp_path / "p", SETTINGS)
    table = pd.read_parquet(patches.shards[0])
    content = patches.shards[0].read_bytes()
    patches.shards[0].write_bytes(content.replace(table["image"][0]["bytes"][:8], b"\0" * 8))
    with pytest.raises(DamagedError, match=f"patch {table['patch_id'][0]} cannot be decoded"):
        patches.pixels([0])


def test_a_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    patches = extract_patches(make_mammograms(tmp_path / "set"), tmp_path / "patches", SETTINGS)
    name = patches.table["patch_id"][3]
    with pytest.raises(DamagedError, match=f"the patch {name}, whose origin is real, lacks .* pictures: hole"):
        patches.holes([3])


def test_normals_are_as_many_as_asked_for_and_lesions_all(tmp_path: Path) -> None:
    mammograms = make_mammograms(tmp_path / "m")
    every = extract_patches(mammograms, tmp_path / "all", SETTINGS)
    some = extract_patches(mammograms, tmp_path / "some", replace(SETTINGS, normals_per_mammogram=2))
    chosen = some.table[some.table["pathology"] == "normal"]
    assert set(chosen.groupby("mammogram_id").size()) == {2}
    assert set(some.table["patch_id"]) < set(every.table["patch_id"])
    lesions = [one.table.loc[one.table["pathology"] != "normal", "patch_id"].tolist() for one in (every, some)]
    assert lesions[0] == lesions[1]
    left_out = some.dropped.loc[some.dropped["reason"] == "more-normals-than-asked-for", "count"].sum()
    assert left_out == len(every.table) - len(some.table)
    for _, rows in chosen.groupby("mammogram_id"):  # four windows fit side by side without overlap
        (a, b) = rows[["top", "left"]].to_numpy()
        assert max(abs(a - b)) >= 32
    other = extract_patches(mammograms, tmp_path / "other", replace(SETTINGS, normals_per_mammogram=2), seed=1)
    assert set(other.table["patch_id"]) != set(some.table["patch_id"])


def test_pectoral_muscle_is_left_out_where_asked_for(tmp_path: Path) -> None:
    mammograms = make_mammograms(tmp_path / "m", SHOTS[2:3])
    whole = extract_patches(mammograms, tmp_path / "whole", SETTINGS)
    without = extract_patches(mammograms, tmp_path / "without", replace(SETTINGS, max_pectoral_share=0.0))
    muscle = tissue() == Tissue.PECTORAL
    reached = [
        bool(muscle[top : top + 32, left : left + 32].any())
        for top, left in zip(whole.table["top"], whole.table["left"], strict=True)
    ]
    assert any(reached)
    assert without.table["patch_id"].tolist() == whole.table["patch_id"][~np.array(reached)].tolist()
    assert without.dropped.to_dict("records") == [
        {"reason": "pectoral-muscle", "split": "train", "count": sum(reached)}
    ]


@pytest.mark.parametrize("groups", [1, 8])
def test_a_stream_gives_each_patch_once_in_another_order_each_time(tmp_path: Path, groups: int) -> None:
    patches = extract_patches(make_mammograms(tmp_path / "m"), tmp_path / "p", SETTINGS)
    rows = patches.rows(split="train")
    images, masks = patches.pixels(rows)
    seen = list(patches.stream(rows, np.random.default_rng(0), groups=groups))
    order = [row for row, _, _ in seen]
    assert sorted(order) == rows.tolist() != order
    place = {row: number for number, row in enumerate(rows.tolist())}
    for row, image, mask in seen:
        assert np.array_equal(image, images[place[row]])
        assert np.array_equal(mask, masks[place[row]])
    assert order == [row for row, _, _ in patches.stream(rows, np.random.default_rng(0), groups=groups)]
    assert order != [row for row, _, _ in patches.stream(rows, np.random.default_rng(1), groups=groups)]


def test_patches_in_memory_are_those_of_the_set(tmp_path: Path) -> None:
    patches = extract_patches(make_mammograms(tmp_path / "m"), tmp_path / "p", SETTINGS)
    loaded = patches.load(patches.rows(pathology="malignant"))
    positions = np.array([2, 0, 0])
    images, masks = loaded.batch(positions)
    expected = patches.pixels(loaded.rows[positions])
    assert np.array_equal(images, expected[0])
    assert np.array_equal(masks, expected[1])


def test_a_set_without_a_table_of_its_own_opens_all_the_same(tmp_path: Path) -> None:
    patches = extract_patches(make_mammograms(tmp_path / "m"), tmp_path / "p", SETTINGS)
    images, _ = patches.pixels(range(len(patches.table)))
    (patches.folder / "table.parquet").unlink()
    remake_manifest(patches.folder)
    again = PatchSet.open(patches.folder)
    pd.testing.assert_frame_equal(again.table, patches.table)
    assert np.array_equal(again.pixels(range(len(again.table)))[0], images)


def test_no_shard_is_left_half_written(tmp_path: Path) -> None:
    def failing():  # type: ignore[no-untyped-def]
        yield picture("a")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_shard(tmp_path / "patches-00000.parquet", [{}, {}], failing(), [], [])
    assert not list(tmp_path.iterdir())
