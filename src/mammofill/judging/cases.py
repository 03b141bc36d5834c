"""What is looked at: pairs that are filled, and real lesions beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.artifact import write_atomically
from mammofill.ground.errors import TooFewError
from mammofill.ground.imaging import touches_border
from mammofill.ground.progress import Task
from mammofill.ground.seeding import derive_seed, stream
from mammofill.infilling import Infiller
from mammofill.infilling.settings import CLASSES
from mammofill.judging.settings import JudgeInfillerSettings
from mammofill.pairing import Pairs
from mammofill.pairing.pixels import paired_pixels
from mammofill.patches import PatchSet

CHUNK = 32
"""Patches that are filled at once, and kept at once for the case that the stage is stopped."""

People = NDArray[np.object_]
"""(N, 2) patients: whose tissue it is, and whose outline; the same one twice for a real lesion."""


@dataclass(frozen=True)
class Lesions:
    """Pictures with outlines: real lesions, fills, or tissue into which nothing was painted."""

    images: NDArray[np.uint16]
    """(N, H, W)."""
    masks: NDArray[np.bool_]
    """(N, H, W)."""
    malignant: NDArray[np.bool_]
    """(N,) the truth; of fills, what was asked for."""
    people: People

    def __len__(self) -> int:
        return len(self.images)

    def first(self, count: int) -> Lesions:
        """Return the first some of them."""
        return Lesions(self.images[:count], self.masks[:count], self.malignant[:count], self.people[:count])


@dataclass(frozen=True)
class Cases:
    """Pairs to be filled, decoded."""

    pairs: pd.DataFrame
    """Rows of `Pairs.table`."""
    contexts: Lesions
    """The patches as they are, with the masks they receive, and the class of the donor."""
    donors: Lesions
    """The real lesions that lent their outlines, one for each context."""
    seeds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pairs)

    def first(self, count: int) -> Cases:
        """Return the first some of them."""
        return Cases(self.pairs.iloc[:count], self.contexts.first(count), self.donors.first(count), self.seeds[:count])


def choose_cases(pairs: Pairs, patches: PatchSet, settings: JudgeInfillerSettings, seed: int) -> Cases:
    """Choose pairs, half with a benign donor and half with a malignant one as far as there are so many.

    Args:
        pairs: checked to be of `patches`.
        patches: the patches.
        settings: how many.
        seed: decides which, and the seed of each fill.

    Returns:
        The cases, the two classes in turn as far as there are both.

    Raises:
        TooFewError: a class has no pair, or the pairs have fewer patients than there are folds.
    """
    table = pairs.table
    rows = _balanced(table["requested_pathology"].to_numpy(dtype=str), settings.cases, seed, "pairs", str(pairs.folder))
    chosen = table.iloc[rows].reset_index(drop=True)
    _check_patients(chosen["context_patient_id"], settings, f"The pairs in {pairs.folder}")
    images, masks, _, donors = paired_pixels(patches, chosen)
    malignant = (chosen["requested_pathology"] == "malignant").to_numpy(dtype=np.bool_)
    people = chosen[["context_patient_id", "mask_donor_patient_id"]].to_numpy(dtype=object)
    lent_images, lent_masks = patches.pixels(donors.index.to_numpy())
    seeds = [derive_seed(seed, "fill", pair_id) for pair_id in chosen["pair_id"]]
    return Cases(
        chosen,
        Lesions(images, masks, malignant, people),
        Lesions(lent_images, lent_masks, malignant, people[:, [1, 1]]),
        np.array(seeds, np.int64),
    )


def in_place(real: Lesions, seed: int) -> Cases:
    """Return real lesions as cases: each to be painted again where it is, with its own outline and class."""
    seeds = np.array([derive_seed(seed, "in place", number) for number in range(len(real))], np.int64)
    people = {"context_patient_id": real.people[:, 0], "mask_donor_patient_id": real.people[:, 1]}
    return Cases(pd.DataFrame(people), real, real, seeds)


def choose_real(patches: PatchSet, split: str, settings: JudgeInfillerSettings, seed: int) -> Lesions:
    """Choose real lesion patches that hold their whole lesion, as those do that lend their masks.

    Args:
        patches: the patches.
        split: whose.
        settings: how many at most.
        seed: decides which.

    Raises:
        TooFewError: a class has none, or they have fewer patients than there are folds.
    """
    rows = patches.rows(split=split, origin="real", pathology=CLASSES)
    rows = rows[[not touches_border(mask) for mask in patches.masks(rows)]]
    found = patches.table["pathology"].iloc[rows].to_numpy(dtype=str)
    rows = rows[_balanced(found, settings.cases, seed, "real lesions", f"the {split} split of {patches.folder}")]
    images, masks = patches.pixels(rows)
    chosen = patches.table.iloc[rows]
    _check_patients(chosen["patient_id"], settings, f"The lesions in the {split} split of {patches.folder}")
    people = chosen[["patient_id", "patient_id"]].to_numpy(dtype=object)
    return Lesions(images, masks, (chosen["pathology"] == "malignant").to_numpy(dtype=np.bool_), people)


def _balanced(pathologies: NDArray[np.str_], most: int, seed: int, what: str, where: str) -> NDArray[np.int64]:
    """Choose rows at random, as many of each class as of the other where there are enough, the classes in turn."""
    of_class = {}
    for name in CLASSES:
        rows = np.flatnonzero(pathologies == name)
        if not len(rows):
            raise TooFewError(
                f"{where} has no {name} {what} (of {len(pathologies)} in all), so nobody can say whether {name} "
                "lesions are painted when they are asked for. Use a split with lesions of both classes."
            )
        of_class[name] = stream(seed, what, name).permutation(rows)
    fewest = min(map(len, of_class.values()))
    each = {name: max(most // 2, most - fewest) for name in CLASSES}
    ranked = [(place, number, row) for number, name in enumerate(CLASSES)
              for place, row in enumerate(of_class[name][: each[name]])]  # fmt: skip
    return np.array([row for _, _, row in sorted(ranked)][:most], np.int64)


def _check_patients(patients: pd.Series[str], settings: JudgeInfillerSettings, what: str) -> None:
    count = patients.nunique()
    if count < settings.folds:
        raise TooFewError(
            f"{what} are of {count} patients, but a judge that learns is tried on {settings.folds} parts of the "
            f"patients (folds). Use a split with more patients, or fewer folds."
        )


def paint(
    infiller: Infiller,
    cases: Cases,
    pathologies: Sequence[str],
    seeds: NDArray[np.int64],
    kept: Path,
    device: str,
    task: Task,
) -> NDArray[np.uint16]:
    """Fill the masks of cases, part by part; parts that an earlier, stopped run made are taken as they are.

    Args:
        infiller: paints.
        cases: what is filled.
        pathologies: one word for each case.
        seeds: (N,) one for each case.
        kept: beginning of the names of files with finished parts.
        device: where it paints.
        task: advances by each fill.

    Returns:
        (N, H, W) uint16.
    """
    parts = []
    for start in range(0, len(cases), CHUNK):
        some = slice(start, start + CHUNK)
        file = kept.with_name(f"{kept.name}-{start:06d}.npy")
        if not file.is_file():
            fills = infiller.infill(
                cases.contexts.images[some],
                cases.contexts.masks[some],
                pathologies[some],
                seeds[some].tolist(),
                device=device,
            )
            written = BytesIO()
            np.save(written, fills)
            write_atomically(file, written.getvalue(), durable=False)
        parts.append(np.load(file))
        task.advance(len(parts[-1]))
    return np.concatenate(parts)


def training_lesions(patches: PatchSet) -> Iterator[tuple[NDArray[np.uint16], NDArray[np.bool_], NDArray[np.object_]]]:
    """Yield the real lesion patches of the train split, some at a time: images, masks, patients."""
    rows = patches.rows(split="train", origin="real", pathology=CLASSES)
    for start in range(0, len(rows), 256):
        some = rows[start : start + 256]
        yield *patches.pixels(some), patches.table["patient_id"].iloc[some].to_numpy(dtype=object)
