"""The method `gan`: a generator, trained against a discriminator, paints. The training itself is in `loop`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mammofill.ground.artifact import Artifact, plain
from mammofill.ground.errors import DamagedError, SettingsError, TooFewError
from mammofill.ground.training import WEIGHTS_NAME, find_device, load_weights
from mammofill.infilling.batches import Lesions
from mammofill.infilling.conditions import words_in
from mammofill.infilling.features import build_features, find_weights
from mammofill.infilling.generator import Generator
from mammofill.infilling.generator_painter import GeneratorPainter
from mammofill.infilling.loop import run_training
from mammofill.infilling.paint import Learned, Lesson
from mammofill.infilling.previews import choose_previews
from mammofill.infilling.settings import CLASSES, GeneratorSettings, TrainInfillerSettings
from mammofill.patches import PatchSet


def check(patches: PatchSet, rows: NDArray[np.int64], settings: TrainInfillerSettings) -> Mapping[str, Artifact | Path]:
    """Refuse patches that networks of these settings cannot learn from; see `Method`.

    Raises:
        TooFewError: fewer lesion patches than a batch.
        SettingsError: networks that do not fit the patches' size, or TensorBoard is wanted and not installed.
        WeightsError: the weights of the perceptual features are missing.
    """
    if settings.tensorboard is not None and find_spec("tensorboard") is None:
        raise SettingsError('The setting tensorboard needs its package: pip install "mammofill[tensorboard]".')
    if len(rows) < settings.schedule.batch:
        raise TooFewError(
            f"{patches.folder} has {len(rows)} lesion patches in the train split, fewer than a batch of "
            f"{settings.schedule.batch}. Add patches, or lower schedule.batch."
        )
    if patches.size_px < 16:
        raise SettingsError(
            f"An infiller needs patches of 16 px or more, but {patches.folder} has {patches.size_px} px."
        )
    settings.generator.widths_for(patches.size_px)
    settings.discriminator.check_size(patches.size_px)
    weights = find_weights(settings.perceptual)
    return {} if weights is None else {"perceptual weights": weights}


def learn(lesson: Lesson) -> Learned:
    """Train the networks; see `Method`."""
    patches, rows, settings = lesson.patches, lesson.rows, lesson.settings
    features, record = build_features(settings.perceptual)
    watched = None
    if settings.watch.measure != "none":
        watched = _lesions(patches, _watched_rows(patches), settings.conditions)
    seen = run_training(
        lesson.folder,
        _lesions(patches, rows, settings.conditions),
        watched,
        choose_previews(patches, rows, lesson.pairs, settings.previews, lesson.seed),
        features,
        settings,
        lesson.seed,
        lesson.device,
        lesson.progress,
    )
    network = {
        "generator": plain(replace(settings.generator, widths=settings.generator.widths_for(patches.size_px))),
        "discriminator": plain(settings.discriminator),
        "perceptual": asdict(record),
    }
    return Learned(network, rows, {"images_seen": seen})


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


def _lesions(patches: PatchSet, rows: NDArray[np.int64], conditions: tuple[str, ...]) -> Lesions:
    table = patches.table.iloc[rows]
    further = {fact: words_in(table, fact) for fact in conditions if fact != "pathology"}
    return Lesions(*patches.pixels(rows), tuple(table["pathology"]), further)


def _watched_rows(patches: PatchSet) -> NDArray[np.int64]:
    rows = patches.rows(split="validation", origin="real", pathology=CLASSES)
    if not len(rows):
        raise TooFewError(
            f"{patches.folder} has no lesion patch in the validation split, so fills cannot be watched. Ingest with a "
            "validation split, or set watch.measure to none."
        )
    return rows
