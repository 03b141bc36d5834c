"""From a collection's files and tables to one clean set of mammograms: the stage `ingest`."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammofill.ground.artifact import Work, begin, fingerprint_file, write_atomically
from mammofill.ground.engines import work_through
from mammofill.ground.errors import ImageFileError, SourceError, TooFewError
from mammofill.ground.imaging import Mask, StoredImage, encode_png, encode_tiff, resample, resample_mask_to_box
from mammofill.ground.progress import Progress, quiet
from mammofill.mammograms.lesion_masks import MaskProblem, find_lesion_mask
from mammofill.mammograms.mammogram_set import (
    DECISION_COLUMNS,
    EXCLUSION_COLUMNS,
    LESION_COLUMNS,
    MAMMOGRAM_COLUMNS,
    MammogramSet,
    encode_tissue,
)
from mammofill.mammograms.places import draw_place
from mammofill.mammograms.reading import read_image
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.cbis_ddsm import read_cbis_ddsm
from mammofill.mammograms.sources.cdd_cesm import read_cdd_cesm
from mammofill.mammograms.sources.cmmd import read_cmmd
from mammofill.mammograms.sources.entries import Collection, Decision, Exclusion, LesionEntry, MammogramEntry
from mammofill.mammograms.sources.inbreast import read_inbreast
from mammofill.mammograms.sources.mini_mias import read_mini_mias
from mammofill.mammograms.sources.table import read_table
from mammofill.mammograms.sources.vindr_mammo import read_vindr_mammo
from mammofill.mammograms.split import split_patients
from mammofill.mammograms.tissue import Tissue, TissueMap, map_tissue

_LEAST_IN_BREAST = 0.5
"""A mask with less of its area on breast than this is noted: it may lie at the wrong place."""

_TRIED_AGAIN = ("unreadable", "mask-unreadable", "reader-died")
"""Rules of exclusion that another try may not meet again."""

COLLECTIONS: dict[str, Callable[[Path, IngestSettings], Collection]] = {
    "cbis-ddsm": read_cbis_ddsm,
    "inbreast": read_inbreast,
    "cdd-cesm": read_cdd_cesm,
    "vindr-mammo": read_vindr_mammo,
    "cmmd": read_cmmd,
    "mini-mias": read_mini_mias,
    "table": read_table,
}
"""The readers, by the name of their collection. A new collection is a module in `sources` and a row here."""


def ingest(
    source: str | Path,
    out: str | Path,
    settings: IngestSettings = IngestSettings(),
    *,
    seed: int = 0,
    progress: Progress = quiet,
) -> MammogramSet:
    """Read a collection, decide the split by patient, and bring its mammograms and masks to the working resolution.

    One bad file never stops the rest: it becomes a row of `exclusions` with the rule and what was found. What is wrong
    with the collection as a whole (no tables, a patient in two splits) stops before any pixel is read.

    Args:
        source: folder (or table) of the collection.
        out: folder of the new set.
        settings: which collection, lesions, split and resolution.
        seed: decides the split, where the collection does not.
        progress: told after each mammogram.

    Returns:
        The set of mammograms.

    Raises:
        SourceError: the source is missing, or its tables are.
        LeakError: the official split has a patient on two sides.
        SettingsError: an official split was asked for, and there is none.
        TooFewError: nothing is left; the message says what was excluded most.
    """
    source = Path(source)
    if not source.exists():
        raise SourceError(f"{source} does not exist. Give the folder (or table) of the collection.")
    collection = read_collection(source, settings)
    split = split_patients(collection.mammograms, settings, seed)

    with begin(
        out, kind=MammogramSet.kind, stage="ingest", settings=settings, seed=seed, inputs={"source": source}
    ) as work:
        if work is not None:
            progress.say(
                f"{len(collection.mammograms)} mammograms of {len(split.split_of)} patients; split: {split.kind}"
            )
            for decision in split.decisions:
                progress.say(f"{decision.found} {decision.done}")
            for folder in ("images", "masks", "tissue"):
                (work.folder / folder).mkdir(exist_ok=True)
            _make_all(source, work, collection.mammograms, split.split_of, settings, progress)
            gathered = _gather(work.scratch, collection, split.decisions)
            counts = _write_tables(work.folder, source, gathered, progress)
            work.finish(counts, known=gathered.hashes)
    return MammogramSet.open(out)


def read_collection(source: Path, settings: IngestSettings) -> Collection:
    """Read the tables of a collection and find its files; no pixel is read.

    Args:
        source: folder (or table) of the collection.
        settings: which collection, and which abnormalities.

    Raises:
        SourceError: the tables are missing, or cannot be read.
    """
    return COLLECTIONS[settings.collection](source, settings)


def _make_all(
    source: Path,
    work: Work,
    entries: Sequence[MammogramEntry],
    split_of: Mapping[str, str],
    settings: IngestSettings,
    progress: Progress,
) -> None:
    rows = work.scratch
    # What an earlier, stopped run could not read is tried again: the file may have been repaired meanwhile.
    missing = [entry for entry in entries if not _is_whole(_rows_path(rows, entry.mammogram_id))]
    make = partial(_make, source, work.folder, rows, split_of, settings)
    with progress.task("reading mammograms", len(entries)) as task:
        task.advance(len(entries) - len(missing))
        for entry, done in work_through(make, missing, settings.workers, settings.engine, logs=rows):
            if not done:
                found = (
                    f"The process that read {' or '.join(str(path) for path in entry.image)} or its masks died twice: "
                    "a decoder crashed over a damaged file, or the memory was not enough (then use fewer workers)."
                )
                died = Exclusion(entry.mammogram_id, entry.patient_id, "reader-died", found)
                _Rows(exclusions=[died]).write(_rows_path(rows, entry.mammogram_id))
            task.advance()


@dataclass
class _Rows:
    """What became of one mammogram, or of all: rows of the tables, and the hashes of the files that were written."""

    mammograms: list[dict[str, Any]] = field(default_factory=list)
    lesions: list[dict[str, Any]] = field(default_factory=list)
    exclusions: list[Exclusion] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        write_atomically(path, json.dumps(asdict(self)), durable=False)

    @staticmethod
    def read(path: Path) -> _Rows:
        rows = json.loads(path.read_text(encoding="utf-8"))
        rows["exclusions"] = [Exclusion(**row) for row in rows["exclusions"]]
        rows["decisions"] = [Decision(**row) for row in rows["decisions"]]
        return _Rows(**rows)


def _make(
    source: Path,
    folder: Path,
    rows_folder: Path,
    split_of: Mapping[str, str],
    settings: IngestSettings,
    entry: MammogramEntry,
) -> None:
    """Make one mammogram and its masks, and write its rows last: where they are, the mammogram is whole."""
    rows = _Rows()
    path = _rows_path(rows_folder, entry.mammogram_id)
    try:
        image_path = _find_image(entry)
        pixels, bits = read_image(image_path, entry.bits, settings.window)
        _check_shape(entry, image_path, pixels.shape)
    except ImageFileError as error:
        rows.exclusions.append(Exclusion(entry.mammogram_id, entry.patient_id, "unreadable", str(error)))
        rows.write(path)
        return
    source_shape = (pixels.shape[0], pixels.shape[1])
    scale = min(1.0, settings.height_px / source_shape[0]) if settings.height_px else 1.0
    shape = (max(1, round(source_shape[0] * scale)), max(1, round(source_shape[1] * scale)))
    working = resample(pixels, shape)
    tissue = map_tissue(working, entry.view, entry.laterality)
    _write(folder, f"images/{entry.mammogram_id}.tiff", encode_tiff(working), rows)
    _write(folder, f"tissue/{entry.mammogram_id}.png", encode_tissue(tissue), rows)
    for lesion in entry.lesions:
        _make_lesion(source, folder, entry, lesion, pixels, shape, tissue, rows)
    rows.mammograms.append({
        "mammogram_id": entry.mammogram_id,
        "patient_id": entry.patient_id,
        "laterality": entry.laterality,
        "view": entry.view,
        "spacing_mm": entry.spacing_mm / (shape[0] / source_shape[0]) if entry.spacing_mm else None,
        "scale": shape[0] / source_shape[0],
        "rows": shape[0],
        "columns": shape[1],
        "bits_stored": bits,
        "density": entry.density,
        "split": split_of[entry.patient_id],
        "official_split": entry.official_split,
        "all_lesions_located": entry.all_lesions_located and not rows.exclusions,
        "source_file": _relative(image_path, source),
        "source_sha256": fingerprint_file(image_path),
    })  # fmt: skip
    rows.write(path)


def _make_lesion(
    source: Path,
    folder: Path,
    entry: MammogramEntry,
    lesion: LesionEntry,
    pixels: StoredImage,
    shape: tuple[int, int],
    tissue: TissueMap,
    rows: _Rows,
) -> None:
    """Make one lesion's mask at the working resolution, or say why there is none."""
    try:
        mask, box, mask_file = _find_mask(lesion, entry.patient_id, pixels, shape, rows)
    except MaskProblem as problem:
        rows.exclusions.append(Exclusion(lesion.lesion_id, entry.patient_id, problem.rule, problem.found))
        return
    in_breast = _share_in_breast(mask, box, shape, tissue)
    if in_breast < _LEAST_IN_BREAST:
        rows.decisions.append(
            Decision(
                lesion.lesion_id,
                entry.patient_id,
                "mask-outside-breast",
                f"Only {in_breast:.0%} of the mask of {lesion.lesion_id} lies on what looks like breast.",
                "Kept; look at it.",
            )
        )
    _write(folder, f"masks/{lesion.lesion_id}.png", encode_png(mask), rows)
    rows.lesions.append({
        "lesion_id": lesion.lesion_id,
        "mammogram_id": entry.mammogram_id,
        "patient_id": entry.patient_id,
        "pathology": lesion.pathology,
        "abnormality": lesion.abnormality,
        "attributes": json.dumps(dict(lesion.attributes), sort_keys=True),
        "top": box[0],
        "left": box[1],
        "height": box[2],
        "width": box[3],
        "area_px": int(np.count_nonzero(mask)),
        "source_file": _relative(mask_file, source) if mask_file else lesion.source,
    })  # fmt: skip


def _find_mask(
    lesion: LesionEntry, patient_id: str, pixels: StoredImage, shape: tuple[int, int], rows: _Rows
) -> tuple[Mask, tuple[int, int, int, int], Path | None]:
    """Return a lesion's mask inside its box at the working resolution, the box, and the file that it comes from."""
    if isinstance(lesion.place, tuple):
        found = find_lesion_mask(lesion, patient_id, pixels)
        rows.decisions.extend(found.decisions)
        return *resample_mask_to_box(found.mask, shape), found.file
    drawn = draw_place(lesion.place, shape, (shape[0] / pixels.shape[0], shape[1] / pixels.shape[1]))
    if not drawn.any():
        kind = type(lesion.place).__name__.lower()
        raise MaskProblem("mask-outside", f"{lesion.source}: the {kind} of {lesion.lesion_id} misses the image.")
    return *resample_mask_to_box(drawn, shape), None


def _share_in_breast(mask: Mask, box: tuple[int, int, int, int], shape: tuple[int, int], tissue: TissueMap) -> float:
    """Return the share of a mask, given inside its box, that lies on breast or muscle in the small map."""
    rows, columns = np.nonzero(mask)
    rows = (rows + box[0]) * tissue.shape[0] // shape[0]
    columns = (columns + box[1]) * tissue.shape[1] // shape[1]
    return float(np.mean(tissue[rows, columns] != Tissue.FILM))


@dataclass(frozen=True)
class Made:
    """What ingest makes of one mammogram; see `make_one`."""

    mammogram: Mapping[str, Any] | None
    """Its row, or None where it is left out."""
    lesions: Sequence[Mapping[str, Any]]
    exclusions: Sequence[Exclusion]
    decisions: Sequence[Decision]


def make_one(source: Path, entry: MammogramEntry, settings: IngestSettings, folder: Path) -> Made:
    """Make one mammogram and its masks outside of any set, to see what `ingest` would make of it.

    Args:
        source: folder (or table) of the collection.
        entry: the mammogram.
        settings: as for `ingest`.
        folder: an empty one; gets the files of a `MammogramSet` for this mammogram.
    """
    for name in ("images", "masks", "tissue", "rows"):
        (folder / name).mkdir()
    _make(source, folder, folder / "rows", {entry.patient_id: "train"}, settings, entry)
    rows = _Rows.read(_rows_path(folder / "rows", entry.mammogram_id))
    return Made(next(iter(rows.mammograms), None), rows.lesions, rows.exclusions, rows.decisions)


def _write(folder: Path, name: str, content: bytes, rows: _Rows) -> None:
    """Write a file and note its hash. A power cut may lose it, not its being missed: sizes are checked in the end."""
    write_atomically(folder / name, content, durable=False)
    rows.hashes[name] = hashlib.sha256(content).hexdigest()


def _find_image(entry: MammogramEntry) -> Path:
    if len(entry.image) > 1:
        names = ", ".join(path.name for path in entry.image)
        raise ImageFileError(
            f"{entry.image[0].parent} should hold one file, the mammogram {entry.mammogram_id}, "
            f"but holds several: {names}."
        )
    return entry.image[0]


def _check_shape(entry: MammogramEntry, path: Path, found: tuple[int, ...]) -> None:
    if entry.source_shape is not None and found != entry.source_shape:
        raise ImageFileError(
            f"{path} has {found[0]}x{found[1]} pixels, but the collection's have {entry.source_shape[0]}x"
            f"{entry.source_shape[1]}: it is a changed copy, on which the places of lesions do not hold."
        )


def _gather(rows_folder: Path, collection: Collection, decided: Sequence[Decision]) -> _Rows:
    """Put together what became of all mammograms of the collection."""
    gathered = _Rows(exclusions=[*collection.exclusions], decisions=[*collection.decisions, *decided])
    for entry in collection.mammograms:
        rows = _Rows.read(_rows_path(rows_folder, entry.mammogram_id))
        gathered.mammograms.extend(rows.mammograms)
        gathered.lesions.extend(rows.lesions)
        gathered.exclusions.extend(rows.exclusions)
        gathered.decisions.extend(rows.decisions)
        gathered.hashes.update(rows.hashes)
    return gathered


def _write_tables(folder: Path, source: Path, gathered: _Rows, progress: Progress) -> dict[str, int]:
    tables: dict[str, list[dict[str, Any]]] = {
        "mammograms": gathered.mammograms,
        "lesions": gathered.lesions,
        "exclusions": [asdict(exclusion) for exclusion in gathered.exclusions],
        "decisions": [asdict(decision) for decision in gathered.decisions],
    }
    for row in [*tables["exclusions"], *tables["decisions"]]:
        # The set must be the same wherever the collection lies on this machine.
        row["found"] = row["found"].replace(f"{_base(source)}{os.sep}", "")
    excluded = _counted(gathered.exclusions)
    if not gathered.mammograms:
        first = gathered.exclusions[0].found if gathered.exclusions else "its tables have no rows"
        raise TooFewError(f"{source}: no mammogram is left. Excluded: {excluded}. The first: {first}")
    for name, columns, key in (
        ("mammograms", MAMMOGRAM_COLUMNS, "mammogram_id"),
        ("lesions", LESION_COLUMNS, "lesion_id"),
        ("exclusions", EXCLUSION_COLUMNS, "what"),
        ("decisions", DECISION_COLUMNS, "what"),
    ):
        table = pd.DataFrame(tables[name], columns=list(columns)).astype(columns)
        table = table.sort_values(key, kind="stable", ignore_index=True)
        table.to_parquet(folder / f"{name}.parquet", index=False)
    progress.say(
        f"{len(gathered.mammograms)} mammograms and {len(gathered.lesions)} lesions kept; excluded: {excluded}; "
        f"decided: {_counted(gathered.decisions)}"
    )
    return {name: len(rows) for name, rows in tables.items()}


def _counted(rows: Sequence[Exclusion] | Sequence[Decision]) -> str:
    rules = Counter(row.rule for row in rows)
    return ", ".join(f"{rule} {count}" for rule, count in rules.most_common()) or "nothing"


def _is_whole(rows_path: Path) -> bool:
    if not rows_path.is_file():
        return False
    return not any(exclusion.rule in _TRIED_AGAIN for exclusion in _Rows.read(rows_path).exclusions)


def _rows_path(folder: Path, mammogram_id: str) -> Path:
    return folder / f"{mammogram_id}.json"


def _relative(path: Path, source: Path) -> str:
    base = _base(source)
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()


def _base(source: Path) -> Path:
    return source if source.is_dir() else source.parent
