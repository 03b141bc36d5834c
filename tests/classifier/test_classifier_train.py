from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from toy_classifier import make_mammograms, patch_row, real_rows, synthetic_row

from mammofill.classifier import AugmentationSettings, Classifier, TrainClassifierSettings, train_classifier
from mammofill.ground import stopping
from mammofill.ground.artifact import LearnedFrom, check_content
from mammofill.ground.errors import (
    ArtifactError,
    DamagedError,
    DeviceError,
    LeakError,
    PlanChangedError,
    TooFewError,
    TrainingError,
    WeightsError,
)
from mammofill.ground.imaging import to_unit
from mammofill.ground.progress import Progress, Task
from mammofill.patches.patch_set import PatchSet

MakeSet = Callable[..., PatchSet]

QUICK = TrainClassifierSettings(
    network="shallow-cnn",
    weights="none",
    input_px=32,
    epochs=4,
    batch=8,
    learning_rate=1e-3,
    augmentation=AugmentationSettings(traditional=True),
)


def lesions(patches: PatchSet, split: str) -> tuple[np.ndarray, np.ndarray]:
    rows = patches.rows(split=split, pathology=("benign", "malignant"))
    return to_unit(patches.pixels(rows)[0]), (patches.table["pathology"].iloc[rows] == "malignant").to_numpy()


def test_it_learns_what_can_be_learned(real: PatchSet, tmp_path: Path) -> None:
    trained = train_classifier([real], tmp_path / "classifier", replace(QUICK, epochs=10))
    history = trained.history
    assert history["epoch"].tolist() == list(range(1, 11))
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] / 2
    images, malignant = lesions(real, "test")
    assert roc_auc_score(malignant, trained.logits(images)) > 0.9
    assert trained.label == "Shallow CNN, random start"
    assert 0 < trained.threshold < 1
    assert trained.facts["validation_patches"] == 6
    assert not (trained.folder / "checkpoint.pt").exists()
    check_content(trained)


def test_counts_and_patients(real: PatchSet, tmp_path: Path) -> None:
    trained = train_classifier([real], tmp_path / "classifier", replace(QUICK, epochs=1))
    assert trained.manifest.counts == {
        "train_real_benign": 6,
        "train_real_malignant": 6,
        "train_synthetic_benign": 0,
        "train_synthetic_malignant": 0,
        "validation_real_benign": 3,
        "validation_real_malignant": 3,
        "images_seen": 16,  # one pass of 12, in batches of 8
    }
    ways = trained.manifest.learned_patients()
    assert ways["train-0"] == ["train-classifier"]
    assert ways["validation-0"] == ["train-classifier (validation: threshold)"]
    assert not any(patient.startswith("test") for patient in ways)
    assert "train-2" not in ways  # a normal patch teaches nothing here


def test_synthetic_patches_bring_their_patients(real: PatchSet, patch_set: MakeSet, tmp_path: Path) -> None:
    synthetic = patch_set(
        [synthetic_row(2, "malignant", mask_donor_patient_id="train-1")],
        learned_from=[LearnedFrom("train-infiller", ("train-4",))],
    )
    trained = train_classifier([real, synthetic], tmp_path / "classifier", replace(QUICK, epochs=1))
    assert trained.manifest.counts["train_synthetic_malignant"] == 1
    ways = trained.manifest.learned_patients()
    assert ways["train-2"] == ["train-classifier (context of a synthetic patch)"]
    assert "train-classifier (mask donor of a synthetic patch)" in ways["train-1"]
    assert "train-infiller" in ways["train-4"]


def test_same_command_same_fingerprint_other_seed_another(real: PatchSet, tmp_path: Path) -> None:
    settings = replace(QUICK, epochs=2)
    one = train_classifier([real], tmp_path / "one", settings, seed=1)
    same = train_classifier([real], tmp_path / "same", settings, seed=1)
    streamed = train_classifier([real], tmp_path / "streamed", replace(settings, memory_gb=0.0), seed=1)
    other = train_classifier([real], tmp_path / "other", settings, seed=2)
    assert one.fingerprint == same.fingerprint == streamed.fingerprint
    assert one.fingerprint != other.fingerprint


def test_scores_do_not_depend_on_batch_size_and_are_the_logits(real: PatchSet, tmp_path: Path) -> None:
    trained = train_classifier([real], tmp_path / "classifier", replace(QUICK, epochs=1))
    images, _ = lesions(real, "test")
    logits = trained.logits(images)
    assert logits.dtype == np.float64
    assert logits == pytest.approx(trained.logits(images, batch_size=1), abs=1e-4)
    assert trained.scores(images) == pytest.approx(1 / (1 + np.exp(-logits)))
    assert trained.logits(images[:0]).shape == (0,)


def test_scores_that_are_no_numbers_are_refused(real: PatchSet, tmp_path: Path) -> None:
    trained = train_classifier([real], tmp_path / "classifier", replace(QUICK, epochs=1))
    with torch.no_grad():
        for weights in trained.network.parameters():
            weights.fill_(1e30)
    with pytest.raises(WeightsError, match=r"the network gives 3 of 3 patches a score of NaN or infinity"):
        trained.logits(lesions(real, "test")[0][:3])


def test_threshold_separates_validation_as_frozen(real: PatchSet, tmp_path: Path) -> None:
    trained = train_classifier([real], tmp_path / "classifier", QUICK)
    images, malignant = lesions(real, "validation")
    called = trained.scores(images) >= trained.threshold
    balanced = (called[malignant].mean() + (~called)[~malignant].mean()) / 2
    assert balanced == pytest.approx(trained.facts["validation_balanced_accuracy"])


def test_opens_without_torchvisions_downloads(real: PatchSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(QUICK, network="squeezenet1_1", epochs=1)
    trained = train_classifier([real], tmp_path / "classifier", settings)

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("something was to be downloaded")

    monkeypatch.setattr(torch.hub, "download_url_to_file", forbidden)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", forbidden)
    images, _ = lesions(real, "test")
    assert np.array_equal(Classifier.open(trained.folder).logits(images), trained.logits(images))
    assert trained.label == "SqueezeNet 1.1, random start"


def test_images_instead_of_epochs(real: PatchSet, tmp_path: Path) -> None:
    trained = train_classifier([real], tmp_path / "classifier", replace(QUICK, images=20))
    assert trained.manifest.counts["images_seen"] == 24
    assert trained.history["images_seen"].tolist() == [16, 24]


def test_validating_less_often_changes_nothing_but_the_history(real: PatchSet, tmp_path: Path) -> None:
    often = train_classifier([real], tmp_path / "often", QUICK)
    seldom = train_classifier([real], tmp_path / "seldom", replace(QUICK, validate_every_images=20))
    assert often.history["images_seen"].tolist() == [16, 24, 40, 48]
    assert seldom.history["images_seen"].tolist() == [24, 48]
    assert seldom.history["epoch"].tolist() == [2, 4]
    first, second = often.history["loss"][:2]
    assert seldom.history["loss"][0] == pytest.approx((2 * first + second) / 3), "mean over steps"
    images, _ = lesions(real, "test")
    assert np.array_equal(often.logits(images), seldom.logits(images))


def test_best_weights_are_those_of_the_greatest_validation_auc(real: PatchSet, tmp_path: Path) -> None:
    trained = train_classifier([real], tmp_path / "classifier", replace(QUICK, keep="best"))
    history = trained.history
    best = int(history["images_seen"][history["validation_auc"].idxmax()])
    assert trained.facts["kept"] == {"rule": "best", "images_seen": best}
    images, malignant = lesions(real, "validation")
    assert roc_auc_score(malignant, trained.logits(images)) == pytest.approx(history["validation_auc"].max())
    ways = trained.manifest.learned_patients()
    assert ways["validation-0"] == ["train-classifier (validation: threshold, choice of weights)"]


def test_learning_rate_falls_as_the_paper_says(real: PatchSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.Adam.step

    def recorded(self: torch.optim.Adam, *given: Any, **named: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *given, **named)

    monkeypatch.setattr(torch.optim.Adam, "step", recorded)
    settings = replace(QUICK, epochs=5, batch=12, decay_every_epochs=2, learning_rate=1e-4)
    train_classifier([real], tmp_path / "classifier", settings)
    assert rates == pytest.approx([1e-4, 1e-4, 0.9e-4, 0.9e-4, 0.81e-4])


class StoppedError(Exception):
    pass


class StopsAfter(Progress):
    """Stops the run after a number of steps, as a user's Ctrl-C would."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[Task]:
        yield self

    def advance(self, steps: float = 1, note: str = "") -> None:
        if steps == 8:
            self.steps -= 1
        if self.steps == 0:
            raise StoppedError


@pytest.mark.parametrize(("network", "keep"), [("shallow-cnn", "best"), ("squeezenet1_1", "last")])
def test_stopped_and_continued_equals_uninterrupted(real: PatchSet, tmp_path: Path, network: Any, keep: Any) -> None:
    settings = replace(QUICK, network=network, keep=keep, checkpoint_every_images=8)
    whole = train_classifier([real], tmp_path / "whole", settings)
    for steps in (2, 3):  # stopped in the middle of a pass, twice
        with pytest.raises(StoppedError):
            train_classifier([real], tmp_path / "parts", settings, progress=StopsAfter(steps))
        assert not (tmp_path / "parts").exists()
    last = StopsAfter(100)
    parts = train_classifier([real], tmp_path / "parts", settings, progress=last)
    assert last.said == ["Going on after 16 images."]  # a step that was not saved is taken again
    assert parts.fingerprint == whole.fingerprint


def test_a_checkpoint_of_something_else_is_damage(real: PatchSet, tmp_path: Path) -> None:
    settings = replace(QUICK, checkpoint_every_images=8)
    with pytest.raises(StoppedError):
        train_classifier([real], tmp_path / "parts", settings, progress=StopsAfter(3))
    torch.save({}, tmp_path / "parts.partial" / "checkpoint.pt")
    with pytest.raises(DamagedError, match=r"The checkpoint in .*parts.partial is of another network or of another"):
        train_classifier([real], tmp_path / "parts", settings)


class Signalled(StopsAfter):
    """Somebody sends a signal in the midst of a training."""

    def __init__(self, steps: int, number: signal.Signals) -> None:
        super().__init__(steps)
        self.number = number

    def advance(self, steps: float = 1, note: str = "") -> None:
        try:
            super().advance(steps, note)
        except StoppedError:
            self.steps = -1  # once
            signal.raise_signal(self.number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_a_checkpoint_of_the_step(
    real: PatchSet, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    settings = replace(QUICK, checkpoint_every_images=1000)
    with pytest.raises(stopping.StoppedError) as caught:
        train_classifier([real], tmp_path / "parts", settings, progress=Signalled(3, number))
    assert caught.value.exit_code == code
    last = StopsAfter(100)
    parts = train_classifier([real], tmp_path / "parts", settings, progress=last)
    assert last.said == ["Going on after 24 images."]
    whole = train_classifier([real], tmp_path / "whole", settings)
    assert parts.fingerprint == whole.fingerprint


KILLED = """
import os, signal, sys
import torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from pathlib import Path
from contextlib import contextmanager
from mammofill.ground.progress import Progress
from mammofill.patches.patch_set import PatchSet
from test_classifier_train import QUICK, train_classifier, replace
class Kills(Progress):
    seen = 0
    @contextmanager
    def task(self, name, total):
        yield self
    def advance(self, steps=1, note=""):
        self.seen += steps
        if self.seen >= 32:
            os.kill(os.getpid(), signal.SIGKILL)
settings = replace(QUICK, checkpoint_every_images=8)
train_classifier([PatchSet.open({patches!r})], Path({out!r}), settings, progress=Kills())
"""


def test_killed_and_continued_equals_uninterrupted(real: PatchSet, tmp_path: Path) -> None:
    settings = replace(QUICK, checkpoint_every_images=8)
    tests, out = Path(__file__).parent, tmp_path / "killed"
    code = KILLED.format(tests=str(tests), patches=str(real.folder), out=str(out))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / "killed.partial" / "checkpoint.pt").is_file()
    continued = train_classifier([real], out, settings)
    whole = train_classifier([real], tmp_path / "whole", settings)
    assert continued.fingerprint == whole.fingerprint


def test_synthetic_patches_alone_are_told_to_be_that(patch_set: MakeSet, tmp_path: Path) -> None:
    synthetic = patch_set([synthetic_row(0, "benign"), synthetic_row(1, "malignant")])
    with pytest.raises(TooFewError, match="All the patches given are synthetic. Give the real ones as well"):
        refused([synthetic], tmp_path)


def test_changed_settings_are_refused_by_name(real: PatchSet, tmp_path: Path) -> None:
    settings = replace(QUICK, epochs=1)
    first = train_classifier([real], tmp_path / "classifier", settings)
    again = train_classifier([real], tmp_path / "classifier", settings)
    assert again.fingerprint == first.fingerprint
    with pytest.raises(PlanChangedError, match=r"settings\.augmentation\.traditional: was True, now False"):
        train_classifier([real], tmp_path / "classifier", replace(settings, augmentation=AugmentationSettings()))


def refused(patches: list[PatchSet], tmp_path: Path, **values: Any) -> None:
    train_classifier(patches, tmp_path / "classifier", replace(QUICK, **values))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"patient_id": "test-0"}, "was filled into tissue of patient test-0, who is in the test split"),
        ({"patient_id": "validation-1"}, "of patient validation-1, who is in the validation split"),
        # known by a normal patch alone
        ({"mask_donor_patient_id": "test-2"}, "borrows the mask of a lesion of patient test-2"),
        ({"split": "test"}, "has the split 'test', but synthetic patches are for training only"),
        ({"mask_donor_patient_id": None}, "does not say whose mask it borrows"),
    ],
)
def test_leaking_synthetic_patches_are_refused(
    real: PatchSet, patch_set: MakeSet, tmp_path: Path, more: dict[str, Any], words: str
) -> None:
    synthetic = patch_set([synthetic_row(0, "benign"), synthetic_row(1, "malignant", **more)])
    with pytest.raises(LeakError, match=words) as caught:
        refused([real, synthetic], tmp_path)
    assert "fill-malignant-1" in str(caught.value)
    assert not list(tmp_path.glob("classifier*"))


def test_an_infiller_that_saw_the_test_split_is_refused(real: PatchSet, patch_set: MakeSet, tmp_path: Path) -> None:
    synthetic = patch_set([synthetic_row(0, "benign")], learned_from=[LearnedFrom("train-infiller", ("test-1",))])
    with pytest.raises(LeakError, match=r"learned from patient test-1 \(through train-infiller\)"):
        refused([real, synthetic], tmp_path)


def test_a_patient_in_two_splits_is_refused(patch_set: MakeSet, tmp_path: Path) -> None:
    rows = [*real_rows(), patch_row(0, "benign", "test", patch_id="again", patient_id="train-0")]
    with pytest.raises(LeakError, match="Patient train-0 is in two splits: test in .*, train in "):
        refused([patch_set(rows)], tmp_path)


def test_a_patient_with_another_name_in_another_set_is_refused(patch_set: MakeSet, tmp_path: Path) -> None:
    """Sets of two ingests were compared letter by letter."""
    names = [row["patient_id"] for row in real_rows()]
    own = patch_set(real_rows(), mammograms=make_mammograms(tmp_path / "own", names))
    away = make_mammograms(tmp_path / "away", ["Train_0", "elsewhere"])
    rows = [patch_row(0, "benign", "test", patch_id="again", patient_id="Train_0")]
    words = "'train-0' in the train split, .* has patient 'Train_0' in the test split, and both spell one identifier"
    with pytest.raises(LeakError, match=words):
        refused([own, patch_set(rows, "more", mammograms=away)], tmp_path)
    learned = [LearnedFrom("train-infiller", ("TEST 1",))]
    saw = make_mammograms(tmp_path / "saw", ["TEST 1"])
    fills = patch_set([synthetic_row(0, "benign")], "fills", learned_from=learned, mammograms=saw)
    with pytest.raises(LeakError, match=r"from patient test-1 \(through train-infiller, as 'TEST 1': both spell one"):
        refused([own, fills], tmp_path)


@pytest.mark.parametrize(
    ("split", "missing", "words"),
    [
        ("train", "malignant", "no malignant patch in the train split: found 6 benign, 0 malignant"),
        ("validation", "benign", "no real benign patch in the validation split: found 0 benign, 3 malignant.*share"),
    ],
)
def test_a_missing_class_is_named(patch_set: MakeSet, tmp_path: Path, split: str, missing: str, words: str) -> None:
    rows = [row for row in real_rows() if (row["split"], row["pathology"]) != (split, missing)]
    with pytest.raises(TooFewError, match=words):
        refused([patch_set(rows)], tmp_path)


def test_without_validation_if_nothing_is_chosen_there(patch_set: MakeSet, tmp_path: Path) -> None:
    rows = [row for row in real_rows() if row["split"] != "validation"]
    settings = replace(QUICK, epochs=1, threshold_rule="half")
    trained = train_classifier([patch_set(rows)], tmp_path / "classifier", settings)
    assert trained.threshold == 0.5
    assert list(trained.history.columns) == ["images_seen", "epoch", "loss"]


@pytest.mark.parametrize(
    ("changes", "ways"),
    [({}, []), ({"keep": "best"}, ["train-classifier (validation: choice of weights)"])],
)
def test_who_chose_nothing_is_not_listed(
    real: PatchSet, tmp_path: Path, changes: dict[str, Any], ways: Sequence[str]
) -> None:
    settings = replace(QUICK, epochs=1, threshold_rule="half", **changes)
    trained = train_classifier([real], tmp_path / "classifier", settings)
    assert trained.manifest.learned_patients().get("validation-0", []) == ways


def test_the_same_set_twice_and_none_are_refused(real: PatchSet, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="hold the same patches"):
        refused([real, real], tmp_path)
    with pytest.raises(ArtifactError, match="at least one patch set"):
        refused([], tmp_path)


def test_a_device_that_is_not_there_is_refused(real: PatchSet, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cuda:99"):
        train_classifier([real], tmp_path / "classifier", QUICK, device="cuda:99")


def test_a_loss_that_is_no_number_stops_the_run(
    real: PatchSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        torch.nn.functional, "cross_entropy", lambda *_, **__: torch.tensor(float("nan"), requires_grad=True)
    )
    with pytest.raises(TrainingError, match="'cross-entropy' became nan after 0 images"):
        refused([real], tmp_path)
    assert not (tmp_path / "classifier").exists()


def test_network_json_holds_no_path(real: PatchSet, tmp_path: Path) -> None:
    trained = train_classifier([real], tmp_path / "classifier", replace(QUICK, epochs=1))
    text = (trained.folder / "network.json").read_text()
    assert str(tmp_path) not in text
    assert json.loads(text)["classes"] == ["benign", "malignant"]
