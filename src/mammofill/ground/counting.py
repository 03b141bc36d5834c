"""Counts in words: one mammogram, two mammograms."""

from __future__ import annotations

import re

_PLURAL = re.compile(r"\b\w+[^\Wsui]s\b")


def counted(count: float, names: str) -> str:
    """Return a count with what was counted: ``1 mammogram``, ``1,234 mammograms``.

    Args:
        count: a whole number.
        names: what was counted, in the plural: ``windows dropped``, ``training sets``.
    """
    return f"{count:,.0f} {_PLURAL.sub(_singular, names, count=1) if count == 1 else names}"


def _singular(found: re.Match[str]) -> str:
    word = found[0]
    if word == "series":
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[: -2 if re.search("(ch|sh|ss|x)es$", word) else -1]
