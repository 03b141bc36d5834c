from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision.models
from safetensors.torch import load_file, save_file
from toy_infilling import World, tiny, tiny_schedule

from mammofill.ground.artifact import Artifact, LearnedFrom, begin, read_manifest
from mammofill.ground.errors import PlanChangedError, WeightsError
from mammofill.infilling import Infiller, train_infiller
from mammofill.infilling.gan.features import IMAGENET_MEAN, IMAGENET_SPREAD, build_features, find_weights
from mammofill.infilling.gan.settings import PerceptualSettings


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
    with torch.device("meta"):  # without the large layers behind the features
        network = getattr(torchvision.models, features)(weights=None).features
    network.to_empty(device="cpu")
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    torch.save({f"features.{name}": tensor for name, tensor in network.state_dict().items()}, path)
    extractor, record = build_features(PerceptualSettings(features=features, weights=str(path)))  # type: ignore[arg-type]
    images = torch.rand(2, 1, 64, 64)
    maps = extractor(images)
    assert [tuple(one.shape[1:]) for one in maps] == shapes
    last = {"vgg19": 19, "squeezenet1_1": 9}[features]
    with torch.no_grad():
        torch.testing.assert_close(maps[-1], network.eval()[:last](images.expand(-1, 3, -1, -1)))
    assert (record.features, record.weights, len(record.sha256)) == (features, "weights.pth", 64)
    assert not extractor.training
    assert not any(parameter.requires_grad for parameter in extractor.parameters())


def colour(values: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)


def test_normalisation_is_that_of_imagenet(random_squeezenet: Path) -> None:
    plain, _ = build_features(squeezenet(random_squeezenet, layers=("pool1",)))
    normalised, _ = build_features(squeezenet(random_squeezenet, layers=("pool1",), normalise=True))
    gray = torch.rand(1, 1, 32, 32)
    colours = (gray.expand(-1, 3, -1, -1) - colour(IMAGENET_MEAN)) / colour(IMAGENET_SPREAD)
    torch.testing.assert_close(normalised(gray)[0], plain.layers(colours))


def test_pixels_as_the_methods_authors_feed_them(random_squeezenet: Path) -> None:
    plain, _ = build_features(squeezenet(random_squeezenet, layers=("pool1",)))
    centred, _ = build_features(squeezenet(random_squeezenet, layers=("pool1",), pixels="centred255"))
    gray = torch.rand(1, 1, 32, 32)
    torch.testing.assert_close(centred(gray)[0], plain.layers((gray * 255 - 127.5).expand(-1, 3, -1, -1)))


def test_average_pooling(random_squeezenet: Path) -> None:
    most, _ = build_features(squeezenet(random_squeezenet, layers=("pool1", "pool2")))
    average, _ = build_features(squeezenet(random_squeezenet, layers=("pool1", "pool2"), pooling="average"))
    gray = torch.rand(1, 1, 32, 32)
    first = most.layers[:2](gray.expand(-1, 3, -1, -1))
    torch.testing.assert_close(average(gray)[0], torch.nn.functional.avg_pool2d(first, 3, 2, ceil_mode=True))
    assert [one.shape for one in average(gray)] == [one.shape for one in most(gray)]


# ---- ResNet-50 ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def random_resnet() -> dict[str, torch.Tensor]:
    """ResNet-50 up to the end of layer2, as a file holds it that ends there."""
    torch.manual_seed(0)
    network = torchvision.models.resnet50(weights=None)
    kept = ("conv1.", "bn1.", "layer1.", "layer2.")
    return {name: tensor for name, tensor in network.state_dict().items() if name.startswith(kept)}


def resnet(path: Path, *layers: str) -> PerceptualSettings:
    return PerceptualSettings(features="resnet50", weights=str(path), layers=layers)


def test_resnet_gives_its_stem_and_layers(random_resnet: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "part.safetensors"
    save_file({name: one for name, one in random_resnet.items() if "tracked" not in name}, path)
    extractor, record = build_features(resnet(path, "input", "stem", "layer1", "layer2"))
    images = torch.rand(2, 1, 64, 64)
    maps = extractor(images)
    assert [tuple(one.shape[1:]) for one in maps] == [(1, 64, 64), (64, 32, 32), (256, 16, 16), (512, 8, 8)]
    assert (record.features, record.weights) == ("resnet50", "part.safetensors")
    whole = torchvision.models.resnet50(weights=None)
    whole.load_state_dict(random_resnet, strict=False)
    whole.eval()
    with torch.no_grad():
        stem = whole.relu(whole.bn1(whole.conv1(images.expand(-1, 3, -1, -1))))
        torch.testing.assert_close(maps[1], stem)
        torch.testing.assert_close(maps[3], whole.layer2(whole.layer1(whole.maxpool(stem))))


def test_a_file_that_ends_too_early(random_resnet: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "part.safetensors"
    save_file(random_resnet, path)
    with pytest.raises(WeightsError, match=r"ends before layer3: leave layer3 and what follows out of perceptual.lay"):
        build_features(resnet(path, "layer3"))


@dataclass(frozen=True)
class Toy:
    what: str = "a classifier"


def test_features_of_a_classifier_bring_its_patients(random_resnet: dict[str, torch.Tensor], tmp_path: Path) -> None:
    with begin(tmp_path / "skilled", kind="classifier", stage="toy", settings=Toy(), seed=0, inputs={}) as work:
        assert work is not None
        head = {"fc.weight": torch.zeros(2, 2048), "fc.bias": torch.zeros(2)}
        save_file(random_resnet | head, work.folder / "weights.safetensors")
        work.finish({}, [LearnedFrom("train-classifier", ("P_7",))])
    chosen = resnet(tmp_path / "skilled" / "weights.safetensors", "stem", "layer1")
    _, record = build_features(chosen)
    source = find_weights(chosen)
    assert isinstance(source, Artifact)
    assert record.weights == f"weights.safetensors of the classifier skilled ({source.fingerprint[:12]})"
    # As an input of the stage it is an artifact, whose patients are remembered by all that is made from it.
    with begin(tmp_path / "next", kind="toy", stage="toy", settings=Toy(), seed=0, inputs={"weights": source}) as work:
        assert work is not None
        work.finish({})
    assert read_manifest(tmp_path / "next").learned_patients() == {"P_7": ["train-classifier"]}


def test_gradients_reach_the_picture(random_squeezenet: Path) -> None:
    extractor, _ = build_features(squeezenet(random_squeezenet))
    picture = torch.rand(1, 1, 32, 32, requires_grad=True)
    extractor(picture)[-1].sum().backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0


def test_a_missing_weights_file() -> None:
    with pytest.raises(WeightsError, match=r"nowhere.pth does not exist, but perceptual.weights names it"):
        build_features(PerceptualSettings(weights="nowhere.pth"))


def test_a_file_that_holds_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"cannot be read as weights: it does not hold tensors alone. Give"):
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
    data = Path(os.environ.get("MAMMOFILL_REAL_DATA", Path(__file__).parents[4] / "shared" / "data"))
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


@pytest.mark.real_data
def test_the_real_part_of_a_resnet() -> None:
    data = Path(os.environ.get("MAMMOFILL_REAL_DATA", Path(__file__).parents[4] / "shared" / "data"))
    path = data.parent / "weights" / "resnet50_tv_v1_to_layer2.safetensors"
    if not path.is_file():
        pytest.skip(f"no real weights at {path}")
    extractor, record = build_features(resnet(path, "stem", "layer1", "layer2"))
    flat, edge = torch.full((1, 1, 64, 64), 0.5), torch.full((1, 1, 64, 64), 0.5)
    edge[:, :, :, 32:] = 0.8
    difference = (extractor(edge)[0] - extractor(flat)[0]).abs().mean(dim=(0, 1, 2))
    assert difference[16] > difference[4]
    assert record.weights == "resnet50_tv_v1_to_layer2.safetensors"


def test_a_file_of_weights_may_be_moved_but_not_changed(world: World, random_squeezenet: Path, tmp_path: Path) -> None:
    def train(path: Path) -> Infiller:
        settings = tiny(
            perceptual=squeezenet(path, layers=("pool1",)),
            schedule=tiny_schedule(pretrain_epochs=0.25, adversarial_epochs=0),
        )
        return train_infiller(world.patches, world.pairs, tmp_path / "infiller", settings, seed=1)

    first = train(random_squeezenet)
    assert first.network["perceptual"]["weights"] == "squeezenet.safetensors"
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(random_squeezenet.read_bytes())
    assert train(moved).fingerprint == first.fingerprint
    changed = tmp_path / "changed.safetensors"
    save_file({name: one + 1 for name, one in load_file(random_squeezenet).items()}, changed)
    with pytest.raises(PlanChangedError, match="perceptual weights"):
        train(changed)
