"""The arms of a study file, and which of them judge infillers and read fills."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mammofill.experiment.grid import ALL, RANDOM, SELECTIONS, Arm
from mammofill.experiment.settings import check_shown_name
from mammofill.experiment.stages import stage_named
from mammofill.experiment.tables import merged, stage_settings
from mammofill.ground.errors import SettingsError
from mammofill.infilling import Infiller

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

NOT_SETTINGS: dict[str, Any] = {
    "name": None,
    "synthetic": False,
    "discriminator": False,
    "repeated": False,
    "more_patients": False,
    "select": ALL,
    "shares": [],
}
"""Entries in the table of an arm that are no settings of its classifiers, and what holds without them."""


def arm_tables(content: Mapping[str, Any]) -> Any:
    """Return the tables of the arms of a study file; the paper's where it has none."""
    arms = content.get("arms", "paper")
    return ARM_PRESETS[arms] if isinstance(arms, str) else arms


def read_arms(tables: Any, shared: Mapping[str, Any], infillers: Mapping[str, Any], path: Path) -> list[Arm]:
    """Read the arms.

    Args:
        tables: one for each arm.
        shared: what all classifiers have in common.
        infillers: name -> settings, or an infiller that is used as it is.
        path: of the study file.

    Raises:
        SettingsError: an arm makes no sense, or two would share a folder.
    """
    arms: dict[str, Arm] = {}
    for number, table in enumerate(tables, start=1):
        where = _checked_name(table.get("name"), number, path)
        arm = _arm(table, shared, infillers, path, where)
        if arm.slug in arms:
            raise SettingsError(f"{where} and {arms[arm.slug].name!r} would share a folder. Give them other names.")
        seen = unicodedata.normalize("NFKC", arm.name).casefold()
        if alike := [one for one in arms.values() if unicodedata.normalize("NFKC", one.name).casefold() == seen]:
            raise SettingsError(f"{where} and {alike[0].name!r} look the same in a report. Give them other names.")
        arms[arm.slug] = arm
    return list(arms.values())


def _checked_name(name: Any, number: int, path: Path) -> str:
    """Return what an arm is called in messages."""
    if not isinstance(name, str) or not Arm(name, None, False, None).slug:
        raise SettingsError(
            f"{path} [[arms]] number {number} must have a name with letters or digits, but has {name!r}."
        )
    check_shown_name(name, f"{path} [[arms]] number {number}")
    return f"{path} [[arms]] {name!r}"


def _arm(
    table: Mapping[str, Any], shared: Mapping[str, Any], infillers: Mapping[str, Any], path: Path, where: str
) -> Arm:
    values = merged(shared, table)
    own = {key: values.pop(key, usual) for key, usual in NOT_SETTINGS.items()}
    infiller = _infiller_of("synthetic", own["synthetic"], infillers, where)
    discriminator = _infiller_of("discriminator", own["discriminator"], infillers, where)
    if discriminator:
        _check_has_backbone(infillers[discriminator], f"{where}: discriminator names {discriminator}")
        values.pop("weights_file", None)
        values |= {"network": "discriminator", "weights": table.get("weights", "infiller")}
    _check_stands_alone(own, infiller, discriminator, where)
    _check_selection(own["select"], infiller, where)
    settings = _settings(values, path, where)
    _check_learned_from(settings, infiller, own["repeated"], where)
    _check_dose_of_selected(own["select"], settings, where)
    _check_network(settings, where)
    shares = _shares_of(own["shares"], where)
    return Arm(
        own["name"], infiller, own["repeated"], settings, discriminator, own["more_patients"], shares, own["select"]
    )


def _settings(values: Mapping[str, Any], path: Path, where: str) -> Any:
    for field in ("dose", "repeats"):
        if field in values:
            raise SettingsError(f"{where}: {field} is not set here; doses stand in [grid].")
    return stage_settings(stage_named("train-classifier"), values, path, where)


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


def _check_has_backbone(infiller: Any, where: str) -> None:
    """Refuse infillers without a discriminator that looks at patches of unknown class, see `ground.backbone`."""
    if infiller.method != "gan":
        raise SettingsError(
            f"{where}, whose method {infiller.method} trains none. Name an infiller whose method is gan."
        )
    if not isinstance(infiller, Infiller) and infiller.discriminator.conditioning == "planes":
        raise SettingsError(
            f"{where}, whose discriminator is conditioned on the class at every layer (conditioning planes, preset "
            "authors). Name one whose discriminator.conditioning is projection, as in the presets paper and modern."
        )


def _check_stands_alone(own: Mapping[str, Any], infiller: str | None, discriminator: str | None, where: str) -> None:
    """Refuse two things in one arm of which each stands for synthetic patches."""
    repeated, more = own["repeated"], own["more_patients"]
    if not isinstance(repeated, bool) or (repeated and infiller):
        raise SettingsError(f"{where}: repeated must be true or false, and stands for synthetic patches.")
    if not isinstance(more, bool) or (more and (infiller or discriminator or repeated)):
        raise SettingsError(f"{where}: more_patients must be true or false, and stands for synthetic patches.")


def _check_selection(select: Any, infiller: str | None, where: str) -> None:
    if select not in SELECTIONS:
        raise SettingsError(f"{where}: select must be {', '.join(SELECTIONS[:-1])} or {RANDOM}, but is {select!r}.")
    if select != ALL and not infiller:
        raise SettingsError(f"{where}: select = {select!r} is of synthetic patches, but the arm has none.")


def _check_dose_of_selected(select: str, settings: Any, where: str) -> None:
    if select != ALL and settings.dose_by != "patch":
        raise SettingsError(
            f"{where}: select = {select!r} keeps fills for each real patch, but dose_by is {settings.dose_by!r}: "
            "the arm would learn from another dose than it says. Give it dose_by patch."
        )


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


def _shares_of(value: Any, where: str) -> tuple[float, ...]:
    """Read at which shares an arm is trained; whether the grid has them is checked with the grid."""
    if not isinstance(value, list) or not all(isinstance(one, int | float) for one in value):
        raise SettingsError(f"{where}: shares must be a list of numbers, but is {value!r}.")
    if len(set(value)) < len(value):
        raise SettingsError(f"{where}: shares must be different numbers, but are {value!r}. Name each share once.")
    return tuple(float(one) for one in value)


def readers_of(content: Mapping[str, Any], arms: list[Arm], path: Path) -> Any | None:
    """Return how the classifiers are trained that read fills, where an arm selects among them: as real patches are.

    Raises:
        SettingsError: no arm selects although the table is there, or the table sets what follows from arms and grid;
            or no arm learns from real patches only.
    """
    where = f"{path} [select-synthetic]"
    selecting = [arm for arm in arms if arm.select != ALL]
    if "select-synthetic" in content and not selecting:
        raise SettingsError(f'{where}: no arm selects. Give an arm with synthetic select = "gated" or "random".')
    for field in ("random", "ratio"):
        if field in content.get("select-synthetic", {}):
            raise SettingsError(f"{where}: {field} is not set here; it follows from [[arms]] and doses in [grid].")
    return judging_arms(arms, where, "fills are read")[0].settings if selecting else None


def judging_arms(arms: list[Arm], where: str, what: str) -> tuple[Arm, ...]:
    """Return the arms whose classifiers judge the infillers: of those that learn from real patches only, each once.

    Returns:
        The last one whose patches are as they are, and the last one whose patches are standardised, if there is one.

    Raises:
        SettingsError: no arm learns from real patches only, as they are.
    """
    real = [arm for arm in arms if not (arm.infiller or arm.discriminator or arm.repeated or arm.more_patients)]
    plain = [arm for arm in real if not arm.settings.standardise]
    if not plain:
        raise SettingsError(
            f"{where}: {what} with a classifier that learned from real patches only, as they are, but every arm has "
            "synthetic, repeated, discriminator, more_patients or standardise. Add an arm without them."
        )
    return (plain[-1], *[arm for arm in real if arm.settings.standardise][-1:])
