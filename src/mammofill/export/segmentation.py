"""The painted lesion's outline as a DICOM segmentation, made by highdicom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import mammofill
from mammofill.export.objects import MAKER, Lineage
from mammofill.export.painted_how import painted_how
from mammofill.ground.errors import SettingsError
from mammofill.ground.imaging import Mask


def check_installed() -> None:
    """Refuse to begin where highdicom is not installed.

    Raises:
        SettingsError: says what to install.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            f"Segmentations are written by highdicom, which is not installed ({error}). Run pip install "
            '"mammofill[dicom-out]"'
        ) from error


def write_segmentation(path: Path, image: Any, mask: Mask, lineage: Lineage) -> None:
    """Write the lesion of one image as a binary segmentation of the image's size, the same bytes for the same input.

    Args:
        path: the file; its folder must exist.
        image: the library's dataset of the image.
        mask: (rows, columns) bool, the lesion.
        lineage: what the image was made from.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes

    algorithm = hd.AlgorithmIdentificationSequence(
        name=f"{MAKER} lesion mask", version=mammofill.__version__, family=codes.DCM.ArtificialIntelligence
    )
    kinds = {"mass": codes.SCT.Mass, "calcification": codes.SCT.CalcificationOfBreast}
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=f"{painted_how(lineage.method).lesion} {lineage.pathology} {lineage.abnormality or 'lesion'}",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=kinds.get(lineage.abnormality, codes.SCT.Lesion),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        anatomic_regions=[codes.SCT.Breast],
    )
    seg = hd.seg.Segmentation(
        [image],
        pixel_array=mask.astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid=lineage.series("segmentations"),
        series_number=2,
        sop_instance_uid=lineage.uid("segmentation"),
        instance_number=lineage.number,
        manufacturer=MAKER,
        manufacturer_model_name="mammofill infiller",
        software_versions=mammofill.__version__,
        device_serial_number=lineage.infiller[:16],
        series_description="SYNTHETIC LESION MASKS",
        content_creator_name=f"{MAKER}^",
        omit_empty_frames=False,
    )
    seg.SyntheticData = "YES"
    seg.PatientOrientation = image.PatientOrientation  # wanted of a general image; the library leaves it out
    for name in ("Series", "Content", "InstanceCreation"):
        setattr(seg, f"{name}Date", lineage.date)
        setattr(seg, f"{name}Time", "000000")
    _fix(seg, lineage)
    seg.save_as(path, enforce_file_format=True)


def _fix(seg: Any, lineage: Lineage) -> None:
    """Replace random and clock values of the library by values derived from the lineage."""

    def fix(dataset: Any, element: Any) -> None:
        if element.keyword in ("DimensionOrganizationUID", "FrameOfReferenceUID", "TrackingUID"):
            element.value = lineage.uid(element.keyword)
        elif element.keyword == "ContributionDateTime":
            element.value = f"{lineage.date}000000"

    seg.walk(fix)
