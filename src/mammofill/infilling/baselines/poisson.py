"""Gradient-domain blending: a source laid into a target so that no seam shows.

Source: Perez, Gangnet, Blake, "Poisson image editing", SIGGRAPH 2003, equations 2 (the membrane), 4 and 7. OpenCV's
`seamlessClone` does the same for pictures of 8 bits; ours have 16.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from mammofill.ground.imaging import Mask, mask_box

Field = NDArray[np.float64]
"""(H, W) float64, of any range."""

_LOOSE = 1e-12
"""Weight of a pull towards 0 at each pixel, against 1 for each neighbour: negligible unless no pixel is fixed."""


def blend(source: NDArray[np.floating], target: NDArray[np.floating], hole: Mask, holding: Mask | None = None) -> Field:
    """Lay the source's structure into the hole, with the brightness of the target around it.

    The result has the source's differences between neighbours, those across the rim of the hole too, as nearly as the
    target's pixels around the hole allow. A constant added to the source changes nothing.

    Args:
        source: (H, W), looked at in the hole and one pixel around it.
        target: (H, W).
        hole: (H, W) bool, True = to be filled.
        holding: (H, W) bool, the pixels outside the hole that the fill has to meet; all of them, if not given. At the
            others, and at the border of the picture, it is free (differences across are ignored).

    Returns:
        (H, W): the target, exactly, outside the hole. May leave the range of both a little. A part of the hole that
        meets no such pixel is the source as it is.
    """
    difference = np.subtract(target, source, dtype=np.float64)
    return np.where(hole, source + membrane(difference, hole, holding), target)


def membrane(picture: NDArray[np.floating], hole: Mask, holding: Mask | None = None) -> Field:
    """Span the smoothest surface over a hole: each pixel in it becomes the mean of its neighbours (Laplace's equation).

    Args:
        picture: (H, W), looked at around the hole only.
        hole: (H, W) bool.
        holding: see `blend`.

    Returns:
        (H, W): the picture outside the hole. A part of the hole that meets no such pixel is 0.
    """
    spanned = np.array(picture, np.float64)
    if hole.any():
        top, left, height, width = mask_box(hole)
        # One pixel around the hole, as far as the picture goes.
        window = slice(max(top - 1, 0), top + height + 1), slice(max(left - 1, 0), left + width + 1)
        held = ~hole if holding is None else holding & ~hole
        spanned[window][hole[window]] = _span(spanned[window], hole[window], held[window])
    return spanned


def _span(picture: Field, hole: Mask, held: Mask) -> Field:
    """Solve Laplace's equation in the hole of n pixels; return their (n,) values."""
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(hole.sum())
    neighbours, around = np.zeros(hole.shape), np.zeros(hole.shape)
    fixed, counted = np.where(held, picture, 0.0), hole | held
    links = []
    for before, after in _ADJACENT:
        for here, there in ((before, after), (after, before)):
            neighbours[here] += counted[there]
            around[here] += fixed[there]
            both = hole[here] & hole[there]
            links.append((number[here][both], number[there][both]))
    rows, columns = (np.concatenate(ends) for ends in zip(*links, strict=True))
    diagonal = scipy.sparse.diags_array(neighbours[hole] + _LOOSE)
    between = scipy.sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=diagonal.shape)
    # Symmetric and diagonally dominant: no pivoting, and an ordering made for such matrices, twice as fast as others.
    factors = splu(
        (diagonal - between).tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    values: Field = factors.solve(around[hole])
    return values


_ADJACENT = (
    ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
)
"""Pixels and their right neighbours; pixels and their lower neighbours."""
