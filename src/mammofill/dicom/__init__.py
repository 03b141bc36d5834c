"""One DICOM file <-> pixels and header facts. The only room that reads DICOM; `export` writes objects of its own.

What is read: single-frame gray images of 1 to 16 bits in any transfer syntax for which a decoder is installed. All
else is refused with an `ImageFileError` that says what was found. Intensities come out in the order in which they are
displayed, bright = dense, over the full 16-bit range.

This is where it is decided what stored values mean; docs/sources.md lists each attribute, the rule, and its source in
the standard. What pixels do not need (patient, spacing, words) never refuses them: it is unknown, and remarked upon.

`reading` opens files; `decode` gets the stored values out, `values` says what they mean, `header`, `unusual` and
`elements` what else a header says; `writing` writes plain images.
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
