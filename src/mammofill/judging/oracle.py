"""The oracle: on practice mammograms, what a perfect infiller would score on these very patches.

Practice mammograms can be drawn again without their lesions, on the same film. Into the tissue as it then is, under the
same hole, the oracle draws a fresh lesion of the requested class by the same law that drew the real ones, and cuts it
off at the hole as every fill is. With the outline of its own it is what an infiller should strive for; with the mask's
outline it shows what following the outline costs.

What it cannot do: beyond the hole the pixels stay as they are, so that the spicules of a real lesion that is painted
again where it is end there. Where a mask holds several lesions it draws one into each of its bodies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.errors import ArtifactError
from mammofill.ground.imaging import Image, Mask, composite, crop, feather, to_uint16
from mammofill.ground.seeding import stream
from mammofill.judging.cases import Lesions
from mammofill.pairing.hole import HoleSettings, hole_of
from mammofill.phantom import (
    PhantomCollection,
    draw_mass,
    draw_outline,
    draw_shape,
    exposed,
    measure_outline,
)


@dataclass(frozen=True)
class Tissue:
    """A patch as it would be without lesions; see `phantom.LesionFree`."""

    film: Image
    noise: Image
    texture: Image
    inside: Mask


class TissueWithoutLesions:
    """Draws patches of practice mammograms again, without their lesions.

    Args:
        phantoms: from which the patches come.
    """

    def __init__(self, phantoms: PhantomCollection) -> None:
        self.phantoms = phantoms
        self._drawn: dict[str, Tissue] = {}

    def draw(self, lesions: Lesions) -> None:
        """Draw the tissue of patches, each mammogram once.

        Raises:
            ArtifactError: a patch is not what the phantoms draw, or is of calcifications.
        """
        table = lesions.rows.assign(number=np.arange(len(lesions)))
        table = table[~table["patch_id"].isin(list(self._drawn))]
        if (table["abnormality"] == "calcification").any():
            raise ArtifactError(
                f"The oracle draws masses only, but {self.phantoms.folder} has calcifications among the patches. "
                "Judge without --phantoms."
            )
        for mammogram_id, rows in table.groupby("mammogram_id"):
            seen, bare = self.phantoms.draw_again(str(mammogram_id))
            for row in rows.to_dict("records"):
                box = (int(row["top"]), int(row["left"]), int(row["height"]), int(row["width"]))
                self._check(lesions.images[row["number"]], crop(to_uint16(seen.image), box), str(row["patch_id"]))
                parts = (np.asarray(crop(one, box)) for one in (bare.film, bare.noise, bare.texture, bare.inside))
                self._drawn[str(row["patch_id"])] = Tissue(*parts)

    def __getitem__(self, patch_id: str) -> Tissue:
        """Return what `draw` drew."""
        return self._drawn[patch_id]

    def _check(self, found: NDArray[np.uint16], drawn: NDArray[np.generic], patch_id: str) -> None:
        step = 65535 / (2**self.phantoms.settings.bits - 1)
        if found.shape != drawn.shape or np.abs(found.astype(float) - drawn.astype(float)).max() > step + 1:
            raise ArtifactError(
                f"The patch {patch_id!r} is not what {self.phantoms.folder} draws there, so the oracle cannot paint "
                "into it. Give the practice mammograms that the patches were cut from, ingested at their own "
                "resolution (height_px of ingest at least that of the phantoms)."
            )


class Oracle:
    """Draws lesions by the law of the practice mammograms; see `painting.Filler`.

    Args:
        tissue: where the patches that it fills have been drawn.
        hole: which pixels it repaints for a mask.
        feather_px: width of the soft edge around the hole.
        own_outline: draw the outline, too; otherwise it is the mask's.
    """

    method, requests_appearance = "oracle", False

    def __init__(self, tissue: TissueWithoutLesions, hole: HoleSettings, feather_px: int, own_outline: bool) -> None:
        self.tissue, self.hole, self.feather_px, self.own_outline = tissue, hole, feather_px, own_outline
        self.difference = tissue.phantoms.settings.difference

    def may_change(self, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the holes and the soft edges around them."""
        return np.array([self._opacity(mask) > 0 for mask in masks], np.bool_).reshape(masks.shape)

    def fill(self, lesions: Lesions, pathologies: Sequence[str], seeds: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Paint; see `Filler`. The film's noise in the hole is new; around it the pixels are known, and kept."""
        self.tissue.draw(lesions)
        fills = []
        for number, patch_id in enumerate(lesions.rows["patch_id"]):
            mask, tissue = lesions.masks[number], self.tissue[str(patch_id)]
            random = stream(int(seeds[number]), "oracle")
            film = tissue.film.copy()
            for body in _bodies(mask):
                film += self._draw(tissue, body, pathologies[number] == "malignant", random)
            grain = random.standard_normal(mask.shape, dtype=np.float32)
            noise = np.where(hole_of(mask, self.hole), grain, tissue.noise)
            fills.append(composite(lesions.images[number], exposed(film, noise), self._opacity(mask)))
        return np.array(fills, np.uint16).reshape(lesions.images.shape)

    def _opacity(self, mask: Mask) -> Image:
        return feather(hole_of(mask, self.hole), self.feather_px)

    def _draw(self, tissue: Tissue, body: Mask, malignant: bool, random: np.random.Generator) -> Image:
        shape = draw_shape(malignant, self.difference, random)
        center, outline = measure_outline(body)
        if self.own_outline:
            outline = draw_outline(float(body.sum()), shape.irregularity, random)
        added, _ = draw_mass(tissue.film, tissue.texture, tissue.inside, center, outline, shape, random)
        return added


def _bodies(mask: Mask) -> list[Mask]:
    """Return the connected parts of a mask, without specks that a resampled mask may have beside its body."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    bodies = [np.asarray(labels == number, np.bool_) for number in range(1, count)]
    largest = max(int(body.sum()) for body in bodies)
    return [body for body in bodies if body.sum() >= largest / 20]
