"""Is a mask that of a lesion? Mended where that is certain, refused where it is not, and parted into lesions.

What people hand over as masks is inverted, an outline without its inside, the whole picture, or several lesions in one
file. Each is looked for here, by what it looks like on its mammogram.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.counting import counted
from mammofill.ground.errors import ImageFileError
from mammofill.ground.foreign_files import Remark
from mammofill.ground.imaging import Mask, mask_box, resample_box_to_box, resample_small
from mammofill.mammograms.tissue import Tissue, TissueMap

LARGEST_SHARE = 0.6
"""A mask of more of the picture than this is no lesion's: a breast seldom fills as much of it."""

LARGEST_SHARE_OF_BREAST = 0.9
"""Nor is one of more of the breast than this."""

LEAST_IN_BREAST = 0.05
"""A mask with less of its area on breast than this lies beside it."""

_KNOWN_BREAST = 0.01
"""Share of the picture that must be breast, and that must be film, for a map of tissue to be believed about masks."""

_OUTLINE_PX = 3.0
"""A line is nowhere farther from its edge than this: lines are drawn up to some 5 pixels wide."""

_OUTLINE = 1.5
"""What marks so much less than it encloses, its own pixels counted, is an outline: no lesion has such a hole."""

_DOTS, _DOT_PX = 5, 12
"""So many parts of so few pixels each are dots: of a dotted line, or of a hand that slipped."""

_LONG_PX = 16
"""A line is longer than so many times what it is from its middle to its edge."""

_CRUMB = 0.01
"""Parts of less than this share of the largest part are slips of the pen."""

_LARGE_CRUMB = 1e-4
"""Unless they mark this share of the picture, some 2 mm across: then they may be a lesion beside a large one. Ours."""

_MOST_PARTS = 1000
"""A mask of more parts is noise."""


class MaskProblem(ImageFileError):  # noqa: N818  (what is wrong with the data, reported as a row)
    """A lesion whose mask cannot be used.

    Attributes:
        rule: short name, for counts; docs/sources.md lists them.
        found: what was found, in full, for people.
    """

    def __init__(self, rule: str, found: str) -> None:
        super().__init__(found)
        self.rule = rule
        self.found = found


@dataclass(frozen=True)
class CheckedMask:
    """A mask, mended where it had to be."""

    parts: tuple[tuple[Mask, tuple[int, int]], ...]
    """One lesion each, the upper ones first: (h, w) bool inside the box that holds it, and the box's (top, left)."""
    remarks: tuple[Remark, ...]
    left_out: tuple[MaskProblem, ...] = ()
    """Of parts that are no lesion, beside others that are."""


def check_mask(
    mask: Mask, tissue: TissueMap, name: str, is_calcification: bool = False, in_crop: bool = False
) -> CheckedMask:
    """Look at the mask of a lesion before anything is cut by it.

    In this order:

    - a mask that marks everything is refused (``mask-constant``);
    - one that marks all four corners of the picture, and whose rest could be a lesion, is inverted: turned over
      (``mask-inverted``);
    - one that marks more than `LARGEST_SHARE` of the picture or `LARGEST_SHARE_OF_BREAST` of the breast
      (``mask-too-large``), or reaches from one border to the opposite one (``mask-across``), is refused, but for crops,
      which the lesion may fill;
    - what encloses half as much as it marks is an outline, and filled; so is one with gaps (``mask-outline-filled``).
      Other lines are refused (``mask-thin``), but for calcifications, which lie in lines. Parts that lie far apart are
      looked at one by one, and a line beside an area is left out alone;
    - slips of the pen, parts of less than a hundredth of the largest, are left out (``mask-crumbs``); such a part that
      may be a lesion, by its size and since it lies apart, is put into `left_out` (``mask-part-small``), but for crops;
    - parts become lesions (``mask-parted``): two parts are one lesion if the gap between their boxes is not wider than
      the longer side of the smaller one, as of a cluster or a drawing with gaps; else they are two.

    Args:
        mask: (H, W) bool at source resolution, with at least one pixel True.
        tissue: small map of film, breast and muscle of the same mammogram, whatever its size.
        name: the lesion's, for messages.
        is_calcification: whether it is one.
        in_crop: whether the picture is a crop, cut around the lesion.

    Raises:
        MaskProblem: it is no lesion's mask.
    """
    remarks: list[Remark] = []
    if mask.all():
        raise MaskProblem("mask-constant", f"The mask of {name} marks the whole picture.")
    if _marks_corners(mask) and mask.mean() < 0.5:
        raise MaskProblem("mask-across", f"The mask of {name} marks the four corners of the picture, as a frame does.")
    if _marks_corners(mask):
        rest = np.asarray(~mask)
        unlikely = None if in_crop else _why_implausible(rest, mask_box(rest), tissue)
        if _marks_corners(rest) or unlikely or _share_on_breast(rest, tissue) < 0.5:
            raise MaskProblem("mask-too-large", f"The mask of {name} marks {mask.mean():.0%} of the picture.")
        found = f"The mask of {name} marks {mask.mean():.0%} of the picture, its corners too: it is inverted."
        remarks.append(Remark("mask-inverted", found, "Turned over."))
        mask = rest
    top, left, height, width = box = mask_box(mask)
    if not in_crop and (problem := _why_implausible(mask, box, tissue)):
        raise MaskProblem(problem[0], f"The mask of {name} {problem[1]}.")
    inner = np.pad(mask[top : top + height, left : left + width], 1)
    inner, outline = _filled(inner, name, is_calcification)
    inner, crumbs, small = _without_crumbs(inner, name, mask.size if in_crop else _LARGE_CRUMB * mask.size)
    groups, filled, left_out = _without_lines(_grouped_parts(inner), name, is_calcification)
    remarks += [*outline, *crumbs, *filled]
    if len(groups) > 1:
        done = f"{len(groups)} lesions, {name}-1 to {name}-{len(groups)}."
        remarks.append(Remark("mask-parted", f"The mask of {name} has parts that lie far apart.", done))
    parts = []
    for group, corner in groups:
        row, column, height, width = mask_box(group)
        part = group[row : row + height, column : column + width]
        parts.append((part, (top + corner[0] + row - 1, left + corner[1] + column - 1)))
    return CheckedMask(tuple(parts), tuple(remarks), (*small, *left_out))


def _marks_corners(mask: Mask) -> bool:
    return bool(mask[0, 0] and mask[0, -1] and mask[-1, 0] and mask[-1, -1])


def _why_implausible(mask: Mask, box: tuple[int, int, int, int], tissue: TissueMap) -> tuple[str, str] | None:
    """Return the rule that a mask, of which the box is known, breaks by its size or its place, and how; or None."""
    top, left, height, width = box
    inner = mask[top : top + height, left : left + width]
    share = int(np.count_nonzero(inner)) / mask.size
    if share > LARGEST_SHARE:
        return "mask-too-large", f"marks {share:.0%} of the picture"
    if breast_is_known(tissue):
        breast = tissue != Tissue.FILM
        small, place = resample_box_to_box(inner, (top, left), mask.shape, (tissue.shape[0], tissue.shape[1]))
        there = breast[place[0] : place[0] + place[2], place[1] : place[1] + place[3]]
        of_breast = int(np.count_nonzero(small & there)) / int(np.count_nonzero(breast))
        if of_breast > LARGEST_SHARE_OF_BREAST:
            return "mask-too-large", f"marks {of_breast:.0%} of the breast"
    if height == mask.shape[0]:
        return "mask-across", "reaches across the whole picture, top to bottom"
    if width == mask.shape[1]:
        return "mask-across", "reaches across the whole picture, left to right"
    return None


def breast_is_known(tissue: TissueMap) -> bool:
    """Say whether a map of tissue found both breast and film, so that it can distinguish them."""
    share = float(np.mean(tissue != Tissue.FILM))
    return _KNOWN_BREAST <= share <= 1 - _KNOWN_BREAST


def _share_on_breast(mask: Mask, tissue: TissueMap) -> float:
    """Return the share of a mask that lies on breast; 1 where nobody knows."""
    if not breast_is_known(tissue):
        return 1.0
    small = resample_small(mask, (tissue.shape[0], tissue.shape[1]))
    return float(np.mean(tissue[small] != Tissue.FILM)) if small.any() else 0.0


def _filled(mask: Mask, name: str, is_calcification: bool) -> tuple[Mask, list[Remark]]:
    """Fill a mask that is only an outline, also one with gaps; refuse one that is only lines."""
    drawn = int(np.count_nonzero(mask))
    filled = _with_outlines_filled(mask)
    if not is_calcification and np.count_nonzero(filled) < _OUTLINE * drawn and _is_of_lines(mask):
        if (inside := _inside_of_gaps(mask)) is None:
            _refuse_lines(mask, name)
            return mask, []
        filled = inside
    whole = int(np.count_nonzero(filled))
    if whole == drawn:
        return mask, []
    what = "is an outline of" if whole >= _OUTLINE * drawn else "has an outline among its"
    found = f"The mask of {name} {what} {drawn} pixels around {whole - drawn}."
    return filled, [Remark("mask-outline-filled", found, "Filled.")]


def _with_outlines_filled(mask: Mask) -> Mask:
    """Return a mask in which each part that is an outline is filled; a hole that is small for its part stays."""
    solid = _inside_of(mask)
    if np.array_equal(solid, mask):  # as of most lesions, which enclose nothing
        return mask
    count, labels = cv2.connectedComponents(solid.astype(np.uint8), connectivity=8)
    drawn, enclosed = np.bincount(labels[mask], minlength=count), np.bincount(labels.ravel(), minlength=count)
    return np.asarray(mask | (solid & (enclosed >= _OUTLINE * drawn)[labels]))


Placed = tuple[Mask, tuple[int, int]]
"""Some parts of a mask in a box that holds them, and where its (top, left) lies in the mask."""


def _without_lines(
    groups: list[Placed], name: str, is_calcification: bool
) -> tuple[list[Placed], list[Remark], list[MaskProblem]]:
    """Leave out those of several lesions that are only lines, and fill what is an outline with gaps among them.

    Raises:
        MaskProblem: all of them are lines.
    """
    if len(groups) == 1:
        return groups, [], []
    kept: list[Placed] = []
    remarks: list[Remark] = []
    problems: list[MaskProblem] = []
    for group, corner in groups:
        try:
            filled, outline = _filled(np.pad(group, 1), f"a part of {name}", is_calcification)
        except MaskProblem as problem:
            problems.append(problem)
            continue
        kept.append((filled[1:-1, 1:-1], corner))
        remarks += outline
    if not kept:
        raise problems[0]
    return kept, remarks, problems


def _inside_of(mask: Mask) -> Mask:
    """Return a mask with what its outer borders enclose."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    solid = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(solid, contours, -1, 1, cv2.FILLED)
    return np.asarray(solid > 0, np.bool_) | mask


def _is_of_lines(mask: Mask) -> bool:
    """Say whether a mask is one or more lines: nowhere wide for how long it is."""
    side = 2 * int(_OUTLINE_PX) + 1
    # A square of this side is wider than any line; most lesions hold one, and to see that takes little.
    if cv2.erode(mask.astype(np.uint8), np.ones((side, side), np.uint8)).any():
        return False
    widest = float(_distance(mask).max())
    long = max(mask.shape[0] - 2, mask.shape[1] - 2)
    is_sparse = 4 * int(mask.sum()) < (mask.shape[0] - 2) * (mask.shape[1] - 2)
    return widest <= _OUTLINE_PX and long > _LONG_PX and (is_sparse or long > _LONG_PX * widest)


def _inside_of_gaps(mask: Mask) -> Mask | None:
    """Return what an outline with gaps of up to a sixth of its length encloses; None where it encloses nothing."""
    height, width = mask.shape[0] - 2, mask.shape[1] - 2
    reach = max(1, max(height, width) // 12)
    if min(height, width) <= 2 * reach:  # so narrow that closing the gaps leaves nothing between the lines
        return None
    # By distances, for discs of hundreds of pixels take minutes.
    wide = _distance(~np.pad(mask, reach)) <= reach
    inside = _inside_of(wide)
    if int(inside.sum()) < _OUTLINE * int(wide.sum()):
        return None
    return np.asarray((_distance(inside) > reach)[reach:-reach, reach:-reach] | mask, np.bool_)


def _distance(mask: Mask) -> NDArray[np.float32]:
    """Return how far each marked pixel is from the nearest that is not; 0 for these."""
    return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


def _refuse_lines(mask: Mask, name: str) -> None:
    """Refuse a line, and a scatter of dots; a few small areas may be lesions each.

    Raises:
        MaskProblem: it is lines, or dots.
    """
    count, _, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    long, area = int(facts[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max()), int(facts[1:, cv2.CC_STAT_AREA].max())
    if count - 1 > _MOST_PARTS:
        return  # noise, which has a rule of its own
    if count == 2 or long > _LONG_PX or (count - 1 >= _DOTS and area <= _DOT_PX):
        what = f"is a line, {long} pixels long" if count == 2 else f"has {count - 1} lines or dots"
        raise MaskProblem("mask-thin", f"The mask of {name} {what}, and no area.")


def _without_crumbs(mask: Mask, name: str, large_px: float) -> tuple[Mask, list[Remark], list[MaskProblem]]:
    """Leave out the small parts of a mask; name those of `large_px` pixels or more that lie in no other part's box."""
    count, labels, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count - 1 > _MOST_PARTS:
        raise MaskProblem("mask-scattered", f"The mask of {name} falls into {count - 1:,} parts.")
    areas = facts[:, cv2.CC_STAT_AREA]
    least = _CRUMB * int(areas[1:].max())
    crumbs = [number for number in range(1, count) if areas[number] < least]
    if not crumbs:
        return mask, [], []
    lost = int(areas[crumbs].sum())
    found = (
        f"The mask of {name} has {counted(len(crumbs), 'parts')} of less than a hundredth of its largest, "
        f"{counted(lost, 'pixels')} in all."
    )
    kept = [facts[number] for number in range(1, count) if number not in crumbs]
    apart = [
        int(areas[number])
        for number in crumbs
        if areas[number] >= large_px and not any(_lies_in_box(facts[number], part) for part in kept)
    ]
    problems = []
    if apart:
        message = (
            f"The mask of {name} has a part of {max(apart)} pixels that is small beside its largest, and lies apart. "
            "Nobody can say whether it is a lesion."
        )
        problems.append(MaskProblem("mask-part-small", message))
    return mask & ~np.isin(labels, crumbs), [Remark("mask-crumbs", found, "Left out.")], problems


def _lies_in_box(part: NDArray[np.int32], other: NDArray[np.int32]) -> bool:
    """Say whether the box of a part lies within that of another."""
    left, top, width, height = (int(side) for side in part[:4])
    return bool(
        other[cv2.CC_STAT_LEFT] <= left
        and other[cv2.CC_STAT_TOP] <= top
        and left + width <= other[cv2.CC_STAT_LEFT] + other[cv2.CC_STAT_WIDTH]
        and top + height <= other[cv2.CC_STAT_TOP] + other[cv2.CC_STAT_HEIGHT]
    )


def _grouped_parts(mask: Mask) -> list[Placed]:
    """Return the lesions that the parts of a mask make up: those near to each other are one.

    Each has its own box, for a mask of a whole mammogram can have hundreds.
    """
    count, labels, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count == 2:
        return [(mask, (0, 0))]
    group_of = list(range(count))

    def first_of(part: int) -> int:
        while group_of[part] != part:
            part = group_of[part]
        return part

    for one, other in _near_parts(np.asarray(facts[1:], np.int32)):
        group_of[max(first_of(one), first_of(other))] = min(first_of(one), first_of(other))
    groups: dict[int, list[int]] = {}
    for part in range(1, count):
        groups.setdefault(first_of(part), []).append(part)
    numbered, boxes = np.asarray(labels, np.int32), np.asarray(facts, np.int32)
    return [_cut_out(numbered, boxes[members], members) for members in groups.values()]


def _cut_out(labels: NDArray[np.int32], facts: NDArray[np.int32], members: list[int]) -> Placed:
    """Return parts of a mask by their numbers, in the box that holds them, and the (top, left) of that box."""
    left, top = facts[:, cv2.CC_STAT_LEFT], facts[:, cv2.CC_STAT_TOP]
    right, bottom = left + facts[:, cv2.CC_STAT_WIDTH], top + facts[:, cv2.CC_STAT_HEIGHT]
    inner = labels[top.min() : bottom.max(), left.min() : right.max()]
    return np.asarray(np.isin(inner, members), np.bool_), (int(top.min()), int(left.min()))


def _near_parts(facts: NDArray[np.int32]) -> Iterator[tuple[int, int]]:
    """Yield pairs of parts, counted from 1, whose boxes are no farther apart than the longer side of the smaller."""
    left, top = facts[:, cv2.CC_STAT_LEFT], facts[:, cv2.CC_STAT_TOP]
    right, bottom = left + facts[:, cv2.CC_STAT_WIDTH], top + facts[:, cv2.CC_STAT_HEIGHT]
    side = np.maximum(right - left, bottom - top)
    for part in range(len(facts) - 1):
        rest = slice(part + 1, None)
        across = np.maximum(np.maximum(left[rest] - right[part], left[part] - right[rest]), 0)
        down = np.maximum(np.maximum(top[rest] - bottom[part], top[part] - bottom[rest]), 0)
        near = np.hypot(across, down) <= np.minimum(side[rest], side[part])
        yield from ((part + 1, int(other) + part + 2) for other in np.flatnonzero(near))
