"""A breast without a lesion, in one view. Chest wall at the left border, nipple to the right.

Sources: Burgess, Jacobson and Judy, "Human observer detection experiments with mammograms and power-law noise", Medical
Physics 28 (2001): mammographic texture has a power spectrum that falls about as 1/f^3. Bakic, Albert, Brzakovic and
Maidment, "Mammogram synthesis using a 3D simulation", Medical Physics 29 (2002): a breast is fat and a glandular region
behind the nipple, crossed by ducts and ligaments. Brightnesses were matched by eye to film mammograms.
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

_GLANDULAR_SHARE = {1: 0.07, 2: 0.30, 3: 0.55, 4: 0.80}
"""Share of the region behind the nipple that is glandular, by density class. Source: about the middles of the quartiles
of BI-RADS, 4th edition (below 25, 25-50, 51-75, above 75 per cent)."""


@dataclass(frozen=True)
class Breast:
    """A breast in one view."""

    image: Image
    """(H, W) float32 in [0, 1], without film noise; 0 outside of the breast."""
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
        random: the random generator.
    """
    height, width = size
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    reach, nipple = _outline(size, view, random)
    inside = np.asarray(columns < reach[:, None], np.bool_)
    muscle = _muscle(rows, columns, float(reach[0]), random) if view == "mlo" else np.zeros(size, np.float32)
    texture = power_law_texture(size, random)
    smooth = _smoothed(texture, 0.008 * height)

    fibres = _fibres(rows, columns, nipple, smooth, random)
    gland = _gland(rows, columns, nipple, smooth, inside, density, random)
    fat = 0.33 + 0.03 * texture + (0.05 + 0.02 * density) * fibres
    tissue = fat + gland * (0.16 + 0.06 * texture + 0.12 * fibres)
    tissue += _ducts(size, nipple, random)
    streaks = 0.05 * _smoothed(fibres, 0.006 * height)
    tissue += muscle * (0.66 - 0.12 * rows / height + 0.02 * texture + streaks - tissue)

    sharp = np.where(inside, np.clip(tissue * _thickness(inside), 0.0, 0.92), 0.0).astype(np.float32)
    # The focal spot and the scanner blur what is finer than about a thousandth of the height.
    image = cv2.GaussianBlur(sharp, (0, 0), max(0.45, height / 1600)).astype(np.float32, copy=False)
    return Breast(image, inside, np.asarray((muscle > 0.3) & inside, np.bool_), nipple, texture)


def power_law_texture(size: tuple[int, int], random: np.random.Generator) -> Image:
    """Draw a Gaussian field whose radial power spectrum falls as 1/f^3, zero mean and unit spread, (H, W) float32.

    Below three cycles per image, where the breast's own shape takes over, the spectrum is flat.
    """
    rows, columns = (fft.next_fast_len(number, real=True) for number in size)
    white = random.standard_normal((rows, columns), dtype=np.float32)
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :]).astype(np.float32)
    amplitude = np.maximum(frequency, np.float32(3.0 / max(size))) ** np.float32(-SPECTRAL_EXPONENT / 2)
    field = fft.irfft2(fft.rfft2(white) * amplitude, s=(rows, columns))[: size[0], : size[1]]
    texture: Image = ((field - field.mean()) / field.std()).astype(np.float32)
    return texture


def _smoothed(image: Image, sigma: float) -> Image:
    """Blur by a Gaussian, in a smaller copy where it is wide: the same to the eye, and many times faster."""
    factor = max(1, int(sigma / 3))
    size = (max(1, image.shape[1] // factor), max(1, image.shape[0] // factor))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if factor > 1 else image
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor)
    blurred = cv2.resize(small, image.shape[::-1], interpolation=cv2.INTER_CUBIC) if factor > 1 else small
    return blurred.astype(np.float32, copy=False)


def _outline(
    size: tuple[int, int], view: str, random: np.random.Generator
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Return how far the breast reaches from the chest wall in each row, in pixels, and where the nipple is."""
    height, width = size
    rows = np.arange(height, dtype=np.float32) / height
    depth = width * random.uniform(0.62, 0.8)
    if view == "cc":
        middle, up, down, tail = random.uniform(0.46, 0.54), random.uniform(0.38, 0.43), random.uniform(0.38, 0.43), 0.0
    else:
        middle, down = random.uniform(0.58, 0.64), random.uniform(0.32, 0.35)
        up = middle * random.uniform(1.0, 1.12)
        tail = random.uniform(0.38, 0.52)
    above = rows < middle
    away = np.clip(np.where(above, (middle - rows) / up, (rows - middle) / down), 0, 1)
    curve = np.sqrt(1 - away ** random.uniform(1.9, 2.3))
    if view == "mlo":
        # Towards the armpit the breast runs out in a concave slope, which goes on to the film's upper border.
        slope = np.cos(0.5 * np.pi * away).clip(0, 1) ** random.uniform(1.0, 1.3)
        curve = np.where(above, tail + (1 - tail) * slope, curve)
    for waves in (2, 3, 5):
        curve = curve * (1 + random.uniform(-0.012, 0.012) * np.sin(np.pi * waves * rows + random.uniform(0, 6)))
    nipple = random.uniform(0.02, 0.045) * np.exp(-(((rows - middle) / random.uniform(0.014, 0.02)) ** 2))
    return (depth * (curve + nipple)).astype(np.float32), (float(middle * height), float(depth))


def _thickness(inside: Mask) -> Image:
    """Return how thick the compressed breast is, in [0, 1]: even inside, rolling off to the skin, a bright line.

    Source of the form: the uncompressed rim of the breast bulges, so its thickness falls as the quarter of an ellipse.
    """
    height = inside.shape[0]
    # Only the skin is an edge: the film's borders, beyond which the body goes on, are not.
    padded = np.pad(inside.astype(np.uint8), ((1, 1), (1, 0)), mode="edge")
    to_skin = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:] / np.float32(height)
    rim = np.clip(1 - to_skin / np.float32(0.085), 0, 1)
    rolled = np.sqrt(1 - rim * rim)
    skin = np.exp(-(((to_skin - np.float32(0.004)) / np.float32(0.003)) ** 2))
    thickness: Image = np.float32(0.16) + np.float32(0.84) * rolled + np.float32(0.12) * skin * (1 - rolled)
    return thickness


def _gland(
    rows: Image,
    columns: Image,
    nipple: tuple[float, float],
    smooth: Image,
    inside: Mask,
    density: int,
    random: np.random.Generator,
) -> Image:
    """Return the share of glandular tissue, (H, W) in [0, 1]: a ragged disc behind the nipple, by class."""
    height = rows.shape[0]
    across = (rows - (nipple[0] - random.uniform(-0.02, 0.05) * height)) / np.float32(0.33 * height)
    along = (columns - np.float32(0.56 * nipple[1])) / np.float32(0.5 * nipple[1])
    away = np.sqrt(across * across + along * along)
    field = 0.32 * smooth - away * np.float32(0.9)
    share = _GLANDULAR_SHARE[density]
    cut = np.quantile(field[inside & (away < 1)][::7], 1 - share)  # a seventh of the pixels is plenty for a quantile
    gland: Image = 1 / (1 + np.exp(np.clip((np.float32(cut) - field) / np.float32(0.11), -30, 30)))
    return gland


def _fibres(
    rows: Image, columns: Image, nipple: tuple[float, float], smooth: Image, random: np.random.Generator
) -> Image:
    """Return the fibrous pattern, (H, W) in [0, 1]: thin, bent bright lines, most of which run towards the nipple.

    They are the zero crossings of smooth noise. Drawn in polar coordinates about the nipple, with cells that are long
    along the radius, the crossings become strands that converge at it.
    """
    height = np.float32(rows.shape[0])
    bent = _smoothed(smooth, 0.02 * float(height))
    down, left = (rows - np.float32(nipple[0])) / height, (np.float32(nipple[1]) - columns) / height
    radius = np.hypot(down, left + np.float32(0.04))
    angle = np.arctan2(down, left + np.float32(0.04)) + np.float32(0.045) * bent
    fibres = np.zeros(rows.shape, np.float32)
    for around, outwards, weight in ((26, 9, 0.5), (55, 14, 0.35), (100, 22, 0.3)):
        cells = random.standard_normal((2 * around + 8, 3 * outwards), dtype=np.float32)
        at_angle = (angle / np.float32(np.pi) + 1) * np.float32(around) + 3
        at_radius = (radius + np.float32(0.02) * bent) * np.float32(outwards) + 1
        noise = cv2.remap(cells, at_radius, at_angle, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        fibres += np.float32(weight) * np.exp(-((noise / np.float32(0.28)) ** 2))
    strength = 0.6 + 0.4 * np.clip(smooth, -1.5, 1.5)  # strands come and go
    woven: Image = np.clip(fibres * strength, 0, 1).astype(np.float32)
    return woven


def _muscle(rows: Image, columns: Image, top_reach: float, random: np.random.Generator) -> Image:
    """Return the pectoral muscle of an MLO view, (H, W) in [0, 1]: a wedge with a bent, soft edge."""
    height = rows.shape[0]
    across, down = top_reach * random.uniform(0.62, 0.88), height * random.uniform(0.42, 0.64)
    bend = random.uniform(-0.02, 0.14)
    share = np.clip(rows / np.float32(down), 0, 1)
    edge = np.float32(across) * (1 - share + np.float32(bend) * np.sin(np.float32(np.pi) * share))
    soft = 0.003 + 0.012 * share  # sharper above, fading below
    wedge: Image = 1 / (1 + np.exp(np.clip((columns - edge) / (soft * height), -30, 30)))
    faded: Image = (wedge * np.clip((1 - share) / 0.12, 0, 1)).astype(np.float32)
    return faded


def _ducts(size: tuple[int, int], nipple: tuple[float, float], random: np.random.Generator) -> Image:
    """Return a few longer lines, (H, W) in [0, 0.11]: ducts from behind the nipple, vessels across the breast."""
    height, width = size
    lines = np.zeros(size, np.uint8)
    for number in range(18):
        if number < 9:
            start = np.array(nipple) + random.normal(0, 0.012 * height, 2)
            angle = np.pi + random.uniform(-0.9, 0.9)
        else:
            start = np.array([random.uniform(0.1, 0.9) * height, random.uniform(0, 0.75) * width])
            angle = random.uniform(0, 2 * np.pi)
        heading = angle + np.cumsum(random.normal(0, 0.08, 32)) + random.normal(0, 0.5) * np.linspace(0, 1, 32)
        length = random.uniform(0.15, 0.5) * height
        path = start + np.cumsum(np.stack([np.sin(heading), np.cos(heading)], axis=1), axis=0) * length / 32
        points = np.rint(path[:, ::-1] * 8).astype(np.int32).reshape(-1, 1, 2)
        thick = max(1, round(height / 700 * random.uniform(0.6, 1.8)))
        cv2.polylines(lines, [points], False, int(random.integers(70, 256)), thick, cv2.LINE_AA, shift=3)
    blurred: Image = cv2.GaussianBlur(lines.astype(np.float32), (0, 0), max(0.5, height / 700)) * np.float32(0.11 / 255)
    return blurred
