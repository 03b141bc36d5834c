"""One mammogram of a collection, brought to the working resolution: the job of which `ingest` does many."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mammofill.ground.artifact import fingerprint_file, write_atomically
from mammofill.ground.errors import ImageFileError
from mammofill.ground.imaging import Mask, StoredImage, encode_png, encode_tiff, resample, resample_mask_to_box
from mammofill.mammograms.draw_masks import draw_mask
from mammofill.mammograms.lesion_masks import MaskProblem, find_lesion_mask
from mammofill.mammograms.mammogram_set import encode_tissue
from mammofill.mammograms.reading import read_image
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.annotations import Decision, Exclusion, LesionEntry, MammogramEntry
from mammofill.mammograms.tissue import Tissue, TissueMap, map_tissue

FOLDERS = ("images", "masks", "tissue")
"""Where the files of a mammogram go, inside the folder of the set."""

_LEAST_IN_BREAST = 0.5
"""A mask with less of its area on breast than this is noted: it may lie at the wrong place."""


_TRIED_AGAIN = ("unreadable", "mask-unreadable", "reader-died")
"""Rules of exclusion that another try may not meet again."""


@dataclass
class Prepared:
    """What became of one mammogram, or of all: rows of the tables, and the hashes of the files that were written."""

    mammograms: list[dict[str, Any]] = field(default_factory=list)
    lesions: list[dict[str, Any]] = field(default_factory=list)
    exclusions: list[Exclusion] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of each of these files."""
    made_for: str = ""
    """The entry and the split, as a hash: a stopped run goes on only with what the tables still say."""

    def write(self, path: Path) -> None:
        """Note them in a file, in one move."""
        write_atomically(path, json.dumps(asdict(self)), durable=False)

    @staticmethod
    def read(path: Path) -> Prepared:
        """Read what `write` noted."""
        rows = json.loads(path.read_text(encoding="utf-8"))
        rows["exclusions"] = [Exclusion(**row) for row in rows["exclusions"]]
        rows["decisions"] = [Decision(**row) for row in rows["decisions"]]
        return Prepared(**rows)


def prepare(
    source: Path,
    folder: Path,
    rows_folder: Path,
    settings: IngestSettings,
    entry_and_split: tuple[MammogramEntry, str],
) -> None:
    """Make one mammogram and its masks, and write its rows last: where they are, the mammogram is whole.

    Args:
        source: folder (or table) of the collection.
        folder: of the set in the making.
        rows_folder: where the rows of each mammogram are noted.
        settings: of ingest.
        entry_and_split: the mammogram, and the split of its patient.
    """
    entry, split = entry_and_split
    if is_whole(source, folder, rows_folder, entry, split):
        return
    rows = Prepared(made_for=_made_for(source, entry, split))
    path = rows_path(rows_folder, entry.mammogram_id)
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
        _prepare_lesion(source, folder, entry, lesion, pixels, shape, tissue, rows)
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
        "split": split,
        "official_split": entry.official_split,
        "all_lesions_located": entry.all_lesions_located and not rows.exclusions,
        "source_file": relative_path(image_path, source),
        "source_sha256": fingerprint_file(image_path),
    })  # fmt: skip
    rows.write(path)


def _prepare_lesion(
    source: Path,
    folder: Path,
    entry: MammogramEntry,
    lesion: LesionEntry,
    pixels: StoredImage,
    shape: tuple[int, int],
    tissue: TissueMap,
    rows: Prepared,
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
        "source_file": relative_path(mask_file, source) if mask_file else lesion.source,
    })  # fmt: skip


def _find_mask(
    lesion: LesionEntry, patient_id: str, pixels: StoredImage, shape: tuple[int, int], rows: Prepared
) -> tuple[Mask, tuple[int, int, int, int], Path | None]:
    """Return a lesion's mask inside its box at the working resolution, the box, and the file that it comes from."""
    if isinstance(lesion.place, tuple):
        found = find_lesion_mask(lesion, patient_id, pixels)
        rows.decisions.extend(found.decisions)
        return *resample_mask_to_box(found.mask, shape), found.file
    drawn = draw_mask(lesion.place, shape, (shape[0] / pixels.shape[0], shape[1] / pixels.shape[1]))
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


def prepare_alone(source: Path, entry: MammogramEntry, settings: IngestSettings, folder: Path) -> Prepared:
    """Prepare one mammogram outside of any set, to see what `ingest` would make of it.

    Args:
        source: folder (or table) of the collection.
        entry: the mammogram.
        settings: as for `ingest`.
        folder: an empty one; gets the files of a `MammogramSet` for this mammogram.
    """
    for name in (*FOLDERS, "rows"):
        (folder / name).mkdir()
    prepare(source, folder, folder / "rows", settings, (entry, "train"))
    return Prepared.read(rows_path(folder / "rows", entry.mammogram_id))


def is_whole(source: Path, folder: Path, rows_folder: Path, entry: MammogramEntry, split: str) -> bool:
    """Say whether a mammogram is done.

    It is if its rows are noted, for this very entry and split; its files are there, whole; and nothing was left out
    that another try may read.

    Args:
        source: folder (or table) of the collection.
        folder: of the set in the making.
        rows_folder: where the rows of each mammogram are noted.
        entry: the mammogram.
        split: of its patient.
    """
    try:
        rows = Prepared.read(rows_path(rows_folder, entry.mammogram_id))
    except (
        FileNotFoundError,
        ValueError,
        KeyError,
        TypeError,
    ):  # not there, lost in a power cut, or of another version
        return False
    if rows.made_for != _made_for(source, entry, split) or rows.sizes.keys() != rows.hashes.keys():
        return False
    if any(_size(folder / name) != size for name, size in rows.sizes.items()):
        return False
    return not any(exclusion.rule in _TRIED_AGAIN for exclusion in rows.exclusions)


def _made_for(source: Path, entry: MammogramEntry, split: str) -> str:
    def relative(path: Any) -> str:
        return relative_path(path, source) if isinstance(path, Path) else str(path)

    told = json.dumps([asdict(entry), split], sort_keys=True, default=relative)
    return hashlib.sha256(told.encode()).hexdigest()


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def rows_path(folder: Path, mammogram_id: str) -> Path:
    """Return where the rows of a mammogram are noted while a set is being made."""
    return folder / f"{mammogram_id}.json"


def relative_path(path: Path, source: Path) -> str:
    """Return a file's path inside a collection; as it is where it lies elsewhere."""
    base = base_folder(source)
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()


def base_folder(source: Path) -> Path:
    """Return the folder of a collection, also where only its table was named."""
    return source if source.is_dir() else source.parent


def _write(folder: Path, name: str, content: bytes, rows: Prepared) -> None:
    """Write a file, note its hash and its size. A power cut may lose it; that it is missed, `is_whole` sees."""
    write_atomically(folder / name, content, durable=False)
    rows.hashes[name] = hashlib.sha256(content).hexdigest()
    rows.sizes[name] = len(content)


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
