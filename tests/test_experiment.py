from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).with_name("infilling")))

from toy_infilling import make_pairs, make_patches, rows_of

from mammofill.classifier import TrainClassifierSettings
from mammofill.cli import main
from mammofill.comparison.plan import hash_of, plan_files, read_plans, write_plan
from mammofill.comparison.power import Assumed
from mammofill.experiment import STAGES, Study, planned, read_settings, read_study, run, stage_named
from mammofill.experiment.arms import PAPER_ARMS
from mammofill.experiment.planned import content_of, design_of, keep_plan
from mammofill.experiment.power import plan_in_words
from mammofill.experiment.steps import Step, stretches
from mammofill.experiment.study import up_to
from mammofill.ground.artifact import MANIFEST_NAME, begin, write_atomically
from mammofill.ground.errors import ArtifactError, DamagedError, PlanChangedError, SettingsError, SourceError
from mammofill.ground.progress import KeptProgress, LineProgress, Progress, quiet
from mammofill.infilling import PRESETS, GanSettings, train_infiller
from mammofill.pairing.hole import GROWN, HoleSettings
from mammofill.patches import ExtractPatchesSettings

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def write_study(folder: Path, text: str, source: bool = True) -> Path:
    (folder / "collection").mkdir(exist_ok=True)
    ingest = '[ingest]\ncollection = "cbis-ddsm"\nsource = "collection"\n' if source else ""
    path = folder / "study.toml"
    path.write_text(text + "\n" + ingest, encoding="utf-8")
    return path


# ---- settings -----------------------------------------------------------------------------------------------------


def test_what_a_table_does_not_name_keeps_its_default() -> None:
    settings = read_settings(ExtractPatchesSettings, {"size_px": 64}, "here", Path())
    assert settings == replace(ExtractPatchesSettings(), size_px=64)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_one_nested_field_leaves_the_preset_around_it(preset: str) -> None:
    start = PRESETS[preset]
    settings = read_settings(type(start), {"hole": {"rule": "ellipse", "share": 0.125}}, "here", Path(), start)
    assert settings == replace(start, hole=replace(start.hole, rule="ellipse", share=0.125))


def test_toml_lists_become_tuples_and_whole_numbers_become_floats() -> None:
    table = {"betas": [0.5, 0.9], "augmentation": {"zoom": [1, 2]}}
    settings = read_settings(TrainClassifierSettings, table, "here", Path())
    assert settings.betas == (0.5, 0.9)
    assert settings.augmentation.zoom == (1.0, 2.0)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (
            {"sise_px": 64},
            r"here has no setting called 'sise_px'. Did you mean size_px\? There are: size_px, whole, stride_px",
        ),
        ({"size_px": "wide"}, "here: size_px: must be a whole number, but is wide"),
        ({"size_px": 3}, r"here: ExtractPatchesSettings.size_px must be at least 16, but is 3"),
    ],
)
def test_settings_refused_by_name(table: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read_settings(ExtractPatchesSettings, table, "here", Path())


def test_an_unknown_nested_setting_is_refused_by_name() -> None:
    with pytest.raises(
        SettingsError, match=r"no setting called 'losses.weight'. Did you mean \w+_weight\? There are: combine, "
    ):
        read_settings(GanSettings, {"losses": {"weight": 1}}, "here", Path())


def test_files_in_settings_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "vgg.pth").write_bytes(b"")
    table = {"perceptual": {"weights": "vgg.pth"}}
    settings = read_settings(GanSettings, table, "here", tmp_path)
    assert settings.perceptual.weights == str(tmp_path / "vgg.pth")
    assert read_settings(TrainClassifierSettings, {"weights_file": "null"}, "here", tmp_path).weights_file is None
    with pytest.raises(SourceError, match=r"here: weights_file .*no.pth does not exist. It is relative to"):
        read_settings(TrainClassifierSettings, {"weights_file": "no.pth"}, "here", tmp_path)


# ---- the table of stages ------------------------------------------------------------------------------------------


def test_stage_names_are_unique_and_settings_can_be_made() -> None:
    assert len({stage.name for stage in STAGES}) == len(STAGES)
    for stage in STAGES:
        assert stage.settings_class().__dataclass_params__.frozen
        assert stage_named(stage.name) is stage


def test_an_unknown_preset_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(
        SettingsError, match=r"train-infiller has no preset called 'tiny'. Its presets: paper, authors, modern, demo"
    ):
        stage_named("train-infiller").preset("tiny")


# ---- study files --------------------------------------------------------------------------------------------------


def test_a_study_without_arms_runs_the_papers_four(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path, ""))
    classifiers = [step for step in study.steps if step.stage.name == "train-classifier"]
    assert [step.out.name for step in classifiers] == [
        "shallow-cnn",
        "resnet-50",
        "resnet-50-traditional",
        "resnet-50-traditional-generated",
    ]
    assert len(classifiers) == len(PAPER_ARMS)
    assert classifiers[-1].inputs["patches"] == (Path("patches"), Path("synthetic"))
    assert classifiers[-2].inputs["patches"] == (Path("patches"),)
    assert classifiers[-1].settings == classifiers[-2].settings
    assert classifiers[-2].settings == replace(
        classifiers[-3].settings, augmentation=replace(classifiers[-3].settings.augmentation, traditional=True)
    )
    assert [step.stage.name for step in study.steps] == [
        "ingest",
        "extract-patches",
        "pair-patches",
        "train-infiller",
        "synthesize",
        *["train-classifier"] * 4,
        *["evaluate"] * 4,
        "compare-arms",
        "write-report",
    ]


def test_pairs_are_made_for_the_widest_hole_of_the_infillers(tmp_path: Path) -> None:
    def hole(text: str) -> HoleSettings:
        steps = read_study(write_study(tmp_path, text)).steps
        (settings,) = {step.settings for step in steps if step.stage.name == "pair-patches"}
        return settings.hole

    assert hole("") == HoleSettings()  # the paper's infiller repaints the mask
    assert hole('[train-infiller]\npreset = "copy-paste"\n') == GROWN
    several = '[infillers.one]\npreset = "paper"\n[infillers.other]\npreset = "texture"\nhole.share = 0.25\n'
    arm = '[[arms]]\nname = "one"\nsynthetic = "one"\n'
    assert hole(several + arm) == replace(GROWN, share=0.25)
    own = '[pair-patches]\nhole = { rule = "dilation", share = 0.5 }\n'
    assert hole(several + arm + own) == HoleSettings("dilation", 0.5, GROWN.plus_px)


WINDOWS = """
[infiller-windows]

[infillers.trained]
preset = "modern"

[infillers.pasted]
preset = "copy-paste"

[[arms]]
name = "one"
synthetic = "trained"

[[arms]]
name = "other"
synthetic = "pasted"

[grid]
real_shares = [0.5, 1]
"""


def test_infillers_share_the_hole_of_the_study_and_each_may_say_otherwise(tmp_path: Path) -> None:
    text = """
[hole]
rule = "ellipse"
share = 0.3

[infillers.flow]
preset = "flow-small"

[infillers.partly]
of = "flow"
sampling.begin_time = 0.5

[infillers.sham]
preset = "texture"
hole.share = 0.2

[[arms]]
name = "real"

[[arms]]
name = "generated"
synthetic = "flow"
"""
    plan = read_study(write_study(tmp_path, text)).plan
    flow, partly, sham = (plan.infillers[name].hole for name in ("flow", "partly", "sham"))
    assert (flow.rule, flow.share) == ("ellipse", 0.3)
    assert partly == flow
    assert sham == replace(flow, share=0.2)
    assert plan.settings["pair-patches"].hole == flow
    only = read_study(write_study(tmp_path, "[hole]\nshare = 0.3\n[train-infiller]\npreset = 'flow-small'\n")).plan
    assert only.infillers["infiller"].hole.share == 0.3
    with pytest.raises(SettingsError, match=r"\[hole\] has no setting called 'shear'. Did you mean share\?"):
        read_study(write_study(tmp_path, "[hole]\nshear = 0.3\n"))


def test_trained_infillers_learn_from_windows_of_their_own(tmp_path: Path) -> None:
    steps = {str(step.out): step for step in read_study(write_study(tmp_path, WINDOWS)).steps}
    windows, patches = steps["infiller-windows"], steps["patches"]
    assert windows.stage.name == "extract-patches"
    assert windows.inputs == patches.inputs
    assert windows.settings == replace(patches.settings, stride_px=8, normals_per_mammogram=0)
    for place in ("infillers", "shares/0.5/infillers"):
        assert steps[f"{place}/trained"].inputs["windows"] == (Path("infiller-windows"),)
        assert "windows" not in steps[f"{place}/pasted"].inputs
    names = list(steps)
    assert names.index("patches") < names.index("infiller-windows") < names.index("pairs")
    finer = WINDOWS.replace("[infiller-windows]", "[infiller-windows]\nstride_px = 4")
    (found,) = [step for step in read_study(write_study(tmp_path, finer)).steps if step.out == Path("infiller-windows")]
    assert found.settings.stride_px == 4
    only_pasted = WINDOWS.replace('preset = "modern"', 'preset = "texture"')
    assert all(step.out.name != "infiller-windows" for step in read_study(write_study(tmp_path, only_pasted)).steps)
    with pytest.raises(SettingsError, match=r"\[infiller-windows\]: size_px is not set here"):
        read_study(write_study(tmp_path, WINDOWS.replace("[infiller-windows]", "[infiller-windows]\nsize_px = 64")))


def test_the_papers_four_have_a_name(tmp_path: Path) -> None:
    by_name = read_study(write_study(tmp_path, 'arms = "paper"'))
    assert by_name.steps == read_study(write_study(tmp_path, "")).steps


def test_arms_share_and_override(tmp_path: Path) -> None:
    text = """
[train-classifier]
network = "squeezenet1_1"
epochs = 3
augmentation.rotation_degrees = 5.0

[[arms]]
name = "A"

[[arms]]
name = "B"
epochs = 7
augmentation.flip = true
"""
    study = read_study(write_study(tmp_path, text))
    first, second = (step.settings for step in study.steps if step.stage.name == "train-classifier")
    assert (first.network, first.epochs, first.augmentation.rotation_degrees) == ("squeezenet1_1", 3, 5.0)
    assert second == replace(first, epochs=7, augmentation=replace(first.augmentation, flip=True))
    assert "train-infiller" not in [step.stage.name for step in study.steps]  # no arm asks for synthetic patches


def test_a_study_judges_its_infiller_where_it_is_asked_to(tmp_path: Path) -> None:
    text = """
[pair-patches]
tries = 7

[judge-infiller]
cases = 30

[grid]
doses = [1]

[[arms]]
name = "first"
network = "shallow-cnn"
weights = "none"

[[arms]]
name = "second"

[[arms]]
name = "repeated"
repeated = true

[[arms]]
name = "generated"
synthetic = true
"""
    steps = {str(step.out): step for step in read_study(write_study(tmp_path, text)).steps}
    assert steps["pairs"].settings.split == "train"
    assert steps["test-pairs"].settings == replace(steps["pairs"].settings, split="test")
    judging = steps["judgement"]
    assert judging.inputs["infillers"] == (Path("infiller"),)
    assert judging.inputs["classifier"] == (Path("classifiers/second"),)  # the last that learned from real ones only
    assert judging.inputs["pairs"] == (Path("test-pairs"),)
    assert judging.settings.cases == 30
    assert steps["report"].inputs["judgements"] == (Path("judgement"),)
    assert "judgements" not in read_study(write_study(tmp_path, "")).steps[-1].inputs


GRID = """
[grid]
classifiers = 2
doses = [0.5, 1, 2]
real_shares = [0.25, 1]

[infillers.modern]
preset = "modern"

[infillers.sham]
preset = "texture"

[[arms]]
name = "real"

[[arms]]
name = "GAN"
synthetic = "modern"

[[arms]]
name = "sham"
synthetic = "sham"

[[arms]]
name = "again"
repeated = true
"""


def test_a_study_that_judges_its_infillers_does_not_warn_before(tmp_path: Path) -> None:
    def judged_later(more: str) -> set[bool]:
        study = read_study(write_study(tmp_path, f"[infillers.texture]\npreset = 'texture'\n{more}"))
        return {step.says["judged_later"] for step in study.steps if step.stage.name == "synthesize"}

    assert judged_later("") == {False}
    assert judged_later("[judge-infiller]\ncases = 30\n") == {True}


def test_a_grid_trains_each_arm_in_all_ways_and_makes_what_they_share_once(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path, GRID))
    places = [str(step.out) for step in study.steps]
    assert len(places) == len(set(places))
    trained = {str(step.out): step for step in study.steps if step.stage.name == "train-classifier"}
    # real: 2 shares; the others: 3 doses, and at the smaller share the dose nearest 1; 2 seeds each.
    assert len(trained) == 2 * (2 + 3 * (3 + 1))
    assert sorted(place for place in places if "infillers" in place) == [
        "infillers/modern",
        "infillers/sham",
        "shares/0.25/infillers/modern",
        "shares/0.25/infillers/sham",
    ]
    cell = trained["classifiers/gan_dose-2_seed-1"]
    assert cell.inputs["patches"] == (Path("patches"), Path("synthetic/modern"))
    assert (cell.settings.dose, cell.settings.repeats, cell.seed) == (2, 0, study.seed + 1)
    few = trained["classifiers/gan_dose-1_share-0.25_seed-0"]
    assert few.inputs["patches"] == (Path("shares/0.25/patches"), Path("shares/0.25/synthetic/modern"))
    again = trained["classifiers/again_dose-0.5_seed-0"]
    assert again.inputs["patches"] == (Path("patches"),)
    assert (again.settings.dose, again.settings.repeats) == (None, 0.5)
    steps = {str(step.out): step for step in study.steps}
    assert (steps["synthetic/sham"].settings.ratio, steps["synthetic/sham"].settings.balance) == (2, False)
    assert steps["shares/0.25/synthetic/sham"].settings.ratio == 1
    evaluated = steps["evaluations/gan_dose-1_share-0.25_seed-0"]
    assert evaluated.inputs["patches"] == (Path("patches"),)  # one test set for all
    facts = evaluated.settings
    assert (facts.arm, facts.dose, facts.real_share, facts.replicate) == ("GAN", 1, 0.25, 0)
    assert len(steps["comparison"].inputs["evaluations"]) == len(trained)


@pytest.mark.parametrize("source", [True, False], ids=["a collection", "practice mammograms"])
@pytest.mark.parametrize("folds", [0, 2])
def test_steps_stand_in_an_order_in_which_they_can_run(tmp_path: Path, source: bool, folds: int) -> None:
    made: set[Path] = set()
    text = GRID.replace("[grid]", f"[grid]\nfolds = {folds}") + "[judge-infiller]\n"
    for step in read_study(write_study(tmp_path, text if source else text + "[phantom]\n", source)).steps:
        needed = {place for places in step.inputs.values() for place in places if not place.is_absolute()}
        assert needed <= made
        made.add(step.out)


def test_all_doses_at_all_shares_where_it_is_asked_for(tmp_path: Path) -> None:
    text = GRID.replace("[grid]", "[grid]\nevery_dose_at_every_share = true")
    study = read_study(write_study(tmp_path, text))
    assert len([step for step in study.steps if step.stage.name == "evaluate"]) == 2 * (2 + 3 * 6)


SHARES = """
[grid]
infillers = 3
doses = [1]
real_shares = [0.25, 1]
disjoint_shares = true

[train-infiller]
preset = "copy-paste"

[[arms]]
name = "real"

[[arms]]
name = "pasted"
synthetic = true

[[arms]]
name = "further patients"
more_patients = true
"""


def test_at_disjoint_shares_each_infiller_and_its_classifiers_have_patients_of_their_own(tmp_path: Path) -> None:
    steps = {str(step.out): step for step in read_study(write_study(tmp_path, SHARES)).steps}
    for number in range(3):
        part = f"shares/0.25/part-{number}"
        assert steps[f"{part}/patches"].settings.parts == (number,)
        assert steps[f"{part}/infiller_{number}"].inputs["patches"] == (Path(part) / "patches",)
        pasted = steps[f"classifiers/pasted_dose-1_share-0.25_infiller-{number}_seed-{number}"]
        assert pasted.inputs["patches"] == (Path(part) / "patches", Path(part) / f"synthetic_{number}")
        assert steps[f"classifiers/real_share-0.25_seed-{number}"].inputs["patches"] == (Path(part) / "patches",)
        both = Path(f"shares/0.25/part-{number}-{number + 1}/patches")
        assert steps[f"classifiers/further-patients_share-0.25_seed-{number}"].inputs["patches"] == (both,)
        assert (steps[str(both)].settings.patients_share, steps[str(both)].settings.parts) == (
            0.25,
            (number, number + 1),
        )
    told = content_of(read_study(write_study(tmp_path, SHARES)))["arms"]
    assert told["pasted"] == "3 infillers with 1 classifier each, each from patients of its own"
    assert told["further patients"] == "3 classifiers, each from patients of its own, with as many further patients"
    assert not any("further" in place and "share" not in place for place in steps)  # of all there are no further ones
    five = SHARES.replace("infillers = 3", "infillers = 5")
    with pytest.raises(SettingsError, match=r"infillers must be at most 4, the parts of the largest share below 1"):
        read_study(write_study(tmp_path, five))
    only = SHARES.replace('name = "real"', 'name = "real"\nshares = [1]')
    places = [str(step.out) for step in read_study(write_study(tmp_path, only)).steps]
    assert not any("real_share" in place for place in places)
    with pytest.raises(SettingsError, match=r"'real': shares names 0.5, but real_shares in \[grid\] are 0.25, 1"):
        read_study(write_study(tmp_path, only.replace("shares = [1]", "shares = [0.5]", 1)))
    with pytest.raises(SettingsError, match=r"classifiers must be 1 with disjoint_shares"):
        read_study(write_study(tmp_path, SHARES.replace("infillers = 3", "infillers = 3\nclassifiers = 2")))
    whole = SHARES.replace("[0.25, 1]", "[1]")
    with pytest.raises(
        SettingsError, match=r"'further patients' has more_patients, so \[grid\] must give a share of at"
    ):
        read_study(write_study(tmp_path, whole))


TRAINING_SETS = """
[grid]
infillers = 2
doses = [1]
real_shares = [0.2, 1]
training_sets = 3

[infillers.flow]
preset = "flow-small"

[infillers.pasted]
preset = "copy-paste"

[[arms]]
name = "real"
shares = [0.2]

[[arms]]
name = "flow"
synthetic = "flow"
shares = [0.2]

[[arms]]
name = "pasted"
synthetic = "pasted"
shares = [0.2]
"""


def test_infillers_learn_from_those_who_are_in_no_training_set_and_paint_for_each(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path, TRAINING_SETS))
    steps = {str(step.out): step for step in study.steps}
    others = Path("shares/0.2/others")
    assert (steps[f"{others}/patches"].settings.parts, steps[f"{others}/patches"].settings.others) == ((0, 1, 2), True)
    trained = {place: step.inputs["patches"] for place, step in steps.items() if step.stage.name == "train-infiller"}
    flows = {f"{others}/infillers/flow_{number}": (others / "patches",) for number in range(2)}
    assert flows.items() <= trained.items()
    pasting = {place for place in trained if place not in flows}
    assert pasting == {f"shares/0.2/part-{one}/infillers/pasted_{number}" for one in range(3) for number in range(2)}
    for one in range(3):
        part = Path(f"shares/0.2/part-{one}")
        assert (steps[f"{part}/patches"].settings.parts, steps[f"{part}/patches"].settings.others) == ((one,), False)
        for number in range(2):
            painted = steps[f"{part}/synthetic/flow_{number}"]
            assert painted.inputs["infiller"] == (others / f"infillers/flow_{number}",)
            assert (painted.inputs["pairs"], painted.inputs["patches"]) == ((part / "pairs",), (part / "patches",))
            slug = f"dose-1_share-0.2_set-{one}_infiller-{number}_seed-{2 * one + number}"
            assert steps[f"classifiers/flow_{slug}"].inputs["patches"] == (
                part / "patches",
                part / f"synthetic/flow_{number}",
            )
            assert steps[f"evaluations/flow_{slug}"].settings.infiller == number
            assert steps[f"evaluations/flow_{slug}"].settings.training_set == one
            assert steps[f"evaluations/pasted_{slug}"].settings.infiller == one, "whose lesions, whatever the seed"
            assert steps[f"classifiers/real_share-0.2_set-{one}_seed-{2 * one + number}"].seed == 2 * one + number
    told = content_of(study)["arms"]
    assert told["real"] == "2 classifiers, on each of 3 training sets"
    assert told["flow"] == "2 infillers with 1 classifier each, on each of 3 training sets"
    words = plan_in_words(study, Assumed(), (60, 40), None)
    assert "a difference between training sets by 0.02:" in words
    assert "Not of pasted: on each training set it pastes that set's own lesions" in words
    assert "At most this of" not in words
    tried = TRAINING_SETS.replace('synthetic = "flow"', 'synthetic = "flow"\nsynthetic_if_better = true')
    words = plan_in_words(read_study(write_study(tmp_path, tried)), Assumed(), (60, 40), None)
    assert "At most this of flow: where validation refuses the fills, the classifier is the one without fills" in words


ON_TRIAL = """
[grid]
folds = 2
infillers = 2
doses = [1]
real_shares = [0.5, 1]

[[arms]]
name = "gated, on trial"
synthetic = true
select = "gated"
synthetic_if_better = true

[[arms]]
name = "real"

[[arms]]
name = "gated"
synthetic = true
select = "gated"

[[arms]]
name = "weighted, on trial"
synthetic = true
synthetic_weight = 0.5
synthetic_if_better = true
shares = [1]

[[arms]]
name = "slower, on trial"
synthetic = true
learning_rate = 1e-6
synthetic_if_better = true
shares = [1]

[[arms]]
name = "real again"
"""


def test_a_trial_takes_over_what_other_arms_have_trained(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path, ON_TRIAL))
    trained = {
        str(step.out): [str(place) for place in step.inputs.get("trained", ())]
        for step in study.steps
        if step.stage.name == "train-classifier" and "/classifiers/" in str(step.out)
    }
    for fold, share, number in product(("0", "1"), ("", "_share-0.5"), (0, 1)):
        within, seed = f"folds/r0-f{fold}/classifiers", f"infiller-{number}_seed-{number}"
        real = f"{within}/real{share}_seed-{number}"
        gated = f"{within}/gated_dose-1{share}_{seed}"
        assert trained.pop(f"{within}/gated-on-trial_dose-1{share}_{seed}") == [real, gated]
        if not share:
            assert trained.pop(f"{within}/weighted-on-trial_dose-1_{seed}") == [real]
            assert trained.pop(f"{within}/slower-on-trial_dose-1_{seed}") == [], "trained at another rate"
    assert set(map(tuple, trained.values())) == {()}
    together = list(stretches(study.steps))
    assert [step for stretch in together for step in stretch] == list(study.steps)
    for stretch in together:
        made = {step.out for step in stretch}
        assert len({step.stage.name for step in stretch}) == 1
        assert not made & {place for step in stretch for places in step.inputs.values() for place in places}
    last = [stretch for stretch in together if stretch[0].stage.name == "train-classifier"][-1]
    assert len(last) == 2 * (4 + 2 + 2), "the trials of both folds, side by side"
    assert all(step.settings.synthetic_if_better for step in last)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "training_sets = 3",
            "training_sets = 5",
            r"training_sets must be 0, or 2 to 4, so that patients are left",
        ),
        ("training_sets = 3", "training_sets = 1", r"training_sets must be 0, or 2 to 4"),
        ("[0.2, 1]", "[1]", r"0, or more where the largest share below 1 is at most a third, but is 3"),
        (
            "training_sets = 3",
            "training_sets = 3\nfolds = 2",
            r"training_sets must be 0 with folds, whose training sets",
        ),
        (
            "shares = [0.2]",
            "shares = [0.2]\nmore_patients = true",
            r"'real' has more_patients, so training_sets in \[grid\] may be at most 2",
        ),
        ("[grid]", "[judge-infiller]\n[grid]", r"judged at a share of 1, but 'real', .* is trained at 0.2 only. Add 1"),
        ("training_sets = 3", "training_sets = 3\ndisjoint_shares = true", r"training_sets must be 0 with disjoint_sh"),
    ],
)
def test_training_sets_that_cannot_be_are_refused(old: str, new: str, words: str, tmp_path: Path) -> None:
    text = TRAINING_SETS.replace("shares = [0.2]\n", "") if new == "[1]" else TRAINING_SETS
    with pytest.raises(SettingsError, match=words):
        read_study(write_study(tmp_path, text.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("place", "made"),
    [
        ("mammograms", ["phantoms", "mammograms"]),
        ("pairs", ["phantoms", "mammograms", "patches", "pairs"]),
        ("infillers/flow", ["phantoms", "mammograms", "patches", "infiller-windows", "pairs", "infillers/flow"]),
    ],
)
def test_a_study_up_to_one_artifact_has_what_that_is_made_from(place: str, made: list[str]) -> None:
    study = read_study(EXAMPLES / "phantom_infillers.toml")
    assert [str(step.out) for step in up_to(study, place).steps] == made


def test_one_artifact_is_made_and_the_study_goes_on_from_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = "[phantom]\npatients = 12\nheight_px = 256\nwidth_px = 160\n[extract-patches]\nsize_px = 64\n"
    command = ["run", str(write_study(tmp_path, small, source=False)), "--out", str(tmp_path / "runs"), "--plain"]
    assert main([*command, "--only", "patches"]) == 0
    told = capsys.readouterr().out
    assert [line.split()[0] for line in told.splitlines()[:3]] == ["phantoms", "mammograms", "patches"]
    assert f"{tmp_path / 'runs' / 'patches'}: patches (" in told
    assert not (tmp_path / "runs" / "evaluations").exists()
    assert main([*command, "--only", "patches"]) == 0
    assert capsys.readouterr().out.count("done before") == 3
    assert main([*command, "--only", "patchs", "--dry-run"]) == 2
    assert "makes nothing at 'patchs'. Did you mean patches? --dry-run lists" in capsys.readouterr().err


ELSEWHERE = """
[grid]
folds = 2

[infillers.flow]
preset = "flow-small"
start = "bank"

[infillers.elsewhere]
artifact = "bank"

[[arms]]
name = "flow"
synthetic = "flow"

[[arms]]
name = "elsewhere"
synthetic = "elsewhere"
"""


def test_infillers_may_start_from_another_one_or_be_one_that_is_there(tmp_path: Path) -> None:
    patches = make_patches(tmp_path / "patches", rows_of())
    hole = HoleSettings("ellipse", share=0.1, plus_px=1.0)
    train_infiller(
        patches, make_pairs(tmp_path / "pairs", patches), tmp_path / "bank", replace(PRESETS["copy-paste"], hole=hole)
    )
    steps = read_study(write_study(tmp_path, ELSEWHERE)).steps
    trained = [step for step in steps if step.stage.name == "train-infiller"]
    assert [str(step.out) for step in trained] == ["folds/r0-f0/infillers/flow", "folds/r0-f1/infillers/flow"]
    assert {step.inputs["start"] for step in trained} == {(tmp_path / "bank",)}
    painted = {str(step.out): step.inputs["infiller"] for step in steps if step.stage.name == "synthesize"}
    assert painted["folds/r0-f1/synthetic/elsewhere"] == (tmp_path / "bank",)
    assert painted["folds/r0-f1/synthetic/flow"] == (Path("folds/r0-f1/infillers/flow"),)
    study = read_study(write_study(tmp_path, ELSEWHERE.replace("folds = 2", "infillers = 2\nclassifiers = 3")))
    told = {(step.settings.arm, step.settings.infiller) for step in study.steps if step.stage.name == "evaluate"}
    assert told == {("flow", 0), ("flow", 1), ("elsewhere", None)}  # one infiller, however often it is used
    assert content_of(study)["arms"] == {
        "flow": "2 infillers with 3 classifiers each, infillers started from bank",
        "elsewhere": "6 classifiers, all of one infiller",
    }  # fmt: skip
    words = plan_in_words(study, Assumed(), (60, 40), None)
    assert "Not of elsewhere: one infiller from elsewhere counts as one, however often it is used" in words
    with pytest.raises(SettingsError, match=r"discriminator names elsewhere, whose method copy-paste trains none"):
        read_study(write_study(tmp_path, ELSEWHERE.replace('synthetic = "elsewhere"', 'discriminator = "elsewhere"')))
    changed = ELSEWHERE.replace('artifact = "bank"', 'artifact = "bank"\npreset = "modern"')
    with pytest.raises(
        SettingsError, match=r"\[infillers.elsewhere\]: an infiller that is used as it is .* has preset"
    ):
        read_study(write_study(tmp_path, changed))
    with pytest.raises(SourceError, match=r"\[infillers.flow\] start: the source .*nowhere does not exist"):
        read_study(write_study(tmp_path, ELSEWHERE.replace('start = "bank"', 'start = "nowhere"')))


def test_which_infiller_from_elsewhere_is_used_is_part_of_the_plan(tmp_path: Path) -> None:
    """By its content: another one under the same name was the same plan, and its results were called planned."""
    patches, hole = make_patches(tmp_path / "patches", rows_of()), HoleSettings("ellipse", share=0.1, plus_px=1.0)
    pairs, plans = make_pairs(tmp_path / "pairs", patches), []
    for previews in (0, 1):
        shutil.rmtree(tmp_path / "bank", ignore_errors=True)
        train_infiller(patches, pairs, tmp_path / "bank", replace(PRESETS["copy-paste"], hole=hole, previews=previews))
        plans.append(content_of(read_study(write_study(tmp_path, ELSEWHERE))))
    before, after = (plan["made_with"] for plan in plans)
    assert plans[0]["trained"] == plans[1]["trained"]
    for arm, name in (("flow", "start of flow"), ("elsewhere", "infiller elsewhere")):
        assert len(before[arm][name]) == 64
        assert before[arm][name] != after[arm][name]


@pytest.mark.parametrize(
    ("old", "new", "arms"),
    [
        ("painted_for_each = 2", "painted_for_each = 6", {"gated"}),
        ("stride_px = 8", "stride_px = 2", {"filled", "gated"}),
        ("input_px = 32", "input_px = 48", {"gated"}),
    ],
)
def test_all_that_fills_are_made_with_is_part_of_the_plan(old: str, new: str, arms: set[str], tmp_path: Path) -> None:
    """Windows of infillers, how many fills a gate may choose from, and who reads them were in no plan."""
    text = """
[infiller-windows]
stride_px = 8
[grid]
doses = [1]
painted_for_each = 2
[train-infiller]
preset = "demo"
[[arms]]
name = "reading"
network = "shallow-cnn"
weights = "none"
input_px = 32
[[arms]]
name = "filled"
synthetic = true
[[arms]]
name = "gated"
synthetic = true
select = "gated"
"""
    assert text.count(old) == 1
    before, after = (content_of(read_study(write_study(tmp_path, one))) for one in (text, text.replace(old, new)))
    changed = {arm for arm, made in before["made_with"].items() if after["made_with"][arm] != made}
    assert changed == arms
    assert before["made_with"]["reading"] == {}


def test_test_patients_may_stand_in_a_source_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "held-out").mkdir()
    text = SHARES + '[judge-infiller]\n[test]\nsource = "held-out"\n'
    study = read_study(write_study(tmp_path, text))
    steps = {str(step.out): step for step in study.steps}
    assert (steps["mammograms"].settings.split, steps["mammograms"].settings.test_share) == ("patients", 0)
    assert steps["test/mammograms"].inputs["source"] == (tmp_path / "held-out",)
    assert steps["test/mammograms"].settings.split == "auto"
    assert steps["test/patches"].settings == steps["patches"].settings
    evaluated = [step for step in study.steps if step.stage.name == "evaluate"]
    assert {step.inputs["patches"] for step in evaluated} == {(Path("test/patches"),)}
    assert {step.settings.split for step in evaluated} == {"test"}
    assert steps["test-pairs"].inputs["patches"] == (Path("test/patches"),)
    assert steps["judgement"].inputs["patches"] == (Path("test/patches"),)
    made: set[Path] = set()
    for step in study.steps:
        assert {place for places in step.inputs.values() for place in places if not place.is_absolute()} <= made
        made.add(step.out)
    with pytest.raises(SettingsError, match=r"\[test\] must have a source: where the test patients are"):
        read_study(write_study(tmp_path, text.replace('source = "held-out"', "")))
    own = text.replace("[test]", "[test]\nheight_px = 300")
    assert content_of(study) != content_of(read_study(write_study(tmp_path, own)))
    split = write_study(tmp_path, text, source=False)
    split.write_text(text + '[ingest]\ncollection = "cbis-ddsm"\nsource = "collection"\ntest_share = 0.3\n')
    with pytest.raises(
        SettingsError, match=r"\[ingest\]: test_share is not set here; all test patients are of \[test\]"
    ):
        read_study(split)
    with pytest.raises(SettingsError, match=r"\[test\] and folds in \[grid\] do not go together"):
        read_study(write_study(tmp_path, text.replace("[grid]", "[grid]\nfolds = 2")))


def test_folds_are_judged_each(tmp_path: Path) -> None:
    text = SHARES + "[judge-infiller]\n"
    text = text.replace("[grid]", "[grid]\nfolds = 2")
    study = read_study(write_study(tmp_path, text))
    judged = [step for step in study.steps if step.stage.name == "judge-infiller"]
    assert [str(step.out) for step in judged] == ["folds/r0-f0/judgement", "folds/r0-f1/judgement"]
    for step in judged:
        fold = step.out.parent
        assert step.inputs["classifier"] == (fold / "classifiers/real_seed-0",)
        assert step.inputs["infillers"] == (fold / "infiller_0",)
        assert step.inputs["pairs"] == (fold / "test-pairs",)
    assert study.steps[-1].inputs["judgements"] == tuple(step.out for step in judged)


def test_only_planned_arms_and_shares_are_tested(tmp_path: Path) -> None:
    def tested(more: str) -> list[str]:
        plan = read_study(write_study(tmp_path, SHARES + more)).plan
        return [one.name for one in design_of(plan).contrasts() if one.tested]

    assert tested("") == ["pasted, dose 1 against real"]
    few = "pasted, dose 1, 25 % of the real patients against real, 25 % of the real patients"
    further = "further patients, 25 % of the real patients against real, 25 % of the real patients"
    both = '[compare-arms]\ncounterparts = [["further patients", "real"]]\nplanned_shares = [0.25]\n'
    assert tested(both) == [few, further]
    assert tested(both + 'planned_arms = ["pasted"]\n') == [few]
    with pytest.raises(SettingsError, match=r"planned_shares names 0.5, but real_shares in \[grid\] are 0.25, 1"):
        tested("[compare-arms]\nplanned_shares = [0.5]\n")
    with pytest.raises(
        SettingsError, match=r"planned_arms names 'GAN', but the arms are real, pasted, further patients"
    ):
        tested('[compare-arms]\nplanned_arms = ["GAN"]\n')


def test_a_quick_run_is_what_the_study_says_it_is(tmp_path: Path) -> None:
    quick = '[quick]\narms = ["real", "pasted"]\n[quick.grid]\ninfillers = 2\n'
    path = write_study(tmp_path, SHARES + quick)
    assert read_study(path).steps == read_study(write_study(tmp_path, SHARES)).steps
    study = read_study(write_study(tmp_path, SHARES + quick), quick=True)
    assert [arm.name for arm in study.plan.arms] == ["real", "pasted"]
    assert (study.plan.grid.infillers, study.plan.grid.real_shares) == (2, (0.25, 1))
    with pytest.raises(SettingsError, match=r"has no table \[quick\]"):
        read_study(write_study(tmp_path, SHARES), quick=True)
    unknown = SHARES + '[quick]\narms = ["GAN"]\n'
    with pytest.raises(SettingsError, match=r"\[quick\]: arms names 'GAN', but the arms are real, pasted, further"):
        read_study(write_study(tmp_path, unknown), quick=True)


def test_of_two_doses_as_near_to_1_the_smaller_one_is_tried_at_smaller_shares(tmp_path: Path) -> None:
    study = read_study(write_study(tmp_path, GRID.replace("[0.5, 1, 2]", "[1.5, 0.5]")))
    places = {step.out.name for step in study.steps}
    assert "gan_dose-0.5_share-0.25_seed-0" in places
    assert "gan_dose-1.5_share-0.25_seed-0" not in places


def test_an_infiller_is_not_judged_by_those_who_learned_from_it(tmp_path: Path) -> None:
    text = '[judge-infiller]\n[[arms]]\nname = "A"\nsynthetic = true\n'
    with pytest.raises(SettingsError, match=r"\[judge-infiller\]: .* every arm has synthetic, repeated, disc"):
        read_study(write_study(tmp_path, text))


def test_a_preset_in_a_study_is_changed_only_where_asked(tmp_path: Path) -> None:
    text = '[train-infiller]\npreset = "demo"\nschedule.batch = 4\n'
    step = next(step for step in read_study(write_study(tmp_path, text)).steps if step.stage.name == "train-infiller")
    assert step.settings == replace(PRESETS["demo"], schedule=replace(PRESETS["demo"].schedule, batch=4))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "sead = 1",
            r"has an entry 'sead' that no study knows. Did you mean seed\? Keys: name, seed, device; tables: phantom",
        ),
        ('seed = "one"', r"seed must be a whole number, but is 'one'"),
        ("seed = true", r"seed must be a whole number, but is True"),
        ("[extract-patch]\nsize_px = 64", r"has an entry 'extract-patch'"),
        (
            "[extract-patches]\nsize = 64",
            r"has no setting called 'size'. Did you mean size_px\? There are: size_px",
        ),
        ("[evaluate]\nnonsense = 1", r"\[evaluate\] has no setting called 'nonsense'"),
        ('[[arms]]\nnetwork = "resnet50"', r"\[\[arms\]\] number 1 must have a name"),
        ('[[arms]]\nname = "A"\nepoch = 4', r"\[\[arms\]\] 'A' has no setting called 'epoch'"),
        ('[[arms]]\nname = "A b"\n[[arms]]\nname = "a-B"', r"'a-B' and 'A b' would share a folder"),
        ('[[arms]]\nname = "A"\nsynthetic = 1', r"'A': synthetic must be true or false, but is 1"),
        ('[train-infiller]\npreset = "tiny"', r"\[train-infiller\]: train-infiller has no preset called 'tiny'"),
        ("[train-classifier]\nepoch = 4", r"\[train-classifier\] has no setting called 'epoch'"),
        ('[train-classifier]\nkeep = "first"', r"keep: Expected one of 'last', 'best'. Got value: first"),
        ('device = "gpu"', r"device must be auto, cpu, cuda, cuda:<number> or mps, but is 'gpu'"),
        ('arms = "papers"', r"arms must be a list of tables \(\[\[arms\]\]\), or \"paper\", but is 'papers'"),
        (
            '[grid]\ndoses = [1]\n[[arms]]\nname = "A"',
            r"\[grid\]: doses are of synthetic or repeated patches, but no arm",
        ),
        (
            "[grid]\ndoses = [1]\n[synthesize]\nratio = 2",
            r"\[synthesize\]: ratio is not set here; .* follows from doses",
        ),
        ('[[arms]]\nname = "A"\nreal = false', r"'A': real = false leaves nothing to learn from"),
        ('[[arms]]\nname = "A"\nsynthetic_labels = "flipped"', r"'A': synthetic_labels = 'flipped' is of synthetic"),
        ('[compare-arms]\nreference = "A"', r"\[compare-arms\]: reference names 'A', but the arms are shallow CNN, "),
        (
            '[compare-arms]\npairs = [["ResNet-50", "A"]]',
            r"\[compare-arms\]: pairs names 'A', but the arms are shallow",
        ),
        (
            "[grid]\ndoses = [1, 2]\n[compare-arms]\nplanned_doses = [3]",
            r"planned_doses names 3, but doses .* are 1, 2",
        ),
        (
            '[infillers.a]\npreset = "copy-paste"\n[[arms]]\nname = "A"\ndiscriminator = true',
            r"'A': discriminator names a, whose method copy-paste trains none. Name an infiller whose method is gan",
        ),
        (
            '[infillers.a]\npreset = "authors"\n[[arms]]\nname = "A"\ndiscriminator = true',
            r"'A': discriminator names a, whose discriminator is conditioned on the class at every layer",
        ),
        ("[phantom]\npatients = 5", r"either a \[phantom\] table or a source in \[ingest\], but has both"),
        ("arms = []", r"arms must be one or more tables"),
        ("[grid]\nreal_shares = [0.5]", r"\[grid\].*real_shares must be different numbers in \(0, 1\], 1 among them"),
        ("[grid]\ndoses = [0]", r"\[grid\].*doses must be different numbers above 0"),
        ('[[arms]]\nname = "A"\nshares = [1, 1.0]', r"'A': shares must be different numbers, but are \[1, 1.0\]. Name"),
        ('[evaluate]\nsplit = "train"', r"\[evaluate\]: split is 'train', but all classifiers of the study learn from"),
        ('[evaluate]\nsplit = "validation"', r"split is 'validation', .* Leave split out: test patients are tested"),
        ('[[arms]]\nname = "A"\nrepeated = true', r"'A' is repeated, so \[grid\] must give doses"),
        ('[[arms]]\nname = "A"\ndose = 1.0', r"'A': dose is not set here; doses stand in \[grid\]"),
        ('[[arms]]\nname = "A"\nsynthetic = "old"', r"'A': synthetic must be .* here there are: infiller"),
        ("[infillers.A]\npreset = 'modern'", r"\[infillers.A\] must be a table whose name has small letters"),
        ("[infillers.a]\n[train-infiller]", r"has both \[train-infiller\] and \[infillers.NAME\]"),
        ("[evaluate]\ndose = 1", r"\[evaluate\]: dose is not set here"),
        ("arms = [1]", r"arms must be one or more tables"),
        ("seed = ", r"cannot be read as TOML"),
    ],
)
def test_study_files_are_refused_whole(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read_study(write_study(tmp_path, text))


def test_a_study_without_a_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="but has neither"):
        read_study(write_study(tmp_path, "", source=False))


def test_a_source_that_is_not_there_is_refused_before_anything_runs(tmp_path: Path) -> None:
    path = write_study(tmp_path, "")
    (tmp_path / "collection").rmdir()
    with pytest.raises(SourceError, match=r"the source .*collection does not exist. It is relative to the study file"):
        read_study(path)


def test_a_table_in_place_of_a_study_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("image,mask")
    with pytest.raises(SettingsError, match=r"mammofill init .*own.csv writes a study file for it"):
        read_study(tmp_path / "own.csv")


def test_a_missing_study_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nothing.toml does not exist"):
        read_study(tmp_path / "nothing.toml")


# ---- folds ----------------------------------------------------------------------------------------------------------

FOLDS = """
seed = 5

[pair-patches]
tries = 7

[grid]
classifiers = 2
folds = 3
fold_repeats = 2
real_shares = [0.5, 1]

[evaluate]
resamples = 300

[[arms]]
name = "real"

[[arms]]
name = "GAN"
synthetic = true
"""


def test_each_fold_of_each_repeat_makes_everything_anew(tmp_path: Path) -> None:
    steps = {str(step.out): step for step in read_study(write_study(tmp_path, FOLDS)).steps}
    ingests = [steps[f"folds/r{repeat}-f{number}/mammograms"] for repeat in range(2) for number in range(3)]
    assert [(one.settings.split, one.settings.folds, one.settings.fold) for one in ingests] == [
        ("kfold", 3, number) for number in (0, 1, 2, 0, 1, 2)
    ]
    assert [one.seed for one in ingests] == [5, 5, 5, 7, 7, 7], "the folds of one repeat come from one deal"
    for stage in ("train-infiller", "synthesize"):
        assert len([one for one in steps.values() if one.stage.name == stage]) == 3 * 2 * 2
    patches = [one for one in steps.values() if one.stage.name == "extract-patches"]
    assert {one.seed for one in patches} == {5}, "all repeats are of the same patches"


def test_nothing_of_one_fold_is_made_from_another(tmp_path: Path) -> None:
    for step in read_study(write_study(tmp_path, FOLDS)).steps:
        if step.out.parts[0] == "folds":
            inputs = {place for places in step.inputs.values() for place in places if not place.is_absolute()}
            assert {place.parts[:2] for place in inputs} <= {step.out.parts[:2]}


def test_the_folds_of_a_cell_are_pooled_and_repeats_are_replicates(tmp_path: Path) -> None:
    steps = {str(step.out): step for step in read_study(write_study(tmp_path, FOLDS)).steps}
    pooled = [one for one in steps.values() if one.stage.name == "pool-folds"]
    assert len(pooled) == 2 * 2 * 2 * 2  # arms, shares, seeds, repeats
    one = steps["evaluations/gan_share-0.5_seed-1_repeat-1"]
    parts = [f"folds/r1-f{number}/evaluations/gan_share-0.5_seed-1" for number in range(3)]
    assert [str(place) for place in one.inputs["evaluations"]] == parts
    assert {steps[place].settings.replicate for place in parts} == {3}
    assert {steps[place.replace("evaluations", "classifiers")].seed for place in parts} == {5 + 3}
    assert one.settings.resamples == 300
    assert steps["comparison"].inputs["evaluations"] == tuple(each.out for each in pooled)
    assert steps["report"].inputs["evaluations"] == tuple(each.out for each in pooled)


def test_steps_of_folds_stand_stage_after_stage_in_an_order_in_which_they_can_run(tmp_path: Path) -> None:
    steps = read_study(write_study(tmp_path, FOLDS)).steps
    made: set[Path] = set()
    for step in steps:
        assert {place for places in step.inputs.values() for place in places if not place.is_absolute()} <= made
        made.add(step.out)
    names = [step.stage.name for step in steps]
    assert sum(one != other for one, other in pairwise(names)) + 1 == len(set(names))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[grid]\nfolds = 1", r"\[grid\].*folds must be at least 2, or 0 for none"),
        ("[grid]\nfold_repeats = 2", r"\[grid\].*fold_repeats must be 1 where there are no folds"),
        ("[grid]\nfolds = 3\n[external]", r"\[external\] and folds in \[grid\] do not go together"),
    ],
)
def test_folds_without_sense_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read_study(write_study(tmp_path, text))


def test_the_split_of_folds_is_not_set_twice(tmp_path: Path) -> None:
    path = write_study(tmp_path, "[grid]\nfolds = 3")
    path.write_text(path.read_text() + 'split = "patients"\n')
    with pytest.raises(SettingsError, match=r"\[ingest\]: split is not set here; \[grid\] has folds = 3"):
        read_study(path)


# ---- a replicate is the whole chain ---------------------------------------------------------------------------------

CHAINS = GRID.replace("classifiers = 2", "infillers = 3\nclassifiers = 2")


def test_each_infiller_has_fills_and_classifiers_of_its_own(tmp_path: Path) -> None:
    steps = {str(step.out): step for step in read_study(write_study(tmp_path, CHAINS)).steps}
    infillers = [steps[f"infillers/modern_{number}"] for number in range(3)]
    fills = [steps[f"synthetic/modern_{number}"] for number in range(3)]
    assert len({one.seed for one in infillers}) == len({one.seed for one in fills}) == 3
    assert infillers[0].seed == 0, "the first has the study's own seed"
    for number, one in enumerate(fills):
        assert one.inputs["infiller"] == (Path(f"infillers/modern_{number}"),)
        for seed in (2 * number, 2 * number + 1):
            cell = f"gan_dose-2_infiller-{number}_seed-{seed}"
            assert steps[f"classifiers/{cell}"].inputs["patches"][1] == Path(f"synthetic/modern_{number}")
            assert steps[f"classifiers/{cell}"].seed == seed
            told = steps[f"evaluations/{cell}"].settings
            assert (told.infiller, told.replicate) == (number, seed)


def test_arms_without_infiller_are_trained_as_often_as_there_are_chains(tmp_path: Path) -> None:
    evaluated = [step for step in read_study(write_study(tmp_path, CHAINS)).steps if step.stage.name == "evaluate"]
    counts = {
        arm: sum(step.settings.arm == arm and step.settings.real_share == 0.25 for step in evaluated)
        for arm in ("real", "GAN", "sham", "again")
    }
    assert set(counts.values()) == {6}
    assert {step.settings.infiller for step in evaluated if step.settings.arm in ("real", "again")} == {None}


def test_repeats_of_folds_have_infillers_of_their_own(tmp_path: Path) -> None:
    text = FOLDS.replace("classifiers = 2", "infillers = 2\nclassifiers = 1")
    steps = {str(step.out): step for step in read_study(write_study(tmp_path, text)).steps}
    numbers = {
        (step.settings.infiller, step.settings.replicate)
        for step in steps.values()
        if step.stage.name == "evaluate" and step.settings.arm == "GAN"
    }
    assert numbers == {(0, 0), (1, 1), (2, 2), (3, 3)}
    seeds = {steps[f"folds/r{repeat}-f0/infiller_{number}"].seed for repeat in range(2) for number in range(2)}
    assert len(seeds) == 4


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_example_trains_each_infiller_three_times(example: Path, tmp_path: Path) -> None:
    study = tomllib.loads(example.read_text(encoding="utf-8"))
    arms = study.get("arms", "paper")
    if arms != "paper" and not any(arm.get("synthetic") for arm in arms):
        pytest.skip("no arm learns from generated patches")
    grid = study["grid"]
    assert grid.get("infillers", 1) * grid.get("fold_repeats", 1) >= 3


def test_infillers_without_an_arm_that_has_one_are_refused(tmp_path: Path) -> None:
    text = '[grid]\ninfillers = 3\n[[arms]]\nname = "A"'
    with pytest.raises(SettingsError, match=r"\[grid\]: infillers = 3, but no arm learns from generated patches"):
        read_study(write_study(tmp_path, text))


# ---- the plan -------------------------------------------------------------------------------------------------------


def compared(study: Study) -> list[str]:
    return [one.name for one in design_of(study.plan).contrasts() if one.tested]


def test_each_arm_is_compared_with_the_one_without_its_added_patches(tmp_path: Path) -> None:
    """The first arm is another network: it is nobody's counterpart."""
    text = """
[grid]
doses = [1]

[[arms]]
name = "another network"
network = "shallow-cnn"
weights = "none"

[[arms]]
name = "plain"

[[arms]]
name = "traditional"
augmentation.traditional = true

[[arms]]
name = "generated"
augmentation.traditional = true
synthetic = true

[[arms]]
name = "generated only"
augmentation.traditional = true
synthetic = true
real = false

[[arms]]
name = "wrong class"
augmentation.traditional = true
synthetic = true
synthetic_labels = "flipped"

[[arms]]
name = "repeated"
repeated = true
"""
    expected = [f"{arm}, dose 1 against traditional" for arm in ("generated", "generated only", "wrong class")]
    assert compared(read_study(write_study(tmp_path, text))) == [*expected, "repeated, dose 1 against plain"]
    named = text + '[compare-arms]\ncounterparts = [["generated", "plain"]]\n'
    assert compared(read_study(write_study(tmp_path, named)))[0] == "generated, dose 1 against plain"


def test_arms_that_start_from_other_files_of_weights_are_no_counterparts(tmp_path: Path) -> None:
    """The file is in no setting of a plan: the fills of the second network were held against the first one."""
    for name in ("one", "other"):
        (tmp_path / f"{name}.safetensors").write_bytes(name.encode())
    arms = (("one", "one", ""), ("other", "other", ""), ("more", "other", "synthetic = true"))
    text = "".join(
        f'[[arms]]\nname = "{name}"\nweights = "pretrained"\nweights_file = "{file}.safetensors"\n{more}\n'
        for name, file, more in arms
    )
    assert compared(read_study(write_study(tmp_path, text))) == ["more against other"]


@pytest.mark.parametrize("first", ["everybody", "real"])
def test_the_counterpart_is_an_arm_at_the_same_share_whatever_stands_first(first: str, tmp_path: Path) -> None:
    """The first arm of the recipe was taken, and where it had another share nothing was tested."""
    arms = {"everybody": "shares = [1]", "real": "shares = [0.5]"}
    text = "".join(f'[[arms]]\nname = "{name}"\n{arms[name]}\n' for name in sorted(arms, key=lambda one: one != first))
    text += '[[arms]]\nname = "GAN"\nsynthetic = true\nshares = [0.5]\n[grid]\nreal_shares = [0.5, 1]\n'
    study = read_study(write_study(tmp_path, text + "[compare-arms]\nplanned_shares = [0.5]\n"))
    at = "50 % of the real patients"
    assert compared(study) == [f"GAN, {at} against real, {at}"]
    assert not any("compared with nothing: everybody" in text for text in design_of(study.plan).not_compared())


def test_an_arm_of_further_patients_is_no_counterpart_unless_it_is_named(tmp_path: Path) -> None:
    """Generated patches were held against twice the patients, where that arm stood first in the file."""
    real, further = '[[arms]]\nname = "real"\n', '[[arms]]\nname = "further patients"\nmore_patients = true\n'
    text = SHARES.replace(further, "").replace(real, f"{further}\n{real}")
    planned = "[compare-arms]\nplanned_shares = [0.25]\n"
    at = "25 % of the real patients"
    assert compared(read_study(write_study(tmp_path, text + planned))) == [f"pasted, dose 1, {at} against real, {at}"]
    named = f'{planned}counterparts = [["pasted", "further patients"]]\n'
    assert compared(read_study(write_study(tmp_path, text + named))) == [
        f"pasted, dose 1, {at} against further patients, {at}"
    ]


def test_arms_that_start_from_other_discriminators_are_no_counterparts(tmp_path: Path) -> None:
    """That an arm starts from a GAN was in its recipe, and from which one was not."""
    arms = (("from a", "a", ""), ("from b", "b", ""), ("from b, filled", "b", 'synthetic = "a"'))
    text = "".join(f'[[arms]]\nname = "{name}"\ndiscriminator = "{gan}"\n{more}\n' for name, gan, more in arms)
    text += '[infillers.a]\npreset = "demo"\n[infillers.b]\npreset = "demo"\nschedule.adversarial_epochs = 9\n'
    assert compared(read_study(write_study(tmp_path, text))) == ["from b, filled against from b"]


def test_an_arm_without_a_counterpart_is_said_to_have_none(tmp_path: Path) -> None:
    text = '[[arms]]\nname = "A"\n[[arms]]\nname = "B"\nepochs = 3\nsynthetic = true\n'
    design = design_of(read_study(write_study(tmp_path, text)).plan)
    assert [one.name for one in design.contrasts() if one.tested] == []
    (said,) = design.not_compared()
    assert said.startswith("B: no arm differs from it in nothing but the added patches. Name one in counterparts")


def test_the_plan_is_written_before_any_score_and_kept(tmp_path: Path) -> None:
    study, out = read_study(write_study(tmp_path, GRID)), tmp_path / "out"
    kept = keep_plan(study, out, quiet)
    (plan,) = read_plans(plan_files(out / "plans"))
    assert plan.in_time
    assert plan.sha256 == hash_of(plan.content)
    assert plan.content["comparisons"] == compared(study) != []
    assert plan.content["primary_measure"] == "auc_by_lesion"
    assert plan.content["arms"]["GAN"] == "1 infiller with 2 classifiers each"
    comparison = next(step for step in kept.steps if step.stage.name == "compare-arms")
    assert comparison.inputs["plans"] == (Path("plans/1.json"),)
    keep_plan(study, out, quiet)
    assert len(plan_files(out / "plans")) == 1, "the same plan is the same plan"


def scored(out: Path, name: str = "one") -> None:
    """Pretend that a test score is there."""
    (out / "evaluations" / name).mkdir(parents=True)
    write_atomically(out / "evaluations" / name / MANIFEST_NAME, "{}")


@pytest.fixture
def all_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a study run whose collection is an empty folder: what it lacks is asked elsewhere."""
    monkeypatch.setattr(run, "ready_study", lambda path, out, quick, only: read_study(path, quick))


@pytest.mark.usefixtures("all_is_there")
def test_another_plan_after_results_is_refused_and_replaces_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    path = write_study(tmp_path, GRID)
    keep_plan(read_study(path), out, quiet)
    before = (out / "study.toml").read_bytes()
    scored(out)
    write_study(tmp_path, GRID + '\n[[arms]]\nname = "late"\nsynthetic = "modern"\nsynthetic_labels = "shuffled"\n')
    with pytest.raises(PlanChangedError, match=r"out holds 1 test scores of another plan(.|\n)*added: late, dose 1 ag"):
        run.run_study(path, out)
    assert (out / "study.toml").read_bytes() == before
    assert len(plan_files(out / "plans")) == 1


def test_what_else_lies_among_the_plans_is_said_and_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, out = read_study(write_study(tmp_path, GRID)), tmp_path / "out"
    keep_plan(study, out, quiet)
    shutil.copy(out / "plans/1.json", out / "plans/1 (copy).json")
    keep_plan(study, out, LineProgress())
    assert "plans/1 (copy).json is not read: plans are called 1.json, 2.json and so on." in capsys.readouterr().err
    (out / "plans/2.json").write_text("[" * 100_000)
    with pytest.raises(DamagedError, match=r"2.json is not a plan as a study writes it \(maximum recursion"):
        keep_plan(study, out, quiet)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes of this kind")
def test_no_pipe_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "plans").mkdir()
    os.mkfifo(tmp_path / "plans/1.json")
    with pytest.raises(DamagedError, match=r"1.json is not a plan .*it is not a regular file but a named pipe"):
        read_plans(plan_files(tmp_path / "plans"))
    os.mkfifo(tmp_path / "log.txt")
    with pytest.raises(
        ArtifactError, match=r"log.txt is not a regular file but a named pipe, and cannot be used as a log"
    ):
        KeptProgress(quiet, tmp_path / "log.txt")


def test_settings_other_than_those_of_a_finished_step_are_kept_nowhere(tmp_path: Path) -> None:
    out = tmp_path / "out"
    path = write_study(tmp_path, GRID)
    study = keep_plan(read_study(path), out, quiet)
    before = (out / "study.toml").read_bytes()
    step = next(one for one in study.steps if one.stage.name == "extract-patches")
    with begin(out / step.out, kind="patches", stage=step.stage.name, settings=step.settings, seed=step.seed,
               inputs={}) as work:  # fmt: skip
        assert work is not None
        work.finish({})
    keep_plan(study, out, quiet)
    write_study(tmp_path, GRID + "\n[extract-patches]\nsize_px = 96\n")
    with pytest.raises(PlanChangedError, match=r"patches was finished with another plan:\n +settings.size_px: was"):
        keep_plan(read_study(path), out, quiet)
    assert (out / "study.toml").read_bytes() == before
    assert len(plan_files(out / "plans")) == 1


def test_how_arms_are_trained_is_part_of_the_plan(tmp_path: Path) -> None:
    """A longer training, chosen once results were seen, was the same plan."""
    plan = content_of(read_study(write_study(tmp_path, GRID)))
    longer = content_of(read_study(write_study(tmp_path, GRID + "\n[train-classifier]\nimages = 77\n")))
    assert hash_of(longer) != hash_of(plan)
    assert all(behind["train-classifier"]["images"] == 77 for behind in longer["trained"].values())


@pytest.mark.parametrize(
    ("more", "whole", "quarter"),
    [("", 2, 2), ("folds = 3\nfold_repeats = 2\n", 4, 4), ("training_sets = 3\n", 2, 6)],
)
def test_the_plan_says_how_many_classifiers_each_group_has(tmp_path: Path, more: str, whole: int, quarter: int) -> None:
    text = GRID.replace("classifiers = 2\n", f"classifiers = 2\n{more}")
    counts = content_of(read_study(write_study(tmp_path, text)))["classifiers"]
    assert counts["GAN, dose 2"] == counts["real"] == whole
    assert counts["GAN, dose 1, 25 % of the real patients"] == quarter


def test_a_plan_of_an_earlier_version_is_still_the_same_plan(tmp_path: Path) -> None:
    """It does not hold how arms are trained; a finished study would have been refused for that."""
    study, out = read_study(write_study(tmp_path, GRID)), tmp_path / "out"
    earlier = {name: value for name, value in content_of(study).items() if name not in ("trained", "classifiers")}
    write_plan(out / "plans", earlier, 0)
    scored(out)
    keep_plan(study, out, quiet)
    assert len(plan_files(out / "plans")) == 1


def test_a_second_source_is_part_of_the_plan(tmp_path: Path) -> None:
    """One that was looked for once results were seen was called planned."""
    (tmp_path / "elsewhere").mkdir()
    without = content_of(read_study(write_study(tmp_path, GRID)))
    more = '\n[external]\nname = "INbreast"\ncollection = "inbreast"\nsource = "elsewhere"\n'
    held = content_of(read_study(write_study(tmp_path, GRID + more)))
    assert hash_of(held) != hash_of(without)
    assert held["test_set"]["external"] == "INbreast"
    assert held["test_set"]["external_ingest"]["collection"] == "inbreast"


def test_an_amended_plan_leaves_the_first_report_and_says_so(tmp_path: Path) -> None:
    out = tmp_path / "out"
    path = write_study(tmp_path, GRID)
    keep_plan(read_study(path), out, quiet)
    before = (out / "study.toml").read_bytes()
    scored(out)
    write_study(tmp_path, GRID + "\n[compare-arms]\nmargin = 0.02\n")
    amended = keep_plan(read_study(path), out, quiet, amend=True)
    first, second = read_plans(plan_files(out / "plans"))
    assert (first.test_scores_before, second.test_scores_before) == (0, 1)
    assert [str(step.out) for step in amended.steps[-2:]] == ["comparison-2", "report-2"]
    assert amended.steps[-1].inputs["comparisons"] == (Path("comparison-2"),)
    assert (out / "plans/study-1.toml").read_bytes() == before


def test_what_a_design_can_show_is_told_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_study(tmp_path, CHAINS)
    assert main(["plan", str(path)]) == 2
    assert "is not known before ingest. Give it with --benign N and --malignant N" in capsys.readouterr().err
    assert main(["plan", str(path), "--benign", "60", "--malignant", "40"]) == 0
    told = capsys.readouterr().out
    assert "  GAN: 3 infillers with 2 classifiers each\n" in told
    assert "  GAN, dose 1 against real\n" in told
    smallest = float(re.search(r"as planned +(0\.\d+)", told)[1])  # type: ignore[index]
    assert 0.05 < smallest < 0.3
    assert "From 0.75 an AUC can rise by 0.25 at most" in told
    assert main(["plan", str(path), "--benign", "600", "--malignant", "400"]) == 0
    assert "can rise by" not in capsys.readouterr().out
    assert main(["plan", str(path), "--benign", "0", "--malignant", "9"]) == 2
    assert "--benign is 0 and --malignant 9, but an AUC takes test patients of both classes" in capsys.readouterr().err
    assert main(["plan", str(path), "--benign", "1", "--malignant", "9"]) == 0
    assert "With fewer than two test patients of a class nothing can be shown" in capsys.readouterr().out
    assert {one.name for one in tmp_path.iterdir()} == {"study.toml", "collection"}, "nothing is touched"


def test_a_plan_that_was_changed_is_none(tmp_path: Path) -> None:
    out = tmp_path / "out"
    keep_plan(read_study(write_study(tmp_path, GRID)), out, quiet)
    path = out / "plans/1.json"
    path.write_text(path.read_text().replace('"margin": null', '"margin": 0.02'))
    with pytest.raises(DamagedError, match=r"1.json was changed after it was written: its plan has the hash"):
        keep_plan(read_study(tmp_path / "study.toml"), out, quiet)


# ---- the time left ------------------------------------------------------------------------------------------------


class Notes(Progress):
    """Keeps what is said of tasks, by their names."""

    def __init__(self) -> None:
        self.notes: dict[str, list[str]] = {}
        self.task_name = ""

    def _begin(self, name: str, total: float) -> Any:
        self.task_name = name
        return self

    def advance(self, steps: float = 1, note: str = "") -> None:
        self.notes.setdefault(self.task_name, []).append(note)


@pytest.mark.usefixtures("all_is_there")
def test_what_an_earlier_run_finished_says_nothing_of_the_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All classifiers but four are there already, done in a second each; the four take two minutes."""
    path, out, now = write_study(tmp_path, GRID), tmp_path / "out", 0.0
    trained = [step for step in read_study(path).steps if step.stage.name == "train-classifier"]

    def make(step: Step, *_: object) -> None:
        nonlocal now
        now += 1
        (out / step.out).mkdir(parents=True, exist_ok=True)
        write_atomically(out / step.out / MANIFEST_NAME, "")

    def make_slowly(_: object, jobs: list[Any], *__: object, **___: object) -> Iterator[tuple[Any, bool]]:
        for job in jobs:
            make(job[1])
            yield job, True

    for step in trained[:-4]:
        make(step)
    monkeypatch.setattr(run, "work_through", make_slowly)
    monkeypatch.setattr(run, "_seconds_of", lambda *_: 120.0)
    monkeypatch.setattr(run, "_run_step", make)
    monkeypatch.setattr(run, "check_pairs", lambda *_: None)  # there are none that could be counted
    monkeypatch.setattr(planned, "_check_finished_steps", lambda *_: None)  # their manifests are empty
    monkeypatch.setattr(run.time, "monotonic", lambda: now)
    progress = Notes()
    with pytest.raises(ArtifactError):  # at the end, since nothing was made
        run.run_study(path, out, progress, workers=2)
    left = len(trained) + 2  # all are evaluated, then compared and told
    assert progress.notes["train-classifier"] == [
        *(
            f"whole study: about {time} for {steps}, not counting {left} of stages that have not run yet"
            for time, steps in (("3 min", "3 steps"), ("2 min", "2 steps"), ("60 s", "1 step"))
        ),
        f"{left} steps of later stages left",
    ]


# ---- uses of fills, networks by name --------------------------------------------------------------------------------

USES = """
[grid]
doses = [1, 3]
real_shares = [0.25, 1]

[train-classifier]
network = "shallow-cnn"
weights = "none"
augmentation.strong = true

[[arms]]
name = "real"

[[arms]]
name = "mixed in"
synthetic = true
synthetic_share = 0.25
synthetic_weight = 0.5

[[arms]]
name = "first"
synthetic = true
synthetic_first = 0.5
"""


def test_arms_that_use_fills_differently_have_the_same_counterpart(tmp_path: Path) -> None:
    design = design_of(read_study(write_study(tmp_path, USES)).plan)
    beside = {group.arm: design.counterpart_of(group) for group in design.groups if group.dose == 1}
    assert {name: other.arm for name, other in beside.items() if other} == dict.fromkeys(("mixed in", "first"), "real")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[arms]]\nname = "A"\nsynthetic_share = 0.5\n', "synthetic_share = 0.5 is of synthetic patches, but the arm"),
        (
            '[[arms]]\nname = "A"\nsynthetic_weight = 2.0\n',
            "synthetic_weight = 2.0 is of synthetic patches, but the arm",
        ),
    ],
)
def test_uses_of_fills_without_sense_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read_study(write_study(tmp_path, text))


def test_a_network_that_timm_has_not_is_refused_before_anything_runs(tmp_path: Path) -> None:
    pytest.importorskip("timm", reason="timm is not installed (the extra backbones)")
    text = '[[arms]]\nname = "A"\nnetwork = "timm/test_efficientnetz"\nweights = "none"\n'
    with pytest.raises(SettingsError, match=r"\[\[arms\]\] 'A': timm .* has no network called 'test_efficientnetz'"):
        read_study(write_study(tmp_path, text))
