"""Several processes, parts of a batch, precision: what one process makes of whole batches in float32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_classifier_train import QUICK

from mammofill.classifier import Classifier, TrainClassifierSettings, train_classifier
from mammofill.ground.errors import DeviceError, SettingsError
from mammofill.ground.training.settings import EngineSettings
from mammofill.patches.patch_set import PatchSet

ALIKE = replace(QUICK, batch=4, learning_rate=1e-3, epochs=2)


def weights(classifier: Classifier) -> dict[str, np.ndarray]:
    return {name: one.numpy() for name, one in load_file(classifier.folder / "weights.safetensors").items()}


def check_alike(one: Classifier, other: Classifier) -> None:
    expected = weights(one)
    for name, found in weights(other).items():
        assert found == pytest.approx(expected[name], abs=2e-4), name
    columns = ["images_seen", "epoch", "loss", "validation_loss"]
    assert other.history[columns].to_numpy() == pytest.approx(one.history[columns].to_numpy(), rel=2e-3)


@pytest.mark.parametrize(
    "values",
    [
        {},  # batch normalisation must look at the whole batch
        {
            "mixup": 0.3,
            "balanced": True,
            "ema_half_life_images": 8,
            "patience": 9,
            "clip_gradient": 0.5,
            "memory_gb": 0.0,
        },
    ],
    ids=["paper", "modern"],
)
def test_two_processes_make_what_one_makes(real: PatchSet, tmp_path: Path, values: dict[str, Any]) -> None:
    settings = replace(ALIKE, **values)
    one = train_classifier([real], tmp_path / "one", settings, seed=3)
    two = train_classifier([real], tmp_path / "two", replace(settings, engine=EngineSettings(processes=2)), seed=3)
    check_alike(one, two)
    # How many worked on it is no part of what was asked for.
    assert train_classifier([real], tmp_path / "two", settings, seed=3).fingerprint == two.fingerprint


def test_without_shared_statistics_they_would_differ(
    real: PatchSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tolerance above can tell: normalising each half of a batch by itself is another training."""
    one = train_classifier([real], tmp_path / "one", ALIKE)

    def halves(self: torch.nn.BatchNorm2d, inputs: torch.Tensor) -> torch.Tensor:
        parts = [forward(self, part) for part in inputs.chunk(2)] if self.training else [forward(self, inputs)]
        return torch.cat(parts)

    forward = torch.nn.BatchNorm2d.forward
    monkeypatch.setattr(torch.nn.BatchNorm2d, "forward", halves)
    other = train_classifier([real], tmp_path / "other", ALIKE)
    with pytest.raises(AssertionError):
        check_alike(one, other)


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_batch_in_parts_makes_what_the_whole_batch_makes(
    real: PatchSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(torch.nn.Dropout, "forward", lambda self, inputs: inputs)  # each part rolls dice of its own
    settings = replace(ALIKE, network="squeezenet1_1", images=8)
    whole = train_classifier([real], tmp_path / "whole", settings)
    parts = train_classifier([real], tmp_path / "parts", replace(settings, engine=EngineSettings(at_once=at_once)))
    check_alike(whole, parts)


def test_channels_last_changes_digits_only(real: PatchSet, tmp_path: Path) -> None:
    plain = train_classifier([real], tmp_path / "plain", ALIKE)
    last = train_classifier([real], tmp_path / "last", replace(ALIKE, engine=EngineSettings(channels_last=True)))
    check_alike(plain, last)


@pytest.mark.parametrize(
    ("values", "engine", "words"),
    [
        ({"batch": 5}, EngineSettings(processes=2), "engine must be of processes that share a batch of 5 evenly"),
        ({}, EngineSettings(at_once=2), "without at_once: batch normalisation of shallow-cnn needs the batch"),
    ],
)
def test_what_cannot_be_shared_is_refused(values: dict[str, Any], engine: EngineSettings, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        replace(QUICK, **values, engine=engine)


def test_a_precision_that_is_not_there_is_refused(real: PatchSet, tmp_path: Path) -> None:
    settings: TrainClassifierSettings = replace(QUICK, engine=EngineSettings(precision="tf32"))
    with pytest.raises(DeviceError, match="tf32 exists only on CUDA devices"):
        train_classifier([real], tmp_path / "c", settings)
    assert not list(tmp_path.glob("c*"))


@pytest.mark.skipif(not torch.cpu._is_avx512_bf16_supported(), reason="this CPU has no instructions for bf16")
def test_mixed_precision_learns_the_same_to_two_digits(real: PatchSet, tmp_path: Path) -> None:
    plain = train_classifier([real], tmp_path / "plain", ALIKE)
    mixed = train_classifier([real], tmp_path / "mixed", replace(ALIKE, engine=EngineSettings(precision="bf16")))
    assert mixed.history["loss"].tolist() == pytest.approx(plain.history["loss"].tolist(), abs=0.1)
    assert mixed.history["loss"].tolist() != plain.history["loss"].tolist()
    assert all(one.dtype == torch.float32 for one in load_file(mixed.folder / "weights.safetensors").values()
               if one.is_floating_point())  # fmt: skip
