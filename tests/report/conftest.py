from __future__ import annotations

from pathlib import Path

import pytest
from toy_study import SCRIPT, make_study

from mammofill.evaluation import Evaluation
from mammofill.report import Report, WriteReportSettings, write_report


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="session")
def evaluations(study: Path) -> list[Evaluation]:
    return make_study(study, {"shallow CNN": 0.0, SCRIPT: 0.05, "with generated patches": 2.5})


@pytest.fixture(scope="session")
def report(study: Path, evaluations: list[Evaluation]) -> Report:
    return write_report(evaluations, study / "report", WriteReportSettings(examples_per_kind=2))


@pytest.fixture(scope="session")
def page(report: Report) -> str:
    return report.page.read_text(encoding="utf-8")
