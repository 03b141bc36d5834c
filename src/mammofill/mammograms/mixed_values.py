"""Checks whether values mean the same in all images of a collection, and use the range that their files state.

A classifier learns any difference between sources; and values that use a small part of their range are dark for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LEAST_BITS_APART = 3
"""Files with the same number of bits count as using different ranges if one uses this many bits fewer than another: a
film that is dark everywhere uses one or two bits fewer than one with a label on it."""


_DEVICES_BITS_APART, _DEVICES_FEWEST, _DEVICES_LEAST_SHARE = 2, 3, 0.1
"""Files that each fill a range of bits count as from two devices if the ranges are at least this many bits apart, and
each has at least this number of files and this share of all files."""


@dataclass(frozen=True)
class Values:
    """Properties of one mammogram's values."""

    mammogram_id: str
    bits: int
    """Bits per value as the file states."""
    used_bits: int
    """Bits needed for all but the greatest hundredth of the values."""
    signed: bool
    intent: str | None
    """FOR PRESENTATION or FOR PROCESSING; None where no header gives it."""
    header_name: str | None = None
    """Pseudonym of the patient in the header: see `names_in_headers`."""
    halved: bool = False
    """Whether it was decoded at half its resolution."""
    unkept_sha256: str | None = None
    """SHA-256 of the working image as a TIFF; None where that file is kept, whose hash is recorded anyway."""
    filled_bits: int = 0
    """Number of bits whose range the greatest value nearly fills; 0 where it fills none."""
    windowed: bool = False
    """Whether a window or VOI LUT of its header was applied."""
    darkest: int = 0
    """The lowest value of the working image, over 0..65535."""


@dataclass(frozen=True)
class Mixture:
    """One way in which the images of a collection differ."""

    rule: str
    """intents-mixed, signs-mixed, bits-mixed, ranges-mixed, decoding-mixed, windows-mixed or range-unused."""
    found: str
    fewer: tuple[str, ...]
    """The mammograms that differ from the majority; for range-unused, all."""
    done: str = "Kept as they are: see that both classes come from each kind."


def find_mixtures(images: Sequence[Values]) -> list[Mixture]:
    """Find differences in the meaning of images' values, and numbers of bits of whose range a small part is used.

    Returns:
        Empty where all images agree and use the range of their bits.
    """
    differing = [
        _mixture("intents-mixed", images, lambda one: one.intent or "of no stated intent"),
        _mixture("signs-mixed", images, lambda one: "signed" if one.signed else "unsigned"),
        _mixture("bits-mixed", images, lambda one: f"of {one.bits} bits"),
        _mixture("decoding-mixed", images, lambda one: f"decoded {'at half resolution' if one.halved else 'whole'}"),
        _mixture("windows-mixed", images, lambda one: f"shown {'through' if one.windowed else 'without'} a window"),
    ]
    for bits in sorted({one.bits for one in images}):
        same = [one for one in images if one.bits == bits]
        most = max(one.used_bits for one in same)
        of_ranges = _mixture("ranges-mixed", same, lambda one, most=most: _range(one, most))  # type: ignore[misc]
        differing.append(of_ranges or _two_filled_ranges(same))
        if bits - most >= LEAST_BITS_APART:
            differing.append(_unused(same, bits, most))
    return [mixture for mixture in differing if mixture is not None]


def _two_filled_ranges(images: Sequence[Values]) -> Mixture | None:
    """Return a mixture if images come from two devices: they fill two ranges, two or more bits apart, and none between.

    The brightest values of films vary, so that films fill a range by chance, and then the ranges between as well.
    """
    filling = [one for one in images if one.filled_bits]
    counts = Counter(one.filled_bits for one in filling)
    if len(counts) != 2 or max(counts) - min(counts) < _DEVICES_BITS_APART:
        return None
    if min(counts.values()) < max(_DEVICES_FEWEST, _DEVICES_LEAST_SHARE * len(images)):
        return None
    return _mixture("ranges-mixed", filling, lambda one: f"up to the end of {one.filled_bits} of {one.bits} bits")


def _unused(images: Sequence[Values], bits: int, most: int) -> Mixture:
    found = (
        f"None of the {len(images)} images of {bits} bits has more than a hundredth of its values above {2**most - 1}: "
        f"they use 1 part in {2 ** (bits - most)} of their range, and are dark to a network."
    )
    done = (
        "Kept as they are. If their values are of fewer bits than the files state, a table says so in a column bits; "
        "of DICOM files only their header can (BitsStored, (0028,0101), and HighBit)."
    )
    return Mixture("range-unused", found, tuple(one.mammogram_id for one in images), done)


def _range(one: Values, most: int) -> str:
    apart = most - one.used_bits >= LEAST_BITS_APART
    return f"within {one.used_bits} of {one.bits} bits" if apart else "over the range"


def _mixture(rule: str, images: Sequence[Values], kind_of: Callable[[Values], str]) -> Mixture | None:
    kinds = Counter(kind_of(one) for one in images)
    if len(kinds) < 2:
        return None
    usual = kinds.most_common(1)[0][0]
    fewer = tuple(one.mammogram_id for one in images if kind_of(one) != usual)
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return Mixture(rule, f"The images differ: {counted}. Of the fewer the first is {fewer[0]}.", fewer)
