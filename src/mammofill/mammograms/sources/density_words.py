"""What a source calls the density of a breast: the four classes of BI-RADS, however they are written.

Source: ACR BI-RADS Atlas: 1 to 4 (also written I to IV) in the 4th edition and before, a to d in the 5th, from almost
entirely fatty to extremely dense. Their order is the same, so that each letter stands for a number.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from mammofill.ground.counting import counted
from mammofill.mammograms.sources.annotations import Decision
from mammofill.mammograms.sources.numbers import read_number

NUMBER_OF = {"A": "1", "B": "2", "C": "3", "D": "4"}
"""Classes of the 5th edition, and those of the 4th in their place."""

_ROMAN = {"i": "1", "ii": "2", "iii": "3", "iv": "4"}
_CLASS = re.compile(
    r"(?:(?:acr|bi ?rads|breast|density|composition|category|class|type) ?)*(?:([1-4])(?:\.0*)?|([a-d]|i{1,3}|iv))"
)
_MOST_SHOWN = 5


def density_class(word: str) -> str | None:
    """Return the class that a cell means, as 1 to 4 or A to D; None if it is none (``2.0``, ``BI-RADS b``, ``ii``)."""
    found = _CLASS.fullmatch(re.sub(r"[\s_:-]+", " ", word.casefold()).strip())
    return found and (found[1] or _ROMAN.get(found[2], found[2].upper()))


def density_decisions(cells: Iterable[str], table: str) -> list[Decision]:
    """Return decisions about the words of a table for density: each that is spelt otherwise, and those that are none.

    Args:
        cells: of each row, the word as it stands, or "".
        table: name of the table.
    """
    counts = Counter(cell for cell in cells if cell)
    decisions, strange = [], []
    for word, count in sorted(counts.items()):
        meant = density_class(word)
        if meant is None:
            strange.append(word)
        elif meant != word:
            found = f"{table} says {word!r} for density ({count}x)."
            decisions.append(Decision(word, None, "density-word", found, f"Read as {meant}."))
    if strange:
        words = ", ".join(f"{word!r} ({counts[word]}x)" for word in strange[:_MOST_SHOWN])
        more = f" and {counted(len(strange) - _MOST_SHOWN, 'other words')}" if len(strange) > _MOST_SHOWN else ""
        found = f"{table} says {words}{more} for density, which is no class of BI-RADS (1 to 4, or A to D)."
        done = "Kept as it stands: subgroups have this name, and no infiller can be asked for it."
        if any(read_number(word) is not None for word in strange):
            done += " If these are percentages, or classes counted from 0, then 1 to 4 in this column are no classes."
        decisions.append(Decision(strange[0], None, "density-word", found, done))
    return decisions
