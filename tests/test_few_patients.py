"""A study of few patients, run whole: training sets with no patient in common, and infillers from all others."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from mammofill.comparison import Comparison
from mammofill.evaluation import Evaluation
from mammofill.experiment import run_study
from mammofill.ground.artifact import taught_by
from mammofill.ground.errors import SettingsError
from mammofill.infilling import Infiller
from mammofill.patches import PatchSet

STUDY = """
name = "few"
device = "cpu"

[phantom]
patients = 48
height_px = 256
width_px = 160
test_share = 0.3

[ingest]
height_px = 192

[extract-patches]
size_px = 32
stride_px = 8

[infillers.flow]
preset = "flow-small"
network.widths = [8, 16, 16]
network.blocks = [1, 1, 1]
schedule.images = 16

[infillers.copy-paste]
preset = "copy-paste"
feather_px = 1

[train-classifier]
network = "shallow-cnn"
weights = "none"
input_px = 32
images = 64
learning_rate = 1e-3

[[arms]]
name = "real"
shares = [0.25]

[[arms]]
name = "flow"
synthetic = "flow"
shares = [0.25]

[[arms]]
name = "copy-paste"
synthetic = "copy-paste"
shares = [0.25]

[grid]
infillers = 2
doses = [0.5]
real_shares = [0.25, 1]
training_sets = 2

[evaluate]
attention = false
resamples = 100

[compare-arms]
resamples = 100
curve_resamples = 100
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few")
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    run_study(folder / "study.toml", folder / "out")
    return folder / "out" / "shares" / "0.25"


def people(patches: Path, split: str) -> set[str]:
    table = PatchSet.open(patches).table
    return set(table.loc[table["split"] == split, "patient_id"])


def test_infillers_know_nobody_of_a_training_set(folder: Path) -> None:
    sets = [people(folder / f"part-{one}/patches", split="train") for one in range(2)]
    assert all(sets)
    assert not sets[0] & sets[1]
    for number in range(2):
        flow = Infiller.open(folder / f"others/infillers/flow_{number}")
        assert not taught_by(flow.manifest.patients_learned_from) & (sets[0] | sets[1])
    for one in range(2):
        fills = PatchSet.open(folder / f"part-{one}/synthetic/flow_1").table
        assert set(fills["patient_id"]) | set(fills["mask_donor_patient_id"]) <= sets[one]
        pasted = Infiller.open(folder / f"part-{one}/infillers/copy-paste_0")
        assert taught_by(pasted.manifest.patients_learned_from) <= sets[one], "what is pasted is the set's own"


def test_arms_are_compared_within_training_sets(folder: Path) -> None:
    found = Comparison.open(folder.parents[1] / "comparison").differences
    rows = found[(found["measure"] == "auc_by_lesion") & (found["against"] == "real")].set_index("arm")
    assert rows["paired"].all()
    assert set(rows["training_sets"]) == {2}
    assert dict(rows["infillers"]) == {"flow": 2, "copy-paste": 2}
    places = sorted((folder.parents[1] / "evaluations").iterdir())
    assert len(places) == 3 * 4
    assert {Evaluation.open(place).training_set for place in places} == {0, 1}


def test_the_page_tells_of_the_share_that_all_arms_learned_from(folder: Path) -> None:
    page = (folder.parents[1] / "report" / "index.html").read_text(encoding="utf-8")
    assert "Means over the trainings of each arm, from 25 % of the patients and at the dose nearest 1." in page
    assert "CI) over patients, training sets, infiller and classifier seeds." in re.sub(r"\s+", " ", page)
    table = page.split("Table 1: how well each arm classifies")[2].split("</table>")[0]
    arms = Comparison.open(folder.parents[1] / "comparison").arms
    for value in arms.loc[arms["measure"] == "auc_by_lesion", "value"]:
        assert f"{value:.3f}" in table


def test_too_few_pairs_are_told_before_an_infiller_is_trained(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY.replace("doses = [0.5]", "doses = [400]"), encoding="utf-8")
    for name in ("phantoms", "mammograms", "patches"):
        shutil.copytree(folder.parents[1] / name, tmp_path / "out" / name)
    told = r"(?s)2 faults, and no infiller was trained:\n  1. [\d,]+ benign patches are to be made, .*max_shift_share"
    with pytest.raises(SettingsError, match=told):
        run_study(tmp_path / "study.toml", tmp_path / "out")
    made = tmp_path / "out" / "shares" / "0.25"
    assert (made / "part-0" / "pairs").is_dir()
    assert not (made / "others" / "infillers").exists()
