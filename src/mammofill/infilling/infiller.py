"""Infiller: a trained generator that fills masks with lesions of the class asked for.

On disk::

    weights.safetensors          the generator
    discriminator.safetensors    the discriminator, whose trunk and class head can serve as features
    network.json                 how both are built, patch size, soft edge, classes learned, perceptual features
    history.jsonl                one row of mean losses every so many images
    previews/NNNNNNNN.png        fills after that many images: real, mask, context, filled benign, filled malignant
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.artifact import Artifact
from mammofill.ground.errors import DamagedError, MammofillError
from mammofill.infilling.settings import CLASSES, GeneratorSettings

if TYPE_CHECKING:
    from pathlib import Path

    from mammofill.infilling.generator import Generator

NETWORK_NAME = "network.json"


class Infiller(Artifact):
    """A generator with its weights. See the module for the folder."""

    kind: ClassVar[str] = "infiller"

    @cached_property
    def network(self) -> dict[str, Any]:
        """What `network.json` says."""
        path = self.folder / NETWORK_NAME
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DamagedError(f"{path} cannot be read ({error}). Train the infiller again.") from error
        return content

    @property
    def size_px(self) -> int:
        """Side of the patches it fills."""
        return int(self.network["size_px"])

    @property
    def feather_px(self) -> int:
        """A fill fades out over so many pixels outside its mask."""
        return int(self.network["feather_px"])

    @property
    def classes_learned(self) -> dict[str, int]:
        """Number of lesion patches of each class that it learned from."""
        return {name: int(count) for name, count in self.network["classes_learned"].items()}

    @cached_property
    def history(self) -> pd.DataFrame:
        """Mean losses over the training, one row per stretch; `images_seen` says where."""
        return pd.read_json(self.folder / "history.jsonl", lines=True)

    @property
    def previews(self) -> list[Path]:
        """Preview pictures in the order of training."""
        return sorted((self.folder / "previews").glob("*.png"))

    def infill(
        self,
        images: NDArray[np.uint16],
        masks: NDArray[np.bool_],
        pathologies: Sequence[str],
        seeds: Sequence[int],
        *,
        device: str = "cpu",
        raw: bool = False,
    ) -> NDArray[np.uint16]:
        """Fill the masks of some patches with lesions.

        Args:
            images: (N, H, W) uint16 over 0..65535, bright = dense.
            masks: (N, H, W) bool, True = to be filled; none may be empty.
            pathologies: N words, ``benign`` or ``malignant``.
            seeds: N integers. Each picture depends on its own inputs and seed only, not on its company.
            device: where the generator runs.
            raw: return the generator's whole picture instead of the fill laid over the patch.

        Returns:
            (N, H, W) uint16. Unless `raw`, pixels beyond the soft edge around the mask are the input's, bit for bit.

        Raises:
            MammofillError: an array of another size or type, an empty mask, an unknown pathology; it says which.
            DeviceError: the device is not there.
        """
        self._check(images, masks, pathologies, seeds)
        from mammofill.infilling.paint import paint

        generator = self._generator(device)
        return paint(generator, images, masks, pathologies, seeds, None if raw else self.feather_px)

    def _check(
        self, images: NDArray[Any], masks: NDArray[Any], pathologies: Sequence[str], seeds: Sequence[int]
    ) -> None:
        if not len(images) == len(masks) == len(pathologies) == len(seeds):
            raise MammofillError(
                f"infill needs as many masks, pathologies and seeds as images, but got {len(images)} images, "
                f"{len(masks)} masks, {len(pathologies)} pathologies and {len(seeds)} seeds."
            )
        size = (self.size_px, self.size_px)
        for name, array, dtype in (("images", images, np.uint16), ("masks", masks, np.bool_)):
            if array.dtype != dtype:
                raise MammofillError(f"infill needs {name} of type {np.dtype(dtype)}, but got {array.dtype}.")
            if array.shape[1:] != size:
                raise MammofillError(
                    f"{self.folder} fills patches of {size[0]}x{size[1]} px, but got {name} of shape {array.shape}. "
                    f"Use patches of the infiller's size, or train an infiller for this size."
                )
        for number, (mask, pathology) in enumerate(zip(masks, pathologies, strict=True)):
            if not mask.any():
                raise MammofillError(f"The mask of image {number} is empty: there is nothing to fill. Leave it out.")
            if pathology not in CLASSES:
                raise MammofillError(
                    f"Image {number} asks for the pathology {pathology!r}. An infiller paints {' or '.join(CLASSES)}."
                )

    @cached_property
    def _generators(self) -> dict[str, Generator]:
        return {}

    def _generator(self, device: str) -> Generator:
        from mammofill.ground.training import WEIGHTS_NAME, find_device, load_weights
        from mammofill.infilling.generator import Generator

        place = find_device(device)
        if device not in self._generators:
            settings = self.network["generator"] | {"widths": tuple(self.network["generator"]["widths"])}
            generator = Generator(self.size_px, GeneratorSettings(**settings))
            load_weights(self.folder / WEIGHTS_NAME, generator)
            self._generators[device] = generator.to(place).eval().requires_grad_(False)
        return self._generators[device]
