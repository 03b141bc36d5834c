"""Which of two is real: shares of readers, their interval over readers and pairs, and the file that keeps choices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mammofill.ground.errors import SettingsError, TooFewError
from mammofill.ground.seeding import stream
from mammofill.readers import PairStudy, analyse_pairs, open_study
from mammofill.readers.pairs import mean_share
from mammofill.readers.study import Case

CODES = ("AAAAAA", "BBBBBB")


def a_study(place: Path, pairs: int = 6) -> PairStudy:
    cases, pictures, value = [], [], 0
    for number in range(pairs):
        for synthetic in (True, False):  # as they are drawn: the synthetic one asks for its like
            cases.append(Case("benign", synthetic, f"{number}-{synthetic}", value))
            pictures.append(np.full((4, 4), value, np.uint8))
            value += 1
    orders = {
        code: [(number, (number + shift) % 2 == 0) for number in reversed(range(pairs))]
        for shift, code in enumerate(CODES)
    }
    return PairStudy.write_pairs(place / "us.readers.sqlite", cases, pictures, orders, {})


def judge(study: PairStudy, code: str, right: int) -> None:
    """Judge all pairs, the first `right` of them rightly: real pictures have odd values."""
    cases = study.upcoming(code)["cases"]
    for position in range(cases):
        left, _ = np.frombuffer(study.pixels(code, position), np.uint8).reshape(2, 16)[:, 0]
        real_left = left % 2 == 1
        study.choose(code, position, bool(real_left == (position < right)), 1.0)


def test_choices_are_kept_and_shares_have_exact_intervals(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    for code, right in zip(CODES, (5, 3), strict=True):
        judge(study, code, right)
    found = analyse_pairs(study, tmp_path / "analysis")
    assert found.correct == (5 / 6, 3 / 6)
    # Clopper and Pearson: the low end for 5 of 6 is where 5 or more have the chance of 2.5 %.
    assert stats.binom.sf(4, 6, found.intervals[0][0]) == pytest.approx(0.025)
    assert found.mean is not None
    assert found.mean.value == pytest.approx(2 / 3)
    assert "reader 1: 0.833 (exact 95 % interval 0.359 to 0.996)" in str(found)
    assert (tmp_path / "analysis" / "analysis.txt").read_text().strip() == str(found)


def test_a_choice_is_final_and_only_of_the_pair_whose_turn_it_is(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    study.choose("AAAAAA", 0, True, 1.0)
    study.choose("AAAAAA", 0, True, 1.0)  # as after an answer that was lost
    assert len(study.choices()) == 1
    for position, left in ((0, False), (2, True)):
        with pytest.raises(SettingsError, match="judged already, or is not to be judged yet"):
            study.choose("AAAAAA", position, left, 1.0)
    with pytest.raises(SettingsError, match="not the pair that is to be judged now"):
        study.pixels("AAAAAA", 3)
    with pytest.raises(TooFewError, match=r"a reader who has judged all of them \(at most 1 of 6 are judged\)"):
        analyse_pairs(study)
    assert isinstance(open_study(study.path), PairStudy)


def test_the_pooled_interval_holds_the_share_of_all_readers_and_pairs() -> None:
    """Readers differ in ability, pairs in how hard they are; both are drawn anew in each of the simulated studies."""
    random, held, studies = stream(3, "pairs"), 0, 400
    truth = float(stats.norm.cdf(0.5 / np.sqrt(1 + 0.3**2 + 0.6**2)))
    for _ in range(studies):
        readers, pairs = random.normal(0, 0.3, (5, 1)), random.normal(0, 0.6, (1, 60))
        correct = (0.5 + readers + pairs + random.normal(size=(5, 60)) > 0).astype(float)
        found = mean_share(correct)
        held += found.low <= truth <= found.high
    assert 0.92 <= held / studies <= 0.985


def test_what_never_varies_gets_no_interval(tmp_path: Path) -> None:
    study = a_study(tmp_path)
    for code in CODES:
        judge(study, code, 6)
    assert "nothing varies over readers or pairs, so no interval can be given" in str(analyse_pairs(study))
