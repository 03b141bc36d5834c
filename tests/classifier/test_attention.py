"""Grad-CAM by hand, for every network, and on a network that has learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_classifier import SIZE_PX, toy_image

from mammofill.classifier import Classifier
from mammofill.classifier.attention import LAST_MAPS, at_patch_size, grad_cam
from mammofill.classifier.networks import NETWORK_WORDS, build_network, colours_of


class Two(torch.nn.Module):
    """Two feature maps, the input and its negative raised by 1, then one weight per place, map and class."""

    def __init__(self, benign: torch.Tensor, malignant: torch.Tensor) -> None:
        super().__init__()
        self.maps = torch.nn.Conv2d(1, 2, 1)
        self.maps.weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
        self.maps.bias.data = torch.tensor([0.0, 1.0])
        self.dense = torch.nn.Linear(benign.numel(), 2, bias=False)
        self.dense.weight.data = torch.stack([benign.flatten(), malignant.flatten()])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.dense(self.maps(inputs).flatten(1))


def test_it_is_the_formula_of_the_paper_for_the_log_odds() -> None:
    random = torch.Generator().manual_seed(1)
    benign, malignant = torch.randn(2, 2, 3, 4, generator=random)
    inputs = torch.rand(5, 1, 3, 4, generator=random)
    alpha = (malignant - benign).mean(dim=(1, 2))  # equation 1: of a linear network the slope is the weight
    expected = (alpha[0] * inputs + alpha[1] * (1 - inputs)).clamp(min=0)[:, 0]  # equation 2
    assert expected.any()
    found = grad_cam(Two(benign, malignant), "maps", inputs)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_a_part_that_both_outputs_share_changes_nothing() -> None:
    random = torch.Generator().manual_seed(2)
    benign, malignant, shared = torch.randn(3, 2, 3, 4, generator=random)
    inputs = torch.rand(2, 1, 3, 4, generator=random)
    found = [grad_cam(Two(benign + more, malignant + more), "maps", inputs) for more in (0, shared)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_a_map_is_zero_where_nothing_speaks_for_malignant() -> None:
    inputs = torch.rand(1, 1, 3, 4)
    assert not grad_cam(Two(torch.ones(2, 3, 4), torch.zeros(2, 3, 4)), "maps", inputs).any()


@pytest.mark.parametrize("name", list(NETWORK_WORDS))
def test_every_network_has_maps_and_is_left_as_it_was(name: str) -> None:
    network = build_network(name, 64, seed=0).eval()
    inputs = torch.rand(2, colours_of(name).channels, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = network(inputs)
    maps = grad_cam(network, LAST_MAPS[name], inputs)
    assert maps.shape[0] == 2
    assert maps.shape[1] == maps.shape[2] > 1
    assert np.isfinite(maps).all()
    np.testing.assert_allclose(grad_cam(network, LAST_MAPS[name], inputs[1:]), maps[1:], rtol=1e-3, atol=1e-7)
    with torch.no_grad():
        np.testing.assert_array_equal(network(inputs), before)
    assert all(one.grad is None for one in network.parameters())
    assert torch.is_grad_enabled()


def test_a_peak_stays_at_its_place() -> None:
    maps = np.zeros((2, 4, 8), np.float32)
    maps[0, 1, 6] = 0.25
    found = at_patch_size(maps, (32, 32))
    assert found.shape == (2, 32, 32)
    row, column = np.unravel_index(found[0].argmax(), (32, 32))
    assert 8 <= row < 16
    assert 24 <= column < 28
    assert found[0].max() == 1
    assert not found[1].any()


def test_a_network_that_looks_for_bright_blobs_is_seen_to_look_at_them() -> None:
    """A shallow network is trained here, for a second: its maps are brighter in the blob than beside it."""
    names = [f"patch-{number}" for number in range(48)]
    kinds = ["malignant", "benign"] * 24
    images = np.stack([toy_image(*both) for both in zip(names, kinds, strict=True)]).astype(np.float32) / 65535
    inputs, classes = torch.from_numpy(images)[:, None], torch.tensor([1, 0] * 24)
    network = build_network("shallow-cnn", SIZE_PX, seed=0).train()
    adam = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(15):
        adam.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs), classes).backward()
        adam.step()
    malignant = images[::2]
    maps = at_patch_size(grad_cam(network.eval(), LAST_MAPS["shallow-cnn"], inputs[::2]), (SIZE_PX, SIZE_PX))
    blob = malignant > 0.7
    shares = [(one * where).sum() / one.sum() for one, where in zip(maps, blob, strict=True) if one.any()]
    assert len(shares) > 20
    assert np.mean(shares) > 2 * blob.mean()


def test_the_network_is_where_the_pictures_are(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_network("shallow-cnn", SIZE_PX, seed=0).eval()
    moved: list[str] = []

    def move(device: object) -> torch.nn.Module:
        moved.append(str(device))
        return network

    monkeypatch.setattr(network, "to", move)
    monkeypatch.setattr("mammofill.ground.training.device.find_device", lambda _: torch.device("cpu", 0))
    classifier = Classifier.__new__(Classifier)
    vars(classifier).update(network=network, facts={"network": "shallow-cnn", "input_px": SIZE_PX})
    assert classifier.attention(np.zeros((1, 16, 16), np.float32), device="cpu:0").shape == (1, 16, 16)
    assert moved[-1] == "cpu:0"
