"""Ways to fill a hole, behind one contract: a table of methods, and the rim that all fills share.

A method is a module, named in `METHODS`, that makes what it needs when the infiller is trained and opens it again to
paint. Another one is another module and another row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.imaging import Image, Mask, StoredImage, composite, feather, to_uint16

if TYPE_CHECKING:
    from mammofill.ground.artifact import Artifact
    from mammofill.ground.progress import Progress
    from mammofill.infilling.settings import TrainInfillerSettings
    from mammofill.pairing import Pairs
    from mammofill.patches import PatchSet

Asked = Mapping[str, Sequence[str | None]]
"""What N lesions are asked to be: for each fact, N words, or None where nothing is asked."""

Inputs = Mapping[str, "Artifact | Path"]
"""What a stage reads, by its role."""

Fills = Iterator[Image]


class Painter(Protocol):
    """Fills holes, as an opened infiller does."""

    def fills(self, images: NDArray[np.uint16], masks: NDArray[np.bool_], asked: Asked, seeds: Sequence[int]) -> Fills:
        """Paint.

        Args:
            images: (N, H, W) uint16.
            masks: (N, H, W) bool, none empty.
            asked: words out of `conditions.FACTS`, checked.
            seeds: N integers.

        Returns:
            N whole pictures (H, W), float32, of which the hole and its soft edge will be used. Each depends on its own
            inputs and seed alone, to the bit.
        """


@dataclass(frozen=True)
class Lesson:
    """What an infiller is made from."""

    folder: Path
    """Of the infiller in the making."""
    patches: PatchSet
    rows: NDArray[np.int64]
    """The lesion patches of the train split, in `patches`."""
    pairs: Pairs
    settings: TrainInfillerSettings
    seed: int
    device: str
    progress: Progress


@dataclass(frozen=True)
class Learned:
    """What came of a lesson, beside the files in its folder."""

    network: Mapping[str, Any]
    """For `network.json`, what `Method.open_painter` needs."""
    rows: NDArray[np.int64]
    """The patches whose pixels shaped it."""
    counts: Mapping[str, int]
    """For the manifest."""


class Method(Protocol):
    """What a module in `METHODS` holds."""

    def check(self, patches: PatchSet, rows: NDArray[np.int64], settings: TrainInfillerSettings) -> Inputs:
        """Refuse what cannot be learned from, before anything is written.

        Args:
            patches: the patches.
            rows: the lesion patches of the train split.
            settings: all of them.

        Returns:
            Artifacts and files that will be read besides the patches, by their role.
        """

    def learn(self, lesson: Lesson) -> Learned:
        """Write into the lesson's folder what painting will need."""

    def open_painter(self, folder: Path, network: Mapping[str, Any], device: str) -> Painter:
        """Open what `learn` wrote.

        Args:
            folder: of the infiller.
            network: what its `network.json` says.
            device: where to paint, for methods that run networks.
        """


METHODS = {
    "gan": "mammofill.infilling.gan",
    "copy-paste": "mammofill.infilling.copy_paste",
    "texture": "mammofill.infilling.texture",
}
"""Modules by the name of their method; imported when needed, since some need torch."""


def find_method(name: str) -> Method:
    """Import a method's module."""
    return cast(Method, import_module(METHODS[name]))


def paint(
    painter: Painter,
    images: NDArray[np.uint16],
    masks: NDArray[np.bool_],
    asked: Asked,
    seeds: Sequence[int],
    feather_px: int | None,
) -> NDArray[np.uint16]:
    """Fill the masks of some patches: the fill on the mask, fading out around it, the patch itself elsewhere.

    Args:
        painter: whose fills.
        images: (N, H, W) uint16.
        masks: (N, H, W) bool.
        asked: see `Painter`.
        seeds: see `Painter`.
        feather_px: width of the soft edge outside the mask; None returns the painter's whole picture instead.

    Returns:
        (N, H, W) uint16. Beyond the soft edge the pixels are the input's, bit for bit, whoever painted.
    """

    def lay(image: StoredImage, mask: Mask, fill: Image) -> StoredImage:
        return to_uint16(fill) if feather_px is None else composite(image, fill, feather(mask, feather_px))

    with ThreadPoolExecutor(1) as beside:  # one fill is laid over its patch while the next is painted
        fills = painter.fills(images, masks, asked, seeds)
        laid = [beside.submit(lay, *one) for one in zip(images, masks, fills, strict=True)]
        return np.array([one.result() for one in laid], np.uint16).reshape(images.shape)
