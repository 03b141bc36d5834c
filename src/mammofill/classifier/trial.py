"""Synthetic patches on trial: a classifier is trained without and with them, and validation decides which is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from mammofill.classifier.classifier import NETWORK_NAME, Classifier, load_network
from mammofill.classifier.examples import Examples
from mammofill.classifier.fit import validation_odds
from mammofill.classifier.settings import TrainClassifierSettings
from mammofill.classifier.start import Start
from mammofill.ground.artifact import Work, kind_of_device, settings_of_plan, write_atomically
from mammofill.ground.errors import ArtifactError
from mammofill.ground.progress import Progress
from mammofill.ground.seeding import stream
from mammofill.ground.training.checkpoint import WEIGHTS_NAME
from mammofill.ground.training.device import find_device
from mammofill.ground.training.history import HISTORY_NAME
from mammofill.mammograms.vocabulary import Origin, Pathology
from mammofill.patches.patch_set import PatchSet

WITHOUT, WITH = "without", "with"
_DEFAULTS = TrainClassifierSettings()
_RESAMPLES = 1000
_CHANCE = 0.05
"""One-sided: in so many of the resamples the difference may be 0 or less."""


@dataclass(frozen=True)
class Way:
    """One of the two trainings of a trial: all that decides its weights."""

    settings: TrainClassifierSettings
    patches: tuple[str, ...]
    """Fingerprints of the sets that it learns from and is validated on, in their order."""
    has_fills: bool
    seed: int
    start: Start
    device: str

    def differences(self, classifier: Classifier) -> Iterator[str]:
        """Say what of a classifier's training was not as in this one; nothing where all was."""
        made, wanted = classifier.manifest, settings_of_plan(self.settings)
        for name in sorted({*made.settings, *wanted}):
            # A manifest leaves out settings that are newer than it, which are at their defaults then.
            found, asked = (one.get(name, getattr(_DEFAULTS, name, None)) for one in (made.settings, wanted))
            if found != asked:
                yield f"{name} is {found!r}, not {asked!r}"
        if "images_seen" not in made.counts:
            yield "it does not record how many images it saw"
        if made.seed != self.seed:
            yield f"the seed is {made.seed}, not {self.seed}"
        if kind_of_device(made.device) != kind_of_device(self.device):
            yield f"it was trained on the device {made.device}, not {self.device}"
        if _patches_of(classifier) != self.patches:
            yield "it learned from other patch sets, or from them in another order"
        elif not self.has_fills and any(made.counts.get(f"train_synthetic_{one}") for one in Pathology):
            yield "it learned from synthetic patches"
        start = {"words": self.start.words, "sha256": self.start.sha256}
        if classifier.facts["start"] != start or self._widths_differ(classifier):
            yield f"it started from other weights ({classifier.facts['start']['words']}, not {self.start.words})"

    def _widths_differ(self, classifier: Classifier) -> bool:
        """Say whether it is another discriminator, which two random starts have in common."""
        return tuple(classifier.facts.get("widths", self.start.widths)) != tuple(self.start.widths)


def ways_of_trial(
    patches: Sequence[PatchSet], settings: TrainClassifierSettings, seed: int, start: Start, device: str
) -> dict[str, Way]:
    """Return `WITHOUT` and `WITH` -> what decides the weights of each training of a trial.

    Args:
        patches: all sets; without synthetic patches those are left out that have no others.
        settings: of the classifier, with `synthetic_if_better`.
        seed: of the stage.
        start: what the network starts from.
        device: where it is trained.
    """
    with_them = replace(settings, synthetic_if_better=False)
    everything = tuple(one.fingerprint for one in patches)
    real = tuple(one.fingerprint for one in patches if (one.table["origin"] == Origin.REAL).any())
    return {
        WITHOUT: Way(settings.without_fills, real, False, seed, start, device),
        WITH: Way(with_them, everything, True, seed, start, device),
    }


def taken_over(trained: Sequence[Classifier], ways: Mapping[str, Way]) -> dict[str, Callable[[Path], int]]:
    """Find which trainings of a trial were done before, as those of other arms of a study.

    Args:
        trained: finished classifiers.
        ways: of `ways_of_trial`.

    Returns:
        `WITHOUT`, `WITH` or both -> what writes the classifier's weights, facts and history into a folder, and returns
        the images that it saw, as the training itself would.

    Raises:
        ArtifactError: one is none of the two, and why; or both are the same one.
    """
    found: dict[str, Callable[[Path], int]] = {}
    for one in trained:
        differs = {name: list(way.differences(one)) for name, way in ways.items()}
        patches = _patches_of(one)
        name = min(differs, key=lambda way: (ways[way].patches != patches, len(differs[way])))
        if differs[name]:
            raise ArtifactError(
                f"{one.folder} is none of the two trainings of this trial; from that {name} synthetic patches it "
                f"differs: {'; '.join(differs[name])}. Give classifiers that were trained as this one is to be, "
                "without synthetic patches or with them, or leave it out: then it is trained here."
            )
        if name in found:
            raise ArtifactError(f"{one.folder} is given as trained {name} synthetic patches, as another one is.")
        found[name] = partial(_copy_training, one)
    return found


def _patches_of(classifier: Classifier) -> tuple[str, ...]:
    return tuple(one.fingerprint for one in classifier.manifest.inputs if one.role == "patches")


def _copy_training(classifier: Classifier, folder: Path) -> int:
    for name in (WEIGHTS_NAME, HISTORY_NAME, NETWORK_NAME):
        shutil.copyfile(classifier.folder / name, folder / name)
    return int(classifier.manifest.counts["images_seen"])


def better_on_validation(
    work: Work,
    trainings: Mapping[str, Callable[[Path], int]],
    validation: Examples,
    settings: TrainClassifierSettings,
    seed: int,
    device: str,
    progress: Progress,
) -> tuple[str, int]:
    """Train a classifier without and with synthetic patches, and make the better one the artifact's.

    That with them is kept if its AUC by patch on validation is higher by more than random variation between patients
    explains: in 95 % of resamples of the patients, the same for both. Both lie in the artifact's scratch until it is
    finished, so that a run that was stopped goes on in either.

    Args:
        work: of the classifier.
        trainings: `WITHOUT` and `WITH` -> the training, which writes into a folder and returns the images that it saw.
        validation: whose patches decide; both classes.
        settings: of the classifier.
        seed: of the stage; decides the resamples.
        device: where the networks run.
        progress: notified of which is kept.

    Returns:
        Which was kept, and how many images it saw. ``network.json`` of the artifact says it, with both AUCs and the
        bound of their difference.
    """
    images_seen, odds = {}, {}
    for name in (WITHOUT, WITH):
        folder = work.scratch / name
        folder.mkdir(exist_ok=True)
        images_seen[name] = trainings[name](folder)
        odds[name] = _scored(folder, validation, settings, device)
    aucs = {name: float(roc_auc_score(validation.malignant, one)) for name, one in odds.items()}
    patients = validation.table["patient_id"].to_numpy(dtype=object)
    random = stream(seed, "classifier", "trial")
    bound = lower_bound_of_gain(odds[WITHOUT], odds[WITH], validation.malignant, patients, random)
    kept = WITH if bound > 0 else WITHOUT
    progress.say(
        f"Validation AUC {aucs[WITHOUT]:.3f} without synthetic patches, {aucs[WITH]:.3f} with them (a gain of at least "
        f"{bound:+.3f}, 95 %, one-sided): kept {kept} them."
    )
    for name in (WEIGHTS_NAME, HISTORY_NAME):
        shutil.copyfile(work.scratch / kept / name, work.folder / name)
    trial = {"kept": kept, "validation_auc": aucs, "gain_at_least": bound}
    facts = _facts(work.scratch / kept) | {"synthetic_patches_on_trial": trial}
    write_atomically(work.folder / NETWORK_NAME, json.dumps(facts, indent=2) + "\n")
    return kept, images_seen[kept]


def lower_bound_of_gain(
    without: NDArray[np.float64],
    with_them: NDArray[np.float64],
    malignant: NDArray[np.bool_],
    patients: NDArray[np.object_],
    random: np.random.Generator,
) -> float:
    """Return the one-sided 95 % bound of the difference of two AUCs on the same patches, over patients.

    Source: percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3), by
    patient and paired; resamples without a class say nothing and are left out. Where all others give one and the same
    difference, as of a single patient of each class, their random variation is unknown: the bound is 0 then, and shows
    no gain.

    Args:
        without: (n,) log-odds of the one.
        with_them: (n,) of the other.
        malignant: (n,) the truth, both classes.
        patients: (n,) whose patch each is.
        random: decides the resamples.
    """
    names, whose = np.unique(patients.astype(str), return_inverse=True)
    draws = random.multinomial(len(names), np.full(len(names), 1 / len(names)), _RESAMPLES)
    gains = []
    for weights in draws[:, whose]:
        if weights[malignant].any() and weights[~malignant].any():
            old, new = (roc_auc_score(malignant, odds, sample_weight=weights) for odds in (without, with_them))
            gains.append(new - old)
    return float(np.quantile(gains, _CHANCE)) if np.ptp(gains) > 0 else 0.0


def _scored(folder: Path, validation: Examples, settings: TrainClassifierSettings, device: str) -> NDArray[np.float64]:
    found = find_device(device)
    return validation_odds(load_network(folder, _facts(folder)).to(found), validation, settings, found)


def _facts(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / NETWORK_NAME).read_text(encoding="utf-8"))
    return facts
