"""One DICOM file <-> pixels and header facts. The only room that reads DICOM; `export` writes objects of its own.

What is read: single-frame gray images of 1 to 16 bits in any transfer syntax for which a decoder is installed. All
else is refused with an `ImageFileError` that says what was found. Intensities come out in the order in which they are
displayed, bright = dense, over the full 16-bit range.

This is where it is decided what stored values mean; docs/sources.md lists each attribute, the rule, and its source in
the standard. What pixels do not need (patient, spacing, words) never refuses them: it is unknown, and remarked upon.
"""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import generate_fragments, generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from mammofill.ground.compressed_frames import FrameFacts, facts_of_frame
from mammofill.ground.errors import ImageFileError
from mammofill.ground.foreign_files import (
    ReadImage,
    Remark,
    bits_in_use,
    check_size,
    looks_like,
    open_regular,
    sampled,
)
from mammofill.ground.imaging import FULL_RANGE, StoredImage

Window = Literal["none", "first"]

_logger = logging.getLogger("mammofill.dicom")

_VIEW_CODES = {"399162004": "CC", "R-10242": "CC", "399368009": "MLO", "R-10226": "MLO"}
"""Views by their codes in SNOMED CT and in SNOMED RT. Source: DICOM PS3.16, context group 4014."""

SYNTHETIC_RULE = "image-synthetic"
"""Rule of the remark about a file that says that it is synthetic. Source: DICOM PS3.3 C.12.1 (SOP Common)."""

HALVED_RULE = "jpeg2000-halved"
"""Rule of the remark about a file of which only the half resolution was decoded."""

_SQUARE = 0.01
"""Sides of a pixel that differ by no more than this share are called the same."""

_DECODERS = ("pyjpegls", "pylibjpeg", "gdcm")
"""Plugins in the order in which they are tried, so that the same file is decoded by the same code everywhere."""

_TWELVE_BITS = "imagecodecs"
"""What decodes JPEG of 12 bits, for which the library has no plugin (it has libjpeg-turbo inside)."""


@dataclass(frozen=True)
class DicomHeader:
    """What a header says about one image; None where it says nothing."""

    rows: int
    columns: int
    frames: int
    samples_per_pixel: int
    bits_stored: int
    photometric: str
    """For example MONOCHROME2. Source: DICOM PS3.3 C.7.6.3.1.2."""
    transfer_syntax: str
    """Its name, for example "JPEG 2000 Image Compression"."""
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
    """Facts that are there and cannot be read, and are taken for unknown."""


def read_header(path: str | Path) -> DicomHeader:
    """Read the facts about a file's image without reading its pixels.

    Args:
        path: the file.

    Raises:
        ImageFileError: the file is missing, not DICOM, or holds no image.
    """
    return parse(path).header


@dataclass(frozen=True)
class ParsedFile:
    """A file whose header was read, and its pixels were not: see `parse`."""

    path: Path
    header: DicomHeader
    _start: _Start


def parse(path: str | Path) -> ParsedFile:
    """Read a file's header, once for those who ask for its facts first, and for its pixels (`read_values`) later.

    Args:
        path: the file; nobody may change it in between.

    Raises:
        ImageFileError: as `read_header`.
    """
    path = Path(path)
    with _refusals(path):
        start = _parsed(path)
        return ParsedFile(path, _header(path, start.dataset), start)


def read_image(path: str | Path, window: Window = "none") -> StoredImage:
    """Read the pixels of a gray single-frame image: those of `read`, which says what was remarkable about them too."""
    return read(path, window).pixels


def read(path: str | Path, window: Window = "none", half_if_rows: int | None = None) -> ReadImage:
    """Read a gray single-frame image.

    The order of the steps is that of DICOM PS3.4 N.2: decoding, modality transformation (PS3.3 C.11.1), values of
    interest (C.11.2) if asked for, and last the inversion of MONOCHROME1 (C.7.6.3.1.2). Between the last two the range
    that the transformations can reach is stretched linearly over 0..65535, so that two images of one device stay
    comparable and no level is lost: an image of 12 bits keeps its 4096 levels. Padding (C.7.5.1.1.2) becomes 0.

    Args:
        path: the file.
        window: none keeps the stored intensities whole (the default: scanned film carries windows that were chosen for
            one screen, and clipping at them loses what a network may use). first applies the file's first VOI LUT, or
            its first window, where it has one.
        half_if_rows: decode JPEG 2000 at half its resolution, four times as fast, where this leaves at least so many
            rows. That is the low band of the wavelet and no mean of areas: it rings a little at edges, and lies half a
            pixel of the file up and to the left.

    Returns:
        (rows, columns) uint16 over 0..65535, bright = dense, and what was remarkable.

    Raises:
        ImageFileError: the file is missing, truncated, not DICOM, holds no image, a colour image or several frames,
            cannot be decoded here, or its values do not fit its own header.
    """
    path = Path(path)
    with _refusals(path):
        start = _parsed(path)
        half = _half_stored(path, start, half_if_rows) if half_if_rows is not None else None
        stored, dataset, notes = half or _stored_and_noted(path, start)
        low, shown = _what_values_show(stored, dataset, window, notes)
        _note_doubts(dataset, notes)
        _note_unused_sign(stored, dataset, notes)
        used_bits, filled_bits = _bits_in_use(stored, low, shown, dataset, notes)
        header = _header_of_whole(path, dataset)
        return ReadImage(
            _looked_up(stored, low, shown),
            header.bits_stored,
            used_bits,
            _is_signed(dataset),
            header.intent,
            tuple(notes.remarks),
            header.patient_id,
            is_compressed=dataset.file_meta.TransferSyntaxUID.is_encapsulated,
            halved_from=(header.rows, header.columns) if half else None,
            modality=header.modality,
            laterality=header.laterality,
            view=header.view,
            filled_bits=filled_bits,
            windowed=notes.windowed,
            spacing_mm=header.spacing_mm[0] if header.spacing_mm else None,
        )


def read_values(file: ParsedFile) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], tuple[Remark, ...]]:
    """Read an image of which only the order of values counts, as of a mask.

    Args:
        file: from `parse`.

    Returns:
        What `read` does; but an image of 8 bits that `read` would only stretch is left over 0..255, of type uint8. And
        what was remarkable.

    Raises:
        ImageFileError: as `read`.
    """
    with _refusals(file.path):
        stored, dataset, notes = _stored_and_noted(file.path, file._start)
        low, shown = _what_values_show(stored, dataset, "none", notes)
        _note_doubts(dataset, notes)
        as_it_is = stored.dtype == np.uint8 and np.array_equal(shown, _STRETCHED_BYTES)
        values = np.asarray(stored, np.uint8) if as_it_is else _looked_up(stored, low, shown)
        return values, tuple(notes.remarks)


_STRETCHED_BYTES = np.arange(256) * (FULL_RANGE // 255)


@dataclass(frozen=True)
class StoredValues:
    """An image as it is stored, and what its values mean: for those who write it again, changed in one place."""

    values: NDArray[np.integer[Any]]
    """(rows, columns) as stored; not to be written to: it may be the file itself, mapped."""
    bits: int
    low: int
    """The lowest value that the bits can hold."""
    shown: NDArray[np.uint16]
    """What each value that the bits can hold is shown as, from the lowest on, over 0..65535: see `read`."""
    header: Any
    """The library's dataset."""


def read_stored(path: str | Path) -> StoredValues:
    """Read a gray single-frame image as it is stored, without a window.

    Args:
        path: the file.

    Raises:
        ImageFileError: as `read`.
    """
    path = Path(path)
    with _refusals(path):
        start = _parsed(path)
        notes = _Notes(path, [])
        stored, dataset = _stored(path, start, notes)
        stored = _without_unused_bits(stored, dataset, notes)
        low, shown = _what_values_show(stored, dataset, "none", notes)
        return StoredValues(stored, int(dataset.BitsStored), low, shown, dataset)


def write_image(
    path: str | Path,
    pixels: NDArray[np.uint16] | NDArray[np.uint8],
    *,
    patient_id: str,
    uid_names: tuple[str, ...],
    bits: int = 16,
    monochrome1: bool = False,
    series_description: str = "",
    laterality: str = "",
    view: str = "",
    study_uid: str = "",
    series_uid: str = "",
) -> None:
    """Write a gray image as an uncompressed DICOM file (Explicit VR Little Endian), the same bytes for the same input.

    Args:
        path: the file; its folder must exist.
        pixels: (rows, columns) stored values, less than 2**bits, bright = dense. With `monochrome1` they are inverted
            here, so that a reader gets the same picture back.
        patient_id: PatientID and PatientName.
        uid_names: what the instance's UID is made from; the same names give the same UID.
        bits: bits stored, 1 to 16.
        monochrome1: write it with low values bright.
        series_description: SeriesDescription.
        laterality: L or R.
        view: CC or MLO.
        study_uid: StudyInstanceUID; made from the names if left out.
        series_uid: SeriesInstanceUID; likewise.
    """
    if int(pixels.max(initial=0)) >= 2**bits:
        raise ValueError(f"{path}: values up to {pixels.max()} do not fit {bits} bits.")
    allocated = 8 if bits <= 8 else 16
    stored = pixels.astype(np.uint8 if allocated == 8 else "<u2")
    if monochrome1:
        stored = (2**bits - 1 - stored.astype(np.int64)).astype(stored.dtype)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[*uid_names, "instance"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = generate_uid(entropy_srcs=["mammofill"])
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = study_uid or generate_uid(entropy_srcs=[*uid_names, "study"])
    dataset.SeriesInstanceUID = series_uid or generate_uid(entropy_srcs=[*uid_names, "series"])
    # Not from a detector, so not of the digital mammography class, whose exposure facts it could only make up.
    # Source: DICOM PS3.3 A.8.1 and C.8.6.1; empty where the standard wants the element but not a value.
    dataset.Modality, dataset.ConversionType = "MG", "SYN"
    for unknown in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID"):
        setattr(dataset, unknown, "")
    dataset.ReferringPhysicianName, dataset.PatientOrientation = "", ""
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.PatientID = dataset.PatientName = patient_id
    dataset.SeriesDescription = series_description
    if laterality:
        dataset.ImageLaterality = laterality
    if view:
        dataset.ViewPosition = view
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if monochrome1 else "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, bits, bits - 1
    dataset.PixelRepresentation = 0
    content = stored.tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset["PixelData"].VR = "OB" if allocated == 8 else "OW"
    dataset.save_as(path, enforce_file_format=True)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Turn whatever the library raises over a broken file into our error.

    What it warns of meanwhile is about details of the header; it goes to our log at level INFO, with the file's name.
    """
    with warnings.catch_warnings(record=True) as remarks, _quiet(logging.getLogger("pydicom")):
        warnings.simplefilter("always")
        try:
            yield
        except ImageFileError:
            raise
        except InvalidDicomError as error:
            raise ImageFileError(
                f"{path} is not a DICOM file: {looks_like(path) or 'it lacks the DICM mark and a file header'}."
            ) from error
        except (MemoryError, KeyboardInterrupt, SystemExit):
            raise
        except OSError as error:
            raise ImageFileError(f"{path} cannot be read: {error}.") from error
        except BaseException as error:
            # A broken header can raise nearly anything inside the library; a decoder in Rust panics, which is no
            # Exception.
            told = str(error) or type(error).__name__
            raise ImageFileError(f"{path} cannot be read as DICOM: {told}. The file is damaged.") from error
        finally:
            for remark in remarks:
                _logger.info("%s: %s", path, remark.message)


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _dataset(path: Path, pixels: bool) -> Dataset:
    with open_regular(path) as file:
        return _in_plain_words(dcmread(file, stop_before_pixels=not pixels))


_OF_ONE_FRAME = {
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction"),
    "PixelMeasuresSequence": ("PixelSpacing",),
}
"""Where an object made for several frames, as of tomosynthesis, says of each what others say of the whole. Source:
DICOM PS3.3 C.7.6.16.2."""


def _in_plain_words(dataset: Dataset) -> Dataset:
    """Bring a header whose meaning is certain to the words of most: case, spaces, one sample, the facts of one frame.

    Source of spaces that do not count: DICOM PS3.5 section 6.2, CS.
    """
    said = dataset.get("PhotometricInterpretation")
    if isinstance(said, str) and (plain := said.strip(" \0").upper()) != said:
        dataset.PhotometricInterpretation = plain
    if "SamplesPerPixel" not in dataset and str(dataset.get("PhotometricInterpretation")).startswith("MONOCHROME"):
        dataset.SamplesPerPixel = 1
    if "SharedFunctionalGroupsSequence" in dataset or "PerFrameFunctionalGroupsSequence" in dataset:
        _take_facts_of_frame(dataset)
    return dataset


def _take_facts_of_frame(dataset: Dataset) -> None:
    """Say of an object of one frame what its functional groups say of that frame."""
    for groups in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        frames: Any = dataset.get(groups)
        if not frames or len(frames) != 1:
            continue
        for name, facts in _OF_ONE_FRAME.items():
            for fact in facts if (items := frames[0].get(name)) else ():
                if _is_left_out(dataset, fact) and fact in items[0]:
                    dataset[fact] = items[0][fact]


def _is_left_out(dataset: Dataset, name: str) -> bool:
    """Say whether an element is not there, or empty."""
    return name not in dataset or getattr(dataset.get_item(name), "value", None) in (None, b"", "")


@dataclass(frozen=True)
class _Start:
    """What a file begins with, up to its pixels."""

    dataset: Dataset
    element: bytes
    """The eight bytes with which the element of the pixels begins."""
    length: int
    """What it says of its length."""
    offset: int
    """Where the pixels lie in the file."""
    size: int
    """Of the file."""


def _parsed(path: Path) -> _Start:
    with open_regular(path) as file:
        dataset = _in_plain_words(dcmread(file, stop_before_pixels=True))
        # Source of this element's layout: DICOM PS3.5 section 7.1.2, Explicit VR, tag (7FE0,0010).
        element, length = file.read(8), int.from_bytes(file.read(4), "little")
        return _Start(dataset, element, length, file.tell(), os.fstat(file.fileno()).st_size)


def _stored_and_noted(path: Path, start: _Start) -> tuple[NDArray[np.integer[Any]], Dataset, _Notes]:
    notes = _Notes(path, [])
    stored, dataset = _stored(path, start, notes)
    notes.remarks.extend(_header_of_whole(path, dataset).remarks)
    return _without_unused_bits(stored, dataset, notes), dataset, notes


def _stored(path: Path, start: _Start, notes: _Notes) -> tuple[NDArray[np.integer[Any]], Dataset]:
    """Decode the values as they are stored, (rows, columns), of a file that is as it should be."""
    mapped = _mapped(path, start)
    if mapped is not None:
        return mapped
    dataset = _dataset(path, pixels=True)
    header = _header_of_whole(path, dataset)
    if "Rows" not in dataset:  # the library gives up on all of a compressed file whose end is missing
        raise ImageFileError(f"{path} is truncated: it ends before its pixels do. Fetch it again.")
    if fractions := [name for name in ("FloatPixelData", "DoubleFloatPixelData") if name in dataset]:
        raise ImageFileError(f"{path} holds fractions ({fractions[0]}); mammograms and masks are of whole numbers.")
    if not dataset.get("PixelData"):
        raise ImageFileError(f"{path} holds no pixel data, only a header.")
    _check_readable(path, header, dataset)
    _check_length(path, header, dataset)
    return _decode(path, dataset, notes), dataset


def _half_stored(path: Path, start: _Start, least_rows: int) -> tuple[NDArray[np.integer[Any]], Dataset, _Notes] | None:
    """Decode JPEG 2000 at half its resolution; None where it is none, would be too low, or has no lower resolution."""
    syntax = start.dataset.file_meta.get("TransferSyntaxUID")
    if syntax not in (JPEG2000, JPEG2000Lossless) or _header_of_whole(path, start.dataset).rows // 2 < least_rows:
        return None
    dataset = _dataset(path, pixels=True)
    header = _header_of_whole(path, dataset)
    _check_readable(path, header, dataset)
    code = _only_frame(path, dataset)
    notes = _Notes(path, list(header.remarks))
    told = facts_of_frame(code)
    if told is not None:
        _check_frame(told, dataset, notes)
        if told.bits > int(dataset.BitsStored):
            return None  # values may need more bits than the header says, which only the whole picture shows
    # Source: ITU-T T.800, A.5.1: the marker SIZ follows that of the start; its byte 38 says sign and bits, less 1.
    if code[:4] != b"\xff\x4f\xff\x51" or code[42] & 0x80 or _is_signed(dataset):
        return None
    with PillowImage.open(io.BytesIO(code), formats=("JPEG2000",)) as picture:
        picture.reduce = 1  # type: ignore[assignment, method-assign]
        try:
            values = np.asarray(picture)
        except OSError:  # no lower resolution was encoded
            return None
    if values.shape != (-(-header.rows // 2), -(-header.columns // 2)) or values.dtype not in (np.uint8, np.uint16):
        return None
    shift = values.dtype.itemsize * 8 - (code[42] + 1)  # Pillow brings all values to the bits of their type
    stored = np.minimum(values >> max(shift, 0), 2 ** int(dataset.BitsStored) - 1).astype(values.dtype)
    notes.add(HALVED_RULE, f"{header.rows}x{header.columns} pixels in JPEG 2000.", "Decoded at half its resolution.")
    return stored, dataset, notes


def _mapped(path: Path, start: _Start) -> tuple[NDArray[np.integer[Any]], Dataset] | None:
    """Map the pixels of an uncompressed file into memory, as scanned film is kept, without copying them.

    Returns:
        The values and the header; None for any file that is not of the plainest kind, or ends too early.
    """
    dataset = start.dataset
    if dataset.file_meta.get("TransferSyntaxUID") != ExplicitVRLittleEndian:
        return None
    if start.element not in (b"\xe0\x7f\x10\x00OW\0\0", b"\xe0\x7f\x10\x00OB\0\0"):
        return None
    header = _header(path, dataset)
    _check_readable(path, header, dataset)
    bits, signed = int(dataset.BitsAllocated), _is_signed(dataset)
    needed = header.rows * header.columns * bits // 8
    plain = bits in (8, 16) and header.bits_stored == bits and needed > 0
    if not plain or start.length != needed + needed % 2 or start.length > start.size - start.offset:
        return None
    kind = np.dtype(f"<{'i' if signed else 'u'}{bits // 8}")
    return np.memmap(path, kind, "r", start.offset, (header.rows, header.columns)), dataset


def _header_of_whole(path: Path, dataset: Dataset) -> DicomHeader:
    """Return the header's facts; the library gives up on all of a compressed file whose end is missing."""
    return _header(path, dataset if "Rows" in dataset else _dataset(path, pixels=False))


def _header(path: Path, dataset: Dataset) -> DicomHeader:
    missing = [name for name in (*_SIZES, "PhotometricInterpretation") if name not in dataset]
    if missing:
        kind = getattr(dataset.file_meta.get("MediaStorageSOPClassUID", None), "name", "of no named kind")
        raise ImageFileError(f"{path} holds no image: its header ({kind}) lacks {', '.join(missing)}.")
    syntax = dataset.file_meta.get("TransferSyntaxUID", None)
    if syntax is None:
        raise ImageFileError(f"{path} does not say its transfer syntax (0002,0010), so its pixels cannot be decoded.")
    numbers = {name: _whole_number(path, dataset, name) or 0 for name in _SIZES}
    notes = _Notes(path, [])

    def text(name: str) -> str | None:
        return _text(_optional(dataset, name, notes))

    intent = text("PresentationIntentType")
    return DicomHeader(
        rows=numbers["Rows"],
        columns=numbers["Columns"],
        frames=_whole_number(path, dataset, "NumberOfFrames") or 1,
        samples_per_pixel=_whole_number(path, dataset, "SamplesPerPixel") or 1,
        bits_stored=numbers["BitsStored"],
        photometric=str(dataset.PhotometricInterpretation),
        transfer_syntax=str(syntax.name),
        series_description=text("SeriesDescription"),
        patient_id=text("PatientID"),
        laterality=text("ImageLaterality") or text("Laterality"),
        view=text("ViewPosition") or _view_by_code(_optional(dataset, "ViewCodeSequence", notes)),
        spacing_mm=_spacing(dataset, "PixelSpacing", notes) or _spacing(dataset, "ImagerPixelSpacing", notes),
        has_window="VOILUTSequence" in dataset or "WindowWidth" in dataset,
        sop_instance_uid=text("SOPInstanceUID"),
        series_uid=text("SeriesInstanceUID"),
        intent=intent.upper() if intent else None,
        modality=text("Modality"),
        remarks=tuple(notes.remarks),
    )


_SIZES = ("Rows", "Columns", "BitsAllocated", "BitsStored")


def _whole_number(path: Path, dataset: Dataset, name: str) -> int | None:
    """Return a number on which it hangs what the pixels are; None where it is left out or empty."""
    value = dataset.get(name)
    if value is None or value == "":
        return None
    try:
        if isinstance(value, int | float | str) and int(value) == float(value):
            return int(value)
    except ValueError:
        pass
    raise ImageFileError(f"{path} has {value!r} as {name}, where one whole number must stand. Its header is damaged.")


@dataclass
class _Notes:
    """What is remarkable about a file, as far as it has been read."""

    path: Path
    remarks: list[Remark]
    windowed: bool = False
    """Whether a VOI LUT or a window was applied."""

    def add(self, rule: str, found: str, done: str) -> None:
        remark = Remark(rule, f"{self.path}: {found}", done)
        if remark not in self.remarks:
            self.remarks.append(remark)


def _optional(dataset: Dataset, name: str, notes: _Notes) -> Any:
    """Return the value of an element that pixels do not need; None if it is not there, or cannot be read."""
    try:
        return dataset.get(name)
    except Exception as error:  # noqa: BLE001  (values are read only when they are asked for, and raise what they like)
        notes.add("header-unreadable", f"{name} cannot be read ({_last_line(error)}).", "Taken for unknown.")
        return None


def _spacing(dataset: Dataset, name: str, notes: _Notes) -> tuple[float, float] | None:
    value = _optional(dataset, name, notes)
    if not value:
        return None
    try:
        rows, columns = (float(number) for number in value)
        if 0 < rows < np.inf and 0 < columns < np.inf:
            return rows, columns
    except (TypeError, ValueError):
        pass
    notes.add("header-unreadable", f"{name} is {value!r}, not two numbers above 0.", "Taken for unknown.")
    return None


def _view_by_code(items: Any) -> str | None:
    codes = (_text(item.get("CodeValue")) for item in items or () if isinstance(item, Dataset))
    return next((_VIEW_CODES[code] for code in codes if code in _VIEW_CODES), None)


def _text(value: object) -> str | None:
    return str(value).strip() or None if value is not None else None


def _check_readable(path: Path, header: DicomHeader, dataset: Dataset) -> None:
    check_size(path, header.rows, header.columns)
    if header.samples_per_pixel == 1 and header.photometric == "MONOCHROME":
        raise ImageFileError(
            f"{path} says MONOCHROME without 1 or 2 (0028,0004), so nobody can say whether its low values are dark."
        )
    if header.samples_per_pixel == 1 and header.photometric in ("", "None"):
        raise ImageFileError(
            f"{path} does not say whether its low values are dark (PhotometricInterpretation is empty)."
        )
    if header.samples_per_pixel != 1 or header.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ImageFileError(
            f"{path} is a colour image ({header.photometric}, {header.samples_per_pixel} samples per pixel); "
            "mammograms and masks are gray (MONOCHROME1 or MONOCHROME2)."
        )
    if header.frames != 1:
        what = ", a segmentation," if dataset.get("Modality") == "SEG" else ""
        raise ImageFileError(
            f"{path}{what} has {header.frames} frames; one is needed. Export the frame that is the mammogram, or the "
            "mask of each lesion, to a file of its own."
        )
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_transfer_syntax:
        raise ImageFileError(
            f"{path} has the transfer syntax {syntax}, a maker's own or one that does not exist: nobody else can read "
            "its pixels. Export it again, uncompressed."
        )
    if dataset.get("PixelRepresentation") not in (0, 1):
        raise ImageFileError(
            f"{path} does not say whether its values are signed (PixelRepresentation, (0028,0103), is "
            f"{dataset.get('PixelRepresentation')!r}), so nobody can say what they are."
        )
    if header.bits_stored > int(dataset.BitsAllocated):
        raise ImageFileError(
            f"{path} says that {header.bits_stored} bits are stored in {dataset.BitsAllocated} (BitsStored, "
            "BitsAllocated): one of the two is wrong, and with it the range of its values."
        )
    if header.bits_stored < 1 or header.bits_stored > 16 or int(dataset.BitsAllocated) > 16:
        raise ImageFileError(f"{path} stores {header.bits_stored} bits per pixel; up to 16 can be kept.")
    said_bit = _whole_number(path, dataset, "HighBit")
    high_bit = header.bits_stored - 1 if said_bit is None else said_bit
    if high_bit != header.bits_stored - 1:
        raise ImageFileError(
            f"{path} keeps its {header.bits_stored} bits up to bit {high_bit}; the standard wants them lowest (HighBit "
            f"{header.bits_stored - 1}, DICOM PS3.5 section 8.1.1). Convert it first."
        )


def _check_length(path: Path, header: DicomHeader, dataset: Dataset) -> None:
    """Refuse pixels that are fewer than the header says, or more: read by a wrong width they are garbled."""
    needed = -(-header.rows * header.columns * int(dataset.BitsAllocated) // 8)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    if len(dataset.PixelData) - needed >= max(2, needed // max(header.rows, header.columns)):
        raise ImageFileError(
            f"{path} says {header.rows}x{header.columns} pixels of {dataset.BitsAllocated} bits, which take {needed} "
            f"bytes, but holds {len(dataset.PixelData)}: its size or its number of frames is wrong."
        )
    if len(dataset.PixelData) < needed:
        raise ImageFileError(
            f"{path} is truncated: {header.rows}x{header.columns} pixels of {dataset.BitsAllocated} bits take {needed} "
            f"bytes, but it holds {len(dataset.PixelData)}. Fetch it again."
        )


def _decode(path: Path, dataset: Dataset, notes: _Notes) -> NDArray[np.integer[Any]]:
    """Decode the stored values, trying the plugins in our order, never in the library's."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        dataset.pixel_array_options(correct_unused_bits=False)
        return _whole(path, np.asarray(dataset.pixel_array), dataset)
    told = facts_of_frame(_only_frame(path, dataset))
    if told is not None:
        _check_frame(told, dataset, notes)
    # A decoder that is told fewer bits than there are clears the others, and nobody sees that the header is wrong.
    with _bits_stored(dataset, max(int(dataset.BitsStored), told.bits if told else 0)):
        return _decoded(path, dataset)


_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP", b"\1\0\0\0", b"\2\0\0\0")
"""First bytes of a JPEG or JPEG-LS, a JPEG 2000 (bare, or as a file) and a gray RLE image of 8 and 16 bits. Source of
the last: DICOM PS3.5 G.5."""


def _only_frame(path: Path, dataset: Dataset) -> bytes:
    """Return the compressed image, which may lie in several fragments; refuse a second one behind it."""
    images = sum(fragment.startswith(_STARTS) for fragment in generate_fragments(dataset.PixelData))
    if images > 1:
        raise ImageFileError(
            f"{path} holds {images} compressed images, one behind the other, but does not say so (NumberOfFrames, "
            "(0028,0008)): nobody knows which is the mammogram. Export that one to a file of its own."
        )
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


@contextmanager
def _bits_stored(dataset: Dataset, bits: int) -> Iterator[None]:
    """Have a header say other bits for a while."""
    said = dataset.BitsStored
    dataset.BitsStored = bits
    try:
        yield
    finally:
        dataset.BitsStored = said


def _decoded(path: Path, dataset: Dataset) -> NDArray[np.integer[Any]]:
    """Decode a compressed image by the first decoder that can."""
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        installed = get_decoder(syntax).available_plugins
    except NotImplementedError as error:
        raise ImageFileError(f"{path} is compressed as {syntax.name}, for which there is no decoder.") from error
    wanted = [name for name in (*_DECODERS, "pydicom") if name in installed]
    if syntax == JPEGExtended12Bit and int(dataset.BitsStored) > 8:
        wanted = [_TWELVE_BITS] if find_spec(_TWELVE_BITS) else []
    if syntax == RLELossless:
        wanted = wanted[:1]  # the library's own takes an image of more rows than the header says, without a word
    if not wanted:
        raise ImageFileError(
            f'{path} is compressed as {syntax.name}; no decoder for it is installed. Run pip install "mammofill[dicom]"'
        )
    reasons = []
    for plugin in wanted:
        try:
            if plugin == _TWELVE_BITS:
                return _whole(path, _jpeg_of_12_bits(path, dataset), dataset)
            dataset.pixel_array_options(decoding_plugin=plugin, correct_unused_bits=False)
            return _whole(path, np.asarray(dataset.pixel_array), dataset)
        except (ImageFileError, MemoryError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  (each decoder has errors of its own, one in Rust even panics)
            why = _last_line(error)
            why = "no image came out" if "'NoneType' object" in why else why  # as its errors end in the library
            reasons.append(f"{plugin}: {why.removeprefix(f'{plugin}: ')}")
    raise ImageFileError(
        f"{path} ({syntax.name}, {dataset.BitsStored} bits) could not be decoded by {'; '.join(reasons)}. "
        "Convert it to an uncompressed or JPEG 2000 file, for example with dcmdjpeg."
    )


def _check_frame(facts: FrameFacts, dataset: Dataset, notes: _Notes) -> None:
    """Compare what the compressed image says of itself with the header: a decoder mixes up the two without a word."""
    rows, columns, bits = int(dataset.Rows), int(dataset.Columns), int(dataset.BitsStored)
    if (facts.rows, facts.columns, facts.samples) != (rows, columns, 1) or facts.bits > int(dataset.BitsAllocated):
        raise ImageFileError(
            f"{notes.path} says {rows}x{columns} pixels of {bits} bits in {dataset.BitsAllocated}, but the compressed "
            f"image in it has {facts.rows}x{facts.columns} of {facts.samples} samples of {facts.bits} bits. One of the "
            "two is wrong: fetch it again."
        )
    if facts.signed is not None and facts.signed != _is_signed(dataset):
        signs = {True: "signed", False: "unsigned"}
        found = (
            f"it says that its values are {signs[_is_signed(dataset)]} (PixelRepresentation), but the compressed image "
            f"in it says {signs[facts.signed]}."
        )
        notes.add("sign-of-frame-differs", found, "Its bits are read by the header: look whether bright is dense.")
    if facts.bits < bits:
        found = f"it says {bits} bits, but the compressed image in it has {facts.bits}."
        notes.add("bits-of-frame-fewer", found, "Read over the range of the header: it is darker than it may be meant.")


def _jpeg_of_12_bits(path: Path, dataset: Dataset) -> NDArray[np.integer[Any]]:
    from imagecodecs import jpeg8_decode

    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    # The decoder fills up a frame that is cut short. Source of the end mark: ISO/IEC 10918-1, B.1.1.3, EOI.
    if not frame.rstrip(b"\0\xff").endswith(b"\xff\xd9"):
        raise ImageFileError(f"{path} is truncated: the compressed image in it lacks its end mark. Fetch it again.")
    values: NDArray[np.integer[Any]] = jpeg8_decode(frame)
    return values.view(f"i{values.dtype.itemsize}") if _is_signed(dataset) else values


def _last_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1].strip() if str(error).strip() else type(error).__name__


def _whole(path: Path, stored: NDArray[np.integer[Any]], dataset: Dataset) -> NDArray[np.integer[Any]]:
    expected = (int(dataset.Rows), int(dataset.Columns))
    if stored.shape != expected:
        raise ImageFileError(f"{path} says {expected[0]}x{expected[1]} pixels, but decodes to {stored.shape}.")
    return stored


# ---- what stored values mean ----------------------------------------------------------------------------------------


def _is_signed(dataset: Dataset) -> bool:
    return int(dataset.get("PixelRepresentation") or 0) == 1


def _without_unused_bits(stored: NDArray[np.integer[Any]], dataset: Dataset, notes: _Notes) -> NDArray[np.integer[Any]]:
    """Check that values fit BitsStored, and extend the sign of those that leave that to the reader.

    Bits above those stored are 0, or repeat the sign (DICOM PS3.5 section 8.1.1). Older files keep overlays there
    (PS3.3-2004 C.9.2), which they say: those are cleared. Other bits mean that BitsStored is wrong, and with it the
    range of the values.
    """
    bits, allocated = int(dataset.BitsStored), stored.dtype.itemsize * 8
    signed = _is_signed(dataset)
    sign = 1 << (bits - 1)
    low, high = (-sign, sign - 1) if signed else (0, (1 << bits) - 1)
    if bits >= allocated or (low <= int(stored.min()) and int(stored.max()) <= high):
        return stored
    raw = stored.view(f"u{stored.dtype.itemsize}")
    unused, ones = raw >> bits, (1 << (allocated - bits)) - 1
    wrong = unused != 0
    if signed:
        wrong &= ~((unused == ones) & (raw & sign > 0))
    if wrong.any():
        groups = range(0x6000, 0x601F, 2)  # an overlay among the pixels says its bit, (60xx,0102), above 0
        overlaid = any(int(dataset[group, 0x0102].value or 0) for group in groups if (group, 0x0102) in dataset)
        if not overlaid:
            raise ImageFileError(
                f"{notes.path} says {bits} bits, but holds values that need {int(raw.max()).bit_length()}. Its header "
                "is wrong (BitsStored, (0028,0101)), and so is the range of its values."
            )
        notes.add("overlay-removed", "an overlay lies in the upper bits of the pixels.", "Cleared.")
    cleared = raw & ((1 << bits) - 1)
    if not signed:
        return cleared
    return np.asarray((cleared.astype(np.int32) ^ sign) - sign, stored.dtype)


def _looked_up(stored: NDArray[np.integer[Any]], low: int, shown: NDArray[np.uint16]) -> StoredImage:
    """Bring stored values to what is shown, over 0..65535.

    All steps act on single values, so they are done once for each value that the bits can hold, in float64, and the
    pixels are looked up. Where nothing changes (16 bits without any transformation, as in scanned film) they are
    handed on as they are.
    """
    if stored.dtype == np.uint16 and np.array_equal(shown, np.arange(low, low + len(shown))):
        return np.asarray(stored, np.uint16)
    if stored.dtype == np.uint8 and len(shown) == 256:
        return np.asarray(cv2.LUT(np.asarray(stored), shown))  # as below, in a tenth of the time
    places = stored if low == 0 else stored.astype(np.int32) - low
    return np.asarray(shown[places])


def _what_values_show(
    stored: NDArray[np.integer[Any]], dataset: Dataset, window: Window, notes: _Notes
) -> tuple[int, NDArray[np.uint16]]:
    """Return the lowest value that the bits can hold, and what each value is shown as, from that one on."""
    bits = int(dataset.BitsStored)
    signed = _is_signed(dataset)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    fills_its_type = bits == 8 * stored.dtype.itemsize and signed == (stored.dtype.kind == "i")
    if not fills_its_type and (int(stored.min()) < low or int(stored.max()) > high):
        raise ImageFileError(
            f"{notes.path} says {bits} {'signed' if signed else 'unsigned'} bits, so values from {low} to {high}, but "
            f"holds {stored.min()} to {stored.max()}. Its header is wrong."
        )
    used = slice(int(stored.min()) - low, int(stored.max()) - low + 1)
    unit = _to_unit(np.arange(low, high + 1), used, dataset, window, notes)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        unit = 1.0 - unit
    _darken_padding(unit, stored, low, dataset, notes)
    return low, np.rint(unit * FULL_RANGE).astype(np.uint16)


def _to_unit(
    possible: NDArray[np.int64], used: slice, dataset: Dataset, window: Window, notes: _Notes
) -> NDArray[np.float64]:
    """Bring all values that can be stored, in ascending order, to [0, 1] over the range that they can reach.

    Those that the image holds lie in `used`: what makes all of these the same loses the picture.
    """
    with np.errstate(all="ignore"):  # a slope of 1e308: what comes of it is looked at below
        values, low, high = _modality(possible, dataset, notes)
    if not 0 < high - low < np.inf or _loses(values, used):
        raise ImageFileError(
            f"{notes.path}: its modality LUT or rescale (slope {dataset.get('RescaleSlope', 1)}, intercept "
            f"{dataset.get('RescaleIntercept', 0)}) makes all pixels the same. Its header is wrong."
        )
    unit = (values - low) / (high - low)
    shown = unit
    if window == "first":
        lut = _first_item(dataset, "VOILUTSequence", notes)
        if lut is not None:
            entries, first, bits = _look_up_table(lut, dataset, notes.path, "VOI LUT")
            places = np.clip(np.rint(values).astype(np.int64) - first, 0, len(entries) - 1)
            shown = entries[places] / (2**bits - 1)
        elif (windowed := _windowed(values, dataset, notes)) is not None:
            shown = windowed
        if _loses(np.clip(shown, 0.0, 1.0), used):
            found = "its VOI LUT or window makes all its pixels the same."
            notes.add("window-unusable", found, "It was not applied: the whole range is kept.")
            shown = unit
        notes.windowed = shown is not unit
    return np.clip(shown, 0.0, 1.0)


def _loses(values: NDArray[np.float64], used: slice) -> bool:
    """Say whether different values have become one."""
    part = values[used]
    return len(part) > 1 and not np.ptp(part) > 0


def _modality(possible: NDArray[np.int64], dataset: Dataset, notes: _Notes) -> tuple[NDArray[np.float64], float, float]:
    """Apply the modality LUT, or slope and intercept; return the values and the range that they can reach."""
    lut = _first_item(dataset, "ModalityLUTSequence", notes)
    if lut is not None:
        entries, first, bits = _look_up_table(lut, dataset, notes.path, "modality LUT")
        places = np.clip(possible - first, 0, len(entries) - 1)
        return entries[places].astype(np.float64), 0.0, float(2**bits - 1)
    slope = _number(dataset, "RescaleSlope", notes, 1.0)
    intercept = _number(dataset, "RescaleIntercept", notes, 0.0)
    if slope == 0:
        raise ImageFileError(f"{notes.path} has RescaleSlope 0, which makes all pixels the same. Its header is wrong.")
    values = np.asarray(possible * slope + intercept, np.float64)
    return values, float(min(values[0], values[-1])), float(max(values[0], values[-1]))


def _first_item(dataset: Dataset, name: str, notes: _Notes) -> Dataset | None:
    if name not in dataset:
        return None
    items = _optional(dataset, name, notes)
    return items[0] if items else None


def _look_up_table(item: Dataset, dataset: Dataset, path: Path, what: str) -> tuple[NDArray[np.int64], int, int]:
    """Return the entries of a look-up table, the value that the first of them stands for, and its bits.

    Source: DICOM PS3.3 C.11.1.1 and C.11.2.1.1. A table of 8 bits is packed, two entries to a word; many writers spend
    a word on each all the same, and which it is the length of the data says.
    """
    try:
        count, first, bits = (int(number) for number in item.LUTDescriptor)
        count = count % 2**16 or 2**16
        # What a table maps is signed if the pixels are, and have not gone through another table before.
        signed = _is_signed(dataset) and (what == "modality LUT" or "ModalityLUTSequence" not in dataset)
        first = (first + 2**15) % 2**16 - 2**15 if signed else first % 2**16
        entries = _entries(item.LUTData, count, bits, bool(dataset.file_meta.TransferSyntaxUID.is_little_endian))
    except (AttributeError, TypeError, ValueError) as error:
        raise ImageFileError(f"{path}: its {what} cannot be read ({error}). The header is damaged.") from error
    if not 1 <= bits <= 16 or int(entries.max()) >= 2**bits:
        raise ImageFileError(f"{path}: its {what} says {bits} bits, but holds values up to {entries.max()}.")
    return entries, first, bits


def _entries(data: Any, count: int, bits: int, little_endian: bool) -> NDArray[np.int64]:
    if isinstance(data, bytes):
        if len(data) >= 2 * count:
            return np.frombuffer(data, "<u2" if little_endian else ">u2", count).astype(np.int64)
        if bits <= 8 and len(data) >= count:
            words = np.frombuffer(data[: len(data) // 2 * 2], "<u2" if little_endian else ">u2")
            return np.append(_unpacked(words), data[-1] if len(data) % 2 else [])[:count].astype(np.int64)
        raise ValueError(f"{count} entries of {bits} bits, but {len(data)} bytes")
    words = np.atleast_1d(np.array(data if isinstance(data, MultiValue | list | tuple) else [data], np.int64)) % 2**16
    if len(words) >= count:
        return words[:count]
    if bits <= 8 and 2 * len(words) >= count:
        return _unpacked(words)[:count]
    raise ValueError(f"{count} entries of {bits} bits, but {len(words)} words")


def _unpacked(words: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return the two bytes of each word, the lower first."""
    return np.stack([words & 0xFF, words >> 8], axis=1).ravel().astype(np.int64)


def _windowed(values: NDArray[np.float64], dataset: Dataset, notes: _Notes) -> NDArray[np.float64] | None:
    """Apply the first window; None where there is none that makes sense. Source: DICOM PS3.3 C.11.2.1.2, C.11.2.1.3."""
    if "WindowWidth" not in dataset and "WindowCenter" not in dataset:
        return None
    centre = _number(dataset, "WindowCenter", notes, np.nan)
    width = _number(dataset, "WindowWidth", notes, np.nan)
    kind = str(_optional(dataset, "VOILUTFunction", notes) or "LINEAR").upper()
    least = 1.0 if kind == "LINEAR" else 0.0
    if not np.isfinite(centre) or not (width >= least and width > 0) or not np.isfinite(width):
        found = f"its window (centre {centre:g}, width {width:g}) makes no sense."
        notes.add("window-unusable", found, "No window was applied: the whole range is kept.")
        return None
    if kind not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        found = f"its window has the function {kind}, which the standard does not know."
        notes.add("window-unusable", found, "No window was applied: the whole range is kept.")
        return None
    if kind == "SIGMOID":
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700, 700))))
    if kind == "LINEAR_EXACT":
        return np.asarray((values - centre) / width + 0.5)
    if width == 1:
        return np.asarray(values > centre - 0.5, np.float64)
    return np.asarray((values - (centre - 0.5)) / (width - 1) + 0.5)


def _number(dataset: Dataset, name: str, notes: _Notes, unknown: float) -> float:
    """Return the first number of an element; `unknown` if it is not there, empty, or no number."""
    if name not in dataset:
        return unknown
    try:
        value = dataset.get(name)
    except Exception:  # noqa: BLE001  (the library reads values only when they are asked for)
        value = getattr(dataset.get_item(name), "value", None)
    text = value.decode("latin-1") if isinstance(value, bytes) else "" if value is None else value
    if isinstance(text, MultiValue | list | tuple):
        text = text[0] if len(text) else ""
    first = str(text).split("\\")[0].strip(" \0")
    try:
        number = float(first)
    except ValueError:
        number = np.nan
    if np.isfinite(number):
        return number
    with suppress(ValueError):
        number = float(first.replace(",", "."))
        if np.isfinite(number):
            notes.add("number-with-comma", f"{name} is {first!r}.", f"Read as {number:g}.")
            return number
    done = "Taken for unknown." if np.isnan(unknown) else f"Taken for {unknown:g}, as where it is left out."
    notes.add("number-unreadable", f"{name} is {first!r}, which is no number.", done)
    return unknown


def _darken_padding(
    unit: NDArray[np.float64], stored: NDArray[np.integer[Any]], low: int, dataset: Dataset, notes: _Notes
) -> None:
    """Make padding, which fills up what was never imaged, as dark as can be. Source: DICOM PS3.3 C.7.5.1.1.2.

    Args:
        unit: what each possible value becomes, from the lowest on; changed here.
        stored: the pixels.
        low: lowest possible value.
        dataset: of the file.
        notes: gets what was found.
    """
    padding = _padding_range(dataset, low, len(unit), notes)
    if padding is None:
        return
    first, last = padding
    if not (unit[first - low : last - low + 1] > 0).any():
        return
    padded = np.asarray((stored >= first) & (stored <= last))
    share = float(padded.mean())
    if share == 0:
        return
    said = f"{first}" if first == last else f"{first} to {last}"
    if share == 1:
        notes.add("padding-ignored", f"its padding ({said}) is every pixel.", "Taken for no padding.")
        return
    unit[first - low : last - low + 1] = 0.0
    notes.add("padding-darkened", f"{share:.1%} of its pixels are padding ({said}), and would be bright.", "Made dark.")


def _padding_range(dataset: Dataset, low: int, count: int, notes: _Notes) -> tuple[int, int] | None:
    """Return the first and the last value of padding; None if there is none."""
    value = _padding(dataset, "PixelPaddingValue", low, count, notes)
    if value is None:
        if "PixelPaddingValue" not in dataset and "PixelPaddingRangeLimit" in dataset:
            found = "it has a PixelPaddingRangeLimit without a PixelPaddingValue."
            notes.add("header-unreadable", found, "No pixel is taken for padding.")
        return None
    limit = _padding(dataset, "PixelPaddingRangeLimit", low, count, notes)
    return (value, value) if limit is None else (min(value, limit), max(value, limit))


def _padding(dataset: Dataset, name: str, low: int, count: int, notes: _Notes) -> int | None:
    """Return a value of padding as pixels hold it; None if there is none that they can hold."""
    value = _optional(dataset, name, notes)
    if isinstance(value, bytes):
        value = int.from_bytes(value[:2], "little")
    if value is None or value == "":
        return None
    if not isinstance(value, int | float):
        found = f"{name} is {value!r}, which is not one number."
        notes.add("header-unreadable", found, "Taken for unknown: what it names may be bright.")
        return None
    number = int(value)
    if low < 0 and number > low + count - 1:
        number -= 2 ** int(dataset.BitsAllocated)  # written as unsigned, though pixels are signed
    elif low == 0 and number < 0:
        number += 2 ** int(dataset.BitsAllocated)
    return number if low <= number < low + count else None


def _bits_in_use(
    stored: NDArray[np.integer[Any]], low: int, shown: NDArray[np.uint16], dataset: Dataset, notes: _Notes
) -> tuple[int, int]:
    """Return the bits that the values use and fill, both as stored and, if look-up tables leave fewer, as shown."""
    some = sampled(stored)
    if padding := _padding_range(dataset, low, len(shown), notes):
        imaged = (some < padding[0]) | (some > padding[1])
        some = some[imaged] if imaged.any() else some
    signed = _is_signed(dataset)
    used, filled = bits_in_use(np.maximum(some, -1 - some) if signed else some)
    levels = shown[some - low].astype(np.int64)
    levels = FULL_RANGE - levels if dataset.PhotometricInterpretation == "MONOCHROME1" else levels
    used_as_shown, _ = bits_in_use(levels >> (16 - int(dataset.BitsStored)))
    return min(used + signed, used_as_shown), filled


def _note_unused_sign(stored: NDArray[np.integer[Any]], dataset: Dataset, notes: _Notes) -> None:
    if _is_signed(dataset) and int(stored.min()) >= 0:
        found = "it says that its values are signed, but none is below 0: half of their range is unused."
        done = "Kept. If they are meant as unsigned, set PixelRepresentation, (0028,0103), to 0."
        notes.add("sign-unused", found, done)


def _note_doubts(dataset: Dataset, notes: _Notes) -> None:
    """Note what is synthetic, where two elements contradict each other about what is bright, and pixels not square."""
    if str(_optional(dataset, "SyntheticData", notes) or "").strip().upper() == "YES":
        notes.add(SYNTHETIC_RULE, "it says that it is synthetic (SyntheticData, (0008,001C)).", "Read as any other.")
    photometric = str(dataset.PhotometricInterpretation)
    inverted = photometric == "MONOCHROME1"
    shape = str(_optional(dataset, "PresentationLUTShape", notes) or "").upper()
    if shape in ("IDENTITY", "INVERSE") and (shape == "INVERSE") != inverted:
        found = f"it is {photometric}, but its PresentationLUTShape is {shape}."
        notes.add("polarity-doubtful", found, f"Read as {photometric}: look whether bright is dense.")
    if not notes.windowed and _has_falling_voi_lut(dataset, notes):
        found = f"it is {photometric}, but its VOI LUT, which is not applied, shows low values bright."
        notes.add("polarity-doubtful", found, f"Read as {photometric}: look whether bright is dense.")
    sign = _optional(dataset, "PixelIntensityRelationshipSign", notes)
    # -1: more X-rays, lower values, so that high values are dense. Source: DICOM PS3.3 C.8.11.3.1.2.
    if sign in (1, -1) and (sign == 1) != inverted:
        found = f"it is {photometric}, but by its PixelIntensityRelationshipSign ({sign}) that shows dense tissue dark."
        notes.add("polarity-doubtful", found, f"Read as {photometric}: look whether bright is dense.")
    spacing = _spacing(dataset, "PixelSpacing", notes) or _spacing(dataset, "ImagerPixelSpacing", notes)
    if spacing and abs(spacing[0] / spacing[1] - 1) > _SQUARE:
        notes.add("pixels-not-square", f"its pixels are {spacing[0]:g} by {spacing[1]:g} mm.", "Kept as they are.")
    sides = _spacing(dataset, "PixelAspectRatio", notes)
    if sides and abs(sides[0] / sides[1] - 1) > _SQUARE:
        found = f"its PixelAspectRatio is {sides[0]:g} to {sides[1]:g}."
        notes.add("pixels-not-square", found, "Kept as they are.")


def _has_falling_voi_lut(dataset: Dataset, notes: _Notes) -> bool:
    lut = _first_item(dataset, "VOILUTSequence", notes)
    if lut is None:
        return False
    with suppress(ImageFileError):  # it is not applied, so that it may be damaged
        entries, _, _ = _look_up_table(lut, dataset, notes.path, "VOI LUT")
        return bool(entries[-1] < entries[0])
    return False
