"""Which items come next, and from which weights layers begin: both follow from the seed alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from mammofill.ground.seeding import derive_seed, stream


@contextmanager
def seeded_layers(seed: int, *names: str | int) -> Iterator[None]:
    """Make the layers that are built inside the block start from weights that the seed and names decide.

    torch's layers draw their first weights from torch's global generator and offer no other way; here it is seeded,
    and put back as it was afterwards.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, *names))
        yield


def positions_at(images_seen: int, batch: int, count: int, seed: int, *names: str | int) -> np.ndarray[Any, Any]:
    """Return which of `count` items make the batch that begins after `images_seen` items were drawn.

    Every pass over the items is shuffled separately, so the answer depends on nothing but the arguments: a run that is
    continued sees what an uninterrupted one sees.

    Returns:
        (batch,) int64 positions in 0..count-1.
    """
    wanted = np.arange(images_seen, images_seen + batch)
    positions = np.empty(batch, np.int64)
    for number in np.unique(wanted // count):
        order = _order_of_pass(count, int(number), seed, *names)
        inside = wanted // count == number
        positions[inside] = order[wanted[inside] % count]
    return positions


@lru_cache(maxsize=8)
def _order_of_pass(count: int, number: int, seed: int, *names: str | int) -> np.ndarray[Any, Any]:
    """Shuffle a pass once, and not for each of its batches: with N items that would cost N^2."""
    order = stream(seed, *names, "pass", number).permutation(count)
    order.flags.writeable = False
    return order


def passed(images_seen: int, batch: int, every: int) -> bool:
    """Say whether the batch that ended after `images_seen` images passed a multiple of `every`."""
    return images_seen // every != (images_seen - batch) // every


def whole_batches(images: float, batch: int) -> int:
    """Round a number of images up to whole batches."""
    return math.ceil(images / batch) * batch
