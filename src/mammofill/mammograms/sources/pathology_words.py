"""What a table calls benign, malignant and normal: words whose meaning is certain, and those that its owner explains.

What is certain: the words themselves, their initials, and ``benign without callback`` of CBIS-DDSM and DDSM. Of
BI-RADS, categories 1 (negative), 2 (a benign finding) and 6 (malignancy proven by biopsy); the others are suspicions,
and an owner has to say what was found in the end. Source: ACR BI-RADS Atlas, 5th edition, assessment categories. The
numbers 0 and 1 are benign and malignant where there are no others and every row with a 0 has a mask; otherwise a 0 may
as well mean a normal breast.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mammofill.ground.errors import SettingsError
from mammofill.mammograms.sources.annotations import Decision

PATHOLOGIES = ("normal", "benign", "malignant")

_CERTAIN = {
    "n": "normal", "norm": "normal", "bi rads 1": "normal",
    "b": "benign", "benign without callback": "benign", "bi rads 2": "benign",
    "m": "malignant", "cancer": "malignant", "bi rads 6": "malignant",
}  # fmt: skip
_NUMBERED = {"0": "benign", "1": "malignant"}
_BI_RADS = re.compile(r"bi ?rads ?(?:category |assessment )?([0-6]) ?[abc]?")


@dataclass(frozen=True)
class Understood:
    """How the words of a table are read."""

    meaning: Mapping[str, str]
    """Word, plain (see `plain_word`) -> normal, benign or malignant."""
    decisions: tuple[Decision, ...]
    """One for each word that stands for another."""


def explained_words(text: str) -> dict[str, str]:
    """Read what an owner says, for example ``gutartig=benign, 0=normal``.

    Returns:
        Word, plain -> normal, benign or malignant.

    Raises:
        SettingsError: it is not written so, names another pathology, or gives one word two meanings.
    """
    found: dict[str, str] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        word, equals, meaning = (one.strip() for one in part.rpartition("="))
        if not (word and equals) or meaning.lower() not in PATHOLOGIES:
            raise SettingsError(
                f"IngestSettings.pathology_words must be like 'B=benign, M=malignant', each word with one of "
                f"{', '.join(PATHOLOGIES)}, but has {part!r}."
            )
        if found.setdefault(plain_word(word), meaning.lower()) != meaning.lower():
            raise SettingsError(
                f"IngestSettings.pathology_words gives {word!r} two meanings, {found[plain_word(word)]} and "
                f"{meaning.lower()}: case, spaces, hyphens and underscores make no difference. Give each word one."
            )
    return found


def understand(labels: Iterable[tuple[str, bool]], explained: str, table: str) -> Understood:
    """Find what the words of a table mean; words without a certain meaning are left out.

    Args:
        labels: of each row, the word as it stands, and whether the row has a mask.
        explained: what the owner says of them.
        table: name of the table, for decisions.
    """
    rows = [(word, plain_word(word), masked) for word, masked in labels]
    numbers = {plain for _, plain, _ in rows if plain.isdecimal()}
    masked = all(masked for _, plain, masked in rows if plain == "0")
    numbered = _NUMBERED if masked and numbers == set(_NUMBERED) else {}
    known = {name: name for name in PATHOLOGIES} | _CERTAIN | numbered | explained_words(explained)
    meaning = {plain: known[plain] for _, plain, _ in rows if plain in known}
    counts = Counter(word for word, plain, _ in rows if meaning.get(plain, plain) != plain)
    decisions = []
    for word, count in sorted(counts.items()):
        found, done = f"{table} says {word!r} for pathology ({count}x).", f"Read as {meaning[plain_word(word)]}."
        decisions.append(Decision(word, None, "pathology-word", found, done))
    return Understood(meaning, tuple(decisions))


def plain_word(word: str) -> str:
    """Return a word such that spellings that differ in case, hyphens and spaces alone are the same."""
    plain = re.sub(r"[\s_-]+", " ", word.casefold()).strip()
    assessed = _BI_RADS.fullmatch(plain)
    return f"bi rads {assessed[1]}" if assessed else plain


_CATEGORY = re.compile(r"(?:bi ?rads ?)?(?:category |assessment )?([0-6])(?:\.0*)? ?([abc]?)")


def birads_category(word: str) -> str | None:
    """Return the category of BI-RADS that a cell means, as "4a", however it is written (``BI-RADS 4 A``, ``5.0``)."""
    found = _CATEGORY.fullmatch(re.sub(r"[\s_-]+", " ", word.casefold()).strip())
    return found[1] + found[2] if found else None


_NOTHING = frozenset({"", "nan", "none", "null", "na", "n/a", "#n/a", "<na>", "unknown", "?"})
"""What programs and people write where a value is missing: as a pathology it has no meaning that could be explained."""


def says_nothing(cell: str) -> bool:
    """Say whether a cell holds nothing, or what programs and people write where a value is missing."""
    return plain_word(cell) in _NOTHING


def why_unknown(word: str) -> str:
    """Say why a word has no certain meaning, and how to give it one."""
    plain = plain_word(word)
    if says_nothing(word):
        return "which says that nobody knows it"
    given = word if re.fullmatch(r"[\w.-]+", word) else f"'{word}'"
    if plain.startswith("bi rads"):
        return (
            "which is a suspicion and no diagnosis. Write into the table what biopsy or follow-up of each lesion "
            f"found; who takes a whole category for one class all the same says so: --pathology_words {given}=CLASS"
        )
    why = "which is not known"
    if plain.isdecimal():
        why = "whose meaning is certain only where numbers are 0 and 1 and every 0 has a mask"
    return f"{why}. Known are {', '.join(PATHOLOGIES)}; say which of them yours means: --pathology_words {given}=CLASS"
