"""Parts that the training loops share: device, checkpoint, history, turns of the clock in images seen.

There is no trainer class: each loop is written out where it is used. Two things have two names: a *checkpoint* is
private, holds all that is needed to go on, and is one file that is replaced atomically; the finished *artifact* is
public and holds weights (tensors only, as safetensors) and facts.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save
from torch import nn

from mammofill.ground.artifact import write_atomically
from mammofill.ground.errors import DamagedError, DeviceError, TrainingError, WeightsError
from mammofill.ground.seeding import derive_seed, stream

CHECKPOINT_NAME = "checkpoint.pt"
HISTORY_NAME = "history.csv"
WEIGHTS_NAME = "weights.safetensors"


def find_device(name: str) -> torch.device:
    """Return a device by name: ``cpu``, ``cuda`` or ``cuda:<number>``.

    Raises:
        DeviceError: it is not there. It is never replaced by another one behind the user's back.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"There is no device called {name!r}. Use cpu, cuda or cuda:<number>.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise DeviceError(f"Device {name!r} was asked for, but {found} CUDA devices were found. Use --device cpu.")
    return device


def torch_stream(seed: int, *names: str | int) -> torch.Generator:
    """Return a CPU generator for these names; the counterpart of `seeding.stream` for torch."""
    return torch.Generator().manual_seed(derive_seed(seed, *names))


@contextmanager
def seeded_layers(seed: int, *names: str | int) -> Iterator[None]:
    """Make the layers that are built inside the block start from weights that the seed and names decide.

    torch's layers draw their first weights from torch's global generator and offer no other way; here it is seeded,
    and put back as it was afterwards.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, *names))
        yield


def positions_at(images_seen: int, batch: int, count: int, seed: int, *names: str | int) -> np.ndarray[Any, Any]:
    """Return which of `count` items make the batch that begins after `images_seen` items were drawn.

    Every pass over the items is shuffled by itself, so the answer depends on nothing but the arguments: a run that is
    continued sees what an uninterrupted one sees.

    Returns:
        (batch,) int64 positions in 0..count-1.
    """
    wanted = np.arange(images_seen, images_seen + batch)
    positions = np.empty(batch, np.int64)
    for number in np.unique(wanted // count):
        order = stream(seed, *names, "pass", int(number)).permutation(count)
        inside = wanted // count == number
        positions[inside] = order[wanted[inside] % count]
    return positions


def draw_nearer(kept: nn.Module, trained: nn.Module, images: int, half_life: float) -> None:
    """Bring a running average of a network nearer to the one that is trained, after a step of so many images.

    Source: Karras et al., "Progressive growing of GANs", ICLR 2018, section A.1.

    Args:
        kept: the average; its weights, and what it has counted (the statistics of batch normalisation), are moved.
        trained: of the same kind.
        images: of the step.
        half_life: images after which a step counts half.
    """
    share = 1 - 0.5 ** (images / half_life)
    with torch.no_grad():
        for mean, one in zip(kept.state_dict().values(), trained.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(one, share)
            else:
                mean.copy_(one)


def save_checkpoint(folder: Path, state: Mapping[str, Any]) -> None:
    """Write everything that is needed to go on, replacing the one before in a single move.

    Args:
        folder: the partial artifact.
        state: state dictionaries, numbers and strings; tensors may be nested.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_atomically(folder / CHECKPOINT_NAME, buffer.getvalue())


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return what `save_checkpoint` wrote, on the CPU, or None if nothing was saved yet. Nothing is unpickled.

    Raises:
        DamagedError: the file cannot be read.
    """
    path = folder / CHECKPOINT_NAME
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds here
        raise DamagedError(f"{path} cannot be read ({error}). Delete {folder} to start anew.") from error
    return state


def remove_checkpoint(folder: Path) -> None:
    """Remove the checkpoint of a run that is done; an artifact holds none."""
    (folder / CHECKPOINT_NAME).unlink(missing_ok=True)


def save_weights(path: Path, network: nn.Module) -> None:
    """Write a network's weights and buffers as safetensors (tensors only), atomically and in contiguous form."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_atomically(path, save(tensors))


def load_weights(path: Path, network: nn.Module) -> None:
    """Load weights into a network that must have exactly these tensors.

    Raises:
        WeightsError: the file is missing, no safetensors file, belongs to another network, or holds NaN or infinity.
    """
    if not path.is_file():
        raise WeightsError(f"{path} does not exist. Weights are read from a local safetensors file.")
    try:
        tensors = load_file(path)
    except Exception as error:  # safetensors raises its own error, OSError and others
        raise WeightsError(f"{path} is not a safetensors file ({error}).") from error
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted != found:
        different = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        first = different[0]
        raise WeightsError(
            f"{path} belongs to another network than {type(network).__name__}: {len(different)} tensors differ, first "
            f"{first!r} (needed {wanted.get(first)}, found {found.get(first)}). Use the weights that were made "
            "together with the files beside them."
        )
    broken = sorted(name for name, tensor in tensors.items() if not torch.isfinite(tensor).all())
    if broken:
        raise WeightsError(
            f"{path} holds values that are no numbers (NaN or infinity) in {len(broken)} tensors, first {broken[0]!r}. "
            "Nothing can be computed with them: train the network again."
        )
    network.load_state_dict(tensors)


def check_finite(losses: Mapping[str, float], images_seen: int) -> None:
    """Stop a training run whose losses are not numbers any more.

    Raises:
        TrainingError: naming the loss and the place.
    """
    for name, loss in losses.items():
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss {name!r} became {loss} after {images_seen} images. The last checkpoint is kept. "
                "A smaller learning rate usually helps; check the patches for pixels outside [0, 1] as well."
            )


class History:
    """Rows of numbers over a training run, one line of CSV each; columns that a row does not have are empty.

    The rows belong to the checkpoint: `state` goes into it, so that a continued run holds each row once.
    """

    def __init__(self, rows: list[dict[str, float | int | str]] | None = None) -> None:
        self.rows = rows or []

    def add(self, images_seen: int, **values: float | int | str) -> None:
        """Add a row."""
        self.rows.append({"images_seen": images_seen, **values})

    def state(self) -> str:
        """Return all rows as JSON."""
        return json.dumps(self.rows)

    @classmethod
    def from_state(cls, state: str) -> History:
        """Return the history that `state` described."""
        return cls(json.loads(state))

    def write(self, folder: Path) -> None:
        """Write all rows to ``history.csv`` in a folder, in place of what was there."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        write_atomically(folder / HISTORY_NAME, pd.DataFrame(self.rows, columns=columns).to_csv(index=False))
