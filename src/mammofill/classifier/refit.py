"""A classifier's recipe repeated on other patches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mammofill.classifier.batches import images_wanted, training_batch
from mammofill.classifier.classifier import Classifier
from mammofill.classifier.examples import at_input_size
from mammofill.classifier.networks import colours_of, input_px_of
from mammofill.classifier.scoring import log_odds
from mammofill.classifier.settings import AugmentationSettings, TrainClassifierSettings
from mammofill.classifier.start import Start, find_weights, read_start
from mammofill.classifier.training_step import LOSS, TrainingStep
from mammofill.ground.errors import SettingsError
from mammofill.ground.training.distributed import training_processes
from mammofill.ground.training.history import UnseenLosses
from mammofill.ground.training.settings import EngineSettings


class _Kept:
    """Lesion patches in memory; see `examples.LesionImages`."""

    def __init__(self, images: NDArray[np.uint16], malignant: NDArray[np.bool_]) -> None:
        self.pixels, self.malignant = images, malignant
        self.synthetic = np.zeros(len(images), np.bool_)  # whatever they are, they are all that is learned from

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, positions: NDArray[np.int64]) -> NDArray[np.uint16]:
        return self.pixels[positions]


def recipe_of(classifier: Classifier, images: int) -> TrainClassifierSettings:
    """Return how a classifier was trained, with nothing that is chosen on validation patches, over so many images.

    Raises:
        SettingsError: another version recorded other settings, or it started from an infiller's discriminator.
    """
    recorded, execution = dict(classifier.manifest.settings), classifier.manifest.execution
    try:
        recorded |= {
            "augmentation": AugmentationSettings(**recorded["augmentation"]),
            "engine": EngineSettings(**recorded["engine"]),
            "betas": tuple(recorded["betas"]),
            "weights_file": execution.get("weights_file"),
        }
        settings = TrainClassifierSettings(**recorded)
    except (KeyError, TypeError, SettingsError) as error:
        raise SettingsError(
            f"{classifier.folder} records no recipe that this version of mammofill can repeat ({error}). Train the "
            "classifier again."
        ) from error
    if settings.weights == "infiller":
        raise SettingsError(f"{classifier.folder} started from an infiller's discriminator, which is not given here.")
    # No validation patches, no second process, no more patches than are given.
    return replace(
        settings.without_fills,
        images=images,
        keep="last",
        patience=None,
        threshold_rule="half",
        repeats=0.0,
        engine=EngineSettings(),
    )


def read_start_of(settings: TrainClassifierSettings) -> Start:
    """Read what a recipe starts from.

    Raises:
        WeightsError: the file of weights is not where it was, or cannot be downloaded.
    """
    return read_start(settings, find_weights(settings))


def scores_after_training(
    settings: TrainClassifierSettings,
    start: Start,
    learned: tuple[NDArray[np.uint16], NDArray[np.bool_]],
    tested: NDArray[np.uint16],
    seed: int,
    device: str,
) -> NDArray[np.float64]:
    """Train on some patches and score others.

    Args:
        settings: from `recipe_of`.
        start: from `read_start_of`.
        learned: (N, H, W) uint16 and (N,) whether malignant, both classes among them.
        tested: (M, H, W) uint16.
        seed: of the training.
        device: where the network runs.

    Returns:
        (M,) float64 log-odds of malignancy.
    """
    input_px = input_px_of(settings)
    train = _Kept(at_input_size(learned[0], input_px), learned[1])
    wanted = images_wanted(settings, len(train))
    with training_processes(device, 1, settings.engine.precision, scores_after_training) as fabric:
        training, losses = TrainingStep(fabric, start, settings, seed), UnseenLosses()
        for images_seen in range(0, wanted, settings.batch):
            images, targets = training_batch(train, images_seen, settings, seed)
            losses.add(images_seen, [LOSS], training.step(images, targets, images_seen, wanted, len(train)))
            if losses.due:
                losses.look()
        losses.look()
        return log_odds(
            training.kept,
            at_input_size(tested, input_px),
            colours_of(settings.network, settings.input_mean, settings.input_sd),
            fabric.device,
            flips=settings.test_time_flips,
            turns=settings.test_time_turns,
            standardise=settings.standardise,
        )
