"""Training step and synthesis of the infiller: against a port of the published step, and against what cannot be saved.

    python benchmarks/infilling.py [--work DIR] [--device cpu] [--repeats 5] [--synthesize 100 1000] [--json FILE]

The step is the paper's perceptual step: paint, perceptual loss, backward, Adam; 8 patches of 256x256 px, float32. Both
sides have the same generator, the same VGG-19 and the same batches, and take turns. VGG-19 has random weights (He et
al., 2015, equation 10, and small random biases): they change neither time nor what is exact.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
import torchvision.models
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from mammofill.ground.artifact import begin
from mammofill.ground.training.distributed import training_processes
from mammofill.ground.training.memory import freed_memory_kept
from mammofill.infilling import GanSettings, Infiller, preset, train_infiller
from mammofill.infilling.gan.batches import Batch, Lesions, batch_at
from mammofill.infilling.gan.features import build_features
from mammofill.infilling.gan.losses import adversarial_loss, boundary_loss, class_loss, discriminator_loss
from mammofill.infilling.gan.networks import Networks
from mammofill.infilling.gan.perceptual import perceptual_loss
from mammofill.infilling.gan.settings import GeneratorSettings
from mammofill.infilling.gan.training_loop import _turns
from mammofill.pairing import Pairs
from mammofill.patches import PatchSet, write_index, write_shard
from mammofill.synthesis import SynthesizeSettings, synthesize

SIZE_PX, BATCH, BATCHES = 256, 8, 3
POOLS = (4, 9, 18)
"""Places of pool1 to pool3 in torchvision's VGG-19."""
console = Console(width=120)


# ---- what both sides are given ------------------------------------------------------------------------------------


def make_lesions(count: int) -> Lesions:
    """Make tissue-like patches with ellipses of 60 to 120 px for lesions, wholly inside, at random places."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIZE_PX, :SIZE_PX]
    images, masks = [], []
    for _ in range(count):
        tall, wide = random.uniform(30, 60, 2)
        row, column = random.uniform(tall + 1, SIZE_PX - tall - 2), random.uniform(wide + 1, SIZE_PX - wide - 2)
        masks.append(((rows - row) / tall) ** 2 + ((columns - column) / wide) ** 2 <= 1)
        tissue = cv2.GaussianBlur(random.standard_normal((SIZE_PX, SIZE_PX)).astype(np.float32), (0, 0), 3)
        images.append(np.clip(65535 * (0.4 + tissue + 0.1 * masks[-1]), 0, 65535).astype(np.uint16))
    words = tuple(("benign", "malignant")[number % 2] for number in range(count))
    return Lesions(np.stack(images), np.stack(masks), words)


def write_vgg(path: Path) -> None:
    """Write a VGG-19 of random weights, convolutions only."""
    torch.manual_seed(0)
    layers = torchvision.models.vgg19(weights=None).features
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.normal_(layer.bias, std=0.05)
    torch.save({f"features.{name}": tensor for name, tensor in layers.state_dict().items()}, path)


def paper_settings(vgg: Path) -> GanSettings:
    paper = preset("paper")
    return replace(paper, perceptual=replace(paper.perceptual, weights=str(vgg)))


def prepare(vgg: Path, device: str) -> tuple[Networks, list[Batch], GanSettings]:
    """Build the networks of the paper's preset, and some batches."""
    settings = paper_settings(vgg)
    networks = Networks(SIZE_PX, build_features(settings.perceptual)[0], settings, seed=0)
    networks.to(torch.device(device))
    lesions = make_lesions(BATCH * BATCHES)
    starts = range(0, BATCH * BATCHES, BATCH)
    return networks, [batch_at(lesions, start, settings, 0).to(torch.device(device)) for start in starts], settings


def ours(networks: Networks, settings: GanSettings, device: str) -> Callable[[Batch], float]:
    """Return the step as training takes it."""
    turn = _turns(networks, settings)[0][0]
    with training_processes(device, 1, "float32", ours) as fabric:
        return lambda batch: float(turn.step(fabric, [batch], 0, 1.0)["pretraining.perceptual"])


# ---- the published step, ported straightforwardly -----------------------------------------------------------------


class Port:
    """The published step: VGG-19 on three masked copies of the real patch and of the fill, all whole pictures.

    Of the third copy only the pixels count. The lean port leaves VGG-19 out there, as a framework does that knows all
    of the computation before it begins.
    """

    def __init__(self, networks: Networks, vgg: Path, lean: bool = False) -> None:
        self.lean = lean
        device = next(networks.generator.parameters()).device
        self.generator = networks.generator
        layers = torchvision.models.vgg19(weights=None).features
        weights = torch.load(vgg, weights_only=True)
        layers.load_state_dict({name.removeprefix("features."): tensor for name, tensor in weights.items()})
        self.layers = layers[: POOLS[-1] + 1].requires_grad_(False).eval().to(device)
        self.optimiser = torch.optim.Adam(self.generator.parameters(), lr=1e-4)

    def maps(self, pictures: Tensor, pixels_alone: bool = False) -> list[Tensor]:
        state, found = pictures.repeat(1, 3, 1, 1), [pictures]
        if pixels_alone and self.lean:
            return found
        for place, layer in enumerate(self.layers):
            state = layer(state)
            if place in POOLS:
                found.append(state)
        return found

    def loss(self, batch: Batch, painted: Tensor) -> Tensor:
        total = torch.zeros((), device=painted.device)
        for region, count in ((batch.mask, None), (batch.boundary, None), (1 - batch.mask, 1)):
            with torch.no_grad():
                wanted = self.maps(region * batch.real, count == 1)
            found = self.maps(region * painted, count == 1)
            for a, b in zip(found[:count], wanted[:count], strict=True):
                total = total + (a - b).abs().mean()
        return total

    def step(self, batch: Batch) -> float:
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.loss(batch, self.generator(batch.context, batch.mask, batch.conditions))
        loss.backward()
        self.optimiser.step()
        return loss.item()


def compare_losses(networks: Networks, port: Port, batches: Sequence[Batch]) -> dict[str, float]:
    """Return, for each loss, the largest relative difference to formulas written down independently."""
    found: dict[str, list[float]] = {}
    for batch in batches:
        with torch.no_grad():
            painted = networks.paint(batch)
            real_verdict = networks.discriminator(batch.real, batch.mask, batch.conditions)
            verdict = networks.discriminator(painted, batch.mask, batch.conditions)
            scores, labels = verdict.classes, batch.classes
            gap, nowhere = (batch.real - painted).abs(), torch.zeros_like(batch.mask)
            sure_real, sure_painted = (one.real.double().sigmoid() for one in (real_verdict, verdict))
            pairs = {
                "perceptual": (networks.perceptual(batch, 0)["perceptual"], port.loss(batch, painted)),
                "context": (
                    perceptual_loss(networks.features, batch.real, painted, [nowhere], 1 - batch.mask),
                    ((1 - batch.mask) * gap).mean(),
                ),
                "boundary": (boundary_loss(batch.real, painted, batch.boundary), (batch.boundary * gap).mean()),
                "adversarial": (adversarial_loss(verdict.real), -sure_painted.log().mean()),
                "discriminator": (
                    discriminator_loss(real_verdict.real, verdict.real),
                    -0.5 * (sure_real.log() + (1 - sure_painted).log()).mean(),
                ),
                "class": (class_loss(scores, labels), -(scores.softmax(1).log() * labels).sum(1).mean()),
            }
        for name, (a, b) in pairs.items():
            found.setdefault(name, []).append(abs(float(a) - float(b)) / abs(float(b)))
    return {name: max(values) for name, values in found.items()}


# ---- what is measured ---------------------------------------------------------------------------------------------


def timed(work: Callable[[], Any], device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def conv_peak(device: str, repeats: int) -> float:
    """Return the best rate of a 3x3 convolution on this machine now, in FLOP/s, over shapes and memory formats."""
    best = 0.0
    for channels, side, count in ((64, 128, 2), (64, 256, 1), (128, 64, 8), (128, 128, 2), (256, 64, 4), (256, 64, 8)):
        for form in (torch.contiguous_format, torch.channels_last):
            pictures = torch.randn(count, channels, side, side, device=device).to(memory_format=form)
            weight = torch.randn(channels, channels, 3, 3, device=device).to(memory_format=form)
            work = 18 * channels**2 * side**2 * count
            with torch.inference_mode():
                times = [timed(lambda: F.conv2d(pictures, weight, padding=1), device) for _ in range(repeats + 1)]  # noqa: B023
            best = max(best, work / min(times))
    return best


def operations(step: Callable[[Batch], float], batches: Sequence[Batch]) -> float:
    """Return the floating-point operations of a step, on average over batches."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the counter sees what its own thread does, so that must be everything
    try:
        with FlopCounterMode(display=False) as counter:
            for batch in batches:
                step(batch)
    finally:
        torch.set_num_threads(threads)
    return counter.get_total_flops() / len(batches)


def measure_step(vgg: Path, device: str, repeats: int) -> dict[str, float]:
    networks, batches, settings = prepare(vgg, device)
    port = Port(networks, vgg)
    differences = compare_losses(networks, port, batches)
    lean = Port(networks, vgg, lean=True)
    sides = {"ours": ours(networks, settings, device), "port": port.step, "lean": lean.step}
    # Each side's first steps, which warm it up, too. Where lesions lie is all the same to the port.
    flops = {"ours": operations(sides["ours"], batches), "port": operations(port.step, batches[:1])}
    flops["lean"] = operations(lean.step, batches[:1])
    peaks = [conv_peak(device, 3)]
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(repeats):
        for name, step in sides.items():
            times[name].append(timed(lambda: step(batches[number % BATCHES]), device))  # noqa: B023
    peaks.append(conv_peak(device, 3))
    seconds = {name: statistics.median(values) for name, values in times.items()}
    return {
        "step_speedup_vs_port": statistics.median(b / a for a, b in zip(times["ours"], times["port"], strict=True)),
        "step_speedup_vs_lean_port": statistics.median(
            b / a for a, b in zip(times["ours"], times["lean"], strict=True)
        ),
        "step_seconds": seconds["ours"],
        "step_seconds_port": seconds["port"],
        "step_seconds_lean_port": seconds["lean"],
        "step_gflop": flops["ours"] / 1e9,
        "step_gflop_port": flops["port"] / 1e9,
        "step_gflop_lean_port": flops["lean"] / 1e9,
        "operations_ratio_port_over_ours": flops["port"] / flops["ours"],
        "conv_peak_gflop_per_s": max(peaks) / 1e9,
        "share_of_conv_peak": flops["ours"] / seconds["ours"] / max(peaks),
        "share_of_conv_peak_port": flops["port"] / seconds["port"] / max(peaks),
        "loss_max_rel_diff": max(differences.values()),
        **{f"loss_rel_diff_{name}": value for name, value in differences.items()},
    }


def status_mb(name: str) -> float:
    """Return a figure of /proc/self/status in MB: VmHWM, the peak, or VmRSS, now."""
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", text)[1]) / 1024  # type: ignore[index]


def _memory_of_step(vgg: Path, device: str, side: str) -> None:
    """Print by how much the peak lies above what is there before the first step, in MB; in a process of its own."""
    networks, batches, settings = prepare(vgg, device)
    step = ours(networks, settings, device) if side == "ours" else Port(networks, vgg).step
    if device == "cpu":
        before = status_mb("VmRSS")
    else:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / 2**20
    with freed_memory_kept(device):
        for batch in batches[:2]:  # the second one has the optimiser's state beside it
            step(batch)
    peak = status_mb("VmHWM") if device == "cpu" else torch.cuda.max_memory_allocated() / 2**20
    print(peak - before)


def in_own_process(*arguments: object) -> float:
    done = subprocess.run(
        [sys.executable, __file__, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True
    )
    return float(done.stdout.splitlines()[-1])


def measure_memory(vgg: Path, device: str, repeats: int) -> dict[str, float]:
    found: dict[str, list[float]] = {"ours": [], "port": []}
    for _ in range(repeats):
        for side, values in found.items():
            values.append(in_own_process("--memory-of-step", vgg, device, side))
    megabytes = {side: statistics.median(values) for side, values in found.items()}
    return {
        "memory_ratio_vs_port": megabytes["ours"] / megabytes["port"],
        "step_mb": megabytes["ours"],
        "step_mb_port": megabytes["port"],
    }


# ---- synthesis ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Generated:
    """Settings of the generated artifacts."""

    what: str = "generated for a benchmark"


def make_patches(out: Path, lesions: int, normals: int) -> PatchSet:
    """Write lesion patches and normal ones of the train split."""
    pixels = make_lesions(lesions)
    empty = np.zeros((SIZE_PX, SIZE_PX), bool)
    with begin(out, kind=PatchSet.kind, stage="generated", settings=Generated(), seed=0, inputs={}) as work:
        assert work is not None
        for number, first in enumerate(range(0, lesions + normals, 500)):
            numbers = range(first, min(lesions + normals, first + 500))
            kinds = [pixels.pathologies[k] if k < lesions else "normal" for k in numbers]
            rows = [_patch_row(k, kind) for k, kind in zip(numbers, kinds, strict=True)]
            images = [pixels.images[k % lesions] for k in numbers]
            masks = [pixels.masks[k] if k < lesions else empty for k in numbers]
            write_shard(work.folder / f"patches-{number:05d}.parquet", rows, images, masks, [~empty] * len(rows))
        write_index(work.folder)
        pd.DataFrame({"reason": [], "split": [], "count": []}).to_parquet(work.folder / "dropped.parquet")
        work.finish({"patches": lesions + normals})
    return PatchSet.open(out)


def _patch_row(number: int, kind: str) -> dict[str, Any]:
    return {
        "patch_id": f"patch-{number:06d}",
        "patient_id": f"patient-{number // 10:05d}",
        "mammogram_id": f"mammogram-{number // 10:05d}",
        "top": number % 10 * SIZE_PX,
        "left": 0,
        "height": SIZE_PX,
        "width": SIZE_PX,
        "pathology": kind,
        "abnormality": None if kind == "normal" else "mass",
        "lesion_ids": "" if kind == "normal" else f"lesion-{number}",
        "breast_share": 1.0,
        "split": "train",
        "origin": "real",
    }


def make_pairs(out: Path, patches: PatchSet, lesions: int) -> Pairs:
    """Pair each normal patch with a lesion patch."""
    table = patches.table
    donors = table.iloc[:lesions].to_dict("records")
    rows = [
        {
            "pair_id": f"pair-{number:06d}",
            "context_patch_id": context["patch_id"],
            "context_patient_id": context["patient_id"],
            "mask_donor_patch_id": donors[number % lesions]["patch_id"],
            "mask_donor_patient_id": donors[number % lesions]["patient_id"],
            "zoom": 1.0,
            "shift_rows_px": 0,
            "shift_columns_px": 0,
            "requested_pathology": donors[number % lesions]["pathology"],
        }
        for number, context in enumerate(table.iloc[lesions:].to_dict("records"))
    ]
    with begin(
        out, kind=Pairs.kind, stage="generated", settings=Generated(), seed=0, inputs={"patches": patches}
    ) as work:
        assert work is not None
        pd.DataFrame(rows).to_parquet(work.folder / "pairs.parquet")
        pd.DataFrame({"reason": [], "count": []}).to_parquet(work.folder / "unpaired.parquet")
        work.finish({"pairs": len(rows)})
    return Pairs.open(out)


def make_infiller(folder: Path, patches: PatchSet, pairs: Pairs, generator: GeneratorSettings) -> Infiller:
    """Train an infiller for one step: how well it paints is of no matter here."""
    settings = preset("paper")
    settings = replace(
        settings,
        generator=generator,
        perceptual=replace(settings.perceptual, features="none"),
        schedule=replace(settings.schedule, pretrain_epochs=0.01, adversarial_epochs=0),
        previews=0,
    )
    return train_infiller(patches, pairs, folder, settings)


def measure_painting(work: Path, device: str, repeats: int) -> dict[str, float]:
    """Compare `Infiller.infill` with the bare generator, at the same batch, and with itself at work on one patch."""
    lesions = make_lesions(BATCH)
    patches = make_patches(work / "few", 32, 32)
    pairs = make_pairs(work / "few-pairs", patches, 32)
    infiller = make_infiller(work / "painter", patches, pairs, GeneratorSettings())
    generator = infiller._painter(device).generator  # type: ignore[attr-defined]
    batch = batch_at(lesions, 0, preset("paper"), 0).to(torch.device(device))
    inputs = (batch.context, batch.mask, batch.conditions, batch.latent)
    words, seeds = list(lesions.pathologies), list(range(BATCH))

    def forward() -> None:
        with torch.inference_mode():
            generator(*inputs)

    def one_by_one() -> None:
        with torch.inference_mode():
            for number in range(BATCH):
                generator(*(one[number : number + 1] for one in inputs))

    def infill() -> None:
        infiller.infill(lesions.images, lesions.masks, words, seeds, device=device, allow_border=True)

    sides = {"forward": forward, "one_by_one": one_by_one, "infill": infill}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(4 * repeats + 1):
        for name, side in sides.items():
            seconds = timed(side, device)
            if number:  # the first one warms up
                times[name].append(seconds)
    each = {name: statistics.median(values) for name, values in times.items()}
    # Against whichever way to run the bare generator is the faster: on a CPU that is one patch at a time.
    bare = min(("forward", "one_by_one"), key=lambda name: each[name])
    shares = [a / b for a, b in zip(times[bare], times["infill"], strict=True)]
    return {
        "synthesis_share_of_forward": statistics.median(shares),
        "infill_patches_per_s": BATCH / each["infill"],
        "forward_patches_per_s": BATCH / each["forward"],
        "forward_one_by_one_patches_per_s": BATCH / each["one_by_one"],
    }


def measure_synthesis(work: Path, device: str, sizes: Sequence[int]) -> dict[str, float]:
    """Return the peak memory of synthesis by the number of patches, with a small generator."""
    lesions = 64
    patches = make_patches(work / "many", lesions, math.ceil(max(sizes) / 4) + 2)  # each pair is filled four times
    pairs = make_pairs(work / "many-pairs", patches, lesions)
    make_infiller(work / "small", patches, pairs, GeneratorSettings(widths=(8,) * 7))
    found = {}
    for size in sizes:
        found[f"synthesize_peak_mb_{size}"] = in_own_process("--synthesize-in", work, device, size)
    first, last = (found[f"synthesize_peak_mb_{size}"] for size in (sizes[0], sizes[-1]))
    return {**found, "synthesize_memory_growth": last / first}


def _synthesize(work: Path, device: str, size: int) -> None:
    parts = (Infiller.open(work / "small"), Pairs.open(work / "many-pairs"), PatchSet.open(work / "many"))
    shutil.rmtree(work / "made", ignore_errors=True)
    settings = SynthesizeSettings(benign=size // 2, malignant=size - size // 2)
    # Without pages of files that are mapped and read: the system takes those back when it needs them.
    done, peak = threading.Event(), [0.0]

    def watch() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], status_mb("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    synthesize(*parts, work / "made", settings, device=device)
    done.set()
    watcher.join()
    shutil.rmtree(work / "made")
    print(peak[0])


# ---- the table ----------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/benchmark-infilling"), help="folder for what is made")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=5, help="steps of each side; at least 3")
    parser.add_argument("--memory-repeats", type=int, default=3)
    parser.add_argument("--synthesize", type=int, nargs="*", default=[100, 1000], help="sizes for synthesis' memory")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    vgg = options.work / "vgg19.pth"
    write_vgg(vgg)

    figures: dict[str, float] = {}

    def add(found: dict[str, float]) -> None:
        figures.update(found)
        for name, value in found.items():
            print(name, value, flush=True)

    with freed_memory_kept(options.device):  # as the stages do; the bare generator and the port have the same of it
        add(measure_painting(options.work, options.device, options.repeats))
        add(measure_step(vgg, options.device, options.repeats))
    add(measure_memory(vgg, options.device, options.memory_repeats))
    if options.synthesize:
        add(measure_synthesis(options.work, options.device, options.synthesize))
    table = Table("figure", "value", title=f"{options.device}, {torch.get_num_threads()} threads, batch {BATCH}")
    for name, value in figures.items():
        table.add_row(name, f"{value:,.3g}" if abs(value) < 1 else f"{value:,.2f}")
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory-of-step"]:
        _memory_of_step(Path(sys.argv[2]), sys.argv[3], sys.argv[4])
    elif sys.argv[1:2] == ["--synthesize-in"]:
        _synthesize(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        main()
