"""Intervals and tests in simulated studies whose truth is known: a small run of benchmarks/coverage_of_intervals.py.

Each count is held against the binomial distribution: limits that a right method crosses once in 1,000 runs. The seeds
are fixed, so that a run that passed passes again; what the full run found is in docs/statistics.md.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mammofill.evaluation.intervals import Replicates, Seeds, Spread, with_seeds

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "coverage_of_intervals.py"
STUDIES, RESAMPLES = 250, 150


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_of_intervals", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def two_arms(simulation: ModuleType) -> dict[str, float]:
    world = replace(simulation.WORLDS[0], patients=50, more_patches=2.0, separation=(1.2, 1.5))
    truth = [{"auc": world.auc(arm)} for arm in (0, 1)]
    found: dict[str, float] = simulation.mean_of(
        simulation.study_of_two(world, truth, ("auc",), RESAMPLES, number) for number in range(STUDIES)
    )
    return found


@pytest.mark.parametrize("of", ["arm auc", "difference auc"])
def test_intervals_hold_the_truth_as_often_as_they_say(of: str, two_arms: dict[str, float]) -> None:
    low, high = stats.binom.ppf([0.0005, 0.9995], STUDIES, 0.95) / STUDIES  # 0.90 to 0.988 of 250
    assert low <= two_arms[of] <= high


def test_intervals_that_leave_out_the_seeds_hold_it_too_seldom(two_arms: dict[str, float]) -> None:
    """That the test above can fail: the percentile interval of the same studies does not reach its lower limit."""
    assert two_arms["percentile, seeds as they are"] < stats.binom.ppf(0.0005, STUDIES, 0.95) / STUDIES


def test_no_effect_is_seldom_shown_among_several_arms(simulation: ModuleType) -> None:
    world = replace(simulation.FAMILIES[0], patients=40, more_patches=2.0, separation=(1.2,) * 4, seeds=2)
    found = simulation.mean_of(simulation.study_of_family(world, RESAMPLES, number) for number in range(STUDIES))
    most = stats.binom.ppf(0.999, STUDIES, 0.05) / STUDIES  # 0.096
    assert found["any, Holm"] <= most
    assert found["any, uncorrected"] > found["any, Holm"]


# ---- the parts of an interval, by hand -----------------------------------------------------------------------------


def spread(**changes: Any) -> Spread:
    usual: dict[str, Any] = {"value": 0.1, "from_seeds": 0.0, "from_patients": 0.0004, "patients": 31}
    usual |= {"seeds_degrees": 0, "left_out": 0, "scale": "difference"}
    return Spread(**(usual | changes))


def test_an_interval_of_patients_alone_is_students() -> None:
    reach = stats.t.ppf(0.975, 30) * 0.02
    assert spread().interval(0.95) == (pytest.approx(0.1 - reach), pytest.approx(0.1 + reach))
    assert spread().p_of_zero() == pytest.approx(2 * stats.t.sf(5, 30))
    expected = (stats.t.ppf(0.975, 30) + stats.t.ppf(0.8, 30)) * 0.02
    assert spread().smallest_shown(0.05, 0.8) == pytest.approx(expected)


def test_many_patients_give_the_textbook_formula() -> None:
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert spread(patients=10**7).smallest_shown(0.05, 0.8) == pytest.approx(z * 0.02, rel=1e-5)


def test_few_seeds_widen_an_interval() -> None:
    """Errors of 0.03 and 0.04 are one of 0.05, with 0.05 ** 4 / (0.03 ** 4 / 30 + 0.04 ** 4 / 4) degrees."""
    both = spread(from_patients=0.0009, from_seeds=0.0016, seeds_degrees=4)
    assert both.error == pytest.approx(0.05)
    assert both.degrees == pytest.approx(0.05**4 / (0.03**4 / 30 + 0.04**4 / 4))


@pytest.mark.parametrize(("value", "side"), [(0.0, 1), (1.0, 0)])
def test_a_share_at_its_end_still_has_an_interval(value: float, side: int) -> None:
    """Clopper and Pearson for 0 of 30 patients: 1 - 0.025 ** (1 / 30) = 0.116."""
    found = spread(value=value, from_patients=0.0, patients=30, scale="share").interval(0.95)
    assert found[1 - side] == value
    assert abs(found[side] - value) == pytest.approx(0.1157, abs=1e-4)


def test_intervals_of_shares_stay_in_range() -> None:
    low, high = spread(value=0.97, scale="share").interval(0.95)
    assert 0.8 < low < 0.97 < high < 1
    low, high = spread(value=0.02, scale="positive").interval(0.95)
    assert 0 < low < 0.02 < high


def test_what_cannot_be_had_is_not_a_number() -> None:
    none = spread(from_patients=np.nan)
    assert np.isnan(none.interval(0.95)).all()
    assert np.isnan(none.p_of_zero())


def test_seeds_are_taken_together_over_groups() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.01, (2, 3, 4000))
    groups = [
        Replicates(np.array(values), np.array(values)[:, None] + noise[number][: len(values)], patients=10**6)
        for number, values in enumerate(([0.1, 0.2, 0.3], [0.5, 0.7]))
    ]
    alone = Replicates(np.array([0.4]), np.full((1, 4000), 0.4), patients=10**6)
    found = with_seeds([*groups, alone])
    assert found[2].seeds == found[0].seeds
    assert found[0].seeds is not None
    assert found[0].seeds.degrees == 3
    assert found[0].seeds.variance == pytest.approx((2 * 0.01 + 1 * 0.02) / 3)
    assert found[0].seeds.of_patches == pytest.approx(0.0001, rel=0.1)
    assert with_seeds([alone])[0].seeds is None


def test_what_patches_explain_does_not_count_twice() -> None:
    """Two replicates: the variance over patients of their mean holds half of what is each one's own."""
    draws = np.random.default_rng(1).normal(0.5, 0.02, (2, 20_000))
    one = Replicates(np.array([0.5, 0.5]), draws, patients=10**6, seeds=Seeds(0.0009, 0.0004, 1))
    found = one.spread()
    assert found.from_seeds == pytest.approx(0.0009 / 2)
    assert found.from_patients == pytest.approx(0.0, abs=2e-5)
    assert one.simulated(np.random.default_rng(2)).var() == pytest.approx(0.0004 / 2 + 0.0005 / 2, rel=0.05)
