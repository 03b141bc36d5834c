"""A mammogram with a synthetic lesion as a DICOM object: what it is, what it was made from, and that it is no patient.

A source that is a Digital Mammography X-Ray Image stays one, for presentation or for processing as it was (DICOM
PS3.3 A.26); everything else, as digitised film, becomes a Secondary Capture Image (A.8.1). Of the source's header only
the elements named here are taken over, so that nothing else of the patient goes along.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, Sequence, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    JPEG2000,
    UID,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    SecondaryCaptureImageStorage,
)
from pydicom.valuerep import DSfloat

import mammofill
from mammofill.export.painted_how import painted_how
from mammofill.export.source import Source
from mammofill.export.uids import uid

MAKER = "mammofill"

_DIGITAL = (DigitalMammographyXRayImageStorageForPresentation, DigitalMammographyXRayImageStorageForProcessing)

_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000)
"""Transfer syntaxes that are lossy, or may be; used only where the header does not say."""

_OF_VALUES = (
    "RescaleIntercept", "RescaleSlope", "RescaleType",
    "ModalityLUTSequence", "WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction",
    "VOILUTSequence", "PresentationLUTShape", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
    "PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing",
)  # fmt: skip
"""Elements on how stored values are to be shown, and how large a pixel is."""

_OF_PADDING = ("PixelPaddingValue", "PixelPaddingRangeLimit")
"""Taken over only where pixels of the source are padding: elsewhere this value may be that of painted tissue."""

_OF_DIGITAL = (
    "PixelIntensityRelationship", "PixelIntensityRelationshipSign", "DetectorType", "DetectorConfiguration",
    "FieldOfViewShape", "FieldOfViewDimensions", "DetectorActiveTime", "KVP", "Exposure", "ExposureInuAs",
    "AnodeTargetMaterial", "FilterMaterial", "CompressionForce", "BodyPartThickness", "Grid", "PositionerType",
    "PositionerPrimaryAngle", "PartialView", "BreastImplantPresent", "EstimatedRadiographicMagnificationFactor",
    "DistanceSourceToDetector", "DistanceSourceToPatient", "OrganExposed", "ViewCodeSequence", "PatientOrientation",
)  # fmt: skip
"""Elements on how a digital mammogram was acquired; none of them identifies the patient."""

_VIEW_CODES = {"cc": ("399162004", "cranio-caudal"), "mlo": ("399368009", "medio-lateral oblique")}
"""SNOMED CT. Source: DICOM PS3.16, context group 4014."""


@dataclass(frozen=True)
class Lineage:
    """What one synthetic image was made from, and the facts for its header."""

    mammogram_id: str
    patient: str
    """The name that replaces the patient's."""
    pathology: str
    abnormality: str
    seed: int
    infiller: str
    method: str
    """Of the infiller; empty if it is not known."""
    laterality: str | None
    view: str | None
    spacing_mm: float | None
    """At the source's resolution, where the file itself does not give it."""
    number: int
    """Of the image in its series, from 1."""
    date: str
    made_from: str
    """Fingerprint over all that decides the pixels: source, patches, row, settings."""

    def uid(self, what: str) -> str:
        """Return the identifier of an object of this image."""
        return uid(what, self.made_from)

    @property
    def study(self) -> str:
        """All images of one person by one infiller are a study."""
        return uid("study", self.patient, self.infiller)

    def series(self, what: str) -> str:
        """Return the identifier of the series of all images of one mammogram."""
        return uid("series", what, self.patient, self.infiller, self.mammogram_id)


def write_image(path: Path, source: Source, values: NDArray[np.integer[Any]], lineage: Lineage, watermark: bool) -> Any:
    """Write one image, the same bytes for the same input.

    Args:
        path: the file; its folder must exist.
        source: what was pasted into.
        values: (rows, columns) of the source's type.
        lineage: what it was made from.
        watermark: whether the word SYNTHETIC was drawn into it.

    Returns:
        The object, as read again from the file.
    """
    header = source.header if source.header is not None else Dataset()
    digital = header.get("SOPClassUID") in _DIGITAL
    image = _begun(str(header.SOPClassUID) if digital else SecondaryCaptureImageStorage, lineage, header)
    image.BurnedInAnnotation, image.RecognizableVisualFeatures = "YES" if watermark else "NO", "NO"
    _take_over(image, header, (*_OF_VALUES, *_OF_PADDING) if source.is_padded else _OF_VALUES)
    if digital:
        _say_digital(image, source, lineage)
    else:
        _say_film(image, header, lineage)
    _say_lossy(image, source, header)
    _say_pixels(image, values, source, str(header.get("PhotometricInterpretation", "MONOCHROME2")))
    image.save_as(path, enforce_file_format=True)
    return dcmread(path)


def _begun(sop_class: str, lineage: Lineage, header: Dataset) -> Dataset:
    """Set patient (none), date, program and sources."""
    image, how = Dataset(), painted_how(lineage.method)
    image.SpecificCharacterSet = "ISO_IR 192"
    image.SOPClassUID, image.SOPInstanceUID = sop_class, lineage.uid("image")
    image.SyntheticData = "YES"
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.StudyInstanceUID, image.SeriesInstanceUID = lineage.study, lineage.series("images")
    image.PatientName, image.PatientID = f"SYNTHETIC^{lineage.patient}", lineage.patient
    image.PatientBirthDate = image.PatientSex = ""
    image.PatientIdentityRemoved = "YES"
    image.DeidentificationMethod = "Identity replaced; only named elements of the source kept"
    for name in ("Study", "Series", "Content", "InstanceCreation"):
        setattr(image, f"{name}Date", lineage.date)
        setattr(image, f"{name}Time", "000000")
    image.AccessionNumber = image.ReferringPhysicianName = ""
    image.StudyID, image.SeriesNumber, image.InstanceNumber = "1", 1, lineage.number
    image.StudyDescription = "SYNTHETIC - not a patient"
    image.SeriesDescription = f"SYNTHETIC lesions in {lineage.view or 'a'} view".upper()[:64]
    image.Modality, image.BodyPartExamined = "MG", "BREAST"
    say_maker(image, lineage)
    image.DerivationDescription = (
        f"A {lineage.pathology} {lineage.abnormality or 'lesion'} was {how.done}; pixels outside of its hole are the "
        f"source's. Infiller {lineage.infiller[:16]}, seed {lineage.seed}."
    )[:1024]
    value, meaning = how.code
    image.DerivationCodeSequence = [code(value, "99MAMMOFILL", meaning)]
    if "SOPInstanceUID" in header:
        reference = Dataset()
        reference.ReferencedSOPClassUID = header.SOPClassUID
        reference.ReferencedSOPInstanceUID = header.SOPInstanceUID
        purpose = code("121322", "DCM", "Source image for image processing operation")
        reference.PurposeOfReferenceCodeSequence = [purpose]
        image.SourceImageSequence = [reference]
    image.ContributingEquipmentSequence = [_equipment(lineage)]
    if lineage.view:
        image.ViewPosition = lineage.view.upper()
    return image


def say_maker(image: Any, lineage: Lineage) -> None:
    """Set which program made an object."""
    image.Manufacturer, image.ManufacturerModelName = MAKER, "mammofill infiller"
    image.SoftwareVersions, image.DeviceSerialNumber = mammofill.__version__, lineage.infiller[:16]


def _equipment(lineage: Lineage) -> Dataset:
    equipment = Dataset()
    equipment.PurposeOfReferenceCodeSequence = [code("109102", "DCM", "Processing Equipment")]
    say_maker(equipment, lineage)
    equipment.ContributionDateTime = f"{lineage.date}000000"
    equipment.ContributionDescription = painted_how(lineage.method).contribution
    return equipment


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return the item of a sequence of codes."""
    item = Dataset()
    name = "CodeValue" if len(value) <= 16 else "LongCodeValue"
    setattr(item, name, value)
    item.CodingSchemeDesignator, item.CodeMeaning = scheme, meaning
    return item


def _take_over(image: Dataset, header: Dataset, names: tuple[str, ...]) -> None:
    for name in names:
        if name in header:
            image[name] = deepcopy(header[name])
            _write_low_byte_first(image[name].value, header)


def _write_low_byte_first(value: Any, header: Dataset) -> None:
    """Exchange the bytes of a look-up table's words if the source has the high byte first, as the library leaves it."""
    if not isinstance(value, Sequence) or header.file_meta.TransferSyntaxUID.is_little_endian:
        return
    for item in value:
        if isinstance(item.get("LUTData"), bytes):
            item.LUTData = np.frombuffer(item.LUTData, ">u2").astype("<u2").tobytes()


def _say_film(image: Dataset, header: Dataset, lineage: Lineage) -> None:
    """Set what the modules of a Secondary Capture require. Source: DICOM PS3.3 C.8.6.1."""
    image.ConversionType = "DF"  # digitised film
    image.PatientOrientation = header.get("PatientOrientation", "")
    image.Laterality = lineage.laterality[0].upper() if lineage.laterality else ""
    if lineage.spacing_mm and not {"PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"} & set(
        image.dir()
    ):
        image.NominalScannedPixelSpacing = [round(lineage.spacing_mm, 6)] * 2


def _say_digital(image: Dataset, source: Source, lineage: Lineage) -> None:
    """Set what the modules of digital mammography require, from the source where it has it.

    Source: DICOM PS3.3 C.8.11. A window that is assumed changes nothing (C.11.2.1.2).
    """
    header = source.header
    _take_over(image, header, _OF_DIGITAL)
    processing = image.SOPClassUID == DigitalMammographyXRayImageStorageForProcessing
    inverted = header.PhotometricInterpretation == "MONOCHROME1"
    image.PresentationIntentType = "FOR PROCESSING" if processing else "FOR PRESENTATION"
    image.ImageLaterality = (lineage.laterality or str(header.get("ImageLaterality", "B")))[0].upper()
    image.AnatomicRegionSequence = [code("76752008", "SCT", "Breast")]
    image.AcquisitionContextSequence = []
    image.ImageType = ["DERIVED", "SECONDARY", ""]
    assumed: dict[str, Any] = {
        "OrganExposed": "BREAST", "BreastImplantPresent": "NO", "PartialView": "NO", "PositionerType": "MAMMOGRAPHIC",
        "PositionerPrimaryAngle": None, "PatientOrientation": "", "DetectorType": "DIRECT", "KVP": None,
        "PixelIntensityRelationship": "LOG", "PixelIntensityRelationshipSign": 1 if inverted else -1,
    }  # fmt: skip
    if "ModalityLUTSequence" not in image:
        assumed |= {"RescaleIntercept": 0, "RescaleSlope": 1, "RescaleType": "US"}
    if not processing:
        assumed |= {"PresentationLUTShape": "INVERSE" if inverted else "IDENTITY"}
        if "VOILUTSequence" not in image and "WindowCenter" not in image:
            low, high = source.reach
            window = {"WindowCenter": (low + high + 1) / 2, "WindowWidth": high - low + 1}
            assumed |= {name: DSfloat(value, auto_format=True) for name, value in window.items()}
    for name, value in assumed.items():
        if name not in image:
            setattr(image, name, value)
    if "ViewCodeSequence" not in image and lineage.view in _VIEW_CODES:
        value, meaning = _VIEW_CODES[lineage.view]
        view = code(value, "SCT", meaning)
        view.ViewModifierCodeSequence = []
        image.ViewCodeSequence = [view]
    if "ImagerPixelSpacing" not in image and lineage.spacing_mm:
        image.ImagerPixelSpacing = [round(lineage.spacing_mm, 6)] * 2


def _say_lossy(image: Dataset, source: Source, header: Dataset) -> None:
    """Set whether the source was ever compressed with loss, which stays true. Source: PS3.3 C.7.6.1.1.5."""
    stated = str(header.get("LossyImageCompression", ""))
    syntax = header.file_meta.TransferSyntaxUID if "SOPClassUID" in header else None
    image.LossyImageCompression = stated or ("01" if source.is_jpeg or syntax in _LOSSY else "00")


def _say_pixels(image: Dataset, values: NDArray[np.integer[Any]], source: Source, photometric: str) -> None:
    allocated = 8 * values.dtype.itemsize
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, photometric
    image.Rows, image.Columns = values.shape
    image.BitsAllocated, image.BitsStored, image.HighBit = allocated, source.bits, source.bits - 1
    image.PixelRepresentation = 1 if source.low < 0 else 0
    content = values.astype(values.dtype.newbyteorder("<")).tobytes()
    image.PixelData = content + b"\0" * (len(content) % 2)
    image["PixelData"].VR = "OB" if allocated == 8 else "OW"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(uid("implementation"))
    image.file_meta = meta


def draw_watermark(source: Source, values: NDArray[np.integer[Any]], corner: tuple[bool, bool]) -> None:
    """Draw the word SYNTHETIC into a corner, in the brightest value; `values` are changed.

    Args:
        source: whose values these are.
        values: (rows, columns).
        corner: whether at the bottom, and whether at the right.
    """
    height, width = values.shape
    (wide, high), below = cv2.getTextSize("SYNTHETIC", cv2.FONT_HERSHEY_SIMPLEX, 1.0, 2)
    scale = 0.3 * width / wide
    thick, margin = max(1, round(2 * scale)), round(0.02 * width)
    wide, high, below = round(wide * scale), round(high * scale), round(below * scale)
    left = width - margin - wide if corner[1] else margin
    base = height - margin - below if corner[0] else margin + high
    drawn = np.zeros(values.shape, np.uint8)
    cv2.putText(drawn, "SYNTHETIC", (left, base), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thick)
    values[drawn > 0] = source.stored(np.array([65535], np.uint16))[0]
