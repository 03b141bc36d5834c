"""The plan of an artifact: from what, with which settings and seed it is made; and whether two plans are the same."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import field as dataclass_field
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from mammofill.ground.artifact.layout import PLAN_NAME, as_json, write_atomically
from mammofill.ground.artifact.manifest import InputRecord, Manifest
from mammofill.ground.artifact.verification import verifies
from mammofill.ground.errors import DamagedError, PlanChangedError
from mammofill.ground.file_names import why_no_file


def execution(default: Any) -> Any:
    """Declare a settings field that changes how the work is done but not what comes out.

    It is recorded, but a stopped stage may go on with another value.
    """
    return dataclass_field(default=default, metadata={"execution": True})


def added(default: Any) -> Any:
    """Declare a settings field that came after artifacts had been made without it, and whose default is as before.

    At its default it is no part of the plan, so that what was begun or made earlier is still of the same plan.
    """
    return dataclass_field(default=default, metadata={"added": True})


def plain(value: object) -> Any:
    """Turn settings into what JSON can hold, walking over all fields so that none can be forgotten."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def settings_of_plan(settings: object) -> dict[str, Any]:
    """Return what of the settings is part of the plan, as a manifest records it.

    That is all but the execution fields, and those that were added later (`added`) where they are at their default.
    """
    kept: dict[str, Any] = {}
    for field in fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        as_before = field.metadata.get("added") and value == field.default
        if not field.metadata.get("execution") and not as_before:
            kept[field.name] = settings_of_plan(value) if is_dataclass(value) else plain(value)
    return kept


def execution_of(settings: object) -> dict[str, Any]:
    """Return the values of all execution fields; those of settings within settings under dotted names."""
    found: dict[str, Any] = {}
    for field in fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        if field.metadata.get("execution"):
            found[field.name] = plain(value)
        elif is_dataclass(value):
            found |= {f"{field.name}.{name}": inner for name, inner in execution_of(value).items()}
    return found


def how_done(device: str | None) -> dict[str, Any]:
    """Return what a manifest says of how the work was done besides settings."""
    facts: dict[str, Any] = {} if verifies() else {"no_verify": True}
    if device is not None:
        # On a GPU some operators add up in no fixed order: see `mammofill.ground.training.device`.
        facts |= {"device": device, "same_bits_again": kind_of_device(device) == "cpu"}
    return facts


def kind_of_device(device: str | None) -> str | None:
    """Return the kind of a device: which of several it is does not matter."""
    return device.partition(":")[0] if device is not None else None


def note_plan(partial: Path, plan: Mapping[str, Any]) -> None:
    """Write the plan into a folder, or check that the plan there is the same.

    Raises:
        PlanChangedError: it was begun with another plan; names each difference.
        DamagedError: the plan there cannot be read.
    """
    if (partial / PLAN_NAME).is_file():
        check_same_plan(partial, read_plan(partial), plan)
    else:
        write_atomically(partial / PLAN_NAME, as_json(plan))


def read_plan(partial: Path) -> dict[str, Any]:
    """Read the plan of an artifact that was begun.

    Args:
        partial: its folder, ``<name>.partial``.

    Raises:
        DamagedError: it has no plan, or none that can be read.
    """
    path = partial / PLAN_NAME
    try:
        if not path.is_file():  # whoever opens a pipe may wait for ever
            raise OSError(f"it {why_no_file(path)}")
        plan = dict(json.loads(path.read_text(encoding="utf-8")))
        _comparable(plan)  # else it is no plan
        return plan
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedError(
            f"{path} cannot be read ({error}), so the plan of {partial} is unknown. Delete the folder and begin again."
        ) from error


def check_same_plan(place: Path, old: Mapping[str, Any], new: Mapping[str, Any], finished: bool = False) -> None:
    """Refuse to go on with another plan than a folder was begun, or finished, with.

    Raises:
        PlanChangedError: names each difference.
    """
    if old.get("stage") != new.get("stage"):
        raise PlanChangedError(
            f"{place} is of {old.get('stage')}, and {new.get('stage')} cannot use the same folder. Take another --out, "
            "or delete the folder."
        )
    differences = list(_differences(_comparable(old), _comparable(new)))
    if differences:
        state = "was finished" if finished else "was begun"
        raise PlanChangedError(
            f"{place} {state} with another plan:\n"
            + "\n".join(
                f"  {name}: {_change(name, before, after, place, old, new)}" for name, before, after in differences
            )
            + "\nUse the old values to go on, another --out to start anew, or delete the folder."
        )


def _change(name: str, before: Any, after: Any, place: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Say in what two plans differ; of inputs, whose values are fingerprints, where they lie."""
    if not name.startswith("inputs."):
        return f"was {before!r}, now {after!r}"
    role = name.removeprefix("inputs.")
    was, now = _places(old, role, place), _places(new, role, place)
    if was == now:
        return f"{was} has another content now"
    return f"was {was}, now {now}"


def _places(plan: Mapping[str, Any], role: str, folder: Path) -> str:
    records = [one if isinstance(one, InputRecord) else InputRecord(**one) for one in plan.get("inputs", ())]
    return ", ".join(one.place(folder) for one in records if one.role == role) or _missing


TAKEN_OVER = "trained"
"""Role of inputs that only spare work: what is made of them would be made alike without them."""


def _comparable(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a plan or manifest what decides the result; an artifact that moved is still the same artifact."""
    inputs: dict[str, list[str]] = {}
    for record in plan.get("inputs", ()):
        record = record if isinstance(record, dict) else vars(record)
        if record["role"] == TAKEN_OVER:
            continue
        inputs.setdefault(record["role"], []).append(record["fingerprint"] or record["path"])
    # What an older mammofill did not write down yet is a difference like any other.
    kept = {name: plan.get(name, _missing) for name in ("kind", "stage", "settings", "seed", "device")}
    return {**kept, "device": kind_of_device(kept["device"]), "inputs": inputs}


_missing = "(not set)"


def differences(old: Manifest, new: Manifest) -> list[tuple[str, Any, Any]]:
    """Say in what two artifacts differ that decides the result: name, the one's value, the other's."""
    found = list(_differences(_comparable(vars(old)), _comparable(vars(new))))
    same = old.fingerprint == new.fingerprint
    return found if same else [*found, ("fingerprint", old.fingerprint[:12], new.fingerprint[:12])]


def _differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _differences(
                old.get(key, _missing), new.get(key, _missing), f"{name}.{key}" if name else str(key)
            )
    elif old != new:
        yield name, old, new
