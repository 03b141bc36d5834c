"""The commands of the stages, made from the table of stages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mammofill.cli.options import (
    add_common_options,
    device_for,
    named_by_flags,
    parsed,
    parser_for,
    progress_of,
    value_of,
)
from mammofill.experiment.stages import Input, Stage, find
from mammofill.ground.artifact import MANIFEST_NAME, Artifact
from mammofill.ground.counting import counted
from mammofill.ground.errors import SettingsError
from mammofill.ground.progress import show

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def run_stage(stage: Stage, given: list[str]) -> None:
    """Run one stage, or print its plan; `given` follows the name of the stage."""
    start = start_settings(stage, given)
    settings_class = stage.settings_class() if start is None else type(start)
    with named_by_flags(settings_class):
        options = parsed(stage_parser(stage, settings_class, start), given)
        leading = {stage.leading: getattr(options, stage.leading)} if stage.leading else {}
        settings = settings_from(options, settings_class, leading)
    out = Path(options.out)
    inputs = stage.open_all({one.role: getattr(options, one.role) for one in stage.inputs})
    progress = progress_of(options)
    device = device_for(options.device, progress) if stage.device else None
    if options.dry_run:
        from mammofill.experiment.plan import plan_of_stage

        show(plan_of_stage(stage, inputs, settings, out, options.seed, device))
        return
    finished = (out / MANIFEST_NAME).is_file()
    artifact = stage(inputs, out, settings, seed=options.seed, progress=progress, device=device)
    if finished:
        progress.say(f"{out} was finished before, with the same settings: nothing was made again.")
    show(_result(artifact))


def settings_from(options: Namespace, settings_class: type[Any], leading: dict[str, Any]) -> Any:
    """Return the settings of a stage from parsed options; `leading` is the one that has no flag, if there is one."""
    from mammofill.experiment.settings import settings_in

    return settings_in(options, settings_class, **leading)


def stage_parser(stage: Stage, settings_class: type[Any], start: Any) -> ArgumentParser:
    """Return the parser of a stage: its inputs, the options of all commands, and a flag for each settings field."""
    parser = parser_for(stage.name, stage.summary)
    if stage.leading:
        from typing import get_type_hints

        kind = get_type_hints(settings_class)[stage.leading]
        parser.add_argument(stage.leading, type=kind, help=f"which {stage.leading}")
    for one in stage.inputs:
        _add_input(parser, one)
    if stage.inputs:
        parser.add_argument("--out", required=True, metavar="DIR", help="folder of the new artifact")
    else:
        parser.add_argument("out", metavar="OUT", help="folder of the new collection")
    parser.add_argument("--seed", type=int, default=0, help="the only source of chance")
    if stage.device:
        parser.add_argument(
            "--device", default="cpu", help="where networks run: auto (a GPU if there is one), cpu, cuda or cuda:N"
        )
    parser.add_argument("--config", default=None, metavar="FILE.toml", help="settings from a file; flags go above it")
    add_common_options(parser)
    from mammofill.experiment.settings import add_settings

    add_settings(parser, settings_class, start, skip=stage.leading)
    needed = [one for one in stage.inputs if not one.optional]
    if stage.presets:
        from mammofill.experiment.settings import presets_in_words

        parser.epilog = presets_in_words(find(stage.presets))
    names = [stage.leading or "", *(f"{one.role} ..." if one.several else one.role for one in needed)]
    taken = f"{' '.join(names).strip().upper()} --out DIR" if stage.inputs else "OUT"
    parser.usage = f"mammofill {stage.name} {taken} [--FIELD VALUE ...]"
    return parser


def _add_input(parser: ArgumentParser, one: Input) -> None:
    kind = "folder (or table) of the collection" if one.kind == "source" else f"finished {one.role} folder"
    kind = one.words or kind
    if one.optional:
        count = "+" if one.several else None
        plural = "s" if one.several and not one.words else ""
        parser.add_argument(
            f"--{one.role}", nargs=count, default=[], metavar=one.role.upper(), help=f"{kind}{plural}, optional"
        )
    elif one.several:
        parser.add_argument(one.role, nargs="+", metavar=one.role.upper(), help=f"one or more {kind}s")
    else:
        parser.add_argument(one.role, metavar=one.role.upper(), help=kind)


def start_settings(stage: Stage, given: list[str]) -> Any:
    """Return the settings that flags then change: the defaults, a preset, or what a file says above either."""
    from mammofill.experiment.settings import read_settings, read_toml

    config = value_of("--config", given)
    values = read_toml(Path(config)) if config else {}
    if "arms" in values:
        raise SettingsError(
            f"{config} is a study file, and no settings of {stage.name}: mammofill run {config} --out DIR"
        )
    preset = (value_of("--preset", given) or values.pop("preset", None)) if stage.presets else None
    start = stage.preset(preset) if preset else None
    settings_class = stage.settings_class() if start is None else type(start)
    return read_settings(settings_class, values, config, Path(config).parent, start) if config else start


def _result(artifact: Artifact) -> str:
    counts = ", ".join(counted(count, name.replace("_", " ")) for name, count in artifact.manifest.counts.items())
    lines = [f"{artifact.folder}: {artifact.kind}" + (f" ({counts})" if counts else "")]
    table, page = artifact.folder / "table.txt", artifact.folder / "index.html"
    lines += [headline] if (headline := artifact.headline()) != Artifact.headline(artifact) else []
    lines += ["", table.read_text(encoding="utf-8").rstrip()] if table.is_file() else []
    lines += [f"open {page}"] if page.is_file() else []
    return "\n".join(lines)
