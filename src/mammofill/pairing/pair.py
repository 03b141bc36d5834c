"""Each patch to be filled with a lesion patch whose mask it borrows: the stage `pair-patches`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.artifact import begin
from mammofill.ground.counting import counted
from mammofill.ground.errors import TooFewError
from mammofill.ground.imaging import Mask, touches_border
from mammofill.ground.progress import Progress, quiet
from mammofill.ground.seeding import stream
from mammofill.pairing.hole import HoleSettings, hole_of
from mammofill.pairing.pairs import NORMAL_TISSUE, OWN_LESION, PAIR_COLUMNS, RE_INFILL, Pairs, borrowed_mask
from mammofill.pairing.settings import PairPatchesSettings
from mammofill.patches import PatchSet

_AT_ONCE = 1024
"""Contexts whose tissue is decoded at once."""

_LESIONS = ("benign", "malignant")


def pair_patches(
    patches: PatchSet,
    out: str | Path,
    settings: PairPatchesSettings = PairPatchesSettings(),
    *,
    seed: int = 0,
    progress: Progress = quiet,
) -> Pairs:
    """Draw a lesion patch for each patch to be filled until its mask fits. Source: the paper, section 4.1.

    A mask that is cut off by its own window is not lent: zoomed out, it would lie in the tissue with a straight edge.
    Nor is an empty one.
    For a normal patch, one of the other lesion patches of the same split is drawn, and a zoom (and shift) for its mask.
    The pair is kept if the whole hole that belongs to the mask (`settings.hole`; the mask itself, in the paper) lies on
    breast tissue and inside the patch, without touching the border; otherwise the next one is drawn, at most `tries`
    times; a lesion patch lends its mask to a context only once. Every patch has its own random stream, so a pair does
    not depend on which other contexts there are. Context and donor may be the same patient's: both are in the same
    split.

    Where `settings.contexts` names lesion patches, another patient's lesion is painted over the patch's own: its mask
    is brought to the own lesion's area (and zoomed), laid over its centroid, and the own lesion and its margin must lie
    wholly in the hole (`own-lesion-shows` among the reasons). Where `settings.outline` is own, the outline is that of
    the own lesion, in its place.

    Args:
        patches: real patches.
        out: folder of the pairs.
        settings: what is filled, zoom, shift and tries.
        seed: decides all draws.
        progress: notified as patches are done.

    Returns:
        The pairs; each says of which kind it is. Their `unpaired` counts the patches that stayed unpaired, and the
        tries that failed, by reason.

    Raises:
        TooFewError: the split has no patch to be filled, no lesion patch, or not one pair could be made.
    """
    contexts = _context_rows(patches, settings)
    lesions = patches.rows(split=settings.split, origin="real", pathology=_LESIONS)
    for rows, kind in ((contexts, "normal" if settings.contexts == "normal" else "context"), (lesions, "lesion")):
        if not len(rows):
            hint = " To paint over lesions where there is no normal tissue, set contexts to lesion."
            raise TooFewError(
                f"{patches.folder} has no {kind} patch in the {settings.split} split, so nothing can be paired. "
                f"Its patches: {_counts(patches)}.{hint if kind == 'normal' else ''}"
            )

    with begin(
        out, kind=Pairs.kind, stage="pair-patches", settings=settings, seed=seed, inputs={"patches": patches}
    ) as work:
        if work is not None:
            unpaired: Counter[str] = Counter()
            donors = _whole_lesions(patches, lesions, settings, unpaired)
            found = list(_pairs(patches, contexts, donors, settings, seed, unpaired, progress))
            if not found:
                reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(unpaired.items()))
                filled = "normal" if settings.contexts == "normal" else "context"
                raise TooFewError(
                    f"None of the {len(contexts)} {filled} patches of {patches.folder} could be paired: {reasons}. "
                    "Allow more tries, a smaller zoom, a smaller hole (or one with a rim, hole.rim_px), or use larger "
                    "patches."
                )
            table = pd.DataFrame(found, columns=list(PAIR_COLUMNS)).astype(PAIR_COLUMNS)
            table.to_parquet(work.folder / "pairs.parquet", index=False)
            counts = pd.DataFrame(sorted(unpaired.items()), columns=["reason", "count"])
            counts.astype({"reason": "string", "count": "int64"}).to_parquet(
                work.folder / "unpaired.parquet", index=False
            )
            kinds = ", ".join(f"{count} {kind}" for kind, count in table["kind"].value_counts().items())
            alone = unpaired["patch-unpaired"]
            progress.say(
                f"{counted(len(table), 'pairs')} ({kinds}); {alone} places in patches stayed without a mask that fits"
            )
            work.finish({"pairs": len(table), "re_infills": int((table["kind"] == RE_INFILL).sum()), "unpaired": alone})
    return Pairs.open(out)


def _context_rows(patches: PatchSet, settings: PairPatchesSettings) -> NDArray[np.int64]:
    wanted = {"normal": ("normal",), "lesion": _LESIONS, "both": ("normal", *_LESIONS)}[settings.contexts]
    return patches.rows(split=settings.split, origin="real", pathology=wanted)


def _counts(patches: PatchSet) -> str:
    counts = Counter(zip(patches.table["split"], patches.table["pathology"], strict=True))
    return ", ".join(f"{split} {pathology} {count}" for (split, pathology), count in sorted(counts.items())) or "none"


@dataclass(frozen=True)
class _Donors:
    """Lesion patches that may lend their masks, N of them."""

    rows: NDArray[np.int64]
    """In the patches' table."""
    names: tuple[str, ...]
    """Of the patches."""
    masks: NDArray[np.bool_]
    patients: NDArray[np.object_]
    pathologies: NDArray[np.object_]

    @cached_property
    def everyone(self) -> _Others:
        """All of them."""
        return _Others(np.arange(len(self.rows)), np.empty(0, np.int64))

    @cached_property
    def number_of(self) -> dict[str, int]:
        """Number of each donor, by the name of its patch."""
        return {name: number for number, name in enumerate(self.names)}

    def others(self, patient: str, pathology: str | None) -> _Others:
        """Return those of other patients, and of one class where there is one."""
        members, places_of = self._by_class[pathology]
        return _Others(members, places_of.get(patient, np.empty(0, np.int64)))

    @cached_property
    def _by_class(self) -> dict[str | None, tuple[NDArray[np.int64], dict[str, NDArray[np.int64]]]]:
        """Class, or None for all -> its donors by number, and for each patient the places of their own donors."""
        found: dict[str | None, tuple[NDArray[np.int64], dict[str, NDArray[np.int64]]]] = {}
        for name in (None, *_LESIONS):
            members = np.arange(len(self.rows)) if name is None else np.flatnonzero(self.pathologies == name)
            own = pd.Series(members).groupby(self.patients[members]).indices
            found[name] = (members, {str(patient): np.asarray(places, np.int64) for patient, places in own.items()})
        return found


@dataclass(frozen=True)
class _Others:
    """Some donors without a patient's own, none of which is listed: there may be very many."""

    members: NDArray[np.int64]
    """(n,) ascending, the patient's own among them."""
    own: NDArray[np.int64]
    """(k,) ascending, the places of these."""

    def __len__(self) -> int:
        return len(self.members) - len(self.own)

    def __getitem__(self, number: int) -> int:
        before = np.searchsorted(self.own - np.arange(len(self.own)), number, side="right")
        return int(self.members[number + before])


def _whole_lesions(
    patches: PatchSet, rows: NDArray[np.int64], settings: PairPatchesSettings, unpaired: Counter[str]
) -> _Donors:
    """Return the lesion patches that hold their whole lesion; count the others.

    Raises:
        TooFewError: none does.
    """
    masks = patches.masks(rows)
    reasons = np.array([_why_not_whole(mask) for mask in masks], object)
    unpaired.update(f"donor-mask-{reason}" for reason in reasons if reason)
    whole = reasons == ""
    if not whole.any():
        raise TooFewError(
            f"All {len(rows)} lesion patches of {patches.folder} in the {settings.split} split hold only a part of "
            "their lesion, or nothing of it, so none can lend its mask. Use larger patches or a smaller stride."
        )
    table = patches.table.iloc[rows[whole]]
    patients, pathologies = (table[name].to_numpy(dtype=object) for name in ("patient_id", "pathology"))
    return _Donors(rows[whole], tuple(table["patch_id"].astype(str)), masks[whole], patients, pathologies)


def _why_not_whole(mask: Mask) -> str:
    """Say why a mask is not that of a whole lesion: cut, empty (in patches of other programs); empty where it is."""
    if not mask.any():
        return "empty"
    return "cut" if touches_border(mask) else ""


@dataclass(frozen=True)
class _Context:
    """A patch to be filled."""

    facts: dict[str, Any]
    """Its row of the table."""
    breast: Mask
    own: Mask | None
    """The mask of its own lesion, which is painted over; None for normal tissue."""
    hidden: Mask | None
    """That lesion and its margin, all of which must lie in the hole."""


def _contexts(patches: PatchSet, rows: NDArray[np.int64], settings: PairPatchesSettings) -> Iterator[_Context]:
    margin = HoleSettings("dilation", 0.0, settings.own_margin_px, settings.hole.rim_px)
    facts = patches.table.iloc[rows].to_dict("records")
    for one, breast, own in zip(facts, patches.breasts(rows), patches.masks(rows), strict=True):
        named = {str(name): value for name, value in one.items()}
        if named["pathology"] == "normal":
            yield _Context(named, breast, None, None)
        else:
            yield _Context(named, breast, own, hole_of(own, margin))


def _pairs(
    patches: PatchSet,
    rows: NDArray[np.int64],
    donors: _Donors,
    settings: PairPatchesSettings,
    seed: int,
    unpaired: Counter[str],
    progress: Progress,
) -> Iterator[dict[str, Any]]:
    with progress.task("pairing patches", len(rows)) as task:
        for start in range(0, len(rows), _AT_ONCE):
            chunk = rows[start : start + _AT_ONCE]
            for context in _contexts(patches, chunk, settings):
                if context.own is not None and (reason := _why_not_whole(context.own)):
                    unpaired[f"own-lesion-{reason}"] += 1
                    continue
                yield from _pairs_of(context, donors, settings, seed, unpaired)
            task.advance(len(chunk))


def _pairs_of(
    context: _Context, donors: _Donors, settings: PairPatchesSettings, seed: int, unpaired: Counter[str]
) -> Iterator[dict[str, Any]]:
    """Yield the pairs of one context, as rows of `PAIR_COLUMNS`."""
    facts, lent = context.facts, set[int]()
    for number in range(settings.pairs_per_patch):
        random = stream(seed, "pairing", str(facts["patch_id"]), number)
        if settings.outline == "own":
            found = _own_outline(context, donors, settings, unpaired)
        else:
            found = _draw_donor(context, donors, lent, settings, random, unpaired)
        if found is None:
            unpaired["patch-unpaired"] += 1
            continue
        donor, zoom, shift = found
        lent.add(donor)
        yield {
            "pair_id": f"{facts['patch_id']}_p{number}",
            "kind": _kind_of(context, settings),
            "context_patch_id": facts["patch_id"],
            "context_patient_id": facts["patient_id"],
            "context_pathology": facts["pathology"],
            "mask_donor_patch_id": donors.names[donor],
            "mask_donor_patient_id": donors.patients[donor],
            "zoom": zoom,
            "shift_rows_px": shift[0],
            "shift_columns_px": shift[1],
            "requested_pathology": donors.pathologies[donor],
        }


def _kind_of(context: _Context, settings: PairPatchesSettings) -> str:
    if context.own is None:
        return NORMAL_TISSUE
    return OWN_LESION if settings.outline == "own" else RE_INFILL


def _own_outline(
    context: _Context, donors: _Donors, settings: PairPatchesSettings, unpaired: Counter[str]
) -> tuple[int, float, tuple[int, int]] | None:
    """Return a lesion patch as its own donor, the mask where it is; None where its hole does not fit."""
    assert context.own is not None
    reason = check_placement(context.own, context.breast, settings, context.hidden)
    if reason is None:
        return donors.number_of[str(context.facts["patch_id"])], 1.0, (0, 0)
    unpaired[f"try-{reason}"] += 1
    return None


def _draw_donor(
    context: _Context,
    donors: _Donors,
    lent: set[int],
    settings: PairPatchesSettings,
    random: np.random.Generator,
    unpaired: Counter[str],
) -> tuple[int, float, tuple[int, int]] | None:
    facts, candidates = context.facts, donors.everyone
    if context.own is not None:
        candidates = donors.others(facts["patient_id"], facts["pathology"] if settings.own_class else None)
    if not len(candidates):
        unpaired["no-lesion-of-others"] += 1
        return None
    most_shift = round(settings.max_shift_share * context.breast.shape[0])
    for _ in range(settings.tries):
        donor = candidates[int(random.integers(len(candidates)))]
        zoom = float(random.uniform(*settings.zoom))
        shift = (int(random.integers(-most_shift, most_shift + 1)), int(random.integers(-most_shift, most_shift + 1)))
        if donor in lent:
            unpaired["try-donor-lent-already"] += 1
            continue
        if context.own is not None:
            zoom, shift = laid_over(donors.masks[donor], context.own, zoom, shift)
        mask = borrowed_mask(donors.masks[donor], zoom, shift)
        reason = check_placement(mask, context.breast, settings, context.hidden)
        if reason is None:
            return donor, zoom, shift
        unpaired[f"try-{reason}"] += 1
    return None


def laid_over(mask: Mask, own: Mask, zoom: float, shift: tuple[int, int]) -> tuple[float, tuple[int, int]]:
    """Return the zoom and shift by which a mask lies over another lesion, at its size, before it is zoomed and shifted.

    Args:
        mask: (H, W) bool, of the lesion that is painted.
        own: (H, W) bool, of the one that is painted over.
        zoom: square root of the ratio of areas, that of the mask afterwards to that of `own`.
        shift: rows and columns by which the centroid then lies beside that of `own`.
    """
    scale = float(np.sqrt(own.sum() / mask.sum()))
    apart = np.argwhere(own).mean(axis=0) - np.argwhere(mask).mean(axis=0)
    return zoom * scale, (shift[0] + round(float(apart[0])), shift[1] + round(float(apart[1])))


def check_placement(mask: Mask, breast: Mask, settings: PairPatchesSettings, hidden: Mask | None = None) -> str | None:
    """Say why a lesion may not be painted into a patch; None if it may.

    Args:
        mask: (H, W) bool, where the lesion would go.
        breast: (H, W) bool, where breast is in the patch.
        settings: least area of the mask, and the hole.
        hidden: (H, W) bool, what must lie in the hole: the patch's own lesion and its margin; None in normal tissue.

    Returns:
        ``mask-too-small``, ``hole-at-the-border``, ``hole-off-the-breast``, ``own-lesion-shows``, or None.
    """
    if int(mask.sum()) < settings.min_mask_px:
        return "mask-too-small"
    hole = hole_of(mask, settings.hole)
    if touches_border(hole):
        return "hole-at-the-border"
    if not breast[hole].all():
        return "hole-off-the-breast"
    if hidden is not None and (hidden & ~hole).any():
        return "own-lesion-shows"
    return None
