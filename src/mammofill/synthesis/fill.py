"""The stage that fills paired normal patches with lesions and keeps them as a patch set."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.artifact import Artifact, begin
from mammofill.ground.counting import counted
from mammofill.ground.errors import ArtifactError, LeakError, SettingsError, TooFewError
from mammofill.ground.imaging import encode_png, touches_border
from mammofill.ground.progress import Progress, Task, quiet
from mammofill.ground.seeding import derive_seed, stream
from mammofill.ground.training.memory import freed_memory_kept
from mammofill.infilling import Infiller
from mammofill.infilling.conditions import OF_LESION, words_in
from mammofill.infilling.settings import CLASSES
from mammofill.pairing import Pairs
from mammofill.pairing.hole import hole_of
from mammofill.pairing.pairs import OWN_LESION
from mammofill.pairing.pixels import check_own_lesions_hidden, check_same_patches, paired_pixels, paired_rows
from mammofill.patches import PatchSet, write_shard
from mammofill.patches.shards import encode_patch
from mammofill.synthesis.judged import check_class_painted, chosen_by
from mammofill.synthesis.rows import synthetic_row, write_tables
from mammofill.synthesis.settings import SynthesizeSettings

_CHUNK = 64
"""Patches that are decoded and filled at once; memory does not grow beyond them and one shard of results."""
_ENCODERS = 2
"""Threads that turn what is done into PNG while the next is painted."""


@dataclass(frozen=True)
class Order:
    """One synthetic patch that is to be made."""

    patch_id: str
    pair: int
    """Row in the pairs' table."""
    pathology: str
    seed: int
    as_donor: bool
    """Whether it is requested to be like the donor's lesion in all that goes with the class."""


def synthesize(
    infiller: Infiller,
    pairs: Pairs,
    patches: PatchSet,
    out: str | Path,
    settings: SynthesizeSettings = SynthesizeSettings(),
    *,
    judgement: Artifact | None = None,
    judged_later: bool = False,
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
        judgement: what `judge_infiller` found of the infiller. One that does not paint the requested class is refused.
            Without a judgement, and without the setting `unjudged`, there is a warning.
        judged_later: whether the infiller is judged after this, as in a study with a judgement; there is no warning
            then.
        seed: decides which pairs are used, and the seed of each patch.
        progress: notified of each patch.
        device: cpu, cuda, cuda:<number> or mps.

    Returns:
        A patch set of origin ``synthetic`` in the train split. Each row says its context patch, mask donor, both
        patients, requested pathology, seed and infiller; `Infiller.infill` makes the same picture from them again.

    Raises:
        ArtifactError: the pairs were made from other patches, or the infiller fills patches of another size; the
            judgement is about other infillers, or says that this one does not paint the requested class; the infiller
            keeps a part of the lesion that is there (`Infiller.begin_time`), but the pairs are of others; a hole does
            not lie in its patch, or does not hold the lesion that is painted over.
        SettingsError: there is a judgement, but the settings say unjudged; another class is requested than that of the
            lesion of which a part is kept.
        LeakError: a context or donor patch is not in the train split.
        TooFewError: too few pairs for the requested patches, or a class that the infiller never saw.
        DeviceError: the device is not there.
    """
    _check_inputs(infiller, pairs, patches)
    _check_own_lesions(infiller, pairs, settings)
    _check_judged(infiller, judgement, settings, judged_later, progress)
    real = _count_real(patches)
    wanted = settings.counts_for(real)
    made = dict.fromkeys(wanted, sum(wanted.values())) if settings.requested_class == "both" else wanted
    _check_classes_learned(infiller, made)
    orders, reused = _choose(pairs, wanted, settings, seed)

    from mammofill.ground.training.device import find_device

    find_device(device)
    inputs: dict[str, Artifact] = {"infiller": infiller, "pairs": pairs, "patches": patches}
    inputs |= {"judgement": judgement} if judgement else {}
    with (
        freed_memory_kept(device),
        begin(
            out,
            kind=PatchSet.kind,
            stage="synthesize",
            settings=settings,
            seed=seed,
            inputs=inputs,
            device=device,
        ) as work,
    ):
        if work is not None:
            progress.say(settings.why(real, made))
            if reused:
                progress.say(f"{counted(reused, 'fills use')} a pair for a second time or more{_instead(pairs)}.")
            given = _Given(infiller, pairs, patches, settings.bits, device)
            _fill_shards(work.folder, given, orders, settings.patches_per_shard, progress)
            write_tables(work.folder)
            work.finish(
                counts={"patches": len(orders), **made, "fills_of_used_pairs": reused},
                learned_from=[chosen_by(judgement)] if judgement else [],
            )
    return PatchSet.open(out)


def _count_real(patches: PatchSet) -> dict[str, int]:
    """Count the real lesion patches of the train split by class."""
    rows = patches.rows(split="train", origin="real", pathology=CLASSES)
    counts = patches.table["pathology"].iloc[rows].value_counts()
    return {name: int(counts.get(name, 0)) for name in CLASSES}


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


def _check_own_lesions(infiller: Infiller, pairs: Pairs, settings: SynthesizeSettings) -> None:
    """Refuse to keep a part of tissue, or of a lesion that is requested in another class or place."""
    if infiller.begin_time == 1:
        return
    keeps = (
        f"The infiller in {infiller.folder} keeps a part of what is in the hole (sampling.begin_time "
        f"{infiller.begin_time:g})"
    )
    kinds = pairs.table["kind"]
    others = kinds[kinds != OWN_LESION]
    if len(others):
        raise ArtifactError(
            f"{keeps}, but {len(others)} of {len(kinds)} pairs in {pairs.folder} are of the kind {others.iloc[0]}, "
            "where there is no lesion with the requested outline that could be kept. Make the pairs with pair-patches "
            "--contexts lesion --outline own, or use an infiller that begins with noise."
        )
    if settings.requested_class != "donor":
        raise SettingsError(
            f"{keeps}, and with it the class of the lesion that is there, but requested_class is "
            f"{settings.requested_class}. Request the class of the donor."
        )


def _instead(pairs: Pairs) -> str:
    """Say how no pair would be used twice, where one can."""
    own = (pairs.table["kind"] == OWN_LESION).all()
    return "" if own else "; more pairs_per_patch avoids that"


def _check_judged(
    infiller: Infiller,
    judgement: Artifact | None,
    settings: SynthesizeSettings,
    judged_later: bool,
    progress: Progress,
) -> None:
    if judgement is not None and settings.unjudged:
        raise SettingsError(
            f"SynthesizeSettings.unjudged is set, but the judgement in {judgement.folder} is given. Leave one out."
        )
    if judgement is not None:
        verdict = check_class_painted(infiller, judgement)
        if verdict != "reached":
            progress.say(f"WARNING: {judgement.folder} leaves it {verdict} whether {infiller.folder} paints the class.")
    elif not judged_later and not settings.unjudged:
        progress.say(
            f"WARNING: it has not been judged whether the infiller in {infiller.folder} paints the requested class. If "
            "it does not, these patches teach wrong labels. Judge it with judge-infiller and give --judgement, or set "
            "unjudged; in a study file, add a table [judge-infiller], or unjudged = true under [synthesize]."
        )


def _check_classes_learned(infiller: Infiller, made: dict[str, int]) -> None:
    for name, count in made.items():
        if count and not infiller.classes_learned.get(name, 0):
            raise TooFewError(
                f"{counted(count, f'{name} patches are')} to be made, but the infiller in {infiller.folder} learned "
                f"from no {name} lesion. Set {name} to 0, or train an infiller on lesions of both classes."
            )


def check_enough_pairs(pairs: Pairs, patches: PatchSet, settings: SynthesizeSettings) -> None:
    """Refuse pairs that do not allow as many fills as settings ask for: before an infiller is trained for them.

    Args:
        pairs: of the patches.
        patches: whose real lesions decide how many are requested.
        settings: as `synthesize` would be given.

    Raises:
        TooFewError: a class has too few pairs.
    """
    for pathology, count in settings.counts_for(_count_real(patches)).items():
        _candidates(pairs, pathology, count, settings)


def _choose(pairs: Pairs, wanted: dict[str, int], settings: SynthesizeSettings, seed: int) -> tuple[list[Order], int]:
    """Return what is to be made, in a shuffled order, and how many fills use a pair again."""
    orders: list[Order] = []
    reused = 0
    for pathology, count in wanted.items():
        donor, candidates = _candidates(pairs, pathology, count, settings)
        requested = CLASSES if settings.requested_class == "both" else (pathology,)
        shuffled = stream(seed, "pairs", pathology).permutation(candidates)
        for number in range(count):
            again, place = divmod(number, len(shuffled))
            orders += _order(pairs, int(shuffled[place]), requested, again, seed, requested == (donor,))
            reused += (again > 0) * len(requested)
    shuffled_orders = stream(seed, "order").permutation(len(orders))
    return [orders[number] for number in shuffled_orders], reused


def _candidates(
    pairs: Pairs, pathology: str, count: int, settings: SynthesizeSettings
) -> tuple[str, NDArray[np.int64]]:
    """Return the class of the donors of so many fills of a class, and the pairs that have such a donor.

    Raises:
        TooFewError: there are too few of them.
    """
    other = dict(zip(CLASSES, reversed(CLASSES), strict=True))
    donor = other[pathology] if settings.requested_class == "other" else pathology
    candidates = np.flatnonzero(pairs.table["requested_pathology"].to_numpy(dtype=str) == donor)
    most = len(candidates) * settings.fills_per_pair
    if count > most:
        raise TooFewError(
            f"{counted(count, f'{pathology} patches are')} to be made, but {pairs.folder} has "
            f"{counted(len(candidates), 'pairs')} with a {donor} mask donor, enough for {most} (fills_per_pair is "
            f"{settings.fills_per_pair}). Make more pairs with pairs_per_patch of pair-patches, let masks that do not "
            "fit where they lie be shifted (max_shift_share), raise fills_per_pair, or ask for fewer."
        )
    return donor, candidates


def _order(pairs: Pairs, pair: int, requested: Sequence[str], again: int, seed: int, as_donor: bool) -> Iterator[Order]:
    """Order a pair to be filled with each of some classes, from one seed."""
    pair_id = str(pairs.table["pair_id"].iloc[pair])
    fill_seed = derive_seed(seed, "fill", pair_id, "-".join(requested), again)
    for pathology in requested:
        yield Order(f"{pair_id}-{pathology}-{again}", pair, pathology, fill_seed, as_donor)


@dataclass(frozen=True)
class Cases:
    """What some orders are about, decoded."""

    contexts: NDArray[np.uint16]
    masks: NDArray[np.bool_]
    breasts: NDArray[np.bool_]
    context_rows: pd.DataFrame
    """Rows of the patches' table."""
    donor_rows: pd.DataFrame


@dataclass(frozen=True)
class _Given:
    """Who paints, into what, and how it is kept."""

    infiller: Infiller
    pairs: Pairs
    patches: PatchSet
    bits: int
    """Of each pixel."""
    device: str


def _fill_shards(folder: Path, given: _Given, orders: list[Order], per_shard: int, progress: Progress) -> None:
    with progress.task("filling patches", len(orders)) as task:
        for number, start in enumerate(range(0, len(orders), per_shard)):
            shard = folder / f"patches-{number:05d}.parquet"
            some = orders[start : start + per_shard]
            if shard.is_file():  # finished before an earlier stop
                task.advance(len(some))
                continue
            write_shard(shard, **_fill_shard(given, some, task))


def _fill_shard(given: _Given, orders: list[Order], task: Task) -> dict[str, Any]:
    """Return the rows and pictures (PNG) of the synthetic patches of one shard, in the order of `orders`.

    While some are painted, the next are decoded and those before encoded.
    """
    infiller, requested = given.infiller, given.pairs.table.iloc[[order.pair for order in orders]]
    context_rows, donor_rows = paired_rows(given.patches, requested)
    # Painted in the order of the store, which is read in groups of neighbours.
    by_store = np.argsort(context_rows, kind="stable")
    chunks = [by_store[start : start + _CHUNK] for start in range(0, len(orders), _CHUNK)]
    pictures = ("images", "masks", "breasts", "holes")
    columns: dict[str, Any] = {name: [None] * len(orders) for name in ("table", *pictures)}

    def read(chunk: NDArray[np.int64]) -> Cases:
        return _read(given, requested.iloc[chunk], (context_rows[chunk], donor_rows[chunk]))

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(_ENCODERS) as encoders:
        coming = reader.submit(read, chunks[0])
        for number, chunk in enumerate(chunks):
            cases = coming.result()
            if number + 1 < len(chunks):
                coming = reader.submit(read, chunks[number + 1])
            some = [orders[place] for place in chunk]
            images = _fill(infiller, cases, some, given.device)
            masks, holes = infiller.masks_of_fills(cases.masks), infiller.may_change(cases.masks)
            for place, image, mask, breast, hole, row in zip(
                chunk, images, masks, cases.breasts, holes, _rows(some, cases, infiller), strict=True
            ):
                columns["table"][place] = row
                columns["images"][place] = encoders.submit(encode_patch, image, given.bits)
                columns["masks"][place] = encoders.submit(encode_png, mask)
                columns["breasts"][place] = encoders.submit(encode_png, breast)
                columns["holes"][place] = encoders.submit(encode_png, hole)
            task.advance(len(chunk))
        encoded = {name: [one.result() for one in columns[name]] for name in pictures}
    return columns | encoded


def _read(given: _Given, some: pd.DataFrame, rows: tuple[NDArray[np.int64], NDArray[np.int64]]) -> Cases:
    """Decode what some pairs are about; `rows` are those of the contexts and of the donors, see `paired_rows`.

    Raises:
        ArtifactError: a hole does not lie in its patch, or does not hold the lesion that is painted over.
    """
    infiller, pairs, patches = given.infiller, given.pairs, given.patches
    contexts, masks, context_rows, donor_rows = paired_pixels(patches, some, rows)
    _check_holes(infiller, pairs, some, masks)
    check_own_lesions_hidden(pairs, patches, context_rows, masks, infiller.hole, infiller.folder)
    return Cases(contexts, masks, patches.breasts(rows[0]), context_rows, donor_rows)


def _check_holes(infiller: Infiller, pairs: Pairs, some: pd.DataFrame, masks: NDArray[np.bool_]) -> None:
    for pair_id, mask in zip(some["pair_id"], masks, strict=True):
        if not mask.any():
            raise ArtifactError(
                f"{pairs.folder}: the mask of the pair {pair_id!r} is empty, so that no lesion can be painted. Make "
                "the pairs with pair-patches, which hands out no such mask."
            )
        if touches_border(hole_of(mask, infiller.hole)):
            raise ArtifactError(
                f"{pairs.folder}: the hole of the pair {pair_id!r} touches the border of the patch, so that no whole "
                f"lesion can be painted. The infiller in {infiller.folder} repaints {infiller.hole}: make the pairs "
                f"with pair-patches {infiller.hole.options}."
            )


def _fill(infiller: Infiller, cases: Cases, orders: list[Order], device: str) -> NDArray[np.uint16]:
    return infiller.infill(
        cases.contexts,
        cases.masks,
        [order.pathology for order in orders],
        [order.seed for order in orders],
        facts={fact: _words(fact, cases, orders) for fact in infiller.conditions[1:]},
        device=device,
        over_own=infiller.begin_time < 1,  # see `_check_own_lesions`
    )


def _words(fact: str, cases: Cases, orders: list[Order]) -> tuple[str | None, ...]:
    """Return what is requested of an attribute: the lesion is of the donor's kind; the breast is the context's.

    What a lesion looks like goes with its class, so it is not requested where the class is not the donor's; nor where
    both classes are requested, since the two fills are to differ in nothing else.
    """
    if fact not in OF_LESION:
        return words_in(cases.context_rows, fact)
    words = words_in(cases.donor_rows, fact)
    return tuple(
        word if order.as_donor or fact == "abnormality" else None for word, order in zip(words, orders, strict=True)
    )


def _rows(orders: list[Order], cases: Cases, infiller: Infiller) -> list[dict[str, Any]]:
    contexts, donors = cases.context_rows.to_dict("records"), cases.donor_rows.to_dict("records")
    return [_row(*one, infiller) for one in zip(orders, contexts, donors, strict=True)]


def _row(order: Order, context: dict[Hashable, Any], donor: dict[Hashable, Any], infiller: Infiller) -> dict[str, Any]:
    requested = {"patch_id": order.patch_id, "pathology": order.pathology, "seed": order.seed}
    return synthetic_row(context, donor, infiller) | requested
