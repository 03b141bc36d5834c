"""Artifacts: folders that describe themselves, are finished in one move, and never change afterwards.

While a stage works, its folder is called ``<name>.partial`` and holds ``plan.json``: what is being made, from what,
with which settings and seed. When the work is done, ``artifact.json`` is written last and the folder is renamed to
``<name>``. So a folder without the suffix is complete; and the same command again continues a partial folder, returns
a finished one, or refuses when the plan is no longer the same, naming each difference.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import os
import shutil
import socket
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass
from dataclasses import field as dataclass_field
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Self

from filelock import BaseFileLock, FileLock, Timeout
from numpy.typing import NDArray

import mammofill
from mammofill.ground.errors import (
    ArtifactError,
    BusyError,
    DamagedError,
    MammofillError,
    NewerFormatError,
    PlanChangedError,
    WrongKindError,
)
from mammofill.ground.file_names import as_url, inside, meant_path, refuse_url, why_no_file

FORMAT_VERSION = 2
"""Version of the folder format: raised when an older mammofill could no longer read a newer folder."""

NO_VERIFY = "MAMMOFILL_NO_VERIFY"
"""Environment variable that leaves the check of inputs out, here and in all processes that work for this one."""

MANIFEST_NAME = "artifact.json"
PARTIAL = ".partial"
"""What the name of a folder ends with while a stage works in it."""
PLAN_NAME = "plan.json"
_LOCK_NAME = ".lock"
"""The lock of whoever writes in a partial folder, with the number of the process and the name of its machine in it."""
_LOOK_SECONDS = 0.2
"""So long a stage waits for a lock: whoever only looks whether it is held (`holder_of`) has it for a moment."""
SCRATCH_NAME = ".scratch"
"""Folder in a partial one for what only the way to the artifact needs."""
CHECKPOINT_NAME = "checkpoint.pt"
"""What a training needs to go on; see `mammofill.ground.training.checkpoint`."""


@dataclass(frozen=True)
class InputRecord:
    """One thing that an artifact was made from."""

    role: str
    """What it was to the stage, for example ``patches`` or ``weights``."""
    kind: str
    """Kind of artifact, or ``file`` or ``folder``."""
    path: str
    """Where it was, relative to the artifact's folder where that is possible; or its URL."""
    fingerprint: str

    def place(self, folder: Path) -> str:
        """Return where it was, seen from the artifact's folder: a path without ``..``, or its URL."""
        return as_url(self.path) or os.path.normpath(folder / self.path)


@dataclass(frozen=True)
class LearnedFrom:
    """Patients whose pixels or labels shaped something, and where that happened."""

    through: str
    """The way in, for example ``train-infiller`` or ``train-classifier (mask donor of a synthetic patch)``."""
    patients: tuple[str, ...]


CHOSEN = "(validation:"
"""In the way in of patients who chose weights, a threshold or fills, and from whom nothing was learned."""


def taught_by(records: Iterable[LearnedFrom]) -> set[str]:
    """Return the patients from whom something was learned; not those who chose among weights, thresholds or fills."""
    return {patient for record in records if CHOSEN not in record.through for patient in record.patients}


@dataclass(frozen=True)
class Manifest:
    """What ``artifact.json`` says."""

    kind: str
    stage: str
    format_version: int
    package_version: str
    settings: dict[str, Any]
    execution: dict[str, Any]
    """What says how the work was done, not what comes out: the number of workers; which GPU; and whether the same
    command gives the same bits there (``same_bits_again``)."""
    seed: int
    device: str | None
    """Kind of device on which networks ran; which one of several it was, `execution` says."""
    inputs: tuple[InputRecord, ...]
    fingerprint: str
    """SHA-256 over the payload's files: the same content has the same fingerprint, whenever and wherever made."""
    files: dict[str, int]
    """Size in bytes of each payload file, by its path inside the folder."""
    counts: dict[str, int]
    patients_learned_from: tuple[LearnedFrom, ...]
    wall_seconds: float
    hashes: dict[str, str] = dataclass_field(default_factory=dict)
    """SHA-256 of each payload file, by its path; empty in folders that an older mammofill made."""

    def learned_patients(self) -> dict[str, list[str]]:
        """Return the ways in for each patient that shaped any weights upstream: patient -> ways."""
        ways: dict[str, list[str]] = {}
        for record in self.patients_learned_from:
            for patient in record.patients:
                ways.setdefault(patient, []).append(record.through)
        return ways


class Artifact:
    """A finished folder of one kind. Each room derives its own class and adds what the folder holds."""

    kind: ClassVar[str]

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open a finished artifact of this kind.

        Args:
            folder: the artifact's folder.

        Raises:
            ArtifactError: the folder is missing, or not finished (its message says which).
            WrongKindError: it holds another kind of artifact.
            NewerFormatError: a newer mammofill wrote it.
            DamagedError: a payload file is missing or has another size than when it was finished.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if manifest.kind != cls.kind:
            raise WrongKindError(
                f"{folder} holds a {manifest.kind!r} artifact (made by {manifest.stage}), "
                f"but a {cls.kind!r} artifact is needed here."
            )
        _check_files(folder, manifest)
        return cls(folder, manifest)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the payload."""
        return self.manifest.fingerprint

    def headline(self) -> str:
        """Say in one line what it holds or found; each kind may say more than its counts."""
        return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self.manifest.counts.items() if count)

    def strip(self) -> list[NDArray[Any]]:
        """Return a few pictures, each (H, W) uint16, uint8 or bool, that show what it holds; none by default."""
        return []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.folder}: {self.headline()}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: folder, headline, and a strip of pictures."""
        from mammofill.ground.imaging import encode_png  # here and not above: most stages need no pictures

        pictures = "".join(
            f'<img alt="" style="height:96px;margin-right:4px" src="data:image/png;base64,'
            f'{base64.b64encode(encode_png(one)).decode()}">'
            for one in self.strip()
        )
        words = f"<b>{html.escape(type(self).__name__)}</b> {html.escape(str(self.folder))}"
        return f"<div>{words}<br>{html.escape(self.headline())}<br>{pictures}</div>"


_MOST_NAMED = 6
"""Artifacts below a folder that a message names."""


def _what_lies_at(place: Path) -> str:
    """Say what lies where an artifact was looked for, and which artifact lies around it, or in it."""
    if not place.exists():
        return f"found nothing there.{meant_path(place)}"
    found = (
        "found a folder without artifact.json there." if place.is_dir() else "it is a file, and artifacts are folders."
    )
    around = next((one for one in place.parents if (one / MANIFEST_NAME).is_file()), None)
    if around is not None:
        return f"{found} It lies in the artifact {around}: give that."
    inside = sorted(str(one.parent) for one in place.glob(f"*/{MANIFEST_NAME}"))[:_MOST_NAMED] if place.is_dir() else []
    return f"{found} In it lie {', '.join(inside)}: give what is meant." if inside else found


def read_manifest(folder: Path) -> Manifest:
    """Read ``artifact.json`` of a finished folder, of whatever kind.

    Raises:
        ArtifactError: the folder is missing, unfinished, or its manifest cannot be read.
        NewerFormatError: a newer mammofill wrote it.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        refuse_url(folder, "Stages read folders on this machine")
        partial = _partial(folder)
        if partial.is_dir() or folder.name.endswith(PARTIAL):
            if writer := holder_of(folder if folder.name.endswith(PARTIAL) else partial):
                raise ArtifactError(f"{folder} is not finished: it is being written by {writer}. Wait for it.")
            raise ArtifactError(
                f"{folder} is not finished. Run the command that was making it again: it goes on where it stopped."
            )
        raise ArtifactError(f"{folder} is not an artifact: {_what_lies_at(folder)} Check the path.")
    return manifest_of(path.read_bytes(), folder.as_posix())


def manifest_of(text: bytes, folder: str) -> Manifest:
    """Read what ``artifact.json`` of a folder says, wherever that lies.

    Raises:
        DamagedError: it does not say what a manifest must say, or names a file outside the folder.
        NewerFormatError: a newer mammofill wrote it.
    """
    path = f"{folder}/{MANIFEST_NAME}"
    try:
        content = json.loads(text)
        version = int(content["format_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{path} cannot be read ({error!r}). Make the artifact again.") from error
    if version > FORMAT_VERSION:
        raise NewerFormatError(
            f"{folder} has format version {version}, written by mammofill {content.get('package_version')}; this is "
            f"mammofill {mammofill.__version__}, which reads up to version {FORMAT_VERSION}. Update mammofill."
        )
    try:
        for name in (*content["files"], *content.get("hashes", {})):
            inside(Path(folder), name)
        content["inputs"] = tuple(InputRecord(**record) for record in content["inputs"])
        content["patients_learned_from"] = tuple(
            LearnedFrom(record["through"], tuple(record["patients"])) for record in content["patients_learned_from"]
        )
        return Manifest(**content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(f"{path} lacks what a manifest must say ({error}). Make the artifact again.") from error


def open_any(folder: str | Path) -> Artifact:
    """Open a finished artifact of whatever kind; see `Artifact.open` for what is raised."""
    folder = Path(folder)
    manifest = read_manifest(folder)
    _check_files(folder, manifest)
    return Artifact(folder, manifest)


def verify(artifact: Artifact) -> None:
    """Check that the files of an artifact are those that were finished, before a stage reads them.

    Every file is read and its SHA-256 compared, once: that it was right is remembered in the user's cache (a mark per
    artifact, under ``$XDG_CACHE_HOME/mammofill``), together with size, times and number of each file, so that the next
    stage on this machine only looks at those. With ``MAMMOFILL_NO_VERIFY`` in the environment, as ``--no-verify`` sets
    it, nothing is checked.

    Raises:
        DamagedError: names the file that was changed.
    """
    if not verifies():
        return
    manifest = artifact.manifest
    names = sorted(manifest.hashes)
    if names and not _agrees_with_itself(manifest):
        raise DamagedError(
            f"{artifact.folder / MANIFEST_NAME} was changed after it was finished: the files, hashes and fingerprint "
            f"in it contradict each other. Make {artifact.folder} again."
        )
    mark = _mark_of(artifact.folder, manifest)
    if mark is not None and mark.is_file():
        return
    if not names and manifest.files:
        check_content(artifact)
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(fingerprint_file, (artifact.folder / name for name in names))
        for name, content in zip(names, found, strict=True):
            if content != manifest.hashes[name]:
                raise DamagedError(
                    f"{artifact.folder / name} was changed after it was finished: its SHA-256 was "
                    f"{manifest.hashes[name][:12]}, and is {content[:12]}. Make {artifact.folder} again."
                )
    _leave(mark)


def _agrees_with_itself(manifest: Manifest) -> bool:
    in_order = sorted(manifest.hashes, key=lambda name: Path(name).parts)
    return manifest.hashes.keys() == manifest.files.keys() and manifest.fingerprint == fingerprint_from(
        {name: manifest.hashes[name] for name in in_order}
    )


def verifies() -> bool:
    """Say whether stages check what they read."""
    return not os.environ.get(NO_VERIFY)


def _mark_of(folder: Path, manifest: Manifest) -> Path | None:
    """Return the file whose being there says that the payload, as it lies there now, was right."""
    facts = []
    for name in sorted(manifest.files):
        try:
            about = (folder / name).stat()
        except OSError:
            return None
        facts.append([name, about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino, about.st_dev])
    told = json.dumps([manifest.fingerprint, sorted(manifest.hashes.items()), facts])
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "mammofill", "verified", hashlib.sha256(told.encode()).hexdigest())


def _leave(mark: Path | None) -> None:
    if mark is not None:
        with suppress(OSError):  # no home, or no room there: then the next stage reads the files once more
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()


def check_content(artifact: Artifact) -> None:
    """Read all payload files again and compare with the fingerprint.

    Raises:
        DamagedError: the content is not what was finished.
    """
    found, _, _ = _fingerprint_folder(artifact.folder)
    if found != artifact.fingerprint:
        raise DamagedError(
            f"{artifact.folder} was changed after it was finished: its fingerprint was {artifact.fingerprint[:12]}, "
            f"its content now gives {found[:12]}. Make it again."
        )


def upstream(artifact: Artifact, roles: Collection[str] | None = None) -> dict[str, list[Artifact]]:
    """Find the artifacts that this one was made from, near and far, by kind; with roles, by way of these alone.

    Follows the relative paths in the manifests. What is no longer at its place (or is there with another fingerprint)
    is left out: a report then says that it could not be found.
    """
    found: dict[str, list[Artifact]] = {}
    seen: set[str] = set()

    def visit(folder: Path, manifest: Manifest) -> None:
        for record in manifest.inputs:
            if roles is not None and record.role not in roles:
                continue
            place = Path(os.path.normpath(folder / record.path))
            if record.fingerprint in seen or not (place / MANIFEST_NAME).is_file():
                continue
            ancestor = read_manifest(place)
            if ancestor.fingerprint == record.fingerprint:
                seen.add(record.fingerprint)
                found.setdefault(ancestor.kind, []).append(Artifact(place, ancestor))
                visit(place, ancestor)

    visit(artifact.folder, artifact.manifest)
    return found


class Work:
    """An artifact in the making; comes from `begin`."""

    def __init__(self, out: Path, folder: Path, plan: dict[str, Any], learned: list[LearnedFrom]) -> None:
        self.out = out
        self.folder = folder
        """Where the stage writes: ``<out>.partial``. What is already there was written by an earlier, stopped run."""
        self._plan = plan
        self._learned = learned
        self._began = time.monotonic()

    @property
    def scratch(self) -> Path:
        """A folder for what the stage itself needs to go on after a stop.

        Like the checkpoint of a training, it is removed when the manifest is in place, and not earlier: whoever is
        killed in between has nothing to do again.
        """
        folder = self.folder / SCRATCH_NAME
        folder.mkdir(exist_ok=True)
        return folder

    def finish(
        self,
        counts: Mapping[str, int],
        learned_from: Iterable[LearnedFrom] = (),
        known: Mapping[str, str] | None = None,
    ) -> None:
        """Write the manifest and move the folder to its final name.

        Args:
            counts: numbers of rows, for people and checks.
            learned_from: patients whose pixels or labels shaped weights in this very stage. Those of the inputs are
                added by themselves.
            known: SHA-256 of files by relative path, where whoever wrote them took it meanwhile: these are not read
                again.
        """
        for leftover in self.folder.rglob("*.tmp"):
            leftover.unlink()
        fingerprint, files, hashes = _fingerprint_folder(self.folder, known or {})
        with ThreadPoolExecutor(8) as threads:  # disks take many such wishes at once
            list(threads.map(_flush, (self.folder / name for name in files)))
        manifest = {
            **self._plan,
            "package_version": mammofill.__version__,
            "fingerprint": fingerprint,
            "files": files,
            "hashes": hashes,
            "counts": {name: int(count) for name, count in counts.items()},
            "patients_learned_from": [
                {"through": record.through, "patients": sorted(record.patients)}
                for record in _merged([*self._learned, *learned_from])
            ],
            "wall_seconds": round(time.monotonic() - self._began, 3),
        }
        write_atomically(self.folder / MANIFEST_NAME, _as_json(manifest))
        move_into_place(self.folder, self.out)
        if set(hashes).isdisjoint(known or {}):  # else what is on the disk has not been read yet
            _leave(_mark_of(self.out, read_manifest(self.out)))


@contextmanager
def begin(
    out: str | Path,
    *,
    kind: str,
    stage: str,
    settings: object,
    seed: int,
    inputs: Mapping[str, Artifact | Path | InputRecord | Sequence[Artifact]],
    device: str | None = None,
) -> Iterator[Work | None]:
    """Begin an artifact, or continue one that was stopped.

    Args:
        out: folder of the finished artifact. Its parents are made.
        kind: kind of the artifact.
        stage: name of the stage, as the command line calls it.
        settings: the stage's settings, a dataclass. All fields are recorded.
        seed: the stage's seed.
        inputs: what it is made from, by role: artifacts, or paths of plain files (known by their SHA-256) and folders
            (known by their path alone); or the record itself, of what is on no disk.
        device: where networks run, for stages that train.

    Yields:
        The work to be done; or None if a finished artifact with the very same plan is already there.

    Raises:
        PlanChangedError: the folder was begun or finished with other settings, seed, inputs or device.
        BusyError: another process is working on it.
        ArtifactError: something that is not ours stands at `out`.
        DamagedError: an input was changed after it was finished.
    """
    out = Path(out)
    refuse_url(out, "Artifacts are made on a file system", pushed=True)
    for given in inputs.values():
        for one in given if isinstance(given, Sequence) else [given]:
            if isinstance(one, Artifact):
                verify(one)
    # Paths between artifacts stay right when their common parent folder is moved, so they are kept relative.
    plan = {
        "kind": kind,
        "stage": stage,
        "format_version": FORMAT_VERSION,
        "settings": settings_of_plan(settings),
        "execution": _execution(settings) | _ways(device),
        "seed": int(seed),
        "device": _kind_of(device),
        "inputs": [vars(record) for record in _input_records(out, inputs)],
    }
    if _is_finished(out, plan):
        yield None
        return
    with held(out) as partial:
        if _is_finished(out, plan):  # by another process, since we looked
            discard(partial)
            yield None
            return
        if (partial / MANIFEST_NAME).is_file():
            # Killed between the last write and the rename: nothing is left to do but the rename.
            _check_same_plan(partial, vars(read_manifest(partial)), plan)
            move_into_place(partial, out)
            yield None
            return
        note_plan(partial, plan)
        yield Work(out, partial, plan, _learned_upstream(inputs))


@contextmanager
def held(out: Path) -> Iterator[Path]:
    """Hold the folder in which an artifact is made or arrives, so that no other process does the same.

    Yields:
        ``<out>.partial``, with what an earlier, stopped run left there.

    Raises:
        BusyError: another process holds it.
        ArtifactError: something that is not ours stands at `out`.
    """
    if out.exists() and not (out / MANIFEST_NAME).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise ArtifactError(f"{out} exists and is not a mammofill artifact. Choose another --out, or move it away.")
    partial = _partial(out)
    partial.mkdir(parents=True, exist_ok=True)
    lock = FileLock(partial / _LOCK_NAME)
    try:
        lock.acquire(timeout=_LOOK_SECONDS)
    except Timeout:
        who = _named_in(lock)
        told = f": {who}" if who else ""
        raise BusyError(f"{partial} is being written by another process. Wait for it, or stop it{told}.") from None
    if type(lock) is FileLock:  # it turns into another kind on disks without locks, which writes the same by itself
        with suppress(OSError):  # of a full disk: then nobody can be named
            (partial / _LOCK_NAME).write_text(f"{os.getpid()}\n{socket.gethostname()}\n", encoding="utf-8")
    try:
        yield partial
    finally:
        lock.release()


def holder_of(partial: Path) -> str | None:
    """Say who writes in a folder at this moment, as in ``process 123``; None where nobody does."""
    if not (partial / _LOCK_NAME).is_file():
        return None
    lock = FileLock(partial / _LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return _named_in(lock) or "another process"
    except OSError:  # another user's, who alone may tell
        return None
    lock.release()
    return None


def _named_in(lock: BaseFileLock) -> str:
    """Return the process that wrote its number into a lock, and its machine where that is another; "" if none did."""
    try:
        number, machine = Path(lock.lock_file).read_text(encoding="utf-8").split("\n")[:2]
    except (OSError, ValueError):
        return ""
    if not number.isdecimal():
        return ""
    return f"process {number}" + ("" if machine in ("", socket.gethostname()) else f" on {machine}")


def note_plan(partial: Path, plan: Mapping[str, Any]) -> None:
    """Keep in a folder what it is to become, or see that this is what was kept there.

    Raises:
        PlanChangedError: it was begun with another plan; names each difference.
    """
    if (partial / PLAN_NAME).is_file():
        _check_same_plan(partial, read_plan(partial), plan)
    else:
        write_atomically(partial / PLAN_NAME, _as_json(plan))


def discard(partial: Path) -> None:
    """Remove a folder that is held and in which nothing was made, since another process finished the artifact."""
    (partial / _LOCK_NAME).unlink()
    partial.rmdir()


def write_atomically(path: Path, content: bytes | str | memoryview, durable: bool = True) -> None:
    """Write a file beside its place and move it there, so that a reader never sees half of it.

    Args:
        path: the file; its folder must exist.
        content: all of it.
        durable: wait until it is on the disk, so that it survives a power cut too. Without, it survives whatever
            happens to the process; an artifact's files are all brought to the disk before it is finished.
    """
    # A name of its own for each process, in case that one which should be dead is still writing the same file.
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with beside.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    beside.replace(path)


def _flush(path: Path) -> None:
    """Bring a file that was written without waiting to the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def execution(default: Any) -> Any:
    """Declare a settings field that changes how the work is done but not what comes out.

    It is recorded, but a stopped stage may go on with another value.
    """
    return dataclass_field(default=default, metadata={"execution": True})


def plain(value: object) -> Any:
    """Turn settings into what JSON can hold, walking over all fields so that none can be forgotten."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def fingerprint_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fingerprint_folder(
    folder: Path, known: Mapping[str, str] | None = None
) -> tuple[str, dict[str, int], dict[str, str]]:
    """Return the fingerprint of a folder's payload, and the size and the SHA-256 of each file by relative path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and is_payload(path.relative_to(folder)))
    return fingerprint_of(folder, [path.relative_to(folder).as_posix() for path in paths], known)


def fingerprint_of(
    folder: Path, names: Sequence[str], known: Mapping[str, str] | None = None
) -> tuple[str, dict[str, int], dict[str, str]]:
    """Return the fingerprint that some files of a folder make, and the size and the SHA-256 of each.

    Args:
        folder: where they are.
        names: their paths in it, in the order of their parts.
        known: SHA-256 of files whose content need not be read.
    """
    known = known or {}
    paths = [folder / name for name in names]
    hashes = {name: known.get(name) or fingerprint_file(path) for name, path in zip(names, paths, strict=True)}
    sizes = {name: path.stat().st_size for name, path in zip(names, paths, strict=True)}
    return fingerprint_from(hashes), sizes, hashes


def fingerprint_from(hashes: Mapping[str, str]) -> str:
    """Return the fingerprint that files make, by the SHA-256 of each, in the order of the parts of their paths."""
    return hashlib.sha256("\n".join(f"{name} {content}" for name, content in hashes.items()).encode()).hexdigest()


def is_payload(path: Path) -> bool:
    """Say whether a file, by its path within the folder, is what was made, and not what it was made with."""
    not_payload = {MANIFEST_NAME, CHECKPOINT_NAME, PLAN_NAME, _LOCK_NAME}
    return path.parts[0] != SCRATCH_NAME and path.name not in not_payload


def _ways(device: str | None) -> dict[str, Any]:
    """Return what a manifest says of how the work was done besides settings."""
    said: dict[str, Any] = {} if verifies() else {"no_verify": True}
    if device is not None:
        # On a GPU some operators add up in no fixed order: see `mammofill.ground.training.device`.
        said |= {"device": device, "same_bits_again": _kind_of(device) == "cpu"}
    return said


def _kind_of(device: str | None) -> str | None:
    """Return the kind of a device: which of several it is decides nothing."""
    return device.partition(":")[0] if device is not None else None


def _execution(settings: object) -> dict[str, Any]:
    """Return the values of all execution fields; those of settings within settings under dotted names."""
    found: dict[str, Any] = {}
    for field in fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        if field.metadata.get("execution"):
            found[field.name] = plain(value)
        elif is_dataclass(value):
            found |= {f"{field.name}.{name}": inner for name, inner in _execution(value).items()}
    return found


def settings_of_plan(settings: object) -> dict[str, Any]:
    """Return what of the settings is part of the plan, as a manifest records it: all but the execution fields."""
    kept: dict[str, Any] = {}
    for field in fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        if not field.metadata.get("execution"):
            kept[field.name] = settings_of_plan(value) if is_dataclass(value) else plain(value)
    return kept


def _partial(out: Path) -> Path:
    out = out if out.name else out.absolute()  # the folder one is in has a name, too
    if not out.name:
        raise ArtifactError(f"{out} is the root of this machine's files, and no place for an artifact.")
    return out.with_name(out.name + PARTIAL)


def _is_finished(out: Path, plan: Mapping[str, Any]) -> bool:
    """Say whether an artifact is there; see `begin` for what is raised if it was made by another plan."""
    if not (out / MANIFEST_NAME).is_file():
        return False
    manifest = read_manifest(out)
    _check_same_plan(out, vars(manifest), plan, finished=True)
    _check_files(out, manifest)
    forget_lock(out)
    return True


def forget_lock(out: Path) -> None:
    """Remove the lock that whoever was killed just after the rename left in a finished folder."""
    with suppress(OSError):
        (out / _LOCK_NAME).unlink()


def move_into_place(partial: Path, out: Path) -> None:
    """Remove what only the way to the artifact needed, now that its manifest is there, and give it its name."""
    shutil.rmtree(partial / SCRATCH_NAME, ignore_errors=True)
    for name in (CHECKPOINT_NAME, PLAN_NAME):
        (partial / name).unlink(missing_ok=True)
    if out.is_dir():  # the empty folder that a user may have made there
        out.rmdir()
    partial.rename(out)
    # The last of all: as long as the folder has its old name, another process finds the lock that we hold.
    (out / _LOCK_NAME).unlink(missing_ok=True)


def _input_records(
    out: Path, inputs: Mapping[str, Artifact | Path | InputRecord | Sequence[Artifact]]
) -> list[InputRecord]:
    records: list[InputRecord] = []
    for role, given in inputs.items():
        several = given if isinstance(given, Sequence) else [given]
        for one in several:
            if isinstance(one, InputRecord):
                records.append(one)
                continue
            if isinstance(one, Artifact):
                path, kind, fingerprint = one.folder, one.manifest.kind, one.fingerprint
            elif one.is_dir():
                path, kind, fingerprint = one, "folder", ""
            elif one.is_file():
                path, kind, fingerprint = one, "file", fingerprint_file(one)
            else:
                raise MammofillError(f"{one} ({role}) {why_no_file(one)}. Check the path.")
            records.append(InputRecord(role, kind, Path(os.path.relpath(path, out)).as_posix(), fingerprint))
    return records


def _learned_upstream(
    inputs: Mapping[str, Artifact | Path | InputRecord | Sequence[Artifact]],
) -> list[LearnedFrom]:
    given = [one for item in inputs.values() for one in (item if isinstance(item, Sequence) else [item])]
    return [record for one in given if isinstance(one, Artifact) for record in one.manifest.patients_learned_from]


def _merged(records: Iterable[LearnedFrom]) -> list[LearnedFrom]:
    by_way: dict[str, set[str]] = {}
    for record in records:
        by_way.setdefault(record.through, set()).update(record.patients)
    return [LearnedFrom(through, tuple(sorted(patients))) for through, patients in sorted(by_way.items())]


def _check_same_plan(place: Path, old: Mapping[str, Any], new: Mapping[str, Any], finished: bool = False) -> None:
    if old.get("stage") != new.get("stage"):
        raise PlanChangedError(
            f"{place} is of {old.get('stage')}, and cannot be that of {new.get('stage')} as well. Take another --out, "
            "or delete the folder."
        )
    differences = list(_differences(_comparable(old), _comparable(new)))
    if differences:
        state = "was finished" if finished else "was begun"
        raise PlanChangedError(
            f"{place} {state} with another plan:\n"
            + "\n".join(f"  {name}: was {before!r}, now {after!r}" for name, before, after in differences)
            + "\nUse the old values to go on, another --out to start anew, or delete the folder."
        )


def read_plan(partial: Path) -> dict[str, Any]:
    """Read what an artifact is to become that was begun.

    Args:
        partial: its folder, ``<name>.partial``.

    Raises:
        DamagedError: it does not say.
    """
    try:
        return dict(json.loads((partial / PLAN_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DamagedError(
            f"{partial / PLAN_NAME} cannot be read ({error}), so nobody can say what {partial} was to become. "
            "Delete the folder and begin again."
        ) from error


def _comparable(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a plan or manifest what decides the result; an artifact that moved is still the same artifact."""
    inputs: dict[str, list[str]] = {}
    for record in plan.get("inputs", ()):
        record = record if isinstance(record, dict) else vars(record)
        inputs.setdefault(record["role"], []).append(record["fingerprint"] or record["path"])
    # What an older mammofill did not write down yet is a difference like any other.
    kept = {name: plan.get(name, _missing) for name in ("kind", "stage", "settings", "seed", "device")}
    return {**kept, "device": _kind_of(kept["device"]), "inputs": inputs}


_missing = "(not set)"


def differences(old: Manifest, new: Manifest) -> list[tuple[str, Any, Any]]:
    """Say in what two artifacts differ that decides the result: name, the one's value, the other's."""
    found = list(_differences(_comparable(vars(old)), _comparable(vars(new))))
    same = old.fingerprint == new.fingerprint
    return found if same else [*found, ("fingerprint", old.fingerprint[:12], new.fingerprint[:12])]


def _differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _differences(
                old.get(key, _missing), new.get(key, _missing), f"{name}.{key}" if name else str(key)
            )
    elif old != new:
        yield name, old, new


def _check_files(folder: Path, manifest: Manifest) -> None:
    for name, size in manifest.files.items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            state = "is missing" if found is None else f"has {found} bytes"
            raise DamagedError(f"{path} {state}, but had {size} bytes when it was finished. Make {folder} again.")


def _as_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
