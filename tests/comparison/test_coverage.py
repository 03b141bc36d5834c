"""Intervals and tests in simulated studies whose truth is known: a small run of benchmarks/coverage_of_intervals.py.

Each count is held against the binomial distribution: limits that a right method crosses once in 1,000 runs. The seeds
are fixed, so that a run that passed passes again; what the full run found is in docs/statistics.md.
"""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mammofill.evaluation.intervals import Part, Replicates, Spread, by_chain

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "coverage_of_intervals.py"
STUDIES, RESAMPLES = 150, 80


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_of_intervals", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def within_chance(share: float, of: float, studies: int = STUDIES) -> bool:
    """Whether a count is one that a right method gives in 998 of 1,000 such runs."""
    low, high = stats.binom.ppf([0.001, 0.999], studies, of) / studies
    return bool(low <= share <= high)


@pytest.fixture(scope="module")
def nested(simulation: ModuleType) -> dict[str, float]:
    """Three infillers that differ four times as much as their classifiers; by lesion."""
    world = simulation.World("test", patients=60, of_infiller=0.6)
    found: dict[str, float] = simulation.mean_of(
        simulation.study_of_two(world, RESAMPLES, number) for number in range(STUDIES)
    )
    return found


@pytest.mark.parametrize("of", ["arm without infiller", "arm with infillers", "difference"])
def test_intervals_hold_the_truth_under_variation_of_infillers(of: str, nested: dict[str, float]) -> None:
    """At least as often as they say; docs/statistics.md has by how much more."""
    low = stats.binom.ppf(0.001, STUDIES, 0.95) / STUDIES
    assert low <= nested[of]


def test_classifiers_of_one_infiller_do_not_show_its_variation(nested: dict[str, float]) -> None:
    """That the test above can fail: with one infiller taken for the arm the interval is missed far too often."""
    assert nested["difference, one infiller taken for the arm"] < stats.binom.ppf(0.001, STUDIES, 0.95) / STUDIES


@pytest.mark.parametrize("folds", [0, 4])
def test_intervals_of_arms_that_share_classifiers_are_narrower_and_hold_the_truth(
    folds: int, simulation: ModuleType
) -> None:
    """Fills allowed in one training of three: what both arms have in common cancels."""
    world = simulation.World("trial", 60, areas=(0.8, 0.87), infillers=4, classifiers=1, allowed=1 / 3, folds=folds)
    found = simulation.mean_of(simulation.study_of_trial(world, RESAMPLES, number) for number in range(STUDIES))
    low = stats.binom.ppf(0.001, STUDIES, 0.95) / STUDIES
    assert found["difference"] >= low
    assert found["width, of that as if apart"] < 0.9


def test_no_effect_is_seldom_shown_among_several_generated_arms(simulation: ModuleType) -> None:
    world = simulation.World("test", patients=60, areas=(0.8,) * 3, of_infiller=0.6)
    found = simulation.mean_of(simulation.study_of_family(world, RESAMPLES, number) for number in range(STUDIES))
    most = stats.binom.ppf(0.999, STUDIES, 0.05) / STUDIES
    assert found["any, Holm"] <= most
    assert found["any, Holm, one infiller taken for the arm"] > most, "which is what was done before"


@pytest.mark.parametrize("share", [0.15, 0.5])
def test_intervals_near_one_hold_the_truth(share: float, simulation: ModuleType) -> None:
    world = simulation.World("near one", 60, share, areas=(0.97, 0.97), classifiers=1)
    found = simulation.mean_of(simulation.study_of_two(world, RESAMPLES, number) for number in range(STUDIES))
    low = stats.binom.ppf(0.001, STUDIES, 0.95) / STUDIES
    assert low <= min(found["arm without infiller"], found["arm with infillers"])


def test_pairs_within_folds_hold_the_mean_over_folds(simulation: ModuleType) -> None:
    """All scores together, aligned roughly, gave 0.619 where the folds' own AUCs were 0.641 on average."""
    world = simulation.World("folds", 60, folds=5, infillers=3, classifiers=1)
    found = simulation.mean_of(simulation.study_of_two(world, RESAMPLES, number) for number in range(STUDIES))
    assert stats.binom.ppf(0.001, STUDIES, 0.95) / STUDIES <= found["difference"]
    assert found["shown"] <= stats.binom.ppf(0.999, STUDIES, 0.05) / STUDIES
    assert stats.binom.ppf(0.001, STUDIES, 0.95) / STUDIES <= found["arm without infiller"]


@pytest.fixture(scope="module")
def on_training_sets(simulation: ModuleType) -> dict[str, float]:
    world = simulation.World("test", patients=60, training_sets=6, of_infiller=0.6)
    found: dict[str, float] = simulation.mean_of(
        simulation.study_of_training_sets(world, RESAMPLES, number) for number in range(STUDIES)
    )
    return found


@pytest.mark.parametrize("of", ["arm without infiller", "arm with infillers", "difference"])
def test_intervals_hold_the_truth_over_training_sets_and_infillers(of: str, on_training_sets: dict[str, float]) -> None:
    assert stats.binom.ppf(0.001, STUDIES, 0.95) / STUDIES <= on_training_sets[of]


def test_training_sets_alone_do_not_show_variation_of_infillers(on_training_sets: dict[str, float]) -> None:
    low = stats.binom.ppf(0.001, STUDIES, 0.95) / STUDIES
    assert on_training_sets["difference, infillers taken for one"] < low


def test_pairs_on_one_training_set_narrow_a_difference(on_training_sets: dict[str, float]) -> None:
    assert on_training_sets["width, of that without pairs"] < 0.95


def test_both_patients_of_a_fill_are_resampled(simulation: ModuleType) -> None:
    found = simulation.mean_of(simulation.study_of_judge(40, 40, RESAMPLES, number) for number in range(STUDIES))
    assert within_chance(found["both patients"], 0.95)
    assert found["tissue patients alone"] < 0.9, "intervals of tissue patients alone are too narrow"


# ---- the parts of an interval, by hand -----------------------------------------------------------------------------


def spread(**changes: Any) -> Spread:
    usual: dict[str, Any] = {"value": 0.1, "over_training": (), "over_patients": Part(0.0004, 30)}
    return Spread(**(usual | {"left_out": 0, "scale": "difference"} | changes))


def test_an_interval_of_patients_alone_is_students() -> None:
    reach = stats.t.ppf(0.975, 30) * 0.02
    assert spread().interval(0.95) == (pytest.approx(0.1 - reach), pytest.approx(0.1 + reach))
    assert spread().p_of_zero() == pytest.approx(2 * stats.t.sf(5, 30))
    expected = (stats.t.ppf(0.975, 30) + stats.t.ppf(0.8, 30)) * 0.02
    assert spread().smallest_shown(0.05, 0.8) == pytest.approx(expected)


def test_one_sided_tests_are_those_of_the_interval() -> None:
    assert spread(value=0.03).p_at_most(-0.02) == pytest.approx(stats.t.sf(2.5, 30))
    assert spread(value=0.03).p_at_least(0.05) == pytest.approx(stats.t.sf(1, 30))
    assert spread(value=0.06).p_at_least(0.05) == pytest.approx(1 - stats.t.sf(0.5, 30))
    assert spread(value=0.05).p_at_least(0.05) == 0.5


def test_many_patients_give_the_textbook_formula() -> None:
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    many = spread(over_patients=Part(0.0004, 10**7))
    assert many.smallest_shown(0.05, 0.8) == pytest.approx(z * 0.02, rel=1e-5)


def test_few_replicates_widen_an_interval() -> None:
    """Errors of 0.03 over 30 degrees and 0.04 over 2: each reaches as far as its own Student's t says."""
    both = spread(over_patients=Part(0.0009, 30), over_training=(Part(0.0016, 2),))
    assert both.error == pytest.approx(0.05)
    reach = np.hypot(stats.t.ppf(0.975, 30) * 0.03, stats.t.ppf(0.975, 2) * 0.04)
    low, high = both.interval(0.95)
    assert (high - low) / 2 == pytest.approx(reach)
    at_the_edge = spread(value=reach, over_patients=Part(0.0009, 30), over_training=(Part(0.0016, 2),))
    assert at_the_edge.p_of_zero() == pytest.approx(0.05)


def test_training_alone_is_students() -> None:
    """All that the patients do is seen between the replicates, too: Student's interval of three values."""
    three = spread(over_patients=Part(0.0001, 30), over_training=(Part(0.0016, 2),), in_both=0.0001)
    low, high = three.interval(0.95)
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 2) * 0.04)
    assert three.error == pytest.approx(0.04)


def test_no_interval_is_narrower_than_that_over_patients_alone() -> None:
    """Replicates that happen to agree say nothing of the patients; counted once, the patients would then be lost."""
    agreeing = spread(over_training=(Part(0.0, 2), Part(0.0, 5)), in_both=0.0004)
    assert agreeing.interval(0.95) == spread().interval(0.95)
    assert agreeing.error == pytest.approx(0.02)
    assert agreeing.p_of_zero() == pytest.approx(spread().p_of_zero())


@pytest.mark.parametrize("sd", [0.03, 0.1])
def test_few_infillers_seldom_show_what_is_not_there(sd: float, simulation: ModuleType) -> None:
    """Three infillers against six classifiers, at the level of the smallest p of three; values as normal as can be."""
    random, studies, tail = np.random.default_rng(0), 1500, 0.05 / 3 / 2
    shown: Counter[str] = Counter()
    for _ in range(studies):
        groups = []
        for of, count in ((sd, 3), (0.01, 6)):
            of_training, patches = random.normal(0.8, of, count), random.normal(0, 0.015, (count, 61))
            values, draws = of_training + patches[:, 0], of_training[:, None] + patches[:, 1:]
            groups.append(Replicates(values, draws, patients=10**6))
        found = groups[0].minus(groups[1])
        reaches = {"in use": found.reach(tail)} | simulation.other_reaches(*groups, tail)
        shown.update(name for name, reach in reaches.items() if abs(found.value) > reach)
    most = stats.binom.ppf(0.999, studies, 2 * tail)
    assert shown.pop("in use") <= most
    assert len(shown) == 2
    assert min(shown.values()) > most, "which is what else was tried"


@pytest.mark.parametrize(("value", "side"), [(0.0, 1), (1.0, 0)])
def test_a_share_at_its_end_still_has_an_interval(value: float, side: int) -> None:
    """Clopper and Pearson for 0 of 30 patients: 1 - 0.025 ** (1 / 30) = 0.116."""
    found = spread(value=value, over_patients=Part(0.0, 29), scale="share").interval(0.95)
    assert found[1 - side] == value
    assert abs(found[side] - value) == pytest.approx(0.1157, abs=1e-4)


def test_intervals_of_shares_stay_in_range() -> None:
    low, high = spread(value=0.97, scale="share").interval(0.95)
    assert 0.8 < low < 0.97 < high < 1
    low, high = spread(value=0.02, scale="positive").interval(0.95)
    assert 0 < low < 0.02 < high


def test_what_cannot_be_had_is_not_a_number() -> None:
    none = spread(over_patients=Part(np.nan, 30))
    assert np.isnan(none.interval(0.95)).all()
    assert np.isnan(none.p_of_zero())
    assert np.isnan(none.error)
    assert np.isnan(none.smallest_shown(0.05, 0.8))


def test_each_group_has_the_spread_of_its_own_replicates() -> None:
    """A GAN may be fickle where pasting is not: taken together, the one had too narrow an interval."""
    noise = np.random.default_rng(0).normal(0, 0.01, (2, 3, 4000))
    calm, fickle = (
        Replicates(np.array(values), np.array(values)[:, None] + noise[number], patients=10**6)
        for number, values in enumerate(([0.50, 0.51, 0.52], [0.3, 0.5, 0.7]))
    )
    (of_calm,), (of_fickle,) = calm.spread().over_training, fickle.spread().over_training
    assert of_calm == Part(pytest.approx(0.0001 / 3), 2)
    assert of_fickle == Part(pytest.approx(0.04 / 3), 2)
    assert calm.minus(fickle).over_training == (of_calm, of_fickle)
    assert calm.spread().in_both == pytest.approx(0.0001 / 3, rel=0.05), "no more than the patches alone explain"
    assert calm.minus(fickle).in_both == pytest.approx(0.0002 / 3, rel=0.05)


def test_what_patches_explain_does_not_count_twice() -> None:
    """Two replicates: the variance over patients of their mean holds half of what is each one's own."""
    draws = np.random.default_rng(1).normal(0.5, 0.02, (2, 20_000))
    one = Replicates(np.array([0.5, 0.56]), draws, patients=10**6)
    found = one.spread()
    assert found.over_training == (Part(pytest.approx(0.0018 / 2), 1),)
    assert found.over_patients.variance == pytest.approx(0.0004 / 2, rel=0.05)
    assert found.in_both == pytest.approx(0.0004 / 2, rel=0.05)
    assert found.error**2 == pytest.approx(0.0018 / 2, rel=0.02)
    assert one.simulated(np.random.default_rng(2)).var() == pytest.approx(0.0018 / 2, rel=0.05)


def test_classifiers_of_one_infiller_are_averaged() -> None:
    values, draws = [0.5, 0.7, 0.6, 0.8], [np.full(3, value) for value in (0.5, 0.7, 0.6, 0.8)]
    np.testing.assert_allclose(by_chain(values, draws, ["a", "b", "a", "b"], 9).values, [0.55, 0.75])
    np.testing.assert_allclose(by_chain(values, draws, ["a"] * 4, 9).values, values)
    np.testing.assert_allclose(by_chain(values, draws, [""] * 4, 9).values, values)


def test_a_difference_is_taken_within_training_sets() -> None:
    """By hand: sets move both arms by 0.1 to 0.3, the difference by 0.01 either way; two infillers by 0.02."""
    random = np.random.default_rng(0)

    def arm(values: list[float], infillers: list[str]) -> Replicates:
        draws = [value + random.normal(0, 1e-9, 50) for value in values]
        return by_chain(values, draws, infillers, 10**6, ["s", "s", "t", "t", "u", "u"])

    plain = arm([0.59, 0.61, 0.71, 0.69, 0.80, 0.80], [""] * 6)
    np.testing.assert_allclose(plain.values, [0.6, 0.7, 0.8])
    painted = arm([0.63, 0.65, 0.74, 0.76, 0.85, 0.87], ["a", "b"] * 3)
    found = painted.minus(plain)
    assert found.value == pytest.approx(0.05)
    of_sets, of_infillers = found.over_training
    assert of_sets == Part(pytest.approx(0.01**2 / 3), 2)  # 0.04, 0.05, 0.06
    assert of_infillers == Part(pytest.approx(0.02**2 / 2 / 2), 1)  # 0.74 and 0.76 over all sets
    assert painted.spread().over_training == (Part(pytest.approx(0.11**2 / 3, rel=0.02), 2), of_infillers)
    own = arm([0.63, 0.65, 0.74, 0.76, 0.85, 0.87], ["a", "a", "b", "b", "c", "c"])
    assert own.minus(plain).over_training == (of_sets,), "infillers of one training set each are no more than that"
    uneven = by_chain([0.5, 0.7, 0.9, 0.6], [np.zeros(3)] * 4, ["a", "b", "a", "a"], 9, ["s", "s", "t", "u"])
    assert uneven.value == pytest.approx((0.6 + 0.9 + 0.6) / 3), "a mean of training sets"
    elsewhere = replace(plain, training_sets=("v", "w", "x"))
    assert [part.degrees for part in painted.minus(elsewhere).over_training] == [2, 1, 2]
