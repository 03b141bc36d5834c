"""Criterion "place": whether a fill is where the mask is, with the outline of a lesion, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.imaging import feather, to_unit
from mammofill.judging.cases import Lesions
from mammofill.judging.rings import outline_step
from mammofill.judging.verdict import Bench, Estimate, Finding, Wanted, certain, judged, told

CRITERION = "place"


def changes(contexts: Lesions, fills: NDArray[np.uint16], feather_px: int) -> pd.DataFrame:
    """Count what differs from the context.

    Args:
        contexts: before.
        fills: (N, H, W) after.
        feather_px: width of the soft edge.

    Returns:
        One row per fill: pixels_outside (beyond mask and soft edge), changed_outside, greatest_change_outside (stored
        levels, of 65535), energy_inside (share of the squared difference that lies in the mask; NaN without any).
    """
    rows = []
    for image, mask, fill in zip(contexts.images, contexts.masks, fills, strict=True):
        outside = feather(mask, feather_px) == 0
        difference = np.abs(fill.astype(np.int64) - image.astype(np.int64))
        energy = np.square(difference.astype(np.float64))
        rows.append({
            "pixels_outside": int(outside.sum()),
            "changed_outside": int((difference[outside] > 0).sum()),
            "greatest_change_outside": int(difference[outside].max(initial=0)),
            "energy_inside": float(energy[mask].sum() / energy.sum()) if energy.any() else float("nan"),
        })  # fmt: skip
    return pd.DataFrame(rows)


def steps(images: NDArray[np.uint16], masks: NDArray[np.bool_], reach_px: int) -> NDArray[np.float64]:
    """Return `rings.outline_step` of some pictures, (N,)."""
    found = [outline_step(to_unit(image), mask, reach_px) for image, mask in zip(images, masks, strict=True)]
    return np.array(found, np.float64)


def outlines_of_reference(bench: Bench, lesions: Lesions, found: NDArray[np.float64]) -> list[Finding]:
    """Tell how strong outlines are where no infiller painted."""
    return [told(CRITERION, "outline", bench.mean(found, lesions.people[:, 0]), _OUTLINE)]


def place_of_fills(
    bench: Bench,
    contexts: Lesions,
    changed: pd.DataFrame,
    fill_steps: NDArray[np.float64],
    donor_steps: NDArray[np.float64],
    context_steps: NDArray[np.float64],
) -> list[Finding]:
    """Measure where fills are.

    Args:
        bench: intervals.
        contexts: what was filled.
        changed: from `changes`, of the benign fills and then of the malignant ones.
        fill_steps: (N,) from `steps`, of the fills of the donor's class.
        donor_steps: (N,) of the real lesions that lent the outlines.
        context_steps: (N,) of the contexts with these outlines, before they were filled.
    """
    tissue, people = contexts.people[:, 0], len(set(contexts.people[:, 0]))
    touched, pixels = int(changed["changed_outside"].sum()), int(changed["pixels_outside"].sum())
    most = int(changed["greatest_change_outside"].max())
    gained = bench.ratio(fill_steps - context_steps, donor_steps, tissue)
    few = bench.too_few(people, len(contexts))
    return [
        judged(
            CRITERION,
            "unchanged outside",
            certain(1 - touched / max(pixels, 1), len(changed), people),
            Wanted(1.0, 1.0),
            "Share of pixels beyond mask and soft edge that are the context's, bit for bit.",
            remark=f"{touched} of {pixels} pixels differ, by up to {most} of 65535 levels" if touched else "",
        ),
        told(
            CRITERION,
            "change inside the mask",
            bench.mean(changed["energy_inside"].to_numpy(), np.tile(tissue, len(changed) // len(tissue))),
            "Share of the squared difference that lies in the mask; the rest is in the soft edge.",
        ),
        told(CRITERION, "outline", bench.mean(fill_steps, tissue), _OUTLINE),
        judged(
            CRITERION,
            "outline, share of real",
            gained,
            Wanted(*bench.settings.wanted.outline),
            "What the fill adds to the brightness across the outline, divided by that of the real lesions that lent "
            "the outlines.",
            few
            or ("the real lesions are not brighter than what is around them" if np.nanmean(donor_steps) <= 0 else ""),
        ),
        told(
            CRITERION,
            "outline, correlation",
            _correlation(bench, fill_steps, donor_steps, tissue),
            "Over pairs, of the fill's step across its outline with that of the real lesion that lent it.",
        ),
    ]


_OUTLINE = "How much brighter it is just inside the outline than just outside, in shares of the full range."


def _correlation(
    bench: Bench, first: NDArray[np.float64], second: NDArray[np.float64], patients: NDArray[np.object_]
) -> Estimate:
    known = np.isfinite(first) & np.isfinite(second)
    x, y = first[known], second[known]

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        share = weights / weights.sum(axis=1, keepdims=True)
        mean_x, mean_y = share @ x, share @ y
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.sqrt((share @ x**2 - mean_x**2) * (share @ y**2 - mean_y**2))
            pearson: NDArray[np.float64] = (share @ (x * y) - mean_x * mean_y) / spread
        return pearson

    return bench.estimate(statistic, patients[known], int(known.sum()))
