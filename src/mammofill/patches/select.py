"""The stage that keeps a share of the patients to learn from, and everyone else's patches as they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.artifact import begin
from mammofill.ground.errors import TooFewError
from mammofill.ground.progress import Progress, quiet
from mammofill.ground.seeding import stream
from mammofill.patches.patch_set import PatchSet
from mammofill.patches.settings import SelectPatchesSettings
from mammofill.patches.shards import write_index, write_part_of_shard

_WORST_FIRST = ("malignant", "benign", "normal")


def select_patches(
    patches: PatchSet,
    out: str | Path,
    settings: SelectPatchesSettings = SelectPatchesSettings(),
    *,
    seed: int = 0,
    progress: Progress = quiet,
) -> PatchSet:
    """Keep the patches of a share of the train split's patients, and all patches of the other splits.

    What is learned from the result (an infiller, synthetic patches, a classifier) then depends on these patients only,
    and shows how much so few patients are worth. The test split, on which it is judged, stays the same.

    Args:
        patches: real patches.
        out: folder of the smaller set.
        settings: the share.
        seed: decides which patients.
        progress: notified of each file.

    Returns:
        A patch set.

    Raises:
        TooFewError: a pathology that the train split has would be left without a patient.
    """
    kept_patients = choose_patients(patches.table, settings.patients_share, seed, settings.parts)
    train = (patches.table["split"] == "train").to_numpy(dtype=bool)
    if settings.others:
        kept_patients = set(patches.table["patient_id"][train].astype(str)) - kept_patients
    kept = ~train | patches.table["patient_id"].isin(kept_patients).to_numpy(dtype=bool)
    _check_pathologies(patches, train, kept)
    with begin(
        out, kind=PatchSet.kind, stage="select-patches", settings=settings, seed=seed, inputs={"patches": patches}
    ) as work:
        if work is not None:
            shard_of = patches.shard_of_rows
            with progress.task("keeping patches", len(patches.shards)) as task:
                for number, shard in enumerate(patches.shards):
                    write_part_of_shard(work.folder / shard.name, shard, kept[shard_of == number])
                    task.advance()
            write_index(work.folder)
            patches.dropped.to_parquet(work.folder / "dropped.parquet", index=False)
            counts = patches.table["pathology"][kept].value_counts()
            work.finish({
                "patches": int(kept.sum()),
                **{name: int(counts.get(name, 0)) for name in reversed(_WORST_FIRST)},
                "train_patients": len(kept_patients),
            })  # fmt: skip
    return PatchSet.open(out)


def _check_pathologies(patches: PatchSet, train: NDArray[np.bool_], kept: NDArray[np.bool_]) -> None:
    pathologies = patches.table["pathology"]
    lost = set(pathologies[train]) - set(pathologies[train & kept]) - {"normal"}
    if lost:
        raise TooFewError(
            f"The patients of the train split of {patches.folder} that are kept have no {min(lost)} lesion. Change "
            "patients_share or parts, so that both classes are left."
        )


def choose_patients(table: pd.DataFrame, share: float, seed: int, parts: Sequence[int] = (0,)) -> set[str]:
    """Choose a share of the train split's patients, in proportion of the worst pathology of their patches.

    Args:
        table: of a patch set.
        share: in (0, 1].
        seed: decides which patients; the smaller of two shares is a part of the larger.
        parts: which of the disjoint parts of that share are taken together.

    Raises:
        TooFewError: no patient with a benign, or none with a malignant lesion would be left.
    """
    train = table[table["split"] == "train"]
    rank = train["pathology"].map({name: place for place, name in enumerate(_WORST_FIRST)})
    worst = rank.groupby(train["patient_id"]).min()
    chosen: set[str] = set()
    for place, pathology in enumerate(_WORST_FIRST):
        patients = np.array(sorted(worst.index[worst == place].astype(str)))
        dealt = stream(seed, "patients", pathology).permutation(patients)
        for part in parts:
            taken = dealt[round(part * share * len(dealt)) : round((part + 1) * share * len(dealt))]
            if len(patients) and not len(taken) and pathology != "normal":
                raise TooFewError(
                    f"A share of {share:g} of the {len(patients)} {pathology} patients of the train split is 0 "
                    "patients. Keep a larger share."
                )
            chosen.update(taken.tolist())
    return chosen
