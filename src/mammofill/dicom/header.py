"""The header of an image."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag

from mammofill.dicom.elements import Notes, is_left_out, optional, spacing_of, text_of, whole_number
from mammofill.ground.errors import ImageFileError
from mammofill.ground.foreign_files import Remark, open_regular

_VIEW_CODES = {"399162004": "CC", "R-10242": "CC", "399368009": "MLO", "R-10226": "MLO"}
"""Views by their codes in SNOMED CT and in SNOMED RT. Source: DICOM PS3.16, context group 4014."""


@dataclass(frozen=True)
class DicomHeader:
    """Header fields of one image; None where a field is missing."""

    rows: int
    columns: int
    frames: int
    samples_per_pixel: int
    bits_stored: int
    photometric: str
    """For example MONOCHROME2. Source: DICOM PS3.3 C.7.6.3.1.2."""
    transfer_syntax: str
    """Name of the transfer syntax, for example "JPEG 2000 Image Compression"."""
    series_description: str | None
    patient_id: str | None
    laterality: str | None
    """L or R, from ImageLaterality or Laterality."""
    view: str | None
    """ViewPosition, for example CC or MLO; else CC or MLO from ViewCodeSequence."""
    spacing_mm: tuple[float, float] | None
    """Distance between rows and between columns: PixelSpacing, else ImagerPixelSpacing (at the detector)."""
    has_window: bool
    """Whether a VOI LUT or a window is present."""
    sop_instance_uid: str | None
    series_uid: str | None = None
    """SeriesInstanceUID."""
    intent: str | None = None
    """PresentationIntentType: FOR PRESENTATION or FOR PROCESSING. Source: DICOM PS3.3 C.8.11.7."""
    modality: str | None = None
    """Modality, for example MG. Source: DICOM PS3.3 C.7.3.1.1.1."""
    remarks: tuple[Remark, ...] = ()
    """Fields that are present but cannot be read; their values are unknown."""


@dataclass(frozen=True)
class FileStart:
    """The beginning of a file, up to its pixels."""

    dataset: Dataset
    element: bytes
    """The first eight bytes of the element after the header, normally that of the pixels."""
    length: int
    """Length of that element's value in bytes, as given in the file."""
    offset: int
    """Position of the pixels in the file, in bytes."""
    size: int
    """Size of the file in bytes."""
    next_tag: int
    """Tag of the element behind the pixels; 0 at the end of the file."""


def read_start(path: Path) -> FileStart:
    """Read a file up to the beginning of its pixels."""
    with open_regular(path) as file:
        dataset = _read(path, file, pixels=False)
        # Source of this element's layout: DICOM PS3.5 section 7.1.2, Explicit VR, tag (7FE0,0010).
        element, length = file.read(8), int.from_bytes(file.read(4), "little")
        offset, size = file.tell(), os.fstat(file.fileno()).st_size
        file.seek(min(offset + length, size))
        group, number = (int.from_bytes(file.read(2), "little") for _ in range(2))
        return FileStart(dataset, element, length, offset, size, next_tag=group << 16 | number)


def read_dataset(path: Path, pixels: bool) -> Dataset:
    """Read a whole file, or the part before its pixels."""
    with open_regular(path) as file:
        return _read(path, file, pixels)


_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
"""Tags of the elements that hold pixels: fractions of two sizes, whole numbers."""

_NEEDED_FOR_PIXELS = frozenset({
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept",
    "ModalityLUTSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "FloatPixelData", "DoubleFloatPixelData", "PixelData",
})  # fmt: skip


def _read(path: Path, file: BinaryIO, pixels: bool) -> Dataset:
    """Read a data set, whole or up to its pixels; of an element that occurs twice the library would keep the last.

    An element occurs at most once (DICOM PS3.5 section 7.1), and programs differ in which one they take. If the values
    are the same, it does no harm. Otherwise the element counts as unknown: it is removed, and named in `dataset.twice`.

    Raises:
        ImageFileError: the pixels depend on it.
    """
    counts: Counter[int] = Counter()

    def note(tag: BaseTag, vr: str | None, length: int) -> bool:
        counts[tag] += 1
        return not pixels and tag in _PIXELS

    dataset = read_partial(file, note)
    end = file.tell()
    twice = [tag for tag, count in counts.items() if count > 1 and not BaseTag(tag).is_private]
    differing = [tag for tag in twice if _value(_read_once(file, tag), tag) != _value(dataset, tag)]
    file.seek(end)
    names = {tag: keyword_for_tag(tag) or str(BaseTag(tag)) for tag in differing}
    if needed := [name for name in names.values() if name in _NEEDED_FOR_PIXELS]:
        raise ImageFileError(
            f"{path} has {needed[0]} twice, with different values, of which some programs take the first and some the "
            "last: which of them is right is unknown. Export it again."
        )
    for tag in differing:
        del dataset[tag]
    dataset.twice = tuple(names.values())
    return normalised(dataset)


def _read_once(file: BinaryIO, twice: int) -> Dataset:
    """Read a data set up to the second occurrence of an element."""
    counts: Counter[int] = Counter()

    def note(tag: BaseTag, vr: str | None, length: int) -> bool:
        counts[tag] += 1
        return counts[twice] > 1

    file.seek(0)
    return read_partial(file, note)


def _value(dataset: Dataset, tag: int) -> Any:
    return getattr(dataset.get_item(tag), "value", None) if tag in dataset else None


_OF_ONE_FRAME = {
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    "PixelMeasuresSequence": ("PixelSpacing",),
}
"""Functional groups in which a multi-frame object, such as tomosynthesis, has elements that other objects have at the
top level. Source: DICOM PS3.3 C.7.6.16.2."""


def normalised(dataset: Dataset) -> Dataset:
    """Normalise variants whose meaning is certain: case, spaces, missing SamplesPerPixel, elements of a single frame.

    Source of spaces without meaning: DICOM PS3.5 section 6.2, CS.
    """
    written = dataset.get("PhotometricInterpretation")
    if isinstance(written, str) and (plain := written.strip(" \0").upper()) != written:
        dataset.PhotometricInterpretation = plain
    if "SamplesPerPixel" not in dataset and str(dataset.get("PhotometricInterpretation")).startswith("MONOCHROME"):
        dataset.SamplesPerPixel = 1
    if "SharedFunctionalGroupsSequence" in dataset or "PerFrameFunctionalGroupsSequence" in dataset:
        _take_facts_of_frame(dataset)
    return dataset


def _take_facts_of_frame(dataset: Dataset) -> None:
    """Copy elements from the functional groups to the top level of an object of one frame, where they are missing."""
    for groups in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        frames: Any = dataset.get(groups)
        if not frames or len(frames) != 1:
            continue
        for name, facts in _OF_ONE_FRAME.items():
            for fact in facts if (items := frames[0].get(name)) else ():
                if is_left_out(dataset, fact) and fact in items[0]:
                    dataset[fact] = items[0][fact]


def header_of_whole(path: Path, dataset: Dataset) -> DicomHeader:
    """Return the header's fields, read again where pydicom found no element: a compressed file without its end."""
    return header_of(path, dataset if "Rows" in dataset else read_dataset(path, pixels=False))


def header_of(path: Path, dataset: Dataset) -> DicomHeader:
    """Return a header's fields about the image.

    Raises:
        ImageFileError: it describes no image, has no transfer syntax, or has a damaged number.
    """
    missing = [name for name in (*_SIZES, "PhotometricInterpretation") if name not in dataset]
    if missing:
        kind = getattr(dataset.file_meta.get("MediaStorageSOPClassUID", None), "name", "of no named kind")
        raise ImageFileError(f"{path} holds no image: its header ({kind}) lacks {', '.join(missing)}.")
    syntax = dataset.file_meta.get("TransferSyntaxUID", None)
    if syntax is None:
        raise ImageFileError(f"{path} does not say its transfer syntax (0002,0010), so its pixels cannot be decoded.")
    numbers = {name: whole_number(path, dataset, name) or 0 for name in _SIZES}
    notes = Notes(path, [])
    for name in getattr(dataset, "twice", ()):
        notes.add("header-unreadable", f"{name} occurs twice, with different values.", "Taken for unknown.")

    def text(name: str) -> str | None:
        return text_of(optional(dataset, name, notes))

    intent = text("PresentationIntentType")
    return DicomHeader(
        rows=numbers["Rows"],
        columns=numbers["Columns"],
        frames=whole_number(path, dataset, "NumberOfFrames") or 1,
        samples_per_pixel=whole_number(path, dataset, "SamplesPerPixel") or 1,
        bits_stored=numbers["BitsStored"],
        photometric=str(dataset.PhotometricInterpretation),
        transfer_syntax=str(syntax.name),
        series_description=text("SeriesDescription"),
        patient_id=text("PatientID"),
        laterality=text("ImageLaterality") or text("Laterality"),
        view=text("ViewPosition") or _view_by_code(optional(dataset, "ViewCodeSequence", notes)),
        spacing_mm=spacing_of(dataset, "PixelSpacing", notes) or spacing_of(dataset, "ImagerPixelSpacing", notes),
        has_window="VOILUTSequence" in dataset or "WindowWidth" in dataset,
        sop_instance_uid=text("SOPInstanceUID"),
        series_uid=text("SeriesInstanceUID"),
        intent=intent.upper() if intent else None,
        modality=text("Modality"),
        remarks=tuple(notes.remarks),
    )


_SIZES = ("Rows", "Columns", "BitsAllocated", "BitsStored")


def _view_by_code(items: Any) -> str | None:
    codes = (text_of(item.get("CodeValue")) for item in items or () if isinstance(item, Dataset))
    return next((_VIEW_CODES[code] for code in codes if code in _VIEW_CODES), None)
