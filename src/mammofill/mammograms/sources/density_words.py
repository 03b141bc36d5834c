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


def understand_densities(cells: Iterable[str], table: str) -> tuple[dict[str, str], list[Decision]]:
    """Find the class that each word of a table means.

    If a number is none of the classes, all numbers may be percentages, or classes counted from 0: then each is kept as
    it stands.

    Args:
        cells: of each row, the word as it stands, or "".
        table: name of the table.

    Returns:
        Word -> class, of those that are one in another spelling; and a decision about each of them, and about words
        that are no class.
    """
    counts = Counter(cell for cell in cells if cell)
    unknown = [word for word in sorted(counts) if density_class(word) is None]
    other_numbers = any(read_number(word) is not None for word in unknown)
    meaning = {
        word: meant
        for word in sorted(counts)
        if (meant := density_class(word)) and meant != word and not (other_numbers and read_number(word) is not None)
    }
    decisions = [
        Decision(
            word, None, "density-word", f"{table} says {word!r} for density ({counts[word]}x).", f"Read as {meant}."
        )
        for word, meant in meaning.items()
    ]
    if unknown:
        words = ", ".join(f"{word!r} ({counts[word]}x)" for word in unknown[:_MOST_SHOWN])
        more = f" and {counted(len(unknown) - _MOST_SHOWN, 'other words')}" if len(unknown) > _MOST_SHOWN else ""
        found = f"{table} says {words}{more} for density, which is no class of BI-RADS (1 to 4, or A to D)."
        done = "Kept as it stands: subgroups have this name, and no infiller can be asked for it."
        if other_numbers:
            done += " If these are percentages, or classes counted from 0, then 1 to 4 in this column are no classes."
        decisions.append(Decision(unknown[0], None, "density-word", found, done))
    return meaning, decisions
