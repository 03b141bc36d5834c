from __future__ import annotations

import numpy as np
import torch
from toy_infilling import SIZE_PX, toy_patch

from mammofill.infilling.gan.generator import Generator
from mammofill.infilling.gan.painter import GeneratorPainter
from mammofill.infilling.gan.settings import GeneratorSettings
from mammofill.infilling.methods import FillCases


def test_fills_are_the_same_in_any_company_and_on_any_number_of_threads() -> None:
    torch.manual_seed(0)
    painter = GeneratorPainter(Generator(SIZE_PX, GeneratorSettings(widths=(24, 24, 16, 16))).eval())
    pairs = [toy_patch(f"patch {number}", "benign") for number in range(6)]
    images, masks = (np.stack(one) for one in zip(*pairs, strict=True))
    seeds, words = list(range(6)), ["benign", "malignant"] * 3
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        together = list(painter.fills(FillCases(images, masks, masks, {"pathology": words}, seeds)))
        assert torch.get_num_threads() == 3
        torch.set_num_threads(1)
        each = [slice(k, k + 1) for k in range(6)]
        cases = [FillCases(images[k], masks[k], masks[k], {"pathology": words[k]}, seeds[k]) for k in each]
        alone = [next(painter.fills(one)) for one in cases]
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(together, alone)
