"""Participant flow: patients, images and lesions at every stage, and what was left out, by reason."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from mammofill.evaluation import Evaluation
from mammofill.ground.artifact import Artifact, taught_by
from mammofill.ground.counting import counted
from mammofill.ground.parquet import read_parquet
from mammofill.patches import PatchSet
from mammofill.report.lineage import Lineage
from mammofill.report.sheet import Sheet

_SPLITS = ("train", "validation", "test")
_WINDOWS = "real, windows for infillers"
_COLUMNS = ("stage", "patients", "images", "lesions", "patches", "left out, by reason")


def flow_sheets(lineage: Lineage, arms: Mapping[str, Sequence[Evaluation]]) -> Iterator[Sheet]:
    """Yield the flow, a row for each stage, then patients and lesions of each split, then patches.

    Args:
        lineage: what the evaluations came from.
        arms: name -> replicates on one test set.
    """
    rows = [*_upstream_rows(lineage), *_classifier_rows(arms), _test_row(arms, lineage)]
    yield Sheet("From the collection to the test set", _COLUMNS, tuple(rows), words=_COLUMNS[-1:])
    for one in lineage.of_kind("mammograms"):
        yield _splits_sheet(one)
    if lineage.patch_sets:
        table = count_patches(lineage.patch_sets, _windows(lineage))
        rows = [tuple(cell(value) for value in row) for row in table.itertuples(index=False, name=None)]
        yield Sheet("Patches, by origin and split", tuple(table.columns), tuple(rows), words=("split",))


def _upstream_rows(lineage: Lineage) -> Iterator[tuple[str, ...]]:
    for one in lineage.of_kind("mammograms"):
        mammograms, lesions = (_read(one, name) for name in ("mammograms", "lesions"))
        counts = (_unique(mammograms, "patient_id"), cell(len(mammograms)), cell(len(lesions)), "")
        yield f"read: {one.folder.name}", *counts, _excluded(_read(one, "exclusions"))
    for patches in lineage.patch_sets:
        yield _patches_row(patches, lineage)
    for one in lineage.of_kind("pairs"):
        pairs = _read(one, "pairs")
        counts = (_unique(pairs, "context_patient_id"), "", "", counted(one.manifest.counts.get("pairs", 0), "pairs"))
        yield f"paired: {one.folder.name}", *counts, _by_reason(_read(one, "unpaired"))
    for one in lineage.of_kind("infiller"):
        counts = (
            cell(len(taught_by(one.manifest.patients_learned_from))),
            "",
            "",
            cell(one.manifest.counts.get("lesion_patches", 0)),
        )
        yield f"infiller trained: {one.folder.name}", *counts, ""


def _patches_row(patches: PatchSet, lineage: Lineage) -> tuple[str, ...]:
    table, dropped = patches.table, _by_reason(patches.dropped)
    patients, images, count = _unique(table, "patient_id"), _unique(table, "mammogram_id"), cell(len(table))
    if (table["origin"] == "synthetic").any():
        return f"painted: {patches.folder.name}", patients, "", "", counted(len(table), "fills"), dropped
    lost = len(_lesions_read(patches, lineage) - _lesions(table))
    windows = f"windows: {dropped}" if dropped != "nothing" else dropped
    left_out = f"lesions in no patch: {cell(lost)}; {windows}" if lost else windows
    return f"cut: {patches.folder.name}", patients, images, cell(len(_lesions(table))), count, left_out


def _lesions_read(patches: PatchSet, lineage: Lineage) -> set[tuple[str, str]]:
    """Return the lesions of the mammograms that patches were cut from, each with its patient."""
    behind = {record.fingerprint for record in patches.manifest.inputs}
    sets = [_read(one, "lesions") for one in lineage.of_kind("mammograms") if one.fingerprint in behind]
    return {
        (str(patient), str(lesion))
        for lesions in sets
        if "lesion_id" in lesions
        for patient, lesion in zip(lesions["patient_id"], lesions["lesion_id"], strict=True)
    }


def _classifier_rows(arms: Mapping[str, Sequence[Evaluation]]) -> Iterator[tuple[str, ...]]:
    for arm, several in arms.items():
        facts = several[0].facts
        real, generated = facts.get("real_patches"), facts.get("synthetic_patches")
        patches = "" if real is None else cell(real) + (f" + {counted(generated, 'fills')}" if generated else "")
        yield f"classifier trained: {arm}", _learned_from(several[0]), "", "", patches, ""


def _learned_from(evaluation: Evaluation) -> str:
    """Return of how many patients classifier and infiller learned; of several folds the fewest and the most."""
    by_fold = [fold.learned_from for fold in evaluation.folds] or [evaluation.manifest.patients_learned_from]
    counts = {len(taught_by(records)) for records in by_fold} - {0}
    return " to ".join(cell(count) for count in sorted({min(counts), max(counts)})) if counts else ""


def _test_row(arms: Mapping[str, Sequence[Evaluation]], lineage: Lineage) -> tuple[str, ...]:
    scores = next(iter(arms.values()))[0].scores
    known = [one.table[["patch_id", "mammogram_id"]] for one in lineage.patch_sets if len(one.table)]
    images = 0
    if known:
        of_patch = pd.concat(known).drop_duplicates("patch_id").set_index("patch_id")["mammogram_id"]
        images = of_patch.reindex(scores["patch_id"]).nunique()
    lesions = _lesions(scores)
    counts = (
        _unique(scores, "patient_id"),
        cell(images) if images else "",
        cell(len(lesions)) if lesions else "",
        cell(len(scores)),
    )
    return "tested", *counts, ""


def _splits_sheet(mammograms: Artifact) -> Sheet:
    images, lesions = (_read(mammograms, name) for name in ("mammograms", "lesions"))
    columns = ("split", "patients", "images", "benign lesions", "malignant lesions")
    rows = []
    if "split" in images:
        lesions = lesions.merge(images[["mammogram_id", "split"]], on="mammogram_id", how="left")
        for split in _SPLITS:
            of_split, held = images[images["split"] == split], lesions[lesions["split"] == split]
            classes = [cell((held["pathology"] == kind).sum()) for kind in ("benign", "malignant")]
            rows.append((split, _unique(of_split, "patient_id"), cell(len(of_split)), *classes))
    return Sheet(f"Patients, images and lesions, by split ({mammograms.folder.name})", columns, tuple(rows))


def _excluded(exclusions: pd.DataFrame) -> str:
    """Count what ingest left out: files, rows and lesions by rule, and of how many patients."""
    if exclusions.empty:
        return "nothing"
    counts = []
    for rule, rows in exclusions.groupby("rule", sort=True):
        patients = rows["patient_id"].nunique()
        counts.append(f"{_reason(rule)} {cell(len(rows))} (of {counted(patients, 'patients')})")
    return "; ".join(counts)


def _by_reason(dropped: pd.DataFrame) -> str:
    """Count windows, fills or pairs that were left out."""
    if dropped.empty:
        return "nothing"
    counts = dropped.groupby("reason", sort=True)["count"].sum()
    return "; ".join(f"{_reason(reason)} {cell(count)}" for reason, count in counts.items())


def _reason(rule: object) -> str:
    return str(rule).replace("-", " ")


def _lesions(table: pd.DataFrame) -> set[tuple[str, str]]:
    """Return the lesions that patches hold, each with its patient."""
    named = table[table["lesion_ids"].fillna("") != ""]
    return {
        (str(patient), lesion)
        for patient, held in zip(named["patient_id"], named["lesion_ids"], strict=True)
        for lesion in str(held).split(" ")
    }


def _unique(table: pd.DataFrame, column: str) -> str:
    return cell(table[column].nunique()) if column in table else ""


def _read(artifact: Artifact, name: str) -> pd.DataFrame:
    """Read a table of an artifact; empty where it has none, as of one that another program made."""
    path = artifact.folder / f"{name}.parquet"
    return read_parquet(path) if path.is_file() else pd.DataFrame()


def _windows(lineage: Lineage) -> set[str]:
    """Return the fingerprints of the sets that infillers alone learn from, many windows around each lesion."""
    records = [record for one in lineage.artifacts for record in one.manifest.inputs]
    others = {record.fingerprint for record in records if record.role != "windows"}
    return {record.fingerprint for record in records if record.role == "windows"} - others


def count_patches(patches: Sequence[PatchSet], windows: Collection[str] = ()) -> pd.DataFrame:
    """Count patches and patients.

    Args:
        patches: the sets.
        windows: fingerprints of those that hold windows for infillers alone; they are counted by themselves.

    Returns:
        One row per origin and split: origin, split, normal, benign, malignant, patches, patients.
    """
    parts = [one.table[["patient_id", "split", "origin", "pathology"]].copy() for one in patches]
    for one, part in zip(patches, parts, strict=True):
        if one.fingerprint in windows:
            part["origin"] = _WINDOWS
    table = pd.concat(parts)
    rows = []
    for origin in ("real", _WINDOWS, "synthetic"):
        for split in _SPLITS:
            some = table[(table["origin"] == origin) & (table["split"] == split)]
            if len(some):
                counts = [int((some["pathology"] == kind).sum()) for kind in ("normal", "benign", "malignant")]
                rows.append((origin, split, *counts, len(some), int(some["patient_id"].nunique())))
    return pd.DataFrame(rows, columns=["origin", "split", "normal", "benign", "malignant", "patches", "patients"])


def cell(value: Any) -> str:
    """Return a count with its thousands apart, or words as they are."""
    if isinstance(value, str):
        return value
    return f"{int(value):,}".replace(",", " ")  # a thin space would be lost in copying
