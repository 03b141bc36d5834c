"""What the page sends: the bodies of its requests, with their bounds."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from mammofill.web.painting import MOST_FILLS


class WindowAsked(BaseModel):
    """A window of a mammogram, by its upper left corner."""

    mammograms: str = Field(max_length=16)
    number: int = Field(ge=0)
    top: int = Field(ge=0)
    left: int = Field(ge=0)


class Tissue(BaseModel):
    """A patch of a set, or a window of a mammogram."""

    patches: str = Field(default="", max_length=16)
    row: int = Field(default=0, ge=0)
    window: WindowAsked | None = None


class OwnAsked(Tissue):
    """Which mask paints over the lesion that is there?"""

    infiller: str = Field(max_length=16)


class Drawn(Tissue):
    """A mask on a patch of a set, or on a window of a mammogram."""

    mask: str = Field(max_length=800_000)
    """Bits, row by row, the first the highest of its byte, in base64."""


class HoleAsked(Drawn):
    """What would be repainted?"""

    infiller: str = Field(max_length=16)


class Asked(BaseModel):
    """A class and a seed."""

    pathology: str = Field(max_length=20)
    seed: int = Field(ge=0, lt=2**31)


class PaintingAsked(Drawn):
    """Fills of one mask by some infillers."""

    infillers: list[str] = Field(min_length=1, max_length=4)
    fills: list[Asked] = Field(min_length=1, max_length=MOST_FILLS)
    guidance: float | None = Field(default=None, ge=0, le=20)
    facts: dict[str, str] = Field(default_factory=dict, max_length=10)


class Kept(BaseModel):
    """One fill that is to be kept."""

    row: int = Field(default=0, ge=0)
    window: WindowAsked | None = None
    mask: str = Field(max_length=800_000)
    donor_row: int | None = Field(default=None, ge=0)
    pathology: str = Field(max_length=20)
    seed: int = Field(ge=0, lt=2**31)
    facts: dict[str, str] = Field(default_factory=dict, max_length=10)


class KeepAsked(BaseModel):
    """A patch set of fills; `patches` holds what they were painted into, or the outlines that a window was lent."""

    name: str = Field(max_length=40)
    patches: str = Field(default="", max_length=16)
    infiller: str = Field(max_length=16)
    guidance: float | None = Field(default=None, ge=0, le=20)
    fills: list[Kept] = Field(min_length=1, max_length=256)


class StudyAsked(BaseModel):
    """A reader study of two patch sets."""

    name: str = Field(max_length=40)
    real: str = Field(max_length=16)
    synthetic: str = Field(max_length=16)
    kind: Literal["ratings", "pairs"] = "ratings"
    cases: int = Field(ge=1, le=500)
    readers: int = Field(ge=1, le=50)
    seed: int = Field(default=0, ge=0, lt=2**31)


class Answered(BaseModel):
    """Which case a reader answers, and how long it took."""

    position: int = Field(ge=0)
    tag: str = Field(max_length=40)
    """Of the reader and the case, as the page was told it with the case."""
    seconds: float = Field(ge=0, le=1e6)


class RatingGiven(Answered):
    """What a reader says of a case."""

    synthetic: int = Field(ge=1, le=100)
    malignant: int = Field(ge=1, le=100)


class ChoiceGiven(Answered):
    """Which of two a reader calls real."""

    left: bool
