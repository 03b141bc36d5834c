"""The gate: which fills are kept, and why the others are refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.seeding import stream
from mammofill.infilling.settings import CLASSES
from mammofill.selection.scores import Score
from mammofill.selection.settings import QUANTILES, SelectSyntheticSettings

OUTSIDE, COPY = "changed_outside", "copy"
REASONS = (OUTSIDE, COPY, *QUANTILES)
"""For what a fill is refused, the gravest first."""
NOT_AMONG_THE_BEST, NOT_DRAWN = "not_among_the_best", "not_drawn"
"""Why a fill is left out that passes: others are better, or others were drawn."""


@dataclass(frozen=True)
class Decision:
    """What becomes of fills."""

    failed: dict[str, NDArray[np.bool_]]
    """Reason, of `REASONS` -> (N,) whether a fill is refused for it; a fill may be refused for several."""
    kept: NDArray[np.bool_]
    """(N,)."""
    random: bool
    """Whether those that are kept were drawn at random."""

    @property
    def refused(self) -> NDArray[np.bool_]:
        """(N,) whether a fill is refused for any reason."""
        return np.asarray(np.any(list(self.failed.values()), axis=0), np.bool_)

    def reasons(self) -> list[str]:
        """Return for each fill all reasons, separated by spaces."""
        return [" ".join(name for name, one in self.failed.items() if one[row]) for row in range(len(self.kept))]

    def first_reasons(self) -> NDArray[np.object_]:
        """Return for each fill that is left out one reason, the gravest; empty for those that are kept."""
        found = np.full(len(self.kept), "", object)
        found[~self.kept] = NOT_DRAWN if self.random else NOT_AMONG_THE_BEST
        for name in reversed(REASONS) if not self.random else ():
            found[self.failed[name]] = name
        return found


def decide(
    scores: Mapping[str, Score],
    nearest_training: NDArray[np.float64],
    copy_threshold: float,
    changed_outside: NDArray[np.int64],
    malignant: NDArray[np.bool_],
    real: Mapping[str, int],
    settings: SelectSyntheticSettings,
    seed: int,
) -> Decision:
    """Decide which fills are kept.

    Args:
        scores: by name, of `QUANTILES`.
        nearest_training: (N,) correlation with the nearest training lesion.
        copy_threshold: from which on a fill counts as a copy.
        changed_outside: (N,) pixels outside the hole that are not the context's.
        malignant: (N,) the requested class.
        real: number of real lesion patches of each class in the train split.
        settings: what is wanted.
        seed: draws, where fills are drawn at random.
    """
    failed = {OUTSIDE: changed_outside > 0, COPY: (nearest_training >= copy_threshold) & settings.refuse_copies}
    failed |= {name: ~scores[name].passes for name in QUANTILES}
    passes = ~np.any(list(failed.values()), axis=0)
    of_class = {name: malignant == (name == "malignant") for name in CLASSES}
    painted = {name: int(own.sum()) for name, own in of_class.items()}
    wanted = _how_many({name: int((own & passes).sum()) for name, own in of_class.items()}, painted, real, settings)
    order = _order(scores, nearest_training, settings.by)
    kept = np.zeros(len(malignant), np.bool_)
    for name, own in of_class.items():
        if settings.random:
            candidates = stream(seed, "random fills", name).permutation(np.flatnonzero(own))
        else:
            candidates = np.flatnonzero(own & passes)
            candidates = candidates[np.argsort(-order[candidates], kind="stable")]
        kept[candidates[: wanted[name]]] = True
    return Decision(failed, kept, settings.random)


def _how_many(
    passing: Mapping[str, int], painted: Mapping[str, int], real: Mapping[str, int], settings: SelectSyntheticSettings
) -> dict[str, int]:
    """Return how many of each class are kept."""
    most = dict(passing)
    if settings.ratio is not None:
        most = {name: min(most[name], round(settings.ratio * real[name])) for name in CLASSES}
    if settings.top is not None:
        benign = round(settings.top * painted["benign"] / sum(painted.values()))
        of_top = {"benign": benign, "malignant": settings.top - benign}  # each rounded alone may be one too many
        most = {name: min(most[name], of_top[name]) for name in CLASSES}
    if not settings.balance:
        return most
    # Of each class the same share of what was painted: that of the class of which fewer may stay.
    share = min(most[name] / painted[name] for name in CLASSES if painted[name])
    return {name: math.floor(share * painted[name] + 1e-9) for name in CLASSES}


def _order(scores: Mapping[str, Score], nearest_training: NDArray[np.float64], by: str) -> NDArray[np.float64]:
    """Return by what the best are taken: greater is better."""
    if by == "originality":
        return -nearest_training
    if by == "all":
        return np.asarray(np.min([one.rank for one in scores.values()], axis=0), np.float64)
    return scores[by].rank
