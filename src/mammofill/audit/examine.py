"""Examines one mammogram's files in a worker process, which returns a few facts and a small copy."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from mammofill.audit.likeness import SmallCopy, hash_picture, small_copy
from mammofill.ground.foreign_files import ReadImage
from mammofill.ground.imaging import Mask, decode_png, encode_png, mask_box
from mammofill.mammograms.device_tells_class import FileFacts, file_facts
from mammofill.mammograms.mask_fits import MaskFit
from mammofill.mammograms.names_in_headers import hidden_name
from mammofill.mammograms.prepare import prepare_alone
from mammofill.mammograms.reading import read_image
from mammofill.mammograms.settings import IngestSettings
from mammofill.mammograms.sources.annotations import Decision, Exclusion, LesionEntry, MammogramEntry
from mammofill.mammograms.sources.shared_masks import ReadFromFile, masks_from_files
from mammofill.mammograms.tissue import Tissue, enlarge_tissue, map_tissue


@dataclass(frozen=True)
class Pixels:
    """Properties of a mammogram's pixels."""

    sha256: str
    """Hash of size and values: the same for the same picture in another file format."""
    bits: int
    """Bits per value as the file states."""
    used_bits: int
    """Bits needed for all but the greatest hundredth of the values."""
    signed: bool
    """Whether values below 0 can be stored."""
    intent: str | None
    """FOR PRESENTATION or FOR PROCESSING; None where no header gives it."""
    levels: int
    """Number of different values."""
    share_brightest: float
    """Share of the breast that has the brightest value of the picture, in [0, 1]; 0 where no breast was found."""
    lean: float
    """On which side the breast's border is straight, in [-1, 1]: below 0 its chest wall is on the left; see `_lean`."""
    hash: str
    """Result of `hash_picture`, as hexadecimal digits."""
    mirrored_hash: str
    """The same of the mirror image."""
    header_name: str | None = None
    """Pseudonym of the patient in the header, see `mammograms.names_in_headers`."""
    filled_bits: int = 0
    """Number of bits whose range the greatest value nearly fills; 0 where it fills none."""


@dataclass(frozen=True)
class MaskFile:
    """Which of a lesion's files is its mask."""

    lesion_id: str
    number: int
    """Position among the lesion's files, from 1 on."""
    files: int
    """Number of the lesion's files."""
    folders: tuple[str, ...]
    """Folders of these files."""


@dataclass(frozen=True)
class Facts:
    """The result of ingest's functions for one mammogram."""

    exclusions: tuple[Exclusion, ...]
    decisions: tuple[Decision, ...]
    pixels: Pixels | None
    """None where the mammogram is left out."""
    mask_files: tuple[MaskFile, ...] = ()
    masks: tuple[ReadFromFile, ...] = ()
    """Hashes and sizes by which the masks of its lesions are compared."""
    fits: tuple[MaskFit, ...] = ()
    """How the masks of its lesions fit it."""
    files: tuple[FileFacts, ...] = ()
    """Facts that may reveal the device, for a mammogram with a lesion."""


def examine(source: Path, folder: Path, settings: IngestSettings, entry: MammogramEntry) -> None:
    """Examine one mammogram and its masks.

    Args:
        source: the collection; only read.
        folder: receives ``<mammogram_id>.json``, the facts, and ``<mammogram_id>.png``, a small copy.
        settings: of ingest.
        entry: the mammogram.
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = prepare_alone(source, entry, settings, Path(scratch))
    pixels = None
    if made.mammograms:
        read = read_image(entry.image[0], entry.bits, settings.window)
        image = read.pixels
        pixels = _pixels(read, entry)
        (folder / f"{entry.mammogram_id}.png").write_bytes(encode_png(small_copy(image)))
    mask_files = tuple(_mask_files(source, entry, made.lesions))
    masks = tuple(masks_from_files([entry], made.mammograms, made.lesions, made.hashes))
    files = file_facts(made.mammograms, made.lesions, {one.mammogram_id: one.darkest for one in made.values})
    of_set = (mask_files, masks, tuple(made.fits), tuple(files))
    facts = Facts(tuple(made.exclusions), tuple(made.decisions), pixels, *of_set)
    (folder / f"{entry.mammogram_id}.json").write_text(json.dumps(asdict(facts)), encoding="utf-8")


def read_facts(folder: Path, entry: MammogramEntry) -> Facts | None:
    """Return the facts that `examine` wrote; None where it did not finish."""
    path = folder / f"{entry.mammogram_id}.json"
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return Facts(
        tuple(Exclusion(**row) for row in found["exclusions"]),
        tuple(Decision(**row) for row in found["decisions"]),
        Pixels(**found["pixels"]) if found["pixels"] else None,
        tuple(MaskFile(**(row | {"folders": tuple(row["folders"])})) for row in found["mask_files"]),
        tuple(ReadFromFile(**(row | {"pixels": tuple(row["pixels"])})) for row in found["masks"]),
        tuple(MaskFit(**row) for row in found["fits"]),
        tuple(FileFacts(**row) for row in found["files"]),
    )


def read_small_copy(folder: Path, mammogram_id: str) -> SmallCopy:
    """Return the small copy that `examine` wrote: (128, 128) uint8."""
    return decode_png((folder / f"{mammogram_id}.png").read_bytes()).astype(np.uint8, copy=False)


def _pixels(read: ReadImage, entry: MammogramEntry) -> Pixels:
    image = read.pixels
    breast = enlarge_tissue(map_tissue(image, entry.view, entry.laterality), image.shape) != Tissue.FILM
    return Pixels(
        sha256=sha256(str(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest(),
        bits=read.bits,
        used_bits=read.used_bits,
        signed=read.signed,
        intent=read.intent,
        levels=int(np.count_nonzero(np.bincount(image.ravel(), minlength=2**16))),
        share_brightest=float(np.mean(image[breast] == image.max())) if breast.any() else 0.0,
        lean=_lean(breast),
        hash=hash_picture(image).tobytes().hex(),
        mirrored_hash=hash_picture(image[:, ::-1]).tobytes().hex(),
        header_name=hidden_name(read.patient_id),
        filled_bits=read.filled_bits,
    )


def _lean(breast: Mask) -> float:
    """Return the mean gap between the breast and the left side of its bounding box, less that on the right side.

    The breast's border is straight at the chest wall, so that it follows the box there; on the other side it is round.
    Gaps are means over all rows, divided by the width of the box.
    """
    top, left, height, width = mask_box(breast)
    rows = breast[top : top + height, left : left + width]
    rows = rows[rows.any(axis=1)]
    if not rows.size:
        return 0.0
    left_gap, right_gap = rows.argmax(axis=1).mean(), rows[:, ::-1].argmax(axis=1).mean()
    return float(left_gap - right_gap) / width


def _mask_files(source: Path, entry: MammogramEntry, lesions: Sequence[Mapping[str, Any]]) -> list[MaskFile]:
    places: dict[str, LesionEntry] = {lesion.lesion_id: lesion for lesion in entry.lesions}
    base = source if source.is_dir() else source.parent
    found = []
    for made in lesions:
        whole = places.get(made["lesion_id"]) or places[made["lesion_id"].rpartition("-")[0]]  # it is a part of a mask
        place = whole.place
        mask = base / made["source_file"]
        if isinstance(place, tuple) and len(place) > 1 and mask in place:
            number = place.index(mask) + 1
            folders = tuple(sorted({str(path.parent) for path in place}))
            found.append(MaskFile(made["lesion_id"], number, len(place), folders))
    return found
