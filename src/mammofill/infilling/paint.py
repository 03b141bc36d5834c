"""Painting with a generator: context in, fill out, laid over the patch. Shared by the infiller and the previews."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mammofill.ground.imaging import composite, corrupt, feather, to_uint16, to_unit
from mammofill.ground.seeding import stream
from mammofill.infilling.batches import one_hot, pictures
from mammofill.infilling.generator import Generator


def paint(
    generator: Generator,
    images: NDArray[np.uint16],
    masks: NDArray[np.bool_],
    pathologies: Sequence[str],
    seeds: Sequence[int],
    feather_px: int | None,
) -> NDArray[np.uint16]:
    """Fill the masks of some patches.

    Args:
        generator: on the device where it is to run.
        images: (N, H, W) uint16.
        masks: (N, H, W) bool.
        pathologies: N words, the class asked for.
        seeds: N integers; each decides its own picture's noise.
        feather_px: width of the soft edge outside the mask; None returns the generator's whole picture instead.

    Returns:
        (N, H, W) uint16.
    """
    device = next(generator.parameters()).device
    painted = np.empty_like(images)
    with torch.inference_mode():
        for number, (image, mask, pathology, seed) in enumerate(zip(images, masks, pathologies, seeds, strict=True)):
            context = corrupt(to_unit(image), mask, stream(seed, "noise"))
            # One picture at a time: in a batch the last bits of a convolution depend on the batch's size, and the same
            # seed must give the same picture in any company.
            whole = generator(pictures([context], device), pictures([mask], device), one_hot([pathology], device))
            fill = whole[0, 0].cpu().numpy()
            painted[number] = (
                to_uint16(fill) if feather_px is None else composite(image, fill, feather(mask, feather_px))
            )
    return painted
