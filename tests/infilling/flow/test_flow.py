from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
import torch
from test_train import Listening
from toy_flow import tiny_flow
from toy_infilling import World, make_pairs, make_patches, patch_row, rows_of, tiny, toy_patch

from mammofill.ground.errors import (
    ArtifactError,
    DamagedError,
    MammofillError,
    SettingsError,
    TooFewError,
    TrainingError,
)
from mammofill.ground.imaging import touches_border
from mammofill.ground.training.checkpoint import WEIGHTS_NAME
from mammofill.ground.training.settings import EngineSettings
from mammofill.infilling import Infiller, train_infiller
from mammofill.infilling.baselines.poisson import membrane
from mammofill.infilling.flow import batches, context
from mammofill.infilling.flow.batches import Windows
from mammofill.infilling.flow.context import context_of, residual_of, shape_of
from mammofill.infilling.flow.method import open_painter
from mammofill.infilling.flow.network import VelocityNetwork, known_velocity
from mammofill.infilling.flow.sampler import begin, follow, times_of
from mammofill.infilling.flow.settings import (
    FlowSettings,
    SamplingSettings,
    TargetSettings,
    VelocityNetworkSettings,
)
from mammofill.infilling.flow.training_loop import FlowData, Training, flow_loss
from mammofill.infilling.lesions import read_lesions
from mammofill.pairing.hole import GROWN, hole_of


@pytest.fixture(scope="module")
def flow(world: World, tmp_path_factory: pytest.TempPathFactory) -> Infiller:
    return train_infiller(world.patches, world.pairs, tmp_path_factory.mktemp("flow") / "flow", tiny_flow(), seed=1)


def cases(count: int = 5) -> tuple[np.ndarray, np.ndarray]:
    found = [toy_patch(f"case-{number}", "benign") for number in range(count)]
    return np.stack([image for image, _ in found]), np.stack([mask for _, mask in found])


# ---- context ------------------------------------------------------------------------------------------------------


def test_base_and_residual_make_the_picture_again() -> None:
    stored, mask = toy_patch("context", "malignant")
    image, hole = stored.astype(np.float32) / 65535, hole_of(mask, GROWN)
    context = context_of(image, hole, TargetSettings())
    inside = residual_of(image, context, TargetSettings().scale)
    again = context.base + np.float32(TargetSettings().scale) * (inside + context.around)
    assert again == pytest.approx(image, abs=1e-6)
    assert not context.around[hole].any()
    assert not inside[~hole].any()


def test_what_is_in_the_hole_is_not_looked_at() -> None:
    stored, mask = toy_patch("context", "malignant")
    image, hole = stored.astype(np.float32) / 65535, hole_of(mask, GROWN)
    other = np.where(hole, np.float32(0.9), image)
    for one, two in zip(
        context_of(image, hole, TargetSettings()).planes(),
        context_of(other, hole, TargetSettings()).planes(),
        strict=True,
    ):
        assert np.array_equal(one, two)


def test_grain_at_the_border_does_not_streak_into_the_base() -> None:
    random = np.random.default_rng(0)
    hole = np.zeros((48, 48), bool)
    hole[12:36, 12:36] = True
    grain = (0.5 + 0.05 * random.standard_normal((48, 48))).astype(np.float32)
    rough = context_of(grain, hole, TargetSettings(base_sigma_px=0.0)).base[hole]
    smooth = context_of(grain, hole, TargetSettings(base_sigma_px=1.5)).base[hole]
    assert smooth.std() < 0.5 * rough.std()


def test_shapes_are_told_as_asked() -> None:
    _, mask = toy_patch("shape", "malignant")
    assert not shape_of(mask, "untold").any()
    assert np.array_equal(shape_of(mask, "outline"), mask.astype(np.float32))
    ellipse = shape_of(mask, "ellipse")
    assert ellipse.sum() == pytest.approx(mask.sum(), rel=0.25)
    assert not np.array_equal(ellipse > 0.5, mask)
    with pytest.raises(ValueError, match="'circle' is none of untold, ellipse, outline"):
        shape_of(mask, "circle")


# ---- network ------------------------------------------------------------------------------------------------------


def test_a_network_that_learned_nothing_returns_what_is_known() -> None:
    target = TargetSettings(coarse_spread=(0.5, 0.0), fine_spread=0.5)
    network = VelocityNetwork(32, tiny_flow().network, ("pathology",), target)
    noisy, flat, hole = torch.randn(2, 1, 32, 32), torch.zeros(2, 1, 32, 32), torch.ones(2, 1, 32, 32)
    times = torch.tensor([0.25, 1.0])
    found = network(noisy, flat, flat, hole, flat, times, torch.zeros(2, 2), torch.zeros(2, 3))
    # t = 1: pure noise, whose velocity is itself; t = 1/4: (t - (1 - t) f^2) / ((1 - t)^2 f^2 + t^2).
    assert torch.allclose(found[1], noisy[1], atol=1e-6)
    assert torch.allclose(found[0], noisy[0] * (0.25 - 0.75 * 0.25) / (0.75**2 * 0.25 + 0.25**2), atol=1e-5)


def test_coarse_and_fine_parts_have_velocities_of_their_own() -> None:
    target = TargetSettings(coarse_spread=(6.0, 0.0), fine_spread=0.1)
    level, hole, half = torch.ones(1, 1, 32, 32), torch.ones(1, 1, 32, 32), torch.tensor([0.5])
    checks = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(16, 16)[None, None]
    # At t = 1/2 a spread of f moves by 2 (1 - f^2) / (1 + f^2): what is coarse is picture, what is fine is noise.
    assert known_velocity(level, hole, half, target).mean() == pytest.approx(2 * (1 - 36) / (1 + 36), abs=1e-4)
    inside = known_velocity(checks, hole, half, target)[0, 0, 8:24, 8:24]
    assert torch.allclose(inside, checks[0, 0, 8:24, 8:24] * 2 * (1 - 0.01) / (1 + 0.01), atol=0.02)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"halves the patch 3 times, but 36 px cannot be halved so often. Give at "):
        VelocityNetworkSettings().check_size(36)
    with pytest.raises(SettingsError, match="widths must be two or more channel numbers, each a multiple of 8"):
        VelocityNetworkSettings(widths=(12, 16))
    with pytest.raises(SettingsError, match="blocks must be as many numbers as there are widths"):
        VelocityNetworkSettings(blocks=(1, 2))


# ---- batches ------------------------------------------------------------------------------------------------------


def windows_of(world: World, **changes: object) -> Windows:
    settings = tiny_flow(**changes)
    rows = world.patches.rows(split="train", pathology=("benign", "malignant"))
    return Windows(read_lesions(world.patches, rows, settings.conditions), settings, seed=3)


@pytest.mark.parametrize("sigma_px", [0.0, 1.5])
@pytest.mark.parametrize("room", [0, 60_000])
def test_batches_are_the_same_where_there_is_no_room_for_all_windows(
    world: World, sigma_px: float, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each prepared window was kept: 26 GB for 5,000 windows of 256 px."""
    target = TargetSettings(base_sigma_px=sigma_px)
    wide = windows_of(world, target=target)
    monkeypatch.setattr(batches, "_MOST_BYTES", room)
    narrow, spans = windows_of(world, target=target), []
    monkeypatch.setattr(context, "membrane", lambda *given: (spans.append(1), membrane(*given))[1])
    for seen in (0, 8, 16, 0, 8, 16):
        one, other = wide.batch_at(seen), narrow.batch_at(seen)
        assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in vars(one))
    kept = sum(window.nbytes for window in narrow._whole.values())
    assert kept + sum(shape.nbytes for shape in narrow._shapes.values()) <= room
    assert bool(narrow._whole) == bool(room)
    assert narrow._spanned
    assert len(spans) == len(wide._whole) + len(narrow._whole) + len(narrow._spanned), "no membrane is spanned twice"


def test_a_batch_depends_on_its_place_in_the_run_alone(world: World) -> None:
    one, other = windows_of(world), windows_of(world)
    one.batch_at(0)  # another history
    first, again = one.batch_at(8), other.batch_at(8)
    assert all(torch.equal(getattr(first, name), getattr(again, name)) for name in vars(first))
    shares = [other.batch_at(8, (part, 2)) for part in range(2)]
    assert torch.equal(first.residual, torch.cat([part.residual for part in shares]))


def test_the_class_is_hidden_now_and_then_and_the_shape_told_in_three_ways(world: World) -> None:
    windows = windows_of(world)
    batches = [windows.batch_at(4 * number) for number in range(100)]
    hidden = torch.cat([batch.conditions.sum(dim=1) == 0 for batch in batches]).float().mean()
    kinds = torch.cat([batch.kinds for batch in batches]).mean(dim=0)
    assert float(hidden) == pytest.approx(0.1, abs=0.05)
    assert kinds.tolist() == pytest.approx([0.15, 0.6, 0.25], abs=0.08)


def test_only_the_hole_counts_in_the_loss(world: World) -> None:
    batch = windows_of(world).batch_at(0)
    assert not batch.weight[batch.depth == 0].any()

    def right(*_: object) -> torch.Tensor:
        return torch.where(batch.depth > 0, batch.noise - batch.residual, torch.full_like(batch.noise, 9.0))

    assert float(flow_loss(right, batch, batch.weight.sum())) == 0


# ---- stage --------------------------------------------------------------------------------------------------------


def test_it_trains_and_fills(flow: Infiller, world: World) -> None:
    images, masks = cases()
    fills = flow.infill(images, masks, ["malignant"] * 5, range(5), allow_border=True)
    changeable = flow.may_change(masks)
    assert np.array_equal(fills[~changeable], images[~changeable])
    assert (fills[changeable] != images[changeable]).mean() > 0.9
    assert flow.mask_is == "ellipse"
    assert {"loss"} <= set(flow.history)
    assert flow.history["loss"].iloc[-1] < flow.history["loss"].iloc[0]
    assert len(flow.previews) == 2


@pytest.mark.parametrize("engine", ["float32", "auto"])
def test_a_fill_is_the_same_in_any_company(world: World, tmp_path: Path, engine: Literal["float32", "auto"]) -> None:
    settings = tiny_flow(engine=EngineSettings(precision=engine))
    flow = train_infiller(world.patches, world.pairs, tmp_path / "flow", settings)
    images, masks = cases(11)
    words, seeds = ["benign", "malignant"] * 5 + ["benign"], range(20, 31)
    together = flow.infill(images, masks, words, seeds, allow_border=True)
    order = [10, 4, 2, 0]
    some = flow.infill(
        images[order], masks[order], [words[k] for k in order], [seeds[k] for k in order], allow_border=True
    )
    assert np.array_equal(some, together[order])
    other_seed = flow.infill(images[:1], masks[:1], words[:1], [99], allow_border=True)
    assert not np.array_equal(other_seed[0], together[0])


@pytest.mark.parametrize("stop_after", [12, 24])
def test_stopped_and_continued_makes_the_same_to_the_bit(
    flow: Infiller, world: World, tmp_path: Path, stop_after: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_infiller(
            world.patches, world.pairs, tmp_path / "cut", tiny_flow(), seed=1, progress=Listening(stop_after)
        )
    again = train_infiller(world.patches, world.pairs, tmp_path / "cut", tiny_flow(), seed=1)
    assert again.fingerprint == flow.fingerprint


def weights(infiller: Infiller) -> np.ndarray:
    return np.concatenate([one.numpy().ravel() for one in infiller._painter("cpu").network.parameters()])


@pytest.mark.parametrize("engine", [EngineSettings(processes=2), EngineSettings(at_once=3)])
def test_shares_and_parts_of_a_batch_make_what_the_whole_batch_makes(
    flow: Infiller, world: World, tmp_path: Path, engine: EngineSettings
) -> None:
    again = train_infiller(world.patches, world.pairs, tmp_path / "again", tiny_flow(engine=engine), seed=1)
    # Adam's first steps follow the sign of a gradient, also where it is next to nothing.
    apart = np.abs(weights(again) - weights(flow))
    assert apart.mean() < 1e-5
    assert apart.max() < 5e-3
    assert again.history["loss"].to_numpy() == pytest.approx(flow.history["loss"].to_numpy(), rel=1e-3)


def test_it_starts_from_another_and_counts_whom_that_one_learned_from(
    flow: Infiller, world: World, tmp_path: Path
) -> None:
    others = make_patches(tmp_path / "patches", [patch_row(k, name) for k in range(20, 26) for name in
                                                 ("benign", "malignant", "normal")])  # fmt: skip
    pairs = make_pairs(tmp_path / "pairs", others)
    started = train_infiller(others, pairs, tmp_path / "started", tiny_flow(), seed=1, start=flow)
    fresh = train_infiller(others, pairs, tmp_path / "fresh", tiny_flow(), seed=1)
    assert started.history["loss"].iloc[0] < fresh.history["loss"].iloc[0]
    patients = set(started.manifest.learned_patients())
    assert set(flow.manifest.learned_patients()) < patients
    assert set(fresh.manifest.learned_patients()) < patients


def test_other_sampling_of_the_same_weights(flow: Infiller, world: World, tmp_path: Path) -> None:
    settings = tiny_flow(schedule=replace(tiny_flow().schedule, images=0))
    settings = replace(settings, sampling=replace(settings.sampling, guidance=3.0))
    other = train_infiller(world.patches, world.pairs, tmp_path / "other", settings, start=flow)
    assert np.array_equal(weights(other), weights(flow))
    images, masks = cases(1)
    one, two = (each.infill(images, masks, ["benign"], [5], allow_border=True) for each in (flow, other))
    assert not np.array_equal(one, two)
    with pytest.raises(SettingsError, match="keeps the weights of another flow, but no start was given"):
        train_infiller(world.patches, world.pairs, tmp_path / "none", settings)


def test_a_start_that_knows_fewer_conditions_paints_as_before_until_it_learns_them(
    flow: Infiller, world: World, tmp_path: Path
) -> None:
    nothing = replace(tiny_flow().schedule, images=0)
    settings = tiny_flow(conditions=("pathology", "abnormality"), schedule=nothing)
    knows_more = train_infiller(world.patches, world.pairs, tmp_path / "more", settings, start=flow)
    images, masks = cases(1)
    asked = {"abnormality": ["mass"]}
    one = flow.infill(images, masks, ["malignant"], [5], allow_border=True)
    two = knows_more.infill(images, masks, ["malignant"], [5], facts=asked, allow_border=True)
    assert np.array_equal(one, two)
    learned = tiny_flow(conditions=("pathology", "abnormality"))
    further = train_infiller(world.patches, world.pairs, tmp_path / "learned", learned, start=flow)
    assert further._painter("cpu").network.conditions.weight[:, 2].any()  # masses
    words = "conditioned on pathology, abnormality, but conditions is pathology. Add abnormality; further"
    with pytest.raises(ArtifactError, match=words):
        train_infiller(world.patches, world.pairs, tmp_path / "less", tiny_flow(), start=further)


def test_a_flow_of_an_earlier_version_is_guided_as_it_was(flow: Infiller) -> None:
    parts = flow.network["flow"]
    earlier = {name: value for name, value in parts["sampling"].items() if name != "parallel_guidance"}
    assert open_painter(flow.folder, flow.network, "cpu").sampling.parallel_guidance == 0
    before = flow.network | {"flow": parts | {"sampling": earlier}}
    assert open_painter(flow.folder, before, "cpu").sampling.parallel_guidance == 1


def test_a_start_that_does_not_fit_is_refused(flow: Infiller, world: World, tmp_path: Path) -> None:
    wider = tiny_flow(network=replace(tiny_flow().network, widths=(8, 16, 16)))
    with pytest.raises(MammofillError, match=r"from which to start, has the network .*8, 8, 16.*settings require"):
        train_infiller(world.patches, world.pairs, tmp_path / "wider", wider, start=flow)
    with pytest.raises(ArtifactError, match="The method gan cannot start from another infiller"):
        train_infiller(world.patches, world.pairs, tmp_path / "gan", tiny(), start=flow)
    with pytest.raises(
        ArtifactError, match="has the method 'gan', but 'flow' is required. Start from .* the same method"
    ):
        train_infiller(world.patches, world.pairs, tmp_path / "flow", tiny_flow(), start=world.infiller)


def test_the_best_by_validation_loss_is_kept(tmp_path: Path) -> None:
    rows = [*rows_of(), *(patch_row(k, name, "validation") for k in range(3) for name in ("benign", "malignant"))]
    patches = make_patches(tmp_path / "patches", rows)
    settings = tiny_flow()
    settings = replace(settings, validation=replace(settings.validation, keep="best", patience=1))
    infiller = train_infiller(patches, make_pairs(tmp_path / "pairs", patches), tmp_path / "flow", settings)
    losses = infiller.history["validation.loss"].dropna()
    assert len(losses) >= 2
    assert losses.min() > 0
    ways = infiller.manifest.learned_patients()["validation-patient-benign-0"]
    assert ways == ["train-infiller (validation: choice of weights)"], "nobody judges it on whom it was chosen"


def test_the_validation_loss_is_of_windows_as_those_that_are_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [*rows_of(), *(patch_row(k, name, "validation") for k in range(3) for name in ("benign", "malignant"))]
    cut = np.zeros((32, 32), bool)
    cut[:8, 10:20] = True
    patches = make_patches(tmp_path / "patches", rows, {"validation-benign-0": cut, "validation-malignant-2": cut})
    seen: list[np.ndarray] = []

    def keep_what_is_seen(data: FlowData, *_: object) -> int:
        assert data.validated is not None
        seen.extend(data.validated.masks)
        raise TooFewError("enough is known")

    monkeypatch.setattr("mammofill.infilling.flow.method.run_training", keep_what_is_seen)
    with pytest.raises(TooFewError, match="enough is known"):
        train_infiller(patches, make_pairs(tmp_path / "pairs", patches), tmp_path / "flow", tiny_flow())
    assert len(seen) == 4
    assert not any(touches_border(mask) for mask in seen)


def test_validation_patients_who_choose_nothing_are_not_counted(tmp_path: Path) -> None:
    rows = [*rows_of(), *(patch_row(k, name, "validation") for k in range(3) for name in ("benign", "malignant"))]
    patches = make_patches(tmp_path / "patches", rows)
    infiller = train_infiller(patches, make_pairs(tmp_path / "pairs", patches), tmp_path / "flow", tiny_flow())
    assert len(infiller.history["validation.loss"].dropna())
    assert not [one for one in infiller.manifest.learned_patients() if one.startswith("validation")]


def test_windows_that_cut_their_lesion_off_are_left_out(tmp_path: Path) -> None:
    cut = np.zeros((32, 32), bool)
    cut[:8, 10:20] = True
    rows = rows_of(benign=10, malignant=6)
    patches = make_patches(tmp_path / "patches", rows, {"train-benign-0": cut})
    pairs = make_pairs(tmp_path / "pairs", patches)
    infiller = train_infiller(patches, pairs, tmp_path / "flow", tiny_flow())
    assert infiller.manifest.counts["windows_left_out"] == 1
    assert "train-patient-benign-0" not in infiller.manifest.learned_patients()


def test_a_class_whose_windows_are_all_cut_off_is_missed(tmp_path: Path) -> None:
    cut = np.zeros((32, 32), bool)
    cut[:8, 10:20] = True
    patches = make_patches(tmp_path / "patches", rows_of(), {f"train-malignant-{number}": cut for number in range(6)})
    pairs = make_pairs(tmp_path / "pairs", patches)
    with pytest.raises(TooFewError, match=r"No window of .* holds a whole malignant lesion, so the flow cannot learn"):
        train_infiller(patches, pairs, tmp_path / "flow", tiny_flow())


def test_who_has_no_validation_windows_cannot_choose_on_them(world: World, tmp_path: Path) -> None:
    settings = tiny_flow(validation=replace(tiny_flow().validation, keep="best"))
    with pytest.raises(TooFewError, match=r"no window in the validation split .* but validation.keep is best"):
        train_infiller(world.patches, world.pairs, tmp_path / "flow", settings)


def test_a_validation_loss_that_is_no_number_stops_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [*rows_of(), *(patch_row(k, name, "validation") for k in range(3) for name in ("benign", "malignant"))]
    patches = make_patches(tmp_path / "patches", rows)
    monkeypatch.setattr(Training, "validate", lambda self: {"validation.loss": math.nan})
    with pytest.raises(TrainingError, match=r"The loss 'validation.loss' became nan after 4 images"):
        train_infiller(patches, make_pairs(tmp_path / "pairs", patches), tmp_path / "flow", tiny_flow())


def test_too_few_windows_and_a_damaged_artifact_are_named(flow: Infiller, world: World, tmp_path: Path) -> None:
    many = tiny_flow(schedule=replace(tiny_flow().schedule, batch=64))
    with pytest.raises(TooFewError, match="has 16 lesion windows in the train split, fewer than a batch of 64"):
        train_infiller(world.patches, world.pairs, tmp_path / "few", many)
    copy = tmp_path / "copy"
    shutil.copytree(flow.folder, copy)
    network = copy / "network.json"
    network.write_text(network.read_text().replace('"steps": 4', '"steps": 1'))
    images, masks = cases(1)
    with pytest.raises(DamagedError, match="describes no flow that can be built"):
        Infiller.open(copy).infill(images, masks, ["benign"], [0], allow_border=True)
    assert (copy / WEIGHTS_NAME).is_file()


def test_conditions_beyond_the_class_are_learned_and_asked_for(tmp_path: Path) -> None:
    margins = {"benign": "CIRCUMSCRIBED", "malignant": "SPICULATED-ILL_DEFINED"}
    rows = [row | ({"attributes": f'{{"mass margins": "{margins[row["pathology"]]}"}}'} if row["pathology"] in margins
                   else {}) for row in rows_of()]  # fmt: skip
    patches = make_patches(tmp_path / "patches", rows)
    pairs = make_pairs(tmp_path / "pairs", patches)
    settings = tiny_flow(conditions=("pathology", "margin"))
    infiller = train_infiller(patches, pairs, tmp_path / "flow", settings)
    images, masks = cases(1)

    def fill(margin: str | None) -> np.ndarray:
        return infiller.infill(images, masks, ["malignant"], [3], facts={"margin": [margin]}, allow_border=True)

    assert not np.array_equal(fill("spiculated"), fill(None))
    with pytest.raises(MammofillError, match="requests the margin 'smooth'"):
        fill("smooth")


def test_facts_of_lesions_are_read_from_what_the_source_says() -> None:
    from mammofill.infilling.conditions import words_in

    table = pd.DataFrame({
        "attributes": pd.Series([
            '{"mass shape": "IRREGULAR-ARCHITECTURAL_DISTORTION", "mass margins": "ILL_DEFINED-SPICULATED"}',
            '{"assessment": "4"}', None, '{"mass shape": "ARCHITECTURAL_DISTORTION"}',
        ], dtype="string"),
    })  # fmt: skip
    assert words_in(table, "shape") == ("irregular", None, None, None)
    assert words_in(table, "margin") == ("ill-defined", None, None, None)
    assert words_in(table, "birads") == (None, "4", None, None)
    breasts = pd.DataFrame({"density": pd.Series(["2", "3.0", "d", "fatty", None], dtype="string")})
    assert words_in(breasts, "density") == ("2", "3", "4", None, None)


def test_presets_are_flows() -> None:
    from mammofill.infilling import preset

    assert isinstance(preset("flow"), FlowSettings)
    assert preset("flow").hole == GROWN


# ---- a part of the lesion that is there -----------------------------------------------------------------------------


def beginning_at(time: float, flow: Infiller, world: World, out: Path) -> Infiller:
    """The same weights, which begin to paint later."""
    settings = tiny_flow(schedule=replace(tiny_flow().schedule, images=0))
    settings = replace(settings, sampling=replace(settings.sampling, begin_time=time))
    return train_infiller(world.patches, world.pairs, out, settings, start=flow)


@pytest.mark.parametrize("time", [0.02, 0.3, 0.5, 0.9, 0.99])
def test_the_steps_that_are_left_are_as_dense_as_on_the_whole_way(time: float) -> None:
    settings = SamplingSettings(begin_time=time)
    odds = [np.log(one / (1 - one)) for one in times_of(settings)[:-1]]
    whole = [np.log(one / (1 - one)) for one in times_of(SamplingSettings())[1:-1]]
    assert times_of(settings)[0] == time
    assert times_of(settings)[-1] == 0
    longest = max(-np.diff(odds), default=0)
    assert longest <= -np.diff(whole)[0] + 1e-9
    if time > 0.1:
        assert odds[-1] == pytest.approx(settings.last_log_odds)
        assert np.diff(odds) == pytest.approx(np.diff(odds)[0]), "a tiny step would unsettle the one after it"


def test_a_flow_that_knows_the_picture_arrives_at_it_from_any_time() -> None:
    picture, noise = torch.randn(2, 1, 16, 16), torch.randn(2, 1, 16, 16)
    for solver in ("multistep", "heun"):
        settings = SamplingSettings(solver=solver, begin_time=0.5)
        start = begin(picture, noise, settings)
        assert torch.equal(start, 0.5 * picture + 0.5 * noise)
        found = follow(lambda noisy, time: (noisy - picture) / time, start, settings)
        assert torch.allclose(found, picture, atol=1e-5)
    assert begin(picture, noise, SamplingSettings()) is noise


def test_the_later_it_begins_the_nearer_a_fill_is_to_what_was_there(
    flow: Infiller, world: World, tmp_path: Path
) -> None:
    images, masks = cases()
    inside = flow.may_change(masks)
    apart = []
    for time in (0.05, 0.5, 1.0):
        painter = flow if time == 1 else beginning_at(time, flow, world, tmp_path / f"{time}")
        fills = painter.infill(images, masks, ["benign"] * 5, range(5), allow_border=True, over_own=True)
        assert np.array_equal(fills[~inside], images[~inside])
        apart.append(float(np.abs(fills[inside].astype(float) - images[inside]).mean()))
    assert 0 < apart[0] < apart[1] < apart[2]


def test_a_fill_that_keeps_a_part_is_the_same_in_any_company(flow: Infiller, world: World, tmp_path: Path) -> None:
    partly = beginning_at(0.5, flow, world, tmp_path / "partly")
    images, masks = cases(11)
    words, seeds = ["benign", "malignant"] * 5 + ["benign"], range(20, 31)
    how: dict[str, bool] = {"allow_border": True, "over_own": True}
    together = partly.infill(images, masks, words, seeds, **how)
    order = [10, 4, 2, 0]
    some = partly.infill(images[order], masks[order], [words[k] for k in order], [seeds[k] for k in order], **how)
    assert np.array_equal(some, together[order])


def test_it_paints_over_nothing_but_own_lesions(flow: Infiller, world: World, tmp_path: Path) -> None:
    partly = beginning_at(0.5, flow, world, tmp_path / "partly")
    assert (flow.begin_time, partly.begin_time) == (1.0, 0.5)
    images, masks = cases(1)
    with pytest.raises(MammofillError, match=r"keeps a part of what is in the hole \(sampling.begin_time 0.5\), so it"):
        partly.infill(images, masks, ["benign"], [0], allow_border=True)
    with pytest.raises(SettingsError, match=r"begin_time must be in \(0, 1\], but is 0"):
        SamplingSettings(begin_time=0)
