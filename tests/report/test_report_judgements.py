from __future__ import annotations

from pathlib import Path

import pytest
from toy_study import make_judgement

from mammofill.evaluation import Evaluation
from mammofill.judging import Judgement
from mammofill.report import write_report
from mammofill.report.judgements import read_judgement

NAME = "copy & <b>paste</b>"


@pytest.fixture(scope="module")
def judgement(tmp_path_factory: pytest.TempPathFactory) -> Judgement:
    return make_judgement(tmp_path_factory.mktemp("judged") / "judgement", NAME)


def test_a_judgement_in_plain_values(judgement: Judgement) -> None:
    shown = read_judgement(judgement)
    assert shown.columns == (NAME, "real lesions", "nothing painted")
    assert shown.reading == (
        f"{NAME} (copy-paste), of 3 criteria for its fills: 1 reached, 1 not reached, 1 cannot be judged. "
        "Not reached: variety (copies of training lesions).",
    )
    cells = {row.measure: row.cells for _, rows in shown.criteria for row in rows}
    assert cells["malignant above benign"][0] == ("0.930", "[0.880, 0.970]", "reached")
    assert cells["copies of training lesions"][0] == ("3", "", "not reached")
    assert {row.wanted for _, rows in shown.criteria for row in rows} == {"≥\u00a00.90", "= 0", "≤\u00a00.60"}
    assert cells["AUC"] == (("none", "", "cannot be judged"), ("", "", ""), ("", "", ""))
    assert f"Only 3 of a kind: {NAME}, seam (AUC)." in shown.remarks
    assert "20 pairs of the test split" in shown.basis
    assert "In brackets: 95 % CI over patients." in shown.basis


def test_the_page_shows_it_only_where_there_is_one(
    judgement: Judgement, evaluations: list[Evaluation], tmp_path: Path
) -> None:
    without = write_report(evaluations[:1], tmp_path / "without").page.read_text(encoding="utf-8")
    assert "Does the infiller paint lesions?" not in without
    report = write_report(evaluations[:1], tmp_path / "with", judgements=[judgement])
    page = report.page.read_text(encoding="utf-8")
    assert page.count('<h2 id="judgement-1">Does the infiller paint lesions?</h2>') == 1
    assert "copy &amp; &lt;b&gt;paste&lt;/b&gt;" in page
    assert "<b>paste" not in page
    wanted = "of 3 criteria for its fills: 1 reached, 1 not reached"
    assert page.count(wanted) == 2, "the answer of a page of infillers, and in full"
    assert "<h1>Do infillers paint the lesions that they are asked for?</h1>" in page
    painted = write_report(evaluations[2:], tmp_path / "painted", judgements=[judgement]).page.read_text("utf-8")
    assert "Real lesions and fills" in painted
    assert "Do infillers paint" not in painted, "arms that learned from fills answer another question"
    assert painted.count(wanted) == 2, "beside the fills of the first screen, and in full"
    assert '<strong class="not-reached">not reached</strong>' in page
    both = write_report(evaluations[2:], tmp_path / "both", judgements=[judgement, judgement])
    place = f"{judgement.folder.parent.name}/{judgement.folder.name}"
    assert f"Does the infiller paint lesions? ({place})" in both.page.read_text(encoding="utf-8")
    together = (
        "(copy-paste), judged 2 times, of 3 criteria for its fills: 1 reached, 1 not reached, 1 cannot be judged."
    )
    named = "Not reached: variety (copies of training lesions) in 2."
    assert both.page.read_text(encoding="utf-8").count(together) == 1, "folds in one sentence on the first screen"
    assert both.page.read_text(encoding="utf-8").count(named) == 1
    assert {"evaluations", "judgements"} == {record.role for record in report.manifest.inputs}
