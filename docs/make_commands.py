"""Write the tables of commands.md, presets.md and classifiers.md from the settings: python docs/make_commands.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import docstring_parser

from mammofill.cli import COMMANDS
from mammofill.experiment.grid import Grid
from mammofill.experiment.stages import EXPORTS, PHANTOM, STAGES, Stage, find

PAGE = Path(__file__).with_name("commands.md")
PRESETS_PAGE = Path(__file__).with_name("presets.md")
CLASSIFIERS_PAGE = Path(__file__).with_name("classifiers.md")

HEAD = """# Commands

<!-- Made by docs/make_commands.py; a test compares. Change the table of stages or the settings classes instead. -->

Each stage reads finished folders and makes one new folder, `--out`. While it works the folder is called
`<out>.partial`; a folder without that ending is complete and never changes again. The same command again goes on where
it was stopped, returns at once when all is done, and refuses, naming each difference, when settings, seed or inputs
are not those of the folder.

| command | what it does | from | makes |
| --- | --- | --- | --- |
"""

SHARED = """
## What all commands share

`--quiet`, `--plain`, `--no-verify` and `--debug` are options of every command, the others of every stage (`--device` of
those that run networks; `run` and `demo` have `--out` and `--dry-run`, too).

| option | meaning |
| --- | --- |
| `--out DIR` | folder of the new artifact (`phantom` takes it without the flag) |
| `--seed N` | the only source of chance (default 0); a study file has its own |
| `--device NAME` | `cpu` (default), `cuda`, `cuda:N`, `mps`; `auto`: a GPU if there is one. A study file has its own |
| `--config FILE.toml` | settings from a file, under the names below; flags go above it |
| `--dry-run` | print the resolved plan (inputs, all settings, what stands at `--out`) and touch nothing |
| `--quiet`, `--plain` | say nothing; or plain lines instead of a bar, as is usual where standard error is no terminal |
| `--no-verify` | do not check that finished folders are unchanged |
| `--debug` | show where in the program an error came from |

Every field of a stage's settings is a flag, nested ones dotted: `--losses.boundary_weight 500`. `--size-px` is as good
as `--size_px`. Lists are written `'[0.8, 1.2]'`. What is not given keeps its default, or its value in the preset or
file. Results go to standard output, everything else to standard error.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | an unexpected error (`--debug` shows where) |
| 2 | wrong usage or settings |
| 3 | a source that cannot be read as asked, or too few patients or patches |
| 4 | a folder that is not what it should be: another kind, damaged, made with other settings, in use |
| 5 | a leak: a patient on both sides of a split |
| 6 | weights or a device that are not there |
| 7 | training that cannot go on |
| 8 | the system refused (disk full, no permission), or an object store did; what was done so far is kept |
| 9 | `audit --strict` found something serious |
| 130, 143 | stopped with Ctrl-C, or by SIGTERM; the same command again goes on |

## Study files: `run` and `demo`

`mammofill run STUDY.toml --out DIR` runs all stages into `DIR`: `phantoms`, `mammograms`, `patches`, `pairs`,
`infiller`, `synthetic`, `classifiers/<arm>`, `evaluations/<arm>`, `comparison`, `report`; with several infillers
`infillers/<name>` and `synthetic/<name>`. The file is checked from end to end before anything runs. `mammofill demo`
does the same with the file that is shipped in the package (`demo.toml`), on practice mammograms. Arms and their
controls, doses, shares of the patients and folds are explained in [studies.md](studies.md).

```toml
name = "masses, the paper's four experiments"
seed = 0
device = "cuda"

[ingest]                         # or a [phantom] table, to make practice mammograms first
collection = "cbis-ddsm"
source = "../CBIS-DDSM"          # paths are relative to this file

[extract-patches]                # one table per stage, fields as below; what is left out keeps its default
size_px = 256

[infiller-windows]               # only with this table trained infillers learn from windows of their own
stride_px = 16                   # (default 8); all else as in [extract-patches], without normal windows

[train-infiller]
preset = "paper"

[train-classifier]               # what all arms share
epochs = 50

[[arms]]                         # one classifier each; without any, or with arms = "paper", the paper's four
name = "ResNet-50 + traditional"
augmentation.traditional = true

[[arms]]
name = "ResNet-50 + traditional + generated"
augmentation.traditional = true
synthetic = true                 # learns from the synthetic patches as well
```

`[pair-patches]` takes by default the widest `hole` of the study's infillers, so that all arms are filled in the same
places.

If no arm is synthetic, pairing, infiller and synthesis are left out. With a table `[judge-infiller]`, which may be
empty, the infiller is judged on pairs of the test split (`test-pairs`, `judgement`), with the classifier of the last
arm that learned from real patches only, each once, and of the last such arm with `standardise = true`, if there is one;
the report shows it: [judging.md](judging.md).

A table `[external]` names a second source, from which nothing is learned. Each classifier is judged on all of its
patients as well (`external/mammograms`, `external/patches`, `evaluations-external/<arm>`, `comparison-external`), after
a check that neither patients nor collections nor image files are those that were learned from:

```toml
[external]
name = "INbreast"
collection = "inbreast"
source = "../INbreast"           # all else as in [ingest], where it is not said here
```

A table `[grid]` says how often, and on what, each arm is trained:

"""


def page() -> str:
    """Return the whole page."""
    sections = "".join(map(_section, (*STAGES, *EXPORTS)))
    return HEAD + "".join(_rows()) + SHARED + _settings_table(Grid) + sections + _phantom() + _audit()


def _rows() -> Iterator[str]:
    stages = {stage.name: stage for stage in (*STAGES, *EXPORTS)}
    others = {
        "audit": ("files of a collection", "a summary; with `--out` a page and `audit.json`"),
        "init": ("a folder or table of mammograms", "a study file"),
        "list": ("a folder", "a table of the artifacts in it"),
        "push": ("a finished artifact of any kind", "objects at a URL: [scaling.md](scaling.md)"),
        "pull": ("what was pushed to a URL", "the artifact"),
        "run": ("a study file", "one folder per artifact"),
        "plan": ("a study file", "a table: what the design can show"),
        "studio": ("a folder", "a page in the browser: [studio.md](studio.md)"),
        "make-reader-study": ("two `PatchSet`s, real and synthetic", "a file of SQLite"),
        "analyse-readers": ("that file, rated", "a summary; with `--out` files for iMRMC and MRMCaov"),
        "demo": ("nothing", "the same"),
        "phantom": ("nothing", "DICOM files and tables"),
    }
    for name, summary in COMMANDS.items():
        if name in stages:
            taken, made = "; ".join(_input(one) for one in stages[name].inputs), f"`{_class(stages[name].output)}`"
        else:
            taken, made = others[name]
        yield f"| `{name}` | {summary} | {taken} | {made} |\n"


def _input(one: Any) -> str:
    kind = one.words or "files of a collection" if one.kind == "source" else f"`{_class(one.kind)}`"
    several = f"{kind}, one or more" if one.several else kind
    return f"{several} (`--{one.role}`, optional)" if one.optional else several


def _as_typed(one: Any) -> str:
    typed = f"{one.role.upper()} ..." if one.several else str(one.role.upper())
    return f"[--{one.role} {typed}]" if one.optional else typed


def _class(place: str) -> str:
    return place.split(":")[1]


def _section(stage: Stage) -> str:
    inputs = " ".join(_as_typed(one) for one in stage.inputs)
    leading = f"{stage.leading.upper()} " if stage.leading else ""
    device = " [--device NAME]" if stage.device else ""
    presets = f"\n{_presets_of(stage)}\n" if stage.presets else ""
    return (
        f"\n## `{stage.name}`\n\n{stage.summary[0].upper()}{stage.summary[1:]}.\n\n"
        f"    mammofill {stage.name} {leading}{inputs} --out DIR [--seed N]{device} [--FIELD VALUE ...]\n{presets}\n"
        + _settings_tables(stage)
    )


def _presets_of(stage: Stage) -> str:
    compared = "presets.md" if stage.name == "train-infiller" else "classifiers.md#the-presets"
    names = ", ".join(f"`{name}`" for name in find(str(stage.presets)))
    return f"Presets: {names}. Defaults are those of the first in each table; [what the others change]({compared})."


def _settings_tables(stage: Stage) -> str:
    """Return a table for each settings class: presets may be of several, one for each method."""
    presets_of: dict[type[Any], list[str]] = {stage.settings_class(): []}
    for name, settings in find(stage.presets).items() if stage.presets else ():
        presets_of.setdefault(type(settings), []).append(f"`{name}`")
    if len(presets_of) == 1:
        return _settings_table(stage.settings_class())
    return "\n".join(
        f"### `{stage.name} --preset` {', '.join(names)}\n\n{_settings_table(one, find(stage.presets)[names[0][1:-1]])}"
        for one, names in presets_of.items()
    )


def _phantom() -> str:
    return (
        f"\n## `phantom`\n\n{COMMANDS['phantom'][0].upper()}{COMMANDS['phantom'][1:]}.\n\n"
        "    mammofill phantom OUT [--seed N] [--FIELD VALUE ...]\n\n" + _settings_table(PHANTOM.settings_class())
    )


def _audit() -> str:
    from mammofill.audit import AuditSettings

    summary = COMMANDS["audit"]
    return (
        f"\n## `audit`\n\n{summary[0].upper()}{summary[1:]}. See [audit.md](audit.md).\n\n"
        "    mammofill audit SOURCE [--tables-only] [--out DIR] [--pictures N] [--strict] [--FIELD VALUE ...]\n\n"
        "`--tables-only` is a flag without a value. The exit code is 0 whatever is found, except with `--strict`.\n\n"
        + _settings_table(AuditSettings)
    )


def _settings_table(settings_class: type[Any], start: Any = None) -> str:
    return "| setting | default | meaning |\n| --- | --- | --- |\n" + "".join(_settings_rows(settings_class, start))


def _settings_rows(settings_class: type[Any], start: Any = None, within: str = "") -> Iterator[str]:
    kinds = get_type_hints(settings_class)
    meanings = {
        one.arg_name: one.description or ""
        for parent in reversed(settings_class.__mro__)  # what they share is said once, where it is defined
        for one in docstring_parser.parse(parent.__doc__ or "").params
    }
    for field in fields(settings_class):
        default = getattr(start, field.name) if start is not None else field.default
        if is_dataclass(kinds[field.name]):
            yield from _settings_rows(kinds[field.name], default, f"{within}{field.name}.")
        else:
            meaning = " ".join(meanings[field.name].split()).replace("|", "\\|")
            shown = f"`{default!r}`" if default is not MISSING else "(must be given)"
            yield f"| `{within}{field.name}` | {shown} | {meaning} |\n"


FLOWS = """
## The flow's presets

Only what differs; all other settings of both are in [commands](commands.md#train-infiller---preset-flow-flow-small).

"""
PRESETS_TABLE = "<!-- What follows is made by docs/make_commands.py; a test compares. -->\n\n"


def presets_page() -> str:
    """Return the page that compares the presets of the infiller."""
    presets = find("mammofill.infilling:PRESETS")
    of_method = {
        method: {name: one for name, one in presets.items() if one.method == method} for method in ("gan", "flow")
    }
    return _with_table(PRESETS_PAGE, of_method["gan"]) + FLOWS + _table(of_method["flow"], only_different=True)


def classifiers_page() -> str:
    """Return the page of the classifiers, which ends in a comparison of their presets."""
    return _with_table(CLASSIFIERS_PAGE, find("mammofill.classifier:PRESETS"))


def _with_table(page: Path, presets: dict[str, Any]) -> str:
    return page.read_text(encoding="utf-8").partition(PRESETS_TABLE)[0] + PRESETS_TABLE + _table(presets)


def _table(presets: dict[str, Any], only_different: bool = False) -> str:
    head = f"| setting | {' | '.join(f'`{name}`' for name in presets)} |\n|{' --- |' * (len(presets) + 1)}\n"
    flat = [dict(_values(settings)) for settings in presets.values()]
    rows = {field: [values[field] for values in flat] for field in flat[0]}
    shown = [_preset_row(field, row) for field, row in rows.items() if not only_different or row != row[:1] * len(row)]
    return head + "".join(shown)


def _values(settings: Any, within: str = "") -> Iterator[tuple[str, Any]]:
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            yield from _values(value, f"{within}{field.name}.")
        elif field.name != "preset" and not field.metadata.get("execution"):
            yield within + field.name, value


def _preset_row(field: str, values: list[Any]) -> str:
    shown = [_shown(value) if value == values[0] else f"**{_shown(value)}**" for value in values]
    return f"| `{field}` | {' | '.join(shown)} |\n"


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "unset", True: "yes", False: "no"}[value]
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    PRESETS_PAGE.write_text(presets_page(), encoding="utf-8")
    CLASSIFIERS_PAGE.write_text(classifiers_page(), encoding="utf-8")
