"""Folds: which patients each evaluation of a cross-validation tests, and the check that all folds are there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from mammofill.evaluation.evaluation import Evaluation, FoldRecord, fingerprint_test_set
from mammofill.ground.artifact import Artifact, LearnedFrom, upstream, verify
from mammofill.ground.counting import counted
from mammofill.ground.errors import ArtifactError, LeakError, TooFewError
from mammofill.ground.parquet import read_parquet


@dataclass(frozen=True)
class Fold:
    """One evaluation of a cross-validation, with what its patches and its classifier came from."""

    evaluation: Evaluation
    classifier: Artifact
    patches: Artifact
    mammograms: Artifact

    @property
    def number(self) -> int:
        """Which fold it tests, from 0."""
        return int(self.mammograms.manifest.settings["fold"])

    @property
    def count(self) -> int:
        """How many folds there are."""
        return int(self.mammograms.manifest.settings["folds"])

    @cached_property
    def patients(self) -> pd.DataFrame:
        """All patients of the collection, with or without a lesion: patient_id, split; one row each."""
        path = self.mammograms.folder / "mammograms.parquet"
        return read_parquet(path, columns=["patient_id", "split"]).drop_duplicates()

    @property
    def tested(self) -> set[str]:
        """Patients of the fold that tests."""
        return set(self.patients.loc[self.patients["split"] == "test", "patient_id"])

    @cached_property
    def test_set_made_from(self) -> dict[str, Any]:
        """What all folds of all repeats have in common, so that the same patches are known again: dotted name, value.

        Images by their content, and all settings and seeds on the way to a patch; neither the fold nor the seed that
        assigned patients to folds.
        """
        ingest = {name: value for name, value in self.mammograms.manifest.settings.items() if name != "fold"}
        cut = self.patches.manifest
        return dict(
            [
                ("images", _digest_of_images(self.mammograms)),
                *_dotted("ingest", ingest),
                *_dotted(cut.stage, cut.settings),
                (f"{cut.stage}.seed", cut.seed),
            ]
        )

    @property
    def shared(self) -> dict[str, Any]:
        """What all folds of one pool have in common: dotted name, value."""
        return {
            **self.test_set_made_from,
            "ingest.seed": self.mammograms.manifest.seed,
            **dict(_dotted("train-classifier", self.classifier.manifest.settings)),
            **dict(_dotted("evaluate", self.evaluation.manifest.settings)),
        }

    def record(self, auc: float) -> FoldRecord:
        """Return what a pooled evaluation keeps of this fold.

        Args:
            auc: of this fold alone.
        """
        one = self.evaluation
        return FoldRecord(
            self.number,
            one.fingerprint,
            one.threshold_logit,
            auc,
            tuple(sorted(set(one.scores["patient_id"]))),
            one.manifest.patients_learned_from,
        )


def find_folds(evaluations: Sequence[Evaluation]) -> list[Fold]:
    """Find what evaluations test, and check that together they are one cross-validation.

    Args:
        evaluations: one per fold, in any order.

    Returns:
        The folds, by number.

    Raises:
        TooFewError: fewer than two evaluations.
        ArtifactError: an evaluation is not of the test split of a k-fold ingest, or its patches or mammograms are no
            longer at their place; folds were made in different ways, are missing or come twice, or leave patients out.
        LeakError: a classifier learned from a patient whom it scores, or two folds test one patient.
        DamagedError: the table of a set of mammograms was changed after it was finished.
    """
    if len(evaluations) < 2:
        raise TooFewError(f"pool-folds needs the evaluations of two folds or more, but was given {len(evaluations)}.")
    folds = sorted((_fold_of(one) for one in evaluations), key=lambda fold: fold.number)
    _check_alike(folds)
    _check_numbers(folds)
    _check_patients(folds)
    check_fold_by_fold([fold.record(float("nan")) for fold in folds], [fold.evaluation.folder for fold in folds])
    return folds


def check_fold_by_fold(folds: Sequence[FoldRecord], names: Iterable[object]) -> None:
    """Refuse a fold whose classifier learned, by whatever way, from a patient that it scored.

    Args:
        folds: whom each scored, and whom it learned from.
        names: what each is called in messages.

    Raises:
        LeakError: naming the fold, the patient and the way.
    """
    for fold, name in zip(folds, names, strict=True):
        ways = {patient: way.through for way in fold.learned_from for patient in way.patients}
        leaking = sorted(set(fold.patients) & set(ways))
        if leaking:
            raise LeakError(
                f"{name}: the classifier of fold {fold.fold} learned from {len(leaking)} of the patients that it "
                f"scores, first {leaking[0]}, through {ways[leaking[0]]}. Train it and its infiller on patches of the "
                "ingest of its own fold."
            )


def check_pool(pooled: Evaluation) -> None:
    """Refuse a pooled evaluation in which a patient was scored by a classifier that had learned from that patient.

    All folds together learned from all patients, so each patient is checked against the lineage of the one fold that
    scored it. The records of the folds must be complete with respect to ``artifact.json``: no patient and no way is
    missing.

    Args:
        pooled: with `folds`.

    Raises:
        LeakError: such a patient was scored.
        ArtifactError: folds and manifest, or folds and scores, contradict each other.
    """
    scored = sorted(patient for fold in pooled.folds for patient in fold.patients)
    learned = _joined(way for fold in pooled.folds for way in fold.learned_from)
    inputs = sorted(record.fingerprint for record in pooled.manifest.inputs)
    agreements = {
        "evaluations": sorted(fold.evaluation for fold in pooled.folds) == inputs,
        "patients that were scored": scored == sorted(set(pooled.scores["patient_id"])),
        "patients learned from": learned == _joined(pooled.manifest.patients_learned_from),
    }
    for name, agrees in agreements.items():
        if not agrees:
            raise ArtifactError(
                f"{pooled.folder}: folds.json and the rest of the folder do not record the same {name}, so it cannot "
                "be checked that no fold scored patients it learned from. Pool the folds again."
            )
    check_fold_by_fold(pooled.folds, [pooled.folder] * len(pooled.folds))


def test_set_of(folds: Sequence[Fold], scores: pd.DataFrame) -> str:
    """Name the test set of a pool: the same for every repeat, whichever fold a patient is in.

    Args:
        folds: all of them.
        scores: patch_id and pathology of all test patches.
    """
    made_from = json.dumps(folds[0].test_set_made_from, sort_keys=True)
    return fingerprint_test_set(hashlib.sha256(made_from.encode()).hexdigest(), scores)


def _fold_of(evaluation: Evaluation) -> Fold:
    behind = upstream(evaluation)
    by_role = {record.role: record.fingerprint for record in evaluation.manifest.inputs}

    def one(kind: str, fingerprint: str | None, among: Mapping[str, Sequence[Artifact]]) -> Artifact:
        found = [each for each in among.get(kind, ()) if fingerprint in (None, each.fingerprint)]
        if len(found) != 1:
            raise ArtifactError(
                f"{evaluation.folder}: the {kind} behind it are not found at their place, so it is unknown which fold "
                "it tests. Pool evaluations of single folds, where the study that made them lies."
            )
        return found[0]

    patches = one("patches", by_role.get("patches", ""), behind)
    classifier = one("classifier", by_role.get("classifier", ""), behind)
    mammograms = one("mammograms", None, upstream(patches))
    split, tested = mammograms.manifest.settings.get("split"), evaluation.manifest.settings.get("split")
    if split != "kfold" or tested != "test" or evaluation.external:
        raise ArtifactError(
            f"{evaluation.folder} is not of one fold of a cross-validation: its mammograms were split by {split!r} and "
            f"it is of the {tested} split{' of another source' * bool(evaluation.external)}. Ingest with split kfold, "
            "once for each fold, and evaluate on the test split."
        )
    verify(mammograms, ["mammograms.parquet"])
    return Fold(evaluation, classifier, patches, mammograms)


def _check_alike(folds: Sequence[Fold]) -> None:
    first = folds[0]
    for other in folds[1:]:
        differing = [name for name in {**first.shared, **other.shared} if _differ(name, first.shared, other.shared)]
        if differing:
            shown = "; ".join(
                f"{name} is {first.shared.get(name)!r} and {other.shared.get(name)!r}" for name in differing[:5]
            )
            raise ArtifactError(
                f"{first.evaluation.folder} and {other.evaluation.folder} are not folds of one cross-validation: "
                f"{shown}. Pool folds that differ in nothing but the fold."
            )


def _differ(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    missing = object()
    return bool(one.get(name, missing) != other.get(name, missing))


def _check_numbers(folds: Sequence[Fold]) -> None:
    numbers, wanted = [fold.number for fold in folds], list(range(folds[0].count))
    if numbers != wanted:
        twice = sorted({number for number in numbers if numbers.count(number) > 1})
        missing = sorted(set(wanted) - set(numbers))
        faults = [
            f"{word} {', '.join(map(str, some))}" for word, some in (("twice", twice), ("without", missing)) if some
        ]
        raise ArtifactError(
            f"pool-folds needs each of the {len(wanted)} folds once, but was given {len(numbers)} evaluations "
            f"({', '.join(str(fold.evaluation.folder) for fold in folds)}): {' and '.join(faults)}."
        )


def _check_patients(folds: Sequence[Fold]) -> None:
    everybody, seen = set(folds[0].patients["patient_id"]), set[str]()
    for fold in folds:
        scored = set(fold.evaluation.scores["patient_id"])
        if not_of_fold := sorted(scored - fold.tested):
            raise LeakError(f"{fold.evaluation.folder} scores {not_of_fold[0]}, who is not in the fold that it tests.")
        if twice := sorted(seen & fold.tested):
            raise LeakError(
                f"{fold.evaluation.folder} tests {counted(len(twice), 'patients')} whom another fold tests as well, "
                f"first {twice[0]}. Make all folds with the same seed of ingest."
            )
        seen |= fold.tested
    if left_out := sorted(everybody - seen):
        raise ArtifactError(
            f"The {len(folds)} folds leave out {len(left_out)} of {len(everybody)} patients, first {left_out[0]}: no "
            "fold tests them."
        )


def _digest_of_images(mammograms: Artifact) -> str:
    """Return a SHA-256 over which image file each mammogram is, by its content."""
    columns = ["mammogram_id", "patient_id", "source_sha256"]
    table = read_parquet(mammograms.folder / "mammograms.parquet", columns=columns).sort_values(columns)
    return hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()


def _dotted(within: str, settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _dotted(f"{within}.{name}", value)
        else:
            yield f"{within}.{name}", value


def _joined(ways: Iterable[LearnedFrom]) -> set[tuple[str, str]]:
    return {(way.through, patient) for way in ways for patient in way.patients}
