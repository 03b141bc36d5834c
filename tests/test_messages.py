"""What a newcomer reads after a mistake, and what may be asked while work goes on: help, list, log."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_first_study import write_own

from mammofill.audit.recognise import recognise
from mammofill.cli import main
from mammofill.cli.failures import SYSTEM_REFUSED, explained
from mammofill.experiment import run, run_study
from mammofill.experiment.listing import listing
from mammofill.experiment.settings import presets_in_words
from mammofill.ground.artifact import Artifact, begin
from mammofill.ground.errors import (
    PlanChangedError,
    SourceError,
    TooFewError,
    TrainingError,
    WrongKindError,
    did_you_mean,
)
from mammofill.ground.progress import BarProgress, KeptProgress, LineProgress, Progress, quiet
from mammofill.infilling import PRESETS
from mammofill.mammograms import IngestSettings, ingest
from mammofill.synthesis import SynthesizeSettings


@dataclass(frozen=True)
class Nothing:
    """Settings without fields."""


class Patches(Artifact):
    kind = "patches"


def make(out: Path, kind: str, stage: str, **inputs: Artifact) -> Artifact:
    class Made(Artifact):
        pass

    Made.kind = kind
    with begin(out, kind=kind, stage=stage, settings=Nothing(), seed=0, inputs=inputs) as work:
        assert work is not None
        (work.folder / "content.txt").write_text(kind)
        work.finish({"rows_of_it": 1234, "nothing": 0})
    return Made.open(out)


def said(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(command) != 0
    return capsys.readouterr().err


def test_a_stage_says_in_words_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(5)
    Image.fromarray(rng.integers(20, 200, (300, 200), np.uint8)).save(tmp_path / "one.png")
    (tmp_path / "own.csv").write_text("image,mask,patient,pathology\none.png,,p1,normal\nlost.png,,p2,normal\n")
    assert (
        main(["ingest", "table", str(tmp_path / "own.csv"), "--out", str(tmp_path / "out"), "--height_px", "300"]) == 0
    )
    assert "mammograms (1 mammogram, 0 lesions, 1 exclusion" in capsys.readouterr().out


# ---- did you mean -------------------------------------------------------------------------------------------------


def test_a_word_that_is_close_is_offered() -> None:
    assert did_you_mean("--size_pix", ["--size_px", "--seed"]) == " Did you mean --size_px?"
    assert did_you_mean("colour", ["size_px", "seed"]) == ""


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["extract-patchs", "a", "--out", "b"], "Did you mean extract-patches?"),
        (["extract-patches", "a", "--out", "b", "--size-pix", "64"], "Did you mean --size_px?"),
        (["ingest", "cbis", "a", "--out", "b"], "There is no collection 'cbis'. Did you mean cbis-ddsm?"),
        (["run", "a", "--out", "b", "--height_px", "9"], "Settings of stages stand in the study file."),
        (["ingest", "a", "--out", "b"], "Usage: mammofill ingest COLLECTION SOURCE --out DIR"),
        (
            ["ingest", "table", "a", "--out", "b", "--height_px", "big"],
            "height_px: must be int or null (unset), but is big.",
        ),
        (["train-infiller", "a", "b", "--out", "c", "--preset", "flow_small"], "Did you mean flow-small?"),
        (
            ["train-infiller", "a", "b", "--out", "c", "--schedule.pretrain_epohcs=3"],
            "Did you mean --schedule.pretrain_",
        ),
    ],
)
def test_typing_errors_are_answered_with_what_was_meant(
    command: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in said(command, capsys)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[extract-patchs]\n", "no study knows. Did you mean extract-patches?"),
        ("[extract-patches]\nsise_px = 64\n", "no setting called 'sise_px'. Did you mean size_px?"),
        ('[ingest]\nsource = "C:\\Users\\me"\n', "Write paths with / or in 'single quotes'"),
    ],
)
def test_typing_errors_of_a_study_are_answered_too(
    tmp_path: Path, text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    assert words in said(["run", str(tmp_path / "study.toml"), "--out", str(tmp_path / "out")], capsys)


def test_a_study_that_is_no_utf8_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.toml").write_bytes('name = "Würzburg"\n'.encode("latin-1"))
    assert "Save it as UTF-8." in said(["run", str(tmp_path / "study.toml"), "--out", str(tmp_path / "out")], capsys)


def test_a_path_that_leads_to_nothing_is_answered_with_one_that_is_close(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.toml").touch()
    (tmp_path / "pictures").mkdir()
    assert "Did you mean study.toml?" in said(["run", str(tmp_path / "stduy.toml"), "--out", "a"], capsys)
    assert "Did you mean pictures?" in said(
        ["ingest", "table", str(tmp_path / "picture" / "own.csv"), "--out", "a"], capsys
    )
    assert "Did you mean pictures?" in said(["extract-patches", str(tmp_path / "pictues"), "--out", "a"], capsys)


def test_a_folder_of_another_stage_is_not_compared_field_by_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patches = make(tmp_path / "patches", "patches", "extract-patches")
    with pytest.raises(PlanChangedError, match=r"patches is of extract-patches, and pair-patches cannot use the same"):
        make(tmp_path / "patches", "pairs", "pair-patches", patches=patches)


# ---- order of artifacts -------------------------------------------------------------------------------------------


def test_artifacts_in_the_wrong_order_are_answered_with_the_right_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patches = make(tmp_path / "patches", "patches", "extract-patches")
    pairs = make(tmp_path / "pairs", "pairs", "pair-patches", patches=patches)
    message = said(["train-infiller", str(pairs.folder), str(patches.folder), "--out", str(tmp_path / "out")], capsys)
    assert "holds a 'pairs' artifact (made by pair-patches), but a 'patches' artifact is needed here." in message
    assert f"In the right order: mammofill train-infiller {patches.folder} {pairs.folder} --out DIR" in message


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("ingest table own.csv --height_px 5", "error: --height_px must be at least 16, or unset, but is 5."),
        (
            "train-infiller a b --preset flow-small --schedule.batch 0",
            "error: --schedule.batch must be at least 1, but",
        ),
        ("select-patches a --parts 3", "parts: must be a list in brackets, as [3], but is 3."),
    ],
)
def test_settings_are_called_by_their_flags(command: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in said([*command.split(), "--out", "out"], capsys)
    assert "error: --workers must be at least 0" in said(["audit", "own.csv", "--workers", "-1"], capsys)


def test_an_infiller_is_not_a_infiller(tmp_path: Path) -> None:
    made = make(tmp_path / "a", "infiller", "train-infiller")
    with pytest.raises(WrongKindError, match="holds an 'infiller' artifact .* but a 'patches' artifact is needed here"):
        Patches.open(made.folder)


def test_what_belongs_to_a_flag_is_given_its_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = {"evaluation": "evaluate", "comparison": "compare-arms", "judgement": "judge-infiller"}
    places = [str(make(tmp_path / kind, kind, stage).folder) for kind, stage in kinds.items()]
    evaluation, comparison, judgement = places
    right = f"write-report {evaluation} --comparisons {comparison} --judgements {judgement} --out DIR"
    assert right in said(["write-report", *places, "--out", str(tmp_path / "out")], capsys)
    swapped = ["--comparisons", judgement, "--judgements", comparison]
    assert right in said(["write-report", evaluation, *swapped, "--out", str(tmp_path / "out")], capsys)


def test_what_is_no_collection_no_test_set_and_no_place_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("one.toml").write_text('name = "own"\n')
    assert "one.toml looks like a study file, and no collection: mammofill run" in said(["init", "one.toml"], capsys)
    message = said(["plan", "one.toml", "--benign", "14"], capsys)
    assert "--malignant 0, but an AUC takes test patients of both classes. Say both numbers." in message
    assert "required: out. Say with --out where it is to be made." in said(["run", "one.toml"], capsys)


def test_where_no_order_is_right_the_kinds_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patches = str(make(tmp_path / "patches", "patches", "extract-patches").folder)
    message = said(["train-infiller", patches, patches, "--out", str(tmp_path / "out")], capsys)
    flags = "--windows (patches), --start (infiller)."
    words = "train-infiller takes, in this order: patches (patches), pairs (pairs); and, where wanted, "
    assert words + flags in message
    evaluation = str(make(tmp_path / "evaluation", "evaluation", "evaluate").folder)
    message = said(["write-report", evaluation, "--judgements", patches, "--out", str(tmp_path / "out")], capsys)
    assert (
        "evaluations (evaluation); and, where wanted, --comparisons (comparison), --judgements (judgement)." in message
    )


def test_a_folder_around_an_artifact_or_in_it_is_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(tmp_path / "run" / "mammograms", "mammograms", "ingest").folder
    (made / "images").mkdir()

    def refused(place: str | Path) -> str:
        return said(["extract-patches", str(place), "--out", str(tmp_path / "patches")], capsys)

    assert f"without artifact.json there. It lies in the artifact {made}: give that." in refused(made / "images")
    assert f"it is a file, and artifacts are folders. It lies in the artifact {made}" in refused(made / "artifact.json")
    assert f"there. It contains {made}: give the one that is meant." in refused(made.parent)
    monkeypatch.chdir(made.parent)
    assert "error: . is not an artifact: found a folder without artifact.json there. It contains mammograms" in refused(
        "."
    )


# ---- tables from Windows ------------------------------------------------------------------------------------------


def test_a_table_of_excel_says_how_it_begins_and_what_to_do(tmp_path: Path) -> None:
    table = write_own(tmp_path, "benign")
    table.write_bytes(table.read_text().replace("p0", "Müller").encode("windows-1252"))
    with pytest.raises(SourceError, match=r"Latin-1 \(Windows-1252\), a line of it is '0.png,0.mask.png,Müller"):
        ingest(table, tmp_path / "out", IngestSettings(collection="table"))


def test_paths_of_windows_in_a_table_get_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_own(tmp_path, "benign")
    table.write_text(table.read_text().replace("0.png", "pictures\\0.png"))
    assert "Write paths in tables with /, as in pictures/a.png." in said(
        ["ingest", "table", str(table), "--out", str(tmp_path / "out")], capsys
    )


def test_a_drive_of_windows_and_a_file_with_another_ending_are_told(tmp_path: Path) -> None:
    table, settings = write_own(tmp_path, "benign"), IngestSettings(collection="table")
    text = table.read_text()
    table.write_text(text.replace("0.png", "C:/Users/me/0.png"))
    with pytest.raises(TooFewError, match=r"that is a path of Windows, .* Write where the file lies as seen from"):
        ingest(table, tmp_path / "out", settings)
    table.write_text(text.replace("0.png", "0.dcm"))
    with pytest.raises(TooFewError, match=r"0.dcm does not exist. 0.png lies there: is it meant\?"):
        ingest(table, tmp_path / "out", settings)
    table.write_text(text.splitlines()[0])
    with pytest.raises(TooFewError, match="there is no mammogram, for its tables have no rows below the header"):
        ingest(table, tmp_path / "out", settings)


def test_a_table_that_lacks_a_column_is_told_so_by_init_too(tmp_path: Path) -> None:
    table = write_own(tmp_path, "benign", "malignant")
    table.write_text(table.read_text().replace("patient", "subject_id"))
    with pytest.raises(SourceError, match=r"lacks the columns patient; it has .* Rename columns that mean the same"):
        recognise(table)


def test_a_picture_where_a_table_belongs_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_own(tmp_path, "benign")
    message = said(["ingest", "table", str(tmp_path / "0.png"), "--out", str(tmp_path / "out")], capsys)
    assert "it holds bytes that are no text, as pictures do. Give the table that names the pictures." in message


# ---- files of settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["shallow-cnn", "\u201cshallow-cnn\u201d", "0,5"])
def test_a_value_that_is_no_toml_says_how_values_are_written(
    value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "small.toml"
    config.write_text(f"learning_rate = 1e-3\nnetwork = {value}\n", encoding="utf-8")
    message = said(["train-classifier", "here", "--out", str(tmp_path / "out"), "--config", str(config)], capsys)
    assert "small.toml cannot be read as TOML: " in message
    assert "line 2" in message
    assert ("Words stand in straight quotes" in message) == (value != "0,5")


def test_a_mark_before_a_text_is_no_fault_and_a_study_is_no_file_of_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "small.toml"
    config.write_text('network = "resnet"\n', encoding="utf-8-sig")
    message = said(["train-classifier", "here", "--out", str(tmp_path / "out"), "--config", str(config)], capsys)
    assert "network must be one of shallow-cnn" in message
    config.write_text('name = "own"\n[[arms]]\nname = "real"\n')
    message = said(["train-classifier", "here", "--out", str(tmp_path / "out"), "--config", str(config)], capsys)
    assert f"is a study file, and no settings of train-classifier: mammofill run {config} --out DIR" in message


# ---- help ---------------------------------------------------------------------------------------------------------


def test_help_lists_the_presets_and_what_each_changes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train-infiller", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "  paper: nothing: these are the defaults\n" in shown
    assert "\n  flow: preview_every_images = 50000, " in shown
    words = presets_in_words(PRESETS)
    assert all(f"\n  {name}: " in words for name in PRESETS)
    assert "schedule.images = 2000000" in words


# ---- list ---------------------------------------------------------------------------------------------------------


def test_what_lies_in_a_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patches = make(tmp_path / "s" / "first", "strange", "elsewhere")
    make(tmp_path / "s" / "deep" / "second", "strange", "elsewhere", patches=patches)
    with begin(tmp_path / "s" / "third", kind="pairs", stage="pair-patches", settings=Nothing(), seed=0, inputs={}):
        live = listing(tmp_path / "s")
    assert f"third.partial  pairs, begun by pair-patches: being written by process {os.getpid()}\n" in f"{live}\n"
    shutil.copytree(tmp_path / "s" / "first", tmp_path / "s" / "fourth")
    (tmp_path / "s" / "fourth" / "content.txt").unlink()
    shown = listing(tmp_path / "s")
    assert shown.startswith(f"{tmp_path / 's'}: 4 artifacts, 2 of them finished")
    assert "first  strange, finished in 0 s\n  1,234 rows of it\n" in shown
    assert "deep/second  strange, finished in 0 s\n  1,234 rows of it\n  from patches ../../first\n" in shown
    assert "third.partial  pairs, begun by pair-patches: run the same command again to go on" in shown
    assert "fourth  artifact, cannot be used\n" in shown
    assert "content.txt is missing" in shown
    shutil.rmtree(patches.folder)
    assert "from patches ../../first (no longer there)" in listing(tmp_path / "s")
    assert main(["list", str(tmp_path / "s")]) == 0
    assert "deep/second" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="streams are closed as shells of Unix do it")
def test_no_stream_that_takes_less_ends_a_command(tmp_path: Path) -> None:
    """Standard error may be closed, and a console may not have the letters of a folder's name or of a result."""
    (tmp_path / "träge").mkdir()
    command = f"{sys.executable} -m mammofill"
    made = f"{command} phantom {tmp_path / 'made'} --patients 10 2>&-"
    assert subprocess.run(made, shell=True).returncode == 0
    assert (tmp_path / "made" / "artifact.json").is_file()
    listed = f"PYTHONIOENCODING=ascii {command} list {tmp_path / 'träge'}"
    told = subprocess.run(listed, shell=True, capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, "")
    assert "tr?ge: no artifact of mammofill lies here" in told.stdout


def test_a_stop_while_the_program_is_loaded_is_told_in_words() -> None:
    stopped = """
import sys
class Stop:
    def find_spec(self, name, *_):
        if name == "mammofill.cli":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Stop())
from mammofill.__main__ import main
sys.exit(main())
"""
    told = subprocess.run([sys.executable, "-c", stopped], capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (130, "stopped; run the same command again to go on\n")


def test_a_minus_stays_one_where_a_console_has_no_such_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    main(["--version"])
    print("difference −0.6 → 1", flush=True)
    assert written.getvalue().endswith(b"difference -0.6 ? 1" + os.linesep.encode())


def test_what_others_wrote_gives_a_terminal_no_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "a", "strange", "elsewhere")
    manifest = tmp_path / "a" / "artifact.json"
    kind = "x\x1b]0;title\x07 \x9b31m\u202e"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"kind": kind}))
    assert main(["list", str(tmp_path)]) == 0
    assert r"a  x\x1b]0;title\x07 \x9b31m\u202e, finished" in capsys.readouterr().out
    assert main(["list", f"{tmp_path}/\x1b[2J"]) == 3
    assert r"\x1b[2J is no folder" in capsys.readouterr().err
    kept = KeptProgress(LineProgress(), tmp_path / "log.txt")
    kept.say("exam \x1b[31m7\tä − \r\udcff")
    assert capsys.readouterr().err == "exam \\x1b[31m7\tä − \\r\\udcff\n"
    assert (tmp_path / "log.txt").read_text(encoding="utf-8").endswith("exam \\x1b[31m7\tä − \\r\\udcff\n")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"wall_seconds": math.nan}, "ValueError: cannot convert float NaN to integer"),
        ({"wall_seconds": math.inf}, "OverflowError: cannot convert float infinity to integer"),
        ({"inputs": [{"role": "a", "kind": "b", "path": "x" * 5000, "fingerprint": ""}]}, "File name too long"),
    ],
)
def test_one_artifact_that_cannot_be_told_does_not_end_the_list(
    tmp_path: Path, changed: dict[str, object], words: str
) -> None:
    for name in ("bad", "good"):
        with begin(tmp_path / name, kind="strange", stage="bake", settings=Nothing(), seed=0, inputs={}) as work:
            assert work is not None
            work.finish({})
    manifest = tmp_path / "bad" / "artifact.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changed))
    shown = listing(tmp_path)
    assert "bad  artifact, cannot be used\n" in shown
    assert words in shown
    assert "good  strange, finished" in shown


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes of this kind")
def test_a_plan_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a.partial").mkdir()
    os.mkfifo(tmp_path / "a.partial" / "plan.json")
    assert "plan.json cannot be read (it is not a regular file but a named pipe" in listing(tmp_path)


def test_a_folder_without_artifacts_and_none_are_told_apart(tmp_path: Path) -> None:
    assert listing(tmp_path).endswith("no artifact of mammofill lies here, nor in the folders below.")
    with pytest.raises(SourceError, match="nowhere is no folder"):
        listing(tmp_path / "nowhere")


# ---- while work goes on -------------------------------------------------------------------------------------------


def test_plain_lines_say_how_much_time_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, *[600.0] * 2, *[2400.0] * 2])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with LineProgress().task("painting", 4) as task:
        task.advance(1, "loss 1")
        task.advance(3)
    assert capsys.readouterr().err.splitlines() == [
        "painting: 1/4 in 10 min, about 30 min left  loss 1",
        "painting: 4/4 in 40 min  loss 1",
    ]


def test_the_end_of_a_short_task_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with LineProgress().task("painting", 2) as task:
        task.advance(2)
    assert capsys.readouterr().err.splitlines() == ["painting: 2/2 in 0 s"]


def test_progress_ends_at_its_total_though_the_last_batch_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    with LineProgress().task("painting", 6000) as task:
        for _ in range(47):
            task.advance(128)
    assert capsys.readouterr().err.splitlines() == ["painting: 6000/6000 in 0 s"]
    with BarProgress().task("painting", 6000) as task:
        for _ in range(47):
            task.advance(128)
    shown = capsys.readouterr().err
    assert "6000/6000" in shown
    assert "6016" not in shown


def test_what_is_said_is_kept(tmp_path: Path) -> None:
    heard: list[str] = []

    class Heard(Progress):
        def say(self, text: str) -> None:
            heard.append(text)

    kept = KeptProgress(Heard(), tmp_path / "log.txt")
    kept.say("hello")
    with kept.task("painting", 3) as task:
        task.advance(3)
    assert heard == ["hello"]
    lines = (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines()
    assert [line[21:] for line in lines] == ["hello", "painting: 3 to do", "painting: done"]


def test_a_run_keeps_why_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise TrainingError("the loss is not finite")

    monkeypatch.setattr(run, "_run_step", fail)
    arms = '[train-classifier]\nnetwork = "shallow-cnn"\nweights = "none"\n[[arms]]\nname = "a"\n'
    (tmp_path / "study.toml").write_text(f"[phantom]\n{arms}")
    with pytest.raises(TrainingError):
        run_study(tmp_path / "study.toml", tmp_path / "out", quiet)
    kept = (tmp_path / "out" / run.LOG_NAME).read_text(encoding="utf-8")
    assert f"runs {tmp_path / 'study.toml'}" in kept
    assert "[1/" in kept
    assert kept.endswith("ended by TrainingError: the loss is not finite\n")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "ratio = 0.25 asks for at least 40 in all, and balance for as many benign as malignant ones."),
        ({"balance": False}, "ratio = 0.25 of the real ones of each class."),
        ({"benign": 7}, "benign = 7 asks for it; ratio = 0.25 asks"),
        ({"requested_class": "both"}, "; requested_class = both fills each of these once for either class."),
    ],
)
def test_synthesis_says_why_it_makes_so_many(settings: dict[str, object], words: str) -> None:
    told = SynthesizeSettings(**settings).why({"benign": 100, "malignant": 60}, {"benign": 1, "malignant": 2})  # type: ignore[arg-type]
    assert told.startswith(
        "100 benign, 60 malignant real lesion patches to learn from; 1 benign, 2 malignant synthetic"
    )
    assert words in told


def test_a_full_disk_is_named_also_where_a_library_packs_the_error(tmp_path: Path) -> None:
    """As pydicom does while it writes an element: a new error without number, with a traceback in its words."""

    def write() -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise OSError(f"With tag (7FE0,0010) got exception: {error}\nTraceback (most recent call last)") from error

    with pytest.raises(OSError, match="Traceback") as caught:
        write()
    words, code = explained(caught.value)
    assert words.startswith("error: the disk is full. The work done so far is kept")
    assert code == SYSTEM_REFUSED
