"""The decision by itself: thresholds, proportion of the classes, the best, and chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mammofill.selection.gate import Decision, decide
from mammofill.selection.scores import Score
from mammofill.selection.settings import QUANTILES, SelectSyntheticSettings

MALIGNANT = np.array([False] * 6 + [True] * 4)


def decided(settings: SelectSyntheticSettings = SelectSyntheticSettings(), **changes: Any) -> Decision:
    """Decide on ten fills that all pass, but for what is changed."""
    values = {name: changes.pop(name, np.linspace(0.3, 0.9, 10)) for name in QUANTILES}
    scores = {name: Score(np.array(one), np.array(one), np.full(10, 0.2)) for name, one in values.items()}
    given = {
        "nearest_training": np.linspace(0.5, 0.1, 10),
        "copy_threshold": 0.8,
        "changed_outside": np.zeros(10, np.int64),
        "malignant": MALIGNANT,
        "real": {"benign": 8, "malignant": 4},
    } | changes
    return decide(scores, *given.values(), settings, seed=0)


def kept(decision: Decision) -> list[int]:
    return np.flatnonzero(decision.kept).tolist()


def failing(*rows: int) -> np.ndarray:
    values = np.full(10, 0.5)
    values[list(rows)] = 0.1
    return values


def test_all_that_pass_are_kept_and_each_reason_is_told() -> None:
    assert kept(decided()) == list(range(10))
    one = decided(
        SelectSyntheticSettings(balance=False),
        seam=failing(0, 7),
        typicality=failing(0),
        nearest_training=np.where(np.arange(10) == 2, 0.9, 0.1),
        changed_outside=np.where(np.arange(10) == 0, 3, 0),
    )
    assert kept(one) == [1, 3, 4, 5, 6, 8, 9]
    assert one.reasons()[0] == "changed_outside typicality seam"
    assert one.reasons()[2] == "copy"
    assert one.first_reasons().tolist() == ["changed_outside", "", "copy", "", "", "", "", "seam", "", ""]


def test_copies_may_be_wanted() -> None:
    everything = {"nearest_training": np.full(10, 0.95)}
    assert kept(decided(SelectSyntheticSettings(refuse_copies=False), **everything)) == list(range(10))
    assert kept(decided(**everything)) == []


def test_the_classes_keep_their_proportion_and_the_best_stay() -> None:
    half = decided(class_fidelity=np.where(np.isin(np.arange(10), (6, 7)), 0.1, 0.5), seam=np.linspace(0.3, 0.9, 10))
    assert kept(half) == [3, 4, 5, 8, 9]  # half of the malignant pass, so half of the benign stay: those of best seam
    assert half.first_reasons()[:3].tolist() == ["not_among_the_best"] * 3


def test_a_class_of_which_none_passes_leaves_none_of_either() -> None:
    assert kept(decided(seam=failing(6, 7, 8, 9))) == []
    assert len(kept(decided(SelectSyntheticSettings(balance=False), seam=failing(6, 7, 8, 9)))) == 6


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (SelectSyntheticSettings(top=5), [3, 4, 5, 8, 9]),
        (SelectSyntheticSettings(ratio=0.5, balance=False), [2, 3, 4, 5, 8, 9]),
        (SelectSyntheticSettings(ratio=0.5), [3, 4, 5, 8, 9]),
        (SelectSyntheticSettings(top=5, by="originality"), [3, 4, 5, 8, 9]),
        (SelectSyntheticSettings(top=5, by="typicality"), [0, 1, 2, 6, 7]),
    ],
)
def test_the_best_by_a_named_score(settings: SelectSyntheticSettings, expected: Sequence[int]) -> None:
    typicality = np.linspace(0.95, 0.91, 10)  # never the worst of the four, and the other way round
    assert kept(decided(settings, typicality=typicality)) == expected


def test_chance_draws_as_many_of_each_class_and_the_same_again() -> None:
    settings = SelectSyntheticSettings(random=True, balance=False)
    drawn = decided(settings, seam=failing(0, 1, 2, 6, 7))
    assert [int(drawn.kept[MALIGNANT].sum()), int(drawn.kept[~MALIGNANT].sum())] == [2, 3]
    assert kept(drawn) == kept(decided(settings, seam=failing(0, 1, 2, 6, 7)))
    assert kept(drawn) != kept(decided(replace(settings, random=False), seam=failing(0, 1, 2, 6, 7)))
    assert set(drawn.first_reasons()[~drawn.kept]) == {"not_drawn"}


@pytest.mark.parametrize("balance", [True, False])
@pytest.mark.parametrize("top", range(1, 10))
def test_no_more_are_kept_than_wanted_in_all(top: int, balance: bool) -> None:
    even = np.array([False, True] * 5)
    found = kept(decided(SelectSyntheticSettings(top=top, balance=balance), malignant=even))
    assert len(found) == (top // 2 * 2 if balance else top)
