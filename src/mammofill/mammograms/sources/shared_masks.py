"""One mask for two mammograms: a lesion lies at one place of one picture, so it can hardly be right for both.

The same patient's same view may be there as two pictures of one exposure, as processed and unprocessed ones are; for
these one mask may do. For anything else it is a slip in a table, or of a program that wrote one mask twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mammofill.mammograms.sources.annotations import Collection, Decision, Exclusion, LesionEntry, MammogramEntry

_SHOWN = 4
"""Mammograms that a row names, at most: a table may name one mask for all, and each of them gets the row."""


def without_shared_masks(collection: Collection) -> Collection:
    """Return a collection without lesions whose mask is one file that several mammograms name.

    They are left out (``mask-of-two-mammograms``): nobody can say whose it is. Where the mammograms may be pictures of
    one exposure, of one patient and not of different sides or views, all are kept, with a decision
    (``mask-named-twice``). Lesions drawn on another file of the view, which have to be proved, are not looked at, nor
    are those whose mask is one of several files.
    """
    exclusions, decisions, lost = [*collection.exclusions], [*collection.decisions], set()
    for file, named in _named_by_several(collection.mammograms).items():
        may_be_right = _may_be_one_exposure([entry for entry, _ in named])
        where = ", ".join(f"{entry.mammogram_id} ({lesion.source})" for entry, lesion in named[:_SHOWN])
        more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
        found = f"The mask {file} is named for different mammograms: {where}{more}."
        for entry, lesion in named:
            if may_be_right:
                done = "Kept: right only where they are pictures of one exposure. If not, name each one's own mask."
                decisions.append(Decision(lesion.lesion_id, entry.patient_id, "mask-named-twice", found, done))
            else:
                message = f"{found} It can be right for one of them at most."
                exclusions.append(Exclusion(lesion.lesion_id, entry.patient_id, "mask-of-two-mammograms", message))
                lost.add((entry.mammogram_id, lesion.lesion_id))
    entries_left = tuple(_without(entry, lost) for entry in collection.mammograms)
    return replace(collection, mammograms=entries_left, exclusions=tuple(exclusions), decisions=tuple(decisions))


def _named_by_several(entries: Sequence[MammogramEntry]) -> dict[str, list[tuple[MammogramEntry, LesionEntry]]]:
    """Return by whom each mask is named that more than one mammogram names."""
    named: dict[str, list[tuple[MammogramEntry, LesionEntry]]] = {}
    for entry in entries:
        for lesion in entry.lesions:
            if isinstance(lesion.place, tuple) and len(lesion.place) == 1 and lesion.drawn_on is None:
                named.setdefault(os.path.normpath(lesion.place[0]), []).append((entry, lesion))
    return {file: them for file, them in named.items() if len({entry.mammogram_id for entry, _ in them}) > 1}


def _may_be_one_exposure(entries: Sequence[MammogramEntry]) -> bool:
    patients = {entry.patient_id for entry in entries}
    sides = {entry.laterality for entry in entries} - {None}
    views = {entry.view for entry in entries} - {None}
    return max(len(patients), len(sides), len(views)) <= 1


def _without(entry: MammogramEntry, lost: set[tuple[str, str]]) -> MammogramEntry:
    kept = tuple(lesion for lesion in entry.lesions if (entry.mammogram_id, lesion.lesion_id) not in lost)
    if len(kept) == len(entry.lesions):
        return entry
    return replace(entry, lesions=kept, all_lesions_located=False)


@dataclass(frozen=True)
class ReadFromFile:
    """A mask that was read from a file, as far as it takes to know it again."""

    lesion_id: str
    mammogram_id: str
    patient_id: str
    file: str
    """That it was read from."""
    image_sha256: str
    """Of the mammogram's file."""
    pixels: tuple[Any, ...]
    """Size of the working image, the lesion's box, and the hash of the mask in it."""


def masks_from_files(
    entries: Iterable[MammogramEntry],
    mammograms: Iterable[Mapping[str, Any]],
    lesions: Iterable[Mapping[str, Any]],
    hashes: Mapping[str, str],
) -> list[ReadFromFile]:
    """Return what distinguishes masks; not those that were drawn from numbers, which may agree by chance.

    Args:
        entries: the mammograms as their collection names them.
        mammograms: rows of a set's table of mammograms.
        lesions: rows of its table of lesions.
        hashes: SHA-256 of its files, by their names.
    """
    drawn = {one.mammogram_id for one in entries if not all(isinstance(lesion.place, tuple) for lesion in one.lesions)}
    mammogram_of = {row["mammogram_id"]: row for row in mammograms}
    found = []
    for row in lesions:
        if row["mammogram_id"] in drawn:
            continue
        mammogram = mammogram_of[row["mammogram_id"]]
        box = (row["top"], row["left"], row["height"], row["width"])
        pixels = (mammogram["rows"], mammogram["columns"], *box, hashes[f"masks/{row['lesion_id']}.png"])
        names = (row["lesion_id"], row["mammogram_id"], row["patient_id"])
        found.append(ReadFromFile(*names, row["source_file"], mammogram["source_sha256"], pixels))
    return found


def same_masks(masks: Iterable[ReadFromFile]) -> list[Decision]:
    """Return a decision for each mask whose pixels are those of an earlier one, of another file and mammogram.

    Copies of one image have the same mask by right, and one file that is named twice was reported already.
    """
    first: dict[tuple[Any, ...], ReadFromFile] = {}
    found = []
    for mask in masks:
        other = first.setdefault(mask.pixels, mask)
        alike = other.image_sha256 == mask.image_sha256 or other.file == mask.file
        if other.mammogram_id != mask.mammogram_id and not alike:
            message = (
                f"The masks of {other.lesion_id} ({other.file}) and {mask.lesion_id} ({mask.file}) mark the same "
                "pixels, and their mammograms are different files."
            )
            done = "Both are kept. Look at them: one may be a copy that got the other's name."
            found.append(Decision(mask.lesion_id, mask.patient_id, "masks-identical", message, done))
    return found
