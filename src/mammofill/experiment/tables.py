"""Single tables of a study file: settings of a stage, places of what lies elsewhere, one table over another."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mammofill.experiment.settings import read_settings
from mammofill.experiment.stages import Stage
from mammofill.ground.errors import SettingsError, SourceError
from mammofill.ground.file_names import refuse_source_url


def stage_settings(stage: Stage, table: Mapping[str, Any], path: Path, where: str = "") -> Any:
    """Read the settings of a stage, above those of the preset that the table names, if it names one.

    Args:
        stage: whose settings.
        table: what the study file says.
        path: of the study file.
        where: what the table is called in messages; the stage's own name in brackets where empty.

    Raises:
        SettingsError: there is no such preset or setting, or a value makes no sense.
    """
    where = where or f"{path} [{stage.name}]"
    try:
        start = stage.preset(str(table["preset"])) if stage.presets and "preset" in table else None
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error
    settings_class = stage.settings_class() if start is None else type(start)
    return read_settings(settings_class, table, where, path.parent, start)


def place(source: Any, where: str, path: Path) -> Path:
    """Return where a source lies that a study file names.

    Raises:
        SettingsError: it is no text, or an empty one.
        SourceError: it is not there, or is a URL.
    """
    if not isinstance(source, str) or not source.strip():
        raise SettingsError(f"{where} must name a file or folder, as a text in quotes, but has {source!r}.")
    refuse_source_url(source)
    if not os.path.exists(path.parent / source):  # False as well for a text that cannot be a path
        shell = " Write the folder out: ~, $ and % are not understood here." if source[0] in "~$%" else ""
        meant = path.parent.resolve() / (source if len(source) <= 200 else f"{source[:200]}...")
        raise SourceError(f"{where}: the source {meant} does not exist. It is relative to the study file.{shell}")
    return (path.parent / source).resolve()


def merged(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one table over another, nested tables too."""
    result = dict(shared)
    for name, value in own.items():
        both = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
        result[name] = merged(result[name], value) if both else value
    return result
