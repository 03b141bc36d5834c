"""Writes a gray image, for phantoms and tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid


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
        uid_names: the instance's UID is derived from these; the same names give the same UID.
        bits: bits stored, 1 to 16.
        monochrome1: write it with low values bright.
        series_description: SeriesDescription.
        laterality: L or R.
        view: CC or MLO.
        study_uid: StudyInstanceUID; derived from the names if left out.
        series_uid: SeriesInstanceUID; derived from the names if left out.

    Raises:
        ValueError: a value does not fit the bits.
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
    # Not from a detector, so not of the digital mammography class, whose exposure data would have to be invented.
    # Source: DICOM PS3.3 A.8.1 and C.8.6.1; empty where the standard requires the element but not a value.
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
