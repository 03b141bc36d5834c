"""Criterion "detection": whether spectrum, brightness or network features distinguish fills from real lesions.

Real lesions against themselves painted again where they are: whole patches, whose surroundings are the same. Fills in
other tissue would be recognised by the tissue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.imaging import Image, Mask, to_unit
from mammofill.judging.cases import Lesions
from mammofill.judging.spectrum import box_around, spectra
from mammofill.judging.two_sample import two_sample_auc
from mammofill.judging.verdict import Estimate, Finding, People, Statistics, Wanted, judged, reported

CRITERION = "detection"
_COMPONENTS = 16
"""Of the classifier's features that are kept: as many as there are bands, so that neither outnumbers the other."""


@dataclass(frozen=True)
class Described:
    """What detection goes by."""

    own: NDArray[np.float32]
    """(N, K) spectra and moments."""
    features: NDArray[np.float32]
    """(N, L) what the classifier's last layer sees of the whole patch."""


def describe(images: NDArray[np.uint16], holes: NDArray[np.bool_], features: NDArray[np.float32]) -> Described:
    """Describe patches: spectrum of the box around each hole, moments in it, features of the whole patch."""
    return Described(np.hstack([spectra(images, holes), moments(images, holes)]), features)


def moments(images: NDArray[np.uint16], holes: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return mean, standard deviation, skewness and kurtosis of the brightness inside each hole, (N, 4) float32.

    The first two are relative to the box around the hole: a patch may be bright as a whole.
    """
    found = [_moments(to_unit(image), hole) for image, hole in zip(images, holes, strict=True)]
    return np.array(found, np.float32).reshape(-1, 4)


def detection_of_reference(
    statistics: Statistics, real: Lesions, of_real: Described, contexts: Lesions, of_contexts: Described
) -> list[Finding]:
    """Measure how well tissue into which nothing was painted can be distinguished from real lesions."""
    found = _detect(statistics, real.people, of_real, contexts.people, of_contexts)
    return [reported(CRITERION, _IN_PLACE, found, "Tissue into which nothing was painted against real lesions.")]


def detection_of_fills(
    statistics: Statistics, real: Lesions, before: Described, after: Described, nothing: Estimate
) -> list[Finding]:
    """Measure whether a trained forest detects fills.

    Args:
        statistics: intervals.
        real: real lesions.
        before: what they are like.
        after: what they are like after each was painted again.
        nothing: from `detection_of_reference`. Where tissue without any lesion would pass, passing proves nothing;
            where there is no such tissue, `nothing` is NONE, and this cannot be checked.
    """
    people = real.people
    found, wanted = _detect(statistics, people, before, people, after), statistics.settings.wanted.detection_auc
    cannot = statistics.too_few(real.tissue_patients, len(people))
    untried = math.isnan(nothing.value)
    if not cannot and not untried and max(found.value, nothing.value) <= wanted:
        cannot = (
            f"tissue into which nothing was painted passes too (AUC {nothing.value:.2f}): what is looked at does not "
            "show lesions"
        )
    return [
        judged(
            CRITERION,
            _IN_PLACE,
            found,
            Wanted(most=wanted),
            "AUC of a forest that learned to tell real lesions from themselves painted again, by the hole's spectrum "
            "and brightness and what the classifier's last layer sees of the patch.",
            cannot,
            "there was no tissue without lesions to try the forest on" if untried else "",
            key="detection_in_place",
        ),
    ]


_IN_PLACE = "AUC in place"


def _detect(
    statistics: Statistics, first_people: People, first: Described, second_people: People, second: Described
) -> Estimate:
    components = _reduced(first.features, second.features)
    both = (np.hstack([one.own, found]) for one, found in zip((first, second), components, strict=True))
    return two_sample_auc(statistics, next(both), first_people, next(both), second_people)


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


def _moments(image: Image, hole: Mask) -> list[float]:
    inside = image[hole].astype(np.float64)
    around = image[box_around(hole)].astype(np.float64)
    centred, spread = inside - inside.mean(), max(float(inside.std()), 1e-6)
    return [
        float(inside.mean() - np.median(around)),
        float(np.log(spread / max(float(around.std()), 1e-6))),
        float(np.mean(centred**3) / spread**3),
        float(np.mean(centred**4) / spread**4),
    ]
