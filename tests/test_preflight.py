"""What a study lacks is told before anything runs, all of it at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from test_first_study import write_own

from mammofill.classifier.settings import TrainClassifierSettings
from mammofill.cli import main
from mammofill.experiment import preflight, read_study, run_study
from mammofill.experiment.effort import effort_lines, seconds_of
from mammofill.experiment.planned import keep_plan
from mammofill.experiment.preflight import ready_study
from mammofill.ground.artifact import (
    MANIFEST_NAME,
    InputRecord,
    LearnedFrom,
    Manifest,
    begin,
    read_manifest,
    settings_of_plan,
)
from mammofill.ground.errors import (
    DeviceError,
    LeakError,
    MammofillError,
    PlanChangedError,
    SettingsError,
    SourceError,
    TooFewError,
    WeightsError,
)
from mammofill.ground.progress import quiet
from mammofill.mammograms.sources.collections import read_collection
from mammofill.mammograms.split import split_patients
from mammofill.pairing import PairPatchesSettings

Write = Callable[..., Path]

SMALL = """
[train-infiller]
preset = "flow-small"
schedule.images = 3000

[train-classifier]
network = "shallow-cnn"
weights = "none"
images = 6000

[[arms]]
name = "real"

[[arms]]
name = "real + generated"
synthetic = true
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a study of a table whose patients have these lesions."""

    def write(*lesions: str, more: str = "", small: str = SMALL, split: str = "") -> Path:
        write_own(tmp_path / "own", *lesions, split=split)
        path = tmp_path / "study.toml"
        ingest = '[ingest]\ncollection = "table"\nsource = "own/own.csv"\n'
        path.write_text(f"{more}\n{ingest}\n{small}", encoding="utf-8")
        return path

    return write


def fault(path: Path, out: Path) -> MammofillError:
    with pytest.raises(MammofillError) as found:
        ready_study(path, out)
    return found.value


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (
            "[train-infiller]",
            r"study.toml \[train-infiller\]: no arm uses this infiller and nothing judges it, so it would",
        ),
        (
            "[infillers.flow]",
            r"\[infillers.flow\]: no arm uses .* Give an arm synthetic = 'flow', or take",
        ),
    ],
)
def test_an_infiller_that_nothing_uses_is_told_before_anything_runs(
    write: Write, tmp_path: Path, table: str, words: str
) -> None:
    unused = SMALL.replace("synthetic = true", "augmentation.strong = true").replace("[train-infiller]", table)
    path = write(*["benign", "malignant"] * 6, small=unused)
    assert re.search(words, str(fault(path, tmp_path / "out")))
    path.write_text(unused_and_quick(path.read_text()), encoding="utf-8")
    ready_study(path, tmp_path / "out", quick=True)


def unused_and_quick(text: str) -> str:
    return text + "\n[quick.train-classifier]\nimages = 500\n"


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        ("aera", r"study.toml \[write-report\]: size_attribute is 'aera', .*own.csv has .*; there are: area, shape"),
        ("shape", r"of lesion 0_1 of patient p0 in .*own.csv it is 'oval', which is no number"),
    ],
)
def test_a_size_attribute_that_is_none_is_told_before_anything_runs(
    write: Write, tmp_path: Path, attribute: str, words: str
) -> None:
    report = '\n[write-report]\nsize_attribute = "{}"\n'
    path = write(*["benign", "malignant"] * 6, small=SMALL + report.format(attribute))
    table = tmp_path / "own" / "own.csv"
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([f"{header},area,shape", *(f"{row},12.5,oval" for row in rows)]))
    found = fault(path, tmp_path / "out")
    assert isinstance(found, SettingsError)
    assert re.search(words, str(found))
    path.write_text(path.read_text().replace(report.format(attribute), report.format("area")))
    ready_study(path, tmp_path / "out")


def test_faults_of_several_tables_are_told_with_the_hole_that_infillers_share(write: Write, tmp_path: Path) -> None:
    hole = '[hole]\nrule = "ellipse"\n[train-infiller]\npreset = "paper"\nhole.share = 0.2\n'
    found = fault(
        write("benign", small=f"{hole}[evaluate]\nresamples = -1\n[grid]\nclassifiers = 0\n"), tmp_path / "out"
    )
    assert str(found).startswith("2 faults"), found
    assert "share" not in str(found)


def test_nothing_is_lacking(write: Write, tmp_path: Path) -> None:
    study = ready_study(write(*["benign", "malignant"] * 6), tmp_path / "out")
    assert [arm.name for arm in study.plan.arms] == ["real", "real + generated"]
    assert not (tmp_path / "out").exists()


def test_a_split_of_the_table_that_tests_nobody_is_told_with_its_column(write: Write, tmp_path: Path) -> None:
    path = write(*["benign", "malignant"] * 6, split="train")
    found = str(fault(path, tmp_path / "out"))
    words = (
        "no patient in the test split has a benign or malignant mass lesion. The split is the collection's own (of a"
    )
    assert words in found
    assert 'draw another one with split = "patients" in [ingest], or take another abnormality.' in found


def test_one_fault_is_told_as_it_is(write: Write, tmp_path: Path) -> None:
    found = fault(write(*["benign", "malignant"] * 6, more='device = "cuda:63"'), tmp_path / "out")
    assert isinstance(found, DeviceError)
    assert "Device 'cuda:63' was requested" in str(found)


def test_all_faults_of_the_machine_and_the_patients_are_told_at_once(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(preflight, "_can_download", lambda: False)
    monkeypatch.setattr("shutil.disk_usage", lambda place: type("Usage", (), {"free": 10})())
    study = write(*["benign"] * 9, more='device = "cuda:63"', small="")
    found = str(fault(study, tmp_path / "out"))
    assert found.startswith("6 faults, and nothing has run:")
    for words in (
        "1. ", "Device 'cuda:63' was requested",
        "the ImageNet weights of vgg19, resnet50 are not on this machine",
        "own.csv: no patient in the train split has a malignant mass lesion",
        "no patient in the validation split has a malignant", "no patient in the test split has a malignant",
        "the mammograms alone will need about 0.0 GB",
    ):  # fmt: skip
        assert words in found
    assert main(["run", str(study), "--out", str(tmp_path / "out")]) == SettingsError.exit_code
    assert not (tmp_path / "out").exists()


def test_weights_that_can_be_downloaded_are_no_fault(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    study = write(*["benign", "malignant"] * 6, small="")
    monkeypatch.setattr(preflight, "_can_download", lambda: False)
    assert isinstance(fault(study, tmp_path / "out"), WeightsError)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    for name in ("vgg19-1.pth", "resnet50-1.pth"):
        (tmp_path / "hub" / "checkpoints" / name).touch()
    ready_study(study, tmp_path / "out")


def test_nobody_asks_torchvision_for_a_network_of_timms(write: Write) -> None:
    (step, *_) = [one for one in read_study(write("benign")).steps if one.stage.name == "train-classifier"]
    of_timm = TrainClassifierSettings(network="timm/tf_efficientnet_lite0")
    assert preflight.downloaded_by(replace(step, settings=of_timm)) == ""
    assert preflight.downloaded_by(replace(step, settings=TrainClassifierSettings())) == "resnet50"


def test_validation_patients_are_needed_only_where_something_is_chosen_on_them(write: Write, tmp_path: Path) -> None:
    lesions = ["benign", "malignant"] * 2
    path = write(*lesions, more="")
    path.write_text(path.read_text().replace('own.csv"\n', 'own.csv"\nvalidation_share = 0\ntest_share = 0.5\n'))
    found = fault(path, tmp_path / "out")
    assert isinstance(found, TooFewError)
    assert "no patient in the validation split has a benign or malignant mass lesion" in str(found)
    path.write_text(path.read_text().replace("images = 6000", 'images = 6000\nthreshold_rule = "half"'))
    ready_study(path, tmp_path / "out")


def test_patients_of_a_test_source_of_its_own_are_counted_there(write: Write, tmp_path: Path) -> None:
    path = write(*["benign", "malignant"] * 6, more='[test]\nsource = "held-out/own.csv"\n')
    write_own(tmp_path / "held-out", "benign", "malignant", split="test", patient="h{}")
    assert ready_study(path, tmp_path / "out").plan.test
    write_own(tmp_path / "held-out", "benign", "benign", split="test", patient="h{}")
    found = str(fault(path, tmp_path / "out"))
    assert "held-out/own.csv: no patient in the test split has a malignant mass lesion" in found


@pytest.mark.parametrize("patient", ["P-00{}", "p{}_left"])
def test_test_patients_who_are_learned_from_are_told(write: Write, tmp_path: Path, patient: str) -> None:
    path = write(*["benign", "malignant"] * 6, more='[test]\nsource = "held-out/own.csv"\n')
    write_own(tmp_path / "held-out", "benign", "malignant", split="test", patient=patient)
    found = fault(path, tmp_path / "out")
    assert isinstance(found, LeakError)
    assert re.search(
        r"held-out/own.csv: 2 of its patients would be tested and, in .*own/own.csv, learned from: "
        rf"{patient.format(0)} \(there p0\), {patient.format(1)} \(there p1\). .* Take them out of one of the two. If "
        r"these are different patients",
        str(found),
    )
    table = write_own(tmp_path / "held-out", *["benign", "malignant"] * 2, split="validation")  # which tests nobody
    table.write_text(re.sub(r",p([01]),(.*),validation", r",h\1,\2,test", table.read_text()))
    ready_study(path, tmp_path / "out")


EXTERNAL = '[external]\nname = "clinic"\ncollection = "table"\nsource = "{}/own.csv"\n'


def test_an_external_source_needs_patients_of_both_classes(write: Write, tmp_path: Path) -> None:
    path = write(*["benign", "malignant"] * 6, more=EXTERNAL.format("clinic"))
    write_own(tmp_path / "clinic", *["benign"] * 6, patient="c{}")
    found = fault(path, tmp_path / "out")
    assert isinstance(found, TooFewError)
    assert "no patient in the external source, all of which tests, has a malignant mass lesion. Take another" in str(
        found
    )
    write_own(tmp_path / "clinic", "benign", "malignant", patient="c{}", split="train")
    ready_study(path, tmp_path / "out")
    write_own(tmp_path / "clinic", "benign", "malignant", patient="p{}", split="train")
    assert "2 of its patients would be tested" in str(fault(path, tmp_path / "out"))


@pytest.mark.parametrize(
    ("external", "words"),
    [
        (EXTERNAL.format("own"), r"test set 'clinic' \(.*own.csv\) is not external: both are read from .*own.csv"),
        (
            '[external]\nname = "clinic"\ncollection = "cbis-ddsm"\nsource = "."\n',
            r"is not external: both are cbis-ddsm. Take",
        ),
    ],
)
def test_an_external_source_that_is_none_is_told(write: Write, tmp_path: Path, external: str, words: str) -> None:
    path = write(*["benign", "malignant"] * 6, more=external)
    if "cbis" in words:
        ingest = '[ingest]\ncollection = "table"\nsource = "own/own.csv"\n'
        path.write_text(path.read_text().replace(ingest, "[phantom]\npatients = 40\n"))
    assert re.search(words, str(fault(path, tmp_path / "out")))


def taught(folder: Path, *ways: LearnedFrom) -> Path:
    """Write what says that it learned from some patients."""
    with begin(folder, kind="infiller", stage="x", settings=PairPatchesSettings(), seed=0, inputs={}) as work:
        assert work is not None
        work.finish({"patients": 1}, ways)
    return folder


@pytest.mark.parametrize(
    ("more", "ways", "words"),
    [
        ("", {"train-infiller": "test"}, r"learned from 6 patients of the test split of .*own.csv: p\d+, .*through"),
        ("", {"train-infiller": "validation"}, "learned from 4 patients of the validation split of"),
        ("", {"train-infiller (validation: choice of weights)": "validation"}, ""),
        ("", {"train-infiller (validation: choice of weights)": "test"}, "learned from 6 patients of the test split"),
        ("", {"train-infiller": "train"}, ""),
        ("[grid]\nfolds = 3\n", {"train-infiller": "train"}, "learned from 20 patients of the test split"),
        (
            "[grid]\nreal_shares = [0.25, 1]\ntraining_sets = 2\n",
            {"train-infiller": "train"},
            r"learned from 20 of the 20 train patients of .*own.csv: .* infillers must have learned from no patient of "
            "a training set, and about 11 patients are in none",
        ),
    ],
)
def test_an_infiller_from_elsewhere_that_knows_too_much_is_told(
    write: Write, tmp_path: Path, more: str, ways: dict[str, str], words: str
) -> None:
    lesions, started = (
        ["benign", "malignant"] * 15,
        SMALL.replace("schedule.images", 'start = "start"\nschedule.images'),
    )
    ingest = read_study(write(*lesions)).steps[0]
    split_of = split_patients(read_collection(tmp_path / "own/own.csv", ingest.settings).mammograms, ingest.settings, 0)
    people = {way: [who for who, split in split_of.split_of.items() if split == side] for way, side in ways.items()}
    taught(tmp_path / "start", *[LearnedFrom(way, tuple(who)) for way, who in people.items()])
    path = write(*lesions, more=more, small=started)
    if words:
        found = fault(path, tmp_path / "out")
        assert isinstance(found, LeakError)
        assert re.search(words, str(found)), found
    else:
        ready_study(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            "[extract-patches]\nsize_px = 33\n",
            r"\[extract-patches\] size_px = 33: Veloc.* but 33 px cannot be halved so",
        ),
        (
            "[extract-patches]\nnormals_per_mammogram = 0\n",
            r"normals_per_mammogram = 0 in \[extract-patches\] cuts no .* Set it to 1 or more, or contexts to",
        ),
        ("[extract-patches]\nnormals_per_mammogram = 0\nwhole = true\n", ""),
        ('[extract-patches]\nnormals_per_mammogram = 0\n[pair-patches]\ncontexts = "lesion"\n', ""),
        (
            "[grid]\nreal_shares = [0.06, 1]\n",
            r"faults.*own.csv: a share of 0.06 of the 7 malignant patients of the train split has no patient. Take",
        ),
        ("[grid]\nreal_shares = [0.1, 1]\n", ""),
    ],
)
def test_what_patches_and_shares_cannot_be_is_told_before_anything_runs(
    write: Write, tmp_path: Path, more: str, words: str
) -> None:
    path = write(*["benign", "malignant"] * 11, more=more)
    if words:
        assert re.search(words, str(fault(path, tmp_path / "out")), re.DOTALL)
    else:
        ready_study(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            "[grid]\nfolds = 13\n",
            r"\[phantom\] draws 12 malignant and 12 benign patients, but each of 13 test sets needs",
        ),
        ('[extract-patches]\nabnormality = "calcification"\n', r"is calcification, but \[phantom\] draws none. Set"),
        (
            "[ingest]\nvalidation_share = 0\n",
            "validation_share is 0 in .* choose nothing: threshold_rule half, keep last",
        ),
        ("[grid]\nfolds = 12\n", ""),
    ],
)
def test_what_practice_patients_cannot_give_is_told_before_they_are_drawn(
    tmp_path: Path, more: str, words: str
) -> None:
    path = tmp_path / "study.toml"
    path.write_text(f"{more}\n[phantom]\npatients = 24\n{SMALL}", encoding="utf-8")
    if words:
        found = fault(path, tmp_path / "out")
        assert isinstance(found, TooFewError)
        assert re.search(words, str(found))
    else:
        ready_study(path, tmp_path / "out")


def test_a_table_of_attributes_that_fits_no_picture_is_a_fault(write: Write, tmp_path: Path) -> None:
    path = write(*["benign", "malignant"] * 6)
    path.write_text(path.read_text().replace("[ingest]", '[ingest]\nattributes = "attributes.csv"'))
    (tmp_path / "attributes.csv").write_text("image,shape\nelsewhere.png,oval\n")
    assert "names none of the 12 lesions' pictures" in str(fault(path, tmp_path / "out"))


def test_all_faults_of_the_file_are_told_at_once(write: Write, tmp_path: Path) -> None:
    path = write(
        "benign", "malignant",
        more="[extract-patches]\nsise_px = 64\n[synthesize]\nratio = -1\n[grid]\ninfillers = 0\n",
        small='[[arms]]\nname = "a"\nnetwork = "vgg"\n[[arms]]\nname = "b"\nepochs = 0\n',
    )  # fmt: skip
    found = str(fault(path, tmp_path / "out"))
    assert found.startswith("5 faults, and nothing has run:")
    for words in (
        "[extract-patches] has no setting called 'sise_px'", "SynthesizeSettings.ratio must be a number, at least 0",
        "Grid.infillers must be at least 1", "[[arms]] 'a': TrainClassifierSettings.network must be one of",
        "TrainClassifierSettings.epochs must be",
    ):  # fmt: skip
        assert words in found


def test_a_fault_that_all_arms_share_is_told_once(write: Write, tmp_path: Path) -> None:
    small = SMALL.replace('weights = "none"', 'weights = "imagenet"\nweights_file = "nowhere.pth"')
    found = fault(write("benign", "malignant", small=small), tmp_path / "out")
    assert isinstance(found, SourceError)
    assert str(found) == (
        f"{tmp_path / 'study.toml'} [train-classifier]: weights_file {tmp_path / 'nowhere.pth'} does not exist. It is "
        "relative to the TOML file that names it."
    )
    mistyped = SMALL.replace("images = 6000", "imagse = 6000")
    found = fault(write("benign", "malignant", small=mistyped), tmp_path / "out")
    assert "[train-classifier] has no setting called 'imagse'" in str(found)
    assert "faults" not in str(found)


def test_what_an_arm_is_to_learn_from_is_no_fault_of_its_settings(write: Write, tmp_path: Path) -> None:
    arms = SMALL.replace("synthetic = true", 'synthetic = true\nselect = "gated"\nshares = [1]')
    found = str(fault(write("benign", "malignant", more="[grid]\ninfillers = 0\n", small=arms), tmp_path / "out"))
    assert "Grid.infillers must be at least 1" in found
    assert "faults" not in found


# ---- how much it is -----------------------------------------------------------------------------------------------


def finish(
    out: Path,
    stage: str,
    settings: object,
    seconds: float,
    device: str | None,
    inputs: Sequence[object] = (),
    **counts: int,
) -> None:
    """Write a manifest as a finished artifact has it."""
    content = {
        "kind": "x", "stage": stage, "format_version": 1, "package_version": "1", "settings": settings, "execution": {},
        "seed": 0, "device": device, "inputs": inputs, "fingerprint": "f", "files": {}, "counts": counts,
        "patients_learned_from": [], "wall_seconds": seconds,
    }  # fmt: skip
    out.mkdir(parents=True)
    (out / MANIFEST_NAME).write_text(json.dumps(content))


def test_steps_images_and_no_time_where_no_rate_is_known(write: Write, tmp_path: Path) -> None:
    study = read_study(write("benign", "malignant"))
    assert list(effort_lines(study, tmp_path / "runs" / "out", "cpu")) == [
        "steps   11, of which 0 are done",
        "images  train-infiller: 1 x 3,000",
        "images  train-classifier: 2 x 6,000",
        f"time    unknown: no comparable step was finished in {tmp_path / 'runs' / 'out'} or beside it. A rate is "
        "known once one such step is finished there: a training of the same network on the same device, any other step "
        "with the same settings.",
    ]


def test_a_time_comes_from_the_rate_of_a_finished_training_of_the_same_network(write: Write, tmp_path: Path) -> None:
    study = read_study(write("benign", "malignant"))
    (infiller,) = [step for step in study.steps if step.stage.name == "train-infiller"]
    plan = settings_of_plan(infiller.settings)
    other = plan | {"network": plan["network"] | {"widths": [8, 8]}}
    finish(tmp_path / "runs" / "before" / "infiller", "train-infiller", plan, 100.0, "cpu", images_seen=1000)
    finish(tmp_path / "runs" / "small" / "infiller", "train-infiller", other, 1.0, "cpu", images_seen=1000)
    finish(tmp_path / "runs" / "gpu" / "infiller", "train-infiller", plan, 2.0, "cuda", images_seen=1000)
    lines = list(effort_lines(study, tmp_path / "runs" / "out", "cpu"))
    assert lines[-1].startswith("time    about 5 min for 1 step")
    assert "not counting 1 ingest, 1 extract-patches" in lines[-1]
    assert "about 6 s for 1 step" in list(effort_lines(study, tmp_path / "runs" / "out", "cuda"))[-1]


def test_another_stage_takes_as_long_as_with_the_same_settings(write: Write) -> None:
    study = read_study(write("benign", "malignant"))
    (step,) = [step for step in study.steps if step.stage.name == "synthesize"]

    def took(settings: dict[str, object], seconds: float) -> Manifest:
        return Manifest("x", "synthesize", 1, "1", settings, {}, 0, "cpu", (), "f", {}, {}, (), seconds)

    plan = settings_of_plan(step.settings)
    assert seconds_of(step, [took(plan, 30.0), took(plan | {"ratio": 2.0}, 300.0)], "cpu") == 30.0
    assert seconds_of(step, [took(plan | {"ratio": 2.0}, 300.0)], "cpu") is None


def test_a_trial_takes_the_time_of_the_trainings_that_are_left_to_it(write: Write, tmp_path: Path) -> None:
    study = read_study(write("benign", "malignant"))
    step = [step for step in study.steps if step.stage.name == "train-classifier"][-1]
    plan = settings_of_plan(step.settings)
    finish(tmp_path / "c", "train-classifier", plan, 30.0, "cpu", images_seen=6000)
    finished = [read_manifest(tmp_path / "c")]
    tried = replace(step, settings=replace(step.settings, synthetic_if_better=True))
    assert seconds_of(step, finished, "cpu") == pytest.approx(30)
    assert seconds_of(tried, finished, "cpu") == pytest.approx(60)
    one, both = ({**step.inputs, "trained": tuple(map(Path, names))} for names in ("a", "ab"))
    assert seconds_of(replace(tried, inputs=one), finished, "cpu") == pytest.approx(30)
    assert seconds_of(replace(tried, inputs=both), finished, "cpu") == 0
    # A step that has taken over some of its work gives no rate.
    taken = (InputRecord("trained", "classifier", "../a", "f"),)
    made = replace(finished[0], settings=plan | {"synthetic_if_better": True}, inputs=taken)
    assert seconds_of(step, [made], "cpu") is None
    assert seconds_of(replace(tried, inputs=both), [made], "cpu") == 0, "nothing is left, whatever the rate"


def test_pasted_lesions_see_no_images(write: Write, tmp_path: Path) -> None:
    pasted = SMALL.replace('preset = "flow-small"\nschedule.images = 3000', 'preset = "copy-paste"')
    study = read_study(write("benign", "malignant", small=pasted))
    of_images = [line for line in effort_lines(study, tmp_path / "out", "cpu") if line.startswith("images")]
    assert of_images == ["images  train-classifier: 2 x 6,000"]


def test_no_time_where_only_trials_are_known_which_train_nothing(write: Write, tmp_path: Path) -> None:
    study = read_study(write("benign", "malignant"))
    step = [step for step in study.steps if step.stage.name == "train-classifier"][-1]
    trial = replace(
        step,
        settings=replace(step.settings, synthetic_if_better=True),
        inputs={**step.inputs, "trained": (Path("a"), Path("b"))},
    )
    lines = list(effort_lines(replace(study, steps=(*study.steps, trial)), tmp_path / "out", "cpu"))
    assert lines[-1].startswith("time    unknown: no comparable step was finished")


def test_a_plan_marks_what_is_not_as_usual(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(write(*["benign", "malignant"] * 6)), "--out", str(tmp_path / "out"), "--dry-run"]) == 0
    plan = capsys.readouterr().out
    assert "* collection = 'table'  (default 'cbis-ddsm')" in plan
    assert "* schedule.images = 3000  (default 130000)" in plan  # of its preset
    assert "\n  preset = 'flow-small'\n" in plan
    assert "\n  size_px = 256\n" in plan
    assert not (tmp_path / "out").exists()


def test_a_dry_run_of_a_finished_study_says_what_a_run_would_say(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lesions, out = ["benign", "malignant"] * 6, tmp_path / "out"
    path = write(*lesions)
    for step in keep_plan(read_study(path), out, quiet).steps:
        finish(out / step.out, step.stage.name, settings_of_plan(step.settings), 1.0, None)
    command = ["run", str(path), "--out", str(out), "--dry-run"]
    assert main(command) == 0
    write(*lesions, small=SMALL.replace("images = 6000", "images = 7000"))
    assert main(command) == 4
    plan = capsys.readouterr().out.split("No fault was found")[-1]
    assert plan.count("(made with other settings or seed, will be refused)") == 2
    assert plan.count("(not reached, as it is made from what will be refused)") == 4  # evaluations, comparison, report
    assert f"{out} holds 2 test scores of another plan" in plan
    assert "images: was 6000, now 7000" in plan
    assert re.search(r"Refused, as made .* or delete them and what was made from them.\n$", plan)

    write(*lesions, more="[compare-arms]\nmargin = 0.02\n")
    assert main(command) == 4
    assert "margin: was None, now 0.02" in capsys.readouterr().out
    assert main([*command, "--amend"]) == 0
    assert f"-> {out / 'comparison-2'}  (will run)" in capsys.readouterr().out
    with pytest.raises(MammofillError, match="holds 2 test scores of another plan"):
        run_study(path, out)


def test_a_finished_step_of_other_inputs_is_told_before_the_study_file_is_replaced(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    path = write(*["benign", "malignant"] * 6)
    for step in keep_plan(read_study(path), out, quiet).steps:
        inputs = [
            {"role": role, "kind": "x", "path": f"../../{place}", "fingerprint": "f"}
            for role, places in step.inputs.items() for place in places if not place.is_absolute()
        ]  # fmt: skip
        finish(out / step.out, step.stage.name, settings_of_plan(step.settings), 1.0, None, inputs)
    command = ["run", str(path), "--out", str(out), "--dry-run"]
    assert main(command) == 0

    (other,) = out.glob(f"classifiers/real/{MANIFEST_NAME}")
    other.write_text(other.read_text().replace('"fingerprint": "f", "files"', '"fingerprint": "g", "files"'))
    path.write_text(path.read_text() + "\n# mended\n")
    capsys.readouterr()
    assert main(command) == 4
    plan = capsys.readouterr().out
    assert plan.count("(made from other inputs, will be refused)") == 1
    assert f"or from other inputs: {out / 'evaluations' / 'real'}. Take another --out" in plan
    with pytest.raises(
        PlanChangedError, match=r"evaluations/real was finished with another plan:\n  inputs.classifier: "
    ):
        keep_plan(read_study(path), out, quiet)
    assert "# mended" not in (out / "study.toml").read_text()


def test_a_study_is_not_written_into_a_finished_artifact(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mammograms"
    finish(out, "ingest", {}, 1.0, None)
    for command in (["demo"], ["run", str(write(*["benign", "malignant"] * 6))]):
        for more in ([], ["--dry-run"]):
            assert main([*command, "--out", str(out), *more]) == 4
            message = capsys.readouterr().err
            assert f"{out} is a finished x artifact; a study needs a folder of its own as --out." in message
    assert [one.name for one in out.iterdir()] == [MANIFEST_NAME]


def test_a_studio_that_cannot_be_opened_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for port in ("99999", "-4"):
        assert main(["studio", str(tmp_path), "--port", port]) == 2
        assert f"--port must be in 0..65535, but is {port}. 0 takes a free one." in capsys.readouterr().err
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert main(["studio", str(tmp_path), "--device", "cuda"]) == 6
    assert "Device 'cuda' was requested, but 0 CUDA devices were found." in capsys.readouterr().err
