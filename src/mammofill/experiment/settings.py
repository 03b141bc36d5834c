"""Settings from flags and files: any field of any stage's settings, nested ones dotted, the others left as they are.

The settings classes are the only place that knows fields, types and defaults; everything here is made from them.
"""

from __future__ import annotations

import re
import textwrap
import tomllib
import unicodedata
from argparse import SUPPRESS, ArgumentError
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from jsonargparse import ArgumentParser

from mammofill.ground.errors import SettingsError, SourceError, did_you_mean
from mammofill.ground.file_names import meant_path, why_no_file


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        SettingsError: it is not there, or is not TOML.
    """
    try:
        if path.exists() and not path.is_file():
            raise SettingsError(f"{path} {why_no_file(path)}. Give the path of a TOML file.")
        text = path.read_text(encoding="utf-8-sig")  # Windows' editor writes a mark before it
        _refuse_keys_without_end(path, text)
        return tomllib.loads(text)
    except FileNotFoundError as error:
        raise SettingsError(f"{path} does not exist.{meant_path(path)} Give the path of a TOML file.") from error
    except (OSError, ValueError, RecursionError) as error:  # also numbers too long, and brackets too deep
        windows = (
            " Write paths with / or in 'single quotes': in \"double quotes\" a backslash means something else."
            * ("\\" in str(error) or "escape" in str(error).lower() or "hex value" in str(error).lower())
        )
        latin = " Save it as UTF-8." * isinstance(error, UnicodeDecodeError)
        table = f" A table of mammograms? mammofill init {path} writes a study file for it." * (
            path.suffix.lower() == ".csv"
        )
        quotes = _NEEDS_QUOTES * ("Invalid value" in str(error))
        raise SettingsError(f"{path} cannot be read as TOML: {error}.{windows}{latin}{table}{quotes}") from error


_MOST_DOTS = 10_000
"""In one line: Python's reader takes a time that grows with the square of the parts of a dotted key."""


def _refuse_keys_without_end(path: Path, text: str) -> None:
    for number, line in enumerate(text.splitlines(), start=1):
        if (dots := line.count(".")) > _MOST_DOTS:
            raise SettingsError(
                f"{path} cannot be read as TOML: line {number} has {dots:,} dots, and may have {_MOST_DOTS:,}. Is it a "
                "study file?"
            )


_WEIGHTS_FILES = ("weights_file", "perceptual.weights")
"""Settings that name a file: in a TOML file they are relative to that file."""


def read_settings(
    settings_class: type[Any], values: Mapping[str, Any], where: str, folder: Path, start: Any = None
) -> Any:
    """Make settings from a table of values.

    Args:
        settings_class: a frozen settings dataclass.
        values: field -> value; nested settings are tables. What is not there stays as in `start`.
        where: what the table is called in messages, for example ``study.toml [synthesize]``.
        folder: what files that settings name are relative to.
        start: settings to begin from (a preset); the class's own defaults where None.

    Returns:
        An object of the class.

    Raises:
        SettingsError: a field is unknown (the message names those that there are), of a wrong type, or refused.
        SourceError: a file that a setting names is not there.
    """
    check_names(settings_class, values, where)
    values = _with_files_found(values, where, folder)
    parser = ArgumentParser(exit_on_error=False, default_env=False)
    add_settings(parser, settings_class, start)
    try:
        namespace = parser.parse_object(dict(values))
        return settings_in(parser.instantiate(namespace), settings_class)
    except ArgumentError as error:
        raise SettingsError(f"{where}: {in_plain_words(error)}") from error
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error


def add_settings(parser: ArgumentParser, settings_class: type[Any], start: Any = None, skip: str | None = None) -> None:
    """Give a parser one flag for every field of a settings class.

    Args:
        parser: where the flags go.
        settings_class: a settings dataclass; its docstring is the help.
        start: settings whose values are the defaults; the class's own defaults where None.
        skip: a field that gets no flag.
    """
    parser.add_class_arguments(settings_class, skip={skip} if skip else set())
    if start is not None:
        parser.set_defaults({name: value for name, value in flat(start) if name != skip})
    for action in parser._actions:
        # jsonargparse also offers a whole nested table as one flag; its parts are enough, and read better.
        if type(action).__name__.endswith("ActionConfigLoad"):
            action.help = SUPPRESS
        if getattr(action, "_typehint", None) in (bool, bool | None):
            action.nargs, action.const = "?", True  # --whole is as good as --whole true


def settings_in(values: Any, settings_class: type[Any], **more: Any) -> Any:
    """Pick a settings object's fields out of parsed values, which may hold other things beside them."""
    names = [field.name for field in fields(settings_class) if field.name not in more]
    return settings_class(**{name: getattr(values, name) for name in names}, **more)


def flat(settings: Any, within: str = "") -> Iterator[tuple[str, Any]]:
    """Walk over all fields of settings: dotted name, value."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            yield from flat(value, f"{within}{field.name}.")
        else:
            yield f"{within}{field.name}", value


def presets_in_words(presets: Mapping[str, Any]) -> str:
    """Say which presets there are, and which fields each changes of the defaults of its settings.

    Args:
        presets: name -> settings.
    """
    lines = ["presets (--preset NAME), and what each changes of the defaults of its method; flags go above it:"]
    for name, settings in presets.items():
        usual = dict(flat(type(settings)()))
        changed = [f"{field} = {value!r}" for field, value in flat(settings) if usual[field] != value]
        words = (
            ", ".join(one for one in changed if not one.startswith("preset = ")) or "nothing: these are the defaults"
        )
        lines += textwrap.wrap(words, 110, initial_indent=f"  {name}: ", subsequent_indent=" " * 6)
    return "\n".join(lines)


_UNION = r"Does not validate against any of the Union subtypes Subtypes: \[(.*?)\] Errors:.*Given value: (.*)"


_KINDS = {"int": "a whole number", "float": "a number with a decimal point", "bool": "true or false", "str": "a text"}


def _of_kind(found: re.Match[str]) -> str:
    kind, value = found.groups()
    return f"must be {_KINDS.get(kind, kind)}, but is {value}"


_NEEDS_QUOTES = ' Words stand in straight quotes, as in network = "shallow-cnn", and yes is true.'


def in_plain_words(error: Exception) -> str:
    """Rewrite a message of the argument parser: one line, no Python classes."""
    text = re.sub(r"\s+", " ", str(error))
    text = re.sub(r"Parser key \"([^\"]+)\":", r"\1:", text)
    text = re.sub(_UNION, r"must be \1, but is \2.", text)
    text = re.sub(r"Expected a typing\.Literal\[(.*?)\]", r"Expected one of \1", text)
    text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", text)
    text = re.sub(r"Expected an? (\w+)\. Got value: (.*)", _of_kind, text)
    text = re.sub(r"must be tuple, but is ([\w.+-]+)", r"must be a list in brackets, as [\1], but is \1", text)
    return text.replace(", NoneType", " or null (unset)").strip().rstrip(".") + "."


def _with_files_found(values: Mapping[str, Any], where: str, folder: Path, within: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found[name] = value
        if isinstance(value, Mapping):
            found[name] = _with_files_found(value, where, folder, f"{within}{name}.")
        elif within + name in _WEIGHTS_FILES and isinstance(value, str) and value != "null":
            file = (folder / value).resolve()
            if not file.is_file():
                raise SourceError(
                    f"{where}: {within + name} {file} {why_no_file(file)}. It is relative to the TOML file that names "
                    "it."
                )
            found[name] = str(file)
    return found


_LONGEST_NAME = 200


def check_shown_name(name: str, where: str) -> None:
    """Refuse a name that reports, tables and pages could not show as it is.

    Raises:
        SettingsError: it is far too long, or holds invisible characters: line ends, or those that change the direction
            of writing.
    """
    unseen = [one for one in name if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    if unseen:
        raise SettingsError(f"{where} must have a name of visible characters, but {name!r} holds {unseen[0]!r}.")
    if len(name) > _LONGEST_NAME:
        raise SettingsError(
            f"{where} must have a name of at most {_LONGEST_NAME} characters, but has one of {len(name):,}."
        )


def check_names(settings_class: type[Any], values: Mapping[str, Any], where: str, within: str = "") -> None:
    """Refuse values for fields that a settings class has not; the message names those that it has.

    Raises:
        SettingsError: a field is unknown.
    """
    kinds = get_type_hints(settings_class)
    known = [field.name for field in fields(settings_class)]
    for name, value in values.items():
        if name not in known:
            meant = did_you_mean(str(name), known)
            raise SettingsError(
                f"{where} has no setting called {within + name!r}.{meant} There are: {', '.join(known)}."
            )
        if isinstance(value, Mapping) and is_dataclass(kinds[name]):
            check_names(kinds[name], value, where, f"{within}{name}.")
