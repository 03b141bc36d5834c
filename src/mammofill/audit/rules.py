"""Findings from ingest's exclusions and decisions, with an explanation of each of ingest's rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mammofill.audit.findings import Case, Finding, Severity
from mammofill.mammograms.mask_checks import LEAST_IN_BREAST
from mammofill.mammograms.sources.annotations import Decision, Exclusion

_NO_NORMALS = (
    "It is left out; its mammogram stays, but gives no normal patches, since it is unknown where it is healthy."
)
_OPEN = "Open the files named in an image viewer."


@dataclass(frozen=True)
class _Rule:
    """Explanation of one of ingest's rules."""

    title: str
    severity: Severity
    consequence: str
    ingest: str
    look_up: str = _OPEN


_LEFT_OUT: dict[str, _Rule] = {
    "patient-unknown": _Rule(
        "Mammograms without a patient",
        "moderate",
        "Without a patient, images of one person may be in different splits.",
        "The mammogram is left out.",
        "Read the row.",
    ),
    "patient-contradicted": _Rule(
        "Mammograms whose header or folder names another patient than the table",
        "serious",
        "Files are exchanged: a lesion and its pathology are assigned to another person's picture, perhaps in another "
        "split.",
        "The mammogram is left out.",
        "Compare PatientID in the header with the table.",
    ),
    "number-unreadable": _Rule(
        "Images with a number that cannot be read",
        "moderate",
        "The check that needs this number is not possible: lesions may be at the wrong place.",
        "The image is left out.",
        "Read the cell.",
    ),
    "rows-differ": _Rule(
        "Rows about one lesion that differ in its files",
        "moderate",
        "There may be a second, unmarked lesion, whose tissue counts as normal.",
        "The first row is kept; the mammogram gives no normal patches.",
        "Read the rows named side by side.",
    ),
    "identifier-twice": _Rule(
        "Mammograms with the same name",
        "moderate",
        "One of them would take the place of the other.",
        "The first is kept.",
        "Look at the files named.",
    ),
    "file-missing": _Rule(
        "Rows whose file is missing",
        "moderate",
        "An incomplete download looks like a smaller collection. If the missing files are not a random sample, for "
        "example all of one table, the results are not those of the collection.",
        "Every such row is left out by name. Other layouts of the paths are tried first (docs/sources.md).",
        "Compare the names of the folders with the table.",
    ),
    "unreadable": _Rule(
        "Mammograms that cannot be read",
        "moderate",
        "The mammogram and its lesions are lost.",
        "Left out with what was found; the next run of `ingest` tries again.",
        "Download the file again, and compare its size with the publisher's list.",
    ),
    "picture-blank": _Rule(
        "Pictures of one value",
        "moderate",
        "They show nothing: a lesion marked there would be a wrong example for training.",
        "The mammogram is left out.",
        "Look at the picture, and check the program that converted it.",
    ),
    "reader-died": _Rule(
        "Mammograms on which the reading process died",
        "moderate",
        "The mammogram and its lesions are lost.",
        "Left out after a second try; all others are read.",
        "Download the file again; if it is the publisher's, another decoder may read it.",
    ),
    "mask-unreadable": _Rule(
        "Lesions whose files cannot be read",
        "moderate",
        "The lesion is lost, and which tissue of its mammogram is healthy is unknown.",
        _NO_NORMALS,
    ),
    "mask-part-small": _Rule(
        "Small parts of masks, beside a large one, that may be lesions",
        "note",
        "A drawing error would be used for training as a lesion; a lesion that is left out would count as normal "
        "tissue.",
        "The part is left out; its mammogram gives no normal patches.",
    ),
    "mask-missing": _Rule(
        "Lesions with a picture but no mask",
        "moderate",
        "The lesion is lost; a program that reads the picture as the mask marks the wrong pixels.",
        _NO_NORMALS,
    ),
    "mask-empty": _Rule(
        "Masks that mark nothing",
        "moderate",
        "A loss averaged over the mask is not a number.",
        _NO_NORMALS,
    ),
    "normal-with-mask": _Rule(
        "Masks that mark something on mammograms called normal",
        "serious",
        "Either a lesion has no class, or a mask belongs to another mammogram.",
        "The mask is left out; the mammogram stays, but gives no normal patches.",
        "Look at the mask over the mammogram.",
    ),
    "mask-ambiguous": _Rule("Lesions with two masks that differ", "moderate", "One of them is wrong.", _NO_NORMALS),
    "mask-of-two-mammograms": _Rule(
        "Masks that are named for different mammograms",
        "moderate",
        "A lesion is at one place of one picture: at least one of the mammograms has a lesion marked where none is.",
        f"It is unknown which one is right: the lesions of all these mammograms are left out. {_NO_NORMALS}",
        "Read the rows named, and look at the mask over each of the mammograms.",
    ),
    "mask-size": _Rule(
        "Masks of another size than their mammogram, that could not be placed",
        "moderate",
        "Stretched to fit, such a mask marks the wrong tissue.",
        f"Their place is not certain, and nothing is guessed. {_NO_NORMALS}",
    ),
    "mask-not-of-this-film": _Rule(
        "Lesions drawn on another file of the view, that could not be placed on this one",
        "note",
        "The lesion is somewhere on this picture, but its place is unknown.",
        _NO_NORMALS,
    ),
    "mask-outside": _Rule(
        "Lesions marked outside of the image", "moderate", "The mark is wrong, or the image is cropped.", _NO_NORMALS
    ),
    "lesion-without-place": _Rule(
        "Lesions without a place",
        "moderate",
        "The lesion is lost for all stages that use patches, and is unmarked on its mammogram.",
        _NO_NORMALS,
        "Read the row or the file of outlines.",
    ),
    "outlines-differ": _Rule(
        "Images with several files of outlines that differ",
        "moderate",
        "Lesions in only one of the files would count as normal tissue.",
        _NO_NORMALS,
        "Compare the files named, and remove all but one.",
    ),
    "outline-unreadable": _Rule(
        "Files of outlines that cannot be read",
        "moderate",
        "All lesions of the mammogram are lost.",
        _NO_NORMALS,
    ),
}

_DECIDED: dict[str, _Rule] = {
    "image-of-two-patients": _Rule(
        "Files that occur under two patients",
        "serious",
        "One person has two names, or one of the two has the other's picture: one may be used for training and the "
        "other for testing.",
        "Both are kept, each with its patient.",
        "Give one person one name, or remove the wrong file.",
    ),
    "header-names-one-patient": _Rule(
        "Patients whose image headers have the same name",
        "serious",
        "The tables may have two names for one person: one may be used for training and the other for testing.",
        "Both are kept, each with the patient of the table.",
        "Compare PatientID in the headers with the tables; give one person one name.",
    ),
    "folder-of-several-patients": _Rule(
        "Folders that are named like patients but contain several",
        "serious",
        "The patients of the table may be exams of one person: one may be used for training and another for testing.",
        "All are kept, each with the patient of the table.",
        "Ask the creator of the folders; give one person one name.",
    ),
    "headers-number-otherwise": _Rule(
        "Headers that assign many mammograms to other patients than the tables",
        "moderate",
        "Unless the headers only number patients in another way, lesions are marked on other persons' pictures.",
        "Kept, each with the patient of the table.",
        "Compare PatientID in the headers with the tables.",
    ),
    "mammogram-in-two-splits": _Rule(
        "Mammograms in the tables of both splits",
        "serious",
        "Both rows are of one picture, which would be used for training and for testing.",
        "The mammogram's official split is test, and `official-patient-safe` keeps its patient for test; `--split "
        "official` refuses and names it.",
        "Read the rows named, and remove the wrong one.",
    ),
    "file-contradicts-table": _Rule(
        "Mammograms whose name or header contradicts the table",
        "moderate",
        "Files may be exchanged: lesions are then marked on other films.",
        "Kept as in the table.",
        "Look at the picture, and at the row.",
    ),
    "patient-spelled-differently": _Rule(
        "Patients who are spelled in several ways",
        "serious",
        "A program that treats each spelling as a different person can have one person in training and test.",
        "Treated as one person: case, spaces, hyphens, leading zeros, decimals of a spreadsheet (`4.0`) and a word "
        "like `P_` before the number make no difference (docs/sources.md).",
        "Look for the spellings named in all tables and headers of the collection.",
    ),
    "polarity-doubtful": _Rule(
        "Mammograms that may have black and white exchanged",
        "moderate",
        "Dense tissue, bright in the others, is dark in them.",
        "Kept as they are.",
        "Look at the picture: film should be black, and dense tissue bright.",
    ),
    "mask-named-twice": _Rule(
        "Masks that are named for two pictures that may be of one exposure",
        "note",
        "Where the pictures are not of one exposure, one of them has its lesion marked where none is.",
        "Kept for each of the pictures.",
        "Look at the mask over each of the pictures.",
    ),
    "masks-of-one-lesion": _Rule(
        "Masks of one mammogram that are nearly the same",
        "note",
        "One lesion would count twice.",
        "The lesion counts once, with the first mask.",
        "Look at both masks over the mammogram.",
    ),
    "masks-identical": _Rule(
        "Masks of different mammograms that mark the same pixels",
        "moderate",
        "Outlines of two lesions rarely agree in each pixel: one mask may be a copy of the other under a wrong "
        "name, and then marks healthy tissue as a lesion.",
        "Both are kept.",
        "Look at both masks over their mammograms.",
    ),
    "mask-resampled": _Rule(
        "Masks of another size, resampled to their mammogram's",
        "note",
        "Laid over the mammogram as they are, they would mark the wrong tissue.",
        "Resampled, since the proportions are the same, and checked against the cropped picture where there is one.",
    ),
    "mask-placed-by-crop": _Rule(
        "Masks of another size, placed where their cropped picture was found",
        "note",
        "Stretched to fit, they would mark the wrong tissue.",
        "Placed at the only place of the mammogram where the cropped picture fits.",
    ),
    "mask-outside-breast": _Rule(
        "Masks that are mostly outside of the breast",
        "moderate",
        "Either the mask is at a wrong place, or the breast was not segmented completely.",
        f"Left out where less than {100 * LEAST_IN_BREAST:g} % of the mask is on the breast, and its mammogram then "
        "gives no normal patches; otherwise kept and noted. `extract-patches` keeps only windows with enough breast, "
        "so most such lesions give no patch.",
    ),
    "files-of-no-row": _Rule(
        "Image files without a row",
        "moderate",
        "Something was downloaded that the tables do not describe, or a table is missing.",
        "Not read.",
        "Compare the names with the tables.",
    ),
    "breast-of-no-row": _Rule(
        "Mammograms without a row",
        "note",
        "It is unknown whether they are healthy.",
        "Kept, but not as normal.",
        "Look for the patient in the table.",
    ),
    "file-twice": _Rule(
        "Files that occur more than once", "note", "Read twice, they would count twice.", "One of each is read."
    ),
    "file-of-another-series": _Rule(
        "Mammograms with one file too many", "note", "One of the files is not the mammogram.",
        "The one of the series that the tables name is read.",
    ),
    "dicom-and-picture": _Rule(
        "Images that exist as DICOM and as pictures", "note", "Pictures have 8 of the 16 bits.", "DICOM is read."
    ),
    "jpeg-copy": _Rule(
        "Images that exist only as JPEG",
        "moderate",
        "Only 8 of the film's 16 bits are left, with lossy compression: faint calcifications and textures differ from "
        "the original's, and results are not those of the collection.",
        "Read as they are; masks are thresholded at half of their range.",
        "Get the DICOM files from the publisher.",
    ),
    "masks-not-read": _Rule(
        "Files in folders of masks",
        "note",
        "Read as mammograms, they would show white shapes on black.",
        "Not read.",
        "Compare the names of the folders with the layout of the collection.",
    ),
    "subtracted": _Rule(
        "Rows of subtracted images",
        "note",
        "They show contrast agent, not tissue: a program that reads them has each breast twice, once as another kind "
        "of picture.",
        "Not read.",
        "See the names of the images: `CM` is subtracted, `DM` of low energy.",
    ),
    "name-unknown": _Rule(
        "Rows that name no image",
        "moderate",
        "A lesion may be lost because of a misspelled name, and its mammogram is then unknown.",
        "Not read.",
        "Read the rows; a line with totals is harmless.",
    ),
    "twins-unknown": _Rule(
        "Missing tables of the other kind of lesions",
        "moderate",
        "Lesions of the other kind are unmarked on these mammograms and count as normal tissue.",
        "Kept. With the other tables in the same folder, these lesions are known.",
        "Put all four tables into the folder.",
    ),
}  # fmt: skip

_AS_SAID = "Each case states what was done."
_LOOK = "Look at the files named."

_DONE_PER_CASE: tuple[tuple[str, str, Severity, str, str], ...] = (
    ("pathology-word", "Words for a pathology in the table's own spelling", "moderate",
     "A misread word exchanges the classes.", "See how each word was read."),
    ("density-word", "Words for density in the table's own spelling, or that are no class", "note",
     "Subgroups are divided otherwise than meant.", "See how each word was read."),
    ("image-synthetic", "Mammograms marked as synthetic", "serious",
     "Measures on them do not apply to patients.", "Keep them out of the test split."),
    ("image-twice", "Pictures that occur twice under one patient", "moderate",
     "One lesion counts twice, or normal tissue of one picture is a lesion in the other.",
     "Compare the rows and the masks."),
    ("lesion-in-other-view", "Normal mammograms of a breast in which another view shows a lesion", "note",
     "The lesion is often visible in both views, and its tissue would count as normal.", "Look at both views."),
    ("mask-names-other-image", "Masks that are named after another image than the row's", "serious",
     "The lesion may be on another picture.", "Compare the names in the row, and lay the mask over both pictures."),
    ("names-contradict-rows", "A table in which many rows contradict the names of their files", "serious",
     "Lesions and classes may be those of other images.", "Compare all names and rows."),
    ("normal-with-empty-mask", "Mammograms called normal with a mask that marks nothing", "note",
     "None: the mask agrees.", _LOOK),
    ("mask-inverted", "Masks that mark everything but the lesion", "moderate",
     "The breast would be used for training as a lesion.", _LOOK),
    ("mask-outline-filled", "Masks that are outlines", "note", "A ring would be used for training as a lesion.", _LOOK),
    ("mask-crumbs", "Masks with specks apart from the lesion", "note", "Specks would count as lesions.", _LOOK),
    ("mask-parted", "Masks with several lesions", "note",
     "Lesions far apart would be one, with healthy tissue between them.", _LOOK),
    ("mask-soft", "Masks with soft edges", "note", "The size of the lesion depends on the threshold at its edge.",
     _LOOK),
    ("mask-in-colours", "Masks saved in colours", "note", "The lesion may be marked in another way.", _LOOK),
    ("lesion-tiny", "Lesions of a few pixels", "note", "No lesion is visible in them.",
     "A greater working height keeps more of them."),
    ("outline-without-area", "Outlines that enclose no area", "moderate", "A line shows no lesion.",
     "Check whether points are missing."),
    ("spacing-contradicts-header", "Mammograms whose header gives another size of pixels", "moderate",
     "Sizes in millimetres may be wrong.", "Compare PixelSpacing in the header with the collection's number."),
    ("masks-flipped", "Masks that seem to be upside down, mirrored, or rotated by 180 degrees", "serious",
     "Healthy tissue is then marked as lesions.", "Lay some masks over their mammograms."),
    ("masks-transposed", "Masks whose rows and columns seem exchanged", "serious",
     "Healthy tissue is then marked as lesions.", "Lay some masks over their mammograms."),
    ("no-mammogram", "DICOM files of another kind of image", "serious",
     "A classifier may learn to distinguish kinds of images.", _LOOK),
    ("class-told-by-device", "Files that reveal the class of their lesions", "serious",
     "A classifier learns the device, and its results do not apply to lesions.",
     "Compare the files of both classes."),
    ("view-magnified", "Magnified views", "moderate", "Lesions in them are larger than in others, also in mm.",
     "Compare spacing_mm with ImagerPixelSpacing, divided by the factor."),
    ("view-modified", "Views with a modifier, such as spot compression, or of a part of the breast", "moderate",
     "They are made of suspicious areas, and a classifier may recognise them.", "Check that both classes have them."),
    ("computed-from-slices", "Images computed from slices of tomosynthesis", "moderate",
     "They look different from plain mammograms, and a classifier may recognise them.",
     "Check that both classes have them."),
    ("implant-present", "Mammograms with an implant", "note", "An implant is as bright as dense tissue.", _LOOK),
    ("words-in-pixels", "Mammograms with words in their pixels", "note",
     "Marks may reveal a lesion, and words a person.", _LOOK),
    ("both-breasts", "Images of both breasts", "moderate", "A table gives one side for an image.", _LOOK),
    ("other-body-part", "Images of another part of the body", "serious",
     "A classifier may learn to distinguish kinds of images.", _LOOK),
    ("size-unusual", "Mammograms of a size that their collection does not have", "moderate",
     "On a resized or padded copy, places of lesions mark healthy tissue.", "Compare the file with the original."),
    ("place-cut-off", "Places of lesions that are mostly outside of the picture", "moderate",
     "The place may be of another picture, or of another size of it.", "Compare the place with the picture."),
    ("drawings-of-no-row", "Regions drawn on images without a row", "moderate",
     "A lesion may be lost because of a misspelled name.", "Compare the names of images in both tables."),
    ("picture-is-crop", "Pictures that are crops, cut around a lesion", "note",
     "All of a crop counts as breast, and it has no healthy tissue.", _LOOK),
    ("lesion-without-attributes", "Lesions that are not in the table of attributes", "note",
     "They are missing in conditions and subgroups.", "Compare the names in both tables."),
    ("attributes-contradict", "Attributes of another patient or pathology", "serious",
     "Rows may be exchanged, and describe other lesions.", "Compare both tables."),
    ("attribute-replaced", "Attributes with different values in two tables", "note",
     "One of the values is wrong.", "Compare both tables."),
    ("table-called-otherwise", "Tables with rows of another part or split than their name says", "moderate",
     "Tables may be exchanged or joined.", "Compare their names with the mammograms that they name."),
    ("pathology-twice", "Two columns that give lesions different pathologies", "serious",
     "One of them may be of the patient or the breast: lesions have wrong classes.", "See which is of the lesion."),
    ("split-unknown", "An official split in unknown words", "serious",
     "A new split is drawn, which is not the one that others test on.", "Put the words right."),
    ("column-called-otherwise", "Columns whose content belongs in a column of another name", "moderate",
     "A split, or a kind of lesion, that the table gives is not used.", "Rename the column."),
    ("header-unreadable", "Elements of headers that cannot be read", "note",
     "Their values are unknown; no pixel depends on them.", "Look at the header."),
    ("number-with-comma", "Numbers in headers with a comma", "note",
     "If it separates thousands, the number is wrong.", "Look at the header."),
    ("window-unusable", "Windows that leave nothing visible", "moderate",
     "The picture is shown in its whole range, others through their window.", "Look at the header's window."),
    ("padding-darkened", "Padding that would be bright", "note", "It would count as dense tissue.", _LOOK),
    ("padding-ignored", "Padding value of every pixel", "moderate", "The padding value in the header is wrong.", _LOOK),
    ("overlay-removed", "Overlays in the upper bits of pixels", "note", "They would be part of the values.", _LOOK),
    ("pixels-not-square", "Pictures whose pixels are not square", "moderate", "Lesions are stretched.",
     "Resample them to square pixels before."),
    ("bits-of-frame-fewer", "Compressed images with fewer bits than in their header", "moderate",
     "They may be darker than intended.", "Look at BitsStored in the header."),
    ("sign-of-frame-differs", "Compressed images with another sign than in their header", "moderate",
     "Dark and bright may be exchanged.", _LOOK),
    ("rescale-ignored", "Files with a modality LUT and a rescale", "moderate",
     "Dark and bright may be exchanged.", _LOOK),
    ("sign-unused", "Signed images without values below 0", "note", "Half of their range is unused.",
     "If they are meant as unsigned, set PixelRepresentation to 0."),
    ("bits-contradict-header", "Numbers of bits in a table that the files contradict", "moderate",
     "The number in the file is used, and the picture may be dark.",
     "Correct the file, or leave the number out."),
    ("white-is-zero", "Pictures in which 0 means white", "note", "Dense tissue would be dark.", _LOOK),
    ("orientation-applied", "Pictures that are stored rotated or mirrored", "note",
     "Masks fit the picture as viewers show it.", _LOOK),
    ("intents-mixed", "Images for processing together with images for presentation", "serious",
     "A classifier can distinguish them, and thereby the classes, if one class has more of one kind.",
     "Use one kind."),
    ("signs-mixed", "Signed images together with unsigned ones", "serious",
     "A classifier can distinguish them, and thereby the classes, if one class has more of one kind.", _LOOK),
    ("bits-mixed", "Images of several numbers of bits", "moderate",
     "They may be of several devices, which a classifier can distinguish.", _LOOK),
    ("ranges-mixed", "Images whose values use several ranges", "serious",
     "Some are dark, and a classifier can distinguish them.", "Give the number of bits of their values."),
    ("windows-mixed", "Images with a window together with images without one", "serious",
     "A classifier can distinguish them, and thereby the classes, if one class has more of one kind.",
     "Leave out --window first."),
    ("range-unused", "Images that use a small part of their range", "moderate", "They are dark for a network.",
     "Give the number of bits of their values."),
    ("jpeg2000-halved", "Films that were decoded at half their resolution", "note",
     "The result is the low-pass band of the wavelet transform, not the mean of pixels.",
     "Leave out --half_jpeg2000."),
    ("decoding-mixed", "Films decoded at half resolution together with films decoded at full resolution", "serious",
     "A classifier can distinguish them.", "Leave out --half_jpeg2000."),
)  # fmt: skip
"""Decisions whose cases each state what was done: rule, title, severity, consequence, where to look."""

_DECIDED |= {
    rule: _Rule(title, severity, consequence, _AS_SAID, look_up)
    for rule, title, severity, consequence, look_up in _DONE_PER_CASE
}

_LEFT_OUT |= {
    rule: _Rule(title, "moderate", consequence, ingest)
    for rule, title, consequence, ingest in (
        ("synthetic-in-test", "Synthetic mammograms in the test split",
         "Measures on them do not apply to patients.", "The mammogram is left out."),
        ("picture-tiny", "Pictures of a few rows or columns", "No mammogram is visible in them.",
         "The mammogram is left out."),
        ("rows-for-columns", "Headers with rows and columns exchanged", "The picture would be sheared.",
         "The mammogram is left out."),
        ("quality-control", "Images for quality control", "They do not show a patient.", "The mammogram is left out."),
        ("bytes-exchanged", "Pictures whose bytes are exchanged", "The picture would be noise.",
         "The mammogram is left out."),
        ("picture-is-mask", "Masks that are listed as mammograms", "Normal patches would be cut from white areas.",
         "The mammogram is left out."),
        ("mask-constant", "Masks that mark everything", "The whole picture would be a lesion.", _NO_NORMALS),
        ("mask-too-large", "Masks that mark most of the picture or the breast", "They cannot be of a lesion.",
         _NO_NORMALS),
        ("mask-across", "Masks that reach across the picture", "They cannot be of a lesion.", _NO_NORMALS),
        ("mask-thin", "Masks that are lines or dots", "There is no area to learn from.", _NO_NORMALS),
        ("mask-scattered", "Masks of more parts than any lesion has", "They are noise.", _NO_NORMALS),
    )
}  # fmt: skip

_FROM_TABLES = (
    *("row-repeated", "rows-disagree", "twin-views", "twin-lesions-added", "lesion-without-pathology"),
    *("patient-kept-for-test", "patient-kept-for-validation"),
)
"""Rules that the audit evaluates from the tables themselves, whether or not files exist."""


_IN_ONE_ROW = ("files-of-no-row", "masks-not-read", "dicom-and-picture", "jpeg-copy", "subtracted", "name-unknown")
"""Rules with one row for all their cases."""

OF_TABLES = ("patient-spelled-differently", "patient-unknown")
"""Rules that need no file."""

OF_FILES = (*OF_TABLES, "file-missing", "lesion-without-place", "mask-of-two-mammograms")
"""Rules that need files, but no pixels."""

OF_IMAGES = (
    *OF_FILES,
    *("unreadable", "picture-blank", "reader-died", "mask-unreadable", "mask-missing", "mask-empty", "mask-ambiguous"),
    *("mask-size", "mask-outside", "mask-outside-breast", "mask-resampled", "mask-placed-by-crop", "masks-identical"),
    *("masks-flipped", "masks-transposed", "class-told-by-device"),
)
"""Rules that ingest checks in every collection once it reads images. Other rules belong to single readers."""


def is_told_by_tables(row: Exclusion | Decision) -> bool:
    """Return whether the audit derives this finding from the tables itself, so that the reader's row is not needed."""
    return row.rule in _FROM_TABLES


def rule_findings(
    exclusions: Sequence[Exclusion], decisions: Sequence[Decision], looked_for: Sequence[str] = OF_IMAGES
) -> list[Finding]:
    """Explain ingest's exclusions and decisions.

    Args:
        exclusions: of ingest.
        decisions: of ingest.
        looked_for: rules that give a finding also where there are no cases.

    Returns:
        One finding per rule. A rule that has no explanation here has the text of ingest's rows only.
    """
    rows: list[Exclusion | Decision] = [*exclusions, *decisions]
    rules = list(dict.fromkeys([*looked_for, *(row.rule for row in rows)]))
    return [_finding(rule, [row for row in rows if row.rule == rule]) for rule in rules]


def _finding(rule: str, rows: Iterable[Exclusion | Decision]) -> Finding:
    cases = tuple(Case(row.what, row.patient_id, _words(row), stands_for=_stands_for(row)) for row in rows)
    known = _LEFT_OUT.get(rule) or _DECIDED.get(rule) or _unknown(rule)
    return Finding(rule, known.title, known.severity, known.consequence, known.ingest, known.look_up, cases)


def _words(row: Exclusion | Decision) -> str:
    if isinstance(row, Decision):
        return f"{row.found} {row.done}"
    return f"{row.found} Left out." if row.rule in _DECIDED else row.found  # other cases of the rule are kept


def _stands_for(row: Exclusion | Decision) -> int:
    """Return the number of items of a row: the text of a row for several begins with their number."""
    number = row.found.split(" ", 1)[0]
    return int(number) if row.rule in _IN_ONE_ROW and number.isdecimal() else 1


def _unknown(rule: str) -> _Rule:
    return _Rule(
        f"Ingest's rule {rule}",
        "moderate",
        "See what was found.",
        f"See docs/sources.md for the rule `{rule}`.",
        "Look up what is named.",
    )
