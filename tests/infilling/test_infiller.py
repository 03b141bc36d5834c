from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from toy_infilling import SIZE_PX, World, toy_patch

from mammofill.ground.errors import DamagedError, DeviceError, MammofillError, WeightsError
from mammofill.ground.imaging import to_unit
from mammofill.infilling import Infiller
from mammofill.pairing.hole import HoleSettings, holes_of

N = 8


@pytest.fixture
def cases() -> tuple[np.ndarray, np.ndarray, list[str], list[int]]:
    images, masks = zip(*(toy_patch(f"case-{number}", "malignant") for number in range(N)), strict=True)
    return np.array(images), np.array(masks), ["benign", "malignant"] * (N // 2), list(range(100, 100 + N))


def test_pixels_outside_the_soft_edge_are_identical(world: World, cases: tuple) -> None:
    images, masks, pathologies, seeds = cases
    filled = world.infiller.infill(images, masks, pathologies, seeds)
    assert (filled.dtype, filled.shape) == (np.uint16, images.shape)
    reach = 2 * world.infiller.feather_px + 3
    for image, hole, fill in zip(images, holes_of(masks, world.infiller.hole), filled, strict=True):
        away = cv2.dilate(hole.astype(np.uint8), np.ones((reach, reach), np.uint8)) == 0
        assert np.array_equal(fill[away], image[away])
        assert (fill[hole] != image[hole]).mean() > 0.9


def test_the_raw_picture_is_the_fill_inside_the_hole(world: World, cases: tuple) -> None:
    images, masks, pathologies, seeds = cases
    filled = world.infiller.infill(images, masks, pathologies, seeds)
    raw = world.infiller.infill(images, masks, pathologies, seeds, raw=True)
    holes = holes_of(masks, world.infiller.hole)
    assert np.array_equal(raw[holes], filled[holes])
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


def test_holes_that_touch_the_border(world: World, cases: tuple) -> None:
    images, masks, pathologies, seeds = cases
    masks[2, 10, -1] = True
    words = r"The hole of image 2 \(the ellipse .*\) touches the border of the patch, so that its lesion"
    with pytest.raises(MammofillError, match=words):
        world.infiller.infill(images, masks, pathologies, seeds)
    assert world.infiller.infill(images, masks, pathologies, seeds, allow_border=True).shape == images.shape


def test_a_mask_outside_the_patch(world: World, cases: tuple) -> None:
    images, masks, pathologies, seeds = cases
    wide = np.pad(masks, ((0, 0), (0, 8), (0, 8)))
    with pytest.raises(MammofillError, match=r"fills patches of 32x32 px, but got masks of shape \(8, 40, 40\)"):
        world.infiller.infill(images, wide, pathologies, seeds)


def test_an_unknown_pathology(world: World, cases: tuple) -> None:
    images, masks, pathologies, seeds = cases
    with pytest.raises(MammofillError, match="Picture 1 requests the pathology 'normal'. Use benign or malignant"):
        world.infiller.infill(images, masks, [pathologies[0], "normal", *pathologies[2:]], seeds)


def test_a_fact_that_the_infiller_does_not_know(world: World, cases: tuple) -> None:
    with pytest.raises(MammofillError, match="'density' was requested, but this infiller is conditioned on pathology"):
        world.infiller.infill(*cases, facts={"density": ["1"] * N})


def test_floats_between_0_and_1_are_as_good(world: World, cases: tuple) -> None:
    images, *rest = cases
    assert np.array_equal(world.infiller.infill(to_unit(images), *rest), world.infiller.infill(images, *rest))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.nan, r"Image 5 holds NaN or infinite values"),
        (np.inf, r"Image 5 holds NaN or infinite values"),
        (1.5, r"Image 5 holds values from .* to 1.5, outside \[0, 1\]. Divide by the largest value"),
        (-0.25, r"Image 5 holds values from -0.25 to .*, outside \[0, 1\]"),
    ],
)
def test_values_that_no_pixel_has(world: World, cases: tuple, value: float, words: str) -> None:
    images = to_unit(cases[0])
    images[5, 3, 4] = value
    with pytest.raises(MammofillError, match=words):
        world.infiller.infill(images, *cases[1:])


def test_pixels_of_another_type(world: World, cases: tuple) -> None:
    images, masks, pathologies, seeds = cases
    with pytest.raises(
        MammofillError, match=r"images of type uint16 over 0..65535, or float in \[0, 1\], but got uint8"
    ):
        world.infiller.infill((images >> 8).astype(np.uint8), masks, pathologies, seeds)
    with pytest.raises(MammofillError, match="needs masks of type bool, but got uint8"):
        world.infiller.infill(images, masks.astype(np.uint8), pathologies, seeds)
    with pytest.raises(MammofillError, match="8 images, 8 masks, 8 pathologies and 2 seeds"):
        world.infiller.infill(images, masks, pathologies, seeds[:2])


def test_a_device_that_is_not_there(world: World, cases: tuple) -> None:
    with pytest.raises(DeviceError, match="cuda:7"):
        world.infiller.infill(*cases, device="cuda:7")


def changed(infiller: Infiller, folder: Path, old: str, new: str) -> Infiller:
    """A copy of an infiller with another network.json."""
    shutil.copytree(infiller.folder, folder)
    text = (folder / "network.json").read_text()
    assert old in text
    (folder / "network.json").write_text(text.replace(old, new))
    return Infiller(folder, infiller.manifest)


def test_weights_of_another_network(world: World, cases: tuple, tmp_path: Path) -> None:
    infiller = changed(world.infiller, tmp_path / "infiller", '"size_px": 32', '"size_px": 16')
    with pytest.raises(WeightsError, match=r"belongs to another network than Generator: .* Use the weights that were"):
        infiller.infill(*(array[:, 8:24, 8:24] for array in cases[:2]), cases[2], cases[3], allow_border=True)


def test_weights_that_are_no_numbers(world: World, cases: tuple, tmp_path: Path) -> None:
    infiller = changed(world.infiller, tmp_path / "infiller", "{", "{")
    tensors = load_file(infiller.folder / "weights.safetensors")
    tensors["to_image.bias"][0] = np.nan
    save_file(tensors, infiller.folder / "weights.safetensors")
    with pytest.raises(
        WeightsError, match=r"holds NaN or infinite values in 1 tensors, first 'to_image.bias'. .*again"
    ):
        infiller.infill(*cases)


def test_no_weights(world: World, cases: tuple, tmp_path: Path) -> None:
    infiller = changed(world.infiller, tmp_path / "infiller", "{", "{")
    (infiller.folder / "weights.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"weights.safetensors does not exist"):
        infiller.infill(*cases)
    with pytest.raises(DamagedError, match=r"weights.safetensors is missing"):
        Infiller.open(infiller.folder)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"size_px"', '"side"', r"network.json has no entry size_px of type int"),
        ('"size_px": 32', '"size_px": "32"', r"has no entry size_px of type int"),
        (
            '"method": "gan"',
            '"method": "diffusion"',
            r"names the method 'diffusion'; this version knows gan, flow, copy-paste",
        ),
        ('"pathology"', '"mood"', r"names conditions that this version does not know: mood"),
        ('"rule": "ellipse"', '"rule": "star"', r"describes no hole that this version knows .*rule must be"),
        ('"plus_px"', '"minus_px"', r"describes no hole that this version knows .*minus_px"),
        ("{", "[", r"network.json cannot be read .* Train the infiller again"),
        ('"activation"', '"squashing"', r"network.json describes no generator that can be built .*squashing"),
        ('"leaky_relu"', '"tanh"', r"describes no generator that can be built .*activation must be"),
    ],
)
def test_a_foreign_network_file(world: World, cases: tuple, tmp_path: Path, old: str, new: str, words: str) -> None:
    infiller = changed(world.infiller, tmp_path / "infiller", old, new)
    with pytest.raises(DamagedError, match=words):
        infiller.infill(*cases)


def test_a_folder_without_its_network_file_does_not_open(world: World, tmp_path: Path) -> None:
    infiller = changed(world.infiller, tmp_path / "infiller", "{", "{")
    manifest = json.loads((infiller.folder / "artifact.json").read_text())
    del manifest["files"]["network.json"]
    (infiller.folder / "artifact.json").write_text(json.dumps(manifest))
    (infiller.folder / "network.json").unlink()
    with pytest.raises(DamagedError, match=r"network.json cannot be read .*No such file"):
        Infiller.open(infiller.folder)


def test_an_infiller_that_says_no_method_is_a_gan(world: World, cases: tuple, tmp_path: Path) -> None:
    infiller = changed(world.infiller, tmp_path / "infiller", '"method": "gan",', "")
    assert infiller.method == "gan"
    assert np.array_equal(infiller.infill(*cases), world.infiller.infill(*cases))


def test_an_infiller_that_says_no_hole_repaints_the_mask(world: World, tmp_path: Path) -> None:
    said = world.infiller.network["hole"]
    network = world.infiller.folder / "network.json"
    assert json.loads(network.read_text())["hole"] == said
    infiller = changed(world.infiller, tmp_path / "infiller", '"hole"', '"hole_of_a_later_version"')
    assert infiller.hole == HoleSettings()
