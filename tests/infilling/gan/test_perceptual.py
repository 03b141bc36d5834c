from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.models
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mammofill.infilling.gan.features import LaplacianFeatures, NetworkFeatures, PixelFeatures, build_features
from mammofill.infilling.gan.losses import boundary_weights
from mammofill.infilling.gan.perceptual import compare_whole, filled_lines, find_chain, perceptual_loss
from mammofill.infilling.gan.settings import PerceptualSettings


def small_vgg(
    dtype: torch.dtype = torch.float64,
    places: Mapping[int, str] = {4: "pool1", 9: "pool2", 18: "pool3"},
    with_input: bool = True,
    pool: type[nn.Module] = nn.MaxPool2d,
    gain: Tensor = torch.tensor([1.0, 2.0, 3.0]),
    offset: Tensor = torch.tensor([0.0, -2.0, 1.0]),
) -> NetworkFeatures:
    """VGG-19 with few channels, He-initialised, and with biases that are not 0, so that black has features of its own.

    With an offset, what surrounds a black picture is not black to the network.
    """
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    before = 3
    for width, convolutions in ((4, 2), (6, 2), (8, 4), (8, 4)):
        for _ in range(convolutions):
            convolution = nn.Conv2d(before, width, 3, padding=1)
            nn.init.kaiming_normal_(convolution.weight)
            nn.init.normal_(convolution.bias, std=0.1)  # type: ignore[arg-type]
            layers += [convolution, nn.ReLU(inplace=True)]
            before = width
        layers.append(pool(2))
    used = nn.Sequential(*layers[: max(places, default=-1) + 1])
    return NetworkFeatures(used, places, with_input, gain, offset).to(dtype).requires_grad_(False)


def value_and_slope(loss: Any, features: nn.Module, real: Tensor, painted: Tensor, regions: list[Tensor]) -> Any:
    painted = painted.clone().requires_grad_()
    value = loss(features, real, painted, regions)
    return value.detach(), torch.autograd.grad(value, painted)[0]


def regions_of(masks: list[np.ndarray], sigma_px: float = 1.5) -> list[Tensor]:
    boundaries = [boundary_weights(mask, sigma_px) for mask in masks]
    return [torch.from_numpy(np.stack(one)).double()[:, None] for one in (masks, boundaries)]


def rectangle(size_px: int, top: int, left: int, height: int, width: int) -> np.ndarray:
    mask = np.zeros((size_px, size_px), bool)
    mask[top : top + height, left : left + width] = True
    return mask


def assert_same(features: nn.Module, regions: list[Tensor], seed: int = 0) -> None:
    torch.manual_seed(seed)
    real, painted = torch.rand_like(regions[0]), torch.rand_like(regions[0])
    value, slope = value_and_slope(perceptual_loss, features, real, painted, regions)
    wanted, wanted_slope = value_and_slope(compare_whole, features, real, painted, regions)
    assert value.item() == pytest.approx(wanted.item(), rel=1e-10)
    torch.testing.assert_close(slope, wanted_slope, rtol=0, atol=1e-10 * wanted_slope.abs().max().item())
    assert wanted_slope.abs().max() > 0


@given(
    top=st.integers(0, 37),
    left=st.integers(0, 37),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    size_px=st.sampled_from([38, 40]),
    shifted=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_boxes_give_what_whole_pictures_give(
    top: int, left: int, height: int, width: int, size_px: int, shifted: bool
) -> None:
    features = small_vgg() if shifted else small_vgg(gain=torch.ones(3), offset=torch.zeros(3))
    assert_same(features, regions_of([rectangle(size_px, top, left, height, width)]))


@pytest.mark.parametrize(
    "features",
    [
        small_vgg(pool=nn.AvgPool2d),
        small_vgg(places={27: "pool4"}, with_input=False),
        small_vgg(places={}),
        small_vgg(places={4: "pool1", 9: "pool2"}, with_input=False, pool=nn.AvgPool2d),
    ],
    ids=["average", "deep", "input", "shallow"],
)
def test_at_borders_and_in_corners(features: NetworkFeatures) -> None:
    masks = [rectangle(48, *place) for place in [(0, 0, 5, 9), (20, 43, 6, 5), (21, 19, 3, 4), (47, 0, 1, 48)]]
    masks[2][40, 41] = True  # two islands
    assert_same(features, regions_of(masks))


def test_float32_is_as_exact_as_float32_can_be() -> None:
    regions = regions_of([rectangle(64, 20, 24, 11, 9), rectangle(64, 0, 40, 14, 24)])
    torch.manual_seed(1)
    real, painted = torch.rand(2, 1, 64, 64), torch.rand(2, 1, 64, 64)
    exact, exact_slope = value_and_slope(compare_whole, small_vgg(), real.double(), painted.double(), regions)
    features, single = small_vgg(torch.float32), [one.float() for one in regions]
    value, slope = value_and_slope(perceptual_loss, features, real, painted, single)
    _, whole_slope = value_and_slope(compare_whole, features, real, painted, single)
    assert value.item() == pytest.approx(exact.item(), rel=1e-5)
    error, error_whole = ((one - exact_slope).norm() / exact_slope.norm() for one in (slope, whole_slope))
    assert error < max(1e-5, 3 * error_whole)  # where two features all but agree, rounding decides which is larger


def test_what_is_computed_ends_where_black_begins() -> None:
    features = small_vgg()
    chain = find_chain(features)
    assert chain is not None
    box = chain.box(0, (100, 130), (0, 20), (256, 256))
    spans = [(rows.start, rows.stop) for rows, _ in box.reached]
    # One further with each convolution; before a pool, whole pairs; behind it, half.
    assert spans == [(99, 131), (98, 132), (48, 67), (46, 68), (22, 35), (21, 36), (20, 37), (18, 38)]
    assert [(columns.start, columns.stop) for _, columns in box.reached][-1] == (0, 12)

    picture = torch.zeros(1, 1, 256, 256, dtype=torch.float64)
    picture[:, :, 100:130, :20] = torch.rand(30, 20)
    with torch.no_grad():
        moved = (features(picture)[-1] - features(torch.zeros_like(picture))[-1]).abs().sum(dim=(0, 1)) > 0
    rows, columns = np.nonzero(moved.numpy())
    assert (rows.min(), rows.max() + 1, columns.max() + 1) == (9, 19, 6)


def test_boxes_found_beforehand_give_the_same_loss_and_no_others_are_looked_for() -> None:
    features, regions = small_vgg(), regions_of([rectangle(40, 3, 4, 9, 12), rectangle(40, 20, 2, 5, 30)])
    real, painted = torch.rand(2, len(regions[0]), 1, 40, 40, dtype=torch.float64)
    found = perceptual_loss(features, real, painted, regions)
    lines = [filled_lines(one) for one in regions]
    assert torch.equal(perceptual_loss(features, real, painted, regions, filled=lines), found)
    nothing = [torch.zeros_like(one) for one in lines]
    assert perceptual_loss(features, real, painted, regions, filled=nothing).item() == 0


def test_an_empty_region_counts_nothing() -> None:
    features = small_vgg()
    real, painted, nowhere = torch.rand(3, 1, 2, 1, 32, 32, dtype=torch.float64)[:, 0]
    nowhere = torch.zeros_like(nowhere)
    value, slope = value_and_slope(perceptual_loss, features, real, painted, [nowhere])
    assert value.item() == 0
    assert slope.abs().max() == 0


def test_without_a_slope_nothing_is_kept_for_one() -> None:
    features = small_vgg()
    regions = regions_of([rectangle(32, 3, 4, 9, 9)])
    real, painted = torch.rand(2, 1, 1, 32, 32, dtype=torch.float64)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            value = perceptual_loss(features, real, painted, regions)
        assert not value.requires_grad
        assert value.item() == pytest.approx(compare_whole(features, real, painted, regions).item())
    # What was remembered of black in inference mode serves training, too.
    assert_same(features, regions)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
def test_the_number_of_threads_changes_nothing(mode: Any) -> None:
    features, regions = small_vgg(torch.float32), regions_of([rectangle(40, k, 2 * k, 9, 12) for k in range(6)])
    regions = [one.float() for one in regions]
    real, painted = torch.rand(2, 6, 1, 40, 40)
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            with mode():
                asked = painted.clone().requires_grad_(mode is torch.enable_grad)
                value = perceptual_loss(features, real, asked, regions)
            found.append([value, *(torch.autograd.grad(value, asked) if mode is torch.enable_grad else [])])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_mixed_precision_is_near() -> None:
    features, regions = small_vgg(torch.float32), [one.float() for one in regions_of([rectangle(40, 3, 4, 20, 20)])]
    real, painted = torch.rand(2, 1, 1, 40, 40)
    exact = perceptual_loss(features, real, painted, regions).item()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = perceptual_loss(features, real, painted, regions).item()
    assert mixed != exact
    assert mixed == pytest.approx(exact, rel=0.03)


def test_vgg19_is_a_chain_and_other_networks_take_whole_pictures(tmp_path: Path) -> None:
    with torch.device("meta"):
        layers = torchvision.models.vgg19(weights=None).features[:19]
    chain = find_chain(NetworkFeatures(layers, {4: "pool1", 18: "pool3"}, True, torch.ones(3), torch.zeros(3)))
    assert chain is not None
    assert [(link.halve is not None, link.given_out) for link in chain.links] == [
        (False, False), (True, True), (False, False), (True, False), *[(False, False)] * 3, (True, True)
    ]  # fmt: skip
    torch.manual_seed(0)
    path = tmp_path / "weights.pth"
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), path)
    squeezenet, _ = build_features(PerceptualSettings(features="squeezenet1_1", weights=str(path)))
    assert find_chain(squeezenet) is None
    assert find_chain(PixelFeatures()) is None


def test_perceptual_loss_looks_at_its_regions_only() -> None:
    real = torch.rand(1, 1, 32, 32)
    mask = torch.from_numpy(rectangle(32, 8, 8, 10, 10)).float()[None, None]
    outside = real + (1 - mask) * 0.3
    inside = real + mask * 0.3
    pixels = PixelFeatures()
    assert perceptual_loss(pixels, real, outside, [mask]).item() == 0
    share = mask.mean().item()
    assert perceptual_loss(pixels, real, inside, [mask]).item() == pytest.approx(0.3 * share, rel=1e-4)
    # Each region counts in full, whatever the number of regions.
    assert perceptual_loss(pixels, real, inside, [mask, mask]).item() == pytest.approx(0.6 * share, rel=1e-4)
    with_context = perceptual_loss(pixels, real, outside, [mask], context=1 - mask, context_weight=2.0)
    assert with_context.item() == pytest.approx(2 * 0.3 * (1 - share), rel=1e-4)


def test_perceptual_loss_of_whole_pictures() -> None:
    real = torch.rand(2, 1, 32, 32)
    assert perceptual_loss(PixelFeatures(), real, real + 0.25, []).item() == pytest.approx(0.25, rel=1e-4)
    assert perceptual_loss(LaplacianFeatures(3), real, real, []).item() == 0
