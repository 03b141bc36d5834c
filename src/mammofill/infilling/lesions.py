"""The lesion patches that a network learns from, decoded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mammofill.infilling.conditions import words_in
from mammofill.patches import PatchSet


@dataclass(frozen=True)
class Lesions:
    """N lesion patches of H x W pixels."""

    images: NDArray[np.uint16]
    """(N, H, W)"""
    masks: NDArray[np.bool_]
    """(N, H, W), none of them empty"""
    pathologies: tuple[str, ...]
    """N words out of `CLASSES`"""
    facts: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    """N words, or None, for each further fact that is conditioned on"""

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)


def read_lesions(patches: PatchSet, rows: NDArray[np.int64], conditions: Sequence[str]) -> Lesions:
    """Decode some lesion patches, with what networks are conditioned on.

    Args:
        patches: where they are.
        rows: which.
        conditions: names out of `conditions.FACTS`, pathology first.
    """
    table = patches.table.iloc[rows]
    further = {fact: words_in(table, fact) for fact in conditions if fact != "pathology"}
    images, masks = patches.pixels(rows)
    return Lesions(images, masks, tuple(table["pathology"]), further)
