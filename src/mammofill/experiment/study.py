"""The study file: a whole experiment in one readable TOML file, checked from end to end before anything runs.

::

    name = "what the report is called"
    seed = 0
    device = "cpu"                # or cuda, cuda:1, or auto: a GPU if there is one

    [ingest]                      # or [phantom], to make practice mammograms first
    collection = "cbis-ddsm"
    source = "path/of/collection" # relative to this file
    attributes = "shapes.csv"     # if there is a table of what else is known of the lesions, by picture

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

from mammofill.experiment.settings import check_names, read_settings, read_toml
from mammofill.experiment.stages import Stage, stage_named
from mammofill.experiment.steps import ALL, RANDOM, SELECTIONS, Arm, External, Grid, Plan, Step, steps_of
from mammofill.ground.errors import SettingsError, SourceError, did_you_mean
from mammofill.infilling import Infiller
from mammofill.pairing.hole import widest

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
ARM_PRESETS: dict[str, tuple[dict[str, Any], ...]] = {"paper": PAPER_ARMS}
"""Arms by a name that may stand for them: ``arms = "paper"``."""

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
    "arms",
    "grid",
    "test",
    "external",
)
_NOT_SET = dict.fromkeys(("arm", "replicate", "infiller", "dose", "real_share"), "[[arms]] and [grid]") | {
    "external": "[external]"
}
"""Settings of evaluate that a study decides elsewhere, and where."""
ONLY_INFILLER = "infiller"
"""What the infiller of a study is called that names none."""


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
    tables = {name: dict(content.get(name, {})) for name in _TABLES if name != "arms"}
    source = _source(tables["ingest"], "phantom" in content, path)
    attributes = _attributes(tables["ingest"], f"{path} [ingest]", path)
    for field, tables_of_it in _NOT_SET.items():
        if field in tables["evaluate"]:
            raise SettingsError(f"{path} [evaluate]: {field} is not set here; it follows from {tables_of_it}.")
    settings = {name: _stage_settings(stage_named(name), tables[name], path) for name in _ONCE}
    starts, ready = (_infillers_elsewhere(key, tables, path) for key in ("start", "artifact"))
    infillers = _infillers(content, tables, ready, path)
    own_windows = _windows(tables["infiller-windows"], settings["extract-patches"], content, path)
    if "hole" not in tables["pair-patches"]:
        # All arms are filled in the same places, those in which every infiller's hole fits.
        hole = widest(one.hole for one in infillers.values())
        settings["pair-patches"] = replace(settings["pair-patches"], hole=hole)
    check_names(stage_named("train-classifier").settings_class(), tables["train-classifier"],
                f"{path} [train-classifier]")  # fmt: skip
    test = _test(tables["test"], settings, path) if "test" in content else None
    arms = _arms(_arm_tables(content), tables["train-classifier"], infillers, path)
    grid = read_settings(Grid, tables["grid"], f"{path} [grid]", path.parent)
    _check_grid(grid, arms, tables["synthesize"], path)
    _check_folds(grid, content, path)
    _check_comparison(settings["compare-arms"], grid, arms, path)
    name, seed = str(content.get("name", path.stem)), int(content.get("seed", 0))
    device = str(content.get("device", "cpu"))
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise SettingsError(f"{path}: device must be auto, cpu, cuda, cuda:<number> or mps, but is {device!r}.")
    if "title" not in tables["write-report"]:
        settings["write-report"] = replace(settings["write-report"], title=name)
    where = f"{path} [judge-infiller]"
    judging = _judging_arms(arms, where, "an infiller is judged") if "judge-infiller" in content else ()
    readers = _readers(content, arms, path)
    external = _external(tables["external"], settings["ingest"], path) if "external" in content else None
    plan = Plan(
        source,
        settings,
        infillers,
        tuple(arms),
        grid,
        judging,
        seed,
        external,
        readers,
        own_windows,
        starts,
        ready,
        attributes,
        test,
    )
    return Study(path, name, seed, device, plan, tuple(steps_of(plan)))


def _quickened(content: dict[str, Any], quick: bool, path: Path) -> dict[str, Any]:
    """Take the table ``[quick]`` out of a study, and let it hold if that is asked for."""
    changes = content.pop(_QUICK, None)
    if not quick:
        return content
    if not isinstance(changes, Mapping):
        raise SettingsError(f"{path} has no table [{_QUICK}], so nobody knows what a quick run of it would be.")
    kept = changes.get("arms")
    tables = _merged(content, {name: value for name, value in changes.items() if name != "arms"})
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
    arms = _arm_tables(content)
    if not arms or not all(isinstance(arm, Mapping) for arm in arms):
        raise SettingsError(f"{path}: arms must be one or more tables ([[arms]]), but are {arms!r}.")


def _arm_tables(content: Mapping[str, Any]) -> Any:
    arms = content.get("arms", "paper")
    return ARM_PRESETS[arms] if isinstance(arms, str) else arms


def _source(ingest: dict[str, Any], phantoms: bool, path: Path) -> Path | None:
    """Take the source out of the table of ingest: a folder, or None for practice mammograms."""
    source = ingest.pop("source", None)
    if phantoms == (source is not None):
        found = "both" if phantoms else "neither"
        raise SettingsError(f"{path} must have either a [phantom] table or a source in [ingest], but has {found}.")
    if source is None:
        ingest.setdefault("collection", "cbis-ddsm")
        return None
    return _place(source, f"{path} [ingest]", path)


def _test(table: dict[str, Any], settings: dict[str, Any], path: Path) -> External:
    """Return where the test patients come from; of the study's own source nobody tests then."""
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
    return External("test", _place(source, where, path), own, attributes)


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
    return External(name.strip(), _place(source, where, path), settings, attributes)


def _attributes(table: dict[str, Any], where: str, path: Path) -> Path | None:
    """Take the table of what else is known of the lesions out of a table of ingest, if it names one."""
    attributes = table.pop("attributes", None)
    return None if attributes is None else _place(attributes, where, path)


def _place(source: Any, where: str, path: Path) -> Path:
    place = (path.parent / str(source)).resolve()
    if not place.exists():
        raise SourceError(f"{where}: the source {place} does not exist. It is relative to the study file.")
    return place


def _stage_settings(stage: Stage, table: Mapping[str, Any], path: Path, where: str = "") -> Any:
    where = where or f"{path} [{stage.name}]"
    try:
        start = stage.preset(str(table["preset"])) if stage.presets and "preset" in table else None
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error
    settings_class = stage.settings_class() if start is None else type(start)
    return read_settings(settings_class, table, where, path.parent, start)


def _infillers_elsewhere(key: str, tables: Mapping[str, dict[str, Any]], path: Path) -> dict[str, Path]:
    """Take out of the tables of infillers where others lie that they start from, or are."""
    found = {}
    for name, table in {ONLY_INFILLER: tables["train-infiller"], **tables["infillers"]}.items():
        if isinstance(table, Mapping) and key in table:
            where = f"{path} [infillers.{name}]" if tables["infillers"] else f"{path} [train-infiller]"
            found[name] = _place(table[key], f"{where} {key}", path)
    return found


def _infillers(
    content: Mapping[str, Any], tables: Mapping[str, dict[str, Any]], ready: Mapping[str, Path], path: Path
) -> dict[str, Any]:
    """Return the settings of each infiller by its name; of one that is used as it is, that infiller."""
    if "infillers" not in content:
        return {ONLY_INFILLER: _infiller_settings(ONLY_INFILLER, tables["train-infiller"], ready, path, "")}
    if "train-infiller" in content:
        raise SettingsError(f"{path} has both [train-infiller] and [infillers.NAME]: name all infillers or none.")
    found = {}
    for name, table in tables["infillers"].items():
        where = f"{path} [infillers.{name}]"
        if not isinstance(table, Mapping) or not re.fullmatch(r"[a-z0-9-]+", name):
            raise SettingsError(f"{where} must be a table whose name has small letters, digits and hyphens only.")
        found[name] = _infiller_settings(name, table, ready, path, where)
    if not found:
        raise SettingsError(f"{path} [infillers] names none. Add a table [infillers.NAME].")
    return found


def _infiller_settings(name: str, table: Mapping[str, Any], ready: Mapping[str, Path], path: Path, where: str) -> Any:
    values = {key: value for key, value in table.items() if key not in ("start", "artifact")}
    if name not in ready:
        return _stage_settings(stage_named("train-infiller"), values, path, where)
    if len(table) > 1:
        raise SettingsError(
            f"{where or path}: an infiller that is used as it is (artifact) takes no settings, but has "
            f"{', '.join(key for key in table if key != 'artifact')}."
        )
    return Infiller.open(ready[name])


_WINDOWS = {"stride_px": 8, "normals_per_mammogram": 0}
"""Of [infiller-windows], where it does not say otherwise: each lesion in many places, and nothing else."""


def _windows(table: Mapping[str, Any], patches: Any, content: Mapping[str, Any], path: Path) -> Any | None:
    """Return how windows are cut that infillers alone learn from, if they have any: as patches are, but for the table.

    Raises:
        SettingsError: also where they would be of another size than the patches.
    """
    if "infiller-windows" not in content:
        return None
    where = f"{path} [infiller-windows]"
    if table.get("size_px", patches.size_px) != patches.size_px:
        raise SettingsError(
            f"{where}: size_px is not set here; infillers paint patches of [extract-patches], of {patches.size_px} px."
        )
    return read_settings(type(patches), table, where, path.parent, replace(patches, **_WINDOWS))


def _check_grid(grid: Grid, arms: list[Arm], synthesize: Mapping[str, Any], path: Path) -> None:
    for arm in arms:
        if unknown := [one for one in arm.shares if one not in grid.real_shares]:
            known = ", ".join(f"{one:g}" for one in grid.real_shares)
            raise SettingsError(
                f"{path} [[arms]] {arm.name!r}: shares names {unknown[0]:g}, but real_shares in [grid] are {known}."
            )
        if not grid.shares_of(arm):
            raise SettingsError(
                f"{path} [[arms]] {arm.name!r} has more_patients, so [grid] must give a share of at most 0.5 in "
                "real_shares: beyond it there are no further patients to learn from."
            )
    if grid.infillers > 1 and not any(arm.has_infiller for arm in arms):
        raise SettingsError(
            f"{path} [grid]: infillers = {grid.infillers}, but no arm learns from generated patches. Give an arm "
            "synthetic, or say with classifiers how often each arm is trained."
        )
    for arm in arms:
        if arm.repeated and not grid.doses:
            raise SettingsError(f"{path} [[arms]] {arm.name!r} is repeated, so [grid] must give doses.")
    if not grid.doses:
        return
    if not any(arm.repeated or arm.infiller for arm in arms):
        raise SettingsError(
            f"{path} [grid]: doses are of synthetic or repeated patches, but no arm has any. Give an arm synthetic or "
            "repeated, or leave doses out."
        )
    for field in ("ratio", "balance", "benign", "malignant"):
        if field in synthesize:
            raise SettingsError(
                f"{path} [synthesize]: {field} is not set here; how many patches are made follows from doses in [grid]."
            )


def _check_comparison(settings: Any, grid: Grid, arms: list[Arm], path: Path) -> None:
    """Refuse arms and doses that are compared but not there; `compare-arms` would find out after all training."""
    where, names = f"{path} [compare-arms]", [arm.name for arm in arms]
    named = {"reference": (settings.reference,) if settings.reference else (), "pairs": sum(settings.pairs, ())}
    named |= {"counterparts": sum(settings.counterparts, ()), "planned_arms": settings.planned_arms}
    for field, several in named.items():
        for name in several:
            if name not in names:
                raise SettingsError(f"{where}: {field} names {name!r}, but the arms are {', '.join(names)}.")
    for share in settings.planned_shares:
        if share not in grid.real_shares:
            known = ", ".join(f"{one:g}" for one in grid.real_shares)
            raise SettingsError(f"{where}: planned_shares names {share:g}, but real_shares in [grid] are {known}.")
    for dose in settings.planned_doses:
        if dose not in grid.doses:
            known = ", ".join(f"{one:g}" for one in grid.doses) or "none"
            raise SettingsError(f"{where}: planned_doses names {dose:g}, but doses in [grid] are {known}.")


def _check_folds(grid: Grid, content: Mapping[str, Any], path: Path) -> None:
    if not grid.folds:
        return
    for table in ("external", "test"):
        if table in content:
            raise SettingsError(
                f"{path}: [{table}] and folds in [grid] do not go together: with {grid.folds} folds there are as many "
                "classifiers of each kind, and no single one to judge. Run a study without folds for it."
            )
    for field in ("split", "folds", "fold", "test_share"):
        if field in content.get("ingest", {}):
            raise SettingsError(
                f"{path} [ingest]: {field} is not set here; [grid] has folds = {grid.folds}, and each fold tests once."
            )


def _arms(tables: Any, shared: Mapping[str, Any], infillers: Mapping[str, Any], path: Path) -> list[Arm]:
    arms: dict[str, Arm] = {}
    for number, table in enumerate(tables, start=1):
        values = _merged(shared, table)
        name, synthetic = values.pop("name", None), values.pop("synthetic", False)
        repeated, features = values.pop("repeated", False), values.pop("discriminator", False)
        more, shares = values.pop("more_patients", False), values.pop("shares", [])
        select = values.pop("select", ALL)
        where = f"{path} [[arms]] number {number}"
        if not isinstance(name, str) or not Arm(name, None, False, None).slug:
            raise SettingsError(f"{where} must have a name with letters or digits, but has {name!r}.")
        where = f"{path} [[arms]] {name!r}"
        infiller = _infiller_of("synthetic", synthetic, infillers, where)
        discriminator = _infiller_of("discriminator", features, infillers, where)
        if discriminator:
            _check_has_backbone(infillers[discriminator], f"{where}: discriminator names {discriminator}")
        if discriminator:
            values.pop("weights_file", None)
            values |= {"network": "discriminator", "weights": table.get("weights", "infiller")}
        if not isinstance(repeated, bool) or (repeated and infiller):
            raise SettingsError(f"{where}: repeated must be true or false, and stands for synthetic patches.")
        if not isinstance(more, bool) or (more and (infiller or discriminator or repeated)):
            raise SettingsError(f"{where}: more_patients must be true or false, and stands for synthetic patches.")
        _check_selection(select, infiller, where)
        for field in ("dose", "repeats"):
            if field in values:
                raise SettingsError(f"{where}: {field} is not set here; doses stand in [grid].")
        settings = _stage_settings(stage_named("train-classifier"), values, path, where)
        _check_learned_from(settings, infiller, repeated, where)
        if select != ALL and settings.dose_by != "patch":
            raise SettingsError(
                f"{where}: select = {select!r} keeps fills for each real patch, but dose_by is {settings.dose_by!r}: "
                "the arm would learn from another dose than it says. Give it dose_by patch."
            )
        _check_network(settings, where)
        arm = Arm(name, infiller, repeated, settings, discriminator, more, _shares_of(shares, where), select)
        if arm.slug in arms:
            raise SettingsError(f"{where} and {arms[arm.slug].name!r} would share a folder. Give them other names.")
        arms[arm.slug] = arm
    return list(arms.values())


def _shares_of(value: Any, where: str) -> tuple[float, ...]:
    """Read at which shares an arm is trained; whether the grid has them is checked with the grid."""
    if not isinstance(value, list) or not all(isinstance(one, int | float) for one in value):
        raise SettingsError(f"{where}: shares must be a list of numbers, but is {value!r}.")
    return tuple(float(one) for one in value)


def _check_selection(select: Any, infiller: str | None, where: str) -> None:
    if select not in SELECTIONS:
        raise SettingsError(f"{where}: select must be {', '.join(SELECTIONS[:-1])} or {RANDOM}, but is {select!r}.")
    if select != ALL and not infiller:
        raise SettingsError(f"{where}: select = {select!r} is of synthetic patches, but the arm has none.")


def _check_learned_from(settings: Any, infiller: str | None, repeated: bool, where: str) -> None:
    """Refuse an arm whose settings speak of synthetic patches that it has not, or of no real ones to repeat."""
    if not settings.real and (repeated or not infiller):
        raise SettingsError(
            f"{where}: real = false leaves nothing to learn from without synthetic patches. Give it synthetic."
        )
    for field in settings.speaks_of_fills if not infiller else ():
        raise SettingsError(
            f"{where}: {field} = {getattr(settings, field)!r} is of synthetic patches, but the arm has none. "
            "Give it synthetic."
        )


def _check_network(settings: Any, where: str) -> None:
    """Refuse a network of timm's that is not there, see `networks.check_network`; for the others no torch is loaded."""
    if not settings.is_timms:
        return
    from mammofill.classifier.networks import check_network

    try:
        check_network(settings)
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error


def _check_has_backbone(infiller: Any, where: str) -> None:
    """Refuse infillers without a discriminator that looks at patches of unknown class, see `ground.backbone`."""
    if infiller.method != "gan":
        raise SettingsError(
            f"{where}, whose method {infiller.method} trains none. Name an infiller whose method is gan."
        )
    if not isinstance(infiller, Infiller) and infiller.discriminator.conditioning == "planes":
        raise SettingsError(
            f"{where}, whose discriminator is told the class at every layer (conditioning planes, preset authors). "
            "Name one whose discriminator.conditioning is projection, as in the presets paper and modern."
        )


def _infiller_of(key: str, value: Any, infillers: Mapping[str, Any], where: str) -> str | None:
    if value is True and len(infillers) == 1:
        return next(iter(infillers))
    if value is False:
        return None
    if not isinstance(value, str) or value not in infillers:
        raise SettingsError(
            f"{where}: {key} must be true or false, but is {value!r}. Where the study names several infillers "
            f"it is the name of one; here there are: {', '.join(infillers)}."
        )
    return value


def _readers(content: Mapping[str, Any], arms: list[Arm], path: Path) -> Any | None:
    """Return how the classifiers are trained that read fills, where an arm selects among them: as real patches are."""
    where = f"{path} [select-synthetic]"
    selecting = [arm for arm in arms if arm.select != ALL]
    if "select-synthetic" in content and not selecting:
        raise SettingsError(f'{where}: no arm selects. Give an arm with synthetic select = "gated" or "random".')
    for field in ("random", "ratio"):
        if field in content.get("select-synthetic", {}):
            raise SettingsError(f"{where}: {field} is not set here; it follows from [[arms]] and doses in [grid].")
    return _judging_arms(arms, where, "fills are read")[0].settings if selecting else None


def _judging_arms(arms: list[Arm], where: str, what: str) -> tuple[Arm, ...]:
    """Return the arms whose classifiers judge the infillers: of those that learn from real patches only, each once.

    Returns:
        The last one whose patches are as they are, and the last one whose patches are standardised, if there is one.
    """
    real = [arm for arm in arms if not (arm.infiller or arm.discriminator or arm.repeated or arm.more_patients)]
    plain = [arm for arm in real if not arm.settings.standardise]
    if not plain:
        raise SettingsError(
            f"{where}: {what} with a classifier that learned from real patches only, as they are, but every arm has "
            "synthetic, repeated, discriminator, more_patients or standardise. Add an arm without them."
        )
    return (plain[-1], *[arm for arm in real if arm.settings.standardise][-1:])


def _merged(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(shared)
    for name, value in own.items():
        both = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
        result[name] = _merged(result[name], value) if both else value
    return result
