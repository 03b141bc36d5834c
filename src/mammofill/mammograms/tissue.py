"""Segments the breast and the pectoral muscle; film labels, tape and the bright edges of a scan are neither.

Segmentation uses a small copy of at most 256 rows: outlines need no more, noise averages out, and the map is small
enough to be stored with every mammogram. `enlarge_tissue` resamples it to the mammogram's size.
"""

from __future__ import annotations

from enum import IntEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.imaging import Image, Mask, StoredImage, to_unit
from mammofill.mammograms.pectoral import find_pectoral

TissueMap = NDArray[np.uint8]
"""(h, w) uint8, values of `Tissue`."""


class Tissue(IntEnum):
    """What a pixel of a mammogram shows."""

    FILM = 0
    """Film, air, labels, tape, the bright edges of a scan, and padding."""
    BREAST = 1
    PECTORAL = 2
    """The pectoral muscle of a mediolateral oblique view."""


_ROWS = 256
"""Rows of the map of tissue. The lengths below are in its pixels; with fewer rows they are scaled down."""

_WHITE = 0.9
"""Share of the picture's brightest value above which a pixel may be a label or the light box beside the film."""

_RIM_SHARE = 0.05
"""Share of the contrast between film and typical tissue by which a pixel at the breast's rim is brighter than film."""

_MOST_LIGHT = 0.3
"""If more than this share of the picture is white, the white area is tissue, not a light box."""

_MOST_LABEL = 0.06
"""A region larger than this share of the film is not a label."""

_LEAST_BREAST = 0.02
"""A region smaller than this share of the picture is not a breast."""


def map_tissue(image: StoredImage, view: str | None = None, laterality: str | None = None) -> TissueMap:
    """Segment a mammogram, in a small copy of at most 256 rows with the same proportions.

    Args:
        image: (H, W) uint16, bright = dense.
        view: "cc" or "mlo"; None if unknown. A craniocaudal view has no pectoral muscle; in an unknown view it must be
            clearer than in a mediolateral oblique view.
        laterality: "left" or "right". The side of the chest wall is found in the picture, since films are mirrored in
            some collections; laterality decides only where the picture is unclear.

    Returns:
        (h, w) uint8, values of `Tissue`; all FILM if nothing is clearly brighter than the film.
    """
    picture = _shrink(image)
    breast = _find_small_breast(picture, laterality)
    tissue: TissueMap = np.where(breast, np.uint8(Tissue.BREAST), np.uint8(Tissue.FILM))
    if view != "cc" and breast.any():
        facing = slice(None) if _chest_wall_is_left(breast, laterality) else slice(None, None, -1)
        muscle = find_pectoral(picture[:, facing], breast[:, facing], oblique=view == "mlo")
        tissue[:, facing][muscle] = Tissue.PECTORAL
    return tissue


def enlarge_tissue(tissue: TissueMap, shape: tuple[int, int]) -> TissueMap:
    """Resample a map of tissue to a size (rows, columns), with smooth outlines.

    Args:
        tissue: (h, w) uint8, from `map_tissue`.
        shape: (rows, columns), usually those of the mammogram.

    Returns:
        (rows, columns) uint8, values of `Tissue`.
    """
    if tissue.shape == shape:
        return tissue
    method = cv2.INTER_AREA if shape[0] <= tissue.shape[0] and shape[1] <= tissue.shape[1] else cv2.INTER_LINEAR
    enlarged = _where_at_least(Tissue.BREAST, tissue, shape, method)
    if (tissue == Tissue.PECTORAL).any():
        enlarged += _where_at_least(Tissue.PECTORAL, tissue, shape, method)
    return enlarged


def _where_at_least(least: Tissue, tissue: TissueMap, shape: tuple[int, int], method: int) -> NDArray[np.uint8]:
    """Return 1 where most of a pixel of an enlarged map has a value of at least `least`, else 0.

    A slight blur turns the steps between cells into a gradient, whose middle is a smooth line.
    """
    share = np.where(tissue >= least, np.uint8(255), np.uint8(0))
    share = cv2.GaussianBlur(share, (0, 0), 1.2, borderType=cv2.BORDER_REPLICATE)
    share = cv2.resize(share, (shape[1], shape[0]), interpolation=method)
    return np.asarray(cv2.threshold(share, 127, 1, cv2.THRESH_BINARY, dst=share)[1], np.uint8)


def find_breast(image: StoredImage) -> Mask:
    """Segment the breast, including the pectoral muscle; see `map_tissue`.

    Args:
        image: (H, W) uint16, bright = dense.

    Returns:
        (H, W) bool; all False if nothing is clearly brighter than the film.
    """
    tissue = map_tissue(image, view="cc")
    return np.asarray(enlarge_tissue(tissue, (image.shape[0], image.shape[1])) != Tissue.FILM, np.bool_)


def _shrink(image: StoredImage) -> Image:
    """Return a copy of at most 256 rows, float32 in [0, 1].

    From a large picture only every n-th row and column is read, which leaves nine or more pixels per cell.
    """
    rows, columns = image.shape
    if rows <= _ROWS:
        return to_unit(image)
    step = max(1, rows // (3 * _ROWS))
    size = (max(1, round(columns * _ROWS / rows)), _ROWS)
    return to_unit(np.asarray(cv2.resize(image[::step, ::step].copy(), size, interpolation=cv2.INTER_AREA), np.uint16))


def _find_small_breast(picture: Image, laterality: str | None) -> Mask:
    """Segment the breast in a small picture, (h, w) float32 in [0, 1]."""
    unit = picture.shape[0] / _ROWS
    breast = np.zeros(picture.shape, np.bool_)
    box = _film_box(picture)
    if picture[box].size == 0:
        return breast
    film = _blur(_without_blackened(picture[box], unit), max(0.5, unit))
    if film.max() - film.min() < 2 / 255:
        return breast
    labels = _find_labels(film, _otsu(film), unit)
    film[labels] = film.min()
    level = _otsu(film)
    bare = _bare_film(film, level, unit)
    bright = film > _rim_level(film, bare, level, unit)
    found = _without_thin_parts(_without_dark_parts(bright, bare | labels), unit)
    if found.sum() >= _LEAST_BREAST * picture.size and _stands_out(film, found):
        breast[box] = _fill_towards_chest(found, laterality)
    return breast


def _without_blackened(film: Image, unit: float) -> Image:
    """Brighten areas that were painted black, for example to hide names, to the darkest value of the rest of the film.

    Such an area has the lowest value of the picture, is inside it, and is small; where it is the only black area, the
    film around it would otherwise appear bright.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats((film < film.min() + 1 / 512).astype(np.uint8))
    left, top, width, height, area = stats.T
    inside = (left > 0) & (top > 0) & (left + width < film.shape[1]) & (top + height < film.shape[0])
    painted = inside & (area >= 15 * unit**2) & (area <= _MOST_LABEL * film.size)
    painted[0] = False
    where = cv2.dilate(painted[labels].astype(np.uint8), _disc(2, unit)) > 0
    if not painted.any() or where.all():
        return film
    return np.where(where, np.maximum(film, film[~where].min()), film)


def _stands_out(film: Image, found: Mask) -> bool:
    """Return whether a region is clearly brighter than the rest of the film, which noise is not."""
    rest = film[~found]
    if not len(rest):
        return True
    level = float(np.median(rest))
    return float(np.median(film[found])) > level + 2 * float(np.median(np.abs(rest - level)))


def _film_box(picture: Image) -> tuple[slice, slice]:
    """Return the rows and columns of the film, without padding and the light box around it.

    From each border, lines are removed while nearly all of a line is white, or has the lowest value of the picture.
    White lines may follow black ones. The line next to a white one is half white, and is also removed.
    """
    white = picture > _WHITE * picture.max()
    if white.mean() > _MOST_LIGHT:
        white[:] = False
    framing = white | (picture < picture.min() + 1 / 512)
    spans = []
    for axis in (0, 1):
        inner = np.flatnonzero(framing.mean(axis=1 - axis) < 0.95)
        if not len(inner):
            return slice(0, 0), slice(0, 0)
        lights = white.mean(axis=1 - axis) > 0.5
        first, last = int(inner[0]), int(inner[-1])
        first += int(first > 0 and lights[first - 1])
        last -= int(last + 1 < len(lights) and lights[last + 1])
        spans.append(slice(first, last + 1))
    return spans[0], spans[1]


def _otsu(values: Image) -> float:
    """Return the threshold of Otsu (IEEE Transactions on Systems, Man, and Cybernetics, 1979) between two classes."""
    low, high = float(values.min()), float(values.max())
    scaled = np.rint((values - low) * np.float32(255 / (high - low))).astype(np.uint8)
    level, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return low + (float(level) + 0.5) * (high - low) / 255


def _find_labels(film: Image, level: float, unit: float) -> Mask:
    """Return where labels and bright tape are: small, mostly white, surrounded by empty film.

    An isolated label is found with its glow, above Otsu's level. Where a label touches the breast, only its white part
    can be distinguished, and only a part of its surroundings is film.
    """
    found, darkest = np.zeros(film.shape, np.bool_), float(film.min())
    empty = film < darkest + 0.6 * (level - darkest)
    white = _WHITE * float(film.max())
    near, far = _disc(2, unit), _disc(5, unit)
    margin = far.shape[0]
    for least, share_of_film in ((level, 0.8), (white, 0.4)):
        number, labels, stats, _ = cv2.connectedComponentsWithStats((film > least).astype(np.uint8))
        for label in range(1, number):
            left, top, width, height, area = (int(value) for value in stats[label])
            if not 15 * unit**2 <= area <= _MOST_LABEL * film.size:
                continue
            part = (_around(top, height, margin), _around(left, width, margin))
            body = labels[part] == label
            if np.quantile(film[part][body], 0.75) < 0.75 * white:
                continue
            grown = cv2.dilate(body.astype(np.uint8), near) > 0
            ring = (cv2.dilate(body.astype(np.uint8), far) > 0) & ~grown
            if ring.any() and empty[part][ring].mean() > share_of_film:
                found[part][grown] = True
    return found


def _around(start: int, length: int, margin: int) -> slice:
    return slice(max(0, start - margin), start + length + margin)


def _rim_level(film: Image, bare: Mask, level: float, unit: float) -> Image:
    """Return the value above which a pixel is breast: slightly above that of the film near it, and above its noise.

    Otsu's level between dark and bright is used to find pixels that are certainly film or certainly tissue. It is not
    the outline itself: skin is far darker, and so is fat in pictures that were processed for display.
    """
    local = np.full(film.shape, film.min(), np.float32)
    noise = 0.0
    if bare.any():
        size = (2 * _length(3, unit) + 1,) * 2
        share, total = (cv2.blur(part, size) for part in (bare.astype(np.float32), np.where(bare, film, np.float32(0))))
        local[bare] = total[bare] / share[bare]
        noise = 1.4826 * float(np.median(np.abs(film - local)[bare]))
    # Where there is no bare film, as along the skin, the brightest film nearby is used.
    reach = 2 * _length(12, unit) + 1
    local = _blur(np.asarray(cv2.dilate(local, np.ones((reach, reach), np.uint8)), np.float32), 4 * unit)
    inside = float(np.median(film[film > level]))
    return np.asarray(local + np.maximum(4 * noise, _RIM_SHARE * (inside - local)), np.float32)


def _bare_film(film: Image, level: float, unit: float) -> Mask:
    """Return where film is certainly empty: dark, flat, connected to a border other than the chest wall, and even.

    Even means close to a plane, which allows for film that is brighter at one end.
    """
    range_ = level - float(film.min())
    dark = film < film.min() + 0.8 * range_
    steps = np.hypot(cv2.Sobel(film, cv2.CV_32F, 1, 0), cv2.Sobel(film, cv2.CV_32F, 0, 1)) / 8
    usual = float(np.quantile(steps[dark], 0.3))  # noise makes steps as well
    flat = dark & (steps < max(0.01 / unit * range_, 2 * usual))
    size = 2 * _length(2, unit) + 1
    flat = cv2.erode(flat.astype(np.uint8), np.ones((size, size), np.uint8)) > 0
    _, labels = cv2.connectedComponents(flat.astype(np.uint8))
    band = max(1, film.shape[1] // 10)
    wall_is_left = np.median(film[:, :band]) > np.median(film[:, -band:])
    outer = np.zeros(int(labels.max()) + 1, np.bool_)
    for line in (labels[0], labels[-1], labels[:, -1 if wall_is_left else 0]):
        outer[line] = True
    outer[0] = False
    bare = np.asarray(outer[labels], np.bool_)
    for _ in range(2):  # the first plane is distorted by areas that are not even
        bare &= film < _plane(film, bare) + 0.1 * range_
    return bare


def _plane(film: Image, where: Mask) -> Image:
    """Return the least-squares plane through some pixels of a film."""
    rows, columns = np.nonzero(where)
    if len(rows) < 3:
        return np.full(film.shape, film.min(), np.float32)
    design = np.stack([np.ones(len(rows)), rows, columns], axis=1)
    start, down, across = np.linalg.lstsq(design.T @ design, design.T @ film[where].astype(np.float64))[0]
    plane = start + down * np.arange(film.shape[0])[:, None] + across * np.arange(film.shape[1])
    return np.asarray(plane, np.float32)


def _without_dark_parts(bright: Mask, bare: Mask) -> Mask:
    """Fill dark fat: regions that are not bright, and not connected to bare film or labels."""
    if not bare.any():
        return bright
    number, labels = cv2.connectedComponents((~bright).astype(np.uint8), connectivity=4)
    empty = np.zeros(number, np.bool_)
    empty[labels[bare & ~bright]] = True
    return np.asarray(~empty[labels], np.bool_)


def _without_thin_parts(mask: Mask, unit: float) -> Mask:
    """Return the largest region without thin parts: tape and lines along the borders, bridges to labels.

    Nipples are kept, and the outline is smoothed.
    """
    thin = _length(13, unit)
    out = mask.astype(np.uint8)
    for shape in ((1, thin), (thin, 1)):  # outside the picture counts as film here, so that thin edges are removed
        out = _open(out, np.ones(shape, np.uint8), cv2.BORDER_CONSTANT)
    # Here values are continued over the border: the breast does not end at the chest wall.
    out = _largest(_open(out, _disc(5, unit), cv2.BORDER_REPLICATE))
    kept = (cv2.dilate(out, _disc(4, unit)) > 0) & mask
    return np.asarray(_blur(kept.astype(np.float32), 2 * unit) > 0.5, np.bool_)


def _open(mask: NDArray[np.uint8], shape: NDArray[np.uint8], border: int) -> NDArray[np.uint8]:
    """Return the opening of a mask of 0 and 1, with the given border mode; with a constant border, outside is 0."""
    edge = max(shape.shape)
    padded = cv2.copyMakeBorder(mask, edge, edge, edge, edge, border, value=0)
    return np.asarray(cv2.morphologyEx(padded, cv2.MORPH_OPEN, shape)[edge:-edge, edge:-edge], np.uint8)


def _largest(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the largest connected region of a mask of 0 and 1."""
    number, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if number == 1:
        return mask
    return np.asarray(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()), np.uint8)


def _fill_towards_chest(breast: Mask, laterality: str | None) -> Mask:
    """Fill holes, and dark fat at the chest wall: each row with breast is breast from the chest wall to the skin."""
    facing = slice(None) if _chest_wall_is_left(breast, laterality) else slice(None, None, -1)
    turned = breast[:, facing]
    filled = np.logical_or.accumulate(turned[:, ::-1], axis=1)[:, ::-1]
    wall = int(np.flatnonzero(turned.any(axis=0))[0])
    filled[:, :wall] = False
    return np.asarray(filled[:, facing], np.bool_)


def _chest_wall_is_left(breast: Mask, laterality: str | None) -> bool:
    """Return whether the chest wall is on the left: it is straight, so the breast touches its side in more rows."""
    columns = np.flatnonzero(breast.any(axis=0))
    first, last = int(columns[0]), int(columns[-1])
    band = max(1, round(0.04 * (last - first + 1)))
    on_left = int(breast[:, first : first + band].any(axis=1).sum())
    on_right = int(breast[:, last - band + 1 : last + 1].any(axis=1).sum())
    if laterality is not None and abs(on_left - on_right) < 0.1 * max(on_left, on_right):
        return laterality == "left"
    return on_left >= on_right


def _blur(picture: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)


def _length(length: float, unit: float) -> int:
    """Convert a length in a picture of 256 rows to whole pixels of this one."""
    return max(1, round(length * unit))


def _disc(radius: float, unit: float) -> NDArray[np.uint8]:
    size = 2 * _length(radius, unit) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)
