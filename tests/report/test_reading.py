"""The sentences claim what the intervals allow, and nothing more."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_study import make_evaluation

from mammofill.evaluation import MEASURES, Evaluation
from mammofill.report.reading import cautions, read_results
from mammofill.report.tables import Difference, Estimate, differences, in_words

CLAIMS = re.compile(r"\b(better|worse|higher|lower|improve|gain)", re.IGNORECASE)


def read(*estimates: Estimate) -> list[str]:
    """The paragraphs about differences whose measures all have the same estimate."""
    found = [
        Difference(f"arm {k}", f"arm {k + 1}", dict.fromkeys(MEASURES, estimate))
        for k, estimate in enumerate(estimates)
    ]
    return read_results([], found)


@given(st.floats(-1, 1), st.floats(0, 1).map(lambda distance: -distance), st.floats(0, 1), st.sampled_from([1, 2, 5]))
def test_nothing_is_claimed_where_the_interval_holds_zero(value: float, low: float, high: float, count: int) -> None:
    text = " ".join(read(*[Estimate(value, low, high)] * count))
    assert not CLAIMS.search(text)
    assert "cannot tell" in text


@pytest.mark.parametrize(
    ("estimate", "word"),
    [(Estimate(0.1, 0.05, 0.2), "the AUC was higher"), (Estimate(-0.1, -0.2, -0.05), "the AUC was lower")],
    ids=["above zero", "below zero"],
)
def test_an_interval_on_one_side_of_zero_is_said_to_be(estimate: Estimate, word: str) -> None:
    text = " ".join(read(estimate))
    assert word in text
    assert "cannot tell" not in text


def test_shown_and_not_shown_are_counted_apart() -> None:
    short = read(Estimate(0.1, 0.05, 0.2), Estimate(0.1, -0.05, 0.2), Estimate(0.2, -0.1, 0.3))[0]
    assert "of 3 comparisons" in short
    assert "1 shows a difference in AUC: arm 1 against arm 0." in short
    assert "For the others, these patients cannot tell" in short


def test_without_an_interval_nothing_is_said() -> None:
    text = " ".join(read(Estimate(0.4, float("nan"), float("nan"))))
    assert "nothing can be said" in text
    assert not CLAIMS.search(text)


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> list[Evaluation]:
    folder = tmp_path_factory.mktemp("arms")
    return [
        make_evaluation(folder / "guessing", "guessing", 0.0, {}),
        make_evaluation(folder / "same", "same", 0.01, {}),
        make_evaluation(folder / "skilled", "skilled", 3.0, {}),
    ]


def test_measured_arms(arms: list[Evaluation]) -> None:
    short, same, skilled, guessing = read_results(arms, differences(arms, seed=0))
    assert "1 shows a difference in AUC: skilled against same" in short
    assert "same against guessing" in same
    assert "cannot tell" in same
    assert "skilled against same" in skilled
    assert "the AUC was higher" in skilled
    assert re.search("guessing: AUC .* cannot be told from guessing.* skilled: AUC .* above guessing", guessing)


def test_differences_are_paired(arms: list[Evaluation]) -> None:
    """The same noise in both arms cancels, so the interval of the difference is far narrower than that of an arm."""
    auc = differences(arms[:2], seed=0)[0].estimates["auc"]
    table = arms[0].metrics.set_index("measure").loc["auc"]
    assert auc.high - auc.low < (table["high"] - table["low"]) / 4


def test_cautions_name_what_the_intervals_leave_out(arms: list[Evaluation]) -> None:
    text = " ".join(cautions(arms, differences(arms, seed=0)))
    assert "these 40 patients" in text
    assert "first weights" in text
    assert "2 comparisons" in text


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (Estimate(0.5, 0.25, 0.75), "+0.500 [+0.250, +0.750]"),
        (Estimate(-0.5, -0.75, 0.0), "−0.500 [−0.750, 0.000]"),
        (Estimate(-0.0, float("nan"), float("nan")), "0.000 [no interval]"),
    ],
    ids=["plus", "minus", "no interval"],
)
def test_words_of_a_difference(estimate: Estimate, words: str) -> None:
    assert in_words(estimate, signed=True) == words
