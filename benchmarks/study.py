"""What a study costs beside its stages: the wall time of a run against the sum of what its stages took.

    python benchmarks/study.py [--json FILE]

Twelve arms, three seeds each, of stages as small as they come: starting, checking, opening and fingerprinting would
show here first. What arms share is made once, so the sum is over distinct stages. A stage's time is that of its
function, called with inputs that are open; the times recorded in the manifests, which begin after a stage has checked
its inputs, stand beside it. Loading the libraries, which each stage alone would have to do as well, is told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")

from mammofill.experiment import run_study
from mammofill.experiment.stages import Stage

STUDY = """
name = "cost of a study"

[phantom]
patients = 40
height_px = 256
width_px = 160

[ingest]
height_px = 192

[extract-patches]
size_px = 32
stride_px = 16

[infillers.pasted]
preset = "copy-paste"

[infillers.sham]
preset = "texture"

[train-classifier]
network = "shallow-cnn"
weights = "none"
input_px = 32
images = 1000
learning_rate = 1e-3

[grid]
classifiers = 3
doses = [1]

[evaluate]
resamples = 200

[compare-arms]
resamples = 200
curve_resamples = 100
"""
LIBRARIES = (
    "torch",
    "torchvision",
    "lightning_fabric",
    "scipy.stats",
    "sklearn.metrics",
    "matplotlib.figure",
    "jinja2",
)
WAYS = ("", "repeated = true", 'synthetic = "pasted"', 'synthetic = "sham"')
AUGMENTED = ("", "augmentation.flip = true", "augmentation.traditional = true")


def timed(call: Any, took: list[float]) -> Any:
    """Return the call of a stage, which also notes how long it takes."""

    def calling(stage: Stage, *arguments: Any, **named: Any) -> Any:
        began = time.monotonic()
        made = call(stage, *arguments, **named)
        took.append(time.monotonic() - began)
        return made

    return calling


def main() -> None:
    """Run the study once, and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file for the numbers")
    arguments = parser.parse_args()
    ways = [(way, varied) for way in WAYS for varied in AUGMENTED]
    arms = "".join(f'\n[[arms]]\nname = "arm {number}"\n{way}\n{varied}\n' for number, (way, varied) in enumerate(ways))
    began = time.monotonic()
    for library in LIBRARIES:
        import_module(library)
    loading = time.monotonic() - began
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study.toml"
        study.write_text(STUDY + arms, encoding="utf-8")
        took: list[float] = []
        with mock.patch.object(Stage, "__call__", timed(Stage.__call__, took)):
            began = time.monotonic()
            run = run_study(study, Path(folder) / "out")
            wall = time.monotonic() - began
    stages = sum(took)
    recorded = sum(one.manifest.wall_seconds for one in run.artifacts.values())
    found = {
        "arms": len(ways),
        "stages": len(run.artifacts),
        "loading_seconds": round(loading, 1),
        "study_seconds": round(wall, 1),
        "stages_seconds": round(stages, 1),
        "recorded_seconds": round(recorded, 1),
        "study_over_stages": round(wall / stages, 3),
        "study_over_recorded": round(wall / recorded, 3),
    }
    print("\n".join(f"{name:<20} {value}" for name, value in found.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
