from __future__ import annotations

import os
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision.models
from safetensors.torch import save_file

from mammofill.ground.errors import WeightsError
from mammofill.infilling.features import build_features
from mammofill.infilling.settings import PerceptualSettings


@pytest.fixture(scope="module")
def random_squeezenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the right shapes: enough to test reading, never used for a perceptual loss."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    save_file(torchvision.models.squeezenet1_1(weights=None).state_dict(), path)
    return path


def squeezenet(path: Path, **changes: object) -> PerceptualSettings:
    return PerceptualSettings(features="squeezenet1_1", weights=str(path), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("features", "shapes"),
    [
        ("vgg19", [(1, 64, 64), (64, 32, 32), (128, 16, 16), (256, 8, 8)]),
        ("squeezenet1_1", [(1, 64, 64), (64, 15, 15), (128, 7, 7), (256, 3, 3)]),
    ],
)
def test_feature_maps_are_those_after_the_pools(features: str, shapes: list[tuple[int, ...]], tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "weights.pth"
    network = getattr(torchvision.models, features)(weights=None)
    torch.save({name: tensor for name, tensor in network.state_dict().items() if name.startswith("features")}, path)
    extractor, record = build_features(PerceptualSettings(features=features, weights=str(path)))  # type: ignore[arg-type]
    images = torch.rand(2, 1, 64, 64)
    maps = extractor(images)
    assert [tuple(one.shape[1:]) for one in maps] == shapes
    last = {"vgg19": 19, "squeezenet1_1": 9}[features]
    with torch.no_grad():
        torch.testing.assert_close(maps[-1], network.eval().features[:last](images.expand(-1, 3, -1, -1)))
    assert (record.features, record.weights, len(record.sha256)) == (features, "weights.pth", 64)
    assert not extractor.training
    assert not any(parameter.requires_grad for parameter in extractor.parameters())


def test_normalisation_is_that_of_imagenet(random_squeezenet: Path) -> None:
    plain, _ = build_features(squeezenet(random_squeezenet, layers=("pool1",)))
    normalised, _ = build_features(squeezenet(random_squeezenet, layers=("pool1",), normalise=True))
    gray = torch.rand(1, 1, 32, 32)
    colours = (gray.expand(-1, 3, -1, -1) - normalised.mean) / normalised.spread
    torch.testing.assert_close(normalised(gray)[0], plain.layers(colours))


def test_gradients_reach_the_picture(random_squeezenet: Path) -> None:
    extractor, _ = build_features(squeezenet(random_squeezenet))
    picture = torch.rand(1, 1, 32, 32, requires_grad=True)
    extractor(picture)[-1].sum().backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0


def test_a_missing_weights_file() -> None:
    with pytest.raises(WeightsError, match=r"nowhere.pth does not exist, but PerceptualSettings.weights names it"):
        build_features(PerceptualSettings(weights="nowhere.pth"))


def test_a_file_that_holds_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"cannot be read as weights"):
        build_features(PerceptualSettings(weights=str(path)))


def test_weights_of_another_network(random_squeezenet: Path) -> None:
    with pytest.raises(WeightsError, match=r"another network: 'features.2.weight' should be \(64, 64, 3, 3\)"):
        build_features(PerceptualSettings(weights=str(random_squeezenet)))


def test_no_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr(torchvision.models._api.WeightsEnum, "get_state_dict", offline)
    with pytest.raises(WeightsError, match=r"vgg19-dcbb9e9d.pth\) could not be downloaded .*put it into .*checkpoints"):
        build_features(PerceptualSettings())


@pytest.mark.real_data
def test_the_real_squeezenet() -> None:
    data = Path(os.environ.get("MAMMOFILL_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
    path = data.parent / "weights" / "squeezenet1_1.safetensors"
    if not path.is_file():
        pytest.skip(f"no real weights at {path}")
    extractor, record = build_features(squeezenet(path, normalise=True))
    flat, edge = torch.full((1, 1, 64, 64), 0.5), torch.full((1, 1, 64, 64), 0.5)
    edge[:, :, :, 32:] = 0.8
    # ImageNet's filters answer to an edge where it is, and not to a flat picture.
    difference = (extractor(edge)[1] - extractor(flat)[1]).abs().mean(dim=(0, 1, 2))
    assert difference[7] > difference[2]
    assert record.weights == "squeezenet1_1.safetensors"
