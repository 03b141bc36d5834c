"""Checkpoints and weights.

A *checkpoint* is private, holds all that is needed to go on, and is one file that is replaced atomically; the finished
*artifact* is public and holds weights (tensors only, as safetensors) and facts. The training loops do not remove the
checkpoint: that happens when the artifact is finished (`artifact.Work.finish`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from mammofill.ground.artifact import CHECKPOINT_NAME, write_atomically
from mammofill.ground.errors import DamagedError, WeightsError
from mammofill.ground.file_names import why_no_file

WEIGHTS_NAME = "weights.safetensors"


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


@contextmanager
def checkpoint_fits(folder: Path) -> Iterator[None]:
    """Report an error while a checkpoint's state is loaded as a checkpoint of something else.

    Raises:
        DamagedError: it is of another network or of another version.
    """
    try:
        yield
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        if "memory" in str(error):  # torch's own errors of that kind are RuntimeErrors, too
            raise
        raise DamagedError(
            f"The checkpoint in {folder} is of another network or of another version of mammofill ({error}). "
            "Delete the folder to start anew, or go on with the version that began it."
        ) from error


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
        raise WeightsError(f"{path} {why_no_file(path)}. Weights are read from a local safetensors file.")
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
            f"{path} holds NaN or infinite values in {len(broken)} tensors, first {broken[0]!r}. "
            "Nothing can be computed with them: train the network again."
        )
    network.load_state_dict(tensors)
