"""What a command or study would do, in words; looking only, touching nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mammofill.experiment.effort import effort_lines
from mammofill.experiment.planned import finished_steps, foresee_plan, inputs_given
from mammofill.experiment.settings import flat
from mammofill.experiment.stages import Stage, find
from mammofill.experiment.steps import Step
from mammofill.experiment.study import Study
from mammofill.ground.artifact import (
    MANIFEST_NAME,
    PARTIAL,
    PLAN_NAME,
    Artifact,
    check_plan_is_there,
    read_manifest,
    read_plan,
    settings_of_plan,
)
from mammofill.ground.errors import PlanChangedError
from mammofill.ground.file_names import as_url

_REFUSED = "with other settings or seed, will be refused"
_OTHER_INPUTS = "made from other inputs, will be refused"
_NOT_REACHED = "not reached, as it is made from what will be refused"


def plan_of_study(study: Study, out: Path, device: str, amend: bool = False) -> tuple[str, bool]:
    """Return the plan of a whole study: how much it is, and each stage with its state, inputs and settings.

    Args:
        study: that was read.
        out: its folder.
        device: where it is to run, which `auto` leaves to us.
        amend: whether another plan may follow one whose test scores are there, see `planned`.

    Returns:
        The plan in words, and whether a run would be refused for what lies in the folder.
    """
    faults = []
    try:
        study = foresee_plan(study, out, amend)
    except PlanChangedError as fault:
        faults.append(str(fault))
    lines = [
        f"study   {study.name} ({study.path})",
        f"out     {out}",
        f"seed    {study.seed}",
        f"device  {device}" + (f" (auto: {study.path} leaves the choice to us)" if device != study.device else ""),
        *effort_lines(study, out, device),
        "marked *: what differs from the defaults, or from those of the preset",
    ]
    states, printed = _states(study, out), _PrintedSettings()
    for step in study.steps:
        inputs = ", ".join(str(out / place) for places in step.inputs.values() for place in places)
        lines += [
            "",
            f"{step.stage.name}: {inputs}{' -> ' if inputs else ''}{out / step.out}  ({states[step.out]})",
            *printed.settings_of(step),
        ]
    if refused := [str(out / place) for place, state in states.items() if state.endswith((_REFUSED, _OTHER_INPUTS))]:
        faults.append(
            f"Refused, as made with other settings or seed, or from other inputs: {', '.join(refused)}. Take another "
            "--out, or delete them and what was made from them."
        )
    last = faults or ["No fault was found, and nothing has run: the same command without --dry-run runs it."]
    return "\n".join([*lines, "", *last]), bool(faults)


def _states(study: Study, out: Path) -> dict[Path, str]:
    """Say of each step's place what stands there; what comes after one that is refused is not reached, and not done."""
    states: dict[Path, str] = {}
    from_others = {
        step.out for step, made in finished_steps(study, out) if inputs_given(step, made, out) != made.inputs
    }
    for step in study.steps:
        before = [states.get(place, "") for places in step.inputs.values() for place in places]
        stopped = any(state.endswith((_REFUSED, _OTHER_INPUTS, _NOT_REACHED)) for state in before)
        state = state_of(out / step.out, step.settings, step.seed)
        state = _OTHER_INPUTS if state == "done" and step.out in from_others else state
        states[step.out] = _NOT_REACHED if stopped else state
    return states


class _PrintedSettings:
    """What was printed of earlier steps: of later steps like them only the differences are printed, for brevity."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, type[Any]], tuple[Path, list[str]]] = {}

    def settings_of(self, step: Step) -> list[str]:
        """Return the lines of a step's settings: all of the first of its kind, and what is other in those after it."""
        lines = list(settings_lines(step.settings, usual_settings(step.stage, step.settings)))
        kind = (step.stage.name, type(step.settings))
        if kind not in self._first:
            self._first[kind] = (step.out, lines)
            return lines
        out, known = self._first[kind]
        other = [line for line in lines if line not in known]
        return [f"  settings as of {out}{', but for' if other else ''}", *other]


def plan_of_stage(
    stage: Stage, inputs: Mapping[str, Any], settings: Any, out: Path, seed: int, device: str | None
) -> str:
    """Return the plan of one stage: what it would make, from what, with which settings."""
    lines = [f"stage   {stage.name}: {stage.summary}", f"out     {out}  ({state_of(out, settings, seed)})"]
    lines += [f"input   {role}: {described(one)}" for role, given in inputs.items() for one in _as_list(given)]
    lines.append(f"seed    {seed}")
    lines += [f"device  {device}"] if device else []
    marked = settings_lines(settings, usual_settings(stage, settings))
    return "\n".join([*lines, "settings (marked *: other than the default, or than the preset's)", *marked])


def usual_settings(stage: Stage, settings: Any) -> Any:
    """Return what settings are if none is set by the user: those of their preset, or the defaults of their class."""
    preset = getattr(settings, "preset", None)
    named = isinstance(preset, str) and stage.presets and preset in find(stage.presets)
    return stage.preset(str(preset)) if named else type(settings)()


def settings_lines(settings: Any, usual: Any) -> Iterator[str]:
    """Yield one line per field, nested ones dotted; those that are not as usual are marked."""
    defaults = dict(flat(usual))
    for name, value in flat(settings):
        same = value == defaults.get(name, value)
        yield f"  {name} = {value!r}" if same else f"* {name} = {value!r}  (default {defaults[name]!r})"


def described(one: Artifact | Path) -> str:
    """Return an input in one line."""
    if isinstance(one, Artifact):
        return f"{one.folder} ({one.kind}, fingerprint {one.fingerprint[:12]})"
    return as_url(one) or str(one)


def state_of(out: Path, settings: Any, seed: int) -> str:
    """Say what stands at an artifact's place and so what the command would do."""
    if not (out / MANIFEST_NAME).is_file():
        partial = out.with_name(out.name + PARTIAL)
        if not partial.is_dir():
            return "will run"
        check_plan_is_there(partial)
        plan = read_plan(partial) if (partial / PLAN_NAME).is_file() else None
        same = plan is None or (plan.get("seed"), plan.get("settings")) == (seed, settings_of_plan(settings))
        return "begun, will go on" if same else f"begun {_REFUSED}"
    manifest = read_manifest(out)
    same = manifest.seed == seed and manifest.settings == settings_of_plan(settings)
    return "done" if same else f"made {_REFUSED}"


def _as_list(given: Any) -> Sequence[Any]:
    return given if isinstance(given, list) else [given]
