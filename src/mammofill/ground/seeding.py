"""Random numbers: one seed, and independent named streams derived from it.

Nothing in mammofill touches a global random generator. Code that needs random numbers calls ``stream(seed, "pairing",
pair_id)``: the same names give the same numbers, whatever else was drawn before, in any order, batch size or process.
Training loops put the number of images seen among the names, so that a run that was stopped and continued draws what an
uninterrupted one draws.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(seed: int, *names: str | int) -> int:
    """Derive a 63-bit seed from a seed and names (for a `torch.Generator`, or to be recorded in a table).

    Args:
        seed: any integer.
        names: what the numbers are for, from the general to the particular; 1 and "1" are the same name.

    Returns:
        An integer in [0, 2**63). SHA-256 of the names makes streams independent of each other.
    """
    text = "\x1f".join([str(int(seed)), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the random generator of these names.

    Args:
        seed: the stage's seed.
        names: see `derive_seed`.

    Returns:
        A fresh generator (PCG64) at its beginning.
    """
    return np.random.default_rng(derive_seed(seed, *names))
