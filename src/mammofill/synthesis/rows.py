"""The tables of synthetic patches; what a row takes from the patch that was filled, the lesion and the painter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mammofill.infilling import Infiller
from mammofill.patches import write_index

_PLACE = ("patient_id", "mammogram_id", "top", "left", "height", "width", "breast_share", "density", "split")


def synthetic_row(context: Mapping[Any, Any], donor: Mapping[Any, Any], infiller: Infiller) -> dict[str, Any]:
    """Return all columns of `patches.shards.PATCH_COLUMNS` but what was requested: patch_id, pathology, seed.

    Args:
        context: the row of the patch that was filled.
        donor: the row of the patch whose lesion lent its outline.
        infiller: who painted.
    """
    return {
        **{name: context[name] for name in _PLACE},
        "abnormality": donor["abnormality"],
        "lesion_ids": "",
        "origin": "synthetic",
        "context_patch_id": context["patch_id"],
        "context_pathology": context["pathology"],
        "mask_donor_patch_id": donor["patch_id"],
        "mask_donor_patient_id": donor["patient_id"],
        "infiller": infiller.fingerprint,
        "mask_is": infiller.mask_is,
        "hole_rule": str(infiller.hole),
        "begin_time": infiller.begin_time,
    }


def write_tables(folder: Path) -> None:
    """Write the table of a set of synthetic patches whose shards are all there, and that none was dropped."""
    write_index(folder)
    nothing = {"reason": pd.Series([], dtype="string"), "split": pd.Series([], dtype="string")}
    pd.DataFrame(nothing | {"count": pd.Series([], dtype="int64")}).to_parquet(folder / "dropped.parquet")
