"""Lesions with exact masks: masses from smooth to spiculated, and clusters of calcifications.

Source of the shapes: the BI-RADS lexicon for masses (shape round, oval, irregular; margin circumscribed to spiculated;
density). A random Fourier series of the radius imitates the irregular border of invasive growth; models that simulate
growth are more realistic (Rashidnasab et al., "Simulation and assessment of realistic breast lesions using fractal
growth models", Physics in Medicine and Biology 58, 2013). Sizes and contrasts were chosen by eye.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.imaging import Image, Mask
from mammofill.phantom.breast import Breast

_BENIGN = {"irregularity": 0.03, "contrast": 0.13, "softness": 0.06, "spicules": 0.0}
_MALIGNANT = {"irregularity": 0.13, "contrast": 0.26, "softness": 0.22, "spicules": 18.0}


FEATURES = tuple(_BENIGN)
"""Features in which the classes of masses differ; all else is drawn alike for both."""

_ANGLES = np.linspace(0, 2 * np.pi, 256, endpoint=False)
"""Angles at which the radius of an outline is given."""


@dataclass(frozen=True)
class MassShape:
    """What a mass looks like; the same for both views of it."""

    radius: float
    """Mean radius as a share of the mammogram's height."""
    irregularity: float
    """Spread of the outline about an oval, as a share of the radius."""
    contrast: float
    """Brightness added at its centre."""
    softness: float
    """Width of its margin, as a share of the radius."""
    spicules: int
    from_nipple: float
    """Distance of its centre from the nipple, as a share of the mammogram's height; about the same in both views."""

    @property
    def words(self) -> tuple[str, str]:
        """Shape and margins as CBIS-DDSM's tables call them, from what is drawn, not from the class."""
        shape = "IRREGULAR" if self.irregularity > 0.08 else "OVAL"
        return shape, "SPICULATED" if self.spicules > 8 else "CIRCUMSCRIBED"


def draw_shape(malignant: bool, difference: float, random: np.random.Generator) -> MassShape:
    """Draw what a mass looks like.

    Args:
        malignant: of which class.
        difference: 0 draws both classes from the same distribution, 1 from clearly different ones.
        random: the random generator.
    """
    drawn = {}
    for name in FEATURES:
        mean, spread, least = feature_law(name, malignant, difference)
        drawn[name] = max(least, mean + spread * float(random.normal()))
    return MassShape(
        radius=float(random.uniform(0.026, 0.048)),
        irregularity=drawn["irregularity"],
        contrast=drawn["contrast"],
        softness=drawn["softness"],
        spicules=max(0, round(drawn["spicules"])),
        from_nipple=float(random.uniform(0.1, 0.42)),
    )


def feature_law(name: str, malignant: bool, difference: float) -> tuple[float, float, float]:
    """Return how a feature of masses is distributed: the mean and spread of a normal law, and where it is cut off.

    Args:
        name: one of `FEATURES`. The number of spicules is also rounded.
        malignant: of which class.
        difference: see `draw_shape`.
    """
    benign, own = _BENIGN[name], (_MALIGNANT if malignant else _BENIGN)[name]
    middle = (benign + _MALIGNANT[name]) / 2
    # Both classes share one spread, wide enough that the classes overlap until they are far apart.
    spread = 0.3 * abs(_MALIGNANT[name] - benign)
    return middle + difference * (own - middle), spread, min(benign, _MALIGNANT[name]) * 0.6


def place_mass(
    breast: Breast, shape: MassShape, random: np.random.Generator, away_from: Mask
) -> tuple[Image, Mask] | None:
    """Find a place for a mass wholly in breast tissue, and draw it.

    It lies about as far from the nipple as its shape says, as one mass does in both views of a breast; it is drawn
    smaller where it would not fit otherwise.

    Args:
        breast: where it goes.
        shape: what it looks like.
        random: the random generator.
        away_from: (H, W) bool, where it may not lie.

    Returns:
        The brightness that it adds, (H, W) float32, and its mask: the body of the mass, without its spicules. None if
        there is no room for half its size.
    """
    height = breast.image.shape[0]
    outline = _outline(_ANGLES, shape.radius * height, shape.irregularity, random)
    found = _place(breast, 1.15 * float(outline.max()) + 2, shape.from_nipple * height, away_from, random)
    if found is None:
        return None
    center, scale = found
    return draw_mass(breast.image, breast.texture, breast.inside, center, outline * scale, shape, random)


def draw_mass(
    tissue: Image,
    texture: Image,
    inside: Mask,
    center: NDArray[np.integer] | NDArray[np.floating],
    outline: NDArray[np.float64],
    shape: MassShape,
    random: np.random.Generator,
) -> tuple[Image, Mask]:
    """Draw a mass with a given outline at a given place, in a mammogram or in a part of one.

    Args:
        tissue: (H, W) in [0, 1], what lies under it, without film noise.
        texture: (H, W), see `Breast.texture`.
        inside: (H, W) bool, where breast is.
        center: (row, column).
        outline: (256,) its radius, in pixels, at each of as many angles around the circle.
        shape: contrast, softness and spicules.
        random: draws the spicules.

    Returns:
        As `place_mass`.
    """
    size = tissue.shape
    window, rows, columns = _window(size, center, 3.2 * float(outline.max()) + 4)
    distance, angle = np.hypot(rows, columns), np.mod(np.arctan2(rows, columns), 2 * np.pi)
    border = np.interp(angle, np.append(_ANGLES, 2 * np.pi), np.append(outline, outline[0])).astype(np.float32)
    soft = max(shape.softness * float(outline.mean()) / 2, 0.5)
    margin = 1 / (1 + np.exp(np.clip((distance - border) / soft, -30, 30)))
    thick = np.sqrt(np.clip(1 - 0.6 * (distance / border) ** 2, 0.25, 1))  # thinner towards its border, as a lens is
    body = margin * thick * (1 + 0.12 * texture[window])
    spicules = _spicules(rows.shape, center - [window[0].start, window[1].start], outline, shape.spicules, random)
    added, mask = np.zeros(size, np.float32), np.zeros(size, np.bool_)
    mask[window] = distance <= border
    # A mass pushes tissue aside, so less of the pattern under it shows through.
    under = tissue[window]
    displaced = 0.6 * margin * (under[mask[window]].mean() - under)
    added[window] = (displaced + shape.contrast * (body + 0.8 * spicules * (1 - margin))) * inside[window]
    return added, mask


def draw_outline(area_px: float, irregularity: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Draw the outline of a mass of a given area, by the law of all masses; see `draw_mass`."""
    outline = _outline(_ANGLES, 1.0, irregularity, random)
    # The area within a radius r(angle) is half the integral of its square.
    return outline * float(np.sqrt(area_px / np.pi / np.mean(outline**2)))


def measure_outline(mask: Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure where the outline of one body lies, as `draw_mass` takes it.

    Args:
        mask: (H, W) bool, not empty.

    Returns:
        The centroid (row, column), and (256,) the radius in pixels at which each ray from it first leaves the body; at
        least 1.
    """
    rows, columns = np.nonzero(mask)
    center = np.array([rows.mean(), columns.mean()])
    radii = np.arange(0.0, float(np.hypot(*mask.shape)), 0.25)
    padded = np.pad(mask.astype(np.float32), 1)  # beyond the patch there is no body
    down = np.sin(_ANGLES)[:, None] * radii + center[0] + 1
    right = np.cos(_ANGLES)[:, None] * radii + center[1] + 1
    body = cv2.remap(
        padded, right.astype(np.float32), down.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    return center, np.maximum(radii[np.argmax(body < 0.5, axis=1)], 1.0).astype(np.float64)


def place_cluster(
    breast: Breast, malignant: bool, difference: float, from_nipple: float, random: np.random.Generator, away_from: Mask
) -> tuple[Image, Mask] | None:
    """Find a place for a cluster of calcifications, and draw it.

    Benign calcifications are few, round and coarse, malignant ones many, fine and of uneven size.

    Returns:
        As `place_mass`; the mask is the disc that holds all specks.
    """
    height, _ = breast.image.shape
    radius = height * float(random.uniform(0.025, 0.04))
    found = _place(breast, 1.15 * radius + 2, from_nipple * height, away_from, random)
    if found is None:
        return None
    center, scale = found
    radius *= scale
    lean = difference * (0.5 if malignant else -0.5)
    count = round((14 + 16 * lean) * random.uniform(0.8, 1.25))
    layer = np.zeros(breast.image.shape, np.float32)
    for _ in range(max(4, count)):
        away, angle = radius * np.sqrt(random.uniform(0, 0.8)), random.uniform(0, 2 * np.pi)
        spot = center + away * np.array([np.sin(angle), np.cos(angle)])
        size = height / 1024 * (1.6 - 1.2 * lean) * np.exp(random.normal(0, 0.2 + 0.3 * (lean + 0.5)))
        cv2.circle(
            layer, (round(spot[1] * 8), round(spot[0] * 8)), max(4, round(size * 8)), 1.0, -1, cv2.LINE_AA, shift=3
        )
    added = 0.35 * cv2.GaussianBlur(layer, (0, 0), max(0.4, height / 2500))
    rows, columns = np.ogrid[0:height, 0 : breast.image.shape[1]]
    mask = (rows - center[0]) ** 2 + (columns - center[1]) ** 2 <= radius**2
    return added, np.asarray(mask, np.bool_)


def _place(
    breast: Breast, radius: float, from_nipple: float, away_from: Mask, random: np.random.Generator
) -> tuple[NDArray[np.int64], float] | None:
    """Return a center whose disc of a radius lies in tissue, near a distance from the nipple, and how far it shrank."""
    tissue = breast.inside & ~breast.muscle & ~away_from
    # Nothing lies beyond the film, so its borders count as skin.
    room = cv2.distanceTransform(np.pad(tissue.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    scale = min(1.0, 0.98 * float(room.max()) / radius)
    if scale < 0.5:
        return None
    places = np.argwhere(room >= scale * radius)
    off = np.abs(np.hypot(*(places - np.array(breast.nipple)).T) - from_nipple)
    near = places[off <= np.quantile(off, 0.12)]
    return near[int(random.integers(len(near)))], scale


def _window(
    size: tuple[int, ...], center: NDArray[np.integer] | NDArray[np.floating], reach: float
) -> tuple[tuple[slice, slice], Image, Image]:
    """Return the part of an image around a center, and its rows and columns counted from there."""
    middle = np.floor(center).astype(np.int64)
    low, high = np.maximum(middle - int(reach), 0), np.minimum(middle + int(reach) + 1, size)
    window = (slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])))
    columns, rows = np.meshgrid(
        np.arange(low[1], high[1], dtype=np.float32) - np.float32(center[1]),
        np.arange(low[0], high[0], dtype=np.float32) - np.float32(center[0]),
    )
    return window, rows, columns


def _outline(
    angles: NDArray[np.float64], radius: float, irregularity: float, random: np.random.Generator
) -> NDArray[np.float64]:
    """Return the radius at each angle: an oval, roughened by a Fourier series of the given spread."""
    stretch, turn = random.uniform(1.0, 1.3), random.uniform(0, np.pi)
    oval = 1 / np.hypot(np.cos(angles - turn) / np.sqrt(stretch), np.sin(angles - turn) * np.sqrt(stretch))
    rough = np.zeros_like(angles)
    for k in range(2, 12):
        rough += k**-0.7 * random.normal() * np.cos(k * angles + random.uniform(0, 2 * np.pi))
    rough *= irregularity / max(float(rough.std()), 1e-6)
    outline: NDArray[np.float64] = radius * oval * np.clip(1 + rough, 0.5, 1.6)
    return outline


def _spicules(
    size: tuple[int, ...],
    center: NDArray[np.integer] | NDArray[np.floating],
    outline: NDArray[np.float64],
    count: int,
    random: np.random.Generator,
) -> Image:
    """Return thin, bent lines that radiate from the border of a mass and fade, (H, W) in [0, 1]."""
    layer = np.zeros(size, np.uint8)
    thick = max(1, round(float(outline.mean()) / 30))
    pieces = 10
    for _ in range(count):
        at = int(random.integers(len(outline)))
        heading = 2 * np.pi * at / len(outline) + random.normal(0, 0.25) * np.linspace(0, 1, pieces + 1)
        reach = outline[at] * np.linspace(0.7, 1 + random.uniform(0.5, 1.8), pieces + 1)
        points = center + reach[:, None] * np.stack([np.sin(heading), np.cos(heading)], axis=1)
        ends = np.rint(points[:, ::-1] * 8).astype(int).tolist()
        strength = random.uniform(120, 255)
        for piece in range(pieces):
            gray = round(strength * (1 - piece / pieces))
            cv2.line(layer, ends[piece], ends[piece + 1], gray, thick, cv2.LINE_AA, shift=3)
    blurred: Image = cv2.GaussianBlur(layer.astype(np.float32), (0, 0), max(0.6, 0.45 * thick)) * np.float32(1 / 255)
    return blurred
