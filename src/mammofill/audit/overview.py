"""A collection in numbers: patients, mammograms and lesions that its tables list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from mammofill.mammograms.sources.annotations import Collection, Listed, MammogramEntry

NO_SPLIT = "no split"
UNKNOWN = "not given"

_SPLITS = ("train", "validation", "test", NO_SPLIT)


@dataclass(frozen=True)
class Sheet:
    """A small table of counts."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Overview:
    """Counts of what a collection's tables list."""

    patients: int
    mammograms: int
    lesions: int
    with_unlisted: int
    """Mammograms with pathology benign or malignant but no listed lesion: some tables list no lesions."""
    mammograms_with_file: int
    sheets: tuple[Sheet, ...]


def listed_rows(collection: Collection) -> tuple[Listed, ...]:
    """Return the rows of a collection's tables; rows made from its entries where its reader does not return any."""
    return collection.listed or tuple(row for entry in collection.mammograms for row in _rows_of(entry))


def count_all(collection: Collection) -> Overview:
    """Count what a collection's tables list."""
    rows = listed_rows(collection)
    lesions = [row for row in _one_each(rows, lambda row: row.lesion_id) if row.lesion_id is not None]
    mammograms = _one_each(rows, lambda row: row.mammogram_id)
    splits = [split for split in _SPLITS if any(_split(row) == split for row in rows)]
    with_lesion = {row.mammogram_id for row in lesions}
    unlisted = {row.mammogram_id for row in rows if row.pathology in ("benign", "malignant")} - with_lesion
    normal = {row.mammogram_id for row in mammograms} - with_lesion - unlisted
    return Overview(
        patients=len({row.patient_id for row in rows}),
        mammograms=len(mammograms),
        lesions=len(lesions),
        with_unlisted=len(unlisted),
        mammograms_with_file=len(collection.mammograms),
        sheets=(
            _by_split(
                "Lesions",
                lesions,
                splits,
                abnormality=_abnormality,
                pathology=_pathology,
            ),
            _totals(rows, mammograms, normal, unlisted, splits),
            _by_split("Mammograms, by breast density", mammograms, splits, density=_density),
            _by_split("Mammograms, by side and view", mammograms, splits, side=_side, view=_view),
        ),
    )


def _rows_of(entry: MammogramEntry) -> Iterator[Listed]:
    about = (entry.patient_id, entry.mammogram_id)
    for lesion in entry.lesions:
        yield Listed(
            lesion.source, *about, lesion.lesion_id, entry.laterality, entry.view, lesion.pathology, lesion.abnormality,
            entry.density, entry.official_split,
        )  # fmt: skip
    if not entry.lesions:
        pathology = "normal" if entry.all_lesions_located else None
        yield Listed(
            entry.mammogram_id, *about, None, entry.laterality, entry.view, pathology, None, entry.density,
            entry.official_split,
        )  # fmt: skip


def _one_each(rows: Iterable[Listed], key: Callable[[Listed], str | None]) -> list[Listed]:
    """Return the first row of each key."""
    return list({key(row): row for row in reversed(list(rows))}.values())[::-1]


def _by_split(caption: str, rows: Sequence[Listed], splits: Sequence[str], **keys: Callable[[Listed], str]) -> Sheet:
    """Count rows by split and by the values of `keys`, whose names are those of the first columns."""
    counts = Counter((tuple(key(row) for key in keys.values()), _split(row)) for row in rows)
    found = [
        (*kind, *(_number(counts[kind, split]) for split in splits), _number(sum(counts[kind, s] for s in splits)))
        for kind in sorted({kind for kind, _ in counts})
    ]
    return _sheet(caption, (*keys, *splits, "all"), found)


def _totals(
    rows: Sequence[Listed], mammograms: Sequence[Listed], normal: set[str], unlisted: set[str], splits: Sequence[str]
) -> Sheet:
    """Count patients, mammograms and lesions; a patient in two splits counts in both, and once in the total."""

    def counted(of: Iterable[tuple[str, str]]) -> tuple[str, ...]:
        pairs = set(of)
        shares = (_number(sum(split == one for _, one in pairs)) for split in splits)
        return (*shares, _number(len({what for what, _ in pairs})))

    of_unlisted = counted((row.mammogram_id, _split(row)) for row in mammograms if row.mammogram_id in unlisted)
    return _sheet(
        "In all",
        ("", *splits, "all"),
        (
            ("patients", *counted((row.patient_id, _split(row)) for row in rows)),
            ("mammograms", *counted((row.mammogram_id, _split(row)) for row in mammograms)),
            ("without lesion", *counted((row.mammogram_id, _split(row)) for row in mammograms
                                        if row.mammogram_id in normal)),
            *([("with lesions not listed", *of_unlisted)] if unlisted else []),
            ("lesions", *counted((row.lesion_id, _split(row)) for row in rows if row.lesion_id is not None)),
        ),
    )  # fmt: skip


def _sheet(caption: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Sheet:
    """Return a sheet; where no row has a split, the column `no split` is left out, since it equals the total."""
    if NO_SPLIT in columns and len(set(columns) & set(_SPLITS)) == 1:
        place = columns.index(NO_SPLIT)
        columns, *rest = [(*row[:place], *row[place + 1 :]) for row in (columns, *rows)]
        return Sheet(caption, tuple(columns), tuple(rest))
    return Sheet(caption, tuple(columns), tuple(rows))


def _split(row: Listed) -> str:
    return row.official_split or NO_SPLIT


def _abnormality(row: Listed) -> str:
    return row.abnormality or UNKNOWN


def _pathology(row: Listed) -> str:
    return row.pathology or UNKNOWN


def _density(row: Listed) -> str:
    return row.density or UNKNOWN


def _side(row: Listed) -> str:
    return row.laterality or UNKNOWN


def _view(row: Listed) -> str:
    return row.view.upper() if row.view else UNKNOWN


def _number(count: int) -> str:
    return f"{count:,}"
