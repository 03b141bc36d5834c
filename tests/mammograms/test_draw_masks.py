"""Which pixels belong to a circle, an outline or a box."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mammofill.mammograms.draw_masks import draw_mask
from mammofill.mammograms.sources.annotations import Box, Circle, Outline

ONE = (1.0, 1.0)
SQUARE = ((1, 1), (1, 4), (4, 4), (4, 1))


def pixels(place: Circle | Outline | Box, shape: tuple[int, int], scale: tuple[float, float] = ONE) -> list[str]:
    return ["".join(".#"[int(value)] for value in row) for row in draw_mask(place, shape, scale)]


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (Circle(1, 2, 1), ["..#...", ".###..", "..#..."]),
        (Circle(1, 2, 0.99), ["......", "..#...", "......"]),
        (Circle(1, 2, 0), ["......", "..#...", "......"]),
        (Circle(0.6, 2.6, 0.1), ["......", "...#..", "......"]),  # between centres: the nearest
        (Circle(0, 0, 1), ["##....", "#.....", "......"]),
        (Circle(-5, -5, 2), ["......", "......", "......"]),
        (Box(1, 1, 2, 3), ["......", ".###..", ".###.."]),
        (Box(0.5, 0.5, 1, 3), ["......", ".###..", "......"]),
        (Box(-3, 4, 5, 9), ["....##", "....##", "......"]),
        (Box(0.9, 1.8, 0.05, 0.05), [".#....", "......", "......"]),  # its middle, (0.425, 1.325), is in that pixel
        (Box(9, 9, 2, 2), ["......", "......", "......"]),
    ],
)
def test_a_pixel_belongs_if_its_centre_lies_inside(place: Circle | Box, expected: list[str]) -> None:
    assert pixels(place, (3, 6)) == expected


@pytest.mark.parametrize(
    ("contours", "expected"),
    [
        # A square of whole numbers has the pixels that a box of that size has; its direction does not matter.
        ((SQUARE,), ["......", ".###..", ".###..", ".###..", "......"]),
        ((SQUARE[::-1],), ["......", ".###..", ".###..", ".###..", "......"]),
        (((*SQUARE, SQUARE[0]),), ["......", ".###..", ".###..", ".###..", "......"]),
        ((((0.5, 0.5), (0.5, 2.5), (2.5, 2.5), (2.5, 0.5)),), ["......", ".##...", ".##...", "......", "......"]),
        # A triangle: the centres on its upper and left side belong to it.
        ((((0, 0), (4, 0), (0, 4)),), ["####..", "###...", "##....", "#.....", "......"]),
        # An outline that goes round twice has no hole.
        (((*SQUARE, *SQUARE),), ["......", ".###..", ".###..", ".###..", "......"]),
        # Points and lines mark the pixels along them.
        ((((2, 3),),), ["......", "......", "...#..", "......", "......"]),
        ((((1, 1), (1, 3)),), ["......", ".###..", "......", "......", "......"]),
        ((((0, 0),), ((4, 5),)), ["#.....", "......", "......", "......", ".....#"]),
        # A sliver between two rows of centres is not lost.
        ((((1.2, 1), (1.2, 3), (1.4, 2)),), ["......", ".###..", "......", "......", "......"]),
        # Beyond the border: cut off, or nothing.
        ((((-5, -5), (-5, 1.5), (1.5, 1.5), (1.5, -5)),), ["##....", "##....", "......", "......", "......"]),
        ((((-5, 2),), ((2, 9),)), ["......", "......", "......", "......", "......"]),
        ((((-9, -9), (-9, 20), (20, 20), (20, -9)),), ["######"] * 5),
    ],
)
def test_outlines_are_filled_by_their_winding_number(
    contours: tuple[tuple[tuple[float, float], ...], ...], expected: list[str]
) -> None:
    assert pixels(Outline(contours), (5, 6)) == expected


def test_at_half_the_scale_a_pixel_stands_for_two_by_two() -> None:
    # Working pixel (r, c) has its centre at (2 r + 0.5, 2 c + 0.5) in the source.
    half = (0.5, 0.5)
    assert pixels(Box(2, 2, 2, 4), (3, 4), half) == ["....", ".##.", "...."]
    assert pixels(Outline((((2, 2), (2, 6), (4, 6), (4, 2)),)), (3, 4), half) == ["....", ".##.", "...."]
    assert pixels(Circle(2.5, 2.5, 2), (3, 4), half) == [".#..", "###.", ".#.."]
    assert pixels(Outline((((3, 7),),)), (3, 4), half) == ["....", "...#", "...."]
    assert pixels(Circle(3, 7, 0.2), (3, 4), half) == ["....", "...#", "...."]


def test_rows_and_columns_have_scales_of_their_own() -> None:
    assert pixels(Box(4, 2, 4, 4), (3, 8), (0.5, 1.0)) == ["........", "........", "..####.."]
    assert pixels(Box(2, 4, 4, 4), (8, 3), (1.0, 0.5)) == ["...", "...", "..#", "..#", "..#", "..#", "...", "..."]


def test_filling_agrees_with_a_point_in_polygon_test() -> None:
    random = np.random.default_rng(5)
    for _ in range(20):
        angles = np.sort(random.uniform(0, 2 * np.pi, 12))
        radius = random.uniform(5, 19, 12)
        contour = np.stack([20.3 + radius * np.sin(angles), 22.7 + radius * np.cos(angles)], axis=1)
        mask = draw_mask(Outline((tuple(map(tuple, contour.tolist())),)), (40, 45), ONE)
        swapped = contour[:, ::-1].astype(np.float32)
        expected = [[cv2.pointPolygonTest(swapped, (x, y), False) > 0 for x in range(45)] for y in range(40)]
        assert np.array_equal(mask, expected)
