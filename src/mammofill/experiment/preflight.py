"""Before anything runs: is all there that a study needs? Device, weights, patients, room; all faults at once.

A fault that would stop a study at its ninth step is found here at its first, and all of them are reported together, so
that they can be corrected at once.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mammofill.comparison.subgroups import recorded_sizes
from mammofill.experiment import arms, infillers
from mammofill.experiment.enough import (
    chooses_on_validation,
    empty_shares,
    no_normal_patches,
    too_few_patients,
    too_few_phantoms,
)
from mammofill.experiment.first_study import typical_size
from mammofill.experiment.grid import Grid, used_infillers
from mammofill.experiment.leaks import Sides, leaks_of
from mammofill.experiment.machine import kept_weights
from mammofill.experiment.settings import read_settings, read_toml
from mammofill.experiment.stages import stage_named
from mammofill.experiment.steps import Step
from mammofill.experiment.study import Study, read_study, up_to
from mammofill.experiment.tables import stage_settings
from mammofill.ground.artifact import MANIFEST_NAME, read_manifest
from mammofill.ground.errors import (
    ArtifactError,
    DeviceError,
    MammofillError,
    SettingsError,
    TooFewError,
    WeightsError,
)
from mammofill.mammograms.mammogram_set import MammogramSet
from mammofill.mammograms.sources.annotations import Collection
from mammofill.mammograms.sources.collections import read_collection
from mammofill.mammograms.split import split_patients
from mammofill.pairing import Pairs
from mammofill.patches import PatchSet
from mammofill.synthesis import check_enough_pairs

DOWNLOADS = "https://download.pytorch.org/models/"
"""From where torchvision takes the weights that are not here yet."""
_SECONDS = 5.0


def ready_study(path: str | Path, out: str | Path, quick: bool = False, only: str | None = None) -> Study:
    """Read a study, and see that all is there that it needs.

    Args:
        path: the study file.
        out: its folder; what is finished there already needs nothing more.
        quick: whether its table ``[quick]`` holds.
        only: the place of the only artifact that is wanted, with what it is made from; all of them without it.

    Raises:
        ArtifactError: its folder is a finished artifact.
        MammofillError: the only fault that there is; or a `SettingsError` that lists all of them.
    """
    path = Path(path)
    _refuse_finished_artifact(Path(out))
    try:
        study = read_study(path, quick)
    except MammofillError as first:
        raise _together(_without_repeats([first, *_in_tables(path)])) from first
    study = up_to(study, only) if only is not None else study
    # A smaller study may have fewer arms, and no use for some infillers.
    faults = [*([] if quick else _of_infillers(study)), *faults_of(study, Path(out))]
    if faults:
        raise _together(faults)
    return study


def _refuse_finished_artifact(out: Path) -> None:
    """Refuse to write a study into the folder of an artifact, which never changes once it is finished."""
    if (out / MANIFEST_NAME).is_file():
        kind = read_manifest(out).kind
        raise ArtifactError(f"{out} is a finished {kind} artifact; a study needs a folder of its own as --out.")


def faults_of(study: Study, out: Path) -> Iterator[MammofillError]:
    """Yield what a study that was read still lacks on this machine."""
    waiting = [step for step in study.steps if not (out / step.out / MANIFEST_NAME).is_file()]
    yield from _of_device(study, waiting)
    yield from _of_weights(study, waiting)
    yield from _of_patch_size(study, waiting)
    yield from too_few_phantoms(study, waiting)
    # Practice mammograms, whose folder is relative, are drawn by the study itself.
    ingests = [step for step in waiting if step.stage.name == "ingest" and step.inputs["source"][0].is_absolute()]
    collections: dict[Path, Collection] = {}
    for alike in _read_alike(ingests):
        try:
            collection = read_collection(alike[0].inputs["source"][0], alike[0].settings, *_attributes_of(alike[0]))
        except MammofillError as fault:
            yield fault
            continue
        collections |= {step.out: collection for step in alike}
    sides = []
    for step in ingests:
        if step.out in collections:
            try:
                sides.append(_sides(study, step, collections[step.out]))
            except MammofillError as fault:
                yield fault
    for one in sides:
        yield from too_few_patients(study, one)
    yield from empty_shares(waiting, sides)
    yield from no_normal_patches(study, waiting, sides)
    yield from leaks_of(study, sides, chooses_on_validation(study))
    yield from _of_sizes(study, waiting, collections, out)
    yield from _of_disk(ingests, collections, out)


def check_pairs(study: Study, out: Path) -> None:
    """Refuse fills that the pairs do not allow, as soon as pairs are made, before infillers are trained.

    Raises:
        MammofillError: the only fault that there is; or a `SettingsError` that lists all of them.
    """
    faults: dict[str, MammofillError] = {}
    for step in study.steps:
        if step.stage.name != "synthesize" or (out / step.out / MANIFEST_NAME).is_file():
            continue
        pairs, patches = (out / step.inputs[role][0] for role in ("pairs", "patches"))
        try:
            check_enough_pairs(Pairs.open(pairs), PatchSet.open(patches), step.settings)
        except TooFewError as fault:
            faults.setdefault(str(fault), fault)
    if faults:
        raise _together(list(faults.values()), "no infiller was trained")


def _read_alike(ingests: list[Step]) -> list[list[Step]]:
    """Group the steps that read one source in one way, as all folds do: it is read once."""
    groups: dict[Any, list[Step]] = {}
    for step in ingests:
        read = (step.inputs["source"], _attributes_of(step), replace(step.settings, fold=0))
        groups.setdefault(read, []).append(step)
    return list(groups.values())


def _attributes_of(step: Step) -> tuple[Path, ...]:
    return step.inputs.get("attributes", ())


def _sides(study: Study, step: Step, collection: Collection) -> Sides:
    split = split_patients(collection.mammograms, step.settings, step.seed)
    return Sides(step, collection, split, study.plan.settings["extract-patches"].abnormality)


def _together(faults: list[MammofillError], so_far: str = "nothing has run") -> MammofillError:
    """Return the one fault, or all of them as one."""
    several = list({str(fault): fault for fault in faults}.values())
    if len(several) == 1:
        return several[0]
    listed = "".join(f"\n  {number}. {fault}" for number, fault in enumerate(several, start=1))
    return SettingsError(f"{len(several)} faults, and {so_far}:{listed}")


# ---- the study file -----------------------------------------------------------------------------------------------


def _in_tables(path: Path) -> Iterator[MammofillError]:
    """Yield the faults of each table of a study file by itself, where the file can be read at all."""
    try:
        content = read_toml(path)
    except MammofillError:
        return
    for check in _checks_of_tables(content, path):
        try:
            check()
        except MammofillError as fault:
            yield fault


def _without_repeats(faults: list[MammofillError]) -> list[MammofillError]:
    """Leave out of the arms' faults those of the table ``[train-classifier]``, which all arms share."""
    shared = tuple(words for one in faults if (words := str(one).partition("[train-classifier]")[2]))
    return [one for one in faults if not ("[[arms]]" in str(one) and str(one).endswith(shared))]


def _checks_of_tables(content: Mapping[str, Any], path: Path) -> Iterator[Callable[[], object]]:
    if isinstance(content.get("device"), str):
        yield partial(_find_device, content["device"], path)
    hole = content.get("hole")
    for name, values in content.items():
        values = infillers.with_hole(hole, values) if name == "train-infiller" else values
        if isinstance(values, Mapping) and name not in ("infillers", "external", "test", "quick", "infiller-windows"):
            yield _reading(name, values, f"{path} [{name}]", path)
    named = content.get("infillers", {})
    for name, values in named.items() if isinstance(named, Mapping) else ():
        if not (isinstance(values, Mapping) and "of" in values):  # whose settings are another one's
            yield _reading("train-infiller", infillers.with_hole(hole, values), f"{path} [infillers.{name}]", path)
    shared, tables = content.get("train-classifier", {}), content.get("arms", ())
    for arm in tables if isinstance(tables, list) else ():
        if isinstance(arm, Mapping) and isinstance(shared, Mapping) and not arm.get("discriminator"):
            yield _reading("train-classifier", {**shared, **arm}, f"{path} [[arms]] {arm.get('name')!r}", path)


def _reading(name: str, values: Any, where: str, path: Path) -> Callable[[], object]:
    """Return what reads one table, and raises its fault."""

    def read() -> object:
        if not isinstance(values, Mapping):
            return None  # reported by `read_study`
        if name == "grid":
            return read_settings(Grid, values, where, path.parent)
        try:
            stage = stage_named(name)
        except KeyError:
            return None  # no table that a study knows: reported by `read_study`, too
        own = {
            "ingest": ("source", "attributes"),
            "train-infiller": infillers.NOT_SETTINGS,
            "train-classifier": tuple(arms.NOT_SETTINGS),
        }
        kept = {key: value for key, value in values.items() if key not in own.get(name, ())}
        return stage_settings(stage, kept, path, where)

    return read


# ---- the machine --------------------------------------------------------------------------------------------------


def _of_infillers(study: Study) -> Iterator[MammofillError]:
    """Yield a fault for each infiller that the file names and nothing is made with: it would not be trained."""
    tables = read_toml(study.path).keys() & {"train-infiller", "infillers"}
    used = {name for _, name, _ in used_infillers(study.plan)}
    for name in study.plan.infillers if tables else ():
        if name not in used:
            alone = "train-infiller" in tables
            table, value = ("train-infiller", "true") if alone else (f"infillers.{name}", repr(name))
            yield SettingsError(
                f"{study.path} [{table}]: no arm uses this infiller and nothing judges it, so it would not be trained. "
                f"Give an arm synthetic = {value}, or take the table out."
            )


def _of_device(study: Study, waiting: list[Step]) -> Iterator[MammofillError]:
    if not any(step.stage.device for step in waiting):
        return
    try:
        _find_device(study.device, study.path)
    except DeviceError as fault:
        yield fault


def _find_device(name: str, path: Path) -> None:
    if name in ("cpu", "auto"):
        return
    from mammofill.ground.training.device import find_device  # torch, which takes seconds

    try:
        find_device(name)
    except DeviceError as fault:
        raise DeviceError(f"{path}: {fault}") from fault


def _of_patch_size(study: Study, waiting: list[Step]) -> Iterator[MammofillError]:
    """Yield a fault for each infiller that cannot be trained on patches of the study's size."""
    size = study.plan.settings["extract-patches"].size_px
    for step in waiting:
        if step.stage.name == "train-infiller":
            try:
                step.settings.check_size(size)
            except SettingsError as fault:
                yield SettingsError(f"{study.path}, [extract-patches] size_px = {size}: {fault}")


def _of_weights(study: Study, waiting: list[Step]) -> Iterator[MammofillError]:
    """Yield a fault for each network whose trained weights are neither on this machine nor available for download."""
    missing = list(dict.fromkeys(name for step in waiting if (name := downloaded_by(step)) and not kept_weights(name)))
    if missing and not _can_download():
        names = ", ".join(missing)
        yield WeightsError(
            f"{study.path}: the ImageNet weights of {names} are not on this machine, and {DOWNLOADS} cannot be "
            "reached. Give a file (weights_file, or perceptual.weights), or take what needs none: docs/weights.md."
        )


def downloaded_by(step: Step) -> str:
    """Return the network whose weights a step has torchvision download; empty where it needs none, or others."""
    settings = step.settings
    if step.stage.name == "train-classifier" and settings.is_timms:
        return ""  # of another house and in another cache, which its own stage asks
    if step.stage.name == "train-classifier":
        return str(settings.network) if settings.weights == "imagenet" and not settings.weights_file else ""
    perceptual = getattr(settings, "perceptual", None)
    if perceptual is None or perceptual.weights or perceptual.features in ("laplacian", "none"):
        return ""
    return str(perceptual.features)


def _can_download() -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(DOWNLOADS, method="HEAD"), timeout=_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True  # somebody answered
    except (OSError, ValueError):
        return False


# ---- the collection -----------------------------------------------------------------------------------------------


def _of_sizes(
    study: Study, waiting: list[Step], collections: Mapping[Path, Collection], out: Path
) -> Iterator[MammofillError]:
    """Yield a fault where the report is to read sizes from an attribute that the lesions have not, or of no numbers."""
    attribute = study.plan.settings["write-report"].size_attribute
    if not attribute or not any(step.stage.name == "write-report" for step in waiting):
        return
    source = study.plan.test.source if study.plan.test else study.plan.source
    ingested = next(step for step in study.steps if step.stage.name == "ingest" and _reads_source(step, source))
    if ingested.out in collections:
        entries = collections[ingested.out].mammograms
        by_lesion = {f"{one.lesion_id} of patient {entry.patient_id}": one.attributes
                     for entry in entries for one in entry.lesions}  # fmt: skip
    elif (out / ingested.out / MANIFEST_NAME).is_file():
        rows = MammogramSet.open(out / ingested.out).lesions.to_dict("records")
        by_lesion = {
            f"{row['lesion_id']} of patient {row['patient_id']}": json.loads(row["attributes"]) for row in rows
        }
    else:
        return  # of practice mammograms that are not drawn yet, or of a collection whose fault is reported already
    try:
        recorded_sizes(attribute, list(by_lesion.values()), list(by_lesion), str(source or out / ingested.out))
    except SettingsError as fault:
        yield SettingsError(f"{study.path} [write-report]: {fault}")


def _reads_source(step: Step, source: Path | None) -> bool:
    """Say whether an ingest reads this source; that of practice mammograms, which the study draws, is relative."""
    given = step.inputs["source"][0]
    return given == source if source else not given.is_absolute()


def _of_disk(ingests: list[Step], collections: Mapping[Path, Collection], out: Path) -> Iterator[MammofillError]:
    """Yield a fault where the mammograms at their working size need more than is free."""
    needed = sum(_bytes_of(step, collections[step.out]) for step in ingests if step.out in collections)
    place = next(folder for folder in (out.resolve(), *out.resolve().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if needed > free:
        yield SettingsError(
            f"{out}: the mammograms alone will need about {needed / 1e9:.1f} GB, and {place} has {free / 1e9:.1f} GB "
            "left. Make room, take another --out, or a smaller height_px in [ingest]."
        )


def _bytes_of(step: Step, collection: Collection) -> int:
    """Return about how many bytes the mammograms of a set take at their working size."""
    rows, columns = typical_size(collection) or (4000, 3000)
    height = min(step.settings.height_px or rows, rows)
    return 2 * height * round(columns * height / rows) * len(collection.mammograms)
