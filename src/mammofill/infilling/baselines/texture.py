"""The method `texture`: tissue like the patch's own, without a lesion: a sham that shows what filling alone does.

Source of the texture: Galerne, Gousseau, Morel, "Random phase textures", IEEE Transactions on Image Processing 2011: a
picture with the tissue's power spectrum and random phases. Nothing in it depends on the requested class.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.imaging import Image, Mask, distance_from, to_unit
from mammofill.ground.seeding import stream
from mammofill.infilling.baselines.poisson import blend
from mammofill.infilling.baselines.surroundings import find_black, find_tissue, grow
from mammofill.infilling.methods import FillCases, Fills, TrainingJob, TrainingResult
from mammofill.infilling.previews import preview_baseline
from mammofill.infilling.settings import InfillerSettings
from mammofill.patches import PatchSet

_TAPER = 1 / 16
"""Share of the patch's side: over this width tissue fades out towards the hole and the border before its spectrum is
taken. Ours."""
_NEAR = 1 / 8
"""Share of the patch's side: standard deviation of the Gaussian weight of tissue by its distance from the hole.
Ours."""
_OUTLIER = 3.0
"""Standard deviations: pixels farther from the slow course of brightness (scratches, vessels) are left out. Ours."""
_ROUNDS = 2
"""Number of fits of the course, each without the pixels that the fit before left out. Ours."""


class TexturePainter:
    """Paints tissue into holes."""

    def __init__(self, feather_px: int) -> None:
        self.feather_px = feather_px

    def fills(self, cases: FillCases) -> Fills:
        """Paint; see `Painter`. The requested properties are ignored."""
        for image, repainted, seed in zip(cases.images, cases.holes, cases.seeds, strict=True):
            patch = to_unit(image)
            black = find_black(patch, repainted)
            hole = grow(repainted, self.feather_px) & ~black
            source = synthesise(patch, hole, stream(seed, "texture"))
            yield blend(source, patch, hole, ~black).clip(0, 1).astype(np.float32)


def synthesise(image: Image, hole: Mask, random: np.random.Generator) -> Image:
    """Make a whole picture of tissue like that around the hole.

    Args:
        image: (H, W) in [0, 1].
        hole: (H, W) bool, whose content is ignored.
        random: draws the phases.

    Returns:
        (H, W) float32, about [0, 1]: the slow course of brightness over the patch, and texture with the spectrum of
        the tissue's deviations from it. Where no tissue is found, the course alone.
    """
    nearness = np.exp(-0.5 * np.square(distance_from(hole) / (_NEAR * len(image))))
    weight = _taper(find_tissue(image, hole)) * nearness
    if not weight.any():
        weight = ~hole * nearness
    for _ in range(_ROUNDS):
        course = _course(image, weight)
        deviation = image - course
        # The median of absolute deviations is 0.6745 standard deviations of a normal distribution.
        spread = float(np.median(np.abs(deviation[weight > 0]))) / 0.6745 if weight.any() else 0.0
        weight = np.where(np.abs(deviation) <= _OUTLIER * spread, weight, 0.0)
    # A windowed periodogram: the power lost to the window is restored.
    modulus = np.abs(np.fft.rfft2(deviation * weight)) * np.sqrt(image.size / max(np.square(weight).sum(), 1e-9))
    phases = np.exp(1j * np.angle(np.fft.rfft2(random.standard_normal(image.shape))))
    return np.asarray(course + np.fft.irfft2(modulus * phases, s=image.shape), np.float32)


def _taper(tissue: Mask) -> NDArray[np.float64]:
    """Fade out over `_TAPER` from 1 to 0 where tissue ends, or the patch does: a raised cosine."""
    inside = distance_from(np.pad(~tissue, 1, constant_values=True))[1:-1, 1:-1] / (_TAPER * len(tissue))
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.minimum(inside, 1.0)), np.float64)


def _course(image: Image, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit a polynomial of second degree, by least squares: compression and the breast's shape, not texture."""
    rows, columns = (axis.ravel() for axis in np.mgrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j])
    terms = np.stack([rows**0, rows, columns, rows**2, rows * columns, columns**2], axis=1)
    weights = weight.ravel()
    # The normal equations: six numbers from about ten thousand pixels, fifty times as fast as lstsq.
    products = terms.T * np.square(weights)
    factors = np.linalg.lstsq(products @ terms, products @ image.ravel().astype(np.float64), rcond=None)[0]
    return np.asarray((terms @ factors).reshape(image.shape), np.float64)


def check(patches: PatchSet, rows: NDArray[np.int64], settings: InfillerSettings) -> Mapping[str, Path]:
    """Accept any patches; see `Method`."""
    return {}


def train(job: TrainingJob) -> TrainingResult:
    """Learn nothing; see `Method`."""
    preview_baseline(job, TexturePainter(job.settings.feather_px))
    return TrainingResult({"mask_is": "lent"}, np.empty(0, np.int64), {})


def open_painter(folder: Path, network: Mapping[str, Any], device: str) -> TexturePainter:
    """Make the painter; see `Method`."""
    return TexturePainter(int(network["feather_px"]))
