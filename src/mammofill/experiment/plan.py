"""What a command or study would do, in words; looking only, touching nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mammofill.experiment.settings import flat
from mammofill.experiment.stages import Stage
from mammofill.experiment.study import Study
from mammofill.ground.artifact import MANIFEST_NAME, Artifact, read_manifest, settings_of_plan


def plan_of_study(study: Study, out: Path) -> str:
    """Return the plan of a whole study: each stage with its state, inputs and settings."""
    lines = [
        f"study   {study.name} ({study.path})",
        f"out     {out}",
        f"seed    {study.seed}",
        f"device  {study.device}",
    ]
    for step in study.steps:
        inputs = ", ".join(str(out / place) for places in step.inputs.values() for place in places)
        state = state_of(out / step.out, step.settings, step.seed)
        lines += [
            "",
            f"{step.stage.name}: {inputs}{' -> ' if inputs else ''}{out / step.out}  ({state})",
            *settings_lines(step.settings),
        ]
    return "\n".join(lines)


def plan_of_stage(
    stage: Stage, inputs: Mapping[str, Any], settings: Any, out: Path, seed: int, device: str | None
) -> str:
    """Return the plan of one stage: what it would make, from what, with which settings."""
    lines = [f"stage   {stage.name}: {stage.summary}", f"out     {out}  ({state_of(out, settings, seed)})"]
    lines += [f"input   {role}: {described(one)}" for role, given in inputs.items() for one in _as_list(given)]
    lines.append(f"seed    {seed}")
    lines += [f"device  {device}"] if device else []
    return "\n".join([*lines, "settings", *settings_lines(settings)])


def settings_lines(settings: Any) -> Iterator[str]:
    """Return one line per field, nested ones dotted."""
    return (f"  {name} = {value!r}" for name, value in flat(settings))


def described(one: Artifact | Path) -> str:
    """Return an input in one line."""
    if isinstance(one, Artifact):
        return f"{one.folder} ({one.kind}, fingerprint {one.fingerprint[:12]})"
    return str(one)


def state_of(out: Path, settings: Any, seed: int) -> str:
    """Say what stands at an artifact's place and so what the command would do."""
    if not (out / MANIFEST_NAME).is_file():
        return "begun, will go on" if out.with_name(out.name + ".partial").is_dir() else "will run"
    manifest = read_manifest(out)
    same = manifest.seed == seed and manifest.settings == settings_of_plan(settings)
    return "done" if same else "made with other settings or seed, will be refused"


def _as_list(given: Any) -> Sequence[Any]:
    return given if isinstance(given, list) else [given]
