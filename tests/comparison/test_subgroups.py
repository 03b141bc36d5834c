"""Subgroups of the test lesions: who belongs where, what is measured, and what is too few to be measured."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from toy_evaluations import make_evaluation

from mammofill.comparison import lesion_properties, subgroups_of_arms
from mammofill.evaluation import EvaluateSettings, Evaluation
from mammofill.ground.errors import SettingsError

FEW = EvaluateSettings(resamples=200)


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Evaluation]]:
    folder = tmp_path_factory.mktemp("arms")
    return {arm: [make_evaluation(folder / f"{arm}-{k}", arm, 1.0, seed=k) for k in range(2)] for arm in ("a", "b")}


def properties_of(arms: dict[str, list[Evaluation]], **columns: object) -> pd.DataFrame:
    """What is known of the lesions of the test set: nothing but these columns."""
    lesions = arms["a"][0].scores.drop_duplicates("lesion_ids")
    known = pd.DataFrame({"patient_id": lesions["patient_id"], "lesion_id": lesions["lesion_ids"]})
    known = known.assign(density=pd.NA, view=pd.NA, abnormality="mass", size=pd.NA, extent=np.nan).assign(**columns)
    return known.astype(dict.fromkeys(known.columns.drop("extent"), "string"))


def test_a_subgroup_is_measured_on_its_lesions_alone(arms: dict[str, list[Evaluation]]) -> None:
    lesions = arms["a"][0].scores.drop_duplicates("lesion_ids")["lesion_ids"].tolist()
    views = np.where(np.arange(len(lesions)) % 4 < 2, "CC", "MLO")
    table = subgroups_of_arms(arms, properties_of(arms, view=views), FEW, seed=0)
    assert table[["property", "subgroup", "arm"]].to_numpy().tolist() == [
        [name, words, arm]
        for name, words in (("all", "all lesions"), ("view", "CC"), ("view", "MLO"))
        for arm in ("a", "b")
    ], "all are masses, which makes no subgroups; no size is known"
    held = {lesion for lesion, view in zip(lesions, views, strict=True) if view == "CC"}
    aucs = []
    for one in arms["b"]:
        scores = one.scores[one.scores["lesion_ids"].isin(held)]
        by_lesion = scores.groupby("lesion_ids").agg(truth=("pathology", "first"), logit=("logit", "mean"))
        aucs.append(roc_auc_score(by_lesion["truth"] == "malignant", by_lesion["logit"]))
    row = table[(table["subgroup"] == "CC") & (table["arm"] == "b")].iloc[0]
    assert row["value"] == pytest.approx(np.mean(aucs))
    assert row["low"] < row["value"] < row["high"]
    assert row["benign_lesions"] + row["malignant_lesions"] == len(held)
    assert "p" not in table.columns


def test_with_too_few_patients_of_a_class_nothing_is_measured(arms: dict[str, list[Evaluation]]) -> None:
    malignant = (arms["a"][0].scores.drop_duplicates("lesion_ids")["pathology"] == "malignant").to_numpy(dtype=bool)
    rare = malignant & (np.cumsum(malignant) <= 4)
    table = subgroups_of_arms(arms, properties_of(arms, density=np.where(rare, "density 4", "density 2")), FEW, seed=0)
    few = table[table["subgroup"] == "density 4"]
    assert (few["malignant_lesions"] == 4).all()
    assert few[["value", "low", "high"]].isna().all(axis=None)
    assert table.loc[table["subgroup"] == "density 2", "value"].notna().all()


def test_a_patch_counts_for_each_of_its_lesions_in_their_own_subgroups(tmp_path: Path) -> None:
    one = make_evaluation(tmp_path / "a", "a", 1.0)
    one.scores.loc[0, "lesion_ids"] += " second"
    known = properties_of({"a": [make_evaluation(tmp_path / "same", "a", 1.0)]}, size="up to 10 mm")
    second = known.iloc[[0]].assign(lesion_id="second", size="over 20 mm")
    table = subgroups_of_arms({"a": [one]}, pd.concat([known, second]), FEW, seed=0)
    assert table["subgroup"].tolist() == ["all lesions", "up to 10 mm", "over 20 mm"]
    lesions = table["benign_lesions"] + table["malignant_lesions"]
    assert lesions.tolist() == [len(known) + 1, len(known), 1]


def test_what_the_size_alone_tells_stands_beside_the_arms(arms: dict[str, list[Evaluation]]) -> None:
    lesions = arms["a"][0].scores.drop_duplicates("lesion_ids")
    malignant = (lesions["pathology"] == "malignant").to_numpy(dtype=np.bool_)
    extent = np.random.default_rng(0).normal(10 + 3 * malignant, 3)
    table = subgroups_of_arms(arms, properties_of(arms, extent=extent), FEW, seed=0)
    row = table[table["arm"] == "size alone"].iloc[0]
    assert table["arm"].tolist() == ["a", "b", "size alone"]
    assert row["value"] == pytest.approx(roc_auc_score(malignant, extent))
    assert row["low"] < row["value"] < row["high"]
    extent[3] = np.nan
    table = subgroups_of_arms(arms, properties_of(arms, extent=extent), FEW, seed=0)
    assert "size alone" not in set(table["arm"]), "one size is not known"


@pytest.mark.parametrize(
    ("spacing_mm", "sizes"),
    [
        (0.1, ["up to 10 mm", "over 10, up to 20 mm", "over 20 mm"]),
        (np.nan, ["up to 200 pixels outlined", "up to 200 pixels outlined", "over 200 pixels outlined"]),
    ],
    ids=["millimetres", "no spacing"],
)
def test_sizes_are_millimetres_where_they_are_known(spacing_mm: float, sizes: list[str]) -> None:
    mammograms = pd.DataFrame({"mammogram_id": ["m"], "view": ["cc"], "density": ["3"], "spacing_mm": [spacing_mm]})
    lesions = pd.DataFrame(
        {
            "lesion_id": ["small", "middle", "large"],
            "mammogram_id": "m",
            "patient_id": "p",
            "abnormality": "mass",
            "height": [100, 200, 150],
            "width": [50, 60, 201],
            "area_px": [100, 200, 300],
        }
    )
    known = lesion_properties([SimpleNamespace(mammograms=mammograms, lesions=lesions)])  # type: ignore[list-item]
    assert known["size"].tolist() == sizes
    assert set(known["view"]) == {"CC"}
    assert set(known["density"]) == {"density 3"}


def crops_with(*areas: str | None) -> SimpleNamespace:
    """Crops of lesions whose attributes tell their true size, and whose outlines are all alike."""
    mammograms = pd.DataFrame({"mammogram_id": ["m"], "view": ["cc"], "density": ["3"], "spacing_mm": [np.nan]})
    lesions = pd.DataFrame({"lesion_id": [f"l{k}" for k in range(len(areas))], "mammogram_id": "m", "patient_id": "p"})
    attributes = [json.dumps({"shape": "oval"} | ({"area": area} if area else {})) for area in areas]
    lesions = lesions.assign(abnormality="mass", height=9, width=9, area_px=81, attributes=attributes)
    return SimpleNamespace(mammograms=mammograms, lesions=lesions, folder="crops")


def test_the_true_size_of_a_crop_is_an_attribute() -> None:
    known = lesion_properties([crops_with("400", "90.5", "1000", None)], "area")  # type: ignore[list-item]
    assert known["extent"].tolist()[:3] == [400.0, 90.5, 1000.0]
    assert known["size"].fillna("?").tolist() == ["up to 400 area", "up to 400 area", "over 400 area", "?"]


@pytest.mark.parametrize(
    ("attribute", "areas", "words"),
    [
        ("aera", ("400",), "size_attribute is 'aera', but no lesion in crops has .*; there are: area, shape"),
        ("area", ("400", "large"), "of lesion l1 of patient p in crops it is 'large', which is no number"),
    ],
)
def test_a_size_that_is_no_number_is_refused(attribute: str, areas: tuple[str, ...], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        lesion_properties([crops_with(*areas)], attribute)  # type: ignore[list-item]


def test_nothing_known_makes_no_subgroups(arms: dict[str, list[Evaluation]]) -> None:
    assert subgroups_of_arms(arms, lesion_properties([]), FEW, seed=0).empty
