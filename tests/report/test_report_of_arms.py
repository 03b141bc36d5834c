"""The report of several arms over seeds: table 1, calls, where they look, the hardest patches, how to make it again."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pandas as pd
import pytest
from toy_study import make_evaluation, make_mammograms, make_patches, patch_row

from mammofill.comparison import CompareArmsSettings, Comparison, compare_arms
from mammofill.comparison.plan import write_plan
from mammofill.evaluation import Evaluation
from mammofill.ground.errors import ArtifactError
from mammofill.report import Report, write_report
from mammofill.report.compared import read_comparison
from mammofill.report.compared_figures import figures_over_doses, forest_plot, reliability_figure
from mammofill.report.comparisons import (
    _against_margin,
    lines_of_findings,
    measures_over_seeds,
    plain_replicates,
)
from mammofill.report.figures import ForestRow, draw_forest
from mammofill.report.first_screen import near_chance, question
from mammofill.report.lineage import find_lineage, mammograms_tested_on
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
    write_plan(folder / "plans", {"arms": {"real only": "3 classifiers", "generated": "3 infillers"}}, 0)
    return write_report(cells, folder / "report", comparisons=[comparison])


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return report.page.read_text(encoding="utf-8")


def test_table_1_holds_means_over_seeds(page: str, comparison: Comparison) -> None:
    assert "Means over the trainings of each arm, from all patients. In brackets" in page, "these arms have no doses"
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
    assert "Not tested: whether b looks elsewhere than a. An arm was trained once" in page


def test_seeds_of_one_arm_are_not_shown_to_look_elsewhere(tmp_path: Path) -> None:
    """Two groups of seeds of one and the same arm: patients alone would tell them apart, since seeds are far apart."""
    inside = (0.3, 0.4, 0.5, 0.35, 0.45, 0.55)
    arms = [
        make_evaluation(tmp_path / f"{k}", "ab"[k // 3], 1.0, {}, noise=f"{k}", replicate=k, looks_inside=much)
        for k, much in enumerate(inside)
    ]
    report = write_report(arms, tmp_path / "report")
    page = report.page.read_text(encoding="utf-8")
    assert "No arm was shown to look elsewhere than a" in page
    row = pd.read_csv(report.folder / "attention.csv").query("measure == 'energy_inside' and arm == 'b'").iloc[0]
    assert row["shift"] == pytest.approx(0.05, abs=0.01)
    assert row["shift_high"] - row["shift_low"] > 0.1, "seeds are in the interval"
    assert row["shift_is_tested"]


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


def test_a_comparison_of_arms_that_are_not_shown_is_refused(
    tmp_path: Path, folder: Path, cells: list[Evaluation], comparison: Comparison
) -> None:
    some = [one for one in cells if one.arm == "real only"]
    missing = ", ".join(str(folder / f"generated-{seed}") for seed in range(3))
    told = (
        rf"comparison compares generated, of which no evaluation is in this report. Give their evaluations as well "
        rf"\({re.escape(missing)}\), or leave the comparison out."
    )
    with pytest.raises(ArtifactError, match=told):
        write_report(some, tmp_path / "report", comparisons=[comparison])
    assert not list(tmp_path.iterdir())


def test_a_study_file_that_was_not_run_is_not_said_to_make_it_again(tmp_path: Path) -> None:
    one = make_evaluation(tmp_path / "evaluations" / "a", "a", 1.0, {})
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")  # as `init` leaves it
    words = "The stages were run one by one, by no study file; their settings and seeds stand below."
    page = write_report([one], tmp_path / "report").page.read_text(encoding="utf-8")
    assert words in page
    assert "mammofill run study.toml" not in page
    write_plan(tmp_path / "plans", {"arms": {"another": "1 classifiers"}}, 0)
    page = write_report([one], tmp_path / "report-2").page.read_text(encoding="utf-8")
    assert words in page, "a study was run here, but this arm is not of it"


def test_tables_are_there_as_csv_and_latex(report: Report) -> None:
    shown = [f"comparison/shown_{name}" for name in ("arms", "comparisons", "calibration", "hardest")]
    for name in (
        "table1",
        "comparison/differences",
        "confusion",
        "attention",
        "comparison/arms",
        "comparison/hardest",
        *shown,
    ):
        assert (report.folder / f"{name}.csv").is_file(), name
        latex = (report.folder / f"{name}.tex").read_text(encoding="utf-8")
        assert latex.startswith(("\\begin{tabular}", "\\begin{longtable}")), name
        assert latex.isascii(), name  # or LaTeX would have to be told what the other letters are


def test_table_1_beside_the_page_is_that_of_the_page(report: Report, comparison: Comparison) -> None:
    table = pd.read_csv(report.folder / "table1.csv")
    ours = table[table["source"] == "this study"].set_index(["arm", "measure"])
    assert len(ours) == len(comparison.arms)
    for row in comparison.arms.to_dict("records"):
        found = ours.loc[(row["arm"], row["measure"])]
        assert found[["value", "low", "high"]].tolist() == pytest.approx(
            [row[name] for name in ("value", "low", "high")]
        )
        ranks = row["measure"].startswith(("auc", "pr_auc", "brier")) or "_at_" in row["measure"]
        assert found["threshold_rule"] == ("none" if ranks else "frozen")


def test_every_measure_is_shown_in_words_and_the_first_one_tested(report: Report) -> None:
    told = pd.read_csv(report.folder / "comparison/shown_comparisons.csv").set_index("measure")
    point = "recall at specificity 0.9 (threshold from the test set)"
    assert {"AUC by lesion", "AUC by patch", "AUC by patient", "PR-AUC", point, "Brier score"} <= set(told.index)
    assert list(told.index[told["p"].notna()]) == ["AUC by lesion"]
    assert list(told.index[told["verdict"].notna()]) == ["AUC by lesion"]
    full = pd.read_csv(report.folder / "comparison/differences.csv").set_index("measure")
    assert full.loc["auc", ["p_delong", "p_delong_clustered"]].notna().all()


def test_page_and_terminal_say_the_same(page: str, comparison: Comparison) -> None:
    words = " ".join(html.unescape(page).split())
    for line in lines_of_findings(comparison):
        assert " ".join(line.split()) in words


# ---- doses and shares -----------------------------------------------------------------------------------------------


def words_in(svg: bytes) -> set[str]:
    """What a drawing says: matplotlib writes each text into a comment beside its outlines."""
    return {words.strip() for words in re.findall(r"<!-- (.*?) -->", svg.decode(), re.DOTALL)}


@pytest.fixture(scope="module")
def grid(folder: Path) -> Comparison:
    """Five arms; four have the doses 0.5 and 1.5, which are as near to 1, and two shares."""
    cells = [
        make_evaluation(folder / f"grid-{arm}-{dose}-{share}", arm, 1.0, {}, dose=dose, real_share=share)
        for arm, doses in (("real", (None,)), *((name, (0.5, 1.5)) for name in ("a", "b", "c", "d")))
        for dose in doses
        for share in (0.5, 1.0)
        if share == 1 or dose != 1.5
    ]
    settings = CompareArmsSettings(resamples=100, curve_resamples=100, pairs=(("a", "b"),))
    return compare_arms(cells, folder / "grid", settings)


def test_of_two_doses_as_near_to_1_the_smaller_one_stands_for_the_arm(grid: Comparison) -> None:
    arms = grid.arms[(grid.arms["measure"] == "auc_by_lesion") & (grid.arms["real_share"] == 1)].set_index(
        ["arm", "dose"]
    )
    shown = dict(measures_over_seeds(grid))
    for arm in "abcd":
        assert shown[arm]["auc_by_lesion"].value == arms.loc[(arm, 0.5), "value"]
    assert {case.patch for case in read_comparison(grid, []).hardest}
    assert all(len(case.scores) == 5 for case in read_comparison(grid, []).hardest)


def test_an_arm_of_fewer_patients_stands_in_the_comparisons_and_beside_no_others(folder: Path) -> None:
    cells = [
        make_evaluation(folder / f"fewer-{arm}-{share}", arm, 1.0, {}, real_share=share)
        for arm, share in (("real", 1.0), ("real", 0.25), ("repeated & more", 0.25))
    ]
    compared = compare_arms(cells, folder / "fewer", CompareArmsSettings(resamples=100, curve_resamples=100))
    report = write_report(cells, folder / "fewer-report", comparisons=[compared])
    table = pd.read_csv(report.folder / "table1.csv")
    assert set(table.loc[table["source"] == "this study", "arm"]) == {"real"}
    page = " ".join(report.page.read_text(encoding="utf-8").split())
    assert "From fewer patients only, see the comparisons in full: repeated &amp; more." in page
    assert "3 classifiers in 2 arms" in page
    first = page[page.index('<h2 id="table1">') : page.index('<h2 id="comparison-1">')]
    assert '<th scope="row">real</th>' in first
    assert '<th scope="row">repeated' not in first


def test_fills_beside_the_answer_are_those_of_the_arm_that_it_speaks_of(folder: Path) -> None:
    real = make_patches(
        folder / "tissue", [patch_row(k, kind) for kind in ("benign", "malignant") for k in range(4)], {}
    )
    cells = []
    # The control's fills come first in the lineage.
    for arm, patient in (("copy-paste", "pasted"), ("painted", "painted"), ("real", None)):
        rows = [patch_row(k, kind, patch_id=f"{arm}-{kind}-{k}", patient_id=f"{patient}-{k}", origin="synthetic")
                for kind in ("benign", "malignant") for k in range(3)]  # fmt: skip
        sets = [real, make_patches(folder / f"fills-{arm}", rows, {"patches": real})] if patient else [real]
        cells += [
            make_evaluation(folder / f"led-{arm}-{seed}", arm, 1.0, {"patches": sets}, noise=f"{arm}{seed}",
                            dose=1.0 if patient else None, replicate=seed)
            for seed in range(2)
        ]  # fmt: skip
    settings = CompareArmsSettings(resamples=100, curve_resamples=100, reference="real", planned_arms=("painted",),
                                   counterparts=(("painted", "real"), ("copy-paste", "real")))  # fmt: skip
    compared = compare_arms(cells, folder / "led", settings)
    page = write_report(cells, folder / "led-report", comparisons=[compared]).page.read_text(encoding="utf-8")
    shown = re.findall(r'alt="fill, \w+ lesion [^"]*"', page)
    assert len(shown) == 6
    assert all("tissue of painted-" in alt for alt in shown)


def test_the_answer_is_the_verdict(comparison: Comparison) -> None:
    told = read_comparison(comparison, []).in_short
    verdict = comparison.differences.loc[comparison.differences["tested"], "verdict"].item()
    start = f"{verdict.capitalize()}: difference in AUC by lesion (95 % CI) "
    assert re.match(re.escape(start) + r"[+−]\S+ \[.*\], generated \(0\.\d+\) against real only \(0\.\d+\)\.", told)
    assert "not a finding" not in told


def told_against(margin: float, *rows: tuple[str, float, str, str]) -> str:
    """What the answer says against a margin, of arms with the share, and what was shown of each."""
    columns = ["arm", "real_share", "worth_less", "not_worse"]
    planned = pd.DataFrame(rows, columns=columns).assign(dose=1.0, margin=margin)
    return " ".join(_against_margin(planned))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [("flow", 1.0, "shown", "not shown"), ("flow", 0.25, "not shown", "not shown")],
            "That it gains less than 0.02: shown of flow, dose 1; not shown of the others. "
            "That it loses less than 0.02: not shown.",
        ),
        (
            [("flow", 1.0, "shown", "shown")],
            "That it gains less than 0.02: shown. That it loses less than 0.02: shown.",
        ),
        ([("flow", 1.0, "", "")], ""),
    ],
)
def test_the_answer_says_what_was_shown_against_the_margin(rows: list[tuple[str, float, str, str]], words: str) -> None:
    assert told_against(0.02, *rows) == words


def test_each_figure_of_many_arms_tells_them_apart(grid: Comparison) -> None:
    forest, reliability = forest_plot(grid), reliability_figure(grid)
    assert forest is not None
    assert reliability is not None
    over = {one.heading: one for one in figures_over_doses(grid)}
    assert list(over) == [
        "AUC by lesion, against the dose",
        "AUC by lesion, against the share of the patients that was learned from",
    ]
    for figure in (reliability, *over.values()):
        assert {"a", "b", "c", "d"} <= words_in(figure.content), figure.heading
        assert all(f"{arm}: " in figure.alt for arm in "abcd"), figure.heading
    assert "right of 0 the arm has the higher one. Line: 95 % confidence interval (CI) over" in forest.note
    assert {"a, dose 0.5 against real", "a, dose 0.5 against b"} <= words_in(forest.content)
    assert re.search(r"a, dose 0\.5 against b: 0\.000;", forest.alt), "of the very same scores there is no interval"
    dose = words_in(over["AUC by lesion, against the dose"].content)
    assert {"0", "0.5", "1.5", "real, for comparison"} <= dose  # what no dose at all gives


def test_shares_that_are_halved_again_and_again_stand_apart(folder: Path) -> None:
    """At a linear scale the labels of an eighth and a quarter stood one over the other."""
    shares = (0.125, 0.25, 1.0)
    cells = [
        make_evaluation(folder / f"eighths-{arm}-{share}", arm, 1.0, {}, dose=dose, real_share=share)
        for arm, dose in (("real", None), ("fills", 1.0))
        for share in shares
    ]
    settings = CompareArmsSettings(resamples=100, curve_resamples=100, reference="real", measures=("auc",))
    (figure,) = figures_over_doses(compare_arms(cells, folder / "eighths", settings))
    drawn = figure.content.decode()
    places = [re.search(rf"<!-- {share:g} -->\s*<g[^>]*translate\(([\d.]+)", drawn) for share in shares]
    eighth, quarter, whole = (float(place[1]) for place in places if place)
    assert quarter - eighth > 25, "points; a label of 0.125 is some 22 wide"
    assert whole - quarter > quarter - eighth


def test_each_arm_stands_beside_the_one_that_it_is_compared_with(folder: Path) -> None:
    """All stood beside the reference, and the words below said that they were compared with it."""
    cells = [
        make_evaluation(folder / f"two-{arm}-{share}", arm, 1.0, {}, dose=dose, real_share=share)
        for arm, dose in (("small", None), ("small + fills", 1.0), ("large", None), ("large + fills", 1.0))
        for share in (0.5, 1.0)
    ]
    settings = CompareArmsSettings(
        resamples=100, curve_resamples=100, reference="small", measures=("auc",),
        counterparts=(("small + fills", "small"), ("large + fills", "large")),
    )  # fmt: skip
    told = list(figures_over_doses(compare_arms(cells, folder / "two", settings)))
    shown = {one.heading.rpartition(", beside ")[2]: one for one in told}
    assert set(shown) == {"small", "large"}
    for arm, one in shown.items():
        assert f"Gray and dotted: {arm}, which it is compared with" in one.note
        assert f"{arm} + fills: " in one.alt
        assert {f"{arm} + fills", f"{arm}, for comparison"} <= words_in(one.content)
    assert "small + fills" not in shown["large"].alt


def test_no_table_of_the_page_is_wider_than_paper(grid: Comparison) -> None:
    sheets = read_comparison(grid, []).sheets
    assert max(len(sheet.columns) for sheet in sheets) <= 10
    of_arms = [sheet for sheet in sheets if sheet.caption.startswith("Every arm")]
    assert all(sheet.columns[0] == "arm" and len(sheet.rows) == 14 for sheet in of_arms)
    shown = [name for sheet in of_arms for name in sheet.columns if name not in ("arm", "dose", "share of patients")]
    assert {"AUC by lesion", "PR-AUC", "Brier score"} <= set(shown)
    assert len(shown) == len(set(shown)) + shown.count("classifiers") - 1, "each measure once"


def test_a_forest_plot_says_what_its_colours_and_marks_mean(comparison: Comparison) -> None:
    forest = forest_plot(comparison)
    assert forest is not None
    assert "Blue: a difference is shown (p below 0.05 after Holm's correction). Dark gray: none" in forest.note
    assert "light ticks: true differences that 80 % of such studies would show." in forest.note


def test_what_nobody_asked_for_is_not_in_the_forest_plot(tmp_path: Path) -> None:
    """An arm of another network is told in the tables, and does not stand beside the answer."""
    arms = [make_evaluation(tmp_path / name, name, 1.0, {}, noise=name) for name in ("real", "generated", "other")]
    settings = CompareArmsSettings(resamples=100, curve_resamples=100, counterparts=(("generated", "real"),))
    compared = compare_arms(arms, tmp_path / "comparison", settings)
    forest = forest_plot(compared)
    assert forest is not None
    assert "generated against real: " in forest.alt
    assert "other" not in forest.alt


def test_bands_are_told_to_be_of_patients_alone(page: str, comparison: Comparison) -> None:
    """Beside them stand intervals of areas, which are over training, too."""
    assert set(comparison.arms["training"]) == {"classifier seeds"}
    words = "CI at each point, over patients alone; intervals of areas also include variation between trainings."
    assert " ".join(page.split()).count(words) == 2


def test_the_one_roc_is_in_the_unit_of_the_primary_measure(page: str, comparison: Comparison) -> None:
    (alt,) = re.findall(r'alt="(ROC curves[^"]*)"', page)
    assert alt.startswith("ROC curves by lesion. ")
    for row in comparison.arms[comparison.arms["measure"] == "auc_by_lesion"].itertuples():
        assert f"{row.arm}: AUC {row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" in alt
    assert "threshold" not in alt, "thresholds are of patches"


def test_the_first_screen_asks_answers_and_shows(page: str) -> None:
    places = [page.index(words) for words in ("<h1>Which arm", 'id="answer"', 'id="forest"', 'id="not-tested"', "<nav")]
    assert places == sorted(places)
    assert page.count("Differences in AUC by lesion") == 1


def test_a_comparison_that_was_not_tested_is_not_called_tested(tmp_path: Path, comparison: Comparison) -> None:
    assert "Tested comparisons" in dict(read_comparison(comparison, []).said)
    arms = [make_evaluation(tmp_path / arm, arm, 1.0, {}, noise=arm) for arm in ("a", "b")]
    once = compare_arms(arms, tmp_path / "comparison", CompareArmsSettings(resamples=100, curve_resamples=100))
    headings = dict(read_comparison(once, []).said)
    assert "Comparisons, none of them tested" in headings
    assert not any(words.startswith("Planned") for words in headings), "no plan was written down"
    assert not any(words.startswith("Tested") for words in headings)


def test_arms_that_cannot_be_told_from_chance_are_named(tmp_path: Path) -> None:
    arms = [
        make_evaluation(tmp_path / arm, arm, skill, {}, noise=arm) for arm, skill in (("chance", 0.0), ("skill", 4.0))
    ]
    settings = CompareArmsSettings(resamples=100, curve_resamples=100)
    told = near_chance(compare_arms(arms, tmp_path / "comparison", settings))
    assert told == "Not distinguishable from chance, because the 95 % CI of the AUC by lesion includes 0.5: chance."
    skilled = [arms[1], make_evaluation(tmp_path / "other", "other", 4.0, {}, noise="other")]
    assert near_chance(compare_arms(skilled, tmp_path / "skilled", settings)) == ""
    assert near_chance(None) == ""
    by_error = CompareArmsSettings(measures=("brier",), resamples=100, curve_resamples=100)
    assert near_chance(compare_arms(arms, tmp_path / "brier", by_error)) == ""


def test_what_was_not_tested_is_said(page: str) -> None:
    for words in ("no margin was stated", "there is no external test set", "human readers"):
        assert words in page
    assert "no infiller was judged" not in page, "no arm learned from fills here"


@pytest.mark.parametrize(
    ("added", "words"),
    [
        (("", "generated"), "Do generated lesions help"),
        (("generated", "generated"), "Which arm tells"),
        (("", "repeated"), "Do repeated lesions help"),
    ],
)
def test_the_question_is_what_compared_arms_differ_in(
    added: tuple[str, str], words: str, cells: list[Evaluation], comparison: Comparison
) -> None:
    arms = plain_replicates(cells)
    for arm, what in zip(("real only", "generated"), added, strict=True):
        arms[arm] = [replace_facts(arms[arm][0], added=what)]
    assert question(arms, comparison).startswith(words)


def replace_facts(evaluation: Evaluation, **facts: str) -> Evaluation:
    other = Evaluation.open(evaluation.folder)
    other.facts.update(facts)
    return other


def test_an_uncorrected_interval_alone_shows_nothing(tmp_path: Path) -> None:
    """Of five arms one lies a little apart: its interval leaves out zero, but not after the correction."""
    arms = [
        make_evaluation(
            tmp_path / f"{arm}-{k}", arm, 1.0, {}, noise=f"{arm}{k}", replicate=k,
            looks_inside=0.4 + 0.014 * (arm == "b0") + 0.002 * (k - 1),
        )
        for arm in ("a", "b0", "b1", "b2", "b3")
        for k in range(3)
    ]  # fmt: skip
    report = write_report(arms, tmp_path / "report")
    shifts = pd.read_csv(report.folder / "attention.csv").query("measure == 'energy_inside'").dropna(subset="shift")
    assert ((shifts["shift_low"] > 0) | (shifts["shift_high"] < 0)).any()
    page = report.page.read_text(encoding="utf-8")
    assert "No arm was shown to look elsewhere than a" in page
    assert "after Bonferroni&#39;s correction for 12 comparisons" in page


def test_maps_of_different_networks_are_not_compared(tmp_path: Path) -> None:
    arms = [
        make_evaluation(tmp_path / "a", "a", 1.0, {}, looks_inside=0.3),
        make_evaluation(tmp_path / "b", "b", 1.0, {}, looks_inside=0.6, label="ResNet-50, random start"),
    ]
    page = write_report(arms, tmp_path / "report").page.read_text(encoding="utf-8")
    assert "since maps of another network have another resolution: b." in page
    assert "Shown to differ from" not in page


def test_one_training_each_is_told_as_no_finding(tmp_path: Path) -> None:
    arms = [make_evaluation(tmp_path / arm, arm, 1.0, {}, noise=arm) for arm in ("a", "b")]
    settings = CompareArmsSettings(resamples=100, curve_resamples=100)
    comparison = compare_arms(arms, tmp_path / "comparison", settings)
    start = "Not a finding (one training each): difference in AUC by lesion (95 % CI) "
    answer = re.escape(start) + r"[+−]0\.\d+ \[.*\], b \(0\.\d+\) against a \(0\.\d+\)\."
    assert re.fullmatch(answer, read_comparison(comparison, []).in_short)
    forest = forest_plot(comparison)
    assert forest is not None
    assert "over patients, of one training each" in forest.note
    assert "p =" not in forest.alt
    assert " p " not in forest.note


@pytest.mark.parametrize("shown", [True, False])
def test_a_difference_stands_out_in_colour_only_where_it_was_shown(shown: bool) -> None:
    """The interval of one comparison leaves out zero here; whether that is enough the correction decides."""
    row = ForestRow("arm", "+0.050 [+0.010, +0.090]", 0.05, 0.01, 0.09, 0.06, shown)
    svg = draw_forest([row], "difference in AUC").decode()
    assert ("#0072b2" in svg) == shown


def test_subgroups_are_told_with_intervals_and_without_a_verdict(tmp_path: Path) -> None:
    mammograms = make_mammograms(tmp_path / "mammograms")
    patches = make_patches(tmp_path / "patches", [patch_row(0, "normal")], {"mammograms": mammograms})
    one = make_evaluation(tmp_path / "a", "a", 1.0, {"patches": patches})
    report = write_report([one], tmp_path / "report")
    table = pd.read_csv(report.folder / "subgroups.csv")
    assert table["arm"].tolist() == ["a", "size alone"] * 5
    table = table[table["arm"] == "a"].set_index("subgroup")
    assert list(table.index) == ["all lesions", "CC", "MLO", "up to 10 mm", "over 20 mm"]
    page = report.page.read_text(encoding="utf-8")
    row = table.loc["CC"]
    numbers = f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    assert f"<td>{numbers}</td>" in page.replace("\u00a0", " ")
    assert "<td>too few</td>" in page  # lesions over 20 mm
    assert page.count('id="subgroups"') == 1


def test_only_what_the_test_patches_were_cut_from_tells_of_test_lesions(tmp_path: Path) -> None:
    """An infiller's own mammograms may have patients and lesions of the same names."""
    sets = {
        name: make_mammograms(tmp_path / name / "mammograms", spacing_mm=spacing)
        for name, spacing in (("tested", 0.1), ("learned from", 0.2))
    }
    (patches, others) = (
        make_patches(tmp_path / name / "patches", [patch_row(number, "normal")], {"mammograms": one})
        for number, (name, one) in enumerate(sets.items())
    )
    one = make_evaluation(tmp_path / "a", "a", 1.0, {"patches": patches, "windows": others})
    assert len(find_lineage([one]).of_kind("mammograms")) == 2
    assert [known.folder for known in mammograms_tested_on([one])] == [sets["tested"].folder]
