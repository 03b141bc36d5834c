from __future__ import annotations

import numpy as np
import pytest
import torch

from mammofill.classifier.batches import GRAY, STANDARD_MEAN, STANDARD_SD, network_input
from mammofill.ground.imaging import to_uint16
from mammofill.ground.seeding import stream


def patches(level: float, contrast: float) -> np.ndarray:
    pattern = np.clip(stream(0, "pattern").standard_normal((3, 16, 16)), -2, 2)
    return to_uint16(level + contrast * pattern)


def test_level_and_contrast_are_gone_and_the_pattern_stays() -> None:
    faint, bold = (network_input(patches(*how), GRAY, torch.device("cpu"), True) for how in ((0.3, 0.05), (0.6, 0.15)))
    assert torch.allclose(faint, bold, atol=2e-4)
    assert faint.mean(dim=(1, 2, 3)).tolist() == pytest.approx([STANDARD_MEAN] * 3, abs=1e-5)
    assert faint.std(dim=(1, 2, 3)).tolist() == pytest.approx([STANDARD_SD] * 3, abs=1e-5)
    as_they_are = [network_input(patches(*how), GRAY, torch.device("cpu")) for how in ((0.3, 0.05), (0.6, 0.15))]
    assert not torch.allclose(*as_they_are, atol=0.1)


def test_an_empty_patch_is_gray_and_its_noise_is_not_blown_up() -> None:
    noise = np.full((1, 16, 16), 3000, np.uint16)
    noise[0, 0, 0] += 1
    found = network_input(noise, GRAY, torch.device("cpu"), True)
    assert (found - STANDARD_MEAN).abs().max() < 0.05
