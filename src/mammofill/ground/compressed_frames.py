"""The header of a compressed image, inside the file that holds the image.

A decoder uses the header of the compressed image, a reader the DICOM header. Where the two differ in size, samples,
bits or sign, values are garbled without an error; so they are compared first. Nothing is decoded here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_J2K_START = b"\xff\x4f\xff\x51"
"""Start of a codestream of JPEG 2000, and its first segment. Source: ISO/IEC 15444-1, A.4.1 and A.5.1."""

_SIZES_OF_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""Markers of segments that give the size of a frame. Source: ISO/IEC 10918-1, table B.1; of JPEG-LS ISO/IEC 14495-1."""

_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF, 0xF7})
"""Those of them whose samples are bits as they were stored. The others are of lossy JPEG, whose samples start at 0.
Source: ISO/IEC 10918-1, table B.1 and A.3.1."""

_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})


@dataclass(frozen=True)
class FrameFacts:
    """The header of a compressed image."""

    rows: int
    columns: int
    samples: int
    bits: int
    """Bits of a sample."""
    signed: bool | None
    """Whether values below 0 can be stored: never in lossy JPEG; None in formats that do not say it."""


def facts_of_frame(frame: bytes) -> FrameFacts | None:
    """Read the header of a JPEG, JPEG-LS or JPEG 2000 image; None for anything else, and for one that is broken."""
    try:
        if frame[:2] == b"\xff\xd8":
            return _of_jpeg(frame)
        start = frame.find(_J2K_START)
        return _of_jpeg_2000(frame[start:]) if start >= 0 else None
    except (IndexError, struct.error):
        return None


def _of_jpeg(frame: bytes) -> FrameFacts | None:
    at = 2
    while frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # a byte that fills up
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        elif marker in _SIZES_OF_FRAMES:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", frame, at + 4)
            return FrameFacts(rows, columns, samples, bits, None if marker in _LOSSLESS else False)
        else:
            at += 2 + int(struct.unpack_from(">H", frame, at + 2)[0])
    return None


def _of_jpeg_2000(codestream: bytes) -> FrameFacts:
    right, bottom, left, top = struct.unpack_from(">IIII", codestream, 8)
    (samples,) = struct.unpack_from(">H", codestream, 40)
    bits_and_sign = codestream[42]
    return FrameFacts(bottom - top, right - left, samples, (bits_and_sign & 0x7F) + 1, bool(bits_and_sign & 0x80))
