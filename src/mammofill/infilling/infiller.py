"""Infiller: fills masks with lesions of the requested class, by the method with which it was made.

On disk::

    network.json                 method, patch size, hole, soft edge, what can be requested, classes learned; for
                                 trained networks also how they are built
    previews/NNNNNNNN.png        fills after that many images: real, hole, context, filled benign, filled malignant
    history.csv                  gan, flow: one row of mean losses every so many images
    weights.safetensors          gan: the generator; flow: the network
    discriminator.safetensors    gan: the discriminator, whose backbone and class head can serve as features
    bank/                        copy-paste: the lesions
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.artifact import Artifact
from mammofill.ground.counting import counted
from mammofill.ground.errors import DamagedError, MammofillError, SettingsError
from mammofill.ground.imaging import feather, to_uint16, touches_border
from mammofill.infilling.conditions import FACTS, encode
from mammofill.infilling.methods import FillCases, Painter, find_method, methods, paint
from mammofill.pairing.hole import HoleSettings, distance_from_ellipse, holes_of

NETWORK_NAME = "network.json"


class Infiller(Artifact):
    """Paints a benign or malignant lesion into the masked region of a patch, by any method.

    ``infill(images, masks, pathologies, seeds)`` paints; ``method``, ``size_px`` and ``classes_learned`` describe it,
    ``history`` and ``previews`` its training. Outside of what ``may_change`` allows, a fill is its patch, bit for bit.
    See the module for the files.
    """

    kind: ClassVar[str] = "infiller"

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open an infiller, also one that others made; see `Artifact.open`. Nothing in it is run as code.

        Raises:
            DamagedError: also when `network.json` is missing, or describes no infiller that this version knows.
        """
        infiller = super().open(folder)
        _ = infiller.network
        return infiller

    def headline(self) -> str:
        """Say the method and the size of its patches, and what it learned from."""
        return f"{self.method}, {self.size_px} px, {super().headline()}"

    @cached_property
    def network(self) -> dict[str, Any]:
        """Content of `network.json`."""
        return _read_network(self.folder / NETWORK_NAME)

    @property
    def method(self) -> str:
        """How it paints: the name of a row of `methods.methods`."""
        return str(self.network["method"])

    @property
    def size_px(self) -> int:
        """Side of the patches it fills."""
        return int(self.network["size_px"])

    @cached_property
    def hole(self) -> HoleSettings:
        """Which pixels it repaints for a mask."""
        return HoleSettings(**self.network["hole"])

    @property
    def mask_is(self) -> str:
        """What a fill's mask is: ``lent``, the outline it was given, or ``ellipse``, that of its moments.

        A method that is not given the outline, or repaints more than the mask, draws an outline of its own.
        """
        return str(self.network.get("mask_is", "lent"))

    def masks_of_fills(self, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the best known masks of the lesions of fills that were requested at masks (N, H, W)."""
        if self.mask_is == "lent":
            return masks
        return np.array([distance_from_ellipse(mask) <= 0 for mask in masks], np.bool_).reshape(masks.shape)

    @property
    def feather_px(self) -> int:
        """A fill fades out over so many pixels outside its hole."""
        return int(self.network["feather_px"])

    def may_change(self, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which pixels a fill may change: the holes of masks (N, H, W), and the soft edge around them."""
        grown = [feather(hole, self.feather_px) > 0 for hole in holes_of(masks, self.hole)]
        return np.array(grown, np.bool_).reshape(masks.shape)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Properties of a lesion that can be requested: names out of `conditions.FACTS`, pathology first."""
        return tuple(self.network["conditions"])

    @property
    def classes_learned(self) -> dict[str, int]:
        """Number of lesion patches of each class that it was made from (a texture ignores them)."""
        return {name: int(count) for name, count in self.network["classes_learned"].items()}

    @cached_property
    def history(self) -> pd.DataFrame:
        """Mean losses over the training, one row per interval, which ends at `images_seen`. Empty without training."""
        path = self.folder / "history.csv"
        if path.is_file() and path.read_text().strip():  # empty where the weights are those of another infiller
            return pd.read_csv(path)
        return pd.DataFrame({"images_seen": pd.Series(dtype="int64")})

    @property
    def previews(self) -> list[Path]:
        """Preview pictures in the order of training."""
        return sorted((self.folder / "previews").glob("*.png"))

    @property
    def guidance(self) -> float | None:
        """Guidance: how much the effect of the requested class is amplified; None where its method has none."""
        found = self.network.get(self.method, {}).get("sampling", {}).get("guidance")
        return None if found is None else float(found)

    @property
    def begin_time(self) -> float:
        """From which time on it paints, in (0, 1]; below 1 it keeps a part of what is in the hole."""
        return float(self.network.get(self.method, {}).get("sampling", {}).get("begin_time", 1.0))

    def with_guidance(self, guidance: float) -> Self:
        """Return the same infiller with another guidance: 1 exaggerates nothing.

        Raises:
            SettingsError: its method has no guidance, or the number is out of range.
        """
        if self.guidance is None:
            raise SettingsError(f"The infiller in {self.folder} ({self.method}) has no guidance. Leave it out.")
        if not 0 <= guidance <= 20:  # NaN too
            raise SettingsError(f"guidance is {guidance}, but must be a number from 0 to 20.")
        other = type(self)(self.folder, self.manifest)
        sampling = self.network[self.method]["sampling"] | {"guidance": guidance}
        other.__dict__["network"] = self.network | {self.method: self.network[self.method] | {"sampling": sampling}}
        return other

    def infill(
        self,
        images: NDArray[np.uint16] | NDArray[np.floating],
        masks: NDArray[np.bool_],
        pathologies: Sequence[str],
        seeds: Sequence[int],
        *,
        facts: Mapping[str, Sequence[str | None]] | None = None,
        device: str = "cpu",
        raw: bool = False,
        allow_border: bool = False,
        over_own: bool = False,
    ) -> NDArray[np.uint16]:
        """Paint lesions into the holes that belong to some masks.

        Args:
            images: (N, H, W) uint16 over 0..65535, or float in [0, 1]; bright = dense.
            masks: (N, H, W) bool, True = where a lesion is wanted; none may be empty. `hole` says what is repainted.
            pathologies: N words, ``benign`` or ``malignant``.
            seeds: N integers. Each picture depends on its own inputs and seed only, not on the others.
            facts: further requested properties, N words each, or None where nothing is requested; of `conditions`.
            device: where the generator runs.
            raw: return the painter's whole picture instead of the fill laid over the patch.
            allow_border: accept holes that touch the border of their patch. Such a fill is cut off: it ends in a
                straight line, and no soft edge hides that.
            over_own: each mask is that of the patch's own lesion, of which an infiller whose `begin_time` is below 1
                keeps a part. Elsewhere such an infiller would mix tissue into its lesions, and is refused.

        Returns:
            (N, H, W) uint16. Unless `raw`, pixels outside `may_change` are the input's, bit for bit.

        Raises:
            MammofillError: an array of another size or type, values outside [0, 1], an empty mask, a hole that touches
                the border, an unknown word; it says which.
            TooFewError: a bank of lesions holds none with the requested properties.
            WeightsError: the weights are missing, or another network's.
            DeviceError: the device is not there.
        """
        requested = {"pathology": pathologies, **(facts or {})}
        if self.begin_time < 1 and not over_own:
            raise MammofillError(
                f"The infiller in {self.folder} keeps a part of what is in the hole (sampling.begin_time "
                f"{self.begin_time:g}), so it paints over a patch's own lesion only, at its own outline. Use an "
                "infiller that begins with noise, or pass over_own=True if each mask is that of the patch's own lesion."
            )
        pixels = self._check(images, masks, requested, seeds)
        holes = holes_of(masks, self.hole)
        if not allow_border:
            self._check_border(holes)
        cases = FillCases(pixels, masks, holes, requested, seeds)
        painter = self._painter(device)
        from mammofill.ground.training.device import repeatable  # here and not above: it takes seconds

        with repeatable(device):
            return paint(painter, cases, None if raw else self.feather_px)

    def _check(
        self,
        images: NDArray[Any],
        masks: NDArray[Any],
        requested: Mapping[str, Sequence[str | None]],
        seeds: Sequence[int],
    ) -> NDArray[np.uint16]:
        """Refuse what cannot be filled; return the images as uint16."""
        pathologies = requested["pathology"]
        if not len(images) == len(masks) == len(pathologies) == len(seeds):
            raise MammofillError(
                f"infill needs as many masks, pathologies and seeds as images, but got "
                f"{counted(len(images), 'images')}, "
                f"{counted(len(masks), 'masks')}, {counted(len(pathologies), 'pathologies')} and "
                f"{counted(len(seeds), 'seeds')}."
            )
        size = (self.size_px, self.size_px)
        for name, array in (("images", images), ("masks", masks)):
            if array.shape[1:] != size:
                raise MammofillError(
                    f"{self.folder} fills patches of {size[0]}x{size[1]} px, but got {name} of shape {array.shape}. "
                    f"Use patches of the infiller's size, or train an infiller for this size."
                )
        if masks.dtype != np.bool_:
            raise MammofillError(f"infill needs masks of type bool, but got {masks.dtype}. Compare with > 0.")
        for number, mask in enumerate(masks):
            if not mask.any():
                raise MammofillError(f"The mask of image {number} is empty: there is nothing to fill. Leave it out.")
        encode(self.conditions, requested, len(images))
        return _as_uint16(images)

    def _check_border(self, holes: NDArray[np.bool_]) -> None:
        for number, hole in enumerate(holes):
            if touches_border(hole):
                raise MammofillError(
                    f"The hole of image {number} ({self.hole}) touches the border of the patch, so that its lesion "
                    "would be cut off. Choose a patch in which the whole hole lies inside, or pass allow_border=True."
                )

    def fills_at_once(self, device: str = "cpu") -> int:
        """Return how many fills can be painted together in the time of one."""
        return int(getattr(self._painter(device), "at_once", 1))

    @cached_property
    def _painters(self) -> dict[str, Painter]:
        return {}

    def _painter(self, device: str) -> Painter:
        from mammofill.ground.training.device import find_device

        find_device(device)
        if device not in self._painters:
            self._painters[device] = find_method(self.method).open_painter(self.folder, self.network, device)
        return self._painters[device]


def _as_uint16(images: NDArray[Any]) -> NDArray[np.uint16]:
    if images.dtype == np.uint16:
        return images
    if not np.issubdtype(images.dtype, np.floating):
        raise MammofillError(
            f"infill needs images of type uint16 over 0..65535, or float in [0, 1], but got {images.dtype}."
        )
    for number, image in enumerate(images):
        if not np.isfinite(image).all():
            raise MammofillError(f"Image {number} holds NaN or infinite values. Replace them.")
        least, most = float(image.min()), float(image.max())
        if least < 0 or most > 1:
            raise MammofillError(
                f"Image {number} holds values from {least:.6g} to {most:.6g}, outside [0, 1]. Divide by the largest "
                "value that a pixel can have, 65535 for 16 bits, or pass uint16."
            )
    return to_uint16(images)


_NEEDED = {"size_px": int, "feather_px": int, "classes_learned": dict}


def _read_network(path: Path) -> dict[str, Any]:
    again = "Train the infiller again, or use the version of mammofill that made it."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedError(f"{path} cannot be read ({error}). {again}") from error
    if not isinstance(content, dict):
        raise DamagedError(f"{path} holds no JSON object. {again}")
    for name, kind in _NEEDED.items():
        if not isinstance(content.get(name), kind):
            raise DamagedError(f"{path} has no entry {name} of type {kind.__name__}. {again}")
    # Infillers made before there were other methods, conditions and holes lack these entries.
    network: dict[str, Any] = {"method": "gan", "conditions": ["pathology"], "hole": {"rule": "mask"}} | content
    if network["method"] not in methods():
        known = ", ".join(methods())
        raise DamagedError(f"{path} names the method {network['method']!r}; this version knows {known}. {again}")
    try:
        HoleSettings(**network["hole"])
    except (TypeError, SettingsError) as error:
        raise DamagedError(f"{path} describes no hole that this version knows ({error}). {again}") from error
    unknown = set(network["conditions"]) - set(FACTS)
    if unknown:
        raise DamagedError(f"{path} names conditions that this version does not know: {', '.join(unknown)}. {again}")
    return network
