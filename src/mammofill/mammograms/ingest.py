"""From a collection's files and tables to one clean set of mammograms: the stage `ingest`."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from mammofill.ground.artifact import begin, fingerprint_file, write_atomically
from mammofill.ground.errors import ImageFileError, SourceError, TooFewError
from mammofill.ground.imaging import Mask, encode_png, resample, resample_mask
from mammofill.ground.progress import Progress, quiet
from mammofill.mammograms.mammogram_set import EXCLUSION_COLUMNS, LESION_COLUMNS, MAMMOGRAM_COLUMNS, MammogramSet
from mammofill.ground.processes import in_processes
from mammofill.mammograms.reading import draw_circle, find_mask, read_image
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.cbis_ddsm import read_cbis_ddsm
from mammofill.mammograms.sources.entries import Circle, Collection, Exclusion, LesionEntry, MammogramEntry
from mammofill.mammograms.sources.mini_mias import read_mini_mias
from mammofill.mammograms.sources.table import read_table
from mammofill.mammograms.split import split_patients

COLLECTIONS: dict[str, Callable[[Path, IngestSettings], Collection]] = {
    "cbis-ddsm": read_cbis_ddsm,
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
    collection = COLLECTIONS[settings.collection](source, settings)
    split_of, kind = split_patients(collection.mammograms, settings, seed)

    with begin(
        out, kind=MammogramSet.kind, stage="ingest", settings=settings, seed=seed, inputs={"source": source}
    ) as work:
        if work is not None:
            progress.say(f"{len(collection.mammograms)} mammograms of {len(split_of)} patients; split: {kind}")
            for folder in ("images", "masks", "rows"):
                (work.folder / folder).mkdir(exist_ok=True)
            _make_all(source, work.folder, collection.mammograms, split_of, settings, progress)
            counts = _write_tables(work.folder, source, collection.exclusions, progress)
            for path in (work.folder / "rows").iterdir():
                path.unlink()
            (work.folder / "rows").rmdir()
            work.finish(counts)
    return MammogramSet.open(out)


def _make_all(
    source: Path,
    folder: Path,
    entries: Sequence[MammogramEntry],
    split_of: dict[str, str],
    settings: IngestSettings,
    progress: Progress,
) -> None:
    # What an earlier, stopped run left out is tried again: the file may have been repaired meanwhile.
    missing = [entry for entry in entries if not _is_whole(_rows_path(folder, entry.mammogram_id))]
    make = partial(_make, source, folder, split_of, settings)
    with progress.task("reading mammograms", len(entries)) as task:
        task.advance(len(entries) - len(missing))
        if settings.workers == 0:
            for entry in missing:
                make(entry)
                task.advance()
            return
        for entry, done in in_processes(make, missing, settings.workers):
            if not done:
                found = (
                    f"The process that read {' or '.join(str(path) for path in entry.image)} or its masks died twice: "
                    "a decoder crashed over a damaged file, or the memory was not enough (then use fewer workers)."
                )
                _write_rows(
                    folder, entry, exclusions=[Exclusion(entry.mammogram_id, entry.patient_id, "reader-died", found)]
                )
            task.advance()


def _make(
    source: Path, folder: Path, split_of: Mapping[str, str], settings: IngestSettings, entry: MammogramEntry
) -> None:
    """Make one mammogram and its masks, and write its rows last: where they are, the mammogram is whole."""
    try:
        image_path = _find_image(entry)
        pixels, bits = read_image(image_path, entry.bits, settings.window)
        _check_shape(entry, image_path, pixels.shape)
    except ImageFileError as error:
        unreadable = Exclusion(entry.mammogram_id, entry.patient_id, "unreadable", str(error))
        _write_rows(folder, entry, exclusions=[unreadable])
        return
    lesions: list[dict[str, Any]] = []
    exclusions: list[Exclusion] = []
    source_shape = (pixels.shape[0], pixels.shape[1])
    scale = min(1.0, settings.height_px / source_shape[0]) if settings.height_px else 1.0
    shape = (max(1, round(source_shape[0] * scale)), max(1, round(source_shape[1] * scale)))
    write_atomically(folder / "images" / f"{entry.mammogram_id}.png", encode_png(resample(pixels, shape)))
    for lesion in entry.lesions:
        mask, mask_file, problem = _make_mask(lesion, source_shape, shape)
        if mask is None:
            exclusions.append(Exclusion(lesion.lesion_id, entry.patient_id, *problem))
            continue
        write_atomically(folder / "masks" / f"{lesion.lesion_id}.png", encode_png(mask))
        lesions.append({
            "lesion_id": lesion.lesion_id,
            "mammogram_id": entry.mammogram_id,
            "patient_id": entry.patient_id,
            "pathology": lesion.pathology,
            "abnormality": lesion.abnormality,
            "attributes": json.dumps(dict(lesion.attributes), sort_keys=True),
            "area_px": int(mask.sum()),
            "source_file": _relative(mask_file, source) if mask_file else lesion.source,
        })  # fmt: skip
    mammogram = {
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
        "all_lesions_located": entry.all_lesions_located and not exclusions,
        "source_file": _relative(image_path, source),
        "source_sha256": fingerprint_file(image_path),
    }
    _write_rows(folder, entry, [mammogram], lesions, exclusions)


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


def _make_mask(
    lesion: LesionEntry, source_shape: tuple[int, int], shape: tuple[int, int]
) -> tuple[Mask | None, Path | None, tuple[str, str]]:
    """Return the mask at the working resolution and its file, or the rule and the story of why there is none."""
    if isinstance(lesion.place, Circle):
        mask, path = draw_circle(lesion.place, shape, (shape[0] / source_shape[0], shape[1] / source_shape[1])), None
        if not mask.any():
            return None, None, ("mask-outside", f"{lesion.source}: the circle of {lesion.lesion_id} misses the image.")
        return mask, path, ("", "")
    try:
        full, path = find_mask(lesion.place, source_shape)
    except ImageFileError as error:
        return None, None, ("mask-unreadable", str(error))
    if full.shape != source_shape:
        found = (
            f"{path}: the mask of {lesion.lesion_id} is {full.shape[0]}x{full.shape[1]}, its mammogram "
            f"{source_shape[0]}x{source_shape[1]}; where the lesion lies is not certain."
        )
        return None, None, ("mask-size", found)
    if not full.any():
        return None, None, ("mask-empty", f"{path}: the mask of {lesion.lesion_id} marks no pixel.")
    return resample_mask(full, shape), path, ("", "")


def _write_tables(folder: Path, source: Path, excluded: Sequence[Exclusion], progress: Progress) -> dict[str, int]:
    gathered: dict[str, list[dict[str, Any]]] = {"mammograms": [], "lesions": [], "exclusions": []}
    gathered["exclusions"].extend(asdict(exclusion) for exclusion in excluded)
    for path in sorted((folder / "rows").glob("*.json")):
        for name, rows in json.loads(path.read_text(encoding="utf-8")).items():
            gathered[name].extend(rows)
    for row in gathered["exclusions"]:
        # The set must be the same wherever the collection lies on this machine.
        row["found"] = row["found"].replace(f"{_base(source)}{os.sep}", "")
    rules = Counter(row["rule"] for row in gathered["exclusions"])
    told = ", ".join(f"{rule} {count}" for rule, count in rules.most_common())
    if not gathered["mammograms"]:
        first = gathered["exclusions"][0]["found"] if gathered["exclusions"] else "its tables have no rows"
        raise TooFewError(f"{source}: no mammogram is left. Excluded: {told or 'nothing'}. The first: {first}")
    for name, columns, key in (
        ("mammograms", MAMMOGRAM_COLUMNS, "mammogram_id"),
        ("lesions", LESION_COLUMNS, "lesion_id"),
        ("exclusions", EXCLUSION_COLUMNS, "what"),
    ):
        table = pd.DataFrame(gathered[name], columns=list(columns)).astype(columns)
        table = table.sort_values(key, kind="stable", ignore_index=True)
        table.to_parquet(folder / f"{name}.parquet", index=False)
    progress.say(
        f"{len(gathered['mammograms'])} mammograms and {len(gathered['lesions'])} lesions kept; "
        f"excluded: {told or 'nothing'}"
    )
    return {name: len(rows) for name, rows in gathered.items()}


def _write_rows(
    folder: Path,
    entry: MammogramEntry,
    mammograms: Sequence[dict[str, Any]] = (),
    lesions: Sequence[dict[str, Any]] = (),
    exclusions: Sequence[Exclusion] = (),
) -> None:
    rows = {
        "mammograms": list(mammograms),
        "lesions": list(lesions),
        "exclusions": [asdict(exclusion) for exclusion in exclusions],
    }
    write_atomically(_rows_path(folder, entry.mammogram_id), json.dumps(rows))


def _is_whole(rows_path: Path) -> bool:
    return rows_path.is_file() and not json.loads(rows_path.read_text(encoding="utf-8"))["exclusions"]


def _rows_path(folder: Path, mammogram_id: str) -> Path:
    return folder / "rows" / f"{mammogram_id}.json"


def _relative(path: Path, source: Path) -> str:
    base = _base(source)
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()


def _base(source: Path) -> Path:
    return source if source.is_dir() else source.parent
