"""One process or several that train together, each on its own device, on Lightning Fabric.

The process that was started has rank 0 and does all printing and writing; the others run the same loop on their share
of each batch. What they exchange is visible in the loop: `Fabric.all_reduce` of the gradients.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, multiprocessing, nn

from mammofill.ground.errors import DeviceError, TrainingError
from mammofill.ground.processes import RUN_AGAIN, end_with_parent
from mammofill.ground.training.device import find_device, repeatable
from mammofill.ground.training.memory import freed_memory_kept

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Precision = Literal["float32", "tf32", "bf16", "auto"]


@contextmanager
def training_processes(
    device: str, processes: int, precision: Precision, worker: Callable[..., object], *arguments: Any
) -> Iterator[Fabric]:
    """Start the processes of a training run.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:<number>`` or ``mps``; with several processes on ``cuda``, GPUs 0, 1, ...
        processes: how many.
        precision: see `check_precision`.
        worker: a function of a module, called as ``worker(fabric, *arguments)`` in each other process.
        arguments: what it is given; they travel by pickle between our own processes.

    Yields:
        The Fabric of this process, whose rank is 0.

    Raises:
        DeviceError: the device, enough of them, or the precision on it is not there.
        TrainingError: another process ended before it could begin.
    """
    check_processes(device, processes, precision)
    if processes == 1:
        with _ways(device, precision):
            yield _fabric(device, 1, precision)
        return
    port = _free_port()
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(1, processes)]
    others = [
        context.Process(target=_serve, args=(rank, device, processes, precision, port, theirs), daemon=True)
        for rank, (_, theirs) in enumerate(pipes, start=1)
    ]
    threads = torch.get_num_threads()
    for other, (_, theirs) in zip(others, pipes, strict=True):
        other.start()
        theirs.close()
    try:
        for other, (ours, _) in zip(others, pipes, strict=True):
            _hand_over(other, ours, (worker, arguments))
        os.environ.update(_environment(0, processes, port))
        torch.set_num_threads(_threads_each(device, processes))
        with _ways(device, precision):
            yield _fabric(device, processes, precision)
        for other in others:
            other.join()
    finally:
        for other in others:
            other.kill()
        for name in _environment(0, processes, port):
            os.environ.pop(name, None)
        torch.set_num_threads(threads)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _hand_over(other: Any, connection: Connection[Any, Any], work: tuple[Callable[..., object], Any]) -> None:
    """Give another process its work once it is ready to join: torch would wait half an hour for a dead one.

    The work is not passed at the start, since starting a process blocks until it has taken all its arguments.
    """
    try:
        connection.recv()
        connection.send(work)
    except (EOFError, OSError):
        other.join()
        raise TrainingError(
            f"A process that was to train with this one (engine.processes) ended with code {other.exitcode} before it "
            f"could begin; its own message stands above. {RUN_AGAIN}"
        ) from None


@contextmanager
def _ways(device: str, precision: Precision) -> Iterator[None]:
    """Set up the machine as every training needs it."""
    with freed_memory_kept(device), repeatable(device, rounded=precision == "tf32"):
        yield


def mean_over_processes(fabric: Fabric, parameters: Sequence[nn.Parameter], losses: Tensor) -> Tensor:
    """Bring gradients and losses to their mean over all processes, in one exchange.

    Args:
        fabric: this process.
        parameters: those whose gradients are wanted; the same in every process.
        losses: (K,) of this process's share of the batch.

    Returns:
        (K,) losses of the whole batch, on the device: reading them waits for it.
    """
    if fabric.world_size == 1:
        return losses
    moved = [one for one in parameters if one.grad is not None]
    gathered = torch.cat([losses, *(one.grad.flatten() for one in moved if one.grad is not None)])
    averaged = torch.as_tensor(fabric.all_reduce(gathered, reduce_op="mean"))
    means, *gradients = torch.split(averaged, [len(losses), *(one.numel() for one in moved)])
    for one, gradient in zip(moved, gradients, strict=True):
        one.grad = gradient.view_as(one)
    return means


def share_normalisation(network: nn.Module) -> None:
    """Make every batch normalisation of a network use the whole batch, and not one process's share of it.

    torch's own SyncBatchNorm does so on CUDA only. Of timm's normalisations some end in an activation.
    """
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            ends_in_activation = hasattr(layer, "drop") and hasattr(layer, "act")
            layer.__class__ = _SharedBatchNormAct if ends_in_activation else _SharedBatchNorm


class _SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over all processes. Source: Ioffe and Szegedy, ICML 2015, algorithm 1."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Take (N, C, H, W), this process's share of the batch, to the same shape."""
        if not self.training:
            return super().forward(inputs)
        with torch.autocast(inputs.device.type, enabled=False):
            values, places = inputs.float(), (0, 2, 3)
            mean = _mean_over_processes(values.mean(places))[:, None, None]
            variance = _mean_over_processes((values - mean).square().mean(places))
            self._remember(mean.detach().flatten(), variance.detach(), inputs.numel() // inputs.shape[1])
            scale = self.weight * (variance + self.eps).rsqrt()
            outputs = (values - mean) * scale[:, None, None] + self.bias[:, None, None]
        return outputs.to(inputs.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, places: int) -> None:
        count, share = places * torch.distributed.get_world_size(), self.momentum or 0.0
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * count / (count - 1), share)


class _SharedBatchNormAct(_SharedBatchNorm):
    """The same, and what timm's `BatchNormAct2d` does afterwards."""

    drop: nn.Module
    act: nn.Module

    def forward(self, inputs: Tensor) -> Tensor:
        """Take (N, C, H, W), this process's share of the batch, to the same shape."""
        outputs: Tensor = self.act(self.drop(super().forward(inputs)))
        return outputs


class _MeanOverProcesses(torch.autograd.Function):
    """The mean over processes; its gradient is the mean over processes, too, since all of them depend on each."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return _all_reduced(values)

    @staticmethod
    def backward(_: Any, gradients: Tensor) -> Tensor:
        return _all_reduced(gradients)


def _mean_over_processes(values: Tensor) -> Tensor:
    mean: Tensor = _MeanOverProcesses.apply(values)
    return mean


def _all_reduced(values: Tensor) -> Tensor:
    total = values.contiguous().clone()
    torch.distributed.all_reduce(total)
    return total / torch.distributed.get_world_size()


def check_processes(device: str, processes: int, precision: Precision) -> None:
    """Refuse what this machine does not have, before anything is begun.

    Raises:
        DeviceError: naming what was requested and what was found.
    """
    place = find_device(device)
    if processes > 1 and place.type == "mps":
        raise DeviceError(f"{processes} processes cannot share the one GPU of 'mps'. Set engine.processes to 1.")
    if processes > 1 and place.type == "cuda":
        found = torch.cuda.device_count()
        numbered = place.index is not None
        if numbered or processes > found:
            raise DeviceError(
                f"{processes} processes on {device!r} need {processes} GPUs, together named cuda, but {found} were "
                "found. Lower engine.processes."
            )
    if precision == "tf32" and place.type != "cuda":
        raise DeviceError(f"Precision tf32 exists only on CUDA devices, but the device is {device!r}. Use float32.")
    if precision == "bf16" and not has_bf16(place):
        raise DeviceError(
            f"Precision bf16 was requested, but {device!r} has no instructions for it, so that it would be many times "
            "slower than float32. Use float32."
        )


def precision_on(device: str, precision: Precision) -> Precision:
    """Return what ``auto`` comes to on a device, and any other precision as it is.

    Raises:
        DeviceError: the device is not there.
    """
    if precision != "auto":
        return precision
    return "bf16" if has_bf16(find_device(device)) else "float32"


def has_bf16(place: torch.device) -> bool:
    """Say whether a device has instructions for bf16."""
    if place.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if place.type == "mps":
        return False  # as Apple's GPUs differ in it, and it was not measured here
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _serve(
    rank: int,
    device: str,
    processes: int,
    precision: Precision,
    port: int,
    connection: Connection[Any, Any],
) -> None:
    # Signals to stop go to rank 0, which keeps a checkpoint and then ends this process.
    for asks in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asks, signal.SIG_IGN)
    end_with_parent()
    os.environ.update(_environment(rank, processes, port))
    torch.set_num_threads(_threads_each(device, processes))
    find_device(device)
    connection.send("ready")
    worker, arguments = connection.recv()
    with _ways(device, precision):
        worker(_fabric(device, processes, precision), *arguments)


def _fabric(device: str, processes: int, precision: Precision) -> Fabric:
    from lightning_fabric import Fabric  # takes seconds
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    place, precision = find_device(device), precision_on(device, precision)
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    number = 0 if place.index is None else place.index
    devices: Any = [number] if place.type == "cuda" and processes == 1 else processes
    # The training itself prints which precision is in use.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # The environment is given and not detected: on a machine of a Slurm cluster Fabric would require srun, which is not
    # used here, and within a Slurm job take the job's tasks for processes of this training.
    alone, together = {"plugins": [LightningEnvironment()]}, {"strategy": "ddp", "plugins": [TorchElasticEnvironment()]}
    fabric = Fabric(
        accelerator=place.type,
        devices=devices,
        precision="bf16-mixed" if precision == "bf16" else "32-true",
        **(together if processes > 1 else alone),
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
