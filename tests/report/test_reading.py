"""The sentences claim what the intervals allow, and nothing more."""

from __future__ import annotations

import re

import pytest
from toy_study import make_evaluation

from mammofill.evaluation import Evaluation
from mammofill.report.reading import cautions, read_results
from mammofill.report.tables import Estimate, in_words, measure_in_words


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> list[Evaluation]:
    folder = tmp_path_factory.mktemp("arms")
    return [
        make_evaluation(folder / "guessing", "guessing", 0.0, {}),
        make_evaluation(folder / "skilled", "skilled", 3.0, {}),
    ]


def test_arms_that_nobody_compared_are_not_compared(arms: list[Evaluation]) -> None:
    nothing, guessing = read_results(arms)
    assert nothing.startswith("Nothing is compared here")
    assert re.search(
        "guessing: AUC by lesion .* not distinguishable from chance.* skilled: AUC .* above chance", guessing
    )
    assert not re.search(r"\b(better|worse|shown)\b", guessing)


def test_cautions_name_what_the_intervals_leave_out(arms: list[Evaluation]) -> None:
    (text,) = cautions(arms)
    assert "these 40 patients" in text
    assert "Variation between trainings is not in them" in text


def test_operating_points_say_where_their_threshold_is_from() -> None:
    assert measure_in_words("recall_at_specificity_0.9") == "recall at specificity 0.9 (threshold from the test set)"
    assert measure_in_words("auc_by_lesion") == "AUC by lesion"
    assert measure_in_words("auc") == "AUC by patch"
    assert measure_in_words("brier_by_patient") == "Brier score by patient"


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
