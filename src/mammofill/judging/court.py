"""The court: what is the same for all infillers is looked at once, then one after the other is judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.classifier import Classifier
from mammofill.ground.imaging import to_unit
from mammofill.ground.progress import Task
from mammofill.ground.seeding import derive_seed
from mammofill.infilling import Infiller
from mammofill.infilling.settings import CLASSES
from mammofill.judging.asked_class import class_of_fills, class_of_real
from mammofill.judging.cases import Cases, Lesions, in_place, paint, training_lesions
from mammofill.judging.detection import detection_of_fills, detection_of_reference, moments, spectra
from mammofill.judging.features import features
from mammofill.judging.likeness import crops, prints
from mammofill.judging.place import changes, outlines_of_reference, place_of_fills, steps
from mammofill.judging.rings import alone
from mammofill.judging.seam import rings_of, seam_of_fills, seam_of_reference
from mammofill.judging.settings import JudgeInfillerSettings
from mammofill.judging.table import NOTHING, REAL, method_of
from mammofill.judging.variety import (
    Learned,
    copies_among_fills,
    copies_in_reference,
    learn_lesions,
    spread_of_real,
    variety_of_fills,
)
from mammofill.judging.verdict import Bench, Finding
from mammofill.patches import PatchSet

_PAIR = ["pair_id", "context_patient_id", "mask_donor_patient_id", "requested_pathology"]


@dataclass(frozen=True)
class Looked:
    """What was taken from some pictures, all that the criteria need of them."""

    crops: NDArray[np.float32]
    features: NDArray[np.float32]
    """What the classifier sees of the lesions alone."""
    spectra: NDArray[np.float32]
    moments: NDArray[np.float32]

    @property
    def numbers(self) -> NDArray[np.float32]:
        """All but the crops, (N, K) side by side: spectra, moments, features."""
        return np.hstack([self.spectra, self.moments, self.features])


class Court:
    """Judges infillers on the same cases.

    Args:
        classifier: whose opinion counts.
        cases: what is filled.
        real: what fills are compared with.
        patches: where the training lesions are.
        settings: how many, and what is wanted.
        seed: decides seeds, folds and resamples.
        device: where networks run.
    """

    def __init__(
        self,
        classifier: Classifier,
        cases: Cases,
        real: Lesions,
        patches: PatchSet,
        settings: JudgeInfillerSettings,
        seed: int,
        device: str,
    ) -> None:
        self.classifier, self.cases, self.real, self.patches = classifier, cases, real, patches
        self.settings, self.seed, self.device = settings, seed, device
        self.bench = Bench(settings, seed)
        self.findings: list[tuple[str, str, Finding]] = []
        """Subject, its method, finding."""
        self.spectra: dict[str, NDArray[np.float32]] = {}
        self.shown: dict[str, tuple[NDArray[np.uint16], NDArray[np.uint16]]] = {}
        """Infiller -> its benign and malignant fills of the first cases."""
        self._fill_tables: list[pd.DataFrame] = []

    def look_at_references(self, feather_px: int) -> None:
        """Measure real lesions, and the contexts as they are.

        Args:
            feather_px: soft edge of the infillers, which says where rings and outlines are looked at.
        """
        bench, real, contexts = self.bench, self.real, self.cases.contexts
        self.looked_real = self._look(real.images, real.masks)
        self.real_logits = self._logits(real.images)
        nothing = self._look(contexts.images, contexts.masks)
        self.learned = self._learn()
        self.spread = spread_of_real(real, self.looked_real.crops, self.looked_real.features, self.seed)
        self.spectra |= {REAL: self.looked_real.spectra, NOTHING: nothing.spectra}
        rings = [rings_of(one.images, one.masks, feather_px) for one in (real, contexts)]
        of_real, of_nothing = (steps(one.images, one.masks, feather_px + 1) for one in (real, contexts))
        self._add(
            REAL,
            "",
            class_of_real(bench, real, self.real_logits),
            outlines_of_reference(bench, real, of_real),
            copies_in_reference(self.learned, real, self.looked_real.crops),
        )
        detection = detection_of_reference(bench, real, self.looked_real.numbers, contexts, nothing.numbers)
        self.detection_of_nothing = detection[0].estimate
        self._add(
            NOTHING,
            "",
            outlines_of_reference(bench, contexts, of_nothing),
            seam_of_reference(bench, real, rings[0], contexts, rings[1]),
            detection,
        )

    def judge(self, infiller: Infiller, name: str, kept: Path, task: Task) -> None:
        """Fill, and measure the fills.

        Args:
            infiller: who.
            name: its name in tables.
            kept: beginning of the names of files with fills, for the case that the stage is stopped.
            task: advances by each fill.
        """
        bench, real, contexts, donors = self.bench, self.real, self.cases.contexts, self.cases.donors
        fills = {one: self._paint(infiller, self.cases, one, kept, task) for one in CLASSES}
        logits = {one: self._logits(fills[one]) for one in CLASSES}
        changed = {one: changes(contexts, fills[one], infiller.feather_px) for one in CLASSES}
        # What follows is about the fills of the donor's own class, as synthesis makes them.
        own = np.where(contexts.malignant[:, None, None], fills["malignant"], fills["benign"])
        again = self._paint_again(infiller, kept, task)
        looked = self._look(own, contexts.masks)
        across = {
            "fill": steps(own, contexts.masks, infiller.feather_px + 1),
            "donor": steps(donors.images, donors.masks, infiller.feather_px + 1),
            "context": steps(contexts.images, contexts.masks, infiller.feather_px + 1),
        }
        self._add(
            name,
            method_of(infiller),
            class_of_fills(
                bench, real, self.real_logits, contexts, logits["benign"], logits["malignant"], self._logits(again)
            ),
            place_of_fills(bench, contexts, pd.concat(changed.values()), *across.values()),
            seam_of_fills(
                bench,
                real,
                rings_of(real.images, real.masks, infiller.feather_px),
                rings_of(again, real.masks, infiller.feather_px),
                contexts,
                rings_of(own, contexts.masks, infiller.feather_px),
            ),
            self._variety(infiller, kept, task),
            copies_among_fills(
                bench,
                self.learned,
                np.tile(self.cases.pairs["context_patch_id"].to_numpy(dtype=object), 2),
                len(set(contexts.people[:, 0])),
                np.concatenate([prints(crops(fills[one], contexts.masks)) for one in CLASSES]),
            ),
            detection_of_fills(
                bench, real, self.looked_real.numbers, contexts, looked.numbers, self.detection_of_nothing
            ),
        )
        self.spectra[name] = looked.spectra
        first = slice(0, self.settings.sheet_cases)
        self.shown[name] = fills["benign"][first], fills["malignant"][first]
        measured = {f"logit_{one}": logits[one] for one in CLASSES}
        measured |= {f"changed_outside_{one}": changed[one]["changed_outside"].to_numpy() for one in CLASSES}
        measured |= {f"outline_{one}": found for one, found in across.items()}
        self._fill_tables.append(self.cases.pairs[_PAIR].assign(infiller=name, seed=self.cases.seeds, **measured))

    def fill_table(self) -> pd.DataFrame:
        """Return one row per infiller and pair: who, seed, scores, outlines, pixels changed outside."""
        return pd.concat(self._fill_tables, ignore_index=True)

    def _look(self, images: NDArray[np.uint16], masks: NDArray[np.bool_]) -> Looked:
        return Looked(
            crops(images, masks), self._features(images, masks), spectra(images, masks), moments(images, masks)
        )

    def _features(self, images: NDArray[np.uint16], masks: NDArray[np.bool_]) -> NDArray[np.float32]:
        return features(self.classifier, alone(images, masks), self.device, self.settings.batch)

    def _logits(self, images: NDArray[np.uint16]) -> NDArray[np.float64]:
        return self.classifier.logits(to_unit(images), device=self.device, batch_size=self.settings.batch)

    def _learn(self) -> Learned:
        parts = [(crops(images, masks), patients) for images, masks, patients in training_lesions(self.patches)]
        cut = np.concatenate([crops(self.real.images[:0], self.real.masks[:0]), *(found for found, _ in parts)])
        patients = np.concatenate([np.empty(0, object), *(names for _, names in parts)])
        return learn_lesions(cut, patients, self.seed)

    def _paint(self, infiller: Infiller, cases: Cases, pathology: str, kept: Path, task: Task) -> NDArray[np.uint16]:
        named = kept.with_name(f"{kept.name}-{pathology}")
        return paint(infiller, cases, [pathology] * len(cases), cases.seeds, named, self.device, task)

    def _paint_again(self, infiller: Infiller, kept: Path, task: Task) -> NDArray[np.uint16]:
        """Return the real lesions, painted again where they are."""
        asked = ["malignant" if one else "benign" for one in self.real.malignant]
        cases = in_place(self.real, self.seed)
        named = kept.with_name(f"{kept.name}-in-place")
        return paint(infiller, cases, asked, cases.seeds, named, self.device, task)

    def _variety(self, infiller: Infiller, kept: Path, task: Task) -> list[Finding]:
        some = self.cases.first(self.settings.variety_cases)
        asked = ["malignant" if one else "benign" for one in some.contexts.malignant]
        cut, seen = [], []
        for number in range(self.settings.seeds_per_case):
            seeds = np.array([derive_seed(int(one), "again", number) for one in some.seeds], np.int64)
            named = kept.with_name(f"{kept.name}-again-{number}")
            fills = paint(infiller, some, asked, seeds, named, self.device, task)
            cut.append(crops(fills, some.contexts.masks))
            seen.append(self._features(fills, some.contexts.masks))
        return variety_of_fills(self.bench, self.spread, some.contexts.people[:, 0], cut, seen)

    def _add(self, subject: str, method: str, *found: list[Finding]) -> None:
        self.findings += [(subject, method, one) for several in found for one in several]
