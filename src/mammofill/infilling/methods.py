"""Ways to fill a hole, behind one contract: a table of methods, and the soft edge that all fills share.

A method is one row: a module that makes what it needs when the infiller is trained and opens it again to paint, and the
presets of its settings. Another one is another row: here, or in any installed package, as an entry point of the group
``mammofill.infilling_methods`` that names a `MethodRow`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from mammofill.ground.errors import SettingsError
from mammofill.ground.extensions import with_extensions
from mammofill.ground.imaging import Image, Mask, StoredImage, composite, feather, to_uint16

if TYPE_CHECKING:
    from mammofill.ground.artifact import Artifact
    from mammofill.ground.progress import Progress
    from mammofill.infilling.infiller import Infiller
    from mammofill.infilling.settings import InfillerSettings
    from mammofill.pairing import Pairs
    from mammofill.patches import PatchSet

Requested = Mapping[str, Sequence[str | None]]
"""The requested properties of N lesions: for each fact, N words, or None where nothing is requested."""

Inputs = Mapping[str, "Artifact | Path"]
"""What a stage reads, by its role."""

Fills = Iterator[Image]


@dataclass(frozen=True)
class FillCases:
    """N patches that are to be filled."""

    images: NDArray[np.uint16]
    """(N, H, W)."""
    masks: NDArray[np.bool_]
    """(N, H, W), none empty: where a lesion is wanted, with the outline of the donor's lesion."""
    holes: NDArray[np.bool_]
    """(N, H, W): what is repainted; each holds its mask."""
    requested: Requested
    """Words out of `conditions.FACTS`, checked."""
    seeds: Sequence[int]
    """N integers."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)


class Painter(Protocol):
    """Fills holes for an opened infiller. One that paints several in the time of one has their number in `at_once`."""

    def fills(self, cases: FillCases) -> Fills:
        """Paint.

        Args:
            cases: N of them.

        Returns:
            N whole pictures (H, W), float32, of which the hole and its soft edge will be used. Each depends on its own
            inputs and seed alone, to the bit.
        """


@dataclass(frozen=True)
class TrainingJob:
    """What an infiller is made from."""

    folder: Path
    """Of the infiller in the making."""
    patches: PatchSet
    """What pairs are of."""
    windows: PatchSet
    """What is learned from: `patches`, or windows of the infiller's own."""
    rows: NDArray[np.int64]
    """The lesion patches of the train split, in `windows`."""
    pairs: Pairs
    settings: InfillerSettings
    seed: int
    device: str
    progress: Progress
    start: Infiller | None = None
    """An infiller with whose weights the training begins, for methods that support it."""


@dataclass(frozen=True)
class TrainingResult:
    """The result of a job, besides the files in its folder."""

    network: Mapping[str, Any]
    """For `network.json`, what `Method.open_painter` needs."""
    rows: NDArray[np.int64]
    """The patches whose pixels shaped it."""
    counts: Mapping[str, int]
    """For the manifest."""
    chosen_on: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """The patches of the validation split by which its weights, or when to stop, were chosen, if any were."""


class Method(Protocol):
    """What the module of a method provides."""

    def check(self, patches: PatchSet, rows: NDArray[np.int64], settings: InfillerSettings) -> Inputs:
        """Refuse what cannot be learned from, before anything is written.

        Args:
            patches: the patches.
            rows: the lesion patches of the train split in them.
            settings: all of them.

        Returns:
            Artifacts and files that will be read besides the patches, by their role.
        """

    def train(self, job: TrainingJob) -> TrainingResult:
        """Write into the job's folder what painting will need."""

    def open_painter(self, folder: Path, network: Mapping[str, Any], device: str) -> Painter:
        """Open what `train` wrote.

        Args:
            folder: of the infiller.
            network: what its `network.json` says.
            device: where to paint, for methods that run networks.
        """


@dataclass(frozen=True)
class MethodRow:
    """One way to paint."""

    name: str
    """Its name in ``network.json`` and in the settings."""
    module: str
    """The module that implements `Method`; imported when needed, since some need torch."""
    presets_at: str
    """``module:name`` of a mapping: names of its presets to their settings, of a subclass of `InfillerSettings`."""
    starts: bool = False
    """Whether a training can begin from another infiller's weights."""

    def method(self) -> Method:
        """Import the module."""
        return cast(Method, import_module(self.module))

    def presets(self) -> Mapping[str, InfillerSettings]:
        """Import the presets."""
        module, name = self.presets_at.split(":")
        found: Mapping[str, InfillerSettings] = getattr(import_module(module), name)
        return found


_OURS = (
    MethodRow("gan", "mammofill.infilling.gan.method", "mammofill.infilling.gan.presets:PRESETS"),
    MethodRow("flow", "mammofill.infilling.flow.method", "mammofill.infilling.flow.presets:PRESETS", starts=True),
    MethodRow(
        "copy-paste",
        "mammofill.infilling.baselines.copy_paste",
        "mammofill.infilling.baselines.settings:COPY_PASTE_PRESETS",
    ),
    MethodRow(
        "texture", "mammofill.infilling.baselines.texture", "mammofill.infilling.baselines.settings:TEXTURE_PRESETS"
    ),
)

ENTRY_POINTS = "mammofill.infilling_methods"
"""Group of entry points under which other packages offer methods; each names a `MethodRow`."""


@cache
def methods() -> Mapping[str, MethodRow]:
    """Return all methods by name, ours first.

    Raises:
        SettingsError: an entry point that is no method, or of the name of another; see `with_extensions`.
    """
    return with_extensions(_OURS, ENTRY_POINTS, MethodRow)


def find_method(name: str) -> Method:
    """Import a method's module.

    Raises:
        SettingsError: there is no such method.
    """
    if name not in methods():
        raise SettingsError(f"There is no infilling method {name!r}. There are: {', '.join(methods())}.")
    return methods()[name].method()


def paint(painter: Painter, cases: FillCases, feather_px: int | None) -> NDArray[np.uint16]:
    """Fill the holes of some patches: the fill in the hole, fading out around it, the patch itself elsewhere.

    Args:
        painter: what paints the fills.
        cases: N patches.
        feather_px: width of the soft edge outside the hole; None returns the painter's whole picture instead.

    Returns:
        (N, H, W) uint16. Beyond the soft edge the pixels are the input's, bit for bit, with any painter.
    """

    def lay(image: StoredImage, hole: Mask, fill: Image) -> StoredImage:
        return to_uint16(fill) if feather_px is None else composite(image, fill, feather(hole, feather_px))

    with ThreadPoolExecutor(1) as beside:  # one fill is laid over its patch while the next is painted
        laid = [beside.submit(lay, *one) for one in zip(cases.images, cases.holes, painter.fills(cases), strict=True)]
        return np.array([one.result() for one in laid], np.uint16).reshape(cases.images.shape)
