"""What is counted once: a patch, a lesion or a patient.

Several windows that were cut around one lesion are still one lesion, and a large lesion has more of them than a small
one; and radiologists do not read patches. So the primary measures are by lesion, and those by patch and by patient are
given beside them, each under its own name: ``auc`` is by patch, ``auc_by_lesion`` and ``auc_by_patient`` are what they
say.

==========  ============================================================================================================
patch       a window as it was cut, with its own score
lesion      a lesion as it was outlined in one mammogram; its score is the mean log-odds over the patches that hold it
            (a patch with two lesions counts for both: they are of one class, or it would not have been cut)
patient     everybody with a lesion; malignant where any lesion is; the score is that of the most suspicious lesion
==========  ============================================================================================================

Malignant lesions are distinguished from benign ones, and normal tissue is never scored: there are no cases without a
lesion.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.evaluation.intervals import Resamples, limiting_patients
from mammofill.evaluation.metrics import Weights, measure

PATCH, LESION, PATIENT = UNITS = ("patch", "lesion", "patient")

_BY = re.compile(r"(.+)_by_(lesion|patient)")


def unit_of(name: str) -> tuple[str, str]:
    """Take a measure's name apart: ``auc_by_lesion`` is auc, by lesion; without a unit it is by patch."""
    found = _BY.fullmatch(name)
    return (found[1], found[2]) if found else (name, PATCH)


@dataclass(frozen=True)
class Cases:
    """A test set in one unit: m cases made of n patches.

    Attributes:
        malignant: (m,) the truth.
        patients: (m,) whose case each is.
        patch: (k,) a patch ...
        case: (k,) ... and a case that it counts for; k is n, or more where a patch holds several lesions.
        within: the cases of which these take the greatest score; None where they take the mean over patches.
    """

    malignant: NDArray[np.bool_]
    patients: NDArray[np.object_]
    patch: NDArray[np.int64]
    case: NDArray[np.int64]
    within: Cases | None = None

    def scores(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores of the cases from those of the patches, (n,) -> (m,), in log-odds."""
        if self.within is not None:
            scores = np.full(len(self.malignant), -np.inf)
            np.maximum.at(scores, self.case, self.within.scores(logits)[self.patch])
            return scores
        count = np.bincount(self.case, minlength=len(self.malignant))
        return np.bincount(self.case, logits[self.patch], len(self.malignant)) / count

    def first(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return what a patch of each case has, (n,) -> (m,); for what all patches of a case have alike."""
        if self.within is not None:
            values = self.within.first(values)
        found = np.zeros(len(self.malignant), np.int64)
        found[self.case] = values[self.patch]
        return found


@dataclass(frozen=True)
class Units:
    """A test set in all units.

    Attributes:
        table: patch_id, patient_id, pathology, lesion_ids (separated by spaces, as in patch sets), one row per patch.
    """

    table: pd.DataFrame

    def __getitem__(self, unit: str) -> Cases:
        """Return the cases of one of `UNITS`."""
        return {PATCH: self.patches, LESION: self.lesions, PATIENT: self.everybody}[unit]

    @property
    def lesions_are_named(self) -> bool:
        """Whether each patch says which lesions it holds."""
        return bool((self.table["lesion_ids"].fillna("") != "").all())

    @cached_property
    def patches(self) -> Cases:
        """Each patch by itself."""
        each = np.arange(len(self.table))
        return Cases(self._malignant, self._patients, each, each)

    @cached_property
    def lesions(self) -> Cases:
        """Each lesion with its patches; lesions in the order in which they first appear."""
        held = self.table["lesion_ids"].fillna("").astype(str).str.split(" ").tolist()
        patch = np.repeat(np.arange(len(held)), [len(one) for one in held])
        whose = pd.Series([f"{self._patients[place]} {name}" for place, one in enumerate(held) for name in one])
        case, names = pd.factorize(whose)
        first = np.zeros(len(names), np.int64)
        first[case[::-1]] = patch[::-1]
        return Cases(self._malignant[first], self._patients[first], patch, case.astype(np.int64))

    @cached_property
    def everybody(self) -> Cases:
        """Each patient with all lesions."""
        of_whom, names = pd.factorize(pd.Series(self.lesions.patients))
        malignant = np.zeros(len(names), bool)
        np.logical_or.at(malignant, of_whom, self.lesions.malignant)
        each = np.arange(len(of_whom))
        return Cases(malignant, np.asarray(names, dtype=object), each, of_whom.astype(np.int64), self.lesions)

    @cached_property
    def _malignant(self) -> NDArray[np.bool_]:
        return (self.table["pathology"] == "malignant").to_numpy(dtype=bool)

    @cached_property
    def _patients(self) -> NDArray[np.object_]:
        return self.table["patient_id"].to_numpy(dtype=object)

    def limiting_patients(self, name: str) -> int:
        """Count the patients on whom a measure rests, see `intervals.limiting_patients`."""
        plain, unit = unit_of(name)
        return limiting_patients(plain, self[unit].malignant, self[unit].patients)

    def measured(
        self,
        names: Iterable[str],
        logits: NDArray[np.float64],
        threshold: float,
        resamples: Resamples,
        folds: NDArray[np.int64] | None = None,
    ) -> dict[str, tuple[float, NDArray[np.float64]]]:
        """Measure one classifier, or the classifiers of all folds.

        Args:
            names: of measures, with or without a unit.
            logits: (n,) scores of the patches.
            threshold: in log-odds; the same for all units.
            resamples: of the patients.
            folds: (n,) by which fold's classifier each patch was scored; None where there is one classifier.

        Returns:
            measure -> value on the cases as they are, and on each resample (r,).
        """
        found: dict[str, tuple[float, NDArray[np.float64]]] = {}
        for unit, of_unit in _by_unit(names).items():
            cases = self[unit]
            scores = cases.scores(logits)
            scored_by = None if folds is None else cases.first(folds)

            def statistics(
                weights: Weights,
                cases: Cases = cases,
                scores: NDArray[np.float64] = scores,
                scored_by: NDArray[np.int64] | None = scored_by,
                plain: Sequence[str] = tuple(of_unit.values()),
            ) -> dict[str, NDArray[np.float64]]:
                return measure(plain, cases.malignant, scores, threshold, weights, scored_by)

            whole = statistics(np.ones((1, len(scores))))
            draws = resamples.of_cases(cases.patients).draws(statistics)
            found |= {name: (float(whole[plain][0]), draws[plain]) for name, plain in of_unit.items()}
        return found


def _by_unit(names: Iterable[str]) -> Mapping[str, dict[str, str]]:
    """Sort measures by unit: unit -> name -> name without the unit."""
    sorted_: dict[str, dict[str, str]] = {}
    for name in names:
        plain, unit = unit_of(name)
        sorted_.setdefault(unit, {})[name] = plain
    return sorted_
