"""Artifacts in stores: pushed once, pulled whole, gone on with after a kill, refused when not what was pushed."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from local_store import bucket

from mammofill.cli import main
from mammofill.ground.artifact import Artifact, begin, check_content, read_manifest
from mammofill.ground.errors import (
    ArtifactError,
    BusyError,
    DamagedError,
    MammofillError,
    PlanChangedError,
    SettingsError,
    StoreError,
)
from mammofill.ground.progress import Progress
from mammofill.ground.stores.pull import pull
from mammofill.ground.stores.push import push
from mammofill.ground.stores.remote import Remote

# What s3fs and the server of moto leave open when the test is over is theirs to close.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@dataclass(frozen=True)
class Settings:
    loaves: int = 3


CONTENTS = {
    "table.csv": b"a,b\n",
    "images/one.tif": bytes(range(256)) * 40_000,  # more than is asked for at a time
    "images/two.tif": b"two",
    "images/two-again.tif": b"two",
    "empty.txt": b"",
    "a-b.txt": b"sorted otherwise by its letters than by the parts of its path",
    "a/b.txt": b"x",
}


def make(out: Path, seed: int = 0, **changed: bytes) -> Artifact:
    with begin(out, kind="loaf", stage="bake", settings=Settings(), seed=seed, inputs={}) as work:
        assert work is not None
        for name, content in {**CONTENTS, **{f"{key}.txt": value for key, value in changed.items()}}.items():
            (work.folder / name).parent.mkdir(exist_ok=True)
            (work.folder / name).write_bytes(content)
        work.finish({"loaves": 3})
    return Artifact(out, read_manifest(out))


@pytest.fixture
def made(tmp_path: Path) -> Artifact:
    return make(tmp_path / "made")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Return a bucket in a store on this machine."""
    with bucket() as url:
        yield url


@pytest.fixture(params=["file", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return a place of a store that is this test's own."""
    if request.param == "s3":
        yield f"{request.getfixturevalue('s3')}/{tmp_path.name}"
    elif request.param == "memory":
        yield f"memory://{tmp_path.name}"
        MemoryFileSystem.store.clear()
        MemoryFileSystem.pseudo_dirs[:] = [""]
    else:
        yield (tmp_path / "store").as_uri()


def objects(url: str) -> dict[str, int]:
    return Remote(url).sizes("objects")


# ---- there and back -------------------------------------------------------------------------------------------------


def test_what_was_pushed_comes_back_byte_for_byte(made: Artifact, url: str, tmp_path: Path) -> None:
    sent = push(made.folder, url)
    assert len(objects(url)) == sent.objects == len(set(CONTENTS.values())) + 1  # and artifact.json
    pulled = pull(url, tmp_path / "back")
    assert pulled.files == len(CONTENTS)
    check_content(pulled.artifact)
    back = {path.relative_to(tmp_path / "back"): path.read_bytes() for path in files_of(tmp_path / "back")}
    assert back == {path.relative_to(made.folder): path.read_bytes() for path in files_of(made.folder)}
    assert not (tmp_path / "back.partial").exists()


def files_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def test_what_is_there_is_not_sent_or_fetched_again(made: Artifact, url: str, tmp_path: Path) -> None:
    push(made.folder, url)
    assert push(made.folder, url).objects == 0
    pull(url, tmp_path / "back")
    assert pull(url, tmp_path / "back").files == 0


def test_an_object_that_was_lost_or_cut_off_is_sent_again(made: Artifact, url: str, tmp_path: Path) -> None:
    push(made.folder, url)
    damage(url, made.manifest.hashes["table.csv"], b"a")
    assert push(made.folder, url).objects == 1
    assert pull(url, tmp_path / "back").artifact.fingerprint == made.fingerprint


def damage(url: str, name: str, content: bytes) -> None:
    remote = Remote(url)
    remote._files.pipe_file(remote._at(f"objects/{name}"), content)


def test_the_same_made_elsewhere_is_the_same_artifact(made: Artifact, url: str, tmp_path: Path) -> None:
    path = made.folder / "artifact.json"
    push(made.folder, url)
    path.write_text(path.read_text().replace('"wall_seconds": 0', '"wall_seconds": 1'))
    assert push(made.folder, url).objects == 0
    assert pull(url, made.folder).files == 0
    pull(url, tmp_path / "back")


def test_several_push_and_pull_the_same_artifact_at_once(made: Artifact, url: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: push(made.folder, url), range(4)))
        pulled = list(threads.map(lambda number: pull(url, tmp_path / f"back-{number}"), range(3)))
    assert {one.artifact.fingerprint for one in pulled} == {made.fingerprint}
    assert set(objects(url)) == {*made.manifest.hashes.values(), sha256_of(made.folder / "artifact.json")}


def sha256_of(path: Path) -> str:
    from mammofill.ground.artifact import fingerprint_file

    return fingerprint_file(path)


# ---- killed ---------------------------------------------------------------------------------------------------------


def killed_at(number: int, places: tuple[str, ...], work: Callable[[], object]) -> bool:
    """Do work in a process of its own, killed at its n-th change of files in some places; say whether it was."""
    process = os.fork()
    if not process:
        count = 0

        def hook(event: str, given: tuple[Any, ...]) -> None:
            nonlocal count
            changes = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "shutil.move")
            changes |= event == "open" and bool(given[2] & (os.O_WRONLY | os.O_RDWR))
            if changes and str(given[0]).startswith(places):
                count += 1
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            sys.addaudithook(hook)
            work()
            code = 0
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status != 0


def test_a_push_killed_at_any_file_operation_goes_on_to_the_same(made: Artifact, tmp_path: Path) -> None:
    number, store = 1, tmp_path / "store"
    while True:
        place = store / str(number)
        killed = killed_at(number, (str(place),), lambda place=place: push(made.folder, place.as_uri()))
        if killed and not (place / "pushed.json").is_file():
            with pytest.raises(StoreError, match="holds no pushed artifact"):
                pull(place.as_uri(), tmp_path / "none")
        push(made.folder, place.as_uri())
        assert pull(place.as_uri(), tmp_path / f"back-{number}").artifact.fingerprint == made.fingerprint
        assert len(files_of(place)) == len(set(CONTENTS.values())) + 2, "nothing is left beside the objects"
        if not killed:
            break
        number += 1
    assert number > 2 * len(set(CONTENTS.values()))


def test_a_pull_killed_at_any_file_operation_goes_on_to_the_same(made: Artifact, tmp_path: Path) -> None:
    url, number = (tmp_path / "store").as_uri(), 1
    push(made.folder, url)
    while True:
        out = tmp_path / f"back-{number}"
        killed = killed_at(number, (str(out),), lambda out=out: pull(url, out))
        if killed and not out.exists():
            with pytest.raises(ArtifactError):
                read_manifest(out)
        pulled = pull(url, out)
        check_content(pulled.artifact)
        assert files_of(out) == [out / path.relative_to(made.folder) for path in files_of(made.folder)]
        assert not out.with_name(f"{out.name}.partial").exists()
        if not killed:
            break
        number += 1
    assert number > 2 * len(CONTENTS)


class KilledAfter(Progress):
    """Kills the process when so many files are done."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def _begin(self, name: str, total: float) -> Any:
        return self

    def advance(self, steps: float = 1, note: str = "") -> None:
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)


IN_A_PROCESS = """
import sys
sys.path.insert(0, {here!r})
from test_push_and_pull import KilledAfter, pull, push
{what}({given}, progress=KilledAfter(2))
"""


@pytest.mark.parametrize("what", ["push", "pull"])
def test_killed_on_the_way_to_or_from_a_real_store(made: Artifact, s3: str, tmp_path: Path, what: str) -> None:
    url, out = f"{s3}/killed-{what}", tmp_path / "back"
    if what == "pull":
        push(made.folder, url)
    given = f"{str(made.folder)!r}, {url!r}" if what == "push" else f"{url!r}, {str(out)!r}"
    assert in_a_process(what, given) == -signal.SIGKILL
    if what == "push":
        assert len(objects(url)) >= 2
        assert push(made.folder, url).objects <= len(set(CONTENTS.values())) + 1 - 2
    else:
        assert not out.exists()
    pulled = pull(url, out)
    assert pulled.artifact.fingerprint == made.fingerprint
    assert what == "push" or pulled.files <= len(CONTENTS) - 2


def in_a_process(what: str, given: str) -> int:
    import subprocess

    program = IN_A_PROCESS.format(here=str(Path(__file__).parent), what=what, given=given)
    found_here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", program], env=found_here, check=False).returncode


def test_a_file_that_was_fetched_in_part_is_not_fetched_again(
    made: Artifact, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(made.folder, url)
    read, asked = Remote.read, []

    def breaks(remote: Remote, name: str, first: int, last: int) -> bytes:
        if first > 0:
            raise StoreError("the line is dead")
        return read(remote, name, first, last)

    def noted(remote: Remote, name: str, first: int, last: int) -> bytes:
        asked.append((name, first))
        return read(remote, name, first, last)

    monkeypatch.setattr(Remote, "read", breaks)
    with pytest.raises(StoreError, match="the line is dead"):
        pull(url, tmp_path / "back")
    monkeypatch.setattr(Remote, "read", noted)
    check_content(pull(url, tmp_path / "back").artifact)
    large = f"objects/{made.manifest.hashes['images/one.tif']}"
    assert [first for name, first in asked if name == large] == [2**23]


def test_what_a_crash_of_this_machine_left_is_no_damage_of_the_store(made: Artifact, tmp_path: Path) -> None:
    url, out = (tmp_path / "store").as_uri(), tmp_path / "back"
    push(made.folder, url)
    (tmp_path / "back.partial" / ".scratch").mkdir(parents=True)
    for number in range(len(CONTENTS)):
        (tmp_path / "back.partial" / ".scratch" / str(number)).write_bytes(b"\0" * 7)
    check_content(pull(url, out).artifact)


# ---- refused --------------------------------------------------------------------------------------------------------


def test_what_is_not_finished_or_damaged_is_not_pushed(made: Artifact, url: str, tmp_path: Path) -> None:
    (tmp_path / "begun.partial").mkdir()
    with pytest.raises(ArtifactError, match="begun is not finished"):
        push(tmp_path / "begun", url)
    path = made.folder / "table.csv"
    path.write_bytes(b"a,c\n")
    with pytest.raises(DamagedError, match=r"table.csv was changed after it was finished"):
        push(made.folder, url)
    path.unlink()
    with pytest.raises(DamagedError, match=r"table.csv is missing"):
        push(made.folder, url)
    assert objects_or_none(url) == {}


def objects_or_none(url: str) -> dict[str, int]:
    try:
        return objects(url)
    except StoreError:
        return {}


def test_a_url_keeps_what_was_pushed_first(made: Artifact, url: str, tmp_path: Path) -> None:
    push(made.folder, url)
    other = make(tmp_path / "other", more=b"more")
    with pytest.raises(ArtifactError, match=r"holds another artifact than .*other:\n  fingerprint: there"):
        push(other.folder, url)
    seeded = make(tmp_path / "seeded", seed=1)
    with pytest.raises(ArtifactError, match=r"  seed: there 0, here 1"):
        push(seeded.folder, url)
    with pytest.raises(
        ArtifactError, match=r"seeded is another artifact than the one that was pushed:\n  seed: here 1"
    ):
        pull(url, seeded.folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"A,b\n", r"is damaged: it should have 4 bytes and the SHA-256 \w{12}, but has the SHA-256"),
        (b"a,b", r"is damaged: .* but has 3 bytes"),
        (b"a,b\n" * 100, r"is damaged: .* but has 400 bytes"),
    ],
)
def test_a_damaged_object_is_refused_by_name(
    made: Artifact, url: str, tmp_path: Path, content: bytes, words: str
) -> None:
    push(made.folder, url)
    name = made.manifest.hashes["table.csv"]
    damage(url, name, content)
    with pytest.raises(DamagedError, match=rf"objects/{name} {words}"):
        pull(url, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_an_object_that_is_gone_is_refused_by_name(made: Artifact, url: str, tmp_path: Path) -> None:
    push(made.folder, url)
    name, remote = made.manifest.hashes["table.csv"], Remote(url)
    remote._files.rm_file(remote._at(f"objects/{name}"))
    with pytest.raises(DamagedError, match=rf"objects/{name} is damaged: .* but is not there"):
        pull(url, tmp_path / "back")


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda said: said["files"].update({"../out.txt": said["files"]["empty.txt"]}), "is not a file inside"),
        (lambda said: said["files"].update({"/etc/out": said["files"]["empty.txt"]}), "is not a file inside"),
        (lambda said: said["files"].update({"C:out": said["files"]["empty.txt"]}), "is not a file inside"),
        (lambda said: said["files"].update({"a//c": said["files"]["empty.txt"]}), "is no file of an artifact"),
        (lambda said: said["files"].update({"x/plan.json": said["files"]["empty.txt"]}), "is no file of an artifact"),
        (lambda said: said["files"].update({"plan.json/x": said["files"]["empty.txt"]}), "is no file of an artifact"),
        (lambda said: said["files"].update({"artifact.json/x": said["files"]["empty.txt"]}), "is no file of an artif"),
        (lambda said: said["files"].update({"a/evil.tmp": said["files"]["empty.txt"]}), "is no file of an artifact"),
        (lambda said: said["files"].update({"\ud800": said["files"]["empty.txt"]}), "can't encode character"),
        (lambda said: said["files"].update({".scratch/x": said["files"]["empty.txt"]}), "is no file of an artifact"),
        (lambda said: said["files"].update({"images": said["files"]["empty.txt"]}), "cannot be a file and a folder"),
        (lambda said: said["files"]["empty.txt"].update(sha256="../../x"), "is no SHA-256"),
        (lambda said: said["files"]["empty.txt"].update(bytes=-1), "is no number of bytes"),
        (lambda said: said["files"]["empty.txt"].update(bytes=5), "list different files"),
        (lambda said: said["files"].pop("empty.txt"), "list different files"),
        (lambda said: said["files"].update({"more": said["files"]["empty.txt"]}), "list different files"),
        (lambda said: said["manifest"].update(bytes=10**12), "which no artifact.json has"),
        (lambda said: said.pop("files"), "does not describe a pushed artifact"),
        (lambda said: said.update(format_version=2), "Update mammofill"),
        (lambda said: said.update(format_version=float("inf")), "cannot convert float infinity"),
    ],
)
def test_what_a_store_says_is_believed_nothing(made: Artifact, tmp_path: Path, change: Change, words: str) -> None:
    store = tmp_path / "store"
    push(made.folder, store.as_uri())
    said = json.loads((store / "pushed.json").read_text())
    change(said)
    (store / "pushed.json").write_text(json.dumps(said))
    before = files_of(tmp_path)
    with pytest.raises(ArtifactError, match=words):
        pull(store.as_uri(), tmp_path / "back")
    assert files_of(tmp_path) == before, "nothing is written"


def test_nothing_is_pulled_into_the_place_of_a_link(made: Artifact, tmp_path: Path) -> None:
    place = f"file://{tmp_path / 'store'}"
    push(made.folder, place)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    with pytest.raises(ArtifactError, match="is a link to another folder, .* Name a new folder in it"):
        pull(place, tmp_path / "link")
    assert not (tmp_path / "link.partial").exists()


def test_a_folder_of_somebody_else_is_left_alone(made: Artifact, tmp_path: Path) -> None:
    url = (tmp_path / "store").as_uri()
    push(made.folder, url)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(ArtifactError, match=r"mine exists and is not a mammofill artifact"):
        pull(url, tmp_path / "mine")
    with (
        begin(tmp_path / "begun", kind="loaf", stage="bake", settings=Settings(), seed=0, inputs={}),
        pytest.raises(BusyError, match=r"begun.partial is being written by another process"),
    ):
        pull(url, tmp_path / "begun")
    with pytest.raises(PlanChangedError, match=r"is of bake, and pull cannot use the same folder"):
        pull(url, tmp_path / "begun")


# ---- words ----------------------------------------------------------------------------------------------------------


def test_a_bucket_that_is_not_there(made: Artifact, s3: str, tmp_path: Path) -> None:
    for refused in (lambda: push(made.folder, "s3://no-bucket/x"), lambda: pull("s3://no-bucket/x", tmp_path / "x")):
        with pytest.raises(StoreError, match=r"s3://no-bucket/x/.* bucket does not exist.* is not made by mammofill"):
            refused()
    with pytest.raises(StoreError, match=r"s3://bucket/nothing holds no pushed artifact: there is no pushed.json"):
        pull("s3://bucket/nothing", tmp_path / "x")


def test_credentials_that_are_not_there(
    made: Artifact, s3: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    s3fs.S3FileSystem.clear_instance_cache()
    assert main(["push", str(made.folder), f"{s3}/x"]) == StoreError.exit_code
    assert "no credentials were found (Unable to locate credentials). Set AWS_ACCESS_KEY_ID" in capsys.readouterr().err
    s3fs.S3FileSystem.clear_instance_cache()


def test_credentials_that_the_store_does_not_know(made: Artifact, s3: str, capsys: pytest.CaptureFixture[str]) -> None:
    push(made.folder, f"{s3}/known")
    strangers_may_ask("0")
    try:
        assert main(["pull", f"{s3}/known", "--out", "back"]) == StoreError.exit_code
    finally:
        strangers_may_ask("inf")
    assert "s3://bucket/known/pushed.json: the store refuses (The AWS Access Key Id" in capsys.readouterr().err


def strangers_may_ask(times: str) -> None:
    """Let the store of tests serve so many requests of keys that it does not know."""
    from urllib.request import Request, urlopen

    address = f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth"
    urlopen(Request(address, times.encode(), {"Content-Type": "text/plain"})).close()


def test_an_address_where_no_store_is(
    made: Artifact, s3: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import socket

    import s3fs

    with socket.socket() as taken:  # bound and never listening: whoever comes is refused
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
        s3fs.S3FileSystem.clear_instance_cache()
        assert main(["push", str(made.folder), "s3://bucket/x"]) == StoreError.exit_code
    s3fs.S3FileSystem.clear_instance_cache()
    assert "s3://bucket/x/pushed.json: the store does not answer (Could not connect" in capsys.readouterr().err


def test_a_library_that_is_not_installed(made: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.registry import _registry

    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(_registry, "s3", raising=False)
    with pytest.raises(SettingsError, match=r's3:// needs a library .*: pip install "mammofill\[object-stores\]"'):
        push(made.folder, "s3://bucket/x")


def test_endless_brackets_and_a_pipe_in_a_store_are_told(made: Artifact, tmp_path: Path) -> None:
    store = tmp_path / "store"
    push(made.folder, store.as_uri())
    (store / "pushed.json").write_text("[" * 100_000)
    with pytest.raises(DamagedError, match=r"pushed.json does not describe a pushed artifact \(maximum recursion"):
        pull(store.as_uri(), tmp_path / "back")
    (store / "pushed.json").unlink()
    if sys.platform != "win32":
        os.mkfifo(store / "pushed.json")
        with pytest.raises(StoreError, match=r"pushed.json: .*is not a regular file but a named pipe"):
            pull(store.as_uri(), tmp_path / "back")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("bucket/x", "is no URL"),
        ("s4://bucket/x", "Protocol not known: s4"),
        ("zip://x::file:///etc/passwd", "is no URL of a folder in a store"),
        ("reference://x", "reference://x: .* Give a URL such as"),
        ("dir://x", "dir://x: .* Give a URL such as"),
    ],
)
def test_what_is_no_url(made: Artifact, url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        push(made.folder, url)


def test_a_password_is_not_repeated() -> None:
    assert Remote("memory://me:secret@host/x").shown == "memory://me:***@host/x"
    assert Remote("memory://me:sec@ret@host/x@y").shown == "memory://me:***@host/x@y"
    assert Remote("memory://me@clinic:secret@host/x").shown == "memory://me@clinic:***@host/x"


def test_the_commands_say_what_they_did(made: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = (tmp_path / "store").as_uri()
    assert main(["push", str(made.folder), url, "--quiet"]) == 0
    assert f"{url}: loaf {made.fingerprint[:12]}; 7 objects, 7 sent now (10.2 MB)" in capsys.readouterr().out
    assert main(["pull", url, "--out", str(tmp_path / "back"), "--quiet"]) == 0
    assert f"{tmp_path / 'back'}: loaf (3 loaves); 7 files fetched now (10.2 MB)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("extract-patches s3://b/m --out x", "s3://b/m is a URL. Stages read folders .* mammofill pull s3://b/m --out"),
        ("extract-patches m --out s3://b/p", "s3://b/p is a URL. .* Give a folder, then: mammofill push DIR s3://b/p"),
        (
            "ingest table abfs://b/t.csv --out x",
            "abfs://b/t.csv is a URL, and collections, .* only from s3:// and gs://",
        ),
        (
            "ingest cmmd s3://b/c --out x",
            "s3://b/c is a URL, and the reader of cmmd opens images .* cbis-ddsm, .* table",
        ),
        ("ingest table . --attributes s3://b/t.csv --out x", "s3://b/t.csv is a URL, and .* Copy it to a disk first"),
        ("audit s3://b/c", "s3://b/c is a URL, and collections, .* Copy it to a disk first"),
        ("audit --tables-only s3://b/c", "s3://b/c is a URL, and collections, .* Copy it to a disk first"),
        (
            "plan s3://b/s.toml",
            "s3://b/s.toml is a URL, and collections, tables and settings .* Copy it to a disk first",
        ),
        ("ingest table t --out x --config s3://b/s.toml", "s3://b/s.toml is a URL, and .* Copy it to a disk first"),
        ("list s3://b/run", "s3://b/run is a URL. Commands read .* mammofill pull s3://b/run --out"),
        ("studio s3://b/run", "s3://b/run is a URL"),
        ("run study.toml --out=s3://b/run", "s3://b/run is a URL. .* mammofill push DIR s3://b/run"),
        ("pull s3://b/x --out s3://b/y", "s3://b/y is a URL. What is pulled becomes a folder"),
    ],
)
def test_a_url_elsewhere_is_refused_by_name(
    given: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    monkeypatch.chdir(tmp_path)
    assert main(given.split()) in (3, 4)
    assert re.search(words, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_urls_are_refused_from_python_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError, match="s3://b/x is a URL"):
        Artifact.open(Path("s3://b/x"))
    with pytest.raises(MammofillError, match="mammofill push DIR s3://b/x"):
        make(Path("s3://b/x"))
    make(tmp_path / "s3:" / "x")  # a folder of that name is a folder
    assert read_manifest(Path("s3:/x")).kind == "loaf"
