"""An artifact in the making: begun or continued, finished in one move."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mammofill
from mammofill.ground.artifact.fingerprint import fingerprint_file, fingerprint_folder
from mammofill.ground.artifact.finished import Artifact
from mammofill.ground.artifact.layout import (
    CHECKPOINT_NAME,
    LOCK_NAME,
    MANIFEST_NAME,
    PARTIAL,
    PLAN_NAME,
    SCRATCH_NAME,
    as_json,
    write_atomically,
)
from mammofill.ground.artifact.lock import forget_lock, held
from mammofill.ground.artifact.manifest import FORMAT_VERSION, InputRecord, LearnedFrom, check_files, read_manifest
from mammofill.ground.artifact.plan import (
    TAKEN_OVER,
    check_same_plan,
    execution_of,
    how_done,
    kind_of_device,
    note_plan,
    settings_of_plan,
)
from mammofill.ground.artifact.verification import leave_mark, mark_of, verify
from mammofill.ground.errors import ArtifactError, DamagedError, MammofillError
from mammofill.ground.file_names import refuse_no_utf8, refuse_url, why_no_file

_LONGEST_NAME = 255
"""Bytes of the longest name of a folder on today's file systems."""


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

        Like the checkpoint of a training, it is removed when the manifest is in place, and not earlier, so that a stage
        killed in between need not repeat anything.
        """
        folder = self.folder / SCRATCH_NAME
        folder.mkdir(exist_ok=True)
        return folder

    def clear(self) -> None:
        """Remove what was made where none of it is of use, so that a command with corrected settings starts anew."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in (LOCK_NAME, PLAN_NAME):
                path.unlink()

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
                added automatically.
            known: SHA-256 of files by relative path, where computed as they were written: these are not read again.
        """
        for leftover in self.folder.rglob("*.tmp"):
            leftover.unlink()
        fingerprint, files, hashes = fingerprint_folder(self.folder, known or {})
        with ThreadPoolExecutor(8) as threads:  # disks handle many such requests at once
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
        write_atomically(self.folder / MANIFEST_NAME, as_json(manifest))
        move_into_place(self.folder, self.out)
        if set(hashes).isdisjoint(known or {}):  # else what is on the disk has not been read yet
            leave_mark(mark_of(self.out, read_manifest(self.out), sorted(files)))


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
        The work to be done; or None if a finished artifact with the same plan is already there.

    Raises:
        PlanChangedError: the folder was begun or finished with other settings, seed, inputs or device.
        BusyError: another process is working on it.
        ArtifactError: something that is no artifact exists at `out`; or an input has a name that no manifest can hold.
        DamagedError: an input was changed after it was finished; or what work was begun cannot be known any more.
    """
    out = Path(out)
    refuse_url(out, "Artifacts are made on a file system", pushed=True)
    check_place(out)
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
        "execution": execution_of(settings) | how_done(device),
        "seed": int(seed),
        "device": kind_of_device(device),
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
            check_same_plan(partial, vars(read_manifest(partial)), plan)
            move_into_place(partial, out)
            yield None
            return
        check_plan_is_there(partial)
        note_plan(partial, plan)
        try:
            yield Work(out, partial, plan, _learned_upstream(inputs))
        except MammofillError:
            # Else the same command with the setting mended would be refused for the plan of the one before.
            if partial.is_dir() and _holds_nothing(partial):
                shutil.rmtree(partial, ignore_errors=True)
            raise


def check_place(out: Path) -> None:
    """Refuse a place at which no folder can be made, before anything is tried there.

    Raises:
        ArtifactError: it has no name of its own, or one that no folder can have; lies in a file or a dead link; or is
            a link or a mount at which no artifact is, and whose place none can take.
    """
    shown = ascii(str(out)) if len(str(out)) <= 300 else f"{str(out)[:150]!a}..."
    why = ""
    if out.name in ("", ".."):
        why = "is a folder that is there already. Name a new one in it"
    elif str(out).startswith("~"):
        why = "begins with ~, which is understood by shells alone. Write the folder out"
    elif any(one == "\0" or 0xD800 <= ord(one) < 0xE000 for one in str(out)):
        why = "holds a character that no name of a folder can hold. Choose another --out"
    elif len(out.name.encode()) + len(PARTIAL) > _LONGEST_NAME:
        why = f"has a longer name than file systems take ({_LONGEST_NAME} bytes, the ending {PARTIAL} with it)"
    elif os.path.islink(out) and not os.path.exists(out):
        why = "is a link that leads nowhere. Remove it, or choose another --out"
    elif (os.path.islink(out) or os.path.ismount(out)) and not os.path.isfile(out / MANIFEST_NAME):
        kind = "a link to another folder" if os.path.islink(out) else "where a disk or a volume is mounted"
        why = f"is {kind}, and a finished folder cannot be moved into its place. Name a new folder in it"
    elif file := next((one for one in out.parents if os.path.exists(one) and not one.is_dir()), None):
        why = f"would lie in {file}, which is no folder. Choose another --out"
    if why:
        raise ArtifactError(f"{shown} {why}.")


def _is_finished(out: Path, plan: Mapping[str, Any]) -> bool:
    """Say whether an artifact is there; see `begin` for what is raised if it was made by another plan."""
    if not (out / MANIFEST_NAME).is_file():
        return False
    manifest = read_manifest(out)
    check_same_plan(out, vars(manifest), plan, finished=True)
    check_files(out, manifest)
    forget_lock(out)
    return True


def _holds_nothing(partial: Path) -> bool:
    """Say whether nothing was made in a folder that was begun: no file but its plan and its lock."""
    return all(path.is_dir() or path.name in (LOCK_NAME, PLAN_NAME) for path in partial.rglob("*"))


def check_plan_is_there(partial: Path) -> None:
    """Refuse to continue work of which the settings are unknown.

    Raises:
        DamagedError: there is a checkpoint, or another part of it, and no plan.
    """
    begun = [name for name in (CHECKPOINT_NAME, SCRATCH_NAME) if (partial / name).exists()]
    if begun and not (partial / PLAN_NAME).exists():
        raise DamagedError(
            f"{partial} holds {begun[0]} of work that was begun, but no {PLAN_NAME}, so its settings "
            "are unknown. Delete the folder and begin again."
        )


def discard(partial: Path) -> None:
    """Remove a folder that is held and in which nothing was made, since another process finished the artifact."""
    (partial / LOCK_NAME).unlink()
    partial.rmdir()


def move_into_place(partial: Path, out: Path) -> None:
    """Remove what was needed only until the manifest was there, and give the folder its final name."""
    shutil.rmtree(partial / SCRATCH_NAME, ignore_errors=True)
    for name in (CHECKPOINT_NAME, PLAN_NAME):
        (partial / name).unlink(missing_ok=True)
    if out.is_dir():  # the empty folder that a user may have made there
        out.rmdir()
    partial.rename(out)
    # The last of all: as long as the folder has its old name, another process finds the lock that we hold.
    (out / LOCK_NAME).unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Bring a file that was written without waiting to the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


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
            seen = Path(os.path.relpath(path, out)).as_posix()
            refuse_no_utf8(seen)
            records.append(InputRecord(role, kind, seen, fingerprint))
    return records


def _learned_upstream(
    inputs: Mapping[str, Artifact | Path | InputRecord | Sequence[Artifact]],
) -> list[LearnedFrom]:
    """Return from whom the inputs have learned; those that only spare work have learned from nobody else."""
    deciding = [item for role, item in inputs.items() if role != TAKEN_OVER]
    given = [one for item in deciding for one in (item if isinstance(item, Sequence) else [item])]
    return [record for one in given if isinstance(one, Artifact) for record in one.manifest.patients_learned_from]


def _merged(records: Iterable[LearnedFrom]) -> list[LearnedFrom]:
    by_way: dict[str, set[str]] = {}
    for record in records:
        by_way.setdefault(record.through, set()).update(record.patients)
    return [LearnedFrom(through, tuple(sorted(patients))) for through, patients in sorted(by_way.items())]
