"""The command line: one command per row of the table of stages, and a few that run them all.

Results go to standard output, everything else to standard error. Exit codes: 0 done; 1 an unexpected error;
2 wrong usage or settings; 3 to 7 as drawn in `mammofill.ground.errors`; 8 the system refused (disk full, no
permission), or an object store; 9 a strict audit found something serious; 130 stopped with Ctrl-C, 143 by SIGTERM.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import mammofill
from mammofill.cli.commands import OTHER_COMMANDS, SUMMARIES
from mammofill.cli.failures import explained
from mammofill.cli.stages import run_stage
from mammofill.experiment.stages import EXPORTS, PHANTOM, STAGES, all_stages, stage_named
from mammofill.ground.artifact import NO_VERIFY
from mammofill.ground.errors import SettingsError, did_you_mean
from mammofill.ground.file_names import refuse_source_url, refuse_url
from mammofill.ground.progress import printable
from mammofill.ground.stopping import sigterm_interrupts

_OTHERS = {
    **SUMMARIES,
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
    _let_streams_take_all()
    try:
        with sigterm_interrupts(), _verification("--no-verify" not in given):
            return _command([one for one in given if one not in ("--debug", "--no-verify")])
    except SystemExit as request:  # --help
        return int(request.code or 0)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  (the outermost door: everything becomes a message)
        if debug:
            traceback.print_exc()
        message, code = explained(error)
        print(printable(message), file=sys.stderr)
        return code


def _let_streams_take_all() -> None:
    """See that no message can fail: none may end a command whose work is done.

    A stream that is closed is opened on nothing; else a file opened later would get its number, and with it what
    libraries complain of. Letters that a console does not have become question marks; a minus keeps its meaning.
    """
    codecs.register_error("nearest", _nearest_letters)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  (as long as the process)
        elif isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="nearest")


def _nearest_letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join("-" if one == "\N{MINUS SIGN}" else "?" for one in error.object[error.start : error.end]), error.end


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
    if name in OTHER_COMMANDS:
        return OTHER_COMMANDS[name](rest)
    run_stage(stage_named(name), rest)
    return 0


def _refuse_urls(name: str, given: list[str]) -> None:
    """Refuse URLs where a command makes something, and where one reads that is no stage; stages do so by themselves."""
    for before, one in zip(["", *given], given, strict=False):
        flag, _, value = one.partition("=") if one.startswith("--") else (before, "", one)
        if flag == "--out":
            refuse_url(value, "What is made is written to a disk", pushed=True)
        elif name in ("audit", "init") or flag == "--config" or value.endswith((".toml", ".sqlite")):
            refuse_source_url(value)
        elif name in OTHER_COMMANDS:
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
