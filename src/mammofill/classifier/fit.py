"""The training loop of the classifiers, from top to bottom: set up, resume; then report, save, over?, step."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import nn

from mammofill.classifier.batches import images_of_first_phase, images_wanted, loss_weights, training_batch
from mammofill.classifier.classifier import NETWORK_NAME
from mammofill.classifier.examples import Examples
from mammofill.classifier.networks import colours_of, input_px_of, words_of
from mammofill.classifier.scoring import balanced_accuracy_threshold, log_odds, probability
from mammofill.classifier.settings import TrainClassifierSettings
from mammofill.classifier.start import Start
from mammofill.classifier.training_state import TrainingState
from mammofill.classifier.training_step import TrainingStep
from mammofill.ground.artifact import write_atomically
from mammofill.ground.counting import counted
from mammofill.ground.progress import Progress, quiet
from mammofill.ground.stopping import stop_requests
from mammofill.ground.training.checkpoint import (
    WEIGHTS_NAME,
    checkpoint_fits,
    load_checkpoint,
    save_checkpoint,
    save_weights,
)
from mammofill.ground.training.distributed import training_processes

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class FitData:
    """What a classifier learns from, and how; the same in every process."""

    folder: Path
    """Where weights, facts and history go; the training goes on from the checkpoint there, if one is."""
    train: Examples
    validation: Examples
    """What is watched, and gives the threshold; may be empty if nothing is chosen on it."""
    start: Start
    settings: TrainClassifierSettings
    seed: int


def fit(data: FitData, device: str, progress: Progress) -> int:
    """Train, or go on training, and write weights, facts and history into a folder.

    Everything random is derived from the seed and the number of images seen, so a run that was stopped and continued
    equals one that was not, to the bit on the same device with the same number of threads. Several processes each take
    their share of every batch and average their gradients.

    Args:
        data: what is learned from.
        device: where the network runs.
        progress: notified of each step.

    Returns:
        The number of images seen.

    Raises:
        TrainingError: the loss is not finite any more.
        DamagedError: the checkpoint is of another network or of another version.
        DeviceError: the device, or enough of them, or the precision on it is not there.
    """
    engine = data.settings.engine
    # The others do the same on other shares of each batch; they write nothing.
    with training_processes(device, engine.processes, engine.precision, _fit, data) as fabric:
        return _fit(fabric, data, progress)


def _fit(fabric: Fabric, data: FitData, progress: Progress = quiet) -> int:
    train, settings, seed = data.train, data.settings, data.seed
    training, state = TrainingStep(fabric, data.start, settings, seed), TrainingState()
    saved = load_checkpoint(data.folder)
    if saved is not None:
        with checkpoint_fits(data.folder):
            training.load_state(saved)
            state.load_state_dict(saved)
        progress.say(f"Going on after {counted(state.images_seen, 'images')}.")

    wanted, first_phase = images_wanted(settings, len(train)), images_of_first_phase(settings, len(train))
    images_saved = state.images_seen
    label = f"{words_of(settings.network)}, {data.start.words}{', standardised' if settings.standardise else ''}"
    writes, share = fabric.global_rank == 0, (fabric.global_rank, fabric.world_size)
    with (
        ThreadPoolExecutor(1) as beside,  # makes the next batch while the network learns from this one
        progress.task(f"train {label}", wanted) as task,
        stop_requests() as stop,
    ):
        task.advance(min(state.images_seen, wanted))
        upcoming = beside.submit(training_batch, train, state.images_seen, settings, seed, share)
        while True:
            epoch = state.images_seen // len(train)
            if state.steps and (state.images_seen >= wanted or state.validation_is_due(epoch, settings)):
                state.look()  # a loss that is not finite is reported as such, and not by what it does to scores
                state.record(epoch, _watch(training.kept, data.validation, settings, fabric.device))
                task.advance(0, note=_in_words(state.history.rows[-1]))
                if settings.keeps_best:
                    state.keep_if_better(training.kept, counts=state.images_seen > first_phase)
            over = state.images_seen >= wanted or state.patience_is_over(settings)
            if writes and (over or stop or state.images_seen - images_saved >= settings.checkpoint_every_images):
                save_checkpoint(data.folder, training.state() | state.state_dict())
                images_saved = state.images_seen
            stop.leave()
            if over:
                break

            images, targets = upcoming.result()
            upcoming = beside.submit(training_batch, train, state.images_seen + settings.batch, settings, seed, share)
            weights = loss_weights(train, state.images_seen, settings, seed, share)
            cross_entropy = training.step(images, targets, state.images_seen, wanted, len(train), weights)
            state.add_step(cross_entropy, settings.batch)
            task.advance(settings.batch)

    if writes:
        _write(data, training.kept, state, label, fabric.device)
    return state.images_seen


def _write(data: FitData, network: nn.Module, state: TrainingState, label: str, device: torch.device) -> None:
    """Write the weights that are kept, what the network is, and the history."""
    if data.settings.keeps_best:
        network.load_state_dict(state.best["weights"])
    save_weights(data.folder / WEIGHTS_NAME, network)
    facts = _network_facts(data, network, label, state.best.get("images_seen", state.images_seen), device)
    write_atomically(data.folder / NETWORK_NAME, json.dumps(facts, indent=2) + "\n")
    state.history.write(data.folder)


def _network_facts(
    data: FitData, network: nn.Module, label: str, chosen_at: int, device: torch.device
) -> dict[str, Any]:
    """Return what the network's file says: what it is, which weights were kept, and the threshold chosen for them."""
    settings, start = data.settings, data.start
    return {
        "network": settings.network,
        "label": label,
        "start": {"words": start.words, "sha256": start.sha256},
        "input_px": input_px_of(settings),
        "input": colours_of(settings.network, settings.input_mean, settings.input_sd).words,
        "classes": ["benign", "malignant"],
        "kept": {"rule": "best" if settings.keeps_best else "last", "images_seen": chosen_at},
        **_freeze_threshold(network, data.validation, settings, device),
        **_own_colours(settings),
        **({"widths": start.widths} if settings.network == "discriminator" else {}),
        **({"test_time_flips": True} if settings.test_time_flips else {}),
        **({"test_time_turns": True} if settings.test_time_turns else {}),
        **({"standardise": True} if settings.standardise else {}),
    }


_CHUNK = 1024  # validation patches scored at once


def _own_colours(settings: TrainClassifierSettings) -> dict[str, Any]:
    """Return what gray is shifted and scaled by where that does not follow from the network's name for all time."""
    if not (settings.is_timms or settings.input_mean or settings.input_sd):
        return {}
    colours = colours_of(settings.network, settings.input_mean, settings.input_sd)
    return {"mean": colours.mean, "sd": colours.sd}


def validation_odds(
    network: nn.Module, validation: Examples, settings: TrainClassifierSettings, device: torch.device
) -> NDArray[np.float64]:
    """Score validation as every later use will score: (n,) log-odds of malignancy."""
    chunks = np.array_split(np.arange(len(validation)), -(-len(validation) // _CHUNK))
    return np.concatenate(
        [
            log_odds(
                network,
                validation.images(chunk),
                colours_of(settings.network, settings.input_mean, settings.input_sd),
                device,
                flips=settings.test_time_flips,
                turns=settings.test_time_turns,
                standardise=settings.standardise,
            )
            for chunk in chunks
        ]
    )


def _watch(
    network: nn.Module, validation: Examples, settings: TrainClassifierSettings, device: torch.device
) -> dict[str, float]:
    """Return loss and AUC on validation, as far as its patches allow: no patch no loss, one class no AUC."""
    if not len(validation):
        return {}
    odds = validation_odds(network, validation, settings, device)
    malignant = validation.malignant
    row = {"validation_loss": float(np.logaddexp(0, np.where(malignant, -odds, odds)).mean())}
    if malignant.any() and not malignant.all():
        row["validation_auc"] = float(roc_auc_score(malignant, odds))
    return row


def _freeze_threshold(
    network: nn.Module, validation: Examples, settings: TrainClassifierSettings, device: torch.device
) -> dict[str, Any]:
    if settings.threshold_rule == "half":
        return {"threshold": 0.5, "threshold_logit": 0.0, "threshold_rule": "one half, nothing was chosen"}
    odds = validation_odds(network, validation, settings, device)
    threshold, balanced = balanced_accuracy_threshold(odds, validation.malignant)
    return {
        "threshold": float(probability(np.array([threshold]))[0]),
        "threshold_logit": threshold,
        "threshold_rule": "greatest balanced accuracy on the real validation patches",
        "validation_balanced_accuracy": balanced,
        "validation_patches": len(validation),
    }


def _in_words(row: dict[str, float | int | str]) -> str:
    auc = f", validation AUC {row['validation_auc']:.3f}" if "validation_auc" in row else ""
    return f"epoch {row['epoch']}, loss {row['loss']:.3f}{auc}"
