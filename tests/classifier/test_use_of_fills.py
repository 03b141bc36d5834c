"""How synthetic patches are used: which make a batch, what they weigh, and when they are learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_classifier_train import QUICK, StoppedError, StopsAfter
from toy_classifier import make_set, real_rows, synthetic_row

from mammofill.classifier import AugmentationSettings, Classifier, TrainClassifierSettings, train_classifier
from mammofill.classifier.batches import loss_weights, training_batch
from mammofill.classifier.examples import Examples, lesion_table
from mammofill.classifier.fit import fit
from mammofill.classifier.start import read_start
from mammofill.classifier.training_step import TrainingStep
from mammofill.classifier.trial import lower_bound_of_gain, ways_of_trial
from mammofill.evaluation.training import recipe_of, what_was_learned
from mammofill.ground.artifact import differences, settings_of_plan
from mammofill.ground.errors import ArtifactError, SettingsError, TooFewError
from mammofill.ground.training.distributed import training_processes
from mammofill.patches.patch_set import PatchSet

PLAIN = replace(QUICK, augmentation=AugmentationSettings(), batch=8)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[PatchSet]:
    """12 real lesions to learn from, and 20 fills."""
    folder = tmp_path_factory.mktemp("sets")
    fills = [synthetic_row(number, kind) for number in range(10) for kind in ("benign", "malignant")]
    return [make_set(folder / "real", real_rows()), make_set(folder / "fills", fills)]


@pytest.fixture(scope="module")
def mixed(sets: list[PatchSet]) -> Examples:
    table = lesion_table(sets)
    return Examples(sets, table[table["split"] == "train"], 32, 1.0)


def drawn(examples: Examples, settings: TrainClassifierSettings, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Return of each image of a run whether it is synthetic, and its class."""
    everything = examples.images(np.arange(len(examples)))
    synthetic, classes = [], []
    for seen in range(0, images, settings.batch):
        batch, targets = training_batch(examples, seen, settings, 0)
        found = [np.flatnonzero((everything == one).all(axis=(1, 2))) for one in batch]
        assert all(len(one) == 1 for one in found)
        synthetic.append(examples.synthetic[np.concatenate(found)])
        classes.append(targets.numpy())
    return np.concatenate(synthetic), np.concatenate(classes)


# ---- a share of each batch ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.25, 0.5])
@pytest.mark.parametrize("balanced", [False, True])
def test_every_batch_holds_the_share(mixed: Examples, share: float, balanced: bool) -> None:
    settings = replace(PLAIN, synthetic_share=share, balanced=balanced)
    synthetic, classes = drawn(mixed, settings, 160)
    assert (synthetic.reshape(-1, 8).sum(axis=1) == 8 * share).all()
    if balanced:
        for origin in (False, True):
            assert classes[synthetic == origin].mean() == pytest.approx(0.5, abs=1 / (synthetic == origin).sum())


def test_an_uneven_share_holds_on_average(mixed: Examples) -> None:
    synthetic, _ = drawn(mixed, replace(PLAIN, synthetic_share=0.3), 400)
    assert synthetic.mean() == pytest.approx(0.3, abs=1 / 400)


def test_each_origin_loses_nobody(mixed: Examples) -> None:
    settings = replace(PLAIN, synthetic_share=0.5)
    pictures = np.concatenate([training_batch(mixed, seen, settings, 0)[0] for seen in range(0, 48, 8)])
    everything = mixed.images(np.arange(len(mixed)))
    counts = np.array([(pictures == one).all(axis=(1, 2)).sum() for one in everything])
    assert (counts[~mixed.synthetic] == 2).all()  # 24 draws of 12
    assert set(counts[mixed.synthetic]) == {1, 2}  # 24 draws of 20


@pytest.mark.parametrize(
    "values", [{"synthetic_share": 0.3}, {"synthetic_share": 0.25, "balanced": True}, {"synthetic_first": 0.4}]
)
def test_shares_of_a_batch_and_other_batches_make_the_same_run(mixed: Examples, values: dict[str, Any]) -> None:
    settings = replace(PLAIN, images=160, mixup=0.3, synthetic_weight=0.5, **values)
    for seen in (56, 64, 72):
        whole, weights = training_batch(mixed, seen, settings, 1), loss_weights(mixed, seen, settings, 1)
        parts = [training_batch(mixed, seen, settings, 1, (part, 2)) for part in range(2)]
        for number in range(2):
            assert np.array_equal(np.concatenate([part[number] for part in parts]), whole[number])
        shares = [loss_weights(mixed, seen, settings, 1, (part, 2)) for part in range(2)]
        assert weights is not None
        assert torch.equal(torch.cat([one for one in shares if one is not None]), weights)


# ---- first the one, then the other ----------------------------------------------------------------------------------


def test_synthetic_patches_first_then_real_ones_alone(mixed: Examples) -> None:
    synthetic, _ = drawn(mixed, replace(PLAIN, images=160, synthetic_first=0.4), 160)
    assert synthetic[:64].all()
    assert not synthetic[64:].any()


def test_after_the_first_phase_there_may_be_a_share(mixed: Examples) -> None:
    settings = replace(PLAIN, images=160, synthetic_first=0.4, synthetic_share=0.25)
    synthetic, _ = drawn(mixed, settings, 160)
    assert synthetic[:64].all()
    assert (synthetic[64:].reshape(-1, 8).sum(axis=1) == 2).all()


# ---- weights --------------------------------------------------------------------------------------------------------


def test_weights_are_of_synthetic_patches_and_have_the_mean_1(mixed: Examples) -> None:
    settings = replace(PLAIN, synthetic_share=0.25, synthetic_weight=0.5)
    synthetic, _ = drawn(mixed, settings, 8)
    weights = loss_weights(mixed, 0, settings, 0)
    assert weights is not None
    assert float(weights.mean()) == pytest.approx(1)
    assert (weights[torch.from_numpy(synthetic)] * 2).tolist() == pytest.approx(
        weights[~torch.from_numpy(synthetic)][:2].tolist()
    )
    assert loss_weights(mixed, 0, replace(settings, synthetic_weight=1.0), 0) is None


def test_a_blend_weighs_what_its_parts_weigh(mixed: Examples) -> None:
    settings = replace(PLAIN, synthetic_share=0.5, synthetic_weight=3.0, mixup=1.0)
    weights = loss_weights(mixed, 0, settings, 0)
    assert weights is not None
    assert len(set(weights.tolist())) > 2
    assert 1 <= float(weights.max() / weights.min()) <= 3


def test_the_loss_is_the_weighted_mean_whole_or_in_parts(tmp_path: Path) -> None:
    settings = TrainClassifierSettings(network="squeezenet1_1", weights="none", input_px=32, batch=4, optimiser="adam")
    images = np.random.default_rng(0).integers(0, 65535, (4, 32, 32)).astype(np.uint16)
    targets, weights = torch.tensor([0, 1, 1, 0]), torch.tensor([0.5, 0.5, 1.5, 1.5])

    def loss(of: list[int], weighing: torch.Tensor | None, at_once: int | None = None) -> float:
        from mammofill.ground.training.settings import EngineSettings

        own = replace(settings, engine=EngineSettings(at_once=at_once))
        with training_processes("cpu", 1, "float32", test_the_loss_is_the_weighted_mean_whole_or_in_parts) as fabric:
            training = TrainingStep(fabric, read_start(own, None), own, 0)
            training.network.classifier[0].p = 0.0  # no dropout
            return float(training.step(images[of], targets[of], 0, 100, 100, weighing))

    each = [loss([number], None) for number in range(4)]
    expected = float(np.average(each, weights=weights))
    assert loss([0, 1, 2, 3], weights) == pytest.approx(expected, abs=1e-5)
    assert loss([0, 1, 2, 3], weights, at_once=2) == pytest.approx(expected, abs=1e-5)
    assert loss([0, 1, 2, 3], None) == pytest.approx(np.mean(each), abs=1e-5)


# ---- all together ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {"synthetic_share": 0.3, "synthetic_weight": 0.5},
        {"synthetic_first": 0.5, "balanced": True, "mixup": 0.2, "augmentation": AugmentationSettings(strong=True)},
        {"synthetic_if_better": True},
    ],
)
def test_stopped_and_continued_equals_uninterrupted(
    sets: list[PatchSet], tmp_path: Path, values: dict[str, Any]
) -> None:
    settings = replace(QUICK, images=48, checkpoint_every_images=8, **values)
    whole = train_classifier(sets, tmp_path / "whole", settings)
    for steps in (2, 2):
        with pytest.raises(StoppedError):
            train_classifier(sets, tmp_path / "parts", settings, progress=StopsAfter(steps))
    assert train_classifier(sets, tmp_path / "parts", settings).fingerprint == whole.fingerprint


def test_patience_does_not_run_out_while_synthetic_patches_alone_are_learned_from(
    sets: list[PatchSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse = iter(range(100, 0, -1))
    monkeypatch.setattr("mammofill.classifier.fit._watch", lambda *_: {"validation_auc": next(worse) / 100})
    settings = replace(QUICK, images=320, synthetic_first=0.5, patience=2)
    trained = train_classifier(sets, tmp_path / "c", settings)
    epoch, seen = 32, trained.history["images_seen"].to_list()
    assert [one for one in seen if one <= 160] == list(range(epoch, 161, epoch)), "five epochs, each worse than before"
    assert len(seen) == 7, "then two that count"


# ---- on trial -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("better", [True, False])
def test_fills_are_learned_from_only_where_validation_is_better_with_them(
    sets: list[PatchSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, better: bool
) -> None:
    bound = 0.01 if better else 0.0
    monkeypatch.setattr("mammofill.classifier.trial.lower_bound_of_gain", lambda *_: bound)
    settings = replace(QUICK, images=16, dose=0.5, synthetic_weight=0.5)
    tried = train_classifier(sets, tmp_path / "tried", replace(settings, synthetic_if_better=True))
    same = (sets, settings) if better else (sets[:1], QUICK)
    same_as = train_classifier(same[0], tmp_path / "same", replace(same[1], images=16))
    weights = [(one.folder / "weights.safetensors").read_bytes() for one in (tried, same_as)]
    assert weights[0] == weights[1], "to the bit what a training of that kind alone gives"
    kept = "with" if better else "without"
    trial = tried.facts["synthetic_patches_on_trial"]
    assert (trial["kept"], trial["gain_at_least"]) == (kept, bound)
    assert trial["validation_auc"][kept] == pytest.approx(same_as.history["validation_auc"].iloc[-1])
    told = what_was_learned(tried)
    assert told["synthetic_patches"] == (6 if better else 0)
    assert (told["added"], told["fills_on_trial"]) == ("generated", [int(better), 1])
    ways = [one.through for one in tried.manifest.patients_learned_from]
    assert "train-classifier (validation: threshold, choice of weights)" in ways
    assert ("train-classifier (context of a synthetic patch)" in ways) == better
    assert not (tried.folder / ".scratch").exists()


@pytest.fixture(scope="module")
def done_before(sets: list[PatchSet], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Classifier]:
    """Classifiers trained without the fills and with them, and others that differ from these in one thing."""
    folder = tmp_path_factory.mktemp("done-before")
    settings = replace(QUICK, images=16, dose=0.5)
    plain = replace(QUICK, images=16)
    return {
        name: train_classifier(given, folder / name, how, seed=seed)
        for name, given, how, seed in (
            ("without", sets[:1], plain, 3),
            ("with", sets, settings, 3),
            ("slower", sets[:1], replace(plain, learning_rate=1e-6), 3),
            ("other-seed", sets, settings, 4),
            ("more-fills", sets, plain, 3),
            ("other-order", sets[::-1], settings, 3),
        )
    }


@pytest.mark.parametrize("better", [True, False])
@pytest.mark.parametrize("taken", [["without"], ["with"], ["with", "without"]])
def test_trainings_that_were_done_before_are_not_repeated(
    sets: list[PatchSet],
    done_before: dict[str, Classifier],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    better: bool,
    taken: list[str],
) -> None:
    monkeypatch.setattr("mammofill.classifier.trial.lower_bound_of_gain", lambda *_: float(better))
    settings = replace(QUICK, images=16, dose=0.5, synthetic_if_better=True)
    anew = train_classifier(sets, tmp_path / "anew", settings, seed=3)
    trained_here = []
    monkeypatch.setattr(
        "mammofill.classifier.fit.fit", lambda data, *_: trained_here.append(data.folder.name) or fit(data, *_)
    )
    took = train_classifier(sets, tmp_path / "took", settings, trained=[done_before[one] for one in taken], seed=3)
    assert trained_here == [one for one in ("without", "with") if one not in taken]
    for name in ("weights.safetensors", "network.json", "history.csv"):
        assert (took.folder / name).read_bytes() == (anew.folder / name).read_bytes(), name
    assert took.manifest.counts == anew.manifest.counts
    assert what_was_learned(took) == what_was_learned(anew)
    assert [record.role for record in took.manifest.inputs].count("trained") == len(taken)
    assert took.manifest.patients_learned_from == anew.manifest.patients_learned_from
    # What was taken over only spares work: with others, or with none, it is the same trial.
    assert differences(took.manifest, anew.manifest) == []
    again = train_classifier(sets, tmp_path / "took", settings, seed=3)
    assert again.manifest == took.manifest


@pytest.mark.parametrize(
    ("taken", "words"),
    [
        (
            ["slower"],
            "slower is none of the two trainings .* from that without synthetic patches .* learning_rate is 1e-",
        ),
        (["other-seed"], "from that with synthetic patches it differs: the seed is 4, not 3. Give classifiers that"),
        (["more-fills"], "from that with synthetic patches it differs: dose is None, not 0.5"),
        (["other-order"], "it learned from other patch sets, or from them in another order"),
        (["with", "with"], "is given as trained with synthetic patches, as another one is"),
    ],
)
def test_classifiers_of_other_trainings_are_not_taken_over(
    sets: list[PatchSet], done_before: dict[str, Classifier], tmp_path: Path, taken: list[str], words: str
) -> None:
    settings = replace(QUICK, images=16, dose=0.5, synthetic_if_better=True)
    given = [done_before[one] for one in taken]
    with pytest.raises(ArtifactError, match=words):
        train_classifier(sets, tmp_path / "c", settings, trained=given, seed=3)


def test_a_training_elsewhere_or_on_fills_is_not_that_without_them(
    sets: list[PatchSet], done_before: dict[str, Classifier], tmp_path: Path
) -> None:
    settings = replace(QUICK, images=16, synthetic_if_better=True)
    start = read_start(QUICK, None)
    without = ways_of_trial(sets, settings, 3, start, "cpu")["without"]
    assert list(without.differences(done_before["without"])) == []
    on_a_gpu = replace(without, device="cuda:1")
    assert list(on_a_gpu.differences(done_before["without"])) == ["it was trained on the device cpu, not cuda:1"]
    elsewhere = replace(without, start=replace(start, words="ImageNet (timm in1k)"))
    (words,) = elsewhere.differences(done_before["without"])
    assert words == "it started from other weights (random start, not ImageNet (timm in1k))"
    # One set may hold real and synthetic patches: then both ways are given the same one.
    rows = [*real_rows(), *(synthetic_row(number, kind) for number in range(4) for kind in ("benign", "malignant"))]
    mixed = [make_set(tmp_path / "mixed", rows)]
    together = train_classifier(mixed, tmp_path / "together", replace(QUICK, images=16), seed=3)
    ways = ways_of_trial(mixed, settings, 3, start, "cpu")
    assert list(ways["without"].differences(together)) == ["it learned from synthetic patches"]
    assert list(ways["with"].differences(together)) == []


def test_without_a_trial_nothing_is_taken_over(
    sets: list[PatchSet], done_before: dict[str, Classifier], tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="without is given as trained already, but .*nothing is on trial"):
        train_classifier(sets, tmp_path / "c", QUICK, trained=[done_before["without"]])
    # A gate that keeps nothing leaves nothing to try, and the training without fills is taken all the same.
    settings = replace(QUICK, images=16, synthetic_if_better=True)
    took = train_classifier(sets[:1], tmp_path / "none", settings, trained=[done_before["without"]], seed=3)
    assert (took.folder / "network.json").read_bytes() == (done_before["without"].folder / "network.json").read_bytes()


def test_a_gain_is_more_than_random_variation_of_patients() -> None:
    random, malignant = np.random.default_rng(0), np.arange(80) % 2 == 1
    patients = np.array([f"p{number // 2}" for number in range(80)], dtype=object)

    def bound(gain: float, of_whom: np.ndarray = patients) -> float:
        odds = np.random.default_rng(1).normal(size=(2, 80)) + np.array([[1.0], [1.0 + gain]]) * malignant
        return lower_bound_of_gain(odds[0], odds[1], malignant, of_whom, np.random.default_rng(2))

    odds = random.normal(size=80)
    assert lower_bound_of_gain(odds, odds, malignant, patients, random) == 0
    one_each = np.where(malignant, "m", "b").astype(object)
    assert bound(2.0, one_each) == 0, "two patients tell nothing of others"
    assert bound(0.0) < 0 < bound(2.0)
    assert bound(1.0, np.repeat(patients[::8], 8)) < bound(1.0), "few patients with many patches say less"


def test_without_fills_there_is_nothing_to_try(sets: list[PatchSet], tmp_path: Path) -> None:
    plain, tried = (
        train_classifier(sets[:1], tmp_path / name, replace(QUICK, images=16, synthetic_if_better=name == "tried"))
        for name in ("plain", "tried")
    )
    assert "synthetic_patches_on_trial" not in tried.facts
    assert (plain.folder / "network.json").read_bytes() == (tried.folder / "network.json").read_bytes()
    assert "fills_on_trial" not in what_was_learned(tried), "validation was not asked"
    assert replace(QUICK, threshold_rule="half", synthetic_if_better=True).chooses_on_validation


def test_a_weight_changes_what_is_learned(sets: list[PatchSet], tmp_path: Path) -> None:
    settings = replace(QUICK, images=16)
    plain, light = (
        train_classifier(sets, tmp_path / f"{weight}", replace(settings, synthetic_weight=weight)).history["loss"]
        for weight in (1.0, 0.1)
    )
    assert plain[0] != light[0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"synthetic_share": 0.5}, "synthetic_share asks for synthetic patches in the batches, but there are none"),
        ({"synthetic_first": 0.5}, "synthetic_first asks for synthetic patches in the batches, but there are none"),
        ({"synthetic_share": 0.5, "balanced": True}, "synthetic_share and balanced ask for synthetic benign patches"),
    ],
)
def test_batches_of_nothing_are_refused(
    sets: list[PatchSet], tmp_path: Path, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(TooFewError, match=words):
        train_classifier(sets[:1], tmp_path / "c", replace(QUICK, **values))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"synthetic_share": 1.0}, r"synthetic_share must be in \(0, 1\), or left out, but is 1.0"),
        ({"synthetic_first": 1.0}, r"synthetic_first must be in \[0, 1\), but is 1.0"),
        ({"synthetic_weight": 0.0}, "synthetic_weight must be above 0, but is 0.0"),
        ({"real": False, "synthetic_if_better": True}, "synthetic_if_better must be unset where no real patch is"),
        ({"real": False, "synthetic_share": 0.5}, "synthetic_share must be unset where no real patch is learned from"),
        ({"dose_by": "mammogram"}, "dose_by must be patch or lesion"),
        ({"input_mean": (0.5, 0.5, 0.5)}, "input_mean must be unset: shallow-cnn sees gray"),
        ({"network": "timm/"}, "network must be one of shallow-cnn, .*, or timm/ and a name of timm's"),
        ({"network": "resnet50", "weights": "pretrained"}, "for resnet50 nothing but ImageNet's weights is published"),
        (
            {"weights_name": "RadImageNet"},
            "weights_name is 'RadImageNet', but weights is none: set weights to pretrained",
        ),
        ({"weights_keys": (("a.", ""),)}, "weights_keys says what tensors of weights_file are called, but no file"),
    ],
)
def test_settings_without_sense_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        replace(QUICK, **values)


def test_how_fills_are_used_is_no_other_recipe() -> None:
    """An arm is compared with the one that differs from it in added patches alone, however these are used."""
    used = replace(QUICK, synthetic_share=0.5, synthetic_weight=0.3, synthetic_first=0.2, dose=2.0, even_classes=True)
    plain, of_fills = (recipe_of(settings_of_plan(one), False) for one in (QUICK, replace(used, dose_by="lesion")))
    assert plain == of_fills
    strong = replace(QUICK, augmentation=AugmentationSettings(strong=True))
    assert recipe_of(settings_of_plan(strong), False) != plain


def test_traditional_and_strong_augmentation_are_the_same_but_for_turns() -> None:
    both = AugmentationSettings(traditional=True, strong=True)
    assert both.resolved() == AugmentationSettings(strong=True).resolved()
    assert replace(both.resolved(), quarter_turns=False) == AugmentationSettings(traditional=True).resolved()
    with pytest.raises(SettingsError, match=r"strong already says flip, rotation_degrees, zoom and quarter_turns"):
        AugmentationSettings(strong=True, quarter_turns=True)
