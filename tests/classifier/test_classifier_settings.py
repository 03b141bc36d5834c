from __future__ import annotations

import subprocess
import sys

import pytest

from mammofill.classifier import AugmentationSettings, TrainClassifierSettings
from mammofill.ground.errors import SettingsError


def test_defaults_are_the_papers() -> None:
    settings = TrainClassifierSettings()
    assert (settings.network, settings.weights, settings.input_px) == ("resnet50", "imagenet", 224)
    assert (settings.epochs, settings.batch, settings.learning_rate) == (50, 32, 1e-5)
    assert (settings.betas, settings.eps) == ((0.9, 0.999), 1e-8)
    assert (settings.decay, settings.decay_every_epochs) == (0.9, 30)
    assert not settings.augmentation.active


def test_traditional_spells_out_the_papers_augmentation() -> None:
    resolved = AugmentationSettings(traditional=True).resolved()
    assert (resolved.flip, resolved.rotation_degrees, resolved.zoom) == (True, 30.0, (0.75, 1.25))
    assert AugmentationSettings(traditional=True).active
    assert AugmentationSettings(flip=True).active


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"network": "shallow-cnn"}, "shallow CNN has no pretrained weights: ask for weights none by name"),
        ({"network": "squeezenet1_1", "weights": "imagenet-to-layer2"}, "for resnet50 only"),
        ({"weights": "none", "weights_file": "x.pth"}, "weights_file would be ignored"),
        ({"network": "vgg"}, "network must be one of shallow-cnn, .*discriminator, or timm/ and .*, but is 'vgg'"),
        ({"weights": "random"}, "weights must be one of"),
        ({"input_px": 16}, "input_px must be at least 32, or 0, but is 16"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"images": 0}, "images must be at least 1"),
        ({"batch": 1}, "batch must be at least 2"),
        ({"learning_rate": 0.0}, "learning_rate must be in"),
        ({"betas": (0.9, 1.0)}, "betas must be both in"),
        ({"decay": 1.5}, "decay must be in"),
        ({"keep": "first"}, "keep must be last or best"),
        ({"threshold_rule": "guess"}, "threshold_rule must be one of"),
        ({"memory_gb": -1.0}, "memory_gb must be at least 0"),
    ],
)
def test_nonsense_is_refused_in_words(values: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        TrainClassifierSettings(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rotation_degrees": -1.0}, "rotation_degrees must be in"),
        ({"zoom": (1.2, 0.8)}, "zoom must be two factors"),
        ({"zoom": (0.0, 1.0)}, "zoom must be two factors"),
        ({"traditional": True, "rotation_degrees": 10.0}, "already says flip, rotation_degrees and zoom"),
    ],
)
def test_augmentation_nonsense_is_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        AugmentationSettings(**values)  # type: ignore[arg-type]


def test_settings_stage_and_artifact_come_without_torch() -> None:
    code = (
        "import sys, mammofill.classifier as room\n"
        "room.TrainClassifierSettings, room.Classifier, room.train_classifier\n"
        "print('torch' in sys.modules, 'sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
