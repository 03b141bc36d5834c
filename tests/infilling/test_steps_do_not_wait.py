"""In a training step nobody looks at a number on the device, but every sixteenth time: to look is to wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from toy_flow import tiny_flow
from toy_infilling import SIZE_PX, tiny, toy_patch

from mammofill.classifier import TrainClassifierSettings
from mammofill.classifier.start import Start
from mammofill.classifier.training_step import LOSS, TrainingStep
from mammofill.ground.training.distributed import training_processes
from mammofill.ground.training.history import LOOK_EVERY_STEPS, UnseenLosses
from mammofill.infilling.flow import training_loop as flow
from mammofill.infilling.gan import training_loop as gan
from mammofill.infilling.gan.batches import batch_at
from mammofill.infilling.gan.features import PixelFeatures
from mammofill.infilling.lesions import Lesions

LONG = 10**6
QUIET = {"preview_every_images": LONG, "history_every_images": LONG, "checkpoint_every_images": LONG}


class Looks(TorchDispatchMode):
    """Counts how often a number is taken from a tensor to the host."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), more: Any = None) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*arguments, **(more or {}))


@contextmanager
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Looks]:
    # How many steps it took, Adam keeps on the host, and looks it up there.
    monkeypatch.setattr(torch.optim.Adam, "step", lambda _: None)
    counted = Looks()
    tolist = torch.Tensor.tolist

    def counted_tolist(tensor: torch.Tensor) -> Any:
        counted.count += 1
        return tolist(tensor)

    monkeypatch.setattr(torch.Tensor, "tolist", counted_tolist)
    with counted:
        yield counted


def lesions() -> Lesions:
    words = tuple(("benign", "malignant")[number % 2] for number in range(8))
    images, masks = zip(*(toy_patch(f"lesion-{number}", word) for number, word in enumerate(words)), strict=True)
    return Lesions(np.stack(images), np.stack(masks), words)


def check(step: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    with looks(monkeypatch) as looked:
        for _ in range(LOOK_EVERY_STEPS - 1):
            step()
        assert looked.count == 0
        step()
        assert looked.count == 1


def test_steps_of_the_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tiny_flow(schedule=replace(tiny_flow().schedule, images=LONG),
                         validation=replace(tiny_flow().validation, every_images=LONG), **QUIET)  # fmt: skip
    with training_processes("cpu", 1, "float32", check) as fabric:
        training = flow.Training(fabric, flow.FlowData(tmp_path, lesions(), None, settings, 0))
        batch = training.windows.batch_at(0)
        check(lambda: training.step(batch), monkeypatch)
        assert len(training.losses) == LOOK_EVERY_STEPS
        assert training.note == f"loss {training.losses[-1]:.3f}"


def test_steps_of_the_gan_that_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = replace(tiny().schedule, pretrain_epochs=None, adversarial_epochs=None, pretrain_images=8,
                       adversarial_images=LONG)  # fmt: skip
    watched = replace(tiny().validation, every_images=LONG)
    settings = tiny(schedule=schedule, validation=watched, **QUIET)
    with training_processes("cpu", 1, "float32", check) as fabric:
        training = gan.Training(fabric, gan.GanData(tmp_path, lesions(), None, PixelFeatures(), settings, 0))
        batch = batch_at(lesions(), 0, settings, 0)
        check(lambda: training.step(batch), monkeypatch)
        assert {name.partition(".")[0] for name in training.sums} == {"pretraining", "discriminator", "generator"}
        assert "generator.adversarial" in training.note or "discriminator.adversarial" in training.note


def test_a_turn_that_waits_for_its_threshold_has_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = replace(tiny().schedule, pretrain_epochs=None, adversarial_epochs=None, pretrain_images=0,
                       adversarial_images=LONG, most_steps_per_turn=1000, threshold=1e-9)  # fmt: skip
    settings = tiny(schedule=schedule, validation=replace(tiny().validation, every_images=LONG), **QUIET)
    with training_processes("cpu", 1, "float32", check) as fabric:
        training = gan.Training(fabric, gan.GanData(tmp_path, lesions(), None, PixelFeatures(), settings, 0))
        batch = batch_at(lesions(), 0, settings, 0)
        with looks(monkeypatch) as looked:
            training.step(batch)
        assert looked.count == 1


def test_steps_of_a_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TrainClassifierSettings(network="shallow-cnn", weights="none", input_px=SIZE_PX, batch=4)
    images, targets, losses = lesions().images[:4], torch.tensor([0, 1, 0, 1]), UnseenLosses()
    with training_processes("cpu", 1, "float32", check) as fabric:
        training = TrainingStep(fabric, Start("random start", None, {}), settings, 0)

        def step() -> None:
            losses.add(0, [LOSS], training.step(images, targets, 0, LONG, LONG))
            if losses.due:
                losses.look()

        check(step, monkeypatch)
