"""What artifacts promise: finished in one move, continued, returned, or refused with words that say why."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from mammofill.ground import artifact
from mammofill.ground.artifact import (
    CHOSEN,
    Artifact,
    LearnedFrom,
    added,
    begin,
    check_content,
    execution,
    open_any,
    read_manifest,
    taught_by,
    upstream,
    write_atomically,
)
from mammofill.ground.errors import (
    ArtifactError,
    BusyError,
    DamagedError,
    NewerFormatError,
    PlanChangedError,
    TooFewError,
    WrongKindError,
)


@dataclass(frozen=True)
class Nested:
    sigma_px: float = 10.0


@dataclass(frozen=True)
class Settings:
    size_px: int = 4
    nested: Nested = Nested()
    workers: int = execution(0)


class Loaf(Artifact):
    kind = "loaf"


class Crumbs(Artifact):
    kind = "crumbs"


def bake(
    out: Path,
    settings: Settings = Settings(),
    seed: int = 0,
    content: str = "bread",
    inputs: dict[str, Artifact] | None = None,
    learned: list[LearnedFrom] | None = None,
    stop: bool = False,
    kind: str = "loaf",
    device: str | None = None,
) -> Loaf:
    with begin(out, kind=kind, stage="bake", settings=settings, seed=seed, inputs=inputs or {}, device=device) as work:
        if work is not None:
            (work.folder / "content.txt").write_text(content)
            if stop:
                raise KeyboardInterrupt
            work.finish({"loaves": 1}, learned or [])
    return Loaf.open(out)


def test_a_finished_artifact_opens_again_and_says_how_it_was_made(tmp_path: Path) -> None:
    bake(tmp_path / "a", Settings(size_px=7), seed=3)
    manifest = Loaf.open(tmp_path / "a").manifest
    assert manifest.settings == {"size_px": 7, "nested": {"sigma_px": 10.0}}
    assert manifest.execution == {"workers": 0}
    assert (manifest.seed, manifest.counts, manifest.files) == (3, {"loaves": 1}, {"content.txt": 5})
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["artifact.json", "content.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_fingerprint_is_of_the_content_alone(tmp_path: Path) -> None:
    first = bake(tmp_path / "a", seed=1)
    same = bake(tmp_path / "b", seed=2)
    other = bake(tmp_path / "c", content="cake!")
    assert first.fingerprint == same.fingerprint != other.fingerprint


def test_the_same_command_again_returns_the_finished_artifact(tmp_path: Path) -> None:
    bake(tmp_path / "a")
    before = (tmp_path / "a" / "artifact.json").read_bytes()
    bake(tmp_path / "a", content="never written")
    assert (tmp_path / "a" / "content.txt").read_text() == "bread"
    assert (tmp_path / "a" / "artifact.json").read_bytes() == before


def test_a_stopped_stage_leaves_a_partial_folder_and_goes_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        bake(tmp_path / "a", stop=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.partial"]
    with pytest.raises(ArtifactError, match="is not finished. Run the command that was making it again"):
        Loaf.open(tmp_path / "a")
    bake(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_was_refused_before_anything_was_made_leaves_nothing(tmp_path: Path) -> None:
    def refuse(size_px: int, *made: str) -> None:
        settings = Settings(size_px=size_px)
        with begin(tmp_path / "a", kind="loaf", stage="bake", settings=settings, seed=0, inputs={}) as work:
            assert work is not None
            (work.scratch / "empty").mkdir()
            for name in made:
                (work.folder / name).write_text("dough")
            raise TooFewError("Not enough flour.")

    with pytest.raises(TooFewError):
        refuse(5000)
    assert list(tmp_path.iterdir()) == [], "so that the mended setting is no other plan"
    with pytest.raises(TooFewError):
        refuse(64, "dough.txt")
    assert (tmp_path / "a.partial" / "dough.txt").is_file(), "what was made is kept"
    with pytest.raises(PlanChangedError):
        refuse(65)


def test_killed_between_the_last_write_and_the_rename(tmp_path: Path) -> None:
    finished = bake(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "a.partial")
    (tmp_path / "a.partial" / "plan.json").write_text("{}")
    assert bake(tmp_path / "a", content="never written").fingerprint == finished.fingerprint
    assert not (tmp_path / "a" / "plan.json").exists()


class KilledHereError(Exception):
    """Stands for a kill at the very point where it is raised."""


@pytest.mark.parametrize("point", ["fingerprint_folder", "move_into_place", "rename", "unlink"])
def test_what_is_needed_to_go_on_stays_until_the_manifest_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Killed while finishing, a stage has nothing of its work to do again."""

    def kill(*_: object, **__: object) -> None:
        raise KilledHereError

    def work(out: Path) -> bool:
        with begin(out, kind="loaf", stage="bake", settings=Settings(), seed=0, inputs={}) as work:
            if work is None:
                return False
            checkpoint = work.folder / artifact.CHECKPOINT_NAME
            again = not (checkpoint.is_file() and (work.scratch / "part").is_file())
            (work.folder / "content.txt").write_text("bread")
            checkpoint.write_bytes(b"all that was learned")
            (work.scratch / "part").write_bytes(b"a part that took hours")
            work.finish({})
        return again

    finished = bake(tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(Path if point in ("rename", "unlink") else artifact.work, point, kill)
        with pytest.raises(KilledHereError):
            work(tmp_path / "a")
    assert not work(tmp_path / "a"), "nothing is done twice"
    assert Loaf.open(tmp_path / "a").fingerprint == finished.fingerprint
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["artifact.json", "content.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "whole"]


def test_finished_by_another_process_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "a"
    looked = iter([False])
    finds = artifact.work._is_finished
    monkeypatch.setattr(artifact.work, "_is_finished", lambda *given: next(looked, None) is None and finds(*given))
    monkeypatch.setattr(artifact.lock, "FileLock", lambda path: bake_meanwhile(path))

    def bake_meanwhile(path: Path) -> FileLock:
        monkeypatch.undo()
        path.parent.rmdir()
        bake(out)
        path.parent.mkdir()
        return FileLock(path)

    with begin(out, kind="loaf", stage="bake", settings=Settings(), seed=0, inputs={}) as work:
        assert work is None
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("when", ["before the lock is opened", "as soon as it is held"])
def test_a_folder_that_another_process_finishes_while_it_is_being_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Both look at the same moment; the other one moves the folder, lock and all, to its final name."""
    out = tmp_path / "a"

    class Overtaken(FileLock):
        def acquire(self, *given: Any, **named: Any) -> Any:
            monkeypatch.undo()
            if when == "before the lock is opened":
                Path(self.lock_file).parent.rmdir()
                bake(out)
                raise FileNotFoundError(2, "No such file or directory", self.lock_file)
            got = super().acquire(*given, **named)
            if when == "as soon as it is held":
                shutil.move(Path(self.lock_file).parent, tmp_path / "moved")
                bake(out)
            return got

    monkeypatch.setattr(artifact.lock, "FileLock", Overtaken)
    with begin(out, kind="loaf", stage="bake", settings=Settings(), seed=0, inputs={}) as work:
        assert work is None
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "moved") == ["a"]


@pytest.mark.parametrize("left", ["checkpoint.pt", ".scratch"])
def test_work_without_its_plan_is_not_gone_on_with(tmp_path: Path, left: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        bake(tmp_path / "a", stop=True)
    partial = tmp_path / "a.partial"
    (partial / left).mkdir()
    (partial / "plan.json").unlink()
    with pytest.raises(DamagedError, match=f"holds {left} of work that was begun, but no plan.json, .* Delete the"):
        bake(tmp_path / "a", Settings(size_px=9))


@pytest.mark.parametrize("said", [{"inputs": 5}, {"inputs": [{}]}, {"device": 5}, [3]])
def test_a_plan_that_is_none_is_damaged(tmp_path: Path, said: object) -> None:
    with pytest.raises(KeyboardInterrupt):
        bake(tmp_path / "a", stop=True)
    plan = tmp_path / "a.partial" / "plan.json"
    plan.write_text(json.dumps({"stage": "bake"} | said if isinstance(said, dict) else said))
    with pytest.raises(DamagedError, match=r"plan.json cannot be read .* Delete the folder and begin again"):
        bake(tmp_path / "a")
    plan.write_text("[" * 100_000)
    with pytest.raises(DamagedError, match=r"plan.json cannot be read"):
        bake(tmp_path / "a")


@pytest.mark.parametrize("finished", [True, False])
def test_changed_settings_seed_and_inputs_are_refused_by_name(tmp_path: Path, finished: bool) -> None:
    flour = bake(tmp_path / "flour", content="flour")
    if finished:
        bake(tmp_path / "a", inputs={"flour": flour})
    else:
        with pytest.raises(KeyboardInterrupt):
            bake(tmp_path / "a", inputs={"flour": flour}, stop=True)
    rye = bake(tmp_path / "rye", content="rye")
    with pytest.raises(PlanChangedError) as caught:
        bake(tmp_path / "a", Settings(5, Nested(2.0)), seed=9, inputs={"flour": rye})
    text = str(caught.value)
    assert "settings.size_px: was 4, now 5" in text
    assert "settings.nested.sigma_px: was 10.0, now 2.0" in text
    assert "seed: was 0, now 9" in text
    assert "inputs.flour" in text
    assert "another --out to start anew" in text


def test_settings_of_execution_may_change(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        bake(tmp_path / "a", stop=True)
    assert bake(tmp_path / "a", replace(Settings(), workers=4)).manifest.counts == {"loaves": 1}


def test_which_of_several_devices_it_was_decides_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        bake(tmp_path / "a", stop=True, device="cuda:0")
    manifest = bake(tmp_path / "a", device="cuda:1").manifest
    assert manifest.device == "cuda"
    assert manifest.execution == {"workers": 0, "device": "cuda:1", "same_bits_again": False}
    assert bake(tmp_path / "a", device="cuda").manifest == manifest
    with pytest.raises(PlanChangedError, match="device: was 'cuda', now 'cpu'"):
        bake(tmp_path / "a", device="cpu")
    assert bake(tmp_path / "b", device="cpu").manifest.execution["same_bits_again"] is True


def test_a_plan_that_names_one_of_several_devices_goes_on(tmp_path: Path) -> None:
    """Older versions wrote the number into the plan."""
    with pytest.raises(KeyboardInterrupt):
        bake(tmp_path / "a", stop=True, device="cuda")
    plan = tmp_path / "a.partial" / "plan.json"
    plan.write_text(plan.read_text().replace('"device": "cuda",\n  "inputs"', '"device": "cuda:3",\n  "inputs"'))
    assert '"cuda:3"' in plan.read_text()
    bake(tmp_path / "a", device="cuda:1")


def test_moved_inputs_are_still_the_same_inputs(tmp_path: Path) -> None:
    flour = bake(tmp_path / "flour")
    bake(tmp_path / "a", inputs={"flour": flour})
    (tmp_path / "flour").rename(tmp_path / "moved")
    bake(tmp_path / "a", inputs={"flour": Loaf.open(tmp_path / "moved")})


def test_other_inputs_are_told_by_where_they_lie(tmp_path: Path) -> None:
    flour, rye = bake(tmp_path / "flour"), bake(tmp_path / "rye", content="rye")
    bake(tmp_path / "a", inputs={"flour": flour})
    with pytest.raises(PlanChangedError, match=f"inputs.flour: was {flour.folder}, now {rye.folder}\n"):
        bake(tmp_path / "a", inputs={"flour": rye})
    with pytest.raises(PlanChangedError, match=rf"inputs.flour: was {flour.folder}, now \(not set\)\n"):
        bake(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        bake(tmp_path / "b", inputs={"flour": flour}, stop=True)
    shutil.rmtree(flour.folder)
    with pytest.raises(PlanChangedError, match=f"inputs.flour: {flour.folder} has another content now\n"):
        bake(tmp_path / "b", inputs={"flour": bake(tmp_path / "flour", content="white")})


def test_the_wrong_kind_is_refused_by_name(tmp_path: Path) -> None:
    bake(tmp_path / "a")
    with pytest.raises(WrongKindError, match="holds a 'loaf' artifact .made by bake., but a 'crumbs' artifact"):
        Crumbs.open(tmp_path / "a")


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    bake(tmp_path / "a")
    path = tmp_path / "a" / "artifact.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    with pytest.raises(NewerFormatError, match="has format version 99.*reads up to version 2. Update mammofill"):
        Loaf.open(tmp_path / "a")


def test_damage_is_noticed(tmp_path: Path) -> None:
    bake(tmp_path / "a")
    (tmp_path / "a" / "content.txt").write_text("cream")  # as long as before
    with pytest.raises(DamagedError, match="was changed after it was finished"):
        check_content(Loaf.open(tmp_path / "a"))
    (tmp_path / "a" / "content.txt").write_text("crumb!")
    with pytest.raises(DamagedError, match="content.txt has 6 bytes, but had 5 bytes when it was finished"):
        Loaf.open(tmp_path / "a")
    (tmp_path / "a" / "content.txt").unlink()
    with pytest.raises(DamagedError, match="content.txt is missing"):
        Loaf.open(tmp_path / "a")
    (tmp_path / "a" / "artifact.json").write_text("{")
    with pytest.raises(DamagedError, match="artifact.json cannot be read"):
        Loaf.open(tmp_path / "a")


@pytest.mark.parametrize("words", ["found nothing there", "found a folder without artifact.json there"])
def test_what_is_no_artifact_is_named(tmp_path: Path, words: str) -> None:
    if "folder" in words:
        (tmp_path / "a").mkdir()
    with pytest.raises(ArtifactError, match=words):
        Loaf.open(tmp_path / "a")


def test_somebody_elses_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.txt").write_text("precious")
    with pytest.raises(ArtifactError, match="exists and is not a mammofill artifact"):
        bake(tmp_path / "a")
    assert (tmp_path / "a" / "thesis.txt").read_text() == "precious"


def test_a_second_process_is_told(tmp_path: Path) -> None:
    def begin_it():  # type: ignore[no-untyped-def]
        return begin(tmp_path / "a", kind="loaf", stage="bake", settings=Settings(), seed=0, inputs={})

    with begin_it() as work:
        assert work is not None
        with pytest.raises(BusyError, match=r"a\.partial is being written by another process"), begin_it():
            pass
        with pytest.raises(ArtifactError, match=rf"a is not finished: it is being written by process {os.getpid()}"):
            Loaf.open(tmp_path / "a")
        work.finish({})
    assert Loaf.open(tmp_path / "a").manifest.files == {}


def test_patients_learned_from_travel_by_themselves(tmp_path: Path) -> None:
    infiller = bake(tmp_path / "infiller", learned=[LearnedFrom("train-infiller", ("P2", "P1"))])
    synthetic = bake(tmp_path / "synthetic", inputs={"infiller": infiller})
    classifier = bake(
        tmp_path / "classifier", inputs={"patches": synthetic}, learned=[LearnedFrom("train-classifier", ("P2",))]
    )
    assert classifier.manifest.learned_patients() == {
        "P1": ["train-infiller"],
        "P2": ["train-classifier", "train-infiller"],
    }


def test_upstream_finds_ancestors_and_leaves_out_what_is_gone(tmp_path: Path) -> None:
    grain = bake(tmp_path / "grain", content="grain", kind="loaf")
    flour = bake(tmp_path / "flour", content="flour", inputs={"grain": grain})
    bread = bake(tmp_path / "bread", inputs={"flour": flour})
    assert [found.folder.name for found in upstream(bread)["loaf"]] == ["flour", "grain"]
    (tmp_path / "grain" / "artifact.json").unlink()
    assert [found.folder.name for found in upstream(bread)["loaf"]] == ["flour"]


def test_the_manifest_of_a_folder_inside_a_renamed_parent_still_points_right(tmp_path: Path) -> None:
    flour = bake(tmp_path / "study" / "flour")
    bake(tmp_path / "study" / "bread", inputs={"flour": flour}, content="other")
    (tmp_path / "study").rename(tmp_path / "archive")
    assert read_manifest(tmp_path / "archive" / "bread").inputs[0].path == "../flour"
    assert "loaf" in upstream(Loaf.open(tmp_path / "archive" / "bread"))


# ---- what a stage reads is what was finished ------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


@pytest.mark.parametrize("bit", range(0, 40, 7))
def test_one_flipped_bit_in_an_input_is_noticed_and_its_file_named(tmp_path: Path, bit: int) -> None:
    flour = bake(tmp_path / "flour")
    flip(tmp_path / "flour" / "content.txt", bit)
    with pytest.raises(DamagedError, match=r"content.txt was changed after it was finished: its SHA-256 was"):
        bake(tmp_path / "bread", inputs={"flour": flour})
    assert not (tmp_path / "bread.partial").exists()


def test_what_was_verified_is_not_read_again_until_it_is_touched(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flour = bake(tmp_path / "flour")
    for mark in (cache / "mammofill" / "verified").iterdir():
        mark.unlink()
    read = []
    real = artifact.verification.fingerprint_file
    monkeypatch.setattr(artifact.verification, "fingerprint_file", lambda path: read.append(path.name) or real(path))
    artifact.verify(flour)
    artifact.verify(flour)
    assert read == ["content.txt"]
    flip(tmp_path / "flour" / "content.txt", 3)
    flip(tmp_path / "flour" / "content.txt", 3)
    artifact.verify(flour)
    assert read == ["content.txt"] * 2


def test_a_file_can_be_verified_alone(tmp_path: Path, cache: Path) -> None:
    with begin(tmp_path / "a", kind="loaf", stage="bake", settings=Settings(), seed=0, inputs={}) as work:
        assert work is not None
        for name in ("table.txt", "picture.txt"):
            (work.folder / name).write_text(name)
        work.finish({})
    loaf = Loaf.open(tmp_path / "a")
    (tmp_path / "a" / "picture.txt").unlink()
    artifact.verify(loaf, ["table.txt"])
    flip(tmp_path / "a" / "table.txt", 3)
    with pytest.raises(DamagedError, match=r"table.txt was changed after it was finished: its SHA-256 was"):
        artifact.verify(loaf, ["table.txt"])
    with pytest.raises(DamagedError, match="picture.txt is missing"):
        artifact.verify(loaf, ["picture.txt"])


@pytest.mark.parametrize("home", ["none", "another user's"])
def test_without_a_home_files_are_read_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    real = os.stat

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    def not_allowed(path: Path, *given: Any, **named: Any) -> os.stat_result:
        if "home" in str(path).split("/"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *given, **named)

    monkeypatch.delenv("XDG_CACHE_HOME")
    (tmp_path / "home").write_text("no folder can be made in it")
    monkeypatch.setattr(Path, "home", no_home if home == "none" else lambda: tmp_path / "home")
    monkeypatch.setattr(os, "stat", not_allowed)
    flour = bake(tmp_path / "flour")
    assert bake(tmp_path / "bread", inputs={"flour": flour}).manifest.execution == {"workers": 0}
    flip(tmp_path / "flour" / "content.txt", 3)
    with pytest.raises(DamagedError, match=r"content.txt was changed after it was finished"):
        bake(tmp_path / "cake", inputs={"flour": flour})


def test_without_verification_the_manifest_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flour = bake(tmp_path / "flour")
    flip(tmp_path / "flour" / "content.txt", 3)
    monkeypatch.setenv("MAMMOFILL_NO_VERIFY", "1")
    bread = bake(tmp_path / "bread", inputs={"flour": flour})
    assert bread.manifest.execution["no_verify"] is True


def test_a_folder_of_an_older_version_is_checked_as_a_whole(tmp_path: Path) -> None:
    flour = bake(tmp_path / "flour")
    path = tmp_path / "flour" / "artifact.json"
    content = json.loads(path.read_text()) | {"format_version": 1}
    del content["hashes"]
    path.write_text(json.dumps(content))
    bake(tmp_path / "bread", inputs={"flour": Loaf.open(flour.folder)})
    flip(tmp_path / "flour" / "content.txt", 3)
    with pytest.raises(DamagedError, match="flour was changed after it was finished"):
        bake(tmp_path / "cake", inputs={"flour": Loaf.open(flour.folder)})


@pytest.mark.parametrize("part", ["files", "hashes"])
@pytest.mark.parametrize("name", [None, "new-name.txt"])
def test_a_manifest_whose_files_and_hashes_contradict_each_other_is_damage(
    tmp_path: Path, part: str, name: str | None
) -> None:
    """One that lists no hash for a file, or another file, or another hash would leave that file unread."""
    flour = bake(tmp_path / "flour")
    path = tmp_path / "flour" / "artifact.json"
    content = json.loads(path.read_text())
    if name is not None:
        (tmp_path / "flour" / "content.txt").rename(tmp_path / "flour" / name)
        content["files"] = {name: content["files"].pop("content.txt")}
        content["hashes"] = {name: content["hashes"].pop("content.txt")}
    elif part == "files":
        content["files"] = {}
    else:
        content["hashes"] = {"content.txt": "0" * 64}
    path.write_text(json.dumps(content))
    with pytest.raises(DamagedError, match=r"artifact.json was changed after it was finished: the files, hashes and"):
        artifact.verify(Loaf.open(flour.folder))


def test_a_manifest_that_lists_no_files_is_damage(tmp_path: Path) -> None:
    flour = bake(tmp_path / "flour")
    path = tmp_path / "flour" / "artifact.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": {}, "hashes": {}}))
    flip(tmp_path / "flour" / "content.txt", 3)
    with pytest.raises(DamagedError, match=r"artifact.json was changed after it was finished: the files, hashes and"):
        bake(tmp_path / "bread", inputs={"flour": Loaf.open(flour.folder)})


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/passwd", "a/../../secret.txt"])
def test_a_manifest_cannot_name_files_outside_its_folder(tmp_path: Path, name: str) -> None:
    bake(tmp_path / "a")
    path = tmp_path / "a" / "artifact.json"
    content = json.loads(path.read_text())
    content["files"][name] = 3
    path.write_text(json.dumps(content))
    with pytest.raises(DamagedError, match="is not a file inside"):
        Loaf.open(tmp_path / "a")


def test_who_only_chose_taught_nothing() -> None:
    records = [
        LearnedFrom("train-infiller", ("P1", "P2")),
        LearnedFrom(f"train-classifier {CHOSEN} threshold)", ("P2", "P3")),
    ]
    assert taught_by(records) == {"P1", "P2"}


@pytest.mark.parametrize(
    ("entry", "value"),
    [("kind", 5), ("stage", None), ("settings", []), ("seed", "x"), ("seed", True), ("device", 1), ("files", "x"),
     ("files", {"a": "5"}), ("files", {"a" * 5000: 5}), ("hashes", []), ("hashes", {"a": None}), ("counts", None),
     ("counts", {"a": float("nan")}), ("wall_seconds", "x"), ("format_version", float("inf")),
     ("inputs", [{"role": "a", "kind": "b", "path": 5, "fingerprint": "f"}]),
     ("patients_learned_from", [{"through": "x", "patients": [{}]}]), ("fingerprint", [1])],
)  # fmt: skip
def test_a_manifest_that_says_numbers_for_words_is_damaged(tmp_path: Path, entry: str, value: object) -> None:
    with begin(tmp_path / "a", kind="k", stage="s", settings=Settings(), seed=0, inputs={}) as work:
        assert work is not None
        (work.folder / "x").write_bytes(b"x")
        work.finish({"things": 1})
    path = tmp_path / "a" / "artifact.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {entry: value}))
    with pytest.raises(DamagedError, match="Make .* again"):
        open_any(tmp_path / "a")


def test_a_manifest_of_endless_brackets_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "artifact.json").write_bytes(b"[" * 100_000)
    with pytest.raises(DamagedError, match="cannot be read"):
        open_any(tmp_path)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (".", "is a folder that is there already. Name a new one in it."),
        ("", "is a folder that is there already. Name a new one in it."),
        ("..", "is a folder that is there already. Name a new one in it."),
        ("~/a", "begins with ~, which is understood by shells alone. Write the folder out."),
        ("a\0b", "holds a character that no name of a folder can hold"),
        ("a\udcff", "holds a character that no name of a folder can hold"),
        ("x" * 250, "has a longer name than file systems take (255 bytes, the ending .partial with it)."),
        ("dead", "is a link that leads nowhere. Remove it"),
        ("loop", "is a link that leads nowhere. Remove it"),
        (
            "link",
            "is a link to another folder, and a finished folder cannot be moved into its place. Name a new folder",
        ),
        ("mount", "is where a disk or a volume is mounted, and a finished folder cannot be moved into its place."),
        ("file/x", "would lie in file, which is no folder."),
    ],
)
def test_places_where_no_folder_can_be_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("x")
    Path("dead").symlink_to("nowhere")
    Path("loop").symlink_to("loop")
    Path("mount").mkdir()
    Path("link").symlink_to("mount")
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == "mount")
    with (
        pytest.raises(ArtifactError) as caught,
        begin(name, kind="k", stage="s", settings=Settings(), seed=0, inputs={}),
    ):
        pass
    assert why in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dead", "file", "link", "loop", "mount"]


def test_a_finished_artifact_is_found_through_a_link_and_at_a_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bake(tmp_path / "a")
    (tmp_path / "link").symlink_to("a")
    assert bake(tmp_path / "link").fingerprint == bake(tmp_path / "a").fingerprint
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    assert bake(tmp_path / "a", stop=True).manifest.counts == {"loaves": 1}


@pytest.mark.skipif(sys.platform != "linux", reason="file systems elsewhere hold no such names")
def test_an_input_whose_name_is_no_utf8_is_refused(tmp_path: Path) -> None:
    flour = bake(tmp_path / "flour")
    place = tmp_path / "p\udcff"
    flour.folder.rename(place)
    with pytest.raises(ArtifactError, match=r"p\\udcff' is a name that is not valid UTF-8, .* Rename it"):
        Loaf.open(place)
    with pytest.raises(ArtifactError, match=r"p\\udcff' is a name that is not valid UTF-8, .* Rename it"):
        bake(tmp_path / "bread", inputs={"flour": Loaf(place, flour.manifest)})
    assert not (tmp_path / "bread.partial").exists()


def test_a_setting_that_was_added_later_leaves_the_plan_as_it_was(tmp_path: Path) -> None:
    """At its default what was made before is still of the same plan; at another value it is of another one."""

    @dataclass(frozen=True)
    class Before:
        heat: int = 200

    @dataclass(frozen=True)
    class After:
        heat: int = 200
        steam: int = added(0)

    with begin(tmp_path / "loaf", kind="loaf", stage="bake", settings=Before(), seed=0, inputs={}) as work:
        assert work is not None
        work.finish({})
    with begin(tmp_path / "loaf", kind="loaf", stage="bake", settings=After(), seed=0, inputs={}) as work:
        assert work is None
    with (
        pytest.raises(PlanChangedError, match="steam"),
        begin(tmp_path / "loaf", kind="loaf", stage="bake", settings=After(steam=3), seed=0, inputs={}),
    ):
        pass


@pytest.mark.parametrize("size", [0, 1, 2**18, 2**18 + 1, 10**6])
def test_what_is_written_in_pieces_arrives_whole(tmp_path: Path, size: int) -> None:
    content = np.random.default_rng(0).bytes(size)
    for given in (content, memoryview(content)):
        write_atomically(tmp_path / "file", given)
        assert (tmp_path / "file").read_bytes() == content
    write_atomically(tmp_path / "file", "\u00e4" * size)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "\u00e4" * size
