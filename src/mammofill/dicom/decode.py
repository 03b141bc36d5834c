"""Decoding of the values stored in a file; a file with faults is refused by an error that names them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag
from pydicom.encaps import generate_fragments, generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    RLELossless,
)

from mammofill.dicom.elements import Notes, is_signed, last_line, whole_number
from mammofill.dicom.header import DicomHeader, FileStart, header_of, header_of_whole, read_dataset
from mammofill.ground.compressed_frames import FrameFacts, facts_of_frame
from mammofill.ground.errors import ImageFileError
from mammofill.ground.foreign_files import check_size

HALVED_RULE = "jpeg2000-halved"
"""Rule of the remark about a file that was decoded at half its resolution."""

_PIXEL_DATA = 0x7FE00010
"""Tag of the pixels, which are the last element but for checks and padding. Source: DICOM PS3.5 section 7.1."""

_DECODERS = ("pyjpegls", "pylibjpeg", "gdcm")
"""Plugins in the order in which they are tried: the same file is decoded by the same code on every machine."""

_LOSSY_JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit)
"""Their samples are unsigned, whatever the header says; the compressed image counts. Source: DICOM PS3.5 8.2.1."""

_TWELVE_BITS = "imagecodecs"
"""The package that decodes JPEG of 12 bits, for which pydicom has no plugin (it contains libjpeg-turbo)."""


def stored_values(path: Path, start: FileStart, notes: Notes) -> tuple[NDArray[np.integer[Any]], Dataset]:
    """Decode the stored values, (rows, columns); return them with the dataset.

    Raises:
        ImageFileError: the file is truncated, is not a gray single-frame image of whole numbers, cannot be decoded, or
            its pixels do not fit its header.
    """
    mapped = _mapped(path, start)
    if mapped is not None:
        return mapped
    dataset = read_dataset(path, pixels=True)
    header = header_of_whole(path, dataset)
    if "Rows" not in dataset:  # pydicom returns no element of a compressed file whose end is missing
        raise ImageFileError(f"{path} is truncated: it ends before its pixels do. Fetch it again.")
    if fractions := [name for name in ("FloatPixelData", "DoubleFloatPixelData") if name in dataset]:
        raise ImageFileError(f"{path} holds fractions ({fractions[0]}); mammograms and masks are of whole numbers.")
    if not dataset.get("PixelData"):
        raise ImageFileError(f"{path} holds no pixel data, only a header.")
    _check_readable(path, header, dataset)
    _check_length(path, header, dataset)
    return _decode(path, dataset, notes), dataset


def half_resolution(
    path: Path, start: FileStart, least_rows: int
) -> tuple[NDArray[np.integer[Any]], Dataset, Notes] | None:
    """Decode JPEG 2000 at half its resolution, with at least `least_rows` rows.

    Returns:
        The values, the dataset and the remarks; None for another format, for fewer rows, and where no lower resolution
        was encoded or it could not be decoded correctly.
    """
    syntax = start.dataset.file_meta.get("TransferSyntaxUID")
    if syntax not in (JPEG2000, JPEG2000Lossless) or header_of_whole(path, start.dataset).rows // 2 < least_rows:
        return None
    dataset = read_dataset(path, pixels=True)
    header = header_of_whole(path, dataset)
    _check_readable(path, header, dataset)
    code = _only_frame(path, dataset)
    notes = Notes(path, list(header.remarks))
    facts = facts_of_frame(code)
    if facts is not None:
        _check_frame(facts, dataset, notes)
        if facts.bits > int(dataset.BitsStored):
            return None  # values may need more bits than BitsStored, which only the full resolution shows
    # Source: ITU-T T.800, A.5.1: the marker SIZ follows SOC; its byte 38 gives the sign and the bits, less 1.
    if code[:4] != b"\xff\x4f\xff\x51" or code[42] & 0x80 or is_signed(dataset):
        return None
    with PillowImage.open(io.BytesIO(code), formats=("JPEG2000",)) as picture:
        picture.reduce = 1  # type: ignore[assignment, method-assign]
        try:
            values = np.asarray(picture)
        except OSError:  # no lower resolution was encoded
            return None
    if values.shape != (-(-header.rows // 2), -(-header.columns // 2)) or values.dtype not in (np.uint8, np.uint16):
        return None
    shift = values.dtype.itemsize * 8 - (code[42] + 1)  # Pillow scales values to all bits of their type
    stored = np.minimum(values >> max(shift, 0), 2 ** int(dataset.BitsStored) - 1).astype(values.dtype)
    notes.add(HALVED_RULE, f"{header.rows}x{header.columns} pixels in JPEG 2000.", "Decoded at half its resolution.")
    return stored, dataset, notes


def _mapped(path: Path, start: FileStart) -> tuple[NDArray[np.integer[Any]], Dataset] | None:
    """Map the pixels of an uncompressed file, such as scanned film, into memory without copying them.

    Returns:
        The values and the dataset; None unless the file is Explicit VR Little Endian, all allocated bits (8 or 16) are
        stored, the length of the pixels is as the header gives it, and no element follows that belongs before them.
    """
    dataset = start.dataset
    if dataset.file_meta.get("TransferSyntaxUID") != ExplicitVRLittleEndian:
        return None
    if start.element not in (b"\xe0\x7f\x10\x00OW\0\0", b"\xe0\x7f\x10\x00OB\0\0"):
        return None
    if 0 < start.next_tag <= _PIXEL_DATA and dictionary_has_tag(start.next_tag):
        return None  # read by the library, it is seen to occur twice
    header = header_of(path, dataset)
    _check_readable(path, header, dataset)
    bits, signed = int(dataset.BitsAllocated), is_signed(dataset)
    needed = header.rows * header.columns * bits // 8
    plain = bits in (8, 16) and header.bits_stored == bits and needed > 0
    if not plain or start.length != needed + needed % 2 or start.length > start.size - start.offset:
        return None
    kind = np.dtype(f"<{'i' if signed else 'u'}{bits // 8}")
    return np.memmap(path, kind, "r", start.offset, (header.rows, header.columns)), dataset


def _check_readable(path: Path, header: DicomHeader, dataset: Dataset) -> None:
    check_size(path, header.rows, header.columns)
    if header.samples_per_pixel == 1 and header.photometric == "MONOCHROME":
        raise ImageFileError(
            f"{path} says MONOCHROME without 1 or 2 (0028,0004), so it is unknown whether its low values are dark."
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
            f"{path} has the transfer syntax {syntax}, which is a manufacturer's own or does not exist, so its pixels "
            "cannot be read. Export it again, uncompressed."
        )
    if dataset.get("PixelRepresentation") not in (0, 1):
        raise ImageFileError(
            f"{path} does not say whether its values are signed (PixelRepresentation, (0028,0103), is "
            f"{dataset.get('PixelRepresentation')!r}), so their meaning is unknown."
        )
    if header.bits_stored > int(dataset.BitsAllocated):
        raise ImageFileError(
            f"{path} says that {header.bits_stored} bits are stored in {dataset.BitsAllocated} (BitsStored, "
            "BitsAllocated): one of the two is wrong, and with it the range of its values."
        )
    if header.bits_stored < 1 or header.bits_stored > 16 or int(dataset.BitsAllocated) > 16:
        raise ImageFileError(f"{path} stores {header.bits_stored} bits per pixel; up to 16 can be kept.")
    given = whole_number(path, dataset, "HighBit")
    high_bit = header.bits_stored - 1 if given is None else given
    if high_bit != header.bits_stored - 1:
        raise ImageFileError(
            f"{path} stores its {header.bits_stored} bits up to bit {high_bit}; the standard requires the lowest bits "
            f"(HighBit {header.bits_stored - 1}, DICOM PS3.5 section 8.1.1). Convert it first."
        )


def _check_length(path: Path, header: DicomHeader, dataset: Dataset) -> None:
    """Refuse fewer or more pixels than the header gives: read with a wrong width, the image would be garbled."""
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


def _decode(path: Path, dataset: Dataset, notes: Notes) -> NDArray[np.integer[Any]]:
    """Decode the stored values; plugins are tried in the order of `_DECODERS`, not in pydicom's."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        dataset.pixel_array_options(correct_unused_bits=False)
        return _whole(path, np.asarray(dataset.pixel_array), dataset)
    facts = facts_of_frame(_only_frame(path, dataset))
    if facts is not None:
        _check_frame(facts, dataset, notes)
    # With a BitsStored below the true number of bits a decoder would clear the upper ones, which hides a wrong header.
    with _bits_stored(dataset, max(int(dataset.BitsStored), facts.bits if facts else 0)):
        return _decoded(path, dataset)


_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP", b"\1\0\0\0", b"\2\0\0\0")
"""First bytes of a JPEG or JPEG-LS, a JPEG 2000 (bare, or as a file) and a gray RLE image of 8 and 16 bits. Source of
the last: DICOM PS3.5 G.5."""


def _only_frame(path: Path, dataset: Dataset) -> bytes:
    """Return the compressed image, which may have several fragments; refuse a file with a second image."""
    images = sum(fragment.startswith(_STARTS) for fragment in generate_fragments(dataset.PixelData))
    if images > 1:
        raise ImageFileError(
            f"{path} holds {images} compressed images, one behind the other, but does not say so (NumberOfFrames, "
            "(0028,0008)): which of them is the mammogram is unknown. Export that one to a file of its own."
        )
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    _check_end(path, frame)
    return frame


def _check_end(path: Path, frame: bytes) -> None:
    """Refuse a compressed image whose end was never fetched: zeros in its place would be decoded as black.

    One zero pads an odd length. Source of the end mark: ISO/IEC 10918-1, B.1.1.3, EOI; JPEG-LS and JPEG 2000 have the
    same.
    """
    held = frame.rstrip(b"\0")
    is_marked = frame.startswith((b"\xff\xd8", b"\xff\x4f"))
    if is_marked and len(frame) - len(held) > 2 and not held.endswith(b"\xff\xd9"):
        raise ImageFileError(
            f"{path} is truncated: the compressed image in it ends in {len(frame) - len(held)} zeros, without its end "
            "mark. Fetch it again."
        )


@contextmanager
def _bits_stored(dataset: Dataset, bits: int) -> Iterator[None]:
    """Set BitsStored of a dataset for the duration of a context."""
    original = dataset.BitsStored
    dataset.BitsStored = bits
    try:
        yield
    finally:
        dataset.BitsStored = original


def _decoded(path: Path, dataset: Dataset) -> NDArray[np.integer[Any]]:
    """Decode a compressed image by the first decoder that succeeds."""
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        installed = get_decoder(syntax).available_plugins
    except NotImplementedError as error:
        raise ImageFileError(f"{path} is compressed as {syntax.name}, for which there is no decoder.") from error
    wanted = [name for name in (*_DECODERS, "pydicom") if name in installed]
    if syntax == JPEGExtended12Bit and int(dataset.BitsStored) > 8:
        wanted = [_TWELVE_BITS] if find_spec(_TWELVE_BITS) else []
    if syntax == RLELossless:
        wanted = wanted[:1]  # pydicom's own silently accepts an image of more rows than the header gives
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
        except BaseException as error:  # noqa: BLE001  (each decoder has errors of its own, one in Rust panics)
            why = last_line(error)
            why = "no image came out" if "'NoneType' object" in why else why  # where pydicom got None from a decoder
            reasons.append(f"{plugin}: {why.removeprefix(f'{plugin}: ')}")
    raise ImageFileError(
        f"{path} ({syntax.name}, {dataset.BitsStored} bits) could not be decoded by {'; '.join(reasons)}. "
        "Convert it to an uncompressed or JPEG 2000 file, for example with dcmdjpeg."
    )


def _check_frame(facts: FrameFacts, dataset: Dataset, notes: Notes) -> None:
    """Compare the header of the compressed image with the DICOM header: a decoder does not report differences.

    Of a lossy JPEG that is called signed, the dataset is set to unsigned: else its brighter half would count as below 0
    and be shown darker than the rest.
    """
    rows, columns, bits = int(dataset.Rows), int(dataset.Columns), int(dataset.BitsStored)
    if (facts.rows, facts.columns, facts.samples) != (rows, columns, 1) or facts.bits > int(dataset.BitsAllocated):
        raise ImageFileError(
            f"{notes.path} says {rows}x{columns} pixels of {bits} bits in {dataset.BitsAllocated}, but the compressed "
            f"image in it has {facts.rows}x{facts.columns} of {facts.samples} samples of {facts.bits} bits. One of the "
            "two is wrong: fetch it again."
        )
    if facts.signed is not None and facts.signed != is_signed(dataset):
        signs = {True: "signed", False: "unsigned"}
        found = (
            f"it says that its values are {signs[is_signed(dataset)]} (PixelRepresentation), but the compressed image "
            f"in it says {signs[facts.signed]}."
        )
        done = "Its bits are read by the header: look whether bright is dense."
        if dataset.file_meta.TransferSyntaxUID in _LOSSY_JPEG:
            dataset.PixelRepresentation = 0
            done = "Read as unsigned, since lossy JPEG knows no sign. Set PixelRepresentation, (0028,0103), to 0."
        notes.add("sign-of-frame-differs", found, done)
    if facts.bits < bits:
        found = f"it says {bits} bits, but the compressed image in it has {facts.bits}."
        notes.add("bits-of-frame-fewer", found, "Read over the range of the header: it is darker than it may be meant.")


def _jpeg_of_12_bits(path: Path, dataset: Dataset) -> NDArray[np.integer[Any]]:
    from imagecodecs import jpeg8_decode

    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    # The decoder completes a truncated frame. Source of the end mark: ISO/IEC 10918-1, B.1.1.3, EOI.
    if not frame.rstrip(b"\0\xff").endswith(b"\xff\xd9"):
        raise ImageFileError(f"{path} is truncated: the compressed image in it lacks its end mark. Fetch it again.")
    values: NDArray[np.integer[Any]] = jpeg8_decode(frame)
    return values


def _whole(path: Path, stored: NDArray[np.integer[Any]], dataset: Dataset) -> NDArray[np.integer[Any]]:
    expected = (int(dataset.Rows), int(dataset.Columns))
    if stored.shape != expected:
        raise ImageFileError(f"{path} says {expected[0]}x{expected[1]} pixels, but decodes to {stored.shape}.")
    return stored
