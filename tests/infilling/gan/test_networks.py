from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mammofill.ground.errors import SettingsError
from mammofill.ground.seeding import stream
from mammofill.infilling.conditions import count_planes, encode
from mammofill.infilling.gan.diffaugment import diffaugment, draw_augmentation
from mammofill.infilling.gan.discriminator import Discriminator, weights_near
from mammofill.infilling.gan.generator import Generator, fill_smoothly
from mammofill.infilling.gan.settings import DiscriminatorSettings, GeneratorSettings

BENIGN, MALIGNANT = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])


def flops(network: nn.Module, *inputs: torch.Tensor) -> float:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(*inputs)
    return float(counter.get_total_flops())


def test_the_paper_generator_has_the_published_size() -> None:
    generator = Generator(256, GeneratorSettings())
    assert sum(parameter.numel() for parameter in generator.parameters()) == pytest.approx(0.7e6, rel=0.05)
    picture = torch.zeros(1, 1, 256, 256)
    assert flops(generator, picture, picture, BENIGN) == pytest.approx(3.7e9, rel=0.05)


def test_the_paper_discriminator_has_the_published_cost() -> None:
    discriminator = Discriminator(256, DiscriminatorSettings())
    picture = torch.zeros(1, 1, 256, 256)
    assert flops(discriminator, picture, picture, BENIGN) == pytest.approx(10e9, rel=0.1)


@pytest.mark.parametrize("size_px", [16, 64])
@pytest.mark.parametrize("head", ["sigmoid", "relu", "linear"])
def test_generator_paints_the_patch_size(size_px: int, head: str) -> None:
    generator = Generator(size_px, GeneratorSettings(widths=(4,) * 5, head=head))  # type: ignore[arg-type]
    picture = torch.rand(3, 1, size_px, size_px)
    painted = generator(picture, (picture > 0.5).float(), torch.eye(2)[[0, 1, 1]])
    assert painted.shape == (3, 1, size_px, size_px)
    if head == "sigmoid":
        assert painted.min() >= 0
        assert painted.max() <= 1


def test_generator_uses_context_mask_and_class() -> None:
    torch.manual_seed(0)
    generator = Generator(16, GeneratorSettings(widths=(4, 4, 4)))
    context, mask = torch.rand(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    painted = generator(context, mask, BENIGN)
    for other in [(1 - context, mask, BENIGN), (context, 1 - mask, BENIGN), (context, mask, MALIGNANT)]:
        assert not torch.allclose(generator(*other), painted)


def test_without_class_or_latent_the_modern_generator_begins_as_a_smooth_filling() -> None:
    settings = GeneratorSettings(widths=(4, 4, 4), stack="filled", norm="pixel", latent=3, head="residual")
    generator = Generator(16, settings)
    rows = torch.linspace(0.2, 0.8, 16).view(1, 1, 16, 1).expand(1, 1, 16, 16)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 5:10, 6:9] = 1
    noisy = torch.where(mask > 0, torch.rand(1, 1, 16, 16), rows)
    painted = generator(noisy, mask, BENIGN, torch.zeros(1, 3))
    assert torch.allclose(painted[mask == 0], rows[mask == 0])
    assert (painted - rows).abs().max() < 0.1


@pytest.mark.parametrize("fields", [{"stack": "filled", "latent": 3, "norm": "pixel"}, {"norm": "instance"}, {}])
def test_noise_changes_what_is_painted(fields: dict[str, Any]) -> None:
    torch.manual_seed(0)
    generator = Generator(16, GeneratorSettings(widths=(4, 4, 4), **fields))
    context, mask = torch.rand(2, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    mask[..., 4:12, 4:12] = 1
    context[1] = torch.where(mask[0] > 0, context[1], context[0])  # same tissue, other noise in the hole
    latent = torch.randn(2, 3)
    one, other = generator(context, mask.expand(2, -1, -1, -1), BENIGN.expand(2, -1), latent)
    assert not torch.allclose(one, other)


def test_the_latent_alone_changes_what_is_painted() -> None:
    torch.manual_seed(0)
    generator = Generator(16, GeneratorSettings(widths=(4, 4, 4), latent=3))
    context, mask = torch.rand(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
    one, other = (generator(context, mask, BENIGN, torch.full((1, 3), value)) for value in (-1.0, 1.0))
    assert not torch.allclose(one, other)


def test_the_authors_planes_pile_up_towards_the_coarsest_scale() -> None:
    generator = Generator(32, GeneratorSettings(widths=(4,) * 4, stack="accumulating"))
    context = torch.arange(32.0 * 32).view(1, 1, 32, 32)
    seen = generator._pyramid(context, torch.zeros(1, 1, 32, 32), MALIGNANT)
    assert [tuple(one.shape[1:]) for one in seen] == [(8, 4, 4), (6, 8, 8), (4, 16, 16), (2, 32, 32)]
    assert torch.equal(seen[0][0, 0], context[0, 0, ::8, ::8])
    assert seen[0][0, 2:, 0, 0].tolist() == [0, 1, 0, 1, 0, 1]


def test_a_hole_that_is_the_whole_patch_is_filled_with_middle_gray() -> None:
    ones = torch.ones(1, 1, 8, 8)
    for filled in fill_smoothly(torch.rand(1, 1, 8, 8), ones, [4, 8]):
        assert torch.allclose(filled, torch.full_like(filled, 0.5))


def test_more_facts_are_more_planes_and_nothing_else() -> None:
    facts = ("pathology", "abnormality", "density")
    assert count_planes(facts) == 8
    context = torch.rand(1, 1, 16, 16)
    generator = Generator(16, GeneratorSettings(widths=(4, 4, 4)), facts)
    discriminator = Discriminator(16, DiscriminatorSettings(widths=(4, 4, 4)), facts)
    known = torch.from_numpy(encode(facts, {"pathology": ["benign"], "density": ["3"]}, 1))
    assert known.tolist() == [[1, 0, 0, 0, 0, 0, 1, 0]]
    assert generator(context, context, known).shape == (1, 1, 16, 16)
    assert discriminator(context, context, known).real.shape == (1,)


def test_words_that_a_fact_does_not_have() -> None:
    with pytest.raises(SettingsError, match=r"Picture 1 requests the density '5'. Use 1 or 2 or 3 or 4."):
        encode(("pathology", "density"), {"density": ["1", "5"]}, 2)
    with pytest.raises(SettingsError, match="'density' was requested, but this infiller is conditioned on pathology"):
        encode(("pathology",), {"density": ["1"]}, 1)
    with pytest.raises(SettingsError, match="2 pictures need as many words for 'pathology', but got 1"):
        encode(("pathology",), {"pathology": ["benign"]}, 2)


@pytest.mark.parametrize("judge", ["flat", "patches"])
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_the_logit_sees_the_class_and_the_class_head_does_not(judge: str, spectral_norm: bool) -> None:
    torch.manual_seed(0)
    settings = DiscriminatorSettings(widths=(4, 4, 4), judge=judge, spectral_norm=spectral_norm)  # type: ignore[arg-type]
    discriminator = Discriminator(16, settings).eval()
    image, mask = torch.rand(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
    as_benign, as_malignant = discriminator(image, mask, BENIGN), discriminator(image, mask, MALIGNANT)
    assert as_benign.real.shape == (1,)
    assert not torch.allclose(as_benign.real, as_malignant.real)
    assert as_benign.classes.shape == (1, 2)
    assert torch.equal(as_benign.classes, as_malignant.classes)


def test_discriminator_without_class_head() -> None:
    image = torch.rand(1, 1, 16, 16)
    discriminator = Discriminator(16, DiscriminatorSettings(widths=(4, 4), class_head=False))
    assert discriminator(image, image, BENIGN).classes is None


def test_planes_reach_every_layer_after_the_first() -> None:
    torch.manual_seed(0)
    settings = DiscriminatorSettings(widths=(4, 4, 4), conditioning="planes", class_head=False)
    discriminator = Discriminator(16, settings)
    image = torch.rand(1, 1, 16, 16)
    benign, malignant = (discriminator(image, image, one) for one in (BENIGN, MALIGNANT))
    same = [torch.allclose(a, b) for a, b in zip(benign.layers, malignant.layers, strict=True)]
    assert same == [True, False, False]


def test_a_verdict_by_patches_looks_near_the_mask_only() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(64, DiscriminatorSettings(widths=(4, 4, 4), judge="patches"))
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 4:12, 4:12] = 1
    image = torch.rand(1, 1, 64, 64)
    far, near = image.clone(), image.clone()
    far[..., 48:, 48:] = 0
    near[..., :16, :16] = 0
    verdict, far_off, close = (discriminator(one, mask, BENIGN).real for one in (image, far, near))
    assert torch.allclose(verdict, far_off, atol=1e-6)
    assert not torch.allclose(verdict, close, atol=1e-4)
    weights = weights_near(mask, 16)
    assert weights.sum().item() == pytest.approx(1)
    assert weights[..., 8:, 8:].sum() == 0


def test_pictures_are_shown_with_their_masks_and_gradients_pass() -> None:
    image = torch.rand(40, 1, 16, 16, requires_grad=True)
    mask = (image.detach() > 0.5).float()
    views = torch.stack([draw_augmentation(("turn", "translation"), stream(0, number)) for number in range(40)])
    shown, shown_mask = diffaugment(image, mask, views, ("turn", "translation"))
    # Pixels stay whole, so that a mask stays a mask and belongs to its picture.
    assert torch.allclose((shown > 0.5).float(), shown_mask, atol=1e-3)
    assert {int(way) for way in views[:, 0]} == set(range(8))
    shown.sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert all(one is other for one, other in zip(diffaugment(image, mask, views, ()), (image, mask), strict=True))


def test_light_changes_the_picture_and_not_the_mask() -> None:
    image, mask = torch.rand(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    view = draw_augmentation(("brightness", "contrast"), stream(0, "view"))[None]
    shown, shown_mask = diffaugment(image, mask, view, ("brightness", "contrast"))
    assert torch.equal(mask, shown_mask)
    assert (shown.mean() - image.mean()).item() == pytest.approx(view[0, 3].item(), abs=1e-5)
    assert (shown.std() / image.std()).item() == pytest.approx(view[0, 4].item(), abs=1e-4)
    assert draw_augmentation((), stream(0, "view")).tolist() == [0, 0, 0, 0, 1]
