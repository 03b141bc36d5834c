"""From DICOM to patches: against the paper's method, against the floor, by workers, memory, and reading patches.

    python benchmarks/ingest.py [--work DIR] [--mammograms 40] [--memory 20 200 2000] [--json FILE]

Everything is measured side by side in one run, on practice films of real size (5300x3130, 16 bit). All sides cut the
same windows (checked), keep 16 bits, and write PNG of the same compression level.
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
from concurrent.futures import ProcessPoolExecutor
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
from mammofill.ground.imaging import decode_png, encode_png
from mammofill.ground.processes import one_thread
from mammofill.mammograms import IngestSettings, MammogramSet, Tissue, enlarge_tissue, ingest
from mammofill.patches import ExtractPatchesSettings, PatchSet, extract_patches, write_index, write_shard

CODECS = ("raw", "jpeg2000")
HEIGHT_PX, SIZE_PX, STRIDE_PX = 2750, 256, 128
KEEP_ALL, KEEP_SOME = "all", "8"
console = Console(width=120)


# ---- ours: the two commands, as a user runs them ------------------------------------------------------------------


def run_ours(source: Path, out: Path, workers: int, normals: str) -> tuple[float, float, float]:
    """Run both stages in a fresh process; return seconds, and the peak of a worker and of the process itself in MB."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, __file__, "--stages", str(source), str(out), str(workers), normals]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, worker_mb, own_mb = json.loads(done.stdout.splitlines()[-1])
    return seconds, worker_mb, own_mb


def _stages(source: Path, out: Path, workers: int, normals: str) -> None:
    most = None if normals == KEEP_ALL else int(normals)
    began = time.perf_counter()
    mammograms = ingest(source, out / "mammograms", IngestSettings(height_px=HEIGHT_PX, workers=workers))
    # Small shards: in a short run the last one must not keep one worker busy alone. 3,000 mammograms have enough.
    settings = ExtractPatchesSettings(workers=workers, normals_per_mammogram=most, mammograms_per_shard=4)
    extract_patches(mammograms, out / "patches", settings)
    seconds = time.perf_counter() - began
    # The kernel's high-water marks. A process inherits ru_maxrss from whoever began it, so its own is read from /proc.
    worker_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    status = Path("/proc/self/status").read_text()
    own_mb = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]
    print(json.dumps([seconds, worker_mb, own_mb]))


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


def paper_method(jobs: list[dict[str, Any]], out: Path, level: int) -> float:
    """Do it as the paper describes it, in one process: read, resample, loop over windows, save one PNG each.

    Where breast is, is given to it for nothing. `level` is the compression level of the PNGs; 6 is Pillow's own.
    Returns seconds; checks that the windows are the same.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    spent = 0.0
    for number, job in enumerate(jobs):
        breast = enlarge_tissue(job["breast"], job["shape"]) != Tissue.FILM
        began = time.perf_counter()
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
                name = out / f"{number}_{top}_{left}"
                Image.fromarray(image[place]).save(f"{name}.png", compress_level=level)
                whole = (
                    np.any([mask[place] for mask in masks], axis=0) if lesion else np.zeros((SIZE_PX, SIZE_PX), bool)
                )
                Image.fromarray(whole).save(f"{name}_mask.png", compress_level=level)
                found.append((top, left, lesion))
        spent += time.perf_counter() - began
        wanted = set(job["windows"])
        agreeing = len(wanted & set(found)) / max(1, len(wanted | set(found)))
        assert agreeing > 0.95, f"{job['image']}: only {agreeing:.0%} of the windows agree"
    return spent


def floor_of_one(job: dict[str, Any]) -> None:
    """Do what cannot be left out: read and decode the same files, resample, encode exactly the kept patches."""
    size = (job["shape"][1], job["shape"][0])
    image = cv2.resize(dicom.read_image(job["image"]), size, interpolation=cv2.INTER_AREA)
    masks = [
        cv2.resize(dicom.read_mask(path).view(np.uint8), size, interpolation=cv2.INTER_AREA) > 0
        for path in job["masks"]
    ]
    breast = job["large_breast"]
    for top, left, lesion in job["windows"]:
        place = np.s_[top : top + SIZE_PX, left : left + SIZE_PX]
        encode_png(image[place])
        mask = np.logical_or.reduce([one[place] for one in masks]) if lesion else np.zeros((SIZE_PX, SIZE_PX), bool)
        encode_png(mask)
        encode_png(breast[place])


def floor(jobs: list[dict[str, Any]], workers: int) -> float:
    """Return the seconds of the floor on some workers."""
    for job in jobs:
        job["large_breast"] = enlarge_tissue(job["breast"], job["shape"]) != Tissue.FILM
    # Inherited by the forked workers, so that no picture is sent.
    _floor_jobs[:] = jobs
    began = time.perf_counter()
    with ProcessPoolExecutor(workers, initializer=one_thread) as pool:
        for _ in pool.map(_floor_number, range(len(jobs))):
            pass
    return time.perf_counter() - began


_floor_jobs: list[dict[str, Any]] = []


def _floor_number(number: int) -> None:
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
        times: dict[str, list[float]] = {"ours2": [], "ours1": [], "paper": [], "paper_fast": []}
        times |= {"floor2": [], "floor1": []}
        for _ in range(repeats):
            times["ours2"].append(run_ours(source, out, 2, normals)[0])
            times["floor2"].append(floor(jobs, 2))
            if normals == KEEP_ALL:
                times["ours1"].append(run_ours(source, out, 1, normals)[0])
                times["floor1"].append(floor(jobs, 1))
                for name, level in (("paper", 6), ("paper_fast", 1)):
                    seconds = paper_method(some, work / "paper", level)
                    times[name].append(seconds * len(jobs) / len(some))
        each = {name: statistics.median(values) / len(jobs) for name, values in times.items() if values}
        rows.append({"codec": codec, "normals": normals, "patches": kept, "mammograms": len(jobs), **each})
        shutil.rmtree(out, ignore_errors=True)
    return rows


def measure_memory(work: Path, sizes: list[int]) -> list[dict[str, float]]:
    rows = []
    for size in sizes:
        source, out = make_collection(work, size, "raw"), work / "memory"
        seconds, worker_mb, own_mb = run_ours(source, out, 2, KEEP_SOME)
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(source)
        rows.append({"mammograms": size, "seconds": seconds, "worker_mb": worker_mb, "own_mb": own_mb})
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
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int, nargs="*", default=[20, 200, 2000], help="sizes for the memory table")
    parser.add_argument("--million", type=int, default=1_000_000)
    parser.add_argument("--streamed", type=int, default=6000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    one_thread()

    speed = [
        row
        for codec, count in (("raw", options.mammograms), ("jpeg2000", max(8, options.mammograms // 4)))
        for row in measure_speed(options.work, codec, count, options.repeats)
    ]
    show_speed(speed)
    memory = measure_memory(options.work, options.memory)
    reading = measure_reading(options.work, options.million, options.streamed)
    by_kind = {(row["codec"], row["normals"]): row for row in speed}
    raw = by_kind["raw", KEEP_ALL]
    figures = {
        "speedup_vs_paper_method": raw["paper"] / raw["ours2"],
        "speedup_vs_paper_method_png_level_1": raw["paper_fast"] / raw["ours2"],
        "speedup_vs_paper_method_jpeg2000": by_kind["jpeg2000", KEEP_ALL]["paper"]
        / by_kind["jpeg2000", KEEP_ALL]["ours2"],
        "time_over_floor": max(row["ours2"] / row["floor2"] for row in speed),
        **{f"time_over_floor_{row['codec']}_{row['normals']}": row["ours2"] / row["floor2"] for row in speed},
        "scaling_2_workers": raw["ours1"] / raw["ours2"],
        # What the machine itself gives: the floor neither writes nor hashes.
        "scaling_2_workers_of_floor": raw["floor1"] / raw["floor2"],
        "scaling_2_workers_jpeg2000": by_kind["jpeg2000", KEEP_ALL]["ours1"] / by_kind["jpeg2000", KEEP_ALL]["ours2"],
        "peak_mb_per_worker": max((row["worker_mb"] for row in memory), default=float("nan")),
        **{f"peak_mb_per_worker_{row['mammograms']}": row["worker_mb"] for row in memory},
        **{f"peak_mb_main_{row['mammograms']}": row["own_mb"] for row in memory},
        **reading,
    }
    for name, value in figures.items():
        console.print(f"{name:40} {value:,.3f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def show_speed(rows: list[dict[str, Any]]) -> None:
    names = {"ours2": "ours, 2 workers", "ours1": "ours, 1", "paper": "paper's", "paper_fast": "paper's, level 1"}
    names |= {"floor2": "floor, 2 workers", "floor1": "floor, 1"}
    table = Table("codec", "normals", "patches", *names.values())
    for row in rows:
        kept = f"{row['patches']} of {row['mammograms']}"
        times = [f"{row[name]:.3f} s" if name in row else "" for name in names]
        table.add_row(row["codec"], row["normals"], kept, *times)
    console.print(table, "seconds a mammogram, medians", sep="\n")


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "--stages":
        _stages(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    else:
        main()
