"""What a set of fills is like as a whole, before and after: distribution beside real lesions, in named features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.classifier import Classifier
from mammofill.judging.cases import Lesions
from mammofill.judging.distribution import distribution_of
from mammofill.selection.measures import Measures

REAL, ALL, KEPT = "real against real", "all fills", "kept"
"""Which set is compared with the real validation lesions: they with each other, all fills, those that are kept."""


def compare_sets(
    fills: Measures,
    real: Measures,
    kept: NDArray[np.bool_],
    panels: NDArray[np.bool_],
    classifiers: Sequence[Classifier],
    seed: int,
) -> pd.DataFrame:
    """Compare fills with real lesions of the validation split, in the features of each classifier that reads some.

    Args:
        fills: N of them.
        real: real lesions.
        kept: (N,) which are kept.
        panels: (N, C) which classifiers read which; each compares the fills that it reads.
        classifiers: C of them.
        seed: deals patients into halves, see `judging.distribution`.

    Returns:
        One row per measure and class: ``classifier`` (folder's name), ``features`` (network), ``measure``, ``fills``
        and ``kept_fills`` (how many were compared), then one column for each set; NaN where too few are there.
    """
    rows = []
    for number, classifier in enumerate(classifiers):
        reads = panels[:, number]
        columns = {
            REAL: _compared(real, None, reads, number, classifier, seed),
            ALL: _compared(real, fills, reads, number, classifier, seed),
            KEPT: _compared(real, fills, reads & kept, number, classifier, seed),
        }
        for measure in columns[REAL]:
            malignant = fills.malignant == measure.endswith("malignant")
            counts = {"fills": int((reads & malignant).sum()), "kept_fills": int((reads & malignant & kept).sum())}
            named = {"classifier": classifier.folder.resolve().name, "features": classifier.label, "measure": measure}
            rows.append(named | counts | {name: one[measure] for name, one in columns.items()})
    return pd.DataFrame(rows)


def mean_over_classifiers(sets: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over classifiers of each measure and set, in the order of the table."""
    return sets.groupby("measure", sort=False)[[REAL, ALL, KEPT]].mean()


def _compared(
    real: Measures,
    fills: Measures | None,
    some: NDArray[np.bool_],
    number: int,
    classifier: Classifier,
    seed: int,
) -> dict[str, float]:
    of_real = real.readings[number].features
    others = None if fills is None else _without_pictures(fills, some)
    of_others = None if fills is None else fills.readings[number].features[some]
    found = distribution_of(_without_pictures(real), of_real, others, of_others, classifier.label, seed)
    return {one.measure: one.estimate.value for one in found}


def _without_pictures(measures: Measures, some: NDArray[np.bool_] | None = None) -> Lesions:
    """Return classes and patients alone, of which the measures are."""
    which = np.ones(len(measures), np.bool_) if some is None else some
    nothing = np.empty((int(which.sum()), 0, 0))
    return Lesions(
        nothing.astype(np.uint16), nothing.astype(np.bool_), measures.malignant[which], measures.people[which]
    )
