"""Painting with a generator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mammofill.ground.imaging import Image, corrupt, to_unit
from mammofill.ground.seeding import stream
from mammofill.infilling.batches import latents, pictures
from mammofill.infilling.conditions import encode
from mammofill.infilling.cores import each_on_one_core
from mammofill.infilling.generator import Generator
from mammofill.infilling.paint import Asked, Fills


class GeneratorPainter:
    """Paints with a generator, on the device where it is."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    def fills(self, images: NDArray[np.uint16], masks: NDArray[np.bool_], asked: Asked, seeds: Sequence[int]) -> Fills:
        """Paint; see `Painter`."""
        generator = self.generator
        device = next(generator.parameters()).device
        conditions = torch.from_numpy(encode(generator.facts, asked, len(images))).to(device)

        def paint(number: int) -> Image:
            seed, mask = seeds[number], masks[number]
            context = corrupt(to_unit(images[number]), mask, stream(seed, "noise"))
            latent = latents([stream(seed, "latent")], generator.settings.latent).to(device)
            # One picture at a time: in a batch the last bits of a convolution depend on the batch's size, and the same
            # seed must give the same picture in any company.
            with torch.inference_mode():
                whole = generator(
                    pictures([context], device), pictures([mask], device), conditions[number : number + 1], latent
                )
            painted: Image = whole[0, 0].cpu().numpy()
            return painted

        yield from each_on_one_core(paint, range(len(images)), device)
