"""Reading the learning curve backwards: by hand, and through a whole comparison."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from toy_evaluations import World, make_evaluation

from mammofill.comparison import CompareArmsSettings, Comparison, compare_arms
from mammofill.comparison.break_even import LearningCurve

FEW = CompareArmsSettings(resamples=300, curve_resamples=100, measures=("auc",))
LARGE = World(patients=200, noise=0.2)


def curve(*values: float) -> LearningCurve:
    shares = np.array([0.25, 0.5, 1.0])[-len(values) :]
    draws = np.array(values)[:, None] + np.zeros((1, 4))
    return LearningCurve(shares, np.array(values), draws, 400 * shares)


@pytest.mark.parametrize(
    ("value", "share"),
    [
        (0.6, 0.25),
        (0.65, 0.25 * 2**0.5),  # half way in the logarithm
        (0.7, 0.5),
        (0.8, 1.0),
        (0.81, math.inf),
        (0.59, -math.inf),
        (math.nan, math.nan),
    ],
)
def test_the_curve_read_backwards_by_hand(value: float, share: float) -> None:
    one = curve(0.6, 0.7, 0.8)
    np.testing.assert_allclose(one.share_at(value), share)
    np.testing.assert_allclose(one.shares_at(np.full(4, value)), np.full(4, share))
    assert one.hindrance == ""


def test_patches_of_a_share() -> None:
    one = curve(0.6, 0.7, 0.8)
    assert one.patches_at(0.75) == 300
    assert one.patches_at(math.inf) == math.inf


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0.8,), "at one share of the real patients only"),
        ((0.6, 0.8, 0.7), "gains nothing from 50 % to 100 % of the real patients"),
        ((0.6, 0.6, 0.7), "gains nothing from 25 % to 50 % of the real patients"),
    ],
)
def test_a_curve_that_cannot_be_read_says_why(values: tuple[float, ...], words: str) -> None:
    assert words in curve(*values).hindrance


def test_a_drawn_curve_that_falls_is_levelled() -> None:
    one = curve(0.6, 0.8, 0.8)
    draws = np.array([[0.6], [0.8], [0.7]])
    levelled = LearningCurve(one.shares, one.values, draws, one.real_patches)
    assert levelled.shares_at(np.array([0.79]))[0] == pytest.approx(0.25 * 2 ** (0.19 / 0.2))


def compared(folder: Path, generated: dict[float, float], real: dict[float, float]) -> Comparison:
    """Compare a generated arm of dose 2 with a real-only one: share -> separation of the classes."""
    evaluations = [
        make_evaluation(folder / f"r{share}", "real", separation, real_share=share, world=LARGE)
        for share, separation in real.items()
    ] + [
        make_evaluation(folder / f"g{share}", "generated", separation, real_share=share, dose=2.0, world=LARGE)
        for share, separation in generated.items()
    ]
    return compare_arms(evaluations, folder / "out", FEW)


def test_what_generated_patches_were_worth(tmp_path: Path) -> None:
    """At a quarter of the patients the generated arm does what real ones alone do between a half and all."""
    found = compared(tmp_path, {0.25: 1.25}, {0.25: 0.5, 0.5: 1.0, 1.0: 1.5})
    (row,) = found.break_even.to_dict("records")
    assert row["reason"] == ""
    assert 0.5 < row["worth_share"] < 1
    assert row["worth_share_low"] < row["worth_share"] < row["worth_share_high"] <= 1
    assert row["added_patches"] == 200, "two for each of 100 real ones"
    assert row["worth_patches"] == pytest.approx(400 * row["worth_share"] - 100)
    (text,) = found.sentences.query("kind == 'break-even'")["text"]
    assert text.startswith("generated, dose 2, 25 % of the real patients: AUC by patch ")
    assert f"200 added patches were worth {row['worth_patches']:.0f} real ones [" in text


@pytest.mark.parametrize(
    ("generated", "real", "reason"),
    [
        ({0.25: 0.5}, {0.25: 0.5, 1.0: 1.5}, "the interval of its gain at this share includes zero"),
        (
            {0.25: 2.5},
            {0.25: 0.5, 1.0: 1.5},
            "it performs better than the arm without added patches does with all real patients",
        ),
        ({1.0: 2.5}, {1.0: 1.5}, "the arm without added patches was trained at one share of the real patients only"),
        ({0.25: 1.0}, {0.25: 1.5, 1.0: 0.5}, "the arm without added patches gains nothing from 25 % to 100 %"),
        ({0.5: 1.0}, {0.25: 0.5, 1.0: 1.5}, "real was not evaluated at this share of the real patients"),
    ],
    ids=["no gain", "beyond the curve", "one share", "falling", "no counterpart"],
)
def test_no_number_without_its_reason(
    generated: dict[float, float], real: dict[float, float], reason: str, tmp_path: Path
) -> None:
    found = compared(tmp_path, generated, real)
    (row,) = found.break_even.to_dict("records")
    assert reason in row["reason"]
    assert math.isnan(row["worth_share"])
    (text,) = found.sentences.query("kind == 'break-even'")["text"]
    assert text.startswith("How many real patches the added ones were worth cannot be said for generated, dose 2")
    assert reason in text
