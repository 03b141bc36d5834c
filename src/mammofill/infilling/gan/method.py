"""The method `gan`: a generator, trained against a discriminator, paints. The training itself is in `training_loop`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mammofill.ground.artifact import Artifact, plain
from mammofill.ground.counting import counted
from mammofill.ground.errors import DamagedError, SettingsError, TooFewError
from mammofill.ground.training.checkpoint import WEIGHTS_NAME, load_weights
from mammofill.ground.training.device import find_device
from mammofill.ground.training.tensorboard import check_tensorboard
from mammofill.infilling.gan.features import build_features, find_weights
from mammofill.infilling.gan.generator import Generator
from mammofill.infilling.gan.painter import GeneratorPainter
from mammofill.infilling.gan.settings import GanSettings, GeneratorSettings
from mammofill.infilling.gan.training_loop import GanData, run_training
from mammofill.infilling.lesions import Lesions, read_lesions
from mammofill.infilling.methods import TrainingJob, TrainingResult
from mammofill.infilling.previews import choose_previews
from mammofill.infilling.settings import CLASSES, InfillerSettings
from mammofill.pairing.hole import holes_of
from mammofill.patches import PatchSet


def check(patches: PatchSet, rows: NDArray[np.int64], settings: InfillerSettings) -> Mapping[str, Artifact | Path]:
    """Refuse patches that networks of these settings cannot learn from; see `Method`.

    Raises:
        TooFewError: fewer lesion patches than a batch.
        SettingsError: networks that do not fit the patches' size, or TensorBoard is wanted and not installed.
        WeightsError: the weights of the perceptual features are missing.
    """
    assert isinstance(settings, GanSettings)
    check_tensorboard(settings.tensorboard)
    if len(rows) < settings.schedule.batch:
        raise TooFewError(
            f"{patches.folder} has {counted(len(rows), 'lesion patches')} in the train split, fewer than a batch of "
            f"{settings.schedule.batch}. Add patches, or lower schedule.batch."
        )
    if patches.size_px < 16:
        raise SettingsError(
            f"An infiller needs patches of 16 px or more, but {patches.folder} has {patches.size_px} px."
        )
    settings.generator.widths_for(patches.size_px)
    settings.check_size(patches.size_px)
    weights = find_weights(settings.perceptual)
    return {} if weights is None else {"perceptual weights": weights}


def train(job: TrainingJob) -> TrainingResult:
    """Train the networks; see `Method`."""
    patches, rows, settings = job.windows, job.rows, job.settings
    assert isinstance(settings, GanSettings)
    features, record = build_features(settings.perceptual)
    measured = rows[:0] if settings.validation.measure == "none" else _validation_rows(patches)
    validated = _lesions(patches, measured, settings) if len(measured) else None
    seen = run_training(
        GanData(job.folder, _lesions(patches, rows, settings), validated, features, settings, job.seed),
        choose_previews(job),
        job.device,
        job.progress,
    )
    network = {
        "generator": plain(replace(settings.generator, widths=settings.generator.widths_for(patches.size_px))),
        "discriminator": plain(settings.discriminator),
        "perceptual": asdict(record),
    }
    chosen_on = measured if settings.validation.chooses else rows[:0]
    return TrainingResult(network, rows, {"images_seen": seen}, chosen_on)


def open_painter(folder: Path, network: Mapping[str, Any], device: str) -> GeneratorPainter:
    """Build the generator and load its weights; see `Method`.

    Raises:
        DamagedError: `network.json` describes no generator that this version can build.
        WeightsError: the weights are missing, or another network's.
        DeviceError: the device is not there.
    """
    place = find_device(device)
    try:
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in network["generator"].items()
        }
        generator = Generator(network["size_px"], GeneratorSettings(**values), tuple(network["conditions"]))
    except (KeyError, TypeError, AttributeError, SettingsError) as error:
        raise DamagedError(
            f"{folder / 'network.json'} describes no generator that can be built ({error}). Train the infiller again, "
            "or use the version of mammofill that made it."
        ) from error
    load_weights(folder / WEIGHTS_NAME, generator)
    # On a CPU convolutions of one picture are faster with the channels of a pixel beside each other.
    form = torch.channels_last if place.type == "cpu" else torch.contiguous_format
    generator.to(place, memory_format=form)  # type: ignore[call-overload]
    return GeneratorPainter(generator.eval().requires_grad_(False))


def _lesions(patches: PatchSet, rows: NDArray[np.int64], settings: GanSettings) -> Lesions:
    """Decode lesion patches; the networks see the hole in the place of the mask."""
    lesions = read_lesions(patches, rows, settings.conditions)
    return replace(lesions, masks=holes_of(lesions.masks, settings.hole))


def _validation_rows(patches: PatchSet) -> NDArray[np.int64]:
    rows = patches.rows(split="validation", origin="real", pathology=CLASSES)
    if not len(rows):
        raise TooFewError(
            f"{patches.folder} has no lesion patch in the validation split, so fills cannot be measured while "
            "training. Ingest with a validation split, or set validation.measure to none."
        )
    return rows
