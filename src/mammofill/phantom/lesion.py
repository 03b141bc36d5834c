"""Lesions with exact masks: masses from smooth to spiculated, and clusters of calcifications.

Source of the shapes: the BI-RADS lexicon for masses (shape round, oval, irregular; margin circumscribed to spiculated;
density). The outline is a random Fourier series of the radius, as in Rashidnasab et al., "Simulation and assessment of
realistic breast lesions using fractal growth models", Physics in Medicine and Biology 58 (2013), stands for the ragged
border of invasive growth; theirs grows by diffusion-limited aggregation, ours does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.imaging import Image, Mask
from mammofill.phantom.breast import Breast

_BENIGN = {"irregularity": 0.03, "contrast": 0.10, "softness": 0.06, "spicules": 0.0}
_MALIGNANT = {"irregularity": 0.16, "contrast": 0.20, "softness": 0.2, "spicules": 16.0}


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


def draw_shape(malignant: bool, difference: float, random: np.random.Generator) -> MassShape:
    """Draw what a mass looks like.

    Args:
        malignant: of which class.
        difference: 0 draws both classes from the same distribution, 1 from clearly different ones.
        random: where chance comes from.
    """
    own = _MALIGNANT if malignant else _BENIGN
    drawn = {}
    for name, value in own.items():
        middle = (_BENIGN[name] + _MALIGNANT[name]) / 2
        # Both classes share one spread, wide enough that the classes overlap until they are far apart.
        spread = 0.3 * abs(_MALIGNANT[name] - _BENIGN[name])
        least = min(_BENIGN[name], _MALIGNANT[name]) * 0.6
        drawn[name] = max(least, middle + difference * (value - middle) + spread * float(random.normal()))
    return MassShape(
        radius=float(random.uniform(0.026, 0.048)),
        irregularity=drawn["irregularity"],
        contrast=drawn["contrast"],
        softness=drawn["softness"],
        spicules=max(0, round(drawn["spicules"])),
    )


def place_mass(
    breast: Breast, shape: MassShape, random: np.random.Generator, away_from: Mask
) -> tuple[Image, Mask] | None:
    """Find a place for a mass wholly in breast tissue, and draw it.

    Args:
        breast: where it goes.
        shape: what it looks like.
        random: where chance comes from.
        away_from: (H, W) bool, where it may not lie.

    Returns:
        The brightness that it adds, (H, W) float32, and its mask: the body of the mass, without its spicules. None if
        no place was found.
    """
    height, width = breast.image.shape
    radius = shape.radius * height
    angles = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    outline = _outline(angles, radius, shape.irregularity, random)
    forbidden = (~breast.inside | breast.muscle | away_from).astype(np.uint8)
    forbidden[:, : max(1, int(0.02 * width))] = 1
    room = cv2.distanceTransform(1 - np.pad(forbidden, 1, constant_values=1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    places = np.argwhere(room > outline.max() * 1.25 + 2)
    if not len(places):
        return None
    center = places[int(random.integers(len(places)))]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    rows, columns = rows - center[0], columns - center[1]
    distance, angle = np.hypot(rows, columns), np.mod(np.arctan2(rows, columns), 2 * np.pi)
    border = np.interp(angle, np.append(angles, 2 * np.pi), np.append(outline, outline[0])).astype(np.float32)
    mask = distance <= border
    margin = 1 / (1 + np.exp(np.clip((distance - border) / max(shape.softness * radius / 2, 0.5), -30, 30)))
    body = margin * (1 - 0.25 * (distance / np.maximum(border, 1)) ** 2).clip(0.4, 1) * (1 + 0.15 * breast.texture)
    added = shape.contrast * (body + 0.7 * _spicules(breast, center, outline, shape.spicules, random))
    return added.astype(np.float32), np.asarray(mask, np.bool_)


def place_cluster(
    breast: Breast, malignant: bool, difference: float, random: np.random.Generator
) -> tuple[Image, Mask] | None:
    """Find a place for a cluster of calcifications, and draw it.

    Benign calcifications are few, round and coarse, malignant ones many, fine and of uneven size.

    Returns:
        As `place_mass`; the mask is the disc that holds all specks.
    """
    height, _ = breast.image.shape
    radius = height * float(random.uniform(0.02, 0.035))
    room = cv2.distanceTransform((breast.inside & ~breast.muscle).astype(np.uint8), cv2.DIST_L2, 5)
    places = np.argwhere(room > radius * 1.3 + 2)
    if not len(places):
        return None
    center = places[int(random.integers(len(places)))]
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


def _outline(
    angles: NDArray[np.float64], radius: float, irregularity: float, random: np.random.Generator
) -> NDArray[np.float64]:
    """Return the radius at each angle: an oval, roughened by a Fourier series."""
    stretch, turn = random.uniform(1.0, 1.35), random.uniform(0, np.pi)
    oval = 1 / np.hypot(np.cos(angles - turn) / np.sqrt(stretch), np.sin(angles - turn) * np.sqrt(stretch))
    rough = np.zeros_like(angles)
    for k in range(3, 12):
        rough += (3 / k) * random.normal() * np.cos(k * angles + random.uniform(0, 2 * np.pi))
    rough *= irregularity / max(float(rough.std()), 1e-6)
    outline: NDArray[np.float64] = radius * oval * np.clip(1 + rough, 0.5, 1.6)
    return outline


def _spicules(
    breast: Breast, center: NDArray[np.int64], outline: NDArray[np.float64], count: int, random: np.random.Generator
) -> Image:
    """Return thin lines that radiate from the border of a mass and fade, (H, W) in [0, 1]."""
    layer = np.zeros(breast.image.shape, np.float32)
    thickness = max(1, round(breast.image.shape[0] / 700))
    for _ in range(count):
        at = int(random.integers(len(outline)))
        angle = 2 * np.pi * at / len(outline)
        bend, length = random.normal(0, 0.25), outline[at] * random.uniform(0.5, 1.5)
        pieces = 8
        reach = np.linspace(0.6 * outline[at], outline[at] + length, pieces + 1)
        heading = angle + bend * np.linspace(0, 1, pieces + 1)
        points = center + reach[:, None] * np.stack([np.sin(heading), np.cos(heading)], axis=1)
        for piece in range(pieces):
            one = np.zeros(layer.shape, np.uint8)
            ends = np.rint(points[piece : piece + 2, ::-1] * 8).astype(int)
            cv2.line(one, tuple(ends[0].tolist()), tuple(ends[1].tolist()), 255, thickness, cv2.LINE_AA, shift=3)
            layer = np.maximum(layer, one * np.float32((1 - piece / pieces) / 255))
    blurred = cv2.GaussianBlur(layer, (0, 0), max(0.5, breast.image.shape[0] / 1600))
    return np.asarray(blurred * breast.inside, np.float32)
