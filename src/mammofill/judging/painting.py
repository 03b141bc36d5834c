"""Who paints: an infiller, or the oracle; and fills that survive a stop."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.artifact import write_atomically
from mammofill.ground.progress import Task
from mammofill.infilling import Infiller
from mammofill.infilling.conditions import OF_LESION
from mammofill.judging.cases import Lesions

CHUNK = 32
"""Patches that are filled at once, and kept at once for the case that the stage is stopped."""


class Filler(Protocol):
    """Fills holes."""

    @property
    def method(self) -> str:
        """How it paints, for the tables."""

    @property
    def requests_appearance(self) -> bool:
        """Whether more of a lesion's appearance can be requested than its class, such as shape and margin."""

    def may_change(self, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which pixels a fill may change, (N, H, W): hole and soft edge."""

    def fill(self, lesions: Lesions, pathologies: Sequence[str], seeds: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Paint a lesion into each hole; holes may touch the border of their patch.

        Args:
            lesions: N pictures with masks; their own class is not looked at.
            pathologies: N words, the requested classes.
            seeds: (N,).

        Returns:
            (N, H, W).
        """


class Painting:
    """An infiller as a `Filler`."""

    def __init__(self, infiller: Infiller, device: str) -> None:
        self.infiller, self.device = infiller, device

    @property
    def method(self) -> str:
        """The infiller's."""
        return self.infiller.method

    @property
    def requests_appearance(self) -> bool:
        """Whether it is conditioned on such facts."""
        return bool(set(self.infiller.conditions) & set(OF_LESION) - {"abnormality"})

    def may_change(self, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return what the infiller says."""
        return self.infiller.may_change(masks)

    def fill(self, lesions: Lesions, pathologies: Sequence[str], seeds: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Paint; see `Filler`. A lesion that is painted again where it is may lie at its patch's border."""
        facts = {fact: lesions.requested_attribute(fact) for fact in self.infiller.conditions[1:]}
        how: dict[str, Any] = {"facts": facts, "device": self.device, "allow_border": True}
        return self.infiller.infill(lesions.images, lesions.masks, pathologies, seeds.tolist(), **how)


def paint(
    filler: Filler, lesions: Lesions, pathologies: Sequence[str], seeds: NDArray[np.int64], kept: Path, task: Task
) -> NDArray[np.uint16]:
    """Fill masks part by part; parts that an earlier, stopped run made are taken as they are.

    Args:
        filler: paints.
        lesions: N pictures with masks.
        pathologies: one word for each.
        seeds: (N,) one for each.
        kept: beginning of the names of files with finished parts.
        task: advances by each fill.

    Returns:
        (N, H, W) uint16.
    """
    parts = [lesions.images[:0]]
    for start in range(0, len(lesions), CHUNK):
        some = slice(start, start + CHUNK)
        file = kept.with_name(f"{kept.name}-{start:06d}.npy")
        if not file.is_file():
            keep(file, filler.fill(lesions[some], pathologies[some], seeds[some]))
        parts.append(np.load(file))
        task.advance(len(parts[-1]))
    return np.concatenate(parts)


def keep(file: Path, array: NDArray[Any]) -> None:
    """Write an array (.npy) in one move."""
    written = BytesIO()
    np.save(written, array)
    write_atomically(file, written.getvalue(), durable=False)
