"""A breast without a lesion: outline, tissue, ducts, film. Chest wall at the left border, nipple to the right.

Sources: Burgess, Jacobson and Judy, "Human observer detection experiments with mammograms and power-law noise", Medical
Physics 28 (2001): mammographic texture has a power spectrum that falls about as 1/f^3. Bakic et al., "Mammogram
synthesis using a 3D simulation", Medical Physics 29 (2002): glandular tissue around the nipple, ducts that branch from
it, thickness that falls off towards the skin.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from mammofill.ground.imaging import Image, Mask

SPECTRAL_EXPONENT = 3.0
"""Power of the texture falls as 1/f to this. Source: Burgess et al. (2001), who find 2.8 to 3."""

_GLANDULAR_SHARE = {1: 0.12, 2: 0.3, 3: 0.5, 4: 0.75}
"""Share of the inner breast that is glandular, by density class. Source: the quartiles of BI-RADS, 4th edition."""


@dataclass(frozen=True)
class Breast:
    """A breast in one view."""

    image: Image
    """(H, W) float32 in [0, 1], without film noise."""
    inside: Mask
    """Where breast is, the pectoral muscle included."""
    muscle: Mask
    """Where the pectoral muscle is; empty in a CC view."""
    nipple: tuple[float, float]
    """(row, column)."""
    texture: Image
    """The power-law field, zero mean and unit spread, that tissue and lesions share."""


def draw_breast(size: tuple[int, int], view: str, density: int, random: np.random.Generator) -> Breast:
    """Draw a breast.

    Args:
        size: (rows, columns).
        view: cc or mlo.
        density: BI-RADS density class, 1 to 4.
        random: where chance comes from.
    """
    height, width = size
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    middle = height * random.uniform(0.47, 0.53) if view == "cc" else height * random.uniform(0.56, 0.62)
    depth = width * random.uniform(0.68, 0.82)
    reach = _reach(np.arange(height, dtype=np.float32), view, height, middle, depth, random)
    inside = columns < reach[:, None]
    muscle = _muscle(rows, columns, size, random) if view == "mlo" else np.zeros(size, np.float32)
    nipple = (middle, float(depth))
    texture = power_law_texture(size, random)
    to_skin = cv2.distanceTransform(np.pad(inside.astype(np.uint8), ((0, 0), (1, 0)), mode="edge"), cv2.DIST_L2, 5)
    to_skin = to_skin[:, 1:] / height

    # Compressed thickness is even inside and falls off over the last centimetre or so before the skin.
    thickness = 1 - np.exp(-to_skin / 0.025)
    skin = np.exp(-(((to_skin - 0.004) / 0.004) ** 2))
    # Glandular tissue lies in a cone from the nipple towards the chest wall, with a ragged border.
    across = (rows - middle) / (0.34 * height)
    along = (columns - 0.55 * depth) / (0.5 * depth)
    cone = 1.0 - np.sqrt(across**2 + along**2)
    field = cone + 0.55 * texture
    core = inside & (cone > 0)
    cut = np.quantile(field[core], 1 - _GLANDULAR_SHARE[density]) if core.any() else 0.0
    gland = 1 / (1 + np.exp(-np.clip((field - cut) / 0.3, -30, 30)))

    tissue = 0.24 + 0.045 * texture + gland * (0.24 + 0.05 * texture) + 0.06 * skin
    tissue = tissue + _ducts(size, nipple, inside, random)
    tissue = tissue * (0.25 + 0.75 * thickness)
    tissue = tissue * (1 - muscle) + muscle * (0.62 + 0.05 * texture)
    image = np.where(inside, np.clip(tissue, 0.05, 0.95), 0.0).astype(np.float32)
    image = np.asarray(cv2.GaussianBlur(image, (0, 0), max(0.4, height / 2500)), np.float32)
    return Breast(image, np.asarray(inside, np.bool_), np.asarray((muscle > 0.5) & inside, np.bool_), nipple, texture)


def power_law_texture(size: tuple[int, int], random: np.random.Generator) -> Image:
    """Draw a Gaussian field whose radial power spectrum falls as 1/f^3, zero mean and unit spread, (H, W) float32."""
    rows, columns = (fft.next_fast_len(number, real=True) for number in size)
    white = random.standard_normal((rows, columns), dtype=np.float32)
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :]).astype(np.float32)
    frequency[0, 0] = np.inf  # no mean
    # Below a few cycles per image the breast's own shape takes over, so the spectrum is flat there.
    frequency = np.maximum(frequency, np.float32(2.0 / max(size)))
    field = fft.irfft2(fft.rfft2(white) * frequency ** np.float32(-SPECTRAL_EXPONENT / 2), s=(rows, columns))
    field = field[: size[0], : size[1]]
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def _reach(
    rows: NDArray[np.float32], view: str, height: int, middle: float, depth: float, random: np.random.Generator
) -> NDArray[np.float32]:
    """Return how far the breast reaches from the chest wall in each row, in pixels."""
    up = height * random.uniform(0.4, 0.46) if view == "cc" else middle * random.uniform(1.02, 1.12)
    down = height * (random.uniform(0.4, 0.46) if view == "cc" else random.uniform(0.34, 0.38))
    away = np.where(rows < middle, (middle - rows) / up, (rows - middle) / down)
    curve = np.sqrt(np.clip(1 - np.abs(away) ** 2.1, 0, None))
    if view == "mlo":  # the tail towards the armpit does not close
        tail = random.uniform(0.35, 0.5)
        curve = np.where(rows < middle, tail + (1 - tail) * curve, curve)
    waves = sum(
        random.uniform(-0.012, 0.012) * np.sin(rows / height * k * np.pi + random.uniform(0, 6)) for k in (2, 3, 5)
    )
    bump = 0.035 * np.exp(-(((rows - middle) / (0.02 * height)) ** 2))  # the nipple
    reach: NDArray[np.float32] = (depth * (curve * (1 + waves) + bump)).astype(np.float32)
    return reach


def _muscle(rows: Image, columns: Image, size: tuple[int, int], random: np.random.Generator) -> Image:
    """Return the pectoral muscle of an MLO view: a wedge from the upper corner, with a slightly bent, soft edge."""
    height, width = size
    across, down = width * random.uniform(0.38, 0.5), height * random.uniform(0.55, 0.72)
    bend = random.uniform(-0.08, 0.12)
    share = np.clip(rows / down, 0, 1)
    edge = across * (1 - share + bend * np.sin(np.pi * share))
    soft = 0.006 * height
    wedge = 1 / (1 + np.exp(np.clip((columns - edge) / soft, -30, 30)))
    faded: Image = (wedge * (rows < down)).astype(np.float32)
    return faded


def _ducts(size: tuple[int, int], nipple: tuple[float, float], inside: Mask, random: np.random.Generator) -> Image:
    """Return thin bright lines: ducts that come together at the nipple, and ligaments that cross the breast."""
    height, width = size
    lines = np.zeros(size, np.float32)
    steps = np.linspace(0, 1, 24)
    for number in range(34):
        if number < 16:
            start = np.array(nipple) + random.normal(0, 0.01 * height, 2)
            angle = np.pi + random.uniform(-1.1, 1.1)
        else:
            start = np.array([random.uniform(0.1, 0.9) * height, random.uniform(0, 0.75) * width])
            angle = random.uniform(0, 2 * np.pi)
        length = random.uniform(0.15, 0.55) * height
        bend = random.normal(0, 0.5)
        heading = angle + bend * steps
        path = start + np.cumsum(np.stack([np.sin(heading), np.cos(heading)], axis=1), axis=0) * length / len(steps)
        points = np.rint(path[:, ::-1] * 8).astype(np.int32).reshape(-1, 1, 2)
        thickness = max(1, round(height / 900 * random.uniform(0.7, 1.8)))
        layer = np.zeros(size, np.uint8)
        cv2.polylines(layer, [points], isClosed=False, color=255, thickness=thickness, lineType=cv2.LINE_AA, shift=3)
        lines = np.maximum(lines, layer * np.float32(random.uniform(0.03, 0.1) / 255))
    return np.asarray(cv2.GaussianBlur(lines, (0, 0), max(0.5, height / 1400)) * inside, np.float32)
