"""From DICOM to patches: against the paper's method, against the floor, by workers, memory, and reading patches.

    python benchmarks/ingest.py [--work DIR] [--mammograms 40] [--memory 20 200 2000] [--json FILE]

Everything is measured side by side in one run, on practice films of real size (5300x3130, 16 bit); the sides take
turns, and of each the best turn counts, by the clock and in seconds of a processor: on a machine that others use as
well, only the latter say something. All sides cut the same windows (checked), keep 16 bits, and write PNG.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from films import make_collection
from PIL import Image
from pydicom import dcmread
from rich.console import Console
from rich.table import Table

from mammofill import dicom
from mammofill.ground.artifact import begin
from mammofill.ground.imaging import Mask, crop, decode_png, encode_png, resample, resample_mask_to_box
from mammofill.ground.processes import one_thread
from mammofill.ground.training.memory import freed_memory_kept
from mammofill.mammograms import IngestSettings, MammogramSet, Tissue, enlarge_tissue, ingest
from mammofill.mammograms.reading import read_mask
from mammofill.patches import ExtractPatchesSettings, PatchSet, extract_patches, write_index, write_shard

CODECS = ("raw", "jpeg2000")
HEIGHT_PX, SIZE_PX, STRIDE_PX = 2750, 256, 128
KEEP_ALL, KEEP_SOME = "all", "8"
console = Console(width=120)


@dataclass(frozen=True)
class Spent:
    """What a side took."""

    seconds: float
    cpu: float
    """Seconds of a processor, of all processes."""


class Meter:
    """Measures from when it is made; processes begun since must have ended when it is read."""

    def __init__(self) -> None:
        self._began, self._cpu = time.perf_counter(), _cpu_seconds()

    def read(self) -> Spent:
        return Spent(time.perf_counter() - self._began, _cpu_seconds() - self._cpu)


def _cpu_seconds() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


# ---- ours: the two commands, as a user runs them ------------------------------------------------------------------


def run_ours(source: Path, out: Path, workers: int, normals: str) -> tuple[Spent, float, float]:
    """Run both stages in a fresh process; return what it took, and the peaks of a worker and of itself in MB."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, __file__, "--stages", str(source), str(out), str(workers), normals]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, cpu, worker_mb, own_mb = json.loads(done.stdout.splitlines()[-1])
    return Spent(seconds, cpu), worker_mb, own_mb


def _stages(source: Path, out: Path, workers: int, normals: str) -> None:
    most = None if normals == KEEP_ALL else int(normals)
    meter = Meter()
    mammograms = ingest(source, out / "mammograms", IngestSettings(height_px=HEIGHT_PX, workers=workers))
    # Small shards: in a short run the last one must not keep one worker busy alone. 3,000 mammograms have enough.
    settings = ExtractPatchesSettings(workers=workers, normals_per_mammogram=most, mammograms_per_shard=4)
    extract_patches(mammograms, out / "patches", settings)
    spent = meter.read()
    # The kernel's high-water marks. A process inherits ru_maxrss from whoever began it, so its own is read from /proc.
    worker_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    status = Path("/proc/self/status").read_text()
    own_mb = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]
    print(json.dumps([spent.seconds, spent.cpu, worker_mb, own_mb]))


# ---- the other sides ----------------------------------------------------------------------------------------------


def plan(mammograms: MammogramSet, patches: PatchSet, source: Path) -> list[dict[str, Any]]:
    """Return, for each mammogram, its files and the windows that were kept: what the other sides are told."""
    kept = patches.table.groupby("mammogram_id")
    jobs = []
    for facts in mammograms.mammograms.to_dict("records"):
        name = facts["mammogram_id"]
        masks = [source / row["source_file"] for row in mammograms.lesions_of(name).to_dict("records")]
        windows = kept.get_group(name) if name in kept.groups else patches.table.iloc[:0]
        jobs.append(
            {
                "image": source / facts["source_file"],
                "masks": masks,
                "shape": (facts["rows"], facts["columns"]),
                "breast": mammograms.tissue(name),
                "windows": sorted(zip(windows["top"], windows["left"], windows["pathology"] != "normal", strict=True)),
            }
        )
    return jobs


def paper_method(jobs: list[dict[str, Any]], out: Path, level: int, normals: str) -> Spent:
    """Do it as the paper describes it, in one process: read, resample, loop over windows, save one PNG each.

    Where breast is, is given to it for nothing; so is which normal windows to save, where not all are. `level` is the
    compression level of the PNGs; 6 is Pillow's own. Checks that the windows are the same.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    seconds = cpu = 0.0
    for number, job in enumerate(jobs):
        breast = enlarge_tissue(job["breast"], job["shape"]) != Tissue.FILM
        wanted = set(job["windows"])
        meter = Meter()
        found = []
        size = (job["shape"][1], job["shape"][0])
        pixels = Image.fromarray(dcmread(job["image"]).pixel_array.astype(np.float32))
        image = np.rint(np.asarray(pixels.resize(size, Image.Resampling.BOX))).astype(np.uint16)
        masks = []
        for path in job["masks"]:
            pixels = Image.fromarray(dcmread(path).pixel_array)
            masks.append(np.asarray(pixels.resize(size, Image.Resampling.BOX)) >= 128)
        areas = [mask.sum() for mask in masks]
        for top in range(0, image.shape[0] - SIZE_PX + 1, STRIDE_PX):
            for left in range(0, image.shape[1] - SIZE_PX + 1, STRIDE_PX):
                place = np.s_[top : top + SIZE_PX, left : left + SIZE_PX]
                if breast[place].mean() < 0.5:
                    continue
                inside = [mask[place].sum() for mask in masks]
                near = np.s_[max(0, top - 16) : top + SIZE_PX + 16, max(0, left - 16) : left + SIZE_PX + 16]
                lesion = any(
                    count >= 0.6 * area or count >= 0.25 * SIZE_PX**2 for count, area in zip(inside, areas, strict=True)
                )
                if not lesion and any(mask[near].any() for mask in masks):
                    continue
                if normals != KEEP_ALL and not lesion and (top, left, False) not in wanted:
                    continue
                name = out / f"{number}_{top}_{left}"
                Image.fromarray(image[place]).save(f"{name}.png", compress_level=level)
                whole = (
                    np.any([mask[place] for mask in masks], axis=0) if lesion else np.zeros((SIZE_PX, SIZE_PX), bool)
                )
                Image.fromarray(whole).save(f"{name}_mask.png", compress_level=level)
                found.append((top, left, lesion))
        spent = meter.read()
        seconds, cpu = seconds + spent.seconds, cpu + spent.cpu
        agreeing = len(wanted & set(found)) / max(1, len(wanted | set(found)))
        assert agreeing > 0.95, f"{job['image']}: only {agreeing:.0%} of the windows agree"
    return Spent(seconds, cpu)


def floor_of_one(job: dict[str, Any]) -> None:
    """Do what cannot be left out: read and decode the same files, resample, encode exactly the kept patches.

    With our own functions for each: the same reader of images and of masks, the same resampling (of a mask only the box
    that holds it), and the same PNG writer; and memory that is freed is kept, as in our workers.
    """
    shape = job["shape"]
    image = resample(dicom.read_image(job["image"]), shape)
    masks = [_in_box(read_mask(path).mask, shape) for path in job["masks"]]
    breast = job["large_breast"]
    for top, left, lesion in job["windows"]:
        place = np.s_[top : top + SIZE_PX, left : left + SIZE_PX]
        encode_png(image[place])
        mask = np.zeros((SIZE_PX, SIZE_PX), bool)
        if lesion:
            for inside, (box_top, box_left) in masks:
                mask |= crop(inside, (top - box_top, left - box_left, SIZE_PX, SIZE_PX)).astype(bool)
        encode_png(mask)
        encode_png(breast[place])


def _in_box(mask: Mask, shape: tuple[int, int]) -> tuple[Mask, tuple[int, int]]:
    inside, box = resample_mask_to_box(mask, shape)
    return inside, box[:2]


def floor(jobs: list[dict[str, Any]], workers: int) -> Spent:
    """Return what the floor takes on some workers."""
    for job in jobs:
        job["large_breast"] = enlarge_tissue(job["breast"], job["shape"]) != Tissue.FILM
    # Inherited by the forked workers, so that no picture is sent.
    _floor_jobs[:] = jobs
    meter = Meter()
    # One share for each worker: to hand out film by film would cost it something that it need not do.
    shares = [range(first, len(jobs), workers) for first in range(workers)]
    with ProcessPoolExecutor(workers, initializer=one_thread) as pool:
        for _ in pool.map(_floor_numbers, shares):
            pass
    return meter.read()


_floor_jobs: list[dict[str, Any]] = []


def _floor_numbers(numbers: Sequence[int]) -> None:
    with freed_memory_kept("cpu"):
        for number in numbers:
            floor_of_one(_floor_jobs[number])


# ---- what is measured ---------------------------------------------------------------------------------------------


def measure_speed(work: Path, codec: str, mammograms: int, repeats: int) -> list[dict[str, Any]]:
    """Measure all sides on one codec, for all normal windows and for some; the sides take turns."""
    source = make_collection(work, mammograms, codec)
    rows = []
    for normals in (KEEP_ALL, KEEP_SOME):
        out = work / f"ours-{codec}-{normals}"
        run_ours(source, out, 2, normals)  # warms the caches, and tells the other sides what to do
        opened = MammogramSet.open(out / "mammograms"), PatchSet.open(out / "patches")
        jobs = plan(*opened, source)
        kept = len(opened[1].table)
        some = jobs[: max(4, len(jobs) // 4)]
        sides: dict[str, tuple[Callable[[], Spent], int]] = {
            "ours2": (lambda out=out, normals=normals: run_ours(source, out, 2, normals)[0], len(jobs)),
            "floor2": (lambda jobs=jobs: floor(jobs, 2), len(jobs)),
            "paper": (lambda some=some, normals=normals: paper_method(some, work / "paper", 6, normals), len(some)),
            "paper_fast": (
                lambda some=some, normals=normals: paper_method(some, work / "paper", 1, normals),
                len(some),
            ),
            "ours1": (lambda out=out, normals=normals: run_ours(source, out, 1, normals)[0], len(jobs)),
            "floor1": (lambda jobs=jobs: floor(jobs, 1), len(jobs)),
        }
        turns = [{name: side() for name, (side, _) in sides.items()} for _ in range(repeats)]
        row: dict[str, Any] = {"codec": codec, "normals": normals, "patches": kept, "mammograms": len(jobs)}
        for name, (_, films) in sides.items():
            row[name] = min(turn[name].seconds for turn in turns) / films
            row[f"{name}_cpu"] = min(turn[name].cpu for turn in turns) / films
        rows.append(row)
        shutil.rmtree(out, ignore_errors=True)
    return rows


def measure_memory(work: Path, sizes: list[int]) -> list[dict[str, float]]:
    rows = []
    for size in sizes:
        source, out = make_collection(work, size, "raw"), work / "memory"
        spent, worker_mb, own_mb = run_ours(source, out, 2, KEEP_SOME)
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(source)
        rows.append({"mammograms": size, "seconds": spent.seconds, "worker_mb": worker_mb, "own_mb": own_mb})
        print(rows[-1], flush=True)
    return rows


def measure_reading(work: Path, million: int, streamed: int) -> dict[str, float]:
    """Measure opening a large set, streaming, and serving from memory, on generated patches."""
    large = _generated(work / "many", million, 2000, pictures=False)
    began = time.perf_counter()
    patches = PatchSet.open(large.folder)
    rows = patches.rows(split="train", pathology=("benign", "malignant"))
    opening = time.perf_counter() - began
    assert len(patches.table) == million
    assert len(rows)
    shutil.rmtree(large.folder)

    patches = _generated(work / "streamed", streamed, 2000, pictures=True)
    all_rows = np.arange(streamed)
    shares = []
    for turn in range(3):
        held = [one for part in patches._by_group(all_rows) for one in patches._encoded(part, ["image", "mask"])]
        began = time.perf_counter()
        for _, encoded in held:
            for one in encoded:
                decode_png(memoryview(one))
        codec = time.perf_counter() - began
        del held
        began = time.perf_counter()
        for _ in patches.stream(all_rows, np.random.default_rng(turn)):
            pass
        shares.append(codec / (time.perf_counter() - began))
    loaded = patches.load(all_rows)
    order = np.random.default_rng(0).integers(0, streamed, 40_000)
    began = time.perf_counter()
    for first in range(0, len(order), 32):
        loaded.batch(order[first : first + 32])
    served = len(order) / (time.perf_counter() - began)
    shutil.rmtree(patches.folder)
    return {
        "open_million_s": opening,
        "stream_share_of_codec": statistics.median(shares),
        "codec_patches_per_s": streamed / codec,
        "memory_patches_per_s": served,
    }


def _generated(out: Path, count: int, per_shard: int, pictures: bool) -> PatchSet:
    """Write a patch set of generated tissue; without pictures, the same small ones in every row."""
    random = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(random.random((1024, 1024), dtype=np.float32), (0, 0), 12)
    film = ((smooth - smooth.min()) / np.ptp(smooth) * 40000 + random.normal(0, 300, smooth.shape)).astype(np.uint16)
    mask = np.zeros((SIZE_PX, SIZE_PX), bool)
    mask[90:150, 100:180] = True
    tiny = cv2.imencode(".png", np.zeros((2, 2), np.uint8))[1].tobytes()
    shutil.rmtree(out, ignore_errors=True)
    settings = ExtractPatchesSettings()
    with begin(out, kind="patches", stage="extract-patches", settings=settings, seed=0, inputs={}) as work:
        assert work is not None
        for number, first in enumerate(range(0, count, per_shard)):
            numbers = range(first, min(count, first + per_shard))
            rows = [_generated_row(k) for k in numbers]
            places = random.integers(0, 1024 - SIZE_PX, (len(rows), 2))
            images = [film[a : a + SIZE_PX, b : b + SIZE_PX] if pictures else tiny for a, b in places]
            masks = [mask if pictures else tiny] * len(rows)
            write_shard(work.folder / f"patches-{number:05d}.parquet", rows, images, masks, masks)
        write_index(work.folder)
        pd.DataFrame({"reason": [], "split": [], "count": []}).to_parquet(work.folder / "dropped.parquet")
        work.finish({"patches": count})
    return PatchSet.open(out)


def _generated_row(k: int) -> dict[str, Any]:
    mammogram = f"Mass-Training_P_{k // 40:05d}_LEFT_CC"
    return {
        "patch_id": f"{mammogram}_r{k % 40 * 128:05d}_c00000",
        "patient_id": f"P_{k // 40:05d}",
        "mammogram_id": mammogram,
        "top": k % 40 * 128,
        "left": 0,
        "height": SIZE_PX,
        "width": SIZE_PX,
        "pathology": ("normal", "benign", "malignant")[k % 3],
        "abnormality": "mass",
        "lesion_ids": f"{mammogram}_1",
        "breast_share": 0.9,
        "split": "train" if k % 5 else "test",
        "origin": "real",
    }


# ---- the table ----------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/benchmark-ingest"), help="folder for films and results")
    parser.add_argument("--mammograms", type=int, default=40, help="uncompressed ones; a quarter as many of JPEG 2000")
    parser.add_argument("--codecs", nargs="+", choices=CODECS, default=CODECS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int, nargs="*", default=[20, 200, 2000], help="sizes for the memory table")
    parser.add_argument("--million", type=int, default=1_000_000, help="patches of the large set; 0 leaves reading out")
    parser.add_argument("--streamed", type=int, default=6000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    one_thread()

    speed = []
    for codec in options.codecs:
        count = options.mammograms if codec == "raw" else max(8, options.mammograms // 4)
        speed += measure_speed(options.work, codec, count, options.repeats)
    show_speed(speed)
    memory = measure_memory(options.work, options.memory)
    figures = {name: value for row in speed for name, value in ratios(row).items()}
    figures |= {f"peak_mb_per_worker_{row['mammograms']}": row["worker_mb"] for row in memory}
    figures |= {f"peak_mb_main_{row['mammograms']}": row["own_mb"] for row in memory}
    if options.million:
        figures |= measure_reading(options.work, options.million, options.streamed)
    for name, value in figures.items():
        console.print(f"{name:60} {value:,.3f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def ratios(row: dict[str, Any]) -> dict[str, float]:
    """Compare the sides of one row, by the clock and, `cpu_`, by what they take of processors."""
    of = f"{row['codec']}_{row['normals']}"
    return {
        f"speedup_vs_paper_method_{of}": row["paper"] / row["ours2"],
        f"speedup_vs_paper_method_png_level_1_{of}": row["paper_fast"] / row["ours2"],
        # What two workers gain where both cores are theirs.
        f"cpu_of_paper_method_over_half_of_ours_{of}": 2 * row["paper_cpu"] / row["ours2_cpu"],
        f"cpu_of_paper_method_png_level_1_over_half_of_ours_{of}": 2 * row["paper_fast_cpu"] / row["ours2_cpu"],
        f"time_over_floor_{of}": row["ours2"] / row["floor2"],
        f"cpu_over_floor_{of}": row["ours2_cpu"] / row["floor2_cpu"],
        f"scaling_2_workers_{of}": row["ours1"] / row["ours2"],
        # What the machine itself gives: the floor neither writes nor hashes.
        f"scaling_2_workers_of_floor_{of}": row["floor1"] / row["floor2"],
        f"cpu_1_worker_over_2_{of}": row["ours1_cpu"] / row["ours2_cpu"],
        f"cpu_1_worker_over_2_of_floor_{of}": row["floor1_cpu"] / row["floor2_cpu"],
    }


def show_speed(rows: list[dict[str, Any]]) -> None:
    names = {"ours2": "ours, 2 workers", "ours1": "ours, 1", "paper": "paper's", "paper_fast": "paper's, level 1"}
    names |= {"floor2": "floor, 2 workers", "floor1": "floor, 1"}
    table = Table("codec", "normals", "patches", *names.values())
    for row in rows:
        kept = f"{row['patches']} of {row['mammograms']}"
        times = [f"{row[name]:.3f} s ({row[f'{name}_cpu']:.3f})" for name in names]
        table.add_row(row["codec"], row["normals"], kept, *times)
    console.print(table, "seconds a mammogram, of the best turn (of a processor, in brackets)", sep="\n")


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "--stages":
        _stages(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    else:
        main()
