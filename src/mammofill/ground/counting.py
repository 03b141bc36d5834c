"""Counts in words: one mammogram, two mammograms."""

from __future__ import annotations

import re

_PLURAL = re.compile(r"\b\w+[^\Wsui]s\b")
_VERBS = {"are": "is", "were": "was", "have": "has", "do": "does", "belong": "belongs", "hold": "holds", "use": "uses"}
_VERB = re.compile(rf"\b({'|'.join(_VERBS)})\b")


def counted(count: float, names: str) -> str:
    """Return a count with what was counted, and its verb: ``1 mammogram``, ``1 patient is``, ``1,234 mammograms``.

    Args:
        count: a whole number.
        names: what was counted, in the plural: ``windows dropped``, ``training sets``, ``patients are``.
    """
    if count == 1:
        names = _VERB.sub(lambda found: _VERBS[found[0]], _PLURAL.sub(_singular, names, count=1), count=1)
    return f"{count:,.0f} {names}"


def _singular(found: re.Match[str]) -> str:
    word = found[0]
    if word == "series":
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[: -2 if re.search("(ch|sh|ss|x)es$", word) else -1]
