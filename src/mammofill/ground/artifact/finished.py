"""Finished artifacts, and those that they were made from."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self

from numpy.typing import NDArray

from mammofill.ground.artifact.layout import MANIFEST_NAME
from mammofill.ground.artifact.manifest import Manifest, check_files, read_manifest
from mammofill.ground.counting import counted
from mammofill.ground.errors import WrongKindError
from mammofill.ground.file_names import refuse_no_utf8


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
            ArtifactError: the folder is missing, not finished, or its name is no UTF-8 (its message says which).
            WrongKindError: it holds another kind of artifact.
            NewerFormatError: a newer mammofill wrote it.
            DamagedError: a payload file is missing or has another size than when it was finished.
        """
        folder = Path(folder)
        refuse_no_utf8(folder)
        manifest = read_manifest(folder)
        if manifest.kind != cls.kind:
            raise WrongKindError(
                f"{folder} holds {_a(manifest.kind)} artifact (made by {manifest.stage}), "
                f"but {_a(cls.kind)} artifact is needed here."
            )
        check_files(folder, manifest)
        return cls(folder, manifest)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the payload."""
        return self.manifest.fingerprint

    def headline(self) -> str:
        """Say in one line what it holds or found; each kind may say more than its counts."""
        return ", ".join(
            counted(count, name.replace("_", " ")) for name, count in self.manifest.counts.items() if count
        )

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


def _a(kind: str) -> str:
    return f"{'an' if kind.startswith(tuple('aeiou')) else 'a'} {kind!r}"


def open_any(folder: str | Path) -> Artifact:
    """Open a finished artifact of whatever kind; see `Artifact.open` for what is raised."""
    folder = Path(folder)
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    return Artifact(folder, manifest)


@lru_cache(maxsize=64)
def _manifest_at(folder: Path, stamp: tuple[int, ...]) -> Manifest:
    """Read a manifest once: that of thousands of mammograms takes a tenth of a second, and each step asks for it."""
    return read_manifest(folder)


def _stamp(path: Path) -> tuple[int, ...]:
    about = path.stat()
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino


def upstream(artifact: Artifact, roles: Collection[str] | None = None) -> dict[str, list[Artifact]]:
    """Find the artifacts that this one was made from, near and far, by kind; with roles, by way of these alone.

    Follows the relative paths in the manifests. What is no longer at its place (or is there with another fingerprint)
    is left out: a report then says that it could not be found. Nothing but the manifests is read: whoever reads more of
    what is found verifies that first, see `verify`.
    """
    found: dict[str, list[Artifact]] = {}
    seen: set[str] = set()

    def visit(folder: Path, manifest: Manifest) -> None:
        for record in manifest.inputs:
            if roles is not None and record.role not in roles:
                continue
            place = Path(os.path.normpath(folder / record.path))
            # os.path.isfile is False for names that no file can have, where Path.is_file raises.
            if record.fingerprint in seen or not os.path.isfile(place / MANIFEST_NAME):
                continue
            ancestor = _manifest_at(place, _stamp(place / MANIFEST_NAME))
            if ancestor.fingerprint == record.fingerprint:
                seen.add(record.fingerprint)
                found.setdefault(ancestor.kind, []).append(Artifact(place, ancestor))
                visit(place, ancestor)

    visit(artifact.folder, artifact.manifest)
    return found
