"""Is a file the one that its table means? A header that names another side or view may be that of an exchanged file."""

from __future__ import annotations

from mammofill.ground.foreign_files import ReadImage
from mammofill.mammograms.sources.annotations import Decision, MammogramEntry
from mammofill.mammograms.sources.sides_and_views import CONTRADICTS, DONE, contradicted, read_side, read_view

_NO_X_RAYS_OF_BREASTS = frozenset({"US", "MR", "CT", "PT", "NM", "XA", "ES", "SM", "OP", "IVUS", "SEG", "RTDOSE"})
"""Modalities whose images are no mammograms. Scanned film and older detectors are MG, CR, DX, RG or OT. Source: DICOM
PS3.3 C.7.3.1.1.1."""


def why_another(read: ReadImage, file: str, entry: MammogramEntry) -> list[Decision]:
    """Return decisions about a file that says of itself that it shows something else than its table says.

    Args:
        read: the image; what its header leaves out contradicts nothing.
        file: that it was read from.
        entry: the mammogram, as the table describes it.

    Returns:
        ``file-contradicts-table`` for another side or view, ``no-mammogram`` for another kind of image.
    """
    found = []
    if (modality := (read.modality or "").upper()) in _NO_X_RAYS_OF_BREASTS:
        story = f"{file} says that it is of the modality {modality}; mammograms are MG."
        found.append(_decision(entry, "no-mammogram", story, "Kept: look at it, and take it out of the table."))
    said = contradicted(entry.laterality, entry.view, read_side(read.laterality), read_view(read.view))
    if said:
        found.append(_decision(entry, CONTRADICTS, f"The header of {file} says {said}.", DONE))
    return found


def _decision(entry: MammogramEntry, rule: str, found: str, done: str) -> Decision:
    return Decision(entry.mammogram_id, entry.patient_id, rule, found, done)
