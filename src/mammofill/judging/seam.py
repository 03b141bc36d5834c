"""Criterion "seam": whether the ring around a fill can be told from the ring around a real lesion.

In other tissue the surroundings tell, too: real lesions pull at theirs. So the verdict is of lesions that are painted
again where they are; their surroundings are the same, pixel for pixel, and what is left to be found is the seam.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.imaging import Image, Mask, to_unit
from mammofill.judging.cases import Lesions
from mammofill.judging.rings import distance_outwards, ring_mean
from mammofill.judging.telling_apart import tell_apart
from mammofill.judging.verdict import Bench, Finding, Wanted, judged, told

CRITERION = "seam"
_LEAST = 1e-9  # added to means, so that what is flat has a logarithm; far below the grain of film


def rings_of(images: NDArray[np.uint16], masks: NDArray[np.bool_], feather_px: int) -> NDArray[np.float32]:
    """Describe the rings around outlines.

    Args:
        images: (N, H, W).
        masks: (N, H, W).
        feather_px: width of the soft edge of fills; real lesions are looked at in the same rings.

    Returns:
        (N, K) float32, all relative to the tissue farther out, so that neither brightness nor contrast of a patch
        count: for each ring the logarithms of gradient, grain and Laplacian energy; from each ring to the next the step
        in brightness, with and without its sign; and the gradient across the outline, less that along it.
    """
    return np.array(
        [_describe(to_unit(image), mask, feather_px) for image, mask in zip(images, masks, strict=True)], np.float32
    )


def seam_of_reference(bench: Bench, real: Lesions, rings: NDArray[np.float32], contexts: Lesions,
                      context_rings: NDArray[np.float32]) -> list[Finding]:  # fmt: skip
    """Tell how far tissue with a borrowed outline, and nothing painted, can be told from real lesions."""
    found = tell_apart(bench, rings, real.people, context_rings, contexts.people)
    return [
        told(
            CRITERION,
            "AUC, other tissue",
            found,
            "Rings of tissue into which nothing was painted against those of lesions.",
        )
    ]


def seam_of_fills(bench: Bench, real: Lesions, rings: NDArray[np.float32], rings_in_place: NDArray[np.float32],
                  contexts: Lesions, fill_rings: NDArray[np.float32]) -> list[Finding]:  # fmt: skip
    """Measure whether a judge that learns finds the seam.

    Args:
        bench: intervals.
        real: real lesions.
        rings: (M, K) around them.
        rings_in_place: (M, K) around the same lesions, painted again.
        contexts: other tissue that was filled.
        fill_rings: (N, K) around those fills.
    """
    found = tell_apart(bench, rings, real.people, rings_in_place, real.people)
    elsewhere = tell_apart(bench, rings, real.people, fill_rings, contexts.people)
    few = bench.too_few(len(set(real.people[:, 0])), len(real))
    wanted = Wanted(most=bench.settings.wanted.seam_auc)
    words = "AUC of a judge that learned to tell the rings around real lesions from those after painting them again."
    there = "The same of fills in other tissue, whose surroundings tell as well."
    return [
        judged(CRITERION, "AUC", found, wanted, words, few),
        told(CRITERION, "AUC, other tissue", elsewhere, there),
    ]


def _describe(image: Image, mask: Mask, feather_px: int) -> NDArray[np.float64]:
    distance = distance_outwards(mask)
    soft, width = feather_px + 1, max(2, len(image) // 32)
    edges = [0.0, *([soft / 2] if soft >= 2 else []), float(soft), soft + width / 2, float(soft + width)]
    rings = [(-float(width), 0.0), *pairwise(edges)]
    beyond = (soft + width, soft + 5 * width)

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
