"""What ingest leaves out and decides, as findings: the rules are ingest's own, and here they are explained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mammofill.audit.findings import Case, Finding, Severity
from mammofill.mammograms.mask_checks import LEAST_IN_BREAST
from mammofill.mammograms.sources.annotations import Decision, Exclusion

_NO_NORMALS = (
    "It is left out; its mammogram stays, but gives no normal patches, since nobody can say where it is healthy."
)
_OPEN = "Open the files named in an image viewer."


@dataclass(frozen=True)
class _Rule:
    """What one of ingest's rules means."""

    title: str
    severity: Severity
    consequence: str
    ingest: str
    look_up: str = _OPEN


_LEFT_OUT: dict[str, _Rule] = {
    "patient-unknown": _Rule(
        "Mammograms of nobody",
        "moderate",
        "Without a patient nothing keeps a person on one side of a split.",
        "The mammogram is left out.",
        "Read the row.",
    ),
    "patient-contradicted": _Rule(
        "Mammograms whose header or folder names another patient than the table",
        "serious",
        "Files are exchanged: a lesion and its pathology are given to another person's picture, perhaps in another "
        "split.",
        "The mammogram is left out.",
        "Compare PatientID in the header with the table.",
    ),
    "number-unreadable": _Rule(
        "Images with a number that cannot be read",
        "moderate",
        "What the number would have checked cannot be checked: lesions may lie at the wrong place.",
        "The image is left out.",
        "Read the cell.",
    ),
    "rows-differ": _Rule(
        "Rows about one lesion that differ in its files",
        "moderate",
        "There may be a second lesion, unmarked, whose tissue passes for normal.",
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
        "Rows whose file is not there",
        "moderate",
        "A download that stopped halfway looks like a smaller collection. If what is missing is not a matter of "
        "chance, say one table's worth, the results are of another collection.",
        "Every row is left out with its name. Other layouts of the paths are tried first (docs/sources.md).",
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
        "There is nothing in them: a lesion marked there would be learned as noise.",
        "The mammogram is left out.",
        "Look at the picture, and at whatever converted it.",
    ),
    "reader-died": _Rule(
        "Mammograms over which the reading process died",
        "moderate",
        "The mammogram and its lesions are lost.",
        "Left out after a second try; all others are read.",
        "Download the file again; if it is the publisher's, another decoder may read it.",
    ),
    "mask-unreadable": _Rule(
        "Lesions whose files cannot be read",
        "moderate",
        "The lesion is lost, and the tissue of its mammogram is of no known health.",
        _NO_NORMALS,
    ),
    "mask-part-small": _Rule(
        "Small parts of masks, beside a large one, that may be lesions",
        "note",
        "A slip of the pen would be learned from as a lesion; a lesion that is left out would pass for normal tissue.",
        "The part is left out; its mammogram gives no normal patches.",
    ),
    "mask-missing": _Rule(
        "Lesions with a picture but no mask",
        "moderate",
        "The lesion is lost; a reader who takes the picture for the mask gets nonsense.",
        _NO_NORMALS,
    ),
    "mask-empty": _Rule(
        "Masks that mark nothing",
        "moderate",
        "A loss that is averaged over the mask is not a number.",
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
        "A lesion lies at one place of one picture: at least one of the mammograms has a lesion marked where none is.",
        f"Nobody can say whose it is: the lesions of all these mammograms are left out. {_NO_NORMALS}",
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
        "The lesion is known to be somewhere on this picture.",
        _NO_NORMALS,
    ),
    "mask-outside": _Rule(
        "Lesions marked outside of the image", "moderate", "The mark is wrong, or the image is cut.", _NO_NORMALS
    ),
    "lesion-without-place": _Rule(
        "Lesions without a place",
        "moderate",
        "The lesion is lost for everything that works on patches, and lies unmarked on its mammogram.",
        _NO_NORMALS,
        "Read the row or the file of outlines.",
    ),
    "outlines-differ": _Rule(
        "Images with several files of outlines that differ",
        "moderate",
        "Lesions that only one of the files has would pass for normal tissue.",
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
        "Files that are there for two patients",
        "serious",
        "One person has two names, or one of the two has another's picture: what is learned from one is tested on the "
        "other.",
        "Both are kept, each with its patient.",
        "Give one person one name, or remove the wrong file.",
    ),
    "header-names-one-patient": _Rule(
        "Patients to whom the headers of their images give one name",
        "serious",
        "The tables may have two names for one person: what is learned from one is tested on the other.",
        "Both are kept, each with the patient of the table.",
        "Compare PatientID in the headers with the tables; give one person one name.",
    ),
    "folder-of-several-patients": _Rule(
        "Folders that are called like persons and hold several patients",
        "serious",
        "The patients of the table may be exams of one person: what is learned from one is tested on the other.",
        "All are kept, each with the patient of the table.",
        "Ask whoever made the folders; give one person one name.",
    ),
    "headers-number-otherwise": _Rule(
        "Headers that give many mammograms to other patients than the tables",
        "moderate",
        "If the headers do not number patients in another way, lesions lie on other persons' pictures.",
        "Kept by the tables.",
        "Compare PatientID in the headers with the tables.",
    ),
    "mammogram-in-two-splits": _Rule(
        "Mammograms that tables of both splits name",
        "serious",
        "What is learned from one row is tested on the other: both are of one picture.",
        "The mammogram's official split is test, and `official-patient-safe` keeps its patient for test; `--split "
        "official` refuses and names it.",
        "Read the rows named, and remove the wrong one.",
    ),
    "file-contradicts-table": _Rule(
        "Mammograms whose name or header says something else than the table",
        "moderate",
        "Files may be exchanged: lesions then lie on other films.",
        "Kept as the table has it.",
        "Look at the picture, and at the row.",
    ),
    "patient-spelled-differently": _Rule(
        "Patients who are written in several ways",
        "serious",
        "A program that takes each spelling for a person of its own puts one person into training and test.",
        "Taken for one person: case, spaces, hyphens, leading zeros, decimals of a spreadsheet (`4.0`) and a word like "
        "`P_` before the number make no difference (docs/sources.md).",
        "Look for the spellings named in all tables and headers of the collection.",
    ),
    "polarity-doubtful": _Rule(
        "Mammograms that may have black for white",
        "moderate",
        "Dense tissue, bright in the others, is dark in them.",
        "Kept as they are.",
        "Look at the picture: film is black, and dense tissue is bright.",
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
        "Two people's outlines hardly ever agree in each pixel: one mask may be a copy that got the other's name, and "
        "then marks healthy tissue as a lesion.",
        "Both are kept.",
        "Look at both masks over their mammograms.",
    ),
    "mask-resampled": _Rule(
        "Masks of another size, brought to their mammogram's",
        "note",
        "Laid over the mammogram as they are, they would mark the wrong tissue.",
        "Resampled, since the proportions are the same, and checked against the cropped picture where there is one.",
    ),
    "mask-placed-by-crop": _Rule(
        "Masks of another size, put where their cropped picture was found",
        "note",
        "Stretched to fit, they would mark the wrong tissue.",
        "Put at the one place of the mammogram where the cropped picture fits.",
    ),
    "mask-outside-breast": _Rule(
        "Masks that lie mostly outside of the breast",
        "moderate",
        "Either the mask is at a wrong place, or the breast was not found whole: look.",
        f"Left out where less than {100 * LEAST_IN_BREAST:g} % of the mask lies on breast; then its mammogram gives "
        "no normal patches; else kept and noted. `extract-patches` keeps windows with enough breast only, so most such "
        "lesions give no patch.",
    ),
    "files-of-no-row": _Rule(
        "Image files that no row speaks of",
        "moderate",
        "Something was downloaded that the tables do not describe, or a table is missing.",
        "Not read.",
        "Compare the names with the tables.",
    ),
    "breast-of-no-row": _Rule(
        "Mammograms that no row speaks of",
        "note",
        "Nobody says whether they are healthy.",
        "Kept, and not taken for normal.",
        "Look for the patient in the table.",
    ),
    "file-twice": _Rule(
        "Files that are there more than once", "note", "Read twice, they would count twice.", "One of each is read."
    ),
    "file-of-another-series": _Rule(
        "Mammograms with a file too many", "note", "One of the files is not the mammogram.",
        "The one of the series that the tables name is read.",
    ),
    "dicom-and-picture": _Rule(
        "Images that are there as DICOM and as pictures", "note", "Pictures hold 8 of the 16 bits.", "DICOM is read."
    ),
    "jpeg-copy": _Rule(
        "Images that are there as JPEG only",
        "moderate",
        "Of the film's 16 bits 8 are left, compressed with loss: faint calcifications and textures differ from the "
        "original's, and results are not those of the collection.",
        "Read as they are; masks are cut at half of their range.",
        "Get the DICOM files from the publisher.",
    ),
    "masks-not-read": _Rule(
        "Files in folders of masks",
        "note",
        "Read as mammograms they would show white shapes on black.",
        "Not read.",
        "Compare the names of the folders with the layout of the collection.",
    ),
    "subtracted": _Rule(
        "Rows of subtracted images",
        "note",
        "They show contrast agent, not tissue: a program that reads them gets each breast twice, once as another kind "
        "of picture.",
        "Not read.",
        "See the names of the images: `CM` is subtracted, `DM` of low energy.",
    ),
    "name-unknown": _Rule(
        "Rows that name no image",
        "moderate",
        "A lesion may be lost to a misspelled name, and its mammogram is then not known.",
        "Not read.",
        "Read the rows; a line with totals is harmless.",
    ),
    "twins-unknown": _Rule(
        "Tables of the other kind of lesions that are not there",
        "moderate",
        "Lesions of the other kind lie unmarked on these mammograms and pass for normal tissue.",
        "Kept. With the other tables beside these, the lesions are known.",
        "Put all four tables into the folder.",
    ),
}  # fmt: skip

_AS_SAID = "What was done is said of each case."
_LOOK = "Look at the files named."

_SAID_OF_EACH: tuple[tuple[str, str, Severity, str, str], ...] = (
    ("pathology-word", "Words for a pathology that the table spells in its own way", "moderate",
     "A word that is understood wrongly exchanges the classes.", "See what each word was read as."),
    ("image-synthetic", "Mammograms that say that they are synthetic", "serious",
     "What is measured on them says nothing of patients.", "Keep them out of the test split."),
    ("image-twice", "Pictures that are there twice under one patient", "moderate",
     "One lesion counts twice, or tissue of the one is a lesion of the other.", "Compare the rows and the masks."),
    ("lesion-in-other-view", "Normal mammograms of a breast in which another view shows a lesion", "note",
     "The lesion is often to be seen in both views, and its tissue would pass for normal.", "Look at both views."),
    ("mask-names-other-image", "Masks that are called after another image than the row's", "serious",
     "The lesion may lie on another picture.", "Compare the names in the row, and lay the mask over both pictures."),
    ("names-contradict-rows", "A table of which many rows contradict the names of their files", "serious",
     "Lesions and classes may be those of other images.", "Compare names and rows from the first to the last."),
    ("normal-with-empty-mask", "Mammograms called normal with a mask that marks nothing", "note",
     "None: the mask says the same.", _LOOK),
    ("mask-inverted", "Masks that mark everything but the lesion", "moderate",
     "The breast would be learned from as a lesion.", _LOOK),
    ("mask-outline-filled", "Masks that are outlines", "note", "A ring would be learned from as a lesion.", _LOOK),
    ("mask-crumbs", "Masks with specks apart from the lesion", "note", "Specks would be lesions.", _LOOK),
    ("mask-parted", "Masks with several lesions", "note",
     "Lesions that lie far apart would be one, with healthy tissue between them.", _LOOK),
    ("mask-soft", "Masks with soft edges", "note", "Where a lesion ends depends on where its edge is cut.", _LOOK),
    ("mask-in-colours", "Masks saved in colours", "note", "The lesion may be marked otherwise.", _LOOK),
    ("lesion-tiny", "Lesions of a few pixels", "note", "There is no lesion to be seen in them.",
     "A greater working height keeps more of them."),
    ("outline-without-area", "Outlines that enclose nothing", "moderate", "A line shows no lesion.",
     "Look whether points are missing."),
    ("spacing-contradicts-header", "Mammograms whose header says another size of pixels", "moderate",
     "Sizes in millimetres may be wrong.", "Compare PixelSpacing in the header with the collection's number."),
    ("masks-flipped", "Masks that seem to be upside down, mirrored, or turned by half", "serious",
     "Lesions then lie on healthy tissue.", "Lay some masks over their mammograms."),
    ("masks-transposed", "Masks whose rows and columns seem exchanged", "serious",
     "Lesions then lie on healthy tissue.", "Lay some masks over their mammograms."),
    ("no-mammogram", "DICOM files of another kind of image", "serious",
     "Another kind of picture teaches a classifier to tell kinds of pictures apart.", _LOOK),
    ("class-told-by-device", "Files that tell the class of their lesions", "serious",
     "A classifier learns the device, and its results say nothing of lesions.", "Compare the files of both classes."),
    ("view-magnified", "Magnified views", "moderate", "Lesions in them are larger than in others, also in mm.",
     "Compare spacing_mm with ImagerPixelSpacing, divided by the factor."),
    ("view-modified", "Views with a modifier, such as spot compression", "moderate",
     "They are made of suspicious places, and a classifier may tell them apart.", "See that both classes have them."),
    ("computed-from-slices", "Images computed from slices of tomosynthesis", "moderate",
     "They look other than plain mammograms, and a classifier may tell them.", "See that both classes have them."),
    ("implant-present", "Mammograms with an implant", "note", "An implant is as bright as dense tissue.", _LOOK),
    ("words-in-pixels", "Mammograms with words in their pixels", "note",
     "Marks may tell a lesion, and words a person.", _LOOK),
    ("both-breasts", "Images of both breasts", "moderate", "A table knows one side of an image.", _LOOK),
    ("other-body-part", "Images of another part of the body", "serious",
     "Another kind of picture teaches a classifier to tell kinds of pictures apart.", _LOOK),
    ("size-unusual", "Mammograms of a size that their collection does not have", "moderate",
     "On a resized or padded copy the places of lesions mark healthy tissue.", "Compare the file with the original."),
    ("place-cut-off", "Places of lesions that lie mostly outside of the picture", "moderate",
     "The place may be of another picture, or of another size of it.", "Compare the place with the picture."),
    ("drawings-of-no-row", "Regions drawn on images of no row", "moderate",
     "A lesion may be lost to a misspelled name.", "Compare the names of images in both tables."),
    ("picture-is-crop", "Pictures that are crops, cut around a lesion", "note",
     "All of a crop counts as breast, and it has no healthy tissue.", _LOOK),
    ("lesion-without-attributes", "Lesions that the table of attributes does not mention", "note",
     "Conditions and subgroups do not know them.", "Compare the names in both tables."),
    ("attributes-contradict", "Attributes of another patient or pathology", "serious",
     "Rows may be mixed up, and tell of other lesions.", "Compare both tables."),
    ("attribute-replaced", "Attributes for which two tables have other values", "note",
     "One of the values is wrong.", "Compare both tables."),
    ("column-called-otherwise", "Columns that hold what one of another name should", "moderate",
     "A split, or a kind of lesion, that its owner knows is not followed.", "Rename the column."),
    ("header-unreadable", "Elements of headers that cannot be read", "note",
     "What they would say is not known; no pixel depends on it.", "Look at the header."),
    ("number-with-comma", "Numbers in headers with a comma", "note", "If it parts thousands, the number is wrong.",
     "Look at the header."),
    ("window-unusable", "Windows that leave nothing to see", "moderate",
     "The picture is shown in its whole range, others through their window.", "Look at the header's window."),
    ("padding-darkened", "Padding that would be bright", "note", "It would pass for dense tissue.", _LOOK),
    ("padding-ignored", "Padding that is every pixel", "moderate", "The header is wrong about it.", _LOOK),
    ("overlay-removed", "Overlays in the upper bits of pixels", "note", "They would be part of the values.", _LOOK),
    ("pixels-not-square", "Pictures whose pixels are not square", "moderate", "Lesions are stretched.",
     "Resample them to square pixels before."),
    ("bits-of-frame-fewer", "Compressed images of fewer bits than their header says", "moderate",
     "They are darker than they may be meant.", "Look at BitsStored in the header."),
    ("sign-of-frame-differs", "Compressed images of another sign than their header says", "moderate",
     "Dark and bright may be exchanged.", _LOOK),
    ("sign-unused", "Signed images without values below 0", "note", "Half of their range is unused.",
     "If they are meant as unsigned, set PixelRepresentation to 0."),
    ("bits-contradict-header", "Numbers of bits in a table that a header contradicts", "moderate",
     "The header counts, and the picture may be dark.", "Mend the header, or leave the number out."),
    ("white-is-zero", "Pictures that say that 0 is white", "note", "Dense would be dark.", _LOOK),
    ("orientation-applied", "Pictures that are stored turned or mirrored", "note",
     "Masks fit the picture as viewers show it.", _LOOK),
    ("intents-mixed", "Images for processing beside images for presentation", "serious",
     "A classifier tells them apart, and the classes where these differ in it.", "Take one kind."),
    ("signs-mixed", "Signed images beside unsigned ones", "serious",
     "A classifier tells them apart, and the classes where these differ in it.", _LOOK),
    ("bits-mixed", "Images of several numbers of bits", "moderate",
     "They may be of several devices, which a classifier tells apart.", _LOOK),
    ("ranges-mixed", "Images whose values use several ranges", "serious",
     "Some are dark, and a classifier tells them apart.", "Say how many bits their values have."),
    ("windows-mixed", "Images with a window beside images without one", "serious",
     "A classifier tells them apart, and the classes where these differ in it.", "Leave out --window first."),
    ("range-unused", "Images that use a small part of their range", "moderate", "They are dark to a network.",
     "Say how many bits their values have."),
    ("jpeg2000-halved", "Films of which only half the resolution was decoded", "note",
     "It is the wavelet's low band, not the mean of pixels.", "Leave out --half_jpeg2000."),
    ("decoding-mixed", "Films decoded at half beside films decoded whole", "serious",
     "A classifier tells them apart.", "Leave out --half_jpeg2000."),
)  # fmt: skip
"""Decisions of which each case says what was done: rule, title, severity, consequence, where to look."""

_DECIDED |= {
    rule: _Rule(title, severity, consequence, _AS_SAID, look_up)
    for rule, title, severity, consequence, look_up in _SAID_OF_EACH
}

_LEFT_OUT |= {
    rule: _Rule(title, "moderate", consequence, ingest)
    for rule, title, consequence, ingest in (
        ("synthetic-in-test", "Synthetic mammograms in the test split",
         "What is measured on them says nothing of patients.", "The mammogram is left out."),
        ("picture-tiny", "Pictures of a few rows or columns", "There is no mammogram to be seen.",
         "The mammogram is left out."),
        ("rows-for-columns", "Headers with rows and columns exchanged", "The picture would be sheared.",
         "The mammogram is left out."),
        ("quality-control", "Images for quality control", "They show no patient.", "The mammogram is left out."),
        ("bytes-exchanged", "Pictures whose bytes are exchanged", "The picture would be noise.",
         "The mammogram is left out."),
        ("picture-is-mask", "Masks that are listed as mammograms", "Normal patches would be cut out of white areas.",
         "The mammogram is left out."),
        ("mask-constant", "Masks that mark everything", "The whole picture would be a lesion.", _NO_NORMALS),
        ("mask-too-large", "Masks that mark most of the picture or the breast", "They cannot be a lesion's.",
         _NO_NORMALS),
        ("mask-across", "Masks that reach across the picture", "They cannot be a lesion's.", _NO_NORMALS),
        ("mask-thin", "Masks that are lines or dots", "There is no area to learn from.", _NO_NORMALS),
        ("mask-scattered", "Masks of more parts than any lesion has", "They are noise.", _NO_NORMALS),
    )
}  # fmt: skip

_TOLD_BY_TABLES = (
    *("row-repeated", "rows-disagree", "twin-views", "twin-lesions-added", "lesion-without-pathology"),
    *("patient-kept-for-test", "patient-kept-for-validation"),
)
"""Rules that are told from the tables themselves, whether or not files are there."""


_TOLD_TOGETHER = ("files-of-no-row", "masks-not-read", "dicom-and-picture", "jpeg-copy", "subtracted", "name-unknown")
"""Rules that have one row for all their cases."""

OF_TABLES = ("patient-spelled-differently", "patient-unknown")
"""Rules that need no file to be there."""

OF_FILES = (*OF_TABLES, "file-missing", "lesion-without-place", "mask-of-two-mammograms")
"""Rules that need files to be there, but no pixel of them."""

OF_IMAGES = (
    *OF_FILES,
    *("unreadable", "picture-blank", "reader-died", "mask-unreadable", "mask-missing", "mask-empty", "mask-ambiguous"),
    *("mask-size", "mask-outside", "mask-outside-breast", "mask-resampled", "mask-placed-by-crop", "masks-identical"),
    *("masks-flipped", "masks-transposed", "class-told-by-device"),
)
"""Rules that ingest looks for in every collection once it reads images. Others are those of single readers."""


def is_told_by_tables(row: Exclusion | Decision) -> bool:
    """Say whether the audit tells what a reader found in its tables from the tables themselves."""
    return row.rule in _TOLD_BY_TABLES


def rule_findings(
    exclusions: Sequence[Exclusion], decisions: Sequence[Decision], looked_for: Sequence[str] = OF_IMAGES
) -> list[Finding]:
    """Explain what ingest leaves out and decides.

    Args:
        exclusions: ingest's own.
        decisions: ingest's own.
        looked_for: rules that become a finding without cases if there are none.

    Returns:
        One finding per rule. One that is not known here is told in ingest's own words.
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
    """Return how many things a row is about: those that are told in one line begin with their number."""
    number = row.found.split(" ", 1)[0]
    return int(number) if row.rule in _TOLD_TOGETHER and number.isdecimal() else 1


def _unknown(rule: str) -> _Rule:
    return _Rule(
        f"Ingest's rule {rule}",
        "moderate",
        "See what was found.",
        f"See docs/sources.md for the rule `{rule}`.",
        "Look up what is named.",
    )
