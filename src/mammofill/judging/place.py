"""Criterion "place": whether anything is touched outside the hole."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.judging.verdict import Finding, Wanted, counted, judged, reported

CRITERION = "place"


def changes(before: NDArray[np.uint16], after: NDArray[np.uint16], may_change: NDArray[np.bool_]) -> pd.DataFrame:
    """Count what differs outside the hole and its soft edge.

    Args:
        before: (N, H, W).
        after: (N, H, W).
        may_change: (N, H, W) bool.

    Returns:
        One row per fill: pixels_outside, changed_outside, greatest_change_outside (stored levels, of 65535).
    """
    difference = np.where(may_change, 0, np.abs(after.astype(np.int32) - before.astype(np.int32)))
    return pd.DataFrame(
        {
            "pixels_outside": (~may_change).sum(axis=(1, 2)),
            "changed_outside": (difference > 0).sum(axis=(1, 2)),
            "greatest_change_outside": difference.max(axis=(1, 2), initial=0),
        }
    )


def place_of_fills(changed: pd.DataFrame, holes: NDArray[np.bool_], patients: int) -> list[Finding]:
    """Measure whether fills stay in their holes.

    Args:
        changed: from `changes`, of all fills.
        holes: (N, H, W) bool, what could be changed in the cases.
        patients: number of them.
    """
    touched, pixels = int(changed["changed_outside"].sum()), int(changed["pixels_outside"].sum())
    most = int(changed["greatest_change_outside"].max())
    share = counted(float(holes.mean()), len(holes), patients)
    return [
        judged(
            CRITERION,
            "changed outside the hole",
            counted(touched, len(changed), patients),
            Wanted(0.0, 0.0),
            f"Pixels of {pixels:,} beyond hole and soft edge that are not the context's, bit for bit.",
            remark=f"{touched:,} of {pixels:,} pixels differ, by up to {most:,} of 65,535 levels" if touched else "",
            key="changed_outside_hole",
        ),
        reported(CRITERION, "share of the patch in the hole", share, "Hole and soft edge, mean over the cases."),
    ]
