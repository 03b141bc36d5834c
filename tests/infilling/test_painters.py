"""What holds for every method, and what is particular to copy-paste and texture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import toy_infilling as toy
from scipy import ndimage
from toy_flow import tiny_flow
from toy_infilling import HOLE, SIZE_PX, World, tiny, toy_patch

from mammofill.ground.errors import SettingsError, TooFewError
from mammofill.infilling import Infiller, preset, train_infiller
from mammofill.infilling.baselines.copy_paste import CopyPastePainter, outline_of, paste
from mammofill.infilling.baselines.surroundings import find_tissue
from mammofill.infilling.baselines.texture import TexturePainter, synthesise
from mammofill.infilling.methods import FillCases, methods
from mammofill.pairing import borrowed_mask
from mammofill.pairing.hole import holes_of

N = 6
Cases = tuple[np.ndarray, np.ndarray, list[str], list[int]]

SMALL = {
    "gan": tiny(),
    "flow": tiny_flow(hole=HOLE, feather_px=2),
    "copy-paste": replace(preset("copy-paste"), hole=HOLE, feather_px=2, previews=2),
    "texture": replace(preset("texture"), hole=HOLE, feather_px=2, previews=2),
}
"""Settings of each method that are quick on toy patches."""


def make(world: World, out: Path, method: str, **changes: object) -> Infiller:
    return train_infiller(world.patches, world.pairs, out, replace(SMALL[method], **changes), seed=1)


@pytest.fixture(scope="module")
def infillers(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Infiller]:
    folder = tmp_path_factory.mktemp("infillers")
    others = {method: make(world, folder / method, method) for method in SMALL if method != "gan"}
    return {"gan": world.infiller, **others}


@pytest.fixture(params=SMALL)
def infiller(infillers: dict[str, Infiller], request: pytest.FixtureRequest) -> Infiller:
    return infillers[request.param]


@pytest.fixture(scope="module")
def cases() -> Cases:
    """Normal tissue, and the outlines of lesions elsewhere."""
    images = np.array([toy_patch(f"tissue-{number}", "normal")[0] for number in range(N)])
    masks = np.array([toy_patch(f"case-{number}", "malignant")[1] for number in range(N)])
    return images, masks, ["benign", "malignant"] * (N // 2), list(range(100, 100 + N))


def test_every_method_is_tested_here() -> None:
    assert set(SMALL) == set(methods())


def test_the_artifact_says_its_method(infillers: dict[str, Infiller]) -> None:
    for method, infiller in infillers.items():
        again = Infiller.open(infiller.folder)
        assert again.method == method
        assert (again.size_px, again.hole, again.feather_px) == (SIZE_PX, HOLE, 2)
        assert again.conditions == ("pathology",)
        assert again.classes_learned == {"benign": 10, "malignant": 6}
        assert len(again.previews) >= 1
        assert "images_seen" in again.history


def test_outside_the_hole_and_its_soft_edge_nothing_changes_to_the_bit(infiller: Infiller, cases: Cases) -> None:
    images, masks, *_ = cases
    filled = infiller.infill(*cases)
    assert (filled.dtype, filled.shape) == (np.uint16, images.shape)
    holes, may_change = holes_of(masks, HOLE), infiller.may_change(masks)
    assert may_change.shape == masks.shape
    assert not (holes & ~may_change).any()
    assert (~may_change).any(axis=(1, 2)).all()
    assert np.array_equal(filled[~may_change], images[~may_change])
    assert (filled[holes] != images[holes]).mean() > 0.9
    reach = 2 * infiller.feather_px + 3
    for hole, changing in zip(holes, may_change, strict=True):
        near = cv2.dilate(hole.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
        assert not (changing & ~near).any()


def test_the_hole_is_repainted_and_not_the_mask_alone(infiller: Infiller, cases: Cases) -> None:
    images, masks, *_ = cases
    beside = holes_of(masks, HOLE) & ~masks
    assert beside.any(axis=(1, 2)).all()
    assert (infiller.infill(*cases)[beside] != images[beside]).mean() > 0.8


def test_fills_are_the_same_bits_wherever_the_patches_lie_in_memory(infiller: Infiller, cases: Cases) -> None:
    random, others, fills = np.random.default_rng(0), [], infiller.infill(*cases)
    for _ in range(5):
        others += [np.empty(random.integers(1, 3000), np.uint8) for _ in range(100)]
        assert np.array_equal(infiller.infill(*cases), fills)


def test_sham_fills_are_the_same_before_they_are_rounded_too(cases: Cases) -> None:
    images, masks, _, seeds = cases
    random, others, painter = np.random.default_rng(0), [], TexturePainter(2)
    some = FillCases(images, masks, holes_of(masks, HOLE), {}, seeds)
    fills = np.array(list(painter.fills(some)))
    for _ in range(5):
        others += [np.empty(random.integers(1, 3000), np.uint8) for _ in range(100)]
        assert np.array_equal(np.array(list(painter.fills(some))), fills)


def test_a_picture_does_not_depend_on_its_company(infiller: Infiller, cases: Cases) -> None:
    images, masks, pathologies, seeds = cases
    together = infiller.infill(*cases)
    for k in (4, 1):
        alone = infiller.infill(images[k : k + 1], masks[k : k + 1], pathologies[k : k + 1], seeds[k : k + 1])
        assert np.array_equal(alone[0], together[k])


def test_what_was_in_the_hole_is_not_looked_at(infiller: Infiller, cases: Cases) -> None:
    images, masks, *rest = cases
    holes = holes_of(masks, HOLE)
    assert np.array_equal(
        infiller.infill(np.where(holes, 0, images).astype(np.uint16), masks, *rest)[holes],
        infiller.infill(images, masks, *rest)[holes],
    )


def test_the_patches_are_not_written_on(infiller: Infiller, cases: Cases) -> None:
    images, masks, *rest = cases
    before = images.copy(), masks.copy()
    infiller.infill(images, masks, *rest)
    assert np.array_equal(images, before[0])
    assert np.array_equal(masks, before[1])


def test_masks_at_the_border_where_they_are_allowed(infiller: Infiller, cases: Cases) -> None:
    images, masks, *rest = cases
    moved = np.roll(masks, -SIZE_PX // 2, axis=1)
    filled = infiller.infill(images, moved, *rest, allow_border=True)
    assert (filled[moved] != images[moved]).mean() > 0.9


def test_the_same_seed_makes_the_same_infiller(infillers: dict[str, Infiller], world: World, tmp_path: Path) -> None:
    for method in ("copy-paste", "texture"):
        assert make(world, tmp_path / method, method).fingerprint == infillers[method].fingerprint


def test_a_lesion_is_found_by_the_mask_that_it_lent(infillers: dict[str, Infiller], world: World) -> None:
    painter = infillers["copy-paste"]._painter("cpu")
    assert isinstance(painter, CopyPastePainter)
    rows = world.patches.rows(split="train", pathology=("benign", "malignant"))
    found = 0
    for row, mask in zip(rows, world.patches.masks(rows), strict=True):
        facts = world.patches.table.iloc[row]
        chosen = painter.choose(borrowed_mask(mask, 0.9, (2, -1)), {"pathology": facts["pathology"]}, seed=0)
        lender = painter.bank.table.iloc[chosen]
        assert lender["pathology"] == facts["pathology"]
        found += lender["patch_id"] == facts["patch_id"]
    assert found > 0.3 * len(rows)  # discs, as the toy's benign lesions are, all fit each other


def test_the_seed_chooses_among_lesions_that_fit(infillers: dict[str, Infiller]) -> None:
    painter = infillers["copy-paste"]._painter("cpu")
    assert isinstance(painter, CopyPastePainter)
    disc = toy_patch("a disc", "benign")[1]
    chosen = {painter.choose(disc, {"pathology": "benign"}, seed) for seed in range(20)}
    assert len(chosen) > 1
    assert chosen == {painter.choose(disc, {"pathology": "benign"}, seed) for seed in range(20)}


def test_outlines_are_compared_without_place_and_size() -> None:
    rows, columns = np.mgrid[:64, :64]
    ellipse = np.hypot((rows - 20) / 8, (columns - 22) / 14) < 1
    larger = np.hypot((rows - 36) / 16, (columns - 33) / 28) < 1
    upright = ellipse.T
    same, other = outline_of(ellipse) * outline_of(larger), outline_of(ellipse) * outline_of(upright)
    assert same.sum() > 0.95 * outline_of(ellipse).sum()
    assert other.sum() < 0.8 * outline_of(ellipse).sum()


def test_a_pasted_lesion_keeps_its_contrast_and_takes_the_brightness_around() -> None:
    rows, columns = np.mgrid[:64, :64]
    outline, mask = np.hypot(rows - 30, columns - 32) < 10, np.hypot(rows - 25, columns - 36) < 12
    hole = np.hypot(rows - 25, columns - 36) < 14
    pasted = paste((0.6 + 0.1 * outline).astype(np.float32), outline, np.full((64, 64), 0.2, np.float32), mask, hole, 4)
    assert pasted[25, 36] == pytest.approx(0.3, abs=0.01)
    assert pasted[25, 36 + 20] == np.float32(0.2)


def test_the_bank_holds_whole_lesions_of_the_train_split_once(world: World, tmp_path: Path) -> None:
    rows = toy.rows_of()
    cut = np.zeros((SIZE_PX, SIZE_PX), bool)
    cut[:9, 10:20] = True
    rows += [
        toy.patch_row(99, "benign", lesion_ids="lesion-0", patient_id="train-patient-benign-0")
    ]  # in another window
    patches = toy.make_patches(tmp_path / "patches", rows, masks={"train-benign-3": cut})
    infiller = train_infiller(
        patches, toy.make_pairs(tmp_path / "pairs", patches), tmp_path / "out", SMALL["copy-paste"], seed=0
    )
    painter = infiller._painter("cpu")
    assert isinstance(painter, CopyPastePainter)
    names = painter.bank.table["patch_id"].tolist()
    assert "train-benign-3" not in names
    assert ("train-benign-0" in names) != ("train-benign-99" in names)
    assert set(painter.bank.table["split"]) == {"train"}
    (learned,) = infiller.manifest.patients_learned_from
    assert set(learned.patients) == set(painter.bank.table["patient_id"])
    assert infiller.manifest.counts["lesions_in_bank"] == len(names)
    assert infiller.manifest.counts["lesions_left_out"] == 1


def test_a_class_without_a_whole_lesion(tmp_path: Path) -> None:
    cut = np.zeros((SIZE_PX, SIZE_PX), bool)
    cut[:9, 10:20] = True
    rows = toy.rows_of(malignant=2)
    patches = toy.make_patches(tmp_path / "patches", rows, masks={"train-malignant-0": cut, "train-malignant-1": cut})
    pairs = toy.make_pairs(tmp_path / "pairs", patches)
    with pytest.raises(TooFewError, match=r"No malignant lesion of .* lies wholly inside a patch .*larger patches"):
        train_infiller(patches, pairs, tmp_path / "out", SMALL["copy-paste"])


@pytest.mark.parametrize("method", ["copy-paste", "texture"])
def test_one_class_on_purpose(tmp_path: Path, method: str) -> None:
    patches = toy.make_patches(tmp_path / "patches", toy.rows_of(benign=0, malignant=8))
    settings = replace(SMALL[method], allow_one_class=True)
    infiller = train_infiller(patches, toy.make_pairs(tmp_path / "pairs", patches), tmp_path / "out", settings)
    assert infiller.classes_learned == {"benign": 0, "malignant": 8}
    assert len(infiller.previews) == 1


def test_a_texture_learns_from_nobody_and_knows_no_class(infillers: dict[str, Infiller], cases: Cases) -> None:
    infiller = infillers["texture"]
    assert infiller.manifest.patients_learned_from == ()
    images, masks, pathologies, seeds = cases
    assert np.array_equal(infiller.infill(*cases), infiller.infill(images, masks, pathologies[::-1], seeds))
    assert not np.array_equal(infiller.infill(*cases), infiller.infill(images, masks, pathologies, seeds[::-1]))


def test_a_texture_has_the_spread_and_the_grain_of_the_tissue() -> None:
    random = np.random.default_rng(0)
    noise = random.standard_normal((128, 128)).astype(np.float32)
    for sigma in (1.0, 3.0):
        tissue = ndimage.gaussian_filter(noise, sigma, mode="wrap")
        tissue = 0.5 + 0.05 * tissue / tissue.std()
        hole = np.zeros((128, 128), bool)
        hole[50:70, 40:75] = True
        made = np.mean([synthesise(tissue, hole, np.random.default_rng(k)).std() for k in range(8)])
        grain = np.mean([np.diff(synthesise(tissue, hole, np.random.default_rng(k))).std() for k in range(8)])
        assert made == pytest.approx(tissue.std(), rel=0.2)
        assert grain == pytest.approx(np.diff(tissue).std(), rel=0.2)


def test_air_and_labels_are_no_tissue() -> None:
    image = np.full((64, 64), 0.4, np.float32)
    image[:, :20] = 0.02
    image[:8, 40:] = 0.95
    hole = np.zeros((64, 64), bool)
    hole[25:40, 25:40] = True
    tissue = find_tissue(image, hole)
    assert not tissue[:, :18].any()
    assert not tissue[:6, 42:].any()
    assert not tissue[hole].any()
    assert tissue[45:, 30:].all()


def test_a_lesion_can_be_chosen_by_its_abnormality(world: World, tmp_path: Path) -> None:
    infiller = make(world, tmp_path / "out", "copy-paste", conditions=("pathology", "abnormality"))
    assert infiller.conditions == ("pathology", "abnormality")
    image, mask = toy_patch("tissue", "normal")[0], toy_patch("lesion", "malignant")[1]
    one = image[None], mask[None], ["malignant"], [3]
    assert np.array_equal(infiller.infill(*one, facts={"abnormality": ["mass"]}), infiller.infill(*one))
    with pytest.raises(TooFewError, match="none of them of pathology malignant, abnormality calcification"):
        infiller.infill(*one, facts={"abnormality": ["calcification"]})


def test_a_condition_that_the_patches_do_not_tell(world: World, tmp_path: Path) -> None:
    words = r"conditions names 'density', but none of the 16 lesion patches .* records it in a known word \(1, 2"
    with pytest.raises(SettingsError, match=words):
        make(world, tmp_path / "out", "copy-paste", conditions=("pathology", "density"))


@pytest.mark.parametrize("method", SMALL)
def test_settings_are_of_their_own_method(method: str) -> None:
    with pytest.raises(SettingsError, match=f"method must be {method}, but is 'diffusion'"):
        replace(SMALL[method], method="diffusion")
