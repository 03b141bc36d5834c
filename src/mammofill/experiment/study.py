"""The study file: a whole experiment in one readable TOML file, checked from end to end before anything runs.

::

    name = "what the report is called"
    seed = 0
    device = "cpu"                # or cuda, cuda:1, or auto: a GPU if there is one

    [ingest]                      # or [phantom], to make practice mammograms first
    collection = "cbis-ddsm"
    source = "path/of/collection" # relative to this file
    attributes = "shapes.csv"     # if there is a table of further attributes of the lesions, by image

    [extract-patches]             # one table per stage; what is left out keeps its default
    size_px = 256

    [train-infiller]
    preset = "paper"

    [train-classifier]            # what all arms share
    epochs = 50

    [infiller-windows]            # only where this table stands: trained infillers learn from windows of their own
    stride_px = 8                 # all else as in [extract-patches], but without normal windows

    [infillers.modern]            # instead of [train-infiller]: several, each with a name
    preset = "modern"

    [infillers.flow]
    preset = "flow-small"
    start = "path/of/infiller"    # trained elsewhere: begins with its weights

    [infillers.elsewhere]
    artifact = "path/of/infiller" # trained elsewhere: used as it is, at every share

    [infillers.partly]
    of = "flow"                   # the weights of another one of the study, which paint in another way:
    sampling.begin_time = 0.5     # over real lesions, each in its own outline, of which a part is kept

    [hole]                        # what infillers may repaint for a mask, where their own tables do not say it; pairs
    rule = "ellipse"              # are made for the widest of them

    [[arms]]                      # one kind of classifier each; without any, or with arms = "paper", the paper's four
    name = "ResNet-50 + generated"
    synthetic = true              # learns from the synthetic patches as well; of one of several infillers: its name
    augmentation.traditional = true

    [[arms]]
    name = "ResNet-50 + gated"
    synthetic = true
    select = "gated"              # only those fills that select-synthetic keeps, read by classifiers that learned as
                                  # the last arm of real patches only does, each from a third of the patients;
                                  # "random": as many, drawn at random; "all", the default: as they were painted

    [[arms]]
    name = "features of the GAN"
    discriminator = true          # starts from the infiller's discriminator; of one of several infillers: its name

    [[arms]]
    name = "ResNet-50 + repeated"
    repeated = true               # the control of the same dose: real patches again instead of synthetic ones

    [[arms]]
    name = "ResNet-50 + further patients"
    more_patients = true          # at shares of a half or less: learns from as many further patients as well
    shares = [0.25]               # only at these of the grid's shares

    [[arms]]
    name = "ResNet-50 + generated, first"
    synthetic = true
    synthetic_first = 0.5         # how they are used: any setting of train-classifier
    augmentation.strong = true

    [grid]                        # where this table stands, each arm is trained in all these ways
    infillers = 3                 # so many infillers of each kind, each with fills and classifiers of its own
    classifiers = 2               # so many classifiers for each of them
    doses = [0.5, 1, 2]           # synthetic or repeated patches for each real one
    real_shares = [0.25, 0.5, 1]  # of the patients to learn from, infillers and all; at the dose nearest 1
    disjoint_shares = false       # whether each infiller at a share learns from patients of its own; classifiers = 1
    training_sets = 0             # or: at shares below 1 so many parts of the patients to train arms on, with no
                                  # patient in common; infillers learn from the others, and each paints for each part
    every_dose_at_every_share = false
    folds = 5                     # cross-validation: all of it anew within each fold, and every patient is tested once
    painted_for_each = 2          # fills painted for each one of the largest dose, where an arm selects among them
    fold_repeats = 2              # with patients dealt out anew; each time is one more replicate

    [test]                        # only where this table stands: all other patients are learned from, and the test
    source = "path/of/it"         # split of this source is tested on; all else as in [ingest]

    [external]                    # only where this table stands: a second source, on all of which each classifier is
                                  # judged as well, and from which nothing is learned
    name = "INbreast"             # what it is called
    collection = "inbreast"
    source = "path/of/it"         # all else as in [ingest], where it is not said here

    [judge-infiller]              # only where this table stands: what the infillers paint is measured on test patches,
                                  # with the eyes of the last arm that learned from real patches only, each once, and
                                  # of the last such arm with standardise = true, if there is one; in each fold anew

    [quick]                       # what `run --quick` changes: tables as above, [quick.grid] and so on; its arms is a
    arms = ["ResNet-50"]          # list of names
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mammofill.experiment.arms import ARM_PRESETS, arm_tables, judging_arms, read_arms, readers_of
from mammofill.experiment.checks import (
    check_comparison,
    check_folds,
    check_grid,
    check_own_lesions_hidden,
    check_tested,
)
from mammofill.experiment.grid import Arm, External, Grid, Plan
from mammofill.experiment.infillers import Infillers, read_infillers, read_windows, with_hole
from mammofill.experiment.settings import check_names, check_shown_name, read_settings, read_toml
from mammofill.experiment.stages import stage_named
from mammofill.experiment.steps import Step, steps_of
from mammofill.experiment.tables import merged, place, stage_settings
from mammofill.ground.errors import SettingsError, did_you_mean
from mammofill.pairing.hole import HoleSettings, widest

_ONCE = ("phantom", "ingest", "extract-patches", "pair-patches", "synthesize", "select-synthetic", "evaluate",
         "compare-arms", "judge-infiller", "write-report")  # fmt: skip
"""Stages whose settings stand in a table of their own name."""
_STUDY_KEYS = ("name", "seed", "device")
_QUICK = "quick"
_TABLES = (
    *_ONCE,
    "infiller-windows",
    "train-infiller",
    "train-classifier",
    "infillers",
    "hole",
    "arms",
    "grid",
    "test",
    "external",
)
_NOT_SET = dict.fromkeys(("arm", "replicate", "infiller", "dose", "real_share"), "[[arms]] and [grid]") | {
    "external": "[external]"
}
"""Settings of evaluate that a study decides elsewhere, and where."""


@dataclass(frozen=True)
class Study:
    """A study file that was read and checked."""

    path: Path
    name: str
    seed: int
    device: str
    plan: Plan
    """What the file asks for, from which the steps follow."""
    steps: tuple[Step, ...]
    """In the order in which they run."""


def read_study(path: str | Path, quick: bool = False) -> Study:
    """Read a study file and check all of it; nothing is run or written.

    Args:
        path: the TOML file; paths inside it are relative to its folder.
        quick: whether its table ``[quick]`` holds: a smaller study, for a first look.

    Returns:
        The study, with every stage's settings complete.

    Raises:
        SettingsError: the file is missing or not TOML; a table, key or value is unknown or makes no sense.
        SourceError: the source is not there.
    """
    path = Path(path)
    content = _quickened(read_toml(path), quick, path)
    _check_keys(content, path)
    plan = _plan(content, path)
    return Study(path, _name(content, path), plan.seed, _device(content, path), plan, tuple(steps_of(plan)))


def up_to(study: Study, place: str) -> Study:
    """Return a study of the steps that lead to one of its artifacts, and of no others.

    Args:
        study: that was read.
        place: where the artifact comes to lie in the study's folder, for example infillers/flow.

    Raises:
        SettingsError: the study makes nothing there.
    """
    last = next((step for step in study.steps if step.out == Path(place)), None)
    if last is None:
        places = [str(step.out) for step in study.steps]
        raise SettingsError(
            f"{study.path} makes nothing at {place!r}.{did_you_mean(place, places)} --dry-run lists what it makes, and "
            "where."
        )
    wanted, needed = [], {last.out}
    for step in reversed(study.steps):
        if step.out in needed:
            wanted.append(step)
            given = {place for places in step.inputs.values() for place in places}
            needed |= given | {folder for place in given for folder in place.parents}  # phantoms lie inside of a step's
    return replace(study, steps=tuple(reversed(wanted)))


def _plan(content: Mapping[str, Any], path: Path) -> Plan:
    """Return what a study file asks for."""
    tables = {name: dict(content.get(name, {})) for name in _TABLES if name != "arms"}
    source = _source(tables["ingest"], "phantom" in content, path)
    attributes = _attributes(tables["ingest"], f"{path} [ingest]", path)
    settings = _settings(content, tables, path)
    check_tested(settings["evaluate"].split, content, path)
    if "hole" in content:
        _share_the_hole(tables, path)
    infillers = read_infillers(content, tables, path)
    if "hole" not in tables["pair-patches"]:
        settings["pair-patches"] = _in_the_widest_hole(settings["pair-patches"], infillers)
    check_own_lesions_hidden(settings["pair-patches"], infillers, path)
    windows = read_windows(tables["infiller-windows"], settings["extract-patches"], content, path)
    test = _test(tables["test"], settings, path) if "test" in content else None
    arms = _arms(content, tables, infillers, path)
    grid = read_settings(Grid, tables["grid"], f"{path} [grid]", path.parent)
    check_grid(grid, arms, tables["synthesize"], path)
    check_folds(grid, content, path)
    check_comparison(settings["compare-arms"], grid, arms, path)
    return Plan(
        source=source,
        settings=settings,
        infillers=infillers.settings,
        arms=tuple(arms),
        grid=grid,
        judging=_judging(content, arms, path),
        seed=int(content.get("seed", 0)),
        external=_external(tables["external"], settings["ingest"], path) if "external" in content else None,
        readers=readers_of(content, arms, path),
        windows=windows,
        starts=infillers.starts,
        ready=infillers.ready,
        paints_with=infillers.paints_with,
        attributes=attributes,
        test=test,
    )


def _name(content: Mapping[str, Any], path: Path) -> str:
    name = str(content.get("name", path.stem))
    check_shown_name(name, str(path))
    return name


def _device(content: Mapping[str, Any], path: Path) -> str:
    device = str(content.get("device", "cpu"))
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise SettingsError(f"{path}: device must be auto, cpu, cuda, cuda:<number> or mps, but is {device!r}.")
    return device


def _settings(content: Mapping[str, Any], tables: Mapping[str, dict[str, Any]], path: Path) -> dict[str, Any]:
    """Return the settings of the stages that stand in a table of their own."""
    for field, tables_of_it in _NOT_SET.items():
        if field in tables["evaluate"]:
            raise SettingsError(f"{path} [evaluate]: {field} is not set here; it follows from {tables_of_it}.")
    settings = {name: stage_settings(stage_named(name), tables[name], path) for name in _ONCE}
    if "title" not in tables["write-report"]:
        settings["write-report"] = replace(settings["write-report"], title=_name(content, path))
    return settings


def _share_the_hole(tables: dict[str, dict[str, Any]], path: Path) -> None:
    """Give the one hole of a study to all infillers that it trains, each under what its own table says of it."""
    check_names(HoleSettings, tables["hole"], f"{path} [hole]")
    tables["train-infiller"] = with_hole(tables["hole"], tables["train-infiller"])
    for name, table in tables["infillers"].items():
        tables["infillers"][name] = with_hole(tables["hole"], table)


def _in_the_widest_hole(pairing: Any, infillers: Infillers) -> Any:
    """Return how patches are paired so that all arms fill the same places, where every infiller's hole fits."""
    return replace(pairing, hole=widest(one.hole for one in infillers.settings.values()))


def _arms(
    content: Mapping[str, Any], tables: Mapping[str, dict[str, Any]], infillers: Infillers, path: Path
) -> list[Arm]:
    shared = tables["train-classifier"]
    check_names(stage_named("train-classifier").settings_class(), shared, f"{path} [train-classifier]")
    return read_arms(arm_tables(content), shared, infillers.settings, path)


def _judging(content: Mapping[str, Any], arms: list[Arm], path: Path) -> tuple[Arm, ...]:
    if "judge-infiller" not in content:
        return ()
    where, what = f"{path} [judge-infiller]", "an infiller is judged"
    fitting = judging_arms(arms, where, what)
    whole = [arm for arm in arms if not arm.shares or 1 in arm.shares]  # what is judged has learned from all patients
    if not any(arm in whole for arm in fitting):
        raise SettingsError(
            f"{where}: {what} at a share of 1, but {fitting[0].name!r}, whose classifier would judge, is trained at "
            f"{', '.join(f'{one:g}' for one in fitting[0].shares)} only. Add 1 to its shares."
        )
    return judging_arms(whole, where, what)


def _quickened(content: dict[str, Any], quick: bool, path: Path) -> dict[str, Any]:
    """Take the table ``[quick]`` out of a study, and let it hold if that is asked for."""
    changes = content.pop(_QUICK, None)
    if not quick:
        return content
    if not isinstance(changes, Mapping):
        raise SettingsError(f"{path} has no table [{_QUICK}], so a quick run of it is not defined.")
    kept = changes.get("arms")
    tables = merged(content, {name: value for name, value in changes.items() if name != "arms"})
    if kept is None:
        return tables
    known = [arm.get("name") for arm in content.get("arms", ()) if isinstance(arm, Mapping)]
    for name in kept:
        if name not in known:
            raise SettingsError(
                f"{path} [{_QUICK}]: arms names {name!r}, but the arms are {', '.join(map(str, known))}."
            )
    return {**tables, "arms": [arm for arm in content["arms"] if arm["name"] in kept]}


def _check_keys(content: Mapping[str, Any], path: Path) -> None:
    for key, value in content.items():
        if key not in (*_STUDY_KEYS, *_TABLES):
            meant = did_you_mean(key, (*_STUDY_KEYS, *_TABLES))
            raise SettingsError(
                f"{path} has an entry {key!r} that no study knows.{meant} Keys: {', '.join(_STUDY_KEYS)}; "
                f"tables: {', '.join(_TABLES)}."
            )
        if key == "arms" and isinstance(value, str) and value in ARM_PRESETS:
            continue
        wanted = {"name": str, "seed": int, "device": str, "arms": list}.get(key, dict)
        if not isinstance(value, wanted) or isinstance(value, bool):
            word = {
                str: "a text",
                int: "a whole number",
                list: 'a list of tables ([[arms]]), or "paper"',
                dict: "a table",
            }[wanted]
            raise SettingsError(f"{path}: {key} must be {word}, but is {value!r}.")
    arms = arm_tables(content)
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
    return place(source, f"{path} [ingest]", path)


def _test(table: dict[str, Any], settings: dict[str, Any], path: Path) -> External:
    """Return where the test patients come from; of the study's own source no patient is tested then."""
    where, ingest = f"{path} [test]", settings["ingest"]
    source, attributes = table.pop("source", None), _attributes(table, where, path)
    if source is None:
        raise SettingsError(f"{where} must have a source: where the test patients are.")
    usual = type(ingest)()
    for field in ("split", "test_share"):
        if getattr(ingest, field) != getattr(usual, field):
            raise SettingsError(f"{path} [ingest]: {field} is not set here; all test patients are of [test].")
    own = read_settings(type(ingest), table, where, path.parent, replace(ingest, split="auto"))
    settings["ingest"] = replace(ingest, split="patients", test_share=0.0)
    return External("test", place(source, where, path), own, attributes)


def _external(table: dict[str, Any], ingest: Any, path: Path) -> External:
    where = f"{path} [external]"
    name, source = table.pop("name", None), table.pop("source", None)
    attributes = _attributes(table, where, path)
    if not isinstance(name, str) or not name.strip() or source is None or "collection" not in table:
        raise SettingsError(
            f"{where} must have a name, a collection and a source: whose mammograms they are, and where."
        )
    # Not the split, of which another collection may have none; all its patients test.
    start = replace(ingest, split="auto")
    settings = read_settings(type(ingest), table, where, path.parent, start)
    return External(name.strip(), place(source, where, path), settings, attributes)


def _attributes(table: dict[str, Any], where: str, path: Path) -> Path | None:
    """Take the table of further attributes of the lesions out of a table of ingest, if it names one."""
    attributes = table.pop("attributes", None)
    return None if attributes is None else place(attributes, where, path)
