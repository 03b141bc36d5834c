"""Pictures that are there twice among very many: what the index finds, what it says it misses, and without it."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from mammofill.audit import alike
from mammofill.audit.alike import EXACT_AT_MOST, LEAST_FOUND, check_index, closest_pairs
from mammofill.audit.examine import Facts, Pixels
from mammofill.audit.images import Looked, image_findings
from mammofill.audit.likeness import MOST_BITS, AlikePair
from mammofill.ground.errors import SettingsError
from mammofill.mammograms.sources.annotations import MammogramEntry


def hashes_of(pictures: int) -> np.ndarray:
    """Return hashes whose bits go together as those of mammograms do: unrelated ones differ by about half of them."""
    random = np.random.default_rng(1)
    common = random.standard_normal((20, 255)) / np.sqrt(1 + np.arange(20))[:, None]
    bits = random.standard_normal((pictures, 20)) @ common + 0.3 * random.standard_normal((pictures, 255)) > 0
    return np.packbits(np.concatenate([np.zeros((pictures, 1), bool), bits], axis=1), axis=1).view(np.uint64)


def even_hashes(pictures: int) -> np.ndarray:
    """Return hashes whose bits have nothing to do with each other."""
    return np.random.default_rng(0).integers(0, 2**63, (pictures, 4), np.uint64)


def changed(one: np.ndarray, bits: int) -> np.ndarray:
    """Return a hash, (4,) uint64, with some bits other than they were."""
    apart = np.zeros(256, bool)
    apart[1 : bits + 1] = True
    return one ^ np.packbits(apart).view(np.uint64)


def test_the_index_finds_what_comparing_all_pairs_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = hashes_of(3000)
    mirrored = hashes[::-1] ^ hashes_of(1)  # as good as any other pictures
    hashes[2999], mirrored[2500], hashes[7] = changed(hashes[3], 5), changed(hashes[11], 9), hashes[6]
    mirrored[7] = hashes[6]  # alike both ways
    exact = closest_pairs(hashes, mirrored)
    monkeypatch.setattr(alike, "EXACT_AT_MOST", 2999)
    found = closest_pairs(hashes, mirrored)
    planted = {AlikePair(3, 2999, 5, False), AlikePair(11, 2500, 9, True), AlikePair(6, 7, 0, False)}
    assert planted <= set(found.pairs) <= set(exact.pairs)
    assert len(found.pairs) >= 0.98 * len(exact.pairs)
    assert list(found.pairs) == sorted(found.pairs, key=lambda one: (one.bits, one.first, one.second))
    assert exact.found is None
    assert found.found is not None
    assert LEAST_FOUND <= found.found <= 1


def test_cells_are_added_until_planted_copies_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike, "EXACT_AT_MOST", 100)
    # Bits that have nothing to do with each other lie in no cells: the index has to look nearly everywhere.
    index, found = alike._build_index(even_hashes(2000), MOST_BITS)
    assert found >= LEAST_FOUND
    assert index.nprobe >= 4 * alike._FIRST_CELLS
    monkeypatch.setattr(alike, "LEAST_FOUND", 0.0)
    assert alike._build_index(even_hashes(2000), MOST_BITS)[1] < LEAST_FOUND


@pytest.mark.parametrize("at_most", [EXACT_AT_MOST, 10])
def test_no_more_pairs_than_asked_for_are_kept_and_that_is_said(at_most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike, "EXACT_AT_MOST", at_most)
    hashes = np.repeat(hashes_of(1), 50, axis=0)
    hashes[1] = changed(hashes[0], 1)
    few, all_of_them = closest_pairs(hashes, ~hashes, most=3), closest_pairs(hashes, ~hashes)
    assert (len(few.pairs), few.complete) == (3, False)
    assert [(one.bits, one.first) for one in few.pairs] == [(0, 0), (0, 0), (0, 0)]
    assert (len(all_of_them.pairs), all_of_them.complete) == (50 * 49 // 2, True)


def test_the_finding_says_how_many_copies_the_index_found(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = [_looked(number, one) for number, one in enumerate(even_hashes(300))]
    few = image_findings(looked, [], _never)
    monkeypatch.setattr(alike, "EXACT_AT_MOST", 200)
    many = image_findings(looked, [], _never)
    for finding in ("pictures-alike", "pictures-twice"):
        (said,) = [" ".join(one.summary) for one in many if one.finding == finding]
        assert "of more than 200 pictures not all pairs were compared" in said
        assert "of 1,000 copies that were planted for a trial (42 of 255 bits changed" in said
        assert not any("planted" in " ".join(one.summary) for one in few)


def test_without_faiss_many_pictures_are_refused_before_any_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    check_index(EXACT_AT_MOST)
    with pytest.raises(SettingsError, match=r'among 100,001 an index is needed .*pip install "mammofill\[index\]"'):
        check_index(EXACT_AT_MOST + 1)
    monkeypatch.setattr(alike, "EXACT_AT_MOST", 10)
    with pytest.raises(SettingsError, match=r"mammofill\[index\]"):
        closest_pairs(hashes_of(11), ~hashes_of(11))


def _never(_: str) -> np.ndarray:
    raise AssertionError("no two of these hashes are near enough to be looked at")


_PIXELS = Pixels("", 16, 16, False, None, 5000, 0.0, -0.2, "", "")


def _looked(number: int, one: np.ndarray) -> Looked:
    name = f"mammogram-{number}"
    pixels = replace(_PIXELS, sha256=name, hash=one.tobytes().hex(), mirrored_hash=(~one).tobytes().hex())
    entry = MammogramEntry(name, f"patient-{number}", "left", "CC", (), ())
    return Looked(entry, Facts((), (), pixels), pixels)
