"""What the tables of a study file may not say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mammofill.experiment.grid import Arm, Grid
from mammofill.experiment.infillers import Infillers
from mammofill.ground.errors import SettingsError
from mammofill.pairing.hole import widest
from mammofill.patches.settings import parts_of


def check_tested(split: str, content: Mapping[str, Any], path: Path) -> None:
    """Refuse to test on patients whom every classifier learns from, or whose scores chose its threshold.

    Raises:
        SettingsError: naming the split.
    """
    if split != "test" and "test" not in content:
        raise SettingsError(
            f"{path} [evaluate]: split is {split!r}, but all classifiers of the study learn from train patients and "
            "know the validation patients. Leave split out: test patients are tested."
        )


def check_own_lesions_hidden(pairing: Any, infillers: Infillers, path: Path) -> None:
    """Refuse infillers that repaint less than lesions that are painted over need; see `pairing.pixels`.

    Raises:
        SettingsError: naming the infiller and both holes.
    """
    if pairing.contexts == "normal":
        return
    for name, one in infillers.settings.items():
        if one.hole != pairing.hole and widest((one.hole, pairing.hole)) == pairing.hole:
            raise SettingsError(
                f"{path}: contexts is {pairing.contexts} in [pair-patches], so that lesions are painted over, but the "
                f"infiller {name} repaints {one.hole} where pairs are made for {pairing.hole}: a ring of each real "
                "lesion would show around its fill. Give all infillers one hole, in a table [hole]."
            )


def check_grid(grid: Grid, arms: Sequence[Arm], synthesize: Mapping[str, Any], path: Path) -> None:
    """Refuse arms that the grid does not allow, and numbers in it that no arm has a use for.

    Raises:
        SettingsError: naming the arm or the field of [grid].
    """
    for arm in arms:
        _check_shares(arm, grid, f"{path} [[arms]] {arm.name!r}")
    if grid.infillers > 1 and not any(arm.has_infiller for arm in arms):
        raise SettingsError(
            f"{path} [grid]: infillers = {grid.infillers}, but no arm learns from generated patches. Give an arm "
            "synthetic, or say with classifiers how often each arm is trained."
        )
    for arm in arms:
        if arm.repeated and not grid.doses:
            raise SettingsError(f"{path} [[arms]] {arm.name!r} is repeated, so [grid] must give doses.")
    if grid.doses:
        _check_doses(arms, synthesize, path)


def _check_shares(arm: Arm, grid: Grid, where: str) -> None:
    """Refuse an arm at shares that the grid does not have, and one with more patients than there are."""
    if unknown := [one for one in arm.shares if one not in grid.real_shares]:
        known = ", ".join(f"{one:g}" for one in grid.real_shares)
        raise SettingsError(f"{where}: shares names {unknown[0]:g}, but real_shares in [grid] are {known}.")
    if not grid.shares_of(arm):
        raise SettingsError(
            f"{where} has more_patients, so [grid] must give a share of at most 0.5 in real_shares: beyond it there "
            "are no further patients to learn from."
        )
    if grid.training_sets and arm.more_patients and 2 * grid.training_sets > parts_of(max(grid.shares_of(arm))):
        raise SettingsError(
            f"{where} has more_patients, so training_sets in [grid] may be at most "
            f"{parts_of(max(grid.shares_of(arm))) // 2}: each training set needs as many further patients."
        )


def _check_doses(arms: Sequence[Arm], synthesize: Mapping[str, Any], path: Path) -> None:
    """Refuse doses of which no arm is made, and numbers of patches that follow from doses."""
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


def check_comparison(settings: Any, grid: Grid, arms: Sequence[Arm], path: Path) -> None:
    """Refuse arms and doses that are compared but not there; `compare-arms` would find out after all training.

    Raises:
        SettingsError: naming the field and what is not there.
    """
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


def check_folds(grid: Grid, content: Mapping[str, Any], path: Path) -> None:
    """Refuse what does not go together with folds, and what folds decide.

    Raises:
        SettingsError: naming the table or the field.
    """
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
