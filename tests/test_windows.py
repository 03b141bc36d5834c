"""The command line: what it says, what it refuses, and that it makes what Python makes."""

from __future__ import annotations

import errno
import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mammofill
from mammofill import cli
from mammofill.cli import COMMANDS, main, stages
from mammofill.cli.options import parsed
from mammofill.experiment import PHANTOM, STAGES, Stage, StudyRun
from mammofill.experiment.settings import flat
from mammofill.ground import errors
from mammofill.ground.artifact import read_manifest
from mammofill.infilling import PRESETS

DOCS = Path(__file__).resolve().parents[1] / "docs"


def modules_after(code: str) -> set[str]:
    """Run code in a new Python and return the modules that it loaded."""
    program = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


# ---- light ----------------------------------------------------------------------------------------------------------


def test_the_package_and_the_overview_load_nothing_heavy() -> None:
    loaded = modules_after("import mammofill; from mammofill.cli import main; main(['--help'])")
    assert "mammofill.cli" in loaded
    assert not loaded & {"torch", "torchvision", "pandas", "cv2", "matplotlib", "sklearn", "jsonargparse"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_does_not_load_torch(command: str) -> None:
    loaded = modules_after(f"from mammofill.cli import main; main([{command!r}, '--help'])")
    assert "jsonargparse" in loaded
    assert not loaded & {"torch", "torchvision", "matplotlib", "sklearn"}


# ---- help and docs --------------------------------------------------------------------------------------------------


def test_the_overview_lists_every_command_in_the_order_of_the_corridor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    places = [shown.index(f"  {name} ") for name in COMMANDS]
    assert places == sorted(places)
    assert all(summary in shown for summary in COMMANDS.values())
    assert main([]) == 0


@pytest.mark.parametrize("stage", [PHANTOM, *STAGES], ids=lambda stage: stage.name)
def test_help_names_every_setting(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([stage.name, "--help"]) == 0
    shown = capsys.readouterr().out
    for name in _names(stage.settings_class()):
        assert name == stage.leading or f"--{name} " in shown
    for one in stage.inputs:
        assert one.role.upper() in shown
    assert ("--device" in shown) == stage.device


def _names(settings_class: type[Any], within: str = "") -> list[str]:
    from dataclasses import fields, is_dataclass
    from typing import get_type_hints

    kinds = get_type_hints(settings_class)
    names = []
    for field in fields(settings_class):
        nested = is_dataclass(kinds[field.name])
        names += _names(kinds[field.name], f"{within}{field.name}.") if nested else [within + field.name]
    return names


def test_the_pages_of_commands_and_presets_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_commands", DOCS / "make_commands.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    found = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert found == maker.page(), "run: python docs/make_commands.py"
    assert all(f"`{name}`" in found for name in COMMANDS)
    presets = (DOCS / "presets.md").read_text(encoding="utf-8")
    assert presets == maker.presets_page(), "run: python docs/make_commands.py"


def test_help_of_a_command_is_had_in_both_orders(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "pair-patches"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("usage: mammofill pair-patches PATCHES --out DIR")
    assert main(["pair-patches", "--help"]) == 0
    assert capsys.readouterr().out == shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mammofill {mammofill.__version__}\n"


# ---- wrong usage ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["extract-patchs"], "no command 'extract-patchs'. Did you mean extract-patches?"),
        (["extract-patches"], "required: mammograms"),
        (["extract-patches", "here"], "required: out"),
        (["extract-patches", "here", "--out", "there", "--sise-px", "64"], "--sise-px"),
        (
            ["extract-patches", "here", "--out", "there", "--size-px", "wide"],
            "size_px: must be a whole number, but is wide",
        ),
        (["extract-patches", "here", "--out", "there", "--size-px", "3"], "size_px must be at least 16, but is 3"),
        (["extract-patches", "here", "-out", "there"], "unrecognized arguments: -out there. Did you mean --out?"),
        (["extract-patches", "here", "\u2013out", "there"], "Did you mean --out?"),
        (["init", "here", "#", "what", "it", "found"], "What follows # is a comment, and here it was not left out"),
        (["$", "mammofill", "list"], "Leave out '$' before the command"),
        (["mammofill", "list", "."], "Leave out 'mammofill' before the command: mammofill list ."),
        (["train-infiller", "a", "b", "--out", "c", "--preset", "tiny"], "no preset called 'tiny'"),
        (["extract-patches", "here", "--out", "there", "--config", "no.toml"], "no.toml does not exist"),
        (["ingest", "some-collection", "here", "--out", "there"], "some-collection"),
    ],
)
def test_wrong_usage_is_one_message_and_exit_code_2(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert words in shown.err
    assert "Traceback" not in shown.err
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_input_is_refused_with_the_exit_code_of_its_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["pair-patches", str(tmp_path / "nothing"), "--out", str(tmp_path / "pairs")]) == 4
    assert "is not an artifact: found nothing there" in capsys.readouterr().err


# ---- errors become messages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (errors.LeakError("patient P1 is in train and test"), 5, "error: patient P1 is in train and test"),
        (errors.TrainingError("the loss is nan"), 7, "error: the loss is nan"),
        (KeyboardInterrupt(), 130, "stopped; run the same command again to go on"),
        (OSError(errno.ENOSPC, "No space left on device", "x.parquet"), 8, "disk is full while writing x.parquet"),
        (MemoryError(), 8, "the memory was not enough. The work done so far is kept: use fewer workers, or smaller"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 8, "the memory was not enough"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), 8, "the memory was not enough"),
        (OSError(errno.EACCES, "Permission denied", "x"), 8, "the system refused (Permission denied: x)"),
        (ZeroDivisionError("division by zero"), 1, "error: ZeroDivisionError: division by zero"),
    ],
)
def test_errors_become_one_message_and_an_exit_code(
    error: BaseException,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(given: list[str]) -> int:
        raise error

    monkeypatch.setattr(cli, "_command", fail)
    assert main(["ingest"]) == code
    shown = capsys.readouterr().err
    assert words in shown
    assert "Traceback" not in shown
    assert main(["ingest", "--debug"]) == code
    assert "Traceback" in capsys.readouterr().err


def test_a_full_disk_says_that_the_work_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(given: list[str]) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cli, "_command", fail)
    main(["ingest"])
    assert "The work done so far is kept: make room and run the same command again" in capsys.readouterr().err


# ---- settings from flags and files ----------------------------------------------------------------------------------


def settings_from(*flags: str) -> Any:
    """Return the settings that flags of train-infiller make."""
    stage = next(stage for stage in STAGES if stage.name == "train-infiller")
    given = ["patches", "pairs", "--out", "x", *flags]
    start = stages.start_settings(stage, given)
    settings_class = stage.settings_class() if start is None else type(start)
    parser = stages.stage_parser(stage, settings_class, start)
    return stages.settings_from(parsed(parser, given), settings_class, {})


def test_one_nested_flag_leaves_the_others() -> None:
    paper, demo = PRESETS["paper"], PRESETS["demo"]
    assert settings_from() == paper
    assert settings_from("--preset", "demo") == demo
    assert settings_from("--preset=demo", "--losses.class-weight", "0.125") == replace(
        demo, losses=replace(demo.losses, class_weight=0.125)
    )
    assert settings_from("--losses.class_weight=0.125") == replace(
        paper, losses=replace(paper.losses, class_weight=0.125)
    )
    pasted = PRESETS["copy-paste"]
    assert settings_from("--preset", "copy-paste", "--hole.share", "0.25") == replace(
        pasted, hole=replace(pasted.hole, share=0.25)
    )


def test_settings_of_another_method_are_refused() -> None:
    with pytest.raises(errors.SettingsError, match=r"losses.class_weight"):
        settings_from("--preset", "copy-paste", "--losses.class_weight", "0.125")


def test_flags_go_above_the_file_and_the_file_above_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('preset = "demo"\nfeather_px = 7\n[schedule]\nbatch = 3\nbeta1 = 0.25\n', encoding="utf-8")
    demo = PRESETS["demo"]
    expected = replace(demo, feather_px=9, schedule=replace(demo.schedule, batch=3, beta1=0.25))
    assert settings_from("--config", str(file), "--feather-px", "9") == expected


def test_unknown_keys_of_a_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[schedule]\nbach = 3\n", encoding="utf-8")
    with pytest.raises(errors.SettingsError, match=r"settings.toml has no setting called 'schedule.bach'"):
        settings_from("--config", str(file))


def test_flat_settings_name_every_nested_field() -> None:
    names = dict(flat(PRESETS["paper"]))
    assert names["schedule.batch"] == PRESETS["paper"].schedule.batch
    assert set(names) == set(_names(type(PRESETS["paper"])))


# ---- the same artifact from both windows ----------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [PHANTOM, *STAGES], ids=lambda stage: stage.name)
def test_the_command_line_makes_what_python_makes(
    ran: StudyRun, stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step = [step for step in ran.study.steps if step.stage.name == stage.name][-1]
    out = tmp_path / "out"
    given = {one: [str(ran.out / place) for place in step.inputs.get(one.role, ())] for one in stage.inputs}
    inputs = [place for one, places in given.items() if not one.optional for place in places]
    optional = [word for one, places in given.items() if one.optional and places for word in (f"--{one.role}", *places)]
    flags = [f"--{name}={as_flag(value)}" for name, value in flat(step.settings) if name != stage.leading]
    leading = [str(getattr(step.settings, stage.leading))] if stage.leading else []
    where = ["--out", str(out)] if stage.inputs else [str(out)]
    seed = ["--seed", str(ran.study.seed)]
    command = [stage.name, *leading, *inputs, *where, *optional, *seed, "--quiet", *flags]

    assert main([*command, "--dry-run"]) == 0
    assert "(will run)" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []

    assert main(command) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{out}: {ran.artifacts[step.out].kind}")
    assert shown.err == ""
    assert read_manifest(out).fingerprint == ran.artifacts[step.out].fingerprint

    assert main([*command, "--dry-run"]) == 0
    assert "(done)" in capsys.readouterr().out


def as_flag(value: object) -> str:
    """Write a value as the command line takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def test_the_plan_of_a_study_says_what_is_done_and_touches_nothing(
    corridor: StudyRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(corridor.study.path), "--out", str(tmp_path / "new"), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("(will run)") == len(corridor.study.steps)
    assert list(tmp_path.iterdir()) == []
    assert main(["run", str(corridor.study.path), "--out", str(corridor.out), "--dry-run"]) == 0
    assert capsys.readouterr().out.count("(done)") == len(corridor.study.steps)


def test_a_study_ends_with_its_table_and_report(corridor: StudyRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(corridor.study.path), "--out", str(corridor.out), "--quiet"]) == 0
    shown = capsys.readouterr().out
    for words in (
        "AUC by lesion, means",
        "real only",
        "real and generated",
        "comparison was planned",
        "in all",
        "index.html",
    ):
        assert words in shown


def test_the_shipped_demo_is_a_study_that_needs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo"), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("\ntrain-classifier: ") == 4
    assert "perceptual.weights = None" in shown
    assert shown.count("weights = 'none'") == 1  # the others say what they have otherwise than the first
    assert shown.count("settings as of classifiers/resnet-50-one-minute, but for") == 3
