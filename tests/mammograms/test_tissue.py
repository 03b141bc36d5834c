"""Where the breast is, on drawn shapes and real films."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from real_data import real_data

from mammofill.mammograms.tissue import find_breast
from mammofill.phantom import PhantomSettings, draw_patient


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


@pytest.mark.parametrize("bright", [0.25, 0.9])
def test_a_half_ellipse_with_label_and_edges(bright: float) -> None:
    random = np.random.default_rng(0)
    truth = np.zeros((400, 260), np.uint8)
    cv2.ellipse(truth, (0, 200), (180, 160), 0, -90, 90, 1, -1)
    image = np.where(truth, bright, 0.04) + random.normal(0, 0.01, truth.shape)
    image[10:40, 190:250] = 1.0
    image[:, 256:] = 0.95
    found = find_breast((np.clip(image, 0, 1) * 65535).astype(np.uint16))
    assert overlap(found, truth > 0) > 0.95
    assert not found[:40, 190:].any()


def test_a_film_without_anything_has_no_breast() -> None:
    assert not find_breast(np.zeros((50, 40), np.uint16)).any()
    assert not find_breast(np.full((50, 40), 700, np.uint16)).any()


def test_phantoms_are_found() -> None:
    settings = PhantomSettings(height_px=384, width_px=256)
    for number in range(6):
        for view in draw_patient(number, settings, seed=0):
            found = find_breast((view.image * 65535).astype(np.uint16))
            assert overlap(found, view.breast) > 0.9
            assert all(found[mask].all() for mask in view.lesions)


@pytest.mark.real_data
def test_lesions_of_mini_mias_lie_on_the_breast_that_is_found() -> None:
    folder = real_data("mini_mias", "images")
    for name, row, column in [("mdb001", 598, 535), ("mdb010", 598, 525), ("mdb028", 709, 338), ("mdb005", 890, 477)]:
        path = folder / f"{name}.png"
        if path.is_file():
            found = find_breast(cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.uint16) * 257)
            assert found[row, column]
            assert 0.1 < found.mean() < 0.7
