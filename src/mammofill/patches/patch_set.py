"""PatchSet: patches with their masks and their table, read from the files that `patches.shards` writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mammofill.ground.artifact import Artifact
from mammofill.ground.counting import counted
from mammofill.ground.errors import DamagedError, SettingsError, TooFewError, did_you_mean
from mammofill.ground.imaging import decode_png
from mammofill.ground.parquet import read_parquet
from mammofill.mammograms.vocabulary import Origin, Pathology, Split
from mammofill.patches.shards import PATCH_COLUMNS, read_index, shards_of, widen

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WORDS = {"split": Split, "pathology": Pathology, "origin": Origin}
"""Columns that know these words only."""
Rows = Sequence[int] | NDArray[np.int64] | NDArray[np.bool_]
"""Which patches of a set: row numbers in its table; or one bool for each patch, as conditions on the table give them,
true where it is wanted."""

_OPEN_FILES = 64


class PatchSet(Artifact):
    """Square windows of mammograms, or fills painted into them, with lesion masks and a table of what each is.

    ``table`` has a row for each patch: patient, split, pathology, origin and so on (`PATCH_COLUMNS`). Rows are chosen
    with ``rows``, decoded with ``pixels`` and looked at with ``show``::

        patches = PatchSet.open("patches")
        chosen = patches.rows(split="train", pathology="malignant")
        images, masks = patches.pixels(chosen)  # (n, H, W) uint16 over 0..65535, and bool
        patches.show(chosen[:12])

    Images are bright where tissue is dense. Pictures are read only when they are needed. See `patches.shards` for the
    files.
    """

    kind: ClassVar[str] = "patches"

    def strip(self) -> list[NDArray[Any]]:
        """Return the first patches of each class, (H, W) uint16, at most eight."""
        rows = [row for name in Pathology for row in self.rows(pathology=str(name))[: 8 // len(Pathology)]]
        return list(self.pixels(rows)[0]) if rows else []

    def show(self, rows: Rows | None = None) -> Figure:
        """Draw some patches with the outlines of their lesions, as a matplotlib figure.

        Args:
            rows: row numbers in `table`; the first six of each class where None.

        Raises:
            TooFewError: there are none.
        """
        from mammofill.patches.show import draw_patches

        rows = self._first(6) if rows is None else self._numbers_of(rows)
        if not len(rows):
            raise TooFewError(f"{self.folder}: no rows were given to show.")
        images, masks = self.pixels(rows)
        table = self.table.iloc[rows]
        words = zip(table["origin"], table["pathology"], table["patient_id"], strict=True)
        return draw_patches(images, masks, [f"{'generated ' * (origin == 'synthetic')}{pathology}\n{patient}"
                                            for origin, pathology, patient in words])  # fmt: skip

    def show_fills(self, before: PatchSet, rows: Rows | None = None) -> Figure:
        """Draw fills beside the tissue that they were painted into: before, after, and what was changed.

        Args:
            before: the patches that they were made from.
            rows: row numbers in `table`, all synthetic; the first of each class where None.

        Raises:
            TooFewError: there are none, or the tissue of one is not among `before`.
        """
        from mammofill.patches.show import draw_rows

        rows = self._first(3, origin="synthetic") if rows is None else self._numbers_of(rows)
        table = self.table.iloc[rows]
        place_of = {name: place for place, name in enumerate(before.table["patch_id"])}
        lost = [name for name in table["context_patch_id"] if name not in place_of]
        if lost or not len(rows):
            found = f"the tissue {lost[0]!r} of a fill is not in {before.folder}" if lost else "there are no fills"
            raise TooFewError(f"{self.folder}: {found}. Give the patches from which these fills were made.")
        old, _ = before.pixels([place_of[name] for name in table["context_patch_id"]])
        new, masks = self.pixels(rows)
        change = [two.astype(np.int32) - one for one, two in zip(old, new, strict=True)]
        return draw_rows(
            list(zip(old, new, change, strict=True)),
            list(masks),
            list(table["pathology"]),
            ("before", "after", "change"),
        )

    def _first(self, count: int, **values: str) -> NDArray[np.int64]:
        """Return the first rows of each class."""
        return np.concatenate([self.rows(pathology=str(name), **values)[:count] for name in Pathology])

    @cached_property
    def shards(self) -> list[Path]:
        """Return the shard files, in order."""
        return shards_of(self.folder)

    @cached_property
    def _index(self) -> pd.DataFrame:
        """The table and the column `shard`; of a set made elsewhere without one, gathered from the shards."""
        return read_index(self.folder)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per patch, columns of `PATCH_COLUMNS`, index 0..N-1; no pixel is read for it."""
        return self._index[list(PATCH_COLUMNS)]

    @property
    def shard_of_rows(self) -> NDArray[np.int64]:
        """(N,) number of the file that each patch is in."""
        return self._index["shard"].to_numpy(dtype=np.int64)

    @cached_property
    def dropped(self) -> pd.DataFrame:
        """Counts of what was considered and not kept: reason, split, count."""
        return read_parquet(self.folder / "dropped.parquet")

    @cached_property
    def size_px(self) -> int:
        """Side of the (square) patches, in pixels, read from the first one.

        Raises:
            TooFewError: the set holds no patches.
        """
        if not len(self.table):
            raise TooFewError(f"{self.folder} holds no patches. Make it again with settings that keep some.")
        _, (image,) = next(self._decoded(np.zeros(1, np.int64), ["image"]))
        return int(image.shape[0])

    @property
    def _side(self) -> int:
        """Side of the patches; 0 in a set without patches."""
        return self.size_px if len(self.table) else 0

    def rows(self, **values: str | Iterable[str]) -> NDArray[np.int64]:
        """Return the row numbers whose columns have the given values.

        Args:
            values: column name = value, or several allowed values, for example ``split="train"``,
                ``pathology=("benign", "malignant")``.

        Returns:
            (n,) int64, ascending.

        Raises:
            SettingsError: there is no such column, or no such split, pathology or origin.
        """
        self._check_words(values)
        chosen = np.ones(len(self.table), dtype=bool)
        for column, value in values.items():
            allowed = [value] if isinstance(value, str) else list(value)
            chosen &= self.table[column].isin(allowed).to_numpy()
        return np.flatnonzero(chosen)

    def _check_words(self, values: Mapping[str, str | Iterable[str]]) -> None:
        """Refuse columns that are not there, and words that no set uses, which would silently select nothing."""
        for column, value in values.items():
            if column not in self.table:
                meant = did_you_mean(column, PATCH_COLUMNS)
                raise SettingsError(
                    f"{self.folder} has no column {column!r}.{meant} There are: {', '.join(map(str, self.table))}."
                )
            known = [str(word) for word in _WORDS.get(column, ())]
            for word in [value] if isinstance(value, str) else list(value):
                if known and word not in known:
                    counts = self.table[column].value_counts()
                    there = ", ".join(f"{one} ({counted(int(counts.get(one, 0)), 'patches')})" for one in known)
                    raise SettingsError(
                        f"{self.folder}: there is no {column} {word!r}.{did_you_mean(word, known)} There are: {there}."
                    )

    def pixels(self, rows: Rows) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
        """Decode the images and masks of some patches.

        Args:
            rows: row numbers in `table`, in any order, or one bool for each patch, see `Rows`.

        Returns:
            images (n, H, W) uint16 over 0..65535 and masks (n, H, W) bool, in the given order.

        Raises:
            SettingsError: there is no such row, or `rows` are no row numbers.
            DamagedError: an image cannot be decoded.
        """
        rows = self._numbers_of(rows)
        images = np.empty((len(rows), self._side, self._side), np.uint16)
        masks = np.empty((len(rows), self._side, self._side), np.bool_)
        for place, (image, mask) in self._decoded(rows, ["image", "mask"]):
            images[place] = widen(image)
            masks[place] = mask > 0
        return images, masks

    def masks(self, rows: Rows) -> NDArray[np.bool_]:
        """Decode the masks alone of some patches.

        Args:
            rows: row numbers in `table`, in any order.

        Returns:
            (n, H, W) bool, in the given order.

        Raises:
            DamagedError: a mask cannot be decoded.
        """
        return self._masks_in("mask", rows)

    def breasts(self, rows: Rows) -> NDArray[np.bool_]:
        """Decode where breast is in some patches.

        Args:
            rows: row numbers in `table`, in any order.

        Returns:
            (n, H, W) bool, in the given order.

        Raises:
            DamagedError: a picture cannot be decoded.
        """
        return self._masks_in("breast", rows)

    def holes(self, rows: Rows) -> NDArray[np.bool_]:
        """Decode what a painter may have changed in some synthetic patches.

        Args:
            rows: row numbers in `table`, in any order; all of origin ``synthetic``.

        Returns:
            (n, H, W) bool, in the given order.

        Raises:
            DamagedError: a picture is not there, as in real patches, or cannot be decoded.
        """
        return self._masks_in("hole", rows)

    def _masks_in(self, column: str, rows: Rows) -> NDArray[np.bool_]:
        rows = self._numbers_of(rows)
        masks = np.empty((len(rows), self._side, self._side), np.bool_)
        for place, (mask,) in self._decoded(rows, [column]):
            masks[place] = mask > 0
        return masks

    def _numbers_of(self, rows: Rows) -> NDArray[np.int64]:
        """Return the requested row numbers, after checking that the set has them."""
        given, count = np.asarray(rows), len(self.table)
        kind = pd.api.types.infer_dtype(given) if given.ndim == 1 else "nested"
        if kind == "boolean" and len(given) == count:
            return np.flatnonzero(given)
        if kind == "empty" or not given.size:
            return np.empty(0, np.int64)
        if kind != "integer":
            raise SettingsError(
                f"{self.folder}: rows must be a list of row numbers, or one bool for each of its "
                f"{counted(count, 'patches')}, but are "
                f"{f'{len(given)} bools' if kind == 'boolean' else f'of another kind ({kind})'}, first "
                f"{given.flat[0]!s}. PatchSet.rows returns row numbers."
            )
        outside = given[(given < 0) | (given >= count)]
        if outside.size:
            raise SettingsError(
                f"{self.folder} has no row {outside[0]}: it has {counted(count, 'patches')}, counted from 0."
            )
        return given.astype(np.int64)

    @cached_property
    def _shard_lengths(self) -> NDArray[np.int64]:
        return np.bincount(self._index["shard"].to_numpy(), minlength=len(self.shards))

    def stream(
        self, rows: Rows, random: np.random.Generator, *, groups: int = 8
    ) -> Iterator[tuple[int, NDArray[np.uint16], NDArray[np.bool_]]]:
        """Decode some patches once each, in random order, without holding more than a few of them.

        Row groups (of 64 patches) are drawn at random, some at a time, and the patches of those are shuffled. Several
        processes share a set by taking different rows.

        Args:
            rows: row numbers in `table`.
            random: decides the order.
            groups: row groups held at a time, still encoded: more shuffle better and take more memory (about 8 MB
                each, for 256 px and 16 bits).

        Yields:
            The row, its image (H, W) uint16 over 0..65535, and its mask (H, W) bool.

        Raises:
            DamagedError: an image cannot be decoded.
        """
        parts = list(self._by_group(self._numbers_of(rows)))
        order = random.permutation(len(parts))
        for first in range(0, len(parts), groups):
            held = [
                (row, encoded)
                for k in order[first : first + groups]
                for row, encoded in self._encoded(parts[k], ["image", "mask"])
            ]
            for k in random.permutation(len(held)):
                row, encoded = held[k]
                image, mask = self._decode(row, encoded)
                yield row, widen(image), mask > 0

    def load(self, rows: Rows) -> PatchesInMemory:
        """Decode some patches once and keep them; see `pixels` for the errors."""
        rows = self._numbers_of(rows)
        return PatchesInMemory(rows, *self.pixels(rows))

    def _decoded(self, rows: NDArray[np.int64], columns: list[str]) -> Iterator[tuple[int, list[NDArray[Any]]]]:
        """Yield the place in `rows` and the decoded pictures of each; each row group is read once."""
        places: dict[int, list[int]] = {}
        for place, row in enumerate(rows.tolist()):
            places.setdefault(row, []).append(place)
        for part in self._by_group(np.array(sorted(places), np.int64)):
            for row, encoded in self._encoded(part, columns):
                pictures = self._decode(row, encoded)
                for place in places[row]:
                    yield place, pictures

    def _by_group(self, rows: NDArray[np.int64]) -> Iterator[_Part]:
        """Sort rows by the row group that they are in."""
        starts = np.cumsum([0, *self._shard_lengths])
        rows = np.sort(rows)
        shard_of = np.searchsorted(starts, rows, side="right") - 1
        # Groups have the same number of rows in every shard that `write_shard` wrote; others say it in their footer.
        for shard, of_shard in _runs(shard_of):
            inside = rows[of_shard] - starts[shard]
            bounds = self._group_bounds(shard)
            for group, of_group in _runs(np.searchsorted(bounds, inside, side="right") - 1):
                numbers = inside[of_group]
                yield _Part(shard, group, numbers + starts[shard], numbers - bounds[group])

    def _group_bounds(self, shard: int) -> NDArray[np.int64]:
        metadata = self._file(shard).metadata
        return np.cumsum([0, *(metadata.row_group(k).num_rows for k in range(metadata.num_row_groups))])

    def _encoded(self, part: _Part, columns: list[str]) -> list[tuple[int, list[pa.Buffer]]]:
        """Read one row group; return rows and their pictures as PNG, in the order of `columns`.

        Raises:
            DamagedError: a picture is not there.
        """
        table = self._file(part.shard).read_row_group(part.group, columns=[f"{name}.bytes" for name in columns])
        nothing = pa.nulls(len(table), pa.binary())
        pictures = [
            table[name].combine_chunks().field("bytes") if name in table.column_names else nothing for name in columns
        ]
        found = [
            (int(row), [column[int(place)].as_buffer() for column in pictures])
            for row, place in zip(part.rows, part.places, strict=True)
        ]
        for row, encoded in found:
            if any(one is None for one in encoded):
                facts = self._index.iloc[row]
                raise DamagedError(
                    f"{self.shards[part.shard]}: the patch {facts['patch_id']}, whose origin is {facts['origin']}, "
                    f"lacks one of these pictures: {', '.join(columns)}."
                )
        return found

    def _decode(self, row: int, encoded: list[pa.Buffer]) -> list[NDArray[Any]]:
        try:
            return [decode_png(memoryview(one)) for one in encoded]
        except ValueError as error:
            facts = self._index.iloc[row]
            raise DamagedError(
                f"{self.shards[facts['shard']]}: patch {facts['patch_id']} cannot be decoded ({error})."
            ) from error

    def _file(self, shard: int) -> pq.ParquetFile:
        """Open a shard; the last few stay open."""
        files = self._open_files
        if shard not in files:
            while len(files) >= _OPEN_FILES:
                files.pop(next(iter(files))).close()
            files[shard] = pq.ParquetFile(self.shards[shard], memory_map=True)
        return files[shard]

    @cached_property
    def _open_files(self) -> dict[int, pq.ParquetFile]:
        return {}


def _runs(ascending: NDArray[np.int64]) -> Iterator[tuple[int, slice]]:
    """Yield each of some ascending numbers once, with its places."""
    numbers, first = np.unique(ascending, return_index=True)
    for number, (start, stop) in zip(numbers, pairwise([*first, len(ascending)]), strict=True):
        yield int(number), slice(int(start), int(stop))


@dataclass(frozen=True)
class _Part:
    """Some rows of one row group."""

    shard: int
    group: int
    rows: NDArray[np.int64]
    """In the whole set."""
    places: NDArray[np.int64]
    """In the group."""


@dataclass(frozen=True)
class PatchesInMemory:
    """Some patches of a set, decoded."""

    rows: NDArray[np.int64]
    """(n,) their rows in the set's table."""
    images: NDArray[np.uint16]
    """(n, H, W) over 0..65535."""
    masks: NDArray[np.bool_]
    """(n, H, W)."""

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
        """Return the images and masks at some positions in 0..len - 1, in the given order."""
        return self.images[positions], self.masks[positions]
