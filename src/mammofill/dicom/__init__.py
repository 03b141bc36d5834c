"""One DICOM file <-> pixels and header fields. Only this room reads DICOM; `export` writes objects of its own.

Single-frame gray images of 1 to 16 bits are read in any transfer syntax for which a decoder is installed. All others
are refused with an `ImageFileError` that names what was found. Intensities are returned in display order, bright =
dense, over the full 16-bit range.

This room interprets stored values; docs/sources.md lists each attribute, the rule, and its source in the standard.
An unreadable element that pixels do not need (patient, spacing, text) does not refuse an image: its value is unknown,
and a remark is added.

`reading` opens files; `decode` decodes the stored values; `values` converts them to display values; `header`,
`unusual` and `elements` read other header fields; `writing` writes plain images.
"""

from mammofill.dicom.decode import HALVED_RULE
from mammofill.dicom.header import DicomHeader
from mammofill.dicom.reading import (
    ParsedFile,
    StoredValues,
    parse,
    read,
    read_header,
    read_image,
    read_stored,
    read_values,
)
from mammofill.dicom.unusual import QUALITY_CONTROL_RULE
from mammofill.dicom.values import SYNTHETIC_RULE, Window
from mammofill.dicom.writing import write_image

__all__ = [
    "HALVED_RULE",
    "QUALITY_CONTROL_RULE",
    "SYNTHETIC_RULE",
    "DicomHeader",
    "ParsedFile",
    "StoredValues",
    "Window",
    "parse",
    "read",
    "read_header",
    "read_image",
    "read_stored",
    "read_values",
    "write_image",
]
