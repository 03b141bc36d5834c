"""A discriminator's backbone as a classifier: the same numbers, the same guard against leaks, across collections."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_classifier_train import QUICK, lesions
from toy_classifier import SIZE_PX

from mammofill.classifier import train_classifier
from mammofill.classifier.networks import build_network
from mammofill.classifier.start import read_start
from mammofill.evaluation import EvaluateSettings, evaluate
from mammofill.experiment.stages import stage_named
from mammofill.ground.artifact import LearnedFrom, begin, plain
from mammofill.ground.backbone import DISCRIMINATOR_NAME, Backbone, read_backbone
from mammofill.ground.errors import ArtifactError, DamagedError, LeakError, SettingsError
from mammofill.ground.training.checkpoint import save_weights
from mammofill.infilling import Infiller
from mammofill.infilling.gan.discriminator import Discriminator
from mammofill.infilling.gan.settings import DiscriminatorSettings
from mammofill.patches.patch_set import PatchSet

if TYPE_CHECKING:
    from mammofill.experiment import StudyRun

WIDTHS = (6, 8, 10)
FROM_INFILLER = replace(QUICK, network="discriminator", weights="infiller", epochs=2)


@dataclass(frozen=True)
class _Toy:
    what: str = "a discriminator"


def make_infiller(out: Path, patients: tuple[str, ...] = (), **values: Any) -> Infiller:
    """An infiller of which only the discriminator is looked at, with biases that are not 0."""
    settings = DiscriminatorSettings(**({"widths": WIDTHS} | values))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        discriminator = Discriminator(SIZE_PX, settings)
        for name, one in discriminator.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(one, std=0.1)
        discriminator(torch.rand(2, 1, 48, 48), torch.ones(2, 1, 48, 48), torch.eye(2))  # spectral norm takes a step
    network = {"method": "gan", "size_px": SIZE_PX, "feather_px": 2, "conditions": ["pathology"],
               "classes_learned": {"benign": 1, "malignant": 1}, "discriminator": plain(settings)}  # fmt: skip
    with begin(out, kind=Infiller.kind, stage="toy", settings=_Toy(), seed=0, inputs={}) as work:
        assert work is not None
        (work.folder / "network.json").write_text(json.dumps(network))
        save_weights(work.folder / DISCRIMINATOR_NAME, discriminator)
        work.finish({"lesions": 2}, [LearnedFrom("train-infiller", patients)] if patients else [])
    return Infiller.open(out)


@pytest.fixture
def infiller(tmp_path: Path) -> Callable[..., Infiller]:
    return lambda **values: make_infiller(tmp_path / "infiller", **values)


@pytest.mark.parametrize("spectral_norm", [False, True])
@pytest.mark.parametrize("sees_mask", [False, True])
def test_the_backbone_sees_what_the_discriminator_sees_without_a_mask(
    infiller: Callable[..., Infiller], spectral_norm: bool, sees_mask: bool
) -> None:
    made = infiller(spectral_norm=spectral_norm, sees_mask=sees_mask)
    settings = DiscriminatorSettings(widths=WIDTHS, spectral_norm=spectral_norm, sees_mask=sees_mask)
    discriminator = Discriminator(SIZE_PX, settings)
    discriminator.load_state_dict(load_file(made.folder / DISCRIMINATOR_NAME))
    images = torch.rand(3, 1, SIZE_PX, SIZE_PX)
    found = read_backbone(made.folder)
    backbone = Backbone(1, found.widths)
    backbone.load_state_dict(found.tensors)
    with torch.no_grad():
        expected = discriminator.eval()(images, torch.zeros_like(images), torch.eye(2)[[0, 1, 0]]).layers
        layers = backbone(images)
    assert found.widths == WIDTHS
    for one, other in zip(layers, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_fine_tuned_and_as_a_linear_probe(real: PatchSet, infiller: Callable[..., Infiller], tmp_path: Path) -> None:
    made = infiller(patients=("train-0",), sees_mask=True, spectral_norm=True)
    tuned = train_classifier([real], tmp_path / "tuned", FROM_INFILLER, infiller=made)
    probe = train_classifier([real], tmp_path / "probe", replace(FROM_INFILLER, unfreeze="never"), infiller=made)
    given = {f"backbone.{name}": one for name, one in read_backbone(made.folder).tensors.items()}
    found = {one: load_file(one.folder / "weights.safetensors") for one in (tuned, probe)}
    assert all(torch.equal(found[probe][name], one) for name, one in given.items())
    assert not any(torch.equal(found[tuned][name], one) for name, one in given.items())
    assert tuned.label == f"Discriminator, infiller {made.fingerprint[:8]}"
    assert tuned.facts["widths"] == list(WIDTHS)
    assert [one.role for one in tuned.manifest.inputs] == ["patches", "infiller"]
    images, _ = lesions(real, "test")
    for one in (tuned, probe):
        assert np.isfinite(one.logits(images)).all()
        assert one.attention(images).shape == images.shape
        assert "train-infiller" in one.manifest.learned_patients()["train-0"]


def test_a_random_start_of_the_same_shape_is_the_control(
    real: PatchSet, infiller: Callable[..., Infiller], tmp_path: Path
) -> None:
    made = infiller()
    control = train_classifier([real], tmp_path / "c", replace(FROM_INFILLER, weights="none"), infiller=made)
    assert control.facts["widths"] == list(WIDTHS)
    assert control.label == "Discriminator, random start"
    head = build_network("discriminator", 32, 0, WIDTHS).state_dict()["head.weight"]
    started = read_start(FROM_INFILLER, None, made)
    pretrained = build_network("discriminator", 32, 0, started.widths)
    started.put_into(pretrained)
    assert torch.equal(pretrained.state_dict()["head.weight"], head)  # both share the random part


def test_it_tells_bright_from_dark_with_what_it_has(
    real: PatchSet, infiller: Callable[..., Infiller], tmp_path: Path
) -> None:
    trained = train_classifier(
        [real], tmp_path / "c", replace(FROM_INFILLER, epochs=20, learning_rate=3e-3), infiller=infiller()
    )
    assert trained.history["validation_auc"].iloc[-1] > 0.9


# ---- leaks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patient", ["test-0", "validation-1"])
def test_an_infiller_that_saw_other_splits_is_refused(
    real: PatchSet, infiller: Callable[..., Infiller], tmp_path: Path, patient: str
) -> None:
    words = rf"what the network starts from learned from patient {patient} \(through train-infiller\)"
    with pytest.raises(LeakError, match=words):
        train_classifier([real], tmp_path / "c", FROM_INFILLER, infiller=infiller(patients=(patient,)))


def test_an_infiller_of_another_collection_serves_and_its_patients_cannot_test(
    real: PatchSet, patch_set: Callable[..., PatchSet], infiller: Callable[..., Infiller], tmp_path: Path
) -> None:
    made = infiller(patients=("elsewhere-1", "elsewhere-2"))
    trained = train_classifier([real], tmp_path / "c", FROM_INFILLER, infiller=made)
    rows = [row for row in real.table.to_dict("records") if row["split"] == "test"]
    elsewhere = patch_set(
        [{**row, "patient_id": f"elsewhere-{number}"} for number, row in enumerate(rows)], "elsewhere"
    )
    with pytest.raises(LeakError, match="elsewhere-1: through train-infiller"):
        evaluate(trained, elsewhere, tmp_path / "e", EvaluateSettings(resamples=100))
    evaluated = evaluate(trained, real, tmp_path / "fine", EvaluateSettings(resamples=100))
    assert evaluated.manifest.learned_patients()["elsewhere-1"] == ["train-infiller"]


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_an_infiller_too_few_or_too_many(real: PatchSet, infiller: Callable[..., Infiller], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="weights is infiller, but no infiller is given"):
        train_classifier([real], tmp_path / "c", FROM_INFILLER)
    with pytest.raises(SettingsError, match="the network shallow-cnn has no use for it"):
        train_classifier([real], tmp_path / "c", QUICK, infiller=infiller())


def test_a_backbone_that_must_be_told_the_class_is_refused(
    real: PatchSet, infiller: Callable[..., Infiller], tmp_path: Path
) -> None:
    made = infiller(conditioning="planes", class_head=False)
    with pytest.raises(ArtifactError, match="takes the class as an input of every layer"):
        train_classifier([real], tmp_path / "c", FROM_INFILLER, infiller=made)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"method": "copy-paste"}, ArtifactError, "made by copy-paste, which trains no discriminator"),
        ({"discriminator": {"widths": [6, 8]}}, DamagedError, "discriminator in .* cannot be read"),
    ],
)
def test_what_is_no_discriminator_is_refused(
    infiller: Callable[..., Infiller], change: dict[str, Any], error: type[Exception], words: str
) -> None:
    folder = infiller().folder
    path = folder / "network.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(error, match=words):
        read_backbone(folder)


# ---- as a command's row ---------------------------------------------------------------------------------------------


def test_through_the_table_of_stages_with_a_trained_infiller(corridor: StudyRun, tmp_path: Path) -> None:
    made = {step.stage.name: corridor.artifacts[step.out] for step in corridor.study.steps}
    real = next(one for step, one in ((step, corridor.artifacts[step.out]) for step in corridor.study.steps)
                if step.stage.name == "extract-patches")  # fmt: skip
    inputs = {"patches": [real], "infiller": made["train-infiller"]}
    settings = replace(FROM_INFILLER, unfreeze="never", epochs=1)
    trained = stage_named("train-classifier")(inputs, tmp_path / "c", settings, seed=0)
    assert trained.facts["widths"] == [4, 8]  # type: ignore[attr-defined]
    assert set(made["train-infiller"].manifest.learned_patients()) <= set(trained.manifest.learned_patients())
    stage_named("evaluate")({"classifier": trained, "patches": real}, tmp_path / "e", EvaluateSettings(resamples=100))
