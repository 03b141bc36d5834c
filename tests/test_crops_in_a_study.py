"""A study of crops: nothing but crops, whose lesions are painted over."""

from __future__ import annotations

from pathlib import Path

import pytest

from mammofill.experiment import preflight
from mammofill.experiment.planned import content_of
from mammofill.experiment.study import Study, read_study
from mammofill.ground.errors import SettingsError, SourceError
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


def test_an_infiller_that_would_leave_a_ring_of_the_lesion_is_refused_before_anything_runs(tmp_path: Path) -> None:
    text = STUDY.replace('preset = "copy-paste"\nhole.share = 0.3', 'preset = "copy-paste"\nhole.share = 0.1')
    with pytest.raises(
        SettingsError, match=r"the infiller copy-paste repaints .* grown by 0.1 radii .* a ring of each"
    ):
        study(tmp_path, text)
    on_tissue = text.replace('contexts = "lesion"', 'contexts = "normal"')
    assert study(tmp_path, on_tissue).plan.settings["pair-patches"].hole.share == 0.3


def test_held_out_crops_are_an_external_source_of_the_same_form(tmp_path: Path) -> None:
    found = study(tmp_path, STUDY + EXTERNAL)
    external = next(step for step in found.steps if step.out == Path("external/mammograms"))
    assert external.inputs == {"source": (tmp_path / "held-out.csv",), "attributes": (tmp_path / "attributes.csv",)}
    assert any(step.out == Path("comparison-external") for step in found.steps)


def test_a_table_of_attributes_that_is_not_there_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"study.toml \[ingest\]: .*nothing.csv does not exist"):
        study(tmp_path, STUDY.replace("attributes.csv", "nothing.csv"))


PARTLY = """
[infillers.partly]
of = "flow"
sampling.begin_time = 0.5

[[arms]]
name = "repainted"
synthetic = "partly"
"""


def test_real_lesions_are_repainted_by_the_flow_of_the_same_patients(tmp_path: Path) -> None:
    grid = "[grid]\nfolds = 2\ninfillers = 2\ndoses = [1]\nreal_shares = [0.5, 1]\n[judge-infiller]\n"
    found = study(tmp_path, STUDY.replace("[infillers.flow]", "[infillers.flow]\nschedule.images = 80") + PARTLY + grid)
    steps = {step.out.as_posix(): step for step in found.steps}
    for place in ("folds/r0-f0", "folds/r0-f1/shares/0.5"):
        partly, flow = steps[f"{place}/infillers/partly_1"], steps[f"{place}/infillers/flow_1"]
        assert partly.inputs["start"] == (flow.out,)
        assert list(steps).index(flow.out.as_posix()) < list(steps).index(partly.out.as_posix())
        assert (partly.settings.schedule.images, flow.settings.schedule.images) == (0, 80)
        assert (partly.settings.begin_time, flow.settings.begin_time) == (0.5, 1.0)
        assert partly.settings.hole == flow.settings.hole
        filled = steps[f"{place}/synthetic/partly_1"]
        assert filled.inputs["infiller"] == (partly.out,)
        assert [one.as_posix() for one in filled.inputs["pairs"]] == [f"{place}/own-pairs"]
        own, others = steps[f"{place}/own-pairs"].settings, steps[f"{place}/pairs"].settings
        assert (own.contexts, own.outline, own.hole) == ("lesion", "own", others.hole)
        assert others.outline == "other"
    judged = [step.inputs["infillers"] for step in found.steps if step.stage.name == "judge-infiller"]
    assert judged[0] == (Path("folds/r0-f0/infillers/flow_0"),), "its fills would be judged by what is real in them"
    assert "real lesions repainted from time 0.5" in content_of(found)["arms"]["repainted"]


def test_an_arm_may_repaint_though_nobody_learns_from_the_flow_itself(tmp_path: Path) -> None:
    text = STUDY.replace('name = "flow"\nsynthetic = "flow"', 'name = "more"\nsynthetic = "copy-paste"') + PARTLY
    outs = [step.out.as_posix() for step in study(tmp_path, text).steps]
    assert outs.index("infillers/flow") < outs.index("infillers/partly")
    assert "synthetic/flow" not in outs


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('of = "flow"', 'of = "flaw"', "of names 'flaw', but must name an infiller that this study trains .*: flow."),
        ('of = "flow"', 'of = "copy-paste"', "of names 'copy-paste', but must name an infiller .* method is flow"),
        ('of = "flow"', 'of = "partly"', "of names 'partly', but must name"),
        ('of = "flow"', 'of = "flow"\nhole.share = 0.5', "so it takes no settings but sampling; it has hole"),
        ("begin_time = 0.5", "begin_time = 1.5", r"begin_time must be in \(0, 1\], but is 1.5"),
        ("begin_time", "began", "has no setting called 'sampling.began'"),
    ],
)
def test_repainting_without_sense_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        study(tmp_path, STUDY + PARTLY.replace(old, new))


def test_what_paints_with_anothers_weights_is_not_read_as_an_infiller_of_its_own(tmp_path: Path) -> None:
    study(tmp_path, STUDY + PARTLY)
    faults = list(preflight._in_tables(tmp_path / "study.toml"))
    assert not faults
