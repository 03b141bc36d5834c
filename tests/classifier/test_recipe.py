"""The recipe of training beyond the paper's: each part by itself, and all of it together."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_classifier_train import QUICK, StoppedError, StopsAfter, lesions
from toy_classifier import make_set, patch_row

from mammofill.classifier import PRESETS, AugmentationSettings, TrainClassifierSettings, preset, train_classifier
from mammofill.classifier.batches import training_batch
from mammofill.classifier.examples import Examples, lesion_table
from mammofill.classifier.networks import DISCRIMINATOR_WIDTHS, NETWORK_WORDS, build_network
from mammofill.classifier.recipe import build_optimiser, groups_of, groups_that_learn, learning_rate_at, set_learning
from mammofill.cli import main
from mammofill.experiment.stages import stage_named
from mammofill.experiment.study import read_study
from mammofill.ground.errors import LeakError, SettingsError
from mammofill.ground.training.ema import update_ema
from mammofill.patches.patch_set import PatchSet

MODERN_ON_A_SMALL_NETWORK = replace(
    preset("modern"),
    network="shallow-cnn",
    weights="none",
    input_px=32,
    epochs=4,
    batch=8,
    learning_rate=1e-3,
    ema_half_life_images=16,
    checkpoint_every_images=8,
)


# ---- settings -------------------------------------------------------------------------------------------------------


def test_paper_is_the_default_and_modern_differs_where_it_says() -> None:
    assert PRESETS["paper"] == TrainClassifierSettings()
    modern = preset("modern")
    assert (modern.network, modern.optimiser, modern.schedule) == ("convnext_tiny", "adamw", "cosine")
    with pytest.raises(SettingsError, match="no classifier preset 'old'. Use one of: paper, modern"):
        preset("old")
    assert stage_named("train-classifier").preset("modern") == modern


def test_a_preset_on_the_command_line_with_a_flag_above_it(
    real: PatchSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--preset", "modern", "--network", "shallow-cnn", "--weights", "none", "--input_px", "32", "--dry-run"]
    assert main(["train-classifier", str(real.folder), "--out", str(tmp_path / "c"), *flags]) == 0
    said = capsys.readouterr().out
    assert "adamw" in said
    assert "shallow-cnn" in said


STUDY = """
[phantom]
[train-classifier]
preset = "modern"
weights_file = "weights.pth"
[infillers.one]
preset = "modern"
[infillers.two]
preset = "demo"
[[arms]]
name = "newer"
[[arms]]
name = "as the paper"
preset = "paper"
[[arms]]
name = "features"
discriminator = "two"
unfreeze = "never"
[[arms]]
name = "control"
discriminator = "two"
weights = "none"
[grid]
real_shares = [0.5, 1]
"""


def test_presets_and_discriminators_in_a_study_file(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"only its name is looked at")
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    steps = read_study(path).steps
    trained = {str(step.out): step for step in steps if step.stage.name == "train-classifier"}
    settings = {name: step.settings for name, step in trained.items()}
    assert settings["classifiers/newer"] == replace(preset("modern"), weights_file=str(tmp_path / "weights.pth"))
    assert settings["classifiers/as-the-paper"].optimiser == "adam"
    assert settings["classifiers/features"] == replace(
        preset("modern"), network="discriminator", weights="infiller", unfreeze="never"
    )
    assert settings["classifiers/control"].weights == "none"
    # Each from the infiller of its own patients; the other one is not trained at all.
    assert trained["classifiers/features"].inputs["infiller"] == (Path("infillers/two"),)
    assert trained["classifiers/features_share-0.5"].inputs["infiller"] == (Path("shares/0.5/infillers/two"),)
    assert "infiller" not in trained["classifiers/newer"].inputs
    made = [str(step.out) for step in steps if step.stage.name == "train-infiller"]
    assert sorted(made) == ["infillers/two", "shares/0.5/infillers/two"]
    path.write_text(STUDY.replace('discriminator = "two"', 'discriminator = "three"'))
    with pytest.raises(SettingsError, match="discriminator must be true or false, but is 'three'.*one, two"):
        read_study(path)


def test_the_page_of_classifiers_is_up_to_date() -> None:
    docs = Path(__file__).parents[2] / "docs"
    spec = importlib.util.spec_from_file_location("make_commands", docs / "make_commands.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    assert (docs / "classifiers.md").read_text(encoding="utf-8") == maker.classifiers_page(), (
        "run: python docs/make_commands.py"
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"optimiser": "sgd"}, "optimiser must be"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"schedule": "linear"}, "schedule must be"),
        ({"warm_up": 1.0}, r"warm_up must be in \[0, 1\)"),
        ({"mixup": -0.1}, "mixup must be at least 0"),
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\)"),
        ({"ema_half_life_images": -1}, "ema_half_life_images must be at least 0"),
        ({"clip_gradient": -1.0}, "clip_gradient must be at least 0"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"unfreeze": "sometimes"}, "unfreeze must be"),
        ({"weights": "none", "unfreeze": "never"}, "at-once with weights none: random layers must learn"),
        ({"weights": "imagenet-to-layer2", "unfreeze": "head-first"}, "random layers must learn"),
        ({"unfreeze_share": 0.0}, "unfreeze_share must be"),
        ({"weights": "infiller"}, "for the network discriminator only, not for resnet50"),
        ({"network": "discriminator"}, "ask for weights infiller, and give the infiller"),
    ],
)
def test_nonsense_in_the_recipe_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        TrainClassifierSettings(**values)


# ---- what must not change -------------------------------------------------------------------------------------------


def test_the_defaults_train_as_they_always_did(real: PatchSet, tmp_path: Path) -> None:
    trained = train_classifier([real], tmp_path / "c", QUICK, seed=1)
    # From before there was any other recipe.
    assert trained.history["loss"].tolist() == pytest.approx([0.683405, 0.490609, 0.367781, 0.198415], rel=1e-3)
    assert set(trained.history) == {"images_seen", "epoch", "loss", "validation_loss", "validation_auc"}
    assert "test_time_flips" not in trained.facts


# ---- learning rate, optimiser, average ------------------------------------------------------------------------------


def test_a_cosine_after_a_rise() -> None:
    settings = replace(QUICK, schedule="cosine", warm_up=0.2, learning_rate=0.1, batch=10)

    def rate(seen: int) -> float:
        return learning_rate_at(seen, 1000, 100, settings)

    assert rate(0) == pytest.approx(0.1 * 10 / 200)  # the first step is not lost
    assert rate(100) == pytest.approx(0.1 * 110 / 200)
    assert rate(200) == pytest.approx(0.1)
    assert rate(600) == pytest.approx(0.05)
    assert rate(400) == pytest.approx(0.1 * (1 + math.cos(math.pi / 4)) / 2)
    assert rate(1000) == pytest.approx(0.0)


def test_steps_after_a_rise() -> None:
    settings = replace(QUICK, warm_up=0.1, decay=0.5, decay_every_epochs=2, learning_rate=0.1, batch=10)
    rates = [learning_rate_at(seen, 1000, 100, settings) for seen in (0, 100, 199, 200, 400)]
    assert rates == pytest.approx([0.01, 0.1, 0.1, 0.05, 0.025])


@pytest.mark.parametrize("network", ["resnet50", "convnext_tiny"])
def test_weight_decay_spares_vectors(network: str) -> None:
    built = build_network(network, 64, seed=0)
    optimiser = build_optimiser(built, replace(preset("modern"), weight_decay=0.25))
    assert isinstance(optimiser, torch.optim.AdamW)
    decayed = {id(one) for one in optimiser.param_groups[0]["params"]}
    assert optimiser.param_groups[0]["weight_decay"] == 0.25
    assert optimiser.param_groups[1]["weight_decay"] == 0.0
    for name, one in built.named_parameters():
        matrix = name.endswith("weight") and one.ndim > 1
        assert (id(one) in decayed) == matrix, name


def test_the_running_average_halves_and_takes_statistics_along() -> None:
    kept, trained = (torch.nn.BatchNorm2d(2) for _ in range(2))
    trained.weight.data.fill_(3.0)
    trained.running_mean.fill_(1.0)
    trained.num_batches_tracked.fill_(5)
    update_ema(kept, trained, images=10, half_life=10)
    assert kept.weight.tolist() == [2.0, 2.0]
    assert kept.running_mean.tolist() == [0.5, 0.5]
    assert kept.num_batches_tracked == 5


def test_the_average_is_what_is_kept(real: PatchSet, tmp_path: Path) -> None:
    plain = train_classifier([real], tmp_path / "plain", QUICK)
    averaged = train_classifier([real], tmp_path / "averaged", replace(QUICK, ema_half_life_images=1000))
    assert plain.history["loss"].tolist() == averaged.history["loss"].tolist()  # it has no part in training
    assert plain.history["validation_loss"].tolist() != averaged.history["validation_loss"].tolist()
    assert plain.fingerprint != averaged.fingerprint


def test_a_long_gradient_is_cut(real: PatchSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[float] = []
    step = torch.optim.Adam.step

    def recorded(self: torch.optim.Adam, *given: Any, **named: Any) -> Any:
        gradients = [one.grad for group in self.param_groups for one in group["params"]]
        lengths.append(float(torch.stack([one.norm() for one in gradients if one is not None]).norm()))
        return step(self, *given, **named)

    monkeypatch.setattr(torch.optim.Adam, "step", recorded)
    train_classifier([real], tmp_path / "c", replace(QUICK, epochs=1, clip_gradient=1e-3))
    assert max(lengths) <= 1.001e-3


# ---- batches --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    """Four benign patches for each malignant one."""
    rows = [patch_row(number, "malignant" if number % 5 == 0 else "benign", "train") for number in range(25)]
    patches = make_set(tmp_path_factory.mktemp("uneven") / "patches", rows)
    return Examples([patches], lesion_table([patches]), 32, 1.0)


def test_balanced_batches_have_both_classes_alike_and_lose_nobody(uneven: Examples) -> None:
    settings = replace(QUICK, balanced=True, batch=10, augmentation=AugmentationSettings())
    drawn = [training_batch(uneven, seen, settings, 0) for seen in range(0, 40, 10)]
    assert [classes.float().mean() for _, classes in drawn] == [0.5] * 4
    images = np.concatenate([images for images, _ in drawn])
    # 20 of each class were drawn: each of the 20 benign patches once, each of the 5 malignant ones four times.
    found = [(images == one).all(axis=(1, 2)).sum() for one in uneven.images(np.arange(25))]
    assert [int(count) for count in found] == [4 if malignant else 1 for malignant in uneven.malignant]


@pytest.mark.parametrize("batch", [4, 5])
def test_balanced_order_does_not_depend_on_how_it_is_cut(uneven: Examples, batch: int) -> None:
    settings = replace(QUICK, balanced=True, batch=20)
    whole = training_batch(uneven, 0, settings, 3)
    parts = [training_batch(uneven, seen, replace(settings, batch=batch), 3) for seen in range(0, 20, batch)]
    for number in range(2):
        assert np.array_equal(np.concatenate([part[number] for part in parts]), whole[number])


@pytest.mark.parametrize("values", [{}, {"balanced": True}, {"mixup": 0.4}, {"mixup": 0.4, "balanced": True}])
def test_shares_of_a_batch_make_the_batch(uneven: Examples, values: dict[str, Any]) -> None:
    settings = replace(QUICK, batch=12, **values)
    whole = training_batch(uneven, 24, settings, 1)
    parts = [training_batch(uneven, 24, settings, 1, (part, 3)) for part in range(3)]
    for number in range(2):
        assert np.array_equal(np.concatenate([part[number] for part in parts]), whole[number])


def test_mixup_blends_patches_and_labels_alike(uneven: Examples) -> None:
    settings = replace(QUICK, batch=16, augmentation=AugmentationSettings())
    images, classes = training_batch(uneven, 0, settings, 0)
    mixed, shares = training_batch(uneven, 0, replace(settings, mixup=1.0), 0)
    assert shares.shape == (16, 2)
    assert shares.sum(dim=1).tolist() == pytest.approx([1.0] * 16)
    flat = images.reshape(16, -1).astype(float)
    blended = 0
    for number in range(16):
        # Which partner explains it, and in which share?
        for partner in range(16):
            step = flat[partner] - flat[number]
            share = (mixed[number].ravel() - flat[number]) @ step / max(step @ step, 1e-9)
            if np.abs(flat[number] + share * step - mixed[number].ravel()).max() < 1:
                expected = (1 - share) * float(classes[number]) + share * float(classes[partner])
                assert float(shares[number, 1]) == pytest.approx(expected, abs=1e-3)
                blended += 1
                break
    assert blended == 16


def test_labels_are_smoothed(real: PatchSet, tmp_path: Path) -> None:
    settings = replace(QUICK, images=8, learning_rate=1e-6)
    sharp = train_classifier([real], tmp_path / "sharp", settings).history["loss"][0]
    smooth = train_classifier([real], tmp_path / "smooth", replace(settings, label_smoothing=0.999)).history["loss"][0]
    # All but all of each label is spread over both classes: the mean of both classes' losses, at least ln 2.
    assert smooth >= math.log(2) - 1e-6
    assert smooth != pytest.approx(sharp, abs=1e-4)


# ---- which layers learn ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [name for name in NETWORK_WORDS if name != "shallow-cnn"])
def test_groups_of_layers_hold_every_weight_once(network: str) -> None:
    built = build_network(network, 64, seed=0)
    found = [id(one) for group in groups_of(built, network) for layer in group for one in layer.parameters()]
    assert sorted(found) == sorted(id(one) for one in built.parameters())
    assert len(groups_of(built, network)) >= 5


def test_layers_join_in_from_the_last() -> None:
    settings = replace(preset("paper"), unfreeze_share=0.25)

    def learning(unfreeze: Any) -> list[int]:
        return [groups_that_learn(seen, 100, 6, replace(settings, unfreeze=unfreeze)) for seen in (0, 24, 25, 50, 99)]

    assert learning("at-once") == [6] * 5
    assert learning("head-first") == [1, 1, 6, 6, 6]
    assert learning("layer-by-layer") == [1, 1, 2, 3, 4]
    assert learning("never") == [1] * 5


def test_layers_that_do_not_learn_keep_weights_and_statistics() -> None:
    built = build_network("resnet50", 32, seed=0)
    set_learning(built, groups_of(built, "resnet50"), 2)
    before = {name: one.clone() for name, one in built.state_dict().items()}
    optimiser = build_optimiser(built, replace(preset("modern"), learning_rate=1e-2))
    built(torch.rand(2, 3, 32, 32)).square().sum().backward()
    optimiser.step()
    changed = {name.split(".")[0] for name, one in built.state_dict().items() if not torch.equal(one, before[name])}
    assert changed == {"fc", "layer4"}
    set_learning(built, groups_of(built, "resnet50"), 6)
    assert all(one.requires_grad for one in built.parameters())
    assert all(one.training for one in built.modules())


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A file in the names and shapes of torchvision's, of weights that are not an untrained network's."""

    def write(network: str) -> Path:
        import torchvision

        path = tmp_path_factory.mktemp("weights") / f"{network}.safetensors"
        torch.manual_seed(0)
        tensors = getattr(torchvision.models, network)(weights=None).state_dict()
        save_file({name: one + 0.01 if name.endswith("bias") else one for name, one in tensors.items()}, path)
        return path

    return write


@pytest.mark.parametrize(("network", "head"), [("squeezenet1_1", "classifier.1."), ("convnext_tiny", "classifier.")])
def test_a_linear_probe_changes_the_last_layer_alone(
    real: PatchSet, tmp_path: Path, pretrained: Callable[[str], Path], network: Any, head: str
) -> None:
    path = pretrained(network)
    settings = replace(
        QUICK, network=network, weights="imagenet", weights_file=str(path), unfreeze="never", epochs=1, batch=4
    )
    trained = train_classifier([real], tmp_path / "c", settings)
    found, given = load_file(trained.folder / "weights.safetensors"), load_file(path)
    assert all(torch.equal(one, given[name]) for name, one in found.items() if not name.startswith(head))
    started = build_network(network, 32, seed=0).state_dict()
    last = [name for name in started if name.startswith(head)][-1]
    assert not torch.equal(found[last], started[last])
    assert trained.label == f"{NETWORK_WORDS[network]}, ImageNet (local file {trained.facts['start']['sha256'][:8]})"
    images, _ = lesions(real, "test")
    assert np.isfinite(trained.logits(images)).all()
    assert trained.attention(images).shape == images.shape


def test_weights_of_another_classifier_bring_its_patients(
    real: PatchSet, patch_set: Callable[..., PatchSet], tmp_path: Path
) -> None:
    settings = replace(QUICK, network="squeezenet1_1", images=8)
    teacher = train_classifier([real], tmp_path / "teacher", settings)
    goes_on = replace(settings, weights="imagenet", weights_file=str(teacher.folder / "weights.safetensors"))
    trained = train_classifier([real], tmp_path / "trained", goes_on)
    assert trained.label == f"SqueezeNet 1.1, classifier {teacher.fingerprint[:8]}"
    others = [patch_row(number, ("benign", "malignant")[number % 2], split, patient_id=f"other-{split}-{number}")
              for split in ("train", "validation") for number in range(6)]  # fmt: skip
    elsewhere = train_classifier([patch_set(others, "others")], tmp_path / "elsewhere", goes_on)
    assert elsewhere.manifest.learned_patients()["train-0"] == ["train-classifier"]
    leaking = patch_set([*others, patch_row(9, "benign", "test", patient_id="train-0")], "leaking")
    with pytest.raises(LeakError, match=r"what the network starts from learned from patient train-0 .*the classifier"):
        train_classifier([leaking], tmp_path / "leak", goes_on)


# ---- when it ends, and how it scores --------------------------------------------------------------------------------


def test_patience_ends_it_and_keeps_the_best(real: PatchSet, tmp_path: Path) -> None:
    trained = train_classifier([real], tmp_path / "c", replace(QUICK, epochs=60, patience=2))
    aucs = trained.history["validation_auc"]
    assert len(aucs) < 60
    best = int(aucs.idxmax())
    assert len(aucs) == best + 1 + 2
    assert trained.facts["kept"] == {"rule": "best", "images_seen": int(trained.history["images_seen"][best])}
    assert "choice of weights" in trained.manifest.learned_patients()["validation-0"][0]


def test_flips_are_scored_everywhere_alike(real: PatchSet, tmp_path: Path) -> None:
    once = train_classifier([real], tmp_path / "once", QUICK)
    twice = train_classifier([real], tmp_path / "twice", replace(QUICK, test_time_flips=True))
    images, malignant = lesions(real, "validation")
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    expected = (once.logits(images) + once.logits(mirrored)) / 2  # the same weights
    assert twice.logits(images) == pytest.approx(expected, abs=1e-5)
    assert twice.logits(mirrored) == pytest.approx(twice.logits(images), abs=1e-5)
    called = twice.scores(images) >= twice.threshold
    balanced = (called[malignant].mean() + (~called)[~malignant].mean()) / 2
    assert balanced == pytest.approx(twice.facts["validation_balanced_accuracy"])
    losses = np.logaddexp(0, np.where(malignant, -expected, expected)).mean()
    assert twice.history["validation_loss"].iloc[-1] == pytest.approx(losses, abs=1e-4)


def test_turns_and_flips_are_all_eight_ways(real: PatchSet, tmp_path: Path) -> None:
    once = train_classifier([real], tmp_path / "once", QUICK)
    turned = train_classifier([real], tmp_path / "turned", replace(QUICK, test_time_turns=True))
    eight = train_classifier([real], tmp_path / "eight", replace(QUICK, test_time_flips=True, test_time_turns=True))
    images, _ = lesions(real, "validation")

    def mean_over_turns(some: np.ndarray) -> np.ndarray:
        return np.mean([once.logits(np.ascontiguousarray(np.rot90(some, k, (1, 2)))) for k in range(4)], axis=0)

    upright, mirrored = mean_over_turns(images), mean_over_turns(images[:, :, ::-1])
    assert turned.logits(images) == pytest.approx(upright, abs=1e-5)
    assert eight.logits(images) == pytest.approx((upright + mirrored) / 2, abs=1e-5)
    assert "test_time_turns" not in once.facts


# ---- all together ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [{}, {"patience": 1, "network": "squeezenet1_1"}])
def test_modern_stopped_and_continued_equals_uninterrupted(
    real: PatchSet, tmp_path: Path, values: dict[str, Any]
) -> None:
    settings = replace(MODERN_ON_A_SMALL_NETWORK, **values)
    whole = train_classifier([real], tmp_path / "whole", settings)
    for steps in (2, 2):
        with pytest.raises(StoppedError):
            train_classifier([real], tmp_path / "parts", settings, progress=StopsAfter(steps))
    parts = train_classifier([real], tmp_path / "parts", settings)
    assert parts.fingerprint == whole.fingerprint


def test_modern_learns_what_can_be_learned(real: PatchSet, tmp_path: Path) -> None:
    trained = train_classifier([real], tmp_path / "c", replace(MODERN_ON_A_SMALL_NETWORK, epochs=15))
    images, malignant = lesions(real, "test")
    odds = trained.logits(images)
    assert odds[malignant].min() > odds[~malignant].max()


def test_convnext_trains_from_a_random_start(real: PatchSet, tmp_path: Path) -> None:
    settings = replace(QUICK, network="convnext_tiny", images=2, batch=2)
    one = train_classifier([real], tmp_path / "one", settings)
    same = train_classifier([real], tmp_path / "same", settings)
    assert one.fingerprint == same.fingerprint  # the blocks that it drops are drawn from the seed
    assert one.label == "ConvNeXt-Tiny, random start"


def test_a_discriminator_from_a_random_start_is_the_papers(real: PatchSet, tmp_path: Path) -> None:
    trained = train_classifier([real], tmp_path / "c", replace(QUICK, network="discriminator", epochs=1))
    assert trained.facts["widths"] == list(DISCRIMINATOR_WIDTHS)
    assert trained.label == "Discriminator, random start"
