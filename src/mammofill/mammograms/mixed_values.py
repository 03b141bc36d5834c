"""Do all images of a collection mean the same by their values, and what their files say that they mean?

A classifier learns any difference between sources; and values that use a small part of their range are dark to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LEAST_BITS_APART = 3
"""Files of as many bits, of which one uses this many fewer than another, are said to use other ranges: a film that is
dark all over uses one or two bits fewer than one with a label on it."""


_DEVICES_BITS_APART, _DEVICES_FEWEST, _DEVICES_LEAST_SHARE = 2, 3, 0.1
"""Files of which each fills the range of its bits are said to come from two devices if these are so many bits apart,
and of each there are at least so many files, and so large a share of all."""


@dataclass(frozen=True)
class Values:
    """What the values of one mammogram are like."""

    mammogram_id: str
    bits: int
    """Bits that the file says its values use."""
    used_bits: int
    """Bits that all but the greatest hundredth of them need."""
    signed: bool
    intent: str | None
    """FOR PRESENTATION or FOR PROCESSING, where a header says it."""
    header_name: str | None = None
    """What stands for the patient's name in the header: see `names_in_headers`."""
    halved: bool = False
    """Whether it was decoded at half its resolution."""
    unkept_sha256: str | None = None
    """SHA-256 of the TIFF that the working image would make; None where that is kept, and its hash is noted anyway."""
    filled_bits: int = 0
    """Bits of which its greatest value nearly fills the range; 0 where it ends in its midst."""
    windowed: bool = False
    """Whether it is shown through a window or VOI LUT of its header."""
    darkest: int = 0
    """The lowest value of the working image, over 0..65535."""


@dataclass(frozen=True)
class Mixture:
    """One respect in which the images of a collection differ."""

    rule: str
    """intents-mixed, signs-mixed, bits-mixed, ranges-mixed, decoding-mixed, windows-mixed or range-unused."""
    found: str
    fewer: tuple[str, ...]
    """The mammograms that differ from most; of range-unused all."""
    done: str = "Kept as they are: see that both classes come from each kind."


def find_mixtures(images: Sequence[Values]) -> list[Mixture]:
    """Return in which respects images differ in what their values mean, and of how many bits all are dark.

    Returns:
        None where all are alike and use the range of their bits.
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
    """Return whether images come from two devices: each fills the range of its bits, two apart, and none between.

    Films, whose brightest values lie anywhere, fill a range by chance, and then those between as well.
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
