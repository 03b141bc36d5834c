"""One patient: the same lesion in two views of one breast, on film. Pure functions of number, settings and seed."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.errors import TooFewError
from mammofill.ground.imaging import Image, Mask
from mammofill.ground.seeding import stream
from mammofill.phantom.breast import draw_breast
from mammofill.phantom.lesion import draw_shape, place_cluster, place_mass
from mammofill.phantom.settings import PhantomSettings

Pixel = TypeVar("Pixel", bound=np.generic)

VIEWS: tuple[Literal["cc"], Literal["mlo"]] = ("cc", "mlo")

_DENSITY_SHARES = [0.15, 0.4, 0.35, 0.1]
"""Share of the breasts in density class 1 to 4: about as in screening (10, 40, 40 and 10 per cent)."""

_CLUSTER_WORDS = {False: ("PUNCTATE", "CLUSTERED"), True: ("PLEOMORPHIC", "CLUSTERED")}


@dataclass(frozen=True)
class DrawnView:
    """One mammogram as arrays, with the truth about it."""

    image: Image
    """(H, W) float32 in [0, 1], bright = dense."""
    breast: Mask
    """(H, W) bool, the true breast."""
    lesions: tuple[Mask, ...]
    """One mask per lesion: exactly its body. Spicules that reach out of it are not in the mask."""
    words: tuple[tuple[str, str], ...]
    """Per lesion, shape and margins of a mass, or type and distribution of calcifications, in CBIS-DDSM's words."""
    view: str
    laterality: str
    density: int
    abnormality: str
    malignant: bool


@dataclass(frozen=True)
class LesionFree:
    """The same mammogram as it would be without its lesions, in parts from which it can be exposed anew."""

    film: Image
    """(H, W) float32, about [0, 1]: breast, label and bright edges, before the noise of the film."""
    noise: Image
    """(H, W) float32, standard normal: the noise of this very film, for `exposed`."""
    texture: Image
    """(H, W), see `Breast.texture`."""
    inside: Mask
    """(H, W) bool, where breast is."""


def is_malignant(number: int, settings: PhantomSettings) -> bool:
    """Say whether patient `number` (from 0) has a malignant lesion: evenly spread, whatever the number of patients."""
    share = settings.malignant_share
    return int((number + 1) * share + 1e-9) > int(number * share + 1e-9)


def draw_patient(number: int, settings: PhantomSettings = PhantomSettings(), seed: int = 0) -> tuple[DrawnView, ...]:
    """Draw both views of one patient: the CC and the MLO view, see `draw_mammogram`."""
    return tuple(draw_mammogram(number, view, settings, seed) for view in VIEWS)


def draw_mammogram(
    number: int, view: Literal["cc", "mlo"], settings: PhantomSettings = PhantomSettings(), seed: int = 0
) -> DrawnView:
    """Draw one view of one patient's breast, with the lesion that both views share.

    Patient `number` is the same whatever the number of patients is.

    Args:
        number: of the patient, from 0.
        view: cc or mlo.
        settings: size and difficulty.
        seed: of the collection.

    Returns:
        The mammogram and the truth about it; at least one lesion.

    Raises:
        TooFewError: the first lesion found no room, which needs a breast of very unusual shape.
    """
    return _draw(number, view, settings, seed)[0]


def draw_without_lesions(
    number: int, view: Literal["cc", "mlo"], settings: PhantomSettings = PhantomSettings(), seed: int = 0
) -> tuple[DrawnView, LesionFree]:
    """Draw a mammogram twice: as `draw_mammogram` does, and as it would be without its lesions, on the same film."""
    return _draw(number, view, settings, seed)


def exposed(film: Image, noise: Image) -> Image:
    """Lay noise over a film: quantum and film noise grow with the signal.

    Args:
        film: (H, W), about [0, 1].
        noise: (H, W), standard normal.

    Returns:
        (H, W) float32 in [0, 1].
    """
    return np.asarray(np.clip(film + noise * (0.004 + 0.008 * np.sqrt(np.clip(film, 0, 1))), 0, 1), np.float32)


def _draw(
    number: int, view: Literal["cc", "mlo"], settings: PhantomSettings, seed: int
) -> tuple[DrawnView, LesionFree]:
    random = stream(seed, "phantom", number)
    malignant = is_malignant(number, settings)
    laterality = "left" if random.random() < 0.5 else "right"
    density = int(random.choice([1, 2, 3, 4], p=_DENSITY_SHARES))
    is_cluster = settings.calcifications and random.random() < 1 / 3
    shapes = [draw_shape(malignant, settings.difference, random) for _ in range(2 if random.random() < 0.15 else 1)]

    own = stream(seed, "phantom", number, view)
    breast = draw_breast((settings.height_px, settings.width_px), view, density, own)
    image, taken = breast.image, np.zeros(breast.inside.shape, np.bool_)
    masks: list[Mask] = []
    words: list[tuple[str, str]] = []
    for shape in shapes:
        if is_cluster:
            placed = place_cluster(breast, malignant, settings.difference, shape.from_nipple, own, taken)
        else:
            placed = place_mass(breast, shape, own, taken)
        if placed is None:
            continue  # a second lesion that found no room beside the first
        image = image + placed[0]
        taken = taken | cv2.dilate(placed[1].astype(np.uint8), np.ones((9, 9), np.uint8)).astype(np.bool_)
        masks.append(placed[1])
        words.append(_CLUSTER_WORDS[malignant] if is_cluster else shape.words)
    if not masks:
        raise TooFewError(f"Phantom patient {number}, view {view}: no room for a lesion. Draw larger mammograms.")
    # The same random numbers again, so that both are on the same film.
    again = copy.deepcopy(own)
    film, noise = _on_film(image, breast.inside, view, laterality, settings.labels_and_edges, own)
    bare, _ = _on_film(breast.image, breast.inside, view, laterality, settings.labels_and_edges, again)
    drawn = DrawnView(
        image=_turned(exposed(film, noise), laterality),
        breast=_turned(breast.inside, laterality),
        lesions=tuple(_turned(mask, laterality) for mask in masks),
        words=tuple(words),
        view=view,
        laterality=laterality,
        density=density,
        abnormality="calcification" if is_cluster else "mass",
        malignant=malignant,
    )
    parts = (bare, noise, breast.texture, breast.inside)
    return drawn, LesionFree(*(_turned(one, laterality) for one in parts))  # type: ignore[arg-type]


def _turned(array: NDArray[Pixel], laterality: str) -> NDArray[Pixel]:
    """Mirror a right breast, whose chest wall is at the film's right border."""
    return np.ascontiguousarray(array[:, ::-1]) if laterality == "right" else array


def _on_film(
    image: Image, inside: Mask, view: str, laterality: str, labels: bool, random: np.random.Generator
) -> tuple[Image, Image]:
    """Lay a breast on film: dark background and, where asked for, a label and bright edges; return film and noise."""
    width = image.shape[1]
    base = 0.03 + 0.02 * random.random()
    film = np.where(inside, np.maximum(image, base), base).astype(np.float32)
    if labels:
        edge = max(1, round(width * random.uniform(0.004, 0.012)))
        film[:, -edge:] = random.uniform(0.75, 0.95)
        film[: max(1, edge // 2)] = np.where(inside[: max(1, edge // 2)], film[: max(1, edge // 2)], 0.8)
        _label(film, f"{laterality[0].upper()} {view.upper()}", inside, random)
    return film, random.standard_normal(image.shape, dtype=np.float32)


def _label(film: Image, text: str, inside: Mask, random: np.random.Generator) -> None:
    """Burn a bright label with dark letters into the film, where no breast is."""
    height, width = film.shape
    rows, columns = round(0.05 * height), round(0.2 * width)
    left = width - columns - round(0.04 * width)
    for top in (round(0.03 * height), round(0.92 * height)):
        if not inside[top : top + rows, left : left + columns].any():
            paper = random.uniform(0.85, 1.0)
            block = np.full((rows, columns), 255, np.uint8)
            scale = rows / 34
            cv2.putText(
                block, text, (round(columns * 0.08), round(rows * 0.75)), cv2.FONT_HERSHEY_SIMPLEX, scale * 0.75, 40,
                max(1, round(scale * 1.5)), cv2.LINE_AA,
            )  # fmt: skip
            if text.startswith("R"):
                block = block[:, ::-1]  # the film is mirrored afterwards, and its letters should be readable then
            film[top : top + rows, left : left + columns] = block * np.float32(paper / 255)
            return
