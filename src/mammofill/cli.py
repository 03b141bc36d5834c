"""The command line: one command per row of the table of stages, and a few that run them all.

Results go to standard output, everything else to standard error. Exit codes: 0 done; 1 an error that nobody foresaw;
2 wrong usage or settings; 3 to 7 as drawn in `mammofill.ground.errors`; 8 the system refused (disk full, no
permission), or an object store; 9 a strict audit found something serious; 130 stopped with Ctrl-C, 143 by SIGTERM.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from argparse import ArgumentError
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mammofill
from mammofill.experiment.stages import EXPORTS, PHANTOM, STAGES, Input, Stage, all_stages, find, stage_named
from mammofill.ground.artifact import MANIFEST_NAME, NO_VERIFY, Artifact
from mammofill.ground.errors import MammofillError, SettingsError, did_you_mean
from mammofill.ground.file_names import refuse_source_url, refuse_url
from mammofill.ground.progress import LineProgress, Progress, for_this_console, quiet
from mammofill.ground.stopping import StoppedError, sigterm_interrupts

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

SYSTEM_REFUSED = 8
SERIOUS_FOUND = 9
STOPPED = 130

_OTHERS = {
    "audit": "look for what is wrong with a collection before anything is learned from it; it is only read",
    "init": "write a study file, with comments, fitted to a collection and to this machine",
    "plan": "say what a study will compare and the smallest difference that it can show, before anything runs",
    "run": "run a whole study from one TOML file, up to its report",
    "list": "say what lies in a folder: artifacts, their state and headline figures, and what they were made from",
    "push": "copy a finished artifact to an object store, checked and resumed, each content once",
    "pull": "fetch an artifact that was pushed; each file is checked as it arrives",
    "studio": "open a page in the browser on what lies in a folder: look, paint lesions, let readers rate them",
    "make-reader-study": "draw real and synthetic lesions that people are to tell apart, and a code for each reader",
    "analyse-readers": "say whether readers could tell, with intervals over readers and cases",
    "demo": "run the shipped study on practice mammograms: a few minutes, no data needed",
    PHANTOM.name: PHANTOM.summary,
    **{stage.name: stage.summary for stage in EXPORTS},
}
COMMANDS: dict[str, str] = {stage.name: stage.summary for stage in STAGES} | _OTHERS
"""Each of our commands and its line of help, in the order of the corridor."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what follows ``mammofill``; those of the process where None.

    Returns:
        The exit code; see the module.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    # Without this, threads that wait for each other spin, and two programs on one machine stop each other: a training
    # step beside other work took 25 times as long on two cores. It must be set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with sigterm_interrupts(), _verification("--no-verify" not in given):
            return _command([one for one in given if one not in ("--debug", "--no-verify")])
    except SystemExit as request:  # --help
        return int(request.code or 0)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  (the outermost door: everything becomes a message)
        if debug:
            traceback.print_exc()
        message, code = _explained(error)
        print(message, file=sys.stderr)
        return code


def _from_elsewhere() -> dict[str, str]:
    """Return the commands, with their lines of help, of stages that other installed packages offer.

    Raises:
        SettingsError: one has the name of one of our commands.
    """
    found = {name: stage.summary for name, stage in all_stages().items() if stage not in (*STAGES, PHANTOM, *EXPORTS)}
    for name in found:
        if name in _OTHERS:
            raise SettingsError(f"A stage of an installed package is called {name!r}, as a command of mammofill is.")
    return found


@contextmanager
def _verification(wanted: bool) -> Iterator[None]:
    """Check inputs, or not, in this process and in those that it begins."""
    before = os.environ.get(NO_VERIFY)
    if not wanted:
        os.environ[NO_VERIFY] = "1"
    try:
        yield
    finally:
        if not wanted and before is None:
            del os.environ[NO_VERIFY]


def _command(given: list[str]) -> int:
    if given[:1] == ["help"] and given[1:2]:
        given = [given[1], "--help"]
    name, rest = (given[0], given[1:]) if given else ("--help", [])
    if name in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if name == "--version":
        print(f"mammofill {mammofill.__version__}")
        return 0
    if name in ("$", "mammofill"):
        raise SettingsError(f"Leave out {name!r} before the command: mammofill {' '.join(rest)}")
    known = COMMANDS if name in COMMANDS else COMMANDS | _from_elsewhere()
    if name not in known:
        raise SettingsError(
            f"mammofill has no command {name!r}.{did_you_mean(name, known)} All commands: mammofill --help"
        )
    if name not in ("push", "pull"):
        _refuse_urls(name, rest)
    if name in _OWN_WAYS:
        return _OWN_WAYS[name](rest)
    _run_stage(stage_named(name), rest)
    return 0


def _refuse_urls(name: str, given: list[str]) -> None:
    """Refuse URLs where a command makes something, and where one reads that is no stage; stages do so by themselves."""
    for before, one in zip(["", *given], given, strict=False):
        flag, _, value = one.partition("=") if one.startswith("--") else (before, "", one)
        if flag == "--out":
            refuse_url(value, "What is made is written to a disk", pushed=True)
        elif name in ("audit", "init") or flag == "--config" or value.endswith((".toml", ".sqlite")):
            refuse_source_url(value)
        elif name in _OWN_WAYS:
            refuse_url(value, "Commands read files and folders on this machine")


def _overview() -> str:
    elsewhere = _from_elsewhere()
    width = max(map(len, [*COMMANDS, *elsewhere]))

    def listed(commands: Mapping[str, str]) -> str:
        return "\n".join(f"  {name:<{width}}  {line}" for name, line in commands.items())

    stages, others = listed({stage.name: stage.summary for stage in STAGES}), listed(_OTHERS)
    others += f"\n\nFrom other packages that are installed:\n{listed(elsewhere)}" if elsewhere else ""
    return f"""usage: mammofill COMMAND [OPTIONS]

Paint lesions into healthy breast tissue with a GAN or a flow, and measure honestly whether that helps a mammogram
classifier.

Stages, in the order in which a mammogram walks through them. Each reads finished folders and makes a new one (--out);
the same command again goes on where it was stopped.
{stages}

Beside them:
{others}

mammofill COMMAND --help   shows a command's options
mammofill --version        shows the version
"""


# ---- one stage ----------------------------------------------------------------------------------------------------


def _run_stage(stage: Stage, given: list[str]) -> None:
    start = _start_settings(stage, given)
    settings_class = stage.settings_class() if start is None else type(start)
    options = _parsed(_stage_parser(stage, settings_class, start), given)
    leading = {stage.leading: getattr(options, stage.leading)} if stage.leading else {}
    settings = _settings_in(options, settings_class, leading)
    out = Path(options.out)
    inputs = stage.open_all({one.role: getattr(options, one.role) for one in stage.inputs})
    progress = _progress(options)
    device = _device(options.device, progress) if stage.device else None
    if options.dry_run:
        from mammofill.experiment.plan import plan_of_stage

        print(plan_of_stage(stage, inputs, settings, out, options.seed, device))
        return
    finished = (out / MANIFEST_NAME).is_file()
    artifact = stage(inputs, out, settings, seed=options.seed, progress=progress, device=device)
    if finished:
        progress.say(f"{out} was finished before, with the same settings: nothing was made again.")
    print(_result(artifact))


def _device(asked: str, progress: Progress) -> str:
    """Return the device that a stage runs on, and say it where the choice was left to us."""
    if asked == "auto":
        from mammofill.ground.training.device import chosen_device

        asked = chosen_device(asked)
        progress.say(f"device: {asked}")
    return asked


def _settings_in(options: Namespace, settings_class: type[Any], leading: dict[str, Any]) -> Any:
    from mammofill.experiment.settings import settings_in

    return settings_in(options, settings_class, **leading)


def _stage_parser(stage: Stage, settings_class: type[Any], start: Any) -> ArgumentParser:
    parser = _parser(stage.name, stage.summary)
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
    _add_ways(parser)
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
        parser.add_argument(
            f"--{one.role}", nargs=count, default=[], metavar=one.role.upper(), help=f"{kind}s, optional"
        )
    elif one.several:
        parser.add_argument(one.role, nargs="+", metavar=one.role.upper(), help=f"one or more {kind}s")
    else:
        parser.add_argument(one.role, metavar=one.role.upper(), help=kind)


def _start_settings(stage: Stage, given: list[str]) -> Any:
    """Return the settings that flags then change: the defaults, a preset, or what a file says above either."""
    from mammofill.experiment.settings import read_settings, read_toml

    config = _value_of("--config", given)
    values = read_toml(Path(config)) if config else {}
    if "arms" in values:
        raise SettingsError(
            f"{config} is a study file, and no settings of {stage.name}: mammofill run {config} --out DIR"
        )
    preset = (_value_of("--preset", given) or values.pop("preset", None)) if stage.presets else None
    start = stage.preset(preset) if preset else None
    settings_class = stage.settings_class() if start is None else type(start)
    return read_settings(settings_class, values, config, Path(config).parent, start) if config else start


def _result(artifact: Artifact) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in artifact.manifest.counts.items())
    lines = [f"{artifact.folder}: {artifact.kind}" + (f" ({counts})" if counts else "")]
    table, page = artifact.folder / "table.txt", artifact.folder / "index.html"
    lines += [headline] if (headline := artifact.headline()) != Artifact.headline(artifact) else []
    lines += ["", table.read_text(encoding="utf-8").rstrip()] if table.is_file() else []
    lines += [f"open {page}"] if page.is_file() else []
    return "\n".join(lines)


# ---- a look at a collection ---------------------------------------------------------------------------------------


def _audit(given: list[str]) -> int:
    from mammofill.audit.settings import AuditSettings

    parser = _parser("audit", _OTHERS["audit"])
    parser.add_argument("source", metavar="SOURCE", help="folder (or table) of the collection")
    parser.add_argument("--tables-only", action="store_true", help="look at the tables alone; no image is read")
    parser.add_argument(
        "--out", metavar="DIR", help="folder for index.html and audit.json; without it, none is written"
    )
    parser.add_argument("--pictures", type=int, default=6, help="cases of each finding that are drawn on the page")
    parser.add_argument(
        "--strict", action="store_true", help=f"exit with {SERIOUS_FOUND} if a serious finding is there"
    )
    _add_ways(parser, dry_run=False)
    from mammofill.experiment.settings import add_settings, settings_in

    add_settings(parser, AuditSettings, skip="tables_only")
    options = _parsed(parser, given)
    settings = settings_in(options, AuditSettings, tables_only=options.tables_only)
    return _look_through(Path(options.source), options, settings)


def _look_through(source: Path, options: Namespace, settings: Any) -> int:
    from mammofill.audit import audit, summarise, write_audit
    from mammofill.audit.write import check_out

    if options.out is not None:
        check_out(Path(options.out), source)
    progress = _progress(options)
    found = audit(source, settings, progress=progress)
    print(summarise(found))
    if options.out is not None:
        page = write_audit(found, options.out, pictures=options.pictures, progress=progress)
        print(f"\nopen {page}")
    serious = any(finding.severity == "serious" for finding in found.found)
    return SERIOUS_FOUND if options.strict and serious else 0


# ---- whole studies ------------------------------------------------------------------------------------------------


def _init(given: list[str]) -> int:
    parser = _parser("init", _OTHERS["init"])
    parser.add_argument("source", metavar="SOURCE", help="folder (or table) of the collection")
    parser.add_argument("--collection", default=None, help="which collection it is, where that is not recognised")
    parser.add_argument("--out", default="study.toml", metavar="STUDY.toml", help="the study file to write")
    parser.add_argument("--device", default="auto", help="where the study is to run: auto, cpu or cuda")
    _add_ways(parser, dry_run=False)
    options = _parsed(parser, given)
    from mammofill.experiment.first_study import write_first_study

    print(write_first_study(options.source, options.out, _device(options.device, quiet), options.collection))
    return 0


def _plan(given: list[str]) -> int:
    from mammofill.comparison.power import Assumed
    from mammofill.experiment.power import plan_in_words
    from mammofill.experiment.settings import add_settings, settings_in
    from mammofill.experiment.study import read_study

    parser = _parser("plan", _OTHERS["plan"])
    parser.add_argument("study", metavar="STUDY.toml", help="the study file")
    parser.add_argument("--out", default=None, metavar="DIR", help="the study's folder, if patches were cut already")
    parser.add_argument("--quick", action="store_true", help="of the smaller study that its table [quick] makes of it")
    for name in ("benign", "malignant"):
        parser.add_argument(f"--{name}", type=int, default=0, metavar="N", help=f"test patients with a {name} lesion")
    _add_ways(parser, dry_run=False)
    add_settings(parser, Assumed)
    options = _parsed(parser, given)
    counts = (options.benign, options.malignant) if options.benign or options.malignant else None
    if counts and not all(one > 0 for one in counts):
        raise SettingsError(
            f"--benign is {counts[0]} and --malignant {counts[1]}, but an AUC takes test patients of both classes. Say "
            "both numbers."
        )
    study = read_study(Path(options.study), options.quick)
    print(plan_in_words(study, settings_in(options, Assumed), counts, Path(options.out) if options.out else None))
    return 0


def _run(given: list[str]) -> int:
    parser = _parser("run", _OTHERS["run"])
    parser.add_argument("study", metavar="STUDY.toml", help="the study file")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder that receives one folder per artifact")
    parser.add_argument(
        "--workers", type=int, default=0, metavar="N", help="classifiers (and infillers) trained side by side"
    )
    parser.add_argument("--engine", default="processes", help="where they are: processes, slurm, submitit-local, dask")
    parser.add_argument(
        "--amend", action="store_true", help="go on although the plan was changed after results were seen"
    )
    parser.add_argument("--quick", action="store_true", help="a smaller study: what its table [quick] says")
    _add_ways(parser)
    options = _parsed(parser, given)
    return _study(Path(options.study), Path(options.out), options)


def _list(given: list[str]) -> int:
    parser = _parser("list", _OTHERS["list"])
    parser.add_argument("folder", metavar="DIR", nargs="?", default=".", help="the folder; this one without it")
    _add_ways(parser, dry_run=False)
    options = _parsed(parser, given)
    from mammofill.experiment.listing import listing

    print(listing(options.folder))
    return 0


def _push(given: list[str]) -> int:
    parser = _parser("push", _OTHERS["push"])
    parser.add_argument("artifact", metavar="ARTIFACT", help="finished folder of any kind")
    parser.add_argument("url", metavar="URL", help="where it is to lie, for example s3://bucket/study/patches")
    parser.epilog = _OF_STORES
    _add_ways(parser, dry_run=False)
    options = _parsed(parser, given)
    from mammofill.ground.stores.push import push

    sent = push(options.artifact, options.url, progress=_progress(options))
    print(
        f"{sent.url}: {sent.pushed.kind} {sent.pushed.fingerprint[:12]}; {len(sent.pushed.objects())} objects, "
        f"{sent.objects} sent now ({sent.bytes / 1e6:,.1f} MB)"
    )
    return 0


def _pull(given: list[str]) -> int:
    parser = _parser("pull", _OTHERS["pull"])
    parser.add_argument("url", metavar="URL", help="where it was pushed to, for example s3://bucket/study/patches")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the artifact on this machine")
    parser.epilog = _OF_STORES
    _add_ways(parser, dry_run=False)
    options = _parsed(parser, given)
    from mammofill.ground.stores.pull import pull

    pulled = pull(options.url, options.out, progress=_progress(options))
    kind, headline = pulled.artifact.manifest.kind, pulled.artifact.headline()
    fetched = f"{pulled.files} files fetched now ({pulled.bytes / 1e6:,.1f} MB)"
    print(f"{pulled.artifact.folder}: {kind} ({headline}); {fetched}")
    return 0


_OF_STORES = """s3:// needs pip install "mammofill[object-stores]"; gs:// and others the library that fsspec names.
Credentials and addresses are found as that library does, in the environment: AWS_PROFILE, AWS_ENDPOINT_URL, ..."""


def _studio(given: list[str]) -> int:
    parser = _parser("studio", _OTHERS["studio"])
    parser.add_argument("folder", metavar="FOLDER", nargs="?", default=".", help="the folder; this one without it")
    parser.add_argument("--port", type=int, default=0, help="where to listen; 0 takes a free port")
    parser.add_argument("--host", default="127.0.0.1", help="another address lets other machines in, over plain HTTP")
    parser.add_argument("--no-browser", action="store_true", help="print the address and open nothing")
    parser.add_argument(
        "--name-patients", action="store_true", help="show identifiers of patients instead of neutral numbers"
    )
    parser.add_argument("--device", default="cpu", help="where fills are painted: auto, cpu, cuda or cuda:N")
    _add_ways(parser, dry_run=False)
    options = _parsed(parser, given)
    from mammofill.web.serve import open_studio

    open_studio(
        Path(options.folder),
        host=options.host,
        port=options.port,
        browser=not options.no_browser,
        name_patients=options.name_patients,
        device=_device(options.device, quiet),
        say=lambda words: print(words, flush=True),
    )
    return 0


def _make_reader_study(given: list[str]) -> int:
    from mammofill.experiment.settings import add_settings, settings_in
    from mammofill.readers.settings import ReaderStudySettings

    parser = _parser("make-reader-study", _OTHERS["make-reader-study"])
    parser.add_argument("real", metavar="REAL", help="finished patches folder with real lesions")
    parser.add_argument("synthetic", metavar="SYNTHETIC", help="finished patches folder with synthetic ones")
    parser.add_argument("--out", required=True, metavar="FILE.readers.sqlite", help="the file of the study")
    parser.add_argument("--seed", type=int, default=0, help="the only source of chance, but for the readers' codes")
    _add_ways(parser, dry_run=False)
    add_settings(parser, ReaderStudySettings)
    options = _parsed(parser, given)
    from mammofill.patches import PatchSet
    from mammofill.readers import make_reader_study

    if not options.out.endswith(".readers.sqlite"):
        raise SettingsError(f"--out is {options.out}, but must end with .readers.sqlite, so that the studio finds it.")
    sets = PatchSet.open(options.real), PatchSet.open(options.synthetic)
    settings = settings_in(options, ReaderStudySettings)
    study = make_reader_study(*sets, options.out, settings, seed=options.seed)
    what = "pairs" if settings.kind == "pairs" else "cases"
    print(f"{study.path}: {study.progress()['cases']} {what}\ncodes of the readers:")
    print("\n".join(f"  {code}" for code in study.codes()))
    return 0


def _analyse_readers(given: list[str]) -> int:
    parser = _parser("analyse-readers", _OTHERS["analyse-readers"])
    parser.add_argument("study", metavar="FILE.readers.sqlite", help="the file of the study")
    parser.add_argument("--out", default=None, metavar="DIR", help="folder for the ratings as other programs read them")
    _add_ways(parser, dry_run=False)
    options = _parsed(parser, given)
    from mammofill.readers import PairStudy, analyse_pairs, analyse_readers, open_study

    study = open_study(options.study)
    print(analyse_pairs(study, options.out) if isinstance(study, PairStudy) else analyse_readers(study, options.out))
    return 0


def _demo(given: list[str]) -> int:
    parser = _parser("demo", _OTHERS["demo"])
    parser.add_argument("--out", default="demo", metavar="DIR", help="folder that receives one folder per artifact")
    _add_ways(parser)
    options = _parsed(parser, given)
    return _study(Path(mammofill.__file__).with_name("demo.toml"), Path(options.out), options)


def _study(path: Path, out: Path, options: Namespace) -> int:
    from mammofill.experiment.plan import plan_of_study
    from mammofill.experiment.preflight import ready_study
    from mammofill.experiment.run import run_study
    from mammofill.experiment.summary import summary_of_run

    if options.dry_run:
        study = ready_study(path, out, getattr(options, "quick", False))
        print(plan_of_study(study, out, _device(study.device, quiet)))
        return 0
    beside = {name: getattr(options, name) for name in ("workers", "engine", "amend", "quick") if name in options}
    print(summary_of_run(run_study(path, out, _progress(options), **beside)))
    return 0


_OWN_WAYS: dict[str, Callable[[list[str]], int]] = {
    "audit": _audit,
    "init": _init,
    "plan": _plan,
    "run": _run,
    "list": _list,
    "push": _push,
    "pull": _pull,
    "studio": _studio,
    "make-reader-study": _make_reader_study,
    "analyse-readers": _analyse_readers,
    "demo": _demo,
}
"""The commands that are no stage."""


# ---- what all commands share --------------------------------------------------------------------------------------


def _parser(command: str, summary: str) -> ArgumentParser:
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
    )


def _add_ways(parser: ArgumentParser, dry_run: bool = True) -> None:
    if dry_run:
        parser.add_argument("--dry-run", action="store_true", help="print the resolved plan and touch nothing")
    parser.add_argument("--quiet", action="store_true", help="say nothing while working")
    parser.add_argument("--plain", action="store_true", help="plain lines instead of a bar, as in a log")
    parser.add_argument("--no-verify", action="store_true", help="do not check that finished folders are unchanged")
    parser.add_argument("--debug", action="store_true", help="show where in the program an error came from")


def _parsed(parser: ArgumentParser, given: list[str]) -> Namespace:
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


_DASHES = re.compile(r"[-\u2010-\u2015\u2212]+(?=[^\W\d])")
"""A hyphen, or what a text program makes of it, before a word."""


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


def _value_of(flag: str, given: list[str]) -> str | None:
    """Return what follows a flag (``--flag value`` or ``--flag=value``), the last time that it is given."""
    found = None
    for number, one in enumerate(given):
        if one == flag and number + 1 < len(given):
            found = given[number + 1]
        elif one.startswith(flag + "="):
            found = one.partition("=")[2]
    return found


def _progress(options: Namespace) -> Progress:
    if options.quiet:
        return quiet
    return LineProgress() if options.plain else for_this_console()


def _explained(error: BaseException) -> tuple[str, int]:
    """Return the message for an error and the exit code."""
    if isinstance(error, KeyboardInterrupt):
        code = error.exit_code if isinstance(error, StoppedError) else STOPPED
        return "stopped; run the same command again to go on", code
    if isinstance(error, MammofillError):
        return f"error: {error}", error.exit_code
    if isinstance(error, BrokenPipeError):  # whoever read along, `head` for example, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return "stopped: nobody reads the output any more", STOPPED
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" while writing {error.filename}" if error.filename else ""
        return (
            f"error: the disk is full{where}. The work done so far is kept: make room and run the same command again, "
            "it goes on where it stopped.",
            SYSTEM_REFUSED,
        )
    if _wants_memory(error):
        return (
            "error: the memory was not enough. The work done so far is kept: use fewer workers, or smaller batches "
            "(engine.at_once in a training), and run the same command again.",
            SYSTEM_REFUSED,
        )
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return (
            f"error: the system refused ({error.strerror or error}{where}). Put that right and run the same command "
            "again; the work done so far is kept.",
            SYSTEM_REFUSED,
        )
    return f"error: {type(error).__name__}: {error}\nThis should not happen. Run with --debug to see where.", 1


def _wants_memory(error: BaseException) -> bool:
    """Say whether memory was asked for that is not there; libraries have errors of their own for that."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    # torch on a CPU, torch on a GPU (torch.OutOfMemoryError), OpenCV.
    told = f"{type(error).__name__} {error}"
    return any(words in told for words in ("can't allocate memory", "OutOfMemoryError", "Insufficient memory"))
