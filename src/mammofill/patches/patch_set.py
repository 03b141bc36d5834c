"""PatchSet: patches with their masks and their table, in Parquet shards that other programs can read.

On disk::

    patches-00000.parquet, patches-00001.parquet, ...
        one row per patch: the columns of `PATCH_COLUMNS`, then `image`, `mask` and `breast` as PNG bytes
        (Hugging Face `Image` structs, so that `datasets.load_dataset("parquet", ...)` shows pictures)
    dropped.parquet      counts of what was considered and not kept: reason, split, count

Images are 16-bit gray (0..65535, bright = dense), or 8-bit where a stage was asked for it; masks are 8-bit gray,
255 = lesion (or filled); `breast` is 8-bit gray, 255 = breast, as opposed to film or air.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mammofill.ground.artifact import Artifact
from mammofill.ground.errors import DamagedError, TooFewError
from mammofill.ground.imaging import FULL_RANGE, Mask, StoredImage, decode_png, encode_png

PATCH_COLUMNS = {
    "patch_id": "string",
    "patient_id": "string",  # of a synthetic patch: the patient whose tissue it was filled into
    "mammogram_id": "string",
    "top": "int64",  # box in the mammogram, at the working resolution
    "left": "int64",
    "height": "int64",
    "width": "int64",
    "pathology": "string",  # normal / benign / malignant; of a synthetic patch: the requested pathology
    "abnormality": "string",  # of the lesion inside, or missing
    "lesion_ids": "string",  # lesions inside, separated by spaces; empty for a normal patch
    "breast_share": "float64",  # share of the window that breast covers
    "split": "string",
    "origin": "string",  # real / synthetic
    # For synthetic patches only; missing in real ones.
    "context_patch_id": "string",
    "mask_donor_patch_id": "string",
    "mask_donor_patient_id": "string",
    "seed": "Int64",  # the seed of this very patch
    "infiller": "string",  # fingerprint of the infiller
}

_PICTURES = ("image", "mask", "breast")
_ROWS_PER_GROUP = 64
_IMAGE_STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_ARROW_TYPES = {"string": pa.string(), "int64": pa.int64(), "Int64": pa.int64(), "float64": pa.float64()}
_HF_TYPES = {"string": "string", "int64": "int64", "Int64": "int64", "float64": "float64"}


class PatchSet(Artifact):
    """Patches with masks and their table. See the module for the folder."""

    kind: ClassVar[str] = "patches"

    @cached_property
    def shards(self) -> list[Path]:
        """Return the shard files, in order."""
        return sorted(self.folder.glob("patches-*.parquet"))

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per patch, columns of `PATCH_COLUMNS`, index 0..N-1; no pixel is read for it."""
        columns = list(PATCH_COLUMNS)
        tables = [pq.read_table(shard, columns=columns) for shard in self.shards]
        if not tables:
            return empty_table()
        table: pd.DataFrame = pa.concat_tables(tables).to_pandas().astype(PATCH_COLUMNS)
        return table

    @cached_property
    def dropped(self) -> pd.DataFrame:
        """Counts of what was considered and not kept: reason, split, count."""
        return pd.read_parquet(self.folder / "dropped.parquet")

    @cached_property
    def size_px(self) -> int:
        """Side of the (square) patches, read from the first one."""
        if not len(self.table):
            raise TooFewError(f"{self.folder} holds no patches. Make it again with settings that keep some.")
        _, (image,) = next(self._decoded(np.zeros(1, np.int64), ["image"]))
        return int(image.shape[0])

    def rows(self, **values: str | Iterable[str]) -> NDArray[np.int64]:
        """Return the row numbers whose columns have the given values.

        Args:
            values: column name = value, or several allowed values, for example ``split="train"``,
                ``pathology=("benign", "malignant")``.

        Returns:
            (n,) int64, ascending.
        """
        chosen = np.ones(len(self.table), dtype=bool)
        for column, value in values.items():
            allowed = [value] if isinstance(value, str) else list(value)
            chosen &= self.table[column].isin(allowed).to_numpy()
        return np.flatnonzero(chosen)

    def pixels(self, rows: Sequence[int] | NDArray[np.int64]) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
        """Decode the images and masks of some patches.

        Args:
            rows: row numbers in `table`, in any order.

        Returns:
            images (n, H, W) uint16 over 0..65535 and masks (n, H, W) bool, in the order asked for.

        Raises:
            DamagedError: an image cannot be decoded.
        """
        rows = np.asarray(rows, dtype=np.int64)
        images = np.empty((len(rows), self.size_px, self.size_px), np.uint16)
        masks = np.empty((len(rows), self.size_px, self.size_px), np.bool_)
        for place, (image, mask) in self._decoded(rows, ["image", "mask"]):
            images[place] = widen(image)
            masks[place] = mask > 0
        return images, masks

    def masks(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.bool_]:
        """Decode the masks alone of some patches.

        Args:
            rows: row numbers in `table`, in any order.

        Returns:
            (n, H, W) bool, in the order asked for.

        Raises:
            DamagedError: a mask cannot be decoded.
        """
        return self._masks_in("mask", rows)

    def breasts(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.bool_]:
        """Decode where breast is in some patches.

        Args:
            rows: row numbers in `table`, in any order.

        Returns:
            (n, H, W) bool, in the order asked for.

        Raises:
            DamagedError: a picture cannot be decoded.
        """
        return self._masks_in("breast", rows)

    def _masks_in(self, column: str, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.bool_]:
        rows = np.asarray(rows, dtype=np.int64)
        masks = np.empty((len(rows), self.size_px, self.size_px), np.bool_)
        for place, (mask,) in self._decoded(rows, [column]):
            masks[place] = mask > 0
        return masks

    @cached_property
    def _shard_lengths(self) -> list[int]:
        return [pq.read_metadata(shard).num_rows for shard in self.shards]

    def _decoded(self, rows: NDArray[np.int64], columns: list[str]) -> Iterator[tuple[int, list[NDArray[Any]]]]:
        """Yield the place in `rows` and the decoded pictures of each; each row group is read once."""
        starts = np.cumsum([0, *self._shard_lengths])
        shard_of = np.searchsorted(starts, rows, side="right") - 1
        for shard_number in np.unique(shard_of):
            shard = self.shards[shard_number]
            file = pq.ParquetFile(shard)
            places = np.flatnonzero(shard_of == shard_number)
            inside = rows[places] - starts[shard_number]
            bounds = np.cumsum([0, *(file.metadata.row_group(k).num_rows for k in range(file.num_row_groups))])
            group_of = np.searchsorted(bounds, inside, side="right") - 1
            for group in np.unique(group_of):
                table = file.read_row_group(int(group), columns=[*columns, "patch_id"])
                pictures = [table[column].combine_chunks().field("bytes") for column in columns]
                for k in np.flatnonzero(group_of == group):
                    row = int(inside[k] - bounds[group])
                    try:
                        yield int(places[k]), [decode_png(column[row].as_py()) for column in pictures]
                    except ValueError as error:
                        patch_id = table["patch_id"][row].as_py()
                        raise DamagedError(f"{shard}: patch {patch_id} cannot be decoded ({error}).") from error


def widen(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Bring decoded pixels to the full 16-bit range: 8-bit values times 257, 16-bit ones as they are."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint16) * np.uint16(FULL_RANGE // 255)
    return pixels.astype(np.uint16, copy=False)


def empty_table() -> pd.DataFrame:
    """Return a patch table without rows, with the right columns and types."""
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in PATCH_COLUMNS.items()})


def write_shard(
    path: Path,
    table: Iterable[Mapping[str, Any]],
    images: Iterable[StoredImage],
    masks: Iterable[Mask],
    breasts: Iterable[Mask],
    bits: int = 16,
) -> int:
    """Write one shard, under a temporary name until it is whole.

    Args:
        path: ``<folder>/patches-<number>.parquet``.
        table: one mapping per patch with the keys of `PATCH_COLUMNS`; absent keys become missing values.
        images: the patches, (H, W) uint16 over 0..65535.
        masks: their masks, (H, W) bool.
        breasts: where breast is in them, (H, W) bool.
        bits: 16, or 8 to keep the upper half of each pixel only (a quarter of the space).

    Returns:
        The number of rows.
    """
    rows = list(table)
    columns: dict[str, pa.Array] = {
        name: pa.array([_value(row.get(name)) for row in rows], _ARROW_TYPES[kind])
        for name, kind in PATCH_COLUMNS.items()
    }
    columns["image"] = _as_pictures(narrow(image) if bits == 8 else encode_png(image) for image in images)
    columns["mask"] = _as_pictures(encode_png(mask) for mask in masks)
    columns["breast"] = _as_pictures(encode_png(breast) for breast in breasts)
    arrow = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(_hugging_face_features())})
    beside = path.with_name(path.name + ".tmp")
    # PNG is compressed already; dictionaries and compression would only cost time on those two columns.
    plain_columns = [*(f"{name}.{part}" for name in _PICTURES for part in ("bytes", "path"))]
    pq.write_table(
        arrow,
        beside,
        row_group_size=_ROWS_PER_GROUP,
        compression=dict.fromkeys(PATCH_COLUMNS, "zstd") | dict.fromkeys(plain_columns, "none"),
        use_dictionary=[name for name, kind in PATCH_COLUMNS.items() if kind == "string"],
    )
    beside.replace(path)
    return len(rows)


def narrow(image: StoredImage) -> bytes:
    """Encode an image in 8 bits, each value rounded to the nearest."""
    pixels = np.rint(image / (FULL_RANGE / 255)).astype(np.uint8)
    return encode_png(pixels)


def _value(value: Any) -> Any:
    return None if value is None or value is pd.NA or value != value else value  # NaN is not equal to itself


def _as_pictures(encoded: Iterable[bytes]) -> pa.Array:
    return pa.array([{"bytes": png, "path": None} for png in encoded], _IMAGE_STRUCT)


def _hugging_face_features() -> dict[str, Any]:
    features: dict[str, Any] = {
        name: {"dtype": _HF_TYPES[kind], "_type": "Value"} for name, kind in PATCH_COLUMNS.items()
    }
    return {"info": {"features": features | {name: {"_type": "Image"} for name in _PICTURES}}}
