from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mammofill.infilling.discriminator import Discriminator
from mammofill.infilling.generator import Generator
from mammofill.infilling.settings import DiscriminatorSettings, GeneratorSettings

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
    assert flops(discriminator, torch.zeros(1, 1, 256, 256), BENIGN) == pytest.approx(10e9, rel=0.1)


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


def test_the_logit_sees_the_class_and_the_class_head_does_not() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(16, DiscriminatorSettings(widths=(4, 4, 4)))
    image = torch.rand(1, 1, 16, 16)
    as_benign, class_of_benign = discriminator(image, BENIGN)
    as_malignant, class_of_malignant = discriminator(image, MALIGNANT)
    assert as_benign.shape == (1,)
    assert not torch.allclose(as_benign, as_malignant)
    assert class_of_benign.shape == (1, 2)
    assert torch.equal(class_of_benign, class_of_malignant)


def test_discriminator_without_class_head() -> None:
    _, classes = Discriminator(16, DiscriminatorSettings(widths=(4, 4), class_head=False))(
        torch.rand(1, 1, 16, 16), BENIGN
    )
    assert classes is None
