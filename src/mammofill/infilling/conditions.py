"""The requested properties of a lesion as numbers: one group of planes for each fact, all zero where it is not known.

The networks see a row of numbers and know nothing of classes, so another fact is another entry of `FACTS`, and no
change to a network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.errors import SettingsError
from mammofill.mammograms.sources.csv_table import plain_name
from mammofill.mammograms.sources.density_words import NUMBER_OF, density_class
from mammofill.mammograms.sources.pathology_words import birads_category

if TYPE_CHECKING:
    import pandas as pd

FACTS: dict[str, tuple[str, ...]] = {
    "pathology": ("benign", "malignant"),
    "abnormality": ("mass", "calcification"),
    "density": ("1", "2", "3", "4"),
    "shape": ("round", "oval", "lobulated", "irregular"),
    "margin": ("circumscribed", "microlobulated", "obscured", "ill-defined", "spiculated"),
    "birads": ("0", "1", "2", "3", "4", "5", "6"),
}
"""The facts and their words, in the order of their planes. ``density`` is the BI-RADS class of the breast, ``birads``
the assessment of the lesion; shape and margin are of masses (ACR BI-RADS Atlas, 4th edition, as CBIS-DDSM uses it)."""

OF_LESION = ("abnormality", "shape", "margin", "birads")
"""Facts of a lesion; the others are of the breast around it."""

_ATTRIBUTES = {
    "shape": ("massshape", "shape"),
    "margin": ("massmargins", "massmargin", "margins", "margin"),
    "birads": ("assessment", "birads"),
}
"""Facts recorded among the attributes of a lesion, and their names in the sources, as plain names."""


def count_planes(facts: Sequence[str]) -> int:
    """Return K, how many numbers describe these facts."""
    return sum(len(FACTS[fact]) for fact in facts)


def planes_of(facts: Sequence[str], fact: str) -> slice:
    """Return where the numbers of one of these facts stand among all K."""
    first = count_planes(facts[: list(facts).index(fact)])
    return slice(first, first + len(FACTS[fact]))


def encode(facts: Sequence[str], requested: Mapping[str, Sequence[str | None]], count: int) -> NDArray[np.float32]:
    """Turn words into planes.

    Args:
        facts: names out of `FACTS`, in the order of the planes.
        requested: for some of the facts, N words, or None where nothing is known or requested.
        count: N.

    Returns:
        (N, K) float32: 1 in the plane of the word, 0 elsewhere; a fact without a word is all zero.

    Raises:
        SettingsError: a word that the fact does not have, a fact that is not among `facts`, or not N words.
    """
    for fact, words in requested.items():
        if fact not in facts:
            raise SettingsError(f"{fact!r} was requested, but this infiller is conditioned on {', '.join(facts)} only.")
        if len(words) != count:
            raise SettingsError(f"{count} pictures need as many words for {fact!r}, but got {len(words)}.")
    groups = []
    for fact in facts:
        planes = np.zeros((count, len(FACTS[fact])), np.float32)
        for row, word in enumerate(requested.get(fact, [None] * count)):
            if word is None:
                continue
            if word not in FACTS[fact]:
                raise SettingsError(f"Picture {row} requests the {fact} {word!r}. Use {' or '.join(FACTS[fact])}.")
            planes[row, FACTS[fact].index(word)] = 1
        groups.append(planes)
    return np.concatenate(groups, axis=1)


def words_in(table: pd.DataFrame, fact: str) -> tuple[str | None, ...]:
    """Return a fact's words from a patch table; None where the word is missing or unknown to `FACTS`.

    The fact is a column of its name, or one of the lesion's attributes. Of several words in one, such as
    ``IRREGULAR-ARCHITECTURAL_DISTORTION``, the first that is known counts. An assessment may be written in all ways
    that `birads_category` knows; of ``4a`` the number counts. A density may be written in all ways that `density_class`
    knows; A to D are 1 to 4.
    """
    if fact == "density":
        return tuple(_density_in(word) if isinstance(word, str) else None for word in table[fact])
    if fact not in _ATTRIBUTES:
        return tuple(word if isinstance(word, str) and word in FACTS[fact] else None for word in table[fact])
    return tuple(_word_of(fact, json.loads(one) if isinstance(one, str) else {}) for one in table["attributes"])


def _density_in(word: str) -> str | None:
    found = density_class(word)
    return NUMBER_OF.get(found, found) if found else None


def _word_of(fact: str, attributes: Mapping[str, Any]) -> str | None:
    values = {plain_name(column): str(value).lower() for column, value in attributes.items()}
    for name in _ATTRIBUTES[fact]:
        recorded = values.get(name, "")
        if fact == "birads" and (category := birads_category(recorded)):
            return category[0]
        # Words are joined by hyphens, and one of them has a hyphen of its own.
        words = re.sub("ill[ _-]defined", "illdefined", recorded).split("-")
        for word in (one.replace("illdefined", "ill-defined").strip() for one in words):
            if word in FACTS[fact]:
                return word
    return None
