"""One process or several that train together, each on its own device, on Lightning Fabric.

The process that was started is the first of the crew and does all the talking and writing; the others run the same loop
on their share of each batch. What they share is said in the open, in the loop: `Fabric.all_reduce` of the gradients.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import multiprocessing

from mammofill.ground.errors import DeviceError
from mammofill.ground.training import find_device

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Precision = Literal["float32", "tf32", "bf16"]


@contextmanager
def crew(
    device: str, processes: int, precision: Precision, colleague: Callable[..., object], *arguments: Any
) -> Iterator[Fabric]:
    """Gather the processes of a training run.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:<number>``; with several processes on ``cuda``, GPUs 0, 1, ...
        processes: how many.
        precision: see `check_precision`.
        colleague: a function of a module, called as ``colleague(fabric, *arguments)`` in each other process.
        arguments: what it is given; they travel by pickle between our own processes.

    Yields:
        The Fabric of this process, whose rank is 0.

    Raises:
        DeviceError: the device, enough of them, or the precision on it is not there.
    """
    check_crew(device, processes, precision)
    if processes == 1:
        yield _fabric(device, 1, precision)
        return
    port = _free_port()
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(
            target=_serve, args=(rank, device, processes, precision, port, colleague, arguments), daemon=True
        )
        for rank in range(1, processes)
    ]
    threads = torch.get_num_threads()
    for other in others:
        other.start()
    try:
        os.environ.update(_environment(0, processes, port))
        torch.set_num_threads(_threads_each(device, processes))
        yield _fabric(device, processes, precision)
        for other in others:
            other.join()
    finally:
        for other in others:
            other.terminate()
        for name in _environment(0, processes, port):
            os.environ.pop(name, None)
        torch.set_num_threads(threads)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def check_crew(device: str, processes: int, precision: Precision) -> None:
    """Refuse what this machine does not have, before anything is begun.

    Raises:
        DeviceError: naming what was asked for and what was found.
    """
    place = find_device(device)
    if processes > 1 and place.type == "cuda":
        found = torch.cuda.device_count()
        numbered = place.index is not None
        if numbered or processes > found:
            raise DeviceError(
                f"{processes} processes on {device!r} need {processes} GPUs, together named cuda, but {found} were "
                "found. Lower engine.processes."
            )
    if precision == "tf32" and place.type != "cuda":
        raise DeviceError(f"Precision tf32 is a matter of CUDA devices, but the device is {device!r}. Use float32.")
    if precision == "bf16" and not _has_bf16(place):
        raise DeviceError(
            f"Precision bf16 was asked for, but {device!r} has no instructions for it, so that it would be many times "
            "slower than float32. Use float32."
        )


def _has_bf16(place: torch.device) -> bool:
    if place.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _serve(
    rank: int,
    device: str,
    processes: int,
    precision: Precision,
    port: int,
    colleague: Callable[..., object],
    arguments: tuple[Any, ...],
) -> None:
    os.environ.update(_environment(rank, processes, port))
    torch.set_num_threads(_threads_each(device, processes))
    colleague(_fabric(device, processes, precision), *arguments)


def _fabric(device: str, processes: int, precision: Precision) -> Fabric:
    from lightning_fabric import Fabric  # takes seconds
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    place = find_device(device)
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    number = 0 if place.index is None else place.index
    devices: Any = [number] if place.type == "cuda" and processes == 1 else processes
    several: dict[str, Any] = {"strategy": "ddp", "plugins": [TorchElasticEnvironment()]} if processes > 1 else {}
    fabric = Fabric(
        accelerator=place.type,
        devices=devices,
        precision="bf16-mixed" if precision == "bf16" else "32-true",
        **several,
    )
    fabric.launch()
    return fabric


def _environment(rank: int, processes: int, port: int) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "mammofill",
    }


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _threads_each(device: str, processes: int) -> int:
    return max(1, torch.get_num_threads() // processes) if device == "cpu" else torch.get_num_threads()
