"""Settings of what is handed out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mammofill.ground.errors import check_setting


@dataclass(frozen=True)
class ExportDicomSettings:
    """How synthetic lesions become DICOM images.

    Attributes:
        most: only the first so many patches, in the order of the set; unset takes all. Each becomes an image of the
            size of its mammogram, and film of 5300 x 3130 px takes 33 MB.
        match_grain: lend a hole that has less grain than the film around it grain of the film beside it.
        watermark: draw the word SYNTHETIC into the corner that shows least breast. It changes pixels outside of the
            hole, and the images then say that they have burned-in annotation.
        date: the date that the objects say, as YYYYMMDD, in every place where the standard wants one. No clock is
            read, so that the same command writes the same bytes; the default is a day on which nobody was examined.
    """

    most: int | None = None
    match_grain: bool = True
    watermark: bool = False
    date: str = "19700101"

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        check_setting(self, "most", self.most is None or self.most >= 1, "at least 1, or unset")
        check_setting(self, "date", re.fullmatch(r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", self.date) is not None,
                      "a date as YYYYMMDD")  # fmt: skip


@dataclass(frozen=True)
class ExportInfillerSettings:
    """What the package of an infiller says that no manifest knows.

    Attributes:
        name: of the package, as Python and medigan call it: letters, digits and underscores.
        creator: who hands it out.
        affiliation: of the creator.
        licence: of the weights, as SPDX calls it. Left empty, the card says that it has to be filled in: which
            licence is allowed depends on the data that was learned from.
        data: what the data is called, with its licence, for the card.
    """

    name: str = "mammofill_infiller"
    creator: str = ""
    affiliation: str = ""
    licence: str = ""
    data: str = ""

    def __post_init__(self) -> None:
        """Refuse nonsense."""
        named = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", self.name) is not None
        check_setting(self, "name", named, "letters, digits and underscores, a letter first")


@dataclass(frozen=True)
class ExportPatchesSettings:
    """What the card of a set of synthetic patches says that no manifest knows.

    Attributes:
        title: of the card.
        creator: who hands the set out.
        licence: of the set, as SPDX calls it. Left empty, the card says that it has to be filled in.
        data: what the data is called that the tissue comes from, with its licence.
    """

    title: str = "Synthetic breast lesions"
    creator: str = ""
    licence: str = ""
    data: str = ""
