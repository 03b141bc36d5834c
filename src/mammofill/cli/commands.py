"""The commands that are no stage: a look at a collection, whole studies, object stores, the studio, readers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mammofill
from mammofill.cli.failures import SERIOUS_FOUND
from mammofill.cli.options import add_common_options, device_for, named_by_flags, parsed, parser_for, progress_of
from mammofill.ground.counting import counted
from mammofill.ground.errors import PlanChangedError, SettingsError
from mammofill.ground.progress import quiet, show

if TYPE_CHECKING:
    from jsonargparse import Namespace

SUMMARIES = {
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
}
"""Each of these commands and its line of help."""


def _audit(given: list[str]) -> int:
    from mammofill.audit.settings import AuditSettings

    parser = parser_for("audit", SUMMARIES["audit"])
    parser.add_argument("source", metavar="SOURCE", help="folder (or table) of the collection")
    parser.add_argument("--tables-only", action="store_true", help="look at the tables alone; no image is read")
    parser.add_argument(
        "--out", metavar="DIR", help="folder for index.html and audit.json; without it, none is written"
    )
    parser.add_argument("--pictures", type=int, default=6, help="cases of each finding that are drawn on the page")
    parser.add_argument(
        "--strict", action="store_true", help=f"exit with {SERIOUS_FOUND} if a serious finding is there"
    )
    add_common_options(parser, dry_run=False)
    from mammofill.experiment.settings import add_settings, settings_in

    add_settings(parser, AuditSettings, skip="tables_only")
    with named_by_flags(AuditSettings):
        options = parsed(parser, given)
        settings = settings_in(options, AuditSettings, tables_only=options.tables_only)
    return _print_audit(Path(options.source), options, settings)


def _print_audit(source: Path, options: Namespace, settings: Any) -> int:
    from mammofill.audit import audit, summarise, write_audit
    from mammofill.audit.write import check_out

    if options.out is not None:
        check_out(Path(options.out), source)
    progress = progress_of(options)
    found = audit(source, settings, progress=progress)
    show(summarise(found))
    if options.out is not None:
        page = write_audit(found, options.out, pictures=options.pictures, progress=progress)
        print(f"\nopen {page}")
    serious = any(finding.severity == "serious" for finding in found.found)
    return SERIOUS_FOUND if options.strict and serious else 0


def _init(given: list[str]) -> int:
    parser = parser_for("init", SUMMARIES["init"])
    parser.add_argument("source", metavar="SOURCE", help="folder (or table) of the collection")
    parser.add_argument("--collection", default=None, help="which collection it is, where that is not recognised")
    parser.add_argument("--out", default="study.toml", metavar="STUDY.toml", help="the study file to write")
    parser.add_argument("--device", default="auto", help="where the study is to run: auto, cpu or cuda")
    add_common_options(parser, dry_run=False)
    options = parsed(parser, given)
    from mammofill.experiment.first_study import write_first_study

    show(write_first_study(options.source, options.out, device_for(options.device, quiet), options.collection))
    return 0


def _plan(given: list[str]) -> int:
    from mammofill.comparison.power import Assumed
    from mammofill.experiment.power import plan_in_words
    from mammofill.experiment.settings import add_settings, settings_in
    from mammofill.experiment.study import read_study

    parser = parser_for("plan", SUMMARIES["plan"])
    parser.add_argument("study", metavar="STUDY.toml", help="the study file")
    parser.add_argument("--out", default=None, metavar="DIR", help="the study's folder, if patches were cut already")
    parser.add_argument("--quick", action="store_true", help="of the smaller study that its table [quick] makes of it")
    for name in ("benign", "malignant"):
        parser.add_argument(f"--{name}", type=int, default=0, metavar="N", help=f"test patients with a {name} lesion")
    add_common_options(parser, dry_run=False)
    add_settings(parser, Assumed)
    options = parsed(parser, given)
    counts = (options.benign, options.malignant) if options.benign or options.malignant else None
    if counts and not all(one > 0 for one in counts):
        raise SettingsError(
            f"--benign is {counts[0]} and --malignant {counts[1]}, but an AUC takes test patients of both classes. Say "
            "both numbers."
        )
    study = read_study(Path(options.study), options.quick)
    show(plan_in_words(study, settings_in(options, Assumed), counts, Path(options.out) if options.out else None))
    return 0


def _run(given: list[str]) -> int:
    parser = parser_for("run", SUMMARIES["run"])
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
    parser.add_argument(
        "--only",
        metavar="PLACE",
        help="one artifact at its place as --dry-run lists it, such as infillers/flow, and what it is made from",
    )
    add_common_options(parser)
    options = parsed(parser, given)
    return _study(Path(options.study), Path(options.out), options)


def _list(given: list[str]) -> int:
    parser = parser_for("list", SUMMARIES["list"])
    parser.add_argument("folder", metavar="DIR", nargs="?", default=".", help="the folder; this one without it")
    add_common_options(parser, dry_run=False)
    options = parsed(parser, given)
    from mammofill.experiment.listing import listing

    show(listing(options.folder))
    return 0


def _push(given: list[str]) -> int:
    parser = parser_for("push", SUMMARIES["push"])
    parser.add_argument("artifact", metavar="ARTIFACT", help="finished folder of any kind")
    parser.add_argument("url", metavar="URL", help="where it is to lie, for example s3://bucket/study/patches")
    parser.epilog = _OF_STORES
    add_common_options(parser, dry_run=False)
    options = parsed(parser, given)
    from mammofill.ground.stores.push import push

    sent = push(options.artifact, options.url, progress=progress_of(options))
    print(
        f"{sent.url}: {sent.pushed.kind} {sent.pushed.fingerprint[:12]}; "
        f"{counted(len(sent.pushed.objects()), 'objects')}, "
        f"{sent.objects} sent now ({sent.bytes / 1e6:,.1f} MB)"
    )
    return 0


def _pull(given: list[str]) -> int:
    parser = parser_for("pull", SUMMARIES["pull"])
    parser.add_argument("url", metavar="URL", help="where it was pushed to, for example s3://bucket/study/patches")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the artifact on this machine")
    parser.epilog = _OF_STORES
    add_common_options(parser, dry_run=False)
    options = parsed(parser, given)
    from mammofill.ground.stores.pull import pull

    pulled = pull(options.url, options.out, progress=progress_of(options))
    kind, headline = pulled.artifact.manifest.kind, pulled.artifact.headline()
    fetched = f"{counted(pulled.files, 'files')} fetched now ({pulled.bytes / 1e6:,.1f} MB)"
    show(f"{pulled.artifact.folder}: {kind} ({headline}); {fetched}")
    return 0


_OF_STORES = """s3:// needs pip install "mammofill[object-stores]"; gs:// and others the library that fsspec names.
Credentials and addresses are found as that library does, in the environment: AWS_PROFILE, AWS_ENDPOINT_URL, ..."""

_LAST_PORT = 65535


def _studio(given: list[str]) -> int:
    parser = parser_for("studio", SUMMARIES["studio"])
    parser.add_argument("folder", metavar="FOLDER", nargs="?", default=".", help="the folder; this one without it")
    parser.add_argument("--port", type=int, default=0, help="where to listen; 0 takes a free port")
    parser.add_argument("--host", default="127.0.0.1", help="another address lets other machines in, over plain HTTP")
    parser.add_argument("--no-browser", action="store_true", help="print the address and open nothing")
    parser.add_argument(
        "--name-patients", action="store_true", help="show identifiers of patients instead of neutral numbers"
    )
    parser.add_argument("--device", default="cpu", help="where fills are painted: auto, cpu, cuda or cuda:N")
    add_common_options(parser, dry_run=False)
    options = parsed(parser, given)
    if not 0 <= options.port <= _LAST_PORT:
        raise SettingsError(f"--port must be in 0..{_LAST_PORT}, but is {options.port}. 0 takes a free one.")
    device = device_for(options.device, quiet)
    if device != "cpu":
        from mammofill.ground.training.device import find_device  # torch, which takes seconds

        find_device(device)  # now, and not when somebody has drawn a lesion and waits for its fill
    from mammofill.web.serve import open_studio

    open_studio(
        Path(options.folder),
        host=options.host,
        port=options.port,
        browser=not options.no_browser,
        name_patients=options.name_patients,
        device=device,
        say=lambda words: print(words, flush=True),
    )
    return 0


def _make_reader_study(given: list[str]) -> int:
    from mammofill.experiment.settings import add_settings, settings_in
    from mammofill.readers.settings import ReaderStudySettings

    parser = parser_for("make-reader-study", SUMMARIES["make-reader-study"])
    parser.add_argument("real", metavar="REAL", help="finished patches folder with real lesions")
    parser.add_argument("synthetic", metavar="SYNTHETIC", help="finished patches folder with synthetic ones")
    parser.add_argument("--out", required=True, metavar="FILE.readers.sqlite", help="the file of the study")
    parser.add_argument("--seed", type=int, default=0, help="the only source of chance, but for the readers' codes")
    add_common_options(parser, dry_run=False)
    add_settings(parser, ReaderStudySettings)
    options = parsed(parser, given)
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
    parser = parser_for("analyse-readers", SUMMARIES["analyse-readers"])
    parser.add_argument("study", metavar="FILE.readers.sqlite", help="the file of the study")
    parser.add_argument("--out", default=None, metavar="DIR", help="folder for the ratings as other programs read them")
    add_common_options(parser, dry_run=False)
    options = parsed(parser, given)
    from mammofill.readers import analyse_study, open_study

    study = open_study(options.study)
    show(str(analyse_study(study, options.out)))
    return 0


def _demo(given: list[str]) -> int:
    parser = parser_for("demo", SUMMARIES["demo"])
    parser.add_argument("--out", default="demo", metavar="DIR", help="folder that receives one folder per artifact")
    add_common_options(parser)
    options = parsed(parser, given)
    return _study(Path(mammofill.__file__).with_name("demo.toml"), Path(options.out), options)


def _study(path: Path, out: Path, options: Namespace) -> int:
    from mammofill.experiment.plan import plan_of_study
    from mammofill.experiment.preflight import ready_study
    from mammofill.experiment.run import run_study
    from mammofill.experiment.summary import summary_of_run

    if options.dry_run:
        study = ready_study(path, out, getattr(options, "quick", False), getattr(options, "only", None))
        device, amend = device_for(study.device, quiet), getattr(options, "amend", False)
        plan, refused = plan_of_study(study, out, device, amend)
        show(plan)
        return PlanChangedError.exit_code if refused else 0
    beside = {
        name: getattr(options, name) for name in ("workers", "engine", "amend", "quick", "only") if name in options
    }
    show(summary_of_run(run_study(path, out, progress_of(options), **beside)))
    return 0


OTHER_COMMANDS: dict[str, Callable[[list[str]], int]] = {
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
