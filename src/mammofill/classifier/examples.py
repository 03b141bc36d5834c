"""The lesion patches that a classifier learns from or is watched on, from one or several patch sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.imaging import resample
from mammofill.mammograms.vocabulary import Origin, Pathology
from mammofill.patches.patch_set import PatchSet

_CHUNK = 256  # patches decoded at once, so that full-size pixels never pile up


def lesion_table(patches: Sequence[PatchSet]) -> pd.DataFrame:
    """Join the tables of several sets and keep the lesion patches.

    Returns:
        The columns of `PATCH_COLUMNS` and ``set`` (number of the set) and ``row`` (row number in its table), in the
        order of the sets. Normal patches are left out: the task is malignant against benign.
    """
    tables = [one.table.assign(set=number, row=np.arange(len(one.table))) for number, one in enumerate(patches)]
    joined = pd.concat(tables, ignore_index=True)
    return joined[joined["pathology"].isin([Pathology.BENIGN, Pathology.MALIGNANT])].reset_index(drop=True)


class LesionImages(Protocol):
    """Lesion patches at the size of a network's input, wherever they come from."""

    malignant: NDArray[np.bool_]
    """(N,) the truth."""
    synthetic: NDArray[np.bool_]
    """(N,) which of them were painted."""

    def __len__(self) -> int:
        """Return N."""

    def images(self, positions: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Return (n, S, S) uint16 over 0..65535, for positions in 0..N - 1, in the requested order."""


class Examples:
    """Some lesion patches, at the size of the network's input.

    Args:
        patches: the sets.
        table: rows of `lesion_table`.
        input_px: side to which the patches are resampled.
        memory_gb: decode them once and keep them if that needs no more than this.
    """

    def __init__(self, patches: Sequence[PatchSet], table: pd.DataFrame, input_px: int, memory_gb: float) -> None:
        self.patches = patches
        self.table = table.reset_index(drop=True)
        self.input_px = input_px
        self.malignant: NDArray[np.bool_] = (self.table["pathology"] == Pathology.MALIGNANT).to_numpy(dtype=np.bool_)
        self.synthetic: NDArray[np.bool_] = (self.table["origin"] == Origin.SYNTHETIC).to_numpy(dtype=np.bool_)
        self._set = self.table["set"].to_numpy()
        self._row = self.table["row"].to_numpy()
        fits = len(self) * input_px**2 * 2 <= memory_gb * 1e9
        self._kept = self._decode(np.arange(len(self))) if fits else None

    def __len__(self) -> int:
        return len(self.table)

    def __getstate__(self) -> dict[str, Any]:
        """Travel to another process: patch sets hold open files, so each opens its own."""
        return vars(self) | {"patches": [one.folder for one in self.patches]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Arrive there."""
        vars(self).update(state, patches=[PatchSet.open(folder) for folder in state["patches"]])

    def images(self, positions: NDArray[np.int64]) -> NDArray[np.uint16]:
        """Return (n, input_px, input_px) uint16 over 0..65535, for positions in 0..len - 1, in the requested order."""
        return self._decode(positions) if self._kept is None else self._kept[positions]

    def _decode(self, positions: NDArray[np.int64]) -> NDArray[np.uint16]:
        images = np.empty((len(positions), self.input_px, self.input_px), np.uint16)
        for number, one in enumerate(self.patches):
            places = np.flatnonzero(self._set[positions] == number)
            for start in range(0, len(places), _CHUNK):
                chunk = places[start : start + _CHUNK]
                pixels, _ = one.pixels(self._row[positions[chunk]])
                images[chunk] = at_input_size(pixels, self.input_px)
        return images


def at_input_size(images: NDArray[np.uint16], input_px: int) -> NDArray[np.uint16]:
    """Resample patches (N, H, W) uint16 to (N, input_px, input_px); the same for training and for scoring."""
    return np.stack([resample(image, (input_px, input_px)) for image in images]) if len(images) else images
