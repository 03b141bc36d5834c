"""What evaluations and judgements came from: every artifact upstream that can be found, and the names of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import pandas as pd

from mammofill.evaluation import Evaluation
from mammofill.ground.artifact import Artifact, InputRecord, upstream, verify
from mammofill.judging import Judgement
from mammofill.mammograms import MammogramSet
from mammofill.patches import PatchSet

_ORDER = ("phantoms", "mammograms", "patches", "pairs", "infiller", "classifier", "evaluation", "judgement")


@dataclass(frozen=True)
class Lineage:
    """The artifacts behind some evaluations, each once, in the order of the corridor."""

    artifacts: tuple[Artifact, ...]
    missing: tuple[InputRecord, ...]
    """Inputs that are no longer where they were, or are there with another content."""

    def of_kind(self, kind: str) -> list[Artifact]:
        """Return the artifacts of one kind."""
        return [one for one in self.artifacts if one.manifest.kind == kind]

    @cached_property
    def patch_sets(self) -> list[PatchSet]:
        """All patch sets, the real ones first; a set that lies in two places is counted once."""
        places = {one.fingerprint: one.folder for one in self.of_kind("patches")}
        return [PatchSet.open(place) for place in places.values()]


def mammograms_tested_on(evaluations: Sequence[Evaluation]) -> list[MammogramSet]:
    """Return the sets that the test patches were cut from, each once, as far as they can be found.

    Sets that an infiller alone learned from are not among them: their patients may have the same names.
    """
    way = ("evaluations", "patches", "mammograms")
    places = {each.fingerprint: each.folder for one in evaluations for each in upstream(one, way).get("mammograms", [])}
    return [MammogramSet.open(place) for place in places.values()]


def find_lineage(evaluations: Sequence[Evaluation], judgements: Sequence[Judgement] = ()) -> Lineage:
    """Follow the manifests from evaluations and judgements back to the mammograms.

    Args:
        evaluations: where to begin; they are in the lineage themselves, in the order given.
        judgements: the same.

    Raises:
        DamagedError: what a report reads of one of them was changed after it was finished.
    """
    ends: list[Artifact] = [*evaluations, *judgements]
    # Known by their place, not their content: two arms may have come out alike, and are two arms still.
    found: dict[Path, Artifact] = {}
    for end in ends:
        for several in upstream(end).values():
            found.update((one.folder.resolve(), one) for one in several)
    for one in found.values():
        _verify_what_is_shown(one)
    # A synthetic patch set comes after the infiller that painted it, so what has most ancestors comes last.
    ancestry = {place: sum(map(len, upstream(one).values())) for place, one in found.items()}
    places = sorted(found, key=lambda place: (_ORDER.index(found[place].manifest.kind), ancestry[place]))
    artifacts = (*(found[place] for place in places), *ends)
    fingerprints = {one.fingerprint for one in artifacts}

    missing: dict[str, InputRecord] = {}
    for artifact in artifacts:
        for record in artifact.manifest.inputs:
            if record.kind not in ("file", "folder") and record.fingerprint not in fingerprints:
                missing[record.fingerprint] = record
    return Lineage(artifacts, tuple(missing.values()))


def _verify_what_is_shown(artifact: Artifact) -> None:
    """Verify what a report reads of an artifact: tables and patches, and the previews that are still there."""
    names = [Path(name) for name in artifact.manifest.files]
    read = [one for one in names if one.suffix == ".parquet" or one.name == "history.csv"]
    read += [one for one in names if one.parts[0] == "previews" and (artifact.folder / one).is_file()]
    verify(artifact, [one.as_posix() for one in read])


def read_history(artifact: Artifact) -> pd.DataFrame:
    """Read ``history.csv`` of an infiller or a classifier, ``images_seen`` among its columns; empty without one.

    An infiller that paints with another one's weights was not trained, and has no rows in it.
    """
    path = artifact.folder / "history.csv"
    return pd.read_csv(path) if path.is_file() and path.read_text().strip() else pd.DataFrame()


def flat_settings(settings: dict[str, Any], within: str = "") -> list[tuple[str, str]]:
    """Return all settings of a manifest, nested ones dotted: name, value in words."""
    rows: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, dict):
            rows += flat_settings(value, f"{within}{name}.")
        else:
            rows.append((within + name, _in_words(value)))
    return rows


def _in_words(value: Any) -> str:
    if value is None or value == "":
        return "not set"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    # A page that is passed on should not reveal where files lie on somebody's disk.
    return PurePath(value).name if isinstance(value, str) and PurePath(value).is_absolute() else str(value)
