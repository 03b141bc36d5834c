"""Header elements that may be missing or unreadable, and the remarks on a file."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.multival import MultiValue

from mammofill.ground.errors import ImageFileError
from mammofill.ground.foreign_files import Remark


def is_left_out(dataset: Dataset, name: str) -> bool:
    """Return whether an element is missing or empty."""
    return name not in dataset or getattr(dataset.get_item(name), "value", None) in (None, b"", "")


def whole_number(path: Path, dataset: Dataset, name: str) -> int | None:
    """Return a number that is needed to interpret the pixels; None where it is missing or empty.

    Raises:
        ImageFileError: the value is not one whole number.
    """
    value = dataset.get(name)
    if value is None or value == "":
        return None
    try:
        if isinstance(value, int | float | str) and int(value) == float(value):
            return int(value)
    except ValueError:
        pass
    raise ImageFileError(f"{path} has {value!r} as {name}, where one whole number must stand. Its header is damaged.")


@dataclass
class Notes:
    """The remarks on a file, as far as it has been read."""

    path: Path
    remarks: list[Remark]
    windowed: bool = False
    """Whether a VOI LUT or a window was applied."""

    def add(self, rule: str, found: str, done: str) -> None:
        """Add a remark on what was found and what was done about it, unless the same one is there already."""
        remark = Remark(rule, f"{self.path}: {found}", done)
        if remark not in self.remarks:
            self.remarks.append(remark)


def optional(dataset: Dataset, name: str, notes: Notes) -> Any:
    """Return the value of an element that pixels do not need; None if it is missing, or cannot be read."""
    try:
        return dataset.get(name)
    except Exception as error:  # noqa: BLE001  (pydicom converts values on access, and may raise any error)
        notes.add("header-unreadable", f"{name} cannot be read ({last_line(error)}).", "Taken for unknown.")
        return None


def spacing_of(dataset: Dataset, name: str, notes: Notes) -> tuple[float, float] | None:
    """Return two numbers above 0, of rows and of columns; None if they are missing or invalid."""
    value = optional(dataset, name, notes)
    if not value:
        return None
    try:
        rows, columns = (float(number) for number in value)
        if 0 < rows < np.inf and 0 < columns < np.inf:
            return rows, columns
    except (TypeError, ValueError):
        pass
    notes.add("header-unreadable", f"{name} is {value!r}, not two numbers above 0.", "Taken for unknown.")
    return None


def text_of(value: object) -> str | None:
    """Return a value as text without surrounding spaces; None where it is empty."""
    return str(value).strip() or None if value is not None else None


def last_line(error: BaseException) -> str:
    """Return the last line of an error's message, which gives the reason; the error's class where it has none."""
    return str(error).strip().splitlines()[-1].strip() if str(error).strip() else type(error).__name__


def is_signed(dataset: Dataset) -> bool:
    """Return whether stored values are in two's complement. Source: DICOM PS3.3 C.7.6.3.1, Pixel Representation."""
    return int(dataset.get("PixelRepresentation") or 0) == 1


def first_item(dataset: Dataset, name: str, notes: Notes) -> Dataset | None:
    """Return the first item of a sequence; None where it is missing, empty, or cannot be read."""
    if name not in dataset:
        return None
    items = optional(dataset, name, notes)
    return items[0] if items else None


def number_or(dataset: Dataset, name: str, notes: Notes, unknown: float) -> float:
    """Return the first number of an element; `unknown` if it is missing, empty, or not a number."""
    if name not in dataset:
        return unknown
    try:
        value = dataset.get(name)
    except Exception:  # noqa: BLE001  (pydicom converts values on access)
        value = getattr(dataset.get_item(name), "value", None)
    text = value.decode("latin-1") if isinstance(value, bytes) else "" if value is None else value
    if isinstance(text, MultiValue | list | tuple):
        text = text[0] if len(text) else ""
    first = str(text).split("\\")[0].strip(" \0")
    try:
        number = float(first)
    except ValueError:
        number = np.nan
    if np.isfinite(number):
        return number
    with suppress(ValueError):
        number = float(first.replace(",", "."))
        if np.isfinite(number):
            notes.add("number-with-comma", f"{name} is {first!r}.", f"Read as {number:g}.")
            return number
    done = "Taken for unknown." if np.isnan(unknown) else f"Taken for {unknown:g}, as where it is left out."
    notes.add("number-unreadable", f"{name} is {first!r}, which is no number.", done)
    return unknown
