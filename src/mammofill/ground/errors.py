"""Every error that mammofill raises on purpose.

::

    MammofillError                      exit code
    |-- SettingsError                   2   a setting that is invalid, or is not known
    |-- SourceError                     3   a collection that cannot be read as requested
    |   `-- ImageFileError              3   one image file that cannot be read
    |-- TooFewError                     3   not enough patients, patches or classes to go on
    |-- ArtifactError                   4   a folder that is not what it should be
    |   |-- WrongKindError              4   ... an artifact of another kind
    |   |-- NewerFormatError            4   ... written by a newer mammofill
    |   |-- DamagedError                4   ... whose files are not those that were finished
    |   |-- PlanChangedError            4   ... begun with other settings, seed or inputs
    |   `-- BusyError                   4   ... that another process is working on
    |-- LeakError                       5   a patient on both sides of a split
    |-- WeightsError                    6   weights that are missing, or of another network
    |-- DeviceError                     6   a device that is not available
    |-- TrainingError                   7   training that cannot go on (values that are not finite)
    `-- StoreError                      8   an object store that is not there, or refuses access

A message says which file or patient, what the rule is, what was found, and what to do. The command line prints
the message alone and exits with the code above (1 is for unexpected errors).
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class MammofillError(Exception):
    """The base of them all: catch this to catch every foreseen error."""

    exit_code = 1


class SettingsError(MammofillError):
    """A setting that is invalid, or is not known."""

    exit_code = 2


class SourceError(MammofillError):
    """A collection that cannot be read as requested."""

    exit_code = 3


class ImageFileError(SourceError):
    """One image file that cannot be read."""


class TooFewError(MammofillError):
    """Not enough patients, patches or classes to go on."""

    exit_code = 3


class ArtifactError(MammofillError):
    """A folder that is not what it should be."""

    exit_code = 4


class WrongKindError(ArtifactError):
    """An artifact of another kind than the required one."""


class NewerFormatError(ArtifactError):
    """An artifact written by a newer mammofill."""


class DamagedError(ArtifactError):
    """An artifact whose files are not those that were finished."""


class PlanChangedError(ArtifactError):
    """An artifact begun or finished with other settings, another seed or other inputs."""


class BusyError(ArtifactError):
    """An artifact that another process is working on."""


class LeakError(MammofillError):
    """A patient on both sides of a split."""

    exit_code = 5


class WeightsError(MammofillError):
    """Weights that are missing, or of another network."""

    exit_code = 6


class DeviceError(MammofillError):
    """A device that is not available."""

    exit_code = 6


class TrainingError(MammofillError):
    """Training that cannot go on, for example because a loss is not finite."""

    exit_code = 7


class StoreError(MammofillError):
    """An object store, or an object expected in one, that is not there or to which access is refused."""

    exit_code = 8


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean ...?`` where a known word is close to one that is not, else nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""


def check_setting(settings: object, field: str, holds: bool, rule: str) -> None:
    """Refuse a settings value, naming the field, the rule and the value.

    Args:
        settings: the settings object that is being checked.
        field: name of the field in it.
        holds: whether the rule holds.
        rule: the rule in words that follow "must be", for example "at least 1".

    Raises:
        SettingsError: if the rule does not hold.
    """
    if not holds:
        value = getattr(settings, field)
        raise SettingsError(f"{type(settings).__name__}.{field} must be {rule}, but is {value!r}.")


def check_choice(settings: object, field: str, *words: str) -> None:
    """Refuse a settings value that is not among some words; see `check_setting`.

    Raises:
        SettingsError: it is none of them.
    """
    known = " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
    check_setting(settings, field, getattr(settings, field) in words, known)
