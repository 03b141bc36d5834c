"""A study of crops: nothing but crops, whose lesions are painted over."""

from __future__ import annotations

from pathlib import Path

import pytest

from mammofill.experiment.study import Study, read_study
from mammofill.ground.errors import SourceError
from mammofill.pairing.hole import HoleSettings

STUDY = """
[ingest]
collection = "table"
source = "table.csv"
attributes = "attributes.csv"

[extract-patches]
whole = true
size_px = 64

[pair-patches]
contexts = "lesion"

[infillers.flow]
preset = "flow-small"
hole.share = 0.3
hole.rim_px = 3

[infillers.copy-paste]
preset = "copy-paste"
hole.share = 0.3
hole.rim_px = 3
feather_px = 1

[[arms]]
name = "real"

[[arms]]
name = "flow"
synthetic = "flow"
"""
FOLDS = "[grid]\nfolds = 3\n"
EXTERNAL = """
[external]
name = "official test"
collection = "table"
source = "held-out.csv"
attributes = "attributes.csv"
"""


def study(folder: Path, text: str) -> Study:
    for name in ("table.csv", "held-out.csv", "attributes.csv"):
        (folder / name).write_text("image,mask,patient,pathology\n")
    (folder / "study.toml").write_text(text)
    return read_study(folder / "study.toml")


def test_pairs_are_made_from_lesions_in_holes_with_a_rim(tmp_path: Path) -> None:
    found = study(tmp_path, STUDY + FOLDS)
    steps = {step.stage.name: step for step in found.steps}
    assert steps["ingest"].inputs == {"source": (tmp_path / "table.csv",), "attributes": (tmp_path / "attributes.csv",)}
    assert steps["extract-patches"].settings.whole is True
    assert steps["pair-patches"].settings.contexts == "lesion"
    assert steps["pair-patches"].settings.hole == HoleSettings("ellipse", 0.3, 2.0, 3)
    assert sum(step.stage.name == "ingest" for step in found.steps) == 3, "once in each fold"


def test_held_out_crops_are_an_external_source_of_the_same_form(tmp_path: Path) -> None:
    found = study(tmp_path, STUDY + EXTERNAL)
    external = next(step for step in found.steps if step.out == Path("external/mammograms"))
    assert external.inputs == {"source": (tmp_path / "held-out.csv",), "attributes": (tmp_path / "attributes.csv",)}
    assert any(step.out == Path("comparison-external") for step in found.steps)


def test_a_table_of_attributes_that_is_not_there_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"study.toml \[ingest\]: .*nothing.csv does not exist"):
        study(tmp_path, STUDY.replace("attributes.csv", "nothing.csv"))
