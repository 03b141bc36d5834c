"""Criteria "cues" and "spread": is the class hinted at by a single number, and do fills differ as real lesions do?

A tiny shift of brightness is enough for a classifier to put every malignant fill above its benign twin. A classifier
that learned from such fills would learn the shift. So the class must not be easier to read from any one number in fills
than it is in real lesions.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.evaluation.metrics import Weights, weighted_auc
from mammofill.ground.imaging import Image, Mask, to_unit
from mammofill.judging.cases import Lesions
from mammofill.judging.rings import distance_outwards, ring_mean
from mammofill.judging.verdict import (
    Estimate,
    Finding,
    Statistic,
    Statistics,
    Wanted,
    divided,
    judged,
    reported,
    weighted_mean,
)

CUES = {
    "level": "mean brightness in the hole",
    "contrast": "standard deviation of the brightness in the hole",
    "inside minus outside": "mean brightness in the mask less that of a ring around the hole",
    "fine energy": "mean square of what a blur by 1 px takes away, in the hole, as a logarithm",
    "middle energy": "mean square of what lies between blurs by 1 and 4 px, in the hole, as a logarithm",
}
"""One number each, from which the class might be read."""
_FINE_PX, _MIDDLE_PX = 1.0, 4.0
_RING = 1 / 16
"""Width of the ring around the hole, of the patch's side."""
_CELLS = 4
"""Cells along each side of a lesion's crop that make its coarse structure."""
_LEAST = 1e-12


def cues_of(images: NDArray[np.uint16], masks: NDArray[np.bool_], holes: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Measure each picture by each of `CUES`, (N, 5)."""
    found = [_cues(to_unit(image), mask, hole) for image, mask, hole in zip(images, masks, holes, strict=True)]
    return np.array(found, np.float64).reshape(-1, len(CUES))


def cues_one_by_one(statistics: Statistics, lesions: Lesions, found: NDArray[np.float64]) -> list[Finding]:
    """Report how well each cue alone reveals the class of lesions, real or painted.

    Args:
        statistics: intervals.
        lesions: N of them.
        found: (N, 5) from `cues_of`.
    """
    return [
        reported(
            "cues",
            f"AUC by {name}",
            statistics.estimate(_by_one(lesions, found[:, k]), lesions.people, len(lesions)),
            f"AUC of the class by one number: {words}. Either way round.",
        )
        for k, (name, words) in enumerate(CUES.items())
    ]


def cues_of_fills(
    statistics: Statistics,
    real: Lesions,
    of_real: NDArray[np.float64],
    fills: Lesions,
    of_fills: NDArray[np.float64],
) -> list[Finding]:
    """Measure how much better each cue alone reveals the class of fills.

    Args:
        statistics: intervals.
        real: real lesions.
        of_real: (M, 5) from `cues_of`, with the same rule of the hole.
        fills: fills of the donor's class, as synthesis makes them.
        of_fills: (N, 5).
    """
    count = len(real)

    def excesses(weights: Weights) -> NDArray[np.float64]:
        each = range(len(CUES))
        on_real = np.stack([weighted_auc(real.malignant, of_real[:, k], weights[:, :count]) for k in each])
        on_fills = np.stack([weighted_auc(fills.malignant, of_fills[:, k], weights[:, count:]) for k in each])
        return np.maximum(on_fills - np.maximum(on_real, 0.5), 1 - on_fills - np.maximum(1 - on_real, 0.5))

    people = np.concatenate([real.people, fills.people])
    excess = excesses(np.ones((1, len(people))))[:, 0]
    largest = list(CUES)[int(np.argmax(excess))]
    few = statistics.too_few(min(real.tissue_patients, fills.tissue_patients), *real.per_class, *fills.per_class)
    return [
        judged(
            "cues",
            "largest excess",
            statistics.estimate(lambda weights: excesses(weights).max(axis=0), people, len(fills)),
            Wanted(most=statistics.settings.wanted.cue_excess),
            "By how much the AUC of the class by one number is greater on fills than on real lesions, at most; or than "
            "0.5, where it tells the class the other way round.",
            few,
            remark=f"it is the {largest}",
            key="largest_simple_cue_excess",
        ),
        *cues_one_by_one(statistics, fills, of_fills),
    ]


def spread_of_real(
    statistics: Statistics, real: Lesions, found: NDArray[np.float64], cut: NDArray[np.float32]
) -> list[Finding]:
    """Measure how much real lesions of one class differ."""
    numbers = _spread_numbers(found, cut)

    def deviation(k: int) -> Estimate:
        return statistics.estimate(lambda weights: _spread(weights, real, numbers[k]), real.people, len(real))

    words = "Standard deviation over real lesions of one class, in shares of the full range."
    return [reported("spread", f"SD of {name}", deviation(k), words) for k, name in enumerate(_SPREADS)]


def spread_of_fills(
    statistics: Statistics,
    real: Lesions,
    of_real: tuple[NDArray[np.float64], NDArray[np.float32]],
    of_fills: tuple[NDArray[np.float64], NDArray[np.float32]],
) -> list[Finding]:
    """Measure how much fills differ, as a share of how much real lesions do.

    Args:
        statistics: intervals.
        real: real lesions.
        of_real: their cues (M, 5), and their crops from `similarity.crops`.
        of_fills: the same after each was painted again where it is, in its class.
    """
    before, after = _spread_numbers(*of_real), _spread_numbers(*of_fills)
    few = statistics.too_few(real.tissue_patients, *real.per_class)

    def share(k: int) -> Estimate:
        return statistics.estimate(
            lambda weights: divided(_spread(weights, real, after[k]), _spread(weights, real, before[k])),
            real.people,
            len(real),
        )

    return [
        judged(
            "spread",
            name,
            share(k),
            Wanted(*statistics.settings.wanted.spread),
            f"{words}: standard deviation over fills of one class, as a share of real lesions'.",
            few,
            key=f"spread_of_{name.replace(' ', '_')}",
        )
        for k, (name, words) in enumerate(_SPREADS.items())
    ]


_SPREADS = {
    "level": "Mean brightness in the mask less that of a ring around the hole",
    "contrast": "Standard deviation of the brightness in the hole",
    "coarse structure": f"Brightness in {_CELLS} x {_CELLS} cells of the lesion, less its mean",
}


def _by_one(lesions: Lesions, numbers: NDArray[np.float64]) -> Statistic:
    """Return the statistic: AUC of the class by one number, whichever class has the larger ones."""

    def auc(weights: Weights) -> NDArray[np.float64]:
        found = weighted_auc(lesions.malignant, numbers, weights)
        return np.maximum(found, 1 - found)

    return auc


def _cues(image: Image, mask: Mask, hole: Mask) -> list[float]:
    inside, width = image[hole].astype(np.float64), max(2.0, _RING * len(image))
    fine, middle = (cv2.GaussianBlur(image, (0, 0), sigma) for sigma in (_FINE_PX, _MIDDLE_PX))
    return [
        float(inside.mean()),
        float(inside.std()),
        _step(image, mask, hole, width),
        float(np.log10(np.square(image - fine)[hole].mean() + _LEAST)),
        float(np.log10(np.square(fine - middle)[hole].mean() + _LEAST)),
    ]


def _step(image: Image, mask: Mask, hole: Mask, width: float) -> float:
    around = ring_mean(image, distance_outwards(hole), 0.0, width) if not hole.all() else float("nan")
    # Of a hole that fills its patch nothing is left around it.
    return float(image[mask].mean()) - (around if np.isfinite(around) else float(image.mean()))


def _spread_numbers(cues: NDArray[np.float64], cut: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    """Return what spread is measured of, each (N, K)."""
    names = list(CUES)
    side = cut.shape[-1] // _CELLS
    cells = cut.reshape(len(cut), _CELLS, side, _CELLS, side).mean(axis=(2, 4), dtype=np.float64).reshape(len(cut), -1)
    coarse = cells - cells.mean(axis=1, keepdims=True)
    return [cues[:, [names.index("inside minus outside")]], cues[:, [names.index("contrast")]], coarse]


def _spread(weights: Weights, lesions: Lesions, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the root of the mean variance of numbers (n, K) within the classes, over weights (r, n): (r,)."""
    variances = []
    for some in (lesions.malignant, ~lesions.malignant):
        mean = weighted_mean(weights[:, some], numbers[some])
        square = weighted_mean(weights[:, some], np.square(numbers[some]))
        variances.append(np.maximum(square - np.square(mean), 0).mean(axis=1))
    return np.asarray(np.sqrt(np.mean(variances, axis=0)), np.float64)
