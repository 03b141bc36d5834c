"""The report of several arms over seeds: table 1, calls, where they look, the hardest patches, how to make it again."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from toy_study import make_evaluation, make_patches, patch_row

from mammofill.evaluation import CompareArmsSettings, Comparison, Evaluation, compare_arms
from mammofill.report import Report, write_report
from mammofill.report.comparisons import plain_replicates
from mammofill.report.tables import confusion_table

STUDY = """name = "toy"
[ingest]
source = "/somebody/secret/place/CBIS-DDSM"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("arms")


@pytest.fixture(scope="module")
def cells(folder: Path) -> list[Evaluation]:
    """Two arms of three seeds; the second looks elsewhere."""
    rows = [patch_row(k, kind, "test", patch_id=f"patch-{2 * k + (kind == 'benign')}")
            for kind in ("benign", "malignant") for k in range(20)]  # fmt: skip
    patches = make_patches(folder / "patches", rows[:-1], {})  # one patch is not found
    return [
        make_evaluation(folder / f"{arm}-{seed}", arm, skill, {"patches": patches}, noise=f"{arm}{seed}",
                        replicate=seed, looks_inside=inside)
        for arm, skill, inside in (("real only", 0.5, 0.3), ("generated", 1.5, 0.5))
        for seed in range(3)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def comparison(folder: Path, cells: list[Evaluation]) -> Comparison:
    return compare_arms(cells, folder / "comparison", CompareArmsSettings(resamples=200, curve_resamples=100))


@pytest.fixture(scope="module")
def report(folder: Path, cells: list[Evaluation], comparison: Comparison) -> Report:
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    return write_report(cells, folder / "report", comparisons=[comparison])


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return report.page.read_text(encoding="utf-8")


def test_table_1_holds_means_over_seeds(page: str, comparison: Comparison) -> None:
    assert "Means over 3 seeds" in page
    aucs = comparison.arms[comparison.arms["measure"] == "auc"]
    assert len(aucs) == 2
    for value in aucs["value"]:
        assert f"<td>{value:.3f}<span" in page.replace("\u2212", "-")


def test_calls_are_counted_and_averaged(cells: list[Evaluation], report: Report) -> None:
    table = confusion_table(plain_replicates(cells)).set_index("arm")
    arm = [one for one in cells if one.arm == "generated"]
    right = [int((one.called() & (one.scores["pathology"] == "malignant").to_numpy()).sum()) for one in arm]
    assert table.loc["generated", "malignant_called_malignant"] == pytest.approx(sum(right) / 3)
    assert table.loc["generated", "malignant_called_malignant":"malignant_called_benign"].sum() == 20
    assert (table["replicates"] == 3).all()
    assert len(pd.read_csv(report.folder / "confusion.csv")) == 2


def test_an_arm_that_looks_elsewhere_is_named(page: str, report: Report) -> None:
    table = pd.read_csv(report.folder / "attention.csv").set_index(["arm", "measure"])
    moved = table.loc[("generated", "energy_inside")]
    assert moved["shift"] == pytest.approx(0.2, abs=0.01)
    assert 0 < moved["shift_low"] < moved["shift"] < moved["shift_high"]
    assert moved["gain"] == pytest.approx(moved["value"] - 0.1)
    assert table.loc[("generated", "energy_ring"), "shift"] == pytest.approx(0)
    assert table.loc[("real only", "energy_inside")].isna()["shift"]
    assert "Shown to differ from real only in this: share of the map inside the lesion" in page
    assert "where a fill would have its seam: generated" not in page


def test_arms_that_look_alike_are_not_told_apart(tmp_path: Path) -> None:
    alike = [make_evaluation(tmp_path / arm, arm, 1.0, {}, noise="same", looks_inside=0.4) for arm in ("a", "b")]
    page = write_report(alike, tmp_path / "report").page.read_text(encoding="utf-8")
    assert "No arm was shown to look elsewhere than a" in page


def test_nobody_looked(tmp_path: Path) -> None:
    report = write_report([make_evaluation(tmp_path / "a", "a", 1.0, {})], tmp_path / "report")
    assert "Where the classifiers look" not in report.page.read_text(encoding="utf-8")
    assert not (report.folder / "attention.csv").exists()


def test_the_hardest_patches_are_shown_with_the_score_of_each_arm(page: str, comparison: Comparison) -> None:
    hardest = comparison.hardest
    first = hardest[hardest["rank"] == 1]
    assert f"<code>{first['patch_id'].iloc[0]}</code>" in page
    for arm, score in zip(first["arm"], first["score"], strict=True):
        assert f"<tr><td>{arm}</td><td>{score:.2f}</td></tr>" in page
    shown = hardest[hardest["rank"] <= 8]["patch_id"].unique()
    found = sum(name != "patch-38" for name in shown)
    assert page.count('alt="patch ') == found


def test_how_to_make_it_again(page: str, cells: list[Evaluation]) -> None:
    assert "mammofill run study.toml" in page
    assert "/somebody/secret" not in page
    assert "/CBIS-DDSM" in page
    assert cells[0].test_set in page


def test_tables_are_there_as_csv_and_latex(report: Report) -> None:
    for name in ("table1", "differences", "confusion", "attention", "comparison/arms", "comparison/hardest"):
        assert (report.folder / f"{name}.csv").is_file(), name
        latex = (report.folder / f"{name}.tex").read_text(encoding="utf-8")
        assert latex.startswith(("\\begin{tabular}", "\\begin{longtable}")), name
