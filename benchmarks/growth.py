"""How the steps that train nothing grow with the collection: CPU time and peak memory at several N, and the exponent.

    python benchmarks/growth.py [--only WORD ...] [--at-most 1000000] [--json FILE]

Each figure is of a process of its own, made by fork: the CPU seconds of it and of those it starts, and by how much its
resident memory rose at most above what it held before the step. What a step is given is made before and not counted.
The exponent is the slope between the two largest N in the logarithms of both: 1 is linear, 2 is square.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

Work = Callable[[], object]
FEW, TABLES = (200, 2_000, 20_000), (2_000, 20_000, 200_000, 1_000_000)
LEAST_SECONDS, LEAST_MB = 0.05, 5.0
"""Below these an exponent says nothing: the clock and the allocator have their own grain."""
console = Console(width=140)


# ---- the steps: each makes what it is given, and returns the work that is measured ----------------------------------


def split_of_patients(count: int) -> Work:
    from mammofill.mammograms.split import draw_split

    random = np.random.default_rng(0)
    kinds = [("benign", "mass", "b"), ("malignant", "mass", "c"), ("normal", "", "a")]
    strata = {f"patient-{number:07d}": kinds[int(kind)] for number, kind in enumerate(random.integers(3, size=count))}
    return lambda: draw_split(strata, {"test": 0.2, "validation": 0.15}, 0)


def tables_of_audit(count: int) -> Work:
    from mammofill.audit.tables import table_findings
    from mammofill.mammograms.sources.annotations import Collection, Listed

    def row(number: int) -> Listed:
        patient = f"patient-{number // 4:07d}"
        side, view = (("left", "right")[number % 2], ("CC", "MLO")[number // 2 % 2])
        name = f"{patient}-{side}-{view}"
        kind = ("benign", "malignant")[number % 3 == 0]
        return Listed(
            f"table row {number}", patient, name, f"{name}-1", side, view, kind, "mass", "b",
            ("train", "test")[number % 40 < 8],
        )  # fmt: skip

    collection = Collection((), (), (), tuple(map(row, range(count))))
    return lambda: table_findings(collection)


def hashes_like_mammograms(count: int) -> np.ndarray:
    """Return (N, 4) uint64: bits that go together as of 60 common factors; two differ by 128 bits mostly."""
    random = np.random.default_rng(0)
    factors = (random.standard_normal((60, 255)) / np.sqrt(1 + np.arange(60))[:, None]).astype(np.float32)
    parts = []
    for start in range(0, count, 20_000):
        some = min(20_000, count - start)
        bits = np.zeros((some, 256), np.bool_)
        own = random.standard_normal((some, 255), np.float32)
        bits[:, 1:] = random.standard_normal((some, 60), np.float32) @ factors + np.float32(0.6) * own > 0
        parts.append(np.packbits(bits, axis=1).view(np.uint64))
    return np.concatenate(parts)


def pictures_there_twice(count: int) -> Work:
    from mammofill.audit.alike import closest_pairs

    hashes = hashes_like_mammograms(count)
    return lambda: console.print(f"    {closest_pairs(hashes, ~hashes).words()}")


def patch_table(count: int, per_patient: int = 10) -> pd.DataFrame:
    numbers = np.arange(count)
    patients = pd.Series(numbers // per_patient).astype("string")
    return pd.DataFrame({
        "patch_id": pd.Series(numbers).astype("string"),
        "patient_id": patients,
        "pathology": pd.Series(np.array(["benign", "malignant", "normal"], object)[numbers % 3], dtype="string"),
        "split": pd.Series(np.array(["train", "train", "test"], object)[numbers // per_patient % 3], dtype="string"),
        "origin": pd.Series(np.full(count, "real", object), dtype="string"),
        "lesion_ids": pd.Series(numbers // 2).astype("string"),
        "shard": (numbers // 250).astype(np.int32),
    })  # fmt: skip


def patches_by_file(count: int) -> Work:
    """Choose rows and sort them by file and row group; the files' footers are not read."""
    from mammofill.patches import PatchSet

    patches = PatchSet(Path("nowhere"), SimpleNamespace())
    patches.__dict__ |= {"_index": patch_table(count), "shards": [Path()] * math.ceil(count / 250)}
    patches.__dict__["table"] = patches._index
    bounds = np.array([0, 64, 128, 192, 250])

    def work() -> int:
        with patch.object(PatchSet, "_group_bounds", lambda *_: bounds):
            return sum(1 for _ in patches._by_group(patches.rows(split="train", pathology=("benign", "malignant"))))

    return work


def donors_of_others(count: int) -> Work:
    """Draw a lesion of another patient, of the same class, for each of N lesions."""
    from mammofill.pairing.pair import _Donors

    patients = (np.arange(count) // 3).astype(str).astype(object)
    classes = np.array(["benign", "malignant"], object)[np.arange(count) % 2]
    random = np.random.default_rng(0)

    def work() -> None:
        donors = _Donors(np.arange(count), np.zeros((count, 1, 1), bool), patients, classes)
        for patient, name in zip(patients, classes, strict=True):
            others = donors.others(patient, name)
            others[int(random.integers(len(others)))]

    return work


def orders_of_synthesis(count: int) -> Work:
    from mammofill.synthesis import SynthesizeSettings
    from mammofill.synthesis.fill import _choose

    table = pd.DataFrame({
        "pair_id": pd.Series(np.arange(count)).astype("string"),
        "requested_pathology": np.array(["benign", "malignant"], object)[np.arange(count) % 2],
    })  # fmt: skip
    pairs: Any = SimpleNamespace(table=table, folder="nowhere")
    return lambda: _choose(pairs, {"benign": count // 2, "malignant": count // 2}, SynthesizeSettings(), 0)


def batches_of_a_pass(count: int) -> Work:
    """Say which patches make each batch of 32, through one pass over N."""
    from mammofill.ground.training.data_order import positions_at

    return lambda: [positions_at(seen, 32, count, 0, "order") for seen in range(0, count, 32)]


def auc_with_interval(count: int) -> Work:
    """The AUC by patch of N patches of N / 2 patients, on 2,000 resamples of these."""
    from mammofill.evaluation.intervals import Resamples
    from mammofill.evaluation.metrics import weighted_auc

    random = np.random.default_rng(0)
    malignant = random.random(count) < 0.4
    logits = malignant + random.normal(size=count)
    patients = (np.arange(count) // 2).astype(str).astype(object)

    def work() -> None:
        resamples = Resamples.draw(patients, 2000, np.random.default_rng(1))
        resamples.draws(lambda weights: {"auc": weighted_auc(malignant, logits, weights)})

    return work


def lesions_and_patients(count: int) -> Work:
    from mammofill.evaluation.units import Units

    table, logits = patch_table(count), np.random.default_rng(0).normal(size=count)
    return lambda: [Units(table)[unit].scores(logits) for unit in ("lesion", "patient")]


def nearest_training_lesion(count: int) -> Work:
    """The correlation of each of N fills with the nearest of N training lesions."""
    from mammofill.judging.similarity import greatest_correlation

    random = np.random.default_rng(0)
    found, lesions = (random.standard_normal((count, 1024), np.float32) for _ in range(2))
    names = (np.arange(count) // 3).astype(str).astype(object)
    return lambda: greatest_correlation(found, names, lesions, names)


@dataclass(frozen=True)
class Nothing:
    """Settings of an artifact that nobody made."""


def finishing_and_opening(count: int) -> Work:
    """Finish an artifact of N files of 100 bytes, and open it."""
    from mammofill.ground.artifact import Artifact, begin

    place = Path(tempfile.mkdtemp())

    class Files(Artifact):
        kind = "files"

    def work() -> None:
        with begin(place / "set", kind="files", stage="made", settings=Nothing(), seed=0, inputs={}) as work:
            assert work is not None
            for number in range(count):
                (work.folder / f"{number:07d}.bin").write_bytes(bytes(100))
            work.finish({"files": count})
        Files.open(place / "set")

    return work


def jobs_in_processes(count: int) -> Work:
    """Hand out N jobs that do nothing to two processes."""
    from mammofill.ground.processes import Limits, in_processes

    return lambda: sum(1 for _ in in_processes(_nothing, range(count), 2, Limits()))


def _nothing(_: int) -> None:
    return


STEPS: dict[str, tuple[Callable[[int], Work], tuple[int, ...]]] = {
    "split of N patients": (split_of_patients, TABLES),
    "audit: tables of N rows": (tables_of_audit, (2_000, 20_000, 200_000)),
    "audit: pictures there twice, all pairs": (pictures_there_twice, FEW),
    "audit: pictures there twice, index": (pictures_there_twice, (200_000, 1_000_000)),
    "patches: N chosen and sorted by file": (patches_by_file, TABLES),
    "pairs: a donor for each of N lesions": (donors_of_others, (2_000, 20_000, 200_000)),
    "synthesis: N orders": (orders_of_synthesis, (2_000, 20_000, 200_000)),
    "training: batches of a pass over N": (batches_of_a_pass, TABLES),
    "evaluation: AUC of N patches, interval": (auc_with_interval, FEW),
    "evaluation: lesions and patients of N": (lesions_and_patients, TABLES),
    "judging: nearest of N lesions to N fills": (nearest_training_lesion, (200, 1_000, 4_000)),
    "artifact: N files finished and opened": (finishing_and_opening, FEW),
    "work: N jobs in two processes": (jobs_in_processes, FEW),
}


# ---- measuring ------------------------------------------------------------------------------------------------------


def measured(make: Callable[[int], Work], count: int) -> tuple[float, float]:
    """Return CPU seconds and the rise of memory in MB of a step, in a process of its own."""
    mine, its = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_measure, args=(its, make, count))
    process.start()
    its.close()
    found: tuple[float, float] = mine.recv()
    process.join()
    return found


def _measure(answer: Connection, make: Callable[[int], Work], count: int) -> None:
    make(200)()  # what is imported and set up once is not counted
    work = make(count)
    before = status_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts here
    began = cpu_seconds()
    work()
    answer.send((cpu_seconds() - began, max(0.0, status_mb("VmHWM") - before)))


def cpu_seconds() -> float:
    each = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in each)


def status_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def exponent(counts: list[int], values: list[float], least: float) -> float | None:
    """Return the slope of the logarithms between the two largest; None where they are too small to tell."""
    if len(counts) < 2 or values[-2] < least:
        return None
    return math.log(values[-1] / values[-2]) / math.log(counts[-1] / counts[-2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[""], help="steps whose name holds one of these words")
    parser.add_argument("--at-most", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: dict[str, dict[str, Any]] = {}
    table = Table("step", "N", "CPU seconds", "MB more", "exponent of time", "of memory")
    for name, (make, sizes) in STEPS.items():
        if not any(word in name for word in options.only):
            continue
        counts, seconds, megabytes = [], [], []
        for count in (one for one in sizes if one <= options.at_most):
            began = time.perf_counter()
            spent, rise = measured(make, count)
            print(f"{name}: {count:,}: {spent:.2f} s, {rise:.0f} MB ({time.perf_counter() - began:.0f} s)", flush=True)
            counts, seconds, megabytes = [*counts, count], [*seconds, spent], [*megabytes, rise]
        slopes = [exponent(counts, seconds, LEAST_SECONDS), exponent(counts, megabytes, LEAST_MB)]
        figures[name] = {"n": counts, "cpu_seconds": seconds, "mb": megabytes, "exponents": slopes}
        for number, count in enumerate(counts):
            last = number == len(counts) - 1
            shown = ["-" if one is None else f"{one:.2f}" for one in slopes] if last else ["", ""]
            table.add_row(
                name if not number else "", f"{count:,}", f"{seconds[number]:.2f}", f"{megabytes[number]:.0f}", *shown
            )
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
