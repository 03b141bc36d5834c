"""Criterion "distribution": how far fills of one class are distributed as real lesions, in a named feature space.

The features are those of the classifier that judges. Each measure needs a reference to be read by: the patients are
divided into halves, and the fills and the real lesions of one half are compared with the real lesions of the other; as
many of each. A fill is of a half if its tissue and its outline are: in the features of a whole patch it is like the
lesion that was painted over, or others of its patient, whoever painted. What is shown is the mean over both halves.

KID: unbiased squared maximum mean discrepancy with a cubic kernel (Binkowski et al., "Demystifying MMD GANs", ICLR
2018). Precision, recall, density, coverage: Naeem et al., "Reliable fidelity and diversity metrics for generative
models", ICML 2020, with 5 neighbours. Frechet distance: Heusel et al., NeurIPS 2017, in the first principal components,
since some hundred lesions give no covariance of more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.seeding import stream
from mammofill.judging.cases import Lesions
from mammofill.judging.verdict import Finding, counted, reported

CRITERION = "distribution"
_NEIGHBOURS = 5
_COMPONENTS = 8
_WORDS = {
    "KID": "0 where both are distributed alike",
    "Frechet distance": f"in the first {_COMPONENTS} principal components of real ones, in standard deviations",
    "precision": "share of fills that lie among real lesions",
    "recall": "share of real lesions that lie among fills",
    "density": "how densely real lesions lie around fills; 1 where they are alike",
    "coverage": "share of real lesions with a fill nearby",
}
_LEAST = 2 * (_NEIGHBOURS + 1)
"""Of each group: fewer have no five neighbours worth the name."""


def distribution_of(
    real: Lesions,
    of_real: NDArray[np.float32],
    others: Lesions | None,
    of_others: NDArray[np.float32] | None,
    space: str,
    seed: int,
) -> list[Finding]:
    """Compare fills with real lesions, or real lesions with those of other patients.

    Args:
        real: real lesions.
        of_real: (M, L) their features.
        others: fills.
        of_others: (N, L); None compares real lesions with those of other patients instead, as many as there are fills
            to compare, or all where there are no fills.
        space: name of the feature space, for the tables.
        seed: deals patients into halves.
    """
    findings = []
    for name, malignant in (("benign", False), ("malignant", True)):
        found = _mean_over_halves(real, of_real, others, of_others, malignant, seed)
        count = int((real.malignant == malignant).sum())
        patients = len(set(real.people[real.malignant == malignant, 0]))
        findings += [
            reported(
                CRITERION,
                f"{measure}, {name}",
                counted(found.get(measure, float("nan")), count, patients),
                f"{words[0].upper()}{words[1:]}. Features: {space}.",
                "" if found else f"no half of the patients has {_LEAST} lesions of the class and as many to compare",
            )
            for measure, words in _WORDS.items()
        ]
    return findings


def compare(real: NDArray[np.float64], others: NDArray[np.float64]) -> dict[str, float]:
    """Compare two groups of points, (N, L) and (M, L); see the module for the measures."""
    within, across, among = _distances(real, real), _distances(real, others), _distances(others, others)
    real_reach, other_reach = (np.sort(one, axis=1)[:, _NEIGHBOURS] for one in (within, among))
    near = across <= real_reach[:, None]  # (N, M): the other lies in the ball around the real one
    return {
        "KID": _kid(real, others),
        "Frechet distance": _frechet(real, others),
        "precision": float(near.any(axis=0).mean()),
        "recall": float((across <= other_reach[None, :]).any(axis=1).mean()),
        "density": float(near.sum(axis=0).mean() / _NEIGHBOURS),
        "coverage": float(near.any(axis=1).mean()),
    }


def _mean_over_halves(
    real: Lesions,
    of_real: NDArray[np.float32],
    others: Lesions | None,
    of_others: NDArray[np.float32] | None,
    malignant: bool,
    seed: int,
) -> dict[str, float]:
    names = sorted(set(real.people[:, 0].tolist()))
    dealt = stream(seed, "halves").permutation(len(names))
    first = set(np.array(names, object)[dealt[: len(names) // 2]].tolist())
    half = np.isin(real.people[:, 0], list(first))
    # One scale for all features: those that hardly vary among real lesions must not outweigh the others.
    scale = max(float(np.sqrt(of_real.astype(np.float64).var(axis=0).mean())), 1e-9)
    scaled = of_real.astype(np.float64) / scale
    found = []
    for side in (half, ~half):
        reference = scaled[side & (real.malignant == malignant)]
        rest = scaled[~side & (real.malignant == malignant)]
        if others is not None:
            apart = ~np.isin(others.people, real.people[side, 0]).any(axis=1) & (others.malignant == malignant)
            count = min(len(rest), int(apart.sum()))
            some = rest if of_others is None else of_others[apart].astype(np.float64) / scale
            rest = some[stream(seed, "fills compared").permutation(len(some))[:count]]
        if min(len(reference), len(rest)) >= _LEAST:
            found.append(compare(reference, rest))
    return {name: float(np.mean([one[name] for one in found])) for name in _WORDS} if found else {}


def _distances(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(first, second), np.float64)


def _kid(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    def kernel(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((one @ other.T / one.shape[1] + 1) ** 3, np.float64)

    def within(one: NDArray[np.float64]) -> float:
        values = kernel(one, one)
        return float((values.sum() - np.trace(values)) / (len(one) * (len(one) - 1)))

    return within(first) + within(second) - 2 * float(kernel(first, second).mean())


def _frechet(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    from sklearn.decomposition import PCA

    kept = min(_COMPONENTS, *first.shape)
    reduction = PCA(kept, whiten=True, svd_solver="full").fit(first)
    means, covariances = [], []
    for points in (first, second):
        brought = reduction.transform(points)
        means.append(brought.mean(axis=0))
        covariances.append(np.atleast_2d(np.cov(brought, rowvar=False)))
    # The trace of the root of a product is the sum of the roots of its eigenvalues, which are real and at least 0.
    eigenvalues = np.linalg.eigvals(covariances[0] @ covariances[1]).real
    root = float(np.sqrt(np.maximum(eigenvalues, 0)).sum())
    traces = float(np.trace(covariances[0]) + np.trace(covariances[1]))
    return float(np.square(means[0] - means[1]).sum()) + traces - 2 * root
