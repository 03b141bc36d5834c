"""Artifacts at a prompt: what they say of themselves, and the pictures that they draw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from collections_of_patches import SHOTS, Shot, make_mammograms

from mammofill.ground.artifact import begin
from mammofill.ground.errors import SettingsError, TooFewError
from mammofill.pairing import PairPatchesSettings, Pairs, pair_patches
from mammofill.pairing.hole import HoleSettings
from mammofill.patches import ExtractPatchesSettings, PatchSet, extract_patches
from mammofill.patches.shards import write_index, write_shard


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> PatchSet:
    folder = tmp_path_factory.mktemp("shown")
    mammograms = make_mammograms(folder / "mammograms", [*SHOTS, Shot("h", "p7", pathology=None)])
    settings = ExtractPatchesSettings(size_px=32, stride_px=16, normal_margin_px=0, normals_per_mammogram=None)
    return extract_patches(mammograms, folder / "patches", settings)


@pytest.fixture(scope="module")
def pairs(patches: PatchSet) -> Pairs:
    settings = PairPatchesSettings(hole=HoleSettings("mask", 0.0, 0.0), min_mask_px=1)
    return pair_patches(patches, patches.folder.with_name("pairs"), settings)


def fills(patches: PatchSet, pairs: Pairs, out: Path) -> PatchSet:
    """Return synthetic patches that are their context, turned to its negative."""
    row = pairs.table.iloc[0]
    place = list(patches.table["patch_id"]).index(row["context_patch_id"])
    image, _ = patches.pixels([place])
    facts = {**patches.table.iloc[place].to_dict(), "patch_id": "fill", "origin": "synthetic"}
    facts |= {"pathology": "malignant", "context_patch_id": row["context_patch_id"]}
    mask = np.zeros((1, 32, 32), bool)
    mask[0, 8:20, 8:20] = True
    with begin(out, kind="patches", stage="x", settings=PairPatchesSettings(), seed=0, inputs={}) as work:
        assert work is not None
        write_shard(work.folder / "patches-00000.parquet", [facts], 65535 - image, mask, mask, holes=mask)
        write_index(work.folder)
        work.finish({"patches": 1})
    return PatchSet.open(out)


def test_an_artifact_says_what_it_holds(patches: PatchSet, pairs: Pairs) -> None:
    count = patches.manifest.counts["malignant"]
    assert repr(patches).startswith(f"<PatchSet {patches.folder}: {len(patches.table)} patches, ")
    assert f"{count} malignant" in repr(patches)
    shown = patches._repr_html_()
    assert shown.count("data:image/png;base64,") == len(patches.strip()) == 6
    assert f"{count} malignant" in shown
    assert f"{len(pairs.table)} pairs" in repr(pairs)
    assert "<img" not in pairs._repr_html_()
    mammograms = make_mammograms(patches.folder.with_name("more"), SHOTS[:2])
    assert mammograms._repr_html_().count("<img") == 2


def test_patches_are_drawn_with_outlines_and_names(patches: PatchSet) -> None:
    rows = [*patches.rows(pathology="malignant")[:1], *patches.rows(pathology="normal")[:1]]
    axes = patches.show(rows).axes
    patient = patches.table["patient_id"][rows[0]]
    assert [one.get_title() for one in axes] == [
        f"malignant\n{patient}",
        f"normal\n{patches.table['patient_id'][rows[1]]}",
    ]
    assert [len(one.collections) for one in axes] == [1, 0]  # outlines
    assert np.array_equal(axes[0].images[0].get_array(), patches.pixels(rows[:1])[0][0])
    assert len(patches.show().axes) > 2
    with pytest.raises(TooFewError, match="no rows were given"):
        patches.show([])


def test_a_bool_for_each_patch_chooses_where_it_is_true(patches: PatchSet) -> None:
    wanted = patches.table["pathology"] == "malignant"
    images, masks = patches.pixels(patches.rows(pathology="malignant"))
    for bools in (wanted, wanted.to_numpy(), wanted.astype("boolean"), wanted.to_list()):
        np.testing.assert_array_equal(patches.pixels(bools)[0], images)
        np.testing.assert_array_equal(patches.masks(bools), masks)
    assert len(patches.load(wanted.to_numpy())) == len(images)
    assert len(patches.show(wanted.to_numpy()).axes) == len(images)
    assert len(patches.pixels([])[0]) == 0


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([True, False], r"one bool for each of its \d+ patches, but are 2 bools, first True"),
        ([1.9], r"must be a list of row numbers, .* but are of another kind \(floating\), first 1.9"),
        (["p1"], r"another kind \(string\), first p1. PatchSet.rows returns row numbers"),
        ([[0]], r"another kind \(nested\)"),
        (0, r"another kind \(nested\), first 0"),
        ([0, 10**6], r"has no row 1000000: it has \d+ patches, counted from 0"),
        ([-1], r"has no row -1"),
    ],
)
def test_rows_that_are_none_are_refused(patches: PatchSet, rows: list[int], words: str) -> None:
    random = np.random.default_rng(0)
    for read in (patches.pixels, patches.masks, patches.breasts, patches.load, patches.show):
        with pytest.raises(SettingsError, match=words):
            read(rows)
    with pytest.raises(SettingsError, match=words):
        next(patches.stream(rows, random))


def test_pairs_are_drawn_lender_first(patches: PatchSet, pairs: Pairs) -> None:
    axes = pairs.show(patches, [0]).axes
    assert [one.get_title() for one in axes] == ["lends its mask", "is to be filled", "the mask there"]
    strangers = make_mammograms(patches.folder.with_name("m"), [replace(shot, name=shot.name * 2) for shot in SHOTS])
    others = extract_patches(
        strangers, patches.folder.with_name("others"), ExtractPatchesSettings(size_px=32, stride_px=16)
    )
    with pytest.raises(TooFewError, match="is not in .*others. Give the patches from which these pairs were made"):
        pairs.show(others)


def test_fills_are_drawn_beside_what_was_there(patches: PatchSet, pairs: Pairs, tmp_path: Path) -> None:
    made = fills(patches, pairs, tmp_path / "fills")
    axes = made.show_fills(patches).axes
    assert [one.get_title() for one in axes] == ["before", "after", "change"]
    before, after, change = (np.asarray(one.images[0].get_array()).astype(int) for one in axes)
    assert np.array_equal(after - before, change)
    assert made.show().axes[0].get_title().startswith("generated malignant")
    with pytest.raises(TooFewError, match="there are no fills"):
        patches.show_fills(patches)
    with pytest.raises(TooFewError, match="the tissue .* of a fill is not in"):
        made.show_fills(made)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"split": "tst"},
            r"there is no split 'tst'. Did you mean test\? There are: train \(\d+ patches\), validation",
        ),
        ({"pathology": ("benign", "malign")}, "there is no pathology 'malign'. Did you mean malignant?"),
        ({"splt": "test"}, "has no column 'splt'. Did you mean split?"),
    ],
)
def test_rows_of_words_that_no_set_knows_are_refused(patches: PatchSet, values: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        patches.rows(**values)
