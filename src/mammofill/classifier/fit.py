"""The training loop of the classifiers, from top to bottom: set up, resume; then report, save, stop?, step."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import nn

from mammofill.classifier.batches import network_input, training_batch
from mammofill.classifier.classifier import NETWORK_NAME
from mammofill.classifier.examples import Examples
from mammofill.classifier.networks import NETWORK_WORDS, Start, build_network, channels
from mammofill.classifier.scoring import balanced_accuracy_threshold, log_odds, probability
from mammofill.classifier.settings import TrainClassifierSettings
from mammofill.ground.artifact import write_atomically
from mammofill.ground.progress import Progress
from mammofill.ground.training import (
    WEIGHTS_NAME,
    History,
    check_finite,
    load_checkpoint,
    remove_checkpoint,
    save_checkpoint,
    save_weights,
    seeded_layers,
)


def fit(
    folder: Path,
    train: Examples,
    validation: Examples,
    start: Start,
    settings: TrainClassifierSettings,
    seed: int,
    progress: Progress,
    device: torch.device,
) -> int:
    """Train, or go on training, and write weights, facts and history into a folder.

    Everything random is derived from the seed and the number of images seen, so a run that was stopped and continued
    equals one that was not, to the bit on the same device with the same number of threads.

    Args:
        folder: the partial artifact.
        train: what is learned from.
        validation: what is watched, and gives the threshold; may be empty if nothing is chosen on it.
        start: what the network starts from.
        settings: of the stage.
        seed: of the stage.
        progress: who is told.
        device: where the network runs.

    Returns:
        The number of images seen.

    Raises:
        TrainingError: the loss is not finite any more.
    """
    network = build_network(settings.network, settings.input_px, seed)
    start.put_into(network)
    network.to(device)
    optimiser = torch.optim.Adam(
        network.parameters(), lr=settings.learning_rate, betas=settings.betas, eps=settings.eps
    )
    history = History()
    images_seen, images_saved, loss_sum, steps = 0, 0, 0.0, 0
    best: dict[str, Any] = {"auc": -1.0}

    state = load_checkpoint(folder)
    if state is not None:
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        history = History.from_state(state["history"])
        images_seen, loss_sum, steps = state["images_seen"], state["loss_sum"], state["steps"]
        best, images_saved = state["best"], images_seen
        progress.say(f"Going on after {images_seen} images.")

    wanted = settings.images or settings.epochs * len(train)
    label = f"{NETWORK_WORDS[settings.network]}, {start.words}"
    with (
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
        ThreadPoolExecutor(1) as beside,  # makes the next batch while the network learns from this one
        progress.task(f"train {label}", wanted) as task,
    ):
        task.advance(min(images_seen, wanted))
        upcoming = beside.submit(training_batch, train, images_seen, settings, seed)
        while True:
            stop = images_seen >= wanted
            epoch = images_seen // len(train)
            watched = int(history.rows[-1]["epoch"]) if history.rows else 0
            if steps and (stop or epoch > watched):
                row = _watch(network, validation, settings, device)
                check_finite(row, images_seen)
                history.add(images_seen, epoch=epoch, loss=loss_sum / steps, **row)
                loss_sum, steps = 0.0, 0
                task.advance(0, note=_in_words(history.rows[-1]))
                if settings.keep == "best" and row["validation_auc"] > best["auc"]:
                    best = {"auc": row["validation_auc"], "images_seen": images_seen, "weights": _copy(network)}
            if stop or images_seen - images_saved >= settings.checkpoint_every_images:
                save_checkpoint(
                    folder,
                    {
                        "network": network.state_dict(),
                        "optimiser": optimiser.state_dict(),
                        "history": history.state(),
                        "images_seen": images_seen,
                        "loss_sum": loss_sum,
                        "steps": steps,
                        "best": best,
                    },
                )
                images_saved = images_seen
            if stop:
                break

            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * settings.decay ** (epoch // settings.decay_every_epochs)
            network.train()
            images, classes = upcoming.result()
            upcoming = beside.submit(training_batch, train, images_seen + len(images), settings, seed)
            inputs = network_input(images, channels(settings.network), device)
            with seeded_layers(seed, "classifier", "dropout", images_seen):  # dropout knows the global generator only
                outputs = network(inputs).flatten(1)
            loss = F.cross_entropy(outputs, classes.to(device))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            cross_entropy = loss.item()
            check_finite({"cross-entropy": cross_entropy}, images_seen)
            optimiser.step()
            images_seen += len(classes)
            loss_sum, steps = loss_sum + cross_entropy, steps + 1
            task.advance(len(classes))

    if settings.keep == "best":
        network.load_state_dict(best["weights"])
    save_weights(folder / WEIGHTS_NAME, network)
    facts = {
        "network": settings.network,
        "label": label,
        "start": {"words": start.words, "sha256": start.sha256},
        "input_px": settings.input_px,
        "input": _input_words[channels(settings.network)],
        "classes": ["benign", "malignant"],
        "kept": {"rule": settings.keep, "images_seen": best.get("images_seen", images_seen)},
        **_freeze_threshold(network, validation, settings, device),
    }
    write_atomically(folder / NETWORK_NAME, json.dumps(facts, indent=2) + "\n")
    history.write(folder)
    remove_checkpoint(folder)
    return images_seen


_CHUNK = 1024  # validation patches scored at once
_input_words = {
    1: "gray in [0, 1]",
    3: "gray in [0, 1] copied to three channels, less ImageNet's mean, divided by its standard deviation",
}


def _validation_odds(
    network: nn.Module, validation: Examples, settings: TrainClassifierSettings, device: torch.device
) -> NDArray[np.float64]:
    chunks = np.array_split(np.arange(len(validation)), -(-len(validation) // _CHUNK))
    return np.concatenate(
        [log_odds(network, validation.images(chunk), channels(settings.network), device) for chunk in chunks]
    )


def _watch(
    network: nn.Module, validation: Examples, settings: TrainClassifierSettings, device: torch.device
) -> dict[str, float]:
    """Return loss and AUC on validation, as far as its patches allow: no patch no loss, one class no AUC."""
    if not len(validation):
        return {}
    odds = _validation_odds(network, validation, settings, device)
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
    odds = _validation_odds(network, validation, settings, device)
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
