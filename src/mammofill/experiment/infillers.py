"""The infillers of a study file, and the windows that they learn from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mammofill.experiment.settings import read_settings
from mammofill.experiment.stages import stage_named
from mammofill.experiment.tables import merged, place, stage_settings
from mammofill.ground.errors import SettingsError
from mammofill.infilling import Infiller

ONLY_INFILLER = "infiller"
"""What the infiller of a study is called that names none."""
NOT_SETTINGS = ("start", "artifact", "of")
"""Entries in the table of an infiller that say where it comes from."""
_WINDOWS = {"stride_px": 8, "normals_per_mammogram": 0}
"""Of [infiller-windows], where it does not say otherwise: each lesion in many places, and nothing else."""


@dataclass(frozen=True)
class Infillers:
    """The infillers of a study, by their names."""

    settings: Mapping[str, Any]
    """Of each; of one that is used as it is, that infiller."""
    starts: Mapping[str, Path]
    """Of those that start from the weights of one that was trained elsewhere: where that lies."""
    ready: Mapping[str, Path]
    """Of those that were trained elsewhere and are used as they are: where they lie."""
    paints_with: Mapping[str, str]
    """Of those that paint with the weights of another one of the study: its name."""


def read_infillers(content: Mapping[str, Any], tables: Mapping[str, dict[str, Any]], path: Path) -> Infillers:
    """Read ``[train-infiller]``, or all ``[infillers.NAME]``.

    Args:
        content: the study file.
        tables: its tables by name, empty ones for those that it has not.
        path: of the study file.

    Raises:
        SettingsError: a table makes no sense.
        SourceError: an infiller that was trained elsewhere is not there.
    """
    starts, ready = (_elsewhere(key, tables, path) for key in ("start", "artifact"))
    if "infillers" not in content:
        only = _settings(ONLY_INFILLER, tables["train-infiller"], ready, path, f"{path} [train-infiller]")
        return Infillers({ONLY_INFILLER: only}, starts, ready, {})
    if "train-infiller" in content:
        raise SettingsError(f"{path} has both [train-infiller] and [infillers.NAME]: name all infillers or none.")
    named: dict[str, Mapping[str, Any]] = {}
    for name, table in tables["infillers"].items():
        if not isinstance(table, Mapping) or not re.fullmatch(r"[a-z0-9-]+", name):
            where = f"{path} [infillers.{name}]"
            raise SettingsError(f"{where} must be a table whose name has small letters, digits and hyphens only.")
        named[name] = table
    if not named:
        raise SettingsError(f"{path} [infillers] names none. Add a table [infillers.NAME].")
    own = {
        name: _settings(name, table, ready, path, f"{path} [infillers.{name}]")
        for name, table in named.items()
        if "of" not in table
    }
    again = {name: _painting_with(own, table, path, f"{path} [infillers.{name}]") for name, table in named.items()
             if "of" in table}  # fmt: skip
    settings = {name: again[name] if name in again else own[name] for name in named}
    return Infillers(settings, starts, ready, {name: str(named[name]["of"]) for name in again})


def with_hole(hole: Any, table: Any) -> Any:
    """Lay the table of an infiller over the table ``[hole]`` of its study, where it is one that has settings."""
    if not (isinstance(hole, Mapping) and isinstance(table, Mapping)) or {"of", "artifact"} & table.keys():
        return table
    return merged({"hole": hole}, table)


def _elsewhere(key: str, tables: Mapping[str, dict[str, Any]], path: Path) -> dict[str, Path]:
    """Find where infillers lie that others start from, or are."""
    found = {}
    for name, table in {ONLY_INFILLER: tables["train-infiller"], **tables["infillers"]}.items():
        if isinstance(table, Mapping) and key in table:
            where = f"{path} [infillers.{name}]" if tables["infillers"] else f"{path} [train-infiller]"
            found[name] = place(table[key], f"{where} {key}", path)
    return found


def _settings(name: str, table: Mapping[str, Any], ready: Mapping[str, Path], path: Path, where: str) -> Any:
    if "of" in table:
        raise SettingsError(f"{where}: of names another infiller, but there is one only. Name them: [infillers.NAME].")
    if name not in ready:
        values = {key: value for key, value in table.items() if key not in NOT_SETTINGS}
        return stage_settings(stage_named("train-infiller"), values, path, where)
    if len(table) > 1:
        raise SettingsError(
            f"{where}: an infiller that is used as it is (artifact) takes no settings, but has "
            f"{', '.join(key for key in table if key != 'artifact')}."
        )
    return Infiller.open(ready[name])


def _painting_with(infillers: Mapping[str, Any], table: Mapping[str, Any], path: Path, where: str) -> Any:
    """Return the settings of an infiller that has the weights of another one of the study, and paints otherwise."""
    flows = [name for name, one in infillers.items() if not isinstance(one, Infiller) and one.method == "flow"]
    if table["of"] not in flows:
        raise SettingsError(
            f"{where}: of names {table['of']!r}, but must name an infiller that this study trains and whose method is "
            f"flow: {', '.join(flows) or 'there is none'}."
        )
    if others := [key for key in table if key not in ("of", "sampling")]:
        raise SettingsError(
            f"{where} has the weights of {table['of']!r}, so it takes no settings but sampling; it has {others[0]}."
        )
    trained = infillers[table["of"]]
    kept = replace(trained, schedule=replace(trained.schedule, images=0))
    values = {"sampling": table.get("sampling", {})}
    return read_settings(type(trained), values, where, path.parent, kept)


def read_windows(table: Mapping[str, Any], patches: Any, content: Mapping[str, Any], path: Path) -> Any | None:
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
