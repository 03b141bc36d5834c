"""Header fields that show an image to be no plain mammogram: magnified, with an implant, of a phantom.

Pixels do not depend on them, so they only give remarks. Only fields that are certain do so; what is usual in ordinary
collections, such as derived images and secondary captures, gives none.
"""

from __future__ import annotations

from pydicom import Dataset

from mammofill.dicom.elements import Notes, first_item, is_left_out, number_or, optional, text_of

QUALITY_CONTROL_RULE = "quality-control"
"""Rule of the remark that an image shows a phantom or test object, not a patient. Source: DICOM PS3.3 C.7.6.1."""

_MAGNIFIED = 1.2
"""Magnification factor above which a view counts as magnified. The breast is some centimetres above the detector, so
factors of up to 1.1 are usual; magnification views have 1.5 and more."""

_NOT_OF_BREASTS = frozenset({
    "ABDOMEN", "ANKLE", "ARM", "CHEST", "ELBOW", "FOOT", "HAND", "HEAD", "HIP", "KNEE", "LEG", "NECK", "PELVIS",
    "SHOULDER", "SKULL", "SPINE", "CSPINE", "TSPINE", "LSPINE", "WRIST",
})  # fmt: skip
"""Defined terms for other body parts. Other words than BREAST may be a site's own. Source: DICOM PS3.16, annex L."""

_COMPUTED = "GENERATED_2D"
"""Value 4 of ImageType: "mathematically generated 2D view". Source: DICOM PS3.3 C.8.11.7.1.4, table C.8-74d."""

_LOOK = "Kept: look at it."


def note_unusual(dataset: Dataset, notes: Notes) -> None:
    """Add remarks on header fields that show an image to be no plain mammogram of one breast."""

    def value(name: str) -> str:
        return (text_of(optional(dataset, name, notes)) or "").upper()

    if value("QualityControlImage") == "YES":
        found = "it is an image for quality control, of no patient (QualityControlImage, (0028,0300))."
        notes.add(QUALITY_CONTROL_RULE, found, "Read as any other.")
    name = "EstimatedRadiographicMagnificationFactor"
    if not is_left_out(dataset, name) and (factor := number_or(dataset, name, notes, 1)) > _MAGNIFIED:
        found = f"it is magnified {factor:g} times ({name}, (0018,1114))."
        done = "Kept: if its spacing is the detector's (ImagerPixelSpacing), sizes in mm are so many times too large."
        notes.add("view-magnified", found, done)
    if modifiers := _view_modifiers(dataset, notes):
        found = f"its view is modified (ViewModifierCodeSequence, (0054,0222)): {', '.join(modifiers)}."
        notes.add(
            "view-modified", found, "Kept as a view like others: it may show a part of the breast, or more detail."
        )
    if value("PartialView") == "YES":  # Source: DICOM PS3.3 C.8.11.7
        found = "it shows only a part of the breast (PartialView, (0028,1350))."
        notes.add("view-modified", found, "Kept as a view like others: a lesion may be in another part.")
    if _COMPUTED in value("ImageType"):
        found = f"it was computed from the slices of a tomosynthesis (ImageType, (0008,0008), {_COMPUTED})."
        done = "Kept: it looks different from a plain mammogram. Check that both classes have such images."
        notes.add("computed-from-slices", found, done)
    if value("BreastImplantPresent") == "YES":
        notes.add("implant-present", "it shows a breast implant (BreastImplantPresent, (0028,1300)).", _LOOK)
    if value("BurnedInAnnotation") == "YES":
        found = "it has words in its pixels (BurnedInAnnotation, (0028,0301))."
        notes.add("words-in-pixels", found, "Kept: see that they tell neither a lesion nor a person.")
    of_image = value("ImageLaterality")
    if (of_image or value("Laterality")) == "B":
        name = "ImageLaterality, (0020,0062)" if of_image else "Laterality, (0020,0060)"
        notes.add("both-breasts", f"it is of both breasts ({name}).", _LOOK)
    if (part := value("BodyPartExamined")) in _NOT_OF_BREASTS:
        notes.add("other-body-part", f"it is of the {part} (BodyPartExamined, (0018,0015)).", _LOOK)


def _view_modifiers(dataset: Dataset, notes: Notes) -> list[str]:
    """Return the meanings of a view's modifiers. Source: DICOM PS3.3 C.8.11.7 and PS3.16, context group 4015."""
    view = first_item(dataset, "ViewCodeSequence", notes)
    items = optional(view, "ViewModifierCodeSequence", notes) if isinstance(view, Dataset) else None
    codes = (item for item in items or () if isinstance(item, Dataset))
    return [text_of(code.get("CodeMeaning")) or text_of(code.get("CodeValue")) or "unnamed" for code in codes]
