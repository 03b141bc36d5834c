"""What all commands share: their parser, the options that each has, and how arguments are read."""

from __future__ import annotations

import re
from argparse import ArgumentError
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

from mammofill.ground.errors import SettingsError, did_you_mean
from mammofill.ground.progress import LineProgress, Progress, for_this_console, quiet

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

_DASHES = re.compile(r"[-\u2010-\u2015\u2212]+(?=[^\W\d])")
"""A hyphen, or what a text program makes of it, before a word."""


def parser_for(command: str, summary: str) -> ArgumentParser:
    """Return an empty parser of a command; its line of help becomes the description."""
    from argparse import RawDescriptionHelpFormatter

    from jsonargparse import ArgumentParser, DefaultHelpFormatter

    class Help(RawDescriptionHelpFormatter, DefaultHelpFormatter):
        """Keeps the lines of what stands below the options."""

    return ArgumentParser(
        prog=f"mammofill {command}",
        formatter_class=Help,
        description=summary[0].upper() + summary[1:] + ".",
        exit_on_error=False,
        default_env=False,
        allow_abbrev=False,  # a flag cut short may be another one tomorrow
    )


def add_common_options(parser: ArgumentParser, dry_run: bool = True) -> None:
    """Add the options that every command has, ``--dry-run`` where something can be planned."""
    if dry_run:
        parser.add_argument("--dry-run", action="store_true", help="print the resolved plan and touch nothing")
    parser.add_argument("--quiet", action="store_true", help="say nothing while working")
    parser.add_argument("--plain", action="store_true", help="plain lines instead of a bar, as in a log")
    parser.add_argument("--no-verify", action="store_true", help="do not check that finished folders are unchanged")
    parser.add_argument("--debug", action="store_true", help="show where in the program an error came from")


def parsed(parser: ArgumentParser, given: list[str]) -> Namespace:
    """Parse a command's arguments; ``--size-px`` is as good as ``--size_px``."""
    known = {option for action in parser._actions for option in action.option_strings}
    try:
        namespace = parser.parse_args([_spelt_as_known(one, known) for one in given])
        options: Namespace = parser.instantiate(namespace)
    except ArgumentError as error:
        from mammofill.experiment.settings import in_plain_words

        flags = _unknown_flags(given, known)
        meant = "".join(did_you_mean(flag, known) for flag in flags)
        meant += " What follows # is a comment, and here it was not left out: leave it out." * ("#" in given)
        if flags and not meant and parser.prog == "mammofill run":
            meant = " Settings of stages stand in the study file."
        meant += f" Usage: {parser.usage}." if "required" in str(error) and parser.usage else ""
        if not parser.usage and re.search(r"required: (.*, )?out$", str(error).strip()):
            meant += " Say with --out where it is to be made."
        raise SettingsError(f"{in_plain_words(error)}{meant} All options: {parser.prog} --help") from error
    return options


@contextmanager
def named_by_flags(settings_class: type[Any]) -> Iterator[None]:
    """Call refused settings by their flags, as whoever typed them knows them: not by a class of Python."""
    try:
        yield
    except SettingsError as error:
        words = str(error)
        for name, flag in _flags_of_classes(settings_class):
            words = re.sub(rf"\b{name}\.(?=[a-z])", flag, words)
        raise SettingsError(words) from error


def _flags_of_classes(settings_class: type[Any], within: str = "--") -> Iterator[tuple[str, str]]:
    """Yield the settings class and those of its fields, by name, and how flags of their fields begin."""
    yield settings_class.__name__, within
    for name, kind in get_type_hints(settings_class).items():
        if is_dataclass(kind) and isinstance(kind, type):
            yield from _flags_of_classes(kind, f"{within}{name}.")


def _unknown_flags(given: list[str], known: set[str]) -> list[str]:
    """Return what was meant as a flag and is none, also after one hyphen, or after the dashes of text programs."""
    flags = [_spelt_as_known(one, known).partition("=")[0] for one in given if _DASHES.match(one)]
    return [flag for flag in flags if flag not in known]


def _spelt_as_known(argument: str, known: set[str]) -> str:
    flag, equals, value = argument.partition("=")
    if flag in known or not flag.startswith("--"):
        return argument
    spelt = [option for option in known if option.replace("_", "-") == flag.replace("_", "-")]
    return spelt[0] + equals + value if spelt else argument


def value_of(flag: str, given: list[str]) -> str | None:
    """Return what follows a flag (``--flag value`` or ``--flag=value``), the last time that it is given."""
    found = None
    for number, one in enumerate(given):
        if one == flag and number + 1 < len(given):
            found = given[number + 1]
        elif one.startswith(flag + "="):
            found = one.partition("=")[2]
    return found


def progress_of(options: Namespace) -> Progress:
    """Return how a command reports what it does: a bar, plain lines, or nothing."""
    if options.quiet:
        return quiet
    return LineProgress() if options.plain else for_this_console()


def device_for(requested: str, progress: Progress) -> str:
    """Return the device that a stage runs on, and say it where the choice was left to us."""
    if requested == "auto":
        from mammofill.ground.training.device import chosen_device

        requested = chosen_device(requested)
        progress.say(f"device: {requested}")
    return requested
