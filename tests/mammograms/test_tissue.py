"""Where the breast and the pectoral muscle are, on drawn shapes, phantoms and real films."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from real_data import real_data

from mammofill import dicom
from mammofill.ground.imaging import StoredImage, to_uint16
from mammofill.mammograms.tissue import Tissue, enlarge_tissue, find_breast, map_tissue
from mammofill.phantom import PhantomSettings, draw_mammogram, draw_patient

SETTINGS = PhantomSettings(height_px=768, width_px=480, labels_and_edges=True)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Dice's coefficient."""
    return float(2 * (first & second).sum() / max(1, first.sum() + second.sum()))


def phantom(number: int, view: str) -> tuple[StoredImage, np.ndarray]:
    drawn = draw_mammogram(number, view, SETTINGS, seed=0)  # type: ignore[arg-type]
    return to_uint16(drawn.image), drawn.breast


def drawn_breast(
    muscle_tilt_deg: float | None = 27.0, tissue: float = 0.45
) -> tuple[StoredImage, np.ndarray, np.ndarray]:
    """Draw half an ellipse of breast at the left border, with a muscle whose edge runs from (0, 150) down and left.

    Returns:
        The image, the true breast and the true muscle.
    """
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:640, :420].astype(np.float64)
    breast = ((rows - 330) / 420) ** 2 + (columns / 300) ** 2 < 1
    muscle = np.zeros(breast.shape, bool)
    if muscle_tilt_deg is not None:
        muscle = breast & (columns < 150 - rows * np.tan(np.deg2rad(muscle_tilt_deg)))
    image = np.where(muscle, 0.75, np.where(breast, tissue, 0.05))
    image += cv2.GaussianBlur(random.normal(0, 0.1, image.shape), (0, 0), 5) * breast
    image = cv2.GaussianBlur(image, (0, 0), 2.5) + random.normal(0, 0.01, image.shape)
    return to_uint16(image), breast, muscle


def test_values() -> None:
    image, breast, _ = drawn_breast()
    tissue = map_tissue(image, "mlo", "left")
    assert tissue.dtype == np.uint8
    assert tissue.shape == (256, 168)
    assert set(np.unique(tissue)) == {Tissue.FILM, Tissue.BREAST, Tissue.PECTORAL}
    large = enlarge_tissue(tissue, image.shape)
    assert large.dtype == np.uint8
    assert large.shape == image.shape
    assert overlap(large != Tissue.FILM, breast) > 0.98
    assert np.array_equal(find_breast(image), large != Tissue.FILM)


@pytest.mark.parametrize("view", ["cc", "mlo"])
@pytest.mark.parametrize("number", range(4))
def test_phantoms_with_labels_and_edges_are_found(number: int, view: str) -> None:
    image, breast = phantom(number, view)
    found = find_breast(image)
    assert overlap(found, breast) > 0.97
    drawn = draw_mammogram(number, view, SETTINGS, seed=0)  # type: ignore[arg-type]
    assert all(found[mask].mean() > 0.99 for mask in drawn.lesions)


def with_frame(side: str) -> Callable[[StoredImage], StoredImage]:
    places = {"left": np.s_[:, :14], "right": np.s_[:, -14:], "top": np.s_[:14], "bottom": np.s_[-14:]}

    def change(image: StoredImage) -> StoredImage:
        image[places[side]] = 62000
        return image

    return change


def with_gradient(image: StoredImage) -> StoredImage:
    ramp = np.linspace(0, 8000, image.shape[0])[:, None]
    return np.clip(image * 0.85 + ramp, 0, 65535).astype(np.uint16)


def with_noise(image: StoredImage) -> StoredImage:
    return np.clip(image + np.random.default_rng(1).normal(0, 2000, image.shape), 0, 65535).astype(np.uint16)


def with_low_contrast(image: StoredImage) -> StoredImage:
    return (14000 + image * 0.45).astype(np.uint16)


@pytest.mark.parametrize(
    "change",
    [*(with_frame(side) for side in ("left", "right", "top", "bottom")), with_gradient, with_noise, with_low_contrast],
    ids=["left", "right", "top", "bottom", "gradient", "noise", "low contrast"],
)
@pytest.mark.parametrize(("number", "view"), [(0, "cc"), (2, "mlo")])
def test_bright_frames_and_poor_films_do_not_matter(
    change: Callable[[StoredImage], StoredImage], number: int, view: str
) -> None:
    image, breast = phantom(number, view)
    framed = np.zeros(image.shape, bool)
    changed = change(image.copy())
    framed[changed == 62000] = True
    assert overlap(find_breast(changed), breast & ~framed) > 0.96


def test_padding_to_a_square_does_not_matter() -> None:
    image, breast = phantom(1, "mlo")
    sides = ((0, 0), (144, 144))
    assert overlap(find_breast(np.pad(image, sides)), np.pad(breast, sides)) > 0.97


def test_labels_and_tape_are_film_even_where_they_touch_the_breasts_box() -> None:
    image, breast, _ = drawn_breast(None)
    image[20:90, 330:400] = 65000  # free, inside the box of the breast
    image[300:380, 303:370] = 65000  # touches the skin
    image[:12, 200:] = 40000  # tape along the upper border
    image[600:612, 280:] = 50000
    found = find_breast(image)
    assert overlap(found, breast) > 0.96
    assert not found[20:90, 330:400].any()
    assert found[300:380, 320:370].mean() < 0.05
    assert not found[:12, 290:].any()


def test_dark_fat_at_the_chest_wall_is_breast() -> None:
    image, breast, _ = drawn_breast(None)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    fat = ((rows - 330) / 120) ** 2 + (columns / 60) ** 2 < 1
    image[fat] = 2500
    found = find_breast(image)
    assert found[fat].mean() > 0.99
    assert overlap(found, breast) > 0.96


@pytest.mark.parametrize("value", [0, 700, 65535])
@pytest.mark.parametrize("shape", [(50, 40), (1, 1), (3, 200), (600, 300)])
def test_a_flat_picture_is_all_film(value: int, shape: tuple[int, int]) -> None:
    image = np.full(shape, value, np.uint16)
    assert not map_tissue(image).any()
    assert not find_breast(image).any()


def test_film_with_nothing_but_noise_and_a_label_is_all_film() -> None:
    image = (3000 + np.random.default_rng(0).normal(0, 400, (700, 500))).astype(np.uint16)
    assert not find_breast(image).any()
    image[40:120, 380:460] = 65000
    assert not find_breast(image).any()


@pytest.mark.parametrize("view", ["cc", "mlo"])
def test_mirrored_picture_gives_the_mirrored_map(view: str) -> None:
    image, _ = phantom(3, view)
    tissue = map_tissue(image, view, "left")
    mirrored = map_tissue(np.ascontiguousarray(image[:, ::-1]), view, "left")  # laterality is not what decides
    assert (tissue[:, ::-1] == mirrored).mean() > 0.995


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_a_smaller_picture_gives_about_the_same_map(share: float) -> None:
    image, _ = phantom(2, "mlo")
    size = (round(image.shape[1] * share), round(image.shape[0] * share))
    small = enlarge_tissue(map_tissue(cv2.resize(image, size, interpolation=cv2.INTER_AREA), "mlo"), image.shape)
    assert (small == enlarge_tissue(map_tissue(image, "mlo"), image.shape)).mean() > 0.97


@pytest.mark.parametrize("tilt", [15.0, 22.0, 30.0, 40.0])
@pytest.mark.parametrize("view", ["mlo", None])
def test_a_muscle_is_found_to_the_edge(tilt: float, view: str | None) -> None:
    image, _, muscle = drawn_breast(tilt)
    found = enlarge_tissue(map_tissue(image, view), image.shape) == Tissue.PECTORAL
    assert overlap(found, muscle) > 0.9
    for row in (40, 80, 120):
        assert abs(int(found[row].sum()) - int(muscle[row].sum())) < 12  # of 640 rows


def test_a_curved_muscle_is_followed() -> None:
    image, breast, _ = drawn_breast(None)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    muscle = breast & (columns < 150 * np.sqrt(np.clip(1 - rows / 330, 0, 1)))
    image[muscle] = 50000
    image = cv2.GaussianBlur(image, (0, 0), 2.5)
    found = enlarge_tissue(map_tissue(image, "mlo"), image.shape) == Tissue.PECTORAL
    assert overlap(found, muscle) > 0.9


@pytest.mark.parametrize("view", ["mlo", None])
def test_without_a_muscle_none_is_found(view: str | None) -> None:
    image, _, _ = drawn_breast(None)
    assert not (map_tissue(image, view) == Tissue.PECTORAL).any()


def test_a_large_dense_disc_is_no_muscle() -> None:
    image, _, _ = drawn_breast(None)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    image[(rows - 330) ** 2 + (columns - 130) ** 2 < 120**2] = 52000
    tissue = map_tissue(cv2.GaussianBlur(image, (0, 0), 4), "mlo")
    assert (tissue == Tissue.PECTORAL).sum() < 0.1 * (tissue != Tissue.FILM).sum()


def test_a_craniocaudal_view_never_has_a_muscle() -> None:
    image, _, muscle = drawn_breast(27.0)
    assert muscle.any()
    assert not (map_tissue(image, "cc") == Tissue.PECTORAL).any()
    for number in range(4):
        assert not (map_tissue(phantom(number, "cc")[0], "cc") == Tissue.PECTORAL).any()


def test_most_phantoms_in_oblique_view_have_a_muscle_in_the_right_corner() -> None:
    found = 0
    for number in range(8):
        image, breast = phantom(number, "mlo")
        rows, columns = np.nonzero(map_tissue(image, "mlo") == Tissue.PECTORAL)
        if len(rows):
            wall_left = breast[:, 0].sum() > breast[:, -1].sum()
            assert rows.min() < 4
            assert (columns.mean() < 80) == wall_left
            found += 1
    assert found >= 7


def test_enlarged_outlines_are_smooth() -> None:
    rows, columns = np.mgrid[:256, :150]
    tissue = ((rows - 128) ** 2 + columns**2 < 100**2).astype(np.uint8)
    large = enlarge_tissue(tissue, (2560, 1500))
    rows, columns = np.mgrid[:2560, :1500]
    away = np.abs(np.hypot(rows - 1284.5, columns - 4.5) - 1000)[
        (large == 1) != (np.hypot(rows - 1284.5, columns - 4.5) < 1000)
    ]
    assert away.max() < 8  # a staircase of cells would be up to 10 pixels off
    assert np.array_equal(enlarge_tissue(tissue, (256, 150)), tissue)


def test_maps_can_be_brought_to_less_than_their_size() -> None:
    image, breast = phantom(0, "cc")
    small = enlarge_tissue(map_tissue(image, "cc"), (64, 40))
    assert small.shape == (64, 40)
    assert abs((small > 0).mean() - breast.mean()) < 0.02


def test_small_phantoms_are_found() -> None:
    settings = PhantomSettings(height_px=384, width_px=256)
    for number in range(4):
        for view in draw_patient(number, settings, seed=0):
            assert overlap(find_breast(to_uint16(view.image)), view.breast) > 0.95


def film(folder: Path, name: str) -> StoredImage:
    return np.asarray(cv2.imread(str(folder / f"{name}.png"), cv2.IMREAD_UNCHANGED), np.uint16) * 257


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "breast", "film_at", "muscle"),
    # Looked up by eye: a (row, column) on the breast, one on a label, a bright frame or bare film, one in the muscle.
    [
        ("mdb001", (598, 535), (60, 30), (100, 720)),
        ("mdb010", (598, 525), (60, 950), (100, 300)),
        ("mdb028", (709, 338), (60, 960), (100, 270)),
        ("mdb132", (600, 400), (500, 980), (100, 60)),
        ("mdb274", (500, 400), (500, 980), (100, 60)),
    ],
)
def test_films_of_mini_mias(
    name: str, breast: tuple[int, int], film_at: tuple[int, int], muscle: tuple[int, int]
) -> None:
    image = film(real_data("mini_mias", "images"), name)
    tissue = enlarge_tissue(map_tissue(image, "mlo"), image.shape)
    assert tissue[breast] == Tissue.BREAST
    assert tissue[film_at] == Tissue.FILM
    assert tissue[muscle] == Tissue.PECTORAL
    assert 0.005 < (tissue == Tissue.PECTORAL).mean() < 0.15


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["mdb137", "mdb253", "mdb313"])
def test_films_of_mini_mias_that_show_no_muscle(name: str) -> None:
    tissue = map_tissue(film(real_data("mini_mias", "images"), name), "mlo")
    assert not (tissue == Tissue.PECTORAL).any()


@pytest.mark.real_data
def test_a_real_dicom_mammogram() -> None:
    image = dicom.read_image(real_data("dicom_edge_cases", "MG1_J2KI"))
    tissue = enlarge_tissue(map_tissue(image), image.shape)
    assert tissue[300, 300] == Tissue.PECTORAL
    assert tissue[2500, 1200] == Tissue.BREAST
    assert tissue[500, 2500] == Tissue.FILM  # the letter L of the label is near
    assert 0.5 < (tissue != Tissue.FILM).mean() < 0.58


@pytest.mark.real_data
def test_lesions_of_cdd_cesm_lie_on_breast() -> None:
    folder = real_data("cddcesm_dm")
    for name in ("P83_L_DM_CC", "P70_L_DM_CC", "P245_L_DM_CC", "P239_R_DM_CC"):
        image = np.asarray(cv2.imread(str(folder / "images" / f"{name}.jpg"), cv2.IMREAD_GRAYSCALE), np.uint16) * 257
        mask = cv2.imread(str(folder / "masks" / f"{name}.jpg"), cv2.IMREAD_GRAYSCALE) > 127
        assert find_breast(image)[mask].mean() > 0.99, name


@pytest.mark.real_data
def test_craniocaudal_views_of_unknown_view_get_no_muscle() -> None:
    folder = real_data("cddcesm_dm", "images")
    for name in ("P102_R_DM_CC", "P113_L_DM_CC", "P215_L_DM_CC", "P254_R_DM_CC", "P26_L_DM_CC", "P154_L_DM_CC"):
        image = np.asarray(cv2.imread(str(folder / f"{name}.jpg"), cv2.IMREAD_GRAYSCALE), np.uint16) * 257
        assert not (map_tissue(image) == Tissue.PECTORAL).any(), name


def test_a_name_painted_black_on_gray_film_does_not_make_the_film_breast() -> None:
    view = draw_mammogram(1, "mlo", PhantomSettings(height_px=512, width_px=320, labels_and_edges=False), seed=0)
    film = 0.13 + 0.85 * view.image
    wall_is_left = view.laterality == "left"
    film[60:110, slice(280, 300) if wall_is_left else slice(20, 40)] = 0.0
    found = find_breast(to_uint16(film))
    dice = 2 * (found & view.breast).sum() / (found.sum() + view.breast.sum())
    assert dice > 0.95


@pytest.mark.real_data
def test_the_breast_on_a_real_film_with_a_name_painted_black() -> None:
    image = dicom.read_image(next(real_data("dicom_edge_cases").rglob("MG1_J2KI")))
    tissue = map_tissue(image, "mlo")
    shares = [float((tissue == kind).mean()) for kind in Tissue]
    assert shares[Tissue.FILM] == pytest.approx(0.45, abs=0.03)
    assert shares[Tissue.PECTORAL] == pytest.approx(0.11, abs=0.03)
