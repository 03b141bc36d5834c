"""The PNG writer: what it writes is a PNG, and the same bytes with either library of compression."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from mammofill.ground import imaging

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(st.one_of(*(arrays(kind, SHAPES) for kind in (np.uint16, np.uint8, np.bool_))))
def test_two_other_readers_see_the_same_pixels(pixels: np.ndarray) -> None:
    encoded = imaging.encode_png(pixels)
    wanted = pixels * np.uint8(255) if pixels.dtype == bool else pixels
    with Image.open(io.BytesIO(encoded)) as picture:  # which checks the sums of the parts
        picture.load()
        assert np.array_equal(np.asarray(picture), wanted)
    decoded = imaging.decode_png(encoded)
    assert np.array_equal(decoded, wanted)
    assert decoded.dtype == wanted.dtype


def _pictures() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    mask = np.zeros((256, 256), bool)
    mask[90:150, 100:180] = random.random((60, 80)) > 0.1
    film = (20000 + 200 * np.arange(256) + random.normal(0, 300, (256, 256))).astype(np.uint16)
    return [film, (film >> 8).astype(np.uint8), random.integers(0, 65536, (300, 200), np.uint16), mask]


@pytest.mark.parametrize("number", range(4))
def test_both_libraries_write_the_same_bytes(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    zlib_ng = pytest.importorskip("zlib_ng", reason="zlib-ng, an extra, is not installed").zlib_ng
    written = []
    for library in (zlib, zlib_ng):
        monkeypatch.setattr(imaging, "zlib", library)
        written.append(imaging.encode_png(_pictures()[number]))
    assert written[0] == written[1]


def test_a_transposed_part_is_written_as_it_looks() -> None:
    film = _pictures()[0]
    part = film[3:100:2, 5:90].T
    assert np.array_equal(imaging.decode_png(imaging.encode_png(part)), part)


@pytest.mark.parametrize("array", [np.zeros((0, 4), np.uint16), np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2))])
def test_what_is_no_gray_picture_is_refused(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="cannot be a gray PNG of 8 or 16 bits"):
        imaging.encode_png(array)


@given(st.data())
def test_a_small_part_of_a_mask_is_resampled_as_the_whole(data: st.DataObject) -> None:
    mask = np.zeros((data.draw(st.integers(12, 60)), data.draw(st.integers(12, 60))), bool)
    size = (data.draw(st.integers(4, 70)), data.draw(st.integers(4, 70)))
    mask[2:9, 3:8] = data.draw(arrays(np.bool_, (7, 5)))
    assert np.array_equal(imaging.resample_small(mask, size), imaging.resample_mask(mask, size))
