"""The hole that is repainted for a lesion's mask."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammofill.ground.errors import SettingsError
from mammofill.pairing.hole import (
    GROWN,
    HoleSettings,
    distance_from_ellipse,
    equivalent_radius,
    hole_of,
    holes_of,
    widest,
)

SIZE = 64
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE].astype(float)
RULES = ("mask", "dilation", "ellipse")


def star(radius: float, waves: int = 0, depth: float = 0.0, row: float = 31.5, column: float = 31.5) -> np.ndarray:
    """A disc whose outline waves: r(angle) = radius (1 + depth cos(waves angle))."""
    angle = np.arctan2(ROWS - row, COLUMNS - column)
    return np.hypot(ROWS - row, COLUMNS - column) <= radius * (1 + depth * np.cos(waves * angle))


masks = st.builds(
    star,
    radius=st.floats(2, 12),
    waves=st.integers(1, 9),
    depth=st.floats(0, 0.4),
    row=st.floats(5, 58),
    column=st.floats(5, 58),
)
growths = st.tuples(st.floats(0, 1), st.floats(0, 4))


def rule(name: str, share: float, plus_px: float) -> HoleSettings:
    return HoleSettings() if name == "mask" else HoleSettings(name, share, plus_px)  # type: ignore[arg-type]


def square(side: int) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[20 : 20 + side, 30 : 30 + side] = True
    return mask


# ---- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "radius"), [(1, 0.5642), (3, 1.6926), (10, 5.6419)])
def test_the_equivalent_radius_is_that_of_the_disc_of_the_area(side: int, radius: float) -> None:
    assert equivalent_radius(square(side)) == pytest.approx(radius, abs=1e-4)


@pytest.mark.parametrize(
    ("row", "column", "distance"),
    [
        # A square of 3 px has the variance 3^2 / 12 along each side, so its ellipse has half-axes of 2 sqrt(0.75).
        (21, 31, -1.6926),
        (21, 33, 1.6926 * (2 / math.sqrt(3) - 1)),
        (24, 31, 1.6926 * (3 / math.sqrt(3) - 1)),
        (24, 34, 1.6926 * (math.hypot(3, 3) / math.sqrt(3) - 1)),
    ],
)
def test_the_distance_from_the_ellipse_of_a_square(row: int, column: int, distance: float) -> None:
    assert distance_from_ellipse(square(3))[row, column] == pytest.approx(distance, abs=1e-3)


@pytest.mark.parametrize("name", ["dilation", "ellipse"])
@pytest.mark.parametrize(("share", "plus_px", "radius"), [(0.0, 0.0, 10.0), (0.6, 2.0, 18.0), (0.25, 0.0, 12.5)])
def test_the_hole_of_a_disc_is_a_disc(name: str, share: float, plus_px: float, radius: float) -> None:
    hole = hole_of(star(10), rule(name, share, plus_px))
    assert equivalent_radius(hole) == pytest.approx(radius, abs=0.5)
    assert np.hypot(ROWS - 31.5, COLUMNS - 31.5)[hole].max() <= radius + 0.75


def test_the_ellipse_is_as_long_and_as_wide_as_the_lesion() -> None:
    mask = ((ROWS - 31.5) / 6) ** 2 + ((COLUMNS - 31.5) / 15) ** 2 <= 1
    hole = hole_of(mask, HoleSettings("ellipse", 0.5))
    assert np.argwhere(hole).max(axis=0) - np.argwhere(hole).min(axis=0) + 1 == pytest.approx([18, 45], abs=2)


# ---- properties ---------------------------------------------------------------------------------------------------


@given(masks, growths, st.sampled_from(RULES))
@settings(max_examples=60)
def test_the_hole_holds_the_mask(mask: np.ndarray, growth: tuple[float, float], name: str) -> None:
    hole = hole_of(mask, rule(name, *growth))
    assert (hole.dtype, hole.shape) == (np.bool_, mask.shape)
    assert hole[mask].all()


@given(masks)
def test_the_rule_mask_repaints_the_mask(mask: np.ndarray) -> None:
    hole = hole_of(mask, HoleSettings())
    assert np.array_equal(hole, mask)
    hole[:] = False
    assert mask.any(), "the mask itself is not handed out"


@given(masks, growths, growths, st.sampled_from(("dilation", "ellipse")))
@settings(max_examples=60)
def test_more_growth_is_a_larger_hole(
    mask: np.ndarray, one: tuple[float, float], other: tuple[float, float], name: str
) -> None:
    least, most = np.minimum(one, other), np.maximum(one, other)
    assert not (hole_of(mask, rule(name, *least)) & ~hole_of(mask, rule(name, *most))).any()


@given(st.integers(5, 9), st.floats(0.2, 0.35), st.floats(9, 12))
@settings(max_examples=40)
def test_the_ellipse_hides_the_outline(waves: int, depth: float, radius: float) -> None:
    spiculated = star(radius, waves, depth)
    # The disc of the same second moment: the mean of r(angle)^4 over that of r(angle)^2, the outline's area.
    smooth = star(radius * math.sqrt((1 + 3 * depth**2 + 3 / 8 * depth**4) / (1 + depth**2 / 2)))
    both = hole_of(spiculated, GROWN), hole_of(smooth, GROWN)
    shared = (spiculated & smooth).sum() / (spiculated | smooth).sum()
    assert shared < 0.85
    assert (both[0] & both[1]).sum() / (both[0] | both[1]).sum() > 0.9


@given(masks, st.integers(-3, 3), st.integers(-3, 3))
@settings(max_examples=40)
def test_a_shifted_mask_has_the_shifted_hole(mask: np.ndarray, down: int, right: int) -> None:
    wide = np.pad(mask, 40)
    hole = hole_of(wide, GROWN)
    assert np.array_equal(hole_of(np.roll(wide, (down, right), (0, 1)), GROWN), np.roll(hole, (down, right), (0, 1)))


def test_the_hole_ends_at_the_border_of_the_patch() -> None:
    corner = star(6, row=4, column=4)
    hole = hole_of(corner, GROWN)
    assert hole[0, :10].all()
    assert np.array_equal(hole, hole_of(np.pad(corner, ((0, 30), (0, 30))), GROWN)[:SIZE, :SIZE])


def test_holes_of_several_masks() -> None:
    several = np.array([star(4), star(9, 5, 0.3)])
    assert np.array_equal(holes_of(several, GROWN), [hole_of(one, GROWN) for one in several])
    assert holes_of(several[:0], GROWN).shape == (0, SIZE, SIZE)


# ---- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rule": "star"}, "rule must be mask, dilation or ellipse, but is 'star'"),
        ({"share": -0.1}, "share must be a number, at least 0"),
        ({"plus_px": math.nan}, "plus_px must be a number, at least 0"),
        ({"rule": "mask"}, "share must be 0 for the rule mask, which grows nothing, but is 0.6"),
    ],
)
def test_nonsense_is_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        replace(GROWN, **values)


def test_the_rule_in_words() -> None:
    assert str(HoleSettings()) == "the mask"
    assert str(HoleSettings("dilation", 0.25, 1)) == "the mask grown by 0.25 radii and 1 px"
    assert str(GROWN) == "the ellipse of the mask grown by 0.6 radii and 2 px"


def test_the_widest_of_some_rules() -> None:
    dilation, narrow = HoleSettings("dilation", 0.6, 2.0), HoleSettings("ellipse", 0.2, 2.0)
    assert widest([HoleSettings(), GROWN, dilation, narrow]) == GROWN
    assert widest([HoleSettings(), narrow]) == narrow
    assert widest([HoleSettings()]) == HoleSettings()


@pytest.mark.parametrize("name", ["dilation", "ellipse"])
def test_a_rim_stays_and_the_mask_is_never_cut(name: str) -> None:
    inside, across = star(20), star(12, row=10)
    grown = HoleSettings(name, 0.6, 2.0)  # type: ignore[arg-type]
    rimmed = replace(grown, rim_px=3)
    hole = hole_of(inside, rimmed)
    assert np.array_equal(hole[3:-3, 3:-3], hole_of(inside, grown)[3:-3, 3:-3])
    assert hole.sum() == hole[3:-3, 3:-3].sum() < hole_of(inside, grown).sum()
    assert hole_of(across, rimmed)[across].all(), (
        "a mask that lies in the rim is repainted there, and nothing around it"
    )
    assert np.array_equal(hole_of(across, rimmed)[:3], across[:3])
    assert str(rimmed).endswith("grown by 0.6 radii and 2 px, but for a rim of 3 px")
    assert widest([rimmed, grown]) == grown
    with pytest.raises(SettingsError, match="HoleSettings.rim_px must be 0 for the rule mask"):
        HoleSettings(rim_px=1)


@pytest.mark.parametrize(
    "rule",
    [
        HoleSettings(),
        GROWN,
        HoleSettings("dilation", 0.25, 1.5),
        HoleSettings("ellipse", 1e-07, 3.0),
        HoleSettings("ellipse", 0.3, 2.0, 3),
    ],
)
def test_a_rule_can_be_read_from_its_words(rule: HoleSettings) -> None:
    assert HoleSettings.from_words(str(rule)) == rule


def test_other_words_are_no_rule() -> None:
    with pytest.raises(ValueError, match="'a square' is not a rule for holes"):
        HoleSettings.from_words("a square")


def test_the_options_are_those_of_the_rule() -> None:
    words = HoleSettings("ellipse", 0.6, 2.0, rim_px=5).options
    assert words == "--hole.rule ellipse --hole.share 0.6 --hole.plus_px 2 --hole.rim_px 5"
