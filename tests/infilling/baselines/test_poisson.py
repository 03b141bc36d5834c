from __future__ import annotations

import numpy as np
import pytest

from mammofill.infilling.baselines.poisson import blend, membrane

SIZE = 96
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE].astype(float)
HOLES = {
    "in the middle": np.hypot(ROWS - 50, COLUMNS - 44) < 20,
    "at the border": (ROWS < 30) & (COLUMNS > 60),
    "in two parts": (np.hypot(ROWS - 20, COLUMNS - 20) < 9) | (np.hypot(ROWS - 70, COLUMNS - 70) < 12),
    "one pixel": (ROWS == 7) & (COLUMNS == 8),
}
each_hole = pytest.mark.parametrize("hole", HOLES.values(), ids=HOLES.keys())


@pytest.fixture
def target() -> np.ndarray:
    return np.random.default_rng(0).random((SIZE, SIZE)).astype(np.float32)


@each_hole
def test_a_picture_blended_into_itself_is_itself(target: np.ndarray, hole: np.ndarray) -> None:
    assert np.array_equal(blend(target, target, hole), target)


@each_hole
def test_a_constant_added_to_the_source_disappears(target: np.ndarray, hole: np.ndarray) -> None:
    source = np.random.default_rng(1).random((SIZE, SIZE))
    assert np.allclose(blend(source + 0.3, target, hole), blend(source, target, hole), atol=1e-9)


@each_hole
def test_outside_the_hole_the_target_is_kept_to_the_bit(target: np.ndarray, hole: np.ndarray) -> None:
    blended = blend(1 - target, target, hole)
    assert np.array_equal(blended[~hole], target[~hole])
    assert (blended[hole] != target[hole]).all()


def test_a_plane_is_spanned_by_its_rim() -> None:
    plane = 3 + 0.5 * ROWS - 0.25 * COLUMNS
    hole = HOLES["in the middle"]
    assert np.allclose(membrane(np.where(hole, 99, plane), hole), plane, atol=1e-6)


def test_each_pixel_of_the_membrane_is_the_mean_of_its_neighbours(target: np.ndarray) -> None:
    hole = HOLES["in the middle"]
    spanned = membrane(target, hole)
    means = (np.roll(spanned, 1, 0) + np.roll(spanned, -1, 0) + np.roll(spanned, 1, 1) + np.roll(spanned, -1, 1)) / 4
    assert np.allclose(means[hole], spanned[hole], atol=1e-9)


def test_the_border_of_the_picture_does_not_hold_the_membrane() -> None:
    # Held on the left alone, it lies flat.
    hole = COLUMNS > 40
    assert np.allclose(membrane(np.where(hole, 0, COLUMNS), hole)[hole], 40, atol=1e-6)


def test_what_does_not_hold_is_not_met() -> None:
    hole = HOLES["in the middle"]
    target = np.where(COLUMNS > 50, 0.0, 0.7)
    blended = blend(np.full_like(target, 0.1), target, hole, holding=target > 0)
    assert np.allclose(blended[hole], 0.7, atol=1e-6)


def test_where_nothing_holds_the_source_stays_as_it_is(target: np.ndarray) -> None:
    everywhere = np.ones((SIZE, SIZE), bool)
    assert np.allclose(blend(1 - target, target, everywhere), 1 - target, atol=1e-9)
    assert np.array_equal(blend(1 - target, target, ~everywhere), target)


def test_the_depth_of_16_bits_is_kept() -> None:
    hole = HOLES["in the middle"]
    source = 0.5 + ROWS**2 / 65535  # a plane would be flattened by its rim
    blended = blend(source, np.full_like(source, 0.25), hole)
    assert len(np.unique(np.rint(blended[hole] * 65535))) > 20
