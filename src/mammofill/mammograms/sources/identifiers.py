"""Identifiers of mammograms and lesions become names of files: here they are made such that they can."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain, count
from typing import TypeVar

from mammofill.ground.file_names import file_name, is_utf8
from mammofill.mammograms.sources.annotations import Collection, Decision, Exclusion, MammogramEntry


def with_names_of_files(collection: Collection) -> Collection:
    """Return a collection whose mammograms and lesions have identifiers that are names of files, no two the same.

    Those that are plain stay as they are. A mammogram whose identifier another one has already is left out
    (``identifier-twice``): its files would replace those of the other.
    """
    entries, twice = _one_each(collection.mammograms)
    lesion_ids = [lesion.lesion_id for entry in entries for lesion in entry.lesions]
    listed = [name for row in collection.listed for name in (row.mammogram_id, row.lesion_id) if name]
    names = _names([*(entry.mammogram_id for entry in entries), *lesion_ids, *listed])
    plain = all(name == identifier for identifier, name in names.items())
    if plain and not twice and len(set(lesion_ids)) == len(lesion_ids):
        return collection

    def named(identifier: str | None) -> str | None:
        return names.get(identifier, identifier) if identifier else identifier

    given: set[str] = set()
    return Collection(
        tuple(_renamed(entry, names, given) for entry in entries),
        tuple(replace(one, what=names.get(one.what, one.what)) for one in (*collection.exclusions, *twice)),
        tuple(replace(one, what=names.get(one.what, one.what)) for one in collection.decisions),
        tuple(
            replace(row, mammogram_id=named(row.mammogram_id) or "", lesion_id=named(row.lesion_id))
            for row in collection.listed
        ),
    )


def without_names_of_no_text(collection: Collection) -> Collection:
    """Return a collection without mammograms of which a file has a name that no table can hold (``unreadable``).

    So have folders that were packed on a machine of another encoding. In all messages, also about other files, such
    bytes are written out.
    """
    lost = {entry.mammogram_id: file for entry in collection.mammograms for file in entry.files if not is_utf8(file)}
    exclusions = [
        Exclusion(
            entry.mammogram_id,
            entry.patient_id,
            "unreadable",
            f"{lost[entry.mammogram_id]} is a name that is not valid UTF-8, which tables cannot hold. Rename the file, "
            "or the folder above it.",
        )
        for entry in collection.mammograms
        if entry.mammogram_id in lost
    ]
    return replace(
        collection,
        mammograms=tuple(entry for entry in collection.mammograms if entry.mammogram_id not in lost),
        exclusions=tuple(_in_utf8(one) for one in (*collection.exclusions, *exclusions)),
        decisions=tuple(_in_utf8(one) for one in collection.decisions),
    )


_Row = TypeVar("_Row", Exclusion, Decision)


def _in_utf8(one: _Row) -> _Row:
    return replace(one, what=_shown(one.what), found=_shown(one.found))


def _shown(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _names(identifiers: Iterable[str]) -> dict[str, str]:
    """Return the name of each identifier; of two that a file system may not distinguish, the second gets a hash."""
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    for identifier in identifiers:
        if identifier in names:
            continue
        name = file_name(identifier)
        if taken.setdefault(name.casefold(), identifier) != identifier:
            name = f"{name}-{hashlib.sha256(identifier.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
        names[identifier] = name
    return names


def _one_each(entries: Iterable[MammogramEntry]) -> tuple[list[MammogramEntry], list[Exclusion]]:
    kept: dict[str, MammogramEntry] = {}
    twice = []
    for entry in entries:
        first = kept.setdefault(entry.mammogram_id, entry)
        if first is not entry:
            files = " and ".join(str(path) for one in (first, entry) for path in one.image[:1])
            found = f"{files} are both called {entry.mammogram_id}. The first is kept."
            twice.append(Exclusion(entry.mammogram_id, entry.patient_id, "identifier-twice", found))
    return list(kept.values()), twice


def _renamed(entry: MammogramEntry, names: Mapping[str, str], given: set[str]) -> MammogramEntry:
    """Rename a mammogram and its lesions; a lesion whose name is `given` already gets a number."""
    lesions = []
    for lesion in entry.lesions:
        name = names[lesion.lesion_id]
        unlike = next(one for one in chain([name], (f"{name}-{n}" for n in count(2))) if one not in given)
        given.add(unlike)
        lesions.append(replace(lesion, lesion_id=unlike))
    return replace(entry, mammogram_id=names[entry.mammogram_id], lesions=tuple(lesions))
