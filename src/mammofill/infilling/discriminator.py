"""The discriminator: is this picture real, given its class? And, from the same trunk: which class is it?

Source: the paper, section 3.3 and figure 1. The trunk does not see the class, or its class head would only repeat what
it was told. The real/fake logit is conditioned on the class by projection (Miyato and Koyama, "cGANs with projection
discriminator", 2018, equation 3): a logit that holds for all classes plus one that belongs to the class given.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from mammofill.infilling.generator import LEAK, start_layers
from mammofill.infilling.settings import CLASSES, DiscriminatorSettings


class Discriminator(nn.Module):
    """Judges pictures; the mirror of the generator: each convolution is followed by halving."""

    def __init__(self, size_px: int, settings: DiscriminatorSettings) -> None:
        """Build it for patches of `size_px`; see `DiscriminatorSettings.check_size` for the errors."""
        super().__init__()
        settings.check_size(size_px)
        widths = settings.widths
        layers: list[nn.Module] = [nn.Conv2d(1, widths[0], kernel_size=3, padding=1), nn.LeakyReLU(LEAK)]
        for before, width in pairwise(widths):
            layers += [nn.Conv2d(before, width, kernel_size=3, padding=1), nn.MaxPool2d(2), nn.LeakyReLU(LEAK)]
        self.trunk = nn.Sequential(*layers)
        start_layers(self.trunk)
        last_side = size_px // 2 ** (len(widths) - 1)
        self.judge = nn.Linear(widths[-1] * last_side**2, 1 + len(CLASSES))
        self.class_head = nn.Linear(widths[-1], len(CLASSES)) if settings.class_head else None

    def forward(self, images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Judge.

        Args:
            images: (N, 1, H, W).
            classes: (N, C), one-hot in the order of `CLASSES`.

        Returns:
            (N,) real/fake logits given the class (above 0 = real), and (N, C) class logits that do not depend on
            `classes`, or None without a class head.
        """
        features = self.trunk(images)  # (N, width, side, side)
        logits = self.judge(features.flatten(1))  # (N, 1 + C)
        real_or_fake = logits[:, 0] + (logits[:, 1:] * classes).sum(dim=1)
        if self.class_head is None:
            return real_or_fake, None
        return real_or_fake, self.class_head(features.mean(dim=(2, 3)))
