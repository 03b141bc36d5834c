from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from mammofill.classifier import TrainClassifierSettings
from mammofill.classifier.batches import GRAY, IMAGENET, network_input
from mammofill.classifier.networks import build_network, colours_of
from mammofill.classifier.start import find_weights, read_start
from mammofill.ground.errors import WeightsError
from mammofill.ground.imaging import to_unit

CPU = torch.device("cpu")
NETWORKS = ("shallow-cnn", "resnet50", "squeezenet1_1", "convnext_tiny", "discriminator")


@pytest.mark.parametrize("network", NETWORKS)
def test_two_numbers_for_each_patch(network: str) -> None:
    built = build_network(network, 64, seed=0).eval()
    with torch.inference_mode():
        assert built(torch.rand(3, colours_of(network).channels, 64, 64)).flatten(1).shape == (3, 2)


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        # convolutions 288 + 9,216 + 18,432, their normalisation 256; dense layers 64 x 8 x 8 x 128 + 128, 8,256, 130
        ("shallow-cnn", 288 + 9216 + 18432 + 256 + 64 * 8 * 8 * 128 + 128 + 8256 + 130),
        ("resnet50", 25_557_032 - 2048 * 1000 - 1000 + 2048 * 2 + 2),  # torchvision's count, head replaced
        ("squeezenet1_1", 1_235_496 - 512 * 1000 - 1000 + 512 * 2 + 2),
        ("convnext_tiny", 28_589_128 - 768 * 1000 - 1000 + 768 * 2 + 2),  # torchvision's count
        # 3x3 convolutions of 32 to 512 channels with biases, the averages' normalisation, the head
        ("discriminator", 9 * (32 + 32 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 992 + 2 * 512 + 512 * 2 + 2),
    ],
)
def test_parameter_counts(network: str, parameters: int) -> None:
    assert sum(one.numel() for one in build_network(network, 64, seed=0).parameters()) == parameters


def test_the_seed_decides_the_weights_and_nothing_else_is_touched() -> None:
    before = torch.random.get_rng_state()
    one, same, other = (build_network("shallow-cnn", 32, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["blocks.0.weight"], other["blocks.0.weight"])


def test_gray_values_are_those_of_the_stored_ones_to_the_bit() -> None:
    stored = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256)
    for images in (stored, stored[:, :, ::-1], np.frombuffer(stored.tobytes(), np.uint16).reshape(stored.shape)):
        assert np.array_equal(network_input(images, GRAY, CPU)[:, 0].numpy(), to_unit(images))


def test_gray_is_copied_to_three_channels_and_normalised_as_imagenet() -> None:
    import numpy as np

    images = np.full((1, 2, 2), 65535, np.uint16)
    inputs = network_input(images, IMAGENET, CPU)
    assert inputs.shape == (1, 3, 2, 2)
    assert inputs[0, :, 0, 0].tolist() == pytest.approx([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    assert network_input(images, GRAY, CPU).unique().tolist() == [1.0]


@pytest.fixture(scope="module")
def trained_squeezenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like ImageNet's in names and shapes, with biases that are not 0."""
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    tensors = torchvision.models.squeezenet1_1(weights=None).state_dict()
    save_file({name: torch.full_like(tensor, 0.5) for name, tensor in tensors.items()}, path)
    return path


def start_from(path: Path, **values: str) -> TrainClassifierSettings:
    return TrainClassifierSettings(**({"network": "squeezenet1_1", "weights_file": str(path)} | values))  # type: ignore[arg-type]


def test_a_local_file_is_taken_named_by_its_hash_and_keeps_the_new_head(trained_squeezenet: Path) -> None:
    settings = start_from(trained_squeezenet)
    start = read_start(settings, find_weights(settings))
    assert start.sha256 is not None
    assert start.words == f"ImageNet (local file {start.sha256[:8]})"
    network = build_network("squeezenet1_1", 64, seed=0)
    head = network.state_dict()["classifier.1.weight"].clone()
    start.put_into(network)
    assert network.state_dict()["features.0.weight"].unique().tolist() == [0.5]
    assert torch.equal(network.state_dict()["classifier.1.weight"], head)


def test_a_pth_file_works_as_well(trained_squeezenet: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    torch.save(load_file(trained_squeezenet), tmp_path / "squeezenet.pth")
    settings = start_from(tmp_path / "squeezenet.pth")
    assert "local file" in read_start(settings, find_weights(settings)).words


def test_a_file_of_another_network_is_refused(trained_squeezenet: Path) -> None:
    settings = start_from(trained_squeezenet, network="resnet50")
    with pytest.raises(WeightsError, match=r"weights of ResNet-50: tensor 'conv1.weight' .* found: not there"):
        read_start(settings, trained_squeezenet)


@pytest.mark.parametrize("network", ["resnet50", "squeezenet1_1", "convnext_tiny"])
def test_no_untrained_network_passes_for_imagenets(network: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(getattr(torchvision.models, network)(weights=None).state_dict(), path)
    with pytest.raises(WeightsError, match="never trained: all its"):
        read_start(start_from(path, network=network), path)


def test_weights_that_are_no_numbers_are_refused(trained_squeezenet: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    tensors = load_file(trained_squeezenet)
    tensors["features.0.weight"][0, 0, 0, 0] = float("nan")
    save_file(tensors, tmp_path / "spoilt.safetensors")
    settings = start_from(tmp_path / "spoilt.safetensors")
    with pytest.raises(
        WeightsError, match=r"spoilt.safetensors holds values in 'features.0.weight' that are no numbers"
    ):
        read_start(settings, find_weights(settings))


def test_an_untrained_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "resnet50-imagenet.safetensors"
    save_file(torchvision.models.resnet50(weights=None).state_dict(), path)
    with pytest.raises(WeightsError, match="never trained: all its running means are 0"):
        read_start(start_from(path, network="resnet50"), path)


def test_a_file_that_is_no_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"hello")
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        read_start(start_from(path), path)


@pytest.mark.parametrize("content", [b"image,mask\na.png,b.png\n", b"hello", b""])
def test_a_table_given_as_weights_is_refused_without_torchs_advice(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.csv"
    path.write_bytes(content)
    words = (
        r"own.csv cannot be read as weights: it is no file of tensors alone. A .safetensors file, or a .pth file with "
        r"nothing but a dictionary of tensors as torchvision publishes it, is needed.$"
    )
    with pytest.raises(WeightsError, match=words) as refused:
        read_start(start_from(path), path)
    assert "weights_only" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nothing\.pth does not exist"):
        find_weights(start_from(tmp_path / "nothing.pth"))


def partial_resnet(path: Path) -> Path:
    tensors = torchvision.models.resnet50(weights=None).state_dict()
    kept = {
        name: tensor + 1
        for name, tensor in tensors.items()
        if name.startswith(("conv1.", "bn1.", "layer1.", "layer2.")) and not name.endswith("num_batches_tracked")
    }
    save_file(kept, path)
    return path


def test_a_partial_start_only_when_asked_for_by_name(tmp_path: Path) -> None:
    path = partial_resnet(tmp_path / "partial.safetensors")
    with pytest.raises(WeightsError, match="ask for weights imagenet-to-layer2 by name"):
        read_start(start_from(path, network="resnet50"), path)
    start = read_start(start_from(path, network="resnet50", weights="imagenet-to-layer2"), path)
    assert start.words.startswith("ImageNet up to layer2, rest random (local file ")
    network = build_network("resnet50", 64, seed=0)
    last = network.state_dict()["layer4.2.conv3.weight"].clone()
    start.put_into(network)
    assert network.state_dict()["bn1.weight"].unique().tolist() == [2.0]
    assert torch.equal(network.state_dict()["layer4.2.conv3.weight"], last)


def test_without_internet_the_error_names_file_and_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(WeightsError, match=r"no route to host.*Fetch .*resnet50-0676ba61\.pth.*give.*weights_file"):
        find_weights(TrainClassifierSettings())


def test_a_damaged_download_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub" / "checkpoints" / "resnet50-0676ba61.pth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half of a file")
    with pytest.raises(WeightsError, match="not the file that torchvision published"):
        find_weights(TrainClassifierSettings())


def real_weights(name: str) -> Path:
    data = os.environ.get("MAMMOFILL_REAL_DATA")
    data_folder = Path(data) if data else Path(__file__).parents[3] / "shared" / "data"
    path = data_folder.parent / "weights" / name
    if not path.is_file():
        pytest.skip(f"no real weights: {path} does not exist")
    return path


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("network", "weights", "name"),
    [
        ("squeezenet1_1", "imagenet", "squeezenet1_1.safetensors"),
        ("resnet50", "imagenet-to-layer2", "resnet50_tv_v1_to_layer2.safetensors"),
    ],
)
def test_real_weights_are_accepted(network: str, weights: str, name: str) -> None:
    path = real_weights(name)
    start = read_start(start_from(path, network=network, weights=weights), path)
    built = build_network(network, 64, seed=0)
    start.put_into(built)
    assert all(torch.equal(built.state_dict()[key], tensor) for key, tensor in start.tensors.items())
