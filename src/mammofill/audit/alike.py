"""Finds pictures of a collection that may be the same: by comparing all pairs, or with an index for very many pictures.

The index is FAISS's for binary vectors (Johnson, Douze and Jegou, "Billion-scale similarity search with GPUs", IEEE
Transactions on Big Data 7, 2021): hashes are assigned to cells around centres found by k-means, and each is compared
with those in the cells with the nearest centres. A copy in a more distant cell is missed. How many are missed is
measured each time with planted copies: cells are added until nearly all of these are found.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammofill.audit.likeness import MOST_BITS, MOST_PAIRS, AlikePair, Hashes, alike_pairs
from mammofill.ground.errors import SettingsError
from mammofill.ground.seeding import stream

EXACT_AT_MOST = 100_000
"""Up to this number of pictures all pairs are compared, which takes two minutes on one core; a million would take three
hours."""

PLANTED_BITS = 42
"""Bits in which a planted copy differs: the largest number among the copies that were measured (`likeness`)."""

LEAST_FOUND = 0.99
"""Share of the planted copies that the index must find; cells are added until it does."""

_PLANTED = 1000
_FIRST_CELLS = 8
_LEARNED_PER_CENTRE = 64
"""Hashes for each centre from which k-means learns."""
_QUERIES_AT_ONCE = 4096


@dataclass(frozen=True)
class Closest:
    """The pairs that may show the same picture."""

    pairs: tuple[AlikePair, ...]
    """The closest first."""
    complete: bool
    """Whether all such pairs are included; False where there were too many."""
    found: float | None = None
    """Share of the planted copies that the index found; None where all pairs were compared."""

    def words(self) -> list[str]:
        """Say which pairs may be missing because an index was used."""
        if self.found is None:
            return []
        return [
            f"of more than {EXACT_AT_MOST:,} pictures not all pairs were compared, but those in an index, which found "
            f"{self.found:.1%} of {_PLANTED:,} copies that were planted for a trial ({PLANTED_BITS} of 255 bits "
            "changed, as in the least alike of the copies that the limits were set on)"
        ]


def check_index(pictures: int) -> None:
    """Refuse a number of pictures that needs an index, where none is installed.

    Raises:
        SettingsError: FAISS is missing.
    """
    if pictures > EXACT_AT_MOST:
        _faiss(pictures)


def closest_pairs(hashes: Hashes, mirrored: Hashes, most: int = MOST_PAIRS, most_bits: int = MOST_BITS) -> Closest:
    """Find pairs that may show the same picture, as they are or with one of them mirrored.

    Up to `EXACT_AT_MOST` pictures all pairs are compared (`likeness.alike_pairs`). With more, an index finds nearly all
    such pairs; time then grows slightly faster than N, and memory is 300 MB and 300 bytes for each picture.

    Args:
        hashes: (N, 4) uint64, of the pictures.
        mirrored: (N, 4) uint64, of their mirror images, in the same order.
        most: largest number of pairs returned, the closest ones.
        most_bits: pairs that differ by more are left out.

    Raises:
        SettingsError: there are more than `EXACT_AT_MOST`, and FAISS is not installed.
    """
    if len(hashes) <= EXACT_AT_MOST:
        pairs, found = alike_pairs(hashes, mirrored, most_bits), None
    else:
        index, found = _build_index(hashes, most_bits)
        pairs = _pairs_in_index(index, hashes, mirrored, most_bits)
    # nsmallest never has more than these in memory.
    kept = heapq.nsmallest(most + 1, pairs, key=lambda pair: (pair.bits, pair.first, pair.second))
    return Closest(tuple(kept[:most]), len(kept) <= most, found)


def _faiss(pictures: int) -> Any:
    try:
        import faiss
    except ImportError as error:
        raise SettingsError(
            f"To find pictures that are there twice among {pictures:,} an index is needed (without one, at most "
            f'{EXACT_AT_MOST:,} are compared): pip install "mammofill[index]". Or examine the tables only '
            "(--tables-only)."
        ) from error
    return faiss


def _build_index(hashes: Hashes, most_bits: int) -> tuple[Any, float]:
    """Return an index that finds nearly all planted copies, and the share of them that it finds."""
    faiss, codes = _faiss(len(hashes)), _codes(hashes)
    cells = max(1, round(len(hashes) ** 0.5))
    centres = faiss.IndexBinaryFlat(codes.shape[1] * 8)
    index = faiss.IndexBinaryIVF(centres, codes.shape[1] * 8, cells)
    index.cp.max_points_per_centroid = _LEARNED_PER_CENTRE  # FAISS draws them by a fixed seed
    index.train(codes[stream(0, "index").permutation(len(codes))[: cells * _LEARNED_PER_CENTRE]])
    index.add(codes)
    index.nprobe = min(_FIRST_CELLS, cells)
    while (found := _share_found(index, hashes, most_bits)) < LEAST_FOUND and index.nprobe < cells:
        index.nprobe = min(2 * index.nprobe, cells)
    return index, found


def _share_found(index: Any, hashes: Hashes, most_bits: int) -> float:
    """Plant copies of some pictures, and return the share of these for which the index finds the original."""
    random = stream(0, "planted copies")
    places = random.integers(len(hashes), size=_PLANTED)
    changed = np.zeros((_PLANTED, hashes.shape[1] * 64), np.uint8)
    changed[:, 1 : PLANTED_BITS + 1] = 1  # bit 0 is always 0
    changed[:, 1:] = random.permuted(changed[:, 1:], axis=1)
    planted = _codes(hashes[places]) ^ np.packbits(changed, axis=1)
    limits, _, there = index.range_search(planted, most_bits + 1)
    found = [place in there[start:stop] for place, start, stop in zip(places, limits[:-1], limits[1:], strict=True)]
    return float(np.mean(found))


def _pairs_in_index(index: Any, hashes: Hashes, mirrored: Hashes, most_bits: int) -> Iterator[AlikePair]:
    """Yield pairs with first < second; a pair that is alike plain and mirrored, in the way in which it is closer."""
    for start in range(0, len(hashes), _QUERIES_AT_ONCE):
        some = slice(start, start + _QUERIES_AT_ONCE)
        ways = [_earlier(index, _codes(one[some]), start, most_bits) for one in (hashes, mirrored)]
        firsts, seconds, bits = (np.concatenate(both) for both in zip(*ways, strict=True))
        turned = np.repeat([False, True], [len(way[0]) for way in ways])
        order = np.lexsort((turned, bits, seconds, firsts))
        firsts, seconds, bits, turned = (one[order] for one in (firsts, seconds, bits, turned))
        new = np.ones(len(firsts), np.bool_)
        new[1:] = (firsts[1:] != firsts[:-1]) | (seconds[1:] != seconds[:-1])
        for pair in zip(*(one[new].tolist() for one in (firsts, seconds, bits, turned)), strict=True):
            yield AlikePair(*pair)


def _earlier(
    index: Any, codes: NDArray[np.uint8], start: int, most_bits: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs of a query and an earlier picture that the index finds near it: first, second, bits."""
    limits, bits, firsts = index.range_search(codes, most_bits + 1)  # its limit is exclusive
    seconds = start + np.repeat(np.arange(len(codes)), np.diff(limits.astype(np.int64)))
    before = firsts < seconds
    return firsts[before], seconds[before], bits[before].astype(np.int64)


def _codes(hashes: Hashes) -> NDArray[np.uint8]:
    """Return hashes in FAISS's format: (N, 32) bytes."""
    return np.ascontiguousarray(hashes).view(np.uint8)
