"""Settings of the exports."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mammofill.ground.errors import check_setting


@dataclass(frozen=True)
class ExportDicomSettings:
    """How synthetic lesions become DICOM images.

    Attributes:
        most: only the first so many patches, in the order of the set; unset takes all. Each becomes an image as large
            as its mammogram; film of 5300 x 3130 px takes 33 MB.
        match_grain: if a hole has less grain than the film around it, add grain from the film beside it.
        watermark: draw the word SYNTHETIC into the corner that shows least breast. This changes pixels outside the
            hole, and the images then say that they have burned-in annotation.
        date: date in the objects, as YYYYMMDD, wherever the standard requires one. No clock is read, so that the same
            command writes the same bytes; the default, 1970-01-01, is a placeholder.
    """

    most: int | None = None
    match_grain: bool = True
    watermark: bool = False
    date: str = "19700101"

    def __post_init__(self) -> None:
        """Raise SettingsError unless `most` is at least 1 or unset, and the date is valid."""
        check_setting(self, "most", self.most is None or self.most >= 1, "at least 1, or unset")
        check_setting(self, "date", re.fullmatch(r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", self.date) is not None,
                      "a date as YYYYMMDD")  # fmt: skip


@dataclass(frozen=True)
class ExportInfillerSettings:
    """What an infiller's package says that is in no manifest.

    Attributes:
        name: package name for Python and medigan: letters, digits and underscores.
        creator: who publishes it.
        affiliation: of the creator.
        licence: of the weights, as an SPDX name. If empty, the card says that it has to be filled in: which licence is
            allowed depends on the training data.
        data: name of the data, with its licence, for the card.
    """

    name: str = "mammofill_infiller"
    creator: str = ""
    affiliation: str = ""
    licence: str = ""
    data: str = ""

    def __post_init__(self) -> None:
        """Raise SettingsError unless the name has letters, digits and underscores only, a letter first."""
        named = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", self.name) is not None
        check_setting(self, "name", named, "letters, digits and underscores, a letter first")


@dataclass(frozen=True)
class ExportPatchesSettings:
    """What the card of a set of synthetic patches says that is in no manifest.

    Attributes:
        title: of the card.
        creator: who publishes the set.
        licence: of the set, as an SPDX name. If empty, the card says that it has to be filled in.
        data: name of the data that the tissue comes from, with its licence.
    """

    title: str = "Synthetic breast lesions"
    creator: str = ""
    licence: str = ""
    data: str = ""
