"""Number tables and properties of the pure image functions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from mammofill.ground import imaging


def test_all_stored_values_survive_unit_range_and_back() -> None:
    stored = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(imaging.to_uint16(imaging.to_unit(stored)), stored)


def test_values_outside_the_unit_range_are_clipped() -> None:
    assert imaging.to_uint16(np.array([-0.5, 0.0, 1.0, 7.0], np.float32)).tolist() == [0, 0, 65535, 65535]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 2, 2), [[0, 1], [4, 5]]),
        ((1, 2, 2, 2), [[6, 7], [10, 11]]),
        ((-1, -1, 2, 2), [[9, 9], [9, 0]]),
        ((2, 3, 2, 2), [[11, 9], [9, 9]]),
        ((5, 5, 1, 2), [[9, 9]]),
    ],
    ids=["inside", "flush", "before the corner", "past the corner", "wholly outside"],
)
def test_crop(box: tuple[int, int, int, int], expected: list[list[int]]) -> None:
    array = np.arange(12).reshape(3, 4)
    assert imaging.crop(array, box, fill=9).tolist() == expected


def test_shrinking_averages_areas() -> None:
    pixels = np.array([[0, 100, 7, 7], [100, 200, 7, 7]], np.uint16)
    assert imaging.resample(pixels, (1, 2)).tolist() == [[100, 7]]


def test_a_tiny_lesion_does_not_vanish_when_shrunk() -> None:
    mask = np.zeros((100, 100), bool)
    mask[41, 63] = True
    small = imaging.resample_mask(mask, (10, 10))
    assert np.argwhere(small).tolist() == [[4, 6]]


@pytest.mark.parametrize(
    ("rows", "columns", "box"),
    [([2], [3], (2, 3, 1, 1)), ([0, 4], [1, 2], (0, 1, 5, 2)), ([], [], (0, 0, 0, 0))],
)
def test_mask_box(rows: list[int], columns: list[int], box: tuple[int, int, int, int]) -> None:
    mask = np.zeros((6, 6), bool)
    mask[rows, columns] = True
    assert imaging.mask_box(mask) == box


@given(arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_distances_are_those_to_the_nearest_true_pixel(mask: np.ndarray) -> None:
    places, true = np.indices(mask.shape).reshape(2, -1).T, np.argwhere(mask)
    squares = [np.square(true - place).sum(axis=1).min(initial=np.inf) for place in places.astype(float)]
    expected = np.sqrt(np.reshape(squares, mask.shape)).astype(np.float32)
    assert np.array_equal(imaging.distance_from(mask), expected)


def test_distances_are_the_same_bits_wherever_the_mask_lies_in_memory() -> None:
    mask = np.zeros((64, 64), bool)
    mask[20:40, 25:50] = True
    random, others = np.random.default_rng(0), []
    for _ in range(100):
        others.append(np.empty(random.integers(1, 3000), np.uint8))  # whatever comes next lies elsewhere
        assert np.array_equal(imaging.distance_from(mask), imaging.distance_from(mask.copy()))


def test_feather_falls_linearly_and_ends() -> None:
    mask = np.zeros((1, 9), bool)
    mask[0, 0] = True
    opacity = imaging.feather(np.repeat(mask, 9, axis=0), 3)
    assert np.allclose(opacity[4], [1, 0.75, 0.5, 0.25, 0, 0, 0, 0, 0])


@given(
    arrays.arrays(np.uint16, (16, 16)),
    arrays.arrays(np.float32, (16, 16), elements=st.floats(0, 1, width=32)),
    arrays.arrays(np.bool_, (16, 16)),
    st.integers(0, 5),
)
def test_outside_the_feathered_mask_nothing_changes(
    original: np.ndarray, fill: np.ndarray, mask: np.ndarray, width_px: int
) -> None:
    opacity = imaging.feather(mask, width_px)
    filled = imaging.composite(original, fill, opacity)
    assert np.array_equal(filled[opacity == 0], original[opacity == 0])
    assert np.array_equal(filled[opacity == 1], imaging.to_uint16(fill)[opacity == 1])
    assert (opacity[mask] == 1).all()


def test_corrupt_replaces_the_mask_only_and_with_uniform_noise() -> None:
    image = np.full((64, 64), 0.5, np.float32)
    mask = np.zeros((64, 64), bool)
    mask[:32] = True
    context = imaging.corrupt(image, mask, np.random.default_rng(0))
    assert (context[32:] == 0.5).all()
    counts, _ = np.histogram(context[:32], bins=4, range=(0, 1))
    assert counts.min() > 450  # of 2048 in four bins, 512 expected


@given(arrays.arrays(np.uint16, (5, 7)))
def test_png_keeps_16_bits(pixels: np.ndarray) -> None:
    assert np.array_equal(imaging.decode_png(imaging.encode_png(pixels)), pixels)


def test_bytes_that_are_no_png_are_refused() -> None:
    with pytest.raises(ValueError, match="not a PNG image"):
        imaging.decode_png(b"no picture")


@given(st.data())
def test_a_mask_resampled_to_its_box_is_the_whole_mask_resampled(data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(8, 60)), data.draw(st.integers(8, 60))
    size = (data.draw(st.integers(4, 70)), data.draw(st.integers(4, 70)))
    mask = np.zeros((rows, columns), bool)
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    patch = mask[top : top + 12, left : left + 12]
    patch[:] = data.draw(arrays.arrays(np.bool_, patch.shape))
    mask[top, left] = True
    inside, (row, column, height, width) = imaging.resample_mask_to_box(mask, size)
    assert inside.shape == (height, width)
    assert inside.any(axis=0)[[0, -1]].all(), "the box is tight"
    assert inside.any(axis=1)[[0, -1]].all(), "the box is tight"
    whole = np.zeros(size, bool)
    whole[row : row + height, column : column + width] = inside
    assert np.array_equal(whole, imaging.resample_mask(mask, size))


def test_a_tiff_is_mapped_and_holds_what_was_encoded(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (37, 23)).astype(np.uint16)
    path = tmp_path / "film.tiff"
    path.write_bytes(imaging.encode_tiff(pixels))
    read = imaging.read_tiff(path)
    assert isinstance(read, np.memmap)
    assert np.array_equal(read, pixels)


def test_a_tiff_that_another_program_compressed_is_read_too(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (37, 23)).astype(np.uint16)
    Image.fromarray(pixels).save(tmp_path / "film.tiff", compression="tiff_lzw")
    assert np.array_equal(imaging.read_tiff(tmp_path / "film.tiff"), pixels)


def test_an_8_bit_picture_is_not_taken_for_a_mammogram(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "film.tiff")
    with pytest.raises(ValueError, match=r"film.tiff is not a 16-bit gray TIFF image"):
        imaging.read_tiff(tmp_path / "film.tiff")
