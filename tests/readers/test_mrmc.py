"""The analysis against published figures, and against readers of known ability."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from van_dyke import CINE, IS_POSITIVE, SPIN_ECHO

from mammofill.ground.errors import TooFewError
from mammofill.ground.seeding import stream
from mammofill.readers.analyse import _in_words
from mammofill.readers.mrmc import Areas, Estimate, areas_of, compare_modalities, covariance_across, mean_area


def test_areas_of_van_dyke_are_the_published_ones() -> None:
    published = (
        (SPIN_ECHO, [0.91964573, 0.85877617, 0.90386473, 0.97310789, 0.82979066]),
        (CINE, [0.94782609, 0.90531401, 0.92173913, 0.99935588, 0.92995169]),
    )
    for ratings, areas in published:
        np.testing.assert_allclose(areas_of(ratings, IS_POSITIVE).areas, areas, atol=5e-9)


def test_factorial_analysis_of_van_dyke_is_the_published_one() -> None:
    # Smith, Hillis and Pesce, MRMCaov for R, covariance method DeLong.
    across = covariance_across(SPIN_ECHO, CINE, IS_POSITIVE)
    found = compare_modalities(areas_of(SPIN_ECHO, IS_POSITIVE), areas_of(CINE, IS_POSITIVE), across)
    assert found.f == pytest.approx(4.484854, abs=5e-7)
    assert found.difference.degrees == pytest.approx(15.06611, abs=5e-6)
    assert found.difference.p_value == pytest.approx(0.05123303, abs=5e-9)
    assert found.difference.value == pytest.approx(0.04380032, abs=5e-9)
    assert found.difference.standard_error == pytest.approx(0.0206825, abs=5e-8)
    assert (found.difference.low, found.difference.high) == pytest.approx((-0.0002665519, 0.0878671960), abs=5e-10)
    covariances = (found.error, found.cov1, found.cov2, found.cov3)
    assert covariances == pytest.approx((0.0007921325, 0.0003420090, 0.0003395265, 0.0002358497), abs=5e-11)


@pytest.mark.parametrize(
    ("ratings", "area", "error", "degrees", "low", "high"),
    [
        (SPIN_ECHO, 0.8970370, 0.03307642, 12.59597, 0.8253461, 0.9687280),
        (CINE, 0.9408374, 0.02150464, 12.56530, 0.8942155, 0.9874592),
    ],
)
def test_one_modality_of_van_dyke_is_as_published(
    ratings: np.ndarray, area: float, error: float, degrees: float, low: float, high: float
) -> None:
    found = mean_area(areas_of(ratings, IS_POSITIVE))
    assert found.value == pytest.approx(area, abs=5e-8)
    assert found.standard_error == pytest.approx(error, abs=5e-9)
    assert found.degrees == pytest.approx(degrees, abs=5e-6)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-8)


def test_cases_nested_in_modalities_have_no_covariance_across() -> None:
    # Published with the jackknife: F 2.104491, Cov2 0.0003455973. Its variances are those of DeLong and a little more.
    found = compare_modalities(areas_of(SPIN_ECHO, IS_POSITIVE), areas_of(CINE, IS_POSITIVE))
    assert (found.cov1, found.cov3) == (0, 0)
    assert found.f == pytest.approx(2.104491, rel=0.02)
    assert found.cov2 == pytest.approx(0.0003455973, rel=0.02)


def simulated(seed: int, readers: int, cases: int, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """Readers whose mean area over all readers and cases is known: Roe and Metz's model, one modality."""
    random = stream(seed, "simulated readers")
    truth = np.arange(cases) % 2 == 1
    skill = random.normal(0, 0.15, (readers, 1))
    of_case, own = random.normal(0, math.sqrt(0.4), cases), random.normal(0, math.sqrt(0.6), (readers, cases))
    return (apart + skill) * truth + of_case + own, truth


@pytest.mark.parametrize("apart", [0.0, 0.8])
def test_interval_holds_the_ability_of_simulated_readers(apart: float) -> None:
    ability = float(stats.norm.cdf(apart / math.sqrt(2 + 0.15**2)))
    held = []
    for seed in range(120):
        ratings, truth = simulated(seed, readers=5, cases=80, apart=apart)
        found = mean_area(areas_of(ratings, truth))
        held.append(found.low <= ability <= found.high)
    # 95 % of 120 are 114; fewer than 106 or all 120 would each come by chance once in some hundred times.
    assert 106 <= sum(held) <= 119


def test_equal_modalities_are_rarely_called_different() -> None:
    called = []
    for seed in range(120):
        parts = [simulated(2 * seed + number, readers=4, cases=60, apart=0.8) for number in range(2)]
        found = compare_modalities(*(areas_of(ratings, truth) for ratings, truth in parts))
        called.append(found.difference.p_value < 0.05)
    assert sum(called) <= 14


def test_one_reader_says_nothing_of_all_readers() -> None:
    one = areas_of(CINE[:1], IS_POSITIVE)
    with pytest.raises(TooFewError, match="two or more"):
        mean_area(one)
    with pytest.raises(TooFewError, match="two or more"):
        compare_modalities(one, one)


def test_a_kind_without_cases_has_no_area() -> None:
    with pytest.raises(TooFewError, match="two cases of each class; there are 0 and 114"):
        areas_of(CINE, np.zeros(114, bool))


def test_readers_who_never_differ_have_no_interval() -> None:
    """All right about ten cases was told as an interval from 1.000 to 1.000 and a p of 0.0000."""
    perfect = Areas(np.ones(3), np.zeros((3, 3)))
    found = mean_area(perfect)
    assert (found.value, found.standard_error) == (1, 0)
    assert np.isnan([found.low, found.high, found.p_value]).all()
    assert _in_words(found, least=0) == "1.000; nothing varies over readers or cases, so no interval can be given"
    none = compare_modalities(perfect, perfect).difference
    assert np.isnan([none.low, none.high, none.p_value]).all()


def test_no_interval_is_told_beyond_what_an_area_can_be() -> None:
    wide = Estimate(0.82, -0.959, 2.599, 0.14, 1.0, 0.26)
    assert "0.820 (95 % interval 0.000 to 1.000, 1.0 degrees" in _in_words(wide, least=0)
    assert "0.820 (95 % interval -0.959 to 1.000" in _in_words(wide, least=-1)
