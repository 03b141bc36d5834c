"""The stage that fills paired normal patches with lesions and keeps them as a patch set."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammofill.ground.artifact import begin
from mammofill.ground.errors import ArtifactError, LeakError, TooFewError
from mammofill.ground.progress import Progress, quiet
from mammofill.ground.seeding import derive_seed, stream
from mammofill.infilling import Infiller
from mammofill.infilling.paired import check_same_patches, paired_pixels
from mammofill.infilling.settings import CLASSES
from mammofill.pairing import Pairs
from mammofill.patches import PatchSet, write_index, write_shard
from mammofill.synthesis.settings import SynthesizeSettings

_CHUNK = 64
"""Patches that are decoded and filled at once; memory does not grow beyond them and one shard of results."""


@dataclass(frozen=True)
class Order:
    """One synthetic patch that is to be made."""

    patch_id: str
    pair: int
    """Row in the pairs' table."""
    pathology: str
    seed: int


def synthesize(
    infiller: Infiller,
    pairs: Pairs,
    patches: PatchSet,
    out: str | Path,
    settings: SynthesizeSettings = SynthesizeSettings(),
    *,
    seed: int = 0,
    progress: Progress = quiet,
    device: str = "cpu",
) -> PatchSet:
    """Make synthetic lesion patches: the context patch of a pair, its mask borrowed from the donor, filled.

    Args:
        infiller: paints the lesions.
        pairs: which patch is filled, and which lends the mask.
        patches: the patches that the pairs were made from.
        out: folder of the new patch set.
        settings: how many, of which class.
        seed: decides which pairs are used, and the seed of each patch.
        progress: told of each patch.
        device: cpu, cuda or cuda:<number>.

    Returns:
        A patch set of origin ``synthetic`` in the train split. Each row says its context patch, mask donor, both
        patients, requested pathology, seed and infiller; `Infiller.infill` makes the same picture from them again.

    Raises:
        ArtifactError: the pairs were made from other patches, or the infiller fills patches of another size.
        LeakError: a context or donor patch is not in the train split.
        TooFewError: too few pairs for the patches asked for, or a class that the infiller never saw.
        DeviceError: the device is not there.
    """
    _check_inputs(infiller, pairs, patches)
    real = patches.table.iloc[patches.rows(split="train", origin="real", pathology=CLASSES)]["pathology"].value_counts()
    wanted = settings.counts_for({name: int(real.get(name, 0)) for name in CLASSES})
    _check_classes_learned(infiller, wanted)
    orders, reused = _choose(pairs, wanted, settings, seed)

    from mammofill.ground.training import find_device

    find_device(device)
    with begin(
        out,
        kind=PatchSet.kind,
        stage="synthesize",
        settings=settings,
        seed=seed,
        inputs={"infiller": infiller, "pairs": pairs, "patches": patches},
        device=device,
    ) as work:
        if work is not None:
            if reused:
                progress.say(f"{reused} fills use a pair for a second time or more; more pairs_per_patch avoids that.")
            with progress.task("filling patches", len(orders)) as task:
                for number, start in enumerate(range(0, len(orders), settings.patches_per_shard)):
                    shard = work.folder / f"patches-{number:05d}.parquet"
                    some = orders[start : start + settings.patches_per_shard]
                    if shard.is_file():  # finished before an earlier stop
                        task.advance(len(some))
                        continue
                    columns: dict[str, list[Any]] = {"table": [], "images": [], "masks": [], "breasts": []}
                    for first in range(0, len(some), _CHUNK):
                        chunk = some[first : first + _CHUNK]
                        for name, values in _fill(infiller, pairs, patches, chunk, device).items():
                            columns[name].extend(values)
                        task.advance(len(chunk))
                    write_shard(shard, **columns, bits=settings.bits)
            write_index(work.folder)
            nothing = {"reason": pd.Series([], dtype="string"), "split": pd.Series([], dtype="string")}
            pd.DataFrame(nothing | {"count": pd.Series([], dtype="int64")}).to_parquet(work.folder / "dropped.parquet")
            work.finish(counts={"patches": len(orders), **wanted, "fills_of_used_pairs": reused})
    return PatchSet.open(out)


def _check_inputs(infiller: Infiller, pairs: Pairs, patches: PatchSet) -> None:
    check_same_patches(pairs, patches)
    if infiller.size_px != patches.size_px:
        raise ArtifactError(
            f"The infiller in {infiller.folder} fills patches of {infiller.size_px} px, but those in {patches.folder} "
            f"are {patches.size_px} px. Train an infiller on these patches."
        )
    split_of = dict(zip(patches.table["patch_id"], patches.table["split"], strict=True))
    for role in ("context", "mask_donor"):
        names = pairs.table[f"{role}_patch_id"]
        for name, patient in zip(names, pairs.table[f"{role}_patient_id"], strict=True):
            if name not in split_of:
                raise ArtifactError(f"{pairs.folder} names the patch {name!r}, which is not in {patches.folder}.")
            if split_of[name] != "train":
                raise LeakError(
                    f"Patient {patient!r} is in the {split_of[name]} split, but {pairs.folder} pairs its patch {name!r}"
                    " for synthesis. Synthetic patches are for training: make pairs of the train split."
                )


def _check_classes_learned(infiller: Infiller, wanted: dict[str, int]) -> None:
    for name, count in wanted.items():
        if count and not infiller.classes_learned.get(name, 0):
            raise TooFewError(
                f"{count} {name} patches are to be made, but the infiller in {infiller.folder} learned from no {name} "
                f"lesion. Set {name} to 0, or train an infiller on lesions of both classes."
            )


def _choose(pairs: Pairs, wanted: dict[str, int], settings: SynthesizeSettings, seed: int) -> tuple[list[Order], int]:
    """Return what is to be made, in a shuffled order, and how many fills use a pair again."""
    donors = pairs.table["requested_pathology"].to_numpy(dtype=str)
    other = dict(zip(CLASSES, reversed(CLASSES), strict=True))
    orders, reused = [], 0
    for pathology, count in wanted.items():
        donor = pathology if settings.requested_class == "donor" else other[pathology]
        candidates = np.flatnonzero(donors == donor)
        most = len(candidates) * settings.fills_per_pair
        if count > most:
            raise TooFewError(
                f"{count} {pathology} patches are to be made, but {pairs.folder} has {len(candidates)} pairs with a "
                f"{donor} mask donor, enough for {most} (fills_per_pair is {settings.fills_per_pair}). Make more pairs "
                "with pairs_per_patch of pair-patches, raise fills_per_pair, or ask for fewer."
            )
        shuffled = stream(seed, "pairs", pathology).permutation(candidates)
        for number in range(count):
            again, place = divmod(number, len(shuffled))
            orders.append(_order(pairs, int(shuffled[place]), pathology, again, seed))
            reused += again > 0
    shuffled_orders = stream(seed, "order").permutation(len(orders))
    return [orders[number] for number in shuffled_orders], reused


def _order(pairs: Pairs, pair: int, pathology: str, again: int, seed: int) -> Order:
    pair_id = str(pairs.table["pair_id"].iloc[pair])
    patch_id = f"{pair_id}-{pathology}-{again}"
    return Order(patch_id, pair, pathology, derive_seed(seed, "fill", pair_id, pathology, again))


def _fill(
    infiller: Infiller, pairs: Pairs, patches: PatchSet, orders: list[Order], device: str
) -> dict[str, list[Any]]:
    """Return the rows and pictures of some synthetic patches."""
    contexts, masks, context_rows, donor_rows = paired_pixels(patches, pairs.table.iloc[[one.pair for one in orders]])
    images = infiller.infill(
        contexts, masks, [one.pathology for one in orders], [one.seed for one in orders], device=device
    )
    table = [
        _row(order, context, donor, infiller)
        for order, context, donor in zip(
            orders, context_rows.to_dict("records"), donor_rows.to_dict("records"), strict=True
        )
    ]
    breasts = patches.breasts(context_rows.index.to_numpy())
    return {"table": table, "images": list(images), "masks": list(masks), "breasts": list(breasts)}


def _row(order: Order, context: dict[Hashable, Any], donor: dict[Hashable, Any], infiller: Infiller) -> dict[str, Any]:
    place = ("patient_id", "mammogram_id", "top", "left", "height", "width", "breast_share", "split")
    return {
        "patch_id": order.patch_id,
        **{name: context[name] for name in place},
        "pathology": order.pathology,
        "abnormality": donor["abnormality"],
        "lesion_ids": "",
        "origin": "synthetic",
        "context_patch_id": context["patch_id"],
        "mask_donor_patch_id": donor["patch_id"],
        "mask_donor_patient_id": donor["patient_id"],
        "seed": order.seed,
        "infiller": infiller.fingerprint,
    }
