"""The files of a patch set: Parquet shards that other programs can read, and the table beside them.

On disk::

    patches-00000.parquet, patches-00001.parquet, ...
        one row per patch: the columns of `PATCH_COLUMNS`, then `image`, `mask`, `breast` and `hole` as PNG bytes
        (Hugging Face `Image` structs, so that `datasets.load_dataset("parquet", ...)` shows pictures)
    table.parquet        the same rows without the pictures, and `shard`, the number of the file that each is in:
                         what opens at once, however many patches there are
    dropped.parquet      counts of what was considered and not kept: reason, split, count

Images are 16-bit gray (0..65535, bright = dense), or 8-bit where a stage's settings say so; masks are 8-bit gray, 255 =
lesion; `breast` is 8-bit gray, 255 = breast, as opposed to film or air; `hole`, of synthetic patches only, is 8-bit
gray, 255 = may have been changed by the painter.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mammofill.ground.imaging import FULL_RANGE, Mask, StoredImage, encode_png
from mammofill.ground.parquet import WITHOUT_THREADS

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
    "density": "string",  # of the breast, as the source of the mammogram gives it, or missing
    "attributes": "string",  # JSON of other facts on the lesion; missing without one, or with several
    "split": "string",
    "origin": "string",  # real / synthetic
    # For synthetic patches only; missing in real ones.
    "context_patch_id": "string",
    "context_pathology": "string",  # normal, or that of the lesion that was painted over
    "mask_donor_patch_id": "string",
    "mask_donor_patient_id": "string",
    "seed": "Int64",  # the seed of this very patch
    "infiller": "string",  # fingerprint of the infiller
    "mask_is": "string",  # lent (the donor's outline) or ellipse (of its moments, where the painter draws the outline)
    "hole_rule": "string",  # what was repainted for the mask, in words
    "begin_time": "float64",  # 1 where all was painted; below, a part of the patch's own lesion was kept
}
_LATER = ("density", "attributes", "context_pathology", "mask_is", "hole_rule", "begin_time")
"""Columns that sets made by earlier versions do not have."""

_PICTURES = ("image", "mask", "breast", "hole")
_ROWS_PER_GROUP = 64
_IMAGE_STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_ARROW_TYPES = {"string": pa.string(), "int64": pa.int64(), "Int64": pa.int64(), "float64": pa.float64()}
_HF_TYPES = {"string": "string", "int64": "int64", "Int64": "int64", "float64": "float64"}


def shards_of(folder: Path) -> list[Path]:
    """Return the shards of a set, in order."""
    return sorted(folder.glob("patches-*.parquet"))


def widen(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Bring decoded pixels to the full 16-bit range: 8-bit values times 257, 16-bit ones as they are."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint16) * np.uint16(FULL_RANGE // 255)
    return pixels.astype(np.uint16, copy=False)


def read_index(folder: Path) -> pd.DataFrame:
    """Read the table of a set, without reading a picture; of a set made elsewhere without one, gather it.

    Returns:
        The columns of `PATCH_COLUMNS`, and ``shard``, the number of the file that each row is in.
    """
    path = folder / "table.parquet"
    return _to_pandas(pq.read_table(path, **WITHOUT_THREADS)) if path.is_file() else _gathered(folder)


def write_index(folder: Path) -> pd.DataFrame:
    """Write ``table.parquet`` of a set whose shards are all there.

    Returns:
        What `read_index` does.
    """
    index = _gathered(folder)
    index.to_parquet(folder / "table.parquet", index=False)
    return index


def _gathered(folder: Path) -> pd.DataFrame:
    """Return the tables of all shards of a set, one after the other."""
    tables = []
    for number, shard in enumerate(shards_of(folder)):
        columns = [name for name in pq.read_schema(shard).names if name in PATCH_COLUMNS]
        table = pq.read_table(shard, columns=columns, **WITHOUT_THREADS)
        tables.append(table.append_column("shard", pa.array(np.full(len(table), number, np.int32))))
    if not tables:
        nothing = {name: pd.Series(dtype=kind) for name, kind in PATCH_COLUMNS.items()}
        return pd.DataFrame(nothing).assign(shard=pd.Series(dtype="int32"))
    return _to_pandas(pa.concat_tables(tables))


def write_dropped(folder: Path, counts: Mapping[tuple[str, str], int]) -> None:
    """Write ``dropped.parquet`` of a set: (reason, split) -> number of windows that were considered and not kept."""
    rows = [(reason, split, count) for (reason, split), count in sorted(counts.items())]
    table = pd.DataFrame(rows, columns=["reason", "split", "count"])
    kinds = {"reason": "string", "split": "string", "count": "int64"}
    table.astype(kinds).to_parquet(folder / "dropped.parquet", index=False)


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    kinds = {name: pd.Int64Dtype() if kind == "Int64" else kind for name, kind in PATCH_COLUMNS.items()}
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.string(): pd.StringDtype("pyarrow")}.get)
    for name in _LATER:
        if name not in frame:
            frame[name] = pd.Series(np.nan, frame.index, PATCH_COLUMNS[name])
    return frame.astype({name: kind for name, kind in kinds.items() if str(frame[name].dtype) != kind})


def write_shard(
    path: Path,
    table: Iterable[Mapping[str, Any]],
    images: Iterable[StoredImage | bytes],
    masks: Iterable[Mask | bytes],
    breasts: Iterable[Mask | bytes],
    bits: int = 16,
    holes: Iterable[Mask | bytes] | None = None,
) -> int:
    """Write one shard, under a temporary name until it is whole.

    Args:
        path: ``<folder>/patches-<number>.parquet``.
        table: one mapping per patch with the keys of `PATCH_COLUMNS`; absent keys become missing values.
        images: the patches, (H, W) uint16 over 0..65535; here and in the next two, bytes are PNG already.
        masks: their masks, (H, W) bool.
        breasts: where breast is in them, (H, W) bool.
        bits: 16, or 8 to keep the upper half of each pixel only (a quarter of the space).
        holes: what a painter may have changed in them, (H, W) bool; None for real patches.

    Returns:
        The number of rows.
    """
    rows = list(table)
    columns: dict[str, pa.Array] = {
        name: pa.array([_value(row.get(name)) for row in rows], _ARROW_TYPES[kind])
        for name, kind in PATCH_COLUMNS.items()
    }
    columns["image"] = _as_pictures(one if isinstance(one, bytes) else encode_patch(one, bits) for one in images)
    columns["mask"] = _as_pictures(one if isinstance(one, bytes) else encode_png(one) for one in masks)
    columns["breast"] = _as_pictures(one if isinstance(one, bytes) else encode_png(one) for one in breasts)
    painted = [None] * len(rows) if holes is None else holes
    columns["hole"] = _as_pictures(encode_png(one) if isinstance(one, np.ndarray) else one for one in painted)
    _write_table(path, pa.table(columns))
    return len(rows)


def write_part_of_shard(path: Path, shard: Path, kept: NDArray[np.bool_]) -> int:
    """Write some rows of a shard as a shard of another set; no picture is decoded.

    Args:
        path: ``<folder>/patches-<number>.parquet``.
        shard: the file to take from.
        kept: (rows of the shard,) which rows.

    Returns:
        The number of rows.
    """
    table = pq.read_table(shard, **WITHOUT_THREADS).filter(pa.array(kept))
    _write_table(path, table)
    return int(table.num_rows)


def _write_table(path: Path, table: pa.Table) -> None:
    table = table.replace_schema_metadata({"huggingface": json.dumps(_hugging_face_features())})
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    # PNG is compressed already; dictionaries and compression would only cost time on those columns.
    plain_columns = [*(f"{name}.{part}" for name in _PICTURES for part in ("bytes", "path"))]
    pq.write_table(
        table,
        beside,
        row_group_size=_ROWS_PER_GROUP,
        compression=dict.fromkeys(PATCH_COLUMNS, "zstd") | dict.fromkeys(plain_columns, "none"),
        use_dictionary=[name for name, kind in PATCH_COLUMNS.items() if kind == "string"],
        # Minimum and maximum of a group's pictures mean nothing, and take a third of the time to find.
        write_statistics=list(PATCH_COLUMNS),
    )
    beside.replace(path)


def encode_patch(image: StoredImage, bits: int = 16) -> bytes:
    """Encode a patch, (H, W) uint16 over 0..65535, as PNG of 16 bits, or of 8, each value rounded to the nearest."""
    return encode_png(image if bits == 16 else np.rint(image / (FULL_RANGE / 255)).astype(np.uint8))


def _value(value: Any) -> Any:
    return None if value is None or value is pd.NA or value != value else value  # NaN is not equal to itself


def _as_pictures(encoded: Iterable[bytes | None]) -> pa.Array:
    pictures = pa.array(list(encoded), pa.binary())
    names = pa.nulls(len(pictures), pa.string())
    return pa.StructArray.from_arrays([pictures, names], fields=list(_IMAGE_STRUCT), mask=pictures.is_null())


def _hugging_face_features() -> dict[str, Any]:
    features: dict[str, Any] = {
        name: {"dtype": _HF_TYPES[kind], "_type": "Value"} for name, kind in PATCH_COLUMNS.items()
    }
    return {"info": {"features": features | {name: {"_type": "Image"} for name in _PICTURES}}}
