"""What is looked at: pairs that are filled, and real lesions beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.counting import counted
from mammofill.ground.errors import TooFewError
from mammofill.ground.imaging import touches_border
from mammofill.ground.seeding import derive_seed, stream
from mammofill.infilling.conditions import OF_LESION, words_in
from mammofill.infilling.settings import CLASSES
from mammofill.judging.settings import JudgeInfillerSettings
from mammofill.judging.verdict import People
from mammofill.pairing import Pairs
from mammofill.pairing.pixels import paired_pixels
from mammofill.patches import PatchSet


@dataclass(frozen=True)
class Lesions:
    """Pictures with outlines: real lesions, fills, or tissue into which nothing was painted."""

    images: NDArray[np.uint16]
    """(N, H, W)."""
    masks: NDArray[np.bool_]
    """(N, H, W)."""
    malignant: NDArray[np.bool_]
    """(N,) the truth; of fills, the requested class."""
    people: People
    """(N, 2)."""
    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows of the patches' table of the pictures, before anything was painted: which they are, where they were cut."""
    like: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows of the same table of the real lesions that fills are requested to be like: those that lent the outlines."""
    by_class_alone: bool = False
    """Whether fills are requested by class and kind alone, so that those of a pair differ in nothing but the class."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)

    def __getitem__(self, some: slice | NDArray[np.int64] | NDArray[np.bool_]) -> Lesions:
        """Return some of them."""
        rows, like = (one.iloc[some] if len(one) else one for one in (self.rows, self.like))
        pictures = self.images[some], self.masks[some], self.malignant[some], self.people[some]
        return Lesions(*pictures, rows, like, self.by_class_alone)

    def requested_attribute(self, fact: str) -> tuple[str | None, ...]:
        """Return what is requested of an attribute besides the class, as by `synthesize`: N words, or None."""
        if fact not in OF_LESION:
            return words_in(self.rows, fact)
        if self.by_class_alone and fact != "abnormality":
            return (None,) * len(self)
        return words_in(self.like, fact)

    @property
    def without_lesion(self) -> Lesions:
        """Those whose pictures show normal tissue before anything is painted, of contexts."""
        return self[(self.rows["pathology"] == "normal").to_numpy(dtype=np.bool_)]

    @property
    def requested(self) -> list[str]:
        """Their classes as words."""
        return ["malignant" if one else "benign" for one in self.malignant]

    @property
    def patients(self) -> int:
        """How many patients they are of, in whatever role."""
        return len(set(self.people.ravel().tolist()))

    @property
    def tissue_patients(self) -> int:
        """How many patients their tissue is of."""
        return len(set(self.people[:, 0]))

    @property
    def outline_patients(self) -> int:
        """How many patients their outlines are of."""
        return len(set(self.people[:, 1]))

    @property
    def per_class(self) -> tuple[int, int]:
        """How many are benign, and how many malignant."""
        malignant = int(self.malignant.sum())
        return len(self) - malignant, malignant

    def repainted(self, images: NDArray[np.uint16]) -> Lesions:
        """Return the same with other pictures."""
        return replace(self, images=images)


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
        """Return how many they are."""
        return len(self.pairs)


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
    _check_patients(table["context_patient_id"].iloc[rows], settings, f"The pairs in {pairs.folder}")
    return read_cases(table.iloc[rows], patches, seed)


def read_cases(pairs: pd.DataFrame, patches: PatchSet, seed: int) -> Cases:
    """Decode pairs.

    Args:
        pairs: rows of `Pairs.table`.
        patches: the patches that they were made from.
        seed: decides the seed of each fill.
    """
    pairs = pairs.reset_index(drop=True)
    images, masks, contexts, donors = paired_pixels(patches, pairs)
    malignant = (pairs["requested_pathology"] == "malignant").to_numpy(dtype=np.bool_)
    people = pairs[["context_patient_id", "mask_donor_patient_id"]].to_numpy(dtype=object)
    lent_images, lent_masks = patches.pixels(donors.index.to_numpy())
    seeds = [derive_seed(seed, "fill", pair_id) for pair_id in pairs["pair_id"]]
    return Cases(
        pairs,
        Lesions(images, masks, malignant, people, contexts, donors),
        Lesions(lent_images, lent_masks, malignant, people[:, [1, 1]], donors),
        np.array(seeds, np.int64),
    )


def seeds_in_place(real: Lesions, seed: int) -> NDArray[np.int64]:
    """Return a seed for each real lesion, to paint it again where it is."""
    return np.array([derive_seed(seed, "in place", number) for number in range(len(real))], np.int64)


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
    return Lesions(images, masks, (chosen["pathology"] == "malignant").to_numpy(dtype=np.bool_), people, chosen, chosen)


def _balanced(pathologies: NDArray[np.str_], most: int, seed: int, what: str, where: str) -> NDArray[np.int64]:
    """Choose rows at random, as many of each class as of the other where there are enough, the classes in turn."""
    of_class = {}
    for name in CLASSES:
        rows = np.flatnonzero(pathologies == name)
        if not len(rows):
            raise TooFewError(
                f"{where} has no {name} {what} (of {len(pathologies)} in all), so it cannot be measured whether {name} "
                "lesions are painted when requested. Use a split with lesions of both classes."
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
            f"{what} are of {counted(count, 'patients')}, but the forest that learns to tell fills from real lesions "
            f"is tried on {settings.folds} parts of the patients (folds). Use a split with more patients, or fewer "
            "folds."
        )


def training_lesions(patches: PatchSet) -> Iterator[tuple[NDArray[np.uint16], NDArray[np.bool_], NDArray[np.object_]]]:
    """Yield the real lesion patches of the train split, some at a time: images, masks, patients."""
    rows = patches.rows(split="train", origin="real", pathology=CLASSES)
    for start in range(0, len(rows), 256):
        some = rows[start : start + 256]
        yield *patches.pixels(some), patches.table["patient_id"].iloc[some].to_numpy(dtype=object)
