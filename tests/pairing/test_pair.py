"""Pairs of a normal patch and a borrowed mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mammofill.ground.artifact import begin
from mammofill.ground.errors import SettingsError, TooFewError
from mammofill.pairing import PairPatchesSettings, Pairs, borrowed_mask, pair_patches
from mammofill.pairing.hole import HoleSettings, hole_of
from mammofill.pairing.pair import _Donors, check_placement
from mammofill.pairing.pixels import paired_pixels
from mammofill.patches import PatchSet, write_shard

SIZE = 32
MASK = HoleSettings()
"""The paper's: what is repainted is the mask."""


def disc(radius: float, row: float = 15.5, column: float = 15.5) -> np.ndarray:
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def make_patches(
    out: Path,
    normals: int = 12,
    donors: int = 3,
    split: str = "train",
    breast_from: int = 0,
    masks: Mapping[int, np.ndarray] | None = None,
) -> PatchSet:
    rows, drawn, breasts = [], [], []
    for number in range(normals + donors):
        pathology = "normal" if number < normals else ("benign", "malignant")[number % 2]
        rows.append({
            "patch_id": f"{pathology}-{number}", "patient_id": f"p{number}", "mammogram_id": f"m{number}", "top": 0,
            "left": 0, "height": SIZE, "width": SIZE, "pathology": pathology, "lesion_ids": "", "breast_share": 1.0,
            "split": split, "origin": "real",
        })  # fmt: skip
        drawn.append((masks or {}).get(number, disc(4 + number % 3)) & (pathology != "normal"))
        breast = np.ones((SIZE, SIZE), bool)
        breast[:, :breast_from] = False
        breasts.append(breast)
    with begin(out, kind="patches", stage="toy", settings=PairPatchesSettings(), seed=0, inputs={}) as work:
        assert work is not None
        images = [np.full((SIZE, SIZE), 30000, np.uint16)] * len(rows)
        write_shard(work.folder / "patches-00000.parquet", rows, images, drawn, breasts)
        work.finish({})
    return PatchSet.open(out)


@given(st.floats(3, 10), st.floats(0.6, 1.4))
def test_a_zoomed_mask_keeps_its_centre_and_scales_its_area(radius: float, zoom: float) -> None:
    mask = disc(radius)
    zoomed = borrowed_mask(mask, zoom, (0, 0))
    assert np.abs(np.argwhere(zoomed).mean(axis=0) - np.argwhere(mask).mean(axis=0)).max() < 0.5
    assert zoomed.sum() == pytest.approx(mask.sum() * zoom**2, rel=0.3, abs=14)


@pytest.mark.parametrize("shift", [(0, 0), (3, 0), (0, -4), (-5, 6)])
def test_a_shifted_mask_is_the_mask_shifted(shift: tuple[int, int]) -> None:
    mask = disc(5.3, 14.2, 16.8)
    assert np.array_equal(borrowed_mask(mask, 1.0, shift), np.roll(mask, shift, axis=(0, 1)))


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (disc(6), None),
        (disc(1), "mask-too-small"),
        (disc(6, 5), "hole-at-the-border"),
        (disc(6, 15, 12), "hole-off-the-breast"),
    ],
)
def test_where_a_mask_may_lie(mask: np.ndarray, reason: str | None) -> None:
    breast = np.ones((SIZE, SIZE), bool)
    breast[:, :8] = False
    assert check_placement(mask, breast, PairPatchesSettings(hole=MASK)) == reason


def test_every_pair_fits(tmp_path: Path) -> None:
    patches = make_patches(tmp_path / "p", breast_from=9)
    settings = PairPatchesSettings(max_shift_share=0.2, pairs_per_patch=3, zoom=(0.7, 1.5), hole=MASK)
    pairs = pair_patches(patches, tmp_path / "r", settings, seed=1)
    rows = {name: row for row, name in enumerate(patches.table["patch_id"])}
    assert len(pairs.table) + pairs.manifest.counts["unpaired"] == 36
    assert pairs.table["pair_id"].is_unique
    for pair in pairs.table.to_dict("records"):
        donor, context = rows[pair["mask_donor_patch_id"]], rows[pair["context_patch_id"]]
        mask = borrowed_mask(
            patches.pixels([donor])[1][0], pair["zoom"], (pair["shift_rows_px"], pair["shift_columns_px"])
        )
        assert check_placement(mask, patches.breasts([context])[0], settings) is None
        assert pair["requested_pathology"] == patches.table["pathology"][donor]
        assert pair["context_patient_id"] == patches.table["patient_id"][context]
        assert pair["mask_donor_patient_id"] == patches.table["patient_id"][donor]
        assert 0.7 <= pair["zoom"] <= 1.5


def test_the_seed_decides_and_other_patches_do_not(tmp_path: Path) -> None:
    patches = make_patches(tmp_path / "p")
    first = pair_patches(patches, tmp_path / "a", seed=1)
    assert pair_patches(patches, tmp_path / "b", seed=1).fingerprint == first.fingerprint
    assert pair_patches(patches, tmp_path / "c", seed=2).fingerprint != first.fingerprint


def test_what_cannot_be_paired_is_counted_and_refused(tmp_path: Path) -> None:
    patches = make_patches(tmp_path / "p", breast_from=20)
    with pytest.raises(
        TooFewError, match="None of the 12 normal patches .* patch-unpaired 12, try-hole-off-the-breast 60"
    ):
        pair_patches(patches, tmp_path / "r", PairPatchesSettings(tries=5, zoom=(1, 1), hole=MASK))
    assert not (tmp_path / "r").exists()


def test_a_mask_that_its_window_cuts_off_is_not_lent(tmp_path: Path) -> None:
    cut = disc(6, 15, 2)
    patches = make_patches(tmp_path / "p", donors=4, masks={12: cut, 13: cut, 14: cut})
    pairs = pair_patches(patches, tmp_path / "r", PairPatchesSettings(zoom=(0.3, 0.4), min_mask_px=4, hole=MASK))
    assert set(pairs.table["mask_donor_patch_id"]) == {"malignant-15"}
    assert dict(zip(pairs.unpaired["reason"], pairs.unpaired["count"], strict=True))["donor-mask-cut"] == 3
    all_cut = make_patches(tmp_path / "all", masks=dict.fromkeys(range(12, 15), cut))
    with pytest.raises(TooFewError, match="All 3 lesion patches .* hold only a part of their lesion"):
        pair_patches(all_cut, tmp_path / "none")


def test_a_normal_patch_borrows_from_another_donor_each_time(tmp_path: Path) -> None:
    patches = make_patches(tmp_path / "p", normals=8, donors=3)
    one = pair_patches(patches, tmp_path / "one", seed=1).table
    pairs = pair_patches(patches, tmp_path / "r", PairPatchesSettings(pairs_per_patch=4, hole=MASK), seed=1)
    donors = pairs.table.groupby("context_patch_id")["mask_donor_patch_id"]
    assert (donors.nunique() == donors.size()).all()
    assert set(donors.size()) == {3}
    unpaired = dict(zip(pairs.unpaired["reason"], pairs.unpaired["count"], strict=True))
    assert unpaired["patch-unpaired"] == 8
    assert unpaired["try-donor-lent-already"] >= 8 * 50
    first = pairs.table[pairs.table["pair_id"].str.endswith("_p0")]
    assert first.reset_index(drop=True).equals(one), "more pairs leave the first ones as they are"


def test_missing_kinds_are_named(tmp_path: Path) -> None:
    for name, counts, words in [
        ("a", {"normals": 0}, "has no normal patch in the train split.*Its patches: train benign"),
        ("b", {"donors": 0}, "has no lesion patch in the train split.*Its patches: train normal 12"),
        ("c", {"split": "test"}, "has no normal patch in the train split"),
    ]:
        patches = make_patches(tmp_path / name, **counts)  # type: ignore[arg-type]
        with pytest.raises(TooFewError, match=words):
            pair_patches(patches, tmp_path / "r")


def test_zoom_must_make_sense() -> None:
    with pytest.raises(SettingsError, match="PairPatchesSettings.zoom must be two factors"):
        replace(PairPatchesSettings(), zoom=(1.2, 0.8))


CROP = HoleSettings("ellipse", 0.3, 1.0, 2)
LESIONS = PairPatchesSettings(contexts="lesion", hole=CROP, own_margin_px=1.0)


def off_centre(patches: PatchSet) -> dict[str, np.ndarray]:
    return dict(zip(patches.table["patch_id"], patches.masks(range(len(patches.table))), strict=True))


def make_crops(out: Path) -> PatchSet:
    """Lesion patches without normal ones, of ten patients, whose lesions lie in different places."""
    random = np.random.default_rng(0)
    masks = {n: disc(8 + n % 3, *(15.5 + random.integers(-2, 3, 2))) for n in range(10)}
    return make_patches(out, normals=0, donors=10, masks=masks)


def test_a_lesion_is_painted_over_by_another_patients_of_its_class(tmp_path: Path) -> None:
    patches = make_crops(tmp_path / "p")
    pairs = pair_patches(patches, tmp_path / "r", replace(LESIONS, pairs_per_patch=2), seed=1)
    own = off_centre(patches)
    assert set(pairs.table["kind"]) == {"re-infill"}
    assert (pairs.table["requested_pathology"] == pairs.table["context_pathology"]).all()
    assert (pairs.table["context_patient_id"] != pairs.table["mask_donor_patient_id"]).all()
    assert pairs.manifest.counts["re_infills"] == len(pairs.table) >= 10
    for pair in pairs.table.to_dict("records"):
        mine = own[pair["context_patch_id"]]
        shift = (pair["shift_rows_px"], pair["shift_columns_px"])
        mask = borrowed_mask(own[pair["mask_donor_patch_id"]], pair["zoom"], shift)
        hole = hole_of(mask, CROP)
        assert hole[hole_of(mine, HoleSettings("dilation", 0.0, 1.0))].all(), "the own lesion and its margin are hidden"
        assert np.abs(np.argwhere(mask).mean(axis=0) - np.argwhere(mine).mean(axis=0)).max() < 1
        assert 0.75 <= np.sqrt(mask.sum() / mine.sum()) <= 1.25
        assert not hole[:2].any()
        assert not hole[:, -2:].any(), "the rim stays"


def test_a_lesion_lends_its_own_outline_where_it_lies(tmp_path: Path) -> None:
    patches = make_crops(tmp_path / "p")
    pairs = pair_patches(patches, tmp_path / "r", replace(LESIONS, outline="own"), seed=1)
    table = pairs.table
    assert set(table["kind"]) == {"own-lesion"}
    assert (table["context_patch_id"] == table["mask_donor_patch_id"]).all()
    assert (table["context_patient_id"] == table["mask_donor_patient_id"]).all()
    assert (table["requested_pathology"] == table["context_pathology"]).all()
    own = off_centre(patches)
    _, masks, _, _ = paired_pixels(patches, table)
    assert all(np.array_equal(mask, own[name]) for mask, name in zip(masks, table["context_patch_id"], strict=True))
    assert len(table) + int(pairs.unpaired.set_index("reason")["count"].get("patch-unpaired", 0)) == 10


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"contexts": "normal"}, "outline must be other, where contexts is not lesion"),
        ({"contexts": "both"}, "outline must be other, where contexts is not lesion"),
        ({"pairs_per_patch": 2}, r"pairs_per_patch must be 1 where the outline is a patch's own \(fills_per_pair of"),
    ],
)
def test_own_outlines_without_sense_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        replace(LESIONS, outline="own", **values)


def test_the_other_class_is_asked_for_only_where_that_is_allowed(tmp_path: Path) -> None:
    patches = make_crops(tmp_path / "p")
    pairs = pair_patches(patches, tmp_path / "r", replace(LESIONS, own_class=False), seed=1).table
    assert (pairs["requested_pathology"] != pairs["context_pathology"]).any()
    assert set(pairs["context_pathology"]) == {"benign", "malignant"}


def test_both_kinds_of_contexts_are_told_apart(tmp_path: Path) -> None:
    patches = make_patches(tmp_path / "p", normals=6, donors=6)
    both = pair_patches(patches, tmp_path / "b", replace(LESIONS, contexts="both"), seed=1).table
    normal = pair_patches(patches, tmp_path / "n", replace(LESIONS, contexts="normal"), seed=1).table
    of_normal = both[both["kind"] == "normal-tissue"].reset_index(drop=True)
    assert of_normal.equals(normal), "lesion contexts change nothing about the others"
    assert set(of_normal["context_pathology"]) == {"normal"}
    assert (both["kind"] == "re-infill").sum() >= 4


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=30))
def test_the_others_are_all_donors_but_ones_own(patients: list[str]) -> None:
    pathologies = [("benign", "malignant")[number % 3 == 0] for number in range(len(patients))]
    rows = np.arange(len(patients))
    masks = np.zeros((len(patients), 1, 1), bool)
    donors = _Donors(rows, tuple(map(str, rows)), masks, np.array(patients, object), np.array(pathologies, object))
    for patient, pathology in product("abcde", (None, "benign", "malignant")):
        others = donors.others(patient, pathology)
        expected = [k for k in rows if patients[k] != patient and pathology in (None, pathologies[k])]
        assert [others[number] for number in range(len(others))] == expected
    assert [donors.everyone[number] for number in range(len(donors.everyone))] == rows.tolist()


def test_who_has_nobody_to_borrow_from_stays_alone(tmp_path: Path) -> None:
    patches = make_patches(tmp_path / "p", normals=0, donors=3)
    pairs = pair_patches(patches, tmp_path / "r", LESIONS, seed=1)
    alone = dict(zip(pairs.unpaired["reason"], pairs.unpaired["count"], strict=True))
    assert alone["no-lesion-of-others"] == 1, "of three lesions one is alone in its class"


def test_a_lesion_that_its_own_patch_cuts_off_is_not_painted_over(tmp_path: Path) -> None:
    masks = {n: disc(6, 15, 2) if n < 2 else disc(8) for n in range(8)}
    pairs = pair_patches(make_patches(tmp_path / "p", normals=0, donors=8, masks=masks), tmp_path / "r", LESIONS)
    assert dict(zip(pairs.unpaired["reason"], pairs.unpaired["count"], strict=True))["own-lesion-cut"] == 2
    assert not {"malignant-1", "benign-0"} & set(pairs.table["context_patch_id"])


def test_a_hole_that_would_show_the_own_lesion_is_refused() -> None:
    breast, own = np.ones((SIZE, SIZE), bool), disc(9)
    assert check_placement(disc(9), breast, LESIONS, own) is None
    assert check_placement(disc(5), breast, LESIONS, own) == "own-lesion-shows"


def test_pairs_of_an_earlier_version_are_of_normal_tissue(tmp_path: Path) -> None:
    pairs = pair_patches(make_patches(tmp_path / "p"), tmp_path / "r", PairPatchesSettings(hole=MASK))
    earlier = Pairs.open(pairs.folder)
    table = pairs.table.drop(columns=["kind", "context_pathology"])
    table.to_parquet(pairs.folder / "pairs.parquet", index=False)
    read = earlier.table
    assert set(read["kind"]) == {"normal-tissue"}
    assert set(read["context_pathology"]) == {"normal"}


def test_lesions_without_a_mask_lend_none_and_are_not_painted_over(tmp_path: Path) -> None:
    patches = make_patches(tmp_path / "patches", donors=5, masks={13: disc(0, row=99)})
    over = PairPatchesSettings(contexts="lesion", own_class=False, hole=HoleSettings("dilation", 1.0), zoom=(1, 1))
    pairs = pair_patches(patches, tmp_path / "pairs", over)
    assert set(pairs.table["context_patch_id"]) == {f"{'benign' if k % 2 == 0 else 'malignant'}-{k}"
                                                    for k in (12, 14, 15, 16)}  # fmt: skip
    assert "malignant-13" not in set(pairs.table["mask_donor_patch_id"])
    counts = dict(zip(pairs.unpaired["reason"], pairs.unpaired["count"], strict=True))
    assert counts["donor-mask-empty"] == counts["own-lesion-empty"] == 1
