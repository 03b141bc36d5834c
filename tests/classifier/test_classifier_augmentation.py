from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from mammofill.classifier import AugmentationSettings
from mammofill.classifier.augmentation import Augmentation, apply_augmentation, draw_augmentation, warp_matrix
from mammofill.ground.seeding import stream

C = 2.0  # centre of an image of 5 pixels
ROOT = np.sqrt(0.5)


@pytest.mark.parametrize(
    ("augmentation", "source", "target"),
    [
        # points are (column, row); rows point down
        (Augmentation(), (4, 1), (4, 1)),
        (Augmentation(flip=True), (4, 1), (0, 1)),
        (Augmentation(flip=True), (C, 3), (C, 3)),
        (Augmentation(rotation_degrees=90), (C + 1, C), (C, C - 1)),  # right of the centre -> above it
        (Augmentation(rotation_degrees=-90), (C + 1, C), (C, C + 1)),
        (Augmentation(rotation_degrees=45), (C + 1, C), (C + ROOT, C - ROOT)),
        (Augmentation(zoom=2), (C + 1, C - 0.5), (C + 2, C - 1)),
        (Augmentation(zoom=0.5), (C + 1, C), (C + 0.5, C)),
        # flip first, then rotation: right -> left -> below
        (Augmentation(flip=True, rotation_degrees=90), (C + 1, C), (C, C + 1)),
        (Augmentation(flip=True, rotation_degrees=90, zoom=2), (C + 1, C), (C, C + 2)),
        (Augmentation(flip=True, rotation_degrees=30, zoom=1.25), (C, C), (C, C)),
    ],
)
def test_matrix_takes_points_where_they_belong(
    augmentation: Augmentation, source: tuple[float, float], target: tuple[float, float]
) -> None:
    assert warp_matrix(augmentation, 5) @ [*source, 1] == pytest.approx(target)


def test_flip_alone_mirrors_pixels_exactly() -> None:
    image = stream(0, "image").integers(0, 65536, (16, 16)).astype(np.uint16)
    assert np.array_equal(apply_augmentation(image, Augmentation(flip=True)), image[:, ::-1])


def test_quarter_turn_moves_pixels_exactly_and_counter_clockwise() -> None:
    image = stream(0, "image").integers(0, 65536, (16, 16)).astype(np.uint16)
    assert np.array_equal(apply_augmentation(image, Augmentation(rotation_degrees=90)), np.rot90(image))


def test_nothing_drawn_leaves_the_image_untouched() -> None:
    image = np.arange(64, dtype=np.uint16).reshape(8, 8)
    assert apply_augmentation(image, Augmentation()) is image


def test_corners_are_filled_by_reflection_not_by_a_new_value() -> None:
    image = np.full((32, 32), 40000, np.uint16)
    warped = apply_augmentation(image, Augmentation(rotation_degrees=30, zoom=0.75))
    assert np.array_equal(warped, image)


def test_zoom_enlarges_about_the_centre() -> None:
    image = np.zeros((65, 65), np.uint16)
    image[27:38, 27:38] = 60000
    enlarged = apply_augmentation(image, Augmentation(zoom=2)) > 29999
    rows = np.flatnonzero(enlarged.any(axis=1))
    assert (rows[0], rows[-1]) == (21, 43)  # half of the value at 2 x 5.5 pixels from the centre, 32
    assert np.array_equal(enlarged, enlarged.T)


@given(seed=some.integers(0, 2**32))
def test_draws_stay_in_range(seed: int) -> None:
    drawn = draw_augmentation(AugmentationSettings(traditional=True), stream(seed, "draw"))
    assert -30 <= drawn.rotation_degrees <= 30
    assert 0.75 <= drawn.zoom <= 1.25


def test_draws_fill_the_range_and_flip_half_of_the_time() -> None:
    settings = AugmentationSettings(traditional=True)
    drawn = [draw_augmentation(settings, stream(0, number)) for number in range(400)]
    assert 160 < sum(one.flip for one in drawn) < 240
    assert min(one.rotation_degrees for one in drawn) < -28
    assert max(one.rotation_degrees for one in drawn) > 28
    assert min(one.zoom for one in drawn) < 0.77
    assert max(one.zoom for one in drawn) > 1.23


def test_switching_one_kind_off_leaves_the_others() -> None:
    all_kinds = draw_augmentation(AugmentationSettings(traditional=True), stream(3, "x"))
    no_turn = draw_augmentation(AugmentationSettings(flip=True, zoom=(0.75, 1.25)), stream(3, "x"))
    assert (no_turn.flip, no_turn.zoom) == (all_kinds.flip, all_kinds.zoom)
    assert no_turn.rotation_degrees == 0


def test_quarter_turns_come_besides_and_evenly_and_leave_the_rest_as_it_was() -> None:
    strong, traditional = AugmentationSettings(strong=True), AugmentationSettings(traditional=True)
    drawn = [draw_augmentation(strong, stream(0, number)) for number in range(400)]
    before = [draw_augmentation(traditional, stream(0, number)) for number in range(400)]
    assert [(one.flip, one.rotation_degrees, one.zoom) for one in drawn] == [
        (one.flip, one.rotation_degrees, one.zoom) for one in before
    ]
    assert {one.quarter_turns for one in before} == {0}
    for turns in range(4):
        assert 70 < sum(one.quarter_turns == turns for one in drawn) < 130


def test_flips_and_quarter_turns_make_all_eight_places_of_a_square() -> None:
    image = stream(0, "image").integers(0, 65536, (8, 8)).astype(np.uint16)
    found = {
        apply_augmentation(image, Augmentation(flip=flip, quarter_turns=turns)).tobytes()
        for flip in (False, True)
        for turns in range(4)
    }
    assert len(found) == 8
    assert np.ascontiguousarray(image[::-1]).tobytes() in found
    assert np.ascontiguousarray(image.T).tobytes() in found
