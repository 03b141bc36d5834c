"""Criterion "seam": whether the border of the hole shows.

Real lesions are painted again where they are. What is around the hole is then the same, pixel for pixel, and what can
be found is where old pixels meet new ones. Fills in other tissue would be recognised by their surroundings.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.imaging import Image, Mask, to_unit
from mammofill.judging.cases import Lesions
from mammofill.judging.rings import distance_outwards, ring_mean
from mammofill.judging.two_sample import two_sample_auc
from mammofill.judging.verdict import NONE, Finding, Statistics, Wanted, judged

CRITERION = "seam"
_MOST_HOLE = 0.9
"""Of the patch; a larger hole leaves no rings around it, and its lesion is left out. Ours."""
_NUMBERS = 19
"""Of each patch: three textures in three rings, four gradients, three steps with and without their sign."""
_LEAST = 1e-9  # added to means, so that what is flat has a logarithm; far below the grain of film


def rings_of(images: NDArray[np.uint16], holes: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Describe the rings around holes.

    Args:
        images: (N, H, W).
        holes: (N, H, W), neither empty nor full.

    Returns:
        (N, 19) float32, all relative to the tissue farther out, so that neither brightness nor contrast of a patch
        count: for each ring the logarithms of gradient, grain and Laplacian energy; from each ring to the next the step
        in brightness, with and without its sign; and the gradient across the outline, less that along it.
    """
    found = [_describe(to_unit(image), hole) for image, hole in zip(images, holes, strict=True)]
    return np.array(found, np.float32).reshape(-1, _NUMBERS)


def seam_of_fills(
    statistics: Statistics, before: Lesions, after: NDArray[np.uint16], holes: NDArray[np.bool_], oracle: float | None
) -> list[Finding]:
    """Measure whether the seam can be found.

    Args:
        statistics: intervals.
        before: real lesions.
        after: (M, H, W) the same, painted again.
        holes: (M, H, W) bool, what may have changed.
        oracle: the AUC at the oracle's seam, where there is one.
    """
    kept = holes.mean(axis=(1, 2)) < _MOST_HOLE
    before, after, holes = before[kept], after[kept], holes[kept]
    wanted = statistics.settings.wanted
    most = wanted.seam_auc if oracle is None else oracle + wanted.seam_over_oracle
    few = statistics.too_few(before.tissue_patients, len(before))
    estimate = NONE
    if len(before):
        rings = rings_of(before.images, holes), rings_of(after, holes)
        estimate = two_sample_auc(statistics, rings[0], before.people, rings[1], before.people)
    return [
        judged(
            CRITERION,
            "AUC at the hole",
            estimate,
            Wanted(most=most),
            "AUC of a forest that learned to tell the rings around the hole from those after painting the lesion again "
            "where it is." + ("" if oracle is None else f" Wanted: the oracle's and {wanted.seam_over_oracle:g} more."),
            few,
            key="seam_at_hole",
        )
    ]


def _describe(image: Image, hole: Mask) -> NDArray[np.float64]:
    distance = distance_outwards(hole)
    width = max(2, len(image) // 32)
    edges = [0.0, 1.0, 1 + width / 2, 1.0 + width]
    rings = [(-float(width), 0.0), *pairwise(edges)]
    beyond = (1 + width, 1 + 5 * width)

    rows, columns = cv2.Sobel(image, cv2.CV_32F, 0, 1, scale=1 / 8), cv2.Sobel(image, cv2.CV_32F, 1, 0, scale=1 / 8)
    out_rows, out_columns = cv2.Sobel(distance, cv2.CV_32F, 0, 1), cv2.Sobel(distance, cv2.CV_32F, 1, 0)
    length = np.maximum(np.hypot(out_rows, out_columns), np.float32(1e-6))
    across = (rows * out_rows + columns * out_columns) / length
    along = (columns * out_rows - rows * out_columns) / length
    textures = [
        np.hypot(rows, columns),
        np.square(image - cv2.GaussianBlur(image, (0, 0), 1.0)),
        np.square(cv2.Laplacian(image, cv2.CV_32F)),
    ]
    means = [ring_mean(image, distance, *ring) for ring in rings]
    around = (distance >= beyond[0]) & (distance < beyond[1])
    spread = float(image[around].std()) if around.any() else float("nan")
    jumps = np.diff(means) / max(spread, _LEAST)
    outside = rings[1:]
    texture = [_logarithm_of_share(one, distance, ring, beyond) for one in textures for ring in outside]
    directed = [
        _logarithm_of_share(np.abs(across), distance, ring, ring, np.abs(along)) for ring in (rings[0], *outside)
    ]
    # Where a ring has no pixels, 0: no difference.
    numbers = np.array([*texture, *directed, *jumps, *np.abs(jumps)], np.float64)
    return np.where(np.isfinite(numbers), numbers, 0.0)


def _logarithm_of_share(
    values: Image,
    distance: Image,
    ring: tuple[float, float],
    beyond: tuple[float, float],
    others: Image | None = None,
) -> float:
    above = ring_mean(values, distance, *ring)
    below = ring_mean(values if others is None else others, distance, *beyond)
    return float(np.log((above + _LEAST) / (below + _LEAST)))
