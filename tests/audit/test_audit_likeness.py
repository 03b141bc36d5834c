"""Copies of a picture are told from other pictures: by number, on practice mammograms and on real ones."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import cv2
import numpy as np
import pytest
from real_data import real_data

from mammofill.audit.likeness import (
    LEAST_CORRELATION,
    MOST_BITS,
    alike_pairs,
    correlate_detail,
    hash_picture,
    small_copy,
)
from mammofill.ground.imaging import resample
from mammofill.phantom import PhantomSettings, draw_patient


def breasts(count: int) -> list[np.ndarray]:
    settings = PhantomSettings(patients=count, height_px=384, width_px=256)
    views = [view for number in range(count) for view in draw_patient(number, settings, 1)]
    return [np.rint(view.image * 65535).astype(np.uint16) for view in views]


def as_jpeg(image: np.ndarray) -> np.ndarray:
    coded = cv2.imencode(".jpg", (image // 257).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    return cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE).astype(np.uint16) * 257


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "jpeg": as_jpeg,
    "half the size": lambda image: resample(image, (image.shape[0] // 2, image.shape[1] // 2)),
    "other contrast": lambda image: np.rint((image / 65535) ** 0.7 * 65535).astype(np.uint16),
    "darker": lambda image: image // 2,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_stays_alike(change: str) -> None:
    for image in breasts(3):
        copy = CHANGES[change](image)
        hashes = np.stack([hash_picture(image), hash_picture(copy)])
        assert [(pair.first, pair.second, pair.mirrored) for pair in alike_pairs(hashes, ~hashes)] == [(0, 1, False)]
        assert correlate_detail(small_copy(image), small_copy(copy)) >= LEAST_CORRELATION


def test_a_mirrored_copy_is_alike_its_mirror_image() -> None:
    image = breasts(1)[0]
    copy = np.ascontiguousarray(image[:, ::-1])
    hashes = np.stack([hash_picture(image), hash_picture(copy)])
    mirrored = np.stack([hash_picture(copy), hash_picture(image)])
    assert [(pair.bits, pair.mirrored) for pair in alike_pairs(hashes, mirrored)] == [(0, True)]


def test_different_breasts_are_not_alike() -> None:
    copies = [small_copy(image) for image in breasts(6)]
    assert max(correlate_detail(*pair) for pair in combinations(copies, 2)) < LEAST_CORRELATION


def test_the_bits_are_counted_over_all_four_words_and_in_blocks() -> None:
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**63, (70, 4), dtype=np.uint64)
    hashes[61] = hashes[3] ^ np.array([1, 2, 4, 8 + 16], np.uint64)
    found = list(alike_pairs(hashes, ~hashes))
    assert [(pair.first, pair.second, pair.bits, pair.mirrored) for pair in found] == [(3, 61, 5, False)]
    expected = sum(bin(int(a ^ b)).count("1") for a, b in zip(hashes[0], hashes[1], strict=True))
    pair = next(pair for pair in alike_pairs(hashes, ~hashes, 256) if (pair.first, pair.second) == (0, 1))
    assert pair.bits == min(expected, 256 - expected)  # the mirrored hashes here are the opposite ones


def test_an_even_picture_is_alike_to_nothing() -> None:
    even = np.full((64, 64), 300, np.uint16)
    assert correlate_detail(small_copy(even), small_copy(breasts(1)[0])) < LEAST_CORRELATION
    assert hash_picture(even).shape == (4,)


@pytest.mark.real_data
def test_no_two_of_the_real_films_are_alike_and_each_is_alike_to_its_copy() -> None:
    from mammofill.mammograms.reading import read_image

    paths = sorted(real_data("mini_mias", "images").glob("*.png"))[:60]
    images = [read_image(path, None, "none").pixels for path in paths]
    hashes, mirrored = (np.stack([hash_picture(image[:, ::step]) for image in images]) for step in (1, -1))
    copies = [small_copy(image) for image in images]
    for pair in alike_pairs(hashes, mirrored):
        other = copies[pair.second][:, ::-1] if pair.mirrored else copies[pair.second]
        assert correlate_detail(copies[pair.first], other) < LEAST_CORRELATION
    for image, copy, hashed in zip(images[:10], copies, hashes, strict=False):
        changed = as_jpeg(image)
        assert int(np.bitwise_count(hashed ^ hash_picture(changed)).sum()) <= MOST_BITS
        assert correlate_detail(copy, small_copy(changed)) >= LEAST_CORRELATION
