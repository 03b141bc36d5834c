"""One mammogram of a collection, brought to the working resolution: the job of which `ingest` does many."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mammofill.dicom import SYNTHETIC_RULE
from mammofill.ground.artifact import fingerprint_file, write_atomically
from mammofill.ground.errors import ImageFileError
from mammofill.ground.file_names import inside
from mammofill.ground.foreign_files import ReadImage
from mammofill.ground.imaging import (
    Mask,
    StoredImage,
    decode_png,
    encode_png,
    encode_tiff,
    resample,
    resample_box_to_box,
    resample_mask_to_box,
)
from mammofill.mammograms.crops import crop_decision
from mammofill.mammograms.draw_masks import draw_mask, encloses_nothing, share_in_picture, why_not_drawn
from mammofill.mammograms.header_contradicts import why_another, why_of_no_patient
from mammofill.mammograms.lesion_masks import find_lesion_mask, remarked
from mammofill.mammograms.mammogram_set import base_folder, encode_tissue
from mammofill.mammograms.mask_checks import (
    LARGEST_SHARE,
    LEAST_IN_BREAST,
    MaskProblem,
    breast_is_known,
    check_mask,
)
from mammofill.mammograms.mask_fits import MaskFit, fit_of, shrink, why_inverted_crop
from mammofill.mammograms.mixed_values import Values
from mammofill.mammograms.names_in_headers import hidden_name
from mammofill.mammograms.picture_checks import why_blank, why_inverted, why_no_picture, why_resized
from mammofill.mammograms.reading import HalvedImage, read_image, read_mask
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.annotations import Decision, Exclusion, LesionEntry, MammogramEntry, Outline
from mammofill.mammograms.tissue import Tissue, TissueMap, map_tissue
from mammofill.mammograms.vocabulary import Split

FOLDERS = ("images", "masks", "tissue")
"""Where the files of a mammogram go, inside the folder of the set."""

_LEAST_IN_BREAST = 0.5
"""A mask with less of its area on breast than this is noted: it may lie at the wrong place."""

_LEAST_IN_PICTURE = 0.5
"""A circle, outline or box of which less than this lies in the picture is noted."""

_ONE_LESION = 0.7
"""Masks of a mammogram that share this much of the area that either marks are outlines of one lesion. Ours; readers who
outline a mass share some 0.7 to 0.9 of it."""

_TINY_PX = 4
"""A mask of fewer pixels than this is noted: there is no lesion to be seen in it."""

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
    written: dict[str, list[int]] = field(default_factory=dict)
    """Size, times and number of each of these files: one that was changed since is made again."""
    values: list[Values] = field(default_factory=list)
    """What the values of each mammogram are like."""
    fits: list[MaskFit] = field(default_factory=list)
    """How masks fit their pictures, where that is known."""
    sources: dict[str, list[int]] = field(default_factory=dict)
    """Size, times and number of each file that was read, by its path: one that was replaced since is read again."""
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
        rows["values"] = [Values(**row) for row in rows["values"]]
        rows["fits"] = [MaskFit(**row) for row in rows["fits"]]
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
    made = _made(source, settings, entry, split)
    for name, content in made.files.items():
        _write(folder, name, content, made.rows)
    made.rows.write(rows_path(rows_folder, entry.mammogram_id))


@dataclass
class _Made:
    """What becomes of one mammogram, before anything is written."""

    rows: Prepared
    files: dict[str, bytes] = field(default_factory=dict)
    """Content of files by their names in the folder of the set."""


def _made(source: Path, settings: IngestSettings, entry: MammogramEntry, split: str) -> _Made:
    """Read a mammogram and its masks; whatever they raise is why it is left out."""
    rows = Prepared(made_for=_made_for(source, entry, split), sources=_stats_of_sources(entry))
    made = _Made(rows)
    try:
        _read_all(source, settings, entry, split, made)
    except (MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  (over a foreign file nearly anything is raised, Rust's panics too)
        files = " or ".join(str(path) for path in entry.image)
        found = str(error) if isinstance(error, ImageFileError) else f"{files}: {type(error).__name__}: {error}."
        left_out = Exclusion(entry.mammogram_id, entry.patient_id, "unreadable", found)
        return _Made(Prepared(exclusions=[left_out], made_for=rows.made_for, sources=rows.sources))
    return made


def _read_all(source: Path, settings: IngestSettings, entry: MammogramEntry, split: str, made: _Made) -> None:
    image_path, copies = _find_image(entry)
    read = read_image(image_path, entry.bits, settings.window, settings.height_px if settings.half_jpeg2000 else None)
    rows, pixels = made.rows, read.pixels
    whole = HalvedImage(image_path, read.halved_from, settings.window) if read.halved_from else pixels
    if split == Split.TEST and not settings.synthetic_tests and _is_synthetic(read):
        rows.exclusions.append(_not_for_test(entry, image_path))
        return
    _check_shape(entry, image_path, whole.shape)
    file = relative_path(image_path, source)
    if unseen := why_of_no_patient(read, entry) or why_no_picture(pixels, file, entry):
        rows.exclusions.append(unseen)
        return
    rows.decisions.extend(remarked(remark, entry.mammogram_id, entry.patient_id) for remark in read.remarks)
    rows.decisions.extend([*copies, *why_another(read, file, entry)])
    if resized := why_resized(whole.shape, file, entry):
        rows.decisions.append(resized)
    source_shape = (whole.shape[0], whole.shape[1])
    scale = min(1.0, settings.height_px / source_shape[0]) if settings.height_px else 1.0
    shape = (max(1, round(source_shape[0] * scale)), max(1, round(source_shape[1] * scale)))
    working = resample(pixels, shape)
    if blank := why_blank(working, file, entry):
        rows.exclusions.append(blank)
        return
    tissue = map_tissue(working, entry.view, entry.laterality)
    crop = crop_decision(entry, whole, working, tissue, settings.crops)
    if crop is not None:
        rows.decisions.append(crop)
        tissue = np.full_like(tissue, Tissue.BREAST)
    elif inverted := why_inverted(working, file, entry):
        rows.decisions.append(inverted)
    tiff, kept = encode_tiff(working), settings.keep_images or read.is_compressed
    if kept:
        made.files[f"images/{entry.mammogram_id}.tiff"] = tiff
    made.files[f"tissue/{entry.mammogram_id}.png"] = encode_tissue(tissue)
    for lesion in entry.lesions:
        _read_lesion(source, entry, lesion, whole, shape, tissue, crop is not None, made)
    _check_empty_masks(entry, rows)
    located = entry.all_lesions_located and not rows.exclusions
    located &= _is_each_lesion_once(entry, made)
    rows.fits = _fits(entry, working, made, crop is not None)
    inverted_crops = (why_inverted_crop(fit, file, entry.patient_id) for fit in rows.fits)
    rows.decisions.extend(decision for decision in inverted_crops if decision)
    name, halved = hidden_name(read.patient_id), read.halved_from is not None
    bits_and_intent = (read.bits, read.used_bits, read.signed, read.intent)
    unkept = None if kept else hashlib.sha256(tiff).hexdigest()
    seen = (unkept, read.filled_bits, read.windowed, int(working.min()))
    rows.values.append(Values(entry.mammogram_id, *bits_and_intent, name, halved, *seen))
    rows.mammograms.append({
        "mammogram_id": entry.mammogram_id,
        "patient_id": entry.patient_id,
        "laterality": entry.laterality,
        "view": entry.view,
        "spacing_mm": entry.spacing_mm / (shape[0] / source_shape[0]) if entry.spacing_mm else None,
        "scale": shape[0] / source_shape[0],
        "rows": shape[0],
        "columns": shape[1],
        "bits_stored": read.bits,
        "density": entry.density,
        "split": split,
        "official_split": entry.official_split,
        "all_lesions_located": located,
        "source_file": file,
        "source_sha256": fingerprint_file(image_path),
    })  # fmt: skip


def _fits(entry: MammogramEntry, picture: StoredImage, made: _Made, in_crop: bool) -> list[MaskFit]:
    """Say how the masks that were kept fit their picture."""
    if not made.rows.lesions:
        return []
    found, small = [], shrink(picture)
    for row in made.rows.lesions:
        mask = np.zeros(picture.shape, np.bool_)
        inner = decode_png(made.files[f"masks/{row['lesion_id']}.png"]) > 0
        mask[row["top"] : row["top"] + row["height"], row["left"] : row["left"] + row["width"]] = inner
        found.append(fit_of(entry.mammogram_id, small, mask, in_crop, entry.laterality))
    return found


def _is_synthetic(read: ReadImage) -> bool:
    return any(remark.rule == SYNTHETIC_RULE for remark in read.remarks)


def _not_for_test(entry: MammogramEntry, path: Path) -> Exclusion:
    found = (
        f"{path} says that it is synthetic (SyntheticData, (0008,001C)), and its patient tests. What is measured on it "
        "says nothing about patients; synthetic_tests takes it all the same."
    )
    return Exclusion(entry.mammogram_id, entry.patient_id, "synthetic-in-test", found)


def _read_lesion(
    source: Path,
    entry: MammogramEntry,
    lesion: LesionEntry,
    pixels: StoredImage | HalvedImage,
    shape: tuple[int, int],
    tissue: TissueMap,
    in_crop: bool,
    made: _Made,
) -> None:
    """Read a lesion's mask; what is wrong with it, or with one of its parts, leaves that out."""
    try:
        masks, mask_file = _find_masks(lesion, entry.patient_id, pixels, shape, tissue, in_crop, made.rows)
    except ImageFileError as error:
        rule = error.rule if isinstance(error, MaskProblem) else "mask-unreadable"
        made.rows.exclusions.append(Exclusion(lesion.lesion_id, entry.patient_id, rule, str(error)))
        return
    for number, (mask, box) in enumerate(masks, start=1):
        part = _Part(lesion, number, len(masks))
        if _lies_in_breast(part, entry, mask, box, shape, tissue, made.rows):
            made.files[f"masks/{part.lesion_id}.png"] = encode_png(mask)
            file = relative_path(mask_file, source) if mask_file else lesion.source
            made.rows.lesions.append(_lesion_row(part, entry, mask, box, file))


def _check_empty_masks(entry: MammogramEntry, rows: Prepared) -> None:
    """Look whether the masks of an image that is called normal mark nothing; one that does takes its healthy tissue."""
    for path in entry.empty_masks:
        try:
            marked = int(np.count_nonzero(read_mask(path).mask))
        except ImageFileError as error:
            rows.exclusions.append(Exclusion(entry.mammogram_id, entry.patient_id, "mask-unreadable", str(error)))
            continue
        found = f"{entry.mammogram_id} is called normal, and its mask {path} marks {marked or 'no'} pixels."
        if marked:
            message = f"{found} Call the lesion benign or malignant, or leave the cell of the mask empty."
            rows.exclusions.append(Exclusion(entry.mammogram_id, entry.patient_id, "normal-with-mask", message))
        else:
            done = "Taken for normal, as without a mask."
            rows.decisions.append(Decision(entry.mammogram_id, entry.patient_id, "normal-with-empty-mask", found, done))


def _is_each_lesion_once(entry: MammogramEntry, made: _Made) -> bool:
    """Leave out lesions that another lesion of the mammogram is already, by its mask.

    Returns:
        Whether their pathologies agree; where they do not, none of them is kept.
    """
    agree = True
    for group in _by_lesion(entry, made):
        names = [row["lesion_id"] for row in group]
        least = min(_shared(group[0], row, made) for row in group)
        alike = "the same mask" if least == 1 else f"masks that share {least:.0%} of their area"
        pathologies = sorted({row["pathology"] for row in group})
        lost = names if len(pathologies) > 1 else names[1:]
        if len(pathologies) > 1:
            agree = False
            found = f"{' and '.join(names)} have {alike}, and are called {' and '.join(pathologies)}."
            made.rows.exclusions.append(Exclusion(names[0], entry.patient_id, "rows-disagree", found))
        elif least == 1:
            made.rows.exclusions.extend(
                Exclusion(name, entry.patient_id, "row-repeated", f"{name} has the same mask as {names[0]}.")
                for name in lost
            )
        elif lost:
            found = f"{' and '.join(names)} have {alike}: they are outlines of one lesion."
            done = f"It counts once, with the mask of {names[0]}."
            made.rows.decisions.append(Decision(names[0], entry.patient_id, "masks-of-one-lesion", found, done))
        made.rows.lesions = [row for row in made.rows.lesions if row["lesion_id"] not in lost]
        for name in lost:
            del made.files[f"masks/{name}.png"]
    return agree


def _by_lesion(entry: MammogramEntry, made: _Made) -> list[list[dict[str, Any]]]:
    """Return the rows of each lesion: those with the same mask, or of one kind with nearly the same.

    Masks that are nearly the same are two readers' outlines only where they come from files: boxes, circles and
    regions of published collections mark what is found within each other on purpose.
    """
    from_files = all(isinstance(lesion.place, tuple) for lesion in entry.lesions)

    def is_one(row: dict[str, Any], other: dict[str, Any]) -> bool:
        alike = from_files and row["abnormality"] == other["abnormality"]
        least = _ONE_LESION if alike else 1
        return _most_shared(row, other) >= least and _shared(row, other, made) >= least

    groups: list[list[dict[str, Any]]] = []
    for row in made.rows.lesions:
        own = next((group for group in groups if is_one(group[0], row)), None)
        if own is None:
            groups.append([row])
        else:
            own.append(row)
    return groups


def _most_shared(row: dict[str, Any], other: dict[str, Any]) -> float:
    """Return what `_shared` is at most, by boxes and areas alone: hundreds of masks are too many to unpack by pairs."""
    top, left, bottom, right = _overlap(row, other)
    areas = int(row["area_px"]), int(other["area_px"])
    both = min(*areas, max(0, bottom - top) * max(0, right - left))
    return both / (sum(areas) - both)


def _overlap(row: dict[str, Any], other: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return (top, left, bottom, right) of what the boxes of two masks share; empty boxes end before they begin."""
    top, left = max(row["top"], other["top"]), max(row["left"], other["left"])
    bottom = min(one["top"] + one["height"] for one in (row, other))
    right = min(one["left"] + one["width"] for one in (row, other))
    return top, left, bottom, right


def _shared(row: dict[str, Any], other: dict[str, Any], made: _Made) -> float:
    """Return how much of what two masks mark both mark: 1 where they are the same."""
    top, left, bottom, right = _overlap(row, other)
    if bottom <= top or right <= left:
        return 0.0
    marked = [
        decode_png(made.files[f"masks/{one['lesion_id']}.png"])[
            top - one["top"] : bottom - one["top"], left - one["left"] : right - one["left"]
        ]
        > 0
        for one in (row, other)
    ]
    both = int(np.count_nonzero(marked[0] & marked[1]))
    return both / (int(row["area_px"]) + int(other["area_px"]) - both)


@dataclass(frozen=True)
class _Part:
    """A lesion, or one of several that were in one mask."""

    lesion: LesionEntry
    number: int
    count: int

    @property
    def lesion_id(self) -> str:
        return self.lesion.lesion_id if self.count == 1 else f"{self.lesion.lesion_id}-{self.number}"

    @property
    def attributes(self) -> dict[str, str]:
        part = {} if self.count == 1 else {"part": f"{self.number} of {self.count} of {self.lesion.lesion_id}"}
        return {**self.lesion.attributes, **part}


def _lies_in_breast(
    part: _Part, entry: MammogramEntry, mask: Mask, box: tuple[int, int, int, int], shape: tuple[int, int],
    tissue: TissueMap, rows: Prepared,
) -> bool:  # fmt: skip
    """Say whether a mask, inside its box at the working resolution, lies on breast; note where that is doubtful."""
    in_breast, area = _share_in_breast(mask, box, shape, tissue), int(np.count_nonzero(mask))
    if in_breast < _LEAST_IN_BREAST:
        found = f"Only {in_breast:.0%} of the mask of {part.lesion_id} lies on what looks like breast."
        if in_breast < LEAST_IN_BREAST and breast_is_known(tissue):
            rows.exclusions.append(Exclusion(part.lesion_id, entry.patient_id, "mask-outside-breast", found))
            return False
        rows.decisions.append(
            Decision(part.lesion_id, entry.patient_id, "mask-outside-breast", found, "Kept; look at it.")
        )
    if area < _TINY_PX:
        found = f"The mask of {part.lesion_id} has {area} pixels at the working resolution."
        done = "Kept, so that no normal patch is cut over it."
        rows.decisions.append(Decision(part.lesion_id, entry.patient_id, "lesion-tiny", found, done))
    return True


def _lesion_row(
    part: _Part, entry: MammogramEntry, mask: Mask, box: tuple[int, int, int, int], file: str
) -> dict[str, Any]:
    return {
        "lesion_id": part.lesion_id,
        "mammogram_id": entry.mammogram_id,
        "patient_id": entry.patient_id,
        "pathology": part.lesion.pathology,
        "abnormality": part.lesion.abnormality,
        "attributes": json.dumps(part.attributes, sort_keys=True),
        "top": box[0],
        "left": box[1],
        "height": box[2],
        "width": box[3],
        "area_px": int(np.count_nonzero(mask)),
        "source_file": file,
    }


def _find_masks(
    lesion: LesionEntry,
    patient_id: str,
    pixels: StoredImage | HalvedImage,
    shape: tuple[int, int],
    tissue: TissueMap,
    in_crop: bool,
    rows: Prepared,
) -> tuple[list[tuple[Mask, tuple[int, int, int, int]]], Path | None]:
    """Return the masks of a lesion, or of those in its file, in their boxes at the working resolution, and the file."""
    if isinstance(lesion.place, tuple):
        found = find_lesion_mask(lesion, patient_id, pixels)
        is_calcification = lesion.abnormality == "calcification"
        checked = check_mask(found.mask, tissue, lesion.lesion_id, is_calcification, in_crop)
        rows.decisions.extend(found.decisions)
        rows.decisions.extend(remarked(remark, lesion.lesion_id, patient_id) for remark in checked.remarks)
        rows.exclusions.extend(
            Exclusion(lesion.lesion_id, patient_id, problem.rule, problem.found) for problem in checked.left_out
        )
        return [resample_box_to_box(*part, found.mask.shape, shape) for part in checked.parts], found.file
    kind = type(lesion.place).__name__.lower()
    if why := why_not_drawn(lesion.place):
        raise MaskProblem("lesion-without-place", f"{lesion.source}: the {kind} of {lesion.lesion_id} {why}.")
    drawn = draw_mask(lesion.place, shape, (shape[0] / pixels.shape[0], shape[1] / pixels.shape[1]))
    if not drawn.any():
        raise MaskProblem("mask-outside", f"{lesion.source}: the {kind} of {lesion.lesion_id} misses the image.")
    if drawn.mean() > LARGEST_SHARE:
        found_large = f"{lesion.source}: the {kind} of {lesion.lesion_id} marks {drawn.mean():.0%} of the picture."
        raise MaskProblem("mask-too-large", found_large)
    if (share := share_in_picture(lesion.place, (pixels.shape[0], pixels.shape[1]))) < _LEAST_IN_PICTURE:
        found_out = f"{lesion.source}: of the {kind} of {lesion.lesion_id} only {share:.0%} lies in the picture."
        done = "Cut off at the border. Were rows and columns exchanged, or is it of another picture?"
        rows.decisions.append(Decision(lesion.lesion_id, patient_id, "place-cut-off", found_out, done))
    is_area = lesion.abnormality != "calcification" and np.count_nonzero(drawn) >= _TINY_PX
    if is_area and isinstance(lesion.place, Outline) and encloses_nothing(lesion.place):
        found_line = f"{lesion.source}: the outline of {lesion.lesion_id} encloses nothing: its points lie on a line."
        done = "Kept as a line, so that no normal patch is cut over it. Look whether points are missing."
        rows.decisions.append(Decision(lesion.lesion_id, patient_id, "outline-without-area", found_line, done))
    return [resample_mask_to_box(drawn, shape)], None


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
    if rows.made_for != _made_for(source, entry, split) or rows.written.keys() != rows.hashes.keys():
        return False
    if any(_stat(folder / name) != was for name, was in rows.written.items()):
        return False
    if rows.sources != _stats_of_sources(entry):
        return False
    return not any(exclusion.rule in _TRIED_AGAIN for exclusion in rows.exclusions)


def _made_for(source: Path, entry: MammogramEntry, split: str) -> str:
    def relative(path: Any) -> str:
        return relative_path(path, source) if isinstance(path, Path) else str(path)

    entry_and_split = json.dumps([asdict(entry), split], sort_keys=True, default=relative)
    return hashlib.sha256(entry_and_split.encode()).hexdigest()


def _stat(path: Path) -> list[int]:
    """Return what shows whether a file was changed or replaced: its size, times and number; [] if it is not there."""
    try:
        about = path.stat()
    except (OSError, ValueError):
        return []
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]


def _stats_of_sources(entry: MammogramEntry) -> dict[str, list[int]]:
    if entry.versions:  # fetched from a store for each run; what lies there is part of the entry
        return {}
    return {str(path): _stat(path) for path in entry.files}


def rows_path(folder: Path, mammogram_id: str) -> Path:
    """Return where the rows of a mammogram are noted while a set is being made."""
    return inside(folder, f"{mammogram_id}.json")


def relative_path(path: Path, source: Path) -> str:
    """Return a file's path inside a collection; as it is where it lies elsewhere."""
    base = base_folder(source)
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()


def _write(folder: Path, name: str, content: bytes, rows: Prepared) -> None:
    """Write a file, note its hash, and what it is like. A power cut may lose it; that it is missed, `is_whole` sees."""
    path = inside(folder, name)
    write_atomically(path, content, durable=False)
    rows.hashes[name] = hashlib.sha256(content).hexdigest()
    rows.written[name] = _stat(path)


def _find_image(entry: MammogramEntry) -> tuple[Path, list[Decision]]:
    """Return the one file of a mammogram; of several with the same content the first, with the decision.

    Raises:
        ImageFileError: there are several with different content.
    """
    first, *others = entry.image
    if not others:
        return first, []
    if len({fingerprint_file(path) for path in entry.image}) == 1:
        files = ", ".join(map(str, entry.image))
        found = f"{entry.mammogram_id} has {len(entry.image)} files, {len(others)} of them copies: {files}."
        done = "One of each was read."
        return first, [Decision(entry.mammogram_id, entry.patient_id, "file-twice", found, done)]
    if len({path.parent for path in entry.image}) > 1:
        files = ", ".join(map(str, entry.image))
        raise ImageFileError(f"The mammogram {entry.mammogram_id} has several files: {files}. Remove all but one.")
    names = ", ".join(path.name for path in entry.image)
    raise ImageFileError(
        f"{first.parent} should hold one file, the mammogram {entry.mammogram_id}, but holds several: {names}."
    )


def _check_shape(entry: MammogramEntry, path: Path, found: tuple[int, ...]) -> None:
    if entry.source_shape is not None and found != entry.source_shape:
        raise ImageFileError(
            f"{path} has {found[0]}x{found[1]} pixels, but the collection's have {entry.source_shape[0]}x"
            f"{entry.source_shape[1]}: it is a changed copy, on which the places of lesions do not hold."
        )
