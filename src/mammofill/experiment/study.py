"""The study file: a whole experiment in one readable TOML file, checked from end to end before anything runs.

::

    name = "what the report is called"
    seed = 0
    device = "cpu"

    [ingest]                      # or [phantom], to make practice mammograms first
    collection = "cbis-ddsm"
    source = "path/of/collection" # relative to this file

    [extract-patches]             # one table per stage; what is left out keeps its default
    size_px = 256

    [train-infiller]
    preset = "paper"

    [train-classifier]            # what all arms share
    epochs = 50

    [[arms]]                      # one classifier each; without any, the paper's four
    name = "ResNet-50 + generated"
    synthetic = true              # learns from the synthetic patches as well
    augmentation.traditional = true
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mammofill.experiment.settings import read_settings, read_toml
from mammofill.experiment.stages import PHANTOM, STAGES, Stage, stage_named
from mammofill.ground.errors import SettingsError, SourceError

PAPER_ARMS: tuple[dict[str, Any], ...] = (
    {"name": "shallow CNN", "network": "shallow-cnn", "weights": "none"},
    {"name": "ResNet-50", "network": "resnet50"},
    {"name": "ResNet-50 + traditional", "network": "resnet50", "augmentation": {"traditional": True}},
    {
        "name": "ResNet-50 + traditional + generated",
        "network": "resnet50",
        "augmentation": {"traditional": True},
        "synthetic": True,
    },
)
"""The four experiments of the paper, section 5: what a study without ``[[arms]]`` runs."""

_PLACES = {
    "phantom": "phantoms",
    "ingest": "mammograms",
    "extract-patches": "patches",
    "pair-patches": "pairs",
    "train-infiller": "infiller",
    "synthesize": "synthetic",
    "write-report": "report",
}
_STUDY_KEYS = ("name", "seed", "device")
_TABLES = (PHANTOM.name, *(stage.name for stage in STAGES), "arms")


@dataclass(frozen=True)
class Step:
    """One stage of a study, with everything that it needs."""

    stage: Stage
    inputs: Mapping[str, tuple[Path, ...]]
    """Role -> where; a relative path lies in the study's output folder."""
    out: Path
    """Where the artifact comes to lie, relative to the study's output folder."""
    settings: Any


@dataclass(frozen=True)
class Study:
    """A study file that was read and checked."""

    path: Path
    name: str
    seed: int
    device: str
    steps: tuple[Step, ...]
    """In the order in which they run."""


@dataclass(frozen=True)
class Arm:
    """One classifier of a study."""

    name: str
    synthetic: bool
    settings: Any

    @property
    def slug(self) -> str:
        """The name as a folder's name."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


def read_study(path: str | Path) -> Study:
    """Read a study file and check all of it; nothing is run or written.

    Args:
        path: the TOML file; paths inside it are relative to its folder.

    Returns:
        The study, with every stage's settings complete.

    Raises:
        SettingsError: the file is missing or not TOML; a table, key or value is unknown or makes no sense.
        SourceError: the source is not there.
    """
    path = Path(path)
    content = read_toml(path)
    _check_keys(content, path)
    tables = {name: dict(content.get(name, {})) for name in _TABLES if name != "arms"}
    source = _source(tables["ingest"], "phantom" in content, path)
    once = [stage for stage in (PHANTOM, *STAGES) if stage.name in _PLACES or stage.name == "evaluate"]
    if "arm" in tables["evaluate"]:
        raise SettingsError(f"{path} [evaluate]: arm is not set here; it is the name in each of [[arms]].")
    settings = {stage.name: _stage_settings(stage, tables[stage.name], path) for stage in once}
    arms = _arms(content.get("arms", PAPER_ARMS), tables["train-classifier"], path)
    name = str(content.get("name", path.stem))
    if "title" not in tables["write-report"]:
        settings["write-report"] = replace(settings["write-report"], title=name)
    return Study(
        path=path,
        name=name,
        seed=int(content.get("seed", 0)),
        device=str(content.get("device", "cpu")),
        steps=tuple(_steps(source, settings, arms)),
    )


def _check_keys(content: Mapping[str, Any], path: Path) -> None:
    for key, value in content.items():
        if key not in (*_STUDY_KEYS, *_TABLES):
            raise SettingsError(
                f"{path} has an entry {key!r} that no study knows. Keys: {', '.join(_STUDY_KEYS)}; "
                f"tables: {', '.join(_TABLES)}."
            )
        wanted = {"name": str, "seed": int, "device": str, "arms": list}.get(key, dict)
        if not isinstance(value, wanted) or isinstance(value, bool):
            word = {str: "a text", int: "a whole number", list: "a list of tables ([[arms]])", dict: "a table"}[wanted]
            raise SettingsError(f"{path}: {key} must be {word}, but is {value!r}.")
    arms = content.get("arms", PAPER_ARMS)
    if not arms or not all(isinstance(arm, Mapping) for arm in arms):
        raise SettingsError(f"{path}: arms must be one or more tables ([[arms]]), but are {arms!r}.")


def _source(ingest: dict[str, Any], phantoms: bool, path: Path) -> Path | None:
    """Take the source out of the table of ingest: a folder, or None for practice mammograms."""
    source = ingest.pop("source", None)
    if phantoms == (source is not None):
        found = "both" if phantoms else "neither"
        raise SettingsError(f"{path} must have either a [phantom] table or a source in [ingest], but has {found}.")
    if source is None:
        ingest.setdefault("collection", "cbis-ddsm")
        return None
    place = (path.parent / str(source)).resolve()
    if not place.exists():
        raise SourceError(f"{path} [ingest]: the source {place} does not exist. It is relative to the study file.")
    return place


def _stage_settings(stage: Stage, table: Mapping[str, Any], path: Path, where: str = "") -> Any:
    where = where or f"{path} [{stage.name}]"
    start = stage.preset(str(table["preset"])) if stage.presets and "preset" in table else None
    return read_settings(stage.settings_class(), table, where, path.parent, start)


def _arms(tables: Any, shared: Mapping[str, Any], path: Path) -> list[Arm]:
    arms: dict[str, Arm] = {}
    for number, table in enumerate(tables, start=1):
        values = _merged(shared, table)
        name, synthetic = values.pop("name", None), values.pop("synthetic", False)
        where = f"{path} [[arms]] number {number}"
        if not isinstance(name, str) or not Arm(name, False, None).slug:
            raise SettingsError(f"{where} must have a name with letters or digits, but has {name!r}.")
        where = f"{path} [[arms]] {name!r}"
        if not isinstance(synthetic, bool):
            raise SettingsError(f"{where}: synthetic must be true or false, but is {synthetic!r}.")
        arm = Arm(name, synthetic, _stage_settings(stage_named("train-classifier"), values, path, where))
        if arm.slug in arms:
            raise SettingsError(f"{where} and {arms[arm.slug].name!r} would share a folder. Give them other names.")
        arms[arm.slug] = arm
    return list(arms.values())


def _merged(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(shared)
    for name, value in own.items():
        both = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
        result[name] = _merged(result[name], value) if both else value
    return result


def _steps(source: Path | None, settings: Mapping[str, Any], arms: list[Arm]) -> Iterator[Step]:
    phantoms, mammograms, patches, pairs = Path("phantoms"), Path("mammograms"), Path("patches"), Path("pairs")
    infiller, synthetic = Path("infiller"), Path("synthetic")
    wanted: dict[str, dict[str, tuple[Path, ...]]] = {} if source else {"phantom": {}}
    wanted["ingest"] = {"source": (source or phantoms,)}
    wanted["extract-patches"] = {"mammograms": (mammograms,)}
    if any(arm.synthetic for arm in arms):
        wanted["pair-patches"] = {"patches": (patches,)}
        wanted["train-infiller"] = {"patches": (patches,), "pairs": (pairs,)}
        wanted["synthesize"] = {"infiller": (infiller,), "pairs": (pairs,), "patches": (patches,)}
    for name, inputs in wanted.items():
        yield Step(stage_named(name), inputs, Path(_PLACES[name]), settings[name])
    for arm in arms:
        learns_from = (patches, synthetic) if arm.synthetic else (patches,)
        out = Path("classifiers") / arm.slug
        yield Step(stage_named("train-classifier"), {"patches": learns_from}, out, arm.settings)
    for arm in arms:
        inputs = {"classifier": (Path("classifiers") / arm.slug,), "patches": (patches,)}
        named = replace(settings["evaluate"], arm=arm.name)
        yield Step(stage_named("evaluate"), inputs, Path("evaluations") / arm.slug, named)
    evaluations = tuple(Path("evaluations") / arm.slug for arm in arms)
    yield Step(stage_named("write-report"), {"evaluations": evaluations}, Path("report"), settings["write-report"])
