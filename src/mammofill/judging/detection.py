"""Criterion "detection": whether fills can be told from real lesions by their grain, brightness, or a network's eye."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.imaging import Image, Mask, mask_box, to_unit
from mammofill.judging.cases import Lesions
from mammofill.judging.telling_apart import tell_apart
from mammofill.judging.verdict import Bench, Estimate, Finding, Wanted, judged, told

CRITERION = "detection"
BANDS = 16
"""Of the radial spectrum, from 0 to 0.5 cycles per pixel."""
_LEAST_SIDE = 16
_LEAST_POWER = 1e-12
_COMPONENTS = 16
"""Of the classifier's features that are kept: as many as there are bands, so that neither outnumbers the other."""


def spectra(images: NDArray[np.uint16], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Measure the radial power spectrum in the square box around each mask.

    A Hann window, the mean taken off, zeros added up to the patch's side so that boxes of all sizes have the same
    frequencies; power per pixel of the window (Welch, "The use of fast Fourier transform for the estimation of power
    spectra", IEEE Transactions on Audio and Electroacoustics, 1967).

    Args:
        images: (N, H, W).
        masks: (N, H, W).

    Returns:
        (N, BANDS) float32, log10 of the mean power in each band of frequencies.
    """
    found = [_spectrum(to_unit(image), mask) for image, mask in zip(images, masks, strict=True)]
    return np.array(found, np.float32).reshape(-1, BANDS)


def frequencies() -> NDArray[np.float64]:
    """Return the middles of the bands, in cycles per pixel."""
    return (np.arange(BANDS) + 0.5) * 0.5 / BANDS


def moments(images: NDArray[np.uint16], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return mean, standard deviation, skewness and kurtosis of the brightness inside each mask, (N, 4) float32.

    The first two are relative to the box around the mask: a patch may be bright as a whole.
    """
    found = [_moments(to_unit(image), mask) for image, mask in zip(images, masks, strict=True)]
    return np.array(found, np.float32).reshape(-1, 4)


def detection_of_reference(bench: Bench, real: Lesions, real_numbers: NDArray[np.float32], contexts: Lesions,
                           numbers: NDArray[np.float32]) -> list[Finding]:  # fmt: skip
    """Tell how far tissue into which nothing was painted can be told from real lesions."""
    found = _told_apart(bench, real, real_numbers, contexts, numbers)
    return [told(CRITERION, "AUC", found, "Tissue into which nothing was painted against real lesions.")]


def detection_of_fills(
    bench: Bench,
    real: Lesions,
    real_numbers: NDArray[np.float32],
    contexts: Lesions,
    numbers: NDArray[np.float32],
    nothing: Estimate,
) -> list[Finding]:
    """Measure whether a judge that learns finds out fills.

    Args:
        bench: intervals.
        real: real lesions.
        real_numbers: (M, K) their spectra, moments and features.
        contexts: what was filled.
        numbers: (N, K) the same of the fills of the donor's class.
        nothing: from `detection_of_reference`. Where tissue without any lesion would pass, passing proves nothing.
    """
    found, wanted = _told_apart(bench, real, real_numbers, contexts, numbers), bench.settings.wanted.detection_auc
    hindrance = bench.too_few(min(len(set(one.people[:, 0])) for one in (real, contexts)), len(real), len(contexts))
    if not hindrance and max(found.value, nothing.value) <= wanted:
        hindrance = (
            f"tissue into which nothing was painted passes too (AUC {nothing.value:.2f}): this judge does not see real "
            "lesions"
        )
    return [
        judged(
            CRITERION,
            "AUC",
            found,
            Wanted(most=wanted),
            "AUC of a judge that learned to tell fills from real lesions by their spectra, brightness and what the "
            "classifier's last layer sees of the lesions alone.",
            hindrance,
        )
    ]


def spectra_table(of: dict[str, NDArray[np.float32]]) -> pd.DataFrame:
    """Return mean and deviation of the spectra of each subject: subject, frequency, power, deviation, boxes."""
    tables = [
        pd.DataFrame({
            "subject": subject,
            "frequency": frequencies(),
            "power": found.mean(axis=0, dtype=np.float64),
            "deviation": found.std(axis=0, dtype=np.float64),
            "boxes": len(found),
        })
        for subject, found in of.items()
    ]  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def _told_apart(bench: Bench, real: Lesions, real_numbers: NDArray[np.float32], contexts: Lesions,
                numbers: NDArray[np.float32]) -> Estimate:  # fmt: skip
    own = BANDS + 4
    first, second = _reduced(real_numbers[:, own:], numbers[:, own:])
    return tell_apart(
        bench,
        np.hstack([real_numbers[:, :own], first]),
        real.people,
        np.hstack([numbers[:, :own], second]),
        contexts.people,
    )


def _reduced(real: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bring features to their principal components, without looking at which are whose."""
    from sklearn.decomposition import PCA

    together = np.concatenate([real, other]).astype(np.float64)
    deviation = together.std(axis=0)
    together = (together - together.mean(axis=0))[:, deviation > 0] / deviation[deviation > 0]
    if not together.size:
        return real[:, :0], other[:, :0]
    kept = min(_COMPONENTS, *together.shape)
    found = PCA(kept, svd_solver="full").fit_transform(together).astype(np.float32)
    return found[: len(real)], found[len(real) :]


def _spectrum(image: Image, mask: Mask) -> NDArray[np.float64]:
    box = _square(mask)
    cut = image[box].astype(np.float64)
    window = np.outer(np.hanning(cut.shape[0] + 2)[1:-1], np.hanning(cut.shape[1] + 2)[1:-1])
    flat = (cut - np.average(cut, weights=window)) * window
    power = np.abs(np.fft.fft2(flat, s=image.shape)) ** 2 / np.square(window).sum()
    radius = np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1])[None, :])
    band = (radius * BANDS / 0.5).astype(np.int64)
    inside = band < BANDS
    sums = np.bincount(band[inside], power[inside], BANDS)
    return np.asarray(np.log10(sums / np.bincount(band[inside], minlength=BANDS) + _LEAST_POWER), np.float64)


def _moments(image: Image, mask: Mask) -> list[float]:
    inside = image[mask].astype(np.float64)
    around = image[_square(mask)].astype(np.float64)
    centred, spread = inside - inside.mean(), max(float(inside.std()), 1e-6)
    return [
        float(inside.mean() - np.median(around)),
        float(np.log(spread / max(float(around.std()), 1e-6))),
        float(np.mean(centred**3) / spread**3),
        float(np.mean(centred**4) / spread**4),
    ]


def _square(mask: Mask) -> tuple[slice, slice]:
    """Return a square around a mask, moved into the patch where it would leave it."""
    top, left, height, width = mask_box(mask)
    side = min(max(height, width, _LEAST_SIDE), *mask.shape)
    first = [
        int(np.clip(start + (length - side) // 2, 0, whole - side))
        for start, length, whole in ((top, height, mask.shape[0]), (left, width, mask.shape[1]))
    ]
    return slice(first[0], first[0] + side), slice(first[1], first[1] + side)
