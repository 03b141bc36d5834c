"""Windows of an infiller's own, to learn from in place of the patches that pairs are of."""

from __future__ import annotations

from pathlib import Path

import pytest
import toy_infilling as toy
from toy_infilling import SIZE_PX, World, tiny

from mammofill.ground.errors import ArtifactError, LeakError
from mammofill.infilling import train_infiller
from mammofill.patches import PatchSet


def windows(folder: Path, patients: int = 10, split: str = "train", size_px: int = SIZE_PX, first: int = 0) -> PatchSet:
    """Two windows of each lesion of some patients, as a finer stride cuts them."""
    rows = [
        toy.patch_row(number + again, pathology, split, patient_id=f"train-patient-{pathology}-{number}")
        for again in (100, 200)
        for number in range(first, first + patients)
        for pathology in ("benign", "malignant")
    ]
    return toy.make_patches(folder, rows, size_px=size_px)


def test_it_learns_from_its_windows_and_from_the_patients_that_train_alone(world: World, tmp_path: Path) -> None:
    own = windows(tmp_path / "windows")  # the patches have no malignant lesions of the patients 6 to 9
    infiller = train_infiller(world.patches, world.pairs, tmp_path / "infiller", tiny(), windows=own)
    table = world.patches.table
    trained = set(table["patient_id"][(table["split"] == "train") & (table["pathology"] != "normal")])
    assert infiller.manifest.counts["lesion_patches"] == 2 * len(trained)
    assert infiller.classes_learned == {"benign": 20, "malignant": 12}
    (record,) = infiller.manifest.patients_learned_from
    assert set(record.patients) == trained
    assert {one.role: one.fingerprint for one in infiller.manifest.inputs}["windows"] == own.fingerprint
    without = train_infiller(world.patches, world.pairs, tmp_path / "without", tiny(), seed=1)
    assert without.fingerprint == world.infiller.fingerprint
    assert infiller.fingerprint != without.fingerprint


def test_windows_of_another_size(world: World, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"windows in .* are 64 px wide, but the patches in .* 32 px. Extract both"):
        train_infiller(
            world.patches, world.pairs, tmp_path / "x", tiny(), windows=windows(tmp_path / "windows", size_px=64)
        )
    assert not (tmp_path / "x.partial").exists()


def test_a_patient_of_another_split(world: World, tmp_path: Path) -> None:
    rows = [toy.patch_row(number, "benign", patient_id="test-patient-benign-0") for number in range(2)]
    own = toy.make_patches(tmp_path / "windows", rows)
    words = r"Patient 'test-patient-benign-0' is in the train split of .*windows, but in the test split of .*patches"
    with pytest.raises(LeakError, match=words):
        train_infiller(world.patches, world.pairs, tmp_path / "x", tiny(), windows=own)
    assert not (tmp_path / "x.partial").exists()


def test_windows_of_nobody_who_trains(world: World, tmp_path: Path) -> None:
    own = windows(tmp_path / "windows", first=50)
    with pytest.raises(ArtifactError, match="No lesion patch in .*windows is of a patient of the train split of"):
        train_infiller(world.patches, world.pairs, tmp_path / "x", tiny(), windows=own)


@pytest.mark.parametrize("method", ["gan", "copy-paste", "texture"])
def test_methods_that_cannot_start_from_another_infiller_say_so(world: World, tmp_path: Path, method: str) -> None:
    from test_painters import SMALL

    with pytest.raises(ArtifactError, match=f"The method {method} cannot start from another infiller"):
        train_infiller(world.patches, world.pairs, tmp_path / "x", SMALL[method], start=world.infiller)
    assert not (tmp_path / "x.partial").exists()
