from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammofill.ground.artifact import begin
from mammofill.ground.errors import SettingsError, TooFewError
from mammofill.patches import PatchSet, SelectPatchesSettings, select_patches, write_shard
from mammofill.patches.select import choose_patients


def make(folder: Path, patients: int = 8) -> PatchSet:
    rows = []
    for split in ("train", "test"):
        for patient in range(patients):
            worst = ("normal", "benign", "malignant")[patient % 3] if split == "train" else "benign"
            for number, pathology in enumerate(("normal", worst)):
                name = f"{split}-{patient}"
                box = {"top": 0, "left": 0, "height": 16, "width": 16, "breast_share": 1.0}
                rows.append(
                    box
                    | {"patch_id": f"{name}-{number}", "patient_id": name, "mammogram_id": name, "split": split}
                    | {"pathology": pathology, "origin": "real", "lesion_ids": "", "density": "2"}
                )
    pixels = [np.full((16, 16), number, np.uint16) for number in range(len(rows))]
    masks = [np.zeros((16, 16), bool)] * len(rows)
    settings = SelectPatchesSettings()
    with begin(folder, kind="patches", stage="toy", settings=settings, seed=0, inputs={}) as work:
        assert work is not None
        for number, part in enumerate((slice(0, 5), slice(5, None))):
            shard = work.folder / f"patches-{number:05d}.parquet"
            write_shard(shard, rows[part], pixels[part], masks[part], masks[part])
        pd.DataFrame({"reason": [], "split": [], "count": []}).to_parquet(work.folder / "dropped.parquet")
        work.finish({"patches": len(rows)})
    return PatchSet.open(folder)


def test_a_share_of_the_train_patients_is_kept_and_all_others_as_they_are(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole", patients=12)
    half = select_patches(whole, tmp_path / "half", SelectPatchesSettings(0.5), seed=1)
    assert half.table[half.table["split"] == "test"]["patch_id"].tolist() == [
        name for name in whole.table["patch_id"] if name.startswith("test")
    ]
    train = half.table[half.table["split"] == "train"]
    assert train["patient_id"].nunique() == 6
    assert train.groupby("pathology")["patient_id"].nunique().to_dict() == {"normal": 6, "benign": 2, "malignant": 2}
    # Rows keep their pixels.
    place = dict(zip(whole.table["patch_id"], range(len(whole.table)), strict=True))
    images, _ = half.pixels(np.arange(len(half.table)))
    assert images[:, 0, 0].tolist() == [place[name] for name in half.table["patch_id"]]


def test_a_share_and_the_others_are_all_patients_and_have_nobody_in_common(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole", patients=12)
    some = select_patches(whole, tmp_path / "some", SelectPatchesSettings(0.25), seed=1)
    others = select_patches(whole, tmp_path / "others", SelectPatchesSettings(0.25, others=True), seed=1)
    people = [set(one.table[one.table["split"] == "train"]["patient_id"]) for one in (some, others, whole)]
    assert not people[0] & people[1]
    assert people[0] | people[1] == people[2]
    assert len(people[0]) == 3
    with pytest.raises(SettingsError, match="others must be false where all patients are kept: there are no others"):
        SelectPatchesSettings(others=True)


def test_a_smaller_share_is_a_part_of_a_larger_one(tmp_path: Path) -> None:
    table = make(tmp_path / "whole", patients=30).table
    shares = [choose_patients(table, share, seed=5) for share in (0.25, 0.5, 1.0)]
    assert shares[0] < shares[1] < shares[2]
    assert len(shares[2]) == 30
    assert choose_patients(table, 0.25, seed=6) != shares[0]


def test_a_share_that_leaves_nobody(tmp_path: Path) -> None:
    table = make(tmp_path / "whole", patients=8).table
    with pytest.raises(
        TooFewError, match=r"A share of 0.1 of the 2 malignant patients of the train split is 0 patients"
    ):
        choose_patients(table, 0.1, seed=0)


def test_parts_of_a_share_have_nobody_in_common_and_make_up_all(tmp_path: Path) -> None:
    table = make(tmp_path / "whole", patients=30).table
    parts = [choose_patients(table, 0.25, 5, (part,)) for part in range(4)]
    assert parts[0] == choose_patients(table, 0.25, 5)
    assert set().union(*parts) == choose_patients(table, 1.0, 5)
    assert sum(map(len, parts)) == 30
    assert {len(part) for part in parts} <= {6, 7, 8, 9}
    assert choose_patients(table, 0.25, 5, (1, 3)) == parts[1] | parts[3]


@pytest.mark.parametrize("parts", [(), (0, 0), (4,), (-1,)])
def test_parts_that_are_not_there_are_refused(parts: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError, match=r"parts must be different numbers from 0 to 3, as patients_share is 0\.25"):
        SelectPatchesSettings(0.25, parts)


def test_others_without_a_class_are_refused(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole", patients=8)  # two of them malignant
    with pytest.raises(TooFewError, match=r"that are kept have no malignant lesion. Change patients_share or parts"):
        select_patches(whole, tmp_path / "others", SelectPatchesSettings(0.8, others=True))
