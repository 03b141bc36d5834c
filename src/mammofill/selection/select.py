"""The stage that keeps those fills that are as good as real lesions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.classifier import Classifier
from mammofill.ground.artifact import CHOSEN, LearnedFrom, Work, begin, write_atomically
from mammofill.ground.progress import Progress, quiet
from mammofill.ground.training.memory import freed_memory_kept
from mammofill.infilling.settings import CLASSES
from mammofill.judging.cases import Lesions
from mammofill.patches import PatchSet, write_index
from mammofill.patches.shards import write_dropped, write_part_of_shard
from mammofill.selection.checks import check_inputs, infillers_patients, patients_of
from mammofill.selection.gate import Decision, decide
from mammofill.selection.holes import Holes, holes_in
from mammofill.selection.measures import (
    Beside,
    Measures,
    Surface,
    measure_fills,
    measure_real,
    measure_training,
    validation_lesions,
)
from mammofill.selection.pictures import kept_and_refused
from mammofill.selection.scores import (
    SCORES_NAME,
    Score,
    Unpainted,
    auc_of,
    nearest_training,
    score,
    thresholds_of,
    unpainted,
)
from mammofill.selection.sets import compare_sets
from mammofill.selection.settings import QUANTILES, SelectSyntheticSettings
from mammofill.selection.table import counts_of, dropped_of, gate_json, table_of

_STAGE = "select-synthetic"


def select_synthetic(
    synthetic: PatchSet,
    patches: PatchSet,
    classifiers: Sequence[Classifier],
    out: str | Path,
    settings: SelectSyntheticSettings = SelectSyntheticSettings(),
    *,
    seed: int = 0,
    progress: Progress = quiet,
    device: str = "cpu",
) -> PatchSet:
    """Keep the fills that are as good as most real lesions of the validation split.

    Args:
        synthetic: fills of one infiller.
        patches: the patches that they were painted into; its validation lesions set the thresholds, and its training
            lesions are what copies are looked for among.
        classifiers: whose opinion of the class counts, each trained on real patches only. A fill is read by those that
            learned from neither of its patients (and, where there are such, by those that share no patient with the
            infiller).
        out: folder of the smaller set.
        settings: how good, and how many.
        seed: of the forests, and of what is drawn.
        progress: notified of each part.
        device: where networks run.

    Returns:
        A patch set, with files of its own beside the shards: ``scores.parquet`` (see `read_scores`), ``gate.json``
        (thresholds, classifiers, set-level numbers), ``table.txt``, ``kept_and_refused.png``. It may be empty: then no
        fill passes, or none of a class.

    Raises:
        LeakError: no classifier given may read a fill; one learned from validation patients; a fill is of a patient
            who is not in the train split.
        ArtifactError: patches that are not synthetic, of another size, or painted into other patches; a classifier
            that learned from generated patches, is given twice, or none.
        TooFewError: too few validation lesions for thresholds, or patients for forests.
        DeviceError: the device is not there.
    """
    panels = check_inputs(synthetic, patches, classifiers)
    changed = holes_in(synthetic)
    real, holes = validation_lesions(patches, changed, settings.least_real)
    given = _Given(synthetic, patches, classifiers, panels, changed, real, holes, settings, seed, device)

    from mammofill.ground.training.device import find_device

    find_device(device)
    with (
        freed_memory_kept(device),
        begin(
            out,
            kind=PatchSet.kind,
            stage=_STAGE,
            settings=settings,
            seed=seed,
            inputs={"synthetic": synthetic, "patches": patches, "classifiers": list(classifiers)},
            device=device,
        ) as work,
    ):
        if work is not None:
            measured = _measure(given, progress)
            _warn_of_weak(_who_read(given, measured), settings, progress)
            judged = _judge(given, measured)
            if not judged.decision.kept.any():
                progress.say(f"WARNING: no fill of {synthetic.folder} passes, or none of a class, so none is kept.")
            _write(work, given, measured, judged)
            _keep(work, synthetic, judged.decision)
            work.finish(counts_of(judged.decision, measured.fills.malignant), learned_from=[_chosen_on(real)])
    return PatchSet.open(out)


@dataclass(frozen=True)
class _Given:
    """What is selected, by what."""

    synthetic: PatchSet
    patches: PatchSet
    classifiers: Sequence[Classifier]
    panels: NDArray[np.bool_]
    """(N, C) which classifiers read which fills."""
    changed: Holes
    """What was repainted for the masks of the fills."""
    real: Lesions
    """Of the validation split."""
    holes: NDArray[np.bool_]
    """Of these."""
    settings: SelectSyntheticSettings
    seed: int
    device: str


@dataclass(frozen=True)
class _Measured:
    fills: Measures
    beside: Beside
    changed_outside: NDArray[np.int64]
    """(N,) pixels."""


@dataclass(frozen=True)
class _Judged:
    seam: Unpainted
    detection: Unpainted
    scores: dict[str, Score]
    nearest_training: NDArray[np.float64]
    """(N,) correlation."""
    decision: Decision


def _measure(given: _Given, progress: Progress) -> _Measured:
    synthetic, patches, batch = given.synthetic, given.patches, given.settings.batch
    total = len(given.real) + len(synthetic.table) + len(patches.rows(split="train", origin="real", pathology=CLASSES))
    with progress.task("measuring fills", total) as task:
        real = measure_real(given.real, given.holes, given.classifiers, given.device, batch, task)
        fills, before, changed = measure_fills(
            synthetic, patches, given.classifiers, given.panels, given.device, batch, task
        )
        training, surface, people = measure_training(patches, given.changed, given.seed, task)
    people = np.concatenate([fills.people[:, [0, 0]], people])
    return _Measured(fills, Beside(real, Surface.joined([before, surface]), people, training), changed)


def _judge(given: _Given, measured: _Measured) -> _Judged:
    fills, beside, settings, seed = measured.fills, measured.beside, given.settings, given.seed
    seam, detection = (unpainted(fills, beside, what, settings, seed) for what in ("rings", "inside"))
    scores = score(fills, beside, given.panels, seam, detection, settings)
    nearest = nearest_training(fills, beside)
    real = {name: len(given.patches.rows(split="train", origin="real", pathology=name)) for name in CLASSES}
    threshold = beside.training.threshold
    decision = decide(scores, nearest, threshold, measured.changed_outside, fills.malignant, real, settings, seed)
    return _Judged(seam, detection, scores, nearest, decision)


def _write(work: Work, given: _Given, measured: _Measured, judged: _Judged) -> None:
    """Write tables and the picture."""
    fills, beside, settings, decision = measured.fills, measured.beside, given.settings, judged.decision
    sets = compare_sets(fills, beside.real, decision.kept, given.panels, given.classifiers, given.seed)
    facts = {
        "quantiles": {name: getattr(settings, name) for name in (*QUANTILES, "other_class")},
        "thresholds": thresholds_of(judged.scores, given.panels, fills.malignant),
        "copy_threshold": beside.training.threshold,
        "training_lesions": len(beside.training.descriptors),
        "validation_lesions": len(given.real),
        "classifiers": _who_read(given, measured),
        "auc_at_the_seam": judged.seam.auc,
        "auc_of_detection": judged.detection.auc,
    }
    _scores_table(given, measured, judged).to_parquet(work.folder / SCORES_NAME, index=False)
    write_atomically(work.folder / "gate.json", gate_json(facts, sets))
    write_atomically(work.folder / "table.txt", table_of(decision, fills.malignant, sets, given.classifiers))
    picture = kept_and_refused(
        lambda rows: given.synthetic.pixels(rows)[0], fills.malignant, decision, given.real, settings.shown, given.seed
    )
    write_atomically(work.folder / "kept_and_refused.png", picture)


def _who_read(given: _Given, measured: _Measured) -> list[dict[str, Any]]:
    """Say of each classifier what it read, how well it knows the classes, and how many of the infiller's patients."""
    painter, real = infillers_patients(given.synthetic), measured.beside.real
    return [
        {
            "folder": one.folder.resolve().name,
            "label": one.label,
            "fingerprint": one.fingerprint,
            "fills_read": int(given.panels[:, number].sum()),
            "validation_auc": auc_of(real.readings[number].odds, real.malignant),
            "patients_shared_with_the_infiller": len(patients_of(one, given.synthetic) & painter),
        }
        for number, one in enumerate(given.classifiers)
    ]


def _warn_of_weak(read: Sequence[dict[str, Any]], settings: SelectSyntheticSettings, progress: Progress) -> None:
    for one in read:
        if one["validation_auc"] < settings.least_auc:
            progress.say(
                f"WARNING: the classifier {one['folder']} has, on real validation lesions, an AUC of "
                f"{one['validation_auc']:.2f} (least_auc {settings.least_auc:g}); it can hardly detect wrong classes."
            )


def _scores_table(given: _Given, measured: _Measured, judged: _Judged) -> pd.DataFrame:
    """Return what `read_scores` says."""
    table = given.synthetic.table[["patch_id", "pathology", "patient_id", "mask_donor_patient_id"]].copy()
    table["classifiers"] = [" ".join(map(str, np.flatnonzero(panel))) for panel in given.panels]
    for name, one in judged.scores.items():
        table[name], table[f"{name}_rank"], table[f"{name}_threshold"] = one.value, one.rank, one.threshold
    return table.assign(
        nearest_training=judged.nearest_training,
        changed_outside=measured.changed_outside,
        refused_for=judged.decision.reasons(),
        kept=judged.decision.kept,
    )


def _keep(work: Work, synthetic: PatchSet, decision: Decision) -> None:
    for number, shard in enumerate(synthetic.shards):
        write_part_of_shard(work.folder / shard.name, shard, decision.kept[synthetic.shard_of_rows == number])
    write_index(work.folder)
    write_dropped(work.folder, dropped_of(decision))


def _chosen_on(real: Lesions) -> LearnedFrom:
    """Say whose lesions set the thresholds: they choose among fills, as they choose among a classifier's weights."""
    return LearnedFrom(f"{_STAGE} {CHOSEN} choice of fills)", tuple(sorted(set(real.people[:, 0].tolist()))))
