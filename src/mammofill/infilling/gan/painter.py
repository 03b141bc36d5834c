"""Painting with a generator."""

from __future__ import annotations

import torch

from mammofill.ground.imaging import Image, corrupt, to_unit
from mammofill.ground.seeding import stream
from mammofill.ground.training.cpu_threads import each_on_one_thread
from mammofill.infilling.conditions import encode
from mammofill.infilling.gan.batches import latents, pictures
from mammofill.infilling.gan.generator import Generator
from mammofill.infilling.methods import FillCases, Fills


class GeneratorPainter:
    """Paints with a generator, on the device where it is."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    def fills(self, cases: FillCases) -> Fills:
        """Paint; see `Painter`. The generator is shown the hole, not the mask."""
        generator = self.generator
        device = next(generator.parameters()).device
        conditions = torch.from_numpy(encode(generator.facts, cases.requested, len(cases))).to(device)

        def paint(number: int) -> Image:
            seed, hole = cases.seeds[number], cases.holes[number]
            context = corrupt(to_unit(cases.images[number]), hole, stream(seed, "noise"))
            latent = latents([stream(seed, "latent")], generator.settings.latent).to(device)
            # One picture at a time: the last bits of a convolution depend on the batch's size, and the same seed must
            # give the same picture whatever else is painted with it.
            with torch.inference_mode():
                whole = generator(
                    pictures([context], device), pictures([hole], device), conditions[number : number + 1], latent
                )
            painted: Image = whole[0, 0].cpu().numpy()
            return painted

        yield from each_on_one_thread(paint, range(len(cases)), device)
