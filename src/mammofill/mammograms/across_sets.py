"""Finds a person who occurs in two sets of mammograms under different names.

Within a set `ingest` gives each person one name. Wherever patients must be separate, two sets are compared by names;
this module finds what names do not show: an identifier in another spelling, or with another side, visit or date beside
it; and a picture under another name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from mammofill.ground.artifact import Artifact, upstream, verify
from mammofill.ground.parquet import read_parquet
from mammofill.mammograms.sources.patients import in_both, with_one_hash


@dataclass(frozen=True)
class SamePerson:
    """A patient of one set who also occurs in another set.

    Attributes:
        own: the name in the one set.
        other: the name in the other set.
        why: the reason why they are the same person, in words.
    """

    own: str
    other: str
    why: str


def one_person_in_both(own: Artifact, other: Artifact) -> list[SamePerson]:
    """Find the persons who have a different name in each of two artifacts.

    Identifiers that differ in spelling, or in what is beside them (see `in_both`), belong to one person if both sets
    are of one collection, or both of a user's own tables: two public collections may both number their patients from
    1. Identifiers with one hash, equal image files, and pictures with the same pixels at the working resolution, belong
    to one person in all collections.

    Args:
        own: a set of mammograms, or an artifact made from such sets.
        other: likewise.

    Returns:
        Each pair of different names once, sorted by `other`. Sets that are no longer at their place are not compared,
        nor is a set with itself.

    Raises:
        DamagedError: the table of a set was changed after it was finished.
    """
    found: dict[tuple[str, str], SamePerson] = {}
    for one in _sets(own):
        for two in _sets(other):
            if one.fingerprint != two.fingerprint:
                for same in _in_both(one, two):
                    found.setdefault((same.other, same.own), same)
    return [found[names] for names in sorted(found)]


def learned_patients(own: Artifact, other: Artifact) -> dict[str, list[str]]:
    """Return, for each patient that shaped any weights upstream of an artifact, where that happened.

    Args:
        own: the artifact; its manifest records the patients from whom it learned.
        other: an artifact whose names for these patients are added.

    Returns:
        As `Manifest.learned_patients`; a patient with another name in the sets of `other` is also listed by that name.

    Raises:
        DamagedError: the table of a set was changed after it was finished.
    """
    found = own.manifest.learned_patients()
    for same in one_person_in_both(own, other):
        if same.own in found:
            ways = [f"{way}, as {same.own!r}: {same.why}" for way in found[same.own]]
            found[same.other] = [*found.get(same.other, []), *ways]
    return found


def _sets(artifact: Artifact) -> list[Artifact]:
    return [artifact] if artifact.manifest.kind == "mammograms" else upstream(artifact).get("mammograms", [])


def _in_both(own: Artifact, other: Artifact) -> Iterator[SamePerson]:
    ours, theirs = _table(own), _table(other)
    files = _matches(ours, theirs, "source_sha256")
    yield from (SamePerson(*names, "they have an image file in common") for names in files)
    pictures = _matches(ours, theirs, "picture")
    yield from (SamePerson(*names, "they have a picture with the same pixels in common") for names in pictures)
    alike = own.manifest.settings.get("collection") == other.manifest.settings.get("collection")
    find = in_both if alike else with_one_hash
    yield from (SamePerson(*same) for same in find(*(sorted(set(one["patient_id"])) for one in (ours, theirs))))


def _table(mammograms: Artifact) -> pd.DataFrame:
    """Return patient_id, source_sha256 and picture (the SHA-256 of the working image, "" if it was not kept)."""
    verify(mammograms, ["mammograms.parquet"])
    columns = ["mammogram_id", "patient_id", "source_sha256"]
    table = read_parquet(mammograms.folder / "mammograms.parquet", columns=columns)
    hashes = mammograms.manifest.hashes
    return table.assign(picture=[hashes.get(f"images/{name}.tiff", "") for name in table["mammogram_id"]])


def _matches(ours: pd.DataFrame, theirs: pd.DataFrame, column: str) -> Iterator[tuple[str, str]]:
    """Yield the pairs of different names whose rows have the same non-empty value."""
    keyed = [one[["patient_id", column]].fillna("").drop_duplicates() for one in (ours, theirs)]
    both = keyed[0].merge(keyed[1], on=column, suffixes=("_own", "_other"))
    both = both[(both[column] != "") & (both["patient_id_own"] != both["patient_id_other"])]
    yield from zip(both["patient_id_own"], both["patient_id_other"], strict=True)
