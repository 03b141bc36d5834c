"""Pictures of the report: example patches of every kind with their outlines, and previews of infillers."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mammofill.ground.artifact import Artifact
from mammofill.ground.imaging import Mask, StoredImage
from mammofill.ground.seeding import stream
from mammofill.patches import PatchSet

TILE_PX = 160
"""Side at which example patches are shown."""
_PREVIEW_WIDTH_PX = 800
_LIMITS_PERCENT = (0.5, 99.5)
_OUTLINE_BGR = (0, 190, 255)


@dataclass(frozen=True)
class Example:
    """One example patch: pictures side by side, each a PNG as a data address, with a word for each."""

    pictures: tuple[tuple[str, str], ...]
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Examples of one kind."""

    title: str
    caption: str
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Preview:
    """What an infiller painted at some point of its training."""

    images_seen: int
    picture: str


def draw_galleries(patches: Sequence[PatchSet], count: int, seed: int) -> list[Gallery]:
    """Draw examples of every kind that there is, from the train split only, so that the test set stays unseen.

    Args:
        patches: the patch sets.
        count: most examples of a kind.
        seed: decides which.
    """
    galleries = []
    for pathology in ("normal", "benign", "malignant"):
        examples = tuple(_draw_real(patches, pathology, count, seed))
        if examples:
            caption = "Drawn at random from the train split." + (
                "" if pathology == "normal" else " Left as it is, right with the outline of its mask."
            )
            galleries.append(Gallery(f"Real, {pathology}", caption, examples))
    for pathology in ("benign", "malignant"):
        examples = tuple(_draw_synthetic(patches, pathology, count, seed))
        if examples:
            caption = (
                "Drawn at random. Left the real normal patch that was filled, with the outline of the borrowed mask; "
                "right what the infiller made of it. Both are shown with the same brightness and contrast."
            )
            galleries.append(Gallery(f"Synthetic, {pathology}", caption, examples))
    return galleries


def draw_previews(infiller: Artifact, count: int) -> list[Preview]:
    """Return preview pictures of an infiller, evenly spread over its training, the last one among them.

    Args:
        infiller: its folder holds ``previews/<images seen>.png``.
        count: most pictures.
    """
    paths = sorted((infiller.folder / "previews").glob("*.png"))
    if not paths or not count:
        return []
    places = np.unique(np.linspace(len(paths) - 1, 0, count).round().astype(int))
    return [Preview(int(paths[place].stem), _preview(paths[place])) for place in places]


def data_address(content: bytes, kind: str) -> str:
    """Return the content of a file as an address that a page can hold in itself.

    Args:
        content: the bytes.
        kind: media type, for example ``image/png``.
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _draw_real(patches: Sequence[PatchSet], pathology: str, count: int, seed: int) -> Iterator[Example]:
    for one, row, facts in _choose(patches, "real", pathology, count, seed):
        (image,), (mask,) = one.pixels([row])
        limits = _limits(image)
        caption = f"{facts['patch_id']}"
        plain = _tile(image, limits)
        if pathology == "normal":
            yield Example((("patch", plain),), caption)
        else:
            yield Example((("patch", plain), ("with outline", _tile(image, limits, mask))), caption)


def _draw_synthetic(patches: Sequence[PatchSet], pathology: str, count: int, seed: int) -> Iterator[Example]:
    for one, row, facts in _choose(patches, "synthetic", pathology, count, seed):
        (image,), (mask,) = one.pixels([row])
        context = _find(patches, str(facts["context_patch_id"]))
        limits = _limits(image if context is None else context)
        filled = ("filled", _tile(image, limits))
        before = ("context", _tile(context if context is not None else image, limits, mask))
        if context is None:
            before = ("filled, with outline (its context patch was not found)", before[1])
        yield Example((before, filled), f"{facts['patch_id']}")


def _choose(
    patches: Sequence[PatchSet], origin: str, pathology: str, count: int, seed: int
) -> Iterator[tuple[PatchSet, int, dict[str, Any]]]:
    """Yield so many patches of one kind, at random but of different patients as far as there are."""
    rows = [
        (one, int(row), one.table.iloc[int(row)].to_dict())
        for one in patches
        for row in one.rows(split="train", origin=origin, pathology=pathology)
    ]
    order = stream(seed, "examples", origin, pathology).permutation(len(rows))
    seen: set[str] = set()
    first: list[tuple[PatchSet, int, dict[str, Any]]] = []
    later: list[tuple[PatchSet, int, dict[str, Any]]] = []
    for place in order:
        patient = str(rows[place][2]["patient_id"])
        (later if patient in seen else first).append(rows[place])
        seen.add(patient)
    yield from [*first, *later][:count]


def _find(patches: Sequence[PatchSet], patch_id: str) -> StoredImage | None:
    for one in patches:
        rows = one.rows(patch_id=patch_id)
        if len(rows):
            return np.asarray(one.pixels(rows[:1])[0][0], dtype=np.uint16)
    return None


def _limits(image: StoredImage) -> tuple[float, float]:
    """Return the values shown as black and white."""
    low, high = np.percentile(image, _LIMITS_PERCENT)
    return float(low), float(max(high, low + 1))


def _tile(image: StoredImage, limits: tuple[float, float], mask: Mask | None = None) -> str:
    """Return a patch, or a patch with the outline of a mask, at the size of a tile."""
    low, high = limits
    gray = np.clip((image.astype(np.float32) - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    shrinks = image.shape[0] > TILE_PX
    gray = cv2.resize(gray, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    if mask is None:
        return data_address(_png(gray), "image/png")
    colour = cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR)
    large = cv2.resize(mask.astype(np.uint8), (TILE_PX, TILE_PX), interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(colour, outlines, -1, _OUTLINE_BGR, 1, cv2.LINE_AA)
    return data_address(_png(colour), "image/png")


def _preview(path: Path) -> str:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert picture is not None, f"{path} was written by us as a PNG"
    if picture.shape[1] > _PREVIEW_WIDTH_PX:
        scale = _PREVIEW_WIDTH_PX / picture.shape[1]
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return data_address(_png(picture), "image/png")


def _png(pixels: NDArray[Any]) -> bytes:
    done, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert done, "OpenCV encodes 8-bit arrays"
    return encoded.tobytes()
