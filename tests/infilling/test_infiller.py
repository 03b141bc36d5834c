from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from toy_infilling import SIZE_PX, World, toy_patch

from mammofill.ground.errors import DamagedError, DeviceError, MammofillError, WeightsError
from mammofill.infilling import Infiller

N = 8


@pytest.fixture
def cases() -> tuple[np.ndarray, np.ndarray, list[str], list[int]]:
    images, masks = zip(*(toy_patch(f"case-{number}", "malignant") for number in range(N)), strict=True)
    return np.array(images), np.array(masks), ["benign", "malignant"] * (N // 2), list(range(100, 100 + N))


def test_pixels_outside_the_soft_edge_are_identical(world: World, cases: tuple) -> None:
    images, masks, pathologies, seeds = cases
    filled = world.infiller.infill(images, masks, pathologies, seeds)
    assert (filled.dtype, filled.shape) == (np.uint16, images.shape)
    reach = world.infiller.feather_px
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 3, 2 * reach + 3))
    for image, mask, fill in zip(images, masks, filled, strict=True):
        away = cv2.dilate(mask.astype(np.uint8), np.ones_like(disc)) == 0
        assert np.array_equal(fill[away], image[away])
        assert (fill[mask] != image[mask]).mean() > 0.9


def test_the_raw_picture_is_the_fill_inside_the_mask(world: World, cases: tuple) -> None:
    images, masks, pathologies, seeds = cases
    filled = world.infiller.infill(images, masks, pathologies, seeds)
    raw = world.infiller.infill(images, masks, pathologies, seeds, raw=True)
    assert np.array_equal(raw[masks], filled[masks])
    assert not np.array_equal(raw, filled)


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_the_same_seed_gives_the_same_picture_in_any_company(world: World, cases: tuple, batch: int) -> None:
    images, masks, pathologies, seeds = cases
    together = world.infiller.infill(images, masks, pathologies, seeds)
    order = np.random.default_rng(0).permutation(N)
    for start in range(0, N, batch):
        some = order[start : start + batch]
        found = world.infiller.infill(
            images[some], masks[some], [pathologies[k] for k in some], [seeds[k] for k in some]
        )
        assert np.array_equal(found, together[some])


def test_seed_and_class_change_the_fill_only_inside(world: World, cases: tuple) -> None:
    images, masks, pathologies, seeds = cases
    filled = world.infiller.infill(images, masks, pathologies, seeds)
    other_seed = world.infiller.infill(images, masks, pathologies, [seed + 1 for seed in seeds])
    other_class = world.infiller.infill(images, masks, pathologies[::-1], seeds)
    for other in (other_seed, other_class):
        assert (other[masks] != filled[masks]).any()


def test_an_infiller_opens_again_and_fills_the_same(world: World, cases: tuple) -> None:
    again = Infiller.open(world.infiller.folder)
    assert np.array_equal(again.infill(*cases), world.infiller.infill(*cases))
    assert (again.size_px, again.feather_px) == (SIZE_PX, 2)
    assert again.classes_learned == {"benign": 10, "malignant": 6}


def test_no_patches_give_no_fills(world: World) -> None:
    none = np.empty((0, SIZE_PX, SIZE_PX))
    assert world.infiller.infill(none.astype(np.uint16), none.astype(bool), [], []).shape == none.shape


def test_an_empty_mask(world: World, cases: tuple) -> None:
    images, masks, pathologies, seeds = cases
    masks[3] = False
    with pytest.raises(MammofillError, match="The mask of image 3 is empty: there is nothing to fill"):
        world.infiller.infill(images, masks, pathologies, seeds)


def test_patches_of_another_size(world: World, cases: tuple) -> None:
    images, masks, pathologies, seeds = cases
    with pytest.raises(MammofillError, match=r"fills patches of 32x32 px, but got images of shape \(8, 16, 16\)"):
        world.infiller.infill(images[:, :16, :16], masks[:, :16, :16], pathologies, seeds)


def test_an_unknown_pathology(world: World, cases: tuple) -> None:
    images, masks, pathologies, seeds = cases
    with pytest.raises(MammofillError, match="Image 1 asks for the pathology 'normal'. An infiller paints benign or"):
        world.infiller.infill(images, masks, [pathologies[0], "normal", *pathologies[2:]], seeds)


def test_pixels_of_another_type(world: World, cases: tuple) -> None:
    images, masks, pathologies, seeds = cases
    with pytest.raises(MammofillError, match="needs images of type uint16, but got float64"):
        world.infiller.infill(images / 65535, masks, pathologies, seeds)
    with pytest.raises(MammofillError, match="8 images, 8 masks, 8 pathologies and 2 seeds"):
        world.infiller.infill(images, masks, pathologies, seeds[:2])


def test_a_device_that_is_not_there(world: World, cases: tuple) -> None:
    with pytest.raises(DeviceError, match="cuda:7"):
        world.infiller.infill(*cases, device="cuda:7")


def test_damaged_folders(world: World, cases: tuple, tmp_path: Path) -> None:
    folder = tmp_path / "infiller"
    shutil.copytree(world.infiller.folder, folder)
    network = folder / "network.json"
    text = network.read_text()
    network.write_text(text.replace('"size_px": 32', '"size_px": 16'))
    with pytest.raises(WeightsError, match="belongs to another network than Generator"):
        Infiller(folder, world.infiller.manifest).infill(
            *(array[:, 8:24, 8:24] for array in cases[:2]), cases[2], cases[3]
        )
    network.write_text(text[:-9])
    with pytest.raises(DamagedError, match=r"network.json cannot be read"):
        Infiller(folder, replace(world.infiller.manifest)).infill(*cases)
