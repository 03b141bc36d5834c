"""The device on which networks run, and repeatable results on GPUs as far as torch allows."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from mammofill.ground.errors import DeviceError

AUTO = "auto"
"""The name that leaves the choice to mammofill: the first CUDA device where there is one, else the CPU."""


def chosen_device(name: str) -> str:
    """Return the device that a stage runs on: for `auto` the one chosen here, any other name as it is."""
    if name != AUTO:
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def find_device(name: str) -> torch.device:
    """Return a device by name: ``cpu``, ``cuda``, ``cuda:<number>``, or ``mps`` where it has all that networks do here.

    Raises:
        DeviceError: it is not there, or lacks operators. It is never silently replaced by another one.
    """
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (":" in name and not (kind == "cuda" and number.isdecimal())):
        raise DeviceError(f"There is no device called {name!r}. Use auto, cpu, cuda, cuda:<number> or mps.")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise DeviceError(f"Device {name!r} was requested, but {found} CUDA devices were found. Use cpu, or auto.")
    if device.type == "mps":
        _check_mps(device)
    return device


def sent(tensor: Tensor, device: torch.device, form: torch.memory_format = torch.preserve_format) -> Tensor:
    """Return what is on the CPU on a device; to a GPU it is copied while the host goes on.

    That takes pinned memory: out of any other memory the host copies piece by piece, and waits. Source: docs of torch,
    "Pinned memory".

    Args:
        tensor: on the CPU.
        device: where it is wanted.
        form: memory format that it has there.
    """
    if device.type != "cuda":
        return tensor.to(device, memory_format=form)
    return tensor.pin_memory().to(device, non_blocking=True, memory_format=form)


def device_of_step(device: str, number: int) -> str:
    """Return where a step that runs beside others does so: where only ``cuda`` was named, GPUs are taken in turn.

    Args:
        device: as the user named it.
        number: of the step among those beside it, from 0.
    """
    found = torch.cuda.device_count() if device == "cuda" else 0
    return f"cuda:{number % found}" if found > 1 else device


@contextmanager
def repeatable(device: str, *, rounded: bool = False) -> Iterator[None]:
    """Make results on a GPU repeatable, as far as torch allows.

    On a CPU they are anyway. On a GPU some operators add up in the order in which their threads arrive, and have no
    other way (the gradients of `grid_sample` and of adaptive pooling, for two): so the same bits are promised on CPUs
    alone, and a manifest says which it was made on. Source: docs of `torch.use_deterministic_algorithms`.

    Args:
        device: where.
        rounded: whether products may be rounded to tf32.
    """
    if device == "cpu":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA is first used
    before = (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())
    try:
        torch.use_deterministic_algorithms(True, warn_only=True)
        with (
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=rounded),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _check_mps(device: torch.device) -> None:
    if not torch.backends.mps.is_available():
        raise DeviceError("Device 'mps' was requested, but torch finds no GPU of Apple's here. Use --device cpu.")
    lacking = lacking_operators(device)
    if lacking:
        raise DeviceError(
            f"Device 'mps' was requested, but with this version of torch it cannot do all that networks do here: "
            f"{', '.join(lacking)}. Use --device cpu."
        )


@cache
def lacking_operators(device: torch.device) -> tuple[str, ...]:
    """Return what our networks do, forward or backward, and a device does not; by trying each once on a few numbers."""
    return tuple(name for name, operator in _OPERATORS.items() if not _does(operator, device))


def _does(operator: Callable[[Tensor], Tensor], device: torch.device) -> bool:
    try:
        images = torch.linspace(0, 1, 2 * 4 * 12 * 12, device=device).view(2, 4, 12, 12).requires_grad_()
        operator(images).sum().backward()  # type: ignore[no-untyped-call]
        return images.grad is not None and bool(torch.isfinite(images.grad).all().cpu())
    except (NotImplementedError, RuntimeError, TypeError):
        return False


def _turned(images: Tensor) -> Tensor:
    turn = torch.eye(2, 3, device=images.device).expand(len(images), 2, 3)
    grid = F.affine_grid(turn, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _with_slope(images: Tensor) -> Tensor:
    total = F.conv2d(images, images.new_ones(2, 4, 3, 3)).square().sum()
    return torch.autograd.grad(total, images, create_graph=True)[0].square()


_OPERATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "convolution": lambda images: F.conv2d(images, images.new_ones(2, 4, 3, 3), padding=1),
    "gradient of a gradient": _with_slope,
    "group norm": lambda images: F.group_norm(images, 2).square(),
    "batch norm": lambda images: F.batch_norm(images, None, None, training=True).square(),
    "adaptive pooling to sizes that do not divide": lambda images: F.adaptive_avg_pool2d(images, 5),
    "padding by reflection": lambda images: F.pad(images, (2, 2, 2, 2), mode="reflect"),
    "bilinear interpolation": lambda images: F.interpolate(images, scale_factor=2, mode="bilinear"),
    "grid_sample with reflection": _turned,
    "softmax of products": lambda images: (images @ images.transpose(-1, -2)).softmax(-1),
    "cross-entropy": lambda images: F.cross_entropy(images.mean((2, 3)), images.new_tensor([0, 1]).long()),
}
