"""Scores of fills, and the thresholds that real validation lesions set.

All scores are greater where a fill is more like a real lesion. Beside each stands its *rank*: the share of the real
validation lesions of the fill's class that score lower. Fills are scored by the classifiers that may read them, which
are not the same for all; so the real lesions are scored by the same ones each time, and have a threshold for each such
panel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.evaluation.metrics import weighted_auc
from mammofill.ground.artifact import Artifact
from mammofill.ground.errors import ArtifactError, TooFewError
from mammofill.ground.parquet import read_parquet
from mammofill.ground.seeding import derive_seed
from mammofill.infilling.settings import CLASSES
from mammofill.judging.similarity import descriptors, greatest_correlation
from mammofill.judging.two_sample import crossed_scores
from mammofill.selection.measures import Beside, Measures, Reading
from mammofill.selection.settings import QUANTILES, SelectSyntheticSettings

SCORES_NAME = "scores.parquet"
_NEIGHBOURS = 5
"""As in the measures of distribution that are computed in the same features."""


@dataclass(frozen=True)
class Score:
    """One score of all fills."""

    value: NDArray[np.float64]
    """(N,) greater is more like a real lesion."""
    rank: NDArray[np.float64]
    """(N,) share of the real validation lesions of the class that score lower, in [0, 1]."""
    threshold: NDArray[np.float64]
    """(N,) of the fill's class and panel; -inf where the score is left out."""

    @property
    def passes(self) -> NDArray[np.bool_]:
        """(N,) whether it reaches its threshold."""
        return np.asarray(self.value >= self.threshold, np.bool_)


@dataclass(frozen=True)
class Unpainted:
    """How little fills, and real validation lesions, look painted to forests that learned from other patients."""

    fills: NDArray[np.float64]
    """(N,) share of the trees that do not take the fill for painted."""
    real: NDArray[np.float64]
    """(M,) the same of the real lesions."""

    @property
    def auc(self) -> float:
        """How well fills are distinguished from real lesions; 0.5 where they are not."""
        painted = np.repeat([True, False], [len(self.fills), len(self.real)])
        return auc_of(-np.concatenate([self.fills, self.real]), painted)


def auc_of(values: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return how well values (N,) separate positive cases (N,) from the others."""
    return float(weighted_auc(positive, values, np.ones((1, len(values))))[0])


def score(
    fills: Measures,
    beside: Beside,
    panels: NDArray[np.bool_],
    seam: Unpainted,
    detection: Unpainted,
    settings: SelectSyntheticSettings,
) -> dict[str, Score]:
    """Score fills.

    Args:
        fills: N of them.
        beside: what they are compared with.
        panels: (N, C) which classifiers read which.
        seam: what forests say of the rings around the hole.
        detection: what they say of spectrum and brightness.
        settings: the quantiles.

    Returns:
        One score for each of `QUANTILES`.

    Raises:
        TooFewError: nearly all validation lesions of a class are of one patient.
    """
    found: dict[str, list[tuple[NDArray[np.bool_], Score]]] = {name: [] for name in QUANTILES}
    for panel, own in _by_panel(panels):
        readings = [pair for pair, reads in zip(_pairs(fills, beside), panel, strict=True) if reads]
        for malignant in (False, True):
            some, real = own & (fills.malignant == malignant), beside.real.malignant == malignant
            if not some.any():
                continue
            values = {
                "class_fidelity": [_odds_for(malignant, *side) for side in _sides(readings, some, real)],
                "typicality": _nearness(readings, some, real, beside.real.people[:, 0]),
                "seam": [seam.fills[some], seam.real[real]],
                "detection": [detection.fills[some], detection.real[real]],
            }
            others = _odds_for(malignant, [other for _, other in readings], ~real)
            least = {"class_fidelity": _quantile(others, settings.other_class)} if settings.class_fidelity else {}
            for name, (of_fills, of_real) in values.items():
                threshold = max(_quantile(of_real, getattr(settings, name)), least.get(name, -np.inf))
                found[name].append((some, _beside_real(of_fills, of_real, threshold)))
    return {name: _joined(parts, len(fills)) for name, parts in found.items()}


def nearest_training(fills: Measures, beside: Beside) -> NDArray[np.float64]:
    """Return each fill's greatest correlation with a training lesion, (N,).

    A fill that keeps a part of its patch's own lesion resembles that one by intention; it is compared with the lesions
    of other patients.
    """
    left_out = np.where(fills.kept, fills.people[:, 0], "")
    known = beside.training
    return greatest_correlation(descriptors(fills.crops), left_out, known.descriptors, known.patients)


def unpainted(fills: Measures, beside: Beside, what: str, settings: SelectSyntheticSettings, seed: int) -> Unpainted:
    """Score how little fills, and real validation lesions, look painted to random forests cross-fitted over patients.

    What is not painted are real lesions, and the fills' own tissue before it was painted: so neither the presence of
    a lesion nor the tissue that it is in is a cue.

    Args:
        fills: N of them.
        beside: real patches, M validation lesions among them.
        what: a field of `Surface`.
        settings: folds and trees.
        seed: of the forests.

    Raises:
        TooFewError: the fills are of too few patients to learn from others.
    """
    parts = [getattr(one, what) for one in (fills.surface, beside.real.surface, beside.surface)]
    people = np.concatenate([fills.people, beside.real.people, beside.people])
    painted = np.repeat([True, False], [len(fills), len(people) - len(fills)])
    seed = derive_seed(seed, "forests", what)
    found = 1 - crossed_scores(np.concatenate(parts), painted, people, settings.folds, settings.trees, seed)
    if not np.isfinite(found).all():
        raise TooFewError(
            f"The fills are of too few patients, {len(set(fills.people.ravel().tolist()))} in {settings.folds} folds, "
            "for forests that learn from others to tell whether they look painted. Give more fills, or set more folds."
        )
    return Unpainted(found[: len(fills)], found[len(fills) : len(fills) + len(beside.real)])


def thresholds_of(
    scores: Mapping[str, Score], panels: NDArray[np.bool_], malignant: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Return each threshold once: score, class, numbers of the classifiers that read, threshold (None: left out)."""
    found = []
    for panel, own in _by_panel(panels):
        for name, one in scores.items():
            for pathology in CLASSES:
                some = own & (malignant == (pathology == "malignant"))
                if some.any():
                    least = float(one.threshold[some][0])
                    found.append({
                        "score": name,
                        "pathology": pathology,
                        "classifiers": np.flatnonzero(panel).tolist(),
                        "threshold": least if np.isfinite(least) else None,
                    })  # fmt: skip
    return found


def read_scores(selected: Artifact) -> pd.DataFrame:
    """Read the scores of all fills, kept or not, from a set that `select_synthetic` made.

    Returns:
        One row per fill: ``patch_id``, ``pathology``, ``patient_id``, ``mask_donor_patient_id``; ``classifiers``, the
        numbers of those that read it; for each score its value, ``<score>_rank`` and ``<score>_threshold``;
        ``nearest_training``, ``changed_outside``; ``refused_for``, separated by spaces; ``kept``.

    Raises:
        ArtifactError: the set was made by another stage.
    """
    path = selected.folder / SCORES_NAME
    if not path.is_file():
        raise ArtifactError(f"{selected.folder} has no {SCORES_NAME}: it was made by {selected.manifest.stage}.")
    return read_parquet(path)


def _by_panel(panels: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    for panel in np.unique(panels, axis=0):
        yield panel, (panels == panel).all(axis=1)


_Pair = tuple[Reading, Reading]
"""What one classifier makes of the fills, and of the real validation lesions."""


def _pairs(fills: Measures, beside: Beside) -> Iterator[_Pair]:
    return zip(fills.readings, beside.real.readings, strict=True)


def _sides(
    readings: list[_Pair], some: NDArray[np.bool_], real: NDArray[np.bool_]
) -> Iterator[tuple[list[Reading], NDArray[np.bool_]]]:
    yield [one for one, _ in readings], some
    yield [other for _, other in readings], real


def _odds_for(malignant: bool, readings: list[Reading], which: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the log-odds for a class, the mean over the classifiers that read."""
    sign = 1.0 if malignant else -1.0
    return np.asarray(sign * np.mean([one.odds[which] for one in readings], axis=0), np.float64)


def _nearness(
    readings: list[_Pair], some: NDArray[np.bool_], real: NDArray[np.bool_], patients: NDArray[np.object_]
) -> list[NDArray[np.float64]]:
    """Return minus the mean distance to the nearest real lesions of the class and of other patients.

    Features are those of all that read, each brought to one scale among all real lesions.
    """
    scales = [max(float(np.sqrt(other.features.astype(np.float64).var(axis=0).mean())), 1e-9) for _, other in readings]
    points = [
        np.hstack([one.features[which] / scale for one, scale in zip(side, scales, strict=True)]).astype(np.float64)
        for side, which in _sides(readings, some, real)
    ]
    no_name = np.repeat(np.array([None], object), len(points[0]))
    return [_mean_nearest(one, who, points[1], patients[real]) for one, who in
            zip(points, (no_name, patients[real]), strict=True)]  # fmt: skip


def _mean_nearest(
    points: NDArray[np.float64], who: NDArray[np.object_], real: NDArray[np.float64], patients: NDArray[np.object_]
) -> NDArray[np.float64]:
    from scipy.spatial.distance import cdist

    distances = np.where(who[:, None] == patients[None, :], np.inf, cdist(points, real))
    nearest = np.sort(distances, axis=1)[:, :_NEIGHBOURS]
    if not np.isfinite(nearest).all():
        raise TooFewError(
            f"A validation patient has nearly all real lesions of a class: fewer than {_NEIGHBOURS} are of others, so "
            "it cannot be measured what is typical. Keep more patients for validation (ingest --validation_share)."
        )
    return np.asarray(-nearest.mean(axis=1), np.float64)


def _quantile(values: NDArray[np.float64], quantile: float) -> float:
    """Return the quantile of values, linear between two; -inf for the quantile 0, which leaves a score out."""
    return float(np.quantile(values, quantile)) if quantile else -np.inf


def _beside_real(of_fills: NDArray[np.float64], of_real: NDArray[np.float64], threshold: float) -> Score:
    rank = np.searchsorted(np.sort(of_real), of_fills) / len(of_real)
    return Score(of_fills, rank, np.full(len(of_fills), threshold))


def _joined(parts: list[tuple[NDArray[np.bool_], Score]], count: int) -> Score:
    whole = Score(*(np.full(count, np.nan) for _ in range(3)))
    for some, one in parts:
        whole.value[some], whole.rank[some], whole.threshold[some] = one.value, one.rank, one.threshold
    return whole
