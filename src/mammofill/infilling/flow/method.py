"""The method `flow`: a conditional rectified flow paints. The training itself is in `training_loop`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from mammofill.ground.artifact import Artifact, plain
from mammofill.ground.counting import counted
from mammofill.ground.errors import DamagedError, SettingsError, TooFewError, WeightsError
from mammofill.ground.imaging import touches_border
from mammofill.ground.training.checkpoint import WEIGHTS_NAME, load_weights
from mammofill.ground.training.device import find_device
from mammofill.ground.training.distributed import has_bf16, precision_on
from mammofill.ground.training.tensorboard import check_tensorboard
from mammofill.infilling.conditions import count_planes, planes_of
from mammofill.infilling.flow.network import CONDITIONS_WEIGHT, VelocityNetwork
from mammofill.infilling.flow.painter import FlowPainter
from mammofill.infilling.flow.settings import FlowSettings, SamplingSettings, TargetSettings, VelocityNetworkSettings
from mammofill.infilling.flow.training_loop import FlowData, run_training
from mammofill.infilling.infiller import Infiller
from mammofill.infilling.lesions import read_lesions
from mammofill.infilling.methods import TrainingJob, TrainingResult
from mammofill.infilling.previews import choose_previews
from mammofill.infilling.settings import CLASSES, InfillerSettings
from mammofill.patches import PatchSet


def check(patches: PatchSet, rows: NDArray[np.int64], settings: InfillerSettings) -> Mapping[str, Artifact | Path]:
    """Refuse patches that a network of these settings cannot learn from; see `Method`.

    Raises:
        TooFewError: fewer lesion windows than a batch.
        SettingsError: a network that does not fit the patches' size, or TensorBoard is wanted and not installed.
    """
    assert isinstance(settings, FlowSettings)
    check_tensorboard(settings.tensorboard)
    if len(rows) < settings.schedule.batch:
        raise TooFewError(
            f"{patches.folder} has {counted(len(rows), 'lesion windows')} in the train split, fewer than a batch of "
            f"{settings.schedule.batch}. Add windows (a smaller stride), or lower schedule.batch."
        )
    settings.check_size(patches.size_px)
    return {}


def train(job: TrainingJob) -> TrainingResult:
    """Train the network; see `Method`.

    Raises:
        SettingsError: nothing is to be learned, and there is no start.
        TooFewError: fewer windows with their whole lesion than a batch, or none of a class; none in the validation
            split, which is to choose the weights or when to stop.
        WeightsError: the start has another network.
    """
    settings = job.settings
    assert isinstance(settings, FlowSettings)
    if settings.schedule.images == 0 and job.start is None:
        raise SettingsError("schedule.images is 0, which keeps the weights of another flow, but no start was given.")
    rows = _learned_from(job)
    cut_off = len(job.rows) - len(rows)
    job.progress.say(f"Windows with their whole lesion: {len(rows):,}; left out, since they cut it off: {cut_off:,}.")
    others = _validated_on(job.windows, settings)
    if not len(others):
        job.progress.say(
            "No window of the validation split holds its whole lesion: the flow's validation loss is not measured."
        )
    data = FlowData(
        job.folder,
        read_lesions(job.windows, rows, settings.conditions),
        read_lesions(job.windows, others, settings.conditions) if len(others) else None,
        settings,
        job.seed,
        None if job.start is None else _weights_of(job.start, settings),
    )
    seen = run_training(data, choose_previews(job), job.device, job.progress)
    parts = {name: plain(getattr(settings, name)) for name in ("network", "target", "sampling")}
    parts["precision"] = precision_on(job.device, settings.engine.precision)
    outline = "lent" if settings.sampling.shape == "outline" else "ellipse"
    counts = {"images_seen": seen, "windows_left_out": cut_off}
    chosen_on = others if settings.validation.chooses else others[:0]
    return TrainingResult({"flow": parts, "mask_is": outline}, rows, counts, chosen_on)


def open_painter(folder: Path, network: Mapping[str, Any], device: str) -> FlowPainter:
    """Build the network and load its weights; see `Method`.

    Raises:
        DamagedError: `network.json` describes no flow that this version can build.
        WeightsError: the weights are missing, or another network's.
        DeviceError: the device is not there.
    """
    place = find_device(device)
    try:
        parts = network["flow"]
        target = TargetSettings(**_tuples(parts["target"]))
        # Flows of earlier versions kept the parallel component of guidance.
        sampling = SamplingSettings(**({"parallel_guidance": 1.0} | _tuples(parts["sampling"])))
        settings = VelocityNetworkSettings(**_tuples(parts["network"]))
        built = VelocityNetwork(int(network["size_px"]), settings, tuple(network["conditions"]), target)
    except (KeyError, TypeError, AttributeError, SettingsError) as error:
        raise DamagedError(
            f"{folder / 'network.json'} describes no flow that can be built ({error}). Train the infiller again, or "
            "use the version of mammofill that made it."
        ) from error
    load_weights(folder / WEIGHTS_NAME, built)
    # On a CPU convolutions of one picture are faster with the channels of a pixel beside each other.
    form = torch.channels_last if place.type == "cpu" else torch.contiguous_format
    built.to(place, memory_format=form)  # type: ignore[call-overload]
    return FlowPainter(built.eval().requires_grad_(False), target, sampling, bf16=has_bf16(place))


def _learned_from(job: TrainingJob) -> NDArray[np.int64]:
    """Return the rows whose window holds the whole lesion: of others, a flow would learn to cut lesions off.

    Raises:
        TooFewError: fewer than a batch; or none of a class, which could then be requested, but was never learned.
    """
    kept, settings = _whole(job.windows, job.rows), job.settings
    assert isinstance(settings, FlowSettings)
    if len(kept) < settings.schedule.batch:
        raise TooFewError(
            f"{job.windows.folder} has {counted(len(kept), 'windows')} of the train split with their whole "
            f"lesion, fewer than a batch of {settings.schedule.batch}. Use larger windows or a smaller stride."
        )
    pathologies = job.windows.table["pathology"]
    for lost in sorted(set(pathologies.iloc[job.rows]) - set(pathologies.iloc[kept])):
        raise TooFewError(
            f"No window of {job.windows.folder}, in the train split, holds a whole {lost} lesion, so the flow cannot "
            "learn how such lesions look. Use larger windows or a smaller stride."
        )
    return kept


def _validated_on(windows: PatchSet, settings: FlowSettings) -> NDArray[np.int64]:
    """Return the rows of the validation split on which the loss is measured; there may be none.

    Raises:
        TooFewError: there are none, but they are to choose the weights or when to stop.
    """
    whole = _whole(windows, windows.rows(split="validation", origin="real", pathology=CLASSES))
    if settings.validation.chooses and not len(whole):
        raise TooFewError(
            f"{windows.folder} has no window in the validation split that holds its whole lesion, but validation.keep "
            "is best or validation.patience is set. Ingest with a validation split, use larger windows, or leave both "
            "out."
        )
    return _spread(whole, settings)


def _whole(windows: PatchSet, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return those rows whose window does not cut its lesion off."""
    parts = (rows[start : start + 1024] for start in range(0, len(rows), 1024))
    whole = [not touches_border(mask) for part in parts for mask in windows.masks(part)]
    return rows[np.array(whole, np.bool_)]


def _spread(rows: NDArray[np.int64], settings: FlowSettings) -> NDArray[np.int64]:
    """Choose the rows to validate on, evenly spaced, since neighbouring rows are windows of one lesion."""
    count = min(settings.validation.windows, len(rows))
    chosen: NDArray[np.int64] = rows[np.linspace(0, len(rows) - 1, count).round().astype(np.int64)]
    return chosen


def _weights_of(start: Infiller, settings: FlowSettings) -> Mapping[str, torch.Tensor]:
    built = start.network["flow"]["network"]
    wanted = plain(settings.network)
    if _tuples(built) != _tuples(wanted):
        raise WeightsError(
            f"The infiller in {start.folder}, from which to start, has the network {built}, but the "
            f"settings require {wanted}. Start from an infiller with the same network."
        )
    weights = load_file(start.folder / WEIGHTS_NAME)
    known = weights[CONDITIONS_WEIGHT]
    # Conditions that the start lacks begin with weights of 0, so that the network at first equals the start's.
    columns = torch.zeros(len(known), count_planes(settings.conditions))
    for fact in start.conditions:
        columns[:, planes_of(settings.conditions, fact)] = known[:, planes_of(start.conditions, fact)]
    return weights | {CONDITIONS_WEIGHT: columns}


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
