"""What the page is made of beside words: tables as shown, and figures with what they show in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Sheet:
    """A table as shown."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """The first cell of each names it."""
    words: tuple[str, ...] = ()
    """Columns of words, beside the first one, which stand at the left; all others hold numbers, at the right."""

    @property
    def trimmed(self) -> Sheet:
        """The same without columns that say nothing: of doses where there are none, of p where nothing was tested."""
        nothing = [{"", "1"} if name == "share of patients" else {""} for name in self.columns]
        return self._of(
            [place for place, empty in enumerate(nothing) if any(row[place] not in empty for row in self.rows)]
        )

    def without(self, names: Iterable[str]) -> Sheet:
        """Return the same without some columns."""
        left_out = set(names)
        return self._of([place for place, name in enumerate(self.columns) if name not in left_out])

    def parted(self, keys: int, most: int) -> tuple[Sheet, ...]:
        """Return tables of at most so many columns, each with the first few that say what a row is about."""
        others = range(keys, len(self.columns))
        parts = [[*range(keys), *others[start : start + most - keys]] for start in range(0, len(others), most - keys)]
        return tuple(self._of(places) for places in parts)

    def _of(self, places: Sequence[int]) -> Sheet:
        rows = tuple(tuple(row[place] for place in places) for row in self.rows)
        return Sheet(self.caption, tuple(self.columns[place] for place in places), rows, self.words)

    @property
    def turned(self) -> Sheet:
        """The same with rows for columns, all of numbers: few long rows are easier to read so."""
        named, *others = zip(*(self.columns, *self.rows), strict=True)
        return Sheet(self.caption, tuple(named), tuple(others))

    @property
    def table(self) -> pd.DataFrame:
        """The same for a file."""
        return pd.DataFrame(self.rows, columns=list(self.columns))


@dataclass(frozen=True)
class Figure:
    """A figure as shown."""

    heading: str
    note: str
    """What its lines and dots are."""
    alt: str
    """What it shows, with its numbers, for readers who cannot see it."""
    content: bytes
    kind: str = "svg+xml"


def rows_in_words(named: Sequence[tuple[str, str]]) -> str:
    """Return names with their numbers as one text, for example ``a: 0.7; b: 0.8.`` of two arms."""
    return "; ".join(f"{name}: {numbers}" for name, numbers in named) + "."
