"""How fills are measured while an infiller learns: on lesions of the validation split, which are not learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mammofill.infilling.gan.batches import Batch, batch_at
from mammofill.infilling.gan.perceptual import perceptual_loss
from mammofill.infilling.gan.settings import GanSettings
from mammofill.infilling.lesions import Lesions

_AT_ONCE = 8


class Validation:
    """A measure of fills, smaller is better; the same for the same generator, whenever it is taken."""

    def __init__(self, lesions: Lesions, features: nn.Module, settings: GanSettings, seed: int) -> None:
        """Fix the patches, their noise and the measure.

        Args:
            lesions: lesion patches of the validation split.
            features: extractor of the perceptual loss.
            settings: the stage's settings.
            seed: the stage's seed.
        """
        self.lesions, self.features, self.settings, self.seed = lesions, features, settings, seed

    def measure(self, paint: Callable[[Batch], Tensor], device: torch.device) -> float:
        """Measure the fills of a generator.

        Args:
            paint: gives the whole pictures (N, 1, H, W) of a batch.
            device: where it runs.
        """
        kernel = self.settings.validation.measure == "kernel-distance"
        losses, real, found = [], [], []
        with torch.inference_mode():
            for batch in self._batches(device):
                painted = paint(batch)
                if kernel:
                    real.append(describe(self.features, batch.real, batch.mask))
                    found.append(describe(self.features, painted, batch.mask))
                else:
                    regions = [batch.mask, batch.boundary]
                    losses.append(float(perceptual_loss(self.features, batch.real, painted, regions)))
        return kernel_distance(np.concatenate(real), np.concatenate(found)) if kernel else float(np.mean(losses))

    def _batches(self, device: torch.device) -> Sequence[Batch]:
        count = min(len(self.lesions), self.settings.validation.patches)
        wide = self.settings.schedule.batch
        starts = range(0, max(count // wide, 1) * wide, wide)
        return [batch_at(self.lesions, start, self.settings, self.seed).to(device) for start in starts]


def describe(features: nn.Module, images: Tensor, mask: Tensor) -> NDArray[np.float64]:
    """Describe what is inside the masks: each channel's mean and standard deviation there, layer after layer.

    Args:
        features: gives the feature maps of images (N, 1, H, W), (N, C, h, w) a layer.
        images: (N, 1, H, W).
        mask: (N, 1, H, W).

    Returns:
        (N, D) float64; D is twice the number of channels of all layers.
    """
    parts = []
    for layer in features(images):
        weights = torch.nn.functional.adaptive_avg_pool2d(mask, layer.shape[-2:])
        weights = weights / weights.sum(dim=(2, 3), keepdim=True).clamp(min=1e-6)
        mean = (layer * weights).sum(dim=(2, 3), keepdim=True)
        spread = ((layer - mean).square() * weights).sum(dim=(2, 3)).sqrt()
        parts += [mean.flatten(1), spread]
    return torch.cat(parts, dim=1).cpu().double().numpy()


def kernel_distance(real: NDArray[np.float64], painted: NDArray[np.float64]) -> float:
    """Return how far two samples' distributions are apart: the unbiased squared MMD with a cubic kernel.

    Source: Binkowski et al., "Demystifying MMD GANs", ICLR 2018, section 4. Each column is first divided by its
    standard deviation among the real ones, so that layers have equal weight; values are therefore not comparable with
    FID or KID of other programs.

    Args:
        real: (N, D), at least two rows.
        painted: (M, D), at least two rows.

    Returns:
        0 in the mean for samples of one distribution (so it may be a little below 0); larger is farther.
    """
    scale = real.std(axis=0)
    centre, scale = real.mean(axis=0), np.where(scale > 0, scale, 1)
    x, y = (real - centre) / scale, (painted - centre) / scale

    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        cubed: NDArray[np.float64] = (a @ b.T / a.shape[1] + 1) ** 3
        return cubed

    def mean_of_others(matrix: NDArray[np.float64]) -> float:
        count = len(matrix)
        return float((matrix.sum() - np.trace(matrix)) / (count * (count - 1)))

    return mean_of_others(kernel(x, x)) + mean_of_others(kernel(y, y)) - 2 * float(kernel(x, y).mean())
