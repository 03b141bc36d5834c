"""Painting with a generator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mammofill.ground.imaging import corrupt, to_unit
from mammofill.ground.seeding import stream
from mammofill.infilling.batches import latents, pictures
from mammofill.infilling.conditions import encode
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
        for number, (image, mask, seed) in enumerate(zip(images, masks, seeds, strict=True)):
            context = corrupt(to_unit(image), mask, stream(seed, "noise"))
            latent = latents([stream(seed, "latent")], generator.settings.latent).to(device)
            # One picture at a time: in a batch the last bits of a convolution depend on the batch's size, and the same
            # seed must give the same picture in any company. (On a CPU it is no slower: more would leave the cache.)
            with torch.inference_mode():
                whole = generator(
                    pictures([context], device), pictures([mask], device), conditions[number : number + 1], latent
                )
            yield whole[0, 0].cpu().numpy()
