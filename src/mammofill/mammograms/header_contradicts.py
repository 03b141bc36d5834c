"""Compares headers with the table: a header with another side or view may belong to an exchanged file."""

from __future__ import annotations

from mammofill.dicom import QUALITY_CONTROL_RULE
from mammofill.ground.foreign_files import ReadImage
from mammofill.mammograms.sources.annotations import Decision, Exclusion, MammogramEntry
from mammofill.mammograms.sources.sides_and_views import CONTRADICTS, DONE, contradicted, read_side, read_view

_NO_X_RAYS_OF_BREASTS = frozenset({"US", "MR", "CT", "PT", "NM", "XA", "ES", "SM", "OP", "IVUS", "SEG", "RTDOSE"})
"""Modalities whose images are not mammograms. Scanned film and older detectors are MG, CR, DX, RG or OT. Source: DICOM
PS3.3 C.7.3.1.1.1."""


_SAME_SPACING = 0.01
"""Pixel spacings that differ by no more than this share count as equal."""


def why_another(read: ReadImage, file: str, entry: MammogramEntry) -> list[Decision]:
    """Return decisions about a file whose header contradicts its table.

    Args:
        read: the image; missing header fields contradict nothing.
        file: from which it was read.
        entry: the mammogram, as the table describes it.

    Returns:
        ``file-contradicts-table`` for another side or view, ``no-mammogram`` for another kind of image,
        ``spacing-contradicts-header`` for another size of pixels.
    """
    found = []
    if (modality := (read.modality or "").upper()) in _NO_X_RAYS_OF_BREASTS:
        message = f"{file} says that it is of the modality {modality}; mammograms are MG."
        found.append(_decision(entry, "no-mammogram", message, "Kept: look at it, and take it out of the table."))
    contradiction = contradicted(entry.laterality, entry.view, read_side(read.laterality), read_view(read.view))
    if contradiction:
        found.append(_decision(entry, CONTRADICTS, f"The header of {file} says {contradiction}.", DONE))
    if entry.spacing_mm and read.spacing_mm and abs(entry.spacing_mm / read.spacing_mm - 1) > _SAME_SPACING:
        message = (
            f"The header of {file} says {read.spacing_mm:g} mm per pixel, where the collection says "
            f"{entry.spacing_mm:g} mm."
        )
        done = "The collection counts. If the header is right, sizes in mm are wrong: correct the collection's number."
        found.append(_decision(entry, "spacing-contradicts-header", message, done))
    return found


def why_of_no_patient(read: ReadImage, entry: MammogramEntry) -> Exclusion | None:
    """Return an exclusion for an image for quality control, by its header (``quality-control``); None for others.

    Args:
        read: the image.
        entry: the mammogram, as the table describes it.
    """
    found = next((remark.found for remark in read.remarks if remark.rule == QUALITY_CONTROL_RULE), None)
    return Exclusion(entry.mammogram_id, entry.patient_id, QUALITY_CONTROL_RULE, found) if found else None


def _decision(entry: MammogramEntry, rule: str, found: str, done: str) -> Decision:
    return Decision(entry.mammogram_id, entry.patient_id, rule, found, done)
