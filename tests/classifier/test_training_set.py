from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from toy_classifier import patch_row, synthetic_row

from mammofill.classifier.settings import TrainClassifierSettings
from mammofill.classifier.training_set import compose
from mammofill.ground.errors import SettingsError, TooFewError

REAL = [patch_row(number, "benign", "train") for number in range(6)]
REAL += [patch_row(number, "malignant", "train") for number in range(4)]
SYNTHETIC = [synthetic_row(number, ("benign", "malignant")[number % 2]) for number in range(20)]


def learned(seed: int = 0, **fields: Any) -> pd.DataFrame:
    settings = TrainClassifierSettings(network="shallow-cnn", weights="none", **fields)
    return compose(pd.DataFrame([*REAL, *SYNTHETIC]).astype({"pathology": "string"}), settings, seed)


def counts(table: pd.DataFrame) -> dict[tuple[str, str], int]:
    return table.groupby(["origin", "pathology"]).size().to_dict()


def test_without_a_dose_all_is_learned_from() -> None:
    assert learned()["patch_id"].tolist() == [row["patch_id"] for row in [*REAL, *SYNTHETIC]]


@pytest.mark.parametrize(("dose", "benign", "malignant"), [(0.5, 3, 2), (1.0, 6, 4), (1.5, 9, 6)])
def test_a_dose_is_so_many_for_each_real_one_of_its_class(dose: float, benign: int, malignant: int) -> None:
    found = counts(learned(dose=dose))
    assert found["synthetic", "benign"] == benign
    assert found["synthetic", "malignant"] == malignant
    assert found["real", "benign"] == 6


def test_a_smaller_dose_is_a_part_of_a_larger_one() -> None:
    small, large = (set(learned(dose=dose)["patch_id"]) for dose in (0.5, 1.5))
    assert small < large


def test_too_few_synthetic_patches_for_a_dose() -> None:
    with pytest.raises(TooFewError, match="asks for 12 synthetic benign patches, but the sets hold 10. Make more"):
        learned(dose=2.0)


@pytest.mark.parametrize(("repeats", "benign", "malignant"), [(0.5, 9, 6), (2.5, 21, 14)])
def test_repeats_have_the_counts_of_the_same_dose(repeats: float, benign: int, malignant: int) -> None:
    table = learned(repeats=repeats)
    found = counts(table[table["origin"] == "real"])
    assert found == {("real", "benign"): benign, ("real", "malignant"): malignant}
    times = table[table["origin"] == "real"]["patch_id"].value_counts()
    assert times.max() - times.min() <= 1
    assert learned(repeats=repeats, seed=1)["patch_id"].tolist() != table["patch_id"].tolist()


def test_flipped_labels_are_all_wrong_and_real_ones_are_left_alone() -> None:
    asked, flipped = learned(), learned(synthetic_labels="flipped")
    real = asked["origin"] == "real"
    assert (asked["pathology"] == flipped["pathology"]).tolist() == real.tolist()


def test_shuffled_labels_keep_their_counts() -> None:
    asked, shuffled = learned(), learned(synthetic_labels="shuffled")
    assert counts(asked) == counts(shuffled)
    wrong = (asked["pathology"] != shuffled["pathology"])[asked["origin"] == "synthetic"]
    assert 0 < wrong.sum() < len(wrong)


def test_synthetic_patches_alone() -> None:
    assert set(learned(real=False, dose=1.0)["origin"]) == {"synthetic"}
    with pytest.raises(SettingsError, match="repeats must be 0 where no real patch is learned from"):
        learned(real=False, repeats=1.0)


def test_classes_are_evened_by_synthetic_patches_as_far_as_they_go() -> None:
    """6 benign and 4 malignant real ones, 10 fills each: 4 + 4 of dose 1 make 8, which benign ones reach with 2."""
    found = counts(learned(dose=1.0, even_classes=True))
    assert (found["synthetic", "benign"], found["synthetic", "malignant"]) == (2, 4)
    without_dose = counts(learned(even_classes=True))
    assert (without_dose["synthetic", "benign"], without_dose["synthetic", "malignant"]) == (8, 10)


def test_a_small_dose_that_cannot_even_the_classes_gives_the_rarer_one_alone() -> None:
    found = counts(learned(dose=0.25, even_classes=True))
    assert ("synthetic", "benign") not in found
    assert found["synthetic", "malignant"] == 1


def test_a_dose_by_lesion_counts_lesions_and_not_windows() -> None:
    """Two windows of each of three benign lesions; malignant lesions have one window each."""
    real = [row | {"patient_id": f"train-{number // 2}"} for number, row in enumerate(REAL[:6])] + REAL[6:]
    table = pd.DataFrame([*real, *SYNTHETIC]).astype({"pathology": "string"})
    settings = TrainClassifierSettings(network="shallow-cnn", weights="none", dose=2.0, dose_by="lesion")
    found = counts(compose(table, settings, 0))
    assert (found["synthetic", "benign"], found["synthetic", "malignant"]) == (6, 8)
    repeated = counts(compose(table, TrainClassifierSettings(
        network="shallow-cnn", weights="none", repeats=1.0, dose_by="lesion"), 0))  # fmt: skip
    assert (repeated["real", "benign"], repeated["real", "malignant"]) == (6 + 3, 4 + 4)


def test_a_dose_by_lesion_of_patches_that_name_none_is_refused() -> None:
    table = pd.DataFrame([REAL[0] | {"lesion_ids": ""}, *REAL[1:], *SYNTHETIC]).astype({"pathology": "string"})
    settings = TrainClassifierSettings(network="shallow-cnn", weights="none", dose=1.0, dose_by="lesion")
    with pytest.raises(TooFewError, match=r"goes by lesion \(dose_by\), but patch patch-train-benign-0 does not say"):
        compose(table, settings, 0)
