"""The patches with the largest mean error over all arms, as pictures with each arm's score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mammofill.patches import PatchSet
from mammofill.report.examples import picture_of, window_of

SHOWN = 8
"""Pictures at the most: more are in the table beside the page."""


@dataclass(frozen=True)
class HardCase:
    """One patch as shown."""

    picture: bytes | None
    """PNG: the patch, and beside it the same with the lesion's outline; None where the patch was not found."""
    truth: str
    patch: str
    patient: str
    loss: str
    scores: tuple[tuple[str, str], ...]
    """Arm and its probability of malignancy, mean over seeds."""


def hard_cases(hardest: pd.DataFrame, sources: Sequence[PatchSet]) -> tuple[HardCase, ...]:
    """Show the hardest patches.

    Args:
        hardest: columns of `evaluation.comparison.HARDEST_COLUMNS`, one group of each arm.
        sources: patch sets in which they may be found.
    """
    cases = []
    for _, part in hardest[hardest["rank"] <= SHOWN].groupby("rank"):
        first = part.iloc[0]
        scores = tuple((str(arm), f"{score:.2f}") for arm, score in zip(part["arm"], part["score"], strict=True))
        cases.append(
            HardCase(
                picture=_picture(str(first["patch_id"]), sources),
                truth=str(first["pathology"]),
                patch=str(first["patch_id"]),
                patient=str(first["patient_id"]),
                loss=f"{first['mean_loss']:.2f}",
                scores=scores,
            )
        )
    return tuple(cases)


def _picture(patch_id: str, sources: Sequence[PatchSet]) -> bytes | None:
    for patches in sources:
        rows = patches.rows(patch_id=patch_id, origin="real")
        if len(rows):
            images, masks = patches.pixels(rows[:1])
            twice = np.concatenate([images[0], images[0]], axis=1)
            outline = np.concatenate([np.zeros_like(masks[0]), masks[0]], axis=1)
            return picture_of(twice, outline, window_of(images[0]))
    return None
