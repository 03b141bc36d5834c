from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from mammofill.ground.errors import TrainingError
from mammofill.infilling.gan.features import LaplacianFeatures
from mammofill.infilling.gan.losses import (
    adversarial_loss,
    boundary_loss,
    boundary_weights,
    class_loss,
    discriminator_loss,
    feature_matching_loss,
    gradient_penalty,
    variety_loss,
)


def square(size_px: int = 64, top: int = 20, side: int = 20) -> np.ndarray:
    mask = np.zeros((size_px, size_px), bool)
    mask[top : top + side, top : top + side] = True
    return mask


def test_contour_weights_are_the_blurred_inner_contour_with_peak_one() -> None:
    mask = square()
    contour = mask & ~ndimage.binary_erosion(mask, np.ones((3, 3)))
    blurred = ndimage.gaussian_filter(contour.astype(np.float64), 3.0, mode="constant", truncate=4.0)
    weights = boundary_weights(mask, 3.0)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, blurred / blurred.max(), atol=1e-6)
    assert weights.max() == 1


def test_blurred_mask_weights_are_the_blurred_mask() -> None:
    mask = square()
    blurred = ndimage.gaussian_filter(mask.astype(np.float64), 3.0, mode="constant", truncate=4.0)
    np.testing.assert_allclose(boundary_weights(mask, 3.0, "blurred-mask"), blurred, atol=1e-6)


@pytest.mark.parametrize("boundary", ["contour", "blurred-mask"])
def test_an_empty_mask_is_an_error_and_never_nan(boundary: str) -> None:
    with pytest.raises(TrainingError, match="The mask is empty, so it has no boundary"):
        boundary_weights(np.zeros((8, 8), bool), 2.0, boundary)  # type: ignore[arg-type]


def test_a_mask_of_the_whole_patch_has_its_contour_at_the_edge() -> None:
    weights = boundary_weights(np.ones((16, 16), bool), 1.0)
    assert np.isfinite(weights).all()
    assert weights[0, 8] > weights[8, 8]


def test_boundary_loss_is_the_weighted_mean_difference() -> None:
    real, painted = torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 0.5)
    weights = torch.zeros(2, 1, 4, 4)
    weights[:, :, :2] = 0.2
    assert boundary_loss(real, painted, weights).item() == pytest.approx(0.5 * 0.2 / 2)


def test_the_laplacian_pyramid_holds_the_whole_picture() -> None:
    picture = torch.rand(1, 1, 32, 32)
    levels = LaplacianFeatures(4)(picture)
    assert [level.shape[-1] for level in levels] == [32, 16, 8, 4]
    rebuilt = levels[-1]
    for level in reversed(levels[:-1]):
        rebuilt = level + torch.nn.functional.interpolate(rebuilt, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(rebuilt, picture)


def test_levels_that_are_left_out_are_the_finest() -> None:
    picture = torch.rand(1, 1, 32, 32)
    whole, coarse = LaplacianFeatures(3)(picture), LaplacianFeatures(3, left_out=1)(picture)
    assert len(coarse) == 2
    assert all(torch.equal(one, other) for one, other in zip(whole[1:], coarse, strict=True))


def test_a_flat_difference_is_seen_at_the_coarsest_level_alone() -> None:
    flat = torch.full((1, 1, 32, 32), 0.5)
    *fine, coarse = LaplacianFeatures(3)(flat)
    assert all(level.abs().max() < 1e-6 for level in fine)
    assert coarse.mean().item() == pytest.approx(0.5)


def test_adversarial_losses_of_a_coin_and_of_the_sure() -> None:
    coin, sure = torch.zeros(4), torch.full((4,), 50.0)
    assert discriminator_loss(coin, coin).item() == pytest.approx(math.log(2))
    assert discriminator_loss(sure, -sure).item() == pytest.approx(0, abs=1e-6)
    assert discriminator_loss(-sure, sure).item() == pytest.approx(50)
    assert adversarial_loss(coin).item() == pytest.approx(math.log(2))
    assert adversarial_loss(sure).item() == pytest.approx(0, abs=1e-6)
    assert adversarial_loss(-1000 * sure).isfinite()


def test_class_loss_is_the_cross_entropy() -> None:
    logits, classes = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert class_loss(logits, classes).item() == pytest.approx(math.log(1 + math.exp(2)))


def test_hinge_losses() -> None:
    sure, unsure = torch.tensor([3.0]), torch.tensor([0.5])
    assert discriminator_loss(sure, -sure, "hinge") == 0
    assert discriminator_loss(unsure, -unsure, "hinge") == pytest.approx(0.5)
    assert adversarial_loss(unsure, "hinge") == pytest.approx(-0.5)


def test_the_gradient_penalty_is_half_the_squared_slope() -> None:
    pictures = torch.rand(2, 1, 4, 4, requires_grad=True)
    assert gradient_penalty(3 * pictures[:, 0, 0, 0], pictures).item() == pytest.approx(4.5)


def test_matching_features_compares_means_near_the_mask() -> None:
    real, painted = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    near = torch.zeros(1, 1, 4, 4)
    near[..., 0, :2] = 0.5
    real[..., 0, 0], painted[..., 0, 1] = 1, 1  # the same on average, at another place
    assert feature_matching_loss([real], [painted], lambda side: near) == 0
    painted[..., 3, 3] = 9  # far from the mask
    assert feature_matching_loss([real], [painted], lambda side: near) == 0
    painted[..., 0, 0] = 1
    assert feature_matching_loss([real], [painted], lambda side: near) == pytest.approx(0.5)


def test_variety_is_wanted_up_to_its_target() -> None:
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2, :] = 1
    real = torch.tensor([0.4, 0.6]).repeat(8).view(1, 1, 4, 4)  # spread 0.1
    painted = torch.zeros(1, 1, 4, 4, requires_grad=True)
    alike = variety_loss(painted, torch.zeros(1, 1, 4, 4), real, mask, 0.5)
    assert alike.item() == pytest.approx(1, abs=1e-3)
    assert variety_loss(painted, mask * 0.025, real, mask, 0.5).item() == pytest.approx(0.5, abs=1e-3)
    assert variety_loss(painted, mask * 0.05, real, mask, 0.5).item() == pytest.approx(0, abs=1e-3)
    assert variety_loss(painted, 1 - mask, real, mask, 0.5).item() == pytest.approx(1, abs=1e-3)
    alike.backward()
    assert painted.grad is not None
    assert painted.grad.isfinite().all()
