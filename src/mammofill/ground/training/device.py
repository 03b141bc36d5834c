"""Where networks run."""

from __future__ import annotations

import torch

from mammofill.ground.errors import DeviceError

AUTO = "auto"
"""The name under which the user leaves the choice to us: the first CUDA device where there is one, else the CPU."""


def chosen_device(name: str) -> str:
    """Return what a stage is to run on: what `auto` stands for here, any other name as it is."""
    if name != AUTO:
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def find_device(name: str) -> torch.device:
    """Return a device by name: ``cpu``, ``cuda`` or ``cuda:<number>``.

    Raises:
        DeviceError: it is not there. It is never replaced by another one behind the user's back.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"There is no device called {name!r}. Use auto, cpu, cuda or cuda:<number>.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise DeviceError(f"Device {name!r} was asked for, but {found} CUDA devices were found. Use cpu, or auto.")
    return device
