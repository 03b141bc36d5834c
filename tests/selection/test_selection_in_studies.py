"""Arms that select among fills: what a study makes for them, and that it refuses what makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from mammofill.experiment import StudyRun, read_study
from mammofill.ground.errors import SettingsError
from mammofill.patches import PatchSet

STUDY = """
[phantom]
patients = 40

[train-infiller]
preset = "copy-paste"

[train-classifier]
network = "shallow-cnn"
weights = "none"

[[arms]]
name = "real"

[[arms]]
name = "all"
synthetic = true

[[arms]]
name = "gated"
synthetic = true
select = "gated"

[[arms]]
name = "random"
synthetic = true
select = "random"
"""


def written(folder: Path, text: str) -> Path:
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return folder / "study.toml"


def test_readers_of_thirds_and_a_selection_for_each_share_and_dose(tmp_path: Path) -> None:
    grid = "\n[grid]\nreal_shares = [0.5, 1]\ndoses = [1, 2]\ninfillers = 2\n"
    steps = {step.out.as_posix(): step for step in read_study(written(tmp_path, STUDY + grid)).steps}
    for share in ("", "shares/0.5/"):
        readers = [f"{share}readers/part-{part}" for part in range(3)]
        assert [steps[f"{one}/patches"].settings.parts for one in readers] == [(0,), (1,), (2,)]
        assert steps[f"{readers[0]}/patches"].inputs["patches"] == (Path(f"{share}patches"),)
        gate = steps[f"{share}gated/synthetic_1_dose-1"]
        assert gate.inputs["classifiers"] == tuple(Path(one, "classifier") for one in readers)
        assert gate.inputs["synthetic"] == (Path(f"{share}synthetic_1"),)
        assert (gate.settings.ratio, gate.settings.random) == (1, False)
        assert steps[f"{share}random/synthetic_1_dose-1"].settings.random
        assert gate.seed == steps[f"{share}random/synthetic_1_dose-1"].seed == steps[f"{share}synthetic_1"].seed
    assert steps["synthetic_0"].settings.ratio == 4  # twice the largest dose, so that half may be refused
    learned = steps["classifiers/gated_dose-2_infiller-0_seed-0"]
    assert learned.inputs["patches"] == (Path("patches"), Path("gated/synthetic_0_dose-2"))
    assert learned.settings.dose is None
    assert steps["classifiers/all_dose-2_infiller-0_seed-0"].settings.dose == 2


def test_in_folds_each_stretch_follows_what_it_needs(tmp_path: Path) -> None:
    seen: set[Path] = set()
    for step in read_study(written(tmp_path, STUDY + "\n[grid]\nfolds = 2\n")).steps:
        for places in step.inputs.values():
            assert all(place in seen or place.is_absolute() for place in places)
        seen.add(step.out)
    assert Path("folds/r0-f1/readers/part-2/classifier") in seen
    assert Path("folds/r0-f1/random/synthetic") in seen


def test_without_selection_nothing_of_it_is_made(tmp_path: Path) -> None:
    text = STUDY.replace('select = "gated"', "").replace('select = "random"', 'select = "all"')
    names = {step.stage.name for step in read_study(written(tmp_path, text)).steps}
    assert not names & {"select-synthetic", "select-patches"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('select = "random"', 'select = "best"', "select must be all, gated or random, but is 'best'"),
        ('name = "real"', 'name = "real"\nselect = "gated"', "is of synthetic patches, but the arm has none"),
        ("[phantom]", "[select-synthetic]\nrandom = true\n[phantom]", "random is not set here; it follows from"),
        ('name = "real"', 'name = "real"\nrepeated = true', "fills are read with a classifier that learned from real"),
        ("[phantom]", "[select-synthetic]\nby = 'luck'\n[phantom]", "by must be all, class_fidelity"),
        (
            'select = "gated"',
            'select = "gated"\ndose_by = "lesion"',
            "but dose_by is 'lesion': the arm would learn from",
        ),
    ],
)
def test_nonsense_is_refused_before_anything_runs(tmp_path: Path, old: str, new: str, words: str) -> None:
    text = STUDY.replace(old, new) + ("\n[grid]\ndoses = [1]\n" if "repeated" in new else "")
    with pytest.raises(SettingsError, match=words):
        read_study(written(tmp_path, text))


def test_a_table_that_nobody_uses_is_refused(tmp_path: Path) -> None:
    text = STUDY.replace('select = "gated"', "").replace('select = "random"', "") + "\n[select-synthetic]\ntop = 3\n"
    with pytest.raises(SettingsError, match=r"\[select-synthetic\]: no arm selects"):
        read_study(written(tmp_path, text))


def test_the_gated_arm_and_its_control_learn_from_as_many_of_each_class(gated: StudyRun) -> None:
    gate, control = (gated.artifacts[Path(f"{name}/synthetic_dose-0.5")] for name in ("gated", "random"))
    assert isinstance(gate, PatchSet)
    assert isinstance(control, PatchSet)
    counts = [one.table["pathology"].value_counts().to_dict() for one in (gate, control)]
    assert counts[0] == counts[1]
    assert set(gate.table["patch_id"]) != set(control.table["patch_id"])
    arms = ("pasted-gated", "pasted-as-many-at-random")
    learned = [gated.artifacts[Path(f"classifiers/{arm}_dose-0.5")].manifest.counts for arm in arms]
    for one in learned:
        assert {name: one[f"train_synthetic_{name}"] for name in counts[0]} == counts[0]
    assert learned[0]["train_synthetic_benign"] > 0
    evaluation = gated.artifacts[Path("evaluations/pasted-gated_dose-0.5")]
    ways = evaluation.manifest.learned_patients()
    assert any("select-synthetic (validation: choice of fills)" in found for found in ways.values())
