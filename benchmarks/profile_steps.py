"""Where the time of a training step and of the flow's sampler goes, in words, and which memory format suits a CPU.

    python benchmarks/profile_steps.py [--steps 8] [--work DIR] [--json FILE]

The flow (`flow-small`) and the GAN (`modern`) at the sizes of examples/phantom_infillers.toml: 64 px, batches of 8 and
16. Time is CPU time of one thread, so that other work on the machine counts little; batches are made in that thread
here, and beside it in a real training. Then the classifiers' training steps, channels last and not, in turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from mammofill.classifier import TrainClassifierSettings
from mammofill.classifier.start import Start
from mammofill.classifier.training_step import TrainingStep
from mammofill.ground.training.device import find_device
from mammofill.ground.training.distributed import training_processes
from mammofill.ground.training.settings import EngineSettings
from mammofill.infilling import preset
from mammofill.infilling.flow import training_loop as flow
from mammofill.infilling.flow.settings import FlowSettings
from mammofill.infilling.gan import networks as gan_networks
from mammofill.infilling.gan import training_loop as gan
from mammofill.infilling.gan.batches import batch_at
from mammofill.infilling.gan.features import build_features
from mammofill.infilling.gan.settings import GanSettings
from mammofill.infilling.lesions import Lesions
from mammofill.infilling.methods import FillCases
from mammofill.pairing.hole import holes_of

SIZE_PX, LESIONS = 64, 64
BATCH, STEP = "making the batch", "the step itself"
NAMED = {
    BATCH: BATCH,
    "Adam": "optimiser",
    "EMA": "EMA",
    "clip": "length of the gradient",
    "zero_grad": "optimiser",
}
"""Stretches of a step that are one thing, whatever is done in them: what their names hold, and what they are called."""
WORDS = (
    ("convolution, backward", ("convolution_backward",)),
    ("convolution, forward", ("conv", "mkldnn_reorder")),
    ("normalisation", ("group_norm", "batch_norm", "linalg_vector_norm", "_norm")),
    ("attention and linear layers", ("softmax", "bmm", "addmm", "matmul", "aten::mm")),
    ("copies between types and layouts", ("copy_", "clone", "contiguous", "to_copy", "aten::cat", "aten::stack")),
    ("resampling and padding", ("upsample", "interpolate", "pad", "grid_sample", "pool", "rot90", "flip", "roll")),
    ("making tensors", ("empty", "zeros", "fill_", "zero_", "ones")),
    ("sums and means", ("aten::sum", "mean", "aten::norm")),
)
"""What an operator counts as: the first whose word its name holds; the rest is element by element."""
console = Console(width=120)


# ---- what is profiled ---------------------------------------------------------------------------------------------


def make_lesions() -> Lesions:
    """Make tissue-like patches with ellipses for lesions, wholly inside."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIZE_PX, :SIZE_PX]
    images, masks = [], []
    for _ in range(LESIONS):
        tall, wide = random.uniform(6, 14, 2)
        row, column = random.uniform(20, SIZE_PX - 20, 2)
        masks.append(((rows - row) / tall) ** 2 + ((columns - column) / wide) ** 2 <= 1)
        tissue = cv2.GaussianBlur(random.standard_normal((SIZE_PX, SIZE_PX)).astype(np.float32), (0, 0), 3)
        images.append(np.clip(65535 * (0.4 + tissue + 0.1 * masks[-1]), 0, 65535).astype(np.uint16))
    words = tuple(("benign", "malignant")[number % 2] for number in range(LESIONS))
    return Lesions(np.stack(images), np.stack(masks), words)


def flow_settings() -> FlowSettings:
    settings = preset("flow-small")
    assert isinstance(settings, FlowSettings)
    return settings


def gan_settings() -> GanSettings:
    settings = preset("modern")
    assert isinstance(settings, GanSettings)
    return replace(
        settings,
        generator=replace(settings.generator, widths=(64, 64, 48, 32, 16)),
        discriminator=replace(settings.discriminator, widths=(16, 32, 64, 64)),
        schedule=replace(settings.schedule, pretrain_images=0, adversarial_images=79000, pretrain_epochs=None,
                         adversarial_epochs=None),
    )  # fmt: skip


@contextmanager
def flow_step(folder: Path, lesions: Lesions, device: str) -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """Yield how the flow makes a batch, and how it learns from one."""
    settings = flow_settings()
    with training_processes(device, 1, settings.engine.precision, flow_step) as fabric:
        training = flow.Training(fabric, flow.FlowData(folder, lesions, None, settings, 0))

        def batch() -> Any:
            return training.windows.batch_at(training.images_seen).to(fabric.device, training.form)

        yield batch, training.step


@contextmanager
def gan_step(folder: Path, lesions: Lesions, device: str) -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """Yield how the GAN makes a batch, and how it learns from one: discriminator and generator in turn."""
    settings = gan_settings()
    with training_processes(device, 1, "float32", gan_step) as fabric:
        features = build_features(settings.perceptual)[0]
        training = gan.Training(fabric, gan.GanData(folder, lesions, None, features, settings, 0))

        def batch() -> Any:
            return batch_at(lesions, training.images_seen, settings, 0).to(fabric.device)

        yield batch, training.step


def fill_cases(lesions: Lesions) -> FillCases:
    """Return a batch of fills."""
    some = slice(8)
    masks = lesions.masks[some]
    asked = {"pathology": list(lesions.pathologies[some])}
    return FillCases(lesions.images[some], masks, holes_of(masks, flow_settings().hole), asked, list(range(8)))


# ---- profiling ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shares:
    """Where the time of one piece of work goes."""

    milliseconds: float
    """Of a step, or of a batch of fills, without the profiler."""
    operators: float
    """Called in it."""
    shares: dict[str, float]
    """Of the profiled time, by words; they add up to 1."""


def labelled(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    def labelled_work(*arguments: Any, **more: Any) -> Any:
        with record_function(name):
            return work(*arguments, **more)

    return labelled_work


def profile_step(batch: Callable[[], Any], step: Callable[[Any], Any], steps: int) -> Shares:
    """Profile some steps, each with the making of its batch."""

    def once() -> None:
        with record_function(BATCH):
            made = batch()
        with record_function(STEP):
            step(made)

    with (
        patch.object(flow, "update_ema", labelled("EMA", flow.update_ema)),
        patch.object(gan_networks, "update_ema", labelled("EMA", gan_networks.update_ema)),
        patch.object(torch.nn.utils, "clip_grad_norm_", labelled("clip", torch.nn.utils.clip_grad_norm_)),
    ):
        return profiled(once, steps)


def profiled(work: Callable[[], Any], steps: int) -> Shares:
    for _ in range(4):  # windows are prepared when first seen, and libraries choose their kernels
        work()
    seconds = []
    for _ in range(steps):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(steps):
            work()
    spent: dict[str, float] = {}
    events = [one for one in found.events() if one.self_cpu_time_total > 0]
    for event in events:
        words = words_of(event)
        spent[words] = spent.get(words, 0.0) + event.self_cpu_time_total
    total = sum(spent.values())
    order = sorted(spent, key=lambda name: -spent[name])
    operators = sum(one.name.startswith("aten::") for one in events) / steps
    return Shares(1000 * statistics.median(seconds), operators, {name: spent[name] / total for name in order})


def words_of(event: FunctionEvent) -> str:
    """Return what an event counts as: the stretch it lies in, or its operator's words."""
    above: FunctionEvent | None = event
    while above is not None:
        for name, words in NAMED.items():
            if name in above.name:
                return words
        above = above.cpu_parent
    if not event.name.startswith("aten::"):
        return "Python, autograd and the profiler itself"
    for words, parts in WORDS:
        if any(part in event.name for part in parts):
            return words
    return "element by element"


# ---- memory formats -----------------------------------------------------------------------------------------------


def formats(network: str, input_px: int, batch: int, turns: int, device: str) -> dict[str, float]:
    """Return a classifier's training rate, in images per second of CPU, channels first and last, in turns."""
    sides: dict[str, tuple[TrainingStep, list[float]]] = {}
    settings = TrainClassifierSettings(network=network, weights="none", input_px=input_px, batch=batch)
    images = np.random.default_rng(0).integers(0, 65536, (batch, input_px, input_px), np.uint16)
    targets = torch.arange(batch) % 2
    with training_processes(device, 1, "float32", formats) as fabric:
        for name, last in (("first", False), ("last", True)):
            chosen = replace(settings, engine=EngineSettings(channels_last=last))
            sides[name] = (TrainingStep(fabric, Start("random start", None, {}), chosen, 0), [])
        for turn in range(turns + 1):
            for step, seconds in sides.values():
                began = time.process_time()
                float(step.step(images, targets, turn * batch, 10**9, 10**9))
                if turn:  # the first one warms up
                    seconds.append(time.process_time() - began)
    return {name: batch / statistics.median(seconds) for name, (_, seconds) in sides.items()}


# ---- the tables ---------------------------------------------------------------------------------------------------


def print_shares(found: dict[str, Shares]) -> None:
    table = Table("where", *found, title=f"share of one thread's time; {torch.get_num_threads()} threads")
    table.add_row("milliseconds", *(f"{one.milliseconds:.1f}" for one in found.values()))
    table.add_row("operators", *(f"{one.operators:,.0f}" for one in found.values()))
    every: Sequence[str] = list(dict.fromkeys(name for one in found.values() for name in one.shares))
    for name in every:
        table.add_row(name, *(f"{100 * one.shares.get(name, 0.0):.1f} %" for one in found.values()))
    console.print(table)


NETWORKS = {
    "shallow-cnn": (64, 32),
    "squeezenet1_1": (64, 32),
    "resnet50": (64, 16),
    "convnext_tiny": (64, 16),
}
"""Side and batch with which the memory formats are compared."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=["steps", "formats"])
    options = parser.parse_args()
    find_device(options.device)
    figures: dict[str, Any] = {}
    if options.only != "formats":
        lesions, found = make_lesions(), {}
        with tempfile.TemporaryDirectory() as folder:
            for name, side in (("flow, a step", flow_step), ("GAN, a step", gan_step)):
                with side(Path(folder), lesions, options.device) as (batch, step):
                    # The GAN's steps go by twos: the discriminator's and the generator's.
                    found[name] = profile_step(batch, step, options.steps)
            with flow_step(Path(folder), lesions, options.device) as (batch, step):
                painter = step.__self__.painter()
                found["flow, 8 fills"] = profiled(lambda: list(painter.fills(fill_cases(lesions))), 2)
        print_shares(found)
        figures["profile"] = {name: vars(one) for name, one in found.items()}
    if options.only != "steps":
        table = Table("network", "side", "batch", "channels first, images/s", "last", "gain")
        for network, (side, batch) in NETWORKS.items():
            rates = formats(network, side, batch, options.steps, options.device)
            figures[f"formats.{network}"] = rates
            gain = rates["last"] / rates["first"]
            table.add_row(
                network, str(side), str(batch), f"{rates['first']:.1f}", f"{rates['last']:.1f}", f"{gain:.2f}"
            )
        console.print(table)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
