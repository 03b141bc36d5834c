"""The training loop of the classifiers, from top to bottom: set up, resume; then report, save, over?, step."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
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
from mammofill.classifier.training_step import LOSS, TrainingStep
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
from mammofill.ground.training.history import History, UnseenLosses, check_finite

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def fit(
    folder: Path,
    train: Examples,
    validation: Examples,
    start: Start,
    settings: TrainClassifierSettings,
    seed: int,
    device: str,
    progress: Progress,
) -> int:
    """Train, or go on training, and write weights, facts and history into a folder.

    Everything random is derived from the seed and the number of images seen, so a run that was stopped and continued
    equals one that was not, to the bit on the same device with the same number of threads. Several processes each take
    their share of every batch and average their gradients.

    Args:
        folder: the partial artifact.
        train: what is learned from.
        validation: what is watched, and gives the threshold; may be empty if nothing is chosen on it.
        start: what the network starts from.
        settings: of the stage.
        seed: of the stage.
        device: where the network runs.
        progress: notified of each step.

    Returns:
        The number of images seen.

    Raises:
        TrainingError: the loss is not finite any more.
        DamagedError: the checkpoint is of another network or of another version.
        DeviceError: the device, or enough of them, or the precision on it is not there.
    """
    engine = settings.engine
    shared = (folder, train, validation, start, settings, seed)
    # The others do the same on other shares of each batch; they write nothing.
    with training_processes(device, engine.processes, engine.precision, _fit, *shared) as fabric:
        return _fit(fabric, *shared, progress)


def _fit(
    fabric: Fabric,
    folder: Path,
    train: Examples,
    validation: Examples,
    start: Start,
    settings: TrainClassifierSettings,
    seed: int,
    progress: Progress = quiet,
) -> int:
    training = TrainingStep(fabric, start, settings, seed)
    history, losses = History(), UnseenLosses()
    images_seen, images_saved, loss_sum, steps = 0, 0, 0.0, 0
    best: dict[str, Any] = {"auc": -1.0, "validations_since": 0}

    state = load_checkpoint(folder)
    if state is not None:
        with checkpoint_fits(folder):
            training.load_state(state)
            history = History.from_state(state["history"])
            images_seen, loss_sum, steps = state["images_seen"], state["loss_sum"], state["steps"]
            best, images_saved = state["best"], images_seen
        progress.say(f"Going on after {counted(images_seen, 'images')}.")

    wanted = images_wanted(settings, len(train))
    label = f"{words_of(settings.network)}, {start.words}{', standardised' if settings.standardise else ''}"
    writes, share = fabric.global_rank == 0, (fabric.global_rank, fabric.world_size)
    with (
        ThreadPoolExecutor(1) as beside,  # makes the next batch while the network learns from this one
        progress.task(f"train {label}", wanted) as task,
        stop_requests() as stop,
    ):
        task.advance(min(images_seen, wanted))
        upcoming = beside.submit(training_batch, train, images_seen, settings, seed, share)
        while True:
            epoch = images_seen // len(train)
            if steps and (images_seen >= wanted or _validation_is_due(history, epoch, images_seen, settings)):
                loss_sum = _with(losses, loss_sum)
                row = _watch(training.kept, validation, settings, fabric.device)
                check_finite(row, images_seen)
                history.add(images_seen, epoch=epoch, loss=loss_sum / steps, **row)
                loss_sum, steps = 0.0, 0
                task.advance(0, note=_in_words(history.rows[-1]))
                if settings.keeps_best:
                    counts = images_seen > images_of_first_phase(settings, len(train))
                    best = _better(best, row["validation_auc"], images_seen, training.kept, counts)
            over = images_seen >= wanted or best["validations_since"] >= (settings.patience or np.inf)
            if writes and (over or stop or images_seen - images_saved >= settings.checkpoint_every_images):
                loss_sum = _with(losses, loss_sum)
                save_checkpoint(
                    folder,
                    training.state()
                    | {
                        "history": history.state(),
                        "images_seen": images_seen,
                        "loss_sum": loss_sum,
                        "steps": steps,
                        "best": best,
                    },
                )
                images_saved = images_seen
            stop.leave()
            if over:
                break

            images, targets = upcoming.result()
            upcoming = beside.submit(training_batch, train, images_seen + settings.batch, settings, seed, share)
            weights = loss_weights(train, images_seen, settings, seed, share)
            cross_entropy = training.step(images, targets, images_seen, wanted, len(train), weights)
            losses.add(images_seen, [LOSS], cross_entropy)
            images_seen, steps = images_seen + settings.batch, steps + 1
            if losses.due:
                loss_sum = _with(losses, loss_sum)
            task.advance(settings.batch)

    if writes:
        kept = training.kept
        if settings.keeps_best:
            kept.load_state_dict(best["weights"])
        save_weights(folder / WEIGHTS_NAME, kept)
        chosen_at = best.get("images_seen", images_seen)
        facts = _network_facts(kept, label, start, chosen_at, validation, settings, fabric.device)
        write_atomically(folder / NETWORK_NAME, json.dumps(facts, indent=2) + "\n")
        history.write(folder)
    return images_seen


def _network_facts(
    network: nn.Module,
    label: str,
    start: Start,
    chosen_at: int,
    validation: Examples,
    settings: TrainClassifierSettings,
    device: torch.device,
) -> dict[str, Any]:
    """Return what the network's file says: what it is, which weights were kept, and the threshold chosen for them."""
    return {
        "network": settings.network,
        "label": label,
        "start": {"words": start.words, "sha256": start.sha256},
        "input_px": input_px_of(settings),
        "input": colours_of(settings.network, settings.input_mean, settings.input_sd).words,
        "classes": ["benign", "malignant"],
        "kept": {"rule": "best" if settings.keeps_best else "last", "images_seen": chosen_at},
        **_freeze_threshold(network, validation, settings, device),
        **_own_colours(settings),
        **({"widths": start.widths} if settings.network == "discriminator" else {}),
        **({"test_time_flips": True} if settings.test_time_flips else {}),
        **({"test_time_turns": True} if settings.test_time_turns else {}),
        **({"standardise": True} if settings.standardise else {}),
    }


def _validation_is_due(history: History, epoch: int, images_seen: int, settings: TrainClassifierSettings) -> bool:
    """Whether an epoch has ended since the last validation, and enough images were seen."""
    last = history.rows[-1] if history.rows else {"epoch": 0, "images_seen": 0}
    seen = images_seen - int(last["images_seen"])
    return epoch > int(last["epoch"]) and seen >= settings.validate_every_images


def _with(losses: UnseenLosses, loss_sum: float) -> float:
    """Look at the last losses and add them, one after the other, so that a stop between them changes no bit."""
    for one in losses.look():
        loss_sum += one[LOSS]
    return loss_sum


def _better(best: dict[str, Any], auc: float, images_seen: int, network: nn.Module, counts: bool) -> dict[str, Any]:
    """Return what is best after another validation, and how many that count for patience came since."""
    if auc > best["auc"]:
        return {"auc": auc, "images_seen": images_seen, "weights": _copy(network), "validations_since": 0}
    return best | {"validations_since": best["validations_since"] + counts}


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


def _copy(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def _in_words(row: dict[str, float | int | str]) -> str:
    auc = f", validation AUC {row['validation_auc']:.3f}" if "validation_auc" in row else ""
    return f"epoch {row['epoch']}, loss {row['loss']:.3f}{auc}"
