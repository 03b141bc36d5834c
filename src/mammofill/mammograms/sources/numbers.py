"""Numbers in the cells of tables, read in one way for all collections."""

from __future__ import annotations

import re
import unicodedata

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)


def read_number(text: str) -> float | None:
    """Return the number in a cell; None if there is none, or it could be read in two ways.

    ``1024``, ``1024.0``, ``-3.5`` and ``1e3`` are numbers, in the digits of any script. A comma is not read: ``1,024``
    is a thousand and twenty-four in one country and about one in another. Infinities, ``nan`` and underscores are no
    numbers.
    """
    plain = "".join(map(_plain, text)).strip()
    if not _NUMBER.fullmatch(plain):
        return None
    number = float(plain)
    return number if abs(number) < float("inf") else None


def _plain(letter: str) -> str:
    """Return a letter in its usual width, and a digit of any script; what stands above or in a circle is no digit."""
    if unicodedata.east_asian_width(letter) == "F":
        letter = unicodedata.normalize("NFKC", letter)
    return str(unicodedata.decimal(letter, letter))


def read_whole_number(text: str) -> int | None:
    """Return the whole number in a cell, however it is written (``1024.0`` is one); None if there is none."""
    number = read_number(text)
    return int(number) if number is not None and number == int(number) else None


def same_cell(text: str) -> str:
    """Return a cell such that cells that say the same are the same: a number in one spelling, other text as it is."""
    number = read_number(text)
    return text.strip() if number is None else f"{number:.12g}"
