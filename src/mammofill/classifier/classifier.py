"""Classifier: trained weights with all that is needed to score a patch.

On disk::

    weights.safetensors   the tensors; of torchvision's networks under torchvision's names
    network.json          network, input size, what it started from, threshold and how it was chosen; where it is so,
                          that scores are means over both flips or the four quarter turns, that patches lose their
                          level and contrast, the widths of a discriminator's backbone, and the outcome of a trial of
                          synthetic patches; of timm's networks, and where settings gave others, mean and sd by which
                          gray is shifted and scaled
    history.csv           one row per validation: images_seen, epoch, loss, validation_loss, validation_auc
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mammofill.ground.artifact import Artifact
from mammofill.ground.counting import counted
from mammofill.ground.errors import DamagedError, WeightsError
from mammofill.ground.imaging import to_uint16

if TYPE_CHECKING:
    from torch import nn

    from mammofill.classifier.batches import Colours

NETWORK_NAME = "network.json"


def load_network(folder: Path, facts: Mapping[str, Any]) -> nn.Module:
    """Return a network with the weights in a folder, on the CPU, in evaluation mode; nothing is downloaded.

    Args:
        folder: holds the weights.
        facts: what its ``network.json`` says.

    Raises:
        WeightsError: the weights are missing, of another network, or hold NaN or infinity.
    """
    from mammofill.classifier.networks import build_network
    from mammofill.ground.training.checkpoint import WEIGHTS_NAME, load_weights

    backbone = {"widths": facts["widths"]} if "widths" in facts else {}
    network = build_network(facts["network"], int(facts["input_px"]), seed=0, **backbone)
    load_weights(folder / WEIGHTS_NAME, network)
    return network.eval()


class Classifier(Artifact):
    """A network that scores lesion patches: ``scores(images)`` is the probability of malignancy of each, (n,) float64.

    ``threshold`` is the score from which it calls a patch malignant, frozen on validation; ``history`` records how it
    was trained. See the module for the files.
    """

    kind: ClassVar[str] = "classifier"

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What ``network.json`` says.

        Raises:
            DamagedError: it cannot be read.
        """
        path = self.folder / NETWORK_NAME
        try:
            facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DamagedError(f"{path} cannot be read ({error}). Train the classifier again.") from error
        return facts

    def headline(self) -> str:
        """Say the network, and what it learned from."""
        return f"{self.label}, {super().headline()}"

    @property
    def label(self) -> str:
        """The network and what it started from, in words, for example ``ResNet-50, random start``."""
        return str(self.facts["label"])

    @property
    def threshold(self) -> float:
        """The score in (0, 1) from which on a patch counts as malignant, frozen when the classifier was trained."""
        return float(self.facts["threshold"])

    @property
    def flips(self) -> bool:
        """Whether a score is a mean over the patch as it is and mirrored."""
        return bool(self.facts.get("test_time_flips", False))

    @property
    def turns(self) -> bool:
        """Whether a score is a mean over the patch's four quarter turns."""
        return bool(self.facts.get("test_time_turns", False))

    @property
    def standardise(self) -> bool:
        """Whether each patch loses its own level and contrast before the network sees it."""
        return bool(self.facts.get("standardise", False))

    @property
    def colours(self) -> Colours:
        """How gray values are given to the network."""
        from mammofill.classifier.networks import colours_of

        return colours_of(self.facts["network"], self.facts.get("mean"), self.facts.get("sd"))

    @property
    def input_px(self) -> int:
        """Side of the network's square input."""
        return int(self.facts["input_px"])

    @cached_property
    def history(self) -> pd.DataFrame:
        """The rows of ``history.csv``."""
        return pd.read_csv(self.folder / "history.csv")

    @cached_property
    def network(self) -> nn.Module:
        """The network with its weights, on the CPU, in evaluation mode; nothing is downloaded."""
        return load_network(self.folder, self.facts)

    def logits(self, images: NDArray[np.float32], *, device: str = "cpu", batch_size: int = 64) -> NDArray[np.float64]:
        """Score patches in log-odds.

        Args:
            images: (N, H, W) float32 in [0, 1], bright = dense; resampled to the network's input here.
            device: where the network runs.
            batch_size: patches at a time. It does not change the scores beyond rounding.

        Returns:
            (N,) float64 log-odds of malignancy; 0 is a probability of 1/2.

        Raises:
            DeviceError: the device is not there.
            WeightsError: a score is NaN or infinite, which would have some place among the others all the same.
        """
        from mammofill.classifier.examples import at_input_size
        from mammofill.classifier.scoring import log_odds
        from mammofill.ground.training.device import find_device

        found = find_device(device)
        network = self.network.to(found)
        odds = [
            log_odds(
                network,
                at_input_size(to_uint16(chunk), self.input_px),
                self.colours,
                found,
                flips=self.flips,
                turns=self.turns,
                standardise=self.standardise,
            )
            for chunk in (images[start : start + batch_size] for start in range(0, len(images), batch_size))
        ]
        scored = np.concatenate(odds) if odds else np.empty(0, np.float64)
        if lost := int((~np.isfinite(scored)).sum()):
            raise WeightsError(
                f"{self.folder}: the network gives {lost} of {counted(len(scored), 'patches')} a score of NaN or "
                "infinity. Its weights are too large: its training diverged. Train it again, more slowly."
            )
        return scored

    def scores(self, images: NDArray[np.float32], *, device: str = "cpu", batch_size: int = 64) -> NDArray[np.float64]:
        """Score patches as probabilities of malignancy, (N,) float64 in [0, 1]; see `logits`."""
        from mammofill.classifier.scoring import probability

        return probability(self.logits(images, device=device, batch_size=batch_size))

    def attention(
        self, images: NDArray[np.float32], *, device: str = "cpu", batch_size: int = 64
    ) -> NDArray[np.float32]:
        """Show where the network finds evidence for malignancy: Grad-CAM of the log-odds, see `attention.grad_cam`.

        Args:
            images: (N, H, W) float32 in [0, 1], bright = dense.
            device: where the network runs.
            batch_size: patches at a time.

        Returns:
            (N, H, W) float32 in [0, 1], each with its peak at 1, bilinear between the cells of the network's last
            feature maps (`attention_cells`); all 0 where there is no evidence for malignancy.

        Raises:
            DeviceError: the device is not there.
        """
        from mammofill.classifier.attention import at_patch_size

        maps = [
            at_patch_size(self._coarse_attention(images[start : start + batch_size], device), images.shape[1:])
            for start in range(0, len(images), batch_size)
        ]
        return np.concatenate(maps) if maps else np.empty(images.shape, np.float32)

    @cached_property
    def attention_cells(self) -> int:
        """How many cells a side of the network's last feature maps has: no map of attention is finer."""
        return int(self._coarse_attention(np.zeros((1, self.input_px, self.input_px), np.float32), "cpu").shape[-1])

    def _coarse_attention(self, images: NDArray[np.float32], device: str) -> NDArray[np.float32]:
        from mammofill.classifier.attention import grad_cam
        from mammofill.classifier.batches import network_input
        from mammofill.classifier.examples import at_input_size
        from mammofill.ground.training.device import find_device

        found, layer = find_device(device), self._maps_layer  # which is found on the CPU, so before the network moves
        inputs = network_input(at_input_size(to_uint16(images), self.input_px), self.colours, found, self.standardise)
        return grad_cam(self.network.to(found), layer, inputs)

    @cached_property
    def _maps_layer(self) -> str:
        from mammofill.classifier.attention import maps_layer

        return maps_layer(self.network.to("cpu"), self.facts["network"], self.input_px)
