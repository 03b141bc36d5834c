"""Training of the paper's classifier: the real pipeline against the same step fed with a fixed tensor.

    python benchmarks/classifier.py [--work DIR] [--device cpu] [--turns 5] [--steps 2] [--json FILE]

ResNet-50, batches of 32 at 224x224 px, float32, Adam, the paper's augmentation. One side draws, varies and normalises
patches of a patch set as training does, the next batch while the network learns from this one; the other gets the same
random tensor each time. Both step the same network and optimiser in one process, in turns.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from infilling import make_patches
from rich.console import Console
from rich.table import Table

from mammofill.classifier import AugmentationSettings, TrainClassifierSettings
from mammofill.classifier.batches import training_batch
from mammofill.classifier.examples import Examples, lesion_table
from mammofill.classifier.start import Start
from mammofill.classifier.training_step import TrainingStep
from mammofill.ground.training.distributed import training_processes

SETTINGS = TrainClassifierSettings(weights="none", augmentation=AugmentationSettings(traditional=True))
LONG = 10**9
console = Console(width=120)


class Pipeline:
    """Batches as training makes them: each while the one before is learned from."""

    def __init__(self, examples: Examples, training: TrainingStep) -> None:
        self.examples, self.training, self.images_seen = examples, training, 0
        self.beside = ThreadPoolExecutor(1)

    def turn(self, steps: int) -> list[float]:
        """Take steps; return the seconds of each. The first batch is there before the clock runs."""
        upcoming = self._upcoming()
        upcoming.result()
        seconds = []
        for _ in range(steps):
            began = time.perf_counter()
            images, classes = upcoming.result()
            upcoming = self._upcoming()
            float(self.training.step(images, classes, self.images_seen, LONG, len(self.examples)))
            seconds.append(time.perf_counter() - began)
        upcoming.result()
        return seconds

    def _upcoming(self) -> Any:
        seen = self.images_seen
        self.images_seen += SETTINGS.batch
        return self.beside.submit(training_batch, self.examples, seen, SETTINGS, 0)


class FixedInput:
    """The same network and optimiser on the same tensor, in a plain loop."""

    def __init__(self, training: TrainingStep) -> None:
        self.network, self.optimiser, device = training.network, training.optimiser, training.fabric.device
        size = (SETTINGS.batch, 3, SETTINGS.input_px, SETTINGS.input_px)
        self.inputs, self.classes = torch.rand(size).to(device), (torch.arange(SETTINGS.batch) % 2).to(device)

    def turn(self, steps: int) -> list[float]:
        return [self._step() for _ in range(steps)]

    def _step(self) -> float:
        began = time.perf_counter()
        self.network.train()
        loss = F.cross_entropy(self.network(self.inputs), self.classes)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        loss.item()
        return time.perf_counter() - began


def measure(work: Path, device: str, turns: int, steps: int) -> dict[str, float]:
    patches = make_patches(work / "patches", 256, 0)
    examples = Examples([patches], lesion_table([patches]), SETTINGS.input_px, SETTINGS.memory_gb)
    with training_processes(device, 1, "float32", measure) as fabric:
        training = TrainingStep(fabric, Start("random start", None, {}), SETTINGS, 0)
        sides: dict[str, Callable[[int], list[float]]] = {
            "pipeline": Pipeline(examples, training).turn,
            "fixed": FixedInput(training).turn,
        }
        times: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(turns + 1):
            for name, turn in sides.items():
                seconds = turn(steps)
                if number:  # the first turn of each warms up
                    times[name] += seconds
                    print(name, *(f"{one:.3f}" for one in seconds), flush=True)
        began = time.perf_counter()
        training_batch(examples, 0, SETTINGS, 0)
        alone = time.perf_counter() - began
    rates = {name: SETTINGS.batch / statistics.median(values) for name, values in times.items()}
    # Neighbours in time are compared: a machine that others use too changes its pace.
    shares = [fixed / ours for ours, fixed in zip(times["pipeline"], times["fixed"], strict=True)]
    return {
        "share_of_random_input_rate": statistics.median(shares),
        "images_per_s": rates["pipeline"],
        "images_per_s_random_input": rates["fixed"],
        "batches_alone_images_per_s": SETTINGS.batch / alone,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/benchmark-classifier"), help="folder for what is made")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="in each turn of each side")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    figures = measure(options.work, options.device, options.turns, options.steps)
    table = Table("figure", "value", title=f"{options.device}, {torch.get_num_threads()} threads")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.3g}" if abs(value) < 1 else f"{value:,.2f}")
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
