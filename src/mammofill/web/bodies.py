"""Bodies of the requests that the page sends, with their limits."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from mammofill.web.painting import MOST_FILLS


class WindowRequest(BaseModel):
    """A window of a mammogram, by its upper left corner."""

    mammograms: str = Field(max_length=16)
    number: int = Field(ge=0)
    top: int = Field(ge=0)
    left: int = Field(ge=0)


class Target(BaseModel):
    """A patch of a set, or a window of a mammogram."""

    patches: str = Field(default="", max_length=16)
    row: int = Field(default=0, ge=0)
    window: WindowRequest | None = None


class OwnMaskRequest(Target):
    """Asks for the mask that paints over the lesion of a patch."""

    infiller: str = Field(max_length=16)


class MaskedTarget(Target):
    """A patch of a set, or a window of a mammogram, with a mask."""

    mask: str = Field(max_length=800_000)
    """Bits in base64, row by row, most significant bit first."""


class HoleRequest(MaskedTarget):
    """Asks for the hole that an infiller would repaint."""

    infiller: str = Field(max_length=16)


class RequestedFill(BaseModel):
    """Class and seed of a fill."""

    pathology: str = Field(max_length=20)
    seed: int = Field(ge=0, lt=2**31)


class PaintRequest(MaskedTarget):
    """Asks for fills of one mask by some infillers."""

    infillers: list[str] = Field(min_length=1, max_length=4)
    fills: list[RequestedFill] = Field(min_length=1, max_length=MOST_FILLS)
    guidance: float | None = Field(default=None, ge=0, le=20)
    facts: dict[str, str] = Field(default_factory=dict, max_length=10)


class KeptFill(BaseModel):
    """A fill to be kept."""

    row: int = Field(default=0, ge=0)
    window: WindowRequest | None = None
    mask: str = Field(max_length=800_000)
    donor_row: int | None = Field(default=None, ge=0)
    pathology: str = Field(max_length=20)
    seed: int = Field(ge=0, lt=2**31)
    facts: dict[str, str] = Field(default_factory=dict, max_length=10)


class KeepRequest(BaseModel):
    """Asks to keep fills as a patch set.

    `patches` is the set that they were painted into or, for windows of mammograms, the set of the outlines' donors.
    """

    name: str = Field(max_length=40)
    patches: str = Field(default="", max_length=16)
    infiller: str = Field(max_length=16)
    guidance: float | None = Field(default=None, ge=0, le=20)
    fills: list[KeptFill] = Field(min_length=1, max_length=256)


class StudyRequest(BaseModel):
    """Asks for a reader study of two patch sets."""

    name: str = Field(max_length=40)
    real: str = Field(max_length=16)
    synthetic: str = Field(max_length=16)
    kind: Literal["ratings", "pairs"] = "ratings"
    cases: int = Field(ge=1, le=500)
    readers: int = Field(ge=1, le=50)
    seed: int = Field(default=0, ge=0, lt=2**31)


class ReaderAnswer(BaseModel):
    """The case that a reader answers, and the reading time."""

    position: int = Field(ge=0)
    tag: str = Field(max_length=40)
    """Tag of reader and case, which the page got together with the case."""
    seconds: float = Field(ge=0, le=1e6)


class Rating(ReaderAnswer):
    """A reader's two ratings of a case."""

    synthetic: int = Field(ge=1, le=100)
    malignant: int = Field(ge=1, le=100)


class Choice(ReaderAnswer):
    """The one of a pair that a reader takes for real."""

    left: bool
