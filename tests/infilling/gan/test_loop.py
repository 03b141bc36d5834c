from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_train import Listening
from toy_infilling import World, make_pairs, make_patches, patch_row, rows_of, tiny

from mammofill.ground.errors import DeviceError, SettingsError, TrainingError
from mammofill.ground.training.distributed import check_processes
from mammofill.ground.training.early_stopping import EarlyStopping
from mammofill.ground.training.settings import ValidationSettings
from mammofill.infilling import GanSettings, Infiller, preset, train_infiller
from mammofill.infilling.gan.features import LaplacianFeatures
from mammofill.infilling.gan.settings import DiscriminatorSettings, GeneratorSettings, LossSettings
from mammofill.infilling.gan.training_loop import check_not_collapsed
from mammofill.infilling.gan.validation import describe, kernel_distance
from mammofill.infilling.settings import EngineSettings


def small(name: str, **changes: Any) -> GanSettings:
    """A preset on networks as small as can be, for a handful of steps."""
    full, toy = preset(name), tiny()
    length = {"pretrain_epochs": 0.5, "adversarial_epochs": 1.5, "pretrain_images": None, "adversarial_images": None}
    schedule = replace(full.schedule, **length, batch=4, ema_half_life_images=8)
    return replace(
        full,
        generator=replace(full.generator, widths=(8, 8, 8, 8)),
        discriminator=replace(full.discriminator, widths=(4, 8, 8)),
        perceptual=toy.perceptual,
        schedule=replace(schedule, most_steps_per_turn=1),
        previews=2,
        preview_every_images=16,
        history_every_images=8,
        checkpoint_every_images=8,
        **changes,
    )


def weights(infiller: Infiller) -> np.ndarray:
    generator = infiller._painter("cpu").generator
    return np.concatenate([parameter.numpy().ravel() for parameter in generator.parameters()])


@pytest.mark.parametrize("name", ["modern", "authors"])
@pytest.mark.parametrize("stop_after", [12, 24])
def test_every_preset_trains_and_goes_on_where_it_stopped(
    world: World, tmp_path: Path, name: str, stop_after: int
) -> None:
    settings = small(name)
    whole = train_infiller(world.patches, world.pairs, tmp_path / "whole", settings, seed=1)
    with pytest.raises(KeyboardInterrupt):
        train_infiller(world.patches, world.pairs, tmp_path / "cut", settings, seed=1, progress=Listening(stop_after))
    again = train_infiller(world.patches, world.pairs, tmp_path / "cut", settings, seed=1)
    assert again.fingerprint == whole.fingerprint
    expected = {"discriminator.adversarial", "generator.adversarial", "fills.contrast"}
    if name == "modern":
        expected |= {"generator.features", "generator.variety", "generator.class", "fills.variety"}
    assert expected <= set(whole.history)


@pytest.mark.parametrize("pretrain_images", [8, 12])
def test_a_slope_is_taken_every_so_many_steps_of_the_discriminator(
    pretrain_images: int, world: World, tmp_path: Path
) -> None:
    """Steps of pre-training and of the generator are none of these: after odd ones there was no slope at all."""
    settings = small("modern")
    losses = replace(settings.losses, gradient_penalty_weight=1.0, gradient_penalty_every=2)
    schedule = replace(settings.schedule, pretrain_epochs=None, pretrain_images=pretrain_images)
    settings = replace(settings, losses=losses, schedule=schedule, history_every_images=settings.schedule.batch)
    infiller = train_infiller(world.patches, world.pairs, tmp_path / "r1", settings)
    of_discriminator = infiller.history["discriminator.adversarial"].notna()
    slope = infiller.history.loc[of_discriminator, "discriminator.slope"]
    assert (slope.iloc[::2] > 0).all()
    assert slope.iloc[1::2].isna().all()


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_batch_in_parts_makes_what_the_whole_batch_makes(world: World, tmp_path: Path, at_once: int) -> None:
    whole = train_infiller(world.patches, world.pairs, tmp_path / "whole", tiny())
    engine = EngineSettings(at_once=at_once)
    parts = train_infiller(world.patches, world.pairs, tmp_path / "parts", tiny(engine=engine))
    assert weights(parts) == pytest.approx(weights(whole), abs=2e-4)
    assert np.abs(weights(whole)).max() > 0.1


@pytest.mark.parametrize("name", ["tiny", "modern"])
def test_two_processes_make_what_one_makes(world: World, tmp_path: Path, name: str) -> None:
    settings = tiny() if name == "tiny" else small("modern")
    one = train_infiller(world.patches, world.pairs, tmp_path / "one", settings, seed=3)
    two = replace(settings, engine=EngineSettings(processes=2))
    both = train_infiller(world.patches, world.pairs, tmp_path / "two", two, seed=3)
    # How many processes worked on it is no part of what was asked for: a stopped training goes on with more or fewer.
    assert train_infiller(world.patches, world.pairs, tmp_path / "two", settings, seed=3).fingerprint
    assert weights(both) == pytest.approx(weights(one), abs=2e-4)
    assert list(both.history) == list(one.history)
    assert both.history.to_numpy() == pytest.approx(one.history.to_numpy(), rel=1e-3, nan_ok=True)


def test_processes_that_cannot_share_a_batch_evenly() -> None:
    with pytest.raises(SettingsError, match="engine must be of processes that share a batch of 4 evenly"):
        tiny(engine=EngineSettings(processes=3))


def test_precisions_that_a_cpu_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match="Precision tf32 exists only on CUDA devices"):
        check_processes("cpu", 1, "tf32")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    with pytest.raises(DeviceError, match="'cpu' has no instructions for it"):
        check_processes("cpu", 1, "bf16")


def watched(tmp_path: Path, **validation: Any) -> Infiller:
    rows = rows_of() + [patch_row(number, "benign", "validation") for number in range(8)]
    patches = make_patches(tmp_path / "patches", rows)
    settings = tiny(validation=ValidationSettings(every_images=8, patches=8, **validation))
    return train_infiller(patches, make_pairs(tmp_path / "pairs", patches), tmp_path / "out", settings)


@pytest.mark.parametrize("measure", ["perceptual", "kernel-distance"])
def test_the_best_generator_by_a_measure_is_kept(tmp_path: Path, measure: str) -> None:
    infiller = watched(tmp_path, measure=measure, keep="best")
    taken = infiller.history[f"validation.{measure}"].dropna()
    assert len(taken) == 4
    assert taken.nunique() > 1
    ways = infiller.manifest.learned_patients()["validation-patient-benign-0"]
    assert ways == ["train-infiller (validation: choice of weights)"], "nobody judges it on whom it was chosen"


def test_patience_ends_a_training_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([3.0, 2.0, 4.0, 5.0, 1.0])
    monkeypatch.setattr("mammofill.infilling.gan.validation.Validation.measure", lambda *_: next(values))
    infiller = watched(tmp_path, measure="perceptual", keep="best", patience=2)
    assert infiller.history["validation.perceptual"].dropna().tolist() == [3.0, 2.0, 4.0, 5.0]
    assert infiller.manifest.counts["images_seen"] == 48


def test_the_best_is_remembered_over_a_stop() -> None:
    network = torch.nn.Linear(1, 1)
    best = EarlyStopping("best", 2)
    best.update(2.0, 8, network)
    again = EarlyStopping("best", 2)
    again.load_state(best.state())
    again.update(3.0, 16, network)
    assert not again.is_over()
    again.update(2.0, 24, network)
    assert again.is_over()
    assert again.images_seen == 8


def test_the_kernel_distance_tells_distributions_apart() -> None:
    random = np.random.default_rng(0)
    real, like, unlike = (random.normal(mean, 1, (400, 5)) for mean in (0, 0, 0.5))
    assert abs(kernel_distance(real, like)) < 0.05
    assert kernel_distance(real, unlike) > 0.3


def test_a_description_looks_inside_the_mask_only() -> None:
    images, mask = torch.rand(2, 1, 32, 32), torch.zeros(2, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    changed = images.clone()
    changed[..., :2, :2] = 0
    features = LaplacianFeatures(2)
    one, other = (describe(features, pictures, mask) for pictures in (images, changed))
    assert one.shape == (2, 4)
    assert one == pytest.approx(other, abs=1e-6)


def rows_with(**values: float) -> list[dict[str, float]]:
    healthy = {"fills.contrast": 0.8, "discriminator.adversarial": 0.6}
    return [{"images_seen": 100 * number, **healthy, **values} for number in range(1, 7)]


def test_a_collapse_stops_the_training_and_says_what_to_try() -> None:
    check_not_collapsed(rows_with(), 0)
    with pytest.raises(TrainingError, match=r"became flat: from 300 to 600 images .* The last checkpoint is kept"):
        check_not_collapsed(rows_with(**{"fills.contrast": 0.01}), 0)
    with pytest.raises(TrainingError, match=r"discriminator made no mistake from 300 to 600 images"):
        check_not_collapsed(rows_with(**{"discriminator.adversarial": 1e-5}), 0)
    # In the pre-training, and in the first rows after it, it is too early to say.
    check_not_collapsed(rows_with(**{"fills.contrast": 0.01}), 300)


def test_losses_and_previews_for_tensorboard(world: World, tmp_path: Path) -> None:
    board = tmp_path / "board"
    plain = train_infiller(world.patches, world.pairs, tmp_path / "plain", tiny())
    shown = train_infiller(world.patches, world.pairs, tmp_path / "shown", tiny(tensorboard=str(board)))
    assert shown.fingerprint == plain.fingerprint
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(board)).Reload()
    assert len(events.Scalars("generator/perceptual")) == shown.history["generator.perceptual"].count()
    assert len(events.Images("fills")) == len(shown.previews)


def test_tensorboard_that_is_not_installed(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mammofill.ground.training.tensorboard.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"tensorboard needs its package: pip install"):
        train_infiller(world.patches, world.pairs, tmp_path / "out", tiny(tensorboard=str(tmp_path / "board")))
    assert not (tmp_path / "out.partial").exists()


def test_a_second_fact_is_asked_for_and_sometimes_hidden(world: World, tmp_path: Path) -> None:
    settings = tiny(conditions=("pathology", "abnormality"), hidden_share=0.5)
    infiller = train_infiller(world.patches, world.pairs, tmp_path / "facts", settings)
    assert infiller.network["conditions"] == ["pathology", "abnormality"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (lambda: GeneratorSettings(head="residual"), "head must be residual only with stack filled"),
        (lambda: DiscriminatorSettings(conditioning="planes"), "class_head must be false with conditioning by planes"),
        (lambda: DiscriminatorSettings(augment=("flip",)), "augment must be some of turn, translation, brightness"),
        (lambda: LossSettings(variety_weight=1.0), "variety_weight must be 0 unless losses are summed"),
        (lambda: ValidationSettings(keep="best"), "keep must be last when nothing is measured"),
        (lambda: tiny(conditions=("density",)), "conditions must be pathology first"),
    ],
)
def test_settings_that_do_not_fit_together(settings: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        settings()
