"""A finished artifact whose files a test has changed, as if it had been finished so."""

from __future__ import annotations

import json
from pathlib import Path

from mammofill.ground.artifact import fingerprint_of, is_payload


def remake_manifest(folder: Path) -> None:
    """Write into ``artifact.json`` what lies in the folder now: sizes, hashes and fingerprint."""
    path = folder / "artifact.json"
    names = [one.relative_to(folder) for one in folder.rglob("*") if one.is_file()]
    kept = sorted((one for one in names if is_payload(one)), key=lambda one: one.parts)
    fingerprint, sizes, hashes = fingerprint_of(folder, [one.as_posix() for one in kept])
    content = json.loads(path.read_text()) | {"fingerprint": fingerprint, "files": sizes, "hashes": hashes}
    path.write_text(json.dumps(content))
