"""The stage `ingest`: converts a collection's files and tables to one consistent set of mammograms."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from mammofill.ground.artifact import Work, begin
from mammofill.ground.counting import counted
from mammofill.ground.engines import work_through
from mammofill.ground.errors import TooFewError
from mammofill.ground.file_names import refuse_source_url
from mammofill.ground.processes import Limits
from mammofill.ground.progress import Progress, quiet
from mammofill.mammograms.device_tells_class import RULE as CLASS_TOLD
from mammofill.mammograms.device_tells_class import class_told, file_facts
from mammofill.mammograms.mammogram_set import (
    DECISION_COLUMNS,
    EXCLUSION_COLUMNS,
    LESION_COLUMNS,
    MAMMOGRAM_COLUMNS,
    MammogramSet,
)
from mammofill.mammograms.mask_fits import find_misfits
from mammofill.mammograms.mixed_values import find_mixtures
from mammofill.mammograms.names_in_headers import one_person_in_headers, patients_contradicted
from mammofill.mammograms.prepare import FOLDERS, Prepared, is_whole, prepare, rows_path
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.annotations import Collection, Decision, Exclusion, MammogramEntry
from mammofill.mammograms.sources.collections import collection_reader
from mammofill.mammograms.sources.names_in_paths import PERSONS, SLIPPED
from mammofill.mammograms.sources.patients import check_patients
from mammofill.mammograms.sources.shared_masks import masks_from_files, same_masks
from mammofill.mammograms.split import split_patients
from mammofill.mammograms.whereabouts import Whereabouts, whereabouts


def ingest(
    source: str | Path,
    out: str | Path,
    settings: IngestSettings = IngestSettings(),
    *,
    seed: int = 0,
    progress: Progress = quiet,
    attributes: str | Path | None = None,
) -> MammogramSet:
    """Read a collection, decide the split by patient, and resample mammograms and masks to the working resolution.

    A damaged file does not stop the others: it becomes a row of `exclusions` with the rule and what was found. Faults
    of the collection as a whole (no tables, a patient in two splits) raise an error before any pixel is read.

    Args:
        source: folder (or table) of the collection; or the URL of either in an object store (s3://, gs://), which is
            fetched in parts of a size given by the settings.
        out: folder of the new set.
        settings: which collection, lesions, split and resolution.
        seed: decides the split, where the collection does not.
        progress: notified after each mammogram.
        attributes: a CSV table of other facts about the lesions (shape, margins, ...), by the names of their pictures.

    Returns:
        The set of mammograms.

    Raises:
        SourceError: the source or its tables are missing; or it is a URL that is not understood.
        StoreError: the store is not available, or refuses access; or a file was changed there meanwhile. The same call
            continues the work.
        LeakError: the official split has a patient in two splits, or it is uncertain whether identifiers belong to one
            person.
        SettingsError: an official split was requested, and there is none.
        TooFewError: no mammogram, or no lesion, is left; the message gives the most frequent exclusion.
    """
    if attributes is not None:
        refuse_source_url(attributes)
    with whereabouts(source, settings) as place:
        return _ingest(place, Path(out), settings, seed, progress, Path(attributes) if attributes else None)


def _ingest(
    place: Whereabouts, out: Path, settings: IngestSettings, seed: int, progress: Progress, attributes: Path | None
) -> MammogramSet:
    collection = place.collection(settings, attributes)
    check_patients(collection)
    # Before the folder is created, so that it is free for the corrected command.
    _check_mammograms(place, collection.mammograms, collection.exclusions)
    _check_lesions(
        place, collection, settings, collection.exclusions, sum(len(entry.lesions) for entry in collection.mammograms)
    )
    split = split_patients(collection.mammograms, settings, seed)

    inputs: dict[str, Any] = {"source": place.record()} | ({"attributes": attributes} if attributes else {})
    with begin(out, kind=MammogramSet.kind, stage="ingest", settings=settings, seed=seed, inputs=inputs) as work:
        if work is not None:
            progress.say(
                f"{counted(len(collection.mammograms), 'mammograms')} of "
                f"{counted(len(split.split_of), 'patients')}; split: {split.kind}"
            )
            for decision in (*_of_table(collection), *split.decisions):
                progress.say(f"{decision.found} {decision.done}")
            for folder in FOLDERS:
                (work.folder / folder).mkdir(exist_ok=True)
            _prepare_all(place, work, collection.mammograms, split.split_of, settings, progress)
            gathered = _gather(work.scratch, collection, split.decisions)
            _sweep(work.folder, gathered)
            if gathered.mammograms:  # without any, `_write_tables` raises a more detailed error
                _check_lesions(place, collection, settings, gathered.exclusions, len(gathered.lesions))
            counts = _write_tables(work, place, gathered, progress)
            if leaks := [one for one in gathered.decisions if one.rule in _MAY_LEAK]:
                progress.say(
                    f"patients that may be one person: {len(leaks)}, all in decisions.parquet. The first: "
                    f"{leaks[0].found} {leaks[0].done}"
                )
            for warning in warnings_of(gathered):
                progress.say(f"warning: {warning}")
            work.finish(counts, known=gathered.hashes)
    return MammogramSet.open(out)


def _prepare_all(
    place: Whereabouts,
    work: Work,
    entries: Sequence[MammogramEntry],
    split_of: Mapping[str, str],
    settings: IngestSettings,
    progress: Progress,
) -> None:
    rows, base = work.scratch, place.base(work.scratch)
    # Files that an earlier, stopped run could not read are tried again: they may have been repaired meanwhile.
    missing = [entry for entry in entries if not is_whole(base, work.folder, rows, entry, split_of[entry.patient_id])]
    make = partial(prepare, base, work.folder, rows, settings)
    limits = Limits(settings.read_seconds, settings.read_memory_gb, silent=True, memory_kept=True)
    with progress.task("reading mammograms", len(entries)) as task:
        task.advance(len(entries) - len(missing))
        for part in place.parts(missing, work.scratch):
            jobs = [(entry, split_of[entry.patient_id]) for entry in part]
            done_by = work_through(make, jobs, settings.workers, settings.engine, logs=rows, limits=limits)
            for (entry, _), outcome in done_by:
                if not outcome:
                    files = " or ".join(str(path) for path in entry.image)
                    found = f"The process that read {files} or its masks {outcome.why_lost}."
                    died = Exclusion(entry.mammogram_id, entry.patient_id, "reader-died", found)
                    Prepared(exclusions=[died]).write(rows_path(rows, entry.mammogram_id))
                task.advance()


def _gather(rows_folder: Path, collection: Collection, decided: Sequence[Decision]) -> Prepared:
    """Collect the rows of all mammograms of the collection, and compare the mammograms with each other."""
    gathered = Prepared(exclusions=[*collection.exclusions], decisions=[*collection.decisions, *decided])
    for entry in collection.mammograms:
        rows = Prepared.read(rows_path(rows_folder, entry.mammogram_id))
        gathered.mammograms.extend(rows.mammograms)
        gathered.lesions.extend(rows.lesions)
        gathered.exclusions.extend(rows.exclusions)
        gathered.decisions.extend(rows.decisions)
        gathered.hashes.update(rows.hashes)
        gathered.values.extend(rows.values)
        gathered.fits.extend(rows.fits)
    _leave_out_files_of_others(gathered, collection.mammograms)
    _leave_out_copies(gathered)
    for mixture in find_mixtures(gathered.values):
        gathered.decisions.append(Decision("collection", None, mixture.rule, mixture.found, mixture.done))
    gathered.decisions.extend(find_misfits(gathered.fits))
    darkest = {one.mammogram_id: one.darkest for one in gathered.values}
    if decision := class_told(file_facts(gathered.mammograms, gathered.lesions, darkest)):
        gathered.decisions.append(decision)
    gathered.decisions.extend(_same_files_of_several_patients(gathered.mammograms))
    gathered.decisions.extend(_same_pictures_with_other_lesions(gathered))
    read = masks_from_files(collection.mammograms, gathered.mammograms, gathered.lesions, gathered.hashes)
    gathered.decisions.extend(same_masks(read))
    gathered.decisions.extend(
        one_person_in_headers(
            {one.mammogram_id: one.header_name for one in gathered.values},
            {row["mammogram_id"]: row["patient_id"] for row in gathered.mammograms},
            {row["patient_id"]: row["split"] for row in gathered.mammograms},
        )
    )
    return gathered


def _leave_out_files_of_others(gathered: Prepared, entries: Sequence[MammogramEntry]) -> None:
    """Leave out mammograms whose header names another patient of the tables."""
    names = {one.mammogram_id: one.header_name for one in gathered.values}
    exclusions, decisions = patients_contradicted(names, entries)
    gathered.exclusions.extend(exclusions)
    gathered.decisions.extend(decisions)
    _leave_out(gathered, {one.what for one in exclusions})


def _leave_out(gathered: Prepared, lost: Container[str], lost_lesions: Container[str] = ()) -> None:
    """Remove mammograms, with everything made from them, and lesions."""
    lesions = {
        row["lesion_id"] for row in gathered.lesions if row["mammogram_id"] in lost or row["lesion_id"] in lost_lesions
    }
    gathered.hashes = {
        name: sha256
        for name, sha256 in gathered.hashes.items()
        if PurePosixPath(name).stem not in (lesions if name.startswith("masks/") else lost)
    }
    gathered.mammograms = [row for row in gathered.mammograms if row["mammogram_id"] not in lost]
    gathered.lesions = [row for row in gathered.lesions if row["lesion_id"] not in lesions]
    gathered.values = [one for one in gathered.values if one.mammogram_id not in lost]
    gathered.fits = [one for one in gathered.fits if one.mammogram_id not in lost]


def _same_files_of_several_patients(rows: Sequence[Mapping[str, Any]]) -> list[Decision]:
    """Return a decision for each file that occurs, byte by byte, under several patients, who may be one person."""
    first: dict[str, Mapping[str, Any]] = {}
    found = []
    for row in rows:
        other = first.setdefault(row["source_sha256"], row)
        if other["patient_id"] != row["patient_id"]:
            message = (
                f"{other['source_file']} of {other['patient_id']} ({other['split']}) and {row['source_file']} of "
                f"{row['patient_id']} ({row['split']}) are the same file."
            )
            done = "Kept. If they are one person, nothing keeps her in one split: give her one name."
            found.append(Decision(row["mammogram_id"], row["patient_id"], "image-of-two-patients", message, done))
    return found


Place = tuple[Any, ...]
"""A lesion's box, and the hash of the mask in it."""


def _leave_out_copies(gathered: Prepared) -> None:
    """Keep one of several mammograms of a view that have the same pixels and the same lesions marked.

    A lesion to which they give different pathologies is left out, since it is unknown which is right.
    """
    lesions, pictures = _lesions_by_place(gathered), _pictures(gathered)
    same: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in gathered.mammograms:
        places = tuple(sorted(lesions.get(row["mammogram_id"], ())))
        who = row["patient_id"], row["laterality"], row["view"]
        same.setdefault((*who, pictures[row["mammogram_id"]], places), []).append(row)
    lost: set[str] = set()
    contradicted: set[str] = set()
    for (patient, *_, places), (first, *copies) in same.items():
        names = [row["mammogram_id"] for row in (first, *copies)]
        first["all_lesions_located"] = all(row["all_lesions_located"] for row in (first, *copies))
        for place in places:
            lesion_rows = [lesions[name][place] for name in names]
            pathologies = sorted({lesion["pathology"] for lesion in lesion_rows})
            if len(pathologies) > 1:
                which = " and ".join(lesion["lesion_id"] for lesion in lesion_rows)
                found = f"{which} have the same mask on copies of one file, and are called {' and '.join(pathologies)}."
                gathered.exclusions.append(Exclusion(lesion_rows[0]["lesion_id"], patient, "rows-disagree", found))
                contradicted.add(lesion_rows[0]["lesion_id"])
                first["all_lesions_located"] = False
        for copy in copies:
            alike = "are the same file" if first["source_sha256"] == copy["source_sha256"] else "have the same pixels"
            found = f"{first['source_file']} and {copy['source_file']} {alike}. The first is kept."
            gathered.exclusions.append(Exclusion(copy["mammogram_id"], patient, "image-twice", found))
            lost.add(copy["mammogram_id"])
    _leave_out(gathered, lost, contradicted)


def _pictures(gathered: Prepared) -> dict[str, str]:
    """Return a key of each mammogram's picture: the hash of its working image as a TIFF."""
    kept = gathered.hashes
    return {one.mammogram_id: one.unkept_sha256 or kept[f"images/{one.mammogram_id}.tiff"] for one in gathered.values}


def _lesions_by_place(gathered: Prepared) -> dict[str, dict[Place, dict[str, Any]]]:
    """Return the lesions of each mammogram."""
    lesions: dict[str, dict[Place, dict[str, Any]]] = {}
    for row in gathered.lesions:
        place = (row["top"], row["left"], row["height"], row["width"], gathered.hashes[f"masks/{row['lesion_id']}.png"])
        lesions.setdefault(row["mammogram_id"], {})[place] = row
    return lesions


def _same_pictures_with_other_lesions(gathered: Prepared) -> list[Decision]:
    """Return a decision for each picture that occurs twice, where one copy has lesions that another lacks.

    Copies are the same file, byte by byte, or files of one patient with the same pixels. Tissue of one copy may be a
    lesion in the other, so that it is unknown where either is healthy.
    """
    lesions = _lesions_by_place(gathered)
    pictures = _pictures(gathered)
    copies: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in gathered.mammograms:
        copies.setdefault((row["source_sha256"],), []).append(row)
        copies.setdefault((row["patient_id"], pictures[row["mammogram_id"]]), []).append(row)
    found = []
    for same in copies.values():
        unlike = len({frozenset(lesions.get(row["mammogram_id"], ())) for row in same}) > 1
        doubtful = len({row["all_lesions_located"] for row in same}) > 1
        if doubtful or (unlike and any(row["all_lesions_located"] for row in same)):
            names = " and ".join(f"{row['mammogram_id']} ({row['source_file']})" for row in same)
            alike = "are the same file" if len({row["source_sha256"] for row in same}) == 1 else "have the same pixels"
            what = "other lesions are marked in each" if unlike else "not all lesions of one of them are known by place"
            done = "All are kept, and none gives normal patches: what is marked in one is not in another."
            first = same[0]
            message = f"{names} {alike}, and {what}."
            found.append(Decision(first["mammogram_id"], first["patient_id"], "image-twice", message, done))
            for row in same:
                row["all_lesions_located"] = False
    return found


def _of_table(collection: Collection) -> list[Decision]:
    return [decision for decision in collection.decisions if decision.rule in _OF_TABLE]


def _check_mammograms(place: Whereabouts, left: Sequence[object], exclusions: Sequence[Exclusion]) -> None:
    """Refuse a collection of which no mammogram is left.

    Raises:
        TooFewError: lists the exclusions, with the first case.
    """
    if left:
        return
    if not exclusions:
        raise TooFewError(f"{place.shown}: there is no mammogram, for its tables have no rows below the header.")
    raise TooFewError(
        f"{place.shown}: no mammogram is left. Excluded: {_counted(exclusions)}. The first: {exclusions[0].found}"
    )


def _check_lesions(
    place: Whereabouts, collection: Collection, settings: IngestSettings, exclusions: Sequence[Exclusion], left: int
) -> None:
    """Refuse a collection of which no lesion is left, since it is of no use for training.

    Raises:
        TooFewError: gives the most frequent exclusion, with its first case.
    """
    named = any(entry.lesions or not entry.all_lesions_located for entry in collection.mammograms)
    if left or not exclusions or not named or not collection_reader(settings.collection).places_lesions:
        return
    most = Counter(one.rule for one in exclusions).most_common(1)[0][0]
    first = next(one.found for one in exclusions if one.rule == most)
    raise TooFewError(f"{place.shown}: no lesion is left. Excluded: {_counted(exclusions)}. The first: {first}")


_FEW_PATIENTS = 5
"""With fewer in a class of a split, every measure depends strongly on single patients. Ours."""

_WITHOUT = {  # split -> the consequence where a class has no patients there, and where it has few
    "train": ("nothing can be learned of the class", "so few teach little"),
    "validation": ("no threshold can be chosen there", "a threshold that is chosen on so few is chance"),
    "test": ("nothing can be measured there", "what is measured on so few says little"),
}


_MAY_LEAK = ("image-of-two-patients", "header-names-one-patient", PERSONS)
"""Decisions that leave open whether one person is in two splits: so important that they have a message of their own."""

_KEPT_FOR = tuple(f"patient-kept-for-{split}" for split in _WITHOUT)
_OF_TABLE = (
    "pathology-word",
    "column-called-otherwise",
    "table-called-otherwise",
    "split-unknown",
    "pathology-twice",
    SLIPPED,
)
_OF_ALL = ("masks-flipped", "masks-transposed", CLASS_TOLD)
_WITH_OWN_MESSAGE = (*_OF_TABLE, "lesion-without-pathology", *_KEPT_FOR, *_MAY_LEAK, *_OF_ALL)
"""Rules whose exclusions and decisions have messages of their own."""


def warnings_of(gathered: Prepared) -> list[str]:
    """Return warnings: faults of the whole set, splits with few patients of a class, pathologies not understood."""
    split_of = {row["mammogram_id"]: row["split"] for row in gathered.mammograms}
    patients: dict[tuple[str, str], set[str]] = {}
    for row in gathered.lesions:
        patients.setdefault((split_of[row["mammogram_id"]], row["pathology"]), set()).add(row["patient_id"])
    found = [f"{one.found} {one.done}" for one in gathered.decisions if one.rule in _OF_ALL]
    for split, (nothing, little) in _WITHOUT.items():
        for pathology in ("benign", "malignant"):
            count = len(patients.get((split, pathology), ()))
            if count == 0:
                found.append(f"no patient of the {split} split has a {pathology} lesion: {nothing}.")
            elif count < _FEW_PATIENTS:
                found.append(f"the {split} split has few patients with a {pathology} lesion ({count}): {little}.")
    unknown = [one for one in gathered.exclusions if one.rule == "lesion-without-pathology"]
    if unknown:
        first = unknown[0].found
        found.append(f"lesions left out because their pathology is not known: {len(unknown)}. The first: {first}")
    return found


def _sweep(folder: Path, gathered: Prepared) -> None:
    """Remove files without a row: of a mammogram whose process died, or that was read again with another result."""
    for name in FOLDERS:
        for path in (folder / name).iterdir():
            if f"{name}/{path.name}" not in gathered.hashes:
                path.unlink()


def _write_tables(work: Work, place: Whereabouts, gathered: Prepared, progress: Progress) -> dict[str, int]:
    base = place.base(work.scratch)
    tables: dict[str, list[dict[str, Any]]] = {
        "mammograms": gathered.mammograms,
        "lesions": gathered.lesions,
        "exclusions": [asdict(exclusion) for exclusion in gathered.exclusions],
        "decisions": [asdict(decision) for decision in gathered.decisions],
    }
    for row in [*tables["exclusions"], *tables["decisions"]]:
        # The set must not depend on the collection's path on this machine.
        row["found"] = row["found"].replace(f"{base}{os.sep}", "")
    excluded = _counted(gathered.exclusions)
    _check_mammograms(place, gathered.mammograms, gathered.exclusions)
    for name, columns, key in (
        ("mammograms", MAMMOGRAM_COLUMNS, "mammogram_id"),
        ("lesions", LESION_COLUMNS, "lesion_id"),
        ("exclusions", EXCLUSION_COLUMNS, "what"),
        ("decisions", DECISION_COLUMNS, "what"),
    ):
        table = pd.DataFrame(tables[name], columns=list(columns)).astype(columns)
        table = table.sort_values(key, kind="stable", ignore_index=True)
        table.to_parquet(work.folder / f"{name}.parquet", index=False)
    progress.say(
        f"{counted(len(gathered.mammograms), 'mammograms')} and {counted(len(gathered.lesions), 'lesions')} kept; "
        f"excluded: {excluded}; "
        f"decided: {_counted(gathered.decisions)}"
    )
    for name in ("exclusions", "decisions"):
        for line in _first_of_each_rule(tables[name]):
            progress.say(f"  {name}.parquet, {line}")
    return {name: len(rows) for name, rows in tables.items()}


def _first_of_each_rule(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the first exclusion or decision of each rule as text: a number alone does not say what to examine."""
    first = {row["rule"]: row for row in reversed(rows) if row["rule"] not in _WITH_OWN_MESSAGE}
    return [f"{rule}: {row['found']} {row.get('done', '')}".rstrip() for rule, row in sorted(first.items())]


def _counted(rows: Sequence[Exclusion] | Sequence[Decision]) -> str:
    rules = Counter(row.rule for row in rows)
    return ", ".join(f"{rule} {count}" for rule, count in rules.most_common()) or "nothing"
