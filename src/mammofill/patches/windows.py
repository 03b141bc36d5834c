"""Which windows of one mammogram become patches, and of which kind. Pure functions on arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.imaging import Mask
from mammofill.patches.settings import ExtractPatchesSettings


@dataclass(frozen=True)
class LesionOutline:
    """One lesion as far as windows are concerned."""

    lesion_id: str
    pathology: str
    abnormality: str
    mask: Mask
    """bool, not empty: the mask inside its box."""
    top: int = 0
    """Of the box, in the mammogram."""
    left: int = 0
    attributes: str = "{}"
    """JSON of the other facts that the source gives."""


@dataclass(frozen=True)
class Window:
    """A window that is kept."""

    top: int
    left: int
    pathology: str
    abnormality: str | None
    lesion_ids: tuple[str, ...]
    breast_share: float


def label_windows(
    breast: Mask,
    lesions: Sequence[LesionOutline],
    settings: ExtractPatchesSettings,
    all_lesions_located: bool = True,
    muscle: Mask | None = None,
) -> tuple[list[Window], Counter[str]]:
    """Slide a window over a mammogram and say what each position is. Source: the paper, section 4.1.

    The window starts at the upper left corner and moves by the stride as long as it lies wholly inside, as the paper's
    loop does; a margin narrower than the stride is left at the right and at the bottom. A position is tested in this
    order, and dropped with the reason named:

    1. too-little-breast: breast covers less than `min_breast_share` of it;
    2. a lesion patch if lesions of the given abnormality belong to it: enough of their area lies inside, or they cover
       enough of the window. both-pathologies: benign and malignant lesions belong to it, or reach into it;
       other-abnormality: a lesion of another kind reaches into it;
    3. lesion-partly-inside: lesion pixels lie inside, but too few;
    4. lesion-nearby: none inside, but within `normal_margin_px`;
    5. lesion-place-unknown: the mammogram has a lesion whose place is unknown, so nothing of it can be called normal;
    6. pectoral-muscle: more than `max_pectoral_share` of it is pectoral muscle;
    7. else a normal patch.

    Args:
        breast: (H, W) bool.
        lesions: all lesions of the mammogram, also those of other abnormalities.
        settings: sizes and thresholds.
        all_lesions_located: whether `lesions` holds every lesion of the mammogram.
        muscle: (H, W) bool, pectoral muscle; None where none was looked for.

    Returns:
        The windows kept, row by row, and the number of positions dropped by reason.
    """
    size, margin = settings.size_px, settings.normal_margin_px
    height, width = breast.shape
    if height < size or width < size:
        return [], Counter({"mammogram-smaller-than-window": 1})
    tops = np.arange(0, height - size + 1, settings.stride_px)
    lefts = np.arange(0, width - size + 1, settings.stride_px)
    breast_share = box_sums(breast, tops, lefts, size) / size**2
    muscle_share = box_sums(muscle, tops, lefts, size) / size**2 if muscle is not None else np.zeros(breast_share.shape)
    inside = [_lesion_sums(lesion, tops, lefts, size) for lesion in lesions]
    # The margin is a box around the window, so it is generous at the corners.
    nearby = [_lesion_sums(lesion, tops - margin, lefts - margin, size + 2 * margin) for lesion in lesions]
    areas = [int(np.count_nonzero(lesion.mask)) for lesion in lesions]

    windows: list[Window] = []
    dropped: Counter[str] = Counter()
    for row, column in np.ndindex(breast_share.shape):
        if breast_share[row, column] < settings.min_breast_share:
            dropped["too-little-breast"] += 1
            continue
        pixels = [int(counts[row, column]) for counts in inside]
        close = any(counts[row, column] for counts in nearby)
        label = _label(lesions, pixels, areas, close, settings)
        if label == () and not all_lesions_located:
            label = "lesion-place-unknown"
        if label == () and muscle_share[row, column] > settings.max_pectoral_share:
            label = "pectoral-muscle"
        if isinstance(label, str):
            dropped[label] += 1
            continue
        members = label
        windows.append(
            Window(
                top=int(tops[row]),
                left=int(lefts[column]),
                pathology=members[0].pathology if members else "normal",
                abnormality=members[0].abnormality if members else None,
                lesion_ids=tuple(sorted(lesion.lesion_id for lesion in members)),
                breast_share=float(breast_share[row, column]),
            )
        )
    return windows, dropped


def _label(
    lesions: Sequence[LesionOutline],
    pixels: Sequence[int],
    areas: Sequence[int],
    close: bool,
    settings: ExtractPatchesSettings,
) -> tuple[LesionOutline, ...] | str:
    """Return the lesions that belong to a window (none: a normal patch), or the reason to drop it."""
    touching = [lesion for lesion, count in zip(lesions, pixels, strict=True) if count]
    if not touching:
        return "lesion-nearby" if close else ()
    wanted = settings.abnormality
    members = tuple(
        lesion
        for lesion, count, area in zip(lesions, pixels, areas, strict=True)
        if (wanted in ("all", lesion.abnormality))
        and (count >= settings.min_lesion_inside * area or count >= settings.min_window_share * settings.size_px**2)
    )
    if not members:
        return "lesion-partly-inside"
    if any(wanted not in ("all", lesion.abnormality) for lesion in touching):
        return "other-abnormality"
    if len({lesion.pathology for lesion in touching}) > 1:
        return "both-pathologies"
    return members


def _lesion_sums(
    lesion: LesionOutline, tops: NDArray[np.int64], lefts: NDArray[np.int64], size: int
) -> NDArray[np.int64]:
    return box_sums(lesion.mask, tops - lesion.top, lefts - lesion.left, size)


def box_sums(mask: Mask, tops: NDArray[np.int64], lefts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Count the True pixels in square boxes: by columns in each band of rows, and those by running sums.

    Args:
        mask: (H, W) bool.
        tops: first rows of the boxes; boxes may reach past the mask, where nothing counts.
        lefts: first columns of the boxes.
        size: side of the boxes.

    Returns:
        (len(tops), len(lefts)) int64.
    """
    left, right = (np.clip(edges, 0, mask.shape[1]) for edges in (lefts, lefts + size))
    counted = np.zeros((len(tops), len(lefts)), np.int64)
    for number, top in enumerate(tops):
        band = mask[max(0, top) : max(0, top + size)].view(np.uint8)
        if band.size:
            of_columns = cv2.reduce(band, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[0]
            sums = np.concatenate([[0], np.cumsum(of_columns)])
            counted[number] = sums[right] - sums[left]
    return counted


def choose_normals(
    windows: Sequence[Window], most: int, size_px: int, random: np.random.Generator
) -> tuple[list[Window], int]:
    """Keep all lesion windows and at most some normal ones, drawn at random; those that overlap none go first.

    Neighbouring windows share half of their pixels at the paper's stride, so a few that do not overlap carry more
    information than many that do, and cost less.

    Args:
        windows: the windows of one mammogram.
        most: normal windows to keep.
        size_px: side of the windows.
        random: where the draw comes from.

    Returns:
        The windows kept, in their order, and the number of normal ones left out.
    """
    normals = [number for number, window in enumerate(windows) if window.pathology == "normal"]
    if len(normals) <= most:
        return list(windows), 0
    drawn = [normals[k] for k in random.permutation(len(normals))]
    apart: list[int] = []
    for number in drawn:
        if len(apart) == most:
            break
        window = windows[number]
        if all(_apart(window, windows[other], size_px) for other in apart):
            apart.append(number)
    chosen = set(list(dict.fromkeys([*apart, *drawn]))[:most])
    kept = [window for number, window in enumerate(windows) if window.pathology != "normal" or number in chosen]
    return kept, len(normals) - most


def _apart(one: Window, other: Window, size_px: int) -> bool:
    return abs(one.top - other.top) >= size_px or abs(one.left - other.left) >= size_px
