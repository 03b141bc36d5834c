"""What is measured of all fillers: what they have in common once, then one filler after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.classifier import Classifier
from mammofill.ground.imaging import to_unit
from mammofill.ground.progress import Task
from mammofill.ground.seeding import derive_seed
from mammofill.infilling.settings import CLASSES
from mammofill.judging.cases import Cases, Lesions, seeds_in_place, training_lesions
from mammofill.judging.cues import cues_of, cues_of_fills, cues_one_by_one, spread_of_fills, spread_of_real
from mammofill.judging.detection import describe, detection_of_fills, detection_of_reference
from mammofill.judging.distribution import distribution_of
from mammofill.judging.features import features
from mammofill.judging.painting import CHUNK, Filler, paint
from mammofill.judging.place import changes, place_of_fills
from mammofill.judging.requested_class import LogOdds, class_of_fills, class_of_real, standardised_class_of_fills
from mammofill.judging.seam import seam_of_fills
from mammofill.judging.settings import JudgeInfillerSettings
from mammofill.judging.similarity import crops, descriptors
from mammofill.judging.spectrum import spectra, spectrum_of_fills
from mammofill.judging.table import NOTHING, REAL
from mammofill.judging.training import TrainingOnFills, training_of_fills, training_of_reference
from mammofill.judging.variety import (
    TrainingLesions,
    copies_among_fills,
    copies_in_reference,
    distance_of_real,
    read_training_lesions,
    variety_over_seeds,
)
from mammofill.judging.verdict import NONE, Finding, Statistics
from mammofill.patches import PatchSet

_PAIR = ["pair_id", "context_patient_id", "mask_donor_patient_id", "requested_pathology"]


@dataclass(frozen=True)
class Given:
    """What all fillers are judged by."""

    classifier: Classifier
    standardised: Classifier | None
    """One that sees neither level nor contrast."""
    cases: Cases
    real: Lesions
    training: TrainingOnFills
    patches: PatchSet
    """Where the training lesions are."""
    settings: JudgeInfillerSettings
    seed: int
    """Decides seeds, folds and resamples."""
    device: str


@dataclass(frozen=True)
class Fills:
    """What one filler painted."""

    of_class: dict[str, NDArray[np.uint16]]
    """Class -> all cases, filled with that class."""
    own: Lesions
    """All cases, filled with the class of the lesion that lent the outline.

    Its appearance is requested, too, where that is possible, as synthesis does.
    """
    requests_appearance: bool
    """Whether these are not among those by class, since the appearance was requested as well."""
    in_place: NDArray[np.uint16]
    """The real lesions, each painted again in its own class where it is."""
    case_holes: NDArray[np.bool_]
    """What could be changed in the cases."""
    real_holes: NDArray[np.bool_]
    """What could be changed in the real lesions."""


class Measurements:
    """Measures fillers on the same cases, and keeps what was found.

    Args:
        given: by what.
        reference: whose holes the references are looked at in, and all spectra that are drawn.
    """

    def __init__(self, given: Given, reference: Filler) -> None:
        self.given, self.settings, self.real, self.cases = given, given.settings, given.real, given.cases
        self.statistics = Statistics(given.settings, given.seed)
        self.findings: list[tuple[str, str, Finding]] = []
        """Subject, its method, finding."""
        self.spectra: dict[str, NDArray[np.float32]] = {}
        self.shown: dict[str, tuple[NDArray[np.uint16], NDArray[np.uint16]]] = {}
        """Filler -> its benign and malignant fills of the first cases."""
        self._fill_tables: list[pd.DataFrame] = []
        self._real_holes = reference.may_change(self.real.masks)
        self._tissue = self.cases.contexts.without_lesion
        """Contexts that show what nothing painted looks like; those whose own lesion is painted over do not."""
        self._tissue_holes = reference.may_change(self._tissue.masks)

    @property
    def fills_each(self) -> int:
        """How many fills one filler paints."""
        again = min(self.settings.seed_cases, len(self.cases)) * self.settings.seeds_per_case
        trained = 0 if self.given.training.cannot else sum(len(part.real) for part in self.given.training.parts)
        return 2 * len(self.cases) + len(self.real) + again + trained

    @cached_property
    def training_lesions(self) -> TrainingLesions:
        """The lesions of the train split."""
        parts = [(crops(images, masks), names) for images, masks, names in training_lesions(self.given.patches)]
        cut = np.concatenate([self._real_crops[:0], *(found for found, _ in parts)])
        patients = np.concatenate([np.empty(0, object), *(names for _, names in parts)])
        return read_training_lesions(cut, patients, self.given.seed)

    def measure_references(self, kept: Path) -> None:
        """Measure real lesions, and the contexts as they are.

        Args:
            kept: beginning of the names of files that an earlier, stopped run may have left.
        """
        statistics, real = self.statistics, self.real
        training, holes = self.given.training, self._real_holes
        of_real = cues_of(real.images, real.masks, holes)
        self._trained_on_real = None if training.cannot else training.on_real(kept)
        self.spectra |= {REAL: spectra(real.images, holes)}
        self._add(
            REAL,
            "",
            class_of_real(statistics, real, self._real_logits, self._real_standardised),
            cues_one_by_one(statistics, real, of_real),
            spread_of_real(statistics, real, of_real, self._real_crops),
            training_of_reference(statistics, training, self._trained_on_real),
            distribution_of(real, self._real_features, self.cases.contexts, None, self._space, self.given.seed),
            copies_in_reference(statistics, self.training_lesions, real, self._real_crops),
        )
        self._measure_nothing()

    def _measure_nothing(self) -> None:
        """Measure tissue into which nothing was painted, where enough of the contexts are such."""
        real, tissue, holes = self.real, self._tissue, self._tissue_holes
        self._detection_of_nothing = NONE
        if tissue.patients < self.settings.folds:
            return
        self.spectra[NOTHING] = spectra(tissue.images, holes)
        detection = detection_of_reference(
            self.statistics,
            real,
            describe(real.images, self._real_holes, self._real_features),
            tissue,
            describe(tissue.images, holes, self._features(tissue.images)),
        )
        self._detection_of_nothing = detection[0].estimate
        self._add(NOTHING, "", detection)

    def judge(self, filler: Filler, name: str, kept: Path, task: Task, *, oracle: float | None = None) -> list[Finding]:
        """Fill, and measure the fills.

        Args:
            filler: who.
            name: its name in tables.
            kept: beginning of the names of files with fills, for the case that the stage is stopped.
            task: advances by each fill.
            oracle: the AUC at the seam of the oracle with the same holes, where there is one.

        Returns:
            The findings, which are also in the tables.
        """
        fills = self._paint(filler, kept, task)
        changed = self._changes(fills)
        logits = {one: self._logits(fills.of_class[one]) for one in CLASSES}
        found = [
            *self._class(fills, logits),
            *self._training(filler, kept, task),
            *place_of_fills(pd.concat(changed.values()), fills.case_holes, fills.own.tissue_patients),
            *self._in_place(fills, oracle),
            *distribution_of(
                self.real,
                self._real_features,
                fills.own,
                self._features(fills.own.images),
                self._space,
                self.given.seed,
            ),
            *self._variety(filler, fills, kept, task),
        ]
        self._add(name, filler.method, found)
        self.spectra[name] = spectra(fills.in_place, self._real_holes)
        first = slice(0, self.settings.sheet_cases)
        self.shown[name] = fills.of_class["benign"][first], fills.of_class["malignant"][first]
        measured = {f"logit_{one}": logits[one] for one in CLASSES}
        measured |= {f"changed_outside_{one}": changed[one]["changed_outside"].to_numpy() for one in CLASSES}
        self._fill_tables.append(self.cases.pairs[_PAIR].assign(infiller=name, seed=self.cases.seeds, **measured))
        return found

    def fill_table(self) -> pd.DataFrame:
        """Return one row per filler and pair: who, seed, scores, pixels changed outside."""
        return pd.concat(self._fill_tables, ignore_index=True)

    def drop_verdicts(self, name: str) -> None:
        """Keep only the numbers of a reference, which gets no verdict."""
        self.findings = [
            (subject, method, one.without_verdict() if subject == name else one)
            for subject, method, one in self.findings
        ]

    # ---- painting ------------------------------------------------------------------------------------------------

    def _paint(self, filler: Filler, kept: Path, task: Task) -> Fills:
        contexts, real, case_seeds = self.cases.contexts, self.real, self.cases.seeds
        alone = replace(contexts, by_class_alone=True)
        of_class = {
            one: paint(filler, alone, [one] * len(alone), case_seeds, kept.with_name(f"{kept.name}-{one}"), task)
            for one in CLASSES
        }
        own = np.where(contexts.malignant[:, None, None], of_class["malignant"], of_class["benign"])
        if filler.requests_appearance:  # which synthesis requests, too
            own = paint(filler, contexts, contexts.requested, case_seeds, kept.with_name(f"{kept.name}-own"), task)
        seeds, named = seeds_in_place(real, self.given.seed), kept.with_name(f"{kept.name}-in-place")
        return Fills(
            of_class,
            contexts.repainted(own),
            filler.requests_appearance,
            paint(filler, real, real.requested, seeds, named, task),
            filler.may_change(contexts.masks),
            filler.may_change(real.masks),
        )

    def _changes(self, fills: Fills) -> dict[str, pd.DataFrame]:
        contexts = self.cases.contexts.images
        found = {one: changes(contexts, fills.of_class[one], fills.case_holes) for one in CLASSES}
        return found | {"in place": changes(self.real.images, fills.in_place, fills.real_holes)}

    # ---- measuring -----------------------------------------------------------------------------------------------

    def _class(self, fills: Fills, logits: dict[str, NDArray[np.float64]]) -> list[Finding]:
        """Measure whether the class is painted, and not hinted at by brightness."""
        statistics, real, own = self.statistics, self.real, fills.own
        standardised = self._standardised_logits(own.images)
        cues, crops_in_place = cues_of(real.images, real.masks, fills.real_holes), crops(fills.in_place, real.masks)
        cues_in_place = cues_of(fills.in_place, real.masks, fills.real_holes)
        odds = LogOdds(
            self._real_logits,
            logits["benign"],
            logits["malignant"],
            self._logits(fills.in_place),
            self._logits(own.images) if fills.requests_appearance else None,
        )
        return [
            *class_of_fills(statistics, real, own, odds),
            *standardised_class_of_fills(statistics, real, self._real_standardised, own, standardised),
            *cues_of_fills(statistics, real, cues, own, cues_of(own.images, own.masks, fills.case_holes)),
            *spread_of_fills(statistics, real, (cues, self._real_crops), (cues_in_place, crops_in_place)),
        ]

    def _training(self, filler: Filler, kept: Path, task: Task) -> list[Finding]:
        """Measure whether a classifier learns from the fills what it learns from real lesions."""
        training = self.given.training

        def fill(contexts: Lesions, seeds: NDArray[np.int64], number: int) -> NDArray[np.uint16]:
            return paint(
                filler, contexts, contexts.requested, seeds, kept.with_name(f"{kept.name}-train-{number}"), task
            )

        logits = None if training.cannot else training.on_fills(kept, fill)
        return training_of_fills(self.statistics, training, self._trained_on_real, logits)

    def _in_place(self, fills: Fills, oracle: float | None) -> list[Finding]:
        """Measure real lesions against themselves painted again where they are."""
        statistics, real, after, holes = self.statistics, self.real, fills.in_place, fills.real_holes
        return [
            *seam_of_fills(statistics, real, after, holes, oracle),
            *detection_of_fills(
                statistics,
                real,
                describe(real.images, holes, self._real_features),
                describe(after, holes, self._features(after)),
                self._detection_of_nothing,
            ),
            *spectrum_of_fills(statistics, real, after, holes),
        ]

    def _variety(self, filler: Filler, fills: Fills, kept: Path, task: Task) -> list[Finding]:
        """Measure how much the seed changes, and count copies."""
        some, masks = self.cases.contexts[: self.settings.seed_cases], self.cases.contexts.masks
        by_seed = []
        for number in range(self.settings.seeds_per_case):
            seeds = np.array(
                [derive_seed(int(one), "again", number) for one in self.cases.seeds[: len(some)]], np.int64
            )
            named = kept.with_name(f"{kept.name}-again-{number}")
            by_seed.append(crops(paint(filler, some, some.requested, seeds, named, task), some.masks))
        real_distance = distance_of_real(self.real, self._real_crops, self.given.seed)
        return [
            *copies_among_fills(
                self.statistics,
                self.training_lesions,
                np.tile(self.cases.pairs["context_patch_id"].to_numpy(dtype=object), 2),
                np.tile(self.cases.contexts.people, (2, 1)),
                np.concatenate([descriptors(crops(fills.of_class[one], masks)) for one in CLASSES]),
            ),
            *variety_over_seeds(self.statistics, real_distance, some.people, by_seed),
        ]

    # ---- what the classifiers see --------------------------------------------------------------------------------

    @cached_property
    def _real_logits(self) -> NDArray[np.float64]:
        return self._logits(self.real.images)

    @cached_property
    def _real_standardised(self) -> NDArray[np.float64] | None:
        return self._standardised_logits(self.real.images)

    @cached_property
    def _real_features(self) -> NDArray[np.float32]:
        return self._features(self.real.images)

    @cached_property
    def _real_crops(self) -> NDArray[np.float32]:
        return crops(self.real.images, self.real.masks)

    @property
    def _space(self) -> str:
        classifier = self.given.classifier
        return f"last layer of {classifier.label} ({classifier.fingerprint[:12]})"

    def _features(self, images: NDArray[np.uint16]) -> NDArray[np.float32]:
        return features(self.given.classifier, images, self.given.device, self.settings.batch)

    def _logits(self, images: NDArray[np.uint16]) -> NDArray[np.float64]:
        return self.given.classifier.logits(to_unit(images), device=self.given.device, batch_size=self.settings.batch)

    def _standardised_logits(self, images: NDArray[np.uint16]) -> NDArray[np.float64] | None:
        one = self.given.standardised
        if one is None:
            return None
        return one.logits(to_unit(images), device=self.given.device, batch_size=self.settings.batch)

    def _add(self, subject: str, method: str, *found: Sequence[Finding]) -> None:
        self.findings += [(subject, method, one) for several in found for one in several]


def fills_in_all(measurements: Measurements, fillers: int, requests_appearance: int) -> int:
    """Return what a progress bar counts to: the fills of all, and some for what is measured of each."""
    return fillers * (measurements.fills_each + CHUNK) + requests_appearance * len(measurements.cases) + CHUNK
