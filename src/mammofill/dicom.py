"""One DICOM file <-> pixels and header facts. The only room that knows the DICOM library.

What is read: single-frame gray images of 1 to 16 bits in any transfer syntax for which a decoder is installed. All
else is refused with an `ImageFileError` that says what was found. Intensities come out in the order in which they are
displayed, bright = dense, over the full 16-bit range.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from mammofill.ground.errors import ImageFileError
from mammofill.ground.imaging import FULL_RANGE, Mask, StoredImage

Window = Literal["none", "first"]

_logger = logging.getLogger("mammofill.dicom")

_VIEW_CODES = {"399162004": "CC", "R-10242": "CC", "399368009": "MLO", "R-10226": "MLO"}
"""Views by their codes in SNOMED CT and in SNOMED RT. Source: DICOM PS3.16, context group 4014."""

_DECODERS = ("pyjpegls", "pylibjpeg", "gdcm")
"""Plugins in the order in which they are tried, so that the same file is decoded by the same code everywhere."""


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


def read_header(path: str | Path) -> DicomHeader:
    """Read the facts about a file's image without reading its pixels.

    Args:
        path: the file.

    Raises:
        ImageFileError: the file is missing, not DICOM, or holds no image.
    """
    path = Path(path)
    with _refusals(path):
        return _header(path, _dataset(path, pixels=False))


def read_image(path: str | Path, window: Window = "none") -> StoredImage:
    """Read the pixels of a gray single-frame image.

    The order of the steps is that of DICOM PS3.4 N.2: decoding, modality transformation (PS3.3 C.11.1), values of
    interest (C.11.2) if asked for, and last the inversion of MONOCHROME1 (C.7.6.3.1.2). Between the last two the range
    that the transformations can reach is stretched linearly over 0..65535, so that two images of one device stay
    comparable and no level is lost: an image of 12 bits keeps its 4096 levels.

    Args:
        path: the file.
        window: none keeps the stored intensities whole (the default: scanned film carries windows that were chosen for
            one screen, and clipping at them loses what a network may use). first applies the file's first VOI LUT, or
            its first window, where it has one.

    Returns:
        (rows, columns) uint16 over 0..65535, bright = dense; not to be written to: it may be the file itself, mapped
        into memory.

    Raises:
        ImageFileError: the file is missing, truncated, not DICOM, holds no image, a colour image or several frames,
            cannot be decoded here, or its values do not fit its own header.
    """
    path = Path(path)
    with _refusals(path):
        stored, dataset = _stored(path)
        return _shown(path, stored, dataset, window)


def read_mask(path: str | Path) -> Mask:
    """Read a mask: the brighter of its two values is lesion, and zero never is.

    Returns:
        (rows, columns) bool.

    Raises:
        ImageFileError: as `read_image`, and if the image has more than two values (a picture, not a mask).
    """
    path = Path(path)
    with _refusals(path):
        stored, dataset = _stored(path)
        ends = np.array([stored.min(), stored.max()], stored.dtype)
        shown = _shown(path, ends, dataset, "none")
    bright, dark = ends[int(shown.argmax())], ends[int(shown.argmin())]
    mask = np.asarray(stored == bright, np.bool_)
    # Counted, not sorted: the mask of a whole mammogram has 17 million pixels.
    others = _nonzero(stored) if dark == 0 else _nonzero(stored != dark)
    if bright != dark and others > _nonzero(mask):
        raise ImageFileError(
            f"{path} is not a mask: a mask has two values, this image has {len(np.unique(stored))}. "
            "It may be the cropped picture of the lesion; check which file is which."
        )
    return mask if shown.max() > 0 else np.zeros(stored.shape, np.bool_)


def _nonzero(values: NDArray[Any]) -> int:
    return int(cv2.countNonZero(np.asarray(values).view(np.uint8 if values.dtype == np.bool_ else values.dtype)))


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
            raise ImageFileError(f"{path} is not a DICOM file: {_what_it_looks_like(path)}.") from error
        except MemoryError:
            raise
        except OSError as error:
            raise ImageFileError(f"{path} cannot be read: {error}.") from error
        except Exception as error:  # a broken header can raise nearly anything inside the library
            raise ImageFileError(f"{path} cannot be read as DICOM: {error}. The file is damaged.") from error
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
    if not path.is_file():
        raise ImageFileError(f"{path} does not exist, or is not a file.")
    return dcmread(path, stop_before_pixels=not pixels)


def _stored(path: Path) -> tuple[NDArray[np.integer[Any]], Dataset]:
    """Decode the values as they are stored, (rows, columns), of a file that is as it should be."""
    if not path.is_file():
        raise ImageFileError(f"{path} does not exist, or is not a file.")
    mapped = _mapped(path)
    if mapped is not None:
        return mapped
    dataset = _dataset(path, pixels=True)
    header = _header_of_whole(path, dataset)
    if "Rows" not in dataset:  # the library gives up on all of a compressed file whose end is missing
        raise ImageFileError(f"{path} is truncated: it ends before its pixels do. Fetch it again.")
    if "PixelData" not in dataset:
        raise ImageFileError(f"{path} holds no pixel data, only a header.")
    _check_readable(path, header, dataset)
    _check_length(path, header, dataset)
    return _decode(path, dataset), dataset


def _mapped(path: Path) -> tuple[NDArray[np.integer[Any]], Dataset] | None:
    """Map the pixels of an uncompressed file into memory, as scanned film is kept, without copying them.

    Returns:
        The values and the header; None for any file that is not of the plainest kind, or ends too early.
    """
    with path.open("rb") as file:
        dataset = dcmread(file, stop_before_pixels=True)
        # Source of this element's layout: DICOM PS3.5 section 7.1.2, Explicit VR, tag (7FE0,0010).
        element, length = file.read(8), int.from_bytes(file.read(4), "little")
        offset, size = file.tell(), os.fstat(file.fileno()).st_size
    if dataset.file_meta.get("TransferSyntaxUID") != ExplicitVRLittleEndian:
        return None
    if element not in (b"\xe0\x7f\x10\x00OW\0\0", b"\xe0\x7f\x10\x00OB\0\0"):
        return None
    header = _header(path, dataset)
    _check_readable(path, header, dataset)
    bits, signed = int(dataset.BitsAllocated), int(dataset.get("PixelRepresentation", 0))
    needed = header.rows * header.columns * bits // 8
    plain = bits in (8, 16) and header.bits_stored == bits and needed > 0
    if not plain or length != needed + needed % 2 or length > size - offset:
        return None
    kind = np.dtype(f"<{'i' if signed else 'u'}{bits // 8}")
    return np.memmap(path, kind, "r", offset, (header.rows, header.columns)), dataset


def _header_of_whole(path: Path, dataset: Dataset) -> DicomHeader:
    """Return the header's facts; the library gives up on all of a compressed file whose end is missing."""
    return _header(path, dataset if "Rows" in dataset else _dataset(path, pixels=False))


def _header(path: Path, dataset: Dataset) -> DicomHeader:
    missing = [name for name in ("Rows", "Columns", "BitsStored", "PhotometricInterpretation") if name not in dataset]
    if missing:
        kind = getattr(dataset.file_meta.get("MediaStorageSOPClassUID", None), "name", "of no named kind")
        raise ImageFileError(f"{path} holds no image: its header ({kind}) lacks {', '.join(missing)}.")
    syntax = dataset.file_meta.get("TransferSyntaxUID", None)
    if syntax is None:
        raise ImageFileError(f"{path} does not say its transfer syntax (0002,0010), so its pixels cannot be decoded.")
    spacing = dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing")
    return DicomHeader(
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        frames=int(dataset.get("NumberOfFrames") or 1),
        samples_per_pixel=int(dataset.get("SamplesPerPixel") or 1),
        bits_stored=int(dataset.BitsStored),
        photometric=str(dataset.PhotometricInterpretation),
        transfer_syntax=str(syntax.name),
        series_description=_text(dataset.get("SeriesDescription")),
        patient_id=_text(dataset.get("PatientID")),
        laterality=_text(dataset.get("ImageLaterality")) or _text(dataset.get("Laterality")),
        view=_text(dataset.get("ViewPosition")) or _view_by_code(dataset),
        spacing_mm=(float(spacing[0]), float(spacing[1])) if spacing else None,
        has_window="VOILUTSequence" in dataset or dataset.get("WindowWidth") is not None,
        sop_instance_uid=_text(dataset.get("SOPInstanceUID")),
        series_uid=_text(dataset.get("SeriesInstanceUID")),
    )


def _view_by_code(dataset: Dataset) -> str | None:
    codes = (_text(item.get("CodeValue")) for item in dataset.get("ViewCodeSequence") or ())
    return next((_VIEW_CODES[code] for code in codes if code in _VIEW_CODES), None)


def _text(value: object) -> str | None:
    return str(value).strip() or None if value is not None else None


def _check_readable(path: Path, header: DicomHeader, dataset: Dataset) -> None:
    if header.samples_per_pixel != 1 or header.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ImageFileError(
            f"{path} is a colour image ({header.photometric}, {header.samples_per_pixel} samples per pixel); "
            "mammograms and masks are gray (MONOCHROME1 or MONOCHROME2)."
        )
    if header.frames != 1:
        raise ImageFileError(
            f"{path} has {header.frames} frames; one is needed. Export the frame that is the mammogram to its own file."
        )
    if header.bits_stored > 16 or int(dataset.BitsAllocated) > 16:
        raise ImageFileError(f"{path} stores {header.bits_stored} bits per pixel; up to 16 can be kept.")
    high_bit = int(dataset.get("HighBit", header.bits_stored - 1))
    if high_bit != header.bits_stored - 1:
        raise ImageFileError(
            f"{path} keeps its {header.bits_stored} bits up to bit {high_bit}; the standard wants them lowest (HighBit "
            f"{header.bits_stored - 1}, DICOM PS3.5 section 8.1.1). Convert it first."
        )


def _check_length(path: Path, header: DicomHeader, dataset: Dataset) -> None:
    needed = -(-header.rows * header.columns * int(dataset.BitsAllocated) // 8)
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated and len(dataset.PixelData) < needed:
        raise ImageFileError(
            f"{path} is truncated: {header.rows}x{header.columns} pixels of {dataset.BitsAllocated} bits take {needed} "
            f"bytes, but it holds {len(dataset.PixelData)}. Fetch it again."
        )


def _decode(path: Path, dataset: Dataset) -> NDArray[np.integer[Any]]:
    """Decode the stored values, trying the plugins in our order, never in the library's."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return _whole(path, np.asarray(dataset.pixel_array), dataset)
    try:
        installed = get_decoder(syntax).available_plugins
    except NotImplementedError as error:
        raise ImageFileError(f"{path} is compressed as {syntax.name}, for which there is no decoder.") from error
    wanted = [name for name in (*_DECODERS, "pydicom") if name in installed]
    if not wanted:
        raise ImageFileError(
            f'{path} is compressed as {syntax.name}; no decoder for it is installed. Run pip install "mammofill[dicom]"'
        )
    reasons = []
    for plugin in wanted:
        dataset.pixel_array_options(decoding_plugin=plugin)
        try:
            return _whole(path, np.asarray(dataset.pixel_array), dataset)
        except ImageFileError:
            raise
        except Exception as error:  # noqa: BLE001  (each decoder has errors of its own)
            reasons.append(f"{plugin}: {_last_line(error).removeprefix(f'{plugin}: ')}")
    raise ImageFileError(
        f"{path} ({syntax.name}, {dataset.BitsStored} bits) could not be decoded by {'; '.join(reasons)}. "
        "Convert it to an uncompressed or JPEG 2000 file, for example with dcmdjpeg."
    )


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip() if str(error).strip() else type(error).__name__


def _whole(path: Path, stored: NDArray[np.integer[Any]], dataset: Dataset) -> NDArray[np.integer[Any]]:
    expected = (int(dataset.Rows), int(dataset.Columns))
    if stored.shape != expected:
        raise ImageFileError(f"{path} says {expected[0]}x{expected[1]} pixels, but decodes to {stored.shape}.")
    return stored


def _shown(path: Path, stored: NDArray[np.integer[Any]], dataset: Dataset, window: Window) -> StoredImage:
    """Bring stored values to what is shown, over 0..65535.

    All steps act on single values, so they are done once for each value that the bits can hold, in float64, and the
    pixels are looked up. Where nothing changes (16 bits without any transformation, as in scanned film) they are
    handed on as they are.
    """
    bits = int(dataset.BitsStored)
    signed = int(dataset.get("PixelRepresentation", 0)) == 1
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    fits = np.iinfo(stored.dtype)
    if (fits.min < low or fits.max > high) and stored.size and (int(stored.min()) < low or int(stored.max()) > high):
        raise ImageFileError(
            f"{path} says {bits} {'signed' if signed else 'unsigned'} bits, so values from {low} to {high}, but holds "
            f"{stored.min()} to {stored.max()}. Its header is wrong."
        )
    possible = np.arange(low, high + 1).astype(stored.dtype)
    unit = _to_unit(possible, dataset, window)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        unit = 1.0 - unit
    shown = np.rint(unit * FULL_RANGE).astype(np.uint16)
    if stored.dtype == np.uint16 and np.array_equal(shown, possible):
        return np.asarray(stored, np.uint16)
    places = stored if low == 0 else stored.astype(np.int32) - low
    return np.asarray(shown[places])


def _to_unit(stored: NDArray[np.integer[Any]], dataset: Dataset, window: Window) -> NDArray[np.float64]:
    """Bring all values that can be stored, in ascending order, to [0, 1] over the range that they can reach."""
    values = apply_modality_lut(stored, dataset).astype(np.float64)
    # What the transformations do to the ends of the stored range tells the range of their output.
    if "ModalityLUTSequence" in dataset:
        low, high = 0, 2 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    else:
        low, high = min(values[0], values[-1]), max(values[0], values[-1])
    if window == "first" and ("VOILUTSequence" in dataset or dataset.get("WindowWidth") is not None):
        if "VOILUTSequence" in dataset:
            values = apply_voi_lut(apply_modality_lut(stored, dataset).astype(np.int64), dataset).astype(np.float64)
            low, high = 0, 2 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
        else:
            values = apply_voi_lut(values, dataset, prefer_lut=False).astype(np.float64)
    return np.clip((values - low) / max(float(high) - float(low), 1e-300), 0.0, 1.0)


def _what_it_looks_like(path: Path) -> str:
    head = path.read_bytes()[:16]
    known = {
        b"\x89PNG": "a PNG image",
        b"\xff\xd8\xff": "a JPEG image",
        b"II*\0": "a TIFF image",
        b"MM\0*": "a TIFF image",
        b"P5": "a PGM image",
        b"%PDF": "a PDF document",
        b"PK": "a ZIP archive",
        b"<": "a web page or XML",
    }
    for start, name in known.items():
        if head.startswith(start):
            return f"it looks like {name}"
    return "it is empty" if not head else "it lacks the DICM mark and a file header"
