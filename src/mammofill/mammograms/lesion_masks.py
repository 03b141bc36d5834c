"""Finds a lesion's mask among its files, by content, and its place; a place is corrected only where geometry proves it.

In CBIS-DDSM a lesion has a mask and a cropped picture. The two are swapped in many rows of the tables, are in one
folder or in two, and some masks do not have the size of their mammogram. A mask of the mammogram's size is used as it
is; a mask of another size is moved or resampled only if the sizes and the cropped picture leave only one place for it;
otherwise a `MaskProblem` says what was found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mammofill.ground.errors import ImageFileError
from mammofill.ground.foreign_files import Remark
from mammofill.ground.imaging import Mask, StoredImage, mask_box, resample, resample_mask
from mammofill.mammograms.find_crop import find_crop
from mammofill.mammograms.mask_checks import MaskProblem
from mammofill.mammograms.reading import HalvedImage, SeenFile, read_image, read_seen_mask, see
from mammofill.mammograms.sources.annotations import Decision, Files, LesionEntry

LARGEST_SCALE = 2.0
"""Largest factor by which masks are resampled to their mammogram's size. The films of DDSM were scanned at 42 to 50 um
per pixel, and all masks known to need resampling do so by 50 / 43.5; with larger factors equal proportions prove
little."""

_NOT_NEEDED = "not needed"
"""Reason given for files that were not read because the mask had been found."""

_SHAPED_PX = 16
"""If the cropped picture is larger than the lesion's box, height and width of the box must differ by this much. The
margin is then the same on all sides only if both have the same scale."""

_SLACK_PX = 2
"""Number of pixels by which a lesion may extend beyond its cropped picture, for the rounding of two resamplings."""


@dataclass(frozen=True)
class FoundMask:
    """The mask of a lesion, in place.

    Attributes:
        mask: (H, W) bool, of the mammogram's size at source resolution; marks at least one pixel.
        file: the file from which it was read.
        decisions: how it was repaired, and remarks on its file; empty if there are none.
    """

    mask: Mask
    file: Path | None
    decisions: tuple[Decision, ...] = ()


def find_lesion_mask(lesion: LesionEntry, patient_id: str, image: StoredImage | HalvedImage) -> FoundMask:
    """Find the mask among the files of a lesion, and place it on the mammogram.

    A mask is a file with two values, whatever its name; every other image is a cropped picture. A file's header (its
    size, and its SeriesDescription where it has one) only decides the order in which files are read, so that for an
    ordinary lesion only the mask is decoded.

    A mask of another size than the mammogram's is repaired

    - if it has exactly the size of the cropped picture, and the picture is found at one place of the mammogram: it is
      placed there (rule ``mask-placed-by-crop``);
    - if it has the mammogram's proportions: it is resampled (``mask-resampled``), unless the cropped picture is found
      at another place;
    - if the cropped picture is found at one place, and it is the lesion's box in the mask, alone or with the same
      margin on all sides: the lesion is placed there (``mask-placed-by-crop``).

    Args:
        lesion: its place must be files.
        patient_id: the patient, for the decisions.
        image: (H, W) uint16, the mammogram at source resolution. Its pixels are read only where a place is uncertain.

    Returns:
        The mask in its place, its file, and how it was placed.

    Raises:
        MaskProblem: there is no mask, or its place is not certain.
        TypeError: the lesion's place is not given by files.
    """
    if not isinstance(lesion.place, tuple):
        raise TypeError(f"{lesion.lesion_id} is marked by {type(lesion.place).__name__}, not by files.")
    shape = (image.shape[0], image.shape[1])
    files = _sort(lesion.place, shape)
    path, mask = _the_mask(lesion, files, shape)
    if not mask.any():
        raise MaskProblem("mask-empty", f"{path}: the mask of {lesion.lesion_id} marks no pixel.")
    decisions = [remarked(remark, lesion.lesion_id, patient_id) for remark in files.remarks[path]]
    if mask.shape != shape:
        mask, decision = _repair(lesion, patient_id, path, mask, files, image)
        decisions.append(decision)
    if lesion.drawn_on is not None:
        _check_film(lesion, lesion.drawn_on, files, mask, image)
    return FoundMask(mask, path, tuple(decisions))


def remarked(remark: Remark, what: str, patient_id: str) -> Decision:
    """Return a remark on a file as a decision about a mammogram or a lesion."""
    return Decision(what, patient_id, remark.rule, remark.found, remark.done)


@dataclass
class _Sorted:
    """The files of a lesion by kind."""

    masks: list[tuple[Path, Mask]]
    others: dict[Path, str]
    """Files that are not masks, with the reason, or that were not read."""
    broken: list[str]
    """The errors of files that cannot be read."""
    remarks: dict[Path, tuple[Remark, ...]] = field(default_factory=dict)
    """The remarks on masks."""

    def pictures(self) -> list[tuple[Path, StoredImage]]:
        """Decode the cropped pictures; files that cannot be decoded are moved to `broken`."""
        found = []
        for path in tuple(self.others):
            try:
                found.append((path, read_image(path, None, "none").pixels))
            except ImageFileError as error:
                why_no_mask = self.others.pop(path)
                self.broken.append(str(error) if why_no_mask == _NOT_NEEDED else why_no_mask)
        return found


def _sort(place: Files, shape: tuple[int, int]) -> _Sorted:
    """Separate masks from pictures, likely masks first; stop when the only file of the mammogram's size is a mask."""
    seen: dict[Path, SeenFile] = {}
    found = _Sorted([], {}, [])
    for path in place:
        try:
            seen[path] = see(path)
        except ImageFileError as error:
            found.broken.append(str(error))
    fitting = [path for path, file in seen.items() if file.size == shape]
    likely_first = sorted(
        seen.values(), key=lambda file: (file.size != shape, "mask" not in file.description, "crop" in file.description)
    )
    for file in likely_first:
        if fitting and fitting == [masked for masked, _ in found.masks]:
            found.others[file.path] = _NOT_NEEDED
            continue
        try:
            read = read_seen_mask(file)
            found.masks.append((file.path, read.mask))
            found.remarks[file.path] = read.remarks
        except ImageFileError as error:
            found.others[file.path] = str(error)
    return found


def _the_mask(lesion: LesionEntry, files: _Sorted, shape: tuple[int, int]) -> tuple[Path, Mask]:
    """Return the mask; of several, one of the mammogram's size, and of those one that marks something.

    Raises:
        MaskProblem: there is none, or several that differ.
    """
    if not files.masks:
        files.pictures()
        if files.broken:
            raise MaskProblem("mask-unreadable", " ".join([*files.broken, *files.others.values()]))
        found = f"{lesion.source}: {lesion.lesion_id} has no mask, only a picture. {' '.join(files.others.values())}"
        raise MaskProblem("mask-missing", found)
    candidates = files.masks
    for better in (lambda mask: mask.shape == shape, lambda mask: bool(mask.any())):
        candidates = [one for one in candidates if better(one[1])] or candidates
    path, mask = candidates[0]
    for other, second in candidates[1:]:
        if not np.array_equal(mask, second):
            sizes = f"{_size(mask)} and {_size(second)}"
            found = f"{path} and {other.name} are both masks of {lesion.lesion_id} ({sizes}), and differ. Remove one."
            raise MaskProblem("mask-ambiguous", found)
    return path, mask


@dataclass(frozen=True)
class _Crop:
    """The cropped picture of a lesion, and its place on the mammogram."""

    picture: StoredImage
    place: tuple[int, int]


def _repair(
    lesion: LesionEntry, patient_id: str, path: Path, mask: Mask, files: _Sorted, image: StoredImage | HalvedImage
) -> tuple[Mask, Decision]:
    """Place a mask of another size; return it with the decision that says how.

    Raises:
        MaskProblem: its place is not certain.
    """
    found = f"{path}: the mask of {lesion.lesion_id} is {_size(mask)}, its mammogram {_size(image)}."
    pictures = files.pictures()
    crop, no_crop = _find_crop(pictures, image)

    def decided(rule: str, done: str) -> Decision:
        return Decision(lesion.lesion_id, patient_id, rule, found, done)

    if any(picture.shape == mask.shape for _, picture in pictures):
        if crop is None or crop.picture.shape != mask.shape:
            raise MaskProblem("mask-size", f"{found} It has the size of the cropped picture, but {no_crop}.")
        where = f"at row {crop.place[0]}, column {crop.place[1]}"
        done = f"Put where the cropped picture, which has the mask's size, was found: {where}."
        return _put(mask, crop.place, image), decided("mask-placed-by-crop", done)

    if _same_proportions(mask.shape, image.shape):
        crop = crop or _find_reduced_crop(pictures, mask, image)
        resampled = resample_mask(mask, (image.shape[0], image.shape[1]))
        if crop is not None and not _lies_within(resampled, crop):
            raise MaskProblem(
                "mask-size",
                f"{found} The proportions are the same, but resampled it would not lie where the cropped picture was "
                f"found, at row {crop.place[0]}, column {crop.place[1]}.",
            )
        checked = "It lies where the cropped picture was found" if crop is not None else f"Not checked: {no_crop}"
        done = f"Resampled by {image.shape[0] / mask.shape[0]:.4f}, since the proportions are the same. {checked}."
        return resampled, decided("mask-resampled", done)

    unlike = f"{found} The proportions differ by more than rounding, or the sizes by more than {LARGEST_SCALE:g} times;"
    if crop is None:
        raise MaskProblem("mask-size", f"{unlike} and {no_crop}.")
    top, left, height, width = mask_box(mask)
    margin = (crop.picture.shape[0] - height) // 2
    if no_margin := _why_uneven(mask, crop.picture):
        raise MaskProblem("mask-size", f"{unlike} and the cropped picture ({_size(crop.picture)}) is {no_margin}.")
    corner = (crop.place[0] + margin, crop.place[1] + margin)
    done = (
        f"Put where the cropped picture was found, which is the lesion's box and {margin} pixels around it: "
        f"at row {corner[0]}, column {corner[1]}."
    )
    alone = mask[top : top + height, left : left + width]
    return _put(alone, corner, image), decided("mask-placed-by-crop", done)


def _find_crop(pictures: list[tuple[Path, StoredImage]], image: StoredImage | HalvedImage) -> tuple[_Crop | None, str]:
    """Return the cropped picture that is found on the mammogram; or None and the reason."""
    if not pictures:
        return None, "there is no cropped picture to tell its place"
    for _, picture in pictures:
        if (place := find_crop(picture, np.asarray(image, np.uint16))) is not None:
            return _Crop(picture, place), ""
    path, picture = pictures[0]
    return None, f"the cropped picture {path.name} ({_size(picture)}) fits no single place of the mammogram"


def _find_reduced_crop(
    pictures: list[tuple[Path, StoredImage]], mask: Mask, image: StoredImage | HalvedImage
) -> _Crop | None:
    """Find a cropped picture that was cut at the scale of the mask."""
    scale = image.shape[0] / mask.shape[0]
    reduced = [
        (path, resample(picture, (max(1, round(picture.shape[0] * scale)), max(1, round(picture.shape[1] * scale)))))
        for path, picture in pictures
    ]
    return _find_crop(reduced, image)[0]


def _same_proportions(mask: tuple[int, ...], image: tuple[int, ...]) -> bool:
    """Return whether one factor scales both sides of the image to those of the mask, each to less than one pixel."""
    low = max((side - 1) / of_image for side, of_image in zip(mask, image, strict=True))
    high = min((side + 1) / of_image for side, of_image in zip(mask, image, strict=True))
    return low < high and 1 / LARGEST_SCALE <= mask[0] / image[0] <= LARGEST_SCALE


def _why_uneven(mask: Mask, crop: StoredImage) -> str:
    """Return why the cropped picture is not the lesion's box with the same margin on all sides; "" where it is."""
    top, left, height, width = mask_box(mask)
    over = crop.shape[0] - height
    margin = over // 2
    outside = min(top, left, mask.shape[0] - top - height, mask.shape[1] - left - width) < margin
    if over < 0 or over % 2 or over != crop.shape[1] - width or outside:
        return f"not the lesion's box ({height}x{width}), alone or with the same margin on all sides"
    if margin and abs(height - width) < _SHAPED_PX:
        return (
            f"the lesion's box ({height}x{width}) with {margin} pixels around it, and too nearly square to tell "
            "whether mask and mammogram have the same scale"
        )
    return ""


def _lies_within(mask: Mask, crop: _Crop) -> bool:
    top, left, height, width = mask_box(mask)
    return (
        top >= crop.place[0] - _SLACK_PX
        and left >= crop.place[1] - _SLACK_PX
        and top + height <= crop.place[0] + crop.picture.shape[0] + _SLACK_PX
        and left + width <= crop.place[1] + crop.picture.shape[1] + _SLACK_PX
    )


def _check_film(
    lesion: LesionEntry, drawn_on: str, files: _Sorted, mask: Mask, image: StoredImage | HalvedImage
) -> None:
    """Refuse a mask that was drawn on another file of the view, unless its cropped picture shows the lesion here."""
    crop, no_crop = _find_crop(files.pictures(), image)
    if crop is None or not _lies_within(mask, crop):
        why = no_crop or "its cropped picture was found elsewhere"
        found = f"{lesion.lesion_id} was drawn on {drawn_on}, another file of this view, and {why}."
        raise MaskProblem("mask-not-of-this-film", found)


def _put(part: Mask, corner: tuple[int, int], image: StoredImage | HalvedImage) -> Mask:
    placed = np.zeros(image.shape, np.bool_)
    placed[corner[0] : corner[0] + part.shape[0], corner[1] : corner[1] + part.shape[1]] = part
    return placed


def _size(array: Mask | StoredImage | HalvedImage) -> str:
    return f"{array.shape[0]}x{array.shape[1]}"
