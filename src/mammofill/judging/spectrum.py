"""Criterion "spectrum": whether fills have the frequencies, the grain and the brightnesses of real lesions.

Real lesions against themselves painted again where they are, so that the tissue is the same.
"""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.evaluation.metrics import Weights
from mammofill.ground.imaging import Image, Mask, mask_box, to_unit
from mammofill.judging.cases import Lesions
from mammofill.judging.verdict import (
    Estimate,
    Finding,
    Statistics,
    Wanted,
    judged,
    reported,
    weighted_mean,
)

CRITERION = "spectrum"
BANDS = 16
"""Of the radial spectrum, from 0 to 0.5 cycles per pixel."""
_LEAST_SIDE = 16
_LEAST_POWER = 1e-12
_GRAIN_PX = 1.0
"""Standard deviation of the blur; what it takes away is the grain."""
_BINS = 256
"""Of a histogram over [0, 1]."""


def spectrum_of_fills(
    statistics: Statistics, before: Lesions, after: NDArray[np.uint16], holes: NDArray[np.bool_]
) -> list[Finding]:
    """Measure how far frequencies, grain and brightnesses in the hole are real lesions'.

    Args:
        statistics: intervals.
        before: real lesions.
        after: (M, H, W) the same, painted again.
        holes: (M, H, W) bool, what may have changed.
    """
    powers = spectra(after, holes).astype(np.float64) - spectra(before.images, holes)
    patients = before.tissue_patients

    def furthest(weights: Weights) -> NDArray[np.float64]:
        return np.asarray(np.abs(weighted_mean(weights, powers)).max(axis=1), np.float64)

    most = statistics.settings.wanted.band_dex
    beyond = [f"{one:.2f}" for one, off in zip(frequencies(), np.abs(powers.mean(axis=0)) > most, strict=True) if off]
    return [
        judged(
            CRITERION,
            "greatest difference of a band",
            statistics.estimate(furthest, before.people, len(before)),
            Wanted(most=most),
            f"Of the mean log10 power in {BANDS} bands up to half a cycle per pixel, in the box around the hole.",
            statistics.too_few(patients, len(before)),
            remark=f"bands at {', '.join(beyond)} cycles per pixel" if beyond else "",
            key="spectrum_greatest_difference",
        ),
        reported(
            CRITERION,
            "grain, share of real",
            statistics.ratio(grain(after, holes), grain(before.images, holes), before.people),
            "Mean over lesions of what a blur by one pixel takes away (root mean square, in the hole).",
        ),
        *(
            reported(
                CRITERION,
                f"histogram distance, {name}",
                _histogram_distance(statistics, before[some], after[some], holes[some]),
                "Between the mean histograms of brightness in the hole (Wasserstein), in shares of the full range.",
            )
            for name, some in (("benign", ~before.malignant), ("malignant", before.malignant))
        ),
    ]


def spectra(images: NDArray[np.uint16], holes: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Measure the radial power spectrum in the square box around each hole.

    A Hann window, the mean taken off, zeros added up to the patch's side so that boxes of all sizes have the same
    frequencies; power per pixel of the window (Welch, "The use of fast Fourier transform for the estimation of power
    spectra", IEEE Transactions on Audio and Electroacoustics, 1967).

    Args:
        images: (N, H, W).
        holes: (N, H, W).

    Returns:
        (N, BANDS) float32, log10 of the mean power in each band of frequencies.
    """
    found = [_spectrum(to_unit(image), hole) for image, hole in zip(images, holes, strict=True)]
    return np.array(found, np.float32).reshape(-1, BANDS)


def frequencies() -> NDArray[np.float64]:
    """Return the middles of the bands, in cycles per pixel."""
    return (np.arange(BANDS) + 0.5) * 0.5 / BANDS


def grain(images: NDArray[np.uint16], holes: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the root mean square, in each hole, of what a blur by one pixel takes away: (N,), in [0, 1]."""
    found = []
    for image, hole in zip(images, holes, strict=True):
        pixels = to_unit(image)
        fine = pixels - cv2.GaussianBlur(pixels, (0, 0), _GRAIN_PX)
        found.append(float(np.sqrt(np.square(fine[hole]).mean())))
    return np.array(found, np.float64)


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


def box_around(mask: Mask) -> tuple[slice, slice]:
    """Return a square around a mask, moved into the patch where it would leave it."""
    top, left, height, width = mask_box(mask)
    side = min(max(height, width, _LEAST_SIDE), *mask.shape)
    first = [
        int(np.clip(start + (length - side) // 2, 0, whole - side))
        for start, length, whole in ((top, height, mask.shape[0]), (left, width, mask.shape[1]))
    ]
    return slice(first[0], first[0] + side), slice(first[1], first[1] + side)


def _spectrum(image: Image, hole: Mask) -> NDArray[np.float64]:
    box = box_around(hole)
    cut = image[box].astype(np.float64)
    window = np.outer(np.hanning(cut.shape[0] + 2)[1:-1], np.hanning(cut.shape[1] + 2)[1:-1])
    flat = (cut - np.average(cut, weights=window)) * window
    power = np.abs(np.fft.fft2(flat, s=image.shape)) ** 2 / np.square(window).sum()
    radius = np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1])[None, :])
    band = (radius * BANDS / 0.5).astype(np.int64)
    inside = band < BANDS
    sums = np.bincount(band[inside], power[inside], BANDS)
    return np.asarray(np.log10(sums / np.bincount(band[inside], minlength=BANDS) + _LEAST_POWER), np.float64)


def _histogram_distance(
    statistics: Statistics, before: Lesions, after: NDArray[np.uint16], holes: NDArray[np.bool_]
) -> Estimate:
    first, second = _histograms(before.images, holes), _histograms(after, holes)

    def distance(weights: Weights) -> NDArray[np.float64]:
        difference = weighted_mean(weights, second) - weighted_mean(weights, first)
        return np.asarray(np.abs(np.cumsum(difference, axis=1)).sum(axis=1) / _BINS, np.float64)

    return statistics.estimate(distance, before.people, len(before))


def _histograms(images: NDArray[np.uint16], holes: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of each hole's pixels in each bin of brightness, (N, _BINS)."""
    bins = images.astype(np.int64) * _BINS // 65536
    counts = [np.bincount(one[hole], minlength=_BINS) / hole.sum() for one, hole in zip(bins, holes, strict=True)]
    return np.array(counts, np.float64).reshape(-1, _BINS)
