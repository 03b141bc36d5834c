"""Networks of timm's by name: built, started from files, trained, looked into. Nothing is downloaded."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_classifier_train import QUICK, StoppedError, StopsAfter, lesions
from toy_classifier import make_set, real_rows, synthetic_row

from mammofill.classifier import AugmentationSettings, TrainClassifierSettings, train_classifier
from mammofill.classifier.attention import grad_cam, maps_layer
from mammofill.classifier.networks import build_network, check_network, colours_of, deciding_layer, input_px_of
from mammofill.classifier.recipe import groups_of, set_learning
from mammofill.classifier.refit import read_start_of, recipe_of
from mammofill.classifier.start import find_weights, read_start
from mammofill.ground.errors import SettingsError, WeightsError
from mammofill.ground.training.settings import EngineSettings
from mammofill.judging.features import features
from mammofill.patches.patch_set import PatchSet

timm = pytest.importorskip("timm", reason="timm is not installed (the extra backbones)")

SMALL = "timm/test_efficientnet"
"""A network of 0.1 M parameters that timm keeps for tests; its weights were trained at 160 px."""


def settings_of(network: str = SMALL, **values: Any) -> TrainClassifierSettings:
    return replace(QUICK, **({"network": network, "weights": "none", "input_px": 64} | values))


@pytest.fixture(scope="module")
def trained_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as timm publishes it for 1000 classes, of weights that are not an untrained network's."""
    torch.manual_seed(0)
    tensors = timm.create_model("test_efficientnet").state_dict()
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file({name: one + 0.01 if one.dtype == torch.float32 else one for name, one in tensors.items()}, path)
    return path


def started_from(path: Path, **values: Any) -> TrainClassifierSettings:
    return settings_of(**{"weights": "imagenet", "weights_file": str(path), **values})


# ---- built ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "test_convnext", "test_vit"])
def test_each_kind_gives_two_numbers_has_maps_and_groups_that_hold_every_weight(name: str) -> None:
    network = f"timm/{name}"
    settings = settings_of(network, input_px=0)
    check_network(settings)
    side = input_px_of(settings)
    built = build_network(network, side, seed=0).eval()
    inputs = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = built(inputs)
    assert before.shape == (2, 2)
    maps = grad_cam(built, maps_layer(built, network, side), inputs)
    assert maps.shape[0] == 2
    assert maps.shape[1] == maps.shape[2] > 1
    with torch.no_grad():
        assert torch.equal(built(inputs), before)
        deciding_layer(built).weight.neg_()
    turned = grad_cam(built, maps_layer(built, network, side), inputs)
    assert max(maps.max(), turned.max()) > 0  # what does not speak for malignant does against it
    groups = groups_of(built, network)
    found = [{id(one) for layer in group for one in layer.parameters()} for group in groups]
    assert set.union(*found) == {id(one) for one in built.parameters()}
    assert sum(len(group) for group in found) == len(list(built.parameters()))  # each in one group
    assert len(groups) >= 5
    set_learning(built, groups, 1)  # a linear probe
    learning = {name for name, one in built.named_parameters() if one.requires_grad}
    assert learning == {
        name for name, one in built.named_parameters() if any(one is own for own in deciding_layer(built).parameters())
    }


def test_the_seed_decides_the_weights_and_nothing_else_is_touched() -> None:
    before = torch.random.get_rng_state()
    check_network(settings_of())
    one, same, other = (build_network(SMALL, 64, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["classifier.weight"], other["classifier.weight"])


def test_the_last_layer_begins_small_and_undecided() -> None:
    last = deciding_layer(build_network("timm/test_efficientnet", 64, seed=0))
    assert last.weight.abs().max() < 0.06  # of sd 0.01; timm's own would reach 0.7
    assert not last.bias.any()


def test_the_networks_own_size_and_colours() -> None:
    assert input_px_of(settings_of(input_px=0)) == 160
    assert input_px_of(settings_of(input_px=96)) == 96
    assert input_px_of(TrainClassifierSettings(input_px=0)) == 224
    assert colours_of("timm/tf_efficientnet_lite0").mean == colours_of("timm/tf_efficientnet_lite0").sd == (0.5,) * 3
    assert colours_of("timm/tf_efficientnet_lite0", (0.1, 0.2, 0.3)).mean == (0.1, 0.2, 0.3)
    assert colours_of("timm/resnet50") == colours_of("resnet50")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"network": "timm/test_eficientnet"},
            r"has no network called 'test_eficientnet'. Did you mean test_efficientnet\?",
        ),
        ({"network": "timm/test_efficientnet.nothing"}, r"Invalid pretrained tag \(nothing\)"),
        (
            {"network": "timm/test_vit"},
            r"test_vit \(timm\) takes pictures of 160 px only: set input_px to 160, or to 0",
        ),
        ({"engine": EngineSettings(at_once=2)}, r"without at_once: batch normalisation of test_efficientnet \(timm\)"),
        ({"network": "timm/deit_tiny_distilled_patch16_224", "input_px": 0}, "does not end in a single layer"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_begins(
    real: PatchSet, tmp_path: Path, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        train_classifier([real], tmp_path / "c", settings_of(**values))
    assert not list(tmp_path.iterdir())


def test_without_timm_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(SettingsError, match=r"pip install \"mammofill\[backbones\]\""):
        check_network(settings_of(input_px=72))


# ---- started --------------------------------------------------------------------------------------------------------


def test_a_file_starts_all_but_the_head(trained_file: Path) -> None:
    settings = started_from(trained_file)
    start = read_start(settings, find_weights(settings))
    assert start.words == f"ImageNet (local file {(start.sha256 or '')[:8]})"
    network = build_network(SMALL, 64, seed=0)
    head = network.state_dict()["classifier.weight"].clone()
    start.put_into(network)
    given = load_file(trained_file)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, head if name == "classifier.weight" else given.get(name, tensor)) or "bias" in name
    assert torch.equal(network.state_dict()["conv_stem.weight"], given["conv_stem.weight"])


def test_a_missing_tensor_is_named(trained_file: Path, tmp_path: Path) -> None:
    tensors = load_file(trained_file)
    del tensors["blocks.1.0.bn1.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(
        WeightsError, match=r"test_efficientnet \(timm\): tensor 'blocks.1.0.bn1.weight' .*not there.*timm's"
    ):
        read_start(started_from(tmp_path / "model.safetensors"), tmp_path / "model.safetensors")


def test_a_deeper_networks_file_is_refused(trained_file: Path, tmp_path: Path) -> None:
    tensors = load_file(trained_file)
    tensors["blocks.9.0.conv_dw.weight"] = torch.ones(3)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"1 tensors that .* has not, first 'blocks.9.0.conv_dw.weight': .*another"):
        read_start(started_from(tmp_path / "model.safetensors"), tmp_path / "model.safetensors")


def test_a_checkpoint_of_another_house_is_read_by_its_keys(trained_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth"
    inside = {f"encoder.{name}": tensor for name, tensor in load_file(trained_file).items()}
    torch.save({"epoch": 3, "state_dict": {**inside, "projector.weight": torch.ones(2)}}, path)
    values = {"weights": "pretrained", "weights_name": "MammoNet", "weights_keys": (("state_dict.encoder.", ""),)}
    settings = started_from(path, **values)
    start = read_start(settings, find_weights(settings))
    assert start.words == f"MammoNet (local file {(start.sha256 or '')[:8]})"
    assert torch.equal(start.tensors["conv_stem.weight"], load_file(trained_file)["conv_stem.weight"])
    with pytest.raises(WeightsError, match=r"'conv_stem.weight' must have .*not there. .*; or say with weights_keys"):
        read_start(replace(settings, weights_keys=()), path)
    with pytest.raises(WeightsError, match=r"begins as weights_keys says \(model\.\). It holds state_dict.encoder."):
        read_start(replace(settings, weights_keys=(("model.", ""),)), path)


def test_timms_file_comes_from_the_hub_and_is_named_by_its_tag(
    trained_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked = []

    def downloaded(repository: str, name: str) -> str:
        asked.append((repository, name))
        return str(trained_file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", downloaded)
    settings = started_from(trained_file, weights_file=None)
    start = read_start(settings, find_weights(settings))
    assert asked == [("timm/test_efficientnet.r160_in1k", "model.safetensors")]
    assert start.words == "ImageNet (timm r160_in1k)"
    other = replace(settings, network="timm/vit_base_patch16_clip_224.openai", input_px=224)
    with pytest.raises(WeightsError, match=r"\(openai\) were not trained on ImageNet: ask for weights pretrained"):
        find_weights(other)


def test_without_internet_the_error_names_repository_and_setting(
    trained_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def offline(*_: object) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(WeightsError, match=r"no route to host.*huggingface.co/timm/test_efficientnet.*weights_file"):
        find_weights(started_from(trained_file, weights_file=None))


# ---- trained --------------------------------------------------------------------------------------------------------


def test_stopped_and_continued_equals_uninterrupted(real: PatchSet, tmp_path: Path, trained_file: Path) -> None:
    settings = started_from(
        trained_file, images=32, checkpoint_every_images=8, unfreeze="layer-by-layer", ema_half_life_images=20
    )
    whole = train_classifier([real], tmp_path / "whole", settings)
    with pytest.raises(StoppedError):
        train_classifier([real], tmp_path / "parts", settings, progress=StopsAfter(3))
    parts = train_classifier([real], tmp_path / "parts", settings)
    assert parts.fingerprint == whole.fingerprint
    start = whole.facts["start"]
    assert whole.label == f"test_efficientnet (timm), ImageNet (local file {start['sha256'][:8]})"
    (weights,) = [one for one in whole.manifest.inputs if one.role == "weights"]
    assert weights.fingerprint == start["sha256"]
    assert whole.facts["mean"] == [0.485, 0.456, 0.406]
    again = recipe_of(whole, images=8)
    assert read_start_of(again).sha256 == start["sha256"]


def test_it_learns_is_scored_seen_and_judges(real: PatchSet, tmp_path: Path) -> None:
    settings = settings_of(epochs=30, learning_rate=3e-3, augmentation=AugmentationSettings(flip=True))
    trained = train_classifier([real], tmp_path / "c", settings)
    images, malignant = lesions(real, "test")
    odds = trained.logits(images)
    assert odds[malignant].mean() > odds[~malignant].mean() + 1
    assert trained.attention(images).shape == images.shape
    assert trained.attention_cells == 2
    found = features(trained, np.rint(images * 65535).astype(np.uint16), "cpu", 4)
    # What the last layer makes of the features is the score.
    last = deciding_layer(trained.network)
    weight, bias = last.weight.detach().numpy(), last.bias.detach().numpy()
    outputs = found @ weight.T + bias
    assert outputs[:, 1] - outputs[:, 0] == pytest.approx(odds, abs=1e-3)


def test_own_mean_and_sd_are_kept_and_change_what_is_seen(real: PatchSet, tmp_path: Path) -> None:
    settings = settings_of(images=8, input_mean=(0.5, 0.5, 0.5), input_sd=(0.25, 0.25, 0.25))
    trained = train_classifier([real], tmp_path / "c", settings)
    assert (trained.facts["mean"], trained.facts["sd"]) == ([0.5] * 3, [0.25] * 3)
    assert trained.facts["input"].endswith("copied to three channels, less 0.5 0.5 0.5, divided by 0.25 0.25 0.25")
    with torch.no_grad():
        inputs = (torch.full((1, 3, 64, 64), 0.7) - 0.5) / 0.25
        outputs = trained.network(inputs)[0]
    flat = np.full((1, 48, 48), 0.7, np.float32)
    assert trained.logits(flat)[0] == pytest.approx(float(outputs[1] - outputs[0]), abs=1e-3)


def test_normalisation_over_all_processes_ends_in_timms_activations_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process is all there are here: then nothing may change, in outputs and in what is remembered."""
    from mammofill.ground.training import distributed

    monkeypatch.setattr(distributed, "_mean_over_processes", lambda values: values)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 1)
    own, shared = (build_network(SMALL, 64, seed=0).train() for _ in range(2))
    distributed.share_normalisation(shared)
    inputs = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(own(inputs), shared(inputs), atol=1e-5)
    for name, tensor in own.state_dict().items():
        assert torch.allclose(tensor.float(), shared.state_dict()[name].float(), atol=1e-4), name
    assert torch.allclose(own.eval()(inputs), shared.eval()(inputs), atol=1e-4)


def test_real_weights_are_accepted_and_see_what_their_authors_saw() -> None:
    from test_classifier_networks import real_weights

    path = real_weights("tf_efficientnet_lite0.safetensors")
    settings = TrainClassifierSettings(network="timm/tf_efficientnet_lite0", weights_file=str(path))
    start = read_start(settings, path)
    built = build_network(settings.network, 224, seed=0)
    start.put_into(built)
    assert all(torch.equal(built.state_dict()[key], tensor) for key, tensor in start.tensors.items())
    assert len(start.tensors) == 294  # all but weight and bias of the head


# ---- beside torchvision's --------------------------------------------------------------------------------------------


def test_torchvisions_networks_take_files_of_other_houses_too(tmp_path: Path) -> None:
    import torchvision

    tensors = torchvision.models.resnet50(weights=None).state_dict()
    children = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
    path = tmp_path / "ResNet50.pt"
    torch.save(
        {
            name.replace(child, f"backbone.{number}", 1): tensor + 0.5
            for name, tensor in tensors.items()
            for child, number in children.items()
            if name.startswith(f"{child}.")
        },
        path,
    )
    settings = TrainClassifierSettings(
        weights="pretrained",
        weights_file=str(path),
        weights_name="RadImageNet",
        weights_keys=tuple((f"backbone.{number}.", f"{child}.") for child, number in children.items()),
    )
    start = read_start(settings, path)
    assert start.words.startswith("RadImageNet (local file ")
    assert torch.equal(start.tensors["layer4.2.bn3.bias"], tensors["layer4.2.bn3.bias"] + 0.5)


def test_synthetic_patches_are_learned_from_as_with_other_networks(tmp_path: Path) -> None:
    fills = [synthetic_row(number, kind) for number in range(6) for kind in ("benign", "malignant")]
    sets = [make_set(tmp_path / "real", real_rows()), make_set(tmp_path / "fills", fills)]
    trained = train_classifier(sets, tmp_path / "c", settings_of(images=16, synthetic_share=0.5))
    assert trained.manifest.counts["train_synthetic_benign"] == 6
