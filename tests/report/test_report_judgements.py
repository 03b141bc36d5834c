from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy_study import make

from mammofill.evaluation import Evaluation
from mammofill.ground.imaging import encode_png
from mammofill.judging import Judgement
from mammofill.judging.judgement import MEASURE_COLUMNS
from mammofill.report import write_report
from mammofill.report.judgements import read_judgement

NAME = "copy & <b>paste</b>"


def a_row(subject: str, criterion: str, measure: str, value: float, **more: object) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(MEASURE_COLUMNS, "")
    row |= {"subject": subject, "criterion": criterion, "measure": measure, "value": value}
    return row | {"low": np.nan, "high": np.nan, "cases": 40, "patients": 12, "words": "What it is."} | more


@pytest.fixture(scope="module")
def judgement(tmp_path_factory: pytest.TempPathFactory) -> Judgement:
    rows = [
        a_row(NAME, "class", "malignant above benign", 0.93, low=0.88, high=0.97, wanted=">= 0.90", verdict="reached",
              remark="the interval crosses the limit"),
        a_row(NAME, "variety", "copies of training lesions", 3, wanted="= 0", verdict="not reached"),
        a_row(NAME, "seam", "AUC", np.nan, wanted="<= 0.60", verdict="cannot be judged", remark="only 3 of a kind"),
        a_row("real lesions", "class", "AUC", 0.8, low=0.7, high=0.9),
    ]  # fmt: skip
    facts = {
        "infillers": [{"name": NAME, "method": "copy-paste"}],
        "references": ["real lesions", "nothing painted"],
        "classifier": {"label": "Shallow CNN"},
        "split": "test",
        "confidence": 0.95,
    }
    picture = encode_png(np.full((20, 30), 90, np.uint8))
    files = {
        "measures.parquet": pd.DataFrame(rows).astype(MEASURE_COLUMNS),
        "judgement.json": json.dumps(facts),
        "contact_sheet.png": picture,
        "spectra.png": picture,
    }
    folder = tmp_path_factory.mktemp("judged") / "judgement"
    phantoms = make(folder.with_name("phantoms"), "phantoms", {}, {"drawn.txt": "by their law"})
    make(folder, "judgement", {"phantoms": phantoms}, files, infillers=1, pairs=20, real_lesions=15, patients=12)
    return Judgement.open(folder)


def test_a_judgement_in_plain_values(judgement: Judgement) -> None:
    shown = read_judgement(judgement)
    assert shown.columns == (NAME, "real lesions", "nothing painted")
    assert shown.reading == (
        f"{NAME} (copy-paste), of 3 criteria for its fills: 1 reached, 1 not reached, 0 open, 1 cannot be judged. "
        "Not reached: variety (copies of training lesions).",
    )
    cells = {row.measure: row.cells for _, rows in shown.criteria for row in rows}
    assert cells["malignant above benign"][0] == ("0.930", "[0.880, 0.970]", "reached")
    assert cells["copies of training lesions"][0] == ("3", "", "not reached")
    assert cells["AUC"] == (("none", "", "cannot be judged"), ("", "", ""), ("", "", ""))
    assert f"Only 3 of a kind: {NAME}, seam (AUC)." in shown.remarks
    assert "20 pairs of the test split" in shown.basis


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
    assert page.count(wanted) == 1
    painted = write_report(evaluations[2:], tmp_path / "painted", judgements=[judgement]).page.read_text("utf-8")
    assert "Real lesions and fills" in painted
    assert painted.count(wanted) == 2, "beside the fills of the first screen, and in full"
    assert '<strong class="not-reached">not reached</strong>' in page
    both = write_report(evaluations[:1], tmp_path / "both", judgements=[judgement, judgement])
    place = f"{judgement.folder.parent.name}/{judgement.folder.name}"
    assert f"Does the infiller paint lesions? ({place})" in both.page.read_text(encoding="utf-8")
    assert {"evaluations", "judgements"} == {record.role for record in report.manifest.inputs}
