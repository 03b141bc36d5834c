"""A method and a stage from another package, by entry points alone: nothing of mammofill is changed for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).with_name("infilling")))

from toy_infilling import make_pairs, make_patches, rows_of

from mammofill.experiment import stages
from mammofill.experiment.stages import STAGES, Stage
from mammofill.ground.errors import SettingsError
from mammofill.ground.extensions import with_extensions
from mammofill.infilling.methods import MethodRow

FLAT_METHOD = '''
"""A method that fills holes with one gray level, and a stage that counts patches."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mammofill.experiment.stages import Input, Stage
from mammofill.ground.artifact import Artifact, begin
from mammofill.infilling.methods import TrainingResult, MethodRow
from mammofill.infilling.settings import InfillerSettings


@dataclass(frozen=True)
class FlatSettings(InfillerSettings):
    """One gray level.

    Attributes:
        level: of the fill, in [0, 1].
    """

    preset: str = "flat"
    method: Literal["flat"] = "flat"
    level: float = 0.5


PRESETS = {"flat": FlatSettings()}
METHOD = MethodRow("flat", "elsewhere", "elsewhere:PRESETS")


class FlatPainter:
    def __init__(self, level):
        self.level = level

    def fills(self, cases):
        for image in cases.images:
            yield np.full(image.shape, self.level, np.float32)


def check(patches, rows, settings):
    return {}


def train(job):
    return TrainingResult({"level": job.settings.level}, job.rows[:0], {})


def open_painter(folder, network, device):
    return FlatPainter(network["level"])


@dataclass(frozen=True)
class CountSettings:
    """What is counted.

    Attributes:
        pathology: of the patches.
    """

    pathology: str = "normal"


class Count(Artifact):
    kind = "count"


def count_patches(patches, out, settings=CountSettings(), *, seed=0, progress=None):
    with begin(
        out, kind="count", stage="count-patches", settings=settings, seed=seed, inputs={"patches": patches}
    ) as work:
        if work is not None:
            work.finish({settings.pathology: len(patches.rows(pathology=settings.pathology))})
    return Count.open(out)


STAGE = Stage(
    name="count-patches",
    summary="count the patches of a pathology",
    function="elsewhere:count_patches",
    settings="elsewhere:CountSettings",
    inputs=(Input("patches", "mammofill.patches:PatchSet"),),
    output="elsewhere:Count",
)
NO_ROW = "count-patches"
'''


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Return a folder with a package as pip would have installed it: its module, and its metadata."""
    folder = tmp_path / "site-packages"
    metadata = folder / "elsewhere-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "elsewhere.py").write_text(FLAT_METHOD, encoding="utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(
        "[mammofill.infilling_methods]\nflat = elsewhere:METHOD\n\n"
        "[mammofill.stages]\ncount-patches = elsewhere:STAGE\n\n"
        "[tests.wrong]\nwrong = elsewhere:NO_ROW\n\n[tests.absent]\nabsent = elsewhere:NOTHING\n",
        encoding="utf-8",
    )
    return folder


def run(elsewhere: Path, cwd: Path, *commands: str) -> str:
    """Run commands of mammofill in one new process that finds the package; return what they said."""
    script = "import sys; from mammofill.cli import main\nfor one in sys.argv[1:]: assert main(one.split()) == 0, one"
    path = os.pathsep.join([str(elsewhere), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", script, *commands],
        cwd=cwd, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_stage_and_a_method_from_outside_are_listed_and_run(elsewhere: Path, tmp_path: Path) -> None:
    patches = make_patches(tmp_path / "patches", rows_of())
    make_pairs(tmp_path / "pairs", patches)
    said = run(
        elsewhere,
        tmp_path,
        "--help",
        "count-patches --help",
        "count-patches patches --out counted --pathology benign --quiet",
        "train-infiller patches pairs --preset flat --level 0.25 --previews 0 --out infiller --quiet",
        "synthesize infiller pairs patches --benign 2 --malignant 2 --out synthetic --quiet",
    )
    overview, _, rest = said.partition("usage: mammofill count-patches PATCHES --out DIR")
    assert "From other packages that are installed:\n  count-patches" in overview
    assert "count the patches of a pathology" in overview
    assert "of the patches. (type: str, default: normal)" in rest
    assert "counted: count (11 benign)" in rest
    assert "infiller: infiller (16 lesion patches" in rest
    from mammofill.patches import PatchSet

    images, masks = PatchSet.open(tmp_path / "synthetic").pixels(range(4))
    assert set(images[masks]) == {round(0.25 * 65535)}


def test_without_the_package_its_infiller_is_refused_by_its_method(elsewhere: Path, tmp_path: Path) -> None:
    from mammofill.ground.errors import DamagedError
    from mammofill.infilling import Infiller

    patches = make_patches(tmp_path / "patches", rows_of())
    make_pairs(tmp_path / "pairs", patches)
    run(elsewhere, tmp_path, "train-infiller patches pairs --preset flat --previews 0 --out infiller --quiet")
    with pytest.raises(DamagedError, match="names the method 'flat'; this version knows gan"):
        Infiller.open(tmp_path / "infiller")


def test_what_is_no_row_or_is_not_there_or_is_called_like_another_is_refused(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(elsewhere))
    with pytest.raises(SettingsError, match=r"'elsewhere:NO_ROW' \(tests.wrong\) .* must be a Stage, but is 'count-pa"):
        with_extensions(STAGES, "tests.wrong", Stage)
    with pytest.raises(SettingsError, match=r"'elsewhere:NOTHING' .* cannot be imported .*Mend or uninstall"):
        with_extensions(STAGES, "tests.absent", Stage)
    ours = (MethodRow("flat", "ours", "ours:PRESETS"),)
    with pytest.raises(SettingsError, match=r"'elsewhere:METHOD' .* is called 'flat', as another one is already"):
        with_extensions(ours, "mammofill.infilling_methods", MethodRow)
    found = with_extensions(STAGES, stages.ENTRY_POINTS, Stage)
    assert list(found) == [*(stage.name for stage in STAGES), "count-patches"]
