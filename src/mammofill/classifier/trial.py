"""Synthetic patches on trial: a classifier is trained without and with them, and validation says which one is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from mammofill.classifier.classifier import NETWORK_NAME
from mammofill.ground.artifact import Work, write_atomically
from mammofill.ground.progress import Progress
from mammofill.ground.training.checkpoint import WEIGHTS_NAME
from mammofill.ground.training.history import HISTORY_NAME

WITHOUT, WITH = "without", "with"


def better_on_validation(
    work: Work, trainings: Mapping[str, Callable[[Path], int]], progress: Progress
) -> tuple[str, int]:
    """Train a classifier without and with synthetic patches, and make the better one the artifact's.

    Both lie in the artifact's scratch until it is finished, so that a run that was stopped goes on in either. What is
    compared is the AUC by patch on validation of the weights that each training kept. One such AUC has an interval of
    some tenths on few patients, so that fills which neither help nor harm are kept as often as not; what it does
    prevent is harm that can be seen.

    Args:
        work: of the classifier.
        trainings: `WITHOUT` and `WITH` -> the training, which writes into a folder and returns the images that it saw.
        progress: told which is kept.

    Returns:
        Which was kept, and how many images it saw. ``network.json`` of the artifact says it, with both AUCs.
    """
    images_seen, aucs = {}, {}
    for name in (WITHOUT, WITH):
        folder = work.scratch / name
        folder.mkdir(exist_ok=True)
        images_seen[name] = trainings[name](folder)
        aucs[name] = _auc_of_kept(folder)
    kept = WITH if aucs[WITH] > aucs[WITHOUT] else WITHOUT
    progress.say(
        f"Validation AUC {aucs[WITHOUT]:.3f} without synthetic patches, {aucs[WITH]:.3f} with them: kept {kept} them."
    )
    chosen = work.scratch / kept
    for name in (WEIGHTS_NAME, HISTORY_NAME):
        shutil.copyfile(chosen / name, work.folder / name)
    facts = _facts(chosen) | {"synthetic_patches_on_trial": {"kept": kept, "validation_auc": aucs}}
    write_atomically(work.folder / NETWORK_NAME, json.dumps(facts, indent=2) + "\n")
    return kept, images_seen[kept]


def _facts(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / NETWORK_NAME).read_text(encoding="utf-8"))
    return facts


def _auc_of_kept(folder: Path) -> float:
    history = pd.read_csv(folder / HISTORY_NAME)
    kept = history[history["images_seen"] == _facts(folder)["kept"]["images_seen"]]
    return float(kept["validation_auc"].iloc[0])
