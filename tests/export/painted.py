"""Synthetic patches without a network: a bright disc in the middle of a patch, as a painter would leave it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mammofill.ground.artifact import Artifact, begin, read_manifest
from mammofill.ground.imaging import encode_png
from mammofill.infilling.settings import InfillerSettings
from mammofill.patches import ExtractPatchesSettings, PatchSet, write_index, write_shard
from mammofill.patches.shards import encode_patch

SIZE = 32


def infiller_like(out: Path, method: str) -> Artifact:
    """Make what stands at an infiller's place and says its method; nothing of it is opened where fills are exported."""
    settings = InfillerSettings(method=method)
    with begin(out, kind="infiller", stage="train-infiller", settings=settings, seed=0, inputs={}) as work:
        assert work is not None
        (work.folder / "network.json").write_text(f'{{"method": "{method}"}}', encoding="utf-8")
        work.finish({"benign": 1, "malignant": 1})
    return Artifact(out, read_manifest(out))


def painted(patches: PatchSet, rows: pd.Index, out: Path, bits: int = 16, infiller: Artifact | None = None) -> PatchSet:
    """Paint discs into patches, and keep them as `synthesize` does, by an infiller or by one that was lost."""
    inputs: dict[str, Artifact] = {"patches": patches} | ({"infiller": infiller} if infiller else {})
    place = np.hypot(*(np.indices((SIZE, SIZE)) - 15.5))
    mask, hole = place <= 5, place <= 9
    with begin(
        out, kind="patches", stage="synthesize", settings=ExtractPatchesSettings(), seed=0, inputs=inputs
    ) as work:
        assert work is not None
        made, images = [], []
        for number, row in enumerate(rows):
            (tissue,), _ = patches.pixels([row])
            bump = np.clip(1 - place / 9, 0, 1) * (9000 if number % 2 else 6000)
            images.append(encode_patch(np.clip(tissue + bump, 0, 65535).astype(np.uint16), bits))
            of_tissue = patches.table.iloc[row].to_dict()
            made.append(
                of_tissue
                | {
                    "patch_id": f"{of_tissue['patch_id']}-{number}",
                    "pathology": ("benign", "malignant")[number % 2],
                    "abnormality": "mass",
                    "origin": "synthetic",
                    "context_patch_id": of_tissue["patch_id"],
                    "mask_donor_patient_id": of_tissue["patient_id"],
                    "seed": number,
                    "infiller": infiller.manifest.fingerprint if infiller else "f" * 64,
                }
            )
        count = len(made)
        breast = encode_png(np.ones((SIZE, SIZE), np.bool_))
        write_shard(
            work.folder / "patches-00000.parquet",
            made,
            images,
            [encode_png(mask)] * count,
            [breast] * count,
            bits=bits,
            holes=[encode_png(hole)] * count,
        )
        write_index(work.folder)
        pd.DataFrame({"reason": [], "split": [], "count": []}).to_parquet(work.folder / "dropped.parquet")
        work.finish({"patches": count})
    return PatchSet.open(out)
