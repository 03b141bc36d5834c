"""A small world for tests: practice mammograms, and a whole study on them, each made once."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from mammofill.experiment import Stage, StudyRun

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded; tests run side by side
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # so in the background of a shell; tests send it to programs
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("any machine", deadline=None)  # a test must not fail because something else is running
settings.load_profile("any machine")

TINY_STUDY = """
name = "tiny"
seed = 3

[phantom]
patients = 30
height_px = 256
width_px = 160

[ingest]
height_px = 192

[extract-patches]
size_px = 32
stride_px = 16

[train-infiller]
preset = "demo"
hole = { rule = "mask", share = 0.0, plus_px = 0.0 }  # patches of 32 px have little room for more
generator.widths = [8, 8, 8, 8]
discriminator.widths = [4, 8]
schedule.pretrain_epochs = 2
schedule.adversarial_epochs = 1
checkpoint_every_images = 32
preview_every_images = 64
history_every_images = 32

[synthesize]
ratio = 0.5
patches_per_shard = 16

[train-classifier]
network = "shallow-cnn"
weights = "none"
input_px = 32
epochs = 2
learning_rate = 1e-3
checkpoint_every_images = 64

[[arms]]
name = "real only"
augmentation.traditional = true

[[arms]]
name = "real and generated"
augmentation.traditional = true
synthetic = true

[grid]
real_shares = [0.5, 1]

[evaluate]
resamples = 200

[judge-infiller]
resamples = 200
cases = 12
seed_cases = 4
train_on_fills.images = 64
seeds_per_case = 2
folds = 3
trees = 10
sheet_cases = 2
"""
"""The whole corridor with networks as small as they come; only good for tests."""


@pytest.fixture(scope="session")
def corridor(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    """Return the tiny study, run to its end."""
    return _run(tmp_path_factory.mktemp("corridor"), "tiny", TINY_STUDY)


def _run(folder: Path, name: str, text: str) -> StudyRun:
    """Write a study file and run it to its end."""
    from mammofill.experiment import run_study

    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return run_study(path, folder / "out")


FOLDED_STUDY = """
name = "folded"
seed = 3

[phantom]
patients = 24
height_px = 192
width_px = 128

[ingest]
height_px = 160
validation_share = 0.3

[extract-patches]
size_px = 32
stride_px = 32
normals_per_mammogram = 4

[train-infiller]
preset = "copy-paste"
hole = { share = 0.1, plus_px = 1.0 }  # small enough for patches of 32 px

[train-classifier]
network = "shallow-cnn"
weights = "none"
input_px = 32
epochs = 1
learning_rate = 1e-3

[[arms]]
name = "real only"
augmentation.traditional = true

[[arms]]
name = "pasted"
synthetic = true

[grid]
folds = 2
fold_repeats = 2

[evaluate]
resamples = 200
heat_maps = 0

[compare-arms]
resamples = 200
curve_resamples = 100
"""
"""A cross-validation as small as it comes, infillers and all, twice."""


@pytest.fixture(scope="session")
def folded(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    """Return the cross-validated study, run to its end."""
    return _run(tmp_path_factory.mktemp("folded"), "folded", FOLDED_STUDY)


GATED_STUDY = """
name = "gated"
seed = 3

[phantom]
patients = 40
height_px = 192
width_px = 128

[ingest]
height_px = 160
validation_share = 0.3

[extract-patches]
size_px = 32
stride_px = 16
normals_per_mammogram = 4

[train-infiller]
preset = "copy-paste"
hole = { share = 0.1, plus_px = 1.0 }  # small enough for patches of 32 px

[select-synthetic]
class_fidelity = 0.02
other_class = 0.0
seam = 0.02
refuse_copies = false  # all are
least_real = 4
folds = 3
trees = 10
shown = 2

[train-classifier]
network = "shallow-cnn"
weights = "none"
input_px = 32
epochs = 1
learning_rate = 1e-3

[[arms]]
name = "real only"
augmentation.traditional = true

[[arms]]
name = "pasted"
synthetic = true

[[arms]]
name = "pasted, gated"
synthetic = true
select = "gated"

[[arms]]
name = "pasted, as many at random"
synthetic = true
select = "random"

[grid]
doses = [0.5]

[evaluate]
resamples = 200
heat_maps = 0

[compare-arms]
resamples = 200
curve_resamples = 100
"""
"""A study in which arms select among fills, as small as it comes."""


@pytest.fixture(scope="session")
def gated(tmp_path_factory: pytest.TempPathFactory) -> StudyRun:
    """Return the study with the gate, run to its end."""
    return _run(tmp_path_factory.mktemp("gated"), "gated", GATED_STUDY)


_NOT_IN_THE_CORRIDOR = {"pool-folds": "folded", "select-synthetic": "gated"}


@pytest.fixture
def ran(stage: Stage, request: pytest.FixtureRequest) -> StudyRun:
    """Return the study in which the stage at hand ran: the corridor, but for those that it does without."""
    run: StudyRun = request.getfixturevalue(_NOT_IN_THE_CORRIDOR.get(stage.name, "corridor"))
    return run
