"""Can a picture be that of a mammogram? One of a single value shows nothing; a mostly white one may be inverted."""

from __future__ import annotations

import numpy as np

from mammofill.ground.imaging import StoredImage
from mammofill.mammograms.sources.annotations import Decision, Exclusion, MammogramEntry

_END = 0.1
"""What counts as nearly black or nearly white: a tenth of the range that the picture uses."""

_MOST_WHITE, _LEAST_BLACK = 0.3, 0.1
"""A picture with a larger share of nearly white and a smaller one of nearly black may be inverted: film is black. Of
491 mammograms of mini-MIAS and CDD-CESM none has more white than 0.20 or less black than 0.20; of their inverses 480
are told. Crops show no film and are not looked at."""

_STEP_PX = 256
"""So many rows are looked at, or a few more."""


def why_blank(picture: StoredImage, file: str, entry: MammogramEntry) -> Exclusion | None:
    """Return why a picture is left out that shows nothing (``picture-blank``); None where it shows something.

    Args:
        picture: (H, W) uint16, at any resolution.
        file: that it was read from.
        entry: the mammogram.
    """
    if picture.min() != picture.max():
        return None
    found = f"{file} has one value in all of its pixels: there is nothing to be seen."
    return Exclusion(entry.mammogram_id, entry.patient_id, "picture-blank", found)


def why_inverted(picture: StoredImage, file: str, entry: MammogramEntry) -> Decision | None:
    """Return a decision about a whole mammogram that may have black for white (``polarity-doubtful``).

    Args:
        picture: (H, W) uint16, at any resolution; no crop.
        file: that it was read from.
        entry: the mammogram.
    """
    step = max(1, picture.shape[0] // _STEP_PX)
    some = picture[::step, ::step].astype(np.float32)
    low, high = float(some.min()), float(some.max())
    white = float(np.mean(some > high - _END * (high - low)))
    black = float(np.mean(some < low + _END * (high - low)))
    if white <= _MOST_WHITE or black >= _LEAST_BLACK:
        return None
    found = f"{file} is nearly white in {white:.0%} of its pixels and nearly black in {black:.0%}, as if inverted."
    done = "Kept as it is: look whether bright is dense. If it is not, invert the file."
    return Decision(entry.mammogram_id, entry.patient_id, "polarity-doubtful", found, done)
